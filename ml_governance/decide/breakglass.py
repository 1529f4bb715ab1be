"""Break-glass: promotion against the gate's answer, by a role of its own, for a limited time, and never unseen.

It overrides the policy's rules and approvals that are missing. It overrides nothing else: not a model that was withdrawn, not a
rejection, not a log, a clock or a trust file in doubt, and never for the people who made the model. Its roles are held of one's
own, not lent, and whoever put the policy in force that gives them is not the one who breaks the glass by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.decide.past import policy_at
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import makers, revoked
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview, DecisionRecord

if TYPE_CHECKING:
    from datetime import datetime

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """What somebody says who breaks the glass.

    Parameters
    ----------
    reason : str
        Why; kept for ever.
    lasts : timedelta
        For how long; at most the policy's ``max_hours``.
    """

    reason: str
    lasts: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A use of break-glass, as the log tells it.

    Parameters
    ----------
    entry : Attestation
        The use.
    content : BreakGlass
        What it says.
    review : Attestation or None
        The newest review that counts.
    flaw : str
        Why the use was never one that counts; empty where it does.
    ignored : tuple of str
        Reviews that do not count, and why.
    """

    entry: Attestation
    content: BreakGlass
    review: Attestation | None
    flaw: str
    ignored: tuple[str, ...] = ()

    def sentence(self, at: datetime | None = None) -> str:
        """Tell the use in one sentence; ``at`` is the present, where it is known."""
        over = at is not None and at >= self.content.expires
        until = f"{'which ended' if over else 'until'} {self.content.expires.isoformat(timespec='seconds')}"
        seen = "not reviewed"
        if self.review is not None and isinstance(self.review.content, BreakGlassReview):
            verdict = self.review.content.verdict.replace("-", " ")
            seen = f"{verdict}, says {self.review.principal.id} (#{self.review.index}): {self.review.content.reason}"
        flaw = f"; it never counted: {self.flaw}" if self.flaw else ""
        return (
            f"break-glass at #{self.entry.index}: {self.entry.principal.id} put {self.entry.subjects[0].name} into "
            f"{self.content.stage}, {until}: {self.content.reason}; {seen}{flaw}"
        )


def refusal(
    principal: Principal,
    emergency: Emergency,
    *,
    policy: Policy,
    project: str,
    decision: Decision,
    evidence: EvidenceView,
) -> str | None:
    """Return why somebody may not break the glass for a model now, or None if they may.

    Parameters
    ----------
    principal : Principal
        Who wants to, as their key proves.
    emergency : Emergency
        What they say.
    policy : Policy
        The policy in force.
    project : str
        The project.
    decision : Decision
        What the gate has just decided.
    evidence : EvidenceView
        What it decided on.
    """
    if policy.break_glass is None:
        return f"the policy {policy.policy} has no break_glass"
    roles = " or ".join(policy.break_glass.roles)
    if role_of(principal, policy, project) is None:
        return f"{principal.id} has the roles {', '.join(sorted(principal.own)) or 'none'} of their own; break-glass takes {roles}"
    if in_force(evidence, decision.stage).attestation.principal.id == principal.id:
        return f"{principal.id} put the policy {policy.policy} in force, and nobody breaks the glass by a policy of their own"
    made = makers(decision.subject, evidence)
    if principal.id in made["author"] | made["trainer"]:
        return f"{principal.id} made {decision.subject.name}, and nobody breaks the glass for their own work"
    if not timedelta(0) < emergency.lasts <= timedelta(hours=policy.break_glass.max_hours):
        hours = emergency.lasts / timedelta(hours=1)
        return f"it is to last {hours:g} hours; the policy allows at most {policy.break_glass.max_hours} hours"
    gone = withdrawn_model(decision.subject, evidence)
    if gone is not None:
        return f"{decision.subject.name} was withdrawn at #{gone.index}"
    taken_back = revoked(evidence)
    for entry in evidence.about(decision.subject.sha256, DecisionRecord.kind):
        content = entry.content
        if (
            isinstance(content, DecisionRecord)
            and content.stage == decision.stage
            and entry.payload_digest in taken_back
        ):
            return f"the decision at #{entry.index} about {decision.subject.name} was withdrawn"
    blocking = [finding.sentence for finding in decision.findings if finding.rule.startswith("GATE-")]
    if blocking:
        return f"break-glass overrides the policy's rules and nothing else: {blocking[0]}"
    return None


def role_of(principal: Principal, policy: Policy, project: str) -> str | None:
    """Return the role in which somebody breaks the glass under a policy; None if they have none."""
    if policy.break_glass is None or not {project, "*"} & principal.projects:
        return None
    return next((role for role in policy.break_glass.roles if role in principal.own), None)


def uses(evidence: EvidenceView) -> tuple[Use, ...]:
    """Return every use of break-glass in the log, oldest first, whatever became of it."""
    found = []
    reviews = evidence.of_kind(BreakGlassReview.kind)
    for entry in evidence.of_kind(BreakGlass.kind):
        content = entry.content
        if not isinstance(content, BreakGlass):
            continue
        policy = policy_at(evidence, content.stage, entry.index)
        newest, ignored = None, []
        for review in reviews:
            if not isinstance(review.content, BreakGlassReview) or review.content.target != entry.payload_digest:
                continue
            refused = review_refusal(review.principal, entry, policy, evidence, role=review.content.role)
            if refused is None and review.payload_digest in revoked(evidence):
                refused = "it was withdrawn"
            if refused is None:
                newest = review
            else:
                ignored.append(f"the review of #{entry.index} at #{review.index} does not count: {refused}")
        found.append(
            Use(
                entry=entry, content=content, review=newest, flaw=_flaw(entry, content, policy, evidence),
                ignored=tuple(ignored),
            )
        )  # fmt: skip
    return tuple(found)


def _flaw(entry: Attestation, content: BreakGlass, policy: Policy | None, evidence: EvidenceView) -> str:
    if policy is None or policy.break_glass is None:
        return "the policy then in force had no break_glass"
    if content.role not in policy.break_glass.roles or content.role not in entry.principal.own:
        return f"{entry.principal.id} had not the role {' or '.join(policy.break_glass.roles)}"
    if any(entry.principal.id in made for subject in entry.subjects for made in makers(subject, evidence).values()):
        return f"{entry.principal.id} made the model"
    if content.expires - entry.recorded_at > timedelta(hours=policy.break_glass.max_hours):
        return f"it runs for more than {policy.break_glass.max_hours} hours"
    return ""


def review_refusal(
    principal: Principal, use: Attestation, policy: Policy | None, evidence: EvidenceView, *, role: str | None = None
) -> str | None:
    """Return why somebody's review of a use does not count, or None if it does.

    Parameters
    ----------
    principal : Principal
        Who reviews.
    use : Attestation
        The use.
    policy : Policy or None
        The policy that was in force at the use.
    evidence : EvidenceView
        Shows who made the model.
    role : str, optional
        In which role; default is any that may.
    """
    roles = policy.break_glass.reviewed_by if policy is not None and policy.break_glass is not None else []
    mine = [one for one in roles if one in principal.own and role in (None, one)]
    if not mine:
        return f"{principal.id} has not the role {' or '.join(roles) or 'that reviews, for no policy names one'} of their own"
    if principal.id == use.principal.id:
        return f"{principal.id} broke the glass"
    if any(principal.id in made for subject in use.subjects for made in makers(subject, evidence).values()):
        return f"{principal.id} made the model"
    return None


def notes(evidence: EvidenceView, at: datetime) -> tuple[str, ...]:
    """Return a sentence for each use, of whatever model, that nobody has reviewed or can read any more, and for void reviews."""
    every = uses(evidence)
    return (
        *(one.sentence(at) for one in every if one.review is None),
        *(
            f"break-glass at #{lost.index}: what it let in, nobody can tell any more: {lost.why}"
            for lost in evidence.void
            if lost.kind == BreakGlass.kind
        ),
        *(note for one in every for note in one.ignored),
    )


def standing(subject: Subject, stage: str, evidence: EvidenceView) -> Use | None:
    """Return the newest use for a model and a stage that counted, or None."""
    mine = [
        one for one in uses(evidence) if one.content.stage == stage and one.entry.about(subject.sha256) and not one.flaw
    ]
    return mine[-1] if mine else None
