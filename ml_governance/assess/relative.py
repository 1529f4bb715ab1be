"""Each group against a reference group, against all rows, and which group is worst off.

A group is part of all rows, so the two are not independent: with the share s of the group among the rows that a rate
counts, group minus overall is (1 - s) times group minus rest, and group over overall rises with group over rest. The bounds
of the latter carry over; that the share is a sample's share too is added by MOVER (Zou and Donner, Statistics in Medicine 27
(2008) 1693), and matters only where the group is large and far from the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.assess import binary, linearised
from ml_governance.assess.contrasts import Number, measured, mover_difference, mover_ratio
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

RATE_NAMES = frozenset(rate.name for rate in RATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """One group against a reference.

    Parameters
    ----------
    group : tuple of str
        The group.
    reference : tuple of str
        What it is compared with; empty for all rows.
    difference : Measurement
        Group minus reference, signed.
    ratio : Measurement
        Group over reference; 0 or more.
    """

    group: tuple[str, ...]
    reference: tuple[str, ...]
    difference: Measurement
    ratio: Measurement


def to_reference(
    cube: Cube,
    metric: str,
    reference: str | tuple[str, ...],
    *,
    by: Sequence[str] | None = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
) -> tuple[Relative, ...]:
    """Compare every other group with a reference group.

    Parameters
    ----------
    cube : Cube
        Counts.
    metric : str
        A rate, ``balanced_accuracy``, ``f1`` or ``treatment_equality``.
    reference : str or tuple of str
        The reference group, parallel to ``by``.
    by : sequence of str, optional
        Attributes; default is all of them, crossed.
    confidence : float, default 0.95
        Level of each interval: Newcombe's for differences of rates, Koopman's for ratios, MOVER otherwise.
    min_group_size : int, default 30
        Below it a comparison is ``insufficient``.

    Returns
    -------
    tuple of Relative
        In order of the levels.

    Raises
    ------
    DataError
        If the metric or the reference is unknown.
    """
    by, numbers, _ = numbers_of(cube, metric, by)
    wanted = (reference,) if isinstance(reference, str) else tuple(reference)
    base = next((one for one in numbers if one.group == wanted), None)
    if base is None:
        known = ", ".join(" x ".join(one.group) for one in numbers)
        raise DataError(f"there is no group {' x '.join(wanted)!r} by {' x '.join(by)}", expected=f"one of {known}")
    return tuple(
        Relative(
            group=one.group,
            reference=base.group,
            difference=measured(f"{metric}_difference", by, difference(one, base), confidence, min_group_size),
            ratio=measured(f"{metric}_ratio", by, ratio(one, base), confidence, min_group_size),
        )
        for one in numbers
        if one is not base
    )


def to_overall(
    cube: Cube, metric: str, *, by: Sequence[str] | None = None, confidence: float = 0.95, min_group_size: int = 30
) -> tuple[Relative, ...]:
    """Compare every group with all rows, of which it is a part.

    Parameters
    ----------
    cube, metric, by, confidence, min_group_size
        As :func:`to_reference`. Only rates have an interval.
    """
    by, numbers, overall = numbers_of(cube, metric, by)
    made = []
    for one in numbers:
        rest = rest_of(cube, metric, by, one.group)
        apart, times = part_difference(one, rest, overall), part_ratio(one, rest, overall)
        made.append(
            Relative(
                group=one.group,
                reference=(),
                difference=measured(f"{metric}_difference", by, apart, confidence, min_group_size),
                ratio=measured(f"{metric}_ratio", by, times, confidence, min_group_size),
            )
        )
    return tuple(made)


def worst_group(
    cube: Cube,
    metric: str,
    *,
    by: Sequence[str] | None = None,
    better: Literal["higher", "lower"] | None = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
) -> Measurement:
    """Return the number of the group that is worst off; the first undefined one if there is any.

    Parameters
    ----------
    better : {'higher', 'lower'}, optional
        Which way is better; needed where the metric itself does not say, as for ``selection_rate``.
    cube, metric, by, confidence, min_group_size
        As :func:`to_reference`.

    Raises
    ------
    DataError
        If nothing says which way is better.
    """
    by, numbers, _ = numbers_of(cube, metric, by)
    direction = better or METRICS["fairness", metric].better
    if direction is None:
        raise DataError(f"{metric} is neither better high nor better low", expected="better='higher' or better='lower'")
    undefined = [one for one in numbers if one.value is None]
    pick = min if direction == "higher" else max
    worst = undefined[0] if undefined else pick(numbers, key=lambda one: one.value or 0.0)
    return measured(metric, by, worst, confidence, min_group_size)


def difference(one: Number, base: Number) -> Number:
    """Return one number minus another, independent, one."""
    common, values = _both(one, base)
    if values is None:
        return Number(**common, value=None)
    x, y = values
    if one.bounds is None or base.bounds is None:
        return Number(**common, value=x - y)
    first, second = one.bounds, base.bounds

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        if one.counts and base.counts:
            return intervals.difference(*_counts(one), *_counts(base), confidence=confidence, sides=sides)
        return mover_difference(x, first(confidence, sides), y, second(confidence, sides))

    method = f"newcombe{_kind(one)}" if one.counts and base.counts else "mover"
    return Number(**common, value=x - y, bounds=bounds, method=method)


def ratio(one: Number, base: Number) -> Number:
    """Return one number over another, independent, one; undefined over 0."""
    common, values = _both(one, base)
    if values is None:
        return Number(**common, value=None)
    x, y = values
    if y == 0:
        return Number(**{**common, "reason": f"{x:g}/0: the reference is 0"}, value=None)
    if one.bounds is None or base.bounds is None:
        return Number(**common, value=x / y)
    first, second = one.bounds, base.bounds

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        if one.counts and base.counts:
            return intervals.ratio(*_counts(one), *_counts(base), confidence=confidence, sides=sides)
        return mover_ratio(x, first(confidence, sides), y, second(confidence, sides))

    method = f"koopman{_kind(one)}" if one.counts and base.counts else "mover"
    return Number(**common, value=x / y, bounds=bounds, method=method)


def part_difference(one: Number, rest: Number | None, overall: Number) -> Number:
    """Return a group minus all rows, given the group, all other rows, and all rows."""
    common, values = _both(one, overall)
    if values is None:
        return Number(**common, value=None)
    value = values[0] - values[1]
    reason = _unbounded(one, rest)
    if reason is not None or rest is None:
        return Number(**{**common, "reason": common["reason"] or reason}, value=value)
    if rest.value is None:
        return Number(**{**common, "reason": "no interval: the group is all there is"}, value=0.0)
    share, apart, noise = _shares(one, rest, overall)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        low, high = intervals.difference(*_counts(one), *_counts(rest), confidence=confidence, sides=sides)
        slack = intervals.quantile(confidence, sides) * noise * abs(apart)
        return value - math.hypot((1 - share) * (apart - low), slack), value + math.hypot(
            (1 - share) * (high - apart), slack
        )

    return Number(**common, value=value, bounds=bounds, method=f"newcombe-rest{_kind(one)}")


def part_ratio(one: Number, rest: Number | None, overall: Number) -> Number:
    """Return a group over all rows, given the group, all other rows, and all rows."""
    common, values = _both(one, overall)
    if values is None:
        return Number(**common, value=None)
    if values[1] == 0:
        return Number(**{**common, "reason": f"{values[0]:g}/0: the rate over all rows is 0"}, value=None)
    value = values[0] / values[1]
    reason = _unbounded(one, rest)
    if reason is not None or rest is None or rest.value is None:
        return Number(
            **{**common, "reason": common["reason"] or reason or "no interval: it is all there is"}, value=value
        )
    share, apart, noise = _shares(one, rest, overall)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        # r = p / (s p + (1 - s) q) rises with p / q, so the bounds of p / q carry over.
        ends = intervals.ratio(*_counts(one), *_counts(rest), confidence=confidence, sides=sides)
        low, high = (1 / share if math.isinf(r) else r / (share * r + 1 - share) for r in ends)
        if value == 0:
            return low, high
        slack = intervals.quantile(confidence, sides) * noise * abs(apart) / values[1]
        lowest = 0.0 if low == 0 else value * math.exp(-math.hypot(math.log(value / low), slack))
        return lowest, value * math.exp(math.hypot(math.log(high / value), slack))

    return Number(**common, value=value, bounds=bounds, method=f"koopman-rest{_kind(one)}")


def _shares(one: Number, rest: Number, overall: Number) -> tuple[float, float, float]:
    """Return the group's share of what the rate counts, how far it is from the rest, and the standard error of the share."""
    assert one.denominator is not None and overall.denominator is not None  # noqa: S101, PT018  a rate has both
    assert one.value is not None and rest.value is not None  # noqa: S101, PT018  the caller has checked
    share = one.denominator / overall.denominator
    effective = _counts(one)[1] + _counts(rest)[1]
    return share, one.value - rest.value, math.sqrt(share * (1 - share) / effective)


def _unbounded(one: Number, rest: Number | None) -> str | None:
    if rest is None or one.counts is None or (rest.value is not None and rest.counts is None):
        return "no interval: the group is part of what it is compared with"
    return None


def _kind(one: Number) -> str:
    return "-effective" if one.method.endswith("-effective") else ""


def _counts(one: Number) -> tuple[float, float]:
    assert one.counts is not None  # noqa: S101  the caller has checked
    return one.counts


def _both(one: Number, base: Number) -> tuple[dict[str, Any], tuple[float, float] | None]:
    common: dict[str, Any] = {"group": one.group, "n": one.n + (base.n if base.group else 0)}
    common["size"] = min(one.size, base.size)
    common["reason"] = one.reason or base.reason
    if one.value is None or base.value is None:
        lacking = one if one.value is None else base
        common["reason"] = f"{' x '.join(lacking.group) or 'all rows'}: {lacking.reason}"
        return common, None
    return common, (one.value, base.value)


def numbers_of(cube: Cube, metric: str, by: Sequence[str] | None) -> tuple[tuple[str, ...], list[Number], Number]:
    """Return the attributes, the number of every group, and that of all rows.

    Raises
    ------
    DataError
        If the metric is no number of a 2 x 2 table.
    """
    if metric not in RATE_NAMES and metric not in binary.NUMBERS:
        raise DataError(
            f"{metric!r} is no number of a 2 x 2 table",
            expected=f"one of {', '.join(sorted({*RATE_NAMES, *binary.NUMBERS}))}",
        )
    names = cube.attributes if by is None else tuple(by)
    own = cube.marginal(names)
    weighted = cube.weights is not None
    known = linearised.effective(own)

    def number(values: NDArray[Any], counts: NDArray[Any], n: int, group: tuple[str, ...]) -> Number:
        effective = known.get(group, {}).get(metric)
        return binary.number(metric, values, n, group, weighted=weighted, effective=effective, counts=counts)

    plain = own.unweighted()
    pairs = zip(own.groups(), plain.groups(), strict=True)
    numbers = [number(values, counts, n, group) for (group, values, n), (_, counts, _) in pairs]
    values, n = cube.total()
    return names, numbers, number(values, plain.total()[0], n, ())


def rest_of(cube: Cube, metric: str, by: Sequence[str], group: tuple[str, ...]) -> Number | None:
    """Return a rate over all rows outside a group; None for what is no rate."""
    if metric not in RATE_NAMES:
        return None
    outside = ~linearised.members(cube, by, group)
    counts = cube.counts[outside].sum(axis=0)
    effective = None
    if cube.weights is not None and cube.squares is not None:
        parts = (counts, cube.weights[outside].sum(axis=0), cube.squares[outside].sum(axis=0))
        k, n = linearised.effective_counts(metric, *parts)
        effective = linearised.Effective(float(k), float(n), int((counts * linearised.MASKS[metric][1]).sum()))
    values = cube.values[outside].sum(axis=0)
    return binary.rate(metric, values, int(counts.sum()), (), weighted=cube.weights is not None, effective=effective)
