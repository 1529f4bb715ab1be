"""Reading a log: entries, proofs and the tables that verification compares; nothing here writes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.database import database_errors
from ml_governance.evidence.schema import Statements, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from sqlalchemy import Connection, Engine

PAGE = 500
MAX_INDEX = 2**63 - 1
"""The largest number that a database keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """A row as it is stored, nothing verified; ``envelope`` is None where the blob is gone."""

    index: int
    leaf: bytes
    leaf_hash: bytes
    envelope: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """The stored right edge of the log, nothing verified."""

    size: int
    frontier: bytes
    trie: bytes
    kinds: bytes
    checkpoint: str
    latest: str | None = None
    trust: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What somebody else said about the log at one size, nothing verified.

    Parameters
    ----------
    size : int
        Number of leaves.
    kind : {'cosigned', 'timestamp'}
        A note with witnesses' signatures, or a note with an RFC 3161 token over it.
    name : str
        Who said it.
    note : str
        The checkpoint.
    data : bytes
        The token.
    """

    size: int
    kind: str
    name: str
    note: str
    data: bytes = b""


LARGEST = 2**62
"""No index is larger."""


def _whole(value: object) -> int:
    """Return a stored number; what is none, an intruder wrote, and no number of a log is negative."""
    return value if isinstance(value, int) else -1


def stored_bytes(value: object) -> bytes:
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
        self._statements = Statements(engine.dialect)
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
        return f"<Ledger {self.origin} at {self.place}>"

    @property
    def place(self) -> str:
        """The database's URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def url(self) -> str:
        """The database's URL, with its password: not for showing."""
        return self._engine.url.render_as_string(hide_password=False)

    @property
    def size(self) -> int:
        """Number of entries."""
        from sqlalchemy import select

        with self.reading() as connection:
            size = connection.execute(select(table("head").c.size)).scalar_one_or_none()
        return size if isinstance(size, int) else 0

    def checkpoint(self) -> str:
        """Return the newest signed note."""
        from sqlalchemy import select

        with self.reading() as connection:
            return str(connection.execute(select(table("head").c.checkpoint)).scalar_one_or_none())

    def cosigned(self) -> str:
        """Return the newest signed note, with the witnesses' signatures where some are kept for it."""
        note = self.checkpoint()
        return next((one.note for one in self.anchors() if one.kind == "cosigned" and one.note.startswith(note)), note)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[StoredEntry]:
        """Yield stored rows in order, a page at a time; nothing is verified."""
        from sqlalchemy import select

        leaves, blobs = table("leaves"), table("blobs")
        query = (
            select(leaves.c.idx, leaves.c.leaf, leaves.c.leaf_hash, blobs.c.data)
            .select_from(leaves.outerjoin(blobs, leaves.c.idx == blobs.c.idx))
            .order_by(leaves.c.idx)
            .limit(PAGE)
        )
        after = min(start - 1, MAX_INDEX)
        stop = None if stop is None else min(stop, MAX_INDEX)
        while True:
            with self.reading() as connection:
                condition = leaves.c.idx > after if stop is None else (leaves.c.idx > after) & (leaves.c.idx < stop)
                rows = connection.execute(query.where(condition)).all()
            for row in rows:
                yield StoredEntry(
                    index=row.idx,
                    leaf=stored_bytes(row.leaf),
                    leaf_hash=stored_bytes(row.leaf_hash),
                    envelope=None if row.data is None else stored_bytes(row.data),
                )
            if len(rows) < PAGE:
                return
            after = rows[-1].idx

    def at(self, places: Sequence[int], *, content: bool = True) -> Iterator[StoredEntry]:
        """Yield the stored rows at some places, in order, their content where it is wanted and there; nothing is verified."""
        from sqlalchemy import null, select

        leaves, blobs = table("leaves"), table("blobs")
        query = (
            select(leaves.c.idx, leaves.c.leaf, leaves.c.leaf_hash, blobs.c.data).select_from(
                leaves.outerjoin(blobs, leaves.c.idx == blobs.c.idx)
            )
            if content
            else select(leaves.c.idx, leaves.c.leaf, leaves.c.leaf_hash, null().label("data"))
        ).order_by(leaves.c.idx)
        ordered = sorted(set(places))
        for start in range(0, len(ordered), PAGE):
            with self.reading() as connection:
                rows = connection.execute(query.where(leaves.c.idx.in_(ordered[start : start + PAGE]))).all()
            for row in rows:
                yield StoredEntry(
                    index=row.idx,
                    leaf=stored_bytes(row.leaf),
                    leaf_hash=stored_bytes(row.leaf_hash),
                    envelope=None if row.data is None else stored_bytes(row.data),
                )

    def find(self, key: bytes) -> tuple[int, ...]:
        """Return the indices stored under a subject's digest."""
        return tuple(index for index, _ in self.history("entries_by_key", key))

    def find_kind(self, kind: str) -> tuple[int, ...]:
        """Return the indices stored under a kind."""
        return tuple(index for index, _ in self.history("entries_by_kind", kind))

    def history(
        self, name: Literal["entries_by_key", "entries_by_kind"], key: bytes | str, before: int | None = None
    ) -> tuple[tuple[int, subject_index.Value], ...]:
        """Return the leaves under a key with its value after each; with ``before``, only the last one below that index."""
        from sqlalchemy import select

        keyed = table(name).c
        query = select(keyed.idx, keyed["count"], keyed.head).where(keyed[0] == key)
        query = (
            query.order_by(keyed.idx)
            if before is None
            else query.where(keyed.idx < before).order_by(keyed.idx.desc()).limit(1)
        )
        with self.reading() as connection:
            return tuple(
                (_whole(row[0]), subject_index.Value(_whole(row[1]), stored_bytes(row[2])))
                for row in connection.execute(query)
            )

    def leaf_hashes(self, stop: int) -> tuple[bytes, frozenset[int]]:
        """Return the stored leaf hashes below an index, one after the other, and which of those entries have no content."""
        from sqlalchemy import select

        leaves, blobs = table("leaves").c, table("blobs").c
        query = select(leaves.leaf_hash).where(leaves.idx < stop).order_by(leaves.idx)
        bare = select(leaves.idx).where(leaves.idx < stop, leaves.idx.not_in(select(blobs.idx)))
        with self.reading() as connection:
            found = connection.execute(query.execution_options(yield_per=PAGE)).scalars()
            # A hash of another length would move all that follow.
            hashes = b"".join(stored_bytes(value)[:32].ljust(32, b"\0") for value in found)
            return hashes, frozenset(_whole(index) for index in connection.execute(bare).scalars())

    def keyed_subjects(self, stop: int) -> Iterator[tuple[bytes, int, subject_index.Value]]:
        """Yield the look-up table by subject below an index, in the order of its keys, for verification."""
        return ((stored_bytes(key), index, value) for key, index, value in self._keyed("entries_by_key", stop))

    def keyed_kinds(self, stop: int) -> Iterator[tuple[str, int, subject_index.Value]]:
        """Yield the look-up table by kind below an index, in the order of its keys, for verification."""
        return ((str(kind), index, value) for kind, index, value in self._keyed("entries_by_kind", stop))

    def keyed_from(self, start: int) -> bool:
        """Tell whether a look-up table names an entry from an index on."""
        from sqlalchemy import select

        with self.reading() as connection:
            return any(
                connection.execute(select(found.c.idx).where(found.c.idx >= start).limit(1)).first() is not None
                for found in (table("entries_by_key"), table("entries_by_kind"))
            )

    def _keyed(self, name: str, stop: int) -> Iterator[tuple[object, int, subject_index.Value]]:
        from sqlalchemy import select

        found = table(name)
        # What an intruder wrote may be no number at all; such rows compare as greater, and must not be passed over.
        query = select(found).where(~found.c.idx.between(stop, LARGEST)).order_by(found.c[0], found.c.idx)
        with self.reading() as connection:
            for key, index, count, head in connection.execute(query.execution_options(yield_per=PAGE)):
                yield key, _whole(index), subject_index.Value(_whole(count), stored_bytes(head))

    def head(self) -> StoredHead:
        """Return the stored right edge, nothing verified."""
        from sqlalchemy import select

        with self.reading() as connection:
            row = connection.execute(select(table("head"))).one_or_none()
        if row is None:
            return StoredHead(size=0, frontier=b"", trie=b"", kinds=b"", checkpoint="")
        return StoredHead(
            size=_whole(row.size),
            frontier=stored_bytes(row.frontier),
            trie=stored_bytes(row.trie),
            kinds=stored_bytes(row.kinds),
            checkpoint=str(row.checkpoint),
            latest=None if row.latest is None else str(row.latest),
            trust=None if row.trust is None else _whole(row.trust),
        )

    def stored_nodes(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (leaf, level, hash) of the tree nodes that the leaves [start, stop) completed, in that order."""
        from sqlalchemy import select

        nodes = table("nodes")
        query = (
            select(nodes)
            .where(nodes.c.idx >= start, nodes.c.idx < stop)
            .order_by(nodes.c.idx, nodes.c.level)
            .execution_options(yield_per=PAGE)
        )
        with self.reading() as connection:
            for row in connection.execute(query):
                yield _whole(row.idx), _whole(row.level), stored_bytes(row.hash)

    def stored_index(self) -> Iterator[tuple[str, bytes]]:
        """Yield every stored index node by prefix, in order, for verification."""
        from sqlalchemy import select

        nodes = table("index_nodes")
        query = select(nodes).order_by(nodes.c.prefix).execution_options(yield_per=PAGE)
        with self.reading() as connection:
            for row in connection.execute(query):
                yield stored_bytes(row.prefix).decode("ascii", "replace"), stored_bytes(row.node)

    def anchors(self) -> tuple[Anchor, ...]:
        """Return what others have said about the log, by size."""
        from sqlalchemy import select

        kept = table("anchors")
        with self.reading() as connection:
            rows = connection.execute(select(kept).order_by(kept.c.size, kept.c.kind, kept.c.name)).all()
        return tuple(
            Anchor(
                size=_whole(row.size),
                kind=str(row.kind),
                name=str(row.name),
                note=str(row.note),
                data=b"" if row.data is None else stored_bytes(row.data),
            )
            for row in rows
        )

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is in the tree of a size (RFC 6962 section 2.1.1)."""
        with self.reading() as connection:
            return merkle.inclusion_proof(
                lambda level, position: self._node(connection, level, position),
                index,
                self.size if size is None else size,
            )

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that one tree continues another (RFC 6962 section 2.1.2)."""
        with self.reading() as connection:
            return merkle.consistency_proof(lambda level, position: self._node(connection, level, position), old, new)

    def index_proof(self, key: bytes) -> tuple[bytes, ...]:
        """Return the proof of how many entries a subject has, and which."""
        with self.reading() as connection:
            return subject_index.prove(lambda prefix: self._index_node(connection, prefix), key)

    def node(self, level: int, position: int) -> bytes:
        """Return the hash of a complete subtree, as stored."""
        with self.reading() as connection:
            return self._node(connection, level, position)

    def index_node(self, prefix: str) -> bytes | None:
        """Return one stored node of the subject index, not verified."""
        with self.reading() as connection:
            return self._index_node(connection, prefix)

    def keys_of(self, index: int) -> tuple[str, ...]:
        """Return the digests of an entry's subjects from the look-up table; for entries whose content is erased."""
        from sqlalchemy import select

        keyed = table("entries_by_key").c
        with self.reading() as connection:
            found = connection.execute(select(keyed.key).where(keyed.idx == index).order_by(keyed.key)).scalars()
            return tuple(stored_bytes(key).hex() for key in found)

    def writer_tail(self, writer: str, before: int | None = None) -> int | None:
        """Return the index of a writer's last record, or of the last one below an index."""
        from sqlalchemy import select

        leaves = table("leaves").c
        query = select(leaves.idx).where(leaves.writer == writer).order_by(leaves.seq.desc()).limit(1)
        with self.reading() as connection:
            found = connection.execute(query if before is None else query.where(leaves.idx < before)).scalar()
        return None if found is None else _whole(found)

    def _node(self, connection: Connection, level: int, position: int) -> bytes:
        completed_by = ((position + 1) << level) - 1
        sql = self._statements.on(connection.connection.cursor())
        found = sql.one("node", idx=completed_by, level=level) if level else sql.one("leaf_hash", idx=completed_by)
        if found is None:
            raise VerificationError(
                f"the tree node at level {level}, position {position} is missing",
                next_step="mlgov log verify",
            )
        return stored_bytes(found[0])

    def _index_node(self, connection: Connection, prefix: str) -> bytes | None:
        found = self._statements.on(connection.connection.cursor()).one("index_node", prefix=prefix.encode())
        return None if found is None else stored_bytes(found[0])

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read one state of the log for as long as this lasts, whatever others append meanwhile; one inside another is the same."""
        if self._pinned is not None:
            yield self._pinned
            return
        with database_errors(self._engine), self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT size FROM head").all()  # SQLite fixes the state at the first read
            else:
                connection.execution_options(isolation_level="REPEATABLE READ").begin()
            self._pinned = connection
            try:
                yield connection
            finally:
                self._pinned = None
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with: the snapshot's, or one of its own."""
        if self._pinned is not None:
            with database_errors(self._engine):
                yield self._pinned
            return
        with database_errors(self._engine), self._engine.connect() as connection:
            yield connection
