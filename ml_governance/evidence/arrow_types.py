"""Which Arrow types are one type to a digest, and how values of the others become values of it."""

from __future__ import annotations

import re
from typing import Any

from ml_governance.errors import DataError

_OFFSET = re.compile(r"([+-])(\d\d):?00")
_ZONE = re.compile(r"[A-Za-z0-9_+:/-]+")


def children_of(kind: Any) -> list[tuple[str, Any]] | None:
    """Return the names and types of what a nested type holds; None if it is not nested."""
    from pyarrow import types

    if types.is_map(kind):
        return [("", _entries(kind).value_type)]
    if types.is_struct(kind):
        return [(field.name, field.type) for field in kind]
    return [("", kind.value_type)] if _is_list(kind) else None


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(test(kind) for test in tests)


def _entries(kind: Any) -> Any:
    import pyarrow as pa

    return pa.large_list(pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)]))


def is_time(kind: Any) -> bool:
    """Say whether a type counts units of time."""
    from pyarrow import types

    return bool(types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind))


def canonical_type(name: str, kind: Any, *, wide: bool) -> Any:
    """Return the type that stands for all types with the same values.

    Parameters
    ----------
    name : str
        The column, for messages.
    kind : pyarrow.DataType
        A type that is not nested.
    wide : bool
        Whether a value needs nanoseconds or 256 bits.

    Raises
    ------
    DataError
        If no rule says how it counts.
    """
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return canonical_type(name, kind.value_type, wide=wide)
    if _is_stored(kind):
        return canonical_type(name, kind.storage_type, wide=wide)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.large_string()
    if any(
        test(kind)
        for test in (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    ):
        return pa.large_binary()
    unit = "ns" if wide else "us"
    if types.is_timestamp(kind):
        return pa.timestamp(unit, tz=_zone(name, kind.tz))
    if types.is_duration(kind):
        return pa.duration(unit)
    if types.is_time(kind):
        return pa.time64(unit)
    if types.is_date(kind):
        return pa.date32()
    if types.is_decimal(kind):
        return pa.decimal256(76, kind.scale) if wide else pa.decimal128(38, kind.scale)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return kind
    raise DataError(
        f"the column {name!r} has the type {kind}",
        expected="numbers, text, times, booleans, bytes, or lists, structs and maps of them",
        next_step="turn it into one of them, or drop it",
    )


def _zone(name: str, zone: str | None) -> str | None:
    if zone is None:
        return None
    if not _ZONE.fullmatch(zone):
        raise DataError(f"the column {name!r} has the time zone {zone!r}", expected="a name of the time zone database")
    if zone.upper() == "UTC":
        return "UTC"
    found = _OFFSET.fullmatch(zone)
    if not found:
        return zone
    hours = int(found[2])
    return f"Etc/GMT{'-' if found[1] == '+' else '+'}{hours}" if hours else "UTC"


def _is_stored(kind: Any) -> bool:
    """Say whether a type only adds a name to its storage: engines that do not know the name read the storage."""
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name in {"arrow.json", "arrow.uuid"}


class Decoder:
    """Takes the encoding off arrays of one column; it remembers the last dictionary, which arrays often share."""

    def __init__(self) -> None:
        self._last: tuple[Any, Any, Any] = (None, None, None)

    def plain(self, array: Any) -> Any:
        """Return the array without dictionary, run-end encoding, extension name or map."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import types

        while True:
            kind = array.type
            if types.is_dictionary(kind):
                array = self._large(array.dictionary).take(array.indices)
            elif types.is_run_end_encoded(kind):
                whole = pa.RunEndEncodedArray.from_arrays(array.run_ends, self._large(array.values))
                array = pc.run_end_decode(whole.slice(array.offset, len(array)))
            elif _is_stored(kind):
                array = array.storage
            elif types.is_map(kind):
                array = array.cast(_entries(kind))
            else:
                return array

    def _large(self, values: Any) -> Any:
        """Return text and bytes with 64-bit offsets: decoded, they may pass 2 GiB, and Arrow would not notice."""
        import pyarrow as pa
        from pyarrow import types

        if not types.is_string(values.type) and not types.is_binary(values.type):
            return values
        key = (values.offset, len(values), *(buffer and buffer.address for buffer in values.buffers()))
        if self._last[0] != key:
            large = values.cast(pa.large_string() if types.is_string(values.type) else pa.large_binary())
            self._last = (key, values, large)  # the values are kept, so that nothing else gets their addresses
        return self._last[2]
