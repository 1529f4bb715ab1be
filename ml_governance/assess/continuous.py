"""Fairness along a continuous attribute, such as age, without cutting it into groups, and with stated bins beside it.

Cutting age at 40 hides what happens at 70, and another cut gives another answer. So first: does the decision depend on the
attribute at all, and how strongly? Rank correlation sees rising and falling dependence; distance correlation sees any. Their
p-values come from permutations, so they need no distribution. Then: where? A smoothed selection rate along the attribute, with
pointwise intervals. Groups with stated edges come last, as ordinary rates.

For a 0/1 outcome the distance covariance is a multiple of Cramer's distance between the attribute's distributions in the two
outcomes, so that it takes one sort and no matrix of pairs:

    dCor^2 = p q E / sqrt(dVar^2(a)),   E = 2 int (F_1(t) - F_0(t))^2 dt,

p and q the shares of the outcomes and F_1, F_0 the attribute's distribution functions in them (Szekely and Rizzo, Journal of
Statistical Planning and Inference 143 (2013) 1249, on E; Szekely, Rizzo and Bakirov, Annals of Statistics 35 (2007) 2769).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import labels
from ml_governance.assess.contrasts import check_levels
from ml_governance.assess.fairness import FairnessReport
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Flags, Floats

PERMUTED_ROWS = 20_000
"""Larger tables are permuted in a random sample of so many rows, drawn with the seed."""
GRID = 401
DRAWN = 51


@dataclass(frozen=True, kw_only=True, repr=False)
class ContinuousReport(Report):
    """Dependence of decisions on a continuous attribute."""

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCurve:
    """A smoothed selection rate along the attribute.

    Parameters
    ----------
    at : array of float64, shape (points,)
        Values of the attribute.
    rate : array of float64, shape (points,)
        Selection rate; NaN where too few rows are near.
    lower, upper : array of float64, shape (points,)
        Pointwise Wilson bounds at the number of rows that the kernel amounts to.
    rows : array of float64, shape (points,)
        That number.
    bandwidth : float
        Standard deviation of the Gaussian kernel, in units of the attribute.
    """

    at: Floats
    rate: Floats
    lower: Floats
    upper: Floats
    rows: Floats
    bandwidth: float


def assess_continuous(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_feature: Any,
    name: str | None = None,
    pos_label: Any = None,
    edges: Sequence[float] | None = None,
    bandwidth: float | None = None,
    permutations: int = 999,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
) -> ContinuousReport:
    """Measure how decisions depend on a continuous attribute.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Labels and predicted labels.
    sensitive_feature : array-like of shape (n,)
        The attribute, numeric and without missing values.
    name : str, optional
        Its name; default is that of the column, else ``sensitive_feature``.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    edges : sequence of float, optional
        Rising edges of bins ``[a, b)``, the outer ones open: ``[25, 40, 60]`` makes four groups, whose rates are measured
        as those of any other groups.
    bandwidth : float, optional
        Of the local curve; default is Silverman's rule, 0.9 min(sd, iqr / 1.34) n^(-1/5).
    permutations : int, default 999
        Of the dependence tests.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        The local curve has no value where the kernel holds fewer rows.
    seed : int, default 0
        Of the permutations.

    Returns
    -------
    ContinuousReport

    Raises
    ------
    DataError
        If a column cannot be used, the attribute does not vary, or the edges do not rise.
    """
    check_levels(confidence, min_group_size)
    true, predicted, positive = labels.pair(y_true, y_pred, pos_label)
    attribute = labels.finite(sensitive_feature, "sensitive_feature")
    labels.same_length(y_true=true, sensitive_feature=attribute)
    if permutations < 99:
        raise DataError(f"there are {permutations} permutations", expected="99 or more")
    if attribute.min() == attribute.max():
        raise DataError(f"the attribute is {attribute[0]:g} in every row", expected="an attribute that varies")
    named = name or str(getattr(sensitive_feature, "name", None) or "sensitive_feature")
    width = silverman(attribute) if bandwidth is None else float(bandwidth)
    if not (math.isfinite(width) and width > 0):
        raise DataError(f"the bandwidth is {width}", expected="a number above 0")
    curve = local_curve(attribute, predicted, width, confidence, min_group_size)
    made = _dependence(attribute, predicted, named, permutations, seed)
    made.append(_local_difference(curve, named, len(attribute)))
    if edges is not None:
        made += _binned(attribute, true, predicted, named, edges, confidence, min_group_size)
    details: dict[str, Any] = {
        "attribute": named,
        "permutations": permutations,
        "permuted_rows": min(len(attribute), PERMUTED_ROWS),
        "local": _drawn(curve),
        "edges": None if edges is None else [float(edge) for edge in edges],
    }
    return ContinuousReport(
        measurements=tuple(made),
        details=details,
        columns={
            "y_true": str(getattr(y_true, "name", None) or "y_true"),
            "sensitive_features": [named],
            "pos_label": str(positive),
        },
        confidence=confidence,
        min_group_size=min_group_size,
        seed=seed,
        source=lambda: digest_of(
            "columns of the continuous report", y_true=true, y_pred=predicted, sensitive_feature=attribute
        ),
    )


def silverman(values: Floats) -> float:
    """Return Silverman's bandwidth: 0.9 min(sd, iqr / 1.34) n^(-1/5) (Silverman, Density Estimation (1986), 3.31)."""
    deviation = float(values.std(ddof=1))
    low, high = np.quantile(values, [0.25, 0.75])
    spread = min(deviation, float(high - low) / 1.34) or deviation
    return float(0.9 * spread * len(values) ** -0.2)


def local_curve(attribute: Floats, selected: Flags, bandwidth: float, confidence: float, min_rows: int) -> LocalCurve:
    """Return the selection rate along the attribute, smoothed with a Gaussian kernel over linearly binned rows.

    Formula: m(a) = sum_i K((a - a_i) / h) z_i / sum_i K((a - a_i) / h) (Nadaraya 1964; Watson 1964), rows dealt to a grid of
    401 points (Wand and Jones, Kernel Smoothing (1995), appendix D). The kernel amounts to (sum K)^2 / sum K^2 rows, with which
    Wilson's bounds are made; they leave out the bias of smoothing. NaN where it amounts to fewer than ``min_rows``.
    """
    grid = np.linspace(attribute.min(), attribute.max(), GRID)
    step = float(grid[1] - grid[0])
    place = (attribute - grid[0]) / step
    left = np.minimum(place.astype(np.int64), GRID - 2)
    part = place - left
    rows, hits = np.zeros(GRID), np.zeros(GRID)
    for total, weight in ((rows, np.ones_like(part)), (hits, selected.astype(np.float64))):
        total[:] = np.bincount(left, weights=(1 - part) * weight, minlength=GRID)
        total[:] += np.bincount(left + 1, weights=part * weight, minlength=GRID)
    kernel = np.exp(-(((grid[:, None] - grid[None, :]) / max(bandwidth, step / 2)) ** 2) / 2)
    mass = kernel @ rows
    amount = np.divide(mass**2, kernel**2 @ rows, out=np.zeros(GRID), where=mass > 0)
    rate = np.divide(kernel @ hits, mass, out=np.full(GRID, np.nan), where=amount >= min_rows).clip(0, 1)
    lower, upper = np.full(GRID, np.nan), np.full(GRID, np.nan)
    for index in np.flatnonzero(np.isfinite(rate)):
        n = float(amount[index])
        lower[index], upper[index] = intervals.rate(
            min(float(rate[index]) * n, n), n, confidence=confidence, sides="two-sided"
        )
    return LocalCurve(at=grid, rate=rate, lower=lower, upper=upper, rows=amount, bandwidth=bandwidth)


def spearman(attribute: Floats, flags: Flags) -> float:
    """Return Spearman's rank correlation with a 0/1 outcome: -1 to 1; NaN if the outcome does not vary."""
    from scipy.stats import rankdata

    a, z = rankdata(attribute), flags - flags.mean()
    a -= a.mean()
    scale = math.sqrt(float(a @ a) * float(z @ z))
    return float(a @ z) / scale if scale > 0 else math.nan


def distance_correlation(attribute: Floats, flags: Flags) -> float:
    """Return the distance correlation with a 0/1 outcome: 0 to 1, 0 only for equal distributions; NaN without variation.

    One sort; equal to the definition by pairwise distances.
    """
    order = np.argsort(attribute, kind="stable")
    a, z = attribute[order], flags[order].astype(np.float64)
    p = float(z.mean())
    scale = math.sqrt(_distance_variance(a))
    if p in (0.0, 1.0) or scale == 0:
        return math.nan
    squared = p * (1 - p) * _energy(z, np.diff(a), p) / scale
    return math.sqrt(max(0.0, min(1.0, squared)))


def _energy(z: Floats, gaps: Floats, p: float) -> float:
    """Return E = 2 int (F_1 - F_0)^2 dt of outcomes in order of the attribute."""
    n = len(z)
    ones = np.cumsum(z)[:-1]
    apart = ones / (p * n) - (np.arange(1, n) - ones) / ((1 - p) * n)
    return 2 * float((apart * apart) @ gaps)


def _distance_variance(a: Floats) -> float:
    """Return dVar^2 of sorted values: mean d_ij^2 - 2 mean_i (mean_j d_ij)^2 + (mean d)^2."""
    n = len(a)
    a = a - a.mean()
    total = np.cumsum(a)
    index = np.arange(1, n + 1)
    row = (2 * index - n) * a / n - (2 * total - total[-1]) / n  # mean distance of each row to all
    return max(0.0, 2 * float(a @ a) / n - 2 * float(row @ row) / n + float(row.mean()) ** 2)


def _dependence(attribute: Floats, selected: Flags, name: str, permutations: int, seed: int) -> list[Measurement]:
    common: dict[str, Any] = {"by": (name,), "n": len(attribute)}
    metrics = ("spearman_correlation", "spearman_p_value", "distance_correlation", "distance_correlation_p_value")
    if not 0 < int(selected.sum()) < len(selected):
        reason = "0/0: every row has the same prediction"
        return [Measurement(**common, metric=metric, status="undefined", reason=reason) for metric in metrics]
    generator = np.random.default_rng(seed)
    pick: Any = slice(None)
    if len(attribute) > PERMUTED_ROWS:
        pick = generator.choice(len(attribute), PERMUTED_ROWS, replace=False)
    p_values = _p_values(attribute[pick], selected[pick], permutations, generator)
    values = (
        spearman(attribute, selected), p_values[0], distance_correlation(attribute, selected), p_values[1],
    )  # fmt: skip
    none = "no interval: its p-value says what can be said against independence"
    made = []
    for metric, value in zip(metrics, values, strict=True):
        if math.isnan(value):
            reason = "0/0: every row of the permuted sample has the same prediction"
            made.append(Measurement(**common, metric=metric, status="undefined", reason=reason))
        else:
            made.append(
                Measurement(
                    **common, metric=metric, value=value, status="ok", reason=none if "p_value" not in metric else None
                )
            )
    return made


def _p_values(
    attribute: Floats, selected: Flags, permutations: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Return p-values of both coefficients; the observed order counts as one permutation (Phipson and Smyth 2010)."""
    from scipy.stats import rankdata

    order = np.argsort(attribute, kind="stable")
    a, z = attribute[order], selected[order].astype(np.float64)
    p = float(z.mean())
    if p in (0.0, 1.0) or a[0] == a[-1]:
        return math.nan, math.nan
    ranks = rankdata(a)
    ranks -= ranks.mean()
    gaps = np.diff(a)
    seen = (abs(float(ranks @ z)), _energy(z, gaps, p))
    beyond = [1, 1]
    for _ in range(permutations):
        shuffled = generator.permutation(z)
        beyond[0] += abs(float(ranks @ shuffled)) >= seen[0] * (1 - 1e-12)
        beyond[1] += _energy(shuffled, gaps, p) >= seen[1] * (1 - 1e-12)
    return beyond[0] / (permutations + 1), beyond[1] / (permutations + 1)


def _local_difference(curve: LocalCurve, name: str, rows: int) -> Measurement:
    common: dict[str, Any] = {"metric": "local_selection_rate_difference", "by": (name,), "n": rows}
    known = curve.rate[np.isfinite(curve.rate)]
    if not len(known):
        return Measurement(**common, status="undefined", reason="the kernel holds too few rows everywhere")
    reason = (
        "no interval: noise only adds to the height of a curve; see its pointwise intervals and the dependence tests"
    )
    return Measurement(**common, value=float(known.max() - known.min()), status="ok", reason=reason)


def _binned(
    attribute: Floats, true: Flags, predicted: Flags, name: str, edges: Sequence[float], confidence: float, minimum: int
) -> list[Measurement]:
    inner = np.asarray(edges, dtype=np.float64)
    if not len(inner) or not np.isfinite(inner).all() or (np.diff(inner) <= 0).any():
        raise DataError(f"the edges are {list(edges)}", expected="rising numbers, such as [25, 40, 60]")
    place: NDArray[np.intp] = np.searchsorted(inner, attribute, side="right")
    read = [np.format_float_positional(edge, trim="-") for edge in inner]
    names = [f"below {read[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(read)), f"{read[-1]} or more"]
    cells = np.bincount(4 * place + 2 * true.astype(np.intp) + predicted, minlength=4 * len(names)).reshape(-1, 4)
    empty = [label for label, counts in zip(names, cells, strict=True) if not counts.sum()]
    if empty:
        raise DataError(f"no row lies in {', '.join(empty)}", expected="edges that leave rows in every bin")
    counts: dict[tuple[str, ...] | str, list[int]] = dict(zip(names, cells.tolist(), strict=True))
    report = FairnessReport.from_counts(counts, by=name, confidence=confidence, min_group_size=minimum)
    return list(report.measurements)


def _drawn(curve: LocalCurve) -> dict[str, Any]:
    pick = np.linspace(0, len(curve.at) - 1, DRAWN).astype(np.intp)

    def plain(values: Floats) -> list[float | None]:
        return [round(float(value), 6) if math.isfinite(value) else None for value in values[pick]]

    return {
        "bandwidth": curve.bandwidth,
        "at": plain(curve.at),
        "rate": plain(curve.rate),
        "lower": plain(curve.lower),
        "upper": plain(curve.upper),
        "rows": plain(curve.rows),
    }
