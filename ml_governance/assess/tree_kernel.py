"""Exact Shapley values of trees by looking up: code the rows, follow each tree's steps, add what the tables hold.

What the tables hold, and why looking them up is exact, is told in :mod:`ml_governance.assess.tree_tables`. The work per row
does not depend on the size of the background. Rows are dealt to threads in parts; results do not depend on how many.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.assess import tree_reach, tree_tables
from ml_governance.assess.compiled import compiled
from ml_governance.assess.tree_layout import BATCH, DOWN, LOOK, lay_out
from ml_governance.assess.trees import AS_ZERO, RIGHT
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.tree_layout import Layout
    from ml_governance.assess.trees import Ensemble

    Floats = NDArray[np.float64]

VERSION = "2"
"""Of the numbers: it grows when the same trees and rows give others."""

_BLOCK = 4096
_SUMS = 1 << 22
"""Sums of a block, at most, unless a block is of 256 rows."""

_PART, _LEAST = 8192, 2048
"""Rows of a thread's part, at most and at least."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeKernel:
    """Trees ready to be explained.

    Parameters
    ----------
    layout : Layout
    table : array of float64, shape (entries,)
    base : array of float64, shape (outputs,)
        Output of the empty coalition: the mean over the background, or by the covers.
    columns : int
        How many columns a row has.
    """

    layout: Layout
    table: Floats
    base: Floats
    columns: int

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        *,
        background: Floats | None = None,
        players: Sequence[int] | None = None,
        threads: int | None = None,
    ) -> Self:
        """Tabulate an ensemble.

        Parameters
        ----------
        ensemble : Ensemble
        background : array of float64, shape (rows, columns), optional
            Rows that an absent player takes its values from: the interventional game. None is the path-dependent game.
        players : sequence of int, optional
            Which player a column belongs to, from 0; default is one player for each column.
        threads : int, optional
            Default is one for each core.

        Raises
        ------
        TreesRefusedError
            If the trees do not fit tables.
        DataError
            If the background has no rows, or not these columns.
        """
        layout = lay_out(ensemble, range(ensemble.columns) if players is None else players)
        if background is None:
            table, expected = tree_tables.by_cover(layout)
        else:
            if len(background) == 0:
                raise DataError("the background has no rows", expected="at least one row to compare with")
            counts = _counted(layout, _checked(background, ensemble.columns), threads or _cores())
            table, expected = tree_tables.by_background(layout, counts, len(background))
        return cls(layout=layout, table=table, base=ensemble.base + expected, columns=ensemble.columns)

    def values(self, rows: Floats, *, threads: int | None = None) -> Floats:
        """Attribute the output of each row to the players.

        Parameters
        ----------
        rows : array of float64, shape (n, columns)
        threads : int, optional
            Default is one for each core.

        Returns
        -------
        array of float64, shape (n, players, outputs)
            In units of the output; with the base they sum to it.
        """
        rows = _checked(rows, self.columns)
        found = np.zeros((len(rows), self.layout.outputs * self.layout.players))

        def work(part: slice) -> None:
            compiled(_walk)(
                _coded(self.layout, rows[part]),
                *_steps(self.layout),
                self.table,
                found[part],
                np.zeros(0, np.int64),
                _words(found.shape[1]),
            )

        _spread(work, len(rows), threads or _cores())
        return found.reshape(len(rows), self.layout.outputs, self.layout.players).transpose(0, 2, 1)

    def reach(self) -> tuple[Floats, Floats]:
        """Return what no attribution of any row can be below and above, each of shape (players, outputs): see :mod:`.tree_reach`."""
        return tree_reach.reach(self.layout, self.table)


def _counted(layout: Layout, rows: Floats, threads: int) -> NDArray[np.int64]:
    """Count the rows at each index of each group."""
    kept: list[NDArray[np.int64]] = []

    def work(part: slice) -> None:
        counts = np.zeros(layout.group_index_start[-1], dtype=np.int64)
        nothing = np.zeros(0)
        for start in range(part.start, part.stop, 8 * _PART):
            codes = _coded(layout, rows[start : min(start + 8 * _PART, part.stop)])
            compiled(_walk)(codes, *_steps(layout), nothing, np.zeros((0, 0)), counts, _words(1))
        kept.append(counts)

    size = -(-len(rows) // threads)
    _spread(work, len(rows), threads, size=max(size, _PART))
    total: NDArray[np.int64] = np.sum(kept, axis=0, dtype=np.int64)
    return total


def _spread(work: Callable[[slice], None], rows: int, threads: int, size: int = _PART) -> None:
    # As many parts for one thread as for another, so that none waits.
    turns = max(-(-rows // (threads * size)), 1)
    size = max(-(-rows // (threads * turns)), _LEAST)
    parts = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
    if threads == 1 or len(parts) < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked(rows: Floats, columns: int) -> Floats:
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise DataError(f"the rows have the shape {rows.shape}", expected=f"(n, {columns}), as the trees were grown")
    return rows


def _coded(layout: Layout, rows: Floats) -> NDArray[np.uint16]:
    if layout.single:
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32).astype(np.float64)
    codes = np.empty((len(layout.plane_column), len(rows)), dtype=np.uint16)
    compiled(_code)(
        rows, layout.plane_column, layout.plane_missing, layout.plane_kind, layout.plane_edges_start, layout.plane_edges,
        layout.strict, codes,
    )  # fmt: skip
    return codes


def _steps(layout: Layout) -> tuple[Any, ...]:
    return (
        layout.steps, layout.depth, layout.node_plane, layout.node_cut,
        layout.node_member, layout.members, layout.group_path, layout.group_node_start,
        layout.nodes, layout.group_index_start, layout.look_start, layout.look_target, layout.look_group,
        layout.look_table,
    )  # fmt: skip


def _words(width: int) -> NDArray[np.uint64]:
    """Return room for the indices of a block of rows at a batch of groups, two rows to a word."""
    return np.zeros((BATCH, min(_BLOCK, max(_SUMS // width, 256)) // 2), dtype=np.uint64)


def _code(
    rows: Any, column: Any, missing: Any, kind: Any, start: Any, edges: Any, strict: Any, codes: Any
) -> None:  # pragma: no cover  runs compiled
    """Replace values by ranks: a row goes left at a threshold exactly where its rank is at most the threshold's."""
    for begin in range(0, len(rows), 256):  # so many rows stay in the cache while all planes are made
        for plane in range(len(column)):
            own = edges[start[plane] : start[plane + 1]]
            size = len(own)
            listed = kind[plane] == 1
            same = strict and not listed
            for row in range(begin, min(begin + 256, len(rows))):
                x = rows[row, column[plane]]
                if np.isnan(x):
                    if listed:
                        codes[plane, row] = size + 1
                        continue
                    if missing[plane] != AS_ZERO:
                        codes[plane, row] = size if missing[plane] == RIGHT else 0
                        continue
                    x = 0.0
                # Steps without a branch, which no processor could guess.
                low, left = 0, size
                while left > 0:
                    step = (left + 1) >> 1
                    edge = own[low + step - 1]
                    low += step * ((edge < x) | (same & (edge == x)))
                    left -= step
                if listed and (low == size or own[low] != x):
                    low = size
                codes[plane, row] = low


def _walk(  # noqa: C901, PLR0912, PLR0915  compiled code is flat
    codes: Any, steps: Any, depth: Any, node_plane: Any, node_cut: Any, node_member: Any, members: Any, group_path: Any,
    node_start: Any, nodes: Any, index_start: Any, look_start: Any, look_target: Any, look_group: Any, look_table: Any,
    table: Any, found: Any, counts: Any, words: Any,
) -> None:  # fmt: skip  # pragma: no cover  runs compiled
    """Follow every tree's steps for all rows: add up what the tables hold, or with no table count the indices."""
    counting = len(counts) > 0
    width, groups = found.shape[1], len(node_start) - 1
    batch, block = words.shape[0], 2 * words.shape[1]
    goes = np.empty((depth + 1, block), dtype=np.uint8)
    path = np.zeros((depth + 1, block), dtype=np.uint32)
    # Two rows share a word: a look-up is bound by how much it reads.
    indices = words.view(np.uint32)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    sums = np.empty((width, block))
    for begin in range(0, codes.shape[1], block):
        end = min(begin + block, codes.shape[1])
        size = end - begin
        sums[:] = 0.0
        for step in range(len(steps)):
            if steps[step, 0] == LOOK:
                node = steps[step, 1]
                went = goes[steps[step, 2]]
                code = codes[node_plane[node], begin:end]
                if node_member[node] < 0:
                    cut = np.uint16(node_cut[node])
                    for row in range(size):
                        went[row] = code[row] <= cut
                else:
                    answers = members[node_member[node] :]
                    for row in range(size):
                        went[row] = answers[code[row]]
            elif steps[step, 0] == DOWN:
                at = steps[step, 1]
                went = goes[at]
                above, below = path[at], path[at + 1]
                shift, wanted = np.uint32(steps[step, 2]), np.uint8(steps[step, 3])
                if steps[step, 4] == 1:
                    for row in range(size):
                        below[row] = above[row] | (np.uint32(went[row] == wanted) << shift)
                else:
                    for row in range(size):
                        below[row] = above[row] & ~(np.uint32(went[row] != wanted) << shift)
            else:
                group = steps[step, 1]
                above = path[steps[step, 2]]
                index = indices[group % batch]
                index[size : size + 1] = 0
                for row in range(size):
                    index[row] = above[row]
                for place in range(node_start[group], node_start[group + 1]):
                    node = nodes[place]
                    shift = np.uint32(group_path[group] + place - node_start[group])
                    code = codes[node_plane[node], begin:end]
                    if node_member[node] < 0:
                        cut = np.uint16(node_cut[node])
                        for row in range(size):
                            index[row] |= np.uint32(code[row] <= cut) << shift
                    else:
                        answers = members[node_member[node] :]
                        for row in range(size):
                            index[row] |= np.uint32(answers[code[row]]) << shift
                if counting:
                    own = counts[index_start[group] : index_start[group + 1]]
                    for row in range(size):
                        own[index[row]] += 1
                    continue
                if (group + 1) % batch and group + 1 < groups:
                    continue
                at, stop = look_start[group // batch], look_start[group // batch + 1]
                while at < stop:
                    total = sums[look_target[at]]
                    a, v = words[look_group[at] % batch], table[look_table[at] :]
                    if at + 3 < stop and look_target[at + 3] == look_target[at]:
                        b, w = words[look_group[at + 1] % batch], table[look_table[at + 1] :]
                        c, x = words[look_group[at + 2] % batch], table[look_table[at + 2] :]
                        d, y = words[look_group[at + 3] % batch], table[look_table[at + 3] :]
                        for pair in range((size + 1) // 2):
                            i, j, k, m = a[pair], b[pair], c[pair], d[pair]
                            total[2 * pair] += (v[i & low] + w[j & low]) + (x[k & low] + y[m & low])
                            total[2 * pair + 1] += (v[i >> half] + w[j >> half]) + (x[k >> half] + y[m >> half])
                        at += 4
                    else:
                        for pair in range((size + 1) // 2):
                            i = a[pair]
                            total[2 * pair] += v[i & low]
                            total[2 * pair + 1] += v[i >> half]
                        at += 1
        for player in range(width):
            for row in range(size):
                found[begin + row, player] = sums[player, row]
