"""What some entries add to a log: leaves, tree nodes and the index, computed together for all of them; nothing here writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ml_governance.evidence import merkle, subject_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.entry import Entry
    from ml_governance.evidence.head import Head


class Growth(NamedTuple):
    """What is to be written.

    ``rows`` are those to add, by statement, in the order of its columns. ``hashes`` are the leaf hashes, ``edge`` the hashes of the
    tree, by (level, position), from which a proof for any of the new leaves is taken.
    """

    rows: Mapping[str, Sequence[tuple[object, ...]]]
    hashes: Sequence[bytes]
    edge: Mapping[tuple[int, int], bytes]


def grow(head: Head, trie: subject_index.Trie, entries: Sequence[Entry]) -> Growth:
    """Carry entries into a head and the subject index that hangs from it; both are changed.

    A subject of many entries takes its way through the index once.
    """
    first, edge = head.frontier.size, head.frontier.nodes()
    leaves = [one.leaf.to_bytes() for one in entries]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    head.frontier, nodes = head.frontier.append(*hashes)
    by_key: dict[bytes, list[tuple[int, bytes]]] = {}
    by_kind: dict[str, list[tuple[int, bytes]]] = {}
    for index, (one, hashed) in enumerate(zip(entries, hashes, strict=True), first):
        for key in one.digests():
            by_key.setdefault(key, []).append((index, hashed))
        by_kind.setdefault(one.kind, []).append((index, hashed))
    keyed: list[tuple[object, ...]] = []
    for key, places in sorted(by_key.items()):
        keyed += _rows(key, places, trie.extend(key, *places))
    kinds: list[tuple[object, ...]] = []
    for kind, places in by_kind.items():
        values = subject_index.steps(head.kinds.get(kind, subject_index.Value()), places)
        kinds += _rows(kind, places, values)
        head.kinds[kind] = values[-1]
    head.trie, changed = trie.commit()
    for level, position, value in nodes:
        edge[level, position] = value
    rows: dict[str, Sequence[tuple[object, ...]]] = {
        "add_leaves": [
            (index, leaf, hashed, one.leaf.writer, one.leaf.seq)
            for index, (one, leaf, hashed) in enumerate(zip(entries, leaves, hashes, strict=True), first)
        ],
        "add_blobs": [(index, one.data) for index, one in enumerate(entries, first)],
        # A node stands under the leaf that completed it.
        "add_nodes": [((position + 1 << level) - 1, level, value) for level, position, value in nodes if level],
        "add_entries_by_key": keyed,
        "add_entries_by_kind": kinds,
        "save_index": [(prefix.encode(), node) for prefix, node in changed.items()],
    }
    return Growth(rows, hashes, edge)


def _rows(
    name: object, places: Sequence[tuple[int, bytes]], values: Sequence[subject_index.Value]
) -> list[tuple[object, ...]]:
    return [(name, index, value.count, value.head) for (index, _), value in zip(places, values, strict=True)]
