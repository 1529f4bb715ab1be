"""What goes wrong around a run: in its body, in its process, and in our own hook."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ml_governance as gov
from ml_governance.errors import LedgerError, RegistryError, UnrecordedError, UsageError
from ml_governance.promote.registry import load
from ml_governance.testing import workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ml_governance import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ws(tmp_path: Path) -> Any:
    with workspace(tmp_path / "ws", signer="author") as made:
        yield made
        vars(made.writer).pop("record_all", None)  # a door that a test has shut


def ends(ws: Workspace) -> list[str]:
    return [a.content.event["eventType"] for a in ws.view().of_kind("training-run")]  # type: ignore[attr-defined]


def facets(ws: Workspace) -> list[dict[str, Any]]:
    return [a.content.event["run"]["facets"] for a in ws.view().of_kind("training-run")]  # type: ignore[attr-defined]


# --- the process ----------------------------------------------------------------------------------------------

KILLED = """
import sys, time, pathlib
import ml_governance as gov
from ml_governance.testing import FrozenClock
from ml_governance.workspace.opening import open_workspace
with open_workspace(sys.argv[1], signer="author", clock=FrozenClock()) as ws, ws.training("credit") as run:
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("sent", "said"), [(signal.SIGKILL, ["START"]), (signal.SIGINT, ["START", "ABORT"])], ids=["kill -9", "Ctrl-C"]
)
def test_a_run_that_is_killed_has_no_end_and_the_doctor_says_so(
    tmp_path: Path, sent: signal.Signals, said: list[str]
) -> None:
    workspace(tmp_path / "ws").close()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "ws"), str(tmp_path / "began")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(sent)
    process.communicate(timeout=60)
    with gov.open(tmp_path / "ws") as ws:
        assert ends(ws) == said
        told = [one.what for one in ws.doctor().complaints if one.check == "training"]
        assert len(told) == (sent == signal.SIGKILL)
        assert all("author started at" in one and "no end" in one for one in told)


def test_a_process_forked_inside_the_body_does_not_end_the_run_of_its_parent(tmp_path: Path) -> None:
    own = workspace(tmp_path / "own", signer="author")
    run = own.training("credit")
    run.__enter__()
    child = os.fork()
    if child == 0:
        run.__exit__(RuntimeError, RuntimeError("in a worker that returned too far"), None)
        os._exit(0)
    os.waitpid(child, 0)
    assert ends(own) == ["START"]
    run.__exit__(None, None, None)
    assert ends(own) == ["START", "COMPLETE"]
    own.close()


# --- retries --------------------------------------------------------------------------------------------------


def test_the_same_block_again_after_a_failure_is_another_attempt_linked_to_the_first(ws: Workspace) -> None:
    run = ws.training("credit")
    for failing in (True, True, False):
        try:
            with run:
                if failing:
                    raise ValueError("not yet")
        except ValueError:
            pass
    assert ends(ws) == ["START", "FAIL", "START", "FAIL", "START", "COMPLETE"]
    runs = [a.content.event["run"] for a in ws.view().of_kind("training-run")][::2]  # type: ignore[attr-defined]
    tries = [one["facets"].get("mlgov_attempt", {}) for one in runs]
    assert [one.get("number") for one in tries] == [None, 2, 3]
    assert [one.get("previous") for one in tries] == [None, runs[0]["runId"], runs[1]["runId"]]


def test_a_run_after_a_complete_one_is_no_retry_and_one_in_another_process_can_be_linked(ws: Workspace) -> None:
    run = ws.training("credit")
    with run:
        first = run.run_id
    with run:
        pass
    assert run.attempt is None
    with ws.training("credit", attempt_of=first) as other:
        assert other.attempt is not None and other.attempt.previous == first
    assert facets(ws)[-1]["mlgov_attempt"]["previous"] == first


def test_the_doctor_says_which_run_a_dead_one_was_tried_again_as(ws: Workspace) -> None:
    dead = ws.training("credit")
    dead.__enter__()
    with ws.training("credit", attempt_of=dead) as again:
        pass
    (told,) = [one.what for one in ws.doctor().complaints if one.check == "training"]
    assert again.subject.name in told


# --- threads, coroutines, generators --------------------------------------------------------------------------


def test_runs_in_threads_have_sessions_of_their_own_and_none_gets_lost(ws: Workspace) -> None:
    @ws.training("credit")
    def fit(number: int, run: Any = None) -> str:
        return str(run.produces({"n": number}, name="credit").name)

    assert ws.writer.keyid  # this thread's own session is open
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(fit, range(8)))
    assert len(set(made)) == 8
    assert sorted(ends(ws)) == ["COMPLETE"] * 8 + ["START"] * 8
    registered = [a.subjects[0].name for a in ws.view().of_kind("registration")]
    assert sorted(registered) == sorted(made)
    assert not [one for one in ws.doctor().complaints if one.check == "training"]


def test_what_other_threads_say_about_a_run_is_recorded_with_its_end(ws: Workspace) -> None:
    with ws.training("credit") as run:
        worker = threading.Thread(target=lambda: run.produces({"w": 1}, name="credit"))
        worker.start()
        worker.join()
        assert ws.view().of_kind("registration") == ()
    assert len(ws.view().of_kind("registration")) == 1
    assert ends(ws) == ["START", "COMPLETE"]


def test_concurrent_coroutines_are_runs_of_their_own(ws: Workspace) -> None:
    @ws.training("credit")
    async def fit(seconds: float, run: Any = None) -> str:
        await asyncio.sleep(seconds)
        return str(run.run_id)

    async def both() -> list[str]:
        return await asyncio.gather(fit(0.05), fit(0.01))

    assert len(set(asyncio.run(both()))) == 2
    assert ends(ws) == ["START", "START", "COMPLETE", "COMPLETE"]


def test_a_cancelled_coroutine_is_aborted(ws: Workspace) -> None:
    @ws.training("credit")
    async def fit() -> None:
        await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(fit())
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert ends(ws) == ["START", "ABORT"]


def test_the_run_of_a_generator_lasts_until_its_last_value(ws: Workspace) -> None:
    @ws.training("credit")
    def epochs(run: Any = None) -> Iterator[int]:
        yield from range(3)

    values = epochs()
    assert ends(ws) == []
    assert next(values) == 0 and ends(ws) == ["START"]
    assert list(values) == [1, 2] and ends(ws) == ["START", "COMPLETE"]
    values = epochs()
    next(values)
    values.close()  # type: ignore[attr-defined]
    assert ends(ws)[2:] == ["START", "ABORT"]


def test_the_run_of_an_asynchronous_generator_too(ws: Workspace) -> None:
    @ws.training("credit")
    async def epochs() -> AsyncIterator[int]:
        for epoch in range(3):
            yield epoch

    async def collected() -> list[int]:
        values = epochs()
        first = await anext(values)  # type: ignore[call-overload]
        assert ends(ws) == ["START"]
        return [first] + [epoch async for epoch in values]

    assert asyncio.run(collected()) == [0, 1, 2]
    assert ends(ws) == ["START", "COMPLETE"]


def test_a_failing_step_fails_the_runs_around_it_and_no_other(ws: Workspace) -> None:
    with pytest.raises(ValueError), ws.training("a") as run:
        with run.step("good"):
            pass
        with run.step("bad"):
            raise ValueError
    assert ends(ws) == ["START", "START", "COMPLETE", "START", "FAIL", "FAIL"]


# --- our own hook ---------------------------------------------------------------------------------------------


class Full:
    """A ledger's door that is shut from some record on, as on a full disk."""

    def __init__(self, ws: Workspace, after: int) -> None:
        self.writer, self.after, self.shut = ws.writer, after, True
        self.original = ws.writer.record_all

    def __call__(self, records: Any, **kwargs: Any) -> Any:
        if self.shut and self.after <= 0:
            raise LedgerError("the disk is full")
        self.after -= 1
        return self.original(records, **kwargs)


def full(ws: Workspace, after: int) -> Full:
    door = Full(ws, after)
    ws.writer.record_all = door  # type: ignore[method-assign]
    return door


def test_a_ledger_that_takes_nothing_is_told_before_the_training_begins(ws: Workspace) -> None:
    full(ws, 0)
    with pytest.raises(LedgerError, match="disk is full"), ws.training("credit"):
        pytest.fail("the body ran")


def test_a_ledger_that_is_full_later_stops_no_training_and_loses_no_model(ws: Workspace) -> None:
    door = full(ws, 1)
    run, went_on = ws.training("credit"), False
    with pytest.raises(UnrecordedError, match="could not be recorded: the disk is full") as caught, run:
        with pytest.warns(UserWarning, match="not recorded yet"):
            model = run.produces({"weights": [1]}, name="credit")
        went_on = True
    assert went_on and caught.value.exit_code == 5
    assert load(ws.registry.artifact("credit", "1")) == {"weights": [1]}
    # Nothing counts until it is recorded, and then all of it does.
    assert ws.view().of_kind("registration") == () and ends(ws) == ["START"]
    with pytest.raises(LedgerError):
        caught.value.run.settle()
    door.shut = False
    caught.value.run.settle()
    assert ws.registration(model, ws.view()).run == run.subject.sha256
    assert ends(ws) == ["START", "COMPLETE"] and run.state == "COMPLETE"
    with pytest.raises(UsageError, match="nothing of the run"):
        run.settle()


def test_what_a_function_returned_comes_with_the_exception(ws: Workspace) -> None:
    @ws.training("credit")
    def fit() -> dict[str, int]:
        return {"weights": 1}

    full(ws, 1)
    with pytest.raises(UnrecordedError) as caught:
        fit()
    assert caught.value.result == {"weights": 1}


def test_an_unrecorded_run_is_not_begun_again_over_what_waits(ws: Workspace) -> None:
    full(ws, 1)
    run = ws.training("credit")
    with pytest.raises(UnrecordedError), run:
        pass
    with pytest.raises(UsageError, match="not recorded yet"), run:
        pass


def test_a_model_that_the_registry_does_not_take_is_kept_and_the_run_fails(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise RegistryError("the registry cannot be reached")

    monkeypatch.setattr(ws.registry, "store", unreachable)
    run = ws.training("credit")
    with (
        pytest.raises(UnrecordedError, match="cannot be reached") as caught,
        run,
        pytest.warns(UserWarning, match="is kept in"),
    ):
        lost = run.produces({"weights": [1]}, name="credit")
    assert lost.name == "credit/unregistered"
    (folder,) = list((ws.root / "rescued" / run.run_id).iterdir())
    assert str(folder) in caught.value.found and load(folder) == {"weights": [1]}
    assert ends(ws) == ["START", "FAIL"]
    monkeypatch.undo()
    with ws.training("credit", attempt_of=run) as again:
        assert again.produces(folder, name="credit").sha256 == lost.sha256


def test_what_is_wrong_with_the_call_itself_is_told_at_once(ws: Workspace) -> None:
    with pytest.raises(UsageError, match="cannot name a model"), ws.training("credit") as run:
        run.produces({}, name="../escape")
    assert not (ws.root / "rescued").exists()
