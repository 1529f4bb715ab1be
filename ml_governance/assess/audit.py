"""Every assessment of one model in one call: the rows are read, digested and predicted once, and each kind measures what is left.

One function measures each kind from shared material (:mod:`ml_governance.assess.kinds`); a workspace, which recomputes predictions
in a process without keys, uses the same ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import kinds as of
from ml_governance.assess import material as shared
from ml_governance.assess.audit_report import AuditReport, Unmeasured
from ml_governance.assess.contrasts import check_levels
from ml_governance.assess.material import Material
from ml_governance.assess.predicting import Predicted, inputs, predict
from ml_governance.errors import DataError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import Task
    from ml_governance.assess.report import Report
    from ml_governance.evidence.predicates import Resource

KINDS = ("performance", "fairness", "explanation", "robustness", "data-quality", "privacy", "security-scan")
"""Every kind, in the order in which they are measured."""
PREDICTED = ("performance", "fairness", "explanation", "robustness", "privacy")
"""Kinds that are about what the model says of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audit:
    """One audit: how each kind is measured, and what was."""

    clock: Callable[[], float]
    step: Callable[[str], None]
    source: Callable[[], Resource]
    reports: dict[str, Report] = field(default_factory=dict)
    unmeasured: dict[str, Unmeasured] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        """Return what a call returns, and keep how long it took."""
        self.step(name)
        begin = self.clock()
        try:
            return call()
        finally:
            self.seconds[name] = self.clock() - begin

    def measure(self, kind: str, call: Callable[[], Report]) -> None:
        """Keep the report of a kind, or why there is none."""
        try:
            report = self.timed(kind, call)
        except (DataError, UnavailableError) as error:
            self.unmeasured[kind] = Unmeasured(kind=kind, reason=error.found, expected=error.expected)
        else:
            self.reports[kind] = report if kind == "security-scan" else replace(report, source=self.source)


def audit(
    model: Any,
    rows: pd.DataFrame,
    y_true: Any,
    *,
    sensitive_features: str | Sequence[str] = (),
    train: pd.DataFrame | None = None,
    kinds: Sequence[str] = KINDS,
    task: Task = "binary",
    pos_label: Any = None,
    costs: Costs | None = None,
    background: pd.DataFrame | None = None,
    explanation: Mapping[str, Any] | None = None,
    robustness: Mapping[str, Any] | None = None,
    data_quality: Mapping[str, Any] | None = None,
    population: Mapping[str, Mapping[str, float]] | None = None,
    privacy: Mapping[str, Any] | None = None,
    artifact: Any = None,
    security_scan: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> AuditReport:
    """Assess a model in every way: performance, fairness, explanation, robustness, quality of the rows, privacy, artifact.

    Parameters
    ----------
    model : object
        With ``predict``, and ``predict_proba`` where it has scores. It is asked once about the rows, and again only where a kind
        changes them.
    rows : DataFrame of shape (n, columns)
        Rows that it was not trained on, with the sensitive columns.
    y_true : str or array-like of shape (n,)
        The label: a column of ``rows``, or values, which then stand under their name, or ``y_true``.
    sensitive_features : str or sequence of str
        Columns of ``rows`` whose groups are compared.
    train : DataFrame, optional
        What the model was trained on, with the same columns and the label: for drift, for rows in common, and to find out how much
        the model tells on them, which is ``undefined`` without.
    kinds : sequence of str
        Some of :data:`KINDS`; default is all.
    task : {'binary', 'multiclass', 'regression'}
        What the model does.
    pos_label : object, optional
        The positive label, needed unless labels are 0 and 1.
    costs : Costs, optional
        What wrong decisions cost.
    background : DataFrame, optional
        Rows that the explanation compares with; default is a sample of ``train``, or without of ``rows``.
    explanation, robustness, data_quality, privacy, security_scan : mapping, optional
        Further options of :func:`assess_explanation`, :func:`assess_robustness`, :func:`assess_data`, :func:`assess_privacy` and
        :func:`scan_artifact`. At most 150 rows are explained, 20,000 changed and 20,000 of either kind attacked, unless ``max_rows``
        says otherwise; None is all but for the explanation. What was drawn from stands in the details, as ``drawn_from``.
    population : mapping of attribute to mapping of level to float, optional
        Shares of groups where the model is to be used.
    artifact : path, optional
        The model's files, which are read without loading them.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        A smaller group's numbers are ``insufficient``.
    seed : int, default 0
        Of everything random.
    clock : callable, optional
        What tells the seconds of each kind; default is the time on the wall.

    Returns
    -------
    AuditReport
        A kind that could not be measured stands in ``unmeasured`` with the reason, never nowhere.

    Raises
    ------
    UsageError
        If there is no such kind.
    DataError
        If columns are not there, or the model does not take the rows: then there is nothing to report.
    """
    from ml_governance.assess.progress import steps

    wanted = check_kinds((kinds,) if isinstance(kinds, str) else kinds)
    check_levels(confidence, min_group_size)
    names = (sensitive_features,) if isinstance(sensitive_features, str) else tuple(sensitive_features)
    table, label = _table(rows, y_true)
    _require(table, (label, *names), "the rows")
    if train is not None:
        _require(train, (label, *names), "the training rows")

    attacked = (privacy or {}).get("max_rows", shared.MAX_ATTACKED)

    @cache
    def source() -> Resource:
        from ml_governance.evidence import fingerprint
        from ml_governance.evidence.predicates import Resource

        return Resource(name="rows of the audit", sha256=fingerprint.table(table).sha256, rows=len(table))

    with steps(len(wanted)) as step:
        run = _Audit(clock=clock, step=step, source=source)
        given: Material | None = None
        if set(wanted) & set(PREDICTED):
            trained = None
            if train is not None and "privacy" in wanted:
                trained = run.timed("overlap", partial(shared.training, table, train, seed=seed, size=attacked))
            asked = partial(_asked, model, task=task, pos_label=pos_label, exclude=(label,))
            told, inside = run.timed(
                "predictions", lambda: (asked(table), None if trained is None else asked(trained.drawn))
            )
            given = Material(
                rows=table, y_true=label, sensitive_features=names, predicted=told, training=trained, inside=inside, task=task,
                pos_label=pos_label, costs=costs, confidence=confidence, min_group_size=min_group_size, seed=seed,
            )  # fmt: skip
        levels = {"confidence": confidence, "min_group_size": min_group_size, "seed": seed}
        of_model: dict[str, Callable[[Material], Report]] = {
            "performance": of.performance,
            "fairness": of.fairness,
            "explanation": lambda one: _explanation(
                model, one, train if background is None else background, explanation or {}
            ),
            "robustness": lambda one: _robustness(model, one, robustness or {}),
            "privacy": lambda one: of.privacy(one, **(privacy or {})),
        }
        for kind in wanted:
            if kind in of_model:
                assert given is not None  # noqa: S101  made above for these kinds
                run.measure(kind, partial(of_model[kind], given))
            elif kind == "data-quality":
                options = {"population": population, **levels, **(data_quality or {})}
                run.measure(
                    kind,
                    partial(of.quality, table, y_true=label, sensitive_features=names, trained=train, **options),
                )
            else:
                run.measure(kind, partial(_scan, artifact, security_scan or {}))
    return AuditReport(
        reports=run.reports, unmeasured=run.unmeasured, rows=len(table), source=source, seconds=run.seconds
    )


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds in the order in which they are measured.

    Raises
    ------
    UsageError
        If there are none, or one is unknown.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"the kinds are {list(kinds)}", expected=f"some of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in kinds)


def _table(rows: pd.DataFrame, y_true: Any) -> tuple[pd.DataFrame, str]:
    """Return the rows with their label, and the column that it is."""
    if isinstance(y_true, str):
        return rows, y_true
    labels = np.asarray(y_true)
    if labels.shape != (len(rows),):
        raise DataError(f"y_true has the shape {labels.shape}", expected=f"a label for each of {len(rows)} rows")
    name = str(getattr(y_true, "name", None) or "y_true")
    if name in rows.columns:
        raise DataError(
            f"y_true was given apart, and the rows have a column {name!r}", expected="its name, or rows without it"
        )
    return rows.assign(**{name: labels}), name


def _require(table: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    if not len(table):
        raise DataError(f"there are no rows in {what}", expected="at least one")
    for name in wanted:
        if name not in table.columns:
            raise DataError(
                f"{what} have no column {name!r}", expected=f"one of {', '.join(map(str, table.columns[:40]))}"
            )


def _asked(model: Any, rows: pd.DataFrame, *, task: Task, pos_label: Any, exclude: Sequence[str]) -> Predicted:
    table = inputs(model, rows, exclude)
    return predict(model, table, task=task, pos_label=pos_label).checked(len(rows))


def _explanation(model: Any, given: Material, background: pd.DataFrame | None, options: Mapping[str, Any]) -> Report:
    from ml_governance.assess.explanation import assess_explanation

    every = given.rows if background is None else background
    compared = shared.drawn(every, shared.MAX_BACKGROUND, given.seed)
    table = inputs(model, given.rows, (given.y_true,))
    report = assess_explanation(
        model, rows=table, background=compared, sensitive_features=given.sensitive,
        **{"seed": given.seed, **given.levels, **options},
    )  # fmt: skip
    if len(compared) < len(every):
        report.details["background_drawn_from"] = len(every)
    return report


def _robustness(model: Any, given: Material, options: Mapping[str, Any]) -> Report:
    from ml_governance.assess.robustness import assess_robustness

    return assess_robustness(
        model, rows=given.features, y_true=given.labels, sensitive_features=given.sensitive, pos_label=given.pos_label,
        **{"max_rows": shared.MAX_PERTURBED, "batch": shared.MAX_PERTURBED, "seed": given.seed, **given.levels, **options},
    )  # fmt: skip


def _scan(artifact: Any, options: Mapping[str, Any]) -> Report:
    from ml_governance.assess.scan import scan_artifact

    if artifact is None:
        raise DataError("the model's files are not given", expected="artifact, the path of what would be loaded")
    return scan_artifact(artifact, **options)
