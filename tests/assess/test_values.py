"""Different values stay apart, one value stays one, and numbers that floats lose are refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess import classes, sensitive
from ml_governance.assess.cube import MAX_ROWS, MISSING
from ml_governance.assess.multiclass import assess_multiclass
from ml_governance.errors import DataError

Y, P = [0, 1] * 4, [0, 0, 1, 1] * 2
N = 200
GROUPS = np.resize(["a", "b"], N)


def parquet(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "x.parquet")
    return folder / "x.parquet"


def csv(table: pa.Table, folder: Path) -> Any:
    pyarrow.csv.write_csv(table, folder / "x.csv")
    return folder / "x.csv"


def duckdb_elsewhere(table: pa.Table, _: Path) -> Any:
    """Return a relation whose reader lives in another time zone."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    return connection.from_arrow(table)


ENGINES = {
    "pandas": lambda table, _: table.to_pandas(),
    "pandas nullable": lambda table, _: table.to_pandas().convert_dtypes(),
    "Polars": lambda table, _: pl.from_arrow(table),
    "Arrow": lambda table, _: table,
    "DuckDB": duckdb_elsewhere,
    "Parquet": parquet,
    "CSV": csv,
}
every_engine = pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)
typed_engine = pytest.mark.parametrize("make", list(ENGINES.values())[:-1], ids=list(ENGINES)[:-1])


SPELLINGS = ("decomposed", "space after", "space before", "no-break space", "no width", "byte order mark", "tab")


def groups(data: Any, **options: Any) -> dict[str, int]:
    report = assess_fairness(data=data, y_true="y", y_pred="p", sensitive_features="g", **options)
    return {group[0]: rows for group, _, rows in report.cube.groups()}


def of(values: Any) -> dict[str, int]:
    """Count groups by both of the ways that columns are coded in."""
    report = assess_fairness(y_true=Y, y_pred=P, sensitive_features={"g": values})
    found = {group[0]: rows for group, _, rows in report.cube.groups()}
    own, names = sensitive.codes(values, "g")
    assert found == dict(zip(names, np.bincount(own).tolist(), strict=True))
    return found


def table(values: pa.Array, y: Any = Y, p: Any = P) -> pa.Table:
    return pa.table({"g": values, "y": y, "p": p})


@every_engine
def test_text_that_shows_nothing_is_missing_as_in_csv(make: Any, tmp_path: Path) -> None:
    assert groups(make(table(pa.array(["a", "", None, "a"] * 2)), tmp_path)) == {"a": 4, MISSING: 4}
    with pytest.raises(DataError, match="y has 4 missing"):
        groups(make(table(pa.array(["a", "b"] * 4), ["", "yes"] * 4, ["", "yes"] * 4), tmp_path), pos_label="yes")


@every_engine
@pytest.mark.parametrize(
    "other",
    ["e\u0301", "\u00e9 ", " \u00e9", "\u00e9\u00a0", "\u00e9\u200b", "\ufeff\u00e9", "\u00e9\t"],
    ids=SPELLINGS,
)
def test_two_spellings_of_one_group_are_refused(make: Any, other: str, tmp_path: Path) -> None:
    """Else a group hides in two halves, each of which may be too small to tell anything."""
    with pytest.raises(DataError, match="read the same"):
        groups(make(table(pa.array(["\u00e9", other, "b", "b"] * 2)), tmp_path))


@every_engine
def test_two_spellings_of_one_label_are_refused(make: Any, tmp_path: Path) -> None:
    labels = ["yes", "yes "] * 4
    with pytest.raises(DataError, match="y has different labels that read the same"):
        groups(make(table(pa.array(["a", "b"] * 4), labels, labels), tmp_path), pos_label="yes")


@typed_engine
def test_an_instant_is_named_in_utc_wherever_it_is_read(make: Any, tmp_path: Path) -> None:
    noon = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
    times = pa.array([noon, None] * 4, pa.timestamp("us", "Europe/Berlin"))
    assert groups(make(table(times), tmp_path)) == {"2020-01-01 12:00:00+00:00": 4, MISSING: 4}


@every_engine
def test_whole_numbers_keep_their_name_beside_a_missing_one(make: Any, tmp_path: Path) -> None:
    """As pandas has them as fractions then, the shards of one table would have groups 1 and 1.0."""
    assert groups(make(table(pa.array([1, None] * 4)), tmp_path)) == {"1": 4, MISSING: 4}


@typed_engine
def test_durations_are_refused_since_engines_write_them_in_many_ways(make: Any, tmp_path: Path) -> None:
    values = pa.array([dt.timedelta(days=1), dt.timedelta(hours=2)] * 4, pa.duration("us"))
    with pytest.raises(DataError, match="duration"):
        groups(make(table(values), tmp_path))


@pytest.mark.parametrize("kind", [list, lambda v: pd.Series(v, dtype=object), lambda v: np.array(v, dtype=object)])
def test_truth_values_are_no_numbers(kind: Any) -> None:
    assert of(kind([1, True] * 4)) == {"1": 4, "True": 4}
    assert of(kind([0, False, None, True] * 2)) == {"0": 2, "False": 2, "True": 2, MISSING: 2}
    assert of(kind([1, 1.0, 2.5, 1] * 2)) == {"1": 6, "2.5": 2}
    with pytest.raises(DataError, match="read the same: '1', '1'"):
        of(kind([1, "1"] * 4))
    assert (
        assess_fairness(y_true=kind([0, True] * 4), y_pred=P, sensitive_features={"g": ["a"] * 8}).cube.counts.sum()
        == 8
    )


@given(st.text(max_size=8))
def test_reading_twice_is_reading_once_and_ignores_edges_and_what_has_no_width(text: str) -> None:
    once = classes.reading(text)
    assert classes.reading(once) == once
    assert classes.reading(f" {text}\u200b\u00a0") == once


# --- numbers that floats lose -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [MAX_ROWS, 2**62, 2**64])
def test_more_rows_than_floats_count_are_refused(rows: int) -> None:
    with pytest.raises(DataError, match="rows are not exact|not exact"):
        FairnessReport.from_counts({"a": (rows, 0, 0, 1), "b": (5, 0, 0, 5)}, by="g")
    most = FairnessReport.from_counts({"a": (MAX_ROWS - 1, 0, 0, 1)}, by="g")
    with pytest.raises(DataError, match="not exact"):
        most.merge(most)


def test_counts_of_narrow_integers_do_not_wrap() -> None:
    report = FairnessReport.from_counts({"a": np.array([200] * 4, dtype=np.uint8), "b": (50, 50, 50, 50)}, by="g")
    assert report.cube.counts.sum() == 1000


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({("b",): (10, 40, 0, 50), "b": (28, 72, 0, 0)}, "twice"),
        ({"b ": (10, 40, 0, 50), "b": (28, 72, 0, 0)}, "read the same"),
        ({"": (10, 40, 0, 50)}, "a group is ''"),
        ({(1,): (10, 40, 0, 50), ("1",): (28, 72, 0, 0)}, r"a group is \(1,\)"),
        ({1: (10, 40, 0, 50)}, "a group is 1"),
        ({"a": (True, False, True, True)}, "whole"),
    ],
)
def test_published_tables_name_every_group_once_by_text(counts: Any, words: str) -> None:
    """A group that is named twice must not lose the rows of one of the two."""
    with pytest.raises(DataError, match=words):
        FairnessReport.from_counts(counts, by="g")


@pytest.mark.parametrize("weight", [5e-324, 1e-200, 1e-160, 1e160, 1e200])
def test_weights_whose_squares_are_lost_are_refused(weight: float) -> None:
    with pytest.raises(DataError, match="squares are lost"):
        assess_fairness(
            y_true=np.resize([0, 1], N), y_pred=np.resize([0, 0, 1], N), sensitive_features={"g": GROUPS},
            sample_weight=np.full(N, weight),
        )  # fmt: skip


def test_one_weight_that_outweighs_all_others_leaves_a_ratio_without_a_bound() -> None:
    weight = np.ones(N)
    weight[0] = 1e17
    report = assess_fairness(
        y_true=np.resize([0, 1], N), y_pred=np.resize([0, 0, 1], N), sensitive_features={"g": GROUPS},
        sample_weight=weight,
    )  # fmt: skip
    (one,) = (i for i in report.ratio("demographic_parity").intervals if i.sides == "two-sided")
    assert one.lower == 0


# --- several classes --------------------------------------------------------------------------------------


def of_classes(true: Any, predicted: Any) -> list[str]:
    found = assess_multiclass(y_true=true, y_pred=predicted, sensitive_features={"g": ["a", "b"] * (len(true) // 2)})
    return found.columns["classes"]  # type: ignore[return-value]


def test_classes_of_large_numbers_keep_their_names() -> None:
    largest = np.array([2**64 - 1, 1] * 30, dtype=np.uint64)
    assert of_classes(largest, largest) == ["1", str(2**64 - 1)]
    assert of_classes([1e20, 2e20] * 30, [1e20, 1e20] * 30) == ["1e+20", "2e+20"]
    assert of_classes([10, 9, 2.0] * 20, [10, 9, True] * 20) == ["1", "2", "9", "10"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["", "b"], "missing"),
        (["b ", "b"], "read the same"),
        (["\u00e9", "e\u0301"], "read the same"),
        ([1, "1"], "mixes types"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(labels: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        of_classes(labels * 30, labels * 30)
