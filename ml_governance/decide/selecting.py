"""Which numbers of an assessment a rule is about: those of the groups that the policy names, and only if they can be used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ml_governance.decide.require import CROSS
from ml_governance.evidence.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.decide.finding import Status
    from ml_governance.decide.require import Require
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Assessment, Measurement

TOLERANCE = 1e-9


class Unusable(Exception):  # noqa: N818  a signal inside deciding, not an error that a user meets
    """The evidence cannot be judged; the finding's status, and why."""

    def __init__(self, status: Status, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def required(
    require: Require, content: Assessment, metric: str, attribute: str, by: tuple[str, ...]
) -> list[Measurement]:
    """Return the measurements of the required groups: those the policy lists, or else every one reported."""
    found: dict[tuple[str, ...], Measurement] = {}
    for one in content.measurements:
        if one.metric == metric and one.by == by and (bool(one.group) == bool(by)):
            if one.group in found:
                raise Unusable("error", f"{metric} of {named(one.group)} is reported twice")
            found[one.group] = one
    shown = metric.replace("_", " ")
    if not by:
        if () not in found:
            raise Unusable("missing", f"{shown} was not measured")
        wanted: list[tuple[str, ...]] = [()]
    elif attribute in require.levels:
        wanted = [tuple(level.split(CROSS)) if len(by) > 1 else (level,) for level in require.levels[attribute]]
        absent = [named(group) for group in wanted if group not in found]
        if absent:
            raise Unusable("missing", f"{shown} of {', '.join(absent)} was not measured, and the policy requires it")
    else:
        wanted = list(found)
        if not wanted:
            raise Unusable("missing", f"{shown} was not measured by {attribute}")
    groups = [found[group] for group in wanted]
    for one in groups:
        _usable(require, one, metric, shown)
    return groups


def _usable(require: Require, one: Measurement, metric: str, shown: str) -> None:
    """Refuse a number that there is not, or that no such metric can have."""
    if one.status == "undefined":
        raise Unusable("error", f"{shown} of {named(one.group)} is undefined: {one.reason or 'no reason given'}")
    if one.value is None or not math.isfinite(one.value):
        raise Unusable("error", f"{shown} of {named(one.group)} has no value")
    _in_range(require, one.value, metric, named(one.group))


def _in_range(require: Require, value: float, metric: str, of: str) -> None:
    """Refuse a number that no such metric can have."""
    known = METRICS.get((require.evidence, metric))
    if known is None:
        return
    if (known.low is not None and value < known.low - TOLERANCE) or (
        known.high is not None and value > known.high + TOLERANCE
    ):
        raise Unusable("error", f"{metric.replace('_', ' ')} of {of} is {value:g}, and its range is {known.range}")


def sufficient(require: Require, groups: Sequence[Measurement]) -> None:
    """Refuse numbers that rest on too few rows, by the policy's size of a group or by what whoever measured them says."""
    small = [named(one.group) for one in groups if one.by and one.n < require.min_group_size]
    if small:
        raise Unusable("insufficient", f"fewer than {require.min_group_size} rows in {', '.join(small)}")
    for one in groups:
        if one.status == "insufficient":
            raise Unusable(
                "insufficient", f"{one.metric.replace('_', ' ')} of {named(one.group)}: {one.reason or 'too few rows'}"
            )


def aggregate(require: Require, content: Assessment, metric: str, attribute: str, by: tuple[str, ...]) -> Measurement:
    """Return the one number over all groups of an attribute.

    It looks at every group that was measured, so it is at least as strict as one over the levels that the policy names;
    those must all be among them.
    """
    groups = {one.group for one in content.measurements if one.by == by and one.group}
    wanted = [tuple(level.split(CROSS)) if len(by) > 1 else (level,) for level in require.levels.get(attribute, [])]
    absent = [named(group) for group in wanted if group not in groups]
    if absent:
        raise Unusable("missing", f"{', '.join(absent)} was not measured, and the policy requires it")
    found = [one for one in content.measurements if one.metric == metric and one.by == by and not one.group]
    if not found:
        raise Unusable("missing", f"{metric} was not measured by {attribute}")
    if len(found) > 1:
        raise Unusable("error", f"{metric} by {attribute} is reported twice")
    (one,) = found
    if one.status == "undefined" or one.value is None or not math.isfinite(one.value):
        raise Unusable("error", f"{metric} by {attribute} is undefined: {one.reason or 'no reason given'}")
    if one.status == "insufficient":
        raise Unusable("insufficient", f"{metric} by {attribute}: {one.reason or 'too few rows'}")
    _in_range(require, one.value, metric, f"all groups of {attribute}")
    return one


def counts_of(require: Require, groups: Sequence[Measurement]) -> list[tuple[float, float]]:
    """Return the signed counts, after checking that they say what the signed values say."""
    counts = []
    small = []
    for one in groups:
        k, n = one.numerator, one.denominator
        if k is None or n is None or one.value is None:
            raise Unusable("error", f"{one.metric} of {named(one.group)} comes without counts")
        if one.status == "insufficient" and not one.by:  # of a group, the policy's own smallest size says it
            raise Unusable("insufficient", f"{one.metric} of all rows: {one.reason or 'too few rows'}")
        weighted = any(interval.method.endswith("-effective") for interval in one.intervals)
        if weighted or not (float(k).is_integer() and float(n).is_integer()):
            raise Unusable(
                "error",
                f"{one.metric} of {named(one.group)} is weighted, and its bounds cannot be computed from counts",
            )
        if not 0 <= k <= n or n == 0 or n > one.n or abs(k / n - one.value) > TOLERANCE:
            raise Unusable("error", f"{one.metric} of {named(one.group)} says {one.value} and {k:g} of {n:g}")
        if n < require.min_group_size and one.by:
            small.append(f"{named(one.group)} ({n:g})")
        counts.append((float(k), float(n)))
    if small:
        raise Unusable("insufficient", f"fewer than {require.min_group_size} rows count for {', '.join(small)}")
    return counts


def interval_of(one: Measurement, confidence: float, sides: Sides) -> tuple[float, float]:
    """Return the signed interval whose bounds each hold with what a confidence leaves to one side."""
    tail = _tail(confidence, sides)
    for interval in one.intervals:
        if abs(_tail(interval.confidence, interval.sides) - tail) < TOLERANCE:
            if interval.lower is None or interval.upper is None:
                break
            return interval.lower, interval.upper
    raise Unusable(
        "error",
        f"{one.metric} has no {sides} interval at {confidence:g}: assess again with confidence={confidence:g}",
    )


def _tail(confidence: float, sides: Sides) -> float:
    return (1 - confidence) / (2 if sides == "two-sided" else 1)


def named(group: tuple[str, ...]) -> str:
    """Return a group in words."""
    return CROSS.join(group) or "all rows"
