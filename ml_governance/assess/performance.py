"""Predictive performance: discrimination, calibration, proper scores, errors and costs, overall, by group and where it is worst.

Intervals of a binary classifier: Wilson for rates; for F1, Wilson on tp / (tp + fp + fn), of which F1 is a rising function; for
balanced accuracy, Wilson bounds of its two rates combined by the method of variance estimates recovery (Zou and Donner, Statistics in
Medicine 27 (2008) 1693); for the Brier score, the normal interval of a mean with two rows more; for log loss, that of a skewed mean. What
tells classes apart is in :mod:`ml_governance.assess.discrimination`, what makes probabilities of scores in
:mod:`ml_governance.assess.calibration_error`, costs in :mod:`ml_governance.assess.costs`, the worst slice in
:mod:`ml_governance.assess.weak_slices`; several classes and regressions have modules of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from ml_governance.assess import (
    binary,
    calibration,
    calibration_error,
    costs,
    discrimination,
    labels,
    performance_classes,
    performance_errors,
    sensitive,
    weak_slices,
)
from ml_governance.assess.contrasts import Number, check_levels, measured
from ml_governance.assess.rates import counts_of, rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Measurement, Performance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.labels import Flags, Floats

RATE_METRICS = (
    "accuracy", "true_positive_rate", "false_positive_rate", "positive_predictive_value", "selection_rate", "base_rate",
)  # fmt: skip
ROC_POINTS = 101
BINS = calibration.CALIBRATION_BINS
Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, kw_only=True, repr=False)
class PerformanceReport(Report):
    """Predictive performance, overall and by group."""

    kind: ClassVar[str] = "performance"
    content: ClassVar[type[Assessment]] = Performance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What one kind of model gives: its numbers, curves, errors by row, and the columns as they were read."""

    measurements: list[Measurement]
    details: dict[str, Any]
    error: Floats = field(repr=False)
    read: dict[str, Any] = field(repr=False)
    named: dict[str, str | list[str]]


def assess_performance(
    *,
    y_true: Any,
    y_pred: Any = None,
    y_score: Any = None,
    task: Task = "binary",
    classes: Sequence[Any] | None = None,
    sensitive_features: Any = None,
    slice_by: Any = None,
    costs: Costs | None = None,
    pos_label: Any = None,
    threshold: float = 0.5,
    quantile: float = 0.9,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int | None = None,
) -> PerformanceReport:
    """Measure how well a model predicts.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels; of a regression, the target.
    y_pred : array-like of shape (n,), optional
        Predicted labels, by default ``y_score >= threshold``, or the most probable class; of a regression, predictions.
    y_score : array-like of shape (n,) or (n, classes), optional
        Probabilities: of the positive class; of several classes, a data frame or dict by class, or an array with ``classes``.
    task : {'binary', 'multiclass', 'regression'}
        What the model does; never guessed from the data.
    classes : sequence of label, optional
        What the columns of an array ``y_score`` of several classes are.
    sensitive_features : data frame, column or dict of columns, optional
        Groups to measure as well, one attribute at a time.
    slice_by : data frame, column or dict of columns, optional
        Columns by which the slice where the model errs most is searched: on one half of the rows, and measured on the other.
    costs : Costs, optional
        What wrong decisions of a binary classifier cost: adds their mean, what it saves, and with scores the threshold that costs least,
        chosen on one half and measured on the other.
    pos_label : object, optional
        Which of two labels is positive; needed unless labels are 0 and 1.
    threshold : float, default 0.5
        Used only without ``y_pred``.
    quantile : float in (0, 1), default 0.9
        Of ``mean_pinball_loss``, of a regression.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        A smaller group's, or slice's, numbers are ``insufficient``.
    seed : int, optional
        Of the halves, by default 0; nothing else is random.

    Returns
    -------
    PerformanceReport

    Raises
    ------
    DataError
        If neither predictions nor scores are given, a column cannot be used, or an option is out of its range or does not go with the
        task.
    """
    check_levels(confidence, min_group_size, seed)
    if task not in get_args(Task):
        raise DataError(f"the task is {task!r}", expected=f"one of {', '.join(get_args(Task))}")
    _check_options(
        task,
        {
            "costs": costs,
            "pos_label": pos_label,
            "classes": classes,
            "y_score": y_score if task == "regression" else None,
        },
    )
    columns: dict[str, Any] = {"y_true": y_true, "y_pred": y_pred, "y_score": y_score}
    common: dict[str, Any] = {
        "sensitive_features": sensitive_features, "confidence": confidence, "minimum": min_group_size,
    }  # fmt: skip
    split = 0 if seed is None else seed
    if task == "binary":
        found = _binary(**columns, **common, pos_label=pos_label, threshold=threshold, costs=costs, seed=split)
    elif task == "multiclass":
        found = _multiclass(**columns, **common, classes=classes)
    else:
        found = _regression(y_true=y_true, y_pred=y_pred, **common, quantile=quantile)
    if slice_by is not None:
        searched = weak_slices.search(
            slice_by, found.error, rate=task != "regression", confidence=confidence, min_group_size=min_group_size, seed=split
        )  # fmt: skip
        found.measurements.extend(searched.measurements)
        found.details["weak_slices"] = searched.to_dict(confidence)
    name = str(getattr(y_true, "name", None) or "y_true")
    return PerformanceReport(
        measurements=tuple(found.measurements),
        details=found.details,
        columns={"y_true": name, **found.named},
        confidence=confidence,
        min_group_size=min_group_size,
        seed=split if slice_by is not None or costs is not None else seed,
        source=lambda: digest_of("columns of the performance report", **found.read),
    )


def _check_options(task: Task, given: Mapping[str, Any]) -> None:
    only = {"costs": "binary", "pos_label": "binary", "classes": "multiclass", "y_score": "binary or multiclass"}
    for name, value in given.items():
        if value is not None and task not in only[name]:
            raise DataError(f"{name} was given for a {task} model", expected=f"{name} with a {only[name]} one only")


# --- several classes, and numbers ---------------------------------------------------------------------------


def _multiclass(
    *, y_true: Any, y_pred: Any, y_score: Any, sensitive_features: Any, confidence: float, minimum: int, classes: Any
) -> _Measured:
    rows = performance_classes.read(y_true, y_pred, y_score, classes)
    coded = {} if sensitive_features is None else sensitive.read(sensitive_features, len(rows.true))
    made: list[Measurement] = []
    for by, group, own in performance_classes.groups(coded, rows):
        made += performance_classes.measure(own, by, group, confidence, minimum if by else 1)
    k = len(rows.classes)
    matrix = np.bincount(rows.true * k + rows.predicted, minlength=k * k).reshape(k, k)
    names = np.asarray(rows.classes, dtype=object)
    scores = {} if rows.score is None else {f"score: {name}": rows.score[:, at] for at, name in enumerate(rows.classes)}
    return _Measured(
        measurements=made,
        details={"task": "multiclass", "classes": list(rows.classes), "matrix": matrix.tolist() if k <= 20 else None},
        error=(rows.true != rows.predicted).astype(np.float64),
        read={"y_true": names[rows.true], "y_pred": names[rows.predicted], **scores},
        named={"sensitive_features": list(coded), "classes": list(rows.classes)},
    )


def _regression(
    *, y_true: Any, y_pred: Any, sensitive_features: Any, confidence: float, minimum: int, quantile: float
) -> _Measured:
    if y_pred is None:
        raise DataError("there are no predictions", expected="y_pred")
    true, predicted = labels.finite(y_true, "y_true"), labels.finite(y_pred, "y_pred")
    labels.same_length(y_true=true, y_pred=predicted)
    coded = {} if sensitive_features is None else sensitive.read(sensitive_features, len(true))
    return _Measured(
        measurements=performance_errors.measure(
            true, predicted, coded, quantile=quantile, confidence=confidence, minimum=minimum
        ),
        details={
            "task": "regression", "quantile": quantile, "fit": performance_errors.fit(true, predicted, confidence),
        },
        error=np.abs(predicted - true),
        read={"y_true": true, "y_pred": predicted},
        named={"sensitive_features": list(coded)},
    )  # fmt: skip


# --- two classes --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows of one group, or all of them."""

    by: tuple[str, ...]
    group: tuple[str, ...]
    true: Flags
    predicted: Flags
    score: Floats | None


def _binary(
    *,
    y_true: Any,
    y_pred: Any,
    y_score: Any,
    sensitive_features: Any,
    confidence: float,
    minimum: int,
    pos_label: Any,
    threshold: float,
    costs: Costs | None,
    seed: int,
) -> _Measured:
    if y_pred is None and y_score is None:
        raise DataError("there are neither predictions nor scores", expected="y_pred, y_score, or both")
    score = None if y_score is None else labels.scores(y_score)
    if y_pred is None:
        assert score is not None  # noqa: S101  one of the two is there
        true, positive = labels.binary(y_true, "y_true", pos_label)
        labels.same_length(y_true=true, y_score=score)
        predicted = labels.selected(score, threshold)
    else:
        true, predicted, positive = labels.pair(y_true, y_pred, pos_label)
        labels.same_length(y_true=true, y_score=score)
    whole = _Slice((), (), true, predicted, score)
    slices = [whole]
    coded = {} if sensitive_features is None else sensitive.read(sensitive_features, len(true))
    for name, (own, levels) in coded.items():
        for index, level in enumerate(levels):
            rows = own == index
            slices.append(
                _Slice((name,), (level,), true[rows], predicted[rows], None if score is None else score[rows])
            )
    made = [one for part in slices for one in _measure(part, confidence, minimum if part.by else 1)]
    details = _details(whole)
    if costs is not None:
        made += _costs(slices, details, costs, confidence, minimum, seed)
    return _Measured(
        measurements=made,
        details=details,
        error=(true != predicted).astype(np.float64),
        read={"y_true": true, "y_pred": predicted, "y_score": score},
        named={"sensitive_features": list(coded), "pos_label": str(positive)},
    )


_SCORED: dict[str, Callable[[Flags, Floats, tuple[str, ...]], Number]] = {
    "roc_auc": discrimination.roc_auc,
    "gini": discrimination.gini,
    "ks_statistic": discrimination.ks,
    "average_precision": discrimination.average_precision,
    "ece": calibration_error.ece,
    "mean_score_error": calibration_error.mean_score_error,
    "calibration_slope": calibration_error.calibration_slope,
}


def _measure(rows: _Slice, confidence: float, minimum: int) -> list[Measurement]:
    table = np.bincount(2 * rows.true.astype(np.int64) + rows.predicted, minlength=4).reshape(2, 2)
    counts, n = counts_of(table), len(rows.true)
    made = [rate_measurement(name, *counts[name], n, rows.by, rows.group, confidence, minimum) for name in RATE_METRICS]
    numbers = {
        name: replace(binary.number(name, table, n, rows.group, weighted=False), size=n)
        for name in ("balanced_accuracy", "f1")
    }
    if rows.score is not None:
        numbers |= {name: of(rows.true, rows.score, rows.group) for name, of in _SCORED.items()}
        numbers["brier_score"] = _brier(rows.true, rows.score, rows.group)
        numbers["log_loss"] = performance_classes.log_loss(
            np.where(rows.true == 1, rows.score, 1 - rows.score), rows.group
        )
    return made + [measured(name, rows.by, one, confidence, minimum) for name, one in numbers.items()]


def _costs(
    slices: Sequence[_Slice], details: dict[str, Any], stated: Costs, confidence: float, minimum: int, seed: int
) -> list[Measurement]:
    """Return the numbers under stated costs, and put the curve of the thresholds into the details."""
    made = [
        measured(name, part.by, of(part.true, part.predicted, stated, part.group), confidence, minimum)
        for part in slices
        for name, of in (("mean_cost", costs.mean_cost), ("cost_saving", costs.cost_saving))
    ]
    whole = slices[0]
    details["costs"] = {"false_positive": stated.false_positive, "false_negative": stated.false_negative}
    if whole.score is None:
        return made
    choice = costs.choose_threshold(whole.true, whole.predicted, whole.score, stated, seed=seed)
    if isinstance(choice, str):
        return made + [
            Measurement(metric=name, n=len(whole.true), status="undefined", reason=choice) for name in costs.CHOSEN
        ]
    details["threshold"] = choice.to_dict()
    return made + choice.measurements(confidence)


def _brier(true: Flags, score: Floats, group: tuple[str, ...]) -> Number:
    n = len(true)
    if not n:
        return Number(group=group, n=0, size=0, value=None, reason="no rows")
    made = calibration.brier_of((score - true) ** 2, (score - 1 + true) ** 2)
    bounds = made.bounds if math.isfinite(made.error) else None
    return Number(group=group, n=n, size=n, value=made.value, bounds=bounds, method="normal-mean-plus-two")


def _details(rows: _Slice) -> dict[str, Any]:
    table = np.bincount(2 * rows.true.astype(np.int64) + rows.predicted, minlength=4)
    tn, fp, fn, tp = (int(value) for value in table)
    details: dict[str, Any] = {"confusion": {"tn": tn, "fp": fp, "fn": fn, "tp": tp}}
    if rows.score is not None:
        details["calibration"] = _calibration(rows.true, rows.score)
        if 0 < fn + tp < len(rows.true):
            details["roc"] = _roc(rows.true, rows.score)
    return details


def _calibration(true: Flags, score: Floats) -> list[dict[str, Any]]:
    place = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(place, minlength=BINS)
    hits = np.bincount(place, weights=true, minlength=BINS)
    sums = np.bincount(place, weights=score, minlength=BINS)
    made = []
    for index in range(BINS):
        if n[index]:
            bounds = intervals.rate(float(hits[index]), float(n[index]), confidence=0.95, sides="two-sided")
            made.append(
                {
                    "from": index / BINS, "to": (index + 1) / BINS, "n": int(n[index]),
                    "mean_score": round(float(sums[index] / n[index]), 6), "rate": round(float(hits[index] / n[index]), 6),
                    "lower": round(bounds.lower, 6), "upper": round(bounds.upper, 6),
                }
            )  # fmt: skip
    return made


def _roc(true: Flags, score: Floats) -> dict[str, list[float]]:
    order = np.argsort(-score, kind="stable")
    hits, ranked = true[order], score[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    tp = np.cumsum(hits)[last]
    fp = 1 + last - tp
    tpr = np.concatenate([[0.0], tp / tp[-1]])
    fpr = np.concatenate([[0.0], fp / fp[-1]])
    pick = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, ROC_POINTS), side="left").clip(0, len(fpr) - 1))
    return {"fpr": [round(float(v), 6) for v in fpr[pick]], "tpr": [round(float(v), 6) for v in tpr[pick]]}
