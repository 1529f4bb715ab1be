"""The append-only log in a database: SQLite by default, PostgreSQL by URL, one implementation.

An append writes the leaf, the envelope, the tree nodes that it completes, the index nodes that it changes
and a new signed checkpoint in one transaction, under one lock. Its cost grows with the logarithm of the
log, never with the log. Before a new checkpoint is signed, the stored right edge must reproduce the last signed one.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from ml_governance.errors import ConfigurationError, LedgerError, VerificationError
from ml_governance.evidence import door, entry, merkle, subject_index
from ml_governance.evidence.authorship import holder_of, signer_of
from ml_governance.evidence.checkpoint import Checkpoint, LogSigner, read_note
from ml_governance.evidence.database import Database, refuse_missing_file
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.growth import grow
from ml_governance.evidence.head import Head, Receipt
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.reader import LogReader, stored_bytes
from ml_governance.evidence.schema import SCHEMA_VERSION, Runner, guards, metadata, table
from ml_governance.evidence.trust import read as read_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from ml_governance.evidence.door import Guard
    from ml_governance.evidence.reader import Anchor
    from ml_governance.evidence.trust import Principal, TrustFile


class _Added(NamedTuple):
    """What an insertion made: known to be in the log once it is committed."""

    receipts: tuple[Receipt, ...]
    trie: subject_index.Trie
    row: tuple[object, ...]
    promise: Checkpoint
    tails: dict[str, entry.Leaf]


CACHED_NODES = 16_384
"""How many index nodes a ledger keeps in memory; each is below 2 KB."""


def _utc_now() -> datetime:
    """Return what this machine's clock says."""
    return datetime.now(UTC)


class Ledger(LogReader):
    """One log. Made by :meth:`create` or :meth:`open`.

    ``clock`` is what entries are held against when they are appended: none may be from the future.
    """

    def __init__(
        self,
        database: Database,
        origin: str,
        log_signer: LogSigner | None,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(database, origin)
        self._log_signer = log_signer
        self._clock = clock
        self._trust: tuple[int, TrustFile] | None = None
        self._signed: tuple[str, Checkpoint] | None = None  # a note whose signature is known to verify
        # The row that this process wrote last, what it says, and the last leaf of each writer in that append: one value, so that
        # a thread never meets one half of it with another's.
        self._edge: tuple[tuple[object, ...], Head, dict[str, entry.Leaf]] | None = None
        self._trie: subject_index.Trie | None = None  # the index as this process left it

    # --- making and opening ---------------------------------------------------------------------------

    @classmethod
    def create(cls, url: str, *, origin: str, log_signer: LogSigner, clock: Callable[[], datetime] = _utc_now) -> Self:
        """Make the tables of a new, empty log.

        Raises
        ------
        ConfigurationError
            If the database already holds a ledger.
        LedgerError
            If it cannot be written.
        """
        database = Database(url)
        with database.errors():
            if _has_meta(database):
                raise ConfigurationError(
                    f"{database.shown} already holds a ledger",
                    expected="an empty database",
                    next_step="use another database, or the workspace whose governance.toml names this one",
                )
            metadata().create_all(database.engine)
            ledger = cls(database, origin, log_signer, clock=clock)
            with ledger.writing() as connection:
                connection.execute(
                    table("meta").insert(),
                    [{"key": "schema", "value": str(SCHEMA_VERSION)}, {"key": "origin", "value": origin}],
                )
                empty = Head(merkle.Frontier(), subject_index.EMPTY_TRIE, {})
                connection.execute(table("head").insert(), {"id": 1, **empty.signed(origin, log_signer)[1]})
                for statement in guards(database.dialect):
                    connection.exec_driver_sql(statement)
        return ledger

    @classmethod
    def open(cls, url: str, *, log_signer: LogSigner | None = None, clock: Callable[[], datetime] = _utc_now) -> Self:
        """Open a log; without a log signer it can only be read.

        Raises
        ------
        LedgerError
            If the database is missing, is no ledger, or has tables of another version.
        """
        refuse_missing_file(url)
        database = Database(url)
        try:
            return cls(database, _origin_of(database), log_signer, clock=clock)
        except BaseException:
            database.close()
            raise

    # --- appending --------------------------------------------------------------------------------------

    def append(self, envelopes: Sequence[Envelope], *, guard: Guard | None = None) -> tuple[Receipt, ...]:
        """Append entries that somebody signed, in one transaction; all of them, or none.

        Parameters
        ----------
        envelopes : sequence of Envelope
            Signed statements; each signature is verified.
        guard : Guard, optional
            Condition that must hold at that moment.

        Returns
        -------
        tuple of Receipt
            One for each entry, all with the same checkpoint.

        Raises
        ------
        VerificationError
            If an entry has a wrong form, is from another log, was appended before, or is signed by nobody whom the
            trust file in force names.
        ChainConflictError
            If it does not continue its writer's chain.
        GuardError
            If the guard does not hold.
        LedgerError
            If the database cannot be written; nothing was appended.
        """
        return self._append([entry.read(envelope.to_bytes()) for envelope in envelopes], signer_of, guard)

    def append_own(
        self, entries: Sequence[entry.Entry], *, guard: Guard | None = None, erases: int | None = None
    ) -> tuple[Receipt, ...]:
        """Append entries that this process has just signed: as :meth:`append`, without verifying its own signatures.

        With ``erases``, the stored content of that entry goes in the same transaction.
        """
        return self._append(entries, _own, guard, erases)

    def forget(self) -> None:
        """Make the database forget what was deleted from it: overwrite free space, and shorten the write-ahead log."""
        with self.database.errors():
            if self.database.dialect == "sqlite":
                with self.database.connection() as raw:
                    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                        raw.cursor().execute(statement).fetchall()
            else:
                with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.exec_driver_sql("VACUUM FULL blobs")

    def keep_anchor(self, anchor: Anchor) -> None:
        """Keep what somebody else said about the log; the same again replaces it."""
        kept = table("anchors")
        with self.writing() as connection:
            connection.execute(
                kept.delete().where(
                    (kept.c.size == anchor.size) & (kept.c.kind == anchor.kind) & (kept.c.name == anchor.name)
                )
            )
            connection.execute(
                kept.insert(),
                {
                    "size": anchor.size, "kind": anchor.kind, "name": anchor.name, "note": anchor.note, "data": anchor.data,
                },
            )  # fmt: skip

    def _append(
        self,
        entries: Sequence[entry.Entry],
        author: Callable[[entry.Entry, TrustFile, int], Principal],
        guard: Guard | None,
        erases: int | None = None,
    ) -> tuple[Receipt, ...]:
        if self._log_signer is None:
            raise ConfigurationError(
                "the ledger is open for reading only", expected="a log key to sign checkpoints with"
            )
        if not entries:
            return ()
        for one in entries:
            if one.chain.log != self.origin:
                raise VerificationError(f"the entry was signed for the log {one.chain.log}", expected=self.origin)
        with self._locked() as sql:
            if erases is not None:
                sql.overwrite_deleted()
            head, tails = self._load_head(sql)
            first = head.frontier.size
            door.hold_guard(sql, guard, first)
            door.continue_chains(sql, entries, tails)
            current = self._trust_in_force(sql, head.trust)
            coming = door.know_signers(current, first, entries, author)
            head.latest = door.keep_time(sql, current, head.latest, first, entries, now=self._clock())
            if author is signer_of:
                door.keep_sessions_in_time(sql, entries)
            if coming is not None:
                head.trust = first + coming[0]
                current = coming[1]
            door.know_log_key(current, self._log_signer.public, first + len(entries))
            added = self._insert(sql, head, entries, self._log_signer)
            if guard is not None and guard.token is not None:
                sql.run("use_token", token=guard.token, idx=first)
            if erases is not None:
                door.erase(sql, entries, erases)
        self._remember(head, added)
        return added.receipts

    def _trust_in_force(self, sql: Runner, index: int | None) -> TrustFile | None:
        if index is None:
            return None
        if self._trust is None or self._trust[0] != index:
            row = sql.one("blob", idx=index)
            if row is None:
                raise VerificationError(f"the trust file in force, entry #{index}, is missing")
            content = entry.read(stored_bytes(row[0])).content
            if not isinstance(content, TrustUpdate):
                raise VerificationError(f"entry #{index} is no trust file", next_step="mlgov log verify")
            self._trust = (index, read_trust(Envelope.from_dict(content.envelope)))
        return self._trust[1]

    def insert(self, connection: Connection, head: Head, entries: Sequence[entry.Entry]) -> None:
        """Write entries that were checked elsewhere, as a migration does, inside a transaction of :meth:`writing`."""
        assert self._log_signer is not None  # noqa: S101  a migration has it; this tells the type checker
        sql = Runner(self.database.dialect, connection.connection)
        self._remember(head, self._insert(sql, head, entries, self._log_signer))

    def _insert(self, sql: Runner, head: Head, entries: Sequence[entry.Entry], signer: LogSigner) -> _Added:
        trie = self._index_at(head.trie, sql)
        growth = grow(head, trie, entries)
        for statement, rows in growth.rows.items():
            if rows:
                sql.many(statement, rows)
        promise, row = head.signed(self.origin, signer)
        sql.run("save_head", **row)
        note = str(row["checkpoint"])
        receipts = tuple(
            Receipt(
                index=index, payload_digest=one.leaf.payload, leaf_hash=hashed, checkpoint=note, size=promise.size,
                edge=growth.edge,
            )
            for index, (one, hashed) in enumerate(zip(entries, growth.hashes, strict=True), promise.size - len(entries))
        )  # fmt: skip
        return _Added(receipts, trie, tuple(row.values()), promise, {one.leaf.writer: one.leaf for one in entries})

    def _index_at(self, root: bytes, sql: Runner) -> subject_index.Trie:
        """Return the index that hangs from a root: the one this process left, or another that is read as it is needed."""
        trie, self._trie = self._trie, None  # what follows changes it, and may fail
        if trie is None or trie.root != root or len(trie) > CACHED_NODES:
            trie = subject_index.Trie(root=root)

        def read(prefix: str) -> bytes | None:
            row = sql.one("index_node", prefix=prefix.encode())
            return None if row is None else stored_bytes(row[0])

        trie.read = read
        return trie

    def _remember(self, head: Head, added: _Added) -> None:
        """Keep what was committed, so that the next append need not read it again; a row of another process tells."""
        self._signed = (added.receipts[0].checkpoint, added.promise)
        self._trie, self._edge = added.trie, (added.row, head, added.tails)

    def _load_head(self, sql: Runner) -> tuple[Head, dict[str, entry.Leaf]]:
        """Read the right edge under the lock, and refuse to go on if it is not what was last signed.

        With it come the last leaves of writers that need not be read: none, unless this process was the last to append.
        """
        row = sql.one("lock_head")
        if row is None:
            raise VerificationError("the ledger has lost its head", next_step="mlgov log verify")
        mine, self._edge = self._edge, None  # what follows changes it, and may fail
        if mine is not None and mine[0] == tuple(row):
            return mine[1:]
        self._trust = None  # where another process appended, or a backup was restored, another may be in its place
        size, frontier, trie, kinds, note, latest, trust = row
        try:
            head = Head(
                frontier=merkle.Frontier.from_bytes(size, stored_bytes(frontier)),
                trie=stored_bytes(trie),
                kinds=subject_index.unpack_kinds(stored_bytes(kinds)),
                latest=datetime.fromisoformat(latest) if latest else None,
                trust=trust,
            )
        except (TypeError, ValueError) as error:
            raise VerificationError(
                f"the ledger's head cannot be read: {error}", next_step="mlgov log verify"
            ) from error
        signer = self._log_signer
        assert signer is not None  # noqa: S101  append has checked; this tells the type checker
        if self._signed is None or self._signed[0] != note:
            # After the log has changed its key, the newest checkpoint may be by the one before.
            current = self._trust_in_force(sql, trust)
            known = (signer.public,) if current is None else current.log_keys
            self._signed = (note, read_note(note, known, origin=self.origin))
        if self._signed[1] != head.promise(self.origin)[0]:
            raise VerificationError(
                f"the stored edge of the tree (size {size}) is not the one that was last signed",
                expected="an edge that reproduces the signed root",
                next_step="mlgov log verify",
            )
        return head, {}

    @contextmanager
    def _locked(self) -> Iterator[Runner]:
        """Hold the log's only write transaction with the driver itself, for the statements of an append."""
        with self.database.connection() as raw:
            if self.database.dialect == "sqlite":
                raw.cursor().execute("BEGIN IMMEDIATE")
            try:
                yield Runner(self.database.dialect, raw)
            except BaseException:
                raw.rollback()
                raise
            raw.commit()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold the log's only write transaction: committed at the end, rolled back on any error."""
        with self.database.errors(), self.database.engine.connect() as connection:
            if self.database.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
            else:
                with connection.begin():
                    yield connection


def _has_meta(database: Database) -> bool:
    with database.connection() as raw:
        return Runner(database.dialect, raw).one("has_meta") is not None


def _origin_of(database: Database) -> str:
    """Return the name of the log in a database, whose tables must be of the present version."""
    if not _has_meta(database):
        raise LedgerError(f"{database.shown} holds no ledger", expected="a database made by mlgov init")
    with database.connection() as raw:
        rows = Runner(database.dialect, raw).all("meta")
    found = {str(key): str(value) for key, value in rows}
    if found.get("schema") != str(SCHEMA_VERSION) or "origin" not in found:
        older = found.get("schema", "").isdigit() and int(found["schema"]) < SCHEMA_VERSION
        raise LedgerError(
            f"the ledger at {database.shown} has schema {found.get('schema')!r}",
            expected=f"schema {SCHEMA_VERSION}",
            next_step="mlgov log migrate" if older else "use the version of ml-governance that wrote it",
        )
    return found["origin"]


def _own(one: entry.Entry, current: TrustFile, index: int) -> Principal:
    return holder_of(one.leaf, current, index)
