"""Champion and challenger on the same rows: differences with paired intervals, tests, and non-inferiority with a margin.

The difference is first minus second throughout. Rates whose denominator is the same rows carry Tango's score interval and McNemar's exact
test on the rows where the two differ; the AUC DeLong's variance of a difference; means of losses Student's interval of the paired
differences, and the RMSE the same by its influence. With rows in clusters, such as several rows of one person, variances are summed by
cluster, with Student's quantile at the number of clusters less one; the counted rates then have no score interval.

DeLong's variance says nothing where both score alike, where an AUC is 1 or 0, and of rows in clusters: the difference stands there
without an interval, and says why.

Sources: Tango, Statistics in Medicine 17 (1998) 891; McNemar, Psychometrika 12 (1947) 153; DeLong, DeLong and Clarke-Pearson, Biometrics
44 (1988) 837; Liang and Zeger, Biometrika 73 (1986) 13; Piaggio et al. (CONSORT), JAMA 308 (2012) 2594.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ml_governance.assess import labels, paired_numbers, paired_rows, pairing, sensitive, tables
from ml_governance.assess.contrasts import check_levels, measured
from ml_governance.assess.performance import Task
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import metric as definition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.paired_numbers import Numbers
    from ml_governance.assess.paired_rows import Read
    from ml_governance.assess.pairing import PairedCube
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

Verdict = Literal["non-inferior", "inferior", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One number of two models on the same rows.

    Parameters
    ----------
    first, second : float or None
        What each model has; None where it is undefined.
    difference : Measurement
        First minus second, with its interval, status and reason.
    p_value : float or None
        McNemar's exact one, of counted rates.
    """

    first: float | None
    second: float | None
    difference: Measurement
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ComparisonReport:
    """Two models on the same rows.

    Parameters
    ----------
    pairs : tuple of Paired
        Over all rows and by group.
    cube : PairedCube or None
        The counts that the rates follow from; None of a regression, and of several classes, of which it counts what is right.
    task : {'binary', 'multiclass', 'regression'}
        What the models do.
    confidence : float
        Level of the intervals.
    min_group_size : int
        Below it a group's difference is ``insufficient``.
    clusters : int or None
        How many there are.
    """

    pairs: tuple[Paired, ...]
    cube: PairedCube | None = field(repr=False)
    task: Task
    confidence: float
    min_group_size: int
    clusters: int | None

    def get(self, metric: str, by: Sequence[str] = (), group: Sequence[str] = ()) -> Paired:
        """Return one number.

        Raises
        ------
        KeyError
            If it was not compared.
        """
        for one in self.pairs:
            own = one.difference
            if (own.metric, own.by, own.group) == (metric, tuple(by), tuple(group)):
                return one
        raise KeyError(f"{metric} was not compared" + (f" by {' x '.join(by)}" if by else ""))

    def non_inferior(self, metric: str, *, margin: float, sides: Sides = "one-sided") -> Verdict:
        """Say whether the first is no worse than the second by more than a margin, over all rows.

        Parameters
        ----------
        metric : str
            Which number; which way is better is taken from the catalogue of metrics.
        margin : float
            0 or more, in its unit; 0 asks for at least as good.
        sides : {'one-sided', 'two-sided'}
            What the confidence means.

        Returns
        -------
        {'non-inferior', 'inferior', 'inconclusive'}
            ``inconclusive`` where the interval holds the margin.

        Raises
        ------
        DataError
            If the margin is negative or NaN, neither way is better, or there is no interval: no verdict without one.
        """
        if not (math.isfinite(margin) and margin >= 0):
            raise DataError(f"the margin is {margin}", expected="a number of 0 or more")
        better = definition_of("performance", metric).better
        if better is None:
            raise DataError(f"of {metric} neither more nor less is better", expected="a metric with a direction")
        own = self.get(metric).difference
        found = next((one for one in own.intervals if one.sides == sides), None)
        if own.status != "ok" or found is None or found.lower is None or found.upper is None:
            raise DataError(
                f"the difference in {metric} has no interval: {own.reason or own.status}",
                expected="a difference of status ok with an interval",
            )
        worst, best = (found.lower, found.upper) if better == "higher" else (-found.upper, -found.lower)
        return "non-inferior" if worst >= -margin else "inferior" if best < -margin else "inconclusive"

    def to_details(self, other: str) -> dict[str, Any]:
        """Return what evidence signs of the two models together; ``other`` is the digest of the second."""
        return {
            "with": other,
            "counts": [] if self.cube is None else pairing.counted(self.cube, _counted(self.task)),
            "differences": [
                one.difference.to_wire() for one in self.pairs if one.p_value is None and one.difference.intervals
            ],
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a long table: metric, by, group, first, second, difference, lower, upper, p_value, n, status, reason."""
        import pandas as pd

        rows = []
        for one in self.pairs:
            own = one.difference
            interval = next((i for i in own.intervals if i.sides == "two-sided"), None)
            rows.append(
                {
                    "metric": own.metric, "by": " x ".join(own.by), "group": " x ".join(own.group), "first": one.first,
                    "second": one.second, "difference": own.value, "lower": interval.lower if interval else None,
                    "upper": interval.upper if interval else None, "p_value": one.p_value, "n": own.n, "status": own.status,
                    "reason": own.reason,
                }
            )  # fmt: skip
        frame = pd.DataFrame(rows)
        return frame.astype(dict.fromkeys(("first", "second", "difference", "lower", "upper", "p_value"), float))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "task": self.task, "confidence": self.confidence, "minGroupSize": self.min_group_size, "clusters": self.clusters,
            "pairs": [
                {"first": one.first, "second": one.second, "difference": one.difference.to_wire(), "pValue": one.p_value}
                for one in self.pairs
            ],
        }  # fmt: skip

    def to_html(self) -> str:
        """Return the differences as an HTML table."""
        rows = [
            (
                row["metric"], " = ".join(part for part in (row["by"], row["group"]) if part) or "all rows",
                *(tables.number(None if row[name] != row[name] else row[name], 4)
                  for name in ("first", "second", "difference", "lower", "upper", "p_value")),
                f"{row['n']:,}", row["reason"] or row["status"],
            )
            for row in self.to_frame().to_dict("records")
        ]  # fmt: skip
        heads = ("metric", "group", "first", "second", "difference", "lower", "upper", "p", "n", "status")
        title = f"First less second, with {self.confidence:.0%} intervals"
        return tables.to_html(title, heads, rows, heads=2)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{one.difference.metric} {one.difference.value:+.4g}"
            for one in self.pairs
            if not one.difference.by and one.difference.value is not None
        )
        return f"<ComparisonReport {len(self.pairs)} pairs: {shown}>"

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of one group, or all of them."""

    by: tuple[str, ...]
    group: tuple[str, ...]
    inside: NDArray[np.bool_]


def compare_models(
    *,
    y_true: Any,
    first: Any = None,
    second: Any = None,
    first_score: Any = None,
    second_score: Any = None,
    task: Task = "binary",
    classes: Sequence[Any] | None = None,
    sensitive_features: Any = None,
    cluster: Any = None,
    costs: Costs | None = None,
    pos_label: Any = None,
    threshold: float = 0.5,
    confidence: float = 0.95,
    min_group_size: int = 30,
) -> ComparisonReport:
    """Compare two models on the same rows, such as a challenger (first) and the champion (second).

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels, or targets.
    first, second : array-like of shape (n,), optional
        Predictions of the two; by default from their scores, as :func:`ml_governance.assess.performance.assess_performance` does.
    first_score, second_score : array-like, optional
        Probabilities of the two: both, or neither.
    task : {'binary', 'multiclass', 'regression'}
        What both do.
    classes : sequence of label, optional
        What the columns of arrays of scores of several classes are.
    sensitive_features : data frame, column or dict of columns, optional
        Groups to compare in as well, one attribute at a time.
    cluster : array-like of shape (n,), optional
        Which rows belong together.
    costs : Costs, optional
        What wrong decisions cost: compares ``mean_cost`` as well.
    pos_label : object, optional
        The positive label, unless labels are 0 and 1.
    threshold : float, default 0.5
        Of scores, without predictions.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        A smaller group's difference is ``insufficient``.

    Returns
    -------
    ComparisonReport

    Raises
    ------
    DataError
        If one of the two lacks what the other has, or a column cannot be used.
    """
    check_levels(confidence, min_group_size)
    if task not in get_args(Task):
        raise DataError(f"the task is {task!r}", expected=f"one of {', '.join(get_args(Task))}")
    if (first is None) != (second is None) or (first_score is None) != (second_score is None):
        raise DataError(
            "one of the two models has predictions or scores that the other lacks", expected="the same of both"
        )
    if costs is not None and task != "binary":
        raise DataError(f"costs were given for {task} models", expected="costs with binary ones only")
    if task == "binary":
        read = paired_rows.binary(y_true, (first, second), (first_score, second_score), pos_label, threshold)
    elif task == "multiclass":
        read = paired_rows.classes_of(y_true, (first, second), (first_score, second_score), classes)
    else:
        read = paired_rows.numbers(y_true, first, second)
    coded = {} if sensitive_features is None else sensitive.read(sensitive_features, read.rows)
    cluster_of = None if cluster is None else sensitive.codes(cluster, "cluster")[0]
    labels.same_length(y_true=labels.column(y_true, "y_true"), cluster=cluster_of)
    cube = None if read.flags is None else pairing.count_pairs(*read.flags, coded)
    pairs: list[Paired] = []
    for rows in _slices(coded, read.rows):
        own = None if cluster_of is None else cluster_of[rows.inside]
        for name, numbers in _numbers(read, rows, own, costs, task):
            pairs.append(_pair(name, rows, numbers, confidence, min_group_size if rows.by else 1))
    return ComparisonReport(
        pairs=tuple(pairs), cube=None if cluster_of is not None else cube, task=task, confidence=confidence,
        min_group_size=min_group_size, clusters=None if cluster_of is None else len(np.unique(cluster_of)),
    )  # fmt: skip


def _pair(name: str, rows: _Rows, numbers: Numbers, confidence: float, minimum: int) -> Paired:
    return Paired(
        first=numbers.first, second=numbers.second, p_value=numbers.p_value,
        difference=measured(name, rows.by, numbers.difference, confidence, minimum),
    )  # fmt: skip


def _slices(coded: dict[str, Any], n: int) -> Iterator[_Rows]:
    yield _Rows(by=(), group=(), inside=np.ones(n, dtype=bool))
    for name, (own, levels) in coded.items():
        for index, level in enumerate(levels):
            yield _Rows(by=(name,), group=(level,), inside=own == index)


def _counted(task: Task) -> tuple[str, ...]:
    return tuple(pairing.RATES) if task == "binary" else ("accuracy",)


def _numbers(read: Read, rows: _Rows, cluster: Any, costs: Costs | None, task: Task) -> Iterator[tuple[str, Numbers]]:
    inside, group = rows.inside, rows.group
    if read.flags is not None:
        true, one, two = (part[inside] for part in read.flags)
        ((_, _, table),) = pairing.count_pairs(true, one, two, {}).groups()
        for rate in _counted(task):
            case, label = pairing.RATES[rate]
            among = np.ones(len(true), dtype=bool) if label is None else true == label
            mine, other = (part == (true if case is None else case) for part in (one, two))
            gap = (mine.astype(np.float64) - other)[among]
            own = None if cluster is None else cluster[among]
            yield rate, paired_numbers.rate(pairing.joint(table, rate), group, own, gap)
        if costs is not None:
            yield "mean_cost", paired_numbers.cost(table, costs, group, clustered=cluster is not None)
        if read.scores is not None:
            scores = (read.scores[0][inside], read.scores[1][inside])
            yield "roc_auc", paired_numbers.auc(true, *scores, group, clustered=cluster is not None)
    for name, (first, second) in read.losses.items():
        yield name, paired_numbers.loss(name, first[inside], second[inside], group, cluster)
