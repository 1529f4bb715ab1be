"""Zips that hold a model: skops, PyTorch, Keras, NumPy. A member that is of no kind that is known makes the whole unknown."""

from __future__ import annotations

import json
import re
import struct
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
_CODE_OF_KERAS = frozenset(
    {"Lambda", "__lambda__", "function", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
)
"""What Keras itself names and what runs functions, pickles or models that come with it."""
_END, _END_64, _LOCATOR_64 = "<4s4H2LH", "<4sQ2H2L4Q", "<4sLQL"
_MASK = 0xFFFFFFFF


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
        size = stream.seek(0, 2)
        if sum(one.file_size for one in entries) > max(MAX_EXPANDED, 2 * size) or any(
            one.file_size > MAX_TEXT for one in entries if one.filename.endswith(".json")
        ):
            return unknown(path, "what is in the zip is too large")
        if not _plain(stream, size, archive.start_dir):
            return unknown(path, "readers of zips would find different members in it")
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


def _plain(stream: BinaryIO, size: int, directory: int) -> bool:
    """Tell whether the list of members that was read is the one that the end of the file names, with nothing before or behind it."""
    at = size - struct.calcsize(_END)
    (mark, *_, length, offset, comment) = _record(stream, at, _END)
    if mark != b"PK\x05\x06" or comment:
        return False
    at_locator = at - struct.calcsize(_LOCATOR_64)
    end = at
    if at_locator > 0 and (locator := _record(stream, at_locator, _LOCATOR_64))[0] == b"PK\x06\x07":
        end = at_locator - struct.calcsize(_END_64)
        whole = _record(stream, end, _END_64) if end > 0 else (b"",)
        if locator[2] != end or whole[0] != b"PK\x06\x06":
            return False
        if length not in {_MASK, whole[-2]} or offset not in {_MASK, whole[-1]}:
            return False
        length, offset = whole[-2:]
    return bool(offset == directory and offset + length == end)


def _record(stream: BinaryIO, at: int, form: str) -> tuple[Any, ...]:
    stream.seek(at)
    return struct.unpack(form, stream.read(struct.calcsize(form)))


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
                if name in _CODE_OF_KERAS or not (own or builtin):
                    yield f"{module}.{name}" if module else str(name)
