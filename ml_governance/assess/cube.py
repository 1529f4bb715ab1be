"""The cube: how many rows of each group have which label and which prediction.

Every confusion-matrix metric of every group and intersection follows from it, at a cost that does not depend on
the number of rows; cubes of shards add up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.assess import classes, group_axes
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


CONTINUOUS = 50
"""Measured values of a sensitive column beyond which they are no groups."""
_MEASURED = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?|\d{4}-\d\d-\d\d(?:[T ].*)?")
"""A fraction or a day as text, as which CSV has them."""
MISSING = "(missing)"
MAX_CELLS = 1_000_000
MAX_ROWS = 1 << 53
"""Above it counts are no longer exact as floats."""
LIGHTEST, HEAVIEST = 1e-140, 1e140
"""Between them, sums of weights have squares that floats hold."""


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
        Sums of squared weights in the same shape; None when every row counts one, or when they are not known, as
        of published tables.
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

        def reduced(array: NDArray[Any]) -> NDArray[Any]:
            return group_axes.marginal(array, self.attributes, by)

        return Cube(
            attributes=tuple(by),
            levels=tuple(self.levels[self.attributes.index(name)] for name in by),
            counts=reduced(self.counts),
            weights=None if self.weights is None else reduced(self.weights),
            squares=None if self.squares is None else reduced(self.squares),
        )

    def groups(self) -> list[tuple[tuple[str, ...], NDArray[Any], int]]:
        """Return (group, 2 x 2 values, rows) for every group that has a row, in order of the levels."""
        rows = self.counts.sum(axis=(-2, -1))
        return [(group, self.values[place], int(rows[place])) for group, place in group_axes.groups(self.levels, rows)]

    def unweighted(self) -> Cube:
        """Return the rows themselves, whatever they weigh: what numbers rest on."""
        return replace(self, weights=None, squares=None)

    def total(self) -> tuple[NDArray[Any], int]:
        """Return the 2 x 2 values over all groups, and the number of rows."""
        axes = tuple(range(len(self.attributes)))
        return self.values.sum(axis=axes), int(self.counts.sum())

    def merge(self, other: Cube) -> Cube:
        """Add the cube of other rows; levels that only one of the two has are kept.

        Squares of weights are known of the sum if they are known of both.

        Raises
        ------
        DataError
            If the attributes differ, or only one of the two is weighted.
        """
        levels = group_axes.common_levels(self, other)
        if (self.weights is None) != (other.weights is None):
            raise DataError("only one of the cubes is weighted", expected="both or neither")
        check_size(levels)
        check_rows(self.counts, other.counts)

        def added(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
            return group_axes.added(levels, (self.levels, one), (other.levels, two))

        return Cube(
            attributes=self.attributes,
            levels=levels,
            counts=added(self.counts, other.counts),
            weights=None if self.weights is None or other.weights is None else added(self.weights, other.weights),
            squares=None if self.squares is None or other.squares is None else added(self.squares, other.squares),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :meth:`from_dict` reads them back.

        Cells of few rows tell about people: keep cubes where the rows may be kept.
        """
        arrays = {"counts": self.counts, "weights": self.weights, "squares": self.squares}
        return {
            "attributes": list(self.attributes),
            "levels": [list(names) for names in self.levels],
            **{name: None if array is None else array.tolist() for name, array in arrays.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        DataError
            If a field is missing, levels repeat, or the numbers are of another shape, negative or not finite.
        """
        try:
            levels = tuple(tuple(map(str, names)) for names in value["levels"])
            attributes = tuple(map(str, value["attributes"]))
            counts = np.array(value["counts"])
            floats = [None if value[name] is None else np.array(value[name], dtype=np.float64)
                      for name in ("weights", "squares")]  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this is no cube: {type(error).__name__}: {error}", expected="what to_dict wrote"
            ) from error
        check_size(levels)
        if (
            len(attributes) != len(levels)
            or any(len(set(names)) != len(names) for names in (attributes, *levels))
            or counts.dtype.kind != "i"
            or any(array is not None and array.shape != (*map(len, levels), 2, 2) for array in (counts, *floats))
            or (counts < 0).any()
        ):
            raise DataError("this is no cube: its parts do not fit each other", expected="what to_dict wrote")
        check_rows(counts)
        _check_weights(counts, *floats)
        return cls(
            attributes=attributes, levels=levels, counts=counts.astype(np.int64), weights=floats[0], squares=floats[1]
        )


def from_counts(
    counts: Mapping[Any, Sequence[int]],
    *,
    by: tuple[str, ...],
    weights: Mapping[Any, Sequence[float]] | None = None,
    squares: Mapping[Any, Sequence[float]] | None = None,
) -> Cube:
    """Make a cube from published tables.

    Parameters
    ----------
    counts : mapping of group to (tn, fp, fn, tp)
        Rows. A group is a level, or a tuple of levels parallel to ``by``.
    by : tuple of str
        The attributes.
    weights, squares : mapping of group to (tn, fp, fn, tp), optional
        Sums of weights, and of squared weights, of the same rows.

    Raises
    ------
    DataError
        If a group does not fit ``by``, is no text or is named twice, counts are not whole and non-negative, or weights do
        not fit the counts.
    """
    groups = _by_group(counts)
    for group, values in groups.items():
        whole = len(values) == 4 and all(
            isinstance(v, int | np.integer) and not isinstance(v, bool) and v >= 0 for v in values
        )
        if len(group) != len(by) or not whole:
            raise DataError(
                f"the group {group} has the counts {values!r}", expected="(tn, fp, fn, tp), whole and 0 or more"
            )
    if not groups or not any(any(values) for values in groups.values()):
        raise DataError("there are no counts", expected="at least one row in one group")
    check_rows([int(value) for values in groups.values() for value in values])
    for axis, name in enumerate(by):
        twice = classes.alike({group[axis] for group in groups})
        if twice:
            raise DataError(
                f"{name!r} has different groups that read the same: {', '.join(twice)}", expected="distinct names"
            )
    levels = tuple(tuple(sorted({group[axis] for group in groups})) for axis in range(len(by)))
    check_size(levels)
    shape = (*map(len, levels), 2, 2)

    def table(values: Mapping[tuple[str, ...], Sequence[float]], kind: type) -> NDArray[Any]:
        made: NDArray[Any] = np.zeros(shape, dtype=kind)
        for group, own in values.items():
            position = tuple(names.index(level) for names, level in zip(levels, group, strict=True))
            made[position] = np.array(own).reshape(2, 2)
        return made

    floats: list[NDArray[np.float64] | None] = []
    for name, given in (("weights", weights), ("squares", squares)):
        found = None if given is None else _by_group(given)
        if found is not None and (found.keys() != groups.keys() or any(len(v) != 4 for v in found.values())):
            raise DataError(f"{name} have other groups than the counts", expected="(tn, fp, fn, tp) of each group")
        floats.append(None if found is None else table(found, float))
    rows = table(groups, int)
    _check_weights(rows, *floats)
    return Cube(attributes=by, levels=levels, counts=rows, weights=floats[0], squares=floats[1])


def _by_group(values: Mapping[Any, Sequence[Any]]) -> dict[tuple[str, ...], Sequence[Any]]:
    found: dict[tuple[str, ...], Sequence[Any]] = {}
    for group, own in values.items():
        key = (group,) if isinstance(group, str) else tuple(group) if isinstance(group, tuple | list) else ()
        if not key or any(not isinstance(name, str) or not classes.reading(name) for name in key):
            raise DataError(
                f"a group is {group!r}", expected=f"text, or a tuple of texts; {MISSING} where it is not known"
            )
        if key in found:
            raise DataError(f"the group {key} is there twice", expected="each group once")
        found[key] = own
    return found


def check_rows(*counts: Any) -> None:
    """Refuse more rows than floats count exactly.

    Raises
    ------
    DataError
        If there are more than :data:`MAX_ROWS`.
    """
    total = sum(int(value) for array in counts for value in np.asarray(array, dtype=object).ravel())
    if total > MAX_ROWS:
        raise DataError(f"there are {total:,} rows", expected=f"at most {MAX_ROWS:,}: above it rates are not exact")


def check_extent(weights: NDArray[np.float64]) -> None:
    """Refuse sums of weights whose squares are lost, which tell how uncertain a weighted number is.

    Raises
    ------
    DataError
        If a sum that is not 0 is below :data:`LIGHTEST` or above :data:`HEAVIEST`.
    """
    extreme = weights[(weights > 0) & ((weights < LIGHTEST) | (weights > HEAVIEST))]
    if extreme.size:
        raise DataError(
            f"weights sum to {float(extreme[0]):.4g}",
            expected=f"sums between {LIGHTEST:g} and {HEAVIEST:g}, or their squares are lost",
            next_step="multiply all weights by one number, which changes nothing",
        )


def _check_weights(
    counts: NDArray[np.int64], weights: NDArray[np.float64] | None, squares: NDArray[np.float64] | None
) -> None:
    """Refuse sums of weights that no weights of so many rows have."""
    if weights is None:
        if squares is not None:
            raise DataError("there are squares of weights without weights", expected="both, or weights alone")
        return
    check_extent(weights)
    fits = bool(np.isfinite(weights).all() and (weights >= 0).all() and (weights[counts == 0] == 0).all())
    if squares is not None and fits:
        # Cauchy: (sum w)^2 / n <= sum w^2 <= (sum w)^2
        low, high = weights**2 / np.maximum(counts, 1), weights**2
        fits = bool(((squares >= low * (1 - 1e-9)) & (squares <= high * (1 + 1e-9))).all())
    if not fits or weights.sum() <= 0:
        raise DataError(
            "the weights do not fit the counts: they are NaN, negative, all zero, or of no rows",
            expected="sums of weights and of squared weights of the counted rows",
        )


def check_discrete(values: Iterable[Any], name: str) -> None:
    """Refuse a sensitive column whose values are no groups: more than 50 fractions, times or days, or texts of them.

    Parameters
    ----------
    values : iterable
        The distinct values of the column.
    name : str
        Its name.

    Raises
    ------
    DataError
        If there are more of them.
    """
    measured = [value for value in values if isinstance(value, float | date) or _is_measured(value)]
    if len(measured) > CONTINUOUS:
        raise DataError(
            f"the sensitive attribute {name!r} is continuous: {len(measured):,} values such as {min(measured, key=str)}",
            expected="groups; bin it first, and say how, or use assess_continuous",
        )


def _is_measured(value: Any) -> bool:
    return isinstance(value, str) and _MEASURED.fullmatch(value) is not None


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
        found = {name: frame[name].to_native() for name in frame.columns}
    elif sensitive_features is not None and not isinstance(sensitive_features, str):
        found = {str(getattr(sensitive_features, "name", None) or "sensitive_feature"): sensitive_features}
    else:
        found = {}
    if not found:
        raise DataError("there are no sensitive features", expected="a data frame, column, or dict of columns")
    for name, values in found.items():
        if not hasattr(values, "__len__"):
            raise DataError(f"the sensitive feature {name!r} is {values!r}", expected="a column of values")
        if len(values) != rows:
            raise DataError(
                f"the sensitive feature {name!r} has {len(values)} values",
                expected=f"{rows}, one for each row",
            )
    return found


def check_size(levels: Sequence[Sequence[str]]) -> None:
    """Refuse a cube of more than :data:`MAX_CELLS` cells.

    Raises
    ------
    DataError
        If the levels cross to more.
    """
    cells = 4
    for names in levels:
        cells *= len(names)
    if cells > MAX_CELLS:
        raise DataError(
            f"the sensitive features have {cells // 4:,} combinations", expected=f"at most {MAX_CELLS // 4:,}"
        )
