r"""The logical digest of one column, fed in pieces of any size: the same content gives the same digest.

The rules, version 1. A table is ``mlgov-table-v1``, the number of rows and of columns, and for each column in
order its name and the digest of the column. A column is SHA-256 over its type, its number of rows, and windows of
1,048,576 rows, each a validity bitmap followed by the values; numbers are little endian.

============================== ======================================================================================
what                           how it counts
============================== ======================================================================================
integers, booleans             as they are, each width a type of its own; booleans as bits
float16, float32, float64      NaN is null, because pandas, Polars and Arrow do not agree which of the two they hold;
                               -0.0 is 0.0
text, bytes                    every Arrow layout, dictionaries and categories included, is one type: 64-bit offsets
                               that begin with 0 in each window, then the bytes; bytes of a fixed size are bytes;
                               a column of nothing but nulls without a type is text
timestamp, time, duration      64-bit microseconds; nanoseconds if the column has a value that is no whole microsecond,
                               so that nothing is rounded and the unit does not count where it says nothing
time zones                     count by name; ``+00:00`` is ``UTC``, and ``+02:00`` is ``Etc/GMT-2``
date                           32-bit days
decimal                        the scale counts; the precision is a limit, not content, and does not: 128 bits, or
                               256 if the column has a value of more than 38 digits
categories                     are their values; which ones could be there, and in what order, does not count
list                           of any kind (large, fixed size, view): each one's length; then the column of all
                               elements
map                            a list of structs with the fields ``key`` and ``value``; the order of entries counts
struct                         each field as a column, with its name, in order; the fields of a null are null
null                           a zero bit and a zero value: what lies behind a null never counts
============================== ======================================================================================

A column inside another one has windows of its own; its number of rows and digest follow the windows of the outer one.
Refused, because their bytes do not say all they mean or engines differ: extension types other than JSON (text) and
UUID (bytes), unions, intervals of months, dictionaries of nested values.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError
from ml_governance.evidence import arrow_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

WINDOW = 1 << 20
_BLOCK = 1 << 15  # words worked on at a time: small enough to stay in a core's own cache
_INFINITY = {2: 0x7C00, 4: 0x7F80_0000, 8: 0x7FF0_0000_0000_0000}

_Place = tuple[int, ...]


class _TooNarrowError(Exception):
    """A value does not fit the narrower of the two types its column could have."""

    def __init__(self, path: _Place) -> None:
        super().__init__()
        self.path = path


def digest_column(name: str, kind: pa.DataType, rows: int, pieces: Callable[[], Iterable[Any]]) -> tuple[str, bytes]:
    """Return the canonical type and the digest of a column that can be read more than once.

    Parameters
    ----------
    name : str
        For messages.
    kind : pyarrow.DataType
        The type of every piece.
    rows : int
        How many rows the pieces have together.
    pieces : callable
        Returns Arrow arrays in order. It is called again when a value turns out to need nanoseconds or 256 bits.

    Raises
    ------
    DataError
        If the type is refused, a value does not fit its canonical type, or the pieces have other than `rows` rows.
    """
    wide: frozenset[_Place] = frozenset()
    while True:
        column = ColumnDigest(name, kind, rows=rows, wide=wide)
        try:
            for piece in pieces():
                column.push(piece)
            return column.text, column.digest()
        except _TooNarrowError as error:
            if error.path in wide:
                raise DataError(f"the column {name!r} has a value that fits no type of its kind") from error
            wide |= {error.path}


def digest_table(rows: int, columns: Iterable[tuple[str, bytes]], count: int) -> str:
    """Return the digest of a table from the names and digests of its columns, as hexadecimal digits."""
    hasher = hashlib.sha256(b"mlgov-table-v1" + struct.pack("<QQ", rows, count))
    for name, digest in columns:
        hasher.update(_named(name) + digest)
    return hasher.hexdigest()


def _named(name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the column name {name!r} is no Unicode text", expected="names without surrogates") from error
    return struct.pack("<Q", len(encoded)) + encoded


class ColumnDigest:
    """The digest of one column, fed in pieces; it holds one window.

    Parameters
    ----------
    name : str
        For messages.
    kind : pyarrow.DataType
        The type of every piece.
    rows : int or None
        How many rows will come; None inside another column, where the number is hashed at the end.
    path : tuple of int
        Where in a nested column this one is.
    wide : frozenset of tuple of int
        Which columns need nanoseconds or 256 bits.
    """

    def __init__(
        self,
        name: str,
        kind: pa.DataType,
        *,
        rows: int | None,
        path: _Place = (),
        wide: frozenset[_Place] = frozenset(),
    ) -> None:
        import pyarrow as pa

        self.name = name
        self.rows = 0
        self._expected = rows
        self._path = path
        self._wide = path in wide
        self._decoder = arrow_types.Decoder()
        self._waiting: list[Any] = []
        self._held = 0
        self._children: list[tuple[bytes, ColumnDigest]] = []
        nested = arrow_types.children_of(kind)
        for number, (label, child) in enumerate(nested or ()):
            inner = ColumnDigest(name, child, rows=None, path=(*path, number), wide=wide)
            self._children.append((_named(label), inner))
        if nested is None:
            self._kind = arrow_types.canonical_type(name, kind, wide=self._wide)
            self.text = tag = str(self._kind)
        else:
            self._kind = None
            kind_of_nest = "struct" if pa.types.is_struct(kind) else "list"
            tag = f"{kind_of_nest}<{len(nested)}>"
            inside = ", ".join(
                f"{label}: {c.text}" if label else c.text
                for (label, _), (_, c) in zip(nested, self._children, strict=True)
            )
            self.text = f"{kind_of_nest}<{inside}>"
            if len({label for label, _ in nested}) != len(nested):
                raise DataError(f"the column {name!r} has fields of the same name", expected="distinct field names")
        self._hasher = hashlib.sha256(b"T" + tag.encode() + (struct.pack("<Q", rows) if rows is not None else b""))

    def push(self, array: Any) -> None:
        """Add rows."""
        start = 0
        while start < len(array):
            taken = array.slice(start, WINDOW - self._held)
            self._waiting.append(taken)
            self._held += len(taken)
            start += len(taken)
            if self._held == WINDOW:
                self._flush()

    def digest(self) -> bytes:
        """Return the digest; nothing can be pushed after it.

        Raises
        ------
        DataError
            If other than the announced number of rows came.
        """
        if self._held:
            self._flush()
        if self._expected not in {None, self.rows}:
            raise DataError(
                f"the column {self.name!r} has {self.rows:,} rows", expected=f"{self._expected:,}, as the table says"
            )
        for label, child in self._children:
            digest = child.digest()
            self._hasher.update(label + struct.pack("<Q", child.rows) + digest)
        return self._hasher.digest()

    def _flush(self) -> None:
        import pyarrow as pa

        try:
            plain = [self._decoder.plain(piece) for piece in self._waiting]
            if self._kind is None:
                self._nested(plain)
            else:
                settled = [self._settled(piece, alone=len(plain) == 1) for piece in plain]
                self._leaf(settled[0] if len(settled) == 1 else pa.concat_arrays(settled))
        except pa.ArrowException as error:
            raise DataError(
                f"the column {self.name!r} cannot be digested: {error}", expected="values that fit their type"
            ) from error
        self.rows += self._held
        self._waiting, self._held = [], 0

    def _settled(self, array: Any, *, alone: bool) -> Any:
        """Return the array with the values of the canonical type, except that nanoseconds are left for later."""
        import pyarrow as pa
        from pyarrow import types

        kind = array.type
        if alone and (types.is_string(kind) or types.is_binary(kind)):
            return array
        if types.is_decimal128(kind) or (arrow_types.is_time(kind) and kind.unit == "ns"):
            return array
        if types.is_decimal256(kind) and not self._wide:
            try:
                return array.cast(self._kind)
            except pa.ArrowInvalid:
                raise _TooNarrowError(self._path) from None
        return array if kind == self._kind else array.cast(self._kind)

    def _leaf(self, array: Any) -> None:
        from pyarrow import types

        kind, count, (validity, data, *rest) = array.type, len(array), array.buffers()
        bits = _bits(validity, array.offset, count) if array.null_count else None
        if types.is_boolean(kind):
            values = _bits(data, array.offset, count)
            self._bitmap(bits, count)
            self._hasher.update((values if bits is None else values & bits).data)
        elif rest:
            self._bitmap(bits, count)
            self._text(array, None if bits is None else _unpacked(bits, count))
        else:
            width = min(kind.bit_width // 8, 8)
            lanes = kind.bit_width // 8 // width
            words = np.frombuffer(data, f"<i{width}")[array.offset * lanes : (array.offset + count) * lanes]
            valid = None if bits is None else _unpacked(bits, count)
            floating = types.is_floating(kind)
            finer = arrow_types.is_time(kind) and kind.unit == "ns" and not self._wide
            if floating and _has_nan(words):
                valid = _not_nan(words, valid)
                bits = np.packbits(valid, bitorder="little")
            self._bitmap(bits, count)
            if valid is not None and lanes > 1:
                valid = np.repeat(valid, lanes)
            self._words(words, valid, floating=floating, thousandths=finer)

    def _bitmap(self, bits: Any, count: int) -> None:
        self._hasher.update((_ones(count) if bits is None else bits).data)

    def _words(self, words: NDArray[Any], valid: Any, *, floating: bool, thousandths: bool) -> None:
        if valid is None and not floating and not thousandths:
            self._hasher.update(words.data)
            return
        lowest = np.iinfo(words.dtype).min  # as a float, these bits are -0.0
        mask = None if valid is None else np.negative(valid.view(np.int8))
        kept = np.empty(_BLOCK, words.dtype)
        for start in range(0, len(words), _BLOCK):
            block = words[start : start + _BLOCK]
            if mask is not None:
                out = kept[: len(block)]
                np.copyto(out, mask[start : start + _BLOCK])
                block = np.bitwise_and(out, block, out=out)
            if floating and block.min() == lowest:
                block = np.where(block == lowest, np.zeros(1, words.dtype), block)
            if thousandths:
                whole = block // 1000
                if (whole * 1000 != block).any():
                    raise _TooNarrowError(self._path)
                block = whole
            self._hasher.update(block.data)

    def _text(self, array: Any, valid: Any) -> None:
        offsets = _offsets(array)
        if valid is not None and _behind_null(offsets, valid):
            array = array.fill_null(b"" if "binary" in str(array.type) else "")
            offsets = _offsets(array)
        first, last = int(offsets[0]), int(offsets[-1])
        moved = np.empty(_BLOCK, np.int64)
        for start in range(0, len(offsets), _BLOCK):
            block = offsets[start : start + _BLOCK]
            self._hasher.update(np.subtract(block, first, out=moved[: len(block)]).data)
        if last > first:
            self._hasher.update(memoryview(array.buffers()[2])[first:last])

    def _nested(self, arrays: list[Any]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if any(array.null_count for array in arrays):
            valid = np.concatenate([array.is_valid().to_numpy(zero_copy_only=False) for array in arrays])
            self._bitmap(np.packbits(valid, bitorder="little"), self._held)
        else:
            self._bitmap(None, self._held)
        for array in arrays:
            if not pa.types.is_struct(array.type):
                lengths = pc.list_value_length(array).cast(pa.int64()).fill_null(0)
                self._hasher.update(lengths.to_numpy().data)
            inside = array.flatten()
            for (_, child), values in zip(
                self._children, inside if isinstance(inside, list) else [inside], strict=True
            ):
                child.push(values)


def _ones(count: int) -> NDArray[np.uint8]:
    bits = np.full((count + 7) // 8, 255, np.uint8)
    if count % 8:
        bits[-1] = (1 << count % 8) - 1
    return bits


def _bits(buffer: Any, offset: int, count: int) -> NDArray[np.uint8]:
    """Return bits of a bitmap, packed from the first one on, with zeros after the last."""
    size = (offset % 8 + count + 7) // 8
    bits = np.frombuffer(buffer, np.uint8, count=size, offset=offset // 8)
    if offset % 8:
        return np.packbits(np.unpackbits(bits, bitorder="little")[offset % 8 :][:count], bitorder="little")
    return bits & _ones(count) if count % 8 else bits


def _unpacked(bits: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.unpackbits(bits, count=count, bitorder="little")


def _offsets(array: Any) -> NDArray[Any]:
    from pyarrow import types

    large = types.is_large_string(array.type) or types.is_large_binary(array.type)
    return np.frombuffer(array.buffers()[1], "<i8" if large else "<i4")[array.offset :][: len(array) + 1]


def _behind_null(offsets: NDArray[Any], valid: NDArray[np.uint8]) -> bool:
    begins, ends = offsets[:-1], offsets[1:]
    for start in range(0, len(valid), _BLOCK):
        block = slice(start, start + _BLOCK)
        if np.greater(begins[block] != ends[block], valid[block]).any():
            return True
    return False


def _has_nan(words: NDArray[Any]) -> bool:
    largest, infinity = np.iinfo(words.dtype).max, _INFINITY[words.itemsize]
    kept = np.empty(_BLOCK, words.dtype)
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK]
        if np.bitwise_and(block, largest, out=kept[: len(block)]).max() > infinity:
            return True
    return False


def _not_nan(words: NDArray[Any], valid: Any) -> NDArray[np.uint8]:
    number = np.empty(len(words), np.uint8)
    largest, infinity = np.iinfo(words.dtype).max, _INFINITY[words.itemsize]
    for start in range(0, len(words), _BLOCK):
        number[start : start + _BLOCK] = (words[start : start + _BLOCK] & largest) <= infinity
    return number if valid is None else number & valid
