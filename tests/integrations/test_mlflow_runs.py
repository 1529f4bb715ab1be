"""Training runs as MLflow runs, on SQLite and on a real server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.evidence import fingerprint
from ml_governance.integrations.mlflow import DIGEST_TAG, RUN_TAG, load
from ml_governance.testing import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = pd.DataFrame({"income": np.arange(40.0), "repaid": [0] * 20 + [1] * 20})
MODEL = LogisticRegression().fit(TABLE[["income"]], TABLE.repaid)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def ws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gov.Workspace]:
    home = tmp_path_factory.mktemp("ws")
    uri = (
        f"sqlite:///{home / 'mlflow.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("mlflow_server"))
    )
    with gov.init(
        home / "ws", project="credit", registry=f"mlflow+{uri}", signer="author", clock=FrozenClock()
    ) as made:
        yield made


def mlflow_run(ws: gov.Workspace, run: Any) -> Any:
    client = ws.registry.client  # type: ignore[attr-defined]
    experiments = [one.experiment_id for one in client.search_experiments()]
    (found,) = client.search_runs(experiments, f"tags.`{RUN_TAG}` = '{run.run_id}'")
    return found


def test_a_run_is_shown_with_inputs_parameters_model_and_end(ws: gov.Workspace) -> None:
    with ws.training("credit") as run:
        data = run.uses(TABLE, name="applications")
        run.log_params({"depth": 3})
        version = run.produces(MODEL, name="credit")
        assert mlflow_run(ws, run).info.status == "RUNNING"
    shown = mlflow_run(ws, run)
    assert (shown.info.status, shown.data.params) == ("FINISHED", {"depth": "3"})
    (one,) = shown.inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in one.tags}
    # MLflow's field holds 36 characters: a prefix stands there, and the whole digest in a tag.
    assert one.dataset.digest == data.sha256[:36] and tags[DIGEST_TAG] == data.sha256
    (model,) = shown.outputs.model_outputs
    assert model.model_id == ws.registration(version, ws.view()).model_id
    path = ws.registry.artifact("credit", version.name.partition("/")[2])
    assert fingerprint.artifact(path).sha256 == version.sha256
    assert load(path).predict_proba(TABLE[["income"]]).shape == (40, 2)


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_ends_badly_is_shown_so(ws: gov.Workspace, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), ws.training("credit") as run:
        raise error
    assert mlflow_run(ws, run).info.status == status


def test_steps_are_nested(ws: gov.Workspace) -> None:
    with ws.training("credit") as run, run.step("features") as step:
        pass
    assert mlflow_run(ws, step).data.tags["mlflow.parentRunId"] == mlflow_run(ws, run).info.run_id


def test_the_user_s_own_active_run_is_joined_and_stays_theirs(ws: gov.Workspace) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(ws.registry.tracking_uri)  # type: ignore[attr-defined]
    try:
        mlflow.set_experiment("theirs")
        with mlflow.start_run() as theirs:
            with ws.training("credit") as run:
                mlflow.log_metric("loss", 0.5)
                run.uses(TABLE, name="applications")
            assert mlflow.active_run().info.run_id == theirs.info.run_id
            assert mlflow_run(ws, run).info.status == "RUNNING"
        shown = mlflow_run(ws, run)
        assert (shown.info.run_id, shown.info.status) == (theirs.info.run_id, "FINISHED")
        assert shown.data.metrics == {"loss": 0.5} and len(shown.inputs.dataset_inputs) == 1
    finally:
        mlflow.set_tracking_uri(before)


def test_a_run_that_is_active_on_another_server_is_left_alone(ws: gov.Workspace, tmp_path: Path) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        mlflow.set_experiment("other")
        with mlflow.start_run() as other, ws.training("credit") as run:
            pass
        assert mlflow_run(ws, run).info.run_id != other.info.run_id
        assert RUN_TAG not in mlflow.get_run(other.info.run_id).data.tags
    finally:
        mlflow.set_tracking_uri(before)


def test_a_tracking_server_that_fails_costs_no_run(ws: gov.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("connection lost")

    run = ws.training("credit").__enter__()
    with monkeypatch.context() as patched:
        for name in ("log_inputs", "set_tag"):
            patched.setattr(ws.registry.client, name, broken)  # type: ignore[attr-defined]
        with pytest.warns(UserWarning, match="not shown"):
            run.uses(TABLE, name="applications")
        with pytest.warns(UserWarning, match="not shown"):
            run.__exit__(None, None, None)
    assert ws.view().of_kind("training-run")[-1].content.event["eventType"] == "COMPLETE"  # type: ignore[attr-defined]


def test_functions_are_saved_as_models_of_mlflow(ws: gov.Workspace) -> None:
    with ws.training("credit") as run:
        version = run.produces(lambda rows: (rows["income"] > 19.5).astype(int), name="rule")
    said = ws.view().of_kind("training-run")[-1].content.event["outputs"][0]["facets"]["mlgov_serialisation"]  # type: ignore[attr-defined]
    assert (said["format"], said["loading"]) == ("cloudpickle", "code")
    loaded = load(ws.registry.artifact("rule", version.name.partition("/")[2]))
    assert loaded.predict(TABLE[["income"]]).tolist() == TABLE.repaid.tolist()


@pytest.mark.parametrize(
    ("stack", "kind", "written"), [("xgboost", "XGBClassifier", "ubj"), ("lightgbm", "LGBMClassifier", "skops")]
)
def test_boosters_are_saved_with_what_loading_them_means(
    ws: gov.Workspace, stack: str, kind: str, written: str
) -> None:
    module = importlib.import_module(stack)
    model = getattr(module, kind)(n_estimators=2).fit(TABLE[["income"]], TABLE.repaid)
    stored = ws.registry.store(model, name=stack)
    assert stored.serialisation is not None
    # MLflow before skops pickled LightGBM's classes.
    assert stored.serialisation.format in ((written,) if stack == "xgboost" else (written, "pickle"))
    assert stored.serialisation.loading == ("code" if stored.serialisation.format == "pickle" else "data")
    loaded = load(stored.path)
    assert np.array_equal(loaded.predict_proba(TABLE[["income"]]), model.predict_proba(TABLE[["income"]]))


def test_report_numbers_and_verdict_stand_on_the_version_s_pages_and_change_no_digest(ws: gov.Workspace) -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"income": generator.normal(20, 10, 400), "sex": generator.choice(["F", "M"], 400)})
    rows["repaid"] = (rows.income + generator.normal(0, 5, 400) > 20).astype(int)
    with ws.training("credit") as run:
        version = run.produces(MODEL, name="shown")
    name, _, number = version.name.partition("/")
    client = ws.registry.client  # type: ignore[attr-defined]
    ws.show(version)
    assert "no decision for production yet" in client.get_model_version(name, number).description
    with ws.acting_as("validator") as validator:
        validator.assess(version, rows, y_true="repaid", sensitive_features=["sex"], kinds=["fairness"])
    with ws.acting_as("release-manager") as manager:
        decision = manager.decide(version, stage="production")
        shown = manager.show(version)
    made = client.get_model_version(name, number)
    assert f"Governance: {decision.result} for production" in made.description and shown == made.run_id
    assert [one.path for one in client.list_artifacts(shown, "governance")] == [
        "governance/report.html", "governance/report.json",
    ]  # fmt: skip
    logged = client.get_logged_model(ws.registration(version, ws.view()).model_id)
    numbers = {one.key: one for one in logged.metrics}
    rate = numbers["fairness/selection_rate/sex/F"]
    predicted = MODEL.predict(rows[["income"]])
    assert rate.value == pytest.approx(predicted[rows.sex == "F"].mean())
    assert rate.dataset_digest == fingerprint.of(rows).sha256[:36]
    # Nothing was written into the model's folder.
    assert fingerprint.artifact(ws.registry.artifact(name, number)).sha256 == version.sha256
