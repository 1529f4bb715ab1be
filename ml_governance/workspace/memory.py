"""What this account has verified of each log, kept outside the log's own folder.

A database that is rolled back passes every check inside itself. What it cannot undo is this memory, unless
whoever rolls it back holds this account as well. It is a convenience for one machine, not an anchor.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import canonicalise, parse, sha256_hex
from ml_governance.evidence.prefix import Prefix
from ml_governance.workspace.config import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator


def _place(origin: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "mlgov" / f"{sha256_hex(origin.encode())[:32]}.json"


def recall(origin: str) -> Prefix | None:
    """Return what was verified of a log before, or None if it was never verified here.

    Raises
    ------
    VerificationError
        If the memory exists but cannot be read: that is no reason to believe the log more.
    """
    path = _place(origin)
    try:
        return Prefix.from_dict(parse(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, VerificationError) as error:
        raise VerificationError(
            f"what was verified before, {path}, cannot be read: {error}",
            next_step="compare the log with a checkpoint you trust, then delete that file",
        ) from error


def remember(prefix: Prefix) -> None:
    """Keep what has just been verified, unless another process has verified more meanwhile; an account without a home has no memory."""
    path = _place(prefix.origin)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.with_suffix(".lock")):
            known = recall(prefix.origin)
            if known is None or known.frontier.size <= prefix.frontier.size:
                write_atomically(path, canonicalise(prefix.to_dict()).decode(), mode=0o600)
    except OSError:
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
