"""Comparisons that are looked at together: intervals that all hold at once, and flags that account for how many there are.

The family is named before the numbers are seen: rates, times attributes, times groups. A member that turns out undefined or
too small stays in the count, so nobody gains by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import linearised, relative, simultaneous
from ml_governance.assess.contrasts import Number, measured
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.contrasts import Contrast
    from ml_governance.assess.cube import Cube
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

    Against = Literal["none", "overall"] | Mapping[str, str]

EXPECTED = 5
"""Below this many expected cases a test is exact, not normal (Cochran, Biometrics 10 (1954) 417)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a family.

    Parameters
    ----------
    metric : str
        Name of the number.
    by : tuple of str
        Attributes.
    number : Number
        The number itself: a rate, a difference or a ratio.
    pair : (Number, Number) or None
        The two independent rates that are compared: a group and the reference, or a group and everybody else.
    influence : array of float64, of the cube's shape
        Of the number, or of its logarithm where it is a ratio; zeros where it is undefined.
    """

    metric: str
    by: tuple[str, ...]
    number: Number
    pair: tuple[Number, Number] | None
    influence: NDArray[np.float64] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Whether a group differs from what it is compared with, among all that were looked at.

    Parameters
    ----------
    metric : str
        The rate.
    by, group : tuple of str
        Attributes, and levels of the group.
    difference : float or None
        Group minus reference; None where undefined.
    p_value : float or None
        Of equal rates, two-sided: Fisher's exact test where fewer than 5 cases or non-cases are expected, else the
        score test. None where there is none; such a member counts as 1.
    adjusted : float or None
        p-value adjusted for the family.
    flagged : bool
        Whether ``adjusted`` is at most alpha.
    reason : str or None
        Why there is no p-value.
    """

    metric: str
    by: tuple[str, ...]
    group: tuple[str, ...]
    difference: float | None
    p_value: float | None
    adjusted: float | None
    flagged: bool
    reason: str | None = None


def family(
    cube: Cube, metrics: Sequence[str], bys: Sequence[Sequence[str]], against: Against, form: Contrast = "difference"
) -> list[Member]:
    """List the members of a family.

    Parameters
    ----------
    cube : Cube
        Counts.
    metrics : sequence of str
        Rates.
    bys : sequence of sequence of str
        Attributes, or crossings of them.
    against : {'none', 'overall'} or mapping of attribute to level
        ``none`` lists the rates themselves, ``overall`` compares each group with all rows, a mapping names the reference
        level of every attribute.
    form : {'difference', 'ratio'}, default 'difference'
        How groups are compared.

    Raises
    ------
    DataError
        If a metric is no rate, or a reference group is unknown.
    """
    made = []
    for metric in metrics:
        if metric not in relative.RATE_NAMES:
            known = ", ".join(sorted(relative.RATE_NAMES))
            raise DataError(f"{metric!r} is no rate", expected=f"one of {known}")
        for by in bys:
            made += _members(cube, metric, tuple(by), against, form)
    return made


def _members(cube: Cube, metric: str, by: tuple[str, ...], against: Against, form: Contrast) -> list[Member]:
    _, numbers, overall = relative.numbers_of(cube, metric, by)
    influences = {
        one.group: linearised.influence(metric, cube.values, linearised.members(cube, by, one.group))
        for one in (*numbers, overall)
    }
    if against == "none":
        return [
            Member(metric=metric, by=by, number=one, pair=None, influence=_zeroed(influences[one.group]))
            for one in numbers
        ]
    base = overall if against == "overall" else _reference(numbers, by, against)
    made = []
    for one in numbers:
        if one is base:
            continue
        other = relative.rest_of(cube, metric, by, one.group) if base is overall else base
        assert other is not None  # noqa: S101  the metric is a rate
        if base is overall:
            part = relative.part_difference if form == "difference" else relative.part_ratio
            number = part(one, other, overall)
        else:
            number = (relative.difference if form == "difference" else relative.ratio)(one, base)
        scales = (1.0, 1.0) if form == "difference" else (one.value or math.nan, base.value or math.nan)
        influence = influences[one.group] / scales[0] - influences[base.group] / scales[1]
        made.append(
            Member(metric=f"{metric}_{form}", by=by, number=number, pair=(one, other), influence=_zeroed(influence))
        )
    return made


def _reference(numbers: Sequence[Number], by: tuple[str, ...], against: Any) -> Number:
    lacking = [name for name in by if name not in against]
    if lacking:
        raise DataError(f"no reference level of {', '.join(lacking)} is named", expected="one for every attribute")
    wanted = tuple(str(against[name]) for name in by)
    found = next((one for one in numbers if one.group == wanted), None)
    if found is None:
        known = ", ".join(" x ".join(one.group) for one in numbers)
        raise DataError(f"there is no group {' x '.join(wanted)!r} by {' x '.join(by)}", expected=f"one of {known}")
    return found


def _zeroed(influence: NDArray[np.float64]) -> NDArray[np.float64]:
    return influence if np.isfinite(influence).all() else np.zeros_like(influence)


def together(
    cube: Cube,
    members: Sequence[Member],
    *,
    method: simultaneous.Simultaneous,
    confidence: float,
    min_group_size: int,
    seed: int = 0,
) -> tuple[Measurement, ...]:
    """Return all members with intervals that hold together.

    Parameters
    ----------
    cube, members
        As :func:`family` takes and returns them.
    method : {'none', 'bonferroni', 'sidak', 'max-t'}
        See :func:`ml_governance.assess.simultaneous.level`.
    confidence : float in (0, 1)
        That all intervals of one kind hold.
    min_group_size : int
        Below it a member is ``insufficient``.
    seed : int, default 0
        Of the draws of max-t.
    """
    related = None
    if method == "max-t" and members:
        related = linearised.correlation([one.influence for one in members], cube)
    levels: dict[Sides, float] = {
        sides: simultaneous.level(
            method, len(members), confidence=confidence, sides=sides, correlation=related, seed=seed
        )
        for sides in ("two-sided", "one-sided")
    }

    def at_once(number: Number) -> Number:
        own = number.bounds
        if own is None or method == "none":
            return number

        def bounds(_: float, sides: Sides) -> tuple[float, float]:
            return own(levels[sides], sides)

        return replace(number, bounds=bounds, method=f"{number.method}-{method}")

    return tuple(measured(one.metric, one.by, at_once(one.number), confidence, min_group_size) for one in members)


def flags(members: Sequence[Member], *, method: simultaneous.Adjustment, alpha: float) -> tuple[Flag, ...]:
    """Test every member for equal rates, and flag those that differ.

    Flags are for looking at a report. They decide nothing: a rate that is not flagged may still be far from equal.

    Parameters
    ----------
    members : sequence of Member
        Comparisons, as :func:`family` lists them.
    method : {'holm', 'fdr_bh'}
        See :func:`ml_governance.assess.simultaneous.adjusted`.
    alpha : float in (0, 1)
        Error rate.

    Raises
    ------
    DataError
        If a member compares nothing.
    """
    found = [_p_value(one) for one in members]
    corrected = simultaneous.adjusted([1.0 if p is None else p for p, _ in found], method)
    return tuple(
        Flag(
            metric=one.metric.removesuffix("_difference"), by=one.by, group=one.number.group, difference=one.number.value,
            p_value=p, adjusted=None if p is None else q, flagged=p is not None and q <= alpha, reason=reason,
        )
        for one, (p, reason), q in zip(members, found, corrected, strict=True)
    )  # fmt: skip


def _p_value(member: Member) -> tuple[float | None, str | None]:
    if member.pair is None:
        raise DataError(f"{member.metric} is compared with nothing", expected="against='overall', or a reference")
    one, other = member.pair
    if one.value is None or other.value is None:
        return None, member.number.reason or one.reason or other.reason
    if one.counts is None or other.counts is None:
        return None, "no test: the rows are weighted and their squares unknown"
    (k1, n1), (k2, n2) = one.counts, other.counts
    rate = (k1 + k2) / (n1 + n2)
    expected = min(n1, n2) * min(rate, 1 - rate)
    if rate in {0.0, 1.0}:
        return 1.0, None
    if expected < EXPECTED:
        if one.method != "wilson":
            return None, f"no test: {expected:.1f} cases or non-cases are expected, in weighted rows"
        from scipy.stats import fisher_exact

        return min(1.0, float(fisher_exact([[k1, n1 - k1], [k2, n2 - k2]])[1])), None
    z = (k1 / n1 - k2 / n2) / math.sqrt(rate * (1 - rate) * (1 / n1 + 1 / n2))
    return 2 * NormalDist().cdf(-abs(z)), None
