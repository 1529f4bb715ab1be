"""Warnings about policies that are well formed and still cannot mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.decide import expression, facts
from ml_governance.decide.difference import at_least_as_strong
from ml_governance.decide.reading import nearest
from ml_governance.evidence import intervals
from ml_governance.evidence.trust import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.decide.require import Require

EQUAL_RATE = 0.25
MOST_ALIKE = 200
LARGEST = 10_000_000
"""Rows beyond which a rule is said to pass never."""


def lint(
    policy: Policy, *, roles: Collection[str] = ROLES, replaced: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Return warnings.

    A comparison that could not pass even between groups of equal rates, at the smallest group size that the rule
    allows, is named with a size at which it could.

    Parameters
    ----------
    policy : Policy
        What to look at.
    roles : collection of str
        The roles that somebody holds; by default those that the trust files of ``mlgov init`` know.
    replaced : mapping of control id to ids, optional
        Controls that the catalogue marks as replaced, and by which.
    """
    warnings = [warning for rule in policy.rules for warning in _of_rule(rule, roles)]
    warnings += [
        f"{rule.id}: the control {control} was replaced; name {' and '.join(replaced[control])} instead"
        for rule in policy.rules
        for control in rule.controls
        if replaced and control in replaced
    ]
    warnings += _shadowed(policy)
    warnings += _roles(policy, roles)
    if not policy.approvals:
        warnings.append("the policy asks for no approval: whoever may promote decides alone")
    return tuple(warnings)


def _of_rule(rule: Rule, roles: Collection[str]) -> Iterator[str]:
    require = rule.require
    for key, text in ((facts.WHEN, rule.when), (facts.CHECK, rule.check)):
        always = expression.constant(text) if text is not None else None
        if always is not None:
            yield f"{rule.id}: {key} is always {str(always).lower()}, whatever the model and its evidence are: {text}"
    if require.signed_by is not None and require.signed_by not in roles:
        yield f"{rule.id}: nobody can satisfy this rule, for {_nobody(require.signed_by, roles)}"
    for what, names in (
        ("by", require.by),
        *((f"levels of {attribute}", own) for attribute, own in require.levels.items()),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"{rule.id}: {what} names {', '.join(twice)} twice, which asks for nothing more; another was perhaps meant"
    if require.metric is None:
        return
    if require.champion is not None and require.max_attempts == 1:
        yield (
            f"{rule.id}: the model in use is measured on the same test data, which is an attempt as well, so max_attempts of 1 "
            "leaves none for the new one"
        )
    yield from _power(rule)
    unnamed = [attribute for attribute in require.by if attribute not in require.levels]
    if unnamed:
        yield f"{rule.id}: levels of {', '.join(unnamed)} are not listed, so a group that an assessment leaves out is not missed"


# --- rules that can never pass --------------------------------------------------------------------------


def _power(rule: Rule) -> Iterator[str]:
    require, form = rule.require, rule.require.definition().form
    if require.champion is not None and not require.champion.margin:
        yield f"{rule.id}: with a margin of 0 a model exactly as good as the one in use does not pass, however many rows there are"
        return
    if require.champion is None and not require.judged_by_interval:
        return
    if form in ("score", "aggregate") or (require.champion is not None and form != "rate"):
        return  # what their intervals will be, counts do not tell
    groups = max((len(levels) for levels in require.levels.values()), default=2)
    size = require.min_group_size if require.by else LARGEST
    if _can_pass(require, size, groups):
        return
    enough = _smallest(require, groups) if require.by else None
    if form == "rate" and require.champion is None:
        yield (
            f"{rule.id}: with {size:,} rows{' in a group' if require.by else ''} this rule does not pass even at the best possible "
            "rate" + (f"; it can from about {enough:,}{', so set min_group_size' if require.by else ''}" if enough else ", nor with more")
        )  # fmt: skip
        return
    what = "the two models'" if require.champion is not None else "the groups'"
    advice = (
        f"; with equal rates of {EQUAL_RATE:g} it can pass from about {enough:,} rows a group: set min_group_size"
        if enough
        else ""
    )
    yield (
        f"{rule.id}: with {size} rows in each group this rule does not pass even when {what} "
        f"rates are equal ({EQUAL_RATE:g}){advice}"
    )


def _can_pass(require: Require, size: int, groups: int) -> bool:
    k, n = float(round(size * EQUAL_RATE)), float(size)
    if require.champion is not None:
        half = intervals.rate(k, n, confidence=1 - (1 - require.confidence) / 2, sides=require.sides)
        return half.upper - half.lower <= require.champion.margin
    bound = require.bound
    if bound is None or bound[0].startswith("value"):
        return True
    form = require.definition().form
    if form == "rate":
        up = bound[0].endswith("at_least")
        best = intervals.rate(n if up else 0.0, n, confidence=require.confidence, sides=require.sides)
        return best.lower >= bound[1] if up else best.upper <= bound[1]
    if k == 0:
        return False
    function = intervals.worst_ratio if form == "ratio" else intervals.worst_difference
    worst = function([(k, n)] * groups, confidence=require.confidence, sides=require.sides)
    return worst.lower >= bound[1] if bound[0] == "lower_bound_at_least" else worst.upper <= bound[1]


def _smallest(require: Require, groups: int) -> int | None:
    """Return about the smallest group size at which the rule can pass: doubling, then halving the gap."""
    low, high = require.min_group_size, require.min_group_size * 2
    while not _can_pass(require, high, groups):
        low, high = high, high * 2
        if high > LARGEST:
            return None
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if _can_pass(require, middle, groups) else (middle, high)
    return high


# --- waivers and people ---------------------------------------------------------------------------------


def _shadowed(policy: Policy) -> Iterator[str]:
    if not policy.waivers.roles:
        return
    if not any(_waivable(rule) for rule in policy.rules):
        yield "waivers name roles, and no rule can fail or be stale: what is missing or in error cannot be waived"
    alike: dict[tuple[str, str | None], list[Rule]] = {}
    for rule in policy.rules:
        alike.setdefault((rule.require.evidence, rule.require.metric), []).append(rule)
    for (evidence, _), rules in alike.items():
        if len(rules) > MOST_ALIKE:
            yield f"{len(rules):,} rules ask the same of {evidence} evidence: too many to tell which of them stand in another's shadow"
            continue
        for rule in rules:
            above = (one for one in rules if one is not rule and _asks_all(one, rule))
            other = next(above, None) if _waivable(rule) else None
            if other is not None:
                yield f"{rule.id}: a waiver of it changes nothing, for {other.id} asks for all that it asks for"


def _asks_all(other: Rule, rule: Rule) -> bool:
    """Tell whether a rule asks for all that another asks for, and wherever it does."""
    same = other.when in (None, rule.when) and rule.check in (None, other.check)
    return same and at_least_as_strong(other.require, rule.require)


def _waivable(rule: Rule) -> bool:
    require = rule.require
    asks = (require.metric, require.max_age, require.max_attempts, require.no_overlap_with, rule.check)
    return any(one is not None for one in asks) or bool(require.dataset or require.inputs)


def _roles(policy: Policy, roles: Collection[str]) -> Iterator[str]:
    asked = {
        "approvals": [slot.role for slot in policy.approvals], "promote": policy.promote.roles,
        "review": policy.review.roles if policy.review else [], "waivers": policy.waivers.roles,
    }  # fmt: skip
    for key, names in asked.items():
        for name in dict.fromkeys(names):
            if name not in roles:
                yield f"{key}: {_nobody(name, roles)}"


def _nobody(role: str, roles: Collection[str]) -> str:
    near = nearest(role, roles)
    return f"nobody has the role {role!r}; known are {', '.join(roles)}" + (f"; did you mean {near!r}?" if near else "")
