"""The engines behind an explanation: which game is played, and by what its Shapley values are computed.

Trees whose output is a sum over leaves go to our own tables, outputs that are a sum over columns to their closed form, other
trees to shap's exact explainer, everything else to permutation sampling; each answer says which, and why.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import additive, tree_boosters, tree_explanation
from ml_governance.assess.prepared import parents
from ml_governance.assess.tree_explanation import Trees
from ml_governance.assess.trees import TreesRefusedError
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.additive import Additive

    Matrix = NDArray[np.float64]

Output = Literal["probability", "margin"]
BATCH = 64
"""Coalitions of which the model is asked at once, each beside the whole background; results do not depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """The game whose Shapley values are wanted: players are original columns, as numbers."""

    columns: tuple[str, ...]
    rows: Matrix
    background: Matrix
    play: Callable[[Matrix], Matrix]
    why: str
    estimator: Any = None
    trees: Trees | None = None
    additive: Additive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Attributions by row and column, the mean output over the background, and what computed them."""

    phi: Matrix
    base: float
    engine: str
    why: str
    exact: bool
    check: str | None = None


def original_game(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> Game:
    """Return the game on the original columns, whatever the model makes of them inside; text is coded.

    Raises
    ------
    DataError
        If a column that the model takes is not there, or it has no such output.
    """
    rows, background = _taken(model, rows, background)
    return _as_numbers(model, rows, background, output) or _coded(model, rows, background, output)


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


def game_of(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> Game:
    """Return the game that a model plays on its original columns, with rows and background as numbers."""
    rows, background = _taken(model, rows, background)
    columns = tuple(str(name) for name in rows.columns)
    form = additive.read(model, rows, background, output)
    if form is not None:
        return replace(original_game(model, rows, background, output), additive=form)
    steps = getattr(model, "steps", None)
    if steps and len(steps) > 1 and _one_to_one(model[:-1], columns):
        prepare, last = model[:-1], steps[-1][1]
        order = [_bare(name) for name in prepare.get_feature_names_out()]
        table, compared = _numbers(prepare.transform(rows)), _numbers(prepare.transform(background))
        return Game(
            columns=tuple(order),
            rows=table,
            background=compared,
            play=_player(last, output),
            why="each original column is one column of the prepared table, so the last step is explained on that",
            estimator=last,
            trees=_trees(last, table, compared, range(len(order))),
        )
    return original_game(model, rows, background, output)


def _as_numbers(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> Game | None:
    """Return the game on the columns as they are, or None if some are no numbers."""
    if any(
        getattr(kind, "kind", "O") not in "fiub" or str(kind) == "category"
        for kind in (*rows.dtypes, *background.dtypes)
    ):
        return None
    predict = _player(model, output)
    named = getattr(model, "feature_names_in_", None) is not None
    table, compared = rows.to_numpy(dtype=np.float64), background.to_numpy(dtype=np.float64)
    grouped = _grouped(model, rows, background)
    return Game(
        columns=tuple(str(name) for name in rows.columns),
        rows=table,
        background=compared,
        play=lambda matrix: predict(_framed(matrix, rows) if named else matrix),
        why="the model takes these columns as numbers",
        estimator=None if named else model,
        trees=grouped or _trees(model, table, compared, range(rows.shape[1])),
    )


def _coded(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> Game:
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

    predict = _player(model, output)
    return Game(
        columns=tuple(str(name) for name in rows.columns),
        rows=matrix[: len(rows)],
        background=matrix[len(rows) :],
        play=lambda numbers: predict(decoded(numbers)),
        why="the model takes text columns, so only its predictions are used",
        trees=_grouped(model, rows, background),
    )


def _grouped(model: Any, rows: pd.DataFrame, background: pd.DataFrame) -> Trees | None:
    """Return the trees behind a preparation that makes each of its columns of one original column."""
    steps = getattr(model, "steps", None)
    if not steps or len(steps) < 2 or not tree_explanation.knows(steps[-1][1]):
        return None
    prepare = model[:-1]
    players = parents(prepare, [str(name) for name in rows.columns])
    if players is None:
        return None
    named = getattr(model, "feature_names_in_", None) is not None
    table, compared = (_numbers(prepare.transform(one if named else one.to_numpy())) for one in (rows, background))
    return _trees(steps[-1][1], table, compared, players) if table.shape[1] == len(players) else None


def _trees(estimator: Any, rows: Matrix, background: Matrix, players: Sequence[int]) -> Trees | None:
    if not tree_explanation.knows(estimator):
        return None
    return Trees(estimator=estimator, rows=rows, background=background, players=tuple(players))


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


def _player(model: Any, output: Output) -> Callable[[Any], Matrix]:
    last = getattr(model, "steps", [("", model)])[-1][1]
    if output == "margin" and tree_boosters.knows(last):
        prepare = model[:-1] if last is not model else None
        return lambda table: tree_boosters.margin(last, table if prepare is None else prepare.transform(table))
    if output == "margin" and hasattr(model, "decision_function"):
        return lambda table: _last(np.asarray(model.decision_function(table), dtype=np.float64))
    if output == "probability" and hasattr(model, "predict_proba"):
        return lambda table: np.asarray(model.predict_proba(table), dtype=np.float64)[:, -1]
    if output == "margin":
        raise DataError(
            f"a {type(model).__name__} has no margin",
            expected="decision_function",
            next_step="output='probability'",
        )
    return lambda table: np.asarray(model.predict(table), dtype=np.float64).reshape(len(table))


def _last(made: Matrix) -> Matrix:
    """Return the output of the last class where there are several."""
    return made if made.ndim == 1 else made[:, -1]


# --- attributions -------------------------------------------------------------------------------------


def attribute(game: Game, output: Output, seed: int) -> Answer:
    """Return the Shapley values of a game, by the exactest engine that can hold it."""
    if game.additive is not None:
        return Answer(
            phi=game.additive.values(), base=game.additive.base, engine=additive.ENGINE, exact=True,
            why="its output is a sum over original columns, so its Shapley values have a closed form",
            check=game.additive.check(game.rows, game.background, game.play),
        )  # fmt: skip
    if game.trees is None:
        return _by_shap(game, output, seed, game.why)
    try:
        answer = tree_explanation.explain(game.trees, output, game.play(game.rows))
    except TreesRefusedError as refused:
        return _by_shap(game, output, seed, f"{game.why}; no look-up tables, because {refused.found}")
    values = np.pad(answer.phi, ((0, 0), (0, len(game.columns) - answer.phi.shape[1])))  # dropped columns
    why = f"its {output} is a sum over leaves that fit look-up tables, so its Shapley values are exact"
    return Answer(phi=values, base=answer.base, engine=tree_explanation.ENGINE, why=why, exact=True, check=answer.check)


def _by_shap(game: Game, output: Output, seed: int, why: str) -> Answer:
    state = np.random.get_state()  # noqa: NPY002  shap seeds the global generator; it gets its state back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shap and what it imports warn about each other
            import shap

            masker = shap.maskers.Independent(game.background, max_samples=len(game.background))
            exact = False
            if output == "margin" and _is_tree(game.estimator):
                explainer = shap.TreeExplainer(game.estimator, game.background, feature_perturbation="interventional")
                found = explainer(game.rows, check_additivity=False)
                engine, exact = "shap.TreeExplainer", True
            else:
                explainer = shap.PermutationExplainer(game.play, masker, seed=seed)
                found = explainer(game.rows, max_evals=2 * game.rows.shape[1] + 1, batch_size=BATCH, silent=True)
                engine = "shap.PermutationExplainer"
    finally:
        np.random.set_state(state)  # noqa: NPY002  see above
    values = np.asarray(found.values, dtype=np.float64)
    base = float(np.mean(found.base_values))
    return Answer(phi=values, base=base, engine=f"{engine} {shap.__version__}", why=why, exact=exact)


def _is_tree(estimator: Any) -> bool:
    return type(estimator).__name__ in (
        "HistGradientBoostingClassifier", "GradientBoostingClassifier", "XGBClassifier", "LGBMClassifier",
    )  # fmt: skip
