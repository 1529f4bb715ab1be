"""Who is trusted, from when to when, and what is left of a key that was stolen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ml_governance.errors import (
    ConfigurationError,
    GovernanceError,
    KeyFileError,
    NotAuthorizedError,
    VerificationError,
)
from ml_governance.evidence import keys
from ml_governance.evidence.predicates import Erasure, Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval
from ml_governance.evidence.walk import ERASER
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import new_keys
from ml_governance.workspace.last_good import LastGood
from ml_governance.workspace.setup import PEOPLE

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.workspace import Workspace

MODEL = Subject(name="credit/1", sha256="ab" * 32)
REJECTION = Approval(stage="production", binding="0" * 64, verdict="reject", role="validator", reason="no")
NOTE = Approval(stage="production", binding="0" * 64, verdict="approve", role="validator", reason="yes")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "ws", clock=FrozenClock())


def record(ws: Workspace, who: str | Path, content: Any = NOTE) -> int:
    with ws.acting_as(who) as acting:
        return acting.writer.record(content, [MODEL]).index


def test_a_new_person_can_sign_from_then_on(ws: Workspace, tmp_path: Path) -> None:
    made = new_keys.new_key(tmp_path / "hers", "vera")
    assert made.private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(VerificationError, match="belongs to nobody"):
        record(ws, made.private)
    done = ws.custody.trust("vera", made.public, roots=["root"], name="Vera", roles=["validator"])
    assert done.version == 2
    index = record(ws, made.private)
    view = ws.view()
    principal = next(a.principal for a in view.attestations if a.index == index)
    assert (principal.name, principal.custodian, principal.roles) == ("Vera", "vera", frozenset({"validator"}))


def test_only_root_keys_change_the_trust(ws: Workspace, tmp_path: Path) -> None:
    made = new_keys.new_key(tmp_path, "eve")
    with pytest.raises(NotAuthorizedError, match="no root key"):
        ws.custody.trust("eve", made.public, roots=["validator"], roles=["validator"])
    with pytest.raises(VerificationError, match="not signed by"):
        ws.custody.trust("eve", made.public, roots=[], roles=["validator"])
    with pytest.raises(ConfigurationError, match="cannot be a role"):
        ws.custody.trust("eve", made.public, roots=["root"], roles=["Admin!"])
    with pytest.raises(VerificationError, match="private key"):
        ws.custody.trust("eve", made.private, roots=["root"], roles=["validator"])
    with pytest.raises(VerificationError, match="same key"):
        ws.custody.trust("eve", _public_of(ws, "validator", tmp_path), roots=["root"], roles=["author"])
    assert ws.custody.current().version == 1


def _public_of(ws: Workspace, who: str, folder: Path) -> Path:
    path = folder / f"{who}.pub"
    path.write_text(keys.load(ws.config.keys / f"{who}.pem").public.pem)
    return path


def test_a_revoked_key_signs_nothing_new_and_keeps_what_it_signed(ws: Workspace) -> None:
    before = record(ws, "validator")
    ws.custody.revoke("validator", roots=["root"])
    with pytest.raises(VerificationError, match="expected: an index from|signed at"):
        record(ws, "validator")
    view = ws.view()
    assert before in {a.index for a in view.attestations}
    assert not view.void
    with pytest.raises(ConfigurationError, match="no key in use"):
        ws.custody.revoke("validator", roots=["root"])
    with pytest.raises(ConfigurationError, match="no key in use"):
        ws.custody.revoke("nobody", roots=["root"])


def test_what_a_stolen_key_signed_counts_no_more(ws: Workspace) -> None:
    """Without an anchor all of it is void; with one, what it covers still counts. What counts against somebody stays."""
    first = record(ws, "validator")
    anchored = ws.ledger.size
    second = record(ws, "validator")
    no, taken_back = (
        record(ws, "validator", REJECTION),
        record(ws, "validator", Revocation(target="1" * 64, reason="r")),
    )
    ws.custody.revoke("validator", roots=["root"], last_good=LastGood(size=anchored, proven=False, why="it was kept"))
    view = ws.view()
    counting = {a.index for a in view.attestations}
    assert {first, no, taken_back} <= counting
    assert second not in counting
    assert {v.index for v in view.void if v.kind == "approval"} == {second}
    ws.custody.revoke("validator", roots=["root"], last_good=LastGood.nothing())
    view = ws.view()
    assert first not in {a.index for a in view.attestations}
    assert {first, second} <= {v.index for v in view.void}
    assert not ws.verify().problems


def test_void_evidence_blocks_until_it_is_replaced(ws: Workspace) -> None:
    from ml_governance.decide.decision import evaluate
    from ml_governance.decide.policy import in_force

    record(ws, "validator")
    ws.custody.revoke("validator", roots=["root"], last_good=LastGood.nothing())
    view = ws.view()
    reference = in_force(view, "production")

    def blocked(evidence: Any) -> bool:
        decision = evaluate(
            subject=MODEL, stage="production", project="credit", policy=reference.policy, policy_sha256=reference.sha256,
            evidence=evidence, at=ws.clock(),
        )  # fmt: skip
        return any(finding.rule.startswith("GATE-void") for finding in decision.findings)

    assert blocked(view)
    newer = replace(
        next(a for a in view.attestations if a.kind == "policy"), index=99, kind="approval", subjects=(MODEL,)
    )
    assert not blocked(replace(view, attestations=(*view.attestations, newer)))
    void = replace(view.void[0], kind="policy", subjects=frozenset())
    assert blocked(replace(view, void=(replace(void, index=98),)))


def test_a_person_goes_on_with_another_key(ws: Workspace, tmp_path: Path) -> None:
    old = record(ws, "validator")
    made = new_keys.new_key(tmp_path / "new", "validator")
    ws.custody.rotate("validator", made.public, roots=["root"])
    with pytest.raises(VerificationError):
        record(ws, "validator")
    new = record(ws, made.private)
    by = {a.index: a.principal.id for a in ws.view().attestations}
    assert by[old] == by[new] == "validator"
    with pytest.raises(ConfigurationError, match="nobody is called"):
        ws.custody.rotate("somebody", made.public, roots=["root"])


def test_a_root_of_several_holders(ws: Workspace, tmp_path: Path) -> None:
    """The ceremony: two new holders, the old root and both of them sign; afterwards one alone changes nothing."""
    one, two = (new_keys.new_key(tmp_path / name, name) for name in ("one", "two"))
    draft = tmp_path / "draft.json"
    waiting = ws.custody.rotate_root([one.public, two.public], roots=["root"], threshold=2, draft=draft)
    assert (waiting.index, waiting.signatures, waiting.needed) == (None, 1, 3)
    waiting = ws.custody.continue_draft(draft, roots=[str(one.private)])
    assert waiting.index is None
    with pytest.raises(ConfigurationError, match="no key of the root in force"):
        ws.custody.continue_draft(draft, roots=[str(two.private)])
    done = ws.custody.continue_draft(draft, roots=[str(two.private), "root"])
    assert done.version == 2
    with pytest.raises(NotAuthorizedError, match="no root key"):
        ws.custody.renew(roots=["root"])
    with pytest.raises(VerificationError, match="not signed by"):
        ws.custody.renew(roots=[str(one.private)])
    assert ws.custody.renew(roots=[str(one.private), str(two.private)]).version == 3
    assert not ws.verify().problems
    edited = json.loads(draft.read_text())
    edited["payload"] = edited["payload"][::-1]
    draft.write_text(json.dumps(edited))
    with pytest.raises(VerificationError):
        ws.custody.continue_draft(draft, roots=["root"])


def test_no_more_of_a_draft_is_read_than_one_may_have(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "draft.json").symlink_to("/dev/zero")  # it never ends
    with pytest.raises(VerificationError, match="bytes"):
        ws.custody.continue_draft(tmp_path / "draft.json", roots=["root"])


def test_the_log_changes_its_key(ws: Workspace) -> None:
    record(ws, "validator")
    old = (ws.config.keys / "log.pem").read_bytes()
    note = ws.ledger.checkpoint()
    ws.custody.rotate_log_key(roots=["root"])
    assert (ws.config.keys / "log.pem").read_bytes() != old
    record(ws, "validator")
    verified = ws.verify()
    assert not verified.problems
    assert verified.trust is not None
    assert len(verified.trust.log_keys) == 2
    assert note.splitlines()[-1] != ws.ledger.checkpoint().splitlines()[-1]
    (ws.config.keys / "log.pem").unlink()
    keys.write_private(ws.config.keys / "log.pem", Ed25519PrivateKey.generate())
    with pytest.raises(VerificationError, match="no key that counts"):
        record(ws, "validator")


def test_an_expired_trust_file_is_renewed(ws: Workspace) -> None:
    before = ws.custody.current().expires_at
    ws.clock.now = before  # type: ignore[attr-defined]
    ws.custody.renew(roots=["root"])
    assert ws.custody.current().expires_at > before


def test_a_passphrase_protects_a_key(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyFileError, match="no passphrase"):
        new_keys.new_key(tmp_path / "k", "vera", encrypt=True)
    monkeypatch.setenv("MLGOV_PASSPHRASE", "correct horse")
    made = new_keys.new_key(tmp_path / "k2", "vera", encrypt=True)
    assert b"ENCRYPTED" in made.private.read_bytes()
    ws.custody.trust("vera", made.public, roots=["root"], roles=["validator"])
    record(ws, made.private)
    monkeypatch.setenv("MLGOV_PASSPHRASE", "wrong")
    with pytest.raises(KeyFileError, match="right passphrase"):
        record(ws, made.private)
    monkeypatch.delenv("MLGOV_PASSPHRASE")
    with pytest.raises(KeyFileError, match="passphrase is missing"):
        record(ws, made.private)
    secret = tmp_path / "phrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o644)
    monkeypatch.setenv("MLGOV_PASSPHRASE_FILE", str(secret))
    with pytest.raises(KeyFileError, match="others can read"):
        record(ws, made.private)
    secret.chmod(0o600)
    record(ws, made.private)


def test_a_key_that_a_service_keeps(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """securesystemslib's own file signer stands in for a service here; SoftHSM2 is in the interop tests."""
    made = new_keys.new_key(tmp_path / "k", "vera")
    monkeypatch.setenv("CRYPTO_SIGNER_PATH_PREFIX", str(tmp_path))
    uri = "file2:k/vera.pem"
    with pytest.raises(ConfigurationError, match="public key of file2"):
        new_keys.new_key(tmp_path / "u", "vera", uri=uri)
    kept = new_keys.new_key(ws.config.keys, "vera", uri=uri, public=made.public)
    assert kept.private.suffix == ".uri"
    ws.custody.trust("vera", made.public, roots=["root"], roles=["validator"])
    record(ws, "vera")
    other = new_keys.new_key(tmp_path / "other", "eve")
    with pytest.raises(GovernanceError):
        new_keys.new_key(tmp_path / "u", "eve", uri=uri, public=other.public)
    with pytest.raises(KeyFileError, match="cannot be used"):
        new_keys.new_key(tmp_path / "u", "eve", uri="nonsense:1", public=other.public)
    kept.private.chmod(0o644)
    with pytest.raises(KeyFileError, match="others can read"):
        record(ws, "vera")


# --- erasing, exporting, backing up -------------------------------------------------------------------------------


@pytest.fixture
def dora(tmp_path: Path) -> Workspace:
    people = [replace(p, roles=(*p.roles, ERASER)) if p.id == "risk-officer" else p for p in PEOPLE]
    made = workspace(tmp_path / "ws", signer="risk-officer", clock=FrozenClock(), people=people)
    record(made, "validator")
    return made


def test_erased_content_is_gone_and_every_proof_stays(dora: Workspace) -> None:
    index = next(a.index for a in dora.view().attestations if a.kind == "approval")
    proof = dora.log.prove(str(index))[0]
    with pytest.raises(NotAuthorizedError, match=ERASER), dora.acting_as("validator") as ws:
        ws.log.erase(index, reason="I want to")
    receipt = dora.log.erase(index, reason="request 7")
    view = dora.view()
    assert [v.why for v in view.void] == [f"its content was erased under entry #{receipt.index}"]
    assert view.void[0].subjects == {MODEL.sha256}
    log_keys = dora.custody.current().log_keys
    proof.verify(log_keys, origin=dora.config.origin)
    dora.log.prove(str(index))[0].verify(log_keys, origin=dora.config.origin)
    dora.close()
    folder = dora.config.root / "governance"
    for path in folder.glob("ledger.sqlite*"):
        assert b"cmVhc29uIjoieWVz" not in path.read_bytes(), "the content is nowhere in the database's files"
        assert NOTE.reason.encode() + b'"' not in path.read_bytes().replace(b"reason", b"")
    with pytest.raises(GovernanceError, match="not there to erase"):
        dora.log.erase(index, reason="again")
    for one in dora.view().attestations:
        if one.kind in ("trust", "erasure"):
            with pytest.raises(GovernanceError, match="verified with"):
                dora.log.erase(one.index, reason="x")
    with pytest.raises(GovernanceError, match="reason is empty"):
        dora.log.erase(0, reason=" ")


def test_content_that_vanished_is_not_called_erased(dora: Workspace) -> None:
    import sqlite3
    from contextlib import closing

    index = next(a.index for a in dora.view().attestations if a.kind == "approval")
    dora.close()
    with closing(sqlite3.connect(dora.config.root / "governance" / "ledger.sqlite")) as database, database:
        database.execute("DELETE FROM blobs WHERE idx = ?", (index,))
    assert "its content is missing" in dora.verify().problems[0].what


def test_an_erasure_by_somebody_without_the_role_does_not_get_in(dora: Workspace) -> None:
    entry = next(a for a in dora.view().attestations if a.kind == "approval")
    content = Erasure(leaf=entry.index, payload=entry.payload_digest, reason="hide it")
    with dora.acting_as("validator") as ws, pytest.raises(VerificationError, match="validator may not erase"):
        ws.writer.record(content, [MODEL], erases=entry.index)
    assert entry.index in {a.index for a in dora.view().attestations}


def test_content_goes_only_under_an_entry_that_names_it(dora: Workspace) -> None:
    one, other = [a for a in dora.view().attestations if a.kind in ("approval", "policy")][:2]
    for wrong in (
        Erasure(leaf=other.index, payload=other.payload_digest, reason="another"),
        Erasure(leaf=one.index, payload=other.payload_digest, reason="another digest"),
        REJECTION,
    ):
        with pytest.raises(VerificationError, match=f"no entry says that #{one.index} is erased"):
            dora.writer.record(wrong, [MODEL], erases=one.index)
    assert {one.index, other.index} <= {a.index for a in dora.view().attestations}


def test_what_the_rest_is_verified_with_is_never_erased(dora: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(a for a in dora.view().attestations if a.kind == "writer-open")
    content = Erasure(leaf=entry.index, payload=entry.payload_digest, reason="hide it")
    with pytest.raises(VerificationError, match="which the rest is verified with"):
        dora.writer.record(content, [MODEL], erases=entry.index)
    assert not dora.verify().problems
    monkeypatch.setattr("ml_governance.evidence.door.NEVER_ERASED", ())
    dora.writer.record(content, [MODEL], erases=entry.index)
    assert "no erasure may explain" in " ".join(p.what for p in dora.verify().problems)


def test_an_erasure_by_somebody_without_the_role_is_a_problem(dora: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who writes the database directly is not stopped by the check of an honest append."""
    monkeypatch.setattr("ml_governance.evidence.door.know_signers", lambda *_: None)
    entry = next(a for a in dora.view().attestations if a.kind == "approval")
    with dora.acting_as("validator") as ws:
        content = Erasure(leaf=entry.index, payload=entry.payload_digest, reason="hide it")
        ws.writer.record(content, [MODEL], erases=entry.index)
    whats = " ".join(p.what for p in dora.verify().problems)
    assert "without the role" in whats
    assert "its content is missing" in whats


def test_retention_is_kept(dora: Workspace) -> None:
    from datetime import timedelta

    index = next(a.index for a in dora.view().attestations if a.kind == "approval")
    config = dora.config.root / "governance.toml"
    config.write_text(config.read_text() + "\n[retention]\ndefault = 3650\napproval = 10\n")
    from ml_governance.workspace import open_workspace

    with open_workspace(dora.config.root, signer="risk-officer", clock=dora.clock) as ws:
        assert ws.log.due() == ()
        with pytest.raises(GovernanceError, match="must be kept until"):
            ws.log.erase(index, reason="too early")
        dora.clock.advance(timedelta(days=11))  # type: ignore[attr-defined]
        assert [d.index for d in ws.log.due()] == [index]
        ws.log.erase(index, reason="its time has come")
        policy = next(a.index for a in ws.view().attestations if a.kind == "policy")
        ws.log.erase(policy, reason="a law asks for it", early=True)


def test_a_backup_restores_what_was_there_and_no_less(
    dora: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pin, newer = tmp_path / "pin.txt", tmp_path / "newer.txt"
    pin.write_text(dora.ledger.checkpoint())
    size = dora.log.backup(tmp_path / "backup.sqlite")
    with pytest.raises(GovernanceError, match="exists"):
        dora.log.backup(tmp_path / "backup.sqlite")
    record(dora, "validator")
    newer.write_text(dora.ledger.checkpoint())
    dora.close()
    with pytest.raises(GovernanceError, match="holds a ledger"):
        dora.log.restore(tmp_path / "backup.sqlite", pinned=[pin])
    for path in (dora.config.root / "governance").glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(VerificationError, match="nothing says how far"):
        dora.log.restore(tmp_path / "backup.sqlite")
    with pytest.raises(VerificationError, match="not what was pinned: .*rolled back"):
        dora.log.restore(tmp_path / "backup.sqlite", pinned=[newer])
    assert dora.log.restore(tmp_path / "backup.sqlite", pinned=[pin]).checkpoint.size == size
    assert not dora.verify().problems
    record(dora, "validator")
    assert not dora.verify().problems


def test_a_pinned_checkpoint_shows_a_rollback(dora: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    dora.log.backup(tmp_path / "old.sqlite")
    record(dora, "validator")
    pin = tmp_path / "pin.txt"
    pin.write_text(dora.ledger.checkpoint())
    assert "rollback-proof up to there" in " ".join(dora.log.verify(pinned=[pin]).verified.notes)
    dora.close()
    folder = dora.config.root / "governance"
    for path in folder.glob("ledger.sqlite*"):
        path.unlink()
    (tmp_path / "old.sqlite").rename(folder / "ledger.sqlite")
    (tmp_path / "state").rename(tmp_path / "another-account")
    assert not dora.log.verify().verified.problems, "nothing inside the database tells"
    assert "rolled back" in dora.log.verify(pinned=[pin]).verified.problems[0].what


def test_a_role_in_another_project_is_none_here(ws: Workspace, tmp_path: Path) -> None:
    """One log may serve several projects; the door is open to all of their people, the gate is not."""
    from ml_governance.decide.policy import in_force
    from ml_governance.evidence.canonical import sha256_hex
    from ml_governance.evidence.predicates import PolicyInForce

    made = new_keys.new_key(tmp_path / "hers", "mallory")
    roles = ["policy_owner", "validator"]
    ws.custody.trust("mallory", made.public, roots=["root"], roles=roles, projects=["other"])
    current = in_force(ws.view(), "production")
    text = current.attestation.content.text.replace(f"version: {current.version}", "version: 99")  # type: ignore[attr-defined]
    content = PolicyInForce(
        name=current.policy.policy, version=99, stage="production", sha256=sha256_hex(text.encode()), text=text
    )
    record(ws, made.private, content)
    assert in_force(ws.view(), "production").version == current.version
    ws.custody.trust("mallory", made.public, roots=["root"], roles=roles, projects=["other", "credit"])
    record(ws, made.private, content)
    assert in_force(ws.view(), "production").version == 99


def test_a_key_that_was_taken_back_is_not_trusted_again(ws: Workspace, tmp_path: Path) -> None:
    """Changing somebody's roles takes their public key; the stolen one must not come back that way."""
    public = _public_of(ws, "validator", tmp_path)
    ws.custody.trust("validator", public, roots=["root"], roles=["validator", "auditor"])
    ws.custody.revoke("validator", roots=["root"], last_good=LastGood.nothing())
    with pytest.raises(ConfigurationError, match="ended at #0"):
        ws.custody.trust("validator", public, roots=["root"], roles=["validator"])
    with pytest.raises(ConfigurationError, match="ended at #0"):
        ws.custody.rotate("validator", public, roots=["root"])
