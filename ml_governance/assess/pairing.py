"""Two models on the same rows: on how many of them both, one or neither is right, selects, or misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.assess import labels

if TYPE_CHECKING:
    import pandas as pd


def joint_counts(
    y_true: Any, first: Any, second: Any, sensitive: pd.DataFrame, *, pos_label: Any = None
) -> list[dict[str, Any]]:
    """Return joint counts of every rate whose denominator does not depend on the predictions.

    Parameters
    ----------
    y_true : array of shape (n,)
        Labels.
    first, second : array of shape (n,)
        Predicted labels of the two models.
    sensitive : DataFrame of n rows
        Columns whose groups are counted as well, each by itself.
    pos_label : object, optional
        The positive label, unless labels are 0 and 1.

    Returns
    -------
    list of dict
        ``{"metric", "by", "group", "counts": [both, first only, second only, neither]}``.

    Raises
    ------
    DataError
        If labels or predictions cannot be used.
    """
    true, one, positive = labels.pair(y_true, first, pos_label)
    _, two, _ = labels.pair(y_true, second, pos_label)
    del positive
    rates = {
        "accuracy": (one == true, two == true, true >= 0),
        "selection_rate": (one == 1, two == 1, true >= 0),
        "true_positive_rate": (one == 1, two == 1, true == 1),
        "false_negative_rate": (one == 0, two == 0, true == 1),
        "false_positive_rate": (one == 1, two == 1, true == 0),
        "true_negative_rate": (one == 0, two == 0, true == 0),
    }
    slices: list[tuple[list[str], list[str], Any]] = [([], [], true >= 0)]
    for name in sensitive.columns:
        column = sensitive[name]
        slices += [
            ([str(name)], [str(level)], (column == level).fillna(value=False).to_numpy(dtype=bool))
            for level in column.dropna().unique()
        ]
    made = []
    for by, group, rows in slices:
        for metric, (mine, other, among) in rates.items():
            inside = rows & among
            counts = [mine & other, mine & ~other, ~mine & other, ~mine & ~other]
            made.append(
                {"metric": metric, "by": by, "group": group, "counts": [int((part & inside).sum()) for part in counts]}
            )
    return made
