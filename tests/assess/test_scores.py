from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics as sklearn
from sklearn.calibration import calibration_curve

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess import calibration, histogram, ranks, roc, score_distances
from ml_governance.assess.histogram import Histogram, ScoreCube
from ml_governance.errors import DataError

Floats = NDArray[np.float64]
PER_GROUP = ("roc_auc", "brier_score", "ece", "ece_debiased")
DISTANCES = ("abroca", "score_ks", "score_wasserstein", "score_jensen_shannon")


def data(n: int, seed: int, *, decimals: int | None = None) -> pd.DataFrame:
    """Rows of two groups that differ; scores with ties if rounded."""
    generator = np.random.default_rng(seed)
    group = generator.choice(["a", "b"], n, p=[0.6, 0.4])
    score = generator.beta(np.where(group == "a", 2.0, 3.0), 2.5)
    score = score if decimals is None else score.round(decimals)
    y = (generator.random(n) < score**1.3).astype(int)
    y[:4], group[:4] = [0, 1, 0, 1], ["a", "a", "b", "b"]
    return pd.DataFrame({"g": group, "s": score, "y": y, "p": (score >= 0.5).astype(int), "w": generator.random(n) * 3})


def report(frame: pd.DataFrame, **options: Any) -> FairnessReport:
    given: dict[str, Any] = {
        "y_true": frame.y, "y_pred": frame.p, "y_score": frame.s, "sensitive_features": {"g": frame.g}, **options,
    }  # fmt: skip
    return assess_fairness(**given)


def histogram_of(true: Any, score: Any, weight: Any = None) -> Histogram:
    true = np.asarray(true, dtype=np.uint8)
    return histogram.count_scores(true, np.asarray(score, dtype=float), {}, weight).total()


def cube_of(frame: pd.DataFrame) -> ScoreCube:
    codes, levels = pd.factorize(frame.g, sort=True)
    return histogram.count_scores(
        frame.y.to_numpy(np.uint8), frame.s.to_numpy(float), {"g": (codes.astype(np.intp), tuple(levels))}
    )


def by_pairs(y: Any, score: Any) -> tuple[float, float]:
    """Return AUC and DeLong's variance from the matrix of all pairs: the definition."""
    high, low = score[y == 1], score[y == 0]
    wins = (high[:, None] > low[None, :]) + (high[:, None] == low[None, :]) / 2
    return float(wins.mean()), float(
        wins.mean(axis=1).var(ddof=1) / len(high) + wins.mean(axis=0).var(ddof=1) / len(low)
    )


# --- agreement with others ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(40, 500), st.sampled_from([None, 1, 2]))
def test_auc_and_brier_of_every_group_agree_with_scikit_learn(seed: int, n: int, decimals: int | None) -> None:
    frame = data(n, seed, decimals=decimals)
    found = report(frame)
    for group, rows in [((), frame), *(((name,), rows) for name, rows in frame.groupby("g"))]:
        by = ("g",) if group else ()
        assert found.get("roc_auc", by, group).value == pytest.approx(sklearn.roc_auc_score(rows.y, rows.s), abs=1e-12)
        brier = sklearn.brier_score_loss(rows.y, rows.s)
        assert found.get("brier_score", by, group).value == pytest.approx(brier, abs=1e-12)
    for name in ("roc_auc", "brier_score", "ece"):
        values = [found.get(name, ("g",), (group,)).value for group in ("a", "b")]
        if name != "ece":
            gap = found.get(f"{name}_difference", ("g",)).value
            assert gap == pytest.approx(max(values) - min(values), abs=1e-15)  # type: ignore[type-var,operator]


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_weighted_scores_agree_with_scikit_learn_to_what_bins_hide(seed: int) -> None:
    frame = data(300, seed, decimals=2)  # hundredths lie in bins of their own, so nothing is hidden
    found = report(frame, sample_weight=frame.w)
    for group, rows in frame.groupby("g"):
        auc = sklearn.roc_auc_score(rows.y, rows.s, sample_weight=rows.w)
        assert found.get("roc_auc", ("g",), (group,)).value == pytest.approx(auc, abs=1e-12)
        brier = sklearn.brier_score_loss(rows.y, rows.s, sample_weight=rows.w)
        assert found.get("brier_score", ("g",), (group,)).value == pytest.approx(brier, abs=1e-12)
        for name in PER_GROUP:
            assert found.get(name, ("g",), (group,)).intervals == ()
    for name in DISTANCES:
        assert found.get(name, ("g",)).intervals == ()
        assert "weighted" in (found.get(name, ("g",)).reason or "")


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(4, 120), st.sampled_from([None, 1]))
def test_delongs_variance_is_that_of_all_pairs(seed: int, n: int, decimals: int | None) -> None:
    generator = np.random.default_rng(seed)
    y = np.array([0, 0, 1, 1, *generator.integers(0, 2, n)], dtype=np.uint8)
    score = generator.random(n + 4)
    score = score if decimals is None else score.round(decimals)
    value, variance = by_pairs(y, score)
    found = ranks.exact_auc(y, score)
    assert found.value[0] == pytest.approx(value, abs=1e-14)
    assert found.variance[0] == pytest.approx(variance, abs=1e-14)
    if decimals:  # tenths lie in bins of their own
        binned = roc.auc(histogram_of(y, score))
        assert (binned.value, binned.variance) == pytest.approx((value, variance), abs=1e-14)


def test_the_compiled_auc_is_that_of_midranks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    n = 4_000
    group = generator.integers(0, 3, n)
    for score in (generator.random(n), generator.random(n).round(2), generator.beta(0.05, 0.05, n), np.full(n, 1.0)):
        y = (generator.random(n) < 0.4).astype(np.uint8)
        slow = ranks.exact_auc(y, score, group, 4)  # the fourth group has no row
        monkeypatch.setattr(ranks, "COMPILED_FROM", 1)
        fast = ranks.exact_auc(y, score, group, 4)
        monkeypatch.undo()
        np.testing.assert_allclose(fast.value, slow.value, rtol=0, atol=1e-14)
        np.testing.assert_allclose(fast.variance, slow.variance, rtol=1e-9, atol=1e-16)
        assert np.isnan(fast.value[3])


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(10, 400))
def test_the_exact_auc_is_within_the_stated_error_of_the_binned_one(seed: int, n: int) -> None:
    frame = data(n, seed)
    exact, binned = report(frame, exact_auc=True), report(frame, exact_auc=False)
    for group, rows in frame.groupby("g"):
        own = roc.auc(histogram_of(rows.y, rows.s))
        true = sklearn.roc_auc_score(rows.y, rows.s)
        assert abs(own.value - true) <= own.error + 1e-15
        wide = binned.get("roc_auc", ("g",), (group,))
        assert wide.intervals[0].method.endswith("binned")
        assert wide.intervals[0].lower <= true <= wide.intervals[0].upper  # type: ignore[operator]
        assert exact.get("roc_auc", ("g",), (group,)).value == pytest.approx(true, abs=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([False, True]))
def test_reliability_agrees_with_scikit_learn(seed: int, weighted: bool) -> None:
    frame = data(400, seed)
    weight = frame.w.to_numpy() if weighted else None
    made = calibration.calibration(histogram_of(frame.y, frame.s, weight))
    place = np.minimum((frame.s * 15).astype(int), 14)
    own = np.ones(len(frame)) if weight is None else weight
    ece = sum(
        own[place == b].sum() / own.sum()
        * abs(np.average(frame.y[place == b], weights=own[place == b]) - np.average(frame.s[place == b], weights=own[place == b]))
        for b in range(15) if own[place == b].sum() > 0
    )  # fmt: skip
    assert made.ece == pytest.approx(ece, abs=1e-12)
    if not weighted:
        rate, score = calibration_curve(frame.y, frame.s, n_bins=15)
        np.testing.assert_allclose(made.rate[made.rows > 0], rate, atol=1e-12)
        np.testing.assert_allclose(made.score[made.rows > 0], score, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_roc_curves_and_the_area_between_them_agree_with_scikit_learn(seed: int) -> None:
    frame = data(250, seed, decimals=2)
    curves = {}
    for group, rows in frame.groupby("g"):
        fpr, tpr, _ = sklearn.roc_curve(rows.y, rows.s, drop_intermediate=False)
        line = roc.curve(histogram_of(rows.y, rows.s))
        np.testing.assert_allclose(line.fpr, fpr, atol=1e-15)
        np.testing.assert_allclose(line.tpr, tpr, atol=1e-15)
        curves[group] = (fpr, tpr)
    (x, y), (u, v) = curves["a"], curves["b"]
    grid = np.unique(np.concatenate([x, u, (np.arange(200_000) + 0.5) / 200_000]))
    middle, width = (grid[1:] + grid[:-1]) / 2, np.diff(grid)
    area = float(np.abs(np.interp(middle, x, y) - np.interp(middle, u, v)) @ width)
    assert report(frame).get("abroca", ("g",)).value == pytest.approx(area, abs=2e-5)


def test_the_area_between_curves_is_exact_where_they_cross() -> None:
    one = roc.Curve(fpr=np.array([0.0, 0.5, 1.0]), tpr=np.array([0.0, 0.9, 1.0]))
    two = roc.Curve(fpr=np.array([0.0, 0.0, 0.8, 1.0]), tpr=np.array([0.0, 0.3, 0.5, 1.0]))

    def gap(t: float) -> float:
        return abs(float(np.interp(t, one.fpr, one.tpr)) - float(np.interp(t, two.fpr[1:], two.tpr[1:])))

    pieces = sorted({0.0, 0.3 / 1.55, 0.5, 0.8, 1.0})
    expected = sum(integrate.quad(gap, a, b)[0] for a, b in itertools.pairwise(pieces))
    assert roc.between(one, two) == pytest.approx(expected, abs=1e-9)
    assert roc.between(one, two) == pytest.approx(roc.between(two, one), abs=1e-15)
    assert roc.between(one, one) == 0


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(20, 400))
def test_distances_of_score_distributions_agree_with_scipy(seed: int, n: int) -> None:
    frame = data(n, seed, decimals=2)
    a, b = (frame.s[frame.g == group].to_numpy() for group in ("a", "b"))
    found = report(frame)
    assert found.get("score_ks", ("g",)).value == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    apart = stats.wasserstein_distance(a, b)
    assert found.get("score_wasserstein", ("g",)).value == pytest.approx(apart, abs=1 / histogram.BINS)
    shares = [np.bincount(np.minimum((one * 20 + 1e-9).astype(int), 19), minlength=20) for one in (a, b)]
    expected = jensenshannon(*shares, base=2)
    assert found.get("score_jensen_shannon", ("g",)).value == pytest.approx(expected, abs=1e-7)


def test_distances_are_the_largest_of_all_pairs() -> None:
    generator = np.random.default_rng(2)
    parts = [histogram_of(generator.integers(0, 2, 200), generator.beta(a, 3, 200)) for a in (2, 4, 3)]
    for name in ("ks", "wasserstein", "jensen_shannon", "abroca"):
        function = getattr(score_distances, name)
        every = {(i, j): function([parts[i], parts[j]]).value for i, j in itertools.combinations(range(3), 2)}
        found = function(parts)
        assert found.value == max(every.values())
        assert every[found.pair] == found.value


@settings(max_examples=6)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 50, 200]))
def test_every_threshold_counts_what_a_comparison_counts(seed: int, thresholds: int) -> None:
    frame = data(200, seed, decimals=2)
    swept = roc.sweep(cube_of(frame), thresholds)
    for row, (group,) in enumerate(swept.groups):
        own = frame[frame.g == group]
        for place, threshold in enumerate(swept.thresholds):
            chosen = own.s.to_numpy() >= threshold
            assert swept.selection_rate[row, place] == pytest.approx(chosen.mean(), abs=1e-12)
            tn, fp, fn, tp = sklearn.confusion_matrix(own.y, chosen, labels=[0, 1]).ravel()
            assert swept.true_positive_rate[row, place] == pytest.approx(tp / (tp + fn), abs=1e-12)
            assert swept.false_positive_rate[row, place] == pytest.approx(fp / (fp + tn), abs=1e-12)
    assert len(swept.to_frame()) == 2 * thresholds


# --- laws ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 3600), st.sampled_from([-1, 0, 1]))
def test_a_bin_holds_its_lower_edge_in_floating_point_too(place: int, step: int) -> None:
    edges = np.arange(3601) / 3600
    score = edges[place] if step == 0 else float(np.nextafter(edges[place], step * 9.0))
    score = min(max(score, 0.0), 1.0)
    counts = histogram_of([1], [score]).counts[1]
    assert int(np.argmax(counts)) == max(j for j in range(3600) if score >= edges[j])


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 199), st.randoms(use_true_random=False))
def test_shards_in_any_order_add_up_to_the_whole(seed: int, cut: int, random: Any) -> None:
    frame = data(200, seed)
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = frame.iloc[order]
    merged = cube_of(shuffled.iloc[:cut]).merge(cube_of(shuffled.iloc[cut:]))
    whole = cube_of(frame)
    assert merged.levels == whole.levels
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.scores, whole.scores, atol=1e-12)
    np.testing.assert_allclose(merged.errors, whole.errors, atol=1e-12)
    np.testing.assert_array_equal(merged.marginal(()).counts, whole.counts.sum(axis=0))


def test_the_compiled_pass_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = data(3_000, 5, decimals=3)
    slow = cube_of(frame)
    monkeypatch.setattr(histogram, "COMPILED_FROM", 1)
    fast = cube_of(frame)
    np.testing.assert_array_equal(fast.counts, slow.counts)
    np.testing.assert_allclose(fast.scores, slow.scores, atol=1e-12)
    np.testing.assert_allclose(fast.errors, slow.errors, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_turning_score_and_label_round_leaves_auc_and_brier_alone(seed: int) -> None:
    frame = data(150, seed, decimals=2)
    turned = frame.assign(y=1 - frame.y, s=1 - frame.s)
    for name in ("roc_auc", "brier_score", "ece"):
        one, two = (report(f).get(name, ("g",), ("a",)).value for f in (frame, turned))
        if name != "ece":  # bins hold their lower edge, so turning moves scores that lie on one
            assert one == pytest.approx(two, abs=1e-12), name


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_weights_count_only_by_their_proportions(seed: int, factor: float) -> None:
    frame = data(120, seed)
    one, two = (report(frame, sample_weight=frame.w * f) for f in (1.0, factor))
    for name in (*PER_GROUP, "roc_auc_difference"):
        by, group = ((), ()) if name in PER_GROUP else (("g",), ())
        values = one.get(name, by, group).value, two.get(name, by, group).value
        assert values[0] is values[1] is None or values[0] == pytest.approx(values[1], abs=1e-12)
    for name in DISTANCES:
        assert one.get(name, ("g",)).value == pytest.approx(two.get(name, ("g",)).value, abs=1e-9)


def test_equal_groups_are_at_distance_zero_and_disjoint_ones_at_distance_one() -> None:
    scores, y = np.tile([0.1, 0.4, 0.6, 0.9], 50), np.tile([0, 1, 0, 1], 50)
    same = pd.DataFrame({"s": [*scores, *scores], "y": [*y, *y], "g": ["a"] * 200 + ["b"] * 200})
    same["p"] = (same.s > 0.5).astype(int)
    for name in DISTANCES:
        assert report(same).get(name, ("g",)).value == 0, name
    apart = same.assign(s=np.where(same.g == "a", 0.0, 1.0))
    for name in DISTANCES[1:]:
        assert report(apart).get(name, ("g",)).value == pytest.approx(1, abs=1.001 / histogram.BINS), name


# --- what chance alone gives --------------------------------------------------------------------------------


def test_what_is_to_be_expected_by_chance_is_what_chance_gives() -> None:
    """Means over 300 samples of equal groups; each has a standard error of some 3 %."""
    generator = np.random.default_rng(11)
    sums = {name: np.zeros(2) for name in ("ks", "wasserstein", "jensen_shannon", "abroca")}
    calibrated = np.zeros(2)
    for _ in range(300):
        parts = []
        for n in (300, 500):
            score = generator.beta(2, 3, n)
            parts.append(histogram_of((generator.random(n) < score).astype(int), score))
        for name, total in sums.items():
            found = getattr(score_distances, name)(parts)
            total += found.value, found.by_chance
        made = calibration.calibration(parts[0])
        calibrated += made.ece, made.by_chance or math.nan
    for name, (seen, promised) in sums.items():
        assert 0.85 < seen / promised < 1.15, (name, seen / promised)
    assert 0.9 < calibrated[0] / calibrated[1] < 1.1


def test_taking_the_noise_out_brings_the_calibration_error_nearer_to_the_truth() -> None:
    """Scores that are off by .05 everywhere have the error .05; of 400 rows the plain estimate is too large."""
    generator = np.random.default_rng(8)
    plain, debiased = [], []
    for _ in range(200):
        score = generator.uniform(0.1, 0.9, 400)
        made = calibration.calibration(histogram_of((generator.random(400) < score + 0.05).astype(int), score))
        plain.append(made.ece)
        debiased.append(made.debiased)
    assert abs(np.mean(debiased) - 0.05) < 0.5 * abs(np.mean(plain) - 0.05)  # type: ignore[arg-type]
    assert all(one >= 0 for one in debiased)  # type: ignore[operator]


# --- intervals ----------------------------------------------------------------------------------------------


def binormal(generator: np.random.Generator, n: int, base: float, effect: float, shift: float = 0.0) -> Any:
    y = (generator.random(n) < base).astype(np.uint8)
    return y, stats.norm.cdf(generator.normal(effect * y + shift))


@pytest.mark.parametrize(("base", "effect"), [(0.5, 1.0), (0.2, 2.0), (0.1, 3.0), (0.02, 3.0), (0.5, 0.0)])
def test_intervals_of_the_auc_hold(base: float, effect: float) -> None:
    """600 samples: at .95 the standard error is .009, so .93 lies two of them below."""
    generator, held = np.random.default_rng(1), 0
    truth = stats.norm.cdf(effect / math.sqrt(2))
    for _ in range(600):
        n = 2_000 if base < 0.1 else 200
        y, score = binormal(generator, n, base, effect)
        value, variance = (one[0] for one in ranks.exact_auc(y, score)[:2])
        bounds, _ = roc.auc_bounds(value, variance, float(y.sum()), float(n - y.sum()))
        low, high = bounds(0.95, "two-sided")
        held += low <= truth <= high
    assert held / 600 >= 0.93


@pytest.mark.parametrize("effects", [(1.0, 1.0), (1.5, 0.5)])
def test_intervals_of_auc_and_brier_differences_hold(effects: tuple[float, float]) -> None:
    generator, held, samples = np.random.default_rng(2), np.zeros(2), 250
    aucs = stats.norm.cdf(np.array(effects) / math.sqrt(2))

    def mean(effect: float) -> float:
        def density(z: float) -> float:
            s = stats.norm.cdf(z)
            return float(0.5 * stats.norm.pdf(z - effect) * (s - 1) ** 2 + 0.5 * stats.norm.pdf(z) * s * s)

        return float(integrate.quad(density, -10, 12)[0])

    briers = [mean(effect) for effect in effects]
    truths = float(abs(aucs[0] - aucs[1])), abs(briers[0] - briers[1])
    for _ in range(samples):
        parts = [binormal(generator, n, 0.5, effect) for n, effect in zip((200, 300), effects, strict=True)]
        y, s = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        found = assess_fairness(
            y_true=y, y_pred=(s > 0.5).astype(int), y_score=s, sensitive_features={"g": ["a"] * 200 + ["b"] * 300}
        )
        for place, name in enumerate(("roc_auc_difference", "brier_score_difference")):
            interval = found.get(name, ("g",)).intervals[0]
            held[place] += interval.lower <= truths[place] <= interval.upper  # type: ignore[operator]
    assert (held / samples >= 0.93).all(), held / samples


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_projected_bounds_of_distances_hold(shift: float) -> None:
    """The inequality is conservative: nearly all hold."""
    generator, held, samples = np.random.default_rng(3), np.zeros(3), 150
    ks = 2 * stats.norm.cdf(shift / 2) - 1
    wasserstein = abs(stats.norm.cdf(shift / math.sqrt(2)) - 0.5)  # means of cdf(Z + shift), ordered alike
    for _ in range(samples):
        parts = []
        for own in (0.0, shift):
            y = generator.integers(0, 2, 300)
            parts.append(histogram_of(y, stats.norm.cdf(generator.normal(size=300) + own)))
        truths = (ks, wasserstein, 0.0)  # labels say nothing, so both curves are the diagonal
        for place, name in enumerate(("ks", "wasserstein", "abroca")):
            found = getattr(score_distances, name)(parts)
            low, high = found.bounds(0.95, "two-sided")
            held[place] += low - 1e-9 <= truths[place] <= high + 1e-9
            assert low <= found.value <= high
    assert (held / samples >= 0.95).all(), held / samples


@pytest.mark.parametrize("base", [0.05, *(pytest.param(one, marks=pytest.mark.full) for one in (0.5, 0.01))])
def test_intervals_of_the_brier_score_hold_where_errors_are_rare_and_large(base: float) -> None:
    """A score that is always the base rate: nearly all errors are small, and few are large. They are the zero cells of Brier."""
    generator, held, given, samples = np.random.default_rng(5), 0, 0, 500
    truth = base * (1 - base)
    for _ in range(samples):
        y = (generator.random(100) < base).astype(int)
        found = report(pd.DataFrame({"y": y, "s": base, "p": 0, "g": "a"})).get("brier_score")
        if found.intervals:
            given += 1
            held += found.intervals[0].lower - 1e-12 <= truth <= found.intervals[0].upper + 1e-12  # type: ignore[operator]
    assert given == 0 or held / given >= 0.93, held / max(given, 1)


# --- what cannot be measured, and bad input -----------------------------------------------------------------


def test_a_group_of_one_class_has_no_auc_and_nothing_is_compared_with_it() -> None:
    frame = data(200, 1)
    frame.loc[frame.g == "b", "y"] = 1
    found = report(frame)
    for name, group in (("roc_auc", ("b",)), ("roc_auc_difference", ()), ("abroca", ())):
        one = found.get(name, ("g",), group)
        assert one.status == "undefined" and "one class" in (one.reason or ""), name
        assert one.value is None and one.intervals == ()
    for name, group in (("brier_score", ("b",)), ("ece", ("b",)), ("score_ks", ())):
        assert found.get(name, ("g",), group).status == "ok"


def test_one_group_cannot_be_compared() -> None:
    found = report(data(100, 1).assign(g="a"))
    for name in ("roc_auc_difference", "brier_score_difference", "ece_debiased_difference", *DISTANCES):
        one = found.get(name, ("g",))
        assert one.status == "undefined" and "one group" in (one.reason or ""), name


def test_a_group_of_zero_weights_is_undefined_in_every_metric() -> None:
    frame = data(200, 1)
    found = report(frame, sample_weight=np.where(frame.g == "b", 0.0, 1.0))
    for name in PER_GROUP:
        assert found.get(name, ("g",), ("b",)).status == "undefined", name
        assert "weight 0" in (found.get(name, ("g",), ("b",)).reason or "")
    for name in ("roc_auc_difference", "brier_score_difference", *DISTANCES):
        assert found.get(name, ("g",)).status == "undefined", name


def test_few_rows_of_one_class_are_insufficient() -> None:
    frame = data(400, 1)
    frame["y"] = np.where(frame.g == "b", (np.arange(400) < 40).astype(int), frame.y)
    found = report(frame, min_group_size=30)
    assert (frame.y[frame.g == "b"]).sum() < 30
    one = found.get("roc_auc", ("g",), ("b",))
    assert one.status == "insufficient" and one.value is not None
    assert found.get("abroca", ("g",)).status == "insufficient"
    assert found.get("brier_score", ("g",), ("b",)).status == "ok"


def test_a_perfect_ranking_and_a_perfect_score_are_not_certain() -> None:
    y = [0] * 40 + [1] * 40
    frame = pd.DataFrame({"y": y, "p": y, "s": np.array(y, dtype=float), "g": ["a", "b"] * 40})
    found = report(frame, min_group_size=10)
    auc = found.get("roc_auc", ("g",), ("a",))
    assert auc.value == 1 and auc.intervals[0].lower < 0.95  # type: ignore[operator]
    brier = found.get("brier_score", ("g",), ("a",))
    assert brier.value == 0
    assert brier.intervals == () or brier.intervals[0].upper > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_score": [0.1, np.nan, 0.2, 0.3]}, "NaN"),
        ({"y_score": [0.1, np.inf, 0.2, 0.3]}, "infinite"),
        ({"y_score": [0.1, 1.01, 0.2, 0.3]}, "runs from"),
        ({"y_score": [0.1, -1e-9, 0.2, 0.3]}, "runs from"),
        ({"y_score": ["a", "b", "c", "d"]}, "not numeric"),
        ({"y_score": ["0.1", "0.2", "0.3", "0.4"]}, "not numeric"),
        ({"y_score": [0.1, 0.2, 0.3]}, "differ in length"),
        ({"y_score": []}, "empty"),
        ({"y_score": [None, 0.2, 0.3, 0.4]}, "NaN|missing|not numeric"),
        ({"y_score": np.ones((4, 2)) / 2}, "dimensions"),
        ({"sample_weight": [0, 0, 0, 0]}, "only zeros|all zero|weight"),
        ({"sample_weight": [1, np.nan, 1, 1]}, "NaN|weight"),
        ({"sample_weight": [1, -1, 1, 1]}, "negative|weight"),
        ({"sample_weight": [1, 1, 1]}, "differ in length"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], words: str) -> None:
    options: dict[str, Any] = {
        "y_true": [0, 1, 0, 1], "y_pred": [0, 1, 1, 0], "y_score": [0.1, 0.9, 0.8, 0.2],
        "sensitive_features": {"g": list("aabb")}, **change,
    }  # fmt: skip
    with pytest.raises(DataError, match=words):
        assess_fairness(**options)


def test_masked_scores_are_not_taken_for_scores() -> None:
    masked = np.ma.masked_array([0.1, 0.2, 0.3, 0.4], mask=[True, False, False, False])
    with pytest.raises(DataError):
        assess_fairness(
            y_true=[0, 1, 0, 1], y_pred=[0, 1, 1, 0], y_score=masked, sensitive_features={"g": list("aabb")}
        )


def test_too_many_groups_for_scores_are_said_to_be_so_and_rates_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = data(600, 1)
    monkeypatch.setattr(histogram, "MAX_CELLS", 20 * 2 * histogram.BINS)
    found = report(frame, sensitive_features={"g": frame.g, "many": np.arange(600) % 15})
    one = found.get("roc_auc_difference", ("g", "many"))
    assert one.status == "undefined" and "30 combinations" in (one.reason or "")
    assert found.get("roc_auc_difference", ("g",)).status == "ok"
    assert found.get("selection_rate_difference", ("g", "many")).value is not None


def test_pairs_of_very_many_groups_are_not_compared_in_silence() -> None:
    frame = data(3_000, 1).assign(g=(np.arange(3_000) % 100).astype(str))
    found = report(frame).get("score_ks", ("g",))
    assert found.status == "undefined" and "at most 64" in (found.reason or "")


@pytest.mark.parametrize(("bins", "words"), [(600, "600 bins"), (1024, "multiple of 600")])
def test_bins_that_do_not_fit_are_refused(bins: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        histogram.count_scores(np.zeros(2, dtype=np.uint8), np.zeros(2), {}, bins=bins)


def test_thresholds_between_edges_are_refused() -> None:
    with pytest.raises(DataError, match="7 thresholds"):
        roc.sweep(cube_of(data(50, 1)), 7)


def test_cubes_that_do_not_fit_are_not_added() -> None:
    frame = data(50, 1)
    whole = cube_of(frame)
    codes, levels = pd.factorize(frame.g, sort=True)
    coded = {"g": (codes.astype(np.intp), tuple(levels))}
    y, s = frame.y.to_numpy(np.uint8), frame.s.to_numpy(float)
    with pytest.raises(DataError, match="weighted"):
        whole.merge(histogram.count_scores(y, s, coded, frame.w.to_numpy()))
    with pytest.raises(DataError, match="bins"):
        whole.merge(histogram.count_scores(y, s, coded, bins=1200))


def test_drawings_are_bounded_and_plain() -> None:
    frame = data(1_000, 3).assign(g=(np.arange(1_000) % 40).astype(str))
    found = report(frame)
    (shown,) = found.details["scores"]
    assert len(shown["groups"]) == 24 and shown["groups_not_drawn"] == 16
    found.to_json()  # refuses NaN
