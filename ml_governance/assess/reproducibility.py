"""Whether a second training gives the same model: the bytes, the decisions and the scores of two of them, with the difference reported."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.by_slice import Maker, slices_of
from ml_governance.assess.contrasts import check_levels
from ml_governance.assess.deciding import Decider, columns_taken, scores_of
from ml_governance.assess.report import digest_of
from ml_governance.assess.robustness import RobustnessReport
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training gave, as far as two of them are compared.

    Parameters
    ----------
    decisions : array of shape (n,)
        About the same rows.
    scores : array of float64, shape (n,), or None
        Of the same rows, where the model gives any.
    sha256 : str or None
        Digest of its bytes, where they are known.
    """

    decisions: NDArray[Any]
    scores: NDArray[np.float64] | None
    sha256: str | None


def assess_reproducibility(
    train: Callable[[], Any] | tuple[Any, Any],
    *,
    rows: pd.DataFrame,
    sensitive_features: Any = None,
    pos_label: Any = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    batch: int = 10_000,
) -> RobustnessReport:
    """Train twice, and measure how far the two models are apart.

    Parameters
    ----------
    train : callable, or pair of models
        Trains and returns a model, and is called twice; or two models that were trained alike.
    rows : DataFrame of shape (n, columns)
        Rows that both decide about; better not those of the training.
    sensitive_features : data frame, column or dict of columns, optional
        Groups whose disagreement is measured as well.
    pos_label : object, optional
        The label whose probability is the score.
    tolerance : float, optional
        For models that predict numbers: how far two may be apart and still be the same decision.
    confidence, min_group_size, batch
        As :func:`ml_governance.assess_robustness`.

    Returns
    -------
    RobustnessReport
        With ``rerun_disagreement`` overall and by group, ``rerun_largest_difference`` and ``rerun_identical``.

    Raises
    ------
    DataError
        If there are no rows, or a model does not take them or gives no decisions.
    """
    check_levels(confidence, min_group_size)
    if not len(rows):
        raise DataError("there are no rows", expected="rows that both models decide about")
    if not callable(train) and not isinstance(train, tuple | list):
        raise DataError(
            f"train is a {type(train).__name__}", expected="a function that trains a model, or a pair of trained models"
        )
    models = (train(), train()) if callable(train) else tuple(train)
    if len(models) != 2:
        raise DataError(f"there are {len(models)} models", expected="two, or a function that trains one")
    slices, found = slices_of(sensitive_features, len(rows))
    seen = [_of_model(model, rows, pos_label, tolerance, batch) for model in models]
    made = Maker(slices=slices, confidence=confidence, min_group_size=min_group_size)
    measurements, details = compared(made, *seen, tolerance=tolerance)
    return RobustnessReport(
        measurements=measurements, details={"rows": len(rows), "rerun": details}, columns={"sensitive_features": found},
        confidence=confidence, min_group_size=min_group_size,
        source=lambda: digest_of("rows of the reproducibility report", **{str(name): rows[name] for name in rows.columns}),
    )  # fmt: skip


def compared(
    made: Maker, first: Trained, second: Trained, *, tolerance: float | None = None
) -> tuple[tuple[Measurement, ...], dict[str, Any]]:
    """Return the measurements of two trainings, and what a report says besides."""
    n = len(first.decisions)
    apart = Decider(model=None, columns=(), batch=1, tolerance=tolerance).differ(first.decisions, second.decisions)
    same = None if first.sha256 is None or second.sha256 is None else first.sha256 == second.sha256
    identical = (
        Measurement(metric="rerun_identical", n=n, status="undefined", reason="the bytes of a model are not known")
        if same is None
        else Measurement(metric="rerun_identical", value=float(same), n=n, status="ok")
    )
    details = {"first": first.sha256, "second": second.sha256}
    return (*made.rates("rerun_disagreement", apart), _largest(first, second), identical), details


def _largest(first: Trained, second: Trained) -> Measurement:
    metric, n = "rerun_largest_difference", len(first.decisions)
    if first.scores is None or second.scores is None:
        return Measurement(metric=metric, n=n, status="undefined", reason="a model has no scores")
    gap = float(np.abs(first.scores - second.scores).max())
    if not np.isfinite(gap):
        return Measurement(metric=metric, n=n, status="undefined", reason="some scores are NaN or infinite")
    return Measurement(metric=metric, value=gap, n=n, status="ok", reason="a maximum over rows has no interval")


def _of_model(model: Any, rows: pd.DataFrame, pos_label: Any, tolerance: float | None, batch: int) -> Trained:
    names = columns_taken(model, rows)
    table = rows[list(names)].reset_index(drop=True)
    decider = Decider(model=model, columns=names, batch=batch, tolerance=tolerance)
    scores = [scores_of(model, part, pos_label) for part in decider.parts(table)]
    known = [one for one in scores if one is not None]
    return Trained(
        decisions=decider.decide(table), scores=np.concatenate(known) if len(known) == len(scores) else None, sha256=_digest(model)
    )  # fmt: skip


def _digest(model: Any) -> str | None:
    try:
        return sha256(pickle.dumps(model, protocol=5)).hexdigest()
    except Exception:  # noqa: BLE001  a model that cannot be pickled may raise anything, and then its bytes are not known
        return None
