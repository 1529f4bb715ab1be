"""The registry of metrics: what a name in a report or a policy means.

A rule can only use a metric that stands here, and takes its direction, range and unit from here.
"""

from __future__ import annotations

from dataclasses import replace

from ml_governance.errors import PolicyError
from ml_governance.evidence.metric_catalogue import CATALOGUE, UNCOMPARABLE
from ml_governance.evidence.metric_definition import Better, Form, Metric
from ml_governance.evidence.metrics_of_data import DATA_METRICS

__all__ = ["METRICS", "RATES", "Form", "Metric", "metric", "rate_counts"]

_CONFUSION = "Fawcett, Pattern Recognition Letters 27 (2006) 861"
_PARITY = "Dwork et al., ITCS 2012, 214"
_ODDS = "Hardt, Price and Srebro, NIPS 2016, 3315"
_FRAME = "Weerts et al. (fairlearn), JMLR 24 (2023) 257"
_PREDICTIVE = "Chouldechova, Big Data 5 (2017) 153"


_NONE_OF = {
    "N": "undefined without rows, or if all weigh 0",
    "(TP + FN)": "undefined where no row is positive",
    "(FP + TN)": "undefined where no row is negative",
    "(TP + FP)": "undefined where no row is predicted positive",
    "(TN + FN)": "undefined where no row is predicted negative",
}
"""What it is when a denominator is 0; nothing is ever taken for 0/0."""


def _rate(
    name: str, better: Better | None, text: str, formula: str, source: str = _CONFUSION, evidence: str = "fairness"
) -> Metric:
    return Metric(
        name=name, evidence=evidence, form="rate", better=better, text=text, formula=formula, source=source,
        edge=_NONE_OF[formula.partition(" / ")[2]],
    )  # fmt: skip


RATES: tuple[Metric, ...] = (
    _rate("selection_rate", None, "share of rows predicted positive", "(TP + FP) / N", _PARITY),
    _rate("true_positive_rate", "higher", "share of true positives among the rows that are positive", "TP / (TP + FN)"),
    _rate("false_positive_rate", "lower", "share of false positives among the rows that are negative", "FP / (FP + TN)"),
    _rate("true_negative_rate", "higher", "share of true negatives among the rows that are negative", "TN / (FP + TN)"),
    _rate("false_negative_rate", "lower", "share of false negatives among the rows that are positive", "FN / (TP + FN)"),
    _rate("positive_predictive_value", "higher", "share of true positives among the rows predicted positive",
          "TP / (TP + FP)"),
    _rate("negative_predictive_value", "higher", "share of true negatives among the rows predicted negative",
          "TN / (TN + FN)"),
    _rate("false_discovery_rate", "lower", "share of false positives among the rows predicted positive",
          "FP / (TP + FP)"),
    _rate("false_omission_rate", "lower", "share of false negatives among the rows predicted negative",
          "FN / (TN + FN)"),
    _rate("accuracy", "higher", "share of rows predicted right", "(TP + TN) / N"),
    _rate("base_rate", None, "share of rows that are positive", "(TP + FN) / N"),
)  # fmt: skip
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
        "false_discovery_rate": (fp, selected),
        "false_omission_rate": (fn, rejected),
        "accuracy": (tp + tn, total),
        "base_rate": (positive, total),
    }


def _comparison(name: str, form: str, of: tuple[str, ...], text: str, source: str) -> Metric:
    if form == "ratio":
        formula = "min_g x_g / max_g x_g" if len(of) == 1 else "min over both of min_g x_g / max_g x_g"
        return Metric(
            name=name, evidence="fairness", form="ratio", of=of, better="higher", unit="ratio", text=text,
            formula=formula, source=source, edge=f"{UNCOMPARABLE}, or if every rate is 0; 0 if one is",
        )  # fmt: skip
    formula = "max_g x_g - min_g x_g" if len(of) == 1 else "max over both of max_g x_g - min_g x_g"
    return Metric(
        name=name,
        evidence="fairness",
        form="difference",
        of=of,
        better="lower",
        text=text,
        formula=formula,
        source=source,
        edge=UNCOMPARABLE,
    )


def _comparisons() -> tuple[Metric, ...]:
    made = []
    for rate in RATES:
        for form, text in (
            ("ratio", f"smallest {rate.name} of any group divided by the largest"),
            ("difference", f"largest {rate.name} of any group minus the smallest"),
        ):
            made.append(_comparison(f"{rate.name}_{form}", form, (rate.name,), text, _FRAME))
    return tuple(made)


_BOTH = ("true_positive_rate", "false_positive_rate")
_NAMED = (
    _comparison("demographic_parity_difference", "difference", ("selection_rate",),
                "largest selection rate of any group minus the smallest", _PARITY),
    _comparison("demographic_parity_ratio", "ratio", ("selection_rate",),
                "smallest selection rate of any group divided by the largest", _PARITY),
    _comparison("equal_opportunity_difference", "difference", ("true_positive_rate",),
                "largest true positive rate of any group minus the smallest", _ODDS),
    _comparison("equal_opportunity_ratio", "ratio", ("true_positive_rate",),
                "smallest true positive rate of any group divided by the largest", _ODDS),
    _comparison("equalized_odds_difference", "difference", _BOTH,
                "the larger of the true positive rate and false positive rate differences", _ODDS),
    _comparison("equalized_odds_ratio", "ratio", _BOTH,
                "the smaller of the true positive rate and false positive rate ratios", _ODDS),
    _comparison("predictive_parity_difference", "difference", ("positive_predictive_value",),
                "largest positive predictive value of any group minus the smallest", _PREDICTIVE),
    _comparison("predictive_parity_ratio", "ratio", ("positive_predictive_value",),
                "smallest positive predictive value of any group divided by the largest", _PREDICTIVE),
)  # fmt: skip
"""The comparisons under the names that the literature and fairlearn give them."""

_PERFORMANCE = (
    _rate("accuracy", "higher", "share of rows predicted right", "(TP + TN) / N", evidence="performance"),
    _rate("true_positive_rate", "higher", "recall: share of positives that are found", "TP / (TP + FN)",
          evidence="performance"),
    _rate("false_positive_rate", "lower", "share of negatives predicted positive", "FP / (FP + TN)",
          evidence="performance"),
    _rate("positive_predictive_value", "higher", "precision: share of predicted positives that are", "TP / (TP + FP)",
          evidence="performance"),
    _rate("selection_rate", None, "share of rows predicted positive", "(TP + FP) / N", evidence="performance"),
    _rate("base_rate", None, "share of rows that are positive", "(TP + FN) / N", evidence="performance"),
)  # fmt: skip

_IN_USE = tuple(replace(metric, evidence="monitoring") for metric in (*RATES, *_comparisons(), *_NAMED))
"""In production: rates of selection over all predictions, the others over those whose label has arrived."""

METRICS: dict[tuple[str, str], Metric] = {
    (metric.evidence, metric.name): metric
    for metric in (*RATES, *_comparisons(), *_NAMED, *_PERFORMANCE, *CATALOGUE, *DATA_METRICS, *_IN_USE)
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
