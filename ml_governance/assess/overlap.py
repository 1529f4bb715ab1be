"""Rows of one table that stand in another as well: whether a model is tested on what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_governance.assess.columns import coded, opened
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def shared_rows(test: pd.DataFrame, training: pd.DataFrame) -> int:
    """Return how many rows of a table equal a row of another one; see :func:`shared`."""
    return int(shared(test, training).sum())


def shared(test: pd.DataFrame, training: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows of a table equal a row of another one in every column that both have.

    Numbers are compared as numbers, whatever their type, a missing value equals a missing value, and everything else is compared as
    text. So a column that is missing from one table, or written in another type, hides no shared row; with fewer common columns
    more rows are alike by chance.

    Parameters
    ----------
    test, training : DataFrame
        Any number of rows; column names are compared as text.

    Returns
    -------
    array of bool, shape (rows of test,)

    Raises
    ------
    DataError
        If the tables have no column in common, or one has no rows.
    """
    ours, theirs = opened(test, "test data"), opened(training, "training data")
    common = [name for name in ours.names if name in theirs.names]
    if not common:
        raise DataError("test and training data have no column in common", expected="the same columns in both")
    keys = RowKeys(ours.rows + theirs.rows)
    for name in common:
        if keys.all_differ:
            break
        column = coded(name, [ours, theirs])
        keys.add(column.codes, len(column.values))
    found = keys.settled()
    known = np.zeros(int(found.max()) + 1, dtype=bool)
    known[found[ours.rows :]] = True
    made: NDArray[np.bool_] = known[found[: ours.rows]]
    return made
