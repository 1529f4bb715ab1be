"""Charts as SVG text: themable through the page's colours, deterministic, each with a title and a description.

Every chart stands beside a table of the same numbers, so nobody needs the picture to read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


TICK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One row of a dot-and-interval chart; a row without a value shows its note instead."""

    label: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    note: str = ""
    strong: bool = True


class Ids:
    """Numbers for ids, so that one page never has two of the same."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = count(1)

    def next(self) -> str:
        """Return the next id."""
        return f"chart-{next(self._numbers)}"


def _frame(ids: Ids, width: float, height: float, title: str, description: str, body: str) -> str:
    name = ids.next()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{body}</svg>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: float = 12, muted: bool = False) -> str:
    opacity = ' fill-opacity=".72"' if muted else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="currentColor"{opacity}>{escape(text)}</text>'


def _line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    *,
    width: float = 1,
    opacity: float = 1,
    dash: str = "",
    colour: str = "currentColor",
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    look = f'stroke="{colour}" stroke-width="{width:g}" opacity="{opacity:g}"{dashed}'
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" {look}/>'


def dots(
    ids: Ids,
    rows: Sequence[Dot],
    *,
    title: str,
    axis: str,
    low: float = 0.0,
    high: float = 1.0,
    tick: float = TICK,
    bound: float | None = None,
    bound_label: str = "",
) -> str:
    """Draw values with their intervals, one row each, and the line that a rule asks for.

    Parameters
    ----------
    ids : Ids
        Numbers of the page.
    rows : sequence of Dot
        In order from the top.
    title, axis : str
        What is shown, and in what unit.
    low, high : float
        Range of the axis; intervals that reach beyond it end in an arrow-less line at the edge.
    tick : float
        Distance of the marks of the axis.
    bound : float, optional
        Where to draw the line.
    bound_label : str
        What the line is.
    """
    left, right, top, step = _margin([row.label for row in rows]), 24.0, 30.0, 27.0
    width, height = left + 458, top + step * len(rows) + 44

    def x(value: float) -> float:
        return round(left + (min(max(value, low), high) - low) / (high - low) * (width - left - right), 2)

    bottom = top + step * len(rows)
    parts = []
    for index in range(round((high - low) / tick) + 1):
        mark = low + tick * index
        parts.append(_line(x(mark), top - 4, x(mark), bottom, opacity=0.13))
        told = f"{mark:.1f}" if tick == TICK else f"{round(mark, 12):g}"
        parts.append(_text(x(mark), bottom + 16, told, anchor="middle", size=11, muted=True))
    parts.append(_text((left + width - right) / 2, bottom + 36, axis, anchor="middle", size=11.5, muted=True))
    if bound is not None:
        parts.append(_line(x(bound), top - 8, x(bound), bottom, width=1.6, dash="5 3", colour="var(--bound, #b3261e)"))
        parts.append(_text(x(bound), top - 13, bound_label, anchor="middle", size=11))
    for index, row in enumerate(rows):
        y = top + step * index + step / 2
        parts.append(_text(left - 12, y + 4, _fit(row.label, 38), anchor="end"))
        if row.value is None:
            parts.append(_text(left + 6, y + 4, row.note or "not available", size=11.5, muted=True))
            continue
        opacity = 1 if row.strong else 0.45
        if row.lower is not None and row.upper is not None:
            parts.append(_line(x(row.lower), y, x(row.upper), y, width=2.4, opacity=0.55 * opacity))
            for edge in (row.lower, row.upper):
                if low <= edge <= high:
                    parts.append(_line(x(edge), y - 5, x(edge), y + 5, width=1.6, opacity=0.55 * opacity))
        parts.append(
            f'<circle cx="{x(row.value):g}" cy="{y:g}" r="4.6" fill="var(--accent, #1f5fbf)" opacity="{opacity:g}"/>'
        )
    told = "; ".join(
        f"{row.label}: {row.value:.3f}"
        + (f" ({row.lower:.3f} to {row.upper:.3f})" if row.lower is not None and row.upper is not None else "")
        if row.value is not None
        else f"{row.label}: {row.note or 'not available'}"
        for row in rows
    )
    return _frame(ids, width, height, title, told, "".join(parts))


def _margin(labels: Sequence[str]) -> float:
    """Return the width that labels need, so that on a phone the dots stand in sight; letters that may be wide get all there is."""
    longest = max(map(len, labels), default=0)
    return min(24 + 7.4 * longest, 262.0) if all(map(str.isascii, labels)) else 262.0


def _fit(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def square(
    ids: Ids,
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    description: str,
    x_axis: str,
    y_axis: str,
    intervals: Sequence[tuple[float, float, float]] = (),
    diagonal: bool = True,
) -> str:
    """Draw a curve in the unit square: over its diagonal ROC, or calibration with intervals (x, lower, upper); or costs."""
    left, top, side = 52.0, 14.0, 260.0
    width, height = left + side + 16, top + side + 46

    def at(x: float, y: float) -> tuple[float, float]:
        return round(left + x * side, 2), round(top + (1 - y) * side, 2)

    parts = []
    for index in range(6):
        tick = index / 5
        (gx, gy), (hx, hy) = at(tick, 0), at(0, tick)
        parts += [_line(gx, top, gx, gy, opacity=0.13), _line(hx, hy, left + side, hy, opacity=0.13)]
        parts += [
            _text(gx, top + side + 15, f"{tick:g}", anchor="middle", size=11, muted=True),
            _text(left - 7, hy + 4, f"{tick:g}", anchor="end", size=11, muted=True),
        ]
    if diagonal:
        parts.append(_line(*at(0, 0), *at(1, 1), opacity=0.5, dash="4 4"))
    for x, lower, upper in intervals:
        parts.append(_line(*at(x, lower), *at(x, upper), width=2, opacity=0.45))
    path = " ".join(f"{px:g},{py:g}" for px, py in (at(x, y) for x, y in points))
    parts.append(
        f'<polyline points="{path}" fill="none" stroke="var(--accent, #1f5fbf)" stroke-width="2.2" stroke-linejoin="round"/>'
    )
    if intervals:
        parts += [
            f'<circle cx="{at(x, y)[0]:g}" cy="{at(x, y)[1]:g}" r="3.4" fill="var(--accent, #1f5fbf)"/>'
            for x, y in points
        ]
    parts.append(_text(left + side / 2, height - 10, x_axis, anchor="middle", size=11.5, muted=True))
    parts.append(
        f'<text transform="translate(13 {top + side / 2:g}) rotate(-90)" font-size="11.5" text-anchor="middle" fill="currentColor" '
        f'fill-opacity=".72">{escape(y_axis)}</text>'
    )
    return _frame(ids, width, height, title, description, "".join(parts))


def bars(ids: Ids, rows: Sequence[Dot], *, title: str, axis: str) -> str:
    """Draw magnitudes from zero with their intervals, largest first."""
    high = max((row.upper or row.value or 0.0 for row in rows), default=0.0) or 1.0
    left, right, top, step = 170.0, 24.0, 8.0, 25.0
    width, height = 640.0, top + step * len(rows) + 40
    bottom = top + step * len(rows)

    def x(value: float) -> float:
        return round(left + value / high * (width - left - right), 2)

    parts = [_line(left, top, left, bottom, opacity=0.5)]
    for index, row in enumerate(rows):
        y = top + step * index
        value = row.value or 0.0
        parts.append(_text(left - 10, y + step / 2 + 4, _fit(row.label, 24), anchor="end"))
        parts.append(
            f'<rect x="{left:g}" y="{y + 5:g}" width="{max(x(value) - left, 0):g}" height="{step - 10:g}" '
            'fill="var(--accent, #1f5fbf)" opacity=".8"/>'
        )
        if row.lower is not None and row.upper is not None:
            parts.append(_line(x(row.lower), y + step / 2, x(row.upper), y + step / 2, width=1.6))
    parts.append(
        _text(
            (left + width - right) / 2,
            bottom + 26,
            f"{axis} (axis to {high:.3g})",
            anchor="middle",
            size=11.5,
            muted=True,
        )
    )
    told = "; ".join(f"{row.label}: {row.value:.4f}" for row in rows if row.value is not None)
    return _frame(ids, width, height, title, told, "".join(parts))
