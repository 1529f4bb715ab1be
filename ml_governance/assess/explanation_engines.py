"""The engines behind an explanation: which game is played, and by what its Shapley values are computed.

Trees whose output is a sum over leaves go to our own tables, outputs that are a sum over columns to their closed form, the
probability behind such a sum and a logistic link to quadrature, other trees to shap's exact explainer, everything else to permutation
walks, which the exact margin of boosted trees steadies; each answer says which, and why.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import additive, links, logistic, sampled, tree_boosters, tree_explanation, tree_walks
from ml_governance.assess.prepared import parents, prepared
from ml_governance.assess.tree_explanation import Trees
from ml_governance.assess.trees import TreesRefusedError
from ml_governance.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.additive import Additive

    Matrix = NDArray[np.float64]

Output = Literal["probability", "margin"]

LINKED = 1e-6
"""Largest gap between what the link makes of the margins and the probability that the model states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """The game whose Shapley values are wanted: players are original columns, as numbers.

    ``play`` returns one output for each row, or with ``every`` one for each of several classes. ``margin`` plays the margin of
    a game about a probability, of each class if there are more than two, and ``linked`` is that margin as a sum over columns.
    """

    columns: tuple[str, ...]
    rows: Matrix
    background: Matrix
    play: Callable[[Matrix], Matrix]
    why: str
    estimator: Any = None
    trees: Trees | None = None
    additive: Additive | None = None
    linked: Additive | None = None
    margin: Callable[[Matrix], Matrix] | None = None


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


def original_game(
    model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output, *, every: bool = False
) -> Game:
    """Return the game on the original columns, whatever the model makes of them inside; text is coded.

    Raises
    ------
    DataError
        If a column that the model takes is not there, or it has no such output.
    """
    rows, background = _taken(model, rows, background)
    found = _as_numbers(model, rows, background, output, every=every)
    return found or _coded(model, rows, background, output, every=every)


def _taken(model: Any, rows: pd.DataFrame, background: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the columns that the model takes, in its order."""
    wanted = getattr(model, "feature_names_in_", None)
    columns = [str(name) for name in (wanted if wanted is not None else rows.columns)]
    absent = [name for name in columns if name not in rows.columns or name not in background.columns]
    if absent:
        raise DataError(
            f"the rows or the background lack {', '.join(absent)}",
            expected="every column that the model takes",
        )
    return rows[columns], background[columns]


def classes_of(model: Any) -> tuple[str, ...]:
    """Return the names of a classifier's classes if there are more than two; else none."""
    last = getattr(model, "steps", [("", model)])[-1][1]
    names = getattr(last, "classes_", None)
    return tuple(str(one) for one in names) if names is not None and len(names) > 2 else ()


def game_of(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output, *, every: bool = False) -> Game:
    """Return the game that a model plays on its original columns, with rows and background as numbers.

    Parameters
    ----------
    model, rows, background, output
        As :func:`ml_governance.assess.explanation.assess_explanation`.
    every : bool, default False
        Whether the outputs of all of several classes are wanted; else that of the last.
    """
    rows, background = _taken(model, rows, background)
    columns = tuple(str(name) for name in rows.columns)
    form = additive.read(model, rows, background, output, every=every)
    if form is not None:
        return replace(original_game(model, rows, background, output, every=every), additive=form)
    if output == "probability" and additive.logistic(model):
        linked = additive.read(model, rows, background, "margin")
        if linked is not None and logistic.fits(linked.parts, linked.compared, float(linked.constant)):
            return replace(original_game(model, rows, background, output), linked=linked)
    steps = getattr(model, "steps", None)
    if steps and len(steps) > 1 and _one_to_one(model[:-1], columns):
        last = steps[-1][1]
        order = [_bare(name) for name in model[:-1].get_feature_names_out()]
        table, compared = _numbers(prepared(model, rows)), _numbers(prepared(model, background))
        margin = _margin(last, output)
        return Game(
            columns=tuple(order),
            rows=table,
            background=compared,
            play=_named(last, _player(last, output, every=every)),
            margin=None if margin is None else _named(last, margin),
            why="each original column is one column of the prepared table, so the last step is explained on that",
            estimator=last,
            trees=_trees(last, table, compared, range(len(order))),
        )
    return original_game(model, rows, background, output, every=every)


def _as_numbers(
    model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output, *, every: bool
) -> Game | None:
    """Return the game on the columns as they are, or None if some are no numbers."""
    if any(
        getattr(kind, "kind", "O") not in "fiub" or str(kind) == "category"
        for kind in (*rows.dtypes, *background.dtypes)
    ):
        return None
    named = getattr(model, "feature_names_in_", None) is not None
    table, compared = rows.to_numpy(dtype=np.float64), background.to_numpy(dtype=np.float64)

    def taken(predict: Callable[[Any], Matrix]) -> Callable[[Matrix], Matrix]:
        return lambda matrix: predict(_framed(matrix, rows) if named else matrix)

    margin = _margin(model, output)
    grouped = _grouped(model, rows, background)
    return Game(
        columns=tuple(str(name) for name in rows.columns),
        rows=table,
        background=compared,
        play=taken(_player(model, output, every=every)),
        margin=None if margin is None else taken(margin),
        why="the model takes these columns as numbers",
        estimator=None if named else model,
        trees=grouped or _trees(model, table, compared, range(rows.shape[1])),
    )


def _coded(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output, *, every: bool) -> Game:
    """Make text columns into codes for shap, and back into text for the model."""
    import pandas as pd

    together = pd.concat([rows, background], ignore_index=True)
    coded, categories = {}, {}
    for name in together.columns:
        series = together[name]
        if pd.api.types.is_numeric_dtype(series.dtype):
            coded[name] = series.to_numpy(dtype=np.float64)
        else:
            own, found = pd.factorize(series, use_na_sentinel=False)
            coded[name], categories[name] = own.astype(np.float64), found
    matrix = np.column_stack(list(coded.values()))
    dtypes = {name: rows[name].dtype for name in rows.columns}

    def decoded(numbers: Matrix) -> pd.DataFrame:
        columns = {}
        for position, name in enumerate(dtypes):
            values = numbers[:, position]
            if name in categories:
                columns[name] = pd.Series(categories[name].take(values.astype(np.intp)), dtype=dtypes[name])
            else:
                columns[name] = pd.Series(values).astype(dtypes[name])
        return pd.DataFrame(columns)

    predict, margin = _player(model, output, every=every), _margin(model, output)
    return Game(
        columns=tuple(str(name) for name in rows.columns),
        rows=matrix[: len(rows)],
        background=matrix[len(rows) :],
        play=lambda numbers: predict(decoded(numbers)),
        margin=None if margin is None else lambda numbers: margin(decoded(numbers)),
        why="the model takes text columns, so only its predictions are used",
        trees=_grouped(model, rows, background),
    )


def _grouped(model: Any, rows: pd.DataFrame, background: pd.DataFrame) -> Trees | None:
    """Return the trees behind a preparation that makes each of its columns of one original column."""
    steps = getattr(model, "steps", None)
    if not steps or len(steps) < 2 or not tree_explanation.knows(steps[-1][1]):
        return None
    players = parents(model[:-1], [str(name) for name in rows.columns])
    if players is None:
        return None
    named = getattr(model, "feature_names_in_", None) is not None
    table, compared = (_numbers(prepared(model, one if named else one.to_numpy())) for one in (rows, background))
    return _trees(steps[-1][1], table, compared, players) if table.shape[1] == len(players) else None


def _trees(estimator: Any, rows: Matrix, background: Matrix, players: Sequence[int]) -> Trees | None:
    if not tree_explanation.knows(estimator):
        return None
    return Trees(estimator=estimator, rows=rows, background=background, players=tuple(players))


def _named(last: Any, play: Callable[[Any], Matrix]) -> Callable[[Matrix], Matrix]:
    """Return what plays rows with the names that the last step of a pipeline knows its columns by, if it does."""
    names = getattr(last, "feature_names_in_", None)
    if names is None:
        return play
    import pandas as pd

    return lambda matrix: play(pd.DataFrame(matrix, columns=names))


def _framed(matrix: Matrix, like: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(matrix, columns=like.columns)


def _numbers(matrix: Any) -> Matrix:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def _bare(name: str) -> str:
    return str(name).split("__", 1)[-1]


def _one_to_one(prepare: Any, columns: Sequence[str]) -> bool:
    """Tell whether a preparation makes exactly one column of each original column."""
    try:
        names = [_bare(name) for name in prepare.get_feature_names_out()]
    except (AttributeError, ValueError):
        return False
    return sorted(names) == sorted(columns)


def _player(model: Any, output: Output, *, every: bool = False) -> Callable[[Any], Matrix]:
    asked = _asked(model, output)
    classes = len(classes_of(model))

    def play(table: Any) -> Matrix:
        made = np.asarray(asked(table), dtype=np.float64)
        if every and made.shape != (len(made), classes):
            raise DataError(
                f"the {output} of {len(made)} rows has the shape {made.shape}",
                expected=f"one for each of {classes} classes",
            )
        return made if every or made.ndim == 1 else made[:, -1]

    return play


def _asked(model: Any, output: Output) -> Callable[[Any], Any]:
    last = getattr(model, "steps", [("", model)])[-1][1]
    if output == "margin" and tree_boosters.knows(last):
        return lambda table: tree_boosters.margin(last, table if last is model else prepared(model, table))
    if output == "margin" and hasattr(model, "decision_function"):
        asked: Callable[[Any], Any] = model.decision_function
        return asked
    if output == "probability" and hasattr(model, "predict_proba"):
        told: Callable[[Any], Any] = model.predict_proba
        return told
    if output == "margin":
        raise DataError(
            f"a {type(model).__name__} has no margin",
            expected="decision_function",
            next_step="output='probability'",
        )
    return lambda table: np.asarray(model.predict(table)).reshape(len(table))


def _margin(model: Any, output: Output) -> Callable[[Any], Matrix] | None:
    """Return what plays the margins of a classifier whose probability is wanted, if there are: one for two classes, else one for each."""
    last = getattr(model, "steps", [("", model)])[-1][1]
    classes = len(getattr(last, "classes_", ()))
    if output != "probability" or classes < 2:
        return None
    try:
        return _player(model, "margin", every=classes > 2)
    except DataError:
        return None


# --- attributions -------------------------------------------------------------------------------------


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
