"""A writer: one key, one session, one chain of signed records."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from ml_governance.errors import UsageError, VerificationError
from ml_governance.evidence import entry
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import WriterClose, WriterOpen
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.timeline import MAX_SKEW
from ml_governance.evidence.wire import Chain, Content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from ml_governance.evidence.door import Guard
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.ledger import Ledger
    from ml_governance.evidence.statement import Statement


def log_subject(origin: str) -> Subject:
    """Return the log itself as a subject; what a writer's opening and closing records are about."""
    return Subject(name=origin, sha256=sha256_hex(origin.encode()))


class Writer:
    """Signs records and appends them, each linked to the one before.

    The session opens with the first record and ends with :meth:`close`. It belongs to one thread: a chain
    has one order.

    Parameters
    ----------
    ledger : Ledger
        Where to append.
    signer : Signer
        With whose key.
    clock : callable
        Returns the present in UTC.
    software : mapping of str to str
        What writes: names and versions, kept in the opening record.
    """

    def __init__(
        self, ledger: Ledger, signer: Signer, *, clock: Callable[[], datetime], software: Mapping[str, str]
    ) -> None:
        self._ledger = ledger
        self._signer = signer
        self._clock = clock
        self._software = dict(software)
        self.id = f"{signer.keyid[:16]}:{secrets.token_hex(8)}"
        self._seq = 0
        self._prev: str | None = None
        self._at: datetime | None = None
        self._closed = False
        self._thread = threading.get_ident()

    @property
    def keyid(self) -> str:
        """Id of the key that signs."""
        return self._signer.keyid

    def record(
        self,
        content: Content,
        subjects: Sequence[Subject],
        *,
        guard: Guard | None = None,
        erases: int | None = None,
    ) -> Receipt:
        """Sign one record and append it.

        Parameters
        ----------
        content : Content
            What to say.
        subjects : sequence of Subject
            What it is about; at least one.
        guard : Guard, optional
            Condition for appending.
        erases : int, optional
            The entry whose stored content goes in the same transaction.

        Returns
        -------
        Receipt
            The entry's index, and the proof that it is in the log.

        Raises
        ------
        UsageError
            If the session was closed, or another thread opened it.
        GuardError, VerificationError, LedgerError
            As :meth:`Ledger.append`; the chain is as before and the call may be repeated.
        """
        return self.record_all([(content, subjects)], guard=guard, erases=erases)[0]

    def record_all(
        self,
        records: Sequence[tuple[Content, Sequence[Subject]]],
        *,
        guard: Guard | None = None,
        erases: int | None = None,
    ) -> tuple[Receipt, ...]:
        """Sign a group of records and append them in one transaction, all or none; otherwise as :meth:`record`."""
        self._check()
        todo = list(records)
        if not todo:
            return ()
        if self._seq == 0:
            todo.insert(0, (WriterOpen(software=self._software), (log_subject(self._ledger.origin),)))
        drafts: list[tuple[Chain, Content, Statement]] = []
        prev, at = self._prev, self._at
        for seq, (content, subjects) in enumerate(todo, self._seq):
            chain = self._link(seq, prev, at)
            drafts.append((chain, content, entry.statement(chain, content, subjects)))
            prev, at = drafts[-1][2].payload_digest, chain.recorded_at
        batch = entry.sign_all(drafts, self._signer)  # before the log is locked
        receipts = self._ledger.append_own(batch, guard=guard, erases=erases)
        self._seq, self._prev, self._at = self._seq + len(batch), prev, at
        return receipts[-len(records) :]

    def close(self) -> None:
        """End the session with a signed record; a session without records leaves none."""
        if self._closed:
            return
        self._check()
        if self._seq:
            self.record(WriterClose(records=self._seq + 1), (log_subject(self._ledger.origin),))
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise UsageError("this writer's session is closed", expected="a new session")
        if threading.get_ident() != self._thread:
            raise UsageError("this writer belongs to another thread", expected="one workspace per thread")

    def _link(self, seq: int, prev: str | None, before: datetime | None) -> Chain:
        now = self._clock()
        if before is not None and before - now > MAX_SKEW:
            raise VerificationError(
                f"the clock says {now.isoformat()}, and this session has a record from {before.isoformat()}",
                expected=f"a clock that is right to {int(MAX_SKEW.total_seconds() // 60)} minutes",
                next_step="set this machine's clock, or begin a new session if the earlier time was wrong",
            )
        if before is not None and timedelta(0) < before - now <= MAX_SKEW:
            now = before  # a clock was set right by a little; a session's times never fall
        return Chain(
            log=self._ledger.origin,
            writer=self.id,
            seq=seq,
            prev=prev,
            nonce=secrets.token_hex(16),
            recorded_at=now,
        )
