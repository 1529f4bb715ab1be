"""Reading a log: entries, proofs and the tables that verification compares; nothing here writes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.database import database_errors
from ml_governance.evidence.predicates import WriterClose
from ml_governance.evidence.schema import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from sqlalchemy import Connection, Engine

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """A row as it is stored, nothing verified; ``envelope`` is None where the blob is gone."""

    index: int
    leaf: bytes
    leaf_hash: bytes
    envelope: bytes | None


def _blob(value: object) -> bytes:
    """Return stored bytes; SQLite keeps whatever type an intruder wrote, and that must fail as bytes would."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


class LogReader:
    """What can be read of a log; :class:`ml_governance.evidence.ledger.Ledger` adds the writing.

    Parameters
    ----------
    engine : Engine
        Of the database.
    origin : str
        The log's name.
    """

    def __init__(self, engine: Engine, origin: str) -> None:
        self._engine = engine
        self.origin = origin
        self._pinned: Connection | None = None

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Ledger {self.origin} at {self._engine.url.render_as_string(hide_password=True)}>"

    @property
    def size(self) -> int:
        """Number of entries."""
        from sqlalchemy import select

        with self._reading() as connection:
            size = connection.execute(select(table("head").c.size)).scalar_one_or_none()
        return size if isinstance(size, int) else 0

    def checkpoint(self) -> str:
        """Return the newest signed note."""
        from sqlalchemy import select

        with self._reading() as connection:
            return str(connection.execute(select(table("head").c.checkpoint)).scalar_one_or_none())

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[StoredEntry]:
        """Yield stored rows in order, a page at a time; nothing is verified."""
        from sqlalchemy import select

        leaves, blobs = table("leaves"), table("blobs")
        query = (
            select(leaves.c.idx, leaves.c.leaf, leaves.c.leaf_hash, blobs.c.data)
            .select_from(leaves.outerjoin(blobs, leaves.c.envelope == blobs.c.envelope))
            .order_by(leaves.c.idx)
            .limit(PAGE)
        )
        after = start - 1
        while True:
            with self._reading() as connection:
                condition = leaves.c.idx > after if stop is None else (leaves.c.idx > after) & (leaves.c.idx < stop)
                rows = connection.execute(query.where(condition)).all()
            for row in rows:
                yield StoredEntry(
                    index=row.idx,
                    leaf=_blob(row.leaf),
                    leaf_hash=_blob(row.leaf_hash),
                    envelope=None if row.data is None else _blob(row.data),
                )
            if len(rows) < PAGE:
                return
            after = rows[-1].idx

    def find(self, key: bytes) -> tuple[int, ...]:
        """Return the indices stored under a key: a subject's digest, or a kind's key."""
        from sqlalchemy import select

        keyed = table("entries_by_key").c
        with self._reading() as connection:
            return tuple(connection.execute(select(keyed.idx).where(keyed.key == key).order_by(keyed.idx)).scalars())

    def keyed(self) -> Iterator[tuple[bytes, int]]:
        """Yield the whole look-up table, for verification."""
        from sqlalchemy import select

        with self._reading() as connection:
            keyed = table("entries_by_key").c
            for row in connection.execute(select(keyed.key, keyed.idx).order_by(keyed.idx, keyed.key)):
                yield _blob(row.key), int(row.idx)

    def checkpoints(self) -> dict[int, str]:
        """Return every signed note by size."""
        from sqlalchemy import select

        notes = table("checkpoints")
        with self._reading() as connection:
            return {row.size: str(row.note) for row in connection.execute(select(notes).order_by(notes.c.size))}

    def edge(self) -> tuple[int, bytes, bytes]:
        """Return the stored size, frontier and index root, for verification."""
        from sqlalchemy import select

        head = table("head").c
        with self._reading() as connection:
            row = connection.execute(select(head.size, head.frontier, head.index_root)).one_or_none()
        return (0, b"", b"") if row is None else (row.size, _blob(row.frontier), _blob(row.index_root))

    def stored_nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield every stored tree node, for verification."""
        from sqlalchemy import select

        with self._reading() as connection:
            for row in connection.execute(select(table("nodes"))):
                yield row.level, row.position, row.hash

    def stored_index(self) -> dict[str, bytes]:
        """Return every stored index node by prefix, for verification."""
        from sqlalchemy import select

        with self._reading() as connection:
            return {row.prefix: row.node for row in connection.execute(select(table("index_nodes")))}

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is in the tree of a size (RFC 6962 section 2.1.1)."""
        with self._reading() as connection:
            return merkle.inclusion_proof(
                lambda level, position: self._node(connection, level, position),
                index,
                self.size if size is None else size,
            )

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that one tree continues another (RFC 6962 section 2.1.2)."""
        with self._reading() as connection:
            return merkle.consistency_proof(lambda level, position: self._node(connection, level, position), old, new)

    def index_proof(self, key: bytes) -> tuple[bytes, ...]:
        """Return the proof of how many entries a key has, and which."""
        with self._reading() as connection:
            return subject_index.prove(lambda prefix: self._index_node(connection, prefix), key)

    def writer_tail(self, writer: str) -> tuple[int, str] | None:
        """Return the sequence number and payload digest of a writer's last record."""
        with self._reading() as connection:
            tail = self._tail(connection, writer)
        return None if tail is None else tail[:2]

    def _tail(self, connection: Connection, writer: str) -> tuple[int, str, bool] | None:
        from sqlalchemy import select

        leaves = table("leaves").c
        row = connection.execute(
            select(leaves.seq, leaves.payload, leaves.kind)
            .where(leaves.writer == writer)
            .order_by(leaves.seq.desc())
            .limit(1)
        ).one_or_none()
        return None if row is None else (row.seq, row.payload, row.kind == WriterClose.kind)

    def _node(self, connection: Connection, level: int, position: int) -> bytes:
        from sqlalchemy import select

        nodes = table("nodes").c
        found = connection.execute(
            select(nodes.hash).where(nodes.level == level, nodes.position == position)
        ).scalar_one_or_none()
        if found is None:
            raise VerificationError(
                f"the tree node at level {level}, position {position} is missing",
                next_step="mlgov log verify",
            )
        return bytes(found)

    def _index_node(self, connection: Connection, prefix: str) -> subject_index.Node | None:
        from sqlalchemy import select

        found = connection.execute(
            select(table("index_nodes").c.node).where(table("index_nodes").c.prefix == prefix)
        ).scalar_one_or_none()
        return None if found is None else subject_index.Node.from_bytes(found)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the log for as long as this lasts, whatever others append meanwhile."""
        with database_errors(str(self._engine.url)), self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT size FROM head").all()  # SQLite fixes the state at the first read
            else:
                connection.execution_options(isolation_level="REPEATABLE READ").begin()
            self._pinned = connection
            try:
                yield
            finally:
                self._pinned = None
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._pinned is not None:
            with database_errors(str(self._engine.url)):
                yield self._pinned
            return
        with database_errors(str(self._engine.url)), self._engine.connect() as connection:
            yield connection
