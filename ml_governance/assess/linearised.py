"""Uncertainty of rates whose rows do not count alike, by linearisation on the cube.

A rate is a ratio of two sums over cells, A / B. To first order its error is the sum over cells of an influence,
(in A - rate * in B) / B, times how far the cell is off; so its variance needs no more than the sum of squared weights of
each cell (Hajek's ratio estimator; Wolter, Introduction to Variance Estimation, 2nd ed. 2007, chapter 6). Two things
follow: how strongly any two rates or comparisons of one cube are correlated, and how many rows of equal weight would
leave a rate as uncertain as it is, which lets the interval of every count serve weighted rows as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.errors import DataError
from ml_governance.evidence.metrics import RATES, rate_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube

    Floats = NDArray[np.float64]

PRIOR_ROWS = 2
"""Rows of average weight that each side of a rate is given when its mean square weight is estimated."""

INFLATION = 2
"""How much is added because few rows say little about their weights; chosen, as PRIOR_ROWS, by simulation."""


def _masks() -> dict[str, tuple[Floats, Floats]]:
    """Return, for every rate, which of the cells (label, prediction) count in its numerator and in its denominator."""
    units = [rate_counts(*(float(cell == at) for at in range(4))) for cell in range(4)]
    return {
        rate.name: (
            np.array([unit[rate.name][0] for unit in units]).reshape(2, 2),
            np.array([unit[rate.name][1] for unit in units]).reshape(2, 2),
        )
        for rate in RATES
    }


MASKS = _masks()


class Effective(NamedTuple):
    """Counts of equally weighted rows that say as much about a rate as the weighted rows do.

    ``k / n`` is the weighted rate; ``rows`` is how many rows it really rests on.
    """

    k: float
    n: float
    rows: int


def effective_counts(
    metric: str, counts: NDArray[Any], weights: NDArray[Any], squares: NDArray[Any]
) -> tuple[Floats, Floats]:
    """Return effective numerator and denominator of a weighted rate.

    Parameters
    ----------
    metric : str
        A rate, such as ``selection_rate``.
    counts, weights, squares : array of shape (..., 2, 2)
        Rows, sums of weights and sums of squared weights by label and prediction.

    Returns
    -------
    k, n : array of float64, shape (...)
        ``n = B / ((1 - p) s1 + p s0)`` with the weighted rate p, the sum of weights B, and the sums of squared weights
        over sums of weights s1 in the numerator and s0 in the rest: then p (1 - p) / n is the linearised variance of p.
        s1 and s0 are drawn towards their mean by `PRIOR_ROWS` rows, and n is divided by
        ``1 + INFLATION c (1/k1 + 1/k0)``, where c is the squared coefficient of variation of the weights and k1, k0 are
        the rows of the two sides, because from few rows their weights are poorly known. With equal weights k and n are
        the plain counts. NaN where there is no weight.

    Notes
    -----
    Kish's size, B^2 / sum w^2, ignores that selected and rejected rows may differ in weight; at a rate of .03 and weights
    twice as large among the selected its interval covers 84 %. Source of the device: Korn and Graubard, Survey
    Methodology 24 (1998) 193; comparison of intervals: Franco et al., Journal of Survey Statistics and Methodology 7
    (2019) 334.
    """
    inside, whole = MASKS[metric]
    outside = whole - inside

    def summed(array: NDArray[Any], mask: Floats) -> Floats:
        total: Floats = (array * mask).sum(axis=(-2, -1)).astype(np.float64)
        return total

    k1, k0 = np.maximum(summed(counts, inside), 1), np.maximum(summed(counts, outside), 1)
    a, b = summed(weights, inside), summed(weights, outside)
    q1, q0 = summed(squares, inside), summed(squares, outside)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = a / (a + b)
        ordinary, typical = (a + b) / summed(counts, whole), (q1 + q0) / (a + b)
        s1 = (q1 + PRIOR_ROWS * ordinary * typical) / (a + PRIOR_ROWS * ordinary)
        s0 = (q0 + PRIOR_ROWS * ordinary * typical) / (b + PRIOR_ROWS * ordinary)
        variation = np.maximum((q1 + q0) / (a * a / k1 + b * b / k0) - 1, 0)
        n = (a + b) / ((1 - rate) * s1 + rate * s0) / (1 + INFLATION * variation * (1 / k1 + 1 / k0))
        return rate * n, n


def effective(cube: Cube) -> dict[tuple[str, ...], dict[str, Effective]]:
    """Return effective counts of every rate, by group and, under ``()``, over all rows; empty for unweighted cubes."""
    if cube.weights is None or cube.squares is None:
        return {}
    places = np.argwhere(cube.counts.sum(axis=(-2, -1)) > 0)
    names: list[tuple[str, ...]] = [
        tuple(levels[at] for levels, at in zip(cube.levels, place, strict=True)) for place in places
    ]
    stacked = []
    for array in (cube.counts, cube.weights, cube.squares):
        flat = array[tuple(places.T)]
        stacked.append(np.concatenate([flat, flat.sum(axis=0, keepdims=True)]))
    found: dict[tuple[str, ...], dict[str, Effective]] = {name: {} for name in (*names, ())}
    for metric, (_, whole) in MASKS.items():
        k, n = effective_counts(metric, *stacked)
        rows = (stacked[0] * whole).sum(axis=(-2, -1))
        for name, one_k, one_n, one_rows in zip((*names, ()), k.tolist(), n.tolist(), rows.tolist(), strict=True):
            found[name][metric] = Effective(one_k, one_n, int(one_rows))
    return found


def members(cube: Cube, by: Sequence[str], group: Sequence[str]) -> NDArray[np.bool_]:
    """Return which cells of the cube belong to a group; all of them for the empty group.

    Parameters
    ----------
    cube : Cube
        Of any attributes, among them those of `by`.
    by, group : sequence of str
        Attributes and levels, parallel; with an empty `group` everything is meant.

    Raises
    ------
    DataError
        If an attribute or level is unknown.
    """
    inside = np.ones(cube.counts.shape[:-2], dtype=bool)
    for name, level in zip(by, group, strict=bool(group)):
        if name not in cube.attributes or level not in cube.levels[cube.attributes.index(name)]:
            known = {one: list(levels) for one, levels in zip(cube.attributes, cube.levels, strict=True)}
            raise DataError(f"there is no {name} {level!r}", expected=f"a level of {known}")
        axis = cube.attributes.index(name)
        shape = [1] * inside.ndim
        shape[axis] = -1
        own = np.array([one == level for one in cube.levels[axis]])
        inside = inside & own.reshape(shape)
    return inside


def influence(metric: str, values: NDArray[Any], inside: NDArray[np.bool_]) -> Floats:
    """Return what one more unit of weight in each cell adds to a rate, to first order.

    Parameters
    ----------
    metric : str
        A rate.
    values : array of shape (..., 2, 2)
        Counts or sums of weights.
    inside : array of bool, shape (...)
        Cells of the group.

    Returns
    -------
    array of float64, shape (..., 2, 2)
        All NaN where the rate is 0/0.
    """
    numerator, denominator = (mask * inside[..., None, None] for mask in MASKS[metric])
    below = float((values * denominator).sum())
    if below <= 0:
        return np.full(values.shape, np.nan)
    rate = float((values * numerator).sum()) / below
    made: Floats = (numerator - rate * denominator) / below
    return made


def correlation(influences: Sequence[Floats], cube: Cube) -> Floats:
    """Return how the errors of several numbers of one cube are correlated.

    Parameters
    ----------
    influences : sequence of array, each of the cube's shape
        Of rates, or differences of them.
    cube : Cube
        Where they come from: rows drawn independently, weights as they are.

    Returns
    -------
    array of float64, shape (m, m)
        A number without variance, such as a rate of 0, counts as independent of the others.
    """
    spread = cube.counts if cube.squares is None else cube.squares
    rows = np.stack([one.ravel() for one in influences]) * np.sqrt(spread.ravel())
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows / np.where(lengths > 0, lengths, 1)[:, None]
    made: Floats = rows @ rows.T
    np.fill_diagonal(made, 1.0)
    return made
