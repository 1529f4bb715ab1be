"""Training in the cells of a real Jupyter kernel, which is a process of its own that outlives its cells."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

import ml_governance as gov
from ml_governance.evidence.predicates import TrainingRun
from ml_governance.testing import workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.stacks,
    pytest.mark.skipif(
        find_spec("jupyter_client") is None or find_spec("ipykernel") is None, reason="Jupyter is not installed"
    ),
    pytest.mark.filterwarnings("ignore"),  # of Jupyter's own modules
]
SECONDS = 180
OPENING = "import time, ml_governance as gov\nws = gov.open({root!r}, signer='author')"
FAILING = "with ws.training('credit') as run:\n    raise ValueError('bad rows')"
LONG = "with ws.training('credit') as run:\n    print('inside', flush=True)\n    time.sleep(600)"
GOOD = (
    "from pathlib import Path\nPath('weights.txt').write_text('1 2 3')\n"
    "with ws.training('credit') as run:\n    version = run.produces('weights.txt', name='credit')\n"
    "print(version.name, version.sha256)"
)


class Notebook:
    """Cells, run one after another in one kernel."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self._client = manager, client

    def run(self, cell: str, *, when_it_says: str | None = None, do: Any = None) -> tuple[str, str]:
        """Run a cell; return the name of its error, or nothing, and what it printed."""
        self._client.execute(cell)
        printed, error = "", ""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            message = self._client.get_iopub_msg(timeout=SECONDS)
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
                if when_it_says is not None and when_it_says in printed:
                    when_it_says = None
                    do()
                    if not self.manager.is_alive():
                        return "killed", printed
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return error, printed
        raise AssertionError(f"the cell did not end:\n{cell}\n{printed}")


@contextmanager
def kernel(folder: Path) -> Iterator[Notebook]:
    """Start a kernel with what this process can import; it is dead at the end of the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import KernelManager

    spec = folder / "kernels" / "here"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "here", "language": "python"}))
    manager = KernelManager(
        kernel_name="here", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "IPYTHONDIR": str(folder / "ipython")}
    manager.start_kernel(env=environment, cwd=str(folder))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=SECONDS)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    workspace(tmp_path / "ws").close()
    return tmp_path / "ws"


def events(root: Path) -> list[str]:
    with gov.open(root, signer=None) as ws:
        found = [one.content for one in ws.view().of_kind(TrainingRun.kind)]
    return [one.event["eventType"] for one in found if isinstance(one, TrainingRun)]


def test_cells_that_fail_are_interrupted_and_succeed_each_leave_their_own_record(root: Path, tmp_path: Path) -> None:
    with kernel(tmp_path) as notebook:
        assert notebook.run(OPENING.format(root=str(root))) == ("", "")
        assert notebook.run(FAILING)[0] == "ValueError"
        assert events(root) == ["START", "FAIL"]
        stopped, _ = notebook.run(LONG, when_it_says="inside", do=notebook.manager.interrupt_kernel)
        assert stopped == "KeyboardInterrupt"
        assert events(root) == ["START", "FAIL", "START", "ABORT"]
        error, printed = notebook.run(GOOD)
        assert error == "" and printed.startswith("credit/1 ")
        assert events(root)[4:] == ["START", "COMPLETE"]
        assert notebook.run("ws.close()") == ("", "")
    with gov.open(root, signer=None) as ws:
        assert ws.resolve("credit/1").sha256 == printed.split()[1]
        assert not [one for one in ws.doctor().complaints if "has no end" in one.what]


def test_the_same_cell_run_again_is_a_try_that_is_linked_to_the_one_before(root: Path, tmp_path: Path) -> None:
    with kernel(tmp_path) as notebook:
        notebook.run(OPENING.format(root=str(root)) + "\nrun, tries = ws.training('credit'), 0")
        cell = "with run:\n    tries += 1\n    assert tries > 1, 'not yet'"
        assert [notebook.run(cell)[0] for _ in range(2)] == ["AssertionError", ""]
    assert events(root) == ["START", "FAIL", "START", "COMPLETE"]
    with gov.open(root, signer=None) as ws:
        first, _, second, _ = (one.content.event["run"] for one in ws.view().of_kind(TrainingRun.kind))  # type: ignore[attr-defined]
    assert "mlgov_attempt" not in first["facets"]
    assert first["runId"] in json.dumps(second["facets"]["mlgov_attempt"])


def test_a_kernel_that_is_killed_inside_a_cell_leaves_a_start_that_doctor_names(root: Path, tmp_path: Path) -> None:
    with kernel(tmp_path) as notebook:
        notebook.run(OPENING.format(root=str(root)))

        def kill() -> None:
            notebook.manager.shutdown_kernel(now=True)

        assert notebook.run(LONG, when_it_says="inside", do=kill)[0] == "killed"
    assert events(root) == ["START"]
    with gov.open(root, signer=None) as ws:
        assert [one for one in ws.doctor().complaints if "has no end" in one.what]
