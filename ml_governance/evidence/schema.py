"""The ledger's tables, and the log's statements: one definition for SQLite and PostgreSQL.

``leaves`` and ``blobs`` are the log. ``head`` is the right edge that it grows from. ``nodes``, ``index_nodes``,
``entries_by_key`` and ``entries_by_kind`` are derived: they make proofs and look-ups cheap, and verification
recomputes them. ``anchors`` are what others have said about the log; ``outbox`` is what is still to be sent.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from secrets import token_hex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import MetaData, Table

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


_HEAD = "SELECT size, frontier, trie, kinds, checkpoint, latest, trust FROM head"
_WHOLE = "SELECT l.idx, l.leaf, l.leaf_hash, b.data FROM leaves l LEFT JOIN blobs b ON l.idx = b.idx"
_BARE = "SELECT l.idx, l.leaf, l.leaf_hash, NULL FROM leaves l"
_FIRST = "SELECT idx FROM {0} WHERE {1} = :{1} AND idx >= :since ORDER BY idx LIMIT 1"
_HISTORY = "SELECT idx, count, head FROM {0} WHERE {1} = :{1}"
# What an intruder wrote may be no number at all; such rows compare as greater, and must not be passed over.
_KEYED = "SELECT {1}, idx, count, head FROM {0} WHERE NOT (idx BETWEEN :stop AND :largest) ORDER BY {1}, idx"

_STATEMENTS = {
    "meta": "SELECT key, value FROM meta",
    "size": "SELECT size FROM head",
    "head": _HEAD,
    "checkpoint": "SELECT checkpoint FROM head",
    "lock_head": _HEAD + " WHERE id = 1",
    "save_head": "UPDATE head SET size = :size, frontier = :frontier, trie = :trie, kinds = :kinds, "
    "checkpoint = :checkpoint, latest = :latest, trust = :trust WHERE id = 1",
    "entries": _WHOLE + " WHERE l.idx > :after AND l.idx <= :last ORDER BY l.idx LIMIT :page",
    "tail": "SELECT seq, leaf FROM leaves WHERE writer = :writer ORDER BY seq DESC LIMIT 1",
    "writer_tail": "SELECT idx FROM leaves WHERE writer = :writer AND idx <= :last ORDER BY seq DESC LIMIT 1",
    "leaf": "SELECT leaf FROM leaves WHERE idx = :idx",
    "leaf_hash": "SELECT leaf_hash FROM leaves WHERE idx = :idx",
    "leaf_hashes": "SELECT leaf_hash FROM leaves WHERE idx < :stop ORDER BY idx",
    "bare": "SELECT idx FROM leaves WHERE idx < :stop AND idx NOT IN (SELECT idx FROM blobs)",
    "record": "SELECT b.data FROM blobs b JOIN leaves l ON b.idx = l.idx WHERE l.writer = :writer AND l.seq = :seq",
    "blob": "SELECT data FROM blobs WHERE idx = :idx",
    "erase": "DELETE FROM blobs WHERE idx = :idx",
    "node": "SELECT hash FROM nodes WHERE idx = :idx AND level = :level",
    "nodes": "SELECT idx, level, hash FROM nodes WHERE idx >= :start AND idx < :stop ORDER BY idx, level",
    "index_node": "SELECT node FROM index_nodes WHERE prefix = :prefix",
    "index_nodes": "SELECT prefix, node FROM index_nodes ORDER BY prefix",
    "save_index": "INSERT INTO index_nodes (prefix, node) VALUES (?, ?) "
    "ON CONFLICT (prefix) DO UPDATE SET node = excluded.node",
    "late_key": _FIRST.format("entries_by_key", "key"),
    "late_kind": _FIRST.format("entries_by_kind", "kind"),
    "by_key": _HISTORY.format("entries_by_key", "key") + " ORDER BY idx",
    "by_kind": _HISTORY.format("entries_by_kind", "kind") + " ORDER BY idx",
    "by_key_before": _HISTORY.format("entries_by_key", "key") + " AND idx < :before ORDER BY idx DESC LIMIT 1",
    "by_kind_before": _HISTORY.format("entries_by_kind", "kind") + " AND idx < :before ORDER BY idx DESC LIMIT 1",
    "keyed_keys": _KEYED.format("entries_by_key", "key"),
    "keyed_kinds": _KEYED.format("entries_by_kind", "kind"),
    "key_from": "SELECT idx FROM entries_by_key WHERE idx >= :start LIMIT 1",
    "kind_from": "SELECT idx FROM entries_by_kind WHERE idx >= :start LIMIT 1",
    "keys_of": "SELECT key FROM entries_by_key WHERE idx = :idx ORDER BY key",
    "anchors": "SELECT size, kind, name, note, data FROM anchors ORDER BY size, kind, name",
    "token": "SELECT idx FROM tokens WHERE token = :token",
    "use_token": "INSERT INTO tokens (token, idx) VALUES (:token, :idx)",
    "add_leaves": "INSERT INTO leaves (idx, leaf, leaf_hash, writer, seq) VALUES (?, ?, ?, ?, ?)",
    "add_blobs": "INSERT INTO blobs (idx, data) VALUES (?, ?)",
    "add_nodes": "INSERT INTO nodes (idx, level, hash) VALUES (?, ?, ?)",
    "add_entries_by_key": "INSERT INTO entries_by_key (key, idx, count, head) VALUES (?, ?, ?, ?)",
    "add_entries_by_kind": "INSERT INTO entries_by_kind (kind, idx, count, head) VALUES (?, ?, ?, ?)",
}
"""What the log reads and writes. Rows are read and written by column, values by name; in groups, in the order of the columns."""

_OF_SQLITE = {"has_meta": "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'meta'"}
_OF_POSTGRESQL = {
    "has_meta": "SELECT 1 WHERE to_regclass('meta') IS NOT NULL",
    "lock_head": _STATEMENTS["lock_head"] + " FOR UPDATE",
}
FETCH = 500
"""How many rows of a long answer are fetched at a time."""


@cache
def _statements(dialect: str) -> Mapping[str, str]:
    if dialect == "sqlite":
        return {**_STATEMENTS, **_OF_SQLITE}
    return {
        name: re.sub(r":(\w+)", r"%(\1)s", text).replace("?", "%s")
        for name, text in {**_STATEMENTS, **_OF_POSTGRESQL}.items()
    }


TOGETHER = 10
"""How many rows one statement of a long insertion takes."""


@cache
def _wide(text: str) -> str:
    """Return an insertion of one row as one of many."""
    return re.sub(r"VALUES (\([^)]*\))", lambda found: f"VALUES {', '.join([found[1]] * TOGETHER)}", text)


class Runner:
    """Runs the log's statements on one connection of the driver.

    Parameters
    ----------
    dialect : {'sqlite', 'postgresql'}
        Of the database.
    connection : object
        The driver's.
    """

    def __init__(self, dialect: str, connection: Any) -> None:
        self._dialect, self._connection = dialect, connection
        self._texts = _statements(dialect)
        self._cursor = connection.cursor()

    def run(self, statement: str, **values: object) -> None:
        """Run one statement."""
        self._cursor.execute(self._texts[statement], values)

    def overwrite_deleted(self) -> None:
        """Have the database overwrite what is deleted from now on, where it can."""
        if self._dialect == "sqlite":
            self._cursor.execute("PRAGMA secure_delete = ON")

    def all(self, statement: str, **values: object) -> list[Any]:
        """Run a query and return its rows."""
        self.run(statement, **values)
        # To the end: an answer that is half read would keep SQLite's old state open.
        return list(self._cursor.fetchall())

    def one(self, statement: str, **values: object) -> Any:
        """Run a query and return its first row, or None."""
        return next(iter(self.all(statement, **values)), None)

    def long(self, statement: str, **values: object) -> Iterator[Any]:
        """Run a query whose answer need not fit into memory, and yield its rows."""
        return self._long(self._texts[statement], values)

    def whole(self, name: str, columns: Sequence[str]) -> Iterator[dict[str, object]]:
        """Yield every row of a table by column."""
        rows = self._long(f"SELECT {', '.join(columns)} FROM {name}", {})  # noqa: S608  names of our own tables
        return (dict(zip(columns, row, strict=True)) for row in rows)

    def _long(self, text: str, values: Mapping[str, object]) -> Iterator[Any]:
        sqlite = self._dialect == "sqlite"
        cursor = self._connection.cursor() if sqlite else self._connection.cursor(f"mlgov_{token_hex(8)}")
        try:
            cursor.execute(text, values)
            while part := cursor.fetchmany(FETCH):
                yield from part
        finally:
            cursor.close()

    def at(self, places: Sequence[int], *, content: bool) -> list[Any]:
        """Return the rows of leaves at some places, in order, with their content if it is wanted."""
        marks = ", ".join(["?" if self._dialect == "sqlite" else "%s"] * len(places))
        text = _WHOLE if content else _BARE
        self._cursor.execute(f"{text} WHERE l.idx IN ({marks}) ORDER BY l.idx", tuple(places))
        return list(self._cursor.fetchall())

    def many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Run an insertion for rows whose values are in the order of the columns that it names."""
        text, single = self._texts[statement], len(rows) % TOGETHER
        if single:
            self._cursor.executemany(text, rows[:single])
        for start in range(single, len(rows), TOGETHER):
            self._cursor.execute(_wide(text), tuple(chain.from_iterable(rows[start : start + TOGETHER])))
