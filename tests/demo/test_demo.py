"""The story, told once on real data with a real MLflow, and every decision in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ml_governance as gov
from ml_governance.demo import dataset
from ml_governance.errors import ConfigurationError, VerificationError


def test_the_data_are_those_that_were_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = dataset.load()
    assert frame.shape == (32_561, 15)
    assert frame[dataset.LABEL].sum() == 7841
    train, validation, test = dataset.split(frame)
    assert len(train) + len(validation) + len(test) == len(frame)
    pd.testing.assert_frame_equal(dataset.split(frame)[2], test)
    monkeypatch.setattr(dataset, "SHA256", "0" * 64)
    with pytest.raises(VerificationError, match="has the digest"):
        dataset.load()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run it as a user does: in an empty folder, with an empty home."""
    folder, home = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("demo-home")
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    program = [sys.executable, "-m", "ml_governance.cli"]
    done = subprocess.run(
        [*program, "demo", "--json"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def statuses(decision: dict[str, Any]) -> dict[str, str]:
    return {finding["id"]: finding["status"] for finding in decision["findings"]}


@pytest.mark.slow
def test_version_1_is_denied_for_its_selection_rates(told: tuple[Path, dict[str, Any]]) -> None:
    decision = told[1]["decisions"]["version 1"]
    assert (decision["result"], decision["exitCode"]) == ("deny", 1)
    found = statuses(decision)
    assert found["CRD-01/sex"] == found["CRD-01/race"] == "fail"
    assert {status for rule, status in found.items() if not rule.startswith("CRD-01")} == {"pass"}
    sex = next(f for f in decision["findings"] if f["id"] == "CRD-01/sex")
    assert "of 3,782" in sex["sentence"] and "bounds" in sex["sentence"]


@pytest.mark.slow
def test_version_2_waits_for_people_and_is_then_allowed(told: tuple[Path, dict[str, Any]]) -> None:
    before, after = (told[1]["decisions"][f"version 2 {when}"] for when in ("before approvals", "with approvals"))
    assert (before["result"], before["exitCode"]) == ("review", 3)
    assert statuses(before)["CRD-01/sex"] == "pass"
    assert statuses(before)["CRD-01/race"] == "inconclusive"
    assert (after["result"], after["verificationResult"], len(after["approvals"])) == ("allow", "PASSED", 2)
    assert after["assurance"].startswith("single-custodian")
    assert "nobody may approve their own work" in told[1]["selfApproval"]


@pytest.mark.slow
def test_the_alias_has_moved_and_the_ledger_knows(told: tuple[Path, dict[str, Any]]) -> None:
    folder, story = told
    assert story["promoted"] == "2"
    with gov.open(folder) as ws:
        assert ws.registry.alias("credit-risk", "production") == "2"
        view = ws.view()
        outcomes = [a.content for a in view.of_kind("promotion") if a.content.phase == "outcome"]  # type: ignore[attr-defined]
        assert [(o.version, o.result) for o in outcomes] == [("2", "done")]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_edit_is_named_and_the_gate_refuses(told: tuple[Path, dict[str, Any]]) -> None:
    (problem,) = told[1]["tampering"]
    assert "fairness about credit-risk/1" in problem and "does not verify" in problem
    assert told[1]["refusal"].startswith("refused")


@pytest.mark.slow
def test_the_reports_are_there_and_the_workspace_goes_on(told: tuple[Path, dict[str, Any]]) -> None:
    folder, story = told
    for report in story["reports"]:
        assert Path(report).stat().st_size > 50_000
        assert json.loads(Path(report).with_suffix(".json").read_text())["lineage"]["edges"]
    environment = {**os.environ}
    command = [sys.executable, "-m", "ml_governance.cli", "decide", "credit-risk/1", "--as", "max"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.startswith("DENY")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    from ml_governance.demo.story import tell

    (tmp_path / "mine").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        tell(tmp_path, say=print, working=lambda _: None)  # type: ignore[arg-type,return-value]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
