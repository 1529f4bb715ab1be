"""The published schema of ``report.json``: every report has its form, by a validator that is not ours, and what has not is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from ml_governance.report import card
from ml_governance.report.schema import report_schema
from ml_governance.report.schema_of_kinds import DOCUMENTS, schema_of
from ml_governance.workspace import catalogue
from tests.report.test_oscal import BARE
from tests.report.test_report import HOSTILE, SUBJECT, full, view

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def report(evidence: Any) -> Any:
    pack = card.build(
        view=evidence, subject=SUBJECT, stage="production", project="credit", trust_root="sha256:" + "0" * 64, catalogue=catalogue()
    )  # fmt: skip
    return json.loads(json.dumps(pack.to_dict()))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    made = report_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def errors(validator: Any, value: Any) -> list[str]:
    return [f"{list(one.absolute_path)}: {one.message[:300]}" for one in validator.iter_errors(value)]


@pytest.mark.parametrize("evidence", [full(), full(name=HOSTILE, group=HOSTILE), BARE], ids=["full", "hostile", "bare"])
def test_every_report_has_the_form_that_the_schema_says(validator: Any, evidence: Any) -> None:
    assert errors(validator, report(evidence)) == []


@pytest.mark.parametrize("number", [1, 2])
def test_the_reports_in_the_repository_have_it_too(validator: Any, number: int) -> None:
    value = json.loads((ROOT / "reports" / f"credit-risk-{number}" / "report.json").read_text(encoding="utf-8"))
    assert errors(validator, value) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.pop("decision"),
        lambda value: value.update(verdict="fair"),
        lambda value: value["subject"].update(sha256="ab"),
        lambda value: value["decision"].update(result="perhaps"),
        lambda value: value["decision"].pop("index"),
        lambda value: value["performance"]["overall"][0].pop("n"),
        lambda value: value["fairness"]["attributes"][0]["rows"][0]["impact"].update(status="fine"),
        lambda value: value["approvals"][0].update(verdict="maybe"),
        lambda value: value["matrix"][0].update(text="somebody said so"),
        lambda value: value.update(card_version=1),
        lambda value: value.update(as_of="yesterday"),
    ],
)
def test_what_has_not_is_refused(validator: Any, spoil: Callable[[Any], None]) -> None:
    value = report(full())
    spoil(value)
    assert errors(validator, value)


def test_every_part_of_a_report_stands_in_the_schema_and_nothing_else() -> None:
    made = report_schema()
    assert set(made["properties"]) == {one.name for one in fields(card.Card)} == set(made["required"])


def test_the_published_file_is_what_the_code_gives() -> None:
    published = json.loads((ROOT / "docs" / "reference" / "report.schema.json").read_text(encoding="utf-8"))
    assert published == report_schema(), "run python docs/make_reference.py"


def test_a_withdrawn_waiver_and_a_reviewed_break_glass_have_a_place(validator: Any) -> None:
    from datetime import timedelta

    from ml_governance.evidence.predicates import Revocation
    from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview, Waiver
    from ml_governance.testing import START

    waiver = Waiver(
        stage="production", rule="CRD-01", binding="0" * 64, role="risk_officer", reason="pilot", expires=START
    )
    glass = BreakGlass(
        stage="production", binding="0" * 64, decision="1" * 64, role="incident_manager", reason="down",
        expires=START + timedelta(hours=2),
    )  # fmt: skip
    before = view(("ada", waiver), ("ada", glass))
    first, second = (one.payload_digest for one in before.attestations)
    after = view(
        ("ada", waiver), ("ada", glass), ("ada", Revocation(target=first, reason="off")),
        ("vera", BreakGlassReview(target=second, verdict="justified", role="risk_officer", reason="it was")),
    )  # fmt: skip
    value = report(after)
    assert value["approvals"] and value["withdrawals"]
    assert errors(validator, value) == []


def documents() -> dict[str, Any]:
    """Return one document of every kind that has a schema besides the audit report."""
    from dataclasses import replace

    from ml_governance.report import adverse_action, annex_iv, comparison
    from ml_governance.report.notices import Frame, Notice
    from tests.assess.test_fairness import data
    from tests.fixtures.make_ledger import adverse_action as stated
    from tests.report.test_kinds import assessed, evidence, summary
    from tests.report.test_report import build

    pack = build(full())
    frame = data(300)
    found = view(("vera", stated()))
    notice = Frame(model="a" * 64, log="log", day="2026-01-15", baseline="at_cutoff")
    made = {
        "annex-iv": annex_iv.build(pack).to_dict(),
        "compare": comparison.compare(pack, replace(pack, performance=None)).to_dict(),
        "ll144-summary": summary(evidence()).to_dict(),
        "adverse-action": adverse_action.build(build(found), found, SUBJECT).to_dict(),
        "adverse-action-notice": notice.to_dict(Notice(reference="b" * 64, place=3, reasons=("Income insufficient",))),
        "measurement": assessed(frame, ["sex"]).to_dict(),
    }
    return dict(json.loads(json.dumps(made)))


SPOILED: dict[str, Callable[[Any], None]] = {
    "annex-iv": lambda value: value["items"][0].update(state="fine"),
    "compare": lambda value: value["rows"][0].pop("changed"),
    "ll144-summary": lambda value: value.update(audited_on="last year"),
    "adverse-action": lambda value: value["runs"][0].update(applicant="Ann"),
    "adverse-action-notice": lambda value: value.update(income=31_000),
    "measurement": lambda value: value["measurements"][0].update(status="fine"),
}


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_every_named_document_has_the_form_of_its_schema_and_one_that_has_not_is_refused(name: str) -> None:
    assert set(SPOILED) == set(DOCUMENTS)
    jsonschema.Draft202012Validator.check_schema(schema_of(name))
    checker = jsonschema.Draft202012Validator(schema_of(name))
    value = documents()[name]
    assert errors(checker, value) == []
    SPOILED[name](value)
    assert errors(checker, value)
    assert errors(checker, {**documents()[name], "verdict": "fair"})
