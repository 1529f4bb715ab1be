"""Bringing in what was made elsewhere: recorded, signed, and marked as claimed."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_governance.errors import ConfigurationError, DataError
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.predicates import CONTENTS, Assessment, Registration, Resource, TrainingRun
from ml_governance.evidence.statement import Subject

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.head import Receipt
    from ml_governance.workspace.session import Workspace


def import_mlflow(ws: Workspace, run: str, *, name: str) -> Subject:
    """Register the model of an MLflow run that no hook watched, and record what the run says of itself as claimed."""
    from ml_governance.capture.environment import environment
    from ml_governance.capture.lineage_event import run_event
    from ml_governance.integrations.mlflow import MlflowRegistry

    registry = ws.registry
    if not isinstance(registry, MlflowRegistry):
        raise ConfigurationError(
            f"the registry is {ws.config.registry}", expected="an MLflow registry, mlflow+<tracking uri>"
        )
    ws.me(ws.view())
    imported = registry.import_run(run, name=name)
    stored = imported.stored
    subject = Subject(name=f"{stored.name}/{stored.version}", sha256=stored.sha256)
    run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ws.config.origin}/{run}"))
    event = run_event(
        "COMPLETE" if imported.status == "FINISHED" else "FAIL",
        at=ws.clock(),
        namespace=ws.config.origin,
        job=name,
        run_id=run_id,
        environment={"python": environment()["python"], "claimedBy": "mlflow", "mlflowRun": run},
        parameters={**imported.parameters, **{f"metric.{key}": str(value) for key, value in imported.metrics.items()}},
        inputs=[],
        outputs=[(subject.name, subject.sha256)],
    )
    run_subject = Subject(
        name=f"run/{name}/{run[:8]}", sha256=sha256_hex(canonicalise({"mlflowRun": run, "log": ws.config.origin}))
    )
    ws.writer.record(
        Registration(
            registry=stored.registry, name=stored.name, version=stored.version, format=stored.format, files=stored.files,
            size=stored.size, model_id=stored.model_id, run=run_subject.sha256, capture="claimed",
        ),
        [subject],
    )  # fmt: skip
    outputs = (Resource(name=subject.name, sha256=subject.sha256),)
    ws.writer.record(TrainingRun(event=event, capture="claimed", outputs=outputs), [run_subject, subject])
    return subject


def attest_file(ws: Workspace, version: str | Subject, path: Path) -> tuple[Receipt, ...]:
    """Sign the measurements in a JSON file, or a list of them, as claimed.

    The file has the fields of an assessment predicate plus ``kind``; whatever it says of ``predictions`` is
    replaced by ``claimed``, because nobody here saw them being made.
    """
    contents = read_claims(path)
    view = ws.view()
    ws.me(view)
    subject = ws.resolve(version, view)
    return tuple(ws.writer.record(content, [subject]) for content in contents)


def read_claims(path: Path) -> tuple[Assessment, ...]:
    """Read the assessments in a JSON file.

    Raises
    ------
    DataError
        If it cannot be read, or holds something else.
    """
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}", expected="a JSON file") from error
    contents = tuple(_content(value, path) for value in (raw if isinstance(raw, list) else [raw]))
    if not contents:
        raise DataError(f"{path} holds no assessment", expected="an object, or a list of objects")
    return contents


def _content(value: Any, path: Path) -> Assessment:
    kinds = {kind: model for kind, model in CONTENTS.items() if issubclass(model, Assessment)}
    kind = value.get("kind") if isinstance(value, dict) else None
    model = kinds.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise DataError(f"{path} holds something that is no assessment", expected=f'"kind": one of {", ".join(kinds)}')
    fields = {name: entry for name, entry in value.items() if name != "kind"}
    try:
        return model.model_validate({**fields, "predictions": "claimed"})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise DataError(f"{path}: {problems}", expected="the fields of docs/reference/predicates.md") from error
