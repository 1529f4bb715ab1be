"""Functions as runs: plain ones, coroutines, generators and asynchronous generators, with their signatures kept."""

from __future__ import annotations

import functools
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from ml_governance.errors import UnrecordedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ml_governance.capture.training import TrainingRun

P = ParamSpec("P")
R = TypeVar("R")


def wrapped(template: TrainingRun, function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of which each call is a run of its own, handed over as ``run`` if it asks for it.

    A generator's run lasts from its first value to its last; closed before its end, it is ABORT. Where a call ends and
    cannot be recorded, the exception carries what the function returned.
    """
    wants_run = "run" in inspect.signature(function).parameters

    def begun(kwargs: Any) -> TrainingRun:
        run = template.again()
        if wants_run:
            kwargs.setdefault("run", run)
        return run

    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return cast("Callable[P, R]", _of_generator(function, begun))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
            run, value = begun(kwargs), None
            try:
                with run:
                    value = await function(*args, **kwargs)
            except UnrecordedError as error:
                _give_back(error, run, value)
                raise
            return value

        return cast("Callable[P, R]", asynchronous)

    @functools.wraps(function)
    def synchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
        run, value = begun(kwargs), None
        try:
            with run:
                value = function(*args, **kwargs)
        except UnrecordedError as error:
            _give_back(error, run, value)
            raise
        return value

    return cast("Callable[P, R]", synchronous)


def _of_generator(function: Callable[..., Any], begun: Callable[[Any], TrainingRun]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def streaming(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            with begun(kwargs):
                async with aclosing(function(*args, **kwargs)) as values:
                    async for value in values:
                        yield value

        return streaming

    @functools.wraps(function)
    def yielding(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with begun(kwargs):
            return (yield from function(*args, **kwargs))

    return yielding


def _give_back(error: UnrecordedError, run: TrainingRun, value: Any) -> None:
    if error.run is run:  # else it is that of a run inside the function
        error.result = value
