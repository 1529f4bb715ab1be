"""Each group against a reference group, against all rows, and which group is worst off.

A group is part of all rows, so the two are not independent: with the share s of the group among the rows that a rate
counts, group minus overall is (1 - s) times group minus rest, and its bounds are (1 - s) times those of the latter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.assess import binary
from ml_governance.assess.contrasts import Number, measured, mover_difference, mover_ratio
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    by, numbers = _numbers(cube, metric, by)
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
    by, numbers = _numbers(cube, metric, by)
    table, rows = cube.total()
    overall = binary.number(metric, table, rows, (), weighted=cube.weights is not None)
    return tuple(
        Relative(
            group=one.group,
            reference=(),
            difference=measured(f"{metric}_difference", by, _part_difference(one, overall), confidence, min_group_size),
            ratio=measured(f"{metric}_ratio", by, _part_ratio(one, overall), confidence, min_group_size),
        )
        for one in numbers
    )


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
    by, numbers = _numbers(cube, metric, by)
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
        if one.method == base.method == "wilson":
            return intervals.difference(*_counts(one), *_counts(base), confidence=confidence, sides=sides)
        return mover_difference(x, first(confidence, sides), y, second(confidence, sides))

    return Number(**common, value=x - y, bounds=bounds, method="newcombe" if one.method == "wilson" else "mover")


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
        if one.method == base.method == "wilson":
            return intervals.ratio(*_counts(one), *_counts(base), confidence=confidence, sides=sides)
        return mover_ratio(x, first(confidence, sides), y, second(confidence, sides))

    return Number(**common, value=x / y, bounds=bounds, method="koopman" if one.method == "wilson" else "mover")


def _part_difference(one: Number, overall: Number) -> Number:
    common, values = _both(one, overall)
    if values is None:
        return Number(**common, value=None)
    rest = _rest(one, overall)
    if rest is None:
        reason = common["reason"] or "no interval: the group is part of what it is compared with"
        return Number(**{**common, "reason": reason}, value=values[0] - values[1])
    k, n, others, m = rest
    if m == 0:
        return Number(**{**common, "reason": "no interval: the group is all there is"}, value=0.0)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        low, high = intervals.difference(k, n, others, m, confidence=confidence, sides=sides)
        return m / (n + m) * low, m / (n + m) * high

    return Number(**common, value=values[0] - values[1], bounds=bounds, method="newcombe-rest")


def _part_ratio(one: Number, overall: Number) -> Number:
    common, values = _both(one, overall)
    if values is None:
        return Number(**common, value=None)
    if values[1] == 0:
        return Number(**{**common, "reason": f"{values[0]:g}/0: the rate over all rows is 0"}, value=None)
    rest = _rest(one, overall)
    if rest is None or rest[3] == 0:
        reason = common["reason"] or "no interval: the group is part of what it is compared with"
        return Number(**{**common, "reason": reason}, value=values[0] / values[1])
    k, n, others, m = rest
    share = n / (n + m)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        # r = p / (s p + (1 - s) q) rises with p / q, so the bounds of p / q carry over.
        low, high = intervals.ratio(k, n, others, m, confidence=confidence, sides=sides)
        return tuple(1 / share if math.isinf(r) else r / (share * r + 1 - share) for r in (low, high))  # type: ignore[return-value]

    return Number(**common, value=values[0] / values[1], bounds=bounds, method="koopman-rest")


def _rest(one: Number, overall: Number) -> tuple[float, float, float, float] | None:
    if one.method != "wilson" or overall.method != "wilson":
        return None
    (k, n), (every, rows) = _counts(one), _counts(overall)
    return k, n, every - k, rows - n


def _counts(one: Number) -> tuple[float, float]:
    assert one.numerator is not None and one.denominator is not None  # noqa: S101, PT018  a rate has both
    return one.numerator, one.denominator


def _both(one: Number, base: Number) -> tuple[dict[str, Any], tuple[float, float] | None]:
    common: dict[str, Any] = {"group": one.group, "n": one.n + (base.n if base.group else 0)}
    common["size"] = min(one.size, base.size)
    common["reason"] = one.reason or base.reason
    if one.value is None or base.value is None:
        lacking = one if one.value is None else base
        common["reason"] = f"{' x '.join(lacking.group) or 'all rows'}: {lacking.reason}"
        return common, None
    return common, (one.value, base.value)


def _numbers(cube: Cube, metric: str, by: Sequence[str] | None) -> tuple[tuple[str, ...], list[Number]]:
    if metric not in RATE_NAMES and metric not in binary.NUMBERS:
        raise DataError(
            f"{metric!r} is no number of a 2 x 2 table",
            expected=f"one of {', '.join(sorted({*RATE_NAMES, *binary.NUMBERS}))}",
        )
    names = cube.attributes if by is None else tuple(by)
    weighted = cube.weights is not None
    groups = cube.marginal(names).groups()
    return names, [binary.number(metric, values, n, group, weighted=weighted) for group, values, n in groups]
