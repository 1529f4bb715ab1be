"""What MLflow loads of ours: it is tiny, cannot break MLflow, and sees every run of a session of autologging."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import ml_governance as gov
from ml_governance.errors import ConfigurationError
from ml_governance.plugins.mlflow_context import VARIABLE, RunContext
from tests.integrations.mlflow_house import installed, python
from tests.plugins.test_loading import STUBS


def test_importing_mlflow_adds_only_the_stubs_of_ours(tmp_path: Path) -> None:
    text = """
import json, sys
import mlflow, mlflow.models
ours = lambda: sorted(name for name in sys.modules if name.startswith("ml_governance"))
print(json.dumps(ours()))
from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry as evaluators
print("governance" in evaluators._registry)
print(json.dumps(ours()))
"""
    done = python(text, path=installed(tmp_path / "site"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules, known, more = done.stdout.splitlines()
    assert set(json.loads(modules)) <= STUBS and "ml_governance.plugins.mlflow_context" in json.loads(modules)
    # Some versions of MLflow load evaluators later.
    assert (
        known == "True"
        and set(json.loads(more)) <= STUBS
        and "ml_governance.plugins.mlflow_evaluator" in json.loads(more)
    )


def test_the_modules_that_mlflow_loads_import_only_the_standard_library() -> None:
    text = """
import sys
before = set(sys.modules)
import ml_governance.plugins.mlflow_context, ml_governance.plugins.mlflow_evaluator
import ml_governance.plugins.artifact_store, ml_governance.plugins.verified_loading, ml_governance.plugins.model_registry_store
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(root for root in roots if root not in sys.stdlib_module_names and root != "ml_governance"))
"""
    done = python(text, path=str(Path(gov.__file__).parents[1]), cwd=Path.cwd())
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "value", [None, "", "secret", "\udcff", "x" * 100_000], ids=["none", "empty", "secret", "surrogate", "long"]
)
def test_the_context_plugin_answers_and_never_raises(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    context = RunContext()
    tags = context.tags()
    assert isinstance(context.in_context(), bool)
    assert set(tags) in (set(), {"mlgov.session", "mlgov.token"})
    assert all(len(text) < 5000 and value not in text for text in tags.values() if value and len(value) > 5)


def test_an_error_inside_a_plugin_does_not_break_a_run(tmp_path: Path) -> None:
    text = """
import mlflow, os
from ml_governance.plugins import mlflow_context
os.environ["MLGOV_MLFLOW_SESSION"] = "secret"
mlflow_context.hashlib.sha256 = None
mlflow.set_tracking_uri("sqlite:///other.db")
with mlflow.start_run() as run:
    pass
print(mlflow.get_run(run.info.run_id).info.status, "mlgov.session" in mlflow.get_run(run.info.run_id).data.tags)
"""
    done = python(text, path=installed(tmp_path / "site"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["FINISHED", "False"]


SCRIPT = """
import sys, mlflow
import pandas as pd, numpy as np
from sklearn.linear_model import LogisticRegression
import ml_governance as gov
mode = sys.argv[1]
table = pd.DataFrame({"income": np.arange(40.0), "repaid": [0] * 20 + [1] * 20})
with gov.open("ws", signer="author") as ws:
    session = gov.integrations.mlflow.autolog(ws, job="credit", silent=True)
    session.uses(table, name="applications")
    LogisticRegression(C=0.5).fit(table[["income"]], table["repaid"])
    if mode == "failing":
        try:
            with mlflow.start_run():
                raise ValueError
        except ValueError:
            pass
    if mode == "forged":
        import os
        genuine = mlflow.last_active_run().data.tags
        client = mlflow.MlflowClient()
        client.create_run("0", tags={"mlgov.session": genuine["mlgov.session"]})
        client.create_run("0", tags={"mlgov.session": genuine["mlgov.session"], "mlgov.token": "x.y"})
    if mode == "replayed":
        genuine = mlflow.last_active_run().data.tags
        mlflow.MlflowClient().create_run("0", tags={name: genuine[name] for name in ("mlgov.session", "mlgov.token")})
import os
print("LEFT", os.environ.get("MLGOV_MLFLOW_SESSION"))
"""


def autologged(tmp_path: Path, mode: str) -> tuple[gov.Workspace, str]:
    with gov.init(tmp_path / "ws", project="credit"):
        pass
    done = python(SCRIPT.replace("-W ignore", ""), mode, path=installed(tmp_path / "site"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LEFT None" in done.stdout
    return gov.open(tmp_path / "ws", signer="author"), done.stderr


@pytest.mark.full
def test_one_line_gives_every_autologged_run_a_signed_record(tmp_path: Path) -> None:
    ws, _ = autologged(tmp_path, "failing")
    with ws:
        contents = [a.content for a in ws.view().of_kind("training-run")]
        assert [one.event["eventType"] for one in contents] == ["START", "COMPLETE", "START", "FAIL"]  # type: ignore[attr-defined]
        complete = contents[1]
        assert complete.inputs[0].name == "applications"  # type: ignore[attr-defined]
        (version,) = [a.subjects[0] for a in ws.view().of_kind("registration")]
        assert version.name == "credit/1" and complete.outputs[0].sha256 == version.sha256  # type: ignore[attr-defined]
        parameters = complete.event["run"]["facets"]["executionParameters"]["parameters"]  # type: ignore[attr-defined]
        assert {"key": "C", "value": "0.5"} in parameters
        run = ws.registry.client.get_run(complete.event["run"]["runId"].replace("-", ""))  # type: ignore[attr-defined]
        ours = [one.dataset.digest for one in run.inputs.dataset_inputs if one.dataset.source_type == "ml-governance"]
        assert ours == [complete.inputs[0].sha256[:36]]  # type: ignore[attr-defined]


@pytest.mark.full
def test_runs_that_only_bear_a_session_s_name_are_not_signed(tmp_path: Path) -> None:
    ws, said = autologged(tmp_path, "forged")
    with ws:
        assert len(ws.view().of_kind("training-run")) == 2
    del said


@pytest.mark.full
def test_a_token_that_two_runs_have_makes_neither_genuine(tmp_path: Path) -> None:
    ws, _ = autologged(tmp_path, "replayed")
    with ws:
        assert ws.view().of_kind("training-run") == ()


def test_the_integration_is_reached_by_its_name_whatever_was_loaded_before() -> None:
    import subprocess
    import sys

    for first in ("", "import ml_governance.integrations.openlineage; "):
        said = subprocess.run(
            [sys.executable, "-c", first + "import ml_governance as gov; print(gov.integrations.mlflow.autolog.__name__)"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.stdout == "autolog\n", said.stderr


def test_autologging_is_refused_where_nothing_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    import mlflow

    with (
        gov.init(tmp_path / "local", project="credit", registry="local:models", signer="author") as ws,
        pytest.raises(ConfigurationError, match="registry is local"),
    ):
        gov.integrations.mlflow.autolog(ws)
    before = mlflow.get_tracking_uri()
    with gov.init(tmp_path / "ws", project="credit", signer="author") as ws:
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}")
        try:
            with pytest.raises(ConfigurationError, match="another server"):
                gov.integrations.mlflow.autolog(ws)
            mlflow.set_tracking_uri(ws.registry.tracking_uri)  # type: ignore[attr-defined]
            monkeypatch.setattr(metadata, "entry_points", lambda **_: [])
            with pytest.raises(ConfigurationError, match="does not know our run-context plugin"):
                gov.integrations.mlflow.autolog(ws)
        finally:
            mlflow.set_tracking_uri(before)


# --- the evaluator --------------------------------------------------------------------------------------------

EVALUATED = """
import json, sys, mlflow, numpy as np, pandas as pd
from mlflow.models import MetricThreshold
from sklearn.linear_model import LogisticRegression
generator = np.random.default_rng(0)
sex = pd.Series(generator.choice(["Female", "Male"], 600), name="sex")
table = pd.DataFrame({"income": generator.normal(3, 1, 600) + (sex == "Male")})
table["repaid"] = (table.income + generator.normal(0, 1, 600) > 3.5).astype(int)
model = LogisticRegression().fit(table[["income"]], table["repaid"])
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("evaluated")
with mlflow.start_run() as run:
    info = mlflow.sklearn.log_model(model, name="credit", pip_requirements=["scikit-learn"])
    result = mlflow.models.evaluate(
        info.model_uri, table, targets="repaid", model_type="classifier", evaluators=["governance"],
        evaluator_config={"governance": {"sensitive_features": sex}},
    )
shown = mlflow.get_run(run.info.run_id)
logged = mlflow.get_logged_model(info.model_id)
client = mlflow.MlflowClient()
files = sorted(one.path for one in client.list_artifacts(run.info.run_id, "governance"))
name = next(name for name in result.metrics if "demographic_parity_difference" in name and "." not in name.rsplit("/", 1)[-1])
verdicts = []
for threshold in (1.0, 1e-6):
    try:
        mlflow.validate_evaluation_results(
            candidate_result=result, validation_thresholds={name: MetricThreshold(threshold=threshold, greater_is_better=False)})
        verdicts.append("passes")
    except mlflow.models.evaluation.validation.ModelValidationFailedException:
        verdicts.append("fails")
try:
    mlflow.validate_evaluation_results(
        candidate_result=result, validation_thresholds={"nothing": MetricThreshold(threshold=1.0, greater_is_better=False)})
    verdicts.append("passes")
except Exception:
    verdicts.append("fails")
print(json.dumps({
    "metrics": result.metrics, "run": shown.data.metrics, "files": files, "verdicts": verdicts, "name": name,
    "model": {one.key: one.value for one in logged.metrics}, "artifacts": sorted(result.artifacts),
}))
"""


@pytest.mark.full
def test_the_evaluator_gives_mlflow_our_numbers_and_a_verdict_for_ci(tmp_path: Path) -> None:
    done = python(EVALUATED, f"sqlite:///{tmp_path / 'm.db'}", path=installed(tmp_path / "site"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["metrics"] and said["run"] == said["metrics"] == said["model"]
    assert said["verdicts"] == ["passes", "fails", "fails"]
    assert said["files"] == ["governance/report.html", "governance/report.json"] == said["artifacts"]
    assert any(name.startswith("explanation/") for name in said["metrics"])
    assert all(re.fullmatch(r"[\w\-./ :]+", name) for name in said["metrics"])
    # Independently: the difference of the two groups' rates of predicted positives.
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    sex = pd.Series(generator.choice(["Female", "Male"], 600))
    income = generator.normal(3, 1, 600) + (sex == "Male")
    repaid = (income + generator.normal(0, 1, 600) > 3.5).astype(int)
    rates = (
        pd.Series(LogisticRegression().fit(income.to_frame(), repaid).predict(income.to_frame())).groupby(sex).mean()
    )
    assert said["metrics"][said["name"]] == pytest.approx(rates.max() - rates.min())
