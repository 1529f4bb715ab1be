"""New keys: a person's key pair in a folder, or a note of a key that a service keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError
from ml_governance.evidence import keys
from ml_governance.workspace import secrets, setup
from ml_governance.workspace.config import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.keys import PublicKey, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made: where its private part is, and what to send to the root's holder."""

    keyid: str
    private: Path
    public: Path


def new_key(
    folder: Path, name: str, *, encrypt: bool = False, uri: str | None = None, public: Path | None = None
) -> NewKey:
    """Make a person's key in a folder, or take note of one that a key service keeps.

    Parameters
    ----------
    folder : Path
        Where ``NAME.pem`` and ``NAME.pub`` go.
    name : str
        The person's id.
    encrypt : bool, default False
        Encrypt the private key with a passphrase.
    uri : str, optional
        securesystemslib URI of a key in a service; then ``public`` is its public key, and ``NAME.uri`` is written instead.
    public : Path, optional
        Public key in PEM form; needed with ``uri``.

    Raises
    ------
    KeyFileError
        If a file exists or cannot be written, or there is no passphrase.
    """
    setup.Person(id=name, name=name, roles=())  # refuses names that cannot be ids
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared = folder / f"{name}.pub"
    if uri is None:
        phrase = secrets.new_passphrase(name) if encrypt else None
        signer: Signer = keys.generate(folder / f"{name}.pem", passphrase=phrase)
        private = folder / f"{name}.pem"
    else:
        if public is None:
            raise ConfigurationError(f"the public key of {uri} is missing", expected="--public FILE, in PEM form")
        known = read_public(public)
        signer = keys.UriSigner(uri, known, secret=secrets.pin)
        signer.sign(b"mlgov: may this key sign?")
        private = folder / f"{name}.uri"
        write_atomically(private, json.dumps({"uri": uri, "public": known.pem}, indent=2) + "\n", mode=0o600)
    write_atomically(shared, signer.public.pem)
    return NewKey(keyid=signer.keyid, private=private, public=shared)


def read_public(path: Path) -> PublicKey:
    """Read a public key file.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    VerificationError
        If it is no key.
    """
    try:
        return keys.public_from_pem(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", expected="a public key in PEM form") from error
