"""The dossier: one archive that a stranger checks offline, with our program and with coreutils."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_governance.cli.run import run
from ml_governance.errors import UsageError
from tests.workspace.test_workspace import acting, clock, ready, root  # noqa: F401  fixtures

if TYPE_CHECKING:
    from ml_governance.evidence.statement import Subject
    from ml_governance.testing import FrozenClock


@pytest.fixture
def given(root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path) -> Path:  # noqa: F811
    """Return the folder that somebody far away unpacked."""
    with acting(root, clock, "validator") as ws:
        ws.decide(ready, stage="production")
        written = ws.report(ready, tmp_path / "out", forms=["dossier"])
        again = ws.report(ready, tmp_path / "again", forms=["dossier", "html"])
    assert list(written.files) == ["dossier"] and set(again.files) == {"dossier", "html"}
    assert written.files["dossier"].read_bytes() == again.files["dossier"].read_bytes()
    with zipfile.ZipFile(written.files["dossier"]) as archive:
        archive.extractall(tmp_path / "far")
    (folder,) = (tmp_path / "far").iterdir()
    return folder


def trust_root(folder: Path) -> str:
    return str(json.loads((folder / "report.json").read_text())["log"]["trustRoot"])


def test_it_holds_every_form_and_coreutils_find_it_whole(given: Path) -> None:
    assert {path.name for path in given.iterdir()} == {
        "README.md", "SHA256SUMS", "evidence.bundle.json", "policy.yaml", "report.html", "report.json", "model-card.md", "bom.cdx.json",
        "oscal-results.json",
    }  # fmt: skip
    check = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    assert subprocess.run(check, cwd=given, capture_output=True, check=False).returncode == 0
    readme = (given / "README.md").read_text()
    assert all(path.name in readme for path in given.iterdir() if path.name != "README.md")
    (given / "report.html").write_text("another")
    assert subprocess.run(check, cwd=given, capture_output=True, check=False).returncode == 1


def test_a_stranger_verifies_the_evidence_offline_and_sees_what_was_changed(
    given: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(given)
    monkeypatch.setenv("HOME", str(given / "nobody"))
    verify = ["log", "verify", "evidence.bundle.json", "--root"]
    assert run([*verify, trust_root(given)]) == 0, capsys.readouterr().err
    assert run([*verify, "sha256:" + "0" * 64]) == 4
    bundle = json.loads(Path("evidence.bundle.json").read_text())
    about = [one for one in bundle["entries"] if one["index"] > 4]
    bundle["entries"].remove(about[-1])
    Path("evidence.bundle.json").write_text(json.dumps(bundle, separators=(",", ":"), sort_keys=True))
    assert run([*verify, trust_root(given)]) == 4


@pytest.mark.full
def test_the_policy_is_the_one_that_was_signed(given: Path) -> None:
    report = json.loads((given / "report.json").read_text())
    digest = subprocess.run(["sha256sum", "policy.yaml"], cwd=given, capture_output=True, text=True, check=True).stdout
    assert digest.split()[0] == report["policy"]["sha256"]


@pytest.mark.full
def test_a_form_that_there_is_not_is_named_with_those_that_there_are(
    root: Path,  # noqa: F811
    clock: FrozenClock,  # noqa: F811
    ready: Subject,  # noqa: F811
    tmp_path: Path,
) -> None:
    with acting(root, clock, None) as ws, pytest.raises(UsageError, match="no form 'docx'") as refused:
        ws.report(ready, tmp_path, forms=["docx"])
    assert "dossier" in str(refused.value)
