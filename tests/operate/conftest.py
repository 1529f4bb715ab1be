from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.operate import house as made

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def served_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.build(tmp_path_factory.mktemp("served"))


@pytest.fixture
def house(served_template: Path, tmp_path: Path) -> made.House:
    """A workspace with credit/1 in production."""
    return made.copy(served_template, tmp_path / "ws")
