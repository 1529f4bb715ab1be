"""Scores and strata: the same numbers and the same errors wherever the rows are."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest

from ml_governance import assess_fairness
from ml_governance.assess import score_scan, score_stream
from ml_governance.assess.cube import MISSING
from ml_governance.assess.fairness import FairnessReport
from ml_governance.assess.histogram import BINS, ScoreCube, bin_of, count_scores
from ml_governance.errors import DataError, UnavailableError, VerificationError
from tests.assess.test_engines import ENGINES, Make, rows, spark

__all__ = ["spark"]  # a fixture


def csv_parts(table: pa.Table, folder: Path) -> Any:
    """Write two CSV files; numbers in the fewest digits that give them back."""
    half = len(table) // 2
    pyarrow.csv.write_csv(table.slice(0, half), folder / "a.csv")
    pyarrow.csv.write_csv(table.slice(half), folder / "b.csv")
    return [folder / "a.csv", folder / "b.csv"]


ALL = ENGINES | {"CSV": csv_parts}
every_engine = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
ELSEWHERE = [
    "Polars lazy",
    "DuckDB",
    "Ibis",
    "Dask",
    "Arrow dataset",
    "Arrow stream",
    "Parquet",
    "Parquet in parts",
    "CSV",
]
EDGES = np.arange(BINS + 1) / BINS
AWKWARD = np.concatenate([EDGES, np.nextafter(EDGES[:-1], 2), np.nextafter(EDGES[1:], -1), [-0.0, 5e-324]])
"""Every edge, the next float on either side of it, and the smallest floats."""


def scored(n: int = 600, seed: int = 0) -> pa.Table:
    """Return rows with scores, some of them on edges."""
    generator = np.random.default_rng(seed)
    score = np.where(generator.random(n) < 0.5, generator.random(n), generator.choice(AWKWARD, n))
    return rows(n, seed).append_column("s", pa.array(score))


def assess(data: Any, **options: Any) -> FairnessReport:
    call = {"y_true": "y", "y_pred": "p", "y_score": "s", "sensitive_features": ["sex", "age"], **options}
    return assess_fairness(data=data, **call)


def cube_of(report: FairnessReport) -> ScoreCube:
    (found,) = report.scored
    return found


def same(one: ScoreCube, two: ScoreCube) -> None:
    assert (one.attributes, one.levels, one.bins) == (two.attributes, two.levels, two.bins)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-9)
    np.testing.assert_allclose(one.errors, two.errors, rtol=1e-9)
    assert (one.weights is None) == (two.weights is None)
    if one.weights is not None:
        np.testing.assert_allclose(one.weights, two.weights, rtol=1e-9)  # type: ignore[arg-type]


# --- the same numbers -------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("weight", [None, "w"])
def test_every_engine_has_the_scores_of_the_arrays(make: Make, weight: str | None, tmp_path: Path) -> None:
    table = scored()
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    arrays = assess_fairness(
        y_true=frame.y, y_pred=frame.p, y_score=frame.s, sensitive_features=frame[["sex", "age"]],
        sample_weight=None if weight is None else frame.w, exact_auc=False,
    )  # fmt: skip
    found = assess(make(table, tmp_path), sample_weight=weight, exact_auc=False)
    same(cube_of(found), cube_of(arrays))
    for ours, theirs in zip(found.measurements, arrays.measurements, strict=True):
        assert (ours.metric, ours.by, ours.group, ours.n, ours.status) == (
            theirs.metric, theirs.by, theirs.group, theirs.n, theirs.status
        )  # fmt: skip
        assert ours.value == (None if theirs.value is None else pytest.approx(theirs.value, rel=1e-9, abs=1e-12))
    assert found.get("roc_auc", by=("sex",), group=("Female",)).status == "ok"


@every_engine
def test_every_edge_is_in_the_same_bin_on_every_engine(make: Make, tmp_path: Path) -> None:
    n = len(AWKWARD)
    table = pa.table({"y": np.resize([0, 1, 1], n), "p": np.resize([0, 1], n), "g": ["a"] * n, "s": AWKWARD})
    found = cube_of(assess(make(table, tmp_path), sensitive_features="g"))
    wanted = np.searchsorted(EDGES[:-1], AWKWARD, side="right") - 1  # by comparison alone
    np.testing.assert_array_equal(bin_of(AWKWARD, BINS), wanted)
    for label in (0, 1):
        own = wanted[np.resize([0, 1, 1], n) == label]
        np.testing.assert_array_equal(found.counts[0, label], np.bincount(own, minlength=BINS))


@every_engine
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int8(), pa.bool_(), pa.decimal128(6, 4)], ids=str)
def test_scores_of_any_type_of_number_are_the_same_doubles(make: Make, kind: pa.DataType, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 80).astype(np.float32)
    if pa.types.is_decimal(kind):
        column = pa.array([Decimal(f"{value:.4f}") for value in values], kind)
        doubles = np.array([float(f"{value:.4f}") for value in values])
    elif pa.types.is_floating(kind):
        column, doubles = pa.array(values).cast(kind), values.astype(np.float64)
    else:
        whole = np.resize([0, 1, 1], 80)
        column, doubles = pa.array(whole).cast(kind), whole.astype(np.float64)
    y = np.resize([0, 1], 80)
    table = pa.table({"y": y, "p": y, "g": np.resize(["a", "b", "b"], 80), "s": column})
    if make is csv_parts and pa.types.is_boolean(kind):
        with pytest.raises(DataError):  # CSV has text, and True is no number
            cube_of(assess(make(table, tmp_path), sensitive_features="g"))
        return
    if make is csv_parts:
        table = table.set_column(3, "s", pa.array(doubles))
    groups = {"g": (np.resize([0, 1, 1], 80).astype(np.intp), ("a", "b"))}
    same(
        cube_of(assess(make(table, tmp_path), sensitive_features="g")),
        count_scores(y.astype(np.uint8), doubles, groups),
    )


@every_engine
def test_strata_are_compared_on_every_engine(make: Make, tmp_path: Path) -> None:
    table = scored()
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    arrays = assess_fairness(
        y_true=frame.y,
        y_pred=frame.p,
        y_score=frame.s,
        sensitive_features=frame[["sex"]],
        control_features=frame[["t"]],
    )
    for score in (None, "s"):
        found = assess(make(table, tmp_path), sensitive_features="sex", control_features="t", y_score=score)
        name = "conditional_demographic_parity_difference"
        assert found.get(name, by=("sex",)) == arrays.get(name, by=("sex",))
        assert found.details["conditional"] == arrays.details["conditional"]
        assert found.cube.attributes == ("sex",)
        if score:
            same(cube_of(found), cube_of(arrays))


def test_a_missing_value_is_one_group_whether_null_or_nan(tmp_path: Path) -> None:
    table = pa.table(
        {"y": [0, 1, 1, 0], "p": [0, 1, 0, 1], "g": [0.5, float("nan"), None, 0.5], "s": [0.1, 0.2, 0.2, 0.4]}
    )
    for name in ELSEWHERE:
        if name == "CSV":
            continue  # which takes NaN as it is written
        (tmp_path / name).mkdir()
        found = cube_of(assess(ALL[name](table, tmp_path / name), sensitive_features="g"))
        assert found.levels == ((MISSING, "0.5"),)
        assert found.counts.sum(axis=(1, 2)).tolist() == [2, 2]


@pytest.mark.parametrize("seed", range(12))
def test_rounding_of_summed_weights_is_no_rate_above_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    y, score, group = np.resize([0, 1], 200), generator.random(200), generator.choice(["a", "b"], 200)
    found = assess_fairness(
        y_true=y, y_pred=y, y_score=score, sensitive_features={"g": group}, sample_weight=generator.lognormal(0, 1, 200)
    )
    assert 0 <= found.get("abroca", by=("g",)).value <= 1  # type: ignore[operator]


def test_a_column_of_a_csv_file_may_be_a_group_and_the_score(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("y,p,s\n0,0,0.50\n1,1,0.5\n1,0,1\n")
    found = cube_of(assess(tmp_path / "rows.csv", sensitive_features="s", sample_weight="s"))
    assert found.levels == (("0.5", "0.50", "1"),)
    assert found.weights is not None and found.weights.sum(axis=(1, 2)).tolist() == [0.5, 0.5, 1.0]


@pytest.mark.full
def test_too_many_crossings_leave_the_single_attributes_with_scores() -> None:
    n = 4000
    table = pa.table(
        {"y": np.resize([0, 1], n), "p": np.resize([0, 1, 1], n), "s": np.linspace(0, 1, n),
         "g": np.arange(n) // 2 % 40, "h": np.arange(n) // 80 % 40}
    )  # fmt: skip
    found = assess(duckdb.from_arrow(table), sensitive_features=["g", "h"])
    assert "1,600 combinations" in str(found.get("roc_auc_difference", by=("g", "h")).reason)
    assert found.get("roc_auc_difference", by=("g",)).value is not None
    assert found.get("roc_auc_difference", by=("h",)).value is not None


# --- the same errors --------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
BAD: dict[str, tuple[pa.Array, str]] = {
    "null": (pa.array([0.1, None, 0.3, None]), "2 values that are missing"),
    "NaN": (pa.array([0.1, NAN, 0.3, 0.9]), "1 values that are missing"),
    "infinite": (pa.array([0.1, INF, 0.3, -INF]), "2 values that are missing"),
    "above": (pa.array([0.1, 0.2, 1.5, 0.4]), "runs from 0.1 to 1.5"),
    "just above": (pa.array([0.1, 0.2, np.nextafter(1, 2), 0.4]), "runs from 0.1 to 1"),
    "just below": (pa.array([-5e-324, 0.2, 0.1, 0.4]), "runs from -4.941e-324 to 0.4"),
    "logits": (pa.array([-3.0, 2.5, 1e300, 0.4]), "runs from -3 to 1e\\+300"),
    "whole": (pa.array([0, 1, 2, 1]), "runs from 0 to 2"),
    "all null": (pa.array([None] * 4, pa.float64()), "4 values that are missing"),
    "text": (pa.array(["0.1", "a", "0.3", "0.4"]), "not numeric|1 values that are missing"),
}


@every_engine
@pytest.mark.parametrize("case", BAD)
def test_bad_scores_are_named_on_every_engine(make: Make, case: str, tmp_path: Path) -> None:
    column, words = BAD[case]
    table = pa.table({"y": [0, 1, 0, 1], "p": [0, 1, 1, 1], "g": ["a", "b", "a", "b"], "s": column})
    with pytest.raises(DataError, match=words) as caught:
        assess(make(table, tmp_path), sensitive_features="g")
    assert caught.value.exit_code == 2 and "probabilit" in str(caught.value)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_bad_scores_are_counted_over_all_parts(name: str, tmp_path: Path) -> None:
    n = 300_000
    score = np.resize([0.5, NAN, 0.25], n)
    table = pa.table({"y": np.resize([0, 1], n), "p": np.resize([0, 1], n), "g": np.resize(["a", "b"], n), "s": score})
    if name == "CSV":
        n, table = 300, table.slice(0, 300)
    with pytest.raises(DataError, match=f"{n // 3:,} values"):
        assess(ALL[name](table, tmp_path), sensitive_features="g")


def test_rows_that_differ_when_they_are_read_again_are_refused() -> None:
    relation = duckdb.sql(
        "SELECT i % 2 AS y, i % 2 AS p, (random() < 0.5)::INT AS g, random() AS s FROM range(1000) t(i)"
    )
    with pytest.raises(VerificationError, match="changed between"):
        assess(relation, sensitive_features="g")


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("together", [1, 10**6])
def test_a_stream_that_can_be_read_only_once_has_the_scores_of_its_rows(
    weight: str | None, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches have dictionaries of their own, and labels, groups and bad scores may come in one of them only."""
    monkeypatch.setattr(score_stream, "TOGETHER", together)
    generator = np.random.default_rng(3)
    n = 900
    table = pa.table(
        {
            "y": np.repeat([0, 1, 0], n // 3), "p": generator.integers(0, 2, n), "w": generator.random(n),
            "s": generator.random(n), "h": generator.integers(0, 3, n),
            "g": pa.array([*"ab" * (n // 6), *["c", None] * (n // 6), *"ca" * (n // 6)]),
        }
    )  # fmt: skip
    schema = table.schema.set(5, pa.field("g", pa.dictionary(pa.int32(), pa.string())))

    def reader(own: pa.Table = table) -> pa.RecordBatchReader:
        batches = [
            batch.set_column(5, "g", batch["g"].dictionary_encode()) for batch in own.to_batches(max_chunksize=100)
        ]
        return pa.RecordBatchReader.from_batches(schema, batches)

    wanted = {"sensitive_features": ["g", "h"], "sample_weight": weight, "exact_auc": False}
    found, same = assess(reader(), **wanted), assess(table, **wanted)
    for one, two in zip(found.measurements, same.measurements, strict=True):
        assert (one.metric, one.by, one.group, one.n, one.status) == (two.metric, two.by, two.group, two.n, two.status)
        assert one.value is two.value is None or one.value == pytest.approx(two.value, rel=1e-12, abs=1e-15)
    bad = table.set_column(3, "s", pa.array([*[0.5] * (n - 1), 1.5]))
    with pytest.raises(DataError, match=r"to 1\.5"):
        assess(reader(bad), **wanted)
    with pytest.raises(DataError, match="empty"):
        assess(reader(table.slice(0, 0)), **wanted)


@pytest.mark.parametrize("name", ["Polars lazy", "DuckDB", "Parquet"])
def test_an_exact_auc_of_rows_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    data = ALL[name](scored(60), tmp_path)
    with pytest.raises(DataError, match="exact_auc"):
        assess(data, exact_auc=True)
    (interval, *_) = assess(data, sensitive_features="veteran").get("roc_auc").intervals
    assert interval.method.endswith("binned")


@pytest.mark.parametrize("name", ["Polars", "Arrow table", "DuckDB", "Parquet"])
def test_what_is_named_wrong_is_told_with_scores_too(name: str, tmp_path: Path) -> None:
    data = ALL[name](scored(60), tmp_path)
    for options, words in (
        ({"sensitive_features": ["sex", "sex"]}, "named twice"),
        ({"sensitive_features": []}, "no sensitive features"),
        ({"y_score": "nothing"}, "no column 'nothing'"),
        ({"y_score": [0.1]}, "by name"),
        ({"control_features": "sex"}, "both a sensitive feature and a control feature"),
    ):
        with pytest.raises(DataError, match=words):
            assess(data, **options)


def test_an_engine_that_fails_at_the_scores_is_named() -> None:
    relation = duckdb.sql("SELECT 0 AS y, 0 AS p, 'a' AS g, CAST(x AS DOUBLE) AS s FROM (VALUES ('1'), ('a')) t(x)")
    with pytest.raises(UnavailableError, match="duckdb could not count"):
        assess(relation, sensitive_features="g")


def test_more_bins_than_the_limit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_scan, "LIMIT", 100)
    n = 400
    table = pl.DataFrame({"y": [0, 1] * 200, "p": [0, 1] * 200, "g": ["a"] * n, "s": np.linspace(0, 1, n)}).lazy()
    with pytest.raises(DataError, match="more than 100 combinations"):
        assess(table, sensitive_features="g")


# --- Spark ------------------------------------------------------------------------------------------------


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # of PySpark itself
@pytest.mark.parametrize("weight", [None, "w"])
def test_spark_has_the_scores_of_the_arrays(spark: Any, weight: str | None) -> None:
    table = scored()
    here = assess(table, sample_weight=weight, exact_auc=False)
    there = assess(spark.createDataFrame(table), sample_weight=weight)
    same(cube_of(there), cube_of(here))
    strata = assess(spark.createDataFrame(table), sensitive_features="sex", control_features="t")
    assert (
        strata.details["conditional"]
        == assess(table, sensitive_features="sex", control_features="t").details["conditional"]
    )


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")
def test_every_edge_is_in_the_same_bin_on_spark(spark: Any) -> None:
    n = len(AWKWARD)
    table = pa.table({"y": np.resize([0, 1], n), "p": np.resize([0, 1], n), "g": ["a"] * n, "s": AWKWARD})
    same(
        cube_of(assess(spark.createDataFrame(table), sensitive_features="g")),
        cube_of(assess(table, sensitive_features="g")),
    )


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", BAD)
def test_bad_scores_are_named_on_spark(spark: Any, case: str) -> None:
    column, words = BAD[case]
    table = pa.table({"y": [0, 1, 0, 1], "p": [0, 1, 1, 1], "g": ["a", "b", "a", "b"], "s": column})
    with pytest.raises(DataError, match=words):
        assess(spark.createDataFrame(table), sensitive_features="g")
