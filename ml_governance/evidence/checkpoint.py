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
    from collections.abc import Callable, Sequence
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


class EndedKeyError(VerificationError):
    """A checkpoint is signed by a log key that does not count for a tree of its size."""


class LogSigner:
    """The log's Ed25519 key."""

    def __init__(self, private: Ed25519PrivateKey, name: str) -> None:
        if not _is_name(name):
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
    def load(cls, path: Path, *, name: str, passphrase: bytes | Callable[[], bytes | None] | None = None) -> Self:
        """Load a key from a safe file.

        Raises
        ------
        KeyFileError
            If the file is missing, unsafe, or holds another type of key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = keys.read_private(path, passphrase=passphrase)
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds a key of another type", expected="the log's Ed25519 key")
        return cls(private, name)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint."""
        body = checkpoint.body()
        signature = base64.b64encode(self._hint + self._private.sign(body.encode())).decode()
        return f"{body}\n\N{EM DASH} {self.public.name} {signature}\n"


def _is_name(name: str) -> bool:
    """Tell whether text can name a key: no part of it is a space, a '+', or half a character from an undecodable argument."""
    return name != "" and not any(c.isspace() or c == "+" or "\ud800" <= c <= "\udfff" for c in name)


def key_hint(name: str, raw: bytes, kind: bytes = _ED25519) -> bytes:
    """Return the first four bytes of SHA-256(name || 0x0A || type || key) (c2sp.org/signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + kind + raw).digest()[:4]


def vkey(key: LogKey) -> str:
    """Return a log key as other tools take it: ``name+hint+base64(type || key)`` (c2sp.org/signed-note)."""
    raw = bytes.fromhex(key.public)
    return f"{key.name}+{key_hint(key.name, raw).hex()}+{base64.b64encode(_ED25519 + raw).decode()}"


def parse_vkey(text: str, kind: bytes = _ED25519) -> LogKey:
    """Read a verifier key of one type.

    Raises
    ------
    VerificationError
        If it has another form or type, or its hint is not its own.
    """
    name, _, rest = text.partition("+")
    hint, _, encoded = rest.partition("+")
    data = decode_base64(encoded) if encoded else b""
    if not _is_name(name) or len(data) != 33 or data[:1] != kind:
        raise VerificationError(
            f"{text[:60]!r} is no verifier key of this type",
            expected=f"name+hint+base64 of an Ed25519 key of type {kind.hex()}",
        )
    if key_hint(name, data[1:], kind).hex() != hint:
        raise VerificationError(
            f"the verifier key of {name:.200} has the hint {hint!r:.40}", expected="the hint of its own key"
        )
    return LogKey(name=name, public=data[1:].hex())


def read_note(text: str, log_keys: Sequence[LogKey], *, origin: str) -> Checkpoint:
    """Check a signed note and return its checkpoint.

    Parameters
    ----------
    text : str
        The note.
    log_keys : sequence of LogKey
        The keys that count, each at its sizes; one good signature by one of them is needed, and none of theirs may be bad.
    origin : str
        The log that the note must be from.

    Raises
    ------
    VerificationError
        If the note is malformed, from another log, or not signed by a key that counts.
    EndedKeyError
        If only keys have signed it that do not count at its size: not yet, or no more.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    body, signatures = split_note(text)
    checkpoint = parse_body(body)
    if checkpoint.origin != origin:
        raise VerificationError(f"the checkpoint is from {checkpoint.origin}", expected=origin)
    known = {(key.name, key_hint(key.name, bytes.fromhex(key.public))): key for key in log_keys}
    good, ended = 0, []
    for name, blob in signatures:
        key = known.get((name, blob[:4]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public)).verify(blob[4:], body.encode())
        except (InvalidSignature, ValueError) as error:
            raise VerificationError(f"the checkpoint's signature by {name} does not verify") from error
        if key.valid_at(checkpoint.size):
            good += 1
        else:
            ended.append(key)
    if not good and ended:
        raise EndedKeyError(
            f"a tree of {checkpoint.size} entries is signed with the log key {ended[0].public[:16]}",
            expected=f"trees {ended[0].sizes()} from that key",
        )
    if not good:
        raise VerificationError(
            "no key that counts has signed the checkpoint",
            expected=f"a signature by {', '.join(k.name for k in log_keys)}",
        )
    return checkpoint


def split_note(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Split a signed note into its body and its signatures: (key name, key hint and signature).

    Raises
    ------
    VerificationError
        If it is no signed note, or larger than any note need be.
    """
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
        blob = decode_base64(parts[2])
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
    root, index = decode_base64(lines[2]), decode_base64(lines[3].removeprefix(_INDEX))
    if len(root) != 32 or len(index) != 32:
        raise VerificationError("a root in the checkpoint has a wrong length", expected="32 bytes")
    return Checkpoint(origin=lines[0], size=int(size), root=root, index_root=index)


def as_text(data: bytes, what: str) -> str:
    """Decode UTF-8 strictly: bytes that two readers might mend in two ways are no text.

    Raises
    ------
    VerificationError
        Naming what was read, if it is something else.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError(f"{what} is no text: {error.reason} at byte {error.start}", expected="UTF-8") from error


def decode_base64(text: str) -> bytes:
    """Decode base64, of which only the one usual spelling is accepted."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError("something here is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationError("something here is base64 in another spelling", expected="zero padding bits")
    return data
