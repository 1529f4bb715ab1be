"""Labels and scores of an Arrow stream, which can be read only once: both are counted from each batch as it passes.

What is kept of a batch are its cells and the score bins that occur, so that memory follows the groups and not the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_governance.assess import engines, grouped, score_scan
from ml_governance.assess.cells import Cells, Roles, join
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from ml_governance.assess.cube import Cube
    from ml_governance.assess.histogram import ScoreCube

TOGETHER = 1_000_000
"""Lines of bins after which they are added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What one pass over a stream leaves.

    Parameters
    ----------
    cells : Cells
        The rows by label, prediction and sensitive columns.
    bins : pyarrow.Table
        The scores by label, sensitive columns and bin, as :func:`ml_governance.assess.score_scan.fetched` gives them.
    roles : Roles
        Which column was what.
    """

    cells: Cells
    bins: pa.Table
    roles: Roles

    def scores(self, by: Sequence[str], cube: Cube, positive: Any) -> ScoreCube:
        """Return the scores by some of the sensitive columns; see :func:`ml_governance.assess.score_scan.scan`."""
        places = [0, *(self.roles.sensitive.index(name) + 1 for name in by), len(self.roles.sensitive) + 1]
        sums = [name for name in self.bins.column_names if not name.startswith("k")]
        chosen = self.bins.select([*(f"k{place}" for place in places), *sums])
        named = chosen.rename_columns([*(f"k{number}" for number in range(len(places))), *sums])
        return score_scan.added([named], replace(self.roles, sensitive=tuple(by)), cube, positive)


def is_stream(data: Any) -> bool:
    """Say whether data can do nothing but hand out an Arrow stream."""
    import narwhals as nw
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, pa.RecordBatchReader):
        return True
    known = (
        isinstance(data, pd.DataFrame | pa.Table | pa.RecordBatch) or engines.is_files(data) or engines.is_dask(data)
    )
    if known or not hasattr(data, "__arrow_c_stream__"):
        return False
    return nw.from_native(data, pass_through=True) is data


def count(data: Any, roles: Roles) -> Passed:
    """Count labels and scores of a stream in one pass.

    Parameters
    ----------
    data : object with an Arrow stream
        For which :func:`is_stream` holds.
    roles : Roles
        Which column is what; with a score.

    Raises
    ------
    DataError
        If the stream is of no table, lacks a column, has nested values, or weights or scores that are not numeric.
    UnavailableError
        If the stream breaks.
    """
    import pyarrow as pa

    reader = engines.opened(data)
    if not isinstance(reader, pa.RecordBatchReader):  # pragma: no cover  is_stream has asked
        raise DataError(f"the data is a {type(data).__name__}", expected="an Arrow stream")
    names = reader.schema.names
    grouped.require(names, roles)
    grouped.check_numeric(reader.schema.field(roles.score or "").type, "y_score")
    cells, bins, lines = (
        [engines.arrow(reader.schema.empty_table(), roles)],
        [_bins(reader.schema.empty_table(), roles)],
        0,
    )
    for batch in reader:
        if not batch.num_rows:
            continue
        table = pa.Table.from_batches([batch])
        cells.append(engines.arrow(table, roles))
        bins.append(_bins(table, roles))
        lines += bins[-1].num_rows
        if lines > TOGETHER:
            cells, bins = [join(cells)], [_added(pa.concat_tables(bins))]
            lines = 0
    return Passed(cells=join(cells), bins=_added(pa.concat_tables(bins)), roles=roles)


def _bins(table: pa.Table, roles: Roles) -> pa.Table:
    import duckdb
    import pyarrow as pa

    plain = {name: _plain(table[name]) for name in grouped.used(roles)}
    with duckdb.connect(":memory:") as connection:
        return score_scan.fetched(connection.from_arrow(pa.table(plain)), roles)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without a dictionary, since every batch may have its own."""
    import pyarrow as pa

    column = grouped.plain(column)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _added(bins: pa.Table) -> pa.Table:
    """Add up what has the same keys."""
    keys = [name for name in bins.column_names if name.startswith("k")]
    how = {score_scan.LOWEST: "min", score_scan.HIGHEST: "max"}
    wanted = [(name, how.get(name, "sum")) for name in bins.column_names if name not in keys]
    found = bins.group_by(keys).aggregate(wanted)
    return found.rename_columns([_shortened(name, wanted) for name in found.column_names])


def _shortened(name: str, wanted: Sequence[tuple[str, str]]) -> str:
    return next((own for own, how in wanted if name == f"{own}_{how}"), name)
