"""What a rule asks for: which evidence, and what it must show.

Descriptions of fields stand below them; the published JSON Schema takes them from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from ml_governance.decide.reading import UNKNOWN_NAME
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.metrics import Metric, metric
from ml_governance.evidence.trust import ROLES

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

CROSS = " x "
BOUNDS = ("lower_bound_at_least", "upper_bound_at_most", "value_at_least", "value_at_most")
HUMAN_TEXT = "human-text"
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9]\d{0,5})([mhd])")


def _duration(value: Any) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 72h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _kind(value: str) -> str:
    if value not in EVIDENCE_KINDS:
        known = list(EVIDENCE_KINDS)
        raise PydanticCustomError(UNKNOWN_NAME, "one of {shown}", {"known": known, "shown": ", ".join(known)})
    return value


def _role(value: str) -> str:
    if not _ROLE.fullmatch(value):
        shown = "lower-case letters, digits and '_', such as risk_officer"
        raise PydanticCustomError(UNKNOWN_NAME, "{shown}", {"known": list(ROLES), "shown": shown})
    return value


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a text, and what messages call it in place of the pattern."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the form of what is text."""
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Publish the pattern."""
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def _check(self, value: str) -> str:
        if re.fullmatch(self.pattern, value) is None:
            raise ValueError(self.words)
        return value


def _shortest(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_shortest, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["72h", "7d"]}),
]
Text = Annotated[str, Field(min_length=1, max_length=400)]
Role = Annotated[
    str,
    AfterValidator(_role),
    WithJsonSchema({"type": "string", "pattern": f"^{_ROLE.pattern}$", "examples": list(ROLES)}),
]
Kind = Annotated[str, AfterValidator(_kind), WithJsonSchema({"type": "string", "enum": list(EVIDENCE_KINDS)})]
Name = Annotated[str, Form(r"[a-z0-9][a-z0-9-]{0,79}", "lower-case letters, digits and '-', such as intended-use")]
Digest = Annotated[str, Form(r"sha256:[0-9a-f]{64}", "'sha256:' and 64 hexadecimal digits")]


def _described(model: type[BaseModel]) -> dict[str, str]:
    """Return the text below each field of a class."""
    import ast
    import inspect
    from textwrap import dedent

    (body,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101  the source of a class; this tells the type checker
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


class Part(BaseModel):
    """Base of the parts of a policy: frozen, no unknown keys, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Publish the descriptions of the keys. They are read from the source here, not whenever a policy is judged."""
        made = handler(schema)
        keys = handler.resolve_ref_schema(made)["properties"]
        for name, description in _described(cls).items():
            keys[cls.model_fields[name].alias or name]["description"] = description
        return made


class Champion(Part):
    """The model in use, which the new one must not be worse than, measured on the same rows."""

    margin: float = Field(ge=0)
    """How much worse still counts as no worse, in units of the metric. 0 asks for at least as good."""
    stage: Text | None = None
    """The stage whose model is the champion; by default the policy's own."""
    first: Literal["pass", "missing"] = "missing"
    """What follows when no model was ever promoted there under this name."""


class Require(Part):
    """What evidence a rule asks for, and what it must show."""

    evidence: Kind
    """Kind of evidence."""
    metric: Text | None = None
    """A metric of that kind; without one the evidence must only be there."""
    by: list[Text] = Field(default_factory=list)
    """Attributes whose groups are judged, each separately; `sex x race` is the crossing. The worst group counts."""
    levels: dict[str, Annotated[list[Text], Field(min_length=1, max_length=500)]] = Field(default_factory=dict)
    """Groups that must be there, by attribute; only these are judged. Without it every reported group is."""
    lower_bound_at_least: float | None = None
    """The lower bound of the interval must reach this."""
    upper_bound_at_most: float | None = None
    """The upper bound of the interval must not exceed this."""
    value_at_least: float | None = None
    """The number itself must reach this; nothing is said about chance."""
    value_at_most: float | None = None
    """The number itself must not exceed this; nothing is said about chance."""
    champion: Champion | None = None
    """Instead of a bound: no worse than the model in use."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of the bounds."""
    one_sided: bool = True
    """Whether each bound alone holds with that confidence, or both together."""
    min_group_size: int = Field(default=30, ge=1, le=1_000_000_000)
    """Rows that a group needs; fewer is insufficient and never a pass."""
    max_age: Duration | None = None
    """Older evidence is stale."""
    predictions: Literal["recomputed", "caller-supplied", "claimed"] = "recomputed"
    """The least that counts: predicted by the assessor, handed in by a caller, or made elsewhere."""
    signed_by: Role | None = None
    """A role that the signer must have had; of an assessment, somebody who did not make the model."""
    inputs_digested: bool = False
    """For training runs: inputs must be named by digest."""
    inputs: list[Digest] = Field(default_factory=list)
    """For training runs: every input must be one of these; by default any."""
    dataset: list[Digest] = Field(default_factory=list)
    """The test data must be one of these; by default any."""
    max_attempts: int | None = Field(default=None, ge=1, le=100_000)
    """How many recorded assessments of this kind may have used the same test data, this one included, over all versions."""
    no_overlap_with: Literal["training"] | None = None
    """The test data must share no rows with the training data."""
    max_overlap: float = Field(default=0.0, ge=0, lt=1)
    """Share of test rows that may equal a training row all the same, as where people are alike in every column."""
    text: Name | None = None
    """Name of the text that a person must have signed."""

    @property
    def sides(self) -> Literal["one-sided", "two-sided"]:
        """What ``confidence`` means."""
        return "one-sided" if self.one_sided else "two-sided"

    @property
    def bound(self) -> tuple[str, float] | None:
        """Return the one bound of the rule and its number; None where evidence alone, or a comparison, is asked for."""
        for name in BOUNDS:
            number = getattr(self, name)
            if number is not None:
                return name, float(number)
        return None

    @property
    def judged_by_interval(self) -> bool:
        """Whether a finding can be inconclusive."""
        return self.champion is not None or (self.bound or ("",))[0] in BOUNDS[:2]

    @property
    def only_measured(self) -> bool:
        """Whether no number of the metric misses the bound, so that one must only be there: for rules that set no threshold."""
        if self.bound is None or self.metric is None:
            return False
        definition = self.definition()
        return self.bound in (("value_at_least", definition.low), ("value_at_most", definition.high))

    @property
    def assessment(self) -> bool:
        """Whether the evidence judges the model."""
        return EVIDENCE_KINDS[self.evidence].assessment

    def definition(self) -> Metric:
        """Return what the metric means."""
        return metric(self.evidence, self.metric or "")
