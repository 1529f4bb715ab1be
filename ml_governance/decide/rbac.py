"""Who may do what: the policy's roles compiled to Cedar, with our own words for the answer.

Cedar decides *who*, never *how much*. A forbid rule that errors would be skipped and the request allowed, so the policies are
validated against a strict schema, and any error in evaluation is a refusal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.decide.rules import makers
from ml_governance.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal

_ROLE = re.compile(r"[a-z][a-z0-9_]{0,39}")

SCHEMA = """
entity Role;
entity Person in [Role];
entity Model { authors: Set<Person>, trainers: Set<Person> };
action approve, waive, promote appliesTo { principal: [Person], resource: [Model], context: { role: String } };
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether somebody may, and why or why not, as a sentence."""

    allowed: bool
    reason: str


def may(principal: Principal, action: str, *, policy: Policy, subject: Subject, evidence: EvidenceView) -> Verdict:
    """Tell whether a person may act on a model.

    Parameters
    ----------
    principal : Principal
        Who, as their key proves.
    action : str
        ``approve:<role>``, ``waive`` or ``promote``.
    policy : Policy
        Whose roles count.
    subject : Subject
        The model.
    evidence : EvidenceView
        Shows who made the model.

    Returns
    -------
    Verdict

    Raises
    ------
    PolicyError
        If the policy's roles cannot be compiled.
    """
    verb, _, role = action.partition(":")
    made = makers(subject, evidence)
    allowed = _ask(principal, verb, role, compile_roles(policy), made)
    if allowed:
        return Verdict(allowed=True, reason=f"{principal.id} may {_verb(verb, role)} {subject.name}.")
    return Verdict(allowed=False, reason=_why(principal, verb, role, policy, made, subject))


def approving_roles(policy: Policy) -> frozenset[str]:
    """Return the roles in which somebody may approve: those of the slots, and those that review."""
    return frozenset({slot.role for slot in policy.approvals} | set(policy.review.roles if policy.review else ()))


def compile_roles(policy: Policy) -> str:
    """Return the policy's roles and separations as Cedar text.

    Raises
    ------
    PolicyError
        If a role's name is none.
    """
    lines = []
    for role in sorted(approving_roles(policy)):
        lines.append(
            f'permit(principal in {_role(role)}, action == Action::"approve", resource) when {{ context.role == "{role}" }};'
        )
    for role in policy.promote.roles:
        lines.append(f'permit(principal in {_role(role)}, action == Action::"promote", resource);')
    for role in policy.waivers.roles:
        lines.append(f'permit(principal in {_role(role)}, action == Action::"waive", resource);')
    # Nobody approves their own work, whatever a policy says.
    barred: dict[str, set[str]] = {
        "approve": {"author", "trainer"},
        "promote": set(policy.promote.not_),
        "waive": set(policy.waivers.not_),
    }
    for verb, relations in barred.items():
        for relation in sorted(relations):
            lines.append(
                f'forbid(principal, action == Action::"{verb}", resource) when {{ resource.{relation}s.contains(principal) }};'
            )
    text = "\n".join(lines)
    _validate(text)
    return text


def _role(name: str) -> str:
    if not _ROLE.fullmatch(name):
        raise PolicyError(f"{name!r} cannot be a role", expected="lower-case letters, digits and '_'")
    return f'Role::"{name}"'


def _validate(text: str) -> None:
    import cedarpy

    result = cedarpy.validate_policies(text, SCHEMA)
    if not result.validation_passed:
        raise PolicyError(f"the policy's roles cannot be compiled: {'; '.join(str(error) for error in result.errors)}")


def _ask(principal: Principal, verb: str, role: str, policies: str, made: Mapping[str, frozenset[str]]) -> bool:
    import cedarpy

    known = {principal.id, *made["author"], *made["trainer"]}
    entities: list[dict[str, Any]] = [
        {
            "uid": {"type": "Person", "id": name},
            "attrs": {},
            "parents": [{"type": "Role", "id": r} for r in sorted(principal.roles)] if name == principal.id else [],
        }
        for name in sorted(known)
    ]
    entities += [{"uid": {"type": "Role", "id": r}, "attrs": {}, "parents": []} for r in sorted(principal.roles)]
    entities.append(
        {
            "uid": {"type": "Model", "id": "subject"},
            "attrs": {"authors": _people(made["author"]), "trainers": _people(made["trainer"])},
            "parents": [],
        }
    )
    request = {
        "principal": f"Person::{json.dumps(principal.id)}",
        "action": f'Action::"{verb}"',
        "resource": 'Model::"subject"',
        "context": {"role": role},
    }
    answer = cedarpy.is_authorized(request, policies, entities, schema=SCHEMA)
    return bool(answer.allowed) and not answer.diagnostics.errors


def _people(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"__entity": {"type": "Person", "id": name}} for name in sorted(names)]


def _verb(verb: str, role: str) -> str:
    return f"approve as {role.replace('_', ' ')}" if verb == "approve" else verb


def _why(
    principal: Principal,
    verb: str,
    role: str,
    policy: Policy,
    made: Mapping[str, frozenset[str]],
    subject: Subject,
) -> str:
    barred = {
        "approve": ("author", "trainer"),
        "promote": tuple(policy.promote.not_),
        "waive": tuple(policy.waivers.not_),
    }
    relations = [relation for relation in barred.get(verb, ()) if principal.id in made[relation]]
    if relations:
        also = f"; besides, {_held(principal)}" if verb == "approve" and role not in principal.roles else ""
        return (
            f"{principal.id} is {' and '.join(relations)} of {subject.name}, and nobody may {verb} their own work{also}"
        )
    if verb == "approve" and role not in approving_roles(policy):
        asked = ", ".join(sorted(approving_roles(policy))) or "none"
        return f"the policy {policy.policy} asks for no approval in the role {role!r}; it asks for {asked}"
    needed = {"approve": [role], "promote": policy.promote.roles, "waive": policy.waivers.roles}.get(verb, [])
    return f"{_held(principal)}; to {verb} {subject.name} takes {' or '.join(needed) or 'a role that the policy does not name'}"


def _held(principal: Principal) -> str:
    return f"{principal.id} has the role{'s' if len(principal.roles) != 1 else ''} {', '.join(sorted(principal.roles)) or 'none'}"
