"""Every example runs, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_governance.testing import workspace

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(script: Path, *arguments: str, cwd: Path, signer: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **({"MLGOV_SIGNER": signer} if signer else {})}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["01_govern_a_model.py", "02_fairness_report.py"])
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


def test_every_numbered_example_is_tested_here() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("[0-9]*.py"):
        assert path.name in text
