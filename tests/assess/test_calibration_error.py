"""Calibration with intervals: against statsmodels, and how often the bounds hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.assess.calibration_error import calibration_slope, ece, mean_score_error


def sample(n: int, seed: int, shift: float = 0.0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    score = generator.beta(2, 2, n)
    return (generator.random(n) < np.clip(score + shift, 0, 1)).astype(np.uint8), score


@given(st.integers(0, 1000), st.integers(1, 300))
def test_the_error_is_the_sum_over_bins_that_it_says(seed: int, n: int) -> None:
    y, s = sample(n, seed)
    found, expected = ece(y, s), 0.0
    for b in range(15):
        own = (s >= b / 15) & (s < (b + 1) / 15)
        if own.any():
            expected += own.sum() / n * abs(y[own].mean() - s[own].mean())
    assert found.value == pytest.approx(expected, abs=1e-12)
    lower, upper = found.bounds(0.95, "two-sided")  # type: ignore[misc]
    assert 0 <= lower <= expected <= upper <= 1


@pytest.mark.parametrize(("shift", "n"), [(0.0, 200), (0.0, 3000), (0.06, 200), (0.06, 3000)])
def test_the_interval_of_the_calibration_error_holds_where_the_bootstrap_does_not(shift: float, n: int) -> None:
    reference = sample(400_000, 10**6, shift)[1]
    place = np.minimum((reference * 15).astype(int), 14)
    truth = np.abs(np.bincount(place, np.clip(reference + shift, 0, 1) - reference, 15)).sum() / len(reference)
    held, bootstrap, repetitions = 0, 0, 100
    for seed in range(repetitions):
        y, s = sample(n, seed, shift)
        number = ece(y, s)
        lower, upper = number.bounds(0.95, "two-sided")  # type: ignore[misc]
        held += lower <= truth + 1e-12 and truth <= upper
        if shift == 0 and seed < 20:
            draws = np.random.default_rng(seed).integers(0, n, (100, n))
            low, high = np.quantile([ece(y[d], s[d]).value for d in draws], [0.025, 0.975])
            bootstrap += low <= truth <= high
    assert held / repetitions >= 0.94
    assert bootstrap == 0  # at a calibrated score, the truth is 0, and no bootstrap replicate is


def test_rare_labels_that_were_not_seen_are_allowed_for() -> None:
    """A hundred rows with the score .001 of which none is positive do not show that one in a hundred is not."""
    _, upper = ece(np.zeros(100, dtype=np.uint8), np.full(100, 0.001)).bounds(0.95, "two-sided")  # type: ignore[misc]
    assert upper > 0.01


def test_the_error_in_the_large_is_mean_score_less_share_and_its_interval_holds() -> None:
    held = 0
    for seed in range(400):
        y, s = sample(150, seed, 0.05)
        number = mean_score_error(y, s)
        assert number.value == pytest.approx(s.mean() - y.mean())
        lower, upper = number.bounds(0.95, "two-sided")  # type: ignore[misc]
        held += lower <= -0.05 <= upper  # clipping at 1 moves it by less than a thousandth
    assert held / 400 >= 0.93


@given(st.integers(0, 1000), st.sampled_from([60, 400]))
def test_the_slope_and_its_interval_are_those_of_statsmodels(seed: int, n: int) -> None:
    y, s = sample(n, seed)
    if y.min() == y.max():
        return
    number = calibration_slope(y, s)
    fitted = sm.GLM(y, sm.add_constant(np.log(s / (1 - s))), sm.families.Binomial()).fit(tol=1e-12)
    assert number.value == pytest.approx(fitted.params[1], rel=1e-6, abs=1e-8)
    assert number.bounds(0.95, "two-sided") == pytest.approx(fitted.conf_int()[1], rel=1e-5, abs=1e-6)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("y", "s", "words"),
    [
        ([1, 1, 1], [0.2, 0.4, 0.6], "only one class"),
        ([0, 1, 1], [0.0, 0.4, 1.0], "2 rows have a score of 0 or 1"),
        ([0, 1, 1], [0.4, 0.4, 0.4], "alike"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "separate"),
    ],
)
def test_a_slope_that_there_is_not_is_undefined_and_says_why(y: Any, s: Any, words: str) -> None:
    number = calibration_slope(np.array(y, dtype=np.uint8), np.array(s))
    assert number.value is None and words in (number.reason or "")
