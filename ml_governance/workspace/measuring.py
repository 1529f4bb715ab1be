"""What an assessment measures beside another model: the one in use, or a second training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ml_governance.assess.comparison import ComparisonReport
    from ml_governance.assess.performance import Task
    from ml_governance.assess.recompute import Recomputed
    from ml_governance.assess.report import Report
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


def asked(
    ws: Workspace,
    view: EvidenceView,
    other: Subject,
    *,
    frame: pd.DataFrame,
    y_true: str,
    sensitive_features: tuple[str, ...],
    pos_label: Any,
    task: Task,
) -> Recomputed:
    """Return what another registered model says about the same rows, its bytes checked."""
    from ml_governance.assess.recompute import recompute

    ws.narrate(f"predicting the same rows with {other.name}")
    registration = ws.registration(other, view)
    artifact = ws.registry.artifact(registration.name, registration.version)
    return recompute(
        artifact, sha256=other.sha256, loader=ws.registry.LOADER, rows=frame, exclude=(y_true,),
        sensitive_features=sensitive_features, pos_label=pos_label, task=task, background=None, explain=None,
    )  # fmt: skip


def compared(
    labels: Any, sensitive: pd.DataFrame, mine: Recomputed, theirs: Recomputed, **options: Any
) -> ComparisonReport:
    """Compare what two models predict for the same rows."""
    from ml_governance.assess.comparison import compare_models

    scored = {} if mine.y_score is None or theirs.y_score is None else {
        "first_score": _by_class(mine), "second_score": _by_class(theirs),
    }  # fmt: skip
    return compare_models(
        y_true=labels, first=mine.y_pred, second=theirs.y_pred, **scored,
        sensitive_features=sensitive if len(sensitive.columns) else None, **options,
    )  # fmt: skip


def _by_class(one: Recomputed) -> Any:
    """Return scores as they are compared: of several classes, by name."""
    if one.classes is None or one.y_score is None:
        return one.y_score
    return {name: one.y_score[:, at] for at, name in enumerate(one.classes)}


def with_second_training(
    report: Report,
    sensitive: pd.DataFrame,
    first: tuple[Subject, Recomputed],
    second: tuple[Subject, Recomputed],
    tolerance: float | None,
) -> Report:
    """Return a robustness report that also says how far a second training of the model is apart."""
    from ml_governance.assess.by_slice import Maker, slices_of
    from ml_governance.assess.reproducibility import Trained, compared

    slices, _ = slices_of(sensitive if len(sensitive.columns) else None, len(sensitive))
    made = Maker(slices=slices, confidence=report.confidence, min_group_size=report.min_group_size)
    trained = [Trained(decisions=found.y_pred, scores=found.y_score, sha256=of.sha256) for of, found in (first, second)]
    measurements, told = compared(made, *trained, tolerance=tolerance)
    return replace(
        report, measurements=(*report.measurements, *measurements), details={**report.details, "rerun": told}
    )
