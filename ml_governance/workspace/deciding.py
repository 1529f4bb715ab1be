"""The calls of a workspace that judge: enact a policy, decide, approve, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ml_governance.decide import approval, rbac
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.policy import PolicyInForceRef, in_force, parse_policy
from ml_governance.errors import (
    ConfigurationError,
    EvidenceError,
    MissingEvidenceError,
    NotAuthorizedError,
    PolicyError,
    UsageError,
)
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import Approval, PolicyInForce
from ml_governance.evidence.statement import Subject
from ml_governance.promote import gate

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.ledger import Receipt
    from ml_governance.workspace.session import Workspace


def enact(ws: Workspace, path: Path) -> Receipt:
    """Sign a policy file and put it in force for its stage."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    policy = parse_policy(text)
    ws.config.stage(policy.stage)
    view = ws.view()
    me = ws.me(view)
    if "policy_owner" not in me.roles:
        raise NotAuthorizedError(
            f"{me.id} has the roles {', '.join(sorted(me.roles)) or 'none'}",
            expected="policy_owner, to put a policy in force",
        )
    try:
        current: PolicyInForceRef | None = in_force(view, policy.stage)
    except EvidenceError:
        current = None  # nothing valid is in force, so any version may begin
    if current is not None and policy.version <= current.version:
        raise PolicyError(
            f"{path} has version {policy.version}, and version {current.version} is in force for {policy.stage}",
            expected=f"version {current.version + 1} or above",
        )
    digest = sha256_hex(text.encode())
    return ws.writer.record(
        PolicyInForce(name=policy.policy, version=policy.version, stage=policy.stage, sha256=digest, text=text),
        [Subject(name=f"policy/{policy.policy}", sha256=digest)],
    )


def judge(ws: Workspace, version: str | Subject, *, stage: str, view: EvidenceView) -> tuple[Subject, Decision]:
    """Evaluate without recording."""
    ws.config.stage(stage)
    subject = ws.resolve(version, view)
    reference = in_force(view, stage)
    decision = evaluate(
        subject=subject,
        stage=stage,
        project=ws.config.project,
        policy=reference.policy,
        policy_sha256=reference.sha256,
        evidence=view,
        at=ws.clock(),
    )
    return subject, decision


def decide(ws: Workspace, version: str | Subject, *, stage: str) -> Decision:
    """Evaluate at the ledger's head and sign the decision."""
    writer = ws.writer
    view = ws.view()
    ws.me(view)
    subject, decision = judge(ws, version, stage=stage, view=view)
    writer.record(decision.to_content(), [subject])
    return decision


def approve(
    ws: Workspace,
    version: str | Subject,
    *,
    stage: str,
    reason: str,
    role: str | None,
    resolves: tuple[str, ...],
    verdict: Literal["approve", "reject"],
) -> Receipt:
    """Sign an approval or a rejection of the present binding."""
    if verdict not in ("approve", "reject"):
        raise UsageError(f"the verdict is {verdict!r}", expected="'approve' or 'reject'")
    if not reason.strip():
        raise UsageError("the reason is empty", expected="a sentence that a reader will understand years from now")
    view = ws.view()
    me = ws.me(view)
    subject, decision = judge(ws, version, stage=stage, view=view)
    policy = in_force(view, stage).policy
    role = role or approval.role_for(me, policy=policy, decision=decision, resolves=resolves)
    permission = rbac.may(
        me, f"approve:{role}", policy=policy, subject=subject, evidence=view, project=ws.config.project, stage=stage
    )
    if not permission.allowed:
        raise NotAuthorizedError(permission.reason)
    open_findings = {finding.id for finding in decision.findings if finding.status in ("inconclusive", "insufficient")}
    unknown = [finding for finding in resolves if finding not in open_findings]
    if unknown:
        raise MissingEvidenceError(
            f"{', '.join(unknown)} is not an inconclusive finding of this decision",
            expected=f"one of {', '.join(sorted(open_findings))}"
            if open_findings
            else "no finding: none is inconclusive",
        )
    content = Approval(
        stage=stage,
        binding=decision.binding,
        verdict=verdict,
        role=role,
        reason=reason.strip(),
        resolves=resolves,
    )
    return ws.writer.record(content, [subject])


def promote(ws: Workspace, version: str | Subject, *, stage: str) -> gate.Promoted:
    """Pass the gate and move the stage's alias."""
    alias = ws.config.stage(stage).alias
    writer = ws.writer
    view = ws.view()
    subject = ws.resolve(version, view)
    return gate.promote(
        subject=subject,
        stage=stage,
        alias=alias,
        project=ws.config.project,
        registration=ws.registration(subject, view),
        registry=ws.registry,
        view=ws.view,
        me=ws.me,
        writer=writer,
        clock=ws.clock,
    )
