"""The evidence as it stood at an earlier time: the first entries of a verified log, and the trust file of then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.errors import MissingEvidenceError
from ml_governance.evidence import trust
from ml_governance.evidence.charter import NO_CHARTER
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrustUpdate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ml_governance.evidence.attestation import EvidenceView


def as_of(view: EvidenceView, at: datetime, root_at: Callable[[int], bytes]) -> EvidenceView:
    """Return the evidence up to the last checkpoint before the first entry that is later than a time.

    What has been erased since, or was signed with a key that was taken back since, counts no more and blocks as it does now:
    nobody can tell any more what it said, or whose it was.

    Parameters
    ----------
    view : EvidenceView
        Verified and complete.
    at : datetime
        UTC. Times of entries are what their signers claimed; a verified log holds none more than ten minutes before an
        earlier one.
    root_at : callable
        Returns the tree's root over so many first entries of the same log.

    Raises
    ------
    MissingEvidenceError
        If the log had no trust file then, so that nothing in it could count.
    """
    later = next((one.index for one in view.attestations if one.recorded_at > at), view.size)
    if not any(one.index < later for one in view.of_kind(TrustUpdate.kind)):
        raise MissingEvidenceError(
            f"at {at.isoformat()} the log {view.origin} had {later} entries and no trust file",
            expected=f"a time at or after {min(one.recorded_at for one in view.attestations).isoformat()}",
        )
    return first(view, later, root_hash=root_at(later).hex())


def first(view: EvidenceView, size: int, *, root_hash: str = "") -> EvidenceView:
    """Return the evidence that the first entries hold, with the people and the charter of the trust file then in force.

    Parameters
    ----------
    view : EvidenceView
        Verified and complete, up to a later entry.
    size : int
        How many entries to look at, from 0 to ``view.size``.
    root_hash : str
        Of these entries; empty where it was not recomputed.
    """
    kept = tuple(one for one in view.attestations if one.index < size)
    updates = [one.content for one in kept if isinstance(one.content, TrustUpdate)]
    found = replace(
        view, size=size, root_hash=root_hash, attestations=kept, void=tuple(one for one in view.void if one.index < size),
        newest=max((one.recorded_at for one in kept), default=None),
    )  # fmt: skip
    if not updates:
        return found
    then = trust.read(Envelope.from_dict(updates[-1].envelope))
    return replace(
        found, principals=then.people(), charter=then.charter or NO_CHARTER, trust_expires_at=then.expires_at
    )
