"""What the expressions of a rule are about: the model as it was registered, the stage, and what the evidence says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ml_governance.decide import expression
from ml_governance.decide.bounds import Judged
from ml_governance.errors import GovernanceError
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.predicates import Assessment, Deployment, HumanText, Registration, TrainingRun

if TYPE_CHECKING:
    from ml_governance.decide.policy import Rule
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

WHEN, CHECK = "when", "check"
"""The keys of a rule, and how their findings end."""
_APART = ("measurements", "details")


def names(key: str, kind: str) -> tuple[str, ...]:
    """Return what the expression under a key may name, where the rule is about a kind of evidence."""
    if key == WHEN:
        return ("model", "stage")
    return ("evidence", *(_APART if EVIDENCE_KINDS[kind].assessment else ()), "model", "stage")


TIER = "risk-tier"
"""Name of the signed text of one word, such as ``high``, that expressions read as ``model.risk_tier``."""
MAY_TIER = frozenset({"risk_officer", "policy_owner"})
_FIELD = "risk_tier"
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_MADE = (Registration.kind, TrainingRun.kind)


def sources(text: str, subject: Subject, evidence: EvidenceView) -> tuple[Attestation, ...]:
    """Return the entries that say what the model is, as far as an expression asks."""
    tier = _tier(subject, evidence) if _FIELD in text else None
    return (*evidence.about(subject.sha256, Registration.kind), *(() if tier is None else (tier,)))


def _tier(subject: Subject, evidence: EvidenceView) -> Attestation | None:
    """Return the newest text that says the risk tier, by somebody in :data:`MAY_TIER` who speaks for none of its makers.

    None as well where a later text about the model counts no more: it may have said another tier.
    """
    made = {a.principal.id for kind in _MADE for a in evidence.about(subject.sha256, kind)}
    made |= {one.by for one in evidence.void if one.kind in _MADE and one.about(subject.sha256)}
    said = [
        a
        for a in evidence.about(subject.sha256, HumanText.kind)
        if isinstance(a.content, HumanText)
        and a.content.name == TIER
        and any(voice.isdisjoint(made) for voice in a.principal.voices(MAY_TIER))
    ]
    lost = [one.index for one in evidence.void if one.kind == HumanText.kind and one.about(subject.sha256)]
    return said[-1] if said and all(index < said[-1].index for index in lost) else None


def applies(rule: Rule, subject: Subject, evidence: EvidenceView, stage: str) -> tuple[bool, Judged]:
    """Tell whether a rule with a condition applies; without an answer it neither does nor passes."""
    text = rule.when or ""
    try:
        if expression.holds(text, _about_model(subject, evidence, stage)):
            return True, Judged(suffix=WHEN, status="pass", text=f"the rule applies, for {text} is true of this model")
    except GovernanceError as problem:
        return False, _unanswered(WHEN, text, problem)
    return False, Judged(suffix=WHEN, status="pass", text=f"the rule does not apply, for {text} is false of this model")


def check(rule: Rule, subject: Subject, entry: Attestation, evidence: EvidenceView, stage: str) -> Judged:
    """Judge what a rule's expression says of the evidence that counts for it."""
    text = rule.check or ""
    said = entry.content.to_wire()
    context = _about_model(subject, evidence, stage)
    if isinstance(entry.content, Assessment):
        context |= {name: said.pop(name) for name in _APART}
    context["evidence"] = said
    try:
        right = expression.holds(text, context)
    except GovernanceError as problem:
        return _unanswered(CHECK, text, problem)
    return Judged(
        suffix=CHECK, status="pass" if right else "fail", text=f"of the evidence {text} is {str(right).lower()}"
    )


def _about_model(subject: Subject, evidence: EvidenceView, stage: str) -> dict[str, Any]:
    """Return the model and the stage; where two registrations of the same bytes differ, nobody knows, and it is absent."""
    registered = [a.content.to_wire() for a in evidence.about(subject.sha256, Registration.kind)]
    model = {
        key: value
        for key, value in (registered[0] if registered else {}).items()
        if all(one.get(key) == value for one in registered)
    }
    said = _tier(subject, evidence)
    if said is not None and isinstance(said.content, HumanText) and _WORD.fullmatch(word := said.content.text.strip()):
        model[_FIELD] = word
    known = {**model, "digest": f"sha256:{subject.sha256}", "deployed": _deployed(subject, evidence, stage)}
    return {"model": known, "stage": stage}


def _deployed(subject: Subject, evidence: EvidenceView, stage: str) -> bool:
    """Tell whether anybody has said that these bytes were served in a stage; what nobody can read any more may have."""
    said = (a.content for a in evidence.about(subject.sha256, Deployment.kind))
    return any(isinstance(one, Deployment) and one.stage == stage for one in said) or any(
        gone.kind == Deployment.kind and gone.about(subject.sha256) for gone in evidence.void
    )


def _unanswered(key: str, text: str, problem: GovernanceError) -> Judged:
    expected = f"; expected {problem.expected}" if problem.expected else ""
    return Judged(suffix=key, status="error", text=f"`{key}` cannot be answered, {text}: {problem.found}{expected}")
