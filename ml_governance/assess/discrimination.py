"""How well scores tell the classes apart: AUC, Gini coefficient, Kolmogorov-Smirnov distance and average precision.

Intervals: AUC, and Gini as twice it less 1, by :func:`ml_governance.assess.roc.auc_bounds`; the distance, a maximum that is never 0
by chance, by the projection of the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant; average precision on the
logit scale, as if it were a rate of the positives, which held in 93 to 99 % of samples in tests/assess/test_discrimination.py.

Sources: Hanley and McNeil, Radiology 143 (1982) 29; Massart, Annals of Probability 18 (1990) 1269; Boyd, Eng and Page, ECML 2013, 451.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import ranks, roc
from ml_governance.assess.contrasts import Number
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from ml_governance.assess.labels import Flags, Floats
    from ml_governance.evidence.intervals import Sides

ONE_CLASS = "only one class is present"


def roc_auc(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return P(score of a positive > score of a negative) + P(equal) / 2, 0 to 1; undefined with one class."""
    m = int(true.sum())
    n = len(true) - m
    common: dict[str, Any] = {"group": group, "n": len(true), "size": len(true)}
    if not m or not n:
        return Number(**common, value=None, reason=ONE_CLASS)
    found = ranks.exact_auc(true, score)
    value = float(found.value[0])
    bounds, method = roc.auc_bounds(value, float(found.variance[0]), m, n)
    return Number(**common, value=value, bounds=bounds, method=method)


def gini(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return 2 AUC - 1, -1 to 1, also called accuracy ratio or Somers' D; undefined with one class."""
    auc = roc_auc(true, score, group)
    of = auc.bounds
    if auc.value is None or of is None:
        return auc

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        lower, upper = of(confidence, sides)
        return 2 * lower - 1, 2 * upper - 1

    return Number(group=group, n=auc.n, size=auc.size, value=2 * auc.value - 1, bounds=bounds, method=auc.method)


def ks(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return the largest distance between the score distributions of the classes, 0 to 1; undefined with one class."""
    m = int(true.sum())
    n = len(true) - m
    common: dict[str, Any] = {"group": group, "n": len(true), "size": len(true)}
    if not m or not n:
        return Number(**common, value=None, reason=ONE_CLASS)
    order = np.argsort(score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    positives = np.cumsum(true[order])[last]
    value = float(np.abs(positives / m - (last + 1 - positives) / n).max())

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        del sides  # the inequality is two-sided; a one-sided claim is held the better
        slack = sum(math.sqrt(math.log(4 / (1 - confidence)) / (2 * rows)) for rows in (m, n))
        return max(0.0, value - slack), min(1.0, value + slack)

    return Number(**common, value=value, bounds=bounds, method="dkw-massart")


def average_precision(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return the mean, over positives, of the precision at their score, 0 to 1; undefined without positives.

    Rows of one score count together. Bounds: Boyd, Eng and Page's on the logit scale, with the number of positives for rows; none
    where it is 1.
    """
    m = int(true.sum())
    common: dict[str, Any] = {"group": group, "n": len(true), "size": m}
    if not m:
        return Number(**common, value=None, reason="no row is positive")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    found = np.cumsum(true[order])[last].astype(np.float64)
    precision = found / (last + 1)
    value = min(1.0, float(precision @ np.diff(found, prepend=0.0)) / m)
    if not value < 1:
        return Number(**common, value=value, reason="no interval: every positive scores above every negative")
    centre, error = math.log(value / (1 - value)), 1 / math.sqrt(m * value * (1 - value))

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * error
        return intervals.logistic(centre - half), intervals.logistic(centre + half)

    return Number(**common, value=value, bounds=bounds, method="logit-positives")
