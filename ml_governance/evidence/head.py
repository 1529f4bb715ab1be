"""The right edge from which a log grows, and the receipt for what was appended there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ml_governance.evidence.checkpoint import LogSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a writer keeps: its entry is in the log whose checkpoint this is.

    Parameters
    ----------
    index : int
        Ledger index.
    payload_digest : str
        How other evidence refers to the entry.
    leaf_hash : bytes
        RFC 6962 leaf hash.
    checkpoint : str
        Signed note over the tree that holds it.
    size : int
        Number of leaves of that tree.
    edge : mapping of (int, int) to bytes
        The hashes of that tree from which the proof is taken.
    """

    index: int
    payload_digest: str
    leaf_hash: bytes = field(repr=False)
    checkpoint: str = field(repr=False)
    size: int
    edge: Mapping[tuple[int, int], bytes] = field(repr=False)

    @property
    def proof(self) -> tuple[bytes, ...]:
        """Inclusion proof for the checkpoint's tree (RFC 6962 section 2.1.1)."""
        # Whatever stands left of a new leaf is on the old edge, whatever stands right of it is new.
        return merkle.inclusion_proof(lambda level, position: self.edge[level, position], self.index, self.size)


@dataclass(slots=True)
class Head:
    """The right edge from which the log grows, while it grows.

    Parameters
    ----------
    frontier : Frontier
        Of the tree.
    trie : bytes
        Root of the index over subjects.
    kinds : dict of str to Value
        The index over kinds.
    latest : datetime, optional
        The newest time of an entry.
    trust : int, optional
        Index of the trust file in force.
    """

    frontier: merkle.Frontier
    trie: bytes
    kinds: dict[str, subject_index.Value]
    latest: datetime | None = None
    trust: int | None = None

    def promise(self, origin: str) -> tuple[Checkpoint, bytes]:
        """Return what the log promises at this edge, and the list of kinds that it promises with it."""
        kinds = subject_index.pack_kinds(self.kinds)
        root = subject_index.index_root(self.trie, kinds)
        return Checkpoint(origin=origin, size=self.frontier.size, root=self.frontier.root, index_root=root), kinds

    def signed(self, origin: str, signer: LogSigner) -> tuple[Checkpoint, dict[str, object]]:
        """Return what the log promises, and the stored form of this edge with the signed note over it."""
        promise, kinds = self.promise(origin)
        return promise, {
            "size": self.frontier.size, "frontier": self.frontier.to_bytes(), "trie": self.trie, "kinds": kinds,
            "checkpoint": signer.sign(promise), "latest": self.latest.isoformat() if self.latest else None,
            "trust": self.trust,
        }  # fmt: skip
