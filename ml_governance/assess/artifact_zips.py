"""Zips that hold a model: skops, PyTorch, Keras, NumPy. A member that is of no kind that is known makes the whole unknown."""

from __future__ import annotations

import json
import re
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_governance.assess import known_imports
from ml_governance.assess.artifact_file import (
    MAX_EXPANDED,
    MAX_TEXT,
    File,
    blocks,
    expanded,
    npy,
    pickled,
    unknown,
    worst,
)
from ml_governance.evidence.loading import SKLEARN_DATA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_MEMBERS = 20_000
_OF_TORCH = re.compile(
    r"(data/\d+|data\.pkl|constants\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)"
)
_OF_KERAS = frozenset({"config.json", "metadata.json", "model.weights.h5"})


def zipped(path: str, stream: BinaryIO, trusted: Collection[str]) -> File:
    """Return what loading a zip does; it is of one format, or unknown."""
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        names = [one.filename for one in entries]
        if len(names) != len(set(names)) or len(names) > MAX_MEMBERS:
            return unknown(
                path,
                "members of the zip have one name" if len(names) <= MAX_MEMBERS else "the zip has too many members",
            )
        if any(one.file_size > MAX_EXPANDED for one in entries):
            return unknown(path, "a member of the zip is too large")
        if "schema.json" in names and all(
            name.endswith((".npy", ".npz", ".bin")) for name in set(names) - {"schema.json"}
        ):
            return _skops(path, stream, trusted)
        root = names[0].partition("/")[0] if names else ""
        if f"{root}/data.pkl" in names:
            return _torch(path, archive, root, trusted)
        if {"config.json", "metadata.json"} <= set(names):
            return _keras(path, archive)
        if names and all(name.endswith(".npy") for name in names):
            return worst(path, "npz", [_array(path, archive, one, trusted) for one in entries])
    return unknown(path, "it is a zip of no format that is known")


@contextmanager
def _member(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> Iterator[tuple[BinaryIO, int]]:
    with archive.open(one) as source, expanded(blocks(source)) as opened:
        yield opened


def _array(path: str, archive: zipfile.ZipFile, one: zipfile.ZipInfo, trusted: Collection[str]) -> File:
    with _member(archive, one) as (stream, length):
        return npy(path, stream, length, trusted)


def _skops(path: str, stream: BinaryIO, trusted: Collection[str]) -> File:
    from skops import io as skops

    stream.seek(0)
    try:
        found = skops.get_untrusted_types(data=stream.read())
    except Exception as error:  # noqa: BLE001  whatever a strange file makes it raise
        return unknown(path, f"skops cannot read it: {type(error).__name__}")
    strange = sorted(name for name in found if name not in SKLEARN_DATA)
    bad = tuple(name for name in strange if known_imports.dangerous(*name.rpartition(".")[::2]))
    other = tuple(name for name in strange if name not in bad and name not in trusted)
    if bad or other:
        return File(
            path=path,
            format="skops",
            loading="code",
            dangerous=bad,
            unlisted=other,
            why="it holds types that skops does not trust",
        )
    return File(path=path, format="skops", loading="listed")


def _torch(path: str, archive: zipfile.ZipFile, root: str, trusted: Collection[str]) -> File:
    parts = []
    for one in archive.infolist():
        inside = one.filename.removeprefix(f"{root}/")
        if inside.endswith(".pkl"):
            with _member(archive, one) as (stream, length):
                parts.append(pickled(path, stream, length, trusted))
        elif inside.startswith("code/"):
            parts.append(File(path=path, format="torch", loading="code", why="it holds TorchScript, which runs"))
        elif not one.is_dir() and (inside == one.filename or _OF_TORCH.fullmatch(inside) is None):
            parts.append(unknown(path, f"its member {inside:.100} is of no kind that is known"))
    return worst(path, "torch", parts)


def _keras(path: str, archive: zipfile.ZipFile) -> File:
    strange = sorted(set(archive.namelist()) - _OF_KERAS)
    if strange:
        return unknown(path, f"its member {strange[0]:.100} is of no kind that is known")
    with _member(archive, archive.getinfo("config.json")) as (stream, _):
        outside = sorted(set(_classes(json.loads(stream.read(MAX_TEXT)))))
    if outside:
        return File(
            path=path,
            format="keras",
            loading="code",
            unlisted=tuple(outside),
            why="it has layers that are code, or classes of others",
        )
    return File(path=path, format="keras", loading="data")


def _classes(config: Any) -> Iterator[str]:
    """Yield what a configuration of Keras makes that is not a class of Keras without code of its own."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            if "class_name" in one:
                module, name = one.get("module") or "", one["class_name"]
                own = module in {"keras", "builtins"} or str(module).startswith("keras.")
                builtin = module == "" and one.get("registered_name") in {None, name}
                if name in {"Lambda", "__lambda__", "function"} or not (own or builtin):
                    yield f"{module}.{name}" if module else str(name)
