"""The 2 x 2 tables of all rows and of every group, one under the other, so that one array operation serves them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTables:
    """Tables by label, then prediction; the first is of all rows.

    Parameters
    ----------
    bys : tuple of tuple of str
        Attributes, or crossings of them.
    spans : tuple of slice
        Where the groups of each of them stand.
    by, group : tuple of tuple of str
        Attributes and levels of each table; empty for all rows.
    rows : tuple of int
        Rows of each table.
    counts : array of int64, shape (4, tables)
        True negatives, false positives, false negatives, true positives: rows.
    weights, squares : array of float64, shape (4, tables), or None
        Sums of weights and of their squares, as the cube has them.
    """

    bys: tuple[tuple[str, ...], ...]
    spans: tuple[slice, ...]
    by: tuple[tuple[str, ...], ...]
    group: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...]
    counts: NDArray[np.int64] = field(repr=False)
    weights: NDArray[np.float64] | None = field(default=None, repr=False)
    squares: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def values(self) -> NDArray[Any]:
        """Sums of weights where there are weights, else counts."""
        return self.counts if self.weights is None else self.weights

    def stacked(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Return rows, weights and squares, each of shape (tables, 2, 2); None where there are no squares."""
        if self.weights is None or self.squares is None:
            return None
        rows, weights, squares = (one.T.reshape(-1, 2, 2) for one in (self.counts, self.weights, self.squares))
        return rows, weights, squares

    @classmethod
    def of(cls, cube: Cube, bys: Sequence[tuple[str, ...]]) -> Self:
        """Cut a cube into tables; groups without rows are left out."""
        own = [cube.marginal(names) for names in bys]
        there = [one.counts.reshape(-1, 4).any(axis=1) for one in own]
        group: list[tuple[str, ...]] = [()]
        by: list[tuple[str, ...]] = [()]
        spans = []
        for one, kept in zip(own, there, strict=True):
            places = np.argwhere(kept.reshape(one.counts.shape[:-2])).tolist()
            spans.append(slice(len(group), len(group) + len(places)))
            group += [tuple([names[at] for names, at in zip(one.levels, place, strict=True)]) for place in places]
            by += [one.attributes] * len(places)

        def stacked(whole: NDArray[Any], parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
            kept = [part.reshape(-1, 4)[own] for part, own in zip(parts, there, strict=True)]
            made: NDArray[Any] = np.concatenate([whole.reshape(-1, 4).sum(axis=0)[None], *kept]).T.copy()
            return made

        counts = stacked(cube.counts, [one.counts for one in own])
        weighted = {
            name: stacked(array, [getattr(one, name) for one in own])
            for name in ("weights", "squares")
            if (array := getattr(cube, name)) is not None
        }
        return cls(
            bys=tuple(one.attributes for one in own), spans=tuple(spans), by=tuple(by), group=tuple(group),
            rows=tuple(counts.sum(axis=0).tolist()), counts=counts, **weighted,
        )  # fmt: skip
