"""Two models on the same rows: against statsmodels, scipy and DeLong's published formula, and how often the bounds hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_rel
from sklearn.metrics import log_loss, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from ml_governance import Costs, compare_models
from ml_governance.assess.pairing import RATES, count_pairs, joint_counts
from ml_governance.assess.sensitive import read
from ml_governance.errors import DataError


def sample(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Return labels, and scores of two models that see the same thing through noise of their own."""
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < 0.4).astype(int)
    seen = y + generator.normal(size=n)
    one, two = (norm.cdf(seen + generator.normal(0, noise, n) - 0.5) for noise in (0.5, 0.8))
    return y, np.clip(one, 1e-6, 1 - 1e-6), np.clip(two, 1e-6, 1 - 1e-6)


def interval(one: Any, sides: str = "two-sided") -> tuple[float, float]:
    found = next(i for i in one.difference.intervals if i.sides == sides)
    return found.lower, found.upper


@given(st.integers(0, 1000), st.integers(20, 300))
def test_numbers_and_tests_agree_with_statsmodels_scipy_and_scikit_learn(seed: int, n: int) -> None:
    y, one, two = sample(n, seed)
    if y.min() == y.max():
        return
    report = compare_models(y_true=y, first_score=one, second_score=two)
    right = [(score >= 0.5).astype(int) == y for score in (one, two)]
    table = [
        [(right[0] & right[1]).sum(), (right[0] & ~right[1]).sum()],
        [(~right[0] & right[1]).sum(), (~right[0] & ~right[1]).sum()],
    ]
    accuracy = report.get("accuracy")
    assert accuracy.p_value == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-9)
    assert accuracy.difference.value == pytest.approx(right[0].mean() - right[1].mean())
    auc = report.get("roc_auc")
    assert (auc.first, auc.second) == pytest.approx((roc_auc_score(y, one), roc_auc_score(y, two)), abs=1e-12)
    assert report.get("log_loss").first == pytest.approx(log_loss(y, one), abs=1e-9)
    brier = report.get("brier_score")
    expected = ttest_rel((one - y) ** 2, (two - y) ** 2).confidence_interval(0.95)
    assert interval(brier) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_variance_of_the_difference_of_aucs_is_delongs() -> None:
    """By the definition: covariances of the structural components, in loops (DeLong et al. 1988, equations 4 to 6)."""
    y, one, two = sample(60, 3)
    m, n = int(y.sum()), int((1 - y).sum())

    def psi(x: float, z: float) -> float:
        return 1.0 if x > z else 0.5 if x == z else 0.0

    v10 = [[np.mean([psi(x, z) for z in s[y == 0]]) for x in s[y == 1]] for s in (one, two)]
    v01 = [[np.mean([psi(x, z) for x in s[y == 1]]) for z in s[y == 0]] for s in (one, two)]
    covariance = np.cov(v10) / m + np.cov(v01) / n
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = compare_models(y_true=y, first_score=one, second_score=two).get("roc_auc")
    gap = roc_auc_score(y, one) - roc_auc_score(y, two)
    assert interval(found) == pytest.approx((gap - 1.959964 * error, gap + 1.959964 * error), abs=1e-6)


def test_paired_intervals_hold_and_are_narrower_than_unpaired_ones() -> None:
    truth, held, width = {}, dict.fromkeys(("accuracy", "roc_auc", "brier_score", "mean_cost"), 0), 0.0
    costs = Costs(false_positive=1, false_negative=4)
    y, one, two = sample(150_000, 10**6)
    large = compare_models(y_true=y, first_score=one, second_score=two, costs=costs)
    truth = {name: large.get(name).difference.value for name in held}
    for seed in range(250):
        y, one, two = sample(200, seed)
        report = compare_models(y_true=y, first_score=one, second_score=two, costs=costs)
        for name in held:
            lower, upper = interval(report.get(name))
            held[name] += lower <= truth[name] <= upper  # type: ignore[operator]
        width += np.subtract(*interval(report.get("accuracy"))[::-1]) / 250
    assert min(held.values()) / 250 >= 0.92
    assert width < 2 * 1.96 * np.sqrt(2 * 0.21 / 200) * 0.8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("same", "same score"),
        ("perfect", "AUC is 0 or 1"),
        ("clusters", "in clusters"),
        ("one class", "only one class"),
    ],
)
def test_delongs_interval_is_withheld_where_it_says_nothing(change: str, words: str) -> None:
    y, one, two = sample(200, 1)
    options: dict[str, Any] = {"y_true": y, "first_score": one, "second_score": two}
    if change == "same":
        options["second_score"] = one
    elif change == "perfect":
        options["first_score"] = np.where(y == 1, 0.9, 0.1)
    elif change == "clusters":
        options["cluster"] = np.arange(200) // 4
    else:
        options["y_true"] = np.ones(200, dtype=int)
    found = compare_models(**options).get("roc_auc").difference
    assert found.intervals == () and words in (found.reason or "")
    assert found.status == ("undefined" if change == "one class" else "ok")


def test_no_verdict_is_given_without_an_interval() -> None:
    y, one, _ = sample(200, 1)
    report = compare_models(y_true=y, first_score=one, second_score=one)
    with pytest.raises(DataError, match="no interval"):
        report.non_inferior("roc_auc", margin=0.1)
    assert report.non_inferior("accuracy", margin=0.05) == "non-inferior"


def test_non_inferiority_knows_which_way_is_better() -> None:
    y, one, _ = sample(2000, 2)
    noise = norm.cdf(np.random.default_rng(0).normal(size=2000))
    report = compare_models(y_true=y, first_score=noise, second_score=one)
    for name in ("accuracy", "roc_auc", "brier_score", "log_loss"):
        assert report.non_inferior(name, margin=0.001) == "inferior", name
    back = compare_models(y_true=y, first_score=one, second_score=noise)
    for name in ("accuracy", "roc_auc", "brier_score", "log_loss"):
        assert back.non_inferior(name, margin=0) == "non-inferior", name
    with pytest.raises(DataError, match="neither"):
        report.non_inferior("selection_rate", margin=0.1)
    with pytest.raises(DataError, match="margin"):
        report.non_inferior("accuracy", margin=-0.1)


def test_rows_of_one_person_are_not_counted_as_many() -> None:
    y, one, two = sample(60, 5)
    alone = compare_models(y_true=y, first_score=one, second_score=two)
    repeated = {"y_true": np.repeat(y, 10), "first_score": np.repeat(one, 10), "second_score": np.repeat(two, 10)}
    honest = compare_models(**repeated, cluster=np.repeat(np.arange(60), 10))
    naive = compare_models(**repeated)
    assert interval(honest.get("brier_score")) == pytest.approx(interval(alone.get("brier_score")), rel=1e-9)
    assert np.subtract(*interval(naive.get("accuracy"))) > 0.5 * np.subtract(*interval(honest.get("accuracy")))
    assert honest.clusters == 60 and honest.get("accuracy").p_value is None


@given(st.integers(0, 100))
def test_the_cube_of_all_rows_is_that_of_its_shards(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = 90
    y, a, b = (generator.integers(0, 2, n) for _ in range(3))
    g = generator.choice(["x", "y", "z"], n)
    whole = count_pairs(y, a, b, read({"g": g}, n))
    parts = [count_pairs(y[i], a[i], b[i], read({"g": g[i]}, len(i))) for i in np.array_split(np.arange(n), 3)]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged.levels == whole.levels and np.array_equal(merged.counts, whole.counts)
    for one in joint_counts(y, a, b, {"g": g}):
        inside = np.ones(n, dtype=bool) if not one["by"] else g == one["group"][0]
        case, label = RATES[one["metric"]]
        inside &= True if label is None else y == label
        mine, other = ((part == (y if case is None else case)) for part in (a, b))
        expected = [mine & other, mine & ~other, ~mine & other, ~mine & ~other]
        assert one["counts"] == [int((part & inside).sum()) for part in expected]


def test_small_groups_are_insufficient_and_groups_are_compared_by_name() -> None:
    y, one, two = sample(200, 7)
    report = compare_models(
        y_true=y, first_score=one, second_score=two, sensitive_features={"g": ["a"] * 190 + ["b"] * 10}
    )
    assert report.get("accuracy", by=("g",), group=("b",)).difference.status == "insufficient"
    assert report.get("accuracy", by=("g",), group=("a",)).difference.status == "ok"


def test_several_classes_and_regressions_are_compared_as_well() -> None:
    generator = np.random.default_rng(0)
    y = generator.choice(["a", "b", "c"], 400)
    good, poor = (pd.DataFrame(generator.dirichlet([1, 1, 1], 400) * (1 - w), columns=list("abc")) for w in (0.6, 0.2))
    for frame, w in ((good, 0.6), (poor, 0.2)):
        for name in "abc":
            frame[name] += w * (y == name)
    report = compare_models(y_true=y, first_score=good, second_score=poor, task="multiclass")
    assert report.non_inferior("log_loss", margin=0) == report.non_inferior("accuracy", margin=0) == "non-inferior"
    target = generator.normal(size=500)
    near, far = (target + generator.normal(0, s, 500) for s in (0.5, 1.0))
    numbers = compare_models(y_true=target, first=near, second=far, task="regression")
    assert numbers.get("root_mean_squared_error").first == pytest.approx(np.sqrt(((near - target) ** 2).mean()))
    assert numbers.non_inferior("mean_absolute_error", margin=0) == "non-inferior"
    assert numbers.cube is None


def test_what_one_model_has_and_the_other_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="other lacks"):
        compare_models(y_true=[0, 1], first=[0, 1])
    with pytest.raises(DataError, match="the task"):
        compare_models(y_true=[0, 1], first=[0, 1], second=[0, 1], task="ranking")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="differ in length"):
        compare_models(y_true=[0, 1], first=[0, 1], second=[0, 1, 1])


def test_a_comparison_reads_as_a_table() -> None:
    y, one, two = sample(200, 8)
    report = compare_models(y_true=y, first_score=one, second_score=two)
    assert {"metric", "difference", "lower", "upper", "p_value"} <= set(report.to_frame().columns)
    assert "roc_auc" in report.to_html() and "roc_auc" in repr(report)
    assert report.to_dict()["pairs"][0]["difference"]["metric"] == "accuracy"
