r"""What each group of leaves gives to each player, tabulated for every index: exact Shapley values of two games.

A leaf with value :math:`v` and :math:`k` players on its path is a product of one factor per player. For a row, let
:math:`o_i \in \{0, 1\}` say whether it satisfies all that the path asks of player :math:`i`. The two games differ in what a
player gives that is *not* in the coalition :math:`S`:

.. math:: g(S) = v \prod_{i \in S} o_i \prod_{i \notin S} z_i

- *Path-dependent* (Lundberg et al., Nature Machine Intelligence 2, 2020, algorithm 2): :math:`z_i` is the share of the
  training rows that went along, by the covers of the player's nodes on the path. Below a node that no training row reached there is
  no such share, and of a leaf with :math:`v = 0` it does not matter, as in the empty leaves of CatBoost.
- *Interventional* (the same, section 3.3; Janzing, Minorics, Bloebaum, AISTATS 2020): :math:`z_i \in \{0, 1\}` says whether
  a row of the background satisfies it, and the game is the mean over the background.

**Path-dependent.** The multilinear extension of a product is the product of the extensions, so by Owen (Management Science
18, 1972)

.. math:: \varphi_j = v\,(o_j - z_j) \int_0^1 \prod_{i \ne j} (t\,o_i + (1 - t)\,z_i)\,dt.

The integrand is a polynomial of degree :math:`k - 1` in :math:`t`, so Gauss-Legendre quadrature with
:math:`\lceil k / 2 \rceil` points is exact.

**Interventional.** Let :math:`m` be the set of players that the row satisfies, :math:`n = k - |m|`, and :math:`b` that of a
background row. Where some player is satisfied by neither, the leaf is never reached; so only the rows with
:math:`A = \bar b \subseteq m` matter, the players of :math:`A` have to be in the coalition and those outside :math:`m` must
not. The Shapley values of such a game are :math:`(|A| - 1)!\,n!/(|A| + n)!` for each player of :math:`A`, and
:math:`-|A|!\,(n - 1)!/(|A| + n)!` for each outside :math:`m`. With :math:`R_s(m)` the number of background rows with
:math:`A \subseteq m, |A| = s`,

.. math::
    \varphi_j = \frac{v}{N} \sum_{s \ge 1} \bigl(R_s(m) - R_s(m \setminus j)\bigr) \frac{(s - 1)!\,n!}{(s + n)!}
    \quad (j \in m), \qquad
    \varphi_j = -\frac{v}{N} \sum_{s \ge 0} R_s(m) \frac{s!\,(n - 1)!}{(s + n)!} \quad (j \notin m).

:math:`R` is a sum over subsets (a ranked zeta transform), in whole numbers: no rounding. The cost is
:math:`2^k k^2` whatever the size of the background.

Both depend on the row through :math:`o` alone, and :math:`o` follows from the group's index. So a table with one entry per
index holds everything, and looking it up loses nothing.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.compiled import compiled
from ml_governance.assess.tree_layout import MAX_BITS
from ml_governance.assess.trees import TreesRefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.tree_layout import Layout

    Floats = NDArray[np.float64]


def by_cover(layout: Layout) -> tuple[Floats, Floats]:
    """Tabulate the path-dependent game.

    Parameters
    ----------
    layout : Layout

    Returns
    -------
    table : array of float64, shape (entries,)
        By group, slot and index.
    expected : array of float64, shape (outputs,)
        The game of the empty coalition, without the base of the ensemble.

    Raises
    ------
    TreesRefusedError
        If a leaf that adds to the output is below a node that no training row reached: its covers say nothing.
    """
    of_leaf = np.repeat(layout.leaf_value, np.diff(layout.leaf_part_start))
    if np.any(np.isnan(layout.part_ratio) & (of_leaf != 0)):
        raise TreesRefusedError(
            "a node has the cover 0 and leaves other than 0, so the shares of its children are undefined",
            expected="trees with the weight of the training rows in each node, or a background to compare with",
        )
    points, weights = _quadrature()
    table, expected = np.zeros(layout.group_table_start[-1]), np.zeros(layout.outputs)
    compiled(_fill_by_cover)(*_arrays(layout), np.nan_to_num(layout.part_ratio), points, weights, table, expected)
    return table, expected


def by_background(layout: Layout, counts: NDArray[np.int64], rows: int) -> tuple[Floats, Floats]:
    """Tabulate the interventional game.

    Parameters
    ----------
    layout : Layout
    counts : array of int64, one entry per group and index
        How many background rows have that index.
    rows : int
        How many background rows there are, at least 1.

    Returns
    -------
    table : array of float64, shape (entries,)
        By group, slot and index.
    expected : array of float64, shape (outputs,)
        Mean of the trees over the background, without the base of the ensemble.
    """
    table, expected = np.zeros(layout.group_table_start[-1]), np.zeros(layout.outputs)
    factorials = np.array([float(math.factorial(n)) for n in range(MAX_BITS + 2)])
    compiled(_fill_by_background)(*_arrays(layout), layout.group_index_start, counts, rows, factorials, table, expected)
    return table, expected


def _arrays(layout: Layout) -> tuple[Any, ...]:
    return (
        layout.group_bits, layout.group_leaf_start, layout.group_table_start, layout.group_output,
        layout.leaf_value, layout.leaf_part_start, layout.part_slot, layout.part_mask,
        layout.part_want,
    )  # fmt: skip


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Return points and weights on [0, 1], by number of points."""
    points = np.zeros((MAX_BITS // 2 + 2, MAX_BITS // 2 + 1))
    weights = points.copy()
    for n in range(1, len(points)):
        x, w = np.polynomial.legendre.leggauss(n)
        points[n, :n], weights[n, :n] = (x + 1) / 2, w / 2
    return points, weights


def _fill_by_cover(  # noqa: C901, PLR0912  compiled code is flat
    bits: Any, leaf_start: Any, table_start: Any, output: Any, value: Any, part_start: Any,
    slot: Any, mask: Any, want: Any, ratio: Any, points: Any, weights: Any, table: Any, expected: Any,
) -> None:  # fmt: skip  # pragma: no cover  runs compiled
    most = 1
    for group in range(len(bits)):
        most = max(most, bits[group])
    phi = np.empty((1 << most, most + 1))
    before, after = np.empty(most + 2), np.empty(most + 2)
    for group in range(len(bits)):
        size = 1 << bits[group]
        at = table_start[group]
        for leaf in range(leaf_start[group], leaf_start[group + 1]):
            first = part_start[leaf]
            k = part_start[leaf + 1] - first
            product = value[leaf]
            for j in range(k):
                product *= ratio[first + j]
            expected[output[group]] += product
            n = (k + 1) // 2
            for m in range(1 << k):
                for j in range(k):
                    phi[m, j] = 0.0
                for q in range(n):
                    t = points[n, q]
                    before[0] = 1.0
                    for j in range(k):
                        before[j + 1] = before[j] * (t * ((m >> j) & 1) + (1 - t) * ratio[first + j])
                    after[k] = weights[n, q]
                    for j in range(k - 1, -1, -1):
                        phi[m, j] += before[j] * after[j + 1]
                        after[j] = after[j + 1] * (t * ((m >> j) & 1) + (1 - t) * ratio[first + j])
                for j in range(k):
                    phi[m, j] *= value[leaf] * (((m >> j) & 1) - ratio[first + j])
            for index in range(size):
                m = 0
                for j in range(k):
                    m |= ((index & mask[first + j]) == want[first + j]) << j
                for j in range(k):
                    table[at + slot[first + j] * size + index] += phi[m, j]


def _fill_by_background(  # noqa: C901, PLR0912  compiled code is flat
    bits: Any, leaf_start: Any, table_start: Any, output: Any, value: Any, part_start: Any,
    slot: Any, mask: Any, want: Any, index_start: Any, counts: Any, rows: Any, factorials: Any, table: Any, expected: Any,
) -> None:  # fmt: skip  # pragma: no cover  runs compiled
    most = 1
    for group in range(len(bits)):
        most = max(most, bits[group])
    phi = np.empty((1 << most, most + 1))
    subsets = np.empty((1 << most, most + 1))
    pattern = np.empty(1 << most, dtype=np.int32)
    for group in range(len(bits)):
        size = 1 << bits[group]
        at = table_start[group]
        for leaf in range(leaf_start[group], leaf_start[group + 1]):
            first = part_start[leaf]
            k = part_start[leaf + 1] - first
            full = (1 << k) - 1
            for m in range(full + 1):
                for s in range(k + 1):
                    subsets[m, s] = 0.0
            for index in range(size):
                m = 0
                for j in range(k):
                    m |= ((index & mask[first + j]) == want[first + j]) << j
                pattern[index] = m
                lacks = full ^ m
                s = 0
                for j in range(k):
                    s += (lacks >> j) & 1
                subsets[lacks, s] += counts[index_start[group] + index]
            for j in range(k):
                for m in range(full + 1):
                    if (m >> j) & 1:
                        for s in range(k + 1):
                            subsets[m, s] += subsets[m ^ (1 << j), s]
            expected[output[group]] += value[leaf] * subsets[0, 0] / rows
            for m in range(full + 1):
                held = 0
                for j in range(k):
                    held += (m >> j) & 1
                n = k - held
                inside, outside = 0.0, 0.0
                for s in range(held + 1):
                    if s:
                        inside += subsets[m, s] * factorials[s - 1] * factorials[n] / factorials[s + n]
                    if n:
                        outside -= subsets[m, s] * factorials[s] * factorials[n - 1] / factorials[s + n]
                for j in range(k):
                    if (m >> j) & 1:
                        without = 0.0
                        for s in range(1, held):
                            less = subsets[m ^ (1 << j), s]
                            without += less * factorials[s - 1] * factorials[n] / factorials[s + n]
                        phi[m, j] = (inside - without) * value[leaf] / rows
                    else:
                        phi[m, j] = outside * value[leaf] / rows
            for index in range(size):
                m = pattern[index]
                for j in range(k):
                    table[at + slot[first + j] * size + index] += phi[m, j]
