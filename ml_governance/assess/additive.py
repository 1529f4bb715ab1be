r"""Models whose output is a sum over original columns: their Shapley values in closed form.

Where :math:`f(x) = b + \sum_j g_j(x_j)`, the interventional Shapley value of column :math:`j` against a background of
:math:`N` rows is

.. math:: \varphi_j(x) = g_j(x_j) - \frac{1}{N} \sum_i g_j(z_{ij}),

whatever :math:`g_j` is (Strumbelj and Kononenko, Knowledge and Information Systems 41, 2014; for linear :math:`g_j`
Lundberg and Lee, NIPS 2017, corollary 1). A linear model behind steps that make each prepared column of one original column is
such a sum: :math:`g_j` is the weighted sum of the columns made of column :math:`j`, so all one-hot parts, spline pieces and
indicators of missing values are one player. This is the sum itself, so it holds for the margin of a classifier, and for
the prediction of a regressor whose link is the identity. A probability behind a logistic link is no such sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.prepared import parents, prepared
from ml_governance.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

VERSION = "1"
"""Of the numbers: it grows when the same model and rows give others."""

ENGINE = f"ml_governance additive form {VERSION}"
TOLERANCE = 1e-9
"""Largest gap between sum and output, as a share of the largest sum of sizes of the parts."""

SINGLE_TOLERANCE = 1e-5
"""The same where the model computes in single precision."""

_LINKED = ("GammaRegressor", "PoissonRegressor", "TweedieRegressor")
_LOGISTIC = ("LinearDiscriminantAnalysis", "LogisticRegression", "LogisticRegressionCV")
_HOMES = ("sklearn.linear_model.", "sklearn.svm.", "sklearn.discriminant_analysis")
_ROWS, _BACKGROUND = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Additive:
    """An output that is a sum over columns.

    Parameters
    ----------
    parts, compared : array of float64, shape (n, columns) or (n, columns, classes)
        What each column adds to the output, for the rows and for the background.
    constant : array of float64, shape () or (classes,)
        What the output is without them.
    single : bool
        Whether the model computes in single precision, so that its own output is known to about six digits only.
    """

    parts: Matrix
    compared: Matrix
    constant: Matrix
    single: bool

    @property
    def base(self) -> Matrix:
        """Mean output over the background, shape () or (classes,)."""
        return np.asarray(self.constant + self.compared.mean(axis=0).sum(axis=0))

    def values(self) -> Matrix:
        """Return the attributions of the rows, as the parts have their shape, in units of the output."""
        found: Matrix = self.parts - self.compared.mean(axis=0)
        return found

    def check(self, rows: Matrix, background: Matrix, play: Callable[[Matrix], Matrix]) -> str:
        """Hold the parts against the model: all rows add up, and a column put in alone moves the output by its own parts.

        Parameters
        ----------
        rows, background : array of float64, shape (n, columns)
            As ``play`` takes them, in the order of the parts.
        play : callable
            The model.

        Raises
        ------
        UnavailableError
            If the model says otherwise.
        """
        sizes = [np.abs(one).sum(axis=1).max() for one in (self.parts, self.compared)]
        scale = float(np.abs(self.constant).max() + max(sizes))
        allowed = (SINGLE_TOLERANCE if self.single else TOLERANCE) * scale
        made = play(rows)
        _within(np.abs(self.constant + self.parts.sum(axis=1) - made), allowed, "miss the model's output by")
        few = np.unique(np.linspace(0, len(rows) - 1, _ROWS).astype(np.intp))
        others = np.unique(np.linspace(0, len(background) - 1, _BACKGROUND).astype(np.intp))
        row, other, column = (one.ravel() for one in np.meshgrid(few, others, np.arange(rows.shape[1]), indexing="ij"))
        mixed = rows[row].copy()
        places = np.arange(len(mixed)), column
        mixed[places] = background[other, column]
        moved = self.compared[other, column] - self.parts[row, column]
        _within(np.abs(play(mixed) - made[row] - moved), allowed, "miss what one column alone moves by")
        return f"one column put in alone moves the output by its own parts, in {len(mixed)} trials"


def _within(gaps: Matrix, allowed: float, words: str) -> None:
    gap = float(gaps.max())
    if not gap <= allowed:
        raise UnavailableError(
            f"the parts of the additive form {words} {gap:.3g}",
            expected=f"at most {allowed:.3g}",
            next_step="report this model: its form was read wrongly, and nothing was recorded",
        )


def read(
    model: Any,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    output: Literal["probability", "margin"],
    *,
    every: bool = False,
) -> Additive | None:
    """Read a model as a sum over the columns of its rows; None if it is not known to be one.

    Parameters
    ----------
    model : object
        A linear model of scikit-learn, alone or at the end of a pipeline.
    rows, background : DataFrame
        With the columns that the model takes, in its order.
    output : {'probability', 'margin'}
        Which output; 'probability' of a regressor is its prediction.
    every : bool, default False
        Whether the margin of each of several classes is wanted, not only the last.
    """
    steps = getattr(model, "steps", [("", model)])
    form = _form(steps[-1][1], output)
    if form is None:
        return None
    named = getattr(model, "feature_names_in_", None) is not None
    tables = [table if named else table.to_numpy() for table in (rows, background)]
    players = tuple(range(rows.shape[1]))
    if len(steps) > 1:
        found = parents(model[:-1], [str(name) for name in rows.columns])
        if found is None:
            return None
        players = found
        tables = [prepared(model, table) for table in tables]
    weights, constants, single = form
    weights = weights if every else weights[-1:]
    if any(table.shape[1] != len(players) for table in tables) or weights.shape[1] != len(players):
        return None
    try:
        parts = [[_parts(table, own, players, rows.shape[1]) for own in weights] for table in tables]
    except (TypeError, ValueError):  # text that the model itself will refuse
        return None
    if every:
        own, compared = (np.stack(one, axis=2) for one in parts)
        return Additive(parts=own, compared=compared, constant=np.broadcast_to(constants, len(weights)), single=single)
    return Additive(parts=parts[0][-1], compared=parts[1][-1], constant=np.asarray(constants[-1]), single=single)


def logistic(model: Any) -> bool:
    """Tell whether a classifier's probability is the logistic function of its margin."""
    last = getattr(model, "steps", [("", model)])[-1][1]
    name = type(last).__name__
    return (
        type(last).__module__.startswith(_HOMES)
        and (name in _LOGISTIC or (name == "SGDClassifier" and last.loss == "log_loss"))
        and len(getattr(last, "classes_", ())) == 2
    )


def _parts(table: Any, weights: Matrix, players: tuple[int, ...], columns: int) -> Matrix:
    """Weigh the prepared columns and add up those of each player; sparse tables stay sparse."""
    if not hasattr(table, "tocsr"):
        table = np.asarray(table, dtype=np.float64)
        if players == tuple(range(columns)):
            return np.asarray(table * weights)
    to_players = np.zeros((len(players), columns))
    to_players[np.arange(len(players)), list(players)] = weights
    return np.asarray(table @ to_players, dtype=np.float64)


def _form(estimator: Any, output: str) -> tuple[Matrix, Matrix, bool] | None:
    """Return the weights and constants of a linear model by output, and whether it computes in single precision."""
    if not type(estimator).__module__.startswith(_HOMES) or type(estimator).__name__ in _LINKED:
        return None
    classifies = hasattr(estimator, "classes_") and hasattr(estimator, "decision_function")
    if classifies != (output == "margin") or getattr(estimator, "kernel", "linear") != "linear":
        return None
    try:
        weights, constant = estimator.coef_, estimator.intercept_
    except AttributeError:
        return None
    weights = weights.toarray() if hasattr(weights, "toarray") else np.asarray(weights)
    single = weights.dtype == np.float32
    weights, constants = np.atleast_2d(weights).astype(np.float64), np.atleast_1d(constant).astype(np.float64)
    outputs = len(estimator.classes_) if classifies else 1
    if len(weights) != (1 if outputs == 2 else outputs) or len(constants) not in (1, len(weights)):  # one against one
        return None
    if hasattr(estimator, "kernel") and outputs > 2:
        return None
    return weights, constants, single
