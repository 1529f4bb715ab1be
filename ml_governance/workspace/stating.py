"""Stating reasons: a registered model decides on a table again, and what each declined applicant is told is written and recorded."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, UsageError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import AdverseAction, HumanText, Resource, StatedReason
from ml_governance.workspace import texts
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.parts import software
from ml_governance.workspace.tables import read, require_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.notices import Notice
    from ml_governance.workspace.session import Workspace

KEPT_FROM_OTHERS = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Reasons that were stated.

    Parameters
    ----------
    subject : Subject
        The model version.
    notices : tuple of Notice
        One for each declined applicant, in the order of the table.
    receipt : Receipt
        The ledger entry of the run.
    folder : Path
        Holds ``notices/``, the list of their digests, and the list of addressees.
    """

    subject: Subject
    notices: tuple[Notice, ...] = field(repr=False)
    receipt: Receipt
    folder: Path


def state_reasons(
    ws: Workspace,
    version: str | Subject,
    applicants: Any,
    folder: Path,
    *,
    factors: Mapping[str, str],
    protected: Sequence[str],
    compared: Any,
    options: Mapping[str, Any],
) -> Statements:
    """Find the reasons in a process without keys, write one notice for each declined applicant, and record the run."""
    from ml_governance.assess.recompute import recompute
    from ml_governance.report import notices

    view = ws.view()
    texts.require_role(ws, view)
    writer = ws.writer
    subject = ws.resolve(version, view)
    registration = ws.registration(subject, view)
    frame, dataset = read(applicants)
    others, among = (None, dataset) if compared is None else read(compared)
    require_columns(frame, tuple(protected), dataset.name)
    if (folder / notices.FOLDER).exists():
        raise UsageError(f"{folder / notices.FOLDER} exists", expected="a new folder: notices of two runs do not mix")
    ws.narrate(f"finding the reasons of {subject.name} for {len(frame):,} applicants in a process without keys")
    artifact = ws.registry.artifact(registration.name, registration.version)
    asked = {**options, "protected": list(protected), "factors": dict(factors)}
    outcome = recompute(
        artifact,
        sha256=subject.sha256,
        loader=ws.registry.LOADER,
        rows=frame,
        task="regression",
        background=others,
        reasons=asked,
    )
    assert outcome.reasons is not None  # noqa: S101  asked for above; this tells the type checker
    summary, key = outcome.reasons["summary"], secrets.token_bytes(notices.KEY_BYTES)
    words = {one["factor"]: one["factor"] for one in summary["factors"] if one["columns"][0] in factors}
    made = notices.notices(outcome.reasons, words, key=key, table=dataset.sha256, protected=protected)
    common = notices.Frame(
        model=subject.sha256, log=view.origin, day=ws.clock().date().isoformat(), baseline=summary["baseline"],
        creditor=_creditor(view, subject),
    )  # fmt: skip
    files: dict[str, str] = {}
    for one in made:
        files |= common.files(one)
    lists = {
        notices.MANIFEST: notices.manifest(files),
        notices.ADDRESSEES: notices.addressees(made, key=key, table=dataset.sha256),
    }
    _write(folder, files, lists)
    content = _record(
        summary, dataset, among, protected, {name: sha256_hex(text.encode()) for name, text in lists.items()}
    )
    return Statements(subject=subject, notices=made, receipt=writer.record(content, [subject]), folder=folder)


def _record(
    summary: Mapping[str, Any],
    applicants: Resource,
    compared: Resource,
    protected: Sequence[str],
    digests: Mapping[str, str],
) -> AdverseAction:
    from ml_governance.report.notices import ADDRESSEES, FEWEST_TOLD, MANIFEST

    stated = sorted(
        summary["factors"], key=lambda one: (-(one["stated"] if one["stated"] >= FEWEST_TOLD else 0), one["factor"])
    )
    return AdverseAction(
        applicants=applicants, compared=compared, baseline=summary["baseline"], averaged=summary["compared"], average=summary["average"],
        cutoff=summary["cutoff"], declined_side=summary["declined_side"], output=summary["output"], engine=summary["engine"],
        check=summary["check"], protected=tuple(protected), at_most=summary["at_most"], least_covered=summary["least_covered"],
        declined=summary["declined"], manifest=digests[MANIFEST], addressees=digests[ADDRESSEES], software=software(),
        factors=tuple(
            StatedReason(
                text=one["factor"], columns=tuple(one["columns"]), stated=one["stated"] if one["stated"] >= FEWEST_TOLD else None
            )
            for one in stated
        ),
    )  # fmt: skip


def _creditor(view: EvidenceView, subject: Subject) -> str:
    """Return the newest text for notices that somebody signed and nobody took back, or NOT PROVIDED."""
    from ml_governance.decide.rules import revoked
    from ml_governance.report.notices import CREDITOR
    from ml_governance.report.texts import NOT_PROVIDED

    withdrawn = revoked(view)
    signed = [
        one.content.text
        for one in view.about(subject.sha256, HumanText.kind)
        if isinstance(one.content, HumanText) and one.content.name == CREDITOR and one.payload_digest not in withdrawn
    ]
    return signed[-1] if signed else NOT_PROVIDED


def _write(folder: Path, files: Mapping[str, str], lists: Mapping[str, str]) -> None:
    """Write notices and lists, for the eyes of this account alone."""
    from ml_governance.report.notices import FOLDER

    try:
        (folder / FOLDER).mkdir(parents=True, mode=0o700)
        for name, text in files.items():
            path = folder / FOLDER / name
            path.write_text(text, encoding="utf-8")
            path.chmod(KEPT_FROM_OTHERS)
        for name, text in lists.items():
            write_atomically(folder / name, text, KEPT_FROM_OTHERS)
    except OSError as error:
        raise ConfigurationError(
            f"the notices cannot be written to {folder}: {error.strerror}",
            next_step="free space, or use another folder",
        ) from error
