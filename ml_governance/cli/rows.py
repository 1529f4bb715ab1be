"""The quality of rows, and what a table gives away about people, printed; and what was signed with a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from ml_governance.cli import render
from ml_governance.cli.fairness import HEAD, row_of
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance.assess.report import Report
    from ml_governance.workspace.assessment import Assessed

SHOWN = 40


def measure_rows(
    kinds: Sequence[str],
    data: Sequence[str],
    *,
    y_true: str | None,
    by: Sequence[str],
    training: Sequence[str],
    population: Path | None,
    hidden: dict[str, Any],
    confidence: float,
    min_group_size: int,
    json: bool,
) -> None:
    """Measure one of the two kinds without a model, and print it.

    Raises
    ------
    BadParameter
        If options do not go together.
    DataError
        If a file or an option cannot be used.
    """
    if len(set(kinds)) != 1 or kinds[0] not in {"data", "data-quality", "privacy"}:
        raise typer.BadParameter("give --kind data, or --kind privacy, by itself; or MODEL")
    levels: dict[str, Any] = {"confidence": confidence, "min_group_size": min_group_size}
    hidden = {name: value for name, value in hidden.items() if value}
    if kinds[0] == "privacy":
        from ml_governance.assess.privacy import assess_privacy

        if population is not None:
            raise typer.BadParameter("--population goes with --kind data")
        if not hidden or data or training:
            raise typer.BadParameter("of privacy without MODEL, give --released and --quasi-identifier only")
        _print(assess_privacy(**hidden, **levels), json=json)
        return
    from ml_governance.assess.data_quality import assess_data

    if not data or hidden:
        raise typer.BadParameter("of data, give --data, and nothing of what is released")
    with render.working("looking at the columns"):
        report = assess_data(
            list(data), y_true=y_true, sensitive_features=list(by), training=list(training) or None,
            population=None if population is None else read_population(population), **levels,
        )  # fmt: skip
    _print(report, json=json)


def read_population(path: Path) -> Any:
    """Read shares or counts by column and level from YAML."""
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
