"""Tango's interval against a likelihood that is maximised by a program that knows nothing of his formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from ml_governance.errors import DataError
from ml_governance.evidence.paired import difference

COUNT = st.integers(0, 200)


def statistic(both: int, first: int, second: int, neither: int, at: float) -> float:
    """Return the score statistic with the share of discordant rows found by search."""
    n = both + first + second + neither
    low, high = max(0.0, -at), (1 - at) / 2

    def unlikely(share: float) -> float:
        parts = ((first, share + at), (second, share), (both + neither, 1 - 2 * share - at))
        return -sum(k * math.log(max(p, 1e-300)) for k, p in parts if k)

    share = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (first - second - n * at) / math.sqrt(n * (2 * share + at - at * at))


@pytest.mark.parametrize(
    "counts", [(36, 12, 2, 0), (43, 1, 3, 5), (840, 10, 10, 140), (10, 30, 5, 2), (100, 7, 1, 100)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_statistic_at_a_bound_is_the_quantile(counts: tuple[int, int, int, int], confidence: float) -> None:
    bounds = difference(*counts, confidence=confidence, sides="one-sided")
    z = norm.ppf(confidence)
    assert statistic(*counts, bounds.lower) == pytest.approx(z, abs=1e-4)
    assert statistic(*counts, bounds.upper) == pytest.approx(-z, abs=1e-4)


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_without_a_row_that_differs_the_bounds_are_known(n: int) -> None:
    z2 = norm.ppf(0.95) ** 2
    bounds = difference(n, 0, 0, 0, confidence=0.95, sides="one-sided")
    assert bounds.upper == pytest.approx(z2 / (n + z2)) and bounds.lower == pytest.approx(-z2 / (n + z2))


@given(COUNT, COUNT, COUNT, COUNT)
def test_the_two_models_are_treated_alike(both: int, first: int, second: int, neither: int) -> None:
    if both + first + second + neither == 0:
        return
    one = difference(both, first, second, neither, confidence=0.95, sides="two-sided")
    other = difference(both, second, first, neither, confidence=0.95, sides="two-sided")
    assert -1 <= one.lower <= one.upper <= 1
    assert one.lower == pytest.approx(-other.upper, abs=1e-9) and one.upper == pytest.approx(-other.lower, abs=1e-9)
    n = both + first + second + neither
    assert one.lower <= (first - second) / n <= one.upper


@given(COUNT, COUNT, COUNT, COUNT, st.sampled_from([0.6, 0.9, 0.95]))
def test_more_confidence_takes_wider_bounds(both: int, first: int, second: int, neither: int, level: float) -> None:
    if both + first + second + neither == 0:
        return
    narrow = difference(both, first, second, neither, confidence=level, sides="one-sided")
    wide = difference(both, first, second, neither, confidence=0.99, sides="one-sided")
    assert wide.lower <= narrow.lower and narrow.upper <= wide.upper


def test_counts_that_are_none_are_refused() -> None:
    for counts in ((0, 0, 0, 0), (1, -1, 3, 4)):
        with pytest.raises(DataError, match="joint counts"):
            difference(*counts, confidence=0.95, sides="one-sided")
