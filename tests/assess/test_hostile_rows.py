"""Rows and options that once gave a silent number or a traceback, and leaks that ranks do not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.assess import performance_classes, separability
from ml_governance.assess.columns import coded, opened
from ml_governance.assess.halves import halves
from ml_governance.errors import DataError

N = 120
RANDOM = np.random.default_rng(1)
Y, SCORE = RANDOM.integers(0, 2, N), RANDOM.random(N)
TABLE = pd.DataFrame({"x": RANDOM.normal(size=N), "sex": RANDOM.choice(["f", "m"], N), "y": Y})
MEMBER = np.arange(N) < 60
TWICE = pd.concat([TABLE[["sex"]], TABLE[["sex"]]], axis=1)
MODEL = LogisticRegression().fit(TABLE[["x"]], Y)


def performance(**options: Any) -> Any:
    return gov.assess_performance(**{"y_true": Y, "y_score": SCORE, **options})


@pytest.mark.parametrize(
    ("found", "call"),
    [
        ("threshold is nan", lambda: performance(threshold=float("nan"))),
        ("threshold is 5", lambda: performance(threshold=5)),
        ("threshold is nan", lambda: gov.compare_models(y_true=Y, first_score=SCORE, second_score=SCORE, threshold=float("nan"))),
        ("seed is -1", lambda: performance(seed=-1)),
        ("seed is 1.5", lambda: gov.assess_data(TABLE, seed=1.5)),
        ("min_group_size is nan", lambda: gov.assess_data(TABLE, min_group_size=float("nan"))),
        ("too large", lambda: gov.assess_performance(y_true=1e308 * (1 - 2 * Y), y_pred=np.full(N, 1e308), task="regression")),
        ("not numeric", lambda: performance(y_score=[["a", "b"]] * N, classes=[0, 1], task="multiclass")),
        ("range of x is", lambda: gov.assess_data(TABLE, ranges={"x": (float("nan"), 1)})),
        ("range of x is", lambda: gov.assess_data(TABLE, ranges={"x": (2, 1)})),
        ("losses are NaN", lambda: gov.assess_privacy(member=MEMBER, loss=np.ma.array(SCORE, mask=Y == 1))),
        ("column of flags", lambda: gov.assess_privacy(member=np.ma.array(MEMBER, mask=Y == 1), loss=SCORE)),
        ("not numeric", lambda: gov.assess_privacy(member=MEMBER, loss=["a"] * N)),
        ("k is nan", lambda: gov.assess_privacy(released=TABLE, quasi_identifiers=["sex"], k=float("nan"))),
        ("by one text", lambda: gov.assess_privacy(released=TABLE, quasi_identifiers="x")),
        ("a ndarray", lambda: gov.assess_robustness(MODEL, rows=TABLE[["x"]].to_numpy())),
        ("column x twice", lambda: gov.assess_robustness(MODEL, rows=TABLE[["x", "x"]])),
    ],
    ids=["a threshold", "a high threshold", "a threshold of two", "a seed", "half a seed", "a size", "errors", "scores", "a range",
         "a range backwards", "masked losses", "masked flags", "losses of text", "k", "a name for a list", "an array", "a column twice"],
)  # fmt: skip
def test_what_measures_nothing_is_refused_by_name(found: str, call: Any) -> None:
    with pytest.raises(DataError, match=found):
        call()


def test_a_column_that_is_there_twice_is_left_out_of_slices_and_said_to_be() -> None:
    report = performance(slice_by=TWICE)
    assert report.details["weak_slices"]["left_out"] == {"sex": "sex has 2 dimensions"}


def test_flags_of_arrow_are_labels() -> None:
    plain, arrow = performance(y_true=Y.astype(bool)), performance(y_true=pa.array(Y.astype(bool).tolist()))
    assert plain.measurements == arrow.measurements


def test_times_with_a_zone_are_compared_by_their_moment() -> None:
    there = pd.date_range("2026-01-01", periods=N, freq="h", tz="Europe/Berlin")
    report = gov.assess_data(TABLE.assign(at=there), training=TABLE.assign(at=there.tz_convert("UTC")), y_true="y")
    assert report.get("overlap_rate").value == 1


# --- leaks ----------------------------------------------------------------------------------------------


def told(x: Any, y: Any) -> Any:
    report = gov.assess_data(pd.DataFrame({"x": x, "y": y}), y_true="y")
    return report.get("single_feature_auc", by=("column",), group=("x",))


def test_a_number_that_gives_the_label_away_at_both_ends_is_a_leak() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=2000)
    y = (np.abs(x) > 0.7).astype(int)
    assert abs((x[y == 1][:, None] > x[y == 0]).mean() - 0.5) < 0.03  # ranks say nothing
    found = told(x, y)
    assert found.value > 0.97 and found.intervals[0].lower > 0.95


@pytest.mark.parametrize(("rows", "share"), [(60, 0.5), (60, 0.1), (400, 0.5), (400, 0.1)])
def test_a_number_that_says_nothing_does_not_look_like_a_leak_for_its_shape(rows: int, share: float) -> None:
    held = 0
    for seed in range(300):
        random = np.random.default_rng((9, seed))
        y = (random.random(rows) < share).astype(int)
        y[:2] = 1
        column = coded("x", [opened(pd.DataFrame({"x": random.normal(size=rows)}))])
        one = separability.separate(separability.Placed.of(column, separability.folds_of(rows, seed)), y, 2)[1]
        lower, upper = one.bounds(0.95, "two-sided")
        held += lower <= 0.5 <= upper
    assert held >= 275


# --- intervals where classes are small ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "apart"), [((0.9, 0.05, 0.05), 0.5), ((0.9, 0.05, 0.05), 4.0), ((0.4, 0.3, 0.3), 2.0)]
)
def test_the_interval_of_the_macro_auc_holds_where_classes_have_few_rows(
    shares: tuple[float, ...], apart: float
) -> None:
    """The normal interval on the logit scale held in 80 % of the first, and was given for few of the second and held in 31 % of those."""

    def drawn(n: int, seed: int) -> performance_classes.Classified:
        random = np.random.default_rng((4, seed))
        true = random.choice(3, n, p=shares)
        raw = random.normal(size=(n, 3))
        raw[np.arange(n), true] += apart
        score = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
        return performance_classes.Classified(
            classes=("a", "b", "c"), true=true, predicted=score.argmax(axis=1), score=score
        )

    truth = performance_classes.macro_roc_auc(drawn(60_000, 0)).value
    held, given = 0, 0
    for seed in range(1, 301):
        one = performance_classes.macro_roc_auc(drawn(60, seed))
        if one.value is None:
            continue  # a class has no row
        assert one.bounds is not None
        lower, upper = one.bounds(0.95, "two-sided")
        given, held = given + 1, held + (lower <= truth <= upper)
    assert held / given > 0.92


def test_the_folds_of_a_category_do_not_make_a_leak_of_chance() -> None:
    """With the variance of independent folds 6 to 8 % of useless columns were surely above one half, at 2.5 %."""
    above = 0
    for seed in range(400):
        random = np.random.default_rng((7, seed))
        column = coded("c", [opened(pd.DataFrame({"c": random.choice(list("abcdef"), 400)}))])
        placed = separability.Placed.of(column, separability.folds_of(400, seed))
        one = separability.separate(placed, random.integers(0, 2, 400), 2)[1]
        above += one.bounds(0.95, "two-sided")[0] > 0.5
    assert above <= 16


# --- seeds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_folds_and_halves_have_nothing_to_do_with_rows_of_the_same_seed(seed: int) -> None:
    """Labels, and splits, are often made with the seed 0 as well; folds by the same numbers would hold one class each."""
    labels = np.random.default_rng(seed).integers(0, 2, 4000)
    shares = [labels[separability.folds_of(4000, seed) == fold].mean() for fold in range(separability.FOLDS)]
    assert max(shares) < 0.6 and min(shares) > 0.4
    split = np.zeros(4000, dtype=bool)
    split[np.random.default_rng(seed).permutation(4000)[:2000]] = True
    assert abs(split[halves(4000, seed)].mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("values", "known"), [([7, None, 9], [7, 9]), ([0.5, None, 0.25], [0.25, 0.5]), (["x", None, "y"], ["x", "y"])]
)
def test_a_null_among_the_values_of_a_dictionary_is_missing_and_no_zero(values: list[Any], known: list[Any]) -> None:
    places = pa.array([0, 1, None, 1, 2], pa.int32())
    table = pa.table({"a": pa.DictionaryArray.from_arrays(places, pa.array(values))})
    found = coded("a", [opened(table)])
    assert list(found.values) == known
    assert [None if at < 0 else found.values[at] for at in found.codes] == [values[0], None, None, None, values[2]]
