"""Every example runs, in a folder of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ml_governance.testing import workspace

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(script: Path, *arguments: str, cwd: Path, signer: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **({"MLGOV_SIGNER": signer} if signer else {})}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["01_govern_a_model.py", "02_fairness_report.py", "04_steps_by_digest.py"])
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    done = run(EXAMPLES / name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_gate_of_a_pipeline_exits_with_the_reason(tmp_path: Path) -> None:
    workspace(tmp_path / "ws").close()
    script = EXAMPLES / "03_gate_in_ci.py"
    assert run(script, cwd=tmp_path).returncode == 2
    assert run(script, str(tmp_path), "m/1", "production", cwd=tmp_path).returncode == 2
    done = run(script, str(tmp_path / "ws"), "m/1", "production", cwd=tmp_path, signer="validator")
    assert done.returncode == 4
    assert "no registered model" in done.stderr


RUN = "0190a5de-0000-7000-8000-000000000001"
PIPES = base64.b64encode(zlib.compress(json.dumps({"data": {"run_id": RUN, "job_name": "credit"}}).encode())).decode()


@pytest.mark.parametrize(
    ("variables", "parent"),
    [
        ({}, "no orchestrator"),
        ({"OPENLINEAGE_PARENT_ID": f"airflow/credit.fit/{RUN}"}, f"airflow credit.fit {RUN}"),
        (
            {
                "AIRFLOW_CTX_DAG_ID": "credit", "AIRFLOW_CTX_TASK_ID": "fit", "AIRFLOW_CTX_TRY_NUMBER": "1",
                "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-15T12:00:00+00:00",
            },
            "default credit.fit ",
        ),
        ({"DAGSTER_PIPES_CONTEXT": PIPES}, f"dagster credit {RUN}"),
        ({"PREFECT__FLOW_RUN_ID": RUN}, f"prefect flow {RUN}"),
    ],
    ids=["nobody", "airflow-macros", "airflow", "dagster", "prefect"],
)  # fmt: skip
def test_a_step_finds_its_parent_in_what_an_orchestrator_sets(
    variables: dict[str, str], parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path / "ws").close()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run(EXAMPLES / "05_step_of_an_orchestrator.py", str(tmp_path / "ws"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(parent)


def test_every_numbered_example_is_tested_here() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("[0-9]*.py"):
        assert path.name in text
