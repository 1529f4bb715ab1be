"""Cuts trees into groups small enough to tabulate, and lays out what a row has to be asked to find its place.

A group is a subtree of at most three inner nodes, together with the path from the root to it. What its leaves give to
every player follows from a few bits: for each player on the path, whether the row satisfies *all* that the path asks of
that player, and for each question of the group, whether the row goes left. The bits are the index into the group's
table. A path that asks one player many times takes one bit, and so do nodes that ask the same question: an oblivious tree, where
each level asks one, is a group as a whole up to eight levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.assess.trees import LEFT, Ensemble, Tree, TreesRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

GROUP = 3
"""Inner nodes of a group, at most, unless whole levels ask one question."""

LEVELS = 8
"""Such levels of a group, at most."""

BATCH = 64
"""Groups whose indices are found before their tables are looked up, player by player."""

MAX_BITS = 18
"""Bits of an index, at most: a group's table has 2^18 entries for each of its players."""

MAX_ENTRIES = 1 << 27
"""Entries of all tables, at most: 1 GiB."""

MAX_DEPTH = 512
_NEVER = 1 << 30
"""Wanted of an index that has no such bit: of a leaf that no row reaches."""
MAX_CODES = 65_535

LOOK, DOWN, TABLE = 0, 1, 2
"""Steps of a tree's program: ask a node; take a path one node further; look a group up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """All trees as flat arrays; ``x_start[i]:x_start[i + 1]`` are the parts of ``i``.

    Rows are coded once: a *plane* is a column as ranks among the thresholds that the trees hold against it, so that every
    question is one comparison of small integers. A column has a plane for each place that its missing values go to.

    Parameters
    ----------
    players, outputs : int
        Width of an attribution.
    strict, single : bool
        As in :class:`~ml_governance.assess.trees.Ensemble`.
    plane_column, plane_missing, plane_kind : array of int32
        Column, place of missing values, and 1 for categories.
    plane_edges_start : array of int64
    plane_edges : array of float64
        Thresholds or categories, ascending.
    node_plane, node_cut : array of int32
        A row goes left where its code is at most the cut.
    node_member : array of int64
        For categories: where the node's answers by code start in ``members``; else -1.
    members : array of uint8
    steps : array of int32, shape (steps, 5)
        ``LOOK node depth``; ``DOWN depth bit goes-left is-new``; ``TABLE group depth``.
    depth : int
        Longest path.
    group_bits, group_path : array of int32
        Bits of the index, and how many of them belong to the path.
    group_node_start, group_slot_start, group_leaf_start : array of int64
    group_index_start, group_table_start : array of int64
        Into arrays with one entry per index, and one per slot and index.
    group_output : array of int32
    nodes : array of int32
        Questions of each group, as nodes.
    slots : array of int32
        Players of each group.
    leaf_value : array of float64
    leaf_part_start : array of int64
    part_slot : array of int32
        One part for each player on a leaf's path: its slot in the group,
    part_mask, part_want : array of int32
        which bits of the index have to be what for the row to satisfy all that is asked of it,
    part_ratio : array of float64
        and the share of the training rows that did, by the covers along the path.
    look_start : array of int64
        By batch of groups: its look-ups, those of one player together.
    look_target, look_group : array of int32
        Place in an attribution, output by output, and the group.
    look_table : array of int64
        Where the table of the group and player starts.
    """

    players: int
    outputs: int
    strict: bool
    single: bool
    depth: int
    plane_column: NDArray[np.int32]
    plane_missing: NDArray[np.int32]
    plane_kind: NDArray[np.int32]
    plane_edges_start: NDArray[np.int64]
    plane_edges: NDArray[np.float64]
    node_plane: NDArray[np.int32]
    node_cut: NDArray[np.int32]
    node_member: NDArray[np.int64]
    members: NDArray[np.uint8]
    steps: NDArray[np.int32]
    group_bits: NDArray[np.int32]
    group_path: NDArray[np.int32]
    group_node_start: NDArray[np.int64]
    group_slot_start: NDArray[np.int64]
    group_leaf_start: NDArray[np.int64]
    group_index_start: NDArray[np.int64]
    group_table_start: NDArray[np.int64]
    group_output: NDArray[np.int32]
    nodes: NDArray[np.int32]
    slots: NDArray[np.int32]
    leaf_value: NDArray[np.float64]
    leaf_part_start: NDArray[np.int64]
    part_slot: NDArray[np.int32]
    part_mask: NDArray[np.int32]
    part_want: NDArray[np.int32]
    part_ratio: NDArray[np.float64]
    look_start: NDArray[np.int64]
    look_target: NDArray[np.int32]
    look_group: NDArray[np.int32]
    look_table: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """A tree as lists, which Python reads several times faster than arrays."""

    tree: Tree
    left: list[int]
    right: list[int]
    player: list[int]
    cover: list[float]
    value: list[float]
    question: list[tuple[float, ...]]

    @classmethod
    def of(cls, tree: Tree, players: NDArray[np.int64]) -> Self:
        return cls(
            tree=tree,
            left=tree.left.tolist(),
            right=tree.right.tolist(),
            player=players[np.where(tree.left >= 0, tree.feature, 0)].tolist(),
            cover=tree.cover.tolist(),
            value=tree.value.tolist(),
            question=[
                (node,) if node in tree.members else asked
                for node, asked in enumerate(
                    zip(tree.feature.tolist(), tree.threshold.tolist(), tree.missing.tolist(), strict=True)
                )
            ],
        )

    def share(self, node: int, child: int) -> float:
        """Return the share of a node's rows that went to a child; NaN where there were none."""
        return self.cover[child] / self.cover[node] if self.cover[node] > 0 else float("nan")

    def asked(self, root: int, inner: int) -> dict[tuple[float, ...], int] | None:
        """Return the questions of a subtree, each with a node that asks it, or None if it is no group.

        Parameters
        ----------
        root, inner : int
            The subtree, and how many inner nodes it has.
        """
        levels = (inner + 1).bit_length() - 1
        most = inner if inner <= GROUP else levels if inner + 1 == 1 << levels and levels <= LEVELS else 0
        found: dict[tuple[float, ...], int] = {}
        ready = [root] if most else []
        while ready and len(found) <= most:
            node = ready.pop()
            if self.left[node] >= 0:
                found.setdefault(self.question[node], node)
                ready += [self.right[node], self.left[node]]
        return found if len(found) <= most and (most or inner == 0) else None


@dataclass(slots=True, kw_only=True)
class _Planes:
    """Planes and nodes while they are found."""

    ensemble: Ensemble
    edges: dict[int, NDArray[np.float64]]
    ranks: dict[int, dict[float, int]]
    found: dict[tuple[int, int, int], int] = field(default_factory=dict)
    node_plane: list[int] = field(default_factory=list)
    node_cut: list[int] = field(default_factory=list)
    node_member: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)

    def add(self, tree: Tree, node: int) -> int:
        """Add a node; return its number."""
        column, missing = int(tree.feature[node]), int(tree.missing[node])
        if node in tree.members:
            key = (column, LEFT, 1)
            other = missing if tree.other is None else int(tree.other[node])
            answers = np.isin(self.ensemble.categories[column], tree.members[node]).astype(int).tolist()
            self.node_cut.append(0)
            self.node_member.append(len(self.members))
            self.members += [*answers, int(other == LEFT), int(missing == LEFT)]
        else:
            key = (column, missing, 0)
            self.node_cut.append(self.ranks[column][float(tree.threshold[node])])
            self.node_member.append(-1)
        self.node_plane.append(self.found.setdefault(key, len(self.found)))
        return len(self.node_plane) - 1


@dataclass(slots=True, kw_only=True)
class _Groups:
    """Steps and groups while they are cut."""

    players: NDArray[np.int64]
    planes: _Planes
    steps: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    path: list[int] = field(default_factory=list)
    output: list[int] = field(default_factory=list)
    nodes: list[list[int]] = field(default_factory=list)
    slots: list[list[int]] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    parts: list[dict[int, list[float]]] = field(default_factory=list)
    entries: int = 0
    depth: int = 0

    def cut(self, tree: Tree) -> None:
        """Cut one tree into groups, and write down the steps that lead to each."""
        inner, listed = _inner(tree), _Listed.of(tree, self.players)
        ready: list[tuple[Any, ...]] = [("at", 0, 0, {})]
        while ready:
            what, *rest = ready.pop()
            if what == "down":
                self.steps.append((DOWN, *rest))
                continue
            node, depth, path = rest
            self.depth = max(self.depth, depth)
            asked = listed.asked(node, inner[node])
            if asked is not None and len(path) + len(asked) <= MAX_BITS:
                self._group(listed, node, depth, path, asked)
                continue
            if inner[node] == 0 or depth >= MAX_DEPTH:
                raise TreesRefusedError(
                    f"a path asks about {len(path)} columns in {depth} steps",
                    expected=f"at most {MAX_BITS} columns and {MAX_DEPTH} steps, so that tables stay small",
                )
            self.steps.append((LOOK, self.planes.add(tree, node), depth, 0, 0))
            player = listed.player[node]
            for goes_left, child in ((0, listed.right[node]), (1, listed.left[node])):
                bit, ratio = path.get(player, (len(path), 1.0))
                further = {**path, player: (bit, ratio * listed.share(node, child))}
                ready += [("at", child, depth + 1, further), ("down", depth, bit, goes_left, int(player not in path))]

    def _group(
        self,
        listed: _Listed,
        root: int,
        depth: int,
        path: dict[int, tuple[int, float]],
        asked: dict[tuple[float, ...], int],
    ) -> None:
        bits = {question: 1 << at for at, question in enumerate(asked, len(path))}
        slots = list(path)
        start = {player: (slot, 1 << bit, 1 << bit, ratio) for slot, (player, (bit, ratio)) in enumerate(path.items())}
        leaves = 0
        ready = [(root, start)]
        while ready:
            node, parts = ready.pop()
            if listed.left[node] < 0:
                leaves += 1
                self.value.append(listed.value[node])
                self.parts.append(parts)  # type: ignore[arg-type]
                continue
            bit = bits[listed.question[node]]
            player = listed.player[node]
            if player not in slots:
                slots.append(player)
            for goes_left, child in ((bit, listed.left[node]), (0, listed.right[node])):
                slot, mask, want, ratio = parts.get(player, (slots.index(player), 0, 0, 1.0))
                ratio *= listed.share(node, child)
                if mask & bit and (want & bit) != goes_left:
                    want |= _NEVER
                ready.append((child, {**parts, player: (slot, mask | bit, want | goes_left, ratio)}))
        self.steps.append((TABLE, len(self.bits), depth, 0, 0))
        self.bits.append(len(path) + len(asked))
        self.path.append(len(path))
        self.output.append(listed.tree.output)
        self.nodes.append([self.planes.add(listed.tree, node) for node in asked.values()])
        self.slots.append(slots)
        self.leaves.append(leaves)
        self.entries += len(slots) << self.bits[-1]
        if self.entries > MAX_ENTRIES:
            raise TreesRefusedError(
                f"the tables of these trees have more than {MAX_ENTRIES:,} entries",
                expected="shallower or fewer trees",
            )


def lay_out(ensemble: Ensemble, players: Sequence[int]) -> Layout:
    """Cut every tree of an ensemble.

    Parameters
    ----------
    ensemble : Ensemble
    players : sequence of int, one for each column of the ensemble
        Which player a column belongs to, from 0.

    Returns
    -------
    Layout

    Raises
    ------
    TreesRefusedError
        If a path asks about more than :data:`MAX_BITS` players, or the tables would be too large.
    """
    if len(players) != ensemble.columns:
        raise TreesRefusedError(f"{len(players)} columns have a player", expected=f"each of {ensemble.columns} columns")
    edges = thresholds(ensemble)
    ranks = {column: {value: rank for rank, value in enumerate(own.tolist())} for column, own in edges.items()}
    planes = _Planes(ensemble=ensemble, edges=edges, ranks=ranks)
    groups = _Groups(players=np.asarray(players, dtype=np.int64), planes=planes)
    for tree in ensemble.trees:
        groups.cut(tree)
    return _frozen(groups, ensemble)


def _inner(tree: Tree) -> list[int]:
    """Count the inner nodes below and at each node."""
    left, right = tree.left.tolist(), tree.right.tolist()
    order, ready = [], [0]
    while ready:
        node = ready.pop()
        order.append(node)
        if left[node] >= 0:
            ready += [left[node], right[node]]
    found = [0] * len(left)
    for node in reversed(order):
        if left[node] >= 0:
            found[node] = 1 + found[left[node]] + found[right[node]]
    return found


def thresholds(ensemble: Ensemble) -> dict[int, NDArray[np.float64]]:
    """Return by column: the distinct thresholds, ascending."""
    found: dict[int, list[NDArray[np.float64]]] = {}
    for tree in ensemble.trees:
        asked = tree.left >= 0
        asked[list(tree.members)] = False
        for column in np.unique(tree.feature[asked]):
            found.setdefault(int(column), []).append(tree.threshold[asked & (tree.feature == column)])
    edges = {column: np.unique(np.concatenate(parts)) for column, parts in found.items()}
    for column, values in edges.items():
        if np.isnan(values).any() or len(values) >= MAX_CODES:
            raise TreesRefusedError(
                f"column {column} has {len(values):,} thresholds, or one that is NaN",
                expected=f"less than {MAX_CODES:,}, all numbers",
            )
    return edges


def _frozen(groups: _Groups, ensemble: Ensemble) -> Layout:
    planes = groups.planes
    keys = list(planes.found)
    ranks = [ensemble.categories[column] if kind else planes.edges[column] for column, _, kind in keys]
    parts = list(_parts(groups.parts))
    width = [len(slots) for slots in groups.slots]
    players = int(groups.players.max()) + 1
    return Layout(
        players=players,
        outputs=len(ensemble.base),
        strict=ensemble.strict,
        single=ensemble.single,
        depth=groups.depth,
        plane_column=_ints([column for column, _, _ in keys]),
        plane_missing=_ints([missing for _, missing, _ in keys]),
        plane_kind=_ints([kind for _, _, kind in keys]),
        plane_edges_start=_starts([len(one) for one in ranks]),
        plane_edges=np.concatenate([np.zeros(0), *ranks]),
        node_plane=_ints(planes.node_plane),
        node_cut=_ints(planes.node_cut),
        node_member=np.array(planes.node_member, dtype=np.int64),
        members=np.array(planes.members, dtype=np.uint8),
        steps=np.array(groups.steps, dtype=np.int32).reshape(-1, 5),
        group_bits=_ints(groups.bits),
        group_path=_ints(groups.path),
        group_node_start=_starts([len(one) for one in groups.nodes]),
        group_slot_start=_starts(width),
        group_leaf_start=_starts(groups.leaves),
        group_index_start=_starts([1 << bits for bits in groups.bits]),
        group_table_start=_starts([slots << bits for slots, bits in zip(width, groups.bits, strict=True)]),
        group_output=_ints(groups.output),
        nodes=_ints([node for one in groups.nodes for node in one]),
        slots=_ints([slot for one in groups.slots for slot in one]),
        leaf_value=np.array(groups.value),
        leaf_part_start=_starts([len(one) for one in groups.parts]),
        part_slot=_ints([part[0] for part in parts]),
        part_mask=_ints([part[1] for part in parts]),
        part_want=_ints([part[2] for part in parts]),
        part_ratio=np.array([part[3] for part in parts], dtype=np.float64),
        **_lookups(groups, width, players),
    )


def _lookups(groups: _Groups, width: Sequence[int], players: int) -> dict[str, NDArray[Any]]:
    """Put the look-ups of each batch of groups in order of what they add to."""
    group = np.repeat(np.arange(len(width)), width)
    size = 1 << np.array(groups.bits, dtype=np.int64)[group]
    target = np.array(groups.output, dtype=np.int64)[group] * players + _ints(
        [at for own in groups.slots for at in own]
    )
    order = np.lexsort((group, target, group // BATCH))
    batches = -(-len(width) // BATCH)
    return {
        "look_start": np.searchsorted(group // BATCH, np.arange(batches + 1)).astype(np.int64),
        "look_target": target[order].astype(np.int32),
        "look_group": group[order].astype(np.int32),
        "look_table": (np.cumsum(size) - size)[order],
    }


def _parts(leaves: list[dict[int, list[float]]]) -> Iterator[list[float]]:
    for leaf in leaves:
        yield from leaf.values()


def _ints(values: Sequence[float]) -> NDArray[np.int32]:
    return np.array(values, dtype=np.int32)


def _starts(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
