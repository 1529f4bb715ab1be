"""A ledger that an earlier version wrote stays verifiable for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import CONTENTS
from ml_governance.evidence.verify import verify

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.mark.parametrize("name", [path.stem for path in sorted(FIXTURES.glob("*.sqlite"))])
def test_a_released_ledger_verifies(name: str, tmp_path: Path) -> None:
    expected = json.loads((FIXTURES / f"{name}.json").read_text())
    shutil.copy(FIXTURES / f"{name}.sqlite", tmp_path / "log.sqlite")
    with Ledger.open(f"sqlite:///{tmp_path / 'log.sqlite'}") as ledger:
        verified = verify(ledger, root=expected["root"])
        assert verified.problems == ()
        assert verified.checkpoint.root.hex() == expected["tree"]
        assert sorted({a.kind for a in verified.attestations}) == expected["kinds"]


def test_the_newest_fixture_has_every_kind() -> None:
    newest = max(FIXTURES.glob("*.json"))
    assert json.loads(newest.read_text())["kinds"] == sorted(CONTENTS)
