"""Scanning an artifact: signed with a workspace and a model, printed without."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from ml_governance.cli import render
from ml_governance.cli.fairness import HEAD, row_of
from ml_governance.cli.options import opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance.assess.scan import ScanReport

NAMES = frozenset({"artifact", "security-scan"})
"""How the kind is spelled: after what is read, and after the evidence that it becomes."""


def scan(
    model: str | None,
    data: Sequence[str],
    requirements: str | None,
    advisories: str | None,
    trusted: Sequence[str],
    workspace: Path | None,
    signer: str | None,
    *,
    json: bool,
) -> None:
    """Scan a registered model and sign what was found, or a path and print it."""
    if model is not None:
        if data:
            raise typer.BadParameter("with MODEL, the registered bytes are read: give no --data")
        with opened(workspace, signer) as ws:
            done = ws.scan(model, requirements=requirements, advisories=advisories, trusted=trusted)
        if json:
            entries = {"security-scan": done.receipt.index}
            render.out_json({"subject": done.subject.to_dict(), "entries": entries, "report": done.report.to_dict()})
            return
        _show(done.report)
        render.out(f"security-scan of {done.subject.name}: signed as ledger #{done.receipt.index}")
        return
    if len(data) != 1:
        raise typer.BadParameter("give MODEL, or --data with the path of one artifact")
    from ml_governance.assess.scan import scan_artifact

    report = scan_artifact(data[0], requirements=requirements, advisories=advisories, trusted=trusted)
    if json:
        render.out_json(report.to_dict())
    else:
        _show(report)


def _show(report: ScanReport) -> None:
    if not sys.stdout.isatty():
        render.table(HEAD, [row_of(one) for one in report.measurements])
        return
    told = [
        (one.metric.replace("_", " "), "" if one.value is None else f"{one.value:g}", one.status, one.reason or "")
        for one in report.measurements
    ]
    render.table(("what", "number", "status", "reason"), told)
    for one in report.details["files"]:
        if one["loading"] in {"code", "unknown"}:
            imports = ", ".join([*one.get("dangerous", ()), *one.get("unlisted", ())])
            render.out(f"  {one['path']}: {one['loading']}, {one['why']}{f' ({imports})' if imports else ''}", "yellow")
    for one in report.details.get("vulnerabilities", ()):
        render.out(f"  {one['name']}: {one['id']}", "yellow")
