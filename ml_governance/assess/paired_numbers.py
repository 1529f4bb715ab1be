"""The numbers of a comparison of two models on the same rows; what they are, and whence, is in :mod:`ml_governance.assess.comparison`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import means
from ml_governance.assess.contrasts import Number
from ml_governance.assess.costs import combination
from ml_governance.evidence import intervals, paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.labels import Flags, Floats
    from ml_governance.assess.pairing import Joint
    from ml_governance.evidence.intervals import Sides

TOLERANCE = 1e-12
CLUSTERED = "no interval: DeLong's variance is of rows that are drawn one by one, and these are in clusters"

Group = tuple[str, ...]


class Numbers(NamedTuple):
    """One number of the first and of the second model, first less second, and McNemar's p-value where there is one."""

    first: float | None
    second: float | None
    difference: Number
    p_value: float | None = None


def rate(counts: Joint, group: Group, cluster: Any, gap: Floats) -> Numbers:
    """Return a rate of each, with Tango's interval of the difference; with clusters, from ``gap``, case less case of every row."""
    n = sum(counts)
    if not n:
        return Numbers(
            None, None, Number(group=group, n=0, size=0, value=None, reason="0/0: no row that it is a share of")
        )
    one, two = (counts.both + counts.first) / n, (counts.both + counts.second) / n
    if cluster is not None:
        return Numbers(one, two, _of_influence(one - two, gap - (one - two), group, cluster))

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        return paired.difference(*counts, confidence=confidence, sides=sides)

    difference = Number(group=group, n=n, size=n, value=one - two, bounds=bounds, method="tango")
    return Numbers(one, two, difference, mcnemar(counts.first, counts.second))


def mcnemar(first: int, second: int) -> float:
    """Return McNemar's exact two-sided p-value of rows on which only one of two models is a case.

    Formula: min(1, 2 P(X <= min(first, second))), X binomial of first + second and 1/2; 1 if there are no such rows.
    """
    from scipy.stats import binom

    return min(1.0, float(2 * binom.cdf(min(first, second), first + second, 0.5)))


def cost(table: NDArray[np.int64], costs: Costs, group: Group, *, clustered: bool) -> Numbers:
    """Return the mean cost of each, from counts of shape (2, 2, 2)."""
    n = int(table.sum())
    fp, fn = costs.false_positive, costs.false_negative
    one = (fp * table[0, 1].sum() + fn * table[1, 0].sum()) / n
    two = (fp * table[0, :, 1].sum() + fn * table[1, :, 0].sum()) / n
    kinds = [int(table[place]) for place in ((0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 0))]
    difference = combination(kinds, (fp, -fp, fn, -fn), n, group)
    if clustered:
        reason = "no interval: the counts are of rows that are drawn one by one, and these are in clusters"
        difference = Number(group=group, n=n, size=n, value=difference.value, reason=reason)
    return Numbers(float(one), float(two), difference)


def auc(true: Flags, one: Floats, two: Floats, group: Group, *, clustered: bool) -> Numbers:
    """Return the AUC of each, with DeLong's interval of the difference where it says something."""
    m = int(true.sum())
    n = len(true) - m
    common: dict[str, Any] = {"group": group, "n": len(true), "size": len(true)}
    if not m or not n:
        return Numbers(None, None, Number(**common, value=None, reason="only one class is present"))
    placed = [_placements(true, score) for score in (one, two)]
    values = [float(above.mean()) for above, _ in placed]
    common["value"] = values[0] - values[1]
    variance = 0.0
    for side, size in ((0, m), (1, n)):
        gap = placed[0][side] - placed[1][side]
        variance += float(gap.var(ddof=1)) / size if size > 1 else math.nan
    reason = None
    if clustered:
        reason = CLUSTERED
    elif np.array_equal(one, two):
        reason = "no interval: both models give every row the same score"
    elif any(value in (0.0, 1.0) for value in values):
        reason = "no interval: an AUC is 0 or 1, where DeLong's variance is 0 whatever the rows"
    elif not variance > TOLERANCE**2:
        reason = "no interval: both models order the rows alike, or a class has one row"
    if reason is not None:
        return Numbers(values[0], values[1], Number(**common, reason=reason))
    error = math.sqrt(variance)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * error
        return max(-1.0, common["value"] - half), min(1.0, common["value"] + half)

    return Numbers(values[0], values[1], Number(**common, bounds=bounds, method="delong-paired"))


def _placements(true: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Return, of every positive, the share of negatives below it, and of every negative, the share of positives above it."""
    from scipy.stats import rankdata

    own = true == 1
    together, m = rankdata(score), int(own.sum())
    above: Floats = (together[own] - rankdata(score[own])) / (len(true) - m)
    below: Floats = 1 - (together[~own] - rankdata(score[~own])) / m
    return above, below


def loss(name: str, mine: Floats, other: Floats, group: Group, cluster: Any) -> Numbers:
    """Return the mean loss of each, or its root, with Student's interval of the paired difference."""
    n = len(mine)
    bad = [int((~np.isfinite(part)).sum()) for part in (mine, other)]
    if any(bad):
        reason = f"{max(bad)} rows have a score that calls their label impossible"
        return Numbers(None, None, Number(group=group, n=n, size=n, value=None, reason=reason))
    one, two = float(mine.mean()), float(other.mean())
    if name == "root_mean_squared_error":
        one, two = math.sqrt(one), math.sqrt(two)
        # The influence of a row on sqrt(mean e^2) is (e^2 - mean) / (2 sqrt(mean)).
        scaled = [part / (2 * root) if root > 0 else part for part, root in ((mine, one), (other, two))]
    else:
        scaled = [mine, other]
    spread = scaled[0] - scaled[1]
    return Numbers(one, two, _of_influence(one - two, spread - spread.mean(), group, cluster))


def _of_influence(value: float, influence: Floats, group: tuple[str, ...], cluster: Any) -> Number:
    """Return a difference with Student's bounds from each row's influence on it, summed by cluster if there are any."""
    n = len(influence)
    sums = influence if cluster is None else np.bincount(np.unique(cluster, return_inverse=True)[1], weights=influence)
    k = len(sums)
    common: dict[str, Any] = {"group": group, "n": n, "size": k, "value": value}
    if k < 2:
        return Number(**common, reason=f"no interval: there is one {'row' if cluster is None else 'cluster'}")
    error = math.sqrt(float((sums**2).sum()) * k / (k - 1)) / n
    if error <= TOLERANCE * max(1.0, abs(value)):
        return Number(**common, reason="no interval: the two models differ alike on every row")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = means.student(confidence, sides, k - 1) * error
        return value - half, value + half

    return Number(**common, bounds=bounds, method="t-paired" if cluster is None else "t-clusters")
