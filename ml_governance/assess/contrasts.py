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

from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

SIDES: tuple[Sides, ...] = ("two-sided", "one-sided")
Contrast = Literal["difference", "ratio"]


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


def check_levels(confidence: float, min_group_size: int) -> None:
    """Refuse a level that is none, and a size that would call nothing small.

    Raises
    ------
    DataError
        If the level is not between 0 and 1, or the size is under 1.
    """
    intervals.quantile(confidence, "two-sided")
    if min_group_size < 1:
        raise DataError(f"min_group_size is {min_group_size}", expected="1 or more")


def measured(metric: str, by: Sequence[str], number: Number, confidence: float, min_group_size: int) -> Measurement:
    """Return a number as it is reported: ``undefined``, ``insufficient`` below the smallest size, or ``ok``."""
    common: dict[str, Any] = {
        "metric": metric, "by": tuple(by), "group": number.group, "n": number.n,
        "numerator": number.numerator, "denominator": number.denominator,
    }  # fmt: skip
    if number.value is None:
        return Measurement(**common, status="undefined", reason=number.reason)
    made: tuple[Interval, ...] = ()
    if number.bounds is not None:
        made = both_sides(number.bounds, confidence, number.method)
    small = bool(by) and number.size < min_group_size
    reason = f"{number.size:g} rows where {min_group_size} are required" if small else number.reason
    return Measurement(
        **common, value=number.value, intervals=made, status="insufficient" if small else "ok", reason=reason
    )


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
    common: dict[str, Any] = {"metric": metric, "by": tuple(by), "n": sum(one.n for one in numbers)}
    lacking = unusable(numbers)
    if lacking is not None:
        return Measurement(**common, status="undefined", reason=lacking)
    values = [one.value for one in numbers if one.value is not None]
    if form == "ratio" and max(values) <= 0:
        return Measurement(**common, status="undefined", reason="it is 0 in every group, so the ratio is 0/0")
    value = min(values) / max(values) if form == "ratio" else max(values) - min(values)
    made: tuple[Interval, ...] = ()
    unbounded = next((one for one in numbers if one.bounds is None), None)
    if unbounded is None:
        worst = _worst_ratio if form == "ratio" else _worst_difference
        lower, upper = worst(numbers, confidence)
        upper = upper if limit is None else np.minimum(upper, limit)
        found = zip(np.minimum(lower, value).tolist(), np.maximum(upper, value).tolist(), strict=True)
        made = _of_both(found, confidence, f"mover-pairs ({numbers[0].method})")
    small = too_small(numbers, min_group_size)
    reason = small or (unbounded.reason if unbounded is not None else None)
    return Measurement(**common, value=value, intervals=made, status="insufficient" if small else "ok", reason=reason)


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


def both_sides(
    bounds: Callable[[float, Sides], tuple[float, float]], confidence: float, method: str
) -> tuple[Interval, ...]:
    """Return the two-sided and the one-sided interval that a function gives; an infinite bound is left open."""
    return _of_both((bounds(confidence, sides) for sides in SIDES), confidence, method)


def _of_both(bounds: Iterable[tuple[float, float]], confidence: float, method: str) -> tuple[Interval, ...]:
    """Return intervals of the two bounds of each of :data:`SIDES`."""
    made = []
    for sides, own in zip(SIDES, bounds, strict=True):
        lower, upper = (bound if math.isfinite(bound) else None for bound in own)
        made.append(Interval(confidence=confidence, sides=sides, lower=lower, upper=upper, method=method))
    return tuple(made)


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


def _bounds_of(numbers: Sequence[Number], confidence: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return lower and upper bounds of all numbers for each, and for every ordered pair at once.

    Each is of shape (sides, numbers).
    """
    levels = confidence, 1 - (1 - confidence) / (len(numbers) * (len(numbers) - 1))
    found: list[list[tuple[float, float]]] = []
    for level in levels:
        for sides in SIDES:
            found.append([one.bounds(level, sides) for one in numbers if one.bounds is not None])
    made = np.array(found, dtype=np.float64).reshape(2, len(SIDES), len(numbers), 2)
    (lower, upper), (lower_every, upper_every) = (own.transpose(2, 0, 1) for own in made)
    return lower, upper, lower_every, upper_every


def _worst_difference(numbers: Sequence[Number], confidence: float) -> tuple[Floats, Floats]:
    """Return bounds of the largest difference, of shape (sides,)."""
    lower, upper, lower_every, upper_every = _bounds_of(numbers, confidence)
    x = np.array([one.value for one in numbers], dtype=np.float64)
    gap = x[:, None] - x
    np.fill_diagonal(gap, -np.inf)
    highest = gap + np.hypot((upper - x)[:, :, None], (x - lower)[:, None])
    lowest = gap - np.hypot((x - lower_every)[:, :, None], (upper_every - x)[:, None])
    return np.maximum(lowest.max(axis=(1, 2)), 0.0), highest.max(axis=(1, 2))


def _worst_ratio(numbers: Sequence[Number], confidence: float) -> tuple[Floats, Floats]:
    """Return bounds of the smallest ratio, of shape (sides,)."""
    lower, upper, lower_every, upper_every = _bounds_of(numbers, confidence)
    x = np.array([one.value for one in numbers], dtype=np.float64)
    same = np.eye(len(x), dtype=bool)
    lowest = np.where(same | (x <= 0), np.inf, _ratio_lowers(x, lower, upper))
    # A ratio's upper bound is the inverse of the inverse ratio's lower one.
    inverse = np.where(same, 0.0, _ratio_lowers(x, lower_every, upper_every)).max(axis=(1, 2))
    return lowest.min(axis=(1, 2)), 1 / np.maximum(inverse, 1.0)


def _ratio_lowers(x: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the lower bounds of all ratios x[i] / x[j] for bounds of shape (sides, numbers); see :func:`_ratio_lower`."""
    lower = np.maximum(lower, 0.0)
    finite = np.isfinite(upper)
    upper = np.where(finite, upper, 0.0)
    a, b, c = (upper * (2 * x - upper))[:, None], x[:, None] * x, (lower * (2 * x - lower))[:, :, None]
    root = b + np.sqrt(np.maximum(b * b - a * c, 0.0))
    found: Floats = np.divide(c, root, out=np.zeros_like(root), where=(c > 0) & finite[:, None])
    return found
