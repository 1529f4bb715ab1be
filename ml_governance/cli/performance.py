"""Performance of predictions in files, printed: no workspace, no keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, get_args

import typer

from ml_governance.cli import render
from ml_governance.cli.fairness import HEAD, label, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import PerformanceReport, Task


def costs_of(text: str | None) -> Costs | None:
    """Read ``FP:FN``, what a false positive and a false negative cost."""
    from ml_governance.assess.costs import Costs

    if text is None:
        return None
    first, _, second = text.partition(":")
    try:
        return Costs(false_positive=float(first), false_negative=float(second))
    except ValueError:
        raise typer.BadParameter(f"--costs is {text!r}, expected FP:FN such as 1:5") from None


def task_of(text: str) -> Task:
    """Read what a model does."""
    from ml_governance.assess.performance import Task

    known: dict[str, Task] = {name: name for name in get_args(Task)}
    if text not in known:
        raise typer.BadParameter(f"--task is {text!r}, expected one of {', '.join(known)}")
    return known[text]


def measure(
    data: Sequence[str],
    y_true: str,
    y_pred: str | None,
    by: Sequence[str] | None,
    y_score: str | None,
    pos_label: str | None,
    task: str,
    costs: str | None,
    confidence: float,
    min_group_size: int,
    *,
    json: bool,
) -> None:
    """Measure files, and print the report: a table, or JSON. The slice with most errors is searched in all other columns."""
    from glob import glob
    from pathlib import Path

    import pandas as pd

    from ml_governance.assess.performance import assess_performance
    from ml_governance.errors import DataError
    from ml_governance.workspace.tables import read_file

    paths = sorted({path for pattern in data for path in (glob(pattern) or [pattern])})  # noqa: PTH207  patterns may be absolute
    with render.working("measuring performance"):
        frame = pd.concat([read_file(Path(path)) for path in paths], ignore_index=True)
        used = [name for name in (y_true, y_pred, y_score, *(by or ())) if name is not None]
        absent = [name for name in used if name not in frame.columns]
        if absent:
            raise DataError(
                f"the data have no column {absent[0]!r}", expected=f"one of {', '.join(map(str, frame.columns))}"
            )
        others = frame.drop(columns=[name for name in (y_true, y_pred, y_score) if name is not None])
        report = assess_performance(
            y_true=frame[y_true],
            y_pred=None if y_pred is None else frame[y_pred],
            y_score=None if y_score is None else frame[y_score],
            task=task_of(task),
            sensitive_features=frame[list(by)] if by else None,
            slice_by=others if len(others.columns) else None,
            costs=costs_of(costs),
            pos_label=None if pos_label is None else label(pos_label),
            confidence=confidence,
            min_group_size=min_group_size,
        )
    if json:
        render.out_json(report.to_dict())
        return
    render.table(HEAD, [row_of(one) for one in report.measurements if not one.by or not sys.stdout.isatty()])
    if sys.stdout.isatty():
        _tell(report)


def _tell(report: PerformanceReport) -> None:
    """Say for people what the numbers alone do not: where it errs, and what threshold costs least."""
    details: dict[str, Any] = report.details
    for one in details.get("weak_slices", {}).get("slices", [])[:1]:
        render.out(f"  looked worst on one half: {one['slice']}; measured on the other: {one['n']:,} rows")
    if "threshold" in details:
        render.out(
            f"  the threshold {details['threshold']['threshold']:g} was chosen on one half, and measured on the other"
        )
