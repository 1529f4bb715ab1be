"""A ledger that an earlier version wrote stays verifiable for ever."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_governance.errors import LedgerError, VerificationError
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.migrate import migrate
from ml_governance.evidence.predicates import CONTENTS
from ml_governance.evidence.schema import SCHEMA_VERSION
from ml_governance.evidence.verify import verify

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.mark.parametrize("name", [path.stem for path in sorted(FIXTURES.glob("*.sqlite"))])
def test_a_released_ledger_verifies(name: str, tmp_path: Path) -> None:
    expected = json.loads((FIXTURES / f"{name}.json").read_text())
    shutil.copy(FIXTURES / f"{name}.sqlite", tmp_path / "log.sqlite")
    url = f"sqlite:///{tmp_path / 'log.sqlite'}"
    (tmp_path / "log.pem").write_text(expected["logKey"])
    (tmp_path / "log.pem").chmod(0o600)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database:
        origin = database.execute("SELECT value FROM meta WHERE key = 'origin'").fetchone()[0]
    signer = LogSigner.load(tmp_path / "log.pem", name=origin)
    assert migrate(url, log_signer=signer) in {(1, SCHEMA_VERSION), (SCHEMA_VERSION, SCHEMA_VERSION)}
    assert migrate(url, log_signer=signer) == (SCHEMA_VERSION, SCHEMA_VERSION)
    with Ledger.open(url) as ledger:
        verified = verify(ledger, root=expected["root"])
        assert verified.problems == ()
        assert verified.checkpoint.root.hex() == expected["tree"]
        assert sorted({a.kind for a in verified.attestations}) == expected["kinds"]


def test_every_kind_stands_in_a_fixture() -> None:
    kept = [json.loads(path.read_text())["kinds"] for path in FIXTURES.glob("*.json")]
    assert {kind for kinds in kept for kind in kinds} == set(CONTENTS)


def test_a_damaged_ledger_is_not_migrated(tmp_path: Path) -> None:
    """What the old checkpoint did not sign gets no new one, and the old tables stay as they were."""
    expected = json.loads((FIXTURES / "ledger-v1.json").read_text())
    shutil.copy(FIXTURES / "ledger-v1.sqlite", tmp_path / "log.sqlite")
    (tmp_path / "log.pem").write_text(expected["logKey"])
    (tmp_path / "log.pem").chmod(0o600)
    url = f"sqlite:///{tmp_path / 'log.sqlite'}"
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as database, database:
        origin = database.execute("SELECT value FROM meta WHERE key = 'origin'").fetchone()[0]
        database.execute("DROP TRIGGER leaves_no_delete")
        database.execute("DELETE FROM entries_by_key")
        database.execute("DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)")
    with pytest.raises(VerificationError, match="do not give the tree that was last signed"):
        migrate(url, log_signer=LogSigner.load(tmp_path / "log.pem", name=origin))
    with pytest.raises(LedgerError, match="schema '1'"):
        Ledger.open(url)
