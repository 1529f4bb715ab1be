"""A key that signs checkpoints counts for trees of its own sizes, whoever verifies and whatever they were given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import ConfigurationError, UsageError, VerificationError
from ml_governance.evidence import anchors, bundle, merkle, offline, proof, succession, tiles, trust, witness
from ml_governance.evidence.checkpoint import EndedKeyError, LogSigner, parse_body, read_note, split_note, vkey
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.reader import Anchor
from ml_governance.evidence.trust import sign_trust
from ml_governance.workspace import received
from tests.evidence.conftest import MODEL, ORIGIN, Log, note
from tests.evidence.test_witness import AT, COSIGNERS

if TYPE_CHECKING:
    from pathlib import Path


def enact(log: Log, version: trust.TrustFile) -> None:
    envelope = sign_trust(version, [log.root])
    with log.writer(log.root) as writer:
        writer.record(TrustUpdate(version=version.version, envelope=envelope.to_dict()), [MODEL])
    log.trust = version
    (log.path / "trust.json").write_bytes(envelope.to_bytes())


def rotated(log: Log) -> tuple[LogSigner, str]:
    """Let the log go on with another key; return the old key, and the newest checkpoint by it."""
    old, text, size = log.log_signer, log.ledger.checkpoint(), log.ledger.size
    log.log_signer = LogSigner.generate(log.path / "log-2.pem", name=ORIGIN)
    version = succession.following(log.trust, at=log.clock.now + timedelta(seconds=1))
    version = succession.change_log_key(version, log.log_signer.public, size=size + 2, until=size + 2)
    log.ledger = Ledger.open(log.url, log_signer=log.log_signer, clock=log.clock)
    enact(log, version)
    return old, text


def forged_by(log: Log, key: LogSigner) -> str:
    """Return the log's newest checkpoint as a thief of a key would sign it."""
    return key.sign(parse_body(split_note(log.ledger.checkpoint())[0]))


def with_head(log: Log, text: str) -> None:
    with log.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE head SET checkpoint = ?", (text,))


def test_a_retired_log_key_counts_for_its_own_trees_and_for_no_larger_ones(log: Log) -> None:
    old, text = rotated(log)
    assert not log.problems()
    size = read_note(text, log.trust.log_keys, origin=ORIGIN).size
    assert size == 8
    with pytest.raises(EndedKeyError, match="trees of 0 to 9 entries"):
        read_note(forged_by(log, old), log.trust.log_keys, origin=ORIGIN)
    read_note(log.ledger.checkpoint(), log.trust.log_keys, origin=ORIGIN)


def test_a_new_log_key_signs_no_tree_from_before_its_time(log: Log) -> None:
    _, text = rotated(log)
    early = log.log_signer.sign(parse_body(split_note(text)[0]))
    with pytest.raises(EndedKeyError, match="from 10 entries on"):
        read_note(early, log.trust.log_keys, origin=ORIGIN)


@pytest.mark.parametrize("form", ["log", "tiles", "bundle", "subject", "proof"])
def test_every_verifier_refuses_a_tree_by_a_retired_key(log: Log, tmp_path: Path, form: str) -> None:
    old, _ = rotated(log)
    with_head(log, forged_by(log, old))
    words, root = "log key", log.trust.root_digest
    if form == "log":
        problems = log.problems()
    elif form == "proof":
        path = tmp_path / "3.tlog-proof"
        hashes, size = log.ledger.inclusion_proof(3, log.ledger.size), log.ledger.size
        leaf = next(log.ledger.entries(3, 4)).leaf
        merkle.verify_inclusion(merkle.leaf_hash(leaf), 3, size, hashes, log.verify().checkpoint.root)
        path.write_text(
            proof.TlogProof(index=3, leaf=leaf, hashes=hashes, checkpoint=log.ledger.checkpoint()).to_text()
        )
        with pytest.raises(VerificationError) as refused:
            received.verify_path(path, root=root, trust_file=log.path / "trust.json")
        problems = str(refused.value)
    elif form == "tiles":
        tiles.write(log.ledger, tmp_path / "tiles")
        problems = str(offline.verify_tiles(tmp_path / "tiles", root=root).problems)
    else:
        data = bundle.collect(log.ledger, [MODEL.sha256] if form == "subject" else []).to_bytes()
        problems = str(offline.verify_bundle(data, root=root).problems)
    assert words in problems
    assert f"signed with the {words} {old.public.public[:16]}" in problems


def test_a_process_that_still_has_the_old_log_key_appends_nothing(log: Log) -> None:
    before = log.ledger
    old = log.log_signer
    size = log.ledger.size
    rotated(log)
    for stale in (before, Ledger.open(log.url, log_signer=old, clock=log.clock)):
        log.ledger = stale
        with pytest.raises(VerificationError, match="was to sign trees of 0 to 9 entries"):
            log.writer().record(note("more"), [MODEL])
    assert log.ledger.size == size + 3
    assert not log.problems()


def test_what_a_stolen_log_key_signed_is_taken_back(log: Log) -> None:
    old, text = rotated(log)
    stolen = succession.following(log.trust, at=log.clock.now)
    for until, good in ((9, True), (8, False), (0, False)):
        ended = succession.end_log_key(stolen, old.public.public[:12], until=until)
        try:
            read_note(text, ended.log_keys, origin=ORIGIN)
        except EndedKeyError:
            assert not good
        else:
            assert good
    with pytest.raises(ConfigurationError, match="only one in use"):
        succession.end_log_key(stolen, log.log_signer.public.public, until=5)
    with pytest.raises(ConfigurationError, match="a key that goes on from there|was to sign"):
        succession.end_log_key(stolen, old.public.public, until=50)
    with pytest.raises(VerificationError, match="no log key is in use"):
        replace(stolen, log_keys=(replace(log.log_signer.public, valid_until=50),))
    with pytest.raises(VerificationError, match="named twice"):
        replace(stolen, log_keys=(log.log_signer.public, replace(log.log_signer.public, valid_from=3)))


def test_an_anchor_over_a_checkpoint_that_was_taken_back_proves_nothing(log: Log) -> None:
    policy = witness.parse_policy(f"witness x {COSIGNERS['x'].vkey}\nquorum x")
    old, text = rotated(log)
    log.ledger.keep_anchor(Anchor(size=8, kind="cosigned", name="w", note=text + COSIGNERS["x"].cosign(text, AT)))
    computed = log.verify().checkpoint
    (held,), problems = anchors.hold(log.ledger, computed, log.trust.log_keys, witnesses=policy)
    assert (held.size, problems) == (8, ())
    version = succession.following(log.trust, at=log.clock.now)
    ended = succession.end_log_key(version, old.public.public, until=0)
    assert anchors.hold(log.ledger, computed, ended.log_keys, witnesses=policy) == ((), ())


def test_trust_files_from_before_there_were_ranges_keep_their_one_form(log: Log) -> None:
    value = log.trust.to_dict()
    assert set(value["logKeys"][0]) == {"name", "public"}
    assert not {"resumes", "remark"} & set(value)
    version = succession.following(log.trust, at=log.clock.now)
    other = LogSigner.generate(log.path / "other.pem", name=ORIGIN).public
    ranged = replace(succession.change_log_key(version, other, size=7, until=9), remark="why")
    assert trust.read(sign_trust(ranged, [log.root])) == ranged


def test_a_proof_is_held_against_the_root_with_a_trust_file(log: Log, tmp_path: Path) -> None:
    """Neither is passed over in silence: what cannot be held against a proof is refused."""
    rotated(log)
    root, file = log.trust.root_digest, log.path / "trust.json"
    leaf, size = next(log.ledger.entries(3, 4)).leaf, log.ledger.size
    made = proof.TlogProof(
        index=3, leaf=leaf, hashes=log.ledger.inclusion_proof(3, size), checkpoint=log.ledger.checkpoint()
    )
    path = tmp_path / "3.tlog-proof"
    path.write_text(made.to_text())
    key = vkey(log.log_signer.public)
    for known in ({"root": root, "trust_file": file}, {"root": root, "trust_file": file, "vkey": key}):
        found = received.verify_path(path, **known)  # type: ignore[arg-type]  # paths and text, as the names say
        assert isinstance(found, received.Proven)
        assert found.root_known
    found = received.verify_path(path, root=None, vkey=key)
    assert isinstance(found, received.Proven)
    assert not found.root_known
    for useless in ({"root": root, "vkey": key}, {"root": None, "trust_file": file}, {"root": root}, {"root": None}):
        with pytest.raises(UsageError):
            received.verify_path(path, **useless)  # type: ignore[arg-type]  # as above
    with pytest.raises(VerificationError, match="which this verifier was told"):
        received.verify_path(path, root="sha256:" + "0" * 64, trust_file=file)
    stranger = vkey(LogSigner.generate(tmp_path / "eve.pem", name=ORIGIN).public)
    with pytest.raises(VerificationError, match="does not name that verifier key"):
        received.verify_path(path, root=root, trust_file=file, vkey=stranger)
    forged = sign_trust(log.trust, [log.ada])
    file.write_bytes(forged.to_bytes())
    with pytest.raises(VerificationError, match="not signed by its own root"):
        received.verify_path(path, root=root, trust_file=file)
    tiles.write(log.ledger, tmp_path / "tiles")
    with pytest.raises(UsageError, match="bring the log's keys"):
        received.verify_path(tmp_path / "tiles", root=root, vkey=key)
