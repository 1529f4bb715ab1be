"""What a model says of rows, asked once: labels, and scores where it gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.prepared import prepared
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.performance import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a model said of rows.

    Parameters
    ----------
    y_pred : array of shape (n,)
        Predicted labels, or numbers of a regression.
    y_score : array of float64, shape (n,) or (n, classes), or None
        Probability of the positive class, or of every one of several, where the model gives one.
    classes : tuple of str or None
        What the columns of several are.
    """

    y_pred: NDArray[Any] = field(repr=False)
    y_score: NDArray[np.float64] | None = field(default=None, repr=False)
    classes: tuple[str, ...] | None = None

    def checked(self, rows: int) -> Predicted:
        """Return the same, if there is one finite answer for each row.

        Raises
        ------
        DataError
            If not.
        """
        wide = (rows,) if self.classes is None else (rows, len(self.classes))
        for name, array, shape in (("predictions", self.y_pred, (rows,)), ("scores", self.y_score, wide)):
            if array is not None and array.shape != shape:
                raise DataError(
                    f"the model returned {name} of shape {array.shape}", expected=f"one for each of {rows} rows"
                )
        if self.y_score is not None and not np.isfinite(self.y_score).all():
            raise DataError(
                f"{int((~np.isfinite(self.y_score)).sum())} scores are NaN or infinite",
                expected="a probability in every row",
            )
        return self


def inputs(model: Any, frame: pd.DataFrame, exclude: Sequence[str]) -> pd.DataFrame:
    """Return the columns that a model takes: those that it names, else all but some.

    Parameters
    ----------
    model : object
        Names its columns in ``feature_names_in_``, or takes all.
    frame : DataFrame
        Rows.
    exclude : sequence of str
        Columns that are never given to the model, such as the label.

    Raises
    ------
    DataError
        If a column is not there, or is one of those.
    """
    wanted = getattr(model, "feature_names_in_", None)
    if wanted is None:
        return frame.drop(columns=list(exclude))
    absent = [str(name) for name in wanted if name not in frame.columns]
    if absent:
        raise DataError(f"the rows lack {', '.join(absent)}", expected="every column that the model takes")
    leaked = [str(name) for name in wanted if name in exclude]
    if leaked:
        raise DataError(
            f"the model takes {', '.join(leaked)}, which is the label",
            expected="a model that does not read its label",
        )
    return frame[list(wanted)]


def predict(model: Any, table: pd.DataFrame, *, task: Task, pos_label: Any = None) -> Predicted:
    """Ask a model once for labels and, unless it predicts numbers, once for probabilities.

    Parameters
    ----------
    model : object
        With ``predict``, and ``predict_proba`` where it has scores.
    table : DataFrame
        The columns that it takes.
    task : {'binary', 'multiclass', 'regression'}
        What it does.
    pos_label : object, optional
        The label whose probability is the score; default is 1, or True.

    Raises
    ------
    DataError
        If it is no model, or knows another number of classes, or another positive one.
    """
    if not hasattr(model, "predict"):
        raise DataError(f"the model is a {type(model).__name__}", expected="an object with predict")
    model, table = _prepared(model, table)
    predicted = np.asarray(model.predict(table))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if predicted.dtype == object:
        predicted = predicted.astype(str)
    if task == "regression" or not hasattr(model, "predict_proba"):
        return Predicted(y_pred=predicted)
    probabilities = np.asarray(model.predict_proba(table), dtype=np.float64)
    classes = np.asarray(getattr(model, "classes_", np.arange(probabilities.shape[1]))).tolist()
    if task == "multiclass":
        return Predicted(y_pred=predicted, y_score=probabilities, classes=tuple(map(str, classes)))
    if len(classes) != 2:
        raise DataError(f"the model knows {len(classes)} classes", expected="two")
    positive = pos_label if pos_label is not None else 1
    if positive not in classes:
        raise DataError(
            f"the model's classes are {classes}",
            expected="0 and 1, or pos_label to say which one is positive",
        )
    return Predicted(y_pred=predicted, y_score=probabilities[:, classes.index(positive)])


def _prepared(model: Any, table: Any) -> tuple[Any, Any]:
    """Return the last step of scikit-learn's own pipeline with what the others make of the rows, so that they make it once.

    A pipeline that answers in a way of its own, as a subclass or by an attribute, is asked itself.
    """
    kind = type(model)
    plain = (kind.__module__, kind.__name__) == ("sklearn.pipeline", "Pipeline")
    if not plain or len(model.steps) < 2 or {"predict", "predict_proba"} & vars(model).keys():
        return model, table
    return model[-1], prepared(model, table)
