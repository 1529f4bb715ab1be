"""Which game an explanation plays: the players are original columns, as numbers, and an output is what they win together.

A pipeline is played on its original columns where each prepared column stems from one of them, and trees and sums over columns are
found behind the preparation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import additive, logistic, tree_boosters, tree_explanation
from ml_governance.assess.prepared import parents, prepared
from ml_governance.assess.tree_explanation import Trees
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.additive import Additive

    Matrix = NDArray[np.float64]

Output = Literal["probability", "margin"]


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
