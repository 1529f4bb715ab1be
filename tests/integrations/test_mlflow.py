"""Against a real MLflow on SQLite."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ml_governance.errors import DataError, RegistryError
from ml_governance.evidence import fingerprint
from ml_governance.integrations.mlflow import DIGEST_TAG, MlflowRegistry, load

if TYPE_CHECKING:
    from pathlib import Path

MODEL = LogisticRegression().fit(np.arange(10)[:, None], [0] * 5 + [1] * 5)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")


def test_a_model_is_registered_under_the_digest_of_what_mlflow_keeps(registry: MlflowRegistry) -> None:
    stored = registry.store(MODEL, name="credit", run="r1")
    path = registry.artifact("credit", stored.version)
    assert fingerprint.folder(path).sha256 == stored.sha256
    assert (path / "MLmodel").is_file()
    assert stored.format == "mlflow-model" and stored.model_id
    assert load(path).predict([[9]]) == [1]
    version = registry._client.get_model_version("credit", stored.version)
    assert version.tags[DIGEST_TAG] == stored.sha256
    assert registry.versions("credit")[-1] == stored.version
    assert "/" not in registry.uri.removeprefix("mlflow+sqlite:")


def test_whom_mlflow_does_not_let_in_is_told_how_to_be_named() -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"You are not authenticated.")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        Thread(target=server.handle_request).start()
        with pytest.raises(RegistryError) as raised:
            MlflowRegistry(f"http://127.0.0.1:{server.server_port}").alias("credit", "production")
    assert "MLFLOW_TRACKING_USERNAME" in str(raised.value.next_step)


def test_aliases_move(registry: MlflowRegistry) -> None:
    first, second = (registry.store(MODEL, name="moving").version for _ in range(2))
    assert registry.alias("moving", "production") is None
    for version in (first, second, first):
        registry.set_alias("moving", "production", version)
        assert registry.alias("moving", "production") == version


def test_nothing_of_the_process_is_changed(registry: MlflowRegistry) -> None:
    import logging

    import mlflow

    before = (mlflow.get_tracking_uri(), logging.getLogger("mlflow").level)
    registry.store(MODEL, name="quiet")
    assert (mlflow.get_tracking_uri(), logging.getLogger("mlflow").level) == before
    assert mlflow.active_run() is None


def test_what_mlflow_cannot_do_is_told(registry: MlflowRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="not found"):
        registry.artifact("nothing", "1")
    with pytest.raises(RegistryError):
        registry.set_alias("nothing", "production", "1")
    with pytest.raises(DataError, match="no kind that is saved"):
        registry.store(object(), name="m")
    with pytest.raises(DataError, match="no MLmodel"):
        load(tmp_path)
    with pytest.raises(RegistryError):
        registry.import_run("nothing", name="m")


def test_a_run_made_elsewhere_is_brought_in(registry: MlflowRegistry) -> None:
    client = registry._client
    experiment = registry.experiment()
    run = client.create_run(experiment)
    client.log_param(run.info.run_id, "depth", 3)
    client.log_metric(run.info.run_id, "auc", 0.8)
    with pytest.raises(DataError, match="made 0 models"):
        registry.import_run(run.info.run_id, name="imported")
    stored = registry.store(MODEL, name="source")
    made = client.get_logged_model(stored.model_id).source_run_id
    client.log_metric(made, "auc", 0.8)
    imported = registry.import_run(made, name="imported")
    assert imported.stored.sha256 == stored.sha256
    assert imported.metrics == {"auc": 0.8}


def test_a_workspace_takes_in_a_run_as_claimed_and_a_rule_that_wants_an_observed_one_says_no(tmp_path: Path) -> None:
    import ml_governance as gov

    with gov.init(tmp_path / "ws", project="credit", signer="author") as ws:
        registry = ws.registry
        assert isinstance(registry, MlflowRegistry)
        stored = registry.store(MODEL, name="elsewhere")
        client = registry._client
        made = client.get_logged_model(stored.model_id).source_run_id
        version = ws.import_mlflow(made, name="credit-risk")
        assert version.sha256 == stored.sha256
        run = ws.view().of_kind("training-run")[-1].content
        assert run.capture == "claimed"  # type: ignore[attr-defined]
        decision = ws.decide(version, stage="production")
    assert decision.exit_code == 4
    assert "is only claimed" in decision.explain()
