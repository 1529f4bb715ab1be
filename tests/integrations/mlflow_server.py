"""A real MLflow server with basic authentication and the governed registry store, in its own process."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parents[2]
READY_SECONDS = 150
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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def entry_points(home: Path) -> list[str]:
    """Return what a process needs on its path to find this checkout's entry points, where nobody has installed them."""
    group = "mlflow.model_registry_store"
    if any(one.name == "governed" for one in metadata.entry_points(group=group)):
        return [str(HERE)]
    declared = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"]
    info = home / "entry-points" / "ml_governance_checkout-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ml-governance-checkout\nVersion: 0\n")
    lines = [
        line for name, points in declared.items() for line in (f"[{name}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return [str(HERE), str(info.parent)]


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
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", backend, "--registry-store-uri", f"governed:{backend}",
        "--artifacts-destination", f"{artifacts}{home / 'artifacts'}",
    ]  # fmt: skip
    command += ["--app-name", "basic-auth"] if auth else []
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, env=environment, start_new_session=True)
    server = Server(url=f"http://127.0.0.1:{port}", home=home)
    try:
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{server.url}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, server.log()
                time.sleep(0.3)
        for name in users if auth else ():
            made = server.call(
                "POST", "/api/2.0/mlflow/users/create", {"username": name, "password": PASSWORD}, user=ADMIN
            )
            assert made.status == 200, made.body
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
