"""Two halves of the rows: what is searched for on one is measured on the other, so that the search flatters nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_OWN = 0x6A15
"""Before the seed, which is often that by which the rows themselves were made, drawn or split."""


def draws(seed: int) -> np.random.Generator:
    """Return a generator whose numbers have nothing to do with those that the same seed gives to others."""
    return np.random.default_rng((_OWN, seed))


def halves(rows: int, seed: int) -> NDArray[np.bool_]:
    """Return which rows are searched; the others are measured.

    Parameters
    ----------
    rows : int
        How many there are.
    seed : int
        Of the draw; one seed gives one split, whoever draws it.
    """
    searched = np.zeros(rows, dtype=bool)
    searched[draws(seed).permutation(rows)[: rows // 2]] = True
    return searched
