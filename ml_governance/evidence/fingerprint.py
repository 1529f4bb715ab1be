r"""Digests of what evidence is about: files, model folders, tables.

A folder's digest can be checked with coreutils alone, from inside the folder::

    find . -type f | LC_ALL=C sort | sed 's|^\\./||' | xargs -d '\\n' sha256sum | sha256sum

A table has a *logical* digest: the same content gives the same digest in pandas, Polars, Arrow and any Parquet
layout, and every row counts. The rules are in :mod:`ml_governance.evidence.table_digest`. Besides:

- a pandas index without a name is a row number and not part of the table, one with a name is refused;
- Parquet is read column by column in batches, CSV in batches of rows as pandas reads it: memory holds one window
  of 1,048,576 rows of one column of a Parquet file, and of every column of a CSV file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence.table_source import Digested

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


def folder(path: Path, *, without: frozenset[str] = frozenset()) -> Fingerprint:
    """Return the digest of a folder: SHA-256 over ``<sha256>  <path>`` lines in byte order of the paths.

    This is the ``dirHash`` idea of in-toto, checkable with coreutils. Names, contents and the set of files
    count; modes, times and empty folders do not. Files that stand in it directly under a name of ``without`` do not either.

    Raises
    ------
    DataError
        If it is missing or empty, or holds a symbolic link, a special file, or a name with a newline or backslash.
    VerificationError
        If a file changed while it was read.
    """
    return of_files(files(path, without=without))


def files(path: Path, *, without: frozenset[str] = frozenset()) -> tuple[tuple[str, str, int], ...]:
    """Return name, SHA-256 and size in bytes of each file of a folder, in byte order of the names.

    Raises
    ------
    DataError
        As :func:`folder` does.
    VerificationError
        If a file changed while it was read.
    """
    found = [name for name in names(path) if name not in without]
    if not found:
        raise DataError(f"{path} holds no files", expected="at least one file")
    return tuple((name, *_file_digest(path / name)) for name in found)


def names(path: Path) -> tuple[str, ...]:
    """Return the name of each file of a folder, in byte order; nothing is read.

    Raises
    ------
    DataError
        If it is no folder, or holds a symbolic link, a special file, or a name with a newline or backslash.
    """
    if path.is_symlink() or not path.is_dir():
        raise DataError(f"{path} is no folder", expected="a folder of files")
    return tuple(sorted(_walk(path, ""), key=os.fsencode))


def of_files(listed: Sequence[tuple[str, str, int]]) -> Fingerprint:
    """Return the digest of a folder that holds these files, as :func:`files` lists them."""
    hasher = hashlib.sha256()
    for name, digest, _ in listed:
        hasher.update(digest.encode() + b"  " + os.fsencode(name) + b"\n")
    size = sum(each for _, _, each in listed)
    return Fingerprint(kind="folder", sha256=hasher.hexdigest(), size=size, files=len(listed))


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
        If it is no table, has duplicate or unnamed columns, a meaningful pandas index, or a type without a rule.
    """
    from ml_governance.evidence import table_source

    if isinstance(data, str | Path | bytes):
        raise DataError(f"{data!r} is no table", expected="a data frame; a path is read by of()")
    return _of_table(table_source.frame(data))


def _of_table(found: Digested) -> Fingerprint:
    return Fingerprint(kind="table", sha256=found.sha256, rows=found.rows, columns=found.columns)


def of(data: Any) -> Fingerprint:
    """Return the digest of a table, or of what stands at a path.

    A path to Parquet or CSV is read as a table, in bounded memory; any other file and any folder is digested as bytes.

    Raises
    ------
    DataError
        If there is nothing there, or it cannot be read.
    VerificationError
        If a file changed while it was read.
    """
    if not isinstance(data, str | Path):
        return table(data)
    from ml_governance.evidence import table_source

    path = Path(data)
    readers = {".parquet": table_source.parquet, ".csv": table_source.csv}
    reader = readers.get(path.suffix.lower()) if path.is_file() else None
    return _of_table(reader(path)) if reader else artifact(path)
