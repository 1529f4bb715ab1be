"""Signed records of runs that ``mlflow.autolog()`` makes, without touching how it makes them.

MLflow asks our run-context plugin for tags when a run begins in this process or a child of it. The plugin answers with the
session's name and a token that only this session can make. When the session ends, the runs with genuine tokens are read
back, their models are digested and registered, and START and the end of each are signed. A run that somebody else gave the
session's name has no genuine token, or one that another run has: both are named and neither is recorded.

What autologging saw of the data is MLflow's word (a digest of the first 10,000 rows): it is no input here. Say what was used with
:meth:`Autologged.uses`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import uuid
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, Self

from ml_governance.capture.environment import environment
from ml_governance.capture.lineage_event import run_event
from ml_governance.errors import ConfigurationError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import Registration, Resource, TrainingRun
from ml_governance.evidence.statement import Subject
from ml_governance.integrations.mlflow import RUN_TAG, MlflowRegistry, _quiet, _trouble
from ml_governance.integrations.mlflow_runs import dataset_input

if TYPE_CHECKING:
    from types import TracebackType

    from ml_governance.workspace.session import Workspace

VARIABLE = "MLGOV_MLFLOW_SESSION"
"""The session's secret, for our plugin in this process and its children."""

SESSION_TAG, TOKEN_TAG = "mlgov.session", "mlgov.token"
ENDS = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT"}


def session_name(secret: str) -> str:
    """Return the public name of a session."""
    return hashlib.sha256(f"session {secret}".encode()).hexdigest()[:32]


def is_genuine(token: str, secret: str) -> bool:
    """Whether a run's token was made by this session's plugin: ``<nonce>.<HMAC-SHA256 of it>``."""
    nonce, _, mac = token.partition(".")
    return hmac.compare_digest(mac, hmac.new(secret.encode(), nonce.encode(), "sha256").hexdigest())


@dataclass(slots=True, kw_only=True)
class Autologged:
    """A session of autologging; made by :func:`ml_governance.integrations.mlflow.autolog`.

    Parameters
    ----------
    ws : Workspace
        Where it is recorded.
    job : str
        Name of the job and of the registered models.
    secret : str
        Known to this process and its children.
    previous : str or None
        What the variable held before.
    recorded : list of Subject
        Models that were registered; filled by :meth:`close`.
    """

    ws: Workspace
    job: str
    secret: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    recorded: list[Subject] = field(default_factory=list)
    _used: list[tuple[str | None, datetime, str, fingerprint.Fingerprint]] = field(default_factory=list, repr=False)
    _open: bool = True

    @classmethod
    def begin(cls, ws: Workspace, *, job: str, options: dict[str, Any]) -> Self:
        """Check that runs will reach us, switch autologging on, and have the workspace collect them when it is closed."""
        ws.require_signer()
        if not isinstance(ws.registry, MlflowRegistry):
            raise ConfigurationError(
                f"the registry is {ws.config.registry}", expected="an MLflow registry, mlflow+<tracking uri>"
            )
        import mlflow

        theirs, ours = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None, ws.registry.tracking_uri
        if theirs is not None and theirs != ours:
            raise ConfigurationError(
                "MLflow tracks to another server than this workspace's registry",
                expected=f"runs where {ws.registry.uri} is",
                next_step="mlflow.set_tracking_uri(ws.registry.tracking_uri)",
            )
        found = {one.value for one in metadata.entry_points(group="mlflow.run_context_provider")}
        if not any(one.startswith("ml_governance.plugins.") for one in found):
            raise ConfigurationError(
                "MLflow does not know our run-context plugin, so no run would be seen",
                expected="the entry point of an installed ml-governance",
                next_step="pip install ml-governance, not a copy on PYTHONPATH",
            )
        if theirs is None:
            mlflow.set_tracking_uri(ours)
        session = cls(ws=ws, job=job, secret=secrets.token_hex(32), previous=os.environ.get(VARIABLE))
        os.environ[VARIABLE] = session.secret
        mlflow.autolog(**options)
        ws.before_close(session.close)
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def uses(self, data: Any, *, name: str) -> Subject:
        """Digest an input: of the active run, or of every run that begins from now on.

        Parameters
        ----------
        data : DataFrame, Table, path
            What is read.
        name : str
            Name of the dataset.
        """
        import mlflow

        found = fingerprint.of(data)
        active = mlflow.active_run()
        self._used.append((active.info.run_id if active else None, datetime.now(UTC), name, found))
        return Subject(name=name, sha256=found.sha256)

    def close(self) -> None:
        """Sign what was logged, once; also called when the workspace is closed."""
        if not self._open:
            return
        self._open = False
        if os.environ.get(VARIABLE) == self.secret:
            if self.previous is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = self.previous
        for run in self._genuine():
            self._record(run)

    def _genuine(self) -> list[Any]:
        registry = self._registry
        with _quiet(), _trouble():
            client = registry.client
            experiments = [one.experiment_id for one in client.search_experiments()]
            found: list[Any] = []
            token = None
            while True:
                page = client.search_runs(
                    experiments, f"tags.`{SESSION_TAG}` = '{session_name(self.secret)}'",
                    order_by=["attributes.start_time ASC"], page_token=token,
                )  # fmt: skip
                found += page
                token = page.token
                if not token:
                    break
        tokens = [run.data.tags.get(TOKEN_TAG, "") for run in found]
        good = []
        for run, said in zip(found, tokens, strict=True):
            if is_genuine(said, self.secret) and tokens.count(said) == 1:
                good.append(run)
            else:
                warnings.warn(
                    f"mlgov: the MLflow run {run.info.run_id} has this session's name and no token of its own; "
                    "it is not recorded",
                    stacklevel=4,
                )
        return good

    @property
    def _registry(self) -> MlflowRegistry:
        assert isinstance(self.ws.registry, MlflowRegistry)  # noqa: S101  begin() has asked; for the type checker
        return self.ws.registry

    def _record(self, run: Any) -> None:
        ws, info = self.ws, run.info
        began = datetime.fromtimestamp(info.start_time / 1000, UTC)
        run_id = str(uuid.UUID(info.run_id))
        identity = {"job": self.job, "namespace": ws.config.origin, "runId": run_id}
        subject = Subject(name=f"run/{self.job}/{run_id[:8]}", sha256=sha256_hex(canonicalise(identity)))
        inputs = [
            (name, data) for of, since, name, data in self._used if of == info.run_id or (of is None and since <= began)
        ]
        records: list[Any] = []
        made: list[Subject] = []
        models = run.outputs.model_outputs if run.outputs is not None else []
        with _quiet(), _trouble():
            for one in models:
                logged = self._registry.client.get_logged_model(one.model_id)
                stored = self._registry.register(
                    self.job, location=logged.artifact_location, run_id=info.run_id, model_id=logged.model_id,
                    kind="mlflow-model",
                )  # fmt: skip
                model = Subject(name=f"{stored.name}/{stored.version}", sha256=stored.sha256)
                content = Registration(
                    registry=stored.registry, name=stored.name, version=stored.version, format=stored.format,
                    files=stored.files, size=stored.size, model_id=stored.model_id, run=subject.sha256,
                )  # fmt: skip
                records.append((content, (model,)))
                made.append(model)
            for name, data in inputs:
                self._registry.client.log_inputs(info.run_id, datasets=[dataset_input(name, data)])
            self._registry.client.set_tag(info.run_id, RUN_TAG, run_id)
        end = ENDS.get(str(info.status))
        moments: list[tuple[Any, datetime]] = [("START", began)]
        if end is not None and info.end_time is not None:
            moments.append((end, datetime.fromtimestamp(info.end_time / 1000, UTC)))
        for kind, at in moments:
            outputs = made if kind != "START" else []
            event = run_event(
                kind, at=at, namespace=ws.config.origin, job=self.job, run_id=run_id, environment=environment(),
                parameters={key: value[:500] for key, value in run.data.params.items()}, inputs=inputs,
                outputs=[(one.name, one.sha256) for one in outputs],
                error="the MLflow run failed" if kind == "FAIL" else None,
            )  # fmt: skip
            said = TrainingRun(
                event=event, capture="observed",
                inputs=tuple(Resource(name=name, sha256=data.sha256, rows=data.rows) for name, data in inputs),
                outputs=tuple(Resource(name=one.name, sha256=one.sha256) for one in outputs),
            )  # fmt: skip
            records.append((said, (subject, *outputs)))
        ws.writer.record_all(records)
        self.recorded += made
