"""One count and what it was made from: arrays, a table anywhere, or files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import blocks, engines, histogram, labels, score_scan, score_stream
from ml_governance.assess import cube as cubes
from ml_governance.assess import rows as coded_rows
from ml_governance.assess.cells import Roles, cube_of, text_of
from ml_governance.assess.report import digest_of
from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ml_governance.assess.cube import Cube
    from ml_governance.assess.histogram import ScoreCube
    from ml_governance.assess.rows import Rows
    from ml_governance.evidence.predicates import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A cube and where it is from.

    Parameters
    ----------
    cube : Cube
        Counts by sensitive features.
    columns : dict
        Which columns were used as what, and the positive label.
    source : callable
        Computes the digest of what was counted, when it is asked for.
    rows : callable or None
        Gives the coded rows, where they are in memory.
    stratified : Cube or None
        Counts by control features, then sensitive features.
    scores : callable or None
        ``scores(by)`` counts the scores by some of the sensitive features.
    """

    cube: Cube = field(repr=False)
    columns: dict[str, str | list[str]]
    source: Callable[[], Resource] = field(repr=False)
    rows: Callable[[], Rows] | None = field(default=None, repr=False)
    stratified: Cube | None = field(default=None, repr=False)
    scores: Callable[[Sequence[str]], ScoreCube] | None = field(default=None, repr=False)


def of_arrays(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    y_score: Any = None,
    control_features: Any = None,
    sample_weight: Any = None,
    pos_label: Any = None,
) -> Counted:
    """Count columns that are given one by one.

    Parameters are those of :func:`ml_governance.assess.fairness.assess_fairness`.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.cells.cube_of`; also if the columns differ in length, or a feature is both a sensitive
        and a control feature.
    """
    true, predicted = blocks.column(y_true, "y_true"), blocks.column(y_pred, "y_pred")
    score = None if y_score is None else _scores(y_score)
    size = labels.same_length(y_true=true, y_pred=predicted, y_score=score, sample_weight=sample_weight)
    if not size:
        raise DataError("y_true is empty", expected="at least one row")
    found = cubes.features(sensitive_features, size)
    strata = {} if control_features is None else cubes.features(control_features, size)
    roles = Roles(y_true="y_true", y_pred="y_pred", sensitive=_features(strata, found))
    coded = [true, predicted, *(blocks.column(values, name) for name, values in (strata | found).items())]
    weight = None if sample_weight is None else blocks.floats(sample_weight)
    wide, positive = cube_of(blocks.count(coded, weight), roles, pos_label)

    @cache
    def rows() -> Rows:
        return coded_rows.of_columns(coded, wide, positive, weight, score)

    def digest() -> Resource:
        return _digest(coded, weight, score, roles, len(strata), wide, pos_label)

    columns: dict[str, str | list[str]] = {
        "y_true": str(getattr(y_true, "name", None) or "y_true"),
        "sensitive_features": list(found),
        "pos_label": str(positive),
        **({"control_features": list(strata)} if strata else {}),
    }
    return Counted(
        cube=wide.marginal(tuple(found)) if strata else wide,
        columns=columns,
        source=digest,
        rows=rows,
        stratified=wide if strata else None,
        scores=None if score is None else lambda by: histogram.count_rows(rows(), by),
    )


def of_data(
    data: Any,
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    y_score: Any = None,
    control_features: Any = None,
    sample_weight: Any = None,
    pos_label: Any = None,
) -> Counted:
    """Count a table, wherever it is, by columns that are named.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.engines.scan` and :func:`ml_governance.assess.cells.cube_of`; also if a column
        is not given by name.
    """
    sensitive, control = _names(sensitive_features), _names(control_features)
    given = {"y_true": y_true, "y_pred": y_pred, "sensitive_features": sensitive, "control_features": control}
    optional = {"y_score": y_score, "sample_weight": sample_weight}
    for what, name in (given | {what: name for what, name in optional.items() if name is not None}).items():
        named = all(isinstance(one, str) for one in name) if isinstance(name, tuple) else isinstance(name, str)
        if not named:
            raise DataError(f"{what} is not given by name", expected="the name of a column of the data")
    roles = Roles(
        y_true=y_true, y_pred=y_pred, sensitive=_features(control, sensitive), weight=sample_weight, score=y_score
    )
    columns: dict[str, str | list[str]] = {
        "y_true": y_true,
        "y_pred": y_pred,
        "sensitive_features": list(sensitive),
        **({"control_features": list(control)} if control else {}),
        **{what: name for what, name in optional.items() if name is not None},
    }
    engines.distinct(roles)
    held = None if y_score is None else engines.in_memory(data, roles)
    if held is not None:  # as arrays, whose rows the exact AUC needs
        found = of_arrays(
            y_true=held[y_true], y_pred=held[y_pred], y_score=held[y_score], pos_label=pos_label,
            sensitive_features={name: held[name] for name in sensitive},
            control_features={name: held[name] for name in control} or None,
            sample_weight=None if sample_weight is None else held[sample_weight],
        )  # fmt: skip
        return replace(found, columns=columns | {"pos_label": found.columns["pos_label"]})
    source = _source_of(data, roles, len(control), pos_label)
    passed = score_stream.count(data, roles) if y_score is not None and score_stream.is_stream(data) else None
    wide, positive = cube_of(engines.scan(data, roles) if passed is None else passed.cells, roles, pos_label)

    def scores(by: Sequence[str]) -> ScoreCube:
        if passed is not None:
            return passed.scores(by, wide.marginal(by), positive)
        return score_scan.scan(data, replace(roles, sensitive=tuple(by)), wide.marginal(by), positive)

    return Counted(
        cube=wide.marginal(sensitive) if control else wide,
        columns=columns | {"pos_label": str(positive)},
        source=lambda: source(wide),
        stratified=wide if control else None,
        scores=None if y_score is None else scores,
    )


def _scores(values: Any) -> Any:
    floats = blocks.floats(values, "y_score")
    labels.check_scores("y_score", *labels.extent(floats))
    return floats


def _names(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _features(control: Iterable[str], sensitive: Iterable[str]) -> tuple[str, ...]:
    both = sorted(set(control) & set(sensitive))
    if both:
        raise DataError(
            f"{', '.join(both)} is both a sensitive feature and a control feature", expected="one or the other"
        )
    return (*control, *sensitive)


def _source_of(data: Any, roles: Roles, strata: int, pos_label: Any) -> Callable[[Cube], Resource]:
    """Return what will compute the digest of the data; of files, their state before they are counted is kept."""
    if engines.is_files(data):
        from ml_governance.assess import files

        paths = files.expand(data)
        before = files.state(paths)
        return lambda _: files.source(paths, before)

    def digest(cube: Cube) -> Resource:
        found = engines.in_memory(data, roles)
        if found is None:
            raise DataError(
                f"the digest of a {type(data).__name__} cannot be computed here: its rows were counted where they are",
                expected="the rows, or a Resource that names them by digest",
                next_step="ws.attest(version, report, data=...)",
            )
        coded = [blocks.column(found[name], name) for name in roles.keys]
        weight = None if roles.weight is None else blocks.floats(found[roles.weight])
        return _digest(coded, weight, None, roles, strata, cube, pos_label)

    return digest


def _digest(
    columns: Sequence[blocks.Column],
    weight: Any,
    score: Any,
    roles: Roles,
    strata: int,
    cube: Cube,
    pos_label: Any,
) -> Resource:
    """Return the digest of the cleaned columns, after counting them again: they may have been changed since."""
    again, positive = cube_of(blocks.count(columns, weight), roles, pos_label)
    if not _same(again, cube):
        raise VerificationError(
            "the rows are not what they were when they were counted",
            next_step="assess again, and do not change the columns before the report is attested",
        )
    true, predicted, *sensitive = (column.hashed() for column in columns)
    levels: Mapping[str, Any] = {
        f"{'control' if place < strata else 'sensitive'}: {name}": _spread(
            [text_of(value) for value in own.values], own, object
        )
        for place, (name, own) in enumerate(zip(roles.sensitive, sensitive, strict=True))
    }
    flags = [_spread([value == positive for value in own.values], own, np.uint8) for own in (true, predicted)]
    return digest_of(
        "columns of the fairness report",
        y_true=flags[0], y_pred=flags[1], y_score=score, sample_weight=weight, **levels,
    )  # fmt: skip


def _spread(values: list[Any], column: blocks.Coded, dtype: Any) -> Any:
    return np.array(values, dtype=dtype)[column.codes + 1]


def _same(one: Cube, two: Cube) -> bool:
    if one.levels != two.levels or not np.array_equal(one.counts, two.counts):
        return False
    pairs = ((one.weights, two.weights), (one.squares, two.squares))
    return all(a is None or b is None or np.allclose(a, b, rtol=1e-9, atol=0) for a, b in pairs)
