"""What an artifact needs: the requirements that it names, with exact versions, licences and digests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)", re.DOTALL)
_EXACT = re.compile(r"\(?\s*={2,3}\s*(?P<version>[A-Za-z0-9.!+_-]+)\s*\)?")
_HASH = re.compile(r"--hash[=\s]+(\w+:[0-9a-fA-F]+)")
_OPTION = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host|--no-binary|--only-binary|--use-feature)(\s+|=)[^\s-]\S*"
    r"|--pre|--no-index|--prefer-binary|--require-hashes"
)
"""Lines that name nothing to be installed. Any other option may, as ``-rmore.txt`` and ``--requir more.txt`` do."""
_COMMENT = re.compile(r"(^|\s+)#.*")
_ENCODED = re.compile(rb"coding[:=]\s*([-\w.]+)")
_MAX_LICENCE = 100
_CLASSIFIER = "License :: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One thing that an artifact needs.

    Parameters
    ----------
    name : str
        Normalized as by PEP 503; a line as it stands, where it names no package.
    version : str or None
        The exact one; None where the requirement allows several.
    licence : str or None
        As the metadata of the installed distribution say, if it is of that version.
    digests : tuple of str
        ``sha256:...`` of the files that may be installed, as a lock file names them.
    """

    name: str
    version: str | None
    licence: str | None
    digests: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; what is not known is left out."""
        told = {"name": self.name, "version": self.version, "licence": self.licence, "digests": list(self.digests)}
        return {key: value for key, value in told.items() if value}


def normalized(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> tuple[Dependency, ...]:
    """Read a requirements or lock file in pip's format.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", expected="requirements in pip's format") from error
    for line in data.split(b"\n")[:2]:
        told = _ENCODED.search(line) if line.startswith(b"#") else None
        if told and told[1].lower() not in {b"utf-8", b"utf8"}:
            raise DataError(
                f"{path.name} says that it is written in {told[1]!r}, in which pip may read other lines",
                expected="UTF-8",
            )
    return parse(text)


def parse(text: str) -> tuple[Dependency, ...]:
    """Return what a requirements file names, by name; a line that cannot be read stands as itself, without a version."""
    return tuple(sorted(_each(text), key=lambda one: (one.name, one.version or "")))


def _each(text: str) -> Iterator[Dependency]:
    seen = set()
    for whole in _joined(text):
        line = _COMMENT.sub("", whole).strip()
        if not line or _OPTION.fullmatch(line):
            continue
        digests = tuple(sorted(_HASH.findall(line)))
        plain = _HASH.sub("", line).partition(";")[0].strip()
        match = _REQUIREMENT.fullmatch(plain)
        exact = _EXACT.fullmatch(match["rest"].strip()) if match else None
        name = normalized(match["name"]) if match else plain[:_MAX_LICENCE]
        version = exact["version"] if exact else None
        if (name, version) not in seen:
            seen.add((name, version))
            yield Dependency(name=name, version=version, licence=_licence(name, version), digests=digests)


def _joined(text: str) -> Iterator[str]:
    """Yield lines with those that they go on in, as pip joins them: a comment ends with its line."""
    before = ""
    for line in text.splitlines():
        if line.endswith("\\") and not _COMMENT.match(line):
            before += line.strip("\\")
            continue
        yield before + (f" {line}" if _COMMENT.match(line) else line)
        before = ""
    yield before


def _licence(name: str, version: str | None) -> str | None:
    """Return the licence of an installed distribution of exactly that version."""
    if version is None:
        return None
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    if found.version != version:
        return None
    said = found.metadata.json
    if expression := said.get("license_expression"):
        return str(expression)
    classifiers = [str(one) for one in said.get("classifier") or []]
    classified = [one.removeprefix(_CLASSIFIER) for one in classifiers if one.startswith(_CLASSIFIER)]
    classified = [one for one in classified if one != "OSI Approved"]
    if classified:
        return "; ".join(one.rpartition(" :: ")[2] for one in classified)
    written = str(said.get("license") or "").strip()
    return (
        written if written and "\n" not in written and len(written) <= _MAX_LICENCE and written != "UNKNOWN" else None
    )
