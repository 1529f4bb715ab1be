"""The metrics that are no plain rate and no comparison of plain rates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_governance.evidence.metric_definition import Metric
from ml_governance.evidence.metrics_of_robustness import ROBUSTNESS
from ml_governance.evidence.metrics_of_security import SECURITY
from ml_governance.evidence.performance_metrics import PERFORMANCE

if TYPE_CHECKING:
    from ml_governance.evidence.metric_definition import Better

_DELONG = (
    "Hanley and McNeil, Radiology 143 (1982) 29; interval: DeLong et al., Biometrics 44 (1988) 837; Newcombe, Statistics in "
    "Medicine 25 (2006) 559"
)
_BRIER = "Brier, Monthly Weather Review 78 (1950) 1"
_BALANCED = "Brodersen et al., ICPR 2010, 3121"
_F1 = "van Rijsbergen, Information Retrieval (1979), chapter 7"
_BERK = "Berk et al., Sociological Methods and Research 50 (2021) 3"
_AIF = "Bellamy et al. (AIF360), IBM Journal of Research and Development 63 (2019) 4:1"
_ECE = "Naeini, Cooper and Hauskrecht, AAAI 2015, 2901"
_MOVER = "; interval: Zou and Donner, Statistics in Medicine 27 (2008) 1693"
_MASSART = "; interval: Massart, Annals of Probability 18 (1990) 1269"
_STRATA = "Kamiran, Zliobaite and Calders, Knowledge and Information Systems 35 (2013) 613"
_MACRO = "Yang, Information Retrieval 1 (1999) 69"
_RISK = "Agarwal, Dudik and Wu, ICML 2019, 120"
_EXPOSURE = "Singh and Joachims, KDD 2018, 2219"
_NDCG = "Jarvelin and Kekalainen, ACM TOIS 20 (2002) 422"


UNCOMPARABLE = "undefined with one group, or if a group's own number is"


def _score(name: str, better: Better | None, text: str, formula: str, source: str, **more: Any) -> Metric:
    return Metric(
        **{"evidence": "fairness", **more},
        name=name, form="score", better=better, text=text, formula=formula, source=source,
    )  # fmt: skip


def _over(name: str, better: Better | None, text: str, formula: str, source: str, **more: Any) -> Metric:
    return Metric(
        **{"evidence": "fairness", **more},
        name=name, form="aggregate", better=better, text=text, formula=formula, source=source,
    )  # fmt: skip


def _difference(of: str, words: str, source: str, **more: Any) -> Metric:
    return _over(
        f"{of}_difference", "lower", f"largest {words} of any group minus the smallest", "max_g x_g - min_g x_g",
        source, of=(of,), edge=UNCOMPARABLE, **more,
    )  # fmt: skip


def _ratio(of: str, words: str, source: str) -> Metric:
    return _over(
        f"{of}_ratio", "higher", f"smallest {words} of any group divided by the largest", "min_g x_g / max_g x_g",
        source, of=(of,), unit="ratio", edge=f"{UNCOMPARABLE}, or if all are 0; 0 if one is",
    )  # fmt: skip


_BINARY = (
    Metric(name="group_share", evidence="fairness", form="rate", better=None, text="share of all rows that are of the group; "
           "the numerator is the size of the group", formula="N_g / N", source="definition",
           edge="never undefined; a group without rows is not there"),
    _score("balanced_accuracy", "higher", "mean of the true positive rate and the true negative rate", "(TPR + TNR) / 2",
           _BALANCED + _MOVER,
           edge="undefined where a class is missing"),
    _difference("balanced_accuracy", "balanced accuracy", _BALANCED + _MOVER),
    _ratio("balanced_accuracy", "balanced accuracy", _BALANCED + _MOVER),
    _score("f1", "higher", "harmonic mean of precision and recall", "2 TP / (2 TP + FP + FN)", _F1,
           edge="undefined where no row is positive or predicted positive"),
    _difference("f1", "F1", _F1 + _MOVER),
    _ratio("f1", "F1", _F1 + _MOVER),
    _score("treatment_equality", None, "false negatives for each false positive", "FN / FP", _BERK, high=None,
           unit="ratio",
           edge="undefined without false positives"),
    _ratio("treatment_equality", "ratio of false negatives to false positives", _BERK + _MOVER),
    _over("average_odds_difference", None, "mean of the false and true positive rate differences, unprivileged minus "
          "privileged; its parts can cancel; measured on request only", "((FPR_u - FPR_p) + (TPR_u - TPR_p)) / 2", _AIF,
          low=-1.0,
           edge="undefined if a side has no positives or no negatives; gaps of opposite sign cancel to 0"),
    _over("average_abs_odds_difference", "lower", "mean of the absolute false and true positive rate differences between "
          "unprivileged and privileged; measured on request only", "(|FPR_u - FPR_p| + |TPR_u - TPR_p|) / 2", _AIF,
           edge="undefined if a side has no positives or no negatives"),
    _over("conditional_demographic_parity_difference", "lower", "largest difference of selection rates between two groups "
          "within strata of the control features, pooled", "max_ij |sum_s w_s (p_is - p_js)| / sum_s w_s, "
          "w_s = n_is n_js / (n_is + n_js)", f"{_STRATA}; Mantel and Haenszel, JNCI 22 (1959) 719; Sato, Biometrics 45 (1989) 1323",
           edge="undefined with one group, or if two groups never meet in a stratum; strata that oppose each other cancel"),
    _over("conditional_demographic_parity_ratio", "higher", "smallest ratio of selection rates of two groups within strata of "
          "the control features, pooled", "min_ij sum_s (k_is n_js / n_s) / sum_s (k_js n_is / n_s)",
          f"{_STRATA}; Greenland and Robins, Biometrics 41 (1985) 55", unit="ratio",
           edge="undefined with one group, if two groups never meet in a stratum, or if neither of two has a case"),
)  # fmt: skip

_SCORES = (
    _score("roc_auc", "higher", "probability that a random positive scores above a random negative, ties counted half",
           "P(s+ > s-) + P(s+ = s-) / 2", _DELONG,
           edge="undefined where a class is missing; all scores equal give 1/2"),
    _difference("roc_auc", "AUC", _DELONG + _MOVER),
    _score("brier_score", "lower", "mean squared error of the score", "mean (s - y)^2", _BRIER,
           edge="undefined if all rows weigh 0"),
    _difference("brier_score", "Brier score", _BRIER + _MOVER),
    _score("ece", "lower", "expected calibration error in 15 bins of equal width: it is above 0 by chance alone",
           "sum_b n_b / N |mean y_b - mean s_b|", _ECE,
           edge="undefined if all rows weigh 0; no interval, since noise only adds to it"),
    _score("ece_debiased", "lower", "expected calibration error less an estimate of the part that sampling noise adds, at least 0",
           "max(0, 2 ECE - sum_b n_b / N E|d_b + noise_b|)", "Kumar, Liang and Ma, NeurIPS 2019",
           edge="undefined where rows are weighted; cut off at 0, so without an interval"),
    _difference("ece_debiased", "debiased calibration error", "Kumar, Liang and Ma, NeurIPS 2019"),
    _over("abroca", "lower", "largest area between the ROC curves of two groups", "max_ij int |ROC_i(t) - ROC_j(t)| dt",
          "Gardner, Brooks and Baker, LAK 2019, 225" + _MASSART,
           edge="undefined with one group, where a group lacks a class, or for more than 64 groups"),
    _over("score_ks", "lower", "largest distance between the score distribution functions of two groups",
          "max_ij sup_t |F_i(t) - F_j(t)|", "Smirnov, Annals of Mathematical Statistics 19 (1948) 279" + _MASSART,
           edge="undefined with one group, or for more than 64 groups"),
    _over("score_wasserstein", "lower", "largest Wasserstein-1 distance between the score distributions of two groups",
          "max_ij int |F_i(t) - F_j(t)| dt", "Jiang et al., UAI 2019, 862" + _MASSART, unit="score",
           edge="undefined with one group, or for more than 64 groups"),
    _over("score_jensen_shannon", "lower", "largest Jensen-Shannon distance, to base 2, between the score distributions of two "
          "groups in 20 bins of equal width", "max_ij sqrt((KL(P_i|M) + KL(P_j|M)) / 2)",
          "Lin, IEEE Transactions on Information Theory 37 (1991) 145",
           edge="undefined with one group, or for more than 64 groups; no interval"),
)  # fmt: skip

_MULTICLASS = (
    _score("macro_true_positive_rate", "higher", "mean over classes of the share of the class that is found",
           "mean_c TP_c / (TP_c + FN_c)", _MACRO,
           edge="undefined where the group has no row of a class; rests on the rows of the smallest class"),
    _difference("macro_true_positive_rate", "macro recall", _MACRO + _MOVER),
    _ratio("macro_true_positive_rate", "macro recall", _MACRO + _MOVER),
    _score("macro_positive_predictive_value", "higher", "mean over classes of the share of predictions of the class that are right",
           "mean_c TP_c / (TP_c + FP_c)", _MACRO,
           edge="undefined where a class is never predicted for the group"),
    _difference("macro_positive_predictive_value", "macro precision", _MACRO + _MOVER),
    _ratio("macro_positive_predictive_value", "macro precision", _MACRO + _MOVER),
    _score("macro_f1", "higher", "mean over classes of F1", "mean_c 2 TP_c / (2 TP_c + FP_c + FN_c)", _MACRO,
           edge="undefined where a class has neither rows nor predictions in the group"),
    _difference("macro_f1", "macro F1", _MACRO),
    _ratio("macro_f1", "macro F1", _MACRO),
    _over("multiclass_demographic_parity_difference", "lower", "largest difference between groups in the share predicted as any "
          "one class", "max_c (max_g - min_g) P(pred = c | g)", "Denis et al., JMLR 25 (2024) 130",
           edge="undefined with one group"),
    _over("multiclass_equal_opportunity_difference", "lower", "largest difference between groups in the true positive rate of any "
          "one class", "max_c (max_g - min_g) TPR_cg", "Putzel and Lee, arXiv 2201.04461 (2022)",
           edge="undefined with one group, or where a group has no row of a class"),
    _over("multiclass_equalized_odds_difference", "lower", "largest difference between groups in the true or false positive rate of "
          "any one class", "max_c max(TPR, FPR differences of c)", "Putzel and Lee, arXiv 2201.04461 (2022)",
           edge="undefined with one group, or where a group has no row, or only rows, of a class"),
)  # fmt: skip

_REGRESSION = (
    _score("mean_error", None, "mean of prediction minus truth", "mean (pred - y)", "Calders et al., ICDM 2013, 71", low=None, high=None,
           unit="target",
           edge="undefined if all rows weigh 0; errors of both signs cancel"),
    _difference("mean_error", "mean error", "Calders et al., ICDM 2013, 71" + _MOVER, high=None, unit="target"),
    _score("mean_absolute_error", "lower", "mean absolute error", "mean |pred - y|", _RISK, high=None, unit="target",
           edge="undefined if all rows weigh 0; no interval where all errors are alike"),
    _difference("mean_absolute_error", "mean absolute error", _RISK + _MOVER, high=None, unit="target"),
    _ratio("mean_absolute_error", "mean absolute error", _RISK + _MOVER),
    _score("root_mean_squared_error", "lower", "square root of the mean squared error", "sqrt(mean (pred - y)^2)", _RISK,
           high=None, unit="target",
           edge="undefined if all rows weigh 0; no interval where all errors are alike"),
    _difference("root_mean_squared_error", "root mean squared error", _RISK + _MOVER, high=None, unit="target"),
    _ratio("root_mean_squared_error", "root mean squared error", _RISK + _MOVER),
    _score("r2", "higher", "share of the group's own variance of the target that predictions explain",
           "1 - sum (pred - y)^2 / sum (y - mean_g y)^2", "Kvalseth, American Statistician 39 (1985) 279", low=None,
           edge="undefined where the target does not vary in the group; below 0 where the group's mean would predict better"),
    _difference("r2", "R2", "Kvalseth, American Statistician 39 (1985) 279" + _MOVER, high=None),
    _score("mean_pinball_loss", "lower", "mean quantile error at the stated quantile q", "mean max(q (y - pred), (q - 1)(y - pred))",
           "Koenker and Bassett, Econometrica 46 (1978) 33", high=None, unit="target",
           edge="undefined if all rows weigh 0; no interval where all errors are alike"),
    _difference("mean_pinball_loss", "quantile error", "Koenker and Bassett, Econometrica 46 (1978) 33" + _MOVER, high=None,
                unit="target"),
    _ratio("mean_pinball_loss", "quantile error", "Koenker and Bassett, Econometrica 46 (1978) 33" + _MOVER),
)  # fmt: skip

_RANKING = (
    Metric(name="selection_rate_at_k", evidence="fairness", form="rate", better=None, text="share of the group's items that are "
           "among the first k", formula="#(rank <= k, g) / n_g", source="Yang and Stoyanovich, SSDBM 2017, 22",
           edge="items of equal score that straddle k share the last places; no interval for 2 to 9 queries"),
    Metric(name="selection_rate_at_k_ratio", evidence="fairness", form="ratio", of=("selection_rate_at_k",), better="higher",
           unit="ratio", text="smallest selection rate at k of any group divided by the largest",
           formula="min_g x_g / max_g x_g", source="Yang and Stoyanovich, SSDBM 2017, 22",
           edge="undefined with one group; 0 if nobody of a group is among the first k"),
    Metric(name="selection_rate_at_k_difference", evidence="fairness", form="difference", of=("selection_rate_at_k",),
           better="lower", text="largest selection rate at k of any group minus the smallest",
           formula="max_g x_g - min_g x_g", source="Yang and Stoyanovich, SSDBM 2017, 22",
           edge="undefined with one group"),
    _score("exposure", None, "mean attention that an item of the group gets at its rank", "mean_{i in g} 1 / log2(1 + rank_i)",
           _EXPOSURE, unit="exposure",
           edge="items of equal score share the exposure of their ranks; no interval under 10 queries that hold the group"),
    _ratio("exposure", "mean exposure", _EXPOSURE),
    _difference("exposure", "mean exposure", _EXPOSURE, unit="exposure"),
    _score("exposure_per_relevance", None, "exposure of the group divided by its mean relevance", "exposure_g / mean_{i in g} rel_i",
           _EXPOSURE, high=None, unit="exposure",
           edge="undefined where no item of the group is relevant"),
    _ratio("exposure_per_relevance", "exposure for the same relevance", _EXPOSURE),
    _score("ndcg", "higher", "discounted gain of the group's items ranked among themselves, over the best possible",
           "DCG_g / ideal DCG_g", _NDCG,
           edge="undefined where no item of the group is relevant; queries without relevant items of the group are left out"),
    _difference("ndcg", "NDCG", _NDCG),
)  # fmt: skip

_KERNEL = "Wand and Jones, Kernel Smoothing (1995), chapter 5; appendix D on bins"
_CONTINUOUS = (
    _over("spearman_correlation", None, "rank correlation of the outcome with the attribute", "corr(rank(a), rank(z))",
          "Spearman, American Journal of Psychology 15 (1904) 72", low=-1.0, unit="correlation",
           edge="undefined where every row has the same prediction"),
    _over("spearman_p_value", "higher", "probability of a rank correlation at least as strong if the two were independent",
          "(1 + #(|r*| >= |r|)) / (1 + permutations)", "Phipson and Smyth, SAGMB 9 (2010) 39", unit="probability",
           edge="undefined where every row has the same prediction; never 0"),
    _over("distance_correlation", "lower", "dependence of the outcome on the attribute of any shape: 0 only if there is none",
          "sqrt(dCov^2(a, z) / sqrt(dVar^2(a) dVar^2(z)))",
          "Szekely, Rizzo and Bakirov, Annals of Statistics 35 (2007) 2769", unit="correlation",
           edge="undefined where every row has the same prediction"),
    _over("distance_correlation_p_value", "higher", "probability of a distance correlation at least as large if the two were "
          "independent", "(1 + #(d* >= d)) / (1 + permutations)", "Phipson and Smyth, SAGMB 9 (2010) 39", unit="probability",
           edge="undefined where every row has the same prediction; never 0"),
    _over("local_selection_rate_difference", "lower", "largest selection rate along the attribute minus the smallest, smoothed",
          "max_a m(a) - min_a m(a)", _KERNEL,
           edge="undefined where the kernel holds too few rows everywhere; no interval"),
)  # fmt: skip

_EXPLANATION = (
    _score("additivity_error", "lower",
           "largest absolute difference between output - base and the sum of attributions, over all explained rows",
           "max_i |f(x_i) - base - sum_j phi_ij|", "Lundberg and Lee, NIPS 2017, 4765", evidence="explanation", high=None,
           unit="model output",
           edge="0 up to rounding for exact engines"),
    _score("rank_stability", "higher", "share of bootstrap replicates over rows in which the set of top features is the same",
           "mean_r [top_k(r) = top_k]", "Kalousis, Prados and Hilario, Knowledge and Information Systems 12 (2007) 95",
           evidence="explanation",
           edge="1 by definition where no more columns are explained than are compared"),
    _score("protected_share", "lower", "share of the total mean absolute attribution that falls on sensitive columns",
           "sum_{j sensitive} mean|phi_j| / sum_j mean|phi_j|", "Begley et al., arXiv 2010.07389 (2020)", evidence="explanation",
           edge="undefined where nothing is attributed to any column"),
)  # fmt: skip

_PSI = "Yurdakul and Naranjo, Journal of Risk Model Validation 14 (2020) 89"
_MONITORING = (
    _score("psi", "lower", "population stability index of a column between the approved rows and the window",
           "sum_b (q_b - p_b) ln(q_b / p_b)", _PSI, evidence="monitoring", high=None, unit="nats",
           edge="by column; never 0 by chance, so read it beside its null level; undefined without rows"),
    _score("psi_excess", "lower", "population stability index minus what two samples of one distribution, of these sizes and on these "
           "bins, exceed 5 times in 100", "psi - null level", _PSI, evidence="monitoring", low=None, high=None, unit="nats",
           edge="by column; 0 or less is what chance does; undefined without rows"),
    _score("largest_psi_excess", "lower", "largest population stability index of any column beyond what chance does",
           "max over columns of psi_excess", _PSI, evidence="monitoring", low=None, high=None, unit="nats",
           edge="undefined if a column's is, such as of one that the service stopped to send; insufficient if a column's is"),
    _score("psi_p_value", "higher", "probability of a population stability index at least as large by chance, adjusted for the number "
           "of columns", "Holm over the columns of the window",
           "Holm, Scandinavian Journal of Statistics 6 (1979) 65; " + _PSI, evidence="monitoring", unit="probability",
           edge="by column; with many rows a shift that matters to nobody has a small one; undefined without rows"),
    _score("labelled_share", "higher", "share of the window's predictions whose label has arrived", "labelled / predicted",
           "by definition", evidence="monitoring", edge="undefined without predictions"),
    _score("uncounted_share", "lower", "share of the window's predictions that could not be counted", "uncounted / predicted",
           "by definition", evidence="monitoring", edge="undefined without predictions"),
)  # fmt: skip

_SHARED = tuple(replace(one, evidence="performance") for one in (*_MULTICLASS, *_REGRESSION) if one.form == "score")

CATALOGUE = (
    *_BINARY, *_SCORES, *_MULTICLASS, *_REGRESSION, *_RANKING, *_CONTINUOUS, *PERFORMANCE, *_SHARED, *_EXPLANATION, *_MONITORING,
    *ROBUSTNESS, *SECURITY,
)  # fmt: skip
