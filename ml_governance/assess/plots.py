"""Charts of assessments: each an SVG with a text alternative, and the same numbers as a table.

The functions take plain numbers, so that they draw whatever measured them; ``report.plot()`` calls them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import tables
from ml_governance.assess.canvas import CHARACTER, MARGIN, WIDTH, Canvas, colour, fit, ticks, wrap
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from ml_governance.assess.svg import Dot

INNER = WIDTH - 2 * MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A chart and its numbers.

    Parameters
    ----------
    title, description : str
        What is shown, and every number of it in words: the text alternative.
    svg : str
        The drawing; light and dark, from 320 pixels up.
    rows : tuple of dict
        The same numbers.
    """

    title: str
    description: str
    svg: str = field(repr=False)
    rows: tuple[dict[str, Any], ...] = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers as a table."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))

    def to_html(self) -> str:
        """Return the drawing, and the table behind a disclosure."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        cells = [[_told(row.get(name)) for name in names] for row in self.rows]
        table = tables.to_html(self.title, names, cells)
        return f'<figure style="margin:0">{self.svg}<details><summary>Table</summary>{table}</details></figure>'

    def _repr_html_(self) -> str:
        return self.to_html()

    def save(self, path: str | Path) -> Path:
        """Write the drawing to ``.svg``, or with its table to ``.html``.

        Raises
        ------
        DataError
            If the name ends otherwise.
        """
        target = Path(path)
        if target.suffix == ".svg":
            target.write_text(self.svg, encoding="utf-8")
        elif target.suffix == ".html":
            from html import escape

            target.write_text(
                '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f'<meta name="color-scheme" content="light dark"><title>{escape(self.title)}</title>{self.to_html()}</html>',
                encoding="utf-8",
            )
        else:
            raise DataError(f"cannot write a plot to {target.name!r}", expected="a name that ends in .svg or .html")
        return target


def dots(
    rows: Sequence[Dot],
    *,
    title: str,
    axis: str,
    bound: float | None = None,
    bound_label: str = "bound",
    low: float = 0.0,
    high: float | None = None,
) -> Plot:
    """Draw values with their intervals, one row each, and the line of a bound.

    Parameters
    ----------
    rows : sequence of Dot
        From the top. A row without a value shows its note; one that is not ``strong`` has a hollow marker.
    title, axis : str
        What is shown, and in what unit.
    bound : float, optional
        Where to draw a line.
    bound_label : str
        What the line is.
    low, high : float, optional
        Range of the axis; the default goes from 0 to what is needed.
    """
    if not rows:
        raise DataError("there is nothing to draw", expected="at least one row")
    found = [v for row in rows for v in (row.value, row.upper) if v is not None and np.isfinite(v)]
    under = [v for row in rows for v in (row.value, row.lower) if v is not None and np.isfinite(v)]
    edge = max([*found, bound or 0.0, low]) if high is None else high
    marks = ticks(min([low, *under]), edge if edge > low else low + 1.0)
    start, end = marks[0], marks[-1]

    def x(value: float) -> float:
        return MARGIN + 4 + (min(max(value, start), end) - start) / (end - start) * (INNER - 8)

    canvas = Canvas(title)
    tall = any(_width(row.label, 12) + _width(_worded(row), 12) + 18 > INNER for row in rows)
    step = 51.0 if tall else 36.0
    top = canvas.y + (16 if bound is not None else 2)
    bottom = top + step * len(rows)
    for mark in marks:
        canvas.line(x(mark), top, x(mark), bottom + 4)
        canvas.text(x(mark), bottom + 18, f"{mark:g}", anchor="middle", kind="soft")
    if bound is not None:
        canvas.line(x(bound), top - 4, x(bound), top + 2, stroke="var(--mlg-bound)", width=1.6)
        side = "start" if x(bound) < WIDTH * 0.2 else "end" if x(bound) > WIDTH * 0.8 else "middle"
        canvas.text(x(bound), top - 8, f"{bound_label} {bound:g}", anchor=side)  # type: ignore[arg-type]
    for place, row in enumerate(rows):
        track = top + step * (place + 1) - 12
        if bound is not None:  # beside the marks only, so that it strikes no text through
            canvas.line(x(bound), track - 9, x(bound), track + 9, stroke="var(--mlg-bound)", width=1.6, dash="4 2")
        _dot(canvas, row, top + step * place, track, x, tall=tall)
    canvas.y = bottom + 22
    canvas.text(WIDTH / 2, canvas.y + 12, axis, anchor="middle", kind="soft")
    canvas.y += 14
    told = "; ".join(f"{row.label}: {_worded(row)}" for row in rows)
    if bound is not None:
        told += f". The line is the {bound_label}, {bound:g}"
    return Plot(
        title=title,
        description=f"{axis}. {told}.",
        svg=canvas.finish(f"{axis}. {told}."),
        rows=tuple(
            {"label": r.label, "value": r.value, "lower": r.lower, "upper": r.upper, "note": r.note, "ok": r.strong}
            for r in rows
        ),
    )


def _dot(canvas: Canvas, row: Dot, y: float, middle: float, x: Any, *, tall: bool) -> None:
    name, comma, rows = row.label.rpartition(", ")  # a long name is cut, not the number of rows after it
    canvas.text(MARGIN + 4, y + 13, fit(name, INNER - 8 - _width(comma + rows, 12)) + comma + rows, kind="halo")
    if tall:
        canvas.text(MARGIN + 4, y + 28, fit(_worded(row), INNER - 8), kind="soft halo")
    else:
        canvas.text(WIDTH - MARGIN - 4, y + 13, _worded(row), anchor="end", kind="soft halo")
    if row.value is None:
        return
    if row.lower is not None and row.upper is not None:
        paint, dash = colour(0), "" if row.strong else "3 2"
        canvas.line(x(row.lower), middle, x(row.upper), middle, stroke=paint, width=2, dash=dash)
        for end in (row.lower, row.upper):
            canvas.line(x(end), middle - 4, x(end), middle + 4, stroke=paint, width=1.6)
    canvas.marker(x(row.value), middle, hollow=not row.strong)


def _width(text: str, size: float) -> float:
    return len(text) * CHARACTER * size


def _worded(row: Dot) -> str:
    if row.value is None:
        return row.note or "not available"
    interval = "" if row.lower is None or row.upper is None else f" ({short(row.lower)} to {short(row.upper)})"
    return f"{short(row.value)}{interval}" + (f", {row.note}" if row.note else "")


def mosaic(groups: Mapping[tuple[str, ...], tuple[float, float]], *, title: str, rate: str = "selection rate") -> Plot:
    """Draw the size of every group as area and its rate as shade.

    Parameters
    ----------
    groups : mapping of group to (numerator, denominator)
        Groups of one or two attributes. Bands are levels of the first attribute, cells those of the second.
    title, rate : str
        What is shown, and which rate it is.
    """
    sized = {group: (k, n) for group, (k, n) in groups.items() if n > 0}
    total = sum(n for _, n in sized.values())
    if not sized or max(len(group) for group in sized) > 2:
        raise DataError("a mosaic is drawn of one or two attributes", expected="groups with rows, of one or two levels")
    bands: dict[str, list[tuple[str, float, float]]] = {}
    for group, (k, n) in sized.items():
        band, cell = group if len(group) == 2 else ("all rows", group[0])
        bands.setdefault(band, []).append((cell, k, n))
    rates = [k / n for k, n in sized.values()]
    most = ticks(0, max(rates) or 1.0)[-1]
    canvas = Canvas(title)
    for band, cells in bands.items():
        own = sum(n for _, _, n in cells)
        canvas.text(MARGIN, canvas.y + 11, fit(f"{band}, n {own:,.0f} ({own / total:.0%})", INNER), kind="strong")
        top, height, x = canvas.y + 17, (260 if len(bands) > 1 else 130) * own / total, MARGIN
        for cell, k, n in cells:
            width = INNER * n / own
            canvas.rect(x, top, width, height, fill=colour(0), opacity=_shade(k / n / most), stroke="var(--mlg-paper)")
            _label(canvas, x + 6, top, width - 10, height, cell, [f"{k / n:.1%}", f"n {n:,.0f}"])
            x += width
        canvas.y = top + height + 10
    _scale(canvas, most, rate)
    rows: list[dict[str, Any]] = [
        {"group": " x ".join(group), "n": n, "share": n / total, "numerator": k, "rate": k / n}
        for group, (k, n) in sized.items()
    ]
    told = "; ".join(f"{row['group']}: {row['rate']:.1%} of {row['n']:,.0f}, {row['share']:.1%} of all" for row in rows)
    return made(canvas, title, f"Area is the number of rows, shade the {rate}. {told}.", rows)


def _shade(part: float) -> float:
    """Return the opacity of a rate; ink stays legible on the darkest."""
    return 0.06 + 0.5 * min(max(part, 0.0), 1.0)


def _label(canvas: Canvas, x: float, top: float, width: float, height: float, name: str, numbers: list[str]) -> None:
    """Write the name of a cell and its numbers, as far as there is room; a cell too narrow for a number stays empty."""
    if any(fit(number, width) != number for number in numbers[:1]):
        return
    room = max(int((height - 4) // 14), 0)
    names = wrap(name, width)
    if len(names) > max(room - len(numbers), 1):
        names = [fit(name, width)]
    for place, line in enumerate([*names, *numbers][:room]):
        if fit(line, width) == line:
            canvas.text(x, top + 14 + 14 * place, line)


def _scale(canvas: Canvas, most: float, rate: str) -> None:
    y, steps, width = canvas.y + 4, 5, 26.0
    canvas.text(MARGIN, y + 11, rate, kind="soft")
    x = WIDTH - MARGIN - width * steps - 34
    canvas.text(x - 5, y + 11, "0%", kind="soft", anchor="end")
    for step in range(steps):
        canvas.rect(x + width * step, y, width, 14, fill=colour(0), opacity=_shade(step / (steps - 1)))
    canvas.text(x + width * steps + 5, y + 11, f"{most:.0%}", kind="soft")
    canvas.y = y + 18


def made(canvas: Canvas, title: str, description: str, rows: Sequence[dict[str, Any]]) -> Plot:
    """Return what is on a canvas as a plot."""
    return Plot(title=title, description=description, svg=canvas.finish(description), rows=tuple(rows))


def short(value: float) -> str:
    """Return a number in a few digits, or that it is undefined or unbounded."""
    if np.isnan(value):
        return "undefined"
    if np.isinf(value):
        return "unbounded"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def _told(value: Any) -> str:
    return tables.NONE if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
