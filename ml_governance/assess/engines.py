"""Counting wherever the rows are: frames in memory, lazy and SQL engines, files; only the cells come back.

- pandas, and Arrow tables of codes and numbers: :mod:`ml_governance.assess.blocks`;
- Arrow tables with text, and datasets: Arrow's own streaming group-by;
- Dask: each partition as pandas, where it is;
- Polars, eager and lazy, DuckDB, Ibis, PySpark and whatever else narwhals knows: one narwhals expression, which
  each engine runs as its own group-by;
- Parquet and CSV: :mod:`ml_governance.assess.files`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.assess import blocks, grouped
from ml_governance.assess.cells import LIMIT, Cells, Roles, join
from ml_governance.errors import DataError, UnavailableError

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa


def is_files(data: Any) -> bool:
    """Say whether data names files: a path, a pattern, or a list of them."""
    return isinstance(data, str | Path) or (
        isinstance(data, list | tuple) and bool(data) and all(isinstance(one, str | Path) for one in data)
    )


def scan(data: Any, roles: Roles) -> Cells:
    """Count the rows of a table by label, prediction and sensitive columns.

    Parameters
    ----------
    data : table
        pandas, Polars (eager or lazy), pyarrow Table, RecordBatch or Dataset, DuckDB relation, Ibis table, PySpark or
        Dask data frame, anything with an Arrow stream; or paths and patterns of Parquet and CSV files.
    roles : Roles
        Which column is what.

    Raises
    ------
    DataError
        If it is no table, lacks a column, or has weights that are not numeric.
    UnavailableError
        If the engine fails.
    """
    import pandas as pd
    import pyarrow as pa

    distinct(roles)
    if is_files(data):
        from ml_governance.assess import files

        return files.scan(files.expand(data), roles)
    if isinstance(data, pd.DataFrame):
        return _columns(_series(data, roles), roles)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return arrow(data, roles)
    if type(data).__module__.startswith("pyarrow._dataset"):
        grouped.require(data.schema.names, roles)
        return _acero(data, data.schema, roles)
    if is_dask(data):
        return _dask(data, roles)
    return _narwhals(data, roles)


def in_memory(data: Any, roles: Roles) -> dict[str, Any] | None:
    """Return the used columns of a table that is in memory; None if it is elsewhere."""
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, pd.DataFrame):
        return _series(data, roles)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    frame = None if is_dask(data) else nw.from_native(data, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    grouped.require(frame.columns, roles)
    return {name: frame[name].to_native() for name in grouped.used(roles)}


def _series(frame: pd.DataFrame, roles: Roles) -> dict[str, Any]:
    names = [str(name) for name in frame.columns]
    grouped.require(names, roles)
    return {name: frame.iloc[:, names.index(name)] for name in grouped.used(roles)}


def distinct(roles: Roles) -> None:
    """Refuse a table without sensitive columns, or one that is named twice.

    Raises
    ------
    DataError
        If there are none, or one is named twice.
    """
    if not roles.sensitive:
        raise DataError("there are no sensitive features", expected="the name of at least one column")
    if len(set(roles.sensitive)) != len(roles.sensitive):
        raise DataError(f"a sensitive feature is named twice: {', '.join(roles.sensitive)}", expected="each once")


def _columns(columns: dict[str, Any], roles: Roles) -> Cells:
    """Count columns in memory."""
    weight = None if roles.weight is None else blocks.floats(columns[roles.weight])
    return blocks.count([blocks.column(columns[name], name) for name in roles.keys], weight)


# --- Arrow ------------------------------------------------------------------------------------------------


def arrow(table: pa.Table, roles: Roles) -> Cells:
    """Count the rows of an Arrow table; see :func:`scan`."""
    import pyarrow as pa

    grouped.require(table.schema.names, roles)
    table = table.select(grouped.used(roles))
    if any(_is_text(kind) for kind in table.schema.types):
        table = pa.table(dict(zip(table.column_names, map(grouped.plain, table.columns), strict=True)))
        return _acero(table.unify_dictionaries(), table.schema, roles)
    parts = [
        _columns(dict(zip(batch.schema.names, batch.columns, strict=True)), roles)
        for batch in table.to_batches()
        if batch.num_rows
    ]
    return join(parts) if parts else _columns({name: table[name] for name in table.schema.names}, roles)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return not (
        pa.types.is_dictionary(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
    )


def _acero(source: Any, schema: pa.Schema, roles: Roles) -> Cells:
    """Group by with Arrow's engine, batch by batch."""
    import pyarrow as pa
    from pyarrow import acero
    from pyarrow import compute as pc

    for name in roles.keys:
        if pa.types.is_nested(schema.field(name).type):
            raise DataError(f"{name} has values of the type {schema.field(name).type}", expected="plain values")
    if isinstance(source, pa.Table):
        start = acero.Declaration("table_source", acero.TableSourceNodeOptions(source))
    else:
        start = acero.Declaration("scan", acero.ScanNodeOptions(source, columns=grouped.used(roles)))
    keys = [f"k{number}" for number in range(len(roles.keys))]
    chosen, named = [pc.field(name) for name in roles.keys], list(keys)
    sums: list[tuple[Any, str, Any, str]] = [([], "hash_count_all", None, grouped.COUNT)]
    if roles.weight is not None:
        grouped.check_numeric(schema.field(roles.weight).type, "sample_weight")
        weight = pc.field(roles.weight).cast(pa.float64())
        chosen += [weight, pc.multiply(weight, weight)]
        named += ["weight", "square"]
        sums += [
            ("weight", "hash_sum", None, grouped.WEIGHTS),
            ("square", "hash_sum", None, grouped.SQUARES),
            ("weight", "hash_min", None, grouped.LOWEST),
            ("weight", "hash_count", None, grouped.WEIGHTED),
        ]
    steps = [
        start,
        acero.Declaration("project", acero.ProjectNodeOptions(chosen, named)),
        acero.Declaration("aggregate", acero.AggregateNodeOptions(sums, keys=keys)),
    ]
    try:
        found = acero.Declaration.from_sequence(steps).to_table()
    except (pa.ArrowException, OSError) as error:
        raise UnavailableError(f"Arrow could not count the rows: {error}") from error
    return grouped.cells(found, len(keys), weighted=roles.weight is not None)


# --- Dask -------------------------------------------------------------------------------------------------


def is_dask(data: Any) -> bool:
    """Say whether data is a Dask data frame."""
    return type(data).__module__.startswith("dask.") and hasattr(data, "to_delayed")


def _dask(frame: Any, roles: Roles) -> Cells:
    """Count every partition where it is, and add the cells."""
    import dask

    grouped.require([str(name) for name in frame.columns], roles)
    tasks = [dask.delayed(_partition)(part, roles) for part in frame[grouped.used(roles)].to_delayed()]
    try:
        return join(dask.compute(*tasks))
    except DataError:
        raise
    except Exception as error:
        raise UnavailableError(f"dask could not count the rows: {type(error).__name__}: {error}") from error


def _partition(frame: pd.DataFrame, roles: Roles) -> Cells:
    return _columns(_series(frame, roles), roles)


# --- narwhals ---------------------------------------------------------------------------------------------


def opened(data: Any) -> nw.DataFrame[Any] | nw.LazyFrame[Any] | pa.RecordBatchReader:
    """Return what narwhals makes of a table, or a reader of its Arrow stream.

    Raises
    ------
    DataError
        If it is no table.
    """
    import narwhals as nw
    import pyarrow as pa

    try:
        frame: nw.DataFrame[Any] | nw.LazyFrame[Any] = nw.from_native(data)
    except TypeError as error:
        if hasattr(data, "__arrow_c_stream__"):
            with suppress(pa.ArrowException):  # a stream of something else than tables
                return pa.RecordBatchReader.from_stream(data)
        raise DataError(
            f"the data is a {type(data).__name__}", expected="a data frame, a table of an engine, or paths of files"
        ) from error
    return frame


def check_schema(frame: nw.DataFrame[Any] | nw.LazyFrame[Any], roles: Roles) -> None:
    """Refuse a table that lacks a column, or has one of the wrong type.

    Raises
    ------
    DataError
        If weights or scores are no numbers, or keys are nested.
    UnavailableError
        If the engine cannot say.
    """
    import narwhals as nw

    try:
        schema = frame.collect_schema()
    except Exception as error:
        raise failed(frame, error) from error
    grouped.require(schema.names(), roles)
    for what, name in (("sample_weight", roles.weight), ("y_score", roles.score)):
        if name is not None and not (schema[name].is_numeric() or schema[name] == nw.Boolean):
            raise DataError(f"{what} is not numeric, but {schema[name]}", expected=grouped.NUMBERS[what])
    for name in roles.keys:
        if schema[name].is_nested() or schema[name] == nw.Object:
            raise DataError(f"{name} has values of the type {schema[name]}", expected="plain values")


def _narwhals(data: Any, roles: Roles) -> Cells:
    import narwhals as nw
    import pyarrow as pa

    frame = opened(data)
    if isinstance(frame, pa.RecordBatchReader):
        return _stream(frame, roles)
    check_schema(frame, roles)
    if isinstance(frame, nw.DataFrame) and not frame.implementation.is_polars():
        return arrow(frame.select(grouped.used(roles)).to_arrow(), roles)
    try:
        found = _expression(frame.lazy(), roles).collect(backend="pyarrow").to_native()
    except Exception as error:
        raise failed(frame, error) from error
    return grouped.cells(found, len(roles.keys), weighted=roles.weight is not None)


def _expression(frame: nw.LazyFrame[Any], roles: Roles) -> nw.LazyFrame[Any]:
    """Return the count as one expression: the cells, with their sums."""
    import narwhals as nw

    keys = [f"k{number}" for number in range(len(roles.keys))]
    chosen = [nw.col(name).alias(key) for key, name in zip(keys, roles.keys, strict=True)]
    sums = [nw.len().alias(grouped.COUNT)]
    if roles.weight is not None:
        weight = nw.col(roles.weight).cast(nw.Float64)
        chosen += [weight.alias("weight"), (weight * weight).alias("square")]
        sums += [
            nw.col("weight").sum().alias(grouped.WEIGHTS),
            nw.col("square").sum().alias(grouped.SQUARES),
            nw.col("weight").min().alias(grouped.LOWEST),
            nw.col("weight").count().alias(grouped.WEIGHTED),
        ]
    return frame.select(*chosen).group_by(keys, drop_null_keys=False).agg(*sums).head(LIMIT + 1)


def failed(frame: Any, error: Exception) -> UnavailableError:
    """Return the error of an engine that could not count."""
    engine = str(frame.implementation.value)
    return UnavailableError(
        f"{engine} could not count the rows: {type(error).__name__}: {str(error)[:2000]}",
        next_step=f"see whether {engine} can group this table by these columns",
    )


def _stream(reader: pa.RecordBatchReader, roles: Roles) -> Cells:
    import pyarrow as pa

    grouped.require(reader.schema.names, roles)
    parts = [arrow(pa.Table.from_batches([batch]), roles) for batch in reader]
    return join(parts) if parts else arrow(reader.schema.empty_table(), roles)
