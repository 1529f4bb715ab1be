"""DSSE envelopes: bytes, what kind of bytes they are, and signatures over both.

Specification: secure-systems-lab/dsse, protocol v1.0.2. Signing and verifying go through securesystemslib's
signers and keys; the envelope is our own, so that the exact payload bytes are kept and bounds hold before
any signature is looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import MAX_BYTES, canonicalise, parse, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The payloadType of every statement."""

MAX_SIGNATURES = 16
"""More than this are refused unread: nobody needs them, and each costs a verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature and a hint which key made it."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload beside its signatures.

    Parameters
    ----------
    payload : bytes
        The exact bytes that were signed.
    payload_type : str
        What they are; part of what is signed.
    signatures : tuple of Signature
        At least one.
    """

    payload: bytes = field(repr=False)
    payload_type: str
    signatures: tuple[Signature, ...]

    def pae(self) -> bytes:
        """Return DSSE's pre-authentication encoding: what a signature is over."""
        return pae(self.payload_type, self.payload)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the DSSE specification."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures],
        }

    def to_bytes(self) -> bytes:
        """Return the canonical JSON form; its digest names the envelope."""
        if len(self.signatures) == 1 and self.payload_type == PAYLOAD_TYPE:
            only = self.signatures[0]
            if _KEYID.fullmatch(only.keyid):
                payload, sig = (binascii.b2a_base64(part, newline=False) for part in (self.payload, only.sig))
                return b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":"%b","sig":"%b"}]}' % (
                    payload, PAYLOAD_TYPE.encode(), only.keyid.encode(), sig,
                )  # fmt: skip
        return canonicalise(self.to_dict())

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`to_bytes`."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Parse an envelope from an untrusted source.

        Raises
        ------
        VerificationError
            If it is not canonical JSON of the DSSE form, or exceeds a bound.
        """
        # Nearly every envelope has this form, which needs no JSON parser; anything else goes through it.
        end = data.find(b'"', len(_HEAD)) if data.startswith(_HEAD) and len(data) <= 2 * MAX_BYTES else -1
        if end > 0 and len(data) - end < _LONGEST_REST and (signed := _REST.fullmatch(data, end)) is not None:
            signature = Signature(keyid=signed[1].decode(), sig=_decode(signed[2], "sig"))
            payload = _decode(data[len(_HEAD) : end], "payload")
            return cls(payload=payload, payload_type=PAYLOAD_TYPE, signatures=(signature,))
        return cls.from_dict(parse(data, max_bytes=2 * MAX_BYTES))

    @classmethod
    def from_dict(cls, value: Any) -> Envelope:
        """Read the JSON form; unknown fields are refused."""
        if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
            raise VerificationError(
                "this is no DSSE envelope", expected="payload, payloadType and signatures, nothing else"
            )
        signatures, payload_type = value["signatures"], value["payloadType"]
        if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
            count = len(signatures) if isinstance(signatures, list) else "no list of"
            raise VerificationError(f"the envelope has {count} signatures", expected=f"1 to {MAX_SIGNATURES}")
        if not isinstance(payload_type, str) or not payload_type.isascii():
            raise VerificationError("the payloadType is not ASCII text", expected=PAYLOAD_TYPE)
        return cls(
            payload=_decode(value["payload"], "payload"),
            payload_type=payload_type,
            signatures=tuple(_signature(entry) for entry in signatures),
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return ``DSSEv1 LEN(type) type LEN(payload) payload`` (DSSE protocol, "Signature Definition")."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, signers: Sequence[Signer], *, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """Sign bytes with one or more keys."""
    message = pae(payload_type, payload)
    return Envelope(
        payload=payload,
        payload_type=payload_type,
        signatures=tuple(Signature(keyid=signer.keyid, sig=signer.sign(message)) for signer in signers),
    )


def verify(
    envelope: Envelope, keys: Mapping[str, PublicKey], *, threshold: int = 1, payload_type: str = PAYLOAD_TYPE
) -> tuple[str, ...]:
    """Check that enough distinct keys signed this payload as this type.

    Parameters
    ----------
    envelope : Envelope
        What to check.
    keys : mapping of str to PublicKey
        The keys that count, by key id. The same key bytes under two ids count once.
    threshold : int, default 1
        How many distinct keys must have signed.
    payload_type : str
        The only type that is accepted: a signature for another use never counts here.

    Returns
    -------
    tuple of str
        Ids of the keys whose signatures verified.

    Raises
    ------
    VerificationError
        If the type differs or too few keys verified.
    """
    if threshold < 1:
        raise VerificationError(f"the threshold is {threshold}", expected="1 or more")
    if envelope.payload_type != payload_type:
        raise VerificationError(f"the payloadType is {envelope.payload_type!r}", expected=repr(payload_type))
    message = envelope.pae()
    verified: dict[str, str] = {}
    failures = []
    for signature in envelope.signatures:
        key = keys.get(signature.keyid)
        if key is None:
            failures.append(f"the key {signature.keyid[:16]} is not one that counts here")
            continue
        try:
            key.verify(signature.sig, message)
        except VerificationError as error:
            failures.append(error.found)
            continue
        verified.setdefault(key.spki_sha256, signature.keyid)
    if len(verified) < threshold:
        raise VerificationError(
            f"{len(verified)} of {threshold} needed signatures verify: {'; '.join(failures) or 'one key signed twice'}",
            expected=f"signatures by {threshold} distinct trusted key{'s' if threshold > 1 else ''}",
        )
    return tuple(verified.values())


def _signature(value: Any) -> Signature:
    if not isinstance(value, dict) or set(value) != {"keyid", "sig"} or not isinstance(value["keyid"], str):
        raise VerificationError("a signature has the wrong form", expected="keyid and sig")
    if not 1 <= len(value["keyid"]) <= 128:
        raise VerificationError("a signature's keyid has a strange length", expected="1 to 128 characters")
    return Signature(keyid=value["keyid"], sig=_decode(value["sig"], "sig", limit=4096))


def _decode(text: Any, what: str, limit: int = MAX_BYTES) -> bytes:
    if not isinstance(text, str | bytes):
        raise VerificationError(f"the {what} is not text", expected="base64")
    if len(text) > limit * 4 // 3 + 4:
        raise VerificationError(f"the {what} is too large", expected=f"at most {limit:,} bytes")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError(
            f"the {what} is not base64: {error}", expected="standard base64 with padding"
        ) from error
    # Only a last group that is padded can have more than one spelling.
    ending = text[-4:].encode() if isinstance(text, str) else text[-4:]
    if ending[-1:] == b"=" and ending != binascii.b2a_base64(data[(len(data) - 1) // 3 * 3 :], newline=False):
        raise VerificationError(f"the {what} is not the one base64 spelling of its bytes", expected="zero padding bits")
    return data


_KEYID = re.compile(r"[0-9a-f]{64}")
_HEAD = b'{"payload":"'
_MIDDLE = b'","payloadType":"%b","signatures":[{"keyid":"' % PAYLOAD_TYPE.encode()
_REST = re.compile(re.escape(_MIDDLE) + rb'([0-9a-f]{64})","sig":"([^"]*)"\}\]\}')
_LONGEST_REST = len(_MIDDLE) + 64 + 9 + 512 + 4
