"""The append-only log in a database: SQLite by default, PostgreSQL by URL, one implementation.

An append writes the leaf, the envelope, the tree nodes that it completes, the index nodes that it changes
and a new signed checkpoint in one transaction, under one lock. Its cost grows with the logarithm of the
log, never with the log. Before a new checkpoint is signed, the stored right edge must reproduce the last signed one.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from ml_governance.errors import ConfigurationError, LedgerError, VerificationError
from ml_governance.evidence import entry, merkle, subject_index
from ml_governance.evidence.authorship import holder_of, signer_of
from ml_governance.evidence.checkpoint import Checkpoint, LogSigner, read_note
from ml_governance.evidence.database import database_errors, engine_for, refuse_missing_file, shown
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import Erasure, TrustUpdate, WriterClose, WriterOpen
from ml_governance.evidence.reader import LogReader
from ml_governance.evidence.schema import SCHEMA_VERSION, Statements, guards, metadata, table
from ml_governance.evidence.trust import TrustFile, verify_successor
from ml_governance.evidence.trust import read as read_trust
from ml_governance.evidence.walk import ERASER, MAX_SKEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from ml_governance.evidence.reader import Anchor
    from ml_governance.evidence.schema import Runner
    from ml_governance.evidence.trust import Principal


class GuardError(VerificationError):
    """A guarded append was refused: relevant evidence came in between, or the pass was used before."""


class ChainConflictError(VerificationError):
    """A record does not continue its writer's chain as the ledger has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A condition that must hold inside the appending transaction.

    Parameters
    ----------
    since : int
        No leaf from this index on may be about ``keys`` or of ``kinds``.
    keys : frozenset of bytes
        Digests of subjects.
    kinds : frozenset of str
        Kinds of entries.
    token : str, optional
        A single-use pass; a second use is refused.
    """

    since: int
    keys: frozenset[bytes] = frozenset()
    kinds: frozenset[str] = frozenset()
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a writer keeps: its entry is in the log whose checkpoint this is.

    Parameters
    ----------
    index : int
        Ledger index.
    payload_digest : str
        How other evidence refers to the entry.
    leaf_hash : bytes
        RFC 6962 leaf hash.
    checkpoint : str
        Signed note over the tree that holds it.
    size : int
        Number of leaves of that tree.
    edge : mapping of (int, int) to bytes
        The hashes of that tree from which the proof is taken.
    """

    index: int
    payload_digest: str
    leaf_hash: bytes = field(repr=False)
    checkpoint: str = field(repr=False)
    size: int
    edge: Mapping[tuple[int, int], bytes] = field(repr=False)

    @property
    def proof(self) -> tuple[bytes, ...]:
        """Inclusion proof for the checkpoint's tree (RFC 6962 section 2.1.1)."""
        # Whatever stands left of a new leaf is on the old edge, whatever stands right of it is new.
        return merkle.inclusion_proof(lambda level, position: self.edge[level, position], self.index, self.size)


@dataclass(slots=True)
class Head:
    """The right edge from which the log grows, while it grows.

    Parameters
    ----------
    frontier : Frontier
        Of the tree.
    trie : bytes
        Root of the index over subjects.
    kinds : dict of str to Value
        The index over kinds.
    latest : datetime, optional
        The newest time of an entry.
    trust : int, optional
        Index of the trust file in force.
    """

    frontier: merkle.Frontier
    trie: bytes
    kinds: dict[str, subject_index.Value]
    latest: datetime | None = None
    trust: int | None = None

    def row(self, origin: str, signer: LogSigner) -> dict[str, object]:
        """Return the stored form, with a signed checkpoint."""
        return {
            "id": 1, "size": self.frontier.size, "frontier": self.frontier.to_bytes(), "trie": self.trie,
            "kinds": subject_index.pack_kinds(self.kinds), "checkpoint": signer.sign(self.checkpoint(origin)),
            "latest": self.latest.isoformat() if self.latest else None, "trust": self.trust,
        }  # fmt: skip

    def checkpoint(self, origin: str) -> Checkpoint:
        """Return what the log promises at this edge."""
        return Checkpoint(
            origin=origin,
            size=self.frontier.size,
            root=self.frontier.root,
            index_root=subject_index.index_root(self.trie, subject_index.pack_kinds(self.kinds)),
        )


CACHED_NODES = 16_384
"""How many index nodes a ledger keeps in memory; each is below 2 KB."""


class Ledger(LogReader):
    """One log. Made by :meth:`create` or :meth:`open`."""

    def __init__(self, engine: Engine, origin: str, log_signer: LogSigner | None) -> None:
        super().__init__(engine, origin)
        self._log_signer = log_signer
        self._statements = Statements(engine.dialect)
        self._trust: tuple[int, TrustFile] | None = None
        self._signed: tuple[str, Checkpoint] | None = None  # a note whose signature is known to verify
        self._index_nodes: tuple[bytes, dict[str, bytes]] = (b"", {})

    # --- making and opening ---------------------------------------------------------------------------

    @classmethod
    def create(cls, url: str, *, origin: str, log_signer: LogSigner) -> Self:
        """Make the tables of a new, empty log.

        Raises
        ------
        LedgerError
            If the database cannot be written or already holds a ledger.
        """
        from sqlalchemy import inspect

        engine = engine_for(url)
        with database_errors(engine):
            if inspect(engine).has_table("meta"):
                raise LedgerError(f"{shown(engine)} already holds a ledger", expected="an empty database")
            metadata().create_all(engine)
            ledger = cls(engine, origin, log_signer)
            with ledger.writing() as connection:
                connection.execute(
                    table("meta").insert(),
                    [{"key": "schema", "value": str(SCHEMA_VERSION)}, {"key": "origin", "value": origin}],
                )
                empty = Head(merkle.Frontier(), subject_index.EMPTY_TRIE, {})
                connection.execute(table("head").insert(), empty.row(origin, log_signer))
                for statement in guards(engine.dialect.name):
                    connection.exec_driver_sql(statement)
        return ledger

    @classmethod
    def open(cls, url: str, *, log_signer: LogSigner | None = None) -> Self:
        """Open a log; without a log signer it can only be read.

        Raises
        ------
        LedgerError
            If the database is missing, is no ledger, or has tables of another version.
        """
        refuse_missing_file(url)
        engine = engine_for(url)
        try:
            return cls(engine, _origin_of(engine), log_signer)
        except BaseException:
            engine.dispose()
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
        with database_errors(self._engine):
            if self._engine.dialect.name == "sqlite":
                with self._engine.connect() as connection:
                    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                        connection.exec_driver_sql(statement)
            else:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
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
        with self.writing() as connection:
            if erases is not None and self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            sql = self._statements.on(connection)
            head = self._load_head(connection, sql)
            first = head.frontier.size
            self._hold_guard(connection, guard, first)
            self._continue_chains(sql, entries)
            self._know_signers(connection, head, entries, author)
            self._keep_time(head, entries)
            if author is signer_of:
                self._keep_sessions_in_time(connection, entries)
            receipts, changed = self._insert(sql, head, entries, self._log_signer)
            if guard is not None and guard.token is not None:
                connection.execute(table("tokens").insert(), {"token": guard.token, "idx": first})
            if erases is not None:
                self._erase(connection, entries, erases)
        self._remember_nodes(head.trie, changed)
        return receipts

    @staticmethod
    def _hold_guard(connection: Connection, guard: Guard | None, size: int) -> None:
        from sqlalchemy import select

        if guard is None:
            return
        subjects, kinds = table("entries_by_key").c, table("entries_by_kind").c
        late = [
            connection.execute(
                select(rows.idx).where(named.in_(sorted(wanted)), rows.idx >= guard.since).order_by(rows.idx).limit(1)
            ).scalar()
            for rows, named, wanted in ((subjects, subjects["key"], guard.keys), (kinds, kinds["kind"], guard.kinds))
        ]
        found = [index for index in late if index is not None]
        if found:
            raise GuardError(
                f"entry #{min(found)} came in while this was being prepared (the ledger now has {size} entries)",
                expected=f"nothing relevant from #{guard.since} on",
                next_step="decide again",
            )
        if guard.token is not None:
            tokens = table("tokens").c
            used = connection.execute(select(tokens.idx).where(tokens.token == guard.token)).scalar()
            if used is not None:
                raise GuardError(f"this pass was used by entry #{used}", expected="a new decision for each promotion")

    @staticmethod
    def _continue_chains(sql: Runner, entries: Sequence[entry.Entry]) -> None:
        tails: dict[str, tuple[int, entry.Leaf] | None] = {}
        for one in entries:
            writer = one.chain.writer
            if writer not in tails:
                row = sql.one("tail", writer=writer)
                tails[writer] = (row[0], entry.Leaf.from_bytes(row[1])) if row is not None else None
            tail = tails[writer]
            expected = (0, None) if tail is None else (tail[0] + 1, tail[1].payload)
            if (one.chain.seq, one.chain.prev) != expected:
                raise ChainConflictError(
                    f"record {one.chain.seq} of writer {writer} does not continue its chain",
                    expected=f"record {expected[0]}",
                )
            if tail is not None and one.leaf.keyid != tail[1].keyid:
                raise ChainConflictError(
                    f"record {one.chain.seq} of writer {writer} is signed with another key, {one.leaf.keyid[:16]}",
                    expected=f"the key that opened the session, {tail[1].keyid[:16]}",
                )
            if isinstance(one.content, WriterClose) and one.content.records != one.chain.seq + 1:
                raise ChainConflictError(
                    f"writer {writer} closes after {one.content.records} records",
                    expected=f"{one.chain.seq + 1}, which are here",
                )
            closed = tail is not None and tail[1].kind == WriterClose.kind
            if (tail is None) != (one.kind == WriterOpen.kind) or closed:
                raise ChainConflictError(
                    f"writer {writer} {'has closed' if closed else 'opens at the wrong place'}",
                    expected="an opening record first, and nothing after the closing one",
                )
            tails[writer] = (one.chain.seq, one.leaf)

    def _know_signers(
        self,
        connection: Connection,
        head: Head,
        entries: Sequence[entry.Entry],
        author: Callable[[entry.Entry, TrustFile, int], Principal],
    ) -> None:
        """Refuse what a later verification would have to call signed by nobody: it would spoil the log for good."""
        current = self._trust_in_force(connection, head.trust)
        for index, one in enumerate(entries, head.frontier.size):
            if isinstance(one.content, TrustUpdate):
                update = Envelope.from_dict(one.content.envelope)
                coming = read_trust(update) if current is None else verify_successor(update, current)
                # Whoever the trust file in force names puts the next one in force.
                author(one, current or coming, index)
                current, head.trust = coming, index
                continue
            if current is None:
                if index:
                    raise VerificationError("the log has no trust file yet", expected="a trust file as its first fact")
                continue  # the root's own session opens before the trust file that names it
            principal = author(one, current, index)
            if isinstance(one.content, Erasure) and ERASER not in principal.roles:
                raise VerificationError(f"{principal.id} may not erase content", expected=f"the role {ERASER}")

    @staticmethod
    def _erase(connection: Connection, entries: Sequence[entry.Entry], index: int) -> None:
        """Delete an entry's content, if one of the new entries says so; otherwise it would be called missing."""
        from sqlalchemy import select

        leaves, blobs = table("leaves").c, table("blobs")
        data = connection.execute(select(leaves.leaf).where(leaves.idx == index)).scalar_one_or_none()
        payload = entry.Leaf.from_bytes(data).payload if data is not None else None
        said = {(one.content.leaf, one.content.payload) for one in entries if isinstance(one.content, Erasure)}
        if (index, payload) not in said:
            raise VerificationError(
                f"no entry says that #{index} is erased", expected="an erasure that names it and its digest"
            )
        connection.execute(blobs.delete().where(blobs.c.idx == index))

    def _trust_in_force(self, connection: Connection, index: int | None) -> TrustFile | None:
        from sqlalchemy import select

        if index is None:
            return None
        if self._trust is None or self._trust[0] != index:
            blobs = table("blobs").c
            data = connection.execute(select(blobs.data).where(blobs.idx == index)).scalar_one_or_none()
            if data is None:
                raise VerificationError(f"the trust file in force, entry #{index}, is missing")
            content = entry.read(data).content
            if not isinstance(content, TrustUpdate):
                raise VerificationError(f"entry #{index} is no trust file", next_step="mlgov log verify")
            self._trust = (index, read_trust(Envelope.from_dict(content.envelope)))
        return self._trust[1]

    @staticmethod
    def _keep_time(head: Head, entries: Sequence[entry.Entry]) -> None:
        """Refuse what a later verification would have to call backdated."""
        for one in entries:
            at = one.chain.recorded_at
            if head.latest is not None and head.latest - at > MAX_SKEW:
                raise VerificationError(
                    f"the record says it is {at.isoformat()}, and the log already has an entry from {head.latest.isoformat()}",
                    expected=f"a clock that is right to {int(MAX_SKEW.total_seconds() // 60)} minutes",
                    next_step="set this machine's clock",
                )
            head.latest = at if head.latest is None else max(head.latest, at)

    @staticmethod
    def _keep_sessions_in_time(connection: Connection, entries: Sequence[entry.Entry]) -> None:
        """Refuse a record that says it is older than the one before it; our own writers see to that themselves."""
        from sqlalchemy import select

        leaves, blobs = table("leaves").c, table("blobs").c
        latest: dict[str, datetime] = {}
        for one in entries:
            writer, at = one.chain.writer, one.chain.recorded_at
            if writer not in latest and one.chain.seq:
                query = select(blobs.data).where(blobs.idx == leaves.idx, leaves.writer == writer)
                data = connection.execute(query.where(leaves.seq == one.chain.seq - 1)).scalar_one_or_none()
                if data is not None:  # otherwise its content was erased, and its time with it
                    latest[writer] = entry.read(data).chain.recorded_at
            if writer in latest and at < latest[writer]:
                raise ChainConflictError(
                    f"record {one.chain.seq} of writer {writer} goes back in time, to {at.isoformat()}",
                    expected=f"{latest[writer].isoformat()}, the time of the record before it, or later",
                )
            latest[writer] = at

    def insert(self, connection: Connection, head: Head, entries: Sequence[entry.Entry]) -> None:
        """Write entries that were checked elsewhere, as a migration does, inside a transaction of :meth:`writing`."""
        assert self._log_signer is not None  # noqa: S101  a migration has it; this tells the type checker
        _, changed = self._insert(self._statements.on(connection), head, entries, self._log_signer)
        self._remember_nodes(head.trie, changed)

    def _insert(
        self, sql: Runner, head: Head, entries: Sequence[entry.Entry], signer: LogSigner
    ) -> tuple[tuple[Receipt, ...], dict[str, bytes]]:
        rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _ADDED}
        edge = head.frontier.nodes()
        trie = subject_index.Trie(self._read_index(sql, head.trie), head.trie)
        placed = []
        for index, one in enumerate(entries, head.frontier.size):
            leaf = one.leaf.to_bytes()
            hashed = merkle.leaf_hash(leaf)
            head.frontier, completed = head.frontier.append(hashed)
            for level, position, value in completed:
                edge[level, position] = value
                if level:
                    rows["nodes"].append((index, level, value))
            for key in one.digests():
                after = trie.extend(key, index, hashed)
                rows["entries_by_key"].append((key, index, after.count, after.head))
            head.kinds[one.kind] = after = head.kinds.get(one.kind, subject_index.Value()).extended(index, hashed)
            rows["entries_by_kind"].append((one.kind, index, after.count, after.head))
            rows["leaves"].append((index, leaf, hashed, one.leaf.writer, one.leaf.seq))
            rows["blobs"].append((index, one.data))
            placed.append((index, one, hashed))
        head.trie, changed = trie.commit()
        for name in _ADDED:
            if rows[name]:
                sql.many(f"add_{name}", rows[name])
        sql.many("save_index", [(prefix.encode(), node) for prefix, node in changed.items()])
        row = head.row(self.origin, signer)
        sql.run("save_head", **row)
        note = str(row["checkpoint"])
        self._signed = (note, head.checkpoint(self.origin))
        size = head.frontier.size
        receipts = tuple(
            Receipt(
                index=index,
                payload_digest=one.leaf.payload,
                leaf_hash=hashed,
                checkpoint=note,
                size=size,
                edge=edge,
            )
            for index, one, hashed in placed
        )
        return receipts, changed

    def _read_index(self, sql: Runner, trie: bytes) -> Callable[[str], bytes | None]:
        if self._index_nodes[0] != trie or len(self._index_nodes[1]) > CACHED_NODES:
            self._index_nodes = (trie, {})
        known = self._index_nodes[1]

        def read(prefix: str) -> bytes | None:
            found = known.get(prefix)
            if found is None:
                row = sql.one("index_node", prefix=prefix.encode())
                if row is not None:
                    found = known[prefix] = bytes(row[0])
            return found

        return read

    def _remember_nodes(self, trie: bytes, changed: dict[str, bytes]) -> None:
        """Keep the nodes of the committed state; another process's append makes them unfit, and its root tells."""
        known = self._index_nodes[1]
        known.update(changed)
        self._index_nodes = (trie, known)

    def _load_head(self, connection: Connection, sql: Runner) -> Head:
        """Read the right edge under the lock, and refuse to go on if it is not what was last signed."""
        row = sql.one("head")
        if row is None:
            raise VerificationError("the ledger has lost its head", next_step="mlgov log verify")
        size, frontier, trie, kinds, note, latest, trust = row
        head = Head(
            frontier=merkle.Frontier.from_bytes(size, frontier),
            trie=bytes(trie),
            kinds=subject_index.unpack_kinds(kinds),
            latest=datetime.fromisoformat(latest) if latest else None,
            trust=trust,
        )
        signer = self._log_signer
        assert signer is not None  # noqa: S101  append has checked; this tells the type checker
        if self._signed is None or self._signed[0] != note:
            # While the log changes its key, the newest checkpoint may be by the one before.
            current = self._trust_in_force(connection, trust)
            known = (signer.public, *(current.log_keys if current is not None else ()))
            if current is not None and signer.public not in current.log_keys:
                raise VerificationError(
                    f"no key that counts would sign: the trust file in force does not name this log key of {signer.public.name}",
                    expected=f"one of {len(current.log_keys)} keys that it names",
                )
            self._signed = (note, read_note(note, known, origin=self.origin))
        if self._signed[1] != head.checkpoint(self.origin):
            raise VerificationError(
                f"the stored edge of the tree (size {size}) is not the one that was last signed",
                expected="an edge that reproduces the signed root",
                next_step="mlgov log verify",
            )
        return head

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold the log's only write transaction: committed at the end, rolled back on any error."""
        with database_errors(self._engine), self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
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


def _origin_of(engine: Engine) -> str:
    """Return the name of the log in a database, whose tables must be of the present version."""
    from sqlalchemy import inspect, select

    with database_errors(engine):
        if not inspect(engine).has_table("meta"):
            raise LedgerError(f"{shown(engine)} holds no ledger", expected="a database made by mlgov init")
        with engine.connect() as connection:
            rows = connection.execute(select(table("meta").c.key, table("meta").c.value)).all()
    found = {str(key): str(value) for key, value in rows}
    if found.get("schema") != str(SCHEMA_VERSION) or "origin" not in found:
        older = found.get("schema", "").isdigit() and int(found["schema"]) < SCHEMA_VERSION
        raise LedgerError(
            f"the ledger at {shown(engine)} has schema {found.get('schema')!r}",
            expected=f"schema {SCHEMA_VERSION}",
            next_step="mlgov log migrate" if older else "use the version of ml-governance that wrote it",
        )
    return found["origin"]


def _own(one: entry.Entry, current: TrustFile, index: int) -> Principal:
    return holder_of(one.leaf, current, index)


_ADDED = ("leaves", "blobs", "nodes", "entries_by_key", "entries_by_kind")
"""The tables to which an append only adds, in the order in which it does."""
