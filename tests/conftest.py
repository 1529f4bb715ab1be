"""Every test gets a home of its own, so that nothing on the machine helps or hinders it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# Two tests run at a time: threads of OpenMP that wait for each other's processors cost many times what they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    # MLflow writes the experiment that is set, and more, into the environment of the whole process.
    mlflow = [name for name in os.environ if name.startswith("MLFLOW_") and name.endswith("_ID")]
    for name in ("MLGOV_SIGNER", "MLGOV_PASSPHRASE", *mlflow):
        monkeypatch.delenv(name, raising=False)
    return home


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is marked ``full`` to ``.ci/full``, which sets MLGOV_FULL; a test that was asked for by name runs."""
    if os.environ.get("MLGOV_FULL") or any("::" in one for one in config.args):
        return
    left = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if not item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where everything that can be installed was, a skipped test hides something and fails."""
    report = yield
    installable = not any(item.get_closest_marker(name) for name in ("schemas", "stacks"))
    if report.skipped and installable and os.environ.get("MLGOV_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report
