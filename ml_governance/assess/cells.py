"""What one scan of the rows brings back, whatever counted them: the cells that occur, and the cube they make.

Every engine hands back the same few numbers for each combination of label, prediction and sensitive values that
occurs. All checks are made here, on the cells: so a column is refused, or has a group for its missing values, for
the same reason on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import classes
from ml_governance.assess.cube import MAX_CELLS, MISSING, Cube, check_discrete, check_extent, check_size
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WHOLE = 1 << 53
"""Whole numbers below it are the same as floats."""
LIMIT = 2 * MAX_CELLS
"""Cells that are fetched at most: missing values may come as null and as NaN, so more than a cube can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column is what.

    Parameters
    ----------
    y_true, y_pred : str
        Names of the label and of the prediction.
    sensitive : tuple of str
        Names of the sensitive columns, at least one.
    weight : str or None
        Name of the weights.
    score : str or None
        Name of the scores.
    """

    y_true: str
    y_pred: str
    sensitive: tuple[str, ...]
    weight: str | None = None
    score: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that are counted by: label, prediction, sensitive columns."""
        return (self.y_true, self.y_pred, *self.sensitive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The combinations of values that occur, and how often; a combination may stand there more than once.

    Parameters
    ----------
    values : tuple of list
        Values of label, prediction and each sensitive column.
    codes : tuple of int arrays of shape (m,)
        Positions in ``values``, for each of m cells.
    counts : array of int64, shape (m,)
        Rows.
    weights, squares : array of float64, shape (m,), or None
        Sums of weights and of their squares; None where every row counts one.
    lowest : float
        The smallest weight; NaN where one is missing.
    at_least : bool
        True if there were more than :data:`LIMIT` cells, and the rest was not fetched.
    """

    values: tuple[list[Any], ...]
    codes: tuple[NDArray[np.intp], ...]
    counts: NDArray[np.int64]
    weights: Floats | None = None
    squares: Floats | None = None
    lowest: float = 0.0
    at_least: bool = False


def join(parts: Sequence[Cells]) -> Cells:
    """Put the cells of several scans together: equal values become one, and values without rows are left out."""
    values, codes = [], []
    for column in range(len(parts[0].values)):
        places: dict[tuple[type, Any], int] = {}
        pieces = []
        for part in parts:
            own = np.flatnonzero(np.bincount(part.codes[column]))
            table = np.zeros(len(part.values[column]), dtype=np.intp)
            table[own] = [places.setdefault(identity(part.values[column][code]), len(places)) for code in own.tolist()]
            pieces.append(table[part.codes[column]])
        values.append([value for _, value in places])
        codes.append(np.concatenate(pieces))
    return Cells(
        values=tuple(values),
        codes=tuple(codes),
        counts=np.concatenate([part.counts for part in parts]),
        weights=_joined(part.weights for part in parts),
        squares=_joined(part.squares for part in parts),
        lowest=float(np.min([part.lowest for part in parts])),
        at_least=any(part.at_least for part in parts),
    )


def _joined(arrays: Iterable[Floats | None]) -> Floats | None:
    given = [array for array in arrays if array is not None]
    return np.concatenate(given) if given else None


def identity(value: Any) -> tuple[type, Any]:
    """Return a value so that 1 and True and "1" stay apart, and 1 and 1.0, null and NaN, and two clocks' one instant do not.

    A column of whole numbers is one of fractions as soon as pandas puts a NaN into it; and the time zone of an instant is
    that of whoever reads the file.
    """
    if hasattr(value, "item"):
        value = value.item()
    if classes.is_missing(value):
        return type(None), None
    if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE:
        value = int(value)  # -0.0 is 0 too
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    try:
        hash(value)
    except TypeError:
        value = str(value)
    return type(value), value


def cube_of(cells: Cells, roles: Roles, pos_label: Any) -> tuple[Cube, Any]:
    """Check what was counted, and return the cube and the positive label.

    Parameters
    ----------
    cells : Cells
        What a scan brought back.
    roles : Roles
        Which column is what.
    pos_label : object or None
        The positive label; None is allowed only for 0/1 and False/True.

    Raises
    ------
    DataError
        If there are no rows; the labels are no two classes (see :func:`ml_governance.assess.classes.positive`);
        weights are missing, infinite, negative or all zero; a sensitive column is continuous, has two values that
        read the same, or there are too many combinations.
    """
    cells = join([cells])
    if not cells.counts.sum():
        raise DataError(f"{roles.y_true} is empty", expected="at least one row")
    true, predicted = (_labels(cells, column, name) for column, name in enumerate((roles.y_true, roles.y_pred)))
    *flags, told = classes.positive(true, predicted, pos_label)
    if cells.weights is not None:
        _check_weights(cells.weights, cells.lowest)
    levels, codes = [], []
    for column, name in enumerate(roles.sensitive, start=2):
        table, names = levels_of(cells.values[column], name)
        levels.append(names)
        codes.append(table[cells.codes[column]])
    if cells.at_least:
        raise DataError(
            f"there are more than {LIMIT:,} combinations of {', '.join(roles.keys)}",
            expected=f"at most {MAX_CELLS // 4:,} groups",
        )
    check_size(levels)
    place = (*codes, *(np.array(own, dtype=np.intp)[cells.codes[column]] for column, own in enumerate(flags)))
    shape = (*map(len, levels), 2, 2)

    def dense(array: NDArray[Any]) -> NDArray[Any]:
        made = np.zeros(shape, dtype=array.dtype)
        np.add.at(made, place, array)
        return made

    cube = Cube(
        attributes=roles.sensitive,
        levels=tuple(levels),
        counts=dense(cells.counts),
        weights=None if cells.weights is None else dense(cells.weights),
        squares=None if cells.squares is None else dense(cells.squares),
    )
    return cube, told


def _labels(cells: Cells, column: int, name: str) -> classes.Found:
    rows = np.zeros(len(cells.values[column]), dtype=np.int64)
    np.add.at(rows, cells.codes[column], cells.counts)
    return classes.Found(
        name=name, labels=tuple(cells.values[column]), rows=tuple(rows.tolist()), at_least=cells.at_least
    )


def _check_weights(weights: Floats, lowest: float) -> None:
    if not (np.isfinite(weights).all() and lowest >= 0 and weights.sum() > 0):
        raise DataError(
            "sample_weight holds NaN, infinite or negative numbers, or only zeros", expected="numbers of 0 or more"
        )
    check_extent(weights)


def text_of(value: Any) -> str:
    """Return the name of the level that a value of a sensitive column is."""
    kind, value = identity(value)
    return MISSING if kind is type(None) else str(value)


def levels_of(values: Sequence[Any], name: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the position of each value among the levels of its column, and their sorted names.

    Parameters
    ----------
    values : sequence
        Values that occur; missing ones are a level of their own.
    name : str
        Of the column.

    Raises
    ------
    DataError
        If the column is continuous, holds durations, or has two values that read the same, such as 1 and "1".
    """
    found = [identity(value) for value in values]
    distinct = list(dict.fromkeys(found))
    check_discrete((value for _, value in distinct), name)
    if any(issubclass(kind, timedelta) or kind.__name__ == "MonthDayNano" for kind, _ in distinct):
        raise DataError(f"{name!r} has durations", expected="groups", next_step="name them as text or whole numbers")
    names = {one: text_of(one[1]) for one in distinct}
    twice = classes.alike(names.values())[:6]
    if twice:
        raise DataError(
            f"{name!r} has different values that read the same: {', '.join(twice)}",
            expected="distinct names",
            next_step="write every group in one way",
        )
    ordered = tuple(sorted(names.values()))
    place = {text: index for index, text in enumerate(ordered)}
    return np.array([place[names[one]] for one in found], dtype=np.intp), ordered
