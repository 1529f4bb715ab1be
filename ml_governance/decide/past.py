"""The log as it stood at an earlier entry: who people were, which policy was in force, what a gate could see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.decide.policy import in_force
from ml_governance.errors import GovernanceError
from ml_governance.evidence import trust
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrustUpdate

if TYPE_CHECKING:
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView


def as_of(view: EvidenceView, size: int) -> EvidenceView:
    """Return the evidence that the first ``size`` entries hold, with the people whom the trust file then in force named.

    Parameters
    ----------
    view : EvidenceView
        Verified and complete, up to a later entry.
    size : int
        How many entries to look at, from 0 to ``view.size``.

    Returns
    -------
    EvidenceView
        Its ``root_hash`` is empty: a root of these entries was not recomputed.
    """
    principals, expires = view.principals, view.trust_expires_at
    for entry in view.of_kind(TrustUpdate.kind):
        if entry.index < size and isinstance(entry.content, TrustUpdate):
            then = trust.read(Envelope.from_dict(entry.content.envelope))
            principals, expires = trust.by_id(then.principals), then.expires_at
    return replace(
        view,
        size=size,
        root_hash="",
        attestations=tuple(a for a in view.attestations if a.index < size),
        void=tuple(one for one in view.void if one.index < size),
        principals=principals,
        trust_expires_at=expires,
    )


def policy_at(view: EvidenceView, stage: str, index: int) -> Policy | None:
    """Return the policy that was in force for a stage when an entry was appended; None where there was none that counts."""
    earlier = replace(view, attestations=tuple(a for a in view.attestations if a.index < index))
    try:
        return in_force(earlier, stage).policy
    except GovernanceError:
        return None
