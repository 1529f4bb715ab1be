"""What users' own tests need: a clock that stands still, and a throwaway workspace with real keys and a real ledger.

>>> from ml_governance.testing import FrozenClock
>>> clock = FrozenClock()
>>> clock() == clock()
True
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_governance.workspace import PEOPLE, Person, Workspace, init

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = datetime(2026, 1, 15, 12, tzinfo=UTC)


class FrozenClock:
    """A clock that moves only when it is told to.

    Parameters
    ----------
    start : datetime
        Its first reading, with a time zone.
    """

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """Return the reading."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move the clock; a negative span moves it back."""
        self.now += by


def workspace(
    path: Path,
    *,
    signer: str | None = None,
    clock: FrozenClock | None = None,
    people: Sequence[Person] = PEOPLE,
    policy: str = "credit-scoring",
    project: str = "credit",
) -> Workspace:
    """Make a workspace with a local registry, for a test.

    Parameters
    ----------
    path : Path
        An empty folder, such as pytest's ``tmp_path``.
    signer : str, optional
        Who acts.
    clock : FrozenClock, optional
        The clock; default is a new one.
    people, policy, project
        As :func:`ml_governance.init`.
    """
    return init(
        path,
        project=project,
        people=people,
        policy=policy,
        registry="local:models",
        signer=signer,
        clock=clock or FrozenClock(),
    )
