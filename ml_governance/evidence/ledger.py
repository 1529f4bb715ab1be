"""The append-only log in a database: SQLite by default, PostgreSQL by URL, one implementation.

An append writes the leaf, the envelope, the tree nodes that it completes, the index nodes that it changes
and a new signed checkpoint in one transaction, under one lock. Its cost grows with the logarithm of the
log, never with the log. Before a new checkpoint is signed, the stored right edge must reproduce the last signed one.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from ml_governance.errors import ConfigurationError, LedgerError, VerificationError
from ml_governance.evidence import entry, merkle, subject_index
from ml_governance.evidence.authorship import signer_of
from ml_governance.evidence.canonical import parse
from ml_governance.evidence.checkpoint import Checkpoint, LogSigner, read_note
from ml_governance.evidence.database import database_errors, engine_for, refuse_missing_file
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrustUpdate, WriterClose, WriterOpen
from ml_governance.evidence.reader import LogReader
from ml_governance.evidence.schema import APPEND_ONLY, SCHEMA_VERSION, metadata, table
from ml_governance.evidence.trust import TrustFile, verify_successor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine


MAX_SKEW = timedelta(minutes=10)
"""How far an entry's time may lie before an earlier entry's: clocks differ, history does not."""


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
        No leaf from this index on may be found under ``keys``.
    keys : frozenset of bytes
        Index keys: subject digests and kind keys.
    token : str, optional
        A single-use pass; a second use is refused.
    """

    since: int
    keys: frozenset[bytes]
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
    proof : tuple of bytes
        Inclusion proof for that tree.
    """

    index: int
    payload_digest: str
    leaf_hash: bytes = field(repr=False)
    checkpoint: str = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)


@dataclass(slots=True)
class _Head:
    frontier: merkle.Frontier
    index_root: bytes
    latest: datetime | None = None


class Ledger(LogReader):
    """One log. Made by :meth:`create` or :meth:`open`."""

    def __init__(self, engine: Engine, origin: str, log_signer: LogSigner | None) -> None:
        super().__init__(engine, origin)
        self._log_signer = log_signer
        self._trust: tuple[bytes, TrustFile] | None = None

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
        with database_errors(url):
            if inspect(engine).has_table("meta"):
                raise LedgerError(f"{url} already holds a ledger", expected="an empty database")
            metadata().create_all(engine)
            ledger = cls(engine, origin, log_signer)
            empty = _Head(merkle.Frontier(), subject_index.EMPTY_ROOT)
            with engine.begin() as connection:
                connection.execute(
                    table("meta").insert(),
                    [{"key": "schema", "value": str(SCHEMA_VERSION)}, {"key": "origin", "value": origin}],
                )
                note = ledger._sign(empty)
                connection.execute(
                    table("head").insert(),
                    {"id": 1, "size": 0, "frontier": b"", "index_root": empty.index_root, "checkpoint": note},
                )
                if engine.dialect.name == "sqlite":
                    for statement in APPEND_ONLY:
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
        from sqlalchemy import inspect, select

        refuse_missing_file(url)
        engine = engine_for(url)
        with database_errors(url):
            if not inspect(engine).has_table("meta"):
                raise LedgerError(f"{url} holds no ledger", expected="a database made by mlgov init")
            with engine.connect() as connection:
                rows = connection.execute(select(table("meta").c.key, table("meta").c.value)).all()
        found = {str(key): str(value) for key, value in rows}
        if found.get("schema") != str(SCHEMA_VERSION) or "origin" not in found:
            raise LedgerError(
                f"the ledger at {url} has schema {found.get('schema')!r}",
                expected=f"schema {SCHEMA_VERSION}",
                next_step="use the version of ml-governance that wrote it",
            )
        return cls(engine, found["origin"], log_signer)

    # --- appending --------------------------------------------------------------------------------------

    def append(self, envelopes: Sequence[Envelope], *, guard: Guard | None = None) -> tuple[Receipt, ...]:
        """Append signed entries in one transaction; all of them, or none.

        Parameters
        ----------
        envelopes : sequence of Envelope
            Signed statements.
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
        if self._log_signer is None:
            raise ConfigurationError(
                "the ledger is open for reading only", expected="a log key to sign checkpoints with"
            )
        # Everything that needs no lock comes before it.
        parsed = [entry.read(envelope) for envelope in envelopes]
        for one in parsed:
            if one.chain.log != self.origin:
                raise VerificationError(f"the entry was signed for the log {one.chain.log}", expected=self.origin)
        with self._writing() as connection:
            head = self._load_head(connection)
            first = head.frontier.size
            self._hold_guard(connection, guard, first)
            self._continue_chains(connection, parsed)
            self._know_signers(connection, parsed, first)
            self._keep_time(head, parsed)
            receipts = self._insert(connection, head, parsed)
            if guard is not None and guard.token is not None:
                connection.execute(table("tokens").insert(), {"token": guard.token, "idx": first})
            note = self._save_head(connection, head)
            return tuple(self._receipt(connection, index, one, note, head.frontier.size) for index, one in receipts)

    def _hold_guard(self, connection: Connection, guard: Guard | None, size: int) -> None:
        from sqlalchemy import select

        if guard is None:
            return
        keyed = table("entries_by_key").c
        late = connection.execute(
            select(keyed.idx)
            .where(keyed.key.in_(sorted(guard.keys)), keyed.idx >= guard.since)
            .order_by(keyed.idx)
            .limit(1)
        ).scalar()
        if late is not None:
            raise GuardError(
                f"entry #{late} came in while this was being prepared (the ledger now has {size} entries)",
                expected=f"nothing relevant from #{guard.since} on",
                next_step="decide again",
            )
        if guard.token is not None:
            tokens = table("tokens").c
            used = connection.execute(select(tokens.idx).where(tokens.token == guard.token)).scalar()
            if used is not None:
                raise GuardError(f"this pass was used by entry #{used}", expected="a new decision for each promotion")

    def _continue_chains(self, connection: Connection, parsed: Sequence[entry.Parsed]) -> None:
        tails: dict[str, tuple[int, str, bool] | None] = {}
        for one in parsed:
            writer = one.chain.writer
            if writer not in tails:
                tails[writer] = self._tail(connection, writer)
            tail = tails[writer]
            expected = (0, None) if tail is None else (tail[0] + 1, tail[1])
            if (one.chain.seq, one.chain.prev) != expected:
                raise ChainConflictError(
                    f"record {one.chain.seq} of writer {writer} does not continue its chain",
                    expected=f"record {expected[0]}",
                )
            if (tail is None) != (one.kind == WriterOpen.kind) or (tail is not None and tail[2]):
                raise ChainConflictError(
                    f"writer {writer} {'has closed' if tail is not None and tail[2] else 'opens at the wrong place'}",
                    expected="an opening record first, and nothing after the closing one",
                )
            tails[writer] = (one.chain.seq, one.statement.payload_digest, one.kind == WriterClose.kind)

    def _know_signers(self, connection: Connection, parsed: Sequence[entry.Parsed], first: int) -> None:
        """Refuse what a later verification would have to call signed by nobody: it would spoil the log for good."""
        current = self._trust_in_force(connection)
        for offset, one in enumerate(parsed):
            if isinstance(one.content, TrustUpdate):
                update = Envelope.from_dict(one.content.envelope)
                current = (
                    TrustFile.from_dict(parse(update.payload)) if current is None else verify_successor(update, current)
                )
            elif current is None:
                if first + offset:
                    raise VerificationError("the log has no trust file yet", expected="a trust file as its first fact")
                continue  # the root's own session opens before the trust file that names it
            signer_of(one, current, first + offset)

    def _trust_in_force(self, connection: Connection) -> TrustFile | None:
        from sqlalchemy import select

        leaves, blobs = table("leaves"), table("blobs")
        data = connection.execute(
            select(blobs.c.data)
            .join(leaves, leaves.c.envelope == blobs.c.envelope)
            .where(leaves.c.kind == TrustUpdate.kind)
            .order_by(leaves.c.idx.desc())
            .limit(1)
        ).scalar_one_or_none()
        if data is None:
            return None
        if self._trust is None or self._trust[0] != data:
            content = entry.read(Envelope.from_bytes(data)).content
            assert isinstance(content, TrustUpdate)  # noqa: S101  selected by kind; this tells the type checker
            self._trust = (data, TrustFile.from_dict(parse(Envelope.from_dict(content.envelope).payload)))
        return self._trust[1]

    def _keep_time(self, head: _Head, parsed: Sequence[entry.Parsed]) -> None:
        """Refuse what a later verification would have to call backdated."""
        for one in parsed:
            at = one.chain.recorded_at
            if head.latest is not None and head.latest - at > MAX_SKEW:
                raise VerificationError(
                    f"the record says it is {at.isoformat()}, and the log already has an entry from {head.latest.isoformat()}",
                    expected=f"a clock that is right to {int(MAX_SKEW.total_seconds() // 60)} minutes",
                    next_step="set this machine's clock",
                )
            head.latest = at if head.latest is None else max(head.latest, at)

    def _insert(
        self, connection: Connection, head: _Head, parsed: Sequence[entry.Parsed]
    ) -> list[tuple[int, entry.Parsed]]:
        nodes: dict[tuple[int, int], bytes] = {}
        changed: dict[str, subject_index.Node] = {}
        leaves, blobs, keyed, receipts = [], [], [], []

        def read(prefix: str) -> subject_index.Node | None:
            return changed[prefix] if prefix in changed else self._index_node(connection, prefix)

        for one in parsed:
            index, leaf = head.frontier.size, one.leaf()
            data = leaf.to_bytes()
            hashed = merkle.leaf_hash(data)
            head.frontier, completed = head.frontier.append(hashed)
            nodes.update({(level, position): value for level, position, value in completed})
            for key in one.index_keys():
                changed.update(subject_index.update(read, key, index, hashed))
                keyed.append({"key": key, "idx": index})
            leaves.append(
                {
                    "idx": index, "leaf": data, "leaf_hash": hashed, "kind": leaf.kind, "payload": leaf.payload,
                    "envelope": leaf.envelope, "writer": leaf.writer, "seq": leaf.seq,
                }
            )  # fmt: skip
            blobs.append({"envelope": leaf.envelope, "data": one.envelope.to_bytes()})
            receipts.append((index, one))
        head.index_root = changed[""].hash()
        connection.execute(table("leaves").insert(), leaves)
        connection.execute(table("blobs").insert(), blobs)
        connection.execute(
            table("nodes").insert(),
            [{"level": lv, "position": p, "hash": value} for (lv, p), value in nodes.items()],
        )
        connection.execute(table("entries_by_key").insert(), keyed)
        self._save_index(connection, changed)
        return receipts

    def _save_index(self, connection: Connection, changed: dict[str, subject_index.Node]) -> None:
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # the same call for the other engine
        statement = insert(table("index_nodes"))
        statement = statement.on_conflict_do_update(index_elements=["prefix"], set_={"node": statement.excluded.node})
        connection.execute(statement, [{"prefix": prefix, "node": node.to_bytes()} for prefix, node in changed.items()])

    def _load_head(self, connection: Connection) -> _Head:
        """Read the right edge under the lock, and refuse to go on if it is not what was last signed."""
        from sqlalchemy import select

        head = table("head")
        row = connection.execute(select(head).where(head.c.id == 1).with_for_update()).one_or_none()
        if row is None:
            raise VerificationError("the ledger has lost its head", next_step="mlgov log verify")
        frontier = merkle.Frontier.from_bytes(row.size, row.frontier)
        signer = self._log_signer
        assert signer is not None  # noqa: S101  append has checked; this tells the type checker
        signed = read_note(row.checkpoint, [signer.public], origin=self.origin)
        if (signed.size, signed.root, signed.index_root) != (frontier.size, frontier.root, row.index_root):
            raise VerificationError(
                f"the stored edge of the tree (size {frontier.size}) is not the one that was last signed (size {signed.size})",
                expected="an edge that reproduces the signed root",
                next_step="mlgov log verify",
            )
        return _Head(frontier, row.index_root, datetime.fromisoformat(row.latest) if row.latest else None)

    def _sign(self, head: _Head) -> str:
        if self._log_signer is None:
            raise ConfigurationError(
                "the ledger is open for reading only", expected="a log key to sign checkpoints with"
            )
        return self._log_signer.sign(
            Checkpoint(
                origin=self.origin,
                size=head.frontier.size,
                root=head.frontier.root,
                index_root=head.index_root,
            )
        )

    def _save_head(self, connection: Connection, head: _Head) -> str:
        note = self._sign(head)
        connection.execute(
            table("head").update().where(table("head").c.id == 1),
            {
                "size": head.frontier.size, "frontier": head.frontier.to_bytes(), "index_root": head.index_root,
                "checkpoint": note, "latest": head.latest.isoformat() if head.latest else None,
            },
        )  # fmt: skip
        connection.execute(table("checkpoints").insert(), {"size": head.frontier.size, "note": note})
        return note

    def _receipt(self, connection: Connection, index: int, one: entry.Parsed, note: str, size: int) -> Receipt:
        leaf = one.leaf()
        return Receipt(
            index=index,
            payload_digest=leaf.payload,
            leaf_hash=merkle.leaf_hash(leaf.to_bytes()),
            checkpoint=note,
            proof=merkle.inclusion_proof(lambda level, position: self._node(connection, level, position), index, size),
        )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with database_errors(str(self._engine.url)), self._engine.connect() as connection:
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
