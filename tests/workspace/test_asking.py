"""Champions, shared rows and texts from the workspace to the gate, with real keys and a real ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.assess.overlap import shared_rows
from ml_governance.assess.pairing import joint_counts
from ml_governance.cli.run import run as mlgov
from ml_governance.errors import DataError, NotAuthorizedError, PromotionDeniedError, UsageError, VerificationError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import HumanText
from ml_governance.evidence.statement import Subject
from ml_governance.promote import gate
from ml_governance.testing import START, FrozenClock, workspace
from ml_governance.workspace import PEOPLE, Person

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance import Workspace

POLICY = """
policy: asking
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
review: {roles: [risk_officer]}
approvals: [{role: risk_officer}]
rules:
  - id: ASK-01
    title: No worse than what is in use
    require: {evidence: performance, metric: accuracy, champion: {margin: 0.05, first: pass}, signed_by: validator,
              no_overlap_with: training, max_attempts: 2}
    on_inconclusive: deny
  - id: ASK-02
    title: Somebody wrote down what it is for
    require: {evidence: human-text, text: intended-use, signed_by: risk_officer}
"""


def rows(seed: int, n: int = 6000) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"x": generator.normal(size=n), "z": generator.normal(size=n), "sex": generator.choice(["f", "m"], n)}
    )
    return frame.assign(label=(frame.x + generator.normal(0, 0.3, n) > 0).astype(int))


TRAIN, TEST = rows(0), rows(9)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def root(tmp_path: Path, clock: FrozenClock) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "policy.yaml").write_text(POLICY)
    people = (*PEOPLE, Person(id="guest", name="A guest", roles=("visitor",)))
    workspace(tmp_path / "ws", policy=str(tmp_path / "pack"), clock=clock, people=people).close()
    return tmp_path / "ws"


def acting(root: Path, clock: FrozenClock, who: str) -> Workspace:
    return gov.open(root, signer=who, clock=clock)


def trained(root: Path, clock: FrozenClock, column: str) -> Subject:
    with acting(root, clock, "author") as ws, ws.training("credit") as run:
        run.uses(TRAIN, name="train")
        return run.produces(
            LogisticRegression().fit(TRAIN[[column]].set_axis(["x"], axis=1), TRAIN.label), name="credit"
        )


def assessed(root: Path, clock: FrozenClock, version: Subject, test: pd.DataFrame = TEST, **options: Any) -> Any:
    with acting(root, clock, "validator") as ws:
        return ws.assess(
            version,
            test[["x", "sex", "label"]],
            y_true="label",
            sensitive_features=["sex"],
            kinds=("performance",),
            **options,
        )


def test_the_next_model_is_held_against_the_one_in_use(root: Path, clock: FrozenClock, tmp_path: Path) -> None:
    good = trained(root, clock, "x")
    purpose = tmp_path / "use.md"
    purpose.write_text("To rank applications; never to refuse one alone.")
    assessed(root, clock, good, training=[TRAIN])
    with (
        acting(root, clock, "release-manager") as ws,
        pytest.raises(PromotionDeniedError, match="no text 'intended-use'"),
    ):
        ws.promote(good, stage="production")
    with acting(root, clock, "risk-officer") as ws:
        receipt = ws.attest_text(good, "intended-use", purpose)
        entry = next(a for a in ws.view().attestations if a.index == receipt.index)
        assert isinstance(entry.content, HumanText) and entry.content.sha256 == sha256_hex(purpose.read_bytes())
        ws.approve(good, stage="production", reason="it does what is written there")
    with acting(root, clock, "release-manager") as ws:
        assert ws.promote(good, stage="production").decision.result == "allow"

    worse = trained(root, clock, "z")
    with acting(root, clock, "risk-officer") as ws:
        ws.attest_text(worse, "intended-use", purpose)
    assessed(root, clock, worse, training=[TRAIN])
    with acting(root, clock, "release-manager") as ws:
        decision = ws.decide(worse, stage="production")
    statuses = {one.id: one.status for one in decision.findings}
    assert (
        statuses["ASK-01"] == "fail" and statuses["ASK-01/attempts"] == "pass" and statuses["ASK-01/overlap"] == "pass"
    )
    assert f"for {good.name}, the model in use" in decision.explain()
    assert "whatever their correlation" in decision.explain()
    assessed(root, clock, worse, training=[TRAIN], against=good)
    with acting(root, clock, "release-manager") as ws:
        tried = {one.id: one for one in ws.decide(worse, stage="production").findings}
        assert tried["ASK-01/attempts"].status == "fail"
        assert tried["ASK-01"].status == "fail" and "paired" in tried["ASK-01"].sentence
        assert not ws.verify().problems


def test_rows_that_were_trained_on_are_found_among_the_test_rows(root: Path, clock: FrozenClock) -> None:
    version = trained(root, clock, "x")
    mixed = pd.concat([TEST.iloc[:5000], TRAIN.iloc[:250]], ignore_index=True)
    assessed(root, clock, version, mixed)
    with acting(root, clock, "release-manager") as ws:
        before = {one.id: one for one in ws.decide(version, stage="production").findings}
        assert before["ASK-01/overlap"].status == "missing"
    assessed(root, clock, version, mixed, training=[TRAIN])
    with acting(root, clock, "release-manager") as ws:
        overlap = {one.id: one for one in ws.decide(version, stage="production").findings}["ASK-01/overlap"]
    assert overlap.status == "fail" and "250 of 5,250 test rows" in overlap.sentence


def test_only_what_the_model_was_trained_on_passes_for_its_training_data(root: Path, clock: FrozenClock) -> None:
    """Otherwise harmless rows would be shown in the place of those that count."""
    version = trained(root, clock, "x")
    with pytest.raises(DataError, match=r"no training run of credit/1 says that it read"):
        assessed(root, clock, version, training=[rows(5)])


def test_new_evidence_about_the_model_in_use_makes_the_gate_decide_again(
    root: Path, clock: FrozenClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purpose = tmp_path / "use.md"
    purpose.write_text("To rank.")
    good = trained(root, clock, "x")
    assessed(root, clock, good, training=[TRAIN])
    with acting(root, clock, "risk-officer") as ws:
        ws.attest_text(good, "intended-use", purpose)
        ws.approve(good, stage="production", reason="it does what is written there")
    with acting(root, clock, "release-manager") as ws:
        ws.promote(good, stage="production")
    other = trained(root, clock, "z")
    with acting(root, clock, "risk-officer") as ws:
        ws.attest_text(other, "intended-use", purpose)
    assessed(root, clock, other, training=[TRAIN])
    decisions = []
    original = gate.evaluate

    def evaluating(**arguments: Any) -> Any:
        decisions.append(original(**arguments))
        if len(decisions) == 1:
            assessed(root, clock, good, training=[TRAIN])
        return decisions[-1]

    monkeypatch.setattr(gate, "evaluate", evaluating)
    with acting(root, clock, "release-manager") as ws, pytest.raises(PromotionDeniedError):
        ws.promote(other, stage="production")
    assert len(decisions) == 2


# --- texts ------------------------------------------------------------------------------------------------


def test_a_text_is_signed_on_the_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], clock: FrozenClock
) -> None:
    trained(root, clock, "x")
    (tmp_path / "use.md").write_text("To rank.")
    given = ["attest", "credit/1", "-w", str(root), "--json", "--as", "risk-officer", "--text"]
    assert mlgov([*given, f"intended-use={tmp_path / 'use.md'}"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"]
    assert mlgov([*given, f"Intended Use={tmp_path / 'use.md'}"]) == 2
    assert mlgov([*given, "intended-use"]) == 2
    assert mlgov([*given, f"limits={tmp_path / 'nowhere.md'}"]) == 2


@pytest.mark.parametrize(("text", "words"), [("", "is empty"), (" \n", "is empty"), ("x" * 20_001, "at most 20,000")])
def test_a_text_that_says_nothing_or_too_much_is_refused(
    text: str, words: str, root: Path, tmp_path: Path, clock: FrozenClock
) -> None:
    (tmp_path / "use.md").write_text(text)
    with acting(root, clock, "author") as ws, pytest.raises(DataError, match=words):
        ws.attest_text("credit/1", "intended-use", tmp_path / "use.md")
    with acting(root, clock, "author") as ws, pytest.raises(UsageError):
        ws.attest_text("credit/1", "../x", tmp_path / "use.md")


def test_whoever_has_no_role_signs_no_text(
    root: Path, clock: FrozenClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = trained(root, clock, "x")
    (tmp_path / "use.md").write_text("To rank.")
    original = gov.Workspace.me

    def stripped(ws: Any, view: Any) -> Any:
        return replace(original(ws, view), roles=frozenset())

    monkeypatch.setattr(gov.Workspace, "me", stripped)
    with acting(root, clock, "guest") as ws, pytest.raises(NotAuthorizedError, match="guest has no role"):
        ws.attest_text(version, "intended-use", tmp_path / "use.md")


# --- shared rows ------------------------------------------------------------------------------------------


def test_another_type_or_a_missing_column_hides_no_shared_row() -> None:
    train = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [True, False, True]})
    test = pd.DataFrame({"b": ["x", None, "z"], "a": [1.0, 2.0, 4.0], "c": [1, 0, 1], "extra": [0, 0, 0]})
    assert shared_rows(test, train) == 2
    assert shared_rows(test.astype({"a": "Float64", "b": "category"}), train.astype({"b": "string"})) == 2
    assert shared_rows(pd.concat([test, test]), pd.concat([train, train])) == 4
    assert shared_rows(test.assign(a=[None, 2.0, 3.0]), train) == 2
    with pytest.raises(DataError, match="no column in common"):
        shared_rows(test[["extra"]], train)


def test_shared_rows_are_those_that_a_loop_finds() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        test, train = (
            pd.DataFrame({"a": random.integers(0, 4, 30), "b": random.choice(["p", "q"], 30)}) for _ in range(2)
        )
        known = {tuple(row) for row in train.itertuples(index=False)}
        assert shared_rows(test, train) == sum(tuple(row) in known for row in test.itertuples(index=False))


def test_joint_counts_are_those_that_a_loop_finds() -> None:
    random = np.random.default_rng(5)
    y, one, two = (random.choice(["no", "yes"], 300) for _ in range(3))
    groups = pd.DataFrame({"sex": random.choice(["f", "m"], 300)})
    groups.loc[:9, "sex"] = None
    found = {(c["metric"], *c["group"]): c["counts"] for c in joint_counts(y, one, two, groups, pos_label="yes")}
    rules: dict[str, Any] = {
        "accuracy": lambda t, p: p == t, "selection_rate": lambda _t, p: p == "yes",
        "true_positive_rate": lambda t, p: None if t == "no" else p == "yes",
        "false_negative_rate": lambda t, p: None if t == "no" else p == "no",
        "false_positive_rate": lambda t, p: None if t == "yes" else p == "yes",
        "true_negative_rate": lambda t, p: None if t == "yes" else p == "no",
    }  # fmt: skip
    for metric, rule in rules.items():
        for group in ((), ("f",), ("m",)):
            expected = [0, 0, 0, 0]
            for t, a, b, g in zip(y, one, two, groups.sex, strict=True):
                if (not group or g == group[0]) and rule(t, a) is not None:
                    expected[3 - 2 * rule(t, a) - rule(t, b)] += 1
            assert found[metric, *group] == expected


def test_the_ledger_refuses_a_text_of_somebody_without_a_role(tmp_path: Path) -> None:
    from ml_governance.evidence import door
    from ml_governance.evidence.trust import ROOT

    content = HumanText(name="intended-use", sha256=sha256_hex(b"x"), text="x")
    one: Any = SimpleNamespace(content=content, chain=SimpleNamespace(recorded_at=START))
    current: Any = SimpleNamespace(charter=None)
    with pytest.raises(VerificationError, match="may not sign a text"):
        door.know_signers(current, 5, [one], lambda *_: ROOT)
