"""A finding: one rule, or one attribute of one rule, and what the evidence says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml_governance.evidence.verdicts import FindingRecord

Status = Literal["pass", "fail", "inconclusive", "insufficient", "missing", "stale", "error", "waived"]
ORDER: tuple[Status, ...] = (
    "error",
    "missing",
    "stale",
    "fail",
    "insufficient",
    "inconclusive",
    "waived",
    "pass",
)
"""Worst first."""

EVIDENCE_PROBLEMS = frozenset({"error", "missing", "stale"})
OPEN = frozenset({"inconclusive", "insufficient"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found.

    Parameters
    ----------
    id : str
        Rule id, and the attribute where there is one: ``CRD-01/sex``.
    rule, title : str
        The rule.
    status : Status
        ``pass``: the bound is met with the stated confidence. ``fail``: it is missed with that confidence.
        ``inconclusive``: the interval spans the bound. ``insufficient``: too few rows. ``missing``, ``stale``, ``error``:
        the evidence is not there, too old, or cannot be used. ``waived``: failed, and accepted by name until a date.
    sentence : str
        The finding in words, with its numbers.
    metric : str or None
        What was measured.
    value, lower, upper, bound : float or None
        The number, its bounds, and what the policy asks for.
    n : int or None
        Rows behind it.
    evidence : tuple of int
        Ledger indices.
    payloads : tuple of str
        Payload digests of the same entries.
    controls : tuple of str
        Controls that the rule is evidence for.
    """

    id: str
    rule: str
    title: str
    status: Status
    sentence: str
    metric: str | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None
    n: int | None = None
    evidence: tuple[int, ...] = ()
    payloads: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()

    def to_record(self) -> FindingRecord:
        """Return the form that is signed."""
        return FindingRecord(
            id=self.id, rule=self.rule, title=self.title, status=self.status, sentence=self.sentence, metric=self.metric,
            value=self.value, lower=self.lower, upper=self.upper, bound=self.bound, n=self.n, evidence=self.evidence,
            controls=self.controls,
        )  # fmt: skip
