"""Kinds and forms of reports from a workspace: what goes together, what a broken log gives, and what is signed."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.cli.run import run
from ml_governance.errors import ConfigurationError, DataError, MissingEvidenceError, UsageError, VerificationError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import HumanText
from tests.report.test_pdf import statuses
from tests.report.test_report import parsed
from tests.workspace.test_workspace import acting, clock, ready, root  # noqa: F401  fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject
    from ml_governance.testing import FrozenClock

MODEL = "credit/1"


def tamper(root: Path) -> None:  # noqa: F811
    with closing(sqlite3.connect(root / "governance" / "ledger.sqlite")) as database, database:
        database.execute("DROP TRIGGER leaves_no_delete")
        database.execute("DELETE FROM leaves WHERE idx = 4")


def test_a_log_that_does_not_verify_gives_a_page_that_says_so_and_nothing_of_what_it_holds(
    root: Path, ready: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert run(["report", MODEL, "-w", str(root), "-o", str(out)]) == 0
    assert ready.sha256 in (out / "report.html").read_text()
    assert run(["report", MODEL, "-w", str(root), "-o", str(out), "--kind", "dossier"]) == 0
    tamper(root)
    assert run(["report", MODEL, "-w", str(root), "-o", str(out), "--kind", "dossier"]) == 4
    assert not (out / "dossier.zip").exists(), "an earlier one that looks like what was asked for"
    assert str(out / "report.html") in capsys.readouterr().err
    page = (out / "report.html").read_text()
    parsed(page)
    assert "the log does not verify" in page and "#4" in page and 'role="alert"' in page
    assert ready.sha256 not in page and "2. Identity" not in page
    value = json.loads((out / "report.json").read_text())
    assert value["verified"] is False and "#4" in value["found"]


@pytest.mark.parametrize("kind", ["model-card", "dossier"])
def test_a_model_card_and_a_dossier_go_by_the_name_of_a_kind_as_well(
    kind: str, root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    with acting(root, clock, None) as ws:
        named = ws.report(ready, tmp_path / "kind", kind=kind)
        formed = ws.report(ready, tmp_path / "form", forms=[kind])
    assert list(named.files) == [kind] == list(formed.files)
    assert named.files[kind].read_bytes() == formed.files[kind].read_bytes()


@pytest.mark.parametrize("kind", ["ll144-summary", "annex-iv"])
def test_no_kind_of_report_passes_over_a_log_that_does_not_verify(
    kind: str, root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    tamper(root)
    with acting(root, clock, None) as ws, pytest.raises(VerificationError):
        ws.report(ready, tmp_path / "out", kind=kind)
    page = (tmp_path / "out" / f"{kind}.html").read_text()
    assert "Trust nothing" in page
    assert {"ll144-summary": "Summary of a bias audit", "annex-iv": "Technical file"}[kind] in page


def test_a_folder_that_cannot_be_written_hides_no_log_that_does_not_verify(
    root: Path, ready: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    tamper(root)
    for form in ("html", "dossier"):
        assert run(["report", ready.name, "-w", str(root), "-o", str(tmp_path / "file"), "-f", form]) == 4
        told = capsys.readouterr().err
        assert "#4" in told and "no page says so" in told


@pytest.mark.parametrize("name", ["signed-report", "model-signature"])
def test_nobody_words_a_text_that_holds_the_digest_of_a_file(
    name: str, root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    (tmp_path / "mine.md").write_text("sha256 of something else", encoding="utf-8")
    with acting(root, clock, "validator") as ws, pytest.raises(UsageError, match="is recorded with what it is about"):
        ws.attest_text(ready, name, tmp_path / "mine.md")


def test_not_provided_is_no_text(root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "mine.md").write_text("Not provided.\n", encoding="utf-8")
    with acting(root, clock, "validator") as ws, pytest.raises(DataError, match="says NOT PROVIDED"):
        ws.attest_text(ready, "impact", tmp_path / "mine.md")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "essay"}, "no kind of report 'essay'"),
        ({"kind": "dossier", "forms": ["html"]}, "is one file"),
        ({"kind": "compare"}, "names one version"),
        ({"against": MODEL}, "has no other version"),
        ({"kind": "annex-iv", "forms": ["oscal"]}, "no form 'oscal'"),
        ({"sex": "sex"}, "names no column"),
        ({"forms": []}, "no form is named"),
        ({"kind": "compare", "against": MODEL}, "are the same bytes"),
    ],
)
@pytest.mark.full
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    options: dict[str, Any], says: str, root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    with acting(root, clock, None) as ws, pytest.raises(UsageError, match=says):
        ws.report(ready, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_kinds_are_files_of_their_own_and_the_same_evidence_gives_the_same_bytes(
    root: Path, ready: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    for folder in ("one", "two"):
        assert run(["report", MODEL, "--kind", "annex-iv", "-w", str(root), "-o", str(tmp_path / folder)]) == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["annex-iv.html", "annex-iv.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_summary_that_cannot_be_made_says_what_to_assess(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    with acting(root, clock, None) as ws, pytest.raises((UsageError, MissingEvidenceError)) as refused:
        ws.report(ready, tmp_path / "out", kind="ll144-summary")
    assert "race" in str(refused.value) and not (tmp_path / "out").exists()


def test_without_the_extra_the_way_to_get_it_is_named(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with acting(root, clock, None) as ws:
        with pytest.raises(ConfigurationError, match="PDF cannot be made") as refused:
            ws.report(ready, tmp_path / "out", forms=["html", "pdf"])
        with pytest.raises(ConfigurationError, match="nobody is acting"):
            ws.report(ready, tmp_path / "out", forms=["signed-pdf"])
    assert "ml-governance[pdf]" in str(refused.value) and not (tmp_path / "out").exists()


def test_a_signed_pdf_is_signed_by_who_acts_and_its_digest_is_recorded(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    pytest.importorskip("weasyprint")
    pytest.importorskip("pyhanko")
    with acting(root, clock, "validator") as ws:
        made = ws.report(ready, tmp_path, forms=["signed-pdf"])
        (said,) = [one.content for one in ws.view().of_kind(HumanText.kind) if isinstance(one.content, HumanText)]
        key = ws.require_signer().public
    assert list(made.files) == ["signed-pdf"] and [one.name for one in tmp_path.glob("*.pdf")] == ["report.signed.pdf"]
    data = made.files["signed-pdf"].read_bytes()
    assert said.name == "signed-report" and sha256_hex(data) in said.text and key.spki_sha256 in said.text
    assert statuses(data) == (True, True, key.spki_sha256)
