"""The texts of a model: descriptions in JSON and YAML, LightGBM's trees, and what ``MLmodel`` tells MLflow to load."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ml_governance.assess.artifact_file import File, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = b"tree\nversion=v"
_YAML = frozenset({".yaml", ".yml"})
_PLAIN = re.compile(
    r"!|tag:yaml\.org,2002:(binary|bool|float|int|map|merge|null|omap|pairs|seq|set|str|timestamp|value)"
)
_LOADERS = frozenset({"mlflow", "keras", "tensorflow", "tf_keras"})
_CLASSES = frozenset({"xgboost", "lightgbm"})
_CODE = frozenset({"code", "model_code_path"})


def look(path: str, name: str, suffix: str, data: bytes) -> File:
    """Say what a text is and what loading it does.

    Parameters
    ----------
    path, name, suffix : str
        The file; the last part of its name, and what that ends with.
    data : bytes
        All of it.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return unknown(path, "it is no text in UTF-8")
    if "\x00" in text:
        return unknown(path, "it is no text: it has a NUL in it")
    if suffix == ".json":
        return _json(path, text)
    if suffix in _YAML or name == "MLmodel":
        return _yaml(path, name, text)
    return File(path=path, format="lightgbm" if data.startswith(TREE) else "text", loading="data")


def _json(path: str, text: str) -> File:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return unknown(path, "it is called JSON and is none")
    learner = isinstance(value, dict) and isinstance(value.get("learner"), dict)
    return File(path=path, format="xgboost" if learner else "text", loading="data")


def _yaml(path: str, name: str, text: str) -> File:
    import yaml

    try:
        # a tag is written with "!", and by an abbreviation or in escapes as well: only the parser knows what it comes to
        events = yaml.parse(text, yaml.SafeLoader) if "!" in text else ()
        tags = {str(getattr(event, "tag", None) or "!") for event in events}
        strange = sorted(tag for tag in tags if _PLAIN.fullmatch(tag) is None)
        if strange:
            return File(path=path, format="text", loading="code", why=f"YAML with the tag {strange[0]:.100}")
        return (
            _mlmodel(path, yaml.safe_load(text))
            if name == "MLmodel"
            else File(path=path, format="text", loading="data")
        )
    except (yaml.YAMLError, RecursionError):
        return unknown(path, "it is no YAML")


def _mlmodel(path: str, described: Any) -> File:
    flavors = described.get("flavors") if isinstance(described, dict) else None
    if not isinstance(flavors, dict):
        return unknown(path, "it names no flavors")
    for key, value in _told("", flavors):
        if value is None:
            continue
        why = None
        package = str(value).partition(".")[0]
        if (key.endswith("module") and package not in _LOADERS) or (key == "model_class" and package not in _CLASSES):
            why = "its loader is not MLflow's own"
        elif key in _CODE:
            why = "it names code of its own"
        elif isinstance(value, str) and key != "uri" and _elsewhere(value):  # ``uri`` says where it came from
            why = "it names files outside the model"
        if why is not None:
            return File(path=path, format="mlflow-model", loading="code", unlisted=(f"{value:.100}",), why=why)
    return File(path=path, format="mlflow-model", loading="data")


def _told(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the plain values of a tree, each with the key that it stands under."""
    waiting, seen = [(key, value)], set()
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict | list):
            if (key, id(value)) in seen:
                continue  # aliases of YAML make a tree of any size, and loops
            seen.add((key, id(value)))
        if isinstance(value, dict):
            waiting += [(str(inner), one) for inner, one in value.items()]
        elif isinstance(value, list):
            waiting += [(key, one) for one in value]
        else:
            yield key, value


def _elsewhere(value: str) -> bool:
    """Tell whether a name, joined to a folder, leads out of it."""
    posix, windows = PurePosixPath(value), PureWindowsPath(value)
    return posix.is_absolute() or bool(windows.anchor) or ".." in windows.parts
