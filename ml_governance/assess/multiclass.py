"""Group fairness of a classifier with several classes, from one confusion matrix of every group.

Each class is looked at against the rest, with the same rates as in the binary case; macro averages weigh classes alike. A
class that a group does not have leaves its macro recall undefined: a mean that leaves classes out would compare groups on
different classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import blocks, labels, sensitive
from ml_governance.assess.cells import identity
from ml_governance.assess.classes import Found, alike, check_column
from ml_governance.assess.contrasts import Number, both_sides, check_levels, compared, measured
from ml_governance.assess.rates import compare_rates, rate_measurement
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.metrics import rate_counts
from ml_governance.evidence.predicates import Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.sensitive import Codes
    from ml_governance.evidence.intervals import Sides

CLASS = "class"
SHOWN_RATES = (
    "selection_rate", "true_positive_rate", "false_positive_rate", "positive_predictive_value", "base_rate",
)  # fmt: skip
MAX_CELLS = 4_000_000
SHOWN_CLASSES = 20
_AGGREGATES = {
    "multiclass_demographic_parity_difference": ("selection_rate",),
    "multiclass_equal_opportunity_difference": ("true_positive_rate",),
    "multiclass_equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionCube:
    """Confusion matrices by group.

    Parameters
    ----------
    attributes : tuple of str
        Sensitive attributes.
    levels : tuple of tuple of str
        Their levels.
    classes : tuple of str
        Classes, sorted.
    counts : array of int64, shape (levels..., classes, classes)
        Rows by class and predicted class.
    """

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64] = field(repr=False)

    def groups(self, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
        """Yield the matrix of every group of ``by`` that has a row."""
        axes = [self.attributes.index(name) for name in by]
        drop = tuple(axis for axis in range(len(self.attributes)) if axis not in axes)
        kept = sorted(axes)
        matrices = self.counts.sum(axis=drop) if drop else self.counts
        matrices = matrices.transpose(*(kept.index(axis) for axis in axes), len(axes), len(axes) + 1)
        for position in np.ndindex(*matrices.shape[:-2]):
            if matrices[position].sum():
                yield (
                    tuple(self.levels[axis][index] for axis, index in zip(axes, position, strict=True)),
                    matrices[position],
                )

    def merge(self, other: ConfusionCube) -> ConfusionCube:
        """Add the cube of other rows; levels and classes that only one of the two has are kept.

        Raises
        ------
        DataError
            If the attributes differ.
        """
        if self.attributes != other.attributes:
            raise DataError(
                f"the cubes are by {self.attributes} and {other.attributes}", expected="the same attributes"
            )
        levels = tuple(tuple(sorted({*a, *b})) for a, b in zip(self.levels, other.levels, strict=True))
        classes = tuple(sorted({*self.classes, *other.classes}))
        wide = np.zeros((*map(len, levels), len(classes), len(classes)), dtype=np.int64)
        for one in (self, other):
            places = [[all_.index(level) for level in own] for all_, own in zip(levels, one.levels, strict=True)]
            own = [classes.index(name) for name in one.classes]
            wide[np.ix_(*places, own, own)] += one.counts
        return ConfusionCube(attributes=self.attributes, levels=levels, classes=classes, counts=wide)


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


def count(
    true: NDArray[np.intp],
    predicted: NDArray[np.intp],
    classes: tuple[str, ...],
    coded: dict[str, Codes],
) -> ConfusionCube:
    """Count rows by group, class and predicted class in one pass."""
    levels = tuple(entry[1] for entry in coded.values())
    shape = (*map(len, levels), len(classes), len(classes))
    if math.prod(shape) > MAX_CELLS:
        raise DataError(
            f"{len(classes)} classes by {math.prod(shape[:-2])} groups have {math.prod(shape):,} cells",
            expected=f"at most {MAX_CELLS:,}",
        )
    cell = (sensitive.cell(coded, len(true)) * len(classes) + true) * len(classes) + predicted
    counts = np.bincount(cell, minlength=math.prod(shape)).reshape(shape).astype(np.int64)
    return ConfusionCube(attributes=tuple(coded), levels=levels, classes=classes, counts=counts)


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


def one_vs_rest(matrix: NDArray[np.int64], index: int) -> dict[str, tuple[float, float]]:
    """Return numerator and denominator of every rate of one class against the rest."""
    tp = float(matrix[index, index])
    fn, fp = float(matrix[index].sum()) - tp, float(matrix[:, index].sum()) - tp
    return rate_counts(float(matrix.sum()) - tp - fn - fp, fp, fn, tp)


def macro_recall(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of TP / (TP + FN); undefined if the group lacks a class.

    Range 0 to 1. Bounds: Wilson's of every class combined by MOVER; the classes' rows are different rows. Its size is that of
    the smallest class.
    """
    return _macro(matrix.diagonal(), matrix.sum(axis=1), matrix, group, classes, "has no row of")


def macro_precision(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of TP / (TP + FP); undefined if a class is never predicted for the group.

    Range 0 to 1. Bounds as :func:`macro_recall`.
    """
    return _macro(matrix.diagonal(), matrix.sum(axis=0), matrix, group, classes, "has no prediction of")


def macro_f1(matrix: NDArray[np.int64], group: tuple[str, ...], classes: Sequence[str]) -> Number:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN); undefined if a class has neither rows nor predictions.

    Range 0 to 1. Bounds: the delta method on the multinomial counts; none where it gives no variance.
    """
    n = int(matrix.sum())
    common: dict[str, Any] = {"group": group, "n": n, "size": n}
    both = (matrix.sum(axis=0) + matrix.sum(axis=1)).astype(float)
    if (both == 0).any():
        lacking = classes[int(np.argmax(both == 0))]
        return Number(**common, value=None, reason=f"0/0: it has neither row nor prediction of {lacking}")
    f1 = 2 * matrix.diagonal() / both
    value, k = float(f1.mean()), len(classes)
    # F1 of class c has the derivative 2 [i = j = c] / b_c - F1_c ([i = c] + [j = c]) / b_c by the count of cell (i, j).
    slope = -(f1 / both)[:, None] - (f1 / both)[None, :] + np.diag(2 / both)
    variance = float((matrix * (slope / k) ** 2).sum() - (matrix * slope / k).sum() ** 2 / n)
    if variance <= 0:
        return Number(**common, value=value, reason="no interval: all predictions of every class are alike")

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        half = intervals.quantile(confidence, sides) * math.sqrt(variance)
        return max(0.0, value - half), min(1.0, value + half)

    return Number(**common, value=value, bounds=bounds, method="delta-multinomial")


MACRO: dict[str, Callable[[NDArray[np.int64], tuple[str, ...], Sequence[str]], Number]] = {
    "macro_true_positive_rate": macro_recall,
    "macro_positive_predictive_value": macro_precision,
    "macro_f1": macro_f1,
}


def _macro(
    hits: NDArray[np.int64], of: NDArray[np.int64], matrix: NDArray[np.int64], group: tuple[str, ...],
    classes: Sequence[str], lacks: str,
) -> Number:  # fmt: skip
    n, smallest = int(matrix.sum()), int(of.min())
    if smallest == 0:
        return Number(group=group, n=n, size=0, value=None, reason=f"0/0: it {lacks} {classes[int(np.argmin(of))]}")
    rates = hits / of
    value = float(rates.mean())

    def bounds(confidence: float, sides: Sides) -> tuple[float, float]:
        each = [
            intervals.rate(float(k), float(m), confidence=confidence, sides=sides)
            for k, m in zip(hits, of, strict=True)
        ]
        low = math.hypot(*(rate - one.lower for rate, one in zip(rates, each, strict=True))) / len(of)
        high = math.hypot(*(one.upper - rate for rate, one in zip(rates, each, strict=True))) / len(of)
        return max(0.0, value - low), min(1.0, value + high)

    return Number(group=group, n=n, size=smallest, value=value, bounds=bounds, method="mover-wilson")


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


def code(y_true: Any, y_pred: Any) -> tuple[NDArray[np.intp], NDArray[np.intp], tuple[str, ...]]:
    """Return labels and predictions as codes into the names of the classes: numbers in their order, or sorted text."""
    read = {name: blocks.distinct(values, name) for name, values in (("y_true", y_true), ("y_pred", y_pred))}
    labels.same_length(**{name: codes for name, (_, codes) in read.items()})
    kinds, own = set(), {}
    for name, (values, codes) in read.items():
        own[name] = [_class(value) for value in values]
        rows = tuple(np.bincount(codes, minlength=len(values)).tolist())
        kinds.add(check_column(Found(name=name, labels=tuple(own[name]), rows=rows)))
        fractions = [label for label in own[name] if isinstance(label, float) and not label.is_integer()]
        if fractions:
            raise DataError(f"{name} holds fractions, such as {fractions[0]!r}", expected="labels")
    if len(kinds) > 1:
        raise DataError("labels and predictions are of different types", expected="the same labels in both")
    found = list(dict.fromkeys(label for values in own.values() for label in values))
    if len(found) < 2 or alike(found):
        shown = ", ".join(ascii(label) for label in found[:6])
        raise DataError(f"the labels are {shown}", expected="two or more, which read differently")
    found.sort(key=None if kinds == {"number"} else str)
    place = {label: index for index, label in enumerate(found)}
    true, predicted = (
        np.array([place[label] for label in own[name]], dtype=np.intp)[codes] for name, (_, codes) in read.items()
    )
    return true, predicted, tuple(map(str, found))


def _class(value: Any) -> Any:
    """Return the label that a value is: truth values are 0 and 1."""
    label = identity(value)[1]
    return int(label) if isinstance(label, bool) else label


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
