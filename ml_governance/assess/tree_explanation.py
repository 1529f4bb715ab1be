"""Trees explained by the look-up kernel, with its own proofs: it adds up on all rows and agrees with shap on a few."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import tree_boosters, tree_readers
from ml_governance.assess.tree_kernel import VERSION, TreeKernel
from ml_governance.assess.tree_layout import thresholds
from ml_governance.errors import UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.tree_readers import Output
    from ml_governance.assess.trees import Ensemble

    Matrix = NDArray[np.float64]

ENGINE = f"ml_governance tree tables {VERSION}"
TOLERANCE = 1e-9
"""Largest gap between sum and output, as a share of the largest output that the trees can make."""

SINGLE_TOLERANCE = 1e-5
"""The same where the library itself adds in single precision."""

AGREEMENT = 1e-6
"""Largest gap to shap, which keeps some of its numbers in single precision."""

_ROWS, _BACKGROUND = 3, 20
_BESIDE = 2e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """A model of trees with the tables that it sees.

    Parameters
    ----------
    estimator : object
        Fitted.
    rows, background : array of float64, shape (n, prepared columns)
        As the estimator takes them.
    players : tuple of int, one for each prepared column
        The original column that it is made of, and of it alone.
    """

    estimator: Any
    rows: Matrix
    background: Matrix
    players: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeAnswer:
    """Attributions of the rows, and how they were checked.

    Parameters
    ----------
    phi : array of float64, shape (n, players) or (n, players, classes)
    base : array of float64, shape () or (classes,)
        Mean output over the background.
    check : str
        What was compared with shap.
    """

    phi: Matrix
    base: Matrix
    check: str


def explain(trees: Trees, output: Output, made: Matrix) -> TreeAnswer:
    """Attribute a tree model's output to original columns, exactly: the interventional game against the background.

    Parameters
    ----------
    trees : Trees
    output : {'probability', 'margin'}
    made : array of float64, shape (n,) or (n, classes)
        What the model itself makes of the rows; the first shape asks for the last of several classes.

    Returns
    -------
    TreeAnswer

    Raises
    ------
    TreesRefusedError
        If these trees cannot be read or tabulated: another engine has to explain them.
    UnavailableError
        If the attributions do not add up to what the model made, or differ from shap's.
    """
    ensemble, kernel = tabulated(trees, output)
    values = attributed(ensemble, kernel, trees.rows, made)
    base = np.asarray(kernel.base[-1] if made.ndim == 1 else kernel.base)
    return TreeAnswer(phi=values, base=base, check=agrees(trees, ensemble))


def tabulated(trees: Trees, output: Output) -> tuple[Ensemble, TreeKernel]:
    """Return the trees, and the tables that explain any rows of theirs.

    Raises
    ------
    TreesRefusedError
        As :func:`explain`.
    """
    ensemble = read(trees.estimator, output)
    return ensemble, TreeKernel.of(ensemble, background=trees.background, players=trees.players)


def attributed(ensemble: Ensemble, kernel: TreeKernel, rows: Matrix, made: Matrix) -> Matrix:
    """Return the attributions of rows, shape (n, players) or (n, players, classes), once they add up to what the model made of them.

    Raises
    ------
    UnavailableError
        As :func:`explain`.
    """
    values = kernel.values(rows)
    if made.ndim == 1:
        values, made = values[:, :, -1:], made[:, None]
    base = kernel.base[-made.shape[1] :]
    if values.shape[2] != made.shape[1]:
        raise UnavailableError(
            f"the trees have {values.shape[2]} outputs, and the model {made.shape[1]}", expected="the same number"
        )
    gap = float(np.abs(values.sum(axis=1) + base - made).max())
    if not gap <= allowed(ensemble):
        raise UnavailableError(
            f"the attributions of the trees miss the model's output by {gap:.3g}",
            expected=f"at most {allowed(ensemble):.3g}",
            next_step="report this model: its trees were read wrongly, and nothing was recorded",
        )
    return values[:, :, 0] if values.shape[2] == 1 else values


def allowed(ensemble: Ensemble) -> float:
    """Return how far the sum of leaves may be from what the library itself makes of a row."""
    return (SINGLE_TOLERANCE if ensemble.single_sum else TOLERANCE) * max(ensemble.scale, 1e-300)


def knows(estimator: Any) -> bool:
    """Tell whether a model is made of trees of a library that is known here."""
    return tree_boosters.knows(estimator) or tree_readers.knows(estimator)


def read(estimator: Any, output: Output) -> Ensemble:
    """Read a model of any library that is known here.

    Raises
    ------
    TreesRefusedError
        If it is of no known library, or its output is no sum over leaves.
    """
    if tree_boosters.knows(estimator):
        return tree_boosters.read(estimator, output)
    return tree_readers.read(estimator, output)


def agrees(trees: Trees, ensemble: Ensemble) -> str:
    """Compare with shap where both compute the same game, and say what was compared."""
    if len(ensemble.base) > 1 and type(trees.estimator).__module__.startswith("catboost"):
        # shap 0.51 reads past the end of such leaves, which ends the process.
        return "not compared with shap, which reads CatBoost's leaves as of one number each"
    rows, background = _clear(ensemble, trees.rows)[:_ROWS], _clear(ensemble, trees.background)[:_BACKGROUND]
    if not len(rows) or not len(background):
        return "not compared with shap: every row lies beside a threshold, where shap compares in single precision"
    try:
        theirs, version = _shap(trees.estimator, rows, background)
    except Exception as error:  # noqa: BLE001  whatever shap cannot read is told, not thrown
        return f"not compared with shap, which does not read this model ({type(error).__name__})"
    ours = TreeKernel.of(ensemble, background=background).values(rows)
    if theirs.ndim == 2:
        ours = ours[:, :, -1]
    elif theirs.shape[2] == 2 and ours.shape[2] == 1:
        theirs = theirs[:, :, -1:]
    if theirs.shape != ours.shape:
        return f"not compared with shap, which returned the shape {theirs.shape}"
    gap = float(np.abs(ours - theirs).max())
    if not gap <= AGREEMENT * ensemble.scale:
        raise UnavailableError(
            f"the attributions of the trees differ from shap's by {gap:.3g}",
            expected=f"at most {AGREEMENT * ensemble.scale:.3g}",
            next_step="report this model: one of the two engines read its trees wrongly, and nothing was recorded",
        )
    return f"equal to shap {version} on {len(rows)} rows and {len(background)} background rows"


def _clear(ensemble: Ensemble, rows: Matrix) -> Matrix:
    """Return the rows with no value beside a threshold: the others go astray in single precision."""
    beside = np.zeros(len(rows), dtype=bool)
    for column, edges in thresholds(ensemble).items():
        x = rows[:, column]
        margin = _BESIDE * np.maximum(np.abs(x), 1)
        beside |= np.searchsorted(edges, x - margin) != np.searchsorted(edges, x + margin, side="right")
    return rows[~beside]


def _shap(estimator: Any, rows: Matrix, background: Matrix) -> tuple[Matrix, str]:
    state = np.random.get_state()  # noqa: NPY002  shap seeds the global generator; it gets its state back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shap and what it imports warn about each other
            import shap

            explainer = shap.TreeExplainer(estimator, background, feature_perturbation="interventional")
            found = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=np.float64)
    finally:
        np.random.set_state(state)  # noqa: NPY002  see above
    return found, str(shap.__version__)
