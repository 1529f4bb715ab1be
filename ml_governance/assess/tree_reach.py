"""How small and how large the attributions of any row can be: what bounds a mean of them without an assumption.

A row answers each question of a tree one way, so it cannot satisfy two paths at once. The largest sum of all that a tree's tables hold
for a player follows from the leaves up: below a question, the larger of what its two answers allow, each answer being a path kept on one
side and a path left on the other. Answers are taken for independent of each other, within a tree and between trees, so a row that
reaches a bound need not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.tree_layout import DOWN, TABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.tree_layout import Layout

    Floats = NDArray[np.float64]
    _Bound = tuple[NDArray[np.intp], Floats]


def reach(layout: Layout, table: Floats) -> tuple[Floats, Floats]:
    """Return what no attribution of any row can be below and above.

    Parameters
    ----------
    layout : Layout
    table : array of float64, shape (entries,)

    Returns
    -------
    low, high : array of float64, shape (players, outputs)
        In units of the output.
    """
    sums = np.zeros((2, layout.outputs * layout.players))
    ready: list[_Bound] = []
    bit, is_new = 0, 0
    for what, one, two, _, four in reversed(layout.steps.tolist()):
        if what == DOWN:  # of a question's two sides, the left one comes before it
            bit, is_new = two, four
            continue
        ready.append(
            _of_group(layout, table, one) if what == TABLE else _of_question(ready.pop(), ready.pop(), bit, is_new)
        )
        if two == 0:
            places, bounds = ready.pop()
            sums[:, places] += bounds[:, :, 0]
    low, high = (sign * own.reshape(layout.outputs, layout.players).T for sign, own in zip((-1, 1), sums, strict=True))
    return low, high


def _of_group(layout: Layout, table: Floats, group: int) -> _Bound:
    """Return by slot and bits of the path: the largest of minus and of plus what the table holds, whatever the group's own answers."""
    first, last = layout.group_slot_start[group : group + 2]
    path, bits = int(layout.group_path[group]), int(layout.group_bits[group])
    held = table[layout.group_table_start[group] : layout.group_table_start[group + 1]]
    held = held.reshape(last - first, 1 << (bits - path), 1 << path)
    places = layout.slots[first:last] + int(layout.group_output[group]) * layout.players
    return places.astype(np.intp), np.stack([-held.min(axis=1), held.max(axis=1)])


def _of_question(left: _Bound, right: _Bound, bit: int, is_new: int) -> _Bound:
    """Return the bounds above a question: the answer keeps the path on one side, and leaves it on the other."""
    places: Any = np.union1d(left[0], right[0])
    kept, gone = [], []
    for own, bounds in (left, right):
        wide = np.zeros((2, len(places), bounds.shape[2]))
        wide[:, np.searchsorted(places, own)] = bounds
        patterns = np.arange(bounds.shape[2] >> is_new)
        kept.append(wide[:, :, patterns | is_new << bit])
        gone.append(wide[:, :, patterns & ~(1 << bit)])
    return places, np.maximum(kept[0] + gone[1], gone[0] + kept[1])
