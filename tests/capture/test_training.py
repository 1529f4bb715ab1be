from __future__ import annotations

import asyncio
import inspect
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml_governance import Workspace
from ml_governance.capture.environment import environment
from ml_governance.errors import DataError, UsageError
from ml_governance.evidence.predicates import TrainingRun
from ml_governance.testing import workspace

DATA = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


@pytest.fixture
def ws(tmp_path: Path) -> Any:
    with workspace(tmp_path / "ws", signer="author") as made:
        yield made


def events(ws: Workspace) -> list[TrainingRun]:
    return [a.content for a in ws.view().of_kind("training-run") if isinstance(a.content, TrainingRun)]


def test_a_run_is_recorded_from_start_to_end(ws: Workspace) -> None:
    with ws.training("credit") as run:
        data = run.uses(DATA, name="applications")
        run.log_params({"depth": 3})
        model = run.produces({"weights": [1, 2]}, name="credit-risk")
    start, complete = events(ws)
    assert (start.event["eventType"], complete.event["eventType"]) == ("START", "COMPLETE")
    assert complete.inputs[0].sha256 == data.sha256
    assert complete.outputs[0].sha256 == model.sha256
    assert start.event["run"]["runId"] == complete.event["run"]["runId"] == run.run_id
    assert {"key": "depth", "value": "3"} in complete.event["run"]["facets"]["executionParameters"]["parameters"]
    assert ws.registration(model, ws.view()).run == run.subject.sha256
    assert "COMPLETE" in repr(run) and "credit-risk/1" in run._repr_html_()


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ValueError("no convergence"), "FAIL"), (SystemExit(3), "FAIL"),
        (KeyboardInterrupt(), "ABORT"), (asyncio.CancelledError(), "ABORT"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_failed_body_is_recorded_and_its_exception_goes_on_unchanged(
    ws: Workspace, error: BaseException, end: str
) -> None:
    with pytest.raises(type(error)) as caught, ws.training("credit"):
        raise error
    assert caught.value is error
    start, fail = events(ws)
    assert (start.event["eventType"], fail.event["eventType"]) == ("START", end)
    assert type(error).__name__ in fail.event["run"]["facets"]["errorMessage"]["message"]


def test_a_failure_that_cannot_be_recorded_still_raises_the_body_s_own_exception(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.errors import LedgerError

    with pytest.raises(ValueError, match="mine") as caught, ws.training("credit"):
        monkeypatch.setattr(ws.writer, "record_all", lambda *_: (_ for _ in ()).throw(LedgerError("the disk is full")))
        raise ValueError("mine")
    monkeypatch.delattr(ws.writer, "record_all")
    assert "could not be recorded" in caught.value.__notes__[0]


def test_as_a_decorator_the_signature_stays(ws: Workspace) -> None:
    @ws.training("credit")
    def fit(table: pd.DataFrame, *, depth: int = 3, run: Any = None) -> int:
        """Fit something."""
        run.log_params({"depth": depth})
        return len(table)

    assert list(inspect.signature(fit).parameters) == ["table", "depth", "run"]
    assert (fit.__name__, fit.__doc__) == ("fit", "Fit something.")
    assert fit(DATA) == fit(DATA, depth=4) == 3
    assert [e.event["eventType"] for e in events(ws)] == ["START", "COMPLETE"] * 2
    assert len({e.event["run"]["runId"] for e in events(ws)}) == 2


def test_coroutines_are_runs_too(ws: Workspace) -> None:
    @ws.training("credit")
    async def fit() -> str:
        await asyncio.sleep(0)
        return "done"

    assert asyncio.run(fit()) == "done"
    assert [e.event["eventType"] for e in events(ws)] == ["START", "COMPLETE"]


def test_calls_outside_the_block_and_strange_names_are_refused(ws: Workspace) -> None:
    run = ws.training("credit")
    for call in (lambda: run.uses(DATA, name="x"), lambda: run.produces(1, name="m"), lambda: run.log_params({})):
        with pytest.raises(UsageError, match="not running"):
            call()
    with run, pytest.raises(UsageError, match="has begun already"):
        run.__enter__()
    with pytest.raises(UsageError, match="1 to 200"):
        ws.training("")
    with pytest.raises(DataError), ws.training("credit") as other:
        other.produces({}, name="../escape")


def test_the_environment_names_versions_and_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    described = environment()
    assert described["packages"]["pandas"] == pd.__version__
    assert len(described["packagesDigest"]) == 64
    text = json.dumps(described)
    for private in ("hunter2", os.getcwd(), os.uname().nodename if len(os.uname().nodename) > 3 else "hunter2"):
        assert private not in text
