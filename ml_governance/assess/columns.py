"""Columns of one table, or of several stacked, each read once and coded: every check of a column works on its codes.

A number or a time is coded by its place among the sorted distinct values of all tables, text by the order in which it first
occurs. A code of -1 is a missing value: null, NaN, or text of blanks only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import files
from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    Kind = Literal["number", "time", "text"]
    Codes = NDArray[np.int64]

MIXED = "mixed"
"""Type of a column whose values are of more than one kind, which are compared as text."""
_FIRST = 4096
"""Rows that tell whether a column has many distinct numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table whose columns are read one at a time.

    Parameters
    ----------
    name : str
        For messages.
    rows : int
        How many.
    names : tuple of str
        Its columns, in order.
    column : callable
        Returns a column, by name, as an Arrow array; raises what Arrow raises where values are of mixed kinds.
    spelled : callable
        Returns such a column as text.
    source : callable
        Returns the digest of the table.
    """

    name: str
    rows: int
    names: tuple[str, ...]
    column: Callable[[str], pa.ChunkedArray] = field(repr=False)
    spelled: Callable[[str], pa.ChunkedArray] = field(repr=False)
    source: Callable[[], Resource] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of stacked tables.

    Parameters
    ----------
    name : str
        Its name.
    kind : {'number', 'time', 'text'}
        What it is compared as.
    types, kinds : tuple of str
        Its type in each table, and what values of that type are compared as; ``mixed`` where they are of several kinds, and the
        kind of a column without any value is ``empty``.
    values : array or list
        The distinct values, sorted unless they are text.
    codes : array of int64, shape (rows of all tables,)
        Places in ``values``; -1 where missing.
    starts : tuple of int
        Where each table begins, and the number of rows.
    """

    name: str
    kind: Kind
    types: tuple[str, ...]
    kinds: tuple[str, ...]
    values: Any = field(repr=False)
    codes: Codes = field(repr=False)
    starts: tuple[int, ...]

    def of(self, table: int) -> Codes:
        """Return the codes of one table."""
        return self.codes[self.starts[table] : self.starts[table + 1]]

    def counts(self, table: int) -> Codes:
        """Return how often each value occurs in one table; shape (values,)."""
        own = self.of(table)
        return np.bincount(own + 1, minlength=len(self.values) + 1)[1:]


def opened(data: Any, name: str = "table") -> Table:
    """Return a table, wherever it is.

    Parameters
    ----------
    data : table, path, pattern, or list of them
        pandas, Polars, pyarrow or another eager frame that narwhals knows, of which one column at a time is coded; a lazy table
        (DuckDB, Ibis, PySpark, Dask, Polars), which is collected; Parquet files, read one column at a time; or CSV files.
    name : str
        For messages.

    Raises
    ------
    DataError
        If it is no table, has no rows, or has the same column twice.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, str | Path) or (isinstance(data, list | tuple) and data):
        made = _of_files(files.expand(data))
    elif isinstance(data, pd.DataFrame):
        made = _of_pandas(data, name)
    elif isinstance(data, pa.Table):
        made = _of_arrow(data, name)
    else:
        import narwhals as nw

        try:
            frame = nw.from_native(data)
        except TypeError as error:
            raise DataError(
                f"the {name} is a {type(data).__name__}", expected="a data frame, or paths of Parquet or CSV files"
            ) from error
        eager = frame.collect(backend="pyarrow") if isinstance(frame, nw.LazyFrame) else frame
        made = _of_arrow(eager.to_arrow(), name)
    twice = sorted(one for one, times in Counter(made.names).items() if times > 1)
    if twice:
        raise DataError(f"{made.name} has the columns {', '.join(twice)} twice", expected="distinct column names")
    if not made.rows or not made.names:
        raise DataError(f"{made.name} has no {'columns' if made.rows else 'rows'}", expected="a table with rows")
    return made


def _of_pandas(frame: pd.DataFrame, name: str) -> Table:
    import pandas as pd
    import pyarrow as pa

    names = tuple(str(one) for one in frame.columns)
    place = {one: at for at, one in enumerate(names)}

    def column(wanted: str) -> pa.ChunkedArray:
        values = frame.iloc[:, place[wanted]]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            return pa.chunked_array(values)  # by another way pandas warns that the time zone is lost
        return pa.chunked_array([pa.Array.from_pandas(values)])

    def spelled(wanted: str) -> pa.ChunkedArray:
        values = frame.iloc[:, place[wanted]]
        texts = [None if gone else str(value) for gone, value in zip(pd.isna(values), values, strict=True)]
        return pa.chunked_array([pa.array(texts, type=pa.large_string())])

    def source() -> Resource:
        own = fingerprint.table(frame)
        return Resource(name=str(frame.attrs.get("name", name)), sha256=own.sha256, rows=own.rows)

    return Table(name=name, rows=len(frame), names=names, column=column, spelled=spelled, source=source)


def _of_arrow(table: pa.Table, name: str) -> Table:
    def source() -> Resource:
        own = fingerprint.table(table)
        return Resource(name=name, sha256=own.sha256, rows=own.rows)

    return Table(
        name=name, rows=table.num_rows, names=tuple(table.column_names), column=table.column, spelled=table.column,
        source=source,
    )  # fmt: skip


def _of_files(paths: Sequence[Path]) -> Table:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    before = files.state(paths)
    name = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    if not all(path.name.lower().endswith((".parquet", ".pq")) for path in paths):
        if len(paths) > 1:
            raise DataError(f"{name} are to be read together", expected="Parquet files, or one CSV file")
        try:
            made = _of_pandas(pd.read_csv(paths[0]), name)
        except (OSError, ValueError) as error:
            raise DataError(f"{paths[0]} cannot be read: {error}", expected="a CSV file") from error
        return Table(
            name=name, rows=made.rows, names=made.names, column=made.column, spelled=made.spelled,
            source=lambda: files.source(paths, before),
        )  # fmt: skip
    try:
        heads = [pq.ParquetFile(path) for path in paths]
        names = [tuple(head.schema_arrow.names) for head in heads]
        rows = sum(head.metadata.num_rows for head in heads)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} cannot be read: {error}", expected="Parquet files") from error
    if any(set(one) != set(names[0]) for one in names):
        raise DataError(f"{name} have different columns", expected="the same columns in every file")

    def column(wanted: str) -> pa.ChunkedArray:
        parts = [head.read(columns=[wanted]) for head in heads]
        return pa.concat_tables(parts, promote_options="permissive").column(0)

    return Table(
        name=name, rows=rows, names=names[0], column=column, spelled=column,
        source=lambda: files.source(paths, before),
    )  # fmt: skip


# --- coding -----------------------------------------------------------------------------------------------


def coded(name: str, tables: Sequence[Table]) -> Column:
    """Return a column of stacked tables, coded.

    Numbers are compared as whole numbers where they are in every table, else as 64-bit floats; times by their moment; where
    one table has numbers and another text, or a column mixes kinds of values, all are compared as text.

    Raises
    ------
    DataError
        If it holds lists, structures or other values that have no order and no text.
    """
    import pyarrow as pa

    parts, types = [], []
    for table in tables:
        try:
            part = table.column(name)
            types.append(_type_of(part.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            part = table.spelled(name)
            types.append(MIXED)
        parts.append(part)
    kinds = ["empty" if pa.types.is_null(part.type) else _kind_of(part.type, name) for part in parts]
    known = set(kinds) - {"empty"}
    kind: Kind = known.pop() if len(known) == 1 else "number" if not known else "text"  # type: ignore[assignment]
    kinds = [MIXED if own == MIXED else one for own, one in zip(types, kinds, strict=True)]
    values, codes = _texts(parts) if kind == "text" else _numbers(parts, kind)
    starts = (0, *np.cumsum([len(part) for part in parts]).tolist())
    return Column(
        name=name, kind=kind, types=tuple(types), kinds=tuple(kinds), values=values, codes=codes, starts=starts
    )


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _type_of(kind: Any) -> str:
    """Return a type by name; categories are named by their values, and all kinds of text are one."""
    import pyarrow as pa

    plain = _plain(kind)
    return "string" if pa.types.is_large_string(plain) or pa.types.is_string_view(plain) else str(plain)


def _kind_of(kind: Any, name: str) -> Kind:
    import pyarrow as pa

    plain, types = _plain(kind), pa.types
    if types.is_boolean(plain) or types.is_integer(plain) or types.is_floating(plain) or types.is_decimal(plain):
        return "number"
    if types.is_temporal(plain) and not types.is_interval(plain):
        return "time"
    if types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain):
        return "text"
    raise DataError(
        f"{name!r} holds values of the type {kind}", expected="numbers, times or text", next_step="leave the column out"
    )


def _numbers(parts: Sequence[pa.ChunkedArray], kind: Kind) -> tuple[Any, Codes]:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = kind == "time" or all(
        pa.types.is_boolean(part.type) or (pa.types.is_integer(_plain(part.type)) and _plain(part.type) != pa.uint64())
        for part in parts
    )
    arrays = []
    decoded = [_decoded(part) for part in parts]  # a dictionary may hold a null that its places do not show
    gone = np.concatenate([pc.is_null(own).to_numpy() for own in decoded])
    for part in decoded:
        own = part
        if kind == "time" and not pa.types.is_null(own.type):
            if pa.types.is_date(own.type) or pa.types.is_timestamp(own.type):
                own = own.cast(pa.timestamp("us", tz=getattr(own.type, "tz", None)), safe=False)
            elif pa.types.is_time(own.type):
                own = own.cast(pa.time64("us"), safe=False)
            else:
                own = own.cast(pa.duration("us"), safe=False)
            own = own.cast(pa.int64())
        target = pa.int64() if whole else pa.float64()
        if pa.types.is_boolean(own.type):
            own = own.cast(pa.int8())
        arrays.append(own.cast(target, safe=False).fill_null(0).to_numpy())
    values = np.concatenate(arrays)
    if not whole:
        values[gone] = np.nan
        values += 0.0  # one zero, not two
    distinct, codes = _placed(values)
    if whole and gone.any():
        codes[gone] = -1
        return _closed(distinct, codes)
    return distinct, codes


def _placed(values: NDArray[Any]) -> tuple[Any, Codes]:
    """Return the distinct numbers, sorted, and the place of each among them; -1 for NaN."""
    import pandas as pd

    if len(np.unique(values[:_FIRST])) > _FIRST // 2:  # as many values as rows: sorted sooner than looked up
        order = np.argsort(values)
        ranked = values[order]
        known = len(values) - int(np.count_nonzero(np.isnan(values)))  # NaN comes last
        new = np.ones(known, dtype=bool)
        np.not_equal(ranked[1:known], ranked[: known - 1], out=new[1:])
        codes = np.full(len(values), -1, dtype=np.int64)
        codes[order[:known]] = np.cumsum(new) - 1
        return ranked[:known][new], codes
    found, distinct = pd.factorize(values)
    order = np.argsort(distinct, kind="stable")
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1  # the code -1 finds the last place
    return distinct[order], place[found]


def _closed(values: Any, codes: Codes) -> tuple[Any, Codes]:
    """Leave out values that no row has."""
    used = np.bincount(codes + 1, minlength=len(values) + 1)[1:] > 0
    place = np.append(np.cumsum(used) - 1, -1)
    return values[used], place[codes]


def _decoded(part: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    return part.cast(part.type.value_type) if pa.types.is_dictionary(part.type) else part


def _texts(parts: Sequence[pa.ChunkedArray]) -> tuple[Any, Codes]:
    import pyarrow as pa

    chunks = [chunk for part in parts for chunk in _as_text(part).chunks]
    whole = pa.chunked_array(chunks, type=pa.large_string()).dictionary_encode().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    values = np.array(whole.dictionary.to_pylist(), dtype=object)
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    blank = np.array([not value.strip() for value in values], dtype=bool)
    if blank.any():
        codes[np.append(blank, False)[codes]] = -1
        return _closed(values, codes)
    return values, codes


def _as_text(part: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    own = _decoded(part)
    if pa.types.is_floating(own.type):  # as Python writes them, so that 1.0 of one table is 1.0 of another
        return pa.chunked_array(
            [pa.array([None if one is None else str(one) for one in own.to_pylist()], pa.large_string())]
        )
    return own.cast(pa.large_string())
