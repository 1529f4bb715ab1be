"""The controls matrix: what rules found, what the ledger holds, what people said, and as of which edition."""

from __future__ import annotations

from typing import Any

from ml_governance.decide.controls import parse_catalogue
from ml_governance.report import card, html
from ml_governance.report.matrix import NO_RULE, NOTHING
from ml_governance.report.texts import EXPECTED, text_of_control
from ml_governance.workspace import catalogue
from tests.report.test_kinds import REGISTERED, text
from tests.report.test_report import OWN_CONTROLS, SUBJECT, full, view


def built(evidence: Any, controls: Any = None) -> card.Card:
    return card.build(
        view=evidence, subject=SUBJECT, stage="production", project="credit", trust_root="sha256:0",
        catalogue=controls or parse_catalogue(OWN_CONTROLS),
    )  # fmt: skip


def rows(evidence: Any) -> dict[str, dict[str, Any]]:
    return {one["control"]: one for one in built(evidence).matrix}


def test_a_control_without_a_rule_says_whether_anything_is_recorded_and_never_that_it_is_satisfied() -> None:
    found = rows(full())
    assert found["INV-01"]["state"] == NO_RULE and found["INV-01"]["evidence"] == [
        {"kind": "registration", "entries": [2]}
    ]
    assert found["MON-02"]["state"] == NOTHING and found["MON-02"]["evidence"] == []


def test_a_control_with_rules_has_the_state_of_its_rules() -> None:
    pack = built(full())
    judged = {one["control"]: one["state"] for one in pack.controls}
    assert {one["control"]: one["state"] for one in pack.matrix if one["rules"]} == {"EXP-01": judged["EXP-01"]}


def test_a_text_counts_for_its_own_control_alone_and_a_missing_one_is_named() -> None:
    before, after = (
        rows(view(("ada", REGISTERED))),
        rows(view(("ada", REGISTERED), ("ada", text("intended-use", "Loans.")))),
    )
    assert (before["USE-01"]["text"], before["USE-01"]["needs_text"]) == ("NOT PROVIDED", "intended-use")
    assert after["USE-01"]["text"] == 1 and after["USE-01"]["state"] == NO_RULE
    assert rows(view(("ada", REGISTERED), ("ada", text("limits", "None."))))["USE-01"]["text"] == "NOT PROVIDED"
    assert after["INV-01"]["text"] is None


def test_every_text_that_reports_ask_for_is_for_a_control_that_needs_one() -> None:
    human = {control.id for control in catalogue().controls if control.human}
    assert {control for _, control, _, _ in EXPECTED.values()} <= human
    names = [text_of_control(control) for control in human]
    assert len(set(names)) == len(names)


def test_the_page_shows_all_controls_that_ship_with_the_status_of_each_edition() -> None:
    pack = built(full(), catalogue())
    page = html.render(pack)
    section = page.split('<h2 id="s11">')[1].split("</section>")[0]
    current = [one for one in catalogue().controls if not one.replaced_by]
    assert all(f">{one.id}<" in section for one in current)
    assert "(rescinded)" in section and "(planned)" in section and "SR 26-2" in section
    assert all(one["checked"] is None or one["checked"] in section for one in pack.editions)
    assert "complian" not in section
