"""Training runs as MLflow runs, for whoever looks there; the ledger is the proof.

A run that is active in MLflow's fluent interface when the hook begins, on the same server, is joined: what the user logs
and what we log stand together, and whoever began it ends it. Otherwise a run of our own is made through the client, and
nothing of the process changes.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ml_governance.integrations.mlflow import DIGEST_TAG, RUN_TAG, _quiet, _trouble

if TYPE_CHECKING:
    from ml_governance.capture.lineage_event import RunRef
    from ml_governance.evidence.fingerprint import Fingerprint
    from ml_governance.integrations.mlflow import MlflowRegistry

DIGEST_CHARACTERS = 36
"""MLflow's field for a dataset's digest holds no more; the whole digest stands in a tag."""

STATUS = {"COMPLETE": "FINISHED", "FAIL": "FAILED", "ABORT": "KILLED", "UNRECORDED": "FAILED"}
STATE_TAG = "mlgov.state"


class MlflowRuns:
    """Shows training runs in one MLflow server.

    Parameters
    ----------
    registry : MlflowRegistry
        Its client and experiment.

    Attributes
    ----------
    shown : dict of str to str
        Ids of MLflow runs by ids of training runs.
    """

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry
        self.shown: dict[str, str] = {}
        self._joined: set[str] = set()

    def begin(self, run: RunRef, parent: str | None) -> None:
        """Join the active run, or make one, nested in its parent's."""
        with _quiet(), _trouble():
            client = self._registry.client
            tags = {RUN_TAG: run.run_id, "mlgov.job": run.job, "mlgov.log": run.namespace}
            active = self._active()
            if active is not None and active not in self.shown.values():
                for name, value in tags.items():
                    client.set_tag(active, name, value)
                self.shown[run.run_id] = active
                self._joined.add(run.run_id)
                return
            above = self.shown.get(parent or "")
            if above is not None:
                tags["mlflow.parentRunId"] = above
            experiment = client.get_run(above).info.experiment_id if above is not None else self._registry.experiment()
            made = client.create_run(experiment, tags={**tags, "mlflow.runName": run.job})
            self.shown[run.run_id] = made.info.run_id

    def _active(self) -> str | None:
        mlflow = sys.modules.get("mlflow")
        active = mlflow.active_run() if mlflow is not None else None
        if mlflow is None or active is None or mlflow.get_tracking_uri() != self._registry.tracking_uri:
            return None
        return str(active.info.run_id)

    def used(self, run_id: str, name: str, data: Fingerprint) -> None:
        """Log an input with our digest: what fits in MLflow's field, and all of it in a tag."""
        if run_id not in self.shown:
            return
        with _quiet(), _trouble():
            self._registry.client.log_inputs(self.shown[run_id], datasets=[dataset_input(name, data)])

    def parameters(self, run_id: str, parameters: dict[str, str]) -> None:
        """Log parameters."""
        if run_id not in self.shown:
            return
        from mlflow.entities import Param

        with _quiet(), _trouble():
            self._registry.client.log_batch(
                self.shown[run_id], params=[Param(key, value) for key, value in parameters.items()]
            )

    def end(self, run_id: str, state: str) -> None:
        """Say how it ended, and terminate the run if it is ours."""
        shown = self.shown.pop(run_id, None)
        if shown is None:
            return
        with _quiet(), _trouble():
            self._registry.client.set_tag(shown, STATE_TAG, state)
            if run_id not in self._joined:
                self._registry.client.set_terminated(shown, STATUS[state])
        self._joined.discard(run_id)


def dataset_input(name: str, data: Fingerprint) -> Any:
    """Return an input for MLflow with our digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return DatasetInput(
        Dataset(
            name=name[:500],
            digest=data.sha256[:DIGEST_CHARACTERS],
            source_type="ml-governance",
            source=json.dumps({"sha256": data.sha256, "kind": data.kind}),
            schema=json.dumps({"columns": [list(one) for one in data.columns]}) if data.columns else None,
            profile=json.dumps({"num_rows": data.rows}) if data.rows is not None else None,
        ),
        tags=[InputTag("mlflow.data.context", "training"), InputTag(DIGEST_TAG, data.sha256)],
    )
