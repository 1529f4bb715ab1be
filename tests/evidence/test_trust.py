from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import VerificationError
from ml_governance.evidence import keys, trust
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.envelope import sign
from tests.evidence.conftest import Log, make_trust, note

if TYPE_CHECKING:
    from pathlib import Path


def successor(log: Log, **changes: object) -> trust.TrustFile:
    changed = {"version": 2, "previous": sha256_hex(canonicalise(log.trust.to_dict())), **changes}
    return replace(log.trust, **changed)  # type: ignore[arg-type]


def test_the_first_version_is_believed_for_its_root_only(log: Log) -> None:
    envelope = trust.sign_trust(log.trust, [log.root])
    assert trust.verify_trust(envelope, root=log.trust.root_digest) == log.trust
    with pytest.raises(VerificationError, match="trust root is"):
        trust.verify_trust(envelope, root="sha256:" + "0" * 64)


def test_whoever_is_not_root_cannot_make_one(log: Log) -> None:
    with pytest.raises(VerificationError, match="not signed by its own root"):
        trust.verify_trust(trust.sign_trust(log.trust, [log.eve]), root=log.trust.root_digest)


def test_a_statement_never_passes_for_a_trust_file(log: Log) -> None:
    with pytest.raises(VerificationError, match="payloadType"):
        trust.verify_trust(sign(canonicalise(log.trust.to_dict()), [log.root]), root=log.trust.root_digest)


def test_keys_count_only_in_their_range_of_indices(log: Log) -> None:
    ada = log.trust.principals[0]
    ranged = replace(ada, keys=(replace(ada.keys[0], valid_from=5, valid_until=8),))
    document = replace(log.trust, principals=(ranged,))
    assert document.signer(log.ada.keyid, 5).id == document.signer(log.ada.keyid, 7).id == "ada"
    for index in (4, 8):
        with pytest.raises(VerificationError, match=f"signed at #{index}"):
            document.signer(log.ada.keyid, index)
    with pytest.raises(VerificationError, match="belongs to nobody"):
        document.signer(log.eve.keyid, 5)


def test_a_later_version_is_signed_by_the_old_root_and_the_new(log: Log) -> None:
    new = replace(successor(log), root_keys=(log.eve.public,))
    with pytest.raises(VerificationError, match="previous root"):
        trust.verify_successor(trust.sign_trust(new, [log.eve]), log.trust)
    with pytest.raises(VerificationError, match="its own root"):
        trust.verify_successor(trust.sign_trust(new, [log.root]), log.trust)
    assert trust.verify_successor(trust.sign_trust(new, [log.root, log.eve]), log.trust).version == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"version": 3}, "follows"), ({"origin": "elsewhere"}, "is for"), ({"previous": "0" * 64}, "predecessor")],
)
def test_a_version_that_does_not_follow_is_refused(log: Log, changes: dict[str, object], words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        trust.verify_successor(trust.sign_trust(successor(log, **changes), [log.root]), log.trust)


def test_people_and_keys_are_distinct(log: Log, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="same key"):
        make_trust(log.root, log.log_signer, {"ada": log.ada, "bob": log.ada})
    with pytest.raises(VerificationError, match="same key"):
        make_trust(log.root, log.log_signer, {"ada": log.root})
    ada = log.trust.principals[0]
    with pytest.raises(VerificationError, match="one id"):
        replace(log.trust, principals=(ada, replace(ada, keys=())))
    with pytest.raises(VerificationError, match="threshold"):
        replace(log.trust, root_threshold=2)
    two = keys.generate(tmp_path / "two.pem").public
    with pytest.raises(VerificationError, match="distinct"):
        replace(log.trust, root_keys=(two, replace(two, keyid="other")), root_threshold=2)


def test_unknown_and_wrong_fields_are_refused(log: Log) -> None:
    value = log.trust.to_dict()
    assert trust.TrustFile.from_dict(value) == log.trust
    for change in (
        {"extra": 1},
        {"version": "1"},
        {"issuedAt": "soon"},
        {"issuedAt": "2026-01-01T00:00:00"},
        {"principals": 3},
    ):
        with pytest.raises(VerificationError):
            trust.TrustFile.from_dict({**value, **change})


def test_a_revoked_key_signs_nothing_more_and_its_past_stays(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = log.trust.principals[0]
    size = log.ledger.size
    revoked = successor(log, principals=(replace(ada, keys=(replace(ada.keys[0], valid_until=size),)),))
    envelope = trust.sign_trust(revoked, [log.root])
    from ml_governance.evidence.predicates import TrustUpdate
    from ml_governance.evidence.statement import Subject

    with log.writer(log.root) as writer:
        writer.record(
            TrustUpdate(version=2, envelope=envelope.to_dict()),
            [Subject(name="trust/2", sha256=sha256_hex(envelope.payload))],
        )
    assert not log.verify().problems
    with pytest.raises(VerificationError, match="signed at"):
        log.writer().record(note("refused"), [Subject(name="m", sha256="1" * 64)])

    monkeypatch.setattr("ml_governance.evidence.door.know_signers", lambda *_: None)
    with log.writer() as writer:
        writer.record(note("after revocation"), [Subject(name="m", sha256="1" * 64)])
    assert f"signed at #{size + 3}" in log.problems()


def test_expiry_is_told(log: Log) -> None:
    assert not log.trust.expired(log.trust.issued_at + timedelta(days=364))
    assert log.trust.expired(log.trust.expires_at)
