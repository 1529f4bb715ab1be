"""Fairness of rankings: who is among the first k, who gets attention, and how well each group's items are ordered.

What an item gets by its place, and how well an order puts the relevant first, is told in :mod:`ml_governance.assess.placing`.

Items of one query compete, so they are not independent: intervals come from the spread between queries (linearised, as for
clustered samples), and there is none for a handful of queries.

Selection at k is a rate like any other. With several queries its interval, too, comes from the spread between them: where groups
fare well or badly query by query, intervals of independent items held in 79 % of samples. Such a rate cannot be judged from
its counts alone, and a gate does not take it. The items of a single ranking are taken for independent draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import labels, sensitive
from ml_governance.assess.contrasts import Number, both_sides, check_levels, measured, too_small, unusable
from ml_governance.assess.linearised import Effective
from ml_governance.assess.means import student
from ml_governance.assess.placing import Placed, ndcg, place
from ml_governance.assess.rate_comparisons import compare_rates
from ml_governance.assess.rates import rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Fairness, Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

ENOUGH_QUERIES = {"selection_rate_at_k": 10, "exposure": 10, "exposure_per_relevance": 10, "ndcg": 20}
"""With fewer queries that hold a group there is no interval: a spread between them would be made of too little. NDCG piles up
at 1, so it needs more of them; only queries in which something of the group is relevant count."""
ALIKE = "no interval: all queries are alike"


@dataclass(frozen=True, kw_only=True, repr=False)
class RankingReport(Report):
    """Fairness of one or more rankings."""

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness


@dataclass(frozen=True, slots=True)
class _Value:
    """A number, what every query adds to its error, from which that of any contrast follows, and how many queries it rests on."""

    number: Number
    influence: Floats
    queries: int


def assess_ranking(
    *,
    y_score: Any,
    sensitive_features: Any,
    y_true: Any = None,
    query: Any = None,
    k: int = 10,
    confidence: float = 0.95,
    min_group_size: int = 30,
    intersections: bool = True,
) -> RankingReport:
    """Measure the fairness of rankings.

    Parameters
    ----------
    y_score : array-like of shape (n,)
        Any numbers; the highest is ranked first.
    sensitive_features : data frame, column or dict of columns
        Groups of the items.
    y_true : array-like of shape (n,), optional
        Relevance of the items, 0 or more; without it neither exposure for the same relevance nor NDCG is measured.
    query : array-like of shape (n,), optional
        Which ranking an item is in; default is one ranking of all.
    k : int, default 10
        How many are selected from each ranking.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        What rests on fewer items is ``insufficient``.
    intersections : bool, default True
        Also measure the crossing of all attributes.

    Returns
    -------
    RankingReport

    Raises
    ------
    DataError
        If a column is empty, of another length or not numeric, relevance is negative, or k is below 1.
    """
    check_levels(confidence, min_group_size)
    score = labels.finite(y_score, "y_score")
    relevance = None if y_true is None else labels.finite(y_true, "y_true")
    if relevance is not None and relevance.min() < 0:
        raise DataError(f"the relevance goes down to {relevance.min():g}", expected="numbers of 0 or more")
    if k != int(k) or k < 1:
        raise DataError(f"k is {k}", expected="a whole number, 1 or more")
    queries = np.zeros(len(score), dtype=np.intp) if query is None else _query_codes(query)
    labels.same_length(y_score=score, y_true=relevance, query=queries)
    coded = sensitive.read(sensitive_features, len(score))
    placed = place(score, queries, k)
    bys = sensitive.crossings(tuple(coded), intersections=intersections)
    made: list[Measurement] = []
    for by in bys:
        codes, groups = _groups(coded, by)
        made += _selection(placed, codes, groups, by, confidence, min_group_size)
        made += _shared(placed, score, relevance, codes, groups, by, confidence, min_group_size)

    def source() -> Any:
        return digest_of(
            "columns of the ranking report", y_score=score, y_true=relevance, query=queries, **sensitive.spelled(coded)
        )

    return RankingReport(
        measurements=tuple(made),
        details={"k": k, "queries": int(queries.max()) + 1, "items": len(score)},
        columns={"sensitive_features": list(coded)},
        confidence=confidence,
        min_group_size=min_group_size,
        source=source,
    )


def _selection(
    placed: Placed, codes: NDArray[np.int64], groups: list[tuple[str, ...]], by: tuple[str, ...], confidence: float,
    minimum: int,
) -> list[Measurement]:  # fmt: skip
    name, queries = "selection_rate_at_k", int(placed.query.max()) + 1
    if queries == 1:
        return _selection_of_one(placed, codes, groups, by, confidence, minimum)
    made, values = [], []
    for index, group in enumerate(groups):
        mine = codes == index
        size = np.bincount(placed.query[mine], minlength=queries)
        p, influence = _mean(np.bincount(placed.query[mine], weights=placed.selected[mine], minlength=queries), size)
        p, n, own = min(p, 1.0), int(mine.sum()), int((size > 0).sum())
        values.append(_value(name, group, n, p, influence, own))
        enough = own >= ENOUGH_QUERIES[name]
        known = _effective(p, influence, n, own, confidence) if enough else None
        one = rate_measurement(name, p * n, n, n, by, group, confidence, minimum, weighted=True, effective=known)
        if not enough:  # nor may anybody else make one from counts as if items were independent
            reason = one.reason or values[-1].number.reason
            one = one.model_copy(update={"reason": reason, "numerator": None, "denominator": None})
        made.append(one)
    made += [_compared(f"{name}_{form}", by, values, confidence, minimum) for form in ("ratio", "difference")]
    return made


def _effective(p: float, influence: Floats, n: int, queries: int, confidence: float) -> Effective:
    """Return as many independent items as would leave a rate as uncertain as it is between queries; no more than there are."""
    error = _error(influence, p)
    size = p * (1 - p) / error**2 if error else queries
    size *= (intervals.quantile(confidence, "two-sided") / student(confidence, "two-sided", queries - 1)) ** 2
    return Effective(p * min(size, n), min(size, n), n)


def _selection_of_one(
    placed: Placed, codes: NDArray[np.int64], groups: list[tuple[str, ...]], by: tuple[str, ...], confidence: float,
    minimum: int,
) -> list[Measurement]:  # fmt: skip
    """Measure one ranking: its items are taken for independent draws, as there is nothing else to go by."""
    sizes = np.bincount(codes, minlength=len(groups))
    hits = np.round(np.bincount(codes, weights=placed.selected, minlength=len(groups)), 9)
    split = bool(((placed.selected > 0) & (placed.selected < 1)).any())
    counts = [(group, float(hit), float(n)) for group, hit, n in zip(groups, hits, sizes, strict=True)]
    made = [
        rate_measurement("selection_rate_at_k", hit, n, int(n), by, group, confidence, minimum, weighted=split)
        for group, hit, n in counts
    ]
    made += [
        compare_rates(
            counts, "selection_rate_at_k", form, by, len(codes), confidence, minimum, family=1, weighted=split
        )
        for form in ("ratio", "difference")
    ]
    if split:
        reason = "no interval: items of equal score straddle k, and share the last places"
        made = [one.model_copy(update={"reason": one.reason or reason}) for one in made]
    return made


def _shared(
    placed: Placed, score: Floats, relevance: Floats | None, codes: NDArray[np.int64], groups: list[tuple[str, ...]],
    by: tuple[str, ...], confidence: float, minimum: int,
) -> list[Measurement]:  # fmt: skip
    queries = int(placed.query.max()) + 1
    values: dict[str, list[_Value]] = {"exposure": []}
    if relevance is not None:
        values |= {"exposure_per_relevance": [], "ndcg": []}
    for index, group in enumerate(groups):
        mine = codes == index
        query, n = placed.query[mine], int(mine.sum())
        size = np.bincount(query, minlength=queries)
        exposure, seen = _mean(np.bincount(query, weights=placed.exposure[mine], minlength=queries), size)
        own = int((size > 0).sum())
        values["exposure"].append(_value("exposure", group, n, exposure, seen, own))
        if relevance is None:
            continue
        merit, merits = _mean(np.bincount(query, weights=relevance[mine], minlength=queries), size)
        ratio = exposure / merit if merit > 0 else None
        spread = seen if ratio is None else ratio * (seen / exposure - merits / merit)
        values["exposure_per_relevance"].append(_value("exposure_per_relevance", group, n, ratio, spread, own))
        each = ndcg(score[mine], relevance[mine], query, queries)
        counted = np.isfinite(each)
        average = None
        if counted.any():
            average, spread = _mean(np.where(counted, each, 0.0), counted.astype(np.int64))
        values["ndcg"].append(_value("ndcg", group, n, average, spread, int(counted.sum())))
    made = []
    for name, found in values.items():
        made += [measured(name, by, one.number, confidence, minimum) for one in found]
        if name != "ndcg":
            made.append(_compared(f"{name}_ratio", by, found, confidence, minimum))
        if name != "exposure_per_relevance":
            made.append(_compared(f"{name}_difference", by, found, confidence, minimum))
    return made


def _mean(sums: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, Floats]:
    """Return the mean over items, and what each query adds to its error."""
    total = float(sizes.sum())
    mean = float(sums.sum()) / total
    return mean, (sums - mean * sizes) / total


def _error(influence: Floats, value: float) -> float:
    """Return the standard error; 0 where nothing but rounding differs between queries."""
    queries = len(influence)
    error = math.sqrt(float((influence**2).sum()) * queries / (queries - 1))
    return error if error > 1e-12 * abs(value) else 0.0


def _value(name: str, group: tuple[str, ...], n: int, value: float | None, influence: Floats, queries: int) -> _Value:
    common: dict[str, Any] = {"group": group, "n": n, "size": n, "value": value}
    if value is None:
        return _Value(Number(**common, reason="x/0: none of its items is relevant"), influence, queries)
    error = 0.0 if queries < ENOUGH_QUERIES[name] else _error(influence, value)
    if not error:
        reason = f"no interval: it rests on {queries} queries, and {ENOUGH_QUERIES[name]} are needed"
        return _Value(Number(**common, reason=ALIKE if queries >= ENOUGH_QUERIES[name] else reason), influence, queries)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = student(confidence, sides, queries - 1) * error
        lower, upper = value - half, value + half
        if name == "ndcg":  # piled up at 1: what is lost is skewed, and its logarithm less so
            lower = min(lower, 1 - (1 - value) * math.exp(min(half / (1 - value), 700.0)))
        return max(0.0, lower), min(math.inf if name == "exposure_per_relevance" else 1.0, upper)

    return _Value(Number(**common, bounds=bounds, method="linearised-queries"), influence, queries)


def _compared(name: str, by: tuple[str, ...], found: Sequence[_Value], confidence: float, minimum: int) -> Measurement:
    """Compare groups pair by pair; within a query they compete, so each contrast has its own error."""
    numbers = [one.number for one in found]
    common: dict[str, Any] = {"metric": name, "by": by, "n": sum(one.n for one in numbers)}
    lacking = unusable(numbers)
    if lacking is not None:
        return Measurement(**common, status="undefined", reason=lacking)
    x = [float(one.value or 0.0) for one in numbers]
    ratio = name.endswith("_ratio")
    if ratio and max(x) <= 0:
        return Measurement(**common, status="undefined", reason="it is 0 in every group, so the ratio is 0/0")
    value = min(x) / max(x) if ratio else max(x) - min(x)
    small = too_small(numbers, minimum)
    made: tuple[Interval, ...] = ()
    reason = small or next((one.number.reason for one in found if one.number.bounds is None), None)
    if ratio and min(x) <= 0:
        reason = small or "no interval: a group has none of it"
    elif all(one.number.bounds is not None for one in found):
        scaled = [one.influence / at if ratio else one.influence for one, at in zip(found, x, strict=True)]
        gaps = [
            (math.log(x[i] / x[j]) if ratio else x[i] - x[j], _error(scaled[i] - scaled[j], 1.0 if ratio else max(x)))
            for i in range(len(x)) for j in range(len(x)) if i != j
        ]  # fmt: skip
        if all(error > 0 for _, error in gaps):
            fewest = min(one.queries for one in found)
            made = both_sides(_pair_bounds(gaps, value, fewest, ratio=ratio), confidence, "linearised-queries, pairs")
        else:
            reason = reason or ALIKE
    return Measurement(**common, value=value, intervals=made, status="insufficient" if small else "ok", reason=reason)


def _pair_bounds(gaps: list[tuple[float, float]], value: float, queries: int, *, ratio: bool) -> Any:
    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        each = student(confidence, sides, queries - 1)
        every = student(1 - (1 - confidence) / len(gaps), sides, queries - 1)
        if ratio:
            lower = math.exp(min(gap - each * error for gap, error in gaps))
            upper = math.exp(min(gap + every * error for gap, error in gaps))
            return min(lower, value), max(min(1.0, upper), value)
        lower = max(gap - every * error for gap, error in gaps)
        upper = max(gap + each * error for gap, error in gaps)
        return min(max(0.0, lower), value), max(min(1.0, upper), value)

    return bounds


def _groups(
    coded: dict[str, tuple[NDArray[np.intp], tuple[str, ...]]], by: tuple[str, ...]
) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
    """Return each item's group of ``by`` as a code, and the groups that there are."""
    code = np.zeros(len(next(iter(coded.values()))[0]), dtype=np.int64)
    names: list[tuple[str, ...]] = [()]
    for attribute in by:
        own, levels = coded[attribute]
        code = code * len(levels) + own
        names = [(*name, level) for name in names for level in levels]
    used, codes = np.unique(code, return_inverse=True)
    return codes.astype(np.int64), [names[index] for index in used]


def _query_codes(query: Any) -> NDArray[np.intp]:
    import pandas as pd

    array = labels.column(query, "query")
    codes, _ = pd.factorize(array, sort=False, use_na_sentinel=True)
    if (codes < 0).any():
        raise DataError(f"query has {int((codes < 0).sum())} missing values", expected="a query in every row")
    made: NDArray[np.intp] = codes.astype(np.intp)
    return made
