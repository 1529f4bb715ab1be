"""What was withdrawn: a model, a decision, evidence; who may withdraw it, and what that stops.

A revocation cannot be revoked. A model that was withdrawn stays so for its bytes, whoever registers them again; a decision that
was withdrawn stands against its binding, until evidence, policy or outcome change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.decide.finding import Finding
from ml_governance.decide.rules import makers, revoked, revokers
from ml_governance.evidence.predicates import AdverseAction, Assessment, Registration, Revocation, TrainingRun
from ml_governance.evidence.verdicts import Approval, BreakGlassReview, DecisionRecord, Waiver

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal

WITHDRAWABLE = (
    Assessment,
    AdverseAction,
    TrainingRun,
    Registration,
    Approval,
    Waiver,
    DecisionRecord,
    BreakGlassReview,
)
"""What a revocation takes the effect from; other entries are replaced, as a policy is, or stand for ever."""


def may_revoke(principal: Principal, target: Attestation, evidence: EvidenceView) -> str | None:
    """Return why a person may not withdraw an entry, or None if they may.

    Parameters
    ----------
    principal : Principal
        Who wants to.
    target : Attestation
        The entry.
    evidence : EvidenceView
        Shows who made the model that the entry is about.
    """
    if not isinstance(target.content, WITHDRAWABLE):
        return f"#{target.index} is a {target.kind} entry, which nothing withdraws"
    if target.principal.id != principal.id and not principal.roles & revokers(evidence):
        roles = " or ".join(sorted(role.replace("_", " ") for role in revokers(evidence)))
        return f"{principal.id} neither signed #{target.index} nor is a {roles}"
    if isinstance(target.content, Approval) and target.content.verdict == "reject":
        own = {who for subject in target.subjects for made in makers(subject, evidence).values() for who in made}
        speaking = principal.voices(revokers(evidence))
        if target.principal.id != principal.id and not any(voice.isdisjoint(own) for voice in speaking):
            maker = min(own.intersection(*speaking), default=min(own))
            return f"#{target.index} is somebody's no to the work of {maker}"
    return None


def withdrawn_model(subject: Subject, evidence: EvidenceView) -> Attestation | None:
    """Return the revocation that withdrew a model, or None.

    Where a registration or a decision about the model can no longer be read, a revocation whose target is unknown counts too: it
    may have withdrawn that.
    """
    lost = {
        one.payload
        for one in evidence.void
        if one.kind in (Registration.kind, DecisionRecord.kind) and one.about(subject.sha256)
    }
    known = {entry.payload_digest: entry for entry in evidence.about(subject.sha256)}
    counting = revoked(evidence)
    # An entry is withdrawn for every model that it is about, whichever of them the revocation names.
    for entry in evidence.of_kind(Revocation.kind):
        content = entry.content
        if not isinstance(content, Revocation):
            continue
        target = known.get(content.target)
        if target is None:
            named = any(one.sha256 == subject.sha256 for one in entry.subjects)
            if content.target not in lost and not (lost and named):
                continue
            made = makers(subject, evidence)
            if entry.principal.roles & revokers(evidence) or entry.principal.id in made["author"] | made["trainer"]:
                return entry
        elif isinstance(target.content, Registration) and counting.get(content.target) is not None:
            return counting[content.target]
    return None


def model_finding(subject: Subject, evidence: EvidenceView) -> Finding | None:
    """Return what blocks a withdrawn model; None for one that was not."""
    entry = withdrawn_model(subject, evidence)
    if entry is None:
        return None
    return _finding("GATE-revoked", "The model was not withdrawn", f"{_told('These bytes were', entry)}", entry)


def decision_findings(subject: Subject, stage: str, bound_to: str, evidence: EvidenceView) -> list[Finding]:
    """Return what blocks a binding because a decision about it was withdrawn."""
    counting = revoked(evidence)
    found = []
    for entry in evidence.about(subject.sha256, DecisionRecord.kind):
        content = entry.content
        against = counting.get(entry.payload_digest)
        if (
            against is not None
            and isinstance(content, DecisionRecord)
            and content.stage == stage
            and content.binding == bound_to
        ):
            sentence = _told(f"The decision at #{entry.index} about exactly this was", against)
            found.append(
                _finding(f"GATE-withdrawn/{entry.index}", "No decision about this was withdrawn", sentence, against)
            )
    return found


def notes(subject: Subject, evidence: EvidenceView) -> tuple[str, ...]:
    """Name the revocations about a model that do not count."""
    counting = revoked(evidence)
    known = {entry.payload_digest: entry for entry in evidence.about(subject.sha256)}
    found = []
    for entry in evidence.of_kind(Revocation.kind):
        content = entry.content
        if isinstance(content, Revocation) and content.target in known and content.target not in counting:
            found.append(
                f"the revocation of #{known[content.target].index} at #{entry.index} does not count: "
                f"{entry.principal.id} neither signed that nor may revoke"
            )
    return tuple(found)


def _told(what: str, entry: Attestation) -> str:
    reason = getattr(entry.content, "reason", "")
    return f"{what} withdrawn by {entry.principal.id} at #{entry.index}: {reason}"


def _finding(name: str, title: str, sentence: str, entry: Attestation) -> Finding:
    return Finding(
        id=name, rule=name.partition("/")[0], title=title, status="fail", sentence=sentence, evidence=(entry.index,),
        payloads=(entry.payload_digest,),
    )  # fmt: skip
