"""``mlgov check``: what a pipeline runs, and what a branch that is judged may try."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.cli.run import run
from ml_governance.evidence import fingerprint
from ml_governance.workspace import checking, deciding, init
from tests.workspace.test_workspace import POLICY, rows

MEASURE = ("--y-true", "label", "--by", "sex")
FILES = {"junit": "out/j.xml", "sarif": "out/s.json", "markdown": "out/m.md", "gitlab": "out/g.json"}
WRITE = [part for name, path in FILES.items() for part in (f"--{name}", path)]
PIPELINE = ("CI", "GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY", "CI_PROJECT_DIR", "MLGOV_ROOT", "MLGOV_POLICY_SHA256",
            "MLGOV_DATA_SHA256", "MLGOV_CHECKPOINT")  # fmt: skip
WEAK = POLICY.replace("at_least: 0.5", "at_least: 0.001").replace("approvals: [{role: validator, expires: 7d}]", "")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained model, and rows to measure it on."""
    home = tmp_path_factory.mktemp("built")
    make(home, POLICY)
    rows(seed=9).to_parquet(home / "test.parquet")
    return home


def make(home: Path, policy: str) -> None:
    (home / "pack").mkdir(parents=True)
    (home / "pack" / "policy.yaml").write_text(policy)
    init(home / "ws", project="credit", policy=str(home / "pack"), registry="local:models").close()
    data = rows()
    with gov.open(home / "ws", signer="author") as ws, ws.training("credit") as training:
        training.uses(data, name="train")
        training.produces(LogisticRegression().fit(data[["x"]], data.label), name="credit")


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and no pipeline around."""
    shutil.copytree(built, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    for name in PIPELINE:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def check(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def checked(*arguments: object, model: str = "credit/1") -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["check", model, "-w", "ws", *(str(argument) for argument in arguments)])
        return code, *capsys.readouterr()

    return checked


def configure(home: Path, **values: Any) -> None:
    path = home / "ws" / "governance.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text(path.read_text() + "\n[check]\n" + "\n".join(lines) + "\n")


def size(home: Path) -> int:
    with gov.open(home / "ws") as ws:
        return ws.ledger.size


def kinds(home: Path) -> list[str]:
    with gov.open(home / "ws") as ws:
        return [one.kind for one in ws.view().attestations]


def allowed(home: Path) -> None:
    """Measure and approve, so that the answer is allow."""
    with gov.open(home / "ws", signer="validator") as ws:
        ws.assess("credit/1", "test.parquet", y_true="label", sensitive_features=["sex"], kinds=("fairness",))
        ws.approve("credit/1", stage="production", reason="looked at it")


def pins(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set what a protected pipeline has, from a workspace that can be believed."""
    with gov.open(home / "ws") as ws:
        root = ws.config.trust_root
        policy = "sha256:" + deciding.in_force(ws.view(), "production").sha256
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("MLGOV_ROOT", root)
    monkeypatch.setenv("MLGOV_POLICY_SHA256", policy)
    return {"root": root, "policy": policy}


# --- one call ---------------------------------------------------------------------------------------------


def test_one_call_measures_decides_and_writes_every_format(check: Any, home: Path) -> None:
    code, out, _ = check("--data", "test.parquet", *MEASURE, "--as", "validator", *WRITE)
    assert code == 3 and "REVIEW: credit/1 for production" in out and "to pass: approvals" in out
    assert kinds(home).count("fairness") == 1 and kinds(home).count("decision") == 1
    suite = ET.fromstring((home / FILES["junit"]).read_text()).find("testsuite")
    assert suite is not None and suite.attrib["failures"] == "1" and suite.attrib["errors"] == "0"
    assert json.loads((home / FILES["sarif"]).read_text())["runs"][0]["invocations"][0]["exitCode"] == 3
    assert (home / FILES["markdown"]).read_text().startswith("## REVIEW")
    (issue,) = json.loads((home / FILES["gitlab"]).read_text())
    assert issue["location"] == {"path": "ws/policies/pack/policy.yaml", "lines": {"begin": 6}}


def test_what_is_not_given_stands_in_governance_toml_and_options_win(check: Any, home: Path) -> None:
    shutil.copy(home / "test.parquet", home / "ws" / "held-out.parquet")
    configure(home, model="credit/1", data="held-out.parquet", y_true="label", by=["sex"], kinds=["fairness"])
    assert run(["check", "-w", "ws", "--as", "validator"]) == 3
    assert kinds(home).count("fairness") == 1
    assert check("--stage", "moon")[0] == 2
    assert check(model="other/1")[0] == 4
    configure_twice = home / "ws" / "governance.toml"
    configure_twice.write_text(configure_twice.read_text() + 'colour = "red"\n')
    code, _, err = check()
    assert code == 2 and "colour" in err


def test_no_model_is_a_mistake(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "-w", "ws"]) == 2
    assert "no model was named" in capsys.readouterr().err


def test_allow_exits_with_0_and_json_says_everything(check: Any, home: Path) -> None:
    allowed(home)
    code, out, _ = check("--as", "release-manager", "--json")
    told = json.loads(out)
    assert code == told["exitCode"] == 0 and told["result"] == "allow" and told["signed"] and not told["advice"]
    assert told["decision"]["verificationResult"] == "PASSED"
    assert check("--json", "--annotations")[0] == 2


def test_without_a_key_nothing_is_signed(check: Any, home: Path) -> None:
    before = size(home)
    code, out, _ = check("--data", "test.parquet", *MEASURE)
    assert code == 4 and "nothing was measured" in out and "the decision is not signed" in out
    assert size(home) == before


@pytest.mark.parametrize(("who", "why"), [("author", "who made the model"), ("release-manager", "whose roles are")])
def test_nobody_signs_measurements_that_the_policy_does_not_take_from_them(
    check: Any, home: Path, who: str, why: str
) -> None:
    code, out, _ = check("--data", "test.parquet", *MEASURE, "--as", who)
    assert code == 4 and "fairness was not measured" in out and why in out
    assert "fairness" not in kinds(home)


def test_a_measurement_that_fails_outweighs_the_decision_and_both_are_told(check: Any, home: Path) -> None:
    allowed(home)
    code, out, err = check("--data", "test.parquet", "--y-true", "lable", "--by", "sex", "--as", "validator", *WRITE)
    assert code == 2 and out.startswith("ALLOW") and "did you mean 'label'?" in err
    suite = ET.fromstring((home / FILES["junit"]).read_text()).find("testsuite")
    assert suite is not None and suite.attrib["errors"] == "1"
    assert (home / FILES["markdown"]).read_text().startswith("## ERROR")
    assert check("--data", "test.parquet", "--as", "validator")[0] == 2
    assert check("--data", "test.parquet", *MEASURE, "--kind", "beauty", "--as", "validator")[0] == 2


def test_a_check_that_cannot_begin_is_red_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PIPELINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["check", "credit/1", "-w", "/", *WRITE]) == 2
    assert 'errors="1"' in (tmp_path / FILES["junit"]).read_text()
    assert json.loads((tmp_path / FILES["sarif"]).read_text())["runs"][0]["results"][0]["level"] == "error"
    assert json.loads((tmp_path / FILES["gitlab"]).read_text())[0]["severity"] == "blocker"


def test_what_breaks_inside_exits_with_5_and_is_red(check: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(checking, "in_force", broken)
    code, _, err = check(*WRITE)
    assert code == 5 and "ZeroDivisionError: oops" in err
    assert 'errors="1"' in (home / FILES["junit"]).read_text()


def test_a_green_file_of_an_earlier_run_is_not_found_after_one_that_died(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(home)
    assert check(*WRITE)[0] == 0

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "check", killed)
    assert check(*WRITE)[0] == 130
    assert not any((home / path).exists() for path in FILES.values())


def test_a_format_that_cannot_be_written_is_refused_before_anything_is_judged(check: Any, home: Path) -> None:
    assert check(*WRITE)[0] == 4
    (home / "file").write_text("")
    (home / "folder").mkdir()
    before = size(home)
    for path in ("file/j.xml", "folder"):
        code, out, err = check("--as", "validator", *WRITE[2:], "--junit", path)
        assert (code, out) == (2, "") and "cannot be written" in err
    assert size(home) == before
    assert not any((home / path).exists() for name, path in FILES.items() if name != "junit")


def test_a_format_that_cannot_be_written_in_the_end_counts_and_the_decision_is_told(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(home)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home))  # a folder
    code, out, err = check("--annotations")
    assert code == 2 and out.startswith("ALLOW") and "cannot be written" in err


# --- GitHub -----------------------------------------------------------------------------------------------


def test_annotations_are_printed_and_the_summary_appended(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = home / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(home / "ws"))
    code, out, _ = check("--annotations")
    assert code == 4 and re.search(
        r"^::error file=policies/pack/policy.yaml,line=9,title=missing SML-01", out, re.MULTILINE
    )
    assert summary.read_text().startswith("before\n## DENY")
    summary.write_text("x" * 1024 * 1024)
    assert check("--annotations")[0] == 4 and summary.stat().st_size == 1024 * 1024


def test_a_reason_that_somebody_gave_is_no_command(check: Any, home: Path) -> None:
    with gov.open(home / "ws", signer="validator") as ws:
        ws.assess("credit/1", "test.parquet", y_true="label", sensitive_features=["sex"], kinds=("fairness",))
        ws.approve(
            "credit/1", stage="production", reason="no\n::add-mask::x\n##[error]y", verdict="reject", role="validator"
        )
    code, out, err = check("--annotations")
    assert code == 1 and "rejects this" in out
    commands = [line for line in (out + err).splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert all(re.match(r"::(error|warning|notice) file=", line) for line in commands)
    _, out, err = check("--annotations", model="::stop-commands::x")
    assert not [line for line in err.splitlines() if "::stop" in line]


# --- what a branch may try --------------------------------------------------------------------------------


def test_a_policy_weakened_in_the_branch_decides_nothing_and_is_mentioned(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins(home, monkeypatch)
    before = check()
    (home / "ws" / "policies" / "pack" / "policy.yaml").write_text(WEAK)
    code, out, _ = check()
    assert code == before[0] == 4
    assert "not the one in force" in out and "not the one in force" not in before[1]


@pytest.fixture
def foreign(home: Path) -> Path:
    """What a branch brings along that governs itself: its own root, ledger, people and policy, which allow everything."""
    make(home / "foreign", WEAK)
    allowed_by = home / "foreign"
    with gov.open(allowed_by / "ws", signer="validator") as ws:
        ws.assess("credit/1", "test.parquet", y_true="label", sensitive_features=["sex"], kinds=("fairness",))
    return allowed_by / "ws"


def test_a_branch_with_its_own_trust_root_is_refused_by_every_command(
    check: Any, home: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "credit/1", "-w", str(foreign)]) == 0  # by its own rules
    pins(home, monkeypatch)
    for command in (
        ["check", "credit/1"],
        ["decide", "credit/1", "--as", "validator"],
        ["log", "verify"],
        ["keys", "ls"],
    ):
        capsys.readouterr()
        assert run([*command, "-w", str(foreign)]) == 4
        assert "MLGOV_ROOT pins" in capsys.readouterr().err


def test_the_root_in_an_option_is_held_as_well(check: Any, home: Path, foreign: Path) -> None:
    with gov.open(home / "ws") as ws:
        root = ws.config.trust_root
    assert run(["check", "credit/1", "-w", str(foreign), "--root", root]) == 4
    assert "not pinned" in check("--root", root)[1]
    assert check("--root", "sha256:12")[0] == 2


def test_the_branch_cannot_name_the_true_root_over_its_own_ledger(
    check: Any, home: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pins(home, monkeypatch)["root"]
    path = foreign / "governance.toml"
    path.write_text(re.sub(r'root = "sha256:\w+"', f'root = "{root}"', path.read_text()))
    assert run(["check", "credit/1", "-w", str(foreign)]) == 4


def enact(home: Path, text: str) -> None:
    (home / "new.yaml").write_text(text)
    with gov.open(home / "ws", signer="risk-officer") as ws:
        ws.enact(home / "new.yaml")


def test_another_policy_than_the_pinned_one_is_refused_before_anything_is_signed(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins(home, monkeypatch)
    enact(home, WEAK.replace("version: 1", "version: 2"))
    before = size(home)
    code, _, err = check("--data", "test.parquet", *MEASURE, "--as", "validator", *WRITE)
    assert code == 4 and "MLGOV_POLICY_SHA256 pins" in err
    assert size(home) == before and 'errors="1"' in (home / FILES["junit"]).read_text()


def test_pins_add_up_and_none_overrides_another(check: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed(home)
    old = pins(home, monkeypatch)["policy"]
    assert check()[0] == 0
    enact(home, WEAK.replace("version: 1", "version: 2"))
    with gov.open(home / "ws") as ws:
        new = deciding.in_force(ws.view(), "production").sha256
    assert check("--policy-sha256", new)[0] == 4  # the environment still says the old one
    configure(home, policy_sha256=new)
    assert check()[0] == 4
    monkeypatch.setenv("MLGOV_POLICY_SHA256", new)
    assert check()[0] == 0
    assert check("--policy-sha256", old)[0] == 4
    path = home / "ws" / "governance.toml"
    path.write_text(path.read_text().replace(new, old.removeprefix("sha256:")))
    code, _, err = check()
    assert code == 4 and "[check] policy_sha256 pins" in err


def test_a_pipeline_without_pins_is_refused_even_if_governance_toml_pins_itself(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pins(home, monkeypatch)
    configure(home, policy_sha256=told["policy"])
    assert check()[0] == 4
    for name in ("MLGOV_POLICY_SHA256", "MLGOV_ROOT"):
        value = told["policy" if "POLICY" in name else "root"]
        monkeypatch.delenv(name)
        code, _, err = check()
        assert code == 2 and name in err and "name its own trust root and policy" in " ".join(err.split())
        monkeypatch.setenv(name, "")
        code, _, err = check()
        assert code == 2 and f"{name} is set and empty" in err
        monkeypatch.setenv(name, value)
    for name in ("MLGOV_POLICY_SHA256", "MLGOV_ROOT"):
        monkeypatch.delenv(name)
    assert check("--unpinned")[0] == 4
    assert check("--root", told["root"], "--policy-sha256", told["policy"])[0] == 4
    monkeypatch.setenv("CI", "false")
    assert check()[0] == 4


def test_an_older_log_is_refused_by_a_pinned_checkpoint(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins(home, monkeypatch)
    shutil.copy(home / "ws" / "governance" / "ledger.sqlite", home / "old.sqlite")
    allowed(home)
    with gov.open(home / "ws") as ws:
        (home / "checkpoint").write_text(ws.ledger.checkpoint())
    monkeypatch.setenv("MLGOV_CHECKPOINT", str(home / "checkpoint"))
    assert check()[0] == 0
    shutil.copy(home / "old.sqlite", home / "ws" / "governance" / "ledger.sqlite")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "fresh"))  # a runner remembers nothing
    code, _, err = check()
    assert code == 4 and "rolled back" in err


def test_other_rows_than_the_pinned_ones_are_not_measured(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    digest = fingerprint.table(pd.read_parquet(home / "test.parquet")).sha256
    monkeypatch.setenv("MLGOV_DATA_SHA256", digest)
    rows(seed=4).to_parquet(home / "easier.parquet")
    code, _, err = check("--data", "easier.parquet", *MEASURE, "--as", "validator")
    assert code == 4 and "MLGOV_DATA_SHA256 pins" in err and "fairness" not in kinds(home)
    assert check("--data", "test.parquet", *MEASURE, "--as", "validator")[0] == 3
    with gov.open(home / "ws") as ws:
        content: Any = ws.view().of_kind("fairness")[0].content
        assert (content.dataset.name, content.dataset.sha256) == ("test.parquet", digest)


def test_a_policy_that_comes_into_force_while_a_model_is_measured_is_noticed(
    check: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins(home, monkeypatch)
    measure = checking._Check._measure

    def meanwhile(self: Any, *arguments: Any) -> None:
        measure(self, *arguments)
        enact(home, WEAK.replace("version: 1", "version: 2"))

    monkeypatch.setattr(checking._Check, "_measure", meanwhile)
    code, _, err = check("--data", "test.parquet", *MEASURE, "--as", "validator")
    assert code == 4 and "another policy came into force" in err


# --- decide, not signed -----------------------------------------------------------------------------------


def test_decide_what_if_and_at_need_no_key_and_say_that_they_are_not_signed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = size(home)
    assert run(["decide", "credit/1", "-w", "ws", "--what-if", "ws/policies/pack/policy.yaml"]) == 4
    assert "not signed" in capsys.readouterr().out
    assert run(["decide", "credit/1", "-w", "ws", "--at", "2020-01-01T00:00:00Z"]) == 4
    assert run(["decide", "credit/1", "-w", "ws", "--at", "yesterday"]) == 2
    assert run(["decide", "credit/1", "-w", "ws", "--at", "2020-01-01T00:00:00"]) == 2
    capsys.readouterr()
    assert run(["decide", "credit/1", "-w", "ws", "--what-if", "ws/policies/pack/policy.yaml", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["signed"] is False and told["advice"][0]["about"] == "SML-01"
    assert size(home) == before
