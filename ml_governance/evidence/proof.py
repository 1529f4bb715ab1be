"""``c2sp.org/tlog-proof@v1``: one file that proves that an entry is in the log, checkable offline with any tool.

The extra line holds the leaf, so that a stranger can hash it: SHA-256(0x00 || leaf) is the leaf hash that the proof is
for. The leaf names the digest of the envelope, which travels beside it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle
from ml_governance.evidence.checkpoint import MAX_NOTE, Checkpoint, decode_base64, read_note
from ml_governance.evidence.entry import Leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence.trust import LogKey

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_FILE = MAX_NOTE + 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """A proof of inclusion with the checkpoint that it is for.

    Parameters
    ----------
    index : int
        Ledger index.
    leaf : bytes
        The leaf; not trusted until :meth:`verify`.
    hashes : tuple of bytes
        The inclusion proof, from the leaf's sibling up.
    checkpoint : str
        The signed note.
    """

    index: int
    leaf: bytes
    hashes: tuple[bytes, ...] = field(repr=False)
    checkpoint: str = field(repr=False)

    def to_text(self) -> str:
        """Return the file's text."""
        lines = [
            HEADER,
            f"extra {base64.b64encode(self.leaf).decode()}",
            f"index {self.index}",
            *(base64.b64encode(step).decode() for step in self.hashes),
            "",
            self.checkpoint,
        ]
        return "\n".join(lines)

    @classmethod
    def from_text(cls, text: str) -> TlogProof:
        """Read a proof from a stranger.

        Raises
        ------
        VerificationError
            If it has another form.
        """
        if len(text) > MAX_PROOF_FILE:
            raise VerificationError("the proof is too long", expected=f"at most {MAX_PROOF_FILE} characters")
        head, blank, note = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or len(lines) < 3 or lines[0] != HEADER or not lines[1].startswith("extra "):
            raise VerificationError("this is no proof of an entry", expected=f"{HEADER} with the leaf as extra data")
        index = lines[2].removeprefix("index ")
        if (
            not lines[2].startswith("index ")
            or not (index.isascii() and index.isdigit())
            or str(int(index[:16])) != index
        ):
            raise VerificationError(f"the proof has the line {lines[2][:40]!r}", expected="index and a decimal number")
        if len(lines) - 3 > merkle.MAX_PROOF:
            raise VerificationError("the proof is too long", expected=f"at most {merkle.MAX_PROOF} hashes")
        return cls(
            index=int(index),
            leaf=decode_base64(lines[1].removeprefix("extra ")),
            hashes=tuple(decode_base64(line) for line in lines[3:]),
            checkpoint=note,
        )

    def verify(self, log_keys: Sequence[LogKey], *, origin: str) -> tuple[Leaf, Checkpoint]:
        """Check that the leaf is in the log.

        Parameters
        ----------
        log_keys : sequence of LogKey
            The log's keys, obtained by another way than the proof.
        origin : str
            The log's name.

        Raises
        ------
        VerificationError
            If the checkpoint or the proof does not verify.
        """
        checkpoint = read_note(self.checkpoint, log_keys, origin=origin)
        merkle.verify_inclusion(merkle.leaf_hash(self.leaf), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return Leaf.from_bytes(self.leaf), checkpoint
