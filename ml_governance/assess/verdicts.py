"""Verdicts of many samples at once: what a gate would say about each, without searching for a bound.

A bound clears a number exactly when the test of that number rejects, so one evaluation of the score statistic takes the
place of a search. The statistics are those of :mod:`ml_governance.evidence.intervals`, which the gate uses; a test holds the
two to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.evidence.intervals import Sides

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Form = Literal["ratio", "difference"]


class Verdicts(NamedTuple):
    """Whether each sample passes, and whether it fails; where neither, it is inconclusive."""

    passed: Flags
    failed: Flags


def judge(
    k: NDArray[Any],
    n: NDArray[Any],
    *,
    form: Form,
    bound: float,
    confidence: float,
    sides: Sides,
    multiplicity: int = 1,
) -> Verdicts:
    """Judge samples of several groups.

    Parameters
    ----------
    k, n : array of shape (samples, groups)
        Cases and rows.
    form : {'ratio', 'difference'}
        ``ratio``: smallest over largest rate must be at least the bound; ``difference``: largest minus smallest must be at
        most the bound.
    bound : float
        A ratio in (0, 1], or a difference of 0 or more.
    confidence, sides, multiplicity
        As :func:`ml_governance.evidence.intervals.worst_ratio`.

    Returns
    -------
    Verdicts
        Two arrays of shape (samples,). Samples without a single case have no ratio: neither passed nor failed.

    Raises
    ------
    DataError
        If there are fewer than two groups, or a group without rows.
    """
    cases, rows = (np.atleast_2d(np.asarray(one, dtype=np.float64)) for one in np.broadcast_arrays(k, n))
    groups = cases.shape[1]
    if groups < 2 or not (rows > 0).all():
        raise DataError(f"there are {groups} groups, some perhaps without rows", expected="two or more, all with rows")
    family = groups * (groups - 1) * multiplicity
    z_each = intervals.quantile(confidence, sides)
    z_all = intervals.quantile(1 - (1 - confidence) / family, sides)
    cleared: Flags
    below: Flags
    i, j = np.nonzero(~np.eye(groups, dtype=bool))
    pair = cases[:, i], rows[:, i], cases[:, j], rows[:, j]
    telling = ~sparse(*pair)
    if form == "ratio":
        statistic = score(*pair, bound)
        gap = pair[0] / pair[1] - bound * pair[2] / pair[3]
        cleared = ((gap >= 0) & (statistic >= z_each**2)) | (pair[2] == 0)
        below = (gap < 0) & (statistic > z_all**2) & (pair[2] > 0) & telling
        some = cases.max(axis=1) > 0
    else:
        cleared = newcombe(*pair, z_each)[1] <= bound
        below = (newcombe(*pair, z_all)[0] > bound) & telling
        some = np.ones(len(cases), dtype=bool)
    return Verdicts(np.all(cleared, axis=1) & some, np.any(below, axis=1) & some)


def sparse(k1: Floats, n1: Floats, k2: Floats, n2: Floats) -> Flags:
    """Whether less than one case or non-case is expected in the smaller group; arrays of one shape."""
    rate = (k1 + k2) / (n1 + n2)
    few: Flags = np.minimum(n1, n2) * np.minimum(rate, 1 - rate) < 1
    return few


def wilson(k: Floats, n: Floats, z: float | Floats) -> tuple[Floats, Floats]:
    """Return Wilson's bounds of arrays of one shape."""
    p, z2 = k / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return np.where(k == 0, 0.0, np.maximum(0.0, centre - half)), np.where(k == n, 1.0, np.minimum(1.0, centre + half))


def newcombe(k1: Floats, n1: Floats, k2: Floats, n2: Floats, z: float | Floats) -> tuple[Floats, Floats]:
    """Return Newcombe's bounds of k1/n1 - k2/n2, of arrays of one shape."""
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = wilson(k1, n1, z), wilson(k2, n2, z)
    gap = p1 - p2
    return (
        np.maximum(-1.0, gap - np.hypot(p1 - l1, u2 - p2)),
        np.minimum(1.0, gap + np.hypot(u1 - p1, p2 - l2)),
    )


def score(k1: Floats, n1: Floats, k2: Floats, n2: Floats, theta: float | Floats) -> Floats:
    """Return Koopman's chi-square of p1 = theta p2, of arrays of one shape."""
    b = theta * (n1 + k2) + k1 + n2
    with np.errstate(invalid="ignore", divide="ignore"):
        p2 = 2 * (k1 + k2) / (b + np.sqrt(np.maximum(b * b - 4 * theta * (n1 + n2) * (k1 + k2), 0)))
        p1 = np.minimum(theta * p2, 1)
        gap = k1 / n1 - theta * k2 / n2
        variance = p1 * (1 - p1) / n1 + theta * theta * p2 * (1 - p2) / n2
        known = np.where(variance > 0, gap * gap / variance, np.where(np.abs(gap) < 1e-15, 0.0, np.inf))
    made: Floats = np.where((theta * p2 >= 1) & (k1 < n1), np.inf, known)
    return made
