"""A text is read only as what its signer's digest says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_governance.errors import VerificationError
from ml_governance.evidence import entry, keys
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import HumanText
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.wire import Chain

CHAIN = Chain(log="l", writer="w", seq=1, prev="0" * 64, nonce="0" * 32, recorded_at=datetime(2026, 1, 1, tzinfo=UTC))
MODEL = [Subject(name="m/1", sha256="a" * 64)]


def read(content: HumanText, folder: Path) -> HumanText:
    signer = keys.generate(folder / "key.pem")
    made = entry.make(CHAIN, content, MODEL, signer)
    found = entry.read(made.data).content
    assert isinstance(found, HumanText)
    return found


def test_a_text_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = HumanText(name="intended-use", sha256=sha256_hex("für Kredite".encode()), text="für Kredite")
    assert read(content, tmp_path) == content


@pytest.mark.parametrize(
    ("name", "text", "signed"),
    [
        ("intended-use", "To lend.", "To spend."),
        ("Intended Use", "To lend.", "To lend."),
        ("intended-use", "", ""),
        ("intended-use", "x" * 20_001, "x" * 20_001),
    ],
)
def test_a_text_that_is_not_its_digest_or_not_of_its_form_is_refused(
    name: str, text: str, signed: str, tmp_path: Path
) -> None:
    fields = {"name": name, "sha256": sha256_hex(signed.encode()), "text": text}
    with pytest.raises(ValidationError):
        HumanText(**fields)
    with pytest.raises(VerificationError, match="human-text predicate"):
        read(HumanText.model_construct(**fields), tmp_path)
