"""One pass over the columns of a table: gaps, constants, implausible values, what each tells by itself, and drift."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import proxies, separability, splits
from ml_governance.assess.cells import levels_of
from ml_governance.assess.contrasts import both_sides
from ml_governance.assess.rates import rate_measurement
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column
    from ml_governance.assess.row_keys import RowKeys
    from ml_governance.evidence.intervals import Sides

    Codes = NDArray[np.int64]
    Bounds = Callable[[float, Sides], tuple[float, float]]
    Bounded = tuple[Measurement, Bounds | None]

COLUMN, ATTRIBUTE = "column", "attribute"
"""What numbers are said to be by, besides sensitive attributes."""
IDENTIFIER_ROWS = 100
"""With fewer rows, a column may be different in all of them by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """A column of few values as groups: a level for each value, and one for missing values."""

    name: str
    codes: Codes
    levels: tuple[str, ...]

    @property
    def sizes(self) -> Codes:
        """Rows of each level."""
        return np.bincount(self.codes, minlength=len(self.levels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of every column."""

    rows: int
    y_true: str | None
    label: Groups | None
    groups: tuple[Groups, ...]
    identifiers: frozenset[str] | None
    ranges: Mapping[str, tuple[float, float]]
    later: NDArray[np.bool_] | None
    undated: NDArray[np.bool_] | None
    folds: Codes
    pick: NDArray[np.intp]
    confidence: float
    min_rows: int
    seed: int


@dataclass(slots=True, kw_only=True)
class Found:
    """What the pass over the columns has gathered."""

    measurements: list[Measurement] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    features: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    categories: set[str] = field(default_factory=set)
    incomplete: NDArray[np.bool_]
    own: RowKeys
    both: RowKeys | None
    compared: list[splits.Compared] = field(default_factory=list)
    dated: list[splits.Compared] = field(default_factory=list)
    label: Column | None = None
    missing: list[int] = field(default_factory=list)
    told: list[Bounded] = field(default_factory=list)
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)


def groups_of(column: Column) -> Groups:
    """Return a column as groups, named as fairness names them."""
    values = [bool(one) for one in column.values] if column.types[0] == "bool" else list(column.values)
    code = column.of(0)
    gone = bool((code < 0).any())
    plain = [one.item() if isinstance(one, np.generic) else one for one in values]
    place, levels = levels_of([*plain, *([None] if gone else [])], column.name)
    return Groups(name=column.name, codes=place[code].astype(np.int64), levels=levels)


def look(column: Column, asked: Asked, found: Found) -> None:
    """Do everything that a column is read for."""
    name, code = column.name, column.of(0)
    gone = code < 0
    counts = column.counts(0)
    missing, used, most = int(gone.sum()), int((counts > 0).sum()), int(counts.max(initial=0))
    is_label = name == asked.y_true
    identifier = _differs(column, used, asked.rows, missing) if asked.identifiers is None else name in asked.identifiers
    identifier = identifier and not is_label
    found.incomplete |= gone
    found.kinds[name] = column.kinds
    found.missing.append(missing)
    found.columns.append(
        {
            "name": name, "type": column.types[0], "missing": missing, "distinct": used,
            "most_common": max(most, missing), "identifier": identifier,
        }
    )  # fmt: skip
    rate = rate_of(asked)
    found.measurements += [
        rate("missing_rate", missing, asked.rows, by=(COLUMN,), group=(name,)),
        rate("most_common_rate", max(most, missing), asked.rows, by=(COLUMN,), group=(name,)),
    ]
    for own in asked.groups:
        if own.name != name:
            found.measurements += _missing_by(name, gone, own, asked)
    if name in asked.ranges:
        found.measurements.append(_implausible(column, counts, asked))
    if is_label:
        found.label = column
    elif not identifier or column.kind != "text":  # text that differs in every row says nothing of another row
        alone, others = _told(column, asked)
        found.told += alone
        found.measurements += [*(one for one, _ in alone), *others]
    if identifier:
        found.identifiers.append(name)
        found.measurements += _again(column, asked)
    else:
        _compared(column, asked, found)


def _again(column: Column, asked: Asked) -> list[Measurement]:
    """Return how many cases come again in training, where a column was said to name them: row numbers would as well."""
    if asked.identifiers is None or len(column.starts) == 2:
        return []
    code = column.of(0)[column.of(0) >= 0]
    again = int((column.counts(1) > 0)[code].sum())
    return [rate_of(asked)("shared_identifier_rate", again, len(code), by=(COLUMN,), group=(column.name,))]


def _compared(column: Column, asked: Asked, found: Found) -> None:
    """Tell rows apart by a column, compare it between samples, and keep it for the trees."""
    name, code = column.name, column.of(0)
    is_label = name == asked.y_true
    if not is_label:
        found.own.add(code, len(column.values))  # the label comes last
    if found.both is not None and len(column.starts) > 2:
        found.both.add(column.codes, len(column.values))
        found.compared.append(splits.compare(column, column.of(1), code))
    if asked.later is not None and asked.undated is not None:
        found.dated.append(splits.compare(column, code[~asked.later & ~asked.undated], code[asked.later]))
    sensitive = {own.name for own in asked.groups}
    if asked.groups and not is_label and len(column.values) and name not in sensitive:
        found.features[name] = proxies.feature(column, asked.pick)
        if column.kind == "text":
            found.categories.add(name)


def _differs(column: Column, used: int, rows: int, missing: int) -> bool:
    """Whether a column looks as if it named the rows."""
    whole = column.kind == "text" or (column.kind == "number" and column.values.dtype.kind == "i")
    return whole and rows >= IDENTIFIER_ROWS and not missing and used == rows


def rate_of(asked: Asked) -> Callable[..., Measurement]:
    """Return what makes a rate of cases and rows, at the levels that were asked for."""

    def made(metric: str, k: float, n: float, *, by: tuple[str, ...] = (), group: tuple[str, ...] = ()) -> Measurement:
        return rate_measurement(metric, k, n, int(n), by, group, asked.confidence, asked.min_rows)

    return made


def _missing_by(name: str, gone: NDArray[np.bool_], own: Groups, asked: Asked) -> list[Measurement]:
    k, sizes = np.bincount(own.codes[gone], minlength=len(own.levels)), own.sizes
    counts = list(zip(k.tolist(), sizes.tolist(), strict=True))
    rate = rate_of(asked)
    made = [
        rate("missing_rate", *pair, by=(COLUMN, own.name), group=(name, level))
        for level, pair in zip(own.levels, counts, strict=True)
    ]
    return [*made, gap("missing_gap", counts, (COLUMN, ATTRIBUTE), (name, own.name), own.levels, asked)]


def gap(
    metric: str,
    counts: Sequence[tuple[int, int]],
    by: tuple[str, ...],
    group: tuple[str, ...],
    levels: Sequence[str],
    asked: Asked,
) -> Measurement:
    """Return the largest rate of any group minus the smallest, with bounds that look at all groups."""
    n = sum(size for _, size in counts)
    if len(counts) < 2:
        return Measurement(metric=metric, by=by, group=group, n=n, status="undefined", reason="there is only one group")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        found = intervals.worst_difference(counts, confidence=confidence, sides=sides)
        return found.lower, found.upper

    rates = [k / size for k, size in counts]
    small = [level for level, (_, size) in zip(levels, counts, strict=True) if size < asked.min_rows]
    return Measurement(
        metric=metric, by=by, group=group, n=n, value=max(rates) - min(rates),
        intervals=both_sides(bounds, asked.confidence, "simultaneous-newcombe"), status="insufficient" if small else "ok",
        reason=f"fewer than {asked.min_rows} rows in {', '.join(small)}" if small else None,
    )  # fmt: skip


def _implausible(column: Column, counts: Codes, asked: Asked) -> Measurement:
    low, high = asked.ranges[column.name]
    if column.kind != "number":
        return Measurement(
            metric="out_of_range_rate", by=(COLUMN,), group=(column.name,), n=asked.rows, status="undefined",
            reason=f"{column.name} holds {column.types[0]} values, which have no range",
        )  # fmt: skip
    outside = int(counts[(column.values < low) | (column.values > high)].sum())
    return rate_of(asked)("out_of_range_rate", outside, int(counts.sum()), by=(COLUMN,), group=(column.name,))


def _told(column: Column, asked: Asked) -> tuple[list[Bounded], list[Measurement]]:
    """Return what a column says by itself of the label, and of each sensitive attribute."""
    own, others = [], []
    placed = separability.Placed.of(column, asked.folds)
    if asked.label is not None:
        own.append(_separated("single_feature_auc", (COLUMN,), (column.name,), placed, asked.label, asked))
    if column.name not in {one.name for one in asked.groups}:
        for group in asked.groups:
            where = ((COLUMN, ATTRIBUTE), (column.name, group.name))
            others.append(_separated("single_proxy_auc", *where, placed, group, asked)[0])
    return own, others


def _separated(
    metric: str,
    by: tuple[str, ...],
    group: tuple[str, ...],
    placed: separability.Placed,
    of: Groups,
    asked: Asked,
) -> Bounded:
    common: dict[str, Any] = {"metric": metric, "by": by, "group": group, "n": asked.rows}
    found = separability.separate(placed, of.codes, len(of.levels))
    best = separability.strongest(found[1:] if len(found) == 2 else found)
    if best is None:
        return Measurement(**common, status="undefined", reason=f"{of.name} is the same in every row"), None
    one, bounds = best
    few = min(one.rows, one.others)
    made = Measurement(
        **common, value=one.strength, intervals=both_sides(bounds, asked.confidence, one.method),
        status="insufficient" if few < asked.min_rows else "ok",
        reason=f"{few} rows of a class where {asked.min_rows} are required" if few < asked.min_rows else None,
    )  # fmt: skip
    return made, bounds
