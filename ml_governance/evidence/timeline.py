"""The time that a log has come to, entry by entry, and how the root's holders set it right.

Time in a log only goes on: an entry more than :data:`MAX_SKEW` behind the newest is backdated. So one entry from the far future would
close the log for everybody. What opens it again is a trust file with :class:`Resumption`: the root's threshold says from which entry on
times are wrong, and what time it is. It cannot lead behind the entries before that one, and what claims a later time counts no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import trust
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrustUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ml_governance.evidence.entry import Entry
    from ml_governance.evidence.trust import Resumption

MAX_SKEW = timedelta(minutes=10)
"""How far an entry's time may lie before an earlier entry's, or after the clock of whoever appends: clocks differ, history does not."""

CEREMONY = timedelta(days=7)
"""How long after the time that it names a resumption may come into force: its signers may be far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A resumption in force.

    Parameters
    ----------
    index : int
        The entry that put it in force.
    since : int
        The first entry whose time may be wrong.
    at : datetime
        The time from which the log went on, UTC.
    version : int
        Of the trust file that says so.
    """

    index: int
    since: int
    at: datetime
    version: int

    def doubts(self, index: int, at: datetime) -> bool:
        """Tell whether an entry claims a time that it cannot be from."""
        return self.since <= index < self.index and at - self.at > MAX_SKEW

    def sentence(self) -> str:
        """Return what happened, for whoever verifies the log."""
        return (
            f"the root set the time right at #{self.index} (trust file {self.version}): it was {self.at.isoformat()}; "
            f"what entries #{self.since} to #{self.index - 1} say from a later time counts no more"
        )


@dataclass(slots=True)
class Timeline:
    """Where the time of a log stands.

    Parameters
    ----------
    latest : datetime or None
        The newest time of an entry, or where the root set it.
    resumed : list of Resumed
        How often the root has set it.
    """

    latest: datetime | None = None
    resumed: list[Resumed] = field(default_factory=list)
    # The newest time after some entries, one for each MAX_SKEW that it moved on.
    _marks: list[tuple[int, datetime]] = field(default_factory=list)

    def behind(self, at: datetime) -> bool:
        """Tell whether a time is too far behind the newest."""
        return self.latest is not None and self.latest - at > MAX_SKEW

    def note(self, index: int, at: datetime) -> None:
        """Go on to an entry's time."""
        self.latest = at if self.latest is None else max(self.latest, at)
        if not self._marks or self.latest - self._marks[-1][1] >= MAX_SKEW:
            self._marks.append((index, self.latest))

    def resume(self, index: int, at: datetime, said: Resumption, version: int) -> None:
        """Go on from the time of an entry that puts a resumption in force.

        Parameters
        ----------
        index, at
            The entry, and the time that it says it is.
        said : Resumption
            What the root's threshold signed.
        version : int
            Of the trust file.

        Raises
        ------
        VerificationError
            If it leads behind the entries that it does not doubt, doubts none, or the entry's time is not the one that was signed.
        """
        if self.latest is None or not 0 < said.since < index:
            raise VerificationError(
                f"the trust file doubts the times from #{said.since} on", expected=f"an entry before its own, #{index}"
            )
        if not -MAX_SKEW <= at - said.at <= CEREMONY:
            raise VerificationError(
                f"it says it is {at.isoformat()}, and the root signed that it was {said.at.isoformat()}",
                expected=f"a time at most {CEREMONY.days} days later",
            )
        kept = [mark for mark in self._marks if mark[0] < said.since]
        if kept and kept[-1][1] - min(at, said.at) > MAX_SKEW:
            raise VerificationError(
                f"it sets the time back to {said.at.isoformat()}, and #{kept[-1][0]}, whose time nobody doubts, is from "
                f"{kept[-1][1].isoformat()}",
                expected="a time after the entries that are not in doubt",
            )
        self.resumed.append(Resumed(index=index, since=said.since, at=at, version=version))
        self.latest, self._marks = at, [*kept, (index, at)]

    def first_after(self, moment: datetime) -> int | None:
        """Return the first entry that moved the time more than :data:`MAX_SKEW` beyond a moment."""
        return next((index for index, at in self._marks if at - moment > MAX_SKEW), None)


def resumption(one: Entry) -> tuple[Resumption, int] | None:
    """Return what an entry says about the log's time, and the version of the trust file that says so."""
    if not isinstance(one.content, TrustUpdate):
        return None
    said = trust.read(Envelope.from_dict(one.content.envelope))
    return None if said.resumes is None else (said.resumes, said.version)


def replay(entries: Iterable[tuple[int, Entry]]) -> Timeline:
    """Walk over the times of entries that verify, each with its index; what was erased is left out, and its time with it."""
    line = Timeline()
    for index, one in entries:
        at, said = one.chain.recorded_at, resumption(one)
        if said is not None:
            line.resume(index, at, *said)
        elif not line.behind(at):  # a root's session that opens to set the time right
            line.note(index, at)
    return line
