"""The story, told once on real data with a real MLflow, and every decision in it."""

from __future__ import annotations

import json
import os
import re
import shlex
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


TELLING = """
import json, sys
from ml_governance.cli.run import run
from ml_governance.demo import story

tell = story.tell

def kept(*words, **options):
    told = tell(*words, **options)
    with open(sys.argv[1], "w") as file:
        json.dump(told.to_dict(), file)
    return told

story.tell = kept
sys.exit(run(["demo"]))
"""
"""``mlgov demo``, which besides keeps what happened as data."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Run it as a user does: in an empty folder, with an empty home."""
    folder, home = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("demo-home")
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    program, kept = [sys.executable, "-c", TELLING], home / "told.json"
    done = subprocess.run(
        [*program, str(kept)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(kept.read_text()), done.stdout


@pytest.fixture(scope="module")
def told(run: tuple[Path, dict[str, Any], str]) -> tuple[Path, dict[str, Any]]:
    return run[0], run[1]


def unlike(shown: list[str], printed: list[str]) -> list[str]:
    """Return the shown lines that were not printed, in this order; three dots stand for anything."""
    rest, missing = iter(printed), []
    for line in shown:
        form = re.compile(".*".join(map(re.escape, line.split("..."))))
        if not any(form.fullmatch(one) for one in rest):
            missing.append(line)
            rest = iter(printed)
    return missing


@pytest.mark.slow
def test_the_readme_shows_what_it_prints(run: tuple[Path, dict[str, Any], str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = readme.split("prints, among other things:\n\n")[1].split("\n\nand ")[0]
    shown = [line[4:] for line in block.splitlines() if line.strip() != "..."]
    printed = run[2].splitlines()
    assert len(shown) > 12 and unlike(shown, printed) == []
    other = next(line for line in shown if "Roc auc" in line)
    assert unlike([*shown[:2], other.replace("0.921", "0.922")], printed)


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


@pytest.mark.slow
@pytest.mark.parametrize("page", ["annex-iv", "compare-versions", "ll144-summary", "dossier"])
def test_the_commands_of_a_page_about_reports_run_in_its_workspace(
    told: tuple[Path, dict[str, Any]], page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ml_governance.cli.run import run as mlgov

    monkeypatch.chdir(told[0])
    text = (Path(__file__).parents[2] / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "mlgov"
        for word in words:
            if word.endswith(".md"):
                Path(word.partition("=")[2]).write_text("What a person says.\n", encoding="utf-8")
        assert mlgov(words) == 0, capsys.readouterr().err
    for named in re.findall(r"`(reports/credit-risk-2/[^`]+)`", text):
        assert Path(named).stat().st_size > 1000
    if page == "compare-versions":
        written = Path("reports/credit-risk-2/compare.html").read_text(encoding="utf-8")
        shown = re.search(r"^    (identity .*)$", text, re.MULTILINE)[1]  # type: ignore[index]
        assert re.search(".*".join(map(re.escape, shown.split("..."))), written)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    from ml_governance.demo.story import tell

    (tmp_path / "mine").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        tell(tmp_path, say=print, working=lambda _: None)  # type: ignore[arg-type,return-value]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
