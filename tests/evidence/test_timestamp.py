"""RFC 3161 tokens and authorities from strangers; that real ones verify with other programs, the interop tests say."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ml_governance.errors import VerificationError
from ml_governance.evidence import timestamp

pytest.importorskip("rfc3161_client")

KEPT = json.loads(Path(__file__).with_name("timestamp.json").read_text(encoding="utf-8"))
NOTE, TOKEN, AUTHORITY = KEPT["note"], base64.b64decode(KEPT["token"]), KEPT["roots"].encode()


def changed(old: bytes, new: bytes) -> bytes:
    der = base64.b64decode(b"".join(AUTHORITY.split(b"\n")[1:-2]))
    assert der.count(old) >= 1
    body = base64.encodebytes(der.replace(old, new, 1))
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_a_kept_token_verifies() -> None:
    assert timestamp.verify(TOKEN, NOTE, timestamp.read_roots(AUTHORITY)).at.year == 2026


def test_the_database_does_not_say_who_made_a_timestamp() -> None:
    """Whoever can write it could otherwise put the name of an authority that everybody believes beside any token."""
    from ml_governance.evidence import anchors
    from ml_governance.evidence.reader import Anchor

    anchor = Anchor(size=1, kind="timestamp", name="https://a-famous-authority.example", note=NOTE, data=TOKEN)
    roots = timestamp.read_roots(AUTHORITY)
    vouched = anchors._vouched(anchor, 1, None, roots)
    assert vouched.by == ("CN=Test TSA",)
    assert "famous" not in vouched.sentence()
    assert timestamp.verify(TOKEN, NOTE, roots).at == timestamp.claimed(TOKEN) == vouched.at


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(VerificationError, match="no certificate"):
        timestamp.read_roots(changed(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"))


def test_a_certificate_that_the_client_cannot_stand_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """Its Rust code panics, which no ordinary except clause catches."""
    with pytest.raises(VerificationError, match="cannot be checked"):
        timestamp.verify(TOKEN, NOTE, timestamp.read_roots(changed(b"Test CA", b"\xffest CA")))
    capfd.readouterr()


def test_an_authority_under_another_root_is_refused_in_words() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key, own = ec.generate_private_key(ec.SECP256R1()), timestamp.read_roots(AUTHORITY)[0]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another root")])
    other = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, own.not_valid_before_utc, own.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(VerificationError, match="local issuer certificate") as refused:
        timestamp.verify(TOKEN, NOTE, [other])
    assert "ErrorStack" not in str(refused.value) and refused.value.next_step is not None


def test_certificates_out_of_order_are_explained() -> None:
    """OpenSSL's own authority writes them in the order of its configuration, where DER wants the smaller first."""
    words = timestamp._reason('ASN.1 parse error: ParseError { kind: InvalidSetOrdering, location: ["x"] }')
    assert words == "it is not DER: its certificates are in the wrong order (InvalidSetOrdering)"


def test_a_broken_token_is_refused() -> None:
    roots = timestamp.read_roots(AUTHORITY)
    for broken in (
        b"",
        TOKEN[:-1],
        TOKEN + b"\x00",
        TOKEN.replace(b"Test TSA", b"Best TSA"),
        b"\x30\x84\x7f\xff\xff\xff",
    ):
        with pytest.raises(VerificationError):
            timestamp.verify(broken, NOTE, roots)
