from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence.checkpoint import Checkpoint, LogSigner, key_hint, parse_body, parse_vkey, read_note, vkey
from ml_governance.evidence.trust import LogKey

ORIGIN = "mlgov.local/test"
CHECKPOINT = Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32, index_root=b"i" * 32)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LogSigner:
    return LogSigner.generate(tmp_path_factory.mktemp("log") / "log.pem", name=ORIGIN)


def test_a_signed_note_reads_back(signer: LogSigner) -> None:
    note = signer.sign(CHECKPOINT)
    assert read_note(note, [signer.public], origin=ORIGIN) == CHECKPOINT
    lines = note.split("\n")
    assert lines[:2] == [ORIGIN, "7"]
    assert lines[4] == ""
    assert lines[5].startswith("\N{EM DASH} mlgov.local/test ")


def test_the_key_hint_is_the_one_of_the_published_example() -> None:
    # The verifier key in the documentation of golang.org/x/mod/sumdb/note.
    name, hint, key = ["PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
    raw = base64.b64decode(key)
    assert raw[0] == 1
    assert key_hint(name, raw[1:]).hex() == hint


@given(st.integers(min_value=0), st.sampled_from("x0\n +=\N{EM DASH}"))
def test_any_changed_character_is_refused(signer: LogSigner, at: int, other: str) -> None:
    note = signer.sign(CHECKPOINT)
    at %= len(note)
    changed = note[:at] + other + note[at + 1 :]
    if changed != note:
        with pytest.raises(VerificationError):
            read_note(changed, [signer.public], origin=ORIGIN)


def test_a_note_by_another_key_or_log_is_refused(signer: LogSigner, tmp_path_factory: pytest.TempPathFactory) -> None:
    eve = LogSigner.generate(tmp_path_factory.mktemp("eve") / "log.pem", name=ORIGIN)
    with pytest.raises(VerificationError, match="no key that counts"):
        read_note(eve.sign(CHECKPOINT), [signer.public], origin=ORIGIN)
    with pytest.raises(VerificationError, match="is from"):
        read_note(signer.sign(replace(CHECKPOINT, origin="elsewhere")), [signer.public], origin=ORIGIN)
    wrong_hint = LogKey(name=ORIGIN, public=eve.public.public)
    with pytest.raises(VerificationError, match="no key that counts"):
        read_note(signer.sign(CHECKPOINT), [wrong_hint], origin=ORIGIN)


def test_a_good_signature_under_a_wrong_hint_does_not_count(signer: LogSigner) -> None:
    *lines, last, end = signer.sign(CHECKPOINT).split("\n")
    mark, name, encoded = last.split(" ")
    other = base64.b64encode(bytes(4) + base64.b64decode(encoded)[4:]).decode()
    note = "\n".join([*lines, f"{mark} {name} {other}", end])
    with pytest.raises(VerificationError, match="no key that counts"):
        read_note(note, [signer.public], origin=ORIGIN)


def test_a_verifier_key_under_a_wrong_hint_is_refused(signer: LogSigner) -> None:
    text = vkey(signer.public)
    assert parse_vkey(text) == signer.public
    name, hint, encoded = text.split("+", 2)
    assert hint != "00000000"
    with pytest.raises(VerificationError, match="has the hint '00000000'"):
        parse_vkey(f"{name}+00000000+{encoded}")


@pytest.mark.parametrize("size", ["", "-1", "07", "1e3", "\u0661", "9" * 17])
def test_strange_sizes_are_refused(size: str) -> None:
    lines = CHECKPOINT.body().split("\n")
    lines[1] = size
    with pytest.raises(VerificationError, match="size"):
        parse_body("\n".join(lines))


@pytest.mark.parametrize("text", ["", "\n", "a\n\n", "x" * 100_000, "a\nb\n\n\N{EM DASH} n QQ==\n", "a\x00b\n\nc\n"])
def test_hostile_notes_are_refused(signer: LogSigner, text: str) -> None:
    with pytest.raises(VerificationError):
        read_note(text, [signer.public], origin=ORIGIN)
