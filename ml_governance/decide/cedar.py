"""Roles in Cedar: people, roles, projects, stages and separations, checked against a strict schema.

Cedar decides *who*, never *how much*. It skips a forbid rule that errors and then allows, so any error in evaluation is a refusal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.errors import PolicyError
from ml_governance.evidence.charter import LIMITED, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_governance.evidence.charter import Charter

ACTIONS = ("approve", "waive", "promote", "deploy", "train", "register", "assess", "revoke", "protect", "read")
STAGED = ("approve", "waive", "promote", "deploy")
"""Actions that a policy allows for its own stage alone."""


SCHEMA = f"""
entity Role in [Role];
entity Person in [Role] {{ projects: Set<String>, everywhere: Bool, trusted: Bool, behalf: Set<Person> }};
entity Thing {{ project: String, stage: String, authors: Set<Person>, trainers: Set<Person>, signers: Set<Person> }};
action {", ".join(ACTIONS)}
  appliesTo {{ principal: [Person], resource: [Thing], context: {{ role: String, stage: String }} }};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks for what, in one capacity.

    Parameters
    ----------
    person : str
        Who.
    roles, projects : frozenset of str
        The roles of this capacity, and where the person is trusted; ``*`` is everywhere.
    behalf : frozenset of str
        For whom, where the roles are delegated.
    action : str
        One of :data:`ACTIONS`.
    role, stage : str
        The role to approve in and the stage asked for; empty where it does not matter.
    project, guarded : str
        The project of what it is about, and the stage that the policy guards.
    related : mapping of str to frozenset of str
        Who stands to it as ``author``, ``trainer`` or ``signer``.
    """

    person: str
    roles: frozenset[str]
    projects: frozenset[str]
    action: str
    project: str
    guarded: str
    behalf: frozenset[str] = frozenset()
    role: str = ""
    stage: str = ""
    related: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which roles may do what, and who may not although they have the role.

    Parameters
    ----------
    permit : mapping of str to frozenset of str or None
        Roles by action, ``approve:<role>`` for each role to approve in; None lets everybody whom the project trusts.
    barred : mapping of str to frozenset of str
        By action, the relations, ``author`` or ``trainer``, that exclude somebody and whoever acts for them.
    """

    permit: Mapping[str, frozenset[str] | None]
    barred: Mapping[str, frozenset[str]]


def compile_rules(rules: Rules) -> str:
    """Return the rules as Cedar text.

    Raises
    ------
    PolicyError
        If a role's name is none, or the text does not fit the schema.
    """
    lines = []
    for name, roles in sorted(rules.permit.items()):
        action, _, role = name.partition(":")
        when = f' when {{ context.role == "{_named(role)}" }}' if role else ""
        scope = f'action == Action::"{action}", resource)'
        if roles is None:
            lines.append(f"permit(principal, {scope} when {{ principal.trusted }};")
        lines += [f'permit(principal in Role::"{_named(one)}", {scope}{when};' for one in sorted(roles or ())]
    # Whoever signed something may take it back.
    lines.append(
        'permit(principal, action == Action::"revoke", resource) when { resource.signers.contains(principal) };'
    )
    for action, relations in sorted(rules.barred.items()):
        for relation in sorted(relations):
            these = f"resource.{relation}s"
            lines.append(
                f'forbid(principal, action == Action::"{action}", resource) '
                f"when {{ {these}.contains(principal) || {these}.containsAny(principal.behalf) }};"
            )
    lines.append(
        "forbid(principal, action, resource) "
        "unless { principal.everywhere || principal.projects.contains(resource.project) };"
    )
    staged = ", ".join(f'Action::"{action}"' for action in STAGED)
    lines.append(f"forbid(principal, action in [{staged}], resource) unless {{ context.stage == resource.stage }};")
    # Rows are read in a role of one's own, and policies for protected data are not made in another's place.
    lines.append(
        'forbid(principal, action in [Action::"read", Action::"protect"], resource) unless { principal.behalf.isEmpty() };'
    )
    text = "\n".join(lines)
    _validate(text)
    return text


def allows(policies: str, request: Request, charter: Charter) -> bool:
    """Ask Cedar; whatever cannot be evaluated is a refusal."""
    import cedarpy

    answer = cedarpy.is_authorized(_asked(request), policies, _entities(request, charter), schema=SCHEMA)
    return bool(answer.allowed) and not answer.diagnostics.errors


def _asked(request: Request) -> dict[str, Any]:
    return {
        "principal": f"Person::{json.dumps(request.person)}",
        "action": f'Action::"{request.action}"',
        "resource": 'Thing::"this"',
        "context": {"role": request.role, "stage": request.stage},
    }


def _entities(request: Request, charter: Charter) -> list[dict[str, Any]]:
    others = request.behalf.union(*request.related.values()) - {request.person}
    roles = charter.roles(request.roles)
    people = [_person(request.person, request.roles, request.projects, request.behalf)]
    people += [_person(name, frozenset(), frozenset(), frozenset()) for name in sorted(others)]
    thing = {f"{relation}s": _people(request.related.get(relation, ())) for relation in ("author", "trainer", "signer")}
    return [
        *people,
        *(_entity("Role", role, {}, charter.inherits.get(role, ())) for role in sorted(roles)),
        _entity("Thing", "this", {"project": request.project, "stage": request.guarded, **thing}, ()),
    ]


def _person(name: str, roles: frozenset[str], projects: frozenset[str], behalf: frozenset[str]) -> dict[str, Any]:
    attributes = {
        "projects": sorted(projects - {"*"}), "everywhere": "*" in projects, "trusted": bool(roles), "behalf": _people(behalf),
    }  # fmt: skip
    return _entity("Person", name, attributes, roles)


def _entity(kind: str, name: str, attributes: dict[str, Any], roles: Iterable[str]) -> dict[str, Any]:
    parents = [{"type": "Role", "id": role} for role in sorted(roles)]
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": parents}


def _people(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"__entity": {"type": "Person", "id": name}} for name in sorted(names)]


def _named(role: str) -> str:
    if not ROLE.fullmatch(role):
        raise PolicyError(f"{role!r} cannot be a role", expected="lower-case letters, digits and '_'")
    return role


def _validate(text: str) -> None:
    import cedarpy

    result = cedarpy.validate_policies(text, SCHEMA)
    if not result.validation_passed:
        raise PolicyError(f"the policy's roles cannot be compiled: {'; '.join(str(error) for error in result.errors)}")


assert set(LIMITED) <= set(ACTIONS)  # noqa: S101  a name that the charter limits and nothing asks for would limit nothing
