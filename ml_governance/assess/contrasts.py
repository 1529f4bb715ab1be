"""Numbers of groups, and how far they are apart: differences and ratios of numbers that are no plain rate.

Bounds of a difference or ratio are made from the bounds of its two numbers by the method of variance estimates
recovery, MOVER: Zou and Donner, Statistics in Medicine 27 (2008) 1693, for differences, of which Newcombe's interval
is the case of two rates; Donner and Zou, Statistical Methods in Medical Research 21 (2012) 347, for ratios. The
extremes over all pairs follow :mod:`ml_governance.evidence.intervals`: an intersection-union test on the favourable
side, a level divided by the number of ordered pairs on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.bounds import Pairs, largest_difference, smallest_ratio
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_governance.assess.bounds import Ends
    from ml_governance.evidence.intervals import Sides

WEIGHTED = "no interval: the rows are weighted"
SIDES: tuple[Sides, ...] = ("two-sided", "one-sided")
Contrast = Literal["difference", "ratio"]
Fields = dict[str, Any]
"""Of a measurement or an interval, before it is checked: many are checked at once."""


def wilson_bounds(k: float, n: float) -> Callable[[float, Sides], tuple[float, float]]:
    """Return Wilson's bounds of a rate, as a :class:`Number` has them."""
    return lambda confidence, sides: intervals.rate(k, n, confidence=confidence, sides=sides)


def difference_of_rates(
    metric: str, one: tuple[int, int], other: tuple[int, int], confidence: float, small: str | None, **about: Any
) -> Measurement:
    """Return a rate less the same rate of other rows, with Newcombe's interval.

    Parameters
    ----------
    metric : str
        Its name.
    one, other : (int, int)
        Cases and rows, at least one.
    confidence : float in (0, 1)
        Level of the interval.
    small : str or None
        Why it is ``insufficient``.
    **about
        Further fields of the measurement: ``n``, and where it is not about all rows ``by`` and ``group``.
    """

    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        return intervals.difference(*one, *other, confidence=level, sides=sides)

    return Measurement(
        metric=metric, value=one[0] / one[1] - other[0] / other[1], reason=small, **about,
        intervals=both_sides(bounds, confidence, "newcombe"), status="insufficient" if small else "ok",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of one group, or why it has none.

    Parameters
    ----------
    group : tuple of str
        Levels; empty for all rows.
    n : int
        Rows of the group.
    size : float
        What is compared with the smallest group size: the rows that the number rests on, such as the smaller class.
    value : float or None
        None where it is undefined.
    reason : str or None
        Why it is undefined, or why it has no interval.
    bounds : callable or None
        ``bounds(confidence, sides)`` returns lower and upper bound.
    method : str
        Of the bounds.
    numerator, denominator : float or None
        Counts, where the number is made of two.
    counts : (float, float) or None
        The counts from which the bounds of a rate are made; effective ones where rows are weighted.
    """

    group: tuple[str, ...]
    n: int
    size: float
    value: float | None
    reason: str | None = None
    bounds: Callable[[float, Sides], tuple[float, float]] | None = field(default=None, repr=False, compare=False)
    method: str = ""
    numerator: float | None = None
    denominator: float | None = None
    counts: tuple[float, float] | None = None


def check_levels(confidence: float, min_group_size: int, seed: int | None = None) -> None:
    """Refuse a level that is none, a size that would call nothing small, and a seed that draws nothing.

    Raises
    ------
    DataError
        If the level is not between 0 and 1, the size is under 1 or NaN, or the seed is no whole number of 0 or more.
    """
    intervals.quantile(confidence, "two-sided")
    if not min_group_size >= 1:
        raise DataError(f"min_group_size is {min_group_size}", expected="1 or more")
    if seed is not None and not (isinstance(seed, int | np.integer) and seed >= 0):
        raise DataError(f"the seed is {seed!r}", expected="a whole number of 0 or more")


def measured(metric: str, by: Sequence[str], number: Number, confidence: float, min_group_size: int) -> Measurement:
    """Return a number as it is reported: ``undefined``, ``insufficient`` below the smallest size, or ``ok``."""
    made: tuple[Fields, ...] = ()
    if number.value is not None and number.bounds is not None:
        made = _both_fields(number.bounds, confidence, number.method)
    return Measurement(**number_fields(metric, tuple(by), number, made, min_group_size))


def number_fields(
    metric: str, by: tuple[str, ...], number: Number, made: Sequence[Fields], min_group_size: int
) -> Fields:
    """Return the fields of a number's measurement, whose intervals are made already."""
    small = bool(by) and number.value is not None and number.size < min_group_size
    return {
        "metric": metric, "by": by, "group": number.group, "n": number.n, "value": number.value, "intervals": made,
        "numerator": number.numerator, "denominator": number.denominator,
        "status": "undefined" if number.value is None else "insufficient" if small else "ok",
        "reason": f"{number.size:g} rows where {min_group_size} are required" if small else number.reason,
    }  # fmt: skip


def compared(
    metric: str,
    by: Sequence[str],
    numbers: Sequence[Number],
    form: Contrast,
    confidence: float,
    min_group_size: int,
    *,
    limit: float | None = None,
) -> Measurement:
    """Compare all groups with each other: largest minus smallest, or smallest over largest.

    Parameters
    ----------
    metric : str
        Name of the comparison.
    by : sequence of str
        Attributes whose groups these are.
    numbers : sequence of Number
        One of each group.
    form : {'difference', 'ratio'}
        Ratios need numbers of 0 or more.
    confidence : float in (0, 1)
        Level of the bounds.
    min_group_size : int
        Smallest size of a group.
    limit : float, optional
        Largest possible difference.

    Returns
    -------
    Measurement
        ``undefined`` if there is one group only, a number is undefined, or a ratio is 0/0.
    """
    fields = comparison_fields(metric, tuple(by), numbers, form, min_group_size)
    if fields["value"] is not None and all(one.bounds is not None for one in numbers):
        worst = smallest_ratio if form == "ratio" else largest_difference
        x = np.array([one.value for one in numbers], dtype=np.float64)
        each, every = (_ends_of(numbers, level) for level in levels(len(numbers), confidence))
        ends = worst(x, each, every, Pairs.of([len(numbers)]))
        ((lower, upper),) = within(ends, [fields["value"]], [math.inf if limit is None else limit])
        fields["intervals"] = interval_fields(lower, upper, confidence, f"mover-pairs ({numbers[0].method})")
    return Measurement(**fields)


def comparison_fields(
    metric: str, by: tuple[str, ...], numbers: Sequence[Number], form: Contrast, min_group_size: int
) -> Fields:
    """Return the fields of a comparison's measurement, without intervals; the value is None where it is undefined."""
    fields: Fields = {
        "metric": metric, "by": by, "n": sum([one.n for one in numbers]), "value": None, "intervals": (),
        "status": "undefined", "reason": unusable(numbers),
    }  # fmt: skip
    if fields["reason"] is not None:
        return fields
    values = [one.value for one in numbers if one.value is not None]
    smallest, largest = min(values), max(values)
    if form == "ratio" and largest <= 0:
        fields["reason"] = "it is 0 in every group, so the ratio is 0/0"
        return fields
    small = too_small(numbers, min_group_size)
    fields["value"] = smallest / largest if form == "ratio" else largest - smallest
    fields["status"] = "insufficient" if small else "ok"
    fields["reason"] = small or next((one.reason for one in numbers if one.bounds is None), None)
    return fields


def within(ends: Ends, values: Sequence[float], limits: Sequence[float]) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the bounds of each comparison, by side: they hold its value, and the upper ones are at most its limit."""
    x = np.array(values)
    lower, upper = np.minimum(ends[0], x), np.maximum(np.minimum(ends[1], limits), x)
    return zip(lower.T.tolist(), upper.T.tolist(), strict=True)


def unusable(numbers: Sequence[Number]) -> str | None:
    """Return why numbers cannot be compared, or None."""
    if len(numbers) < 2:
        return "there is only one group to compare"
    undefined = [one for one in numbers if one.value is None]
    if undefined:
        return f"{' x '.join(undefined[0].group)}: {undefined[0].reason}"
    return None


def too_small(numbers: Sequence[Number], min_group_size: int) -> str | None:
    """Return which groups are smaller than required, in words, or None."""
    small = [" x ".join(one.group) for one in numbers if one.size < min_group_size]
    return f"fewer than {min_group_size} rows in {', '.join(small)}" if small else None


def interval_fields(
    lower: Sequence[float | None], upper: Sequence[float | None], confidence: float, method: str
) -> tuple[Fields, ...]:
    """Return the fields of intervals whose bounds stand in the order of :data:`SIDES`; None is open."""
    (low, other_low), (high, other_high) = lower, upper
    return (
        {"confidence": confidence, "sides": SIDES[0], "method": method, "lower": low, "upper": high},
        {"confidence": confidence, "sides": SIDES[1], "method": method, "lower": other_low, "upper": other_high},
    )


def both_sides(
    bounds: Callable[[float, Sides], tuple[float, float]], confidence: float, method: str
) -> tuple[Interval, ...]:
    """Return the two-sided and the one-sided interval that a function gives; an infinite bound is left open."""
    return tuple(Interval(**fields) for fields in _both_fields(bounds, confidence, method))


def _both_fields(
    bounds: Callable[[float, Sides], tuple[float, float]], confidence: float, method: str
) -> tuple[Fields, ...]:
    lower, upper = zip(*(bounds(confidence, sides) for sides in SIDES), strict=True)
    return interval_fields([*map(closed, lower)], [*map(closed, upper)], confidence, method)


def closed(bound: float) -> float | None:
    """Return a bound, or None where it is infinite and so left open."""
    return bound if math.isfinite(bound) else None


def mover_difference(
    x: float, x_bounds: tuple[float, float], y: float, y_bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return bounds of x - y from bounds of x and of y (Zou and Donner 2008)."""
    gap = x - y
    return gap - math.hypot(x - x_bounds[0], y_bounds[1] - y), gap + math.hypot(x_bounds[1] - x, y - y_bounds[0])


def mover_ratio(
    x: float, x_bounds: tuple[float, float], y: float, y_bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return bounds of x / y, numbers of 0 or more, from bounds of x and of y (Donner and Zou 2012).

    The upper bound is infinite where the lower bound of y is 0 or less.
    """
    lowest = _ratio_lower(x, x_bounds[0], y, y_bounds[1])
    inverse = _ratio_lower(y, y_bounds[0], x, x_bounds[1])
    return lowest, 1 / inverse if inverse > 0 else math.inf


def _ratio_lower(x: float, x_lower: float, y: float, y_upper: float) -> float:
    # The ratio r at which the lower MOVER bound of x - r y is 0: a r^2 - 2 b r + c = 0, the smaller root, written
    # without cancellation.
    if not math.isfinite(y_upper):
        return 0.0
    a, b, c = y_upper * (2 * y - y_upper), x * y, max(0.0, x_lower) * (2 * x - max(0.0, x_lower))
    if c <= 0:
        return 0.0
    return c / (b + math.sqrt(max(b * b - a * c, 0.0)))


def levels(groups: int, confidence: float, family: int = 1) -> tuple[float, float]:
    """Return the level of a claim about every pair of groups, and that of a claim about some pair.

    The first is the full level (intersection-union), the second is divided by the number of ordered pairs, and by how many
    comparisons are looked at together.
    """
    return confidence, 1 - (1 - confidence) / (groups * (groups - 1) * family)


def _ends_of(numbers: Sequence[Number], level: float) -> Ends:
    """Return lower and upper bounds of all numbers, each of shape (sides, numbers)."""
    found = [[one.bounds(level, sides) for one in numbers if one.bounds is not None] for sides in SIDES]
    lower, upper = np.array(found, dtype=np.float64).transpose(2, 0, 1)
    return lower, upper
