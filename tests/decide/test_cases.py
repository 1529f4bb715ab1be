"""Everything that a rule may ask, as cases that a compliance officer can read."""

from __future__ import annotations

import pytest

from ml_governance.decide.cases import CaseResult, run_cases
from ml_governance.decide.policy import parse_policy
from ml_governance.errors import PolicyError

POLICY = parse_policy("""
policy: asking
version: 1
stage: production
promote: {roles: [release_manager]}
review: {roles: [risk_officer]}
rules:
  - id: ASK-01
    title: No worse than what is in use
    require: {evidence: performance, metric: accuracy, champion: {margin: 0.02}, max_attempts: 2, no_overlap_with: training}
  - id: ASK-02
    title: Somebody wrote down what it is for
    require: {evidence: human-text, text: intended-use, signed_by: risk_officer, max_age: 90d}
  - id: ASK-03
    title: Groups are ranked alike
    require: {evidence: fairness, metric: roc_auc_difference, by: [sex], upper_bound_at_most: 0.05}
""")
SIGNED = """
policy: signed
version: 1
stage: production
promote: {roles: [release_manager]}
rules:
  - id: SIG-01
    title: Somebody else measured
    require: {evidence: performance, signed_by: validator}
"""
GOOD = """
title: No worse, few tries, nothing shared, written down
evidence:
  training-run: {inputs: 1}
  performance: {all: [450, 50, 50, 450], paired: {accuracy: [895, 5, 5, 95]}, shared: {data/0: 0}}
  fairness: {groups: {sex: {F: [250, 20, 20, 250], M: [250, 20, 20, 250]}}, over: {sex: {roc_auc_difference: [0.01, 0.0, 0.03]}}}
  human-text: {intended-use: {signed_by: rita, age: 30d}}
champion: {performance: {all: [450, 50, 50, 450]}}
expect: {result: allow, exit_code: 0, findings: {ASK-01: pass, ASK-01/attempts: pass, ASK-01/overlap: pass, ASK-02: pass, ASK-03/sex: pass}}
"""
OTHERS = {
    "not paired": "evidence: {performance: {paired: null, all: [225, 25, 25, 225]}}\n"
                  "champion: {performance: {all: [225, 25, 25, 225]}}\nexpect: {result: review, findings: {ASK-01: inconclusive}}",
    "worse": "champion: {performance: {all: [495, 5, 5, 495]}}\nevidence: {performance: {paired: null}}\n"
             "expect: {result: deny, exit_code: 1, findings: {ASK-01: fail}}",
    "contradictory": "champion: {performance: {all: [495, 5, 5, 495]}}\nexpect: {exit_code: 4, result: deny, findings: {ASK-01: error}}",
    "other rows": "evidence: {performance: {dataset: new}}\nexpect: {result: deny, exit_code: 4, findings: {ASK-01: error}}",
    "too often": "evidence: {performance: {earlier: 1}}\nexpect: {result: deny, exit_code: 1, findings: {ASK-01/attempts: fail}}",
    "shared rows": "evidence: {performance: {shared: {data/0: 1}}}\nexpect: {result: deny, findings: {ASK-01/overlap: fail}}",
    "not measured": "evidence: {performance: {shared: null}}\nexpect: {result: deny, exit_code: 4, findings: {ASK-01/overlap: missing}}",
    "wrong signer": "evidence: {human-text: {intended-use: {signed_by: ada}}}\nexpect: {result: deny, findings: {ASK-02: missing}}",
    "old text": "evidence: {human-text: {intended-use: {age: 91d}}}\nexpect: {result: deny, findings: {ASK-02: stale}}",
    "ranked apart": "evidence: {fairness: {over: {sex: {roc_auc_difference: [0.1, 0.06, 0.2]}}}}\n"
                    "expect: {result: deny, findings: {ASK-03/sex: fail}}",
    "promoted by an author": "champion: {promoted_by: ada}\nexpect: {result: deny, findings: {ASK-01: missing}}",
}  # fmt: skip


def ran(name: str) -> CaseResult:
    texts = {"good": GOOD, **{other: f"title: {other}\nlike: good\n{text}" for other, text in OTHERS.items()}}
    (result,) = [one for one in run_cases(POLICY, texts) if one.name == name]
    return result


@pytest.mark.parametrize("name", ["good", *OTHERS])
def test_each_thing_that_a_rule_asks_for_can_be_a_case(name: str) -> None:
    assert ran(name).passed, ran(name).detail


def test_whoever_registered_the_model_in_a_case_does_not_validate_it() -> None:
    policy = parse_policy(SIGNED)
    said = "title: x\nevidence: {performance: {all: [450, 50, 50, 450]}, registration: {signed_by: %s}}\nexpect: {result: %s}"
    results = run_cases(policy, {"other": said % ("ada", "allow"), "self": said % ("vera", "deny")})
    assert all(one.passed for one in results), results


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: x\nevidence: {registration: null}\nexpect: {result: deny}", "registration is removed"),
        ("title: x\nevidence: {registration: {name: y}}\nexpect: {result: deny}", "has the key 'name'"),
        ("title: x: y\nexpect: {result: deny}", "this is no YAML"),
        ("expect: {result: deny}", "it has no title"),
        ("title: x\nexpect: {exit_code: 1}", "expect has no result"),
        ("title: x\nexpect: {result: denied}", "is 'denied', expected one of allow, review, deny"),
        ("title: x\nexpect: {result: deny, findings: {ASK-01: passed}}", "is 'passed', expected one of pass, fail"),
        ("title: x\nexpect: {result: deny}\nexpects: 1", "did you mean 'expect'"),
        ("title: x\nlike: y\nexpect: {result: deny}", "it is like 'y'"),
        ("title: x\nevidence: {fairnes: {}}\nexpect: {result: deny}", "did you mean 'fairness'"),
        ("title: x\nevidence: {fairness: none}\nexpect: {result: deny}", "fairness holds 'none'"),
        ("title: x\nevidence: {human-text: {use: signed}}\nexpect: {result: deny}", "human-text holds 'signed'"),
        (
            "title: x\nevidence: {performance: {all: [1, 2, 3]}}\nexpect: {result: deny}",
            r"all has \[1, 2, 3\], expected rows as \[tn, fp",
        ),
        (
            "title: x\nevidence: {performance: {all: [1, 2, 3, -4]}}\nexpect: {result: deny}",
            "four whole numbers from 0 up",
        ),
        ("title: x\nevidence: {performance: {age: 3}}\nexpect: {result: deny}", "the age is 3, expected one such as"),
        (
            "title: x\nevidence: {performance: {signed_by: zoe}}\nexpect: {result: deny}",
            r"nobody in the case is 'zoe', expected one of ada \(author\)",
        ),
        ("title: x\napprovals: [{role: validator}]\nexpect: {result: deny}", "an approval has no by"),
    ],
)
def test_a_case_that_cannot_be_meant_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as caught:
        run_cases(POLICY, {"the-odd-one": text})
    assert "the case the-odd-one" in str(caught.value)


APPROVED = """
policy: for-loans
version: 1
stage: production
applies_to: {project: "*-bank", model: "loan-*"}
promote: {roles: [release_manager]}
approvals: [{role: committee}]
rules:
  - id: LOA-01
    title: It was measured
    require: {evidence: performance}
"""
CASE = """
title: x
people: {carla: [committee]}
evidence: {performance: {all: [450, 50, 50, 450]}}
approvals: [{by: carla, role: committee}]
expect: {result: allow}
"""


@pytest.mark.parametrize("model", ["loan-*", "credit-*", "loan", "*", "*loan*x"])
def test_a_case_is_about_a_model_that_the_policy_is_for_and_may_bring_people_of_its_own(model: str) -> None:
    (result,) = run_cases(parse_policy(APPROVED.replace("loan-*", model)), {"case": CASE})
    assert result.passed, result.detail


@pytest.mark.parametrize("other", ["model: car-1", "project: elsewhere"])
def test_a_case_may_be_about_another_model(other: str) -> None:
    (result,) = run_cases(parse_policy(APPROVED), {"case": f"{other}{CASE}"})
    assert not result.passed
    assert "GATE-policy is fail: The policy for-loans is not for" in result.detail


def test_a_case_that_came_out_otherwise_says_what_stood_in_the_way() -> None:
    (result,) = run_cases(parse_policy(APPROVED), {"case": CASE.replace("role: committee", "role: other")})
    assert result.detail == "the result is review, expected allow; an approval in the role committee is missing"
