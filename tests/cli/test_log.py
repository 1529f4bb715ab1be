"""The verbs with which a log is given away, anchored, kept and handed on, as a person types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli import mlgov

if TYPE_CHECKING:
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ws(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ws"
    people = ("ada=author", "vera=validator", "rita=risk_officer,policy_owner", "dora=data_protection_officer")
    asked = [word for person in people for word in ("--person", person)]
    assert mlgov(capsys, "init", path, "--project", "credit", "--registry", "local:models", *asked)[0] == 0
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def root(ws: Path, capsys: Capture) -> str:
    return mlgov(capsys, "keys", "root")[1].strip()


def test_what_was_given_away_is_checked_with_no_workspace(
    ws: Path, root: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, tiles, pin = tmp_path / "log.bundle.json", tmp_path / "tiles", tmp_path / "pin.txt"
    pin.write_text(mlgov(capsys, "log", "checkpoint")[1])
    code, out, _ = mlgov(capsys, "log", "export", "--bundle", bundle, "--tiles", tiles)
    assert code == 0 and f"--root {root}" in out
    proof = tmp_path / "4.tlog-proof"
    proof.write_text(mlgov(capsys, "log", "prove", "4")[1])
    key = mlgov(capsys, "keys", "root", "--log-key")[1].strip()
    monkeypatch.chdir(tmp_path)
    for what in (bundle, tiles):
        assert mlgov(capsys, "log", "verify", what, "--root", root)[0] == 0
        code, out, _ = mlgov(capsys, "log", "verify", what, "--root", root, "--pin", pin)
        assert code == 0 and "continues the pinned checkpoint of 6 entries" in out
        code, out, _ = mlgov(capsys, "log", "verify", what)
        assert code == 4 and "self-consistent, signer unknown" in out
        assert mlgov(capsys, "log", "verify", what, "--root", "sha256:" + "0" * 64)[0] == 4
    code, out, _ = mlgov(capsys, "log", "verify", proof, "--vkey", key)
    assert code == 0 and "entry #4, a policy, is in the log" in out
    assert mlgov(capsys, "log", "verify", proof)[0] == 2
    assert "believed as it was given" in out
    trust = ("--root", root, "--trust", ws / "governance" / "trust.json")
    code, out, _ = mlgov(capsys, "log", "verify", proof, *trust)
    assert code == 0 and "believed as it was given" not in out
    assert json.loads(mlgov(capsys, "log", "verify", proof, *trust, "--json")[1])["trustRootKnown"]
    assert mlgov(capsys, "log", "verify", proof, "--vkey", key, "--root", root)[0] == 2, "it would say nothing"
    proof.write_text(proof.read_text().replace("index 4", "index 3"))
    assert mlgov(capsys, "log", "verify", proof, "--vkey", key)[0] == 4
    value = json.loads(mlgov(capsys, "log", "verify", bundle, "--root", root, "--json")[1])
    assert value["verified"] and value["size"] == 6 and value["trustRootKnown"]
    assert (value["covers"], value["subjects"]) == ("whole log", [])
    bundle.write_text(bundle.read_text().replace('"index":4', '"index":5', 1))
    assert mlgov(capsys, "log", "verify", bundle, "--root", root)[0] == 4
    assert mlgov(capsys, "log", "verify", bundle, "--root", "sha256:ABC")[0] == 2


def test_a_bundle_says_what_it_is_about(ws: Path, root: str, tmp_path: Path, capsys: Capture) -> None:
    entry = json.loads(mlgov(capsys, "log", "show", "4")[1])
    bundle, nothing = tmp_path / "one.json", "f" * 64
    assert (
        mlgov(capsys, "log", "export", "--bundle", bundle, "--subject", entry["sha256"], "--subject", nothing)[0] == 0
    )
    code, out, _ = mlgov(capsys, "log", "verify", bundle, "--root", root)
    assert code == 0
    assert f"covers: only {entry['subject']} (sha256:{entry['sha256']}), no entry (sha256:{nothing})" in out
    value = json.loads(mlgov(capsys, "log", "verify", bundle, "--root", root, "--json")[1])
    assert (value["covers"], value["subjects"]) == ("subjects", sorted([entry["sha256"], nothing]))
    bundle.write_text(bundle.read_text().replace(f'"subjects":["{entry["sha256"]}"', '"subjects":["' + "0" * 64 + '"'))
    assert mlgov(capsys, "log", "verify", bundle, "--root", root)[0] == 4, "nobody widens what a bundle is about"


def test_proofs_about_a_subject_go_into_a_folder(ws: Path, tmp_path: Path, capsys: Capture) -> None:
    entry = json.loads(mlgov(capsys, "log", "show", "4")[1])
    code, out, _ = mlgov(capsys, "log", "prove", entry["sha256"], "--out", tmp_path / "proofs")
    assert code == 0 and (tmp_path / "proofs" / "4.tlog-proof").read_text().startswith("c2sp.org/tlog-proof@v1")
    assert out.strip().endswith("4.tlog-proof")
    code, _, err = mlgov(capsys, "log", "prove", "99")
    assert code == 4 and "no entry #99" in err
    assert mlgov(capsys, "log", "prove", "f" * 64)[0] == 4
    assert mlgov(capsys, "log", "export")[0] == 2


def test_envelopes_are_shown_as_other_tools_take_them(ws: Path, capsys: Capture) -> None:
    envelope = json.loads(mlgov(capsys, "log", "show", "4", "--envelope")[1])
    assert set(envelope) == {"payload", "payloadType", "signatures"}
    bundle = json.loads(mlgov(capsys, "log", "show", "4", "--sigstore")[1])
    assert bundle["dsseEnvelope"]["payload"] == envelope["payload"]


def test_a_log_that_was_rolled_back_is_not_said_to_continue(
    ws: Path, root: str, tmp_path: Path, capsys: Capture
) -> None:
    old, bundle, pin = tmp_path / "old.sqlite", tmp_path / "log.bundle.json", tmp_path / "pin.txt"
    assert mlgov(capsys, "log", "backup", old)[0] == 0
    assert mlgov(capsys, "log", "export", "--bundle", bundle)[0] == 0
    assert mlgov(capsys, "keys", "renew", "--root-key", "root")[0] == 0
    pin.write_text(mlgov(capsys, "log", "checkpoint")[1])
    assert mlgov(capsys, "log", "verify")[0] == 0
    code, out, _ = mlgov(capsys, "log", "verify", bundle, "--root", root, "--pin", pin)
    assert code == 4 and "rolled back" in out and "--pin FILE" not in out, "a pin was given"
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (ws / "governance" / name).unlink(missing_ok=True)
    old.rename(ws / "governance" / "ledger.sqlite")
    for pins in ((), ("--pin", pin)):
        code, out, _ = mlgov(capsys, "log", "verify", *pins)
        assert code == 4 and "rolled back" in out and "continues" not in out


def test_what_is_given_away_carries_the_cosignatures_of_its_checkpoint(
    ws: Path, root: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ml_governance.evidence.witness import Cosigner
    from ml_governance.workspace import exchange

    cosigner, policy = Cosigner(Ed25519PrivateKey.generate(), "w.example/w"), tmp_path / "witnesses.txt"
    policy.write_text(f"witness w {cosigner.vkey} https://w.example/\nquorum w\n")

    def answer(_url: str, body: bytes) -> tuple[int, str]:
        return 200, cosigner.cosign(body.decode().partition("\n\n")[2], datetime.now(UTC))

    monkeypatch.setattr(exchange, "post", answer)
    assert mlgov(capsys, "log", "checkpoint", "--witnesses", policy)[0] == 0
    bundle, tiles, proof = tmp_path / "b.json", tmp_path / "tiles", tmp_path / "4.tlog-proof"

    def give() -> list[int]:
        assert mlgov(capsys, "log", "export", "--bundle", bundle, "--tiles", tiles)[0] == 0
        proof.write_text(mlgov(capsys, "log", "prove", "4")[1])
        key = mlgov(capsys, "keys", "root", "--log-key")[1].strip()
        ways: list[tuple[object, ...]] = [(bundle, "--root", root), (tiles, "--root", root), (proof, "--vkey", key)]
        return [mlgov(capsys, "log", "verify", *way, "--witnesses", policy)[0] for way in ways]

    assert give() == [0, 0, 0]
    assert mlgov(capsys, "keys", "renew", "--root-key", "root")[0] == 0
    assert give() == [4, 4, 4], "nobody has cosigned the newer checkpoint"


def test_what_is_neither_a_bundle_nor_a_proof_is_named(ws: Path, root: str, tmp_path: Path, capsys: Capture) -> None:
    kept = tmp_path / "checkpoint.txt"
    kept.write_text(mlgov(capsys, "log", "checkpoint")[1])
    code, _, err = mlgov(capsys, "log", "verify", kept, "--root", root)
    assert code == 4 and "checkpoint.txt is neither a bundle nor a proof" in err and "--pin FILE" in err


def test_people_come_go_and_change_keys(
    ws: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGOV_PASSPHRASE", "a long passphrase")
    code, out, _ = mlgov(capsys, "keys", "new", "max", "--out", tmp_path, "--encrypt", "--json")
    made = json.loads(out)
    assert code == 0 and "ENCRYPTED" in (tmp_path / "max.pem").read_text()
    trusted = mlgov(
        capsys, "keys", "trust", tmp_path / "max.pub", "--id", "max", "--role", "release_manager", "--root-key", "root"
    )
    assert trusted[0] == 0 and "in force since entry #" in trusted[1]
    people = {one["id"]: one for one in json.loads(mlgov(capsys, "keys", "ls", "--json")[1])}
    assert people["max"]["keys"][0]["keyid"] == made["keyid"] and people["max"]["roles"] == ["release_manager"]
    assert mlgov(capsys, "keys", "new", "max", "--out", tmp_path / "second")[0] == 0
    assert (
        mlgov(capsys, "keys", "rotate", "max", "--public", tmp_path / "second" / "max.pub", "--root-key", "root")[0]
        == 0
    )
    assert mlgov(capsys, "keys", "revoke", "max", "--root-key", "root")[0] == 0
    keys = {one["id"]: one for one in json.loads(mlgov(capsys, "keys", "ls", "--json")[1])}["max"]["keys"]
    assert all(key["validUntil"] is not None for key in keys)
    code, _, err = mlgov(capsys, "keys", "new", "zoe", "--out", tmp_path)
    assert code == 0
    for person, words in (("max", "of max does not count at #"), ("zoe", "belongs to nobody")):
        code, _, err = mlgov(capsys, "log", "erase", "4", "--reason", "x", "--as", tmp_path / f"{person}.pem")
        assert code == 1 and words in err and "next: mlgov keys" in err
    assert mlgov(capsys, "keys", "revoke", "nobody", "--root-key", "root")[0] == 2
    assert mlgov(capsys, "keys", "revoke", "vera", "--root-key", "ada")[0] in (1, 4), "ada holds no root key"
    assert mlgov(capsys, "keys", "rotate", "vera", "--until", "9", "--root-key", "root")[0] == 2
    assert mlgov(capsys, "keys", "rotate", "log", "--root-key", "root")[0] == 0
    new, old = json.loads(mlgov(capsys, "keys", "root", "--json")[1])["sizes"]
    assert new["validUntil"] is None and new["validFrom"] == old["validUntil"]
    assert f"{old['public'][:16]} (trees of 0 to {old['validUntil'] - 1} entries)" in mlgov(capsys, "keys", "ls")[1]
    assert mlgov(capsys, "keys", "revoke", old["public"][:16], "--compromised", "--root-key", "root")[0] == 0
    assert mlgov(capsys, "keys", "resume", "--reason", "none", "--root-key", "root")[0] == 2
    code, _, err = mlgov(capsys, "log", "erase", "4", "--reason", "x", "--as", "nobody")
    assert code == 2 and "one of ada, dora, rita, vera, or" in err, "a retired key of the log is no person"
    assert "mlgov keys new nobody --out" in err
    assert mlgov(capsys, "keys", "renew", "--root-key", "root")[0] == 0
    assert mlgov(capsys, "log", "verify")[0] == 0


def test_a_stolen_key_needs_a_checkpoint_from_before_or_loses_everything(
    ws: Path, tmp_path: Path, capsys: Capture
) -> None:
    pin = tmp_path / "pin.txt"
    pin.write_text(mlgov(capsys, "log", "checkpoint")[1])
    revoke = ("keys", "revoke", "rita", "--root-key", "root")
    witnesses, stolen = tmp_path / "witnesses.txt", ("--stolen", "2999-11-20T08:00Z")
    witnesses.write_text("quorum none\n")
    proven = ("--compromised", "--last-good", pin)
    for useless in (
        ("--last-good", pin), proven, ("--compromised", "--unproven", "r"), (*proven, *stolen),
        (*proven, *stolen, "--unproven", "r"), (*proven, "--unproven", " "),
    ):  # fmt: skip
        assert mlgov(capsys, *revoke, *useless)[0] == 2, useless
    code, _, err = mlgov(capsys, *revoke, *proven, *stolen, "--witnesses", witnesses)
    assert code == 4 and "no anchor covers it" in err
    code, out, _ = mlgov(capsys, *revoke, *proven, "--unproven", "Rita kept it on paper")
    assert code == 0 and "NOT PROVEN to be older than the theft: Rita kept it on paper" in out
    assert "NOT PROVEN" in mlgov(capsys, "log", "verify")[1]
    assert mlgov(capsys, "log", "show", "4")[0] == 0
    assert mlgov(capsys, "keys", "revoke", "ada", "--compromised", "--root-key", "root")[0] == 0


def test_content_is_erased_by_the_one_who_may(ws: Path, capsys: Capture) -> None:
    code, out, _ = mlgov(capsys, "log", "erase", "--due")
    assert code == 0 and "may go since" in out
    assert mlgov(capsys, "log", "erase", "4", "--reason", "a request", "--as", "vera")[0] == 1
    assert mlgov(capsys, "log", "erase", "4", "--as", "dora")[0] == 2
    assert mlgov(capsys, "log", "erase", "1", "--reason", "a request", "--as", "dora")[0] == 2
    code, out, _ = mlgov(capsys, "log", "erase", "4", "--reason", "a request", "--as", "dora")
    assert code == 0 and "erased #4" in out
    code, _, err = mlgov(capsys, "log", "show", "4")
    assert code == 4 and "erased under entry" in err and "mlgov log prove 4 still works" in err
    assert mlgov(capsys, "log", "prove", "4")[0] == 0
    assert mlgov(capsys, "log", "verify")[0] == 0


def test_a_backup_replaces_a_lost_log(ws: Path, tmp_path: Path, capsys: Capture) -> None:
    backup, pin = tmp_path / "backup.sqlite", tmp_path / "pin.txt"
    code, out, _ = mlgov(capsys, "log", "backup", backup)
    assert code == 0 and "6 entries" in out
    code, _, err = mlgov(capsys, "log", "backup", backup)
    assert code == 2 and "never overwritten" in err
    assert mlgov(capsys, "keys", "renew", "--root-key", "root")[0] == 0
    pin.write_text(mlgov(capsys, "log", "checkpoint")[1])
    code, _, err = mlgov(capsys, "log", "restore", backup, "--pin", pin)
    assert code == 4 and "rolled back" in err
    now = tmp_path / "now.sqlite"
    assert mlgov(capsys, "log", "backup", now)[0] == 0
    code, _, err = mlgov(capsys, "log", "restore", now, "--pin", pin)
    assert code == 2 and "expected: an empty database" in err
    (ws / "governance" / "ledger.sqlite").unlink()
    code, _, err = mlgov(capsys, "log", "restore", backup, "--pin", pin)
    assert code == 4 and "rolled back" in err
    assert mlgov(capsys, "log", "migrate")[0] == 5


def test_an_empty_outbox_says_so_and_a_missing_destination_what_to_write(ws: Path, capsys: Capture) -> None:
    assert json.loads(mlgov(capsys, "log", "outbox", "--json")[1]) == []
    code, _, err = mlgov(capsys, "log", "outbox", "--send")
    assert code == 2 and "destinations = [" in err
