"""What a session rests on: a log verified entry by entry, or what concerns one decision of a log that was verified so before.

The first verification on an account is of every entry, and of the subject index against them. What it came to is remembered
outside the log. From then on a decision verifies the entries that are new, all of them, and reads again only those that concern it.
Whenever anything is not as it was verified, everything is verified again: that is the authority, and it names what is wrong.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.decide.policy import in_force
from ml_governance.decide.reach import reach
from ml_governance.errors import GovernanceError, VerificationError
from ml_governance.evidence import anchors, terms
from ml_governance.evidence.concerned import Concerned
from ml_governance.evidence.predicates import Registration
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import verify
from ml_governance.workspace import key_places, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.verified import VerifiedLog
    from ml_governance.workspace.noted import Noted
    from ml_governance.workspace.session import Workspace

LISTED = 200
"""With at most so many registrations, an error about an unknown model lists them."""

_DIGITS = re.compile(r"[0-9a-f]{8,64}")


def everything(
    ws: Workspace,
    progress: Callable[[int, int], None] | None = None,
    *,
    pinned: Sequence[Checkpoint] = (),
    workers: int = 1,
    collect: bool = True,
) -> VerifiedLog:
    """Verify every entry, and that the log continues what this account has verified before; remember what it came to."""
    before = memory.recall(ws.config.origin)
    with memory.notes(ws.config.origin) as noted:
        verified = verify(
            ws.ledger,
            root=ws.config.trust_root,
            remembered=before.checkpoint if before is not None else None,
            pinned=pinned,
            workers=workers,
            collect=collect,
            progress=progress,
            note=noted.add if noted is not None else None,
        )
        if not verified.problems:
            memory.remember(verified.prefix, noted)
    return verified


def concerning(
    ws: Workspace, reference: str | Subject, *, stage: str, pinned: Sequence[Checkpoint] = ()
) -> tuple[Subject, EvidenceView]:
    """Return a model and the evidence for a decision about it: all that concerns it, none missing, as people acted.

    Parameters
    ----------
    ws : Workspace
        Whose memory it goes on from.
    reference : str or Subject
        As for :meth:`~ml_governance.workspace.session.Workspace.resolve`.
    stage : str
        The stage, whose policy says how far the decision reaches.
    pinned : sequence of Checkpoint
        The log must continue each.

    Raises
    ------
    VerificationError
        If anything that concerns it, or anything new, is missing or does not verify.
    MissingEvidenceError
        If the reference means no model, or several.
    """
    if not ws.full:
        with memory.notes(ws.config.origin) as noted:
            found = None if noted is None else _continued(ws, noted, reference, stage, pinned)
        if found is not None:
            return found
    view = ws.acted_in(seen(ws, everything(ws, pinned=pinned).view()), ws.clock())
    return ws.resolve(reference, view), view


def seen(ws: Workspace, view: EvidenceView) -> EvidenceView:
    """Return evidence as this project and this account see it."""
    view = view.within(ws.config.project)
    times = (view.newest, anchors.claimed(ws.ledger))
    view = replace(view, newest=max((at for at in times if at is not None), default=None))
    return key_places.noted(view, ws.key_folders)


def _continued(
    ws: Workspace, noted: Noted, reference: str | Subject, stage: str, pinned: Sequence[Checkpoint]
) -> tuple[Subject, EvidenceView] | None:
    """Go on from what this account has verified; None where that cannot be, and everything has to be verified."""
    before = memory.recall(ws.config.origin)
    if before is None or not noted.fits(before):
        everything(ws, pinned=pinned, collect=False).require()
        before = memory.recall(ws.config.origin)
        if before is None or not noted.fits(before):
            return None
    with ws.ledger.snapshot():
        verified = verify(
            ws.ledger, root=ws.config.trust_root, since=before, pinned=pinned, collect=False, note=noted.add
        )
        if verified.problems:
            return None
        memory.remember(verified.prefix, noted, since=before)
        try:
            found = _Found(ws, Concerned(ws.ledger, verified.prefix), noted, verified.prefix.frontier.size)
            return found.concerning(reference, stage)
        except VerificationError:
            return None


class _Found:
    """What concerns one decision, while it is looked for."""

    def __init__(self, ws: Workspace, concerned: Concerned, noted: Noted, size: int) -> None:
        self.ws, self.concerned, self.noted, self.size = ws, concerned, noted, size

    def concerning(self, reference: str | Subject, stage: str) -> tuple[Subject, EvidenceView]:
        subject, view = self._resolve(reference)
        # Which policy is in force, and who is whose delegate, is the same whatever else will be read.
        policy = _policy(view, stage)
        asked = None
        while True:
            wanted = reach(subject, policy, self.concerned.view())
            if wanted == asked:
                return subject, self._seen()
            for sha256, kinds in wanted.digests.items():
                self.concerned.about(sha256, kinds)
            for term in wanted.terms:
                self.concerned.placed(self.noted.places(term, self.size))
            asked = wanted

    def _seen(self) -> EvidenceView:
        return self.ws.acted_in(seen(self.ws, self.concerned.view()), self.ws.clock())

    def _resolve(self, reference: str | Subject) -> tuple[Subject, EvidenceView]:
        if isinstance(reference, Subject):
            return reference, self._seen()
        wanted = reference.removeprefix("sha256:").replace("@", "/")
        places = self.noted.places(terms.registered_as(wanted), self.size)
        self.concerned.placed(places)
        if _DIGITS.fullmatch(wanted):
            for sha256 in self.concerned.beginning(wanted):
                self.concerned.about(sha256, frozenset({Registration.kind}))
        elif not places and self.concerned.count(Registration.kind) <= LISTED:
            self.concerned.of_kind(Registration.kind)
        view = self._seen()
        return self.ws.resolve(reference, view), view


def _policy(view: EvidenceView, stage: str) -> Policy | None:
    try:
        return in_force(view, stage).policy
    except GovernanceError:
        return None  # whoever decides will say what is wrong with it
