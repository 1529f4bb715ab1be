"""What monitoring says of production, who may say it, and what the gate makes of it."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_governance import workspace
from ml_governance.assess.drift import assess_drift
from ml_governance.assess.fairness import assess_fairness
from ml_governance.cli.run import run
from ml_governance.errors import DataError, DeniedError, MissingEvidenceError, NotAuthorizedError
from ml_governance.evidence.predicates import Monitoring
from tests.operate.house import INPUTS, House, fitted, rows

MODEL = "credit/1"


def served(house: House, table: pd.DataFrame, **options: Any) -> np.ndarray:
    with house.serve(MODEL) as deployment:
        answer: np.ndarray = deployment.predict(table[INPUTS], **options)
    return answer


def findings(found: Any) -> dict[str, str]:
    return {one.id: one.status for one in found.findings}


def test_rows_like_those_that_were_approved_pass_and_the_gate_stays_open(house: House) -> None:
    before = house.decide(MODEL)
    served(house, rows(800, seed=7))
    assert before.result == "allow"
    assert {f.id: f.status for f in house.decide(MODEL).findings}["SRV-02"] == "missing"
    found = house.monitor(MODEL)
    assert found.exit_code == 0
    assert findings(found)["SRV-02/column"] == "pass" and findings(found)["SRV-03/sex"] == "pass"
    house.approve(MODEL)
    assert house.decide(MODEL).result == "allow"


def test_rows_that_moved_fail_and_re_open_the_gate(house: House) -> None:
    served(house, rows(800, seed=7, shift=2.0))
    found = house.monitor(MODEL)
    assert found.exit_code == 1 and findings(found)["SRV-02/column"] == "fail"
    worst = max(found.report.drift.distances, key=lambda one: one.value or 0)
    assert worst.column == "income" and worst.p_value is not None and worst.p_value < 1e-6
    decision = house.decide(MODEL)
    assert (decision.result, decision.exit_code) == ("deny", 1)
    with house.as_("max") as ws, pytest.raises(DeniedError):
        ws.promote(MODEL, stage="production")


def test_a_finding_does_not_stop_what_is_served_and_a_revocation_does(house: House) -> None:
    served(house, rows(800, seed=7, shift=2.0))
    house.monitor(MODEL)
    with house.serve(MODEL) as deployment:
        house.revoke(MODEL)
        with pytest.raises(DeniedError):
            deployment.check()


def test_old_monitoring_is_stale(house: House) -> None:
    served(house, rows(800, seed=7))
    house.monitor(MODEL)
    house.later(days=3)
    assert house.decide(MODEL).exit_code == 4
    assert {f.id: f.status for f in house.decide(MODEL).findings}["SRV-02"] == "stale"


def test_whoever_made_the_model_does_not_vouch_for_it_in_production(house: House) -> None:
    """The newest monitoring that counts is somebody else's: omar, a validator too, cannot paint over it."""
    house.train(who="omar")  # the same bytes, so that omar is one of those who made them
    served(house, rows(800, seed=7, shift=2.0))
    house.monitor(MODEL)
    served(house, rows(8000, seed=8))
    with house.as_(None) as ws:
        bad = ws.view().of_kind(Monitoring.kind)[-1]
    good = [
        one.model_copy(update={"value": -1.0}) if one.metric == "psi_excess" else one
        for one in bad.content.measurements
    ]
    house.write(bad.content.model_copy(update={"measurements": tuple(good)}), *bad.subjects, who="omar")
    assert {f.id: f.status for f in house.decide(MODEL).findings}["SRV-02/column"] == "fail"


def test_drift_is_that_of_the_same_rows_compared_directly(house: House) -> None:
    table = rows(700, seed=9, shift=0.3)
    served(house, table)
    drift = house.monitor(MODEL).report.drift
    direct = assess_drift(rows()[["income", "debt"]], table[["income", "debt"]], metrics=("psi",))
    for name in ("income", "debt"):
        mine, theirs = drift.get(name, "psi"), direct.get(name, "psi")
        assert mine.value == pytest.approx(theirs.value) and mine.null_level == pytest.approx(theirs.null_level)


def test_fairness_of_labels_that_came_late_is_that_of_the_joined_rows(house: House) -> None:
    table = rows(900, seed=10)
    ids = [f"a-{n}" for n in range(900)]
    predicted = served(house, table, ids=ids)
    file = house.root / "labels.csv"
    pd.DataFrame({"id": ids[:600], "label": table.label[:600]}).to_csv(file, index=False)
    found = house.monitor(MODEL, labels=file)
    assert found.joined is not None and found.joined.joined == 600 and found.report.labelled == 600
    first = table[:600]
    expected = assess_fairness(y_true=first.label, y_pred=predicted[:600], sensitive_features=first[["sex"]])
    for metric in ("true_positive_rate", "false_positive_rate", "accuracy"):
        for level in ("f", "m"):
            mine, theirs = found.report.get(metric, ("sex",), (level,)), expected.get(metric, ("sex",), (level,))
            assert (mine.numerator, mine.denominator, mine.intervals) == (
                theirs.numerator,
                theirs.denominator,
                theirs.intervals,
            )
    assert found.report.get("equalized_odds_difference", ("sex",)).value == pytest.approx(
        expected.get("equalized_odds_difference", ("sex",)).value
    )
    every = assess_fairness(y_true=predicted, y_pred=predicted, sensitive_features=table[["sex"]])
    assert found.report.get("selection_rate_ratio", ("sex",)).value == every.get("selection_rate_ratio", ("sex",)).value
    assert found.report.get("labelled_share").value == pytest.approx(600 / 900)


def test_labels_may_come_after_the_window_of_another_process_and_through_the_handle(house: House) -> None:
    table = rows(200, seed=11)
    served(house, table, ids=list(range(200)))
    house.later(hours=5)
    with house.serve(MODEL) as deployment:
        done = deployment.labels(list(range(200)), table.label)
    assert done.joined == 200
    with house.as_("vera") as ws:
        assert ws.monitor(MODEL).report.labelled == 200


def test_labels_of_a_file_join_once_ahead_of_the_monitoring_that_counts_them(house: House) -> None:
    table = rows(300, seed=13)
    served(house, table, ids=list(range(300)))
    file = house.root / "labels.parquet"
    pd.DataFrame({"id": range(100, 400), "label": [*table.label[100:], *[0] * 100]}).to_parquet(file)
    with house.as_("vera") as ws:
        first, again = ws.join_labels(MODEL, file), ws.join_labels(MODEL, file)
        assert (first.joined, first.unknown) == (200, 100)
        assert (again.joined, again.unknown) == (0, 300)
        assert ws.monitor(MODEL).report.labelled == 200


def test_without_labels_no_rate_that_needs_one_is_measured(house: House) -> None:
    served(house, rows(300, seed=12))
    report = house.monitor(MODEL).report
    assert {one.metric for one in report.measurements if one.by == ("sex",)} <= {
        "selection_rate", "selection_rate_ratio", "selection_rate_difference", "demographic_parity_ratio",
        "demographic_parity_difference",
    }  # fmt: skip
    assert any("no label has come" in note for note in report.notes)


def test_few_rows_are_insufficient_and_do_not_pass(house: House) -> None:
    served(house, rows(20, seed=13))
    found = house.monitor(MODEL)
    assert findings(found)["SRV-02/column"] == "insufficient" and found.exit_code == 3


def test_a_new_level_counts_as_drift(house: House) -> None:
    served(house, rows(800, seed=7).assign(region="east"))
    found = house.monitor(MODEL)
    assert findings(found)["SRV-02/column"] == "fail"
    assert found.report.details["unseen"] == {"region": 800}


def test_groups_that_the_model_is_not_given_come_beside_and_are_told_where_they_do_not(house: House) -> None:
    blind = [name for name in INPUTS if name != "sex"]
    version = house.train(model=fitted(blind))
    house.assess(version)
    house.approve(version)
    house.promote(version)
    table = rows(300, seed=8)
    with house.serve(version) as deployment:
        deployment.predict(table[blind])
        deployment.predict(table[blind], sensitive_features={"sex": table.sex})
    found = house.monitor(version)
    assert found.report.get("uncounted_share").value == 0.5
    assert found.report.get("selection_rate").n == 300
    assert any("no sensitive features" in note for note in found.report.notes)


def test_only_the_span_that_was_asked_for_is_compared(house: House) -> None:
    served(house, rows(300, seed=7))
    house.later(days=2)
    with pytest.raises(MissingEvidenceError, match="nothing was predicted"):
        house.monitor(MODEL)
    assert house.monitor(MODEL, window=timedelta(days=3)).report.window.tally.predicted == 300


def test_what_was_never_served_cannot_be_monitored(house: House) -> None:
    with pytest.raises(MissingEvidenceError, match="has counted anything"):
        house.monitor(MODEL)


def test_numbers_that_no_assessor_computed_are_no_baseline(house: House) -> None:
    version = house.train(model={"weights": 2})
    house.measure_as_recomputed(version)
    house.approve(version)
    house.promote(version)
    with pytest.raises(MissingEvidenceError, match="has no baseline"):
        house.monitor(version)


def test_the_baseline_is_that_of_the_evidence_that_was_approved(house: House) -> None:
    """Whoever assesses again, on rows like those of now, cannot move what production is compared with."""
    served(house, rows(800, seed=7, shift=2.0))
    with house.as_("vera") as ws:
        ws.assess(MODEL, rows(800, seed=7, shift=2.0), y_true="label", sensitive_features=["sex"], kinds=["fairness"])
    assert findings(house.monitor(MODEL))["SRV-02/column"] == "fail"


def test_who_has_no_role_signs_no_monitoring(house: House) -> None:
    served(house, rows(300, seed=7))
    with pytest.raises(NotAuthorizedError):
        house.monitor(MODEL, who="nobody")


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "labels.txt"])
def test_a_file_without_ids_and_labels_is_refused(house: House, name: str) -> None:
    served(house, rows(300, seed=7))
    file = Path(house.root / name)
    frame = pd.DataFrame({"applicant": [1], "label": [1]})
    frame.to_parquet(file) if name.endswith("parquet") else frame.to_csv(file, index=False)
    with pytest.raises(DataError, match="no column 'id'" if name != "labels.txt" else "neither Parquet nor CSV"):
        house.monitor(MODEL, labels=file)


def test_the_same_windows_give_the_same_signed_numbers(house: House) -> None:
    served(house, rows(300, seed=7))
    first, second = house.monitor(MODEL).report, house.monitor(MODEL).report
    assert first.to_json() == second.to_json() and first.inputs() == second.inputs()


def test_the_command_prints_what_it_found_and_exits_as_the_rules_would(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "open_workspace", partial(workspace.open_workspace, clock=house.clock))
    table = rows(400, seed=7)
    served(house, table, ids=list(range(400)))
    file = house.root / "labels.csv"
    pd.DataFrame({"id": range(400), "label": table.label}).to_csv(file, index=False)
    command = ["monitor", MODEL, "--as", "vera", "--workspace", str(house.root)]
    assert run([*command, "--labels", str(file)]) == 0
    told = capsys.readouterr().out
    assert "400 predictions of 1 process " in told and "400 labels joined, 0 unknown" in told
    assert "income" in told and "pass: SRV-02/column" in told
    served(house, rows(900, seed=8, shift=3.0))
    assert run([*command, "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["exitCode"] == 1 and value["subject"]["name"] == MODEL
    assert {one["status"] for one in value["findings"] if one["id"] == "SRV-02/column"} == {"fail"}
    assert run([*command, "--window", "week"]) == 2
