"""Rates of every group, and how far groups are apart: pure functions of counts.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped group) the
answer here is typed ``undefined``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import binary, linearised
from ml_governance.assess.bounds import Pairs, largest_difference, smallest_rate_ratio, sparse, wilson
from ml_governance.assess.contrasts import SIDES, check_levels, interval_fields, levels, within
from ml_governance.assess.group_tables import GroupTables
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES, rate_counts
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from pydantic import TypeAdapter

    from ml_governance.assess.bounds import Floats
    from ml_governance.assess.contrasts import Fields
    from ml_governance.assess.cube import Cube

_NAMES = {rate.name for rate in RATES}
COMPARISONS = tuple(
    metric
    for (kind, _), metric in METRICS.items()
    if kind == "fairness" and metric.form in ("ratio", "difference") and _NAMES.issuperset(metric.of)
)
MANY = 32
"""Groups beyond which most pairs are better skipped one by one than computed."""


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
    tables = GroupTables.of(cube, bys)
    fields = [*_rates(tables, confidence, min_group_size), *binary.measure(tables, confidence, min_group_size)]
    return {
        "measurements": _checked().validate_python(fields),
        "details": {"attributes": _shown(tables), "weighted": cube.weights is not None},
        "confidence": confidence,
        "min_group_size": min_group_size,
        "cube": cube,
    }


@cache
def _checked() -> TypeAdapter[tuple[Measurement, ...]]:
    from pydantic import TypeAdapter

    return TypeAdapter(tuple[Measurement, ...])


def _shown(tables: GroupTables) -> list[dict[str, Any]]:
    groups = [
        {"group": list(group), "n": n, "tn": tn, "fp": fp, "fn": fn, "tp": tp}
        for group, n, (tn, fp, fn, tp) in zip(tables.group, tables.rows, tables.values.T.tolist(), strict=True)
    ]
    return [{"by": list(by), "groups": groups[span]} for by, span in zip(tables.bys, tables.spans, strict=True)]


def plain_rates(table: NDArray[Any]) -> dict[str, float]:
    """Return every rate of a 2 x 2 table; NaN for 0/0."""
    return {name: (k / n if n > 0 else math.nan) for name, (k, n) in counts_of(table).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """One rate of every table.

    Parameters
    ----------
    k, n : array of shape (tables,)
        Numerator and denominator.
    size : array of int64, shape (tables,)
        Rows that it rests on.
    trusted : (array, array) or None
        The counts that bounds are made from, effective ones where rows are weighted; None where there are none.
    """

    k: NDArray[Any]
    n: NDArray[Any]
    size: NDArray[np.int64]
    trusted: tuple[Floats, Floats] | None


def _rates(tables: GroupTables, confidence: float, min_group_size: int) -> list[Fields]:
    """Return the fields of every rate of every table, and of every comparison between groups."""
    rates = {}
    sizes: dict[str, Any] = rate_counts(*tables.counts)
    counted: dict[str, Any] = rate_counts(*tables.values)
    stacked = tables.stacked()
    for name, (k, n) in counted.items():
        trusted = (k.astype(np.float64), n.astype(np.float64)) if tables.weights is None else None
        if stacked is not None:
            trusted = linearised.effective_counts(name, *stacked)
        rates[name] = _Rate(k=k, n=n, size=sizes[name][1], trusted=trusted)
    made = _of_tables(rates, tables, confidence, min_group_size)
    fields = made[0]
    for span, comparisons in zip(tables.spans, _comparisons(rates, tables, confidence, min_group_size), strict=True):
        fields += chain.from_iterable(made[span])
        fields += comparisons
    return fields


def _of_tables(
    rates: Mapping[str, _Rate], tables: GroupTables, confidence: float, min_group_size: int
) -> list[list[Fields]]:
    """Return the fields of every rate, by table."""
    method = "wilson" if tables.weights is None else "wilson-effective"
    where = [(n, by, group, min_group_size if by else 1)
             for n, by, group in zip(tables.rows, tables.by, tables.group, strict=True)]  # fmt: skip
    found: list[list[Fields]] = [[] for _ in where]
    for (name, rate), ends in zip(rates.items(), _wilson(rates.values(), confidence), strict=True):
        counted = zip(rate.k.tolist(), rate.n.tolist(), rate.size.tolist(), ends, where, found, strict=True)
        for k, n, size, (lower, upper), (rows, by, group, minimum), own in counted:
            made = () if rate.trusted is None or n <= 0 else interval_fields(lower, upper, confidence, method)
            own.append(rate_fields(name, k, n, rows, by, group, minimum, size, made))
    return found


def _wilson(rates: Iterable[_Rate], confidence: float) -> Any:
    """Return Wilson's bounds by rate and table: lower ones, then upper ones, by side; NaN where there are none."""
    z = np.array([[intervals.quantile(confidence, sides)] for sides in SIDES])
    counts = np.array([rate.trusted or np.full((2, len(rate.n)), np.nan) for rate in rates])[:, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(wilson(counts[:, 0], counts[:, 1], z)).transpose(1, 3, 0, 2).tolist()


def rate_fields(
    metric: str,
    k: float,
    n: float,
    rows: int,
    by: tuple[str, ...],
    group: tuple[str, ...],
    min_group_size: int,
    size: float,
    made: Sequence[Fields],
) -> Fields:
    """Return the fields of a rate's measurement: ``undefined`` for 0/0, ``insufficient`` below the stated size."""
    value, status, reason = None, "ok", None
    if n <= 0:
        status, reason, made = "undefined", f"0/0: no row that {metric} could be a share of", ()
    else:
        value = k / n
        if size < min_group_size:
            status = "insufficient"
            reason = f"{size:g} row{'s' if size != 1 else ''} where {min_group_size} are required"
    return {
        "metric": metric, "by": by, "group": group, "value": value, "numerator": k, "denominator": n, "n": rows,
        "intervals": made, "status": status, "reason": reason,
    }  # fmt: skip


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
    size = n if not weighted else effective.rows if effective else rows if base is None else base
    made: tuple[Fields, ...] = ()
    if n > 0 and effective is not None:
        made = _rate_intervals(effective.k, effective.n, confidence, "wilson-effective")
    elif n > 0 and not weighted:
        made = _rate_intervals(k, n, confidence, "wilson")
    return Measurement(**rate_fields(metric, k, n, rows, by, group, min_group_size, min(rows, size), made))


def _rate_intervals(k: float, n: float, confidence: float, method: str) -> tuple[Fields, ...]:
    """Return Wilson's intervals of a rate, two-sided and one-sided."""
    lower, upper = zip(*(intervals.rate(k, n, confidence=confidence, sides=sides) for sides in SIDES), strict=True)
    return interval_fields(lower, upper, confidence, method)


def _comparisons(
    rates: Mapping[str, _Rate], tables: GroupTables, confidence: float, min_group_size: int
) -> list[list[Fields]]:
    """Return the fields of every comparison, by crossing."""
    spreads = {
        name: [
            _spread(
                name, tables.group[span], rate.k[span].tolist(), rate.n[span].tolist(), rate.size[span].tolist(),
                min_group_size,
            )
            for span in tables.spans
        ]
        for name, rate in rates.items()
    }  # fmt: skip
    rows = [sum(tables.rows[span]) for span in tables.spans]
    # The named comparisons are those of a rate under another name.
    wanted = dict.fromkeys((rate, metric.form, len(metric.of)) for metric in COMPARISONS for rate in metric.of)
    found = {
        (rate, form, family): [
            _comparison(rate, form, by, n, spread)
            for by, n, spread in zip(tables.bys, rows, spreads[rate], strict=True)
        ]
        for rate, form, family in wanted
    }
    for form in ("difference", "ratio"):
        _add_intervals(
            [
                (fields, trusted[0][span], trusted[1][span], family)
                for (rate, own, family), crossings in found.items()
                if own == form and (trusted := rates[rate].trusted) is not None
                for fields, span in zip(crossings, tables.spans, strict=True)
                if fields["value"] is not None
            ],
            form, confidence, kind="" if tables.weights is None else "-effective",
        )  # fmt: skip
    return [
        [
            _worse([found[rate, metric.form, len(metric.of)][place] for rate in metric.of], metric.form)
            | {"metric": metric.name}
            for metric in COMPARISONS
        ]
        for place in range(len(tables.bys))
    ]


def _add_intervals(
    pending: Sequence[tuple[Fields, Floats, Floats, int]], form: str, confidence: float, *, kind: str
) -> None:
    """Set the intervals of comparisons, given as fields, cases, rows and how many are looked at together: all at once."""
    few = [one for one in pending if len(one[1]) <= MANY]
    for fields, k, n, family in pending:
        if len(k) > MANY:
            pairs = list(zip(k.tolist(), n.tolist(), strict=True))
            fields["intervals"] = _worst_intervals(pairs, form, confidence, family, kind)
    if not few:
        return
    _, cases, totals, families = zip(*few, strict=True)
    sizes, k, n = list(map(len, cases)), np.concatenate(cases), np.concatenate(totals)
    of, both = Pairs.of(sizes), [levels(size, confidence, own) for size, own in zip(sizes, families, strict=True)]
    each, every = (
        np.array([[intervals.quantile(one, sides) for one in own] for sides in SIDES])
        for own in zip(*both, strict=True)
    )
    if form == "ratio":
        ends = smallest_rate_ratio(k, n, each, every, of)
    else:
        row = np.repeat(np.arange(len(few)), sizes)
        telling = ~sparse(k[of.first], n[of.first], k[of.second], n[of.second])
        ends = largest_difference(k / n, wilson(k, n, each[:, row]), wilson(k, n, every[:, row]), of, telling)
    method = ("koopman-pairs" if form == "ratio" else "newcombe-pairs") + kind
    found = within(ends, [fields["value"] for fields, *_ in few], [1.0] * len(few))
    for (fields, *_), (lower, upper) in zip(few, found, strict=True):
        fields["intervals"] = interval_fields(lower, upper, confidence, method)


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
    groups, k, n = [group for group, _, _ in counts], [k for _, k, _ in counts], [n for _, _, n in counts]
    sizes = [one.rows for one in effective] if effective is not None else bases or n
    fields = _comparison(rate, form, by, rows, _spread(rate, groups, k, n, sizes, min_group_size))
    if fields["value"] is not None and effective is not None:
        trusted = [(one.k, one.n) for one in effective]
        fields["intervals"] = _worst_intervals(trusted, form, confidence, family, kind="-effective")
    elif fields["value"] is not None and not weighted:
        fields["intervals"] = _worst_intervals(list(zip(k, n, strict=True)), form, confidence, family)
    return Measurement(**fields)


class _Spread(NamedTuple):
    """Smallest and largest rate of any group; why there is none; and which groups are too small, in words."""

    smallest: float
    largest: float
    undefined: str | None
    small: str | None


def _spread(
    rate: str,
    groups: Sequence[tuple[str, ...]],
    k: Sequence[float],
    n: Sequence[float],
    sizes: Sequence[float],
    min_group_size: int,
) -> _Spread:
    if len(n) < 2:
        return _Spread(0, 0, "there is only one group to compare", None)
    if min(n) <= 0:
        empty = [" x ".join(group) for group, of in zip(groups, n, strict=True) if of <= 0]
        return _Spread(0, 0, f"{rate} of {', '.join(empty)} is 0/0", None)
    values, reason = [one / of for one, of in zip(k, n, strict=True)], None
    if min(sizes) < min_group_size:
        small = [" x ".join(group) for group, size in zip(groups, sizes, strict=True) if size < min_group_size]
        reason = f"fewer than {min_group_size} rows in {', '.join(small)}"
    return _Spread(min(values), max(values), None, reason)


def _comparison(rate: str, form: str, by: tuple[str, ...], rows: int, spread: _Spread) -> Fields:
    """Return the fields of a comparison's measurement, without intervals; the value is None where it is undefined."""
    smallest, largest, reason, small = spread
    value, status = None, "undefined"
    if reason is None and form == "ratio" and largest == 0:
        reason = f"{rate} is 0 in every group, so the ratio is 0/0"
    elif reason is None:
        value = smallest / largest if form == "ratio" else largest - smallest
        status, reason = "insufficient" if small else "ok", small
    return {
        "metric": f"{rate}_{form}", "by": by, "n": rows, "value": value, "intervals": (), "status": status,
        "reason": reason,
    }  # fmt: skip


def _worst_intervals(
    pairs: list[tuple[float, float]], form: str, confidence: float, family: int, kind: str = ""
) -> tuple[Fields, ...]:
    function = intervals.worst_ratio if form == "ratio" else intervals.worst_difference
    method = ("koopman-pairs" if form == "ratio" else "newcombe-pairs") + kind
    found = [function(pairs, confidence=confidence, sides=sides, multiplicity=family) for sides in SIDES]
    return interval_fields([one.lower for one in found], [one.upper for one in found], confidence, method)


def _worse(parts: Sequence[Fields], form: str) -> Fields:
    """Return the worse of several comparisons, as equalized odds needs; undefined if one is."""
    if len(parts) == 1:
        return parts[0]
    undefined = next((part for part in parts if part["status"] == "undefined"), None)
    if undefined is not None:
        return undefined
    pick = min if form == "ratio" else max
    # The unfavourable bound holds by intersection-union; the other one was made at the level that the number of parts
    # asks for.
    joined = [
        same[0] | {end: pick(one[end] for one in same) for end in ("lower", "upper")}
        for same in zip(*(part["intervals"] for part in parts), strict=True)
    ]
    insufficient = next((part for part in parts if part["status"] == "insufficient"), None)
    return pick(parts, key=lambda part: part["value"]) | {
        "intervals": joined,
        "status": "insufficient" if insufficient else "ok",
        "reason": insufficient["reason"] if insufficient else None,
    }
