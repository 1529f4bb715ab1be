from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.decide.cases import run_cases
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import parse_policy
from ml_governance.decide.sentences import explain_policy
from ml_governance.errors import GovernanceError, PolicyError
from ml_governance.workspace import packs

SHIPPED = packs()["credit-scoring"] / "policy.yaml"
TEXT = SHIPPED.read_text()

SMALL = """
policy: small
version: 1
stage: production
promote: {roles: [release_manager]}
review: {roles: [risk_officer]}
rules:
  - id: SML-01
    title: Rates are alike
    require: {evidence: fairness, metric: selection_rate_ratio, by: [sex], lower_bound_at_least: 0.8}
"""


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_shipped_policy_is_accepted_explained_and_clean() -> None:
    policy = parse_policy(TEXT)
    text = explain_policy(policy)
    for rule in policy.rules:
        assert rule.id in text and rule.title in text
    assert "with 95% one-sided confidence at least 0.8" in text
    assert lint(policy) == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("stage: production", "stage: production\ncolour: red", "line 5: colour: this key is unknown"),
        ("lower_bound_at_least: 0.8", "lower_bound_at_most: 0.8", "this key is unknown"),
        ("selection_rate_ratio", "selection_rate_ration", "did you mean 'selection_rate_ratio'"),
        ("lower_bound_at_least: 0.8", "upper_bound_at_most: 0.8", "of which higher is better"),
        ("lower_bound_at_least: 0.8", "lower_bound_at_least: 80", "0 to 1; 80 % is 0.8"),
        (
            "lower_bound_at_least: 0.8",
            'lower_bound_at_least: "0.8"',
            "SML-01: lower_bound_at_least: found '0.8'; expected a number",
        ),
        ("lower_bound_at_least: 0.8", "lower_bound_at_least: 80%", "a number with a point and without quotes"),
        ("selection_rate_ratio", "selection_ratio", "did you mean 'selection_rate_ratio'"),
        (
            "selection_rate_ratio",
            "approval rate",
            "`mlgov assess --list-metrics --kind fairness` lists, such as base_rate, selection_rate",
        ),
        ("by: [sex]", "by: sex", "SML-01: by: found 'sex'; expected a list"),
        ("by: [sex]", "by: [sex], levels: {sex: [yes, no]}", "found true; expected text, in quotes"),
        ("by: [sex]", "by: [sex], max_age: 2026-01-31", "found the date 2026-01-31; expected a duration"),
        ("promote: {roles: [release_manager]}", "promote: release_manager", "keys with values"),
        ("version: 1", "version: 1.0", "a whole number"),
        ("policy: small", "policy: A Small One", "lower-case letters, digits and '-'"),
        ("SML-01", "small 1", "such as CRD-01"),
        ("lower_bound_at_least: 0.8", "lower_bound_at_least: .nan", "finite"),
        (", lower_bound_at_least: 0.8", "", "has 0 bounds"),
        ("lower_bound_at_least: 0.8", "lower_bound_at_least: 0.8, value_at_least: 0.9", "has 2 bounds"),
        ("by: [sex], ", "", "names no attribute"),
        ("by: [sex]", "by: [sex], levels: {race: [a]}", "levels of race"),
        ("by: [sex]", "by: [sex], levels: {sex: []}", "at least 1 item"),
        ("by: [sex]", "by: [sex], levels: {sex: [" + "a, " * 500 + "b]}", "at most 500 items"),
        ("by: [sex]", "by: [sex], min_group_size: 0x" + "f" * 500, "less than or equal to 1000000000"),
        ("SML-01", "first", "id"),
        ("by: [sex]", "by: [sex], max_age: soon", "duration such as 72h"),
        ("by: [sex]", "by: [sex], confidence: 95", "less than 1"),
        ("evidence: fairness", "evidence: rumours", "evidence"),
        ("version: 1", "version: 0", "version"),
        ("version: 1", "version: yes", "version"),
        ("review: {roles: [risk_officer]}\n", "", "review names no roles"),
        ("promote: {roles: [release_manager]}", "promote: {roles: []}", "at least 1 item"),
        ("policy: small", "policy: small\npolicy: other", "stands twice"),
        ("policy: small", "policy: &a small", "anchor"),
        ("policy: small", "policy: *a", "anchor or alias"),
        ("policy: small", "policy: !!str small", "tag"),
        ("version: 1", "version: !!int x", "tag"),
        ("policy: small", "policy: small\n<<: {policy: other}", "the key <<"),
        (
            "promote:",
            "approvals: [{role: validator, count: 0x" + "f" * 20_000 + "}]\npromote:",
            "a number of 80000 bits",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, words: str) -> None:
    parse_policy(SMALL)
    changed = SMALL.replace(old, new)
    assert changed != SMALL
    said = refused(changed)
    assert words in said
    assert "line " in said


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    require:", "\trequire:", 10, "no tab"),
        ("    require:", "   require:", 10, "as many spaces before the line"),
        ("    require:", "     require:", 10, "indented like its neighbours"),
        ("title: ", "title: note: ", 9, "quotes around a text with a colon"),
        ("by: [sex]", "by: [sex", 10, "a bracket at the end"),
        ("title: ", "title: @", 9, "quotes around a text that begins with this sign"),
        ("title: ", "title: '", 11, "a quote at the end"),
    ],
)
def test_a_slip_in_yaml_is_told_in_plain_words_with_file_and_line(old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(SMALL.replace(old, new), file="policies/small.yaml")
    assert str(caught.value).startswith(f"policies/small.yaml:{line}: this is no YAML")
    assert words in (caught.value.expected or "")


def test_all_mistakes_are_told_at_once() -> None:
    said = refused(SMALL.replace("version: 1", "version: 0\nextra: 1").replace("SML-01", "x"))
    assert said.count("line ") >= 3


def test_very_many_mistakes_are_counted() -> None:
    said = refused(SMALL.partition("rules:")[0] + "rules: [" + "1, " * 1000 + "1]")
    assert "and 901 more" in said
    assert said.count("\n") < 200


def test_empty_and_duplicate_rules_are_refused() -> None:
    head, _, rules = SMALL.partition("rules:\n")
    assert "at least 1 item" in refused(head + "rules: []")
    assert "stands at line" in refused(SMALL + rules)


@pytest.mark.parametrize(
    "number", ['"0.9"', "yes", ".nan", ".inf", "[]"], ids=["text", "truth", "not a number", "endless", "list"]
)
def test_a_text_or_a_truth_value_is_no_number(number: str) -> None:
    assert "line " in refused(SMALL.replace("lower_bound_at_least: 0.8", f"lower_bound_at_least: {number}"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "a: [",
        "\t",
        "a: b: c",
        "x" * 300_000,
        "[" * 5000,
        "? [a]\n: 1",
        "a: 2024-13-45",
        "a: " + "9" * 5000,
        "a: 0b_",
        "a: 2001-01-01T00:00:00+24:00",
        "[" * 50_000,
        "- " * 50_000,
        "? " * 50_000,
        "a: !!bool x",
        "a: !!timestamp x",
        "\x00",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    begin = time.process_time()
    assert refused(text)
    assert time.process_time() - begin < 5


def applying(pattern: str, model: str) -> bool:
    policy = parse_policy(SMALL)
    where = policy.applies_to.model_copy(update={"model": pattern})
    return policy.model_copy(update={"applies_to": where}).applies(project="any", model=model)


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_star_stands_for_anything(pattern: str, model: str) -> None:
    expected = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), model)
    assert applying(pattern, model) == (expected is not None)


def test_a_pattern_with_many_stars_is_matched_in_time() -> None:
    begin = time.process_time()
    assert not applying("*a" * 200 + "c", "a" * 400)
    assert time.process_time() - begin < 5


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_refusal(text: str) -> None:
    try:
        parse_policy(text)
    except GovernanceError:
        pass


def test_a_rule_that_could_never_pass_is_told_with_the_size_at_which_it_could() -> None:
    thin = SMALL.replace("by: [sex]", "by: [sex], min_group_size: 100")
    warnings = " ".join(lint(parse_policy(thin)))
    assert "SML-01" in warnings and "does not pass even when the groups' rates are equal" in warnings
    assert "asks for no approval" in warnings
    assert "levels of sex are not listed" in warnings


def test_durations_and_patterns() -> None:
    policy = parse_policy(TEXT)
    assert policy.rules[0].require.max_age is not None
    assert policy.applies(project="anything", model="credit-risk")
    assert not policy.applies(project="anything", model="churn")
    assert not parse_policy(SMALL.replace("stage:", "applies_to: {model: a.c}\nstage:")).applies(
        project="x", model="abc"
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("title: t\nexpect: {}", "expect has no result"),
        ("title: t\nexpect: allow", "cannot be read"),
        ("title: t\nevidence: []\nexpect: {result: deny}", r"evidence is \[\], expected keys"),
        ("title: t\nevidence: {fairness: x}\nexpect: {result: deny}", "fairness holds 'x'"),
        ("title: t\nevidence: {fairness: {groups: {sex: }}}\nexpect: {result: deny}", "groups of sex are None"),
        ("title: t\nevidence: {training-run: {inputs: 1000000000}}\nexpect: {result: deny}", "inputs is 1000000000"),
        ("title: t\nlike: case\nexpect: {result: deny}", "not in a circle|like 'case'"),
        ("title: t", "it has no expect"),
        ("title: t\nexpect: {result: deny, finding: {SML-01: pass}}", "expect has the key 'finding'"),
        (
            "title: t\nexpect: {result: deny}\napprovals: [{by: vera, roll: validator}]",
            "an approval has the key 'roll'",
        ),
        ("title: t\nevidence: {fairness: {shard: {}}}\nexpect: {result: deny}", "did you mean 'shared'"),
        (
            "title: t\nevidence: {human-text: {use: {sign: rita}}}\nexpect: {result: deny}",
            "human-text has the key 'sign'",
        ),
        ("title: t\nevidence: {fairness: {earlier: 1000000}}\nexpect: {result: deny}", "earlier is 1000000"),
        (
            "title: t\nevidence: {fairness: {scores: {roc_auc: [1, 2]}}}\nexpect: {result: deny}",
            "roc_auc has 2 numbers",
        ),
        ("title: t\nevidence: {approval: {}}\nexpect: {result: deny}", "nothing records evidence 'approval'"),
    ],
)
def test_a_malformed_case_is_named(case: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as caught:
        run_cases(parse_policy(SMALL), {"case": case})
    assert "case" in str(caught.value)


def test_every_pack_has_cases() -> None:
    for name, folder in packs().items():
        assert list(Path(folder, "cases").glob("*.yaml")), name
