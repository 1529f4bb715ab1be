"""The named report on reasons for adverse action: which method stated them to how many, from the signed record, without a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.decide.rules import revoked
from ml_governance.errors import MissingEvidenceError
from ml_governance.evidence.predicates import AdverseAction
from ml_governance.report.measured import source
from ml_governance.report.notices import AVERAGE, CREDITOR, FEWEST_TOLD

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.card import Card

NOTES = (
    "Evidence for the duty to state the specific principal reasons, 12 CFR 1002.9(b)(2); no statement that the duty is met.",
    "That a notice was made does not show that it was sent, or when: 12 CFR 1002.9(a)(1) sets the days.",
    "A column that merely predicts a prohibited basis is not found here; see the report on proxies.",
    f"A reason that fewer than {FEWEST_TOLD} applicants were told stands here without their number.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What was stated, and how.

    Parameters
    ----------
    card : Card
        The audit pack.
    runs : tuple of dict
        The records that stand, newest first; each with where it stands in the ledger.
    creditor : dict or None
        The signed text that notices carry, if somebody signed one.
    """

    card: Card
    runs: tuple[dict[str, Any], ...]
    creditor: dict[str, Any] | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know beside the numbers."""
        return NOTES

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": "adverse-action", "subject": self.card.subject, "stage": self.card.stage, "as_of": self.card.as_of,
            "log": self.card.log, "runs": list(self.runs), "creditor": self.creditor, "notes": list(self.notes),
        }  # fmt: skip


def build(card: Card, view: EvidenceView, subject: Subject) -> Stated:
    """Build the report from every record of stated reasons that nobody took back.

    Raises
    ------
    MissingEvidenceError
        If there is none.
    """
    withdrawn = revoked(view)
    entries = [one for one in view.about(subject.sha256, AdverseAction.kind) if one.payload_digest not in withdrawn]
    if not entries:
        raise MissingEvidenceError(
            f"the log holds no reasons that were stated by {subject.name}",
            expected="a run over the applicants that it decided on",
            next_step=f"mlgov report {subject.name} --kind adverse-action --data applicants.parquet --method reasons.yaml",
        )
    return Stated(
        card=card,
        runs=tuple({**source(one), **one.content.to_wire(), "of": AVERAGE[one.content.to_wire()["baseline"]]} for one in reversed(entries)),
        creditor=next((one for one in card.human if one["name"] == CREDITOR and one["source"]), None),
    )  # fmt: skip
