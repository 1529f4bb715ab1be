"""Numbers against bounds, three-valued, computed again from the signed counts wherever counts say it all.

"Every group is above the bound" is an intersection-union claim: every one-sided bound must clear it at the full level.
"Some group is below" looks at all groups at once, so its bound is simultaneous over the family that the policy fixes. What
neither shows is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide.policy import CROSS
from ml_governance.errors import DataError
from ml_governance.evidence import intervals, planning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.decide.finding import Status
    from ml_governance.decide.policy import Require
    from ml_governance.evidence.metrics import Metric
    from ml_governance.evidence.predicates import Assessment, Measurement

TOLERANCE = 1e-9


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


class _Unusable(Exception):  # noqa: N818  a signal inside this module, not an error that a user meets
    def __init__(self, status: Status, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def judge(require: Require, definition: Metric, content: Assessment) -> tuple[Judged, ...]:
    """Judge one rule's metric, once for each attribute of ``by``, or once over all rows."""
    judged = []
    for attribute in require.by or [""]:
        try:
            judged.append(_attribute(require, definition, content, attribute))
        except _Unusable as problem:
            judged.append(Judged(suffix=attribute, status=problem.status, text=problem.text))
        except DataError as problem:
            judged.append(Judged(suffix=attribute, status="error", text=problem.found))
    return tuple(judged)


def _attribute(require: Require, definition: Metric, content: Assessment, attribute: str) -> Judged:
    by = tuple(attribute.split(CROSS)) if attribute else ()
    if definition.form in ("ratio", "difference"):
        return _comparison(require, definition, content, attribute, by)
    if definition.form == "aggregate":
        return _scores(require, [_aggregate(require, content, definition.name, attribute, by)], attribute)
    groups = _required(require, content, definition.name, attribute, by)
    if definition.form == "rate":
        return _rates(require, definition, groups, attribute)
    return _scores(require, groups, attribute)


# --- selecting what the policy names --------------------------------------------------------------------


def _required(
    require: Require, content: Assessment, metric: str, attribute: str, by: tuple[str, ...]
) -> list[Measurement]:
    """Return the measurements of the required groups: those the policy lists, or else every one reported."""
    found: dict[tuple[str, ...], Measurement] = {}
    for one in content.measurements:
        if one.metric == metric and one.by == by and (bool(one.group) == bool(by)):
            if one.group in found:
                raise _Unusable("error", f"{metric} of {_name(one.group)} is reported twice")
            found[one.group] = one
    if not by:
        if () not in found:
            raise _Unusable("missing", f"{metric} was not measured")
        wanted: list[tuple[str, ...]] = [()]
    elif attribute in require.levels:
        wanted = [tuple(level.split(CROSS)) if len(by) > 1 else (level,) for level in require.levels[attribute]]
        absent = [_name(group) for group in wanted if group not in found]
        if absent:
            raise _Unusable("missing", f"{metric} of {', '.join(absent)} was not measured, and the policy requires it")
    else:
        wanted = list(found)
        if not wanted:
            raise _Unusable("missing", f"{metric} was not measured by {attribute}")
    groups = [found[group] for group in wanted]
    for one in groups:
        if one.status == "undefined":
            raise _Unusable("error", f"{metric} of {_name(one.group)} is undefined: {one.reason or 'no reason given'}")
        if one.value is None or not math.isfinite(one.value):
            raise _Unusable("error", f"{metric} of {_name(one.group)} has no value")
    return groups


def _aggregate(require: Require, content: Assessment, metric: str, attribute: str, by: tuple[str, ...]) -> Measurement:
    """Return the one number over all groups of an attribute.

    It looks at every group that was measured, so it is at least as strict as one over the levels that the policy names;
    those must all be among them.
    """
    groups = {one.group for one in content.measurements if one.by == by and one.group}
    wanted = [tuple(level.split(CROSS)) if len(by) > 1 else (level,) for level in require.levels.get(attribute, [])]
    absent = [_name(group) for group in wanted if group not in groups]
    if absent:
        raise _Unusable("missing", f"{', '.join(absent)} was not measured, and the policy requires it")
    found = [one for one in content.measurements if one.metric == metric and one.by == by and not one.group]
    if not found:
        raise _Unusable("missing", f"{metric} was not measured by {attribute}")
    if len(found) > 1:
        raise _Unusable("error", f"{metric} by {attribute} is reported twice")
    (one,) = found
    if one.status == "undefined" or one.value is None or not math.isfinite(one.value):
        raise _Unusable("error", f"{metric} by {attribute} is undefined: {one.reason or 'no reason given'}")
    if one.status == "insufficient":
        raise _Unusable("insufficient", f"{metric} by {attribute}: {one.reason or 'too few rows'}")
    return one


def _counts(require: Require, groups: Sequence[Measurement]) -> list[tuple[float, float]]:
    """Return the signed counts, after checking that they say what the signed values say."""
    counts = []
    small = []
    for one in groups:
        k, n = one.numerator, one.denominator
        if k is None or n is None or one.value is None:
            raise _Unusable("error", f"{one.metric} of {_name(one.group)} comes without counts")
        weighted = any(interval.method.endswith("-effective") for interval in one.intervals)
        if weighted or not (float(k).is_integer() and float(n).is_integer()):
            raise _Unusable(
                "error",
                f"{one.metric} of {_name(one.group)} is weighted, and its bounds cannot be computed from counts",
            )
        if not 0 <= k <= n or n == 0 or n > one.n or abs(k / n - one.value) > TOLERANCE:
            raise _Unusable("error", f"{one.metric} of {_name(one.group)} says {one.value} and {k:g} of {n:g}")
        if n < require.min_group_size and one.by:
            small.append(f"{_name(one.group)} ({n:g})")
        counts.append((float(k), float(n)))
    if small:
        raise _Unusable("insufficient", f"fewer than {require.min_group_size} rows count for {', '.join(small)}")
    return counts


# --- the three forms ------------------------------------------------------------------------------------


def _comparison(
    require: Require, definition: Metric, content: Assessment, attribute: str, by: tuple[str, ...]
) -> Judged:
    parts = []
    details = []
    counted = []
    n = 0
    for rate in definition.of:
        groups = _required(require, content, rate, attribute, by)
        if len(groups) < 2:
            raise _Unusable("error", f"there is only one group of {attribute} to compare")
        counts = _counts(require, groups)
        function = intervals.worst_ratio if definition.form == "ratio" else intervals.worst_difference
        worst = function(counts, confidence=require.confidence, sides=require.sides, multiplicity=len(definition.of))
        parts.append(worst)
        counted.append(counts)
        n = max(n, sum(one.n for one in groups))
        low, high = groups[worst.low], groups[worst.high]
        details.append(
            f"{_name(low.group)} {_rate(counts[worst.low])}, {_name(high.group)} {_rate(counts[worst.high])}"
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
        text=f"{_words(definition.name)} by {attribute} is {_said(require, value, lower, upper)} ({details[position]}){planned}",
        value=value,
        lower=lower,
        upper=upper,
        n=n,
    )


def _rates(require: Require, definition: Metric, groups: Sequence[Measurement], attribute: str) -> Judged:
    counts = _counts(require, groups)
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
    of = f" of {_name(groups[worst].group)}" if attribute else ""
    status = _verdict(require, values[worst], lower, upper)
    planned = _planned(require, definition, [counts]) if status == "inconclusive" else ""
    return Judged(
        suffix=attribute,
        status=status,
        text=f"{_words(definition.name)}{of} is {_said(require, values[worst], lower, upper)} ({_rate(counts[worst])}){planned}",
        value=values[worst],
        lower=lower,
        upper=upper,
        n=sum(one.n for one in groups),
    )


def _scores(require: Require, groups: Sequence[Measurement], attribute: str) -> Judged:
    """Judge a number that counts alone do not give; its interval is the signed one, and must be of the asked level."""
    small = [_name(one.group) for one in groups if one.by and one.n < require.min_group_size]
    if small:
        raise _Unusable("insufficient", f"fewer than {require.min_group_size} rows in {', '.join(small)}")
    higher = _wants_higher(require)
    values = [float(one.value) for one in groups if one.value is not None]
    worst = values.index(min(values) if higher else max(values))
    lower = upper = None
    if (require.bound or ("", 0.0))[0] in ("lower_bound_at_least", "upper_bound_at_most"):
        found = [_interval(require, one) for one in groups]
        pick = min if higher else max
        lower, upper = pick(low for low, _ in found), pick(high for _, high in found)
        if not lower <= values[worst] <= upper:
            raise _Unusable("error", f"the interval of {groups[worst].metric} does not hold its value")
    of = (
        f" of {_name(groups[worst].group)}"
        if attribute and groups[worst].group
        else f" by {attribute}"
        if attribute
        else ""
    )
    return Judged(
        suffix=attribute,
        status=_verdict(require, values[worst], lower, upper),
        text=f"{_words(groups[worst].metric)}{of} is {_said(require, values[worst], lower, upper)}",
        value=values[worst],
        lower=lower,
        upper=upper,
        n=sum(one.n for one in groups),
    )


def _interval(require: Require, one: Measurement) -> tuple[float, float]:
    for interval in one.intervals:
        if interval.sides == require.sides and abs(interval.confidence - require.confidence) < TOLERANCE:
            if interval.lower is None or interval.upper is None:
                break
            return interval.lower, interval.upper
    raise _Unusable(
        "error",
        f"{one.metric} has no {require.sides} interval at {require.confidence:.0%}: assess again with confidence={require.confidence}",
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
                (_name(one.group), one.numerator, float(one.n if one.denominator is None else one.denominator))
                for one in _required(require, content, rate, attribute, by)
            )
            for rate in definition.of or (definition.name,)
        )
    except _Unusable:
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


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _name(group: tuple[str, ...]) -> str:
    return CROSS.join(group) or "all rows"
