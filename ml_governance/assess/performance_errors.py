"""Predictive performance of a regression: mean error, MAE, RMSE, R2 and quantile loss, overall and by group, and its fit.

The numbers and their intervals are those of :mod:`ml_governance.assess.regression`, over all rows and over each group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import means, regression
from ml_governance.assess.contrasts import measured

if TYPE_CHECKING:
    from ml_governance.assess.labels import Floats
    from ml_governance.assess.sensitive import Codes
    from ml_governance.evidence.predicates import Measurement

BINS = 10


def measure(
    true: Floats, predicted: Floats, coded: dict[str, Codes], *, quantile: float, confidence: float, minimum: int
) -> list[Measurement]:
    """Return every number over all rows, and of each group of each attribute."""
    sums = regression.add_up(true, predicted, coded, quantile=quantile)
    return [
        measured(name, by, regression.number(name, group, own, weighted=False), confidence, minimum if by else 1)
        for by in ((), *((name,) for name in coded))
        for group, own in sums.groups(by)
        for name in regression.METRIC_NAMES
    ]


def fit(true: Floats, predicted: Floats, confidence: float) -> list[dict[str, Any]]:
    """Return mean prediction and mean target, with Student's interval, in ten bins of as many predictions each."""
    edges = np.unique(np.quantile(predicted, np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, predicted, side="right")
    made = []
    for index in range(len(edges) + 1):
        own = true[place == index]
        if len(own):
            centre = float(own.mean())
            one: dict[str, Any] = {
                "n": len(own),
                "mean_prediction": float(predicted[place == index].mean()),
                "mean_target": centre,
            }
            if len(own) > 1:
                half = means.student(confidence, "two-sided", len(own) - 1) * float(own.std(ddof=1)) / len(own) ** 0.5
                one |= {"lower": centre - half, "upper": centre + half}
            made.append(one)
    return made
