"""Judging without signing: by another policy, or as of another time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from ml_governance.decide.decision import evaluate
from ml_governance.decide.policy import in_force
from ml_governance.errors import UsageError
from ml_governance.evidence import merkle
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.past import as_of
from ml_governance.workspace.shipped import read_policy

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ml_governance.decide.decision import Decision
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


def consider(
    ws: Workspace,
    version: str | Subject,
    *,
    stage: str,
    policy: Path | None = None,
    at: datetime | None = None,
) -> Decision:
    """Judge a model by a policy that is not in force, or by the ledger as it stood; nothing is signed or recorded."""
    ws.config.stage(stage)
    now = ws.clock()
    if at is not None and (at.tzinfo is None or at > now):
        raise UsageError(
            f"the time is {at.isoformat()}",
            expected=f"a time with its zone, not after {now.isoformat(timespec='seconds')}",
        )
    view = ws.recorded()
    subject = ws.resolve(version, view)
    notes = []
    if at is not None:
        at = at.astimezone(UTC)
        size = view.size
        view = as_of(view, at, lambda count: _root_at(ws, count))
        notes.append(
            f"not signed: what would have been decided at {at.isoformat()}, from the first {view.size} of {size} entries"
        )
    view = ws.acted_in(view, at or now)
    if policy is not None:
        judged_by, text = read_policy(policy)
        sha256 = sha256_hex(text.encode())
        notes.append(
            f"not signed: what {policy.name} would decide if it were in force; approvals and waivers count only under the policy that "
            "they were given under"
        )
    else:
        reference = in_force(view, stage)
        judged_by, sha256 = reference.policy, reference.sha256
    decision = evaluate(
        subject=subject,
        stage=stage,
        project=ws.config.project,
        policy=judged_by,
        policy_sha256=sha256,
        evidence=view,
        at=at or now,
    )
    return replace(decision, notes=(*(notes or ["not signed: nothing was recorded"]), *decision.notes))


def _root_at(ws: Workspace, size: int) -> bytes:
    hashes, _ = ws.ledger.leaf_hashes(size)
    return merkle.root_of(hashes[at : at + 32] for at in range(0, len(hashes), 32))
