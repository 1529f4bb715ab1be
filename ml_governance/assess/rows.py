"""What a cube cannot say: which rows belong together, and what each of them weighs.

Only the bootstrap of clustered or heavily weighted rows asks for it; a report made from counts has no rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.cells import text_of
from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.blocks import Column
    from ml_governance.assess.cube import Cube


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The coded columns that a cube was counted from.

    Parameters
    ----------
    codes : mapping of attribute to array of int, shape (n,)
        Codes into the levels of the cube.
    levels : mapping of attribute to tuple of str
        Those levels.
    true, predicted : array of uint8, shape (n,)
        Flags of the positive class.
    weight : array of float64, shape (n,), or None
        Sample weights.
    score : array of float64, shape (n,), or None
        Scores in [0, 1].
    """

    codes: Mapping[str, NDArray[Any]] = field(repr=False)
    true: NDArray[np.uint8] = field(repr=False)
    predicted: NDArray[np.uint8] = field(repr=False)
    weight: NDArray[np.float64] | None = field(default=None, repr=False)
    score: NDArray[np.float64] | None = field(default=None, repr=False)
    levels: Mapping[str, tuple[str, ...]] = field(repr=False)

    def group(self, by: Sequence[str]) -> NDArray[np.uint32]:
        """Return, for every row, its group among the crossing of these attributes."""
        place = np.zeros(len(self.true), dtype=np.uint32)
        for name in by:
            place *= np.uint32(len(self.levels[name]))
            place += self.codes[name]
        return place

    def cells(self, by: Sequence[str], shape: Sequence[int]) -> NDArray[np.intp]:
        """Return, for every row, its place in the flattened cube by these attributes."""
        places = (*(self.codes[name] for name in by), self.true, self.predicted)
        return np.ravel_multi_index([np.asarray(one, dtype=np.intp) for one in places], tuple(shape))


def of_columns(columns: Sequence[Column], cube: Cube, positive: Any, weight: Any, score: Any) -> Rows:
    """Code columns as a cube counted them.

    Parameters
    ----------
    columns : sequence of Column
        Label, prediction, and the attributes of the cube.
    cube : Cube
        What was counted from them.
    positive : object
        The positive label.
    weight, score : array of float64, shape (n,), or None
        Sample weights and scores.
    """
    true, predicted = (
        _looked_up(own, lambda value: value is not None and bool(value == positive), np.uint8) for own in columns[:2]
    )
    codes = {}
    for name, levels, own in zip(cube.attributes, cube.levels, columns[2:], strict=True):
        place = {level: index for index, level in enumerate(levels)}
        codes[name] = _looked_up(own, partial(_place, place), np.min_scalar_type(len(levels)))
    return Rows(
        codes=codes, levels=dict(zip(cube.attributes, cube.levels, strict=True)), true=true, predicted=predicted,
        weight=weight, score=score,
    )  # fmt: skip


def checked(rows: Rows, cube: Cube) -> Rows:
    """Return coded rows if they still give the cube.

    Raises
    ------
    VerificationError
        If they do not: the columns were changed since they were counted.
    """
    again = np.bincount(rows.cells(cube.attributes, cube.counts.shape), minlength=cube.counts.size)
    if not np.array_equal(again, cube.counts.ravel()):
        raise VerificationError(
            "the rows are not what they were when they were counted",
            next_step="assess again, and do not change the columns before the bootstrap is asked for",
        )
    return rows


def _place(places: Mapping[str, int], value: Any) -> int:
    return places.get(text_of(value), 0)  # a category that does not occur is nowhere


def _looked_up(column: Column, meaning: Callable[[Any], Any], dtype: Any) -> NDArray[Any]:
    """Return what each row's value means, looked up by its code."""
    part = column.part(0, len(column)) or column.hashed().part(0, len(column))
    table = np.array([meaning(value) for value in part.meanings], dtype=dtype)
    codes = part.codes.view(np.uint8) if part.codes.dtype == np.bool_ else part.codes
    found: NDArray[Any] = np.roll(table, -part.shift)[codes]  # a code of -1, the missing value, is then the last
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Clusters of rows by what is in them.

    Parameters
    ----------
    contents : array of shape (kinds, cells)
        Counts, or sums of weights, of a cluster of each kind.
    size : array of int64, shape (kinds,)
        How many clusters are of that kind: people with equal rows are one kind, so the cost of a bootstrap depends on how
        many kinds there are, not on how many people.
    """

    contents: NDArray[Any] = field(repr=False)
    size: NDArray[np.int64] = field(repr=False)

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.size.sum())


def clusters(cell: NDArray[np.intp], cells: int, cluster: Any, weight: NDArray[np.float64] | None = None) -> Clusters:
    """Count the rows of every cluster by cell.

    Parameters
    ----------
    cell : array of int, shape (n,)
        Place of each row, 0 to ``cells - 1``.
    cells : int
        How many places there are.
    cluster : array-like of shape (n,)
        Which cluster a row belongs to, such as a person.
    weight : array of float64, shape (n,), optional
        Weights of the rows.

    Raises
    ------
    DataError
        If the column has another length or missing values, or there are fewer than two clusters.
    """
    import pandas as pd

    column = cluster if isinstance(cluster, pd.Series) else pd.Series(np.asarray(cluster))
    if len(column) != len(cell):
        raise DataError(f"the cluster column has {len(column)} values", expected=f"{len(cell)}, one for each row")
    own, names = pd.factorize(column, use_na_sentinel=True)
    if (own < 0).any():
        raise DataError(
            f"{int((own < 0).sum())} rows have no cluster", expected="a cluster in every row, if only its own"
        )
    if len(names) < 2:
        raise DataError("there is one cluster", expected="two or more, from which to draw")
    if len(names) * cells > 200_000_000:
        raise DataError(
            f"{len(names):,} clusters by {cells:,} cells are too many to hold",
            expected="at most 200,000,000 counts",
            next_step="use fewer attributes in `by`",
        )
    flat = np.bincount(own * cells + cell, weights=weight, minlength=len(names) * cells).reshape(len(names), cells)
    contents, size = np.unique(flat, axis=0, return_counts=True)
    return Clusters(contents=contents, size=size.astype(np.int64))
