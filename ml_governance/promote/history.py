"""Promotions as the log tells them: each intent with its outcome, and whether it went through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance import __version__
from ml_governance.decide import breakglass, passage
from ml_governance.decide.decision import evaluate
from ml_governance.decide.delegation import applied
from ml_governance.decide.passage import GLOBAL_KINDS, pass_of, pass_of_outcome, passages, says_end
from ml_governance.decide.policy import in_force
from ml_governance.errors import GovernanceError
from ml_governance.evidence.past import first
from ml_governance.evidence.predicates import Promotion, WriterOpen
from ml_governance.evidence.verdicts import Approval, DecisionRecord

if TYPE_CHECKING:
    from ml_governance.decide.passage import Passage
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
__all__ = ["GLOBAL_KINDS", "flaw", "open_at", "pass_of", "pass_of_outcome", "passages", "standing", "unfinished"]


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
    fault = passage.misfit(one, evidence)
    if fault or one.decision is None or not isinstance(one.decision.content, DecisionRecord):
        return fault or "the decision that it names is not in the log before it"
    return _made_again(one, one.decision, one.decision.content, evidence, project)


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
        lost = {gone.index for gone in then.void if gone.kind == Approval.kind and gone.about(one.subject.sha256)}
        if lost & {given.index for given in decision.approvals}:
            return ""  # it may have been the approval that is missing
        return passage.alone(one, decision, reference.policy, then, project)
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
        not any(a.principal.id == intent.principal.id and says_end(a, other, intent, content) for a, other in here)
        for intent, content in here
        if content.phase == "intent"
    )


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
