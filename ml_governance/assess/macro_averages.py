"""Averages over classes that weigh all classes alike, from one confusion matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import Number
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.evidence.intervals import Sides


def macro_recall(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of TP / (TP + FN); undefined if the group lacks a class.

    Range 0 to 1. Bounds: Wilson's of every class combined by MOVER; the classes' rows are different rows. Its size is that of
    the smallest class.
    """
    return _macro(matrix.diagonal(), matrix.sum(axis=1), matrix, group, classes, "has no row of")


def macro_precision(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of TP / (TP + FP); undefined if a class is never predicted for the group.

    Range 0 to 1. Bounds as :func:`macro_recall`.
    """
    return _macro(matrix.diagonal(), matrix.sum(axis=0), matrix, group, classes, "has no prediction of")


def macro_f1(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN); undefined if a class has neither rows nor predictions.

    Range 0 to 1. Bounds: the delta method on the multinomial counts; none where it gives no variance.
    """
    n = int(matrix.sum())
    common: dict[str, Any] = {"group": group, "n": n, "size": n}
    both = (matrix.sum(axis=0) + matrix.sum(axis=1)).astype(float)
    if (both == 0).any():
        lacking = classes[int(np.argmax(both == 0))]
        return Number(**common, value=None, reason=f"0/0: it has neither row nor prediction of {lacking}")
    f1 = 2 * matrix.diagonal() / both
    value, k = float(f1.mean()), len(classes)
    # F1 of class c has the derivative 2 [i = j = c] / b_c - F1_c ([i = c] + [j = c]) / b_c by the count of cell (i, j).
    slope = -(f1 / both)[:, None] - (f1 / both)[None, :] + np.diag(2 / both)
    variance = float((matrix * (slope / k) ** 2).sum() - (matrix * slope / k).sum() ** 2 / n)
    if variance <= 0:
        return Number(**common, value=value, reason="no interval: all predictions of every class are alike")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * math.sqrt(variance)
        return max(0.0, value - half), min(1.0, value + half)

    return Number(**common, value=value, bounds=bounds, method="delta-multinomial")


MACRO: dict[str, Callable[[NDArray[np.int64], tuple[str, ...], Sequence[str]], Number]] = {
    "macro_true_positive_rate": macro_recall,
    "macro_positive_predictive_value": macro_precision,
    "macro_f1": macro_f1,
}


def _macro(
    hits: NDArray[np.int64], of: NDArray[np.int64], matrix: NDArray[np.int64], group: tuple[str, ...],
    classes: Sequence[str], lacks: str,
) -> Number:  # fmt: skip
    n, smallest = int(matrix.sum()), int(of.min())
    if smallest == 0:
        return Number(group=group, n=n, size=0, value=None, reason=f"0/0: it {lacks} {classes[int(np.argmin(of))]}")
    rates = hits / of
    value = float(rates.mean())

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        each = [
            intervals.rate(float(k), float(m), confidence=confidence, sides=sides)
            for k, m in zip(hits, of, strict=True)
        ]
        low = math.hypot(*(rate - one.lower for rate, one in zip(rates, each, strict=True))) / len(of)
        high = math.hypot(*(one.upper - rate for rate, one in zip(rates, each, strict=True))) / len(of)
        return max(0.0, value - low), min(1.0, value + high)

    return Number(group=group, n=n, size=smallest, value=value, bounds=bounds, method="mover-wilson")
