"""Numbers of a 2 x 2 table that are no plain rate, by group: balanced accuracy, F1, treatment equality, group share.

All follow from the cube. Balanced accuracy is the mean of two rates; F1 is a rising function of tp / (tp + fp + fn);
treatment equality is the odds of a false negative among the errors: their intervals come from Wilson's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_governance.assess.contrasts import Number, compared, measured
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, rate_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube
    from ml_governance.assess.linearised import Effective
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

WEIGHTED = "no interval: the rows are weighted"


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

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        return intervals.rate(*counts, confidence=confidence, sides=sides)

    size, method = (of, "wilson") if effective is None else (effective.rows, "wilson-effective")
    return Number(**common, size=size, value=k / of, bounds=bounds, method=method, counts=counts)


def balanced_accuracy(table: NDArray[Any], n: int, group: tuple[str, ...], *, weighted: bool) -> Number:
    """Return the mean of TPR and TNR, with Wilson's bounds of both combined by MOVER; undefined with one class only.

    Formula: (TP / (TP + FN) + TN / (TN + FP)) / 2, 0 to 1. Source: Brodersen et al., ICPR 2010, 3121.
    """
    tn, fp, fn, tp = table.ravel().tolist()
    positive, negative = tp + fn, tn + fp
    if positive <= 0 or negative <= 0:
        return Number(group=group, n=n, size=0, value=None, reason="only one class is present")
    tpr, tnr = tp / positive, tn / negative
    value = (tpr + tnr) / 2
    if weighted:
        return Number(group=group, n=n, size=n, value=value, reason=WEIGHTED)

    @cache  # each is asked for by the number itself and by every comparison
    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        one = intervals.rate(tp, positive, confidence=confidence, sides=sides)
        two = intervals.rate(tn, negative, confidence=confidence, sides=sides)
        return (
            value - math.hypot(tpr - one.lower, tnr - two.lower) / 2,
            value + math.hypot(one.upper - tpr, two.upper - tnr) / 2,
        )

    return Number(group=group, n=n, size=min(positive, negative), value=value, bounds=bounds, method="mover-wilson")


def f1(table: NDArray[Any], n: int, group: tuple[str, ...], *, weighted: bool) -> Number:
    """Return F1, with Wilson's bounds of tp / (tp + fp + fn) carried over; undefined without positives of any kind.

    Formula: 2 TP / (2 TP + FP + FN), 0 to 1. Source: van Rijsbergen, Information Retrieval (1979), chapter 7.
    """
    _, fp, fn, tp = table.ravel().tolist()
    union = tp + fp + fn
    if union <= 0:
        return Number(group=group, n=n, size=0, value=None, reason="0/0: no positive row and none predicted positive")
    value = 2 * tp / (2 * tp + fp + fn)
    if weighted:
        return Number(group=group, n=n, size=n, value=value, reason=WEIGHTED)

    @cache
    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        low, high = intervals.rate(tp, union, confidence=confidence, sides=sides)
        return 2 * low / (1 + low), 2 * high / (1 + high)

    return Number(group=group, n=n, size=union, value=value, bounds=bounds, method="wilson-jaccard")


def treatment_equality(table: NDArray[Any], n: int, group: tuple[str, ...], *, weighted: bool) -> Number:
    """Return false negatives for each false positive; undefined without false positives.

    Formula: FN / FP, 0 or more. Given the number of errors, FN is binomial, so Wilson's bounds of FN / (FN + FP), as
    odds, are its bounds. Source: Berk et al., Sociological Methods and Research 50 (2021) 3.
    """
    _, fp, fn, _ = table.ravel().tolist()
    if fp <= 0:
        reason = "0/0: there are no errors" if fn <= 0 else f"{fn:g}/0: there are no false positives"
        return Number(group=group, n=n, size=fn, value=None, reason=reason)
    if weighted:
        return Number(group=group, n=n, size=n, value=fn / fp, reason=WEIGHTED)

    @cache
    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        low, high = intervals.rate(fn, fn + fp, confidence=confidence, sides=sides)
        return low / (1 - low), high / (1 - high)

    return Number(
        group=group, n=n, size=fn + fp, value=fn / fp, bounds=bounds, method="wilson-odds", numerator=fn, denominator=fp
    )


NUMBERS: dict[str, Callable[..., Number]] = {
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "treatment_equality": treatment_equality,
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
        made = NUMBERS[metric](table, n, group, weighted=weighted)
    else:
        made = rate(metric, table, n, group, weighted=weighted, effective=effective)
    if not weighted or counts is None:
        return made
    return replace(made, size=min(made.size, number(metric, counts, n, group, weighted=False).size))


def measure(cube: Cube, bys: Sequence[tuple[str, ...]], confidence: float, min_group_size: int) -> list[Measurement]:
    """Measure what is no plain rate: over all rows, by group, and between groups.

    Parameters
    ----------
    cube : Cube
        The counts.
    bys : sequence of tuple of str
        Attributes, or crossings of them.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        What rests on fewer rows is ``insufficient``.
    """
    weighted = cube.weights is not None
    table, rows = cube.total()
    made = [
        measured(name, (), function(table, rows, (), weighted=weighted), confidence, 1)
        for name, function in NUMBERS.items()
    ]
    everything = float(table.sum())
    for by in bys:
        own = cube.marginal(by)
        groups, plain = own.groups(), own.unweighted().groups()
        for group, values, n in groups:
            made.append(_share(by, group, float(values.sum()), everything, rows, n, confidence, weighted=weighted))
        for name, function in NUMBERS.items():
            numbers = [function(values, n, group, weighted=weighted) for group, values, n in groups]
            if weighted:  # what a number rests on is rows, whatever they weigh
                bare = (function(counts, n, group, weighted=False) for group, counts, n in plain)
                numbers = [replace(one, size=min(one.size, rows.size)) for one, rows in zip(numbers, bare, strict=True)]
            made += [measured(name, by, one, confidence, min_group_size) for one in numbers]
            for metric in COMPARED:
                if metric.of == (name,):
                    form = "ratio" if metric.name.endswith("_ratio") else "difference"
                    made.append(compared(metric.name, by, numbers, form, confidence, min_group_size, limit=metric.high))  # type: ignore[arg-type]
    return made


def _share(
    by: tuple[str, ...], group: tuple[str, ...], own: float, everything: float, rows: int, n: int, confidence: float,
    *, weighted: bool,
) -> Measurement:  # fmt: skip
    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        return intervals.rate(own, everything, confidence=level, sides=sides)

    share = Number(
        group=group, n=rows, size=n, value=own / everything, numerator=own, denominator=everything,
        bounds=None if weighted else bounds, method="wilson", reason=WEIGHTED if weighted else None,
    )  # fmt: skip
    return measured("group_share", by, share, confidence, 1)
