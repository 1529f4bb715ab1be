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

    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return children_of(kind.value_type)
    if types.is_map(kind):
        return [("", _entries(kind).value_type)]
    if types.is_struct(kind):
        return [(field.name, field.type) for field in kind]
    if (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    ):
        return [("", kind.value_type)]
    return None


def is_struct(kind: Any) -> bool:
    """Say whether a type is a struct, encoded in whatever way."""
    from pyarrow import types

    while types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    return bool(types.is_struct(kind))


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
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.large_string()
    if types.is_fixed_size_binary(kind) or types.is_binary_view(kind) or types.is_large_binary(kind):
        return pa.large_binary()
    if types.is_binary(kind):
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


def plain(array: Any) -> Any:
    """Return the array without dictionary, run-end encoding or map."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    while True:
        kind = array.type
        if types.is_dictionary(kind):
            values = array.dictionary
            if types.is_string(values.type) or types.is_binary(values.type):  # decoded, they may pass 2 GiB
                values = values.cast(pa.large_string() if types.is_string(values.type) else pa.large_binary())
            array = values.take(array.indices)
        elif types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        elif types.is_map(kind):
            array = array.cast(_entries(kind))
        else:
            return array
