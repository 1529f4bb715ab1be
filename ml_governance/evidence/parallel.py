"""Checking the entries of a long log in several processes, page by page, in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_all_start_methods, get_context
from typing import TYPE_CHECKING

from ml_governance.errors import LedgerError
from ml_governance.evidence import index_check
from ml_governance.evidence.check import Checked, Tally, check, collecting_rarely
from ml_governance.evidence.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_governance.evidence.index_check import Tables
    from ml_governance.evidence.ledger import Ledger
    from ml_governance.evidence.reader import LogReader

PAGE = 250
"""Entries that are handed out together: few enough that nobody waits long for the last page."""

AHEAD = 16
"""Pages that are checked before their turn, and wait: until the other processes have started, for one."""

Page = tuple[list[Checked], int]


def checked_pages(
    ledger: LogReader,
    start: int,
    stop: int,
    keys: Mapping[str, PublicKey],
    tally: Tally,
    *,
    workers: int,
    tables: bool,
) -> Iterator[Page | Tables]:
    """Yield the checked entries [start, stop) in pages, in order, each with its tally; with ``tables``, last the look-up tables.

    This process checks pages as well, whenever the next one is not there yet. The others read the database themselves. Each holds one
    page, and only a few pages wait, so memory is bounded.

    Raises
    ------
    LedgerError
        If one of the other processes ends before its work, as a machine that runs out of memory may have it.
    """
    others = workers - 1
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    pems = {keyid: key.pem for keyid, key in keys.items()}
    try:
        with ProcessPoolExecutor(
            others, mp_context=get_context(method), initializer=_begin, initargs=(ledger.url, pems, tally.secret)
        ) as pool:
            looked_up = pool.submit(_read_tables, stop) if tables else None
            waiting: deque[Future[Page]] = deque()
            for first in range(start, stop, PAGE):
                last = min(first + PAGE, stop)
                if sum(not page.done() for page in waiting) < 2 * others:
                    waiting.append(pool.submit(_check_page, first, last))
                else:
                    waiting.append(Future())
                    waiting[-1].set_result(_checked(ledger, keys, tally.fresh(), first, last))
                while waiting and (waiting[0].done() or len(waiting) > AHEAD + 2 * workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if looked_up is not None:
                yield looked_up.result()
    except BrokenProcessPool as error:
        raise LedgerError(
            "a process that verified pages of the log ended before its work, so the log is not verified",
            expected=f"{workers} processes that live to the end",
            next_step="free memory, and verify again",
        ) from error


_ARGUMENTS: list[tuple[str, dict[str, str], bytes]] = []


def _begin(url: str, pems: dict[str, str], secret: bytes) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _ARGUMENTS.append((url, pems, secret))


@cache
def _log() -> tuple[Ledger, dict[str, PublicKey]]:
    from ml_governance.evidence.ledger import Ledger

    url, pems, _ = _ARGUMENTS[0]
    return Ledger.open(url), {keyid: PublicKey(keyid=keyid, pem=pem) for keyid, pem in pems.items()}


def _read_tables(stop: int) -> Tables:
    with collecting_rarely():
        return index_check.tables(_log()[0], stop, Tally(_ARGUMENTS[0][2]))


def _check_page(start: int, stop: int) -> Page:
    ledger, keys = _log()
    with collecting_rarely():
        return _checked(ledger, keys, Tally(_ARGUMENTS[0][2]), start, stop)


def _checked(ledger: LogReader, keys: Mapping[str, PublicKey], tally: Tally, start: int, stop: int) -> Page:
    page = [one for one, _ in check(list(ledger.entries(start, stop)), keys)]
    for one in page:
        tally.add(one.digests, one.place)
    return page, tally.sum
