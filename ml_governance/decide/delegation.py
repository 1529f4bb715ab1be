"""Delegation: whose roles somebody holds for a while, at the index and time of each act, and why where not.

A delegate's yes counts while the delegation is in force: at its index, at the time that it claims, and still when it is
counted. It counts for one person: whoever delegates has one voice, their own or their newest delegate's. It counts only where
whoever delegated could have said it, so the maker of a model finds nobody to approve it in their place. A delegate's no stays,
and so does what they measured: where it cannot count any more it is void, which blocks, because ageing must help nobody.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ml_governance.decide.rules import SKEW, makers, revoked
from ml_governance.errors import VerificationError
from ml_governance.evidence import mandate, trust
from ml_governance.evidence.attestation import Void
from ml_governance.evidence.charter import NO_CHARTER
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import (
    Assessment,
    DataAccess,
    PolicyInForce,
    ProtectedData,
    Registration,
    RegistryRequest,
    Revocation,
    TrainingRun,
    TrustUpdate,
)
from ml_governance.evidence.verdicts import Approval, Delegation, Waiver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal, TrustFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """One delegation, and how far it reaches.

    Parameters
    ----------
    entry : Attestation
        Where it was signed.
    role, by, to : str
        Which role, whose, and who may act in it.
    expires : datetime
        First moment at which it no longer counts, UTC.
    fault : str or None
        Why it never counted.
    ended : int or None
        Index of the revocation that ended it.
    void : str or None
        Why it counts for no yes any more: the key that signed it was taken back.
    """

    entry: Attestation
    role: str
    by: str
    to: str
    expires: datetime
    fault: str | None = None
    ended: int | None = None
    void: str | None = None

    def refusal(self, index: int, at: datetime) -> str | None:
        """Say why it is not in force at a ledger index and a time, by the entry alone; None where it is."""
        if self.fault is not None:
            return self.fault
        if index <= self.entry.index or at < self.entry.recorded_at - SKEW:
            return "it was signed later"
        if at >= self.expires:
            return f"it ended at {self.expires.isoformat()}"
        if self.ended is not None and index >= self.ended:
            return f"it was revoked at #{self.ended}"
        return None


class History:
    """The trust files of a view, by the index from which each was in force."""

    def __init__(self, evidence: EvidenceView) -> None:
        self._starts: list[int] = []
        self._files: list[TrustFile] = []
        self._people: dict[int, dict[str, Principal]] = {}
        for entry in evidence.of_kind(TrustUpdate.kind):
            if isinstance(entry.content, TrustUpdate):
                self._starts.append(entry.index)
                self._files.append(trust.read(Envelope.from_dict(entry.content.envelope)))

    def at(self, index: int) -> TrustFile | None:
        """Return the trust file in force at an index; None where the view has none."""
        if not self._files:
            return None
        return self._files[max(bisect_left(self._starts, index) - 1, 0)]

    def person(self, name: str, index: int) -> Principal | None:
        """Return somebody with the roles of their own at an index."""
        current = self.at(index)
        if current is None:
            return None
        people = self._people.setdefault(current.version, {})
        if not people:
            people.update(current.people())
        return people.get(name)

    def limits(self) -> bool:
        """Tell whether any charter limited whose evidence counts."""
        return any(one.charter is not None and one.charter.grants.keys() & _EVIDENT for one in self._files)

    def holds(self, name: str, role: str, index: int) -> bool:
        """Tell whether somebody held a role of their own at an index."""
        person = self.person(name, index)
        return person is not None and role in person.roles


def mandates(evidence: EvidenceView, project: str, history: History | None = None) -> tuple[Mandate, ...]:
    """Return every delegation within a project, oldest first, whether it counts or not."""
    history = history or History(evidence)
    withdrawn = revoked(evidence)
    newest = history.at(evidence.size)
    found = []
    for entry in evidence.of_kind(Delegation.kind):
        content, current = entry.content, history.at(entry.index)
        if not isinstance(content, Delegation) or content.project != project or current is None:
            continue
        end, void = withdrawn.get(entry.payload_digest), None
        own = history.person(entry.principal.id, entry.index) or replace(entry.principal, roles=frozenset())
        if newest is not None:
            try:
                newest.signer(entry.keyid, entry.index)
            except VerificationError:
                void = f"the key {entry.keyid[:16]} of {entry.principal.id}, which signed it, was taken back"
        found.append(
            Mandate(
                entry=entry, role=content.role, by=entry.principal.id, to=content.to, expires=content.expires,
                fault=mandate.fault(content, own, current, entry.recorded_at),
                ended=None if end is None else end.index, void=void,
            )
        )  # fmt: skip
    return tuple(found)


def state(one: Mandate, evidence: EvidenceView, history: History, at: datetime) -> str | None:
    """Say why a delegation is not in force now; None where it is."""
    if (reason := one.void or one.refusal(evidence.size, at)) is not None:
        return reason
    if not history.holds(one.by, one.role, evidence.size):
        return f"{one.by} no longer has the role {one.role}"
    newest = history.at(evidence.size)
    content = one.entry.content
    if newest is not None and isinstance(content, Delegation):
        by = history.person(one.by, evidence.size)
        fault = mandate.fault(content, by, newest, one.entry.recorded_at) if by is not None else None
        return None if fault is None else f"the charter in force does not allow it any more: {fault}"
    return None


def applied(evidence: EvidenceView, *, project: str, at: datetime) -> EvidenceView:
    """Return the same evidence with delegated roles added to who acted, and to who may act now.

    Parameters
    ----------
    evidence : EvidenceView
        Verified, and as the project sees it: :meth:`EvidenceView.within`.
    project : str
        The project.
    at : datetime
        The present, UTC.

    Returns
    -------
    EvidenceView
        Unchanged where nobody delegates and no charter limits whose evidence counts. ``notes`` says of each act in a delegated
        role that does not count why not; evidence by whom the charter did not let is void.
    """
    fold = _Fold(evidence, project, at)
    if not fold.every and not fold.history.limits() and not evidence.of_kind(ProtectedData.kind):
        return evidence
    entries, void, notes = [], list(evidence.void), list(evidence.notes)
    for entry in evidence.attestations:
        person, gone, refused = fold.of(entry)
        digests = [subject.sha256 for subject in entry.subjects]
        if gone is not None:
            void.append(
                Void(
                    index=entry.index,
                    kind=entry.kind,
                    subjects=frozenset(digests),
                    why=gone,
                    by=person.id,
                    payload=entry.payload_digest,
                )
            )
        else:
            entries.append(entry if person is entry.principal else replace(entry, principal=person))
        for said in refused:
            notes += [(sha256, f"what {person.id} signed at #{entry.index} {said}") for sha256 in digests]
    return replace(
        evidence,
        attestations=tuple(entries),
        void=tuple(sorted(void, key=lambda one: one.index)),
        principals=fold.people(),
        notes=tuple(notes),
    )


class _Fold:
    """What the delegations of a view make of each of its entries."""

    def __init__(self, evidence: EvidenceView, project: str, at: datetime) -> None:
        self.evidence, self.project = evidence, project
        self.history = History(evidence)
        self.every = mandates(evidence, project, self.history)
        self.now = {one.entry.index: state(one, evidence, self.history, at) for one in self.every}
        self.spoken = _voices(evidence, self.every, self.history)
        self.made: dict[str, frozenset[str]] = {}
        self.held: dict[str, list[Mandate]] = {}
        for one in self.every:
            self.held.setdefault(one.to, []).append(one)

    def people(self) -> dict[str, Principal]:
        """Return the people with the roles that they may act in now."""
        people = dict(self.evidence.principals)
        for one in self.every:
            if (
                self.now[one.entry.index] is None
                and one.role not in self.evidence.principals[one.to].roles
                and not self.evidence.charter.clash(people[one.to].roles | {one.role})
            ):
                people[one.to] = _with(people[one.to], one)
        return people

    def of(self, entry: Attestation) -> tuple[Principal, str | None, list[str]]:
        """Return who acted, with delegated roles; why the entry is void; and which delegations did not count for it."""
        person, gone, refused = entry.principal, None, []
        for one in self.held.get(person.id, ()):
            if one.role in entry.principal.roles:
                continue  # of their own
            reason = _not_then(one, entry, self.history, self.project, person.roles)
            if reason is None and _is_yes(entry):
                reason = (
                    self.now[one.entry.index] or self._not_for(one, entry) or _second_voice(one, entry, self.spoken)
                )
            elif reason is None and isinstance(entry.content, _EVIDENCE):
                reason = gone = one.void or (
                    self._not_for(one, entry) if isinstance(entry.content, Assessment) else None
                )
            if reason is None:
                person = _with(person, one)
            elif getattr(entry.content, "role", None) == one.role:
                refused.append((one.role, f"in the place of {one.by} does not count: {reason}"))
        still = [said for role, said in refused if role not in person.roles]
        gone = gone if person is entry.principal else None
        current = self.history.at(entry.index)
        if gone is None and isinstance(entry.content, _EVIDENCE):
            gone = mandate.unfit(entry.content, person.id, person.roles, (current and current.charter) or NO_CHARTER)
        if isinstance(entry.content, ProtectedData | DataAccess | RegistryRequest) and current is not None:
            own = self.history.person(person.id, entry.index) or replace(person, roles=frozenset())
            gone = mandate.fault(entry.content, own, current, entry.recorded_at)
        return person, gone, still

    def _not_for(self, one: Mandate, entry: Attestation) -> str | None:
        """Say of which subject whoever delegated could not have judged."""
        for subject in entry.subjects:
            if subject.sha256 not in self.made:
                self.made[subject.sha256] = _makers(subject, self.evidence)
            if one.by in self.made[subject.sha256]:
                return f"{one.by} made {subject.name}, and nobody judges that in their place"
        return None


_EVIDENT = frozenset({"train", "register", "assess"})
_EVIDENCE = (Assessment, PolicyInForce, TrainingRun, Registration)
"""What is judged by the role its signer had then."""


def _not_then(one: Mandate, entry: Attestation, history: History, project: str, roles: frozenset[str]) -> str | None:
    """Say why a delegation was not in force at an act."""
    if (reason := one.refusal(entry.index, entry.recorded_at)) is not None:
        return reason
    if not history.holds(one.by, one.role, entry.index):
        return f"{one.by} did not have the role {one.role} then"
    current, to = history.at(entry.index), history.person(one.to, entry.index)
    if current is None or to is None or not {project, "*"} & to.projects:
        return f"{one.to} was not trusted for the project {project} then"
    if clash := (current.charter or NO_CHARTER).clash(roles | {one.role}):
        return f"{one.to} held {clash} then, which the charter keeps apart"
    return None


def _second_voice(one: Mandate, entry: Attestation, spoken: dict[tuple[str, str, str, str], int]) -> str | None:
    """Say who else has spoken for whoever delegated."""
    if not isinstance(entry.content, Approval):
        return None
    voices = (
        spoken.get((one.by, entry.content.stage, entry.content.binding, subject.sha256), entry.index)
        for subject in entry.subjects
    )
    other = next((index for index in voices if index != entry.index), None)
    return None if other is None else f"{one.by} has one voice, which #{other} gave"


def _is_no(entry: Attestation) -> bool:
    """Tell whether an entry counts against something, and so needs its role at the act alone."""
    return entry.kind == Revocation.kind or (isinstance(entry.content, Approval) and entry.content.verdict == "reject")


def _is_yes(entry: Attestation) -> bool:
    """Tell whether an entry is somebody's consent, which must still stand."""
    return isinstance(entry.content, Approval | Waiver) and not _is_no(entry)


def _makers(subject: Subject, evidence: EvidenceView) -> frozenset[str]:
    made = makers(subject, evidence)
    return made["author"] | made["trainer"]


def _voices(evidence: EvidenceView, every: Sequence[Mandate], history: History) -> dict[tuple[str, str, str, str], int]:
    """Return which entry speaks for whoever delegates: their own, else their newest delegate's.

    By person, stage, binding and subject: what somebody says of other bytes is no voice about these.
    """
    found: dict[tuple[str, str, str, str], tuple[bool, int]] = {}
    for entry in evidence.of_kind(Approval.kind):
        content = entry.content
        if not isinstance(content, Approval) or content.verdict != "approve":
            continue
        own = history.holds(entry.principal.id, content.role, entry.index)
        speakers = {(entry.principal.id, (True, entry.index))} if own else set()
        speakers |= {
            (one.by, (False, entry.index))
            for one in every
            if one.to == entry.principal.id
            and one.role == content.role
            and not own
            and one.refusal(entry.index, entry.recorded_at) is None
        }
        for person, voice in speakers:
            for subject in entry.subjects:
                key = (person, content.stage, content.binding, subject.sha256)
                found[key] = max(found.get(key, voice), voice)
    return {key: index for key, (_, index) in found.items()}


def _with(person: Principal, one: Mandate) -> Principal:
    return replace(person, roles=person.roles | {one.role}, delegated=person.delegated | {(one.role, one.by)})
