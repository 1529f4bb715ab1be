"""The interval of a difference of two proportions that were measured on the same rows.

Source: Tango, Statistics in Medicine 17 (1998) 891: the score interval, which keeps its level where few rows differ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ml_governance.errors import DataError
from ml_governance.evidence.intervals import Bounds, Sides, quantile

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = 60


def difference(both: int, first: int, second: int, neither: int, *, confidence: float, sides: Sides) -> Bounds:
    """Return Tango's score interval of (both + first)/n - (both + second)/n.

    The bounds are the differences at which the score statistic, with the share of discordant rows fitted under that
    difference, equals the normal quantile.

    Parameters
    ----------
    both, first, second, neither : int
        Rows on which both, only the first, only the second, or neither of the two is a case.
    confidence : float in (0, 1)
        Level.
    sides : {'two-sided', 'one-sided'}
        What the level means.

    Raises
    ------
    DataError
        If a count is negative, or there are no rows.
    """
    n = both + first + second + neither
    if min(both, first, second, neither) < 0 or n == 0:
        raise DataError(
            f"the joint counts are {both}, {first}, {second}, {neither}", expected="numbers of rows, not all of them 0"
        )
    z, gap = quantile(confidence, sides), (first - second) / n
    # The statistic falls as the supposed difference rises.
    lower = _crossing(-1.0, gap, lambda at: _statistic(first, second, n, at) > z)
    upper = _crossing(gap, 1.0, lambda at: _statistic(first, second, n, at) > -z)
    return Bounds(min(lower, gap), max(upper, gap))


def _crossing(low: float, high: float, above: Callable[[float], bool]) -> float:
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2


def _statistic(first: float, second: float, n: float, at: float) -> float:
    """Return the score statistic of the hypothesis that the difference is ``at`` (Tango 1998, equation 9)."""
    linear = (2 * n - first + second) * at - first - second
    root = math.sqrt(max(0.0, linear * linear + 8 * n * second * at * (1 - at)))
    share = (root - linear) / (4 * n)  # of rows on which only the second is a case, were the difference `at`
    variance = n * (2 * share + at * (1 - at))
    gap = first - second - n * at
    return math.copysign(math.inf, gap) if variance <= 0 and gap else gap / math.sqrt(variance) if variance > 0 else 0.0
