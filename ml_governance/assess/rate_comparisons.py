"""How far groups are apart in a rate: smallest over largest, or largest minus smallest, of all groups at once.

A comparison of a group without rows is typed ``undefined``: leaving the group out would compare fewer than there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess.bounds import Pairs, largest_difference, smallest_rate_ratio, sparse, wilson
from ml_governance.assess.contrasts import SIDES, interval_fields, levels, within
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.bounds import Floats
    from ml_governance.assess.contrasts import Fields
    from ml_governance.assess.group_tables import GroupTables
    from ml_governance.assess.linearised import Effective

_NAMES = {rate.name for rate in RATES}
COMPARISONS = tuple(
    metric
    for (kind, _), metric in METRICS.items()
    if kind == "fairness" and metric.form in ("ratio", "difference") and _NAMES.issuperset(metric.of)
)
MANY = 32
"""Groups beyond which most pairs are better skipped one by one than computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateByTable:
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


def compare_all(
    rates: Mapping[str, RateByTable], tables: GroupTables, confidence: float, min_group_size: int
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
    effective: list[Effective] | None = None,
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
