"""One file of a model and what loading it does, as far as that hangs on the pickles in it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ml_governance.assess import known_imports, pickles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

Loading = Literal["data", "listed", "code", "unknown"]
MAX_EXPANDED = 1 << 31
"""Most bytes that a compressed file, or a member of a zip, may come to."""
MAX_TEXT = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file, and what loading it does.

    Parameters
    ----------
    path : str
        Its name, relative to the artifact.
    format : str
        As in the table of this module; ``unknown`` where nothing fits.
    loading : {'data', 'listed', 'code', 'unknown'}
        ``listed``: it imports, and only what is on the list.
    dangerous, unlisted : tuple of str
        Imports that are not on the list.
    why : str or None
        Why it is code, or unknown.
    """

    path: str
    format: str
    loading: Loading
    dangerous: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    why: str | None = None

    @property
    def safe(self) -> bool:
        """Whether loading it runs nothing that is not on the list."""
        return self.loading in {"data", "listed"}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; what is empty is left out."""
        told = {"path": self.path, "format": self.format, "loading": self.loading}
        more = {"dangerous": list(self.dangerous), "unlisted": list(self.unlisted), "why": self.why}
        return told | {name: value for name, value in more.items() if value}


def unknown(path: str, why: str) -> File:
    """Return a file about which nothing can be said."""
    return File(path=path, format="unknown", loading="unknown", why=why)


def pickled(path: str, stream: BinaryIO, size: int, trusted: Collection[str]) -> File:
    """Return what loading a pickle does."""
    return of_pickle(path, pickles.read(stream, size), trusted)


def of_pickle(path: str, found: pickles.Pickle, trusted: Collection[str]) -> File:
    """Return what loading a pickle does whose opcodes were followed."""
    known = known_imports.known()
    outside = sorted(one for one in found.imports if _joined(one) not in known or "." in one[1])
    bad = tuple(_joined(one) for one in outside if known_imports.dangerous(*one))
    other = tuple(_joined(one) for one in outside if _joined(one) not in bad and _joined(one) not in trusted)
    if bad or other:
        why = "it imports what runs code" if bad else "it imports what is not on the list"
        why = f"{why}; {found.problems[0]}" if found.problems else why
        return File(path=path, format="pickle", loading="code", dangerous=bad, unlisted=other, why=why)
    if found.problems:
        return File(path=path, format="pickle", loading="unknown", why=found.problems[0])
    return File(path=path, format="pickle", loading="listed")


def _joined(one: tuple[str, str]) -> str:
    return f"{one[0]}.{one[1]}"


def npy(path: str, stream: BinaryIO, size: int, trusted: Collection[str]) -> File:
    """Return what loading an array of NumPy's own format does: an array of objects is a pickle."""
    from numpy.lib import format as arrays

    version = arrays.read_magic(stream)
    readers = {(1, 0): arrays.read_array_header_1_0, (2, 0): arrays.read_array_header_2_0}
    if version not in readers:
        return unknown(path, f"its version is {version}")
    _, _, dtype = readers[version](stream)
    if not dtype.hasobject:
        return File(path=path, format="npy", loading="data")
    found = of_pickle(path, pickles.read(stream, size), trusted)
    return File(
        path=path,
        format="npy",
        loading=found.loading,
        dangerous=found.dangerous,
        unlisted=found.unlisted,
        why=found.why,
    )


def worst(path: str, kind: str, parts: list[File]) -> File:
    """Return a container as what the worst of its parts is."""
    order: tuple[Loading, ...] = ("data", "listed", "unknown", "code")
    worst = max(parts, key=lambda one: order.index(one.loading))
    return File(
        path=path, format=kind, loading=worst.loading, why=worst.why,
        dangerous=tuple(sorted({name for one in parts for name in one.dangerous})),
        unlisted=tuple(sorted({name for one in parts for name in one.unlisted})),
    )  # fmt: skip


def blocks(source: Any) -> Iterator[bytes]:
    """Yield what a file holds, a bounded part at a time."""
    while block := source.read(1 << 20):
        yield block


@contextmanager
def expanded(source: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int]]:
    """Give bytes that come in parts as a file, in memory up to some size and on disk beyond, and how many they are.

    Raises
    ------
    ValueError
        If they are more than :data:`MAX_EXPANDED`.
    """
    with tempfile.SpooledTemporaryFile(max_size=MAX_TEXT) as target:
        length = 0
        for block in source:
            length += len(block)
            if length > MAX_EXPANDED:
                raise ValueError("too large")
            target.write(block)
        target.seek(0)
        yield target, length  # type: ignore[misc]  # it does all that a binary file does
