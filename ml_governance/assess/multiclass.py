"""Group fairness of a classifier with several classes, from one confusion matrix of every group.

Each class is looked at against the rest, with the same rates as in the binary case; macro averages weigh classes alike. A
class that a group does not have leaves its macro recall undefined: a mean that leaves classes out would compare groups on
different classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import sensitive
from ml_governance.assess.confusion import code, count, one_vs_rest
from ml_governance.assess.contrasts import both_sides, check_levels, compared, measured
from ml_governance.assess.macro_averages import MACRO
from ml_governance.assess.rate_comparisons import compare_rates
from ml_governance.assess.rates import rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.confusion import ConfusionCube
    from ml_governance.evidence.intervals import Sides

CLASS = "class"
SHOWN_RATES = (
    "selection_rate", "true_positive_rate", "false_positive_rate", "positive_predictive_value", "base_rate",
)  # fmt: skip
SHOWN_CLASSES = 20
_AGGREGATES = {
    "multiclass_demographic_parity_difference": ("selection_rate",),
    "multiclass_equal_opportunity_difference": ("true_positive_rate",),
    "multiclass_equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class MulticlassReport(Report):
    """Group fairness over several classes.

    Parameters
    ----------
    confusion : ConfusionCube
        The counts that everything else follows from.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    confusion: ConfusionCube = field(repr=False)


def assess_multiclass(
    *,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    confidence: float = 0.95,
    min_group_size: int = 30,
    intersections: bool = True,
) -> MulticlassReport:
    """Measure group fairness of a classifier with two or more classes.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Labels and predicted labels; any values of one type.
    sensitive_features : data frame, column or dict of columns
        Groups. A missing value is a group of its own, ``(missing)``.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        What rests on fewer rows is ``insufficient``.
    intersections : bool, default True
        Also measure the crossing of all attributes.

    Returns
    -------
    MulticlassReport
        ``accuracy`` and macro recall, precision and F1 by group, with differences and ratios; the rates of each class
        against the rest under ``by=(attribute, "class")``; and the largest difference over classes as
        ``multiclass_demographic_parity_difference``, ``multiclass_equal_opportunity_difference`` and
        ``multiclass_equalized_odds_difference``.

    Raises
    ------
    DataError
        If a column is empty, of another length, has missing values, or looks like probabilities; or an attribute is
        called ``class``.
    """
    check_levels(confidence, min_group_size)
    true, predicted, classes = code(y_true, y_pred)
    coded = sensitive.read(sensitive_features, len(true))
    if CLASS in coded:
        raise DataError(f"a sensitive feature is called {CLASS!r}", expected="another name: classes go by that one")
    cube = count(true, predicted, classes, coded)
    bys = sensitive.crossings(tuple(coded), intersections=intersections)

    def source() -> Any:
        names = np.asarray(classes, dtype=object)
        return digest_of(
            "columns of the multiclass report", y_true=names[true], y_pred=names[predicted], **sensitive.spelled(coded)
        )

    return MulticlassReport(
        measurements=tuple(measure(cube, bys, confidence, min_group_size)),
        details=_details(cube, bys),
        columns={
            "y_true": str(getattr(y_true, "name", None) or "y_true"),
            "sensitive_features": list(coded),
            "classes": list(classes),
        },
        confidence=confidence,
        min_group_size=min_group_size,
        confusion=cube,
        source=source,
    )


def measure(
    cube: ConfusionCube, bys: Sequence[tuple[str, ...]], confidence: float, min_group_size: int
) -> list[Measurement]:
    """Measure everything: over all rows, by group, and between groups."""
    made = of_groups((), [((), next(iter(cube.groups(())))[1])], cube.classes, confidence, 1)
    for by in bys:
        groups = list(cube.groups(by))
        made += of_groups(by, groups, cube.classes, confidence, min_group_size)
        counts = [(group, float(np.trace(matrix)), float(matrix.sum())) for group, matrix in groups]
        for form in ("ratio", "difference"):
            made.append(
                compare_rates(
                    counts, "accuracy", form, by, int(sum(n for _, _, n in counts)), confidence, min_group_size,
                    family=1, weighted=False,
                )
            )  # fmt: skip
        for name, function in MACRO.items():
            numbers = [function(matrix, group, cube.classes) for group, matrix in groups]
            made.append(
                compared(f"{name}_difference", by, numbers, "difference", confidence, min_group_size, limit=1.0)
            )
            made.append(compared(f"{name}_ratio", by, numbers, "ratio", confidence, min_group_size))
        made += [_over_classes(name, by, groups, cube.classes, confidence, min_group_size) for name in _AGGREGATES]
    return made


def of_groups(
    by: tuple[str, ...], groups: list[tuple[tuple[str, ...], NDArray[np.int64]]], classes: tuple[str, ...],
    confidence: float, minimum: int,
) -> list[Measurement]:  # fmt: skip
    """Return accuracy, macro averages and the rates of each class of every group, from its confusion matrix."""
    made = []
    for group, matrix in groups:
        n, right = int(matrix.sum()), float(np.trace(matrix))
        made.append(rate_measurement("accuracy", right, n, n, by, group, confidence, minimum))
        made += [measured(name, by, one(matrix, group, classes), confidence, minimum) for name, one in MACRO.items()]
        for index, name in enumerate(classes):
            counts = one_vs_rest(matrix, index)
            made += [
                rate_measurement(rate, *counts[rate], n, (*by, CLASS), (*group, name), confidence, minimum)
                for rate in SHOWN_RATES
            ]
    return made


def _over_classes(
    name: str, by: tuple[str, ...], groups: list[tuple[tuple[str, ...], NDArray[np.int64]]], classes: tuple[str, ...],
    confidence: float, minimum: int,
) -> Measurement:  # fmt: skip
    common: dict[str, Any] = {"metric": name, "by": by, "n": int(sum(matrix.sum() for _, matrix in groups))}
    if len(groups) < 2:
        return Measurement(**common, status="undefined", reason="there is only one group to compare")
    families = []
    small: set[str] = set()
    for index, own in enumerate(classes):
        for rate in _AGGREGATES[name]:
            counts = [(group, *one_vs_rest(matrix, index)[rate]) for group, matrix in groups]
            empty = [" x ".join(group) for group, _, n in counts if n == 0]
            if empty:
                return Measurement(
                    **common, status="undefined", reason=f"{rate} of {own} for {', '.join(empty)} is 0/0"
                )
            small |= {f"{' x '.join(group)} ({rate} of {own})" for group, _, n in counts if n < minimum}
            families.append([(k, n) for _, k, n in counts])
    value = max(max(k / n for k, n in one) - min(k / n for k, n in one) for one in families)

    def bounds(level: float, sides: Sides) -> tuple[float, float]:
        each = [
            intervals.worst_difference(one, confidence=level, sides=sides, multiplicity=len(families))
            for one in families
        ]
        return max(one.lower for one in each), max(one.upper for one in each)

    reason = f"fewer than {minimum} rows in {', '.join(sorted(small)[:5])}" if small else None
    return Measurement(
        **common, value=value, intervals=both_sides(bounds, confidence, "newcombe-pairs"),
        status="insufficient" if small else "ok", reason=reason,
    )  # fmt: skip


def _details(cube: ConfusionCube, bys: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    if len(cube.classes) > SHOWN_CLASSES:
        return {"classes": list(cube.classes), "confusion": [], "not_shown": "there are too many classes"}
    return {
        "classes": list(cube.classes),
        "confusion": [
            {
                "by": list(by),
                "groups": [{"group": list(g), "matrix": m.tolist()} for g, m in list(cube.groups(by))[:100]],
            }
            for by in bys
        ],
    }
