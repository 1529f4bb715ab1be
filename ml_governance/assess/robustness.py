"""Robustness: how often decisions flip under noise, gaps and swaps, what a shift does to accuracy, whether scores go the stated way.

What is counted is rows. ``*_unstable_rate`` is a share of rows, so that its interval (Wilson) follows from the signed counts, and whoever
judges it computes it again. ``*_flip_rate`` is a mean over rows of numbers from 0 to 1, whose variance is at most that of a share with
the same mean, so that Wilson's interval of that share over the rows, not over rows times draws, holds at least as often as it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import monotonicity, perturbation, sensitive, shift
from ml_governance.assess.by_slice import COLUMN, Maker, slices_of
from ml_governance.assess.contrasts import Number, check_levels
from ml_governance.assess.deciding import Decider, Refusal, columns_taken
from ml_governance.assess.rates import rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Assessment, Measurement, Robustness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.deciding import Change

    Flags = NDArray[np.bool_]

_TAG = 0x5EED
"""Before every seed: (7, 0, 0) is the seed 7 to NumPy, and rows that somebody drew with that one would meet their own numbers as noise."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RobustnessReport(Report):
    """How decisions hold, overall and by group."""

    kind: ClassVar[str] = "robustness"
    content: ClassVar[type[Assessment]] = Robustness


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flips:
    """What draws of one perturbation did: how many draws flip each row, and by touched column how many cells and flips."""

    per_row: NDArray[np.int64]
    draws: int
    touched: NDArray[np.int64] | None
    flipped: NDArray[np.int64] | None


def assess_robustness(
    model: Any,
    *,
    rows: pd.DataFrame,
    y_true: Any = None,
    sensitive_features: Any = None,
    pos_label: Any = None,
    noise: float = 0.1,
    draws: int = 5,
    shift: Mapping[str, Mapping[str, float]] | None = None,
    worst_share: float = 0.5,
    monotone: Mapping[str, str] | None = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    batch: int = 10_000,
    max_rows: int | None = None,
    seed: int = 0,
) -> RobustnessReport:
    """Measure how a model's decisions hold when its rows are not quite these.

    Parameters
    ----------
    model : object
        With ``predict``, or a function of rows; ``predict_proba`` where ``monotone`` is given. A model on an MLflow server counts.
    rows : DataFrame of shape (n, columns)
        Rows to decide about. A model that names its columns (``feature_names_in_``) is given those alone.
    y_true : array-like of shape (n,), optional
        Labels; without them accuracy under a shift is ``undefined``.
    sensitive_features : data frame, column or dict of columns, optional
        Groups to measure as well, one attribute at a time.
    pos_label : object, optional
        The label whose probability is the score, where ``monotone`` is given.
    noise : float, default 0.1
        Standard deviation of the noise, in standard deviations of each column.
    draws : int, default 5
        How often each row gets noise, loses a column, and has a category swapped.
    shift : mapping of str to mapping of str to float, optional
        Stated shares of the levels of columns of ``rows``, such as ``{"region": {"north": 0.7, "south": 0.3}}``; each column shifts alone.
    worst_share : float in (0, 1], default 0.5
        How much of the rows a worst mixture must hold; 0.5 at most doubles the share of any stratum.
    monotone : mapping of str to {'+', '-'}, optional
        Where the score must go as a column rises.
    tolerance : float, optional
        For a model that predicts numbers: how far two may be apart and still be the same decision.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        A smaller group's numbers are ``insufficient``.
    batch : int, default 10000
        Most rows that the model is asked at once; memory follows it, results do not.
    max_rows : int, optional
        At most so many rows, drawn at random, are decided about; the default is all. The intervals are those of the rows drawn.
    seed : int, default 0
        Seed of every draw.

    Returns
    -------
    RobustnessReport
        With ``repeat_flip_rate``, and for noise, missing and swap the mean ``*_flip_rate`` and the ``*_unstable_rate``, by group as well;
        ``worst_shift_accuracy``, and of the stated ones ``shifted_accuracy`` and ``monotonicity_violation_rate`` by column. What a model or
        table does not allow is ``undefined`` and says why.

    Raises
    ------
    DataError
        If the model does not take the rows as they are or gives no decisions, or a parameter cannot be used.

    Notes
    -----
    With noise, all columns of numbers move at once, by N(0, (noise sd_j)^2), within the column's range; whole numbers stay whole, and
    columns of two values are categories. ``missing`` and ``swap`` change one cell of every row. Corruption as a test, and the flip
    rate: Hendrycks and Dietterich, ICLR 2019.
    """
    check_levels(confidence, min_group_size, seed)
    _check(noise=noise, draws=draws, worst_share=worst_share, batch=batch, tolerance=tolerance, max_rows=max_rows)
    if not len(rows):
        raise DataError("there are no rows", expected="rows to decide about")
    given = len(rows)
    if max_rows is not None and given > max_rows:
        rows, y_true, sensitive_features = _drawn(rows, y_true, sensitive_features, max_rows, seed)
    names = columns_taken(model, rows)
    everything, table = rows.reset_index(drop=True), rows[list(names)].reset_index(drop=True)
    directions = monotonicity.check_directions(monotone or {}, table, names)
    decider = Decider(model=model, columns=names, batch=batch, tolerance=tolerance)
    base = decider.decide(table)
    slices, found = slices_of(sensitive_features, len(table))
    columns = perturbation.columns_of(table)
    made = Maker(slices=slices, confidence=confidence, min_group_size=min_group_size)
    measurements = made.rates("repeat_flip_rate", decider.differ(base, decider.decide(table)))
    details: dict[str, Any] = {"rows": len(table), "draws": draws, "noise": noise}
    if len(table) < given:
        details["drawn_from"] = given
    for place, (name, own, change) in enumerate(_probes(columns, noise)):
        seen = _flips(decider, table, base, change, draws, (seed, place), len(columns)) if own else _NOT[name]
        measurements += _measured(made, name, seen)
        if isinstance(seen, _Flips) and seen.touched is not None and seen.flipped is not None:
            details[name] = [
                {"column": columns[at].name, "cells": int(seen.touched[at]), "flips": int(seen.flipped[at])}
                for at in np.flatnonzero(seen.touched)
            ]
    correct = None if y_true is None else _correct(model, y_true, base, tolerance)
    measurements += _shifts(made, details, correct, everything, table, columns, shift or {}, worst_share, seed)
    measurements += _directions(made, details, decider, table, directions, pos_label)
    return RobustnessReport(
        measurements=tuple(measurements), details=details, columns={"sensitive_features": found, "model": list(names)},
        confidence=confidence, min_group_size=min_group_size, seed=seed,
        source=lambda: digest_of("rows of the robustness report", **{str(name): table[name] for name in table.columns}),
    )  # fmt: skip


def _drawn(
    rows: pd.DataFrame, y_true: Any, sensitive_features: Any, size: int, seed: int
) -> tuple[pd.DataFrame, Any, dict[str, Any] | None]:
    """Return some rows, drawn at random, with their labels and groups."""
    pick = np.sort(np.random.default_rng((_TAG, seed)).choice(len(rows), size=size, replace=False))
    if y_true is not None:
        labels = np.asarray(y_true)
        if len(labels) != len(rows):
            raise DataError(f"y_true has the shape {labels.shape}", expected=f"a label for each of {len(rows)} rows")
        y_true = labels[pick]
    groups = {} if sensitive_features is None else sensitive.read(sensitive_features, len(rows))
    named = {name: np.asarray(levels, dtype=object)[own[pick]] for name, (own, levels) in groups.items()}
    return rows.iloc[pick], y_true, named or None


# --- flips ----------------------------------------------------------------------------------------------

_Probe = tuple[str, bool, "Callable[[np.random.Generator], Change]"]


def _probes(columns: Sequence[perturbation.Column], noise: float) -> Iterable[_Probe]:
    """Yield each perturbation: its name, whether these columns allow it, and what it does with a generator."""

    def noisy(generator: np.random.Generator) -> Change:
        return lambda part: perturbation.noisy(part, columns, generator, scale=noise)

    def missing(generator: np.random.Generator) -> Change:
        return lambda part: perturbation.missing(part, columns, generator)

    def swapped(generator: np.random.Generator) -> Change:
        return lambda part: perturbation.swapped(part, columns, generator)

    yield "noise", any(one.noisy for one in columns), noisy
    yield "missing", bool(columns), missing
    yield "swap", any(one.swappable for one in columns), swapped


_NOT = {
    "noise": "the model takes no column of numbers with more than two values",
    "missing": "the model takes no column",
    "swap": "the model takes no column of categories with two levels or more",
}
"""Why a table does not allow a perturbation."""


def _flips(
    decider: Decider,
    table: pd.DataFrame,
    base: NDArray[Any],
    change: Callable[[np.random.Generator], Change],
    draws: int,
    seed: tuple[int, int],
    columns: int,
) -> _Flips | Refusal:
    per_row = np.zeros(len(table), dtype=np.int64)
    touched, flipped = np.zeros((2, columns), dtype=np.int64)
    located = False
    for draw in range(draws):
        found = decider.changed(table, base, change(np.random.default_rng((_TAG, *seed, draw))))
        if isinstance(found, Refusal):
            return found
        flips, where = found
        per_row += flips
        if where is not None:
            located = True
            touched += np.bincount(where, minlength=columns)
            flipped += np.bincount(where[flips], minlength=columns)
    return _Flips(
        per_row=per_row, draws=draws, touched=touched if located else None, flipped=flipped if located else None
    )


def _measured(made: Maker, name: str, seen: _Flips | Refusal | str) -> list[Measurement]:
    mean, share = f"{name}_flip_rate", f"{name}_unstable_rate"
    if not isinstance(seen, _Flips):
        reason = seen.reason if isinstance(seen, Refusal) else seen
        return [*made.undefined(mean, reason), *made.undefined(share, reason)]
    return [*made.means(mean, seen.per_row / seen.draws), *made.rates(share, seen.per_row > 0)]


# --- shifts and directions ------------------------------------------------------------------------------


def _correct(model: Any, y_true: Any, base: NDArray[Any], tolerance: float | None) -> Flags | None:
    """Return which rows are decided right; None for a model that predicts numbers, which is never quite right."""
    labels = np.asarray(y_true)
    if labels.shape != base.shape:
        raise DataError(f"y_true has the shape {labels.shape}", expected=f"a label for each of {len(base)} rows")
    if tolerance is not None:
        return None
    import pandas as pd

    if pd.isna(labels).any():
        raise DataError(f"{int(pd.isna(labels).sum())} labels are missing", expected="a label for every row")
    named = getattr(getattr(model, "steps", [("", model)])[-1][1], "classes_", None)
    said, true = np.asarray(pd.unique(base) if named is None else named).tolist(), pd.unique(labels).tolist()
    strange = [one for one in true if one not in said]
    # A class that was not trained on is a mistake of a model of several; of two classes, a third is another coding of the labels.
    if strange and (len(strange) == len(true) or len(said) == 2 >= len(true)):
        raise DataError(
            f"the model never says {', '.join(f'{one!r:.40}' for one in strange[:3])}, which the labels hold",
            expected=f"labels as it says them, such as {', '.join(f'{one!r:.40}' for one in said[:3])}",
        )
    return np.asarray(labels == base, dtype=bool)


def _shifts(
    made: Maker,
    details: dict[str, Any],
    correct: Flags | None,
    everything: pd.DataFrame,
    table: pd.DataFrame,
    columns: Sequence[perturbation.Column],
    stated: Mapping[str, Mapping[str, float]],
    worst_share: float,
    seed: int,
) -> list[Measurement]:
    none = "there are no labels, or the model predicts numbers"
    found = []
    for column, target in stated.items():
        strata, levels, shares = _target(column, target, everything)
        number = (
            Number(group=(column,), n=len(table), size=len(table), value=None, reason=none)
            if correct is None
            else shift.stratified(correct, strata, shares, (column,), levels)
        )
        found.append(made.number("shifted_accuracy", (COLUMN,), number))
    if stated:
        details["shift"] = {column: dict(target) for column, target in stated.items()}
    if correct is None:
        number = Number(group=(), n=len(table), size=len(table), value=None, reason=none)
        return [*found, made.number("worst_shift_accuracy", (), number)]
    hurt = shift.worst(correct, table, columns, worst_share=worst_share, seed=seed)
    details["accuracy"] = round(float(correct.mean()), 9)
    details["worst_shift"] = {"share": worst_share, "column": hurt.column, "strata": list(hurt.strata)}
    return [*found, made.number("worst_shift_accuracy", (), hurt.number)]


def _target(
    column: str, target: Mapping[str, float], everything: pd.DataFrame
) -> tuple[NDArray[np.intp], tuple[str, ...], dict[int, float]]:
    """Return the levels of a column and the stated share of each.

    Raises
    ------
    DataError
        If there is no such column, or the shares are none.
    """
    if column not in everything.columns:
        raise DataError(
            f"the rows have no column {column!r} to shift", expected=f"one of {', '.join(map(str, everything.columns))}"
        )
    if any(not 0 <= share <= 1 for share in target.values()) or abs(sum(target.values()) - 1) > 1e-9:
        raise DataError(
            f"the stated shares of {column} are {dict(target)}", expected="shares from 0 to 1 that sum to 1"
        )
    own, levels = sensitive.codes(everything[column], column)
    names = (*levels, *(level for level in target if level not in levels))
    return own.astype(np.intp), names, {names.index(level): float(share) for level, share in target.items()}


def _directions(
    made: Maker,
    details: dict[str, Any],
    decider: Decider,
    table: pd.DataFrame,
    directions: Mapping[str, monotonicity.Direction],
    pos_label: Any,
) -> list[Measurement]:
    if not directions:
        return []
    metric = "monotonicity_violation_rate"
    seen = [monotonicity.violations(decider, table, column, sign, pos_label) for column, sign in directions.items()]
    details["monotone"] = [
        {"column": one.column, "direction": one.direction, "worst": one.worst, "drop": round(one.drop, 9)}
        for one in seen
    ]
    n = len(table)
    each = [
        rate_measurement(
            metric, int(one.rows.sum()), n, n, (COLUMN,), (one.column,), made.confidence, made.min_group_size
        )
        for one in seen
    ]
    return [*made.rates(metric, np.logical_or.reduce([one.rows for one in seen])), *each]


def _check(
    *, noise: float, draws: int, worst_share: float, batch: int, tolerance: float | None, max_rows: int | None
) -> None:
    if not (np.isfinite(noise) and noise > 0):
        raise DataError(f"noise is {noise}", expected="standard deviations of each column, above 0")
    if draws < 1 or batch < 1:
        raise DataError(f"draws is {draws} and batch {batch}", expected="1 or more of each")
    if max_rows is not None and max_rows < 1:
        raise DataError(f"max_rows is {max_rows}", expected="1 or more")
    if not 0 < worst_share <= 1:
        raise DataError(f"worst_share is {worst_share}", expected="a share above 0, at most 1")
    if tolerance is not None and not (np.isfinite(tolerance) and tolerance >= 0):
        raise DataError(f"tolerance is {tolerance}", expected="0 or more")
