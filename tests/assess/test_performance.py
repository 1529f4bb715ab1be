from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from ml_governance import assess_performance
from ml_governance.errors import DataError


def data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    generator = np.random.default_rng(seed)
    score = np.clip(generator.random(n).round(2), 0.01, 0.99)
    return (generator.random(n) < score).astype(int), score


@given(st.integers(0, 300), st.integers(30, 400))
def test_numbers_agree_with_scikit_learn(seed: int, n: int) -> None:
    y, score = data(n, seed)
    found = assess_performance(y_true=y, y_score=score)
    predicted = (score >= 0.5).astype(int)
    expected = {
        "roc_auc": sklearn.roc_auc_score(y, score),
        "brier_score": sklearn.brier_score_loss(y, score),
        "log_loss": sklearn.log_loss(y, score),
        "accuracy": sklearn.accuracy_score(y, predicted),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, predicted),
        "f1": sklearn.f1_score(y, predicted),
        "positive_predictive_value": sklearn.precision_score(y, predicted),
        "true_positive_rate": sklearn.recall_score(y, predicted),
    }
    for name, value in expected.items():
        assert found.get(name).value == pytest.approx(value, abs=1e-12), name


def test_the_interval_of_the_auc_keeps_its_promise() -> None:
    """Normal scores one apart have the AUC 0.7602; its 95 % interval must hold that in at least 93 % of samples."""
    generator = np.random.default_rng(3)
    from scipy.stats import norm

    truth, held, repetitions = norm.cdf(1 / np.sqrt(2)), 0, 300
    y = np.repeat([0, 1], [160, 80])
    for _ in range(repetitions):
        score = norm.cdf(generator.normal(y.astype(float)))
        interval = assess_performance(y_true=y, y_score=score).get("roc_auc").intervals[0]
        held += interval.lower <= truth <= interval.upper  # type: ignore[operator]
    assert held / repetitions >= 0.93


def test_a_perfect_ranking_still_has_an_interval() -> None:
    found = assess_performance(y_true=[0] * 40 + [1] * 40, y_score=[0.1] * 40 + [0.9] * 40).get("roc_auc")
    assert found.value == 1.0
    assert found.intervals[0].lower < 0.95  # type: ignore[operator]


def test_one_class_is_undefined_where_it_must_be() -> None:
    found = assess_performance(y_true=[1] * 50, y_score=np.linspace(0.1, 0.9, 50))
    for name in ("roc_auc", "balanced_accuracy", "false_positive_rate"):
        assert found.get(name).status == "undefined", name
    assert found.get("accuracy").status == "ok"
    assert "roc" not in found.details


def test_a_score_that_calls_a_label_impossible_has_no_log_loss() -> None:
    found = assess_performance(y_true=[0, 1, 1] * 20, y_score=[0.0, 0.0, 1.0] * 20)
    assert found.get("log_loss").status == "undefined"
    assert "impossible" in (found.get("log_loss").reason or "")


def test_groups_are_measured_and_small_ones_are_insufficient() -> None:
    y, score = data(200, 1)
    found = assess_performance(y_true=y, y_score=score, sensitive_features={"g": ["a"] * 190 + ["b"] * 10})
    assert found.get("roc_auc", by=("g",), group=("a",)).status == "ok"
    assert found.get("accuracy", by=("g",), group=("b",)).status == "insufficient"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither predictions nor scores"),
        ({"y_score": [0.1, np.nan]}, "NaN"),
        ({"y_score": [0.1, 1.2]}, "runs from"),
        ({"y_score": ["a", "b"]}, "not numeric"),
        ({"y_score": [0.1, 0.2, 0.3]}, "differ in length"),
        ({"y_pred": [0.1, 0.9]}, "probabilities"),
    ],
)
def test_bad_input_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        assess_performance(y_true=[0, 1], **options)  # type: ignore[arg-type]


def test_curves_are_made_for_drawing() -> None:
    y, score = data(500, 2)
    details = assess_performance(y_true=y, y_score=score).details
    assert details["roc"]["fpr"][0] == details["roc"]["tpr"][0] == 0
    assert details["roc"]["fpr"][-1] == details["roc"]["tpr"][-1] == 1
    assert len(details["roc"]["fpr"]) <= 101
    assert sum(one["n"] for one in details["calibration"]) == 500
    assert all(one["lower"] <= one["rate"] <= one["upper"] for one in details["calibration"])
