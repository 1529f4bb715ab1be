"""A promotion in a process of its own that is killed at a named point: ``python -m tests.promote.killed ROOT MODEL POINT TIME``."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import ml_governance as gov
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.writer import Writer
from ml_governance.promote.registry import LocalRegistry
from ml_governance.testing import FrozenClock

POINTS = (
    "before the decision",
    "after the decision",
    "before the intent is committed",
    "after the intent",
    "after the alias",
    "before the outcome is committed",
    "after the outcome",
    "nowhere",
)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Any) -> None:
    """Die before a call of a method whose arguments fit."""
    original = getattr(owner, name)

    def patched(self: Any, *arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            die()
        return original(self, *arguments, **options)

    setattr(owner, name, patched)


def after(owner: Any, name: str, when: Any) -> None:
    """Die after a call of a method whose arguments fit."""
    original = getattr(owner, name)

    def patched(self: Any, *arguments: Any, **options: Any) -> Any:
        result = original(self, *arguments, **options)
        if when(*arguments):
            die()
        return result

    setattr(owner, name, patched)


def says(kind: str, phase: str | None = None) -> Any:
    def fits(records: Any, *_: Any) -> bool:
        last = records[-1][0]
        return last.kind == kind and phase in (None, getattr(last, "phase", None))

    return fits


def stored(phase: str) -> Any:
    """Tell an insertion that writes such an entry: its transaction is open and not committed."""

    def fits(_sql: Any, _head: Any, entries: Any, *_: Any) -> bool:
        return getattr(entries[-1].content, "phase", None) == phase

    return fits


def arm(point: str) -> None:
    if point == "before the decision":
        before(Writer, "record_all", says("decision"))
    elif point == "after the decision":
        after(Writer, "record_all", says("decision"))
    elif point == "before the intent is committed":
        after(Ledger, "_insert", stored("intent"))
    elif point == "after the intent":
        after(Writer, "record_all", says("promotion", "intent"))
    elif point == "after the alias":
        after(LocalRegistry, "set_alias", lambda *_: True)
    elif point == "before the outcome is committed":
        after(Ledger, "_insert", stored("outcome"))
    elif point == "after the outcome":
        after(Writer, "record_all", says("promotion", "outcome"))


def main(root: str, version: str, point: str, at: str) -> None:
    arm(point)
    clock = FrozenClock(datetime.fromisoformat(at))
    with gov.open(Path(root), signer="max", clock=clock) as ws:
        done = ws.promote(version, stage="production")
        sys.stdout.write(f"acknowledged {done.outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
