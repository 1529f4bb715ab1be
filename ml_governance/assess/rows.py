"""What a cube cannot say: which rows belong together, and what each of them weighs.

Only the bootstrap of clustered or heavily weighted rows asks for it; a report made from counts has no rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import cube as cubes
from ml_governance.assess import labels
from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The coded columns that a cube was counted from.

    Parameters
    ----------
    codes : mapping of attribute to array of int, shape (n,)
        Codes into the levels of the cube.
    true, predicted : array of uint8, shape (n,)
        Flags of the positive class.
    weight : array of float64, shape (n,), or None
        Sample weights.
    """

    codes: Mapping[str, NDArray[np.intp]] = field(repr=False)
    true: NDArray[np.uint8] = field(repr=False)
    predicted: NDArray[np.uint8] = field(repr=False)
    weight: NDArray[np.float64] | None = field(default=None, repr=False)

    def cells(self, by: Sequence[str], shape: Sequence[int]) -> NDArray[np.intp]:
        """Return, for every row, its place in the flattened cube by these attributes."""
        places = (*(self.codes[name] for name in by), self.true, self.predicted)
        return np.ravel_multi_index([np.asarray(one, dtype=np.intp) for one in places], tuple(shape))


def of_arrays(
    y_true: Any, y_pred: Any, sensitive_features: Any, sample_weight: Any, pos_label: Any, cube: Cube
) -> Rows:
    """Code columns as a cube counted them.

    Parameters
    ----------
    y_true, y_pred, sensitive_features, sample_weight, pos_label
        As :func:`ml_governance.assess.fairness.assess_fairness` takes them.
    cube : Cube
        What was counted from them.

    Raises
    ------
    VerificationError
        If the columns no longer give the cube.
    """
    true, predicted, _ = labels.pair(y_true, y_pred, pos_label)
    weight = None if sample_weight is None else labels.weights(sample_weight)
    found = cubes.features(sensitive_features, len(true))
    coded = {name: cubes.codes(values, name) for name, values in found.items()}
    made = Rows(codes={name: own for name, (own, _) in coded.items()}, true=true, predicted=predicted, weight=weight)
    same = tuple(levels for _, levels in coded.values()) == cube.levels
    if same:
        again = np.bincount(made.cells(tuple(coded), cube.counts.shape), minlength=cube.counts.size)
        same = np.array_equal(again, cube.counts.ravel())
    if not same:
        raise VerificationError(
            "the rows are not what they were when they were counted",
            next_step="assess again, and do not change the columns before the bootstrap is asked for",
        )
    return made


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
