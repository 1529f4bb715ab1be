"""Smooth functions of a cube by name: numbers of a group, contrasts of two, averages over groups and strata.

Every function takes many cubes at once, of shape (replicates, levels..., 2, 2), label and prediction last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.bootstrap import Functional
from ml_governance.assess.linearised import MASKS, members
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube

    Floats = NDArray[np.float64]

NOT_SMOOTH = {
    "expected_calibration_error": "it cannot be negative",
    "maximum_calibration_error": "it is a largest gap",
    "abroca": "it is an area between curves and cannot be negative",
    "kolmogorov_smirnov": "it is a largest gap",
    "jensen_shannon": "it cannot be negative",
    "wasserstein": "it is a distance and cannot be negative",
    "total_variation": "it is a distance and cannot be negative",
    "average_absolute_odds_difference": "it is an average of absolute values",
    "average_abs_odds_difference": "it is an average of absolute values",
}
"""Functions of a model's outputs that are known not to be smooth, and why."""


def balanced_accuracy(tables: Floats) -> Floats:
    """Return (TPR + TNR) / 2 of tables of shape (..., 2, 2)."""
    made: Floats = (_rate("true_positive_rate")(tables) + _rate("true_negative_rate")(tables)) / 2
    return made


def f1(tables: Floats) -> Floats:
    """Return 2 TP / (2 TP + FP + FN) of tables of shape (..., 2, 2)."""
    tp, wrong = tables[..., 1, 1], tables[..., 0, 1] + tables[..., 1, 0]
    made: Floats = 2 * tp / (2 * tp + wrong)
    return made


def _rate(name: str) -> Callable[[Floats], Floats]:
    inside, whole = MASKS[name]

    def of(tables: Floats) -> Floats:
        made: Floats = (tables * inside).sum(axis=(-2, -1)) / (tables * whole).sum(axis=(-2, -1))
        return made

    return of


NUMBERS: dict[str, Callable[[Floats], Floats]] = {
    **{name: _rate(name) for name in MASKS},
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
}
"""Numbers of a 2 x 2 table."""


def refuse_kinks(name: str) -> None:
    """Refuse what is known not to be smooth.

    Raises
    ------
    DataError
        Which says why, and what to use.
    """
    metric = METRICS.get(("fairness", name))
    reason = NOT_SMOOTH.get(name)
    if reason is None and metric is not None and metric.of:
        reason = "it takes the largest and the smallest of several groups"
    if reason is not None:
        raise DataError(
            f"the bootstrap does not hold for {name}: {reason}",
            expected="a smooth number: a rate, f1, balanced_accuracy, a contrast of two groups, or an average",
            next_step=f"read its interval from the report: report.get({name!r}, by=...)",
        )


def named(name: str, cube: Cube, group: Sequence[str], reference: Sequence[str] | None) -> Functional:
    """Return a number of a group, or its contrast with a reference.

    Parameters
    ----------
    name : str
        A rate, ``f1``, ``balanced_accuracy``, or ``average_odds_difference`` of two groups.
    cube : Cube
        By the attributes of the groups.
    group : sequence of str
        Empty for all rows.
    reference : sequence of str, optional
        Subtract its number; empty for all rows.

    Raises
    ------
    DataError
        If the name is unknown, or known not to be smooth; or if a group is unknown.
    """
    if name == "average_odds_difference":
        if reference is None or not group:
            raise DataError("average odds compare two groups", expected="group and reference")
        parts = [named(part, cube, group, reference) for part in ("true_positive_rate", "false_positive_rate")]
        return Functional(name=name, of=lambda cubes: (parts[0].of(cubes) + parts[1].of(cubes)) / 2, group=tuple(group))
    if name not in NUMBERS:
        refuse_kinks(name)
        raise DataError(f"{name!r} is no number of a 2 x 2 table", expected=f"one of {', '.join(sorted(NUMBERS))}")
    number = NUMBERS[name]
    own = _selected(cube, group)
    if reference is None:
        return Functional(name=name, of=lambda cubes: number(own(cubes)), group=tuple(group))
    base = _selected(cube, reference)
    return Functional(
        name=f"{name}_difference", of=lambda cubes: number(own(cubes)) - number(base(cubes)), group=tuple(group)
    )


def _selected(cube: Cube, group: Sequence[str]) -> Callable[[Floats], Floats]:
    inside = members(cube, cube.attributes if group else (), group)
    if int(cube.counts[inside].sum()) == 0:
        raise DataError(f"the group {' x '.join(group)!r} has no rows", expected="a group with rows")

    def table(cubes: Floats) -> Floats:
        made: Floats = cubes[:, inside].sum(axis=1)
        return made

    return table


def group_average(name: str, cube: Cube) -> Functional:
    """Return the mean of a number over the groups that have rows, each counting alike (macro average)."""
    if name not in NUMBERS:
        refuse_kinks(name)
        raise DataError(f"{name!r} is no number of a 2 x 2 table", expected=f"one of {', '.join(sorted(NUMBERS))}")
    there, number = cube.counts.sum(axis=(-2, -1)) > 0, NUMBERS[name]

    def of(cubes: Floats) -> Floats:
        made: Floats = number(cubes[:, there]).mean(axis=1)
        return made

    return Functional(name=f"{name}_group_average", of=of)


def conditional_difference(name: str, cube: Cube, group: str, reference: str) -> Functional:
    """Return the difference of two groups within strata, averaged over the strata by their share of rows.

    Parameters
    ----------
    name : str
        A rate, ``f1`` or ``balanced_accuracy``; ``selection_rate`` gives conditional parity.
    cube : Cube
        Its first attribute is the sensitive one, all others are the strata.
    group, reference : str
        Levels of the first attribute.

    Returns
    -------
    Functional
        ``sum_s w_s (m(group, s) - m(reference, s)) / sum_s w_s``, where w_s is how many rows of both groups are in stratum
        s, over the strata that hold both. Source: direct standardisation; Kamiran, Zliobaite and Calders, KAIS 35 (2013) 613.

    Raises
    ------
    DataError
        If no stratum holds both groups.
    """
    if name not in NUMBERS:
        refuse_kinks(name)
        raise DataError(f"{name!r} is no number of a 2 x 2 table", expected=f"one of {', '.join(sorted(NUMBERS))}")
    levels, number = cube.levels[0], NUMBERS[name]
    unknown = [level for level in (group, reference) if level not in levels]
    if unknown:
        raise DataError(f"{cube.attributes[0]} has no level {unknown[0]!r}", expected=f"one of {', '.join(levels)}")
    one, two = levels.index(group), levels.index(reference)
    sizes = cube.counts.sum(axis=(-2, -1)).reshape(len(levels), -1)
    both = np.flatnonzero((sizes[one] > 0) & (sizes[two] > 0))
    if not len(both):
        raise DataError(f"no stratum holds both {group} and {reference}", expected="at least one")

    def of(cubes: Floats) -> Floats:
        tables = cubes.reshape(len(cubes), len(levels), -1, 2, 2)[:, :, both]
        share = tables[:, [one, two]].sum(axis=(1, 3, 4))
        gaps = number(tables[:, one]) - number(tables[:, two])
        made: Floats = (share * gaps).sum(axis=1) / share.sum(axis=1)
        return made

    return Functional(name=f"conditional_{name}_difference", of=of, group=(group,))


def whole(function: Any, name: str) -> Functional:
    """Return a caller's own function as a functional; it is refused by its bias if it is not smooth."""
    return Functional(name=name, of=function, smooth=False)
