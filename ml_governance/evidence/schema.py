"""The ledger's tables: one definition for SQLite and PostgreSQL.

``leaves`` and ``blobs`` are the log. ``head`` is the right edge it grows from. ``nodes``, ``index_nodes``
and ``entries_by_key`` are derived: they make proofs and look-ups cheap, and verification recomputes them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table

SCHEMA_VERSION = 1
"""Version of these tables; a ledger of another version is refused, not guessed at."""


@cache
def metadata() -> MetaData:
    """Return the tables."""
    from sqlalchemy import (
        BigInteger,
        CheckConstraint,
        Column,
        ForeignKey,
        Integer,
        LargeBinary,
        MetaData,
        String,
        Table,
        Text,
    )
    from sqlalchemy.dialects import sqlite

    number = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
    tables = MetaData()
    Table(
        "meta",
        tables,
        Column("key", String(40), primary_key=True),
        Column("value", Text, nullable=False),
    )
    Table(
        "head",
        tables,
        Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
        Column("size", number, nullable=False),
        Column("frontier", LargeBinary, nullable=False),
        Column("index_root", LargeBinary, nullable=False),
        Column("checkpoint", Text, nullable=False),
        Column("latest", String(40), nullable=True),
    )
    Table(
        "leaves",
        tables,
        Column("idx", number, primary_key=True, autoincrement=False),
        Column("leaf", LargeBinary, nullable=False),
        Column("leaf_hash", LargeBinary, nullable=False),
        Column("kind", String(80), nullable=False),
        Column("payload", String(64), nullable=False, unique=True),
        Column("envelope", String(64), nullable=False),
        Column("writer", String(80), nullable=False),
        Column("seq", number, nullable=False),
    )
    from sqlalchemy import Index

    leaves = tables.tables["leaves"]
    Index("leaves_writer_seq", leaves.c.writer, leaves.c.seq, unique=True)
    Index("leaves_kind_idx", leaves.c.kind, leaves.c.idx)
    Table(
        "blobs",
        tables,
        Column("envelope", String(64), primary_key=True),
        Column("data", LargeBinary, nullable=False),
    )
    Table(
        "nodes",
        tables,
        Column("level", Integer, primary_key=True, autoincrement=False),
        Column("position", number, primary_key=True, autoincrement=False),
        Column("hash", LargeBinary, nullable=False),
    )
    Table(
        "index_nodes",
        tables,
        Column("prefix", String(64), primary_key=True),
        Column("node", LargeBinary, nullable=False),
    )
    Table(
        "entries_by_key",
        tables,
        Column("key", LargeBinary(32), primary_key=True),
        Column("idx", number, ForeignKey("leaves.idx"), primary_key=True, autoincrement=False),
    )
    Table(
        "tokens",
        tables,
        Column("token", String(64), primary_key=True),
        Column("idx", number, ForeignKey("leaves.idx"), nullable=False),
    )
    Table(
        "checkpoints",
        tables,
        Column("size", number, primary_key=True, autoincrement=False),
        Column("note", Text, nullable=False),
    )
    Table(
        "outbox",
        tables,
        Column("idx", number, ForeignKey("leaves.idx"), primary_key=True, autoincrement=False),
        Column("destination", String(200), primary_key=True),
        Column("state", String(20), nullable=False),
        Column("attempts", Integer, nullable=False, default=0),
        Column("next_at", String(40), nullable=True),
        Column("last_error", Text, nullable=True),
    )
    return tables


def table(name: str) -> Table:
    """Return one table."""
    return metadata().tables[name]


APPEND_ONLY: tuple[str, ...] = (
    "CREATE TRIGGER leaves_no_update BEFORE UPDATE ON leaves BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "CREATE TRIGGER leaves_no_delete BEFORE DELETE ON leaves BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "CREATE TRIGGER blobs_no_update BEFORE UPDATE ON blobs BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
)
"""Guards against accidents on SQLite. The proof is the tree; whoever can write the file can drop these."""
