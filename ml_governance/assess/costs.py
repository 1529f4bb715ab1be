"""What decisions cost under stated costs, and which threshold costs least: chosen on one half of the rows, measured on the other.

A threshold that is chosen and measured on the same rows looks better than it is. So the rows are split in two by a seed; the
threshold with the smallest mean cost on one half is measured on the other, where it is one threshold like any other.

The interval of a mean cost combines Wilson's bounds of the shares of each kind of row by the method of variance estimates recovery,
with the correlation of shares of the same rows. The interval of the best threshold is the range of all thresholds that are not shown
to cost more than the chosen one, each tested by itself: the best one is among them with the stated confidence, since it is one of them,
and how many are tested does not matter. A bootstrap of the best threshold does not hold: it is a maximum whose estimate moves with the
cube root of the rows.

Sources: Elkan, IJCAI 2001, 973, on costs; Vickers and Elkin, Medical Decision Making 26 (2006) 565, on deciding for all or for none;
Zou and Donner, Statistics in Medicine 27 (2008) 1693, on the intervals; Kim and Pollard, Annals of Statistics 18 (1990) 191, on the
cube root.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import Number, measured
from ml_governance.assess.halves import halves
from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Flags, Floats
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

THRESHOLDS = np.arange(201) / 200
"""Which thresholds are tried; a row is selected if its score is at least the threshold."""
METHOD = "mover-multinomial"
CHOSEN = ("chosen_threshold", "chosen_threshold_cost", "chosen_threshold_gain")
"""What is measured of a threshold that was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one wrong decision costs, in any unit; right ones cost nothing.

    Parameters
    ----------
    false_positive, false_negative : float
        0 or more, not both 0.

    Raises
    ------
    DataError
        If a cost is negative, NaN or infinite, or both are 0.
    """

    false_positive: float
    false_negative: float

    def __post_init__(self) -> None:
        both = (self.false_positive, self.false_negative)
        if not all(math.isfinite(one) and one >= 0 for one in both) or not any(both):
            raise DataError(
                f"the costs of a false positive and a false negative are {both[0]} and {both[1]}",
                expected="finite numbers of 0 or more, not both 0",
            )

    @property
    def threshold(self) -> float:
        """The threshold that costs least if scores are probabilities: fp / (fp + fn) (Elkan 2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdChoice:
    """The threshold that costs least, and what it costs on rows that had no part in the choice.

    Parameters
    ----------
    costs : Costs
        The stated costs.
    threshold : float
        Chosen on one half.
    thresholds, searched, confirmed : array of float64, shape (thresholds,)
        All that were tried, and the mean cost of each on the half that was searched and on the other.
    numbers : mapping of str to Number
        Those of :data:`CHOSEN`, of the other half.
    seed : int
        Of the split.
    """

    costs: Costs
    threshold: float
    thresholds: Floats = field(repr=False)
    searched: Floats = field(repr=False)
    confirmed: Floats = field(repr=False)
    numbers: dict[str, Number] = field(repr=False)
    seed: int

    def measurements(self, confidence: float) -> list[Measurement]:
        """Return the numbers as they are reported."""
        return [measured(name, (), one, confidence, 1) for name, one in self.numbers.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, for drawing."""
        return {
            "costs": {"false_positive": self.costs.false_positive, "false_negative": self.costs.false_negative},
            "threshold": self.threshold, "seed": self.seed, "thresholds": self.thresholds.tolist(),
            "searched": [round(one, 9) for one in self.searched.tolist()],
            "confirmed": [round(one, 9) for one in self.confirmed.tolist()],
        }  # fmt: skip


def mean_cost(true: Flags, predicted: Flags, costs: Costs, group: tuple[str, ...] = ()) -> Number:
    """Return (c_fp FP + c_fn FN) / N, in the unit of the costs; undefined without rows."""
    _, fp, fn, _ = _table(true, predicted)
    return combination((fp, fn), (costs.false_positive, costs.false_negative), len(true), group)


def cost_saving(true: Flags, predicted: Flags, costs: Costs, group: tuple[str, ...] = ()) -> Number:
    """Return what the decisions save against deciding for all or for none, whichever costs less; undefined without rows.

    Formula: min(c_fn TP - c_fp FP, c_fp TN - c_fn FN) / N. The lower bound is the smaller of two, since the saving is above its
    bound against both; the upper one takes each at half the error.
    """
    tn, fp, fn, tp = _table(true, predicted)
    n = len(true)
    none = combination((tp, fp), (costs.false_negative, -costs.false_positive), n, group)
    every = combination((tn, fn), (costs.false_positive, -costs.false_negative), n, group)
    pair = [(one.value, one.bounds) for one in (none, every) if one.value is not None and one.bounds is not None]
    if len(pair) < 2:
        return none

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = 1 - (1 - confidence) / 2
        return min(of(confidence, sides)[0] for _, of in pair), min(of(half, sides)[1] for _, of in pair)

    return Number(group=group, n=n, size=n, value=min(value for value, _ in pair), bounds=bounds, method=METHOD)


def choose_threshold(
    true: Flags, predicted: Flags, score: Floats, costs: Costs, *, seed: int = 0
) -> ThresholdChoice | str:
    """Choose a threshold on one half of the rows and measure it on the other.

    Parameters
    ----------
    true, predicted : array of uint8, shape (n,)
        Labels, and the decisions that the chosen threshold is compared with.
    score : array of float64, shape (n,)
        In [0, 1].
    costs : Costs
        What wrong decisions cost.
    seed : int, default 0
        Of the split.

    Returns
    -------
    ThresholdChoice or str
        Or why there is none: a half lacks a class.
    """
    searched = halves(len(true), seed)
    rest = ~searched
    for own in (searched, rest):
        if len(np.unique(true[own])) < 2:
            return f"one half of the {len(true)} rows has only one class"
    on_searched, on_rest = (_curve(true[own], score[own], costs) for own in (searched, rest))
    best = np.flatnonzero(on_searched <= on_searched.min() + 1e-12)
    at = int(best[np.argmin(np.abs(THRESHOLDS[best] - costs.threshold))])
    chosen, y, s = float(THRESHOLDS[at]), true[rest], score[rest]
    selected = (s >= chosen).astype(np.uint8)
    return ThresholdChoice(
        costs=costs, threshold=chosen, thresholds=THRESHOLDS, searched=on_searched, confirmed=on_rest, seed=seed,
        numbers={
            "chosen_threshold": _among(y, s, chosen, costs),
            "chosen_threshold_cost": mean_cost(y, selected, costs),
            "chosen_threshold_gain": _more(y, predicted[rest], selected, costs),
        },
    )  # fmt: skip


def _among(true: Flags, score: Floats, chosen: float, costs: Costs) -> Number:
    """Return the chosen threshold, with the range of those that are not shown to cost more."""
    negatives, positives = _below(true, score)
    at = int(np.flatnonzero(chosen == THRESHOLDS)[0])
    differences = []
    for less, fewer in zip((negatives[at] - negatives).tolist(), (positives[at] - positives).tolist(), strict=True):
        # A lower threshold than the chosen one selects so many negatives and positives more, a higher one as many fewer.
        side = -1.0 if less < 0 or fewer < 0 else 1.0
        weights = (side * costs.false_positive, -side * costs.false_negative)
        differences.append(combination((abs(less), abs(fewer)), weights, len(true)))

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        kept = [
            float(threshold)
            for threshold, one in zip(THRESHOLDS, differences, strict=True)
            if one.bounds is None or one.bounds(confidence, sides)[0] <= 0
        ]
        return min([*kept, chosen]), max([*kept, chosen])

    return Number(group=(), n=len(true), size=len(true), value=chosen, bounds=bounds, method="not-shown-worse")


def _more(true: Flags, one: Flags, other: Flags, costs: Costs) -> Number:
    """Return how much more one set of decisions costs than another on the same rows, in the mean."""
    cell = np.bincount(4 * true.astype(np.int64) + 2 * one + other, minlength=8)
    fp, fn = costs.false_positive, costs.false_negative
    # One alone selects a negative, the other alone does; the other alone finds a positive, one alone does.
    return combination(cell[[2, 1, 5, 6]].tolist(), (fp, -fp, fn, -fn), len(true))


def combination(counts: Sequence[float], weights: Sequence[float], n: int, group: tuple[str, ...] = ()) -> Number:
    """Return sum_i w_i k_i / n, with bounds, of counts k_i of different kinds of the same n rows.

    Bounds: Wilson's of every share, combined by MOVER. Where two terms pull apart, the correlation of multinomial shares, -sqrt(p_i p_j
    / ((1 - p_i)(1 - p_j))), widens them; it is taken with one row of each kind more, since a kind that was not seen may exist. Where
    they pull together it would narrow them, and is left out.

    Parameters
    ----------
    counts, weights : sequence of float
        Rows of each kind, and what one of it weighs.
    n : int
        Rows.
    group : tuple of str
        Whose they are.
    """
    if not n:
        return Number(group=group, n=0, size=0, value=None, reason="no rows")
    parts = [(k, w) for k, w in zip(counts, weights, strict=True) if w]
    value = math.fsum(w * k for k, w in parts) / n

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        each = [intervals.rate(float(k), float(n), confidence=confidence, sides=sides) for k, _ in parts]
        down = [w * (k / n - (one.lower if w > 0 else one.upper)) for (k, w), one in zip(parts, each, strict=True)]
        up = [w * ((one.upper if w > 0 else one.lower) - k / n) for (k, w), one in zip(parts, each, strict=True)]
        return value - _joined(down, parts, n), value + _joined(up, parts, n)

    return Number(group=group, n=n, size=n, value=value, bounds=bounds, method=METHOD)


def _joined(reach: Sequence[float], parts: Sequence[tuple[float, float]], n: int) -> float:
    """Return how far a sum reaches whose terms reach so far each."""
    square = math.fsum(one * one for one in reach)
    for (i, (k, w)), (j, (m, v)) in combinations(enumerate(parts), 2):
        if w * v < 0:
            p, q = (k + 1) / (n + 2), (m + 1) / (n + 2)
            square += 2 * min(1.0, math.sqrt(p * q / ((1 - p) * (1 - q)))) * reach[i] * reach[j]
    return math.sqrt(square)


def _table(true: Flags, predicted: Flags) -> tuple[float, float, float, float]:
    tn, fp, fn, tp = np.bincount(2 * true.astype(np.int64) + predicted, minlength=4).tolist()
    return tn, fp, fn, tp


def _curve(true: Flags, score: Floats, costs: Costs) -> Floats:
    """Return the mean cost at every threshold."""
    negatives, positives = _below(true, score)
    selected = int((true == 0).sum()) - negatives
    curve: Floats = (costs.false_positive * selected + costs.false_negative * positives) / len(true)
    return curve


def _below(true: Flags, score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many negatives, and how many positives, score below each threshold."""
    below = [np.searchsorted(np.sort(score[true == flag]), THRESHOLDS).astype(np.int64) for flag in (0, 1)]
    return below[0], below[1]
