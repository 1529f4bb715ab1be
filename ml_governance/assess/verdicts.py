"""Verdicts of many samples at once: what a gate would say about each, without searching for a bound.

A bound clears a number exactly when the test of that number rejects, so one evaluation of the score statistic takes the
place of a search. The statistics are those of :mod:`ml_governance.assess.bounds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ml_governance.assess import bounds
from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.evidence.intervals import Sides

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
    telling = ~bounds.sparse(*pair)
    if form == "ratio":
        statistic = bounds.score(*pair, bound)  # positive where the ratio is below the bound
        cleared = (statistic <= -z_each) | (pair[2] == 0)
        below = (statistic > z_all) & (pair[2] > 0) & telling
        some = cases.max(axis=1) > 0
    else:
        cleared = bounds.newcombe(*pair, z_each)[1] <= bound
        below = (bounds.newcombe(*pair, z_all)[0] > bound) & telling
        some = np.ones(len(cases), dtype=bool)
    return Verdicts(np.all(cleared, axis=1) & some, np.any(below, axis=1) & some)
