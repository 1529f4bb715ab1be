"""How many applied and how many were selected, group by group: what selection rules are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import counted, labels
from ml_governance.assess import cube as cubes
from ml_governance.assess.fairness import FairnessReport
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    Group = tuple[str, ...]
    Source = Mapping[Any, tuple[int, int]] | FairnessReport | cubes.Cube | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selections:
    """Whole people, counted.

    Parameters
    ----------
    by : tuple of str
        Attributes.
    counts : mapping of group to (selected, applicants)
        A group is a tuple of levels parallel to ``by``.
    unknown : int
        Applicants whose group is not known; they are in no count.
    """

    by: tuple[str, ...]
    counts: Mapping[Group, tuple[int, int]]
    unknown: int = 0

    @property
    def applicants(self) -> int:
        """Applicants of known groups."""
        return sum(n for _, n in self.counts.values())

    def marginal(self, axis: int) -> Selections:
        """Return the counts by one of the attributes."""
        sums: dict[Group, tuple[int, int]] = {}
        for group, (selected, n) in self.counts.items():
            before = sums.get((group[axis],), (0, 0))
            sums[group[axis],] = (before[0] + selected, before[1] + n)
        return Selections(by=(self.by[axis],), counts=sums, unknown=self.unknown)


def gather(
    source: Source,
    *,
    by: Sequence[str] | str | None,
    y_pred: Any = None,
    sensitive_features: Any = None,
    pos_label: Any = None,
    unknown: Collection[str] = (cubes.MISSING,),
) -> Selections:
    """Count selections, whatever they come as.

    Parameters
    ----------
    source : mapping of group to (selected, applicants), FairnessReport, Cube or None
        Counts; None when ``y_pred`` and ``sensitive_features`` are given.
    by : str or sequence of str, optional
        Which attributes; may be left out where there is only one.
    y_pred : array-like of shape (n,), optional
        Who was selected.
    sensitive_features : data frame, column or dict of columns, optional
        Groups.
    pos_label : object, optional
        Which value of ``y_pred`` means selected; needed unless it is 0/1 or False/True.
    unknown : collection of str
        Levels that mean that the group is not known.

    Raises
    ------
    DataError
        If there are no counts or both kinds of them, a count is no whole number of people, rows are weighted, or
        ``by`` is needed and missing.
    """
    names = (by,) if isinstance(by, str) else None if by is None else tuple(by)
    rows = y_pred is not None or sensitive_features is not None
    if (source is not None) == rows:
        raise DataError(
            "there are both counts and rows" if rows else "there are neither counts nor rows",
            expected="counts, a fairness report or a cube; or y_pred and sensitive_features",
        )
    if isinstance(source, Mapping):
        return _known(*_mapped(source, names), unknown)
    if isinstance(source, FairnessReport):
        cube = source.cube
    elif isinstance(source, cubes.Cube):
        cube = source
    elif source is None:
        cube = _counted(y_pred, sensitive_features, pos_label)
    else:
        raise DataError(f"the counts are a {type(source).__name__}", expected="a mapping, a FairnessReport or a Cube")
    if cube.weights is not None:
        raise DataError("the rows are weighted", expected="one row for each person: the rule counts people")
    if names is None:
        if len(cube.attributes) > 1:
            raise DataError(
                f"there are {len(cube.attributes)} attributes: {', '.join(cube.attributes)}",
                expected="one of them, or several crossed",
                next_step=f"by={cube.attributes[0]!r}",
            )
        names = cube.attributes
    absent = [name for name in names if name not in cube.attributes]
    if absent:
        raise DataError(f"there is no attribute {absent[0]!r}", expected=f"one of {', '.join(cube.attributes)}")
    counts = {group: (int(table[:, 1].sum()), int(table.sum())) for group, table, _ in cube.marginal(names).groups()}
    return _known(names, counts, unknown)


def _mapped(
    source: Mapping[Any, tuple[int, int]], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[Group, tuple[int, int]]]:
    found: dict[Group, tuple[int, int]] = {}
    for key, pair in source.items():
        group = tuple(str(level) for level in key) if isinstance(key, tuple) else (str(key),)
        whole = len(pair) == 2 and all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in pair)
        if not whole or not 0 <= pair[0] <= pair[1]:
            raise DataError(
                f"the counts of {' x '.join(group)} are {tuple(pair)!r}",
                expected="(selected, applicants), whole numbers, selected not above applicants",
            )
        found[group] = (int(pair[0]), int(pair[1]))
    depths = {len(group) for group in found}
    if len(depths) != 1 or (names is not None and depths != {len(names)}):
        raise DataError(
            f"the groups have {' and '.join(map(str, sorted(depths))) or 'no'} levels",
            expected=f"{len(names)} in each" if names else "the same number in each",
        )
    if names is None:
        names = ("group",) if depths == {1} else tuple(f"group {place + 1}" for place in range(depths.pop()))
    return names, found


def _counted(y_pred: Any, sensitive_features: Any, pos_label: Any) -> cubes.Cube:
    flags, _ = labels.binary(y_pred, "y_pred", pos_label)
    return counted.of_arrays(y_true=flags, y_pred=flags, sensitive_features=sensitive_features, pos_label=True).cube


def _known(names: tuple[str, ...], counts: Mapping[Group, tuple[int, int]], unknown: Collection[str]) -> Selections:
    hidden = set(unknown)
    kept = {group: pair for group, pair in counts.items() if not hidden & set(group)}
    lost = sum(n for group, (_, n) in counts.items() if group not in kept)
    return Selections(by=names, counts=kept, unknown=lost)
