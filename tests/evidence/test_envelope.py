from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import keys
from ml_governance.evidence.envelope import PAYLOAD_TYPE, Envelope, Signature, pae, sign, verify
from ml_governance.evidence.keys import PublicKey

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.keys import KeySigner


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> KeySigner:
    return keys.generate(tmp_path_factory.mktemp("keys") / "a.pem")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> KeySigner:
    return keys.generate(tmp_path_factory.mktemp("keys") / "b.pem")


def known(*signers: KeySigner) -> dict[str, PublicKey]:
    return {signer.keyid: signer.public for signer in signers}


def test_the_encoding_is_the_one_of_the_specification() -> None:
    # secure-systems-lab/dsse, protocol.md, "Test Vectors".
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signed_envelope_survives_its_json_form(signer: KeySigner) -> None:
    envelope = sign(b"payload", [signer])
    again = Envelope.from_bytes(envelope.to_bytes())
    assert again == envelope
    assert verify(again, known(signer)) == (signer.keyid,)


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(signer: KeySigner, position: int, bit: int) -> None:
    data = bytearray(sign(b'{"a":1}', [signer]).to_bytes())
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(VerificationError):
        verify(Envelope.from_bytes(bytes(data)), known(signer))


def test_another_payload_type_is_refused_though_the_signature_is_good(signer: KeySigner) -> None:
    envelope = sign(b"x", [signer], payload_type="application/other")
    with pytest.raises(VerificationError, match="payloadType"):
        verify(envelope, known(signer))
    with pytest.raises(VerificationError, match="does not verify"):
        verify(replace(envelope, payload_type=PAYLOAD_TYPE), known(signer))


def test_a_signature_from_another_envelope_is_refused(signer: KeySigner) -> None:
    one, two = sign(b"one", [signer]), sign(b"two", [signer])
    with pytest.raises(VerificationError, match="does not verify"):
        verify(replace(one, signatures=two.signatures), known(signer))


def test_an_unknown_key_is_refused(signer: KeySigner, other: KeySigner) -> None:
    with pytest.raises(VerificationError, match="not one that counts"):
        verify(sign(b"x", [other]), known(signer))


def test_one_key_under_two_ids_counts_once(signer: KeySigner, other: KeySigner) -> None:
    envelope = sign(b"x", [signer])
    twice = replace(envelope, signatures=(*envelope.signatures, replace(envelope.signatures[0], keyid="alias")))
    names = {**known(signer), "alias": PublicKey(keyid="alias", pem=signer.public.pem)}
    with pytest.raises(VerificationError, match="1 of 2"):
        verify(twice, names, threshold=2)
    assert len(verify(sign(b"x", [signer, other]), known(signer, other), threshold=2)) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signatures": []}, "signatures"),
        ({"signatures": "x"}, "signatures"),
        ({"payload": "***"}, "base64"),
        ({"payload": "QQ"}, "base64"),
        ({"payload": "QR=="}, "one base64 spelling"),
        ({"payload": 7}, "not text"),
        ({"payloadType": "\u00e9"}, "ASCII"),
        ({"extra": 1}, "nothing else|no DSSE"),
        ({"signatures": [{"keyid": "a", "sig": "QQ==", "more": 1}]}, "wrong form"),
        ({"signatures": [{"keyid": "", "sig": "QQ=="}]}, "keyid"),
    ],
)
def test_malformed_envelopes_are_refused_by_name(signer: KeySigner, change: dict[str, object], words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        Envelope.from_dict({**sign(b"A", [signer]).to_dict(), **change})


def test_many_signatures_are_refused_before_any_is_verified(signer: KeySigner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublicKey, "verify", lambda *_: pytest.fail("a signature was verified"))
    envelope = sign(b"A", [signer])
    flood = replace(envelope, signatures=tuple(Signature(keyid=str(i), sig=b"x") for i in range(100_000)))
    with pytest.raises(VerificationError, match="100000 signatures|nested|bytes"):
        Envelope.from_dict(flood.to_dict())


def test_openssl_accepts_the_signature(signer: KeySigner, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        assert os.environ.get("CI") != "true", "CI needs openssl"
        pytest.skip("openssl is not installed")
    envelope = sign(b"checked by others", [signer])
    (tmp_path / "key.pem").write_text(signer.public.pem)
    (tmp_path / "pae").write_bytes(envelope.pae())
    (tmp_path / "sig").write_bytes(envelope.signatures[0].sig)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "pae"]
    assert b"Verified OK" in subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout


def test_the_json_form_is_the_one_of_the_specification(signer: KeySigner) -> None:
    value = json.loads(sign(b"A", [signer]).to_bytes())
    assert value["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(value["payload"]) == b"A"
    assert set(value["signatures"][0]) == {"keyid", "sig"}
