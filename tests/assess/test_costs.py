"""Costs and the choice of a threshold: formulas, coverage, and that choosing flatters nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance import Costs, assess_performance
from ml_governance.assess.costs import THRESHOLDS, choose_threshold, combination, cost_saving, mean_cost
from ml_governance.assess.halves import halves
from ml_governance.errors import DataError

STATED = Costs(false_positive=1, false_negative=5)


def sample(n: int, seed: int) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(seed)
    score = generator.beta(2, 2, n)
    return (generator.random(n) < score).astype(np.uint8), (score >= 0.5).astype(np.uint8), score


@given(st.integers(0, 1000), st.integers(2, 200), st.floats(0, 10), st.floats(0.1, 10))
def test_mean_cost_and_saving_are_what_they_say(seed: int, n: int, fp: float, fn: float) -> None:
    y, p, _ = sample(n, seed)
    costs = Costs(false_positive=fp, false_negative=fn)

    def cost(decided: Any) -> float:
        return float(np.where(decided > y, fp, np.where(decided < y, fn, 0.0)).mean())

    assert mean_cost(y, p, costs).value == pytest.approx(cost(p), abs=1e-9)
    saved = min(cost(np.zeros(n)), cost(np.ones(n))) - cost(p)
    assert cost_saving(y, p, costs).value == pytest.approx(saved, abs=1e-9)


def test_intervals_of_costs_hold() -> None:
    s = np.random.default_rng(10**6).beta(2, 2, 1_000_000)
    truth = float((s * (s < 0.5) * 5 + (1 - s) * (s >= 0.5)).mean())
    none, every = 5 * s.mean(), 1 - s.mean()
    held = np.zeros(2)
    for seed in range(500):
        y, p, _ = sample(200, seed)
        for at, (number, expected) in enumerate(
            [(mean_cost(y, p, STATED), truth), (cost_saving(y, p, STATED), min(none, every) - truth)]
        ):
            lower, upper = number.bounds(0.95, "two-sided")  # type: ignore[misc]
            held[at] += lower <= expected <= upper
    assert (held / 500 >= 0.93).all()


def test_the_chosen_threshold_is_measured_without_flattery_and_its_range_holds_the_best() -> None:
    s = np.random.default_rng(10**6).beta(2, 2, 400_000)
    curve = np.array([(s * (s < t) * 5 + (1 - s) * (s >= t)).mean() for t in THRESHOLDS])
    best = float(THRESHOLDS[curve.argmin()])
    flattered, measured, held, repetitions = 0.0, 0.0, 0, 60
    for seed in range(repetitions):
        y, p, score = sample(300, seed)
        found = choose_threshold(y, p, score, STATED, seed=seed)
        assert not isinstance(found, str)
        truth = float(curve[np.searchsorted(THRESHOLDS, found.threshold)])
        flattered += (found.searched.min() - truth) / repetitions
        measured += (float(found.numbers["chosen_threshold_cost"].value or 0.0) - truth) / repetitions
        lower, upper = found.numbers["chosen_threshold"].bounds(0.95, "two-sided")  # type: ignore[misc]
        held += lower <= best <= upper
    assert flattered < -0.02  # on the rows that it was chosen on, it looks cheaper than it is
    assert abs(measured) < 0.02
    assert held / repetitions >= 0.93


def test_where_scores_are_probabilities_the_theoretical_threshold_is_not_refuted() -> None:
    y, p, score = sample(4000, 1)
    found = choose_threshold(y, p, score, STATED)
    assert not isinstance(found, str)
    lower, upper = found.numbers["chosen_threshold"].bounds(0.95, "two-sided")  # type: ignore[misc]
    assert STATED.threshold == pytest.approx(1 / 6)
    assert lower <= STATED.threshold <= upper < 0.5
    gain = found.numbers["chosen_threshold_gain"]
    assert gain.bounds is not None and gain.bounds(0.95, "two-sided")[0] > 0  # 0.5 is a costly threshold here


def test_the_halves_are_disjoint_follow_the_seed_and_differ_between_seeds() -> None:
    assert halves(11, 3).sum() == 5
    assert np.array_equal(halves(100, 3), halves(100, 3))
    assert not np.array_equal(halves(100, 3), halves(100, 4))


def test_a_half_without_a_class_gives_undefined_numbers_that_say_so() -> None:
    report = assess_performance(y_true=[1] + [0] * 40, y_score=[0.9] + [0.1] * 40, costs=STATED)
    for name in ("chosen_threshold", "chosen_threshold_cost", "chosen_threshold_gain"):
        one = report.get(name)
        assert one.status == "undefined" and "one class" in (one.reason or "")
    assert report.get("mean_cost").status == "ok"


@pytest.mark.parametrize("pair", [(-1, 1), (0, 0), (float("nan"), 1), (1, float("inf"))])
def test_costs_that_are_none_are_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="costs"):
        Costs(false_positive=pair[0], false_negative=pair[1])


def test_terms_that_pull_apart_are_wider_together_than_independent_ones() -> None:
    lower, upper = combination((30, 40), (1, -1), 100).bounds(0.95, "two-sided")  # type: ignore[misc]
    # The exact variance of p1 - p2 of one multinomial: (p1 + p2 - (p1 - p2)^2) / n
    half = 1.96 * np.sqrt((0.7 - 0.01) / 100)
    assert (upper - lower) / 2 == pytest.approx(half, rel=0.05)
