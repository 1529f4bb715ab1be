"""What this account has verified of each log, kept outside the log's own folder.

A database that is rolled back passes every check inside itself. What it cannot undo is this memory, unless
whoever rolls it back holds this account as well. It is a convenience for one machine, not an anchor.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import canonicalise, parse, sha256_hex
from ml_governance.evidence.prefix import Prefix
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.noted import Noted

if TYPE_CHECKING:
    from collections.abc import Iterator


def place(origin: str) -> Path:
    """Return where the memory of a log is."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "mlgov" / f"{sha256_hex(origin.encode())[:32]}.json"


def recall(origin: str) -> Prefix | None:
    """Return what was verified of a log before, or None if it was never verified here.

    Raises
    ------
    VerificationError
        If the memory exists but cannot be read: that is no reason to believe the log more.
    """
    path = place(origin)
    try:
        return Prefix.from_dict(parse(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, VerificationError) as error:
        raise VerificationError(
            f"what was verified before, {path}, cannot be read: {error}",
            next_step="compare the log with a checkpoint you trust, then delete that file",
        ) from error


def notes(origin: str) -> AbstractContextManager[Noted | None]:
    """Open what was noted of a log while it was verified; None where this account has no memory."""
    return Noted.at(place(origin).with_suffix(".notes"))


def remember(prefix: Prefix, noted: Noted | None = None, *, since: Prefix | None = None) -> None:
    """Keep what has just been verified, unless another process has verified more meanwhile; an account without a home has no memory.

    Parameters
    ----------
    prefix : Prefix
        What was verified.
    noted : Noted, optional
        What was noted on the way.
    since : Prefix, optional
        Where that verification began; by default it was of every entry.
    """
    path = place(prefix.origin)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.with_suffix(".lock")):
            known = recall(prefix.origin)
            if known is None or known.frontier.size <= prefix.frontier.size:
                if noted is not None:
                    noted.keep(prefix, since)
                if known != prefix:
                    write_atomically(path, canonicalise(prefix.to_dict()).decode(), mode=0o600)
    except (OSError, sqlite3.Error):
        return


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other processes of this account out, which read before they write too."""
    import fcntl

    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
