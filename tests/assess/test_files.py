"""Parquet and CSV files: read strictly, in bounded memory, and named by digest."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_governance import assess_fairness
from ml_governance.assess.cube import MISSING
from ml_governance.assess.fairness import FairnessReport
from ml_governance.errors import DataError, UnavailableError, VerificationError
from ml_governance.evidence import fingerprint

GOOD = "g,y,p\na,0,1\nb,1,1\n"


def assess(data: Any, **options: Any) -> FairnessReport:
    return assess_fairness(**{"data": data, "y_true": "y", "y_pred": "p", "sensitive_features": ["g"], **options})


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def levels(report: FairnessReport) -> tuple[str, ...]:
    return report.cube.levels[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, ("a", "b")),
        (GOOD.replace("\n", "\r\n"), ("a", "b")),
        ("\ufeff" + GOOD, ("a", "b")),
        (GOOD.rstrip("\n"), ("a", "b")),
        ('p,g,y\n1,"a ""x"", y\nz",0\n1,b,1\n', ('a "x", y\nz', "b")),
        ('g,y,p\n,0,1\n"",1,1\nNA,1,0\n', (MISSING, "NA")),
        ("g,y,p\n1,0,1\n1.0,1,1\n01,1,1\n", ("01", "1", "1.0")),
        ("g,y,p\na,0.0,1\nb,1,1.00\n", ("a", "b")),
        ("g,y,p\na,False,TRUE\nb,true,true\n", ("a", "b")),
        ("it's \"g\",g,y,p\n9,a,0,1\n9,b,1,1\n", ("a", "b")),
    ],
)  # fmt: skip
def test_csv_is_read_as_it_is_written(tmp_path: Path, text: str, found: tuple[str, ...]) -> None:
    report = assess(write(tmp_path / "rows.csv", text))
    assert levels(report) == found
    assert report.cube.counts.sum() == len(text.replace("\r", "").replace("\nz", "").strip().split("\n")) - 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("g,y,p\n", "empty"),
        ("g,y,p\na,0\nb,1,1\n", "Expected Number of Columns: 3 Found: 2"),
        ("g,y,p\na,0,1,1\nb,1,1\n", "Expected Number of Columns: 3 Found: 4"),
        ("g,y,p\n" + "a,0,1\n" * 300_000 + "b,1\n", "Expected Number of Columns: 3 Found: 2"),
        ('g,y,p\n"a,0,1\nb,1,1\n', "cannot be read"),
        ("g;y;p\na;0;1\n", "separated by ';'"),
        ("g\ty\tp\na\t0\t1\n", r"separated by '\\t'"),
        ("g,y,p\né,0,1\n".encode("latin-1"), "cannot be read"),
        ("g,y,p,p\na,0,1,1\n", "more than one column 'p'"),
        ("g,y,p,Y\na,0,1,1\n", "differ only in case"),
        ("g,y,p,x,x\na,0,1,1,1\n", "repeat"),
        ("g,y,p\na,,1\nb,1,1\n", "1 missing"),
        ("g,y,p\na,0,1\nb,1,1\nb,2,1\n", "3 labels: 0, 1, 2"),
        ("g,y,p\na,0,0.7\nb,1,0.2\n", "look like probabilities"),
        ("g,y,p\na,no,yes\nb,yes,no\n", "'no', 'yes'"),
    ],
)
def test_csv_that_is_broken_is_refused_and_never_read_in_part(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        assess(write(tmp_path / "rows.csv", text))


def test_weights_in_csv_are_numbers_in_every_row(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "g,y,p,w\na,0,1,0.5\nb,1,1,2\n")
    assert assess(path, sample_weight="w").cube.weights.sum() == 2.5  # type: ignore[union-attr]
    for bad in ("", "x", "nan", "-1"):
        write(path, f"g,y,p,w\na,0,1,0.5\nb,1,1,{bad}\n")
        with pytest.raises(DataError, match='sample_weight|column "w"'):
            assess(path, sample_weight="w")


def test_files_of_several_layouts_and_formats_add_up(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", GOOD)
    write(tmp_path / "b.csv", "p,y,g\n0,1,c\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"y,g,p,more\n1,a,1,x\n"))
    pq.write_table(pa.table({"g": ["d"], "y": pa.array([1.0]), "p": [True]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"p": pa.array([1], pa.int8()), "y": [0], "g": ["d"]}), tmp_path / "e.PARQUET")
    report = assess([str(tmp_path / "*.csv*"), tmp_path / "d.parquet", tmp_path / "e.PARQUET"])
    assert {group[0]: n for group, _, n in report.cube.groups()} == {"a": 2, "b": 1, "c": 1, "d": 2}


def test_a_file_without_rows_adds_nothing_to_weighted_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"g": ["a", "b"], "y": [1, 0], "p": [0, 1], "w": [1.5, 2.5]}), tmp_path / "a.parquet")
    empty = pa.table(
        {
            "g": pa.array([], pa.string()),
            "y": pa.array([], pa.int8()),
            "p": pa.array([], pa.int8()),
            "w": pa.array([], pa.float64()),
        }
    )
    pq.write_table(empty, tmp_path / "b.parquet")
    found = assess_fairness(
        data=tmp_path / "*.parquet", y_true="y", y_pred="p", sensitive_features="g", sample_weight="w"
    )
    assert found.cube.weights is not None and found.cube.weights.sum() == 4


def test_a_fraction_in_a_later_file_is_not_cast_to_a_label(tmp_path: Path) -> None:
    pq.write_table(pa.table({"g": ["a"], "y": [1], "p": [0]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"g": ["a"], "y": [1], "p": [0.37]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="probabilities, such as 0.37"):
        assess(tmp_path / "*.parquet")


def test_the_same_values_of_different_types_in_two_files_read_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.table({"g": ["1"], "y": [1], "p": [0]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"g": [1], "y": [1], "p": [0]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="read the same: '1', '1'"):
        assess(tmp_path / "*.parquet")


def test_folders_of_partitions_do_not_add_columns(tmp_path: Path) -> None:
    (tmp_path / "g=a").mkdir()
    pq.write_table(pa.table({"y": [1], "p": [0]}), tmp_path / "g=a" / "a.parquet")
    with pytest.raises(DataError, match="no column 'g'"):
        assess(tmp_path / "**" / "*.parquet")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing*.csv", "matches no file"),
        ("nothing.csv", "is no file"),
        (".", "is a folder"),
        ("rows.txt", "neither Parquet nor CSV"),
        ("s3://bucket/rows.parquet", "not on this machine"),
        ("broken.parquet", "cannot be read as Parquet"),
        ("odd[1].csv", "in its name"),
        (["rows.csv", "./rows.csv"], "named twice"),
    ],
)
def test_paths_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("rows.txt", "rows.csv", "broken.parquet", "odd[1].csv"):
        write(tmp_path / file, GOOD)
    with pytest.raises(DataError, match=words):
        assess(name)


def test_the_digest_is_that_of_the_files_and_needs_them_unchanged(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", GOOD), write(tmp_path / "b.csv", GOOD)
    report = assess(one)
    assert report.inputs().sha256 == fingerprint.of(one).sha256 and report.inputs().rows == 2
    both = assess([two, one])
    assert both.inputs() == assess(tmp_path / "*.csv").inputs() and both.inputs().rows == 4
    assert both.inputs().sha256 != report.inputs().sha256
    write(one, GOOD + "a,1,1\n")
    with pytest.raises(VerificationError, match="a.csv changed"):
        both.inputs()
    one.unlink()
    with pytest.raises(VerificationError, match="changed"):
        report.inputs()


def test_a_count_that_needs_too_much_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_governance.assess import files

    monkeypatch.setitem(files._SETTINGS, "memory_limit", "4MB")
    n = 200_000
    table = pa.table(
        {"g": [f"person number {i}" for i in range(n)], "y": np.resize([0, 1], n), "p": np.resize([1, 0], n)}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(UnavailableError, match="needs more than"):
        assess(tmp_path / "rows.parquet")


MEASURE = """
import resource, sys
from ml_governance import assess_fairness
call = {"y_true": "y", "y_pred": "p", "sensitive_features": ["g"]}
assess_fairness(data=sys.argv[1], **call)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assess_fairness(data=sys.argv[2], **call)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    n = 3_000_000
    frame = pd.DataFrame({"g": np.resize(["a", "b", "c"], n), "y": np.resize([0, 1], n), "p": np.resize([1, 0, 0], n)})
    for name, rows in (("small", 1000), ("large", n)):
        frame[:rows].to_parquet(tmp_path / f"{name}.parquet", row_group_size=100_000)
    paths = [str(tmp_path / f"{name}.parquet") for name in ("small", "large")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert float(done.stdout) < 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.parquet", "small.parquet"]
