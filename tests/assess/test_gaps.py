"""The gap between groups splits into one part per column: to the last digit, with intervals that hold together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from ml_governance import assess_explanation
from ml_governance.assess import gaps
from ml_governance.assess.explanation import ExplanationReport
from ml_governance.errors import DataError


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    n = 900
    frame = pd.DataFrame(random.normal(size=(n, 3)), columns=["a", "b", "c"])
    frame["sex"] = random.choice(["f", "m"], n, p=[0.4, 0.6])
    frame["race"] = random.choice(["A", "B", "C", "D"], n, p=[0.5, 0.3, 0.18, 0.02])
    frame["a"] += frame.sex == "m"
    frame["label"] = (frame.a + frame.b + random.normal(0, 0.5, n) > 0).astype(int)
    return frame


def explained(frame: pd.DataFrame, model, **options) -> ExplanationReport:
    return assess_explanation(
        model.fit(frame[["a", "b", "c"]], frame.label), rows=frame[["a", "b", "c"]], background=frame[:100],
        sensitive_features=frame[["sex", "race"]], output="margin", max_rows=len(frame), **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "model", [LogisticRegression(), GradientBoostingClassifier(n_estimators=10)], ids=["linear", "trees"]
)
def test_parts_sum_to_the_gap_of_the_models_own_outputs(frame: pd.DataFrame, model) -> None:
    found = explained(frame, model)
    output = pd.Series(model.decision_function(frame[["a", "b", "c"]]))
    assert {(one["by"][0], one["group"][0]) for one in found.details["gaps"]} == {
        ("sex", "f"),
        ("race", "B"),
        ("race", "C"),
    }
    for (by, group, reference), table in found.gaps.groupby(["by", "group", "reference"]):
        assert reference == {"sex": "m", "race": "A"}[by]  # the one with the most rows
        expected = output[frame[by] == group].mean() - output[frame[by] == reference].mean()
        assert table.gap.iloc[0] == pytest.approx(expected, abs=1e-11)
        assert table.part.sum() == pytest.approx(expected, abs=1e-11)
        assert ((table.lower < table.part) & (table.part < table.upper)).all()
    assert all(abs(one["unexplained"]) < 1e-11 for one in found.details["gaps"])


def test_the_parts_of_a_linear_model_are_weights_times_differences_of_means(frame: pd.DataFrame) -> None:
    model = LogisticRegression()
    table = explained(frame, model).gaps.query("by == 'sex'").set_index("column")
    means = frame.groupby("sex")[["a", "b", "c"]].mean()
    expected = (means.loc["f"] - means.loc["m"]) * model.coef_[0]
    assert table.part[["a", "b", "c"]].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-11)
    assert table.index[0] == "a"
    assert table.p_value["a"] < 1e-9
    assert table.p_value["b"] > 0.05


def test_the_reference_is_chosen_and_a_wrong_one_named(frame: pd.DataFrame) -> None:
    found = explained(frame, LogisticRegression(), reference={"race": "C"})
    assert set(found.gaps.query("by == 'race'").group) == {"A", "B"}
    there = explained(frame, LogisticRegression()).gaps.query("by == 'race' and group == 'C'").set_index("column").part
    back = found.gaps.query("by == 'race' and group == 'A'").set_index("column").part
    assert back.sort_index().to_numpy() == pytest.approx(-there.sort_index().to_numpy(), abs=1e-11)
    with pytest.raises(DataError, match="no group of race with 30 rows"):
        explained(frame, LogisticRegression(), reference={"race": "D"})
    with pytest.raises(DataError, match="no sensitive column age"):
        explained(frame, LogisticRegression(), reference={"age": "old"})


def test_a_column_that_adds_the_same_to_every_row_has_no_interval(frame: pd.DataFrame) -> None:
    constant = frame.assign(c=1.0, label=frame.a + frame.b)
    model = LinearRegression().fit(constant[["a", "b", "c"]], constant.label)
    found = assess_explanation(
        model, rows=constant[["a", "b", "c"]], background=constant, sensitive_features=constant["sex"], max_rows=900
    )
    part = next(one for one in found.details["gaps"][0]["parts"] if one["column"] == "c")
    assert part == {"column": "c", "value": 0.0, "why": gaps.CONSTANT}
    assert ExplanationReport.from_dict(found.to_dict()).gaps.equals(found.gaps)


def test_groups_too_small_to_compare_have_no_gap(frame: pd.DataFrame) -> None:
    one = assess_explanation(
        LogisticRegression().fit(frame[["a"]], frame.label), rows=frame[["a"]], background=frame[:20],
        sensitive_features=pd.Series(["x"] * 899 + ["y"], name="g"), output="margin",
    )  # fmt: skip
    assert one.details["gaps"] == []
    assert list(one.gaps.columns)[:3] == ["by", "group", "reference"]


def test_all_intervals_of_an_attribute_hold_together_and_no_part_is_found_where_there_is_none() -> None:
    random = np.random.default_rng(5)
    root = np.linalg.cholesky(0.5 * np.eye(6) + 0.5)
    shift = np.array([0.3, -0.2, 0, 0, 0, 0])
    samples, held, flagged = 300, 0, 0
    for _ in range(samples):
        own = random.integers(0, 3, 240)
        values = random.normal(size=(240, 6)) @ root.T + np.outer(own == 1, shift)
        found = gaps.decompose(
            [f"c{at}" for at in range(6)], values, values.sum(axis=1), {"g": (own, ("r", "s", "t"))}, reference={"g": "r"},
            confidence=0.9, min_group_size=30, seed=0,
        )  # fmt: skip
        truth = {"s": shift, "t": np.zeros(6)}
        parts = [(one["group"][0], part) for one in found for part in one["parts"]]
        held += all(part["lower"] <= truth[g][int(part["column"][1])] <= part["upper"] for g, part in parts)
        flagged += any(part["p_value"] <= 0.1 for g, part in parts if truth[g][int(part["column"][1])] == 0)
    # Three standard errors of 300 trials are 0.052. Intervals that hold one by one would hold together 45 times in 100.
    assert held / samples > 0.9 - 0.052
    assert flagged / samples < 0.1 + 0.052
