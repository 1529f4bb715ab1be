"""Distances between the score distributions of groups, with bounds where there are honest ones.

A distance is never negative, and between equal distributions it is positive by chance, so no interval may be centred on it
and no bootstrap percentile can hold 0. The bounds here are projections: by the inequality of Dvoretzky, Kiefer and Wolfowitz
with Massart's constant (Annals of Probability 18 (1990) 1269) every distribution function lies within
sqrt(log(2 / a) / (2 n)) of its estimate, all at once with probability 1 - a; a distance can be off by no more than the sum of
those of its parts. They hold for any distribution and any number of rows, and are wide for few.

What a distance would be by chance, were the groups alike, is stated beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_governance.assess import roc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.assess.histogram import Histogram
    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

    Bounds = Callable[[float, Sides], tuple[float, float]]

JS_BINS = 20
CHANCE_BLOCKS = 20
KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The largest distance between any two groups.

    Parameters
    ----------
    value : float
        0 or more.
    pair : tuple of int
        Positions of the two groups.
    by_chance : float
        About what it would be for that pair were the two alike: the mean of the distance under equality.
    bounds : callable or None
        ``bounds(confidence, sides)``; None where there is no honest interval.
    method : str
        Of the bounds.
    """

    value: float
    pair: tuple[int, int]
    by_chance: float
    bounds: Bounds | None
    method: str


def ks(histograms: Sequence[Histogram]) -> Distance:
    """Return the largest Kolmogorov-Smirnov distance: max_ij sup_t |F_i(t) - F_j(t)| over the edges of the bins.

    Range 0 to 1. By chance: sqrt(pi / 2) log 2 sqrt(1 / n_i + 1 / n_j), the mean of Kolmogorov's limit.
    """
    functions = _functions(histograms)
    rows = [histogram.n for histogram in histograms]
    found = _pairwise(len(rows), lambda i, j: float(np.abs(functions[i] - functions[j]).max()))
    value, pair = _largest(found)
    return Distance(
        value=value, pair=pair, by_chance=KOLMOGOROV_MEAN * _spread(rows, pair),
        bounds=_projected(histograms, found, [[n] for n in rows], [0.0] * len(rows)), method="dkw-massart",
    )  # fmt: skip


def wasserstein(histograms: Sequence[Histogram]) -> Distance:
    """Return the largest Wasserstein-1 distance: max_ij int |F_i(t) - F_j(t)| dt, in units of the score.

    Range 0 to 1. A bin's width, the most that bins can add or hide, widens the bounds. By chance: sqrt(2 / pi)
    sqrt(1 / n_i + 1 / n_j) int sqrt(F (1 - F)) dt with the pooled F.
    """
    functions = _functions(histograms)
    rows = [histogram.n for histogram in histograms]
    width = 1 / functions.shape[1]
    found = _pairwise(len(rows), lambda i, j: float(np.abs(functions[i] - functions[j]).sum() * width))
    value, (i, j) = _largest(found)
    pooled = (rows[i] * functions[i] + rows[j] * functions[j]) / (rows[i] + rows[j])
    by_chance = math.sqrt(2 / math.pi) * _spread(rows, (i, j)) * float(np.sqrt(pooled * (1 - pooled)).sum() * width)
    return Distance(
        value=value, pair=(i, j), by_chance=by_chance,
        bounds=_projected(histograms, found, [[n] for n in rows], [width / 2] * len(rows)), method="dkw-massart",
    )  # fmt: skip


def jensen_shannon(histograms: Sequence[Histogram], bins: int = JS_BINS) -> Distance:
    """Return the largest Jensen-Shannon distance to base 2: max_ij sqrt((KL(P_i|M) + KL(P_j|M)) / 2), M the mean of both.

    Range 0 to 1. By chance: sqrt((k - 1) (1 / n_i + 1 / n_j) / (8 log 2)) with k bins that have rows, from the
    chi-square limit of the divergence. There is no interval: no bound of it is both honest and short.
    """
    shares = np.array([_coarse(histogram, bins) for histogram in histograms])
    found = _pairwise(len(shares), lambda i, j: _js(shares[i], shares[j]))
    value, (i, j) = _largest(found)
    used = int(((shares[i] + shares[j]) > 0).sum())
    spread = _spread([histogram.n for histogram in histograms], (i, j))
    return Distance(
        value=value, pair=(i, j), by_chance=spread * math.sqrt(max(0, used - 1) / (8 * math.log(2))), bounds=None,
        method="",
    )  # fmt: skip


def abroca(histograms: Sequence[Histogram]) -> Distance:
    """Return the largest area between the ROC curves of two groups (Gardner, Brooks and Baker, LAK 2019, 225).

    Range 0 to 1. Moving the distribution of positives or of negatives by e moves a curve by no more than e in area, so
    the bounds add four such e; half the bins' rectangles of both curves, the most that bins can hide, widen them. By
    chance: sqrt(2 / pi) int sqrt(v_i + v_j) dt with v the variance of TPR at each FPR of the pooled curve.
    """
    curves = [roc.curve(histogram) for histogram in histograms]
    parts = [[histogram.positives, histogram.negatives] for histogram in histograms]
    errors = [roc.auc(histogram).error for histogram in histograms]
    found = _pairwise(len(curves), lambda i, j: roc.between(curves[i], curves[j]))
    value, (i, j) = _largest(found)
    return Distance(
        value=value, pair=(i, j), by_chance=_area_by_chance(histograms[i], histograms[j]),
        bounds=_projected(histograms, found, parts, errors), method="dkw-massart",
    )  # fmt: skip


def _area_by_chance(one: Histogram, two: Histogram) -> float:
    """Return the mean area between two curves of the same population, from the normal limit at each FPR.

    The slope of the curve, the ratio of the two densities, is that of blocks of bins with equally many rows: single bins hold
    too few to have a slope.
    """
    counts = (one.counts + two.counts).astype(np.float64)[:, ::-1]
    counts = counts[:, counts.sum(axis=0) > 0]
    rows = np.cumsum(counts.sum(axis=0))
    starts = np.unique(np.searchsorted(rows, np.arange(CHANCE_BLOCKS) * rows[-1] / CHANCE_BLOCKS, side="right"))
    negative, positive = np.add.reduceat(counts, starts[starts < counts.shape[1]], axis=1)
    x, y = negative / negative.sum(), positive / positive.sum()
    # Sums of weights may exceed their total by a rounding error, and 1 must not be exceeded.
    fpr, tpr = np.minimum(np.cumsum(x) - x / 2, 1.0), np.minimum(np.cumsum(y) - y / 2, 1.0)
    slope = np.divide(y, x, out=np.zeros_like(x), where=x > 0)
    spread_p = 1 / one.positives + 1 / two.positives
    spread_n = 1 / one.negatives + 1 / two.negatives
    variance = tpr * (1 - tpr) * spread_p + slope**2 * fpr * (1 - fpr) * spread_n
    return float(math.sqrt(2 / math.pi) * (np.sqrt(variance.clip(0)) * x).sum())


def _functions(histograms: Sequence[Histogram]) -> Floats:
    """Return distribution functions at the upper edges of the bins, shape (groups, bins)."""
    counts = np.array([histogram.counts.sum(axis=0) for histogram in histograms], dtype=np.float64)
    functions: Floats = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    return np.minimum(functions, 1.0)


def _coarse(histogram: Histogram, bins: int) -> Floats:
    counts = histogram.counts.sum(axis=0).reshape(bins, -1).sum(axis=1).astype(np.float64)
    shares: Floats = counts / counts.sum()
    return shares


def _js(p: Floats, q: Floats) -> float:
    middle = (p + q) / 2

    def divergence(one: Floats) -> float:
        used = one > 0
        return float((one[used] * np.log2(one[used] / middle[used])).sum())

    return math.sqrt(max(0.0, (divergence(p) + divergence(q)) / 2))


def _pairwise(groups: int, distance: Callable[[int, int], float]) -> dict[tuple[int, int], float]:
    return {(i, j): distance(i, j) for i in range(groups) for j in range(i + 1, groups)}


def _largest(found: dict[tuple[int, int], float]) -> tuple[float, tuple[int, int]]:
    pair = max(found, key=lambda one: found[one])
    return found[pair], pair


def _spread(rows: Sequence[int], pair: tuple[int, int]) -> float:
    return math.sqrt(1 / rows[pair[0]] + 1 / rows[pair[1]])


def _projected(
    histograms: Sequence[Histogram],
    found: dict[tuple[int, int], float],
    parts: Sequence[Sequence[float]],
    errors: list[float],
) -> Bounds | None:
    """Return bounds of the largest of all distances, from bounds of every distribution that hold together.

    ``parts`` are the rows of the distributions that each group brings, ``errors`` what its bins may hide. Weighted rows have
    no such bounds.
    """
    if any(histogram.weighted for histogram in histograms):
        return None
    family = sum(len(rows) for rows in parts)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        tail = (1 - confidence) / family  # the inequality is two-sided; a one-sided claim is held the better
        del sides
        slack = [
            error + sum(math.sqrt(math.log(2 / tail) / (2 * n)) for n in rows)
            for rows, error in zip(parts, errors, strict=True)
        ]
        lower = max(value - slack[i] - slack[j] for (i, j), value in found.items())
        upper = max(value + slack[i] + slack[j] for (i, j), value in found.items())
        return max(0.0, lower), min(1.0, upper)

    return bounds
