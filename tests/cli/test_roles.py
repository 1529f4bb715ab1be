"""The verbs about people and protected data: output, JSON and exit codes."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.test_cli import mlgov

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ws(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Path:
    code, _, _ = mlgov(capsys, "init", tmp_path / "ws", "--project", "credit", "--registry", "local:models")
    assert code == 0
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path / "ws"


def test_can_answers_yes_no_and_usage(ws: Path, capsys: Capture) -> None:
    code, out, err = mlgov(capsys, "policy", "can", "release-manager", "promote")
    assert (code, err) == (0, "") and out.startswith("yes: release-manager may promote")
    code, out, _ = mlgov(capsys, "policy", "can", "author", "promote", "--json")
    answer = json.loads(out)
    assert code == 1 and answer["allowed"] is False and "takes release_manager" in answer["reason"]
    assert mlgov(capsys, "policy", "can", "author", "fly")[0] == 2
    assert mlgov(capsys, "policy", "can", "author", "promote", "--stage", "nowhere")[0] == 2
    assert mlgov(capsys, "policy", "can", "author", "approve", "credit-risk/9")[0] == 4


def test_a_role_is_lent_listed_and_taken_back(ws: Path, capsys: Capture) -> None:
    until = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    lend = ("keys", "delegate", "risk_officer", "--to", "validator", "--until", until, "--reason", "on leave")
    code, out, _ = mlgov(capsys, *lend, "--as", "risk-officer", "--json")
    (index,) = json.loads(out)["entries"]
    assert code == 0
    last = date.fromisoformat(until) + timedelta(days=1)  # the day named is the last one, as it is for waivers
    assert f"{last}T00:00+00:00" in mlgov(capsys, "keys", "delegations")[1]
    code, out, _ = mlgov(capsys, "policy", "can", "validator", "approve:risk_officer")
    assert code == 0 and "in the place of risk-officer" in out
    assert mlgov(capsys, *lend, "--as", "author")[0] == 1
    assert mlgov(capsys, *lend[:6], "soon", *lend[7:], "--as", "risk-officer")[0] == 2
    assert mlgov(capsys, "keys", "undelegate", index, "--reason", "back", "--as", "risk-officer")[0] == 0
    code, out, _ = mlgov(capsys, "keys", "delegations", "--json")
    (told,) = json.loads(out)
    assert code == 0 and told["inForce"] is False and "was revoked" in told["refusal"]
    assert "no: it was revoked" in mlgov(capsys, "keys", "delegations")[1]
    assert mlgov(capsys, "policy", "can", "validator", "approve:risk_officer")[0] == 1


def test_the_charter_is_printed_and_only_the_root_changes_it(ws: Path, capsys: Capture) -> None:
    code, out, _ = mlgov(capsys, "keys", "charter")
    assert code == 0
    (ws / "charter.json").write_text(json.dumps(json.loads(out) | {"people": 3}))
    assert mlgov(capsys, "keys", "charter", "charter.json", "--root-key", "author")[0] == 1
    assert mlgov(capsys, "keys", "charter", "--root-key", "root")[0] == 2
    assert mlgov(capsys, "keys", "charter", "charter.json", "--root-key", "root")[0] == 0
    assert json.loads(mlgov(capsys, "keys", "charter")[1])["people"] == 3


def test_protected_rows_come_out_for_a_reason_and_on_the_record(ws: Path, capsys: Capture) -> None:
    pd.DataFrame({"sex": ["f", "m"], "income": [1, 2]}).to_csv(ws / "rows.csv", index=False)
    add = ("data", "add", "rows", "rows.csv", "--sensitive", "sex")
    assert mlgov(capsys, *add, "--as", "author")[0] == 1
    assert mlgov(capsys, *add, "--as", "risk-officer")[0] == 0
    assert mlgov(capsys, "data", "open", "rows", "--as", "validator")[0] == 2
    asked = ("data", "open", "rows", "--reason", "complaint 7")
    assert mlgov(capsys, *asked, "--as", "author")[:2] == (1, "")
    code, out, _ = mlgov(capsys, *asked, "--column", "income", "--as", "validator")
    assert code == 0 and list(csv.reader(io.StringIO(out))) == [["income"], ["1"], ["2"]]
    code, out, _ = mlgov(capsys, *asked, "--as", "validator", "--json")
    assert json.loads(out) == [{"sex": "f", "income": 1}, {"sex": "m", "income": 2}]
    code, out, _ = mlgov(capsys, *asked, "--output", "out.parquet", "--as", "validator")
    assert code == 0 and (ws / "out.parquet").stat().st_mode & 0o777 == 0o600
    assert mlgov(capsys, *asked, "--output", "out.parquet", "--as", "validator")[0] == 2
    (listed,) = json.loads(mlgov(capsys, "data", "ls", "--json")[1])
    assert (listed["granted"], listed["refused"], listed["content"]["sensitive"]) == (3, 1, ["sex"])
    (ws / "rows.csv").write_text("sex,income\nf,9\n")
    assert mlgov(capsys, *asked, "--as", "validator")[:2] == (4, "")
    assert "refused\tdata/rows" in mlgov(capsys, "log", "ls", "--kind", "data-access")[1]
    assert mlgov(capsys, "policy", "can", "validator", "read", "rows")[0] == 0
    assert mlgov(capsys, "policy", "can", "validator", "read", "other")[0] == 4
