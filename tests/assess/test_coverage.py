"""Whether intervals and verdicts keep their promise, by simulation with fixed seeds.

The Monte-Carlo slack is stated with each threshold: with s samples the share of a true p has the standard error
sqrt(p (1 - p) / s). Thresholds lie at least three standard errors below what a longer run (benchmarks/coverage.py) found, so
that a failure means that something changed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_governance.assess import bootstrap, bounds, family, linearised, verdicts
from ml_governance.assess.cube import Cube
from ml_governance.errors import DataError
from ml_governance.evidence import intervals

Z = intervals.quantile(0.95, "two-sided")


def sizes_of(groups: int, n: int, shape: str, least: int = 10) -> NDArray[np.int64]:
    share = np.ones(groups) if shape == "even" else 0.6 ** np.arange(groups)
    return np.maximum((n * share / share.sum()).astype(np.int64), least)


def missed(rates: list[float], sizes: NDArray[np.int64], form: str, sides: str, samples: int) -> tuple[float, float]:
    """Return how often the interval lies wholly on the good side of the truth, and how often on the bad side.

    An interval leaves the truth out exactly when a rule whose bound is the truth passes or fails.
    """
    truth = min(rates) / max(rates) if form == "ratio" else max(rates) - min(rates)
    k = np.random.default_rng(17).binomial(sizes, rates, size=(samples, len(rates)))
    k = k[k.max(axis=1) > 0]
    nudge = 1 - 1e-12 if form == "ratio" else 1 + 1e-12
    found = verdicts.judge(
        k, sizes, form=form, bound=truth * nudge + (form != "ratio") * 1e-12, confidence=0.95, sides=sides
    )  # type: ignore[arg-type]
    return float(found.passed.mean()), float(found.failed.mean())


CONFIGURATIONS = [
    pytest.param(groups, n, shape, id=f"{groups}-{n}-{shape}")
    for groups in (2, 3, 6, 12)
    for n in (200, 2_000, 50_000, 1_000_000)
    for shape in ("even", "unlike")
]


@pytest.mark.parametrize("form", ["difference", "ratio"])
@pytest.mark.parametrize(("groups", "n", "shape"), CONFIGURATIONS)
def test_intervals_of_largest_against_smallest_hold(groups: int, n: int, shape: str, form: str) -> None:
    """At least 93 % of 95 % intervals hold the truth, at equality and away from it.

    2,000 samples: the standard error at .95 is .0049; the lowest share of a long run is .946, four errors above .93 - .0035.
    """
    sizes = sizes_of(groups, n, shape)
    for base, last in ((0.3, 0.3), (0.3, 0.1), (0.05, 0.05), (0.05, 0.03), (0.9, 0.8)):
        rates = np.linspace(base, last, groups).tolist()
        good, bad = missed(rates, sizes, form, "two-sided", 2_000)
        assert 1 - good - bad >= 0.93, (base, last, good, bad)


@pytest.mark.parametrize("least", [2, 8, 30])
def test_stray_cases_in_tiny_groups_prove_nothing(least: int) -> None:
    """Twelve groups of rare cases, most of them tiny: without the rule for sparse pairs 67 to 80 % of intervals hold.

    1,500 samples: the standard error at .95 is .0056; the lowest share of a long run is .963.
    """
    for n, rate in ((500, 0.97), (1_000, 0.02), (3_000, 0.01), (10_000, 0.002), (10_000, 0.005)):
        sizes = np.maximum((n * 0.45 ** np.arange(12) / (0.45 ** np.arange(12)).sum()).astype(np.int64), least)
        for form in ("difference", "ratio"):
            good, bad = missed([rate] * 12, sizes, form, "two-sided", 1_500)
            assert 1 - good - bad >= 0.93, (n, rate, form, bad)


@pytest.mark.parametrize("groups", [2, 5, 12])
def test_the_percentile_bootstrap_of_largest_minus_smallest_never_holds_zero(groups: int) -> None:
    """The contrast: why it is not offered. 100 samples of equal groups, none of whose intervals holds 0."""
    generator = np.random.default_rng(3)
    for _ in range(100):
        rates = generator.binomial(5_000, 0.3, size=groups) / 5_000
        again = generator.binomial(5_000, rates, size=(400, groups)) / 5_000
        assert np.quantile(again.max(axis=1) - again.min(axis=1), 0.025) > 0


@pytest.mark.parametrize("groups", [2, 3, 8])
@pytest.mark.parametrize("n", [300, 3_000, 100_000])
def test_verdicts_are_wrong_in_at_most_five_per_cent(groups: int, n: int) -> None:
    """At the bound itself, where both pass and fail are errors, and between equal groups, where fail is.

    4,000 samples: the standard error at .05 is .0034; the threshold .065 leaves four of them.
    """
    at_bound = [0.3] * (groups - 1) + [0.3 * 0.8]
    sizes = sizes_of(groups, n, "even")
    k = np.random.default_rng(23).binomial(sizes, at_bound, size=(4_000, groups))
    found = verdicts.judge(k, sizes, form="ratio", bound=0.8, confidence=0.95, sides="one-sided")
    assert found.passed.mean() <= 0.065 and found.failed.mean() <= 0.065
    k = np.random.default_rng(29).binomial(sizes, 0.3, size=(4_000, groups))
    assert verdicts.judge(k, sizes, form="ratio", bound=0.8, confidence=0.95, sides="one-sided").failed.mean() <= 0.02
    assert (
        verdicts.judge(k, sizes, form="difference", bound=0, confidence=0.95, sides="one-sided").failed.mean() <= 0.065
    )


# --- weights ----------------------------------------------------------------------------------------------


@lru_cache
def weighted_tables(
    n: int, rate: float, deviation: float, tilt: float, samples: int
) -> tuple[NDArray[np.float64], ...]:
    generator = np.random.default_rng(31)
    y = generator.random((samples, n)) < rate
    w = np.exp(generator.normal(0, deviation, (samples, n)) + tilt * y)
    made = []
    for values in (np.ones_like(w), w, w * w):
        table = np.zeros((samples, 2, 2))
        table[:, 0, 1], table[:, 0, 0] = (values * y).sum(axis=1), (values * ~y).sum(axis=1)
        made.append(table)
    return tuple(made)


@pytest.mark.parametrize("tilt", [0.0, 0.7, -0.7])
@pytest.mark.parametrize(("n", "rate"), [(100, 0.3), (400, 0.1), (400, 0.6), (1_500, 0.03)])
def test_weighted_rates_hold_for_moderate_weights(n: int, rate: float, tilt: float) -> None:
    """Log-normal weights of deviation 0.7, and up to twice as large among the selected.

    2,500 samples: the standard error at .95 is .0044; the lowest share of a long run is .937.
    """
    counts, weights, squares = weighted_tables(n, rate, 0.7, tilt, 2_500)
    k, m = linearised.effective_counts("selection_rate", counts, weights, squares)
    low, high = bounds.wilson(k, m, Z)
    truth = rate * np.exp(tilt) / (rate * np.exp(tilt) + 1 - rate)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.925
    one, two = slice(None, None, 2), slice(1, None, 2)
    lower, upper = bounds.newcombe(k[one], m[one], k[two], m[two], Z)
    assert ((lower <= 0) & (upper >= 0)).mean() >= 0.925


def test_sizes_by_kish_do_not_hold() -> None:
    """The contrast: selected rows that weigh twice as much, and an interval that knows only the weights."""
    _, weights, squares = weighted_tables(1_500, 0.03, 0.7, 0.7, 2_500)
    whole = weights.sum(axis=(1, 2))
    kish = whole**2 / squares.sum(axis=(1, 2))
    rate = weights[:, 0, 1] / whole
    low, high = bounds.wilson(rate * kish, kish, Z)
    truth = 0.03 * np.exp(0.7) / (0.03 * np.exp(0.7) + 0.97)
    assert ((low <= truth) & (truth <= high)).mean() < 0.9


# --- a group against all rows, and families ---------------------------------------------------------------


def drawn(rates: NDArray[np.float64], n: int, generator: np.random.Generator) -> Cube:
    cells = np.array([[0.6 * (1 - p), 0.6 * p, 0.4 * (1 - p), 0.4 * p] for p in rates]) / len(rates)
    counts = generator.multinomial(n, cells.ravel()).reshape(len(rates), 2, 2)
    return Cube(attributes=("g",), levels=(tuple(f"{i}" for i in range(len(rates))),), counts=counts)


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_a_group_against_all_rows_is_held_as_often_as_promised(gap: float) -> None:
    """500 samples: the standard error at .95 is .0097. Taken as independent of all rows, 99.9 % would hold."""
    generator = np.random.default_rng(37)
    rates = np.array([0.7, 0.7 - gap])
    held = np.zeros(2)
    for _ in range(500):
        cube = drawn(rates, 1_000, generator)
        for at, form in enumerate(("difference", "ratio")):
            number = family.family(cube, ["selection_rate"], [("g",)], "overall", form)[0].number  # type: ignore[arg-type]
            assert number.bounds is not None
            low, high = number.bounds(0.95, "two-sided")
            truth = gap / 2 if form == "difference" else 0.7 / (0.7 - gap / 2)
            held[at] += low <= truth <= high
    assert (held / 500 >= 0.92).all() and (held / 500 <= 0.98).all(), held / 500


def test_intervals_of_a_family_hold_together() -> None:
    """Six groups against all rows, equal in truth: 200 samples, standard error .015 at .95; one by one 75 % would."""
    generator = np.random.default_rng(41)
    held = {"none": 0, "max-t": 0}
    for _ in range(200):
        cube = drawn(np.full(6, 0.3), 2_000, generator)
        members = family.family(cube, ["selection_rate"], [("g",)], "overall")
        for method in held:
            found = family.together(cube, members, method=method, confidence=0.95, min_group_size=1)  # type: ignore[arg-type]
            held[method] += all(one.intervals[0].lower <= 0 <= one.intervals[0].upper for one in found)  # type: ignore[operator]
    assert held["max-t"] / 200 >= 0.9
    assert held["none"] / 200 <= 0.87


def test_flags_of_equal_groups_are_rare() -> None:
    """Holm: anything flagged in at most 5 % of samples. 600 samples, standard error .009; threshold three above."""
    generator = np.random.default_rng(43)
    mistaken = 0
    for _ in range(600):
        members = family.family(drawn(np.full(5, 0.1), 300, generator), ["selection_rate"], [("g",)], "overall")
        mistaken += any(flag.flagged for flag in family.flags(members, method="holm", alpha=0.05))
    assert mistaken / 600 <= 0.077


# --- the bootstrap on the cube ----------------------------------------------------------------------------


def test_the_cube_bootstrap_of_f1_holds() -> None:
    """400 samples of 600 rows: standard error .011 at .95."""
    generator = np.random.default_rng(47)
    cells = np.array([0.55, 0.1, 0.1, 0.25])
    truth = 2 * 0.25 / (2 * 0.25 + 0.2)
    f1 = bootstrap.Functional(
        name="f1", of=lambda c: 2 * c[:, 0, 1, 1] / (2 * c[:, 0, 1, 1] + c[:, 0, 0, 1] + c[:, 0, 1, 0])
    )
    held = 0
    for at in range(400):
        counts = generator.multinomial(600, cells).reshape(1, 2, 2)
        made = bootstrap.draws(counts, replicates=1_000, seed=at)
        found = bootstrap.percentile(f1, counts, counts, made, by=("g",), confidence=0.95)
        held += found.intervals[0].lower <= truth <= found.intervals[0].upper  # type: ignore[operator]
    assert held / 400 >= 0.92


@pytest.mark.parametrize("groups", [2, 5])
def test_a_hidden_maximum_is_refused_where_it_would_fail(groups: int) -> None:
    """A caller's own largest-minus-smallest of equal groups: refused in at least 99 of 100 samples."""

    def spread(cubes: NDArray[np.float64]) -> NDArray[np.float64]:
        rates = cubes[..., 1].sum(axis=-1) / cubes.sum(axis=(-1, -2))
        return np.ptp(rates, axis=1)  # type: ignore[no-any-return]

    hidden = bootstrap.Functional(name="spread", of=spread, smooth=False)
    generator = np.random.default_rng(53)
    refused = 0
    for at in range(100):
        counts = drawn(np.full(groups, 0.3), 2_000, generator).counts
        made = bootstrap.draws(counts, replicates=1_000, seed=at)
        try:
            bootstrap.percentile(hidden, counts, counts, made, by=("g",), confidence=0.95)
        except DataError as error:
            refused += "not smooth" in str(error)
    assert refused >= 99


def test_whole_clusters_are_drawn_where_rows_of_a_person_are_alike() -> None:
    """Persons with four rows of one outcome: rows drawn one by one hold in about 67 %, whole persons in 95 %.

    300 samples: standard error .013.
    """
    from ml_governance.assess.rows import clusters

    generator = np.random.default_rng(59)
    rate = bootstrap.Functional(name="rate", of=lambda c: c[:, 0, 0, 1] / c[:, 0].sum(axis=(-1, -2)))
    held = np.zeros(2)
    for at in range(300):
        person = np.repeat(np.arange(150), 4)
        cell = np.repeat((generator.random(150) < 0.3).astype(np.intp), 4)
        counts = np.bincount(cell, minlength=4).reshape(1, 2, 2)
        whole = bootstrap.cluster_draws(clusters(cell, 4, person), (1, 2, 2), replicates=1_000, seed=at)
        single = bootstrap.draws(counts, replicates=1_000, seed=at)
        for which, made in enumerate((whole, single)):
            found = bootstrap.percentile(rate, counts, counts, made, by=("g",), confidence=0.95)
            held[which] += found.intervals[0].lower <= 0.3 <= found.intervals[0].upper  # type: ignore[operator]
    assert held[0] / 300 >= 0.9
    assert held[1] / 300 <= 0.8
