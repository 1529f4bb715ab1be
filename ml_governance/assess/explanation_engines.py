"""The engines behind an explanation: by what the Shapley values of a game are computed.

Trees whose output is a sum over leaves go to our own tables, outputs that are a sum over columns to their closed form, the
probability behind such a sum and a logistic link to quadrature, other trees to shap's exact explainer, everything else to permutation
walks, which the exact margin of boosted trees steadies; each answer says which, and why.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import additive, links, logistic, sampled, tree_explanation, tree_walks
from ml_governance.assess.trees import TreesRefusedError
from ml_governance.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ml_governance.assess.additive import Additive
    from ml_governance.assess.explanation_game import Game, Output

    Matrix = NDArray[np.float64]

LINKED = 1e-6
"""Largest gap between what the link makes of the margins and the probability that the model states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Attributions by row and column (and class), the mean output over the background, and what computed them.

    ``error`` has the standard errors of attributions that are sampled.
    """

    phi: Matrix
    base: Any
    engine: str
    why: str
    exact: bool
    check: str | None = None
    error: Matrix | None = None


def attribute(game: Game, output: Output, seed: int) -> Answer:
    """Return the Shapley values of a game, by the exactest engine that can hold it."""
    if game.additive is not None:
        return Answer(
            phi=game.additive.values(), base=game.additive.base, engine=additive.ENGINE, exact=True,
            why="its output is a sum over original columns, so its Shapley values have a closed form",
            check=game.additive.check(game.rows, game.background, game.play),
        )  # fmt: skip
    if game.linked is not None and game.margin is not None:
        return _by_quadrature(game, game.linked, game.margin)
    if game.trees is None:
        return _by_walks(game, seed, game.why)
    try:
        answer = tree_explanation.explain(game.trees, output, game.play(game.rows))
    except TreesRefusedError as refused:
        why = f"{game.why}; no look-up tables, because {refused.found}"
        if output == "margin" and _is_tree(game.estimator) and game.play(game.rows[:1]).ndim == 1:
            return _by_shap(game, why)
        return _by_walks(game, seed, why)
    why = f"its {output} is a sum over leaves that fit look-up tables, so its Shapley values are exact"
    return Answer(
        phi=_all_columns(game, answer.phi), base=answer.base, engine=tree_explanation.ENGINE, why=why, exact=True,
        check=answer.check,
    )  # fmt: skip


def _all_columns(game: Game, phi: Matrix) -> Matrix:
    """Return the attributions with zeros for the columns that a preparation drops."""
    return np.pad(phi, ((0, 0), (0, len(game.columns) - phi.shape[1]), *((0, 0),) * (phi.ndim - 2)))


def _by_quadrature(game: Game, form: Additive, margin: Callable[[Matrix], Matrix]) -> Answer:
    check = form.check(game.rows, game.background, margin)
    constant = float(form.constant)
    phi = logistic.values(form.parts, form.compared, constant)
    base = float(logistic.probability(constant + form.compared.sum(axis=1)).mean())
    gap = float(np.abs(phi.sum(axis=1) + base - game.play(game.rows)).max())
    if not gap <= logistic.TOLERANCE:
        raise UnavailableError(
            f"the attributions of the probability miss the model's output by {gap:.3g}",
            expected=f"at most {logistic.TOLERANCE:.3g}",
            next_step="report this model: its link was read wrongly, and nothing was recorded",
        )
    return Answer(
        phi=phi, base=base, engine=logistic.ENGINE, exact=True, check=f"of the margin, {check}",
        why="its probability is the logistic function of a sum over original columns, whose Shapley values are an integral",
    )  # fmt: skip


def _by_walks(game: Game, seed: int, why: str) -> Answer:
    control = _control(game)
    if control is not None:
        why += "; steadied by the exact attributions of the margin"
    ways = None
    if control is not None and game.trees is not None:
        ways = tree_walks.ways(game.trees, control.play, game.rows, game.background)
    found = sampled.attribute(game.play, game.rows, game.background, seed=seed, control=control, ways=ways)
    return Answer(phi=found.phi, base=found.base, engine=sampled.ENGINE, why=why, exact=False, error=found.error)


def _control(game: Game) -> sampled.Control | None:
    """Return the margins of boosted trees with their exact attributions, if the probability follows from them alone."""
    if game.trees is None or game.margin is None:
        return None
    made, wanted = game.margin(game.rows), game.play(game.rows)

    def link(related: Matrix) -> Matrix:
        told = links.probability(related)
        return told[:, -1] if told.ndim > wanted.ndim else told

    if not float(np.abs(link(made) - wanted).max()) <= LINKED:
        return None
    try:
        answer = tree_explanation.explain(game.trees, "margin", made)
    except TreesRefusedError:
        return None

    def slopes(related: Matrix, compared: Matrix) -> Matrix:
        told = links.slopes(related, compared)
        return told[:, -1:] if wanted.ndim == 1 else told

    return sampled.Control(play=game.margin, link=link, slopes=slopes, values=_all_columns(game, answer.phi))


def _by_shap(game: Game, why: str) -> Answer:
    state = np.random.get_state()  # noqa: NPY002  shap seeds the global generator; it gets its state back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shap and what it imports warn about each other
            import shap

            explainer = shap.TreeExplainer(game.estimator, game.background, feature_perturbation="interventional")
            found = explainer(game.rows, check_additivity=False)
    finally:
        np.random.set_state(state)  # noqa: NPY002  see above
    values = np.asarray(found.values, dtype=np.float64)
    base = float(np.mean(found.base_values))
    return Answer(phi=values, base=base, engine=f"shap.TreeExplainer {shap.__version__}", why=why, exact=True)


def _is_tree(estimator: Any) -> bool:
    return type(estimator).__name__ in (
        "HistGradientBoostingClassifier", "GradientBoostingClassifier", "XGBClassifier", "LGBMClassifier",
    )  # fmt: skip
