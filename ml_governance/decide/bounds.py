"""Numbers against bounds, three-valued, computed again from the signed counts wherever counts say it all.

"Every group is above the bound" is an intersection-union claim: every one-sided bound must clear it at the full level.
"Some group is below" looks at all groups at once, so its bound is simultaneous over the family that the policy fixes. What
neither shows is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide.require import CROSS
from ml_governance.decide.selecting import Unusable, aggregate, counts_of, interval_of, named, required, sufficient
from ml_governance.decide.sentences import words
from ml_governance.errors import DataError
from ml_governance.evidence import intervals, planning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.decide.finding import Status
    from ml_governance.decide.require import Require
    from ml_governance.evidence.metrics import Metric
    from ml_governance.evidence.predicates import Assessment, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The outcome for one attribute, or for all rows."""

    suffix: str
    status: Status
    text: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None


def judge(require: Require, definition: Metric, content: Assessment) -> tuple[Judged, ...]:
    """Judge one rule's metric, once for each attribute of ``by``, or once over all rows."""
    judged = []
    for attribute in require.by or [""]:
        try:
            judged.append(_attribute(require, definition, content, attribute))
        except Unusable as problem:
            judged.append(Judged(suffix=attribute, status=problem.status, text=problem.text))
        except DataError as problem:
            judged.append(Judged(suffix=attribute, status="error", text=problem.found))
    return tuple(judged)


def _attribute(require: Require, definition: Metric, content: Assessment, attribute: str) -> Judged:
    by = tuple(attribute.split(CROSS)) if attribute else ()
    if definition.form in ("ratio", "difference"):
        return _comparison(require, definition, content, attribute, by)
    if definition.form == "aggregate":
        return _scores(require, [aggregate(require, content, definition.name, attribute, by)], attribute)
    groups = required(require, content, definition.name, attribute, by)
    if definition.form == "rate":
        return _rates(require, definition, groups, attribute)
    return _scores(require, groups, attribute)


# --- the three forms ------------------------------------------------------------------------------------


def _comparison(
    require: Require, definition: Metric, content: Assessment, attribute: str, by: tuple[str, ...]
) -> Judged:
    parts = []
    details = []
    counted = []
    n = 0
    for rate in definition.of:
        groups = required(require, content, rate, attribute, by)
        if len(groups) < 2:
            raise Unusable("error", f"there is only one group of {attribute} to compare")
        counts = counts_of(require, groups)
        function = intervals.worst_ratio if definition.form == "ratio" else intervals.worst_difference
        worst = function(counts, confidence=require.confidence, sides=require.sides, multiplicity=len(definition.of))
        parts.append(worst)
        counted.append(counts)
        n = max(n, sum(one.n for one in groups))
        low, high = groups[worst.low], groups[worst.high]
        details.append(
            f"{named(low.group)} {_rate(counts[worst.low])}, {named(high.group)} {_rate(counts[worst.high])}"
        )
    pick = min if definition.form == "ratio" else max
    position = parts.index(pick(parts, key=lambda part: part.value))
    value = parts[position].value
    lower, upper = pick(part.lower for part in parts), pick(part.upper for part in parts)
    status = _verdict(require, value, lower, upper)
    planned = _planned(require, definition, counted) if status == "inconclusive" else ""
    return Judged(
        suffix=attribute,
        status=status,
        text=f"{words(definition.name)} by {attribute} is {_said(require, value, lower, upper)} ({details[position]}){planned}",
        value=value,
        lower=lower,
        upper=upper,
        n=n,
    )


def _rates(require: Require, definition: Metric, groups: Sequence[Measurement], attribute: str) -> Judged:
    counts = counts_of(require, groups)
    alpha = 1 - require.confidence
    each = [intervals.rate(k, n, confidence=require.confidence, sides=require.sides) for k, n in counts]
    every = [intervals.rate(k, n, confidence=1 - alpha / len(counts), sides=require.sides) for k, n in counts]
    higher = _wants_higher(require)
    values = [k / n for k, n in counts]
    worst = values.index(min(values) if higher else max(values))
    if higher:
        lower, upper = min(one.lower for one in each), min(one.upper for one in every)
    else:
        lower, upper = max(one.lower for one in every), max(one.upper for one in each)
    of = f" of {named(groups[worst].group)}" if attribute else ""
    status = _verdict(require, values[worst], lower, upper)
    planned = _planned(require, definition, [counts]) if status == "inconclusive" else ""
    return Judged(
        suffix=attribute,
        status=status,
        text=f"{words(definition.name)}{of} is {_said(require, values[worst], lower, upper)} ({_rate(counts[worst])}){planned}",
        value=values[worst],
        lower=lower,
        upper=upper,
        n=sum(one.n for one in groups),
    )


def _scores(require: Require, groups: Sequence[Measurement], attribute: str) -> Judged:
    """Judge a number that counts alone do not give; its interval is the signed one, and must be of the asked level."""
    sufficient(require, groups)
    higher = _wants_higher(require)
    values = [float(one.value) for one in groups if one.value is not None]
    worst = values.index(min(values) if higher else max(values))
    lower = upper = None
    if (require.bound or ("", 0.0))[0] in ("lower_bound_at_least", "upper_bound_at_most"):
        found = [interval_of(one, require.confidence, require.sides) for one in groups]
        pick = min if higher else max
        lower, upper = pick(low for low, _ in found), pick(high for _, high in found)
        if not lower <= values[worst] <= upper:
            raise Unusable("error", f"the interval of {groups[worst].metric} does not hold its value")
    of = (
        f" of {named(groups[worst].group)}"
        if attribute and groups[worst].group
        else f" by {attribute}"
        if attribute
        else ""
    )
    return Judged(
        suffix=attribute,
        status=_verdict(require, values[worst], lower, upper),
        text=f"{words(groups[worst].metric)}{of} is {_said(require, values[worst], lower, upper)}",
        value=values[worst],
        lower=lower,
        upper=upper,
        n=sum(one.n for one in groups),
    )


# --- verdict and words ----------------------------------------------------------------------------------


def _verdict(require: Require, value: float, lower: float | None, upper: float | None) -> Status:
    bound = require.bound
    assert bound is not None  # noqa: S101  the policy was checked: a metric has exactly one bound
    name, number = bound
    if name == "value_at_least":
        return "pass" if value >= number else "fail"
    if name == "value_at_most":
        return "pass" if value <= number else "fail"
    if lower is None or upper is None or not (math.isfinite(lower) and not math.isnan(upper)):
        return "error"
    if name == "lower_bound_at_least":
        return "pass" if lower >= number else "fail" if upper < number else "inconclusive"
    return "pass" if upper <= number else "fail" if lower > number else "inconclusive"


def plan(require: Require, definition: Metric, parts: Sequence[Sequence[tuple[float, float]]]) -> planning.Plan | None:
    """Return the size of a new test set that would settle a comparison, were the rates as measured.

    Parameters
    ----------
    require : Require
        What the rule asks for; it has a bound.
    definition : Metric
        What the metric means.
    parts : sequence of sequence of (k, n)
        For each rate that is compared, the cases and rows of each group.

    Returns
    -------
    Plan or None
        None where no size would, or where counts alone do not say it.
    """
    form, bound = definition.form, require.bound
    if bound is None or form == "score" or form == "aggregate":  # noqa: PLR1714  this way the type checker sees what is left
        return None
    return planning.joined(
        [
            planning.rows_to_settle(
                counts, form=form, side="at_least" if _wants_higher(require) else "at_most", bound=bound[1],
                confidence=require.confidence, sides=require.sides, multiplicity=len(parts),
            )
            for counts in parts
        ]
    )  # fmt: skip


def sizes(
    require: Require, definition: Metric, content: Assessment, attribute: str
) -> tuple[tuple[tuple[str, float | None, float], ...], ...]:
    """Return name, cases and rows that count of each required group, once for each rate that is compared.

    Cases are None where the number is not a rate. Empty where the evidence cannot be used at all.
    """
    by = tuple(attribute.split(CROSS)) if attribute else ()
    if definition.form == "aggregate":
        return ()
    try:
        return tuple(
            tuple(
                (named(one.group), one.numerator, float(one.n if one.denominator is None else one.denominator))
                for one in required(require, content, rate, attribute, by)
            )
            for rate in definition.of or (definition.name,)
        )
    except Unusable:
        return ()


def _planned(require: Require, definition: Metric, parts: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Say how many rows would have settled it, for planning a new test set."""
    found = plan(require, definition, parts)
    if found is None:
        return "; no test set would settle it, were the rates as measured"
    times = f"{found.factor:.1f}" if found.factor < 10 else f"{found.factor:,.0f}"
    would = "pass" if found.outcome == "pass" else "fail"
    return (
        f"; were the rates as measured, a new test set of about {times} times as many rows would {would} with a chance of "
        f"{found.power:.0%} (for planning: rows are never added to this one until it passes)"
    )


def _wants_higher(require: Require) -> bool:
    return (require.bound or ("at_least", 0.0))[0].endswith("at_least")


def _said(require: Require, value: float, lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return f"{value:.3g}"
    return f"{value:.3f}, {require.confidence:.0%} {require.sides} bounds {lower:.3f} to {upper:.3f}"


def _rate(counts: tuple[float, float]) -> str:
    return f"{counts[0]:,.0f} of {counts[1]:,.0f} = {counts[0] / counts[1]:.1%}"
