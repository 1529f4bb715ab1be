r"""Which columns drive the gap of a model's mean output between groups: a sum of one part per column, with intervals.

Attributions of a row sum to its output less the base, so the gap between group :math:`g` and the reference :math:`r` splits into

.. math:: \bar f_g - \bar f_r = \sum_j \Delta_j, \qquad \Delta_j = \bar\varphi_{j,g} - \bar\varphi_{j,r},

exactly where the engine is exact. A part is a difference of two means of independent rows: its interval is Welch's (Biometrika
34 (1947) 28), at the level that lets all parts of an attribute's groups hold together (max-t with the parts' own correlation,
or Bonferroni for many), and its p-value is Holm's over the same family. Parts are about the model and its background: a
column may carry the gap because groups differ in it, or because the model makes more of it in one of them, and neither is
a cause in the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import simultaneous
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

CONSTANT = "the column adds the same to every row of both groups"
DIGITS = 12
ROUNDING = 1e-12
WIDEST = 500
"""Parts that max-t is computed for; more are held together by Bonferroni."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeans:
    """What is known of one group: rows, means, and covariance of the means. The last column is the output itself."""

    level: str
    n: int
    mean: Matrix
    covariance: Matrix


def decompose(
    columns: Sequence[str],
    values: Matrix,
    outputs: Matrix,
    groups: Mapping[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    *,
    reference: Mapping[str, str],
    confidence: float,
    min_group_size: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return, for each group but the reference of each attribute, the gap and its parts.

    Parameters
    ----------
    columns : sequence of str
    values : array of float64, shape (n, columns)
        Attributions.
    outputs : array of float64, shape (n,)
        What the model made of the rows, in the same units.
    groups : mapping of attribute to (codes of shape (n,), levels)
    reference : mapping of attribute to level
        Default is the level with the most rows, the first of several.
    confidence : float in (0, 1)
        Of all parts of an attribute together; of each gap alone.
    min_group_size : int
        Smaller groups are left out.
    seed : int
        Of the draws of max-t.

    Returns
    -------
    list of dict
        ``by, group, n, reference, n_reference, gap, lower, upper, unexplained, parts``; a part has ``column, value, lower, upper,
        p_value``, or no interval and ``why``. ``unexplained`` is the gap less the sum of its parts.

    Raises
    ------
    DataError
        If a reference is no level of its attribute, or too small.
    """
    unknown = [name for name in reference if name not in groups]
    if unknown:
        raise DataError(
            f"there is no sensitive column {', '.join(unknown)} to have a reference",
            expected=f"one of {', '.join(groups) or 'none'}",
        )
    made = []
    for name, (own, levels) in groups.items():
        table = np.column_stack([values, outputs])
        found = {
            level: _means(level, table[own == index]) for index, level in enumerate(levels) if (own == index).any()
        }
        made += of_means(
            name,
            columns,
            found,
            reference=reference.get(name),
            confidence=confidence,
            min_group_size=min_group_size,
            seed=seed,
        )
    return made


def of_means(
    name: str, columns: Sequence[str], found: Mapping[str, GroupMeans], *, reference: str | None, confidence: float,
    min_group_size: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return, for each group but the reference of one attribute, the gap and its parts, as :func:`decompose`.

    Raises
    ------
    DataError
        If the reference is no level, or too small.
    """
    least = max(min_group_size, 2)
    large = [one for one in found.values() if one.n >= least]
    largest = max(found.values(), key=lambda one: one.n).level
    at = largest if reference is None else reference
    if reference is not None and (reference not in found or found[reference].n < least):
        raise DataError(
            f"{reference!r} is no group of {name} with {min_group_size} rows among those explained",
            expected=f"one of {', '.join(one.level for one in large)}",
            next_step="max_rows=, to explain more rows",
        )
    base = next((one for one in large if one.level == at), None)
    if base is None or len(large) < 2:
        return []
    return _against(name, columns, base, [one for one in large if one is not base], confidence, seed)


def _covariance(table: Matrix) -> Matrix:
    """Return the covariance of the means; of one row there is none."""
    width = table.shape[1]
    if len(table) < 2:
        return np.full((width, width), math.nan)
    found: Matrix = np.cov(table, rowvar=False).reshape(width, -1) / len(table)
    return found


def _means(level: str, table: Matrix) -> GroupMeans:
    return GroupMeans(
        level=level, n=len(table), mean=table.mean(axis=0), covariance=_covariance(table)
    )  # fmt: skip


def _against(
    name: str, columns: Sequence[str], base: GroupMeans, others: Sequence[GroupMeans], confidence: float, seed: int
) -> list[dict[str, Any]]:
    """Compare all groups of an attribute with the reference, as one family."""
    width = len(columns)
    parts = np.concatenate([one.mean[:width] - base.mean[:width] for one in others])
    shared = base.covariance[:width, :width]
    covariance = np.tile(shared, (len(others), len(others)))
    for place, one in enumerate(others):
        block = slice(place * width, (place + 1) * width)
        covariance[block, block] += one.covariance[:width, :width]
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    size = max(float(np.abs(base.mean).max()), *(float(np.abs(one.mean).max()) for one in others))
    varied = np.flatnonzero(errors > ROUNDING * size)
    level = confidence
    if len(varied) > WIDEST:
        level = simultaneous.level("bonferroni", len(varied), confidence=confidence, sides="two-sided")
    elif len(varied):
        correlation = covariance[np.ix_(varied, varied)] / np.outer(errors[varied], errors[varied])
        level = simultaneous.level(
            "max-t", len(varied), confidence=confidence, sides="two-sided", correlation=correlation, seed=seed
        )
    freedom = np.concatenate([_freedom(one, base)[:width] for one in others])
    p_values = dict(
        zip(
            varied.tolist(),
            simultaneous.adjusted([_p(parts[at] / errors[at], freedom[at]) for at in varied], "holm"),
            strict=True,
        )
    )
    made = []
    for place, one in enumerate(others):
        listed = []
        for column in range(width):
            at = place * width + column
            entry: dict[str, Any] = {"column": columns[column], "value": round(float(parts[at]), DIGITS)}
            if at in p_values:
                half = _t(level, freedom[at]) * errors[at]
                entry |= _bounds(parts[at], half) | {"p_value": round(p_values[at], DIGITS)}
            else:
                entry["why"] = CONSTANT
            listed.append(entry)
        gap = float(one.mean[-1] - base.mean[-1])
        error = math.sqrt(one.covariance[-1, -1] + base.covariance[-1, -1])
        half = _t(confidence, float(_freedom(one, base)[-1])) * error if error > 0 else 0.0
        made.append({
            "by": [name], "group": [one.level], "n": one.n, "reference": [base.level], "n_reference": base.n,
            "gap": round(gap, DIGITS), **_bounds(gap, half),
            "unexplained": round(gap - math.fsum(parts[place * width : (place + 1) * width]), DIGITS),
            "parts": sorted(listed, key=lambda entry: -abs(entry["value"])),
        })  # fmt: skip
    return made


def _freedom(one: GroupMeans, base: GroupMeans) -> Matrix:
    """Return the degrees of freedom of Welch and Satterthwaite."""
    first, second = np.diag(one.covariance), np.diag(base.covariance)
    with np.errstate(invalid="ignore"):
        found = (first + second) ** 2 / (first**2 / (one.n - 1) + second**2 / (base.n - 1))
    return np.where(np.isfinite(found), found, one.n + base.n - 2)


def _t(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _p(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


def _bounds(value: float, half: float) -> dict[str, float]:
    return {"lower": round(float(value - half), DIGITS), "upper": round(float(value + half), DIGITS)}
