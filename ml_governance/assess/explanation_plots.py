"""Charts of explanations: how one output comes about, how a column's attributions follow its values, what a gap is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import plots
from ml_governance.assess.canvas import MARGIN, WIDTH, Canvas, colour, fit, ticks
from ml_governance.assess.svg import Dot
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.assess.plots import Plot

INNER = WIDTH - 2 * MARGIN
POINTS = 400
"""Points of a dependence chart that are drawn; of more, evenly spaced ones by the column's value."""

_STEP = 34.0


def waterfall(
    parts: Mapping[str, float],
    *,
    base: float,
    title: str,
    unit: str = "output",
    notes: Mapping[str, Any] | None = None,
    top: int = 10,
) -> Plot:
    """Draw how the parts of columns lead from the base to the output.

    Parameters
    ----------
    parts : mapping of column to float
        Attributions of one row.
    base : float
        Mean output over the background.
    title, unit : str
        What is shown, and which output.
    notes : mapping of column to object, optional
        The row's own values.
    top : int, default 10
        Columns drawn one by one, largest first; the others are one bar.
    """
    if not parts or top < 1 or not all(math.isfinite(value) for value in (base, *parts.values())):
        raise DataError(
            "there is nothing to draw, or not all of it is finite", expected="finite parts and a top of 1 or more"
        )
    ordered = sorted(parts.items(), key=lambda one: -abs(one[1]))
    shown = ordered[:top]
    rest = ordered[top:]
    bars = [
        (name if notes is None or name not in notes else f"{name} = {_worded(notes[name])}", value)
        for name, value in shown
    ]
    if rest:
        bars.append((f"{len(rest)} other columns", math.fsum(value for _, value in rest)))
    ends = base + np.cumsum([value for _, value in bars])
    marks = ticks(float(min(base, *ends)), float(max(base, *ends)))
    span = (marks[-1] - marks[0]) or 1.0

    def x(value: float) -> float:
        return MARGIN + 4 + (value - marks[0]) / span * (INNER - 8)

    canvas = Canvas(title)
    top_y = canvas.y + 2
    bottom = top_y + _STEP * (len(bars) + 2)
    for mark in marks:
        canvas.line(x(mark), top_y, x(mark), bottom + 4)
        canvas.text(x(mark), bottom + 18, f"{mark:g}", anchor="middle", kind="soft")
    _row(canvas, top_y, "mean of the background", plots.short(base))
    canvas.marker(x(base), top_y + 23, hollow=True)
    before = base
    for place, (name, value) in enumerate(bars):
        y = top_y + _STEP * (place + 1)
        _row(canvas, y, name, f"{value:+.3f}" if abs(value) < 10 else f"{value:+,.0f}")
        left, right = sorted((x(before), x(before + value)))
        canvas.rect(left, y + 18, max(right - left, 0.8), 10, fill=colour(0 if value >= 0 else 1), opacity=0.85)
        canvas.line(x(before + value), y + 18, x(before + value), y + _STEP + 18, stroke="var(--mlg-soft)", dash="2 2")
        before += value
    _row(canvas, bottom - _STEP, "output", plots.short(before), strong=True)
    canvas.marker(x(before), bottom - _STEP + 23)
    canvas.y = bottom + 22
    canvas.text(WIDTH / 2, canvas.y + 12, unit, anchor="middle", kind="soft")
    canvas.y += 14
    rows: list[dict[str, Any]] = [{"step": "base", "part": None, "output": base}]
    rows += [{"step": name, "part": value, "output": float(end)} for (name, value), end in zip(bars, ends, strict=True)]
    told = "; ".join(f"{name} {value:+.3g}" for name, value in bars)
    return plots.made(canvas, title, f"{unit}. From {plots.short(base)} to {plots.short(before)}: {told}.", rows)


def _row(canvas: Canvas, y: float, name: str, value: str, *, strong: bool = False) -> None:
    kind = "strong halo" if strong else "halo"
    canvas.text(MARGIN + 4, y + 13, fit(name, INNER - 78), kind=kind)
    canvas.text(WIDTH - MARGIN - 4, y + 13, value, anchor="end", kind=kind if strong else "soft halo")


def gap(entry: Mapping[str, Any], *, unit: str, confidence: float, top: int = 12) -> Plot:
    """Draw the parts of a gap between two groups, with their intervals.

    Parameters
    ----------
    entry : mapping
        As :func:`ml_governance.assess.gaps.decompose` returns them.
    unit : str
        Which output.
    confidence : float
        Of all intervals together.
    top : int, default 12
        Columns drawn, largest part first.
    """
    parts = entry["parts"]
    rows = [
        Dot(
            label=one["column"], value=one["value"], lower=one.get("lower"), upper=one.get("upper"),
            note="" if "lower" in one else "the same for all", strong="lower" in one,
        )
        for one in parts[:top]
    ]  # fmt: skip
    left = parts[top:]
    if left:
        rows.append(Dot(label=f"{len(left)} other columns", value=math.fsum(one["value"] for one in left)))
    rows.append(Dot(label="gap", value=entry["gap"], lower=entry["lower"], upper=entry["upper"]))
    group, reference = f"{entry['by'][0]} {entry['group'][0]}", entry["reference"][0]
    return plots.dots(
        rows, title=f"What the gap of {group} to {reference} is made of", bound=0.0, bound_label="no part",
        axis=f"difference of mean {unit}, with {confidence:.0%} intervals",
    )  # fmt: skip


def dependence(name: str, values: Sequence[Any], attributions: Sequence[float], *, unit: str) -> Plot:
    """Draw a column's attributions over its values: points of numbers, means of what is no number.

    Parameters
    ----------
    name : str
        The column.
    values : sequence of shape (n,)
        Its values in the explained rows.
    attributions : sequence of float, shape (n,)
    unit : str
        Which output.
    """
    import pandas as pd

    series = pd.Series(list(values))
    phi = np.asarray(attributions, dtype=np.float64)
    title = f"Attribution over {name}"
    if len(series) == 0 or len(series) != len(phi):
        raise DataError(
            f"there are {len(series)} values and {len(phi)} attributions", expected="as many, and one or more"
        )
    if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        means = pd.Series(phi).groupby(series.astype("str").to_numpy()).agg(["mean", "min", "max", "size"])
        rows = [
            Dot(label=f"{level}, n {one['size']:,.0f}", value=one["mean"], lower=one["min"], upper=one["max"])
            for level, one in means.iterrows()
        ]
        return plots.dots(
            rows, title=title, axis=f"mean attribution, {unit}, from least to greatest", bound=0.0, bound_label="base"
        )
    x = series.to_numpy(dtype=np.float64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(phi))
    if not len(known):
        raise DataError(f"{name} has no value that is a finite number", expected="at least one")
    order = known[np.argsort(x[known], kind="stable")]
    drawn = order[np.unique(np.linspace(0, len(order) - 1, min(POINTS, len(order))).round().astype(np.intp))]
    across, up = (
        ticks(float(x[drawn].min()), float(x[drawn].max()), 5),
        ticks(float(phi[drawn].min()), float(phi[drawn].max())),
    )
    canvas = Canvas(title)
    left, head, height = 58.0, canvas.y + 6, 240.0

    def at(one: float, other: float) -> tuple[float, float]:
        wide, tall = across[-1] - across[0] or 1.0, up[-1] - up[0] or 1.0
        return (
            left + (one - across[0]) / wide * (WIDTH - left - MARGIN - 8),
            head + (1 - (other - up[0]) / tall) * height,
        )

    for mark in up:
        canvas.line(left, at(across[0], mark)[1], WIDTH - MARGIN - 8, at(across[0], mark)[1])
        canvas.text(left - 6, at(across[0], mark)[1] + 4, f"{mark:g}", anchor="end", kind="soft")
    for mark in across:
        canvas.text(at(mark, up[0])[0], head + height + 16, f"{mark:g}", anchor="middle", kind="soft")
    for one in drawn:
        canvas.marker(*at(float(x[one]), float(phi[one])), size=2.4)
    canvas.y = head + height + 22
    canvas.text(
        WIDTH / 2, canvas.y + 12, fit(f"{name}; upwards: attribution, {unit}", INNER), anchor="middle", kind="soft"
    )
    canvas.y += 14
    missing = len(series) - len(known)
    told = f"{len(known):,} rows" + (f", {len(drawn)} of them drawn" if len(drawn) < len(known) else "")
    told += f", {missing:,} more without a value" if missing else ""
    ends = f"from {plots.short(float(phi[order[0]]))} at the least value to {plots.short(float(phi[order[-1]]))} at the greatest"
    rows_ = [{"value": float(x[one]), "attribution": float(phi[one])} for one in drawn]
    return plots.made(canvas, title, f"Attribution of {name}, {unit}: {ends}; {told}.", rows_)


def _worded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
