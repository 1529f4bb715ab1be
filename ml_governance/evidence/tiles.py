"""The log as a folder of static files: c2sp.org/tlog-tiles, with the envelopes beside it.

``checkpoint`` is the signed note; ``tile/<level>/<n>`` are hashes; ``tile/entries/<n>`` are the leaves. Envelopes are no part
of that format: ``envelopes/<n>`` has one line for each leaf of ``tile/entries/<n>``, empty where the content was erased. All
of it is derived: writing it again over an older export only adds what the newer checkpoint covers.
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ml_governance.errors import DataError, VerificationError
from ml_governance.evidence import merkle
from ml_governance.evidence.canonical import MAX_BYTES
from ml_governance.evidence.checkpoint import MAX_NOTE, as_text, parse_body, split_note
from ml_governance.evidence.reader import StoredEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_governance.evidence.reader import LogReader

WIDTH = 256


def path_of(kind: str, number: int, width: int = WIDTH) -> str:
    """Return the path of a tile: ``tile/<kind>/x001/x234/067``, with ``.p/<width>`` where it is not full."""
    digits = f"{number:03d}"
    while len(digits) % 3:
        digits = "0" + digits
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return f"{kind}/{place}" + ("" if width == WIDTH else f".p/{width}")


def write(ledger: LogReader, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Write the log as tiles, the checkpoint last.

    Parameters
    ----------
    ledger : LogReader
        The log.
    folder : Path
        Made if absent; may hold an older export of the same log.
    progress : callable, optional
        Receives how many entries are done, and of how many.

    Returns
    -------
    int
        The size that was written.

    Raises
    ------
    DataError
        If the folder cannot be written, or holds another log's export.
    """
    with ledger.snapshot():
        note, size = ledger.cosigned(), ledger.size
        origin = note.partition("\n")[0]
        _refuse_another(folder, origin, size)
        begin = _tiles_done(folder, size) * WIDTH
        levels: list[list[bytes]] = [[]]
        leaves: list[bytes] = []
        envelopes: list[bytes] = []
        for stored in ledger.entries(begin, size):
            leaves.append(struct.pack(">H", len(stored.leaf)) + stored.leaf)
            envelopes.append((stored.envelope or b"") + b"\n")
            levels[0].append(merkle.leaf_hash(stored.leaf))
            done = stored.index + 1
            if done % WIDTH == 0 or done == size:
                number, width = (done - 1) // WIDTH, (done - 1) % WIDTH + 1
                _put(folder / path_of("tile/entries", number, width), b"".join(leaves))
                _put(folder / path_of("envelopes", number, width), b"".join(envelopes))
                _put(folder / path_of("tile/0", number, width), b"".join(levels[0]))
                leaves, envelopes, levels[0] = [], [], []
                if progress is not None:
                    progress(done, size)
        level, count = 1, size // WIDTH
        while count:
            for number in range((count + WIDTH - 1) // WIDTH):
                width = min(WIDTH, count - number * WIDTH)
                first = number * WIDTH
                hashes = [ledger.node(8 * level, first + at) for at in range(width)]
                _put(folder / path_of(f"tile/{level}", number, width), b"".join(hashes))
            level, count = level + 1, count // WIDTH
        _put(folder / "checkpoint", note.encode())
    return size


def _refuse_another(folder: Path, origin: str, size: int) -> None:
    try:
        found = (folder / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / 'checkpoint'} cannot be read: {error}") from error
    body, _ = split_note(found)
    older = parse_body(body)
    if older.origin != origin or older.size > size:
        raise DataError(
            f"{folder} holds the log {older.origin} with {older.size} entries",
            expected=f"an empty folder, or an older export of {origin} (now {size} entries)",
            next_step="if the log itself has shrunk, it was rolled back: mlgov log verify --pin FOLDER/checkpoint",
        )


def _tiles_done(folder: Path, size: int) -> int:
    """Return how many full tiles an earlier export wrote, whole."""
    done = 0
    for number in range(size // WIDTH):
        tile, entries = folder / path_of("tile/0", number), folder / path_of("tile/entries", number)
        if not (tile.is_file() and tile.stat().st_size == WIDTH * merkle.HASH and entries.is_file()):
            break
        if not (folder / path_of("envelopes", number)).is_file():
            break
        done = number + 1
    return done


def _put(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tile-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}", next_step="free space, or another folder"
        ) from error


# --- reading --------------------------------------------------------------------------------------------------


def note_of(folder: Path) -> str:
    """Return the checkpoint of an export."""
    return as_text(_get(folder / "checkpoint", MAX_NOTE), "the checkpoint")


def entries(folder: Path, size: int) -> Iterator[StoredEntry]:
    """Yield the entries of an export in order; each tile is held against its leaves.

    Raises
    ------
    VerificationError
        If a tile is missing, torn or not made of these leaves; it is named.
    """
    edge = merkle.Frontier()
    higher: list[list[bytes]] = []
    for number in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - number * WIDTH)
        name = path_of("tile/entries", number, width)
        leaves = _leaves(_get(folder / name, WIDTH * (0xFFFF + 2)), name, width)
        hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
        _compare(folder, path_of("tile/0", number, width), hashes)
        if width == WIDTH:
            _lift(folder, higher, merkle.root_of(hashes), 1, number)
        envelopes = _lines(folder, path_of("envelopes", number, width), width)
        for at, (leaf, hashed, envelope) in enumerate(zip(leaves, hashes, envelopes, strict=True)):
            edge, _ = edge.append(hashed)
            yield StoredEntry(index=number * WIDTH + at, leaf=leaf, leaf_hash=hashed, envelope=envelope or None)
    for level, partial in enumerate(higher, 1):
        count = size // WIDTH**level
        if partial:
            _compare(folder, path_of(f"tile/{level}", (count - 1) // WIDTH, len(partial)), partial)


def _lift(folder: Path, higher: list[list[bytes]], hashed: bytes, level: int, number: int) -> None:
    """Carry the hash of a full tile into the tile above, and compare that one when it is full."""
    while len(higher) < level:
        higher.append([])
    row = higher[level - 1]
    row.append(hashed)
    if len(row) == WIDTH:
        _compare(folder, path_of(f"tile/{level}", number // WIDTH, WIDTH), row)
        higher[level - 1] = []
        _lift(folder, higher, merkle.root_of(row), level + 1, number // WIDTH)


def _compare(folder: Path, name: str, hashes: list[bytes]) -> None:
    if _get(folder / name, WIDTH * merkle.HASH) != b"".join(hashes):
        raise VerificationError(
            f"{name} does not hold the hashes of the entries below it", next_step="export the tiles again"
        )


def _leaves(data: bytes, name: str, width: int) -> list[bytes]:
    leaves: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(leaves) <= width:
        (length,) = struct.unpack_from(">H", data, at)
        leaves.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data) or len(leaves) != width:
        raise VerificationError(f"{name} is torn: {len(leaves)} leaves", expected=f"{width} whole leaves")
    return leaves


def _lines(folder: Path, name: str, count: int) -> Iterator[bytes]:
    """Yield the lines of a file, one in memory at a time; there must be exactly so many."""
    with _opened(folder / name) as stream:
        for at in range(count):
            line = stream.readline(2 * MAX_BYTES + 1)
            if not line.endswith(b"\n"):
                raise VerificationError(f"{name} has {at} whole lines", expected=f"{count}, one for each leaf")
            yield line[:-1]
        if stream.read(1):
            raise VerificationError(f"{name} has more lines", expected=f"{count}, one for each leaf")


def _get(path: Path, limit: int) -> bytes:
    with _opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise VerificationError(f"{path} is too large", expected=f"at most {limit:,} bytes")
    return data


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a stranger has made: a pipe or a device would never end."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise VerificationError(f"{path} is not a regular file", expected="a complete export")
            yield stream
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}", expected="a complete export") from error
