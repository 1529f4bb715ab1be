"""The metrics of data quality and of privacy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_governance.evidence.metric_catalogue import CATALOGUE, UNCOMPARABLE
from ml_governance.evidence.metric_definition import Metric

if TYPE_CHECKING:
    from ml_governance.evidence.metric_definition import Better, Form

_DEFINITION = "by definition"
_LEDELL = (
    "interval: DeLong et al., Biometrics 44 (1988) 837; LeDell et al., Electronic Journal of Statistics 9 (2015) 1583"
)
_GOODMAN = "Goodman, Technometrics 7 (1965) 247"
_SWEENEY = "Sweeney, IJUFKS 10 (2002) 557"
_DIVERSE = "Machanavajjhala et al., ACM TKDD 1 (2007) 3"
_SMIRNOV = "Smirnov, Annals of Mathematical Statistics 19 (1948) 279"
_COPIES = "Platzer and Reutterer, Frontiers in Big Data 4 (2021) 679939"


def _of(
    evidence: str, form: Form, name: str, better: Better | None, text: str, formula: str, source: str, **more: Any
) -> Metric:
    return Metric(
        **{"edge": "undefined without rows", **more},
        name=name, evidence=evidence, form=form, better=better, text=text, formula=formula, source=source,
    )  # fmt: skip


def _data(form: Form, *said: Any, **more: Any) -> Metric:
    return _of("data-quality", form, *said, **more)


def _privacy(form: Form, *said: Any, **more: Any) -> Metric:
    return _of("privacy", form, *said, **more)


_QUALITY = (
    _data("rate", "missing_rate", "lower", "share of rows in which a column has no value: null, NaN or only blanks",
          "missing / rows", _DEFINITION, edge="by column, and by column within the groups of an attribute"),
    _data("score", "missing_gap", "lower", "largest missing rate of any group minus the smallest, of one column and one attribute",
          "max_g x_g - min_g x_g", "interval: Newcombe, Statistics in Medicine 17 (1998) 873", edge=UNCOMPARABLE),
    _data("rate", "incomplete_row_rate", "lower", "share of rows in which some column has no value", "rows with a gap / rows",
          _DEFINITION),
    _data("difference", "incomplete_row_rate_difference", "lower", "largest share of incomplete rows of any group minus the "
          "smallest", "max_g x_g - min_g x_g", _DEFINITION, of=("incomplete_row_rate",), edge=UNCOMPARABLE),
    _data("rate", "most_common_rate", None, "share of rows with the column's most common value, missing being one",
          "most common / rows", _DEFINITION, edge="by column"),
    _data("rate", "out_of_range_rate", "lower", "share of a column's values outside its stated range", "outside / values",
          _DEFINITION, edge="by column with a stated range; undefined where it has no value, or no numbers"),
    _data("rate", "duplicate_row_rate", "lower", "share of rows that equal an earlier row in every column but identifiers",
          "(rows - distinct rows) / rows", _DEFINITION, edge="people may be alike in every column"),
    _data("rate", "conflicting_label_rate", "lower", "share of rows that equal another in every column but have another label",
          "rows alike with two labels or more / rows", _DEFINITION, edge="measured where there is a label of few values"),
    _data("rate", "overlap_rate", "lower", "share of rows that equal a training row in every column but identifiers",
          "rows that stand in training / rows", _DEFINITION, edge="measured where training data are given"),
    _data("rate", "shared_identifier_rate", "lower", "share of identified rows whose identifier stands in the training data",
          "identifiers that stand in training / identified rows", _DEFINITION, edge="by stated identifier"),
    _data("rate", "label_share", None, "share of rows that have a label", "rows of the label / rows", _DEFINITION,
          edge="by label; measured for labels of few values"),
    _data("rate", "group_share", None, "share of rows that are of a group", "N_g / N", _DEFINITION),
    _data("score", "constant_columns", "lower", "columns that have one value in every row", "count", _DEFINITION, high=None,
          unit="columns", edge="a missing value is a value"),
    _data("score", "near_constant_columns", "lower", "columns that have one value in at least 99 of 100 rows", "count",
          _DEFINITION, high=None, unit="columns", edge="constant ones are among them"),
    _data("score", "identifier_columns", None, "columns that name the rows: stated, or whole numbers or text that differ in every "
          "row", "count", _DEFINITION, high=None, unit="columns", edge="not looked for in fewer than 100 rows"),
    _data("score", "mixed_type_columns", "lower", "columns that mix values of several types", "count", _DEFINITION, high=None,
          unit="columns", edge="files have one type for each column"),
    _data("score", "schema_differences", "lower", "columns that are absent, not expected, or of another type", "count",
          _DEFINITION, high=None, unit="columns", edge="measured with a stated schema, or against training data"),
    _data("score", "single_feature_auc", "lower", "how well one column by itself tells the label, for two rows of which one has it; "
          "near 1 it is likely a leak", "max over labels of max(AUC, 1 - AUC)", f"Hanley and McNeil, Radiology 143 (1982) 29; {_LEDELL}",
          edge="by column; a number is ranked, a category scored in other folds; leaks of several columns together are not seen"),
    _data("score", "representation_ratio", "higher", "share of a group over its share of the population", "(N_g / N) / q_g",
          _GOODMAN, high=None, unit="ratio", edge="undefined for a group that the population does not name, or has nobody of"),
    _data("score", "representation_difference", None, "share of a group minus its share of the population", "N_g / N - q_g",
          _GOODMAN, low=-1.0, edge="undefined for a group that the population does not name"),
    _data("aggregate", "representation_p_value", "higher", "probability of groups at least as far from the population by chance",
          "P(chi2 >= sum (N_g - N q_g)^2 / (N q_g))", "Pearson, Philosophical Magazine 50 (1900) 157", unit="probability",
          edge="simulated where fewer than 5 rows of a group are expected; undefined if a group is nobody's"),
    _data("score", "jensen_shannon", "lower", "Jensen-Shannon distance of a column between two samples",
          "sqrt((KL(p, m) + KL(q, m)) / 2), base 2", "Lin, IEEE Transactions on Information Theory 37 (1991) 145",
          edge="by column; never 0 by chance; undefined without rows"),
    _data("score", "total_variation", "lower", "half the sum of absolute differences of a column's shares between two samples",
          "sum_b |q_b - p_b| / 2", _DEFINITION, edge="by column; never 0 by chance; undefined without rows"),
    _data("score", "kolmogorov_smirnov", "lower", "largest difference of the distribution functions of a column between two samples",
          "max_x |F(x) - G(x)|", _SMIRNOV, edge="by column of numbers or times, over rows with a value"),
    _data("score", "kolmogorov_smirnov_p_value", "higher", "probability of such a distance by chance, adjusted for the number of "
          "columns", "Holm over the columns", f"Holm, Scandinavian Journal of Statistics 6 (1979) 65; {_SMIRNOV}", unit="probability",
          edge="by column; too large rather than too small where values repeat"),
    _data("score", "proxy_auc", "lower", "how well all other columns together tell a group from everybody else, in rows they did not "
          "learn from", "mean over folds of AUC", f"Friedman, Annals of Statistics 29 (2001) 1189; {_LEDELL}",
          edge="by group; 1/2 is chance; what boosted trees find, so at least as much is there"),
    _data("score", "single_proxy_auc", "lower", "how well one column by itself tells some group of an attribute from everybody else",
          "max over groups of max(AUC, 1 - AUC)", _LEDELL, edge="by column and attribute; 1/2 is chance"),
    *(replace(one, evidence="data-quality", text=one.text.replace("the approved rows and the window", "two samples"),
              formula=one.formula.replace("columns of the window", "columns"))
      for one in CATALOGUE if one.evidence == "monitoring" and "psi" in one.name),
)  # fmt: skip

_EXTREMES = (
    _data("score", "largest_missing_rate", "lower", "largest missing rate of any column", "max over columns of missing_rate",
          "by definition; interval: Bonferroni over columns"),
    _data("score", "largest_single_feature_auc", "lower", "how well the column that tells the label best does so by itself",
          "max over columns of single_feature_auc", f"{_LEDELL}; Bonferroni over columns",
          edge="undefined where the label is one and the same; insufficient if a column's is; measured for labels of few values"),
    _data("aggregate", "largest_proxy_auc", "lower", "how well all other columns together tell the group that they tell best",
          "max over groups of proxy_auc", f"{_LEDELL}; Bonferroni over groups", of=("proxy_auc",),
          edge="undefined if a group has under ten rows; 1/2 is chance"),
    _data("aggregate", "smallest_representation_ratio", "higher", "representation ratio of the group that is represented least",
          "min over groups of representation_ratio", _GOODMAN, of=("representation_ratio",), high=None, unit="ratio",
          edge="undefined if a group's is"),
)  # fmt: skip

_GIVEN_AWAY = (
    _privacy("score", "membership_auc", "lower", "probability that a training row has a smaller loss than another row, ties "
             "counted half: what an attack by loss can tell", "P(l_in < l_out) + P(l_in = l_out) / 2",
             "Yeom et al., CSF 2018, 268; interval: DeLong et al., Biometrics 44 (1988) 837",
             edge="1/2 is chance; undefined without both kinds of rows; a stronger attack may tell more"),
    _privacy("score", "membership_advantage", "lower", "true minus false positive rate of the attack, its threshold set on the other "
             "half of the rows", "TPR - FPR", "Yeom et al., CSF 2018, 268; interval: Newcombe, Statistics in Medicine 17 (1998) 873",
             low=-1.0, edge="0 is chance; below 0 only by chance"),
    _privacy("rate", "membership_tpr_at_low_fpr", "lower", "share of training rows that the attack finds when it is wrong about at "
             "most 1 in 100 others", "TPR where FPR <= 0.01", "Carlini et al., IEEE S&P 2022, 1897",
             edge="threshold set on the other half of the rows; 0.01 is chance; undefined with under 200 other rows"),
    _privacy("score", "k_anonymity", "higher", "rows of the smallest class that is alike in all quasi-identifiers", "min_c |c|",
             _SWEENEY, low=1.0, high=None, unit="rows",
             edge="of the released table itself, so without an interval; a missing value is a value"),
    _privacy("rate", "rows_below_k", "lower", "share of rows in a class smaller than the stated k", "rows in small classes / rows",
             _SWEENEY),
    _privacy("rate", "unique_row_rate", "lower", "share of rows alone with their quasi-identifiers", "classes of one row / rows",
             _SWEENEY),
    _privacy("score", "l_diversity", "higher", "distinct confidential values in the class that has fewest", "min_c |{s in c}|", _DIVERSE,
             low=1.0, high=None, unit="values", edge="by confidential column; a missing value is a value"),
    _privacy("score", "entropy_l_diversity", "higher", "the same, values counted by how evenly they occur",
             "min_c exp(-sum_s p_cs ln p_cs)", _DIVERSE, low=1.0, high=None, unit="values", edge="by confidential column"),
    _privacy("score", "t_closeness", "lower", "largest distance between the confidential values of a class and of the whole table",
             "max_c sum_s |p_cs - p_s| / 2", "Li, Li and Venkatasubramanian, ICDE 2007, 106",
             edge="by confidential column; values are taken as equally far from each other"),
    _privacy("rate", "copied_row_rate", "lower", "share of generated rows that equal a training row in every column",
             "copies / generated rows", _COPIES, edge="people may be alike in every column: see held_out_copied_row_rate"),
    _privacy("rate", "held_out_copied_row_rate", None, "share of held-out rows that equal a training row: what chance copies",
             "held-out rows in training / held-out rows", _COPIES),
    _privacy("score", "excess_copied_row_rate", "lower", "copied_row_rate minus held_out_copied_row_rate", "x - y",
             f"{_COPIES}; interval: Newcombe, Statistics in Medicine 17 (1998) 873", low=-1.0),
    _privacy("rate", "nearer_to_training_rate", "lower", "share of generated rows that are nearer to a training row than to any of as "
             "many held-out rows, rows equally near counted in turn", "nearer / compared rows", _COPIES, edge="1/2 is chance"),
)  # fmt: skip

DATA_METRICS: tuple[Metric, ...] = (*_QUALITY, *_EXTREMES, *_GIVEN_AWAY)
