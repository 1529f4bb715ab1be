"""What is said about whether a model may enter a stage: decisions, and the words of people that they rest on."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from ml_governance.evidence.wire import Content, Name, Reason, Sha256, Wire


class Approval(Content):
    """A person says yes or no to a binding: (subject, stage, policy, evidence set, findings)."""

    kind: ClassVar[str] = "approval"
    stage: Name
    binding: Sha256
    verdict: Literal["approve", "reject"]
    role: Name
    reason: Reason
    resolves: tuple[Name, ...] = Field(default=(), description="ids of the inconclusive findings accepted by name")


class Waiver(Content):
    """A person accepts the failure of one rule until a date."""

    kind: ClassVar[str] = "waiver"
    stage: Name
    rule: Name
    binding: Sha256
    role: Name
    reason: Reason
    expires: AwareDatetime


class VerifierId(Wire):
    """Who verified, in the shape of SLSA VSA v1."""

    id: Name
    version: dict[str, str]


class PolicyRef(Wire):
    """Which policy, in the shape of SLSA VSA v1."""

    uri: Name
    digest: dict[str, str]
    version: int


class InputAttestation(Wire):
    """Which evidence, in the shape of SLSA VSA v1, with its ledger index."""

    digest: dict[str, str]
    index: int = Field(ge=0)


class FindingRecord(Wire):
    """One finding of a decision."""

    id: Name
    rule: Name
    title: str
    status: Literal["pass", "fail", "inconclusive", "insufficient", "missing", "stale", "error", "waived"]
    sentence: str
    metric: str | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None
    n: int | None = None
    evidence: tuple[int, ...] = ()
    controls: tuple[str, ...] = ()


class DecisionRecord(Content):
    """A decision in the shape of SLSA VSA v1, extended; ``review`` is FAILED there."""

    kind: ClassVar[str] = "decision"
    verifier: VerifierId
    time_verified: AwareDatetime
    resource_uri: Name
    policy: PolicyRef
    input_attestations: tuple[InputAttestation, ...]
    verification_result: Literal["PASSED", "FAILED"]
    result: Literal["allow", "deny", "review"]
    exit_code: int
    stage: Name
    binding: Sha256
    findings: tuple[FindingRecord, ...]
    approvals: tuple[InputAttestation, ...] = ()
    waivers: tuple[InputAttestation, ...] = ()
    notes: tuple[str, ...] = ()
    assurance: Name
    log_size: int = Field(ge=0)
    log_root: Sha256


class DecisionSummary(DecisionRecord):
    """A decision with all that SLSA VSA v1 requires, and what keeps its many comparisons from misleading."""

    form: ClassVar[int] = 2
    verified_levels: tuple[Name, ...] = Field(description="ml-governance:<stage> if it is allowed there, else FAILED")
    multiplicity: str = Field(description="the family of comparisons, and how each is judged within it")


class ApprovalRequest(Content):
    """Somebody asks for approvals of a binding; it grants nothing."""

    kind: ClassVar[str] = "approval-request"
    stage: Name
    binding: Sha256
    comment: Reason


class BreakGlass(Content):
    """A model enters a stage against the gate's answer, in an emergency, until a time; it stands until somebody reviews it."""

    kind: ClassVar[str] = "break-glass"
    stage: Name
    binding: Sha256
    decision: Sha256 = Field(description="payload digest of the decision that did not allow it")
    role: Name
    reason: Reason
    expires: AwareDatetime


class BreakGlassReview(Content):
    """Somebody else looked at a use of break-glass afterwards, and says whether it was justified."""

    kind: ClassVar[str] = "break-glass-review"
    target: Sha256 = Field(description="payload digest of the use")
    verdict: Literal["justified", "not-justified"]
    role: Name
    reason: Reason


class Delegation(Content):
    """A person lets another act in one of their roles until a date; the subject is the person who may act."""

    kind: ClassVar[str] = "delegation"
    role: Name
    to: Name = Field(description="id of the person who may act")
    project: Name
    expires: AwareDatetime
    reason: Reason
