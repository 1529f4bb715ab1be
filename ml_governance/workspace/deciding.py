"""The calls of a workspace that judge: enact a policy, decide, ask for approvals, approve, waive."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from ml_governance.decide import approval, inbox, rbac
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.policy import PolicyInForceRef, in_force
from ml_governance.decide.rules import makers
from ml_governance.errors import (
    EvidenceError,
    MissingEvidenceError,
    NotAuthorizedError,
    PolicyError,
    UsageError,
)
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import PolicyInForce
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, Waiver
from ml_governance.workspace.shipped import read_policy

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.decide.inbox import Item
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.workspace.session import Workspace


def enact(ws: Workspace, path: Path) -> Receipt:
    """Sign a policy file and put it in force for its stage."""
    policy, text = read_policy(path)
    ws.config.stage(policy.stage)
    view = ws.view()
    me = ws.me(view)
    if "policy_owner" not in me.roles:
        raise NotAuthorizedError(
            f"{me.id} is {', '.join(sorted(me.roles)) or 'in no role'}",
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
    ws.config.stage(stage)
    writer = ws.writer
    subject, view = ws.concerning(version, stage=stage)
    ws.me(view)
    _, decision = judge(ws, subject, stage=stage, view=view)
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
    reason = said(reason)
    ws.config.stage(stage)
    subject, view = ws.concerning(version, stage=stage)
    me = ws.me(view)
    _, decision = judge(ws, subject, stage=stage, view=view)
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
            else "nothing to resolve: no finding is",
            next_step=f"mlgov decide {subject.name} shows the findings; without --resolve the rest is approved",
        )
    content = Approval(
        stage=stage,
        binding=decision.binding,
        verdict=verdict,
        role=role,
        reason=reason,
        resolves=resolves,
    )
    return ws.writer.record(content, [subject])


def waive(
    ws: Workspace, version: str | Subject, *, stage: str, rule: str, reason: str, until: date | datetime
) -> Receipt:
    """Sign a waiver of one rule, for the present binding and until a time."""
    reason = said(reason)
    now = ws.clock()
    expires = end_of(until)
    ws.config.stage(stage)
    subject, view = ws.concerning(version, stage=stage)
    me = ws.me(view)
    _, decision = judge(ws, subject, stage=stage, view=view)
    policy = in_force(view, stage).policy
    permission = rbac.may(me, "waive", policy=policy, subject=subject, evidence=view)
    made = makers(subject, view)
    if me.id in made["author"] | made["trainer"]:
        raise NotAuthorizedError(
            f"{me.id} made {subject.name}, and nobody waives a rule for their own work",
            expected=f"somebody else with one of the roles {', '.join(policy.waivers.roles)}",
        )
    role = next((one for one in policy.waivers.roles if one in me.roles), None)
    if not permission.allowed or role is None:
        raise NotAuthorizedError(permission.reason)
    # The record is made a moment later, so the last moment of the longest waiver is left out.
    if not timedelta(0) < expires - now <= timedelta(days=policy.waivers.max_days):
        raise UsageError(
            f"the waiver is to end at {expires.isoformat()}",
            expected=f"a time after {now.isoformat(timespec='seconds')} and within {policy.waivers.max_days} days",
        )
    waivable = {f.rule for f in decision.findings if f.status in approval.WAIVABLE} & {one.id for one in policy.rules}
    if rule not in waivable:
        statuses = ", ".join(f"{f.id} is {f.status}" for f in decision.findings if f.rule == rule)
        raise MissingEvidenceError(
            f"{rule} has nothing to waive: {statuses or 'no rule of this policy has that id'}",
            expected=f"one of {', '.join(sorted(waivable))}"
            if waivable
            else "a rule that has failed and is not waived yet; none is",
            next_step=f"mlgov decide {subject.name} --stage {stage}",
        )
    content = Waiver(stage=stage, rule=rule, binding=decision.binding, role=role, reason=reason, expires=expires)
    return ws.writer.record(content, [subject])


def request(ws: Workspace, version: str | Subject, *, stage: str, comment: str) -> Receipt:
    """Ask for approvals of the present binding."""
    comment = said(comment)
    ws.config.stage(stage)
    subject, view = ws.concerning(version, stage=stage)
    ws.me(view)
    _, decision = judge(ws, subject, stage=stage, view=view)
    return ws.writer.record(ApprovalRequest(stage=stage, binding=decision.binding, comment=comment), [subject])


def waiting(ws: Workspace, person: str | None) -> tuple[Item, ...]:
    """Return what waits for a person; default is who acts."""
    view = ws.view()
    who = ws.me(view) if person is None else view.principals.get(person)
    if who is None:
        raise MissingEvidenceError(
            f"the trust file in force names no {person!r}", expected=f"one of {', '.join(sorted(view.principals))}"
        )
    if not {ws.config.project, "*"} & who.projects:
        raise NotAuthorizedError(
            f"{who.id} is not trusted for the project {ws.config.project!r}",
            expected=f"a person of this project, or of all: {who.id} is of {', '.join(sorted(who.projects)) or 'none'}",
        )
    return inbox.waiting(who, evidence=view, stages=tuple(ws.config.stages), project=ws.config.project, at=ws.clock())


def said(text: str) -> str:
    """Return a reason without the space around it.

    Raises
    ------
    UsageError
        If nothing is left.
    """
    if not text.strip():
        raise UsageError("the reason is empty", expected="a sentence that a reader will understand years from now")
    return text.strip()


def end_of(until: date | datetime) -> datetime:
    """Return the end of a day in UTC, or a moment as it is.

    Raises
    ------
    UsageError
        If a moment has no time zone.
    """
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise UsageError(
                f"{until.isoformat()} has no time zone", expected="a day, or a time such as 2026-12-31T18:00Z"
            )
        return until.astimezone(UTC)
    return datetime.combine(until + timedelta(days=1), time(), tzinfo=UTC)
