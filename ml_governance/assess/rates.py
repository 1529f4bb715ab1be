"""Rates of every group, and how far groups are apart: pure functions of counts.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped group) the
answer here is typed ``undefined``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_governance.assess import binary, linearised
from ml_governance.assess.contrasts import SIDES, check_levels
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES, rate_counts
from ml_governance.evidence.predicates import Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube

_NAMES = {rate.name for rate in RATES}
COMPARISONS = tuple(
    metric
    for (kind, _), metric in METRICS.items()
    if kind == "fairness" and metric.form in ("ratio", "difference") and _NAMES.issuperset(metric.of)
)


def counts_of(table: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of every rate of a 2 x 2 table by label, then prediction."""
    return rate_counts(*table.ravel().tolist())


def measure(cube: Cube, bys: Sequence[tuple[str, ...]], confidence: float, min_group_size: int) -> dict[str, Any]:
    """Measure everything that follows from a cube: the fields of a fairness report.

    Parameters
    ----------
    cube : Cube
        Counts by group, label and prediction.
    bys : sequence of tuple of str
        Attributes, or crossings of them.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        Numbers that rest on fewer rows are ``insufficient``.

    Raises
    ------
    DataError
        If the level is none, or the size under 1.
    """
    check_levels(confidence, min_group_size)
    table, rows = cube.total()
    weighted = cube.weights is not None
    known = linearised.effective(cube)
    measurements = _rates(table, rows, (), (), confidence, 1, weighted=weighted, effective=known.get(()))
    shown = []
    for by in bys:
        own = cube.marginal(by)
        groups, known = own.groups(), linearised.effective(own)
        bases = {group: counts_of(counts) for group, counts, _ in own.unweighted().groups()} if weighted else {}
        for group, values, n in groups:
            measurements += _rates(
                values, n, by, group, confidence, min_group_size, weighted=weighted, effective=known.get(group),
                bases=bases.get(group),
            )  # fmt: skip
        measurements += _comparisons(
            groups, by, confidence, min_group_size, weighted=weighted, effective=known, bases=bases
        )
        shown.append({"by": list(by), "groups": [_shown(group, values, n) for group, values, n in groups]})
    measurements += binary.measure(cube, bys, confidence, min_group_size)
    return {
        "measurements": tuple(measurements),
        "details": {"attributes": shown, "weighted": cube.weights is not None},
        "confidence": confidence,
        "min_group_size": min_group_size,
        "cube": cube,
    }


def _shown(group: tuple[str, ...], values: NDArray[Any], n: int) -> dict[str, Any]:
    tn, fp, fn, tp = values.ravel().tolist()
    return {"group": list(group), "n": n, "tn": tn, "fp": fp, "fn": fn, "tp": tp}


def plain_rates(table: NDArray[Any]) -> dict[str, float]:
    """Return every rate of a 2 x 2 table; NaN for 0/0."""
    return {name: (k / n if n > 0 else math.nan) for name, (k, n) in counts_of(table).items()}


def _rates(
    table: NDArray[Any],
    rows: int,
    by: tuple[str, ...],
    group: tuple[str, ...],
    confidence: float,
    min_group_size: int,
    *,
    weighted: bool,
    effective: Mapping[str, linearised.Effective] | None,
    bases: Mapping[str, tuple[float, float]] | None = None,
) -> list[Measurement]:
    counts = counts_of(table)
    return [
        rate_measurement(
            metric.name, *counts[metric.name], rows, by, group, confidence, min_group_size, weighted=weighted,
            effective=None if effective is None else effective[metric.name],
            base=None if bases is None else bases[metric.name][1],
        )
        for metric in RATES
    ]  # fmt: skip


def rate_measurement(
    metric: str,
    k: float,
    n: float,
    rows: int,
    by: tuple[str, ...],
    group: tuple[str, ...],
    confidence: float,
    min_group_size: int,
    *,
    weighted: bool = False,
    effective: linearised.Effective | None = None,
    base: float | None = None,
) -> Measurement:
    """Return one rate, typed: ``undefined`` for 0/0, ``insufficient`` below the stated size.

    A weighted rate has an interval if its effective counts are given; ``base`` is how many rows its denominator is a sum over.
    """
    common: dict[str, Any] = {"metric": metric, "by": by, "group": group, "numerator": k, "denominator": n, "n": rows}
    if n <= 0:
        return Measurement(**common, status="undefined", reason=f"0/0: no row that {metric} could be a share of")
    reason = None
    size = n if not weighted else effective.rows if effective else rows if base is None else base
    if min(rows, size) < min_group_size:
        reason = f"{size:g} row{'s' if size != 1 else ''} where {min_group_size} are required"
    made: tuple[Interval, ...] = ()
    if effective is not None:
        made = rate_intervals(effective.k, effective.n, confidence, method="wilson-effective")
    elif not weighted:
        made = rate_intervals(k, n, confidence)
    return Measurement(
        **common,
        value=k / n,
        intervals=made,
        status="ok" if reason is None else "insufficient",
        reason=reason,
    )


def rate_intervals(k: float, n: float, confidence: float, *, method: str = "wilson") -> tuple[Interval, ...]:
    """Return Wilson's intervals of a rate, two-sided and one-sided."""
    made = []
    for sides in SIDES:
        bounds = intervals.rate(k, n, confidence=confidence, sides=sides)
        made.append(Interval(confidence=confidence, sides=sides, lower=bounds.lower, upper=bounds.upper, method=method))
    return tuple(made)


def _comparisons(
    groups: list[tuple[tuple[str, ...], NDArray[Any], int]],
    by: tuple[str, ...],
    confidence: float,
    min_group_size: int,
    *,
    weighted: bool,
    effective: Mapping[tuple[str, ...], Mapping[str, linearised.Effective]],
    bases: Mapping[tuple[str, ...], Mapping[str, tuple[float, float]]],
) -> list[Measurement]:
    tables = [(group, counts_of(values), n) for group, values, n in groups]
    rows = sum(n for _, _, n in groups)

    @cache  # the named comparisons are those of a rate under another name
    def compared(rate: str, form: str, family: int) -> Measurement:
        return compare_rates(
            [(group, *table[rate]) for group, table, _ in tables], rate, form, by, rows, confidence, min_group_size,
            family=family, weighted=weighted,
            effective=[effective[group][rate] for group, _, _ in tables] if effective else None,
            bases=[bases[group][rate][1] for group, _, _ in tables] if bases else None,
        )  # fmt: skip

    made = []
    for metric in COMPARISONS:
        parts = [compared(rate, metric.form, len(metric.of)) for rate in metric.of]
        made.append(_worse(parts, metric.form).model_copy(update={"metric": metric.name}))
    return made


def compare_rates(
    counts: list[tuple[tuple[str, ...], float, float]],
    rate: str,
    form: str,
    by: tuple[str, ...],
    rows: int,
    confidence: float,
    min_group_size: int,
    *,
    family: int,
    weighted: bool,
    effective: list[linearised.Effective] | None = None,
    bases: list[float] | None = None,
) -> Measurement:
    """Compare one rate between all groups.

    Parameters
    ----------
    counts : list of (group, numerator, denominator)
        One of each group.
    rate : str
        Its name.
    form : {'ratio', 'difference'}
        Smallest over largest, or largest minus smallest.
    by : tuple of str
        Attributes whose groups these are.
    rows : int
        Rows of all groups.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        Smallest denominator.
    family : int
        How many rates are looked at together.
    weighted : bool
        Whether the counts are sums of weights; then intervals are made from ``effective`` alone.
    effective : list of Effective, optional
        As many equally weighted rows as would be as uncertain, parallel to ``counts``.
    bases : list of float, optional
        How many rows each denominator is a sum over, where it is one of weights.
    """
    common: dict[str, Any] = {"metric": f"{rate}_{form}", "by": by, "n": rows}
    if len(counts) < 2:
        return Measurement(**common, status="undefined", reason="there is only one group to compare")
    empty = [group for group, _, n in counts if n <= 0]
    if empty:
        named = ", ".join(" x ".join(group) for group in empty)
        return Measurement(**common, status="undefined", reason=f"{rate} of {named} is 0/0")
    pairs = [(k, n) for _, k, n in counts]
    rates = [k / n for k, n in pairs]
    if form == "ratio" and max(rates) == 0:
        return Measurement(**common, status="undefined", reason=f"{rate} is 0 in every group, so the ratio is 0/0")
    value = min(rates) / max(rates) if form == "ratio" else max(rates) - min(rates)
    sizes = [one.rows for one in effective] if effective is not None else bases or [n for _, n in pairs]
    small = [group for (group, _, _), size in zip(counts, sizes, strict=True) if size < min_group_size]
    reason = f"fewer than {min_group_size} rows in {', '.join(' x '.join(group) for group in small)}" if small else None
    made: tuple[Interval, ...] = ()
    if effective is not None:
        made = _worst_intervals([(one.k, one.n) for one in effective], form, confidence, family, kind="-effective")
    elif not weighted:
        made = _worst_intervals(pairs, form, confidence, family)
    return Measurement(
        **common,
        value=value,
        intervals=made,
        status="insufficient" if small else "ok",
        reason=reason,
    )


def _worst_intervals(
    pairs: list[tuple[float, float]], form: str, confidence: float, family: int, kind: str = ""
) -> tuple[Interval, ...]:
    function = intervals.worst_ratio if form == "ratio" else intervals.worst_difference
    method = ("koopman-pairs" if form == "ratio" else "newcombe-pairs") + kind
    made = []
    for sides in SIDES:
        worst = function(pairs, confidence=confidence, sides=sides, multiplicity=family)
        made.append(Interval(confidence=confidence, sides=sides, lower=worst.lower, upper=worst.upper, method=method))
    return tuple(made)


def _worse(parts: list[Measurement], form: str) -> Measurement:
    """Return the worse of several comparisons, as equalized odds needs; undefined if one is."""
    if len(parts) == 1:
        return parts[0]
    undefined = next((part for part in parts if part.status == "undefined"), None)
    if undefined is not None:
        return undefined
    pick = min if form == "ratio" else max
    worst = pick(parts, key=lambda part: part.value or 0.0)
    joined = []
    for position in range(len(worst.intervals)):
        same = [part.intervals[position] for part in parts]
        # The unfavourable bound holds by intersection-union; the other one was made at the level that the
        # number of parts asks for.
        joined.append(
            same[0].model_copy(
                update={
                    "lower": pick(i.lower for i in same if i.lower is not None),
                    "upper": pick(i.upper for i in same if i.upper is not None),
                }
            )
        )
    insufficient = next((part for part in parts if part.status == "insufficient"), None)
    return worst.model_copy(
        update={
            "intervals": tuple(joined),
            "status": "insufficient" if insufficient else "ok",
            "reason": insufficient.reason if insufficient else None,
        }
    )
