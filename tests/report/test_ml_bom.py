"""The bill of materials: valid by the field's own validator, and never silent about what it does not know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ml_governance.report.ml_bom import to_ml_bom
from tests.report.test_oscal import BARE
from tests.report.test_report import HOSTILE, build, full

ENVIRONMENT = {"python": "3.11.7", "packages": {"numpy": "2.3.1", "scikit-learn": "1.7.0"}}


def pack(**changes: Any) -> Any:
    return replace(build(full()), environment=ENVIRONMENT, **changes)


@pytest.mark.parametrize(
    "card", [pack(), build(full(name=HOSTILE, group=HOSTILE)), build(BARE)], ids=["full", "hostile", "bare"]
)
def test_it_is_valid_by_the_validator_of_cyclonedx(card: Any) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_ml_bom(card)) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bom: bom["metadata"]["component"].update(type="model"),
        lambda bom: bom["metadata"]["component"]["modelCard"].update(verdict="fair"),
        lambda bom: bom.update(serialNumber="urn:uuid:none"),
    ],
)
def test_the_validator_refuses_what_is_none(spoil: Any) -> None:
    bom = json.loads(to_ml_bom(pack()))
    spoil(bom)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


def test_every_reference_leads_somewhere() -> None:
    bom = json.loads(to_ml_bom(pack()))
    named: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            named.extend(value[key] for key in ("bom-ref",) if key in value)
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(bom)
    assert len(named) == len(set(named))
    used = {ref for one in bom["dependencies"] for ref in (one["ref"], *one.get("dependsOn", ()))}
    used |= {one["ref"] for one in bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]}
    declared = bom["declarations"]
    used |= {ref for one in declared["claims"] for ref in (one["target"], *one["evidence"])}
    used |= {ref for one in declared["attestations"][0]["map"] for ref in (one["requirement"], *one["claims"])}
    assert used <= set(named)


def test_numbers_keep_their_slice_and_interval_and_one_without_a_value_says_why() -> None:
    card = pack()
    found = json.loads(to_ml_bom(card))["metadata"]["component"]["modelCard"]["quantitativeAnalysis"][
        "performanceMetrics"
    ]
    by_slice = {(one["type"], one["slice"]): one for one in found}
    one = next(one for one in card.fairness["groups"] if one["metric"] == "selection_rate" and one["lower"] is not None)
    shown = by_slice["fairness:selection_rate", f"{one['by']}={one['group']}"]
    assert float(shown["value"]) == one["value"]
    bounds = {name: float(value) for name, value in shown["confidenceInterval"].items()}
    assert bounds == {"lowerBound": one["lower"], "upperBound": one["upper"]}
    measured = [one for part in (card.performance, card.fairness) for one in (*part["overall"], *part["groups"])]
    assert len(found) == len(measured)
    said = [one["value"] for one in found if ": " in one["value"]]
    assert said == [f"{one['status']}: {one['reason'] or 'no value'}" for one in measured if one["value"] is None]


def test_a_control_without_usable_evidence_has_no_score() -> None:
    card = pack(
        controls=tuple(
            {"control": name, "state": state, "rules": ["R"]}
            for name, state in (
                ("A-1", "satisfied"),
                ("B-1", "not satisfied"),
                ("C-1", "no usable evidence"),
                ("D-1", "open"),
            )
        )
    )
    mapped = json.loads(to_ml_bom(card))["declarations"]["attestations"][0]["map"]
    scores = {one["requirement"]: one["conformance"].get("score") for one in mapped}
    assert scores == {"control:A-1": 1.0, "control:B-1": 0.0, "control:C-1": None, "control:D-1": None}
    assert [one["conformance"]["rationale"] for one in mapped][2:] == ["no usable evidence", "open"]


def test_software_is_named_by_package_url_and_the_same_card_gives_the_same_bytes() -> None:
    bom = json.loads(to_ml_bom(pack()))
    urls = [one["purl"] for one in bom["components"] if one["type"] == "library"]
    assert urls == ["pkg:pypi/numpy@2.3.1", "pkg:pypi/scikit-learn@1.7.0"]
    assert to_ml_bom(pack()) == to_ml_bom(pack())
