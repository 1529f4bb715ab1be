"""What mitigation would cost and gain: a model beside its mitigated versions, on the same test rows.

The mitigators are fairlearn's: post-processing (ThresholdOptimizer; Hardt, Price and Srebro, 2016), in training
(ExponentiatedGradient; Agarwal et al., 2018) and before training (CorrelationRemover). The comparison is evidence for a
decision and makes none. Each candidate carries its own fairness and performance report, so the one that is
chosen is attested like any other model; the comparison itself is :meth:`MitigationReport.to_dict`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import labels, tables
from ml_governance.assess.fairness import FairnessReport, assess_fairness
from ml_governance.assess.mitigators import (
    BASELINE,
    GAPS,
    MITIGATORS,
    NEEDS,
    RANDOM,
    Constraint,
    Mitigator,
    TrainTest,
    attempt,
    groups_of,
)
from ml_governance.assess.performance import PerformanceReport, assess_performance
from ml_governance.errors import DataError
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from ml_governance.assess.labels import Flags
    from ml_governance.evidence.predicates import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The model as it is, or one mitigated version of it.

    Parameters
    ----------
    name : str
        ``baseline`` or the mitigator.
    status : {'ok', 'failed'}
        Whether it could be fitted and predicted with.
    reason : str or None
        What went wrong.
    needs_sensitive_features : {'no', 'training', 'prediction'}
        When the sensitive features are needed. At prediction they take part in each single decision, which the law
        may forbid.
    randomised : bool
        Whether the same row can get different predictions; the numbers are of one draw with the stated seed.
    fairness : FairnessReport or None
        On the test rows.
    performance : PerformanceReport or None
        On the test rows.
    accuracy_change : float or None
        Accuracy less the baseline's, on the same rows.
    change_lower, change_upper : float or None
        Its interval, from the rows that only one of the two predicts right (Bonett and Price, Journal of Educational
        and Behavioral Statistics 37 (2012) 479).
    changed : int or None
        Test rows predicted differently from the baseline.
    notes : tuple of str
        Warnings while fitting and predicting.
    model : object or None
        The fitted model, to register if it is chosen.
    """

    name: str
    status: Literal["ok", "failed"]
    reason: str | None = None
    needs_sensitive_features: Literal["no", "training", "prediction"]
    randomised: bool
    fairness: FairnessReport | None = field(default=None, repr=False)
    performance: PerformanceReport | None = field(default=None, repr=False)
    accuracy_change: float | None = None
    change_lower: float | None = None
    change_upper: float | None = None
    changed: int | None = None
    notes: tuple[str, ...] = ()
    model: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MitigationReport:
    """Candidates side by side.

    Parameters
    ----------
    candidates : tuple of Candidate
        The baseline first.
    constraints : str
        What the mitigators were asked for.
    by : tuple of str
        Sensitive attributes, crossed where there are several.
    n_train, n_test : int
        Rows.
    confidence : float
        Level of the intervals.
    seed : int
        Of everything random.
    """

    candidates: tuple[Candidate, ...]
    constraints: Constraint
    by: tuple[str, ...]
    n_train: int
    n_test: int
    confidence: float
    seed: int

    @property
    def gap(self) -> str:
        """Name of the fairness metric that is compared."""
        return GAPS[self.constraints]

    def get(self, name: str) -> Candidate:
        """Return one candidate.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        for one in self.candidates:
            if one.name == name:
                return one
        raise KeyError(name)

    def _row(self, one: Candidate) -> dict[str, Any]:
        row: dict[str, Any] = {"candidate": one.name, "status": one.status, "reason": one.reason}
        accuracy = one.performance.get("accuracy") if one.performance else None
        gap = one.fairness.get(self.gap, by=self.by) if one.fairness else None
        for name, measured in (("accuracy", accuracy), (self.gap, gap)):
            lower, upper = _two_sided(measured)
            row |= {name: measured.value if measured else None, f"{name}_lower": lower, f"{name}_upper": upper}
        row[f"{self.gap}_status"] = gap.status if gap else None
        for name in (
            "accuracy_change",
            "change_lower",
            "change_upper",
            "changed",
            "needs_sensitive_features",
            "randomised",
        ):
            row[name] = getattr(one, name)
        return row

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each candidate: accuracy, its change, and the gap, with intervals."""
        import pandas as pd

        return pd.DataFrame([self._row(one) for one in self.candidates]).set_index("candidate")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the reports of every candidate among them."""
        return {
            "constraints": self.constraints,
            "gap": self.gap,
            "by": list(self.by),
            "nTrain": self.n_train,
            "nTest": self.n_test,
            "confidence": self.confidence,
            "seed": self.seed,
            "candidates": [
                self._row(one)
                | {
                    "notes": list(one.notes),
                    "fairness": one.fairness.to_dict() if one.fairness else None,
                    "performance": one.performance.to_dict() if one.performance else None,
                }
                for one in self.candidates
            ],
        }

    def to_html(self) -> str:
        """Return the comparison as an HTML table."""
        rows = []
        for one in self.candidates:
            row = self._row(one)
            if one.status == "failed":
                rows.append((one.name, *[tables.NONE] * 5, one.needs_sensitive_features, f"failed: {one.reason}"))
                continue
            change = tables.NONE if one.accuracy_change is None else f"{one.accuracy_change:+.3f}"
            rows.append(
                (
                    one.name, _with_interval(row["accuracy"], row["accuracy_lower"], row["accuracy_upper"]),
                    _with_interval(change, one.change_lower, one.change_upper),
                    _with_interval(row[self.gap], row[f"{self.gap}_lower"], row[f"{self.gap}_upper"]),
                    row[f"{self.gap}_status"], tables.NONE if one.changed is None else f"{one.changed:,}",
                    one.needs_sensitive_features, "one seeded draw" if one.randomised else "ok",
                )
            )  # fmt: skip
        columns = (
            "candidate", "accuracy", "change", self.gap.replace("_", " "), "of status", "rows changed", "sensitive features at",
            "remark",
        )  # fmt: skip
        notes = (
            f"{self.n_test:,} test rows, {self.confidence:.0%} intervals, by {' x '.join(self.by)}, seed {self.seed}.",
        )
        return tables.to_html(f"Mitigation for {self.constraints.replace('_', ' ')}", columns, rows, notes=notes)

    def __repr__(self) -> str:
        told = ", ".join(one.name + ("" if one.status == "ok" else " (failed)") for one in self.candidates)
        return f"<MitigationReport {self.constraints}, {self.n_test:,} test rows: {told}>"

    def _repr_html_(self) -> str:
        return self.to_html()


def compare_mitigations(
    estimator: Any,
    X_train: Any,  # noqa: N803  the field's name
    y_train: Any,
    X_test: Any,  # noqa: N803
    y_test: Any,
    *,
    sensitive_features_train: Any,
    sensitive_features_test: Any,
    constraints: Constraint = "demographic_parity",
    mitigators: Sequence[Mitigator] = MITIGATORS,
    pos_label: Any = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
) -> MitigationReport:
    """Fit a model and its mitigated versions, and measure all of them on the same test rows.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Cloned, never changed; every ``random_state`` of it that is None gets the seed.
    X_train, X_test : data frame or array of shape (n, columns)
        Features. CorrelationRemover needs numbers.
    y_train, y_test : array-like of shape (n,)
        Labels; two classes.
    sensitive_features_train, sensitive_features_test : data frame, column or dict of columns
        Groups of the rows. A missing value is a group of its own.
    constraints : str, default 'demographic_parity'
        What ThresholdOptimizer and ExponentiatedGradient are to satisfy; CorrelationRemover knows no constraint.
    mitigators : sequence of str
        Which ones.
    pos_label : object, optional
        Which label is positive; needed unless labels are 0 and 1.
    confidence : float in (0, 1), default 0.95
        Level of the intervals, of each number by itself.
    min_group_size : int, default 30
        As :func:`assess_fairness`.
    seed : int, default 0
        Of fitting and of randomised predictions.

    Returns
    -------
    MitigationReport
        A mitigator that cannot be fitted is a candidate with the status ``failed``.

    Raises
    ------
    DataError
        If an argument cannot be used, or the model itself cannot be fitted.
    """
    if constraints not in GAPS:
        raise DataError(f"there is no constraint {constraints!r}", expected=f"one of {', '.join(GAPS)}")
    unknown = [name for name in mitigators if name not in MITIGATORS]
    if unknown:
        raise DataError(f"there is no mitigator {unknown[0]!r}", expected=f"one of {', '.join(MITIGATORS)}")
    intervals.quantile(confidence, "two-sided")
    train, positive = labels.binary(y_train, "y_train", pos_label)
    test, _ = labels.binary(y_test, "y_test", positive)
    if len(np.unique(train)) < 2:
        raise DataError("the training labels are all alike", expected="both classes")
    labels.same_length(y_train=train, X_train=X_train)
    labels.same_length(y_test=test, X_test=X_test)
    known, asked = groups_of(sensitive_features_train, len(train)), groups_of(sensitive_features_test, len(test))
    if list(known.columns) != list(asked.columns):
        raise DataError(
            f"the sensitive features are {', '.join(known.columns)} in training and {', '.join(asked.columns)} in the test",
            expected="the same ones",
        )
    data = TrainTest(X_train, train, known, X_test, asked, seed)
    base: Flags | None = None
    candidates = []
    for name in (BASELINE, *mitigators):
        traits: dict[str, Any] = {"name": name, "needs_sensitive_features": NEEDS[name], "randomised": name in RANDOM}
        fitted = attempt(name, estimator, data, constraints)
        predicted = fitted.predicted
        if predicted is None:
            if base is None:
                raise DataError(f"the model itself cannot be fitted: {fitted.reason}", expected="a classifier that can")
            candidates.append(Candidate(**traits, status="failed", reason=fitted.reason))
            continue
        base = predicted if base is None else base
        common: dict[str, Any] = {"y_true": test, "y_pred": predicted, "confidence": confidence}
        common |= {"min_group_size": min_group_size, "sensitive_features": asked}
        change = _paired(test, base, predicted, confidence) if name != BASELINE else {}
        candidates.append(
            Candidate(
                **traits, status="ok", fairness=assess_fairness(**common), performance=assess_performance(**common, seed=seed),
                notes=fitted.notes, model=fitted.model, **change,
            )
        )  # fmt: skip
    return MitigationReport(
        candidates=tuple(candidates), constraints=constraints, by=tuple(known.columns), n_train=len(train),
        n_test=len(test), confidence=confidence, seed=seed,
    )  # fmt: skip


def _paired(true: Flags, base: Flags, other: Flags, confidence: float) -> dict[str, Any]:
    """Return the change of accuracy on the same rows, with the adjusted Wald interval for paired proportions."""
    n = len(true)
    gained = int(((other == true) & (base != true)).sum())
    lost = int(((other != true) & (base == true)).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = intervals.quantile(confidence, "two-sided") * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return {
        "accuracy_change": (gained - lost) / n,
        "change_lower": max(-1.0, up - down - half),
        "change_upper": min(1.0, up - down + half),
        "changed": int((base != other).sum()),
    }


def _two_sided(measured: Measurement | None) -> tuple[float | None, float | None]:
    interval = next((one for one in measured.intervals if one.sides == "two-sided"), None) if measured else None
    return (interval.lower, interval.upper) if interval else (None, None)


def _with_interval(value: float | str | None, lower: float | None, upper: float | None) -> str:
    told = value if isinstance(value, str) else tables.number(value)
    return told if lower is None or upper is None else f"{told} ({lower:.3f} to {upper:.3f})"
