"""Fairness of twelve intersectional groups beside fairlearn, aequitas, AIF360, and beside bare counting.

    python benchmarks/fairness.py [--rows 1000000 10000000] [--large 100000000] [--no-spark] [--skip-slow]

Times are medians of CPU seconds (all threads) of one run on one machine; only ratios travel. Ours is the whole call:
checks, 9 rates and 23 comparisons for each of 3 sets of groups, with intervals, no cache from the round before. Peers
compute 6 rates of the 12 groups, without intervals. A peer that cannot be installed here (aequitas needs pandas
below 3) runs under the interpreter that MLGOV_BENCH_AEQUITAS or MLGOV_BENCH_AIF360 names; or it is left out, and said so.
`bare` is the engine's own way to count the same cells, and nothing else. Spark's CPU is another process's, so there wall
time is compared. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset

from ml_governance import assess_fairness
from ml_governance.evidence import intervals

SEX, RACE = ["Female", "Male"], ["a", "b", "c", "d", "e", "f"]
BY = ["sex", "race"]
CALL = {"y_true": "y", "y_pred": "p", "sensitive_features": BY}
KEYS = "sex, race, y, p"
ROUNDS = 7


def rows(n: int) -> dict[str, np.ndarray]:
    """Return codes of n rows."""
    random = np.random.default_rng(0)
    return {
        "sex": random.integers(0, 2, n).astype(np.int8),
        "race": random.integers(0, 6, n).astype(np.int8),
        "y": random.integers(0, 2, n),
        "p": random.integers(0, 2, n),
    }


def timed(call, rounds: int = ROUNDS, clock=time.process_time) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    call()
    seen = []
    for _ in range(rounds):
        for cached in (intervals._ratio_upper, intervals._ratio_lower, intervals._wilson):  # noqa: SLF001  no help from the round before
            cached.cache_clear()
        began = clock()
        call()
        seen.append(clock() - began)
    return statistics.median(seen)


def line(what: str, ours: float, other: str, theirs: float) -> None:
    """Print two medians and how many times ours goes into the other."""
    print(
        f"{what:<34} {ours * 1000:10.1f} ms   {other:<40} {theirs * 1000:11.1f} ms   x {theirs / ours:9.2f}", flush=True
    )


def peer(name: str, path: Path, rounds: int) -> dict | None:
    """Return what a peer measured in a process of its own, or None if it is not there."""
    python = os.environ.get(f"MLGOV_BENCH_{name.upper()}", sys.executable)
    script = Path(__file__).with_name("fairness_peers.py")
    done = subprocess.run(
        [python, str(script), name, str(path), str(rounds)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{name}: left out ({reason}); name an interpreter that has it in MLGOV_BENCH_{name.upper()}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def categories(codes: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the rows with categories."""
    return pd.DataFrame(
        {
            "sex": pd.Categorical.from_codes(codes["sex"], SEX),
            "race": pd.Categorical.from_codes(codes["race"], RACE),
            "y": codes["y"],
            "p": codes["p"],
        }
    )


def beside_peers(n: int, folder: Path, *, slow: bool) -> None:
    """Compare with the peers and with bincount, in memory."""
    codes = rows(n)
    frame = categories(codes)
    print(f"\n{n:,} rows in memory, categories (ours: pandas)")
    cells = ((codes["sex"].astype(np.int64) * 6 + codes["race"]) * 2 + codes["y"]) * 2 + codes["p"]

    def combined():
        return np.bincount(((codes["sex"].astype(np.int64) * 6 + codes["race"]) * 2 + codes["y"]) * 2 + codes["p"])

    report = assess_fairness(data=frame, **CALL)
    assert (report.cube.counts.ravel() == np.bincount(cells)).all()
    ours = timed(lambda: assess_fairness(data=frame, **CALL))
    line("ours", ours, "bincount over ready cell numbers", timed(lambda: np.bincount(cells)))
    line("ours", ours, "combine the codes, then bincount", timed(combined))
    found = report.by_group["true_positive_rate"].to_numpy()
    path = folder / "rows.npz"
    np.savez(path, **codes)
    text = frame.astype({"sex": "str", "race": "str"})
    strings = timed(lambda: assess_fairness(data=text, **CALL), 3)
    for name in ("aequitas", "aif360", "fairlearn"):
        if name == "fairlearn" and n > 10**6 and not slow:
            print("fairlearn: left out (--skip-slow)")
            continue
        measured = peer(name, path, 1 if n > 10**6 else 3)
        if measured is not None:
            np.testing.assert_allclose(np.sort(measured["tpr"]), np.sort(found), rtol=0, atol=1e-12)
            theirs = statistics.median(measured["cpu"])
            line("ours", ours, f"{name} {measured['version']}", theirs)
            line("ours, columns of text", strings, f"{name} {measured['version']}", theirs)


def beside_engines(n: int, folder: Path, *, spark: bool) -> None:
    """Compare with each engine's own group-by."""
    codes = rows(n)
    frame = categories(codes)
    table = pa.Table.from_pandas(frame.astype({"sex": "str", "race": "str"}), preserve_index=False)
    path = str(folder / "rows.parquet")
    duckdb.from_arrow(table).write_parquet(path)
    polars, coded = pl.from_arrow(table), pl.from_pandas(frame)
    dictionaries = pa.Table.from_pandas(frame, preserve_index=False)
    relation, files = duckdb.from_arrow(table), pyarrow.dataset.dataset(path)
    sql = f"SELECT {KEYS}, count(*) FROM read_parquet('{path}') GROUP BY ALL"
    names = [*BY, "y", "p"]
    count = [([], "count_all")]
    print(f"\n{n:,} rows, text unless said otherwise; x: what the engine's own group-by takes of ours")
    for what, data, bare in (
        ("Parquet (DuckDB)", path, lambda: duckdb.sql(sql).fetchall()),
        ("DuckDB relation over Arrow", relation, lambda: relation.aggregate(f"{KEYS}, count(*)").fetchall()),
        ("Polars", polars, lambda: polars.lazy().group_by(names).agg(pl.len()).collect()),
        ("Polars lazy", polars.lazy(), lambda: polars.lazy().group_by(names).agg(pl.len()).collect()),
        ("Polars categories", coded, lambda: coded.lazy().group_by(names).agg(pl.len()).collect()),
        ("pyarrow table", table, lambda: table.group_by(names).aggregate(count)),
        ("pyarrow table of dictionaries", dictionaries, lambda: dictionaries.group_by(names).aggregate(count)),
        ("pyarrow dataset", files, lambda: pa.TableGroupBy(files.to_table(names), names).aggregate(count)),
    ):
        line(what, timed(lambda data=data: assess_fairness(data=data, **CALL), 5), "bare", timed(bare, 5))
    if spark:
        beside_spark(path)


def beside_spark(path: str) -> None:
    """Compare with Spark's group-by, in wall time."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2").config("spark.driver.host", "127.0.0.1").getOrCreate()
    )  # fmt: skip
    session.sparkContext.setLogLevel("OFF")
    frame = session.read.parquet(path)
    ours = timed(lambda: assess_fairness(data=frame, **CALL), 5, time.perf_counter)
    bare = timed(lambda: frame.groupBy("sex", "race", "y", "p").count().collect(), 5, time.perf_counter)
    line("Spark (wall time)", ours, "bare", bare)
    session.stop()


MEASURE = """
import sys
import duckdb, pandas as pd, pyarrow.parquet as pq
from ml_governance import assess_fairness
how, path, small = sys.argv[1:]
call = {"y_true": "y", "y_pred": "p", "sensitive_features": ["sex", "race"]}
def load(path):
    if how == "files":
        return path
    frame = pd.read_parquet(path)
    return frame.astype({"sex": "category", "race": "category"}) if how == "categories" else frame
assess_fairness(data=load(small), **call)
data = load(path)
before = open("/proc/self/status").read().split("VmRSS:")[1].split()[0]
open("/proc/self/clear_refs", "w").write("5")  # the peak starts again at what is resident
assess_fairness(data=data, **call)
after = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
print((int(after) - int(before)) / 1024, int(after) / 1024)
"""


def memory(n: int, folder: Path) -> None:
    """Print how much the resident peak rises, in processes of their own."""
    print(f"\n{n:,} rows: peak of resident memory during the call")
    paths = {}
    for name, size in (("small", 1000), ("large", n)):
        paths[name] = folder / f"memory-{name}.parquet"
        categories(rows(size)).astype({"sex": "str", "race": "str"}).to_parquet(paths[name])
    for how in ("files", "categories", "text"):
        print(f"{how:<34} {measured(how, paths['large'], paths['small'])}", flush=True)


def measured(how: str, path: Path, small: Path) -> str:
    """Return what a process of its own measured, in words."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, how, str(path), str(small)], capture_output=True, text=True, check=True
    )
    rise, peak = map(float, done.stdout.split())
    return f"+ {rise:8.1f} MiB, whole process {peak:8.1f} MiB"


def large(n: int, folder: Path) -> None:
    """Compare with a bare scan of a file that is larger than the memory that it may take."""
    path, small = folder / "large.parquet", folder / "small.parquet"
    select = "SELECT ['Female', 'Male'][1 + (hash(i) % 2)::INT] AS sex, ['a', 'b', 'c', 'd', 'e', 'f'][1 + (hash(i + 1) % 6)::INT] AS race"
    for name, size in ((path, n), (small, 1000)):
        duckdb.sql(
            f"COPY ({select}, (hash(i + 2) % 2)::BIGINT AS y, (hash(i + 3) % 2)::BIGINT AS p FROM range({size}) t(i)) "
            f"TO '{name}' (FORMAT parquet)"
        )
    sql = f"SELECT {KEYS}, count(*) FROM read_parquet('{path}') GROUP BY ALL"
    print(f"\n{n:,} rows in Parquet ({path.stat().st_size / 1e6:,.0f} MB)")
    ours = timed(lambda: assess_fairness(data=path, **CALL), 3)
    line("ours", ours, "bare DuckDB scan and group", timed(lambda: duckdb.sql(sql).fetchall(), 3))
    print(f"{'memory':<34} {measured('files', path, small)}")


def small() -> None:
    """Print what 1,000 rows take, after the import and the first call."""
    frame = categories(rows(1000))
    print("\n1,000 rows")
    seconds = timed(lambda: assess_fairness(data=frame, **CALL), 21)
    print(f"{'ours, categories':<34} {seconds * 1000:10.1f} ms")
    text = frame.astype({"sex": "str", "race": "str"})
    seconds = timed(lambda: assess_fairness(y_true=text.y, y_pred=text.p, sensitive_features=text[BY]), 21)
    print(f"{'ours, text, given as columns':<34} {seconds * 1000:10.1f} ms")


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10**6, 10**7])
    parser.add_argument("--large", type=int, default=10**8, help="0 leaves it out")
    parser.add_argument("--no-spark", action="store_true")
    parser.add_argument("--skip-slow", action="store_true", help="without fairlearn above a million rows")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        small()
        for n in given.rows:
            beside_peers(n, folder, slow=not given.skip_slow)
        beside_engines(max(given.rows), folder, spark=not given.no_spark)
        memory(max(given.rows), folder)
        if given.large:
            large(given.large, folder)


if __name__ == "__main__":
    main()
