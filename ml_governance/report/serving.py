"""What became of a model after its promotion, as a report shows it: where it is served, and what its windows in use show."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ml_governance.decide.policy import in_force
from ml_governance.errors import GovernanceError
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.predicates import Deployment, Monitoring
from ml_governance.report.measured import cell, source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.attestation import Attestation, EvidenceView

COLUMN = "column"
"""What distances between columns are said to be by."""
DISTANCES = ("psi", "psi_excess", "psi_p_value")


def deployments(about: Sequence[Attestation]) -> tuple[dict[str, Any], ...]:
    """Return each process that served a model: who started it, when, by which promotion, and how it ended.

    Parameters
    ----------
    about : sequence of Attestation
        What the log says about the model, in order.

    Returns
    -------
    tuple of dict
        By first entry. ``ended`` is None where no end is recorded: the process still serves, or died without a word.
    """
    entries = [(one, one.content) for one in about if isinstance(one.content, Deployment)]
    promotions = {one.payload_digest: one.index for one in about}
    ends = {content.instance: one for one, content in entries if content.phase == "stopped"}
    found = []
    for one, content in entries:
        if content.phase != "started":
            continue
        end = ends.get(content.instance)
        reason = end.content.detail if end is not None and isinstance(end.content, Deployment) else None
        found.append(
            {
                **source(one), "stage": content.stage, "version": f"{content.name}/{content.version}",
                "instance": content.instance, "promotion": promotions.get(content.promotion),
                "check_seconds": content.check_seconds, "grace_seconds": content.grace_seconds,
                "ended": None if end is None else {**source(end), "reason": reason},
            }
        )  # fmt: skip
    return tuple(found)


def windows(about: Sequence[Attestation], withdrawn: Mapping[str, Attestation]) -> tuple[dict[str, Any], ...]:
    """Return each window in use that somebody measured and signed, newest first.

    Parameters
    ----------
    about : sequence of Attestation
        What the log says about the model, in order.
    withdrawn : mapping of str to Attestation
        What was taken back, by payload digest.

    Returns
    -------
    tuple of dict
        Counts of predictions, distances of columns (farthest beyond chance first), and numbers of groups; ``baseline`` is the index of
        the entry whose rows the window is compared with, None where it is not about this model.
    """
    known = {one.payload_digest: one.index for one in about}
    found = []
    for one in reversed(about):
        content = one.content
        if not isinstance(content, Monitoring):
            continue
        taken_back = withdrawn.get(one.payload_digest)
        found.append(
            {
                **source(one), "stage": content.stage, "begins": stamp(content.begins), "ends": stamp(content.ends),
                "baseline": known.get(content.baseline), "predicted": content.predicted, "labelled": content.labelled,
                "uncounted": content.uncounted, "confidence": content.confidence, "columns": _columns(content),
                "overall": [asdict(cell(m)) for m in content.measurements if not m.by],
                "groups": [
                    {"by": " x ".join(m.by), **asdict(cell(m))} for m in content.measurements if m.by and m.by != (COLUMN,)
                ],
                "unseen": content.details.get("unseen", {}), "failed_calls": content.details.get("failedCalls", 0),
                "withdrawnAt": None if taken_back is None else taken_back.index,
            }
        )  # fmt: skip
    return tuple(found)


def _columns(content: Monitoring) -> list[dict[str, Any]]:
    """Return the distances of each column side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for one in content.measurements:
        if one.by == (COLUMN,) and one.group and one.metric in DISTANCES:
            shown = cell(one)
            row = rows.setdefault(one.group[0], {"column": one.group[0], "n": shown.n, "status": shown.status})
            row[one.metric] = shown.value
            row["reason"] = shown.reason
    made = [{**dict.fromkeys(DISTANCES), **row} for row in rows.values()]
    return sorted(made, key=lambda row: (row["psi_excess"] is not None, -(row["psi_excess"] or 0.0), row["column"]))


def plan(view: EvidenceView, stage: str) -> tuple[dict[str, Any], ...]:
    """Return what the policy in force asks of the model in use: its rules over monitoring, empty where none asks.

    Parameters
    ----------
    view : EvidenceView
        Verified.
    stage : str
        The stage.
    """
    try:
        policy = in_force(view, stage).policy
    except GovernanceError:  # none, or none that counts: the summary says so
        return ()
    return tuple(
        {"id": rule.id, "title": rule.title, "metric": rule.require.metric}
        for rule in policy.rules
        if rule.require.evidence == Monitoring.kind
    )
