"""Which policy was in force at an earlier entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.decide.policy import in_force
from ml_governance.errors import GovernanceError

if TYPE_CHECKING:
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView


def policy_at(view: EvidenceView, stage: str, index: int) -> Policy | None:
    """Return the policy that was in force for a stage when an entry was appended; None where there was none that counts."""
    earlier = replace(view, attestations=tuple(a for a in view.attestations if a.index < index))
    try:
        return in_force(earlier, stage).policy
    except GovernanceError:
        return None
