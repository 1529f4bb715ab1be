"""One walk over a log, in its order: what each entry may say after those before it.

The walk's state is small: the tree's right edge, the trust file in force, the newest time, and where each writer stands. It can
be kept (:class:`~ml_governance.evidence.prefix.Prefix`) and taken up again, so that what was verified once need not be verified again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import authorship, merkle, subject_index
from ml_governance.evidence.attestation import Void
from ml_governance.evidence.check import said
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import Erasure, Revocation, TrustUpdate, WriterClose, WriterOpen
from ml_governance.evidence.prefix import Prefix, Session
from ml_governance.evidence.timeline import MAX_SKEW, Timeline
from ml_governance.evidence.trust import ROOT, verify_successor
from ml_governance.evidence.verdicts import Approval, BreakGlass, Delegation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from ml_governance.evidence.attestation import Attestation
    from ml_governance.evidence.check import Checked
    from ml_governance.evidence.entry import Leaf
    from ml_governance.evidence.timeline import Resumed
    from ml_governance.evidence.trust import Principal, TrustFile

ERASER = "data_protection_officer"
"""The role that may erase content."""

NEVER_ERASED = (TrustUpdate.kind, WriterOpen.kind, WriterClose.kind, Erasure.kind, Delegation.kind)
"""Without these the rest could not be verified, the erasure itself would be hidden, or a delegate's no would be lost."""


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


@dataclass(slots=True)
class Walk:
    """The state of a walk.

    Parameters
    ----------
    origin, root : str
        The log's name and the ``sha256:...`` of the trust root.
    trust : TrustFile or None
        The trust file in force at the next entry.
    earlier : callable
        ``earlier(writer)`` returns where a writer stood before the walk began, None where it is new.
    continued : bool
        Whether the walk goes on from a prefix, which knows nothing of the times in it.
    """

    origin: str
    root: str
    trust: TrustFile | None
    earlier: Callable[[str], Session | None]
    continued: bool = False
    trust_at: tuple[int, str] | None = None
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    kinds: dict[str, subject_index.Value] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    gone: dict[int, tuple[Leaf, str]] = field(default_factory=dict)
    erasures: dict[int, tuple[int, str]] = field(default_factory=dict)
    time: Timeline = field(default_factory=Timeline)
    remarks: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _behind: tuple[str, Problem] | None = None

    def problem(self, index: int | None, what: str) -> None:
        """Note something that does not verify."""
        self.problems.append(Problem(index=index, what=what))

    def grow(self, entries: Sequence[Checked]) -> list[tuple[int, int, bytes]]:
        """Carry entries into the tree, each of which is then to be carried into the walk by :meth:`step`.

        Returns
        -------
        list of (level, position, hash)
            The subtrees that they completed.
        """
        self.frontier, nodes = self.frontier.append(*(one.hashed for one in entries))
        return nodes

    def step(self, one: Checked, index: int) -> Principal | None:
        """Carry one entry into the walk, at its index in the tree.

        Returns
        -------
        Principal or None
            Who signed it, if nothing is wrong with it.
        """
        behind, self._behind = self._behind, None
        if one.place != index:
            missing = f"#{index}" if one.place == index + 1 else f"#{index} to #{one.place - 1}"
            self.problem(index, f"the entries {missing} are missing: #{one.place} follows #{index - 1}")
        leaf = one.leaf
        if leaf is None:
            self.problem(one.place, "; ".join(one.faults))
            return None
        self.kinds[leaf.kind] = self.kinds.get(leaf.kind, subject_index.Value()).extended(index, one.hashed)
        faults = list(one.faults)
        if one.gone:
            self.gone[one.place] = (leaf, self._holder(leaf, one, faults))
            self._chain(leaf, one, faults, known=False)
            principal = None
        elif one.at is None:
            self._chain(leaf, one, faults, known=False)
            principal = None
        else:
            principal = self._statement(leaf, one, one.at, faults, behind)
        if faults:
            self.problem(one.place, f"{one.name}: {'; '.join(faults)}")
            return None
        return principal

    def _statement(
        self, leaf: Leaf, one: Checked, at: datetime, faults: list[str], behind: tuple[str, Problem] | None
    ) -> Principal | None:
        """Check what the entry's writer signed; faults are collected, so that all of them are told."""
        if one.log != self.origin:
            faults.append(f"it was signed for the log {one.log}")
        principal = self._signer(leaf, one, faults)
        self._chain(leaf, one, faults, known=True)
        update = self._trust(leaf, one, principal, faults) if one.trust is not None and principal is not None else None
        if update is not None and update.resumes is not None:
            self._resume(leaf, one, at, update, faults, behind)
        else:
            self._in_time(leaf, one, at, principal, faults)
        if principal is None:
            return None
        if one.erases is not None:
            if ERASER in principal.roles:
                self.erasures[one.erases[0]] = (one.place, one.erases[1])
            else:
                faults.append(f"{principal.id} erased content without the role {ERASER}")
        return principal

    def _in_time(self, leaf: Leaf, one: Checked, at: datetime, principal: Principal | None, faults: list[str]) -> None:
        """Check an entry's time against those before it."""
        if not self.time.behind(at):
            if principal is not None:
                self.time.note(one.place, at)
            return
        fault = f"it claims the time {at.isoformat()}, and an earlier entry is from {_said(self.time.latest)}"
        if principal is ROOT and leaf.kind == WriterOpen.kind:
            # The root's session that sets the time right has to open before it does; alone this is a problem.
            self._behind = (leaf.writer, Problem(index=one.place, what=f"{one.name}: {fault}"))
            self.problems.append(self._behind[1])
        else:
            faults.append(fault)

    def _resume(
        self,
        leaf: Leaf,
        one: Checked,
        at: datetime,
        update: TrustFile,
        faults: list[str],
        behind: tuple[str, Problem] | None,
    ) -> None:
        """Let the root set the time right."""
        assert update.resumes is not None  # noqa: S101  asked by the caller; this tells the type checker
        if self.continued:
            faults.append(
                "it sets the time right, which a verification from a kept prefix cannot judge: verify everything"
            )
            return
        try:
            self.time.resume(one.place, at, update.resumes, update.version)
        except VerificationError as error:
            faults.append(said(error))
            return
        if behind is not None and behind[0] == leaf.writer:
            self.problems.remove(behind[1])

    def _holder(self, leaf: Leaf, one: Checked, faults: list[str]) -> str:
        """Return whose key an entry without content names: who made a model stays known when that is erased."""
        if self.trust is None:
            return ""
        try:
            return authorship.holder_of(leaf, self.trust, one.place).id
        except VerificationError as error:
            faults.append(error.found)
            return ""

    def _signer(self, leaf: Leaf, one: Checked, faults: list[str]) -> Principal | None:
        if self.trust is None:
            return None
        try:
            principal = authorship.holder_of(leaf, self.trust, one.place)
        except VerificationError as error:
            faults.append(error.found)
            return None
        if not one.signed:
            faults.append(f"the signature of key {leaf.keyid[:16]} does not verify")
            return None
        return principal

    def _trust(self, leaf: Leaf, one: Checked, principal: Principal, faults: list[str]) -> TrustFile | None:
        """Put a trust file in force, and return it if it is a later one than the first."""
        assert one.trust is not None  # noqa: S101  asked by the caller; this tells the type checker
        update = None
        if self.trust_at is not None and self.trust is not None:
            try:
                update = self.trust = verify_successor(Envelope.from_dict(one.trust.envelope), self.trust)
            except VerificationError as error:
                faults.append(said(error))
                return None
        self.trust_at = (one.place, leaf.payload)
        if self.trust is not None and self.trust.remark is not None:
            self.remarks.append(remarked(self.trust, one.place))
        if principal is ROOT and self.trust is not None and leaf.keyid not in self.trust.root_ids:
            # A root that has handed over can sign nothing more, so this record ends its session.
            self.sessions[leaf.writer] = replace(self.sessions[leaf.writer], closed=True)
        return update

    def _chain(self, leaf: Leaf, one: Checked, faults: list[str], *, known: bool) -> None:
        """Check a record's place in its writer's chain; ``known`` tells whether its content could be read."""
        session = self.sessions.get(leaf.writer) or self.earlier(leaf.writer)
        if session is None:
            if leaf.seq != 0 or leaf.kind != WriterOpen.kind or (known and one.prev is not None):
                faults.append(
                    f"writer {leaf.writer} begins with record {leaf.seq}, so its earlier records were dropped"
                )
        else:
            if leaf.seq <= session.seq:
                faults.append(f"record {leaf.seq} of writer {leaf.writer} repeats one that is in the log")
            elif leaf.seq != session.seq + 1 or (known and one.prev != session.payload):
                faults.append(f"record {leaf.seq} of writer {leaf.writer} does not follow its record {session.seq}")
            if session.closed:
                faults.append(f"writer {leaf.writer} had closed")
            if leaf.keyid != session.keyid:
                faults.append(f"writer {leaf.writer} changed its key")
            if one.at is not None and session.at is not None and one.at < session.at:
                faults.append(f"writer {leaf.writer} went back in time")
        if one.closes is not None and one.closes != leaf.seq + 1:
            faults.append(f"writer {leaf.writer} closes after {one.closes} records, {leaf.seq + 1} are here")
        # What the tree holds, so that an edited entry is blamed once and not again by the one that follows it.
        at = one.at if one.at is not None or session is None else session.at
        self.sessions[leaf.writer] = Session(
            seq=leaf.seq, payload=leaf.payload, keyid=leaf.keyid, at=at, closed=leaf.kind == WriterClose.kind
        )

    def erased(self, where: str, subjects: Callable[[int], Iterable[str]]) -> list[Void]:
        """Tell erased content, which an entry accounts for, from content that is simply gone; return the erased."""
        void = []
        for index, (leaf, by) in sorted(self.gone.items()):
            under = self.erasures.get(index)
            if leaf.kind in NEVER_ERASED:
                self.problem(index, f"{leaf.kind}: its content is gone, and no erasure may explain that")
            elif under is not None and under[1] == leaf.payload:
                why = f"its content was erased under entry #{under[0]}"
                about = frozenset(subjects(index))
                void.append(
                    Void(index=index, kind=leaf.kind, subjects=about, why=why, by=by, erased=True, payload=leaf.payload)
                )
            else:
                self.problem(index, f"{leaf.kind}: its content is missing from {where}")
        return void

    def prefix(self, trie: bytes) -> Prefix:
        """Return what to keep, after a walk without problems."""
        latest = self.time.latest
        recent = {} if latest is None else self.sessions
        return Prefix(
            origin=self.origin,
            root=self.root,
            frontier=self.frontier,
            trie=trie,
            kinds=subject_index.pack_kinds(self.kinds),
            latest=latest,
            trust=self.trust_at,
            # An older record cannot be repeated: its time would give it away.
            sessions={w: s for w, s in recent.items() if s.at is None or latest is None or latest - s.at <= MAX_SKEW},
        )

    def told(self) -> list[str]:
        """Return what whoever verifies the log should know of its time and its trust."""
        return [*(one.sentence() for one in self.time.resumed), *self.remarks]


def remarked(version: TrustFile, index: int) -> str:
    """Return what the root's holders put on record with a version, and where."""
    return f"on record at #{index}, with trust file {version.version}: {version.remark}"


def _said(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


STANDS = (Revocation.kind, BreakGlass.kind, Delegation.kind)
"""What counts against somebody stays, whoever's key signed it: taking a key back must not turn a no into a yes.

So does what a delegate's no rests on; their yes ends with the key (:mod:`ml_governance.decide.delegation`).
"""


def standing(
    attestations: Sequence[Attestation], current: TrustFile | None, resumed: Sequence[Resumed] = ()
) -> tuple[list[Attestation], list[Void]]:
    """Part the entries that count from those that do no more.

    A key was taken back since, stolen or no longer trusted at their index; or they claim a time of which the root has said since
    that it had not come.
    """
    if current is None:
        return list(attestations), []
    counting, void = [], []
    for one in attestations:
        rejects = isinstance(one.content, Approval) and one.content.verdict == "reject"
        why = ""
        if one.principal is not ROOT and one.kind not in STANDS and not rejects:
            try:
                current.signer(one.keyid, one.index)
            except VerificationError:
                why = f"the key {one.keyid[:16]} of {one.principal.id} was taken back, and no longer counts at #{one.index}"
            doubt = next((r for r in resumed if r.doubts(one.index, one.recorded_at)), None)
            if doubt is not None:
                why = f"it claims the time {one.recorded_at.isoformat()}, which had not come: the root said so at #{doubt.index}"
        if why:
            subjects = frozenset(subject.sha256 for subject in one.subjects)
            void.append(
                Void(
                    index=one.index,
                    kind=one.kind,
                    subjects=subjects,
                    why=why,
                    by=one.principal.id,
                    payload=one.payload_digest,
                )
            )
        else:
            counting.append(one)
    return counting, void
