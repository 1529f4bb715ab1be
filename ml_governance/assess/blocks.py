"""Counting columns in memory: codes of the values, combined and counted block by block in the processor's cache.

A column is either :class:`Coded` (categories, dictionaries, text) or :class:`Numbers`, whose small whole values are
codes themselves: labels of 0 and 1 are checked and counted in the same pass, without being hashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence  # noqa: TC003  a named tuple reads its types
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import grouped, labels
from ml_governance.assess.cells import LIMIT, Cells, join
from ml_governance.assess.cube import MAX_CELLS
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK = 1 << 17
"""Rows counted at a time."""
_SMALL = 256
_TRUTHS, _FRACTIONS = (False, True), (0.0, 1.0)
_WHOLE = {1 << bits: range(1 << bits) for bits in range(1, 9)}


class Part(NamedTuple):
    """Some rows of a column as codes: row i has the value ``meanings[codes[i] + shift]``."""

    codes: NDArray[Any]
    shift: int
    meanings: Sequence[Any]


class Coded:
    """A column as codes into its values.

    Parameters
    ----------
    codes : int array of shape (n,)
        Positions in ``values``; -1 where missing.
    values : list
        The values.
    """

    __slots__ = ("codes", "values")

    def __init__(self, codes: NDArray[Any], values: list[Any]) -> None:
        self.codes = codes
        self.values = [None, *values]

    def __len__(self) -> int:
        return len(self.codes)

    def part(self, start: int, stop: int) -> Part:
        """Return the codes of some rows."""
        return Part(self.codes[start:stop], 1, self.values)

    def hashed(self) -> Coded:
        """Return the column without values that do not occur."""
        import pandas as pd

        codes, used = pd.factorize(self.codes)
        return Coded(codes, [self.values[code + 1] for code in used.tolist()])


class Numbers:
    """A column of whole numbers, fractions or truth values without nulls.

    Parameters
    ----------
    values : array of shape (n,)
        The numbers.
    """

    __slots__ = ("values",)

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Part | None:
        """Return the numbers of some rows as their own codes; None if one of them is negative, large or a fraction."""
        own = self.values[start:stop]
        if own.dtype.kind == "b":
            return Part(own, 0, _TRUTHS)
        if own.dtype.kind == "f":
            ones = own == 1
            return Part(ones, 0, _FRACTIONS) if np.count_nonzero(own) == np.count_nonzero(ones) else None
        bits = int(np.bitwise_or.reduce(own))
        return Part(own, 0, _WHOLE[1 << max(bits.bit_length(), 1)]) if 0 <= bits < _SMALL else None

    def hashed(self) -> Coded:
        """Return the column as codes into the values that occur."""
        import pandas as pd

        codes, values = pd.factorize(self.values)
        return Coded(codes, values.tolist())


Column = Coded | Numbers


def column(values: Any, name: str) -> Column:
    """Return a column of anything as codes or numbers.

    Parameters
    ----------
    values : array-like of shape (n,)
        A pandas, Polars or Arrow column, an array or a list.
    name : str
        For messages.

    Raises
    ------
    DataError
        If it is no column.
    """
    import pandas as pd
    import pyarrow as pa

    if hasattr(values, "columns"):
        return _from_array(labels.column(values, name), name)
    if isinstance(values, pd.Categorical | pd.Index):
        values = pd.Series(values)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _from_arrow(values, name)
    if isinstance(values, pd.Series):
        return _from_pandas(values, name)
    if hasattr(values, "to_arrow"):
        return _from_arrow(values.to_arrow(), name)
    return _from_array(labels.column(values, name), name)


def distinct(values: Any, name: str) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the values that occur in a column, missing ones too, and of every row which it has.

    Parameters
    ----------
    values, name
        As :func:`column`.
    """
    own = (
        column(values, name).hashed().hashed()
    )  # first missing values become a code, then only those that occur are kept
    _, *found = own.values  # noqa: PD011  it is no data frame
    return found, own.codes


def _from_pandas(series: Any, name: str) -> Column:
    import pandas as pd
    import pyarrow as pa

    if isinstance(series.dtype, pd.CategoricalDtype):
        return Coded(series.array.codes, series.array.categories.tolist())
    if isinstance(series.dtype, np.dtype):
        return _from_array(series.to_numpy(), name)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return _factorized(series, name)
    try:
        return _from_arrow(pa.array(series, from_pandas=True), name)
    except pa.ArrowException:
        return _factorized(series, name)


def _from_array(array: NDArray[Any], name: str) -> Column:
    import pyarrow as pa

    if array.dtype.kind in "buif":
        return Numbers(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")))
    if array.dtype.kind == "O" and not all(isinstance(value, str) for value in array[:_SMALL]):
        return _factorized(array, name)  # Arrow would make 1 of True beside 1, and 1.0 of 1 beside 2.5
    try:
        return _from_arrow(pa.array(array, from_pandas=True), name)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _factorized(array, name)


def _factorized(values: Any, name: str) -> Coded:
    import pandas as pd

    try:
        codes, found = pd.factorize(values, use_na_sentinel=True)
    except TypeError as error:
        raise DataError(f"{name} has values that cannot be told apart: {error}", expected="plain values") from error
    if found.dtype == object and any(isinstance(one, bool | int | float) and one in {0, 1} for one in found):
        return _told_apart(values)
    return Coded(codes, found.tolist())


def _told_apart(values: Any) -> Coded:
    """Return codes that tell True from 1 and False from 0, which are equal and have one hash."""
    import pandas as pd

    places: dict[tuple[bool, Any], int] = {}
    codes = [
        -1 if missing else places.setdefault((isinstance(value, bool | np.bool_), value), len(places))
        for value, missing in zip(values, pd.isna(values), strict=True)
    ]
    return Coded(np.array(codes, dtype=np.int64), [value for _, value in places])


def _from_arrow(array: Any, name: str) -> Column:
    import pyarrow as pa

    types = pa.types
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    array = grouped.plain(array)
    if types.is_boolean(array.type) and not array.null_count:
        return Numbers(array.to_numpy(zero_copy_only=False))
    if (types.is_integer(array.type) or types.is_floating(array.type)) and not array.null_count:
        return Numbers(array.to_numpy(zero_copy_only=False))
    if types.is_nested(array.type):
        raise DataError(f"{name} has values of the type {array.type}", expected="one value in every row")
    if not types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices
    if codes.null_count:
        codes = codes.cast(pa.int64() if types.is_uint64(codes.type) or types.is_uint32(codes.type) else pa.int32())
        codes = codes.fill_null(-1)
    return Coded(codes.to_numpy(zero_copy_only=False), array.dictionary.to_pylist())


def floats(values: Any, what: str = "sample_weight") -> Floats:
    """Return weights or scores as floats, NaN where there is none.

    Raises
    ------
    DataError
        If they are not numeric.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        grouped.check_numeric(values.type, what)
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    array = labels.column(values, what)
    try:
        if array.dtype.kind == "O" and not any(isinstance(value, str) for value in array):
            array = pd.Series(array).astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        if array.dtype.kind not in "buif":
            raise TypeError(array.dtype)
        made: Floats = array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not numeric", expected=grouped.NUMBERS[what]) from error
    return made


def count(columns: Sequence[Column], weight: Floats | None = None) -> Cells:
    """Count rows by all columns.

    Parameters
    ----------
    columns : sequence of Coded or Numbers
        Columns of equal length.
    weight : array of float64, shape (n,), optional
        Weights.
    """
    columns = list(columns)
    tallies: dict[tuple[int, ...], _Tally] = {}
    for start in range(0, len(columns[0]), BLOCK):
        parts = _parts(columns, start)
        if parts is None:
            return _sample(columns, weight)
        key = tuple(id(part.meanings) for part in parts)
        if key not in tallies:
            tallies[key] = _Tally([part.meanings for part in parts], weighted=weight is not None)
        tallies[key].add(parts, None if weight is None else weight[start : start + BLOCK])
    return join([tally.cells() for tally in tallies.values()]) if tallies else _sample(columns, weight)


def _parts(columns: list[Column], start: int) -> list[Part] | None:
    """Return a block of every column; columns that need it are hashed for good. None: too many combinations."""
    parts = []
    for number, own in enumerate(columns):
        part = own.part(start, start + BLOCK)
        if part is None:
            columns[number] = coded = own.hashed()
            part = coded.part(start, start + BLOCK)
        parts.append(part)
    if _size(parts) > MAX_CELLS:
        coded_all = [own.hashed() for own in columns]
        columns[:] = coded_all
        parts = [own.part(start, start + BLOCK) for own in coded_all]
    return None if _size(parts) > LIMIT else parts


def _size(parts: Sequence[Part]) -> int:
    return math.prod(len(part.meanings) for part in parts)


def _sample(columns: Sequence[Column], weight: Floats | None) -> Cells:
    """Return the first rows as cells of their own: enough to say what is wrong with columns of too many values."""
    parts = [own.hashed().part(0, BLOCK) for own in columns]
    counts = np.ones(len(parts[0].codes), dtype=np.int64)
    first = None if weight is None else weight[:BLOCK]
    return Cells(
        values=tuple(list(part.meanings) for part in parts),
        codes=tuple(part.codes.astype(np.intp) + part.shift for part in parts),
        counts=counts,
        weights=first,
        squares=None if first is None else first * first,
        at_least=len(columns[0]) > 0,
    )


class _Tally:
    """Counts of the blocks whose codes mean the same values."""

    def __init__(self, meanings: list[Sequence[Any]], *, weighted: bool) -> None:
        self.meanings = meanings
        self.shape = tuple(map(len, meanings))
        size = math.prod(self.shape)
        self.kind = np.dtype(np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32)
        self.strides = [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        self.counts = np.zeros(size, dtype=np.int64)
        # Where a cell is one byte, two rows are counted as one number of two bytes.
        self.pairs = np.zeros(1 << 16, dtype=np.int64) if self.kind.itemsize == 1 else None
        self.weights = np.zeros(size) if weighted else None
        self.squares = np.zeros(size) if weighted else None
        self.lowest = np.float64(np.inf)

    def add(self, parts: Sequence[Part], weight: Floats | None) -> None:
        """Count one block. Unsigned arithmetic wraps around, so that a code of -1 becomes right by its shift."""
        shift = sum(part.shift * stride for part, stride in zip(parts, self.strides, strict=True))
        cell = self._as_kind(parts[0].codes) * self.kind.type(self.strides[0])
        cell += self.kind.type(shift)
        for part, stride in zip(parts[1:], self.strides[1:], strict=True):
            own = self._as_kind(part.codes)
            cell += own if stride == 1 else own * self.kind.type(stride)
        size = len(self.counts)
        if self.pairs is not None and len(cell) == BLOCK:
            found = np.bincount(cell.view(np.uint16))
            self.pairs[: len(found)] += found
        else:
            self.counts += np.bincount(cell, minlength=size)
        if weight is not None and self.weights is not None and self.squares is not None:
            self.weights += np.bincount(cell, weights=weight, minlength=size)
            with np.errstate(over="ignore", under="ignore"):  # such weights are refused by their sums
                self.squares += np.bincount(cell, weights=weight * weight, minlength=size)
            self.lowest = np.minimum(self.lowest, weight.min())

    def _as_kind(self, codes: NDArray[Any]) -> NDArray[Any]:
        if codes.dtype.itemsize == self.kind.itemsize and codes.flags.c_contiguous:
            return codes.view(self.kind)
        return codes.astype(self.kind, casting="unsafe")

    def cells(self) -> Cells:
        """Return the cells that occur."""
        if self.pairs is not None:
            both = self.pairs.reshape(1 << 8, 1 << 8)
            self.counts += (both.sum(axis=0) + both.sum(axis=1))[: len(self.counts)]
            self.pairs = None
        used = np.flatnonzero(self.counts)
        return Cells(
            values=tuple(list(own) for own in self.meanings),
            codes=tuple(np.unravel_index(used, self.shape)),
            counts=self.counts[used],
            weights=None if self.weights is None else self.weights[used],
            squares=None if self.squares is None else self.squares[used],
            lowest=float(self.lowest),
        )
