"""The index of the log: which leaves are about a digest, and which are of a kind, under one root.

Each checkpoint commits to that root, so whoever shows the entries about a subject cannot keep one back. What is
committed to for a key is a :class:`Value`: how many leaves it has, and a chain over them in their order,
``head' = SHA-256(head || index || leaf hash)``.

Subjects stand in a radix trie over their 32-byte digests. A node has sixteen slots, one for each next half byte: empty,
a key with its value, or the hash of a deeper node. Its bytes are two bitmaps, which slots hold keys and which hold nodes,
and then the slots in order. The shape depends on the keys alone, not on the order in which they came. One more
leaf touches about ``log16(keys)`` nodes. Kinds are few and stand in a plain list beside the trie.

Nodes are addressed by the half bytes that lead to them, in hexadecimal. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

KEY = 32
_ENTRY, _CHILD = 72, 32
_START = bytes(32)
_DIGIT = {digit: position for position, digit in enumerate("0123456789abcdef")}
EMPTY_TRIE = hashlib.sha256(b"mlgov:index:empty").digest()


def link(head: bytes, index: int, leaf: bytes) -> bytes:
    """Return the head of a chain that goes on with a leaf."""
    return hashlib.sha256(head + index.to_bytes(8, "big") + leaf).digest()


@dataclass(frozen=True, slots=True)
class Value:
    """How many leaves a key has, and the chain over them."""

    count: int = 0
    head: bytes = _START

    def extended(self, index: int, leaf: bytes) -> Value:
        """Return the value with one more leaf."""
        return Value(self.count + 1, link(self.head, index, leaf))

    def to_bytes(self) -> bytes:
        """Return the 40 bytes that stand for it."""
        return self.count.to_bytes(8, "big") + self.head


NO_LEAVES = Value()
"""The value of a key without leaves."""


def steps(value: Value, leaves: Iterable[tuple[int, bytes]]) -> list[Value]:
    """Return a key's value after each of some more leaves, in order: (index, leaf hash)."""
    count, head, found = value.count, value.head, []
    for index, leaf in leaves:
        count += 1
        head = link(head, index, leaf)
        found.append(Value(count, head))
    return found


def chain(leaves: Iterable[tuple[int, bytes]]) -> Value:
    """Return the value of a key whose leaves are these, in order: (index, leaf hash)."""
    return (steps(Value(), leaves) or [Value()])[-1]


def index_root(trie: bytes, kinds: bytes) -> bytes:
    """Return the root that a checkpoint commits to: over the trie's root and the list of kinds."""
    return hashlib.sha256(b"mlgov:index:root" + trie + hashlib.sha256(b"mlgov:index:kinds" + kinds).digest()).digest()


EMPTY_ROOT = index_root(EMPTY_TRIE, b"")


def node_hash(data: bytes) -> bytes:
    """Return the hash of a node's bytes."""
    return hashlib.sha256(b"mlgov:index:node" + data).digest()


def pack_kinds(kinds: Mapping[str, Value]) -> bytes:
    """Return the one encoding of the list of kinds: length, name and value of each, by name."""
    return b"".join(
        len(name).to_bytes(1, "big") + name + value.to_bytes()
        for name, value in sorted((kind.encode(), value) for kind, value in kinds.items())
    )


def unpack_kinds(data: bytes) -> dict[str, Value]:
    """Read :func:`pack_kinds`.

    Raises
    ------
    VerificationError
        If the bytes are no such list.
    """
    kinds: dict[str, Value] = {}
    at = 0
    while at < len(data):
        stop = at + 1 + data[at]
        name, value = data[at + 1 : stop], data[stop : stop + 40]
        if len(value) != 40 or not name.isascii():
            raise VerificationError("the list of kinds cannot be read")
        kinds[name.decode()] = Value(int.from_bytes(value[:8], "big"), value[8:])
        at = stop + 40
    if pack_kinds(kinds) != data:
        raise VerificationError("the list of kinds is not in its one order")
    return kinds


# --- nodes --------------------------------------------------------------------------------------------------

_NOTHING = bytes(4)


def _place(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the two bitmaps of a node, and where the bytes of a slot begin."""
    entries, children = data[0] << 8 | data[1], data[2] << 8 | data[3]
    below = (1 << position) - 1
    return entries, children, 4 + _ENTRY * (entries & below).bit_count() + _CHILD * (children & below).bit_count()


def bitmaps(entries: int, children: int) -> bytes:
    """Return how a node begins: which of its sixteen slots hold keys, and which hold nodes."""
    return entries.to_bytes(2, "big") + children.to_bytes(2, "big")


def children_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the half byte and the hash of each deeper node.

    Raises
    ------
    VerificationError
        If the bytes are no node.
    """
    _check_node(data)
    _, children, _ = _place(data, 0)
    for digit, position in _DIGIT.items():
        if children >> position & 1:
            at = _place(data, position)[2]
            yield digit, data[at : at + _CHILD]


def _check_node(data: bytes) -> None:
    if len(data) >= 4:
        entries, children, size = _place(data, 16)
        if not entries & children and size == len(data):
            return
    raise VerificationError("a node of the subject index cannot be read")


def _entry_of(data: bytes, at: int) -> tuple[bytes, Value]:
    return data[at : at + 32], Value(int.from_bytes(data[at + 32 : at + 40], "big"), data[at + 40 : at + 72])


def path_of(key: bytes) -> str:
    """Return a key as the half bytes that lead to it."""
    if len(key) != KEY:
        raise VerificationError(f"an index key has {len(key)} bytes", expected=str(KEY))
    return key.hex()


class Trie:
    """A trie while it is changed: reads nodes when it needs them, hashes each changed node once.

    Parameters
    ----------
    read : callable
        ``read(prefix)`` returns the stored bytes of a node, None where there is none.
    root : bytes
        The trie's root; every node that is read must hang from it.
    """

    def __init__(self, read: Callable[[str], bytes | None] | None = None, root: bytes = EMPTY_TRIE) -> None:
        self.read = read or (lambda _prefix: None)
        self.root = root
        self._nodes: dict[str, bytes | None] = {}
        self._dirty: set[str] = set()

    def __len__(self) -> int:
        """Return how many nodes it holds in memory."""
        return len(self._nodes)

    def _node(self, prefix: str) -> bytes | None:
        if prefix in self._nodes:
            return self._nodes[prefix]
        if prefix:
            above, position = self._nodes[prefix[:-1]] or _NOTHING, _DIGIT[prefix[-1]]
            at = _place(above, position)[2]
            expected = above[at : at + _CHILD]
        else:
            expected = self.root
        data = self.read(prefix)
        if (EMPTY_TRIE if data is None else node_hash(data)) != expected:
            raise VerificationError(
                f"the node {prefix or 'at the top'} of the subject index is not the one its root commits to",
                next_step="mlgov log verify",
            )
        if data is not None:
            _check_node(data)
        self._nodes[prefix] = data
        return data

    def get(self, key: bytes) -> Value:
        """Return a key's value."""
        path = path_of(key)
        for depth in range(len(path)):
            data = self._node(path[:depth]) or _NOTHING
            entries, children, at = _place(data, _DIGIT[path[depth]])
            bit = 1 << _DIGIT[path[depth]]
            if not children & bit:
                return _entry_of(data, at)[1] if entries & bit and data[at : at + 32] == key else Value()
        return Value()

    def below(self, digits: str) -> Iterator[bytes]:
        """Yield every key that begins with some hexadecimal digits, in order."""
        depth = 0
        while depth < len(digits):
            entries, children, at = _place(self._node(digits[:depth]) or _NOTHING, _DIGIT[digits[depth]])
            bit = 1 << _DIGIT[digits[depth]]
            if not children & bit:
                data = self._node(digits[:depth]) or _NOTHING
                if entries & bit and data[at : at + 32].hex().startswith(digits):
                    yield data[at : at + 32]
                return
            depth += 1
        data = self._node(digits) or _NOTHING
        for digit, position in _DIGIT.items():
            entries, children, at = _place(data, position)
            if entries >> position & 1:
                yield data[at : at + 32]
            elif children >> position & 1:
                yield from self.below(digits + digit)

    def extend(self, key: bytes, *leaves: tuple[int, bytes]) -> list[Value]:
        """Add leaves under a key, in order, (index, leaf hash), and return the key's value after each."""
        grown: list[Value] = []

        def longer(old: Value) -> Value:
            grown.extend(steps(old, leaves))
            return grown[-1]

        self._put(key, longer)
        return grown

    def restore(self, key: bytes, value: Value) -> None:
        """Set a key's value to what it was before; a count of 0 takes the key out."""
        if value.count:
            self._put(key, lambda _old: value)
        else:
            self._remove(key)

    def _put(self, key: bytes, change: Callable[[Value], Value]) -> None:
        path = path_of(key)
        depth = 0
        while True:
            prefix, position = path[:depth], _DIGIT[path[depth]]
            data = self._node(prefix) or _NOTHING
            entries, children, at = _place(data, position)
            self._dirty.add(prefix)
            bit = 1 << position
            if children & bit:
                depth += 1
                continue
            if not entries & bit:
                value = change(Value())
                data = bitmaps(entries | bit, children) + data[4:at] + key + value.to_bytes() + data[at:]
            elif data[at : at + 32] == key:
                value = change(_entry_of(data, at)[1])
                data = data[: at + 32] + value.to_bytes() + data[at + 72 :]
            else:
                value = change(Value())
                self._part(data[at : at + 72], key + value.to_bytes(), depth + 1)
                data = bitmaps(entries & ~bit, children | bit) + data[4:at] + _START + data[at + 72 :]
            self._nodes[prefix] = data
            return

    def _part(self, one: bytes, other: bytes, depth: int) -> None:
        """Make the nodes below which two keys that share a prefix part."""
        first, second = one[:32].hex(), other[:32].hex()
        while first[depth] == second[depth]:
            self._nodes[first[:depth]] = bitmaps(0, 1 << _DIGIT[first[depth]]) + _START
            self._dirty.add(first[:depth])
            depth += 1
        low, high = sorted((one, other))
        bits = 1 << _DIGIT[first[depth]] | 1 << _DIGIT[second[depth]]
        self._nodes[first[:depth]] = bitmaps(bits, 0) + low + high
        self._dirty.add(first[:depth])

    def _remove(self, key: bytes) -> None:
        path = path_of(key)
        depth = 0
        while True:
            data = self._node(path[:depth]) or _NOTHING
            entries, children, at = _place(data, _DIGIT[path[depth]])
            if not children >> _DIGIT[path[depth]] & 1:
                break
            self._dirty.add(path[:depth])
            depth += 1
        bit = 1 << _DIGIT[path[depth]]
        if not entries & bit or data[at : at + 32] != key:
            raise VerificationError("a key that the subject index should have is not in it")
        data = bitmaps(entries & ~bit, children) + data[4:at] + data[at + 72 :]
        # A node that is left with a single key gives it to the node above: the shape depends on the keys alone.
        while depth and len(data) == 4 + _ENTRY:
            self._drop(path[:depth])
            depth -= 1
            above = self._node(path[:depth]) or _NOTHING
            entries, children, at = _place(above, _DIGIT[path[depth]])
            bit = 1 << _DIGIT[path[depth]]
            data = bitmaps(entries | bit, children & ~bit) + above[4:at] + data[4:] + above[at + _CHILD :]
        prefix = path[:depth]
        if data == _NOTHING:
            self._drop(prefix)
        else:
            self._nodes[prefix] = data
            self._dirty.add(prefix)

    def _drop(self, prefix: str) -> None:
        self._nodes[prefix] = None
        self._dirty.discard(prefix)

    def commit(self) -> tuple[bytes, dict[str, bytes]]:
        """Return the trie's root, and the nodes that changed, by prefix; afterwards nothing is pending."""
        changed: dict[str, bytes] = {}
        for prefix in sorted(self._dirty, key=len, reverse=True):
            data = self._nodes[prefix]
            assert data is not None  # noqa: S101  a dropped node is not dirty; this tells the type checker
            changed[prefix] = data
            if prefix:
                above, position = prefix[:-1], _DIGIT[prefix[-1]]
                parent = self._nodes[above]
                assert parent is not None  # noqa: S101  the path to a changed node has been read
                at = _place(parent, position)[2]
                self._nodes[above] = parent[:at] + node_hash(data) + parent[at + _CHILD :]
                self._dirty.add(above)
        self._dirty = set()
        top = self._node("")
        self.root = EMPTY_TRIE if top is None else node_hash(top)
        return self.root, changed


# --- proofs -------------------------------------------------------------------------------------------------


def prove(read: Callable[[str], bytes | None], key: bytes) -> tuple[bytes, ...]:
    """Return the nodes from the root towards a key: they prove its value, or that it has none."""
    path, nodes = path_of(key), []
    for depth in range(len(path)):
        data = read(path[:depth])
        if data is None:
            break
        nodes.append(data)
        if not _place(data, 0)[1] >> _DIGIT[path[depth]] & 1:
            break
    return tuple(nodes)


def verify_key(root: bytes, key: bytes, proof: Sequence[bytes], kinds: bytes) -> Value:
    """Check a proof and return the value that an index root commits to; count 0 where the key is absent.

    Parameters
    ----------
    root : bytes
        Index root of a checkpoint.
    key : bytes
        Digest of a subject.
    proof : sequence of bytes
        What :func:`prove` returned.
    kinds : bytes
        The packed list of kinds beside the trie.

    Raises
    ------
    VerificationError
        If the proof does not lead from the root to the key's place.
    """
    path = path_of(key)
    if len(proof) > len(path):
        raise VerificationError("the index proof is too long")
    top = node_hash(proof[0]) if proof else EMPTY_TRIE
    if index_root(top, kinds) != root:
        raise VerificationError("the index proof does not begin at the root of the index")
    expected = top
    for depth, data in enumerate(proof):
        _check_node(data)
        if node_hash(data) != expected:
            raise VerificationError(f"the index proof breaks at depth {depth}")
        entries, children, at = _place(data, _DIGIT[path[depth]])
        bit = 1 << _DIGIT[path[depth]]
        if children & bit:
            if depth == len(proof) - 1:
                raise VerificationError("the index proof is too short")
            expected = data[at : at + _CHILD]
        elif depth != len(proof) - 1:
            raise VerificationError("the index proof is too long")
        elif entries & bit and data[at : at + 32] == key:
            return _entry_of(data, at)[1]
    return Value()


def verify_kind(root: bytes, kind: str, trie: bytes, kinds: bytes) -> Value:
    """Check the list of kinds against an index root and return the value of one kind."""
    if index_root(trie, kinds) != root:
        raise VerificationError("the list of kinds does not belong to the root of the index")
    return unpack_kinds(kinds).get(kind, Value())
