"""The quality of rows, and what a model gives away about them: measured in a workspace, signed, judged and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ml_governance as gov
from ml_governance.cli.run import run
from ml_governance.errors import DataError
from tests.workspace.house import POLICY, House

RULES = """
  - id: HSE-02
    title: No column gives the label away
    require: {evidence: data-quality, metric: largest_single_feature_auc, upper_bound_at_most: 0.95, no_overlap_with: training,
      max_overlap: 0.1}
  - id: HSE-03
    title: Losses say little of who was trained on
    require: {evidence: privacy, metric: membership_auc, upper_bound_at_most: 0.6}
"""


def rows(n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": random.normal(0, 1, n), "debt": random.normal(0, 1, n), "sex": random.choice(["Female", "Male"], n),
        }
    )  # fmt: skip
    return frame.assign(repaid=(frame.income + random.normal(0, 1, n) > 0).astype(int))


TRAIN, TEST = rows(1500, 0), rows(1000, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Any, Any]:
    """Return a house with a plain model, and one that learnt its rows by heart."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    house = House(tmp_path_factory.mktemp("rows") / "house", policy=POLICY + RULES.lstrip("\n"))
    found = []
    for model in (LogisticRegression(), DecisionTreeClassifier(random_state=0)):
        with house.acting("ada") as ws, ws.training("credit") as training:
            training.uses(TRAIN, name="applications")
            model.fit(TRAIN[["income", "debt"]], TRAIN["repaid"])
            found.append(training.produces(model, name="credit"))
    return house, found[0], found[1]


@pytest.mark.slow
def test_rows_and_losses_are_measured_signed_and_judged(made: tuple[House, Any, Any], tmp_path: Path) -> None:
    house, plain, by_heart = made
    test = pd.concat([TEST, TRAIN[:50]], ignore_index=True)
    with house.acting("vera") as ws:
        for version in (plain, by_heart):
            quality = ws.assess_data(
                version, test, y_true="repaid", sensitive_features=["sex"], training=[TRAIN],
                population={"sex": {"Female": 0.5, "Male": 0.5}},
            )  # fmt: skip
            private = ws.assess_privacy(version, test, y_true="repaid", training=[TRAIN], sensitive_features=["sex"])
            assert quality.data_quality.get("overlap_rate").numerator == 50
        entry = next(a for a in ws.view().about(by_heart.sha256, "privacy"))
        assert entry.content.details["membership"] == {
            "loss": "log loss", "training_rows": 1500, "other_rows": 1000, "left_out": 50,
        }  # fmt: skip
        assert private.privacy.get("membership_auc").value > 0.6
        statuses = [
            {f.id: f.status for f in ws.consider(version, stage="production").findings} for version in (plain, by_heart)
        ]
        assert [one["HSE-03"] for one in statuses] == ["pass", "fail"]
        assert all(one["HSE-02"] == one["HSE-02/overlap"] == "pass" for one in statuses)
        page = ws.report(by_heart, tmp_path / "report", stage="production", forms=("html", "json"))
    text = page.files["html"].read_text()
    for said in (
        "Quality of data",
        "largest single feature AUC",
        "Groups of sex",
        "membership AUC",
        "50 rows that equal",
    ):
        assert said in text, said
    card = json.loads(page.files["json"].read_text())
    assert card["data_quality"]["worst"]["missing_rate"] and card["privacy"]["overall"]


@pytest.mark.slow
def test_rows_that_the_model_was_not_trained_on_do_not_pass_for_training_rows(made: tuple[House, Any, Any]) -> None:
    house, plain, _ = made
    with house.acting("vera") as ws:
        with pytest.raises(DataError, match="no training run"):
            ws.assess_data(plain, TEST, training=[TEST])
        with pytest.raises(DataError, match="no training rows"):
            ws.assess_privacy(plain, TEST, y_true="repaid", training=[])
        with pytest.raises(DataError, match="is a training row"):
            ws.assess_privacy(plain, TRAIN[:50], y_true="repaid", training=[TRAIN])
        with pytest.raises(DataError, match="no column 'paid'"):
            ws.assess_privacy(plain, TEST, y_true="paid", training=[TRAIN])


@pytest.mark.slow
def test_all_kinds_are_measured_from_one_question_to_the_model_and_signed_together(
    made: tuple[House, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.assess import recompute

    house, plain, _ = made
    asked = []
    real = recompute.recompute
    monkeypatch.setattr(recompute, "recompute", lambda *a, **k: asked.append(k["more"]) or real(*a, **k))
    order = ("performance", "data-quality", "privacy", "security-scan")
    asked_for: dict[str, Any] = {"y_true": "repaid", "sensitive_features": ["sex"], "training": [TRAIN]}
    with house.acting("vera") as ws:
        found = ws.assess(plain, TEST, kinds=order[::-1], **asked_for)
        assert [len(more) for more in asked] == [len(TRAIN)]
        alone = ws.assess_privacy(plain, TEST, **asked_for)
    first = found.receipts["performance"].index
    assert {kind: receipt.index for kind, receipt in found.receipts.items()} == {
        kind: first + at for at, kind in enumerate(order)
    }
    assert found.privacy.to_dict() == alone.privacy.to_dict()


@pytest.mark.slow
def test_an_assessment_that_is_interrupted_signs_nothing_and_says_what_was_measured(
    made: tuple[House, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.assess import kinds

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(kinds, "quality", stop)
    house, plain, _ = made
    with house.acting("vera") as ws:
        size = ws.ledger.size
        with pytest.raises(KeyboardInterrupt) as stopped:
            ws.assess(plain, TEST, y_true="repaid", sensitive_features=["sex"], kinds=("performance", "data-quality"))
        assert stopped.value.__notes__ == ["measured: performance; nothing was signed"]
    with house.acting() as ws:
        assert ws.ledger.size == size


def test_options_of_a_kind_that_is_not_measured_are_refused_before_anything_is_read(
    made: tuple[House, Any, Any],
) -> None:
    house, plain, _ = made
    asked: dict[str, Any] = {"y_true": "repaid", "sensitive_features": ["sex"], "kinds": ("performance",)}
    with house.acting("vera") as ws:
        for options, kind in (
            ({"population": {"sex": {"Female": 1, "Male": 1}}}, "data-quality"),
            ({"advisories": "osv.json"}, "security-scan"),
            ({"rerun": "credit/2"}, "robustness"),
        ):
            with pytest.raises(gov.UsageError, match=f"options of {kind} are given"):
                ws.assess(plain, "nowhere.parquet", **asked, **options)
        with pytest.raises(DataError, match="no training rows"):
            ws.assess(plain, "nowhere.parquet", **asked | {"kinds": ("privacy",)})


@pytest.mark.slow
def test_the_command_line_signs_with_a_model_and_prints_without(
    made: tuple[House, Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house, plain, _ = made
    TEST.to_parquet(tmp_path / "test.parquet")
    TRAIN.to_parquet(tmp_path / "train.parquet")
    (tmp_path / "population.yaml").write_text("sex: {Female: 1, Male: 1}\n")
    data = ["--data", str(tmp_path / "test.parquet"), "--training", str(tmp_path / "train.parquet")]
    asked = ["assess", "--kind", "data", *data, "--y-true", "repaid", "--by", "sex", "--json"]
    assert run([*asked, "--population", str(tmp_path / "population.yaml")]) == 0
    printed = json.loads(capsys.readouterr().out)
    named = {one["metric"] for one in printed["measurements"]}
    assert {"representation_ratio", "overlap_rate", "proxy_auc", "psi"} <= named
    assert run(["assess", "--kind", "data", *data]) == 0
    assert "missing_rate" in capsys.readouterr().out
    hidden = ["assess", "--kind", "privacy", "--released", str(tmp_path / "test.parquet"), "--quasi-identifier", "sex"]
    assert run([*hidden, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    smallest = min(TEST.sex.value_counts())
    assert next(one for one in printed["measurements"] if one["metric"] == "k_anonymity")["value"] == smallest
    for kind in ("data", "privacy"):
        signed = ["assess", f"{plain.name}", "--kind", kind, *data, "--y-true", "repaid", "--as", "vera", "--json"]
        code = run([*signed, "--workspace", str(house.folder / "ws")])
        out = json.loads(capsys.readouterr().out)
        assert code == 0 and list(out["entries"]) == [{"data": "data-quality"}.get(kind, kind)]
    together = ["--kind", "artifact", "--kind", "data", "--kind", "privacy", "--workspace", str(house.folder / "ws")]
    assert run(["assess", plain.name, *data, "--y-true", "repaid", "--as", "vera", "--json", *together]) == 0
    assert list(json.loads(capsys.readouterr().out)["entries"]) == ["data-quality", "privacy", "security-scan"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kind", "data", "--kind", "privacy", "--data", "x.parquet"],
        ["--kind", "data"],
        ["--kind", "privacy", "--data", "x.parquet"],
        ["--kind", "data", "--data", "x.parquet", "--quasi-identifier", "age"],
        ["--kind", "fairness", "--released", "x.parquet"],
        ["credit/1", "--kind", "privacy", "--data", "x.parquet", "--y-true", "y"],
    ],
)
def test_options_that_do_not_go_together_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["assess", *arguments]) == 2
    assert "give" in capsys.readouterr().err


def test_a_population_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TEST.to_parquet(tmp_path / "test.parquet")
    (tmp_path / "population.yaml").write_text("- 3\n")
    asked = ["assess", "--kind", "data", "--data", str(tmp_path / "test.parquet"), "--by", "sex"]
    assert run([*asked, "--population", str(tmp_path / "population.yaml")]) == gov.DataError("x").exit_code
    assert "holds no populations" in capsys.readouterr().err
