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

    from ml_governance.evidence.predicates import BreakGlass, BreakGlassReview, Revocation, Waiver
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
