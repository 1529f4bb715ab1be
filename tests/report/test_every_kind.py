"""Forms for programs hold every kind of evidence, and validators that are not ours take them, and refuse what is spoiled."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

import joblib
import pandas as pd
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from jsonschema.validators import validator_for
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.assess.costs import Costs
from ml_governance.decide.decision import evaluate
from ml_governance.decide.policy import parse_policy
from ml_governance.evidence.predicates import Assessment, Resource
from ml_governance.report import numbers
from ml_governance.report.junit import to_junit
from ml_governance.report.ml_bom import to_ml_bom
from ml_governance.report.model_card import OTHERS, to_model_card
from ml_governance.report.oscal import to_oscal
from ml_governance.report.outcome import of_decision
from ml_governance.report.sarif import to_sarif
from ml_governance.testing import START
from tests.assess.test_reason_codes import table
from tests.report.test_check_formats import VALIDATOR, schema
from tests.report.test_oscal import validator  # noqa: F401  fixture
from tests.report.test_report import SUBJECT, TEST, build, view

ASKED = {
    "performance": "worst_slice_error_rate", "data-quality": "largest_missing_rate", "robustness": "noise_flip_rate",
    "privacy": "membership_auc", "security-scan": "unsafe_files",
}  # fmt: skip
POLICY = {
    "policy": "every-kind", "version": 1, "stage": "production", "promote": {"roles": ["release_manager"]},
    "review": {"roles": ["risk_officer"]},
    "rules": [
        {"id": f"KND-{at:02d}", "title": f"About {kind}", "controls": [f"PER-0{at + 1}"],
         "require": {"evidence": kind, "metric": metric, "value_at_most": 0.000001}}
        for at, (kind, metric) in enumerate(ASKED.items())
    ],
}  # fmt: skip


@cache
def measured() -> dict[str, Assessment]:
    """Return real measurements of each kind, of a small model."""
    people = table(900)
    people.iloc[::9, 0] = None
    columns = ["debt", "late"]
    model = LogisticRegression().fit(people[columns], people.good)
    score = model.predict_proba(people[columns])[:, 1]
    folder = Path(tempfile.mkdtemp())
    joblib.dump(model, folder / "model.joblib")
    (folder / "requirements.txt").write_text(f"joblib=={joblib.__version__}\n")
    advisory = {
        "id": "OSV-1", "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "joblib"}, "versions": [joblib.__version__]}],
    }  # fmt: skip
    (folder / "osv.json").write_text(json.dumps([advisory]))
    loss = pd.Series(score).where(people.good.to_numpy() == 0, 1 - score).to_numpy()
    people = people.reset_index(drop=True)
    sex, needs = people[["sex"]], folder / "requirements.txt"
    found = {
        "performance": gov.assess_performance(
            y_true=people.good.to_numpy(), y_pred=(score >= 0.5).astype(int), y_score=score, sensitive_features=sex,
            slice_by=people[[*columns, "job"]], costs=Costs(false_positive=1, false_negative=5),
        ),
        "data-quality": gov.assess_data(people, y_true="good", sensitive_features=["sex"]),
        "robustness": gov.assess_robustness(model, rows=people[columns], y_true=people.good.to_numpy(), sensitive_features=sex),
        "privacy": gov.assess_privacy(member=[at % 2 == 0 for at in range(len(loss))], loss=loss, sensitive_features=sex),
        "security-scan": gov.scan_artifact(folder / "model.joblib", requirements=needs, advisories=folder / "osv.json"),
    }  # fmt: skip
    rows = {
        kind: Resource(name="credit-risk/1", sha256=SUBJECT.sha256) if kind == "security-scan" else TEST
        for kind in found
    }
    return {kind: one.to_content(predictions="recomputed", dataset=rows[kind]) for kind, one in found.items()}


@cache
def decided() -> tuple[Any, Any]:
    signed = [("vera", one) for one in measured().values()]
    decision = evaluate(
        subject=SUBJECT, stage="production", project="credit", policy=parse_policy(yaml.safe_dump(POLICY)), policy_sha256="0" * 64,
        evidence=view(*signed), at=START,
    )  # fmt: skip
    return decision, build(view(*signed, ("max", decision.to_content())))


def test_the_bill_of_materials_holds_every_number_with_its_slice_and_each_licence_and_advisory() -> None:
    card = decided()[1]
    text = to_ml_bom(card)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    listed = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {one["type"].partition(":")[0] for one in listed} == set(ASKED)
    held = {(one["type"], one["slice"]) for one in listed}
    for kind, content in measured().items():
        for one in content.measurements:
            if not one.by:
                assert (f"{kind}:{one.metric}", numbers.ALL_ROWS) in held
    assert ("data-quality:missing_rate", "column=income") in held and ("robustness:noise_flip_rate", "sex=f") in held
    assert ("privacy:membership_auc", "sex=m") in held
    slices = measured()["performance"].details["weak_slices"]["slices"]
    assert slices and all(("performance:slice_error", one["slice"]) in held for one in slices)
    (library,) = (one for one in bom["components"] if one["name"] == "joblib")
    assert library["licenses"][0]["license"]["name"]
    assert [(one["id"], one["affects"]) for one in bom["vulnerabilities"]] == [("OSV-1", [{"ref": library["bom-ref"]}])]
    bom["vulnerabilities"][0]["affects"] = "joblib"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


def test_the_model_card_has_a_section_of_each_kind_that_the_library_of_the_hub_reads() -> None:
    text = to_model_card(decided()[1])
    read = ModelCard(text).text
    for title in OTHERS.values():
        assert f"## {title}\n\nLedger #" in read
    assert "| noise_flip_rate | sex\\=f |" in read or "| noise_flip_rate | sex=f |" in read
    assert "### Where it errs most" in read and "| joblib |" in read
    with pytest.raises(yaml.YAMLError, match="expected"):
        ModelCard(text.replace("tags:", "tags: ["))


def test_oscal_junit_and_sarif_have_a_result_of_each_kind(validator: Any) -> None:  # noqa: F811
    decision, card = decided()
    value = json.loads(to_oscal(card))
    assert list(validator.iter_errors(value)) == []
    observed = value["assessment-results"]["results"][0]["observations"]
    assert {one["title"] for one in observed} >= {f"About {kind}" for kind in ASKED}
    observed[0]["methods"] = "TEST"
    assert list(validator.iter_errors(value))
    outcome = of_decision(decision, policy_text=yaml.safe_dump(POLICY), file="policy.yaml")
    junit, sarif = to_junit(outcome), json.loads(to_sarif(outcome))
    assert all(f"About {kind}" in junit for kind in ASKED)
    rules = sarif["runs"][0]["tool"]["driver"]["rules"]
    assert {rule["shortDescription"]["text"] for rule in rules} >= {f"About {kind}" for kind in ASKED}


@pytest.mark.schemas
def test_the_published_schemas_take_junit_and_sarif_of_each_kind_and_refuse_spoiled_ones(tmp_path: Path) -> None:
    outcome = of_decision(decided()[0], policy_text=yaml.safe_dump(POLICY), file="policy.yaml")
    sarif, read = json.loads(to_sarif(outcome)), json.loads(schema("sarif-2.1.0.json").read_text())
    checker = validator_for(read)(read)
    assert list(checker.iter_errors(sarif)) == []
    sarif["runs"][0]["results"][0]["level"] = "dreadful"
    assert list(checker.iter_errors(sarif))
    java, xsd = which("java"), schema("junit-10.xsd")
    if java is None:
        pytest.skip("no Java, whose validator reads the schema")
    (tmp_path / "Validate.java").write_text(VALIDATOR)
    (tmp_path / "good.xml").write_text(to_junit(outcome))
    (tmp_path / "bad.xml").write_text(to_junit(outcome).replace("<testcase ", "<testcase colour='green' ", 1))
    for name, code in (("good", 0), ("bad", 1)):
        asked = [java, str(tmp_path / "Validate.java"), str(xsd), str(tmp_path / f"{name}.xml")]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == code
