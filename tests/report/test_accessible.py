"""Every page in a real Chromium: axe-core finds nothing in either theme, nothing is wider than a phone, nothing is asked for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.report import adverse_action, annex_iv, comparison, html
from ml_governance.report.notices import Frame, Notice
from ml_governance.workspace import catalogue
from tests.fixtures.make_ledger import adverse_action as stated
from tests.integrations import browser
from tests.report import test_kinds
from tests.report.test_report import SUBJECT, build, full, view

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed"),
]


NAMES = ("audit", "annex-iv", "compare", "ll144-summary", "unverified", "adverse-action", "notice")


def axe() -> str:
    """Return axe-core's script, from whichever package brings it."""
    for package, file in (("axe_playwright_python", "axe.min.js"), ("axe_core_python", "axe.min.js")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            return (Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed: axe-core-python")


def pages() -> dict[str, str]:
    from ml_governance.report import card

    pack = card.build(
        view=full(), subject=SUBJECT, stage="production", project="credit", trust_root="sha256:0", catalogue=catalogue()
    )
    reasons = view(("vera", stated()))
    frame = Frame(model="a" * 64, log="log", day="2026-01-15", baseline="at_cutoff")
    told = frame.files(Notice(reference="b" * 64, place=3, reasons=("Income insufficient",)))
    return {
        "audit": html.render(pack),
        "annex-iv": html.technical_file(annex_iv.build(pack)),
        "compare": html.compared(comparison.compare(pack, pack)),
        "ll144-summary": html.summary(test_kinds.summary(test_kinds.evidence())),
        "unverified": test_kinds.pages()["unverified"],
        "adverse-action": html.stated(adverse_action.build(build(reasons), reasons, SUBJECT)),
        "notice": next(text for name, text in told.items() if name.endswith(".html")),
    }


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[browser.Page, dict[str, Path]]]:
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for name, text in pages().items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(text, encoding="utf-8")
    with browser.page("about:blank", user="", password="") as page:
        yield page, files


RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify(
  found.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary])))
"""


def violations(page: browser.Page) -> list[Any]:
    # The page's own policy lets no script run; the debugger may.
    page.ask("Runtime.evaluate", expression=axe())
    answer = page.ask("Runtime.evaluate", expression=RUN, awaitPromise=True, returnByValue=True)
    found: list[Any] = json.loads(answer["result"]["value"])
    return found


def show(page: browser.Page, file: Path, *, theme: str = "light", width: int = 1280) -> None:
    page.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    page.ask("Page.navigate", url=file.as_uri())
    page.wait(f"document.readyState === 'complete' && location.href.endsWith({file.name!r})")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_in_either_theme(opened: tuple[browser.Page, dict[str, Path]], name: str, theme: str) -> None:
    page, files = opened
    show(page, files[name], theme=theme)
    assert violations(page) == []
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (theme == "dark")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_a_phone_and_nothing_is_asked_for(
    opened: tuple[browser.Page, dict[str, Path]], name: str
) -> None:
    page, files = opened
    show(page, files[name], width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


WIDE = """
JSON.stringify([...document.querySelectorAll("caption")].filter(one => one.getBoundingClientRect().width > 0)
  .map(one => Math.round(one.getBoundingClientRect().right)))
"""
NARROW = """
Math.min(9999, ...[...document.querySelectorAll("table.stack tbody th, table.stack.two td")]
  .filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect().width))
"""


@pytest.mark.parametrize("name", NAMES)
def test_on_a_phone_a_caption_is_read_without_scrolling_and_a_stacked_cell_has_the_whole_width(
    opened: tuple[browser.Page, dict[str, Path]], name: str
) -> None:
    page, files = opened
    show(page, files[name], width=390)
    ends = json.loads(page.evaluate(WIDE))
    assert max(ends, default=0) <= 390
    assert ends or name in {"unverified", "notice", "ll144-summary"}
    assert page.evaluate(NARROW) > 300


def test_axe_finds_what_is_wrong_with_a_page_that_is_not_ours(
    opened: tuple[browser.Page, dict[str, Path]], tmp_path: Path
) -> None:
    page, files = opened
    worse = tmp_path / "worse.html"
    text = files["audit"].read_text(encoding="utf-8")
    worse.write_text(text.replace('<html lang="en">', "<html>").replace("--soft:#5a636e", "--soft:#e5e6e8"))
    show(page, worse)
    assert {"html-has-lang", "color-contrast"} <= {one[0] for one in violations(page)}
