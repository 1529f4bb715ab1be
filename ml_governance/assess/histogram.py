"""Scores counted by group, label and score bin: what every score metric needs, small and mergeable.

One pass over the rows fills the cube; AUC with an error bound, calibration, thresholds and distances between score
distributions follow from it at a cost that does not depend on the number of rows. Bins are uniform on [0, 1]; a bin
holds its lower edge, and the last one 1 as well. The number of bins is a multiple of 200 and of 15, so that counts at the
thresholds j / 200 and in 15 bins of calibration are exact, and the comparison is the same as ``score >= j / 200``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import group_axes
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Flags, Floats
    from ml_governance.assess.rows import Rows

BINS = 3600
MAX_CELLS = 4_000_000
COMPILED_FROM = 200_000
"""Rows from which on the compiled pass is worth its compilation."""


class TooManyGroupsError(DataError):
    """Scores cannot be counted by so many groups; by fewer attributes they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The scores of one group, by label and bin.

    Parameters
    ----------
    n : int
        Rows.
    counts : array, shape (2, bins)
        Rows by label; sums of weights where rows are weighted.
    scores, errors : array of float64, shape (2, bins)
        Sums of the score and of its squared error.
    weighted : bool
        Whether rows are weighted.
    """

    n: int
    counts: NDArray[Any] = field(repr=False)
    scores: Floats = field(repr=False)
    errors: Floats = field(repr=False)
    weighted: bool

    @property
    def negatives(self) -> float:
        """Rows of label 0, or their weight."""
        return float(self.counts[0].sum())

    @property
    def positives(self) -> float:
        """Rows of label 1, or their weight."""
        return float(self.counts[1].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCube:
    """Counts by group, label and score bin.

    Parameters
    ----------
    attributes : tuple of str
        Sensitive attributes, in order.
    levels : tuple of tuple of str
        Their levels, sorted.
    bins : int
        Uniform bins on [0, 1].
    counts : array of int64, shape (levels..., 2, bins)
        Rows by label (0, 1) and bin.
    scores, errors : array of float64, same shape
        Sums of the score, and of its squared error; times weights where there are any.
    weights : array of float64, same shape, or None
        Sums of weights.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    bins: int
    counts: NDArray[np.int64] = field(repr=False)
    scores: Floats = field(repr=False)
    errors: Floats = field(repr=False)
    weights: Floats | None = field(default=None, repr=False)

    def marginal(self, by: Sequence[str]) -> ScoreCube:
        """Sum over all attributes but these, which keep the given order."""

        def reduced(array: NDArray[Any]) -> NDArray[Any]:
            return group_axes.marginal(array, self.attributes, by)

        return ScoreCube(
            attributes=tuple(by),
            levels=tuple(self.levels[self.attributes.index(name)] for name in by),
            bins=self.bins,
            counts=reduced(self.counts),
            scores=reduced(self.scores),
            errors=reduced(self.errors),
            weights=None if self.weights is None else reduced(self.weights),
        )

    def groups(self) -> Iterator[tuple[tuple[str, ...], Histogram]]:
        """Yield every group that has a row, in order of the levels."""
        for group, place in group_axes.groups(self.levels, self.counts.sum(axis=(-2, -1))):
            yield group, self._histogram(place)

    def total(self) -> Histogram:
        """Return the scores over all groups."""
        return self.marginal(())._histogram(())  # noqa: SLF001  of the same class

    def _histogram(self, position: tuple[int, ...]) -> Histogram:
        values = self.counts if self.weights is None else self.weights
        return Histogram(
            n=int(self.counts[position].sum()), counts=values[position], scores=self.scores[position],
            errors=self.errors[position], weighted=self.weights is not None,
        )  # fmt: skip

    def merge(self, other: ScoreCube) -> ScoreCube:
        """Add the cube of other rows; levels that only one of the two has are kept.

        Raises
        ------
        DataError
            If attributes or bins differ, or only one of the two is weighted.
        """
        if (self.attributes, self.bins) != (other.attributes, other.bins):
            raise DataError(
                f"the cubes are by {self.attributes} in {self.bins} bins and by {other.attributes} in {other.bins} bins",
                expected="the same attributes and bins",
            )
        if (self.weights is None) != (other.weights is None):
            raise DataError("only one of the cubes is weighted", expected="both or neither")
        levels = group_axes.common_levels(self, other)
        bounded(levels, self.bins)

        def added(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
            return group_axes.added(levels, (self.levels, one), (other.levels, two))

        return ScoreCube(
            attributes=self.attributes, levels=levels, bins=self.bins, counts=added(self.counts, other.counts),
            scores=added(self.scores, other.scores), errors=added(self.errors, other.errors),
            weights=None if self.weights is None or other.weights is None else added(self.weights, other.weights),
        )  # fmt: skip


def count_scores(
    true: Flags,
    score: Floats,
    sensitive: Mapping[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    weight: Floats | None = None,
    *,
    bins: int = BINS,
) -> ScoreCube:
    """Count rows in one pass.

    Parameters
    ----------
    true : array of uint8, shape (n,)
        Flags of the positive class.
    score : array of float64, shape (n,)
        Scores in [0, 1].
    sensitive : mapping of name to (codes, levels)
        As :func:`ml_governance.assess.sensitive.codes` returns them.
    weight : array of float64, shape (n,), or None
        Sample weights.
    bins : int, default 3600
        1,024 or more, and a multiple of 600.

    Raises
    ------
    DataError
        If there are too few bins, or too many cells.
    """
    if bins < 1024 or bins % 600:
        raise DataError(f"there are {bins} bins", expected="1,024 or more, and a multiple of 600")
    cell = np.zeros(len(true), dtype=np.uint32)
    for own, names in sensitive.values():
        cell *= np.uint32(len(names))
        cell += own.astype(np.uint32)
    return _counted(cell, true, score, {name: names for name, (_, names) in sensitive.items()}, weight, bins)


def _counted(
    cell: NDArray[np.uint32],
    true: Flags,
    score: Floats,
    named: Mapping[str, tuple[str, ...]],
    weight: Floats | None,
    bins: int,
) -> ScoreCube:
    levels = tuple(named.values())
    bounded(levels, bins)
    shape = (*map(len, levels), 2, bins)
    counts, scores, errors, weights = sums(cell, true, score, weight, int(np.prod(shape[:-2])), bins)
    return ScoreCube(
        attributes=tuple(named), levels=levels, bins=bins, counts=counts.reshape(shape),
        scores=scores.reshape(shape), errors=errors.reshape(shape),
        weights=None if weights is None else weights.reshape(shape),
    )  # fmt: skip


def count_rows(rows: Rows, by: Sequence[str]) -> ScoreCube:
    """Count coded rows by some of their attributes; see :func:`count_scores`."""
    if rows.score is None:
        raise DataError("the rows have no scores", expected="y_score")
    return _counted(rows.group(by), rows.true, rows.score, {name: rows.levels[name] for name in by}, rows.weight, BINS)


def sums(
    cell: NDArray[np.uint32], true: Flags, score: Floats, weight: Floats | None, groups: int, bins: int
) -> tuple[NDArray[np.int64], Floats, Floats, Floats | None]:
    """Return rows, sums of scores, sums of squared errors and sums of weights, each of shape (groups * 2 * bins,).

    Small inputs take vectorised passes, large ones a compiled loop; both give the same counts, and the same sums up to
    the order of addition.
    """
    if weight is None and len(true) >= COMPILED_FROM:
        found = _compiled()(cell, true, score, np.arange(bins + 1) / bins, groups * 2 * bins)
        return found[:, 0].astype(np.int64), found[:, 1].copy(), found[:, 2].copy(), None
    place = (2 * cell.astype(np.int64) + true) * bins + bin_of(score, bins)
    size = groups * 2 * bins
    counts = np.bincount(place, minlength=size).astype(np.int64)
    error = (score - true) ** 2

    def added(values: Floats) -> Floats:
        return np.bincount(place, weights=values, minlength=size).astype(np.float64)

    if weight is None:
        return counts, added(score), added(error), None
    return counts, added(weight * score), added(weight * error), added(weight)


def bin_of(score: Floats, bins: int) -> NDArray[np.int64]:
    """Return each score's bin, such that ``score >= j / bins`` is the same as ``bin >= j`` in floating point too."""
    edges = np.arange(bins + 1) / bins
    place = np.minimum((score * bins).astype(np.int64), bins - 1)
    place += (score >= edges[place + 1]) & (place < bins - 1)
    place -= score < edges[place]
    return place


@cache
def _compiled() -> Callable[..., Floats]:
    import numba

    function: Callable[..., Floats] = numba.njit(cache=True, nogil=True)(_pass)
    return function


def _pass(cell: Any, true: Any, score: Any, edges: Any, size: int) -> Any:  # pragma: no cover  runs compiled
    bins = len(edges) - 1
    found = np.zeros((size, 3))
    for row in range(len(score)):
        value = score[row]
        place = min(int(value * bins), bins - 1)
        if place < bins - 1 and value >= edges[place + 1]:
            place += 1
        if value < edges[place]:
            place -= 1
        label = true[row]
        at = (2 * np.int64(cell[row]) + label) * bins + place
        found[at, 0] += 1
        found[at, 1] += value
        found[at, 2] += (value - label) ** 2
    return found


def bounded(levels: Sequence[Sequence[str]], bins: int) -> None:
    """Refuse a cube of more than :data:`MAX_CELLS` cells.

    Raises
    ------
    TooManyGroupsError
        If the levels cross to more.
    """
    cells = 2 * bins
    for names in levels:
        cells *= len(names)
    if cells > MAX_CELLS:
        raise TooManyGroupsError(
            f"the sensitive features have {cells // (2 * bins):,} combinations",
            expected=f"at most {MAX_CELLS // (2 * bins):,} for scores in {bins:,} bins",
        )
