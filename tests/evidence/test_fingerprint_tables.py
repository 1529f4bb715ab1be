"""Laws of the logical digest: layouts do not count, every cell does, and an oracle in plain Python agrees."""

from __future__ import annotations

import hashlib
import math
import struct
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml_governance.errors import DataError, VerificationError
from ml_governance.evidence import fingerprint, table_digest, table_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
EARLY, LATE = datetime(1900, 1, 1), datetime(2200, 1, 1)
LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.float64(), st.floats() | st.just(-0.0)),
    (pa.float32(), st.floats(width=32) | st.just(-0.0)),
    (pa.string(), TEXT),
    (pa.binary(), st.binary(max_size=4)),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates(date(1900, 1, 1), date(2200, 1, 1))),
    (pa.timestamp("us", "UTC"), st.datetimes(EARLY, LATE, timezones=st.just(UTC))),
    (pa.timestamp("ms"), st.datetimes(EARLY, LATE).map(lambda t: t.replace(microsecond=0))),
    (pa.timestamp("ns"), st.integers(-(2**60), 2**60)),
    (pa.duration("us"), st.timedeltas(timedelta(-9999), timedelta(9999))),
    (pa.time64("us"), st.times()),
    (pa.decimal128(10, 2), st.decimals(-9999, 9999, places=2)),
]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return pairs of a type and its values: lists, structs and maps of such pairs."""

    def rows(pair: Any) -> Any:
        return st.lists(st.none() | pair[1], max_size=3)

    lists = inner.map(lambda pair: (pa.list_(pair[0]), rows(pair)))
    fixed = inner.map(lambda pair: (pa.list_(pair[0], 2), st.lists(st.none() | pair[1], min_size=2, max_size=2)))
    structs = st.tuples(inner, inner).map(
        lambda pairs: (
            pa.struct([("a", pairs[0][0]), ("b.c", pairs[1][0])]),
            st.fixed_dictionaries({"a": st.none() | pairs[0][1], "b.c": st.none() | pairs[1][1]}),
        )
    )
    maps = inner.map(
        lambda pair: (pa.map_(pa.string(), pair[0]), st.lists(st.tuples(TEXT, st.none() | pair[1]), max_size=3))
    )
    return lists | fixed | structs | maps


KINDS = st.recursive(st.sampled_from(LEAVES), nested, max_leaves=3)


@st.composite
def arrays(draw: Any, kinds: Any = KINDS, min_size: int = 0) -> pa.Array:
    kind, values = draw(kinds)
    return pa.array(draw(st.lists(st.none() | values, min_size=min_size, max_size=12)), kind)


@contextmanager
def small_windows(window: int = 4, block: int = 3, batch: int = 3) -> Iterator[None]:
    """Make every edge of windows, blocks and batches near."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_digest, "WINDOW", window)
        patch.setattr(table_digest, "_BLOCK", block)
        patch.setattr(table_source, "_BATCH", batch)
        yield


def digest(data: Any) -> str:
    if isinstance(data, pa.Array | pa.ChunkedArray):
        data = pa.table({"x": data})
    return fingerprint.table(data).sha256


# -- an oracle that shares no code with the digest


def packed(bits: list[bool]) -> bytes:
    number = sum(1 << i for i, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")


def oracle_column(kind: str, values: list[Any], window: int, *, top: bool = True) -> bytes:
    """Digest a column of 'int64', 'double', 'bool', 'large_string', ('list', kind) or ('struct', {name: kind})."""
    if kind == "double":
        values = [None if v is None or math.isnan(v) else v for v in values]
    tag = kind if isinstance(kind, str) else {"list": "list<1>", "struct": f"struct<{len(kind[1])}>"}[kind[0]]
    out = b"T" + tag.encode() + (struct.pack("<Q", len(values)) if top else b"")
    for start in range(0, len(values), window):
        part = values[start : start + window]
        out += packed([v is not None for v in part])
        if kind == "int64":
            out += b"".join(struct.pack("<q", v or 0) for v in part)
        elif kind == "double":
            out += b"".join(struct.pack("<d", v or 0.0) for v in part)
        elif kind == "bool":
            out += packed([bool(v) for v in part])
        elif kind == "large_string":
            encoded = [(v or "").encode() for v in part]
            ends = [0, *(sum(map(len, encoded[: i + 1])) for i in range(len(encoded)))]
            out += struct.pack(f"<{len(ends)}q", *ends) + b"".join(encoded)
        elif kind[0] == "list":
            out += b"".join(struct.pack("<q", len(v or [])) for v in part)
    inside: list[tuple[str, Any, list[Any]]] = []
    if kind[0] == "list":
        inside = [("", kind[1], [x for v in values for x in v or []])]
    elif kind[0] == "struct":
        inside = [(name, k, [None if v is None else v[name] for v in values]) for name, k in kind[1].items()]
    for name, k, items in inside:
        named = struct.pack("<Q", len(name.encode())) + name.encode()
        out += named + struct.pack("<Q", len(items)) + oracle_column(k, items, window, top=False)
    return hashlib.sha256(out).digest()


ORACLE: list[tuple[Any, pa.DataType, st.SearchStrategy[Any]]] = [
    ("int64", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ("double", pa.float64(), st.floats() | st.just(-0.0)),
    ("bool", pa.bool_(), st.booleans()),
    ("large_string", pa.string(), TEXT),
]
ORACLE += [(("list", k), pa.list_(t), st.lists(st.none() | v, max_size=3)) for k, t, v in ORACLE[:4]]
ORACLE += [
    (
        ("struct", {"é": ORACLE[i][0], "b": ORACLE[j][0]}),
        pa.struct([("é", ORACLE[i][1]), ("b", ORACLE[j][1])]),
        st.fixed_dictionaries({"é": st.none() | ORACLE[i][2], "b": st.none() | ORACLE[j][2]}),
    )
    for i, j in ((0, 3), (1, 7), (5, 2))
]
ORACLE += [(("list", ORACLE[8][0]), pa.list_(ORACLE[8][1]), st.lists(st.none() | ORACLE[8][2], max_size=3))]


@settings(max_examples=300)
@given(st.data(), st.sampled_from(ORACLE), st.integers(1, 9))
def test_an_oracle_in_plain_python_agrees(data: Any, which: Any, window: int) -> None:
    kind, arrow, values = which
    rows = data.draw(st.lists(st.none() | values, max_size=20))
    head = b"mlgov-table-v1" + struct.pack("<QQQ", len(rows), 1, 1) + b"x"
    expected = hashlib.sha256(head + oracle_column(kind, rows, window)).hexdigest()
    with small_windows(window):
        assert digest(pa.array(rows, arrow)) == expected


def test_digests_given_before_do_not_change() -> None:
    frame = pd.DataFrame({"i": [1, 2, 3], "f": [0.5, np.nan, -0.0], "s": ["a", None, "é"], "b": [True, False, True]})
    assert digest(frame) == PINNED["frame"]
    times = pa.array([0, None, 10**15], pa.timestamp("us", "UTC"))
    assert digest(pa.table({"t": times, "d": pa.array([1, None, 3], pa.date32())})) == PINNED["times"]
    assert digest(pd.DataFrame({"a": np.arange(1_100_000) / 7})) == PINNED["long"]


PINNED = {
    "frame": "0f5ee797718689e765b5443efd58069cc3cf328b63ff87be82b3ef00b9667a42",
    "times": "ade90845bba4acda591fae2313ce3290a4073971b9fca2dee3f78ee2c5140019",
    "long": "1fc26fc49ccbcc65e459ce597d1c6b2cc0f8580457df576080bf0f9a2b2b39e1",
}


# -- layouts do not count


def cut(array: pa.Array, cuts: list[int]) -> pa.ChunkedArray:
    """Return the array in chunks that are slices of buffers with other rows around them."""
    padded = pa.concat_arrays([array[:2], array, array[:1]]).slice(min(2, len(array)), len(array))
    edges = sorted({0, len(array), *(c for c in cuts if c < len(array))})
    pairs = pairwise(edges)
    return pa.chunked_array([padded.slice(a, b - a) for a, b in pairs], array.type)


@settings(max_examples=300)
@given(arrays(), st.lists(st.integers(0, 12), max_size=4))
def test_chunks_and_slices_do_not_count(array: pa.Array, cuts: list[int]) -> None:
    with small_windows():
        assert digest(cut(array, cuts)) == digest(array)


def has_null_list(array: pa.Array) -> bool:
    """Say whether there is a null at any depth above the leaves."""
    if not pa.types.is_nested(array.type):
        return False
    return bool(array.null_count) or any(
        has_null_list(inside)
        for inside in (
            array.flatten()
            if pa.types.is_struct(array.type)
            else [array.keys, array.items]
            if pa.types.is_map(array.type)
            else [array.flatten()]
        )
    )


@settings(max_examples=150)
@given(arrays(), st.integers(1, 5), st.booleans(), st.sampled_from(["1.0", "2.6"]), st.sampled_from(["NONE", "ZSTD"]))
def test_parquet_layouts_do_not_count(
    tmp_path_factory: Any, array: pa.Array, group: int, coded: bool, version: str, compression: str
) -> None:
    assume("fixed_size_list" not in str(array.type) or not has_null_list(array))  # pyarrow cannot read them back
    path = tmp_path_factory.mktemp("parquet") / "t.parquet"
    if version == "1.0" and "[ns" in str(array.type):
        version = "2.6"  # the old version has no nanoseconds
    table = pa.table({"x": array, "x.y": array})
    pq.write_table(
        table,
        path,
        row_group_size=group,
        use_dictionary=coded,
        version=version,
        compression=compression,
        data_page_size=32,  # one of a single null list is lost by Arrow's writer if it is smaller
    )
    with small_windows():
        assert fingerprint.of(path).sha256 == digest(table)


@settings(max_examples=150)
@given(arrays())
def test_polars_and_pandas_hold_the_same_table(array: pa.Array) -> None:
    table = pa.table({"x": array})
    expected = digest(table)
    assert digest(pl.from_arrow(table)) == expected
    assert digest(pl.from_arrow(table).lazy()) == expected
    assert digest(table.to_pandas(types_mapper=pd.ArrowDtype)) == expected


@given(
    arrays(st.sampled_from([leaf for leaf in LEAVES if leaf[0] in {pa.int64(), pa.float64(), pa.string(), pa.bool_()}]))
)
def test_encodings_do_not_count(array: pa.Array) -> None:
    expected = digest(array)
    chunks = [array[:5].dictionary_encode(), array[5:].dictionary_encode()]
    assert digest(pa.chunked_array(chunks)) == expected
    assert digest(pa.compute.run_end_encode(array).slice(0)) == expected
    if len(array) > 1:
        assert digest(pa.compute.run_end_encode(array).slice(1)) == digest(array[1:])
    nested = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
    coded = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array.dictionary_encode())
    assert digest(coded) == digest(nested)
    assert digest(pa.chunked_array([coded, coded])) == digest(pa.chunked_array([nested, nested]))


@given(arrays(st.just((pa.string(), TEXT))))
def test_text_of_any_kind_is_one_type(array: pa.Array) -> None:
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.large_string())):
        assert digest(array.cast(kind)) == digest(array)
    raw = array.cast(pa.binary())
    for kind in (pa.large_binary(), pa.binary_view()):
        assert digest(raw.cast(kind)) == digest(raw)
    words = array.to_pylist()
    for series in (pd.Series(words, dtype=object), pd.Series(words, dtype="category"), pd.Series(words, dtype="str")):
        if any(word is not None for word in words):
            assert digest(pd.DataFrame({"x": series})) == digest(array)


@given(st.lists(st.none() | st.lists(st.none() | st.integers(-9, 9), min_size=2, max_size=2), max_size=9))
def test_lists_of_any_kind_are_one_type(rows: list[Any]) -> None:
    inner = pa.int64()
    expected = digest(pa.array(rows, pa.list_(inner)))
    for kind in (pa.large_list(inner), pa.list_(inner, 2), pa.list_view(inner), pa.large_list_view(inner)):
        array = pa.array(rows, kind)
        assert digest(array) == expected
        assert digest(array[1:]) == digest(pa.array(rows[1:], pa.list_(inner)))
    named = pa.list_(pa.field("element", inner, nullable=True, metadata={"a": "b"}))
    assert digest(pa.array(rows, named)) == expected


@given(arrays(st.just((pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(TEXT, st.integers(0, 9)), max_size=3)))))
def test_a_map_is_a_list_of_its_entries(array: pa.Array) -> None:
    entries = [None if row is None else [{"key": k, "value": v} for k, v in row] for row in array.to_pylist()]
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))
    assert digest(array) == digest(pa.array(entries, kind))
    renamed = pa.map_(pa.field("k", pa.string(), nullable=False), pa.field("v", pa.int64()))
    assert digest(pa.array(array.to_pylist(), renamed)) == digest(array)


@settings(max_examples=200)
@given(arrays(min_size=1), st.data())
def test_what_lies_behind_a_null_does_not_count(array: pa.Array, data: Any) -> None:
    hidden = data.draw(st.lists(st.booleans(), min_size=len(array), max_size=len(array)))
    bits = [bool(valid) and not h for valid, h in zip(array.is_valid().to_pylist(), hidden, strict=True)]
    covered = covering(array, pa.py_buffer(packed(bits)))
    clean = pa.array([v if bit else None for v, bit in zip(scalars(array), bits, strict=True)], array.type)
    assert digest(covered) == digest(clean)


def covering(array: pa.Array, bits: pa.Buffer) -> pa.Array:
    """Return the array with other validity, whatever the buffers hold behind it."""
    kind, rest = array.type, array.buffers()
    if pa.types.is_struct(kind):
        return pa.Array.from_buffers(kind, len(array), [bits], children=[array.field(i) for i in range(len(kind))])
    if pa.types.is_map(kind):
        entries = pa.StructArray.from_arrays([array.keys, array.items], fields=[kind.key_field, kind.item_field])
        return pa.Array.from_buffers(kind, len(array), [bits, rest[1]], children=[entries])
    if pa.types.is_nested(kind):
        own = [bits] if pa.types.is_fixed_size_list(kind) else [bits, rest[1]]
        return pa.Array.from_buffers(kind, len(array), own, children=[array.values])
    return pa.Array.from_buffers(kind, len(array), [bits, *rest[1:]])


def scalars(array: pa.Array) -> list[Any]:
    """Return Python values, of nanoseconds the numbers."""
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        return array.cast(pa.int64()).to_pylist()
    if "[ns]" in str(array.type):
        assume(False)
    return array.to_pylist()


# -- content does


@settings(max_examples=200)
@given(arrays(min_size=1), st.data())
def test_every_cell_counts(array: pa.Array, data: Any) -> None:
    row = data.draw(st.integers(0, len(array) - 1))
    other = data.draw(arrays(st.just(of_type(array)), min_size=1))
    changed = pa.concat_arrays([array[:row], other[:1], array[row + 1 :]])
    with small_windows():
        assert (digest(changed) == digest(array)) == (canonical(changed) == canonical(array))


def of_type(array: pa.Array) -> tuple[pa.DataType, Any]:
    """Return values to put into the array: its own, and for leaves any."""
    for kind, values in LEAVES:
        if kind == array.type:
            return kind, values
    assume("[ns]" not in str(array.type))
    return array.type, st.sampled_from(array.to_pylist())


def canonical(array: pa.Array) -> list[Any]:
    """Return values that are equal where they count as equal."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return None if math.isnan(value) else value + 0.0
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    return [plain(v) for v in scalars(array)]


@settings(max_examples=150)
@given(arrays(min_size=2), st.randoms(use_true_random=False))
def test_row_order_counts(array: pa.Array, random: Any) -> None:
    order = list(range(len(array)))
    random.shuffle(order)
    moved = array.take(pa.array(order))
    with small_windows():
        assert (digest(moved) == digest(array)) == (canonical(moved) == canonical(array))


@given(st.lists(arrays(), min_size=1, max_size=3), st.lists(TEXT, min_size=3, max_size=3, unique=True), TEXT)
def test_names_order_and_number_of_columns_count(columns: list[pa.Array], names: list[str], other: str) -> None:
    size = min(len(c) for c in columns)
    columns, names = [c[:size] for c in columns], names[: len(columns)]
    assume(other not in names)
    table = pa.table(columns, names)
    seen = [
        digest(table),
        digest(table.rename_columns([other, *names[1:]])),
        digest(table.append_column(other, columns[0])),
    ]
    seen.append(digest(table.drop_columns([names[0]])))
    if len(names) > 1:
        seen.append(digest(table.select(names[::-1])))
    assert len(set(seen)) == len(seen)


DISTINCT = [
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.bool_(), pa.date32(), pa.time64("us"),
    pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin"), pa.duration("us"),
    pa.decimal128(9, 2), pa.decimal128(9, 3), pa.list_(pa.int64()), pa.list_(pa.int32()), pa.list_(pa.list_(pa.int64())),
    pa.struct([]), pa.struct([("a", pa.int64())]), pa.struct([("b", pa.int64())]), pa.struct([("a", pa.int32())]),
    pa.struct([("a", pa.int64()), ("b", pa.int64())]), pa.struct([("b", pa.int64()), ("a", pa.int64())]),
    pa.struct([("a: int64, b", pa.int64())]), pa.map_(pa.string(), pa.int64()), pa.list_(pa.struct([("a", pa.int64())])),
]  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_types_count_even_where_there_are_no_values(rows: int) -> None:
    assert len({digest(pa.nulls(rows, kind)) for kind in DISTINCT}) == len(DISTINCT)


def test_null_empty_and_zero_differ() -> None:
    for kind, empty in ((pa.string(), ""), (pa.int64(), 0), (pa.list_(pa.int64()), []), (pa.bool_(), False)):
        assert digest(pa.array([None, empty], kind)) != digest(pa.array([empty, None], kind))
    one = pa.struct([("a", pa.int64())])
    assert digest(pa.array([None], one)) != digest(pa.array([{"a": None}], one))
    lists = pa.list_(pa.int64())
    assert digest(pa.array([[1], [2, 3]], lists)) != digest(pa.array([[1, 2], [3]], lists))
    assert digest(pa.array(["ab", "c"])) != digest(pa.array(["a", "bc"]))


# -- the rules for types


@given(
    st.lists(st.none() | st.integers(-(10**9), 10**9), min_size=1, max_size=9),
    st.sampled_from(["timestamp", "duration"]),
)
def test_units_of_time_do_not_count(seconds: list[Any], what: str) -> None:
    seen = {
        digest(pa.array([None if s is None else s * scale for s in seconds], getattr(pa, what)(unit)))
        for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
    }
    assert len(seen) == 1


def test_nanoseconds_are_never_rounded() -> None:
    with small_windows():
        for what in (pa.timestamp("ns"), pa.timestamp("ns", "+00:00"), pa.duration("ns"), pa.time64("ns")):
            whole, fine = [1000 * i for i in range(11)], [*(1000 * i for i in range(10)), 10_001]
            assert len({digest(pa.array(v, what)) for v in (whole, fine, [*fine[:10], 10_002], [*fine[:10], 10])}) == 4
            assert "[ns" in fingerprint.table(pa.table({"x": pa.array(fine, what)})).columns[0][1]
            assert "[us" in fingerprint.table(pa.table({"x": pa.array(whole, what)})).columns[0][1]
            nested = pa.array([fine], pa.list_(what))
            assert digest(nested) != digest(pa.array([whole], pa.list_(what)))
    stamps = pd.Series(pd.to_datetime([1, 2000], unit="ns"))
    assert digest(pd.DataFrame({"x": stamps})) == digest(pa.array([1, 2000], pa.timestamp("ns")))
    assert digest(pl.DataFrame({"x": pl.Series([time(1, 2, 3, 4)])})) == digest(pa.array([time(1, 2, 3, 4)]))
    assert digest(pa.array([5], pa.time32("s"))) == digest(pa.array([5 * 10**9], pa.time64("ns")))


def test_times_that_do_not_fit_are_refused() -> None:
    for wrong in (
        pa.array([2**62], pa.timestamp("s")),
        pa.array([2**62], pa.duration("ms")),
        pa.array([86_400_001], pa.date64()),
        pa.array([1], pa.timestamp("us", "no]zone")),
    ):
        with pytest.raises(DataError):
            digest(wrong)


def test_zones_are_spelled_in_one_way() -> None:
    for zone, other in (("+00:00", "UTC"), ("utc", "UTC"), ("+02:00", "Etc/GMT-2"), ("-11:00", "Etc/GMT+11")):
        table = pa.table({"x": pa.array([1], pa.timestamp("us", zone))})
        assert digest(table) == digest(pa.array([1], pa.timestamp("us", other))) == digest(pl.from_arrow(table))
    assert digest(pa.array([86_400_000], pa.date64())) == digest(pa.array([1], pa.date32()))


@given(st.lists(st.none() | st.decimals(-999, 999, places=2), max_size=9))
def test_widths_and_precisions_of_decimals_do_not_count(values: list[Any]) -> None:
    kinds = [pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(10, 2), pa.decimal128(38, 2), pa.decimal256(60, 2)]
    assert len({digest(pa.array(values, kind)) for kind in kinds}) == 1
    if any(value is not None for value in values):
        assert digest(pd.DataFrame({"x": pd.Series(values, dtype=object)})) == digest(pa.array(values, kinds[2]))


def test_decimals_of_more_than_38_digits_count_in_full() -> None:
    big, next_one = Decimal(10**50), Decimal(10**50 + 1)
    with small_windows():
        seen = [
            digest(pa.array([*range(9), value], pa.decimal256(76, 0))) for value in (big, next_one, -big, Decimal(9))
        ]
    assert len(set(seen)) == 4
    assert digest(pa.array([Decimal(1)], pa.decimal256(76, 40))) == digest(
        pa.array([Decimal(1)], pa.decimal256(70, 40))
    )


def test_nan_is_null_and_zero_has_no_sign() -> None:
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        width = kind.bit_width // 8
        quiet, other = ((1 << (8 * width - 1)) - 1, -1)  # the largest payload with either sign
        nans = np.array([quiet, other, 0, -(1 << (8 * width - 1))], f"<i{width}").tobytes()
        odd = pa.Array.from_buffers(kind, 4, [None, pa.py_buffer(nans)])
        assert digest(odd) == digest(
            pa.array(np.array([np.nan, np.nan, 0, 0], f"f{width}"), mask=np.array([1, 1, 0, 0], bool))
        )
        infinite = pa.array(np.array([np.inf, -np.inf], f"f{width}"))
        assert digest(infinite) != digest(pa.nulls(2, kind))


def test_subclasses_of_text_and_names_of_storage() -> None:
    assert digest(pa.array(["{}"], pa.json_())) == digest(pa.array(["{}"]))
    assert digest(pa.array([b"0" * 16], pa.uuid())) == digest(pa.array([b"0" * 16]))
    assert digest(pa.array([b"ab", None], pa.binary(2))) == digest(pa.array([b"ab", None]))


def test_categories_are_their_values() -> None:
    plain = pd.DataFrame({"x": ["b", "a", None]})
    for categories in (["a", "b"], ["b", "a", "unused"]):
        coded = plain.assign(x=pd.Categorical(plain["x"], categories=categories, ordered=True))
        assert digest(coded) == digest(plain) == digest(pl.from_pandas(coded)) == digest(pl.from_pandas(plain))


@pytest.mark.slow
def test_a_dictionary_may_decode_to_more_than_its_offsets_can_count() -> None:
    rows, word = 2100, "x" * 2**20
    column = hashlib.sha256(b"Tlarge_string" + struct.pack("<Q", rows) + packed([True] * rows))
    column.update(struct.pack(f"<{rows + 1}q", *range(0, (rows + 1) * len(word), len(word))))
    for _ in range(rows):
        column.update(word.encode())
    expected = hashlib.sha256(b"mlgov-table-v1" + struct.pack("<QQQ", rows, 1, 1) + b"x" + column.digest()).hexdigest()
    assert digest(pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int16)), pa.array([word]))) == expected


def test_what_has_no_rule_is_refused() -> None:
    union = pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([[1]]))
    for wrong in (
        pd.DataFrame({"x": pd.period_range("2020", periods=2)}),
        pd.DataFrame({"x": [1 + 2j]}),
        pd.DataFrame({"x": pd.Series(["\ud800"], dtype=object)}),
        pd.DataFrame({"x": [10**30]}),
        pd.DataFrame([[1]], columns=pd.Index(["\ud800"], dtype=object)),
        pl.DataFrame({"x": pl.Series([object()])}),
        pl.DataFrame({"x": pl.Series([1], dtype=pl.Int128)}),
        pl.LazyFrame({"x": pl.Series([1], dtype=pl.Int128)}),
        pa.table({"x": union}),
        pa.table({"x": coded}),
        pa.table({"x": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        pa.table({"x": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])}),
    ):
        with pytest.raises(DataError):
            digest(wrong)


def test_series_and_batches_are_tables() -> None:
    expected = digest(pa.table({"x": [1, 2]}))
    assert digest(pl.Series("x", [1, 2])) == digest(pd.Series([1, 2], name="x")) == expected
    assert digest(pa.record_batch({"x": [1, 2]})) == expected


# -- files


CELLS = {
    "whole": st.integers(-99, 99).map(str),
    "large": st.integers(2**63, 2**64 - 1).map(str),
    "real": st.floats(allow_nan=False).map(str),
    "flag": st.sampled_from(["True", "False", "TRUE", "false"]),
    "empty": st.sampled_from(["", "NA"]),
    "word": st.sampled_from(["x", "yes", "1x", "2020-01-01"]),
}


@settings(max_examples=300)
@given(
    st.lists(
        st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3, unique=True).flatmap(
            lambda kinds: st.lists(st.one_of([CELLS[k] for k in kinds]), min_size=10, max_size=10)
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 10),
)
def test_a_csv_in_parts_is_what_pandas_reads_at_once(
    tmp_path_factory: Any, columns: list[list[str]], rows: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    lines = [",".join([*(c[r] for c in columns), "1"]) for r in range(rows)]
    path.write_text("\n".join([",".join([*(f"c{i}" for i in range(len(columns))), "last"]), *lines]) + "\n")
    found = None
    with small_windows(window=1 << 20, block=1 << 15), suppress(DataError):
        found = fingerprint.of(path)
    if found is None:  # refused: numbers from 2**63 on beside others
        assert any(cell.isdigit() and int(cell) >= 2**63 for column in columns for cell in column)
        return
    assert found == fingerprint.table(pd.read_csv(path, low_memory=False))


def test_a_csv_with_nameless_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(DataError, match="more cells"):
        fingerprint.of(path)
    path.write_text("a,b\n")
    assert fingerprint.of(path).rows == 0


def test_parquet_without_row_groups_is_an_empty_table(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    pq.ParquetWriter(tmp_path / "t.parquet", schema).close()
    assert fingerprint.of(tmp_path / "t.parquet").sha256 == digest(schema.empty_table())


def test_parquet_is_read_in_bounded_memory(tmp_path: Path) -> None:
    rows = 3 << 20
    table = pa.table({f"c{i}": np.random.default_rng(i).random(rows) for i in range(4)})
    table = table.append_column("n", pa.array(np.arange(rows) % 1000, mask=np.arange(rows) % 3 == 0))
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=rows)
    expected, size = digest(table), table.nbytes
    del table
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert fingerprint.of(path).sha256 == expected
        peak = pool.max_memory()
    finally:
        pa.set_memory_pool(before)
    assert peak < 5 * 8 * table_digest.WINDOW < size / 2


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 10)
    kinds = table_source._kinds

    def meddle(part: pd.DataFrame) -> dict[str, str]:
        path.write_text("a\n" + "1\n" * 9 + "22\n")
        return kinds(part)

    monkeypatch.setattr(table_source, "_kinds", meddle)
    with small_windows(), pytest.raises(VerificationError, match="changed"):
        fingerprint.of(path)


def test_rows_that_do_not_come_are_missed() -> None:
    with pytest.raises(DataError, match="1 rows"):
        table_digest.digest_column("x", pa.int64(), 3, lambda: [pa.array([1])])
