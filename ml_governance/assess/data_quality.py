"""Quality of a table that a model is trained or tested on: gaps, copies, leaks, representation, drift and proxies.

Every column is read and coded once (:mod:`ml_governance.assess.columns`); everything but the proxies follows from the codes. Numbers
about rows have Wilson intervals, as of rows drawn from where these come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import columns as tables
from ml_governance.assess import proxies, representation, separability, splits
from ml_governance.assess.cells import levels_of
from ml_governance.assess.contrasts import both_sides, check_levels
from ml_governance.assess.rates import rate_measurement
from ml_governance.assess.report import Report
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, DataQuality, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column, Table
    from ml_governance.assess.separability import Separation
    from ml_governance.evidence.intervals import Sides

    Codes = NDArray[np.int64]

COLUMN, ATTRIBUTE, LABEL, OVER_TIME = "column", "attribute", "label", "column over time"
"""What numbers are said to be by, besides sensitive attributes."""
NEAR_CONSTANT = 0.99
MAX_CLASSES = 20
"""A label with more values is taken for a number, not for classes."""
IDENTIFIER_ROWS = 100
"""With fewer rows, a column may be different in all of them by chance."""


@dataclass(frozen=True, kw_only=True, repr=False)
class DataQualityReport(Report):
    """Quality of a table."""

    kind: ClassVar[str] = "data-quality"
    content: ClassVar[type[Assessment]] = DataQuality


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """A column of few values as groups: a level for each value, and one for missing values."""

    name: str
    codes: Codes
    levels: tuple[str, ...]

    @property
    def sizes(self) -> Codes:
        return np.bincount(self.codes, minlength=len(self.levels))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked of every column."""

    rows: int
    y_true: str | None
    label: _Groups | None
    groups: tuple[_Groups, ...]
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
class _Found:
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
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)


def assess_data(
    data: Any,
    *,
    y_true: str | None = None,
    sensitive_features: Sequence[str] = (),
    training: Any = None,
    population: Mapping[str, Mapping[str, float]] | None = None,
    schema: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    identifiers: Sequence[str] | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
) -> DataQualityReport:
    """Measure the quality of a table.

    Parameters
    ----------
    data : table, path, pattern, or list of paths
        As :func:`ml_governance.assess.columns.opened`.
    y_true : str, optional
        Column of the label: its balance, rows that contradict each other, and what each other column says of it by itself.
    sensitive_features : sequence of str, optional
        Columns whose groups are compared, and which the other columns are asked to predict.
    training : table or paths, optional
        What the model was trained on: rows in common, columns that differ, and distances between the two.
    population : mapping of attribute to mapping of level to float, optional
        Shares, or counts, of groups where the model is to be used.
    schema : mapping of column to type, optional
        What there should be, in Arrow's names, such as ``int64``, ``double``, ``string``; default is the columns of ``training``.
    ranges : mapping of column to (low, high), optional
        Between which numbers are plausible, both included.
    identifiers : sequence of str, optional
        Columns that name a person or a case; they are left out where rows are compared, and with ``training`` it is counted
        how many of its cases come again. The default is whichever whole-number or text columns differ in every row.
    time : str, optional
        A column of times or numbers: the rows up to its median are compared with the later ones.
    exclude : sequence of str, optional
        Columns that are not looked at.
    confidence : float in (0, 1), default 0.95
        Level of the intervals; of representation, for all groups of an attribute together.
    min_group_size : int, default 30
        What rests on fewer rows is ``insufficient``.
    seed : int, default 0
        Of folds, of the rows that trees learn from, and of simulated p-values.

    Returns
    -------
    DataQualityReport

    Raises
    ------
    DataError
        If a table, a column or an argument cannot be used.
    """
    check_levels(confidence, min_group_size)
    table = tables.opened(data, "data")
    other = None if training is None else tables.opened(training, "training data")
    names = [name for name in table.names if name not in exclude]
    named = (y_true, time, *sensitive_features, *(identifiers or ()), *(ranges or ()), *exclude)
    _require([one for one in named if one is not None], table)
    strange = [name for name in population or {} if name not in sensitive_features]
    if strange:
        raise DataError(f"there is a population of {strange[0]}", expected="populations of sensitive features")
    asked = _asked(
        table, y_true=y_true, sensitive_features=sensitive_features, identifiers=identifiers, ranges=ranges or {}, time=time,
        confidence=confidence, min_rows=min_group_size, seed=seed,
    )  # fmt: skip
    found = _Found(
        incomplete=np.zeros(table.rows, dtype=bool), own=RowKeys(table.rows),
        both=None if other is None else RowKeys(table.rows + other.rows),
    )  # fmt: skip
    for name in names:
        stacked = [table] if other is None or name not in other.names else [table, other]
        _look(tables.coded(name, stacked), asked, found)
    measurements = [
        *found.measurements,
        *_rows(asked, found),
        *_counted(found, asked),
        *_balance(asked),
        *(one for own in asked.groups for one in _shares(own, asked, (population or {}).get(own.name))),
    ]
    details: dict[str, Any] = {"rows": table.rows, "columns": found.columns, "identifiers": found.identifiers}
    if other is not None or schema is not None:
        differences = _schema(table, other, schema, found, exclude)
        details["schema"] = differences
        measurements.append(
            Measurement(metric="schema_differences", value=len(differences), n=table.rows, status="ok")
        )
    if other is not None:
        measurements += _overlap(found, table, other, asked)
        details["training"] = {"name": other.name, "rows": other.rows}
    for by, compared, key in ((COLUMN, found.compared, "drift"), (OVER_TIME, found.dated, "over_time")):
        if compared:
            made, drawn = splits.measured(compared, by, min_rows=min_group_size, seed=seed)
            measurements += [one for one in made if by == COLUMN or one.by]
            details[key] = drawn
    told, listed = _proxies(asked, found)
    return DataQualityReport(
        measurements=(*measurements, *told),
        details={**details, "proxies": listed},
        columns={
            "sensitive_features": list(sensitive_features), **({} if y_true is None else {"y_true": y_true}),
            **({} if time is None else {"time": time}),
        },
        confidence=confidence, min_group_size=min_group_size, seed=seed, source=table.source,
    )  # fmt: skip


def _require(wanted: Sequence[str], table: Table) -> None:
    for name in wanted:
        if name not in table.names:
            raise DataError(f"{table.name} has no column {name!r}", expected=f"one of {', '.join(table.names[:40])}")


def _groups(column: Column) -> _Groups:
    """Return a column as groups, named as fairness names them."""
    values = [bool(one) for one in column.values] if column.types[0] == "bool" else list(column.values)
    code = column.of(0)
    gone = bool((code < 0).any())
    plain = [one.item() if isinstance(one, np.generic) else one for one in values]
    place, levels = levels_of([*plain, *([None] if gone else [])], column.name)
    return _Groups(name=column.name, codes=place[code].astype(np.int64), levels=levels)


def _asked(
    table: Table,
    *,
    y_true: str | None,
    sensitive_features: Sequence[str],
    identifiers: Sequence[str] | None,
    ranges: Mapping[str, tuple[float, float]],
    time: str | None,
    confidence: float,
    min_rows: int,
    seed: int,
) -> _Asked:
    label = None
    if y_true is not None:
        own = tables.coded(y_true, [table])
        # A label of many values is a number; it has no balance, and no column is asked to tell its classes.
        label = _groups(own) if len(own.values) <= MAX_CLASSES else None
    later = undated = None
    if time is not None:
        moments = tables.coded(time, [table])
        code = moments.of(0)
        undated = code < 0
        if moments.kind == "text" or undated.all():
            raise DataError(f"{time} holds no times and no numbers", expected="dates, moments or numbers")
        later = code > np.sort(code[~undated])[(int((~undated).sum()) - 1) // 2]
    pick = np.arange(table.rows)
    if table.rows > proxies.MAX_ROWS:
        pick = np.sort(np.random.default_rng(seed).choice(table.rows, size=proxies.MAX_ROWS, replace=False))
    return _Asked(
        rows=table.rows, y_true=y_true, label=label, groups=tuple(_groups(tables.coded(name, [table])) for name in sensitive_features),
        identifiers=None if identifiers is None else frozenset(identifiers), ranges=ranges, later=later, undated=undated,
        folds=separability.folds_of(table.rows, seed), pick=pick, confidence=confidence, min_rows=min_rows, seed=seed,
    )  # fmt: skip


# --- one column -------------------------------------------------------------------------------------------


def _look(column: Column, asked: _Asked, found: _Found) -> None:
    """Do everything that a column is read for."""
    name, code = column.name, column.of(0)
    gone = code < 0
    counts = column.counts(0)
    missing, used, most = int(gone.sum()), int((counts > 0).sum()), int(counts.max(initial=0))
    is_label = name == asked.y_true
    identifier = (
        _differs(column, used, asked.rows, missing) if asked.identifiers is None else name in asked.identifiers
    )
    identifier = identifier and not is_label
    found.incomplete |= gone
    found.kinds[name] = column.kinds
    found.columns.append(
        {
            "name": name, "type": column.types[0], "missing": missing, "distinct": used,
            "most_common": max(most, missing), "identifier": identifier,
        }
    )  # fmt: skip
    rate = _rate(asked)
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
        found.measurements += _told(column, asked)
    if identifier:
        found.identifiers.append(name)
        if asked.identifiers is not None and len(column.starts) > 2:
            known = column.counts(1) > 0
            again = int(known[code[~gone]].sum())
            found.measurements.append(
                rate("shared_identifier_rate", again, asked.rows - missing, by=(COLUMN,), group=(name,))
            )
        return
    if not is_label:
        found.own.add(code, len(column.values))  # the label comes last
    if len(column.starts) > 2:
        if found.both is not None:
            found.both.add(column.codes, len(column.values))
        found.compared.append(splits.compare(column, column.of(1), code))
    if asked.later is not None and asked.undated is not None:
        found.dated.append(splits.compare(column, code[~asked.later & ~asked.undated], code[asked.later]))
    if asked.groups and not is_label and used and name not in {own.name for own in asked.groups}:
        found.features[name] = proxies.feature(column, asked.pick)
        if column.kind == "text":
            found.categories.add(name)


def _differs(column: Column, used: int, rows: int, missing: int) -> bool:
    """Whether a column looks as if it named the rows."""
    whole = column.kind == "text" or (column.kind == "number" and column.values.dtype.kind == "i")
    return whole and rows >= IDENTIFIER_ROWS and not missing and used == rows


def _rate(asked: _Asked) -> Any:
    def made(
        metric: str, k: float, n: float, *, by: tuple[str, ...] = (), group: tuple[str, ...] = ()
    ) -> Measurement:
        return rate_measurement(metric, k, n, int(n), by, group, asked.confidence, asked.min_rows)

    return made


def _missing_by(name: str, gone: NDArray[np.bool_], own: _Groups, asked: _Asked) -> list[Measurement]:
    k, sizes = np.bincount(own.codes[gone], minlength=len(own.levels)), own.sizes
    counts = list(zip(k.tolist(), sizes.tolist(), strict=True))
    rate = _rate(asked)
    made = [
        rate("missing_rate", *pair, by=(COLUMN, own.name), group=(name, level))
        for level, pair in zip(own.levels, counts, strict=True)
    ]
    return [*made, _gap("missing_gap", counts, (COLUMN, ATTRIBUTE), (name, own.name), own.levels, asked)]


def _gap(
    metric: str,
    counts: Sequence[tuple[int, int]],
    by: tuple[str, ...],
    group: tuple[str, ...],
    levels: Sequence[str],
    asked: _Asked,
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


def _implausible(column: Column, counts: Codes, asked: _Asked) -> Measurement:
    low, high = asked.ranges[column.name]
    if column.kind != "number":
        return Measurement(
            metric="out_of_range_rate", by=(COLUMN,), group=(column.name,), n=asked.rows, status="undefined",
            reason=f"{column.name} holds {column.types[0]} values, which have no range",
        )  # fmt: skip
    outside = int(counts[(column.values < low) | (column.values > high)].sum())
    return _rate(asked)("out_of_range_rate", outside, int(counts.sum()), by=(COLUMN,), group=(column.name,))


def _told(column: Column, asked: _Asked) -> list[Measurement]:
    """Return what a column says by itself of the label, and of each sensitive attribute."""
    made = []
    if asked.label is not None:
        made.append(_separated("single_feature_auc", (COLUMN,), (column.name,), column, asked.label, asked))
    for own in asked.groups:
        if column.name not in {one.name for one in asked.groups}:
            where = ((COLUMN, ATTRIBUTE), (column.name, own.name))
            made.append(_separated("single_proxy_auc", *where, column, own, asked))
    return made


def _separated(
    metric: str,
    by: tuple[str, ...],
    group: tuple[str, ...],
    column: Column,
    of: _Groups,
    asked: _Asked,
) -> Measurement:
    common: dict[str, Any] = {"metric": metric, "by": by, "group": group, "n": asked.rows}
    found = separability.separate(column, of.codes, len(of.levels), asked.folds)
    best = separability.strongest(found[1:] if len(found) == 2 else found)
    if best is None:
        return Measurement(**common, status="undefined", reason=f"{of.name} is the same in every row")
    one, bounds = best
    few = min(one.rows, one.others)
    return Measurement(
        **common, value=one.strength, intervals=both_sides(bounds, asked.confidence, one.method),
        status="insufficient" if few < asked.min_rows else "ok",
        reason=f"{few} rows of a class where {asked.min_rows} are required" if few < asked.min_rows else None,
    )  # fmt: skip


# --- all columns ------------------------------------------------------------------------------------------


def _rows(asked: _Asked, found: _Found) -> list[Measurement]:
    """Return gaps and copies, by row."""
    rate, n = _rate(asked), asked.rows
    made = [rate("incomplete_row_rate", int(found.incomplete.sum()), n)]
    for own in asked.groups:
        k = np.bincount(own.codes[found.incomplete], minlength=len(own.levels)).tolist()
        counts = list(zip(k, own.sizes.tolist(), strict=True))
        made += [
            rate("incomplete_row_rate", *pair, by=(own.name,), group=(level,))
            for level, pair in zip(own.levels, counts, strict=True)
        ]
        made.append(_gap("incomplete_row_rate_difference", counts, (own.name,), (), own.levels, asked))
    features = found.own.settled()
    if found.label is not None:
        code, width = found.label.of(0) + 1, len(found.label.values) + 1
        labelled = np.unique(features * width + code)
        several = np.bincount(labelled // width, minlength=int(features.max()) + 1) > 1
        made.append(rate("conflicting_label_rate", int(several[features].sum()), n))
        distinct = len(labelled)
    else:
        distinct = int(features.max()) + 1
    return [*made, rate("duplicate_row_rate", n - distinct, n)]


def _counted(found: _Found, asked: _Asked) -> list[Measurement]:
    """Return how many columns have a flaw."""
    numbers = {
        "constant_columns": sum(one["most_common"] == asked.rows for one in found.columns),
        "near_constant_columns": sum(one["most_common"] >= NEAR_CONSTANT * asked.rows for one in found.columns),
        "identifier_columns": len(found.identifiers),
        "mixed_type_columns": sum(one["type"] == tables.MIXED for one in found.columns),
    }
    return [Measurement(metric=name, value=value, n=asked.rows, status="ok") for name, value in numbers.items()]


def _balance(asked: _Asked) -> list[Measurement]:
    if asked.label is None:
        return []
    return [
        _rate(asked)("label_share", int(k), asked.rows, by=(LABEL,), group=(level,))
        for level, k in zip(asked.label.levels, asked.label.sizes, strict=True)
    ]


def _shares(own: _Groups, asked: _Asked, population: Mapping[str, float] | None) -> list[Measurement]:
    counts = dict(zip(own.levels, own.sizes.tolist(), strict=True))
    made = [
        _rate(asked)("group_share", k, asked.rows, by=(own.name,), group=(level,)) for level, k in counts.items()
    ]
    if population is None:
        return made
    confidence, seed = asked.confidence, asked.seed
    return [*made, *representation.represented(own.name, counts, population, confidence=confidence, seed=seed)]


def _schema(
    table: Table, other: Table | None, schema: Mapping[str, str] | None, found: _Found, exclude: Sequence[str]
) -> list[str]:
    """Say where the columns are not what they should be."""
    types = {one["name"]: one["type"] for one in found.columns}
    if schema is not None:
        wanted = {name: kind for name, kind in schema.items() if name not in exclude}
        changed = [
            f"{name} is {types[name]}, expected {kind}"
            for name, kind in wanted.items()
            if types.get(name, kind) != kind
        ]
    else:
        assert other is not None  # noqa: S101  the caller has one of the two
        wanted = dict.fromkeys((name for name in other.names if name not in exclude), "")
        changed = [
            f"{name} holds {here}, in training {there}"
            for name, (here, there) in ((name, found.kinds[name]) for name in types if name in wanted)
            if here != there
        ]
    absent = [f"{name} is not there" for name in wanted if name not in types]
    return [*absent, *(f"{name} is not expected" for name in types if name not in wanted), *changed]


def _overlap(found: _Found, table: Table, other: Table, asked: _Asked) -> list[Measurement]:
    n = table.rows
    if found.both is None or not found.compared:
        raise DataError(f"{table.name} and {other.name} have no column in common", expected="the same columns in both")
    keys = found.both.settled()
    known = np.zeros(int(keys.max()) + 1, dtype=bool)
    known[keys[n:]] = True
    return [_rate(asked)("overlap_rate", int(known[keys[:n]].sum()), n)]


def _proxies(asked: _Asked, found: _Found) -> tuple[list[Measurement], dict[str, Any]]:
    made: list[Measurement] = []
    listed: dict[str, Any] = {}
    for own in asked.groups:
        told = proxies.predicted(
            found.features, found.categories, own.codes[asked.pick], len(own.levels), seed=asked.seed
        )
        for level, one in zip(own.levels, told, strict=True):
            made.append(_proxy(own.name, level, one, asked))
        listed[own.name] = sorted(
            (
                {"column": one.group[0], "auc": round(one.value, 6)}
                for one in found.measurements
                if one.metric == "single_proxy_auc" and one.group[1] == own.name and one.value is not None
            ),
            key=lambda entry: (-entry["auc"], entry["column"]),
        )
    return made, listed


def _proxy(name: str, level: str, one: Separation, asked: _Asked) -> Measurement:
    n = len(asked.pick)
    common: dict[str, Any] = {"metric": "proxy_auc", "by": (name,), "group": (level,), "n": n}
    if not np.isfinite(one.value):
        reason = f"{one.rows} rows are {level} and {one.others} are not, or there is no other column"
        return Measurement(**common, status="undefined", reason=reason)
    few = min(one.rows, one.others)
    return Measurement(
        **common, value=one.value, intervals=both_sides(one.bounds, asked.confidence, one.method),
        status="insufficient" if few < asked.min_rows else "ok",
        reason=f"{few} rows of a class where {asked.min_rows} are required" if few < asked.min_rows else None,
    )  # fmt: skip
