"""A real MLflow server, and an environment in which this checkout is installed as its entry points say."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integrations import mlflow_house

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that proxies artifacts, and the folder in which it keeps them."""
    home = tmp_path_factory.mktemp("server")
    with mlflow_house.running(home, port=mlflow_house.free_port()) as url:
        yield url, home / "artifacts"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds this checkout's entry points, as a wheel of it would declare them."""
    path = mlflow_house.installed(tmp_path_factory.mktemp("installed"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLGOV_", "MLFLOW_"))}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"  # MLflow starts uvicorn by its name
    return {**kept, "PATH": programs, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
