"""What trees make of every row that a permutation walk visits, without building the rows.

On a walk from a row z to a row x the players go over to x one after the other. A leaf is reached at a state of the walk exactly if every
player that x alone sends there has gone over, and no player that z alone sends there has: an unbroken stretch of states, from the last of
the first to the first of the second. So one descent for each pair of rows and tree, which branches only where x and z part, finds the
output at all states of a walk and of the way back; asking the model takes a row with all its columns for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.assess import sampled, tree_explanation
from ml_governance.assess.compiled import compiled
from ml_governance.assess.trees import AS_ZERO, LEFT
from ml_governance.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.sampled import Play, Ways
    from ml_governance.assess.tree_explanation import Trees
    from ml_governance.assess.trees import Ensemble, Tree

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

MAX_PLACES = 1 << 28
"""Bytes that where rows go in all trees may take: with a background of more the model itself is asked, and rows go block by block."""

_ROWS, _OTHERS = 2, 3
"""Of these the states are built as well, and the model is asked: it has to say the same."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeWalks:
    """Trees, and where the rows of a background go in them.

    Parameters
    ----------
    ensemble : Ensemble
        The trees.
    start : array of int64, shape (trees + 1,)
        Where the nodes of each tree begin.
    left, right, player : array of int32, shape (nodes,)
        Children, counted from the tree's start; -1 in both makes a leaf.
    value : array of float64, shape (nodes,)
    output : array of int32, shape (trees,)
        To which output a tree adds.
    there : array of bool, shape (background rows, nodes)
        Whether a row of the background goes left.
    """

    ensemble: Ensemble
    start: Places
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    player: NDArray[np.int32]
    value: Floats
    output: NDArray[np.int32]
    there: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, ensemble: Ensemble, *, background: Floats, players: Sequence[int]) -> Self:
        """Send the background down every tree.

        Parameters
        ----------
        ensemble : Ensemble
        background : array of float64, shape (n, columns of the ensemble)
        players : sequence of int, one for each column of the ensemble
            Which player a column belongs to, from 0.
        """
        trees, owner = ensemble.trees, np.asarray(players, dtype=np.int32)
        return cls(
            ensemble=ensemble, there=_all_nodes(ensemble, background),
            start=np.concatenate([[0], np.cumsum([len(tree.left) for tree in trees])]).astype(np.int64),
            left=np.concatenate([tree.left for tree in trees]), right=np.concatenate([tree.right for tree in trees]),
            player=np.concatenate([owner[np.where(tree.left >= 0, tree.feature, 0)] for tree in trees]),
            value=np.concatenate([tree.value for tree in trees]),
            output=np.array([tree.output for tree in trees], dtype=np.int32),
        )  # fmt: skip

    def outputs(self, rows: Floats, others: Places, rank: Places) -> Floats:
        """Return the output at every state of the walks.

        Parameters
        ----------
        rows : array of float64, shape (n, columns of the ensemble)
        others : array of int64, shape (n, walks)
            Place of the background row that each walk to a row begins from.
        rank : array of int64, shape (n * walks, players)
            When each player goes over, from 0. Players that no tree asks for are counted as well.

        Returns
        -------
        array of float64, shape (n * walks, 2 * players, outputs)
            States 0 to ``players`` have the players of a rank below it from the row; state ``players`` + s, with s from 1 to
            ``players`` - 1, has those of rank s and above.
        """
        base, players = self.ensemble.base, rank.shape[1]
        steps = np.zeros((len(rank), 2, players + 2, len(base)))
        # A descent holds one side of every node above it at most.
        ready = np.empty((int(np.diff(self.start).max()) + 1, 5), dtype=np.int64)
        # A block of rows at a time: where a row goes in all trees takes a byte for each node.
        walks, block = others.shape[1], max(1, MAX_PLACES // len(self.left))
        for start in range(0, len(rows), block):
            own = slice(start * walks, (start + block) * walks)
            compiled(_descend)(
                self.start, self.left, self.right, self.player, self.value, self.output,
                _all_nodes(self.ensemble, rows[start : start + block]), self.there, others[start : start + block], rank[own],
                ready, steps[own],
            )  # fmt: skip
        made = np.cumsum(steps, axis=2) + base
        return np.concatenate([made[:, 0, : players + 1], made[:, 1, 1:players]], axis=1)


def ways(trees: Trees, margin: Play, rows: Floats, background: Floats) -> Ways | None:
    """Return what tells the margins at all states of walks between rows, once it says what the model says on a few.

    Parameters
    ----------
    trees : Trees
        The model, and the rows and background as its last step takes them.
    margin : callable
        The model's own margins of rows as ``rows`` are, shape (n,) or (n, classes).
    rows, background : array of float64, shape (n, columns)
        Of the columns that walks go over, in which row i is row i of ``trees``.

    Returns
    -------
    callable or None
        None if the background and the trees are so many that asking the model takes less memory.

    Raises
    ------
    UnavailableError
        If the trees and the model differ.
    """
    ensemble = tree_explanation.read(trees.estimator, "margin")
    if len(background) * sum(len(tree.left) for tree in ensemble.trees) > MAX_PLACES:
        return None
    walks = TreeWalks.of(ensemble, background=trees.background, players=trees.players)

    def asked(part: slice, others: Places, rank: Places) -> Floats:
        made = walks.outputs(trees.rows[part], others, rank)
        made = made.reshape(-1, made.shape[2])
        return made[:, -1] if single else made

    few, compared = min(_ROWS, len(rows)), np.tile(np.arange(min(_OTHERS, len(background))), (min(_ROWS, len(rows)), 1))
    order = np.random.default_rng(0).permuted(np.tile(np.arange(rows.shape[1]), (compared.size, 1)), axis=1)
    told = margin(sampled.states(np.repeat(rows[:few], compared.shape[1], axis=0), background[compared.ravel()], order))
    single = told.ndim == 1
    gap = float(np.abs(asked(slice(0, few), compared, order) - told).max())
    allowed = tree_explanation.allowed(ensemble)
    if not gap <= allowed:
        raise UnavailableError(
            f"the trees miss the model's margin between rows by {gap:.3g}",
            expected=f"at most {allowed:.3g}",
            next_step="report this model: its trees or its preparation were read wrongly, and nothing was recorded",
        )
    return asked


def _all_nodes(ensemble: Ensemble, rows: Floats) -> NDArray[np.bool_]:
    return np.concatenate([goes_left(ensemble, tree, rows) for tree in ensemble.trees], axis=1)


def goes_left(ensemble: Ensemble, tree: Tree, rows: Floats) -> NDArray[np.bool_]:
    """Return whether each row would go left at each node of a tree, shape (rows, nodes); of no meaning at a leaf."""
    if ensemble.single:
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32).astype(np.float64)
    x = rows[:, np.where(tree.left >= 0, tree.feature, 0)]
    gone = np.isnan(x)
    asked = np.where(gone & (tree.missing == AS_ZERO), 0.0, x)
    with np.errstate(invalid="ignore"):
        found = asked < tree.threshold if ensemble.strict else asked <= tree.threshold
    found = np.where(gone & (tree.missing != AS_ZERO), tree.missing == LEFT, found)
    for node, members in tree.members.items():
        known = np.isin(x[:, node], ensemble.categories[int(tree.feature[node])])
        other = tree.missing[node] if tree.other is None else tree.other[node]
        own = np.where(known, np.isin(x[:, node], members), other == LEFT)
        found[:, node] = np.where(gone[:, node], tree.missing[node] == LEFT, own)
    return np.asarray(found, dtype=bool)


def _descend(
    start: Any, left: Any, right: Any, player: Any, value: Any, output: Any, here: Any, there: Any,
    others: Any, rank: Any, ready: Any, steps: Any,
) -> None:  # fmt: skip  # pragma: no cover  runs compiled
    """Add what each leaf gives where its stretch of states begins, and take it off behind its end."""
    players, walks = rank.shape[1], others.shape[1]
    for pair in range(len(rank)):
        row = pair // walks
        mine, theirs = here[row], there[others[row, pair % walks]]
        for tree in range(len(output)):
            root = start[tree]
            # Of the players that have to be the row's, and of those that have to be the other's: the last and the first rank.
            node, last_own, first_own, last_other, first_other = 0, -1, players, -1, players
            waiting = 0
            while True:
                at = root + node
                if left[at] >= 0:
                    own, other = mine[at], theirs[at]
                    to_own, to_other = left[at] if own else right[at], left[at] if other else right[at]
                    if own == other:
                        node = to_own
                        continue
                    when = rank[pair, player[at]]
                    below, above = max(last_other, when), min(first_other, when)
                    if last_own < above or below < first_own:
                        ready[waiting, 0], ready[waiting, 1], ready[waiting, 2] = to_other, last_own, first_own
                        ready[waiting, 3], ready[waiting, 4] = below, above
                        waiting += 1
                    below, above = max(last_own, when), min(first_own, when)
                    if below < first_other or last_other < above:
                        node, last_own, first_own = to_own, below, above
                        continue
                else:
                    if last_own < first_other:
                        steps[pair, 0, last_own + 1, output[tree]] += value[at]
                        steps[pair, 0, first_other + 1, output[tree]] -= value[at]
                    if last_other < first_own:
                        steps[pair, 1, last_other + 1, output[tree]] += value[at]
                        steps[pair, 1, first_own + 1, output[tree]] -= value[at]
                if waiting == 0:
                    break
                waiting -= 1
                node, last_own, first_own = ready[waiting, 0], ready[waiting, 1], ready[waiting, 2]
                last_other, first_other = ready[waiting, 3], ready[waiting, 4]
