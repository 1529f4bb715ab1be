"""How far scores are from probabilities, with intervals that hold: calibration error, mean error, and slope.

The expected calibration error is the largest of the means of s (y - score) over all ways to give every bin a sign s, so it is a
maximum, and noise alone keeps it above 0: the percentile bootstrap of it holds the truth in 0 to 37 % of samples. Here:

- upper bound: the mean with the true signs is at most the measured error, so the error is above its bound no more often than that
  one mean is; its variance, E (y - score)^2 - ECE^2, is the same for all signs.
- lower bound: by the triangle inequality the measured error is too large by at most the sum of the absolute noise of the bins, whose
  quantile is simulated from the multinormal law of the bins' sums.

Every bin's variance is found with two positive and two negative rows more, as in Agresti and Coull's interval: without them a few rare
labels, or none yet, would look like certainty.

Sources: Naeini, Cooper and Hauskrecht, AAAI 2015, 2901, for the error; Agresti and Coull, American Statistician 52 (1998) 119; Cox,
Biometrika 45 (1958) 562, for the slope. How often the bounds hold is in tests/assess/test_calibration_error.py.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import calibration
from ml_governance.assess.calibration import CALIBRATION_BINS
from ml_governance.assess.contrasts import Number
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from ml_governance.assess.labels import Flags, Floats
    from ml_governance.evidence.intervals import Sides

REPLICATES = 10_000
SEED = 20_150_125
_ADDED = 2.0
_STEPS, _CLOSE, _STEEPEST = 50, 1e-10, 1e6


def ece(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return the expected calibration error in 15 bins of equal width; undefined without rows.

    Formula: sum_b n_b / N |mean y_b - mean s_b|, 0 to 1.

    Parameters
    ----------
    true : array of uint8, shape (n,)
        Flags of the positive class; of several classes, whether the prediction is right.
    score : array of float64, shape (n,)
        Probabilities; of several classes, that of the predicted one.
    group : tuple of str
        Whose rows these are.
    """
    n = len(true)
    if not n:
        return Number(group=group, n=0, size=0, value=None, reason="no rows")
    place = np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    error = true - score

    def total(weights: Floats | None = None) -> Floats:
        return np.bincount(place, weights=weights, minlength=CALIBRATION_BINS).astype(np.float64)

    rows = total()
    used = rows > 0
    rows, first, second, scores = rows[used], total(error)[used], total(error * error)[used], total(score)[used]
    share, gap, level = rows / n, first / rows, scores / rows
    value = float(share @ np.abs(gap))
    # Squared deviations of the rows, and of two positive and two negative ones more at the bin's mean score.
    more = _ADDED * ((1 - level - gap) ** 2 + (level + gap) ** 2)
    within = (second - rows * gap * gap + more) / (rows + 2 * _ADDED)
    spread = float(share @ (within + gap * gap)) - value**2

    @cache
    def noise() -> Floats:
        draws = np.random.default_rng(SEED)
        inside = draws.normal(size=(REPLICATES, len(rows))) * np.sqrt(share * within / n)
        shares = draws.normal(size=(REPLICATES, len(rows))) * np.sqrt(share)
        moved = (shares - shares.sum(axis=1, keepdims=True) * share) / math.sqrt(n) * gap
        summed: Floats = np.abs(inside + moved).sum(axis=1)
        return summed

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        tail = (1 - confidence) / (2 if sides == "two-sided" else 1)
        high = value + intervals.quantile(confidence, sides) * math.sqrt(max(spread, 0.0) / n)
        return max(0.0, value - float(np.quantile(noise(), 1 - tail))), min(1.0, high)

    return Number(group=group, n=n, size=n, value=value, bounds=bounds, method="signed-means")


def mean_score_error(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return mean score minus share of positives, -1 to 1: calibration in the large; undefined without rows.

    Bounds: normal, of a mean with one row more that came out as rows did and one that came out the other way.
    """
    n = len(true)
    if not n:
        return Number(group=group, n=0, size=0, value=None, reason="no rows")
    made = calibration.brier_of(score - true, score - 1 + true)
    if not math.isfinite(made.error):
        return Number(group=group, n=n, size=n, value=made.value, reason="no interval: there is one row")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * made.error
        return max(-1.0, min(made.centre - half, made.value)), min(1.0, max(made.centre + half, made.value))

    return Number(group=group, n=n, size=n, value=made.value, bounds=bounds, method="normal-mean-plus-two")


def calibration_slope(true: Flags, score: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return b of logit P(y) = a + b logit(score): 1 if calibrated, below 1 if scores are too extreme (Cox 1958).

    Undefined with one class, a score of exactly 0 or 1, scores that are all alike, and where the logits separate the classes.
    Bounds: Wald's.
    """
    n, positives = len(true), int(true.sum())
    common: dict[str, Any] = {"group": group, "n": n, "size": min(positives, n - positives)}
    if not positives or positives == n:
        return Number(**common, value=None, reason="only one class is present")
    ends = int(((score <= 0) | (score >= 1)).sum())
    if ends:
        return Number(**common, value=None, reason=f"{ends} rows have a score of 0 or 1, which has no logit")
    logit = np.log(score) - np.log1p(-score)
    if np.ptp(logit) <= _CLOSE:
        return Number(**common, value=None, reason="all scores are alike")
    found = _fitted(true, logit)
    if found is None:
        return Number(**common, value=None, reason="the scores separate the classes, so the slope has no limit")
    value, error = found

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * error
        return value - half, value + half

    return Number(**common, value=value, bounds=bounds, method="wald")


def _fitted(true: Flags, x: Floats) -> tuple[float, float] | None:
    """Return the slope of a logistic regression and its standard error, by Newton's method; None where it does not end."""
    middle, scale = float(x.mean()), float(x.std())
    design = np.column_stack([np.ones_like(x), (x - middle) / scale])
    found, before = np.zeros(2), math.inf
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        weight = chance * (1 - chance)
        information = design.T @ (design * weight[:, None])
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1 / _CLOSE:
            return None
        step = np.linalg.solve(information, design.T @ (true - chance))
        size = float(np.abs(step).max())
        found = found + (step if size <= before or size < 1 else step / 2)
        before = size
        if float(np.abs(found).max()) > _STEEPEST:
            return None
        if size < _CLOSE:
            error = math.sqrt(float(np.linalg.inv(information)[1, 1]))
            return float(found[1]) / scale, error / scale
    return None
