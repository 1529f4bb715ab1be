"""What runs are connected to: who signs and appends, who stores models, who shows runs elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ml_governance.capture.lineage_event import RunRef
    from ml_governance.capture.serialisation import Serialisation
    from ml_governance.evidence import fingerprint
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.wire import Content


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
    @property
    def serialisation(self) -> Serialisation | None: ...  # noqa: D102


class Recorder(Protocol):
    """Signs and appends: a writer, or something that has one."""

    def record_all(self, records: Sequence[tuple[Content, Sequence[Subject]]]) -> Any:
        """Append all or none."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Tracker(Protocol):
    """Shows runs elsewhere, such as in MLflow; what it shows is no evidence."""

    def begin(self, run: RunRef, parent: str | None) -> None:
        """Show that a run began, as a step of another where that one is shown too."""
        ...

    def used(self, run_id: str, name: str, data: fingerprint.Fingerprint) -> None:
        """Show an input."""
        ...

    def parameters(self, run_id: str, parameters: dict[str, str]) -> None:
        """Show parameters."""
        ...

    def end(self, run_id: str, state: str) -> None:
        """Show how it ended: COMPLETE, FAIL, ABORT or UNRECORDED."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What runs of one workspace are connected to.

    Parameters
    ----------
    recorder : callable
        Returns a recorder for the calling thread.
    store : callable
        ``store(model, name=..., run=...)`` puts a model into the registry.
    clock : callable
        Returns the present in UTC.
    namespace : str
        OpenLineage namespace.
    project : str
        Recorded as a parameter of each run.
    rescue : Path
        Where models are kept that the registry does not take.
    tracker : Tracker, optional
        Shows runs elsewhere too.
    """

    recorder: Callable[[], Recorder]
    store: Callable[..., Stored]
    clock: Callable[[], datetime]
    namespace: str
    project: str
    rescue: Path
    tracker: Tracker | None = None
