"""The log's door: what an append must pass, inside its transaction.

Whatever a later verification would have to refuse is refused here, because one such entry would spoil the log for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from ml_governance.errors import NotAuthorizedError, VerificationError
from ml_governance.evidence import entry, mandate, timeline, trust
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import Erasure, HumanText, TrustUpdate, WriterClose, WriterOpen
from ml_governance.evidence.reader import stored_bytes
from ml_governance.evidence.timeline import MAX_SKEW
from ml_governance.evidence.verdicts import ApprovalRequest, BreakGlass, BreakGlassReview
from ml_governance.evidence.walk import ERASER, NEVER_ERASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.schema import Runner
    from ml_governance.evidence.trust import LogKey, Principal, TrustFile
    from ml_governance.evidence.wire import Content


class GuardError(VerificationError):
    """A guarded append was refused: relevant evidence came in between, or the pass was used before."""


class ChainConflictError(VerificationError):
    """A record does not continue its writer's chain as the ledger has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A condition that must hold inside the appending transaction.

    Parameters
    ----------
    since : int
        No leaf from this index on may be about ``keys`` or of ``kinds``.
    keys : frozenset of bytes
        Digests of subjects.
    kinds : frozenset of str
        Kinds of entries.
    token : str, optional
        A single-use pass; a second use is refused.
    """

    since: int
    keys: frozenset[bytes] = frozenset()
    kinds: frozenset[str] = frozenset()
    token: str | None = None


def hold_guard(sql: Runner, guard: Guard | None, size: int) -> None:
    """Refuse if something relevant came in since, or the pass was used before."""
    if guard is None:
        return
    late = [sql.one("late_key", key=key, since=guard.since) for key in sorted(guard.keys)]
    late += [sql.one("late_kind", kind=kind, since=guard.since) for kind in sorted(guard.kinds)]
    found = [row[0] for row in late if row is not None]
    if found:
        raise GuardError(
            f"entry #{min(found)} came in while this was being prepared (the ledger now has {size} entries)",
            expected=f"nothing relevant from #{guard.since} on",
            next_step="decide again",
        )
    if guard.token is not None:
        used = sql.one("token", token=guard.token)
        if used is not None:
            raise GuardError(f"this pass was used by entry #{used[0]}", expected="a new decision for each promotion")


def continue_chains(sql: Runner, entries: Sequence[entry.Entry], known: Mapping[str, entry.Leaf]) -> None:
    """Refuse what does not continue its writer's session; ``known`` are last leaves that need not be read again, by writer."""
    tails: dict[str, tuple[int, entry.Leaf] | None] = {writer: (leaf.seq, leaf) for writer, leaf in known.items()}
    for one in entries:
        writer = one.chain.writer
        if writer not in tails:
            row = sql.one("tail", writer=writer)
            tails[writer] = (row[0], entry.Leaf.from_bytes(stored_bytes(row[1]))) if row is not None else None
        tail = tails[writer]
        expected = (0, None) if tail is None else (tail[0] + 1, tail[1].payload)
        if (one.chain.seq, one.chain.prev) != expected:
            raise ChainConflictError(
                f"record {one.chain.seq} of writer {writer} does not continue its chain",
                expected=f"record {expected[0]}",
            )
        if tail is not None and one.leaf.keyid != tail[1].keyid:
            raise ChainConflictError(
                f"record {one.chain.seq} of writer {writer} is signed with another key, {one.leaf.keyid[:16]}",
                expected=f"the key that opened the session, {tail[1].keyid[:16]}",
            )
        if isinstance(one.content, WriterClose) and one.content.records != one.chain.seq + 1:
            raise ChainConflictError(
                f"writer {writer} closes after {one.content.records} records",
                expected=f"{one.chain.seq + 1}, which are here",
            )
        closed = tail is not None and tail[1].kind == WriterClose.kind
        if (tail is None) != (one.kind == WriterOpen.kind) or closed:
            raise ChainConflictError(
                f"writer {writer} {'has closed' if closed else 'opens at the wrong place'}",
                expected="an opening record first, and nothing after the closing one",
            )
        tails[writer] = (one.chain.seq, one.leaf)


def know_signers(
    current: TrustFile | None,
    size: int,
    entries: Sequence[entry.Entry],
    author: Callable[[entry.Entry, TrustFile, int], Principal],
) -> tuple[int, TrustFile] | None:
    """Refuse what a later verification would have to call signed by nobody.

    Returns
    -------
    tuple of int and TrustFile, or None
        The last trust file among these entries, with its place among them.
    """
    newest = None
    for index, one in enumerate(entries, size):
        if isinstance(one.content, TrustUpdate):
            update = Envelope.from_dict(one.content.envelope)
            coming = trust.read(update) if current is None else trust.verify_successor(update, current)
            # Whoever the trust file in force names puts the next one in force.
            author(one, current or coming, index)
            current, newest = coming, (index - size, coming)
            continue
        if current is None:
            if index:
                raise VerificationError("the log has no trust file yet", expected="a trust file as its first fact")
            continue  # the root's own session opens before the trust file that names it
        principal = author(one, current, index)
        if _takes_a_role(type(one.content)):
            _hold_role(one, principal)
        if (fault := mandate.fault(one.content, principal, current, one.chain.recorded_at)) is not None:
            raise NotAuthorizedError(fault, expected="what the charter in force allows", next_step="mlgov policy can")
    return newest


@cache
def _takes_a_role(what: type[Content]) -> bool:
    return issubclass(what, (Erasure, HumanText, BreakGlass, BreakGlassReview, ApprovalRequest))


def _hold_role(one: entry.Entry, principal: Principal) -> None:
    """Refuse what takes a role that its signer does not have."""
    if isinstance(one.content, Erasure) and ERASER not in principal.roles:
        raise VerificationError(f"{principal.id} may not erase content", expected=f"the role {ERASER}")
    if isinstance(one.content, HumanText) and not principal.roles:
        raise VerificationError(f"{principal.id} may not sign a text about a model", expected="somebody with a role")
    if isinstance(one.content, BreakGlass | BreakGlassReview) and one.content.role not in principal.roles:
        raise VerificationError(
            f"{principal.id} signed a {one.kind} as {one.content.role}",
            expected="a role that the trust file gives them",
        )
    if isinstance(one.content, ApprovalRequest) and not principal.roles:
        raise VerificationError(f"{principal.id} has no role and asks for an approval", expected="any role")


def know_log_key(current: TrustFile | None, key: LogKey, size: int) -> None:
    """Refuse to sign a checkpoint with a key that does not count for a tree of that size."""
    if current is None:
        return
    known = next((one for one in current.log_keys if (one.name, one.public) == (key.name, key.public)), None)
    if known is None:
        raise VerificationError(
            f"no key that counts would sign: the trust file in force does not name this log key of {key.name}",
            expected=f"one of {len(current.log_keys)} keys that it names",
        )
    if not known.valid_at(size):
        raise VerificationError(
            f"no key that counts would sign: this log key of {key.name} was to sign trees {known.sizes()}, and this one has {size} entries",
            expected="the log key that is in use now",
            next_step="mlgov keys ls; a process that began before the change is to be started again",
        )


def erase(sql: Runner, entries: Sequence[entry.Entry], index: int) -> None:
    """Delete an entry's content, if one of the new entries says so; otherwise it would be called missing."""
    row = sql.one("leaf", idx=index)
    leaf = entry.Leaf.from_bytes(stored_bytes(row[0])) if row is not None else None
    said = {(one.content.leaf, one.content.payload) for one in entries if isinstance(one.content, Erasure)}
    if leaf is None or (index, leaf.payload) not in said:
        raise VerificationError(
            f"no entry says that #{index} is erased", expected="an erasure that names it and its digest"
        )
    if leaf.kind in NEVER_ERASED:
        raise VerificationError(
            f"#{index} is a {leaf.kind} entry, which the rest is verified with", expected="another kind"
        )
    sql.run("erase", idx=index)


def keep_time(
    sql: Runner,
    current: TrustFile | None,
    latest: datetime | None,
    size: int,
    entries: Sequence[entry.Entry],
    *,
    now: datetime,
) -> datetime | None:
    """Refuse what a later verification would have to call backdated, and what would have it call everything later so.

    Parameters
    ----------
    sql : Runner
        Reads the log's tables.
    current : TrustFile or None
        The trust file in force before these entries.
    latest : datetime or None
        The time that the log has come to.
    size : int
        Index of the first of these entries.
    entries : sequence of Entry
        What is to be appended.
    now : datetime
        The clock of whoever appends.

    Returns
    -------
    datetime or None
        The time that the log comes to with them.
    """
    for place, one in enumerate(entries):
        at = one.chain.recorded_at
        if at - now > MAX_SKEW:
            raise VerificationError(
                f"the record says it is {at.isoformat()}, and it is {now.isoformat()} here: nothing true could follow it",
                expected=f"a clock that is right to {_minutes()} minutes",
                next_step="set the clock of whoever signed it, or of this machine",
            )
        said = timeline.resumption(one) if current is not None else None
        if said is not None:
            line = timeline.replay(chain(_stored(sql, size), enumerate(entries[:place], size)))
            line.resume(size + place, at, *said)
            latest = line.latest
            continue
        if latest is not None and latest - at > MAX_SKEW:
            if current is not None and _opens_to_resume(one, entries[place + 1 : place + 2], current):
                continue
            raise VerificationError(
                f"the record says it is {at.isoformat()}, and the log already has an entry from {latest.isoformat()}",
                expected=f"a clock that is right to {_minutes()} minutes",
                next_step="set this machine's clock; if the log's time is the wrong one: mlgov keys resume",
            )
        latest = at if latest is None else max(latest, at)
    return latest


def _minutes() -> int:
    return int(MAX_SKEW.total_seconds() // 60)


def _opens_to_resume(one: entry.Entry, following: Sequence[entry.Entry], current: TrustFile) -> bool:
    """Tell whether a root key's session opens only to set the time right with its next record."""
    return (
        one.kind == WriterOpen.kind
        and one.leaf.keyid in current.root_ids
        and any(two.chain.writer == one.chain.writer and timeline.resumption(two) is not None for two in following)
    )


def _stored(sql: Runner, size: int) -> Iterator[tuple[int, entry.Entry]]:
    """Yield every entry below a size that has content; the root sets the time right too seldom for its state to be kept."""
    for index in range(size):
        row = sql.one("blob", idx=index)
        if row is not None:
            yield index, entry.read(stored_bytes(row[0]))


def keep_sessions_in_time(sql: Runner, entries: Sequence[entry.Entry]) -> None:
    """Refuse a record that says it is older than the one before it; our own writers see to that themselves."""
    latest: dict[str, datetime] = {}
    for one in entries:
        writer, at = one.chain.writer, one.chain.recorded_at
        if writer not in latest and one.chain.seq:
            row = sql.one("record", writer=writer, seq=one.chain.seq - 1)
            if row is not None:  # otherwise its content was erased, and its time with it
                latest[writer] = entry.read(stored_bytes(row[0])).chain.recorded_at
        if writer in latest and at < latest[writer]:
            raise ChainConflictError(
                f"record {one.chain.seq} of writer {writer} goes back in time, to {at.isoformat()}",
                expected=f"{latest[writer].isoformat()}, the time of the record before it, or later",
            )
        latest[writer] = at
