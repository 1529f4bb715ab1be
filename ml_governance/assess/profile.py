"""Profiles: one column as counts over fixed bins or levels, so that windows of it add up and compare.

A profile holds no rows. Its bins come from a reference and stay as they are; profiles of shards, days or streams on
the same bins merge by addition, and go to and from JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube

MAX_LEVELS = 10_000
BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Counts of one column.

    Parameters
    ----------
    name : str
        The column.
    kind : {'numeric', 'category'}
        What it is counted by.
    edges : tuple of float
        Of a numeric column: inner edges, rising; bin i holds ``edges[i-1] < x <= edges[i]``, and the outer bins are
        open.
    levels : tuple of str
        Of a category: its levels, sorted.
    counts : tuple of int
        Rows in each bin (one more than edges) or of each level.
    missing : int
        Rows without a value: null or NaN.
    """

    name: str
    kind: Literal["numeric", "category"]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...]
    missing: int = 0

    def __post_init__(self) -> None:
        bins = len(self.edges) + 1 if self.kind == "numeric" else len(self.levels)
        if len(self.counts) != bins:
            raise DataError(f"the profile of {self.name!r} has {len(self.counts)} counts", expected=f"{bins}")
        if any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise DataError(f"the edges of {self.name!r} do not rise", expected="rising, distinct edges")
        if len(set(self.levels)) != len(self.levels):
            raise DataError(f"levels of {self.name!r} repeat", expected="distinct levels")
        if min((*self.counts, self.missing), default=0) < 0:
            raise DataError(f"the profile of {self.name!r} has negative counts", expected="0 or more")

    @property
    def n(self) -> int:
        """Rows, those without a value included."""
        return sum(self.counts) + self.missing

    def merge(self, other: Profile) -> Profile:
        """Add the profile of other rows; levels that only one of the two has are kept.

        Raises
        ------
        DataError
            If name, kind or edges differ.
        """
        mine, theirs = (self.name, self.kind, self.edges), (other.name, other.kind, other.edges)
        if mine != theirs:
            raise DataError(
                f"the profiles of {self.name!r} and {other.name!r} have different bins",
                expected="one column on the same bins",
                next_step="profile(frame, like=reference)",
            )
        missing = self.missing + other.missing
        if self.kind == "numeric":
            counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
            return Profile(name=self.name, kind=self.kind, edges=self.edges, counts=counts, missing=missing)
        sums = dict(zip(self.levels, self.counts, strict=True))
        for level, count in zip(other.levels, other.counts, strict=True):
            sums[level] = sums.get(level, 0) + count
        return Profile.from_counts(self.name, sums, missing=missing)

    @classmethod
    def from_counts(cls, name: str, counts: Mapping[str, int], *, missing: int = 0) -> Self:
        """Make the profile of a category from its counts by level.

        Raises
        ------
        DataError
            If a count is no whole number of 0 or more.
        """
        for level, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
                raise DataError(f"{name!r} has {count!r} rows of {level!r}", expected="a whole number of 0 or more")
        levels = tuple(sorted(counts))
        return cls(
            name=name,
            kind="category",
            levels=levels,
            counts=tuple(int(counts[level]) for level in levels),
            missing=missing,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read :meth:`to_dict`.

        Raises
        ------
        DataError
            If a field is missing or unknown, or counts, edges and levels do not fit.
        """
        fields: dict[str, Any] = {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
        try:
            return cls(**fields)
        except TypeError as error:
            raise DataError(f"this is no profile: {error}", expected="the fields of Profile") from error


def profile(
    frame: Any,
    *,
    columns: Iterable[str] | None = None,
    like: Mapping[str, Profile] | None = None,
    bins: int = BINS,
) -> dict[str, Profile]:
    """Count the columns of a table.

    Parameters
    ----------
    frame : table
        pandas, Polars, pyarrow, or a lazy table of DuckDB, Ibis, PySpark or Dask, of which one column at a time is
        read into memory.
    columns : iterable of str, optional
        Which columns; default is all, or those of ``like``.
    like : mapping of name to Profile, optional
        A reference whose bins are used, so that the profiles merge and compare. Without it numeric columns get bins
        between their quantiles; those with no more distinct values than ``bins`` are counted by value.
    bins : int, default 10
        How many bins a numeric column gets, before equal edges fall together.

    Returns
    -------
    dict of name to Profile

    Raises
    ------
    DataError
        If it is no table, a column is missing, or a category has more than 10,000 levels.
    """
    import narwhals as nw

    if bins < 2:
        raise DataError(f"bins is {bins}", expected="2 or more")
    try:
        table = nw.from_native(frame)
    except TypeError as error:
        raise DataError(f"{type(frame).__name__} is no table", expected="a data frame") from error
    present = table.collect_schema().names()
    wanted = list(columns) if columns is not None else list(like) if like is not None else present
    absent = [name for name in wanted if name not in present]
    if absent:
        raise DataError(f"there is no column {absent[0]!r}", expected=f"one of {', '.join(present)}")
    made = {}
    for name in wanted:
        own = table.select(name)
        series = (own.collect() if isinstance(own, nw.LazyFrame) else own)[name]
        made[name] = _of_column(name, series, None if like is None else like.get(name), bins)
    return made


def profiles_of(cube: Cube) -> dict[str, Profile]:
    """Return the profile of each attribute of a cube, and of its labels and predictions."""
    made = {
        name: Profile.from_counts(name, {group[0]: rows for group, _, rows in cube.marginal([name]).groups()})
        for name in cube.attributes
    }
    table = cube.counts.reshape(-1, 2, 2).sum(axis=0)
    for name, axis in (("y_true", 1), ("y_pred", 0)):
        zero, one = (int(value) for value in table.sum(axis=axis))
        made[name] = Profile.from_counts(name, {"0": zero, "1": one})
    return made


def _of_column(name: str, series: Any, like: Profile | None, bins: int) -> Profile:
    numeric = series.dtype.is_numeric()
    if like is not None and like.kind == "numeric":
        if not numeric:
            raise DataError(f"{name!r} is not numeric", expected="numbers, as in the reference")
        return _binned(name, *_floats(series), np.array(like.edges))
    if numeric:
        values, missing = _floats(series)
        distinct = np.unique(values)
        if like is None and len(distinct) > bins:
            return _binned(name, values, missing, _edges(values, bins))
        if len(distinct) > MAX_LEVELS:
            raise DataError(
                f"{name!r} has {len(distinct):,} values, and the reference counts it by value",
                expected=f"at most {MAX_LEVELS:,}",
            )
        named = [f"{value:g}" if float(f"{value:g}") == value else repr(float(value)) for value in distinct]
        counts = np.bincount(np.searchsorted(distinct, values), minlength=len(distinct))
        return Profile.from_counts(name, dict(zip(named, counts.tolist(), strict=True)), missing=missing)
    found: dict[str, int] = {}
    gone = series.is_null()
    missing = int(gone.sum())
    kept = series.filter(~gone)
    for level, count in zip(*_value_counts(kept), strict=True):
        if level != level:  # noqa: PLR0124  NaN among objects
            missing += count
            continue
        text = str(level)
        if text in found:
            raise DataError(f"{name!r} has different values that read the same: {text}", expected="distinct names")
        found[text] = count
    if len(found) > MAX_LEVELS:
        raise DataError(
            f"{name!r} has {len(found):,} levels", expected=f"at most {MAX_LEVELS:,}; leave identifiers out"
        )
    return Profile.from_counts(name, found, missing=missing)


def _value_counts(series: Any) -> tuple[list[Any], list[int]]:
    counted = series.value_counts(name="rows")
    return counted[series.name].to_list(), [int(count) for count in counted["rows"].to_list()]


def _floats(series: Any) -> tuple[NDArray[np.float64], int]:
    values = series.to_numpy().astype(np.float64)
    gone = np.isnan(values)
    return values[~gone], int(gone.sum())


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return inner edges at the quantiles; a lump of equal values at the low end gets a bin of its own."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    edges = edges[np.isfinite(edges)]
    low = values.min()
    if len(edges) and edges[0] == low:
        edges = np.concatenate([[np.nextafter(low, -np.inf)], edges])
    return edges


def _binned(name: str, values: NDArray[np.float64], missing: int, edges: NDArray[np.float64]) -> Profile:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return Profile(
        name=name, kind="numeric", edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), missing=missing
    )
