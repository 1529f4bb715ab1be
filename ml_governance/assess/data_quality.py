"""Quality of a table that a model is trained or tested on: gaps, copies, leaks, representation, drift and proxies.

Every column is read and coded once (:mod:`ml_governance.assess.columns`); everything but the proxies follows from the codes. Numbers
about rows have Wilson intervals, as of rows drawn from where these come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import columns as tables
from ml_governance.assess import extremes, proxies, representation, separability, splits
from ml_governance.assess.column_checks import COLUMN, Asked, Found, Groups, gap, groups_of, look, rate_of
from ml_governance.assess.contrasts import both_sides, check_levels, wilson_bounds
from ml_governance.assess.halves import draws
from ml_governance.assess.report import Report
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Assessment, DataQuality, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Table
    from ml_governance.assess.separability import Separation

    Codes = NDArray[np.int64]

LABEL, OVER_TIME = "label", "column over time"
NEAR_CONSTANT = 0.99
MAX_CLASSES = 20
"""A label with more values is taken for a number, not for classes."""


@dataclass(frozen=True, kw_only=True, repr=False)
class DataQualityReport(Report):
    """Quality of a table."""

    kind: ClassVar[str] = "data-quality"
    content: ClassVar[type[Assessment]] = DataQuality


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
    check_levels(confidence, min_group_size, seed)
    table = tables.opened(data, "data")
    other = None if training is None else tables.opened(training, "training data")
    names = [name for name in table.names if name not in exclude]
    named = (y_true, time, *sensitive_features, *(identifiers or ()), *(ranges or ()), *exclude)
    _require([one for one in named if one is not None], table)
    empty = [name for name, (low, high) in (ranges or {}).items() if not low <= high]
    if empty:
        raise DataError(
            f"the range of {empty[0]} is {(ranges or {})[empty[0]]}", expected="its lowest and its highest value"
        )
    strange = [name for name in population or {} if name not in sensitive_features]
    if strange:
        raise DataError(f"there is a population of {strange[0]}", expected="populations of sensitive features")
    asked = _asked(
        table, y_true=y_true, sensitive_features=sensitive_features, identifiers=identifiers, ranges=ranges or {}, time=time,
        confidence=confidence, min_rows=min_group_size, seed=seed,
    )  # fmt: skip
    found = Found(
        incomplete=np.zeros(table.rows, dtype=bool), own=RowKeys(table.rows),
        both=None if other is None else RowKeys(table.rows + other.rows),
    )  # fmt: skip
    for name in names:
        stacked = [table] if other is None or name not in other.names else [table, other]
        look(tables.coded(name, stacked), asked, found)
    measurements = [
        *found.measurements,
        *_rows(asked, found),
        *_counted(found, asked),
        *_balance(asked),
        *(one for own in asked.groups for one in _shares(own, asked, (population or {}).get(own.name))),
    ]
    details: dict[str, Any] = {"rows": table.rows, "columns": found.columns, "identifiers": found.identifiers}
    if asked.groups and len(asked.pick) < table.rows:
        details["proxy_rows"] = {"rows": len(asked.pick), "drawn_from": table.rows}
    if other is not None or schema is not None:
        differences = _schema(other, schema, found, exclude)
        details["schema"] = differences
        measurements.append(Measurement(metric="schema_differences", value=len(differences), n=table.rows, status="ok"))
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
) -> Asked:
    label = None
    if y_true is not None:
        own = tables.coded(y_true, [table])
        # A label of many values is a number; it has no balance, and no column is asked to tell its classes.
        label = groups_of(own) if len(own.values) <= MAX_CLASSES else None
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
        pick = np.sort(draws(seed).choice(table.rows, size=proxies.MAX_ROWS, replace=False))
    return Asked(
        rows=table.rows, y_true=y_true, label=label, groups=tuple(groups_of(tables.coded(name, [table])) for name in sensitive_features),
        identifiers=None if identifiers is None else frozenset(identifiers), ranges=ranges, later=later, undated=undated,
        folds=separability.folds_of(table.rows, seed), pick=pick, confidence=confidence, min_rows=min_rows, seed=seed,
    )  # fmt: skip


# --- all columns ------------------------------------------------------------------------------------------


def _rows(asked: Asked, found: Found) -> list[Measurement]:
    """Return gaps and copies, by row."""
    rate, n = rate_of(asked), asked.rows
    made = [rate("incomplete_row_rate", int(found.incomplete.sum()), n)]
    gaps = [(rate("missing_rate", k, n), wilson_bounds(k, n)) for k in found.missing]
    made.append(extremes.largest("largest_missing_rate", gaps, asked.confidence))
    if found.told:
        made.append(extremes.largest("largest_single_feature_auc", found.told, asked.confidence))
    for own in asked.groups:
        k = np.bincount(own.codes[found.incomplete], minlength=len(own.levels)).tolist()
        counts = list(zip(k, own.sizes.tolist(), strict=True))
        made += [
            rate("incomplete_row_rate", *pair, by=(own.name,), group=(level,))
            for level, pair in zip(own.levels, counts, strict=True)
        ]
        made.append(gap("incomplete_row_rate_difference", counts, (own.name,), (), own.levels, asked))
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


def _counted(found: Found, asked: Asked) -> list[Measurement]:
    """Return how many columns have a flaw."""
    numbers = {
        "constant_columns": sum(one["most_common"] == asked.rows for one in found.columns),
        "near_constant_columns": sum(one["most_common"] >= NEAR_CONSTANT * asked.rows for one in found.columns),
        "identifier_columns": len(found.identifiers),
        "mixed_type_columns": sum(one["type"] == tables.MIXED for one in found.columns),
    }
    return [Measurement(metric=name, value=value, n=asked.rows, status="ok") for name, value in numbers.items()]


def _balance(asked: Asked) -> list[Measurement]:
    if asked.label is None:
        return []
    return [
        rate_of(asked)("label_share", int(k), asked.rows, by=(LABEL,), group=(level,))
        for level, k in zip(asked.label.levels, asked.label.sizes, strict=True)
    ]


def _shares(own: Groups, asked: Asked, population: Mapping[str, float] | None) -> list[Measurement]:
    counts = dict(zip(own.levels, own.sizes.tolist(), strict=True))
    made = [rate_of(asked)("group_share", k, asked.rows, by=(own.name,), group=(level,)) for level, k in counts.items()]
    if population is None:
        return made
    confidence, seed = asked.confidence, asked.seed
    return [*made, *representation.represented(own.name, counts, population, confidence=confidence, seed=seed)]


def _schema(other: Table | None, schema: Mapping[str, str] | None, found: Found, exclude: Sequence[str]) -> list[str]:
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


def _overlap(found: Found, table: Table, other: Table, asked: Asked) -> list[Measurement]:
    n = table.rows
    if found.both is None or not found.compared:
        raise DataError(f"{table.name} and {other.name} have no column in common", expected="the same columns in both")
    keys = found.both.settled()
    known = np.zeros(int(keys.max()) + 1, dtype=bool)
    known[keys[n:]] = True
    return [rate_of(asked)("overlap_rate", int(known[keys[:n]].sum()), n)]


def _proxies(asked: Asked, found: Found) -> tuple[list[Measurement], dict[str, Any]]:
    made: list[Measurement] = []
    listed: dict[str, Any] = {}
    for own in asked.groups:
        told = proxies.predicted(
            found.features, found.categories, own.codes[asked.pick], len(own.levels), seed=asked.seed
        )
        levels = [
            (_proxy(own.name, level, one, asked), one.bounds) for level, one in zip(own.levels, told, strict=True)
        ]
        made += [one for one, _ in levels]
        each = levels[1:] if len(levels) == 2 else levels  # of two groups, either is told from the other
        made.append(extremes.largest("largest_proxy_auc", each, asked.confidence, by=(own.name,)))
        listed[own.name] = sorted(
            (
                {"column": one.group[0], "auc": round(one.value, 6)}
                for one in found.measurements
                if one.metric == "single_proxy_auc" and one.group[1] == own.name and one.value is not None
            ),
            key=lambda entry: (-entry["auc"], entry["column"]),
        )
    return made, listed


def _proxy(name: str, level: str, one: Separation, asked: Asked) -> Measurement:
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
