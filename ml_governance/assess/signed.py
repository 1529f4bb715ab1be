"""Signed comparisons of an unprivileged with a privileged side, under the names that AIF360 gives them.

Every function is unprivileged minus privileged, or unprivileged over privileged, as AIF360 has it (Bellamy et al., IBM
Journal of Research and Development 63 (2019) 4:1), and agrees with AIF360 0.6 wherever that gives a finite number, with two
exceptions. AIF360 takes the false discovery rate of a side of which nobody is selected for 0, and leaves weights out of the
inequality of benefits. Where it answers nan, inf or 0.0 for 0/0 or x/0, the answer here is ``undefined`` and says why.

Groups are named as there: a list of mappings from attribute to level; within a mapping all hold, and any mapping of the
list may hold. Without ``unprivileged_groups`` everybody else is meant.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import binary
from ml_governance.assess.contrasts import Number, check_levels, measured
from ml_governance.assess.relative import difference, ratio
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

    Groups = Sequence[Mapping[str, str]]

_PARTS = ("false_positive_rate", "true_positive_rate")


def statistical_parity_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return P(pred = 1 | unprivileged) - P(pred = 1 | privileged).

    Parameters
    ----------
    cube : Cube
        Counts, as ``report.cube``.
    privileged_groups : sequence of mapping of str to str
        Who is privileged, as ``[{"sex": "Male"}]``.
    unprivileged_groups : sequence of mapping of str to str, optional
        Who is not; default is everybody else.
    confidence : float, default 0.95
        Level of the interval, Newcombe's.
    min_group_size : int, default 30
        With fewer rows that a rate counts on a side it is ``insufficient``.

    Returns
    -------
    Measurement
        Value in -1 to 1, 0 for parity; ``undefined`` if a side has no rows.

    Raises
    ------
    DataError
        If an attribute or level is unknown, or the two sides share a group.
    """
    return _difference("statistical_parity_difference", "selection_rate", cube, **sides)


def mean_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return :func:`statistical_parity_difference` under its other name."""
    return _difference("mean_difference", "selection_rate", cube, **sides)


def disparate_impact(cube: Cube, **sides: Any) -> Measurement:
    """Return P(pred = 1 | unprivileged) / P(pred = 1 | privileged): 0 or more, 1 for parity; Koopman's interval.

    Parameters are those of :func:`statistical_parity_difference`. Undefined if nobody privileged is selected.
    """
    return _ratio("disparate_impact", "selection_rate", cube, **sides)


def equal_opportunity_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return TPR unprivileged - TPR privileged: -1 to 1 (Hardt, Price and Srebro 2016).

    Unlike fairlearn's metric of that name, it is signed and of two sides.
    """
    return _difference("equal_opportunity_difference", "true_positive_rate", cube, **sides)


def false_positive_rate_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return FPR unprivileged - FPR privileged: -1 to 1."""
    return _difference("false_positive_rate_difference", "false_positive_rate", cube, **sides)


def false_positive_rate_ratio(cube: Cube, **sides: Any) -> Measurement:
    """Return FPR unprivileged / FPR privileged: 0 or more."""
    return _ratio("false_positive_rate_ratio", "false_positive_rate", cube, **sides)


def false_negative_rate_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return FNR unprivileged - FNR privileged: -1 to 1."""
    return _difference("false_negative_rate_difference", "false_negative_rate", cube, **sides)


def false_negative_rate_ratio(cube: Cube, **sides: Any) -> Measurement:
    """Return FNR unprivileged / FNR privileged: 0 or more."""
    return _ratio("false_negative_rate_ratio", "false_negative_rate", cube, **sides)


def false_omission_rate_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return FOR unprivileged - FOR privileged: -1 to 1."""
    return _difference("false_omission_rate_difference", "false_omission_rate", cube, **sides)


def false_omission_rate_ratio(cube: Cube, **sides: Any) -> Measurement:
    """Return FOR unprivileged / FOR privileged: 0 or more."""
    return _ratio("false_omission_rate_ratio", "false_omission_rate", cube, **sides)


def false_discovery_rate_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return FDR unprivileged - FDR privileged: -1 to 1."""
    return _difference("false_discovery_rate_difference", "false_discovery_rate", cube, **sides)


def false_discovery_rate_ratio(cube: Cube, **sides: Any) -> Measurement:
    """Return FDR unprivileged / FDR privileged: 0 or more."""
    return _ratio("false_discovery_rate_ratio", "false_discovery_rate", cube, **sides)


def error_rate_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return the error rate of the unprivileged minus that of the privileged: -1 to 1."""
    return _difference("error_rate_difference", "accuracy", _wrong(cube), **sides)


def error_rate_ratio(cube: Cube, **sides: Any) -> Measurement:
    """Return the error rate of the unprivileged over that of the privileged: 0 or more."""
    return _ratio("error_rate_ratio", "accuracy", _wrong(cube), **sides)


def average_odds_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return the mean of the signed FPR and TPR differences: -1 to 1; MOVER interval.

    A false positive rate that is too high and a true positive rate that is too low cancel, so 0 does not mean equalized
    odds; use ``equalized_odds_difference`` to decide anything.
    """
    return _averaged("average_odds_difference", cube, absolute=False, **sides)


def average_abs_odds_difference(cube: Cube, **sides: Any) -> Measurement:
    """Return the mean of the absolute FPR and TPR differences: 0 to 1; 0 only for equalized odds of the two sides.

    The interval projects intervals of both differences that hold together (Bonferroni).
    """
    return _averaged("average_abs_odds_difference", cube, absolute=True, **sides)


def generalized_entropy_index(cube: Cube, *, alpha: float = 2.0) -> Measurement:
    """Return the inequality of benefits over all rows; the benefit of a row is 1 + pred - true (0, 1 or 2).

    Formula: mean((b / mean b)^alpha - 1) / (alpha (alpha - 1)); for alpha 1 it is :func:`theil_index`. Source: Speicher et
    al., KDD 2018, 2239. 0 or more, 0 when all benefit alike. Undefined when nobody benefits, or for alpha 0 when
    somebody does not.

    Parameters
    ----------
    cube : Cube
        Counts.
    alpha : float, default 2
        Weight of large benefits; 2 is half the squared coefficient of variation.
    """
    table, rows = cube.total()
    value, reason = _entropy(_benefits(table), alpha)
    name = "theil_index" if alpha == 1 else "generalized_entropy_index"
    number = Number(group=(), n=rows, size=rows, value=value, reason=reason or "no interval is made for it")
    return measured(name, (), number, 0.95, 1)


def theil_index(cube: Cube) -> Measurement:
    """Return the Theil index of benefits, the generalized entropy index of alpha 1: mean(b / m log(b / m))."""
    return generalized_entropy_index(cube, alpha=1.0)


def between_all_groups_generalized_entropy_index(cube: Cube, *, alpha: float = 2.0) -> Measurement:
    """Return the part of the inequality of benefits that is between groups: that of each group's mean benefit.

    Formula and source: as :func:`generalized_entropy_index`, equation 3 of Speicher et al. 2018.
    """
    means = []
    for _, values, _ in cube.groups():
        (weights, benefits) = _benefits(values)
        if weights.sum() > 0:
            means.append((float(weights.sum()), float((weights * benefits).sum() / weights.sum())))
    value, reason = _entropy((np.array([w for w, _ in means]), np.array([m for _, m in means])), alpha)
    _, rows = cube.total()
    number = Number(group=(), n=rows, size=rows, value=value, reason=reason or "no interval is made for it")
    return measured("between_all_groups_generalized_entropy_index", cube.attributes, number, 0.95, 1)


def _benefits(table: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    (tn, fp), (fn, tp) = table
    return np.array([fn, tn + tp, fp], dtype=float), np.array([0.0, 1.0, 2.0])


def _entropy(
    distribution: tuple[NDArray[np.float64], NDArray[np.float64]], alpha: float
) -> tuple[float | None, str | None]:
    weights, benefits = distribution
    share = weights / weights.sum()
    mean = float((share * benefits).sum())
    if mean == 0:
        return None, "0/0: nobody benefits"
    relative, share = benefits[share > 0] / mean, share[share > 0]
    if alpha == 1:
        held = relative > 0
        return float((share[held] * relative[held] * np.log(relative[held])).sum()), None
    if alpha <= 0 and (relative == 0).any():
        return None, f"somebody has no benefit, and alpha is {alpha:g}"
    if alpha == 0:
        return float(-(share * np.log(relative)).sum()), None
    return float((share * (relative**alpha - 1)).sum() / (alpha * (alpha - 1))), None


def _wrong(cube: Cube) -> Cube:
    """Return the cube with predictions turned round, of which the accuracy is the error rate."""
    return replace(
        cube, counts=cube.counts[..., ::-1], weights=None if cube.weights is None else cube.weights[..., ::-1]
    )


def _difference(name: str, rate: str, cube: Cube, **sides: Any) -> Measurement:
    levels, groups = _split(sides)
    return _measured(name, cube, difference(*_numbers(rate, cube, **groups)), **levels)


def _ratio(name: str, rate: str, cube: Cube, **sides: Any) -> Measurement:
    levels, groups = _split(sides)
    return _measured(name, cube, ratio(*_numbers(rate, cube, **groups)), **levels)


def _split(sides: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the levels and the groups of what a caller said."""
    named = ("confidence", "min_group_size")
    return (
        {name: sides[name] for name in named if name in sides},
        {name: value for name, value in sides.items() if name not in named},
    )


def _averaged(name: str, cube: Cube, *, absolute: bool, **sides: Any) -> Measurement:
    levels, groups = _split(sides)
    parts = [difference(*_numbers(rate, cube, **groups)) for rate in _PARTS]
    undefined = next((part for part in parts if part.value is None), None)
    if undefined is not None:
        return _measured(name, cube, undefined, **levels)
    gaps = [part.value or 0.0 for part in parts]
    value = sum(map(abs, gaps)) / 2 if absolute else sum(gaps) / 2

    def signed(level: float, which: Sides) -> tuple[float, float]:
        each = [part.bounds(level, which) for part in parts if part.bounds is not None]
        lows = math.hypot(*(gap - low for gap, (low, _) in zip(gaps, each, strict=True)))
        highs = math.hypot(*(high - gap for gap, (_, high) in zip(gaps, each, strict=True)))
        return value - lows / 2, value + highs / 2

    def folded(level: float, which: Sides) -> tuple[float, float]:
        each = [part.bounds(1 - (1 - level) / 2, which) for part in parts if part.bounds is not None]
        return sum(max(0.0, low, -high) for low, high in each) / 2, sum(max(-low, high) for low, high in each) / 2

    weighted = any(part.bounds is None for part in parts)
    number = replace(
        parts[0], value=value, size=min(part.size for part in parts), bounds=None if weighted else (folded if absolute else signed),
        method="newcombe-bonferroni" if absolute else "mover-newcombe",
    )  # fmt: skip
    return _measured(name, cube, number, **levels)


def _measured(name: str, cube: Cube, number: Number, confidence: float = 0.95, min_group_size: int = 30) -> Measurement:
    check_levels(confidence, min_group_size)
    reason = number.reason and number.reason.replace("accuracy", "error rate")  # of which alone it is used here
    return measured(name, cube.attributes, replace(number, group=(), reason=reason), confidence, min_group_size)


def _numbers(
    rate: str, cube: Cube, *, privileged_groups: Groups, unprivileged_groups: Groups | None = None
) -> tuple[Number, Number]:
    """Return the rate of the unprivileged and of the privileged."""
    first = _members(cube, privileged_groups, "privileged_groups")
    second = ~first if unprivileged_groups is None else _members(cube, unprivileged_groups, "unprivileged_groups")
    if (first & second).any():
        raise DataError("a group is both privileged and unprivileged", expected="groups that do not overlap")
    found = []
    for name, mask in (("unprivileged", second), ("privileged", first)):
        table = cube.values[mask].sum(axis=0)
        rows = int(cube.counts[mask].sum())
        found.append(binary.number(rate, table, rows, (name,), weighted=cube.weights is not None))
    return found[0], found[1]


def _members(cube: Cube, groups: Groups, name: str) -> NDArray[np.bool_]:
    """Return which cells of the cube are named."""
    if isinstance(groups, dict) or not groups:
        raise DataError(f"{name} is {groups!r}", expected='a list of mappings, such as [{"sex": "Male"}]')
    found = np.zeros(cube.counts.shape[:-2], dtype=bool)
    for group in groups:
        if not group:
            raise DataError(f"{name} has an empty mapping, which names everybody", expected='such as [{"sex": "Male"}]')
        one = np.ones_like(found)
        for attribute, level in group.items():
            if attribute not in cube.attributes:
                raise DataError(f"{name} names {attribute!r}", expected=f"one of {', '.join(cube.attributes)}")
            axis = cube.attributes.index(attribute)
            if str(level) not in cube.levels[axis]:
                raise DataError(
                    f"{name} names the level {level!r} of {attribute!r}",
                    expected=f"one of {', '.join(cube.levels[axis])}",
                )
            place = np.array([known == str(level) for known in cube.levels[axis]])
            one &= place.reshape([-1 if at == axis else 1 for at in range(found.ndim)])
        found |= one
    return found
