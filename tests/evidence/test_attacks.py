"""What an attacker who can write the database file may try, and what verification then names."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.errors import LedgerError, VerificationError
from ml_governance.evidence import entry, merkle
from ml_governance.evidence.checkpoint import Checkpoint, LogSigner
from ml_governance.evidence.envelope import Envelope, sign
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.wire import Chain
from ml_governance.testing import START
from tests.evidence.conftest import MODEL, ORIGIN, Log, make_log, note

if TYPE_CHECKING:
    from collections.abc import Callable

TRIGGERS = ("leaves_no_update", "leaves_no_delete", "blobs_no_update", "nodes_no_update", "nodes_no_delete")


def attack(log: Log, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(log.path / "log.sqlite")) as database, database:
        for trigger in TRIGGERS:
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement, parameters in statements:
            database.execute(statement, parameters)


def stored(log: Log, index: int) -> tuple[entry.Leaf, bytes]:
    one = next(log.ledger.entries(index, index + 1))
    assert one.envelope is not None
    return entry.Leaf.from_bytes(one.leaf), one.envelope


def flip_payload(log: Log) -> None:
    _, data = stored(log, 5)
    envelope = Envelope.from_bytes(data)
    changed = replace(envelope, payload=envelope.payload.replace(b"entry 1", b"entry 9"))
    attack(log, ("UPDATE blobs SET data = ? WHERE idx = 5", (changed.to_bytes(),)))


def change_kind(log: Log) -> None:
    _, data = stored(log, 5)
    envelope = Envelope.from_bytes(data)
    changed = replace(envelope, payload=envelope.payload.replace(b":revocation:", b":waiver:"))
    attack(log, ("UPDATE blobs SET data = ? WHERE idx = 5", (changed.to_bytes(),)))


def edit_leaf(log: Log) -> None:
    leaf, _ = stored(log, 5)
    attack(log, ("UPDATE leaves SET leaf = ? WHERE idx = 5", (replace(leaf, seq=9).to_bytes(),)))


def edit_leaf_and_hash(log: Log) -> None:
    data = replace(stored(log, 5)[0], kind="approval").to_bytes()
    attack(log, ("UPDATE leaves SET leaf = ?, leaf_hash = ? WHERE idx = 5", (data, merkle.leaf_hash(data))))


def swap_envelopes(log: Log) -> None:
    (_, first), (_, second) = stored(log, 4), stored(log, 5)
    attack(
        log,
        ("UPDATE blobs SET data = ? WHERE idx = 4", (second,)),
        ("UPDATE blobs SET data = ? WHERE idx = 5", (first,)),
    )


def swap_leaves(log: Log) -> None:
    attack(
        log,
        ("UPDATE leaves SET idx = 99 WHERE idx = 4", ()),
        ("UPDATE leaves SET idx = 4 WHERE idx = 5", ()),
        ("UPDATE leaves SET idx = 5 WHERE idx = 99", ()),
    )


def delete_middle(log: Log) -> None:
    attack(log, ("DELETE FROM leaves WHERE idx = 5", ()))


def delete_and_close_the_gap(log: Log) -> None:
    attack(log, *CLOSE_THE_GAP)


CLOSE_THE_GAP = (
    ("DELETE FROM leaves WHERE idx = 5", ()),
    ("UPDATE leaves SET idx = idx - 1 WHERE idx > 5", ()),
    ("DELETE FROM blobs WHERE idx = 5", ()),
    ("UPDATE blobs SET idx = idx - 1 WHERE idx > 5", ()),
)


def truncate(log: Log) -> None:
    attack(log, ("DELETE FROM leaves WHERE idx >= 6", ()))


def drop_blob(log: Log) -> None:
    attack(log, ("DELETE FROM blobs WHERE idx = 5", ()))


def drop_lookup(log: Log) -> None:
    attack(log, ("DELETE FROM entries_by_key WHERE idx = 5", ()))


def edit_node(log: Log) -> None:
    attack(log, ("UPDATE nodes SET hash = ? WHERE level = 1", (bytes(32),)))


def edit_index(log: Log) -> None:
    attack(log, ("UPDATE index_nodes SET node = ? WHERE length(prefix) = 0", (bytes(4),)))


def drop_kind(log: Log) -> None:
    attack(log, ("DELETE FROM entries_by_kind WHERE idx = 5", ()))


def invent_lookup(log: Log) -> None:
    attack(log, ("UPDATE entries_by_key SET key = ? WHERE idx = 5", (bytes(32),)))


def shorten_lookup(log: Log) -> None:
    attack(log, ("UPDATE entries_by_key SET key = substr(key, 1, 3) WHERE idx = 5", ()))


def empty_lookup(log: Log) -> None:
    attack(log, ("UPDATE entries_by_key SET key = x'' WHERE idx = 5", ()))


def announce_lookup(log: Log) -> None:
    attack(log, ("INSERT INTO entries_by_key SELECT key, 99, count, head FROM entries_by_key WHERE idx = 5", ()))


def edit_edge(log: Log) -> None:
    attack(log, ("UPDATE head SET trie = ?", (bytes(32),)))


def forge_checkpoint(log: Log) -> None:
    eve = LogSigner.generate(log.path / "eve-log.pem", name=ORIGIN)
    computed = log.verify().checkpoint
    attack(log, ("UPDATE head SET checkpoint = ?", (eve.sign(computed),)))


def another_tree_of_the_same_size(log: Log) -> None:
    computed = log.verify().checkpoint
    forked = Checkpoint(origin=ORIGIN, size=computed.size, root=bytes(32), index_root=computed.index_root)
    attack(log, ("UPDATE head SET checkpoint = ?", (log.log_signer.sign(forked),)))


def rewrite_history_with_the_log_key(log: Log) -> None:
    """The operator drops an entry, closes the gap and signs the new tree: the writer's chain still tells."""
    leaves = [one.leaf for one in log.ledger.entries() if one.index != 5]
    frontier, nodes = merkle.Frontier(), []
    for index, leaf in enumerate(leaves):
        frontier, made = frontier.append(merkle.leaf_hash(leaf))
        nodes += [(index, level, value) for level, _, value in made[1:]]
    computed = log.verify().checkpoint
    forged = Checkpoint(origin=ORIGIN, size=len(leaves), root=frontier.root, index_root=computed.index_root)
    attack(
        log,
        *CLOSE_THE_GAP,
        ("DELETE FROM nodes", ()),
        *(("INSERT INTO nodes VALUES (?, ?, ?)", node) for node in nodes),
        (
            "UPDATE head SET size = ?, frontier = ?, checkpoint = ?",
            (len(leaves), frontier.to_bytes(), log.log_signer.sign(forged)),
        ),
    )


ATTACKS: list[tuple[Callable[[Log], None], str]] = [
    (flip_payload, "5: revocation about model/1: .*digest.*signature of key .* does not verify"),
    (change_kind, "5: revocation: its stored bytes have the digest .*the waiver predicate does not have its form"),
    (edit_leaf, "5: .*stored leaf hash"),
    (edit_leaf_and_hash, "differ in kind"),
    (swap_envelopes, "4: .*digest"),
    (swap_leaves, "record 2 .* does not follow|begins with record"),
    (delete_middle, "entries #5 are missing"),
    (delete_and_close_the_gap, "does not follow its record"),
    (truncate, "promises 8 entries, the database has 6"),
    (drop_blob, "5: revocation: its content is missing"),
    (drop_lookup, "look-up table by subject"),
    (invent_lookup, "look-up table by subject"),
    (shorten_lookup, "look-up table by subject"),
    (empty_lookup, "look-up table by subject"),
    (announce_lookup, "look-up table by subject"),
    (drop_kind, "look-up table by kind"),
    (edit_node, "tree nodes"),
    (edit_index, "subject index"),
    (edit_edge, "edge of the tree"),
    (forge_checkpoint, "newest checkpoint does not verify: no key that counts"),
    (another_tree_of_the_same_size, "not the one that the newest checkpoint signed"),
    (rewrite_history_with_the_log_key, "does not follow its record"),
]


@pytest.mark.parametrize(("act", "words"), ATTACKS, ids=[act.__name__ for act, _ in ATTACKS])
def test_an_attack_on_the_database_is_named(log: Log, act: Callable[[Log], None], words: str) -> None:
    import re

    assert not log.verify().problems
    act(log)
    assert re.search(words, log.problems(), re.DOTALL), log.problems()
    with pytest.raises(VerificationError, match="does not verify") as refused:
        log.verify().view()
    assert log.verify().problems[0].what in str(refused.value), "the refusal names the reason"


def test_an_append_refuses_an_edge_that_was_not_signed(log: Log) -> None:
    edit_edge(log)
    with pytest.raises(VerificationError, match="last signed"), log.writer() as writer:
        writer.record(note("x"), [MODEL])


def test_an_old_database_is_told_from_the_new_one_by_what_was_verified_before(log: Log) -> None:
    log.ledger.close()
    shutil.copy(log.path / "log.sqlite", log.path / "old.sqlite")
    with log.writer() as writer:
        writer.record(note("what the attacker wants gone"), [MODEL])
    remembered = log.verify().checkpoint
    assert "not rollback-proof" in " ".join(log.verify().notes)
    log.ledger.close()
    for name in ("log.sqlite-wal", "log.sqlite-shm"):
        (log.path / name).unlink(missing_ok=True)
    shutil.copy(log.path / "old.sqlite", log.path / "log.sqlite")
    log.ledger = Ledger.open(log.url)
    assert not log.verify().problems
    rolled_back = log.verify(remembered=remembered)
    assert "rolled back" in " ".join(problem.what for problem in rolled_back.problems)


def test_a_rewritten_log_does_not_continue_what_was_verified_before(log: Log, tmp_path: Any) -> None:
    remembered = replace(log.verify().checkpoint, root=bytes(32))
    assert "rewritten" in " ".join(p.what for p in log.verify(remembered=remembered).problems)
    other = replace(remembered, origin="elsewhere")
    assert "another log" in " ".join(p.what for p in log.verify(remembered=other).problems)


@pytest.mark.parametrize("who", ["eve", "root"])
def test_what_nobody_may_sign_does_not_get_in(log: Log, who: str) -> None:
    """An entry by a stranger would make the log unverifiable for good, so the door is checked too."""
    size = log.ledger.size
    with pytest.raises(VerificationError, match="belongs to nobody|trust files only"):
        log.writer(getattr(log, who)).record(note("let me in"), [MODEL])
    assert log.ledger.size == size
    forged = sign(Envelope.from_bytes(stored(log, 5)[1]).payload.replace(b"entry 1", b"entry 7"), [log.eve])
    stolen = replace(forged, signatures=(replace(forged.signatures[0], keyid=log.ada.keyid),))
    with pytest.raises(VerificationError):
        log.ledger.append([stolen])


def test_a_persons_session_goes_on_after_a_trust_file(log: Log) -> None:
    """Only a root that has handed over can sign nothing more; anybody trusted may put its successor in force."""
    from ml_governance.evidence import succession, trust
    from ml_governance.evidence.predicates import TrustUpdate

    envelope = trust.sign_trust(succession.following(log.trust, at=START), [log.root])
    with log.writer() as writer:
        writer.record(TrustUpdate(version=2, envelope=envelope.to_dict()), [MODEL])
        writer.record(note("and on"), [MODEL])
    assert not log.verify().problems


def open_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_governance.evidence.door.know_signers", lambda *_: None)


def test_an_unknown_signer_is_named(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    open_the_door(monkeypatch)
    with log.writer(log.eve) as writer:
        writer.record(note("I am nobody"), [MODEL])
    assert "belongs to nobody" in log.problems()


def test_a_root_key_signs_nothing_but_trust(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    open_the_door(monkeypatch)
    with log.writer(log.root) as writer:
        writer.record(note("the root has an opinion"), [MODEL])
    assert "root keys sign trust files only" in log.problems()


def test_another_root_of_trust_is_named(log: Log, tmp_path: Any) -> None:
    from ml_governance.evidence.verify import verify

    other = make_log(tmp_path / "other")
    verified = verify(log.ledger, root=other.trust.root_digest)
    assert "trust root is" in verified.problems[0].what


def test_a_backdated_entry_is_named(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who writes the database directly is not stopped by the check of an honest append."""
    from datetime import timedelta

    monkeypatch.setattr("ml_governance.evidence.door.keep_time", lambda *_, **__: None)
    log.clock.now = START - timedelta(days=2)
    with log.writer() as writer:
        writer.record(note("long ago"), [MODEL])
    assert "claims the time" in log.problems()


def test_an_entry_under_another_writers_name_is_named(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_governance.evidence.door.continue_chains", lambda *_: None)
    chain = Chain(log=ORIGIN, writer="intruder", seq=4, prev="0" * 64, nonce="0" * 32, recorded_at=log.clock())
    log.ledger.append([sign(entry.statement(chain, note("dropped before"), (MODEL,)).payload, [log.ada])])
    assert "earlier records were dropped" in log.problems()


def test_a_hostile_log_is_told_not_thrown(log: Log) -> None:
    attack(
        log,
        ("UPDATE leaves SET leaf = ? WHERE idx = 4", (b"\xff" * 40,)),
        ("UPDATE blobs SET data = ? WHERE idx = 5", (b"[" * 10_000,)),
        ("UPDATE head SET checkpoint = 'garbage', frontier = ?", (bytes(96),)),
    )
    assert len(log.verify().problems) >= 4


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaves SET leaf = 5 WHERE idx = 4",
        "UPDATE leaves SET leaf = 'text', leaf_hash = 7 WHERE idx = 4",
        "UPDATE blobs SET data = 1.5",
        "UPDATE head SET size = 'many'",
        "UPDATE head SET frontier = 'text', trie = 3, kinds = 4",
        "UPDATE head SET checkpoint = 9",
        "UPDATE head SET latest = 'text'",
        "UPDATE head SET latest = '9999-01-01T00:00:00+00:00'",
        "UPDATE head SET latest = NULL",
        "UPDATE head SET trust = 0",
        "DELETE FROM head",
        "UPDATE nodes SET hash = 'text'",
        "UPDATE index_nodes SET node = 'text'",
        "UPDATE entries_by_key SET key = 'text' || idx",
        "UPDATE entries_by_key SET idx = 'text' || idx, count = 'x', head = 7",
        "UPDATE entries_by_kind SET kind = 'text' || idx",
        "DELETE FROM leaves",
        "DELETE FROM blobs",
    ],
)
def test_values_of_other_types_are_told_not_thrown(log: Log, statement: str) -> None:
    attack(log, (statement, ()))
    assert log.verify().problems


def test_an_entry_from_the_beginning_of_time_is_told_not_thrown(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr("ml_governance.evidence.door.keep_time", lambda *_, **__: None)
    log.clock.now = datetime.min.replace(tzinfo=UTC)
    with log.writer() as writer:
        writer.record(note("in the beginning"), [MODEL])
    assert "claims the time" in log.problems()


def test_a_kind_that_is_none_is_told_not_thrown(log: Log) -> None:
    data = replace(stored(log, 5)[0], kind="k" * 300).to_bytes()
    attack(log, ("UPDATE leaves SET leaf = ?, leaf_hash = ? WHERE idx = 5", (data, merkle.leaf_hash(data))))
    assert "no name of one" in log.problems()


@pytest.mark.parametrize(
    "change",
    ["latest = 'text'", "frontier = 5", "trie = 7", "kinds = 'text'", "size = 'text'", "checkpoint = 9", "trust = 'x'"],
)
def test_an_append_to_a_torn_head_is_refused_not_thrown(log: Log, change: str) -> None:
    attack(log, (f"UPDATE head SET {change}", ()))
    with pytest.raises(VerificationError), log.writer() as writer:
        writer.record(note("x"), [MODEL])


def test_an_index_that_no_database_keeps_is_just_not_there(log: Log) -> None:
    assert list(log.ledger.entries(2**70, 2**70 + 1)) == []


@pytest.mark.parametrize("url", ["garbage:hunter2", "postgresql+psycopg://u:pass@w:hunter2@host/name"])
def test_a_url_that_cannot_be_read_does_not_show_its_password(url: str) -> None:
    from ml_governance.errors import GovernanceError

    with pytest.raises(GovernanceError) as caught:
        Ledger.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_view_that_could_omit_something_is_none(log: Log) -> None:
    verified = log.verify()
    assert len(verified.view().attestations) == 8
    for partly in (log.verify(since=verified.prefix), log.verify(collect=False)):
        assert not partly.problems
        with pytest.raises(VerificationError, match="not every entry was collected"):
            partly.view()


def test_a_process_that_is_killed_while_it_verifies_leaves_the_log_unverified_and_says_so(log: Log) -> None:
    over, killed = threading.Event(), set[int | None]()

    def kill() -> None:
        while not over.wait(0.002):
            for one in multiprocessing.active_children():
                if one.pid not in killed:
                    killed.add(one.pid)
                    one.kill()

    with ThreadPoolExecutor(1) as other:
        watch = other.submit(kill)
        try:
            with pytest.raises(LedgerError, match="ended before its work, so the log is not verified"):
                log.verify(workers=2)
        finally:
            over.set()
        watch.result()
    assert killed


@pytest.mark.parametrize("workers", [1, 2])
def test_entries_beyond_the_edge_are_named(log: Log, workers: int) -> None:
    attack(log, ("INSERT INTO leaves SELECT 8, leaf, leaf_hash, 'nobody', 0 FROM leaves WHERE idx = 5", ()))
    assert 8 in {problem.index for problem in log.verify(workers=workers).problems}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries_by_key WHERE idx = 9",
        "DELETE FROM entries_by_kind WHERE idx = 9",
        "UPDATE entries_by_key SET head = zeroblob(32) WHERE idx = 9",
        "UPDATE entries_by_kind SET count = 7 WHERE idx = 9",
    ],
)
def test_a_look_up_that_hides_a_new_entry_is_named_from_a_prefix_too(log: Log, statement: str) -> None:
    prefix = log.verify().prefix
    with log.writer() as writer:
        writer.record(note("what counts against it"), [MODEL])
    assert not log.verify(since=prefix).problems
    attack(log, (statement, ()))
    for verified in (log.verify(), log.verify(since=prefix)):
        assert "look-up table" in " ".join(problem.what for problem in verified.problems)
