"""No worse than the model in use: non-inferiority on the same rows. Numbers from different rows are not compared.

The difference is candidate minus champion. Where the evidence says on how many rows both, one or neither of the two is a case, or what
their difference is with its paired interval, and says the same as what was signed of each, the interval is the paired one. Otherwise
each model's own bound is taken at half the error, and the difference of the two bounds then holds with the whole confidence however the
two sets of predictions are correlated (Bonferroni's inequality): wider than a paired interval, and never narrower than it should be.

Source: Piaggio et al. (CONSORT), JAMA 308 (2012) 2594, on non-inferiority; Dunn, JASA 56 (1961) 52, on the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ml_governance.decide.bounds import Judged
from ml_governance.decide.require import CROSS
from ml_governance.decide.selecting import (
    TOLERANCE,
    Unusable,
    aggregate,
    counts_of,
    interval_of,
    named,
    required,
    sufficient,
)
from ml_governance.errors import DataError
from ml_governance.evidence import intervals, paired
from ml_governance.evidence.predicates import Measurement, Promotion, Registration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.decide.finding import Status
    from ml_governance.decide.policy import Policy
    from ml_governance.decide.require import Champion, Require
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.metrics import Metric
    from ml_governance.evidence.predicates import Assessment
    from ml_governance.evidence.statement import Subject


PAIRED = "paired"
"""Key of an assessment's details: ``{"with": digest of the other model, "counts": [{"metric", "by", "group", "counts"}],
"differences": [measurement of this model less the other]}``."""

_Pair = tuple[float, float]
_Key = tuple[str, tuple[str, ...], tuple[str, ...]]
_Counts = tuple[int, int, int, int]
_Joint = dict[_Key, "_Counts | Measurement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The model in use.

    Parameters
    ----------
    subject : Subject or None
        None if no promotion counts.
    note : str
        Promotions that were recorded and do not count, as a clause; empty if there are none.
    doubt : str
        Why another model may be in use, or why this one should not be, as a clause: then nothing passes by comparison with it.
    """

    subject: Subject | None
    note: str = ""
    doubt: str = ""


def names_of(subject: Subject, evidence: EvidenceView) -> frozenset[str]:
    """Return the names under which exactly these bytes were registered."""
    entries = evidence.about(subject.sha256, Registration.kind)
    return frozenset(a.content.name for a in entries if isinstance(a.content, Registration))


def versions_of(names: frozenset[str], evidence: EvidenceView) -> frozenset[str]:
    """Return the digests of every version that was registered under some names."""
    entries = evidence.of_kind(Registration.kind)
    return frozenset(
        one.sha256
        for a in entries
        if isinstance(a.content, Registration) and a.content.name in names
        for one in a.subjects
    )


def incumbent(subject: Subject, asked: Champion, policy: Policy, evidence: EvidenceView, project: str) -> Incumbent:
    """Return the model that was last promoted to a stage under the candidate's name, through the gate, by somebody who may.

    Whoever may promote can record a promotion that never went through the gate. Such a one makes no champion, and casts a doubt
    until a later promotion counts: what it says may be so.

    Raises
    ------
    Unusable
        If a later promotion counts no more, or the candidate has several names with different models in use: an author could
        choose the weaker one by registering the same bytes once more.
    """
    stage = asked.stage or policy.stage
    found: dict[str, Subject] = {}
    strangers, doubts = [], []
    for name in sorted(names_of(subject, evidence)):
        done = [a for a in evidence.of_kind(Promotion.kind) if _entered(a, name, stage)]
        counting = [a for a in done if a.principal.roles & set(policy.promote.roles)]
        strangers += [f"#{a.index}, signed by {a.principal.id}, who may not promote" for a in done if a not in counting]
        newest, doubted = _newest(counting, evidence, project)
        doubts += doubted
        versions = versions_of(frozenset({name}), evidence)
        for gone in evidence.void:
            if gone.kind == Promotion.kind and gone.subjects & versions and (not newest or gone.index > newest.index):
                raise Unusable(
                    "inconclusive",
                    f"the promotion at #{gone.index} counts no more, so which model is in use is not known",
                )
        if newest is not None:
            found[newest.subjects[0].sha256] = newest.subjects[0]
    others = [one for sha256, one in found.items() if sha256 != subject.sha256]
    if len(others) > 1:
        in_use = ", ".join(one.name for one in others)
        raise Unusable("error", f"the model is registered under several names, and {in_use} are in use under them")
    note = f"; promotions that do not count: {', '.join(strangers)}" if strangers else ""
    return Incumbent(subject=others[0] if others else subject if found else None, note=note, doubt="; ".join(doubts))


def _newest(done: Sequence[Attestation], evidence: EvidenceView, project: str) -> tuple[Attestation | None, list[str]]:
    """Return the outcome of the newest promotion that counts, and what speaks against it and those after it."""
    from ml_governance.decide import passage  # it counts approvals, which rests on rules, and those on this

    known: dict[int, passage.Passage] = {}
    for sha256 in dict.fromkeys(one.sha256 for a in done for one in a.subjects):
        about = next(one for a in done for one in a.subjects if one.sha256 == sha256)
        known |= {one.outcome.index: one for one in passage.passages(evidence, about) if one.outcome is not None}
    doubts: list[str] = []
    # In the order in which they were announced: who signs the outcome of an old one late brings nothing back.
    ordered = sorted(done, key=lambda a: known[a.index].intent.index if a.index in known else a.index, reverse=True)
    for entry in ordered:
        one = known.get(entry.index)
        if one is None:
            fault = "no promotion was announced whose end this is"
        elif len(entry.subjects) > 1:
            fault = "it is about several models"
        else:
            fault = evidence.once(
                ("unproven", one.intent.index, project), partial(passage.unproven, one, evidence, project)
            )
        if not fault and one is not None:
            since = passage.taken_back(one, evidence)
            return entry, [*doubts, *([f"of the promotion at #{entry.index}, {since}"] if since else [])]
        doubts.append(
            f"the promotion at #{entry.index}, signed by {entry.principal.id}, did not go through the gate: {fault}"
        )
    return None, doubts


def _entered(entry: Attestation, name: str, stage: str) -> bool:
    one = entry.content
    return isinstance(one, Promotion) and (one.phase, one.result, one.name, one.stage) == (
        "outcome",
        "done",
        name,
        stage,
    )


def compare(
    require: Require, definition: Metric, content: Assessment, other: Assessment, champion: Subject
) -> tuple[Judged, ...]:
    """Judge a metric of the candidate against the same of the champion, once for each attribute of ``by``.

    Parameters
    ----------
    require, definition
        What is asked, and what the metric means.
    content, other : Assessment
        Of the candidate and of the champion, on the same rows.
    champion : Subject
        The champion.
    """
    judged = []
    for attribute in require.by or [""]:
        try:
            joint = _joint(content, champion)
            judged.append(_attribute(require, definition, (content, other), attribute, champion.name, joint))
        except Unusable as problem:
            judged.append(Judged(suffix=attribute, status=problem.status, text=problem.text))
        except DataError as problem:
            judged.append(Judged(suffix=attribute, status="error", text=problem.found))
    return tuple(judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    """One number of one model: its value, its bounds at half the error, at half of its share of the family's, its counts."""

    group: tuple[str, ...]
    value: float
    each: _Pair
    every: _Pair
    n: int
    counts: _Pair | None = None


def _attribute(
    require: Require,
    definition: Metric,
    contents: tuple[Assessment, Assessment],
    attribute: str,
    name: str,
    joint: _Joint,
) -> Judged:
    by = tuple(attribute.split(CROSS)) if attribute else ()
    ours, theirs = (_numbers(require, definition, content, attribute, by) for content in contents)
    pairs = _matched(definition, ours, theirs)
    higher = definition.better == "higher"
    gaps = [mine.value - other.value for mine, other in pairs]
    together = [joint.get((definition.name, by, mine.group)) for mine, _ in pairs]
    share = 1 - (1 - require.confidence) / len(pairs)
    each = [
        _apart(require, require.confidence, pair, pair[0].each, pair[1].each, j)
        for pair, j in zip(pairs, together, strict=True)
    ]
    every = [
        # A signed interval is of one level, which is that of one group.
        (-math.inf, math.inf)
        if isinstance(j, Measurement) and len(pairs) > 1
        else _apart(require, share, pair, pair[0].every, pair[1].every, j)
        for pair, j in zip(pairs, together, strict=True)
    ]
    how = "paired" if None not in together else "whatever their correlation"
    worst = gaps.index(min(gaps) if higher else max(gaps))
    if higher:
        lower, upper = min(low for low, _ in each), min(high for _, high in every)
    else:
        lower, upper = max(low for low, _ in every), max(high for _, high in each)
    mine, other = pairs[worst]
    of = f" of {named(mine.group)}" if mine.group else f" by {attribute}" if attribute else ""
    return Judged(
        suffix=attribute,
        status=_verdict(require, higher=higher, lower=lower, upper=upper),
        text=(
            f"{definition.name.replace('_', ' ')}{of} is {mine.value:.3f}, and {other.value:.3f} for {name}, the model in use, "
            f"on the same rows: a difference of {gaps[worst]:+.3f}, {require.confidence:.0%} {require.sides} bounds "
            f"{lower:+.3f} to {upper:+.3f}, {how}"
        ),
        value=gaps[worst],
        lower=lower,
        upper=upper,
        n=sum(one.n for one in ours),
    )


def _numbers(
    require: Require, definition: Metric, content: Assessment, attribute: str, by: tuple[str, ...]
) -> list[_Number]:
    half = 1 - (1 - require.confidence) / 2
    if definition.form in ("ratio", "difference"):
        return [_worst(require, definition, content, attribute, by, half)]
    if definition.form == "aggregate":
        groups = [aggregate(require, content, definition.name, attribute, by)]
    else:
        groups = required(require, content, definition.name, attribute, by)
    bounds = _of_rates if definition.form == "rate" else _of_scores
    return [
        _Number(
            group=one.group,
            value=float(one.value or 0.0),
            each=each,
            every=every,
            n=one.n,
            counts=None if one.numerator is None or one.denominator is None else (one.numerator, one.denominator),
        )
        for one, (each, every) in zip(groups, bounds(require, groups, half), strict=True)
    ]


def _of_rates(require: Require, groups: Sequence[Measurement], half: float) -> list[tuple[_Pair, _Pair]]:
    share = 1 - (1 - half) / len(groups)

    def at(level: float, k: float, n: float) -> _Pair:
        one = intervals.rate(k, n, confidence=level, sides=require.sides)
        return one.lower, one.upper

    return [(at(half, k, n), at(share, k, n)) for k, n in counts_of(require, groups)]


def _of_scores(require: Require, groups: Sequence[Measurement], half: float) -> list[tuple[_Pair, _Pair]]:
    """Return the signed intervals; they are of one level, too narrow for "some of several groups is worse": that stays open."""
    sufficient(require, groups)
    each = [interval_of(one, half, require.sides) for one in groups]
    return [(one, one if len(groups) == 1 else (-math.inf, math.inf)) for one in each]


def _worst(
    require: Require, definition: Metric, content: Assessment, attribute: str, by: tuple[str, ...], level: float
) -> _Number:
    function = intervals.worst_ratio if definition.form == "ratio" else intervals.worst_difference
    parts, n = [], 0
    for rate in definition.of:
        groups = required(require, content, rate, attribute, by)
        if len(groups) < 2:
            raise Unusable("error", f"there is only one group of {attribute} to compare")
        counts = counts_of(require, groups)
        parts.append(function(counts, confidence=level, sides=require.sides, multiplicity=len(definition.of)))
        n = max(n, sum(one.n for one in groups))
    pick = min if definition.form == "ratio" else max
    bounds = pick(part.lower for part in parts), pick(part.upper for part in parts)
    return _Number(group=(), value=pick(part.value for part in parts), each=bounds, every=bounds, n=n)


def _matched(definition: Metric, ours: Sequence[_Number], theirs: Sequence[_Number]) -> list[tuple[_Number, _Number]]:
    by_group = {one.group: one for one in theirs}
    absent = [named(one.group) for one in ours if one.group not in by_group]
    absent += [named(group) for group in by_group if group not in {one.group for one in ours}]
    if absent:
        raise Unusable("error", f"{definition.name} of {', '.join(absent)} was measured of one of the two models only")
    return [(one, by_group[one.group]) for one in ours]


def _between(mine: _Pair, other: _Pair) -> _Pair:
    return mine[0] - other[1], mine[1] - other[0]


def _apart(
    require: Require,
    confidence: float,
    pair: tuple[_Number, _Number],
    mine: _Pair,
    other: _Pair,
    joint: _Counts | Measurement | None,
) -> _Pair:
    """Return the bounds of a difference: paired where what was signed of both says what was signed of each, else between the two."""
    if joint is None:
        return _between(mine, other)
    if isinstance(joint, Measurement):
        gap = pair[0].value - pair[1].value
        if joint.value is None or abs(joint.value - gap) > TOLERANCE * max(1.0, abs(pair[0].value), abs(pair[1].value)):
            raise Unusable(
                "error",
                f"the difference {joint.value} of the two models contradicts what was signed of each, {gap:+.6g}",
            )
        lower, upper = interval_of(joint, confidence, require.sides)
        if not lower <= joint.value <= upper:
            raise Unusable("error", f"the paired interval of {joint.metric} does not hold the difference")
        return lower, upper
    both, first, second, _ = joint
    n = float(sum(joint))
    if (pair[0].counts, pair[1].counts) != ((both + first, n), (both + second, n)):
        raise Unusable("error", f"the joint counts {joint} of the two models contradict what was signed of each")
    bounds = paired.difference(*joint, confidence=confidence, sides=require.sides)
    return bounds.lower, bounds.upper


def _joint(content: Assessment, champion: Subject) -> _Joint:
    """Return the joint counts, and the differences, that the evidence has of exactly these two models."""
    said = content.details.get(PAIRED)
    if said is None:
        return {}
    found: _Joint = {}
    try:
        if said["with"] != champion.sha256:
            return {}
        for one in said["counts"]:
            key = str(one["metric"]), tuple(map(str, one["by"])), tuple(map(str, one["group"]))
            whole = [int(k) for k in one["counts"]]
            if len(whole) != 4 or min(whole) < 0 or whole != one["counts"] or key in found:
                raise ValueError(f"{one!r:.200}")
            found[key] = whole[0], whole[1], whole[2], whole[3]
        for one in said.get("differences", ()):
            difference = Measurement.model_validate(one)
            key = difference.metric, difference.by, difference.group
            if key in found:
                raise ValueError(f"{key!r:.200} stands there twice")
            if difference.status == "ok" and difference.intervals:
                found[key] = difference
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unusable(
            "error", f"the evidence says of the two models together what cannot be read: {error!s:.200}"
        ) from error
    return found


def _verdict(require: Require, *, higher: bool, lower: float, upper: float) -> Status:
    assert require.champion is not None  # noqa: S101  that is why we are here
    margin = require.champion.margin
    if math.isnan(lower) or math.isnan(upper):
        return "error"
    if higher:
        return "pass" if lower >= -margin else "fail" if upper < -margin else "inconclusive"
    return "pass" if upper <= margin else "fail" if lower > margin else "inconclusive"
