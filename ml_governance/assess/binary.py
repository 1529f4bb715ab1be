"""Numbers of a 2 x 2 table that are no plain rate, by group: balanced accuracy, F1, treatment equality, group share.

All follow from the cube. Balanced accuracy is the mean of two rates; F1 is a rising function of tp / (tp + fp + fn);
treatment equality is the odds of a false negative among the errors: their intervals come from Wilson's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.bounds import Pairs, largest_difference, smallest_ratio, wilson
from ml_governance.assess.contrasts import (
    SIDES,
    WEIGHTED,
    Number,
    closed,
    comparison_fields,
    interval_fields,
    levels,
    number_fields,
    wilson_bounds,
    within,
)
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, rate_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.bounds import Floats
    from ml_governance.assess.contrasts import Contrast, Fields
    from ml_governance.assess.group_tables import GroupTables
    from ml_governance.assess.linearised import Effective
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.metrics import Metric

    _Pending = tuple[Fields, Sequence[float | None], Floats, Metric]
    """A comparison that waits for its intervals: its fields, the numbers, their bounds, and the metric."""


def rate(
    metric: str,
    table: NDArray[Any],
    n: int,
    group: tuple[str, ...],
    *,
    weighted: bool,
    effective: Effective | None = None,
) -> Number:
    """Return a rate of a 2 x 2 table with Wilson's bounds, of effective counts if it is weighted; undefined for 0/0."""
    tn, fp, fn, tp = table.ravel().tolist()
    k, of = rate_counts(tn, fp, fn, tp)[metric]
    common: dict[str, Any] = {"group": group, "n": n, "numerator": k, "denominator": of}
    if of <= 0:
        return Number(**common, size=0, value=None, reason=f"0/0: no row that {metric} could be a share of")
    if weighted and effective is None:
        return Number(**common, size=n, value=k / of, reason=WEIGHTED)
    counts = (k, of) if effective is None else (effective.k, effective.n)
    size, method = (of, "wilson") if effective is None else (effective.rows, "wilson-effective")
    return Number(**common, size=size, value=k / of, bounds=wilson_bounds(*counts), method=method, counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a number follows from tn, fp, fn, tp: four numbers, or four arrays of one shape.

    Parameters
    ----------
    method : str
        Of the bounds.
    undefined : callable
        Says why four numbers have no value, or None.
    value : callable
        Returns the value where it is defined.
    size : callable
        Returns the rows that it rests on.
    bounds : callable
        ``bounds(tn, fp, fn, tp, z)`` returns lower and upper bound at a normal quantile.
    parts : callable or None
        Returns numerator and denominator, where the number is made of two.
    """

    method: str
    undefined: Callable[..., str | None]
    value: Callable[..., Any]
    size: Callable[..., float]
    bounds: Callable[..., tuple[Any, Any]]
    parts: Callable[..., tuple[float, float]] | None = None

    def number(
        self,
        cells: Sequence[float],
        n: int,
        group: tuple[str, ...],
        *,
        weighted: bool = False,
        counts: Sequence[float] | None = None,
    ) -> Number:
        """Return the number of one group; ``counts`` are its rows where its cells are sums of weights."""
        reason = self.undefined(*cells)
        if reason is not None:
            return Number(group=group, n=n, size=0, value=None, reason=reason)
        rows = counts if weighted else cells  # what a number rests on is rows, whatever they weigh
        size, value = n if rows is None else min(n, self.size(*rows)), self.value(*cells)
        if weighted:
            return Number(group=group, n=n, size=size, value=value, reason=WEIGHTED)

        def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
            lower, upper = self.bounds(*cells, intervals.quantile(confidence, sides))
            return float(lower), float(upper)

        numerator, denominator = (None, None) if self.parts is None else self.parts(*cells)
        return Number(
            group=group, n=n, size=size, value=value, bounds=bounds, method=self.method, numerator=numerator,
            denominator=denominator,
        )  # fmt: skip


def _no_accuracy(tn: float, fp: float, fn: float, tp: float) -> str | None:
    return "only one class is present" if min(tp + fn, tn + fp) <= 0 else None


def _accuracy_bounds(tn: Any, fp: Any, fn: Any, tp: Any, z: Any) -> tuple[Any, Any]:
    tpr, tnr = tp / (tp + fn), tn / (tn + fp)
    (low1, high1), (low2, high2) = wilson(tp, tp + fn, z), wilson(tn, tn + fp, z)
    value = (tpr + tnr) / 2
    return value - np.hypot(tpr - low1, tnr - low2) / 2, value + np.hypot(high1 - tpr, high2 - tnr) / 2


def _no_f1(_: float, fp: float, fn: float, tp: float) -> str | None:
    return "0/0: no positive row and none predicted positive" if tp + fp + fn <= 0 else None


def _f1_bounds(_: Any, fp: Any, fn: Any, tp: Any, z: Any) -> tuple[Any, Any]:
    low, high = wilson(tp, tp + fp + fn, z)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _no_odds(_: float, fp: float, fn: float, __: float) -> str | None:
    if fp > 0:
        return None
    return "0/0: there are no errors" if fn <= 0 else f"{fn:g}/0: there are no false positives"


def _odds_bounds(_: Any, fp: Any, fn: Any, __: Any, z: Any) -> tuple[Any, Any]:
    low, high = wilson(fn, fn + fp, z)
    return low / (1 - low), high / (1 - high)


NUMBERS = {
    # (TP / (TP + FN) + TN / (TN + FP)) / 2, 0 to 1 (Brodersen et al., ICPR 2010, 3121); both bounds combined by MOVER
    "balanced_accuracy": Form(
        method="mover-wilson",
        undefined=_no_accuracy,
        value=lambda tn, fp, fn, tp: (tp / (tp + fn) + tn / (tn + fp)) / 2,
        size=lambda tn, fp, fn, tp: min(tp + fn, tn + fp),
        bounds=_accuracy_bounds,
    ),
    # 2 TP / (2 TP + FP + FN), 0 to 1 (van Rijsbergen, Information Retrieval, 1979, chapter 7); rises with the Jaccard index
    "f1": Form(
        method="wilson-jaccard",
        undefined=_no_f1,
        value=lambda _, fp, fn, tp: 2 * tp / (2 * tp + fp + fn),
        size=lambda _, fp, fn, tp: tp + fp + fn,
        bounds=_f1_bounds,
    ),
    # FN / FP, 0 or more (Berk et al., Sociological Methods and Research 50 (2021) 3); given the errors, FN is binomial
    "treatment_equality": Form(
        method="wilson-odds",
        undefined=_no_odds,
        value=lambda _, fp, fn, __: fn / fp,
        size=lambda _, fp, fn, __: fn + fp,
        bounds=_odds_bounds,
        parts=lambda _, fp, fn, __: (fn, fp),
    ),
}
COMPARED = tuple(
    metric
    for metric in METRICS.values()
    if metric.evidence == "fairness" and metric.form == "aggregate" and metric.of and metric.of[0] in NUMBERS
)


def number(
    metric: str,
    table: NDArray[Any],
    n: int,
    group: tuple[str, ...],
    *,
    weighted: bool,
    effective: Effective | None = None,
    counts: NDArray[Any] | None = None,
) -> Number:
    """Return any number of a 2 x 2 table: a rate or one of :data:`NUMBERS`; ``counts`` are its rows where it is one of weights."""
    if metric in NUMBERS:
        rows = None if counts is None else counts.ravel().tolist()
        return NUMBERS[metric].number(table.ravel().tolist(), n, group, weighted=weighted, counts=rows)
    made = rate(metric, table, n, group, weighted=weighted, effective=effective)
    if not weighted or counts is None:
        return made
    return replace(made, size=min(made.size, rate_counts(*counts.ravel().tolist())[metric][1]))


def measure(tables: GroupTables, confidence: float, min_group_size: int) -> list[Fields]:
    """Measure what is no plain rate: over all rows, by group, and between groups.

    Parameters
    ----------
    tables : GroupTables
        The tables.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        What rests on fewer rows is ``insufficient``.

    Returns
    -------
    list of dict
        Fields of measurements.
    """
    z, cells, weighted = _quantiles(tables, confidence), tables.values.astype(np.float64), tables.weights is not None
    made: list[list[Fields]] = [[], *_shares(tables, confidence)]  # of all rows, then by crossing
    pending: dict[Contrast, list[_Pending]] = {"difference": [], "ratio": []}
    for name, form in NUMBERS.items():
        numbers = [
            form.number(own, n, group, weighted=weighted, counts=rows)
            for own, rows, n, group in zip(
                tables.values.T.tolist(), tables.counts.T.tolist(), tables.rows, tables.group, strict=True
            )
        ]
        bounded = np.array([one.bounds is not None for one in numbers])
        ends = np.full((2, *z.shape), np.nan)  # lower and upper, at each and every level, by side and table
        ends[..., bounded] = form.bounds(*cells[:, bounded], z[..., bounded])
        own = _fields_of(name, numbers, ends[:, 0], tables, confidence, min_group_size)
        made[0] += own[:1]
        for place, (by, span) in enumerate(zip(tables.bys, tables.spans, strict=True)):
            made[place + 1] += own[span]
            for metric in COMPARED:
                if metric.of != (name,):
                    continue
                contrast: Contrast = "ratio" if metric.name.endswith("_ratio") else "difference"
                fields = comparison_fields(metric.name, by, numbers[span], contrast, min_group_size)
                made[place + 1].append(fields)
                if fields["value"] is not None and bounded[span].all():
                    values = [one.value for one in numbers[span]]
                    pending[contrast].append((fields, values, ends[..., span], metric))
    for contrast, waiting in pending.items():
        _add_intervals(waiting, contrast, confidence)
    return [one for own in made for one in own]


def _quantiles(tables: GroupTables, confidence: float) -> Floats:
    """Return the normal quantiles that bounds are made at: by level (see :func:`levels`), side and table."""
    found = np.empty((2, len(SIDES), len(tables.rows)))
    for span in (slice(0, 1), *tables.spans):
        groups = span.stop - span.start
        both = levels(groups, confidence) if groups > 1 else (confidence, confidence)
        found[:, :, span] = [[[intervals.quantile(level, sides)] for sides in SIDES] for level in both]
    return found


def _fields_of(
    name: str,
    numbers: Sequence[Number],
    ends: Floats,
    tables: GroupTables,
    confidence: float,
    min_group_size: int,
) -> list[Fields]:
    """Return the fields of one number of every table; ends of shape (lower and upper, sides, tables)."""
    method = NUMBERS[name].method
    lower, upper = ends.swapaxes(1, 2).tolist()  # finite: infinite odds have no false positive and are undefined
    return [
        number_fields(
            name, by, one, () if one.bounds is None else interval_fields(low, high, confidence, method), min_group_size
        )
        for by, one, low, high in zip(tables.by, numbers, lower, upper, strict=True)
    ]


def _add_intervals(pending: Sequence[_Pending], form: Contrast, confidence: float) -> None:
    """Set the intervals of comparisons: of all at once."""
    if not pending:
        return
    x = np.array([value for _, values, _, _ in pending for value in values], dtype=np.float64)
    of = Pairs.of([len(values) for _, values, _, _ in pending])
    lower, upper = np.concatenate([ends for _, _, ends, _ in pending], axis=-1)
    worst = smallest_ratio if form == "ratio" else largest_difference
    made = worst(x, (lower[0], upper[0]), (lower[1], upper[1]), of)
    limits = [math.inf if metric.high is None else metric.high for *_, metric in pending]
    found = within(made, [fields["value"] for fields, *_ in pending], limits)
    for (fields, _, _, metric), (low, high) in zip(pending, found, strict=True):
        method = f"mover-pairs ({NUMBERS[metric.of[0]].method})"
        fields["intervals"] = interval_fields([*map(closed, low)], [*map(closed, high)], confidence, method)


def _shares(tables: GroupTables, confidence: float) -> list[list[Fields]]:
    """Return the share of every group of all rows, by crossing."""
    sums, weighted, rows = tables.values.sum(axis=0), tables.weights is not None, tables.rows[0]
    z = np.array([[intervals.quantile(confidence, sides)] for sides in SIDES])
    exact = sums.astype(np.float64)
    lower, upper = (() if weighted else end.T.tolist() for end in wilson(exact, exact[0], z))
    everything, made = sums[0].item(), []
    for place, (by, group, own) in enumerate(zip(tables.by, tables.group, sums.tolist(), strict=True)):
        both = () if weighted else interval_fields(lower[place], upper[place], confidence, "wilson")
        made.append(
            {
                "metric": "group_share", "by": by, "group": group, "n": rows, "value": own / everything,
                "numerator": own, "denominator": everything, "intervals": both, "status": "ok",
                "reason": WEIGHTED if weighted else None,
            }
        )  # fmt: skip
    return [made[span] for span in tables.spans]
