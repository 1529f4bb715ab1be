"""Errors of a regression by group: mean error, MAE, RMSE, R2 and quantile loss, with intervals, from sums.

One pass adds up, for every group, powers of the error and of the target; values and intervals follow from the sums, and sums
of shards add up. With e = prediction - target:

mean error
    mean e; the sign says who is over- and who is underestimated (Calders et al., ICDM 2013, 71).
MAE, RMSE
    mean |e|, sqrt(mean e^2); the largest over groups is what bounded group loss bounds (Agarwal, Dudik and Wu, ICML 2019).
R2
    1 - sum e^2 / sum (y - mean_g y)^2, with the group's own mean (Kvalseth, American Statistician 39 (1985) 279).
quantile loss
    mean max(-q e, (1 - q) e) at a stated quantile q (Koenker and Bassett, Econometrica 46 (1978) 33).

Intervals of mean errors are Student's; of what is never negative, those of :mod:`ml_governance.assess.means`, which allow for its
skew; RMSE's is the square root of that of the mean squared error, R2's comes from its influence function. What holds how often
is in benchmarks/coverage_numbers.py. No interval can know tails that it has not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import group_axes, labels, means, sensitive
from ml_governance.assess.contrasts import Number, check_levels, compared, measured
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import METRICS
from ml_governance.evidence.predicates import Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_governance.assess.labels import Floats
    from ml_governance.assess.sensitive import Codes
    from ml_governance.evidence.intervals import Sides

TERMS = (
    "rows", "weight", "error", "absolute", "absolute3", "error2", "error4", "error6", "loss", "loss2", "loss3",
    "target", "target2", "target3", "target4", "error2_target", "error2_target2",
)  # fmt: skip
"""What is added up; target is less the origin."""

SMALLEST = 1e-280
"""A sum of powers below it has lost digits."""

METRIC_NAMES = (
    "mean_error", "mean_absolute_error", "root_mean_squared_error", "r2", "mean_pinball_loss",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSums:
    """Sums by group.

    Parameters
    ----------
    attributes : tuple of str
        Sensitive attributes.
    levels : tuple of tuple of str
        Their levels.
    quantile : float
        Of the quantile loss.
    origin : float
        What is taken from the target before its powers are added, against loss of digits.
    sums : array of float64, shape (levels..., terms)
        In the order of :data:`TERMS`, each but ``rows`` times the weight.
    weighted : bool
        Whether rows are weighted.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    quantile: float
    origin: float
    sums: Floats = field(repr=False)
    weighted: bool

    def groups(self, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], dict[str, float]]]:
        """Yield the sums of every group of ``by`` that has a row."""
        sums = group_axes.marginal(self.sums, self.attributes, by)
        levels = [self.levels[self.attributes.index(name)] for name in by]
        for group, place in group_axes.groups(levels, sums[..., TERMS.index("rows")]):
            yield group, dict(zip(TERMS, sums[place].tolist(), strict=True))

    def merge(self, other: ErrorSums) -> ErrorSums:
        """Add the sums of other rows.

        Raises
        ------
        DataError
            If attributes, quantile, origin or weighting differ.
        """
        mine, theirs = ((one.attributes, one.quantile, one.origin, one.weighted) for one in (self, other))
        if mine != theirs:
            raise DataError(
                f"the sums are of {mine} and {theirs}", expected="the same attributes, quantile, origin and weighting"
            )
        levels = group_axes.common_levels(self, other)
        sums = group_axes.added(levels, *((one.levels, one.sums) for one in (self, other)))
        return replace(self, levels=levels, sums=sums)


@dataclass(frozen=True, kw_only=True, repr=False)
class RegressionReport(Report):
    """Errors of a regression by group.

    Parameters
    ----------
    sums : ErrorSums
        The sums that everything else follows from.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    sums: ErrorSums = field(repr=False)


def assess_regression(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    sample_weight: Any = None,
    quantile: float = 0.9,
    confidence: float = 0.95,
    min_group_size: int = 30,
    intersections: bool = True,
) -> RegressionReport:
    """Measure how a regression's errors differ between groups.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Target and prediction, in the same unit.
    sensitive_features : data frame, column or dict of columns
        Groups. A missing value is a group of its own, ``(missing)``.
    sample_weight : array-like of shape (n,), optional
        Weights; weighted values carry no interval.
    quantile : float in (0, 1), default 0.9
        Of ``mean_pinball_loss``.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        What rests on fewer rows is ``insufficient``.
    intersections : bool, default True
        Also measure the crossing of all attributes.

    Returns
    -------
    RegressionReport

    Raises
    ------
    DataError
        If a column is empty, of another length, not numeric, or has NaN or infinite values.
    """
    check_levels(confidence, min_group_size)
    true, predicted = labels.finite(y_true, "y_true"), labels.finite(y_pred, "y_pred")
    weight = None if sample_weight is None else labels.weights(sample_weight)
    labels.same_length(y_true=true, y_pred=predicted, sample_weight=weight)
    coded = sensitive.read(sensitive_features, len(true))
    sums = add_up(true, predicted, coded, weight, quantile=quantile)
    bys = sensitive.crossings(tuple(coded), intersections=intersections)

    def source() -> Any:
        return digest_of(
            "columns of the regression report",
            y_true=true,
            y_pred=predicted,
            sample_weight=weight,
            **sensitive.spelled(coded),
        )

    return RegressionReport(
        measurements=tuple(measure(sums, bys, confidence, min_group_size)),
        details={"quantile": quantile, "weighted": weight is not None},
        columns={
            "y_true": str(getattr(y_true, "name", None) or "y_true"),
            "sensitive_features": list(coded),
        },
        confidence=confidence,
        min_group_size=min_group_size,
        sums=sums,
        source=source,
    )


def add_up(
    true: Floats,
    predicted: Floats,
    coded: Mapping[str, Codes],
    weight: Floats | None = None,
    *,
    quantile: float = 0.9,
    origin: float | None = None,
) -> ErrorSums:
    """Add up powers of error and target by group.

    Parameters
    ----------
    true, predicted : array of float64, shape (n,)
        Target and prediction.
    coded : mapping of name to (codes, levels)
        As :func:`ml_governance.assess.sensitive.read` returns them.
    weight : array of float64, shape (n,), or None
        Sample weights.
    quantile : float in (0, 1), default 0.9
        Of the quantile loss.
    origin : float, optional
        Taken from the target; default is its mean. Shards that are to be merged need the same one.
    """
    if not 0 < quantile < 1:
        raise DataError(f"the quantile is {quantile}", expected="a number between 0 and 1")
    levels, cell = tuple(entry[1] for entry in coded.values()), sensitive.cell(coded, len(true))
    size = math.prod(map(len, levels))
    sums = np.empty((size, len(TERMS)))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # such sums are refused
        origin = float(true.mean()) if origin is None else origin
        e, y = predicted - true, true - origin
        absolute, loss, one = np.abs(e), np.maximum(-quantile * e, (1 - quantile) * e), np.ones_like(e)
        square = e * e
        values = (
            None, one, e, absolute, absolute * square, square, square**2, square**3, loss, loss**2, loss**3,
            y, y**2, y**3, y**4, square * y, square * y**2,
        )  # fmt: skip
        for term, value in enumerate(values):
            weights = None if value is None else value if weight is None else value * weight
            sums[:, term] = np.bincount(cell, weights=weights, minlength=size)
    _check_extent(sums)
    return ErrorSums(
        attributes=tuple(coded), levels=levels, quantile=quantile, origin=origin,
        sums=sums.reshape((*map(len, levels), len(TERMS))), weighted=weight is not None,
    )  # fmt: skip


def _check_extent(sums: Floats) -> None:
    """Refuse sums of powers that are too large or too small for floats."""
    of = dict(zip(TERMS, sums.T, strict=True))
    pairs = (("absolute", "error6"), ("target2", "target4"))
    lost = any(((of[one] > 0) & (of[power] < SMALLEST)).any() for one, power in pairs)
    if lost or not np.isfinite(sums).all():
        raise DataError(
            f"targets or errors are too {'small' if lost else 'large'}: floats lose their powers",
            expected="numbers between 1e-40 and 1e40",
            next_step="take another unit",
        )


def measure(
    sums: ErrorSums, bys: Sequence[tuple[str, ...]], confidence: float, min_group_size: int
) -> list[Measurement]:
    """Measure everything: over all rows, by group, and between groups."""
    made = []
    for by in [(), *bys]:
        groups = list(sums.groups(by))
        for name in METRIC_NAMES:
            numbers = [number(name, group, values, weighted=sums.weighted) for group, values in groups]
            made += [measured(name, by, one, confidence, min_group_size) for one in numbers]
            if not by:
                continue
            for form in ("difference", "ratio"):
                metric = METRICS.get(("fairness", f"{name}_{form}"))
                if metric is not None:
                    made.append(compared(metric.name, by, numbers, form, confidence, min_group_size, limit=metric.high))
    return made


def number(name: str, group: tuple[str, ...], sums: Mapping[str, float], *, weighted: bool) -> Number:
    """Return one metric of one group from its sums; undefined without weight, R2 also without variation."""
    n, w = int(sums["rows"]), sums["weight"]
    if w <= 0:
        return Number(group=group, n=n, size=0, value=None, reason="0/0: all its rows have the weight 0")
    mean = {term: value / w for term, value in sums.items()}
    if name == "r2":
        return _r2(group, n, mean, weighted=weighted)
    first, second, third = {
        "mean_error": ("error", "error2", "error2"),
        "mean_absolute_error": ("absolute", "error2", "absolute3"),
        "root_mean_squared_error": ("error2", "error4", "error6"),
        "mean_pinball_loss": ("loss", "loss2", "loss3"),
    }[name]
    centre = mean[first]
    root = name == "root_mean_squared_error"
    value = math.sqrt(centre) if root else centre
    spread = mean[second] - centre**2
    if spread <= means.ROUNDING * mean[second]:  # nothing but rounding is left of it
        return Number(group=group, n=n, size=n, value=value, reason="no interval: all its errors are alike")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        if name == "mean_error":
            half = means.student(confidence, sides, n - 1) * math.sqrt(spread / (n - 1))
            return centre - half, centre + half
        lower, upper = means.positive(centre, mean[second], mean[third], n, confidence=confidence, sides=sides)
        return (math.sqrt(lower), math.sqrt(upper)) if root else (lower, upper)

    return _bounded(group, n, value, bounds, "t-mean" if name == "mean_error" else means.METHOD, weighted=weighted)


def _r2(group: tuple[str, ...], n: int, mean: Mapping[str, float], *, weighted: bool) -> Number:
    m = mean["target"]
    spread = mean["target2"] - m * m
    if n < 2 or spread <= 1e-14 * max(mean["target2"], m * m):
        return Number(group=group, n=n, size=n, value=None, reason="x/0: the target does not vary in the group")
    mse = mean["error2"]
    value = 1 - mse / spread
    # The influence of a row is -e^2 / B + A (y - m)^2 / B^2, A the mean squared error and B the variance of y.
    crossed = mean["error2_target2"] - 2 * m * mean["error2_target"] + m * m * mse
    fourth = mean["target4"] - 4 * m * mean["target3"] + 6 * m * m * mean["target2"] - 3 * m**4
    part = mse / spread
    variance = (mean["error4"] - 2 * part * crossed + part * part * fourth) / spread / spread
    if variance <= 0 or mse <= means.ROUNDING * spread:
        return Number(group=group, n=n, size=n, value=value, reason="no interval: all its errors are alike")
    error = math.sqrt(variance / (n - 1))

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = means.student(confidence, sides, n - 1) * error
        # On the scale of log(1 - R2) skewed errors are held better, and skewed targets worse: the wider bound of the two.
        factor = means.exp(half / (1 - value))
        return min(value - half, 1 - (1 - value) * factor), min(1.0, max(value + half, 1 - (1 - value) / factor))

    return _bounded(group, n, value, bounds, "t-influence", weighted=weighted)


def _bounded(group: tuple[str, ...], n: int, value: float, bounds: Any, method: str, *, weighted: bool) -> Number:
    common: dict[str, Any] = {"group": group, "n": n, "size": n, "value": value}
    if weighted:
        return Number(**common, reason="no interval: the rows are weighted")
    if n < 2:
        return Number(**common, reason="no interval: there is one row")
    return Number(**common, bounds=bounds, method=method)
