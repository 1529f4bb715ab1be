"""What waits for a person: approvals they could give, waivers that end, uses of break-glass to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ml_governance.decide import breakglass, rbac
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.finding import OPEN
from ml_governance.decide.past import policy_at
from ml_governance.decide.policy import in_force
from ml_governance.decide.rules import makers
from ml_governance.errors import GovernanceError
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, DecisionRecord, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ml_governance.decide.policy import PolicyInForceRef
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal

SOON = timedelta(days=7)
"""A waiver that ends within this time is in the inbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that waits.

    Parameters
    ----------
    kind : {'approval', 'waiver', 'break-glass'}
        What is wanted: an approval, a look at a waiver that ends, a review.
    model, sha256, stage : str
        About what.
    what : str
        A sentence.
    roles : tuple of str
        In which roles the person could act.
    findings : tuple of str
        Open findings that somebody must accept by name.
    asked : tuple of str
        Who asked, and their comments.
    until : datetime or None
        When it ends.
    next_step : str
        The command.
    """

    kind: Literal["approval", "waiver", "break-glass"]
    model: str
    sha256: str
    stage: str
    what: str
    roles: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    until: datetime | None = None
    next_step: str = ""


def waiting(
    person: Principal, *, evidence: EvidenceView, stages: Iterable[str], project: str, at: datetime
) -> tuple[Item, ...]:
    """Return what waits for a person.

    Parameters
    ----------
    person : Principal
        Who.
    evidence : EvidenceView
        Verified and complete.
    stages : iterable of str
        The stages of the workspace.
    project : str
        The project.
    at : datetime
        The present, UTC.

    Returns
    -------
    tuple of Item
        Uses of break-glass first, then approvals, then waivers.
    """
    approvals: list[Item] = []
    ending: list[Item] = []
    for stage in stages:
        try:
            reference = in_force(evidence, stage)
        except GovernanceError:
            continue  # without a policy nothing can be approved, and every gate says so
        for subject in _asked_about(stage, evidence):
            decision = evaluate(
                subject=subject, stage=stage, project=project, policy=reference.policy, policy_sha256=reference.sha256,
                evidence=evidence, at=at,
            )  # fmt: skip
            approvals += _approval(person, decision, reference, evidence)
            ending += _waivers(person, decision, reference, evidence, at)
    return (*_reviews(person, evidence, at), *approvals, *ending)


def _asked_about(stage: str, evidence: EvidenceView) -> tuple[Subject, ...]:
    """Return the models whose newest decision waits for people or rests on waivers, or for which somebody asked."""
    newest: dict[str, tuple[Subject, Attestation]] = {}
    for entry in evidence.attestations:
        content = entry.content
        if isinstance(content, DecisionRecord | ApprovalRequest | Waiver) and content.stage == stage:
            for subject in entry.subjects:
                kept = newest.get(subject.sha256)
                if not (
                    isinstance(content, DecisionRecord)
                    and content.result == "deny"
                    and kept is not None
                    and not isinstance(kept[1].content, DecisionRecord)
                ):
                    newest[subject.sha256] = (subject, entry)
    return tuple(
        subject
        for subject, entry in newest.values()
        if not (isinstance(entry.content, DecisionRecord) and entry.content.result == "deny")
    )


def _approval(
    person: Principal, decision: Decision, reference: PolicyInForceRef, evidence: EvidenceView
) -> tuple[Item, ...]:
    if decision.result != "review":
        return ()
    policy, subject = reference.policy, decision.subject
    given = {
        a.content.role
        for a in decision.approvals
        if isinstance(a.content, Approval) and a.principal.id == person.id
    }  # fmt: skip
    open_ones = tuple(f.id for f in decision.findings if f.status in OPEN and f.id not in decision.accepted)
    wanted = list(dict.fromkeys(decision.approvals_missing))
    # Whoever fills one slot already fills no second one.
    roles = [role for role in wanted if role in person.roles and not given]
    review = [role for role in (policy.review.roles if policy.review else ()) if role in person.roles and open_ones]
    roles = [
        role
        for role in dict.fromkeys([*roles, *review])
        if rbac.may(person, f"approve:{role}", policy=policy, subject=subject, evidence=evidence).allowed
    ]
    if not roles:
        return ()
    findings = open_ones if set(roles) & set(review) else ()
    what = f"{subject.name} for {decision.stage} waits for an approval as {' or '.join(roles).replace('_', ' ')}"
    resolve = "".join(f" --resolve {one}" for one in findings)
    return (
        Item(
            kind="approval", model=subject.name, sha256=subject.sha256, stage=decision.stage, what=what, roles=tuple(roles),
            findings=findings, asked=_requests(subject, decision, evidence),
            next_step=f'mlgov approve {subject.name} --stage {decision.stage} --as {person.id} --reason "..."{resolve}',
        ),
    )  # fmt: skip


def _requests(subject: Subject, decision: Decision, evidence: EvidenceView) -> tuple[str, ...]:
    """Return who asked and why; a request about an earlier state says so."""
    said = []
    for entry in evidence.about(subject.sha256, ApprovalRequest.kind):
        content = entry.content
        if isinstance(content, ApprovalRequest) and content.stage == decision.stage and entry.principal.roles:
            changed = "" if content.binding == decision.binding else " (things have changed since)"
            said.append(f"{entry.principal.id} at #{entry.index}: {content.comment}{changed}")
    return tuple(said)


def _waivers(
    person: Principal, decision: Decision, reference: PolicyInForceRef, evidence: EvidenceView, at: datetime
) -> list[Item]:
    made = makers(decision.subject, evidence)
    concerned = person.id in made["author"] | made["trainer"] or bool(
        person.roles & {*reference.policy.waivers.roles, *reference.policy.promote.roles}
    )
    found = []
    for entry in {
        one.index: one for one in decision.waivers
    }.values():  # one waiver covers several findings of its rule
        content = entry.content
        if isinstance(content, Waiver) and concerned and content.expires - at <= SOON:
            ends = content.expires.isoformat(timespec="seconds")
            found.append(
                Item(
                    kind="waiver", model=decision.subject.name, sha256=decision.subject.sha256, stage=decision.stage,
                    what=f"the waiver of {content.rule} for {decision.subject.name} at #{entry.index} ends at {ends}",
                    until=content.expires, next_step=f"mend what {content.rule} found, or mlgov waive again",
                )
            )  # fmt: skip
    return found


def _reviews(person: Principal, evidence: EvidenceView, at: datetime) -> tuple[Item, ...]:
    found = []
    for use in breakglass.uses(evidence):
        policy = policy_at(evidence, use.content.stage, use.entry.index)
        if use.review is None and breakglass.review_refusal(person, use.entry, policy, evidence) is None:
            subject = use.entry.subjects[0]
            found.append(
                Item(
                    kind="break-glass", model=subject.name, sha256=subject.sha256, stage=use.content.stage,
                    what=use.sentence(at), until=use.content.expires,
                    next_step=f'mlgov review {use.entry.index} --as {person.id} --reason "..."',
                )
            )  # fmt: skip
    return tuple(found)
