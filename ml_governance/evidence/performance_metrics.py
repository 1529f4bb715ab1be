"""The metrics of performance that are no plain rate of the confusion matrix, and that other kinds of evidence do not share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.metric_definition import Metric

if TYPE_CHECKING:
    from ml_governance.evidence.metric_definition import Better

_DELONG = (
    "Hanley and McNeil, Radiology 143 (1982) 29; interval: DeLong et al., Biometrics 44 (1988) 837; Newcombe, Statistics in "
    "Medicine 25 (2006) 559"
)
_BRIER = "Brier, Monthly Weather Review 78 (1950) 1"
_BALANCED = "Brodersen et al., ICPR 2010, 3121"
_F1 = "van Rijsbergen, Information Retrieval (1979), chapter 7"
_ECE = "Naeini, Cooper and Hauskrecht, AAAI 2015, 2901"
_MASSART = "; interval: Massart, Annals of Probability 18 (1990) 1269"
_COX = "Cox, Biometrika 45 (1958) 562"
_COST = "Elkan, IJCAI 2001, 973; interval: Zou and Donner, Statistics in Medicine 27 (2008) 1693"
_BENEFIT = "Vickers and Elkin, Medical Decision Making 26 (2006) 565; interval: Zou and Donner, Statistics in Medicine 27 (2008) 1693"
_HALVES = "Cox, Biometrika 62 (1975) 441, on choosing on one part and testing on the other"
_TREE = f"Chung et al. (Slice Finder), ICDE 2019, 1550; {_HALVES}"
_SEARCHED = "undefined where no column cuts the rows; insufficient where the slice has few rows on the half that it is measured on"


def _number(name: str, better: Better | None, text: str, formula: str, source: str, **more: Any) -> Metric:
    return Metric(
        **more,
        name=name,
        evidence="performance",
        form="score",
        better=better,
        text=text,
        formula=formula,
        source=source,
    )


_PERFORMANCE = (
    _number("balanced_accuracy", "higher", "mean of TPR and TNR", "(TPR + TNR) / 2", _BALANCED,
           edge="undefined where a class is missing"),
    _number("f1", "higher", "harmonic mean of precision and recall", "2 TP / (2 TP + FP + FN)", _F1,
           edge="undefined where no row is positive or predicted positive"),
    _number("roc_auc", "higher", "probability that a random positive scores above a random negative, ties counted half",
           "P(s+ > s-) + P(s+ = s-) / 2", _DELONG,
           edge="undefined where a class is missing; all scores equal give 1/2"),
    _number("brier_score", "lower", "mean squared error of the score", "mean (s - y)^2", _BRIER,
           edge="undefined if all rows weigh 0"),
    _number("log_loss", "lower", "mean negative log likelihood of the score", "-mean log P(y)",
           "Good, Journal of the Royal Statistical Society B 14 (1952) 107", high=None, unit="nats",
           edge="undefined where a score calls a label impossible"),
)  # fmt: skip

_DISCRIMINATION = (
    _number("gini", "higher", "Gini coefficient of the ranking, or accuracy ratio: 0 is chance, 1 is perfect", "2 AUC - 1",
           "Somers, American Sociological Review 27 (1962) 799; " + _DELONG, low=-1.0,
           edge="undefined where a class is missing; below 0 where the ranking is worse than chance"),
    _number("ks_statistic", "higher", "largest distance between the score distributions of the two classes",
           "sup_t |F_1(t) - F_0(t)|", "Smirnov, Annals of Mathematical Statistics 19 (1948) 279" + _MASSART,
           edge="undefined where a class is missing; above 0 by chance alone"),
    _number("average_precision", "higher", "mean over positives of the precision at their score", "sum_k (R_k - R_k-1) P_k",
           "Boyd, Eng and Page, ECML 2013, 451", edge="undefined without positives; chance gives the share of positives"),
)  # fmt: skip

_CALIBRATED = (
    _number("ece", "lower", "expected calibration error in 15 bins of equal width; its interval allows for the noise in it",
           "sum_b n_b / N |mean y_b - mean s_b|", _ECE, edge="undefined without rows; above 0 by chance alone"),
    _number("mean_score_error", None, "mean score minus share of positives: calibration in the large", "mean (s - y)", _COX,
           low=-1.0, edge="undefined without rows; errors of both signs cancel"),
    _number("calibration_slope", None, "slope of the labels' logit on the score's: 1 if calibrated, below 1 if scores are too extreme",
           "b of logit P(y) = a + b logit(s)", _COX, low=None, high=None, unit="slope",
           edge="undefined with one class, a score of 0 or 1, scores all alike, or scores that separate the classes"),
    _number("top_label_ece", "lower", "expected calibration error of the probability of the predicted class, of several",
           "sum_b n_b / N |share right_b - mean top probability_b|", "Guo et al., ICML 2017, 1321",
           edge="undefined without rows; above 0 by chance alone"),
)  # fmt: skip

_COSTED = (
    _number("mean_cost", "lower", "mean cost of a decision under the stated costs", "(c_fp FP + c_fn FN) / N", _COST, high=None,
           unit="cost", edge="undefined without rows; the costs are in the evidence"),
    _number("cost_saving", "higher", "mean cost saved against deciding for all or for none, whichever costs less",
           "min(c_fn TP - c_fp FP, c_fp TN - c_fn FN) / N", _BENEFIT, low=None, high=None, unit="cost",
           edge="undefined without rows; 0 or less where the model is of no use at these costs"),
    _number("chosen_threshold", None, "threshold that costs least on one half of the rows; its interval is the range of those that the "
           "other half does not show to cost more", "argmin_t cost(t)", _HALVES, unit="score",
           edge="undefined where a half has one class only"),
    _number("chosen_threshold_cost", "lower", "mean cost at the chosen threshold, on the half that had no part in the choice",
           "(c_fp FP + c_fn FN) / N", _COST, high=None, unit="cost", edge="undefined where a half has one class only"),
    _number("chosen_threshold_gain", "lower", "mean cost that the chosen threshold saves over the decisions made, on the half that had "
           "no part in the choice", "mean cost(decisions) - mean cost(chosen)", _COST, low=None, high=None, unit="cost",
           edge="undefined where a half has one class only; above 0 where the threshold in use is a costly one"),
)  # fmt: skip

_SLICES = (
    _number("worst_slice_error_rate", "lower",
           "share of rows predicted wrong in the slice that looked worst on one half, measured on the other",
           "errors / rows of the slice", _TREE, edge=_SEARCHED),
    _number("worst_slice_error_rate_gap", "lower", "error rate of that slice minus that of all other rows", "x_slice - x_rest",
           _TREE, low=-1.0, edge=_SEARCHED),
    _number("worst_slice_mean_absolute_error", "lower", "mean absolute error in the slice that looked worst on one half, measured on the "
           "other", "mean |pred - y| of the slice", _TREE, high=None, unit="target", edge=_SEARCHED),
    _number("worst_slice_mean_absolute_error_gap", "lower", "mean absolute error of that slice minus that of all other rows",
           "x_slice - x_rest", _TREE, low=None, high=None, unit="target", edge=_SEARCHED),
)  # fmt: skip

_OF_CLASSES = (
    _number("macro_roc_auc", "higher", "mean over classes of the probability that a row of the class scores higher for it than another",
           "mean_c AUC_c", "Provost and Domingos, CeDER 00-04 (2000); interval: DeLong et al., Biometrics 44 (1988) 837",
           edge="undefined where a class has no row; rests on the rows of the smallest class"),
    _number("multiclass_brier_score", "lower", "mean over rows of the squared error of all probabilities, 0 to 2",
           "mean sum_c (s_c - [y = c])^2", _BRIER, high=2.0, edge="undefined without rows; twice the binary one for two classes"),
)  # fmt: skip

PERFORMANCE = (*_PERFORMANCE, *_DISCRIMINATION, *_CALIBRATED, *_COSTED, *_SLICES, *_OF_CLASSES)
