"""The policy language: YAML that a compliance officer reads and writes, checked strictly.

Unknown keys, empty rule lists, duplicate ids, unknown metrics and bounds that point the wrong way are refused, all of them
at once and with their lines.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from ml_governance.decide import problems, reading
from ml_governance.decide.expression import MAX_LENGTH
from ml_governance.decide.require import BOUNDS, CROSS, Duration, Form, Name, Part, Require, Role, Text
from ml_governance.errors import EvidenceError, GovernanceError, MissingEvidenceError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import PolicyInForce

if TYPE_CHECKING:
    from collections.abc import Collection

    from ml_governance.evidence.attestation import Attestation, EvidenceView

__all__ = [
    "BOUNDS", "CROSS", "AppliesTo", "ApprovalSlot", "Policy", "PolicyInForceRef", "Promote", "Require", "Review", "Rule",
    "Waivers", "in_force", "parse_policy",
]  # fmt: skip

Expression = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
_IN_RULE = re.compile(r"rules\.(\d{1,6})\.(?:require\.(?=.))?")
RuleId = Annotated[
    str, Form(r"[A-Z][A-Z0-9]{1,9}-\d{2,4}", "capital letters, '-' and two to four digits, such as CRD-01")
]


def _author() -> list[Literal["author", "trainer"]]:
    return ["author"]


class AppliesTo(Part):
    """Which models the policy is for."""

    project: Text = "*"
    """Name of the project; `*` stands for anything."""
    model: Text = "*"
    """Registered name of the model; `*` stands for anything."""


class Promote(Part):
    """Who may promote, and who may not although they have the role."""

    roles: Annotated[list[Role], Field(min_length=1)]
    """Roles that may promote."""
    not_: list[Literal["author", "trainer"]] = Field(default_factory=list, alias="not")
    """Who may not promote the model they made: who registered it, who trained it."""


class ApprovalSlot(Part):
    """Approvals that are needed in one role."""

    role: Role
    """In which role."""
    count: int = Field(default=1, ge=1, le=20)
    """How many people."""
    expires: Duration | None = None
    """How long an approval is good for."""
    distinct_people: Literal[True] = True
    """Nobody counts twice; it cannot be switched off."""


class Review(Part):
    """Who may accept an inconclusive finding by name."""

    roles: Annotated[list[Role], Field(min_length=1)]
    """Roles that may accept one."""


class Waivers(Part):
    """Who may accept a failure, and for how long."""

    roles: list[Role] = Field(default_factory=list)
    """Roles that may waive; without any nobody may."""
    max_days: int = Field(default=30, ge=1, le=366)
    """The longest time that a waiver may run."""
    not_: list[Literal["author", "trainer"]] = Field(default_factory=_author, alias="not")
    """Who may not waive for the model they made."""


class BreakGlass(Part):
    """Who may promote against the gate's answer in an emergency, for how long, and who looks at it afterwards."""

    roles: Annotated[list[Role], Field(min_length=1)]
    """Roles that may; none of them may promote otherwise."""
    max_hours: int = Field(default=24, ge=1, le=168)
    """The longest time that an emergency may last."""
    reviewed_by: Annotated[list[Role], Field(min_length=1)]
    """Roles that look at it afterwards."""


class Rule(Part):
    """One rule."""

    id: RuleId
    """Starts with the pack's letters, such as CRD-01."""
    title: Text
    """The rule in the words of its owner."""
    when: Expression | None = None
    """A condition over `model` and `stage`, as CEL: only where it is true the rule applies; without an answer it blocks."""
    require: Require
    """What evidence, and what it must show."""
    check: Expression | None = None
    """What must be true besides, as CEL over `evidence`, `model` and `stage`, and of an assessment `measurements` and `details`."""
    on_inconclusive: Literal["review", "deny"] = "review"
    """What follows when the interval spans the bound, or a group is too small."""
    controls: list[Text] = Field(default_factory=list)
    """Ids of controls that the rule is evidence for."""


class Policy(Part):
    """A whole policy."""

    policy: Name
    """Name of the policy."""
    version: int = Field(ge=1)
    """Only a higher one replaces a policy in force."""
    stage: Text
    """The stage it guards."""
    applies_to: AppliesTo = AppliesTo()
    """Which models it is for; it denies all others."""
    promote: Promote
    """Who may promote."""
    approvals: list[ApprovalSlot] = Field(default_factory=list)
    """Approvals that are needed."""
    review: Review | None = None
    """Who may accept an inconclusive finding by name."""
    waivers: Waivers = Waivers()
    """Who may accept a failure until a date."""
    break_glass: BreakGlass | None = None
    """Who may promote in an emergency; without it nobody may."""
    rules: Annotated[list[Rule], Field(min_length=1)]
    """The rules; a model passes only if every one does."""
    mode: Literal["enforce", "warn"] = "enforce"
    """`warn` is recorded and never applies to a decision about a stage."""
    custody: Literal["any", "separate"] = "any"
    """`separate`: nobody involved may have their keys where somebody else involved has theirs."""

    def applies(self, *, project: str, model: str) -> bool:
        """Tell whether the policy is for a model of a project; ``*`` stands for anything."""
        return _matches(self.applies_to.project, project) and _matches(self.applies_to.model, model)


def _matches(pattern: str, text: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:  # the leftmost place is as good as any: no pattern takes longer than the text is long
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


# --- reading --------------------------------------------------------------------------------------------


def parse_policy(
    text: str, *, file: str | None = None, controls: Collection[str] | None = None, again: bool = False
) -> Policy:
    """Read a policy.

    Parameters
    ----------
    text : str
        YAML.
    file : str, optional
        Its name, for messages.
    controls : collection of str, optional
        Ids of controls that rules may name. A policy that is to be signed is held against the catalogue; one that is in
        force is not, for the catalogue changes and a signed text does not.
    again : bool
        Whether it was accepted before, as what is in force was.

    Raises
    ------
    MistakesError
        Naming every mistake, each with its line, what was found, what was expected and the nearest valid name.
    PolicyError
        If it is no YAML of the strict kind.
    """
    value, lines = reading.read_yaml(text, file=file, again=again)
    policy, mistakes = reading.validate(value, Policy, lines)
    told = {one.line for one in mistakes}
    mistakes += [one for one in reading.empty_values(value, lines) if one.line not in told]
    rules = _readable(value) if policy is None else dict(enumerate(policy.rules))
    mistakes += problems.of_rules(rules, lines, controls)
    if policy is not None:
        mistakes += problems.of_policy(policy, lines)
    if policy is None or mistakes:
        raise reading.MistakesError("policy", [_by_id(one, value) for one in mistakes], file)
    return policy


def _by_id(mistake: reading.Mistake, value: Any) -> reading.Mistake:
    """Name a rule by its id, which its writer knows, and not by its position."""
    match = _IN_RULE.match(mistake.where)
    rule = value["rules"][int(match[1])] if match is not None else None
    identity = rule.get("id") if isinstance(rule, dict) else None
    if match is None or not isinstance(identity, str):
        return mistake
    return replace(mistake, where=f"{identity[:80]}: {mistake.where[match.end() :]}")


def _readable(value: Any) -> dict[int, Rule]:
    """Return the rules that can be read where something else cannot, by position, so that their mistakes are told as well."""
    found = {}
    rules = value.get("rules") if isinstance(value, dict) else None
    for position, rule in enumerate(rules if isinstance(rules, list) else []):
        try:
            known = {key: part for key, part in rule.items() if key in Rule.model_fields}
            asked = {key: part for key, part in known["require"].items() if key in Require.model_fields}
            found[position] = Rule.model_validate({**known, "require": asked})
        except (ValidationError, AttributeError, KeyError):
            continue  # whatever it is has been told already
    return found


# --- which policy is in force ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForceRef:
    """The policy of a stage, from its signed copy.

    Parameters
    ----------
    policy : Policy
        The parsed text.
    sha256 : str
        Digest of the text.
    version : int
        Its version.
    attestation : Attestation
        The entry that put it in force.
    notes : tuple of str
        Entries that tried to change the policy and do not count.
    """

    policy: Policy
    sha256: str
    version: int
    attestation: Attestation
    notes: tuple[str, ...] = ()


def in_force(view: EvidenceView, stage: str) -> PolicyInForceRef:
    """Return the newest policy of a stage that a policy owner signed with a version above the one before.

    Raises
    ------
    MissingEvidenceError
        If there is none.
    EvidenceError
        If its text is not what its digest says or is not accepted any more.
    """
    return view.once(("in force", stage), lambda: _in_force(view, stage))


def _in_force(view: EvidenceView, stage: str) -> PolicyInForceRef:
    current: Attestation | None = None
    notes = []
    for entry in view.of_kind(PolicyInForce.kind):
        content = entry.content
        if not isinstance(content, PolicyInForce) or content.stage != stage:
            continue
        if "policy_owner" not in entry.principal.roles:
            notes.append(
                f"#{entry.index}: a policy signed by {entry.principal.id}, who was no policy owner, does not count"
            )
        elif current is not None and content.version <= _content(current).version:
            notes.append(
                f"#{entry.index}: a policy of version {content.version} does not replace version {_content(current).version}"
            )
        else:
            current = entry
    if current is None:
        raise MissingEvidenceError(
            f"no policy is in force for the stage {stage!r}",
            expected="one that a policy owner has signed",
            next_step="mlgov attest --policy FILE --as OWNER",
        )
    content = _content(current)
    if sha256_hex(content.text.encode()) != content.sha256:
        raise EvidenceError(
            f"the policy text at #{current.index} is not what its digest says",
            next_step="a policy owner puts the policy in force again: mlgov attest --policy FILE --as OWNER",
        )
    policy = _signed_text(content.text)
    if (policy.policy, policy.version, policy.stage) != (content.name, content.version, content.stage):
        raise EvidenceError(
            f"the policy at #{current.index} is announced as {content.name} {content.version} for {content.stage}",
            expected=f"{policy.policy} {policy.version} for {policy.stage}, as its text says",
        )
    return PolicyInForceRef(
        policy=policy, sha256=content.sha256, version=content.version, attestation=current, notes=tuple(notes)
    )


def signed_policies(view: EvidenceView, stages: Collection[str]) -> tuple[Policy, ...]:
    """Return every policy that was ever signed for some stages, whether it was in force or not; unreadable ones left out."""
    found = []
    for entry in view.of_kind(PolicyInForce.kind):
        if isinstance(entry.content, PolicyInForce) and entry.content.stage in stages:
            with suppress(GovernanceError):
                found.append(_signed_text(entry.content.text))
    return tuple(found)


@lru_cache(maxsize=64)
def _signed_text(text: str) -> Policy:
    """Read a policy that was signed; the same text is the same policy, and a policy cannot be changed."""
    return parse_policy(text, again=True)


def _content(entry: Attestation) -> PolicyInForce:
    assert isinstance(entry.content, PolicyInForce)  # noqa: S101  selected by kind; this tells the type checker
    return entry.content
