"""What a group-by hands back, on whatever engine it ran: one small Arrow table of keys and sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.cells import LIMIT, Cells
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from ml_governance.assess.cells import Roles

COUNT, WEIGHTS, SQUARES, LOWEST, WEIGHTED = "n", "w", "w2", "low", "nw"
"""Columns: rows, sum of weights, sum of their squares, smallest weight, rows with a weight; keys are k0, k1, ..."""


NUMBERS = {"sample_weight": "numbers of 0 or more", "y_score": "probabilities of the positive class"}
"""What columns of numbers are to hold."""


def used(roles: Roles) -> list[str]:
    """Return the columns that are read, each once."""
    return list(dict.fromkeys([*roles.keys, *(name for name in (roles.weight, roles.score) if name)]))


def require(names: Sequence[str], roles: Roles) -> None:
    """Refuse a table that lacks a column, or has it twice.

    Raises
    ------
    DataError
        With the columns that there are.
    """
    for name in used(roles):
        if list(names).count(name) != 1:
            shown = ", ".join(list(names)[:20]) + (", ..." if len(names) > 20 else "")
            what = "no column" if name not in names else "more than one column"
            raise DataError(f"the data has {what} {name!r}", expected=f"one of {shown}")


def check_numeric(kind: pa.DataType, what: str) -> None:
    """Refuse weights or scores of an Arrow type that is no number.

    Raises
    ------
    DataError
        If it is none.
    """
    import pyarrow as pa

    types = pa.types
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)):
        raise DataError(f"{what} is not numeric, but {kind}", expected=NUMBERS[what])


def cells(found: pa.Table, keys: int, *, weighted: bool) -> Cells:
    """Return the result of a group-by as cells.

    Parameters
    ----------
    found : pyarrow.Table
        Columns ``k0``, ``k1``, ...: the keys; ``n``: rows; and, weighted, ``w``, ``w2``: sums of weights and of their
        squares, ``low``: the smallest weight, ``nw``: rows with a weight.
    keys : int
        How many keys.
    weighted : bool
        Whether there are weights.
    """
    at_least = found.num_rows > LIMIT
    found = found.slice(0, LIMIT).unify_dictionaries()
    values, codes = [], []
    for number in range(keys):
        own, names = encoded(found[f"k{number}"])
        codes.append(own)
        values.append(names)
    counts = found[COUNT].to_numpy().astype(np.int64)
    sums: dict[str, Any] = {}
    if weighted:
        for field, name in (("weights", WEIGHTS), ("squares", SQUARES)):
            sums[field] = found[name].fill_null(0.0).to_numpy().astype(np.float64)
        complete = bool((found[WEIGHTED].to_numpy() == counts).all())
        lowest = found[LOWEST].to_numpy().astype(np.float64)
        sums["lowest"] = float(lowest.min(initial=np.inf)) if complete else np.nan  # a null weight is not in the sums
    return Cells(values=tuple(values), codes=tuple(codes), counts=counts, at_least=at_least, **sums)


def plain(array: Any) -> Any:
    """Return an Arrow array or column in a layout that has all of Arrow's functions."""
    import pyarrow as pa
    from pyarrow import compute as pc

    types = pa.types
    if types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    return array.cast(pa.float32()) if types.is_float16(array.type) else array


def encoded(column: pa.ChunkedArray) -> tuple[Any, list[Any]]:
    """Return a key as positions in its values, the first of which is null."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    array = plain(array)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    own = array.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return own + 1, [None, *array.dictionary.to_pylist()]
