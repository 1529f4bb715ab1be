"""Performance of classifiers with several classes, and of regressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from ml_governance import Costs, assess_performance
from ml_governance.errors import DataError

CLASSES = ["high", "low", "middle"]


def classified(n: int, seed: int) -> tuple[Any, pd.DataFrame]:
    generator = np.random.default_rng(seed)
    score = generator.dirichlet([1, 1, 1], n)
    y = np.array([generator.choice(3, p=row) for row in score])
    return np.array(CLASSES)[y], pd.DataFrame(score, columns=CLASSES)


@given(st.integers(0, 1000), st.integers(40, 200))
def test_numbers_of_several_classes_agree_with_scikit_learn(seed: int, n: int) -> None:
    y, score = classified(n, seed)
    report = assess_performance(y_true=y, y_score=score, task="multiclass")
    predicted = np.array(CLASSES)[score.to_numpy().argmax(axis=1)]
    expected = {
        "accuracy": sklearn.accuracy_score(y, predicted),
        "macro_true_positive_rate": sklearn.recall_score(y, predicted, average="macro"),
        "macro_positive_predictive_value": sklearn.precision_score(y, predicted, average="macro"),
        "macro_f1": sklearn.f1_score(y, predicted, average="macro"),
        "macro_roc_auc": sklearn.roc_auc_score(y, score.to_numpy(), multi_class="ovr", average="macro"),
        "log_loss": sklearn.log_loss(y, score.to_numpy()),
        "multiclass_brier_score": ((score.to_numpy() - (y[:, None] == np.array(CLASSES))) ** 2).sum(axis=1).mean(),
    }
    for name, value in expected.items():
        assert report.get(name).value == pytest.approx(value, abs=1e-9), name
    assert report.details["matrix"] == sklearn.confusion_matrix(y, predicted, labels=CLASSES).tolist()
    one = report.get("true_positive_rate", by=("class",), group=("low",))
    assert one.value == pytest.approx(sklearn.recall_score(y, predicted, labels=["low"], average="macro"))


def test_the_interval_of_the_macro_auc_and_of_the_top_label_error_hold() -> None:
    large = assess_performance(
        **dict(zip(("y_true", "y_score"), classified(100_000, 10**6), strict=True)), task="multiclass"
    )
    auc, held = large.get("macro_roc_auc").value, np.zeros(2)
    for seed in range(150):
        y, score = classified(150, seed)
        report = assess_performance(y_true=y, y_score=score, task="multiclass")
        for at, (name, truth) in enumerate([("macro_roc_auc", auc), ("top_label_ece", 0.0)]):
            found = report.get(name).intervals[0]
            held[at] += found.lower <= truth <= found.upper  # type: ignore[operator]
    assert (held / 150 >= 0.92).all()


def test_numbers_for_classes_with_labels_that_are_numbers() -> None:
    y, score = classified(100, 1)
    codes = np.array([CLASSES.index(one) for one in y])
    named = assess_performance(y_true=y, y_score=score, task="multiclass")
    numbered = assess_performance(y_true=codes, y_score=score.to_numpy(), classes=[0, 1, 2], task="multiclass")
    for name in ("accuracy", "macro_roc_auc", "log_loss"):
        assert numbered.get(name).value == pytest.approx(named.get(name).value)


def test_a_class_without_rows_leaves_macro_numbers_undefined() -> None:
    y, score = classified(80, 2)
    kept = y != "low"
    report = assess_performance(y_true=y[kept], y_score=score[kept], task="multiclass")
    for name in ("macro_roc_auc", "macro_true_positive_rate"):
        assert report.get(name).status == "undefined" and "low" in (report.get(name).reason or "")
    assert report.get("log_loss").status == "ok"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"y_score": np.full((6, 2), 0.5)}, "shape"),
        ({"y_score": {"a": [0.5] * 6, "b": [0.4] * 6, "c": [0.3] * 6}}, "add up"),
        ({"y_score": {"a": [0.5] * 6, "b": [0.5] * 6}, "y_pred": list("abcabc")}, "no column for c"),
        ({}, "neither predictions nor scores"),
        ({"y_pred": list("abcabc"), "costs": Costs(false_positive=1, false_negative=1)}, "costs was given"),
        ({"y_pred": list("abcabc"), "pos_label": "a"}, "pos_label was given"),
        ({"y_pred": list("abcabc"), "task": "several"}, "the task is"),
    ],
)
def test_what_does_not_fit_several_classes_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        assess_performance(**{"y_true": list("abcabc"), "task": "multiclass", **options})


@given(st.integers(0, 1000), st.integers(10, 200))
def test_numbers_of_a_regression_agree_with_scikit_learn(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    y = generator.normal(size=n)
    predicted = y + generator.normal(size=n)
    report = assess_performance(
        y_true=y, y_pred=predicted, task="regression", sensitive_features={"g": ["a", "b"] * (n // 2) + ["a"] * (n % 2)}
    )
    assert report.get("mean_absolute_error").value == pytest.approx(sklearn.mean_absolute_error(y, predicted))
    assert report.get("root_mean_squared_error").value == pytest.approx(sklearn.root_mean_squared_error(y, predicted))
    assert report.get("r2").value == pytest.approx(sklearn.r2_score(y, predicted), abs=1e-9)
    assert report.get("mean_pinball_loss").value == pytest.approx(sklearn.mean_pinball_loss(y, predicted, alpha=0.9))
    own = np.array(["a", "b"] * (n // 2) + ["a"] * (n % 2)) == "a"
    assert report.get("mean_absolute_error", by=("g",), group=("a",)).value == pytest.approx(
        sklearn.mean_absolute_error(y[own], predicted[own])
    )
    assert sum(one["n"] for one in report.details["fit"]) == n


def test_a_regression_takes_predictions_and_no_scores() -> None:
    for options, words in (
        ({}, "no predictions"),
        ({"y_pred": [1.0, 2.0], "y_score": [0.1, 0.2]}, "y_score was given"),
    ):
        with pytest.raises(DataError, match=words):
            assess_performance(y_true=[1.0, 2.0], task="regression", **options)


def test_one_input_gives_one_report_and_one_digest() -> None:
    y, score = classified(100, 3)
    reports = [
        assess_performance(y_true=y, y_score=score, task="multiclass", slice_by={"x": np.arange(100)}) for _ in range(2)
    ]
    assert reports[0].to_json() == reports[1].to_json()
    assert reports[0].inputs() == reports[1].inputs()
