"""The bootstrap on the cube, for smooth functions of it, and only for those.

Drawing n rows with replacement and counting them is one multinomial draw over the cells, so a replicate costs as much for a
thousand million rows as for a thousand. Percentile intervals need a function without kinks at the scale of the sampling
error. For the largest of several numbers, or anything that cannot be negative, they fail: between equal groups a percentile
interval of largest minus smallest never holds 0. Such functions are refused: by name where they have one, and otherwise

- by their bias: replicates that lie on average more than a quarter of their standard deviation to one side (Efron and
  Tibshirani, An Introduction to the Bootstrap, 1993, section 10.3);
- by their bend: a smooth function is nearly linear within twice the sampling error, so that opposite steps cancel. Functions
  that are known to be smooth are not asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import SIDES
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ml_governance.assess.rows import Clusters

    Floats = NDArray[np.float64]

REPLICATES = 10_000
HEAVY_ROWS = 600
MIN_CELL = 5
MIN_CLUSTERS = 30
MAX_BIAS = 0.25
MAX_BEND = 0.25
_PROBES = 1_000
_CHUNK = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Functional:
    """A smooth function of a cube.

    Parameters
    ----------
    name : str
        What the measurement is called.
    of : callable
        Takes an array of shape (replicates, levels..., 2, 2), label and prediction last, and returns one of shape
        (replicates,); NaN where it is undefined.
    group : tuple of str
        The group that it is about, for the measurement; empty for all.
    smooth : bool
        Known to have no kinks: then a bias means that there are too few rows.
    """

    name: str
    of: Callable[[Floats], Floats] = field(repr=False)
    group: tuple[str, ...] = ()
    smooth: bool = True


def draws(
    counts: NDArray[Any],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    weights: Floats | None = None,
    squares: Floats | None = None,
    rows: tuple[NDArray[np.intp], Floats] | None = None,
) -> Floats:
    """Draw cubes as a bootstrap of the rows would count them.

    Parameters
    ----------
    counts : array of int, any shape
        Rows by cell.
    replicates : int, default 10,000
        How many.
    seed : int, default 0
        Of the generator.
    weights, squares : array of float64, shape of `counts`, optional
        Sums of weights and of squared weights: the result are sums of weights. Given how many rows of a cell are drawn, n,
        the sum of their weights is drawn from a gamma distribution with mean n m and variance n s^2 of the cell: the first
        two moments are those of the row bootstrap.
    rows : (cells, weights), optional
        Place of every row in the flattened cube, and its weight: the rows of cells with fewer than 600 of them are drawn
        themselves, which heavy tails need.

    Returns
    -------
    array of float64, shape (replicates, *counts.shape)

    Raises
    ------
    DataError
        If there are no rows, or weights come without their squares.
    """
    flat = counts.ravel()
    total = int(flat.sum())
    if total < 1 or replicates < 1:
        raise DataError(f"there are {total} rows and {replicates} replicates", expected="at least one of each")
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(total, flat / total, size=replicates)
    if weights is None:
        plain: Floats = drawn.astype(np.float64).reshape(replicates, *counts.shape)
        return plain
    if squares is None:
        raise DataError("the sums of squared weights are unknown", expected="squares, as Cube.squares")
    size = np.maximum(flat, 1)
    mean = weights.ravel() / size
    variance = np.maximum(squares.ravel() / size - mean**2, 0)
    # Rounding leaves something of the variance of constant weights; a gamma of that shape would be no more exact.
    spread = variance > 1e-12 * mean**2
    made: Floats = drawn * mean
    shape = np.where(spread, mean**2 / np.where(spread, variance, 1), 0)
    scale = np.where(spread & (mean > 0), variance / np.where(mean > 0, mean, 1), 0)
    gamma = generator.standard_gamma(drawn[:, spread] * shape[spread]) * scale[spread]
    made[:, spread] = gamma
    if rows is not None:
        _real_rows(made, drawn, flat, rows, generator)
    return made.reshape(replicates, *counts.shape)


def _real_rows(
    made: Floats, drawn: NDArray[Any], flat: NDArray[Any], rows: tuple[NDArray[np.intp], Floats], generator: Any
) -> None:
    """Put in place of the gamma sums those of rows that are drawn, in cells that are small."""
    cell, weight = rows
    order = np.argsort(cell, kind="stable")
    ordered, ends = weight[order], np.cumsum(flat)
    if len(cell) != ends[-1]:
        raise DataError(f"there are {len(cell)} rows", expected=f"{ends[-1]}, as many as were counted")
    for at in np.flatnonzero((flat > 0) & (flat < HEAVY_ROWS)):
        own = ordered[ends[at] - flat[at] : ends[at]]
        picked = own[generator.integers(0, len(own), int(drawn[:, at].sum()))]
        sums = np.concatenate([[0.0], np.cumsum(picked)])
        upto = np.cumsum(drawn[:, at])
        made[:, at] = sums[upto] - sums[upto - drawn[:, at]]


def cluster_draws(clusters: Clusters, shape: tuple[int, ...], *, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Draw cubes as a bootstrap of whole clusters would count them.

    Parameters
    ----------
    clusters : Clusters
        As :func:`ml_governance.assess.rows.clusters` counts them.
    shape : tuple of int
        Of the cube.
    replicates, seed
        As :func:`draws`.

    Returns
    -------
    array of float64, shape (replicates, *shape)
        Source: Field and Welsh, JRSS B 69 (2007) 369.
    """
    generator = np.random.default_rng(seed)
    share = clusters.size / clusters.count
    contents = clusters.contents.astype(np.float64)
    step = max(1, _CHUNK // len(share))
    parts = [
        generator.multinomial(clusters.count, share, size=min(step, replicates - done)) @ contents
        for done in range(0, replicates, step)
    ]
    return np.concatenate(parts).reshape(replicates, *shape)


def percentile(
    functional: Functional,
    values: NDArray[Any],
    counts: NDArray[Any],
    drawn: Floats,
    *,
    by: tuple[str, ...],
    confidence: float,
    method: str = "cube",
    clusters: int | None = None,
) -> Measurement:
    """Return a function of a cube with percentile intervals, or why it has none.

    Parameters
    ----------
    functional : Functional
        What is measured.
    values, counts : array of shape (levels..., 2, 2)
        The cube: sums of weights (or counts), and counts.
    drawn : array of shape (replicates, levels..., 2, 2)
        Replicates.
    by : tuple of str
        Attributes of the cube.
    confidence : float in (0, 1)
        Level.
    method : str, default 'cube'
        What was drawn, for the name of the method.
    clusters : int, optional
        How many clusters were drawn from, where they were.

    Returns
    -------
    Measurement
        ``undefined`` if the value is; ``insufficient``, without interval, if it depends on a kind of rows of which there are
        fewer than 5, a replicate is undefined, a smooth function is biased, or there are fewer than 30 clusters: percentile
        intervals fail there (a rate of .02 among 50 rows is covered in 62 %).

    Raises
    ------
    DataError
        If a function that is not known to be smooth is biased or bent by more than a quarter: it is not smooth here.
    """
    rows = int(counts.sum())
    common: dict[str, Any] = {"metric": functional.name, "by": by, "group": functional.group, "n": rows}
    point = _evaluate(functional, np.asarray(values, dtype=np.float64)[None])[0]
    if not np.isfinite(point):
        return Measurement(**common, status="undefined", reason="it is 0/0 in the counts themselves")
    small = _small(functional, values, counts)
    if small:
        reason = f"it depends on {small} kinds of rows of which there are fewer than {MIN_CELL}: percentile intervals fail there"
        return Measurement(**common, value=float(point), status="insufficient", reason=reason)
    if clusters is not None and clusters < MIN_CLUSTERS:
        reason = f"{clusters} clusters where {MIN_CLUSTERS} are required"
        return Measurement(**common, value=float(point), status="insufficient", reason=reason)
    replicates = _evaluate(functional, drawn)
    lost = int((~np.isfinite(replicates)).sum())
    if lost:
        reason = f"{lost} of {len(replicates)} replicates are 0/0"
        return Measurement(**common, value=float(point), status="insufficient", reason=reason)
    bent = _bent(functional, float(point), np.asarray(values, dtype=np.float64), drawn, replicates)
    if bent is not None and functional.smooth:
        return Measurement(**common, value=float(point), status="insufficient", reason=f"too few rows: {bent}")
    if bent is not None:
        raise DataError(
            f"{functional.name} is not smooth here: {bent}, so a percentile interval would not hold",
            expected="a smooth function of the counts, such as an average or a contrast of two groups",
            next_step="for largest against smallest use report.difference() or report.ratio(), whose intervals hold",
        )
    made = []
    for sides in SIDES:
        tail = (1 - confidence) / (2 if sides == "two-sided" else 1)
        lower, upper = np.quantile(replicates, [tail, 1 - tail])
        made.append(
            Interval(
                confidence=confidence, sides=sides, lower=float(min(lower, point)), upper=float(max(upper, point)),
                method=f"percentile-{method}",
            )
        )  # fmt: skip
    return Measurement(**common, value=float(point), intervals=tuple(made), status="ok")


def _bent(functional: Functional, point: float, values: Floats, drawn: Floats, replicates: Floats) -> str | None:
    """Return how a function bends within its sampling error, in words; None if it hardly does."""
    deviation, bias = float(replicates.std()), float(replicates.mean() - point)
    if abs(bias) > MAX_BIAS * deviation + 1e-12:
        return f"its replicates lie {bias / max(deviation, 1e-300):+.2f} standard deviations from its value on average"
    if functional.smooth:
        return None
    step = 2 * (drawn[:_PROBES] - values)
    ahead = _evaluate(functional, np.maximum(values + step, 0))
    back = _evaluate(functional, np.maximum(values - step, 0))
    both = np.isfinite(ahead) & np.isfinite(back)
    straight = float(np.sqrt(np.mean((ahead[both] - back[both]) ** 2))) if both.any() else 0.0
    off = float(np.sqrt(np.mean((ahead[both] + back[both] - 2 * point) ** 2))) if both.any() else math.inf
    if both.mean() < 0.9 or off > MAX_BEND * straight + 1e-12:
        return f"within twice its sampling error it bends by {off / max(straight, 1e-300):.0%}"
    return None


def _evaluate(functional: Functional, cubes: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.asarray(functional.of(cubes), dtype=np.float64)
    if made.shape != (len(cubes),):
        raise DataError(
            f"{functional.name} returned an array of shape {made.shape} for {len(cubes)} cubes",
            expected="one number for each, computed over all cubes at once",
        )
    return made


def _small(functional: Functional, values: NDArray[Any], counts: NDArray[Any]) -> int:
    """Count the kinds of rows, of which there are few, whose next one would change the value.

    Rows of different cells are of one kind if they change the value alike, as selected rows of either label do a selection
    rate. Groups without rows are left out.
    """
    there = np.broadcast_to(counts.sum(axis=(-2, -1), keepdims=True) > 0, counts.shape).ravel()
    base = np.asarray(values, dtype=np.float64)
    more = np.tile(base.ravel(), (counts.size + 1, 1))
    more[np.arange(counts.size), np.arange(counts.size)] += base.sum() / counts.sum()
    found = _evaluate(functional, more.reshape(-1, *base.shape))
    effect = (found[:-1] - found[-1])[there]
    known = np.isfinite(effect)
    scale = float(np.abs(effect[known]).max(initial=0)) or 1.0
    _, kind = np.unique(np.round(np.where(known, effect, math.inf) / scale, 9), return_inverse=True)
    rows = np.bincount(kind, weights=counts.ravel()[there])
    matters = np.bincount(kind, weights=np.abs(np.where(known, effect, scale))) > 1e-9 * scale
    return int((matters & (rows < MIN_CELL)).sum())
