"""What drives a model's output: Shapley values through shap, on the original columns, with checks.

The engine follows from the model and the output, and the report says which and why:

- trees whose output is a sum over leaves, which is the ``margin`` of boosted trees and the ``probability`` of forests: our
  own look-up tables, exact, checked against the model on all rows and against shap on a few;
- a linear model on numbers, output ``margin``: shap's linear explainer, exact;
- trees that the tables refuse, output ``margin``: shap's tree explainer against the background, exact;
- everything else: antithetic permutation sampling. It is additive by construction and treats each original column as
  one player, whatever the model makes of it inside.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ml_governance.assess import sensitive, tree_boosters, tree_explanation
from ml_governance.assess.prepared import parents
from ml_governance.assess.report import Report, digest_of
from ml_governance.assess.tree_explanation import Trees
from ml_governance.assess.trees import TreesRefusedError
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Explanation, Measurement, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

Output = Literal["probability", "margin"]
TOP = 5
REPLICATES = 1000


@dataclass(frozen=True, kw_only=True, repr=False)
class ExplanationReport(Report):
    """Attributions and what follows from them.

    Parameters
    ----------
    values : array of float64, shape (rows, columns), or None
        Attribution of each original column for each explained row; None in a report read from a ledger.
    base : float
        Mean output over the background.
    """

    kind: ClassVar[str] = "explanation"
    content: ClassVar[type[Assessment]] = Explanation

    values: Matrix | None = field(default=None)
    base: float = math.nan

    @property
    def importance(self) -> pd.DataFrame:
        """Mean absolute attribution by column with its interval, largest first."""
        import pandas as pd

        return pd.DataFrame(self.details["importance"]).set_index("column")

    @property
    def by_group(self) -> pd.DataFrame:
        """Mean signed attribution by column (columns) and group (rows)."""
        import pandas as pd

        rows = {tuple(entry["by"] + entry["group"]): entry["mean"] for entry in self.details["by_group"]}
        return pd.DataFrame(rows).T

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """Read :meth:`Report.to_dict`; the single attributions are not part of it."""
        return cls(
            measurements=tuple(Measurement.model_validate(entry) for entry in value["measurements"]),
            details=value["details"],
            columns=value["columns"],
            confidence=value["confidence"],
            min_group_size=value["minGroupSize"],
            seed=value["seed"],
            base=value["details"]["base"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Game:
    """The game whose Shapley values are wanted: players are original columns, as numbers."""

    columns: tuple[str, ...]
    rows: Matrix
    background: Matrix
    play: Callable[[Matrix], Matrix]
    why: str
    estimator: Any = None
    trees: Trees | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    phi: Matrix
    base: float
    engine: str
    why: str
    check: str | None = None


def assess_explanation(
    model: Any,
    *,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    sensitive_features: Any = None,
    output: Output = "probability",
    max_rows: int = 150,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
) -> ExplanationReport:
    """Attribute a model's output to its original columns.

    Parameters
    ----------
    model : object
        With ``predict_proba``, or ``decision_function`` for the margin, or ``predict`` as a last resort.
    rows : DataFrame of shape (n, columns)
        Rows to explain, with the columns that the model takes.
    background : DataFrame
        Rows to compare with; the fewer, the faster and the noisier.
    sensitive_features : data frame, column or dict of columns, optional
        Groups of ``rows`` whose mean attributions are compared.
    output : {'probability', 'margin'}
        Which output is explained.
    max_rows : int, default 150
        At most so many rows, drawn at random, are explained.
    confidence : float in (0, 1), default 0.95
        Level of the bootstrap intervals over rows.
    min_group_size : int, default 30
        Smaller groups are left out of the group means.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    ExplanationReport

    Raises
    ------
    DataError
        If the tables do not fit the model, or an attribution is not finite.
    """
    intervals.quantile(confidence, "two-sided")
    if len(rows) == 0 or len(background) == 0:
        raise DataError("there is nothing to explain, or nothing to compare with", expected="rows and background rows")
    generator = np.random.default_rng(seed)
    pick = np.sort(generator.choice(len(rows), size=min(max_rows, len(rows)), replace=False))
    chosen = rows.iloc[pick].reset_index(drop=True)
    game = _game(model, chosen, background, output)
    answer = _attribute(game, output, seed)
    if not (np.isfinite(answer.phi).all() and math.isfinite(answer.base)):
        raise DataError(
            "some attributions are not finite",
            expected="finite numbers",
            next_step="look for NaN in the model's output",
        )
    error = float(np.abs(game.play(game.rows) - answer.base - answer.phi.sum(axis=1)).max())
    groups = _groups(sensitive_features, pick, len(rows))
    report = _report(game, answer, error, groups, output, confidence, min_group_size, seed)

    def source() -> Resource:
        columns = dict(zip(game.columns, game.rows.T, strict=True))
        return digest_of("rows that the explanation used", **columns)

    return replace(report, source=source)


def _report(
    game: _Game,
    answer: _Answer,
    error: float,
    groups: dict[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    output: Output,
    confidence: float,
    min_group_size: int,
    seed: int,
) -> ExplanationReport:
    values, base = answer.phi, answer.base
    importance, stability = _importance(game.columns, values, confidence, seed)
    total = sum(entry["mean_abs"] for entry in importance)
    protected = sum(entry["mean_abs"] for entry in importance if entry["column"] in groups)
    n = len(values)
    measurements = (
        Measurement(metric="additivity_error", value=error, n=n, status="ok"),
        Measurement(metric="rank_stability", value=stability, n=n, status="ok"),
        Measurement(metric="protected_share", value=protected / total, n=n, status="ok")
        if total > 0
        else Measurement(metric="protected_share", n=n, status="undefined", reason="no column has any influence"),
    )
    return ExplanationReport(
        measurements=measurements,
        details={
            "engine": answer.engine,
            "why": answer.why,
            **({} if answer.check is None else {"check": answer.check}),
            "output": output,
            "base": round(base, 9),
            "rows": n,
            "background": len(game.background),
            "importance": importance,
            "by_group": _group_means(game.columns, values, groups, min_group_size),
        },
        columns={"sensitive_features": list(groups)},
        confidence=confidence,
        min_group_size=min_group_size,
        seed=seed,
        values=values,
        base=base,
    )


# --- the game -----------------------------------------------------------------------------------------


def _game(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> _Game:
    wanted = getattr(model, "feature_names_in_", None)
    columns = tuple(str(name) for name in (wanted if wanted is not None else rows.columns))
    absent = [name for name in columns if name not in rows.columns or name not in background.columns]
    if absent:
        raise DataError(
            f"the rows or the background lack {', '.join(absent)}",
            expected="every column that the model takes",
        )
    rows, background = rows[list(columns)], background[list(columns)]
    steps = getattr(model, "steps", None)
    if steps and len(steps) > 1 and _one_to_one(model[:-1], columns):
        prepare, last = model[:-1], steps[-1][1]
        order = [_bare(name) for name in prepare.get_feature_names_out()]
        table, compared = _numbers(prepare.transform(rows)), _numbers(prepare.transform(background))
        return _Game(
            columns=tuple(order),
            rows=table,
            background=compared,
            play=_player(last, output),
            why="each original column is one column of the prepared table, so the last step is explained on that",
            estimator=last,
            trees=_trees(last, table, compared, range(len(order))),
        )
    if all(kind.kind in "fiub" for kind in (*rows.dtypes, *background.dtypes) if hasattr(kind, "kind")) and not any(
        str(kind) in ("category", "object", "str", "string") for kind in rows.dtypes
    ):
        predict = _player(model, output)
        table, compared = rows.to_numpy(dtype=np.float64), background.to_numpy(dtype=np.float64)
        grouped = _grouped(model, rows, background)
        return _Game(
            columns=columns,
            rows=table,
            background=compared,
            play=lambda matrix: predict(matrix if wanted is None else _framed(matrix, rows)),
            why="the model takes these columns as numbers",
            estimator=model if wanted is None else None,
            trees=grouped or _trees(model, table, compared, range(len(columns))),
        )
    return _coded(model, rows, background, output)


def _coded(model: Any, rows: pd.DataFrame, background: pd.DataFrame, output: Output) -> _Game:
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
    return _Game(
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
    if not steps or len(steps) != 2 or not tree_explanation.knows(steps[1][1]):
        return None
    prepare, last = steps[0][1], steps[1][1]
    players = parents(prepare, [str(name) for name in rows.columns])
    if players is None:
        return None
    return _trees(last, _numbers(prepare.transform(rows)), _numbers(prepare.transform(background)), players)


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


def _attribute(game: _Game, output: Output, seed: int) -> _Answer:
    if game.trees is None:
        return _by_shap(game, output, seed, game.why)
    try:
        answer = tree_explanation.explain(game.trees, output, game.play(game.rows))
    except TreesRefusedError as refused:
        return _by_shap(game, output, seed, f"{game.why}; no look-up tables, because {refused.found}")
    values = np.pad(answer.phi, ((0, 0), (0, len(game.columns) - answer.phi.shape[1])))  # dropped columns
    why = f"its {output} is a sum over leaves that fit look-up tables, so its Shapley values are exact"
    return _Answer(phi=values, base=answer.base, engine=tree_explanation.ENGINE, why=why, check=answer.check)


def _by_shap(game: _Game, output: Output, seed: int, why: str) -> _Answer:
    state = np.random.get_state()  # noqa: NPY002  shap seeds the global generator; it gets its state back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # shap and what it imports warn about each other
            import shap

            masker = shap.maskers.Independent(game.background, max_samples=len(game.background))
            if output == "margin" and hasattr(game.estimator, "coef_"):
                found = shap.LinearExplainer(game.estimator, masker)(game.rows)
                engine = "shap.LinearExplainer"
            elif output == "margin" and _is_tree(game.estimator):
                explainer = shap.TreeExplainer(game.estimator, game.background, feature_perturbation="interventional")
                found = explainer(game.rows, check_additivity=False)
                engine = "shap.TreeExplainer"
            else:
                explainer = shap.PermutationExplainer(game.play, masker, seed=seed)
                found = explainer(game.rows, max_evals=2 * game.rows.shape[1] + 1, silent=True)
                engine = "shap.PermutationExplainer"
    finally:
        np.random.set_state(state)  # noqa: NPY002  see above
    values = np.asarray(found.values, dtype=np.float64)
    base = float(np.mean(found.base_values))
    return _Answer(phi=values, base=base, engine=f"{engine} {shap.__version__}", why=why)


def _is_tree(estimator: Any) -> bool:
    return type(estimator).__name__ in (
        "HistGradientBoostingClassifier", "GradientBoostingClassifier", "XGBClassifier", "LGBMClassifier",
    )  # fmt: skip


def _importance(
    columns: Sequence[str], values: Matrix, confidence: float, seed: int
) -> tuple[list[dict[str, Any]], float]:
    """Return mean |attribution| with bootstrap intervals over rows, and how often the top set stays the same."""
    absolute = np.abs(values)
    mean = absolute.mean(axis=0)
    n = len(values)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=REPLICATES) @ absolute / n
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
    top = min(TOP, len(columns))
    settled = set(np.argsort(-mean, kind="stable")[:top].tolist())
    stays = [set(row.tolist()) == settled for row in np.argsort(-draws, axis=1, kind="stable")[:, :top]]
    order = np.argsort(-mean, kind="stable")
    listed = [
        {
            "column": columns[index],
            "mean_abs": round(float(mean[index]), 9),
            "lower": round(float(lower[index]), 9),
            "upper": round(float(upper[index]), 9),
        }
        for index in order
    ]
    return listed, float(np.mean(stays))


def _groups(
    sensitive_features: Any, pick: NDArray[np.intp], rows: int
) -> dict[str, tuple[NDArray[np.intp], tuple[str, ...]]]:
    if sensitive_features is None:
        return {}
    found = {}
    for name, (own, levels) in sensitive.read(sensitive_features, rows).items():
        found[name] = (own[pick], levels)
    return found


def _group_means(
    columns: Sequence[str],
    values: Matrix,
    groups: dict[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    min_group_size: int,
) -> list[dict[str, Any]]:
    made = []
    for name, (own, levels) in groups.items():
        for index, level in enumerate(levels):
            rows = own == index
            n = int(rows.sum())
            if n >= min_group_size:
                means = values[rows].mean(axis=0)
                made.append(
                    {
                        "by": [name],
                        "group": [level],
                        "n": n,
                        "mean": {c: round(float(v), 9) for c, v in zip(columns, means, strict=True)},
                    }
                )
    return made
