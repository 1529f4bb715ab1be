"""Which chart belongs to which report."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.assess import curves, explanation_plots, plots
from ml_governance.assess.canvas import MAX_SERIES
from ml_governance.assess.fairness import FairnessReport
from ml_governance.assess.svg import Dot
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.assess.plots import Plot
    from ml_governance.assess.report import Report
    from ml_governance.evidence.predicates import Measurement

TOP_COLUMNS = 15
ACRONYMS = {"roc": "ROC", "auc": "AUC", "f1": "F1"}


def plot_of(report: Report, kind: str | None = None, **options: Any) -> Plot:
    """Draw a report; see :meth:`ml_governance.assess.report.Report.plot`."""
    charts: dict[str, dict[str, Callable[..., Plot]]] = {
        "fairness": {
            "groups": _groups,
            "mosaic": _mosaic,
            "four_fifths": _four_fifths,
            "sweep": _sweep,
            "roc": _roc_by_group,
            "calibration": _calibration_by_group,
        },
        "performance": {"roc": _roc, "calibration": _calibration, "groups": _groups},
        "explanation": {
            "importance": _importance, "gap": _gap, "waterfall": _waterfall, "dependence": _dependence,
        },
    }  # fmt: skip
    known = charts.get(report.kind, {})
    if not known:
        raise DataError(f"a {report.kind} report has no plots", expected="its to_frame()")
    if kind is None:
        kind = "groups" if report.kind == "performance" and "roc" not in report.details else next(iter(known))
    if kind not in known:
        raise DataError(f"a {report.kind} report has no plot {kind!r}", expected=f"one of {', '.join(known)}")
    return known[kind](report, **options)


def gallery(report: Report) -> list[Plot]:
    """Return the plots that a notebook shows: rates by each attribute and their crossing, then what follows from scores.

    What was not measured, or is withheld, is left out.
    """
    bys = list(dict.fromkeys(one.by for one in report.measurements if one.group))
    wanted: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "fairness": [
            *(("groups", {"by": by}) for by in bys if len(by) == 1), *(("mosaic", {"by": by}) for by in bys if len(by) > 1),
            *((kind, {}) for kind in ("sweep", "roc", "calibration")),
        ],
        "performance": [("roc", {}), ("calibration", {})],
        "explanation": [("importance", {}), ("gap", {})],
    }  # fmt: skip
    found = []
    for kind, options in wanted.get(report.kind, []):
        with suppress(DataError):
            found.append(plot_of(report, kind, **options))
    return found


def _groups(
    report: Report,
    *,
    metric: str | None = None,
    by: Sequence[str] | str | None = None,
    bound: float | None = None,
    bound_label: str = "bound",
) -> Plot:
    metric = metric or ("selection_rate" if report.kind == "fairness" else "accuracy")
    own = _measured(report, metric, by)
    rows = [_as_dot(one) for one in own]
    title = f"{_words(metric)} by {' x '.join(own[0].by)}" if own[0].by else _words(metric)
    axis = f"{_inside(metric)}, with {report.confidence:.0%} intervals"
    return plots.dots(rows, title=title, axis=axis, bound=bound, bound_label=bound_label)


def _measured(report: Report, metric: str, by: Sequence[str] | str | None) -> list[Measurement]:
    found = [one for one in report.measurements if one.metric == metric and bool(one.group) == bool(one.by)]
    if not found:
        names = ", ".join(dict.fromkeys(one.metric for one in report.measurements if one.group or not one.by))
        raise DataError(f"{metric!r} was not measured by group", expected=f"one of {names}")
    there = list(dict.fromkeys(one.by for one in found))
    grouped = [name for name in there if name]
    wanted = (grouped or [()])[0] if by is None else (by,) if isinstance(by, str) else tuple(by)
    if wanted not in there:
        raise DataError(
            f"{metric} was not measured by {' x '.join(wanted)}",
            expected=f"one of {', '.join(' x '.join(name) for name in grouped)}",
        )
    return [one for one in found if one.by == wanted]


def _as_dot(one: Measurement) -> Dot:
    interval = next((i for i in one.intervals if i.sides == "two-sided"), None)
    name = " x ".join(one.group) or "all rows"
    return Dot(
        label=name if one.withheld else f"{name}, n {one.n:,}", value=one.value, lower=interval.lower if interval else None,
        upper=interval.upper if interval else None, note="withheld" if one.withheld else "" if one.status == "ok" else one.status,
        strong=one.status == "ok",
    )  # fmt: skip


def _mosaic(report: Report, *, metric: str = "selection_rate", by: Sequence[str] | str | None = None) -> Plot:
    if by is None:
        crossed = {one.by for one in report.measurements if one.metric == metric and one.group}
        by = max(sorted(crossed), key=len, default=())
    own = _measured(report, metric, by)
    gone = [one for one in own if one.numerator is None or one.denominator is None]
    if gone:
        raise DataError(
            f"{metric} of {' x '.join(gone[0].group)} has no counts: {gone[0].reason or 'none were recorded'}",
            expected="counts for every group, since their areas are drawn",
        )
    groups = {one.group: (float(one.numerator or 0), float(one.denominator or 0)) for one in own}
    title = f"Size and {_inside(metric)} by {' x '.join(own[0].by)}"
    return plots.mosaic(groups, title=title, rate=_inside(metric))


def _four_fifths(report: Report, *, by: Sequence[str] | str | None = None) -> Plot:
    from ml_governance.assess.rules import four_fifths

    if not isinstance(report, FairnessReport):
        raise DataError("this report holds no counts of all groups", expected="the full FairnessReport")
    rule = four_fifths(report, by=report.cube.attributes[:1] if by is None else by, confidence=report.confidence)
    rows = [
        Dot(
            label=f"{one.group}, {one.selected:,} of {one.applicants:,}", value=one.impact_ratio, lower=one.lower, upper=one.upper,
            note="" if one.impact_ratio is not None else "undefined",
        )
        for one in rule.groups
    ]  # fmt: skip
    high = max([1.0, *(one.upper for one in rule.groups if one.upper is not None)])
    return plots.dots(
        rows, title=f"Selection rate over the highest group's, by {' x '.join(rule.by)}", bound=0.8, bound_label="four fifths",
        axis=f"impact ratio, with {rule.confidence:.0%} intervals", high=min(high, 2.0),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curves:
    """The drawn groups of one table of scores, by name."""

    by: tuple[str, ...]
    groups: dict[str, dict[str, Any]]
    thresholds: list[float]
    left_out: int

    def title(self, of: str) -> str:
        """Return a title that says how many groups are not drawn."""
        some = f", the {len(self.groups)} largest of {len(self.groups) + self.left_out} groups" if self.left_out else ""
        return f"{of} by {' x '.join(self.by)}{some}"


def _curves(report: Report, by: Sequence[str] | str | None, wanted: Callable[[dict[str, Any]], Any]) -> _Curves:
    """Return the largest groups that have a curve, as many as can be told apart."""
    shown = report.details.get("scores")
    if not shown:
        withheld = "suppression" in report.details
        raise DataError(
            "the curves of this report are withheld" if withheld else "this report has no scores by group",
            expected="the full report" if withheld else "scores (y_score) when it was made",
        )
    names = (by,) if isinstance(by, str) else tuple(shown[0]["by"]) if by is None else tuple(by)
    entry = next((one for one in shown if tuple(one["by"]) == names), None)
    if entry is None:
        there = ", ".join(" x ".join(one["by"]) for one in shown)
        raise DataError(f"there are no scores by {' x '.join(names)}", expected=f"one of {there}")
    usable = [one for one in entry["groups"] if wanted(one)]
    if not usable:
        raise DataError(f"no group of {' x '.join(names)} has this curve", expected="rows of both classes in a group")
    largest = sorted(usable, key=lambda one: -one["n"])[:MAX_SERIES]
    drawn = {f"{' x '.join(one['group'])}, n {one['n']:,}": one for one in usable if one in largest}
    left = len(entry["groups"]) + entry["groups_not_drawn"] - len(drawn)
    return _Curves(by=names, groups=drawn, thresholds=entry["thresholds"], left_out=left)


def _sweep(report: Report, *, by: Sequence[str] | str | None = None, threshold: float | None = None) -> Plot:
    found = _curves(report, by, lambda one: one["selection_rate"])
    rates = {
        name: [float("nan") if rate is None else rate for rate in one["selection_rate"]]
        for name, one in found.groups.items()
    }
    return curves.sweep(
        found.thresholds, rates, threshold=threshold, title=found.title("Selection rate over thresholds")
    )


def _roc_by_group(report: Report, *, by: Sequence[str] | str | None = None) -> Plot:
    found = _curves(report, by, lambda one: one["roc"])
    lines = {name: (one["roc"]["fpr"], one["roc"]["tpr"]) for name, one in found.groups.items()}
    return curves.roc(lines, title=found.title("ROC curves"))


def _calibration_by_group(report: Report, *, by: Sequence[str] | str | None = None) -> Plot:
    found = _curves(report, by, lambda one: one["reliability"])
    return curves.calibration(
        {name: one["reliability"] for name, one in found.groups.items()}, title=found.title("Calibration")
    )


def _roc(report: Report) -> Plot:
    curve = report.details.get("roc")
    if curve is None:
        raise DataError("this report has no ROC curve", expected="scores (y_score) and both classes when it was made")
    return curves.roc({curves.ALL_ROWS: (curve["fpr"], curve["tpr"])})


def _calibration(report: Report) -> Plot:
    if not report.details.get("calibration"):
        raise DataError("this report has no calibration", expected="scores (y_score) when it was made")
    return curves.calibration({curves.ALL_ROWS: report.details["calibration"]})


def _importance(report: Report, *, top: int = TOP_COLUMNS) -> Plot:
    rows = [
        Dot(label=one["column"], value=one["mean_abs"], lower=one["lower"], upper=one["upper"])
        for one in report.details["importance"][:top]
    ]
    left = len(report.details["importance"]) - len(rows)
    return plots.dots(
        rows, title="Columns that move the output most" + (f", {left} more not shown" if left > 0 else ""),
        axis=f"mean absolute attribution, {report.details.get('output', 'output')}, with {report.confidence:.0%} intervals",
    )  # fmt: skip


def _gap(report: Report, *, by: str | None = None, group: str | None = None, top: int = 12) -> Plot:
    found = report.details.get("gaps", [])
    own = [one for one in found if by in (None, one["by"][0]) and group in (None, one["group"][0])]
    if not own:
        there = ", ".join(f"{one['by'][0]} {one['group'][0]}" for one in found)
        raise DataError(
            "this report has no such gap", expected=f"one of {there or 'none: sensitive_features when it was made'}"
        )
    entry = own[0] if group is not None else max(own, key=lambda one: abs(one["gap"]))
    unit = report.details.get("output", "output")
    return explanation_plots.gap(entry, unit=unit, confidence=report.confidence, top=top)


def _explained(report: Report) -> tuple[Any, Any]:
    values, table = getattr(report, "values", None), getattr(report, "table", None)
    if values is None or table is None:
        raise DataError(
            "this report has no single rows: what is recorded holds no attributions of people",
            expected="the report that assess_explanation returned",
        )
    return values, table


def _waterfall(report: Report, *, row: Any, top: int = 10) -> Plot:
    values, table = _explained(report)
    places = [place for place, label in enumerate(table.index) if label == row]
    if len(places) != 1:
        shown = ", ".join(repr(label) for label in table.index[:5])
        raise DataError(f"{len(places)} explained rows have the label {row!r}", expected=f"one, as of {shown}, ...")
    parts = dict(zip(table.columns, values[places[0]].tolist(), strict=True))
    notes = {name: table[name].iloc[places[0]] for name in table.columns}
    return explanation_plots.waterfall(
        parts, base=report.base, title=f"How the output of {row} comes about",  # type: ignore[attr-defined]
        unit=report.details.get("output", "output"), notes=notes, top=top,
    )  # fmt: skip


def _dependence(report: Report, *, column: str) -> Plot:
    values, table = _explained(report)
    if column not in table.columns:
        raise DataError(f"{column!r} was not explained", expected=f"one of {', '.join(table.columns)}")
    own = values[:, list(table.columns).index(column)]
    return explanation_plots.dependence(
        column, table[column].tolist(), own, unit=report.details.get("output", "output")
    )


def _words(metric: str) -> str:
    words = " ".join(ACRONYMS.get(word, word) for word in metric.split("_"))
    return words[0].upper() + words[1:]


def _inside(metric: str) -> str:
    words = _words(metric)
    return words if words.split()[0] in ACRONYMS.values() else words[0].lower() + words[1:]
