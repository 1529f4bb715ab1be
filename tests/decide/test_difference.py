"""What a new version of a policy asks less of: nothing that was stopped passes without being told of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_governance.decide.cases import AT, SUBJECT
from ml_governance.decide.difference import HANDLED, Difference, difference
from ml_governance.decide.policy import Policy, Require, parse_policy
from ml_governance.decide.rules import apply
from ml_governance.evidence.attestation import EvidenceView
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.workspace import packs
from tests.decide.test_champion import view_of

BASE = parse_policy((packs()["credit-scoring"] / "policy.yaml").read_text())
PART = st.integers(40, 120)
GROUPS = ("A", "B", "C")


def with_require(**require: Any) -> Policy:
    rule = BASE.rules[0].model_copy(update={"require": Require.model_validate(require)})
    return BASE.model_copy(update={"rules": [rule]})


def passes(policy: Policy, view: EvidenceView) -> bool:
    return all(
        one.status == "pass" for one in apply(policy.rules[0], SUBJECT, view, AT, policy=policy, project="credit")
    )


def told(old: Policy, new: Policy) -> dict[str, str]:
    return {one.what: one.verdict for one in difference(old, new)}


METRICS = {
    "selection_rate_ratio": ("lower_bound_at_least", "value_at_least"),
    "selection_rate_difference": ("upper_bound_at_most", "value_at_most"),
    "true_positive_rate": ("lower_bound_at_least", "value_at_least"),
    "false_positive_rate": ("upper_bound_at_most", "value_at_most"),
}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two requirements over one metric that differ in what can be ordered."""
    metric = draw(st.sampled_from(sorted(METRICS)))

    def one() -> dict[str, Any]:
        made: dict[str, Any] = {
            "evidence": "fairness", "metric": metric, "by": ["g"], "predictions": draw(st.sampled_from(["recomputed", "claimed"])),
            draw(st.sampled_from(METRICS[metric])): draw(st.sampled_from([0.05, 0.2, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9])),
            "confidence": draw(st.sampled_from([0.6, 0.8, 0.9, 0.95])), "one_sided": draw(st.booleans()),
            "min_group_size": draw(st.sampled_from([1, 150, 300])),
            "levels": {"g": draw(st.sampled_from([["A", "B"], ["A", "B", "C"], ["B", "C"]]))},
            "dataset": draw(st.sampled_from([[], [f"sha256:{sha256_hex(b'test')}"]])),
        }  # fmt: skip
        if draw(st.booleans()):
            made["max_age"] = draw(st.sampled_from(["1h", "2h", "3d"]))
        if draw(st.booleans()):
            made["max_attempts"] = draw(st.integers(1, 3))
        if draw(st.booleans()):
            made["signed_by"] = "validator"
        return made

    first, second = one(), one()
    # A few keys at a time differ, so that what differs decides.
    kept = draw(st.sets(st.sampled_from(sorted({*first, *second} - {"evidence", "metric"}))))
    bounds = {*METRICS[metric]}
    for key in kept - bounds:
        second.pop(key, None)
        if key in first:
            second[key] = first[key]
    return first, second


def test_whatever_failed_and_now_passes_was_called_weaker() -> None:
    hits = 0

    @settings(max_examples=500)
    @given(pairs(), st.fixed_dictionaries({g: st.tuples(PART, PART, PART, PART) for g in GROUPS}),
           st.sampled_from(["30m", "90m", "2d"]), st.integers(0, 3))  # fmt: skip
    def holds(
        pair: tuple[dict[str, Any], dict[str, Any]], counts: dict[str, tuple[int, ...]], age: str, earlier: int
    ) -> None:
        nonlocal hits
        evidence = {"groups": {"g": {g: list(c) for g, c in counts.items()}}, "age": age, "earlier": earlier}
        for old, new in (pair, pair[::-1]):
            before, after = with_require(**old), with_require(**new)
            view = view_of(before, {"evidence": {"fairness": evidence}})
            if not passes(before, view) and passes(after, view):
                hits += 1
                assert "weaker" in {one.verdict for one in difference(before, after)}

    holds()
    assert hits > 30, "hardly anything passed that had failed, so this shows nothing"


@settings(max_examples=300)
@given(st.sampled_from(sorted(METRICS)), st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.floats(0, 1), st.floats(0, 1),
       st.tuples(PART, PART, PART, PART), st.tuples(PART, PART, PART, PART))  # fmt: skip
@example("selection_rate_ratio", 0, 1, 0.8, 0.85, (100, 50, 10, 40), (100, 50, 10, 40))
def test_a_bound_that_lets_more_pass_is_weaker_whatever_its_number(
    metric: str, before: int, after: int, number: float, other: float, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    fixed: dict[str, Any] = {"evidence": "fairness", "metric": metric, "by": ["g"], "min_group_size": 1}
    old = with_require(**fixed, **{METRICS[metric][before]: number})
    new = with_require(**fixed, **{METRICS[metric][after]: other})
    view = view_of(old, {"evidence": {"fairness": {"groups": {"g": {"A": list(a), "B": list(b)}}}}})
    if not passes(old, view) and passes(new, view):
        assert [one.verdict for one in difference(old, new)] == ["weaker"]
    if difference(old, new) == ():
        assert passes(old, view) == passes(new, view)


# --- each kind of difference ------------------------------------------------------------------------------

RULE: dict[str, Any] = {
    "evidence": "fairness", "metric": "selection_rate_ratio", "by": ["sex"], "levels": {"sex": ["F", "M"]},
    "lower_bound_at_least": 0.8, "max_age": "72h", "signed_by": "validator", "predictions": "caller-supplied",
    "min_group_size": 100, "max_attempts": 3, "no_overlap_with": "training", "max_overlap": 0.1,
    "dataset": ["sha256:" + "a" * 64],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"lower_bound_at_least": 0.7}, "weaker"),
        ({"lower_bound_at_least": 0.9}, "stronger"),
        ({"lower_bound_at_least": None, "value_at_least": 0.95}, "weaker"),
        ({"lower_bound_at_least": None, "champion": {"margin": 0.0}}, "changed"),
        ({"metric": "accuracy"}, "changed"),
        ({"confidence": 0.9}, "weaker"),
        ({"one_sided": False}, "stronger"),
        ({"by": ["sex", "race"]}, "stronger"),
        ({"by": ["race"], "levels": {}}, "weaker"),
        ({"levels": {}}, "weaker"),
        ({"levels": {"sex": ["F"]}}, "weaker"),
        ({"levels": {"sex": ["F", "M", "X"]}}, "stronger"),
        ({"max_age": "96h"}, "weaker"),
        ({"max_age": None}, "weaker"),
        ({"max_age": "1h"}, "stronger"),
        ({"signed_by": None}, "weaker"),
        ({"signed_by": "auditor"}, "changed"),
        ({"predictions": "claimed"}, "weaker"),
        ({"predictions": "recomputed"}, "stronger"),
        ({"min_group_size": 99}, "weaker"),
        ({"max_attempts": None}, "weaker"),
        ({"max_attempts": 4}, "weaker"),
        ({"max_attempts": 2}, "stronger"),
        ({"no_overlap_with": None}, "weaker"),
        ({"max_overlap": 0.2}, "weaker"),
        ({"max_overlap": 0.0}, "stronger"),
        ({"dataset": []}, "weaker"),
        ({"dataset": ["sha256:" + "a" * 64, "sha256:" + "b" * 64]}, "weaker"),
        ({"dataset": ["sha256:" + "b" * 64]}, "changed"),
        ({"inputs": ["sha256:" + "b" * 64]}, "stronger"),
    ],
)
def test_each_key_is_weaker_or_stronger_as_it_should_be(change: dict[str, Any], verdict: str) -> None:
    after = {key: value for key, value in {**RULE, **change}.items() if value is not None}
    verdicts = {one.verdict for one in difference(with_require(**RULE), with_require(**after))}
    assert verdict in verdicts
    if verdict == "stronger":
        assert verdicts == {"stronger"}
        back = {one.verdict for one in difference(with_require(**after), with_require(**RULE))}
        assert back == {"weaker"}


def test_every_key_of_a_rule_is_compared() -> None:
    assert set(Require.model_fields) == HANDLED


@pytest.mark.parametrize(
    ("old", "new", "verdict"), [({"margin": 0.1}, {"margin": 0.2}, "weaker"), ({"margin": 0.1}, {"margin": 0.0}, "stronger"),
                                ({"margin": 0.1}, {"margin": 0.1, "first": "pass"}, "weaker"),
                                ({"margin": 0.1}, {"margin": 0.1, "stage": "staging"}, "changed")],
)  # fmt: skip
def test_champions_are_compared(old: dict[str, Any], new: dict[str, Any], verdict: str) -> None:
    fixed: dict[str, Any] = {"evidence": "performance", "metric": "accuracy"}
    found = difference(with_require(**fixed, champion=old), with_require(**fixed, champion=new))
    assert [one.verdict for one in found] == [verdict]


TEXT = (packs()["credit-scoring"] / "policy.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "what", "verdict"),
    [
        ("count: 1, expires: 7d}\nreview", "count: 2, expires: 7d}\nreview", "approvals", "stronger"),
        ("  - {role: risk_officer, count: 1, expires: 7d}\n", "", "approvals", "weaker"),
        ("risk_officer, count: 1, expires: 7d", "risk_officer, count: 1", "approvals", "weaker"),
        ("not: [author, trainer]}\napprovals", "not: [author]}\napprovals", "promote", "weaker"),
        ("roles: [release_manager]", "roles: [release_manager, author]", "promote", "weaker"),
        ("max_days: 30", "max_days: 31", "waivers", "weaker"),
        ("max_days: 30", "max_days: 29", "waivers", "stronger"),
        ("review: {roles: [risk_officer]}", "review: {roles: [risk_officer, validator]}", "review", "weaker"),
        ("stage: production", "stage: staging", "stage", "changed"),
        ('model: "credit-*"', 'model: "*"', "applies_to", "changed"),
        ("on_inconclusive: deny", "on_inconclusive: review", "CRD-03", "weaker"),
        ("waivers:", "custody: separate\nwaivers:", "custody", "stronger"),
        (
            "waivers:",
            "break_glass: {roles: [incident_lead], reviewed_by: [auditor]}\nwaivers:",
            "break_glass",
            "weaker",
        ),
        ("- id: CRD-02", "- id: CRD-22", "CRD-02", "removed"),
        ("- id: CRD-02", "- id: CRD-22", "CRD-22", "added"),
    ],
)
def test_what_stands_around_the_rules_is_compared(old: str, new: str, what: str, verdict: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    found = told(BASE, parse_policy(text))
    assert found[what] == verdict
    assert all(isinstance(one, Difference) and one.sentence for one in difference(BASE, parse_policy(text)))


def test_break_glass_is_compared_part_by_part() -> None:
    def with_glass(roles: str, hours: int, reviewers: str) -> Policy:
        glass = f"break_glass: {{roles: [{roles}], max_hours: {hours}, reviewed_by: [{reviewers}]}}\nwaivers:"
        return parse_policy(TEXT.replace("waivers:", glass, 1))

    base = with_glass("incident_lead", 24, "auditor")
    for other, verdict in (
        (with_glass("incident_lead, sre", 24, "auditor"), "weaker"),
        (with_glass("incident_lead", 25, "auditor"), "weaker"),
        (with_glass("incident_lead", 23, "auditor"), "stronger"),
        (with_glass("incident_lead", 24, "validator"), "changed"),
        (BASE, "stronger"),
    ):
        assert told(base, other) == {"break_glass": verdict}
    assert told(parse_policy(TEXT.replace("waivers:", "custody: separate\nwaivers:", 1)), BASE) == {"custody": "weaker"}


def test_titles_controls_and_versions_are_no_difference() -> None:
    text = (
        TEXT.replace("version: 1", "version: 2")
        .replace("title: The model", "title: A model")
        .replace("PER-02", "PER-03")
    )
    assert difference(BASE, parse_policy(text)) == ()


def test_whom_the_waivers_bar_is_no_difference_for_nobody_waives_for_their_own_model_anyway() -> None:
    barred = "max_days: 30, not: [author, trainer]"
    assert barred in TEXT
    assert told(parse_policy(TEXT), parse_policy(TEXT.replace(barred, "max_days: 30, not: []"))) == {}


def test_for_which_models_a_policy_is_stands_in_words() -> None:
    (one,) = difference(parse_policy(TEXT), parse_policy(TEXT.replace('model: "credit-*"', 'model: "loan-*"')))
    assert one.sentence == "applies to is project *, model loan-* and was project *, model credit-*"
