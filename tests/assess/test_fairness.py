from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess import cube as cubes
from ml_governance.errors import DataError

THEIRS = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "accuracy": sklearn.accuracy_score,
}


def data(n: int = 600, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": generator.choice(["Female", "Male"], n),
            "race": generator.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "y": generator.integers(0, 2, n),
            "w": generator.lognormal(0, 1, n),
        }
    )
    frame["p"] = (generator.random(n) < 0.3 + 0.2 * (frame.sex == "Male")).astype(int)
    return frame


def report(frame: pd.DataFrame, **options: object) -> FairnessReport:
    return assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex", "race"]], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("weighted", [False, True])
def test_rates_agree_with_fairlearn(weighted: bool) -> None:
    frame = data()
    ours = report(frame, sample_weight=frame.w if weighted else None)
    parameters = {name: {"sample_weight": frame.w} for name in THEIRS} if weighted else None
    theirs = fairlearn.MetricFrame(
        metrics=THEIRS,
        y_true=frame.y,
        y_pred=frame.p,
        sensitive_features=frame[["sex", "race"]],
        sample_params=parameters,
    )
    pd.testing.assert_frame_equal(ours.by_group[list(THEIRS)], theirs.by_group.astype(float), rtol=0, atol=1e-12)
    pd.testing.assert_series_equal(
        ours.overall[list(THEIRS)], theirs.overall.astype(float), rtol=0, atol=1e-12, check_names=False
    )


@settings(max_examples=15)
@given(st.integers(0, 200))
def test_named_comparisons_agree_with_fairlearn(seed: int) -> None:
    frame = data(400, seed)
    ours = report(frame)
    for by, columns in ((["sex"], "sex"), (["sex", "race"], ["sex", "race"])):
        for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
            for kind in ("difference", "ratio"):
                theirs = getattr(fairlearn, f"{name}_{kind}", None)
                one = getattr(ours, kind)
                if theirs is None or (name, kind) == ("equal_opportunity", "ratio"):
                    continue
                value = one(name, by=by).value
                expected = theirs(frame.y, frame.p, sensitive_features=frame[columns])
                if not (math.isnan(expected) or value is None):
                    assert value == pytest.approx(expected, abs=1e-12)


@given(st.randoms(use_true_random=False), st.integers(0, 50))
def test_the_order_of_rows_changes_nothing(random, seed: int) -> None:  # type: ignore[no-untyped-def]
    frame = data(80, seed)
    order = list(range(len(frame)))
    random.shuffle(order)
    assert report(frame.iloc[order].reset_index(drop=True)).to_json() == report(frame).to_json()


@given(st.integers(1, 79), st.integers(0, 50))
def test_the_cube_of_all_rows_is_the_sum_of_the_cubes_of_parts(cut: int, seed: int) -> None:
    frame = data(80, seed)
    one, two = report(frame[:cut]).cube, report(frame[cut:]).cube
    merged, whole = one.merge(two), report(frame).cube
    assert merged.levels == whole.levels
    assert np.array_equal(merged.counts, whole.counts)
    assert np.array_equal(two.merge(one).counts, whole.counts)


def test_the_same_numbers_whatever_the_columns_come_as() -> None:
    frame = data()
    expected = report(frame).to_json()
    for features in (
        frame[["sex", "race"]].astype("category"),
        pl.from_pandas(frame[["sex", "race"]]),
        {"sex": frame.sex.to_list(), "race": frame.race.to_numpy()},
    ):
        again = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=features)
        assert again.to_json() == expected


def test_counts_alone_give_the_same_report() -> None:
    frame = data()
    ours = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame.sex)
    shown = ours.details["attributes"][0]["groups"]
    counts = {g["group"][0]: (g["tn"], g["fp"], g["fn"], g["tp"]) for g in shown}
    assert FairnessReport.from_counts(counts, by="sex").measurements == ours.measurements
    for wrong in ({}, {"a": (1, 2, 3)}, {"a": (1, 2, 3, -4)}, {"a": (0, 0, 0, 0)}, {("a", "b"): (1, 1, 1, 1)}):
        with pytest.raises(DataError):
            FairnessReport.from_counts(wrong, by="sex")


# --- never "fair" by accident: the traps of other libraries -----------------------------------------------


def test_string_labels_without_pos_label_are_an_error_that_names_them() -> None:
    with pytest.raises(DataError, match="'no', 'yes'"):
        assess_fairness(y_true=["yes", "no"], y_pred=["yes", "no"], sensitive_features=["a", "b"])
    found = assess_fairness(
        y_true=["yes", "no"] * 40, y_pred=["yes", "no"] * 40, sensitive_features=["a", "b"] * 40, pos_label="yes"
    )
    assert found.ratio("selection_rate").value == 0.0


def test_probabilities_for_predictions_are_an_error() -> None:
    with pytest.raises(DataError, match="probabilities") as caught:
        assess_fairness(y_true=[0, 1], y_pred=[0.2, 0.9], sensitive_features=["a", "b"])
    assert "y_score" in str(caught.value)


def test_a_group_without_positives_is_undefined_and_so_is_every_comparison_with_it() -> None:
    y = [1, 0] * 50 + [0] * 100
    p = [1, 0] * 100
    group = ["a"] * 100 + ["b"] * 100
    found = assess_fairness(y_true=y, y_pred=p, sensitive_features=group)
    rate = found.get("true_positive_rate", by=("sensitive_feature",), group=("b",))
    assert (rate.value, rate.status) == (None, "undefined")
    assert "0/0" in (rate.reason or "")
    for name in ("equal_opportunity", "equalized_odds"):
        gap = found.difference(name)
        assert (gap.value, gap.status) == (None, "undefined")
        assert "b" in (gap.reason or "")
    assert math.isnan(found.by_group.loc["b", "true_positive_rate"])


def test_nobody_selected_is_undefined_and_not_fair() -> None:
    found = assess_fairness(y_true=[0, 1] * 60, y_pred=[0] * 120, sensitive_features=["a", "b"] * 60)
    assert found.ratio("selection_rate").status == "undefined"
    assert found.difference("selection_rate").value == 0.0


def test_a_missing_sensitive_value_is_a_group_of_its_own() -> None:
    group = pd.Series(["a", "b", None, np.nan] * 40, dtype=object, name="g")
    found = assess_fairness(y_true=[0, 1, 1, 0] * 40, y_pred=[1, 0, 1, 1] * 40, sensitive_features=group)
    assert cubes.MISSING in found.by_group.index
    assert found.get("selection_rate", by=("g",), group=(cubes.MISSING,)).denominator == 80


def test_a_group_of_zero_weights_is_undefined() -> None:
    found = assess_fairness(
        y_true=[0, 1] * 40, y_pred=[1, 0] * 40, sensitive_features=["a", "b"] * 40, sample_weight=[1.0, 0.0] * 40
    )
    assert found.get("selection_rate", by=("sensitive_feature",), group=("b",)).status == "undefined"
    assert found.ratio("selection_rate").status == "undefined"


def test_small_groups_are_insufficient_and_still_counted() -> None:
    found = assess_fairness(y_true=[0, 1] * 55, y_pred=[1, 0] * 55, sensitive_features=["a"] * 100 + ["b"] * 10)
    small = found.get("selection_rate", by=("sensitive_feature",), group=("b",))
    assert (small.status, small.numerator, small.denominator) == ("insufficient", 5, 10)
    assert found.ratio("selection_rate").status == "insufficient"


def test_one_group_cannot_be_compared() -> None:
    found = assess_fairness(y_true=[0, 1] * 40, y_pred=[1, 0] * 40, sensitive_features=["a"] * 80)
    assert found.ratio("selection_rate").status == "undefined"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_true": []}, "empty"),
        ({"y_true": [0, 1]}, "differ in length"),
        ({"y_true": [0, 1, 2, 1]}, "3 labels"),
        ({"y_true": [0, 1, np.nan, 1]}, "NaN"),
        ({"y_true": ["a", None, "b", "a"], "pos_label": "a"}, "missing"),
        ({"y_pred": [0, 1, np.inf, 1]}, "infinite"),
        ({"y_pred": ["0", "1", "0", "1"]}, "labels '0', '1'"),
        ({"y_pred": [[0, 1], [1, 0]]}, "dimensions"),
        ({"pos_label": "1"}, "same type"),
        ({"pos_label": 7}, "occurs nowhere"),
        ({"sensitive_features": None}, "no sensitive features"),
        ({"sensitive_features": "sex"}, "no sensitive features"),
        ({"sensitive_features": ["a", "b"]}, "has 2 values"),
        ({"sensitive_features": pd.Series([1, "1", "a", "a"], dtype=object)}, "read the same"),
        ({"sensitive_features": {f"g{i}": range(4) for i in range(12)}}, "combinations"),
        ({"sample_weight": [1, -1, 1, 1]}, "negative"),
        ({"sample_weight": [0, 0, 0, 0]}, "only zeros"),
        ({"y_score": [0.1, np.nan, 0.2, 0.3]}, "NaN"),
        ({"y_score": [0.1, 3, 0.2, 0.3]}, "runs from"),
        ({"confidence": 95}, "confidence"),
        ({"min_group_size": 0}, "min_group_size"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_is_named(change: dict[str, object], words: str) -> None:
    good: dict[str, object] = {
        "y_true": [0, 1, 0, 1],
        "y_pred": [0, 1, 1, 1],
        "sensitive_features": ["a", "b", "a", "b"],
    }
    with pytest.raises(DataError, match=words) as caught:
        assess_fairness(**{**good, **change})  # type: ignore[arg-type]
    assert caught.value.exit_code == 2


@given(hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 1)), st.integers(0, 1000), st.integers(1, 4))
def test_every_number_is_typed(y: np.ndarray, seed: int, groups: int) -> None:  # type: ignore[type-arg]
    generator = np.random.default_rng(seed)
    found = assess_fairness(
        y_true=y, y_pred=generator.integers(0, 2, len(y)), sensitive_features=generator.integers(0, groups, len(y))
    )
    for one in found.measurements:
        assert (one.value is None) == (one.status == "undefined")
        assert one.status == "ok" or one.reason
        for interval in one.intervals:
            assert one.value is not None
            assert interval.lower is not None and interval.upper is not None
            assert interval.lower <= one.value + 1e-12 and one.value <= interval.upper + 1e-12
    assert found.to_json() and len(found.to_frame()) == len(found.measurements) and "<table>" in found._repr_html_()
    assert f"{len(found.measurements) - 60:,} more" in found._repr_html_()


def test_the_signed_form_is_valid_and_complete() -> None:
    from ml_governance.evidence.canonical import canonicalise, parse
    from ml_governance.evidence.predicates import Fairness, Resource

    content = report(data()).to_content(predictions="caller-supplied", dataset=Resource(name="t", sha256="0" * 64))
    assert Fairness.model_validate(parse(canonicalise(content.to_wire()))) == content


@pytest.mark.parametrize(
    ("metric", "by", "group", "words"),
    [
        ("accuracyy", ["sex"], [], "accuracyy was not measured; did you mean accuracy"),
        ("accuracy", ["gender"], [], "accuracy was not measured by gender; it was by all rows, sex"),
        ("accuracy", ["sex"], ["X"], "accuracy by sex was not measured for X; it was for F, M"),
        ("accuracy", ["sex"], [], "for all groups together; it was for F, M"),
        ("accuracy_ratio", ["sex"], ["F"], "it was for all groups together"),
    ],
)
def test_asking_for_a_number_that_is_not_there_says_which_are(
    metric: str, by: list[str], group: list[str], words: str
) -> None:
    report = FairnessReport.from_counts({"F": (60, 20, 9, 11), "M": (58, 24, 8, 10)}, by="sex")
    with pytest.raises(KeyError, match=words):
        report.get(metric, by=by, group=group)
