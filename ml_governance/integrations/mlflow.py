"""MLflow as the model registry, through its public client and without process-wide state.

The fluent API (``mlflow.log_model``, ``set_tracking_uri``, an active run) changes what other code in the same process
sees; everything here goes through one :class:`MlflowClient` instead.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from ml_governance.errors import DataError, RegistryError
from ml_governance.evidence import fingerprint
from ml_governance.integrations import mlflow_saving
from ml_governance.promote.registry import StoredVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_governance.capture.serialisation import Serialisation
    from ml_governance.integrations.mlflow_autolog import Autologged
    from ml_governance.integrations.mlflow_runs import MlflowRuns
    from ml_governance.promote.registry import Format
    from ml_governance.workspace.session import Workspace

EXPERIMENT = "ml-governance"
DIGEST_TAG = "mlgov.sha256"
RUN_TAG = "mlgov.run"
_LET_IN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user whom MLflow lets do this"
FORMAT_TAG = (
    "serialisation"  # the word of whoever stores: a governed server lets tags under mlgov. say only what it can check
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRun:
    """What an MLflow run says about itself; nobody here saw it happen.

    Parameters
    ----------
    run_id, name : str
        The run.
    parameters : dict of str to str
        Its parameters.
    metrics : dict of str to float
        Its last metrics.
    status : str
        MLflow's word for how it ended.
    stored : StoredVersion
        Its model, registered and digested.
    """

    run_id: str
    name: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    status: str
    stored: StoredVersion


def load(path: Path) -> Any:
    """Load an MLflow model folder. Unpickling runs code: only in a process without keys.

    Returns
    -------
    object
        The scikit-learn, XGBoost or LightGBM object where that flavour is there, so that ``predict_proba`` is; else the pyfunc.
    """
    import yaml

    description = path / "MLmodel"
    if not description.is_file():
        raise DataError(f"{path} holds no MLmodel file", expected="a folder saved by MLflow")
    flavours = (yaml.safe_load(description.read_text(encoding="utf-8")) or {}).get("flavors", {})
    with _quiet():
        for flavour in ("sklearn", "xgboost", "lightgbm"):
            if flavour in flavours:
                return import_module(f"mlflow.{flavour}").load_model(str(path))
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(path))


def autolog(ws: Workspace, *, job: str = "autolog", **options: Any) -> Autologged:
    """Switch MLflow's autologging on, and have a signed record of every run that it logs until the workspace is closed.

    Process-wide, as ``mlflow.autolog`` is: autologging itself; the tracking URI, if none was set; and the variable
    ``MLGOV_MLFLOW_SESSION``, which our run-context plugin reads and child processes inherit. The returned object's
    ``close()``, or closing the workspace, takes the variable back and signs.

    Parameters
    ----------
    ws : Workspace
        In the hands of whoever trains, with an MLflow registry.
    job : str, default "autolog"
        Name of the job; each run's models are registered under the same name.
    **options
        For ``mlflow.autolog``.

    Raises
    ------
    ConfigurationError
        If the registry is no MLflow, runs would go to another server, or the plugin is not registered.
    """
    from ml_governance.integrations.mlflow_autolog import Autologged

    return Autologged.begin(ws, job=job, options=options)


class MlflowRegistry:
    """Models in an MLflow server or database.

    Parameters
    ----------
    tracking_uri : str
        For example ``sqlite:////path/mlflow.db`` or ``https://mlflow.example``.
    registry_uri : str, optional
        Where the registry is, if elsewhere.
    """

    LOADER: ClassVar[str] = "ml_governance.integrations.mlflow:load"

    def __init__(self, tracking_uri: str, registry_uri: str | None = None) -> None:
        self._tracking_uri = tracking_uri
        self._registry_uri = registry_uri or tracking_uri
        self._downloads: str | None = None
        self._runs: MlflowRuns | None = None
        self.__client: Any = None

    @property
    def uri(self) -> str:
        """The registry's URI without user, password and local path."""
        parts = urlsplit(self._registry_uri)
        if parts.scheme.startswith("sqlite"):
            return f"mlflow+sqlite:{Path(parts.path).name}"
        return f"mlflow+{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"

    @property
    def _client(self) -> Any:
        if self.__client is None:
            with _quiet(), _trouble():
                from mlflow.tracking import MlflowClient

                self.__client = MlflowClient(tracking_uri=self._tracking_uri, registry_uri=self._registry_uri)
        return self.__client

    @property
    def tracking_uri(self) -> str:
        """Where runs are tracked; it may hold a password."""
        return self._tracking_uri

    def tracker(self) -> MlflowRuns:
        """Return what shows training runs as MLflow runs."""
        from ml_governance.integrations.mlflow_runs import MlflowRuns

        if self._runs is None:
            self._runs = MlflowRuns(self)
        return self._runs

    @property
    def client(self) -> Any:
        """MLflow's client for this server."""
        return self._client

    def store(self, model: Any, *, name: str, run: str | None = None) -> StoredVersion:
        """Log a model, register it as a new version, and digest exactly what MLflow then keeps.

        Parameters
        ----------
        model : object or path
            What to keep.
        name : str
            Registered model name.
        run : str, optional
            Id of the training run; the model belongs to the MLflow run that shows it, or to one of its own.

        Raises
        ------
        DataError
            If the model is of no kind that MLflow can save.
        RegistryError
            If MLflow cannot be reached or refuses.
        """
        shown = self._runs.shown.get(run or "") if self._runs is not None else None
        with tempfile.TemporaryDirectory(prefix="mlgov-") as folder, _quiet():
            source = Path(folder) / "model"
            kind, how = mlflow_saving.save(model, source)
            with _trouble():
                if shown is not None:
                    return self._logged(source, name=name, run_id=shown, kind=kind, how=how)
                started = self._client.create_run(self.experiment(), tags={RUN_TAG: run or "", "mlflow.runName": name})
                try:
                    stored = self._logged(source, name=name, run_id=started.info.run_id, kind=kind, how=how)
                except BaseException:
                    self._client.set_terminated(started.info.run_id, "FAILED")
                    raise
                self._client.set_terminated(started.info.run_id)
                return stored

    def _logged(self, source: Path, *, name: str, run_id: str, kind: Format, how: Serialisation) -> StoredVersion:
        from mlflow.entities import LoggedModelOutput

        client = self._client
        experiment = client.get_run(run_id).info.experiment_id
        logged = client.create_logged_model(experiment, name=name, source_run_id=run_id)
        client.log_model_artifacts(logged.model_id, str(source))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return self.register(
            name, location=logged.artifact_location, run_id=run_id, model_id=logged.model_id, kind=kind, how=how
        )

    def register(
        self, name: str, *, location: str, run_id: str | None, model_id: str | None, kind: Format,
        how: Serialisation | None = None,
    ) -> StoredVersion:  # fmt: skip
        """Make a version of what is at a location, and digest it."""
        from mlflow.exceptions import MlflowException

        client = self._client
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(name, source=location, run_id=run_id, model_id=model_id)
        version = str(made.version)
        path = self.artifact(name, version)
        found = fingerprint.artifact(path)
        client.set_model_version_tag(name, version, DIGEST_TAG, found.sha256)
        if how is not None:
            client.set_model_version_tag(name, version, FORMAT_TAG, f"{how.format} (loading: {how.loading})")
        return StoredVersion(
            registry=self.uri, name=name, version=version, path=path, format=kind, files=found.files,
            size=found.size or 0, sha256=found.sha256, model_id=model_id, serialisation=how,
        )  # fmt: skip

    def experiment(self) -> str:
        """Return the id of the experiment for runs that belong to no other; made when first needed."""
        client = self._client
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        location = None
        parts = urlsplit(self._tracking_uri)
        if parts.scheme.startswith("sqlite"):
            # MLflow's default would be ./mlruns of whatever folder one happens to stand in.
            location = (Path(parts.path.removeprefix("/")).resolve().parent / "mlartifacts").as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def artifact(self, name: str, version: str) -> Path:
        """Return a local folder with exactly the bytes of a version; remote ones are downloaded again each time.

        The gate digests them before it decides and again before it acts, and what was kept from before would prove nothing.
        """
        with _quiet(), _trouble():
            location = str(self._client.get_model_version(name, version).source)
            if location.startswith("models:"):  # of a copy: where its bytes are
                location = str(self._client.get_model_version_download_uri(name, version))
            parts = urlsplit(location)
            if parts.scheme == "file":
                return Path(unquote(parts.path))
            if self._downloads is None:
                self._downloads = tempfile.mkdtemp(prefix="mlgov-artifacts-")
                weakref.finalize(self, shutil.rmtree, self._downloads, ignore_errors=True)
            target = Path(tempfile.mkdtemp(dir=self._downloads, prefix=f"{version}-"))
            from mlflow.artifacts import download_artifacts

            download_artifacts(artifact_uri=location, dst_path=str(target), tracking_uri=self._tracking_uri)
            inner = [entry for entry in target.iterdir() if entry.name != "registered_model_meta"]
            return inner[0] if len(inner) == 1 and inner[0].is_dir() else target

    def alias(self, name: str, alias: str) -> str | None:
        """Return the version that an alias points to; ``models:/NAME`` is the newest copy in a released name, if it is of this model."""
        if alias.startswith("models:/"):
            return self._newest_copy(name, alias.removeprefix("models:/"))
        from mlflow.exceptions import MlflowException

        with _quiet(), _trouble():
            try:
                return str(self._client.get_model_version_by_alias(name, alias).version)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def _newest_copy(self, name: str, released: str) -> str | None:
        copies = self.copies(released)
        head, _, version = copies[-1][1].rpartition("/") if copies else ("", "", "")
        return version if head == name else None

    def copies(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return each version of a name, oldest first, with what it was made from: ``model/version``, or a place of files."""
        with _quiet(), _trouble():
            return tuple(
                (version, str(self._client.get_model_version(name, version).source).removeprefix("models:/"))
                for version in self.versions(name)
            )

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        with _quiet(), _trouble():
            self._client.set_registered_model_alias(name, alias, version)

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions of a model, oldest first."""
        quoted = name.replace("'", "")
        with _quiet(), _trouble():
            found = self._client.search_model_versions(f"name='{quoted}'")
        return tuple(str(number) for number in sorted(int(version.version) for version in found))

    def import_run(self, run_id: str, *, name: str) -> ImportedRun:
        """Register the model that an existing MLflow run made.

        Raises
        ------
        RegistryError
            If there is no such run.
        DataError
            If it made no model, or more than one.
        """
        with _quiet(), _trouble():
            client = self._client
            run = client.get_run(run_id)
            outputs = run.outputs.model_outputs if run.outputs is not None else []
            if len(outputs) != 1:
                raise DataError(
                    f"the MLflow run {run_id} made {len(outputs)} models",
                    expected="one model, logged with log_model",
                )
            logged = client.get_logged_model(outputs[0].model_id)
            stored = self.register(
                name,
                location=logged.artifact_location,
                run_id=run_id,
                model_id=logged.model_id,
                kind="mlflow-model",
            )
        return ImportedRun(
            run_id=run_id,
            name=str(run.info.run_name or run_id),
            parameters=dict(run.data.params),
            metrics=dict(run.data.metrics),
            status=str(run.info.status),
            stored=stored,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold MLflow's chatter back for the duration of a call; what matters is raised."""
    import mlflow  # noqa: F401  importing it sets its log levels, so that must come first

    logger = logging.getLogger("mlflow")
    alembic = logging.getLogger("alembic")
    before = logger.level, alembic.level
    logger.setLevel(logging.ERROR)
    alembic.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before[0])
        alembic.setLevel(before[1])


@contextmanager
def _trouble() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException, OSError) as error:
        raise RegistryError(
            f"MLflow cannot do this: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a reachable MLflow 3.8 or newer, and a model it knows",
            next_step=_LET_IN
            if any(word in str(error) for word in ("not authenticated", "Permission denied"))
            else None,
        ) from error
