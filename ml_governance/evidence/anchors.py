"""What others have said about the log, held against the log as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, timestamp, witness
from ml_governance.evidence.checkpoint import Checkpoint, EndedKeyError, parse_body, read_note, split_note
from ml_governance.evidence.walk import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

    from ml_governance.evidence.reader import Anchor, LogReader
    from ml_governance.evidence.trust import LogKey
    from ml_governance.evidence.witness import WitnessPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """An anchor that verifies.

    Parameters
    ----------
    size : int
        How many entries it covers.
    by : tuple of str
        Who says so, by the verifier's own policy or the verified certificate.
    at : datetime
        When; of several, when there were enough of them.
    kind : {'cosigned', 'timestamp'}
        What they say: that the log continued what they had seen, or that it existed.
    """

    size: int
    by: tuple[str, ...]
    at: datetime
    kind: str

    def sentence(self) -> str:
        """Return what it proves, and what it does not."""
        when, who = self.at.isoformat(timespec="seconds"), ", ".join(self.by)
        if self.kind == "cosigned":
            return f"rollback-proof up to {self.size} entries: {who} cosigned them, enough of them by {when}"
        return (
            f"the first {self.size} entries existed at {when}, says {who}; "
            "a timestamp does not prove that there was nothing newer"
        )


def hold(
    ledger: LogReader,
    computed: Checkpoint,
    log_keys: Sequence[LogKey],
    *,
    witnesses: WitnessPolicy | None = None,
    authorities: Sequence[Certificate] = (),
) -> tuple[tuple[Anchored, ...], tuple[Problem, ...]]:
    """Check the anchors that the log keeps, as far as the verifier knows who made them.

    Parameters
    ----------
    ledger : LogReader
        The log.
    computed : Checkpoint
        What its verification came to.
    log_keys : sequence of LogKey
        The log's keys.
    witnesses : WitnessPolicy, optional
        Whose cosignatures count.
    authorities : sequence of Certificate
        Roots of the timestamping authorities that count.

    Returns
    -------
    anchored : tuple of Anchored
        What verifies.
    problems : tuple of Problem
        Anchors over another history, and anchors that do not verify.
    """
    anchored, problems = [], []
    for anchor in ledger.anchors():
        if (anchor.kind == "cosigned" and witnesses is None) or (anchor.kind == "timestamp" and not authorities):
            continue
        try:
            kept = _continues(ledger, anchor, computed, log_keys)
            anchored.append(_vouched(anchor, kept.size, witnesses, authorities))
        except EndedKeyError:
            continue  # it is of this log, but by a key that was taken back: it proves nothing
        except VerificationError as error:
            problems.append(
                Problem(index=None, what=f"the {anchor.kind} checkpoint of {anchor.size} entries: {error.found}")
            )
    return tuple(anchored), tuple(problems)


def claimed(ledger: LogReader) -> datetime | None:
    """Return the newest time that an anchor of the log claims; each was verified when it was kept, and here is not.

    Whoever cannot verify them must at least not believe a clock that is behind them. Of several cosignatures of a checkpoint the
    earliest counts, so that one witness with a wrong clock moves nothing.

    Raises
    ------
    VerificationError
        If an anchor cannot be read.
    ConfigurationError
        If there are timestamps, and the library that reads them is not installed.
    """
    times = [
        timestamp.claimed(anchor.data) if anchor.kind == "timestamp" else witness.claimed(anchor.note)
        for anchor in ledger.anchors()
    ]
    return max((at for at in times if at is not None), default=None)


def _continues(ledger: LogReader, anchor: Anchor, computed: Checkpoint, log_keys: Sequence[LogKey]) -> Checkpoint:
    kept = parse_body(split_note(anchor.note)[0])
    if kept.size > computed.size:
        raise VerificationError(f"it covers {kept.size} entries, and {computed.size} are left: the log was rolled back")
    try:
        proof = ledger.consistency_proof(kept.size, computed.size)
        merkle.verify_consistency(kept.size, computed.size, kept.root, computed.root, proof)
    except VerificationError as error:
        raise VerificationError(
            f"the log does not continue it: its first {kept.size} entries were rewritten"
        ) from error
    return read_note(anchor.note, log_keys, origin=computed.origin)


def _vouched(
    anchor: Anchor, size: int, witnesses: WitnessPolicy | None, authorities: Sequence[Certificate]
) -> Anchored:
    if anchor.kind == "cosigned" and witnesses is not None:
        cosigned = witness.require_quorum(anchor.note, witnesses)
        return (
            Anchored(size=size, by=tuple(sorted(cosigned)), at=witness.agreed_at(cosigned, witnesses), kind=anchor.kind)
            if cosigned
            else _nobody()
        )
    if anchor.kind == "timestamp":
        stamp = timestamp.verify(anchor.data, anchor.note, authorities)
        return Anchored(size=size, by=(stamp.by,), at=stamp.at, kind=anchor.kind)
    raise VerificationError(f"its kind is {anchor.kind!r}", expected="cosigned or timestamp")


def _nobody() -> Anchored:
    raise VerificationError("nobody cosigned it, and the policy asks for nobody", expected="a policy with a quorum")
