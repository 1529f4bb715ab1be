"""What several kinds of assessment are measured from, made once: the rows, what the model said of them, and the training rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import Task
    from ml_governance.assess.predicting import Predicted

MAX_ATTACKED = 20_000
"""Rows of either kind whose losses are compared; more are drawn from."""
MAX_PERTURBED = 20_000
"""Rows that are changed and decided about again; more are drawn from."""
MAX_BACKGROUND = 100
"""Rows that explanations compare with; more are drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Rows that a model was trained on.

    Parameters
    ----------
    rows : DataFrame
        All of them, with the label.
    drawn : DataFrame
        Those whose losses are compared.
    known : array of bool, shape (rows that are assessed,)
        Which of the assessed rows stand among the training rows.
    """

    rows: pd.DataFrame = field(repr=False)
    drawn: pd.DataFrame = field(repr=False)
    known: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Rows to assess a model on.

    Parameters
    ----------
    rows : DataFrame
        With the label and the sensitive columns.
    y_true : str
        Column of the label.
    sensitive_features : tuple of str
        Columns whose groups are compared.
    predicted : Predicted
        What the model said of the rows.
    training : Training or None
        What it was trained on.
    inside : Predicted or None
        What the model said of the drawn training rows.
    task : {'binary', 'multiclass', 'regression'}
        What the model does.
    pos_label : object
        The positive label.
    costs : Costs or None
        What wrong decisions cost.
    confidence : float in (0, 1)
        Level of every interval.
    min_group_size : int
        Below this a group's numbers are ``insufficient``.
    seed : int
        Of everything random.
    """

    rows: pd.DataFrame = field(repr=False)
    y_true: str
    sensitive_features: tuple[str, ...]
    predicted: Predicted
    training: Training | None = None
    inside: Predicted | None = None
    task: Task = "binary"
    pos_label: Any = None
    costs: Costs | None = None
    confidence: float = 0.95
    min_group_size: int = 30
    seed: int = 0

    @property
    def labels(self) -> pd.Series:
        """The label of every row."""
        return self.rows[self.y_true]

    @property
    def features(self) -> pd.DataFrame:
        """All columns but the label."""
        return self.rows.drop(columns=[self.y_true])

    @property
    def sensitive(self) -> pd.DataFrame | None:
        """The sensitive columns; None without any."""
        return self.rows[list(self.sensitive_features)] if self.sensitive_features else None

    @property
    def levels(self) -> dict[str, Any]:
        """Options of intervals, as every kind takes them."""
        return {"confidence": self.confidence, "min_group_size": self.min_group_size}


def drawn(frame: pd.DataFrame, size: int | None, seed: int) -> pd.DataFrame:
    """Return at most so many rows, drawn at random; None is all.

    Raises
    ------
    DataError
        If ``size`` is below 1.
    """
    if size is not None and size < 1:
        raise DataError(f"max_rows is {size}", expected="1 or more, or None for all")
    return frame if size is None or len(frame) <= size else frame.sample(n=size, random_state=seed)


def training(
    rows: pd.DataFrame,
    trained: pd.DataFrame,
    known: NDArray[np.bool_] | None = None,
    *,
    seed: int,
    size: int | None = MAX_ATTACKED,
) -> Training:
    """Return training rows beside those that are assessed.

    Parameters
    ----------
    rows, trained : DataFrame
        The rows that are assessed, and the training rows.
    known : array of bool, shape (n,), optional
        Which rows stand among the training rows, where that is known.
    seed : int
        Of the draw.
    size : int or None
        At most so many are drawn; None is all.

    Raises
    ------
    DataError
        If the tables have no column in common, or ``size`` is below 1.
    """
    from ml_governance.assess.overlap import shared

    found = shared(rows, trained) if known is None else known
    return Training(rows=trained, drawn=drawn(trained, size, seed), known=found)
