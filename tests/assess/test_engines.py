"""The same numbers and the same errors wherever the rows are."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dask.dataframe
import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_governance import assess_fairness
from ml_governance.assess import blocks
from ml_governance.assess.cells import Roles, cube_of
from ml_governance.assess.cube import MISSING, Cube
from ml_governance.errors import DataError, UnavailableError, VerificationError

Make = Callable[[pa.Table, Path], Any]


def pandas_arrow(table: pa.Table, _: Path) -> Any:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def pandas_nullable(table: pa.Table, _: Path) -> Any:
    return table.to_pandas().convert_dtypes()


def pandas_category(table: pa.Table, _: Path) -> Any:
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame.astype({n: "category" for n in frame.columns if pa.types.is_string(table.schema.field(n).type)})


def polars_category(table: pa.Table, _: Path) -> Any:
    return pl.from_arrow(table).with_columns(pl.col(pl.String).cast(pl.Categorical))  # type: ignore[union-attr]


def arrow_dictionary(table: pa.Table, _: Path) -> Any:
    """Return a table whose chunks have dictionaries of their own."""
    half = len(table) // 2
    parts = []
    for part in (table.slice(0, half), table.slice(half)):
        columns = [c.combine_chunks().dictionary_encode() if pa.types.is_string(c.type) else c for c in part.columns]
        parts.append(pa.table(dict(zip(table.column_names, columns, strict=True))))
    return pa.concat_tables(parts) if half else parts[1]


def parquet(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "all.parquet")
    return str(folder / "all.parquet")


def parquet_parts(table: pa.Table, folder: Path) -> Any:
    """Write two files, with the columns in another order in the second one."""
    half = len(table) // 2
    pq.write_table(table.slice(0, half), folder / "a.parquet")
    pq.write_table(table.slice(half).select(table.column_names[::-1]), folder / "b.parquet")
    return folder / "*.parquet"


def dataset(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "set.parquet")
    return pyarrow.dataset.dataset(folder / "set.parquet")


class Stream:
    """Something that can only hand out an Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(schema)


ENGINES: dict[str, Make] = {
    "pandas with Arrow types": pandas_arrow,
    "pandas with nullable types": pandas_nullable,
    "pandas with categories": pandas_category,
    "Polars": lambda table, _: pl.from_arrow(table),
    "Polars with categories": polars_category,
    "Polars lazy": lambda table, _: pl.from_arrow(table).lazy(),  # type: ignore[union-attr]
    "Arrow table": lambda table, _: table,
    "Arrow table of dictionaries": arrow_dictionary,
    "Arrow batch": lambda table, _: table.combine_chunks().to_batches()[0] if len(table) else table,
    "Arrow dataset": dataset,
    "Arrow stream": lambda table, _: Stream(table),
    "DuckDB": lambda table, _: duckdb.from_arrow(table),
    "Ibis": lambda table, _: ibis.memtable(table),
    "Dask": lambda table, _: dask.dataframe.from_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), npartitions=2),
    "Parquet": parquet,
    "Parquet in parts": parquet_parts,
}
every_engine = pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)


def rows(n: int = 500, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    sex = generator.choice(np.array(["Female", "Male", None], dtype=object), n, p=[0.45, 0.45, 0.1])
    return pa.table(
        {
            "sex": pa.array(sex, pa.string()),
            "age": pa.array(generator.integers(-1, 3, n), mask=generator.random(n) < 0.1),
            "veteran": pa.array(generator.random(n) < 0.5, mask=generator.random(n) < 0.1),
            "income": pa.array(np.where(generator.random(n) < 0.2, np.nan, generator.choice([0.5, 1.0], n))),
            "y": generator.integers(0, 2, n),
            "p": generator.integers(0, 2, n).astype(bool),
            "t": pa.array(generator.choice(["no", "yes"], n), pa.string()),
            "w": generator.lognormal(0, 1, n),
        }
    )


def plain(cube: Cube) -> dict[tuple[str, ...], list[int]]:
    return {group: table.ravel().tolist() for group, table, _ in cube.groups()}


def expected(table: pa.Table, by: list[str], true: str, predicted: str, positive: Any = 1) -> dict[Any, list[int]]:
    """Count in plain Python."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row in table.to_pylist():
        values = [row[name] for name in by]
        group = tuple(
            MISSING
            if v is None or (isinstance(v, float) and math.isnan(v))
            else f"{v:g}"
            if isinstance(v, float)
            else str(v)
            for v in values
        )
        cell = 2 * (row[true] == positive) + (row[predicted] == (positive if true == "t" else 1))
        found.setdefault(group, [0, 0, 0, 0])[cell] += 1
    return found


# --- the same numbers -------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("by", [["sex"], ["age"], ["veteran"], ["income"], ["sex", "age", "veteran"]], ids="-".join)
def test_every_engine_counts_what_python_counts(make: Make, by: list[str], tmp_path: Path) -> None:
    table = rows()
    report = assess_fairness(data=make(table, tmp_path), y_true="y", y_pred="p", sensitive_features=by)
    assert plain(report.cube) == expected(table, by, "y", "p")


@every_engine
def test_weights_are_summed_and_squared_on_every_engine(make: Make, tmp_path: Path) -> None:
    table = rows()
    report = assess_fairness(
        data=make(table, tmp_path), y_true="y", y_pred="p", sensitive_features=["sex"], sample_weight="w"
    )
    frame = table.to_pandas()
    frame["sex"] = frame.sex.fillna(MISSING)
    for (sex, y, p), own in frame.groupby(["sex", "y", "p"]).w:
        place = (report.cube.levels[0].index(sex), int(y), int(p))
        assert report.cube.counts[place] == len(own)
        assert report.cube.weights is not None and report.cube.squares is not None
        assert report.cube.weights[place] == pytest.approx(own.sum(), rel=1e-12)
        assert report.cube.squares[place] == pytest.approx((own**2).sum(), rel=1e-12)


@every_engine
def test_labels_may_be_text(make: Make, tmp_path: Path) -> None:
    table = rows()
    found = assess_fairness(
        data=make(table, tmp_path), y_true="t", y_pred="t", sensitive_features="sex", pos_label="yes"
    )
    assert found.columns["pos_label"] == "yes"
    assert plain(found.cube) == expected(table, ["sex"], "t", "t", "yes")
    with pytest.raises(DataError, match="'no', 'yes'"):
        assess_fairness(data=make(table, tmp_path), y_true="t", y_pred="t", sensitive_features="sex")


@every_engine
def test_the_report_is_that_of_the_arrays(make: Make, tmp_path: Path) -> None:
    table = rows()
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    arrays = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex", "age"]])
    data = assess_fairness(data=make(table, tmp_path), y_true="y", y_pred="p", sensitive_features=["sex", "age"])
    assert data.measurements == arrays.measurements and data.details == arrays.details


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), n=st.integers(60, 300), weighted=st.booleans())
@pytest.mark.parametrize("name", ["pandas with categories", "Polars", "Arrow table", "DuckDB", "Parquet in parts"])
def test_rates_agree_with_fairlearn(
    name: str, seed: int, n: int, weighted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    generator = np.random.default_rng(seed)
    table = pa.table(
        {
            "sex": pa.array(np.resize(["f", "m"], n), pa.string()),
            "y": np.resize([0, 0, 1, 1], n),
            "p": generator.integers(0, 2, n),
            "w": generator.lognormal(0, 1, n),
        }
    )
    ours = assess_fairness(
        data=ENGINES[name](table, tmp_path_factory.mktemp("rows")),
        y_true="y",
        y_pred="p",
        sensitive_features=["sex"],
        sample_weight="w" if weighted else None,
    )
    frame = table.to_pandas()
    names = ["selection_rate", "true_positive_rate", "false_positive_rate", "true_negative_rate", "false_negative_rate"]
    theirs = fairlearn.MetricFrame(
        metrics={name: getattr(fairlearn, name) for name in names},
        y_true=frame.y,
        y_pred=frame.p,
        sensitive_features=frame[["sex"]],
        sample_params={name: {"sample_weight": frame.w} for name in names} if weighted else None,
    )
    pd.testing.assert_frame_equal(ours.by_group[names], theirs.by_group.astype(float), rtol=0, atol=1e-12)
    gap = fairlearn.equalized_odds_difference(
        frame.y, frame.p, sensitive_features=frame.sex, sample_weight=frame.w if weighted else None
    )
    assert ours.difference("equalized_odds").value == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([1, 2, 1, 2], ("1", "2")),
        ([300, -5, 300, -5], ("-5", "300")),
        (np.array([2**63, 1, 1, 1], dtype=np.uint64), ("1", str(2**63))),
        ([0.0, -0.0, 1.5, 1.5], ("0", "1.5")),
        ([b"a", b"b", b"a", b"b"], ("b'a'", "b'b'")),
        ([dt.date(2020, 1, 1), None] * 2, (MISSING, "2020-01-01")),
        ([Decimal("1.50"), Decimal("2.00")] * 2, ("1.50", "2.00")),
        ([1, "1", "a", "a"], None),
        (["a", float("nan"), None, "a"], (MISSING, "a")),
        ([None, None, None, None], (MISSING,)),
        (["(missing)", None, "a", "a"], None),
        (pd.Categorical(["a", None, "b", "b"], categories=["z", "b", "a"]), (MISSING, "a", "b")),
        (pd.Categorical([1, 2, 1, 2]), ("1", "2")),
        (pd.cut(pd.Series([1, 2, 3, 4]), [0, 2, 4]), ("(0, 2]", "(2, 4]")),
        (pd.to_datetime(["2020-01-01", None, "2020-01-01", None]), (MISSING, "2020-01-01 00:00:00")),
        (
            pd.Series(pd.date_range("2020-01-01", periods=2, tz="UTC").repeat(2)),
            ("2020-01-01 00:00:00+00:00", "2020-01-02 00:00:00+00:00"),
        ),
        (pd.Series(pd.period_range("2020", "2021", freq="Y").repeat(2)), ("2020", "2021")),
        (pd.Series([True, None, False, True], dtype="boolean"), (MISSING, "False", "True")),
        (pd.Series([pd.NA, None, np.nan, "x"], dtype=object), (MISSING, "x")),
        (np.ma.array([1, 2, 9, 2], mask=[0, 0, 1, 0]), (MISSING, "1", "2")),
        (np.array([1, 300, 1, 300], dtype=">i2"), ("1", "300")),
        (np.array(["2020", "NaT"] * 2, dtype="M8[D]"), (MISSING, "2020-01-01")),
        (pa.RunEndEncodedArray.from_arrays([2, 4], ["a", "b"]), ("a", "b")),
        (pa.array(["a", None, "a", "b"], pa.string_view()), (MISSING, "a", "b")),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), pa.array(["a", "a", None])), (MISSING, "a")),
        (pl.Series([1, None, 1, 2]), (MISSING, "1", "2")),
        (pa.array(["x", None, "x", "y"]).dictionary_encode(), (MISSING, "x", "y")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_sensitive_columns_of_any_type_become_named_levels(values: Any, levels: tuple[str, ...] | None) -> None:
    if levels is None:
        with pytest.raises(DataError, match="read the same"):
            assess_fairness(y_true=[0, 1, 1, 0], y_pred=[0, 1, 0, 1], sensitive_features={"g": values})
        return
    report = assess_fairness(y_true=[0, 1, 1, 0], y_pred=[0, 1, 0, 1], sensitive_features={"g": values})
    assert report.cube.levels == (levels,)
    assert report.cube.counts.sum() == 4


@pytest.mark.parametrize("first", [0, 200])
def test_blocks_whose_values_need_other_codes_are_one_column(first: int) -> None:
    n = 2 * blocks.BLOCK + 7
    group = np.resize([first, 1], n)
    group[blocks.BLOCK :] = np.resize([7, -7, 1], n - blocks.BLOCK)
    y = np.resize([0.0, 1.0], n)
    report = assess_fairness(y_true=y, y_pred=y.astype(bool), sensitive_features={"g": group})
    counts = {one[0]: n for one, _, n in report.cube.groups()}
    values, rows_ = np.unique(group, return_counts=True)
    assert counts == {str(value): n for value, n in zip(values, rows_, strict=True)}


def test_three_hundred_groups_and_unused_categories_are_counted() -> None:
    n = 3000
    group = pd.Series(pd.Categorical.from_codes(np.resize(np.arange(300), n), [f"g{i:05}" for i in range(40_000)]))
    other = pd.Series(pd.Categorical.from_codes(np.resize([5, 7], n), [f"h{i:05}" for i in range(300)]))
    columns = {"y": np.resize([0, 1], n), "p": np.resize([1, 0, 0], n), "g": group, "h": other}
    cells = blocks.count([blocks.column(values, name) for name, values in columns.items()])
    cube, _ = cube_of(cells, Roles(y_true="y", y_pred="p", sensitive=("g", "h")), None)
    assert cube.counts.shape == (300, 2, 2, 2) and cube.counts.sum() == n


# --- the same errors --------------------------------------------------------------------------------------

MANY = {"y": pa.array([0, 1] * 30), "p": pa.array([0, 1] * 30)}
BAD: dict[str, tuple[dict[str, pa.Array], dict[str, Any], str]] = {
    "no rows": ({name: pa.array([], kind) for name, kind in (("y", pa.int64()), ("p", pa.int64()), ("g", pa.string()))}, {}, "empty"),
    "null label": ({"y": pa.array([0, 1, None, 1])}, {}, "1 missing"),
    "NaN label": ({"y": pa.array([0.0, 1.0, float("nan"), 1.0])}, {}, "1 missing"),
    "infinite prediction": ({"p": pa.array([0.0, 1.0, float("inf"), 1.0])}, {}, "infinite"),
    "null in text": ({"y": pa.array(["a", None, "b", "a"])}, {"pos_label": "a"}, "missing"),
    "three labels": ({"y": pa.array([0, 1, 2, 1])}, {}, "3 labels: 0, 1, 2"),
    "three text labels": ({"y": pa.array(["a", "b", "c", "a"])}, {"pos_label": "a"}, "3 labels: 'a', 'b', 'c'"),
    "text without pos_label": ({"p": pa.array(["0", "1", "0", "1"])}, {}, "labels '0', '1'"),
    "probabilities": ({"p": pa.array([0.2, 0.9, 0.4, 0.1])}, {}, "look like probabilities"),
    "other numbers": ({"p": pa.array([0.2, 9.0, 0.4, 0.1])}, {}, "other than 0 and 1"),
    "labels 1 and 2": ({"y": pa.array([1, 2, 1, 2])}, {}, "labels 1, 2"),
    "another type": ({}, {"pos_label": "1"}, "same type"),
    "occurs nowhere": ({}, {"pos_label": 7}, "occurs nowhere"),
    "other labels predicted": ({"y": pa.array([1, 2, 1, 2]), "p": pa.array([1, 3, 1, 3])}, {"pos_label": 1}, "together"),
    "continuous": ({n: pa.array(np.resize(v, 99)) for n, v in (("y", [0, 1]), ("p", [0, 1]), ("g", np.arange(99) / 7))}, {}, "continuous"),
    "days": ({**MANY, "g": pa.array([dt.date(2026, 1, 1) + dt.timedelta(d) for d in range(60)])}, {}, "60 values such as 2026-01-01"),
    "fractions as text": ({**MANY, "g": pa.array([f"{d / 7:.6f}" for d in range(60)])}, {}, "60 values such as 0.000000"),
    "negative weight": ({"w": pa.array([1.0, -1.0, 1.0, 1.0])}, {"sample_weight": "w"}, "negative"),
    "NaN weight": ({"w": pa.array([1.0, float("nan"), 1.0, 1.0])}, {"sample_weight": "w"}, "NaN"),
    "null weight": ({"w": pa.array([1.0, None, 1.0, 1.0])}, {"sample_weight": "w"}, "NaN"),
    "infinite weight": ({"w": pa.array([1.0, float("inf"), 1.0, 1.0])}, {"sample_weight": "w"}, "infinite"),
    "zero weights": ({"w": pa.array([0, 0, 0, 0])}, {"sample_weight": "w"}, "only zeros"),
    "text weights": ({"w": pa.array(["1", "2", "3", "4"])}, {"sample_weight": "w"}, "not numeric"),
    "no column": ({}, {"y_pred": "prediction"}, "no column 'prediction'"),
    "no features": ({}, {"sensitive_features": []}, "no sensitive features"),
    "twice": ({}, {"sensitive_features": ["g", "g"]}, "twice"),
    "not by name": ({}, {"y_true": [0, 1]}, "by name"),
    "weights not by name": ({}, {"sample_weight": [0, 1]}, "by name"),
}  # fmt: skip


@every_engine
@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_named_on_every_engine(make: Make, case: str, tmp_path: Path) -> None:
    change, options, words = BAD[case]
    good = {"y": pa.array([0, 1, 0, 1]), "p": pa.array([0, 1, 1, 1]), "g": pa.array(["a", "b", "a", "b"])}
    table = pa.table({**good, **change})
    call = {"y_true": "y", "y_pred": "p", "sensitive_features": ["g"], **options}
    with pytest.raises(DataError, match=words) as caught:
        assess_fairness(data=make(table, tmp_path), **call)
    assert caught.value.exit_code == 2


@every_engine
def test_a_group_of_zero_weights_is_undefined_on_every_engine(make: Make, tmp_path: Path) -> None:
    table = pa.table({"y": [0, 1] * 40, "p": [1, 0] * 40, "g": ["a", "b"] * 40, "w": [1.0, 0.0] * 40})
    found = assess_fairness(
        data=make(table, tmp_path), y_true="y", y_pred="p", sensitive_features="g", sample_weight="w"
    )
    assert found.get("selection_rate", by=("g",), group=("b",)).status == "undefined"
    assert found.ratio("selection_rate").status == "undefined"


@pytest.mark.parametrize("name", ["pandas with Arrow types", "Arrow table", "Polars lazy", "DuckDB"])
def test_too_many_combinations_are_told_and_not_counted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("cells", "grouped", "engines", "blocks"):
        monkeypatch.setattr(f"ml_governance.assess.{module}.LIMIT", 1000)
    for module in ("cube", "blocks"):
        monkeypatch.setattr(f"ml_governance.assess.{module}.MAX_CELLS", 500)
    n = 4000
    table = pa.table({"y": np.resize([0, 1], n), "p": np.resize([0, 1], n), "g": [f"person {i}" for i in range(n)]})
    with pytest.raises(DataError, match="combinations"):
        assess_fairness(data=ENGINES[name](table, tmp_path), y_true="y", y_pred="p", sensitive_features="g")
    table = table.set_column(2, "g", pa.array(["a"] * n)).set_column(1, "p", pa.array(np.arange(n) / n))
    with pytest.raises(DataError, match="look like probabilities"):
        assess_fairness(data=ENGINES[name](table, tmp_path), y_true="y", y_pred="p", sensitive_features="g")


def test_what_is_no_table_is_told() -> None:
    for data in (42, {"y": [1]}, [1, 2], object(), pd.Series([1, 2])):
        with pytest.raises(DataError, match="expected: a data frame"):
            assess_fairness(data=data, y_true="y", y_pred="p", sensitive_features="g")


@pytest.mark.parametrize(
    "text",
    [
        pa.array(["a", "a", "b"], pa.large_string()),
        pa.array(["a", "a", "b"], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]),
    ],
    ids=lambda array: str(array.type),
)
def test_text_in_any_layout_of_arrow_is_counted(text: pa.Array) -> None:
    table = pa.table({"y": [0, 1, 1], "p": [0, 1, 0], "g": text})
    for data in (table, Stream(table)):
        assert assess_fairness(data=data, y_true="y", y_pred="p", sensitive_features="g").cube.levels == (("a", "b"),)


@pytest.mark.parametrize("column", [[[1], [2]], {1: 2}, 5, {1, 2}], ids=str)
def test_what_is_no_column_is_told(column: Any) -> None:
    values = pd.Series(column, dtype=object) if isinstance(column, list) else column
    with pytest.raises(DataError):
        assess_fairness(y_true=[0, 1], y_pred=[0, 1], sensitive_features={"g": values})


def test_masked_labels_are_missing_labels() -> None:
    with pytest.raises(DataError, match="1 missing"):
        assess_fairness(
            y_true=np.ma.array([0, 1, 1], mask=[0, 0, 1]), y_pred=[0, 1, 1], sensitive_features={"g": list("aba")}
        )


def test_nested_values_are_refused(tmp_path: Path) -> None:
    table = pa.table({"y": [0, 1], "p": [0, 1], "g": [[1], [2]]})
    for name in (
        "pandas with Arrow types",
        "Arrow table",
        "Arrow dataset",
        "Polars",
        "Polars lazy",
        "DuckDB",
        "Parquet",
    ):
        with pytest.raises(DataError, match="has values of the type"):
            assess_fairness(data=ENGINES[name](table, tmp_path), y_true="y", y_pred="p", sensitive_features="g")


def test_an_engine_that_fails_is_named() -> None:
    relation = duckdb.sql("SELECT 0 AS y, 0 AS p, CAST(x AS INT) AS g FROM (VALUES ('1'), ('a')) t(x)")
    with pytest.raises(UnavailableError, match="duckdb could not count"):
        assess_fairness(data=relation, y_true="y", y_pred="p", sensitive_features="g")


def test_whole_decimals_of_an_engine_are_labels() -> None:
    relation = duckdb.sql("SELECT 1.0 AS y, 0.0 AS p, 'a' AS g UNION ALL SELECT 0.0, 1.0, 'b'")
    report = assess_fairness(data=relation, y_true="y", y_pred="p", sensitive_features="g")
    assert report.get("base_rate", by=("g",), group=("a",)).numerator == 1


# --- digests ----------------------------------------------------------------------------------------------

IN_MEMORY = ["pandas with Arrow types", "pandas with categories", "Polars", "Polars with categories", "Arrow table",
             "Arrow table of dictionaries", "Arrow batch"]  # fmt: skip


@pytest.mark.parametrize("name", IN_MEMORY)
@pytest.mark.parametrize("weight", [None, "w"])
def test_frames_in_memory_have_the_digest_of_their_columns(name: str, weight: str | None, tmp_path: Path) -> None:
    table = rows(60)
    frame = table.to_pandas()
    arrays = assess_fairness(
        y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex"]], sample_weight=frame.w if weight else None
    )
    data = assess_fairness(
        data=ENGINES[name](table, tmp_path), y_true="y", y_pred="p", sensitive_features=["sex"], sample_weight=weight
    )
    assert data.inputs() == arrays.inputs()
    assert data.inputs().rows == 60


def test_rows_that_changed_after_they_were_counted_have_no_digest() -> None:
    frame = rows(60).to_pandas()
    report = assess_fairness(data=frame, y_true="y", y_pred="p", sensitive_features=["sex"])
    assert report.inputs().rows == 60
    frame.loc[0, "y"] = 1 - frame.loc[0, "y"]
    with pytest.raises(VerificationError, match="not what they were"):
        report.inputs()


@pytest.mark.parametrize("name", ["Polars lazy", "DuckDB", "Ibis", "Dask", "Arrow dataset", "Arrow stream"])
def test_rows_elsewhere_need_to_be_named_by_digest(name: str, tmp_path: Path) -> None:
    report = assess_fairness(data=ENGINES[name](rows(), tmp_path), y_true="y", y_pred="p", sensitive_features="sex")
    with pytest.raises(DataError, match="cannot be computed here") as caught:
        report.inputs()
    assert "data=" in str(caught.value)


# --- Spark ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    session = pytest.importorskip("pyspark.sql").SparkSession
    made = (
        session.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield made
    made.stop()


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # of PySpark itself
@pytest.mark.parametrize("by", [["sex"], ["income"], ["sex", "age", "veteran"]], ids="-".join)
def test_spark_counts_what_python_counts(spark: Any, by: list[str]) -> None:
    table = rows()
    frame = spark.createDataFrame(table)
    report = assess_fairness(data=frame, y_true="y", y_pred="p", sensitive_features=by)
    assert plain(report.cube) == expected(table, by, "y", "p")
    weighted = assess_fairness(data=frame, y_true="y", y_pred="p", sensitive_features=by, sample_weight="w")
    local = assess_fairness(data=table, y_true="y", y_pred="p", sensitive_features=by, sample_weight="w")
    np.testing.assert_allclose(weighted.cube.weights, local.cube.weights, rtol=1e-12)  # type: ignore[arg-type]
    np.testing.assert_allclose(weighted.cube.squares, local.cube.squares, rtol=1e-12)  # type: ignore[arg-type]


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [case for case, (change, _, _) in BAD.items() if change])
def test_bad_data_is_named_on_spark(spark: Any, case: str) -> None:
    change, options, words = BAD[case]
    good = {"y": pa.array([0, 1, 0, 1]), "p": pa.array([0, 1, 1, 1]), "g": pa.array(["a", "b", "a", "b"])}
    frame = spark.createDataFrame(pa.table({**good, **change}))
    with pytest.raises(DataError, match=words):
        assess_fairness(**{"data": frame, "y_true": "y", "y_pred": "p", "sensitive_features": ["g"], **options})
