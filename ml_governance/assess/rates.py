"""Rates of every group: pure functions of counts.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped group) the
answer here is typed ``undefined``.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import binary, linearised
from ml_governance.assess.bounds import wilson
from ml_governance.assess.contrasts import SIDES, check_levels, interval_fields
from ml_governance.assess.group_tables import GroupTables
from ml_governance.assess.rate_comparisons import RateByTable, compare_all
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import rate_counts
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from pydantic import TypeAdapter

    from ml_governance.assess.contrasts import Fields
    from ml_governance.assess.cube import Cube


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
        rates[name] = RateByTable(k=k, n=n, size=sizes[name][1], trusted=trusted)
    made = _of_tables(rates, tables, confidence, min_group_size)
    fields = made[0]
    for span, comparisons in zip(tables.spans, compare_all(rates, tables, confidence, min_group_size), strict=True):
        fields += chain.from_iterable(made[span])
        fields += comparisons
    return fields


def _of_tables(
    rates: Mapping[str, RateByTable], tables: GroupTables, confidence: float, min_group_size: int
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


def _wilson(rates: Iterable[RateByTable], confidence: float) -> Any:
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
