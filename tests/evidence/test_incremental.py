"""Going on from what was verified before: as strict as a full verification, and it reads only what is new."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.checkpoint import Checkpoint
from ml_governance.evidence.prefix import Prefix
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.timeline import MAX_SKEW
from ml_governance.evidence.verify import verify
from tests.evidence.conftest import MODEL, ORIGIN, Log, make_log, note
from tests.evidence.test_attacks import TRIGGERS

if TYPE_CHECKING:
    from ml_governance.evidence.verified import VerifiedLog

OTHER = Subject(name="model/2", sha256="cd" * 32)


def since(log: Log, prefix: Prefix) -> VerifiedLog:
    return verify(log.ledger, root=log.trust.root_digest, since=prefix)


def whats(verified: VerifiedLog) -> str:
    return "\n".join(f"{p.index}: {p.what}" for p in verified.problems)


def attack(log: Log, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(log.path / "log.sqlite")) as database, database:
        for trigger in TRIGGERS:
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement, parameters in statements:
            database.execute(statement, parameters)


def resign(log: Log) -> None:
    """Do what an operator can: make every derived table fit what is stored, and sign it with the log's key."""
    frontier, nodes, kinds, subjects = merkle.Frontier(), [], {}, {}
    from ml_governance.evidence import entry

    tries: dict[str, bytes] = {}
    trie = subject_index.Trie(tries.get, subject_index.EMPTY_TRIE)
    by_key, by_kind = [], []
    for stored in log.ledger.entries():
        hashed = merkle.leaf_hash(stored.leaf)
        frontier, made = frontier.append(hashed)
        nodes += [(stored.index, level, value) for level, _, value in made[1:]]
        leaf = entry.Leaf.from_bytes(stored.leaf)
        kinds[leaf.kind] = kinds.get(leaf.kind, subject_index.Value()).extended(stored.index, hashed)
        by_kind.append((leaf.kind, stored.index, kinds[leaf.kind].count, kinds[leaf.kind].head))
        for key in entry.read(stored.envelope or b"").digests():
            (value,) = trie.extend(key, (stored.index, hashed))
            subjects[key] = value
            by_key.append((key, stored.index, value.count, value.head))
    top, changed = trie.commit()
    packed = subject_index.pack_kinds(kinds)
    checkpoint = Checkpoint(
        origin=ORIGIN, size=frontier.size, root=frontier.root, index_root=subject_index.index_root(top, packed)
    )
    attack(
        log,
        ("DELETE FROM nodes", ()), ("DELETE FROM index_nodes", ()), ("DELETE FROM entries_by_key", ()),
        ("DELETE FROM entries_by_kind", ()),
        *(("INSERT INTO nodes VALUES (?, ?, ?)", row) for row in nodes),
        *(("INSERT INTO index_nodes VALUES (?, ?)", (p.encode(), n)) for p, n in changed.items()),
        *(("INSERT INTO entries_by_key VALUES (?, ?, ?, ?)", row) for row in by_key),
        *(("INSERT INTO entries_by_kind VALUES (?, ?, ?, ?)", row) for row in by_kind),
        (
            "UPDATE head SET size = ?, frontier = ?, trie = ?, kinds = ?, checkpoint = ?",
            (frontier.size, frontier.to_bytes(), top, packed, log.log_signer.sign(checkpoint)),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("first", [1, 5, 40])
def test_new_entries_are_verified_and_only_they(tmp_path: Any, first: int) -> None:
    log = make_log(tmp_path / "log", first)
    prefix = log.verify().prefix
    nothing = since(log, prefix)
    assert (nothing.checked, nothing.problems) == (0, ())
    with log.writer() as writer:
        writer.record(note("new"), [MODEL, OTHER])
        writer.record_all([(note(str(number)), [OTHER]) for number in range(7)])
    verified = since(log, prefix)
    assert not verified.problems, whats(verified)
    assert verified.checked == 10
    assert verified.checkpoint == log.verify().checkpoint
    assert verified.prefix == log.verify().prefix
    assert {a.index for a in verified.attestations} == set(range(prefix.frontier.size, log.ledger.size))


def test_a_log_that_grew_far_is_verified_whole_and_must_still_continue(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_governance.evidence.verify.FAR", 5)
    prefix = log.verify().prefix

    def bounded(prefix: Prefix) -> VerifiedLog:
        return verify(log.ledger, root=log.trust.root_digest, since=prefix, collect=False)

    assert bounded(prefix).checked == 0
    with log.writer() as writer:
        writer.record_all([(note(str(number)), [OTHER]) for number in range(6)])
    found = bounded(prefix)
    assert (found.problems, found.checked) == ((), log.ledger.size)
    assert f"continues the {prefix.frontier.size} entries" in found.notes[0]
    assert found.prefix == log.verify().prefix
    foreign = replace(prefix, frontier=prefix.frontier.append(b"x" * 32)[0])
    assert "are not those of what this account verified before" in whats(bounded(foreign))


def test_a_session_goes_on_across_verifications(log: Log) -> None:
    writer = log.writer()
    for number in range(4):
        writer.record(note(f"part {number}"), [MODEL])
        prefix = log.verify().prefix
        log.clock.advance(2 * MAX_SKEW)  # so that the prefix no longer remembers the session
        writer.record(note("later"), [MODEL])
        assert not since(log, prefix).problems
        forgotten = replace(log.verify().prefix, sessions={})
        writer.record(note("found again by its proof"), [MODEL])
        assert not since(log, forgotten).problems
    writer.close()


def test_an_edit_in_a_new_entry_is_named(log: Log) -> None:
    prefix = log.verify().prefix
    with log.writer() as writer:
        writer.record(note("new"), [MODEL])
    attack(log, ("UPDATE blobs SET data = (SELECT data FROM blobs WHERE idx = 4) WHERE idx = 9", ()))
    assert "9: " in whats(since(log, prefix))


def test_a_rewritten_past_is_named(log: Log) -> None:
    prefix = log.verify().prefix
    with log.writer() as writer:
        writer.record(note("new"), [MODEL])
    attack(log, ("UPDATE leaves SET leaf = replace(leaf, 'revocation', 'fevocation') WHERE idx = 4", ()))
    attack(log, ("UPDATE leaves SET leaf = CAST(leaf AS BLOB)", ()))
    frontier = merkle.root_of([merkle.leaf_hash(one.leaf) for one in log.ledger.entries()])
    forged = Checkpoint(origin=ORIGIN, size=log.ledger.size, root=frontier, index_root=bytes(32))
    attack(log, ("UPDATE head SET checkpoint = ?", (log.log_signer.sign(forged),)))
    assert "was rewritten" in whats(since(log, prefix))


def test_a_rollback_is_named(log: Log) -> None:
    with log.writer() as writer:
        writer.record(note("what must go"), [MODEL])
    prefix = log.verify().prefix
    attack(
        log,
        *(
            (f"DELETE FROM {name} WHERE idx >= 8", ())
            for name in ("entries_by_key", "entries_by_kind", "blobs", "leaves")
        ),
    )
    resign(log)
    assert not log.verify().problems, "nothing inside the database tells"
    assert "rolled back" in whats(since(log, prefix))


def append_raw(log: Log, leaf: bytes, envelope: bytes, writer: str, seq: int) -> None:
    attack(
        log,
        ("DROP INDEX IF EXISTS leaves_writer_seq", ()),
        (
            "INSERT INTO leaves VALUES ((SELECT max(idx) + 1 FROM leaves), ?, ?, ?, ?)",
            (leaf, merkle.leaf_hash(leaf), writer, seq),
        ),
        ("INSERT INTO blobs VALUES ((SELECT max(idx) FROM leaves), ?)", (envelope,)),
    )
    resign(log)


@pytest.mark.parametrize("later", [False, True])
def test_the_operator_replays_an_old_session_in_vain(log: Log, later: bool) -> None:
    """A whole session of a person, copied after newer evidence, would become "the latest" again."""
    from ml_governance.evidence import entry

    old = [one for one in log.ledger.entries() if one.index in (3, 4, 5, 6, 7)]
    log.clock.advance(timedelta(hours=1) if later else timedelta(minutes=1))
    with log.writer() as writer:
        writer.record(note("newer"), [MODEL])
    prefix = log.verify().prefix
    for one in old:
        leaf = entry.Leaf.from_bytes(one.leaf)
        append_raw(log, one.leaf, one.envelope or b"", leaf.writer, leaf.seq)
    found = whats(since(log, prefix))
    assert "claims the time" in found if later else "repeats one that is in the log" in found
    assert "repeats one that is in the log" in whats(log.verify())


def test_the_operator_drops_a_record_of_an_open_session_in_vain(log: Log) -> None:
    writer = log.writer()
    writer.record(note("one"), [MODEL])
    prefix = replace(log.verify().prefix, sessions={})
    writer.record(note("two, which the operator drops"), [MODEL])
    writer.record(note("three"), [MODEL])
    attack(
        log,
        *(
            (f"DELETE FROM {name} WHERE idx = 10", ())
            for name in ("entries_by_key", "entries_by_kind", "blobs", "leaves")
        ),
        ("UPDATE leaves SET idx = 10 WHERE idx = 11", ()),
        ("UPDATE blobs SET idx = 10 WHERE idx = 11", ()),
    )
    resign(log)
    assert "does not follow" in whats(since(log, prefix))
    writer._closed = True


def test_an_entry_hidden_from_the_index_is_named(log: Log) -> None:
    """The operator signs an index that leaves an entry out: a look-up would not find it."""
    prefix = log.verify().prefix
    with log.writer() as writer:
        writer.record(note("failed"), [MODEL])
    tries = dict(log.ledger.stored_index())
    trie = subject_index.Trie(tries.get, log.ledger.head().trie)
    trie.restore(
        bytes.fromhex(MODEL.sha256), log.ledger.history("entries_by_key", bytes.fromhex(MODEL.sha256), 8)[0][1]
    )
    top, changed = trie.commit()
    head = log.ledger.head()
    forged = Checkpoint(
        origin=ORIGIN, size=head.size, root=merkle.Frontier.from_bytes(head.size, head.frontier).root,
        index_root=subject_index.index_root(top, head.kinds),
    )  # fmt: skip
    attack(
        log,
        ("DELETE FROM entries_by_key WHERE idx = 9 AND key = ?", (bytes.fromhex(MODEL.sha256),)),
        *(
            ("UPDATE index_nodes SET node = ? WHERE prefix = ?", (node, prefix_.encode()))
            for prefix_, node in changed.items()
        ),
        ("UPDATE head SET trie = ?, checkpoint = ?", (top, log.log_signer.sign(forged))),
    )
    assert "subject index" in whats(since(log, prefix))
    assert "look-up table" in whats(log.verify())


def test_an_older_entry_that_left_the_index_is_named(log: Log) -> None:
    """The same for an entry from before: the new index must be the old one plus what is new, and nothing less."""
    prefix = log.verify().prefix
    with log.writer() as writer:
        writer.record(note("about another"), [OTHER])
    key = bytes.fromhex(MODEL.sha256)
    tries = dict(log.ledger.stored_index())
    trie = subject_index.Trie(tries.get, log.ledger.head().trie)
    trie.restore(key, subject_index.Value())
    top, _ = trie.commit()
    nodes: dict[str, bytes] = {}
    clean = subject_index.Trie(nodes.get, subject_index.EMPTY_TRIE)
    for one in {other for other, *_ in log.ledger.keyed_subjects(log.ledger.size)} - {key}:
        clean.restore(one, log.ledger.history("entries_by_key", one)[-1][1])
    assert clean.commit()[0] == top
    rebuilt = subject_index.Trie(dict[str, bytes]().get, subject_index.EMPTY_TRIE)
    for one in {other for other, *_ in log.ledger.keyed_subjects(log.ledger.size)} - {key}:
        rebuilt.restore(one, log.ledger.history("entries_by_key", one)[-1][1])
    changed = rebuilt.commit()[1]
    head = log.ledger.head()
    forged = Checkpoint(
        origin=ORIGIN, size=head.size, root=merkle.Frontier.from_bytes(head.size, head.frontier).root,
        index_root=subject_index.index_root(top, head.kinds),
    )  # fmt: skip
    attack(
        log,
        ("DELETE FROM entries_by_key WHERE key = ?", (key,)),
        ("DELETE FROM index_nodes", ()),
        *(("INSERT INTO index_nodes VALUES (?, ?)", (prefix_.encode(), node)) for prefix_, node in changed.items()),
        ("UPDATE head SET trie = ?, checkpoint = ?", (top, log.log_signer.sign(forged))),
    )
    assert "does not continue the one that was verified" in whats(since(log, prefix))


def test_a_prefix_of_another_log_or_root_is_refused(log: Log, tmp_path: Any) -> None:
    prefix = log.verify().prefix
    assert "is of the log" in whats(since(log, replace(prefix, origin="elsewhere")))
    assert "is of the log" in whats(since(log, replace(prefix, root="sha256:" + "0" * 64)))
    assert "trust file in force" in whats(since(log, replace(prefix, trust=(1, "0" * 64))))
    assert "trust file in force" in whats(since(log, replace(prefix, trust=(99, "0" * 64))))
    assert make_log(tmp_path / "another").verify().prefix != prefix


def test_a_prefix_is_kept_as_json(log: Log) -> None:
    prefix = log.verify().prefix
    assert Prefix.from_dict(json.loads(json.dumps(prefix.to_dict()))) == prefix


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_anything_else_is_no_prefix(value: Any) -> None:
    with pytest.raises(VerificationError):
        Prefix.from_dict(value)
    with pytest.raises(VerificationError):
        Prefix.from_dict({"version": 1, "origin": "x", "sessions": value, "size": value})


def test_several_processes_say_the_same(tmp_path: Any) -> None:
    log = make_log(tmp_path / "log", 0)
    with log.writer() as writer:
        writer.record_all([(note(str(number)), [MODEL, OTHER]) for number in range(1200)])
    alone = verify(log.ledger, root=log.trust.root_digest, collect=False)
    together = verify(log.ledger, root=log.trust.root_digest, workers=2)
    assert not together.problems
    assert (alone.prefix, alone.checkpoint) == (together.prefix, together.checkpoint)
    attack(log, ("UPDATE blobs SET data = (SELECT data FROM blobs WHERE idx = 4) WHERE idx = 900", ()))
    alone = verify(log.ledger, root=log.trust.root_digest, collect=False)
    together = verify(log.ledger, root=log.trust.root_digest, workers=2)
    assert alone.problems == together.problems
    assert together.problems[0].index == 900


@pytest.mark.parametrize(
    "change",
    [
        {"version": True}, {"trust": []}, {"trust": ["1", "a"]}, {"latest": "2026-01-15T12:00:00"}, {"size": "8"},
        {"size": 2.5}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_memory_in_another_form_is_refused(log: Log, change: dict[str, object]) -> None:
    value = log.verify().prefix.to_dict()
    writer, (seq, payload, keyid, at, _) = next(iter(value["sessions"].items()))
    with pytest.raises(VerificationError, match="verified prefix"):
        Prefix.from_dict({**value, "sessions": {writer: [seq, payload, keyid, at, 1]}})
    assert Prefix.from_dict(value).to_dict() == value
    with pytest.raises(VerificationError, match="verified prefix|frontier"):
        Prefix.from_dict({**value, **change})
