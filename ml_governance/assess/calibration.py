"""Calibration from counts of scores by bin: reliability, calibration error with and without its bias, Brier score.

The expected calibration error is a sum of absolute values, so noise alone keeps it above 0: a perfectly calibrated score
has an error that falls only with the square root of the rows in a bin. What it would be is stated beside it, and so is the
error less an estimate of the part that noise adds. The estimate takes the measured gaps for the true ones, so of a perfectly
calibrated score something like half of the noise stays: compare with the error by chance before believing in a small one.

Sources: Naeini, Cooper and Hauskrecht, AAAI 2015, 2901, for the error; Kumar, Liang and Ma, NeurIPS 2019, for taking the
noise out of it, here with the mean of a folded normal in closed form in place of their draws; Brier, Monthly Weather Review
78 (1950) 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from ml_governance.assess.histogram import Histogram
    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calibration of one group in bins of equal width.

    Parameters
    ----------
    rows : array of float64, shape (bins,)
        Rows, or weights; bins without any are kept.
    score, rate : array of float64, shape (bins,)
        Mean score and share of positives; NaN in empty bins.
    ece : float
        Expected calibration error, 0 to 1.
    debiased : float or None
        The same less an estimate of what noise adds, at least 0; None where rows are weighted.
    by_chance : float or None
        Expected error of a perfectly calibrated score with these rows; None where rows are weighted.
    """

    rows: Floats = field(repr=False)
    score: Floats = field(repr=False)
    rate: Floats = field(repr=False)
    ece: float
    debiased: float | None
    by_chance: float | None

    def to_list(self, confidence: float) -> list[dict[str, Any]]:
        """Return the bins that have rows, with Wilson's interval of each rate, as plain values."""
        made = []
        for index, n in enumerate(self.rows):
            if n > 0:
                one: dict[str, Any] = {
                    "from": index / len(self.rows), "to": (index + 1) / len(self.rows), "n": float(n),
                    "mean_score": round(float(self.score[index]), 6), "rate": round(float(self.rate[index]), 6),
                }  # fmt: skip
                if self.debiased is not None:
                    k = float(round(self.rate[index] * n))
                    low, high = intervals.rate(k, float(n), confidence=confidence, sides="two-sided")
                    one |= {"n": int(n), "lower": round(low, 6), "upper": round(high, 6)}
                made.append(one)
        return made


def calibration(histogram: Histogram, bins: int = CALIBRATION_BINS) -> Calibration:
    """Return the reliability curve and the calibration error.

    Formula: ECE = sum_b n_b / N |d_b|, d_b = mean label - mean score of bin b. Debiased: max(0, 2 ECE - sum_b n_b / N
    E|d_b + e_b|) with e_b normal of variance r_b (1 - r_b) / n_b, r_b the share of positives. By chance: sum_b n_b / N
    sqrt(2 s_b (1 - s_b) / (pi n_b)), s_b the mean score.

    Parameters
    ----------
    histogram : Histogram
        Scores of one group.
    bins : int, default 15
        Bins of equal width; each holds its lower edge, the last one 1 as well.
    """
    width = histogram.counts.shape[1] // bins
    counts = histogram.counts.reshape(2, bins, width).sum(axis=2).astype(np.float64)
    rows = counts.sum(axis=0)
    score_sums = histogram.scores.sum(axis=0).reshape(bins, width).sum(axis=1)
    empty = np.full(bins, np.nan)
    score = np.divide(score_sums, rows, out=empty.copy(), where=rows > 0)
    rate = np.divide(counts[1], rows, out=empty.copy(), where=rows > 0)
    used = rows > 0
    n, gap, share = rows[used], np.abs(rate - score)[used], rows[used] / rows.sum()
    ece = float(share @ gap)
    debiased = by_chance = None
    if not histogram.weighted:
        noise = np.sqrt(rate[used] * (1 - rate[used]) / n)
        debiased = max(0.0, 2 * ece - float(share @ _folded(gap, noise)))
        s = np.clip(score[used], 0, 1)
        by_chance = float(share @ np.sqrt(2 * s * (1 - s) / (math.pi * n)))
    return Calibration(rows=rows, score=score, rate=rate, ece=ece, debiased=debiased, by_chance=by_chance)


def _folded(mean: Floats, deviation: Floats) -> Floats:
    """Return E|X| of normal X."""
    from scipy.special import erf

    z = np.divide(mean, deviation, out=np.full_like(mean, np.inf), where=deviation > 0)
    folded: Floats = deviation * math.sqrt(2 / math.pi) * np.exp(-z * z / 2) + mean * erf(z / math.sqrt(2))
    return folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Brier:
    """Brier score of one group.

    Parameters
    ----------
    value : float
        Mean squared error of the score, 0 to 1; exact up to the order of addition.
    centre, error : float
        What the bounds are made from: mean and standard error with one row more that came out as rows did, and one that came
        out the other way. Without them a few rare and large errors, or none yet, would look like certainty: of 100 rows with
        the score .01 the plain interval holds in 67 % of samples (compare Agresti and Caffo, American Statistician 54 (2000)
        280, for rates). NaN for one row or weighted rows.
    """

    value: float
    centre: float
    error: float

    def bounds(self, confidence: float, sides: Sides) -> tuple[float, float]:
        """Return the normal bounds of a mean, inside 0 and 1."""
        half = intervals.quantile(confidence, sides) * self.error
        return max(0.0, min(self.centre - half, self.value)), min(1.0, max(self.centre + half, self.value))


def brier(histogram: Histogram) -> Brier:
    """Return mean (score - label)^2 (Brier 1950); the spread inside a bin, at most (2 / bins)^2, is left out of its error."""
    counts, errors = histogram.counts.astype(np.float64), histogram.errors
    if histogram.weighted:
        return Brier(value=float(errors.sum() / counts.sum()), centre=math.nan, error=math.nan)
    used = counts > 0
    # (1 - s)^2 = 1 - 2 s + s^2 turns the error of one label into that of the other.
    turned = errors + np.array([[1.0], [-1.0]]) * (counts - 2 * histogram.scores)
    return brier_of(errors[used] / counts[used], turned[used] / counts[used], counts[used])


def brier_of(losses: Floats, turned: Floats, rows: Floats | None = None) -> Brier:
    """Return the Brier score of squared errors, given what they would be with the other label.

    Parameters
    ----------
    losses, turned : array of float64, shape (k,)
        Squared errors with the label that a row has, and with the other one.
    rows : array of float64, shape (k,), optional
        Rows that each stands for; default is one.
    """
    rows = np.ones_like(losses) if rows is None else rows
    n = float(rows.sum())
    value = float(rows @ losses) / n
    if n < 2:
        return Brier(value=value, centre=math.nan, error=math.nan)
    own, other = rows * (1 + 1 / n), rows / n
    centre = float(own @ losses + other @ turned) / (n + 2)
    variance = float(own @ (losses - centre) ** 2 + other @ (turned - centre) ** 2) / (n + 1)
    return Brier(value=value, centre=centre, error=math.sqrt(variance / (n + 2)))
