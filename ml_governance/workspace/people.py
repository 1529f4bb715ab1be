"""The calls of a workspace about people: who may do what, and who acts in whose place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import cedar, delegation, rbac
from ml_governance.decide.policy import in_force
from ml_governance.errors import EvidenceError, MissingEvidenceError, NotAuthorizedError, UsageError
from ml_governance.evidence import mandate
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Delegation

if TYPE_CHECKING:
    from datetime import datetime

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.trust import Principal
    from ml_governance.workspace.session import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """A delegation as it stands now.

    Parameters
    ----------
    index : int
        Its ledger entry.
    role, by, to : str
        Which role, whose, and who may act in it.
    expires : datetime
        First moment at which it no longer counts, UTC.
    refusal : str or None
        Why it is not in force; None while it is.
    """

    index: int
    role: str
    by: str
    to: str
    expires: datetime
    refusal: str | None


def can(ws: Workspace, who: str, action: str, what: str | None = None, *, stage: str) -> rbac.Verdict:
    """Tell whether somebody may do something now, and why."""
    verb = action.partition(":")[0]
    if verb not in cedar.ACTIONS:
        raise UsageError(f"there is no action {action!r}", expected=f"one of {', '.join(cedar.ACTIONS)}; approve:ROLE")
    ws.config.stage(stage)
    view = ws.view()
    person = view.principals.get(who)
    if person is None:
        known = ", ".join(sorted(view.principals)) or "nobody"
        return rbac.Verdict(
            allowed=False, reason=f"the trust file in force names nobody called {who}; it names {known}"
        )
    if not any(key.valid_at(view.size) for key in person.keys):
        return rbac.Verdict(allowed=False, reason=f"{who} has no key in force, so nothing that they sign counts")
    if ws.clock() >= view.trust_expires_at:
        over = view.trust_expires_at.isoformat()
        return rbac.Verdict(allowed=False, reason=f"the trust file expired at {over}; the root must sign a new one")
    policy = _policy(view, stage)
    subject, signed = _meant(ws, view, verb, what)
    roles = sorted(rbac.approving_roles(policy)) if action == "approve" and policy is not None else []
    asked = [f"approve:{role}" for role in sorted(roles, key=lambda role: role not in person.roles)] or [action]
    verdicts = [
        rbac.may(
            person, one, policy=policy, evidence=view, subject=subject, project=ws.config.project, stage=stage, signed=signed
        )
        for one in asked
    ]  # fmt: skip
    return next((one for one in verdicts if one.allowed), verdicts[0])


def require(ws: Workspace, view: EvidenceView, action: str, subject: Subject | None = None) -> Principal:
    """Return who acts, if they may; for actions that no stage's policy is about.

    Raises
    ------
    NotAuthorizedError
        With the reason.
    """
    me = ws.me(view)
    verdict = rbac.may(me, action, policy=None, evidence=view, subject=subject, project=ws.config.project)
    if not verdict.allowed:
        raise NotAuthorizedError(verdict.reason)
    return me


def delegate(ws: Workspace, role: str, *, to: str, until: datetime, reason: str) -> Receipt:
    """Sign a delegation."""
    if not reason.strip():
        raise UsageError("the reason is empty", expected="a sentence that a reader will understand years from now")
    if until.tzinfo is None:
        raise UsageError(f"the end {until.isoformat()} has no time zone", expected="such as 2026-08-14T00:00+02:00")
    view = ws.view()
    me, current = ws.me(view), delegation.History(view).at(view.size)
    assert current is not None  # noqa: S101  a verified log begins with a trust file; this tells the type checker
    own = current.people()[me.id]
    content = Delegation(role=role, to=to, project=ws.config.project, expires=until, reason=reason.strip())
    if (fault := mandate.fault(content, own, current, ws.clock())) is not None:
        raise NotAuthorizedError(fault, expected="what the charter in force allows", next_step="mlgov keys charter")
    return ws.writer.record(content, [person_subject(to)])


def withdraw(ws: Workspace, index: int, *, reason: str) -> Receipt:
    """End a delegation before its date."""
    if not reason.strip():
        raise UsageError("the reason is empty", expected="a sentence that a reader will understand years from now")
    view = ws.view()
    ws.me(view)
    found = next((one for one in view.of_kind(Delegation.kind) if one.index == index), None)
    if found is None:
        raise MissingEvidenceError(f"#{index} is no delegation", next_step="mlgov keys delegations")
    verdict = rbac.may(ws.me(view), "revoke", policy=None, evidence=view, project=ws.config.project, signed=found)
    if not verdict.allowed:
        raise NotAuthorizedError(verdict.reason)
    return ws.writer.record(Revocation(target=found.payload_digest, reason=reason.strip()), found.subjects)


def delegations(ws: Workspace) -> tuple[Delegated, ...]:
    """Return every delegation of the project, oldest first, with why it is not in force where it is not."""
    view, at = ws.view(), ws.clock()
    history = delegation.History(view)
    return tuple(
        Delegated(
            index=one.entry.index, role=one.role, by=one.by, to=one.to, expires=one.expires,
            refusal=delegation.state(one, view, history, at),
        )
        for one in delegation.mandates(view, ws.config.project, history)
    )  # fmt: skip


def person_subject(who: str) -> Subject:
    """Return a person as a subject: what a delegation is about."""
    return Subject(name=f"person/{who}", sha256=sha256_hex(f"person/{who}".encode()))


def _policy(view: EvidenceView, stage: str) -> Policy | None:
    try:
        return in_force(view, stage).policy
    except EvidenceError:
        return None


def _meant(ws: Workspace, view: EvidenceView, verb: str, what: str | None) -> tuple[Subject | None, Attestation | None]:
    """Find the model, the data or the entry that is meant."""
    if what is None or verb == "protect":
        return None, None
    if verb == "read":
        from ml_governance.workspace import protected

        protected.newest(view, what, ws.config.project)
        return None, None
    if verb == "revoke" and what.removeprefix("#").isdigit():
        found = next((one for one in view.attestations if one.index == int(what.removeprefix("#"))), None)
        if found is None:
            raise MissingEvidenceError(f"the ledger has no entry {what} that counts", next_step="mlgov log ls")
        return None, found
    return ws.resolve(what, view), None
