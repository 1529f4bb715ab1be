"""The calls of a workspace that act on a stage: promote, roll back, break the glass, review that, withdraw."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ml_governance.decide import breakglass, withdrawal
from ml_governance.decide.breakglass import Emergency
from ml_governance.decide.decision import evaluate
from ml_governance.decide.past import policy_at
from ml_governance.decide.policy import in_force
from ml_governance.errors import DeniedError, MissingEvidenceError, NotAuthorizedError, UsageError
from ml_governance.evidence.predicates import Registration, Revocation
from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview
from ml_governance.promote import gate, history
from ml_governance.workspace.deciding import said

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.promote.gate import Promoted
    from ml_governance.workspace.session import Workspace


def promote(
    ws: Workspace, version: str | Subject, *, stage: str, break_glass: str | None = None, hours: float = 24
) -> Promoted:
    """Pass the gate and move the stage's alias; with a reason to break the glass, against the gate's answer."""
    alias = ws.config.stage(stage).alias
    emergency = None
    if break_glass is not None:
        emergency = Emergency(reason=said(break_glass), lasts=timedelta(hours=hours))
    writer = ws.writer
    subject, view = ws.concerning(version, stage=stage)
    return gate.promote(
        subject=subject,
        stage=stage,
        alias=alias,
        project=ws.config.project,
        registration=ws.registration(subject, view),
        registry=ws.registry,
        view=lambda: ws.concerning(subject, stage=stage)[1],
        whole=ws.view,
        me=ws.me,
        writer=writer,
        clock=ws.clock,
        emergency=emergency,
    )


def rollback(ws: Workspace, name: str, *, stage: str) -> Promoted:
    """Promote the newest earlier version that the gate still allows."""
    alias = ws.config.stage(stage).alias
    view = ws.view()
    wanted, _, version = name.replace("@", "/").partition("/")
    # What the log says stands there: an alias may have been moved behind the gate's back.
    standing = history.standing(view, ws.config.project).get((ws.registry.uri, wanted, alias))
    now = standing.content.version if standing is not None else None
    earlier: dict[str, Subject] = {}
    for one in reversed(history.passages(view)):
        content = one.content
        fits = content.name == wanted and content.stage == stage and content.registry == ws.registry.uri
        if fits and one.done and content.version != now and version in ("", content.version):
            earlier.setdefault(content.version, one.subject)
    if not earlier:
        raise MissingEvidenceError(
            f"{name} is what stands in {stage}"
            if version and version == now
            else f"{name} was never in {stage} before"
            if version
            else f"{wanted} has no earlier version in {stage}",
            expected=f"a version{f' other than {now}' if now else ''} that was promoted to {stage}",
            next_step="mlgov log ls --kind promotion",
        )
    reference, refused = in_force(view, stage), []
    for subject in earlier.values():
        decision = evaluate(
            subject=subject, stage=stage, project=ws.config.project, policy=reference.policy,
            policy_sha256=reference.sha256, evidence=view, at=ws.clock(),
        )  # fmt: skip
        if decision.result == "allow" or version:
            return promote(ws, subject, stage=stage)
        refused.append(decision.explain())
    raise DeniedError(
        "no earlier version is still valid:\n" + "\n".join(refused),
        expected="an earlier version that the policy in force allows now",
        next_step="assess and approve one of them again; in an emergency, mlgov promote MODEL/VERSION --break-glass",
    )


def review(
    ws: Workspace, index: int, *, reason: str, verdict: Literal["justified", "not-justified"] = "justified"
) -> Receipt:
    """Sign that one has looked at a use of break-glass."""
    if verdict not in ("justified", "not-justified"):
        raise UsageError(f"the verdict is {verdict!r}", expected="'justified' or 'not-justified'")
    reason = said(reason)
    view = ws.view()
    me = ws.me(view)
    use = _entry(view, index)
    if not isinstance(use.content, BreakGlass):
        raise UsageError(f"#{index} is a {use.kind} entry", expected="a use of break-glass", next_step="mlgov inbox")
    policy = policy_at(view, use.content.stage, use.index)
    refused = breakglass.review_refusal(me, use, policy, view)
    if refused is not None:
        raise NotAuthorizedError(f"this review would not count: {refused}")
    roles = policy.break_glass.reviewed_by if policy is not None and policy.break_glass is not None else []
    role = next(one for one in roles if one in me.roles)
    content = BreakGlassReview(target=use.payload_digest, verdict=verdict, role=role, reason=reason)
    return ws.writer.record(content, use.subjects)


def revoke(ws: Workspace, target: int | str | Subject, *, reason: str) -> tuple[Receipt, ...]:
    """Withdraw one entry, or a model with all its registrations."""
    reason = said(reason)
    view = ws.view()
    me = ws.me(view)
    if isinstance(target, str) and target.removeprefix("#").isdigit():
        target = int(target.removeprefix("#"))
    if isinstance(target, int):
        entries: tuple[Attestation, ...] = (_entry(view, target),)
    else:
        entries = view.about(ws.resolve(target, view).sha256, Registration.kind)
    for entry in entries:
        refused = withdrawal.may_revoke(me, entry, view)
        if refused is not None:
            raise NotAuthorizedError(
                refused, expected="something that you signed, or the role of risk officer or policy owner"
            )
    return ws.writer.record_all(
        [(Revocation(target=entry.payload_digest, reason=reason), entry.subjects) for entry in entries]
    )


def _entry(view: EvidenceView, index: int) -> Attestation:
    for entry in view.attestations:
        if entry.index == index:
            return entry
    raise MissingEvidenceError(
        f"there is no entry #{index} that counts", expected=f"one of #0 to #{view.size - 1}", next_step="mlgov log ls"
    )
