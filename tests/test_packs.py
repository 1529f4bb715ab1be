"""The policy packs that ship: each is accepted, clean, shown to work by its cases, and says what it is evidence for."""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml

import ml_governance as gov
from ml_governance.decide.cases import run_cases
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import parse_policy
from ml_governance.decide.sentences import explain_policy
from ml_governance.testing import workspace
from ml_governance.workspace import catalogue, packs

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.evidence.statement import Subject

PACKS = ("baseline", "credit-scoring", "eu-ai-act-high-risk", "hiring-nyc-ll144", "model-risk")
each_pack = pytest.mark.parametrize("name", PACKS)


@cache
def pack(name: str) -> tuple[Policy, dict[str, str]]:
    folder = packs()[name]
    cases = {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / "cases").glob("*.yaml"))}
    return parse_policy((folder / "policy.yaml").read_text(encoding="utf-8"), controls=catalogue().ids), cases


def expected(name: str) -> list[dict[str, object]]:
    return [yaml.safe_load(text)["expect"] for text in pack(name)[1].values()]


def test_these_packs_ship() -> None:
    assert tuple(packs()) == PACKS


@each_pack
def test_a_pack_is_accepted_and_nothing_is_to_be_complained_about(name: str) -> None:
    policy, _ = pack(name)
    assert lint(policy) == ()
    assert all(rule.id in explain_policy(policy) for rule in policy.rules)


@each_pack
def test_the_cases_of_a_pack_pass_and_show_every_answer(name: str) -> None:
    policy, cases = pack(name)
    assert [result.detail for result in run_cases(policy, cases) if not result.passed] == []
    assert {one["result"] for one in expected(name)} == {"allow", "deny", "review"}
    assert {one["exit_code"] for one in expected(name)} >= {0, 3, 4}


@each_pack
def test_without_any_one_of_its_rules_a_case_fails(name: str) -> None:
    policy, cases = pack(name)
    for rule in policy.rules:
        blocked = {
            case
            for case, text in cases.items()
            if any(_of(rule, found) and status != "pass" for found, status in _findings(text))
        }
        assert blocked, f"no case shows that {rule.id} blocks"
        less = policy.model_copy(update={"rules": [one for one in policy.rules if one is not rule]})
        failed = {result.name for result in run_cases(less, _with_bases(cases, blocked)) if not result.passed}
        assert blocked <= failed, rule.id


@each_pack
def test_every_bound_that_can_be_missed_is_missed_in_a_case(name: str) -> None:
    policy, cases = pack(name)
    failed = {found for text in cases.values() for found, status in _findings(text) if status == "fail"}
    for rule in policy.rules:
        bounded = rule.require.bound is not None and not rule.require.only_measured
        if rule.require.champion is not None or bounded:
            assert any(_of(rule, found) for found in failed), rule.id


@each_pack
def test_the_evidence_of_a_rule_is_evidence_for_the_controls_it_names(name: str) -> None:
    for rule in pack(name)[0].rules:
        assert rule.controls
        for control in rule.controls:
            assert rule.require.evidence in catalogue().control(control).evidence, (rule.id, control)


@each_pack
def test_a_pack_says_in_words_what_it_is_evidence_for_and_what_it_does_not_do(name: str) -> None:
    text = (packs()[name] / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n") and "evidence for" in text
    if name != "credit-scoring":
        assert "## What it does not do" in text
    if name not in ("credit-scoring", "baseline"):
        assert "checked 2026-11-23" in text.lower()
        assert all(rule.id in text for rule in pack(name)[0].rules)


def test_hiring_has_no_threshold_for_ratios() -> None:
    bounds = {rule.require.bound for rule in pack("hiring-nyc-ll144")[0].rules} - {None}
    assert bounds == {("value_at_least", 0.0)}
    told = explain_policy(pack("hiring-nyc-ll144")[0])
    assert told.count("must have been measured, whatever it is") == 2 and "at least 0" not in told


@each_pack
def test_a_workspace_can_begin_with_a_pack(name: str, tmp_path: Path) -> None:
    with workspace(tmp_path / "ws", policy=name) as ws:
        (entry,) = ws.view().of_kind("policy")
        assert entry.content.text == (packs()[name] / "policy.yaml").read_text(encoding="utf-8")


RACES = (
    "Hispanic or Latino", "White", "Black or African American", "Native Hawaiian or Pacific Islander", "Asian",
    "American Indian or Alaska Native", "Two or More Races",
)  # fmt: skip


def _rows(n: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": generator.normal(3, 1, n), "debt": generator.normal(0, 1, n),
            "sex": generator.choice(["Female", "Male"], n), "race_ethnicity": generator.choice(RACES, n),
        }
    )  # fmt: skip
    noise = generator.normal(0, 1, n)
    return frame.assign(repaid=(frame.income - frame.debt / 2 + noise > 3).astype(int))


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Subject]:
    """Return a workspace in which a model was trained, assessed and described, as far as any pack asks for texts."""
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("packs")
    train, test = _rows(8000)[:4000], _rows(8000)[4000:].reset_index(drop=True)
    workspace(folder / "ws").close()
    with gov.open(folder / "ws", signer="author") as ws, ws.training("credit-risk") as run:
        run.uses(train, name="applications")
        model = LogisticRegression().fit(train[["income", "debt"]], train["repaid"])
        version = run.produces(model, name="credit-risk")
    with gov.open(folder / "ws", signer="author") as ws, ws.training("credit-risk") as run:
        run.uses(train, name="applications")
        again = LogisticRegression().fit(train[["income", "debt"]], train["repaid"]).set_params(verbose=0, n_jobs=1)
        second = run.produces(again, name="credit-risk")
    (folder / "requirements.txt").write_text(f"scikit-learn=={metadata.version('scikit-learn')}\n")
    advisory = {
        "id": "OSV-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "other"}}],
    }
    (folder / "osv.json").write_text(json.dumps(advisory))
    with gov.open(folder / "ws", signer="validator") as ws:
        ws.scan(version, requirements=folder / "requirements.txt", advisories=folder / "osv.json")
        ws.assess(
            version,
            test,
            y_true="repaid",
            sensitive_features=["sex", "race_ethnicity"],
            background=train,
            training=[train],
            kinds=("performance", "fairness", "explanation", "robustness"),
            rerun=second,
        )
        ws.assess_data(
            version, test, y_true="repaid", sensitive_features=["sex"], training=[train],
            population={"sex": {"Female": 0.5, "Male": 0.5}},
        )  # fmt: skip
        ws.assess_privacy(version, test, y_true="repaid", training=[train])
    signers: dict[str, set[str]] = {}
    for name in PACKS:
        for rule in pack(name)[0].rules:
            if rule.require.text is not None:
                person = (rule.require.signed_by or "author").replace("_", "-")
                signers.setdefault(person, set()).add(rule.require.text)
    for person, texts in signers.items():
        with gov.open(folder / "ws", signer=person) as ws:
            for text in sorted(texts):
                (folder / "text.md").write_text(f"What {person} says about {text}.")
                ws.attest_text(version, text, folder / "text.md")
    return folder / "ws", version


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PACKS if name != "credit-scoring"])  # these rows have other columns
def test_what_assessments_and_people_sign_passes_every_rule_of_a_pack(
    name: str, governed: tuple[Path, Subject]
) -> None:
    folder, version = governed
    policy = pack(name)[0]
    with gov.open(folder) as ws:
        decision = ws.consider(version, stage="production", policy=packs()[name] / "policy.yaml")
    blocked = {finding.id for finding in decision.findings if finding.status != "pass"}
    # All keys of this workspace are in one folder.
    assert blocked == ({"GATE-custody"} if policy.custody == "separate" else set())
    judged = {finding.rule for finding in decision.findings}
    assert judged >= {rule.id for rule in policy.rules}
    if policy.custody == "separate":
        assert "mlgov keys trust" in decision.explain()


def _findings(text: str) -> list[tuple[str, str]]:
    return list(yaml.safe_load(text)["expect"].get("findings", {}).items())


def _of(rule: Rule, finding: str) -> bool:
    return finding == rule.id or finding.startswith(f"{rule.id}/")


def _with_bases(cases: dict[str, str], wanted: set[str]) -> dict[str, str]:
    """Return cases together with those that they are like."""
    found: dict[str, str] = {}
    waiting = sorted(wanted)
    while waiting:
        name = waiting.pop()
        found[name] = cases[name]
        like = yaml.safe_load(cases[name]).get("like")
        if like is not None and like not in found:
            waiting.append(like)
    return found
