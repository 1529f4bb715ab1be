"""A model that is served: verified before it is loaded, looked at again while it serves, and counted.

What holds is stated in the signed record: no prediction is made on a look at the log that is older than ``check_every``, or, while
the log cannot be reached, older than that and ``grace`` together. A look that finds a withdrawal stops the handle for good.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.errors import GovernanceError, UnavailableError, UsageError
from ml_governance.operate.counting import Layout, Tally, count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from ml_governance.evidence.statement import Subject
    from ml_governance.operate.buffer import Counts
    from ml_governance.operate.standing import Standing
    from ml_governance.operate.windows import Joined, Windows


class Deployment:
    """One model in one stage, being served. Made by :meth:`ml_governance.Workspace.deployment`; use it as a context manager.

    It may be called from any number of threads, and survives a fork: each process counts for itself.

    Parameters
    ----------
    model : object
        What was loaded from the verified bytes.
    standing : Standing
        Why it may be served.
    look : callable
        Looks at the log again; raises what :func:`~ml_governance.operate.standing.standing_of` raises.
    counts : Counts or None
        Where predictions are counted; None where no assessed rows were approved to compare them with.
    clock : callable
        Returns the present in UTC.
    looked : datetime
        When the log was looked at; loading may have taken long since.
    check_every, grace : timedelta
        How old a look at the log may be; how much older while the log cannot be reached.
    ended : callable
        Signs that it stopped, with a reason.
    """

    def __init__(
        self,
        *,
        model: Any,
        standing: Standing,
        look: Callable[[], Standing],
        counts: Counts | None,
        clock: Callable[[], datetime],
        looked: datetime,
        check_every: timedelta,
        grace: timedelta,
        ended: Callable[[str | None], None],
    ) -> None:
        self._model, self._look, self._counts, self._clock = model, look, counts, clock
        self.standing, self.check_every, self.grace = standing, check_every, grace
        self._ended = ended
        self._lock = threading.Lock()
        self._refusal: GovernanceError | None = None
        self._looked = self._tried = looked
        self._closed = False
        self._finalizer = weakref.finalize(self, counts.write) if counts is not None else None

    @property
    def subject(self) -> Subject:
        """The bytes that are served."""
        return self.standing.subject

    @property
    def model(self) -> Any:
        """The loaded model. What it is asked directly is neither checked nor counted."""
        return self._model

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stopped" if self._refusal else "serving"
        return f"<Deployment {self.subject.name!r} in {self.standing.stage}, {state}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- serving ------------------------------------------------------------------------------------------

    def predict(self, rows: Any, *, ids: Sequence[Any] | None = None, sensitive_features: Any = None) -> Any:
        """Predict, and count the predictions.

        Parameters
        ----------
        rows : DataFrame or array of shape (n, columns)
            What the model takes.
        ids : sequence of length n, optional
            Prediction ids, under which labels may come later; hashed before anything is kept.
        sensitive_features : DataFrame or mapping of str to column, optional
            Groups that the model is not given. Those among ``rows`` are taken from there.

        Returns
        -------
        object
            What the model returned, unchanged. That a batch could not be counted does not stop it: it is counted as that.

        Raises
        ------
        DeniedError, EvidenceError
            If the model may not be served any more.
        UnavailableError
            If the log could not be reached for longer than ``check_every`` and ``grace``.
        """
        return self._served(self._model.predict, rows, ids, sensitive_features, scores=False)

    def predict_proba(self, rows: Any, *, ids: Sequence[Any] | None = None, sensitive_features: Any = None) -> Any:
        """Return the probabilities of the classes, and count them; the class with the highest is counted as the prediction.

        Parameters and errors are those of :meth:`predict`.
        """
        return self._served(self._model.predict_proba, rows, ids, sensitive_features, scores=True)

    def labels(self, ids: Sequence[Any], y: Any) -> Joined:
        """Join labels that came late with the predictions that wait for them.

        Parameters
        ----------
        ids : sequence
            As they were given to :meth:`predict`.
        y : array-like of the same length
            Labels.

        Returns
        -------
        Joined
            How many met their prediction. A label counts once: a repeated one is unknown.

        Raises
        ------
        UsageError
            If the lengths differ, a label is missing, or nothing is counted.
        UnavailableError
            If the windows cannot be written.
        """
        if self._counts is None:
            raise UsageError(
                "nothing is counted, so no label can be joined", expected="a model assessed with ws.assess"
            )
        self._counts.write(self._clock())
        return join(self._counts.windows, self._counts.layout, ids, y)

    def check(self) -> Standing:
        """Look at the log now.

        Raises
        ------
        GovernanceError
            As :meth:`predict`.
        """
        with self._lock:
            self._check(self._clock(), due=True)
        return self.standing

    def close(self) -> None:
        """Write what was counted, and sign that the model is served no more; called by the thread that opened it."""
        if self._closed:
            return
        self._closed = True
        if self._finalizer is not None:
            self._finalizer()
        self._ended(self._refusal.found if self._refusal is not None else None)

    def _served(
        self, call: Callable[[Any], Any], rows: Any, ids: Sequence[Any] | None, sensitive_features: Any, *, scores: bool
    ) -> Any:
        self._in_force()
        if self._counts is None:
            return call(rows)
        try:
            answer = call(rows)
        except Exception:
            self._counts.add(Tally(layout=self._counts.layout, calls=1, failed=1), (), self._clock())
            raise
        tally, waiting = self._counted(self._counts, answer, rows, ids, sensitive_features, scores=scores)
        self._counts.add(tally, waiting, self._clock())
        return answer

    def _counted(
        self,
        counts: Counts,
        answer: Any,
        rows: Any,
        ids: Sequence[Any] | None,
        sensitive_features: Any,
        *,
        scores: bool,
    ) -> tuple[Tally, list[tuple[bytes, int, int]]]:
        """Count a batch. Whatever the model returned stands, so nothing that goes wrong here may be raised."""
        layout = counts.layout
        try:
            predicted, score = _outputs(self._model, answer, layout) if scores else (answer, None)
            extra = {} if sensitive_features is None else columns_of(sensitive_features, None)
            features = columns_of(rows, [one.name for one in layout.columns])
            tally, cells, flags = count(layout, features, extra, predicted, score)
            if layout.attributes and cells is None:
                tally.uncounted, tally.why = tally.predicted, "the rows have no sensitive features, and none were given"
                return tally, []
            if ids is None:
                return tally, []
            if len(ids) != tally.predicted:
                tally.uncounted, tally.why = tally.predicted, f"{len(ids)} ids for {tally.predicted} predictions"
                return tally, []
            groups = cells if cells is not None else np.zeros(tally.predicted, dtype=np.intp)
            positive = (flags == 1).astype(np.int8).tolist()
            return tally, list(zip(counts.windows.hashed(ids), groups.tolist(), positive, strict=True))
        except Exception as error:  # noqa: BLE001  a count that fails is counted, with its reason
            rows_here = len(answer) if hasattr(answer, "__len__") else 1
            said = error.found if isinstance(error, GovernanceError) else f"{type(error).__name__}: {error}"
            why = said[:200]
            return Tally(layout=layout, predicted=rows_here, calls=1, uncounted=rows_here, why=why), []

    # --- whether it may -----------------------------------------------------------------------------------

    def _in_force(self) -> None:
        at = self._clock()
        if self._refusal is None and not self._closed and timedelta(0) <= at - self._looked < self.check_every:
            until = self.standing.until
            if until is None or at < until:
                return
        with self._lock:
            self._check(at, due=False)

    def _check(self, at: datetime, *, due: bool) -> None:
        """Look at the log, under the lock: whoever comes while somebody looks waits for the answer."""
        if self._closed:
            raise UsageError("this deployment is closed", expected="predictions inside its `with` block")
        if self._refusal is not None:
            raise self._refusal
        until = self.standing.until
        fresh = timedelta(0) <= at - self._looked < self.check_every and (until is None or at < until)
        if fresh and not due:
            return
        old = at - self._looked
        waiting = (
            timedelta(0) <= at - self._tried < min(self.check_every, timedelta(seconds=5))
            and self._tried > self._looked
        )
        if waiting and not due and old < self.check_every + self.grace and (until is None or at < until):
            return  # the log could not be reached a moment ago
        try:
            self.standing = self._look()
        except UnavailableError as error:
            self._tried = at
            if due or not timedelta(0) <= old < self.check_every + self.grace or (until is not None and at >= until):
                raise UnavailableError(
                    f"whether {self.subject.name} may still be served was last seen {old.total_seconds():.0f} seconds ago: {error.found}",
                    expected=f"a look at the log every {self.check_every.total_seconds():.0f} seconds, and within "
                    f"{self.grace.total_seconds():.0f} seconds more while it cannot be reached",
                    next_step=error.next_step,
                ) from error
            return
        except GovernanceError as error:
            self._refusal = error
            raise
        self._looked = self._tried = at


def join(windows: Windows, layout: Layout, ids: Sequence[Any], y: Any) -> Joined:
    """Join late labels; see :meth:`Deployment.labels`."""
    flags = layout.flags(y)
    if len(flags) != len(ids):
        raise UsageError(f"there are {len(ids)} ids and {len(flags)} labels", expected="a label for each id")
    if (flags < 0).any():
        raise UsageError(f"{int((flags < 0).sum())} labels are missing", expected="only ids whose label has come")
    return windows.join(list(ids), flags.tolist())


def columns_of(rows: Any, names: Sequence[str] | None) -> Mapping[str, Any]:
    """Return columns by name; an array without names has those of the layout, in order.

    Raises
    ------
    UsageError
        If it is neither a table nor an array with as many columns.
    """
    if hasattr(rows, "columns") or isinstance(rows, dict):
        return _Frame(rows)
    if hasattr(rows, "name") and hasattr(rows, "__len__"):
        return {str(rows.name): rows}
    array = np.asarray(rows)
    if names is None or array.ndim != 2 or array.shape[1] != len(names):
        raise UsageError(f"a {type(rows).__name__} has no columns that can be counted", expected="a data frame")
    return {name: array[:, at] for at, name in enumerate(names)}


class _Frame(Mapping[str, Any]):
    """A table as a mapping, without copying its columns; a name that is no text is known by how it reads."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._own = rows if isinstance(rows, dict) else rows.columns
        self._names: dict[str, Any] | None = None
        # pandas makes a column anew whenever it is asked for, which takes longer than counting it. Its arrays are there already.
        arrays = getattr(rows, "_iter_column_arrays", None)
        self._arrays: dict[Any, Any] = {}
        if arrays is not None and rows.columns.is_unique:
            self._arrays = dict(zip(rows.columns.tolist(), arrays(), strict=True))

    @property
    def names(self) -> dict[str, Any]:
        """Each name as it reads, and as it is."""
        if self._names is None:
            self._names = {str(name): name for name in self._own}
        return self._names

    def __contains__(self, name: object) -> bool:
        return name in self._arrays or name in self._own or name in self.names

    def __getitem__(self, name: str) -> Any:
        if name in self._arrays:
            return self._arrays[name]
        return self.rows[name if name in self._own else self.names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self._own)


def _outputs(model: Any, answer: Any, layout: Layout) -> tuple[Any, Any]:
    """Return the most probable class, and the probability of the positive one, from probabilities."""
    from ml_governance.assess.baseline import level_of

    probabilities = np.asarray(answer, dtype=np.float64)
    classes = np.asarray(getattr(model, "classes_", np.arange(probabilities.shape[1])))
    names = [level_of(one) for one in classes.tolist()]
    score = probabilities[:, names.index(layout.positive)] if layout.positive in names and len(names) == 2 else None
    return classes[probabilities.argmax(axis=1)], score
