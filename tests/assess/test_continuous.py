from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist, pdist, squareform

from ml_governance import ContinuousReport, assess_continuous, assess_fairness
from ml_governance.assess import continuous
from ml_governance.errors import DataError

DEPENDENCE = ("spearman_correlation", "spearman_p_value", "distance_correlation", "distance_correlation_p_value")


def data(n: int = 400, seed: int = 0, *, effect: float = 0.02, ties: bool = False) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    age = generator.normal(45, 12, n).clip(18, 90)
    age = age.round() if ties else age
    rate = (0.4 + effect * (age - 45)).clip(0.02, 0.98)
    return pd.DataFrame({"age": age, "y": generator.integers(0, 2, n), "p": (generator.random(n) < rate).astype(int)})


def report(frame: pd.DataFrame, **options: Any) -> ContinuousReport:
    given: dict[str, Any] = {
        "y_true": frame.y, "y_pred": frame.p, "sensitive_feature": frame.age, "permutations": 99, **options,
    }  # fmt: skip
    return assess_continuous(**given)


def by_definition(a: Any, z: Any) -> float:
    """Return the distance correlation from the two centred matrices of all pairs (Szekely, Rizzo and Bakirov 2007)."""

    def centred(x: Any) -> Any:
        d = squareform(pdist(np.asarray(x, dtype=float)[:, None]))
        return d - d.mean(axis=0) - d.mean(axis=1)[:, None] + d.mean()

    one, two = centred(a), centred(z)
    covariance, variances = (one * two).mean(), (one * one).mean() * (two * two).mean()
    return math.sqrt(max(covariance, 0) / math.sqrt(variances))


# --- agreement with others ----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(3, 150), st.booleans())
def test_one_sort_gives_the_distance_correlation_of_all_pairs(seed: int, n: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    a = generator.lognormal(0, 1, n)
    a = a.round() if ties else a
    z = generator.integers(0, 2, n).astype(np.uint8)
    found = continuous.distance_correlation(a, z)
    if a.min() == a.max() or z.min() == z.max():
        assert math.isnan(found)
    else:
        assert found == pytest.approx(by_definition(a, z), abs=1e-7)
        assert found == pytest.approx(continuous.distance_correlation(1e6 - 3 * a, 1 - z), abs=1e-7)


def test_it_is_a_multiple_of_the_energy_distance_of_scipy() -> None:
    frame = data(500, 3)
    a, z = frame.age.to_numpy(), frame.p.to_numpy(np.uint8)
    energy = stats.energy_distance(a[z == 1], a[z == 0]) ** 2
    p = z.mean()
    scale = continuous._distance_variance(np.sort(a))
    assert continuous.distance_correlation(a, z) ** 2 == pytest.approx(
        p * (1 - p) * energy / math.sqrt(scale), rel=1e-9
    )


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(3, 300), st.booleans())
def test_the_rank_correlation_is_that_of_scipy(seed: int, n: int, ties: bool) -> None:
    frame = data(n, seed, ties=ties)
    if frame.p.nunique() < 2 or frame.age.nunique() < 2:
        return
    expected = stats.spearmanr(frame.age, frame.p).statistic
    assert continuous.spearman(frame.age.to_numpy(), frame.p.to_numpy(np.uint8)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(2, 15))
def test_the_local_curve_is_that_of_the_kernel_over_all_rows(seed: int, bandwidth: float) -> None:
    frame = data(300, seed)
    a, z = frame.age.to_numpy(), frame.p.to_numpy(np.uint8)
    curve = continuous.local_curve(a, z, bandwidth, 0.95, 10)
    grid = np.linspace(a.min(), a.max(), continuous.GRID)
    weight = np.exp(-((cdist(grid[:, None], a[:, None]) / bandwidth) ** 2) / 2)
    rate, rows = weight @ z / weight.sum(axis=1), weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1)
    known = np.isfinite(curve.rate)
    np.testing.assert_allclose(curve.rate[known], rate[known], atol=2e-3)
    np.testing.assert_allclose(curve.rows, rows, rtol=0.02)
    assert (curve.rows[known] >= 10).all() and not known[curve.rows < 10].any()
    assert (curve.lower[known] <= curve.rate[known]).all() and (curve.rate[known] <= curve.upper[known]).all()


def test_silvermans_bandwidth_is_that_of_the_book() -> None:
    a = np.random.default_rng(1).normal(0, 2, 100_000)
    assert continuous.silverman(a) == pytest.approx(0.9 * 2 * 1e-1, rel=0.02)
    heaped = np.array([5.0] * 90 + list(range(10)))
    assert continuous.silverman(heaped) > 0  # no spread between its quartiles


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_stated_bins_are_groups_like_any_others(seed: int) -> None:
    frame = data(300, seed, ties=True)
    edges = [30, 45, 60]
    names = np.array(["below 30", "30 to 45", "45 to 60", "60 or more"])
    group = names[np.searchsorted(edges, frame.age, side="right")]
    binned = report(frame, edges=edges)
    grouped = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features={"age": group})
    for one in grouped.measurements:
        if one.by:
            same = binned.get(one.metric, one.by, one.group)
            assert (same.value, same.n, same.status, same.intervals) == (one.value, one.n, one.status, one.intervals)


def test_edges_that_read_alike_are_still_different_bins() -> None:
    frame = data(300).assign(age=lambda f: 1_000_000 + f.age / 100)
    edges = [1_000_000.40, 1_000_000.45, 1_000_000.50]
    found = report(frame, edges=edges)
    sizes = [one.n for one in found.measurements if one.metric == "selection_rate" and one.group]
    assert len(sizes) == 4 and sum(sizes) == 300


# --- p-values -----------------------------------------------------------------------------------------------


def test_p_values_of_independent_decisions_are_uniform_and_those_of_dependent_ones_small() -> None:
    """Under independence at most a share alpha is below alpha, up to 300 samples' error; both with ties."""
    generator = np.random.default_rng(5)
    independent = np.array(
        [
            continuous._p_values(generator.normal(size=60).round(1), generator.integers(0, 2, 60), 199, generator)
            for _ in range(300)
        ]
    )
    for level in (0.05, 0.2, 0.5):
        share = (independent <= level).mean(axis=0)
        assert (np.abs(share - level) < 4 * math.sqrt(level * (1 - level) / 300)).all(), (level, share)
    bent = generator.normal(size=300)
    decided = (np.abs(bent) > 0.7).astype(np.uint8)  # both ends are chosen: ranks see nothing of it
    spearman, distance = continuous._p_values(bent, decided, 199, generator)
    assert distance == 1 / 200 and spearman > 0.01
    rising = (bent > 0).astype(np.uint8)
    assert continuous._p_values(bent, rising, 199, generator) == (1 / 200, 1 / 200)


def test_the_p_value_agrees_with_the_permutation_test_of_scipy() -> None:
    frame = data(40, 2)
    a, z = frame.age.to_numpy(), frame.p.to_numpy()
    theirs = stats.permutation_test(
        (z,), lambda x: abs(stats.spearmanr(a, x).statistic), permutation_type="pairings", n_resamples=1_999,
        alternative="greater", vectorized=False, rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    ours, _ = continuous._p_values(a, z.astype(np.uint8), 1_999, np.random.default_rng(2))
    assert ours == pytest.approx(theirs, abs=0.05)


def test_no_p_value_is_zero_and_the_seed_decides_it() -> None:
    frame = data(300, 1, effect=0.03)
    one, two = (report(frame, seed=4).get("distance_correlation_p_value", ("age",)).value for _ in range(2))
    assert one == two == 1 / 100


def test_large_tables_are_permuted_in_a_sample_and_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = data(2_000, 1)
    monkeypatch.setattr(continuous, "PERMUTED_ROWS", 500)
    found = report(frame)
    assert found.details["permuted_rows"] == 500
    expected = stats.spearmanr(frame.age, frame.p).statistic
    assert found.get("spearman_correlation", ("age",)).value == pytest.approx(expected, abs=1e-12)


# --- laws ---------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_unit_and_origin_of_the_attribute_matter(seed: int, random: Any) -> None:
    frame = data(120, seed, ties=True)
    order = list(range(120))
    random.shuffle(order)
    moved = frame.iloc[order].assign(age=lambda f: 100 + 12 * f.age)
    for name in ("spearman_correlation", "distance_correlation", "local_selection_rate_difference"):
        one, two = (report(f).get(name, ("age",)).value for f in (frame, moved))
        assert one is two is None or one == pytest.approx(two, abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(4, 200))
def test_every_number_is_typed(seed: int, n: int) -> None:
    frame = data(n, seed)
    for one in report(frame).measurements:
        if one.status == "undefined":
            assert one.value is None and one.reason
        else:
            low = -1 if one.metric == "spearman_correlation" else 0
            assert one.value is not None and low <= one.value <= 1


# --- intervals ----------------------------------------------------------------------------------------------


def test_pointwise_intervals_hold_where_the_curve_is_straight() -> None:
    """Where a straight line is smoothed among even rows nothing is bent, so only noise is left: 400 samples, error .011."""
    generator, held = np.random.default_rng(9), np.zeros(3)
    places = [120, 200, 280]
    for _ in range(400):
        a = np.linspace(0, 1, 600)
        z = (generator.random(600) < 0.2 + 0.4 * a).astype(np.uint8)
        curve = continuous.local_curve(a, z, 0.05, 0.95, 10)
        truth = 0.2 + 0.4 * np.array(places) / (continuous.GRID - 1)
        held += (curve.lower[places] <= truth) & (truth <= curve.upper[places])
    assert (held / 400 >= 0.93).all(), held / 400


# --- what cannot be measured, and bad input -----------------------------------------------------------------


@pytest.mark.parametrize("decision", [0, 1])
def test_one_decision_for_all_is_undefined_and_not_independent(decision: int) -> None:
    found = report(data().assign(p=decision))
    for name in DEPENDENCE:
        one = found.get(name, ("age",))
        assert one.status == "undefined" and "same prediction" in (one.reason or "")


def test_too_few_rows_leave_the_local_curve_undefined() -> None:
    found = report(data(20), min_group_size=30)
    one = found.get("local_selection_rate_difference", ("age",))
    assert one.status == "undefined" and "too few rows" in (one.reason or "")
    assert all(rate is None for rate in found.details["local"]["rate"])


def test_small_bins_are_insufficient() -> None:
    one = report(data(), edges=[80]).get("selection_rate", ("age",), ("80 or more",))
    assert one.status == "insufficient"


def test_the_name_is_that_of_the_column_or_what_is_said() -> None:
    assert report(data()).get("spearman_correlation", ("age",))
    assert report(data(), name="years").get("spearman_correlation", ("years",))
    assert report(data(), sensitive_feature=data().age.to_numpy()).get("spearman_correlation", ("sensitive_feature",))
    report(data()).to_json()  # refuses NaN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sensitive_feature": [20.0, np.nan, 30.0, 40.0]}, "NaN"),
        ({"sensitive_feature": [20.0, np.inf, 30.0, 40.0]}, "infinite"),
        ({"sensitive_feature": ["20", "30", "40", "50"]}, "not numeric"),
        ({"sensitive_feature": [20.0, 30.0]}, "differ in length"),
        ({"sensitive_feature": [30.0] * 4}, "30 in every row"),
        ({"y_pred": [0.1, 0.2, 0.9, 0.8]}, "probabilities"),
        ({"y_pred": ["no", "yes", "no", "yes"]}, "labels"),
        ({"permutations": 10}, "10 permutations"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": float("nan")}, "bandwidth"),
        ({"edges": [40, 30]}, "edges"),
        ({"edges": []}, "edges"),
        ({"edges": [float("nan")]}, "edges"),
        ({"edges": [1_000]}, "no row lies in"),
        ({"min_group_size": 0}, "min_group_size"),
        ({"confidence": 1}, "confidence"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = {
        "y_true": [0, 1, 0, 1], "y_pred": [0, 1, 1, 0], "sensitive_feature": [20.0, 30.0, 40.0, 50.0], **change,
    }  # fmt: skip
    with pytest.raises(DataError, match=words):
        assess_continuous(**options)
