"""What a file of a model is, by its bytes, and what loading it does. Nothing is loaded.

=============  ================================================  ========================================================
format         by                                                loading
=============  ================================================  ========================================================
pickle         its opcodes, plain or compressed                  listed, if every import is on the list; else code
skops          a zip with ``schema.json``                        listed, if skops or we trust every type in it; else code
torch          a zip with ``data.pkl``                           as its pickles; code, if there is TorchScript in it
keras          a zip with ``config.json``                        data; code, if it has a Lambda layer or classes of others
npy, npz       magic bytes                                       data; code, if an array holds objects
safetensors    its header, checked against the size of the file  data
xgboost        JSON or UBJSON of a learner                       data
lightgbm       the first line of the text                        data
catboost       magic bytes                                       data
parquet        magic bytes at both ends                          data
mlflow-model   ``MLmodel``                                       data; code, if it names code, other loaders, or files elsewhere
text           suffix, and UTF-8                                 data; code, if it is YAML with tags that make objects
source         suffix of a program or library                    code
any other                                                        unknown
=============  ================================================  ========================================================

Bytes decide before names: what ``pickle.load`` would follow to an import is a pickle, whatever it is called and whatever else it could
be. Unknown is an answer of its own, and blocks.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from ml_governance.assess import artifact_texts as texts
from ml_governance.assess import pickles
from ml_governance.assess.artifact_file import MAX_TEXT, File, blocks, expanded, npy, of_pickle, pickled, unknown
from ml_governance.assess.artifact_zips import zipped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

HEAD = 4096
_SOURCE = frozenset(
    {
        ".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1", ".ipynb", ".js", ".jar", ".whl", ".egg",
    }
)  # fmt: skip
_TEXT = frozenset({".txt", ".md", ".rst", ".yaml", ".yml", ".json", ".csv", ".toml", ".cfg", ".ini", ".lock"})
_NAMES = frozenset({"MLmodel", "LICENSE", "NOTICE", "README", ".gitattributes", ".gitignore"})
_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth", ".bin"})
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def look(path: str, stream: BinaryIO, size: int, trusted: Collection[str] = ()) -> File:
    """Say what a file is and what loading it does.

    Parameters
    ----------
    path : str
        Its name.
    stream : binary file
        Seekable, at its beginning.
    size : int
        Its bytes.
    trusted : collection of str
        Imports that count as listed besides.
    """
    try:
        return _look(path, stream, size, trusted)
    except _UNREADABLE as error:
        return unknown(path, f"it cannot be read: {type(error).__name__}")


_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error,
    lzma.LZMAError,
)  # fmt: skip
"""What readers raise over damaged or hostile bytes."""


def _look(path: str, stream: BinaryIO, size: int, trusted: Collection[str]) -> File:
    head = stream.read(HEAD)
    name = path.rpartition("/")[2]
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix in _SOURCE:
        return File(path=path, format="source", loading="code", why="it is a program")
    stream.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return zipped(path, stream, trusted)
    if zipfile.is_zipfile(stream):
        return unknown(path, "a zip stands behind other bytes")
    stream.seek(0)
    unpacked = _unpacked(head, stream)
    if unpacked is not None:
        with expanded(unpacked) as (inside, length):
            return pickled(path, inside, length, trusted)
    found = pickles.read(stream, size)
    if any(_IDENTIFIER.fullmatch(module) and _IDENTIFIER.fullmatch(one) for module, one in found.imports):
        return of_pickle(path, found, trusted)  # whatever else it may be, pickle.load would run it
    binary = _binary(path, head, stream, size, trusted)
    if binary is not None:
        return binary
    if suffix in _PICKLES or (head[:1] == b"\x80" and head[1:2] <= b"\x05"):
        return of_pickle(path, found, trusted)
    if size <= MAX_TEXT and (suffix in _TEXT or name in _NAMES or head.startswith(texts.TREE)):
        stream.seek(0)
        return texts.look(path, name, suffix, stream.read())
    return unknown(path, "its format is not known")


# --- compressed -----------------------------------------------------------------------------------------


def _unpacked(head: bytes, stream: BinaryIO) -> Iterator[bytes] | None:
    """Return what is in a compressed file, None if it is none: joblib writes these and reads them by their first bytes."""
    if head.startswith(b"\x1f\x8b"):
        return blocks(gzip.GzipFile(fileobj=stream))
    if head.startswith(b"BZh"):
        return blocks(bz2.BZ2File(stream))
    if head.startswith((b"\xfd7zXZ\x00", b"]\x00\x00")):
        return blocks(lzma.LZMAFile(stream))
    zlib_made = len(head) > 1 and head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0
    return _inflated(stream) if zlib_made and head[1] in {0x01, 0x5E, 0x9C, 0xDA} else None


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    worker = zlib.decompressobj()
    while not worker.eof:
        data = worker.unconsumed_tail or stream.read(1 << 16)
        block = worker.decompress(data, 1 << 20)
        if not data and not block:
            raise EOFError
        yield block


# --- other bytes ------------------------------------------------------------------------------------


def _binary(path: str, head: bytes, stream: BinaryIO, size: int, trusted: Collection[str]) -> File | None:
    stream.seek(0)
    if head.startswith(b"\x93NUMPY"):
        return npy(path, stream, size, trusted)
    if head.startswith(b"PAR1"):
        stream.seek(max(0, size - 4))
        return (
            File(path=path, format="parquet", loading="data")
            if stream.read(4) == b"PAR1"
            else unknown(path, "it breaks off")
        )
    if head.startswith(b"CBM1"):
        return File(path=path, format="catboost", loading="data")
    if head.startswith(b"{L") and b"learner" in head:
        return File(path=path, format="xgboost", loading="data")
    if _safetensors(head, stream, size):
        return File(path=path, format="safetensors", loading="data")
    return None


def _safetensors(head: bytes, stream: BinaryIO, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= length <= min(MAX_TEXT, size - 8):
        return False
    stream.seek(8)
    try:
        header = json.loads(stream.read(length))
    except ValueError:
        return False
    tensors = [one for name, one in header.items() if name != "__metadata__"]
    spans = [one.get("data_offsets") if isinstance(one, dict) else None for one in tensors]
    ends = [span[-1] for span in spans if isinstance(span, list) and len(span) == 2 and isinstance(span[-1], int)]
    return len(ends) == len(spans) and max(ends, default=0) == size - 8 - length
