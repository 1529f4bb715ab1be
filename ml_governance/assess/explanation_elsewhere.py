"""The report on rows that were explained where they lie, from the sums and the few rows that came back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import explanation_parts, gaps, sensitive
from ml_governance.assess.explanation import REPLICATES, TOP, ExplanationReport
from ml_governance.assess.explanation_engines import attribute
from ml_governance.assess.explanation_game import classes_of, game_of
from ml_governance.assess.explanation_parts import Moments, Part
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.explanation_game import Output

    Matrix = NDArray[np.float64]


def assess(
    model: Any, *, rows: Any, background: pd.DataFrame, groups: Sequence[str], reference: Mapping[str, str], output: Output,
    few: int, confidence: float, min_group_size: int, seed: int,
) -> ExplanationReport:  # fmt: skip
    """Explain rows of PySpark or Parquet; see :func:`ml_governance.assess.explanation.assess_explanation`.

    Every row is explained. Intervals are Student's of means over all rows, and the stability of the ranking is that of normal
    means with the covariance of all rows.
    """
    unknown = [name for name in reference if name not in groups]
    if unknown:
        raise DataError(f"there is no sensitive column {', '.join(unknown)}", expected=f"one of {', '.join(groups)}")
    wanted = getattr(model, "feature_names_in_", None)
    columns = [str(name) for name in (background.columns if wanted is None else wanted)]
    classes = classes_of(model)

    def explain(frame: pd.DataFrame, place: int) -> Part:
        game = game_of(model, frame[columns], background, output, every=bool(classes))
        answer = attribute(game, output, seed ^ place)
        if not (np.isfinite(answer.phi).all() and np.isfinite(answer.base).all()):
            raise DataError("some attributions are not finite", expected="finite numbers")
        outputs = game.play(game.rows)
        keys = np.random.default_rng([seed, place]).random(len(frame))
        kept = np.argsort(keys)[:few]
        told = {
            "engine": answer.engine, "why": answer.why, "check": answer.check, "base": np.asarray(answer.base).tolist(),
            "columns": list(game.columns), "classes": list(classes), "exact": answer.exact,
        }  # fmt: skip
        return Part(
            sizes=_sizes(np.abs(answer.phi), classes),
            groups=_sums(frame, groups, answer.phi, outputs, classes),
            error=float(np.abs(outputs - answer.base - answer.phi.sum(axis=1)).max()),
            keys=keys[kept], sample=frame[columns].iloc[kept], phi=answer.phi[kept], told=told,
        )  # fmt: skip

    read = list(dict.fromkeys([*columns, *groups]))
    found = explanation_parts.join(explanation_parts.collected(rows, read, explain), few)
    return _report(
        found, reference=reference, output=output, confidence=confidence, min_group_size=min_group_size, seed=seed,
        background=len(background), groups=groups,
    )  # fmt: skip


def _each(phi: Matrix, classes: Sequence[str]) -> dict[str, Matrix]:
    return {"": phi} if not classes else {name: phi[..., place] for place, name in enumerate(classes)}


def _sizes(absolute: Matrix, classes: Sequence[str]) -> dict[str, Moments]:
    whole = {} if not classes else {"": Moments.of(absolute.mean(axis=2))}
    return whole | {name: Moments.of(own) for name, own in _each(absolute, classes).items()}


def _sums(
    frame: pd.DataFrame, groups: Sequence[str], phi: Matrix, outputs: Matrix, classes: Sequence[str]
) -> dict[tuple[str, str, str], Moments]:
    made = {}
    phis, outs = _each(phi, classes), _each(outputs, classes)
    for name in groups:
        own, levels = sensitive.codes(frame[name], name)
        for place, level in enumerate(levels):
            rows = own == place
            for which in phis:
                made[name, level, which] = Moments.of(np.column_stack([phis[which], outs[which]])[rows])
    return made


def _report(
    found: Part, *, reference: Mapping[str, str], output: Output, confidence: float, min_group_size: int, seed: int,
    background: int, groups: Sequence[str],
) -> ExplanationReport:  # fmt: skip
    told = found.told
    columns, classes = told["columns"], told["classes"]
    whole = found.sizes[""]
    if whole.n < 2:
        raise DataError(f"there are {whole.n} rows", expected="two or more", next_step="rows= as a pandas data frame")
    importance = _importance(columns, whole, confidence)
    total = sum(one["mean_abs"] for one in importance)
    protected = sum(one["mean_abs"] for one in importance if one["column"] in groups)
    measurements = (
        Measurement(metric="additivity_error", value=found.error, n=whole.n, status="ok"),
        Measurement(metric="rank_stability", value=_stability(whole, seed), n=whole.n, status="ok"),
        Measurement(metric="protected_share", value=protected / total, n=whole.n, status="ok")
        if total > 0
        else Measurement(metric="protected_share", n=whole.n, status="undefined", reason="no column has any influence"),
    )
    by_group, split = _compared(found, groups, reference, confidence, min_group_size, seed)
    details: dict[str, Any] = {
        "engine": told["engine"], "why": told["why"], **({} if told["check"] is None else {"check": told["check"]}),
        "output": output, "base": np.round(told["base"], 9).tolist(), "rows": whole.n, "background": background,
        "importance": importance, "by_group": by_group, "gaps": split,
    }  # fmt: skip
    if classes:
        details |= {"classes": classes, "importance_by_class": [
            {"class": name, **one} for name in classes for one in _importance(columns, found.sizes[name], confidence)
        ]}  # fmt: skip
    base = told["base"] if isinstance(told["base"], float) else np.array(told["base"])
    report = ExplanationReport(
        measurements=measurements, details=details, columns={"sensitive_features": list(groups)}, confidence=confidence,
        min_group_size=min_group_size, seed=seed, values=found.phi, base=base,
    )  # fmt: skip
    return replace(report, table=found.sample[columns])


def _importance(columns: Sequence[str], sums: Moments, confidence: float) -> list[dict[str, Any]]:
    mean = sums.mean
    half = _student(confidence, sums.n) * np.sqrt(np.maximum(np.diag(sums.covariance), 0))
    return [
        {
            "column": columns[at], "mean_abs": round(float(mean[at]), 9),
            "lower": round(float(max(mean[at] - half[at], 0)), 9), "upper": round(float(mean[at] + half[at]), 9),
        }
        for at in np.argsort(-mean, kind="stable")
    ]  # fmt: skip


def _student(confidence: float, n: int) -> float:
    from scipy.special import stdtrit

    intervals.quantile(confidence, "two-sided")
    return float(stdtrit(n - 1, (1 + confidence) / 2))


def _stability(sums: Moments, seed: int) -> float:
    """Return how often the top set stays the same when the means are drawn from what is known of them."""
    top = min(TOP, len(sums.mean))
    draws = np.random.default_rng(seed).multivariate_normal(
        sums.mean, sums.covariance, size=REPLICATES, check_valid="ignore", method="eigh"
    )
    settled = set(np.argsort(-sums.mean, kind="stable")[:top].tolist())
    return float(np.mean([set(one.tolist()) == settled for one in np.argsort(-draws, axis=1, kind="stable")[:, :top]]))


def _compared(
    found: Part, groups: Sequence[str], reference: Mapping[str, str], confidence: float, min_group_size: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    columns = found.told["columns"]
    by_group: list[dict[str, Any]] = []
    split: list[dict[str, Any]] = []
    for which in found.told["classes"] or [""]:
        named = {"class": which} if which else {}
        for name in groups:
            levels = sorted(level for by, level, of in found.groups if (by, of) == (name, which))
            known = {}
            for level in levels:
                sums = found.groups[name, level, which]
                if sums.n >= max(min_group_size, 2):
                    known[level] = gaps.GroupMeans(level=level, n=sums.n, mean=sums.mean, covariance=sums.covariance)
                    mean = {column: round(float(one), 9) for column, one in zip(columns, sums.mean[:-1], strict=True)}
                    by_group.append({**named, "by": [name], "group": [level], "n": sums.n, "mean": mean})
            if known:
                made = gaps.of_means(
                    name, columns, known, reference=reference.get(name), confidence=confidence,
                    min_group_size=min_group_size, seed=seed,
                )  # fmt: skip
                split += [{**named, **one} for one in made]
    return by_group, split
