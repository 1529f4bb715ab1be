"""The training hook: START when the body begins, COMPLETE when it ends, FAIL when it raises."""

from __future__ import annotations

import functools
import inspect
import uuid
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, Self, TypeVar, cast

from ml_governance.capture.environment import environment
from ml_governance.capture.lineage_event import EventType, run_event
from ml_governance.errors import DataError, GovernanceError, UsageError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import Content, Registration, Resource
from ml_governance.evidence.predicates import TrainingRun as TrainingRunContent
from ml_governance.evidence.statement import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

MAX_MESSAGE = 500


class Stored(Protocol):
    """What a registry returns for stored bytes; see :class:`ml_governance.promote.registry.StoredVersion`."""

    @property
    def registry(self) -> str: ...  # noqa: D102  described there
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def format(self) -> Literal["mlflow-model", "joblib", "file"]: ...  # noqa: D102
    @property
    def files(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def model_id(self) -> str | None: ...  # noqa: D102


class TrainingRun:
    """One training run, as a context manager or as a decorator that keeps the signature.

    Made by :meth:`ml_governance.workspace.Workspace.training`. A failed body is recorded as FAIL and its
    exception goes on unchanged. Nothing is process-wide: a run is known only where it was handed to.

    Parameters
    ----------
    job : str
        Name of the job.
    record : callable
        ``record(content, subjects)`` signs and appends.
    store : callable
        ``store(model, name=..., run=...)`` puts a model into the registry.
    clock : callable
        Returns the present in UTC.
    namespace : str
        OpenLineage namespace.
    project : str
        Recorded as a parameter of the run.
    """

    def __init__(
        self,
        job: str,
        *,
        record: Callable[[Content, Sequence[Subject]], Any],
        store: Callable[..., Stored],
        clock: Callable[[], datetime],
        namespace: str,
        project: str,
    ) -> None:
        if not job or len(job) > 200:
            raise UsageError(f"the job's name is {job!r}", expected="1 to 200 characters")
        self.job = job
        self._record, self._store, self._clock = record, store, clock
        self._namespace, self._project = namespace, project
        self._reset()

    def _reset(self) -> None:
        self.run_id = str(uuid.uuid4())
        identity = sha256_hex(canonicalise({"job": self.job, "namespace": self._namespace, "runId": self.run_id}))
        self.subject = Subject(name=f"run/{self.job}/{self.run_id[:8]}", sha256=identity)
        self.state = "NEW"
        self._inputs: list[tuple[str, fingerprint.Fingerprint]] = []
        self._outputs: list[Subject] = []
        self._parameters: dict[str, str] = {"project": self._project}

    def __repr__(self) -> str:
        return f"<TrainingRun {self.job} {self.run_id[:8]} {self.state}>"

    def _repr_html_(self) -> str:
        from html import escape

        rows = [("state", self.state), *((f"input {n}", f.sha256[:16]) for n, f in self._inputs)]
        rows += [(f"output {s.name}", s.sha256[:16]) for s in self._outputs]
        cells = "".join(f"<tr><th>{escape(a)}</th><td><code>{escape(b)}</code></td></tr>" for a, b in rows)
        return f"<table><caption>Training run {escape(self.job)}</caption>{cells}</table>"

    # --- as a context manager -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self.state == "RUNNING":
            raise UsageError(
                f"the run {self.run_id[:8]} of {self.job} has begun already",
                expected="one with-block for each run",
            )
        if self.state != "NEW":
            self._reset()
        self._environment = environment()
        self._emit("START")
        self.state = "RUNNING"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._emit("COMPLETE")
            self.state = "COMPLETE"
            return
        self.state = "FAIL"
        message = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
        try:
            self._emit("FAIL", error=message)
        except (GovernanceError, OSError) as second:
            # The body's own exception is what the user must see; that it went unrecorded is added to it.
            error.add_note(f"mlgov: this failed run could not be recorded: {second}")

    # --- as a decorator -------------------------------------------------------------------------------

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function: each call is a run of its own, handed over as ``run`` if the function asks for it."""
        wants_run = "run" in inspect.signature(function).parameters

        def fresh() -> TrainingRun:
            return TrainingRun(
                self.job, record=self._record, store=self._store, clock=self._clock, namespace=self._namespace,
                project=self._project,
            )  # fmt: skip

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
                with fresh() as run:
                    if wants_run:
                        kwargs.setdefault("run", run)
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", asynchronous)

        @functools.wraps(function)
        def synchronous(*args: P.args, **kwargs: P.kwargs) -> R:
            with fresh() as run:
                if wants_run:
                    kwargs.setdefault("run", run)
                return function(*args, **kwargs)

        return synchronous

    # --- what the body says ---------------------------------------------------------------------------

    def uses(self, data: Any, *, name: str) -> Subject:
        """Record an input: a table, file or folder that the run reads.

        Parameters
        ----------
        data : DataFrame, Table, path
            Digested in full; see :mod:`ml_governance.evidence.fingerprint`.
        name : str
            Name of the dataset, for example ``applications-2026q3``.

        Returns
        -------
        Subject
            The dataset with its digest.
        """
        self._running()
        found = fingerprint.of(data)
        self._inputs.append((name, found))
        return Subject(name=name, sha256=found.sha256)

    def log_params(self, parameters: dict[str, Any]) -> None:
        """Record what the run was started with; values become text."""
        self._running()
        for key, value in parameters.items():
            if not isinstance(key, str) or not key:
                raise DataError(f"a parameter is called {key!r}", expected="a name")
            self._parameters[key] = str(value)[:MAX_MESSAGE]

    def produces(self, model: Any, *, name: str) -> Subject:
        """Store a model in the registry, digest exactly what was stored, and record where it is.

        Parameters
        ----------
        model : object or path
            A fitted model, or a file or folder that holds one.
        name : str
            Registered model name.

        Returns
        -------
        Subject
            ``name/version`` with the digest of the stored bytes.
        """
        self._running()
        stored = self._store(model, name=name, run=self.run_id)
        subject = Subject(name=f"{stored.name}/{stored.version}", sha256=stored.sha256)
        content = Registration(
            registry=stored.registry, name=stored.name, version=stored.version, format=stored.format,
            files=stored.files, size=stored.size, model_id=stored.model_id, run=self.subject.sha256,
        )  # fmt: skip
        self._record(content, [subject])
        self._outputs.append(subject)
        return subject

    def _running(self) -> None:
        if self.state != "RUNNING":
            raise UsageError(
                f"the run of {self.job} is not running ({self.state})",
                expected="a call inside its with-block",
            )

    def _emit(self, event_type: EventType, error: str | None = None) -> None:
        event = run_event(
            event_type,
            at=self._clock(),
            namespace=self._namespace,
            job=self.job,
            run_id=self.run_id,
            environment=self._environment,
            parameters=self._parameters,
            inputs=self._inputs,
            outputs=[(subject.name, subject.sha256) for subject in self._outputs],
            error=error,
        )
        content = TrainingRunContent(
            event=event,
            capture="observed",
            inputs=tuple(Resource(name=name, sha256=found.sha256, rows=found.rows) for name, found in self._inputs),
            outputs=tuple(Resource(name=subject.name, sha256=subject.sha256) for subject in self._outputs),
        )
        self._record(content, [self.subject, *self._outputs])
