"""Warnings about policies that are well formed and still cannot mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from ml_governance.decide.policy import Policy, Require

EQUAL_RATE = 0.25


def lint(policy: Policy) -> tuple[str, ...]:
    """Return warnings.

    A comparison that could not pass even between groups of equal rates, at the smallest group size that the rule
    allows, is named with a size at which it could.
    """
    warnings = []
    for rule in policy.rules:
        require = rule.require
        if require.metric is None or require.evidence != "fairness":
            continue
        if require.definition().form in ("ratio", "difference"):
            groups = max((len(levels) for levels in require.levels.values()), default=2)
            if not _can_pass(require, require.min_group_size, groups):
                enough = _smallest(require, groups)
                advice = (
                    f"; with equal rates of {EQUAL_RATE:g} it can pass from about {enough:,} rows a group"
                    if enough
                    else ""
                )
                warnings.append(
                    f"{rule.id}: with {require.min_group_size} rows in each group this rule does not pass even when the groups' "
                    f"rates are equal ({EQUAL_RATE:g}){advice}"
                )
        unnamed = [attribute for attribute in require.by if attribute not in require.levels]
        if unnamed:
            warnings.append(
                f"{rule.id}: levels of {', '.join(unnamed)} are not listed, so a group that an assessment leaves out is not missed"
            )
    slots = {slot.role for slot in policy.approvals}
    if not slots:
        warnings.append("the policy asks for no approval: whoever may promote decides alone")
    return tuple(warnings)


def _can_pass(require: Require, size: int, groups: int, rate: float = EQUAL_RATE) -> bool:
    definition, bound = require.definition(), require.bound
    if bound is None or bound[0].startswith("value"):
        return True
    counts = [(float(round(size * rate)), float(size))] * groups
    if counts[0][0] == 0:
        return False
    function = intervals.worst_ratio if definition.form == "ratio" else intervals.worst_difference
    worst = function(counts, confidence=require.confidence, sides=require.sides)
    return worst.lower >= bound[1] if bound[0] == "lower_bound_at_least" else worst.upper <= bound[1]


def _smallest(require: Require, groups: int) -> int | None:
    """Return about the smallest group size at which the comparison can pass: doubling, then halving the gap."""
    low, high = require.min_group_size, require.min_group_size * 2
    while not _can_pass(require, high, groups):
        low, high = high, high * 2
        if high > 10_000_000:
            return None
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if _can_pass(require, middle, groups) else (middle, high)
    return high
