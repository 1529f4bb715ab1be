"""``mlgov policy``: exit codes, results on stdout, and what a pipeline reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_governance.cli.run import run
from ml_governance.decide.schema import policy_schema
from ml_governance.testing import workspace
from ml_governance.workspace import catalogue, packs

SHIPPED = packs()["credit-scoring"] / "policy.yaml"


def mlgov(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def weaker(tmp_path: Path) -> Path:
    file = tmp_path / "weaker.yaml"
    file.write_text(
        SHIPPED.read_text().replace("value_at_most: 0.01", "value_at_most: 0.02").replace("version: 1", "version: 2")
    )
    return file


def test_a_weaker_policy_stops_a_pipeline_that_asks(weaker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = mlgov(capsys, "policy", "diff", SHIPPED, weaker, "--fail-on", "weaker")
    assert (code, err) == (1, "")
    assert out.split()[:2] == ["weaker", "CRD-06:"] and "0.02" in out
    assert mlgov(capsys, "policy", "diff", SHIPPED, weaker)[0] == 0
    code, out, _ = mlgov(capsys, "policy", "diff", weaker, SHIPPED, "--fail-on", "weaker")
    assert code == 0 and out.startswith("stronger")
    code, out, _ = mlgov(capsys, "policy", "diff", SHIPPED, SHIPPED, "--fail-on", "weaker")
    assert code == 0 and "the two ask the same" in out


def test_differences_are_read_by_other_programs(weaker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = mlgov(capsys, "policy", "diff", SHIPPED, weaker, "--json", "--fail-on", "weaker")
    found = json.loads(out)
    assert code == 1 and found["weaker"] is True
    assert [(one["what"], one["verdict"], one["weakens"]) for one in found["differences"]] == [
        ("CRD-06", "weaker", True)
    ]
    assert mlgov(capsys, "policy", "diff", SHIPPED, weaker, "--fail-on", "stronger")[0] == 2


def test_a_policy_that_cannot_be_read_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(SHIPPED.read_text().replace("metric: accuracy", "metric: accurcy"))
    code, out, err = mlgov(capsys, "policy", "diff", SHIPPED, broken, "--fail-on", "weaker")
    line = broken.read_text()[: broken.read_text().index("accurcy")].count("\n") + 1
    assert code == 2 and out == ""
    assert f"{broken}:{line}: CRD-04: metric: " in err and "did you mean 'accuracy'?" in err


def test_mistakes_are_read_by_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(SHIPPED.read_text().replace("metric: accuracy", "metric: accurcy"))
    code, out, _ = mlgov(capsys, "policy", "lint", broken, "--json")
    found = json.loads(out)
    assert code == 2 and found["warnings"] == []
    assert [one["near"] for one in found["mistakes"]] == ["accuracy"]
    assert set(found["mistakes"][0]) == {"line", "where", "found", "expected", "near"}


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("--json",)):
        code, out, _ = mlgov(capsys, "policy", "schema", *arguments)
        assert code == 0 and json.loads(out) == policy_schema()


def test_roles_are_those_of_the_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ml_governance.workspace import Person

    people = [
        Person(id="ada", name="Ada", roles=("author",)),
        Person(id="rita", name="Rita", roles=("policy_owner", "risk_officer")),
    ]
    workspace(tmp_path / "ws", people=people, signer=None).close()
    code, out, _ = mlgov(capsys, "policy", "lint", SHIPPED, "-w", tmp_path / "ws")
    assert code == 2
    assert "nobody has the role 'validator'" in out and "nobody has the role 'risk_officer'" not in out


def test_controls_are_listed_explained_and_read_by_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = mlgov(capsys, "policy", "controls")
    assert (code, err) == (0, "") and [line[:6] for line in out.splitlines()] == list(catalogue().ids)
    code, out, _ = mlgov(capsys, "policy", "controls", "GOV-04")
    assert code == 0 and "Evidence for Article 9(5)" in out and "rescinded, from 2011-04-04, until 2026-04-17" in out
    assert "checked 2026-11-23: " in out and "A person's words or judgement are needed." in out
    code, out, _ = mlgov(capsys, "policy", "controls", "--framework", "ll144", "--json")
    found = json.loads(out)["controls"]
    assert code == 0 and [one["id"] for one in found][-1] == "DOC-02"
    assert {mapping["framework"] for one in found for mapping in one["mappings"]} == {"ll144"}
    assert {mapping["status"] for one in found for mapping in one["mappings"]} == {"in force"}


def test_controls_beside_a_policy_are_explained_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.yaml").write_text(SHIPPED.read_text().replace("[PER-02]", "[PER-02, BANK-017]"))
    (tmp_path / "controls.yaml").write_text(
        "catalogue: a-bank\nversion: 1\neditions: {own: {framework: own, name: Own, version: a, status: in force, source: us}}\n"
        "controls: [{id: BANK-017, title: Looked, evidence: [approval], human: true, mappings: [{edition: own, clause: b}]}]\n"
    )
    assert mlgov(capsys, "policy", "controls", "BANK-017")[0] == 2
    code, out, _ = mlgov(capsys, "policy", "controls", "BANK-017", "--policy", tmp_path)
    assert code == 0 and out.startswith("BANK-017  Looked\nEvidence: approval.")
    assert "in force; not checked: us" in out
    assert "BANK-017  Looked" in mlgov(capsys, "policy", "controls", "--policy", tmp_path)[1]
    assert mlgov(capsys, "policy", "lint", tmp_path)[0] == 0


@pytest.mark.parametrize(("arguments", "near"), [(("FAI-1",), "FAI-01"), (("--framework", "iso-42010"), "iso-42001")])
def test_an_unknown_control_or_framework_is_a_mistake_with_the_nearest(
    arguments: tuple[str, ...], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = mlgov(capsys, "policy", "controls", *arguments)
    assert (code, out) == (2, "") and f"perhaps {near}" in err


def test_a_policy_with_an_unknown_control_is_a_mistake_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(SHIPPED.read_text().replace("controls: [EXP-01, DAT-07]", "controls: [EXP-01, DTA-07]"))
    line = broken.read_text()[: broken.read_text().index("DTA-07")].count("\n") + 1
    code, _, err = mlgov(capsys, "policy", "lint", broken)
    assert code == 2 and f"{broken}:{line}: CRD-06: controls: " in err and "did you mean 'DAT-07'?" in err
