r"""Digests of what evidence is about: files, model folders, tables.

A folder's digest can be checked with coreutils alone, from inside the folder::

    find . -type f | LC_ALL=C sort | sed 's|^\\./||' | xargs -d '\\n' sha256sum | sha256sum

A table has a *logical* digest: the same content gives the same digest in pandas, Polars, Arrow and any Parquet
layout, and every row counts. The rules, version 1:

- columns in order, each with its name, canonical type and row count; a pandas index without a name is
  a row number and not part of the table, one with a name is refused;
- strings of any kind and dictionaries decode to one string type; times have microseconds, with their zone;
- NaN in a float column is null, because pandas, Polars and Arrow do not agree which of the two they hold;
- a validity bitmap, then the values with nulls zeroed and -0.0 as 0.0, in windows of 1,048,576 rows;
- nested types are refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = 1 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A digest and what it is a digest of.

    Parameters
    ----------
    kind : {'file', 'folder', 'table'}
        Which rule gave the digest.
    sha256 : str
        64 hexadecimal digits.
    size : int or None
        Bytes, of files and folders.
    files : int
        Number of files; 0 for tables in memory.
    rows : int or None
        Rows of a table.
    columns : tuple of (str, str)
        Names and canonical types of a table.
    """

    kind: Literal["file", "folder", "table"]
    sha256: str
    size: int | None = None
    files: int = 0
    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()


def file(path: Path) -> Fingerprint:
    """Return the SHA-256 of a regular file.

    Raises
    ------
    DataError
        If it is missing, no regular file, a symbolic link, or cannot be read.
    VerificationError
        If it changed while it was read.
    """
    digest, size = _file_digest(path)
    return Fingerprint(kind="file", sha256=digest, size=size, files=1)


def folder(path: Path) -> Fingerprint:
    """Return the digest of a folder: SHA-256 over ``<sha256>  <path>`` lines in byte order of the paths.

    This is the ``dirHash`` idea of in-toto, checkable with coreutils. Names, contents and the set of files
    count; modes, times and empty folders do not.

    Raises
    ------
    DataError
        If it is missing or empty, or holds a symbolic link, a special file, or a name with a newline or backslash.
    VerificationError
        If a file changed while it was read.
    """
    if path.is_symlink() or not path.is_dir():
        raise DataError(f"{path} is no folder", expected="a folder of files")
    names = sorted(_walk(path, ""), key=os.fsencode)
    if not names:
        raise DataError(f"{path} holds no files", expected="at least one file")
    hasher, total = hashlib.sha256(), 0
    for name in names:
        digest, size = _file_digest(path / name)
        hasher.update(digest.encode() + b"  " + os.fsencode(name) + b"\n")
        total += size
    return Fingerprint(kind="folder", sha256=hasher.hexdigest(), size=total, files=len(names))


def artifact(path: Path) -> Fingerprint:
    """Return the digest of a model artifact: a folder, or one file."""
    return folder(path) if path.is_dir() and not path.is_symlink() else file(path)


def _walk(root: Path, prefix: str) -> list[str]:
    names = []
    try:
        entries = list(os.scandir(root / prefix))
    except OSError as error:
        raise DataError(f"{root / prefix} cannot be read: {error.strerror}") from error
    for found in entries:
        name = prefix + found.name
        if "\n" in found.name or "\\" in found.name:
            raise DataError(f"{root / name!s} has a newline or backslash in its name", expected="plain names")
        mode = found.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            names += _walk(root, name + "/")
        elif stat.S_ISREG(mode):
            names.append(name)
        else:
            what = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
            raise DataError(f"{root / name} is {what}", expected="regular files only: a link's target could change")
    return names


def _file_digest(path: Path) -> tuple[str, int]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", expected="a file") from None
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else f"cannot be opened: {error.strerror}"
        raise DataError(f"{path} {reason}", expected="a regular file") from error
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        os.close(handle)
        raise DataError(f"{path} is no regular file", expected="a regular file")
    with os.fdopen(handle, "rb") as stream:
        hasher = hashlib.sha256()
        while block := stream.read(_BLOCK):
            hasher.update(block)
        after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise VerificationError(f"{path} changed while it was read", next_step="try again when nobody writes to it")
    return hasher.hexdigest(), after.st_size


def table(data: Any) -> Fingerprint:
    """Return the logical digest of a table.

    Parameters
    ----------
    data : DataFrame, Table or Series
        pandas, Polars, pyarrow, or anything that narwhals can turn into Arrow.

    Raises
    ------
    DataError
        If it is no table, has duplicate or unnamed columns, a meaningful pandas index, or a nested type.
    """
    arrow = _arrow(data)
    names = arrow.column_names
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"the table has the columns {', '.join(twice)} twice", expected="distinct column names")
    hasher = hashlib.sha256(b"mlgov-table-v1" + struct.pack("<QQ", arrow.num_rows, len(names)))
    columns = []
    for name, column in zip(names, arrow.columns, strict=True):
        kind, digest = _column(name, column)
        encoded = name.encode()
        hasher.update(struct.pack("<Q", len(encoded)) + encoded + digest)
        columns.append((name, kind))
    return Fingerprint(kind="table", sha256=hasher.hexdigest(), rows=arrow.num_rows, columns=tuple(columns))


def _arrow(data: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if isinstance(data, str | Path | bytes):
        raise DataError(f"{data!r} is no table", expected="a data frame; a path is read by of()")
    import pandas as pd

    if isinstance(data, pd.Series):
        data = data.to_frame(name=str(data.name if data.name is not None else "value"))
    if isinstance(data, pd.DataFrame):
        if not isinstance(data.index, pd.RangeIndex) and (data.index.name is not None or data.index.nlevels > 1):
            raise DataError("the table's index has a name, so it says something", expected="frame.reset_index() first")
        if not data.columns.is_unique:
            twice = sorted({str(name) for name in data.columns[data.columns.duplicated()]})
            raise DataError(f"the table has the columns {', '.join(twice)} twice", expected="distinct column names")
        if not all(isinstance(name, str) for name in data.columns):
            raise DataError("the table has column names that are not text", expected="text names")
        try:
            return pa.Table.from_pandas(data, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"the table has a column of mixed types: {error}", expected="one type in each column"
            ) from error
    import narwhals as nw

    try:
        return nw.from_native(data, allow_series=False).lazy().collect(backend="pyarrow").to_native()
    except TypeError as error:
        raise DataError(f"the data is a {type(data).__name__}", expected="a data frame or a path to one") from error


def _column(name: str, column: pa.ChunkedArray) -> tuple[str, bytes]:
    import pyarrow as pa

    kind = _canonical_type(name, column.type)
    text = str(kind)
    hasher = hashlib.sha256(b"T" + text.encode() + struct.pack("<Q", len(column)))
    for start in range(0, len(column), WINDOW):
        window = column.slice(start, WINDOW)
        if window.type != kind:
            window = window.cast(kind)
        array = window.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], kind)
        _hash_array(hasher, array, kind)
    return text, hasher.digest()


def _canonical_type(name: str, kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _canonical_type(name, kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.large_string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_date(kind):
        return pa.date32()
    if types.is_decimal(kind):
        return pa.decimal128(min(kind.precision, 38), kind.scale) if kind.precision <= 38 else kind
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return kind
    raise DataError(
        f"the column {name!r} has the type {kind}",
        expected="numbers, text, times, booleans or bytes, not nested",
    )


def _hash_array(hasher: Any, array: pa.Array, kind: pa.DataType) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_floating(kind):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    hasher.update(np.packbits(valid, bitorder="little").tobytes())
    if types.is_large_string(kind) or types.is_large_binary(kind):
        array = array.fill_null("" if types.is_large_string(kind) else b"")
        offsets = np.frombuffer(array.buffers()[1], dtype="<i8")[array.offset : array.offset + len(array) + 1]
        hasher.update((offsets - offsets[0]).tobytes())
        data = array.buffers()[2]
        if data is not None:
            hasher.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
    elif types.is_boolean(kind):
        hasher.update(np.packbits(array.fill_null(False).to_numpy(zero_copy_only=False), bitorder="little").tobytes())
    elif types.is_floating(kind):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        hasher.update(np.ascontiguousarray(values + values.dtype.type(0)).tobytes())  # -0.0 + 0.0 is 0.0
    elif types.is_decimal(kind):
        import decimal

        filled = pc.fill_null(array, pa.scalar(decimal.Decimal(0), kind))
        width = kind.bit_width // 8
        raw = memoryview(filled.buffers()[1])
        hasher.update(raw[filled.offset * width : (filled.offset + len(filled)) * width])
    else:
        whole = {8: "int8", 16: "int16", 32: "int32", 64: "int64"}[kind.bit_width]
        target = kind if types.is_integer(kind) else getattr(pa, whole)()
        values = array.view(target) if target != kind else array
        hasher.update(np.ascontiguousarray(values.fill_null(0).to_numpy(zero_copy_only=False)).tobytes())


def of(data: Any) -> Fingerprint:
    """Return the digest of a table, or of what stands at a path.

    A path to Parquet or CSV is read as a table; any other file and any folder is digested as bytes.

    Raises
    ------
    DataError
        If there is nothing there, or it cannot be read.
    """
    if not isinstance(data, str | Path):
        return table(data)
    path = Path(data)
    suffix = path.suffix.lower()
    if path.is_file() and suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return table(pq.read_table(path))
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    if path.is_file() and suffix == ".csv":
        import pandas as pd

        try:
            return table(pd.read_csv(path))
        except (ValueError, OSError) as error:
            raise DataError(f"{path} cannot be read as CSV: {error}") from error
    return artifact(path)
