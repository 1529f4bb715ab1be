"""Checkpoints: C2SP signed notes over the size and roots of the log.

Formats: c2sp.org/signed-note and c2sp.org/tlog-checkpoint. The body is the log's name, the size, the base64
root, and one extension line ``mlgov-index`` with the root of the subject index, so that an entry that
is kept back about a subject shows without reading the whole log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ml_governance.errors import KeyFileError, VerificationError
from ml_governance.evidence import keys
from ml_governance.evidence.trust import LogKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519 = b"\x01"
_INDEX = "mlgov-index "
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log promises at one size.

    Parameters
    ----------
    origin : str
        The log's name.
    size : int
        Number of leaves.
    root, index_root : bytes
        RFC 6962 root of the leaves, and root of the subject index; 32 bytes each.
    """

    origin: str
    size: int
    root: bytes
    index_root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        root, index = (base64.b64encode(value).decode() for value in (self.root, self.index_root))
        return f"{self.origin}\n{self.size}\n{root}\n{_INDEX}{index}\n"


class LogSigner:
    """The log's Ed25519 key."""

    def __init__(self, private: Ed25519PrivateKey, name: str) -> None:
        if not name or any(character.isspace() or character == "+" for character in name):
            raise VerificationError(f"{name!r} cannot name a log key", expected="text without spaces and '+'")
        self._private = private
        raw = private.public_key().public_bytes_raw()
        self.public = LogKey(name=name, public=raw.hex())
        self._hint = key_hint(name, raw)

    @classmethod
    def generate(cls, path: Path, *, name: str) -> Self:
        """Make a key and write it as PKCS#8 PEM with mode 0600."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        keys.write_private(path, private)
        return cls(private, name)

    @classmethod
    def load(cls, path: Path, *, name: str) -> Self:
        """Load a key from a safe file.

        Raises
        ------
        KeyFileError
            If the file is missing, unsafe, or holds another type of key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = keys.read_private(path)
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds a key of another type", expected="the log's Ed25519 key")
        return cls(private, name)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint."""
        body = checkpoint.body()
        signature = base64.b64encode(self._hint + self._private.sign(body.encode())).decode()
        return f"{body}\n\N{EM DASH} {self.public.name} {signature}\n"


def key_hint(name: str, raw: bytes) -> bytes:
    """Return the first four bytes of SHA-256(name || 0x0A || 0x01 || key) (c2sp.org/signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]


def read_note(text: str, log_keys: Sequence[LogKey], *, origin: str) -> Checkpoint:
    """Check a signed note and return its checkpoint.

    Parameters
    ----------
    text : str
        The note.
    log_keys : sequence of LogKey
        The keys that count; one good signature by one of them is needed, and none of theirs may be bad.
    origin : str
        The log that the note must be from.

    Raises
    ------
    VerificationError
        If the note is malformed, from another log, or not signed by a key that counts.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    body, signatures = _split(text)
    checkpoint = parse_body(body)
    if checkpoint.origin != origin:
        raise VerificationError(f"the checkpoint is from {checkpoint.origin}", expected=origin)
    known = {(key.name, key_hint(key.name, bytes.fromhex(key.public))): key for key in log_keys}
    good = 0
    for name, blob in signatures:
        key = known.get((name, blob[:4]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public)).verify(blob[4:], body.encode())
        except (InvalidSignature, ValueError) as error:
            raise VerificationError(f"the checkpoint's signature by {name} does not verify") from error
        good += 1
    if not good:
        raise VerificationError(
            "no key that counts has signed the checkpoint",
            expected=f"a signature by {', '.join(k.name for k in log_keys)}",
        )
    return checkpoint


def _split(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    if len(text) > MAX_NOTE:
        raise VerificationError("the note is too long", expected=f"at most {MAX_NOTE} characters")
    if any(ord(character) < 0x20 and character != "\n" for character in text):
        raise VerificationError("the note holds control characters", expected="text and newlines")
    body, blank, rest = text.rpartition("\n\n")
    lines = rest.split("\n")
    if not blank or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise VerificationError("the note has no signature lines", expected="a blank line, then signatures")
    signatures = []
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\N{EM DASH}" or not parts[1]:
            raise VerificationError("a signature line has a wrong form", expected="an em dash, a name and base64")
        blob = _base64(parts[2])
        if len(blob) < 5:
            raise VerificationError("a signature is too short")
        signatures.append((parts[1], blob))
    return body + "\n", signatures


def parse_body(body: str) -> Checkpoint:
    """Read the text of a checkpoint strictly.

    Raises
    ------
    VerificationError
        If it has another form.
    """
    lines = body.split("\n")
    if len(lines) != 5 or lines[4] or not lines[0] or not lines[3].startswith(_INDEX):
        raise VerificationError("the checkpoint has a wrong form", expected="name, size, root and index root")
    size = lines[1]
    if not size.isascii() or not size.isdigit() or (size[0] == "0" and size != "0") or len(size) > 16:
        raise VerificationError(f"the checkpoint's size is {size!r}", expected="decimal digits without leading zeros")
    root, index = _base64(lines[2]), _base64(lines[3].removeprefix(_INDEX))
    if len(root) != 32 or len(index) != 32:
        raise VerificationError("a root in the checkpoint has a wrong length", expected="32 bytes")
    return Checkpoint(origin=lines[0], size=int(size), root=root, index_root=index)


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError("the note holds something that is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationError("the note holds base64 in another spelling", expected="zero padding bits")
    return data
