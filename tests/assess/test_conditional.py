from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.proportion import confint_proportions_2indep

from ml_governance import assess_fairness
from ml_governance.assess import conditional
from ml_governance.assess.cube import Cube
from ml_governance.errors import DataError

Floats = NDArray[np.float64]
BERKELEY = {
    "A": (512, 825, 89, 108), "B": (353, 560, 17, 25), "C": (120, 325, 202, 593), "D": (138, 417, 131, 375),
    "E": (53, 191, 94, 393), "F": (22, 373, 24, 341),
}  # fmt: skip
"""Men admitted and applying, women admitted and applying, by department: Bickel et al., Science 187 (1975) 398."""


def cube_of(k: Any, n: Any) -> Cube:
    """Return a cube with k selected of n rows, by stratum (first axis) and group (second)."""
    k, n = np.asarray(k), np.asarray(n)
    counts = np.zeros((*k.shape, 2, 2), dtype=np.int64)
    counts[..., 0, 1], counts[..., 0, 0] = k, n - k
    levels = tuple(tuple(f"{name}{i:02d}" for i in range(size)) for name, size in zip("sg", k.shape, strict=True))
    return Cube(attributes=("stratum", "group"), levels=levels, counts=counts)


def measured(k: Any, n: Any, **options: Any) -> conditional.Conditional:
    return conditional.conditional(cube_of(k, n), by=("group",), control=("stratum",), **options)


def admissions() -> tuple[Floats, Floats]:
    table = np.array(list(BERKELEY.values()))
    return table[:, [0, 2]], table[:, [1, 3]]


def table_of(seed: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    n = generator.integers(1, 60, (4, 2))
    return generator.binomial(n, generator.uniform(0.1, 0.9, (4, 2))), n  # type: ignore[return-value]


tables = st.integers(0, 10_000).map(table_of)


# --- agreement with others ----------------------------------------------------------------------------------


@given(tables)
def test_the_pooled_ratio_and_its_variance_agree_with_statsmodels(table: Any) -> None:
    k, n = (array.astype(float) for array in table)
    if min(k[:, 0].sum(), k[:, 1].sum()) == 0:
        return
    value, variance = conditional.risk_ratio(k[:, 0], n[:, 0], k[:, 1], n[:, 1])
    theirs = StratifiedTable([np.array([[a, b - a], [c, d - c]]) for (a, c), (b, d) in zip(k, n, strict=True)])
    # statsmodels names the Mantel-Haenszel risk ratio by this attribute; of its variance it has none.
    assert value == pytest.approx(theirs.riskratio_pooled, rel=1e-12)
    p, q = k[:, 0] * n[:, 1] / n.sum(axis=1), k[:, 1] * n[:, 0] / n.sum(axis=1)
    greenland = (
        (n.prod(axis=1) * k.sum(axis=1) - k.prod(axis=1) * n.sum(axis=1)) / n.sum(axis=1) ** 2
    ).sum() / (p.sum() * q.sum())  # fmt: skip
    assert variance == pytest.approx(greenland, rel=1e-12)


@given(tables)
def test_the_pooled_difference_is_the_weighted_mean_of_the_strata(table: Any) -> None:
    k, n = (array.astype(float) for array in table)
    gaps, weights = k[:, 0] / n[:, 0] - k[:, 1] / n[:, 1], n.prod(axis=1) / n.sum(axis=1)
    value, variance = conditional.risk_difference(k[:, 0], n[:, 0], k[:, 1], n[:, 1])
    assert value == pytest.approx(np.average(gaps, weights=weights), abs=1e-12)
    assert variance >= 0


def test_the_variance_of_sato_is_that_of_the_estimate() -> None:
    """Over 20,000 samples; both in few large and in many small strata, which is what Sato's is for."""
    generator = np.random.default_rng(1)
    for strata, size in ((3, 150), (60, 4)):
        n = np.full((strata, 2), size, dtype=float)
        p = generator.uniform(0.2, 0.8, (strata, 1)) + np.array([[0.0, 0.1]])
        k = generator.binomial(size, p, size=(20_000, strata, 2)).astype(float)
        found = np.array([conditional.risk_difference(one[:, 0], n[:, 0], one[:, 1], n[:, 1]) for one in k])
        assert found[:, 1].mean() == pytest.approx(found[:, 0].var(), rel=0.05)


def test_one_stratum_is_the_plain_comparison() -> None:
    k, n = np.array([[30, 60]]), np.array([[100, 120]])
    found = measured(k, n)
    assert found.difference.value == pytest.approx(0.2, abs=1e-15)
    assert found.ratio.value == pytest.approx(0.6, abs=1e-15)
    for one, low_high in (
        (found.difference, confint_proportions_2indep(60, 120, 30, 100, method="agresti-caffo", compare="diff")),
        (found.ratio, confint_proportions_2indep(30, 100, 60, 120, method="score", compare="ratio")),
    ):
        # The lower bound of the worst pair of two looks at both orders, so it is a little wider than theirs.
        interval = one.intervals[0]
        assert interval.lower == pytest.approx(low_high[0], abs=0.03)
        assert interval.upper == pytest.approx(low_high[1], abs=0.06)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([False, True]))
def test_strata_agree_with_the_control_features_of_fairlearn(seed: int, weighted: bool) -> None:
    generator = np.random.default_rng(seed)
    n = 400
    frame = pd.DataFrame(
        {
            "g": generator.choice(list("abc"), n), "c": generator.choice(["x", "y"], n), "d": generator.choice(["u", "v"], n),
            "y": generator.integers(0, 2, n), "p": generator.integers(0, 2, n), "w": generator.random(n) + 0.1,
        }
    )  # fmt: skip
    weight = frame.w if weighted else None
    ours = assess_fairness(
        y_true=frame.y, y_pred=frame.p, sensitive_features={"g": frame.g}, control_features=frame[["c", "d"]],
        sample_weight=weight,
    )  # fmt: skip
    theirs = fairlearn.MetricFrame(
        metrics=fairlearn.selection_rate, y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["g"]],
        control_features=frame[["c", "d"]], sample_params={"sample_weight": weight} if weighted else None,
    )  # fmt: skip
    (shown,) = ours.details["conditional"]
    seen = {
        (*one["stratum"], *each["group"]): each["numerator"] / each["denominator"]
        for one in shown["strata"] for each in one["groups"]
    }  # fmt: skip
    assert seen == pytest.approx({key: float(value) for key, value in theirs.by_group.items()}, abs=1e-12)  # type: ignore[misc]


# --- what it is for -----------------------------------------------------------------------------------------


def test_the_gap_of_berkeley_vanishes_within_departments() -> None:
    k, n = admissions()
    crude = k.sum(axis=0) / n.sum(axis=0)
    assert crude[0] - crude[1] > 0.13
    found = measured(k, n)
    assert found.difference.value < 0.03  # type: ignore[operator]
    assert found.ratio.value > 0.9  # type: ignore[operator]
    signed, _ = conditional.risk_difference(*(np.asarray(a, dtype=float) for a in (k[:, 0], n[:, 0], k[:, 1], n[:, 1])))
    assert signed < 0  # within departments, women are admitted a little more often
    assert found.uninformative == 0 and len(found.strata) == 6


def test_a_gap_can_be_hidden_by_the_sum_and_is_found() -> None:
    """Equal rates over all rows, 20 points apart in every stratum."""
    k, n = np.array([[80, 180], [120, 20]]), np.array([[100, 300], [300, 100]])
    assert (k.sum(axis=0) / n.sum(axis=0)).tolist() == [0.5, 0.5]
    assert measured(k, n).difference.value == pytest.approx(0.2, abs=1e-15)


def test_strata_that_oppose_each_other_cancel_and_are_therefore_shown_one_by_one() -> None:
    opposed = measured([[90, 60], [10, 40]], [[100, 100], [100, 100]])
    assert opposed.difference.value == 0
    assert [one.groups[0][1:] for one in opposed.strata] == [(90, 100), (10, 100)]


@given(tables, st.permutations(range(4)))
def test_neither_the_order_of_strata_nor_splitting_a_group_by_nothing_changes_anything(table: Any, order: Any) -> None:
    k, n = table
    one, two = measured(k, n), measured(k[list(order)], n[list(order)])
    assert one.difference.value == pytest.approx(two.difference.value, abs=1e-12)
    swapped = measured(k[:, ::-1], n[:, ::-1])
    assert one.difference.value == pytest.approx(swapped.difference.value, abs=1e-12)
    assert (one.ratio.value is None) == (swapped.ratio.value is None)
    if one.ratio.value is not None:
        assert one.ratio.value == pytest.approx(swapped.ratio.value, abs=1e-12)
        assert 0 <= one.ratio.value <= 1
    for each in (one.difference, one.ratio):
        for interval in each.intervals:
            assert 0 <= interval.lower <= each.value <= interval.upper <= 1  # type: ignore[operator]


# --- intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize(("strata", "size"), [(4, 60), (40, 6)])
@pytest.mark.parametrize("gap", [0.0, 0.15])
def test_intervals_of_the_pooled_difference_and_ratio_hold(groups: int, strata: int, size: int, gap: float) -> None:
    """300 samples: at .95 the standard error is .013. The groups' gap, or ratio, is the same in every stratum."""
    generator = np.random.default_rng(7)
    held = np.zeros(2)
    n = np.full((strata, groups), size)
    base = generator.uniform(0.25, 0.6, (strata, 1))
    apart = base + gap * (np.arange(groups) == groups - 1)
    times = base * (1 + gap * (np.arange(groups) == groups - 1))
    truths = gap, 1 / (1 + gap)
    for _ in range(300):
        for place, p in enumerate((apart, times)):
            found = measured(generator.binomial(n, p), n, min_group_size=10)
            interval = (found.difference, found.ratio)[place].intervals[0]
            held[place] += interval.lower <= truths[place] <= interval.upper  # type: ignore[operator]
    assert (held / 300 >= 0.93).all(), held / 300


def test_no_case_in_a_group_is_not_certainty() -> None:
    found = measured([[0, 9], [0, 12]], [[20, 20], [20, 20]])
    assert found.ratio.value == 0
    assert 0 < found.ratio.intervals[0].upper < 1  # type: ignore[operator]
    assert found.difference.intervals[0].lower < found.difference.value  # type: ignore[operator]


# --- what cannot be compared, and bad input -----------------------------------------------------------------


def test_groups_that_never_meet_cannot_be_compared() -> None:
    found = measured([[30, 0], [0, 40]], [[50, 0], [0, 60]])
    for one in (found.difference, found.ratio):
        assert one.status == "undefined" and "never in the same stratum" in (one.reason or "")
    assert found.uninformative == 2


def test_one_group_cannot_be_compared() -> None:
    found = measured([[30], [20]], [[50], [60]])
    assert found.difference.status == "undefined" and "one group" in (found.difference.reason or "")


def test_nobody_selected_is_equal_and_has_no_ratio() -> None:
    found = measured([[0, 0], [0, 0]], [[50, 60], [40, 50]])
    assert found.difference.value == 0 and found.difference.intervals[0].upper > 0.02  # type: ignore[operator]
    assert found.ratio.status == "undefined" and "0/0" in (found.ratio.reason or "")


def test_rows_in_strata_of_one_group_do_not_count_as_comparable() -> None:
    found = measured([[5, 5], [90, 0]], [[10, 10], [200, 0]], min_group_size=30)
    assert found.difference.status == "insufficient" and "comparable" in (found.difference.reason or "")
    assert found.difference.value is not None


@pytest.mark.parametrize("factor", [0.001, 1_000.0])
def test_weights_do_not_make_a_small_group_large(factor: float) -> None:
    generator = np.random.default_rng(1)
    n = 400
    g, c = np.where(np.arange(n) < 20, "few", "many"), np.arange(n) % 2
    found = assess_fairness(
        y_true=generator.integers(0, 2, n), y_pred=generator.integers(0, 2, n), sensitive_features={"g": g},
        control_features={"c": c}, sample_weight=np.full(n, factor),
    ).get("conditional_demographic_parity_difference", ("g",))  # fmt: skip
    assert found.status == "insufficient" and "few" in (found.reason or "") and "many" not in (found.reason or "")
    assert found.intervals == ()


def test_a_group_of_zero_weights_is_undefined() -> None:
    n = 200
    g, c = np.array(["a", "b"])[np.arange(n) % 2], np.arange(n) % 3
    found = assess_fairness(
        y_true=np.arange(n) % 2, y_pred=(np.arange(n) // 2) % 2, sensitive_features={"g": g}, control_features={"c": c},
        sample_weight=np.where(g == "b", 0.0, 1.0),
    )  # fmt: skip
    assert found.get("conditional_demographic_parity_difference", ("g",)).status == "undefined"


def test_a_missing_control_value_is_a_stratum_of_its_own() -> None:
    n = 120
    c = pd.Series(np.where(np.arange(n) % 3 == 0, None, "x"), dtype=object)
    found = assess_fairness(
        y_true=np.arange(n) % 2, y_pred=(np.arange(n) // 2) % 2, sensitive_features={"g": np.arange(n) // 60},
        control_features={"c": c},
    )  # fmt: skip
    assert [one["stratum"] for one in found.details["conditional"][0]["strata"]] == [["x"], ["(missing)"]]


def test_other_rates_can_be_compared_too() -> None:
    generator = np.random.default_rng(3)
    counts = generator.integers(5, 40, (3, 2, 2, 2))
    cube = Cube(attributes=("c", "g"), levels=(("x", "y", "z"), ("a", "b")), counts=counts)
    found = conditional.conditional(cube, by=("g",), control=("c",), metric="true_positive_rate")
    k, n = counts[:, :, 1, 1].astype(float), counts[:, :, 1].sum(axis=2).astype(float)
    gap, _ = conditional.risk_difference(k[:, 0], n[:, 0], k[:, 1], n[:, 1])
    assert found.difference.value == pytest.approx(abs(gap), abs=1e-15)
    assert found.difference.metric == "conditional_true_positive_rate_difference"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"control": ("group",)}, "both a sensitive feature and a control feature"),
        ({"metric": "roc_auc"}, "is no rate"),
        ({"confidence": 1.0}, "confidence"),
        ({"min_group_size": 0}, "min_group_size"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], words: str) -> None:
    k, n = admissions()
    with pytest.raises(DataError, match=words):
        conditional.conditional(cube_of(k, n), **{"by": ("group",), "control": ("stratum",), **options})


def test_two_that_meet_in_no_stratum_have_no_number_at_all() -> None:
    empty = np.zeros(2)
    assert all(math.isnan(one) for one in conditional.risk_difference(empty, empty, empty, np.ones(2)))
    assert all(math.isnan(one) for one in conditional.risk_ratio(empty, empty, empty, np.ones(2)))


def test_only_the_largest_strata_are_shown_and_it_is_said_how_many_are_not() -> None:
    n = np.full((130, 2), 2)
    n[7] = 50
    shown = measured(n // 2, n).to_dict()
    assert len(shown["strata"]) == 100 and shown["not_shown"] == 30
    assert shown["strata"][0]["stratum"] == ["s07"]
