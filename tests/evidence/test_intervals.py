from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_governance.evidence.intervals import Bounds

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
INNER = st.integers(2, 3000).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))
LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])
SIDES = st.sampled_from(["two-sided", "one-sided"])


@given(COUNTS, LEVELS)
def test_rates_agree_with_statsmodels(count: tuple[int, int], level: float) -> None:
    ours = intervals.rate(*count, confidence=level, sides="two-sided")
    theirs = proportion_confint(*count, alpha=1 - level, method="wilson")
    assert ours == pytest.approx(theirs, abs=1e-12)


@given(COUNTS, COUNTS, LEVELS)
def test_differences_agree_with_statsmodels(one: tuple[int, int], two: tuple[int, int], level: float) -> None:
    ours = intervals.difference(*one, *two, confidence=level, sides="two-sided")
    theirs = confint_proportions_2indep(*one, *two, compare="diff", method="newcomb", alpha=1 - level)
    assert ours == pytest.approx(theirs, abs=1e-10)


@given(INNER, INNER, LEVELS)
def test_ratios_agree_with_statsmodels(one: tuple[int, int], two: tuple[int, int], level: float) -> None:
    ours = intervals.ratio(*one, *two, confidence=level, sides="two-sided")
    theirs = confint_proportions_2indep(*one, *two, compare="ratio", method="score", correction=False, alpha=1 - level)
    assume(all(math.isfinite(bound) for bound in theirs))
    assert ours == pytest.approx(theirs, rel=1e-6)


@given(COUNTS, LEVELS, SIDES)
def test_an_interval_holds_its_estimate_and_widens_with_confidence(
    count: tuple[int, int], level: float, sides: str
) -> None:
    narrow = intervals.rate(*count, confidence=level, sides=sides)  # type: ignore[arg-type]
    wide = intervals.rate(*count, confidence=(1 + level) / 2, sides=sides)  # type: ignore[arg-type]
    assert 0 <= wide.lower <= narrow.lower <= count[0] / count[1] <= narrow.upper <= wide.upper <= 1


@given(COUNTS, COUNTS, SIDES)
def test_swapping_the_groups_mirrors_the_interval(one: tuple[int, int], two: tuple[int, int], sides: str) -> None:
    there = intervals.difference(*one, *two, confidence=0.95, sides=sides)  # type: ignore[arg-type]
    back = intervals.difference(*two, *one, confidence=0.95, sides=sides)  # type: ignore[arg-type]
    assert there.lower == pytest.approx(-back.upper, abs=1e-12)
    ratio = intervals.ratio(*one, *two, confidence=0.95, sides=sides)  # type: ignore[arg-type]
    other = intervals.ratio(*two, *one, confidence=0.95, sides=sides)  # type: ignore[arg-type]
    if one[0] and two[0]:
        assert ratio.lower == pytest.approx(1 / other.upper, rel=1e-9)
        assert ratio.lower <= (one[0] / one[1]) / (two[0] / two[1]) * (1 + 1e-9)


@given(st.lists(COUNTS, min_size=2, max_size=5), SIDES)
def test_worst_comparisons_hold_their_value_and_ignore_order(counts: list[tuple[int, int]], sides: str) -> None:
    worst = intervals.worst_difference(counts, confidence=0.95, sides=sides)  # type: ignore[arg-type]
    again = intervals.worst_difference(counts[::-1], confidence=0.95, sides=sides)  # type: ignore[arg-type]
    assert 0 <= worst.lower <= worst.value <= worst.upper
    assert (worst.value, worst.lower, worst.upper) == (again.value, again.lower, again.upper)
    if any(k for k, _ in counts):
        ratio = intervals.worst_ratio(counts, confidence=0.95, sides=sides)  # type: ignore[arg-type]
        assert 0 <= ratio.lower <= ratio.value <= ratio.upper <= 1 + 1e-12


@given(st.lists(INNER, min_size=2, max_size=4), st.integers(2, 4))
def test_more_rows_of_the_same_rates_never_lower_the_lower_bound(counts: list[tuple[int, int]], times: int) -> None:
    small = intervals.worst_ratio(counts, confidence=0.95, sides="one-sided")
    large = intervals.worst_ratio([(k * times, n * times) for k, n in counts], confidence=0.95, sides="one-sided")
    assert large.lower >= small.lower - 1e-9


@pytest.mark.parametrize("count", [(-1, 5), (6, 5), (0, 0), (math.nan, 5), (1, math.inf)])
def test_counts_that_are_none_are_refused(count: tuple[float, float]) -> None:
    with pytest.raises(DataError):
        intervals.rate(*count, confidence=0.95, sides="two-sided")


def test_nothing_to_compare_is_an_error_and_not_a_number() -> None:
    with pytest.raises(DataError, match="1 groups"):
        intervals.worst_ratio([(1, 2)], confidence=0.95, sides="one-sided")
    with pytest.raises(DataError, match="0/0"):
        intervals.worst_ratio([(0, 5), (0, 7)], confidence=0.95, sides="one-sided")
    with pytest.raises(DataError, match="confidence"):
        intervals.rate(1, 2, confidence=1.0, sides="one-sided")


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.3, 0.3, 0.3, 0.3), (0.2, 0.25, 0.3), (0.05, 0.05, 0.2)])
def test_the_bounds_of_the_worst_ratio_keep_their_promise(rates: tuple[float, ...]) -> None:
    """Each one-sided bound holds the true worst ratio in at least 93 % of samples, groups equal or not."""
    generator = np.random.default_rng(7)
    truth_ratio, truth_gap = min(rates) / max(rates), max(rates) - min(rates)
    sizes = [150 + 90 * i for i in range(len(rates))]
    below = above = gap_below = gap_above = 0
    repetitions = 400
    for _ in range(repetitions):
        counts = [(int(generator.binomial(n, p)), n) for p, n in zip(rates, sizes, strict=True)]
        ratio = intervals.worst_ratio(counts, confidence=0.95, sides="one-sided")
        gap = intervals.worst_difference(counts, confidence=0.95, sides="one-sided")
        below += ratio.lower <= truth_ratio
        above += ratio.upper >= truth_ratio - 1e-12
        gap_below += gap.lower <= truth_gap + 1e-12
        gap_above += gap.upper >= truth_gap
    for held in (below, above, gap_below, gap_above):
        assert held / repetitions >= 0.93


def test_one_stray_case_in_a_tiny_group_proves_nothing() -> None:
    """One of five selected beside 4 of 3,000: the pairwise interval is far from equal, the comparison makes no claim."""
    counts = [(4, 3000), (1, 5)]
    assert intervals.ratio(*counts[0], *counts[1], confidence=0.95, sides="one-sided").upper < 0.1
    assert intervals.worst_ratio(counts, confidence=0.95, sides="one-sided").upper == 1.0
    assert intervals.worst_difference(counts, confidence=0.95, sides="one-sided").lower == 0.0
    enough = [(400, 3000), (60, 80)]
    assert intervals.worst_ratio(enough, confidence=0.95, sides="one-sided").upper < 0.3


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 400)).filter(lambda c: c[0] <= c[1]), min_size=2, max_size=7)
)
@pytest.mark.parametrize("sides", ["two-sided", "one-sided"])
def test_the_worst_comparison_is_that_of_all_pairs_one_by_one(sides: str, counts: list[tuple[int, int]]) -> None:
    family = len(counts) * (len(counts) - 1)
    at = {"confidence": 0.95, "sides": sides}
    stricter = {"confidence": 1 - 0.05 / family, "sides": sides}
    pairs = [(one, other) for i, one in enumerate(counts) for j, other in enumerate(counts) if i != j]
    gap = intervals.worst_difference(counts, **at)
    assert gap.upper == pytest.approx(max(intervals.difference(*a, *b, **at).upper for a, b in pairs), abs=1e-12)
    telling = [(a, b) for a, b in pairs if not intervals._sparse(*a, *b)]
    lower = [intervals.difference(*a, *b, **stricter).lower for a, b in telling]
    assert gap.lower == pytest.approx(max([*lower, 0.0]), abs=1e-12)
    if any(k for k, _ in counts):
        ratio = intervals.worst_ratio(counts, **at)
        each = [intervals.ratio(*a, *b, **at).lower for a, b in pairs if b[0]]
        assert ratio.lower == pytest.approx(min(each), rel=1e-9)
        every = [intervals.ratio(*a, *b, **stricter).upper for a, b in telling]
        assert ratio.upper == pytest.approx(max(min([*every, 1.0]), ratio.value), rel=1e-9)


def test_bounds_are_right_where_everybody_is_a_case_and_groups_are_huge() -> None:
    # With k = n in both groups the score is n2 (theta - 1) above 1, so the bound is 1 + z^2 / n2.
    n = 764_188_610
    z = intervals.quantile(0.99, "two-sided")
    upper = intervals.ratio(n // 2, n // 2, n, n, confidence=0.99, sides="two-sided").upper
    assert upper - 1 == pytest.approx(z * z / n, rel=1e-3)


@pytest.mark.parametrize("function", [intervals.difference, intervals.ratio])
def test_a_one_sided_bound_that_fails_more_often_than_it_holds_is_refused(function: Callable[..., Bounds]) -> None:
    for level in (0.3, 0.499):
        with pytest.raises(DataError, match="more often than it holds"):
            function(3, 10, 6, 10, confidence=level, sides="one-sided")
        with pytest.raises(DataError, match="more often than it holds"):
            intervals.worst_ratio([(3, 10), (6, 10)], confidence=level, sides="one-sided")
    at_half = function(3, 10, 6, 10, confidence=0.5, sides="one-sided")
    assert at_half.lower == pytest.approx(at_half.upper)
    assert function(3, 10, 6, 10, confidence=0.3, sides="two-sided").lower < at_half.lower
