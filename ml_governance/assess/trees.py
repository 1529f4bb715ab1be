"""Decision trees of any library in one form: arrays, with what each library does on ties, gaps and categories.

A row goes left at a node with a threshold where ``x <= threshold``, or ``x < threshold`` if the ensemble is strict. Both
sides are compared in the ensemble's own precision, because ``0.1`` and the single-precision ``0.1`` lie on different
sides of each other. At a node with categories it goes left where its category is one of them. The output of an
ensemble is its base plus the values of the leaves reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int32]

LEFT, RIGHT, AS_ZERO = 0, 1, 2
"""Where a missing value goes; the last is: where zero would go."""


class TreesRefusedError(DataError):
    """These trees are not read or tabulated, for the reason given; another engine has to explain the model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """One tree; node 0 is its root.

    Parameters
    ----------
    left, right : array of int32, shape (nodes,)
        Children; -1 in both makes a leaf.
    feature : array of int32, shape (nodes,)
        Column that is asked; of no meaning on a leaf.
    threshold : array of float64, shape (nodes,)
        Of no meaning on a leaf and on a node with categories.
    missing : array of uint8, shape (nodes,)
        Where NaN goes: ``LEFT``, ``RIGHT`` or ``AS_ZERO``.
    value : array of float64, shape (nodes,)
        What a leaf adds to the output.
    cover : array of float64, shape (nodes,)
        Weight of the training rows that came by, at least 0.
    members : mapping of int to array of float64
        By node with categories: those that go left.
    other : array of uint8, shape (nodes,), optional
        Where a category goes that the ensemble does not know: ``LEFT`` or ``RIGHT``; default is where NaN goes.
    output : int, default 0
        To which output of the ensemble the leaves add.
    """

    left: Integers
    right: Integers
    feature: Integers
    threshold: Floats
    missing: NDArray[np.uint8]
    value: Floats
    cover: Floats
    members: Mapping[int, Floats] = field(default_factory=dict)
    other: NDArray[np.uint8] | None = None
    output: int = 0

    def __post_init__(self) -> None:
        size = len(self.left)
        arrays = (self.right, self.feature, self.threshold, self.missing, self.value, self.cover)
        if size == 0 or any(len(one) != size for one in arrays):
            raise TreesRefusedError("the arrays of a tree differ in length or are empty", expected="one entry per node")
        inner = self.left >= 0
        children = np.concatenate([self.left[inner], self.right[inner]])
        own = np.tile(np.flatnonzero(inner), 2)
        if np.any(inner != (self.right >= 0)) or np.any(children >= size) or np.any(children == 0):
            raise TreesRefusedError(
                "a node has one child, or a child that there is not", expected="two children or none"
            )
        if len(np.unique(children)) != size - 1 or len(children) != size - 1 or np.any(children == own):
            raise TreesRefusedError("the nodes do not form one tree", expected="every node but the root has one parent")
        if not np.isfinite(self.value[~inner]).all():
            raise TreesRefusedError("a leaf has a value that is not finite", expected="finite numbers")
        if not (np.isfinite(self.cover).all() and (self.cover >= 0).all()):
            raise TreesRefusedError("a node has a cover that is negative or not finite", expected="a weight of rows")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble:
    """Trees whose leaves add up.

    Parameters
    ----------
    trees : tuple of Tree
        At least one.
    base : array of float64, shape (outputs,)
        What the output is without trees.
    columns : int
        How many columns a row has.
    strict : bool
        Whether left is ``x < threshold``; else it is ``x <= threshold``.
    single : bool
        Whether a row is made float32 before it is compared.
    categories : mapping of int to array of float64
        By column: the categories known to the ensemble, ascending.
    single_sum : bool, default False
        Whether the library adds leaves in float32, so that its own output is known to about six digits only.
    """

    trees: tuple[Tree, ...]
    base: Floats
    columns: int
    strict: bool
    single: bool
    categories: Mapping[int, Floats] = field(default_factory=dict)
    single_sum: bool = False

    def __post_init__(self) -> None:
        if not self.trees:
            raise TreesRefusedError("there are no trees", expected="at least one")
        if not np.isfinite(self.base).all():
            raise TreesRefusedError("the base of the output is not finite", expected="finite numbers")
        for tree in self.trees:
            asked = tree.feature[tree.left >= 0]
            if len(asked) and (asked.min() < 0 or asked.max() >= self.columns):
                raise TreesRefusedError(
                    "a tree asks for a column that there is not", expected=f"{self.columns} columns"
                )
            if not 0 <= tree.output < len(self.base):
                raise TreesRefusedError(
                    "a tree adds to an output that there is not", expected=f"{len(self.base)} outputs"
                )

    @property
    def scale(self) -> float:
        """Return the largest size that an output can have: the measure of rounding."""
        sizes = np.abs(self.base)
        for tree in self.trees:
            sizes[tree.output] += np.abs(tree.value[tree.left < 0]).max()
        return float(sizes.max())
