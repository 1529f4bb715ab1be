"""A real MLflow server with basic authentication and the governed registry store, in its own process."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integrations import mlflow_house
from tests.integrations.mlflow_house import free_port

__all__ = ["free_port"]

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
ADMIN = "root-admin"


@dataclass(slots=True, frozen=True)
class Answer:
    """Status and body of an HTTP answer."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Server:
    """A running server."""

    url: str
    home: Path

    def call(
        self, method: str, path: str, body: Any = None, *, user: str | None = "max", data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Speak plain HTTP, as no client of MLflow would."""
        sent = data if data is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=sent, method=method)
        request.add_header("Content-Type", "application/json")
        if user is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode())
        for key, value in (headers or {}).items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())

    def log(self) -> str:
        return (self.home / "log.txt").read_text()


def entry_points(home: Path) -> list[str]:
    """Return what a process needs on its path to find this checkout's entry points, where nobody has installed them."""
    group = "mlflow.model_registry_store"
    if any(one.name == "governed" for one in metadata.entry_points(group=group)):
        return [str(HERE)]
    return mlflow_house.installed(home / "entry-points").split(os.pathsep)


@contextmanager
def running(
    home: Path,
    port: int,
    *,
    workspace: Path,
    users: tuple[str, ...],
    backend: str | None = None,
    auth: bool = True,
    artifacts: str = "",
) -> Iterator[Server]:
    """Run a server until the end of the block."""
    (home / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = MANAGE\ndatabase_uri = sqlite:///{home / 'auth.db'}\nadmin_username = {ADMIN}\n"
        f"admin_password = {PASSWORD}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 600\n"
    )
    backend = backend or f"sqlite:///{home / 'server.db'}"
    environment = {
        **os.environ, "MLGOV_WORKSPACE": str(workspace), "MLGOV_SIGNER": "server", "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test alone", "PYTHONPATH": os.pathsep.join(entry_points(home)),
        "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    }  # fmt: skip
    options = ["--backend-store-uri", backend, "--registry-store-uri", f"governed:{backend}"]
    options += ["--app-name", "basic-auth"] if auth else []
    with mlflow_house.running(home, *options, port=port, destination=artifacts, environment=environment) as url:
        server = Server(url=url, home=home)
        for name in users if auth else ():
            made = server.call(
                "POST", "/api/2.0/mlflow/users/create", {"username": name, "password": PASSWORD}, user=ADMIN
            )
            assert made.status == 200, made.body
        yield server
