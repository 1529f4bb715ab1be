"""Assessing the rows behind a registered model: their quality, and what the model gives away about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.decide.conditions import OVERLAP
from ml_governance.errors import DataError
from ml_governance.workspace import people
from ml_governance.workspace.assessment import Assessed, label_like, read, require_columns
from ml_governance.workspace.overlap import with_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.report import Report
    from ml_governance.evidence.predicates import Resource
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace

MAX_ATTACKED = 20_000
"""Rows of either kind whose losses are compared; more are drawn from."""


def assess_data(
    ws: Workspace,
    version: str | Subject,
    data: Any,
    *,
    y_true: str | None,
    sensitive_features: tuple[str, ...],
    training: tuple[Any, ...],
    options: dict[str, Any],
) -> Assessed:
    """Measure the quality of rows, and sign what was measured."""
    from ml_governance.assess.data_quality import assess_data as measure

    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    frame, dataset = read(data)
    shared = {OVERLAP: with_training(frame, training, subject, view)} if training else {}
    ws.narrate(f"measuring the quality of {len(frame):,} rows")
    report = measure(
        frame, y_true=y_true, sensitive_features=sensitive_features, training=_together(training) if training else None,
        **options,
    )  # fmt: skip
    return _signed(ws, subject, dataset, report, shared)


def assess_privacy(
    ws: Workspace,
    version: str | Subject,
    data: Any,
    *,
    y_true: str,
    training: tuple[Any, ...],
    sensitive_features: tuple[str, ...],
    pos_label: Any,
    options: dict[str, Any],
) -> Assessed:
    """Predict training and test rows, attack the model with its losses, and sign the result."""
    import numpy as np
    import pandas as pd

    from ml_governance.assess import membership
    from ml_governance.assess.labels import binary
    from ml_governance.assess.overlap import shared as shared_rows
    from ml_governance.assess.privacy import assess_privacy as measure
    from ml_governance.assess.recompute import recompute

    if not training:
        raise DataError("there are no training rows", expected="training, what the model was trained on")
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    registration = ws.registration(subject, view)
    frame, dataset = read(data)
    overlap = with_training(frame, training, subject, view)
    inside = _together(training)
    for table, name in ((frame, dataset.name), (inside, "the training data")):
        require_columns(table, (y_true, *sensitive_features), name)
    pos_label = label_like(pos_label, frame[y_true])
    strangers = frame[~shared_rows(frame, inside)]
    if strangers.empty:
        raise DataError(
            f"every row of {dataset.name} is a training row", expected="rows that the model was not trained on"
        )
    seed = int(options.get("seed", 0))
    inside, outside = _drawn(inside, seed), _drawn(strangers, seed + 1)
    rows = pd.concat([inside, outside], ignore_index=True)
    member = np.arange(len(rows)) < len(inside)
    ws.narrate(f"predicting {len(rows):,} training and other rows with {subject.name} in a process without keys")
    artifact = ws.registry.artifact(registration.name, registration.version)
    outcome = recompute(
        artifact, sha256=subject.sha256, loader=ws.registry.LOADER, rows=rows, exclude=(y_true,), pos_label=pos_label,
    )  # fmt: skip
    true, _ = binary(rows[y_true], "y_true", pos_label)
    loss: NDArray[np.float64]
    if outcome.y_score is not None:
        loss, kind = membership.log_losses(true, outcome.y_score), "log loss"
    else:
        loss, kind = (outcome.y_pred != rows[y_true].to_numpy()).astype(np.float64), "0 if right, 1 if wrong"
    sensitive = rows[list(sensitive_features)] if sensitive_features else None
    report = measure(member=member, loss=loss, sensitive_features=sensitive, **options)
    told = {
        OVERLAP: overlap,
        "membership": {
            "loss": kind, "training_rows": len(inside), "other_rows": len(outside), "left_out": len(frame) - len(strangers),
        },
    }  # fmt: skip
    return _signed(ws, subject, dataset, report, told)


def _together(training: Sequence[Any]) -> pd.DataFrame:
    import pandas as pd

    frames = [read(one)[0] for one in training]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _drawn(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame if len(frame) <= MAX_ATTACKED else frame.sample(n=MAX_ATTACKED, random_state=seed)


def _signed(ws: Workspace, subject: Subject, dataset: Resource, report: Report, told: dict[str, Any]) -> Assessed:
    content = report.to_content(predictions="recomputed", dataset=dataset)
    content = content.model_copy(update={"details": {**content.details, **told}})
    receipt = ws.writer.record(content, [subject])
    return Assessed(subject=subject, dataset=dataset, reports={report.kind: report}, receipts={report.kind: receipt})
