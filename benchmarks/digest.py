"""What a table's digest costs beside bare SHA-256 over the same buffers, one thread: medians and their ratio.

    python benchmarks/digest.py [rows]

The same buffers are the ones the table holds, in Arrow's plain layout: values; offsets and bytes of text; and the
validity bitmap where there are nulls. Rounds alternate, so that both meet the same machine. What no buffer holds in
that layout (dictionaries, 32-bit offsets, Polars views, files) is compared twice: with the plain buffers alone, and
with the conversion by the library itself before them. Nothing here is a test: machines differ, ratios travel better.
"""

from __future__ import annotations

import hashlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ml_governance.evidence import fingerprint

ROUNDS = 11


def buffers(table: pa.Table) -> list[pa.Buffer]:
    """Return what the table holds."""
    return [b for column in table.columns for chunk in column.chunks for b in chunk.buffers() if b is not None]


def bare(held: list[pa.Buffer]) -> str:
    """Digest buffers and nothing else."""
    hasher = hashlib.sha256()
    for buffer in held:
        hasher.update(buffer)
    return hasher.hexdigest()


def compare(what: str, ours, theirs, size: int) -> None:
    """Print the medians of two calls in alternating rounds."""
    times = ([], [])
    for _ in range(ROUNDS):
        for work, seen in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            work()
            seen.append(time.perf_counter() - began)
    one, other = (statistics.median(seen) * 1000 for seen in times)
    print(
        f"{what:<52} {one:9.1f} ms   bare {other:9.1f} ms   {size / 1e6:8.1f} MB   ratio {one / other:6.2f}", flush=True
    )


def against_bare(what: str, data, table: pa.Table) -> None:
    """Compare the digest of a table with SHA-256 over the buffers of `table`."""
    held = buffers(table)
    compare(what, lambda: fingerprint.table(data), lambda: bare(held), sum(b.size for b in held))


def tables(rows: int) -> dict[str, pa.Table]:
    """Return tables of every kind that should be fast."""
    random = np.random.default_rng(0)
    real = [random.normal(size=rows) for _ in range(4)]
    whole = [random.integers(-(10**9), 10**9, rows) for _ in range(4)]
    hidden = random.random(rows) < 0.1
    words = np.array([f"{'customer' * (i % 4)}{i}" for i in range(5000)])[random.integers(0, 5000, rows)]
    short = np.array(["a", "bc", "def", "ghij", ""])[random.integers(0, 5, rows)]
    text, brief = pa.array(words, pa.large_string()), pa.array(short, pa.large_string())
    null = {"type": pa.large_string(), "mask": hidden}
    return {
        "float64": pa.table({f"c{i}": v for i, v in enumerate(real)}),
        "int64": pa.table({f"c{i}": v for i, v in enumerate(whole)}),
        "float32 and int32": pa.table({"a": real[0].astype("f4"), "b": whole[0].astype("i4")}),
        "text of about 16 bytes": pa.table({"a": text}),
        "text of about 2 bytes": pa.table({"a": brief}),
        "float64, a tenth null": pa.table({f"c{i}": pa.array(v, mask=hidden) for i, v in enumerate(real)}),
        "float64, a tenth NaN": pa.table({f"c{i}": np.where(hidden, np.nan, v) for i, v in enumerate(real)}),
        "int64, a tenth null": pa.table({f"c{i}": pa.array(v, mask=hidden) for i, v in enumerate(whole)}),
        "float32 and int32, a tenth null": pa.table(
            {"a": pa.array(real[0].astype("f4"), mask=hidden), "b": pa.array(whole[0].astype("i4"), mask=hidden)}
        ),
        "text of about 2 bytes, a tenth null": pa.table({"a": pa.array(short, **null)}),
        "text of about 16 bytes, a tenth null": pa.table({"a": pa.array(words, **null)}),
        "int64, text and float64, a tenth null each": pa.table(
            {"i": pa.array(whole[0], mask=hidden), "s": pa.array(words, **null), "f": pa.array(real[0], mask=hidden)}
        ),
    }


def others(rows: int) -> dict[str, pa.Table]:
    """Return tables of kinds that need more work."""
    random = np.random.default_rng(1)
    micros = random.integers(0, 10**15, rows)
    return {
        "timestamp[us]": pa.table({"a": pa.array(micros, pa.timestamp("us"))}),
        "timestamp[ns], whole microseconds": pa.table({"a": pa.array(micros * 1000, pa.timestamp("ns"))}),
        "timestamp[ns], with a finer last value": pa.table(
            {"a": pa.array(np.append(micros[1:] * 1000, 1), pa.timestamp("ns"))}
        ),
        "timestamp[ms]": pa.table({"a": pa.array(micros // 1000, pa.timestamp("ms"))}),
        "decimal128(19, 0)": pa.table({"a": pa.array(micros // 10**6).cast(pa.decimal128(19, 0))}),
        "int8": pa.table({"a": random.integers(-100, 100, rows).astype("i1")}),
        "int8, a tenth null": pa.table(
            {"a": pa.array(random.integers(-100, 100, rows).astype("i1"), mask=random.random(rows) < 0.1)}
        ),
        "booleans": pa.table({"a": random.random(rows) < 0.5}),
        "list of 8 float32": pa.table(
            {"a": pa.FixedSizeListArray.from_arrays(random.random(rows * 8).astype("f4"), 8)}
        ),
        "struct of int64 and float64": pa.table(
            {"a": pa.StructArray.from_arrays([pa.array(micros), pa.array(random.random(rows))], ["i", "f"])}
        ),
    }


def layouts(rows: int, folder: Path) -> None:
    """Compare the same content in other layouts and engines with its plain buffers, and with converting it."""
    source = tables(rows)
    for name in ("float64, a tenth null", "text of about 16 bytes"):
        table = source[name]
        size, held = table.nbytes, buffers(table)
        against_bare(f"{name}, pandas", table.to_pandas(), table)
        against_bare(f"{name}, in chunks of 10,000", pa.Table.from_batches(table.to_batches(10_000)), table)
        frame = pl.from_arrow(table)
        against_bare(f"{name}, Polars", frame, table)
        work = lambda frame=frame: bare(buffers(frame.to_arrow()))  # noqa: E731
        compare("    ... and to_arrow()", lambda frame=frame: fingerprint.table(frame), work, size)
        path = folder / "t.parquet"
        pq.write_table(table, path)
        compare(f"{name}, Parquet", lambda path=path: fingerprint.of(path), lambda held=held: bare(held), size)
        work = lambda path=path: bare(buffers(pq.ParquetFile(path).read(use_threads=False)))  # noqa: E731
        compare("    ... and reading it whole", lambda path=path: fingerprint.of(path), work, size)
    for name in ("text of about 16 bytes", "text of about 2 bytes"):
        table = source[name]
        narrow = table.cast(pa.schema([("a", pa.string())]))
        against_bare(f"{name}, 32-bit offsets, to 64-bit ones", narrow, table)
        against_bare("    ... to 32-bit ones", narrow, narrow)
        coded = pa.table({"a": table.column("a").dictionary_encode()})
        against_bare(f"{name}, dictionary", coded, table)
        work = lambda coded=coded, schema=table.schema: bare(buffers(coded.cast(schema)))  # noqa: E731
        compare("    ... and decoding", lambda coded=coded: fingerprint.table(coded), work, table.nbytes)
    frame = pd.DataFrame(
        {"a": source["int64"]["c0"].to_numpy(), "s": source["text of about 16 bytes"]["a"].to_pandas()}
    )
    content = frame.to_csv(index=False).encode()
    (folder / "t.csv").write_bytes(content)
    compare(
        "CSV, beside one pandas.read_csv() and the digest",
        lambda: fingerprint.of(folder / "t.csv"),
        lambda: fingerprint.table(pd.read_csv(io.BytesIO(content), low_memory=False)),
        len(content),
    )


def main() -> None:
    rows = [int(sys.argv[1])] if len(sys.argv) > 1 else [1_000_000, 10_000_000]
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    for count in rows:
        print(f"{count:,} rows, Arrow tables")
        for kinds in (tables, others):
            for name, table in kinds(count).items():
                against_bare(name, table, table)
    print(f"{rows[0]:,} rows, other layouts and engines")
    with tempfile.TemporaryDirectory() as folder:
        layouts(rows[0], Path(folder))


if __name__ == "__main__":
    main()
