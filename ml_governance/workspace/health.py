"""The doctor: what of a workspace is broken or about to be, told all at once; and what can be mended without judgement."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ml_governance.decide import breakglass
from ml_governance.decide.policy import in_force
from ml_governance.errors import GovernanceError
from ml_governance.evidence.canonical import MAX_BYTES, parse
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrainingRun, TrustUpdate, WriterClose, WriterOpen
from ml_governance.evidence.trust import ROOT
from ml_governance.integrations.mlflow_places import name_alias
from ml_governance.promote import history, recovery, released

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.promote.recovery import Misplaced
    from ml_governance.workspace.session import Workspace

SOON = timedelta(days=30)
"""A trust file that expires within this time is told of."""

ENDS = ("COMPLETE", "FAIL", "ABORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong.

    Parameters
    ----------
    check : str
        Which check found it: ``log``, ``trust``, ``keys``, ``promotion``, ``alias``, ``training``, ``session``,
        ``break-glass`` or ``registry``.
    weight : {'problem', 'warning'}
        A warning is for somebody to look at; a problem needs mending.
    what : str
        A sentence.
    next_step : str
        What to do.
    exit_code : int
        What it means to whoever waits for the result: 2 configuration, 4 evidence, 5 unavailable; 0 for a warning.
    """

    check: str
    weight: Literal["problem", "warning"]
    what: str
    next_step: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the doctor found.

    Parameters
    ----------
    complaints : tuple of Complaint
        Problems first.
    mended : tuple of str
        What was settled.
    entries : int
        How many entries of the log were verified.
    """

    complaints: tuple[Complaint, ...]
    mended: tuple[str, ...]
    entries: int

    @property
    def exit_code(self) -> int:
        """0, or the code of the worst problem: 5 over 2 over 4."""
        codes = {one.exit_code for one in self.complaints}
        return next((code for code in (5, 2, 4) if code in codes), 0)


def _problem(check: str, what: str, next_step: str = "", *, code: int = 4) -> Complaint:
    return Complaint(check=check, weight="problem", what=what, next_step=next_step, exit_code=code)


def _warning(check: str, what: str, next_step: str = "") -> Complaint:
    return Complaint(check=check, weight="warning", what=what, next_step=next_step)


def reconcile(ws: Workspace, view: EvidenceView | None = None) -> tuple[Misplaced, ...]:
    """Compare the registry with the log."""
    view = view or ws.view()
    aliases = {name: stage.alias for name, stage in ws.config.stages.items()}
    names = [
        released.Released(name=name, stage=stage, alias=name_alias(name))
        for name, stage in ws.config.server.released.items()
    ]
    project, registry, at = ws.config.project, ws.registry, ws.clock()
    return (
        *recovery.reconcile(view, project=project, registry=registry, aliases=aliases, at=at),
        *released.reconcile(names, view, project=project, registry=registry, at=at),
    )


def examine(ws: Workspace, *, fix: bool) -> Health:
    """Look at everything; one check that fails does not hide the others.

    Raises
    ------
    ConfigurationError
        If something is to be mended and nobody acts.
    """
    own = ws.writer.keyid if fix else None
    found = list(_keys(ws))
    mended: tuple[str, ...] = ()
    entries = 0
    try:
        verified = ws.verify()
        entries = verified.checkpoint.size
        found += [
            _problem("log", f"{f'#{one.index}: ' if one.index is not None else ''}{one.what}", "mlgov log verify")
            for one in verified.problems
        ]
        if not verified.problems:
            view = verified.view().within(ws.config.project)
            if fix:
                mended = _settled(ws, view)
                view = ws.view() if mended else view
            for check in (_promotions(ws, view), _trust(ws, view), _aliases(ws, view), _training(view)):
                found += check
            found += _sessions(view, own if mended else None)
            found += _glass(view, ws.clock())
    except GovernanceError as error:
        found.append(_problem("log", error.found, error.next_step or "mlgov log verify", code=error.exit_code))
    found.sort(key=lambda one: (one.weight, -one.exit_code))
    return Health(complaints=tuple(found), mended=mended, entries=entries)


def _settled(ws: Workspace, view: EvidenceView) -> tuple[str, ...]:
    """Settle every dead promotion of the workspace's registry that the person who acts may settle."""
    person = ws.me(view)
    said = []
    for one in history.unfinished(view, ws.config.project):
        policy = in_force(view, one.content.stage).policy
        if one.content.registry != ws.registry.uri:
            continue
        if recovery.may_settle(person, one, policy=policy, project=ws.config.project, evidence=view):
            said.append(recovery.settle(one, registry=ws.registry, writer=ws.writer))
    return tuple(said)


def _promotions(ws: Workspace, view: EvidenceView) -> Iterator[Complaint]:
    for one in history.passages(view):
        why = history.flaw(one, view, ws.config.project)
        if why:
            yield _problem(
                "promotion",
                f"the promotion of {one.sentence()}, did not go through the gate: {why}",
                f"ask {one.intent.principal.id}; mlgov log show {one.intent.index}",
            )
        elif one.outcome is None:
            age = ws.clock() - one.intent.recorded_at
            tell = _problem if age >= recovery.GRACE else _warning
            yield tell(
                "promotion",
                f"the promotion of {one.sentence()}, has no outcome after {_span(age)}: its alias may or may not have moved",
                "mlgov doctor --fix, by somebody who may promote, once nobody is promoting any more",
            )


def _aliases(ws: Workspace, view: EvidenceView) -> Iterator[Complaint]:
    try:
        moved = reconcile(ws, view)
        stages = {stage.alias for stage in ws.config.stages.values()}
        unseen = recovery.unseen(view, registry=ws.registry, aliases=stages)
    except GovernanceError as error:
        yield _problem("registry", error.found, error.next_step or "", code=error.exit_code)
        return
    for what in unseen:
        yield _warning("registry", what, "find out who put it there; register it, or delete it")
    for one in moved:
        back = f"mlgov rollback {one.name}" if one.recorded else "mlgov promote"
        if one.recorded and one.found != one.recorded:
            back = f"mlgov promote {one.name}/{one.recorded}, or {back}"
        yield _problem("alias", one.what, f"find out who did it, then {back} --stage {one.stage}")


def _trust(ws: Workspace, view: EvidenceView) -> Iterator[Complaint]:
    left = view.trust_expires_at - ws.clock()
    when = view.trust_expires_at.isoformat(timespec="seconds")
    if left <= timedelta(0):
        yield _problem("trust", f"the trust file expired at {when}; nothing may be decided", "mlgov keys renew")
    elif left <= SOON:
        yield _warning("trust", f"the trust file expires at {when}, in {_span(left)}", "mlgov keys renew")
    newest = view.of_kind(TrustUpdate.kind)[-1].content
    path = ws.config.trust_file
    try:
        with path.open("rb") as stream:
            kept = Envelope.from_dict(parse(stream.read(MAX_BYTES + 1)))
        same = isinstance(newest, TrustUpdate) and kept.payload == Envelope.from_dict(newest.envelope).payload
    except (OSError, GovernanceError) as error:
        yield _problem("trust", f"{path} cannot be read: {error}", "mlgov log show; restore the file", code=2)
        return
    if not same:
        yield _warning(
            "trust", f"{path} is not the trust file in force, which the log holds", "restore it, or delete it"
        )


def _keys(ws: Workspace) -> Iterator[Complaint]:
    """Key files that others could read or change, or that are no plain files."""
    folder = ws.config.keys
    if not folder.is_dir():
        return
    if folder.stat().st_mode & 0o022:
        yield _problem("keys", f"{folder} can be changed by others", "chmod 700", code=2)
    for path in sorted((*folder.glob("*.pem"), *folder.glob("*.uri"))):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            yield _problem("keys", f"{path} is no regular file", "put the key file itself there", code=2)
        elif mode & 0o077:
            yield _problem(
                "keys", f"{path} has mode {mode:04o}: others can read or change it",
                "chmod 600, and mlgov keys rotate: it may have been read", code=2,
            )  # fmt: skip


def _training(view: EvidenceView) -> Iterator[Complaint]:
    ended = {
        subject.sha256
        for one in view.of_kind(TrainingRun.kind)
        if isinstance(one.content, TrainingRun) and one.content.event.get("eventType") in ENDS
        for subject in one.subjects
    }
    retried = {previous: one for one in view.of_kind(TrainingRun.kind) if (previous := _previous(one)) is not None}
    for one in view.of_kind(TrainingRun.kind):
        event = one.content.event if isinstance(one.content, TrainingRun) else {}
        if event.get("eventType") == "START" and one.subjects[0].sha256 not in ended:
            again = retried.get(event["run"]["runId"])
            tried = f"; it was tried again as {again.subjects[0].name}" if again is not None else ""
            yield _warning(
                "training",
                f"the run {one.subjects[0].name} that {one.principal.id} started at #{one.index} has no end{tried}",
                "if it is not running any more, it died; what it made is no evidence",
            )


def _previous(one: Attestation) -> str | None:
    """Return the id of the run that this one is another try of."""
    event = one.content.event if isinstance(one.content, TrainingRun) else {}
    attempt = event.get("run", {}).get("facets", {}).get("mlgov_attempt", {})
    return attempt.get("previous") if isinstance(attempt, dict) else None


def _sessions(view: EvidenceView, own: str | None) -> Iterator[Complaint]:
    """Sessions without a closing record, by key: an entry does not say more. The doctor's own is open while it mends."""
    opened: dict[str, list[Attestation]] = {}
    for one in (*view.of_kind(WriterOpen.kind), *view.of_kind(WriterClose.kind)):
        opened.setdefault(one.keyid, []).append(one)
    for keyid, entries in opened.items():
        closed = sum(one.kind == WriterClose.kind for one in entries)
        left = len(entries) - 2 * closed - (keyid == own)
        person = entries[0].principal
        if left > 0 and person is not ROOT and person.id != ROOT.id:
            newest = max(one.index for one in entries if one.kind == WriterOpen.kind)
            yield _warning(
                "session",
                f"{left} writer session{'s' if left > 1 else ''} of {person.id} ended without a closing record, or are "
                f"still open; the newest began at #{newest}",
                "nothing is lost; find out what was killed",
            )


def _glass(view: EvidenceView, at: datetime) -> Iterator[Complaint]:
    for use in breakglass.uses(view):
        if use.flaw or use.review is None:
            yield _problem("break-glass", use.sentence(at), f'mlgov review {use.entry.index} --reason "..."')
        for note in use.ignored:
            yield _warning("break-glass", note)


def _span(length: timedelta) -> str:
    minutes = abs(length.total_seconds()) / 60
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 2 * 24 * 60 else f"{minutes / 60 / 24:.0f} days"
