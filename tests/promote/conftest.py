from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promote import house as made

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.build(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def ready_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = made.copy(template, tmp_path_factory.mktemp("ready") / "ws")
    house.ready()
    return house.root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> made.House:
    return made.copy(template, tmp_path / "ws")


@pytest.fixture
def ready(ready_template: Path, tmp_path: Path) -> made.House:
    """A workspace with credit/1, which passes every rule and wants one approval."""
    return made.copy(ready_template, tmp_path / "ws")
