"""The promotion of an earlier version in a policy case: each record that a gate would have left of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ml_governance.decide.decision import evaluate
from ml_governance.decide.passage import pass_of
from ml_governance.decide.policy import parse_policy
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import PolicyInForce, Promotion
from ml_governance.evidence.verdicts import Approval

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.wire import Content

THEN = {"owner-of-then": frozenset({"policy_owner"}), "approver-of-then": frozenset({"approver_of_then"})}
"""Who stood behind the earlier promotion, with their roles: nobody whom a case names."""


def promotion(
    policy: Policy,
    subject: Subject,
    name: str,
    *,
    stage: str,
    project: str,
    by: str,
    at: datetime,
    add: Callable[[str, Content], Attestation],
    view: Callable[[], EvidenceView],
) -> None:
    """Add every record of a promotion, under a policy that asked for a registration and one approval.

    Parameters
    ----------
    policy : Policy
        Who may promote under it.
    subject, name, stage, project
        What was promoted, under which name, and where to.
    by : str
        Who promoted.
    at : datetime
        When, UTC.
    add : callable
        Appends what somebody signs about the subject.
    view : callable
        Returns what has been added so far.
    """
    text = json.dumps({
        "policy": policy.policy, "version": 1, "stage": stage, "promote": {"roles": list(policy.promote.roles)},
        "approvals": [{"role": "approver_of_then"}],
        "rules": [{"id": "OLD-01", "title": "It is registered", "require": {"evidence": "registration"}}],
    })  # fmt: skip
    sha256, old = sha256_hex(text.encode()), parse_policy(text)
    add("owner-of-then", PolicyInForce(name=policy.policy, version=1, stage=stage, sha256=sha256, text=text))

    def judged() -> Decision:
        return evaluate(
            subject=subject, stage=stage, project=project, policy=old, policy_sha256=sha256, evidence=view(), at=at
        )

    yes = Approval(
        stage=stage, binding=judged().binding, verdict="approve", role="approver_of_then", reason="case", resolves=()
    )
    add("approver-of-then", yes)
    decided = add(by, judged().to_content())
    intent = Promotion(
        phase="intent", stage=stage, registry="cases", name=name, version="0", alias=stage,
        decision=decided.payload_digest, token=pass_of(subject, stage, sha256, decided.payload_digest),
    )  # fmt: skip
    add(by, intent)
    add(by, intent.model_copy(update={"phase": "outcome", "result": "done"}))
