"""Signatures in the format of OpenSSF Model Signing, checked by that project's own command where it is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ml_governance.cli.run import run as mlgov
from ml_governance.errors import ConfigurationError, DataError, NotAuthorizedError, VerificationError
from ml_governance.evidence import fingerprint, model_signature
from ml_governance.evidence.predicates import HumanText
from ml_governance.evidence.statement import Subject
from tests.promote.house import House, build, copy

theirs = pytest.mark.skipif(find_spec("model_signing") is None, reason="model-signing is not installed")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture
def house(template: Path, tmp_path: Path) -> House:
    return copy(template, tmp_path / "ws")


@pytest.fixture
def version(house: House, tmp_path: Path) -> Subject:
    """A model of several files, two of which sort one way as paths and another way as bytes."""
    folder = tmp_path / "fitted"
    (folder / "a").mkdir(parents=True)
    for name in ("MLmodel", ".gitattributes", "a/weights.bin", "a-b.txt", "größe.json"):
        (folder / name).write_bytes(name.encode() * 100)
    with house.as_("ada") as ws, ws.training("credit") as run:
        return run.produces(folder, name="credit")


def artifact(house: House, version: str = "1") -> Path:
    with house.as_(None) as ws:
        return ws.registry.artifact("credit", version)


def sign(house: House, version: Any, path: Path, who: str = "vera") -> int:
    with house.as_(who) as ws:
        return ws.sign_model(version, path).index


def public_key(house: House, path: Path, who: str = "vera") -> Path:
    with house.as_(who) as ws:
        path.write_text(ws.require_signer().public.pem)
    return path


def verify(house: House, model: Path, signature: Path, who: str = "vera") -> subprocess.CompletedProcess[str]:
    key = public_key(house, signature.with_name(f"{who}.pem"), who)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "model_signing", "verify", "key", "--no-ignore-git-paths",
         "--public_key", str(key), "--signature", str(signature), str(model)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


# --- what their command says ----------------------------------------------------------------------------------------


@theirs
@pytest.mark.stacks
def test_their_command_accepts_the_signature_of_a_folder(house: House, version: Subject, tmp_path: Path) -> None:
    sign(house, version, tmp_path / "credit-1.sig")
    done = verify(house, artifact(house), tmp_path / "credit-1.sig")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@theirs
@pytest.mark.stacks
def test_their_command_accepts_the_signature_of_a_single_file(house: House, tmp_path: Path) -> None:
    sign(house, house.train(), tmp_path / "credit-1.sig")
    model = artifact(house)
    if model.is_dir():
        (tmp_path / "one.txt").write_text("weights")
        files = ((".", fingerprint.file(tmp_path / "one.txt").sha256, 7),)
        with house.as_("vera") as ws:
            (tmp_path / "credit-1.sig").write_bytes(model_signature.signed("credit/1", files, ws.require_signer()))
        model = tmp_path / "one.txt"
    done = verify(house, model, tmp_path / "credit-1.sig")
    assert done.returncode == 0, done.stdout + done.stderr


@theirs
@pytest.mark.stacks
@pytest.mark.parametrize("change", ["changed", "added", "missing", "another key"])
def test_their_command_refuses_what_was_not_signed(house: House, version: Subject, tmp_path: Path, change: str) -> None:
    sign(house, version, tmp_path / "credit-1.sig")
    model = artifact(house)
    if change == "changed":
        (model / "MLmodel").chmod(0o644)
        (model / "MLmodel").write_text("other")
    elif change == "added":
        model.chmod(0o755)
        (model / "more.py").write_text("import os")
    elif change == "missing":
        model.chmod(0o755)
        (model / "MLmodel").unlink()
    done = verify(house, model, tmp_path / "credit-1.sig", who="rita" if change == "another key" else "vera")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert {
        "changed": "Hash mismatch",
        "added": "Extra files",
        "missing": "Missing files",
        "another key": "Key mismatch",
    }[change] in said


# --- what needs nothing of theirs -----------------------------------------------------------------------------------


def test_the_signature_is_over_every_file_and_by_the_key_of_the_trust_file(
    house: House, version: Subject, tmp_path: Path
) -> None:
    sign(house, version, tmp_path / "s")
    bundle = json.loads((tmp_path / "s").read_text())
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    pem = public_key(house, tmp_path / "vera.pem").read_bytes()
    key = serialization.load_pem_public_key(pem)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, message + b" ", ec.ECDSA(hashes.SHA256()))
    exported = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == hashlib.sha256(exported).hexdigest()
    said = json.loads(payload)
    model = artifact(house)
    kept = {
        str(path.relative_to(model)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in model.rglob("*")
        if path.is_file()
    }
    assert {one["name"]: one["digest"] for one in said["predicate"]["resources"]} == kept and len(kept) >= 4
    digests = b"".join(bytes.fromhex(one["digest"]) for one in said["predicate"]["resources"])
    assert said["subject"] == [{"name": "credit/1", "digest": {"sha256": hashlib.sha256(digests).hexdigest()}}]


def test_the_log_knows_the_file_and_the_model_keeps_its_digest(house: House, version: Subject, tmp_path: Path) -> None:
    index = sign(house, version, tmp_path / "s")
    content = house.content(index)
    assert isinstance(content, HumanText) and content.name == "model-signature"
    assert hashlib.sha256((tmp_path / "s").read_bytes()).hexdigest() in content.text
    assert fingerprint.artifact(artifact(house)).sha256 == version.sha256


def test_the_command_signs_a_model(house: House, version: Subject, tmp_path: Path, capsys: Any) -> None:
    where = ["--workspace", str(house.root), "--as", "vera"]
    assert mlgov(["attest", "credit/1", "--model-signature", str(tmp_path / "s"), *where]) == 0
    assert f"the signature is in {tmp_path / 's'}" in capsys.readouterr().out.replace("\n", "")
    assert model_signature.PREDICATE_TYPE.encode() in base64.b64decode(
        json.loads((tmp_path / "s").read_text())["dsseEnvelope"]["payload"]
    )
    assert mlgov(["attest", "credit/1", "--model-signature", str(tmp_path / "t"), "--text", "a=b", *where]) == 2


def test_bytes_that_were_changed_are_not_signed(house: House, version: Subject, tmp_path: Path) -> None:
    file = artifact(house) / "MLmodel"
    file.chmod(0o644)
    file.write_text("other")
    with pytest.raises(VerificationError, match="has the digest"):
        sign(house, version, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_no_signature_is_written_into_the_model_or_over_a_file(house: House, version: Subject, tmp_path: Path) -> None:
    model = artifact(house)
    model.chmod(0o755)
    (tmp_path / "aside").symlink_to(model)
    for inside in (model / "model.sig", model / "a" / "model.sig", tmp_path / "aside" / "model.sig"):
        with pytest.raises(DataError, match="inside the model"):
            sign(house, version, inside)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        sign(house, version, tmp_path / "taken")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        sign(house, version, tmp_path / "nowhere" / "s")
    assert fingerprint.artifact(model).sha256 == version.sha256 and (tmp_path / "taken").read_text() == "mine"


def test_nobody_without_a_role_signs_and_what_the_log_refuses_is_not_left(
    house: House, version: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotAuthorizedError, match="no role"):
        sign(house, version, tmp_path / "s", who="nobody")
    with house.as_("vera") as ws:
        monkeypatch.setattr(
            type(ws.writer), "record", lambda *_: (_ for _ in ()).throw(ConfigurationError("full disk"))
        )
        with pytest.raises(ConfigurationError, match="full disk"):
            ws.sign_model(version, tmp_path / "s")
        monkeypatch.undo()
    assert not (tmp_path / "s").exists()


def test_names_that_readers_could_take_for_others_are_refused() -> None:
    for files in ((), (("we\u202eights", "0" * 64, 1),), (("\udcff", "0" * 64, 1),)):
        with pytest.raises(DataError):
            model_signature.statement("credit/1", files)
