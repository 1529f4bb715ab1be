"""How well one column by itself tells groups of rows apart: an AUC with its interval, from counts by value.

A number is ranked as it is, missing values below all, and an AUC under one half is turned round: it tells as much. Where the group is
at both ends, or in the middle, ranks say nothing; so its values are taken as categories too, in bins of as many rows each, and that
AUC counts where it is surely the larger. Values of a category have no order; each is scored by the share of the group among its rows
in the other folds, and the AUC is that within each fold, averaged, so that a category of many values does not look informative by
having been learnt by heart.

Sources: DeLong et al., Biometrics 44 (1988) 837; LeDell, Petersen and van der Laan, Electronic Journal of Statistics 9 (2015)
1583, for the variance of an average over folds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_governance.assess import roc
from ml_governance.assess.halves import draws

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column
    from ml_governance.evidence.intervals import Sides

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

FOLDS = 5
FEW_VALUES = 10
"""A number with no more distinct values is taken as a category: it may be a code."""
BINS = 1 << 14
"""Of a number with more distinct values, the variance is that of so many bins; its AUC is exact all the same."""

SHAPE = 64
"""Bins of a number that is taken as a category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well rows of one level are told from all others.

    Parameters
    ----------
    value : float
        AUC, 0 to 1; NaN where the level, or everything else, has no row.
    variance : float
        Of it; NaN where a class has fewer than two rows.
    rows, others : int
        Rows of the level, and not of it.
    turned : bool
        Whether an AUC under one half may be turned round.
    """

    value: float
    variance: float
    rows: int
    others: int
    turned: bool

    def bounds(self, confidence: float, sides: Sides) -> tuple[float, float]:
        """Return bounds of the AUC: of the larger of itself and its mirror image, where it may be turned round."""
        found, _ = roc.auc_bounds(self.value, self.variance, self.rows, self.others)
        lower, upper = found(confidence, sides)
        if not self.turned:
            return lower, upper
        return max(lower, 1 - upper, 0.5), max(upper, 1 - lower)

    @property
    def strength(self) -> float:
        """The AUC, turned round where it may be."""
        return max(self.value, 1 - self.value) if self.turned else self.value

    @property
    def method(self) -> str:
        """What the interval is called."""
        return roc.auc_bounds(self.value, self.variance, self.rows, self.others)[1]


def folds_of(rows: int, seed: int) -> Codes:
    """Return the fold of every row, drawn at random."""
    return draws(seed).integers(0, FOLDS, rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """What every group is told apart by: the values of a column, counted once.

    Parameters
    ----------
    code : array of int64, shape (n,)
        Place of each row's value plus 1; 0 where it is missing, which is below all.
    size : int
        How many places there are.
    folds : array of int64, shape (n,)
        As :func:`folds_of` gives them; for categories.
    shape : array of int64, shape (n,), or None
        Of a number of many values: its bin of as many rows each.
    middle, bins : array, shape (n,), or None
        Of one of very many: how many rows are before its value and half of those level with it, and the bin of the variance.
    """

    code: Codes
    size: int
    folds: Codes
    shape: Codes | None = None
    middle: Floats | None = None
    bins: Codes | None = None

    @classmethod
    def of(cls, column: Column, folds: Codes) -> Placed:
        """Place the rows of a column's first table."""
        code, size = column.of(0) + 1, len(column.values) + 1
        if column.kind == "text" or size <= FEW_VALUES + 1:
            return cls(code=code, size=size, folds=folds)
        if size <= BINS:
            return cls(code=code, size=size, folds=folds, shape=_binned(code, size))
        every = np.bincount(code, minlength=size)
        upto = np.cumsum(every)
        return cls(
            code=code, size=size, folds=folds, shape=_binned(code, size), middle=(upto - every / 2)[code],
            bins=((upto - every) * BINS // len(code))[code],
        )  # fmt: skip


def separate(placed: Placed, groups: Codes, levels: int) -> list[Separation]:
    """Return how well a column tells each level from all others.

    Parameters
    ----------
    placed : Placed
        Its rows.
    groups : array of int64, shape (n,)
        Level of each row.
    levels : int
        How many there are.
    """
    rows = np.bincount(groups, minlength=levels)

    def told(found: tuple[Floats, Floats], *, turned: bool) -> list[Separation]:
        return [
            Separation(value=float(v), variance=float(s), rows=int(n), others=len(groups) - int(n), turned=turned)
            for v, s, n in zip(*found, rows, strict=True)
        ]

    def by_value(code: Codes, size: int) -> list[Separation]:
        flat = np.bincount((placed.folds * size + code) * levels + groups, minlength=FOLDS * size * levels)
        return told(_crossed(flat.reshape(FOLDS, size, levels).astype(np.float64)), turned=False)

    if placed.shape is None:
        return by_value(placed.code, placed.size)
    ranked = told(_ranked(placed, groups, rows), turned=True)
    shaped = by_value(placed.shape, SHAPE + 1)
    return [two if _surely(two) > one.strength else one for one, two in zip(ranked, shaped, strict=True)]


def _binned(code: Codes, size: int) -> Codes:
    """Return bins of as many rows each; a missing value, code 0, has one of its own."""
    every = np.bincount(code, minlength=size)
    every[0] = 0
    place = (np.cumsum(every) - every) * SHAPE // max(int(every.sum()), 1) + 1
    place[0] = 0
    binned: Codes = place[code]
    return binned


def _surely(one: Separation) -> float:
    """Return what the AUC of a category exceeds but once in two thousand samples; 0 where that cannot be said."""
    return one.bounds(0.999, "two-sided")[0] if math.isfinite(one.value) and math.isfinite(one.variance) else 0.0


def _ranked(placed: Placed, groups: Codes, rows: Codes) -> tuple[Floats, Floats]:
    """Return AUC and variance of ranked values: by counts, or, of very many values, by exact ranks and counts of bins.

    The bins hold as many rows each and only serve the variance.
    """
    levels = len(rows)
    if placed.middle is None or placed.bins is None:
        size = placed.size
        counts = np.bincount(placed.code * levels + groups, minlength=size * levels)
        return ordered(counts.reshape(size, levels).astype(np.float64))
    m = rows.astype(np.float64)
    n = len(groups) - m
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (np.bincount(groups, weights=placed.middle, minlength=levels) / m - m / 2) / n
    counts = np.bincount(placed.bins * levels + groups, minlength=BINS * levels).reshape(BINS, levels)
    return value, ordered(counts.astype(np.float64))[1]


def ordered(counts: Floats) -> tuple[Floats, Floats]:
    """Return AUC and DeLong's variance of every level against all others, from counts by rising value.

    Formula: sum_b p_b (Q_b + q_b / 2) / (P Q), with p_b and q_b rows of the level and not of it at value b and Q_b those not of it
    below.

    Parameters
    ----------
    counts : array of float64, shape (values, levels)
        Rows.
    """
    total = counts.sum(axis=1, keepdims=True)
    other = total - counts
    m, n = counts.sum(axis=0), other.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = (np.cumsum(other, axis=0) - other / 2) / n
        below = (np.cumsum(counts, axis=0) - counts / 2) / m
        value = (counts * above).sum(axis=0) / m
        variance = (counts * (above - value) ** 2).sum(axis=0) / (m - 1) / m
        variance += (other * (below - (1 - value)) ** 2).sum(axis=0) / (n - 1) / n
    variance[(m < 2) | (n < 2)] = np.nan
    return value, variance


def _crossed(counts: Floats) -> tuple[Floats, Floats]:
    """Return the same for values without an order, each scored by what the other folds say of it.

    The variance is Nadeau and Bengio's (Machine Learning 52 (2003) 239): folds learn from common rows, and so do not vary by themselves.
    """
    whole = counts.sum(axis=0)
    shares = whole.sum(axis=0) / max(whole.sum(), 1.0)
    values, variances = [], []
    for held in counts:
        known = whole - held
        score = (known + shares) / (known.sum(axis=1, keepdims=True) + 1)
        made = [_scored(held, score[:, level], level) for level in range(counts.shape[2])]
        values.append([one[0] for one in made])
        variances.append([one[1] for one in made])
    value, variance = np.array(values), np.array(variances)
    usable = np.isfinite(value)
    number = usable.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, spread = (np.where(usable, one, 0).sum(axis=0) / number for one in (value, variance))
        return mean, spread * (1 / number + 1 / (FOLDS - 1))


def _scored(held: Floats, score: Floats, level: int) -> tuple[float, float]:
    _, place = np.unique(score, return_inverse=True)
    own = held[:, level]
    pair = np.stack([np.bincount(place, weights=part) for part in (own, held.sum(axis=1) - own)], axis=1)
    value, variance = ordered(pair.astype(np.float64))
    return float(value[0]), float(variance[0])


def strongest(found: list[Separation]) -> tuple[Separation, Callable[[float, Sides], tuple[float, float]]] | None:
    """Return the level that is told apart best, and bounds of the largest strength of any, which hold for all levels at once.

    None where no level can be told apart from others.
    """
    usable = [one for one in found if math.isfinite(one.value)]
    if not usable:
        return None

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        each = 1 - (1 - confidence) / len(usable)
        every = [one.bounds(each, sides) for one in usable]
        return max(lower for lower, _ in every), max(upper for _, upper in every)

    return max(usable, key=lambda one: one.strength), bounds
