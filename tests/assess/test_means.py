"""Intervals of means of skewed values hold what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance import assess_performance
from ml_governance.assess import means, regression
from ml_governance.errors import DataError

Draw = Callable[[np.random.Generator, int], Any]


def overconfident(generator: np.random.Generator, n: int) -> Any:
    """Return log losses of scores whose logits are twice what they should be."""
    logit = 4 * generator.normal(size=n)
    chance = 1 / (1 + np.exp(-np.where(generator.random(n) < 1 / (1 + np.exp(-logit / 2)), logit, -logit)))
    return -np.log(chance)


SHAPES: dict[str, tuple[Draw, float]] = {
    "squares of exponential errors": (lambda g, n: g.exponential(size=n) ** 2, 0.925),
    "squares of Student's t": (lambda g, n: g.standard_t(6, n) ** 2, 0.917),
    "squares of normal errors": (lambda g, n: g.normal(size=n) ** 2, 0.94),
    "absolute exponential errors": (lambda g, n: g.exponential(size=n), 0.94),
    "log losses": (overconfident, 0.94),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_of_skewed_means_hold_with_fifty_rows(shape: str) -> None:
    """4,000 samples: at .93 the standard error is .004. Without the cubic, .918 and .910 of the first two hold."""
    draw, least = SHAPES[shape]
    generator = np.random.default_rng(8)
    truth = float(draw(generator, 8_000_000).mean())
    x = draw(generator, 4_000 * 50).reshape(4_000, 50)
    moments = np.stack([(x**power).mean(axis=1) for power in (1, 2, 3)], axis=1).tolist()
    held = 0
    for mean, second, third in moments:
        low, high = means.positive(mean, second, third, 50, confidence=0.95, sides="two-sided")
        held += low <= truth <= high
    assert least <= held / 4_000 <= 0.975


values = st.lists(st.floats(0.01, 100), min_size=3, max_size=40).filter(lambda v: np.std(v) > 1e-3 * np.mean(v))


@given(values, st.floats(0.01, 100))
def test_bounds_hold_the_mean_are_nested_and_follow_the_unit(own: list[float], unit: float) -> None:
    def bounds(confidence: float, scale: float = 1.0, sides: Any = "two-sided") -> tuple[float, float]:
        x = np.array(own) * scale
        one, two, three = (float((x**power).mean()) for power in (1, 2, 3))
        return means.positive(one, two, three, len(own), confidence=confidence, sides=sides)

    low, high = bounds(0.95)
    assert 0 <= low <= np.mean(own) <= high
    assert bounds(0.99)[0] <= low and high <= bounds(0.99)[1]
    assert bounds(0.95, sides="one-sided") == pytest.approx(bounds(0.9))
    assert bounds(0.95, unit) == pytest.approx((low * unit, high * unit), rel=1e-6, abs=1e-9 * unit)


@given(st.floats(-6, 6), st.floats(-3, 3))
def test_the_statistic_is_what_halls_transformation_is_undone_by(t: float, skew: float) -> None:
    found = means._statistic(t, skew)
    assert found + skew * found**2 / 3 + skew**2 * found**3 / 27 + skew / 6 == pytest.approx(t, abs=1e-6)


def test_losses_that_are_all_alike_are_no_certainty() -> None:
    found = assess_performance(y_true=[0, 1] * 40, y_score=[0.3, 0.7] * 40).get("log_loss")
    assert found.value == pytest.approx(-math.log(0.7))
    assert found.intervals == ()


@pytest.mark.parametrize("scale", [1e-200, 1e-90, 1e90, 1e200])
def test_numbers_whose_powers_floats_lose_are_refused(scale: float) -> None:
    generator = np.random.default_rng(1)
    with pytest.raises(DataError, match="too (small|large)"):
        regression.assess_regression(
            y_true=generator.normal(size=60) * scale, y_pred=generator.normal(size=60) * scale,
            sensitive_features={"g": ["a", "b"] * 30},
        )  # fmt: skip


@pytest.mark.parametrize("scale", [1e-38, 1e38])
def test_numbers_that_are_nearly_too_large_or_small_have_every_interval(scale: float) -> None:
    generator = np.random.default_rng(1)
    true, predicted = generator.normal(size=(2, 60))
    found = [
        regression.assess_regression(y_true=true * s, y_pred=predicted * s, sensitive_features={"g": ["a", "b"] * 30})
        for s in (1.0, scale)
    ]
    for one, two in zip(*(report.measurements for report in found), strict=True):
        assert (one.metric, one.status, len(one.intervals)) == (two.metric, two.status, len(two.intervals))
