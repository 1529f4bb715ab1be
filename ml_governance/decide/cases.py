"""Policy cases: evidence in a compact form, and the decision that the policy must give; they run as tests.

A case is YAML::

    title: What it shows
    like: allow                     # optional: start from another case's evidence
    model: credit-risk              # optional: its name; by default one that the policy is for. So with `project`
    people: {carla: [committee]}    # optional: roles of others than ada, vera, rita, max and omar
    evidence:                       # merged over the other case's; null removes
      fairness:
        signed_by: vera
        age: 1h
        groups: {sex: {Female: [tn, fp, fn, tp], Male: [...]}}
        over: {sex: {roc_auc_difference: [value, lower, upper]}}    # of one-sided 95 %; two more numbers: of two-sided
        dataset: test               # the test data, and how many of its rows are in which training data
        shared: {data/0: 0}
        details: {drift: 0.1}       # what the assessment says besides, for `check`
        paired: {accuracy: [both, only this, only the champion, neither]}
        earlier: 2                  # assessments of a version that came to nothing, on the same data
      performance: {all: [tn, fp, fn, tp], scores: {roc_auc: [value, lower, upper]}}
      training-run: {signed_by: ada, inputs: 2}     # data/0 and data/1
      registration: {signed_by: ada, age: 3h}       # always there; who signed it, and when
      deployment: {signed_by: max, age: 5d}         # it was served, so that model.deployed is true
      monitoring: {scores: {largest_psi_excess: [0.02], uncounted_share: [0.0]}}
      human-text: {intended-use: {signed_by: rita, age: 30d, text: What it is for}}
    champion: {promoted_by: max, performance: {all: [tn, fp, fn, tp]}}      # an earlier version that is in use
    approvals: [{by: rita, role: risk_officer, resolves: [CRD-01/race]}]
    expect: {result: review, exit_code: 3, findings: {CRD-01/race: inconclusive}}

Everything is built from pure values; nothing is signed or stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from ml_governance.decide import case_champion
from ml_governance.decide.case_evidence import PREVIOUS, age_of, contents, registration
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.finding import Status
from ml_governance.decide.reading import nearest, read_yaml
from ml_governance.errors import GovernanceError, PolicyError
from ml_governance.evidence.attestation import Attestation, EvidenceView
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import Registration
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.trust import Principal
from ml_governance.evidence.verdicts import Approval

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.wire import Content

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
PEOPLE: dict[str, frozenset[str]] = {
    "ada": frozenset({"author"}),
    "vera": frozenset({"validator"}),
    "rita": frozenset({"risk_officer", "policy_owner"}),
    "max": frozenset({"release_manager"}),
    "omar": frozenset({"author", "validator", "risk_officer"}),
}
SUBJECT = Subject(name="credit-risk/1", sha256=sha256_hex(b"the model of the cases"))
PROJECT, MODEL = "credit", "credit-risk"
RESULTS = ("allow", "review", "deny")
_KEYS = {"title", "like", "model", "project", "people", "evidence", "champion", "approvals", "expect"}
TRIED = Subject(name="credit-risk/0-tried", sha256=sha256_hex(b"the version of the cases that came to nothing"))
_EXPECTED = {"result", "exit_code", "findings"}
_APPROVAL = {"by", "role", "age", "verdict", "binding", "reason", "resolves"}


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
    try:
        value: Any = read_yaml(text)[0]
    except PolicyError as error:
        raise PolicyError(f"the case {name}: {error.found}", expected=error.expected) from error
    try:
        _only(value, _KEYS, "it", needed=("title", "expect"))
        _only(value["expect"], _EXPECTED, "expect", needed=("result",))
        _among(value["expect"]["result"], RESULTS, "result of expect")
        for status in value["expect"].get("findings", {}).values():
            _among(status, get_args(Status), "status of a finding")
    except (TypeError, ValueError, AttributeError) as error:
        raise PolicyError(f"the case {name} cannot be read: {error!s:.400}") from error
    return dict(value)


def _run(policy: Policy, name: str, case: dict[str, Any], every: Mapping[str, dict[str, Any]]) -> CaseResult:
    try:
        return _held(name, case, decide_case(policy, case, every))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        what = ".".join(map(str, first["loc"]))
        raise PolicyError(
            f"the case {name} cannot be read: {what}: {first['msg']}, found {first['input']!r:.100}"
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PolicyError(f"the case {name} cannot be read: {error!s:.400}") from error
    except GovernanceError as error:
        raise PolicyError(f"the case {name} cannot be run: {error.found}", expected=error.expected) from error


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
    if wrong:  # and why it is so, of what the case did not speak about
        named = expect.get("findings", {})
        told = [one for one in decision.findings if one.status not in ("pass", "waived") and one.id not in named]
        wrong += [f"{one.id} is {one.status}: {one.sentence}" for one in told]
        wrong += [f"an approval in the role {role} is missing" for role in decision.approvals_missing]
    return CaseResult(name=name, title=str(case["title"]), passed=not wrong, detail="; ".join(wrong))


def decide_case(policy: Policy, case: Mapping[str, Any], every: Mapping[str, Mapping[str, Any]]) -> Decision:
    """Return the decision that a policy gives in a case."""
    cast = _cast(policy, case, _merged("people", case, every, seen=()))
    entries: list[Attestation] = []
    _add_champion(entries, cast, policy, _merged("champion", case, every, seen=()))
    evidence = _merged("evidence", case, every, seen=())
    if case.get("evidence", {}).get(Registration.kind, {}) is None:
        raise ValueError("registration is removed, and without one nothing says which model the case is about")
    for kind, compact in {Registration.kind: {}, **evidence}.items():
        for made in contents(kind, compact, model=cast.model):
            for _ in range(made.earlier):
                _add(entries, cast, made.by, made.age, made.content, TRIED)
            _add(entries, cast, made.by, made.age, made.content)

    def judged(view_entries: Sequence[Attestation]) -> Decision:
        return evaluate(
            subject=SUBJECT, stage=policy.stage, project=cast.project, policy=policy, policy_sha256=sha256_hex(b"policy"),
            evidence=_view(view_entries, cast), at=AT,
        )  # fmt: skip

    bound_to = judged(entries).binding
    approvals = case.get("approvals", [])
    if not isinstance(approvals, list):
        raise TypeError(f"approvals are {approvals!r:.100}, expected a list, one in each line after '- '")
    for one in approvals:
        _only(one, _APPROVAL, "an approval", needed=("by", "role"))
        content = Approval(
            stage=policy.stage, binding=one.get("binding", bound_to), verdict=one.get("verdict", "approve"), role=one["role"],
            reason=one.get("reason", "case"), resolves=tuple(one.get("resolves", ())),
        )  # fmt: skip
        _add(entries, cast, one["by"], age_of(one.get("age", "1m")), content)
    return judged(entries)


def _only(given: Any, known: Collection[str], what: str, needed: Sequence[str] = ()) -> None:
    """Refuse a key that means nothing: the case would hold for another reason than its writer thinks."""
    if not isinstance(given, dict):
        raise TypeError(f"{what} is {given!r:.100}, expected keys with values: some of {', '.join(sorted(known))}")
    for key in given.keys() - known:
        near = nearest(str(key), known)
        raise ValueError(
            f"{what} has the key {key!r}, expected some of {', '.join(sorted(known))}"
            + (f"; did you mean {near!r}?" if near else "")
        )
    for key in needed:
        if given.get(key) is None:
            raise ValueError(f"{what} has no {key}, expected {' and '.join(needed)}")


def _among(given: Any, known: Sequence[str], what: str) -> None:
    if given not in known:
        raise ValueError(f"the {what} is {given!r:.100}, expected one of {', '.join(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """Who and what a case is about."""

    project: str = PROJECT
    model: str = MODEL
    people: Mapping[str, frozenset[str]] = field(default_factory=lambda: PEOPLE)


_USUAL = _Cast()


def _cast(policy: Policy, case: Mapping[str, Any], people: Mapping[str, Any]) -> _Cast:
    """Return what a case is about: where it does not say, a model of a project that the policy is for."""
    meant = policy.applies_to
    project = PROJECT if policy.applies(project=PROJECT, model=meant.model) else meant.project.replace("*", PROJECT)
    model = MODEL if policy.applies(project=meant.project, model=MODEL) else meant.model.replace("*", "model")
    return _Cast(
        project=str(case.get("project", project)),
        model=str(case.get("model", model)),
        people={**PEOPLE, **{name: frozenset(roles) for name, roles in people.items()}},
    )


def _add_champion(entries: list[Attestation], cast: _Cast, policy: Policy, champion: Mapping[str, Any]) -> None:
    """Add two earlier versions: registered, and if the case speaks of a champion, one of them assessed and promoted."""
    _add(entries, cast, "ada", timedelta(hours=9), registration(cast.model, "0"), PREVIOUS)
    _add(entries, cast, "ada", timedelta(hours=9), registration(cast.model, "0-tried"), TRIED)
    if not champion:
        return
    stage, by = champion.get("stage", policy.stage), champion.get("promoted_by", "max")

    def add(who: str, content: Content) -> Attestation:
        _add(entries, cast, who, timedelta(hours=8), content, PREVIOUS)
        return entries[-1]

    case_champion.promotion(
        policy, PREVIOUS, cast.model, stage=stage, project=cast.project, by=by, at=AT - timedelta(hours=8), add=add,
        view=lambda: _view(entries, cast),
    )  # fmt: skip
    for kind, compact in champion.items():
        if kind not in ("stage", "promoted_by"):
            for made in contents(kind, compact, model=cast.model):
                _add(entries, cast, made.by, made.age, made.content, PREVIOUS)


def _merged(
    part: str, case: Mapping[str, Any], every: Mapping[str, Mapping[str, Any]], seen: tuple[str, ...]
) -> dict[str, Any]:
    base: dict[str, Any] = {}
    like = case.get("like")
    if like is not None:
        if like in seen or like not in every:
            names = ", ".join(one for one in every if one not in seen)
            raise PolicyError(
                f"it is like {like!r}", expected=f"the name of another case, not in a circle: {names:.300}"
            )
        base = _merged(part, every[like], every, (*seen, like))
    own = case.get(part, {})
    if not isinstance(own, dict):
        raise TypeError(f"{part} is {own!r:.100}, expected keys with values")
    return _over(base, own)


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


def _add(
    entries: list[Attestation], cast: _Cast, by: str, age: timedelta, content: Content, subject: Subject = SUBJECT
) -> None:
    index = len(entries)
    entries.append(
        Attestation(
            index=index,
            kind=content.kind,
            payload_digest=sha256_hex(canonicalise([index, content.to_wire()])),
            subjects=(subject,),
            content=content,
            recorded_at=AT - age,
            keyid=f"key-of-{by}",
            principal=_person(by, cast),
        )
    )


def _person(name: str, cast: _Cast = _USUAL) -> Principal:
    roles = cast.people.get(name, case_champion.THEN.get(name))
    if roles is None:
        known = ", ".join(f"{who} ({', '.join(sorted(roles))})" for who, roles in cast.people.items())
        raise ValueError(f"nobody in the case is {name!r:.100}, expected one of {known}, or somebody under people")
    return Principal(
        id=name, name=name, custodian=f"account of {name}", roles=roles, projects=frozenset({cast.project})
    )


def _view(entries: Sequence[Attestation], cast: _Cast = _USUAL) -> EvidenceView:
    return EvidenceView(
        origin="cases", size=len(entries), root_hash=sha256_hex(b"cases"), attestations=tuple(entries),
        principals={name: _person(name, cast) for name in (*cast.people, *case_champion.THEN)}, trust_expires_at=AT + timedelta(days=365),
    )  # fmt: skip
