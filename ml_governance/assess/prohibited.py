"""Prohibited bases among what was scored: they can be neither stated as reasons nor left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

ENOUGH = 30
"""Applicants that share their basis with another, at least, before a column is said to follow from it."""


def refuse_prohibited(
    applicants: pd.DataFrame, columns: Sequence[str], phi: Matrix, noise: Matrix, protected: Sequence[str]
) -> None:
    """Refuse a prohibited basis that moved the output of anybody, under its own name or another.

    Parameters
    ----------
    applicants : DataFrame
        All of them, with the model's columns and the protected ones.
    columns : sequence of str
        Those that the attributions are of.
    phi, noise : array of float64, shapes (n, columns) and (n, 1)
        Attributions of the declined, and what is rounding.
    protected : sequence of str

    Raises
    ------
    DataError
        If a protected column, or one that follows from it alone, was scored.
    """
    found = {}
    for at in np.flatnonzero((np.abs(phi) > noise).any(axis=0)).tolist():
        name = columns[at]
        for basis in protected:
            if name == basis or _follows(applicants[name], applicants[basis]):
                found[name] = name if name == basis else f"{name}, which {basis} alone decides"
    if found:
        raise DataError(
            f"the output of declined applicants depends on {'; '.join(found.values())}",
            expected="a model without prohibited bases: such a factor may not be a reason, and no principal reason may be left out",
            next_step="train without these columns",
        )


def _follows(column: pd.Series[Any], basis: pd.Series[Any]) -> bool:
    """Tell whether a column only spells a basis otherwise, as a one-hot part or a bin of it does."""
    import pandas as pd

    own, levels = pd.factorize(column, use_na_sentinel=False)[0], pd.factorize(basis, use_na_sentinel=False)[0]
    size = np.bincount(levels)
    shared = size[levels] > 1  # a level with one row decides everything and tells nothing
    if shared.sum() < ENOUGH or own[shared].min() == own[shared].max():
        return False
    first = np.full(len(size), -1)
    first[levels[::-1]] = own[::-1]
    return bool((own[shared] == first[levels[shared]]).all())
