from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from ml_governance import MulticlassReport, assess_fairness, assess_multiclass
from ml_governance.assess import confusion, macro_averages, multiclass
from ml_governance.errors import DataError

CLASSES = ["bird", "cat", "dog"]
MACRO = {
    "macro_true_positive_rate": sklearn.recall_score,
    "macro_positive_predictive_value": sklearn.precision_score,
    "macro_f1": sklearn.f1_score,
}
AGGREGATES = {
    "multiclass_demographic_parity_difference": ("selection_rate",),
    "multiclass_equal_opportunity_difference": ("true_positive_rate",),
    "multiclass_equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}


def data(n: int = 400, seed: int = 0, classes: int = 3) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    names = np.array([*CLASSES, "eel", "fox"][:classes], dtype=object)
    frame = pd.DataFrame(
        {"g": generator.choice(["a", "b"], n), "h": generator.choice(["x", "y"], n), "y": generator.choice(names, n)}
    )
    right = generator.random(n) < 0.5 + 0.2 * (frame.g == "a")
    frame["p"] = np.where(right, frame.y, generator.choice(names, n))
    # every class in every group, as label and as prediction
    every = pd.DataFrame(itertools.product("ab", "xy", names, [None]), columns=["g", "h", "y", "p"])
    return pd.concat([frame, every.assign(p=every.y)], ignore_index=True)


def report(frame: pd.DataFrame, **options: Any) -> MulticlassReport:
    return assess_multiclass(
        **{"y_true": frame.y, "y_pred": frame.p, "sensitive_features": frame[["g", "h"]], **options}
    )


# --- agreement with others ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(10, 300), st.integers(2, 5))
def test_macro_metrics_of_every_group_agree_with_scikit_learn_and_fairlearn(seed: int, n: int, classes: int) -> None:
    frame = data(n, seed, classes)
    found = report(frame)
    theirs = fairlearn.MetricFrame(
        metrics={
            "accuracy": sklearn.accuracy_score,
            **{name: lambda y, p, score=score: score(y, p, average="macro") for name, score in MACRO.items()},
        },
        y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["g", "h"]],
    )  # fmt: skip
    for name in ("accuracy", *MACRO):
        assert found.get(name).value == pytest.approx(theirs.overall[name], abs=1e-12)
        for group, value in theirs.by_group[name].items():
            assert found.get(name, ("g", "h"), group).value == pytest.approx(value, abs=1e-12)  # type: ignore[arg-type]
        gap, ratio = theirs.difference()[name], theirs.ratio()[name]
        assert found.get(f"{name}_difference", ("g", "h")).value == pytest.approx(gap, abs=1e-12)
        assert found.get(f"{name}_ratio", ("g", "h")).value == pytest.approx(ratio, abs=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(10, 300))
def test_each_class_against_the_rest_is_the_binary_case(seed: int, n: int) -> None:
    frame = data(n, seed)
    found = report(frame)
    for own in CLASSES:
        binary = assess_fairness(
            y_true=(frame.y == own).astype(int), y_pred=(frame.p == own).astype(int), sensitive_features=frame[["g"]]
        )
        for rate in multiclass.SHOWN_RATES:
            for group in ("a", "b"):
                one, two = found.get(rate, ("g", "class"), (group, own)), binary.get(rate, ("g",), (group,))
                assert (one.value, one.numerator, one.denominator, one.status) == (
                    two.value, two.numerator, two.denominator, two.status,
                )  # fmt: skip
                assert one.intervals == two.intervals
    for name, rates in AGGREGATES.items():
        gaps = [
            abs(np.subtract(*(found.get(rate, ("g", "class"), (group, own)).value for group in ("a", "b"))))
            for rate in rates if rate in multiclass.SHOWN_RATES for own in CLASSES
        ]  # fmt: skip
        assert found.get(name, ("g",)).value == pytest.approx(max(gaps), abs=1e-15)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_confusion_matrices_agree_with_scikit_learn(seed: int) -> None:
    frame = data(200, seed)
    shown = {tuple(one["by"]): one["groups"] for one in report(frame).details["confusion"]}
    for one in shown["g", "h"]:
        rows = frame[(frame.g == one["group"][0]) & (frame.h == one["group"][1])]
        assert one["matrix"] == sklearn.confusion_matrix(rows.y, rows.p, labels=CLASSES).tolist()


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_two_classes_are_the_binary_case(seed: int) -> None:
    frame = data(300, seed, 2)
    found = report(frame)
    binary = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["g"]], pos_label="cat")
    for group in ("a", "b"):
        one = found.get("macro_true_positive_rate", ("g",), (group,))
        two = binary.get("balanced_accuracy", ("g",), (group,))
        assert one.value == pytest.approx(two.value, abs=1e-15)
        assert one.status == two.status
        for mine, theirs in zip(one.intervals, two.intervals, strict=True):
            assert (mine.lower, mine.upper) == pytest.approx((theirs.lower, theirs.upper), abs=1e-12)
    parity = found.get("multiclass_demographic_parity_difference", ("g",)).value
    assert parity == pytest.approx(binary.get("demographic_parity_difference", ("g",)).value, abs=1e-15)


# --- laws ---------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_names_of_classes_matter(seed: int, random: Any) -> None:
    frame = data(150, seed)
    order = list(range(len(frame)))
    random.shuffle(order)
    renamed = frame.iloc[order].replace({"bird": 7, "cat": 3, "dog": 5}).astype({"y": int, "p": int})
    one, two = report(frame), report(renamed)
    assert two.columns["classes"] == ["3", "5", "7"]
    for name in (*MACRO, *AGGREGATES):
        by, groups = ("g",), [("a",), ("b",)] if name in MACRO else [()]
        for group in groups:
            assert one.get(name, by, group).value == pytest.approx(two.get(name, by, group).value, abs=1e-15)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 149))
def test_cubes_of_shards_add_up(seed: int, cut: int) -> None:
    frame = data(150, seed)
    whole = report(frame).confusion
    parts = []
    for part in (frame.iloc[:cut], frame.iloc[cut:]):
        if len({*part.y, *part.p}) < 2:
            return
        parts.append(report(part).confusion)
    merged = parts[0].merge(parts[1])
    assert (merged.classes, merged.levels) == (whole.classes, whole.levels)
    np.testing.assert_array_equal(merged.counts, whole.counts)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_every_number_is_typed_and_lies_in_its_interval(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": generator.choice(list("ab"), n), "h": "x"})
    frame["y"], frame["p"] = generator.choice(CLASSES, n), generator.choice(CLASSES, n)
    if len({*frame.y, *frame.p}) < 2:
        return
    for one in report(frame).measurements:
        if one.status == "undefined":
            assert one.value is None and one.reason and not one.intervals
            continue
        assert 0 <= one.value <= 1  # type: ignore[operator]
        for interval in one.intervals:
            assert 0 <= interval.lower <= one.value + 1e-15  # type: ignore[operator]
            assert one.value - 1e-15 <= interval.upper <= 1  # type: ignore[operator]


# --- intervals ----------------------------------------------------------------------------------------------


def simulated(generator: np.random.Generator, matrix: Any, n: int) -> Any:
    return generator.multinomial(n, np.asarray(matrix).ravel()).reshape(3, 3)


EVEN = np.array([[0.25, 0.05, 0.04], [0.03, 0.25, 0.05], [0.03, 0.05, 0.25]])
SKEWED = np.array([[0.70, 0.05, 0.03], [0.02, 0.08, 0.02], [0.01, 0.02, 0.07]])
TRUTH = {
    "macro_true_positive_rate": lambda m: (m.diagonal() / m.sum(axis=1)).mean(),
    "macro_positive_predictive_value": lambda m: (m.diagonal() / m.sum(axis=0)).mean(),
    "macro_f1": lambda m: (2 * m.diagonal() / (m.sum(axis=0) + m.sum(axis=1))).mean(),
}


@pytest.mark.parametrize(("matrix", "n"), [(EVEN, 90), (EVEN, 400), (SKEWED, 400)], ids=["few", "even", "skewed"])
def test_intervals_of_macro_metrics_hold(matrix: Any, n: int) -> None:
    """1,000 samples: at .95 the standard error is .007. The smallest class has 30 rows: less is insufficient anyway."""
    generator = np.random.default_rng(4)
    for name, function in macro_averages.MACRO.items():
        truth, held, given_ = TRUTH[name](matrix / matrix.sum()), 0, 0
        for _ in range(1_000):
            found = function(simulated(generator, matrix / matrix.sum(), n), (), CLASSES)
            if found.bounds is not None:
                low, high = found.bounds(0.95, "two-sided")
                given_ += 1
                held += low <= truth <= high
        assert given_ > 900 and held / given_ >= 0.93, (name, held / given_)


@pytest.mark.parametrize("unlike", [False, True])
def test_intervals_of_differences_between_groups_hold(unlike: bool) -> None:
    """250 samples: at .95 the standard error is .014. The largest over classes looks at them all, and is held more often."""
    generator = np.random.default_rng(5)
    matrices = [EVEN / EVEN.sum(), (SKEWED if unlike else EVEN) / (SKEWED if unlike else EVEN).sum()]
    truth = {name: abs(function(matrices[0]) - function(matrices[1])) for name, function in TRUTH.items()}
    shares = [m.sum(axis=0) for m in matrices]
    truth["multiclass_demographic_parity_difference"] = np.abs(shares[0] - shares[1]).max()
    recalls = [m.diagonal() / m.sum(axis=1) for m in matrices]
    truth["multiclass_equal_opportunity_difference"] = np.abs(recalls[0] - recalls[1]).max()
    held = dict.fromkeys(truth, 0)
    for _ in range(250):
        counts = np.array([simulated(generator, m, 300) for m in matrices])
        cube = confusion.ConfusionCube(attributes=("g",), levels=(("a", "b"),), classes=tuple(CLASSES), counts=counts)
        found = {one.metric: one for one in multiclass.measure(cube, [("g",)], 0.95, 10) if not one.group}
        for name, value in truth.items():
            interval = found[name if name in AGGREGATES else f"{name}_difference"].intervals[0]
            held[name] += interval.lower <= value <= interval.upper  # type: ignore[operator]
    assert min(held.values()) / 250 >= 0.93, held


# --- what cannot be measured, and bad input -----------------------------------------------------------------


def test_a_class_that_a_group_lacks_leaves_its_macro_recall_undefined() -> None:
    frame = data()
    frame = frame[~((frame.g == "b") & (frame.y == "dog"))]
    found = report(frame)
    one = found.get("macro_true_positive_rate", ("g",), ("b",))
    assert one.status == "undefined" and "no row of dog" in (one.reason or "")
    assert found.get("macro_true_positive_rate_difference", ("g",)).status == "undefined"
    opportunity = found.get("multiclass_equal_opportunity_difference", ("g",))
    assert opportunity.status == "undefined" and "true_positive_rate of dog for b" in (opportunity.reason or "")
    assert found.get("multiclass_demographic_parity_difference", ("g",)).status == "ok"


def test_a_class_that_is_never_predicted_leaves_macro_precision_undefined() -> None:
    frame = data()
    frame.loc[frame.g == "a", "p"] = frame.p[frame.g == "a"].replace("cat", "dog")
    one = report(frame).get("macro_positive_predictive_value", ("g",), ("a",))
    assert one.status == "undefined" and "no prediction of cat" in (one.reason or "")


def test_few_rows_of_one_class_are_insufficient() -> None:
    """As in the binary case: balanced accuracy rests on the smaller class."""
    frame = data(2_000)
    rare = (frame.g == "a") & (frame.y == "dog")
    frame = frame[~rare | (rare.cumsum() <= 12)]
    found = report(frame)
    assert found.get("accuracy", ("g",), ("a",)).status == "ok"
    one = found.get("macro_true_positive_rate", ("g",), ("a",))
    assert one.status == "insufficient" and "12 rows" in (one.reason or "")
    assert found.get("macro_true_positive_rate_difference", ("g",)).status == "insufficient"
    assert found.get("multiclass_equal_opportunity_difference", ("g",)).status == "insufficient"


def test_perfect_predictions_are_not_certain() -> None:
    frame = data()
    found = report(frame.assign(p=frame.y))
    recall = found.get("macro_true_positive_rate", ("g",), ("a",))
    assert recall.value == 1 and recall.intervals[0].lower < 0.995  # type: ignore[operator]
    f1 = found.get("macro_f1", ("g",), ("a",))
    assert f1.value == 1 and f1.intervals == () and "no interval" in (f1.reason or "")


def test_one_group_cannot_be_compared() -> None:
    found = report(data().assign(g="a", h="x"))
    for name in ("macro_f1_difference", "macro_f1_ratio", "accuracy_ratio", *AGGREGATES):
        one = found.get(name, ("g",))
        assert one.status == "undefined" and "one group" in (one.reason or "")


def test_a_missing_sensitive_value_is_a_group_of_its_own() -> None:
    frame = data()
    frame["g"] = frame.g.mask(frame.index < 40)
    assert report(frame).get("accuracy", ("g",), ("(missing)",)).n == 40


@pytest.mark.parametrize("kind", ["object", "str", "category", "list", "int", "float", "bool"])
def test_the_same_numbers_whatever_labels_come_as(kind: str) -> None:
    frame = data(classes=2)
    expected = report(frame).get("macro_f1", ("g",), ("a",)).value
    made = {
        "object": lambda s: s.astype(object), "str": lambda s: s.astype(str), "category": lambda s: s.astype("category"),
        "list": list, "int": lambda s: (s == "cat").astype(int), "float": lambda s: (s == "cat").astype(float),
        "bool": lambda s: s == "cat",
    }[kind]  # fmt: skip
    found = report(frame, y_true=made(frame.y), y_pred=made(frame.p))
    assert found.get("macro_f1", ("g",), ("a",)).value == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_pred": ["a", "b", None, "c"]}, "missing"),
        ({"y_pred": [0.1, 0.9, 0.5, 0.3], "y_true": [0, 1, 2, 0]}, "fractions"),
        ({"y_pred": [0.0, 1.0, np.nan, 2.0], "y_true": [0, 1, 2, 0]}, "missing"),
        ({"y_pred": [0.0, 1.0, np.inf, 2.0], "y_true": [0, 1, 2, 0]}, "infinite"),
        ({"y_pred": [0, 1, 2, 0]}, "different types"),
        ({"y_pred": ["a", "b"]}, "differ in length"),
        ({"y_pred": []}, "empty"),
        ({"y_true": ["a"] * 4, "y_pred": ["a"] * 4}, "two or more"),
        ({"y_true": [1, "1", 2, 2], "y_pred": [1, "1", 2, 2]}, "mixes types"),
        ({"sensitive_features": {"class": list("xxyy")}}, "called 'class'"),
        ({"sensitive_features": {"g": list("xxy")}}, "length|values"),
        ({"min_group_size": 0}, "min_group_size"),
        ({"confidence": 0}, "confidence"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = {
        "y_true": np.array(["a", "b", "c", "a"], dtype=object), "y_pred": np.array(["a", "b", "c", "a"], dtype=object),
        "sensitive_features": {"g": list("xxyy")}, **change,
    }  # fmt: skip
    options |= {k: np.array(v, dtype=object) for k, v in change.items() if isinstance(v, list) and "a" in map(str, v)}
    with pytest.raises(DataError, match=words):
        assess_multiclass(**options)


def test_cubes_that_do_not_fit_are_not_added() -> None:
    one, two = report(data(), sensitive_features={"g": data().g}), report(data(), sensitive_features={"h": data().h})
    with pytest.raises(DataError, match="same attributes"):
        one.confusion.merge(two.confusion)
