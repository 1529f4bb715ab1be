"""Every call of MLflow that is not public API, in one place: what a newer MLflow may change stands here.

Tried with MLflow 3.17. What another version does not have raises, and the gate refuses.
"""

from __future__ import annotations

import os
import sys
import urllib.parse
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, GovernanceError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOINED: ContextVar[tuple[int, Any] | None] = ContextVar("joined", default=None)
_AUTH = "mlflow.server.auth"
READ_REPLICA = "_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE"
DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
CLIENTS_CODE = ("MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", "MLFLOW_ENABLE_REMOTE_ASSISTANT")
"""What lets clients run programs on the server; MLflow has both off unless somebody turns them on."""


def abstract_store() -> type:
    """Return the interface that every registry store has."""
    from mlflow.store.model_registry.abstract_store import AbstractStore

    found: type = AbstractStore
    return found


def database_store() -> type:
    """Return the store that MLflow itself would use for a database, the one that knows workspaces where they are on."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    found: type = SqlAlchemyStore
    if os.environ.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("true", "1"):
        from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore

        found = WorkspaceAwareSqlAlchemyStore
    return found


def default_workspace() -> AbstractContextManager[Any]:
    """Act in MLflow's default workspace, where workspaces are on; there is no request that would name one."""
    if not getattr(database_store(), "_workspaces_enabled", lambda: False)():
        return nullcontext()
    from mlflow.utils.workspace_context import ServerWorkspaceContext

    found: AbstractContextManager[Any] = ServerWorkspaceContext("default")
    return found


def check_uri(uri: str) -> None:
    """Refuse what is no database.

    Raises
    ------
    ConfigurationError
        If MLflow would not keep a registry there with its own database store.
    """
    from mlflow.store.db.db_types import DATABASE_ENGINES

    kind = urllib.parse.urlsplit(uri).scheme.partition("+")[0]
    if kind not in DATABASE_ENGINES:
        raise ConfigurationError(
            f"the governed registry is to be kept in {kind or 'nothing'}",
            expected=f"a database: {', '.join(sorted(DATABASE_ENGINES))}",
            next_step="--registry-store-uri governed:postgresql://... or governed:sqlite:////...",
        )


def check_runs_nobodys_code() -> None:
    """Refuse a server that runs what its clients send: such code has the server's key, log and database.

    Raises
    ------
    ConfigurationError
        If a variable of MLflow turns that on, or cannot be read.
    """
    from mlflow import environment_variables

    for name in CLIENTS_CODE:
        known = getattr(environment_variables, name, None)
        try:
            on = known is not None and known.get()
        except ValueError as error:
            raise ConfigurationError(f"{name} cannot be read: {error}", expected="true or false") from error
        if on:
            raise ConfigurationError(
                f"{name} is on, so whoever may write to an experiment runs programs as this server, with its key",
                expected=f"a governed server that runs nobody's code: {name}=false",
                next_step="score on a server or machine of its own that has no key and no database's password",
            )


def make(store: type, uri: str) -> Any:
    """Make a store of a class, with the server's read replica if it has one."""
    replica = os.environ.get(READ_REPLICA)
    made = store(uri, read_db_uri=replica) if replica else store(uri)
    made.ManagedSessionMaker = _Joining(made.ManagedSessionMaker)
    return made


class _Joining:
    """A store's maker of sessions that, within :func:`transaction`, hands out the one that is open."""

    def __init__(self, original: Any) -> None:
        self.original = original

    @contextmanager
    def __call__(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        joined = _JOINED.get()
        if joined is not None and joined[0] == id(self):
            yield joined[1]
            return
        with self.original(*args, **kwargs) as session:
            yield session


@contextmanager
def transaction(store: Any, name: str) -> Iterator[Any]:
    """Let all that a store does run in one transaction that holds a registered model: nobody else changes it meanwhile.

    Raises
    ------
    RegistryError
        If there is no such model, or the store ended the transaction on its own: nothing is done then.
    """
    import sqlalchemy
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModel

    maker = store.ManagedSessionMaker
    with _as_raised(), maker.original(**_writing(maker.original)) as session:
        # A write, even of nothing new, takes the row's lock on every database, and SQLite's only one.
        where = [SqlRegisteredModel.name == name]
        if hasattr(SqlRegisteredModel, "workspace"):
            where.append(SqlRegisteredModel.workspace == store._get_active_workspace())  # noqa: SLF001
        held = session.execute(
            sqlalchemy.update(SqlRegisteredModel)
            .where(*where)
            .values(last_updated_time=SqlRegisteredModel.last_updated_time)
            .execution_options(synchronize_session=False)
        )
        if held.rowcount != 1:
            raise RegistryError(f"there is no registered model {name}", expected="one that exists")
        begun = session.get_transaction()
        before = _JOINED.set((id(maker), session))
        try:
            yield session
            session.flush()
            if session.get_transaction() is not begun:
                raise RegistryError(
                    f"MLflow ended the transaction on {name} while the gate held it", next_step="promote again"
                )
        finally:
            _JOINED.reset(before)


@contextmanager
def _as_raised() -> Iterator[None]:
    """Let our own errors out as they are: MLflow's sessions make each into an error of the server."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__context__, GovernanceError):
            raise error.__context__ from None
        raise


def _writing(maker: Any) -> dict[str, bool]:
    import inspect

    return {"read_only": False} if "read_only" in inspect.signature(maker).parameters else {}


def newest_version(store: Any, session: Any, name: str) -> str | None:
    """Return the newest version of a model that is not deleted."""
    import sqlalchemy
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    where = [SqlModelVersion.name == name, SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL]
    if hasattr(SqlModelVersion, "workspace"):
        where.append(SqlModelVersion.workspace == store._get_active_workspace())  # noqa: SLF001
    found = session.execute(sqlalchemy.select(sqlalchemy.func.max(SqlModelVersion.version)).where(*where)).scalar()
    return None if found is None else str(found)


@contextmanager
def reading(store: Any) -> Iterator[Any]:
    """Hand out a session to read with."""
    with store.ManagedSessionMaker() as session:
        yield session


def artifacts(uri: str, into: Path) -> Path:
    """Return a local path with the bytes at a version's place, through the server's own artifact repository.

    The server's process cannot fetch ``mlflow-artifacts:`` from itself; what it proxies is where ``--artifacts-destination`` says.
    Files that are local already are read where they are: a copy would not show a link for what it is.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("", "file"):
        from mlflow.utils.file_utils import local_file_uri_to_path

        return Path(local_file_uri_to_path(uri))
    if parts.scheme == "mlflow-artifacts":
        # Clients fetch from the host that is named; what lies here under the same path would be judged in its place.
        if parts.netloc not in ("", urllib.parse.urlsplit(os.environ.get(ROOT, "")).netloc):
            raise RegistryError(
                f"the artifacts are at {parts.netloc}, which is another server", expected="this server's artifacts"
            )
        from mlflow.server import handlers
        from mlflow.utils.uri import validate_path_is_safe

        place = validate_path_is_safe(urllib.parse.unquote(parts.path.lstrip("/")))
        if (scoped := getattr(handlers, "_get_workspace_scoped_repo_path_if_enabled", None)) is not None:
            place = scoped(place)
        repository = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001
        local = urllib.parse.urlsplit(repository.artifact_uri).scheme in ("", "file")
        return Path(repository.download_artifacts(place, None if local else str(into)))
    if parts.scheme in ("http", "https", "runs", "models"):
        raise RegistryError(
            f"the artifacts are at {parts.scheme}:, which a server does not fetch for somebody else",
            expected="the server's own artifact store, a bucket, or a local folder",
        )
    return Path(get_artifact_repository(uri).download_artifacts("", str(into)))


def authenticated_user() -> str | None:
    """Return whom this server authenticated for the request at hand, and nobody whom a client merely names.

    An ``Authorization`` header counts only where MLflow's basic-auth app checked just that before: a function that somebody else wrote
    may look at a token or a cookie, and leave a header with another name unread; and some paths MLflow lets everybody ask, such as all
    that begin with ``/static``, also where that is the prefix of the whole server.
    """
    import flask

    if not flask.has_request_context():
        return None
    known = getattr(flask.g, "mlflow_authenticated_user", None)
    if known is not None:
        return str(known)
    checks = flask.current_app.before_request_funcs.get(None, ())
    if not any(getattr(check, "__module__", "") == _AUTH for check in checks):
        return None
    app = sys.modules.get(_AUTH)
    configured, unchecked = getattr(app, "auth_config", None), getattr(app, "is_unprotected_route", None)
    if getattr(configured, "authorization_function", None) != f"{_AUTH}:authenticate_request_basic_auth":
        return None
    if unchecked is None or unchecked(flask.request.path):
        return None
    given = flask.request.authorization
    return str(given.username) if given is not None and given.username else None


def is_prompt(model: Any) -> bool:
    """Tell whether a registered model is a prompt."""
    return str((getattr(model, "_tags", None) or {}).get("mlflow.prompt.is_prompt", "")).lower() == "true"


def refusal(message: str) -> Exception:
    """Return the error that MLflow answers with 403, which no client tries again."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    error: Exception = MlflowException(message, error_code=PERMISSION_DENIED)
    return error


def is_refusal(error: BaseException) -> bool:
    """Tell whether MLflow answers an error with a status of 400 to 499, which is the client's."""
    status = getattr(error, "get_http_status_code", None)
    return status is not None and 400 <= status() < 500
