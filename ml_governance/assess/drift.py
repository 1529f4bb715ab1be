"""How far two samples are apart, column by column, and how far chance alone would put them.

A distance between two samples of one distribution is not 0: the population stability index of n and m rows on B bins
has a mean of about (B - 1)(1/n + 1/m). So every distance comes with its null level, the value that two samples of one
distribution exceed with probability alpha, and with its p-value. Fixed limits such as 0.1 and 0.25 know neither n nor B
and are not offered.

Null distributions. For smooth distances a Taylor expansion gives a chi-square of B - 1 degrees of freedom: PSI is about
(1/n + 1/m) times it, and the squared Jensen-Shannon distance (base 2) about (1/n + 1/m) / (8 ln 2) times it (Yurdakul and
Naranjo, Journal of Risk Model Validation 14 (2020) 89; Lin, IEEE Transactions on Information Theory 37 (1991) 145). Where an
expected count is under 5, and always for the Kolmogorov-Smirnov and total-variation distances, which are not smooth, the
null is simulated: pairs of multinomial samples from the pooled shares, with a seed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import tables
from ml_governance.assess.distances import DISTANCES, METRICS, SMOOTHING, Metric, psi
from ml_governance.assess.profile import BINS, Profile, profile
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from ml_governance.assess.distances import Counts

SMALL_EXPECTED = 5.0
REPLICATES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """One distance of one column.

    Parameters
    ----------
    column, metric : str
        What was compared, and how.
    value : float or None
        The distance; None where it is undefined.
    null_level : float or None
        What two samples of one distribution, of these sizes and on these bins, exceed with probability ``alpha``.
    p_value : float or None
        How often they would be at least this far apart.
    method : {'chi-square', 'simulated', 'none'}
        Where the null distribution comes from.
    bins : int
        Bins or levels with a row in either sample, missing values being one.
    n_reference, n_current : int
        Rows; without the missing ones for Kolmogorov-Smirnov.
    status : {'ok', 'undefined', 'insufficient'}
        ``insufficient`` below the stated number of rows.
    reason : str or None
        Why it is not ok.
    """

    column: str
    metric: Metric
    value: float | None = None
    null_level: float | None = None
    p_value: float | None = None
    method: Literal["chi-square", "simulated", "none"] = "none"
    bins: int
    n_reference: int
    n_current: int
    status: Literal["ok", "undefined", "insufficient"]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DriftReport:
    """Distances of all columns between a reference and a current sample.

    Parameters
    ----------
    distances : tuple of Distance
        By column, then metric.
    reference, current : tuple of Profile
        The counts; the reference's bins are those of both.
    unseen : mapping of column to tuple of str
        Levels that the reference does not have.
    alpha : float
        Probability of the null levels.
    smoothing : float
        What PSI adds to every count.
    min_rows : int
        Below it a distance is ``insufficient``.
    seed, replicates : int
        Of the simulated null distributions.
    """

    distances: tuple[Distance, ...]
    reference: tuple[Profile, ...]
    current: tuple[Profile, ...]
    unseen: Mapping[str, tuple[str, ...]]
    alpha: float
    smoothing: float
    min_rows: int
    seed: int
    replicates: int

    def get(self, column: str, metric: Metric) -> Distance:
        """Return one distance.

        Raises
        ------
        KeyError
            If it was not measured.
        """
        for one in self.distances:
            if (one.column, one.metric) == (column, metric):
                return one
        raise KeyError(f"{metric} of {column} was not measured")

    def drifted(self, metric: Metric = "psi") -> tuple[str, ...]:
        """Return the columns that moved by one metric, holding the chance of any false one at alpha (Holm, 1979).

        Raises
        ------
        DataError
            If a column has no usable distance, so that nobody can say that it did not move.
        """
        own = [one for one in self.distances if one.metric == metric]
        silent = [one.column for one in own if one.status != "ok"]
        if silent:
            raise DataError(
                f"{metric} of {', '.join(silent)} cannot be used", expected="a distance of status ok for every column"
            )
        adjusted = _holm([one.p_value if one.p_value is not None else 1.0 for one in own])
        return tuple(one.column for one, p in zip(own, adjusted, strict=True) if p <= self.alpha)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each distance, with its Holm-adjusted p-value over the columns of its metric."""
        import pandas as pd

        frame = pd.DataFrame([asdict(one) for one in self.distances])
        frame["p_holm"] = np.nan
        for metric in frame["metric"].unique():
            rows = (frame["metric"] == metric) & frame["p_value"].notna()
            frame.loc[rows, "p_holm"] = _holm(frame.loc[rows, "p_value"].tolist())
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "distances": [asdict(one) for one in self.distances],
            "reference": [one.to_dict() for one in self.reference],
            "current": [one.to_dict() for one in self.current],
            "unseen": {name: list(levels) for name, levels in self.unseen.items()},
            **{name: getattr(self, name) for name in ("alpha", "smoothing", "min_rows", "seed", "replicates")},
        }

    def to_html(self) -> str:
        """Return the distances as an HTML table."""
        rows = [
            (
                one.column, one.metric, tables.number(one.value, 4), tables.number(one.null_level, 4), tables.number(one.p_value, 4),
                one.method, one.bins, f"{one.n_reference:,}", f"{one.n_current:,}", one.reason or one.status,
            )
            for one in self.distances
        ]  # fmt: skip
        columns = (
            "column",
            "metric",
            "value",
            f"null level ({1 - self.alpha:.0%})",
            "p",
            "null",
            "bins",
            "n reference",
            "n current",
            "status",
        )
        notes = [f"{name}: not in the reference: {', '.join(levels)}" for name, levels in self.unseen.items() if levels]
        return tables.to_html("Distance from the reference", columns, rows, notes=notes, heads=2)

    def __repr__(self) -> str:
        far = [one.column for one in self.distances if one.p_value is not None and one.p_value <= self.alpha]
        told = ", ".join(dict.fromkeys(far)) or "none"
        unusable = dict.fromkeys(one.column for one in self.distances if one.status != "ok")
        return f"<DriftReport {len(self.reference)} columns, beyond their null level by some metric: {told}" + (
            f"; not measured by some: {', '.join(unusable)}>" if unusable else ">"
        )

    def _repr_html_(self) -> str:
        return self.to_html()


def assess_drift(
    reference: Any,
    current: Any,
    *,
    columns: Iterable[str] | None = None,
    metrics: Sequence[Metric] = METRICS,
    bins: int = BINS,
    alpha: float = 0.05,
    smoothing: float = SMOOTHING,
    min_rows: int = 30,
    null: Literal["auto", "simulated"] = "auto",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> DriftReport:
    """Compare two samples column by column.

    Parameters
    ----------
    reference, current : table, or mapping of name to Profile
        Rows, or what :func:`profile` made of them. The bins are the reference's.
    columns : iterable of str, optional
        Which columns; default is all of the reference.
    metrics : sequence of str
        ``psi``, ``jensen_shannon``, ``chi_square``, ``total_variation``; ``kolmogorov_smirnov`` of numeric columns only.
    bins : int, default 10
        For a reference that comes as rows.
    alpha : float in (0, 1), default 0.05
        Probability of exceeding the null level by chance, for each distance by itself.
    smoothing : float above 0, default 0.5
        Added to every count for PSI.
    min_rows : int, default 30
        With fewer rows in either sample a distance is ``insufficient``.
    null : {'auto', 'simulated'}
        ``auto`` takes the chi-square approximation where all expected counts are 5 or more and the distance is smooth.
    replicates, seed : int
        Of the simulation.

    Returns
    -------
    DriftReport

    Raises
    ------
    DataError
        If a column is missing in one of the two, bins differ, or an argument is out of range.
    """
    if not 0 < alpha < 1 or smoothing <= 0 or replicates < 100 or min_rows < 1:
        raise DataError(
            f"alpha is {alpha}, smoothing {smoothing}, replicates {replicates}, min_rows {min_rows}",
            expected="0 < alpha < 1, smoothing > 0, 100 or more replicates, 1 or more rows",
        )
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise DataError(f"there is no distance {unknown[0]!r}", expected=f"one of {', '.join(METRICS)}")
    wanted = None if columns is None else list(columns)
    base = _profiles(reference, wanted, None, bins)
    now = _profiles(current, list(base), base, bins)
    options: dict[str, Any] = {
        "alpha": alpha,
        "smoothing": smoothing,
        "min_rows": min_rows,
        "null": null,
        "replicates": replicates,
    }
    distances: list[Distance] = []
    unseen = {}
    for place, (name, before) in enumerate(base.items()):
        after = now[name]
        p, q, ordered = _aligned(before, after)
        unseen[name] = tuple(sorted(set(after.levels) - set(before.levels)))
        for metric in metrics:
            if metric == "kolmogorov_smirnov":
                if before.kind == "category":
                    continue
                pair = (p[:ordered], q[:ordered])
            else:
                pair = (p, q)
            draws = np.random.default_rng([seed, place, METRICS.index(metric)])
            distances.append(_distance(name, metric, *pair, draws=draws, **options))
    return DriftReport(
        distances=tuple(distances), reference=tuple(base.values()), current=tuple(now[name] for name in base),
        unseen={name: levels for name, levels in unseen.items() if levels}, alpha=alpha, smoothing=smoothing,
        min_rows=min_rows, seed=seed, replicates=replicates,
    )  # fmt: skip


def _profiles(source: Any, columns: list[str] | None, like: dict[str, Profile] | None, bins: int) -> dict[str, Profile]:
    if isinstance(source, dict) and source and all(isinstance(one, Profile) for one in source.values()):
        wanted = list(source) if columns is None else columns
        absent = [name for name in wanted if name not in source]
        if absent:
            raise DataError(f"there is no profile of {absent[0]!r}", expected=f"one of {', '.join(source)}")
        return {name: source[name] for name in wanted}
    return profile(source, columns=columns, like=like, bins=bins)


def _aligned(before: Profile, after: Profile) -> tuple[Counts, Counts, int]:
    """Return the counts of both on common bins, missing values last, and how many bins are not that."""
    if (before.kind, before.edges) != (after.kind, after.edges):
        raise DataError(
            f"the profiles of {before.name!r} have different bins",
            expected="the reference's bins",
            next_step="profile(current, like=reference)",
        )
    if before.kind == "numeric":
        p, q = list(before.counts), list(after.counts)
    else:
        levels = sorted({*before.levels, *after.levels})
        mine, theirs = (dict(zip(one.levels, one.counts, strict=True)) for one in (before, after))
        p, q = [mine.get(level, 0) for level in levels], [theirs.get(level, 0) for level in levels]
    return np.array([*p, before.missing], dtype=float), np.array([*q, after.missing], dtype=float), len(p)


def _distance(
    column: str,
    metric: Metric,
    p: Counts,
    q: Counts,
    *,
    draws: np.random.Generator,
    alpha: float,
    smoothing: float,
    min_rows: int,
    null: str,
    replicates: int,
) -> Distance:
    n, m = int(p.sum()), int(q.sum())
    kept = (p + q) > 0
    p, q = p[kept], q[kept]
    common: dict[str, Any] = {"column": column, "metric": metric, "bins": len(p), "n_reference": n, "n_current": m}
    if not n or not m:
        which = "reference" if not n else "current sample"
        return Distance(**common, status="undefined", reason=f"the {which} has no rows with a value")

    def distance(a: Counts, b: Counts) -> Any:
        return psi(a, b, smoothing=smoothing) if metric == "psi" else DISTANCES[metric](a, b)

    small = min(n, m) < min_rows
    common |= {
        "status": "insufficient" if small else "ok",
        "reason": f"{min(n, m)} rows where {min_rows} are required" if small else None,
    }
    value = float(distance(p, q))
    if len(p) == 1:  # one and the same value everywhere: no distance, and no chance of one
        return Distance(**common, value=0.0, null_level=0.0, p_value=1.0)
    expected = (p + q) * min(n, m) / (n + m)
    scale = _scale(metric, n, m)
    if null == "auto" and scale is not None and expected.min() >= SMALL_EXPECTED:
        from scipy.stats import chi2

        power = 2 if metric == "jensen_shannon" else 1
        level = float(chi2.isf(alpha, len(p) - 1) * scale) ** (1 / power)
        return Distance(
            **common,
            value=value,
            null_level=level,
            p_value=float(chi2.sf(value**power / scale, len(p) - 1)),
            method="chi-square",
        )
    pooled = (p + q) / (n + m)
    simulated = np.asarray(
        distance(
            draws.multinomial(n, pooled, replicates).astype(float),
            draws.multinomial(m, pooled, replicates).astype(float),
        )
    )
    above = int((simulated >= value - 1e-12).sum())
    return Distance(
        **common, value=value, null_level=float(np.quantile(simulated, 1 - alpha, method="higher")),
        p_value=(1 + above) / (1 + replicates), method="simulated",
    )  # fmt: skip


def _scale(metric: Metric, n: int, m: int) -> float | None:
    """Return what a chi-square variable is multiplied with to give the distance (its square for Jensen-Shannon)."""
    return {
        "psi": 1 / n + 1 / m,
        "jensen_shannon": (1 / n + 1 / m) / (8 * math.log(2)),
        "chi_square": 1.0,
    }.get(metric)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method (Scandinavian Journal of Statistics 6 (1979) 65)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return [float(value) for value in adjusted]
