"""Rows with noise, gaps or other categories: what each does to a batch of rows, and which columns it can touch.

Every function takes a batch and a generator and draws the same numbers for a row whatever the size of the batches before it, so
that results do not depend on how many rows are predicted at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

FEW = 2
"""A column of numbers with no more values than this holds categories: half a flag means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What there is to know of a column before its cells are changed.

    Parameters
    ----------
    name : str
        Its name.
    kind : {'number', 'category', 'other'}
        ``other``: dates and what else can be missing, but has neither noise nor levels.
    whole : bool
        Whether its numbers are whole, and stay so.
    spread : float
        Standard deviation of the finite values.
    low, high : float
        Range of the finite values.
    levels : array of object
        Distinct values that are there.
    shares : array of float64
        Their frequencies, which sum to 1.
    """

    name: str
    kind: Literal["number", "category", "other"]
    whole: bool = False
    spread: float = 0.0
    low: float = 0.0
    high: float = 0.0
    levels: NDArray[Any]
    shares: NDArray[np.float64]

    @property
    def noisy(self) -> bool:
        """Whether noise would change it."""
        return self.kind == "number" and self.spread > 0

    @property
    def swappable(self) -> bool:
        """Whether it has another level."""
        return self.kind == "category" and len(self.levels) > 1


def columns_of(rows: pd.DataFrame) -> tuple[Column, ...]:
    """Describe the columns of a table.

    Raises
    ------
    DataError
        If two columns have one name.
    """
    if not rows.columns.is_unique:
        raise DataError("two columns have the same name", expected="each name once")
    return tuple(_column(str(name), rows[name]) for name in rows.columns)


def _column(name: str, values: pd.Series[Any]) -> Column:
    from pandas.api import types

    none: NDArray[Any] = np.empty(0, dtype=object)
    if types.is_datetime64_any_dtype(values.dtype) or types.is_timedelta64_dtype(values.dtype):
        return Column(name=name, kind="other", levels=none, shares=np.empty(0))
    if types.is_numeric_dtype(values.dtype) and not types.is_bool_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        finite = numbers[np.isfinite(numbers)]
        if len(np.unique(finite)) > FEW:
            return Column(
                name=name, kind="number", whole=types.is_integer_dtype(values.dtype), spread=float(finite.std()),
                low=float(finite.min()), high=float(finite.max()), levels=none, shares=np.empty(0),
            )  # fmt: skip
    try:
        shares = values.value_counts(normalize=True, sort=False, dropna=True)
    except TypeError:  # cells that are lists or dicts have no levels
        return Column(name=name, kind="other", levels=none, shares=np.empty(0))
    shares = shares[shares > 0]
    order = sorted(range(len(shares)), key=lambda at: str(shares.index[at]))  # not by which row comes first
    frequencies: NDArray[np.float64] = np.asarray(shares, dtype=np.float64)[order]
    return Column(name=name, kind="category", levels=shares.index.to_numpy(dtype=object)[order], shares=frequencies)


def noisy(
    rows: pd.DataFrame, columns: Sequence[Column], draws: np.random.Generator, *, scale: float
) -> tuple[pd.DataFrame, None]:
    """Return rows with normal noise of ``scale`` standard deviations on every column of numbers, kept within its range."""
    changed = rows.copy(deep=False)
    own = [one for one in columns if one.noisy]
    steps = draws.standard_normal((len(rows), len(own)))
    for place, one in enumerate(own):
        values = rows[one.name].to_numpy(dtype=np.float64, na_value=np.nan)
        moved = np.clip(values + scale * one.spread * steps[:, place], one.low, one.high)
        changed[one.name] = like(moved, rows[one.name], whole=one.whole)
    return changed, None


def like(values: NDArray[np.float64], before: pd.Series[Any], *, whole: bool) -> pd.Series[Any]:
    """Return numbers with the index, and as far as they fit with the type, of the column that they stand in for."""
    import pandas as pd

    made = pd.Series(np.rint(values) if whole else values, index=before.index)
    return made.astype(before.dtype) if not whole or not made.isna().any() or _nullable(before) else made


def _nullable(values: pd.Series[Any]) -> bool:
    from pandas.api.types import is_extension_array_dtype

    return bool(is_extension_array_dtype(values.dtype))


def missing(
    rows: pd.DataFrame, columns: Sequence[Column], draws: np.random.Generator
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Return rows of which each lacks one column, and the place of that column."""
    lost = _places(draws.random(len(rows)), len(columns))
    changed = rows.copy(deep=False)
    for place, one in enumerate(columns):
        values = rows[one.name]
        if not _nullable(values) and values.dtype.kind in "iub":  # these have no missing value of their own
            values = values.astype(object if values.dtype.kind == "b" else np.float64)
        changed[one.name] = values.mask(lost == place)
    return changed, lost


def swapped(
    rows: pd.DataFrame, columns: Sequence[Column], draws: np.random.Generator
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Return rows of which each has another level in one column, drawn by frequency, and the place of that column in ``columns``."""
    import pandas as pd

    own = [place for place, one in enumerate(columns) if one.swappable]
    pairs = draws.random((len(rows), 2))
    which = np.asarray(own, dtype=np.intp)[_places(pairs[:, 0], len(own))]
    changed = rows.copy(deep=False)
    for place in own:
        one, hit = columns[place], which == place
        now = pd.Index(one.levels).get_indexer(pd.Index(rows[one.name].to_numpy(dtype=object)))
        other = one.levels[_another(one, now, pairs[:, 1])]
        made = rows[one.name].astype(object).where(~hit, pd.Series(other, index=rows.index))
        changed[one.name] = made.astype(rows[one.name].dtype)
    return changed, which


def _another(one: Column, now: NDArray[np.intp], chance: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the place of another level than each row has, with probability proportional to its share."""
    above = np.cumsum(one.shares)
    has = now >= 0
    share = np.where(has, one.shares[now], 0.0)
    before = np.where(has, above[now] - share, 1.0)
    target = chance * (1 - share)
    target = np.where(target >= before, target + share, target)
    found = np.minimum(np.searchsorted(above, target, side="right"), len(above) - 1).astype(np.intp)
    clash = found == now  # rounding at the edge of the last level
    return np.where(clash, (now + 1) % len(above), found)


def _places(chance: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    return np.minimum((chance * n).astype(np.intp), n - 1)
