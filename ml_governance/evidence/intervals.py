"""Confidence intervals from counts, in plain arithmetic.

These stand in the evidence layer because two readers must get the same number from one formula: the assessor that
reports an interval, and the gate that computes it again from the signed counts before it believes it.

``sides`` says what a confidence means. ``two-sided``: both bounds hold together with that confidence.
``one-sided``: *each* bound alone holds with it.

Sources: Wilson, JASA 22 (1927) 209; Newcombe, Statistics in Medicine 17 (1998) 873, method 10; Koopman,
Biometrics 40 (1984) 513, for the ratio; Berger, Technometrics 24 (1982) 295, for intersection-union tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Sides = Literal["two-sided", "one-sided"]
_STEPS = 200
_LARGEST = 700.0
"""Logarithm of a ratio, or of odds, beyond which there is no bound."""


class Bounds(NamedTuple):
    """Lower and upper bound."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """A comparison of all groups with each other.

    Parameters
    ----------
    value : float
        Smallest over largest, or largest minus smallest.
    lower, upper : float
        Bounds of it.
    low, high : int
        Positions of the groups with the smallest and the largest rate.
    """

    value: float
    lower: float
    upper: float
    low: int
    high: int


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)): from the scale of log odds back to that of chances."""
    return 1 / (1 + math.exp(-x)) if x > -_LARGEST else 0.0


@lru_cache(maxsize=256)
def quantile(confidence: float, sides: Sides) -> float:
    """Return the normal quantile that belongs to a confidence.

    Raises
    ------
    DataError
        If the confidence is not between 0 and 1; or one-sided and under 1/2, where a bound lies beyond its estimate and
        fails more often than it holds.
    """
    if not 0 < confidence < 1:
        raise DataError(f"the confidence is {confidence}", expected="a number between 0 and 1")
    if sides == "one-sided" and confidence < 0.5:
        raise DataError(
            f"the one-sided confidence is {confidence}: such a bound fails more often than it holds",
            expected="a number from 0.5 to 1",
            next_step="state the confidence that the bound holds, such as 0.95",
        )
    tail = (1 - confidence) / (2 if sides == "two-sided" else 1)
    return NormalDist().inv_cdf(1 - tail)


def rate(k: float, n: float, *, confidence: float, sides: Sides) -> Bounds:
    """Return Wilson's score interval of k out of n.

    Raises
    ------
    DataError
        If not ``0 <= k <= n`` or n is 0.
    """
    _counts(k, n)
    return _wilson(k, n, quantile(confidence, sides))


@lru_cache(maxsize=65536)
def _wilson(k: float, n: float, z: float) -> Bounds:
    p, z2 = k / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the edges the formula gives 0 and 1 exactly, but floating point does not.
    return Bounds(0.0 if k == 0 else max(0.0, centre - half), 1.0 if k == n else min(1.0, centre + half))


def difference(k1: float, n1: float, k2: float, n2: float, *, confidence: float, sides: Sides) -> Bounds:
    """Return Newcombe's hybrid score interval of k1/n1 - k2/n2."""
    _counts(k1, n1)
    _counts(k2, n2)
    return _newcombe(k1, n1, k2, n2, quantile(confidence, sides))


def _newcombe(k1: float, n1: float, k2: float, n2: float, z: float) -> Bounds:
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = _wilson(k1, n1, z), _wilson(k2, n2, z)
    gap = p1 - p2
    return Bounds(
        max(-1.0, gap - math.hypot(p1 - l1, u2 - p2)),
        min(1.0, gap + math.hypot(u1 - p1, p2 - l2)),
    )


def ratio(k1: float, n1: float, k2: float, n2: float, *, confidence: float, sides: Sides) -> Bounds:
    """Return Koopman's score interval of (k1/n1) / (k2/n2); the upper bound is infinite where k2 is 0.

    The bounds are the ratios at which the score statistic, with the rates fitted under that ratio, equals
    the squared normal quantile.
    """
    _counts(k1, n1)
    _counts(k2, n2)
    z = quantile(confidence, sides)
    return Bounds(_ratio_lower(k1, n1, k2, n2, z), _ratio_upper(k1, n1, k2, n2, z))


@lru_cache(maxsize=65536)
def _ratio_lower(k1: float, n1: float, k2: float, n2: float, z: float) -> float:
    if k1 == 0:
        return 0.0
    # ratio >= x exactly when the inverse ratio <= 1/x: one search serves both bounds.
    return 1 / _ratio_upper(k2, n2, k1, n1, z)


@lru_cache(maxsize=65536)
def _ratio_upper(k1: float, n1: float, k2: float, n2: float, z: float) -> float:
    if k2 == 0:
        return math.inf

    def excess(log_ratio: float) -> float:
        return _score(k1, n1, k2, n2, math.exp(log_ratio)) - z

    low = math.log(max(k1, 0.5) / n1 * n2 / k2)
    at_low = -z if k1 >= 0.5 else excess(low)  # the score of the ratio itself is 0
    step = 1.2 * z * math.sqrt(max(1 / max(k1, 0.5) - 1 / n1, 0) + max(1 / k2 - 1 / n2, 0)) + 1e-9
    at_high = 0.0
    while at_high <= 0:
        if step > _STEPS or low + step > _LARGEST:
            return math.inf
        at_high, high = excess(low + step), low + step
        step *= 2
    if at_low > 0:  # only where there is no whole case and the start was a guess
        high, at_high = low, at_low
        low -= _STEPS
        at_low = excess(low)
    return math.exp(_root(excess, low, at_low, high, at_high))


def _root(function: Callable[[float], float], low: float, at_low: float, high: float, at_high: float) -> float:
    """Return where a rising function crosses 0: false position after Illinois, halving where it is infinite."""
    kept = 0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if high - low < 1e-13 * max(1.0, abs(high)):
            break
        if math.isfinite(at_high):
            guess = high - at_high * (high - low) / (at_high - at_low)
            middle = guess if low < guess < high else middle
        at_middle = function(middle)
        if abs(at_middle) < 1e-14:
            return middle
        if at_middle > 0:
            high, at_high = middle, at_middle
            at_low = at_low / 2 if kept > 0 else at_low
            kept = 1
        else:
            low, at_low = middle, at_middle
            at_high = at_high / 2 if kept < 0 else at_high
            kept = -1
    return high


def _score(k1: float, n1: float, k2: float, n2: float, theta: float) -> float:
    """Return the signed root of the score chi-square of p1 = theta * p2 (Koopman 1984, equation 2.2); it rises with theta."""
    # The restricted estimate of p2 solves a x^2 - b x + c = 0, with a = theta (n1 + n2), b = first + second and
    # c = k1 + k2; the smaller root is the feasible one. Its discriminant, as a sum of what is never negative:
    first, second = theta * (n1 + k2), k1 + n2
    apart = first - second
    root = math.sqrt(apart * apart + 4 * theta * (n1 - k1) * (n2 - k2))
    p2 = 2 * (k1 + k2) / (first + second + root)  # the same root without cancellation
    p1 = theta * p2
    if p1 >= 1.0:
        if k1 < n1 * (1 - 1e-12):  # not by rounding alone
            return math.inf
        p1 = 1.0
    # theta k2/n2 - k1/n1 over its standard error under the hypothesis.
    gap = theta * k2 / n2 - k1 / n1
    variance = p1 * (1 - p1) / n1 + theta * theta * p2 * (1 - p2) / n2
    if variance <= 0:
        return 0.0 if abs(gap) < 1e-15 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def worst_ratio(
    counts: Sequence[tuple[float, float]], *, confidence: float, sides: Sides, multiplicity: int = 1
) -> Worst:
    """Return the smallest rate over the largest, with bounds that hold for it.

    Parameters
    ----------
    counts : sequence of (k, n)
        Two groups or more.
    confidence : float in (0, 1)
        Level.
    sides : {'two-sided', 'one-sided'}
        What the level means.
    multiplicity : int, default 1
        How many such comparisons are looked at together, as the two of equalized odds.

    Returns
    -------
    Worst
        ``lower``: the smallest pairwise lower bound. "Every pair's ratio is above r" is an intersection-union
        claim, so each pair is tested at the full level. ``upper``: the smallest pairwise upper bound at the
        level divided by the number of ordered pairs, because the claim "some group is below r times another"
        looks at all of them, each way round. Pairs in which less than one case, or one non-case, is expected in the
        smaller group say nothing here: one stray case there would look like proof.

    Raises
    ------
    DataError
        With fewer than two groups, a group without rows, or no selected row in any group (0/0).
    """
    rates, low, high = _extremes(counts)
    if rates[high] == 0:
        raise DataError("no group has a single case, so the ratio is 0/0", expected="at least one case in one group")
    value = rates[low] / rates[high]
    z_each, z_all = _levels(len(counts) * (len(counts) - 1) * multiplicity, confidence, sides)
    lower = 0.0 if rates[low] == 0 else 1 / _largest_upper(counts, rates, low, high, z_each)
    upper = _smallest_upper(counts, rates, low, high, z_all)
    return Worst(value=value, lower=min(lower, value), upper=max(upper, value), low=low, high=high)


def _largest_upper(
    counts: Sequence[tuple[float, float]], rates: Sequence[float], low: int, high: int, z: float
) -> float:
    """Return the largest upper bound of any pair's ratio; no k is 0."""
    best, z2 = 0.0 if low == high else _ratio_upper(*counts[high], *counts[low], z), z * z
    bounds = [_wilson(k, n, z) for k, n in counts]
    lowest = sorted(range(len(counts)), key=lambda j: bounds[j].lower)
    for i, (k1, n1) in enumerate(counts):
        reach = bounds[i].upper
        for j in lowest:
            # Koopman's statistic is Pearson's, a sum over both groups: beyond u1 / l2 one summand alone is too large, so
            # no bound lies there. Of the rest, one score tells whether the bound is beyond the best so far.
            if reach <= best * bounds[j].lower:
                break  # and so for all that follow
            k2, n2 = counts[j]
            gap = best * rates[j] - rates[i]
            # The variance is at most that of rates of 1/2.
            if i == j or (gap > 0 and 4 * gap * gap > z2 * (1 / n1 + best * best / n2)):
                continue
            if gap <= 0 or _score(k1, n1, k2, n2, best) <= z:
                best = max(best, _ratio_upper(k1, n1, k2, n2, z))
    return best


def _smallest_upper(
    counts: Sequence[tuple[float, float]], rates: Sequence[float], low: int, high: int, z: float
) -> float:
    """Return the smallest upper bound of any pair's ratio, at most 1."""
    best = 1.0
    if low != high and not _sparse(*counts[low], *counts[high]):
        best = min(1.0, _ratio_upper(*counts[low], *counts[high], z))
    ordered = sorted((rate, k, n) for rate, (k, n) in zip(rates, counts, strict=True))
    # Fitted rates lie between the observed ones, where p (1 - p) is no less than at one of the ends.
    least = z * z * min(rates[low] * (1 - rates[low]), rates[high] * (1 - rates[high]))
    for rate, k1, n1 in ordered:
        for other, k2, n2 in reversed(ordered):
            gap = best * other - rate
            if gap <= 0:
                break  # and so for all that follow: this ratio itself is not below the best bound
            if gap * gap <= least * (1 / n1 + best * best / n2):
                continue  # nor is its bound: the variance is at least that
            if _score(k1, n1, k2, n2, best) > z and not _sparse(k1, n1, k2, n2):
                best = min(best, _ratio_upper(k1, n1, k2, n2, z))
    return best


def worst_difference(
    counts: Sequence[tuple[float, float]], *, confidence: float, sides: Sides, multiplicity: int = 1
) -> Worst:
    """Return the largest rate minus the smallest, with bounds that hold for it.

    ``upper`` is the largest pairwise upper bound at the full level (intersection-union); ``lower`` the largest
    pairwise lower bound at the level divided by the number of ordered pairs, and at least 0. Sparse pairs are left out
    of the latter, as in :func:`worst_ratio`.

    Raises
    ------
    DataError
        With fewer than two groups or a group without rows.
    """
    rates, low, high = _extremes(counts)
    value = rates[high] - rates[low]
    z_each, z_all = _levels(len(counts) * (len(counts) - 1) * multiplicity, confidence, sides)
    each, all_ = ([_wilson(k, n, z) for k, n in counts] for z in (z_each, z_all))
    upper = min(1.0, _largest_gap(rates, each))
    lower = 0.0
    highest = sorted(range(len(counts)), key=lambda i: all_[i].lower, reverse=True)
    lowest = sorted(range(len(counts)), key=rates.__getitem__)
    for i in highest:
        for j in lowest:
            if all_[i].lower - rates[j] <= lower:
                break  # and so for all that follow: hypot is at least each of its sides
            if not _sparse(*counts[i], *counts[j]):
                gap = rates[i] - rates[j]
                lower = max(lower, gap - math.hypot(rates[i] - all_[i].lower, all_[j].upper - rates[j]))
    return Worst(value=value, lower=min(lower, value), upper=max(upper, value), low=low, high=high)


def _largest_gap(rates: Sequence[float], bounds: Sequence[Bounds]) -> float:
    """Return the largest upper bound of any pair's difference."""
    largest = -1.0
    highest = sorted(range(len(rates)), key=lambda i: bounds[i].upper, reverse=True)
    lowest = sorted(range(len(rates)), key=lambda j: bounds[j].lower)
    for i in highest:
        for j in lowest:
            if bounds[i].upper - bounds[j].lower <= largest:
                break  # and so for all that follow: hypot is at most the sum
            if i != j:
                gap = rates[i] - rates[j]
                largest = max(largest, gap + math.hypot(bounds[i].upper - rates[i], rates[j] - bounds[j].lower))
    return largest


def _sparse(k1: float, n1: float, k2: float, n2: float) -> bool:
    """Whether equal rates would let expect less than one case, or one non-case, in the smaller of two groups.

    Score intervals rest on the normal curve, and far out in its tail, where a level divided by 132 pairs looks, they fail
    there: the bounds of twelve groups held in 72 % of samples, not 95 % (benchmarks/coverage.py).
    """
    rate = (k1 + k2) / (n1 + n2)
    return min(n1, n2) * min(rate, 1 - rate) < 1


def _levels(family: int, confidence: float, sides: Sides) -> tuple[float, float]:
    return quantile(confidence, sides), quantile(1 - (1 - confidence) / family, sides)


def _extremes(counts: Sequence[tuple[float, float]]) -> tuple[list[float], int, int]:
    """Return all rates, and the positions of the smallest and of the largest."""
    if len(counts) < 2:
        raise DataError(f"there are {len(counts)} groups to compare", expected="two or more")
    for k, n in counts:
        _counts(k, n)
    rates = [k / n for k, n in counts]
    return rates, rates.index(min(rates)), rates.index(max(rates))


def _counts(k: float, n: float) -> None:
    if not (0 <= k <= n and 0 < n < math.inf):
        raise DataError(f"{k} out of {n} is no rate", expected="0 <= k <= n and n > 0")
