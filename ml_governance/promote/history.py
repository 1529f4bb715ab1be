"""Promotions as the log tells them: each intent with its outcome, and whether it went through the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance import __version__
from ml_governance.decide import approval, breakglass, rbac
from ml_governance.decide.decision import evaluate
from ml_governance.decide.delegation import applied
from ml_governance.decide.past import policy_at
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import SKEW, makers
from ml_governance.errors import GovernanceError
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.past import first
from ml_governance.evidence.predicates import Approval, BreakGlass, DecisionRecord, Promotion, Registration, WriterOpen

if TYPE_CHECKING:
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


def passages(evidence: EvidenceView) -> tuple[Passage, ...]:
    """Return every promotion in the log, oldest first, whether it went through the gate or not."""
    entries = [(a, a.content) for a in evidence.of_kind(Promotion.kind) if isinstance(a.content, Promotion)]
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
    if not _says_end(entry, other, intent, content):
        return False
    return entry.principal.id == intent.principal.id or not _barred(
        entry, policy_at(evidence, content.stage, entry.index), evidence
    )


def _says_end(entry: Attestation, other: Promotion, intent: Attestation, content: Promotion) -> bool:
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


def flaw(one: Passage, evidence: EvidenceView, project: str) -> str:
    """Return why a promotion did not go through the gate; empty where it did.

    Parameters
    ----------
    one : Passage
        The promotion.
    evidence : EvidenceView
        Verified and complete.
    project : str
        The project.
    """
    intent, content, decided, emergency = one.intent, one.content, one.decision, one.emergency
    if one.used_at is not None:
        return f"its pass was used at #{one.used_at} already"
    subject = intent.subjects[0]
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
        and (a.kind in GLOBAL_KINDS or a.about(subject.sha256))
    ]
    if between:
        return f"entry #{between[0]} came in between its decision and it"
    if abs(decision.time_verified - decided.recorded_at) > SKEW:
        return f"the decision at #{decided.index} was made for another time, {decision.time_verified.isoformat()}"
    if emergency is None and decision.result != "allow":
        return f"the decision at #{decided.index} is {decision.result}"
    if emergency is None and (barred := _barred(intent, policy_at(evidence, content.stage, intent.index), evidence)):
        return barred
    return _made_again(one, decided, decision, evidence, project)


def _registered(subject: Subject, name: str, before: int, evidence: EvidenceView) -> bool:
    """Tell whether bytes were registered under a name before an entry; a registration that is lost may have been that."""
    lost = any(one.kind == Registration.kind and one.about(subject.sha256) for one in evidence.void)
    return lost or any(
        a.index < before and getattr(a.content, "name", None) == name
        for a in evidence.about(subject.sha256, Registration.kind)
    )


def _made_again(
    one: Passage, decided: Attestation, decision: DecisionRecord, evidence: EvidenceView, project: str
) -> str:
    """Decide again on what was in the log then: a decision is anybody's signed word, and this is what it rests on.

    Who stood behind it is counted whatever version it names. Its rules are applied again only where that can be told:
    :func:`_comparable`.
    """
    use = next((use for use in breakglass.uses(evidence) if use.entry is one.emergency), None)
    if use is not None and use.flaw:
        return f"its break-glass does not count: {use.flaw}"
    then = applied(first(evidence, decision.log_size), project=project, at=decision.time_verified)
    try:
        reference = in_force(then, decision.stage)
        again = evaluate(
            subject=one.subject, stage=decision.stage, project=project, policy=reference.policy,
            policy_sha256=reference.sha256, evidence=then, at=decision.time_verified,
        )  # fmt: skip
    except GovernanceError as error:
        return f"the decision at #{decided.index} cannot be made again: {error.found}"
    comparable = _comparable(one.subject, decided, decision, reference.policy, then)
    if comparable and (again.result, again.binding) != (decision.result, decision.binding):
        return f"the decision at #{decided.index} says {decision.result}; the evidence before it says {again.result}"
    if use is None:
        return _alone(one, decision, reference.policy, then, project)
    said = breakglass.Emergency(reason=use.content.reason, lasts=use.content.expires - use.entry.recorded_at)
    refused = breakglass.refusal(
        use.entry.principal, said, policy=reference.policy, project=project, decision=again, evidence=then
    )
    return f"its break-glass does not count: {refused}" if comparable and refused else ""


def _comparable(
    subject: Subject, decided: Attestation, decision: DecisionRecord, policy: Policy, then: EvidenceView
) -> bool:
    """Tell whether the rules, applied again, say what they said then.

    Not where an earlier version decided, before this one was in use on the log: what a decision names as its version, its signer
    chose. And not where something that may have mattered has been erased or taken back since.
    """
    if decision.verifier.version.get("ml-governance") != __version__:
        opened = (a.content for a in then.of_kind(WriterOpen.kind) if a.index < decided.index)
        in_use = {one.software.get("ml-governance") for one in opened if isinstance(one, WriterOpen)}
        if __version__ not in in_use:
            return False
    others = any(rule.require.champion or rule.require.max_attempts for rule in policy.rules)
    return not any(others or gone.kind in GLOBAL_KINDS or gone.about(subject.sha256) for gone in then.void)


def open_at(place: tuple[str, str, str], evidence: EvidenceView) -> bool:
    """Tell whether an alias may have a promotion without outcome, by its own signers' records alone: no less than there are.

    Parameters
    ----------
    place : tuple of str
        Registry, model name and alias.
    evidence : EvidenceView
        With every promotion under that name.
    """
    entries = [(a, a.content) for a in evidence.of_kind(Promotion.kind) if isinstance(a.content, Promotion)]
    here = [(a, one) for a, one in entries if (one.registry, one.name, one.alias) == place]
    return any(
        not any(a.principal.id == intent.principal.id and _says_end(a, other, intent, content) for a, other in here)
        for intent, content in here
        if content.phase == "intent"
    )


def _alone(one: Passage, decision: DecisionRecord, policy: Policy, then: EvidenceView, project: str) -> str:
    """Return who had to stand behind a promotion and did not, by the approvals of just what its decision names."""
    lost = {gone.index for gone in then.void if gone.kind == Approval.kind and gone.about(one.subject.sha256)}
    if lost & {given.index for given in decision.approvals}:
        return ""  # it may have been the approval that is missing
    ballot = approval.count(
        policy, subject=one.subject, stage=decision.stage, bound_to=decision.binding, project=project, evidence=then,
        at=decision.time_verified if then.newest is None else max(decision.time_verified, then.newest),
    )  # fmt: skip
    if ballot.missing:
        return f"nobody had approved what its decision names as {' and '.join(ballot.missing)}"
    if ballot.rejections:
        return f"{ballot.rejections[-1].principal.id} had rejected what its decision names at #{ballot.rejections[-1].index}"
    said = rbac.together(one.intent.principal, ballot.approvals, policy=policy, evidence=then)
    return "" if said.allowed else said.reason


def unfinished(evidence: EvidenceView, project: str) -> tuple[Passage, ...]:
    """Return the promotions that went through the gate and have no outcome."""
    return tuple(one for one in passages(evidence) if one.outcome is None and not flaw(one, evidence, project))


def standing(evidence: EvidenceView, project: str) -> dict[tuple[str, str, str], Passage]:
    """Return, for each alias, the newest promotion that is recorded as done and went through the gate."""
    newest: dict[tuple[str, str, str], Passage] = {}
    for one in reversed(passages(evidence)):
        if one.done and one.place not in newest and not flaw(one, evidence, project):
            newest[one.place] = one
    return newest
