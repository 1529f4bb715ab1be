"""Known vulnerabilities of exact versions, from advisories in the OSV format that the user has: nothing is asked of any server.

Open Source Vulnerability format, https://ossf.github.io/osv-schema/: an affected version is one that ``versions`` lists, or that a range
of type ``ECOSYSTEM`` holds, whose events are taken in the order of their versions. What cannot be compared counts as affected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ml_governance.assess.dependencies import normalized
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ECOSYSTEM = "PyPI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisories:
    """Advisories for packages of PyPI.

    Parameters
    ----------
    count : int
        How many name such a package and are not withdrawn.
    newest : str or None
        When the newest of them was modified: what became known later is not in it.
    sha256 : str
        Digest of their files.
    affected : mapping of str to tuple
        By normalized name: ids with aliases, and what is affected.
    """

    count: int
    newest: str | None
    sha256: str
    affected: Mapping[str, tuple[tuple[dict[str, Any], dict[str, Any]], ...]]

    def of(self, name: str, version: str) -> tuple[dict[str, Any], ...]:
        """Return the advisories for a version: ``id`` and ``aliases`` of each."""
        found = {}
        for advisory, affected in self.affected.get(normalized(name), ()):
            if _holds(affected, version):
                found[advisory["id"]] = {
                    "id": advisory["id"],
                    "aliases": sorted(map(str, advisory.get("aliases") or [])),
                }
        return tuple(found[key] for key in sorted(found))


def read(path: Path) -> Advisories:
    """Read a JSON file with an advisory or a list of them, or a folder of such files.

    Raises
    ------
    DataError
        If one cannot be read or is no advisory.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no JSON file", expected="advisories in the OSV format")
    hasher = sha256()
    affected: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    ids, newest = set(), ""
    for file in files:
        try:
            data = file.read_bytes()
            value = json.loads(data)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                f"{file} cannot be read: {error}", expected="an advisory in the OSV format, JSON"
            ) from error
        hasher.update(sha256(data).digest())
        for one in value if isinstance(value, list) else [value]:
            for name, part in _affected(one, file):
                affected.setdefault(name, []).append((one, part))
                ids.add(one["id"])
                newest = max(newest, str(one.get("modified") or ""))
    return Advisories(
        count=len(ids), newest=newest or None, sha256=hasher.hexdigest(), affected={name: tuple(parts) for name, parts in affected.items()}
    )  # fmt: skip


def _affected(one: Any, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(one, dict) or not isinstance(one.get("id"), str) or not isinstance(one.get("affected", []), list):
        raise DataError(f"{file} holds something that is no advisory", expected='an object with "id" and "affected"')
    if one.get("withdrawn"):
        return
    for part in one.get("affected", []):
        package = part.get("package") if isinstance(part, dict) else None
        if isinstance(package, dict) and str(package.get("ecosystem", "")).partition(":")[0] == ECOSYSTEM:
            yield normalized(str(package.get("name", ""))), part


def comparable(version: str) -> bool:
    """Tell whether a version has a place in an order (PEP 440)."""
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
    except InvalidVersion:
        return False
    return True


def _holds(affected: Mapping[str, Any], version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    listed = affected.get("versions") or []
    ranges = [
        one
        for one in affected.get("ranges") or []
        if isinstance(one, dict) and one.get("type") in {"ECOSYSTEM", "SEMVER"}
    ]
    try:
        own = Version(version)
        public = Version(own.public)  # what a local build is a build of
        if any(comparable(str(one)) and Version(str(one)) in {own, public} for one in listed):
            return True
        return any(_inside(one.get("events") or [], public) for one in ranges) if ranges else not listed
    except (InvalidVersion, TypeError, AttributeError):
        return True


def _inside(events: list[dict[str, str]], own: Any) -> bool:
    from packaging.version import Version

    order = {"introduced": 0, "last_affected": 1, "fixed": 1}
    told = [
        (None if at == "0" else Version(at), kind) for event in events for kind, at in event.items() if kind in order
    ]
    if all(kind != "introduced" for _, kind in told):
        return True  # no range at all
    held = False
    for at, kind in sorted(told, key=lambda one: (one[0] is not None, one[0] or own, order[one[1]])):
        if kind == "introduced" and (at is None or own >= at):
            held = True
        elif (kind == "fixed" and at is not None and own >= at) or (
            kind == "last_affected" and at is not None and own > at
        ):
            held = False
    return held
