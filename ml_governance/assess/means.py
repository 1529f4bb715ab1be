"""Intervals of means of what is never negative and skewed, such as absolute errors, squared errors and log losses.

The t statistic of a mean of skewed values is skewed itself, and its spread and its skewness are found too small together:
Student's interval of a mean squared error misses too often, and always from below. Two remedies, and the wider bound of both:

- Student's interval on the logarithmic scale, where the skew is milder;
- Student's interval after Hall's cubic transformation, T + g T^2/3 + g^2 T^3/27 + g/6 with g = skewness / sqrt(n), which takes
  the skew out of the statistic and can be inverted exactly (Hall, JRSS B 54 (1992) 221).

Measured, 8,000 samples of 50 rows, 95 % intervals, by squares of errors: 95 % of them hold for normal errors, 93 % for exponential
ones (one scale alone: 90 %), 92 % for Student's t with 6 degrees of freedom (90 %). Absolute errors and log losses: 94 % and more.
Heavier tails are beyond them: squares of errors that follow Student's t with 4 degrees of freedom have no variance, and their
mean is held by 90 % of intervals of 50 or 100 rows, 92 % of 200 and of 500. Nearly every miss is a bound too low, so a limit on
the error is then claimed to be kept more often than stated; mean absolute errors do not suffer from it.
Picking samples by their skewness is no remedy: those that look harmless are those that have missed the tail.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ml_governance.assess.contrasts import Number

if TYPE_CHECKING:
    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

METHOD = "t-skew-mean"
ROUNDING = 1e-13
"""Less than this part of a sum of squares is no spread but rounding."""


@lru_cache(maxsize=4096)
def student(confidence: float, sides: Sides, freedom: int) -> float:
    """Return the quantile of Student's distribution that belongs to a confidence."""
    from scipy.special import stdtrit

    tail = (1 - confidence) / (2 if sides == "two-sided" else 1)
    return float(stdtrit(freedom, 1 - tail))


def of_losses(losses: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return the mean of losses of 0 or more over some rows, with bounds that allow for their skew; undefined without rows."""
    n = len(losses)
    if not n:
        return Number(group=group, n=0, size=0, value=None, reason="no rows")
    value, second, third = (float((losses**power).mean()) for power in (1, 2, 3))
    common: dict[str, Any] = {"group": group, "n": n, "size": n, "value": value}
    if n < 2 or second - value**2 <= ROUNDING * second:
        return Number(**common, reason="no interval: all its errors are alike")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        return positive(value, second, third, n, confidence=confidence, sides=sides)

    return Number(**common, bounds=bounds, method=METHOD)


def positive(
    mean: float, second: float, third: float, n: int, *, confidence: float, sides: Sides
) -> tuple[float, float]:
    """Return the bounds of a mean of values of 0 or more.

    Parameters
    ----------
    mean, second, third : float
        Means of the values, of their squares and of their cubes; above 0, and not all values alike.
    n : int
        Values, 2 or more.
    confidence : float in (0, 1)
        Level.
    sides : {"two-sided", "one-sided"}
        Whether both bounds hold together, or each for itself.

    Returns
    -------
    tuple of float
        Lower bound, 0 or more, and upper bound.
    """
    spread = second - mean * mean
    error, t = math.sqrt(spread / (n - 1)), student(confidence, sides, n - 1)
    skew = (third - 3 * mean * second + 2 * mean**3) / (spread * math.sqrt(spread)) / math.sqrt(n)
    factor = exp(t * error / mean)
    lower, upper = (mean - error * _statistic(one, skew) for one in (t, -t))
    return max(0.0, min(mean / factor, lower)), max(mean * factor, upper)


def exp(x: float) -> float:
    """Return e to the x, where what is larger than any bound is as good as no bound."""
    return math.exp(min(x, 700.0))


def _statistic(t: float, skew: float) -> float:
    """Return the t statistic that Hall's transformation takes to ``t``."""
    x = skew * (t - skew / 6)
    if abs(x) < 1e-9:
        return t - skew / 6
    return 3 * (math.expm1(math.log1p(x) / 3) if x > -0.5 else math.cbrt(1 + x) - 1) / skew
