"""The language itself: what editors are told of it, what is said of mistakes, what is warned of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ml_governance.decide import reading
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import Policy, Require, parse_policy
from ml_governance.decide.reading import MistakesError
from ml_governance.decide.schema import policy_schema
from ml_governance.decide.sentences import explain_policy
from ml_governance.errors import GovernanceError, PolicyError
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.metrics import METRICS
from ml_governance.workspace import packs

ROOT = Path(__file__).resolve().parent.parent.parent
EVERYTHING = """
policy: everything
version: 1
stage: production
applies_to: {project: credit, model: "credit-*"}
promote: {roles: [release_manager], not: [author]}
approvals: [{role: validator, count: 1, expires: 7d}]
review: {roles: [risk_officer]}
waivers: {roles: [risk_officer], max_days: 30, not: [author]}
rules:
  - id: ALL-01
    title: No worse than what is in use
    require:
      evidence: performance
      metric: accuracy
      champion: {margin: 0.02, stage: staging, first: pass}
      max_attempts: 5
      no_overlap_with: training
      max_overlap: 0.01
      dataset: ["sha256:%s"]
      signed_by: validator
      max_age: 72h
      predictions: claimed
    on_inconclusive: deny
  - {id: ALL-02, title: Purpose, require: {evidence: human-text, text: intended-use, max_age: 365d}}
  - {id: ALL-03, title: Somebody looked, require: {evidence: security-scan}}
  - {id: ALL-04, title: Known data, require: {evidence: training-run, inputs_digested: true}}
  - id: ALL-05
    title: Alike
    require: {evidence: fairness, metric: selection_rate_ratio, by: [sex], levels: {sex: [F, M]}, lower_bound_at_least: 0.8,
              min_group_size: 400, confidence: 0.9, one_sided: false}
    controls: [FAI-03]
""" % ("a" * 64)
VALIDATOR = jsonschema.Draft202012Validator(policy_schema())


def refused(text: str, file: str | None = None) -> MistakesError:
    with pytest.raises(MistakesError) as caught:
        parse_policy(text, file=file)
    return caught.value


def changed(old: str, new: str) -> str:
    text = EVERYTHING.replace(old, new, 1)
    assert text != EVERYTHING
    return text


# --- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "near"),
    [
        ("max_attempts:", "max_attemps:", "max_attempts"),
        ("metric: accuracy", "metric: accurracy", "accuracy"),
        ("evidence: security-scan", "evidence: securty-scan", "security-scan"),
        ("role: validator", "role: Validator", "validator"),
        ("first: pass", "first: pas", "pass"),
        ("on_inconclusive: deny", "on_inconclusive: den", "deny"),
        ("rules:", "rule:", "rules"),
        ("levels: {sex:", "levels: {sexe:", "sex"),
        ("margin: 0.02, stage", "margin: 0.02, stag", "stage"),
        ("lower_bound_at_least: 0.8", "upper_bound_at_most: 0.8", "lower_bound_at_least"),
    ],
)
def test_the_nearest_valid_name_is_told(old: str, new: str, near: str) -> None:
    error = refused(changed(old, new), "policies/p.yaml")
    told = [one for one in error.mistakes if one.near == near]
    assert told, error
    line = changed(old, new)[: changed(old, new).index(new)].count("\n") + 1
    assert any(abs(one.line - line) <= 1 for one in told)
    assert f"policies/p.yaml:{told[0].line}: " in str(error) and f"did you mean {near!r}" in str(error)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("on_inconclusive: deny", "when: x", "the name x is unknown here"),
        ("on_inconclusive: deny", "check: 1 +", "character 4: mismatched input the end"),
        ("on_inconclusive: deny", "when: true", "found true; expected text, in quotes"),
        ("signed_by: validator", "signed_by:", "nothing stands here"),
        ("controls: [FAI-03]", "controls: [FAI-03, ]\n    on_inconclusive:", "nothing stands here"),
        ("text: intended-use, ", "", "does not say which text"),
        ("inputs_digested: true", "text: x", "is no text"),
        ("inputs_digested: true", "max_attempts: 3", "measured on no test data"),
        ("evidence: security-scan", "evidence: security-scan, inputs_digested: true", "has no inputs"),
        ("inputs_digested: true", f"inputs: ['sha256:{'a' * 63}']", "'sha256:' and 64 hexadecimal digits"),
        ("evidence: security-scan", f"evidence: security-scan, inputs: ['sha256:{'a' * 64}']", "has no inputs"),
        ("evidence: security-scan", "evidence: security-scan, metric: cves, value_at_most: 0", "has no metric 'cves'"),
        ("evidence: security-scan", "evidence: security-scan, by: [sex]", "there is no metric for it"),
        ("evidence: security-scan", "evidence: privacy, max_overlap: 0.1", "no overlap is asked about"),
        ("metric: accuracy", "metric: selection_rate", "neither more nor less is better"),
        ("metric: accuracy", "metric: abroca", "performance evidence has no metric 'abroca'; fairness evidence has"),
        ("champion: {margin: 0.02,", "value_at_least: 0.5\n      champion: {margin: 0.02,", "exactly one of"),
        ("margin: 0.02", "margin: -0.02", "greater than or equal to 0"),
        ("sha256:aaa", "aaa", "'sha256:' and 64 hexadecimal digits"),
        ("max_attempts: 5", "max_attempts: 0", "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(old: str, new: str, words: str) -> None:
    assert words in str(refused(changed(old, new)))


@pytest.mark.parametrize(
    ("metric", "bound", "only"),
    [
        ("selection_rate_ratio", "value_at_least: 0", True),
        ("selection_rate_ratio", "value_at_least: 0.01", False),
        ("selection_rate_ratio", "lower_bound_at_least: 0", False),
        ("selection_rate_difference", "value_at_most: 1", True),
        ("mean_error", "value_at_least: 0", False),
    ],
)
def test_a_bound_that_nothing_misses_is_explained_as_no_bound(metric: str, bound: str, only: bool) -> None:
    old = "metric: selection_rate_ratio, by: [sex], levels: {sex: [F, M]}, lower_bound_at_least: 0.8"
    policy = parse_policy(changed(old, f"metric: {metric}, by: [sex], levels: {{sex: [F, M]}}, {bound}"))
    assert policy.rules[-1].require.only_measured is only
    assert ("must have been measured, whatever it is" in explain_policy(policy)) is only


def test_mistakes_of_every_kind_are_told_together() -> None:
    text = (
        changed("metric: accuracy", "metric: accurracy")
        .replace("version: 1", "version: 0")
        .replace("max_age: 72h", "max_ag: 72h")
    )
    text = text.replace("text: intended-use, ", "").replace("lower_bound_at_least: 0.8", "upper_bound_at_most: 0.8")
    error = refused(text)
    assert len(error.mistakes) == 5
    assert [one.line for one in error.mistakes] == sorted(one.line for one in error.mistakes)


# --- schema -----------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads((ROOT / "docs" / "reference" / "policy.schema.json").read_text())
    assert published == policy_schema(), "run mlgov policy schema > docs/reference/policy.schema.json"


def test_the_schema_is_a_schema_and_every_key_has_a_description() -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema())
    for part in (policy_schema(), *policy_schema()["$defs"].values()):
        assert part["description"]
        for name, key in part["properties"].items():
            assert key.get("description"), name
            assert "null" not in json.dumps(key), name


def test_the_schema_knows_the_metrics_of_each_kind() -> None:
    require = policy_schema()["$defs"]["Require"]
    for one in require["allOf"]:
        kind, metric = one["if"]["properties"]["evidence"]["const"], one["then"]["properties"]["metric"]
        assert (metric["enum"] if metric else []) == sorted(name for evidence, name in METRICS if evidence == kind)
    assert require["properties"]["evidence"]["enum"] == list(EVIDENCE_KINDS)


@pytest.mark.parametrize("text", [EVERYTHING, *((folder / "policy.yaml").read_text() for folder in packs().values())])
def test_what_is_accepted_has_the_form_of_the_schema(text: str) -> None:
    parse_policy(text)
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(text)))


VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    0.5,
    -1,
    "x",
    "72h",
    "pass",
    "fairness",
    "accuracy",
    [],
    ["sex"],
    {},
    {"sex": ["F"]},
    "risk_officer",
)


@given(st.data())
def test_what_the_schema_refuses_is_refused(data: st.DataObject) -> None:
    """Whatever an editor underlines, reading refuses; what else is wrong, only reading tells."""
    value = yaml.safe_load(EVERYTHING)
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            break
    if data.draw(st.booleans()):
        place[key] = data.draw(st.sampled_from(VALUES))
    elif isinstance(place, dict):
        place[data.draw(st.sampled_from(["text", "metric", "champion", "value_at_least", "colour", "when"]))] = (
            place.pop(key)
        )
    try:
        parse_policy(yaml.safe_dump(value))
    except PolicyError:
        return
    assert not list(VALIDATOR.iter_errors(value))


# --- sentences and warnings -------------------------------------------------------------------------------


def test_the_glass_is_broken_by_a_role_with_its_article() -> None:
    glass = "break_glass: {roles: [incident_manager], max_hours: 24, reviewed_by: [auditor]}\nrules:"
    said = explain_policy(parse_policy(EVERYTHING.replace("rules:", glass, 1)))
    assert "Break-glass: an incident manager may promote" in said and "until an auditor has reviewed it" in said


def test_every_thing_that_a_rule_asks_for_is_said() -> None:
    said = explain_policy(parse_policy(EVERYTHING))
    for words in (
        "not by more than 0.02 worse than that of the model in use in staging, measured on the same rows", "it passes",
        "at most 5 recorded attempts on the same test data", "share at most 1.00% of its rows with what the model was trained on",
        "on the test data sha256:aaaaaaaaaaaa", "signed by a validator", "not older than 72 hours", "predictions at least claimed",
        "it is denied", "signed a text 'intended-use'", "with every input named by digest",
        "90% two-sided confidence at least 0.8", "groups of at least 400 rows", "sex (F, M)", "Evidence for FAI-03",
    ):  # fmt: skip
        assert words.replace("72 hours", "3 days") in said, words


def test_no_key_of_a_rule_goes_unsaid() -> None:
    """Changing any key that decides something changes a sentence."""
    base = parse_policy(EVERYTHING)
    silent = {"levels", "evidence", "metric"}  # these cannot be changed alone; the test above reads them
    others: dict[str, Any] = {
        "by": ["race"], "lower_bound_at_least": 0.7, "upper_bound_at_most": 0.3, "value_at_least": 0.3, "value_at_most": 0.4,
        "champion": {"margin": 0.5}, "confidence": 0.99, "one_sided": True, "min_group_size": 41, "max_age": "3h",
        "predictions": "caller-supplied", "signed_by": "auditor", "inputs_digested": True, "inputs": ["sha256:" + "b" * 64],
        "dataset": ["sha256:" + "b" * 64],
        "max_attempts": 7, "no_overlap_with": "training", "max_overlap": 0.3, "text": "limits",
    }  # fmt: skip
    assert set(others) | silent == set(Require.model_fields)
    bounds = {"lower_bound_at_least", "upper_bound_at_most", "value_at_least", "value_at_most", "champion"}
    fairness = base.rules[4].require
    for name, value in others.items():
        plain = fairness.model_copy(update=dict.fromkeys(bounds)) if name in bounds else fairness
        start = plain if name in bounds else fairness
        fields = {**start.model_dump(exclude_none=True), name: value}
        if name == "max_overlap":
            fields["no_overlap_with"] = "training"
        require = Require.model_validate(fields)
        one = base.rules[4].model_copy(update={"require": require})
        before = base.rules[4].model_copy(update={"require": fairness})
        assert _sentences(base, one) != _sentences(base, before), name


def _sentences(base: Policy, rule: Any) -> str:
    return explain_policy(base.model_copy(update={"rules": [rule]}))


def warned(text: str, **more: Any) -> str:
    return "\n".join(lint(parse_policy(text), **more))


def test_nothing_is_warned_of_in_a_policy_with_everything() -> None:
    assert warned(EVERYTHING) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("signed_by: validator", "signed_by: valdator", "ALL-01: nobody can satisfy this rule.*did you mean 'validator'"),
        ("role: validator", "role: risk_oficer", "approvals: nobody has the role 'risk_oficer'.*did you mean 'risk_officer'"),
        ("min_group_size: 400", "min_group_size: 40", "ALL-05: with 40 rows in each group this rule does not pass"),
        ("champion: {margin: 0.02, stage: staging, first: pass}", "lower_bound_at_least: 1.0",
         "ALL-01: with 10,000,000 rows this rule does not pass even at the best possible rate, nor with more"),
        ("max_attempts: 5", "max_attempts: 1", "ALL-01: the model in use is measured on the same test data"),
        ("margin: 0.02", "margin: 0.0", "a margin of 0 a model exactly as good"),
        ("evidence: performance\n      metric: accuracy",
         "evidence: fairness\n      metric: accuracy\n      by: [sex]\n      levels: {sex: [F]}",
         "ALL-01: with 30 rows in each group this rule does not pass even when the two models'"),
        ("metric: selection_rate_ratio, by: [sex], levels: {sex: [F, M]}, lower_bound_at_least: 0.8",
         "metric: accuracy, by: [sex], levels: {sex: [F, M]}, lower_bound_at_least: 0.999",
         "ALL-05: with 400 rows in a group .* best possible rate; it can from about 2,7.., so set min_group_size$"),
        ("levels: {sex: [F, M]}, ", "", "levels of sex are not listed"),
        ("levels: {sex: [F, M]}", "levels: {sex: [F, M, F]}", "levels of sex names F twice"),
        ("by: [sex], levels", "by: [sex, sex], levels", "by names sex twice"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_mean_what_it_says_is_warned_of(old: str, new: str, words: str) -> None:
    assert re.search(words, warned(changed(old, new)), re.MULTILINE)


def test_a_waiver_that_changes_nothing_is_warned_of() -> None:
    strict = EVERYTHING + EVERYTHING[EVERYTHING.index("  - id: ALL-05") :].replace("ALL-05", "ALL-06").replace(
        "0.8", "0.85"
    )
    assert "ALL-05: a waiver of it changes nothing, for ALL-06 asks for all that it asks for" in warned(strict)
    assert "ALL-06: a waiver" not in warned(strict)
    only_presence = (
        EVERYTHING[: EVERYTHING.index("rules:")] + "rules: [{id: ALL-01, title: t, require: {evidence: training-run}}]"
    )
    assert "no rule can fail or be stale" in warned(only_presence)


def test_roles_are_those_that_people_have() -> None:
    assert "nobody has the role 'release_manager'" in warned(EVERYTHING, roles=("validator", "risk_officer"))


@given(st.text(max_size=40))
@example("a\nb")
def test_a_mistake_of_any_text_is_told_in_one_line(text: str) -> None:
    told: tuple[object, ...] = ()
    try:
        parse_policy(
            EVERYTHING.replace("accuracy", json.dumps(text), 1).replace("sex: [F", json.dumps(text) + ": [F", 1)
        )
    except MistakesError as error:
        told = error.mistakes
    except GovernanceError:
        pass
    assert all("\n" not in str(one) for one in told)


@pytest.mark.parametrize("file", sorted((ROOT / "policies").glob("*/policy.yaml")), ids=lambda file: file.parent.name)
def test_a_signed_policy_is_read_again_as_it_was_accepted(file: Path) -> None:
    text = file.read_text()
    assert reading.read_yaml(text, again=True) == reading.read_yaml(text)


@pytest.mark.parametrize(
    "text", ["a: &x 1", "a: *x", "a: !!str 1", "a: 1\na: 2", "a: [", "[" * 40, "", "a: 1\n---\nb: 2"]
)
def test_what_is_read_again_is_refused_for_the_same_reasons(text: str) -> None:
    for again in (False, True):
        with pytest.raises(PolicyError):
            reading.read_yaml(text, again=again)
