"""Full verification: every entry, from the trust root to the signed checkpoint, with every problem named.

What is checked, for each entry: its place, its leaf and envelope digests, that leaf and signed content say the
same, the form of statement and predicate, the signature by a key that the trust file in force accepted at that
index, the writer's chain, and the time against earlier entries. For the log: the tree, the subject index and every
stored table derived from them are computed again and compared with what is stored and with each signed checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import authorship, entry, merkle, subject_index, trust
from ml_governance.evidence.attestation import Attestation, EvidenceView
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.checkpoint import Checkpoint, read_note
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.ledger import MAX_SKEW
from ml_governance.evidence.predicates import Erasure, TrustUpdate, WriterClose, WriterOpen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ml_governance.evidence.reader import LogReader, StoredEntry

NO_ANCHOR = (
    "not rollback-proof: nothing outside the operator's control was compared; keep `mlgov log checkpoint` elsewhere"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that does not verify.

    Parameters
    ----------
    index : int or None
        The entry; None where it is the log as a whole.
    what : str
        A sentence that names the entry and what is wrong.
    """

    index: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """The outcome of a full verification.

    Parameters
    ----------
    checkpoint : Checkpoint
        What was recomputed: size and roots.
    problems : tuple of Problem
        Everything that does not verify; empty when all does.
    notes : tuple of str
        What a reader should know all the same, such as what is not proven.
    attestations : tuple of Attestation
        The entries that verify.
    trust : TrustFile or None
        The trust file in force at the end.
    """

    checkpoint: Checkpoint
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    attestations: tuple[Attestation, ...] = field(repr=False)
    trust: trust.TrustFile | None = field(repr=False)

    def view(self) -> EvidenceView:
        """Return the evidence, complete up to the checkpoint.

        Raises
        ------
        VerificationError
            If there is any problem: an incomplete view could hide what counts against a subject.
        """
        if self.problems or self.trust is None:
            shown = "; ".join(
                f"{'#' + str(p.index) + ': ' if p.index is not None else ''}{p.what}" for p in self.problems[:3]
            )
            more = f" (and {len(self.problems) - 3} more)" if len(self.problems) > 3 else ""
            raise VerificationError(
                f"the ledger does not verify: {shown}{more}",
                expected="a log of which every entry verifies",
                next_step="mlgov log verify",
            )
        return EvidenceView(
            origin=self.checkpoint.origin,
            size=self.checkpoint.size,
            root_hash=self.checkpoint.root.hex(),
            attestations=self.attestations,
            principals=trust.by_id(self.trust.principals),
            trust_expires_at=self.trust.expires_at,
        )


@dataclass(slots=True)
class _Session:
    seq: int
    payload: str
    keyid: str
    recorded_at: datetime
    closed: bool = False


@dataclass(slots=True)
class _Pass:
    """What one walk over the log carries along."""

    origin: str
    root: str
    trust: trust.TrustFile | None = None
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    index: dict[str, subject_index.Node] = field(default_factory=dict)
    keyed: set[tuple[bytes, int]] = field(default_factory=set)
    sessions: dict[str, _Session] = field(default_factory=dict)
    payloads: dict[str, int] = field(default_factory=dict)
    gone: dict[int, entry.Leaf] = field(default_factory=dict)
    latest: datetime | None = None
    attestations: list[Attestation] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def index_root(self) -> bytes:
        return self.index[""].hash() if self.index else subject_index.EMPTY_ROOT

    def problem(self, index: int | None, what: str) -> None:
        self.problems.append(Problem(index=index, what=what))


def verify(
    ledger: LogReader,
    *,
    root: str,
    remembered: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedLog:
    """Verify a whole log.

    Parameters
    ----------
    ledger : LogReader
        The log.
    root : str
        ``sha256:...`` of the trust root, obtained by another way than the log.
    remembered : Checkpoint, optional
        A checkpoint that this verifier keeps; the log must continue it.
    progress : callable, optional
        ``progress(done, total)``, called now and then.

    Returns
    -------
    VerifiedLog
        Never raises because of what the log holds: hostile content becomes problems.

    Raises
    ------
    LedgerError
        If the database itself cannot be read.
    """
    state = _Pass(origin=ledger.origin, root=root)
    with ledger.snapshot():
        total = ledger.size
        notes_by_size = ledger.checkpoints()
        roots: dict[int, tuple[bytes, bytes]] = {0: (merkle.EMPTY, subject_index.EMPTY_ROOT)}
        wanted = {*notes_by_size, *({remembered.size} if remembered is not None else ())}
        state.trust = _genesis(ledger, state)
        for stored in ledger.entries():
            _entry(state, stored)
            if state.frontier.size in wanted:
                roots[state.frontier.size] = (state.frontier.root, state.index_root)
            if progress is not None and state.frontier.size % 256 == 0:
                progress(state.frontier.size, total)
        _missing(state)
        computed = Checkpoint(
            origin=ledger.origin,
            size=state.frontier.size,
            root=state.frontier.root,
            index_root=state.index_root,
        )
        _checkpoints(state, ledger.checkpoint(), notes_by_size, roots, computed)
        _derived(state, ledger)
        notes = _memory(state, remembered, roots, computed)
    open_sessions = sum(not session.closed for session in state.sessions.values())
    if open_sessions:
        notes.append(
            f"{open_sessions} writer session{'s are' if open_sessions > 1 else ' is'} still open or ended without a closing record"
        )
    return VerifiedLog(
        checkpoint=computed,
        problems=tuple(state.problems),
        notes=tuple(notes),
        attestations=tuple(state.attestations),
        trust=state.trust,
    )


def _genesis(ledger: LogReader, state: _Pass) -> trust.TrustFile | None:
    """Read the first trust file, which says who may sign everything, itself included."""
    for stored in ledger.entries(0, 2):
        if stored.index != 1 or stored.envelope is None:
            continue
        try:
            content = entry.read(Envelope.from_bytes(stored.envelope)).content
            if isinstance(content, TrustUpdate):
                first = trust.verify_trust(Envelope.from_dict(content.envelope), root=state.root)
                if first.origin != state.origin:
                    raise VerificationError(f"the trust file is for the log {first.origin}", expected=state.origin)
                return first
        except VerificationError as error:
            state.problem(1, f"the first trust file does not verify: {_said(error)}")
            return None
    state.problem(1, "the log does not begin with a trust file, so nobody's signature can count")
    return None


def _entry(state: _Pass, stored: StoredEntry) -> None:
    """Check one stored row and carry it into the tree."""
    index = state.frontier.size
    if stored.index != index:
        missing = f"#{index}" if stored.index == index + 1 else f"#{index} to #{stored.index - 1}"
        state.problem(index, f"the entries {missing} are missing: #{stored.index} follows #{index - 1}")
    hashed = merkle.leaf_hash(stored.leaf)
    state.frontier, completed = state.frontier.append(hashed)
    state.nodes.update({(level, position): value for level, position, value in completed})
    faults = []
    if hashed != stored.leaf_hash:
        faults.append("its stored leaf hash is not the hash of its leaf")
    try:
        leaf = entry.Leaf.from_bytes(stored.leaf)
    except VerificationError as error:
        state.problem(stored.index, f"the leaf cannot be read: {_said(error)}")
        return
    if stored.envelope is None:
        state.gone[stored.index] = leaf
        _index(state, index, hashed, (subject_index.kind_key(leaf.kind),))
        return
    if sha256_hex(stored.envelope) != leaf.envelope:
        faults.append(
            f"its stored bytes have the digest {sha256_hex(stored.envelope)[:16]}..., the tree holds {leaf.envelope[:16]}..."
        )
    name = leaf.kind
    try:
        parsed = entry.read(Envelope.from_bytes(stored.envelope))
        name = f"{leaf.kind} about {parsed.statement.subjects[0].name}"
        _index(state, index, hashed, parsed.index_keys())
        attestation = _signed(state, stored.index, leaf, parsed, faults)
    except VerificationError as error:
        faults.append(_said(error))
        attestation = None
    if faults:
        state.problem(stored.index, f"{name}: {'; '.join(faults)}")
    elif attestation is not None:
        state.attestations.append(attestation)


def _index(state: _Pass, index: int, hashed: bytes, keys: tuple[bytes, ...]) -> None:
    for key in keys:
        state.index.update(subject_index.update(state.index.get, key, index, hashed))
        state.keyed.add((key, index))


def _signed(state: _Pass, index: int, leaf: entry.Leaf, parsed: entry.Parsed, faults: list[str]) -> Attestation | None:
    """Check what the entry's writer signed; faults are collected, so that all of them are told."""
    if parsed.leaf() != leaf:
        different = [name for name in entry.Leaf.__slots__ if getattr(parsed.leaf(), name) != getattr(leaf, name)]
        faults.append(f"its leaf and its signed content differ in {', '.join(different)}")
    if parsed.chain.log != state.origin:
        faults.append(f"it was signed for the log {parsed.chain.log}")
    other = state.payloads.setdefault(parsed.statement.payload_digest, index)
    if other != index:
        faults.append(f"it repeats entry #{other}")
    if state.trust is None:
        return None
    principal = _signer(state.trust, index, parsed, faults)
    _chain(state, leaf, parsed, faults)
    at = parsed.chain.recorded_at
    if state.latest is not None and state.latest - at > MAX_SKEW:
        faults.append(f"it claims the time {at.isoformat()}, and an earlier entry is from {state.latest.isoformat()}")
    if principal is not None:
        state.latest = at if state.latest is None else max(state.latest, at)
    if isinstance(parsed.content, TrustUpdate) and index != 1:
        try:
            state.trust = trust.verify_successor(Envelope.from_dict(parsed.content.envelope), state.trust)
        except VerificationError as error:
            faults.append(_said(error))
    if principal is None:
        return None
    return Attestation(
        index=index,
        kind=parsed.kind,
        payload_digest=parsed.statement.payload_digest,
        subjects=parsed.statement.subjects,
        content=parsed.content,
        recorded_at=at,
        keyid=parsed.keyid,
        principal=principal,
    )


def _signer(current: trust.TrustFile, index: int, parsed: entry.Parsed, faults: list[str]) -> trust.Principal | None:
    try:
        return authorship.signer_of(parsed, current, index)
    except VerificationError as error:
        faults.append(error.found)
        return None


def _chain(state: _Pass, leaf: entry.Leaf, parsed: entry.Parsed, faults: list[str]) -> None:
    chain = parsed.chain
    session = state.sessions.get(chain.writer)
    # What the tree holds, so that an edited entry is blamed once and not again by the one that follows it.
    digest = leaf.payload
    if session is None:
        if (chain.seq, chain.prev, parsed.kind) != (0, None, WriterOpen.kind):
            faults.append(f"writer {chain.writer} begins with record {chain.seq}, so its earlier records were dropped")
    else:
        if (chain.seq, chain.prev) != (session.seq + 1, session.payload):
            faults.append(f"record {chain.seq} of writer {chain.writer} does not follow its record {session.seq}")
        if session.closed:
            faults.append(f"writer {chain.writer} had closed")
        if parsed.keyid != session.keyid:
            faults.append(f"writer {chain.writer} changed its key")
        if chain.recorded_at < session.recorded_at:
            faults.append(f"writer {chain.writer} went back in time")
    if isinstance(parsed.content, WriterClose) and parsed.content.records != chain.seq + 1:
        faults.append(f"writer {chain.writer} closes after {parsed.content.records} records, {chain.seq + 1} are here")
    state.sessions[chain.writer] = _Session(
        chain.seq, digest, parsed.keyid, chain.recorded_at, closed=parsed.kind == WriterClose.kind
    )


def _missing(state: _Pass) -> None:
    """Tell erased content, which a leaf accounts for, from content that is simply gone."""
    erased = {
        a.content.leaf: (a.index, a.content.payload) for a in state.attestations if isinstance(a.content, Erasure)
    }
    for index, leaf in state.gone.items():
        under = erased.get(index)
        if under is not None and under[1] == leaf.payload:
            state.problem(index, f"{leaf.kind}: its content was erased under entry #{under[0]}")
        else:
            state.problem(index, f"{leaf.kind}: its content is missing from the database")


def _checkpoints(
    state: _Pass,
    newest: str,
    history: Mapping[int, str],
    roots: Mapping[int, tuple[bytes, bytes]],
    computed: Checkpoint,
) -> None:
    if state.trust is None:
        return
    for size, note in (*history.items(), (None, newest)):
        try:
            signed = read_note(note, state.trust.log_keys, origin=state.origin)
        except VerificationError as error:
            state.problem(
                None,
                f"the {'newest checkpoint' if size is None else f'checkpoint of size {size}'} does not verify: {_said(error)}",
            )
            continue
        if size is None:
            if signed.size != computed.size:
                state.problem(
                    None,
                    f"the newest checkpoint promises {signed.size} entries, the database has {computed.size}",
                )
            elif signed != computed:
                state.problem(None, "the tree over the stored entries is not the one that the newest checkpoint signed")
        elif signed.size != size or roots.get(size) != (signed.root, signed.index_root):
            state.problem(None, f"the checkpoint of size {size} was signed over other entries than those stored now")


def _derived(state: _Pass, ledger: LogReader) -> None:
    """Compare the stored look-up tables with what the entries give."""
    size, frontier, index_root = ledger.edge()
    computed_index = {prefix: node.to_bytes() for prefix, node in state.index.items()}
    computed_root = state.index_root
    if (size, frontier, index_root) != (state.frontier.size, state.frontier.to_bytes(), computed_root):
        state.problem(None, "the stored edge of the tree is not the edge of the stored entries")
    if {(level, position): value for level, position, value in ledger.stored_nodes()} != state.nodes:
        state.problem(None, "the stored tree nodes are not those of the stored entries")
    if set(ledger.keyed()) != state.keyed:
        state.problem(None, "the look-up table by subject does not list exactly the stored entries")
    if ledger.stored_index() != computed_index:
        state.problem(None, "the stored subject index is not the index of the stored entries")


def _memory(
    state: _Pass,
    remembered: Checkpoint | None,
    roots: Mapping[int, tuple[bytes, bytes]],
    computed: Checkpoint,
) -> list[str]:
    if remembered is None:
        return [NO_ANCHOR]
    if remembered.origin != computed.origin:
        state.problem(None, f"the remembered checkpoint is of another log, {remembered.origin}")
    elif remembered.size > computed.size:
        state.problem(
            None,
            f"the log was rolled back: {remembered.size} entries were verified here before, {computed.size} are left",
        )
    elif roots.get(remembered.size) != (remembered.root, remembered.index_root):
        state.problem(
            None,
            f"the log was rewritten: its first {remembered.size} entries are not those verified here before",
        )
    else:
        return [
            (
                f"continues the {remembered.size} entries that this account verified before; "
                "against whoever controls this account too, it is not rollback-proof without an outside checkpoint"
            )
        ]
    return [NO_ANCHOR]


def _said(error: VerificationError) -> str:
    return f"{error.found} (expected {error.expected})" if error.expected else error.found
