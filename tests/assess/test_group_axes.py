"""Laws of arrays by group: what is summed, read group by group and added up is what a plain loop over cells finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.assess import group_axes
from ml_governance.errors import DataError

NAMES = ("sex", "race", "age")
LEVELS = (("f", "m"), ("a", "b", "c"), ("old", "young"))
BYS = [by for size in range(4) for by in permutations(NAMES, size)]
Cells = Counter[tuple[tuple[str, ...], int]]


@dataclass(frozen=True)
class Shard:
    attributes: tuple[str, ...]
    levels: group_axes.Levels


def filled(cells: Cells, levels: group_axes.Levels) -> np.ndarray:
    array = np.zeros((*map(len, levels), 2), dtype=np.int64)
    for (group, label), n in cells.items():
        array[(*(own.index(level) for own, level in zip(levels, group, strict=True)), label)] += n
    return array


CELLS = st.dictionaries(
    st.tuples(st.sampled_from(list(product(*LEVELS))), st.sampled_from([0, 1])), st.integers(1, 50), max_size=12
).map(Counter)


@given(CELLS, st.sampled_from(BYS))
def test_a_marginal_is_the_sum_over_the_cells_of_each_group_in_the_order_asked_for(
    cells: Cells, by: tuple[str, ...]
) -> None:
    summed = group_axes.marginal(filled(cells, LEVELS), NAMES, by)
    expected: Cells = Counter()
    for (group, label), n in cells.items():
        expected[tuple(group[NAMES.index(name)] for name in by), label] += n
    levels = [LEVELS[NAMES.index(name)] for name in by]
    found = {group: summed[place].tolist() for group, place in group_axes.groups(levels, summed.sum(axis=-1))}
    assert found == {group: [expected[group, 0], expected[group, 1]] for group, _ in expected}
    assert list(found) == sorted(found)


@given(CELLS, CELLS)
def test_cubes_of_different_levels_add_up_to_the_cube_of_all_rows(one: Cells, other: Cells) -> None:
    own = [tuple(tuple(sorted({group[axis] for group, _ in cells})) for axis in range(3)) for cells in (one, other)]
    levels = group_axes.common_levels(*(Shard(NAMES, some) for some in own))
    parts = [(some, filled(cells, some)) for some, cells in zip(own, (one, other), strict=True)]
    assert np.array_equal(group_axes.added(levels, *parts), filled(one + other, levels))


def test_cubes_by_other_attributes_have_no_common_levels() -> None:
    with pytest.raises(DataError, match="the cubes are by"):
        group_axes.common_levels(Shard(("sex",), (("f",),)), Shard(("race",), (("a",),)))
