"""Where passphrases and PINs come from: a variable, a private file, or a person at a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ml_governance.errors import KeyFileError
from ml_governance.evidence import keys

PASSPHRASE = "MLGOV_PASSPHRASE"  # noqa: S105  the variable's name, not a secret
PASSPHRASE_FILE = "MLGOV_PASSPHRASE_FILE"  # noqa: S105  the variable's name, not a secret
PIN = "MLGOV_PIN"


def passphrase(what: str) -> bytes | None:
    """Return the passphrase for a key, or None if there is none anywhere.

    Parameters
    ----------
    what : str
        Whose key it is, for the prompt.

    Raises
    ------
    KeyFileError
        If the file that the variable names is missing or others can read it.
    """
    given = os.environ.get(PASSPHRASE)
    if given:
        return given.encode()
    file = os.environ.get(PASSPHRASE_FILE)
    if file:
        return keys.read_secret(Path(file).expanduser()).rstrip(b"\r\n")
    typed = _ask(f"passphrase of {what}: ")
    return typed.encode() if typed else None


def new_passphrase(what: str) -> bytes:
    """Return a passphrase for a new key; typed twice where a person types it.

    Raises
    ------
    KeyFileError
        If there is none, or the two differ.
    """
    if os.environ.get(PASSPHRASE) or os.environ.get(PASSPHRASE_FILE):
        found = passphrase(what)
    else:
        typed = _ask(f"new passphrase of {what}: ")
        if typed and typed != _ask("the same again: "):
            raise KeyFileError("the two passphrases differ", expected="the same one twice")
        found = typed.encode() if typed else None
    if not found:
        raise KeyFileError(
            "there is no passphrase to encrypt the key with", next_step=f"set {PASSPHRASE} or {PASSPHRASE_FILE}"
        )
    return found


def pin(name: str) -> str:
    """Return what a key service asks for by name, such as the PIN of a hardware module.

    Raises
    ------
    KeyFileError
        If nobody knows it.
    """
    found = os.environ.get(PIN) or _ask(f"{name}: ")
    if not found:
        raise KeyFileError(f"the key service asks for its {name}", next_step=f"set {PIN}, or type it when asked")
    return found


def _ask(prompt: str) -> str | None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    import getpass

    return getpass.getpass(prompt, stream=sys.stderr)
