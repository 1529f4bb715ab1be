"""Ways to damage bytes that know what the bytes are: JSON, lines of text, or neither."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from ml_governance.errors import CanonicalisationError
from ml_governance.evidence.canonical import canonicalise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

MAX_SIZE = 256 * 1024
RAW = "raw number: "
"""A string that begins so is written as what follows, without quotes."""

TOKENS = (
    b"\x00", b"\x1b[2J", b"\r\n", b"\r", b"\n", b"\n\n", b"\t", b" ", b'"', b"\\", b"\\u0000", b"\\ud800", b"[", b"]", b"{", b"}",
    b",", b":", b"=", b"==", b"+", b"/", b"-", b"_", b"1e400", b"NaN", b"-0", b"0", b"00", b"9" * 17, b"9" * 400, b"\xff", b"\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "\u0663".encode(), "\u00b2".encode(), "\u2028".encode(), "\u0085".encode(),
    "\ufeff".encode(), "\ufffd".encode(), "\N{EM DASH} ".encode(), b"sha256:", b"../", b"A" * 5000, b"[" * 80, b"null", b"true",
    b"- ", b"? ", b"&a ", b"*a", b"<<: ", b"!!int ", b"'", b"# ", b"x001/", b"0x", b"0b_", b"2026-99-99", b"\x00" * 32,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**64, -(2**63), 0.5, 1e-7, 1e300, float("nan"), float("inf"), "", " ",
    "0", "1", "true", "null", "\u0663", "\ud800", "\x00", "\x1b[31m", "\u009b2J", "a\nb", "a\r\nb", "\u202e", "x" * 5000, "é" * 300,
    "\\" * 100, "../x", "=", "QQ", "QR==", "0" * 64, "A" * 64, "2026-01-15T12:00:00Z", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "2026-01-15", "1e400", [], {}, [[]], [{}], {"": ""}, [None], ["a", "a"], {"a": {"a": {}}},
    RAW + "1e400", RAW + "-0", RAW + "1.0", RAW + "1E2", RAW + "0" * 20, RAW + "9" * 5000, RAW + "NaN", RAW + "-Infinity",
)  # fmt: skip


# --- bytes ------------------------------------------------------------------------------------------------------


def flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x00"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def insert(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(TOKENS) + data[at:]


def overwrite(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at, token = random.randint(0, len(data)), random.choice(TOKENS)
    return data[:at] + token + data[at + len(token) :]


def delete(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(random, data)
    return data[:start] + data[stop:]


def repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(random, data)
    return data[:stop] + data[start:stop] * random.choice((1, 2, 50)) + data[stop:]


def move(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(random, data)
    rest = data[:start] + data[stop:]
    at = random.randint(0, len(rest))
    return rest[:at] + data[start:stop] + rest[at:]


def splice(random: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = random.choice(seeds)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def truncate(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: random.randint(0, len(data))]


def trail(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data + random.choice(TOKENS)


def crlf(_: Random, data: bytes, __: Sequence[bytes]) -> bytes:
    return data.replace(b"\n", b"\r\n")


def nothing(_: Random, __: bytes, ___: Sequence[bytes]) -> bytes:
    return b""


def _span(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 4, 32, 400)))


# --- lines --------------------------------------------------------------------------------------------------------


def drop_line(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    del lines[random.randrange(len(lines))]
    return b"\n".join(lines)


def double_line(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    return b"\n".join(lines[:at] + [lines[at]] * random.choice((2, 3, 80)) + lines[at + 1 :])


def swap_lines(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def change_word(random: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    words = lines[at].split(b" ")
    others = random.choice(seeds).split()
    words[random.randrange(len(words))] = random.choice([*TOKENS, *others])
    lines[at] = b" ".join(words)
    return b"\n".join(lines)


# --- JSON ---------------------------------------------------------------------------------------------------------


def change_value(random: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change one value somewhere in the document, or in the document inside one of its base64 strings."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return insert(random, data, seeds)
    places = list(_places(value))
    if not places:
        return _written(random, random.choice(VALUES))
    inner = [place for place in places if _inside(place[0][place[1]]) is not None]
    if inner and random.random() < 0.5:
        holder, key = random.choice(inner)
        holder[key] = base64.b64encode(change_value(random, _inside(holder[key]) or b"", seeds)).decode()
    else:
        random.choice(CHANGES)(random, *random.choice(places))
    try:
        return _written(random, value)
    except RecursionError:
        return data


def _places(value: Any) -> Any:
    """Yield each container and key (or position) of a document."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            yield from ((one, key) for key in one)
            stack += one.values()
        elif isinstance(one, list):
            yield from ((one, at) for at in range(len(one)))
            stack += one


def _inside(value: Any) -> bytes | None:
    if not isinstance(value, str) or not value.startswith(("ey", "W")):
        return None
    try:
        inner = base64.b64decode(value, validate=True)
        json.loads(inner)
    except (ValueError, RecursionError):
        return None
    return inner


def _replace(random: Random, holder: Any, key: Any) -> None:
    holder[key] = random.choice(VALUES)


def _retype(random: Random, holder: Any, key: Any) -> None:
    value = holder[key]
    ways: list[Any] = [[value], {"a": value}, str(value), json.dumps(value)]
    if isinstance(value, int):
        ways += [bool(value), -value, value + 1, value + 2**40, RAW + f"{value}.0", RAW + f"{value}e0"]
    if isinstance(value, list):
        ways += [dict.fromkeys(map(str, value)), value * 30, value[::-1], value[:-1], "".join(map(str, value))]
    if isinstance(value, dict):
        ways += [list(value), list(value.items()), list(value.values())]
    if isinstance(value, str):
        ways += [
            value + "\n",
            " " + value,
            value.upper(),
            value[:-1],
            value * 40,
            value + "\x00",
            list(value),
            [*map(ord, value)],
        ]
    holder[key] = random.choice(ways)


def _remove(_: Random, holder: Any, key: Any) -> None:
    del holder[key]


def _add(random: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice(("extra", "__proto__", "\ud800", "", str(key).upper(), f"{key}_"))] = random.choice(VALUES)
    else:
        holder.insert(key, holder[random.randrange(len(holder))])


def _exchange(random: Random, holder: Any, key: Any) -> None:
    other = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    holder[key], holder[other] = holder[other], holder[key]


def _deepen(random: Random, holder: Any, key: Any) -> None:
    for _ in range(random.choice((5, 60, 70))):
        holder[key] = [holder[key]] if random.random() < 0.5 else {"a": holder[key]}


CHANGES = (_replace, _replace, _retype, _retype, _remove, _add, _exchange, _deepen)


def double_key(random: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Write one key of an object twice."""
    at = data.find(b'":', random.randrange(max(1, len(data))))
    start = data.rfind(b'"', 0, max(at, 0))
    if at < 0 or start < 0:
        return insert(random, data, seeds)
    return data[:start] + data[start:at] + b'":0,' + data[start:]


def respell(random: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Write the same document in another way."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return insert(random, data, seeds)
    try:
        text = json.dumps(value, indent=random.choice((None, 1)), ensure_ascii=random.random() < 0.5)
    except RecursionError:
        return data
    return text.encode("utf-8", "surrogatepass")


def _written(random: Random, value: Any) -> bytes:
    """Return the canonical form, so that the damage gets past the first check, or any form where there is none."""
    try:
        return canonicalise(value) if random.random() < 0.9 or not _raw(value) else _loose(value)
    except CanonicalisationError:
        return _loose(value)


def _raw(value: Any) -> bool:
    return RAW in repr(value)


def _loose(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    while f'"{RAW}' in text:
        before, _, after = text.partition(f'"{RAW}')
        number, _, after = after.partition('"')
        text = before + number + after
    return text.encode("utf-8", "surrogatepass")


BYTES: tuple[Mutation, ...] = (
    flip, insert, overwrite, delete, repeat, move, splice, truncate, trail, crlf, nothing,
)  # fmt: skip
LINES: tuple[Mutation, ...] = (*BYTES, *(3 * (drop_line, double_line, swap_lines, change_word)))
JSON: tuple[Mutation, ...] = (*BYTES, *(12 * (change_value,)), double_key, double_key, respell)


def mutated(random: Random, data: bytes, seeds: Sequence[bytes], mutations: Sequence[Mutation], times: int) -> bytes:
    """Return the data after some mutations."""
    for _ in range(times):
        data = random.choice(mutations)(random, data, seeds)[:MAX_SIZE]
    return data
