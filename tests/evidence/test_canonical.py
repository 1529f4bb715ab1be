from __future__ import annotations

import json
import math
import struct
import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import CanonicalisationError, VerificationError
from ml_governance.evidence.canonical import MAX_DEPTH, MAX_VALUES, _bare, canonicalise, parse, stamp

# RFC 8785 appendix B: IEEE 754 bits and their serialisation; those of 2**53 and above are refused here.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}
TOO_LARGE = ("7fefffffffffffff", "4340000000000000", "c340000000000000", "4430000000000000", "444b1ae4d6e2ef50")

# RFC 8785 section 3.2.3: property names sort by UTF-16 code units.
SORTED = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e15, 1e15, allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_the_rfc_says(bits: str, text: str) -> None:
    assert canonicalise(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


@pytest.mark.parametrize("bits", TOO_LARGE)
def test_numbers_that_readers_disagree_about_are_refused(bits: str) -> None:
    with pytest.raises(CanonicalisationError, match="2\\*\\*53|finite"):
        canonicalise(struct.unpack(">d", bytes.fromhex(bits))[0])


def test_keys_sort_by_utf16_units() -> None:
    data = canonicalise(dict.fromkeys(reversed(SORTED), 1))
    assert list(parse(data)) == SORTED


@given(PLAIN)
def test_parsing_gives_back_what_was_written(value: object) -> None:
    assert parse(canonicalise(value)) == value


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers(0, 9), max_size=6),
    st.randoms(),
)
def test_order_of_keys_never_changes_the_bytes(value: dict[str, int], random) -> None:  # type: ignore[no-untyped-def]
    items = list(value.items())
    random.shuffle(items)
    assert canonicalise(dict(items)) == canonicalise(value)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        2**53,
        -(2**53),
        {1: 2},
        {"a": "\ud800"},
        np.float64(1),
        np.int64(1),
        np.bool_(1),
        {1, 2},
        b"x",
        object(),
    ],
    ids=lambda value: type(value).__name__ + str(value)[:8] if type(value) is not object else "object",
)
def test_values_without_one_form_are_refused(value: object) -> None:
    with pytest.raises(CanonicalisationError):
        canonicalise({"nested": [value]})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b"9007199254740992", "2\\*\\*53"),
        (b"1e400", "2\\*\\*53|finite"),
        (b"1" * 5000, "too large"),
        (b'{"b":1,"a":2}', "canonical"),
        (b'{"a": 1}', "canonical"),
        (b"1.0", "canonical"),
        (b"\xef\xbb\xbf1", "UTF-8 JSON"),
        (b"\xff", "UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b"", "UTF-8 JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bytes_from_strangers_are_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        parse(data)


def test_depth_is_bounded_when_writing_too() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH + 2):
        value = [value]
    with pytest.raises(CanonicalisationError, match="nested"):
        canonicalise(value)


def test_brackets_inside_text_are_no_nesting() -> None:
    text = "[" * 500 + '\\"'
    assert parse(canonicalise({"a": text})) == {"a": text}


def test_size_is_bounded_before_anything_is_parsed() -> None:
    with pytest.raises(VerificationError, match="bytes"):
        parse(b"[" * 11, max_bytes=10)


def test_the_number_of_values_is_bounded_before_any_is_made() -> None:
    within = b"[" + b",".join([b"0"] * MAX_VALUES) + b"]"
    assert parse(within) == [0] * MAX_VALUES
    assert canonicalise(parse(within)) == within
    commas = canonicalise(["," * MAX_VALUES])
    assert parse(commas) == ["," * MAX_VALUES], "a comma inside a string is no value"
    strings = b"[" + b",".join([rb'"\\"'] * (2 * MAX_VALUES + 2)) + b"]"
    for many in (b"[0," + within[1:], b"[" + b"[]," * MAX_VALUES + b"0]", strings):
        with pytest.raises(VerificationError, match="parts"):
            parse(many)
    with pytest.raises(CanonicalisationError, match="parts"):
        canonicalise([0] * (MAX_VALUES + 1))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1e-4, 1e16, 2.5, -0.0])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


@given(documents)
def test_the_number_of_values_and_their_depth_are_counted_outside_strings(value: object) -> None:
    def depth(one: object) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return isinstance(one, dict | list) + max(map(depth, inner), default=0)

    try:
        data = canonicalise(value)
    except CanonicalisationError:
        return
    bare = _bare(data, MAX_VALUES)
    assert not set(bare) & set(b'"\\')
    deepest = now = 0
    for character in bare.decode():
        now += (character in "[{") - (character in "]}")
        deepest = max(deepest, now)
    assert deepest == depth(value)
    assert now == 0


@pytest.mark.parametrize("end", [b"\\", b"", b'"'])
def test_a_string_that_does_not_end_is_read_once(end: bytes) -> None:
    data = b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 1_000_000 + end
    begin = time.process_time()
    with pytest.raises(VerificationError, match="nested"):
        parse(data)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000], ids=["large", "negative", "unprintable"])
def test_a_number_beyond_every_float_is_refused_by_its_size(number: int) -> None:
    with pytest.raises(CanonicalisationError, match="an integer of [0-9]+ bits"):
        canonicalise({"a": [number]})


@given(documents)
def test_the_quick_way_and_the_library_write_the_same_bytes(value: object) -> None:
    """Where Python's own encoder is used, it gives what rfc8785 gives; whatever rfc8785 refuses is refused."""
    try:
        data = canonicalise(value)
    except CanonicalisationError:
        return
    assert data == rfc8785.dumps(value)
    assert parse(data) == value


@given(documents, st.sampled_from([None, 1]), st.booleans())
def test_only_the_canonical_spelling_is_read(value: object, indent: int | None, ascii_only: bool) -> None:
    try:
        data = canonicalise(value)
    except CanonicalisationError:
        return
    other = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    if other != data:
        with pytest.raises(VerificationError):
            parse(other)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1.0}', '{"a":1e5}', '{"a":[1,2.50]}', '{"a":-0}', '{"a":[0,-1E2]}', '{"a":1e-5}', "[1.0]", '{"a": 1}',
        '{"a":[1,9007199254740993]}', '{"a":12345678901234567890}', '{"b":1,"a":2}', '{"a":1,"a":1}', '{"t":-1.50}',
        '{"a":"\\u001F"}', '{"a":"\\u0041"}', '{"a":"\\/"}',
    ],
)  # fmt: skip
def test_what_has_another_spelling_than_the_standard_gives_is_refused(text: str) -> None:
    with pytest.raises(VerificationError):
        parse(text.encode())


def test_every_character_has_the_one_spelling_of_the_standard() -> None:
    for code in (*range(0x100), 0x2028, 0xFFFF, 0x1F600):
        value = {"k": chr(code), "n": [1, -5, 123456789012345], chr(code): None}
        assert parse(rfc8785.dumps(value)) == value == parse(canonicalise(value))


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_one_moment_is_written_in_one_way_whatever_its_zone(moment: datetime, zone: timezone) -> None:
    here = moment.replace(tzinfo=UTC)
    assert stamp(here.astimezone(zone)) == stamp(here) == f"{moment:%Y-%m-%dT%H:%M:%S}Z"
