"""The cube: how many rows of each group have which label and which prediction.

Every confusion-matrix metric of every group and intersection follows from it, at a cost that does not depend on
the number of rows; cubes of shards add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Flags, Floats

MISSING = "(missing)"
MAX_CELLS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cube:
    """Counts by group, label and prediction.

    Parameters
    ----------
    attributes : tuple of str
        Sensitive attributes, in order.
    levels : tuple of tuple of str
        Their levels, sorted.
    counts : array of int64, shape (levels..., 2, 2)
        Rows by label (0, 1) and prediction (0, 1).
    weights : array of float64 or None
        Sums of weights in the same shape; None when every row counts one.
    squares : array of float64 or None
        Sums of squared weights, from which the uncertainty of weighted numbers follows; None without weights.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    counts: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] | None = None

    @property
    def values(self) -> NDArray[Any]:
        """Weighted sums where there are weights, else counts."""
        return self.counts if self.weights is None else self.weights

    def marginal(self, by: Sequence[str]) -> Cube:
        """Sum over all attributes but these, which keep the given order."""
        axes = [self.attributes.index(name) for name in by]
        drop = tuple(axis for axis in range(len(self.attributes)) if axis not in axes)
        kept = [axis for axis in range(len(self.attributes)) if axis not in drop]
        order = (*(kept.index(axis) for axis in axes), len(kept), len(kept) + 1)

        def reduced(array: NDArray[Any]) -> NDArray[Any]:
            summed: NDArray[Any] = array.sum(axis=drop)
            return summed.transpose(order)

        return Cube(
            attributes=tuple(by),
            levels=tuple(self.levels[axis] for axis in axes),
            counts=reduced(self.counts),
            weights=None if self.weights is None else reduced(self.weights),
            squares=None if self.squares is None else reduced(self.squares),
        )

    def groups(self) -> list[tuple[tuple[str, ...], NDArray[Any], int]]:
        """Return (group, 2 x 2 values, rows) for every group that has a row, in order of the levels."""
        found = []
        for position in np.ndindex(*self.counts.shape[:-2]):
            rows = int(self.counts[position].sum())
            if rows:
                group = tuple(levels[index] for levels, index in zip(self.levels, position, strict=True))
                found.append((group, self.values[position], rows))
        return found

    def total(self) -> tuple[NDArray[Any], int]:
        """Return the 2 x 2 values over all groups, and the number of rows."""
        axes = tuple(range(len(self.attributes)))
        return self.values.sum(axis=axes), int(self.counts.sum())

    def merge(self, other: Cube) -> Cube:
        """Add the cube of other rows; levels that only one of the two has are kept.

        Raises
        ------
        DataError
            If the attributes differ, or only one of the two is weighted.
        """
        if self.attributes != other.attributes:
            raise DataError(
                f"the cubes are by {self.attributes} and {other.attributes}", expected="the same attributes"
            )
        if (self.weights is None) != (other.weights is None):
            raise DataError("only one of the cubes is weighted", expected="both or neither")
        levels = tuple(tuple(sorted({*a, *b})) for a, b in zip(self.levels, other.levels, strict=True))
        _bounded(levels)

        def spread(cube: Cube, array: NDArray[Any]) -> NDArray[Any]:
            wide = np.zeros((*map(len, levels), 2, 2), dtype=array.dtype)
            places = [[all_.index(level) for level in own] for all_, own in zip(levels, cube.levels, strict=True)]
            wide[np.ix_(*places, [0, 1], [0, 1])] = array
            return wide

        def both(one: NDArray[np.float64] | None, two: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if one is None or two is None else spread(self, one) + spread(other, two)

        return Cube(
            attributes=self.attributes,
            levels=levels,
            counts=spread(self, self.counts) + spread(other, other.counts),
            weights=both(self.weights, other.weights),
            squares=both(self.squares, other.squares),
        )


def count(
    true: Flags,
    predicted: Flags,
    sensitive: Mapping[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    weight: Floats | None,
) -> Cube:
    """Count rows in one pass.

    Parameters
    ----------
    true, predicted : array of uint8, shape (n,)
        Flags of the positive class.
    sensitive : mapping of name to (codes, levels)
        As :func:`codes` returns them.
    weight : array of float64, shape (n,), or None
        Sample weights.
    """
    levels = tuple(entry[1] for entry in sensitive.values())
    _bounded(levels)
    cell = np.zeros(len(true), dtype=np.int64)
    for (own, _), names in zip(sensitive.values(), levels, strict=True):
        cell *= len(names)
        cell += own
    cell *= 4
    cell += 2 * true.astype(np.int64) + predicted
    shape = (*map(len, levels), 2, 2)
    size = int(np.prod(shape))
    counts = np.bincount(cell, minlength=size).reshape(shape).astype(np.int64)
    sums = squares = None
    if weight is not None:
        sums = np.bincount(cell, weights=weight, minlength=size).reshape(shape).astype(np.float64)
        squares = np.bincount(cell, weights=weight**2, minlength=size).reshape(shape).astype(np.float64)
    return Cube(attributes=tuple(sensitive), levels=levels, counts=counts, weights=sums, squares=squares)


def codes(values: Any, name: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return a sensitive column as codes into its sorted levels; missing values are a level of their own.

    Raises
    ------
    DataError
        If two different values read the same, such as 1 and "1".
    """
    import pandas as pd

    series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    if isinstance(series.dtype, pd.CategoricalDtype):
        own, uniques = series.cat.codes.to_numpy().astype(np.intp), series.cat.categories
    else:
        own, uniques = pd.factorize(series, use_na_sentinel=True)
    if pd.api.types.is_float_dtype(series.dtype) and len(uniques) > 50:
        raise DataError(
            f"the sensitive attribute {name!r} is continuous ({len(uniques)} values)",
            expected="groups; bin it first, and say how",
        )
    names = [str(value) for value in uniques]
    used = np.bincount(own[own >= 0], minlength=len(names)) > 0
    has_missing = bool((own < 0).any())
    if has_missing:
        names.append(MISSING)
        used = np.append(used, True)
        own = np.where(own < 0, len(names) - 1, own)
    if len(set(names)) != len(names):
        twice = sorted({text for text in names if names.count(text) > 1})
        raise DataError(
            f"{name!r} has different values that read the same: {', '.join(twice)}", expected="distinct names"
        )
    present = [text for text, there in zip(names, used, strict=True) if there]
    ordered = tuple(sorted(present))
    place = {text: index for index, text in enumerate(ordered)}
    table = np.array([place.get(text, 0) for text in names], dtype=np.intp)
    return table[own], ordered


def features(sensitive_features: Any, rows: int) -> dict[str, Any]:
    """Return sensitive columns by name, whatever they came as.

    Raises
    ------
    DataError
        If there are none, names repeat, or lengths differ.
    """
    import pandas as pd

    if isinstance(sensitive_features, pd.DataFrame):
        found: dict[str, Any] = {str(name): sensitive_features[name] for name in sensitive_features.columns}
    elif isinstance(sensitive_features, pd.Series):
        found = {str(sensitive_features.name or "sensitive_feature"): sensitive_features}
    elif isinstance(sensitive_features, dict):
        found = {str(name): values for name, values in sensitive_features.items()}
    elif hasattr(sensitive_features, "columns") and hasattr(sensitive_features, "shape"):
        import narwhals as nw

        frame = nw.from_native(sensitive_features, eager_only=True)
        found = {name: frame[name].to_pandas() for name in frame.columns}
    elif sensitive_features is not None and not isinstance(sensitive_features, str):
        found = {str(getattr(sensitive_features, "name", None) or "sensitive_feature"): np.asarray(sensitive_features)}
    else:
        found = {}
    if not found:
        raise DataError("there are no sensitive features", expected="a data frame, column, or dict of columns")
    for name, values in found.items():
        if len(values) != rows:
            raise DataError(
                f"the sensitive feature {name!r} has {len(values)} values",
                expected=f"{rows}, one for each row",
            )
    return found


def _bounded(levels: Sequence[Sequence[str]]) -> None:
    cells = 4
    for names in levels:
        cells *= len(names)
    if cells > MAX_CELLS:
        raise DataError(
            f"the sensitive features have {cells // 4:,} combinations", expected=f"at most {MAX_CELLS // 4:,}"
        )
