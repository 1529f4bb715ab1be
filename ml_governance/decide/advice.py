"""What would make a decision pass: for each thing that blocks, which evidence, how far off, how many rows, whose word.

Pure, and advice only: nothing here is judged by, and nothing here is signed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.decide import bounds, facts
from ml_governance.decide.finding import OPEN
from ml_governance.decide.rules import counting, makers
from ml_governance.decide.sentences import span, words
from ml_governance.errors import GovernanceError
from ml_governance.evidence.predicates import Assessment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_governance.decide.finding import Finding
    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject

APPROVALS = "approvals"
"""What advice about missing approvals is about, instead of a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What would make one finding pass.

    Parameters
    ----------
    about : str
        The finding's id, or ``approvals``.
    text : str
        One sentence or two.
    shortfall : float or None
        By how much the deciding number misses the bound, 0 or more, in the metric's unit.
    rows : tuple of (str, int)
        Rows of each group that must count in a new test set.
    power : float or None
        The chance that so many rows settle it, were the rates as measured.
    people : tuple of str
        Who could do it, by id; empty where it is nobody's word that is missing, or nobody can.
    """

    about: str
    text: str
    shortfall: float | None = None
    rows: tuple[tuple[str, int], ...] = ()
    power: float | None = None
    people: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "about": self.about, "text": self.text, "shortfall": self.shortfall, "rows": dict(self.rows),
            "power": self.power, "people": list(self.people),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What every piece of advice of one decision may look at."""

    policy: Policy
    subject: Subject
    project: str
    evidence: EvidenceView


def advise(
    findings: Sequence[Finding],
    *,
    accepted: Mapping[str, str],
    approvals_missing: Sequence[str],
    policy: Policy,
    subject: Subject,
    project: str,
    evidence: EvidenceView,
) -> tuple[Advice, ...]:
    """Say for everything that blocks what would make it pass.

    Parameters
    ----------
    findings : sequence of Finding
        Of the decision.
    accepted : mapping of finding id to person
        Inconclusive findings that were accepted by name: they block no more.
    approvals_missing : sequence of str
        Roles still to approve.
    policy, subject, project, evidence
        What was judged.

    Returns
    -------
    tuple of Advice
        One for each finding that blocks, in their order, then one for each missing approval.
    """
    case = _Case(policy=policy, subject=subject, project=project, evidence=evidence)
    rules = {rule.id: rule for rule in policy.rules}
    given = []
    for finding in findings:
        if finding.status in ("pass", "waived") or (finding.status in OPEN and finding.id in accepted):
            continue
        rule = rules.get(finding.rule)
        given.append(_circumstance(finding) if rule is None else _rule(rule, finding, case))
    return (*given, *(_approval(role, case) for role in approvals_missing))


def multiplicity(policy: Policy) -> str:
    """State what keeps many comparisons from misleading, and over which family."""
    judged = [rule for rule in policy.rules if rule.require.metric is not None]
    family = sum(max(1, len(rule.require.by)) for rule in judged)
    if not judged:
        return "no number is compared"
    return (
        f"the family is fixed by the policy, {family} comparison{'s' if family != 1 else ''} in {len(judged)} "
        f"rule{'s' if len(judged) != 1 else ''}; every one must clear its own bound at its stated confidence (intersection-union, "
        "unadjusted), and that some group fails is shown with bounds simultaneous over the groups that the policy names"
    )


# --- rules ----------------------------------------------------------------------------------------------


def _rule(rule: Rule, finding: Finding, case: _Case) -> Advice:
    """Advise on a rule; where that goes wrong, the decision stands all the same."""
    try:
        return _on(rule, finding, case)
    except (GovernanceError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError):
        return Advice(about=finding.id, text="What it says must no longer be so.")


def _on(rule: Rule, finding: Finding, case: _Case) -> Advice:
    if finding.id == f"{rule.id}/{facts.WHEN}":
        return Advice(
            about=finding.id, text="The registrations of these bytes must say, alike, what the condition asks about."
        )
    if finding.id == f"{rule.id}/{facts.CHECK}":
        return Advice(about=finding.id, text=f"It needs {_evidence(rule)}, of which this is true: {rule.check}.")
    if finding.status == "fail":
        return _failed(rule, finding, case)
    if finding.status == "inconclusive":
        return _inconclusive(rule, finding, case)
    if finding.status == "insufficient":
        return _insufficient(rule, finding, case)
    verb = {"missing": "needs", "stale": "needs again", "error": "needs, such that it can be used,"}[finding.status]
    return Advice(about=finding.id, text=f"It {verb} {_evidence(rule)}.")


def _evidence(rule: Rule) -> str:
    """Name the evidence that a rule asks for, with everything that makes it count."""
    require = rule.require
    conditions = []
    if require.by:
        groups = [
            f"{attribute} ({', '.join(require.levels[attribute])})" if attribute in require.levels else attribute
            for attribute in require.by
        ]
        conditions.append(f"by {' and '.join(groups)}")
    if require.metric is not None:
        conditions.append(f"with predictions at least {require.predictions}")
    if require.inputs_digested:
        conditions.append("with inputs named by digest")
    if require.signed_by:
        who = f"signed by a {words(require.signed_by)}"
        conditions.append(who + (" who did not make the model" if require.assessment else ""))
    if require.max_age:
        conditions.append(f"at most {span(require.max_age)} old")
    measures = f" that measures {words(require.metric)}" if require.metric else ""
    return f"{require.evidence} evidence about these bytes{measures}" + "".join(f", {one}" for one in conditions)


def _failed(rule: Rule, finding: Finding, case: _Case) -> Advice:
    short = _shortfall(rule, finding)
    far = f"The number that decides misses the bound by {short:.3g}. " if short is not None else ""
    people = _people(case, case.policy.waivers.roles, case.policy.waivers.not_)
    waive = (
        f" or a waiver by a {_or(case.policy.waivers.roles)} ({_named(people)})" if case.policy.waivers.roles else ""
    )
    return Advice(
        about=finding.id,
        text=f"{far}More rows will not mend it: it needs another model{waive}.",
        shortfall=short,
        people=people,
    )


def _inconclusive(rule: Rule, finding: Finding, case: _Case) -> Advice:
    short = _shortfall(rule, finding)
    rows, power, outcome = _planned(rule, finding, case)
    parts = [f"The number that decides misses the bound by {short:.3g}." if short is not None else ""]
    if rows:
        told = ", ".join(f"{group} {count:,}" for group, count in rows)
        parts.append(
            f"A new test set in which at least these rows count would {outcome} with a chance of {power:.0%}, were the rates as "
            f"measured: {told}."
        )
    else:
        parts.append("No number of rows in a new test set is known that would settle it, were the numbers as measured.")
    review = case.policy.review
    people: tuple[str, ...] = ()
    if rule.on_inconclusive == "deny":
        parts.append("The policy lets nobody accept it as it is.")
    elif review is not None:
        people = _people(case, review.roles, ("author", "trainer"))
        parts.append(f"Or a {_or(review.roles)} ({_named(people)}) accepts it by name.")
    return Advice(
        about=finding.id, text=" ".join(filter(None, parts)), shortfall=short, rows=rows, power=power, people=people
    )


def _planned(rule: Rule, finding: Finding, case: _Case) -> tuple[tuple[tuple[str, int], ...], float | None, str]:
    """Return the rows of each group, the power and the outcome of a plan, if counts give one."""
    parts = _sizes(rule, finding, case)
    counts = [[(k, n) for _, k, n in groups if k is not None] for groups in parts]
    if not counts or any(len(some) < len(groups) for some, groups in zip(counts, parts, strict=True)):
        return (), None, ""
    plan = bounds.plan(rule.require, rule.require.definition(), counts)
    if plan is None:
        return (), None, ""
    needed: dict[str, int] = {}
    for groups in parts:
        for name, _, n in groups:
            needed[name] = max(needed.get(name, 0), math.ceil(n * plan.factor))
    return tuple(needed.items()), plan.power, plan.outcome


def _insufficient(rule: Rule, finding: Finding, case: _Case) -> Advice:
    least = rule.require.min_group_size
    small: dict[str, float] = {}
    for groups in _sizes(rule, finding, case):
        for name, _, n in groups:
            if n < least:
                small[name] = min(small.get(name, n), n)
    told = "".join(f"; {name} has {n:,.0f}" for name, n in small.items())
    return Advice(
        about=finding.id,
        text=f"It needs a new test set in which at least {least:,} rows of each group count{told}.",
        rows=tuple((name, least) for name in small),
    )


def _sizes(rule: Rule, finding: Finding, case: _Case) -> tuple[tuple[tuple[str, float | None, float], ...], ...]:
    try:
        entry, _ = counting(rule, case.subject, case.evidence)
        if entry is None or not isinstance(entry.content, Assessment):
            return ()
        attribute = finding.id.partition("/")[2]
        return bounds.sizes(rule.require, rule.require.definition(), entry.content, attribute)
    except GovernanceError:
        return ()


def _shortfall(rule: Rule, finding: Finding) -> float | None:
    """Return by how much the number that must reach the bound misses it."""
    bound = rule.require.bound
    if bound is None:
        return None
    name, number = bound
    deciding = {"lower_bound_at_least": finding.lower, "upper_bound_at_most": finding.upper}.get(name, finding.value)
    if deciding is None:
        return None
    return max(0.0, number - deciding if name.endswith("at_least") else deciding - number)


# --- people and circumstances ---------------------------------------------------------------------------


def _approval(role: str, case: _Case) -> Advice:
    people = _people(case, [role], ("author", "trainer"))
    whose = _named(people)
    return Advice(
        about=APPROVALS,
        text=f"It needs an approval by a {words(role)} ({whose}), and nobody counts twice.",
        people=people,
    )


def _people(case: _Case, roles: Sequence[str], barred: Iterable[str]) -> tuple[str, ...]:
    """Return who has one of some roles in the project now, and is not barred by having made the model."""
    made = makers(case.subject, case.evidence)
    out = {person for relation in barred for person in made.get(relation, ())}
    return tuple(
        sorted(
            person.id
            for person in case.evidence.principals.values()
            if person.id not in out and person.roles & set(roles) and {case.project, "*"} & person.projects
        )
    )


def _named(people: Sequence[str]) -> str:
    return " or ".join(people) or "nobody whom the trust file names may"


_CIRCUMSTANCES = {
    "GATE-model": "Register these bytes: produce them under a training run, or bring them in.",
    "GATE-policy": "A policy owner must put a policy in force that is for this model, or this is the wrong stage.",
    "GATE-rules": "A policy owner must put a policy in force that has a rule for this model.",
    "GATE-stage": "Decide for the stage that the policy is for.",
    "GATE-trust": "The holders of the root key must sign a new trust file.",
    "GATE-clock": "Set the clock of this machine right.",
    "GATE-void": "New evidence of that kind must be signed in its place, with a key that counts.",
    "GATE-custody": "The people involved must hold their keys in different places: each makes a key elsewhere, and the holders of the root "
    "key let it in (mlgov keys new, mlgov keys trust).",
    "GATE-revoked": "Nothing makes these bytes pass again, for no revocation is taken back: it needs another model.",
    "GATE-withdrawn": "New evidence, another policy or another outcome begins anew; exactly this is not allowed any more.",
    "GATE-rejected": "Who said no must say yes or take it back; new evidence or another model begins anew.",
}


def _circumstance(finding: Finding) -> Advice:
    for prefix, text in _CIRCUMSTANCES.items():
        if finding.rule.startswith(prefix):
            return Advice(about=finding.id, text=text)
    return Advice(about=finding.id, text="What it says must no longer be so.")


def _or(names: Sequence[str]) -> str:
    return " or ".join(words(name) for name in names)
