"""What a report says of a model in use: where it is served, what windows showed, and who plans to look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema

from ml_governance.report.html import environment
from ml_governance.report.schema import report_schema
from tests.operate.house import INPUTS, rows
from tests.report.test_report import parsed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operate.house import House

MODEL = "credit/1"


def report(house: House, folder: Path, version: str = MODEL, **options: Any) -> tuple[str, dict[str, Any]]:
    with house.as_(None) as ws:
        written = ws.report(version, folder, **options)
    value = json.loads(written.files["json"].read_text())
    if "kind" not in options:
        jsonschema.validate(value, report_schema(), cls=jsonschema.Draft202012Validator)
    return written.files["html"].read_text(), value


def section(page: str) -> str:
    return page.split('<h2 id="s12">')[1].split("</section>", maxsplit=1)[0]


def test_a_model_that_nobody_serves_or_measures_is_said_to_be_so(house: House, tmp_path: Path) -> None:
    page, value = report(house, tmp_path)
    assert value["deployments"] == [] and value["monitoring"] == []
    assert section(page).count("NOT RECORDED") == 2 and "no process is recorded as serving it" in page
    assert [one["id"] for one in value["plan"]] == ["SRV-02", "SRV-03"]
    assert "SRV-02: In use, columns look as they did" in section(page)


def test_each_process_stands_with_its_promotion_and_its_end_or_that_none_is_recorded(
    house: House, tmp_path: Path
) -> None:
    serving = house.serve(MODEL)
    page, value = report(house, tmp_path / "during")
    (one,) = value["deployments"]
    promotions = [entry["index"] for entry in value["promotions"] if entry["phase"] == "intent"]
    assert one["ended"] is None and one["promotion"] == promotions[-1] and one["by"] == "max"
    assert "no end recorded" in section(page) and "1 of 1 recorded processes have no recorded end" in page
    serving.close()
    page, value = report(house, tmp_path / "after")
    (one,) = value["deployments"]
    assert one["ended"]["index"] > one["index"] and one["ended"]["reason"] is None
    assert "no end recorded" not in section(page) and "0 of 1 recorded processes" in page


def test_a_process_that_a_withdrawal_stopped_says_why_it_ended(house: House, tmp_path: Path) -> None:
    import pytest

    from ml_governance.errors import DeniedError

    with house.serve(MODEL) as deployment:
        house.revoke(MODEL)
        with pytest.raises(DeniedError) as refused:
            deployment.check()
    _, value = report(house, tmp_path)
    assert value["deployments"][0]["ended"]["reason"] == refused.value.found


def test_a_window_is_shown_with_the_column_that_moved_first_and_the_rows_it_is_compared_with(
    house: House, tmp_path: Path
) -> None:
    with house.serve(MODEL) as deployment:
        deployment.predict(rows(800, seed=7, shift=2.0)[INPUTS])
    house.monitor(MODEL)
    page, value = report(house, tmp_path)
    (window,) = value["monitoring"]
    assert window["predicted"] == 800 and window["columns"][0]["column"] == "income"
    assert window["columns"][0]["psi"] - window["columns"][0]["psi_excess"] > 0  # the level of chance
    (assessed,) = [one["index"] for one in value["events"] if one["kind"] == "fairness"]
    assert window["baseline"] == assessed
    assert "Columns farthest from the approved rows" in section(page) and "less than 0.001" in section(page)
    summary = page.split("Since the decision</dt>")[1].split("</dd>")[0]
    assert f"#{window['index']}" in summary, "whoever reads the verdict sees that it is older than the window"
    assert f'href="#entry-{window["index"]}"' in section(page)
    assert {one["by"] for one in window["groups"]} == {"sex"}
    assert all(one["use"] != "assessment" or "predictions" not in one["name"] for one in value["data"])
    labels = {node["label"] for node in value["lineage"]["nodes"]}
    assert {"served in production", "measured in production"} <= labels
    ends = {edge["to"]: edge["from"] for edge in value["lineage"]["edges"]}
    assert ends["serving:production"].startswith("promotion:")
    parsed(page)


def test_a_window_that_was_taken_back_says_so(house: House, tmp_path: Path) -> None:
    with house.serve(MODEL) as deployment:
        deployment.predict(rows(800, seed=7)[INPUTS])
    index = house.monitor(MODEL).receipt.index
    house.revoke(index)
    page, value = report(house, tmp_path)
    assert value["monitoring"][0]["withdrawnAt"] == value["withdrawals"][-1]["index"]
    assert "withdrawn (" in section(page)


def test_many_windows_and_processes_are_cut_in_the_page_and_whole_in_the_data(house: House, tmp_path: Path) -> None:
    with house.serve(MODEL) as deployment:
        deployment.predict(rows(800, seed=7)[INPUTS])
    house.monitor(MODEL)
    _, value = report(house, tmp_path)
    from ml_governance.report import card, html

    with house.as_(None) as ws:
        pack = card.build(
            view=ws.view(),
            subject=ws.resolve(MODEL),
            stage="production",
            project=ws.config.project,
            trust_root="sha256:0",
        )
    from dataclasses import replace

    page = html.render(replace(pack, deployments=pack.deployments * 50, monitoring=pack.monitoring * 50))
    assert "The last 20 of 50" in page and "The newest 20 of 50" in page
    assert len(value["monitoring"]) == 1
    assert environment().filters["spread"](range(101), 21)[-1] == 100


def test_what_differs_from_the_version_in_use_before_stands_under_changes(house: House, tmp_path: Path) -> None:
    from sklearn.dummy import DummyClassifier

    from ml_governance.report import comparison

    frame = rows(seed=1)
    second = house.train(DummyClassifier(strategy="uniform", random_state=0).fit(frame[INPUTS], frame.label))
    house.measure_as_recomputed(second)
    house.decide(second)
    _, value = report(house, tmp_path / "second", second.name)
    assert value["predecessor"]["name"] == MODEL
    changes = {(one["part"], one["what"]) for one in value["predecessor"]["changes"]}
    assert ("identity", "bytes") in changes and ("data", "training, train") not in changes
    page, compared = report(house, tmp_path / "two", second.name, kind="compare", against=MODEL)
    assert {(r["part"], r["what"]) for r in compared["rows"] if r["changed"]} == changes
    assert "measured on different rows" in page and "differs" in page
    parsed(page)
    first = report(house, tmp_path / "first")[1]
    assert first["predecessor"] is None
    with house.as_(None) as ws:
        view = ws.view()
        assert comparison.predecessor(view, ws.resolve(MODEL, view), "production") is None
