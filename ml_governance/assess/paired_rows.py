"""The columns of two models on the same rows, read as one: flags of what each says, scores, and losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import labels, performance_classes
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from ml_governance.assess.labels import Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Both models' columns.

    Parameters
    ----------
    rows : int
        How many.
    losses : mapping of metric to (first, second)
        Loss of every row, whose mean is the metric.
    flags : (label, first, second) or None
        Of several classes, the label is always 1 and the others say whether each is right; None of a regression.
    scores : (first, second) or None
        Of two classes.
    """

    rows: int
    losses: dict[str, tuple[Floats, Floats]]
    flags: tuple[Flags, Flags, Flags] | None = None
    scores: tuple[Floats, Floats] | None = None


def binary(y_true: Any, predicted: tuple[Any, Any], score: tuple[Any, Any], pos_label: Any, threshold: float) -> Read:
    """Read two classifiers with two classes; refuses what :func:`ml_governance.assess.labels.pair` refuses."""
    names = ("first", "second")
    scores = (
        None
        if score[0] is None
        else [labels.scores(one, f"{name}_score") for one, name in zip(score, names, strict=True)]
    )
    if predicted[0] is None:
        if scores is None:
            raise DataError(
                "there are neither predictions nor scores", expected="of both models predictions, scores, or both"
            )
        true = labels.binary(y_true, "y_true", pos_label)[0]
        both = [labels.selected(one, threshold) for one in scores]
    else:
        true, *both = labels.pair(y_true, predicted[0], pos_label)[:2]
        both.append(labels.pair(y_true, predicted[1], pos_label)[1])
    labels.same_length(y_true=true, first=both[0], second=both[1])
    losses: dict[str, tuple[Floats, Floats]] = {}
    if scores is not None:
        labels.same_length(y_true=true, first_score=scores[0], second_score=scores[1])
        losses["brier_score"] = ((scores[0] - true) ** 2, (scores[1] - true) ** 2)
        losses["log_loss"] = (_minus_log(true, scores[0]), _minus_log(true, scores[1]))
    pair = None if scores is None else (scores[0], scores[1])
    return Read(rows=len(true), losses=losses, flags=(true, both[0], both[1]), scores=pair)


def _minus_log(true: Flags, score: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        loss: Floats = -np.log(np.where(true == 1, score, 1 - score))
    return loss


def classes_of(y_true: Any, predicted: tuple[Any, Any], score: tuple[Any, Any], classes: Any) -> Read:
    """Read two classifiers with several classes."""
    one, two = (performance_classes.read(y_true, own, of, classes) for own, of in zip(predicted, score, strict=True))
    labels.same_length(y_true=one.true, second=two.true)
    losses: dict[str, tuple[Floats, Floats]] = {}
    if one.score is not None and two.score is not None:
        both = [
            (part.score, part.score[np.arange(len(part.true)), part.true])
            for part in (one, two)
            if part.score is not None
        ]
        brier = [(score**2).sum(axis=1) - 2 * own + 1 for score, own in both]
        with np.errstate(divide="ignore"):
            logs = [-np.log(own) for _, own in both]
        losses = {"multiclass_brier_score": (brier[0], brier[1]), "log_loss": (logs[0], logs[1])}
    # What counts is whether each is right: as if all labels were positive.
    right = [(part.true == part.predicted).astype(np.uint8) for part in (one, two)]
    every = np.ones(len(one.true), dtype=np.uint8)
    return Read(rows=len(one.true), losses=losses, flags=(every, right[0], right[1]))


def numbers(y_true: Any, first: Any, second: Any) -> Read:
    """Read two regressions."""
    if first is None:
        raise DataError("there are no predictions", expected="first and second")
    true, one, two = (
        labels.finite(values, name) for name, values in (("y_true", y_true), ("first", first), ("second", second))
    )
    labels.same_length(y_true=true, first=one, second=two)
    errors = [np.abs(part - true) for part in (one, two)]
    return Read(
        rows=len(true),
        losses={
            "mean_absolute_error": (errors[0], errors[1]),
            "root_mean_squared_error": (errors[0] ** 2, errors[1] ** 2),
        },
    )
