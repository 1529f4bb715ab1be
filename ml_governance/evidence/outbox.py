"""What is still to be sent, by destination: derived from the log, kept in the database beside it.

A record is signed and committed first. Sending comes later and never holds an append up; what has not been sent stays here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_governance.evidence.predicates import TrainingRun
from ml_governance.evidence.schema import table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from ml_governance.evidence.ledger import Ledger

WAITING, SENT, FAILED = "waiting", "sent", "failed"
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=5), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One event for one destination.

    Parameters
    ----------
    index : int
        The ledger entry that holds the event.
    attempts : int
        How often sending was tried before.
    """

    index: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a destination is.

    Parameters
    ----------
    destination : str
        Its address, without secrets.
    sent, waiting, failed : int
        Events delivered, still to be sent, and given up because the receiver refuses them.
    next_at : datetime or None
        When the first waiting one is due.
    last_error : str or None
        Why the newest of those not sent was not.
    """

    destination: str
    sent: int
    waiting: int
    failed: int
    next_at: datetime | None
    last_error: str | None


def delay(attempts: int) -> timedelta:
    """Return how long to wait after so many failed attempts: 5 s, doubled each time, at most an hour."""
    return min(FIRST_DELAY * (1 << min(attempts, 20)), LONGEST_DELAY)


class Outbox:
    """The outbox of one log.

    Parameters
    ----------
    ledger : Ledger
        The log; it needs no signer.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def plan(self, destination: str) -> None:
        """Take up every event that came since the last plan; a new destination gets them all."""
        from sqlalchemy import func, insert, literal, select

        box, kinds = table("outbox"), table("entries_by_kind")
        with self._ledger.writing() as connection:
            self._alone(connection)
            newest = connection.execute(select(func.max(box.c.idx)).where(box.c.destination == destination)).scalar()
            due = select(kinds.c.idx, literal(destination), literal(WAITING), literal(0)).where(
                kinds.c.kind == TrainingRun.kind, kinds.c.idx > (-1 if newest is None else newest)
            )
            connection.execute(insert(box).from_select(["idx", "destination", "state", "attempts"], due))

    def claim(self, destination: str, *, at: datetime, lease: timedelta) -> Item | None:
        """Take the oldest waiting event, if it is due; nobody else gets it until the lease ends.

        The order is kept: while the oldest waits for its next attempt, those behind it wait too.
        """
        from sqlalchemy import select

        box = table("outbox")
        with self._ledger.writing() as connection:
            self._alone(connection)
            row = connection.execute(
                select(box.c.idx, box.c.attempts, box.c.next_at)
                .where(box.c.destination == destination, box.c.state == WAITING)
                .order_by(box.c.idx)
                .limit(1)
            ).one_or_none()
            if row is None or (row.next_at is not None and row.next_at > _stamp(at)):
                return None
            self._set(connection, row.idx, destination, next_at=_stamp(at + lease))
            return Item(index=row.idx, attempts=row.attempts)

    def sent(self, item: Item, destination: str) -> None:
        """Note that the receiver has taken it."""
        with self._ledger.writing() as connection:
            self._set(
                connection, item.index, destination,
                state=SENT, attempts=item.attempts + 1, next_at=None, last_error=None,
            )  # fmt: skip

    def later(self, item: Item, destination: str, *, at: datetime, why: str) -> None:
        """Note that sending failed and will be tried again."""
        with self._ledger.writing() as connection:
            self._set(
                connection, item.index, destination,
                attempts=item.attempts + 1, next_at=_stamp(at + delay(item.attempts)), last_error=why[:500],
            )  # fmt: skip

    def give_up(self, item: Item, destination: str, *, why: str) -> None:
        """Note that the receiver refuses this event, so that those behind it can go on."""
        with self._ledger.writing() as connection:
            self._set(
                connection, item.index, destination,
                state=FAILED, attempts=item.attempts + 1, next_at=None, last_error=why[:500],
            )  # fmt: skip

    def retry(self, destination: str) -> int:
        """Make everything that was given up or waits due now; return how many."""
        box = table("outbox")
        with self._ledger.writing() as connection:
            done = connection.execute(
                box.update()
                .where(box.c.destination == destination, box.c.state != SENT)
                .values(state=WAITING, next_at=None, attempts=0)
            )
            return int(done.rowcount)

    def standing(self) -> tuple[Standing, ...]:
        """Return how far each destination is."""
        from sqlalchemy import case, func, select

        box = table("outbox")

        def count(state: str) -> ColumnElement[int]:
            return func.sum(case((box.c.state == state, 1), else_=0))

        query = select(
            box.c.destination, count(SENT), count(WAITING), count(FAILED), func.min(box.c.next_at), func.max(box.c.idx)
        ).group_by(box.c.destination)
        database = self._ledger.database
        with database.errors(), database.engine.connect() as connection:
            rows = connection.execute(query.order_by(box.c.destination)).all()
            errors = {
                row.destination: row.last_error
                for row in connection.execute(
                    select(box.c.destination, box.c.last_error)
                    .where(box.c.last_error.is_not(None), box.c.state != SENT)
                    .order_by(box.c.idx)
                )
            }
        return tuple(
            Standing(
                destination=destination,
                sent=int(sent),
                waiting=int(waiting),
                failed=int(failed),
                next_at=datetime.fromisoformat(next_at) if next_at else None,
                last_error=errors.get(destination),
            )
            for destination, sent, waiting, failed, next_at, _ in rows
        )

    @staticmethod
    def _alone(connection: Connection) -> None:
        """Keep other senders out until the transaction ends, on databases whose transactions do not do so already."""
        from sqlalchemy import select

        connection.execute(select(table("head").c.id).with_for_update())

    @staticmethod
    def _set(connection: Connection, index: int, destination: str, **values: object) -> None:
        box = table("outbox")
        connection.execute(box.update().where(box.c.idx == index, box.c.destination == destination).values(**values))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
