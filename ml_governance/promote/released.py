"""Registered names whose every version is in a stage: whether each got there through the gate, and still is what was promoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ml_governance.errors import RegistryError, VerificationError
from ml_governance.promote import history
from ml_governance.promote.recovery import Misplaced, no_longer, same_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from ml_governance.decide.passage import Passage
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.promote.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A name whose every version is in a stage.

    Parameters
    ----------
    name, stage : str
        The name, and the stage.
    alias : str
        What stands for the name where the log has an alias.
    """

    name: str
    stage: str
    alias: str


@runtime_checkable
class Copying(Protocol):
    """A registry in which a version may be a copy of another model's."""

    def copies(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return each version of a name, oldest first, with what it was made from: ``model/version``, or something else."""
        ...


def reconcile(
    released: Iterable[Released], evidence: EvidenceView, *, project: str, registry: Registry, at: datetime
) -> tuple[Misplaced, ...]:
    """Compare what stands in released names with what the log says was promoted into them.

    Parameters
    ----------
    released : iterable of Released
        The names.
    evidence : EvidenceView
        Verified and complete.
    project : str
        The project.
    registry : Registry
        The registry.
    at : datetime
        The present, UTC.

    Raises
    ------
    RegistryError
        If the registry cannot be asked, or does not know what a version is a copy of.
    """
    found: list[Misplaced] = []
    passages = history.passages(evidence)
    for one in released:
        if not isinstance(registry, Copying):
            raise RegistryError(
                f"{registry.uri} does not say what the versions of {one.name} are copies of",
                expected="a registry that knows copies, such as an MLflow server",
                next_step="take server.released out of governance.toml, or name the server as the registry",
            )
        into = [p for p in passages if (p.content.registry, p.content.alias) == (registry.uri, one.alias)]
        waiting = any(p.outcome is None and not history.flaw(p, evidence, project) for p in into)
        counting = [p for p in into if p.done and not history.flaw(p, evidence, project)]
        found += _compared(one, registry.copies(one.name), counting, registry, evidence, at, waiting=waiting)
    return tuple(found)


def _compared(
    one: Released, copies: tuple[tuple[str, str], ...], counting: list[Passage], registry: Registry, evidence: EvidenceView,
    at: datetime, *, waiting: bool,
) -> Iterator[Misplaced]:  # fmt: skip
    last = counting[-1] if counting else None
    promoted = {_source(p): p for p in counting}

    def said(version: str | None, what: str) -> Misplaced:
        outcome = last.outcome if last is not None else None
        return Misplaced(
            name=one.name, alias=one.alias, stage=one.stage, found=version, what=what,
            recorded=last.content.version if last is not None else None, index=outcome.index if outcome is not None else None,
        )  # fmt: skip

    for version, source in copies[:-1] if waiting else copies:
        passage = promoted.get(source)
        if passage is None:
            yield said(
                version,
                f"{one.name}/{version} was made from {source}, and no promotion that counts put that into {one.name}",
            )
            continue
        try:
            same_bytes(registry, one.name, version, passage.subject)
        except VerificationError as error:
            yield said(version, f"{one.name}/{version} was changed after its promotion: {error.found}")
    newest = copies[-1] if copies else None
    if last is None or waiting:
        return
    if newest is None or newest[1] != _source(last):
        what = f"is a copy of {newest[1]}" if newest is not None else "is not there"
        put = f"the last promotion that counts put {_source(last)} there (#{last.intent.index}, {last.intent.principal.id})"
        yield said(newest[0] if newest is not None else None, f"the newest version of {one.name} {what}; {put}")
        return
    for what in no_longer(last, evidence, at, f"{one.name}/{newest[0]}, a copy of {newest[1]},"):
        yield said(newest[0], what)


def _source(one: Passage) -> str:
    return f"{one.content.name}/{one.content.version}"
