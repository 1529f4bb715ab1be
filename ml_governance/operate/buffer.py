"""What a deployment has counted and not yet written: safe for threads, and begun anew in a forked process."""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.errors import UnavailableError
from ml_governance.operate.counting import Layout, Tally
from ml_governance.operate.windows import MAX_WAITING, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ml_governance.operate.windows import Windows

WRITE_EVERY = timedelta(seconds=5)
"""A crash loses at most what was counted in so long."""


class Counts:
    """What one process has counted since it began a window; writes its line whole, at most every :data:`WRITE_EVERY`.

    Parameters
    ----------
    layout : Layout
        What is counted.
    windows : Windows
        Where it is kept.
    length : timedelta
        Of a window.
    """

    def __init__(self, layout: Layout, windows: Windows, length: timedelta) -> None:
        self.layout, self.windows, self.length = layout, windows, length
        self.instance = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._begins: datetime | None = None
        self._line = 0
        self._written: datetime | None = None
        self._tally = Tally(layout=layout)
        self._waiting: list[tuple[bytes, int, int]] = []
        self.trouble: str = ""
        # A fork may happen while another thread holds the lock, and the child must not write under its parent's name.
        os.register_at_fork(after_in_child=_anew(weakref.ref(self)))

    def add(self, tally: Tally, waiting: Sequence[tuple[bytes, int, int]], at: datetime) -> None:
        """Add a batch; writing that fails is tried again with the next one, and what waits for labels stays bounded."""
        begins = start_of(at, self.length)
        with self._lock:
            if self._begins is not None and begins != self._begins:
                self._write(at)
                self._tally = Tally(layout=self.layout)
                self._line += 1  # a clock that was set back may come to a window again, and its first line stays
            self._begins = begins
            self._tally.add(tally)
            self._waiting.extend(waiting)
            del self._waiting[:-MAX_WAITING]
            if self._written is None or not timedelta(0) <= at - self._written < WRITE_EVERY:
                self._write(at)

    def write(self, at: datetime | None = None) -> None:
        """Write what was counted."""
        with self._lock:
            self._write(at)

    def _write(self, at: datetime | None) -> None:
        if self._begins is None:
            return
        self._written = at
        try:
            self.windows.write(self._begins, f"{self.instance}:{self._line}", self._tally, self._waiting)
        except UnavailableError as error:
            self.trouble = error.found
            return
        self._waiting, self.trouble = [], ""

    def begin_anew(self) -> None:
        """Count from nothing, as another process."""
        self.instance = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._begins = self._written = None
        self._tally, self._waiting = Tally(layout=self.layout), []


def _anew(mine: weakref.ref[Counts]) -> Callable[[], None]:
    def after_fork() -> None:
        one = mine()
        if one is not None:
            one.begin_anew()

    return after_fork
