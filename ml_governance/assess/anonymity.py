"""How well a released table hides whose rows they are: k-anonymity, l-diversity, t-closeness.

Facts about the table itself, so without intervals. What they do not say: that somebody who knows more than the quasi-identifiers,
or holds another table, finds nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.columns import coded
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Table

    Codes = NDArray[np.int64]

CONFIDENTIAL = "column"
"""What the numbers of a confidential column are said to be by."""


def hidden(
    table: Table, quasi_identifiers: Sequence[str], confidential: Sequence[str], *, k: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Return how large the classes of rows are that are alike, and how varied what they would give away.

    Parameters
    ----------
    table : Table
        What is, or would be, released.
    quasi_identifiers : sequence of str
        Columns that others may know of a person.
    confidential : sequence of str
        Columns that they are not to learn.
    k : int
        Smallest class that is large enough, 2 or more.

    Returns
    -------
    measurements : list of Measurement
    details : dict
        How many rows are in classes of which size.

    Raises
    ------
    DataError
        If there is no quasi-identifier, a column is not there or named twice, or ``k`` is under 2.
    """
    named = [*quasi_identifiers, *confidential]
    if isinstance(quasi_identifiers, str) or isinstance(confidential, str):
        raise DataError("columns are named by one text", expected="a list of column names")
    if not quasi_identifiers or not (isinstance(k, int | np.integer) and k >= 2):
        raise DataError(
            f"there are {len(quasi_identifiers)} quasi-identifiers, and k is {k}",
            expected="one or more, and a whole number of 2 or more",
        )
    absent = [name for name in named if name not in table.names]
    if absent or len(set(named)) < len(named):
        what = f"has no column {absent[0]!r}" if absent else f"is asked about a column twice: {', '.join(named)}"
        raise DataError(f"{table.name} {what}", expected=f"distinct columns of {', '.join(table.names[:40])}")
    keys = RowKeys(table.rows)
    for name in quasi_identifiers:
        column = coded(name, [table])
        keys.add(column.codes, len(column.values))
    of = keys.settled()
    sizes = np.bincount(of)
    n = table.rows
    smallest = int(sizes.min())
    below, alone = int(sizes[sizes < k].sum()), int((sizes == 1).sum())
    made = [
        Measurement(metric="k_anonymity", value=smallest, n=n, status="ok"),
        _share("rows_below_k", below, n),
        _share("unique_row_rate", alone, n),
    ]
    for name in confidential:
        column = coded(name, [table])
        made += _varied(name, of, sizes, column.codes + 1, len(column.values) + 1)
    edges = sorted({1, 2, k, 2 * k, 10 * k})
    rows = np.bincount(np.searchsorted(edges, sizes, side="right") - 1, weights=sizes, minlength=len(edges))
    listed = [{"from": low, "rows": int(own)} for low, own in zip(edges, rows, strict=True)]
    return made, {"k": k, "classes": len(sizes), "rows_by_class_size": listed}


def _share(metric: str, k: int, n: int) -> Measurement:
    return Measurement(metric=metric, value=k / n, numerator=k, denominator=n, n=n, status="ok")


def _varied(name: str, of: Codes, sizes: Codes, code: Codes, width: int) -> list[Measurement]:
    pairs, rows = np.unique(of * width + code, return_counts=True)
    own = pairs // width
    share = rows / sizes[own]
    whole = (np.bincount(code, minlength=width) / len(code))[pairs % width]
    distinct = np.bincount(own)
    entropy = np.bincount(own, weights=-share * np.log(share))
    seen = np.bincount(own, weights=whole)
    apart = (np.bincount(own, weights=np.abs(share - whole)) + 1 - seen) / 2
    numbers = {
        "l_diversity": int(distinct.min()),
        "entropy_l_diversity": float(np.exp(entropy.min())),
        "t_closeness": float(np.clip(apart.max(), 0.0, 1.0)),
    }
    return [
        Measurement(metric=metric, by=(CONFIDENTIAL,), group=(name,), value=value, n=len(code), status="ok")
        for metric, value in numbers.items()
    ]
