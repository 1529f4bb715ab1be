"""Every page by the Nu HTML checker of the W3C (``vnu``): neither an error nor a warning, and a spoiled page has one."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.errors import VerificationError
from ml_governance.report import adverse_action, annex_iv, comparison, html
from ml_governance.report.notices import Frame, Notice
from tests.fixtures.make_ledger import adverse_action as stated
from tests.report import test_accessible, test_every_kind, test_kinds
from tests.report.test_oscal import BARE
from tests.report.test_report import HOSTILE, SUBJECT, build, full, view

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.interop

VERSION = "26.9.27"
"""Of the npm package ``vnu-jar``, whose own programs are not run."""
SPOILED = {
    "a cell that nothing encloses": ("</main>", "<td>1</td></main>"),
    "a heading inside a paragraph's words": ("<h1>", "<span><h1>"),
    "a place that is there twice": ('id="s3"', 'id="s2"'),
    "a name for what has no role": ("<p>", '<p aria-label="x">'),
    "a style that there is not": ("max-width:60rem", "max-width:60rum"),
}
"""What is put in place of what, in the page of an audit."""


def pages() -> dict[str, str]:
    """Return pages of every kind: full, bare, large, of every sort of evidence, and with hostile names."""
    pack = build(full())
    nasty = build(full(HOSTILE, HOSTILE))
    reasons = view(("vera", stated()))
    notice = Frame(model="a" * 64, log="log", day="2026-01-15", baseline="at_cutoff")
    told = notice.files(Notice(reference="b" * 64, place=3, reasons=("Income insufficient", HOSTILE)))
    return {
        "audit": test_accessible.pages()["audit"],
        "audit-bare": html.render(build(BARE)),
        "audit-every-kind": html.render(test_every_kind.decided()[1]),
        "audit-hostile": html.render(nasty),
        "annex-iv": html.technical_file(annex_iv.build(pack)),
        "annex-iv-bare": html.technical_file(annex_iv.build(build(BARE))),
        "compare": html.compared(comparison.compare(pack, nasty)),
        "compare-same": html.compared(comparison.compare(pack, pack)),
        "compare-bare": html.compared(comparison.compare(build(BARE), pack)),
        "ll144-summary": html.summary(test_kinds.summary(test_kinds.evidence())),
        "adverse-action": html.stated(adverse_action.build(build(reasons), reasons, SUBJECT)),
        "unverified": html.unverified(
            HOSTILE, VerificationError(HOSTILE, expected=HOSTILE), origin="log", trust_root="x"
        ),
        **{f"notice-{name}": text for name, text in told.items() if name.endswith(".html")},
    }


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := [tool for tool in ("java", "npm") if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("vnu")
    asked = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"vnu-jar@{VERSION}"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install vnu-jar: {done.stderr[-300:]}")
    return folder / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


@pytest.fixture(scope="module")
def found(jar: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return what the checker says about each page, of which Java reads all at once."""
    folder = tmp_path_factory.mktemp("pages")
    sound = pages()
    spoiled = {}
    for name, (old, new) in SPOILED.items():
        assert old in sound["audit"]
        spoiled[name] = sound["audit"].replace(old, new, 1)
    names = {f"{at}.html": name for at, name in enumerate([*sound, *spoiled])}
    for file, name in names.items():
        (folder / file).write_text((sound | spoiled)[name], encoding="utf-8")
    asked = ["java", "-jar", str(jar), "--format", "json", "--exit-zero-always", *sorted(names)]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for one in json.loads(done.stderr)["messages"]:
        said[names[one["url"].rpartition("/")[2]]].append(one)
    return said


def test_pages_of_every_kind_have_neither_an_error_nor_a_warning(found: dict[str, list[dict[str, Any]]]) -> None:
    sound = {name: said for name, said in found.items() if name not in SPOILED}
    assert len(sound) == len(pages()) >= 13
    assert {name: [one["message"] for one in said] for name, said in sound.items() if said} == {}


@pytest.mark.parametrize("name", SPOILED)
def test_a_page_that_was_spoiled_is_found_out(found: dict[str, list[dict[str, Any]]], name: str) -> None:
    assert found[name]
