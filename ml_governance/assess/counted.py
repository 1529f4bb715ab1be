"""One count and what it was made from: arrays, a table anywhere, or files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import blocks, engines, labels
from ml_governance.assess import cube as cubes
from ml_governance.assess.cells import Roles, cube_of, text_of
from ml_governance.assess.report import digest_of
from ml_governance.errors import DataError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_governance.assess.cube import Cube
    from ml_governance.evidence.predicates import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A cube and where it is from.

    Parameters
    ----------
    cube : Cube
        The counts.
    columns : dict
        Which columns were used as what, and the positive label.
    source : callable
        Computes the digest of what was counted, when it is asked for.
    """

    cube: Cube = field(repr=False)
    columns: dict[str, str | list[str]]
    source: Callable[[], Resource] = field(repr=False)


def of_arrays(y_true: Any, y_pred: Any, sensitive_features: Any, sample_weight: Any, pos_label: Any) -> Counted:
    """Count columns that are given one by one.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.cells.cube_of`; also if the columns differ in length.
    """
    true, predicted = blocks.column(y_true, "y_true"), blocks.column(y_pred, "y_pred")
    rows = labels.same_length(y_true=true, y_pred=predicted, sample_weight=sample_weight)
    if not rows:
        raise DataError("y_true is empty", expected="at least one row")
    found = cubes.features(sensitive_features, rows)
    roles = Roles(y_true="y_true", y_pred="y_pred", sensitive=tuple(found))
    coded = [true, predicted, *(blocks.column(values, name) for name, values in found.items())]
    weight = None if sample_weight is None else blocks.floats(sample_weight)
    cube, positive = cube_of(blocks.count(coded, weight), roles, pos_label)
    columns: dict[str, str | list[str]] = {
        "y_true": str(getattr(y_true, "name", None) or "y_true"),
        "sensitive_features": list(found),
        "pos_label": str(positive),
    }
    return Counted(cube=cube, columns=columns, source=lambda: _digest(coded, weight, roles, cube, pos_label))


def of_data(
    data: Any, y_true: Any, y_pred: Any, sensitive_features: Any, sample_weight: Any, pos_label: Any
) -> Counted:
    """Count a table, wherever it is, by columns that are named.

    Raises
    ------
    DataError
        As :func:`ml_governance.assess.engines.scan` and :func:`ml_governance.assess.cells.cube_of`; also if a column
        is not given by name.
    """
    sensitive = (sensitive_features,) if isinstance(sensitive_features, str) else tuple(sensitive_features or ())
    for what, name in (("y_true", y_true), ("y_pred", y_pred), ("sensitive_features", sensitive)):
        named = all(isinstance(one, str) for one in name) if isinstance(name, tuple) else isinstance(name, str)
        if not named:
            raise DataError(f"{what} is not given by name", expected="the name of a column of the data")
    if not isinstance(sample_weight, str | None):
        raise DataError("sample_weight is not given by name", expected="the name of a column of the data")
    roles = Roles(y_true=y_true, y_pred=y_pred, sensitive=sensitive, weight=sample_weight)
    source = _source_of(data, roles, pos_label)
    cube, positive = cube_of(engines.scan(data, roles), roles, pos_label)
    columns: dict[str, str | list[str]] = {
        "y_true": y_true,
        "y_pred": y_pred,
        "sensitive_features": list(sensitive),
        "pos_label": str(positive),
        **({} if sample_weight is None else {"sample_weight": sample_weight}),
    }
    return Counted(cube=cube, columns=columns, source=lambda: source(cube))


def _source_of(data: Any, roles: Roles, pos_label: Any) -> Callable[[Cube], Resource]:
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
        return _digest(coded, weight, roles, cube, pos_label)

    return digest


def _digest(columns: Sequence[blocks.Column], weight: Any, roles: Roles, cube: Cube, pos_label: Any) -> Resource:
    """Return the digest of the cleaned columns, after counting them again: they may have been changed since."""
    again, positive = cube_of(blocks.count(columns, weight), roles, pos_label)
    if not _same(again, cube):
        raise VerificationError(
            "the rows are not what they were when they were counted",
            next_step="assess again, and do not change the columns before the report is attested",
        )
    true, predicted, *sensitive = (column.hashed() for column in columns)
    levels: Mapping[str, Any] = {
        f"sensitive: {name}": _spread([text_of(value) for value in own.values], own, object)
        for name, own in zip(roles.sensitive, sensitive, strict=True)
    }
    flags = [_spread([value == positive for value in own.values], own, np.uint8) for own in (true, predicted)]
    return digest_of("columns of the fairness report", y_true=flags[0], y_pred=flags[1], sample_weight=weight, **levels)


def _spread(values: list[Any], column: blocks.Coded, dtype: Any) -> Any:
    return np.array(values, dtype=dtype)[column.codes + 1]


def _same(one: Cube, two: Cube) -> bool:
    if one.levels != two.levels or not np.array_equal(one.counts, two.counts):
        return False
    pairs = ((one.weights, two.weights), (one.squares, two.squares))
    return all(a is None or b is None or np.allclose(a, b, rtol=1e-9, atol=0) for a, b in pairs)
