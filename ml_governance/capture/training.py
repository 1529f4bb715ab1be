"""The training hook: START when the body begins, COMPLETE when it ends, FAIL when it raises, ABORT when it is stopped.

What fails in the hook itself never costs a model. Before the body begins, it is raised: nothing is lost yet. Inside the
body it waits: a model that the registry does not take is kept beside the workspace, a record that the ledger does not
take is kept in memory. At the end it is raised as :class:`~ml_governance.errors.UnrecordedError`, and until
:meth:`TrainingRun.settle` succeeds there is no evidence, so that no gate lets the model through.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from ml_governance.capture import serialisation
from ml_governance.capture.environment import environment
from ml_governance.capture.lineage_event import Attempt, EventType, Parent, RunRef, run_event
from ml_governance.capture.orchestrator import from_environment
from ml_governance.errors import DataError, GovernanceError, UnrecordedError, UsageError, VerificationError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import Registration, Resource
from ml_governance.evidence.predicates import TrainingRun as TrainingRunContent
from ml_governance.evidence.statement import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from ml_governance.capture.wiring import Tracker, Wiring
    from ml_governance.evidence.wire import Content

P = ParamSpec("P")
R = TypeVar("R")

MAX_MESSAGE = 500
STOPPED = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""Ends that somebody wanted: ABORT, where any other exception is FAIL."""


class TrainingRun:
    """One training run, as a context manager or as a decorator that keeps the signature.

    Made by :meth:`ml_governance.workspace.Workspace.training`. A failed body is recorded as FAIL and its
    exception goes on unchanged. Nothing is process-wide: a run is known only where it was handed to. It may be
    handed to other threads; the thread that began it ends it.

    Parameters
    ----------
    job : str
        Name of the job.
    wiring : Wiring
        What it is connected to.
    parent : TrainingRun or Parent, optional
        What it is a step of; default is what an orchestrator put into the environment.
    attempt_of : TrainingRun or str, optional
        The run that is tried again.
    """

    def __init__(
        self,
        job: str,
        *,
        wiring: Wiring,
        parent: TrainingRun | Parent | None = None,
        attempt_of: TrainingRun | str | None = None,
    ) -> None:
        if not job or len(job) > 200:
            raise UsageError(f"the job's name is {job!r}", expected="1 to 200 characters")
        self.job = job
        self._wiring, self._above = wiring, parent
        self._reset(attempt_of)

    def _reset(self, attempt_of: TrainingRun | str | None) -> None:
        self.attempt = _after(attempt_of)
        self.run_id = str(uuid.uuid4())
        self.ref = RunRef(namespace=self._wiring.namespace, job=self.job, run_id=self.run_id)
        identity = {"job": self.job, "namespace": self._wiring.namespace, "runId": self.run_id}
        self.subject = Subject(name=f"run/{self.job}/{self.run_id[:8]}", sha256=sha256_hex(canonicalise(identity)))
        self.state = "NEW"
        self.parent: Parent | None = None
        self._inputs: list[tuple[str, fingerprint.Fingerprint]] = []
        self._outputs: list[Subject] = []
        self._written: dict[str, dict[str, Any]] = {}
        self._parameters: dict[str, str] = {"project": self._wiring.project}
        self._waiting: list[tuple[Content, Sequence[Subject]]] = []
        self._lost: list[str] = []

    def __repr__(self) -> str:
        return f"<TrainingRun {self.job} {self.run_id[:8]} {self.state}>"

    def _repr_html_(self) -> str:
        from html import escape

        rows = [("state", self.state), *((f"input {n}", f.sha256[:16]) for n, f in self._inputs)]
        rows += [(f"output {s.name}", s.sha256[:16]) for s in self._outputs]
        cells = "".join(f"<tr><th>{escape(a)}</th><td><code>{escape(b)}</code></td></tr>" for a, b in rows)
        return f"<table><caption>Training run {escape(self.job)}</caption>{cells}</table>"

    def again(self) -> TrainingRun:
        """Return a new run of the same job in the same place."""
        return TrainingRun(self.job, wiring=self._wiring, parent=self._above)

    def step(self, job: str) -> TrainingRun:
        """Return a run that is a step of this one.

        Parameters
        ----------
        job : str
            Name of the step; the job is then called ``<this job>.<step>``.
        """
        self._running()
        return TrainingRun(f"{self.job}.{job}", wiring=self._wiring, parent=self)

    # --- as a context manager -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        named = f"the run {self.run_id[:8]} of {self.job}"
        if self.state == "RUNNING":
            raise UsageError(f"{named} has begun already", expected="one with-block for each run")
        if self.state == "UNRECORDED":
            raise UsageError(f"{named} is not recorded yet", expected="settle() first")
        if self.state != "NEW":
            # The same block once more after it failed is another try; after it was done, it is another run.
            self._reset(None if self.state == "COMPLETE" else self)
        self._place()
        self._environment = environment()
        self._pid, self._thread = os.getpid(), threading.get_ident()
        self._recorder = self._wiring.recorder()
        try:
            self._recorder.record_all([self._event("START")])
            if self._wiring.tracker is not None:
                self._wiring.tracker.begin(
                    self.ref, self._above.run_id if isinstance(self._above, TrainingRun) else None
                )
        except BaseException:
            self._recorder.close()
            raise
        self.state = "RUNNING"
        return self

    def _place(self) -> None:
        """Find out what the run is a step of, and which try it is."""
        if isinstance(self._above, TrainingRun):
            self.parent = Parent.of(self._above.ref, self._above.parent)
        elif self._above is not None:
            self.parent = self._above
        elif (found := from_environment(os.environ)) is not None:
            self.parent = found.parent
            if self.attempt is None and found.attempt is not None:
                self.attempt = Attempt(number=found.attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return  # a process that was forked inside the body; the run is its parent's to end
        event, said = "COMPLETE", None
        if error is not None:
            event = "ABORT" if isinstance(error, STOPPED) else "FAIL"
            said = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
        elif self._lost:
            event, said = "FAIL", "; ".join(self._lost)[:MAX_MESSAGE]
        self._waiting.append(self._event(event, said))  # type: ignore[arg-type]  # one of the three
        self._ending = event
        try:
            self._recorder.record_all(self._waiting)
            self._waiting, self.state = [], event
        except (GovernanceError, OSError) as second:
            self.state = "UNRECORDED"
            if error is None:
                raise UnrecordedError(
                    f"the run {self.run_id[:8]} of {self.job} ended, and could not be recorded: {_found(second)}"
                    + "".join(f"; {one}" for one in self._lost),
                    expected="a ledger that takes records; what was made is kept, and without evidence nothing lets it through",
                    next_step="mend the ledger, then call settle() of the exception's run, in this process",
                    run=self,
                ) from second
            # The body's own exception is what the user must see; that it went unrecorded is added to it.
            error.add_note(f"mlgov: this failed run could not be recorded: {second}")
        finally:
            self._let_go()
        if error is None and self._lost:
            raise UnrecordedError(
                "; ".join(self._lost),
                expected="a registry that takes models; the run is recorded as failed",
                next_step="mend the registry, and give the kept folder to produces() in a new run",
                run=self,
            )

    def _let_go(self) -> None:
        self._show(lambda tracker: tracker.end(self.run_id, self.state))
        try:
            self._recorder.close()
        except (GovernanceError, OSError) as error:
            warnings.warn(f"mlgov: the session of this run has no closing record: {error}", stacklevel=3)

    def settle(self) -> None:
        """Record what could not be recorded when the run ended; all of it or nothing.

        Raises
        ------
        UsageError
            If nothing waits.
        LedgerError
            If the ledger still takes nothing; call it again.
        """
        if self.state != "UNRECORDED":
            raise UsageError(
                f"nothing of the run of {self.job} waits ({self.state})", expected="a run that is UNRECORDED"
            )
        recorder = self._wiring.recorder()
        try:
            recorder.record_all(self._waiting)
        finally:
            recorder.close()
        self._waiting, self.state = [], self._ending

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function: each call is a run of its own, handed over as ``run`` if the function asks for it."""
        from ml_governance.capture.wrapping import wrapped

        return wrapped(self, function)

    # --- what the body says ---------------------------------------------------------------------------

    def uses(self, data: Any, *, name: str | Subject) -> Subject:
        """Record an input: a table, file or folder that the run reads.

        Parameters
        ----------
        data : DataFrame, Table, path
            Digested in full; see :mod:`ml_governance.evidence.fingerprint`.
        name : str or Subject
            Name of the dataset, for example ``applications-2026q3``; or what an earlier step wrote, and then the data
            must be exactly that.

        Returns
        -------
        Subject
            The dataset with its digest.

        Raises
        ------
        VerificationError
            If the data are not what the earlier step wrote.
        """
        self._running()
        found = fingerprint.of(data)
        if isinstance(name, Subject):
            if found.sha256 != name.sha256:
                raise VerificationError(
                    f"the data have the digest sha256:{found.sha256}",
                    expected=f"sha256:{name.sha256}, which is {name.name} as it was written",
                    next_step="find out what changed them between the steps",
                )
            name = name.name
        subject = Subject(name=name, sha256=found.sha256)
        self._inputs.append((name, found))
        self._show(lambda tracker: tracker.used(self.run_id, subject.name, found))
        return subject

    def writes(self, data: Any, *, name: str) -> Subject:
        """Record an output that is no model, such as a table of features, by digest; nothing is copied.

        Parameters
        ----------
        data : DataFrame, Table, path
            What the run made.
        name : str
            Name of the dataset.

        Returns
        -------
        Subject
            Hand it to :meth:`uses` of the next step.
        """
        self._running()
        subject = Subject(name=name, sha256=fingerprint.of(data).sha256)
        self._outputs.append(subject)
        return subject

    def log_params(self, parameters: dict[str, Any]) -> None:
        """Record what the run was started with; values become text."""
        self._running()
        said = {}
        for key, value in parameters.items():
            if not isinstance(key, str) or not key:
                raise DataError(f"a parameter is called {key!r}", expected="a name")
            said[key] = str(value)[:MAX_MESSAGE]
        self._parameters |= said
        self._show(lambda tracker: tracker.parameters(self.run_id, said))

    def produces(self, model: Any, *, name: str) -> Subject:
        """Store a model in the registry, digest exactly what was stored, and record where it is.

        Parameters
        ----------
        model : object or path
            A fitted model, a function, or a file or folder that holds a model.
        name : str
            Registered model name.

        Returns
        -------
        Subject
            ``name/version`` with the digest of the stored bytes. If the registry fails, ``name/unregistered``: the
            model is kept in a folder, and the end of the run says so and raises.

        Raises
        ------
        DataError
            If the model or its name is of no kind that can be stored.
        """
        self._running()
        try:
            stored = self._wiring.store(model, name=name, run=self.run_id)
        except UsageError:
            raise
        except (GovernanceError, OSError) as error:
            return self._rescued(model, name, error)
        subject = Subject(name=f"{stored.name}/{stored.version}", sha256=stored.sha256)
        content = Registration(
            registry=stored.registry, name=stored.name, version=stored.version, format=stored.format,
            files=stored.files, size=stored.size, model_id=stored.model_id, run=self.subject.sha256,
        )  # fmt: skip
        if stored.serialisation is not None:
            self._written[stored.sha256] = stored.serialisation.to_dict()
        self._outputs.append(subject)
        self._record(content, subject)
        return subject

    def _record(self, content: Content, subject: Subject) -> None:
        """Record now, or with the end of the run: from another thread, or where the ledger does not take it."""
        if threading.get_ident() == self._thread and not self._waiting:
            try:
                self._recorder.record_all([(content, (subject,))])
            except (GovernanceError, OSError) as error:
                warnings.warn(f"mlgov: {subject.name} is not recorded yet: {_found(error)}", stacklevel=4)
            else:
                return
        self._waiting.append((content, (subject,)))

    def _rescued(self, model: Any, name: str, error: Exception) -> Subject:
        folder = self._wiring.rescue / self.run_id / f"{len(self._lost) + 1}"
        folder.mkdir(parents=True)
        if isinstance(model, str | os.PathLike):
            where, kept = str(model), fingerprint.artifact(Path(model))
        else:
            serialisation.write(model, folder)
            kept, where = fingerprint.folder(folder), str(folder)
        said = f"the registry did not take {name} ({_found(error)}); the model is kept in {where}"
        warnings.warn(f"mlgov: {said}", stacklevel=3)
        self._lost.append(said)
        return Subject(name=f"{name}/unregistered", sha256=kept.sha256)

    def _show(self, call: Callable[[Tracker], None]) -> None:
        if self._wiring.tracker is None:
            return
        try:
            call(self._wiring.tracker)
        except (GovernanceError, OSError) as error:
            warnings.warn(f"mlgov: not shown in the tracking server, but recorded: {_found(error)}", stacklevel=4)

    def _running(self) -> None:
        if self.state != "RUNNING":
            raise UsageError(
                f"the run of {self.job} is not running ({self.state})",
                expected="a call inside its with-block",
            )

    def _event(self, event_type: EventType, error: str | None = None) -> tuple[Content, Sequence[Subject]]:
        outputs = list({subject.sha256: subject for subject in self._outputs}.values())
        event = run_event(
            event_type,
            at=self._wiring.clock(),
            namespace=self._wiring.namespace,
            job=self.job,
            run_id=self.run_id,
            environment=self._environment,
            parameters=self._parameters,
            inputs=self._inputs,
            outputs=[(subject.name, subject.sha256) for subject in outputs],
            error=error,
            parent=self.parent,
            attempt=self.attempt,
            serialisation=self._written,
        )
        content = TrainingRunContent(
            event=event,
            capture="observed",
            inputs=tuple(Resource(name=name, sha256=found.sha256, rows=found.rows) for name, found in self._inputs),
            outputs=tuple(Resource(name=subject.name, sha256=subject.sha256) for subject in outputs),
        )
        return content, [self.subject, *outputs]


def _after(earlier: TrainingRun | str | None) -> Attempt | None:
    if isinstance(earlier, TrainingRun):
        return Attempt(number=(earlier.attempt.number if earlier.attempt else 1) + 1, previous=earlier.run_id)
    if earlier is None:
        return None
    try:
        return Attempt(number=2, previous=str(uuid.UUID(earlier)))
    except ValueError as error:
        raise UsageError(f"attempt_of is {earlier!r}", expected="a run, or the id of one") from error


def _found(error: Exception) -> str:
    return error.found if isinstance(error, GovernanceError) else str(error)
