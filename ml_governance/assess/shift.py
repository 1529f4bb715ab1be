"""Accuracy where the rows are mixed differently: under stated shares, and under the shift of one column that hurts most.

Both are sums over the strata of one column, ``sum_s q_s accuracy_s``, with shares q that the rows did not choose. Within a stratum
rows are taken to stay as they are. The worst shift is chosen on one half of the rows and measured on the other, so that its interval
is not that of a minimum over noise; its shares exceed those of the rows by a factor of at most ``1 / worst_share``, which makes it the
worst mixture that holds at least that share of people like these (by the strata of one column).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import Number
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.perturbation import Column
    from ml_governance.evidence.intervals import Sides

    Flags = NDArray[np.bool_]

METHOD = "strata-wider-of-two"
BINS = 10
LEAST = 10
"""Fewer rows in the half that chooses make no stratum of their own."""
HALF = 30
"""Each half needs so many rows."""
OTHER = "(other)"
_TAG = 0x4A1F
"""Before the seed, which may be that of the rows themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstShift:
    """The shift of one column that hurts most, and the accuracy under it.

    Parameters
    ----------
    number : Number
        The accuracy, measured on the other half.
    column : str or None
        Which column shifts; None where none could be looked at.
    strata : tuple of dict
        ``stratum``, ``share`` of the rows that chose, ``shifted``: its share under the shift.
    """

    number: Number
    column: str | None = None
    strata: tuple[dict[str, Any], ...] = ()


def stratified(
    correct: Flags, strata: NDArray[np.intp], target: Mapping[int, float], group: tuple[str, ...], names: Sequence[str]
) -> Number:
    """Return accuracy under stated shares of strata.

    Parameters
    ----------
    correct : array of bool, shape (n,)
        Whether each row is decided right.
    strata : array of int, shape (n,)
        Which stratum each row is in.
    target : mapping of int to float
        Share of each stratum; they sum to 1.
    group : tuple of str
        Of the number.
    names : sequence of str
        What the strata are called.

    Returns
    -------
    Number
        Undefined if a stratum has no row. Bounds: on each side the wider of variance estimates recovery from Wilson's bounds of each
        stratum (Zou and Donner, Statistics in Medicine 27 (2008) 1693) and of the normal interval with one right and one wrong row
        more in each stratum. The first alone holds in 85 to 91 % of samples at 95 % where five strata of 15 rows are nearly all right.
    """
    shares = {place: share for place, share in target.items() if share > 0}
    n = np.bincount(strata, minlength=max(shares) + 1)
    k = np.bincount(strata, weights=correct, minlength=max(shares) + 1)
    empty = [names[place] for place in shares if not n[place]]
    if empty:
        return Number(group=group, n=len(correct), size=0, value=None, reason=f"no row is in {', '.join(empty)}")
    rates = {place: float(k[place] / n[place]) for place in shares}
    value = math.fsum(share * rates[place] for place, share in shares.items())

    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        each = {p: intervals.rate(float(k[p]), float(n[p]), confidence=level, sides=sides) for p in shares}
        plus = {p: (float(k[p]) + 1) / (float(n[p]) + 2) for p in shares}
        spread = math.hypot(*(share * math.sqrt(plus[p] * (1 - plus[p]) / n[p]) for p, share in shares.items()))
        half = intervals.quantile(level, sides) * spread
        below = max(half, math.hypot(*(share * (rates[p] - each[p].lower) for p, share in shares.items())))
        above = max(half, math.hypot(*(share * (each[p].upper - rates[p]) for p, share in shares.items())))
        return max(0.0, value - below), min(1.0, value + above)

    smallest = float(min(n[place] for place in shares))
    return Number(group=group, n=len(correct), size=smallest, value=value, bounds=bounds, method=METHOD)


def worst(
    correct: Flags, rows: pd.DataFrame, columns: Sequence[Column], *, worst_share: float, seed: int
) -> WorstShift:
    """Return the accuracy under the shift of one column that hurts most.

    Parameters
    ----------
    correct : array of bool, shape (n,)
        Whether each row is decided right.
    rows : DataFrame of shape (n, columns)
        With the columns.
    columns : sequence of Column
        Those that may shift.
    worst_share : float in (0, 1]
        The shifted mixture holds at least this share of the rows' own.
    seed : int
        Of the halving.
    """
    n = len(correct)
    if n < 2 * HALF:
        return WorstShift(
            number=Number(group=(), n=n, size=n, value=None, reason=f"{n} rows where {2 * HALF} are halved")
        )
    order = np.random.default_rng((_TAG, seed)).permutation(n)
    first, second = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    found: tuple[float, str, NDArray[np.intp], tuple[str, ...], dict[int, float]] | None = None
    for one in columns:
        strata, names = _strata(rows[one.name], one, first)
        target = _tilted(correct[first], strata[first], worst_share)
        guess = _guess(correct[first], strata[first], target)
        if len(target) > 0 and (found is None or guess < found[0]):
            found = guess, one.name, strata, names, target
    if found is None:
        return WorstShift(
            number=Number(group=(), n=n, size=n, value=None, reason="there is no column that could shift")
        )
    _, column, strata, names, target = found
    share = np.bincount(strata[first], minlength=len(names)) / len(first)
    shown = tuple(
        {"stratum": names[place], "share": round(float(share[place]), 6), "shifted": round(target.get(place, 0.0), 6)}
        for place in range(len(names))
        if share[place] > 0
    )
    return WorstShift(
        number=stratified(correct[second], strata[second], target, (), names), column=column, strata=shown
    )


def _strata(values: pd.Series[Any], one: Column, chosen: NDArray[np.intp]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the stratum of every row, and their names; edges and rare levels are settled by the rows that choose."""
    if one.kind == "number":
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        known = numbers[chosen][np.isfinite(numbers[chosen])]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
        codes = np.searchsorted(edges, numbers, side="left").astype(np.intp)
        codes[np.isnan(numbers)] = len(edges) + 1
        ends = [f"{edge:.6g}" for edge in edges]
        between = [f"above {low}, up to {high}" for low, high in itertools.pairwise(ends)]
        names = [f"up to {ends[0]}", *between, f"above {ends[-1]}"] if ends else ["any"]
        return codes, (*names, "missing")
    import pandas as pd

    texts = values.astype(object).where(values.notna(), "(missing)").map(str)
    counted = texts.iloc[chosen].value_counts()
    kept = sorted(counted.index[counted >= LEAST])
    codes = pd.Index(kept).get_indexer(pd.Index(texts)).astype(np.intp)
    codes[codes < 0] = len(kept)
    return codes, (*kept, OTHER)


def _tilted(correct: Flags, strata: NDArray[np.intp], worst_share: float) -> dict[int, float]:
    """Return the shares that lower accuracy most, none above its own over ``worst_share``: the worst strata are filled first."""
    n = np.bincount(strata)
    k = np.bincount(strata, weights=correct)
    own = n / n.sum()
    left, target = 1.0, {}
    for place in np.argsort((k + 1) / (n + 2), kind="stable"):  # drawn a little to one half: few rows prove little
        share = min(left, own[place] / worst_share)
        if share > 0:
            target[int(place)] = float(share)
            left -= share
    return target


def _guess(correct: Flags, strata: NDArray[np.intp], target: Mapping[int, float]) -> float:
    n = np.bincount(strata)
    k = np.bincount(strata, weights=correct)
    return sum(share * float((k[place] + 1) / (n[place] + 2)) for place, share in target.items())
