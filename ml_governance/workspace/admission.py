"""Whether bytes may be served, asked by a workspace or of an exported bundle alone: entry points of containers, and loaders.

A bundle is believed under a trust root that came by another way. It is as old as it is: what was withdrawn after it was made is not in
it, so whoever relies on one says how old it may be, or keeps a checkpoint that it must continue.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, DataError, UsageError, VerificationError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.attestation import EvidenceView
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.statement import Subject
from ml_governance.operate.standing import standing_of
from ml_governance.workspace import pins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from ml_governance.evidence.offline import Checkout
    from ml_governance.operate.standing import Standing
    from ml_governance.workspace.session import Workspace

META = "registered_model_meta"
"""What MLflow adds to a model that it downloads from a registry; it names the model and is no part of it."""
_NOTE = re.compile(rb"model_name: [^\n]+(\n  [^\n]+)*\nmodel_version: [^\n]{1,40}\n")
"""All that it says, a long name on several lines; under that name nothing else is left out of a digest."""
_LONGEST_NOTE = 2048
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")
_SUPERSEDED = (
    "the bundle is about this model alone: a later promotion of another version to the same alias would not be in it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servable:
    """That something may be served.

    Parameters
    ----------
    standing : Standing
        Why.
    digested : str or None
        What was digested: a path, or a registry's version; None where only a digest was given.
    source : str
        Where the evidence came from.
    notes : tuple of str
        What was not proven.
    """

    standing: Standing
    digested: str | None
    source: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        one = self.standing
        return {
            "servable": True,
            "subject": one.subject.to_dict(),
            "stage": one.stage,
            "promotion": one.passage.intent.index,
            "decision": one.decision.index,
            "restsOn": list(one.inputs),
            "until": None if one.until is None else one.until.isoformat(),
            "entries": one.size,
            "digested": self.digested,
            "source": self.source,
            "notes": list(self.notes),
        }


def in_workspace(ws: Workspace, target: str | Path | Subject, *, stage: str) -> Servable:
    """Ask a workspace; see :meth:`Workspace.verify_deployment`."""
    ws.config.stage(stage)
    bytes_at = _path(target)
    digests = _digests(bytes_at) if bytes_at is not None else _given(target)
    view = ws.view()
    told: str | None = str(bytes_at) if bytes_at is not None else None
    if not digests:
        subject = ws.resolve(target if isinstance(target, Subject) else str(target), view)
        registration = ws.registration(subject, view)
        found = fingerprint.artifact(ws.registry.artifact(registration.name, registration.version)).sha256
        if found != subject.sha256:
            raise VerificationError(
                f"{registration.name}/{registration.version} in {ws.registry.uri} has the digest sha256:{found}",
                expected=f"sha256:{subject.sha256}, for which the evidence was signed",
                next_step="find out who changed the files",
            )
        digests, told = (subject.sha256,), f"{ws.registry.uri} {registration.name}/{registration.version}"
    subject = _named(digests, view, str(target))
    standing = standing_of(subject, stage, evidence=view, project=ws.config.project, at=ws.clock())
    return Servable(standing=standing, digested=told, source=f"the log {ws.config.origin}", notes=_unread(told))


def in_bundle(
    bundle: Path,
    target: str | Path,
    *,
    root: str,
    stage: str,
    at: datetime,
    project: str | None = None,
    pinned: Sequence[Path] = (),
    max_age: timedelta | None = None,
) -> Servable:
    """Ask a bundle that somebody exported, with no workspace.

    Parameters
    ----------
    bundle : Path
        What ``mlgov log export`` wrote.
    target : str or Path
        ``sha256:...``, or a path to the bytes.
    root : str
        ``sha256:...`` of the trust root, obtained by another way than the bundle.
    stage : str
        The stage.
    at : datetime
        The present, UTC.
    project : str, optional
        Whose roles count; needed where people are trusted for several.
    pinned : sequence of Path
        Checkpoints that the log must continue.
    max_age : timedelta, optional
        How old the newest entry may be.

    Raises
    ------
    UsageError
        If the target is a name, or the project is not clear.
    VerificationError
        If the bundle does not verify under the root, or is too old.
    MissingEvidenceError, DeniedError
        As :func:`~ml_governance.operate.standing.standing_of`.
    """
    from ml_governance.decide.delegation import applied
    from ml_governance.evidence.offline import Checkout as Found
    from ml_governance.workspace.received import verify_path

    bytes_at = _path(target)
    digests = _digests(bytes_at) if bytes_at is not None else _given(target)
    if not digests:
        raise UsageError(
            f"{target} is neither a digest nor there", expected="sha256:..., or a path to the model's bytes"
        )
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", root):
        raise UsageError(f"the root is {root!r:.100}", expected="sha256: and 64 hexadecimal digits")
    found = verify_path(bundle, root=root, pinned=pinned)
    if not isinstance(found, Found):
        raise UsageError(
            f"{bundle} is a proof of one entry", expected="a bundle, or tiles", next_step="mlgov log export"
        )
    view = _view(found)
    if max_age is not None and (view.newest is None or at - view.newest > max_age):
        raise VerificationError(
            f"the newest entry in {bundle.name} is of {view.newest.isoformat() if view.newest else 'no time'}",
            expected=f"one that is at most {max_age} old: what was withdrawn since is not in it",
            next_step="mlgov log export, again",
        )
    project = project or _project(view)
    view = applied(view.within(project), project=project, at=at)
    standing = standing_of(_named(digests, view, str(target)), stage, evidence=view, project=project, at=at)
    told = None if bytes_at is None else str(bytes_at)
    notes = (*found.notes, *((_SUPERSEDED,) if found.subjects else ()), *_unread(told))
    return Servable(standing=standing, digested=told, source=f"{bundle.name} of the log {view.origin}", notes=notes)


def from_environment(path: Path, *, at: datetime) -> Servable:
    """Ask what the environment names: ``MLGOV_BUNDLE`` with ``MLGOV_ROOT``, or the workspace at ``MLGOV_WORKSPACE``.

    The stage is ``MLGOV_STAGE``, or production. A bundle may be limited with ``MLGOV_MAX_AGE``, such as ``24h``, and with
    ``MLGOV_CHECKPOINT``.

    Raises
    ------
    ConfigurationError
        If neither is named.
    VerificationError, MissingEvidenceError, DeniedError
        As :func:`in_bundle`.
    """
    from ml_governance.workspace.opening import open_workspace

    stage, bundle = os.environ.get("MLGOV_STAGE") or "production", os.environ.get("MLGOV_BUNDLE")
    if bundle:
        root = os.environ.get(pins.ROOT_VARIABLE)
        if not root:
            raise ConfigurationError(
                f"MLGOV_BUNDLE is {bundle}, and nothing says under which trust root it counts",
                expected=f"{pins.ROOT_VARIABLE}=sha256:..., as `mlgov keys root` prints it",
            )
        age, kept = os.environ.get("MLGOV_MAX_AGE"), os.environ.get(pins.CHECKPOINT_VARIABLE)
        return in_bundle(
            Path(bundle), path, root=root, stage=stage, at=at, project=os.environ.get("MLGOV_PROJECT") or None,
            pinned=[Path(kept)] if kept else [], max_age=span(age) if age else None,
        )  # fmt: skip
    where = os.environ.get("MLGOV_WORKSPACE")
    if not where:
        raise ConfigurationError(
            "models are to be verified when they are loaded, and no evidence is named",
            expected="MLGOV_BUNDLE with MLGOV_ROOT, or MLGOV_WORKSPACE",
            next_step="docs/how-to/deploy.md",
        )
    with open_workspace(where) as ws:
        return in_workspace(ws, path, stage=stage)


def span(text: str) -> timedelta:
    """Read a span such as ``30m``, ``24h`` or ``7d``.

    Raises
    ------
    UsageError
        If it is none.
    """
    from datetime import timedelta

    found = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    if found is None:
        raise UsageError(f"the span is {text!r:.40}", expected="a number and m, h or d, such as 24h")
    return timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[found[2]]: int(found[1])})


def _view(found: Checkout) -> EvidenceView:
    """Return a checkout's evidence as a gate reads it.

    Raises
    ------
    VerificationError
        If anything in it does not verify, or its root was not brought along.
    """
    if found.problems or not found.root_known or found.trust is None:
        first = "; ".join(problem.what for problem in found.problems[:3]) or "its trust root was not given"
        raise VerificationError(
            f"the bundle does not verify: {first}", expected="a bundle of this log, under this root",
            next_step="mlgov log verify FILE --root sha256:... names every problem",
        )  # fmt: skip
    return EvidenceView(
        origin=found.checkpoint.origin, size=found.checkpoint.size, root_hash=found.checkpoint.root.hex(),
        attestations=found.attestations, void=found.void, principals=found.trust.people(),
        charter=found.trust.charter or Charter(), trust_expires_at=found.trust.expires_at,
        newest=max((one.recorded_at for one in found.attestations), default=None),
    )  # fmt: skip


def _project(view: EvidenceView) -> str:
    named = {project for one in view.principals.values() for project in one.projects} - {"*"}
    if len(named) != 1:
        raise UsageError(
            f"people in this log are trusted for {', '.join(sorted(named)) or 'every project'}",
            expected="the project whose roles count",
            next_step="--project NAME, or MLGOV_PROJECT",
        )
    return next(iter(named))


def _path(target: str | Path | Subject) -> Path | None:
    """Return the path that is meant; a digest is none, even where a file has its name."""
    if isinstance(target, Subject) or (isinstance(target, str) and _DIGEST.fullmatch(target)):
        return None
    path = Path(target)
    if isinstance(target, Path) and not path.exists():
        raise DataError(f"{path} does not exist", expected="a file or folder with the model's bytes")
    return path if path.exists() else None


def _given(target: str | Path | Subject) -> tuple[str, ...]:
    if isinstance(target, str) and _DIGEST.fullmatch(target):
        return (target.removeprefix("sha256:"),)
    return ()


def _digests(path: Path) -> tuple[str, ...]:
    """Return the digests that bytes may be known by: of all files, and where MLflow downloaded them, without what it adds."""
    if not path.is_dir() or path.is_symlink():
        return (fingerprint.file(path).sha256,)
    listed = fingerprint.files(path)
    own = [one for one in listed if one[0] != META]
    also = [own] if any(one[0] == "MLmodel" for one in own) and _is_note(path / META) else []
    return tuple(fingerprint.of_files(one).sha256 for one in (listed, *also))


def _is_note(path: Path) -> bool:
    """Tell whether a file is MLflow's note of a model's name and version, and no more."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        text = file.read(_LONGEST_NOTE + 1)
    return len(text) <= _LONGEST_NOTE and _NOTE.fullmatch(text) is not None


def _named(digests: Sequence[str], view: EvidenceView, target: str) -> Subject:
    """Return the subject that bytes are known as in the log; unknown ones get the name under which they were given."""
    for digest in digests:
        for entry in view.about(digest):
            return next(one for one in entry.subjects if one.sha256 == digest)
    return Subject(name=target[-200:], sha256=digests[-1])


def _unread(told: str | None) -> tuple[str, ...]:
    return () if told else ("only the digest was looked at: whether the bytes that are served have it, nobody asked",)
