"""Group fairness from the cube: rates of every group, and how far the groups are apart.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped
group, labels taken for numbers) the answer here is typed ``undefined`` or an error that names the cause.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ml_governance.assess import binary, counted, labels, linearised, relative
from ml_governance.assess import cube as cubes
from ml_governance.assess import rows as coded_rows
from ml_governance.assess.report import Report
from ml_governance.assess.uncertainty import Uncertainty
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES, rate_counts
from ml_governance.evidence.predicates import Assessment, Fairness, Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from fairlearn.metrics import MetricFrame
    from numpy.typing import NDArray

    from ml_governance.assess.rows import Rows
    from ml_governance.assess.suppression import PublishedFairness
    from ml_governance.evidence.metric_definition import Better

SIDES: tuple[intervals.Sides, ...] = ("two-sided", "one-sided")
_NAMES = {rate.name for rate in RATES}
COMPARISONS = tuple(
    metric
    for (kind, _), metric in METRICS.items()
    if kind == "fairness" and metric.form in ("ratio", "difference") and _NAMES.issuperset(metric.of)
)


def counts_of(table: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of every rate of a 2 x 2 table by label, then prediction."""
    (tn, fp), (fn, tp) = (tuple(value.item() for value in row) for row in table)
    return rate_counts(tn, fp, fn, tp)


@dataclass(frozen=True, kw_only=True, repr=False)
class FairnessReport(Uncertainty, Report):
    """Group fairness: rates of every group and intersection, and comparisons between them.

    Parameters
    ----------
    cube : Cube
        The counts that everything else follows from.
    rows : callable or None
        Gives the coded rows, when a bootstrap asks for them; None where there are none.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    cube: cubes.Cube = field(repr=False)
    rows: Callable[[], Rows] | None = field(default=None, repr=False, compare=False)

    @property
    def by_group(self) -> pd.DataFrame:
        """Rates of every group: groups in the index as fairlearn has them, NaN where undefined."""
        import pandas as pd

        rows = {group: _plain_rates(table) for group, table, _ in self.cube.groups()}
        names = list(self.cube.attributes)
        if len(names) == 1:
            index: pd.Index = pd.Index([group[0] for group in rows], name=names[0])
        else:
            index = pd.MultiIndex.from_tuples(list(rows), names=names)
        return pd.DataFrame(list(rows.values()), index=index, dtype=float)

    @property
    def overall(self) -> pd.Series[float]:
        """Rates over all rows."""
        import pandas as pd

        return pd.Series(_plain_rates(self.cube.total()[0]), dtype=float)

    def difference(self, metric: str, by: Sequence[str] | None = None) -> Measurement:
        """Return the largest rate of any group minus the smallest, with interval and status.

        Parameters
        ----------
        metric : str
            A rate, such as ``selection_rate``, or a named difference, such as ``equalized_odds_difference``.
        by : sequence of str, optional
            Which attributes; default is all of them, crossed.
        """
        return self._comparison(metric, "_difference", by)

    def ratio(self, metric: str, by: Sequence[str] | None = None) -> Measurement:
        """Return the smallest rate of any group divided by the largest, with interval and status."""
        return self._comparison(metric, "_ratio", by)

    def to_reference(
        self, metric: str, reference: str | tuple[str, ...], by: Sequence[str] | None = None
    ) -> tuple[relative.Relative, ...]:
        """Return every other group against a reference group; see :func:`relative.to_reference`."""
        return relative.to_reference(self.cube, metric, reference, by=by, **self._levels())

    def to_overall(self, metric: str, by: Sequence[str] | None = None) -> tuple[relative.Relative, ...]:
        """Return every group against all rows; see :func:`relative.to_overall`."""
        return relative.to_overall(self.cube, metric, by=by, **self._levels())

    def worst_group(self, metric: str, by: Sequence[str] | None = None, better: Better | None = None) -> Measurement:
        """Return the number of the group that is worst off; see :func:`relative.worst_group`."""
        return relative.worst_group(self.cube, metric, by=by, better=better, **self._levels())

    def _levels(self) -> dict[str, Any]:
        return {"confidence": self.confidence, "min_group_size": self.min_group_size}

    def published(self, k: int = 10, *, protection: int | None = None) -> PublishedFairness:
        """Return what may be published: groups under ``k`` rows withheld, and with them what would give them away.

        See :func:`ml_governance.assess.suppression.publish`.
        """
        from ml_governance.assess import suppression

        return suppression.publish(self, k=k, protection=protection)

    def _comparison(self, metric: str, suffix: str, by: Sequence[str] | None) -> Measurement:
        name = metric if metric.endswith(suffix) else metric + suffix
        return self.get(name, by=self.cube.attributes if by is None else by)

    def merge(self, other: FairnessReport) -> FairnessReport:
        """Return the report of the rows of both: shards, days, sites.

        Raises
        ------
        DataError
            If columns, positive label, confidence or minimal group size differ, or only one is weighted.
        """
        for name in ("columns", "confidence", "min_group_size"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise DataError(f"{name} is {mine} of one report and {theirs} of the other", expected="the same")
        crossed = any(m.by == self.cube.attributes and len(m.by) > 1 for m in self.measurements)
        measured = _measured(self.cube.merge(other.cube), self.confidence, self.min_group_size, intersections=crossed)
        return FairnessReport(**measured, columns=self.columns)

    def to_metric_frame(self) -> MetricFrame:
        """Return the rates as fairlearn's ``MetricFrame``; see :mod:`ml_governance.assess.metric_frame`."""
        from ml_governance.assess import metric_frame

        return metric_frame.of(self.cube)

    @classmethod
    def from_cube(
        cls,
        cube: cubes.Cube,
        *,
        confidence: float = 0.95,
        min_group_size: int = 30,
        intersections: bool = True,
    ) -> Self:
        """Make a report from a cube, without rows: one that was stored, or merged from shards.

        Parameters
        ----------
        cube : Cube
            Counts by group, label and prediction.
        confidence, min_group_size, intersections
            As :func:`assess_fairness`.

        Raises
        ------
        DataError
            If the cube is empty.
        """
        if not cube.attributes or not cube.counts.any():
            raise DataError("there are no counts", expected="at least one row in one group")
        return cls(
            **_measured(cube, confidence, min_group_size, intersections=intersections),
            columns={"sensitive_features": list(cube.attributes)},
        )

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[tuple[str, ...] | str, Sequence[int]],
        *,
        by: Sequence[str] | str,
        weights: Mapping[tuple[str, ...] | str, Sequence[float]] | None = None,
        squares: Mapping[tuple[str, ...] | str, Sequence[float]] | None = None,
        confidence: float = 0.95,
        min_group_size: int = 30,
    ) -> Self:
        """Make a report from published counts, without rows.

        Parameters
        ----------
        counts : mapping of group to (tn, fp, fn, tp)
            Rows. A group is a level, or a tuple of levels parallel to ``by``.
        by : str or sequence of str
            The attributes.
        weights, squares : mapping of group to (tn, fp, fn, tp), optional
            Sums of weights, and of squared weights, of the same rows.
        confidence, min_group_size
            As :func:`assess_fairness`.

        Raises
        ------
        DataError
            If a group does not fit ``by``, counts are not whole and non-negative, or weights do not fit the counts.
        """
        cube = cubes.from_counts(
            counts, by=(by,) if isinstance(by, str) else tuple(by), weights=weights, squares=squares
        )
        return cls.from_cube(cube, confidence=confidence, min_group_size=min_group_size)


def assess_fairness(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    data: Any = None,
    y_score: Any = None,
    pos_label: Any = None,
    sample_weight: Any = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    intersections: bool = True,
) -> FairnessReport:
    """Measure group fairness of a binary classifier.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,), or str
        Labels and predicted labels; names of columns when ``data`` is given.
    sensitive_features : data frame, column or dict of columns; or str, or sequence of str
        Groups; names of columns when ``data`` is given. A missing value is a group of its own, ``(missing)``.
    data : table, path or list of paths, optional
        Where the columns are: a pandas, Polars, PySpark or Dask data frame, a Polars lazy frame, a pyarrow Table or
        Dataset, a DuckDB relation, an Ibis table; or Parquet and CSV files, by path or pattern (``dir/*.parquet``).
        The rows are counted where they are, in one pass, and only the counts come here. In CSV files, all values are
        taken as written.
    y_score : array-like of shape (n,), optional
        Checked if given; score metrics by group are part of the performance report. Not with ``data``.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    sample_weight : array-like of shape (n,), or str, optional
        Weights of independent rows. Intervals of weighted rates and their comparisons are those of as many equally
        weighted rows as would be as uncertain; see :mod:`ml_governance.assess.linearised`. A gate takes no weighted
        number that it cannot compute from counts.
    confidence : float in (0, 1), default 0.95
        Level of the intervals: Wilson for rates, Koopman for ratios and Newcombe for differences, projected from
        all pairs of groups.
    min_group_size : int, default 30
        Rates with a smaller denominator have the status ``insufficient``.
    intersections : bool, default True
        Also measure the crossing of all attributes.

    Returns
    -------
    FairnessReport

    Raises
    ------
    DataError
        If a column is empty, of another length, has NaN, more than two labels, probabilities for labels, or two
        labels and no ``pos_label``; or the data lack a column.
    UnavailableError
        If the engine that holds the data fails.
    """
    if data is not None:
        if y_score is not None:
            raise DataError(
                "y_score is given with data", expected="labels only", next_step="pass scores to assess_performance"
            )
        found = counted.of_data(data, y_true, y_pred, sensitive_features, sample_weight, pos_label)
    else:
        found = counted.of_arrays(y_true, y_pred, sensitive_features, sample_weight, pos_label)
        if y_score is not None:
            labels.same_length(y_true=y_true, y_score=labels.scores(y_score))
    measured = _measured(found.cube, confidence, min_group_size, intersections=intersections)

    def rows() -> Rows:
        return coded_rows.of_arrays(y_true, y_pred, sensitive_features, sample_weight, pos_label, found.cube)

    return FairnessReport(**measured, columns=found.columns, source=found.source, rows=rows if data is None else None)


def _measured(cube: cubes.Cube, confidence: float, min_group_size: int, *, intersections: bool) -> dict[str, Any]:
    intervals.quantile(confidence, "two-sided")  # refuses a level that is none
    if min_group_size < 1:
        raise DataError(f"min_group_size is {min_group_size}", expected="1 or more")
    bys: list[tuple[str, ...]] = [(name,) for name in cube.attributes]
    if intersections and len(cube.attributes) > 1:
        bys.append(cube.attributes)
    table, rows = cube.total()
    weighted = cube.weights is not None
    known = linearised.effective(cube)
    measurements = _rates(table, rows, (), (), confidence, 1, weighted=weighted, effective=known.get(()))
    shown = []
    for by in bys:
        own = cube.marginal(by)
        groups, known = own.groups(), linearised.effective(own)
        for group, values, n in groups:
            measurements += _rates(
                values, n, by, group, confidence, min_group_size, weighted=weighted, effective=known.get(group)
            )
        measurements += _comparisons(groups, by, confidence, min_group_size, weighted=weighted, effective=known)
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
    (tn, fp), (fn, tp) = (tuple(value.item() for value in row) for row in values)
    return {"group": list(group), "n": n, "tn": tn, "fp": fp, "fn": fn, "tp": tp}


def _plain_rates(table: NDArray[Any]) -> dict[str, float]:
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
) -> list[Measurement]:
    counts = counts_of(table)
    return [
        rate_measurement(
            metric.name, *counts[metric.name], rows, by, group, confidence, min_group_size, weighted=weighted,
            effective=None if effective is None else effective[metric.name],
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
) -> Measurement:
    """Return one rate, typed: ``undefined`` for 0/0, ``insufficient`` below the stated size.

    A weighted rate has an interval if its effective counts are given.
    """
    common: dict[str, Any] = {"metric": metric, "by": by, "group": group, "numerator": k, "denominator": n, "n": rows}
    if n <= 0:
        return Measurement(**common, status="undefined", reason=f"0/0: no row that {metric} could be a share of")
    reason = None
    size = n if not weighted else effective.rows if effective else rows
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
) -> list[Measurement]:
    tables = [(group, counts_of(values), n) for group, values, n in groups]
    rows = sum(n for _, _, n in groups)

    @cache  # the named comparisons are those of a rate under another name
    def compared(rate: str, form: str, family: int) -> Measurement:
        return _compare(
            [(group, *table[rate]) for group, table, _ in tables], rate, form, by, rows, confidence, min_group_size,
            family=family, weighted=weighted,
            effective=[effective[group][rate] for group, _, _ in tables] if effective else None,
        )  # fmt: skip

    made = []
    for metric in COMPARISONS:
        parts = [compared(rate, metric.form, len(metric.of)) for rate in metric.of]
        made.append(_worse(parts, metric.form).model_copy(update={"metric": metric.name}))
    return made


def _compare(
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
    effective: list[linearised.Effective] | None,
) -> Measurement:
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
    sizes = [n for _, n in pairs] if effective is None else [one.rows for one in effective]
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
