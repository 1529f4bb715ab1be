"""What an entry says has one form: nothing is read that no writer writes."""

from __future__ import annotations

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


def test_very_many_faults_are_counted_and_not_listed() -> None:
    """A list of them would take a thousand times the memory of what was read."""
    with pytest.raises(VerificationError, match="200,000 faults"):
        entry.read(written({**CHAIN, **PERFORMANCE, "measurements": [0] * 200_000}))
    with pytest.raises(VerificationError, match="its form: k{80}: ") as caught:
        entry.read(written({**CHAIN, **PERFORMANCE, "k" * 100_000: 0}))
    assert len(str(caught.value)) < 500
