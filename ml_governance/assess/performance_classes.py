"""Predictive performance of a classifier with several classes: confusion, macro averages, one-vs-rest ranking, proper scores.

Bounds: Wilson's of rates and their combination by MOVER for macro recall and precision; of the macro AUC, those of the one-vs-rest
AUCs, combined by MOVER with the correlations of the influences of rows; of means of losses, those of
:mod:`ml_governance.assess.means`.

Sources: Yang, Information Retrieval 1 (1999) 69, for macro averages; Provost and Domingos, CeDER 00-04 (2000), for one-vs-rest AUCs;
DeLong et al., Biometrics 44 (1988) 837, for the influence of a row; Brier, Monthly Weather Review 78 (1950) 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import calibration_error, confusion, labels, means, multiclass, roc
from ml_governance.assess.contrasts import Number, measured
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.labels import Floats
    from ml_governance.assess.sensitive import Codes
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

SUM_TOLERANCE = 1e-3
"""How far the probabilities of a row may be from adding up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """Rows of a classifier with several classes.

    Parameters
    ----------
    classes : tuple of str
        In order; every label and prediction is one of them.
    true, predicted : array of int, shape (n,)
        Positions in ``classes``.
    score : array of float64, shape (n, classes), or None
        Probabilities.
    """

    classes: tuple[str, ...]
    true: NDArray[np.intp] = field(repr=False)
    predicted: NDArray[np.intp] = field(repr=False)
    score: Floats | None = field(repr=False)


def read(y_true: Any, y_pred: Any, y_score: Any, classes: Sequence[Any] | None) -> Classified:
    """Return labels, predictions and probabilities on common classes.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels of one type.
    y_pred : array-like of shape (n,), or None
        Predicted labels; default is the class of the highest probability, the first of several.
    y_score : array-like of shape (n, classes), data frame or dict of columns by class, or None
        Probabilities; an array needs ``classes``.
    classes : sequence of label, optional
        What the columns of ``y_score`` are, in order.

    Raises
    ------
    DataError
        If there are neither predictions nor probabilities, rows do not add up to 1, or a label has no column.
    """
    score, names = (None, None) if y_score is None else _scores(y_score, classes)
    if y_pred is None:
        if score is None or names is None:
            raise DataError("there are neither predictions nor scores", expected="y_pred, y_score, or both")
        y_pred = _labels_like(y_true, names)[score.argmax(axis=1)]
    true, predicted, found = confusion.code(y_true, y_pred)
    if score is None or names is None:
        return Classified(classes=found, true=true, predicted=predicted, score=None)
    labels.same_length(y_true=true, y_score=score)
    absent = [name for name in found if name not in names]
    if absent:
        raise DataError(f"y_score has no column for {', '.join(absent[:6])}", expected="a probability of every label")
    every = (*found, *(name for name in names if name not in found))
    ordered = score[:, [names.index(name) for name in every]]
    return Classified(classes=every, true=true, predicted=predicted, score=ordered)


def _labels_like(y_true: Any, names: Sequence[str]) -> Any:
    """Return the labels that read as the names of columns, of the type that the column of labels has."""
    by_name = {str(value): value for value in dict.fromkeys(labels.column(y_true, "y_true").tolist())}
    kind = type(next(iter(by_name.values())))
    try:
        return np.array([by_name.get(name, kind(name)) for name in names], dtype=None if kind is not str else object)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the classes of y_score are {', '.join(names[:6])}, and labels are of type {kind.__name__}",
            expected="classes that read as the labels do",
        ) from error


def _scores(y_score: Any, classes: Sequence[Any] | None) -> tuple[Floats, tuple[str, ...]]:
    if isinstance(y_score, dict) or hasattr(y_score, "columns"):
        own = list(y_score) if isinstance(y_score, dict) else list(y_score.columns)
        columns = [labels.scores(y_score[name], f"y_score of {name}") for name in own]
        score, names = np.column_stack(columns), tuple(map(str, own))
    else:
        try:
            score = np.asarray(y_score, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError("y_score is not numeric", expected="rows with a probability of each class") from error
        if score.ndim != 2 or classes is None or len(classes) != score.shape[1]:
            raise DataError(
                f"y_score has the shape {score.shape}, and classes are {None if classes is None else list(classes)[:6]}",
                expected="one column for each of the classes",
                next_step="pass a data frame with classes for column names, or classes=model.classes_",
            )
        names = tuple(str(one.item() if hasattr(one, "item") else one) for one in classes)
        labels.check_scores("y_score", *labels.extent(score.ravel()))
    if len(set(names)) < len(names):
        raise DataError(f"classes repeat: {', '.join(names[:6])}", expected="one column for each class")
    off = np.abs(score.sum(axis=1) - 1) > SUM_TOLERANCE
    if off.any():
        raise DataError(
            f"the probabilities of {int(off.sum())} rows add up to other than 1, such as {score[off][0].sum():.4g}",
            expected="probabilities of all classes",
        )
    return score, names


def measure(
    rows: Classified, by: tuple[str, ...], group: tuple[str, ...], confidence: float, minimum: int
) -> list[Measurement]:
    """Return every number of some rows: accuracy, macro averages, rates of each class, and with probabilities the scores."""
    k = len(rows.classes)
    matrix = np.bincount(rows.true * k + rows.predicted, minlength=k * k).reshape(k, k)
    made = multiclass.of_groups(by, [(group, matrix)], rows.classes, confidence, minimum)
    if rows.score is not None:
        n = len(rows.true)
        of_true = rows.score[np.arange(n), rows.true]
        losses = (rows.score**2).sum(axis=1) - 2 * of_true + 1
        right, top = (rows.true == rows.predicted), rows.score[np.arange(n), rows.predicted]
        numbers = {
            "macro_roc_auc": macro_roc_auc(rows, group),
            "multiclass_brier_score": means.of_losses(losses, group),
            "log_loss": log_loss(of_true, group),
            "top_label_ece": calibration_error.ece(right.astype(np.uint8), np.clip(top, 0, 1), group),
        }
        made += [measured(name, by, one, confidence, minimum) for name, one in numbers.items()]
    return made


def macro_roc_auc(rows: Classified, group: tuple[str, ...] = ()) -> Number:
    """Return the mean over classes of the AUC of the class against the rest, 0 to 1; undefined if a class has no row.

    Bounds: those of each AUC, combined by the method of variance estimates recovery with the correlations of the influences of rows;
    so they hold for small classes, and where all pairs are ordered alike, as those of one AUC do. Its size is that of the smallest class.
    """
    from scipy.stats import rankdata

    assert rows.score is not None  # noqa: S101  the caller has checked
    n, sizes = len(rows.true), np.bincount(rows.true, minlength=len(rows.classes))
    common: dict[str, Any] = {"group": group, "n": n, "size": int(sizes.min())}
    if not sizes.min() or sizes.max() == n:
        return Number(**common, value=None, reason=f"it has no row of {rows.classes[int(sizes.argmin())]}")
    influence, values, each = np.zeros((len(sizes), n)), [], []
    for index, size in enumerate(sizes.tolist()):
        own, column = rows.true == index, rows.score[:, index]
        together = rankdata(column)
        above = (together[own] - rankdata(column[own])) / (n - size)
        below = 1 - (together[~own] - rankdata(column[~own])) / size  # share of the class above each other row
        values.append(float(above.mean()))
        enough = 1 < size < n - 1
        variance = float(above.var(ddof=1) / size + below.var(ddof=1) / (n - size)) if enough else 0.0
        each.append(roc.auc_bounds(values[-1], variance, size, n - size)[0])
        influence[index, own] = (above - values[-1]) / size
        influence[index, ~own] = (below - values[-1]) / (n - size)
    value, together_with = float(np.mean(values)), _correlation(influence)

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        ends = np.array([of(confidence, sides) for of in each])
        down, up = np.array(values) - ends[:, 0], ends[:, 1] - np.array(values)
        reach = [math.sqrt(float(one @ together_with @ one)) / len(values) for one in (down, up)]
        return max(0.0, value - reach[0]), min(1.0, value + reach[1])

    return Number(**common, value=value, bounds=bounds, method="mover-auc")


def _correlation(influence: Floats) -> Floats:
    """Return the correlations of several numbers of the same rows, none below 0; 1 where a number does not vary and none is known."""
    size = np.sqrt((influence**2).sum(axis=1))
    known = np.outer(size, size) > 0
    found: Floats = np.where(known, influence @ influence.T / np.where(known, np.outer(size, size), 1.0), 1.0)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, 0.0, 1.0)


def log_loss(chance: Floats, group: tuple[str, ...] = ()) -> Number:
    """Return the mean of -log of the probability given to the label; undefined where one is 0."""
    impossible = int((chance <= 0).sum())
    if impossible:
        reason = f"{impossible} rows have a score that calls their label impossible"
        return Number(group=group, n=len(chance), size=len(chance), value=None, reason=reason)
    return means.of_losses(np.maximum(-np.log(chance), 0.0), group)


def groups(coded: dict[str, Codes], rows: Classified) -> list[tuple[tuple[str, ...], tuple[str, ...], Classified]]:
    """Return the rows of all, and of every group of each attribute."""
    found: list[tuple[tuple[str, ...], tuple[str, ...], Classified]] = [((), (), rows)]
    for name, (own, levels) in coded.items():
        for index, level in enumerate(levels):
            inside = own == index
            score = None if rows.score is None else rows.score[inside]
            part = Classified(
                classes=rows.classes, true=rows.true[inside], predicted=rows.predicted[inside], score=score
            )
            found.append(((name,), (level,), part))
    return found
