"""Policy cases: evidence in a compact form, and the decision that the policy must give; they run as tests.

A case is YAML::

    title: What it shows
    like: allow                     # optional: start from another case's evidence
    evidence:                       # merged over the other case's; null removes
      fairness:
        signed_by: vera
        age: 1h
        groups: {sex: {Female: [tn, fp, fn, tp], Male: [...]}}
    approvals: [{by: rita, role: risk_officer, resolves: [CRD-01/race]}]
    expect: {result: review, exit_code: 3, findings: {CRD-01/race: inconclusive}}

Everything is built from pure values; nothing is signed or stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.policy import CROSS, Policy
from ml_governance.decide.reading import read_yaml
from ml_governance.errors import GovernanceError, PolicyError
from ml_governance.evidence.attestation import Attestation, EvidenceView
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.metrics import rate_counts
from ml_governance.evidence.predicates import (
    Approval,
    Content,
    Explanation,
    Fairness,
    Interval,
    Measurement,
    Performance,
    Registration,
    Resource,
    TrainingRun,
)
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.trust import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
PEOPLE: dict[str, frozenset[str]] = {
    "ada": frozenset({"author"}),
    "vera": frozenset({"validator"}),
    "rita": frozenset({"risk_officer", "policy_owner"}),
    "max": frozenset({"release_manager"}),
    "omar": frozenset({"author", "validator", "risk_officer"}),
}
SUBJECT = Subject(name="credit-risk/1", sha256=sha256_hex(b"the model of the cases"))
MAX_INPUTS = 1000
_KEYS = {"title", "like", "evidence", "approvals", "expect"}
_SPANS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """Whether a case came out as expected, and if not, how."""

    name: str
    title: str
    passed: bool
    detail: str


def run_cases(policy: Policy, cases: Mapping[str, str]) -> tuple[CaseResult, ...]:
    """Run a policy's cases.

    Parameters
    ----------
    policy : Policy
        The policy.
    cases : mapping of name to YAML text
        The cases.

    Raises
    ------
    PolicyError
        If a case is malformed.
    """
    read = {name: _read(name, text) for name, text in cases.items()}
    return tuple(_run(policy, name, case, read) for name, case in read.items())


def _read(name: str, text: str) -> dict[str, Any]:
    value, _ = read_yaml(text)
    if not isinstance(value, dict) or not {"title", "expect"} <= set(value) <= _KEYS:
        raise PolicyError(
            f"the case {name} does not have its form",
            expected=f"title and expect, and of {', '.join(sorted(_KEYS))}",
        )
    return value


def _run(policy: Policy, name: str, case: dict[str, Any], every: Mapping[str, dict[str, Any]]) -> CaseResult:
    try:
        return _held(name, case, decide_case(policy, case, every))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PolicyError(f"the case {name} cannot be read: {type(error).__name__}: {error!s:.400}") from error
    except GovernanceError as error:
        raise PolicyError(f"the case {name} cannot be run: {error.found}") from error


def _held(name: str, case: dict[str, Any], decision: Decision) -> CaseResult:
    expect = case["expect"]
    wrong = []
    if decision.result != expect["result"]:
        wrong.append(f"the result is {decision.result}, expected {expect['result']}")
    if "exit_code" in expect and decision.exit_code != expect["exit_code"]:
        wrong.append(f"the exit code is {decision.exit_code}, expected {expect['exit_code']}")
    statuses = {finding.id: finding.status for finding in decision.findings}
    for finding, status in expect.get("findings", {}).items():
        if statuses.get(finding) != status:
            wrong.append(f"{finding} is {statuses.get(finding, 'absent')}, expected {status}")
    return CaseResult(name=name, title=str(case["title"]), passed=not wrong, detail="; ".join(wrong))


def decide_case(policy: Policy, case: Mapping[str, Any], every: Mapping[str, Mapping[str, Any]]) -> Decision:
    """Return the decision that a policy gives in a case."""
    evidence = _merged(case, every, seen=())
    entries: list[Attestation] = []
    _add(entries, "ada", timedelta(hours=3), _registration())
    for kind, compact in evidence.items():
        content, by, age = _content(kind, compact)
        _add(entries, by, age, content)

    def judged(view_entries: Sequence[Attestation]) -> Decision:
        return evaluate(
            subject=SUBJECT, stage=policy.stage, project="credit", policy=policy, policy_sha256=sha256_hex(b"policy"),
            evidence=_view(view_entries), at=AT,
        )  # fmt: skip

    bound_to = judged(entries).binding
    for one in case.get("approvals", []):
        content = Approval(
            stage=policy.stage, binding=one.get("binding", bound_to), verdict=one.get("verdict", "approve"), role=one["role"],
            reason=one.get("reason", "case"), resolves=tuple(one.get("resolves", ())),
        )  # fmt: skip
        _add(entries, one["by"], _age(one.get("age", "1m")), content)
    return judged(entries)


def _merged(case: Mapping[str, Any], every: Mapping[str, Mapping[str, Any]], seen: tuple[str, ...]) -> dict[str, Any]:
    base: dict[str, Any] = {}
    like = case.get("like")
    if like is not None:
        if like in seen or like not in every:
            raise PolicyError(f"a case is like {like!r}", expected="the name of another case, not in a circle")
        base = _merged(every[like], every, (*seen, like))
    return _over(base, case.get("evidence", {}))


def _over(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _over(merged[key], value)
        else:
            merged[key] = value
    return merged


def _add(entries: list[Attestation], by: str, age: timedelta, content: Content) -> None:
    index = len(entries)
    entries.append(
        Attestation(
            index=index,
            kind=content.kind,
            payload_digest=sha256_hex(canonicalise([index, content.to_wire()])),
            subjects=(SUBJECT,),
            content=content,
            recorded_at=AT - age,
            keyid=f"key-of-{by}",
            principal=_person(by),
        )
    )


def _person(name: str) -> Principal:
    return Principal(
        id=name, name=name, custodian=f"account of {name}", roles=PEOPLE[name], projects=frozenset({"credit"})
    )


def _view(entries: Sequence[Attestation]) -> EvidenceView:
    return EvidenceView(
        origin="cases", size=len(entries), root_hash=sha256_hex(b"cases"), attestations=tuple(entries),
        principals={name: _person(name) for name in PEOPLE}, trust_expires_at=AT + timedelta(days=365),
    )  # fmt: skip


def _registration() -> Registration:
    return Registration(registry="cases", name="credit-risk", version="1", format="file", files=1, size=1)


def _age(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * _SPANS[text[-1]])


def _content(kind: str, compact: Mapping[str, Any]) -> tuple[Content, str, timedelta]:
    age = _age(compact.get("age", "1h"))
    if kind == "training-run":
        if (count := compact.get("inputs", 1)) > MAX_INPUTS:
            raise ValueError(f"inputs is {count}, expected at most {MAX_INPUTS}")
        inputs = tuple(Resource(name=f"data/{i}", sha256=sha256_hex(str(i).encode())) for i in range(count))
        run = TrainingRun(
            event={"eventType": compact.get("event", "COMPLETE")},
            capture=compact.get("capture", "observed"),
            inputs=inputs,
        )
        return run, compact.get("signed_by", "ada"), age
    models = {"fairness": Fairness, "performance": Performance, "explanation": Explanation}
    measurements = [
        *_grouped(compact.get("groups", {})),
        *_rates((), (), compact.get("all", [])),
        *(_score(metric, numbers) for metric, numbers in compact.get("scores", {}).items()),
    ]
    content = models[kind](
        predictions=compact.get("predictions", "recomputed"),
        dataset=Resource(name="test", sha256=sha256_hex(b"test"), rows=1000),
        columns={}, confidence=0.95, min_group_size=30, measurements=tuple(measurements), software={},
    )  # fmt: skip
    return content, compact.get("signed_by", "vera"), age


def _grouped(groups: Mapping[str, Mapping[str, Sequence[int]]]) -> list[Measurement]:
    made = []
    for attribute, levels in groups.items():
        by = tuple(attribute.split(CROSS))
        for level, counts in levels.items():
            if counts is not None:
                made += _rates(by, tuple(level.split(CROSS)) if len(by) > 1 else (level,), counts)
    return made


def _rates(by: tuple[str, ...], group: tuple[str, ...], counts: Sequence[int]) -> list[Measurement]:
    if not counts:
        return []
    made = []
    for metric, (k, n) in rate_counts(*counts).items():
        common: dict[str, Any] = {
            "metric": metric,
            "by": by,
            "group": group,
            "numerator": k,
            "denominator": n,
            "n": sum(counts),
        }
        made.append(
            Measurement(**common, value=k / n, status="ok")
            if n
            else Measurement(**common, status="undefined", reason="0/0")
        )
    return made


def _score(metric: str, numbers: Sequence[float]) -> Measurement:
    value, lower, upper = (*numbers, None, None)[:3]
    intervals: tuple[Interval, ...] = ()
    if lower is not None:
        intervals = (Interval(confidence=0.95, sides="one-sided", lower=lower, upper=upper, method="case"),)
    return Measurement(metric=metric, value=value, n=1000, intervals=intervals, status="ok")
