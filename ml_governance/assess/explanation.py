"""What drives a model's output: Shapley values on the original columns, exact where they can be, with checks.

The engine follows from the model and the output, and the report says which and why:

- trees whose output is a sum over leaves, which is the ``margin`` of boosted trees and the ``probability`` of forests: our
  own look-up tables, exact, checked against the model on all rows and against shap on a few;
- linear models, also behind preparations that work on each column alone, output ``margin``, or the prediction of a regressor
  with the identity link: their closed form, exact, checked against the model on all rows and column by column on a few;
- the ``probability`` of a logistic regression behind such preparations: quadrature, exact to rounding, checked the same way;
- trees that the tables refuse, output ``margin``: shap's tree explainer against the background, exact;
- everything else: antithetic permutation walks, with a standard error for every attribution. They are additive by construction and treat
  each original column as one player, whatever the model makes of it inside. The exact margin steadies the probability of boosted trees.

Of several classes each has its own attributions; the importance of a column is the mean over classes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ml_governance.assess import column_ranking, explanation_parts, gaps, sensitive
from ml_governance.assess.explanation_engines import Answer, attribute
from ml_governance.assess.explanation_game import Game, Output, classes_of, game_of
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Explanation, Measurement, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

TOP = 5
REPLICATES = 1000


@dataclass(frozen=True, kw_only=True, repr=False)
class ExplanationReport(Report):
    """Attributions and what follows from them.

    Parameters
    ----------
    values : array of float64, shape (rows, columns) or (rows, columns, classes), or None
        Attribution of each original column for each explained row; None in a report read from a ledger.
    base : float, or array of float64, shape (classes,)
        Mean output over the background.
    errors : array of float64, shaped as ``values``, or None
        Standard errors of attributions that are sampled.
    table : DataFrame or None
        The explained rows, with their labels and the columns in the order of the attributions; None as ``values``.
    """

    kind: ClassVar[str] = "explanation"
    content: ClassVar[type[Assessment]] = Explanation

    values: Matrix | None = field(default=None)
    errors: Matrix | None = field(default=None, compare=False)
    base: float | Matrix = math.nan
    table: pd.DataFrame | None = field(default=None, compare=False)

    @property
    def importance(self) -> pd.DataFrame:
        """Mean absolute attribution by column with its interval, largest first."""
        import pandas as pd

        return pd.DataFrame(self.details["importance"]).set_index("column")

    @property
    def importance_by_class(self) -> pd.DataFrame:
        """Mean absolute attribution by class and column with its interval; empty unless there are several classes."""
        import pandas as pd

        columns = ["class", "column", "mean_abs", "lower", "upper"]
        return pd.DataFrame(self.details.get("importance_by_class", []), columns=columns).set_index(["class", "column"])

    @property
    def by_group(self) -> pd.DataFrame:
        """Mean signed attribution by column (columns) and group (rows), and class where there are several."""
        import pandas as pd

        rows = {
            (*entry["by"], *entry["group"], *([entry["class"]] if "class" in entry else [])): entry["mean"]
            for entry in self.details["by_group"]
        }
        return pd.DataFrame(rows).T

    @property
    def gaps(self) -> pd.DataFrame:
        """Each group's gap in mean output to the reference, as one row for each column: part, lower, upper, p_value.

        The parts of a group sum to its gap; see :mod:`ml_governance.assess.gaps`. Of several classes each has its own, named
        by ``class``.
        """
        import pandas as pd

        named = ["class"] if "classes" in self.details else []
        return pd.DataFrame([
            {
                **{name: entry[name] for name in named}, "by": entry["by"][0], "group": entry["group"][0],
                "reference": entry["reference"][0], "gap": entry["gap"],
                "column": part["column"], "part": part["value"], "lower": part.get("lower"), "upper": part.get("upper"),
                "p_value": part.get("p_value"),
            }
            for entry in self.details["gaps"] for part in entry["parts"]
        ], columns=[*named, "by", "group", "reference", "gap", "column", "part", "lower", "upper", "p_value"])  # fmt: skip

    @classmethod
    def from_dict(cls, value: dict[str, Any], **more: Any) -> Self:
        """Read :meth:`Report.to_dict`; the single attributions are not part of it."""
        base = value["details"]["base"]
        return super().from_dict(value, base=np.array(base) if isinstance(base, list) else base, **more)


def assess_explanation(
    model: Any,
    *,
    rows: Any,
    background: pd.DataFrame,
    sensitive_features: Any = None,
    reference: Mapping[str, str] | None = None,
    output: Output = "probability",
    max_rows: int = 150,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
    top: int = 0,
) -> ExplanationReport:
    """Attribute a model's output to its original columns.

    Parameters
    ----------
    model : object
        With ``predict_proba``, or ``decision_function`` for the margin, or ``predict`` as a last resort. With more than two
        ``classes_``, each class is explained.
    rows : DataFrame of shape (n, columns)
        Rows to explain, with the columns that the model takes. Or a PySpark data frame, or a path or pattern of Parquet files:
        then every row is explained where it lies, and only sums and a sample of ``max_rows`` come back.
    background : DataFrame
        Rows to compare with; the fewer, the faster and the noisier.
    sensitive_features : data frame, column or dict of columns, optional
        Groups of ``rows`` whose mean attributions are compared. Of rows elsewhere: names of their columns.
    reference : mapping of str to str, optional
        By sensitive column: the group that gaps are measured from; default is the one with the most rows.
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
    top : int, default 0
        If 1 or more, columns are also ranked over all rows until so many are settled, as :func:`ml_governance.rank_columns` does, and
        the details hold it as ``ranking``. This takes an exact engine, and one output.

    Returns
    -------
    ExplanationReport

    Raises
    ------
    DataError
        If the tables do not fit the model, or an attribution is not finite.
    """
    intervals.quantile(confidence, "two-sided")
    if explanation_parts.is_elsewhere(rows):
        return _elsewhere(
            model, rows, background, sensitive_features, reference=reference or {}, output=output, few=max_rows,
            confidence=confidence, min_group_size=min_group_size, seed=seed, top=top,
        )  # fmt: skip
    classes = classes_of(model)
    if top and classes:
        raise DataError("several classes have no one ranking", expected="top=0", next_step="importance_by_class")
    if len(rows) == 0 or len(background) == 0:
        raise DataError("there is nothing to explain, or nothing to compare with", expected="rows and background rows")
    generator = np.random.default_rng(seed)
    pick = np.sort(generator.choice(len(rows), size=min(max_rows, len(rows)), replace=False))
    chosen = rows.iloc[pick].reset_index(drop=True)
    game = game_of(model, chosen, background, output, every=bool(classes))
    answer = attribute(game, output, seed)
    if not (np.isfinite(answer.phi).all() and np.isfinite(answer.base).all()):
        raise DataError(
            "some attributions are not finite",
            expected="finite numbers",
            next_step="look for NaN in the model's output",
        )
    outputs = game.play(game.rows)
    groups = _groups(sensitive_features, pick, len(rows))
    error = float(np.abs(outputs - answer.base - answer.phi.sum(axis=1)).max())
    report = _report(game, answer, error, groups, output, confidence, min_group_size, seed)
    by_group, split = [], []
    for named, phi, made in _of_each(classes, answer.phi, outputs):
        by_group += [{**named, **one} for one in _group_means(game.columns, phi, groups, min_group_size)]
        split += [
            {**named, **one}
            for one in gaps.decompose(
                game.columns, phi, made, groups, reference=reference or {}, confidence=confidence,
                min_group_size=min_group_size, seed=seed,
            )
        ]  # fmt: skip
    report.details.update(by_group=by_group, gaps=split)
    if len(pick) < len(rows):
        report.details["drawn_from"] = len(rows)
    if top:
        found = column_ranking.rank_columns(
            model, rows=rows, background=background, output=output, top=top, confidence=confidence, seed=seed
        )
        report.details["ranking"] = asdict(found) | {"ranked": [asdict(one) for one in found.ranked]}
    if classes:
        report.details.update(classes=list(classes), importance_by_class=[
            {**named, **one}
            for named, phi, _ in _of_each(classes, answer.phi, outputs)
            for one in _importance(game.columns, np.abs(phi), confidence, seed)[0]
        ])  # fmt: skip

    def source() -> Resource:
        columns = dict(zip(game.columns, game.rows.T, strict=True))
        return digest_of("rows that the explanation used", **columns)

    return replace(report, source=source, table=rows.iloc[pick][list(game.columns)])


def _elsewhere(
    model: Any, rows: Any, background: pd.DataFrame, sensitive_features: Any, *, top: int, **options: Any
) -> ExplanationReport:
    from ml_governance.assess import explanation_elsewhere

    names = [sensitive_features] if isinstance(sensitive_features, str) else list(sensitive_features or ())
    if not all(isinstance(name, str) for name in names) or top or len(background) == 0:
        raise DataError(
            "rows that lie elsewhere come with columns of their own, and every one of them is explained",
            expected="sensitive_features as names of columns of the rows, top=0, and background rows",
        )
    return explanation_elsewhere.assess(model, rows=rows, background=background, groups=names, **options)


def _report(
    game: Game,
    answer: Answer,
    error: float,
    groups: dict[str, tuple[NDArray[np.intp], tuple[str, ...]]],
    output: Output,
    confidence: float,
    min_group_size: int,
    seed: int,
) -> ExplanationReport:
    values = answer.phi
    base = float(answer.base) if np.ndim(answer.base) == 0 else np.asarray(answer.base)
    absolute = np.abs(values)
    importance, stability = _importance(
        game.columns, absolute if absolute.ndim == 2 else absolute.mean(axis=2), confidence, seed
    )
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
            "base": round(base, 9) if isinstance(base, float) else [round(one, 9) for one in base.tolist()],
            "rows": n,
            "background": len(game.background),
            "importance": importance,
            **({} if answer.error is None else {"sampling": _told(game.columns, answer.phi, answer.error)}),
        },
        columns={"sensitive_features": list(groups)},
        confidence=confidence,
        min_group_size=min_group_size,
        seed=seed,
        values=values,
        errors=answer.error,
        base=base,
    )


def _of_each(classes: tuple[str, ...], phi: Matrix, outputs: Matrix) -> Iterator[tuple[dict[str, str], Matrix, Matrix]]:
    """Return each class with its own attributions and outputs; without classes, the only ones."""
    if not classes:
        yield {}, phi, outputs
    for place, name in enumerate(classes):
        yield {"class": name}, phi[:, :, place], outputs[:, place]


def _told(columns: Sequence[str], phi: Matrix, error: Matrix) -> dict[str, Any]:
    """Say how far sampled attributions may be off, and how much of each mean size the noise may have made.

    The mean size of estimates is too large in expectation: E|X| <= |E X| + sd(X), and a mean of standard deviations is at
    most the root of the mean variance, of which each squared error is an unbiased estimate.
    """
    axes = tuple(at for at in range(phi.ndim) if at != 1)
    mean = np.sqrt((error**2).mean(axis=axes))
    return {
        "largest_standard_error": round(float(error.max()), 9),
        "standard_error": {name: round(float(one), 9) for name, one in zip(columns, mean, strict=True)},
        "note": "the mean size of sampled attributions is too large by at most the standard error of its column",
    }


# --- the game -----------------------------------------------------------------------------------------


def _importance(
    columns: Sequence[str], absolute: Matrix, confidence: float, seed: int
) -> tuple[list[dict[str, Any]], float]:
    """Return mean |attribution| with bootstrap intervals over rows, and how often the top set stays the same."""
    mean = absolute.mean(axis=0)
    n = len(absolute)
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
