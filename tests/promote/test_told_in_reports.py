"""What a report says of waivers, withdrawals and broken glass."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.testing import START

if TYPE_CHECKING:
    from pathlib import Path

    from tests.promote.house import House


def report(house: House, version: Any, folder: Path) -> tuple[str, dict[str, Any]]:
    with house.as_(None) as ws:
        written = ws.report(version, folder)
    return written.files["html"].read_text(), json.loads(written.files["json"].read_text())


def test_every_report_says_that_glass_was_broken_until_somebody_has_reviewed_it(ready: House, tmp_path: Path) -> None:
    use = ready.promote("credit/1", who="ines", break_glass="the old model is down", hours=2).intent - 1
    other = ready.ready("4 5 6")
    for version in ("credit/1", other):
        html, value = report(ready, version, tmp_path / "before")
        assert "Break-glass, not reviewed:" in html and "the old model is down" in html
        assert [(one["index"], one["review"]) for one in value["break_glass"]] == [(use, None)]
    with ready.as_("rita") as ws:
        ws.review(use, reason="the outage was real")
    html, value = report(ready, other, tmp_path / "after")
    assert "Break-glass" not in html and value["break_glass"] == []
    html, value = report(ready, "credit/1", tmp_path / "own")
    assert "not reviewed" not in html and "the outage was real" in html
    assert value["break_glass"][0]["review"]["by"] == "rita"
    with ready.as_(None) as ws:
        from ml_governance.report.lineage import to_text

        assert "break-glass for production" in to_text(ws.lineage("credit/1"))


def test_a_report_says_what_was_withdrawn_and_shows_no_withdrawn_waiver_as_open(ready: House, tmp_path: Path) -> None:
    ready.measure(ready.decide("credit/1").subject, fair=False)
    with ready.as_("rita") as ws:
        waiver = ws.waive(
            "credit/1", stage="production", rule="SML-01", reason="pilot", until=(START + timedelta(days=5)).date()
        )
        assert "SML-01 by rita" in open_waivers(report(ready, "credit/1", tmp_path / "before")[0])
        ws.revoke(waiver.index, reason="the pilot was called off")
    html, value = report(ready, "credit/1", tmp_path / "after")
    assert "SML-01 by rita" not in open_waivers(html) and "the pilot was called off" in html
    assert [one["counts"] for one in value["withdrawals"]] == [True]
    assert value["approvals"][0]["withdrawnAt"] == value["withdrawals"][0]["index"]


def open_waivers(html: str) -> str:
    return html.split("<dt>Open waivers</dt>")[1].split("</dd>", maxsplit=1)[0]
