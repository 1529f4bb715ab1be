"""Bringing in what was made elsewhere: recorded, signed, and marked as claimed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_governance.errors import DataError
from ml_governance.evidence.predicates import CONTENTS, Assessment

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.ledger import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


def attest_file(ws: Workspace, version: str | Subject, path: Path) -> tuple[Receipt, ...]:
    """Sign the measurements in a JSON file, or a list of them, as claimed.

    The file has the fields of an assessment predicate plus ``kind``; whatever it says of ``predictions`` is
    replaced by ``claimed``, because nobody here saw them being made.
    """
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", expected="a JSON file") from error
    view = ws.view()
    ws.me(view)
    subject = ws.resolve(version, view)
    contents = [_content(value, path) for value in (raw if isinstance(raw, list) else [raw])]
    if not contents:
        raise DataError(f"{path} holds no assessment", expected="an object, or a list of objects")
    return tuple(ws.writer.record(content, [subject]) for content in contents)


def _content(value: Any, path: Path) -> Assessment:
    kinds = {kind: model for kind, model in CONTENTS.items() if issubclass(model, Assessment)}
    model = kinds.get(value.get("kind", "")) if isinstance(value, dict) else None
    if model is None:
        raise DataError(f"{path} holds something that is no assessment", expected=f'"kind": one of {", ".join(kinds)}')
    fields = {name: entry for name, entry in value.items() if name != "kind"}
    try:
        return model.model_validate({**fields, "predictions": "claimed"})  # type: ignore[return-value]  # checked above
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise DataError(f"{path}: {problems}", expected="the fields of docs/reference/predicates.md") from error
