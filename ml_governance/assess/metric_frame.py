"""To fairlearn's ``MetricFrame``, for what is built on it: plots, tables, other libraries.

A ``MetricFrame`` wants rows and computes rates from them; here the rows are gone. So it is given one row for each cell
of the cube, with the cell's count (or sum of weights) as its sample weight, and rates that use nothing else. Hence:

- ``by_group`` and ``overall`` are those of the report, NaN where they are undefined, where fairlearn's own functions
  would say 0.0. ``difference()`` and ``ratio()`` leave NaN out, as fairlearn does: the typed ones of the report do not;
- ``n_boot`` must not be used: cells are not rows, so resampling them gives no interval.

There is no way back: a ``MetricFrame`` keeps neither rows nor counts. Give :func:`assess_fairness` its inputs.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.evidence.metrics import RATES, rate_counts

if TYPE_CHECKING:
    from fairlearn.metrics import MetricFrame

    from ml_governance.assess.cube import Cube


def of(cube: Cube) -> MetricFrame:
    """Return the rates of a cube as a ``MetricFrame``.

    Parameters
    ----------
    cube : Cube
        Counts by group, label and prediction.
    """
    import pandas as pd
    from fairlearn.metrics import MetricFrame

    cells = np.nonzero(cube.counts)
    *places, true, predicted = cells
    levels = {
        name: np.array(names, dtype=object)[place]
        for name, names, place in zip(cube.attributes, cube.levels, places, strict=True)
    }
    weight = (cube.counts if cube.weights is None else cube.weights)[cells].astype(np.float64)
    names = [metric.name for metric in RATES]
    return MetricFrame(
        metrics={name: partial(_rate, name=name) for name in names},
        y_true=true,
        y_pred=predicted,
        sensitive_features=pd.DataFrame(levels),
        sample_params={name: {"sample_weight": weight} for name in names},
    )


def _rate(y_true: Any, y_pred: Any, *, sample_weight: Any, name: str) -> float:
    """Return one rate of cells, NaN for 0/0."""
    true, predicted, weight = (np.asarray(values) for values in (y_true, y_pred, sample_weight))
    sums = [float(weight[(true == label) & (predicted == guess)].sum()) for label in (0, 1) for guess in (0, 1)]
    numerator, denominator = rate_counts(*sums)[name]
    return numerator / denominator if denominator > 0 else math.nan
