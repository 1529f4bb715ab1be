"""The metrics of robustness evidence: how decisions hold under noise, gaps, swaps, shifts and another training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.metric_definition import Metric

if TYPE_CHECKING:
    from ml_governance.evidence.metric_definition import Better, Form

_NOISE = "Hendrycks and Dietterich, ICLR 2019"
_FLIPS = f"{_NOISE} (flip rate); interval: Wilson, JASA 22 (1927) 209, wide enough for any mean of numbers from 0 to 1"
_STRATA = "Horvitz and Thompson, JASA 47 (1952) 663; interval: Zou and Donner, Statistics in Medicine 27 (2008) 1693, or wider"
_WORST = (
    "Subbaswamy, Adams and Saria, AISTATS 2021, 2611; Duchi, Hashimoto and Namkoong, Operations Research 71 (2023) 649"
)


def _one(name: str, form: Form, better: Better, text: str, formula: str, source: str, edge: str, **more: Any) -> Metric:
    return Metric(
        name=name, evidence="robustness", form=form, better=better, text=text, formula=formula, source=source, edge=edge, **more
    )  # fmt: skip


_UNTAKEN = "undefined where the model does not take such rows"

ROBUSTNESS = (
    _one("repeat_flip_rate", "rate", "lower", "share of rows whose decision changes when the model is asked again about the same rows",
         "#(d(x) != d(x) asked again) / N", "by definition", "0 for a model without chance of its own; read the others beside it"),
    _one("noise_flip_rate", "score", "lower", "mean share of draws of noise that change a row's decision",
         "mean_i mean_r [d(x_i + e_ir) != d(x_i)], e_ijr ~ N(0, (scale sd_j)^2), kept within the column's range", _FLIPS,
         f"undefined where the model takes no number of more than two values; {_UNTAKEN}"),
    _one("noise_unstable_rate", "rate", "lower", "share of rows whose decision any of the draws of noise changes",
         "#(some r: d(x_i + e_ir) != d(x_i)) / N", _NOISE, "as noise_flip_rate; rises with the number of draws, which the report names"),
    _one("missing_flip_rate", "score", "lower", "mean share of draws in which a row's decision changes when one of its columns is missing",
         "mean_i mean_r [d(x_i without column j_ir) != d(x_i)], j_ir uniform", _FLIPS, _UNTAKEN),
    _one("missing_unstable_rate", "rate", "lower", "share of rows whose decision changes in any of the draws when one column is missing",
         "#(some r: d(x_i without column j_ir) != d(x_i)) / N", _NOISE,
         "as missing_flip_rate; rises with the number of draws, which the report names"),
    _one("swap_flip_rate", "score", "lower", "mean share of draws in which a row's decision changes when one of its categories is another",
         "mean_i mean_r [d(x_i with another level of column j_ir) != d(x_i)], levels by their frequency", _FLIPS,
         f"undefined without a column of two levels or more; {_UNTAKEN}"),
    _one("swap_unstable_rate", "rate", "lower", "share of rows whose decision changes in any of the draws when one category is another",
         "#(some r: d(x_i with another level of column j_ir) != d(x_i)) / N", _NOISE,
         "as swap_flip_rate; rises with the number of draws, which the report names"),
    _one("shifted_accuracy", "score", "higher", "accuracy if the levels of a column had the stated shares",
         "sum_l q_l accuracy_l, q the stated shares", _STRATA,
         "by column; undefined without labels, or where a level with a share has no row; within a level rows are taken to stay alike"),
    _one("worst_shift_accuracy", "score", "higher", "accuracy under the shift of one column that half of the rows found worst, measured on "
         "the other half", "sum_b q_b accuracy_b, q_b <= p_b / worst_share", f"{_WORST}; {_STRATA}",
         "undefined without labels, or with too few rows to halve; no worse than the worst shift of bins of one column"),
    _one("monotonicity_violation_rate", "rate", "lower", "share of rows whose score moves against a stated direction somewhere as one "
         "column runs through its values", "#(some v < v': s(x_i, v') < s(x_i, v)) / N for '+'", "Sill, NIPS 1997, 661",
         "by column, and over all stated columns; not measured where none is stated"),
    _one("rerun_disagreement", "rate", "lower", "share of rows that a second training decides differently",
         "#(d(x) != d'(x)) / N", "Milani Fard et al., NIPS 2016, 3179 (churn)", "not measured without a second training"),
    _one("rerun_largest_difference", "score", "lower", "largest absolute difference of the scores of two trainings",
         "max_i |s(x_i) - s'(x_i)|", "by definition", "undefined where either model has no scores; no interval", high=None,
         unit="model output"),
    _one("rerun_identical", "score", "higher", "1 if both trainings gave the same bytes, else 0", "[sha256 = sha256']", "by definition",
         "undefined where the bytes of a model are not known; other bytes may still decide alike"),
)  # fmt: skip
