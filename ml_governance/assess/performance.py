"""Predictive performance: discrimination, calibration and errors, overall and by group, with intervals.

Intervals: Wilson for rates; for F1, Wilson on tp / (tp + fp + fn), of which F1 is a rising function; for balanced
accuracy, Wilson bounds of its two rates combined by the method of variance estimates recovery (Zou and Donner,
Statistics in Medicine 27 (2008) 1693); for ROC AUC, DeLong's variance on the logit scale (DeLong et al., Biometrics
44 (1988) 837) or Newcombe's score interval, whichever is wider, and where all pairs are ordered alike, Wilson on the smaller class; for
the Brier score, the normal interval of a mean with two rows more; for log loss, that of a plain mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import binary, calibration, labels, means, ranks, roc, sensitive
from ml_governance.assess.contrasts import both_sides, check_levels, measured
from ml_governance.assess.rates import counts_of, rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS
from ml_governance.evidence.predicates import Assessment, Interval, Measurement, Performance

if TYPE_CHECKING:
    from ml_governance.assess.labels import Flags, Floats

RATE_METRICS = tuple(m.name for (kind, _), m in METRICS.items() if kind == "performance" and m.form == "rate")
ROC_POINTS = 101
BINS = 10


@dataclass(frozen=True, kw_only=True, repr=False)
class PerformanceReport(Report):
    """Predictive performance, overall and by group."""

    kind: ClassVar[str] = "performance"
    content: ClassVar[type[Assessment]] = Performance


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows of one group, or all of them."""

    by: tuple[str, ...]
    group: tuple[str, ...]
    true: Flags
    predicted: Flags
    score: Floats | None


def assess_performance(
    *,
    y_true: Any,
    y_pred: Any = None,
    y_score: Any = None,
    sensitive_features: Any = None,
    pos_label: Any = None,
    threshold: float = 0.5,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int | None = None,
) -> PerformanceReport:
    """Measure a binary classifier.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels.
    y_pred : array-like of shape (n,), optional
        Predicted labels; default is ``y_score >= threshold``.
    y_score : array-like of shape (n,), optional
        Probabilities of the positive class; without them the score metrics are not measured.
    sensitive_features : data frame, column or dict of columns, optional
        Groups to measure as well, one attribute at a time.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    threshold : float, default 0.5
        Used only without ``y_pred``.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        A smaller group's numbers are ``insufficient``.
    seed : int, optional
        Recorded; nothing here is random.

    Returns
    -------
    PerformanceReport

    Raises
    ------
    DataError
        If neither predictions nor scores are given, or a column cannot be used.
    """
    check_levels(confidence, min_group_size)
    if y_pred is None and y_score is None:
        raise DataError("there are neither predictions nor scores", expected="y_pred, y_score, or both")
    score = None if y_score is None else labels.scores(y_score)
    if y_pred is None:
        assert score is not None  # noqa: S101  one of the two is there
        true, positive = labels.binary(y_true, "y_true", pos_label)
        labels.same_length(y_true=true, y_score=score)
        predicted = (score >= threshold).astype(np.uint8)
    else:
        true, predicted, positive = labels.pair(y_true, y_pred, pos_label)
        labels.same_length(y_true=true, y_score=score)
    slices = [_Slice((), (), true, predicted, score)]
    found = {} if sensitive_features is None else sensitive.read(sensitive_features, len(true))
    for name, (own, levels) in found.items():
        for index, level in enumerate(levels):
            rows = own == index
            slices.append(
                _Slice((name,), (level,), true[rows], predicted[rows], None if score is None else score[rows])
            )
    measurements: list[Measurement] = []
    for one in slices:
        measurements += _measure(one, confidence, 1 if not one.by else min_group_size)
    return PerformanceReport(
        measurements=tuple(measurements),
        details=_details(slices[0]),
        columns={
            "y_true": str(getattr(y_true, "name", None) or "y_true"),
            "sensitive_features": list(found),
            "pos_label": str(positive),
        },
        confidence=confidence,
        min_group_size=min_group_size,
        seed=seed,
        source=lambda: digest_of("columns of the performance report", y_true=true, y_pred=predicted, y_score=score),
    )


def _measure(rows: _Slice, confidence: float, minimum: int) -> list[Measurement]:
    table = np.bincount(2 * rows.true.astype(np.int64) + rows.predicted, minlength=4).reshape(2, 2)
    counts, n = counts_of(table), len(rows.true)
    made = [rate_measurement(name, *counts[name], n, rows.by, rows.group, confidence, minimum) for name in RATE_METRICS]
    for name in ("balanced_accuracy", "f1"):
        number = binary.number(name, table, n, rows.group, weighted=False)
        made.append(measured(name, rows.by, replace(number, size=n), confidence, minimum))
    if rows.score is not None:
        made.append(_auc(rows, confidence, minimum))
        made.append(_brier(rows, confidence, minimum))
        made.append(_log_loss(rows, confidence, minimum))
    return made


def _typed(
    name: str,
    rows: _Slice,
    minimum: int,
    value: float | None,
    made: tuple[Interval, ...] = (),
    reason: str | None = None,
) -> Measurement:
    n = len(rows.true)
    common: dict[str, Any] = {"metric": name, "by": rows.by, "group": rows.group, "n": n}
    if value is None:
        return Measurement(**common, status="undefined", reason=reason)
    if n < minimum:
        reason = f"{n} rows where {minimum} are required"
    return Measurement(
        **common,
        value=value,
        intervals=made,
        status="ok" if reason is None else "insufficient",
        reason=reason,
    )


def _auc(rows: _Slice, confidence: float, minimum: int) -> Measurement:
    assert rows.score is not None  # noqa: S101  the caller has checked
    m = int(rows.true.sum())
    n = len(rows.true) - m
    if not m or not n:
        return _typed("roc_auc", rows, minimum, None, reason="only one class is present")
    found = ranks.exact_auc(rows.true, rows.score)
    auc = float(found.value[0])
    bounds, method = roc.auc_bounds(auc, float(found.variance[0]), m, n)
    return _typed("roc_auc", rows, minimum, auc, both_sides(bounds, confidence, method))


def _mean(name: str, losses: Floats, rows: _Slice, confidence: float, minimum: int) -> Measurement:
    if not len(losses):
        return _typed(name, rows, minimum, None, reason="no rows")
    mean, second, third = (float((losses**power).mean()) for power in (1, 2, 3))

    def bounds(level: float, sides: intervals.Sides) -> tuple[float, float]:
        return means.positive(mean, second, third, len(losses), confidence=level, sides=sides)

    varies = len(losses) > 1 and second - mean**2 > means.ROUNDING * second
    return _typed(name, rows, minimum, mean, both_sides(bounds, confidence, means.METHOD) if varies else ())


def _brier(rows: _Slice, confidence: float, minimum: int) -> Measurement:
    assert rows.score is not None  # noqa: S101  the caller has checked
    if not len(rows.score):
        return _typed("brier_score", rows, minimum, None, reason="no rows")
    made = calibration.brier_of((rows.score - rows.true) ** 2, (rows.score - 1 + rows.true) ** 2)
    known = math.isfinite(made.error)
    found = both_sides(made.bounds, confidence, "normal-mean-plus-two") if known else ()
    return _typed("brier_score", rows, minimum, made.value, found)


def _log_loss(rows: _Slice, confidence: float, minimum: int) -> Measurement:
    assert rows.score is not None  # noqa: S101  the caller has checked
    chance = np.where(rows.true == 1, rows.score, 1 - rows.score)
    impossible = int((chance == 0).sum())
    if impossible:
        return _typed(
            "log_loss",
            rows,
            minimum,
            None,
            reason=f"{impossible} rows have a score that calls their label impossible",
        )
    return _mean("log_loss", -np.log(chance), rows, confidence, minimum)


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
