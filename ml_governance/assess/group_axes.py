"""Arrays whose first axes are the levels of attributes: summed over attributes, read group by group, and added up.

What the other axes mean, such as label and prediction, is each cube's own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Levels = tuple[tuple[str, ...], ...]
"""The levels of each attribute."""


class ByGroup(Protocol):
    """Numbers by the levels of attributes."""

    @property
    def attributes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def levels(self) -> Levels: ...  # noqa: D102


def marginal(array: NDArray[Any], attributes: Sequence[str], by: Sequence[str]) -> NDArray[Any]:
    """Sum over all attributes but those of ``by``, whose axes come in that order; axes behind the attributes stay."""
    axes = [attributes.index(name) for name in by]
    drop = tuple(axis for axis in range(len(attributes)) if axis not in axes)
    kept = sorted(axes)
    summed: NDArray[Any] = array.sum(axis=drop) if drop else array
    return summed.transpose(*(kept.index(axis) for axis in axes), *range(len(axes), summed.ndim))


def groups(levels: Sequence[tuple[str, ...]], rows: NDArray[Any]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Yield every group that has a row, and its place, in order of the levels.

    Parameters
    ----------
    levels : sequence of tuple of str
        Of each axis.
    rows : array of shape (levels...)
        Rows of each group.
    """
    for place in np.ndindex(*rows.shape):
        if rows[place]:
            yield tuple(names[at] for names, at in zip(levels, place, strict=True)), place


def common_levels(one: ByGroup, other: ByGroup) -> Levels:
    """Return the levels that either of two has, sorted.

    Raises
    ------
    DataError
        If the attributes differ.
    """
    if one.attributes != other.attributes:
        raise DataError(f"the cubes are by {one.attributes} and {other.attributes}", expected="the same attributes")
    return tuple(tuple(sorted({*a, *b})) for a, b in zip(one.levels, other.levels, strict=True))


def added(levels: Levels, *parts: tuple[Levels, NDArray[Any]]) -> NDArray[Any]:
    """Add up arrays of one kind over common levels.

    Parameters
    ----------
    levels : tuple of tuple of str
        Of the sum.
    *parts : (tuple of tuple of str, array)
        The levels that an array has, and the array; axes behind its levels stay.
    """
    (own, first), *_ = parts
    wide: NDArray[Any] = np.zeros((*map(len, levels), *first.shape[len(own) :]), dtype=first.dtype)
    for own, array in parts:
        places = [[every.index(level) for level in some] for every, some in zip(levels, own, strict=True)]
        wide[np.ix_(*places, *map(range, array.shape[len(own) :]))] += array
    return wide
