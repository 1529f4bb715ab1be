"""Score metrics by group: discrimination, calibration and score distributions, and how far groups are apart.

Everything is measured from a :class:`~ml_governance.assess.histogram.ScoreCube`. The AUC of binned scores comes with a bound of
its error, which widens its interval; where the rows are at hand, as in ``assess_fairness``, the exact AUC takes its place.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import calibration, ranks, roc, score_distances
from ml_governance.assess.contrasts import WEIGHTED, Number, both_sides, compared, measured, too_small, unusable
from ml_governance.assess.histogram import TooManyGroupsError
from ml_governance.evidence.metrics import METRICS
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_governance.assess.histogram import Histogram, ScoreCube
    from ml_governance.assess.rows import Rows
    from ml_governance.evidence.intervals import Sides

    Exact = Mapping[tuple[str, ...], tuple[float, float]]

DRAWN_GROUPS = 24
DRAWN_POINTS = 51
DRAWN_THRESHOLDS = 50
MOST_GROUPS = 64
"""Beyond so many groups not every pair of curves is compared."""

_PER_GROUP = ("roc_auc", "brier_score", "ece", "ece_debiased")
_DISTANCES = {
    "abroca": score_distances.abroca,
    "score_ks": score_distances.ks,
    "score_wasserstein": score_distances.wasserstein,
    "score_jensen_shannon": score_distances.jensen_shannon,
}


class Scored(NamedTuple):
    """What was measured.

    Parameters
    ----------
    measurements : list of Measurement
        Every number.
    details : dict
        Curves for drawing, bounded in size; plain JSON values.
    cubes : tuple of ScoreCube
        What it was measured from: one cube, or where that has too many groups one of each attribute.
    """

    measurements: list[Measurement]
    details: dict[str, Any]
    cubes: tuple[ScoreCube, ...] = ()


def assess(
    count: Callable[[Sequence[str]], ScoreCube],
    bys: Sequence[tuple[str, ...]],
    confidence: float,
    min_group_size: int,
    *,
    rows: Rows | None = None,
) -> Scored:
    """Measure score metrics over all rows and by every attribute.

    Parameters
    ----------
    count : callable
        ``count(by)`` returns the scores counted by these attributes; it may refuse what has too many groups.
    bys : sequence of tuple of str
        Attributes, or crossings of them, the widest last.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        What rests on fewer rows, or on fewer of one class, is ``insufficient``.
    rows : Rows, optional
        For the exact AUC of rows without weights. Without them it is that of binned scores, with a bound of its error.
    """
    measurements: list[Measurement] = []
    shown: list[dict[str, Any]] = []
    cubes: list[ScoreCube] = []
    for by in reversed([(), *bys]):  # the widest first: the others are sums of it
        try:
            counted = covering(cubes, by)
            if counted is None:
                counted = count(by)
                cubes.append(counted)
        except TooManyGroupsError as problem:
            measurements = _not_measured(by, f"{problem.found}; {problem.expected}") + measurements
            continue
        exact = None if rows is None or rows.weight is not None else _exact(rows, by)
        made = measure(counted, by, confidence, min_group_size, exact=exact)
        measurements = made.measurements + measurements
        if by:
            shown.insert(0, made.details)
    return Scored(measurements, {"scores": shown}, tuple(cubes))


def covering(cubes: Sequence[ScoreCube], by: Sequence[str]) -> ScoreCube | None:
    """Return the first cube that has all of these attributes."""
    return next((cube for cube in cubes if set(by) <= set(cube.attributes)), None)


def measure(
    cube: ScoreCube, by: Sequence[str], confidence: float, min_group_size: int, *, exact: Exact | None = None
) -> Scored:
    """Measure score metrics from counts: of every group of ``by``, and between them; over all rows if ``by`` is empty.

    Parameters
    ----------
    cube : ScoreCube
        Scores by group, label and bin.
    by : sequence of str
        Attributes; empty for all rows.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        What rests on fewer rows is ``insufficient``.
    exact : mapping of group to (AUC, variance), optional
        From the rows; default is the AUC of binned scores with its error bound.
    """
    by = tuple(by)
    cube = cube.marginal(by)
    found = list(cube.groups())
    numbers = {name: [_number(name, group, one, exact) for group, one in found] for name in _PER_GROUP}
    made = [measured(name, by, one, confidence, min_group_size) for name in _PER_GROUP for one in numbers[name]]
    if not by:
        return Scored(made, {})
    for (kind, name), metric in METRICS.items():
        if kind == "fairness" and metric.form == "aggregate" and metric.of and metric.of[0] in _PER_GROUP:
            made.append(compared(name, by, numbers[metric.of[0]], "difference", confidence, min_group_size, limit=1.0))
    nulls: dict[str, Any] = {}
    for name in _DISTANCES:
        made.append(_distance(name, by, found, numbers["roc_auc"], confidence, min_group_size, nulls))
    return Scored(made, _details(cube, by, found, confidence, nulls))


def _number(name: str, group: tuple[str, ...], one: Histogram, exact: Exact | None) -> Number:
    common: dict[str, Any] = {"group": group, "n": one.n}
    if one.counts.sum() <= 0:
        return Number(**common, size=0, value=None, reason="0/0: all its rows have the weight 0")
    if name == "roc_auc":
        return _auc(group, one, None if exact is None else exact[group])
    if name == "brier_score":
        brier = calibration.brier(one)
        bounded = math.isfinite(brier.error)
        reason = None if bounded else WEIGHTED if one.weighted else "no interval: there is one row"
        return Number(
            **common, size=one.n, value=brier.value, bounds=brier.bounds if bounded else None, method="normal-mean-plus-two",
            reason=reason,
        )  # fmt: skip
    made = calibration.calibration(one)
    if name == "ece":
        chance = "" if made.by_chance is None else f"; by chance alone about {made.by_chance:.3g} is to be expected"
        reason = f"no interval: noise only adds to it{chance}"
        return Number(**common, size=one.n, value=made.ece, reason=reason)
    if made.debiased is None:
        return Number(**common, size=0, value=None, reason="the noise of weighted rows is not known")
    return Number(
        **common, size=one.n, value=made.debiased, reason="no interval: it is cut off at 0, where no interval is honest"
    )


def _auc(group: tuple[str, ...], one: Histogram, exact: tuple[float, float] | None) -> Number:
    binned = roc.auc(one)
    m, n = one.positives, one.negatives
    common: dict[str, Any] = {"group": group, "n": one.n}
    if not (m > 0 and n > 0):
        return Number(**common, size=0, value=None, reason="only one class is present")
    if one.weighted:
        return Number(**common, size=one.n, value=binned.value, reason=WEIGHTED)
    value, variance, error = (binned.value, binned.variance, binned.error) if exact is None else (*exact, 0.0)
    inner, method = roc.auc_bounds(value, variance, m, n)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        lower, upper = inner(confidence, sides)
        return max(0.0, lower - error), min(1.0, upper + error)

    return Number(
        **common,
        size=min(m, n),
        value=value,
        bounds=bounds,
        method=method if exact is not None else f"{method}, binned",
    )


def _exact(rows: Rows, by: Sequence[str]) -> Exact:
    assert rows.score is not None  # noqa: S101  they were counted by it
    names = list(itertools.product(*(rows.levels[name] for name in by)))
    found = ranks.exact_auc(rows.true, rows.score, rows.group(by), len(names))
    return {
        name: (float(value), float(variance))
        for name, value, variance in zip(names, found.value, found.variance, strict=True)
    }


def _distance(
    name: str,
    by: tuple[str, ...],
    found: list[tuple[tuple[str, ...], Histogram]],
    aucs: list[Number],
    confidence: float,
    min_group_size: int,
    nulls: dict[str, Any],
) -> Measurement:
    common: dict[str, Any] = {"metric": name, "by": by, "n": sum(one.n for _, one in found)}
    numbers = aucs if name == "abroca" else [_rows(group, one) for group, one in found]
    lacking = unusable(numbers)
    if lacking is None and len(found) > MOST_GROUPS:
        lacking = f"there are {len(found)} groups, and pairs of at most {MOST_GROUPS} are compared"
    if lacking is not None:
        return Measurement(**common, status="undefined", reason=lacking)
    made = _DISTANCES[name]([one for _, one in found])
    pair = [list(found[index][0]) for index in made.pair]
    weighted = any(one.weighted for _, one in found)
    nulls[name] = {"pair": pair, "by_chance": None if weighted else round(made.by_chance, 6)}
    small = too_small(numbers, min_group_size)
    reason = small
    if reason is None and made.bounds is None:
        chance = f"; by chance alone about {made.by_chance:.3g} is to be expected"
        reason = WEIGHTED if weighted else f"no interval: noise only adds to it{chance}"
    return Measurement(
        **common,
        value=made.value,
        intervals=() if made.bounds is None else both_sides(made.bounds, confidence, made.method),
        status="insufficient" if small else "ok",
        reason=reason,
    )


def _rows(group: tuple[str, ...], one: Histogram) -> Number:
    if one.counts.sum() <= 0:
        return Number(group=group, n=one.n, size=0, value=None, reason="0/0: all its rows have the weight 0")
    return Number(group=group, n=one.n, size=one.n, value=1.0)


def _not_measured(by: tuple[str, ...], reason: str) -> list[Measurement]:
    names = [name for name, metric in METRICS.items() if metric.of and metric.of[0] in _PER_GROUP]
    wanted = [*(name for kind, name in names if kind == "fairness"), *_DISTANCES]
    return [Measurement(metric=name, by=by, n=0, status="undefined", reason=reason) for name in wanted]


def _details(
    cube: ScoreCube,
    by: tuple[str, ...],
    found: list[tuple[tuple[str, ...], Histogram]],
    confidence: float,
    nulls: dict[str, Any],
) -> dict[str, Any]:
    """Return curves of the largest groups, and gaps over all of them."""
    swept = roc.sweep(cube, DRAWN_THRESHOLDS)
    largest = sorted(range(len(found)), key=lambda index: -found[index][1].n)[:DRAWN_GROUPS]
    groups = []
    for index in sorted(largest):
        group, one = found[index]
        if one.counts.sum() <= 0:
            continue
        binned = roc.auc(one)
        made = calibration.calibration(one)
        groups.append(
            {
                "group": list(group),
                "n": one.n,
                "auc_binned": _plain(binned.value),
                "auc_error_bound": _plain(binned.error),
                "ece_by_chance": _plain(made.by_chance),
                "reliability": made.to_list(confidence),
                "roc": _drawn(one),
                "selection_rate": [_plain(value) for value in swept.selection_rate[index]],
            }
        )
    gaps = {
        rate: [_plain(value) for value in swept.gap(rate)]
        for rate in ("selection_rate", "true_positive_rate", "false_positive_rate")
    }
    return {
        "by": list(by),
        "bins": cube.bins,
        "calibration_bins": calibration.CALIBRATION_BINS,
        "groups": groups,
        "groups_not_drawn": len(found) - len(groups),
        "thresholds": [round(float(value), 4) for value in swept.thresholds],
        "gaps": gaps,
        "distances": nulls,
    }


def _drawn(one: Histogram) -> dict[str, list[float | None]] | None:
    if not (one.positives > 0 and one.negatives > 0):
        return None
    line = roc.curve(one)
    pick = np.unique(np.searchsorted(line.fpr + line.tpr, np.linspace(0, 2, DRAWN_POINTS)).clip(0, len(line.fpr) - 1))
    return {
        "fpr": [_plain(value) for value in line.fpr[pick]],
        "tpr": [_plain(value) for value in line.tpr[pick]],
    }


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)
