from __future__ import annotations

import os
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "real": st.none() | st.floats(),
    "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "flag": st.none() | st.booleans(),
    "day": st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    "time": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    "money": st.none() | st.decimals(-9999, 9999, places=2),
    "raw": st.none() | st.binary(max_size=4),
}
TYPES = {
    "whole": pa.int64(), "real": pa.float64(), "text": pa.string(), "flag": pa.bool_(), "day": pa.date32(),
    "time": pa.timestamp("us", tz="UTC"), "money": pa.decimal128(10, 2), "raw": pa.binary(),
}  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=8)


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})


@settings(max_examples=40)
@given(ROWS, st.integers(1, 5))
def test_the_same_content_has_one_digest_in_every_engine_and_layout(
    tmp_path_factory: Any, rows: list[dict[str, Any]], group: int
) -> None:
    table = arrow(rows)
    expected = fingerprint.table(table).sha256
    path = tmp_path_factory.mktemp("layout") / "t.parquet"
    pq.write_table(table, path, row_group_size=group, compression="zstd", use_dictionary=group % 2 == 0)
    assert fingerprint.of(path).sha256 == expected
    assert fingerprint.table(pl.from_arrow(table)).sha256 == expected
    assert fingerprint.table(pa.concat_tables([table.slice(0, 1), table.slice(1)])).sha256 == expected
    coded = table.set_column(2, "text", table.column("text").dictionary_encode())
    assert fingerprint.table(coded).sha256 == expected
    assert fingerprint.table(table.to_pandas(types_mapper=pd.ArrowDtype)).sha256 == expected


def test_pandas_spellings_of_the_same_content_agree() -> None:
    frame = pd.DataFrame({"a": [1.5, np.nan, 0.0], "b": ["x", None, "z"]})
    expected = fingerprint.table(frame).sha256
    for other in (
        frame.assign(b=frame["b"].astype("category")),
        frame.assign(b=frame["b"].astype("string")),
        frame.assign(b=frame["b"].astype(object)),
        frame.assign(a=[1.5, None, -0.0]),
        frame.set_axis([5, 6, 7]),
    ):
        assert fingerprint.table(other).sha256 == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(a=[1, 2, 4]),
        lambda f: f.iloc[::-1],
        lambda f: f.iloc[:2],
        lambda f: f.rename(columns={"a": "c"}),
        lambda f: f[["b", "a"]],
        lambda f: f.astype({"a": "int32"}),
        lambda f: f.astype({"a": "float64"}),
        lambda f: f.assign(b=["x", "", "z"]),
        lambda f: f.assign(b=["x", None, "zz"]),
        lambda f: f.drop(columns="b"),
    ],
)
def test_any_change_of_content_changes_the_digest(change: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
    assert fingerprint.table(change(frame)).sha256 != fingerprint.table(frame).sha256


def test_every_row_counts() -> None:
    frame = pd.DataFrame({"a": np.arange(1_100_000)})
    changed = frame.copy()
    changed.loc[len(frame) - 1, "a"] += 1
    assert fingerprint.table(frame).sha256 != fingerprint.table(changed).sha256


def test_what_is_no_plain_table_is_refused() -> None:
    for wrong in (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": [1, "x"]}),
        pd.DataFrame({1: [1]}),
        pd.DataFrame({"a": [1]}, index=pd.Index([3], name="id")),
        7,
        "text",
    ):
        with pytest.raises(DataError):
            fingerprint.table(wrong)


def folder(path: Path) -> Path:
    (path / "sub dir").mkdir(parents=True)
    (path / "MLmodel").write_text("flavors: {}")
    (path / "sub dir" / "model.pkl").write_bytes(b"\x00" * 1000)
    (path / "\u00e9.txt").write_text("not ASCII")
    return path


def test_coreutils_give_the_same_digest_of_a_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "model")
    command = r"find . -type f | LC_ALL=C sort | sed 's|^\./||' | xargs -d '\n' sha256sum | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=True).stdout
    found = fingerprint.folder(root)
    assert printed.split()[0] == found.sha256
    assert (found.files, found.kind) == (3, "folder")


@pytest.mark.parametrize("way", ["content", "name", "added", "removed", "moved"])
def test_any_change_of_a_folder_changes_its_digest(tmp_path: Path, way: str) -> None:
    root = folder(tmp_path / "model")
    before = fingerprint.folder(root).sha256
    if way == "content":
        (root / "MLmodel").write_text("flavors: {}\n")
    elif way == "name":
        (root / "MLmodel").rename(root / "mlmodel")
    elif way == "added":
        (root / "extra").touch()
    elif way == "removed":
        (root / "MLmodel").unlink()
    else:
        (root / "sub dir" / "model.pkl").rename(root / "model.pkl")
    assert fingerprint.folder(root).sha256 != before


def test_folders_that_could_change_behind_ones_back_are_refused(tmp_path: Path) -> None:
    linked = folder(tmp_path / "linked")
    (linked / "link").symlink_to("/etc/hostname")
    piped = folder(tmp_path / "piped")
    os.mkfifo(piped / "pipe")
    newline = folder(tmp_path / "newline")
    (newline / "a\nb").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "alias").symlink_to(folder(tmp_path / "plain"))
    for name, words in (
        ("linked", "symbolic link"), ("piped", "special file"), ("newline", "newline"), ("empty", "no files"), ("alias", "no folder"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            fingerprint.folder(tmp_path / name)


@pytest.mark.parametrize("target", ["../outside", "../outside/weights.bin", "../..", "inside", "nothing"])
def test_a_link_in_a_model_folder_is_refused_wherever_it_points(tmp_path: Path, target: str) -> None:
    """What a link points to can change while the folder stays the same, so none is followed, not even to the inside."""
    for name in ("outside", "model/inside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights.bin").write_bytes(b"w")
    fingerprint.folder(tmp_path / "model")
    (tmp_path / "model" / "extra").symlink_to(target)
    with pytest.raises(DataError, match="extra is a symbolic link"):
        fingerprint.folder(tmp_path / "model")
    with pytest.raises(DataError, match="symbolic link"):
        fingerprint.file(tmp_path / "model" / "extra")


def test_a_name_that_another_system_reads_as_a_way_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "..\\..\\weights.bin").write_bytes(b"w")
    with pytest.raises(DataError, match="backslash"):
        fingerprint.folder(tmp_path)


def test_missing_and_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    (tmp_path / "empty.csv").touch()
    for name in ("nothing.bin", "bad.parquet", "empty.csv"):
        with pytest.raises(DataError):
            fingerprint.of(tmp_path / name)


def test_decimal_widths_do_not_matter_but_scales_do() -> None:
    one = pa.table({"a": pa.array([Decimal("1.50")], pa.decimal128(10, 2))})
    same = pa.table({"a": pa.array([Decimal("1.50")], pa.decimal128(10, 2))}).combine_chunks()
    other = pa.table({"a": pa.array([Decimal("1.5")], pa.decimal128(10, 1))})
    assert fingerprint.table(one).sha256 == fingerprint.table(same).sha256 != fingerprint.table(other).sha256
