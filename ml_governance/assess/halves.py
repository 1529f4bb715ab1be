"""Two halves of the rows: what is searched for on one is measured on the other, so that the search flatters nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    searched[np.random.default_rng(seed).permutation(rows)[: rows // 2]] = True
    return searched
