"""Traps of other fairness libraries, one by one: what fairlearn answers today, and what ours does.

A test that fails because fairlearn changed is good news: say so here. AIF360 and aequitas live in environments of their own; their
traps are in test_peers.py, from answers that were kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn

from ml_governance import assess_fairness
from ml_governance.assess import relative, signed
from ml_governance.errors import DataError

Y, P, G = [0, 1] * 100, [0, 1, 1, 0] * 50, ["a"] * 100 + ["b"] * 100


def ours(y: Any = Y, p: Any = P, g: Any = G, **options: Any) -> Any:
    return assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": g}, **options)


def test_demographic_parity_goes_by_three_definitions_and_all_three_are_there_by_name() -> None:
    p = [1] * 60 + [0] * 40 + [1] * 30 + [0] * 70
    assert fairlearn.demographic_parity_difference(Y, p, sensitive_features=G) == pytest.approx(0.3)
    found = ours(p=p)
    assert found.difference("demographic_parity").value == pytest.approx(0.3)
    assert found.ratio("demographic_parity").value == pytest.approx(0.5)
    signed_gap = signed.statistical_parity_difference(found.cube, privileged_groups=[{"g": "a"}])
    assert signed_gap.value == pytest.approx(-0.3)
    (to_reference,) = relative.to_reference(found.cube, "selection_rate", "b")
    assert to_reference.ratio.value == pytest.approx(2)


def test_a_ratio_of_nothing_to_nothing_is_nan_there_and_undefined_with_a_reason_here() -> None:
    nobody = [0] * 200
    assert math.isnan(fairlearn.demographic_parity_ratio(Y, nobody, sensitive_features=G))
    one = ours(p=nobody).ratio("demographic_parity")
    assert one.status == "undefined" and one.value is None and "0/0" in (one.reason or "")


def test_a_group_without_positives_has_a_true_positive_rate_of_zero_there_and_none_here() -> None:
    """So that equalized odds are as far apart as they can be, by a rate that does not exist."""
    y, p = [0] * 100 + [1] * 100, [0] * 100 + [1] * 100
    frame = fairlearn.MetricFrame(metrics=fairlearn.true_positive_rate, y_true=y, y_pred=p, sensitive_features=G)
    assert frame.by_group["a"] == 0.0
    assert fairlearn.equalized_odds_difference(y, p, sensitive_features=G) == 1.0
    found = ours(y, p)
    rate = found.get("true_positive_rate", ("g",), ("a",))
    assert rate.status == "undefined" and "0/0" in (rate.reason or "")
    assert found.difference("equalized_odds").status == "undefined"


def test_text_labels_without_a_positive_one_are_fair_there_and_an_error_that_names_them_here() -> None:
    y, p = ["no", "yes"] * 100, ["no"] * 100 + ["yes"] * 100
    assert fairlearn.demographic_parity_difference(y, p, sensitive_features=G) == 0.0
    with pytest.raises(DataError, match=r"'no'.*'yes'"):
        ours(y, p)
    assert ours(y, p, pos_label="yes").difference("demographic_parity").value == 1.0


def test_probabilities_for_predictions_are_fair_there_and_an_error_here() -> None:
    p = [0.1] * 100 + [0.9] * 100
    assert fairlearn.demographic_parity_difference(Y, p, sensitive_features=G) == 0.0
    with pytest.raises(DataError, match="probabilities"):
        ours(p=p)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_sensitive_value_is_refused_there_and_a_group_of_its_own_here(missing: Any) -> None:
    g = pd.Series([missing] * 40 + G[40:], dtype=object)
    with pytest.raises(ValueError, match="missing values"):
        fairlearn.demographic_parity_difference(Y, P, sensitive_features=g)
    found = ours(g=g)
    assert found.get("selection_rate", ("g",), ("(missing)",)).n == 40
    assert sum(one.n for one in found.measurements if one.metric == "selection_rate" and one.group) == 200


def test_a_group_of_zero_weights_is_fair_there_and_undefined_here() -> None:
    weight = [0.0] * 100 + [1.0] * 100
    everybody = [1] * 200
    with pytest.warns(
        RuntimeWarning, match="invalid value"
    ):  # of numpy, for the division; the answer is 0 all the same
        fair = fairlearn.demographic_parity_difference(Y, everybody, sensitive_features=G, sample_weight=weight)
    assert fair == 0.0
    found = ours(p=everybody, sample_weight=weight)
    assert found.get("selection_rate", ("g",), ("a",)).status == "undefined"
    assert found.difference("demographic_parity").status == "undefined"


def test_one_group_that_is_undefined_is_left_out_of_the_largest_difference_there_and_undefines_it_here() -> None:
    g = ["a"] * 60 + ["b"] * 70 + ["c"] * 70
    y = [0] * 60 + [1] * 140
    p = [1] * 60 + [0] * 35 + [1] * 105

    def recall(y_true: Any, y_pred: Any) -> float:
        positive = np.asarray(y_true) == 1
        return float(np.mean(np.asarray(y_pred)[positive])) if positive.any() else math.nan

    frame = fairlearn.MetricFrame(metrics=recall, y_true=y, y_pred=p, sensitive_features=g)
    assert math.isnan(frame.by_group["a"])
    assert frame.difference() == 0.5 and frame.group_min() == 0.5  # as if there were no such group
    one = ours(y, p, g).difference("true_positive_rate")
    assert one.status == "undefined" and "true_positive_rate of a is 0/0" in (one.reason or "")
    with pytest.raises(DataError):
        ours(y, p, g).worst_group("no_such_rate")
    assert ours(y, p, g).worst_group("true_positive_rate").status == "undefined"


def test_a_mean_of_signed_odds_that_cancels_is_named_and_never_the_default() -> None:
    """fairlearn has no such metric; AIF360's is compared in test_peers.py."""
    assert not hasattr(fairlearn, "average_odds_difference")
    p = np.array([0, 1] * 50 + [1, 0] * 50)  # group a is always right, group b always wrong
    found = ours(p=p)
    assert signed.average_odds_difference(found.cube, privileged_groups=[{"g": "a"}]).value == 0.0
    assert found.difference("equalized_odds").value == 1.0
    assert not any(one.metric.startswith("average_") for one in found.measurements)


def test_a_share_of_the_selected_is_not_offered_as_parity() -> None:
    """What aequitas calls predicted positive rate depends on the size of the group; see test_peers.py."""
    g, p = ["a"] * 180 + ["b"] * 20, [0, 1] * 100
    found = ours(p=p, g=g)
    assert found.difference("demographic_parity").value == 0.0
    assert all("predicted_positive_rate" not in one.metric for one in found.measurements)
    assert found.get("group_share", ("g",), ("b",)).value == 0.1


def test_one_group_alone_is_fair_there_and_cannot_be_compared_here() -> None:
    assert fairlearn.demographic_parity_difference(Y, P, sensitive_features=["a"] * 200) == 0.0
    assert fairlearn.demographic_parity_ratio(Y, P, sensitive_features=["a"] * 200) == 1.0
    assert ours(g=["a"] * 200).difference("demographic_parity").status == "undefined"


def test_the_percentile_interval_of_a_difference_leaves_zero_out_for_equal_groups_there_and_holds_it_here() -> None:
    generator = np.random.default_rng(3)
    left_out = 0
    for _ in range(5):
        y, p, g = generator.integers(0, 2, 400), generator.integers(0, 2, 400), generator.choice(list("abcd"), 400)
        frame = fairlearn.MetricFrame(
            metrics=fairlearn.selection_rate, y_true=y, y_pred=p, sensitive_features=g, n_boot=60,
            ci_quantiles=[0.025, 0.975], random_state=1,
        )  # fmt: skip
        left_out += frame.difference_ci()[0] > 0
        interval = ours(y, p, g).difference("demographic_parity").intervals[0]
        assert interval.lower == 0 <= interval.upper
    assert left_out == 5


@pytest.mark.parametrize("squares", [None, 100.0])
def test_weight_makes_no_rows_so_numbers_that_rest_on_few_stay_insufficient(squares: float | None) -> None:
    """Five positives of weight 10 are five rows, not fifty; whoever adds up weights alone takes them for enough."""
    from ml_governance.assess.cube import from_counts
    from ml_governance.assess.fairness import FairnessReport

    counts = {"a": (100, 90, 100, 100), "b": (200, 190, 3, 2)}
    weights = {group: tuple(10.0 * one for one in four) for group, four in counts.items()}
    known = None if squares is None else {g: tuple(squares * one for one in four) for g, four in counts.items()}
    weighted = FairnessReport.from_cube(from_counts(counts, by=("g",), weights=weights, squares=known))
    plain = FairnessReport.from_cube(from_counts(counts, by=("g",)))

    def statuses(report: FairnessReport) -> dict[object, str]:
        return {(one.metric, one.by, one.group): one.status for one in report.measurements}

    assert statuses(weighted) == statuses(plain)
    assert statuses(weighted)["equalized_odds_difference", ("g",), ()] == "insufficient"
