"""Promotions as the log tells them: each intent with its outcome, and who stood behind it.

Nothing is decided again here: whether a promotion's decision follows from the evidence before it, ``promote`` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import approval, breakglass, rbac
from ml_governance.decide.champion import names_of
from ml_governance.decide.delegation import applied
from ml_governance.decide.finding import OPEN
from ml_governance.decide.past import policy_at
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import SKEW, apply, makers, revoked
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.errors import GovernanceError
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.past import first
from ml_governance.evidence.predicates import Promotion, Registration
from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview, DecisionRecord

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

GLOBAL_KINDS = ("trust", "policy", "revocation", "erasure", "promotion")
"""Kinds of entries that can change a decision, or whether it may be acted on, without being about its subject."""


def pass_of(subject: Subject, stage: str, policy_sha256: str, decision: str) -> str:
    """Return the single-use pass of a decision: the digest of subject, stage, policy and decision."""
    return sha256_hex(
        canonicalise({"subject": subject.sha256, "stage": stage, "policy": policy_sha256, "decision": decision})
    )


def pass_of_outcome(token: str) -> str:
    """Return the pass of the one outcome that an intent may have."""
    return sha256_hex(canonicalise({"outcome of": token}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One promotion.

    Parameters
    ----------
    intent : Attestation
        The entry that announced it.
    content : Promotion
        What the intent says.
    outcome : Attestation or None
        The entry that says what became of it; None while it is under way, or when something died.
    decision, emergency : Attestation or None
        The decision, and the use of break-glass, that it rests on.
    used_at : int or None
        The earlier intent that has used its pass.
    """

    intent: Attestation
    content: Promotion
    outcome: Attestation | None
    decision: Attestation | None
    emergency: Attestation | None
    used_at: int | None

    @property
    def subject(self) -> Subject:
        """What was promoted."""
        return self.intent.subjects[0]

    @property
    def done(self) -> bool:
        """Whether it is recorded that the alias was moved."""
        content = self.outcome.content if self.outcome is not None else None
        return isinstance(content, Promotion) and content.result == "done"

    @property
    def place(self) -> tuple[str, str, str]:
        """Which alias: registry, model name, alias."""
        return self.content.registry, self.content.name, self.content.alias

    def sentence(self) -> str:
        """Tell it in a few words."""
        one = self.content
        return (
            f"{one.name}/{one.version} to {one.stage}, recorded at #{self.intent.index} by {self.intent.principal.id}"
        )


def passages(evidence: EvidenceView, subject: Subject | None = None) -> tuple[Passage, ...]:
    """Return every promotion in the log, or of one subject, oldest first, whether it went through the gate or not."""
    every = evidence.of_kind(Promotion.kind) if subject is None else evidence.about(subject.sha256, Promotion.kind)
    entries = [(a, a.content) for a in every if isinstance(a.content, Promotion)]
    decisions = {a.payload_digest: a for a in evidence.of_kind(DecisionRecord.kind)}
    glass = {
        (a.content.decision, a.principal.id): a
        for a in evidence.of_kind(BreakGlass.kind)
        if isinstance(a.content, BreakGlass)
    }
    ends: dict[str, list[tuple[Attestation, Promotion]]] = {}
    for entry, content in entries:
        ends.setdefault(content.token, []).append((entry, content))
    used: dict[str, int] = {}
    found = []
    for intent, content in entries:
        if content.phase == "intent":
            outcomes = (a for a, other in ends[content.token] if _ends(a, other, intent, content, evidence))
            found.append(
                Passage(
                    intent=intent, content=content, outcome=next(outcomes, None), decision=decisions.get(content.decision),
                    emergency=glass.get((content.decision, intent.principal.id)), used_at=used.get(content.token),
                )
            )  # fmt: skip
            used.setdefault(content.token, intent.index)
    return tuple(found)


def _ends(
    entry: Attestation, other: Promotion, intent: Attestation, content: Promotion, evidence: EvidenceView
) -> bool:
    """Tell whether an entry is the outcome of an intent: about the same, later, and by somebody who may say so."""
    if not says_end(entry, other, intent, content):
        return False
    return entry.principal.id == intent.principal.id or not _barred(
        entry, policy_at(evidence, content.stage, entry.index), evidence
    )


def says_end(entry: Attestation, other: Promotion, intent: Attestation, content: Promotion) -> bool:
    """Tell whether an entry says how an intent ended, whoever signed it."""
    if other.phase != "outcome" or entry.index < intent.index or other.result is None:
        return False
    ended = content.model_copy(update={"phase": "outcome", "result": other.result, "detail": other.detail})
    return ended == other and entry.about(intent.subjects[0].sha256)


def _barred(entry: Attestation, policy: Policy | None, evidence: EvidenceView) -> str:
    """Return why whoever signed an entry could not promote its subject then."""
    if policy is None:
        return "no policy was in force"
    if not entry.principal.roles & set(policy.promote.roles):
        return f"{entry.principal.id} had not the role {' or '.join(policy.promote.roles)}"
    made = makers(entry.subjects[0], evidence)
    if any(entry.principal.id in made[relation] for relation in policy.promote.not_):
        return f"{entry.principal.id} made the model"
    return ""


def misfit(one: Passage, evidence: EvidenceView, *, names: Collection[str] | None = None) -> str:
    """Return why a promotion does not fit its decision, or its signer may not promote; empty where it fits.

    Parameters
    ----------
    one : Passage
        The promotion.
    evidence : EvidenceView
        Verified and complete; with names, what concerns the model is enough.
    names : collection of str, optional
        Of promotions that came in between and are of other models, only those under these names matter; default is all.
    """
    intent, content, decided, emergency = one.intent, one.content, one.decision, one.emergency
    if one.used_at is not None:
        return f"its pass was used at #{one.used_at} already"
    subject = one.subject
    decision = decided.content if decided is not None else None
    if decided is None or not isinstance(decision, DecisionRecord) or decided.index > intent.index:
        return "the decision that it names is not in the log before it"
    if not decided.about(subject.sha256) or decision.stage != content.stage:
        return f"the decision at #{decided.index} is about something else"
    if decided.principal.id != intent.principal.id:
        return f"the decision at #{decided.index} was made by {decided.principal.id}"
    if content.token != pass_of(subject, content.stage, decision.policy.digest.get("sha256", ""), content.decision):
        return "its pass is not that of its decision"
    if not _registered(subject, content.name, intent.index, evidence):
        return f"its bytes were not registered as {content.name} before it"
    between = [
        a.index
        for a in evidence.attestations
        if decision.log_size <= a.index < intent.index
        and a not in (decided, emergency)
        and (a.about(subject.sha256) or (a.kind in GLOBAL_KINDS and not _elsewhere(a, names)))
    ]
    if between:
        return f"entry #{between[0]} came in between its decision and it"
    if decision.log_size > decided.index:
        return f"the decision at #{decided.index} says that it rests on {decision.log_size} entries"
    if abs(decision.time_verified - decided.recorded_at) > SKEW:
        return f"the decision at #{decided.index} was made for another time, {decision.time_verified.isoformat()}"
    if emergency is None and decision.result != "allow":
        return f"the decision at #{decided.index} is {decision.result}"
    if emergency is None and (barred := _barred(intent, policy_at(evidence, content.stage, intent.index), evidence)):
        return barred
    return ""


def _elsewhere(entry: Attestation, names: Collection[str] | None) -> bool:
    """Tell whether an entry is about the promotion of a model under none of some names."""
    return names is not None and isinstance(entry.content, Promotion) and entry.content.name not in names


def _registered(subject: Subject, name: str, before: int, evidence: EvidenceView) -> bool:
    """Tell whether bytes were registered under a name before an entry; a registration that is lost may have been that."""
    lost = any(one.kind == Registration.kind and one.about(subject.sha256) for one in evidence.void)
    return lost or any(
        a.index < before and getattr(a.content, "name", None) == name
        for a in evidence.about(subject.sha256, Registration.kind)
    )


def alone(one: Passage, decision: DecisionRecord, policy: Policy, then: EvidenceView, project: str) -> str:
    """Return who had to stand behind a promotion and did not, by the approvals of just what its decision names."""
    at = decision.time_verified if then.newest is None else max(decision.time_verified, then.newest)
    return _missing(one, policy, then, _ballot(one, decision, policy, then, project, at))


def _ballot(
    one: Passage, decision: DecisionRecord, policy: Policy, then: EvidenceView, project: str, at: datetime
) -> approval.Ballot:
    return approval.count(
        policy,
        subject=one.subject,
        stage=decision.stage,
        bound_to=decision.binding,
        project=project,
        evidence=then,
        at=at,
    )


def _missing(one: Passage, policy: Policy, then: EvidenceView, ballot: approval.Ballot) -> str:
    if ballot.missing:
        return f"nobody had approved what its decision names as {' and '.join(ballot.missing)}"
    if ballot.rejections:
        return f"{ballot.rejections[-1].principal.id} had rejected what its decision names at #{ballot.rejections[-1].index}"
    said = rbac.together(one.intent.principal, ballot.approvals, policy=policy, evidence=then)
    return "" if said.allowed else said.reason


def unproven(one: Passage, evidence: EvidenceView, project: str) -> str:
    """Return why a promotion does not show that its model is in use; empty where it does.

    It must fit its decision; under the policy then in force whoever had to must have approved just what that names, after all that
    its rules rest on; and the rules, applied again to the evidence before it, must not speak against it. A comparison with the model
    that was in use before is not made again: then all that ever was in use would concern each decision.

    Parameters
    ----------
    one : Passage
        The promotion, with no other subject than its first.
    evidence : EvidenceView
        Verified; all that concerns the promoted model, none missing.
    project : str
        The project.
    """
    fault = misfit(one, evidence, names=names_of(one.subject, evidence))
    if fault or one.decision is None or not isinstance(one.decision.content, DecisionRecord):
        return fault or "the decision that it names is not in the log before it"
    if one.emergency is not None:
        return _unreviewed(one, evidence)
    decision = one.decision.content
    at = decision.time_verified
    then = applied(first(evidence, decision.log_size), project=project, at=at)
    try:
        reference = in_force(then, decision.stage)
    except GovernanceError as error:
        return f"the policy of then cannot be read: {error.found}"
    if decision.policy.digest.get("sha256") != reference.sha256:
        return f"the decision at #{one.decision.index} was made by another policy than the one in force"
    ballot = _ballot(one, decision, reference.policy, then, project, at)
    fault = _missing(one, reference.policy, then, ballot)
    if fault:
        return fault
    seen = min((given.index for given in ballot.approvals), default=decision.log_size)
    waived, _ = approval.waivers(
        reference.policy, subject=one.subject, stage=decision.stage, bound_to=decision.binding, project=project, evidence=then, at=at
    )  # fmt: skip
    waived_rules = {each.rule for each in waived}
    for rule in reference.policy.rules:
        # What the model is compared with may be lost, or another by now; whether it was measured is asked all the same.
        asked = (
            rule.model_copy(update={"require": rule.require.model_copy(update=_ALONE)})
            if rule.require.champion
            else rule
        )
        for found in apply(asked, one.subject, then, at, policy=reference.policy, project=project):
            accepted = found.id in ballot.accepted and found.status in OPEN and rule.on_inconclusive != "deny"
            excused = found.status in approval.WAIVABLE and rule.id in waived_rules
            if found.status != "pass" and not (accepted or excused):
                return f"{found.id} of the policy then in force is {found.status}"
            if any(index > seen for index in found.evidence):
                return f"it rests on #{max(found.evidence)}, which came after somebody had approved it"
    return ""


_ALONE = {"champion": None, "metric": None}


def _unreviewed(one: Passage, evidence: EvidenceView) -> str:
    use = next((use for use in breakglass.uses(evidence) if use.entry is one.emergency), None)
    if use is None or use.flaw:
        return f"its break-glass does not count: {use.flaw if use is not None else 'it is not here'}"
    if use.review is None or not isinstance(use.review.content, BreakGlassReview):
        return "it was by break-glass, which nobody has reviewed"
    return "its break-glass was not justified" if use.review.content.verdict == "not-justified" else ""


def taken_back(one: Passage, evidence: EvidenceView) -> str:
    """Return what a promotion rests on and was withdrawn since; empty if nothing was."""
    gone = withdrawn_model(one.subject, evidence)
    if gone is not None:
        return f"{one.subject.name} was withdrawn at #{gone.index}"
    decided, counting = one.decision, revoked(evidence)
    given = {each.index for each in getattr(decided.content, "approvals", ())} if decided is not None else set()
    for entry in evidence.about(one.subject.sha256):
        against = counting.get(entry.payload_digest)
        if against is not None and (entry is decided or entry.index in given):
            return f"the {entry.kind} at #{entry.index}, which it rests on, was withdrawn at #{against.index}"
    return ""
