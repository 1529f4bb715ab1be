"""The ledger's tables, and the statements of an append: one definition for SQLite and PostgreSQL.

``leaves`` and ``blobs`` are the log. ``head`` is the right edge that it grows from. ``nodes``, ``index_nodes``,
``entries_by_key`` and ``entries_by_kind`` are derived: they make proofs and look-ups cheap, and verification
recomputes them. ``anchors`` are what others have said about the log; ``outbox`` is what is still to be sent.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Dialect, MetaData, Table

SCHEMA_VERSION = 2
"""Version of these tables; an older one is migrated on request, a newer one is refused, not guessed at."""


@cache
def metadata() -> MetaData:
    """Return the tables."""
    from sqlalchemy import (
        BigInteger,
        CheckConstraint,
        Column,
        ForeignKey,
        Index,
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

    def place(name: str, *, primary_key: bool = True) -> Column[int]:
        return Column(name, number, primary_key=primary_key, autoincrement=False, nullable=False)

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
        Column("trie", LargeBinary, nullable=False),
        Column("kinds", LargeBinary, nullable=False),
        Column("checkpoint", Text, nullable=False),
        Column("latest", String(40), nullable=True),
        Column("trust", number, nullable=True),
    )
    Table(
        "leaves",
        tables,
        place("idx"),
        Column("leaf", LargeBinary, nullable=False),
        Column("leaf_hash", LargeBinary, nullable=False),
        Column("writer", String(400), nullable=False),
        place("seq", primary_key=False),
        Index("leaves_writer_seq", "writer", "seq", unique=True),
    )
    Table("blobs", tables, place("idx"), Column("data", LargeBinary, nullable=False))
    # The node at a level that the leaf `idx` completed; leaves themselves are level 0.
    Table(
        "nodes",
        tables,
        place("idx"),
        Column("level", Integer, primary_key=True, autoincrement=False),
        Column("hash", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    Table(
        "index_nodes",
        tables,
        Column("prefix", LargeBinary(64), primary_key=True),
        Column("node", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    for name, column in (("entries_by_key", LargeBinary(32)), ("entries_by_kind", String(80))):
        Table(
            name,
            tables,
            Column(name.rpartition("_")[2], column, primary_key=True),
            place("idx"),
            Column("count", number, nullable=False),
            Column("head", LargeBinary, nullable=False),
            sqlite_with_rowid=False,
        )
    Table(
        "tokens",
        tables,
        Column("token", String(64), primary_key=True),
        Column("idx", number, ForeignKey("leaves.idx"), nullable=False),
    )
    Table(
        "anchors",
        tables,
        place("size"),
        Column("kind", String(40), primary_key=True),
        Column("name", String(200), primary_key=True),
        Column("note", Text, nullable=False),
        Column("data", LargeBinary, nullable=True),
    )
    Table(
        "outbox",
        tables,
        place("idx"),
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


def guards(dialect: str) -> tuple[str, ...]:
    """Return the statements that make the log's tables append-only.

    They guard against accidents. The proof is the tree: whoever owns the database can drop them. An envelope may be deleted,
    because erasure does that; verification then asks for the entry that explains it.
    """
    said = "the ledger is append-only"
    forbidden = (
        ("leaves", "UPDATE"),
        ("leaves", "DELETE"),
        ("blobs", "UPDATE"),
        ("nodes", "UPDATE"),
        ("nodes", "DELETE"),
    )
    if dialect == "sqlite":
        return tuple(
            f"CREATE TRIGGER {name}_no_{act.lower()} BEFORE {act} ON {name} BEGIN SELECT RAISE(ABORT, '{said}'); END"
            for name, act in forbidden
        )
    return (
        f"CREATE FUNCTION mlgov_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{said}'; END $$",
        *(
            f"CREATE TRIGGER {name}_no_{act.lower()} BEFORE {act} ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mlgov_append_only()"
            for name, act in (*forbidden, ("leaves", "TRUNCATE"), ("blobs", "TRUNCATE"))
        ),
    )


def _late(name: str) -> Any:
    """Return the query for the first entry under a key or of a kind from an index on."""
    from sqlalchemy import bindparam, select

    rows = table(f"entries_by_{name}").c
    wanted = (rows[name] == bindparam(name)) & (rows.idx >= bindparam("since"))
    return select(rows.idx).where(wanted).order_by(rows.idx).limit(1)


@cache
def _append_statements() -> Mapping[str, Any]:
    from sqlalchemy import bindparam, select
    from sqlalchemy.dialects import postgresql, sqlite

    head, leaves, blobs, node, tokens = (table(name) for name in ("head", "leaves", "blobs", "index_nodes", "tokens"))
    nodes = table("nodes").c
    saved: dict[str, Any] = {
        name: bindparam(name) for name in ("size", "frontier", "trie", "kinds", "checkpoint", "latest", "trust")
    }
    upserts = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        insert = dialect.insert(node)
        upserts[f"save_index_{name}"] = insert.on_conflict_do_update(
            index_elements=["prefix"], set_={"node": insert.excluded.node}
        )
    return {
        "head": select(*(head.c[name] for name in saved)).where(head.c.id == 1).with_for_update(),
        "tail": select(leaves.c.seq, leaves.c.leaf)
        .where(leaves.c.writer == bindparam("writer"))
        .order_by(leaves.c.seq.desc())
        .limit(1),
        "node": select(nodes.hash).where(nodes.idx == bindparam("idx"), nodes.level == bindparam("level")),
        "leaf_hash": select(leaves.c.leaf_hash).where(leaves.c.idx == bindparam("idx")),
        "leaf": select(leaves.c.leaf).where(leaves.c.idx == bindparam("idx")),
        "record": select(blobs.c.data)
        .select_from(blobs.join(leaves, blobs.c.idx == leaves.c.idx))
        .where(leaves.c.writer == bindparam("writer"), leaves.c.seq == bindparam("seq")),
        "blob": select(blobs.c.data).where(blobs.c.idx == bindparam("idx")),
        "erase": blobs.delete().where(blobs.c.idx == bindparam("idx")),
        "token": select(tokens.c.idx).where(tokens.c.token == bindparam("token")),
        "use_token": tokens.insert(),
        **{f"late_{name}": _late(name) for name in ("key", "kind")},
        "index_node": select(node.c.node).where(node.c.prefix == bindparam("prefix")),
        "save_head": head.update().where(head.c.id == 1).values(saved),
        **{
            f"add_{name}": table(name).insert()
            for name in ("leaves", "blobs", "nodes", "entries_by_key", "entries_by_kind")
        },
        **upserts,
    }


_Compiled = tuple[str, tuple[str, ...], dict[str, Any]]
"""A statement's text, the order of its values, and those it binds by itself."""


class Statements:
    """The statements of an append, compiled once for a dialect and run by the driver itself.

    An append is a handful of small statements inside one lock; SQLAlchemy writes them, and its machinery for each
    execution, which costs more than SQLite's own work, stays out of the locked section.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._compiled: dict[str, _Compiled] = {}
        self._overwriting = "PRAGMA secure_delete = ON" if dialect.name == "sqlite" else None
        for name, statement in _append_statements().items():
            stem, _, only = name.rpartition("_")
            if only not in ("sqlite", "postgresql"):
                stem = name
            elif only != dialect.name:
                continue
            compiled = statement.compile(dialect=dialect)
            order = tuple(compiled.positiontup or ())
            self._compiled[stem] = (str(compiled), order, {key: compiled.params[key] for key in order})

    def on(self, cursor: Any) -> Runner:
        """Return what runs them on a driver's cursor."""
        return Runner(self._compiled, cursor, overwriting=self._overwriting)


class Runner:
    """Runs compiled statements on one driver cursor."""

    def __init__(self, compiled: Mapping[str, _Compiled], cursor: Any, *, overwriting: str | None) -> None:
        self._compiled = compiled
        self._cursor = cursor
        self._overwriting = overwriting

    def run(self, statement: str, **values: object) -> None:
        """Run one statement."""
        text, order, fixed = self._compiled[statement]
        self._cursor.execute(text, tuple(values[name] if name in values else fixed[name] for name in order))

    def overwrite_deleted(self) -> None:
        """Have the database overwrite what is deleted from now on, where it can."""
        if self._overwriting is not None:
            self._cursor.execute(self._overwriting)

    def one(self, statement: str, **values: object) -> Any:
        """Run a query and return its first row, or None."""
        self.run(statement, **values)
        return self._cursor.fetchone()

    def many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run a statement for rows whose values are in the order of the table's columns."""
        self._cursor.executemany(self._compiled[statement][0], rows)
