"""Bounds of many numbers at once are those of the gate, one at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from statsmodels.stats.proportion import confint_proportions_2indep

from ml_governance.assess import blocks, bounds, contrasts, rate_comparisons, rates
from ml_governance.assess.cube import Cube
from ml_governance.evidence import intervals

CONFIDENCE = 0.95
WHOLE = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
PARTS = st.tuples(st.just(0.0) | st.floats(1e-3, 1), st.floats(0.2, 5000)).map(lambda own: (own[0] * own[1], own[1]))
"""Effective counts of weighted rows need not be whole, and may be short of all by rounding alone."""
COUNTS = WHOLE | PARTS
TABLES = st.lists(st.lists(COUNTS, min_size=2, max_size=6), min_size=1, max_size=5)
Count = tuple[float, float]


def arrays(*counts: Count) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return [np.array([float(value)]) for count in counts for value in count]


@given(COUNTS, COUNTS, st.sampled_from([0.5, 0.8, 0.95, 0.999_99]))
def test_the_bound_of_a_ratio_is_that_of_plain_arithmetic(one: Count, two: Count, level: float) -> None:
    assume(two[0] > 0)
    plain = intervals.ratio(*one, *two, confidence=level, sides="one-sided").upper
    z = np.array([intervals.quantile(level, "one-sided")])
    (found,) = bounds.ratio_upper(*arrays(one, two), z)
    assert found == pytest.approx(plain, rel=1e-9)


@given(WHOLE, WHOLE, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_bound_of_a_ratio_agrees_with_statsmodels(one: Count, two: Count, level: float) -> None:
    assume(0 < one[0] < one[1] and 0 < two[0] < two[1])
    theirs = confint_proportions_2indep(*one, *two, compare="ratio", method="score", correction=False, alpha=1 - level)
    assume(math.isfinite(theirs[1]))
    (found,) = bounds.ratio_upper(*arrays(one, two), np.array([intervals.quantile(level, "two-sided")]))
    assert found == pytest.approx(theirs[1], rel=1e-6)


@given(PARTS, PARTS)
def test_the_score_of_a_ratio_rises_and_is_zero_at_the_ratio_itself(one: Count, two: Count) -> None:
    assume(one[0] > 1e-3 and two[0] > 1e-3)
    ratio = one[0] / one[1] * two[1] / two[0]
    thetas = ratio * np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    found = bounds.score(*(np.full(5, value) for value in (*one, *two)), thetas)
    assert (np.diff(found) >= 0).all()
    assert found[2] == pytest.approx(0, abs=1e-5)
    assert found == pytest.approx([intervals._score(*one, *two, theta) for theta in thetas.tolist()], abs=1e-5)


@pytest.mark.parametrize(("k", "n"), [(0.35, 0.35), (0.2, 0.3), (1e-3, 40.0)])
def test_less_than_one_weighted_case_has_the_bound_that_its_score_says(k: float, n: float) -> None:
    z = intervals.quantile(CONFIDENCE, "one-sided")
    low = math.log(k / n / (2.6 / 25.7))  # where the score is 0
    true = math.exp(brentq(lambda x: intervals._score(k, n, 2.6, 25.7, math.exp(x)) - z, low, low + 60, xtol=1e-13))
    assert intervals.ratio(k, n, 2.6, 25.7, confidence=CONFIDENCE, sides="one-sided").upper == pytest.approx(true)
    (found,) = bounds.ratio_upper(*arrays((k, n), (2.6, 25.7)), np.array([z]))
    assert found == pytest.approx(true, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.sampled_from([0.5, 0.9, 0.95]), st.integers(1, 2))
def test_extremes_of_many_comparisons_at_once_are_those_of_each_alone(
    tables: list[list[Count]], level: float, family: int
) -> None:
    tables = [table for table in tables if max(k / n for k, n in table) > 0]
    assume(tables)
    of = bounds.Pairs.of([len(table) for table in tables])
    k, n = (np.array([float(count[at]) for table in tables for count in table]) for at in (0, 1))
    both = [contrasts.levels(len(table), level, family) for table in tables]
    each, every = (
        np.array([[intervals.quantile(own[at], sides) for own in both] for sides in contrasts.SIDES]) for at in (0, 1)
    )
    row = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    telling = ~bounds.sparse(of.one(k), of.one(n), of.two(k), of.two(n))
    ratio = bounds.smallest_rate_ratio(k, n, each, every, of)
    gap = bounds.largest_difference(
        k / n, bounds.wilson(k, n, each[:, row]), bounds.wilson(k, n, every[:, row]), of, telling
    )
    for side, sides in enumerate(contrasts.SIDES):
        for place, table in enumerate(tables):
            for function, ends in ((intervals.worst_ratio, ratio), (intervals.worst_difference, gap)):
                plain = function(table, confidence=level, sides=sides, multiplicity=family)
                low, high = (end[side, place] for end in ends)
                assert min(low, plain.value) == pytest.approx(plain.lower, rel=1e-9, abs=1e-9)
                assert max(min(high, 1.0), plain.value) == pytest.approx(plain.upper, rel=1e-9, abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(1e-3, 9), st.floats(1e-3, 9)), min_size=2, max_size=6),
    st.booleans(),
)
def test_extremes_of_other_numbers_are_those_of_all_pairs_one_by_one(
    numbers: list[tuple[float, float, float]], unbounded: bool
) -> None:
    x, below, above = map(np.array, zip(*numbers, strict=True))
    assume(x.max() > 0)
    low, high = np.maximum(x - below, 0), x + above
    if unbounded:
        high[-1] = math.inf
    ends = [(x[i], (low[i], high[i]), x[j], (low[j], high[j])) for i in range(len(x)) for j in range(len(x)) if i != j]
    of = bounds.Pairs.of([len(x)])
    found = bounds.largest_difference(x, (low, high), (low, high), of)
    plain = [contrasts.mover_difference(*pair) for pair in ends]
    assert found[0][0] == pytest.approx(max([0.0, *(one[0] for one in plain)]), rel=1e-9, abs=1e-12)
    assert found[1][0] == pytest.approx(max(one[1] for one in plain), rel=1e-9)
    found = bounds.smallest_ratio(x, (low, high), (low, high), of)
    lower = [contrasts.mover_ratio(*pair)[0] for pair in ends if pair[0] > 0]
    upper = [contrasts.mover_ratio(*pair)[1] for pair in ends if pair[2] > 0]
    assert found[0][0] == pytest.approx(min(lower), rel=1e-9, abs=1e-12)
    assert found[1][0] == pytest.approx(min([1.0, *upper]), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 40, 100_000]), st.booleans())
def test_a_report_of_many_groups_at_once_says_what_each_number_alone_would(
    seed: int, size: int, weighted: bool
) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.poisson(generator.dirichlet(np.ones(4), size=(2, 3)).reshape(2, 3, 2, 2) * size)
    assume(counts.sum() > 0)
    weights = counts * generator.gamma(2, 0.5, size=counts.shape)
    assume(not weighted or weights.sum() > 0)
    sums = {"weights": weights, "squares": weights**2 / np.maximum(counts, 1) * 1.2} if weighted else {}
    cube = Cube(attributes=("a", "b"), levels=(("x", "y"), ("u", "v", "w")), counts=counts, **sums)
    bys: list[tuple[str, ...]] = [("a",), ("b",), ("a", "b")]
    at_once = rates.measure(cube, bys, CONFIDENCE, 7)["measurements"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_comparisons, "MANY", 0)  # every comparison in plain arithmetic
        one_by_one = rates.measure(cube, bys, CONFIDENCE, 7)["measurements"]
    bound = 0
    for one, other in zip(at_once, one_by_one, strict=True):
        assert one.model_copy(update={"intervals": ()}) == other.model_copy(update={"intervals": ()})
        for mine, plain in zip(one.intervals, other.intervals, strict=True):
            assert (mine.sides, mine.method) == (plain.sides, plain.method)
            assert (mine.lower, mine.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-9, abs=1e-9)
            bound += 1
            if mine.method == "wilson":
                expected = intervals.rate(one.numerator, one.denominator, confidence=CONFIDENCE, sides=mine.sides)
                assert (mine.lower, mine.upper) == pytest.approx(expected, abs=1e-12)
    assert bound or weighted


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_rows_that_are_counted_two_at_a_time_are_all_counted(rows: int) -> None:
    generator = np.random.default_rng(rows)
    n = 2 * blocks.BLOCK + rows
    codes, flags = generator.integers(-1, 6, n).astype(np.int8), generator.integers(0, 2, (2, n))
    columns: list[blocks.Column] = [
        blocks.Numbers(flags[0]),
        blocks.Numbers(flags[1]),
        blocks.Coded(codes, list("abcdef")),
    ]
    found = blocks.count(columns)
    numbers = np.ravel_multi_index((*flags, codes + 1), (2, 2, 7))
    assert found.counts.sum() == n
    assert sorted(found.counts.tolist()) == sorted(np.bincount(numbers)[np.bincount(numbers) > 0].tolist())


def test_a_rate_short_of_one_by_rounding_alone_has_the_bounds_of_one() -> None:
    almost, whole = (0.25 * (1 - 2**-53), 0.25), (0.25, 0.25)
    assert almost[0] < whole[0]
    plain = intervals.ratio(1, 119, *almost, confidence=CONFIDENCE, sides="two-sided")
    assert plain == pytest.approx(intervals.ratio(1, 119, *whole, confidence=CONFIDENCE, sides="two-sided"), rel=1e-9)
    z = np.array([intervals.quantile(CONFIDENCE, "two-sided")])
    assert 1 / bounds.ratio_upper(*arrays(almost, (1, 119)), z) == pytest.approx([plain.lower], rel=1e-9)
