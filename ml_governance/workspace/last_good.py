"""After a theft: up to where what a key signed still counts, and what shows that this is older than the theft.

A checkpoint that the log signed says how long the log was, not when. Whoever names one that is too new lets the thief's
entries count. So it has to be covered by an anchor from before the theft; a bare assertion counts only when it is made as one,
with a reason that the root signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ml_governance.errors import UsageError, VerificationError
from ml_governance.evidence import anchors, timestamp, witness
from ml_governance.evidence.anchors import Anchored
from ml_governance.evidence.checkpoint import read_note
from ml_governance.workspace import received

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ml_governance.workspace.session import Workspace

MAX_CERTIFICATES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """Up to where a stolen key counts.

    Parameters
    ----------
    size : int
        Entries below this index, and checkpoints of up to so many entries, still count; 0 is nothing.
    proven : bool
        Whether an anchor shows that those entries are older than the theft.
    why : str
        A clause for the record.
    """

    size: int
    proven: bool
    why: str

    @classmethod
    def nothing(cls) -> Self:
        """Take back all that the key signed."""
        return cls(size=0, proven=True, why="all that it signed is taken back")

    @classmethod
    def asserted(cls, ws: Workspace, checkpoint: Path, *, reason: str) -> Self:
        """Believe a checkpoint because somebody says so.

        Parameters
        ----------
        ws : Workspace
            The log must continue the checkpoint, and must have signed it.
        checkpoint : Path
            Its file.
        reason : str
            Why it is older than the theft; kept for ever.

        Raises
        ------
        UsageError
            If the reason is empty.
        VerificationError
            If the log never signed it, or does not continue it.
        """
        if not reason.strip():
            raise UsageError(
                "the reason is empty", expected="why this checkpoint is older than the theft, and who says so"
            )
        size, _ = _continued(ws, checkpoint)
        return cls(size=size, proven=False, why=f"NOT PROVEN to be older than the theft: {reason.strip()}")

    @classmethod
    def anchored(
        cls,
        ws: Workspace,
        checkpoint: Path,
        *,
        stolen: datetime,
        witnesses: Path | None = None,
        authorities: Path | None = None,
    ) -> Self:
        """Believe a checkpoint that an anchor shows to be older than the theft.

        Parameters
        ----------
        ws : Workspace
            The log must continue the checkpoint.
        checkpoint : Path
            Its file.
        stolen : datetime
            When the key may first have been in other hands, with a zone.
        witnesses : Path, optional
            A witness policy, whose quorum cosigned this checkpoint or a later one before the theft.
        authorities : Path, optional
            Root certificates of timestamping authorities; or one of them timestamped it, or a later one, before the theft.

        Raises
        ------
        VerificationError
            If nothing that verifies covers it and is older than the theft.
        UsageError
            If nobody is named whose word would count, or the time has no zone.
        """
        if witnesses is None and authorities is None:
            raise UsageError(
                f"nothing would show that {checkpoint} is older than the theft",
                expected="a witness policy or certificates of timestamping authorities",
                next_step="--witnesses FILE or --tsa FILE; without any, --unproven REASON, which is recorded",
            )
        if stolen.tzinfo is None:
            raise UsageError(
                f"the time of the theft, {stolen.isoformat()}, has no zone", expected="2026-11-20T08:00:00Z"
            )
        size, note = _continued(ws, checkpoint)
        covering = [one for one in _anchors(ws, note, size, witnesses, authorities) if one.size >= size]
        first = min(covering, key=lambda one: one.at, default=None)
        if first is None or first.at >= stolen:
            found = "no anchor covers it" if first is None else f"its first anchor is from {first.at.isoformat()}"
            raise VerificationError(
                f"nothing shows that the checkpoint of {size} entries is older than the theft: {found}",
                expected=f"a cosignature by the quorum, or a timestamp, from before {stolen.isoformat()}",
                next_step="an older checkpoint; or none, and all of the key's evidence is void",
            )
        did = "cosigned" if first.kind == "cosigned" else "timestamped"
        why = f"{did} by {', '.join(first.by)} at {first.at.isoformat()}, before the theft at {stolen.isoformat()}"
        return cls(size=size, proven=True, why=why)

    def remark(self, who: str) -> str:
        """Return what goes on record with the revocation."""
        if not self.size:
            return f"the key of {who} was stolen: {self.why}"
        return f"the key of {who} was stolen; what it signed in the first {self.size} entries counts, {self.why}"


def _continued(ws: Workspace, checkpoint: Path) -> tuple[int, str]:
    """Return the size and the text of a checkpoint that this log signed and continues."""
    current = ws.log.verify(pinned=[checkpoint]).verified.require()
    note = received.read_text(checkpoint)
    return read_note(note, current.log_keys, origin=current.origin).size, note


def _anchors(ws: Workspace, note: str, size: int, witnesses: Path | None, authorities: Path | None) -> list[Anchored]:
    """Return what verifies: the anchors that the log keeps, and the cosignatures that the checkpoint itself brings."""
    policy = witness.parse_policy(received.read_text(witnesses)) if witnesses is not None else None
    roots = timestamp.read_roots(received.read_bytes(authorities, MAX_CERTIFICATES)) if authorities is not None else ()
    verified = ws.verify(collect=False)
    held, _ = anchors.hold(
        ws.ledger, verified.checkpoint, verified.require().log_keys, witnesses=policy, authorities=roots
    )
    found = list(held)
    if policy is not None and policy.quorum is not None:
        cosigned = witness.cosignatures(note, policy)
        if policy.met(frozenset(cosigned)):
            at = witness.agreed_at(cosigned, policy)
            found.append(Anchored(size=size, by=tuple(sorted(cosigned)), at=at, kind="cosigned"))
    return found
