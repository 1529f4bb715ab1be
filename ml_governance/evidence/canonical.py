"""Canonical JSON: one byte string per value (RFC 8785), and a strict parser for bytes from strangers.

Refused when writing *and* when reading: NaN and infinities, numbers of 2**53 or more, lone surrogates,
duplicate keys, deep nesting, and anything over a stated size or number of values. The parser also refuses bytes that are not
canonical, so that a value has exactly one spelling.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NoReturn

import rfc8785

from ml_governance.errors import CanonicalisationError, VerificationError

MAX_BYTES = 16 * 1024 * 1024
"""Largest document, in bytes."""

MAX_DEPTH = 64
"""Deepest nesting of arrays and objects."""

MAX_VALUES = 2**18
"""Most values in a document, counted as commas and opening brackets: each takes far more memory than its bytes."""

MAX_NUMBER = 2**53
"""Numbers of this magnitude or more are refused: readers disagree about them."""


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonicalise(value: Any, *, max_values: int = MAX_VALUES) -> bytes:
    """Serialise a JSON value to its canonical bytes.

    Parameters
    ----------
    value : dict, list, tuple, str, int, float, bool or None
        With ``str`` keys throughout. NumPy scalars are refused: convert them first.
    max_values : int
        Refuse more, because :func:`parse` does.

    Returns
    -------
    bytes
        RFC 8785 JSON, UTF-8.

    Raises
    ------
    CanonicalisationError
        If the value has no canonical form or is too large or too deep.
    """
    if _plain(value, 0):
        return _within(_ENCODER.encode(value).encode(), max_values)
    _check(value, CanonicalisationError, "$", 0)
    try:
        data: bytes = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise CanonicalisationError(f"the value has no canonical JSON form: {error}") from error
    return _within(data, max_values)


def _within(data: bytes, max_values: int) -> bytes:
    if len(data) > MAX_BYTES:
        raise CanonicalisationError(f"the value takes {len(data):,} bytes", expected=f"at most {MAX_BYTES:,}")
    if _commas_and_brackets(data) > max_values and _commas_and_brackets(_bare(data, max_values)) > max_values:
        raise CanonicalisationError("the value has very many parts", expected=f"at most {max_values:,}")
    return data


def _commas_and_brackets(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def parse(data: bytes, *, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES) -> Any:
    """Parse canonical JSON from an untrusted source.

    Parameters
    ----------
    data : bytes
        UTF-8 JSON in canonical form.
    max_bytes : int
        Refuse more than this before looking at it.
    max_values : int
        Refuse more values than this before making any of them.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None.

    Raises
    ------
    VerificationError
        If the bytes are too many, not UTF-8, not JSON, not canonical, too deep, or hold too many values, a duplicate
        key or a number that readers would not agree on.
    """
    if len(data) > max_bytes:
        raise VerificationError(f"the document has {len(data):,} bytes", expected=f"at most {max_bytes:,}")
    brackets = data.count(b"[") + data.count(b"{")
    if brackets > MAX_DEPTH or brackets + data.count(b",") > max_values:
        _bounded(_bare(data, max_values), max_values)
    try:
        text = data.decode("utf-8")
        try:
            value = _QUICK.raw_decode(text)[0]  # whatever follows it, the comparison finds
            if _ENCODER.encode(value) == text and (text.isascii() or max(text) < "\ud800"):
                return value
        except (_NotPlainError, json.JSONDecodeError):
            pass
        value = _STRICT.decode(text)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise VerificationError(f"the document is not UTF-8 JSON: {error}") from error
    _check(value, VerificationError, "$", 0)
    if rfc8785.dumps(value) != data:
        raise VerificationError("the document is not in canonical form", expected="RFC 8785 JSON")
    return value


def _bare(data: bytes, max_values: int) -> bytes:
    """Return a document without its strings, or some part of it that has as many values as are refused."""
    quoted = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A value has at most two strings, itself and its key; more of them are not worth taking apart.
    if quoted.count(b'"') > 4 * max_values + 2:
        return b"," * (max_values + 1)
    return b"".join(quoted.split(b'"')[::2])


def _bounded(bare: bytes, max_values: int) -> None:
    """Refuse a document, given without its strings, that has too many values or would make the parser recurse too deeply."""
    if _commas_and_brackets(bare) > max_values:
        raise VerificationError("the document has very many parts", expected=f"at most {max_values:,}")
    depth = deepest = 0
    for bracket in bare.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth < 0:
            break  # no JSON: the parser stops here as well
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise VerificationError("the document is nested too deeply", expected=f"at most {MAX_DEPTH} levels")


_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class _NotPlainError(Exception):
    """A number whose spelling Python and RFC 8785 do not share: the slow way decides."""


def _plain(value: Any, depth: int) -> bool:  # noqa: C901, PLR0912  one flat walk: every value of every document passes here
    """Tell whether Python's own encoder surely writes a value as RFC 8785 does; False means only "not surely"."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        entries = value.values()
    elif kind is list or kind is tuple:
        entries = value
    else:
        entries, depth = (value,), depth - 1
    if depth >= MAX_DEPTH:
        return False
    for entry in entries:
        kind = type(entry)
        if kind is str:
            if not entry.isascii() and max(entry) >= "\ud800":
                return False
        elif kind is int:
            if not -MAX_NUMBER < entry < MAX_NUMBER:
                return False
        elif kind is dict or kind is list or kind is tuple:
            if not _plain(entry, depth + 1):
                return False
        elif kind is float:
            # In this range both write the same shortest digits without an exponent.
            if not 1e-4 <= abs(entry) < MAX_NUMBER or entry.is_integer():
                return False
        elif entry is not None and kind is not bool:
            return False
    return True


def _quick_integer(text: str) -> int:
    if len(text) > 15:
        raise _NotPlainError
    return int(text)


def _quick_float(text: str) -> float:
    if len(text) > 24:
        raise _NotPlainError
    value = float(text)
    if not 1e-4 <= abs(value) < MAX_NUMBER or value.is_integer():
        raise _NotPlainError
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise VerificationError(f"the key {twice!r} stands twice in one object", expected="each key once")
    return value


def _constant(name: str) -> NoReturn:
    raise VerificationError(f"the document holds {name}", expected="finite numbers")


def _integer(text: str) -> int:
    if len(text) > 17:
        raise VerificationError(f"the number {text[:20]}... is too large", expected="a magnitude below 2**53")
    return int(text)


def _float(text: str) -> float:
    if len(text) > 40:
        raise VerificationError("a number has too many digits", expected="its shortest form")
    return float(text)


def _check(value: Any, error: type[CanonicalisationError | VerificationError], where: str, depth: int) -> None:
    """Refuse whatever two readers might read differently; exact types, so that NumPy scalars do not pass."""
    if depth > MAX_DEPTH:
        raise error(f"{where[:80]} is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
    kind = type(value)
    if kind is dict:
        for key, entry in value.items():
            if type(key) is not str:
                raise error(f"{where} has the key {key!r}", expected="text keys")
            _check_text(key, error, where)
            _check(entry, error, f"{where}.{key}", depth + 1)
    elif kind is list or kind is tuple:
        for position, entry in enumerate(value):
            _check(entry, error, f"{where}[{position}]", depth + 1)
    elif kind is str:
        _check_text(value, error, where)
    elif kind is int or kind is float:
        if not -MAX_NUMBER < value < MAX_NUMBER:  # NaN as well
            shown = repr(value) if kind is float else f"an integer of {value.bit_length()} bits"
            raise error(f"{where} is {shown}", expected="a finite number with a magnitude below 2**53")
    elif value is not None and kind is not bool:
        raise error(
            f"{where} is a {kind.__module__}.{kind.__qualname__}",
            expected="plain dict, list, str, int, float, bool or None",
        )


def _check_text(text: str, error: type[CanonicalisationError | VerificationError], where: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise error(f"{where} holds a lone surrogate", expected="text that UTF-8 can carry") from None


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False
)
_QUICK = json.JSONDecoder(parse_int=_quick_integer, parse_float=_quick_float, parse_constant=_constant)
_STRICT = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def stamp(moment: datetime) -> str:
    """Return a time as it is written: UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
