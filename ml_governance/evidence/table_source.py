"""Where the columns of a table come from: frames in memory, Parquet and CSV files."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError, VerificationError
from ml_governance.evidence.table_digest import ColumnDigest, digest_column, digest_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

_BATCH = 1 << 17  # rows read from a file at a time; a window is put together from them


@dataclass(frozen=True, slots=True)
class Digested:
    """The logical digest of a table.

    Parameters
    ----------
    sha256 : str
        64 hexadecimal digits.
    rows : int
        Rows.
    columns : tuple of (str, str)
        Names and canonical types.
    """

    sha256: str
    rows: int
    columns: tuple[tuple[str, str], ...]


def frame(data: Any) -> Digested:
    """Digest a data frame, table or series in memory, one column after the other.

    Raises
    ------
    DataError
        If it is none, or a column cannot be digested.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pd.Series):
        data = data.to_frame(name=str(data.name if data.name is not None else "value"))
    if isinstance(data, pa.Table):
        return _by_column(data.num_rows, data.column_names, data.column)
    if isinstance(data, pd.DataFrame):
        _check_labels(data)
        table: pd.DataFrame = data
        return _by_column(len(table), list(table.columns), lambda i: _from_pandas(table.iloc[:, i]))
    return _other(data)


def _other(data: Any) -> Digested:
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa

    try:
        table = nw.from_native(data, allow_series=True)
    except TypeError as error:
        raise DataError(f"the data is a {type(data).__name__}", expected="a data frame or a path to one") from error
    if isinstance(table, nw.Series):
        table = table.alias(table.name or "value").to_frame()
    native = table.to_native()
    if isinstance(native, pa.Table | pd.DataFrame):
        return frame(native)
    for name, kind in table.collect_schema().items():
        if kind == nw.Object:  # Polars would hand out the addresses of the objects
            raise DataError(f"the column {name!r} has the type {kind}", expected="values, not objects of this process")
    if isinstance(table, nw.LazyFrame):
        try:
            return frame(table.collect(backend="pyarrow").to_native())
        except pa.ArrowException as error:
            raise DataError(f"the data has a column of a type that Arrow has not: {error}") from error
    return _by_column(len(table), table.columns, lambda i: table[:, i].to_arrow())


def _by_column(rows: int, names: list[str], column: Callable[[int], Any]) -> Digested:
    import pyarrow as pa

    _check_names(names)
    columns, digests = [], []
    for number, name in enumerate(names):
        try:
            values = column(number)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise DataError(
                f"the column {name!r} has values of mixed types, or of one that Arrow has not: {error}",
                expected="one type in each column",
            ) from error
        kind, digest = digest_column(name, values.type, rows, partial(_pieces, values))
        columns.append((name, kind))
        digests.append((name, digest))
    return Digested(digest_table(rows, digests, len(names)), rows, tuple(columns))


def _pieces(values: Any) -> list[Any]:
    import pyarrow as pa

    return values.chunks if isinstance(values, pa.ChunkedArray) else [values]


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
    if twice:
        raise DataError(f"the table has the columns {', '.join(twice)} twice", expected="distinct column names")


def _check_labels(data: pd.DataFrame) -> None:
    import pandas as pd

    if not isinstance(data.index, pd.RangeIndex) and (data.index.name is not None or data.index.nlevels > 1):
        raise DataError("the table's index has a name, so it says something", expected="frame.reset_index() first")
    if not all(isinstance(name, str) for name in data.columns):
        raise DataError("the table has column names that are not text", expected="text names")


def _from_pandas(series: pd.Series[Any]) -> Any:
    """Return the column as Arrow, without a copy where it is an array of numbers: the digest itself sees to NaN."""
    import numpy as np
    import pyarrow as pa

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
        return pa.array(series.to_numpy())
    return pa.array(series, from_pandas=True)


def parquet(path: Path) -> Digested:
    """Digest a Parquet file, one column after the other, each in batches of rows.

    Raises
    ------
    DataError
        If it cannot be read, or a column cannot be digested.
    VerificationError
        If it changed while it was read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def pieces(file: Any, name: str) -> Iterator[pa.Array]:
        if not file.metadata.num_row_groups:
            return
        for batch in file.iter_batches(batch_size=_BATCH, columns=[name], use_threads=False):
            yield batch.column(batch.schema.get_field_index(name))  # a name with a dot can select more than its column

    try:
        with _unchanged(path), pq.ParquetFile(path, buffer_size=1 << 20) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            _check_names(schema.names)
            columns, digests = [], []
            for name, kind in zip(schema.names, schema.types, strict=True):
                text, digest = digest_column(name, kind, rows, partial(pieces, file, name))
                columns.append((name, text))
                digests.append((name, digest))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    return Digested(digest_table(rows, digests, len(columns)), rows, tuple(columns))


def csv(path: Path) -> Digested:
    """Digest a CSV file as ``pandas.read_csv(path, low_memory=False)`` reads it, in batches of rows.

    A file of more than one batch is read twice, because only its end settles the types. What pandas then makes of whole
    numbers from 2**63 on beside other numbers or missing cells no part can tell, so such a file is refused.

    Raises
    ------
    DataError
        If it cannot be read, or a column cannot be digested.
    VerificationError
        If it changed while it was read.
    """
    import pandas as pd

    try:
        with _unchanged(path):
            with pd.read_csv(path, chunksize=_BATCH, low_memory=False) as reader:
                first = next(reader)
                _check_cells(path, first)
                second = next(reader, None)
                if second is None:
                    return frame(first)
                found = [_kinds(first), _kinds(second)]
                rows = len(first) + len(second)
                names = list(first.columns)
                del first, second
                for part in reader:
                    found.append(_kinds(part))
                    rows += len(part)
            dtypes = {name: _settle(path, name, {kinds[name] for kinds in found}) for name in names}
            return _csv_columns(path, rows, dtypes)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error


def _csv_columns(path: Path, rows: int, dtypes: dict[str, str]) -> Digested:
    import pandas as pd
    import pyarrow as pa

    columns: dict[str, ColumnDigest] = {}
    with pd.read_csv(path, chunksize=_BATCH, low_memory=False, dtype=dtypes) as reader:
        for part in reader:
            for name in dtypes:
                values = _from_pandas(part[name])
                if pa.types.is_null(values.type):
                    values = values.cast(pa.large_string())
                if name not in columns:
                    columns[name] = ColumnDigest(name, values.type, rows=rows)
                for piece in _pieces(values):
                    columns[name].push(piece)
    digests = [(name, column.digest()) for name, column in columns.items()]
    types = tuple((name, column.text) for name, column in columns.items())
    return Digested(digest_table(rows, digests, len(digests)), rows, types)


def _check_cells(path: Path, part: pd.DataFrame) -> None:
    import pandas as pd

    if not isinstance(part.index, pd.RangeIndex):
        raise DataError(f"{path} has rows with more cells than there are names", expected="a name for each column")


def _kinds(part: pd.DataFrame) -> dict[str, str]:
    """Return what each column of a part looks like on its own."""
    kinds = {}
    for name, column in part.items():
        kind = str(column.dtype)
        if column.isna().all():
            kind = "nothing"
        elif kind == "object" and set(column.dropna().map(type)) == {bool}:
            kind = "boolean"
        elif kind == "object" and set(column.dropna().map(type)) == {str}:
            kind = "str"
        elif kind == "int64" and (column < 0).any():
            kind = "negative"
        if kind == "str" and _is_large(column):
            kind = "large"
        kinds[str(name)] = kind
    return kinds


def _is_large(column: pd.Series[Any]) -> bool:
    """Say whether text is no text, but what pandas makes of whole numbers from 2**63 on beside other cells."""
    import pandas as pd

    cells = column.dropna().astype("str")
    whole = cells.str.fullmatch(r"[+-]?\d+")
    if not whole.any() or not cells[whole].str.fullmatch(r"[+-]?\d{19,}").any():
        return False
    others = cells[~whole].unique()
    quoted = "".join('"{}"\n'.format(cell.replace('"', '""')) for cell in others)
    return not len(others) or bool(pd.read_csv(io.StringIO("x\n" + quoted), low_memory=False)["x"].dtype.kind in "iuf")


def _settle(path: Path, name: str, kinds: set[str]) -> str:
    """Return the type that pandas gives a column whose parts look like these."""
    if "object" in kinds:
        raise DataError(f"{path} has numbers of more than 64 bits in the column {name!r}", expected="smaller numbers")
    if kinds <= {"int64", "negative"}:
        return "int64"
    if kinds <= {"int64", "negative", "float64", "nothing"}:
        return "float64"
    if kinds == {"bool"}:
        return "bool"
    if kinds <= {"bool", "boolean", "nothing"}:
        return "boolean"
    if kinds <= {"int64", "uint64"}:
        return "uint64"
    if kinds & {"uint64", "large"} and "str" not in kinds:
        raise DataError(
            f"{path} has whole numbers from 2**63 on beside other numbers or missing cells in the column {name!r}",
            expected="a file whose types are known",
            next_step="write it as Parquet",
        )
    return "str"


@contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    def state() -> tuple[int, ...]:
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    before = state()
    yield
    if state() != before:
        raise VerificationError(f"{path} changed while it was read", next_step="try again when nobody writes to it")
