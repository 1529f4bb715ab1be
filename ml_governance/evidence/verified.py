"""What a verification found: the problems, what is not proven all the same, and the evidence if there are none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence.attestation import EvidenceView
from ml_governance.evidence.charter import NO_CHARTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence import trust
    from ml_governance.evidence.attestation import Attestation, Void
    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.prefix import Prefix
    from ml_governance.evidence.trust import TrustFile
    from ml_governance.evidence.walk import Problem

NO_ANCHOR = (
    "not rollback-proof: nothing outside the operator's control was compared; keep `mlgov log checkpoint` elsewhere"
)
EVERY = "every entry of the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """The outcome of a verification.

    Parameters
    ----------
    checkpoint : Checkpoint
        What was recomputed: size and roots.
    problems : tuple of Problem
        Everything that does not verify; empty when all does.
    notes : tuple of str
        What a reader should know all the same, such as what is not proven.
    attestations : tuple of Attestation
        The entries that verify, if they were asked for.
    void : tuple of Void
        Entries that count no more: erased on purpose, or signed with a key that was taken back.
    trust : TrustFile or None
        The trust file in force at the end.
    prefix : Prefix
        What to keep, to go on from here another time; only worth keeping without problems.
    checked : int
        How many entries were checked this time.
    collected : bool
        Whether every entry of the log was asked for; only then is there a view.
    """

    checkpoint: Checkpoint
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    attestations: tuple[Attestation, ...] = field(repr=False)
    void: tuple[Void, ...] = ()
    trust: trust.TrustFile | None = field(repr=False)
    prefix: Prefix = field(repr=False)
    checked: int
    collected: bool = False

    def with_more(self, *, problems: Sequence[Problem], notes: Sequence[str]) -> VerifiedLog:
        """Return the outcome with what anchors add; one that verifies makes the warning about rollback needless."""
        kept = self.notes if not notes else tuple(note for note in self.notes if note != NO_ANCHOR)
        return replace(self, problems=(*self.problems, *problems), notes=(*kept, *notes))

    def require(self) -> TrustFile:
        """Return the trust file in force, if nothing is wrong.

        Raises
        ------
        VerificationError
            If there is any problem.
        """
        if self.problems or self.trust is None:
            shown = "; ".join(
                f"{'#' + str(p.index) + ': ' if p.index is not None else ''}{p.what}" for p in self.problems[:3]
            )
            more = f" (and {len(self.problems) - 3} more)" if len(self.problems) > 3 else ""
            raise VerificationError(
                f"the ledger does not verify: {shown}{more}",
                expected="a log of which every entry verifies",
                next_step="mlgov log verify",
            )
        return self.trust

    def view(self) -> EvidenceView:
        """Return the evidence, complete up to the checkpoint.

        Raises
        ------
        VerificationError
            If there is any problem, or not every entry was collected: an incomplete view could hide what counts against a
            subject.
        """
        current = self.require()
        if not self.collected:
            raise VerificationError("not every entry was collected", expected="a verification of everything, collected")
        return EvidenceView(
            origin=self.checkpoint.origin,
            size=self.checkpoint.size,
            root_hash=self.checkpoint.root.hex(),
            attestations=self.attestations,
            void=self.void,
            principals=current.people(),
            charter=current.charter or NO_CHARTER,
            trust_expires_at=current.expires_at,
            newest=self.prefix.latest,
            verified=EVERY,
        )
