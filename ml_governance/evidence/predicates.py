"""What each kind of statement says: the wire format of every predicate, version 1.

A predicate is the fields of :class:`~ml_governance.evidence.wire.Chain` plus the content of one of the models below, or of
:mod:`ml_governance.evidence.verdicts`. A released version never changes: a new field makes a new version beside the old one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from ml_governance.evidence.verdicts import (
    Approval,
    ApprovalRequest,
    BreakGlass,
    BreakGlassReview,
    DecisionRecord,
    DecisionSummary,
    Delegation,
    Waiver,
)
from ml_governance.evidence.wire import Content, Name, Reason, Sha256, Wire


class Resource(Wire):
    """Bytes that a fact used or made, by digest."""

    name: Name
    sha256: Sha256
    rows: int | None = Field(default=None, ge=0)


class WriterOpen(Content):
    """A writer session begins; its first record (seq 0)."""

    kind: ClassVar[str] = "writer-open"
    software: dict[str, str]


class WriterClose(Content):
    """A writer session ends; nothing of this writer may follow."""

    kind: ClassVar[str] = "writer-close"
    records: int = Field(ge=1, description="records of this writer, the closing one included")


class TrustUpdate(Content):
    """A root-signed trust file comes into force for every later leaf."""

    kind: ClassVar[str] = "trust"
    version: int = Field(ge=1)
    envelope: dict[str, Any] = Field(description="DSSE envelope of the trust file, signed by the root keys")


class PolicyInForce(Content):
    """A policy comes into force for a stage; versions only go up."""

    kind: ClassVar[str] = "policy"
    name: Name
    version: int = Field(ge=1)
    stage: Name
    sha256: Sha256 = Field(description="digest of the policy text")
    text: str


class TrainingRun(Content):
    """An OpenLineage RunEvent (START, COMPLETE, FAIL or ABORT) of a training run."""

    kind: ClassVar[str] = "training-run"
    event: dict[str, Any]
    capture: Literal["observed", "claimed"]
    inputs: tuple[Resource, ...] = ()
    outputs: tuple[Resource, ...] = ()


class Registration(Content):
    """Bytes were put into a registry under a name and version."""

    kind: ClassVar[str] = "registration"
    registry: Name
    name: Name
    version: Name
    format: Literal["mlflow-model", "joblib", "file"]
    files: int = Field(ge=1)
    size: int = Field(ge=0, description="bytes")
    model_id: str | None = None
    run: Sha256 | None = Field(default=None, description="subject digest of the training run that made it")
    capture: Literal["observed", "claimed"] = "observed"


class Interval(Wire):
    """A confidence interval; an open side is absent."""

    confidence: float = Field(gt=0, lt=1)
    sides: Literal["two-sided", "one-sided"]
    lower: float | None = None
    upper: float | None = None
    method: Name


WITHHELD = "suppressed:"
"""How the reason of a withheld number begins."""


class Measurement(Wire):
    """One number with everything needed to doubt it.

    ``by`` and ``group`` are parallel: ``by=("sex", "race"), group=("Female", "Black")``. Both empty means
    all rows; ``by`` without ``group`` means an aggregate over all groups of ``by``, such as a worst ratio.
    """

    metric: Name
    by: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    value: float | None = None
    numerator: float | None = None
    denominator: float | None = None
    n: int = Field(ge=0)
    intervals: tuple[Interval, ...] = ()
    status: Literal["ok", "undefined", "insufficient"]
    reason: str | None = Field(default=None, description="why the status is not ok, or why there is no interval")

    @property
    def withheld(self) -> bool:
        """Whether the number was left out for the sake of the people it is about; its n is then no number of rows."""
        return self.status == "undefined" and (self.reason or "").startswith(WITHHELD)


BASELINE = "baseline"
"""Key of an assessment's details: the rows' columns and predictions counted, which windows in production are compared with."""


class Assessment(Content):
    """Numbers about a model on digested rows; the subject is the model's artifact."""

    predictions: Literal["recomputed", "caller-supplied", "claimed"]
    dataset: Resource
    columns: dict[str, str | list[str]] = Field(description="y_true, y_pred, y_score, sensitive_features, pos_label")
    confidence: float = Field(gt=0, lt=1)
    min_group_size: int = Field(ge=1)
    measurements: tuple[Measurement, ...]
    details: dict[str, Any] = Field(default_factory=dict, description="curves, cubes, importances for reports")
    software: dict[str, str]
    seed: int | None = None


class Fairness(Assessment):
    """Group fairness."""

    kind: ClassVar[str] = "fairness"


class Performance(Assessment):
    """Predictive performance."""

    kind: ClassVar[str] = "performance"


class Explanation(Assessment):
    """What drives the model's output."""

    kind: ClassVar[str] = "explanation"


class DataQuality(Assessment):
    """Quality of rows that a model was trained or tested on; ``predictions`` says who measured it, for nothing is predicted."""

    kind: ClassVar[str] = "data-quality"


class Privacy(Assessment):
    """What a model, or data released with it, gives away about the rows it was trained on."""

    kind: ClassVar[str] = "privacy"


class Robustness(Assessment):
    """How decisions hold when rows are noisy, have gaps or shift, and when the model is trained again."""

    kind: ClassVar[str] = "robustness"


class SecurityScan(Assessment):
    """What stands in the artifact's files and its dependencies, read without loading them.

    ``dataset`` is the artifact itself, which has no rows; ``recomputed`` says that whoever signed read the registered bytes.
    """

    kind: ClassVar[str] = "security-scan"


class StatedReason(Wire):
    """A factor that may be a reason, and of how many declined applicants it was one of the principal ones."""

    text: Name = Field(description="as the notices word it")
    columns: tuple[Name, ...] = Field(description="what it is made of")
    stated: int | None = Field(
        default=None, ge=0, description="absent where so few were told it that it might name them"
    )


class AdverseAction(Content):
    """Principal reasons were stated to declined applicants: by which method, how many, and the digests of what they were told.

    No row stands here, no reason of any one applicant, and no digest that could be found by guessing a row's values.
    """

    kind: ClassVar[str] = "adverse-action"
    applicants: Resource = Field(description="the table that was decided on; its name, digest and number of rows")
    compared: Resource = Field(description="the table among which the baseline is found")
    baseline: Literal["at_cutoff", "all"]
    averaged: int = Field(ge=1, description="applicants whose average the shortfalls are taken from")
    average: float = Field(description="their mean output")
    cutoff: float = Field(description="on the scale of the output")
    declined_side: Literal["below", "above"]
    output: Literal["probability", "margin"]
    engine: Name
    check: str = Field(description="how the attributions were checked")
    protected: tuple[Name, ...] = Field(description="columns that move no declined applicant's output")
    at_most: int = Field(ge=1, description="reasons in one notice")
    least_covered: float = Field(
        gt=0, le=1, description="smallest share of an applicant's shortfalls that the notice holds"
    )
    declined: int = Field(ge=1)
    factors: tuple[StatedReason, ...]
    manifest: Sha256 = Field(description="digest of the list of all notices' digests")
    addressees: Sha256 = Field(description="digest of the file that says which notice is whose")
    software: dict[str, str]


class Monitoring(Assessment):
    """How a model does in production, over a window; the predictions were made by the bytes that the handle verified."""

    kind: ClassVar[str] = "monitoring"
    stage: Name
    begins: AwareDatetime
    ends: AwareDatetime
    baseline: Sha256 = Field(description="payload digest of the assessment whose rows the window is compared with")
    predicted: int = Field(ge=0, description="predictions in the window")
    labelled: int = Field(ge=0, description="of these, how many have their label")
    uncounted: int = Field(ge=0, description="of these, how many could not be counted")


class Promotion(Content):
    """One phase of a promotion: the intent consumes a single-use pass, the outcome says what happened."""

    kind: ClassVar[str] = "promotion"
    phase: Literal["intent", "outcome"]
    stage: Name
    registry: Name
    name: Name
    version: Name
    alias: Name
    previous: str | None = Field(default=None, description="version that the alias pointed to before")
    decision: Sha256
    token: Sha256 = Field(description="the single-use pass: digest of subject, stage, policy and decision")
    result: Literal["done", "failed"] | None = Field(default=None, description="of the outcome")
    detail: str | None = None


class Deployment(Content):
    """A process began to serve a model in a stage, or ended; while it serves, it looks again for withdrawals."""

    kind: ClassVar[str] = "deployment"
    phase: Literal["started", "stopped"]
    stage: Name
    registry: Name
    name: Name
    version: Name
    promotion: Sha256 = Field(description="payload digest of the promotion's intent")
    decision: Sha256 = Field(description="payload digest of the decision that the promotion rests on")
    instance: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    check_seconds: float = Field(gt=0, description="no prediction is made on an older look at the log")
    grace_seconds: float = Field(ge=0, description="how much older, while the log cannot be reached")
    detail: str | None = Field(default=None, description="why it stopped")


class Revocation(Content):
    """Evidence, an approval or a decision is withdrawn; later gates and deployments see it."""

    kind: ClassVar[str] = "revocation"
    target: Sha256 = Field(description="payload digest that is withdrawn")
    reason: Reason


class Erasure(Content):
    """A stored envelope was deleted on purpose; its leaf stays."""

    kind: ClassVar[str] = "erasure"
    leaf: int = Field(ge=0)
    payload: Sha256
    reason: Reason


MAX_HUMAN_TEXT = 20_000
"""Most characters of a text that a person signs."""


class HumanText(Content):
    """A text that a person wrote about a model and stands by: its purpose, its limits, who oversees it.

    Anybody with a role in the log's trust file may sign one; a rule says whose counts.
    """

    kind: ClassVar[str] = "human-text"
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
    sha256: Sha256 = Field(description="digest of the text in UTF-8")
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_HUMAN_TEXT)]

    @model_validator(mode="after")
    def _is_its_digest(self) -> Self:
        try:
            found = sha256(self.text.encode()).hexdigest()
        except UnicodeEncodeError as error:
            raise ValueError("the text is no Unicode") from error
        if found != self.sha256:
            raise ValueError("the text is not what its digest says")
        return self


class ProtectedData(Content):
    """Rows that are opened only by whom the charter lets; the subjects are the file's bytes and the table in it."""

    kind: ClassVar[str] = "protected-data"
    name: Name
    project: Name
    location: Name = Field(description="where the file was; its digest decides, not its place")
    format: Literal["parquet", "csv"]
    sha256: Sha256 = Field(description="digest of the file's bytes")
    table: Resource = Field(description="the rows, by the digest that assessments name")
    sensitive: Annotated[tuple[Name, ...], Field(min_length=1, description="columns for whose sake it is protected")]


class DataAccess(Content):
    """Somebody opened protected data, or tried to; recorded before any row is returned."""

    kind: ClassVar[str] = "data-access"
    name: Name
    sha256: Sha256 = Field(description="digest of the bytes that are registered")
    outcome: Literal["granted", "refused"]
    reason: Reason = Field(description="what for")
    columns: tuple[Name, ...] = Field(default=(), description="the columns asked for; none means all")
    detail: str | None = Field(default=None, description="why it was refused")


class RegistryRequest(Content):
    """What a governed registry server was asked to do, for whom, and whether the gate let it; grants nothing itself."""

    kind: ClassVar[str] = "registry-request"
    registry: Name
    operation: Name
    name: Name = Field(description="the registered model, as asked for")
    version: Name | None = None
    alias: Name | None = None
    stage: Name | None = None
    user: Name | None = Field(default=None, description="whom the server authenticated; absent: nobody")
    outcome: Literal["allowed", "refused"] = Field(description="allowed: recorded before the registry acts")
    detail: Annotated[str, StringConstraints(max_length=4000)] | None = Field(
        default=None, description="why it was refused, or what allowed it"
    )


CONTENTS: dict[str, type[Content]] = {
    model.kind: model
    for model in (
        WriterOpen, WriterClose, TrustUpdate, PolicyInForce, TrainingRun, Registration, Fairness, Performance,
        Explanation, DataQuality, Privacy, Approval, Waiver, DecisionSummary, Promotion, Revocation, Erasure, HumanText,
        ApprovalRequest, BreakGlass,
        BreakGlassReview, Delegation, ProtectedData, DataAccess, Monitoring, Deployment, RegistryRequest,
        Robustness, SecurityScan, AdverseAction,
    )
}  # fmt: skip
"""The form of each kind that is written now."""

_PREFIX = "urn:ml-governance:predicate:"


def predicate_type(kind: str, form: int = 1) -> str:
    """Return the predicateType URI of a kind in one of its forms."""
    return f"{_PREFIX}{kind}:v{form}"


_EARLIER: tuple[type[Content], ...] = (DecisionRecord,)

PREDICATES: dict[str, type[Content]] = {
    predicate_type(model.kind, model.form): model for model in (*CONTENTS.values(), *_EARLIER)
}
"""Every form that is read, by its predicateType: what was written once stays verifiable."""
