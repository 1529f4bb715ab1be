"""With MLGOV_VERIFY_LOAD=1, MLflow's own loaders refuse what may not be served, in code that knows nothing of this library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ml_governance as gov
from ml_governance.testing import FrozenClock
from tests.integrations.mlflow_house import free_port
from tests.operate.house import INPUTS, fitted, rows
from tests.promote.house import PEOPLE, POLICY, House

LOAD = """
import json, sys, warnings
warnings.simplefilter("ignore")
import logging
logging.disable(logging.CRITICAL)
import mlflow, mlflow.pyfunc, mlflow.sklearn, mlflow.artifacts, mlflow.models
tracking, *asked = json.loads(sys.argv[1])
mlflow.set_tracking_uri(tracking)
ways = {
    "pyfunc": mlflow.pyfunc.load_model,
    "sklearn": mlflow.sklearn.load_model,
    "download": lambda uri: mlflow.artifacts.download_artifacts(artifact_uri=uri),
    "into": lambda uri: mlflow.artifacts.download_artifacts(artifact_uri=uri.split("|")[0], dst_path=uri.split("|")[1]),
    "info": mlflow.models.get_model_info,
}
told = []
for way, uri in asked:
    try:
        found = ways[way](uri)
        told.append(["loaded", found if isinstance(found, str) else type(found).__name__])
    except Exception as error:
        told.append([type(error).__name__, str(error)])
print("TOLD" + json.dumps(told))
"""


@pytest.fixture(scope="module")
def house(server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> House:
    """credit/1 is in production, credit/2 was never promoted; the clock is that of the machine, which loaders ask."""
    folder, clock = tmp_path_factory.mktemp("loading"), FrozenClock(datetime.now(UTC) - timedelta(minutes=5))
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    gov.init(
        folder / "ws", project="credit", people=PEOPLE, policy=str(folder / "pack"), registry=f"mlflow+{server[0]}", clock=clock
    ).close()  # fmt: skip
    house = House(root=folder / "ws", clock=clock)
    with house.as_("ada") as ws:
        versions = []
        for inputs in (INPUTS, [name for name in INPUTS if name != "sex"]):
            with ws.training("credit") as run:
                run.uses(rows(seed=1), name="train")
                versions.append(run.produces(fitted(inputs), name="credit"))
    first = versions[0]
    house.measure(first)
    house.approve(first)
    house.promote(first)
    return house


def load(
    installed: dict[str, str], server: tuple[str, Path], settings: dict[str, str], *asked: tuple[str, str]
) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([server[0], *asked])], env={**installed, **settings}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD")), None)
    assert line is not None, done.stdout + done.stderr
    found: list[list[str]] = json.loads(line.removeprefix("TOLD"))
    return found


def verifying(house: House, **more: str) -> dict[str, str]:
    return {"MLGOV_VERIFY_LOAD": "1", "MLGOV_WORKSPACE": str(house.root), **more}


def kept(server: tuple[str, Path], house: House) -> Path:
    """Return the folder in which the server keeps credit/1."""
    with house.as_(None) as ws:
        source = ws.registry._client.get_model_version("credit", "1").source  # type: ignore[attr-defined]
        found = ws.registry._client.get_logged_model(source.removeprefix("models:/")) if "models:/" in source else None  # type: ignore[attr-defined]
    place = found.artifact_location if found is not None else source
    return server[1] / place.partition("mlflow-artifacts:/")[2]


# --- what importing costs ----------------------------------------------------------------------------------


STUBS = {"ml_governance", "ml_governance.plugins"} | {
    f"ml_governance.plugins.{name}"
    for name in ("verified_loading", "mlflow_context", "mlflow_evaluator", "model_registry_store", "artifact_store")
}
"""What MLflow may load of ours by itself; each imports the standard library alone."""


def test_importing_mlflow_brings_in_the_stub_and_nothing_else_of_ours(installed: dict[str, str]) -> None:
    code = (
        "import sys, json, mlflow, mlflow.deployments; "
        "from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories as r; "
        "print(json.dumps([sorted(n for n in sys.modules if n.partition('.')[0] == 'ml_governance'), r()['models'].__module__]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    ours, registered = json.loads(done.stdout.splitlines()[-1])
    assert set(ours) <= STUBS and "ml_governance.plugins.verified_loading" in ours
    assert registered == "ml_governance.plugins.verified_loading"


def test_the_stub_brings_in_nothing_that_python_has_not(installed: dict[str, str]) -> None:
    code = (
        "import sys; import importlib, os, typing; before = set(sys.modules); import ml_governance.plugins.verified_loading; "
        "print(sorted(n for n in set(sys.modules) - before if n.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=installed, capture_output=True, text=True, check=True)
    assert "pydantic" not in done.stdout and "numpy" not in done.stdout
    assert done.stdout.strip() == "['ml_governance', 'ml_governance.plugins', 'ml_governance.plugins.verified_loading']"


# --- what is loaded ----------------------------------------------------------------------------------------


@pytest.mark.full
def test_what_was_promoted_loads_in_every_way_and_what_was_not_in_none(
    house: House, server: tuple[str, Path], installed: dict[str, str], tmp_path: Path
) -> None:
    ways = ("pyfunc", "sklearn", "download", "info")
    good = [(way, uri) for way in ways for uri in ("models:/credit/1", "models:/credit@production")]
    good += [("download", "models:/credit/1/MLmodel"), ("into", f"models:/credit/1|{tmp_path}")]
    for told, asked in zip(load(installed, server, verifying(house), *good), good, strict=True):
        assert told[0] == "loaded", (asked, told)
    assert (tmp_path / "MLmodel").is_file()
    (tmp_path / "dirty").mkdir()
    (tmp_path / "dirty" / "sitecustomize.py").write_text("x")
    bad = [
        *((way, "models:/credit/2") for way in ways),
        ("download", "models:/credit/2/MLmodel"),
        ("into", f"models:/credit/1|{tmp_path / 'dirty'}"),
    ]
    found = load(installed, server, verifying(house), *bad)
    assert [one[0] for one in found] == ["MissingEvidenceError"] * 5 + ["VerificationError"]
    assert "no promotion of credit/2" in found[0][1] and "other files than the model's" in found[-1][1]
    assert [one[0] for one in load(installed, server, {}, *bad[:2])] == ["loaded"] * 2


@pytest.mark.full
def test_without_evidence_or_with_a_typing_error_nothing_loads(
    house: House, server: tuple[str, Path], installed: dict[str, str]
) -> None:
    for value in ("1", "ture"):
        (told,) = load(installed, server, {"MLGOV_VERIFY_LOAD": value}, ("pyfunc", "models:/credit/1"))
        assert told[0] == "ConfigurationError" and "no evidence is named" in told[1]
    (told,) = load(installed, server, {"MLGOV_VERIFY_LOAD": "0"}, ("pyfunc", "models:/credit/1"))
    assert told[0] == "loaded"


@pytest.mark.full
@pytest.mark.parametrize("change", ["new file", "edited file"])
def test_a_released_model_that_somebody_changed_on_the_server_is_caught_when_it_is_loaded(
    house: House, server: tuple[str, Path], installed: dict[str, str], change: str
) -> None:
    folder = kept(server, house)
    assert (folder / "MLmodel").is_file()
    file = folder / ("code.py" if change == "new file" else "requirements.txt")
    before = file.read_bytes() if file.exists() else None
    file.write_bytes((before or b"") + b"# by whoever holds the bucket\n")
    try:
        asked = [
            ("pyfunc", "models:/credit/1"),
            ("sklearn", "models:/credit@production"),
            ("download", "models:/credit/1/MLmodel"),
        ]
        told = load(installed, server, verifying(house), *asked)
        unverified = load(installed, server, {}, asked[0])
    finally:
        file.unlink() if before is None else file.write_bytes(before)
    assert [one[0] for one in told] == ["MissingEvidenceError"] * 3
    assert unverified[0][0] == "loaded"


@pytest.mark.full
def test_a_bundle_is_evidence_enough_for_a_serving_image(
    house: House, server: tuple[str, Path], installed: dict[str, str], tmp_path: Path
) -> None:
    bundle = tmp_path / "evidence.json"
    with house.as_(None) as ws:
        ws.log.export_bundle(bundle, subjects=[])
        root = ws.config.trust_root
    settings = {"MLGOV_VERIFY_LOAD": "1", "MLGOV_BUNDLE": str(bundle), "MLGOV_ROOT": root}
    asked = [("pyfunc", "models:/credit/1"), ("pyfunc", "models:/credit/2")]
    assert [one[0] for one in load(installed, server, settings, *asked)] == ["loaded", "MissingEvidenceError"]
    settings["MLGOV_ROOT"] = "sha256:" + "0" * 64
    assert load(installed, server, settings, asked[0])[0][0] == "VerificationError"


def serve(installed: dict[str, str], server: tuple[str, Path], settings: dict[str, str], uri: str) -> tuple[bool, str]:
    """Run ``mlflow models serve`` until it answers or ends; return whether it answered, and what it said."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri, "--env-manager", "local", "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    environment = {**installed, **settings, "MLFLOW_TRACKING_URI": server[0]}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    answered, until = False, time.monotonic() + 90
    while process.poll() is None and time.monotonic() < until and not answered:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer:
                answered = answer.status == 200
        except OSError:
            time.sleep(0.3)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    return answered, said


@pytest.mark.full
def test_mlflow_models_serve_serves_what_was_promoted_and_refuses_what_was_not(
    house: House, server: tuple[str, Path], installed: dict[str, str]
) -> None:
    answered, said = serve(installed, server, verifying(house), "models:/credit@production")
    assert answered, said
    answered, said = serve(installed, server, verifying(house), "models:/credit/2")
    assert not answered and "no promotion of credit/2" in said


# --- deployment targets ------------------------------------------------------------------------------------

TARGET = """
from mlflow.deployments import BaseDeploymentClient
from pathlib import Path
class Client(BaseDeploymentClient):
    def create_deployment(self, name, model_uri, flavor=None, config=None):
        return {"name": name, "files": sorted(p.name for p in Path(model_uri).iterdir())}
    def update_deployment(self, name, model_uri=None, flavor=None, config=None):
        return {"name": name, "uri": model_uri}
    def delete_deployment(self, name, config=None): return name
    def list_deployments(self): return [{"name": "a"}]
    def get_deployment(self, name): return {"name": name}
    def predict(self, deployment_name=None, inputs=None): return [deployment_name, inputs]
def run_local(*a): ...
def target_help(): return ""
"""
DEPLOY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow.deployments import get_deploy_client, run_local
mlflow.set_tracking_uri(sys.argv[1])
client = get_deploy_client("governed:/folder_target")
told = [client.create_deployment("a", "models:/credit/1"), client.update_deployment("a"), client.list_deployments(),
        client.get_deployment("b"), client.predict("a", [1]), client.delete_deployment("a")]
for call in (lambda: client.create_deployment("a", "models:/credit/2"), lambda: client.update_deployment("a", "models:/credit/2"),
             lambda: run_local("governed:/folder_target", "a", "models:/credit/1"), lambda: get_deploy_client("governed:/")):
    try:
        told.append(call())
    except Exception as error:
        told.append(type(error).__name__)
print("TOLD" + json.dumps(told))
"""


@pytest.mark.full
def test_a_governed_target_deploys_what_was_promoted_and_nothing_else(
    house: House, server: tuple[str, Path], installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "folder_target.py").write_text(TARGET)
    metadata = tmp_path / "folder_target-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: folder-target\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[mlflow.deployments]\nfolder_target = folder_target\n")
    environment = {**installed, "MLGOV_WORKSPACE": str(house.root)}
    environment["PYTHONPATH"] = f"{tmp_path}:{environment['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-c", DEPLOY, server[0]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOLD"))
    created, updated, listed, got, predicted, deleted, *refused = json.loads(line.removeprefix("TOLD"))
    assert created["name"] == "a" and "MLmodel" in created["files"]
    assert (updated, listed, got) == ({"name": "a", "uri": None}, [{"name": "a"}], {"name": "b"})
    assert (predicted, deleted) == (["a", [1]], "a")
    assert refused == ["MissingEvidenceError", "MissingEvidenceError", "UsageError", "UsageError"]
