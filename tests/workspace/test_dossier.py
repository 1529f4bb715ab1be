"""The dossier: one archive that a stranger checks offline, with our program and with coreutils."""

from __future__ import annotations

import base64
import json
import shutil
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


def word_for_word(folder: Path) -> tuple[str, list[str]]:
    """Do what the README says can be done without our program, in an empty home; return the digest of the root and the verdicts."""
    if missing := [tool for tool in ("jq", "openssl") if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    readme = (folder / "README.md").read_text()
    step = readme.split("3. Without our program")[1].split("4. That a model")[0]
    lines = "\n".join(line[7:] for line in step.splitlines() if line.startswith(" " * 7))
    home = folder.parent / "empty"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        ["sh", "-c", lines], cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    digest, *verdicts = done.stdout.splitlines()
    assert not list(home.iterdir())
    return "sha256:" + digest.split()[0], verdicts


@pytest.mark.interop
def test_who_has_only_jq_and_openssl_gets_from_the_root_to_the_newest_entry(given: Path) -> None:
    assert word_for_word(given) == (trust_root(given), ["Verified OK", "Verified OK"])


@pytest.mark.interop
@pytest.mark.parametrize("spoilt", ["the entry", "the trust file"])
def test_they_see_what_was_changed_too(given: Path, spoilt: str) -> None:
    bundle = json.loads((given / "evidence.bundle.json").read_text())
    place = -1 if spoilt == "the entry" else 0
    outer = bundle["entries"][place]["envelope"]
    said = json.loads(base64.b64decode(outer["payload"]))
    if spoilt == "the entry":
        said["predicate"]["recordedAt"] = "2020-01-01T00:00:00Z"
    else:
        inner = said["predicate"]["envelope"]
        trust = json.loads(base64.b64decode(inner["payload"]))
        trust["root"]["threshold"] = 0
        inner["payload"] = base64.b64encode(json.dumps(trust).encode()).decode()
    outer["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
    (given / "evidence.bundle.json").write_text(json.dumps(bundle))
    digest, verdicts = word_for_word(given)
    if spoilt == "the entry":
        assert digest == trust_root(given) and verdicts == ["Verified OK", "Verification failure"]
    else:
        assert digest != trust_root(given) and verdicts[0] == "Verification failure"


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
