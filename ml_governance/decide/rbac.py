"""Who may do what: trust file, charter and policy compiled to Cedar, with our own words for the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import cedar
from ml_governance.decide.rules import MAY_REVOKE, makers
from ml_governance.evidence.charter import LIMITED, NO_CHARTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.charter import Charter
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal

NOTHING: dict[str, frozenset[str]] = {"author": frozenset(), "trainer": frozenset(), "signer": frozenset()}
"""How people stand to something that nobody made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether somebody may, and why or why not, as a sentence."""

    allowed: bool
    reason: str


def may(
    principal: Principal,
    action: str,
    *,
    policy: Policy | None,
    evidence: EvidenceView,
    subject: Subject | None = None,
    project: str | None = None,
    stage: str | None = None,
    signed: Attestation | None = None,
) -> Verdict:
    """Tell whether a person may do something.

    Parameters
    ----------
    principal : Principal
        Who, as their key proves, with the roles that they have now: their own and delegated ones.
    action : str
        ``approve:<role>``, ``waive``, ``promote``, ``deploy``, ``train``, ``register``, ``assess``, ``revoke``, ``protect``
        (register protected data) or ``read`` (its rows).
    policy : Policy or None
        The policy in force for the stage; without one nobody approves, waives, promotes or deploys.
    evidence : EvidenceView
        Shows who made the model, and what the charter says of roles.
    subject : Subject, optional
        The model; without it, one that nobody has made yet.
    project : str, optional
        The project of what it is about; None where the caller has made sure that the person is trusted for it.
    stage : str, optional
        The stage asked for; default is the policy's.
    signed : Attestation, optional
        For ``revoke``: the entry to withdraw; whoever signed it may.

    Returns
    -------
    Verdict

    Raises
    ------
    PolicyError
        If the roles cannot be compiled.
    """
    verb, _, role = action.partition(":")
    made = dict(makers(subject, evidence)) if subject is not None else dict(NOTHING)
    made["signer"] = frozenset({signed.principal.id}) if signed is not None else frozenset()
    rules = rules_of(policy, evidence.charter)
    guarded = policy.stage if policy is not None else ""
    asked = guarded if stage is None else stage
    what = subject.name if subject is not None else f"#{signed.index}" if signed is not None else _anything(verb)
    if verb in cedar.ACTIONS and not (policy is None and verb in cedar.STAGED):
        text = cedar.compile_rules(rules)
        for roles, behalf in _capacities(principal):
            request = cedar.Request(
                person=principal.id, roles=roles, projects=principal.projects if project is not None else frozenset({"*"}),
                behalf=behalf, action=verb, role=role, stage=asked, guarded=guarded, project=project or "", related=made,
            )  # fmt: skip
            if cedar.allows(text, request, evidence.charter):
                place = f" in the place of {', '.join(sorted(behalf))}" if behalf else ""
                return Verdict(allowed=True, reason=f"{principal.id} may {_verb(verb, role)} {what}{place}.")
    reason = _why(_Asked(principal, verb, role, asked, project, what), policy, rules, made)
    return Verdict(allowed=False, reason=reason)


def together(
    principal: Principal, approvals: Sequence[Attestation], *, policy: Policy, evidence: EvidenceView
) -> Verdict:
    """Tell whether enough different people stand behind a promotion: whoever promotes, and those whose approvals count.

    Parameters
    ----------
    principal : Principal
        Who promotes.
    approvals : sequence of Attestation
        The approvals that count in the decision.
    policy : Policy
        The policy in force; it may ask for separate custody.
    evidence : EvidenceView
        Its charter says how many people.
    """
    asked = [(one.principal, {getattr(one.content, "role", "")} & approving_roles(policy)) for one in approvals]
    every = [(principal, frozenset(policy.promote.roles)), *asked]
    standing = _apart([voices for one, roles in every if (voices := one.voices(roles))])
    names = ", ".join(sorted(standing))
    if len(standing) < evidence.charter.people:
        return Verdict(
            allowed=False,
            reason=f"{len(standing)} of the {evidence.charter.people} different people whom the charter asks for stand behind "
            f"this: {names}; whoever promotes and whoever approves counts, each once, and with whoever lent them the role as one",
        )
    people = {principal.id: principal.custody, **{one.id: one.custody for one, roles in asked if roles}}
    for name in people.keys() & evidence.principals.keys():
        people[name] |= evidence.principals[name].custody
    if policy.custody == "separate":
        for name, places in sorted(people.items()):
            if name != principal.id and (shared := places & people[principal.id]):
                return Verdict(
                    allowed=False,
                    reason=f"the keys of {principal.id} and {name} are both with {min(shared)}, and {policy.policy} asks for "
                    "separate custody",
                )
    return Verdict(allowed=True, reason=f"{names} stand behind this.")


def _apart(speaking: Sequence[tuple[frozenset[str], ...]]) -> list[str]:
    """Return people of whom no two speak for the same person, whoever speaks for themselves first."""
    taken: set[str] = set()
    found = []
    for voices in sorted(speaking, key=lambda voices: (min(map(len, voices)), *map(sorted, voices))):
        voice = next((one for one in voices if one.isdisjoint(taken)), None)
        if voice is not None:
            taken |= voice
            found.append(" with ".join(sorted(voice)))
    return found


def approving_roles(policy: Policy) -> frozenset[str]:
    """Return the roles in which somebody may approve: those of the slots, and those that review."""
    return frozenset({slot.role for slot in policy.approvals} | set(policy.review.roles if policy.review else ()))


def rules_of(policy: Policy | None, charter: Charter) -> cedar.Rules:
    """Return who may do what: the stage's policy says who approves, waives and promotes, the charter limits the rest."""
    permit: dict[str, frozenset[str] | None] = dict.fromkeys(("train", "register", "assess"))
    permit |= {"revoke": MAY_REVOKE, "protect": frozenset(), "read": frozenset()}
    barred: dict[str, frozenset[str]] = {}
    if policy is not None:
        permit |= {f"approve:{role}": frozenset({role}) for role in approving_roles(policy)}
        permit |= {"promote": frozenset(policy.promote.roles), "waive": frozenset(policy.waivers.roles)}
        permit["deploy"] = permit["promote"]
        barred = {
            "approve": frozenset({"author", "trainer"}),  # nobody approves their own work, whatever a policy says
            "promote": frozenset(policy.promote.not_),
            "waive": frozenset(policy.waivers.not_),
        }
    permit |= {action: charter.grants[action] for action in LIMITED if action in charter.grants}
    permit["revoke"] = MAY_REVOKE | charter.grants.get(
        "revoke", frozenset()
    )  # to take that away would revive what they revoked
    return cedar.Rules(permit=permit, barred=barred)


def compile_roles(policy: Policy) -> str:
    """Return the policy's roles and separations as Cedar text, under a charter that limits nothing.

    Raises
    ------
    PolicyError
        If a role's name is none.
    """
    return cedar.compile_rules(rules_of(policy, NO_CHARTER))


def _capacities(principal: Principal) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return the roles that somebody holds as themselves, and those in the place of each other person."""
    lent = {role for role, _ in principal.delegated}
    places = sorted({by for _, by in principal.delegated})
    return [
        (principal.roles - lent, frozenset()),
        *((frozenset(role for role, by in principal.delegated if by == one), frozenset({one})) for one in places),
    ]


# --- reasons: Cedar gives none where nothing permits ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    principal: Principal
    verb: str
    role: str
    stage: str
    project: str | None
    what: str


def _why(asked: _Asked, policy: Policy | None, rules: cedar.Rules, made: Mapping[str, frozenset[str]]) -> str:
    person, verb = asked.principal, asked.verb
    if asked.project is not None and not {asked.project, "*"} & person.projects:
        trusted = ", ".join(sorted(person.projects)) or "no project"
        return f"{person.id} is trusted for {trusted}, and this is of {asked.project}"
    if verb in cedar.STAGED and policy is None:
        return f"no policy is in force for the stage {asked.stage!r}, so nobody may {verb}"
    if verb in cedar.STAGED and policy is not None and asked.stage != policy.stage:
        return f"the policy {policy.policy} is for {policy.stage}, not for {asked.stage}"
    relations = sorted(relation for relation in rules.barred.get(verb, ()) if person.id in made[relation])
    if relations:
        lacks = verb == "approve" and asked.role not in person.roles
        also = f"; besides, {_held(person)}" if lacks else ""
        return f"{person.id} is {' and '.join(relations)} of {asked.what}, and nobody may {verb} their own work{also}"
    if verb == "approve" and policy is not None and asked.role not in approving_roles(policy):
        named = ", ".join(sorted(approving_roles(policy))) or "none"
        return f"the policy {policy.policy} asks for no approval in the role {asked.role!r}; it asks for {named}"
    needed = rules.permit.get(f"approve:{asked.role}" if verb == "approve" else verb, frozenset()) or frozenset()
    lenders = sorted({by for role, by in person.delegated if role in needed})
    if lenders and verb in ("read", "protect"):
        return f"{person.id} holds {' or '.join(sorted(needed))} in the place of {', '.join(lenders)} only, and rows are not read so"
    if lenders:
        barred = ", ".join(lenders)
        return f"{person.id} would act in the place of {barred}, who made {asked.what}, and nobody may {verb} their own work"
    return f"{_held(person)}; to {verb} {asked.what} takes {_takes(verb, needed, policy)}"


def _takes(verb: str, needed: frozenset[str], policy: Policy | None) -> str:
    if needed:
        return " or ".join(sorted(needed))
    if verb in ("protect", "read"):
        return "a role that the charter names for it, and it names none"
    if verb in ("train", "register", "assess"):
        return "a role in the project"
    return "a role that the policy does not name" if policy is not None else "a policy in force"


def _anything(verb: str) -> str:
    if verb in ("protect", "read"):
        return "protected data"
    return "a model" if verb in ("train", "register") else "a model that somebody else made"


def _verb(verb: str, role: str) -> str:
    return f"approve as {role.replace('_', ' ')}" if verb == "approve" else verb


def _held(principal: Principal) -> str:
    return f"{principal.id} has the role{'s' if len(principal.roles) != 1 else ''} {', '.join(sorted(principal.roles)) or 'none'}"
