"""Two models on the same rows: on how many of them both, one or neither is right, selects, or misses.

Everything follows from one cube of counts, group x label x prediction of the first x prediction of the second, and cubes of shards add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import group_axes, labels
from ml_governance.assess import sensitive as groups_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ml_governance.assess.sensitive import Codes

RATES = {
    "accuracy": (None, None),
    "selection_rate": (1, None),
    "true_positive_rate": (1, 1),
    "false_negative_rate": (0, 1),
    "false_positive_rate": (1, 0),
    "true_negative_rate": (0, 0),
}
"""Rates whose denominator does not depend on the predictions: the prediction that is a case, and the label that rows must have."""


class Joint(NamedTuple):
    """Rows on which both, only the first, only the second, or neither of two models is a case."""

    both: int
    first: int
    second: int
    neither: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCube:
    """Counts of two models' predictions for the same rows.

    Parameters
    ----------
    attributes : tuple of str
        Attributes of groups.
    levels : tuple of tuple of str
        Their levels.
    counts : array of int64, shape (levels..., 2, 2, 2)
        Rows by label, prediction of the first and of the second.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    counts: NDArray[np.int64] = field(repr=False)

    def merge(self, other: PairedCube) -> PairedCube:
        """Add the counts of other rows.

        Raises
        ------
        DataError
            If the attributes differ.
        """
        levels = group_axes.common_levels(self, other)
        counts = group_axes.added(levels, *((one.levels, one.counts) for one in (self, other)))
        return PairedCube(attributes=self.attributes, levels=levels, counts=counts)

    def groups(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], NDArray[np.int64]]]:
        """Yield the counts, of shape (2, 2, 2), of all rows, and of every group of each attribute that has a row."""
        for by in ((), *((name,) for name in self.attributes)):
            own = group_axes.marginal(self.counts, self.attributes, by)
            levels = [self.levels[self.attributes.index(name)] for name in by]
            for group, place in group_axes.groups(levels, own.sum(axis=(-3, -2, -1))):
                yield by, group, own[place]


def joint(counts: NDArray[np.int64], rate: str) -> Joint:
    """Return the joint counts of one of :data:`RATES` from counts of shape (2, 2, 2)."""
    case, label = RATES[rate]
    if case is None:  # right, whichever label it is
        flipped = np.stack([counts[0, ::-1, ::-1], counts[1]])
        table = flipped.sum(axis=0)
    else:
        table = counts.sum(axis=0) if label is None else counts[label]
        table = table if case == 1 else table[::-1, ::-1]
    return Joint(int(table[1, 1]), int(table[1, 0]), int(table[0, 1]), int(table[0, 0]))


def count_pairs(
    true: NDArray[np.integer[Any]],
    first: NDArray[np.integer[Any]],
    second: NDArray[np.integer[Any]],
    coded: dict[str, Codes],
) -> PairedCube:
    """Count flags of labels and of two models' predictions, by group, in one pass."""
    levels = tuple(entry[1] for entry in coded.values())
    shape = (*map(len, levels), 2, 2, 2)
    cell = ((groups_of.cell(coded, len(true)) * 2 + true) * 2 + first) * 2 + second
    counts = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)
    return PairedCube(attributes=tuple(coded), levels=levels, counts=counts)


def joint_counts(
    y_true: Any, first: Any, second: Any, sensitive: Any = None, *, pos_label: Any = None
) -> list[dict[str, Any]]:
    """Return joint counts of every rate whose denominator does not depend on the predictions.

    Parameters
    ----------
    y_true : array of shape (n,)
        Labels.
    first, second : array of shape (n,)
        Predicted labels of the two models.
    sensitive : data frame or dict of columns, optional
        Columns whose groups are counted as well, each by itself.
    pos_label : object, optional
        The positive label, unless labels are 0 and 1.

    Returns
    -------
    list of dict
        ``{"metric", "by", "group", "counts": [both, first only, second only, neither]}``.

    Raises
    ------
    DataError
        If labels or predictions cannot be used.
    """
    true, one, _ = labels.pair(y_true, first, pos_label)
    _, two, _ = labels.pair(y_true, second, pos_label)
    return counted(count_pairs(true, one, two, {} if sensitive is None else groups_of.read(sensitive, len(true))))


def counted(cube: PairedCube, rates: tuple[str, ...] = tuple(RATES)) -> list[dict[str, Any]]:
    """Return a cube's joint counts as plain JSON values; see :func:`joint_counts`."""
    return [
        {"metric": rate, "by": list(by), "group": list(group), "counts": list(joint(counts, rate))}
        for by, group, counts in cube.groups()
        for rate in rates
    ]
