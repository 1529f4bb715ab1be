"""The policy language: YAML that a compliance officer reads and writes, checked strictly.

Unknown keys, empty rule lists, duplicate ids, unknown metrics and bounds that point the wrong way are refused, all of them
at once and with their lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ml_governance.errors import EvidenceError, MissingEvidenceError, PolicyError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.metrics import Metric, metric
from ml_governance.evidence.predicates import PolicyInForce

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation, EvidenceView

MAX_TEXT = 256 * 1024
MAX_DEPTH = 32
MAX_SHOWN = 100
ASSESSMENTS = ("fairness", "performance", "explanation")
KINDS = (*ASSESSMENTS, "training-run", "registration")
CROSS = " x "
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MERGE = "tag:yaml.org,2002:merge"
_DURATION = re.compile(r"([1-9]\d{0,5})([mhd])")


def _duration(value: Any) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 72h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Text = Annotated[str, Field(min_length=1, max_length=400)]
RuleId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,9}-\d{2,4}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _author() -> list[Literal["author", "trainer"]]:
    return ["author"]


class AppliesTo(_Part):
    """Which models the policy is for."""

    project: Text = "*"
    model: Text = "*"


class Promote(_Part):
    """Who may promote, and who may not although they have the role."""

    roles: Annotated[list[Text], Field(min_length=1)]
    not_: list[Literal["author", "trainer"]] = Field(default_factory=list, alias="not")


class ApprovalSlot(_Part):
    """Approvals that are needed in one role."""

    role: Text
    count: int = Field(default=1, ge=1, le=20)
    expires: Duration | None = None
    distinct_people: Literal[True] = True


class Review(_Part):
    """Who may accept an inconclusive finding by name."""

    roles: Annotated[list[Text], Field(min_length=1)]


class Waivers(_Part):
    """Who may accept a failure, and for how long."""

    roles: list[Text] = Field(default_factory=list)
    max_days: int = Field(default=30, ge=1, le=366)
    not_: list[Literal["author", "trainer"]] = Field(default_factory=_author, alias="not")


class Require(_Part):
    """What evidence a rule asks for, and what it must show."""

    evidence: Literal["fairness", "performance", "explanation", "training-run", "registration"]
    metric: Text | None = None
    by: list[Text] = Field(default_factory=list)
    levels: dict[str, Annotated[list[Text], Field(min_length=1, max_length=500)]] = Field(default_factory=dict)
    lower_bound_at_least: float | None = None
    upper_bound_at_most: float | None = None
    value_at_least: float | None = None
    value_at_most: float | None = None
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    one_sided: bool = True
    min_group_size: int = Field(default=30, ge=1, le=1_000_000_000)
    max_age: Duration | None = None
    predictions: Literal["recomputed", "caller-supplied", "claimed"] = "recomputed"
    signed_by: Text | None = None
    inputs_digested: bool = False

    @property
    def sides(self) -> Literal["one-sided", "two-sided"]:
        """What ``confidence`` means."""
        return "one-sided" if self.one_sided else "two-sided"

    @property
    def bound(self) -> tuple[str, float] | None:
        """Return the one bound of the rule and its number; None where evidence alone is asked for."""
        for name in BOUNDS:
            number = getattr(self, name)
            if number is not None:
                return name, float(number)
        return None

    def definition(self) -> Metric:
        """Return what the metric means."""
        return metric(self.evidence, self.metric or "")


BOUNDS = ("lower_bound_at_least", "upper_bound_at_most", "value_at_least", "value_at_most")


class Rule(_Part):
    """One rule."""

    id: RuleId
    title: Text
    require: Require
    on_inconclusive: Literal["review", "deny"] = "review"
    controls: list[Text] = Field(default_factory=list)


class Policy(_Part):
    """A whole policy."""

    policy: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
    version: int = Field(ge=1)
    stage: Text
    applies_to: AppliesTo = AppliesTo()
    promote: Promote
    approvals: list[ApprovalSlot] = Field(default_factory=list)
    review: Review | None = None
    waivers: Waivers = Waivers()
    rules: Annotated[list[Rule], Field(min_length=1)]
    mode: Literal["enforce", "warn"] = "enforce"
    custody: Literal["any", "separate"] = "any"

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


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Parameters
    ----------
    text : str
        YAML.

    Raises
    ------
    PolicyError
        Naming every problem, each with its line, what was found and what was expected.
    """
    value, lines = read_yaml(text)
    try:
        policy = Policy.model_validate(value)
    except ValidationError as error:
        problems = [f"line {_line(lines, e['loc'])}: {_where(e['loc'])}{_said(e)}" for e in error.errors()]
        raise _refused(problems) from error
    problems = _semantic(policy, lines)
    if problems:
        raise _refused(problems)
    return policy


def _refused(problems: list[str]) -> PolicyError:
    if len(problems) > MAX_SHOWN:
        problems = [*problems[:MAX_SHOWN], f"and {len(problems) - MAX_SHOWN:,} more"]
    return PolicyError(
        "the policy cannot be accepted:\n  " + "\n  ".join(problems), next_step="see docs/reference/policy.md"
    )


def _said(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "this key is unknown"
    found = error.get("input")
    if isinstance(found, int) and found.bit_length() > 64:
        found = f"a number of {found.bit_length()} bits"
    shown = f" (found {found!r:.200})" if isinstance(found, str | int | float | bool) or found is None else ""
    return str(error["msg"]).removeprefix("Value error, ") + ("" if error["type"] == "missing" else shown)


def _where(location: tuple[Any, ...]) -> str:
    path = ".".join(str(part) for part in location)
    return f"{path}: " if path else ""


def _semantic(policy: Policy, lines: dict[tuple[Any, ...], int]) -> list[str]:
    problems = []
    seen: dict[str, int] = {}
    for position, rule in enumerate(policy.rules):
        at = f"line {_line(lines, ('rules', position))}: {rule.id}: "
        if rule.id in seen:
            problems.append(f"{at}this id stands at line {seen[rule.id]} already")
        seen[rule.id] = _line(lines, ("rules", position))
        problems += [at + problem for problem in _rule_problems(rule.require)]
        if rule.on_inconclusive == "review" and policy.review is None and rule.require.bound is not None:
            problems.append(f"{at}inconclusive goes to review, and review names no roles")
    return problems


def _rule_problems(require: Require) -> list[str]:
    bounds = [name for name in BOUNDS if getattr(require, name) is not None]
    if require.metric is None:
        return ["a bound needs a metric"] if bounds or require.by else []
    if require.evidence not in ASSESSMENTS:
        return [f"{require.evidence} evidence has no metrics"]
    try:
        definition = require.definition()
    except PolicyError as error:
        return [f"{error.found}; {error.next_step or ''} {error.expected or ''}".strip()]
    problems = []
    if len(bounds) != 1:
        problems.append(f"the rule has {len(bounds)} bounds, exactly one of {', '.join(BOUNDS)} is needed")
    else:
        name, number = bounds[0], float(getattr(require, bounds[0]))
        wants = "higher" if name.endswith("at_least") else "lower"
        if definition.better not in (None, wants):
            problems.append(f"{name} on {definition.name}, of which {definition.better} is better")
        if not (definition.low is None or number >= definition.low) or not (
            definition.high is None or number <= definition.high
        ):
            problems.append(
                f"{name} is {number:g}, and {definition.name} lies between {definition.low} and {definition.high}"
            )
    if definition.form in ("ratio", "difference", "aggregate") and not require.by:
        problems.append(f"{definition.name} compares groups, and `by` names no attribute")
    strangers = sorted(set(require.levels) - set(require.by))
    if strangers:
        problems.append(f"levels of {', '.join(strangers)}, which `by` does not name")
    return problems


class _Loader(yaml.SafeLoader):
    """Safe YAML without anchors, aliases, tags and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse a node before it is made: below some depth PyYAML takes ever longer for each."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise PolicyError(f"line {line}: an anchor or alias", expected="each value written out")
        if event.tag is not None:
            raise PolicyError(f"line {line}: the tag {event.tag!r:.80}", expected="plain values without tags")
        if self.depth >= MAX_DEPTH:
            raise PolicyError(f"line {line}: the file is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_yaml(text: str) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """Read YAML strictly, with the line of every value.

    Raises
    ------
    PolicyError
        If it is too large or too deep, no YAML, or uses duplicate keys, anchors, aliases or tags.
    """
    if len(text) > MAX_TEXT:
        raise PolicyError(f"the text has {len(text):,} characters", expected=f"at most {MAX_TEXT:,}")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[tuple[Any, ...], int] = {}
        if node is None:
            raise PolicyError("the file is empty", expected="a policy")
        _walk(node, (), lines)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise PolicyError(f"{line}this is no YAML: {getattr(error, 'problem', None) or error}") from error
    except ValueError as error:  # such as a date that no calendar has
        raise PolicyError(f"a value cannot be read: {error}") from error


def _walk(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyError(f"line {key.start_mark.line + 1}: a key that is no text", expected="plain keys")
            if key.tag == _MERGE:
                raise PolicyError(f"line {key.start_mark.line + 1}: the key <<", expected="each value written out")
            if key.value in seen:
                raise PolicyError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r:.80} stands twice",
                    expected="each key once",
                )
            seen.add(key.value)
            _walk(value, (*path, key.value), lines)
            lines[(*path, key.value)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _walk(value, (*path, position), lines)


def _line(lines: dict[tuple[Any, ...], int], location: tuple[Any, ...]) -> int:
    while location not in lines and location:
        location = location[:-1]
    return lines.get(location, 1)


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
        raise EvidenceError(f"the policy text at #{current.index} is not what its digest says")
    policy = parse_policy(content.text)
    if (policy.policy, policy.version, policy.stage) != (content.name, content.version, content.stage):
        raise EvidenceError(f"the policy at #{current.index} is announced as another than its text says")
    return PolicyInForceRef(
        policy=policy, sha256=content.sha256, version=content.version, attestation=current, notes=tuple(notes)
    )


def _content(entry: Attestation) -> PolicyInForce:
    assert isinstance(entry.content, PolicyInForce)  # noqa: S101  selected by kind; this tells the type checker
    return entry.content
