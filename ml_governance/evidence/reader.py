"""Reading a log: entries, proofs and the tables that verification compares; nothing here writes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.schema import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from ml_governance.evidence.database import Database

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
    database : Database
        Where it is.
    origin : str
        The log's name.
    """

    def __init__(self, database: Database, origin: str) -> None:
        self.database = database
        self.origin = origin
        self._pinned: Any = None

    def close(self) -> None:
        """Release the database."""
        self.database.close()

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
        return self.database.shown

    @property
    def url(self) -> str:
        """The database's URL, with its password: not for showing."""
        return self.database.url

    @property
    def size(self) -> int:
        """Number of entries."""
        with self.reading() as sql:
            row = sql.one("size")
        return row[0] if row is not None and isinstance(row[0], int) else 0

    def checkpoint(self) -> str:
        """Return the newest signed note."""
        with self.reading() as sql:
            row = sql.one("checkpoint")
        return str(row[0] if row is not None else None)

    def cosigned(self) -> str:
        """Return the newest signed note, with the witnesses' signatures where some are kept for it."""
        note = self.checkpoint()
        return next((one.note for one in self.anchors() if one.kind == "cosigned" and one.note.startswith(note)), note)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[StoredEntry]:
        """Yield stored rows in order, a page at a time; nothing is verified."""
        after = min(start - 1, MAX_INDEX)
        last = MAX_INDEX if stop is None else min(stop - 1, MAX_INDEX)
        while True:
            with self.reading() as sql:
                rows = sql.all("entries", after=after, last=last, page=PAGE)
            yield from map(_stored, rows)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    def at(self, places: Sequence[int], *, content: bool = True) -> Iterator[StoredEntry]:
        """Yield the stored rows at some places, in order, their content where it is wanted and there; nothing is verified."""
        ordered = sorted(set(places))
        for start in range(0, len(ordered), PAGE):
            with self.reading() as sql:
                rows = sql.at(ordered[start : start + PAGE], content=content)
            yield from map(_stored, rows)

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
        column = name.removeprefix("entries_by_")
        with self.reading() as sql:
            rows = (
                sql.all(f"by_{column}", **{column: key})
                if before is None
                else sql.all(f"by_{column}_before", before=before, **{column: key})
            )
        return tuple(
            (_whole(index), subject_index.Value(_whole(count), stored_bytes(head))) for index, count, head in rows
        )

    def leaf_hashes(self, stop: int) -> tuple[bytes, frozenset[int]]:
        """Return the stored leaf hashes below an index, one after the other, and which of those entries have no content."""
        with self.reading() as sql:
            # A hash of another length would move all that follow.
            found = sql.long("leaf_hashes", stop=stop)
            hashes = b"".join(stored_bytes(value)[:32].ljust(32, b"\0") for (value,) in found)
            return hashes, frozenset(_whole(index) for (index,) in sql.all("bare", stop=stop))

    def keyed_subjects(self, stop: int) -> Iterator[tuple[bytes, int, int, bytes]]:
        """Yield the look-up table by subject below an index, in the order of its keys: key, index, count and head, for verification."""
        for key, index, count, head in self._keyed("keyed_keys", stop):
            yield stored_bytes(key), _whole(index), _whole(count), stored_bytes(head)

    def keyed_kinds(self, stop: int) -> Iterator[tuple[str, int, int, bytes]]:
        """Yield the look-up table by kind below an index, as :meth:`keyed_subjects`."""
        for kind, index, count, head in self._keyed("keyed_kinds", stop):
            yield str(kind), _whole(index), _whole(count), stored_bytes(head)

    def keyed_from(self, start: int) -> bool:
        """Tell whether a look-up table names an entry from an index on."""
        with self.reading() as sql:
            return any(sql.one(name, start=start) is not None for name in ("key_from", "kind_from"))

    def _keyed(self, statement: str, stop: int) -> Iterator[tuple[object, ...]]:
        with self.reading() as sql:
            yield from sql.long(statement, stop=stop, largest=LARGEST)

    def head(self) -> StoredHead:
        """Return the stored right edge, nothing verified."""
        with self.reading() as sql:
            row = sql.one("head")
        if row is None:
            return StoredHead(size=0, frontier=b"", trie=b"", kinds=b"", checkpoint="")
        size, frontier, trie, kinds, checkpoint, latest, trust = row
        return StoredHead(
            size=_whole(size),
            frontier=stored_bytes(frontier),
            trie=stored_bytes(trie),
            kinds=stored_bytes(kinds),
            checkpoint=str(checkpoint),
            latest=None if latest is None else str(latest),
            trust=None if trust is None else _whole(trust),
        )

    def stored_nodes(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (leaf, level, hash) of the tree nodes that the leaves [start, stop) completed, in that order."""
        with self.reading() as sql:
            for index, level, value in sql.long("nodes", start=start, stop=stop):
                yield _whole(index), _whole(level), stored_bytes(value)

    def stored_index(self) -> Iterator[tuple[str, bytes]]:
        """Yield every stored index node by prefix, in order, for verification."""
        with self.reading() as sql:
            for prefix, node in sql.long("index_nodes"):
                yield stored_bytes(prefix).decode("ascii", "replace"), stored_bytes(node)

    def anchors(self) -> tuple[Anchor, ...]:
        """Return what others have said about the log, by size."""
        with self.reading() as sql:
            rows = sql.all("anchors")
        return tuple(
            Anchor(
                size=_whole(size),
                kind=str(kind),
                name=str(name),
                note=str(note),
                data=b"" if data is None else stored_bytes(data),
            )
            for size, kind, name, note, data in rows
        )

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that an entry is in the tree of a size (RFC 6962 section 2.1.1)."""
        with self.reading() as sql:
            return merkle.inclusion_proof(
                lambda level, position: _node(sql, level, position), index, self.size if size is None else size
            )

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that one tree continues another (RFC 6962 section 2.1.2)."""
        with self.reading() as sql:
            return merkle.consistency_proof(lambda level, position: _node(sql, level, position), old, new)

    def index_proof(self, key: bytes) -> tuple[bytes, ...]:
        """Return the proof of how many entries a subject has, and which."""
        with self.reading() as sql:
            return subject_index.prove(lambda prefix: _index_node(sql, prefix), key)

    def node(self, level: int, position: int) -> bytes:
        """Return the hash of a complete subtree, as stored."""
        with self.reading() as sql:
            return _node(sql, level, position)

    def index_node(self, prefix: str) -> bytes | None:
        """Return one stored node of the subject index, not verified."""
        with self.reading() as sql:
            return _index_node(sql, prefix)

    def keys_of(self, index: int) -> tuple[str, ...]:
        """Return the digests of an entry's subjects from the look-up table; for entries whose content is erased."""
        with self.reading() as sql:
            return tuple(stored_bytes(key).hex() for (key,) in sql.all("keys_of", idx=index))

    def writer_tail(self, writer: str, before: int | None = None) -> int | None:
        """Return the index of a writer's last record, or of the last one below an index."""
        with self.reading() as sql:
            row = sql.one("writer_tail", writer=writer, last=MAX_INDEX if before is None else before - 1)
        return None if row is None else _whole(row[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the log for as long as this lasts, whatever others append meanwhile; one inside another is the same."""
        if self._pinned is not None:
            yield
            return
        with self.database.connection() as connection:
            cursor = connection.cursor()
            if self.database.dialect == "sqlite":
                cursor.execute("BEGIN")
                cursor.execute("SELECT size FROM head").fetchall()  # SQLite fixes the state at the first read
            else:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._pinned = connection
            try:
                yield
            finally:
                self._pinned = None

    @contextmanager
    def reading(self) -> Iterator[Runner]:
        """Give what reads: in the snapshot, or on a connection of its own."""
        if self._pinned is not None:
            with self.database.errors():
                yield Runner(self.database.dialect, self._pinned)
            return
        with self.database.connection() as connection:
            yield Runner(self.database.dialect, connection)


def _stored(row: tuple[Any, ...]) -> StoredEntry:
    index, leaf, leaf_hash, data = row
    return StoredEntry(
        index=index,
        leaf=stored_bytes(leaf),
        leaf_hash=stored_bytes(leaf_hash),
        envelope=None if data is None else stored_bytes(data),
    )


def _node(sql: Runner, level: int, position: int) -> bytes:
    completed_by = ((position + 1) << level) - 1
    found = sql.one("node", idx=completed_by, level=level) if level else sql.one("leaf_hash", idx=completed_by)
    if found is None:
        raise VerificationError(
            f"the tree node at level {level}, position {position} is missing",
            next_step="mlgov log verify",
        )
    return stored_bytes(found[0])


def _index_node(sql: Runner, prefix: str) -> bytes | None:
    found = sql.one("index_node", prefix=prefix.encode())
    return None if found is None else stored_bytes(found[0])
