"""What was measured of the rows behind a model, as a report shows it: the quality of data, and what is given away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.report.measured import assessment

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation

SHOWN = 10
"""Columns of which a table shows the worst."""
_COLUMN = "column"
_OF_COLUMNS = ("missing_rate", "single_feature_auc", "psi_excess", "kolmogorov_smirnov")
OF_GROUPS = ("group_share", "representation_ratio", "incomplete_row_rate", "proxy_auc")


def data_quality(entry: Attestation | None) -> dict[str, Any] | None:
    """Return an assessment of data: numbers of all rows, the worst columns, and each group; None where there is none."""
    base = assessment(entry)
    if base is None:
        return None
    groups = base.pop("groups")
    details = base.pop("details")
    worst = {
        metric: _worst([one for one in groups if one["by"] == _COLUMN and one["metric"] == metric])
        for metric in _OF_COLUMNS
    }
    attributes = dict.fromkeys(one["by"] for one in groups if one["metric"] == "group_share")
    return {
        **base,
        "worst": {metric: rows for metric, rows in worst.items() if rows},
        "labels": [one for one in groups if one["metric"] == "label_share"],
        "attributes": [
            {
                "by": by,
                "rows": [
                    {"group": group, **{metric: _one(groups, by, group, metric) for metric in OF_GROUPS}}
                    for group in dict.fromkeys(one["group"] for one in groups if one["by"] == by)
                ],
                "proxies": details.get("proxies", {}).get(by, [])[:SHOWN],
            }
            for by in attributes
        ],
        "schema": details.get("schema", []),
        "identifiers": details.get("identifiers", []),
    }


def privacy(entry: Attestation | None) -> dict[str, Any] | None:
    """Return an assessment of privacy: every number, and on which rows; None where there is none."""
    return assessment(entry)


def _worst(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the largest numbers, what could not be measured first."""
    return sorted(found, key=lambda one: (one["value"] is not None, -(one["value"] or 0.0)))[:SHOWN]


def _one(groups: list[dict[str, Any]], by: str, group: str, metric: str) -> dict[str, Any] | None:
    return next((one for one in groups if (one["by"], one["group"], one["metric"]) == (by, group, metric)), None)
