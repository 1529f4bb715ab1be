"""Rows of one table that stand in another as well: whether a model is tested on what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def shared_rows(test: pd.DataFrame, training: pd.DataFrame) -> int:
    """Return how many rows of a table equal a row of another one in every column that both have.

    Numbers are compared as 64-bit floats, whatever their type, a missing value equals a missing value, and everything else is
    compared as text. So a column that is missing from one table, or written in another type, hides no shared row; with fewer
    common columns more rows are alike by chance.

    Parameters
    ----------
    test, training : DataFrame
        Any number of rows; column names are compared as text.

    Returns
    -------
    int
        From 0 to the number of rows of ``test``; a row that stands there twice counts twice.

    Raises
    ------
    DataError
        If the tables have no column in common.
    """
    common = [column for column in test.columns if column in training.columns]
    if not common:
        raise DataError("test and training data have no column in common", expected="the same columns in both")
    numeric = {column: _numeric(test[column]) and _numeric(training[column]) for column in common}
    ours = _plain(test[common], numeric)
    theirs = _plain(training[common], numeric).drop_duplicates()
    return len(ours.merge(theirs, how="inner", on=list(ours.columns)))


def _numeric(column: Any) -> bool:
    return column.dtype.kind in "biuf" or getattr(column.dtype, "_is_numeric", False)


def _plain(frame: pd.DataFrame, numeric: dict[Any, bool]) -> pd.DataFrame:
    import pandas as pd

    made: dict[str, Any] = {}
    for at, column in enumerate(frame.columns):
        values = frame[column]
        if numeric[column]:
            made[f"c{at}"] = values.to_numpy(dtype="float64", na_value=float("nan"))
        else:
            missing = values.isna().to_numpy()
            made[f"c{at}"] = ["?" if gone else f"={value}" for gone, value in zip(missing, values, strict=True)]
    return pd.DataFrame(made)
