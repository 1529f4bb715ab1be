"""sigstore-js verifies our envelopes as public-key bundles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ml_governance.evidence.bundle import sigstore_bundle
from ml_governance.evidence.envelope import Envelope
from tests.evidence.conftest import Log, make_log

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("npm")
    wanted = ["@sigstore/verify@3", "@sigstore/bundle@4", "@sigstore/protobuf-specs@0.5"]
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot install @sigstore/verify: {done.stderr[-300:]}")
    return folder / "node_modules"


def run(modules: Path, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", str(Path(__file__).with_name("verify.js"))],
        input=json.dumps(job), capture_output=True, text=True, check=False, env=os.environ | {"NODE_PATH": str(modules)},
    )  # fmt: skip


def job_of(log: Log, index: int) -> dict[str, Any]:
    stored = next(log.ledger.entries(index, index + 1))
    assert stored.envelope is not None
    return {
        "bundle": sigstore_bundle(Envelope.from_bytes(stored.envelope)),
        "keys": {key.keyid: key.pem for key in (log.ada.public, log.root.public)},
    }


def test_sigstore_verifies_every_entry(modules: Path, tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 2)
    for index in range(log.ledger.size):
        done = run(modules, job_of(log, index))
        assert done.stdout == "verified\n", done.stderr


def test_sigstore_refuses_what_was_changed(modules: Path, tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 2)
    good, other = job_of(log, 5), job_of(log, 4)
    edited = json.loads(json.dumps(good))
    edited["bundle"]["dsseEnvelope"]["payload"] = other["bundle"]["dsseEnvelope"]["payload"]
    another_type = json.loads(json.dumps(good))
    another_type["bundle"]["dsseEnvelope"]["payloadType"] = "text/plain"
    another_key = good | {"keys": dict.fromkeys(good["keys"], log.eve.public.pem)}
    for wrong in (edited, another_type, another_key):
        assert run(modules, wrong).returncode != 0
