"""in-toto Statement v1: which bytes a fact is about, and which kind of fact it is.

A statement is serialised once, as canonical JSON, and those bytes are kept: what was signed is what is
verified. Nothing here does I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import canonicalise, parse, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
"""The ``_type`` of every statement (in-toto attestation framework, v1)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a statement is about: bytes, known by their SHA-256; the name is only a label.

    Parameters
    ----------
    name : str
        A readable label, for example ``credit-risk/2``. Never used to match evidence.
    sha256 : str
        64 lower-case hexadecimal digits.

    Raises
    ------
    VerificationError
        If the digest is not 64 lower-case hexadecimal digits or the name is empty.
    """

    name: str
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise VerificationError(
                f"subject {self.name!r} has the digest {self.sha256!r}",
                expected="a SHA-256 of 64 lower-case hexadecimal digits",
            )
        if not isinstance(self.name, str) or not self.name:
            raise VerificationError("a subject has no name", expected="a non-empty label")

    def __str__(self) -> str:
        return f"{self.name} (sha256:{self.sha256[:12]})"

    def to_dict(self) -> dict[str, Any]:
        """Return the in-toto ResourceDescriptor form."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}

    @classmethod
    def from_dict(cls, value: Any) -> Subject:
        """Read the in-toto ResourceDescriptor form; other digest algorithms are ignored."""
        try:
            return cls(name=value["name"], sha256=value["digest"]["sha256"])
        except (KeyError, TypeError) as error:
            raise VerificationError(
                f"a subject is {value!r}", expected='{"name": ..., "digest": {"sha256": ...}}'
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A parsed statement beside the exact bytes it was parsed from.

    ``payload_digest`` is the SHA-256 of those bytes, the name by which other evidence refers to this one.
    """

    predicate_type: str
    subjects: tuple[Subject, ...]
    predicate: Mapping[str, Any]
    payload: bytes = field(repr=False)
    payload_digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_digest", sha256_hex(self.payload))

    @classmethod
    def build(cls, *, predicate_type: str, subjects: Sequence[Subject], predicate: dict[str, Any]) -> Statement:
        """Serialise a new statement to canonical bytes.

        Raises
        ------
        CanonicalisationError
            If the predicate holds NaN, infinities, integers of 2**53 or more, or lone surrogates.
        """
        if not subjects:
            raise VerificationError("the statement is about nothing", expected="at least one subject")
        payload = canonicalise(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject.to_dict() for subject in subjects],
                "predicateType": predicate_type,
                "predicate": predicate,
            }
        )
        return cls(predicate_type=predicate_type, subjects=tuple(subjects), predicate=predicate, payload=payload)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Statement:
        """Parse a payload strictly.

        Raises
        ------
        VerificationError
            If the payload is not canonical JSON, not an in-toto Statement v1, or names no subject.
        """
        value = parse(payload)
        if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE:
            raise VerificationError("the payload is not an in-toto statement", expected=f"_type {STATEMENT_TYPE}")
        if set(value) != {"_type", "subject", "predicateType", "predicate"}:
            raise VerificationError(
                f"the statement has the fields {sorted(value)}",
                expected="_type, subject, predicateType, predicate",
            )
        subjects, kind, predicate = value["subject"], value["predicateType"], value["predicate"]
        if (
            not isinstance(subjects, list)
            or not subjects
            or not isinstance(kind, str)
            or not isinstance(predicate, dict)
        ):
            raise VerificationError(
                "the statement's fields have the wrong types", expected="a subject list and a predicate"
            )
        return cls(
            predicate_type=kind,
            subjects=tuple(Subject.from_dict(subject) for subject in subjects),
            predicate=predicate,
            payload=payload,
        )
