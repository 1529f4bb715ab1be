from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import ConfigurationError, LedgerError, UsageError, VerificationError
from ml_governance.evidence import entry, merkle, subject_index
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.check import collecting_rarely
from ml_governance.evidence.checkpoint import LogSigner, read_note
from ml_governance.evidence.door import ChainConflictError, Guard, GuardError
from ml_governance.evidence.envelope import Envelope, sign
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import TrustUpdate, WriterClose
from ml_governance.evidence.trust import sign_trust
from ml_governance.evidence.wire import Chain
from ml_governance.evidence.writer import Writer, log_subject
from tests.evidence.conftest import MODEL, ORIGIN, SOFTWARE, Log, make_log, make_trust, note

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.keys import KeySigner
    from ml_governance.evidence.wire import Content


def envelopes(log: Log) -> list[Envelope]:
    return [Envelope.from_bytes(stored.envelope) for stored in log.ledger.entries() if stored.envelope]


def test_a_receipt_proves_that_the_entry_is_in_the_log(any_log: Log) -> None:
    log = any_log
    with log.writer() as writer:
        receipt = writer.record(note("kept"), [MODEL])
    checkpoint = read_note(receipt.checkpoint, [log.log_signer.public], origin=ORIGIN)
    merkle.verify_inclusion(receipt.leaf_hash, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)


def test_proofs_come_from_the_database(any_log: Log) -> None:
    log = any_log
    size, root = log.ledger.size, log.verify().checkpoint.root
    for stored in log.ledger.entries():
        proof = log.ledger.inclusion_proof(stored.index)
        merkle.verify_inclusion(stored.leaf_hash, stored.index, size, proof, root)
    leaves = [stored.leaf_hash for stored in log.ledger.entries()]
    for old in range(size + 1):
        before = merkle.root_of(leaves[:old])
        merkle.verify_consistency(old, size, before, root, log.ledger.consistency_proof(old, size))
    key, index_root, head = bytes.fromhex(MODEL.sha256), log.verify().checkpoint.index_root, log.ledger.head()
    value = subject_index.verify_key(index_root, key, log.ledger.index_proof(key), head.kinds)
    assert value == subject_index.chain([(i, leaves[i]) for i in log.ledger.find(key)])
    assert value.count == 3
    value = subject_index.verify_kind(index_root, "revocation", head.trie, head.kinds)
    assert value == subject_index.chain([(i, leaves[i]) for i in log.ledger.find_kind("revocation")])


def test_nothing_that_an_append_writes_grows_with_the_log(tmp_path: Path) -> None:
    def rows(entries: int) -> int:
        log = make_log(tmp_path / str(entries), entries)
        with log.writer() as writer:
            writer.record(note("first"), [MODEL])
            with log.ledger.database.connection() as raw:
                before = raw.total_changes
            writer.record(note("measured"), [MODEL])
            with log.ledger.database.connection() as raw:
                return int(raw.total_changes - before)

    few, many = rows(5), rows(60)
    assert few >= 6, "leaf, content, subject, kind, index and head"
    assert abs(few - many) <= 6


@pytest.mark.parametrize(
    "broken",
    [
        lambda log: sign(b"{}", [log.ada]),
        lambda log: sign(envelopes(log)[4].payload, [log.ada], payload_type="text/plain"),
        lambda log: replace(envelopes(log)[4], signatures=envelopes(log)[4].signatures * 2),
    ],
    ids=["no statement", "another type", "two signatures"],
)
def test_what_is_no_entry_is_refused(any_log: Log, broken) -> None:  # type: ignore[no-untyped-def]
    log = any_log
    size = log.ledger.size
    with pytest.raises(VerificationError):
        log.ledger.append([broken(log)])
    assert log.ledger.size == size


def test_a_replayed_entry_is_refused(any_log: Log) -> None:
    log = any_log
    with pytest.raises(VerificationError):
        log.ledger.append([envelopes(log)[4]])


def test_an_entry_of_another_log_is_refused(log: Log, tmp_path: Path) -> None:
    other = make_log(tmp_path / "other")
    with other.ledger.database.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = 'elsewhere' WHERE key = 'origin'")
    moved = Ledger.open(other.url, log_signer=other.log_signer)
    with pytest.raises(VerificationError, match="signed for the log"):
        moved.append([envelopes(log)[3]])


def test_what_a_process_knows_of_a_session_ends_where_another_goes_on_with_it(any_log: Log) -> None:
    log = any_log
    writer = log.writer()
    writer.record(note("here"), [MODEL])
    with Ledger.open(log.url, log_signer=log.log_signer, clock=log.clock) as other:
        writer._ledger = other
        writer.record(note("there"), [MODEL])
    stale = envelopes(log)[-1]
    writer._ledger = log.ledger
    with pytest.raises(ChainConflictError, match="does not continue its chain"):
        log.ledger.append([stale])
    writer.record(note("here again"), [MODEL])
    assert not log.verify().problems


def test_whoever_a_restored_database_does_not_trust_is_refused_by_a_process_that_knew_them(log: Log) -> None:
    backup = log.path / "backup.sqlite"
    with closing(sqlite3.connect(log.path / "log.sqlite")) as database, closing(sqlite3.connect(backup)) as copy:
        database.backup(copy)
    people = make_trust(log.root, log.log_signer, {"ada": log.ada, "eve": log.eve}).principals
    succeeded(log, log.ledger, principals=people)
    with log.writer(log.eve) as writer:
        writer.record(note("while she is trusted"), [MODEL])
    with closing(sqlite3.connect(backup)) as copy, closing(sqlite3.connect(log.path / "log.sqlite")) as database:
        copy.backup(database)
    with Ledger.open(log.url, log_signer=log.log_signer, clock=log.clock) as other:
        succeeded(log, other, remark="another version 2, at the same index")
    with pytest.raises(VerificationError, match="belongs to nobody in version 2"):
        log.writer(log.eve).record(note("she is not"), [MODEL])
    assert not log.verify().problems


def succeeded(log: Log, ledger: Ledger, **changes: object) -> None:
    """Put a second version of the trust file in force."""
    update = sign_trust(replace(log.trust, version=2, previous=log.trust.digest, **changes), [log.root])  # type: ignore[arg-type]
    with Writer(ledger, log.root, clock=log.clock, software=SOFTWARE) as writer:
        writer.record(TrustUpdate(version=2, envelope=update.to_dict()), [log_subject(ORIGIN)])


@pytest.mark.parametrize("allocations", [0, 700, 200_000])
def test_verifications_at_once_leave_the_collector_of_cycles_as_it_was(log: Log, allocations: int) -> None:
    was, seen = gc.get_threshold(), []

    def failing(done: int, of: int) -> None:
        seen.append(gc.get_threshold()[0])
        raise UsageError("enough")

    try:
        gc.set_threshold(allocations, 11, 12)
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(collecting_rarely())
            second.enter_context(collecting_rarely())
            first.close()
            assert gc.get_threshold()[0] == (allocations and max(allocations, 100_000))  # for the second, still
            with pytest.raises(UsageError, match="enough"):
                log.verify(progress=failing)
        assert seen == [allocations and max(allocations, 100_000)]
        assert gc.get_threshold() == (allocations, 11, 12)
    finally:
        gc.set_threshold(*was)


def test_a_writer_cannot_skip_or_fork_its_chain(any_log: Log) -> None:
    log = any_log
    writer = log.writer()
    writer.record(note("one"), [MODEL])
    writer._seq += 1
    with pytest.raises(ChainConflictError, match="does not continue"):
        writer.record(note("skipped"), [MODEL])
    writer._seq -= 1
    writer.close()
    writer._closed = False
    with pytest.raises(ChainConflictError, match="has closed"):
        writer.record(note("after the end"), [MODEL])


def test_a_writer_belongs_to_one_thread_and_ends(any_log: Log) -> None:
    log = any_log
    writer = log.writer()
    writer._thread = -1
    with pytest.raises(UsageError, match="another thread"):
        writer.record(note("x"), [MODEL])
    closed = log.writer()
    closed.close()
    with pytest.raises(UsageError, match="closed"):
        closed.record(note("x"), [MODEL])


def test_a_guard_sees_relevant_entries_and_no_others(any_log: Log) -> None:
    log = any_log
    since, keys = log.ledger.size, frozenset({bytes.fromhex(MODEL.sha256)})
    with log.writer() as writer:
        writer.record(note("about another"), [replace(MODEL, sha256="cd" * 32)])
        writer.record(
            note("nothing relevant yet"), [replace(MODEL, sha256="cd" * 32)], guard=Guard(since=since, keys=keys)
        )
        writer.record(note("relevant"), [MODEL])
        with pytest.raises(GuardError, match="came in"):
            writer.record(note("too late"), [MODEL], guard=Guard(since=since, keys=keys))
        writer.record(note("the chain goes on"), [MODEL])
    assert not log.verify().problems


def test_a_pass_is_used_once(any_log: Log) -> None:
    log = any_log
    with log.writer() as writer:
        guard = Guard(since=log.ledger.size + 1, keys=frozenset(), token="t" * 64)
        writer.record(note("first"), [MODEL], guard=guard)
        with pytest.raises(GuardError, match="was used"):
            writer.record(note("second"), [MODEL], guard=guard)


def test_a_clock_that_runs_back_is_refused_when_writing(any_log: Log) -> None:
    log = any_log
    log.clock.advance(timedelta(hours=-2))
    with pytest.raises(VerificationError, match="the log already has an entry from"), log.writer() as writer:
        writer.record(note("backdated"), [MODEL])
    log.clock.advance(timedelta(hours=2))
    assert not log.verify().problems


@pytest.mark.parametrize("seconds", [1, 599])
def test_a_clock_that_is_set_right_by_a_little_does_not_spoil_a_session(any_log: Log, seconds: int) -> None:
    log = any_log
    with log.writer() as writer:
        before = log.clock()
        writer.record(note("before"), [MODEL])
        log.clock.advance(timedelta(seconds=-seconds))
        writer.record_all([(note("after"), [MODEL]), (note("and more"), [MODEL])])
    assert not log.verify().problems
    assert log.verify().attestations[-1].recorded_at == before


def next_in(
    log: Log, content: Content, *, ahead: timedelta = timedelta(0), signer: KeySigner | None = None
) -> Envelope:
    """Return an envelope that would continue the session of the log's newest entry."""
    leaf = entry.Leaf.from_bytes(next(log.ledger.entries(log.ledger.size - 1)).leaf)
    chain = Chain(
        log=ORIGIN,
        writer=leaf.writer,
        seq=leaf.seq + 1,
        prev=leaf.payload,
        nonce="0" * 32,
        recorded_at=log.clock() + ahead,
    )
    return sign(entry.statement(chain, content, (MODEL,)).payload, [signer or log.ada])


def test_a_record_from_before_its_sessions_last_is_refused(any_log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log = any_log
    log.writer().record(note("opens"), [MODEL])
    with pytest.raises(ChainConflictError, match="goes back in time"):
        log.ledger.append([next_in(log, note("a second earlier"), ahead=timedelta(seconds=-1))])
    log.ledger.append([next_in(log, note("at the same time"))])
    assert not log.verify().problems
    monkeypatch.setattr("ml_governance.evidence.door.keep_sessions_in_time", lambda *_: None)
    log.ledger.append([next_in(log, note("past the check"), ahead=timedelta(seconds=-1))])
    assert "went back in time" in log.problems()


def test_nobody_goes_on_with_the_session_of_another(any_log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eve is trusted from here on, so that her signature alone keeps nothing out."""
    log = any_log
    people = make_trust(log.root, log.log_signer, {"ada": log.ada, "eve": log.eve}).principals
    following = replace(log.trust, version=2, previous=sha256_hex(canonicalise(log.trust.to_dict())), principals=people)
    envelope = sign_trust(following, [log.root])
    with log.writer(log.root) as root:
        root.record(TrustUpdate(version=2, envelope=envelope.to_dict()), [MODEL])
    log.writer().record(note("mine"), [MODEL])
    with pytest.raises(ChainConflictError, match="signed with another key"):
        log.ledger.append([next_in(log, note("mine as well"), signer=log.eve)])
    log.writer(log.eve).record(note("in a session of her own"), [MODEL])
    assert not log.verify().problems
    monkeypatch.setattr("ml_governance.evidence.door.continue_chains", lambda *_: None)
    log.ledger.append([next_in(log, note("in hers"), signer=log.ada)])
    assert "changed its key" in log.problems()


def test_a_session_closes_with_the_number_of_its_records(any_log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log = any_log
    log.writer().record(note("one"), [MODEL])
    with pytest.raises(ChainConflictError, match="closes after 77 records"):
        log.ledger.append([next_in(log, WriterClose(records=77))])
    log.ledger.append([next_in(log, WriterClose(records=3))])
    assert not log.verify().problems
    log.writer().record(note("another session"), [MODEL])
    monkeypatch.setattr("ml_governance.evidence.door.continue_chains", lambda *_: None)
    log.ledger.append([next_in(log, WriterClose(records=77))])
    assert "closes after 77 records, 3 are here" in log.problems()


def test_a_signature_of_another_record_does_not_count(any_log: Log) -> None:
    log = any_log
    log.writer().record(note("opens"), [MODEL])
    wanted, other = next_in(log, note("what she did not sign")), next_in(log, note("what she signed"))
    with pytest.raises(VerificationError, match="does not verify"):
        log.ledger.append([replace(wanted, signatures=other.signatures)])
    log.ledger.append([wanted])


def test_without_the_log_key_the_ledger_is_read_only(any_log: Log) -> None:
    log = any_log
    with Ledger.open(log.url) as reader:
        assert reader.size == log.ledger.size
        with pytest.raises(ConfigurationError, match="reading only"):
            reader.append([envelopes(log)[0]])


def test_another_log_key_cannot_go_on(any_log: Log, tmp_path: Path) -> None:
    log = any_log
    eve = LogSigner.generate(tmp_path / "eve-log.pem", name=ORIGIN)
    with pytest.raises(VerificationError, match="no key that counts"):
        log.ledger.close()
        log.ledger = Ledger.open(log.url, log_signer=eve)
        with log.writer() as writer:
            writer.record(note("x"), [MODEL])


def test_opening_never_creates(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        Ledger.open(f"sqlite:///{tmp_path / 'nothing.sqlite'}")
    assert not (tmp_path / "nothing.sqlite").exists()
    (tmp_path / "text.sqlite").write_text("this is no database, whatever its name says" * 30)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.open(f"sqlite:///{tmp_path / 'text.sqlite'}")
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(LedgerError, match="holds no ledger"):
        Ledger.open(f"sqlite:///{tmp_path / 'empty.sqlite'}")


def test_another_schema_is_refused_not_guessed_at(any_log: Log) -> None:
    log = any_log
    with log.ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(LedgerError, match="schema '99'"):
        Ledger.open(log.url)


def test_a_full_disk_loses_nothing(log: Log) -> None:
    size = log.ledger.size
    log.ledger.close()
    with log.ledger.database.connection() as raw:  # the next to be lent
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(LedgerError, match="full") as caught, log.writer() as writer:
        for number in range(200):
            writer.record(note("x" * 3000 + str(number)), [MODEL])
    log.ledger.close()
    assert caught.value.exit_code == 5
    assert "disk" in str(caught.value)
    assert log.ledger.size >= size
    assert not log.verify().problems


def _write(path: str, url: str, number: int) -> None:
    from pathlib import Path

    from ml_governance.evidence import keys
    from ml_governance.evidence.writer import Writer
    from ml_governance.testing import FrozenClock

    folder = Path(path)
    ledger = Ledger.open(url, log_signer=LogSigner.load(folder / "log.pem", name=ORIGIN))
    clock = FrozenClock()
    clock.advance(timedelta(minutes=1))
    with ledger, Writer(ledger, keys.load(folder / "ada.pem"), clock=clock, software=SOFTWARE) as writer:
        for position in range(15):
            writer.record(note(f"{number}/{position}"), [MODEL])


def test_many_processes_write_one_gapless_log(any_log: Log) -> None:
    log = any_log
    size = log.ledger.size
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(str(log.path), log.url, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert log.ledger.size == size + 3 * 17
    assert not log.verify().problems


def test_a_log_verifies_while_others_write_it(any_log: Log) -> None:
    log = any_log
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write, args=(str(log.path), log.url, 0))
    process.start()
    sizes = set()
    while process.is_alive():
        verified = log.verify()
        assert not verified.problems
        sizes.add(verified.checkpoint.size)
    process.join()
    assert process.exitcode == 0
    assert not log.verify().problems
    assert sizes


KILLED = """
import sys
from pathlib import Path
from ml_governance.evidence import keys
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.writer import Writer
from tests.evidence.conftest import MODEL, ORIGIN, SOFTWARE, note
from ml_governance.testing import FrozenClock
folder = Path(sys.argv[1])
ledger = Ledger.open(sys.argv[2], log_signer=LogSigner.load(folder / "log.pem", name=ORIGIN))
writer = Writer(ledger, keys.load(folder / "ada.pem"), clock=FrozenClock(), software=SOFTWARE)
while True:
    print(writer.record(note("acknowledged"), [MODEL]).index, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_was_acknowledged(any_log: Log) -> None:
    log = any_log
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(log.path), log.url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline())]
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().splitlines() if line.strip()]
    process.stdout.close()
    process.wait()
    verified = log.verify()
    assert not verified.problems
    assert verified.checkpoint.size > max(acknowledged)
    assert "ended without a closing record" in " ".join(verified.notes)


def test_leaf_bytes_are_strict(any_log: Log) -> None:
    log = any_log
    leaf = next(log.ledger.entries()).leaf
    assert entry.Leaf.from_bytes(leaf).to_bytes() == leaf
    for wrong in (b"{}", leaf.replace(b'"v":1', b'"v":2'), leaf.replace(b'"seq":0', b'"seq":"0"')):
        with pytest.raises(VerificationError):
            entry.Leaf.from_bytes(wrong)
