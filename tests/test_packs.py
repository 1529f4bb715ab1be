"""The policy packs that ship: each is accepted, clean, shown to work by its cases, and says what it is evidence for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
import yaml

from ml_governance.decide.cases import run_cases
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import parse_policy
from ml_governance.decide.sentences import explain_policy
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.testing import workspace
from ml_governance.workspace import catalogue, packs

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.decide.policy import Policy, Rule

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
        bound, low = rule.require.bound, rule.require.metric and rule.require.definition().low
        if rule.require.champion is not None or (bound is not None and bound[1] != low):
            assert any(_of(rule, found) for found in failed), rule.id


@each_pack
def test_the_evidence_of_a_rule_is_evidence_for_the_controls_it_names(name: str) -> None:
    for rule in pack(name)[0].rules:
        assert rule.controls
        for control in rule.controls:
            assert rule.require.evidence in catalogue().control(control).evidence, (rule.id, control)


@each_pack
def test_a_pack_asks_for_nothing_that_nothing_records(name: str) -> None:
    assert all(EVIDENCE_KINDS[rule.require.evidence].recorded for rule in pack(name)[0].rules)


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


@each_pack
def test_a_workspace_can_begin_with_a_pack(name: str, tmp_path: Path) -> None:
    with workspace(tmp_path / "ws", policy=name) as ws:
        (entry,) = ws.view().of_kind("policy")
        assert entry.content.text == (packs()[name] / "policy.yaml").read_text(encoding="utf-8")


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
