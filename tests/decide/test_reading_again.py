"""Two parsers of one language: whatever the strict one accepts, the quick one gives the same value and the same lines."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_governance.decide import reading
from ml_governance.errors import PolicyError
from tests.decide import worlds

Read = tuple[str, str] | None
"""A value and its lines as they are written, which tells 1 from True and from 1.0, and NaN from nothing; None is a refusal."""

SIGNS = (
    "a", "k: v", "k:v", ": ", ":", "- ", "-", "? ", "\n", "\n  ", "\n    ", " ", "\t", "\r\n", "\r", "'", "''", '"', "\\",
    "\\n", "\\x41", "\\u00e9", "\\ud800", "\\U0001F600", "\\/", "\\0", "\\N", "\\\n", "|", "|-", "|+2", ">", ">-", "#", " # c",
    "{", "}", "[", "]", ",", "[a:1]", "{a: 1, b}", "&a", "*a", "!t", "%YAML 1.1\n", "---\n", "--- ", "...\n", "@", "`", "<<", "=",
    "1_000", "0x1F", "0o7", "017", "0b11", "-0", "+12", "1e3", "1.5e+3", ".5", "0.", "1:20.5", "190:20:30", ".inf", "-.INF",
    ".nan", "~", "null", "yes", "No", "TRUE", "2020-01-01", "2020-01-01T10:00:00Z", "2020-13-45", "é", "😀", "\xa0",
    "\x85", "\u2028", "\u2029", "\ufeff", "\ufffe", "\x00", "\x7f", "k: |\n   t\n  u\n", "k: >\n  a\n\n  b\n",
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(SIGNS), min_size=1, max_size=12).map("".join),
    st.lists(st.sampled_from(SIGNS), min_size=1, max_size=8).map(lambda signs: "k: " + "".join(signs)),
    st.text(max_size=30).map(lambda text: f"k: {text}\nl: '{text}'"),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.datetimes()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
STYLES = st.fixed_dictionaries(
    {"default_flow_style": st.sampled_from([None, True, False]), "default_style": st.sampled_from([None, "'", '"', "|", ">"])},
    optional={"allow_unicode": st.just(True), "width": st.just(20), "indent": st.just(6), "explicit_start": st.just(True)},
)  # fmt: skip


def read(text: str, *, again: bool) -> Read:
    try:
        value, lines = reading.read_yaml(text, again=again)
    except PolicyError:
        return None
    return repr(value), repr(lines)


@given(text=TEXTS)
@example("a\t")
@example("|#")
@example("--- ")
@example("k: 1\n\ufeffl: 2")
@example("k: 'a\u2028\n b'\nl: 1")
@settings(max_examples=400)
def test_any_text_is_read_again_as_the_first_time(text: str) -> None:
    assert read(text, again=True) == read(text, again=False)


@given(value=VALUES, style=STYLES)
def test_any_value_in_any_style_is_read_again_as_the_first_time(value: Any, style: dict[str, Any]) -> None:
    text = yaml.safe_dump({"k": value}, **style)
    assert read(text, again=True) == read(text, again=False)


@given(policy=worlds.policies(), style=STYLES)
@settings(max_examples=30)
def test_a_policy_is_read_again_as_the_first_time(policy: Any, style: dict[str, Any]) -> None:
    value = policy.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    text = yaml.safe_dump(value, **style)
    first = read(text, again=False)
    assert read(text, again=True) == first
    assert (style["default_style"] is None) <= (first is not None), "such a text has no tags"


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML without libyaml has one parser")
@pytest.mark.parametrize("text", ["a\t", "|#", "--- ", "\n\ufeff"])
def test_the_parsers_differ_where_only_the_strict_one_reads(text: str) -> None:
    """If this fails, they have become alike there: widen what the quick one reads."""
    outcomes = []
    for load in (reading._Loader, reading._quick()):
        try:
            outcomes.append(repr(reading._read(text, load)))
        except PolicyError:
            outcomes.append("refused")
    assert outcomes[0] != outcomes[1]
