"""Distances between two histograms: pure functions of counts on the same bins, over the last axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

Metric = Literal["psi", "jensen_shannon", "chi_square", "total_variation", "kolmogorov_smirnov"]
METRICS: tuple[Metric, ...] = ("psi", "jensen_shannon", "chi_square", "total_variation", "kolmogorov_smirnov")
SMOOTHING = 0.5


def psi(p: Counts, q: Counts, *, smoothing: float = SMOOTHING) -> Any:
    """Return the population stability index: the sum over bins of (q - p) ln(q / p).

    Parameters
    ----------
    p, q : array of shape (..., B)
        Counts of the reference and the current sample.
    smoothing : float, default 0.5
        Added to every count of both before shares are taken, so that an empty bin gives a finite number.
    """
    a, b = _shares(p + smoothing), _shares(q + smoothing)
    return ((b - a) * np.log(b / a)).sum(axis=-1)


def jensen_shannon(p: Counts, q: Counts) -> Any:
    """Return the Jensen-Shannon distance, 0 to 1: the square root of the divergence in bits."""
    a, b = _shares(p), _shares(q)
    middle = (a + b) / 2

    def relative(one: Counts) -> Any:
        ratio = np.divide(one, middle, out=np.ones_like(one), where=one > 0)
        return (one * np.log2(ratio)).sum(axis=-1)

    return np.sqrt(np.clip((relative(a) + relative(b)) / 2, 0.0, 1.0))


def total_variation(p: Counts, q: Counts) -> Any:
    """Return the total-variation distance, 0 to 1: half the sum of absolute differences of shares."""
    return np.abs(_shares(p) - _shares(q)).sum(axis=-1) / 2


def kolmogorov_smirnov(p: Counts, q: Counts) -> Any:
    """Return the largest difference of the cumulative shares at the bins' edges: at most that of the raw values."""
    return np.abs(np.cumsum(_shares(p), axis=-1) - np.cumsum(_shares(q), axis=-1)).max(axis=-1)


def chi_square(p: Counts, q: Counts) -> Any:
    """Return Pearson's statistic of homogeneity of the 2 x B table."""
    n, m = p.sum(axis=-1, keepdims=True), q.sum(axis=-1, keepdims=True)
    both = p + q
    gap = np.sqrt(m / n) * p - np.sqrt(n / m) * q
    return np.divide(gap * gap, both, out=np.zeros_like(both), where=both > 0).sum(axis=-1)


def _shares(counts: Counts) -> Counts:
    share: Counts = counts / counts.sum(axis=-1, keepdims=True)
    return share


DISTANCES: dict[Metric, Callable[[Counts, Counts], Any]] = {
    "psi": psi,
    "jensen_shannon": jensen_shannon,
    "chi_square": chi_square,
    "total_variation": total_variation,
    "kolmogorov_smirnov": kolmogorov_smirnov,
}
