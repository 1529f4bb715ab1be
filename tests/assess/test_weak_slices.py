"""The worst slice: it is found where it is, what is measured of it is honest, and nothing is found where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_governance import assess_performance
from ml_governance.assess.weak_slices import search
from ml_governance.errors import DataError

OPTIONS: dict[str, Any] = {"rate": True, "confidence": 0.95, "min_group_size": 30}


def table(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": generator.normal(45, 12, n), "region": generator.choice(["north", "south", "west"], n),
            "noise": generator.integers(0, 6, n),
        }
    )  # fmt: skip
    frame.loc[generator.random(n) < 0.1, "noise"] = np.nan
    return frame


def errors(frame: pd.DataFrame, seed: int, planted: float) -> Any:
    bad = (frame.age > 55) & (frame.region == "south")
    return (np.random.default_rng(seed + 10**6).random(len(frame)) < np.where(bad, planted, 0.15)).astype(float)


def test_a_planted_slice_is_found_by_its_conditions_and_confirmed() -> None:
    frame = table(4000, 0)
    found = search(frame, errors(frame, 0, 0.5), **OPTIONS)
    assert {one.column for one in found.slices[0].conditions} >= {"age", "region"}
    assert "region == south" in found.slices[0].name
    rate, gap = found.measurements
    assert (rate.metric, gap.metric) == ("worst_slice_error_rate", "worst_slice_error_rate_gap")
    assert rate.value == pytest.approx(0.5, abs=0.1)
    assert gap.intervals[0].lower > 0.1  # type: ignore[operator]


def test_what_is_measured_of_the_slice_is_honest_and_what_it_was_found_by_is_not() -> None:
    """No slice is worse than another here: every rate is 0.15."""
    held, flattering, repetitions = 0, 0.0, 100
    for seed in range(repetitions):
        frame = table(800, seed)
        found = search(frame, errors(frame, seed, 0.15), seed=seed, **OPTIONS)
        interval = found.measurements[0].intervals[0]
        held += interval.lower <= 0.15 <= interval.upper  # type: ignore[operator]
        flattering += found.slices[0].found / repetitions
    assert held / repetitions >= 0.92
    assert flattering > 0.25  # on the rows that it was searched on, the worst slice looks twice as bad as it is


def test_conditions_say_which_rows_they_hold() -> None:
    frame = table(3000, 2)
    found = search(frame, errors(frame, 2, 0.6), **OPTIONS)
    for one in found.slices:
        rows = np.ones(len(frame), dtype=bool)
        for condition in one.conditions:
            values = frame[condition.column]
            met = (
                values <= condition.value
                if condition.test in {"<=", ">"}
                else values.astype(object).fillna("(missing)") == condition.value
            )
            rows &= (~met if condition.test in {">", "!="} else met).to_numpy()
        assert rows.sum() == one.found_rows + one.error.n
    assert sum(one.found_rows + one.error.n for one in found.slices) == len(frame)


def test_where_nothing_can_be_cut_the_numbers_are_undefined() -> None:
    found = search({"one": ["a"] * 100}, np.zeros(100), **OPTIONS)
    assert found.slices == () and all(one.status == "undefined" and one.reason for one in found.measurements)


def test_a_slice_with_few_rows_on_the_other_half_is_insufficient() -> None:
    generator = np.random.default_rng(0)
    group = generator.choice(["a", "b"], 130, p=[0.5, 0.5])
    error = ((group == "a") & (generator.random(130) < 0.8)).astype(float)
    found = search({"g": group}, error, rate=True, confidence=0.95, min_group_size=31, seed=1)
    if found.slices and found.slices[0].error.n < 31:
        assert found.measurements[0].status == "insufficient"
    few = search({"g": group}, error, rate=True, confidence=0.95, min_group_size=60)
    assert few.measurements[0].status == "undefined"


def test_columns_that_cannot_be_cut_are_left_out_by_name() -> None:
    frame = table(400, 3).assign(when=pd.Timedelta(days=1))
    assert "when" in search(frame, errors(frame, 3, 0.5), **OPTIONS).left_out
    with pytest.raises(DataError, match="400"):
        search({"a": [1, 2]}, np.zeros(400), **OPTIONS)


def test_a_regression_has_its_worst_slice_by_absolute_error() -> None:
    frame, generator = table(3000, 4), np.random.default_rng(5)
    wide = np.where(frame.region == "west", 3.0, 1.0)
    report = assess_performance(
        y_true=np.zeros(3000), y_pred=generator.normal(size=3000) * wide, task="regression", slice_by=frame
    )
    assert "region == west" in report.details["weak_slices"]["slices"][0]["slice"]
    one = report.get("worst_slice_mean_absolute_error")
    truth = 3 * np.sqrt(2 / np.pi)
    assert one.intervals[0].lower <= truth <= one.intervals[0].upper  # type: ignore[operator]
    assert report.get("worst_slice_mean_absolute_error_gap").intervals[0].lower > 0.8  # type: ignore[operator]
