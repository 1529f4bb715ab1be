"""Keys of people: ECDSA P-256, in PEM files that nobody else can read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from ml_governance.errors import KeyFileError, VerificationError
from ml_governance.evidence.canonical import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

SCHEME = "ecdsa-sha2-nistp256"
_MAX_FILE = 64 * 1024
_MAX_PEM = 4096
_MAX_ID = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key for envelopes.

    Parameters
    ----------
    keyid : str
        securesystemslib's key id; only a hint, never trusted to be unique.
    pem : str
        SubjectPublicKeyInfo, PEM.
    """

    keyid: str
    pem: str

    @property
    def spki_sha256(self) -> str:
        """SHA-256 of the key's DER bytes: what makes two keys the same key."""
        return _loaded(self.keyid, self.pem)[1]

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature.

        Raises
        ------
        VerificationError
            If it was not made by this key over this message.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            _loaded(self.keyid, self.pem)[0].verify(signature, message, _ecdsa())
        except InvalidSignature as error:
            raise VerificationError(f"the signature of key {self.keyid[:16]} does not verify") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the form of the trust file."""
        return {"keyid": self.keyid, "scheme": SCHEME, "pem": self.pem}

    @classmethod
    def from_dict(cls, value: Any) -> PublicKey:
        """Read the form of the trust file; only P-256 keys whose id is their own are accepted."""
        if not isinstance(value, dict) or set(value) != {"keyid", "scheme", "pem"} or value["scheme"] != SCHEME:
            raise VerificationError("a key has the wrong form", expected=f"keyid, scheme {SCHEME} and pem")
        if not isinstance(value["keyid"], str) or not isinstance(value["pem"], str):
            raise VerificationError("a key has the wrong types", expected="text")
        if len(value["keyid"]) > _MAX_ID:
            raise VerificationError("a key id is too long", expected=f"at most {_MAX_ID} characters")
        key = cls(keyid=value["keyid"], pem=value["pem"])
        _loaded(key.keyid, key.pem)
        if key.keyid != _derived_keyid(key.pem):
            raise VerificationError(
                f"the key id {key.keyid[:16]} is not the id of its key", expected=_derived_keyid(key.pem)
            )
        return key


class Signer(Protocol):
    """Somebody's private key, wherever it is kept."""

    @property
    def keyid(self) -> str:
        """Id of the public key."""
        ...

    @property
    def public(self) -> PublicKey:
        """The public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature, DER."""
        ...


class KeySigner:
    """A signer over a private key in this process."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        pem = _written(private.public_key())
        self._private = private
        self._public = PublicKey(keyid=_keyid_of(pem), pem=pem)

    @property
    def keyid(self) -> str:
        """Id of the public key."""
        return self._public.keyid

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature, DER."""
        return self._private.sign(message, _ecdsa())

    def __repr__(self) -> str:
        return f"<KeySigner {self.keyid[:16]}>"


@cache
def _ecdsa() -> ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


@lru_cache(maxsize=4096)
def _loaded(keyid: str, pem: str) -> tuple[EllipticCurvePublicKey, str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(pem) > _MAX_PEM:  # keys stay in memory, whatever stands around them
        raise VerificationError(f"a key takes {len(pem):,} characters", expected=f"at most {_MAX_PEM:,}")
    try:
        public = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationError(f"the key {keyid[:16]} cannot be read: {error}", expected="a PEM public key") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise VerificationError(f"the key {keyid[:16]} is of another type", expected="ECDSA on P-256")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public, sha256_hex(der)


@lru_cache(maxsize=4096)
def _derived_keyid(pem: str) -> str:
    from cryptography.hazmat.primitives import serialization

    return _keyid_of(_written(serialization.load_pem_public_key(pem.encode("ascii"))))


def _written(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    return str(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )


def _keyid_of(pem: str) -> str:
    """Return securesystemslib's key id of a P-256 key: SHA-256 of its description in OLPC canonical JSON, lines unescaped.

    Importing that library for it would bring in the drivers of every hardware module and key service.
    """
    return sha256_hex(f'{{"keytype":"ecdsa","keyval":{{"public":"{pem}"}},"scheme":"{SCHEME}"}}'.encode())


class UriSigner:
    """A signer whose private key is in a key management service or a hardware module.

    Parameters
    ----------
    uri : str
        As securesystemslib names it: ``awskms:``, ``gcpkms:``, ``azurekms:``, ``hashivault:`` or ``hsm:``.
    public : PublicKey
        The public key; every signature is checked against it before it is used.
    secret : callable
        ``secret(name)`` returns a PIN or passphrase when the service asks for it.
    """

    def __init__(self, uri: str, public: PublicKey, *, secret: Callable[[str], str]) -> None:
        from cryptography.hazmat.primitives import serialization
        from securesystemslib.signer import KEY_FOR_TYPE_AND_SCHEME, SSlibKey
        from securesystemslib.signer import Signer as AnySigner

        assert KEY_FOR_TYPE_AND_SCHEME  # noqa: S101  importing it fills the table of schemes
        key = SSlibKey.from_crypto(serialization.load_pem_public_key(public.pem.encode("ascii")), scheme=SCHEME)
        self.uri = uri
        self._public = public
        try:
            self._signer = AnySigner.from_priv_key_uri(uri, key, secret)
        except Exception as error:
            raise KeyFileError(
                f"the key {uri} cannot be used: {error}",
                expected="a URI that securesystemslib knows, and the service's own library installed",
                next_step="pip install 'ml-governance[kms]'",
            ) from error

    @property
    def keyid(self) -> str:
        """Id of the public key."""
        return self._public.keyid

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature, DER.

        Raises
        ------
        KeyFileError
            If the service cannot be reached or refuses.
        VerificationError
            If what it returns is no signature by this key.
        """
        try:
            signature = bytes.fromhex(self._signer.sign(message).signature)
        except Exception as error:
            raise KeyFileError(
                f"the key {self.uri} did not sign: {error or type(error).__name__}",
                next_step="check the service, its credentials and the PIN",
            ) from error
        self._public.verify(signature, message)
        return signature

    def __repr__(self) -> str:
        return f"<UriSigner {self.uri} {self.keyid[:16]}>"


def generate(path: Path, *, passphrase: bytes | None = None) -> KeySigner:
    """Make a P-256 key and write it as PKCS#8 PEM with mode 0600, encrypted if there is a passphrase.

    Raises
    ------
    KeyFileError
        If the file exists or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    write_private(path, private, passphrase=passphrase)
    return KeySigner(private)


def public_from_pem(pem: str) -> PublicKey:
    """Read a public key, as somebody sends it.

    Raises
    ------
    VerificationError
        If it is no P-256 key in PEM form.
    """
    from cryptography.hazmat.primitives import serialization

    if "PRIVATE" in pem:
        raise VerificationError(
            "this is a private key", expected="the public key alone", next_step="never send the private key to anybody"
        )
    _loaded("", pem)
    text = _written(serialization.load_pem_public_key(pem.encode("ascii")))
    return PublicKey(keyid=_keyid_of(text), pem=text)


def write_private(path: Path, private: Any, *, passphrase: bytes | None = None) -> None:
    """Write a private key that is there whole, with mode 0600, or not at all."""
    from cryptography.hazmat.primitives import serialization

    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} already exists", expected="a new file: keys are never overwritten") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def load(path: Path, *, passphrase: bytes | Callable[[], bytes | None] | None = None) -> KeySigner:
    """Load a person's key.

    Parameters
    ----------
    path : Path
        A PKCS#8 PEM file: regular, owned by this account, mode 0600 or 0400, no symbolic link.
    passphrase : bytes or callable, optional
        Needed if the file is encrypted; a callable is only asked then.

    Raises
    ------
    KeyFileError
        If the file is missing, unsafe, unreadable, encrypted without a passphrase, or no P-256 key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    private = read_private(path, passphrase=passphrase)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise KeyFileError(f"{path} holds a key of another type", expected="ECDSA on P-256, as made by mlgov init")
    return KeySigner(private)


def read_private(path: Path, *, passphrase: bytes | Callable[[], bytes | None] | None = None) -> Any:
    """Read a private key of any type from a safe file; the checks are on the open file, not on its name."""
    from cryptography.exceptions import UnsupportedAlgorithm

    data = read_secret(path)
    try:
        return _decrypted(path, data, passphrase)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} cannot be read as a private key",
            expected="PKCS#8 PEM, and the right passphrase if it is encrypted",
        ) from error


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner may read; the checks are on the open file, not on its name.

    Raises
    ------
    KeyFileError
        If it is missing, unsafe or unreadable.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"{path} does not exist", expected="a private file") from None
    except OSError as error:
        if path.is_symlink():
            raise KeyFileError(f"{path} is a symbolic link", expected="the key file itself") from error
        raise KeyFileError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _refuse_unsafe(path, os.fstat(handle))
        return os.read(handle, _MAX_FILE)
    finally:
        os.close(handle)


def _decrypted(path: Path, data: bytes, passphrase: bytes | Callable[[], bytes | None] | None) -> Any:
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(data, None)
    except TypeError:  # encrypted
        phrase = passphrase() if callable(passphrase) else passphrase
        if not phrase:
            raise KeyFileError(
                f"{path}: the passphrase is missing",
                next_step="set the variable MLGOV_PASSPHRASE or MLGOV_PASSPHRASE_FILE, or type it when asked",
            ) from None
        return serialization.load_pem_private_key(data, phrase)


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path} is not a regular file", expected="a private key in PEM form")
    if status.st_uid != os.geteuid():
        raise KeyFileError(
            f"{path} belongs to user id {status.st_uid}", expected=f"to belong to you, user id {os.geteuid()}"
        )
    if status.st_mode & 0o077:
        raise KeyFileError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others can read or change it",
            expected="mode 0600",
            next_step=f"chmod 600 {path}, and consider the key stolen if others use this machine",
        )
