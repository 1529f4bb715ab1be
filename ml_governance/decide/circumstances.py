"""What blocks whatever the rules say: another model, stage or time than the policy's, a model withdrawn, evidence lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ml_governance.decide import withdrawal
from ml_governance.decide.finding import Finding
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import SKEW, counting
from ml_governance.errors import EvidenceError
from ml_governance.evidence.predicates import PolicyInForce, Promotion, Registration, Revocation, TrainingRun
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, BreakGlassReview, DecisionRecord, Waiver

if TYPE_CHECKING:
    from datetime import datetime

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView, Void
    from ml_governance.evidence.statement import Subject


def blocking(
    subject: Subject,
    stage: str,
    project: str,
    policy: Policy,
    evidence: EvidenceView,
    at: datetime,
    clock: datetime,
) -> list[Finding]:
    """Return what blocks; ``clock`` is what the machine says, ``at`` the time that is judged."""
    found = []

    def block(name: str, status: Literal["fail", "error", "missing"], sentence: str) -> None:
        found.append(Finding(id=name, rule=name, title=sentence, status=status, sentence=sentence))

    registered = {
        a.content.name for a in evidence.about(subject.sha256, Registration.kind) if isinstance(a.content, Registration)
    }
    if not registered:
        block("GATE-model", "missing", "These bytes were never registered in this ledger.")
    elif not all(policy.applies(project=project, model=name) for name in registered):
        block(
            "GATE-policy",
            "fail",
            f"The policy {policy.policy} is not for {', '.join(sorted(registered))} of {project}.",
        )
    if policy.stage != stage:
        block("GATE-stage", "fail", f"The policy {policy.policy} is for {policy.stage}, not for {stage}.")
    if at >= evidence.trust_expires_at:
        block(
            "GATE-trust",
            "error",
            f"The trust file expired at {evidence.trust_expires_at.isoformat()}; the root must sign a new one.",
        )
    if (withdrawn := withdrawal.model_finding(subject, evidence)) is not None:
        found.append(withdrawn)
    for gone in evidence.void:
        if _still_matters(gone, subject, stage, policy, evidence):
            block(
                f"GATE-void-{gone.index}",
                "error",
                f"The {gone.kind} at #{gone.index} counts no more, and might have counted against it: {gone.why}.",
            )
    latest = evidence.newest or max((a.recorded_at for a in evidence.attestations), default=at)
    if latest - clock > SKEW:
        block(
            "GATE-clock",
            "error",
            f"The clock says {clock.isoformat()}, and the log has an entry or an anchor from {latest.isoformat()}.",
        )
    return found


HARMLESS = (DecisionRecord.kind, Promotion.kind, Waiver.kind, ApprovalRequest.kind, BreakGlassReview.kind)
"""What never counts against a model: to lose one helps nobody."""


def _still_matters(gone: Void, subject: Subject, stage: str, policy: Policy, evidence: EvidenceView) -> bool:
    """Tell whether an entry that counts no more could have changed the decision; what counts in its place replaces it."""
    if gone.kind == PolicyInForce.kind:
        try:
            return in_force(evidence, stage).attestation.index < gone.index
        except EvidenceError:
            return True
    if gone.kind == Revocation.kind:
        return True  # what it withdrew, nobody can tell any more
    if gone.kind in HARMLESS or not gone.about(subject.sha256):
        return False
    if _every_one_is_read(gone.kind, policy):
        return True
    newer = [a for a in evidence.about(subject.sha256, gone.kind) if a.index > gone.index]
    if gone.kind == Approval.kind and gone.erased:
        # It may have been a rejection, and that only its signer takes back, for the same stage.
        newer = [a for a in newer if a.principal.id == gone.by and getattr(a.content, "stage", "") == stage]
    resting = [counting(rule, subject, evidence)[0] for rule in policy.rules if rule.require.evidence == gone.kind]
    return not newer or any(entry is not None and entry.index < gone.index for entry in resting)


def _every_one_is_read(kind: str, policy: Policy) -> bool:
    """Tell whether a policy looks at all entries of a kind, so that a newer one stands in for none that is lost.

    Under which other names bytes were registered says whether the policy is for them, which model is in use, and how often they
    were tried; all runs together say what a model was trained on.
    """
    asked = [rule.require for rule in policy.rules]
    if kind == TrainingRun.kind:
        return any(one.no_overlap_with is not None for one in asked)
    if kind != Registration.kind:
        return False
    return (
        policy.applies_to.model != "*"
        or any(rule.when is not None or rule.check is not None for rule in policy.rules)
        or any(one.champion is not None or one.max_attempts is not None for one in asked)
    )
