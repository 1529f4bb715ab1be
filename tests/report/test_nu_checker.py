"""Every page by the Nu HTML checker of the W3C (``vnu``): neither an error nor a warning, and a spoiled page has one."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import VerificationError
from ml_governance.report import adverse_action, annex_iv, comparison, html
from ml_governance.report.notices import Frame, Notice
from tests.fixtures.make_ledger import adverse_action as stated
from tests.report import test_every_kind, test_kinds, test_scale
from tests.report.test_oscal import BARE
from tests.report.test_report import HOSTILE, SUBJECT, build, full, view

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        "audit": html.render(pack),
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
        "unverified": html.unverified(HOSTILE, VerificationError(HOSTILE, expected=HOSTILE), origin="log", trust_root="x"),
        **{f"notice-{name}": text for name, text in told.items() if name.endswith(".html")},
    }
