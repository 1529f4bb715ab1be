"""What a promotion leaves behind when something dies, and how it is brought to an end; what moved behind the gate's back.

A promotion that was announced and has no outcome is either under way or dead. The registry tells how far it came: if its alias
stands where it was to go, the promotion is finished, otherwise it is called failed. Nothing is acted on again: a pass is used up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.decide import breakglass, rbac
from ml_governance.decide.rules import SKEW, revoked
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.errors import RegistryError, UnavailableError, VerificationError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.door import Guard, GuardError
from ml_governance.evidence.predicates import Registration
from ml_governance.promote.history import open_at, pass_of_outcome, standing, unfinished
from ml_governance.promote.registry import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from ml_governance.decide.passage import Passage
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.writer import Writer
    from ml_governance.promote.registry import Registry

GRACE = SKEW + timedelta(minutes=5)
"""How long a promotion without outcome passes for one that is under way, on machines whose clocks differ."""


def same_bytes(registry: Registry, name: str, version: str, subject: Subject) -> None:
    """Digest the artifact again.

    Raises
    ------
    VerificationError
        If it is not the subject's.
    """
    found = fingerprint.artifact(registry.artifact(name, version))
    if found.sha256 != subject.sha256:
        raise VerificationError(
            f"the artifact of {name}/{version} in {registry.uri} has the digest sha256:{found.sha256}",
            expected=f"sha256:{subject.sha256}, for which the evidence was signed",
            next_step="find out who changed the files; register the new bytes as a new version if the change is wanted",
        )


def settle(one: Passage, *, registry: Registry, writer: Writer) -> str:
    """Record what became of a promotion that died, by looking where its alias stands; return that as a sentence.

    Raises
    ------
    RegistryError
        If the registry cannot be asked.
    """
    content = one.content
    now = registry.alias(content.name, content.alias)
    result, detail = "failed", f"found half done; the alias points to {now or 'nothing'}"
    if now == content.version:
        try:
            same_bytes(registry, content.name, content.version, one.subject)
            result, detail = "done", "found half done, with the alias moved and the artifact's bytes unchanged"
        except (VerificationError, RegistryError) as error:
            detail = f"found half done, with the alias moved: {error.found}"
    ended = content.model_copy(update={"phase": "outcome", "result": result, "detail": detail})
    try:
        index = writer.record(ended, [one.subject], guard=Guard(since=0, token=pass_of_outcome(content.token))).index
    except GuardError:
        return f"the promotion of {one.sentence()} was settled by somebody else in the meantime"
    return f"the promotion of {one.sentence()} had died; it is recorded as {result} at #{index}: {detail}"


def settle_before(
    place: tuple[str, str, str],
    evidence: EvidenceView,
    *,
    project: str,
    person: Principal,
    policy: Policy,
    registry: Registry,
    writer: Writer,
    at: datetime,
    whole: Callable[[], EvidenceView],
) -> tuple[str, ...]:
    """Settle the dead promotions to an alias before another begins; return what was found.

    Whether a promotion without outcome went through the gate depends on what was in the log then, whatever it was about: only where
    there seems to be one, ``whole`` is asked for every entry.

    Raises
    ------
    UnavailableError
        If one may still be under way.
    """
    notes: list[str] = []
    if not open_at(place, evidence):
        return ()
    evidence = whole()
    for one in unfinished(evidence, project):
        if one.place != place:
            continue
        if at - one.intent.recorded_at < GRACE:
            raise UnavailableError(
                f"the promotion of {one.sentence()}, has no outcome yet",
                expected="one promotion to an alias at a time",
                next_step=f"wait {int(GRACE.total_seconds() // 60)} minutes, or, if it is known to be dead, mlgov doctor --fix",
            )
        if may_settle(person, one, policy=policy, project=project, evidence=evidence):
            notes.append(settle(one, registry=registry, writer=writer))
    return tuple(notes)


def may_settle(person: Principal, one: Passage, *, policy: Policy, project: str, evidence: EvidenceView) -> bool:
    """Tell whether somebody's word about a dead promotion counts: whoever began it, or who could have."""
    if person.id == one.intent.principal.id:
        return bool({project, "*"} & person.projects)
    return rbac.may(person, "promote", policy=policy, subject=one.subject, evidence=evidence).allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """An alias, or what stands under it, that is not as the last promotion left it.

    Parameters
    ----------
    name, alias, stage : str
        The model and the alias, and the stage it stands for.
    found, recorded : str or None
        The version that the alias points to, and the one that the log has.
    index : int or None
        The outcome that recorded it.
    what : str
        A sentence.
    """

    name: str
    alias: str
    stage: str
    found: str | None
    recorded: str | None
    index: int | None
    what: str


def reconcile(
    evidence: EvidenceView, *, project: str, registry: Registry, aliases: Mapping[str, str], at: datetime
) -> tuple[Misplaced, ...]:
    """Compare a registry's aliases, and the bytes under them, with what the log says.

    Parameters
    ----------
    evidence : EvidenceView
        Verified and complete.
    project : str
        The project.
    registry : Registry
        The registry.
    aliases : mapping of stage to alias
        Which aliases stand for stages.
    at : datetime
        The present, UTC.

    Raises
    ------
    RegistryError
        If the registry cannot be asked.
    """
    last = standing(evidence, project)
    dead = {one.place for one in unfinished(evidence, project)}
    names = {name for name, _ in _registered(evidence, registry)}
    if isinstance(registry, Listing):
        names |= set(registry.names())
    found = []
    for stage, alias in sorted(aliases.items()):
        for name in sorted(names):
            place = (registry.uri, name, alias)
            now, recorded = registry.alias(name, alias), last.get(place)
            outcome = recorded.outcome if recorded is not None else None
            version = recorded.content.version if recorded is not None else None
            said = [] if place in dead else list(_differences(name, alias, now, recorded))
            if recorded is not None and recorded.content.stage != stage:
                said.append(
                    f"the alias {alias!r} of {name} stands for {stage}, and was moved by a promotion to {recorded.content.stage} "
                    f"(#{recorded.intent.index}, {recorded.intent.principal.id}), which another policy allowed"
                )
            elif recorded is not None and now == version:
                said += _no_longer(recorded, registry, evidence, at)
            found += [
                Misplaced(
                    name=name, alias=alias, stage=stage, found=now, recorded=version,
                    index=outcome.index if outcome is not None else None, what=what,
                )
                for what in said
            ]  # fmt: skip
    return tuple(found)


def unseen(evidence: EvidenceView, *, registry: Registry, aliases: Collection[str]) -> tuple[str, ...]:
    """Tell what a registry holds and the log never saw: versions that nobody registered, aliases of no stage on such versions.

    Parameters
    ----------
    evidence : EvidenceView
        Verified and complete.
    registry : Registry
        The registry; one that cannot say all that it holds is not asked.
    aliases : collection of str
        Those that stand for stages, which :func:`reconcile` looks at.

    Raises
    ------
    RegistryError
        If the registry cannot be asked.
    """
    if not isinstance(registry, Listing):
        return ()
    known, said = _registered(evidence, registry), []
    for name in registry.names():
        strange = [version for version in registry.versions(name) if (name, version) not in known]
        if strange:
            many = "s" if len(strange) > 1 else ""
            said.append(f"version{many} {', '.join(strange)} of {name} stand{'' if many else 's'} in the registry, and nobody registered "
                        f"{'them' if many else 'it'} in the log")  # fmt: skip
        said += [
            f"the alias {alias!r} of {name} points to version {version}, which nobody registered in the log"
            for alias, version in sorted(registry.aliases(name).items())
            if alias not in aliases and (name, version) not in known
        ]
    return tuple(said)


def _registered(evidence: EvidenceView, registry: Registry) -> set[tuple[str, str]]:
    """Return name and version of all that the log says is in a registry."""
    contents = (a.content for a in evidence.of_kind(Registration.kind))
    return {
        (one.name, one.version) for one in contents if isinstance(one, Registration) and one.registry == registry.uri
    }


def _differences(name: str, alias: str, now: str | None, recorded: Passage | None) -> tuple[str, ...]:
    if recorded is None or recorded.outcome is None:
        if now is None:
            return ()
        return (f"the alias {alias!r} of {name} points to version {now}, and no promotion that counts put it there",)
    if now == recorded.content.version:
        return ()
    return (
        (
            f"the alias {alias!r} of {name} points to {f'version {now}' if now else 'nothing'}; the last promotion that counts "
            f"put it on version {recorded.content.version} (#{recorded.outcome.index}, {recorded.intent.principal.id})"
        ),
    )


def _no_longer(recorded: Passage, registry: Registry, evidence: EvidenceView, at: datetime) -> list[str]:
    """Return why what stands under an alias should stand there no more."""
    one = recorded.content
    what, said = f"{one.name}/{one.version}, which is {one.alias!r},", []
    try:
        same_bytes(registry, one.name, one.version, recorded.subject)
    except VerificationError as error:
        said.append(f"{what} was changed after its promotion: {error.found}")
    return said + no_longer(recorded, evidence, at, what)


def no_longer(recorded: Passage, evidence: EvidenceView, at: datetime, what: str) -> list[str]:
    """Return why what a promotion put into a stage should stand there no more, whatever its bytes are now.

    Parameters
    ----------
    recorded : Passage
        The promotion.
    evidence : EvidenceView
        Verified and complete.
    at : datetime
        The present, UTC.
    what : str
        How the sentences begin.
    """
    one, subject, said = recorded.content, recorded.subject, []
    gone = withdrawn_model(subject, evidence) or revoked(evidence).get(one.decision)
    if gone is not None:
        said.append(
            f"{what} was withdrawn by {gone.principal.id} at #{gone.index}: {getattr(gone.content, 'reason', '')}"
        )
    if recorded.emergency is not None:
        use = breakglass.standing(subject, one.stage, evidence)
        if use is not None and at >= use.content.expires:
            said.append(f"{what} stands there by {use.sentence(at)}")
    return said
