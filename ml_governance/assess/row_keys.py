"""Which rows are alike, exactly: rows have the same key if and only if they have the same codes in every column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

_ROOM = 2**62


class RowKeys:
    """Keys of rows, built up column by column; one 64-bit number for each row.

    A key is a number in a mixed radix, one digit for each column. Before it would overflow, the keys are replaced by their
    ranks of first occurrence; once no two rows are alike, further columns change nothing and are not looked at.

    Parameters
    ----------
    rows : int
        How many rows there are.
    """

    __slots__ = ("_all_differ", "_keys", "_size")

    def __init__(self, rows: int) -> None:
        self._keys = np.zeros(rows, dtype=np.int64)
        self._size = 1
        self._all_differ = False

    def add(self, codes: Codes, levels: int) -> None:
        """Tell rows apart by another column as well.

        Parameters
        ----------
        codes : array of int64, shape (rows,)
            From -1, for a missing value, to ``levels - 1``; missing values are alike.
        levels : int
            How many values it has.
        """
        width = levels + 1
        if self._size > _ROOM // width:
            self._compact()
        if self._all_differ:
            return
        self._keys = self._keys * width + (codes + 1)
        self._size *= width

    @property
    def all_differ(self) -> bool:
        """Whether it is already known that no two rows are alike, so that further columns change nothing."""
        return self._all_differ

    def settled(self) -> Codes:
        """Return the keys as numbers from 0 to one less than how many distinct rows there are."""
        self._compact()
        return self._keys

    def _compact(self) -> None:
        import pandas as pd

        codes, distinct = pd.factorize(self._keys)
        self._keys, self._size = codes.astype(np.int64, copy=False), len(distinct)
        self._all_differ = self._size == len(self._keys)
