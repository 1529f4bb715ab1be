"""One kind of evidence from shared material: what the model said of the rows is there already, and nobody is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import material as shared
from ml_governance.assess.predicting import Predicted
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.data_quality import DataQualityReport
    from ml_governance.assess.material import Material
    from ml_governance.assess.performance import PerformanceReport, Task
    from ml_governance.assess.privacy import PrivacyReport
    from ml_governance.assess.report import Report


def performance(given: Material) -> PerformanceReport:
    """Measure how well the model predicts, by group, and where it errs most."""
    from ml_governance.assess.performance import assess_performance

    told = given.predicted
    return assess_performance(
        y_true=given.labels, y_pred=told.y_pred, y_score=told.y_score, task=given.task, classes=told.classes,
        sensitive_features=given.sensitive, slice_by=given.features, costs=given.costs,
        pos_label=given.pos_label if given.task == "binary" else None, seed=given.seed, **given.levels,
    )  # fmt: skip


def fairness(given: Material) -> Report:
    """Measure how groups fare, by what the model does.

    Raises
    ------
    DataError
        If there is no sensitive column.
    """
    from ml_governance.assess.fairness import assess_fairness
    from ml_governance.assess.multiclass import assess_multiclass
    from ml_governance.assess.regression import assess_regression

    if given.sensitive is None:
        raise DataError("there are no groups to compare", expected="sensitive_features")
    told = given.predicted
    common = {
        "y_true": given.labels, "y_pred": told.y_pred, "sensitive_features": given.sensitive, **given.levels,
    }  # fmt: skip
    if given.task == "multiclass":
        return assess_multiclass(**common)
    if given.task == "regression":
        return assess_regression(**common)
    return assess_fairness(**common, y_score=told.y_score, pos_label=given.pos_label)


def quality(
    rows: pd.DataFrame,
    *,
    y_true: str | None,
    sensitive_features: Sequence[str],
    trained: pd.DataFrame | None,
    **options: Any,
) -> DataQualityReport:
    """Measure the quality of the rows, which takes no predictions; options as :func:`ml_governance.assess_data` takes them."""
    from ml_governance.assess.data_quality import assess_data

    return assess_data(rows, y_true=y_true, sensitive_features=list(sensitive_features), training=trained, **options)


def privacy(given: Material, *, max_rows: int | None = shared.MAX_ATTACKED, **options: Any) -> PrivacyReport:
    """Attack the model with its losses on training rows and on others; further options as :func:`ml_governance.assess_privacy` takes them.

    Rows that equal a training row are left out, and at most ``max_rows`` of the others are attacked; None is all. What was drawn from
    stands in the details. Without training rows the numbers are ``undefined``, and say so.

    Raises
    ------
    DataError
        If every row is a training row, or ``max_rows`` is below 1.
    """
    import pandas as pd

    from ml_governance.assess.privacy import assess_privacy

    trained = given.training
    strangers = np.arange(len(given.rows)) if trained is None else np.flatnonzero(~trained.known)
    if not len(strangers):
        raise DataError("every row is a training row", expected="rows that the model was not trained on")
    if max_rows is not None and max_rows < 1:
        raise DataError(f"max_rows is {max_rows}", expected="1 or more, or None for all")
    others = len(strangers)
    if max_rows is not None and others > max_rows:
        generator = np.random.default_rng(given.seed + 1)
        strangers = np.sort(generator.choice(strangers, size=max_rows, replace=False))
    outside = given.rows.iloc[strangers]
    parts = [(outside, _of_rows(given.predicted, strangers))]
    if trained is not None and given.inside is not None:
        parts.insert(0, (trained.drawn, given.inside))
    losses = [_losses(rows[given.y_true], told, given.task, given.pos_label) for rows, told in parts]
    member = np.repeat(np.arange(len(parts))[::-1], [len(rows) for rows, _ in parts])
    names = list(given.sensitive_features)
    groups = pd.concat([rows[names] for rows, _ in parts], ignore_index=True) if names else None
    report = assess_privacy(
        member=member, loss=np.concatenate([loss for loss, _ in losses]), sensitive_features=groups,
        **{"seed": given.seed, **given.levels, **options},
    )  # fmt: skip
    inside = int(member.sum())
    every = {"training_rows": inside if trained is None else len(trained.rows), "other_rows": others}
    used = {"training_rows": inside, "other_rows": len(outside)}
    report.details["membership"] = {
        "loss": losses[0][1], **used, "left_out": 0 if trained is None else int(trained.known.sum()),
        **({} if every == used else {"drawn_from": every}),
    }  # fmt: skip
    return report


def _of_rows(told: Predicted, rows: NDArray[np.intp]) -> Predicted:
    score = None if told.y_score is None else told.y_score[rows]
    return Predicted(y_pred=told.y_pred[rows], y_score=score, classes=told.classes)


def _losses(labels: pd.Series, told: Predicted, task: Task, pos_label: Any) -> tuple[NDArray[np.float64], str]:
    """Return the loss of each row, and what it is."""
    from ml_governance.assess import membership
    from ml_governance.assess.labels import binary, finite

    if task == "regression":
        return np.abs(finite(labels, "y_true") - finite(told.y_pred, "y_pred")), "absolute error"
    if told.y_score is None:
        same = labels.astype(str).to_numpy() == told.y_pred.astype(str)
        return (~same).astype(np.float64), "0 if right, 1 if wrong"
    if told.classes is None:
        true, _ = binary(labels, "y_true", pos_label)
        return membership.log_losses(true, told.y_score), "log loss"
    place = {name: at for at, name in enumerate(told.classes)}
    unknown = sorted(set(labels.astype(str)) - set(place))
    if unknown:
        raise DataError(f"the label {unknown[0]!r} is no class of the model", expected=f"one of {', '.join(place)}")
    own = told.y_score[np.arange(len(labels)), labels.astype(str).map(place).to_numpy(dtype=np.intp)]
    return membership.log_losses(np.ones(len(own), dtype=np.uint8), own), "log loss"
