"""Group fairness from the cube: rates of every group, and how far the groups are apart.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped
group, labels taken for numbers) the answer here is typed ``undefined`` or an error that names the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ml_governance.assess import conditional, counted, rates, relative, scores, sensitive
from ml_governance.assess import cube as cubes
from ml_governance.assess import rows as coded_rows
from ml_governance.assess.histogram import TooManyGroupsError
from ml_governance.assess.report import Report
from ml_governance.assess.uncertainty import Uncertainty
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from fairlearn.metrics import MetricFrame

    from ml_governance.assess.histogram import ScoreCube
    from ml_governance.assess.rows import Rows
    from ml_governance.assess.suppression import PublishedFairness
    from ml_governance.evidence.metric_definition import Better

SORTED = 100_000
"""Up to so many rows the AUC is exact by default."""


@dataclass(frozen=True, kw_only=True, repr=False)
class FairnessReport(Uncertainty, Report):
    """Group fairness: rates of every group and intersection, and comparisons between them.

    Parameters
    ----------
    cube : Cube
        The counts that everything else follows from.
    rows : callable or None
        Gives the coded rows, when a bootstrap asks for them; None where there are none.
    scored : tuple of ScoreCube
        The scores by group, label and bin: of the crossing of the attributes, or where that has too many groups of each
        attribute; empty without scores. Like the cube, they are not signed.
    stratified : Cube or None
        Counts by control features, then sensitive attributes.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    cube: cubes.Cube = field(repr=False)
    rows: Callable[[], Rows] | None = field(default=None, repr=False, compare=False)
    scored: tuple[ScoreCube, ...] = field(default=(), repr=False, compare=False)
    stratified: cubes.Cube | None = field(default=None, repr=False, compare=False)

    @property
    def by_group(self) -> pd.DataFrame:
        """Rates of every group: groups in the index as fairlearn has them, NaN where undefined."""
        import pandas as pd

        rows = {group: rates.plain_rates(table) for group, table, _ in self.cube.groups()}
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

        return pd.Series(rates.plain_rates(self.cube.total()[0]), dtype=float)

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
            If columns, positive label, confidence or minimal group size differ, only one is weighted, or only one has
            scores. The AUC of the sum is that of binned scores, with a bound of its error.
        """
        for name in ("columns", "confidence", "min_group_size"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise DataError(f"{name} is {mine} of one report and {theirs} of the other", expected="the same")
        if bool(self.scored) != bool(other.scored):
            raise DataError("only one of the reports has scores", expected="both or neither")
        crossed = any(m.by == self.cube.attributes and len(m.by) > 1 for m in self.measurements)

        def count(by: Sequence[str]) -> ScoreCube:
            mine, theirs = scores.covering(self.scored, by), scores.covering(other.scored, by)
            if mine is None or theirs is None:
                raise TooManyGroupsError(f"one of the reports has no scores by {' x '.join(by)}", expected="both")
            return mine.marginal(by).merge(theirs.marginal(by))

        strata = None
        if self.stratified is not None and other.stratified is not None:
            strata = self.stratified.merge(other.stratified)
        cube = self.cube.merge(other.cube)
        measured = _measured(
            cube, sensitive.crossings(cube.attributes, intersections=crossed), self.confidence, self.min_group_size,
            scored=count if self.scored else None, stratified=strata,
        )  # fmt: skip
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
            **rates.measure(
                cube, sensitive.crossings(cube.attributes, intersections=intersections), confidence, min_group_size
            ),
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
    control_features: Any = None,
    exact_auc: bool | None = None,
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
    y_score : array-like of shape (n,), or str, optional
        Probabilities of the positive class; with them AUC, calibration and score distributions are measured by group
        too; see :mod:`ml_governance.assess.scores`.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    sample_weight : array-like of shape (n,), or str, optional
        Weights of independent rows. Intervals of weighted rates and their comparisons are those of as many equally
        weighted rows as would be as uncertain; see :mod:`ml_governance.assess.linearised`. A gate takes no weighted
        number that it cannot compute from counts.
    control_features : data frame, column or dict of columns; or str, or sequence of str, optional
        Legitimate reasons to differ: selection rates are also compared within their strata, and pooled; see
        :mod:`ml_governance.assess.conditional`.
    exact_auc : bool, optional
        Whether to sort all rows for the AUC, which must be in memory. If not, it is that of binned scores with a bound of
        its error in the interval. By default it is exact up to 100,000 rows in memory.
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
    VerificationError
        If the rows change while they are counted.
    """
    count = counted.of_arrays if data is None else partial(counted.of_data, data)
    found = count(
        y_true=y_true, y_pred=y_pred, y_score=y_score, sensitive_features=sensitive_features,
        control_features=control_features, sample_weight=sample_weight, pos_label=pos_label,
    )  # fmt: skip
    if exact_auc and found.scores is not None and found.rows is None:
        raise DataError(
            f"the rows of a {type(data).__name__} are not here to be sorted", expected="a table in memory for exact_auc",
            next_step="leave exact_auc out: the AUC of bins comes with a bound of its error",
        )  # fmt: skip
    sort = found.cube.total()[1] <= SORTED if exact_auc is None else exact_auc
    measured = _measured(
        found.cube, sensitive.crossings(found.cube.attributes, intersections=intersections), confidence, min_group_size,
        scored=found.scores, rows=found.rows if sort else None, stratified=found.stratified,
    )  # fmt: skip
    coded = found.rows
    rows = None if coded is None else lambda: coded_rows.checked(coded(), found.cube)
    return FairnessReport(**measured, columns=found.columns, source=found.source, rows=rows)


def _measured(
    cube: cubes.Cube,
    bys: list[tuple[str, ...]],
    confidence: float,
    min_group_size: int,
    *,
    scored: Callable[[Sequence[str]], ScoreCube] | None,
    stratified: cubes.Cube | None,
    rows: Callable[[], Rows] | None = None,
) -> dict[str, Any]:
    """Return the fields of a report that follow from what was counted."""
    measured = rates.measure(cube, bys, confidence, min_group_size)
    if scored is not None:
        found = scores.assess(scored, bys, confidence, min_group_size, rows=None if rows is None else rows())
        _add(measured, found.measurements, found.details)
        measured["scored"] = found.cubes
    if stratified is not None:
        control = tuple(name for name in stratified.attributes if name not in cube.attributes)
        _add(measured, *conditional.assess(stratified, bys, control, confidence, min_group_size))
        measured["stratified"] = stratified
    return measured


def _add(measured: dict[str, Any], measurements: Sequence[Measurement], details: Mapping[str, Any]) -> None:
    measured["measurements"] += tuple(measurements)
    measured["details"] |= details
