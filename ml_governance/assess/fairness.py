"""Group fairness from the cube: rates of every group, and how far the groups are apart.

Names and definitions follow fairlearn where it has them; where its answer would mislead (0 for 0/0, a dropped
group, labels taken for numbers) the answer here is typed ``undefined`` or an error that names the cause.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ml_governance.assess import binary, conditional, labels, relative, scores
from ml_governance.assess import cube as cubes
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import METRICS, RATES, rate_counts
from ml_governance.evidence.predicates import Assessment, Fairness, Interval, Measurement, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

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
class FairnessReport(Report):
    """Group fairness: rates of every group and intersection, and comparisons between them.

    Parameters
    ----------
    cube : Cube
        The counts that everything else follows from.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    cube: cubes.Cube = field(repr=False)

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

    def _comparison(self, metric: str, suffix: str, by: Sequence[str] | None) -> Measurement:
        name = metric if metric.endswith(suffix) else metric + suffix
        return self.get(name, by=self.cube.attributes if by is None else by)

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[tuple[str, ...] | str, Sequence[int]],
        *,
        by: Sequence[str] | str,
        confidence: float = 0.95,
        min_group_size: int = 30,
    ) -> Self:
        """Make a report from published counts, without rows.

        Parameters
        ----------
        counts : mapping of group to (tn, fp, fn, tp)
            A group is a level, or a tuple of levels parallel to ``by``.
        by : str or sequence of str
            The attributes.
        confidence, min_group_size
            As :func:`assess_fairness`.

        Raises
        ------
        DataError
            If a group does not fit ``by``, or counts are not whole and non-negative.
        """
        names = (by,) if isinstance(by, str) else tuple(by)
        groups = {(group,) if isinstance(group, str) else tuple(group): values for group, values in counts.items()}
        for group, values in groups.items():
            whole = len(values) == 4 and all(isinstance(v, int | np.integer) and v >= 0 for v in values)
            if len(group) != len(names) or not whole:
                raise DataError(
                    f"the group {group} has the counts {values!r}",
                    expected="(tn, fp, fn, tp), whole and 0 or more",
                )
        if not groups or not any(sum(values) for values in groups.values()):
            raise DataError("there are no counts", expected="at least one row in one group")
        levels = tuple(tuple(sorted({group[axis] for group in groups})) for axis in range(len(names)))
        table = np.zeros((*map(len, levels), 2, 2), dtype=np.int64)
        for group, values in groups.items():
            position = tuple(own.index(level) for own, level in zip(levels, group, strict=True))
            table[position] = np.array(values).reshape(2, 2)
        cube = cubes.Cube(attributes=names, levels=levels, counts=table)
        return cls(
            **_measured(cube, confidence, min_group_size, intersections=True),
            columns={"sensitive_features": list(names)},
        )


def assess_fairness(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    y_score: Any = None,
    pos_label: Any = None,
    sample_weight: Any = None,
    control_features: Any = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    intersections: bool = True,
) -> FairnessReport:
    """Measure group fairness of a binary classifier.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Labels and predicted labels.
    sensitive_features : data frame, column or dict of columns
        Groups. A missing value is a group of its own, ``(missing)``.
    y_score : array-like of shape (n,), optional
        Probabilities of the positive class; with them AUC, calibration and score distributions are measured by group
        too; see :mod:`ml_governance.assess.scores`.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    sample_weight : array-like of shape (n,), optional
        Weights. Weighted values carry no interval: the binomial formulas do not hold for them.
    control_features : data frame, column or dict of columns, optional
        Legitimate reasons to differ: selection rates are also compared within their strata, and pooled; see
        :mod:`ml_governance.assess.conditional`.
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
        labels and no ``pos_label``.
    """
    true, predicted, positive = labels.pair(y_true, y_pred, pos_label)
    score = None if y_score is None else labels.scores(y_score)
    labels.same_length(y_true=true, y_score=score)
    weight = None if sample_weight is None else labels.weights(sample_weight)
    labels.same_length(y_true=true, sample_weight=weight)
    found = cubes.features(sensitive_features, len(true))
    coded = {name: cubes.codes(values, name) for name, values in found.items()}
    control = {} if control_features is None else _control(control_features, len(true), coded)
    cube = cubes.count(true, predicted, coded, weight)
    columns: dict[str, str | list[str]] = {
        "y_true": str(getattr(y_true, "name", None) or "y_true"),
        "sensitive_features": list(found),
        "pos_label": str(positive),
    }

    def source() -> Resource:
        levels = {f"sensitive: {name}": np.asarray(names, dtype=object)[own] for name, (own, names) in coded.items()}
        levels |= {f"control: {name}": np.asarray(names, dtype=object)[own] for name, (own, names) in control.items()}
        return digest_of(
            "columns of the fairness report",
            y_true=true, y_pred=predicted, y_score=score, sample_weight=weight, **levels,
        )  # fmt: skip

    measured = _measured(cube, confidence, min_group_size, intersections=intersections)
    bys = _bys(cube, intersections=intersections)
    if score is not None:
        _add(measured, *scores.assess(true, score, coded, weight, bys, confidence, min_group_size))
    if control:
        columns["control_features"] = list(control)
        wide = cubes.count(true, predicted, {**control, **coded}, weight)
        _add(measured, *conditional.assess(wide, bys, tuple(control), confidence, min_group_size))
    return FairnessReport(**measured, columns=columns, source=source)


def _control(control_features: Any, rows: int, coded: Mapping[str, Any]) -> dict[str, Any]:
    found = cubes.features(control_features, rows)
    both = sorted(set(found) & set(coded))
    if both:
        raise DataError(
            f"{', '.join(both)} is both a sensitive feature and a control feature", expected="one or the other"
        )
    return {name: cubes.codes(values, name) for name, values in found.items()}


def _add(measured: dict[str, Any], measurements: list[Measurement], details: dict[str, Any]) -> None:
    measured["measurements"] += tuple(measurements)
    measured["details"] |= details


def _bys(cube: cubes.Cube, *, intersections: bool) -> list[tuple[str, ...]]:
    bys: list[tuple[str, ...]] = [(name,) for name in cube.attributes]
    return [*bys, cube.attributes] if intersections and len(cube.attributes) > 1 else bys


def _measured(cube: cubes.Cube, confidence: float, min_group_size: int, *, intersections: bool) -> dict[str, Any]:
    intervals.quantile(confidence, "two-sided")  # refuses a level that is none
    if min_group_size < 1:
        raise DataError(f"min_group_size is {min_group_size}", expected="1 or more")
    bys = _bys(cube, intersections=intersections)
    table, rows = cube.total()
    measurements = _rates(table, rows, (), (), confidence, 1, weighted=cube.weights is not None)
    shown = []
    for by in bys:
        groups = cube.marginal(by).groups()
        for group, values, n in groups:
            measurements += _rates(values, n, by, group, confidence, min_group_size, weighted=cube.weights is not None)
        measurements += _comparisons(groups, by, confidence, min_group_size, weighted=cube.weights is not None)
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
) -> list[Measurement]:
    counts = counts_of(table)
    return [
        rate_measurement(
            metric.name, *counts[metric.name], rows, by, group, confidence, min_group_size, weighted=weighted
        )
        for metric in RATES
    ]


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
) -> Measurement:
    """Return one rate, typed: ``undefined`` for 0/0, ``insufficient`` below the stated size."""
    common: dict[str, Any] = {"metric": metric, "by": by, "group": group, "numerator": k, "denominator": n, "n": rows}
    if n <= 0:
        return Measurement(**common, status="undefined", reason=f"0/0: no row that {metric} could be a share of")
    reason = None
    if rows < min_group_size or (not weighted and n < min_group_size):
        reason = f"{n:g} row{'s' if n != 1 else ''} where {min_group_size} are required"
    return Measurement(
        **common,
        value=k / n,
        intervals=() if weighted else rate_intervals(k, n, confidence),
        status="ok" if reason is None else "insufficient",
        reason=reason,
    )


def rate_intervals(k: float, n: float, confidence: float) -> tuple[Interval, ...]:
    """Return Wilson's intervals of a rate, two-sided and one-sided."""
    made = []
    for sides in SIDES:
        bounds = intervals.rate(k, n, confidence=confidence, sides=sides)
        made.append(
            Interval(confidence=confidence, sides=sides, lower=bounds.lower, upper=bounds.upper, method="wilson")
        )
    return tuple(made)


def _comparisons(
    groups: list[tuple[tuple[str, ...], NDArray[Any], int]],
    by: tuple[str, ...],
    confidence: float,
    min_group_size: int,
    *,
    weighted: bool,
) -> list[Measurement]:
    tables = [(group, counts_of(values), n) for group, values, n in groups]
    rows = sum(n for _, _, n in groups)
    made = []
    for metric in COMPARISONS:
        parts = [
            compare_rates(
                [(group, *table[rate]) for group, table, _ in tables], rate, metric.form, by, rows, confidence, min_group_size,
                family=len(metric.of), weighted=weighted,
            )
            for rate in metric.of
        ]  # fmt: skip
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
) -> Measurement:
    """Compare one rate between all groups, given as (group, numerator, denominator); ``family`` rates are looked at."""
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
    small = [group for group, _, n in counts if n < min_group_size]
    reason = f"fewer than {min_group_size} rows in {', '.join(' x '.join(group) for group in small)}" if small else None
    return Measurement(
        **common,
        value=value,
        intervals=() if weighted else _worst_intervals(pairs, form, confidence, family),
        status="insufficient" if small else "ok",
        reason=reason,
    )


def _worst_intervals(
    pairs: list[tuple[float, float]], form: str, confidence: float, family: int
) -> tuple[Interval, ...]:
    function = intervals.worst_ratio if form == "ratio" else intervals.worst_difference
    method = "koopman-pairs" if form == "ratio" else "newcombe-pairs"
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
