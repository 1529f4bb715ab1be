"""The root of the subject index over all of its keys at once, as verification computes it: in order, holding one path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence.subject_index import EMPTY_TRIE, bitmaps, node_hash, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_governance.evidence.subject_index import Value


def build(entries: Iterable[tuple[bytes, Value]]) -> bytes:
    """Return the root of the trie over keys that come in ascending order; holds one path at a time.

    Raises
    ------
    VerificationError
        If a key comes twice or out of order, or is no key: a digest.
    """
    open_nodes: list[list[bytes]] = []  # for each depth on the current path: its bitmaps as numbers, and its slots
    maps: list[list[int]] = []

    def close(depth: int, path: str) -> None:
        while len(open_nodes) > depth:
            data = bitmaps(*maps.pop()) + b"".join(open_nodes.pop())
            if not open_nodes:
                tops.append(node_hash(data))
                return
            open_nodes[-1].append(node_hash(data))
            maps[-1][1] |= 1 << int(path[len(open_nodes) - 1], 16)

    tops: list[bytes] = []
    previous, shared_before = None, 0
    pending: tuple[bytes, Value] | None = None
    for key, value in entries:
        path_of(key)  # refuses what is no key
        if pending is not None:
            if key <= pending[0]:
                raise VerificationError("the keys of the subject index are out of order")
            shared = _shared(pending[0].hex(), key.hex())
            _add(open_nodes, maps, pending, max(shared_before, shared))
            close(shared + 1, pending[0].hex())
            shared_before = shared
        pending = previous = (key, value)
    if pending is None or previous is None:
        return EMPTY_TRIE
    _add(open_nodes, maps, pending, shared_before)
    close(0, pending[0].hex())
    return tops[0]


def _add(open_nodes: list[list[bytes]], maps: list[list[int]], entry: tuple[bytes, Value], depth: int) -> None:
    while len(open_nodes) <= depth:
        open_nodes.append([])
        maps.append([0, 0])
    maps[depth][0] |= 1 << int(entry[0].hex()[depth], 16)
    open_nodes[depth].append(entry[0] + entry[1].to_bytes())


def _shared(one: str, other: str) -> int:
    depth = 0
    while one[depth] == other[depth]:
        depth += 1
    return depth
