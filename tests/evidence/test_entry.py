"""What an entry says has one form: nothing is read that no writer writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ml_governance.errors import VerificationError
from ml_governance.evidence import entry
from ml_governance.evidence.canonical import canonicalise
from ml_governance.evidence.envelope import PAYLOAD_TYPE, Envelope, Signature
from ml_governance.evidence.predicates import predicate_type
from ml_governance.evidence.statement import STATEMENT_TYPE

CHAIN = {"log": "here", "writer": "w", "seq": 0, "nonce": "0" * 32, "recordedAt": "2026-01-15T12:00:00Z"}
PERFORMANCE = {
    "predictions": "claimed", "dataset": {"name": "d", "sha256": "0" * 64}, "columns": {}, "confidence": 0.95,
    "minGroupSize": 30, "measurements": [], "details": {}, "software": {},
}  # fmt: skip


def written(predicate: dict[str, Any], kind: str = "performance") -> bytes:
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": "0" * 64}}],
        "predicateType": predicate_type(kind),
        "predicate": predicate,
    }
    signature = Signature(keyid="0" * 64, sig=b"x")
    return Envelope(payload=canonicalise(statement), payload_type=PAYLOAD_TYPE, signatures=(signature,)).to_bytes()


def test_the_form_of_the_writer_is_read() -> None:
    assert entry.read(written({**CHAIN, **PERFORMANCE})).kind == "performance"


@pytest.mark.parametrize(
    "change",
    [
        {"seq": "0"}, {"seq": False}, {"recordedAt": "2026-01-15T12:00:00+00:00"}, {"recordedAt": 1_768_478_400},
        {"recordedAt": "2026-01-15 12:00:00Z"}, {"prev": None}, {"confidence": "0.95"}, {"minGroupSize": "30"},
        {"minGroupSize": True}, {"seed": "1"}, {"dataset": {"name": "d", "sha256": "0" * 64, "rows": None}},
        {"dataset": {"name": "d", "sha256": "0" * 64, "rows": "7"}}, {"min_group_size": 30, "minGroupSize": ...},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_in_another_spelling_is_refused(change: dict[str, Any]) -> None:
    """Whoever reads the same bytes with another program would find another value there, or none."""
    fields = {**CHAIN, **PERFORMANCE, **change}
    with pytest.raises(VerificationError, match="form"):
        entry.read(written({name: value for name, value in fields.items() if value is not ...}))


def test_values_that_only_look_alike_are_kept_apart() -> None:
    for details in ({"a": True, "b": [False, None]}, {"a": 1, "b": [0, 0.5]}):
        read = entry.read(written({**CHAIN, **PERFORMANCE, "details": details}))
        assert canonicalise(read.content.details) == canonicalise(details)  # type: ignore[attr-defined]


def test_very_many_faults_are_counted_and_not_listed() -> None:
    """A list of them would take a thousand times the memory of what was read."""
    with pytest.raises(VerificationError, match="200,000 faults"):
        entry.read(written({**CHAIN, **PERFORMANCE, "measurements": [0] * 200_000}))
    with pytest.raises(VerificationError, match="its form: k{80}: ") as caught:
        entry.read(written({**CHAIN, **PERFORMANCE, "k" * 100_000: 0}))
    assert len(str(caught.value)) < 500


def test_an_error_does_not_repeat_a_document() -> None:
    long = "x" * 1_000_000
    for broken in (
        Envelope(payload=b"", payload_type=long, signatures=(Signature(keyid="a", sig=b"x"),)).to_bytes(),
        written(CHAIN, long),
        written({**CHAIN, "extra": {long: 0}}),
    ):
        with pytest.raises(VerificationError) as caught:
            entry.read(broken)
        assert len(str(caught.value)) < 5000


LEAF = entry.Leaf(kind="approval", payload="1" * 64, envelope="2" * 64, writer="w", seq=0, keyid="3" * 64)


@pytest.mark.parametrize("change", [{}, {"writer": 'é\n"'}, {"keyid": "a b"}, {"seq": 2**40}], ids=str)
def test_a_leaf_reads_back(change: dict[str, Any]) -> None:
    leaf = replace(LEAF, **change)
    assert entry.Leaf.from_bytes(leaf.to_bytes()) == leaf


@pytest.mark.parametrize(
    "change",
    [{"v": True}, {"seq": -1}, {"seq": False}, {"payload": '"'}, {"envelope": "2" * 63 + "G"}, {"kind": ""}],
    ids=str,
)
def test_a_leaf_in_another_form_is_refused(change: dict[str, Any]) -> None:
    """Otherwise two leaves, with two hashes, would be one entry."""
    with pytest.raises(VerificationError):
        entry.Leaf.from_bytes(canonicalise({**json.loads(LEAF.to_bytes()), **change}))
