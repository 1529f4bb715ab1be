"""Scanning an artifact: what loading its files would run, what it needs, and what is known of that. Nothing is loaded.

The scanner is skops for its own format and our own reading of opcodes for pickles; docs/adr/0015 says why, and how it is attacked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ml_governance.assess import advisories as known_advisories
from ml_governance.assess import dependencies, known_imports
from ml_governance.assess.artifact_formats import look
from ml_governance.assess.report import Report
from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import Assessment, Measurement, Resource, SecurityScan

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ml_governance.assess.advisories import Advisories
    from ml_governance.assess.artifact_file import File
    from ml_governance.assess.dependencies import Dependency

SHOWN = 1000
"""Most files, and most imports, that a report lists; the numbers count all."""
REQUIREMENTS = "requirements.txt"
"""Where an MLflow model names what it needs."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ScanReport(Report):
    """What stands in an artifact."""

    kind: ClassVar[str] = "security-scan"
    content: ClassVar[type[Assessment]] = SecurityScan


def scan_artifact(
    path: str | Path,
    *,
    requirements: str | Path | None = None,
    advisories: str | Path | None = None,
    trusted: Collection[str] = (),
) -> ScanReport:
    """Read the files of a model without loading them, and look up what it needs.

    Parameters
    ----------
    path : path
        A file, or a folder such as an MLflow model.
    requirements : path, optional
        Requirements or lock file of what the model needs; default is the ``requirements.txt`` of the folder.
    advisories : path, optional
        Advisories in the OSV format: a JSON file, or a folder of them. Without them vulnerabilities are ``undefined``, never 0.
    trusted : collection of str
        Imports that count as listed besides, such as ``creditlib.model.Scorecard``; the report names them.

    Returns
    -------
    ScanReport
        ``unsafe_files``, ``unknown_files``, ``dangerous_imports``, ``unlisted_imports``, ``unpinned_dependencies``,
        ``unlicensed_dependencies`` and ``vulnerable_dependencies``; ``details`` names the files, imports and dependencies.

    Raises
    ------
    DataError
        If there is nothing there, it holds links or special files, a file that was named cannot be read, or something dangerous is
        to be trusted.
    """
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"the artifact is a {type(path).__name__}", expected="the path of the model's file or folder")
    place = Path(path)
    worse = [name for name in trusted if known_imports.dangerous(*name.rpartition(".")[::2])]
    if worse:
        raise DataError(
            f"{', '.join(worse)} is to be trusted, and runs what it is told to", expected="classes that hold data"
        )
    digest = fingerprint.artifact(place)
    files = _files(place, tuple(trusted))
    named = Path(requirements) if requirements is not None else place / REQUIREMENTS
    needs = dependencies.read(named) if requirements is not None or named.is_file() else None
    known = None if advisories is None else known_advisories.read(Path(advisories))
    found = {(one.name, one.version): known.of(one.name, one.version) for one in needs or () if known and one.version}
    details: dict[str, Any] = {
        "files": [one.to_dict() for one in sorted(files, key=lambda one: (one.safe, one.path))[:SHOWN]],
        "scanner": {name: metadata.version(name) for name in ("skops", "scikit-learn")},
    }
    if trusted:
        details["trusted"] = sorted(trusted)
    if needs is not None:
        details["requirements"] = named.name
        details["dependencies"] = [one.to_dict() for one in needs]
    if known is not None:
        details["advisories"] = {"count": known.count, "newest": known.newest, "sha256": known.sha256}
        details["vulnerabilities"] = [
            {"name": name, "version": version, **one}
            for (name, version), several in sorted(found.items())
            for one in several
        ]
    resource = Resource(name=place.name, sha256=digest.sha256)
    return ScanReport(
        measurements=(*_of_files(files), *_of_needs(needs, known, found)), details=details, columns={}, confidence=0.95,
        min_group_size=1, source=lambda: resource,
    )  # fmt: skip


def _files(place: Path, trusted: tuple[str, ...]) -> list[File]:
    if place.is_file():
        names = [place.name]
        root = place.parent
    else:
        root = place
        names = [name for name, _, _ in fingerprint.files(place)]
    found = []
    for name in names:
        with (root / name).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            found.append(look(name, stream, size, trusted))
    return found


def _of_files(files: Sequence[File]) -> tuple[Measurement, ...]:
    n = len(files)
    unread = [one for one in files if one.loading == "unknown"]
    more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    why = f"{unread[0].path:.200}{more}: {unread[0].why}" if unread else None
    code = [one.path for one in files if not one.safe]
    imports = {
        "dangerous_imports": {name for one in files for name in one.dangerous},
        "unlisted_imports": {name for one in files for name in one.unlisted},
    }
    return (
        _count("unsafe_files", len(code), n),
        _count("unknown_files", len(unread), n),
        *(_count(metric, len(names), n, why if not names or unread else None) for metric, names in imports.items()),
    )


def _of_needs(
    needs: Sequence[Dependency] | None,
    known: Advisories | None,
    found: dict[tuple[str, str], tuple[dict[str, Any], ...]],
) -> tuple[Measurement, ...]:
    none = "the artifact names no dependencies" if needs is None else None
    own = needs or ()
    n = len(own)
    loose = [one.name for one in own if one.version is None or not known_advisories.comparable(one.version)]
    if none is None and known is None:
        unlooked: str | None = "no advisories were given"
    elif known is not None and not known.count:
        unlooked = "the advisories name no package of PyPI"
    else:
        unlooked = f"no exact version of {', '.join(loose[:5])} is named" if loose else None
    return (
        _count("unpinned_dependencies", len(loose), n, none),
        _count("unlicensed_dependencies", sum(one.licence is None for one in own), n, none),
        _count("vulnerable_dependencies", sum(bool(several) for several in found.values()), n, none or unlooked),
    )


def _count(metric: str, value: int, n: int, undefined: str | None = None) -> Measurement:
    if undefined is not None:
        return Measurement(metric=metric, n=n, status="undefined", reason=undefined)
    return Measurement(metric=metric, value=value, n=n, status="ok")
