"""Whether bytes may be served in a stage now: promoted through the gate, not superseded, and nothing of it withdrawn.

Nothing is decided again. An approval or evidence that has merely grown old stops the next promotion, not what is in use; what was
taken back, voided, or entered by a break-glass that has ended stops both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import breakglass
from ml_governance.decide.rules import SKEW, revoked
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.errors import DeniedError, MissingEvidenceError, VerificationError
from ml_governance.evidence.verdicts import DecisionRecord
from ml_governance.promote import history

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ml_governance.decide.passage import Passage
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Why bytes may be served in a stage.

    Parameters
    ----------
    subject : Subject
        The bytes.
    stage : str
        The stage.
    passage : Passage
        The promotion that put them there.
    decision : Attestation
        The decision that it rests on.
    inputs : tuple of int
        Ledger indices of the evidence, approvals and waivers that the decision rests on.
    until : datetime or None
        When the break-glass by which they entered ends; None for an ordinary promotion.
    size : int
        Entries of the log that were looked at.
    """

    subject: Subject
    stage: str
    passage: Passage
    decision: Attestation
    inputs: tuple[int, ...]
    until: datetime | None
    size: int

    def sentence(self) -> str:
        """Tell it in a few words."""
        end = f", by break-glass until {self.until.isoformat()}" if self.until is not None else ""
        return (
            f"{self.subject.name} may be served in {self.stage}: promoted as {self.passage.sentence()}{end}; nothing that it rests "
            f"on was withdrawn in {self.size} entries"
        )


def standing_of(subject: Subject, stage: str, *, evidence: EvidenceView, project: str, at: datetime) -> Standing:
    """Return why bytes may be served in a stage.

    Parameters
    ----------
    subject : Subject
        The bytes, digested by the caller.
    stage : str
        The stage.
    evidence : EvidenceView
        Verified and complete.
    project : str
        The project.
    at : datetime
        The present, UTC.

    Raises
    ------
    MissingEvidenceError
        If no promotion of these bytes to the stage is recorded as done.
    VerificationError
        If it did not go through the gate, what it rests on can no longer be read or was signed with a key taken back, the
        trust file has expired, or the clock is behind the log.
    DeniedError
        If the model, the decision or what that rests on was withdrawn, another version took its place, or its break-glass is over.
    """
    _in_time(evidence, at)
    gone = withdrawn_model(subject, evidence)
    if gone is not None:
        raise DeniedError(
            f"{subject.name} was {_by(gone)}",
            expected="a model that nobody has withdrawn",
            next_step="roll back: mlgov rollback MODEL",
        )
    passage = _standing(subject, stage, evidence, project)
    decided = passage.decision
    if decided is None or not isinstance(decided.content, DecisionRecord):
        raise VerificationError(f"the decision behind the promotion of {passage.sentence()}, is not here")
    content = decided.content
    rests_on = {one.index for one in (*content.input_attestations, *content.approvals, *content.waivers)}
    _nothing_taken_back(subject, decided, rests_on, evidence)
    return Standing(
        subject=subject, stage=stage, passage=passage, decision=decided, inputs=tuple(sorted(rests_on)),
        until=_until(passage, evidence, at), size=evidence.size,
    )  # fmt: skip


def still(one: Standing, *, evidence: EvidenceView, at: datetime) -> Standing:
    """Return what stood before, where nothing but time has passed since: the log is the same.

    Raises
    ------
    VerificationError, DeniedError
        As :func:`standing_of`, for what only time changes.
    """
    _in_time(evidence, at)
    _until(one.passage, evidence, at)
    return one


def _in_time(evidence: EvidenceView, at: datetime) -> None:
    if at >= evidence.trust_expires_at:
        raise VerificationError(
            f"the trust file expired at {evidence.trust_expires_at.isoformat()}",
            expected="a trust file in force: an older copy of the log would hide what was withdrawn since",
            next_step="mlgov keys renew, by the root's holder; then a new bundle",
        )
    if evidence.newest is not None and at < evidence.newest - SKEW:
        raise VerificationError(
            f"the clock says {at.isoformat()}, and the log has an entry of {evidence.newest.isoformat()}",
            expected="a clock that is not behind the log",
        )


def _standing(subject: Subject, stage: str, evidence: EvidenceView, project: str) -> Passage:
    """Return the promotion by which the bytes stand in the stage."""
    mine = [
        one for one in history.passages(evidence) if one.subject.sha256 == subject.sha256 and one.content.stage == stage
    ]
    if not any(one.done for one in mine):
        half = f"; one was announced at #{mine[-1].intent.index} and has no outcome that counts" if mine else ""
        raise MissingEvidenceError(
            f"no promotion of {subject.name} (sha256:{subject.sha256[:12]}) to {stage} is recorded as done{half}",
            expected=f"bytes that were promoted to {stage}",
            next_step="mlgov promote MODEL; where a promotion died, mlgov doctor --fix",
        )
    now = {one.place: one for one in history.standing(evidence, project).values()}
    flaws = []
    for one in reversed(mine):
        if not one.done:
            continue
        current = now.get(one.place)
        if current is not None and current.intent.index == one.intent.index:
            return one
        fault = history.flaw(one, evidence, project)
        if not fault and current is not None:
            raise DeniedError(
                f"{subject.name} is no longer in {stage}: the promotion of {current.sentence()}, took its place",
                expected=f"{current.subject.name}",
                next_step=f"serve {current.subject.name}, or go back: mlgov rollback MODEL",
            )
        flaws.append(f"the promotion of {one.sentence()}, did not go through the gate: {fault}")
    raise VerificationError(
        "; ".join(flaws),
        expected="a promotion whose decision follows from the evidence before it",
        next_step="mlgov doctor; a bundle must hold all that the decision rested on: mlgov log export without --subject",
    )


def _nothing_taken_back(subject: Subject, decided: Attestation, rests_on: set[int], evidence: EvidenceView) -> None:
    counting = revoked(evidence)
    for one in evidence.attestations:
        against = counting.get(one.payload_digest)
        if against is not None and (one is decided or one.index in rests_on):
            what = "the decision" if one is decided else f"the {one.kind}"
            raise DeniedError(
                f"{what} at #{one.index}, which {subject.name} was promoted on, was {_by(against)}",
                expected="a promotion of which nothing was withdrawn",
                next_step="mlgov decide MODEL says what is needed now; mlgov rollback MODEL",
            )
    for lost in evidence.void:
        if lost.index in rests_on or lost.index == decided.index:
            raise VerificationError(
                f"the {lost.kind} at #{lost.index}, which {subject.name} was promoted on, counts no more: {lost.why}",
                expected="a promotion of which everything still counts",
                next_step="assess and approve again, then promote",
            )


def _until(passage: Passage, evidence: EvidenceView, at: datetime) -> datetime | None:
    """Return when the break-glass ends by which a model entered; None where it did not."""
    if passage.emergency is None:
        return None
    use = next(_uses(passage, evidence), None)
    if use is None or at >= use.content.expires or _condemned(use):
        told = use.sentence(at) if use is not None else "its break-glass is not here"
        raise DeniedError(
            f"{passage.subject.name} entered {passage.content.stage} by a break-glass that is over: {told}",
            expected="an ordinary promotion by now",
            next_step="mlgov decide MODEL, then promote; or mlgov rollback MODEL",
        )
    return use.content.expires


def _uses(passage: Passage, evidence: EvidenceView) -> Iterator[breakglass.Use]:
    return (
        use for use in breakglass.uses(evidence) if passage.emergency and use.entry.index == passage.emergency.index
    )


def _condemned(use: breakglass.Use) -> bool:
    return use.review is not None and getattr(use.review.content, "verdict", "") == "not-justified"


def _by(entry: Attestation) -> str:
    return f"withdrawn by {entry.principal.id} at #{entry.index}: {getattr(entry.content, 'reason', '')}"
