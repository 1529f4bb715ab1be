"""The subject index: a Merkle radix trie from what a leaf is about to which leaves are about it.

Keys are 32 bytes: the digests of a statement's subjects, and one key for each kind. The value of a key is
``(count, head)``, where the head chains the leaves in order: ``head' = SHA-256(head || index || leaf hash)``.
Each checkpoint commits to the trie's root, so whoever shows the entries about a subject cannot keep one back:
the count and the head would not fit.

A node has sixteen slots, one for each next half byte of the key: empty, a key with its value, or the hash
of a deeper node. One more leaf touches about ``log16(keys)`` nodes. Nodes are addressed by the half bytes that lead
to them; nothing here does I/O.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY = 32
_EMPTY, _ENTRY, _CHILD = b"\x00", b"\x01", b"\x02"
EMPTY_ROOT = hashlib.sha256(b"mlgov:index:empty").digest()
_START = bytes(32)


def kind_key(kind: str) -> bytes:
    """Return the key under which all leaves of a kind are found."""
    return hashlib.sha256(b"mlgov:kind:" + kind.encode()).digest()


@dataclass(frozen=True, slots=True)
class Value:
    """How many leaves a key has, and the chain over them."""

    count: int = 0
    head: bytes = _START

    def extended(self, index: int, leaf: bytes) -> Value:
        """Return the value with one more leaf."""
        return Value(self.count + 1, hashlib.sha256(self.head + index.to_bytes(8, "big") + leaf).digest())


Slot = None | tuple[bytes, Value] | bytes
"""Nothing, a key with its value, or the hash of a deeper node."""


@dataclass(frozen=True, slots=True)
class Node:
    """Sixteen slots."""

    slots: tuple[Slot, ...] = (None,) * 16

    def to_bytes(self) -> bytes:
        """Return the one encoding of a node: what is stored, and what is hashed."""
        parts = []
        for slot in self.slots:
            if slot is None:
                parts.append(_EMPTY)
            elif isinstance(slot, bytes):
                parts.append(_CHILD + slot)
            else:
                key, value = slot
                parts.append(_ENTRY + key + value.count.to_bytes(8, "big") + value.head)
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Node:
        """Read :meth:`to_bytes`.

        Raises
        ------
        VerificationError
            If the bytes are no node.
        """
        slots: list[Slot] = []
        at = 0
        while at < len(data) and len(slots) < 16:
            tag = data[at : at + 1]
            at += 1
            if tag == _EMPTY:
                slots.append(None)
            elif tag == _CHILD:
                slots.append(data[at : at + 32])
                at += 32
            elif tag == _ENTRY:
                key, count, head = data[at : at + 32], data[at + 32 : at + 40], data[at + 40 : at + 72]
                slots.append((key, Value(int.from_bytes(count, "big"), head)))
                at += 72
            else:
                break
        if at != len(data) or len(slots) != 16:
            raise VerificationError("a node of the subject index cannot be read")
        return cls(tuple(slots))

    def hash(self) -> bytes:
        """Return the node's hash."""
        return hashlib.sha256(b"mlgov:index:node" + self.to_bytes()).digest()

    def replaced(self, position: int, slot: Slot) -> Node:
        """Return the node with another slot."""
        return Node((*self.slots[:position], slot, *self.slots[position + 1 :]))


def path_of(key: bytes) -> str:
    """Return a key as the half bytes that lead to it."""
    if len(key) != KEY:
        raise VerificationError(f"an index key has {len(key)} bytes", expected=str(KEY))
    return key.hex()


def update(read: Callable[[str], Node | None], key: bytes, index: int, leaf: bytes) -> dict[str, Node]:
    """Add one leaf under one key.

    Parameters
    ----------
    read : callable
        ``read(prefix)`` returns the stored node at a prefix, None where there is none.
    key : bytes
        32 bytes.
    index : int
        The leaf's ledger index.
    leaf : bytes
        The leaf's hash.

    Returns
    -------
    dict of str to Node
        The nodes that changed, by prefix; the root is at the empty prefix.
    """
    path = path_of(key)
    trail: list[Node] = []
    depth = 0
    while True:
        node = read(path[:depth])
        if node is None:
            node = Node()
        trail.append(node)
        slot = node.slots[int(path[depth], 16)]
        if not isinstance(slot, bytes):
            break
        depth += 1
    changed: dict[str, Node] = {}
    new: Slot
    if slot is None or slot[0] == key:
        new = (key, (slot[1] if slot else Value()).extended(index, leaf))
    else:
        new = _part(slot, (key, Value().extended(index, leaf)), depth + 1, changed).hash()
    for level in range(depth, -1, -1):
        node = trail[level].replaced(int(path[level], 16), new)
        changed[path[:level]] = node
        new = node.hash()
    return changed


def _part(one: tuple[bytes, Value], other: tuple[bytes, Value], depth: int, changed: dict[str, Node]) -> Node:
    """Make the nodes below which two keys that share a prefix part."""
    first, second = path_of(one[0]), path_of(other[0])
    left, right = int(first[depth], 16), int(second[depth], 16)
    if left == right:
        node = Node().replaced(left, _part(one, other, depth + 1, changed).hash())
    else:
        node = Node().replaced(left, one).replaced(right, other)
    changed[first[:depth]] = node
    return node


def prove(read: Callable[[str], Node | None], key: bytes) -> tuple[bytes, ...]:
    """Return the nodes from the root towards a key: they prove its value, or that it has none."""
    path, nodes = path_of(key), []
    for depth in range(len(path)):
        node = read(path[:depth])
        if node is None:
            break
        nodes.append(node.to_bytes())
        if not isinstance(node.slots[int(path[depth], 16)], bytes):
            break
    return tuple(nodes)


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> Value:
    """Check a proof and return the value that the root commits to; count 0 where the key is absent.

    Raises
    ------
    VerificationError
        If the proof does not lead from the root to the key's place.
    """
    if not proof:
        if root != EMPTY_ROOT:
            raise VerificationError("the index proof is empty, the index is not")
        return Value()
    path, expected = path_of(key), root
    if len(proof) > len(path):
        raise VerificationError("the index proof is too long")
    for depth, data in enumerate(proof):
        node = Node.from_bytes(data)
        if node.hash() != expected:
            raise VerificationError(f"the index proof breaks at depth {depth}")
        slot = node.slots[int(path[depth], 16)]
        last = depth == len(proof) - 1
        if isinstance(slot, bytes):
            if last:
                raise VerificationError("the index proof is too short")
            expected = slot
            continue
        if not last:
            raise VerificationError("the index proof is too long")
        return slot[1] if slot is not None and slot[0] == key else Value()
    raise VerificationError("the index proof ends nowhere")


def chain(leaves: Sequence[tuple[int, bytes]]) -> Value:
    """Return the value that these leaves, in order, would give a key."""
    value = Value()
    for index, leaf in leaves:
        value = value.extended(index, leaf)
    return value
