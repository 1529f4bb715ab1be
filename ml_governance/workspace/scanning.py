"""Scanning a registered model: its bytes copied and checked, read without loading them, and what was found signed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import Resource
from ml_governance.workspace import people

if TYPE_CHECKING:
    from collections.abc import Collection

    from ml_governance.assess.scan import ScanReport
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.predicates import Registration
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a scan found, and where it stands in the ledger.

    Parameters
    ----------
    subject : Subject
        The model version.
    report : ScanReport
        What was found.
    receipt : Receipt
        Its ledger entry.
    """

    subject: Subject
    report: ScanReport = field(repr=False)
    receipt: Receipt = field(repr=False)


def scan(
    ws: Workspace,
    version: str | Subject,
    *,
    requirements: str | Path | None,
    advisories: str | Path | None,
    trusted: Collection[str],
) -> Scanned:
    """Scan a model as :func:`look` does, and sign what was found."""
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    report = look(
        ws, subject, ws.registration(subject, view), requirements=requirements, advisories=advisories, trusted=trusted
    )
    receipt = ws.writer.record(report.to_content(predictions="recomputed", dataset=report.inputs()), [subject])
    return Scanned(subject=subject, report=report, receipt=receipt)


def look(ws: Workspace, subject: Subject, registration: Registration, **options: Any) -> ScanReport:
    """Copy a model, check that the copy is what was registered, and scan that.

    Parameters
    ----------
    ws : Workspace
        Whose registry has the bytes.
    subject : Subject
        The model version.
    registration : Registration
        Where its bytes are.
    **options
        As :func:`ml_governance.assess.scan.scan_artifact` takes them.

    Raises
    ------
    VerificationError
        If the bytes are not the registered ones.
    """
    from ml_governance.assess.recompute import copied
    from ml_governance.assess.scan import scan_artifact

    artifact = ws.registry.artifact(registration.name, registration.version)
    ws.narrate(f"reading the files of {subject.name}")
    with tempfile.TemporaryDirectory(prefix="mlgov-scan-") as folder:
        found = scan_artifact(copied(artifact, Path(folder), subject.sha256), **options)
    artifact_read = Resource(name=subject.name, sha256=subject.sha256)
    return replace(found, source=lambda: artifact_read)
