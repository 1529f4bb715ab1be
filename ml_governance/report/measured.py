"""What an assessment measured, as a report shows it: every number with its interval, its rows, and the entry it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.evidence import intervals
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.predicates import BASELINE, Assessment

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation
    from ml_governance.evidence.predicates import Measurement

REFERENCE_SHARE = 0.02
"""A group with fewer rows than this share, or than half of an equal one where groups are many, is never what others are compared
with: its own rate is mostly chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number as a report shows it, with where it came from."""

    metric: str
    group: str
    value: float | None
    lower: float | None
    upper: float | None
    n: int | None
    status: str
    reason: str | None


def source(entry: Attestation) -> dict[str, Any]:
    """Return where a statement stands, who signed it, and when."""
    return {
        "index": entry.index,
        "payload": entry.payload_digest,
        "by": entry.principal.id,
        "at": stamp(entry.recorded_at),
    }


def cell(one: Measurement) -> Cell:
    """Return a measurement as a report shows it: with its two-sided interval; ``withheld``, without rows, if it is."""
    interval = next((i for i in one.intervals if i.sides == "two-sided"), None)
    return Cell(
        metric=one.metric, group=" x ".join(one.group), value=one.value, lower=interval.lower if interval else None,
        upper=interval.upper if interval else None, n=None if one.withheld else one.n,
        status="withheld" if one.withheld else one.status, reason=one.reason,
    )  # fmt: skip


def assessment(entry: Attestation | None) -> dict[str, Any] | None:
    """Return what an assessment found, overall and by group; None where there is none."""
    if entry is None or not isinstance(entry.content, Assessment):
        return None
    content = entry.content
    return {
        **source(entry),
        "predictions": content.predictions,
        "dataset": content.dataset.to_wire(),
        "confidence": content.confidence,
        "overall": [asdict(cell(one)) for one in content.measurements if not one.by],
        "groups": [
            {"by": " x ".join(one.by), **asdict(cell(one))} for one in content.measurements if one.by and one.group
        ],
        "details": {name: part for name, part in content.details.items() if name != BASELINE},
    }


SHOWN_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def fairness(entry: Attestation | None, decision: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a fairness assessment by attribute, with the decision's bound on selection rates; None where there is none.

    Of regressions and of several classes, whose selection rates are none or do not compare, the numbers of groups are ``plain``.
    """
    base = assessment(entry)
    if base is None or entry is None or not isinstance(entry.content, Assessment):
        return None
    content = entry.content
    attributes = []
    for by in dict.fromkeys(one.by for one in content.measurements if one.by):
        own = [one for one in content.measurements if one.by == by]
        rows = []
        selection = {one.group: one for one in own if one.metric == "selection_rate" and one.group}
        for group in dict.fromkeys(one.group for one in own if one.group):
            by_metric = {one.metric: one for one in own if one.group == group}
            rows.append(
                {
                    "group": " x ".join(group),
                    "n": cell(next(iter(by_metric.values()))).n,
                    "rates": {name: asdict(cell(by_metric[name])) for name in SHOWN_RATES if name in by_metric},
                    "impact": _impact(group, selection, content.confidence),
                }
            )
        attributes.append(
            {
                "by": " x ".join(by),
                "plain": []
                if selection and "classes" not in content.columns
                else [asdict(cell(one)) for one in own if one.group],
                "rows": rows,
                "comparisons": [asdict(cell(one)) for one in own if not one.group],
            }
        )
    bound = None
    for finding in (decision or {}).get("findings", ()):
        if finding.get("metric") in ("selection_rate_ratio", "demographic_parity_ratio"):
            bound = finding.get("bound")
    return {**base, "attributes": attributes, "bound": bound}


def _impact(group: tuple[str, ...], selection: dict[tuple[str, ...], Measurement], confidence: float) -> dict[str, Any]:
    """Return a group's selection rate over the highest one of any group that is large enough, with its interval."""
    smallest = min(REFERENCE_SHARE, 1 / (2 * max(len(selection), 1))) * sum(one.n for one in selection.values())
    solid = {
        g: one for g, one in selection.items() if one.status == "ok" and one.value is not None and one.n >= smallest
    }
    one = selection.get(group)
    withheld = any(other.withheld for other in selection.values())  # who has the highest rate is not known then
    if one is None or one.value is None or not solid or withheld:
        status = "withheld" if withheld else one.status if one and one.value is None else "undefined"
        return {"value": None, "lower": None, "upper": None, "reference": "", "status": status}
    reference = max(solid, key=lambda g: (solid[g].value or 0.0, g))
    top = solid[reference]
    if not top.value:
        return {
            "value": None,
            "lower": None,
            "upper": None,
            "reference": " x ".join(reference),
            "status": "undefined",
        }
    lower = upper = None
    counts = (one.numerator, one.denominator, top.numerator, top.denominator)
    if group != reference and one.intervals and all(c is not None for c in counts):
        k1, n1, k2, n2 = (float(c) for c in counts if c is not None)
        lower, upper = intervals.ratio(k1, n1, k2, n2, confidence=confidence, sides="two-sided")
    return {
        "value": one.value / top.value,
        "lower": lower,
        "upper": upper,
        "reference": " x ".join(reference),
        "status": one.status,
    }
