"""Whether two samples of a column come from one distribution: distances with null levels, Kolmogorov-Smirnov, Holm.

Both samples were coded together, so every distance follows from counts by value and nothing is sorted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import simultaneous
from ml_governance.assess.drift import DriftReport, assess_drift
from ml_governance.assess.profile import BINS, Profile
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column
    from ml_governance.assess.distances import Metric

    Codes = NDArray[np.int64]

ALPHA = 0.05
MAX_LEVELS = 1000
"""A text column with more values is not compared: most of its bins would be empty."""
DISTANCES: tuple[Metric, ...] = ("psi", "jensen_shannon", "total_variation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One column of two samples, as counts.

    Parameters
    ----------
    name : str
        Of the column.
    reference, current : Profile or None
        On the same bins, which are the reference's; None where the column is not compared.
    ks : float or None
        Largest difference of the two distribution functions; None for text, or where a sample has no value.
    sizes : (int, int)
        Rows with a value.
    reason : str or None
        Why it is not compared.
    """

    name: str
    reference: Profile | None
    current: Profile | None
    ks: float | None = None
    sizes: tuple[int, int]
    reason: str | None = None


def compare(column: Column, reference: Codes, current: Codes) -> Compared:
    """Count two samples of a column.

    Parameters
    ----------
    column : Column
        The column.
    reference, current : array of int64
        Codes of the rows of the two samples.
    """
    levels = len(column.values)
    before, after = (np.bincount(own + 1, minlength=levels + 1) for own in (reference, current))
    (lost, p), (gone, q) = (before[0], before[1:]), (after[0], after[1:])
    sizes = (int(p.sum()), int(q.sum()))
    if column.kind == "text":
        if levels > MAX_LEVELS:
            why = f"it has {levels:,} values; at most {MAX_LEVELS:,} are compared"
            return Compared(name=column.name, reference=None, current=None, sizes=sizes, reason=why)
        made = _by_value(column, [str(value) for value in column.values], (p, q), (lost, gone))
        return Compared(name=column.name, reference=made[0], current=made[1], sizes=sizes)
    ks = None
    if all(sizes):
        ks = float(np.abs(np.cumsum(p) / sizes[0] - np.cumsum(q) / sizes[1]).max())
    known = p > 0
    if int(known.sum()) <= BINS and levels <= MAX_LEVELS:
        made = _by_value(column, [repr(value) for value in column.values.tolist()], (p, q), (lost, gone))
    else:
        edges = _edges(column.values, p)
        place = np.searchsorted(edges, column.values, side="left")
        made = tuple(
            Profile(
                name=column.name, kind="numeric", edges=tuple(float(edge) for edge in edges), missing=int(missing),
                counts=tuple(np.bincount(place, weights=own, minlength=len(edges) + 1).astype(int).tolist()),
            )
            for own, missing in ((p, lost), (q, gone))
        )  # fmt: skip
    return Compared(name=column.name, reference=made[0], current=made[1], ks=ks, sizes=sizes)


def _by_value(column: Column, names: list[str], counts: tuple[Codes, Codes], missing: tuple[Any, Any]) -> Any:
    return tuple(
        Profile.from_counts(column.name, dict(zip(names, own.tolist(), strict=True)), missing=int(lost))
        for own, lost in zip(counts, missing, strict=True)
    )


def _edges(values: Any, counts: Codes) -> NDArray[np.float64]:
    """Return inner edges at the quantiles of a sample; a lump of equal values at the low end gets a bin of its own."""
    rows = int(counts.sum())
    if not rows:
        return np.array([])
    wanted = [-(-rows * at // BINS) for at in range(1, BINS)]
    edges = np.unique(values[np.searchsorted(np.cumsum(counts), wanted)].astype(np.float64))
    edges = edges[np.isfinite(edges)]
    low = float(values[np.flatnonzero(counts)[0]])
    if len(edges) and edges[0] == low:
        edges = np.concatenate([[np.nextafter(low, -np.inf)], edges])
    return edges


def ks_p_value(distance: float, n: int, m: int) -> float:
    """Return the probability of such a Kolmogorov-Smirnov distance, or a larger one, between samples of one distribution.

    Kolmogorov's limit at ``distance * sqrt(n m / (n + m))`` (Smirnov, Annals of Mathematical Statistics 19 (1948) 279); with
    ties, as of whole numbers, it is too large rather than too small.
    """
    from scipy.special import kolmogorov

    return float(kolmogorov(distance * math.sqrt(n * m / (n + m))))


def measured(
    found: Sequence[Compared], by: str, *, min_rows: int, seed: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Return distances of all columns, p-values held over all of them (Holm), and what a report draws."""
    usable = [one for one in found if one.reference is not None and one.current is not None]
    made: list[Measurement] = []
    drift = None
    if usable:
        drift = assess_drift(
            {one.name: one.reference for one in usable}, {one.name: one.current for one in usable}, metrics=DISTANCES,
            alpha=ALPHA, min_rows=min_rows, seed=seed,
        )  # fmt: skip
        made += distances(drift, by)
    for one in found:
        if one.reason is not None:
            made += [
                Measurement(
                    metric=metric, by=(by,), group=(one.name,), n=sum(one.sizes), status="undefined", reason=one.reason
                )
                for metric in ("psi", "psi_excess", "psi_p_value")
            ]
    made.append(largest([one for one in made if one.metric == "psi_excess"]))
    made += _kolmogorov(found, by, min_rows)
    return made, {} if drift is None else _drawn(drift)


def _drawn(drift: DriftReport) -> dict[str, Any]:
    return {
        "alpha": drift.alpha,
        "distances": [
            {
                "column": one.column, "metric": one.metric, "value": one.value, "null_level": one.null_level,
                "p_value": one.p_value, "method": one.method, "bins": one.bins,
            }
            for one in drift.distances
        ],
        "unseen": {name: len(levels) for name, levels in drift.unseen.items()},
    }  # fmt: skip


def distances(drift: DriftReport, by: str) -> list[Measurement]:
    """Return the distances of a drift report as measurements; of PSI also its excess over chance and its adjusted p-value."""
    frame = drift.to_frame()
    adjusted = dict(zip(((one.column, one.metric) for one in drift.distances), frame["p_holm"].tolist(), strict=True))
    made = []
    for one in drift.distances:
        common: dict[str, Any] = {
            "by": (by,), "group": (one.column,), "n": one.n_current, "status": one.status, "reason": one.reason,
        }  # fmt: skip
        made.append(Measurement(metric=one.metric, value=one.value, **common))
        if one.metric == "psi":
            excess = None if one.value is None or one.null_level is None else one.value - one.null_level
            p_value = None if one.p_value is None else float(adjusted[one.column, one.metric])
            made.append(Measurement(metric="psi_excess", value=excess, **common))
            made.append(Measurement(metric="psi_p_value", value=p_value, **common))
    return made


_ORDER = ("undefined", "insufficient", "ok")


def largest(every: Sequence[Measurement]) -> Measurement:
    """Return the largest excess of any column; one that is not ok makes it so, for nobody can say that it is not the largest."""
    worst = min(every, key=lambda one: (_ORDER.index(one.status), -(one.value or 0.0)))
    why = None if worst.status == "ok" else f"{worst.group[0]}: {worst.reason}"
    return Measurement(metric="largest_psi_excess", value=worst.value, n=worst.n, status=worst.status, reason=why)


def _kolmogorov(found: Sequence[Compared], by: str, min_rows: int) -> list[Measurement]:
    own = [one for one in found if one.ks is not None]
    p_values = [ks_p_value(one.ks or 0.0, *one.sizes) for one in own]
    made = []
    for one, p_value in zip(own, simultaneous.adjusted(p_values, "holm") if own else [], strict=True):
        small = min(one.sizes) < min_rows
        common: dict[str, Any] = {
            "by": (by,), "group": (one.name,), "n": sum(one.sizes), "status": "insufficient" if small else "ok",
            "reason": f"{min(one.sizes)} rows where {min_rows} are required" if small else None,
        }  # fmt: skip
        made.append(Measurement(metric="kolmogorov_smirnov", value=one.ks, **common))
        made.append(Measurement(metric="kolmogorov_smirnov_p_value", value=p_value, **common))
    return made
