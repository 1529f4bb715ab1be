"""Windows of counts: shared by processes, whole after a crash, bounded, and without a row or an id in them."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_governance.assess.baseline import Baseline, baseline
from ml_governance.assess.profile import profile
from ml_governance.errors import DataError, UnavailableError, UsageError
from ml_governance.operate import windows as module
from ml_governance.operate.buffer import Counts
from ml_governance.operate.counting import Layout, Tally, count
from ml_governance.operate.deployment import join
from ml_governance.operate.monitor import compare
from ml_governance.operate.windows import Windows, start_of

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def frame(n: int = 400, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": np.where(generator.random(n) < 0.1, np.nan, generator.normal(0, 1, n)),
            "children": generator.integers(0, 4, n),
            "sex": generator.choice(["f", "m", None], n, p=[0.45, 0.45, 0.1]),
            "city": generator.choice(["x", "y", *(f"rare-{i}" for i in range(40))], n, p=[0.4, 0.4, *[0.005] * 40]),
        }
    )


def known(n: int = 400) -> Baseline:
    rows = frame(n)
    made = baseline(
        rows, y_pred=(rows.children > 1).astype(int), y_score=None, y_true=pd.Series([0, 1]), sensitive_features=["sex"],
        pos_label=None, min_rows=30,
    )  # fmt: skip
    return Baseline.from_dict(made)


def layout() -> Layout:
    return Layout.of(known(), None)


def batch(rows: pd.DataFrame) -> tuple[Tally, Any, Any]:
    return count(layout(), rows, {}, (rows.children > 1).astype(int).to_numpy(), None)


def read(path: Path, since: datetime = AT - HOUR, until: datetime = AT + 48 * HOUR) -> module.Window:
    return Windows(path).read(since, until, layout())


@given(seed=st.integers(0, 10_000), n=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_counting_is_what_a_profile_on_the_same_bins_says(seed: int, n: int) -> None:
    rows = frame(n, seed)
    tally, _, _ = batch(rows)
    like = {one.name: one for one in known().columns if one.kind == "numeric"}
    for name, own in profile(rows, like=like).items():
        counts = tally.columns[name].tolist()
        assert counts[-1] == own.missing
        assert counts[:-1] == list(own.counts)
    for one in layout().columns:
        if one.edges is None:
            values = rows[one.name].dropna().astype(str)
            expected = [*((values == level).sum() for level in one.place), (~values.isin(list(one.place))).sum()]
            assert tally.columns[one.name].tolist()[:-1] == expected
    assert tally.selected is not None and int(tally.selected.sum()) == n
    for at, level in enumerate(["f", "m"]):
        for flag in (0, 1):
            own = (rows.sex == level).fillna(False) & ((rows.children > 1) == bool(flag))
            assert tally.selected[at, flag] == int(own.sum())


@given(cut=st.integers(0, 300), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_counts_of_two_batches_are_those_of_both_together(cut: int, seed: int) -> None:
    rows = frame(300, seed)
    whole, _, _ = batch(rows)
    parts = Tally(layout=layout())
    for part in (rows[:cut], rows[cut:]):
        if len(part):
            parts.add(batch(part)[0])
    assert {k: v.tolist() for k, v in parts.columns.items()} == {k: v.tolist() for k, v in whole.columns.items()}
    assert Tally.from_dict(whole.to_dict(), layout()).to_dict() == whole.to_dict()


def test_a_level_that_few_rows_have_is_in_no_baseline_and_in_no_window(tmp_path: Path) -> None:
    rows = frame(2000)
    assert not any(level.startswith("rare") for one in known().columns for level in one.levels)
    windows = Windows(tmp_path / "w.sqlite")
    counts = Counts(layout(), windows, HOUR)
    tally, cells, flags = batch(rows)
    ids = [f"applicant-{i}" for i in range(len(rows))]
    counts.add(tally, list(zip(windows.hashed(ids), cells.tolist(), flags.tolist(), strict=True)), AT)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"rare" not in held and b"applic" not in held
    assert stat.S_IMODE((tmp_path / "w.sqlite").stat().st_mode) == 0o600


def test_identifiers_are_one_slot_and_do_not_grow() -> None:
    rows = frame(5000).assign(city=[f"id-{i}" for i in range(5000)])
    tally, _, _ = batch(rows)
    assert tally.columns["city"].sum() == 5000 and len(tally.columns["city"]) < 60


def test_hashes_of_ids_cannot_be_tried_without_the_file(tmp_path: Path) -> None:
    one, other = Windows(tmp_path / "a.sqlite"), Windows(tmp_path / "b.sqlite")
    assert one.hashed(["7"]) == Windows(tmp_path / "a.sqlite").hashed([7]) != other.hashed(["7"])


def siphash(key: bytes, text: bytes) -> int:
    """SipHash-2-4, written down from Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2."""
    mask = 2**64 - 1
    halves = [int.from_bytes(key[at : at + 8], "little") for at in (0, 8)]
    v = [halves[i % 2] ^ one for i, one in enumerate(
        (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573))]  # fmt: skip

    def turned(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    def rounds(many: int) -> None:
        for _ in range(many):
            for a, b, by, half in ((0, 1, 13, True), (2, 3, 16, False), (0, 3, 21, False), (2, 1, 17, True)):
                v[a] = v[a] + v[b] & mask
                v[b] = turned(v[b], by) ^ v[a]
                v[a] = turned(v[a], 32) if half else v[a]

    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mixed(value: int) -> int:
    """What pandas makes of it: one number for each, by the end of SplitMix64 (Steele, Lea and Flood 2014)."""
    for by, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        value = (value ^ value >> by) * factor & (2**64 - 1)
    return value


def test_ids_are_kept_as_the_published_hash_of_them(tmp_path: Path) -> None:
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5  # appendix A of the paper
    windows = Windows(tmp_path / "w.sqlite")
    texts = ["", "7", "application-1", "ä" * 40, "a\0b"]
    expected = [mixed(siphash(windows._key.encode(), text.encode())).to_bytes(8, "little") for text in texts]
    assert (
        windows.hashed(texts)
        == windows.hashed(pd.Series(texts))
        == windows.hashed(np.array(texts, dtype=object))
        == expected
    )
    assert windows.hashed([]) == []


def test_several_processes_add_up_and_a_restart_begins_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "w.sqlite"
    code = f"""
from datetime import timedelta
from pathlib import Path
from tests.operate.test_windows import AT, HOUR, batch, frame, layout
from ml_governance.operate.buffer import Counts
from ml_governance.operate.windows import Windows
counts = Counts(layout(), Windows(Path({str(path)!r})), HOUR)
for n in range(20):
    counts.add(batch(frame(50, n))[0], (), AT + timedelta(seconds=10 * n))
counts.write()
"""
    run = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(120) for process in run] == [0, 0, 0]
    window = read(path)
    assert window.tally.predicted == 3 * 20 * 50 and window.instances == 3
    again = Counts(layout(), Windows(path), HOUR)
    again.add(batch(frame(7))[0], (), AT)
    assert read(path).tally.predicted == 3007


def test_threads_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """A batch that comes while another is being written waits, or its rows that wait for labels would be forgotten."""
    writing, go_on = threading.Event(), threading.Event()

    class Slow(Windows):
        def write(self, *what: Any) -> None:
            super().write(*what)
            writing.set()
            assert go_on.wait(30)

    windows, (tally, cells, flags) = Slow(tmp_path / "w.sqlite"), batch(frame(10))
    counts = Counts(layout(), windows, HOUR)
    threads = [
        threading.Thread(
            target=counts.add,
            args=(tally, list(zip(windows.hashed(ids), cells.tolist(), flags.tolist(), strict=True)), AT),
        )
        for ids in ([f"one-{i}" for i in range(10)], [f"other-{i}" for i in range(10)])
    ]
    threads[0].start()
    assert writing.wait(30)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join(30)
    counts.write()
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM waiting").fetchone() == (20,)
    assert read(tmp_path / "w.sqlite").tally.predicted == 20


def test_a_process_that_is_killed_loses_what_it_had_not_written_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w.sqlite"
    code = f"""
import sys
from datetime import timedelta
from pathlib import Path
from tests.operate.test_windows import AT, HOUR, batch, frame, layout
from ml_governance.operate.buffer import Counts
from ml_governance.operate.windows import Windows
counts, tally, n = Counts(layout(), Windows(Path({str(path)!r})), HOUR), batch(frame(50))[0], 0
while True:
    counts.add(tally, (), AT + timedelta(seconds=10 * (n := n + 1) % 3000))
    print(n, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        for _ in range(30):
            last = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    process.wait(30)
    last = int(rest[-1]) if rest else last
    written = read(path).tally.predicted
    assert written % 50 == 0 and last * 50 <= written <= (last + 1) * 50


def test_a_fork_counts_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "w.sqlite"
    code = f"""
import os
from pathlib import Path
from tests.operate.test_windows import AT, HOUR, batch, frame, layout
from ml_governance.operate.buffer import Counts
from ml_governance.operate.windows import Windows
counts = Counts(layout(), Windows(Path({str(path)!r})), HOUR)
counts.add(batch(frame(10))[0], (), AT)
child = os.fork()
counts.add(batch(frame(100 if child else 1000))[0], (), AT)
counts.write()
if child:
    os.waitpid(child, 0)
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
    window = read(path)
    assert window.tally.predicted == 1110 and window.instances == 2


def test_a_full_disk_loses_nothing_that_can_still_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(tmp_path / "w.sqlite")
    counts = Counts(layout(), windows, HOUR)

    def full(*_arguments: object) -> None:
        raise UnavailableError("the disk is full")

    monkeypatch.setattr(windows, "write", full)
    counts.add(batch(frame(10))[0], [(b"0" * 16, 0, 1)], AT)
    assert counts.trouble == "the disk is full"
    monkeypatch.undo()
    counts.add(batch(frame(10))[0], (), AT + timedelta(seconds=6))
    assert not counts.trouble and read(tmp_path / "w.sqlite").tally.predicted == 20
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM waiting").fetchone() == (1,)


def test_windows_begin_in_step_and_a_span_takes_those_that_begin_in_it(tmp_path: Path) -> None:
    counts = Counts(layout(), Windows(tmp_path / "w.sqlite"), HOUR)
    for hours in range(5):
        counts.add(batch(frame(10))[0], (), AT + timedelta(hours=hours, minutes=17))
    counts.write()
    assert start_of(AT + timedelta(minutes=59), HOUR) == AT
    assert read(tmp_path / "w.sqlite", AT + HOUR, AT + 3 * HOUR).tally.predicted == 20


def test_a_clock_that_is_set_back_takes_nothing_from_a_window(tmp_path: Path) -> None:
    counts = Counts(layout(), Windows(tmp_path / "w.sqlite"), HOUR)
    for hours in (0, 1, 0, 1):
        counts.add(batch(frame(10))[0], (), AT + timedelta(hours=hours))
    counts.write()
    window = read(tmp_path / "w.sqlite")
    assert (window.tally.predicted, window.instances) == (40, 1)


def test_old_windows_go(tmp_path: Path) -> None:
    counts = Counts(layout(), Windows(tmp_path / "w.sqlite"), HOUR)
    counts.add(batch(frame(10))[0], (), AT)
    counts.add(batch(frame(10))[0], (), AT + timedelta(days=401))
    assert read(tmp_path / "w.sqlite", AT - HOUR, AT + timedelta(days=500)).tally.predicted == 10


def test_a_label_counts_once_for_the_window_of_its_prediction(tmp_path: Path) -> None:
    path, rows = tmp_path / "w.sqlite", frame(100)
    windows = Windows(path)
    counts = Counts(layout(), windows, HOUR)
    tally, cells, flags = batch(rows)
    counts.add(tally, list(zip(windows.hashed(range(100)), cells.tolist(), flags.tolist(), strict=True)), AT)
    labels = np.arange(100) % 2
    first = join(windows, layout(), [*range(60), "stranger"], [*labels[:60], 1])
    assert (first.joined, first.unknown) == (60, 1)
    again = join(windows, layout(), range(100), labels)
    assert (again.joined, again.unknown) == (40, 60)
    window = read(path)
    assert window.labelled.sum() == 100
    assert window.labelled[:, 1, 1].sum() == int(((labels == 1) & (flags == 1)).sum())
    assert read(path, AT + HOUR).labelled.sum() == 0
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM waiting").fetchone() == (0,)


def test_what_waits_for_labels_is_bounded_and_what_gave_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 50)
    windows = Windows(tmp_path / "w.sqlite")
    counts = Counts(layout(), windows, HOUR)
    for n in range(4):
        ids = windows.hashed(range(n * 30, n * 30 + 30))
        counts.add(batch(frame(30))[0], [(one, 0, 1) for one in ids], AT + timedelta(seconds=10 * n))
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM waiting").fetchone() == (50,)
    assert read(tmp_path / "w.sqlite").given_way == 70
    assert windows.join(range(120), [1] * 120).joined == 50


@pytest.mark.parametrize(("ids", "y"), [([1, 2], [1]), ([1], [None]), ([1, 2], [0.0, np.nan])])
def test_labels_that_are_not_there_are_refused(tmp_path: Path, ids: list[int], y: list[Any]) -> None:
    with pytest.raises(UsageError):
        join(Windows(tmp_path / "w.sqlite"), layout(), ids, y)


def test_labels_read_alike_whatever_number_they_come_as(tmp_path: Path) -> None:
    for y in ([1, 0], [1.0, 0.0], [np.int8(1), np.int8(0)], ["1", "0"]):
        assert layout().flags(np.array(y)).tolist() == [1, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"predicted": -1}, {"predicted": 1.5}, {"predicted": True}, {"columns": {"income": [1, 2]}}, {"selected": [[1, 2]]},
        {"columns": {"stranger": [1]}}, {"columns": {"income": None}},
    ],
)  # fmt: skip
def test_a_window_that_somebody_edited_is_not_read(tmp_path: Path, change: dict[str, Any]) -> None:
    value = batch(frame(20))[0].to_dict()
    with pytest.raises(DataError, match="cannot be read"):
        Tally.from_dict(value | change, layout())


def test_windows_on_another_baseline_are_not_added(tmp_path: Path) -> None:
    other = Layout.of(known(300), None)
    assert other.digest != layout().digest
    counts = Counts(other, Windows(tmp_path / "w.sqlite"), HOUR)
    rows = frame(20)
    counts.add(count(other, rows, {}, np.zeros(20), None)[0], (), AT)
    with pytest.raises(DataError, match="counted on another baseline"):
        read(tmp_path / "w.sqlite")


def test_a_column_that_stopped_to_come_is_no_column_without_drift(tmp_path: Path) -> None:
    counts = Counts(layout(), Windows(tmp_path / "w.sqlite"), HOUR)
    tally, _, _ = batch(frame(200))
    del tally.columns["income"]
    counts.add(tally, (), AT)
    report = compare(read(tmp_path / "w.sqlite"), known(), layout(), stage="production", compared_with="0" * 64)
    assert report.get("psi", ("column",), ("income",)).status == "undefined"
    assert report.get("psi", ("column",), ("children",)).status == "ok"
    worst = report.get("largest_psi_excess")
    assert worst.status == "undefined" and worst.reason is not None and worst.reason.startswith("income: ")


def test_memory_does_not_grow_with_traffic(tmp_path: Path) -> None:
    import tracemalloc

    counts = Counts(layout(), Windows(tmp_path / "w.sqlite"), HOUR)
    batches = [batch(frame(200, n))[0] for n in range(20)]
    for one in batches:
        counts.add(one, (), AT)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            for one in batches:
                counts.add(one, (), AT)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
    assert counts._tally.predicted == 31 * 20 * 200


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    windows = Windows(tmp_path / "w.sqlite")
    with closing(sqlite3.connect(tmp_path / "w.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done: list[float] = []

        def write() -> None:
            windows.write(AT, "a" * 32, batch(frame(10))[0], ())
            done.append(time.monotonic())

        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.2)
        released = time.monotonic()
        other.execute("COMMIT")
        thread.join()
    assert done and done[0] >= released
