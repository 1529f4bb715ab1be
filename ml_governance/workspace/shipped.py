"""What ships with the library under ``policies/``: packs, and the control catalogue."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError

if TYPE_CHECKING:
    from ml_governance.decide.controls import Catalogue
    from ml_governance.decide.policy import Policy

CATALOGUE = "controls.yaml"


def packs() -> dict[str, Path]:
    """Return the policy packs that ship with the library, by name."""
    return {path.parent.name: path.parent for path in sorted(_folder().glob("*/policy.yaml"))}


@cache
def catalogue() -> Catalogue:
    """Return the control catalogue that ships with the library."""
    return _read(_folder() / CATALOGUE, None)


def controls_beside(policy: Path) -> Catalogue:
    """Return the controls that a policy file may name: those that ship, and those of a ``controls.yaml`` beside it."""
    own = policy.parent / CATALOGUE
    return _read(own, catalogue()) if own.is_file() else catalogue()


def read_policy(path: Path) -> tuple[Policy, str]:
    """Read a policy that somebody means to use: a file, or the ``policy.yaml`` of a folder; returns it and its text.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    PolicyError
        If it cannot be accepted.
    """
    from ml_governance.decide.policy import parse_policy

    file = path / "policy.yaml" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        found = f"{file} cannot be read: {error.strerror}"
        raise ConfigurationError(found, expected="a policy file, or a folder with policy.yaml") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}", expected="UTF-8 text") from error
    return parse_policy(text, file=str(file), controls=controls_beside(file).ids), text


def _read(file: Path, base: Catalogue | None) -> Catalogue:
    from ml_governance.decide.controls import parse_catalogue

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the control catalogue {file} cannot be read: {error}", expected="UTF-8 text"
        ) from error
    return parse_catalogue(text, file=str(file), base=base)


def _folder() -> Path:
    """Return where they are: in a wheel inside the package, in a checkout and an editable install at its top."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_policies", package.parent / "policies"):
        if folder.is_dir():
            return folder
    raise ConfigurationError("this installation has no policy packs", next_step="install ml-governance again")
