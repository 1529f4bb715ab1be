"""Opening a deployment: the checks, the bytes, the signed record, and the looks at the log that follow."""

from __future__ import annotations

import os
import tempfile
import weakref
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.decide import rbac
from ml_governance.decide.policy import in_force
from ml_governance.errors import ConfigurationError, DataError, GovernanceError, NotAuthorizedError, UsageError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.checkpoint import parse_body, split_note
from ml_governance.evidence.predicates import BASELINE, Assessment, Deployment
from ml_governance.operate import standing as standings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_governance.assess.baseline import Baseline
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.operate.buffer import Counts
    from ml_governance.operate.deployment import Deployment as Handle
    from ml_governance.operate.standing import Standing
    from ml_governance.workspace.session import Workspace

STATE_VARIABLE = "MLGOV_STATE"
"""Folder in which deployments keep their windows, instead of one beside the ledger."""


def deploy(
    ws: Workspace, version: str | Subject, *, stage: str, check_every: timedelta, grace: timedelta, window: timedelta
) -> Handle:
    """Verify, load, record, and return the handle."""
    from ml_governance.assess.recompute import copied
    from ml_governance.operate.deployment import Deployment as Opened

    _in_range(check_every, grace, window)
    ws.config.stage(stage)
    writer, looked = ws.writer, ws.clock()
    view, note = seen(ws)
    me, subject = ws.me(view), ws.resolve(version, view)
    verdict = rbac.may(
        me,
        "deploy",
        policy=in_force(view, stage).policy,
        evidence=view,
        subject=subject,
        project=ws.config.project,
        stage=stage,
    )
    if not verdict.allowed:
        raise NotAuthorizedError(
            verdict.reason, next_step="the charter's grant `deploy` says who may: mlgov keys charter"
        )
    standing = standings.standing_of(subject, stage, evidence=view, project=ws.config.project, at=looked)
    said = standing.passage.content
    if said.registry != ws.registry.uri:
        raise ConfigurationError(
            f"{subject.name} was promoted in the registry {said.registry}",
            expected=f"the workspace's own, {ws.registry.uri}",
        )
    ws.narrate(f"digesting and loading {subject.name}")
    home = tempfile.TemporaryDirectory(prefix="mlgov-serve-")
    try:
        artifact = copied(ws.registry.artifact(said.name, said.version), Path(home.name), subject.sha256)
        model = _loaded(ws.registry.LOADER, artifact)
        counts = _counts(ws, standing, view, model, window)
        record: dict[str, Any] = {
            "stage": stage, "registry": said.registry, "name": said.name, "version": said.version,
            "promotion": standing.passage.intent.payload_digest, "decision": standing.decision.payload_digest,
            "instance": counts.instance if counts is not None else os.urandom(16).hex(),
            "check_seconds": check_every.total_seconds(), "grace_seconds": grace.total_seconds(),
        }  # fmt: skip
        writer.record(Deployment(phase="started", **record), [subject])
    except BaseException:
        home.cleanup()
        raise

    def ended(why: str | None) -> None:
        try:
            writer.record(Deployment(phase="stopped", detail=why, **record), [subject])
        finally:
            home.cleanup()

    try:
        # Loading takes long; and from here on nobody can put back a log that is older than this record.
        looked = ws.clock()
        view, note = seen(ws, note)
        standing = standings.standing_of(subject, stage, evidence=view, project=ws.config.project, at=looked)
    except GovernanceError as error:
        ended(error.found)
        raise
    handle = Opened(
        model=model, standing=standing, look=_look(ws, standing, view, note), counts=counts, clock=ws.clock, looked=looked,
        check_every=check_every, grace=grace, ended=ended,
    )  # fmt: skip
    weakref.finalize(handle, home.cleanup)
    return handle


def seen(ws: Workspace, note: str | None = None) -> tuple[EvidenceView, str]:
    """Return the verified evidence, and the signed note that it was verified up to; it must continue an earlier note."""
    pinned = [] if note is None else [parse_body(split_note(note)[0])]
    current = ws.ledger.checkpoint()
    return ws.view(pinned=pinned), current


def _look(ws: Workspace, first: Standing, view: EvidenceView, note: str) -> Callable[[], Standing]:
    """Return what looks at the log again: with a connection of its own, since any thread may ask."""
    from ml_governance.workspace.session import Workspace as Session

    last = [(first, view, note)]

    def look() -> Standing:
        standing, evidence, before = last[0]
        with Session(ws.config, signer=None, clock=ws.clock) as fresh:
            if fresh.ledger.checkpoint() == before:
                return standings.still(standing, evidence=evidence, at=ws.clock())
            evidence, now = seen(fresh, before)
        standing = standings.standing_of(
            first.subject, first.stage, evidence=evidence, project=ws.config.project, at=ws.clock()
        )
        last[0] = (standing, evidence, now)
        return standing

    return look


def baseline_of(standing: Standing, evidence: EvidenceView) -> tuple[Attestation, Baseline] | None:
    """Return the newest baseline in the evidence that the decision rests on, and the entry that signed it; None without one."""
    from ml_governance.assess.baseline import Baseline

    for entry in reversed(evidence.attestations):
        content = entry.content
        if entry.index in standing.inputs and isinstance(content, Assessment) and BASELINE in content.details:
            return entry, Baseline.from_dict(content.details[BASELINE])
    return None


def windows_file(ws: Workspace, subject: Subject, stage: str) -> Path:
    """Return where the windows of a model in a stage are."""
    folder = os.environ.get(STATE_VARIABLE)
    home = Path(folder) if folder else ws.root / "governance" / "serving"
    return home / f"{subject.sha256[:32]}-{sha256_hex(stage.encode())[:8]}.sqlite"


def _counts(ws: Workspace, standing: Standing, view: EvidenceView, model: Any, window: timedelta) -> Counts | None:
    from ml_governance.operate.buffer import Counts
    from ml_governance.operate.counting import Layout
    from ml_governance.operate.windows import Windows

    found = baseline_of(standing, view)
    if found is None:
        ws.narrate("the approved evidence has no baseline, so predictions are not counted")
        return None
    layout = Layout.of(found[1], inputs_of(model))
    return Counts(layout, Windows(windows_file(ws, standing.subject, standing.stage)), window)


def inputs_of(model: Any) -> list[str] | None:
    """Return the columns that a model says it takes; None if it does not say."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and hasattr(model, "metadata"):
        schema = getattr(model.metadata, "get_input_schema", lambda: None)()
        names = schema.input_names() if schema is not None and schema.has_input_names() else None
    return None if names is None else [str(name) for name in names]


def _loaded(loader: str, artifact: Path) -> Any:
    module, _, function = loader.partition(":")
    try:
        model = getattr(import_module(module), function)(artifact)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"the model cannot be loaded: {type(error).__name__}: {error}",
            expected="the packages that it was made with",
        ) from error
    if not hasattr(model, "predict"):
        raise DataError(f"a {type(model).__name__} has no predict", expected="a model")
    return model


def _in_range(check_every: timedelta, grace: timedelta, window: timedelta) -> None:
    seconds = window.total_seconds()
    if not timedelta(0) < check_every <= timedelta(hours=1) or not timedelta(0) <= grace <= timedelta(days=1):
        raise UsageError(
            f"check_every is {check_every} and grace {grace}", expected="above 0 and at most an hour, and at most a day"
        )
    if not 60 <= seconds <= 86_400 or 86_400 % seconds:
        raise UsageError(f"the window is {window}", expected="1 minute to 1 day, so that whole ones make a day")
