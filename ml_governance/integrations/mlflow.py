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
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from ml_governance.errors import DataError, RegistryError
from ml_governance.evidence import fingerprint
from ml_governance.promote.registry import Format, StoredVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPERIMENT = "ml-governance"
DIGEST_TAG = "mlgov.sha256"
RUN_TAG = "mlgov.run"


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
        The scikit-learn object where that flavour is there, so that ``predict_proba`` is; else the pyfunc.
    """
    import yaml

    description = path / "MLmodel"
    if not description.is_file():
        raise DataError(f"{path} holds no MLmodel file", expected="a folder saved by MLflow")
    flavours = (yaml.safe_load(description.read_text(encoding="utf-8")) or {}).get("flavors", {})
    with _quiet():
        if "sklearn" in flavours:
            import mlflow.sklearn

            return mlflow.sklearn.load_model(str(path))
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(path))


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

    def store(self, model: Any, *, name: str, run: str | None = None) -> StoredVersion:
        """Log a model, register it as a new version, and digest exactly what MLflow then keeps.

        Raises
        ------
        DataError
            If the model is of no kind that MLflow can save.
        RegistryError
            If MLflow cannot be reached or refuses.
        """
        with tempfile.TemporaryDirectory(prefix="mlgov-") as folder, _quiet():
            source = Path(folder) / "model"
            kind = _save(model, source)
            with _trouble():
                client, experiment = self._client, self._experiment()
                started = client.create_run(experiment, tags={RUN_TAG: run or "", "mlflow.runName": name})
                try:
                    logged = client.create_logged_model(experiment, name=name, source_run_id=started.info.run_id)
                    client.log_model_artifacts(logged.model_id, str(source))
                    client.finalize_logged_model(logged.model_id, "READY")
                except BaseException:
                    client.set_terminated(started.info.run_id, "FAILED")
                    raise
                client.set_terminated(started.info.run_id)
                return self._register(
                    name,
                    location=logged.artifact_location,
                    run_id=started.info.run_id,
                    model_id=logged.model_id,
                    kind=kind,
                )

    def _register(
        self, name: str, *, location: str, run_id: str | None, model_id: str | None, kind: Format
    ) -> StoredVersion:
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
        return StoredVersion(
            registry=self.uri, name=name, version=version, path=path, format=kind, files=found.files,
            size=found.size or 0, sha256=found.sha256, model_id=model_id,
        )  # fmt: skip

    def _experiment(self) -> str:
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
        copies = self.versions(released)
        if not copies:
            return None
        with _quiet(), _trouble():
            source = str(self._client.get_model_version(released, copies[-1]).source)
        head, _, version = source.rpartition("/")
        return version if head == f"models:/{name}" else None

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
            stored = self._register(
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


def _save(model: Any, target: Path) -> Format:
    """Write a model as an MLflow folder; requirements are given, because inferring them takes seconds."""
    if isinstance(model, str | Path):
        fingerprint.artifact(Path(model))  # refuses links and special files before anything is copied
        if Path(model).is_dir():
            shutil.copytree(model, target)
        else:
            target.mkdir()
            shutil.copyfile(model, target / Path(model).name)
        return "mlflow-model" if (target / "MLmodel").is_file() else "file"
    flavour = type(model).__module__.partition(".")[0]
    from sklearn.base import BaseEstimator

    if flavour in ("xgboost", "lightgbm"):
        from importlib import import_module

        import_module(f"mlflow.{flavour}").save_model(model, str(target), pip_requirements=_requirements(flavour))
    elif isinstance(model, BaseEstimator):
        import mlflow.sklearn

        mlflow.sklearn.save_model(
            model, str(target), pip_requirements=_requirements(flavour), serialization_format="cloudpickle"
        )
    else:
        import mlflow.pyfunc

        if not isinstance(model, mlflow.pyfunc.PythonModel):
            raise DataError(
                f"a {type(model).__module__}.{type(model).__qualname__} is of no kind that is saved here",
                expected="a scikit-learn, XGBoost or LightGBM model, an mlflow PythonModel, or a path to its files",
            )
        mlflow.pyfunc.save_model(str(target), python_model=model, pip_requirements=_requirements(flavour))
    return "mlflow-model"


def _requirements(flavour: str) -> list[str]:
    names = ["cloudpickle", "numpy", "pandas", "scikit-learn", "fairlearn"]
    if flavour in ("xgboost", "lightgbm"):
        names.append(flavour)
    return [f"{name}=={metadata.version(name)}" for name in names]


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
            expected="a reachable MLflow 3.1 or newer, and a model it knows",
        ) from error
