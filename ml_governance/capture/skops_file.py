"""scikit-learn models in skops' format: without pickle, of known types only, and the same bytes for the same model."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError
from ml_governance.evidence.loading import SKLEARN_DATA

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = "schema.json"


def dumped(model: Any) -> tuple[bytes, str | None]:
    """Return a model in skops' format, and why it cannot be kept in it; None if it can."""
    if find_spec("skops") is None:
        return b"", "skops is not installed"
    from skops import io as skops

    try:
        data = skops.dumps(model)
        found = skops.get_untrusted_types(data=data)
    except Exception as error:  # noqa: BLE001  whatever a model's own code raises while it is written
        return b"", f"skops cannot write it: {type(error).__name__}: {error}"
    if strange := sorted(set(found).difference(SKLEARN_DATA)):
        return b"", f"it holds {', '.join(strange[:5])}, which skops does not trust"
    return data, None


def repeatable(data: bytes) -> bytes:
    """Return a skops file with its objects and parts numbered in their order, where skops has addresses, random names and times."""
    ids: dict[int, int] = {}
    names: dict[str, str] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        parts = {name: source.read(name) for name in source.namelist()}

    def numbered(state: Any) -> Any:
        if isinstance(state, list):
            return [numbered(one) for one in state]
        if not isinstance(state, dict):
            return state
        made: dict[str, Any] = {}
        for key, value in state.items():
            if key == "__id__" and isinstance(value, int):
                made[key] = ids.setdefault(value, len(ids) + 1)
            elif key == "file" and isinstance(value, str) and value in parts:
                made[key] = names.setdefault(value, f"{len(names) + 1}.{value.rpartition('.')[2]}")
            else:
                made[key] = numbered(value)
        return made

    schema = json.dumps(numbered(json.loads(parts[_SCHEMA])), indent=2).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, part in (*((new, parts[old]) for old, new in names.items()), (_SCHEMA, schema)):
            archive.writestr(zipfile.ZipInfo(name), part)
    return written.getvalue()


def read(file: Path) -> Any:
    """Load a model, if nothing in it is of a type that nobody here trusts.

    Raises
    ------
    DataError
        If something is.
    """
    from skops import io as skops

    try:
        return skops.load(file, trusted=list(SKLEARN_DATA))
    except skops.exceptions.UntrustedTypesFoundException as error:
        raise DataError(
            f"{file.parent} holds types that are not trusted: {error}", expected="what produces() wrote"
        ) from error
