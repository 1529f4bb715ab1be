"""Every number of an audit pack, of whatever kind of evidence, with its slice: what forms for programs list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ml_governance.report.rows_of import OF_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_governance.report.card import Card

ALL_ROWS = "all rows"
_INITIALS = re.compile(r"\b(?:auc|ece|eu|f1|fpr|ks|ll144|mae|mape|pr|psi|r2|rmse|roc|tpr)\b")


def in_words(name: str) -> str:
    """Return the name of a metric or a text as people read it: words apart, and initials as capitals."""
    return _INITIALS.sub(lambda found: found[0].upper(), name.replace("_", " "))


def reports(card: Card) -> dict[str, dict[str, Any]]:
    """Return what was assessed, by kind of evidence; what is not recorded is left out."""
    parts = {
        "performance": card.performance, "fairness": card.fairness, "explanation": card.explanation, "data-quality": card.data_quality,
        "robustness": card.robustness, "privacy": card.privacy, "security-scan": card.security,
    }  # fmt: skip
    return {kind: report for kind, report in parts.items() if report is not None}


def by_slice(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each number of a report with its slice: of all rows, of groups and columns, and of slices that were found.

    Of the columns of data, those stand here that the report itself lists: the worst.
    """
    for one in report["overall"]:
        yield ALL_ROWS, one
    for one in report.get("groups", ()):
        yield f"{one['by']}={one['group']}", one
    listed = [one for found in report.get("worst", {}).values() for one in found] + report.get("labels", [])
    if "worst" in report:  # only of data: of fairness, the groups above are these
        listed += [
            row[metric] for by in report["attributes"] for row in by["rows"] for metric in OF_GROUPS if row[metric]
        ]
    for one in listed:
        yield f"{one['by']}={one['group']}", one
    for one in report.get("details", {}).get("weak_slices", {}).get("slices", ()):
        yield one["slice"], {**one, "metric": "slice_error", "value": one["error"], "status": "ok", "reason": None}
