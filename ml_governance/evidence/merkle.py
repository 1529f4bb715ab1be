"""RFC 6962 Merkle trees: hashes, inclusion and consistency proofs, and a frontier that grows in O(log n).

Section numbers are those of RFC 6962. Nothing here does I/O: proofs read complete subtrees through a
function, so that a database or a list can stand behind it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HASH = 32
"""Bytes of a hash."""

EMPTY = hashlib.sha256(b"").digest()
"""Root of the empty tree (section 2.1)."""

MAX_PROOF = 64
"""No tree that fits a 64-bit size has a longer proof."""


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 || data) (section 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right) (section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The complete subtrees along a tree's right edge, largest first: all that an append needs.

    Parameters
    ----------
    size : int
        Number of leaves.
    peaks : tuple of bytes
        One hash for each bit that is set in ``size``, from the highest.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise VerificationError(
                f"a frontier of {self.size} leaves has {len(self.peaks)} hashes",
                expected=str(max(self.size, 0).bit_count()),
            )

    def append(self, *leaves: bytes) -> tuple[Frontier, list[tuple[int, int, bytes]]]:
        """Add leaf hashes.

        Returns
        -------
        frontier : Frontier
            The new right edge.
        nodes : list of (level, position, hash)
            The complete subtrees that each leaf finished, itself (level 0) included, leaf by leaf.
        """
        peaks, nodes = list(self.peaks), []
        for place, leaf in enumerate(leaves, self.size):
            carry, level, position = leaf, 0, place
            nodes.append((level, position, carry))
            while position & 1:
                carry = node_hash(peaks.pop(), carry)
                level, position = level + 1, position >> 1
                nodes.append((level, position, carry))
            peaks.append(carry)
        return Frontier(self.size + len(leaves), tuple(peaks)), nodes

    @property
    def root(self) -> bytes:
        """Root hash of the tree (section 2.1)."""
        if not self.peaks:
            return EMPTY
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def nodes(self) -> dict[tuple[int, int], bytes]:
        """Return the peaks by (level, position), as proofs address them."""
        found, start = {}, 0
        for peak, level in zip(self.peaks, _bits(self.size), strict=True):
            found[level, start >> level] = peak
            start += 1 << level
        return found

    def to_bytes(self) -> bytes:
        """Return the concatenated hashes; the size is kept beside them."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what :meth:`to_bytes` wrote."""
        if len(data) % HASH:
            raise VerificationError("a stored frontier is no whole number of hashes")
        return cls(size, tuple(data[i : i + HASH] for i in range(0, len(data), HASH)))


def _bits(size: int) -> list[int]:
    """Return which bits are set, from the highest."""
    return [bit for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1]


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier, _ = frontier.append(leaf)
    return frontier.root


def _subtree(node: Callable[[int, int], bytes], start: int, stop: int) -> bytes:
    """Return the hash of leaves [start, stop), which begins at a multiple of its own padded size."""
    size = stop - start
    level = size.bit_length() - 1
    if size == 1 << level:
        return node(level, start >> level)
    split = 1 << level
    return node_hash(_subtree(node, start, start + split), _subtree(node, start + split, stop))


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size`` (section 2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(node: Callable[[int, int], bytes], index: int, size: int) -> tuple[bytes, ...]:
    """Return PATH(index, D[size]) (section 2.1.1).

    Parameters
    ----------
    node : callable
        ``node(level, position)`` returns the hash of a complete subtree.
    index, size : int
        Leaf and tree, ``0 <= index < size``.
    """
    if not 0 <= index < size:
        raise VerificationError(f"leaf {index} is not in a tree of {size}", expected="an index below the size")
    start, stop = 0, size
    path: list[bytes] = []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_subtree(node, middle, stop))
            stop = middle
        else:
            path.append(_subtree(node, start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(node: Callable[[int, int], bytes], old: int, new: int) -> tuple[bytes, ...]:
    """Return PROOF(old, D[new]) (section 2.1.2)."""
    if not 0 <= old <= new:
        raise VerificationError(f"a tree of {old} leaves is no beginning of one of {new}")
    if old in (0, new):
        return ()
    start, stop, known = 0, new, True
    path: list[bytes] = []
    while old != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(_subtree(node, middle, stop))
            stop = middle
        else:
            path.append(_subtree(node, start, middle))
            start, known = middle, False
    if not known:
        path.append(_subtree(node, start, stop))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash stands at an index of a tree (RFC 9162 section 2.1.3.2).

    Raises
    ------
    VerificationError
        If it does not, or the proof has a wrong length.
    """
    _bounded(proof)
    if not 0 <= index < size:
        raise VerificationError(f"leaf {index} is not in a tree of {size}", expected="an index below the size")
    position, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise VerificationError("the inclusion proof is too long")
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError("the inclusion proof is too short")
    if current != root:
        raise VerificationError(f"leaf {index} is not in the tree with this root")


def verify_consistency(  # noqa: C901, PLR0912  the algorithm of the RFC, in its order
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a tree continues an older one (RFC 9162 section 2.1.4.2).

    Raises
    ------
    VerificationError
        If it does not, or the proof has a wrong length.
    """
    _bounded(proof)
    if not 0 <= old <= new:
        raise VerificationError(
            f"a tree of {new} leaves cannot continue one of {old}", expected="a size that does not shrink"
        )
    if old in (new, 0):
        expected = old_root == new_root if old == new else old_root == EMPTY
        if proof or not expected:
            raise VerificationError("the roots of the two trees do not agree")
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise VerificationError("the consistency proof is too short")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise VerificationError("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, step)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError("the consistency proof is too short")
    if first != old_root or second != new_root:
        raise VerificationError("the newer tree does not continue the older one")


def _bounded(proof: Sequence[bytes]) -> None:
    if len(proof) > MAX_PROOF or any(len(step) != HASH for step in proof):
        raise VerificationError("the proof has a wrong form", expected=f"at most {MAX_PROOF} hashes of {HASH} bytes")
