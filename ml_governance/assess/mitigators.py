"""Fairlearn's mitigators behind one face: fit a copy of a model, predict the test rows, or say what went wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import labels, sensitive
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from ml_governance.assess.labels import Flags

Constraint = Literal["demographic_parity", "equalized_odds", "true_positive_rate_parity", "false_positive_rate_parity"]
Mitigator = Literal["threshold_optimizer", "exponentiated_gradient", "correlation_remover"]
MITIGATORS: tuple[Mitigator, ...] = ("threshold_optimizer", "exponentiated_gradient", "correlation_remover")
BASELINE = "baseline"

GAPS: dict[Constraint, str] = {
    "demographic_parity": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
    "true_positive_rate_parity": "equal_opportunity_difference",
    "false_positive_rate_parity": "false_positive_rate_difference",
}
"""The gap that each constraint is about."""

_MOMENTS: dict[Constraint, str] = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "true_positive_rate_parity": "TruePositiveRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
}
NEEDS: dict[str, Literal["no", "training", "prediction"]] = {
    BASELINE: "no",
    "exponentiated_gradient": "training",
    "threshold_optimizer": "prediction",
    "correlation_remover": "prediction",
}
"""When a candidate needs the sensitive features."""

RANDOM = ("threshold_optimizer", "exponentiated_gradient")


@dataclass(frozen=True, slots=True)
class TrainTest:
    """What every candidate is fitted on and predicts."""

    train: Any
    y: Flags
    known: pd.DataFrame
    test: Any
    asked: pd.DataFrame
    seed: int


def groups_of(sensitive_features: Any, rows: int) -> pd.DataFrame:
    """Return the groups of rows as text, missing ones as a group of their own."""
    import pandas as pd

    made = {}
    for name, (own, levels) in sensitive.read(sensitive_features, rows).items():
        made[name] = np.asarray(levels, dtype=object)[own]
    return pd.DataFrame(made)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fitted model and its predictions of the test rows, or the reason why there are none."""

    model: Any = None
    predicted: Flags | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None


def attempt(name: str, estimator: Any, data: TrainTest, constraints: Constraint) -> Attempt:
    """Fit and predict; any failure is told, never raised."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model, predicted = _FITS[name](_seeded(estimator, data.seed), data, constraints)
            flags, _ = labels.binary(np.asarray(predicted).reshape(-1), "predictions", None)
        except Exception as error:  # noqa: BLE001  whatever a user's model or a mitigator raises is what we report
            said = str(error).splitlines()[0] if str(error) else "no message"
            return Attempt(reason=f"{type(error).__name__}: {said}")
    notes = tuple(dict.fromkeys(f"{one.category.__name__}: {one.message}" for one in caught))
    return Attempt(model=model, predicted=flags, notes=notes)


def _seeded(estimator: Any, seed: int) -> Any:
    from sklearn.base import clone

    copy = clone(estimator)
    open_states = [key for key, value in copy.get_params().items() if key.endswith("random_state") and value is None]
    return copy.set_params(**dict.fromkeys(open_states, seed))


def _fit_baseline(estimator: Any, data: TrainTest, constraints: Constraint) -> tuple[Any, Any]:  # noqa: ARG001
    return estimator.fit(data.train, data.y), estimator.predict(data.test)


def _fit_threshold_optimizer(estimator: Any, data: TrainTest, constraints: Constraint) -> tuple[Any, Any]:
    from fairlearn.postprocessing import ThresholdOptimizer

    model = ThresholdOptimizer(estimator=estimator, constraints=constraints, predict_method="auto")
    model.fit(data.train, data.y, sensitive_features=data.known)
    return model, model.predict(data.test, sensitive_features=data.asked, random_state=data.seed)


def _fit_exponentiated_gradient(estimator: Any, data: TrainTest, constraints: Constraint) -> tuple[Any, Any]:
    from fairlearn import reductions

    model = reductions.ExponentiatedGradient(estimator, getattr(reductions, _MOMENTS[constraints])())
    model.fit(data.train, data.y, sensitive_features=data.known)
    return model, model.predict(data.test, random_state=data.seed)


def _fit_correlation_remover(estimator: Any, data: TrainTest, constraints: Constraint) -> tuple[Any, Any]:  # noqa: ARG001
    from fairlearn.preprocessing import CorrelationRemover
    from sklearn.pipeline import make_pipeline

    train, test = np.asarray(data.train, dtype=float), np.asarray(data.test, dtype=float)
    codes, asked = _indicators(data.known, data.asked)
    places = list(range(train.shape[1], train.shape[1] + codes.shape[1]))
    model = make_pipeline(CorrelationRemover(sensitive_feature_ids=places), estimator)
    model.fit(np.hstack([train, codes]), data.y)
    return model, model.predict(np.hstack([test, asked]))


def _indicators(known: pd.DataFrame, asked: pd.DataFrame) -> tuple[Any, Any]:
    """Return groups as 0/1 columns, all levels but the first; levels that training has not seen are refused."""
    made: tuple[list[Any], list[Any]] = ([], [])
    for name in known.columns:
        levels = sorted(set(known[name]))
        new = sorted(set(asked[name]) - set(levels))
        if new:
            raise DataError(
                f"{name!r} has levels in the test that training has not: {', '.join(new)}", expected="the same"
            )
        if len(levels) < 2:
            raise DataError(f"{name!r} has only one group in training", expected="two or more")
        for level in levels[1:]:
            for part, frame in zip(made, (known, asked), strict=True):
                part.append((frame[name] == level).to_numpy(dtype=float))
    return np.column_stack(made[0]), np.column_stack(made[1])


_FITS: dict[str, Callable[[Any, TrainTest, Constraint], tuple[Any, Any]]] = {
    BASELINE: _fit_baseline,
    "threshold_optimizer": _fit_threshold_optimizer,
    "exponentiated_gradient": _fit_exponentiated_gradient,
    "correlation_remover": _fit_correlation_remover,
}
