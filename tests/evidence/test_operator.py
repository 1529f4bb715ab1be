"""What the log's operator may try, who holds its key and can make every table and checkpoint fit: others' signatures tell."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ml_governance.evidence import entry, merkle, witness
from ml_governance.evidence.checkpoint import read_note
from ml_governance.evidence.door import ChainConflictError
from ml_governance.evidence.envelope import Envelope, verify
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import TrustUpdate, WriterOpen
from ml_governance.evidence.trust import sign_trust
from ml_governance.evidence.wire import Chain
from ml_governance.testing import START
from tests.evidence.conftest import MODEL, ORIGIN, SOFTWARE, Log, note
from tests.evidence.test_attacks import stored
from tests.evidence.test_incremental import append_raw, attack, resign, since, whats
from tests.evidence.test_trust import successor
from tests.evidence.test_witness import COSIGNERS, HonestWitness

if TYPE_CHECKING:
    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.wire import Content

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256 (SEC 2, section 2.4.2)."""


def checkpoint(log: Log, text: str | None = None) -> Checkpoint:
    return read_note(text or log.ledger.checkpoint(), [log.log_signer.public], origin=ORIGIN)


def signed(log: Log, content: Content, *, origin: str) -> entry.Entry:
    chain = Chain(log=origin, writer="w", seq=0, prev=None, nonce="0" * 32, recorded_at=log.clock())
    return entry.make(chain, content, [MODEL], log.ada)


def drop_from(log: Log, index: int) -> None:
    names = ("entries_by_key", "entries_by_kind", "blobs", "leaves")
    attack(log, *((f"DELETE FROM {name} WHERE idx >= ?", (index,)) for name in names))
    resign(log)


def test_a_content_that_the_operator_edits_has_no_signature(log: Log) -> None:
    """The newest record of an open session: no later record holds its digest, and the tree is signed again."""
    log.writer().record(note("as she said it"), [MODEL])
    index = log.ledger.size - 1
    _, data = stored(log, index)
    envelope = Envelope.from_bytes(data)
    edited = entry.read(replace(envelope, payload=envelope.payload.replace(b"as she", b"as he ")).to_bytes())
    leaf = edited.leaf.to_bytes()
    attack(
        log,
        ("UPDATE blobs SET data = ? WHERE idx = ?", (edited.data, index)),
        ("UPDATE leaves SET leaf = ?, leaf_hash = ? WHERE idx = ?", (leaf, merkle.leaf_hash(leaf), index)),
    )
    resign(log)
    (problem,) = log.verify().problems
    assert problem.index == index
    assert f"signature of key {log.ada.keyid[:16]} does not verify" in problem.what


def test_a_session_that_the_operator_drops_shows_through_its_receipt(log: Log) -> None:
    """No later record of that writer misses it, and the gap is filled up: only what the writer kept tells."""
    size = log.ledger.size
    with log.writer() as writer:
        receipt = writer.record(note("it discriminates"), [MODEL])
    drop_from(log, size)
    with log.writer() as writer:
        writer.record(note("it is fine"), [MODEL])
    assert not log.verify().problems, "nothing inside the database tells"
    kept = checkpoint(log, receipt.checkpoint)
    merkle.verify_inclusion(receipt.leaf_hash, receipt.index, kept.size, receipt.proof, kept.root)
    assert f"rewritten: its first {kept.size} entries" in whats(log.verify(pinned=[kept]))


@pytest.fixture
def fork(log: Log) -> tuple[Log, Log]:
    """Two histories of one size, each signed with the log's key and faultless by itself."""
    log.ledger.close()
    other = log.path / "fork"
    other.mkdir()
    shutil.copy(log.path / "log.sqlite", other / "log.sqlite")
    url = f"sqlite:///{other / 'log.sqlite'}"
    forked = replace(log, path=other, url=url, ledger=Ledger.open(url, log_signer=log.log_signer))
    for one, text in ((log, "for the auditor"), (forked, "for everybody else")):
        with one.writer() as writer:
            writer.record(note(text), [MODEL])
        assert not one.verify().problems
    assert checkpoint(log).size == checkpoint(forked).size
    return log, forked


def test_a_fork_of_the_same_size_shows_by_either_checkpoint(fork: tuple[Log, Log]) -> None:
    one, other = fork
    for here, there in ((one, other), (other, one)):
        assert "was rewritten" in whats(here.verify(pinned=[checkpoint(there)]))
        assert not here.verify(pinned=[checkpoint(here)]).problems


def test_a_fork_of_the_same_size_shows_to_whoever_verified_before(fork: tuple[Log, Log]) -> None:
    one, other = fork
    assert "was rewritten" in whats(since(other, one.verify().prefix))


def test_a_witness_cosigns_one_history_only(fork: tuple[Log, Log]) -> None:
    one, other = fork
    policy = witness.parse_policy(f"witness x {COSIGNERS['x'].vkey} https://x.example\nquorum x")
    person = HonestWitness(one, "x")
    for log, refused in ((one, {}), (other, {"x": "answered 422: the log forked"})):
        text, refusals = witness.gather(
            log.ledger.checkpoint(), policy, known_size=0, post=lambda _, body: person.answer(body),
            proof=lambda old, log=log: log.ledger.consistency_proof(old, log.ledger.size),
        )  # fmt: skip
        assert refusals == refused
        assert bool(witness.cosignatures(text, policy)) is not bool(refused)


def test_a_record_of_another_log_is_named(log: Log) -> None:
    """With a good signature by somebody who is trusted here too."""
    opening = signed(log, WriterOpen(software=SOFTWARE), origin="mlgov.local/elsewhere")
    append_raw(log, opening.leaf.to_bytes(), opening.data, "w", 0)
    (problem,) = log.verify().problems
    assert problem.what.endswith("it was signed for the log mlgov.local/elsewhere")


def re_encoded(envelope: Envelope) -> Envelope:
    """Return the same statement under another valid signature, which anybody can compute."""
    (only,) = envelope.signatures
    r, s = decode_dss_signature(only.sig)
    return replace(envelope, signatures=(replace(only, sig=encode_dss_signature(r, ORDER - s)),))


def test_a_replay_is_known_by_what_it_says_not_by_its_bytes(log: Log) -> None:
    leaf, data = stored(log, 5)
    again = re_encoded(Envelope.from_bytes(data))
    assert again.digest != leaf.envelope
    verify(again, {log.ada.keyid: log.ada.public})
    with pytest.raises(ChainConflictError, match="does not continue its chain"):
        log.ledger.append([again])
    read = entry.read(again.to_bytes())
    append_raw(log, read.leaf.to_bytes(), read.data, read.leaf.writer, read.leaf.seq)
    assert f"record {leaf.seq} of writer {leaf.writer} repeats one that is in the log" in log.problems()


def test_a_stolen_key_cannot_sign_into_the_past(log: Log) -> None:
    """The thief writes the database, and says that it was before the theft was noticed; the index says otherwise."""
    ada, size = log.trust.principals[0], log.ledger.size
    ended = successor(log, principals=(replace(ada, keys=(replace(ada.keys[0], valid_until=size),)),))
    before = log.clock()
    log.clock.advance(timedelta(minutes=5))
    with log.writer(log.root) as root:
        root.record(TrustUpdate(version=2, envelope=sign_trust(ended, [log.root]).to_dict()), [MODEL])
    log.clock.now = before
    with pytest.MonkeyPatch.context() as door:
        door.setattr("ml_governance.evidence.door.know_signers", lambda *_: None)
        receipt = log.writer().record(note("I approved this long ago"), [MODEL])
    assert f"{receipt.index}: revocation about model/1: the key {log.ada.keyid[:16]} of ada signed at" in log.problems()


def test_a_stolen_key_cannot_claim_an_old_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_governance.evidence.door.keep_time", lambda *_, **__: None)
    log.clock.now = START - timedelta(minutes=30)
    log.writer().record(note("I said so in time"), [MODEL])
    assert "it claims the time" in log.problems()
