"""Where a model errs most: a shallow tree over its errors finds slices on one half of the rows, the other half confirms them.

The worst of many slices looks worse than it is, the more so the more are tried. So the tree is grown, and the worst of its leaves
picked, on one half of the rows, drawn by a seed; its error is measured on the other half, where it is one slice like any other, with
an ordinary interval. A slice that does not hold up there was chance.

Leaves are read as conditions on columns: ``age <= 25 and purpose == car``. A numeric column is cut at up to 15 of its quantiles; a
column of text at one level against the rest. A missing value is a level of its own. Each cut is the one that takes most of the
squared deviation of the error, as in regression trees; each leaf keeps a stated number of rows.

Sources: Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984); Chung et al. (Slice Finder), ICDE 2019, 1550;
Cox, Biometrika 62 (1975) 441, on choosing on one part and testing on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import blocks, means
from ml_governance.assess import cube as cubes
from ml_governance.assess.cells import levels_of
from ml_governance.assess.contrasts import Number, measured, mover_difference, wilson_bounds
from ml_governance.assess.cube import MISSING
from ml_governance.assess.halves import halves
from ml_governance.assess.rates import rate_measurement
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Floats
    from ml_governance.evidence.intervals import Sides

    Rows = NDArray[np.bool_]

DEPTH = 3
CUTS = 15
LEVELS = 50
"""Levels of a column that can be a slice; the most frequent ones."""
_SURE = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition on one column.

    Parameters
    ----------
    column : str
        Its name.
    test : {'<=', '>', '==', '!='}
        ``>`` and ``!=`` hold for missing values as well.
    value : float or str
        A cut, or a level.
    """

    column: str
    test: Literal["<=", ">", "==", "!="]
    value: float | str

    def __str__(self) -> str:
        shown = f"{self.value:.6g}" if isinstance(self.value, float) else self.value
        return f"{self.column} {self.test} {shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that meet all of some conditions.

    Parameters
    ----------
    conditions : tuple of Condition
        None of them contradicts another.
    found, found_rows : float, int
        Mean error, and rows, on the half that was searched.
    error : Number
        Mean error on the other half.
    """

    conditions: tuple[Condition, ...]
    found: float
    found_rows: int
    error: Number

    @property
    def name(self) -> str:
        """The conditions in words."""
        return " and ".join(map(str, self.conditions))


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSearch:
    """The slices of a shallow tree over errors.

    Parameters
    ----------
    slices : tuple of Slice
        By how bad they looked on the half that was searched, worst first; empty if no column could be cut.
    measurements : tuple of Measurement
        The error of the first on the other half, and how much more it is than that of all other rows there.
    reason : str or None
        Why there are none.
    columns : tuple of str
        What was searched.
    left_out : mapping of str to str
        Columns that were not, such as dates, and why.
    seed : int
        Of the split.
    """

    slices: tuple[Slice, ...]
    measurements: tuple[Measurement, ...]
    reason: str | None
    columns: tuple[str, ...]
    left_out: Mapping[str, str]
    seed: int

    def to_dict(self, confidence: float) -> dict[str, Any]:
        """Return plain JSON values; intervals hold together for all slices that are shown (Bonferroni)."""
        share = 1 - (1 - confidence) / max(1, len(self.slices))
        rows = []
        for one in self.slices:
            lower, upper = one.error.bounds(share, "two-sided") if one.error.bounds else (None, None)
            rows.append(
                {
                    "slice": one.name, "searched": one.found, "searched_rows": one.found_rows, "error": one.error.value,
                    "lower": lower, "upper": upper, "n": one.error.n,
                }
            )  # fmt: skip
        return {
            "slices": rows, "columns": list(self.columns), "left_out": dict(self.left_out), "seed": self.seed, "reason": self.reason,
        }  # fmt: skip


def search(
    table: Any,
    error: Floats,
    *,
    rate: bool,
    confidence: float,
    min_group_size: int,
    seed: int = 0,
    depth: int = DEPTH,
) -> SliceSearch:
    """Find the slice with the largest mean error on one half of the rows, and measure it on the other.

    Parameters
    ----------
    table : data frame or mapping of name to array-like of shape (n,)
        Columns that slices are described by.
    error : array of float64, shape (n,)
        0 or more; of a classifier, 1 where it is wrong.
    rate : bool
        Whether errors are 0 or 1, and their mean a rate.
    confidence : float in (0, 1)
        Level of the intervals.
    min_group_size : int
        The fewest rows of a slice, on either half; one with fewer on the other half is ``insufficient``.
    seed : int, default 0
        Of the split.
    depth : int, default 3
        Conditions of a slice, at most.

    Raises
    ------
    DataError
        If there is no column, or one has another length.
    """
    columns, left_out = _columns(table, len(error))
    searched = halves(len(error), seed)
    leaves = [
        (conditions, rows)
        for conditions, rows in _leaves(
            columns, error, searched, np.ones(len(error), dtype=bool), min_group_size, depth
        )
        if conditions
    ]
    ordered = sorted(leaves, key=lambda leaf: -_surely(error[leaf[1] & searched]))
    slices = tuple(
        Slice(
            conditions=conditions, found=float(error[rows & searched].mean()), found_rows=int((rows & searched).sum()),
            error=_mean(error[rows & ~searched], rate=rate),
        )
        for conditions, rows in ordered
    )  # fmt: skip
    reason = None if slices else f"no column cuts the {int(searched.sum())} searched rows into slices that differ"
    of_first = _first(ordered[0][1], error, searched, rate=rate) if slices else None
    made = _measurements(of_first, reason, len(error), confidence, min_group_size, rate=rate)
    return SliceSearch(
        slices=slices, measurements=made, reason=reason, columns=tuple(columns), left_out=left_out, seed=seed,
    )  # fmt: skip


def _first(rows: Rows, error: Floats, searched: Rows, *, rate: bool) -> tuple[Number, Number]:
    return _mean(error[rows & ~searched], rate=rate), _mean(error[~rows & ~searched], rate=rate)


def _measurements(
    found: tuple[Number, Number] | None, reason: str | None, rows: int, confidence: float, minimum: int, *, rate: bool
) -> tuple[Measurement, ...]:
    name = "worst_slice_error_rate" if rate else "worst_slice_mean_absolute_error"
    gap = "worst_slice_error_rate_gap" if rate else "worst_slice_mean_absolute_error_gap"
    if found is None:
        return tuple(Measurement(metric=one, n=rows, status="undefined", reason=reason) for one in (name, gap))
    own, rest = found
    if rate and own.numerator is not None and own.denominator is not None:
        first = rate_measurement(name, own.numerator, own.denominator, own.n, (), (), confidence, minimum)
    else:
        first = _small(measured(name, (), own, confidence, minimum), own.n, minimum)
    difference = Number(
        group=(), n=own.n, size=own.n, value=None, reason="the slice, or what is left, has no rows there"
    )
    if own.value is not None and rest.value is not None:
        x, y = own.value, rest.value

        def bounds(level: float, sides: Sides) -> tuple[float, float]:
            assert own.bounds is not None  # noqa: S101  asked below
            assert rest.bounds is not None  # noqa: S101  asked below
            return mover_difference(x, own.bounds(level, sides), y, rest.bounds(level, sides))

        known = own.bounds is not None and rest.bounds is not None
        difference = Number(
            group=(), n=own.n, size=own.n, value=x - y, bounds=bounds if known else None, method=f"mover ({own.method})",
            reason=None if known else own.reason or rest.reason,
        )  # fmt: skip
    return first, _small(measured(gap, (), difference, confidence, minimum), own.n, minimum)


def _small(one: Measurement, n: int, minimum: int) -> Measurement:
    if one.status != "ok" or n >= minimum:
        return one
    return one.model_copy(update={"status": "insufficient", "reason": f"{n} rows where {minimum} are required"})


def _mean(error: Floats, *, rate: bool) -> Number:
    """Return a mean error with bounds: Wilson's of a rate, those of a skewed mean else."""
    n = len(error)
    if not n or not rate:
        return means.of_losses(error)
    k, rows = float(error.sum()), float(n)
    return Number(
        group=(), n=n, size=n, value=float(error.mean()), bounds=wilson_bounds(k, rows), method="wilson",
        numerator=k, denominator=rows,
    )  # fmt: skip


def _surely(error: Floats) -> float:
    """Return what a mean error is surely above, so that a few unlucky rows are not taken for the worst slice."""
    return float(error.mean()) - _SURE * math.sqrt(float(error.var()) / len(error)) if len(error) else -math.inf


# --- the tree -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column as places: of a numeric one, how many cuts a value is above; of another, its level. -1 is missing."""

    name: str
    place: NDArray[np.int64]
    cuts: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    def conditions(self) -> Iterator[tuple[Condition, Condition]]:
        """Yield every cut as the two conditions that it makes."""
        for cut in self.cuts:
            yield (
                Condition(column=self.name, test="<=", value=cut),
                Condition(column=self.name, test=">", value=cut),
            )
        for level in (*self.levels, *((MISSING,) if (self.place < 0).any() else ())):
            yield (
                Condition(column=self.name, test="==", value=level),
                Condition(column=self.name, test="!=", value=level),
            )

    def sides(self, sums: NDArray[Any]) -> list[float]:
        """Return, for every cut in the order of :meth:`conditions`, what the first condition holds of sums by place plus 1."""
        wide = np.zeros(max(len(self.cuts) + 1, len(self.levels)) + 2)
        wide[: len(sums)] = sums
        below = np.cumsum(wide[1:])[: len(self.cuts)].tolist()
        missing = [float(wide[0])] if (self.place < 0).any() else []
        return [*below, *wide[1 : 1 + len(self.levels)].tolist(), *missing]

    def met(self, condition: Condition) -> Rows:
        """Return which rows meet the first of two conditions."""
        if isinstance(condition.value, float):
            below: Rows = (self.place >= 0) & (self.place <= self.cuts.index(condition.value))
            return below
        at = -1 if condition.value == MISSING and MISSING not in self.levels else self.levels.index(condition.value)
        same: Rows = self.place == at
        return same


def _columns(table: Any, rows: int) -> tuple[dict[str, _Column], dict[str, str]]:
    """Return the columns that can be cut, and why others cannot."""
    found, left = {}, {}
    for name, values in cubes.features(table, rows).items():
        try:
            found[name] = _column(values, name)
        except DataError as problem:
            left[name] = problem.found
    return found, left


def _column(values: Any, name: str) -> _Column:
    import pandas as pd

    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"{name} has {values.ndim} dimensions", expected="one column")
    series = pd.Series(values)
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        floats = series.to_numpy(dtype=np.float64, na_value=np.nan)
        known = floats[np.isfinite(floats)]
        cuts = (
            np.unique(np.quantile(known, np.arange(1, CUTS + 1) / (CUTS + 1), method="lower")) if len(known) else known
        )
        cuts = cuts[cuts < known.max()] if len(known) else cuts
        place = np.where(np.isfinite(floats), np.searchsorted(cuts, floats, side="left"), -1)
        return _Column(name=name, place=place.astype(np.int64), cuts=tuple(cuts.tolist()))
    found, own = blocks.distinct(values, name)
    table, names = levels_of(found, name)
    code = table[own]
    often = np.argsort(-np.bincount(code, minlength=len(names)), kind="stable")[:LEVELS]
    rank = np.full(len(names), len(often), dtype=np.int64)  # the others are in no slice of their own
    rank[often] = np.arange(len(often))
    return _Column(name=name, place=rank[code], levels=tuple(names[index] for index in often))


def _leaves(
    columns: Mapping[str, _Column], error: Floats, searched: Rows, rows: Rows, fewest: int, depth: int
) -> Iterator[tuple[tuple[Condition, ...], Rows]]:
    """Yield the leaves of a tree below some rows, with the conditions that lead there."""
    cut = _best_cut(columns.values(), error, rows & searched, fewest) if depth else None
    if cut is None:
        yield (), rows
        return
    (first, second), met = cut
    for condition, own in ((first, rows & met), (second, rows & ~met)):
        for more, leaf in _leaves(columns, error, searched, own, fewest, depth - 1):
            yield _merged((condition, *more)), leaf


def _best_cut(columns: Any, error: Floats, rows: Rows, fewest: int) -> tuple[tuple[Condition, Condition], Rows] | None:
    """Return the cut of some rows that takes most of the squared deviation; None if none leaves enough rows on both sides."""
    n, own = int(rows.sum()), error[rows]
    total = float(own.sum())
    best, found = 1e-9 * max(1.0, total), None
    for column in columns:
        place = column.place[rows] + 1
        sides = zip(column.sides(np.bincount(place)), column.sides(np.bincount(place, weights=own)), strict=True)
        for pair, (k, inside) in zip(column.conditions(), sides, strict=True):
            if min(k, n - k) < fewest:
                continue
            apart = inside - total * k / n
            gain = apart * apart * n / (k * (n - k))
            if gain > best:
                best, found = gain, (column, pair)
    return None if found is None else (found[1], found[0].met(found[1][0]))


def _merged(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Return conditions without those that others imply."""
    kept: dict[tuple[str, str, float | str], Condition] = {}
    for one in conditions:
        key = (one.column, one.test, "" if isinstance(one.value, float) else one.value)
        before = kept.get(key)
        if before is not None and isinstance(one.value, float) and isinstance(before.value, float):
            pick = min if one.test == "<=" else max
            one = Condition(column=one.column, test=one.test, value=pick(one.value, before.value))  # noqa: PLW2901
        kept[key] = one
    return tuple(kept.values())
