"""Parity within strata of control features: what remains of a gap once like is compared with like.

Selection rates can differ over all rows and be equal in every stratum, or the other way round (Simpson 1951; Bickel,
Hammel and O'Connell, Science 187 (1975) 398, on admissions by department). So the strata are shown one by one, and pooled
with Mantel and Haenszel's weights, which keep small strata from shouting.

Sources: Mantel and Haenszel, JNCI 22 (1959) 719; risk difference: variance of Sato, Biometrics 45 (1989) 1323; risk ratio:
variance of its logarithm of Greenland and Robins, Biometrics 41 (1985) 55. Both variances hold for few large strata and for
many small ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import both_sides, check_levels
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import RATES, rate_counts
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube
    from ml_governance.evidence.intervals import Sides

    Floats = NDArray[np.float64]
    Bounded = Callable[[float, Sides], tuple[float, float]]

SHOWN = 100
"""So many strata, the largest, go into a report's details; all of them are pooled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One stratum.

    Parameters
    ----------
    stratum : tuple of str
        Levels of the control features.
    groups : tuple of (group, numerator, denominator)
        The rate's counts of every group in it.
    """

    stratum: tuple[str, ...]
    groups: tuple[tuple[tuple[str, ...], float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """A rate compared between groups within strata.

    Parameters
    ----------
    metric : str
        The rate.
    by, control : tuple of str
        Sensitive attributes, and control features.
    strata : tuple of Stratum
        All strata with rows.
    difference, ratio : Measurement
        The most different pair of groups, pooled over the strata.
    uninformative : int
        Strata with rows of one group only; nothing can be compared in them.
    """

    metric: str
    by: tuple[str, ...]
    control: tuple[str, ...]
    strata: tuple[Stratum, ...]
    difference: Measurement
    ratio: Measurement
    uninformative: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; at most :data:`SHOWN` strata, the largest."""
        largest = sorted(self.strata, key=lambda one: -sum(n for _, _, n in one.groups))[:SHOWN]
        return {
            "metric": self.metric,
            "by": list(self.by),
            "control": list(self.control),
            "strata": [
                {
                    "stratum": list(one.stratum),
                    "groups": [{"group": list(group), "numerator": k, "denominator": n} for group, k, n in one.groups],
                }
                for one in largest
            ],
            "not_shown": len(self.strata) - len(largest),
            "uninformative": self.uninformative,
        }


def conditional(
    cube: Cube,
    *,
    by: Sequence[str],
    control: Sequence[str],
    metric: str = "selection_rate",
    confidence: float = 0.95,
    min_group_size: int = 30,
) -> Conditional:
    """Compare a rate between groups within strata, and pooled.

    Parameters
    ----------
    cube : Cube
        Counts by sensitive attributes *and* control features.
    by, control : sequence of str
        Which of its attributes are which.
    metric : str, default 'selection_rate'
        Any rate.
    confidence : float, default 0.95
        Level of the bounds over all pairs of groups: an intersection-union test on the favourable side, a level
        divided by the number of ordered pairs on the other.
    min_group_size : int, default 30
        With fewer rows of a group in comparable strata the result is ``insufficient``.

    Returns
    -------
    Conditional
        ``difference``: the largest absolute pooled risk difference of two groups, 0 to 1; ``ratio``: the smallest pooled
        risk ratio, 0 to 1. Both ``undefined`` if there is one group, or two groups never meet in a stratum.

    Raises
    ------
    DataError
        If ``by`` and ``control`` overlap, the metric is no rate, the level is none, or the size under 1.
    """
    check_levels(confidence, min_group_size)
    if set(by) & set(control):
        raise DataError(
            f"{', '.join(sorted(set(by) & set(control)))} is both a sensitive feature and a control feature",
            expected="features that are one or the other",
        )
    if metric not in {rate.name for rate in RATES}:
        raise DataError(f"{metric!r} is no rate", expected=f"one of {', '.join(rate.name for rate in RATES)}")
    part = cube.marginal((*control, *by))
    groups = [group for group, _, _ in part.marginal(by).groups()]
    k, n, levels = _tables(part, len(control), groups, metric)
    rows = _tables(replace(part, weights=None, squares=None), len(control), groups, metric)[1]
    common: dict[str, Any] = {"by": tuple(by), "n": int(part.counts.sum())}
    weighted = cube.weights is not None
    name = "demographic_parity" if metric == "selection_rate" else metric
    names = (f"conditional_{name}_difference", f"conditional_{name}_ratio")
    pooled = _pooled(names, k, n, rows, groups, common, confidence, min_group_size, weighted=weighted)
    strata = tuple(
        Stratum(
            stratum=name,
            groups=tuple((group, float(k[s, g]), float(n[s, g])) for g, group in enumerate(groups) if n[s, g] > 0),
        )
        for s, name in enumerate(levels)
    )
    return Conditional(
        metric=metric, by=tuple(by), control=tuple(control), strata=strata, difference=pooled[0], ratio=pooled[1],
        uninformative=int(((n > 0).sum(axis=1) < 2).sum()),
    )  # fmt: skip


def assess(
    cube: Cube, bys: Sequence[tuple[str, ...]], control: tuple[str, ...], confidence: float, min_group_size: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Compare selection rates within strata, for every attribute: measurements, and strata for drawing."""
    found = [
        conditional(cube, by=by, control=control, confidence=confidence, min_group_size=min_group_size) for by in bys
    ]
    return [one for each in found for one in (each.difference, each.ratio)], {
        "conditional": [each.to_dict() for each in found]
    }


def risk_difference(k: Floats, n: Floats, others: Floats, m: Floats) -> tuple[float, float]:
    """Return the Mantel-Haenszel risk difference of two groups over strata, and Sato's variance of it.

    Parameters
    ----------
    k, n : array of shape (strata,)
        Cases and rows of the one group.
    others, m : array of shape (strata,)
        Cases and rows of the other group.

    Returns
    -------
    value, variance : float
        NaN both if the two meet in no stratum.
    """
    both = (n > 0) & (m > 0)
    k, n, others, m = (array[both] for array in (k, n, others, m))
    if not len(k):
        return math.nan, math.nan
    total = n + m
    weight = n * m / total
    value = float(((k * m - others * n) / total).sum() / weight.sum())
    p = (n * n * others - m * m * k + n * m * (m - n) / 2) / total**2
    q = (k * (m - others) + others * (n - k)) / (2 * total)
    variance = (value * p.sum() + q.sum()) / weight.sum() ** 2
    return value, max(float(variance), 0.0)


def risk_ratio(k: Floats, n: Floats, others: Floats, m: Floats) -> tuple[float, float]:
    """Return the Mantel-Haenszel risk ratio of two groups over strata, and the variance of its logarithm.

    Parameters are those of :func:`risk_difference`. The ratio is infinite and the variance NaN where the other group has
    no case; NaN both where neither has one or they meet in no stratum.
    """
    both = (n > 0) & (m > 0)
    k, n, others, m = (array[both] for array in (k, n, others, m))
    total = n + m
    one, two = float((k * m / total).sum()), float((others * n / total).sum())
    if two == 0:
        return math.inf if one > 0 else math.nan, math.nan
    if one == 0:
        return 0.0, math.nan
    spread = ((n * m * (k + others) - k * others * total) / total**2).sum()
    return one / two, max(float(spread) / (one * two), 0.0)


def _tables(
    part: Cube, controls: int, groups: list[tuple[str, ...]], metric: str
) -> tuple[Floats, Floats, list[tuple[str, ...]]]:
    """Return numerators and denominators by stratum and group, and the names of the strata."""
    found: dict[tuple[str, ...], dict[tuple[str, ...], tuple[float, float]]] = {}
    for levels, values, _ in part.groups():
        tn, fp, fn, tp = (value.item() for value in values.ravel())
        found.setdefault(levels[:controls], {})[levels[controls:]] = rate_counts(tn, fp, fn, tp)[metric]
    k = np.array([[cells.get(group, (0.0, 0.0))[0] for group in groups] for cells in found.values()], dtype=float)
    n = np.array([[cells.get(group, (0.0, 0.0))[1] for group in groups] for cells in found.values()], dtype=float)
    return k, n, list(found)


def _pooled(
    names: tuple[str, str], k: Floats, n: Floats, rows: Floats, groups: list[tuple[str, ...]], common: dict[str, Any],
    confidence: float, minimum: int, *, weighted: bool,
) -> tuple[Measurement, Measurement]:  # fmt: skip
    reason = None
    if len(groups) < 2:
        reason = "there is only one group to compare"
    pairs = [(i, j) for i in range(len(groups)) for j in range(len(groups)) if i != j]
    apart = [(i, j) for i, j in pairs if not ((n[:, i] > 0) & (n[:, j] > 0)).any()]
    if apart:
        first, second = (" x ".join(groups[index]) for index in apart[0])
        reason = f"{first} and {second} are never in the same stratum"
    if reason is not None:
        return tuple(Measurement(**common, metric=name, status="undefined", reason=reason) for name in names)  # type: ignore[return-value]
    comparable = rows[(n > 0).sum(axis=1) > 1].sum(axis=0)
    small = [" x ".join(group) for group, own in zip(groups, comparable, strict=True) if own < minimum]
    told = f"fewer than {minimum} comparable rows in {', '.join(small)}" if small else None
    smooth = [_smoothed(k[:, i], n[:, i], k[:, j], n[:, j]) for i, j in pairs]
    plain = [(k[:, i], n[:, i], k[:, j], n[:, j]) for i, j in pairs]
    typed: dict[str, Any] = {"common": common, "confidence": confidence, "small": told, "weighted": weighted}
    ratios = [risk_ratio(*one)[0] for one in plain]
    gap = max(risk_difference(*one)[0] for one in plain)
    pooled = _typed(
        names[0], gap, _difference_bounds([risk_difference(*one) for one in smooth], gap), "sato-pairs", **typed
    )
    if any(math.isnan(one) for one in ratios):
        reason = "two groups have no case in any stratum, so a ratio is 0/0"
        return pooled, Measurement(**common, metric=names[1], status="undefined", reason=reason)
    smallest = min(ratios)
    bounds = _ratio_bounds([risk_ratio(*one) for one in smooth], smallest)
    return pooled, _typed(names[1], smallest, bounds, "greenland-robins-pairs", **typed)


def _smoothed(k: Floats, n: Floats, others: Floats, m: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Add one case and one other row to each group, spread over the strata where both are.

    The bounds need it: without it a group without cases would have a variance of 0 (Agresti and Caffo, American
    Statistician 54 (2000) 280, for one stratum).
    """
    both = (n > 0) & (m > 0)
    k, n, others, m = (array[both] for array in (k, n, others, m))
    return k + n / n.sum(), n + 2 * n / n.sum(), others + m / m.sum(), m + 2 * m / m.sum()


def _difference_bounds(found: list[tuple[float, float]], value: float) -> Bounded:
    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        each, every = _quantiles(len(found), level, sides)
        upper = max(gap + each * math.sqrt(variance) for gap, variance in found)
        lower = max(gap - every * math.sqrt(variance) for gap, variance in found)
        return max(0.0, min(lower, value)), max(min(1.0, upper), value)

    return bounds


def _ratio_bounds(found: list[tuple[float, float]], value: float) -> Bounded:
    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        each, every = _quantiles(len(found), level, sides)
        lower = min(one * math.exp(-each * math.sqrt(variance)) for one, variance in found)
        upper = min(one * math.exp(every * math.sqrt(variance)) for one, variance in found)
        return min(lower, value), max(min(1.0, upper), value)

    return bounds


def _typed(
    name: str, value: float, bounds: Bounded, method: str, *, common: dict[str, Any], confidence: float, small: str | None,
    weighted: bool,
) -> Measurement:  # fmt: skip
    return Measurement(
        **common,
        metric=name,
        value=value,
        intervals=() if weighted else both_sides(bounds, confidence, method),
        status="insufficient" if small else "ok",
        reason=small or ("no interval: the rows are weighted" if weighted else None),
    )


def _quantiles(pairs: int, confidence: float, sides: Sides) -> tuple[float, float]:
    return intervals.quantile(confidence, sides), intervals.quantile(1 - (1 - confidence) / pairs, sides)
