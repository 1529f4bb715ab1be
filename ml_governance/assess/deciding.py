"""Asking a model: decisions and scores of many rows, a bounded number at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    Change = Callable[[pd.DataFrame], tuple[pd.DataFrame, NDArray[np.intp] | None]]
    """Changes a batch of rows; also says which column it touched in each, where that is one."""

MANY = 20
"""Decisions do not have more distinct fractional values than this: those are numbers."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model did not take rows: the type of its error alone, for what it says may quote a cell."""

    error: str

    @property
    def reason(self) -> str:
        """As a measurement says it."""
        return f"the model does not take such rows: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """A model, asked a bounded number of rows at a time.

    Parameters
    ----------
    model : object
        With ``predict``, or a function of rows.
    columns : tuple of str
        What it takes.
    batch : int
        Most rows that it is asked at once.
    tolerance : float or None
        For a model that predicts numbers: how far two may be apart and still be the same decision.
    """

    model: Any
    columns: tuple[str, ...]
    batch: int
    tolerance: float | None = None

    def decide(self, rows: pd.DataFrame) -> NDArray[Any]:
        """Return the decision about every row, shape (n,); its errors are the model's own.

        Raises
        ------
        DataError
            If the model does not give one decision for each row.
        """
        predict = getattr(self.model, "predict", self.model)
        found = np.concatenate([self._one_each(predict(part), len(part)) for part in self.parts(rows)])
        if self.tolerance is None and found.dtype.kind == "f":
            if not np.isfinite(found).all():
                raise DataError("some decisions are NaN or infinite", expected="a decision about every row")
            fractions = np.unique(found[found != np.rint(found)])
            if len(fractions) > MANY:
                raise DataError(
                    f"the model predicts numbers, {len(fractions)} different ones",
                    expected="decisions; or tolerance=, how far two numbers may be apart and still be the same decision",
                )
        return found

    def differ(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which decisions are not the same; what cannot be compared is not."""
        if self.tolerance is None:
            return np.asarray(first != second, dtype=bool)
        gap = np.abs(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64))
        return ~(gap <= self.tolerance)

    def changed(
        self, rows: pd.DataFrame, base: NDArray[Any], change: Change
    ) -> tuple[NDArray[np.bool_], NDArray[np.intp] | None] | Refusal:
        """Return which decisions a change flips, and where it touched each row; or why the model did not take the rows."""
        flips: list[NDArray[np.bool_]] = []
        touched: list[NDArray[np.intp]] = []
        start = 0
        predict = getattr(self.model, "predict", self.model)
        for part in self.parts(rows):
            made, where = change(part)
            try:
                found = self._one_each(predict(made), len(part))
            except DataError:
                raise
            except Exception as error:  # noqa: BLE001  a strange model may raise anything
                return Refusal(type(error).__name__)
            flips.append(self.differ(base[start : start + len(part)], found))
            touched += [] if where is None else [where]
            start += len(part)
        return np.concatenate(flips), np.concatenate(touched) if touched else None

    def parts(self, rows: pd.DataFrame, size: int | None = None) -> Iterator[pd.DataFrame]:
        """Yield the rows, some at a time."""
        size = size or self.batch
        for start in range(0, len(rows), size):
            yield rows.iloc[start : start + size]

    @staticmethod
    def _one_each(found: Any, n: int) -> NDArray[Any]:
        array = np.asarray(found)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.shape != (n,):
            raise DataError(
                f"the model returned an array of shape {array.shape}", expected=f"one decision for each of {n} rows"
            )
        return array


def columns_taken(model: Any, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that a model takes: those that it names, else all.

    Raises
    ------
    DataError
        If one is not there, or twice, or the rows are no data frame of pandas, or the model is none.
    """
    import pandas as pd

    if not callable(getattr(model, "predict", model)):
        raise DataError(
            f"the model is a {type(model).__name__}", expected="an object with predict, or a function of rows"
        )
    if not isinstance(rows, pd.DataFrame):
        raise DataError(f"the rows are a {type(rows).__name__}", expected="a pandas data frame, as models are given")
    if not rows.columns.is_unique:
        twice = rows.columns[rows.columns.duplicated()][0]
        raise DataError(f"the rows have the column {twice} twice", expected="distinct column names")
    wanted = getattr(model, "feature_names_in_", None)
    names = tuple(str(name) for name in (rows.columns if wanted is None else wanted))
    absent = [name for name in names if name not in rows.columns]
    if absent:
        raise DataError(f"the rows lack {', '.join(absent)}", expected="every column that the model takes")
    return names


def scores_of(model: Any, rows: pd.DataFrame, pos_label: Any) -> NDArray[np.float64] | None:
    """Return what rises with the model's inclination to the positive label: its probability, else a number that it predicts.

    Parameters
    ----------
    model : object
        With ``predict_proba`` or ``predict``.
    rows : DataFrame
        The columns that it takes.
    pos_label : object
        The label whose probability is the score; None is 1, or the second of two classes.

    Returns
    -------
    array of float64, shape (n,), or None
        None where there is no such number.
    """
    if hasattr(model, "predict_proba"):
        chances = np.asarray(model.predict_proba(rows), dtype=np.float64)
        classes = np.asarray(getattr(model, "classes_", np.arange(chances.shape[1]))).tolist()
        wanted = (
            pos_label if pos_label is not None else 1 if 1 in classes else classes[-1] if len(classes) == 2 else None
        )
        if wanted not in classes:
            return None
        own: NDArray[np.float64] = chances[:, classes.index(wanted)]
        return own
    found = np.asarray(getattr(model, "predict", model)(rows)).reshape(-1)
    if pos_label is not None and found.dtype.kind != "f":
        return np.asarray(found == pos_label, dtype=np.float64)
    return np.asarray(found, dtype=np.float64) if found.dtype.kind in "iufb" else None
