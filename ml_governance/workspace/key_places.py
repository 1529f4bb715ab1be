"""Whose private keys are in one place: what the files show, whatever the trust file says of custody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.errors import GovernanceError
from ml_governance.evidence import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.trust import Principal


def noted(evidence: EvidenceView, folders: Iterable[Path]) -> EvidenceView:
    """Return the evidence with one place for all whose private keys lie in one owner's files.

    Parameters
    ----------
    evidence : EvidenceView
        Its principals say with whom their keys are; files can only show that keys are together, never that they are apart.
    folders : iterable of Path
        Where to look: the workspace's key folder, and that of the key that acts.
    """
    found = owners(folders, evidence.principals)
    together = {owner: people for owner, people in found.items() if len(people) > 1}
    if not together:
        return evidence

    def seen(name: str) -> frozenset[str]:
        return frozenset(f"the account {owner} here" for owner, people in together.items() if name in people)

    people = {name: replace(one, places=seen(name)) for name, one in evidence.principals.items()}
    return replace(evidence, principals=people)


def owners(folders: Iterable[Path], people: Mapping[str, Principal]) -> dict[int, set[str]]:
    """Return whose private keys lie in files of each owner, by numeric user id."""
    holders = {key.public.keyid: one.id for one in people.values() for key in one.keys}
    found: dict[int, set[str]] = {}
    for folder in {folder.resolve() for folder in folders}:
        for file in sorted(folder.glob("*.pem")):
            try:
                owner = file.stat().st_uid
            except OSError:
                continue
            person = _whose(file, holders, people)
            if person is not None:
                found.setdefault(owner, set()).add(person)
    return found


def _whose(file: Path, holders: Mapping[str, str], people: Mapping[str, Principal]) -> str | None:
    """Tell by its contents whose key a file holds, or by its name where it is encrypted or cannot be read."""
    try:
        keyid = keys.load(file, passphrase=lambda: None).keyid
    except GovernanceError:
        return file.stem if file.stem in people else None
    return holders.get(keyid)
