"""How many rows would have settled a comparison, for planning a new test set.

Not for adding rows to the old one until it passes: a test that is repeated until it says yes says yes in the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.evidence.intervals import Sides

Form = Literal["rate", "ratio", "difference"]
Side = Literal["at_least", "at_most"]
POWER = 0.8
LIMIT = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size of a test set that would settle a comparison.

    Parameters
    ----------
    outcome : {'pass', 'fail'}
        How it would be settled, were the rates as measured.
    factor : float
        How many times as many rows.
    sizes : tuple of int
        Rows of each group then, at the shares of now.
    power : float
        Chance that so many rows settle it, about.
    """

    outcome: Literal["pass", "fail"]
    factor: float
    sizes: tuple[int, ...]
    power: float


def rows_to_settle(
    counts: Sequence[tuple[float, float]],
    *,
    form: Form,
    side: Side,
    bound: float,
    confidence: float,
    sides: Sides,
    multiplicity: int = 1,
    power: float = POWER,
) -> Plan | None:
    """Return how many rows would settle what these did not, were the rates as measured.

    Parameters
    ----------
    counts : sequence of (k, n)
        Cases and rows of each group.
    form : {'rate', 'ratio', 'difference'}
        What is compared with the bound: every rate, the smallest over the largest, the largest minus the smallest.
    side : {'at_least', 'at_most'}
        On which side of the bound it must lie.
    bound, confidence, sides, multiplicity
        Of the rule, as in :mod:`ml_governance.evidence.intervals`.
    power : float in (0, 1), default 0.8
        Chance of settling it.

    Returns
    -------
    Plan or None
        None if no size up to a million times this one would: the rates lie at the bound. The bounds are taken at a normal
        quantile larger by that of the power, which is right for the pair that decides; with several such pairs the power is
        lower.

    Raises
    ------
    DataError
        If the power is none.
    """
    if not 0 < power < 1:
        raise DataError(f"the power is {power}", expected="a number between 0 and 1")
    more = NormalDist().inv_cdf(power)
    groups = len(counts)
    family = groups if form == "rate" else groups * (groups - 1) * multiplicity
    each = _raised(confidence, sides, 1, more)
    every = _raised(confidence, sides, family, more)
    together = 1 - family * (1 - every)  # the intervals divide by the family, and have `every` again

    def settled(factor: float) -> Literal["pass", "fail"] | None:
        scaled = [(k * factor, n * factor) for k, n in counts]
        if form == "rate":
            safe = [intervals.rate(k, n, confidence=each, sides=sides) for k, n in scaled]
            certain = [intervals.rate(k, n, confidence=every, sides=sides) for k, n in scaled]
            if side == "at_least":
                passes, fails = min(one.lower for one in safe) >= bound, min(one.upper for one in certain) < bound
            else:
                passes, fails = max(one.upper for one in safe) <= bound, max(one.lower for one in certain) > bound
        else:
            function = intervals.worst_ratio if form == "ratio" else intervals.worst_difference
            one = function(scaled, confidence=each, sides=sides, multiplicity=multiplicity)
            two = function(scaled, confidence=together, sides=sides, multiplicity=multiplicity)
            if side == "at_least":
                passes, fails = one.lower >= bound, two.upper < bound
            else:
                passes, fails = one.upper <= bound, two.lower > bound
        return "pass" if passes else "fail" if fails else None

    factor = _smallest(lambda times: settled(times) is not None)
    if factor is None:
        return None
    outcome = settled(factor)
    assert outcome is not None  # noqa: S101  that is what the search looked for
    sizes = tuple(math.ceil(n * factor) for _, n in counts)
    return Plan(outcome=outcome, factor=factor, sizes=sizes, power=power)


def joined(plans: Sequence[Plan | None]) -> Plan | None:
    """Return the plan for several parts that must all pass, as the two of equalized odds.

    One part that fails settles it; else the part that needs most rows does.
    """
    known = [plan for plan in plans if plan is not None]
    failing = [plan for plan in known if plan.outcome == "fail"]
    if failing:
        return min(failing, key=lambda plan: plan.factor)
    if not known or len(known) < len(plans):
        return None
    return max(known, key=lambda plan: plan.factor)


def _raised(confidence: float, sides: Sides, family: int, more: float) -> float:
    """Return the confidence whose quantile is larger by `more` than that of a family's share of this one."""
    z = intervals.quantile(1 - (1 - confidence) / family, sides) + more
    tail = NormalDist().cdf(-z)
    return 1 - tail * (2 if sides == "two-sided" else 1)


def _smallest(enough: Callable[[float], bool]) -> float | None:
    """Return about the smallest factor, 1 or more, that is enough: doubling, then halving the gap to one per cent."""
    if enough(1.0):
        return 1.0
    low, high = 1.0, 2.0
    while not enough(high):
        low, high = high, high * 2
        if high > LIMIT:
            return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
