"""Robustness and scans of registered models: recomputed here, signed, shown, and refused where the bytes are others."""

from __future__ import annotations

import io
import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.cli.run import run
from ml_governance.errors import UsageError, VerificationError
from ml_governance.testing import workspace

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject


def rows(n: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({"income": generator.normal(3, 1, n), "debt": generator.normal(0, 1, n)})
    return frame.assign(sex=generator.choice(["f", "m"], n), good=(frame.income > frame.debt + 3).astype(int))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Subject, Subject]:
    folder = tmp_path_factory.mktemp("scanning")
    workspace(folder / "ws").close()
    frame = rows()
    frame.to_parquet(folder / "test.parquet")
    made = []
    for strength in (1.0, 0.01):
        with gov.open(folder / "ws", signer="author") as ws, ws.training("credit") as run:
            run.uses(frame, name="rows")
            made.append(
                run.produces(LogisticRegression(C=strength).fit(frame[["income", "debt"]], frame.good), name="credit")
            )
    return folder, made[0], made[1]


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    return (code, *capsys.readouterr())


def test_robustness_is_recomputed_from_the_registered_bytes_and_signed(house: tuple[Path, Subject, Subject]) -> None:
    folder, version, second = house
    options: dict[str, Any] = {"monotone": {"income": "+", "debt": "-"}, "noise": 0.2}
    with gov.open(folder / "ws", signer="validator") as ws:
        done = ws.assess(
            version,
            rows(),
            y_true="good",
            sensitive_features=["sex"],
            kinds=["robustness"],
            robustness=options,
            rerun=second,
        )
        (entry,) = [a for a in ws.view().about(version.sha256) if a.kind == "robustness"]
    report = done.robustness
    model = LogisticRegression().fit(rows()[["income", "debt"]], rows().good)
    direct = gov.assess_robustness(
        model, rows=rows()[["income", "debt", "sex"]], y_true=rows().good, sensitive_features=rows()[["sex"]], **options
    )
    for metric in ("noise_flip_rate", "noise_unstable_rate", "worst_shift_accuracy", "monotonicity_violation_rate"):
        assert report.get(metric) == direct.get(metric)
    other = LogisticRegression(C=0.01).fit(rows()[["income", "debt"]], rows().good)
    apart = model.predict(rows()[["income", "debt"]]) != other.predict(rows()[["income", "debt"]])
    assert report.get("rerun_disagreement").numerator == apart.sum() > 0
    assert report.details["rerun"] == {"first": version.sha256, "second": second.sha256}
    assert report.get("rerun_identical").value == 0
    assert entry.content.predictions == "recomputed" and entry.content.measurements == report.measurements


def test_options_of_robustness_without_robustness_are_refused(house: tuple[Path, Subject, Subject]) -> None:
    folder, version, second = house
    with gov.open(folder / "ws", signer="validator") as ws, pytest.raises(UsageError, match="options of robustness"):
        ws.assess(version, rows(), y_true="good", sensitive_features=["sex"], kinds=["performance"], rerun=second)


def test_a_scan_is_signed_and_stands_in_every_report(house: tuple[Path, Subject, Subject], tmp_path: Path) -> None:
    folder, version, _ = house
    needs, osv = tmp_path / "requirements.txt", tmp_path / "osv.json"
    needs.write_text("some-thing==1.0\n")
    osv.write_text(
        json.dumps({"id": "PYSEC-9", "affected": [{"package": {"ecosystem": "PyPI", "name": "some-thing"}}]})
    )
    with gov.open(folder / "ws", signer="validator") as ws:
        ws.assess(version, rows(), y_true="good", sensitive_features=["sex"], kinds=["robustness"])
        done = ws.scan(version, requirements=needs, advisories=osv)
        (entry,) = [a for a in ws.view().about(version.sha256) if a.kind == "security-scan"][-1:]
        written = ws.report(str(version.name), tmp_path / "report", forms=("html", "json", "ml-bom"))
    assert entry.index == done.receipt.index and entry.content.dataset.sha256 == version.sha256
    assert entry.content.dataset.rows is None
    assert done.report.get("unsafe_files").value == 0
    assert done.report.get("vulnerable_dependencies").value == 1
    page = written.files["html"].read_text()
    section = page[page.index('id="s9"') : page.index('id="s10"')]
    assert "noise flip rate" in section and "PYSEC-9" in section and "some-thing" in section
    card = json.loads(written.files["json"].read_text())
    assert card["security"]["index"] == entry.index and card["robustness"] is not None
    assert version.sha256 not in {one["sha256"] for one in card["data"]}  # the artifact is no data
    bom = json.loads(written.files["ml-bom"].read_text())
    assert "pkg:pypi/some-thing@1.0" in {one.get("purl") for one in bom["components"]}


def test_bytes_that_were_changed_after_registration_are_not_scanned(tmp_path: Path) -> None:
    workspace(tmp_path / "ws").close()
    with gov.open(tmp_path / "ws", signer="author") as ws, ws.training("credit") as run:
        version = run.produces({"weights": 1}, name="credit")
        place = ws.registry.artifact("credit", "1")
    target = next(one for one in place.rglob("*") if one.is_file()) if place.is_dir() else place
    target.chmod(0o600)
    target.write_bytes(pickle.dumps(io.BytesIO))
    with gov.open(tmp_path / "ws", signer="validator") as ws, pytest.raises(VerificationError, match="has the digest"):
        ws.scan(version)


def test_the_command_line_scans_a_path_without_a_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n.")
    code, out, _ = ran(capsys, "assess", "--kind", "artifact", "--data", str(tmp_path / "model.pkl"), "--json")
    told = json.loads(out)
    assert code == 0 and told["kind"] == "security-scan"
    assert told["details"]["files"][0]["dangerous"] == ["os.system"]
    code, out, _ = ran(capsys, "assess", "--kind", "artifact", "--data", str(tmp_path / "model.pkl"))
    assert code == 0 and "unsafe_files\t\t\t1.0000" in out


def test_the_command_line_signs_robustness_and_scans(
    house: tuple[Path, Subject, Subject], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, version, second = house
    where = ("--as", "validator", "--workspace", str(folder / "ws"), "--json")
    code, out, err = ran(
        capsys, "assess", str(version.name), "--data", str(folder / "test.parquet"), "--y-true", "good", "--by", "sex", "--kind",
        "robustness", "--monotone", "income=+", "--shift", "sex=f:0.8,m:0.2", "--rerun", str(second.name), *where,
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)["reports"]["robustness"]
    metrics = {(one["metric"], tuple(one.get("group", ()))) for one in told["measurements"]}
    assert {
        ("monotonicity_violation_rate", ("income",)),
        ("shifted_accuracy", ("sex",)),
        ("rerun_disagreement", ()),
    } <= metrics
    code, out, err = ran(capsys, "assess", str(version.name), "--kind", "security-scan", *where)
    assert code == 0, err
    assert json.loads(out)["report"]["kind"] == "security-scan"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kind", "artifact"), ("--kind", "artifact", "--kind", "fairness", "--data", "x"), ("--advisories", "x", "--data", "x"),
        ("--kind", "artifact", "--data", "x", "--y-true", "y"), ("m/1", "--kind", "artifact", "--data", "x"),
        ("m/1", "--data", "x", "--y-true", "y", "--by", "s", "--kind", "robustness", "--monotone", "income"),
        ("m/1", "--data", "x", "--y-true", "y", "--by", "s", "--kind", "robustness", "--shift", "sex=f"),
        ("--data", "x", "--y-true", "y", "--by", "s", "--y-pred", "p", "--monotone", "income=+"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_a_mistake_of_usage(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran(capsys, "assess", *arguments)[0] == 2
