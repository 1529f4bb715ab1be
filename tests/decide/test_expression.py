"""Expressions: true is true and false is false; everything else is an error, in bounded time, and never a pass."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_governance.decide import cases, expression
from ml_governance.decide.approval import binding
from ml_governance.decide.cases import AT, SUBJECT
from ml_governance.decide.decision import evaluate
from ml_governance.decide.difference import difference
from ml_governance.decide.finding import Finding
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import Policy, parse_policy
from ml_governance.decide.reading import MistakesError
from ml_governance.decide.rules import apply
from ml_governance.decide.schema import policy_schema
from ml_governance.decide.sentences import explain_policy
from ml_governance.errors import PolicyError
from ml_governance.evidence.attestation import EvidenceView
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import Registration
from tests.decide.test_champion import policy as asking
from tests.decide.test_champion import view_of

SECONDS = 20
"""Far above what any test here takes, far below what it would take without the bounds."""
CASE = {
    "evidence": {
        "performance": {"all": [400, 100, 100, 400], "details": {"drift": 0.5, "notes": ["a", "b"], "gone": None}}
    }
}


def policy(**rule: Any) -> Policy:
    made = asking(metric=None, champion=None)
    return made.model_copy(update={"rules": [made.rules[0].model_copy(update=rule)]})


def findings(asked: Policy, view: EvidenceView | None = None) -> dict[str, Finding]:
    seen = view_of(asked, CASE) if view is None else view
    return {one.id: one for one in apply(asked.rules[0], SUBJECT, seen, AT, policy=asked, project="credit")}


def statuses(asked: Policy, view: EvidenceView | None = None) -> dict[str, str]:
    return {name: one.status for name, one in findings(asked, view).items()}


def decided(asked: Policy, view: EvidenceView | None = None) -> Any:
    return evaluate(
        subject=SUBJECT, stage=asked.stage, project="credit", policy=asked, policy_sha256=sha256_hex(b"policy"),
        evidence=view_of(asked, CASE) if view is None else view, at=AT,
    )  # fmt: skip


def registered_again(view: EvidenceView, **other: str) -> EvidenceView:
    """The same bytes registered once more, with other words."""
    (entry,) = view.about(SUBJECT.sha256, Registration.kind)
    again = replace(
        entry, index=view.size, payload_digest=sha256_hex(b"again"), content=entry.content.model_copy(update=other)
    )
    return replace(view, size=view.size + 1, attestations=(*view.attestations, again))


# --- the answer -------------------------------------------------------------------------------------------

VALUES = {
    "x": {"one": 1, "half": 0.5, "yes": True, "no": False, "text": "true", "none": None, "list": [1, 2, 3], "empty": []}
}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("x.yes", True), ("x.no", False), ("!x.no", True), ("x.one == 1", True), ("x.half > 0.4 && x.one < 2", True),
        ("has(x.none)", False), ("has(x.one)", True), ("x.list.all(i, i > 0)", True), ("x.list.exists(i, i > 3)", False),
        ("x.list.exists_one(i, i == 2)", True), ("x.empty.all(i, i > 0)", True), ("x['text'].startsWith('t')", True),
        ("size(x.list) == 3", True), ("x.one in x.list", True), ("timestamp('2026-01-01T00:00:00Z') > timestamp(x.text + '')", None),
    ],
)  # fmt: skip
def test_a_bool_is_the_answer(text: str, answer: bool | None) -> None:
    if answer is None:
        with pytest.raises(PolicyError):
            expression.holds(text, VALUES)
    else:
        assert expression.holds(text, VALUES) is answer


@pytest.mark.parametrize(
    "text",
    [
        "x", "x.one", "x.half", "x.text", "x.list", "x.empty", "null", "1", "'true'", "x.list[0]", "x.one + 1", "{'a': true}", "[true]",
        "x.none", "x.none == 1", "x.none != 1", "x.missing != 1", "!(x.missing == 1)", "x.list[9] == 1", "x.text.missing == 1",
        "x.one / 0 == 1", "9223372036854775807 + x.one > 0", "x.one && true", "x.text == 'true' ? 1 : 0", "x.list > 1",
        "x.list.all(i, i)", "x.half + x.one > 1.0", "timestamp(x.text) > timestamp(x.text)", "int(x.text) == 1", "-x.text == 1",
    ],
)  # fmt: skip
def test_whatever_is_neither_true_nor_false_is_an_error(text: str) -> None:
    with pytest.raises(PolicyError):
        expression.holds(text, VALUES)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        10**30,
        None,
        [None],
        [[None]],
        object(),
        b"x",
        {"a": [float("nan")]},
    ],
)
@pytest.mark.parametrize("text", ["x != 1", "x != x || true", "true || x == 1"])
def test_a_value_that_is_no_plain_value_is_an_error(value: Any, text: str) -> None:
    with pytest.raises(PolicyError):
        expression.holds(text, {"x": value})


class _Panic(BaseException):
    """What the engine raises when it panics is no Exception either."""


class _Engine:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def execute(self, _values: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


ANSWERS = (
    st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.booleans()) | st.dictionaries(st.text(), st.booleans())
    | st.sampled_from([_Panic("panic"), RuntimeError("x"), MemoryError(), RecursionError(), KeyError("x"), KeyError(), SystemError("x")])
)  # fmt: skip


@given(answer=ANSWERS | st.booleans())
def test_whatever_the_engine_returns_that_is_not_true_never_passes(answer: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expression, "_compiled", lambda _text: _Engine(answer))
        found = statuses(policy(check="true"))["CHA-01/check"]
        applied = statuses(policy(when="true"))
    if answer is True:
        assert found == "pass" and len(applied) == 2
    elif answer is False:
        assert found == "fail" and applied == {"CHA-01/when": "pass"}
    else:
        assert found == "error" and applied == {"CHA-01/when": "error"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_whoever_stops_the_program_stops_it(stop: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "_compiled", lambda _text: _Engine(stop()))
    with pytest.raises(stop):
        expression.holds("true", {})


WORDS = st.sampled_from([
    "x", "x.one", "x.list", "x.none", "true", "false", "null", "1", "0.5", "'a'", "(", ")", "[", "]", "{", "}", ".", ",",
    "?", ":", "!", "&&", "||", "==", "!=", "<", "+", "-", "*", "/", "%", "in", "i", ".all(i,", ".exists(i,", "size(", "has(",
])  # fmt: skip


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=30))
def test_no_text_does_more_than_answer_or_be_refused(text: str) -> None:
    try:
        assert expression.holds(text, VALUES) in (True, False)
    except PolicyError:
        pass


def repeated(count: int, check: str) -> str:
    rules = "".join(
        f"""
  - {{id: SUM-{number:03}, title: One of many, require: {{evidence: performance}}, check: '{check}'}}"""
        for number in range(1, count + 1)
    )
    return f"policy: sums\nversion: 1\nstage: production\npromote: {{roles: [release_manager]}}\nrules:{rules}\n"


@pytest.mark.parametrize(
    ("check", "most"),
    [
        ("details.drift < 1.0", expression.MAX_EXPRESSIONS),
        ("measurements.all(m, m.n > 1)", expression.MAX_PASSES),
        ("measurements.all(m, m.n > 1) && measurements.exists(m, m.n > 1)", expression.MAX_PASSES // 2),
    ],
)
def test_what_all_expressions_of_a_policy_cost_together_is_bounded(check: str, most: int) -> None:
    assert len(parse_policy(repeated(most, check)).rules) == most
    with pytest.raises(MistakesError, match="in a whole policy at most") as refused:
        parse_policy(repeated(most + 1, check))
    assert f"SUM-{most + 1:03}: check" in str(refused.value) and "line " in str(refused.value)


# --- what is left out, and the bounds ---------------------------------------------------------------------

NAMES = ("evidence", "measurements", "details", "model", "stage")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("true" + " " * 400, "404 characters"),
        ("(" * 13 + "true" + ")" * 13, "too many brackets"),
        ("!" * 399, "character"),
        ("1 + 1 + 1 + 1 + 1 + 1 > 0", "one more +"),
        ("now() > 1", "the function now"),
        ("env('HOME') == ''", "the function env"),
        ("getenv.HOME == ''", "the name getenv"),
        ("model.name.matches('(a*)*')", "the function matches"),
        ("details.x.map(i, i) == []", "the function map"),
        ("size(details.x.filter(i, true)) == 0", "the function filter"),
        pytest.param("measurements.all(m, measurements.all(n, true))", "the name measurements", id="all within all"),
        pytest.param(
            "measurements.all(m, m.x.all(n, m.x.all(k, true)))", "the name m", id="all over an outer variable"
        ),
        ("measurements.all(m, n == 1)", "the name n"),
        ("(measurements).all(m, true)", "all of what is put together"),
        ("[measurements, details].all(m, m.all(n, true))", "all of what is put together"),
        pytest.param(
            "(measurements + measurements).exists(m, true)", "exists of what is put together", id="sum of lists"
        ),
        ("{'a': measurements}.all(m, true)", "all of what is put together"),
        ("'abc'.all(m, true)", "all of what is put together"),
        ("1.all(m, true)", "after what has no fields"),
        ("measurements.exists(model, true)", "the variable model"),
        ("&&".join(["details.all(i, true)"] * 5), "too much at once"),
        (".model.name == 'x'", "after what has no fields"),
        ('r"a" == model.name', "quotes of another kind"),
        ('"""a""" == model.name', "quotes of another kind"),
        ("true // measurements.all(m, true)", "a comment"),
        ("`model` == 1", "'`'"),
        ("modle.name == 'x'", "did you mean 'model'"),
        ("model.name ==", "character 14: mismatched input the end"),
        ("if true", "reserved identifier"),
        ("", "character 1"),
        ("model.name\n== 'x'", "a line break"),
        ("model.name == '\u202ex'", "what cannot be seen"),
    ],
)
def test_what_is_left_out_is_refused_and_told(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        expression.read(text, NAMES)
    assert told in str(caught.value)
    assert caught.value.expected


MEASURED = [
    {"m": "a", "v": 0.5, "i": [{"l": 0.1, "u": 0.2, "s": "one"}, {"l": 0.1, "u": 0.2, "s": "two"}]} for _ in range(7600)
]
NUMBERS = list(range(99_000))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x.all(m, " + "&&".join(["m==m"] * 60) + ")", MEASURED),
        ("x.all(m, m.i.all(i, " + "&&".join(["i==i"] * 60) + "))", MEASURED),
        ("x+x+x+x+x == x", MEASURED),
        ("[" + ",".join(["x"] * 90) + "] == [" + ",".join(["x"] * 90) + "]", MEASURED),
        ("&&".join(["x[0]==x[0]"] * 32), MEASURED),
        ("x.all(a, a in [" + ",".join(["0"] * 180) + "] || true)", NUMBERS),
        ("x.contains('" + "a" * 200 + "b')", "a" * 6_000_000),
    ],
)  # fmt: skip
@pytest.mark.full
def test_the_worst_of_expressions_ends_soon(text: str, value: Any) -> None:
    began = time.process_time()
    assert expression.holds(text, {"x": value}) in (True, False)
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "value", [list(range(100_001)), "a" * 6_500_000, {str(i): 1 for i in range(100_001)}, [[1] * 500] * 201]
)
def test_more_than_can_be_looked_through_is_refused(value: Any) -> None:
    with pytest.raises(PolicyError, match="more than 100,000 values"):
        expression.holds("size(x) > 0", {"x": value, "y": 1})
    assert expression.holds("y == 1", {"x": value, "y": 1}), "what is not asked about is not counted"


def test_values_too_deep_within_each_other_are_refused() -> None:
    value: Any = 1
    for _ in range(5_000):
        value = {"a": [value]}
    with pytest.raises(PolicyError, match="too deep"):
        expression.holds("size(x) > 0", {"x": value})


# --- in a rule --------------------------------------------------------------------------------------------


def test_a_rule_applies_where_its_condition_is_true() -> None:
    assert statuses(policy(when='model.name == "credit-risk" && stage == "production"')) == {
        "CHA-01/when": "pass",
        "CHA-01": "pass",
    }


def test_a_rule_that_does_not_apply_says_so() -> None:
    (only,) = findings(policy(when='model.name == "other"')).values()
    assert (only.id, only.status) == ("CHA-01/when", "pass")
    assert "does not apply" in only.sentence and 'model.name == "other"' in only.sentence


def test_a_condition_without_an_answer_blocks() -> None:
    asked = policy(when='model.risk_tier != "low"')
    assert statuses(asked) == {"CHA-01/when": "error"}
    decision = decided(asked)
    assert (decision.result, decision.exit_code) == ("deny", 4)
    assert "CHA-01/when" in {one.about for one in decision.advice}


def test_nothing_passes_because_no_rule_applies() -> None:
    decision = decided(policy(when='model.name == "other"'))
    assert decision.result == "deny"
    assert {one.id: one.status for one in decision.findings}["GATE-rules"] == "fail"


def test_what_two_registrations_say_differently_is_not_known() -> None:
    asked = policy(when='model.version != "7"')
    view = view_of(asked, CASE)
    assert statuses(asked, view)["CHA-01/when"] == "pass"
    assert statuses(asked, registered_again(view, version="7")) == {"CHA-01/when": "error"}
    assert (
        statuses(policy(when='model.name == "credit-risk"'), registered_again(view, version="7"))["CHA-01/when"]
        == "pass"
    )


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("details.drift < 0.6", "pass"),
        ("details.drift < 0.4", "fail"),
        ("details.gone != 1", "error"),
        ("details.missing != 1", "error"),
        ("evidence.details.drift < 0.6", "error"),
        ("details.drift", "error"),
        ("evidence.dataset.rows >= 1000 && evidence.predictions == 'recomputed'", "pass"),
        ("measurements.exists(m, m.metric == 'accuracy' && m.value >= 0.8)", "pass"),
        ("measurements.exists(m, m.metric == 'accuracy' && m.value > 0.8)", "fail"),
        (f"model.digest == 'sha256:{SUBJECT.sha256}'", "pass"),
    ],
)
def test_a_check_sees_what_the_evidence_says(text: str, status: str) -> None:
    asked = policy(check=text)
    assert statuses(asked) == {"CHA-01": "pass", "CHA-01/check": status}
    assert (decided(asked).result == "allow") == (status == "pass" and not decided(asked).approvals_missing)


def test_a_check_hides_no_other_finding_and_missing_evidence_stays_missing() -> None:
    asked = policy(check="true")
    assert statuses(asked, view_of(asked, {"evidence": {}})) == {"CHA-01": "missing"}


def test_approvals_bind_to_all_that_an_expression_reads() -> None:
    asked = policy(when="has(model.name)", check="details.drift < 0.6 && has(model.name)")
    view = view_of(asked, CASE)
    (registered,) = view.about(SUBJECT.sha256, Registration.kind)
    for name in ("CHA-01/when", "CHA-01/check"):
        assert registered.payload_digest in findings(asked, view)[name].payloads
    (assessed,) = view.about(SUBJECT.sha256, "performance")
    assert assessed.payload_digest in findings(asked, view)["CHA-01/check"].payloads

    def bound(seen: EvidenceView) -> str:
        return binding(SUBJECT, asked.stage, sha256_hex(b"p"), list(findings(asked, seen).values()))

    assert bound(view) != bound(registered_again(view, version="7"))


# --- in the language --------------------------------------------------------------------------------------

TEXT = """
policy: expressions
version: 1
stage: production
promote: {roles: [release_manager]}
rules:
  - id: EXP-01
    title: Little drift
    when: 'model.name == "credit-risk"'
    require: {evidence: performance}
    check: 'details.drift < 0.2'
"""


def test_a_mistake_in_an_expression_is_told_with_its_line_and_what_was_expected() -> None:
    text = TEXT.replace("details.drift < 0.2", "details.drift <").replace("model.name ==", "modle.name ==")
    with pytest.raises(MistakesError) as caught:
        parse_policy(text, file="p.yaml")
    told = str(caught.value)
    assert (
        "p.yaml:9: EXP-01: when: character 1: the name modle is unknown here" in told and "did you mean 'model'" in told
    )
    assert "p.yaml:11: EXP-01: check: character 16: mismatched input the end; expected {" in told


@pytest.mark.parametrize(
    ("old", "new"), [("evidence: performance", "evidence: training-run"), ("check: 'details", "when2: 'details")]
)
def test_what_the_evidence_does_not_have_is_told_at_reading(old: str, new: str) -> None:
    with pytest.raises(MistakesError):
        parse_policy(TEXT.replace(old, new))


def test_a_condition_knows_nothing_of_the_evidence() -> None:
    with pytest.raises(MistakesError, match="the name details is unknown here"):
        parse_policy(TEXT.replace('model.name == "credit-risk"', "details.drift < 1.0"))


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        pytest.param("details.drift < 0.2", "details.drift < 0.1", "changed", id="another number"),
        ("details.drift < 0.2", "true || details.drift < 0.2", "changed"),
        ('model.name == "credit-risk"', "true", "changed"),
        ("    check: 'details.drift < 0.2'\n", "", "weaker"),
        ("    when: 'model.name == \"credit-risk\"'\n", "", "changed"),
    ],
)
def test_nobody_can_tell_which_of_two_expressions_is_stronger(old: str, new: str, verdict: str) -> None:
    before, after = parse_policy(TEXT), parse_policy(TEXT.replace(old, new))
    assert [one.verdict for one in difference(before, after)] == [verdict]


def test_a_new_check_asks_more_and_a_new_condition_asks_less() -> None:
    without = parse_policy(TEXT.replace("    check: 'details.drift < 0.2'\n", ""))
    always = parse_policy(TEXT.replace("    when: 'model.name == \"credit-risk\"'\n", ""))
    assert [one.verdict for one in difference(without, parse_policy(TEXT))] == ["stronger"]
    assert [one.verdict for one in difference(always, parse_policy(TEXT))] == ["weaker"]


def test_a_rule_added_where_none_may_have_applied_may_let_something_pass() -> None:
    new = "  - {id: EXP-02, title: There, require: {evidence: performance}}\n"
    always = TEXT.replace("    when: 'model.name == \"credit-risk\"'\n", "")
    assert [one.weakens for one in difference(parse_policy(TEXT), parse_policy(TEXT + new))] == [True]
    assert [one.weakens for one in difference(parse_policy(always), parse_policy(always + new))] == [False]


@pytest.mark.parametrize("text", ["true", "1 == 2", "true || details.drift < 0.2", "size([1, 2]) == 2"])
def test_an_expression_that_always_says_the_same_is_warned_of(text: str) -> None:
    assert any("check is always" in one for one in lint(parse_policy(TEXT.replace("details.drift < 0.2", text))))
    assert not any("is always" in one for one in lint(parse_policy(TEXT)))


def test_a_rule_with_a_condition_puts_no_other_in_its_shadow() -> None:
    other = TEXT + "  - {id: EXP-02, title: Fresh, require: {evidence: performance, max_age: 3d}}\n"
    other = other.replace("require: {evidence: performance}\n", "require: {evidence: performance, max_age: 1d}\n")
    other += "waivers: {roles: [risk_officer]}\n"
    assert not any("EXP-02: a waiver" in one for one in lint(parse_policy(other)))
    assert any(
        "EXP-02: a waiver" in one
        for one in lint(parse_policy(other.replace("    when: 'model.name == \"credit-risk\"'\n", "")))
    )


def test_both_are_said_in_english_and_stand_in_the_schema() -> None:
    said = explain_policy(parse_policy(TEXT))
    assert 'Only where model.name == "credit-risk" is true; elsewhere it does not apply.' in said
    assert "Of that evidence this must be true: details.drift < 0.2." in said
    rule = policy_schema()["$defs"]["Rule"]["properties"]
    assert all(
        rule[key]["type"] == "string" and rule[key]["maxLength"] == expression.MAX_LENGTH for key in ("when", "check")
    )


@pytest.mark.parametrize(("drift", "status"), [(0.1, "pass"), (0.3, "fail"), ('"0.1"', "error"), ("null", "error")])
def test_cases_reach_both(drift: Any, status: str) -> None:
    case = f"""
title: Drift
evidence: {{performance: {{all: [400, 100, 100, 400], details: {{drift: {drift}}}}}}}
expect: {{result: {"allow" if status == "pass" else "deny"}, findings: {{EXP-01/when: pass, EXP-01/check: {status}}}}}
"""
    (result,) = cases.run_cases(parse_policy(TEXT), {"drift": case})
    assert result.passed, result.detail


def test_the_engine_is_loaded_only_where_there_is_an_expression() -> None:
    import subprocess

    code = "import sys, ml_governance, ml_governance.decide.policy; sys.exit('cel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
