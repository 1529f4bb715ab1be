"""Approvals, rejections and waivers: bound to exactly what was judged, counted by people, not by keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.decide.rules import SKEW, makers, revoked, revokers
from ml_governance.errors import NotAuthorizedError
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.verdicts import Approval, Waiver

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.finding import Finding
    from ml_governance.decide.policy import ApprovalSlot, Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal


WAIVABLE = ("fail", "inconclusive", "insufficient", "stale")
"""What is missing or cannot be read is not waivable: nobody knows what would be accepted."""


def binding(
    subject: Subject, stage: str, policy_sha256: str, findings: Sequence[Finding], names: Collection[str] = ()
) -> str:
    """Return the digest of what people approve: subject, stage, policy, evidence set and findings, and names where there are several.

    Nothing in it varies with time, so recording an approval or a decision does not void it; new evidence, another policy or
    another outcome does. Numbers count to six significant digits: the last ones differ between machines that compute the same.
    """
    return sha256_hex(
        canonicalise(
            {
                "subject": subject.sha256,
                "stage": stage,
                "policy": policy_sha256,
                "evidence": sorted({payload for finding in findings for payload in finding.payloads}),
                "findings": [
                    {
                        "id": f.id,
                        "status": f.status,
                        "value": _six(f.value),
                        "lower": _six(f.lower),
                        "upper": _six(f.upper),
                        "bound": f.bound,
                    }
                    for f in sorted(findings, key=lambda f: f.id)
                ],
                # Under each of them the same bytes could be promoted; who approved one has not heard of the other.
                **({"names": sorted(names)} if len(names) > 1 else {}),
            }
        )
    )


def _six(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """The approvals that count.

    Parameters
    ----------
    approvals : tuple of Attestation
        Valid approvals of the present binding, newest of each person and role.
    rejections : tuple of Attestation
        Valid rejections of it.
    missing : tuple of str
        Roles of slots that nobody fills.
    accepted : mapping of finding id to person
        Inconclusive findings that somebody who may has accepted by name.
    notes : tuple of str
        Approvals and rejections that do not count, and why.
    """

    approvals: tuple[Attestation, ...]
    rejections: tuple[Attestation, ...]
    missing: tuple[str, ...]
    accepted: Mapping[str, str]
    notes: tuple[str, ...] = ()


def count(
    policy: Policy,
    *,
    subject: Subject,
    stage: str,
    bound_to: str,
    project: str,
    evidence: EvidenceView,
    at: datetime,
) -> Ballot:
    """Count the approvals of one binding."""
    made = makers(subject, evidence)
    own_work = made["author"] | made["trainer"]
    withdrawn = revoked(evidence)
    newest: dict[tuple[str, str], Attestation] = {}
    notes = []
    for entry in evidence.about(subject.sha256, Approval.kind):
        content = entry.content
        if not isinstance(content, Approval) or content.stage != stage:
            continue
        why = None
        if content.binding != bound_to:
            why = "is about another state of policy and evidence"
        elif _taken_back(entry, content, withdrawn.get(entry.payload_digest), own_work, revokers(evidence)):
            why = "was revoked"
        elif entry.principal.id in own_work:
            why = f"was signed by {entry.principal.id}, who made the model"
        elif content.verdict == "approve" and at - entry.recorded_at < -SKEW:  # a no counts whatever time it claims
            why = "comes from the future"
        elif not _holds(entry.principal, content.role, project):
            why = f"was signed by {entry.principal.id}, who had not the role {content.role}"
        elif content.verdict == "approve" and not _holds(
            evidence.principals.get(entry.principal.id), content.role, project
        ):
            # A no stays when its signer moves on to another role.
            why = f"was signed by {entry.principal.id}, who no longer has the role {content.role}"
        if why is None:
            newest[entry.principal.id, content.role] = entry
        else:
            notes.append(
                f"the {'approval' if content.verdict == 'approve' else 'rejection'} at #{entry.index} does not count: it {why}"
            )
    entries = sorted(newest.values(), key=lambda entry: entry.index)
    review_roles = set(policy.review.roles) if policy.review else set()
    yes = [entry for entry in entries if _approval(entry).verdict == "approve"]
    approving = {slot.role for slot in policy.approvals} | review_roles
    no = tuple(
        entry for entry in entries if _approval(entry).verdict == "reject" and _approval(entry).role in approving
    )
    slots = [slot for slot in policy.approvals for _ in range(slot.count)]
    return Ballot(
        approvals=tuple(yes),
        rejections=no,
        missing=tuple(slots[position].role for position in _unfilled(slots, yes, at)),
        accepted={
            finding: entry.principal.id
            for entry in yes
            if _approval(entry).role in review_roles and _in_time(policy, entry, at)
            for finding in _approval(entry).resolves
        },
        notes=tuple(notes),
    )


def _taken_back(
    entry: Attestation,
    content: Approval,
    withdrawal: Attestation | None,
    own_work: frozenset[str],
    may_revoke: frozenset[str],
) -> bool:
    """Tell whether a yes or a no was withdrawn; nobody takes back somebody else's no to their own work, nor a delegate for them."""
    if withdrawal is None:
        return False
    by = withdrawal.principal
    mine = content.verdict == "approve" or by.id == entry.principal.id
    return mine or any(voice.isdisjoint(own_work) for voice in by.voices(may_revoke))


def _holds(principal: Principal | None, role: str, project: str) -> bool:
    return principal is not None and role in principal.roles and bool({project, "*"} & principal.projects)


def _in_time(policy: Policy, entry: Attestation, at: datetime) -> bool:
    limits = [
        slot.expires for slot in policy.approvals if slot.role == _approval(entry).role and slot.expires is not None
    ]
    return not limits or at - entry.recorded_at <= min(limits)


def _unfilled(slots: Sequence[ApprovalSlot], approvals: Sequence[Attestation], at: datetime) -> list[int]:
    """Return the slots that stay empty when each person fills at most one (augmenting paths; the numbers are tiny)."""
    fits = [
        {
            entry.principal.id
            for entry in approvals
            if _approval(entry).role == slot.role and (slot.expires is None or at - entry.recorded_at <= slot.expires)
        }
        for slot in slots
    ]
    holder: dict[str, int] = {}

    def place(position: int, tried: set[str]) -> bool:
        for person in sorted(fits[position] - tried):
            tried.add(person)
            if person not in holder or place(holder[person], tried):
                holder[person] = position
                return True
        return False

    return [position for position in range(len(slots)) if not place(position, set())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """A failure that somebody who may has accepted until a date."""

    rule: str
    by: str
    until: datetime
    entry: Attestation


def waivers(
    policy: Policy,
    *,
    subject: Subject,
    stage: str,
    bound_to: str,
    project: str,
    evidence: EvidenceView,
    at: datetime,
) -> tuple[tuple[Waived, ...], tuple[str, ...]]:
    """Return the waivers that count, and a note for each one that does not."""
    made = makers(subject, evidence)
    barred = made["author"] | made["trainer"]  # nobody waives for their own work, whatever a policy says
    withdrawn = revoked(evidence)
    counting, notes = [], []
    for entry in evidence.about(subject.sha256, Waiver.kind):
        content = entry.content
        if not isinstance(content, Waiver) or content.stage != stage:
            continue
        reason = None
        if entry.payload_digest in withdrawn:
            reason = "was revoked"
        elif content.binding != bound_to:
            reason = "is about another state of policy and evidence"
        elif content.role not in policy.waivers.roles or not _holds(entry.principal, content.role, project):
            reason = f"was signed by {entry.principal.id}, who may not waive"
        elif not _holds(evidence.principals.get(entry.principal.id), content.role, project):
            reason = f"was signed by {entry.principal.id}, who no longer has that role"
        elif entry.principal.id in barred:
            reason = f"was signed by {entry.principal.id}, who made the model"
        elif content.expires - entry.recorded_at > timedelta(days=policy.waivers.max_days):
            reason = f"runs for more than {policy.waivers.max_days} days"
        elif not entry.recorded_at - SKEW <= at < content.expires:
            reason = f"ended at {content.expires.isoformat()}"
        if reason is None:
            counting.append(Waived(rule=content.rule, by=entry.principal.id, until=content.expires, entry=entry))
        else:
            notes.append(f"the waiver of {content.rule} at #{entry.index} does not count: it {reason}")
    return tuple(counting), tuple(notes)


def role_for(principal: Principal, *, policy: Policy, decision: Decision, resolves: Sequence[str]) -> str:
    """Choose the role in which a person approves, when they did not say.

    Raises
    ------
    NotAuthorizedError
        If the policy asks for no approval in any of their roles.
    """
    review = list(policy.review.roles) if policy.review else []
    slots = [slot.role for slot in policy.approvals]
    preferred: list[str] = [*(review if resolves else ()), *decision.approvals_missing, *slots, *review]
    for role in preferred:
        if role in principal.roles:
            return role
    raise NotAuthorizedError(
        f"{principal.id} is {', '.join(sorted(principal.roles)) or 'in no role'}",
        expected=f"one of those that {policy.policy} asks for: {', '.join(dict.fromkeys([*slots, *review])) or 'none'}",
    )


def _approval(entry: Attestation) -> Approval:
    assert isinstance(entry.content, Approval)  # noqa: S101  selected by kind; this tells the type checker
    return entry.content
