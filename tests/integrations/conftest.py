from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integrations import mlflow_house

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One MLflow server for all tests: it takes ten seconds and more to start."""
    with mlflow_house.running(tmp_path_factory.mktemp("mlflow-server"), port=mlflow_house.free_port()) as url:
        yield url
