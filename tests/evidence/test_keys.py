from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ml_governance.errors import KeyFileError, VerificationError
from ml_governance.evidence import keys
from ml_governance.evidence.checkpoint import LogSigner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def test_a_new_key_is_private_and_loads_back(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    signer = keys.load(file)
    signer.public.verify(signer.sign(b"m"), b"m")
    with pytest.raises(VerificationError, match="does not verify"):
        signer.public.verify(signer.sign(b"m"), b"other")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_touch_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"{mode:04o}") as caught:
        keys.load(file)
    assert "chmod 600" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_symbolic_link_is_refused(file: Path) -> None:
    link = file.with_name("link.pem")
    link.symlink_to(file)
    with pytest.raises(KeyFileError, match="symbolic link"):
        keys.load(link)


def test_a_key_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="belongs to user"):
        keys.load(file)


def test_other_things_are_no_keys(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="does not exist"):
        keys.load(tmp_path / "nothing.pem")
    with pytest.raises(KeyFileError, match="not a regular file|cannot be opened"):
        keys.load(tmp_path)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    broken.chmod(0o600)
    with pytest.raises(KeyFileError, match="cannot be read as a private key"):
        keys.load(broken)
    os.mkfifo(tmp_path / "pipe.pem", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        keys.load(tmp_path / "pipe.pem")


def test_keys_of_other_types_are_refused(tmp_path: Path) -> None:
    private = {
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
    }
    for name, key in private.items():
        keys.write_private(tmp_path / name, key)
        with pytest.raises(KeyFileError, match="another type"):
            keys.load(tmp_path / name)
    keys.generate(tmp_path / "p256")
    with pytest.raises(KeyFileError, match="another type"):
        LogSigner.load(tmp_path / "p256", name="log")


def test_a_key_file_is_never_overwritten(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(KeyFileError, match="already exists"):
        keys.generate(file)
    assert file.read_bytes() == before


def test_encrypted_keys_need_their_passphrase(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "locked.pem"
    file.touch(0o600)
    file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    assert keys.load(file, passphrase=b"open sesame").keyid
    with pytest.raises(KeyFileError, match="passphrase is missing"):
        keys.load(file)
    with pytest.raises(KeyFileError, match="right passphrase|cannot be read"):
        keys.load(file, passphrase=b"wrong")


def test_a_signature_that_a_service_makes_with_another_key_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_SIGNER_PATH_PREFIX", str(tmp_path))
    other = keys.generate(tmp_path / "other.pem")
    mine, theirs = (
        keys.UriSigner(f"file2:{name}.pem", one.public, secret=lambda _: "")
        for name, one in (("key", keys.load(file)), ("other", other))
    )
    mine.public.verify(mine.sign(b"m"), b"m")
    mine._signer = theirs._signer
    with pytest.raises(VerificationError, match="does not verify"):
        mine.sign(b"m")


def test_a_key_id_must_be_the_id_of_its_key(tmp_path: Path) -> None:
    one, two = keys.generate(tmp_path / "1.pem").public, keys.generate(tmp_path / "2.pem").public
    with pytest.raises(VerificationError, match="not the id of its key"):
        keys.PublicKey.from_dict({**one.to_dict(), "keyid": two.keyid})
