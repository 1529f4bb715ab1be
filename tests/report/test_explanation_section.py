"""Section 8 of the report: what a gap is made of and how columns rank, drawn and written, of one output and of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from tests.workspace.house import workspace


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=["income", "debt", "age"])
    frame["sex"] = random.choice(["Female", "Male"], 400)
    frame["income"] += frame.sex == "Male"
    frame["label"] = (frame.income - frame.debt > 0).astype(int)
    frame["grade"] = np.digitize(frame.income, [-0.5, 1.0]).astype(str)
    return frame


def page_of(folder: Path, model: object, report: gov.ExplanationReport, frame: pd.DataFrame) -> str:
    workspace(folder).close()
    with gov.open(folder, signer="author") as ws, ws.training("credit") as run:
        run.uses(frame, name="train")
        version = run.produces(model, name="credit")
    with gov.open(folder, signer="validator") as ws:
        ws.attest(version, report, data=frame)
        ws.report(version, folder / "report")
    (path,) = (folder / "report").glob("*.html")
    return path.read_text(encoding="utf-8")


def test_the_gap_of_groups_and_the_ranking_are_drawn_and_written(frame: pd.DataFrame, tmp_path: Path) -> None:
    columns = ["income", "debt", "age"]
    model = RandomForestClassifier(10, max_depth=4, random_state=0).fit(frame[columns], frame.label)
    report = gov.assess_explanation(
        model,
        rows=frame[columns],
        background=frame[columns][:50],
        sensitive_features=frame[["sex"]],
        max_rows=200,
        top=2,
    )
    ranked = gov.rank_columns(model, rows=frame[columns], background=frame[columns][:50], output="probability", top=2)
    assert [one["column"] for one in report.details["ranking"]["ranked"]] == [one.column for one in ranked.ranked]
    page = page_of(tmp_path / "ws", model, report, frame)
    (entry,) = report.details["gaps"]
    words = f"sex {entry['group'][0]} to {entry['reference'][0]}"
    assert f"What the gap of {words} is made of" in page
    table = page[page.index('aria-label="Gaps in parts"') :]
    for part in entry["parts"]:
        assert f'<td>{part["column"]}</td><td class="n">{part["value"]:.4f}</td>' in table
    assert 'aria-label="Ranking of columns"' in page and "of which every one was explained" in page


def test_each_class_of_several_has_its_gap_in_the_report(frame: pd.DataFrame, tmp_path: Path) -> None:
    columns = ["income", "debt"]
    model = LogisticRegression().fit(frame[columns], frame.grade)
    report = gov.assess_explanation(
        model, rows=frame[columns], background=frame[columns][:20], sensitive_features=frame[["sex"]], output="margin"
    )
    page = page_of(tmp_path / "ws", model, report, frame)
    for name in ("0", "1", "2"):
        assert f"difference of mean margin of class {name}" in page
    with pytest.raises(gov.DataError, match="no one ranking"):
        gov.assess_explanation(model, rows=frame[columns], background=frame[columns][:20], output="margin", top=1)


def test_a_report_without_groups_has_neither(frame: pd.DataFrame, tmp_path: Path) -> None:
    model = LogisticRegression().fit(frame[["income", "debt"]], frame.label)
    report = gov.assess_explanation(model, rows=frame[["income", "debt"]], background=frame[["income", "debt"]][:20])
    page = page_of(tmp_path / "ws", model, report, frame)
    assert "Gaps in parts" not in page and "Ranking of columns" not in page
