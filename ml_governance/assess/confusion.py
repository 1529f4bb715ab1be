"""Confusion matrices over several classes, one of every group: what the rows say, read and counted once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import blocks, group_axes, labels, sensitive
from ml_governance.assess.cells import identity
from ml_governance.assess.classes import Found, alike, check_column
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import rate_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.sensitive import Codes

MAX_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionCube:
    """Confusion matrices by group.

    Parameters
    ----------
    attributes : tuple of str
        Sensitive attributes.
    levels : tuple of tuple of str
        Their levels.
    classes : tuple of str
        Classes, sorted.
    counts : array of int64, shape (levels..., classes, classes)
        Rows by class and predicted class.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64] = field(repr=False)

    def groups(self, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
        """Yield the matrix of every group of ``by`` that has a row."""
        matrices = group_axes.marginal(self.counts, self.attributes, by)
        levels = [self.levels[self.attributes.index(name)] for name in by]
        for group, place in group_axes.groups(levels, matrices.sum(axis=(-2, -1))):
            yield group, matrices[place]

    def merge(self, other: ConfusionCube) -> ConfusionCube:
        """Add the cube of other rows; levels and classes that only one of the two has are kept.

        Raises
        ------
        DataError
            If the attributes differ.
        """
        levels = group_axes.common_levels(self, other)
        classes = tuple(sorted({*self.classes, *other.classes}))
        parts = (((*one.levels, one.classes, one.classes), one.counts) for one in (self, other))
        counts = group_axes.added((*levels, classes, classes), *parts)
        return ConfusionCube(attributes=self.attributes, levels=levels, classes=classes, counts=counts)


def code(y_true: Any, y_pred: Any) -> tuple[NDArray[np.intp], NDArray[np.intp], tuple[str, ...]]:
    """Return labels and predictions as codes into the names of the classes: numbers in their order, or sorted text."""
    read = {name: blocks.distinct(values, name) for name, values in (("y_true", y_true), ("y_pred", y_pred))}
    labels.same_length(**{name: codes for name, (_, codes) in read.items()})
    kinds, own = set(), {}
    for name, (values, codes) in read.items():
        own[name] = [_class(value) for value in values]
        rows = tuple(np.bincount(codes, minlength=len(values)).tolist())
        kinds.add(check_column(Found(name=name, labels=tuple(own[name]), rows=rows)))
        fractions = [label for label in own[name] if isinstance(label, float) and not label.is_integer()]
        if fractions:
            raise DataError(f"{name} holds fractions, such as {fractions[0]!r}", expected="labels")
    if len(kinds) > 1:
        raise DataError("labels and predictions are of different types", expected="the same labels in both")
    found = list(dict.fromkeys(label for values in own.values() for label in values))
    if len(found) < 2 or alike(found):
        shown = ", ".join(ascii(label) for label in found[:6])
        raise DataError(f"the labels are {shown}", expected="two or more, which read differently")
    found.sort(key=None if kinds == {"number"} else str)
    place = {label: index for index, label in enumerate(found)}
    true, predicted = (
        np.array([place[label] for label in own[name]], dtype=np.intp)[codes] for name, (_, codes) in read.items()
    )
    return true, predicted, tuple(map(str, found))


def _class(value: Any) -> Any:
    """Return the label that a value is: truth values are 0 and 1."""
    label = identity(value)[1]
    return int(label) if isinstance(label, bool) else label


def count(
    true: NDArray[np.intp],
    predicted: NDArray[np.intp],
    classes: tuple[str, ...],
    coded: dict[str, Codes],
) -> ConfusionCube:
    """Count rows by group, class and predicted class in one pass."""
    levels = tuple(entry[1] for entry in coded.values())
    shape = (*map(len, levels), len(classes), len(classes))
    if math.prod(shape) > MAX_CELLS:
        raise DataError(
            f"{len(classes)} classes by {math.prod(shape[:-2])} groups have {math.prod(shape):,} cells",
            expected=f"at most {MAX_CELLS:,}",
        )
    cell = (sensitive.cell(coded, len(true)) * len(classes) + true) * len(classes) + predicted
    counts = np.bincount(cell, minlength=math.prod(shape)).reshape(shape).astype(np.int64)
    return ConfusionCube(attributes=tuple(coded), levels=levels, classes=classes, counts=counts)


def one_vs_rest(matrix: NDArray[np.int64], index: int) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of every rate of one class against the rest."""
    tp = float(matrix[index, index])
    fn, fp = float(matrix[index].sum()) - tp, float(matrix[:, index].sum()) - tp
    return rate_counts(float(matrix.sum()) - tp - fn - fp, fp, fn, tp)
