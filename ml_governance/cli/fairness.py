"""Fairness of predictions in files, printed: no workspace, no keys."""

from __future__ import annotations

import json as text_of
import sys
from typing import TYPE_CHECKING, Any

from ml_governance.cli import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.assess.fairness import FairnessReport
    from ml_governance.evidence.predicates import Measurement

SHOWN = {
    "selection_rate": "selected", "true_positive_rate": "TPR", "false_positive_rate": "FPR",
    "positive_predictive_value": "PPV", "accuracy": "accuracy",
}  # fmt: skip
SCORED = {"roc_auc": "AUC", "brier_score": "Brier", "ece": "ECE"}
"""What a terminal shows of every group, the second with scores; everything is in the table for programs, and in the JSON."""
NAMED = (
    "demographic_parity_difference", "demographic_parity_ratio", "equal_opportunity_difference",
    "equalized_odds_difference", "equalized_odds_ratio",
)  # fmt: skip
OF_SCORES = ("roc_auc_difference", "brier_score_difference", "ece_debiased_difference")
CONDITIONAL = ("conditional_demographic_parity_difference", "conditional_demographic_parity_ratio")
HEAD = ("metric", "by", "group", "value", "interval", "n", "status", "reason")


def measure(
    data: Sequence[str],
    y_true: str,
    y_pred: str,
    by: Sequence[str],
    y_score: str | None,
    control: Sequence[str] | None,
    weight: str | None,
    pos_label: str | None,
    confidence: float,
    min_group_size: int,
    *,
    json: bool,
) -> None:
    """Count files, and print the report: a table, or JSON.

    A positive label that reads as JSON is a number or truth value; quoted (``'"1"'``) it is text.
    """
    from ml_governance.assess.fairness import assess_fairness

    with render.working("counting rows"):
        report = assess_fairness(
            data=list(data),
            y_true=y_true,
            y_pred=y_pred,
            sensitive_features=list(by),
            y_score=y_score,
            control_features=list(control) if control else None,
            sample_weight=weight,
            pos_label=None if pos_label is None else label(pos_label),
            confidence=confidence,
            min_group_size=min_group_size,
        )
    if json:
        render.out_json(report.to_dict())
        return
    if not sys.stdout.isatty():
        render.table(HEAD, [row_of(one) for one in report.measurements])
        return
    for by_ in dict.fromkeys(one.by for one in report.measurements if one.by):
        _show(report, by_)


def _show(report: FairnessReport, by: tuple[str, ...]) -> None:
    """Print the groups of some attributes and how far they are apart, for people."""
    there = {one.metric for one in report.measurements}
    shown = SHOWN | {metric: name for metric, name in SCORED.items() if metric in there}
    groups = dict.fromkeys(one.group for one in report.measurements if one.by == by and one.group)
    rows, reasons = [], []
    for group in groups:
        found = [_find(report, metric, by, group) for metric in shown]
        rows.append((" x ".join(group), _rows(found[0]), *map(_value, found)))
    overall = [_find(report, metric) for metric in shown]
    rows.append(("all rows", _rows(overall[0]), *map(_value, overall)))
    render.table((" x ".join(by), "n", *shown.values()), rows)
    rows = []
    for metric in (*NAMED, *OF_SCORES, *CONDITIONAL):
        one = _find(report, metric, by)
        if one is not None:
            rows.append((metric.replace("_", " "), _value(one), _interval(one), one.status))
            reasons += [one.reason] if one.reason else []
    render.table(("between groups", "value", f"{report.confidence:.0%} interval", "status"), rows)
    for reason in dict.fromkeys(reasons):
        render.out(f"  {reason}", "yellow")


def _find(
    report: FairnessReport, metric: str, by: tuple[str, ...] = (), group: tuple[str, ...] = ()
) -> Measurement | None:
    try:
        return report.get(metric, by=by, group=group)
    except KeyError:
        return None


def _rows(one: Measurement | None) -> str:
    return "" if one is None else f"{one.n:,}"


def _value(one: Measurement | None) -> str:
    if one is None:
        return "not measured"
    if one.value is None:
        return one.status
    return f"{one.value:.4f}" + ("*" if one.status == "insufficient" else "")


def label(text: str) -> Any:
    """Read a label: what reads as a JSON number, truth value or quoted text is that."""
    try:
        value = text_of.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float) else text


def row_of(one: Measurement) -> tuple[str, ...]:
    """Return a measurement as a row below :data:`HEAD`."""
    value = "" if one.value is None else f"{one.value:.4f}"
    where = " x ".join(one.by), " x ".join(one.group)
    return one.metric, *where, value, _interval(one), str(one.n), one.status, one.reason or ""


def _interval(one: Measurement) -> str:
    found = next((i for i in one.intervals if i.sides == "two-sided"), None)
    if found is None or found.lower is None or found.upper is None:
        return ""
    return f"{found.lower:.4f} to {found.upper:.4f}"
