"""The action, the template and the hooks that ship: their very commands are run, with the environment that a platform gives."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

import ml_governance as gov
from ml_governance.workspace import deciding
from tests.cli.test_check import PIPELINE, allowed, built

__all__ = ["built"]  # a fixture

ROOT = Path(__file__).resolve().parent.parent
ACTION = yaml.safe_load((ROOT / ".github/actions/ml-governance-check/action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
TEMPLATE = yaml.safe_load((ROOT / "ci/gitlab/ml-governance.yml").read_text())[".ml-governance-check"]
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def pins(home: Path) -> dict[str, str]:
    with gov.open(home / "ws") as ws:
        return {"root": ws.config.trust_root, "policy-sha256": deciding.in_force(ws.view(), "production").sha256}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What both platforms give, and mlgov on the path."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mlgov"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ml_governance.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    kept = {name: value for name, value in os.environ.items() if name not in PIPELINE and not name.startswith("MLGOV_")}
    return {**kept, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "CI": "true"}


def bash(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as GitHub's ``shell: bash`` and GitLab's runner do: it ends with the first command that fails."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


# --- GitHub -----------------------------------------------------------------------------------------------


def github(name: str, inputs: dict[str, str], home: Path, environment: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """Run a step with its inputs in place; return what it did and its outputs."""
    step = STEPS[name]
    values = {key: value.get("default", "") for key, value in ACTION["inputs"].items()} | inputs
    given = {
        key: EXPRESSION.sub(lambda found: values[found[1].strip().removeprefix("inputs.")], text)
        for key, text in step["env"].items()
    }
    output = home / "output"
    output.write_text("")
    (home / "summary.md").write_text("")
    (home / "temp").mkdir(exist_ok=True)
    runner = {
        "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(home / "summary.md"),
        "GITHUB_WORKSPACE": str(home), "RUNNER_TEMP": str(home / "temp"),
    }  # fmt: skip
    done = bash(step["run"], home, {**environment, **runner, **given})
    return done, dict(line.split("=", 1) for line in output.read_text().splitlines())


def test_the_action_measures_decides_signs_and_hands_on_what_it_wrote(
    home: Path, pins: dict[str, str], environment: dict[str, str]
) -> None:
    inputs = {
        **pins, "model": "credit/1", "workspace": "ws", "data": "test.parquet", "y-true": "label", "by": "sex\n",
        "signer": "validator",
    }  # fmt: skip
    done, outputs = github("Check", inputs, home, environment)
    assert done.returncode == 3, done.stderr
    assert outputs["exit-code"] == "3"
    assert ET.parse(outputs["junit"]).getroot().attrib["failures"] == "1"
    assert json.loads(Path(outputs["sarif"]).read_text())["version"] == "2.1.0"
    assert Path(outputs["markdown"]).read_text() == (home / "summary.md").read_text()
    assert "::warning file=ws/policies/pack/policy.yaml,line=6," in done.stdout
    with gov.open(home / "ws") as ws:
        assert [one.principal.id for one in ws.view().of_kind("fairness")] == ["validator"]


def test_the_action_is_green_for_what_is_allowed_and_only_with_the_pins(
    home: Path, pins: dict[str, str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    allowed(home)
    inputs = {**pins, "model": "credit/1", "workspace": "ws"}
    assert github("Check", inputs, home, environment)[1]["exit-code"] == "0"
    for name in pins:
        done, outputs = github("Check", {**inputs, name: ""}, home, environment)
        assert done.returncode == 2 and outputs["exit-code"] == "2" and "set and empty" in done.stderr
        done, _ = github("Check", {**inputs, name: "sha256:" + "0" * 64}, home, environment)
        assert done.returncode == 4 and "pins" in done.stderr


@pytest.mark.parametrize(
    "model", ['"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "--unpinned", "a\ntouch pwned"]
)
def test_no_input_of_the_action_is_run(
    home: Path, pins: dict[str, str], environment: dict[str, str], model: str
) -> None:
    done, _ = github("Check", {**pins, "model": model, "workspace": "ws"}, home, environment)
    assert done.returncode == 4 and "no registered model" in done.stderr
    assert not list(home.rglob("pwned"))


def test_no_expression_stands_inside_a_script() -> None:
    for step in STEPS.values():
        assert not EXPRESSION.search(step["run"])
        named = {
            found[1].strip().removeprefix("inputs.")
            for text in step["env"].values()
            for found in EXPRESSION.finditer(text)
        }
        assert named <= set(ACTION["inputs"])
    assert all("description" in one for one in (*ACTION["inputs"].values(), *ACTION["outputs"].values()))
    assert {name for name, one in ACTION["inputs"].items() if one.get("required")} == {"model", "root", "policy-sha256"}


def wheel(folder: Path) -> Path:
    """Make a package of one empty module, so that pip has something to install without a network."""
    files = {
        "tiny.py": b"",
        "tiny-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = (
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    )
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("tiny-1.dist-info/RECORD", "\n".join((*digests, "tiny-1.dist-info/RECORD,,\n")))
    return path


def test_both_install_what_they_are_told(home: Path, environment: dict[str, str]) -> None:
    assert STEPS["Install"]["if"] == "inputs.install != ''"
    for folder in ("github", "gitlab"):
        into = {**environment, "PIP_TARGET": str(home / folder), "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1"}
        if folder == "github":
            done, _ = github("Install", {"install": str(wheel(home))}, home, into)
        else:
            done = bash("\n".join(TEMPLATE["before_script"]), home, {**into, "MLGOV_INSTALL": str(wheel(home))})
        assert done.returncode == 0, done.stderr
        assert (home / folder / "tiny.py").exists()
    assert bash("\n".join(TEMPLATE["before_script"]), home, {**environment, "MLGOV_INSTALL": ""}).returncode == 0


# --- GitLab -----------------------------------------------------------------------------------------------


def gitlab(home: Path, environment: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the job's script; variables of the project come before those of the template."""
    runner = {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(home)}
    return bash("\n".join(TEMPLATE["script"]), home, {**environment, **runner, **TEMPLATE["variables"], **variables})


def test_the_template_writes_the_reports_that_it_names(
    home: Path, pins: dict[str, str], environment: dict[str, str]
) -> None:
    held = {"MLGOV_ROOT": pins["root"], "MLGOV_POLICY_SHA256": pins["policy-sha256"]}
    done = gitlab(home, environment, MLGOV_MODEL="credit/1", MLGOV_WORKSPACE="ws", **held)
    assert done.returncode == 4, done.stderr
    reports = TEMPLATE["artifacts"]["reports"]
    assert ET.parse(home / reports["junit"]).getroot().attrib["errors"] == "1"
    (first, *_) = json.loads((home / reports["codequality"]).read_text())
    assert first["severity"] == "blocker" and first["location"]["path"] == "ws/policies/pack/policy.yaml"
    assert all((home / path).exists() for path in TEMPLATE["artifacts"]["paths"])
    assert TEMPLATE["artifacts"]["when"] == "always" and "allow_failure" not in TEMPLATE


def test_the_template_is_red_without_pins(home: Path, environment: dict[str, str]) -> None:
    done = gitlab(home, environment, MLGOV_MODEL="credit/1", MLGOV_WORKSPACE="ws")
    assert done.returncode == 2 and "MLGOV_ROOT and MLGOV_POLICY_SHA256 are not set" in done.stderr


# --- pre-commit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_passes_a_good_policy_and_stops_a_bad_one(
    hook: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    one = HOOKS[hook]
    assert set(one) >= {"id", "name", "entry", "language", "files"} and one["pass_filenames"] is False
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    command = shlex.join([*shlex.split(one["entry"]), "policies/credit-scoring"])
    done = bash(command, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    policy = tmp_path / "policies" / "credit-scoring" / "policy.yaml"
    policy.write_text(policy.read_text().replace("lower_bound_at_least: 0.80", "lower_bound_at_least: 0.999"))
    assert bash(command, tmp_path, environment).returncode in (1, 2)
    for path in ("policies/credit-scoring/policy.yaml", "ml/policies/a/cases/allow.yml"):
        assert re.search(one["files"], path)
    assert not re.search(one["files"], "config.yaml")


# --- the page that tells how ------------------------------------------------------------------------------


def fences(kind: str) -> list[str]:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_page_names_what_there_is(home: Path) -> None:
    github_page, gitlab_page, hooks_page = (yaml.safe_load(text) for text in fences("yaml"))
    (step,) = [s for s in github_page["jobs"]["gate"]["steps"] if "ml-governance-check" in s["uses"]]
    required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert required <= set(step["with"]) <= set(ACTION["inputs"])
    assert (ROOT / re.sub(r"^.*?/(?=\.github)|@.*", "", step["uses"]) / "action.yml").exists()
    assert (ROOT / gitlab_page["include"][0]["file"]).exists()
    assert gitlab_page["gate"]["extends"] == ".ml-governance-check"
    assert set(gitlab_page["gate"]["variables"]) <= set(TEMPLATE["variables"])
    assert {hook["id"] for hook in hooks_page["repos"][0]["hooks"]} == set(HOOKS)


def test_the_table_of_the_page_is_read_as_it_stands(home: Path) -> None:
    from ml_governance.workspace import config

    path = home / "ws" / "governance.toml"
    path.write_text(path.read_text() + fences("toml")[0])
    section = config.load(home / "ws").check
    assert section.by == ("sex", "race") and section.y_true == "label"
    table = (ROOT / "docs" / "how-to" / "ci.md").read_text().partition("| key of `[check]` |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")}
    assert named == set(config.CheckSection.model_fields)
