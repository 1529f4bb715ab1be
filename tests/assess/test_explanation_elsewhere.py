"""Rows explained where they lie: the same numbers as in memory, whatever the parts, and nothing else comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from ml_governance import ExplanationReport, assess_explanation
from ml_governance.assess import explanation_parts
from ml_governance.errors import DataError, UnavailableError

COLUMNS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(500, 3)), columns=COLUMNS)
    frame["sex"] = random.choice(["f", "m"], 500)
    frame["a"] += frame.sex == "m"
    frame["label"] = (frame.a * frame.b > 0).astype(int)
    frame["grade"] = np.digitize(frame.a, [-0.5, 0.5]).astype(str)
    return frame


MODELS = {
    "trees": (GradientBoostingClassifier(n_estimators=10), "label"),
    "classes": (LogisticRegression(), "grade"),
}


def compared(frame: pd.DataFrame, rows: Any, kind: str, **options: Any) -> tuple[ExplanationReport, ExplanationReport]:
    model, label = MODELS[kind]
    model = model.fit(frame[COLUMNS], frame[label])
    background = frame[COLUMNS][:40]
    shared: dict[str, Any] = {"background": background, "output": "margin", **options}
    there = assess_explanation(model, rows=rows, sensitive_features=["sex"], max_rows=20, **shared)
    here = assess_explanation(
        model, rows=frame[COLUMNS], sensitive_features=frame[["sex"]], max_rows=len(frame), **shared
    )
    return there, here


def agree(there: ExplanationReport, here: ExplanationReport, frame: pd.DataFrame) -> None:
    assert there.details["rows"] == len(frame) and there.base == pytest.approx(here.base, abs=1e-12)
    columns = here.importance.index
    assert there.importance.mean_abs[columns].to_numpy() == pytest.approx(here.importance.mean_abs.to_numpy(), abs=2e-9)
    for bound in ("lower", "upper"):  # Student's there, bootstrap here
        assert there.importance[bound][columns].to_numpy() == pytest.approx(here.importance[bound].to_numpy(), rel=0.05)
    key = ["class", "column"] if "classes" in here.details else ["column"]
    one, two = (report.gaps.set_index(key).sort_index() for report in (there, here))
    for name in ("part", "lower", "upper", "gap"):
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), abs=1e-9, nan_ok=True)
    assert there.by_group.sort_index().to_numpy() == pytest.approx(here.by_group.sort_index().to_numpy(), abs=2e-9)
    assert there.get("additivity_error").value < 1e-9  # type: ignore[operator]
    assert there.values is not None and there.table is not None and here.values is not None and here.table is not None
    assert len(there.table) == len(there.values) == 20
    places = {tuple(row): place for place, row in enumerate(here.table.to_numpy().tolist())}
    for row, values in zip(there.table.to_numpy().tolist(), there.values, strict=True):
        assert values == pytest.approx(here.values[places[tuple(row)]], abs=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_files_give_the_numbers_of_the_same_rows_in_memory(
    frame: pd.DataFrame, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation_parts, "BATCH", 100)
    for place, part in enumerate((frame[:330], frame[330:])):
        part.to_parquet(tmp_path / f"part-{place}.parquet")
    agree(*compared(frame, str(tmp_path / "*.parquet"), kind), frame)


def test_the_sample_is_drawn_over_all_parts(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation_parts, "BATCH", 50)
    frame.to_parquet(tmp_path / "all.parquet")
    seen = []
    for seed in range(12):
        there, _ = compared(frame, tmp_path / "all.parquet", "classes", seed=seed)
        assert there.table is not None
        seen += [frame.index[frame.a == a][0] for a in there.table.a]
    assert abs(np.mean(seen) - 249.5) < 4 * 500 / np.sqrt(12 * len(seen))
    assert len({place // 50 for place in seen}) == 10


def test_what_comes_back_survives_its_bytes_and_runs_nothing(frame: pd.DataFrame) -> None:
    moments = explanation_parts.Moments.of(frame[COLUMNS].to_numpy())
    part = explanation_parts.Part(
        sizes={"": moments}, groups={("sex", "f", ""): moments + moments}, error=0.5, keys=np.array([0.1]),
        sample=frame[COLUMNS][:1], phi=np.ones((1, 3)), told={"engine": "x", "base": 1.5},
    )  # fmt: skip
    packed = explanation_parts.packed(part)
    again = explanation_parts.unpacked(packed)
    assert again.told == part.told and again.error == 0.5 and b"pickle" not in packed
    assert again.groups["sex", "f", ""].n == 1000
    np.testing.assert_array_equal(again.groups["sex", "f", ""].second, 2 * moments.second)
    pd.testing.assert_frame_equal(again.sample, part.sample)
    poisoned = np.array([print], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        explanation_parts.unpacked(_saved(told=poisoned))


def _saved(**arrays: Any) -> bytes:
    import io

    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


def test_bad_places_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    model = LogisticRegression().fit(frame[COLUMNS], frame.label)
    background = frame[COLUMNS][:10]
    with pytest.raises(DataError, match="no file is named"):
        assess_explanation(model, rows=tmp_path / "*.parquet", background=background)
    frame[["a", "b"]].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="the rows lack c, sex"):
        assess_explanation(model, rows=tmp_path / "x.parquet", background=background, sensitive_features=["sex"])
    with pytest.raises(DataError, match="names of columns"):
        assess_explanation(model, rows=tmp_path / "x.parquet", background=background, sensitive_features=[1])


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    session = pytest.importorskip("pyspark.sql").SparkSession
    patch = pytest.MonkeyPatch()
    patch.setenv("PYSPARK_PYTHON", sys.executable)  # workers find what this process finds
    made = (
        session.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield made
    made.stop()
    patch.undo()


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # of PySpark itself
@pytest.mark.parametrize("kind", MODELS)
def test_spark_gives_the_numbers_of_the_same_rows_in_memory(spark: Any, frame: pd.DataFrame, kind: str) -> None:
    rows = spark.createDataFrame(frame).repartition(3)
    agree(*compared(frame, rows, kind), frame)


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")
def test_a_partition_that_cannot_be_explained_is_named_on_spark(spark: Any, frame: pd.DataFrame) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=3).fit(frame[COLUMNS], frame.label)
    broken = spark.createDataFrame(frame.assign(c="text"))
    with pytest.raises(UnavailableError, match="Spark could not explain"):
        assess_explanation(model, rows=broken, background=frame[COLUMNS][:10], output="margin")
