from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint

import ml_governance as gov
from ml_governance.assess import columns, separability, splits
from ml_governance.assess import profile as profiles
from ml_governance.assess.columns import coded, opened
from ml_governance.assess.overlap import shared_rows
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import METRICS


def table(n: int = 2000, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": random.normal(30, 10, n).round(1), "age": random.integers(18, 80, n),
            "job": random.choice(["clerk", "nurse", "smith"], n), "sex": random.choice(["Female", "Male"], n),
            "race": random.choice(["A", "B", "C"], n, p=[0.6, 0.3, 0.1]),
        }
    )  # fmt: skip
    frame["repaid"] = (random.random(n) < 1 / (1 + np.exp(-(frame.income - 30) / 10))).astype(int)
    return frame


def two_sided(one: Any) -> tuple[float, float]:
    return next((i.lower, i.upper) for i in one.intervals if i.sides == "two-sided")


# --- gaps, copies, constants ------------------------------------------------------------------------------


def test_missing_values_are_counted_for_every_column_and_group_with_wilson_intervals() -> None:
    frame = table()
    frame.loc[frame.sex.eq("Female") & (frame.index % 5 == 0), "income"] = np.nan
    frame.loc[3:5, "job"] = ["", "  ", None]
    found = gov.assess_data(frame, sensitive_features=["sex"])
    assert found.get("missing_rate", by=("column",), group=("job",)).numerator == 3  # blanks are no value
    for sex, rows in frame.groupby("sex"):
        one = found.get("missing_rate", by=("column", "sex"), group=("income", str(sex)))
        k = int(rows.income.isna().sum())
        assert (one.numerator, one.denominator) == (k, len(rows))
        assert two_sided(one) == pytest.approx(proportion_confint(k, len(rows), method="wilson"), abs=1e-12)
    gap = found.get("missing_gap", by=("column", "attribute"), group=("income", "sex"))
    rates = frame.income.isna().groupby(frame.sex).mean()
    assert gap.value == pytest.approx(rates.max() - rates.min()) and two_sided(gap)[0] > 0.1
    whole = found.get("incomplete_row_rate")
    assert whole.numerator == (frame.income.isna() | frame.index.isin([3, 4, 5])).sum()


def test_a_value_outside_the_stated_range_is_implausible_and_a_bound_is_inside() -> None:
    frame = table().assign(age=[17, 18, 80, 81, *[40] * 1996])
    found = gov.assess_data(frame, ranges={"age": (18, 80), "job": (0, 1)})
    assert found.get("out_of_range_rate", by=("column",), group=("age",)).numerator == 2
    text = found.get("out_of_range_rate", by=("column",), group=("job",))
    assert text.status == "undefined" and "no range" in (text.reason or "")


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.5, None]), st.sampled_from(["x", "y", None])), min_size=1, max_size=40)
)
def test_duplicates_are_those_that_a_counter_finds(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"]).astype({"a": float, "b": "string"})
    found = gov.assess_data(frame)
    assert found.get("duplicate_row_rate").numerator == len(rows) - len(Counter(rows))


def test_an_identifier_hides_no_copies() -> None:
    frame = table(200).assign(id=range(200))
    frame.loc[100:, frame.columns[:-1]] = frame.iloc[:100, :-1].to_numpy()
    found = gov.assess_data(frame)
    assert found.details["identifiers"] == ["id"]
    assert found.get("duplicate_row_rate").numerator == 100
    assert found.get("identifier_columns").value == 1
    kept = gov.assess_data(frame, identifiers=[])
    assert kept.get("duplicate_row_rate").numerator == 0


def test_rows_that_are_alike_and_have_two_labels_contradict_each_other() -> None:
    frame = pd.DataFrame({"a": [1, 1, 1, 2, 2, 3], "y": [0, 1, 1, 1, 1, 0]})
    found = gov.assess_data(frame, y_true="y")
    assert found.get("conflicting_label_rate").numerator == 3  # those with a = 1
    assert found.get("duplicate_row_rate").numerator == 2


def test_constant_columns_are_counted_with_all_values_missing_as_one() -> None:
    frame = table(400).assign(same="x", empty=None, almost=["y", *["x"] * 399])
    found = gov.assess_data(frame)
    assert (found.get("constant_columns").value, found.get("near_constant_columns").value) == (2, 3)


def test_a_column_that_mixes_types_is_told_and_still_compared() -> None:
    frame = pd.DataFrame({"a": [1, "x", None, 1], "b": [1, 1, 1, 1]})
    found = gov.assess_data(frame)
    assert found.get("mixed_type_columns").value == 1
    assert found.get("duplicate_row_rate").numerator == 1


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 12))
def test_row_keys_are_equal_exactly_where_rows_are(seed: int, rows: int, width: int) -> None:
    codes = np.random.default_rng(seed).integers(-1, 3, (width, rows))
    keys = RowKeys(rows)
    for own in codes:
        keys.add(own, 2**40)  # so wide that keys are compacted on the way
    found = keys.settled()
    same = (codes[:, :, None] == codes[:, None, :]).all(axis=0)
    assert ((found[:, None] == found[None, :]) == same).all()


# --- training ---------------------------------------------------------------------------------------------


def test_overlap_is_that_of_a_set_of_rows_whatever_the_types() -> None:
    train, test = table(500), table(300, seed=1)
    test.iloc[:40] = train.iloc[100:140].to_numpy()
    test = test.astype({"income": float, "age": "Int64", "repaid": "float64"})
    found = gov.assess_data(test, training=train.astype({"job": "category"}))
    known = {tuple(row) for row in train.astype({"repaid": float}).itertuples(index=False)}
    expected = sum(tuple(row) in known for row in test.itertuples(index=False))
    assert expected >= 40 and found.get("overlap_rate").numerator == expected


def test_whole_numbers_that_floats_confuse_and_times_of_another_unit_are_told_apart_and_level() -> None:
    assert shared_rows(pd.DataFrame({"a": [2**53]}), pd.DataFrame({"a": [2**53 + 1]})) == 0
    day = pd.Series(pd.to_datetime(["2026-01-01", None]))
    one, two = (pd.DataFrame({"day": day.astype(f"datetime64[{unit}]"), "b": ["x", "y"]}) for unit in ("s", "ns"))
    assert shared_rows(one, two) == 2
    assert shared_rows(pd.DataFrame({"a": [0.0], "b": [None]}), pd.DataFrame({"a": [-0.0], "b": [" "]})) == 1


def test_cases_that_come_again_under_their_identifier_are_counted() -> None:
    train, test = table(500).assign(person=range(500)), table(100, seed=1).assign(person=range(480, 580))
    found = gov.assess_data(test, training=train, identifiers=["person"])
    one = found.get("shared_identifier_rate", by=("column",), group=("person",))
    assert (one.numerator, one.denominator) == (20, 100)
    assert found.get("overlap_rate").numerator == 0


def test_columns_that_are_not_as_in_training_or_in_the_schema_are_named() -> None:
    train = table(200)
    test = train.drop(columns="age").assign(extra=1, income=train.income.astype(str))
    told = gov.assess_data(test, training=train)
    assert told.details["schema"] == [
        "age is not there", "extra is not expected", "income holds text, in training number",
    ]  # fmt: skip
    assert told.get("schema_differences").value == 3
    schema = {"income": "double", "age": "int64", "job": "string", "sex": "string", "race": "string", "repaid": "int8"}
    assert gov.assess_data(train, schema=schema).details["schema"] == ["repaid is int64, expected int8"]


@pytest.mark.parametrize("column", ["income", "age", "job"])
def test_distances_are_those_of_assess_drift_and_of_scipy(column: str) -> None:
    train, test = table(3000), table(2000, seed=1).assign(age=lambda f: f.age + 5)
    test.loc[:99, "income"] = np.nan
    found = gov.assess_data(test, training=train)
    other = gov.assess_drift(train, test, columns=[column], metrics=splits.DISTANCES)
    for metric in splits.DISTANCES:
        assert found.get(metric, by=("column",), group=(column,)).value == pytest.approx(
            other.get(column, metric).value
        )
    if column == "job":
        return
    expected = stats.ks_2samp(train[column], test[column].dropna(), method="asymp")
    one = found.get("kolmogorov_smirnov", by=("column",), group=(column,))
    assert one.value == pytest.approx(expected.statistic, abs=1e-12)
    n, m = 3000, int(test[column].notna().sum())
    assert splits.ks_p_value(expected.statistic, n, m) == pytest.approx(
        stats.kstwobign.sf(expected.statistic * np.sqrt(n * m / (n + m))), rel=1e-9
    )


def test_what_moved_is_found_and_what_did_not_is_left_alone() -> None:
    train, test = table(4000), table(4000, seed=1).assign(age=lambda f: f.age + 8)
    found = gov.assess_data(test, training=train)
    p = {m.group[0]: m.value for m in found.measurements if m.metric == "kolmogorov_smirnov_p_value"}
    assert p["age"] < 1e-6 and p["income"] > 0.05
    assert found.get("largest_psi_excess").value == found.get("psi_excess", by=("column",), group=("age",)).value


def test_profiles_of_codes_are_the_profiles_of_the_rows() -> None:
    train = table(500)
    column = coded("income", [opened(table(400, 1)), opened(train)])
    made = splits.compare(column, column.of(1), column.of(0))
    assert made.reference == profiles.profile(train, columns=["income"])["income"]


def test_drift_over_time_compares_the_earlier_half_with_the_later() -> None:
    frame = table(2000)
    frame["day"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(range(2000), unit="h")
    frame.loc[1000:, "income"] += 20
    found = gov.assess_data(frame.sample(frac=1, random_state=0), time="day")
    by = ("column over time",)
    before, after = frame.income[:1000], frame.income[1000:]
    assert found.get("kolmogorov_smirnov", by=by, group=("income",)).value == pytest.approx(
        stats.ks_2samp(before, after).statistic
    )
    assert found.get("kolmogorov_smirnov_p_value", by=by, group=("age",)).value > 0.01


# --- leaks and proxies ------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(40, 300))
def test_the_auc_of_a_number_is_that_of_scikit_learn_turned_round(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.normal(size=n).round(1), "y": random.integers(0, 2, n)})
    frame.loc[:1, "y"] = [0, 1]
    one = gov.assess_data(frame, y_true="y").get("single_feature_auc", by=("column",), group=("x",))
    auc = roc_auc_score(frame.y, frame.x)
    assert one.value == pytest.approx(max(auc, 1 - auc), abs=1e-12)
    lower, upper = two_sided(one)
    assert 0.5 <= lower <= one.value <= upper <= 1


def test_the_auc_of_very_many_values_is_exact_and_its_variance_close(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    y = random.integers(0, 3, 3000)
    x = random.normal(size=3000) + y / 2
    column = coded("x", [opened(pd.DataFrame({"x": x}))])
    folds = separability.folds_of(3000, 0)
    exact = separability.separate(separability.Placed.of(column, folds), y, 3)
    monkeypatch.setattr(separability, "BINS", 256)
    binned = separability.separate(separability.Placed.of(column, folds), y, 3)
    for level, (one, two) in enumerate(zip(exact, binned, strict=True)):
        assert one.value == pytest.approx(two.value, abs=1e-12)
        assert one.value == pytest.approx(roc_auc_score(y == level, x), abs=1e-12)
        assert two.variance == pytest.approx(one.variance, rel=0.02)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_numbers_have_the_same_places_whether_they_are_sorted_or_looked_up(
    gaps: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    x = (
        random.integers(-4000, 4000, 9000)
        if whole
        else random.normal(size=9000).round(3) * random.choice([-1.0, 0.0, 1.0], 9000)
    )
    series = pd.Series(x, dtype="Int64" if whole else "float64")
    if gaps:
        series[::7] = pd.NA if whole else np.nan
    tables = [opened(pd.DataFrame({"x": part})) for part in (series[:5000], series[5000:])]
    sorted_ = coded("x", tables)
    monkeypatch.setattr(columns, "_FIRST", 10**9)  # never as many values as that: they are looked up
    looked_up = coded("x", tables)
    assert np.array_equal(sorted_.values, looked_up.values)
    assert np.array_equal(sorted_.codes, looked_up.codes)
    expected = np.unique(series.dropna().to_numpy(dtype=np.float64) + 0.0)
    assert np.array_equal(sorted_.values, expected)
    assert (sorted_.codes < 0).sum() == series.isna().sum()


def test_a_leaking_column_is_told_whether_number_text_or_gap() -> None:
    frame = table()
    frame["score"] = frame.repaid * 10 + np.random.default_rng(1).normal(size=2000)
    frame["status"] = np.where(frame.repaid == 1, "closed", "default")
    frame["closed"] = np.where(frame.repaid == 1, np.random.default_rng(3).normal(size=2000), np.nan)
    found = gov.assess_data(frame, y_true="repaid")
    for name in ("score", "status", "closed"):
        assert two_sided(found.get("single_feature_auc", by=("column",), group=(name,)))[0] > 0.97, name
    assert two_sided(found.get("single_feature_auc", by=("column",), group=("age",)))[1] < 0.6


def test_a_category_of_many_values_does_not_look_like_a_leak() -> None:
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"street": random.integers(0, 700, 2000).astype(str), "y": random.integers(0, 2, 2000)})
    one = gov.assess_data(frame, y_true="y").get("single_feature_auc", by=("column",), group=("street",))
    assert one.value < 0.55
    learnt = frame.groupby("street").y.transform("mean")
    assert roc_auc_score(frame.y, learnt) > 0.75  # what it would look like, were it judged where it was learnt


def test_the_interval_of_a_useless_category_holds_one_half_in_nineteen_of_twenty_samples() -> None:
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        column = coded("c", [opened(pd.DataFrame({"c": random.choice(list("abcdef"), 400)}))])
        y = random.integers(0, 2, 400)
        one = separability.separate(separability.Placed.of(column, separability.folds_of(400, seed)), y, 2)[1]
        lower, upper = one.bounds(0.95, "two-sided")
        held += lower <= 0.5 <= upper
    assert held >= 180


def test_proxies_are_found_with_the_columns_that_give_them_away() -> None:
    frame = table(3000)
    random = np.random.default_rng(5)
    frame["postcode"] = np.where(random.random(3000) < 0.8, frame.race.map({"A": "1", "B": "2", "C": "3"}), "4")
    found = gov.assess_data(frame, y_true="repaid", sensitive_features=["sex", "race"])
    assert two_sided(found.get("proxy_auc", by=("race",), group=("A",)))[0] > 0.85
    assert found.details["proxies"]["race"][0]["column"] == "postcode"
    lower, upper = two_sided(found.get("proxy_auc", by=("sex",), group=("Male",)))
    assert lower < 0.5 + 0.02 and upper < 0.56  # nothing else says it
    assert two_sided(found.get("single_proxy_auc", by=("column", "attribute"), group=("postcode", "race")))[0] > 0.85
    assert {one.metric for one in found.measurements} <= {name for kind, name in METRICS if kind == "data-quality"}


def test_the_largest_of_any_column_or_group_has_bounds_that_look_at_all() -> None:
    frame = table().assign(income=lambda f: f.income.where(f.index % 4 > 0))
    population = {"race": {"A": 0.5, "B": 0.3, "C": 0.2}}
    found = gov.assess_data(frame, y_true="repaid", sensitive_features=["race"], population=population)
    gaps = found.get("largest_missing_rate")
    bounds = proportion_confint(500, 2000, alpha=0.05 / 6, method="wilson")
    assert gaps.value == 0.25 and two_sided(gaps) == pytest.approx(bounds, abs=1e-9)
    told = found.get("largest_single_feature_auc")
    each = [m for m in found.measurements if m.metric == "single_feature_auc"]
    assert told.value == max(m.value for m in each if m.value is not None)
    assert two_sided(told)[1] >= max(two_sided(m)[1] for m in each)
    ratios = [m for m in found.measurements if m.metric == "representation_ratio"]
    worst = found.get("smallest_representation_ratio", by=("race",))
    assert worst.value == min(m.value for m in ratios if m.value is not None)
    assert two_sided(worst) == tuple(min(two_sided(m)[side] for m in ratios) for side in (0, 1))
    assert found.get("largest_proxy_auc", by=("race",)).status == "ok"


# --- representation ---------------------------------------------------------------------------------------


def test_groups_have_goodmans_intervals_and_pearsons_test() -> None:
    frame = table()
    population = {"A": 0.5, "B": 0.3, "C": 0.2}
    found = gov.assess_data(frame, sensitive_features=["race"], population={"race": population})
    counts = frame.race.value_counts().sort_index()
    expected = multinomial_proportions_confint(counts, alpha=0.05, method="goodman")
    for (level, share), (lower, upper) in zip(population.items(), expected, strict=True):
        one = found.get("representation_ratio", by=("race",), group=(level,))
        assert one.value == pytest.approx(counts[level] / 2000 / share)
        assert two_sided(one) == pytest.approx((lower / share, upper / share), abs=1e-9)
        gap = found.get("representation_difference", by=("race",), group=(level,))
        assert two_sided(gap) == pytest.approx((lower - share, upper - share), abs=1e-9)
    p = stats.chisquare(counts, np.array(list(population.values())) * 2000).pvalue
    assert found.get("representation_p_value", by=("race",)).value == pytest.approx(p, rel=1e-9)


def test_a_group_that_nobody_said_the_size_of_is_undefined_and_an_absent_one_is_zero() -> None:
    frame = table(300)
    found = gov.assess_data(frame, sensitive_features=["race"], population={"race": {"A": 7, "B": 2, "D": 1}})
    unknown = found.get("representation_ratio", by=("race",), group=("C",))
    assert unknown.status == "undefined" and "does not say how many are C" in (unknown.reason or "")
    absent = found.get("representation_ratio", by=("race",), group=("D",))
    assert absent.value == 0 and two_sided(absent)[1] < 0.3
    assert found.get("representation_p_value", by=("race",)).status == "undefined"


def test_a_small_sample_has_a_simulated_p_value_that_keeps_its_level() -> None:
    found = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        frame = pd.DataFrame({"g": random.choice(["a", "b", "c"], 30, p=[0.9, 0.05, 0.05])})
        report = gov.assess_data(
            frame, sensitive_features=["g"], population={"g": {"a": 0.9, "b": 0.05, "c": 0.05}}, seed=seed
        )
        found.append(report.get("representation_p_value", by=("g",)).value)
    assert np.mean([p <= 0.05 for p in found if p is not None]) <= 0.15


# --- engines and bad input --------------------------------------------------------------------------------


def test_every_kind_of_table_gives_the_same_numbers(tmp_path: Path) -> None:
    frame = table(400)
    frame.loc[:9, "job"] = None
    frame.to_parquet(tmp_path / "all.parquet")
    frame[:150].to_parquet(tmp_path / "part-1.parquet")
    frame[150:].to_parquet(tmp_path / "part-2.parquet")
    frame.to_csv(tmp_path / "all.csv", index=False)
    options: dict[str, Any] = {
        "y_true": "repaid",
        "sensitive_features": ["sex"],
        "population": {"sex": {"Female": 1, "Male": 1}},
    }
    expected = gov.assess_data(frame, **options).measurements
    lazy = duckdb.connect().read_parquet(str(tmp_path / "all.parquet"))
    for other in (
        pl.from_pandas(frame), pl.from_pandas(frame).lazy(), pa.Table.from_pandas(frame), lazy, tmp_path / "all.parquet",
        str(tmp_path / "part-*.parquet"), tmp_path / "all.csv",
    ):  # fmt: skip
        assert gov.assess_data(other, **options).measurements == expected


def test_the_order_of_rows_changes_no_number_but_those_of_folds() -> None:
    frame = table(400)
    one, two = (gov.assess_data(rows, y_true="repaid") for rows in (frame, frame.sample(frac=1, random_state=1)))
    drawn = {"job", "sex", "race"}
    for a, b in zip(one.measurements, two.measurements, strict=True):
        if a.metric != "single_feature_auc" or a.group[0] not in drawn:
            assert a == b


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"y_true": "paid"}, "no column 'paid'"),
        ({"time": "job"}, "holds no times"),
        ({"population": {"sex": {"Female": 1.0}}}, "population of sex"),
        ({"sensitive_features": ["sex"], "population": {"sex": {"Female": 0.7, "Male": 0.7}}}, "sums to 1.4"),
        ({"sensitive_features": ["sex"], "population": {"sex": {"Female": -1, "Male": 2}}}, "-1 of Female"),
        ({"training": pd.DataFrame({"other": [1]})}, "no column in common"),
        ({"training": pd.DataFrame({"age": []})}, "no rows"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_bad_input_is_refused_in_words(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        gov.assess_data(table(200), **options)


def test_what_is_no_table_or_holds_lists_is_refused() -> None:
    with pytest.raises(DataError, match="is a int"):
        gov.assess_data(3)
    with pytest.raises(DataError, match="twice"):
        gov.assess_data(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="list"):
        gov.assess_data(pd.DataFrame({"a": [[1], [2]]}))


def test_small_and_one_sided_data_are_typed() -> None:
    frame = table(20).assign(repaid=1)
    found = gov.assess_data(frame, y_true="repaid", sensitive_features=["sex"])
    assert found.get("duplicate_row_rate").status == "insufficient"
    assert found.get("single_feature_auc", by=("column",), group=("age",)).status == "undefined"
    lonely = gov.assess_data(frame.assign(sex="Female"), sensitive_features=["sex"])
    assert lonely.get("proxy_auc", by=("sex",), group=("Female",)).status == "undefined"
    assert lonely.get("missing_gap", by=("column", "attribute"), group=("age", "sex")).status == "undefined"
    number = gov.assess_data(table(60).assign(repaid=range(60)), y_true="repaid", identifiers=[])
    assert not [one for one in number.measurements if one.metric == "single_feature_auc"]
