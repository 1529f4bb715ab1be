"""RFC 3161 timestamps over checkpoints: a third party says when a log's first N entries existed.

A timestamp proves existence, never that nothing newer was there.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, VerificationError
from ml_governance.evidence.checkpoint import split_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from types import ModuleType

    from cryptography.x509 import Certificate

MAX_TOKEN = 64 * 1024
CONTENT_TYPE = "application/timestamp-query"

_DISORDER = "InvalidSetOrdering"


def _client() -> ModuleType:
    try:
        import rfc3161_client
    except ImportError as error:
        raise ConfigurationError(
            "RFC 3161 timestamps need the package rfc3161-client", next_step="pip install 'ml-governance[timestamp]'"
        ) from error
    return rfc3161_client  # type: ignore[no-any-return]  # the package has no types


def request(note: str) -> bytes:
    """Return the DER request for a timestamp over a checkpoint's body (SHA-256, with a nonce and the TSA's certificate)."""
    client = _client()
    builder = client.TimestampRequestBuilder().data(_message(note)).hash_algorithm(client.HashAlgorithm.SHA256)
    made: bytes = builder.nonce(nonce=True).cert_request(cert_request=True).build().as_bytes()
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a timestamp that verifies says.

    Parameters
    ----------
    at : datetime
        When, UTC.
    by : str
        Who: the subject of the certificate that signed it (RFC 4514).
    """

    at: datetime
    by: str


def verify(token: bytes, note: str, roots: Sequence[Certificate]) -> Stamp:
    """Check a timestamp response.

    Parameters
    ----------
    token : bytes
        DER TimeStampResp.
    note : str
        The checkpoint that it must be over; signatures on the note do not matter.
    roots : sequence of Certificate
        The authorities that the verifier believes.

    Raises
    ------
    VerificationError
        If it is malformed, over something else, or not by an authority under these roots.
    ConfigurationError
        If the client library is not installed.
    """
    client = _client()
    with _refusals(client):
        response = _decoded(client, token)
        builder = client.VerifierBuilder()
        for root in roots:
            builder = builder.add_root_certificate(root)
        builder.build().verify_message(response, _message(note))
        return Stamp(at=response.tst_info.gen_time, by=_signer(response, roots))


def claimed(token: bytes) -> datetime:
    """Return the time that a timestamp response claims; nothing is verified.

    Raises
    ------
    VerificationError
        If it is malformed.
    ConfigurationError
        If the client library is not installed.
    """
    client = _client()
    with _refusals(client):
        at: datetime = _decoded(client, token).tst_info.gen_time
        return at


def _decoded(client: ModuleType, token: bytes) -> Any:
    if len(token) > MAX_TOKEN:
        raise VerificationError("the timestamp is too large", expected=f"at most {MAX_TOKEN:,} bytes")
    return client.decode_timestamp_response(token)


@contextmanager
def _refusals(client: ModuleType) -> Iterator[None]:
    """Tell the client's errors as ours."""
    try:
        yield
    except (client.VerificationError, ValueError) as error:
        raise VerificationError(
            f"the timestamp does not verify: {_reason(str(error))}",
            expected="a DER token over this checkpoint, by an authority under the given root certificates",
            next_step="an authority made with `openssl ts` must send its own certificate only: leave `certs` out of its "
            "configuration"
            if _DISORDER in str(error)
            else "compare the root certificate with the one that the authority publishes",
        ) from error
    except BaseException as error:
        # The client's Rust code panics at certificates that it cannot read, which no except Exception catches.
        if type(error).__name__ != "PanicException":
            raise
        raise VerificationError(f"the timestamp cannot be checked: {error!s:.200}") from None


def _signer(response: Any, roots: Sequence[Certificate]) -> str:
    """Return the subject of the certificate that signed a verified response: the one that its signer info names."""
    from cryptography import x509

    (signer,) = response.signed_data.signer_infos
    sent = map(x509.load_der_x509_certificate, response.signed_data.certificates)
    for one in (*sent, *roots):
        if (one.issuer, one.serial_number) == (signer.issuer, signer.serial_number):
            return one.subject.rfc4514_string() or one.issuer.rfc4514_string()
    raise VerificationError("the timestamp does not hold its signer's certificate")


def read_roots(pem: bytes) -> tuple[Certificate, ...]:
    """Read the certificates of the authorities to believe.

    Raises
    ------
    VerificationError
        If there is none.
    """
    from cryptography import x509

    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationError(
            "no certificate can be read", expected="root certificates in PEM form: -----BEGIN CERTIFICATE-----"
        ) from error


def _reason(text: str) -> str:
    """Return what an OpenSSL error means, without the places in OpenSSL's code where it was raised."""
    if _DISORDER in text:
        return f"it is not DER: its certificates are in the wrong order ({_DISORDER})"
    said = re.search(r'Verify error: ([^"]+)"', text)
    return said[1] if said is not None else text[:200]


def _message(note: str) -> bytes:
    body, _ = split_note(note)
    return body.encode()
