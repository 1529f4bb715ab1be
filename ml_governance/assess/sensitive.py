"""Sensitive columns that are given with the rows: read, coded, crossed and spelled out, alike for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import blocks
from ml_governance.assess import cube as cubes
from ml_governance.assess.cells import levels_of
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Codes = tuple[NDArray[np.intp], tuple[str, ...]]
    """Codes of shape (n,) into sorted levels."""


def read(sensitive_features: Any, rows: int) -> dict[str, Codes]:
    """Return every sensitive column as codes into its levels.

    Parameters
    ----------
    sensitive_features : data frame, column or dict of columns
        Groups.
    rows : int
        How many there are to be.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.cube.features` and :func:`codes`.
    """
    return {name: codes(values, name) for name, values in cubes.features(sensitive_features, rows).items()}


def codes(values: Any, name: str) -> Codes:
    """Return a sensitive column as codes into its sorted levels; missing values are a level of their own.

    Parameters
    ----------
    values : array-like of shape (n,)
        As :func:`ml_governance.assess.blocks.column`.
    name : str
        For messages.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.blocks.column` and :func:`ml_governance.assess.cells.levels_of`; or if it is empty.
    """
    found, own = blocks.distinct(values, name)
    if not len(own):
        raise DataError(f"{name} is empty", expected="at least one row")
    table, names = levels_of(found, name)
    return table[own], names


def crossings(names: Sequence[str], *, intersections: bool) -> list[tuple[str, ...]]:
    """Return what is measured by: each attribute, and the crossing of all of them if that is wanted."""
    each: list[tuple[str, ...]] = [(name,) for name in names]
    return [*each, tuple(names)] if intersections and len(names) > 1 else each


def cell(coded: Mapping[str, Codes], rows: int) -> NDArray[np.int64]:
    """Return, for every row, its place in the flattened crossing of all attributes."""
    place = np.zeros(rows, dtype=np.int64)
    for own, levels in coded.values():
        place = place * len(levels) + own
    return place


def spelled(coded: Mapping[str, Codes]) -> dict[str, NDArray[Any]]:
    """Return the columns as text, as the digest of a report takes them."""
    return {f"sensitive: {name}": np.asarray(levels, dtype=object)[own] for name, (own, levels) in coded.items()}
