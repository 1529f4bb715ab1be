"""Real MLflow servers for the tests, and processes in which our plugins are registered as an installation does it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 150


def installed(folder: Path, **entry_points: str) -> str:
    """Write what an installer writes for our entry points, or for others, and return a PYTHONPATH that has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = entry_points or {
        group: "\n".join(f"{name} = {value}" for name, value in points.items())
        for group, points in project["entry-points"].items()
    }
    home = folder / "ml_governance-0.1.0.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: ml-governance\nVersion: 0.1.0\n")
    (home / "entry_points.txt").write_text("".join(f"[{group}]\n{lines}\n" for group, lines in groups.items()))
    return os.pathsep.join((str(folder), str(ROOT)))


def python(text: str, *arguments: str, path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which ends well."""
    # Some versions of MLflow leave the experiment of this process in its environment.
    lent = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_") or name in lent}
    environment["PYTHONPATH"] = path
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text, *arguments], cwd=cwd, env=environment, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(
    home: Path, *options: str, port: int, destination: str = "", environment: dict[str, str] | None = None
) -> Iterator[str]:
    """Run an MLflow server that proxies artifacts until the end of the block, on SQLite where the options name nothing else."""
    options = options or ("--backend-store-uri", f"sqlite:///{home / 'server.db'}")
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--artifacts-destination", f"{destination}{home / 'artifacts'}", *options,
    ]  # fmt: skip
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (home / "log.txt").read_text()
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
