"""The quality of rows, and what a model or a table gives away about them: signed with a model, printed without."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from ml_governance.cli import render
from ml_governance.cli.fairness import HEAD, row_of
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ml_governance.assess.report import Report
    from ml_governance.workspace import Workspace
    from ml_governance.workspace.assessment import Assessed

SHOWN = 40


def measure_rows(
    model: str | None,
    workspace: Callable[[], Workspace],
    kinds: Sequence[str],
    data: Sequence[str],
    *,
    y_true: str | None,
    by: Sequence[str],
    training: Sequence[str],
    population: Path | None,
    released: str | None,
    quasi_identifiers: Sequence[str],
    confidential: Sequence[str],
    pos_label: str | None,
    confidence: float,
    min_group_size: int,
    json: bool,
) -> None:
    """Measure one of the two kinds; with a model, sign it.

    Raises
    ------
    BadParameter
        If options do not go together.
    DataError
        If a file or an option cannot be used.
    """
    if len(set(kinds)) != 1 or kinds[0] not in ("data", "privacy"):
        raise typer.BadParameter("give --kind data, or --kind privacy, by itself")
    levels: dict[str, Any] = {"confidence": confidence, "min_group_size": min_group_size}
    hidden: dict[str, Any] = {}
    if released is not None or quasi_identifiers or confidential:
        hidden = {"released": released, "quasi_identifiers": quasi_identifiers, "confidential": confidential}
    if kinds[0] == "data":
        if not data or hidden:
            raise typer.BadParameter("of data, give --data, and nothing of what is released")
        asked: dict[str, Any] = {"y_true": y_true, "sensitive_features": list(by), **levels}
        if population is not None:
            asked["population"] = _population(population)
        if model is None:
            from ml_governance.assess.data_quality import assess_data

            with render.working("looking at the columns"):
                report: Report = assess_data(list(data), training=list(training) or None, **asked)
            _print(report, json=json)
            return
        if len(data) != 1:
            raise typer.BadParameter("with MODEL, give one --data")
        with workspace() as ws:
            signed(ws.assess_data(model, data[0], training=list(training), **asked), json=json)
        return
    if population is not None:
        raise typer.BadParameter("--population goes with --kind data")
    if model is None:
        from ml_governance.assess.privacy import assess_privacy

        if not hidden or data or training:
            raise typer.BadParameter("of privacy without MODEL, give --released and --quasi-identifier only")
        _print(assess_privacy(**hidden, **levels), json=json)
        return
    if len(data) != 1 or y_true is None or not training:
        raise typer.BadParameter("of privacy with MODEL, give one --data, --y-true and --training")
    with workspace() as ws:
        signed(
            ws.assess_privacy(
                model, data[0], y_true=y_true, training=list(training), sensitive_features=list(by), pos_label=pos_label,
                **hidden, **levels,
            ),
            json=json,
        )  # fmt: skip


def _population(path: Path) -> Any:
    import yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(
            f"{path} cannot be read: {error}", expected="YAML, such as sex: {Female: 0.5, Male: 0.5}"
        ) from error
    if not isinstance(read, dict) or not all(isinstance(one, dict) for one in read.values()):
        raise DataError(f"{path} holds no populations", expected="YAML, such as sex: {Female: 0.5, Male: 0.5}")
    return read


def _print(report: Report, *, json: bool) -> None:
    if json:
        render.out_json(report.to_dict())
        return
    rows = [row_of(one) for one in report.measurements]
    if not sys.stdout.isatty():
        render.table(HEAD, rows)
        return
    # First what is amiss or of all rows: a table of thirty columns has hundreds of numbers.
    first = [told for told in rows if not told[1] or told[6] != "ok"]
    render.table(HEAD, first[:SHOWN])
    render.out(f"  {len(rows) - len(first[:SHOWN]):,} more: --json, or a pipe, has them all")


def signed(assessed: Assessed, *, json: bool) -> None:
    """Print what was signed."""
    if json:
        render.out_json(
            {
                "subject": assessed.subject.to_dict(),
                "dataset": assessed.dataset.to_wire(),
                "entries": {kind: receipt.index for kind, receipt in assessed.receipts.items()},
                "reports": {kind: report.to_dict() for kind, report in assessed.reports.items()},
            }
        )
        return
    render.out(f"{assessed.subject.name} on {assessed.dataset.name}, {assessed.dataset.rows:,} rows", "bold")
    for kind, receipt in assessed.receipts.items():
        render.out(f"  {kind}: signed as ledger #{receipt.index}")
