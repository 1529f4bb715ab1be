"""Time that has not come: refused at the door; where it got in, the root's threshold sets it right, and nobody alone moves it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import bundle, entry, keys, offline, succession, tiles, trust
from ml_governance.evidence.predicates import TrustUpdate, WriterOpen
from ml_governance.evidence.timeline import CEREMONY, MAX_SKEW, Timeline
from ml_governance.evidence.trust import Resumption, sign_trust
from ml_governance.evidence.verdicts import Approval
from ml_governance.evidence.verify import verify
from ml_governance.evidence.wire import Chain
from ml_governance.testing import START
from tests.evidence.conftest import MODEL, ORIGIN, Log, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.keys import Signer

YEAR = timedelta(days=365)
NO = Approval(stage="production", binding="0" * 64, verdict="reject", role="validator", reason="no")


def from_the_future(log: Log, *contents: Any, ahead: timedelta = YEAR) -> int:
    """Append what somebody signs whose machine is ahead; return the index of the first entry from the future."""
    since, now = log.ledger.size, log.clock.now
    log.clock.advance(ahead)
    writer = log.writer()
    for content in contents or (note("from the future"),):
        writer.record(content, [MODEL])
    log.clock.now = now
    return since


def next_trust(log: Log, **changes: Any) -> trust.TrustFile:
    at = log.clock.now
    return replace(succession.following(log.trust, at=at, expires_at=at + YEAR), **changes)


def enact(log: Log, version: trust.TrustFile, signers: Sequence[Signer] | None = None) -> Receipt:
    envelope = sign_trust(version, signers or [log.root])
    with log.writer(log.root) as writer:
        return writer.record(TrustUpdate(version=version.version, envelope=envelope.to_dict()), [MODEL])


def resume(log: Log, since: int, at: datetime | None = None) -> Receipt:
    return enact(
        log, next_trust(log, resumes=Resumption(since=since, at=at or log.clock.now), remark="a clock was wrong")
    )


def without_the_door(monkeypatch: pytest.MonkeyPatch, *, also: str = "") -> None:
    """Append as somebody does who writes the database directly."""
    monkeypatch.setattr("ml_governance.evidence.door.keep_time", lambda *_, **__: None)
    if also:
        monkeypatch.setattr(f"ml_governance.evidence.door.{also}", lambda *_, **__: None)


# --- the door --------------------------------------------------------------------------------------------------


def test_what_is_ahead_of_the_clock_of_whoever_appends_is_refused(log: Log) -> None:
    """A submitter's clock is not the log's: what others sign is held against the clock here."""
    from ml_governance.evidence.writer import Writer
    from ml_governance.testing import FrozenClock
    from tests.evidence.conftest import SOFTWARE

    size = log.ledger.size
    fast = FrozenClock(log.clock.now + MAX_SKEW + timedelta(seconds=1))
    with pytest.raises(VerificationError, match="nothing true could follow it"):
        Writer(log.ledger, log.ada, clock=fast, software=SOFTWARE).record(note("too early"), [MODEL])
    assert log.ledger.size == size
    fast.advance(timedelta(seconds=-1))
    Writer(log.ledger, log.ada, clock=fast, software=SOFTWARE).record(note("within the allowance"), [MODEL])
    assert not log.problems()


def test_a_session_whose_own_time_was_wrong_ends_and_spoils_nothing(log: Log) -> None:
    """When the time has been set right, the door no longer stops a session that began later; its writer does."""
    now = log.clock.now
    since = log.ledger.size
    log.clock.advance(YEAR)
    late = log.writer()
    late.record(note("from the future"), [MODEL])
    log.clock.now = now
    resume(log, since)
    with pytest.raises(VerificationError, match="this session has a record from"):
        late.record(note("at the true time"), [MODEL])
    assert not log.problems()


# --- resuming ---------------------------------------------------------------------------------------------------


def test_one_entry_from_the_future_closes_the_log_until_the_root_sets_the_time_right(any_log: Log) -> None:
    log = any_log
    since = from_the_future(log)
    with pytest.raises(VerificationError, match="keys resume"), log.writer() as writer:
        writer.record(note("true"), [MODEL])
    index = resume(log, since).index
    with log.writer() as writer:
        kept = writer.record(note("true"), [MODEL]).index
    verified = log.verify()
    assert not verified.problems
    told = " ".join(verified.notes)
    assert f"set the time right at #{index} (trust file 2)" in told
    assert f"on record at #{index}, with trust file 2: a clock was wrong" in told
    assert verified.prefix.latest == log.clock.now
    assert kept in {one.index for one in verified.attestations}
    assert verified.view().newest == log.clock.now


def test_what_claims_a_time_that_had_not_come_counts_no_more_but_a_no_stays_a_no(log: Log) -> None:
    since = from_the_future(log, replace_verdict("approve"), NO)
    resume(log, since)
    verified = log.verify()
    assert not verified.problems
    void = {one.index: one for one in verified.void if one.kind == "approval"}
    assert list(void) == [since + 1]
    assert "which had not come: the root said so" in void[since + 1].why
    counting = {one.index for one in verified.attestations if one.kind == "approval"}
    assert counting == {since + 2}


def replace_verdict(verdict: str) -> Approval:
    return NO.model_copy(update={"verdict": verdict})


def test_honest_entries_beside_those_from_the_future_still_count(log: Log) -> None:
    with log.writer() as writer:
        honest = writer.record(note("honest"), [MODEL]).index
    since = from_the_future(log, replace_verdict("approve"))
    # The root may doubt too much; what claims a time that has come counts all the same.
    resume(log, honest)
    counting = {one.index for one in log.verify().attestations}
    assert honest in counting
    assert since + 1 not in counting


def test_a_log_is_resumed_as_often_as_it_must_be(log: Log) -> None:
    for times in range(3):
        since = from_the_future(log, ahead=YEAR / (times + 1))
        log.trust = next_trust(log, resumes=Resumption(since=since, at=log.clock.now))
        enact(log, log.trust)
        log.clock.advance(timedelta(minutes=1))
        with log.writer() as writer:
            writer.record(note("true"), [MODEL])
    verified = log.verify()
    assert not verified.problems
    assert sum("set the time right" in one for one in verified.notes) == 3


def test_time_is_never_set_back_behind_entries_that_nobody_doubts(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at the door nor behind it, whoever signs: history before the first false entry stays where it is."""
    log.clock.advance(timedelta(days=30))
    with log.writer() as writer:
        writer.record(note("a month later"), [MODEL])
    since = from_the_future(log)
    log.clock.now -= timedelta(days=20)
    with pytest.raises(VerificationError, match="whose time nobody doubts"):
        resume(log, since)
    without_the_door(monkeypatch)
    resume(log, since)
    assert "whose time nobody doubts" in log.problems()


def test_one_holder_of_a_root_of_two_moves_no_time(log: Log, tmp_path: Path) -> None:
    first, second = log.trust.root_digest, keys.generate(tmp_path / "second.pem")
    log.trust = next_trust(log, root_keys=(log.root.public, second.public), root_threshold=2)
    enact(log, log.trust, [log.root, second])
    since = from_the_future(log)
    alone = next_trust(log, resumes=Resumption(since=since, at=log.clock.now))
    with pytest.raises(VerificationError, match="not signed by"):
        enact(log, alone)
    enact(log, alone, [log.root, second])
    assert not verify(log.ledger, root=first).problems


def test_a_root_key_alone_cannot_write_behind_the_logs_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session that sets the time right opens before it does; without the trust file that opening is backdated."""
    from_the_future(log)
    with pytest.raises(VerificationError, match="already has an entry"):
        enact(log, next_trust(log))
    chain = Chain(log=ORIGIN, writer="root:alone", seq=0, nonce="0" * 32, recorded_at=log.clock())
    with pytest.raises(VerificationError, match="already has an entry"):
        log.ledger.append_own([entry.make(chain, WriterOpen(software={}), [MODEL], log.root)])
    without_the_door(monkeypatch)
    enact(log, next_trust(log))
    problems = log.problems()
    assert "writer-open" in problems
    assert problems.count("it claims the time") == 3


def test_the_entry_is_from_the_time_that_the_root_signed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes it is one person; what time it is, the threshold has said."""
    since = from_the_future(log)
    signed = log.clock.now
    for moved in (-2 * MAX_SKEW, CEREMONY + timedelta(seconds=1)):
        log.clock.now = signed + moved
        with pytest.raises(VerificationError, match="the root signed that it was"):
            resume(log, since, signed)
    log.clock.now = signed + CEREMONY
    resume(log, since, signed)
    assert not log.problems()


def test_a_resumption_doubts_entries_before_its_own(log: Log) -> None:
    from_the_future(log)
    for since in (0, log.ledger.size + 1, 10**6):
        with pytest.raises(VerificationError, match="doubts the times from"):
            resume(log, since)
    with pytest.raises(VerificationError, match="first trust file sets a time right"):
        replace(log.trust, resumes=Resumption(since=1, at=START))


# --- every verifier ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["whole", "subject", "tiles"])
def test_whoever_gets_the_log_accepts_the_resumption_and_is_told(log: Log, tmp_path: Path, form: str) -> None:
    since = from_the_future(log, replace_verdict("approve"))
    index = resume(log, since).index
    with log.writer() as writer:
        writer.record(note("true"), [MODEL])
    root = log.trust.root_digest
    if form == "tiles":
        tiles.write(log.ledger, tmp_path / "tiles")
        found = offline.verify_tiles(tmp_path / "tiles", root=root)
    else:
        data = bundle.collect(log.ledger, [MODEL.sha256] if form == "subject" else []).to_bytes()
        found = offline.verify_bundle(data, root=root)
    assert not found.problems
    assert f"set the time right at #{index}" in " ".join(found.notes)
    assert "a clock was wrong" in " ".join(found.notes)
    assert since + 1 in {one.index for one in found.void}


def test_a_bundle_refuses_a_resumption_that_leads_too_far_back(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.clock.advance(timedelta(days=30))
    with log.writer() as writer:
        writer.record(note("a month later"), [MODEL])
    since = from_the_future(log)
    log.clock.now -= timedelta(days=20)
    without_the_door(monkeypatch)
    resume(log, since)
    for subjects in ((), (MODEL.sha256,)):
        found = offline.verify_bundle(bundle.collect(log.ledger, subjects).to_bytes(), root=log.trust.root_digest)
        assert "whose time nobody doubts" in " ".join(problem.what for problem in found.problems)


def test_a_verifier_with_a_memory_verifies_everything_when_the_time_was_set_right(log: Log) -> None:
    """What it no longer remembers, because its time would have given it away, could come again."""
    since = from_the_future(log)
    before = log.verify().prefix
    resume(log, since)
    assert "verify everything" in " ".join(one.what for one in log.verify(since=before).problems)
    after = log.verify()
    assert not after.problems
    with log.writer() as writer:
        writer.record(note("true"), [MODEL])
    assert not log.verify(since=after.prefix).problems


# --- laws ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-5, 4000), min_size=1, max_size=40), st.integers(1, 45), st.integers(-200, 4000))
def test_no_resumption_leads_behind_what_it_does_not_doubt(minutes: list[int], since: int, to: int) -> None:
    """Held against the newest time found by looking at all entries; the timeline keeps one mark for ten minutes."""
    line, times = Timeline(), []
    for index, minute in enumerate(minutes):
        at = START + timedelta(minutes=minute)
        if not line.behind(at):
            line.note(index, at)
            times.append((index, at))
    index, at = len(minutes), START + timedelta(minutes=to)
    newest = max((when for place, when in times if place < since), default=None)
    try:
        line.resume(index, at, Resumption(since=since, at=at), 2)
    except VerificationError:
        assert since >= index or (newest is not None and newest - at > MAX_SKEW)
        return
    assert 0 < since < index
    assert newest is None or newest - at < 2 * MAX_SKEW
    assert line.latest == at


@given(st.lists(st.integers(0, 4000), max_size=40))
def test_the_newest_time_is_the_largest_that_was_not_too_far_behind(minutes: list[int]) -> None:
    line, newest = Timeline(), None
    for index, minute in enumerate(minutes):
        at = START + timedelta(minutes=minute)
        assert line.behind(at) == (newest is not None and newest - at > MAX_SKEW)
        if not line.behind(at):
            line.note(index, at)
            newest = at if newest is None else max(newest, at)
    assert line.latest == newest
