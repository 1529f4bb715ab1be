"""The registry of metrics: what a name in a report or a policy means.

A rule can only use a metric that stands here, and takes its direction, range and unit from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml_governance.errors import PolicyError

Form = Literal["rate", "score", "ratio", "difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a metric name means.

    Parameters
    ----------
    name : str
        Its name in reports and policies.
    evidence : str
        The kind of assessment that measures it.
    form : {'rate', 'score', 'ratio', 'difference'}
        ``rate`` is a count over a count, per group or overall; ``score`` is any other number; ``ratio`` and
        ``difference`` compare the groups of one attribute: smallest over largest, largest minus smallest.
    of : tuple of str
        For ``ratio`` and ``difference``: the rates that are compared. Where there are two, as in equalized
        odds, the worse of the two counts.
    better : {'higher', 'lower', None}
        Which way is better; None where a rule must say.
    low, high : float or None
        Range; None where unbounded.
    unit : str
        What one unit is, for sentences and axes.
    text : str
        Its meaning in one plain sentence.
    """

    name: str
    evidence: str
    form: Form
    of: tuple[str, ...] = ()
    better: Literal["higher", "lower"] | None
    low: float | None = 0.0
    high: float | None = 1.0
    unit: str = "proportion"
    text: str


def _rate(name: str, better: Literal["higher", "lower"] | None, text: str, evidence: str = "fairness") -> Metric:
    return Metric(name=name, evidence=evidence, form="rate", better=better, text=text)


RATES: tuple[Metric, ...] = (
    _rate("selection_rate", None, "share of rows predicted positive"),
    _rate("true_positive_rate", "higher", "share of true positives among the rows that are positive"),
    _rate("false_positive_rate", "lower", "share of false positives among the rows that are negative"),
    _rate("true_negative_rate", "higher", "share of true negatives among the rows that are negative"),
    _rate("false_negative_rate", "lower", "share of false negatives among the rows that are positive"),
    _rate("positive_predictive_value", "higher", "share of true positives among the rows predicted positive"),
    _rate("negative_predictive_value", "higher", "share of true negatives among the rows predicted negative"),
    _rate("accuracy", "higher", "share of rows predicted right"),
    _rate("base_rate", None, "share of rows that are positive"),
)
"""Rates: one count over another, so their exact uncertainty follows from the two counts."""


def rate_counts(tn: float, fp: float, fn: float, tp: float) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of every rate.

    Parameters
    ----------
    tn, fp, fn, tp : float
        Rows, or sums of weights: true negatives, false positives, false negatives, true positives.
    """
    total, positive, negative, selected, rejected = tn + fp + fn + tp, fn + tp, tn + fp, fp + tp, tn + fn
    return {
        "selection_rate": (selected, total),
        "true_positive_rate": (tp, positive),
        "false_positive_rate": (fp, negative),
        "true_negative_rate": (tn, negative),
        "false_negative_rate": (fn, positive),
        "positive_predictive_value": (tp, selected),
        "negative_predictive_value": (tn, rejected),
        "accuracy": (tp + tn, total),
        "base_rate": (positive, total),
    }


def _comparisons() -> tuple[Metric, ...]:
    made = []
    for rate in RATES:
        made.append(
            Metric(
                name=f"{rate.name}_ratio", evidence="fairness", form="ratio", of=(rate.name,), better="higher", unit="ratio",
                text=f"smallest {rate.name} of any group divided by the largest",
            )
        )  # fmt: skip
        made.append(
            Metric(
                name=f"{rate.name}_difference", evidence="fairness", form="difference", of=(rate.name,), better="lower",
                text=f"largest {rate.name} of any group minus the smallest",
            )
        )  # fmt: skip
    return tuple(made)


_NAMED = (
    Metric(name="demographic_parity_difference", evidence="fairness", form="difference", of=("selection_rate",), better="lower",
           text="largest selection rate of any group minus the smallest"),
    Metric(name="demographic_parity_ratio", evidence="fairness", form="ratio", of=("selection_rate",), better="higher", unit="ratio",
           text="smallest selection rate of any group divided by the largest"),
    Metric(name="equal_opportunity_difference", evidence="fairness", form="difference", of=("true_positive_rate",), better="lower",
           text="largest true positive rate of any group minus the smallest"),
    Metric(name="equalized_odds_difference", evidence="fairness", form="difference",
           of=("true_positive_rate", "false_positive_rate"), better="lower",
           text="the larger of the true positive rate and false positive rate differences"),
    Metric(name="equalized_odds_ratio", evidence="fairness", form="ratio",
           of=("true_positive_rate", "false_positive_rate"), better="higher", unit="ratio",
           text="the smaller of the true positive rate and false positive rate ratios"),
)  # fmt: skip
"""The comparisons under the names that fairlearn gives them."""

_PERFORMANCE = (
    _rate("accuracy", "higher", "share of rows predicted right", "performance"),
    _rate("true_positive_rate", "higher", "recall: share of positives that are found", "performance"),
    _rate("false_positive_rate", "lower", "share of negatives predicted positive", "performance"),
    _rate("positive_predictive_value", "higher", "precision: share of predicted positives that are", "performance"),
    _rate("selection_rate", None, "share of rows predicted positive", "performance"),
    _rate("base_rate", None, "share of rows that are positive", "performance"),
    Metric(name="balanced_accuracy", evidence="performance", form="score", better="higher", text="mean of TPR and TNR"),
    Metric(name="f1", evidence="performance", form="score", better="higher", text="harmonic mean of precision and recall"),
    Metric(name="roc_auc", evidence="performance", form="score", better="higher",
           text="probability that a random positive scores above a random negative, ties counted half"),
    Metric(name="brier_score", evidence="performance", form="score", better="lower", text="mean squared error of the score"),
    Metric(name="log_loss", evidence="performance", form="score", better="lower", high=None, unit="nats",
           text="mean negative log likelihood of the score"),
)  # fmt: skip

_EXPLANATION = (
    Metric(name="additivity_error", evidence="explanation", form="score", better="lower", high=None, unit="model output",
           text="largest absolute difference between output - base and the sum of attributions, over all explained rows"),
    Metric(name="rank_stability", evidence="explanation", form="score", better="higher",
           text="share of bootstrap replicates over rows in which the set of top features is the same"),
    Metric(name="protected_share", evidence="explanation", form="score", better="lower",
           text="share of the total mean absolute attribution that falls on sensitive columns"),
)  # fmt: skip

METRICS: dict[tuple[str, str], Metric] = {
    (metric.evidence, metric.name): metric
    for metric in (*RATES, *_comparisons(), *_NAMED, *_PERFORMANCE, *_EXPLANATION)
}
"""Every metric by (kind of evidence, name)."""


def metric(evidence: str, name: str) -> Metric:
    """Look a metric up.

    Raises
    ------
    PolicyError
        If no assessment of that kind measures it; names the nearest one that is measured.
    """
    try:
        return METRICS[evidence, name]
    except KeyError:
        from difflib import get_close_matches

        known = sorted(known_name for kind, known_name in METRICS if kind == evidence)
        near = get_close_matches(name, known, n=1)
        raise PolicyError(
            f"{evidence} evidence has no metric {name!r}",
            expected=f"one of {', '.join(known)}" if known else "fairness, performance or explanation evidence",
            next_step=f"did you mean {near[0]!r}?" if near else None,
        ) from None
