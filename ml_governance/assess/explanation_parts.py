r"""Rows explained where they lie: partitions of a PySpark data frame, and Parquet files, row group by row group.

The same engines explain every part against the same background; what comes back from a part are sums, by column and class: of attributions
and outputs, of their products, and of absolute attributions and their products; by group as well; the largest error of any
sum of attributions; and a few rows, each with a random key. Sums of parts add up to those of the whole, and the rows with the smallest keys
of all are a random sample of the whole, so that means, covariances and intervals are those of all rows.
"""

from __future__ import annotations

import glob
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

BATCH = 20_000
"""Rows of a Parquet file that are explained at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over rows of vectors: how many, the sum, and the sum of outer products.

    Parameters
    ----------
    n : int
    first : array of float64, shape (width,)
    second : array of float64, shape (width, width)
    """

    n: int
    first: Matrix
    second: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> Moments:
        """Sum rows of shape (n, width)."""
        return cls(n=len(rows), first=rows.sum(axis=0), second=rows.T @ rows)

    def __add__(self, other: Moments) -> Moments:
        return Moments(n=self.n + other.n, first=self.first + other.first, second=self.second + other.second)

    @property
    def mean(self) -> Matrix:
        """Mean, shape (width,)."""
        return self.first / self.n

    @property
    def covariance(self) -> Matrix:
        """Covariance of the mean, shape (width, width); needs two rows or more."""
        mean = self.mean
        found: Matrix = (self.second - self.n * np.outer(mean, mean)) / (self.n - 1) / self.n
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What one part says of its rows.

    Parameters
    ----------
    sizes : mapping of class to Moments
        Of absolute attributions by column; "" is the mean over classes, or the only output.
    groups : mapping of (attribute, level, class) to Moments
        Of attributions and, last, the output.
    error : float
        Largest gap between the sum of a row's attributions and its output.
    keys : array of float64, shape (few,)
        Random keys of the sampled rows, ascending.
    sample : DataFrame of few rows
    phi : array of float64, shape (few, columns) or (few, columns, classes)
    told : mapping of str to object
        Engine, why, check, base and columns, which are the same for every part.
    """

    sizes: dict[str, Moments]
    groups: dict[tuple[str, str, str], Moments]
    error: float
    keys: Matrix
    sample: pd.DataFrame
    phi: Matrix
    told: dict[str, Any]


def join(parts: Iterable[Part], few: int) -> Part:
    """Add the parts up, and keep the sampled rows with the smallest keys.

    Raises
    ------
    DataError
        If there are none.
    UnavailableError
        If they were explained by different engines, or against different backgrounds.
    """
    import pandas as pd

    listed = list(parts)
    if not listed:
        raise DataError("there is nothing to explain", expected="rows")
    first = listed[0]
    for one in listed:
        same = all(one.told[name] == first.told[name] for name in ("engine", "columns", "classes"))
        if not same or not np.allclose(one.told["base"], first.told["base"], rtol=1e-9, atol=1e-12):
            raise UnavailableError(
                "parts of the rows were explained in different ways", expected="one engine and one base for all",
                next_step="look whether all parts have columns of the same types",
            )  # fmt: skip
    groups: dict[tuple[str, str, str], Moments] = {}
    sizes: dict[str, Moments] = {}
    for one in listed:
        _add(sizes, one.sizes)
        _add(groups, one.groups)
    keys = np.concatenate([one.keys for one in listed])
    kept = np.argsort(keys, kind="stable")[:few]
    sample = pd.concat([one.sample for one in listed], ignore_index=True).iloc[kept].reset_index(drop=True)
    return Part(
        sizes=sizes, groups=groups, error=max(one.error for one in listed), keys=keys[kept], sample=sample,
        phi=np.concatenate([one.phi for one in listed])[kept], told=first.told,
    )  # fmt: skip


def _add(sums: dict[Any, Moments], more: dict[Any, Moments]) -> None:
    for key, moments in more.items():
        sums[key] = sums[key] + moments if key in sums else moments


def packed(part: Part) -> bytes:
    """Return a part as bytes that hold arrays, text and a table, and nothing that runs when they are read."""
    import pandas as pd

    told = {**part.told, "error": part.error, "sizes": list(part.sizes), "groups": [list(key) for key in part.groups]}
    arrays: dict[str, Any] = {
        "keys": part.keys,
        "phi": part.phi,
        "told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8),
    }
    table = io.BytesIO()
    pd.DataFrame(part.sample).to_parquet(table, index=False)
    arrays["sample"] = np.frombuffer(table.getvalue(), dtype=np.uint8)
    for place, moments in enumerate([*part.sizes.values(), *part.groups.values()]):
        arrays |= {f"n{place}": np.array(moments.n), f"f{place}": moments.first, f"s{place}": moments.second}
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


def unpacked(data: bytes) -> Part:
    """Return the part that :func:`packed` made bytes of."""
    import pandas as pd

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        told = json.loads(arrays["told"].tobytes())
        sizes, groups = told.pop("sizes"), [tuple(key) for key in told.pop("groups")]
        moments = [
            Moments(n=int(arrays[f"n{place}"]), first=arrays[f"f{place}"], second=arrays[f"s{place}"])
            for place in range(len(sizes) + len(groups))
        ]
        return Part(
            sizes=dict(zip(sizes, moments, strict=False)), groups=dict(zip(groups, moments[len(sizes) :], strict=True)),
            error=told.pop("error"), keys=arrays["keys"], sample=pd.read_parquet(io.BytesIO(arrays["sample"].tobytes())),
            phi=arrays["phi"], told=told,
        )  # fmt: skip


# --- where the rows are -------------------------------------------------------------------------------


def is_elsewhere(rows: Any) -> bool:
    """Tell whether rows are a PySpark data frame, or a path or pattern of Parquet files."""
    return isinstance(rows, str | Path) or is_spark(rows)


def is_spark(rows: Any) -> bool:
    """Tell whether rows are a PySpark data frame."""
    return type(rows).__module__.startswith("pyspark.sql.") and hasattr(rows, "mapInArrow")


def collected(rows: Any, columns: Sequence[str], explain: Callable[[pd.DataFrame, int], Part]) -> Iterator[Part]:
    """Explain rows where they lie, and yield what each part says.

    Parameters
    ----------
    rows : PySpark DataFrame, or path or pattern of Parquet files
    columns : sequence of str
        What is read.
    explain : callable
        Makes a part of rows and the number of their place, which seeds its keys; PySpark takes it to the executors.

    Raises
    ------
    DataError
        If a column or every file is missing.
    UnavailableError
        If a partition fails.
    """
    return _by_spark(rows, columns, explain) if is_spark(rows) else _by_files(rows, columns, explain)


def _require(columns: Sequence[str], there: Sequence[str]) -> None:
    absent = [name for name in columns if name not in there]
    if absent:
        raise DataError(
            f"the rows lack {', '.join(absent)}", expected="every column that the model takes, and the groups"
        )


def _by_files(rows: str | Path, columns: Sequence[str], explain: Callable[[pd.DataFrame, int], Part]) -> Iterator[Part]:
    import pyarrow.parquet as pq

    found = sorted(glob.glob(str(rows), recursive=True))  # noqa: PTH207  a pattern may be absolute
    if not found:
        raise DataError(f"no file is named {rows}", expected="a path or pattern of Parquet files")
    place = 0
    for path in found:
        with pq.ParquetFile(path) as file:
            _require(columns, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=BATCH, columns=list(columns)):
                if batch.num_rows:
                    yield explain(batch.to_pandas(), place)
                    place += 1


def _by_spark(rows: Any, columns: Sequence[str], explain: Callable[[pd.DataFrame, int], Part]) -> Iterator[Part]:
    _require(columns, rows.columns)

    def work(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        place = (0 if context is None else context.partitionId()) << 32
        for number, batch in enumerate(one for one in batches if one.num_rows):
            try:
                made = packed(explain(batch.to_pandas(), place + number))
                wrong = ""
            except (DataError, UnavailableError) as error:
                made, wrong = b"", str(error)
            yield pa.RecordBatch.from_pydict({"part": pa.array([made], pa.binary()), "wrong": pa.array([wrong])})

    try:
        told = rows.select(*columns).mapInArrow(work, "part binary, wrong string").collect()
    except Exception as error:
        raise UnavailableError(
            f"Spark could not explain the rows: {type(error).__name__}: {str(error)[:2000]}",
            next_step="see whether the model and this package load on the executors",
        ) from error
    for one in told:
        if one["wrong"]:
            raise DataError(f"a partition could not be explained: {one['wrong']}", expected="rows that the model takes")
        yield unpacked(bytes(one["part"]))
