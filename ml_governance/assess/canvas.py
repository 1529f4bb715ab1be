"""A drawing that stands alone: its own paper, light and dark, legible from a phone's width up, read out as text.

Everything is laid out on a width of 400 units, and no text is under 12 of them, which are 11 pixels on a screen of 390. Colours are
variables that follow the reader's colour scheme; series differ in colour, dash and marker, so colour alone carries
nothing. The colours are those of Okabe and Ito (2008), darkened or lightened to a contrast of 3:1 with the paper.
"""

from __future__ import annotations

import hashlib
import math
from html import escape
from typing import TYPE_CHECKING, Literal

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Anchor = Literal["start", "middle", "end"]

WIDTH = 400.0
MARGIN = 14.0
CHARACTER = 0.56
"""Mean width of a character over its height, on the generous side."""

LIGHT = ("#0072b2", "#c04f00", "#00795a", "#9c3f78", "#8f5d00", "#4d5660")
DARK = ("#56b4e9", "#ff9a56", "#3cc9a0", "#e79bc6", "#f2c14e", "#c9ced6")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")
MAX_SERIES = len(LIGHT)

_STYLE = (
    ".mlg{{--mlg-paper:#fff;--mlg-ink:#1b1f24;--mlg-soft:#57606a;--mlg-rule:#dfe3e8;--mlg-bound:#b3261e;{light}}}"
    "@media (prefers-color-scheme:dark){{.mlg{{--mlg-paper:#14181d;--mlg-ink:#e6e9ed;--mlg-soft:#a3adb8;--mlg-rule:#323a43;"
    "--mlg-bound:#ff8a80;{dark}}}}}"
    '.mlg text{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:var(--mlg-ink)}}'
    ".mlg .soft{{fill:var(--mlg-soft)}}.mlg .halo{{paint-order:stroke;stroke:var(--mlg-paper);stroke-width:4px;stroke-linejoin:round}}"
    ".mlg .strong{{font-weight:600}}"
).format(
    light="".join(f"--mlg-{place}:{colour};" for place, colour in enumerate(LIGHT)),
    dark="".join(f"--mlg-{place}:{colour};" for place, colour in enumerate(DARK)),
)


def colour(series: int) -> str:
    """Return the colour of a series as a CSS value."""
    return f"var(--mlg-{series},{LIGHT[series]})"


def fit(text: str, width: float, size: float = 12) -> str:
    """Cut a text to a width in units, with an ellipsis where something is left out."""
    room = int(width / (CHARACTER * size))
    return text if len(text) <= room else text[: max(room - 1, 0)] + "\N{HORIZONTAL ELLIPSIS}" if room > 1 else ""


def wrap(text: str, width: float, size: float = 12) -> list[str]:
    """Break a text into lines of at most this width."""
    import textwrap

    return textwrap.wrap(text, max(int(width / (CHARACTER * size)), 1)) or [""]


def ticks(low: float, high: float, at_most: int = 6) -> list[float]:
    """Return round numbers that span a range."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"the axis would run from {low} to {high}", expected="finite numbers")
    span = high - low or 1.0
    for power in range(math.floor(math.log10(span)) - 1, math.ceil(math.log10(span)) + 2):
        for factor in (1.0, 2.0, 5.0):
            step = factor * 10.0**power
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            if last - first + 1 <= at_most:
                return [round(place * step, 12) for place in range(first, last + 1)]
    return [low, high]


class Canvas:
    """Collects shapes from the top down; ``y`` is where the next one goes."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts: list[str] = []
        self.y = 12.0
        for line in wrap(title, WIDTH - 2 * MARGIN, 14):
            self.y += 17
            self.text(MARGIN, self.y - 2, line, size=14, kind="strong")
        self.y += 8

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Anchor = "start",
        size: float = 12,
        kind: str = "",
        turn: bool = False,
    ) -> None:
        """Write text; ``kind`` is a class of the style."""
        place = f'transform="translate({x:g} {y:g}) rotate(-90)"' if turn else f'x="{x:g}" y="{y:g}"'
        named = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text {place} font-size="{size:g}" text-anchor="{anchor}"{named}>{escape(text)}</text>')

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        stroke: str = "var(--mlg-rule)",
        width: float = 1,
        dash: str = "",
    ) -> None:
        """Draw a straight line."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{stroke}" stroke-width="{width:g}"{dashed}/>'
        )

    def path(self, points: Sequence[tuple[float, float]], *, stroke: str, dash: str = "", width: float = 2) -> None:
        """Draw a line through points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        places = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linejoin="round"{dashed}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], *, fill: str, opacity: float) -> None:
        """Fill a polygon."""
        places = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self.parts.append(f'<polygon points="{places}" fill="{fill}" opacity="{opacity:g}"/>')

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        opacity: float = 1,
        stroke: str = "none",
        dash: str = "",
    ) -> None:
        """Draw a rectangle."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}" fill-opacity="{opacity:.3g}" '
            f'stroke="{stroke}"{dashed}/>'
        )

    def marker(self, x: float, y: float, series: int = 0, *, hollow: bool = False, size: float = 4.5) -> None:
        """Draw the marker of a series: circle, square, triangle, diamond, bar or cross."""
        paint = colour(series)
        look = f'fill="{"var(--mlg-paper)" if hollow else paint}" stroke="{paint}" stroke-width="1.6"'
        s = size
        shapes = (
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{s:g}" {look}/>',
            f'<rect x="{x - s + 0.5:.2f}" y="{y - s + 0.5:.2f}" width="{2 * s - 1:g}" height="{2 * s - 1:g}" {look}/>',
            f'<path d="M{x:.2f} {y - s:.2f}l{s:g} {1.8 * s:g}h{-2 * s:g}z" {look}/>',
            f'<path d="M{x:.2f} {y - s - 0.5:.2f}l{s + 0.5:g} {s + 0.5:g}l{-s - 0.5:g} {s + 0.5:g}l{-s - 0.5:g} {-s - 0.5:g}z" {look}/>',
            f'<rect x="{x - s:.2f}" y="{y - 1.6:.2f}" width="{2 * s:g}" height="3.2" {look}/>',
            f'<path d="M{x - s:.2f} {y - s:.2f}l{2 * s:g} {2 * s:g}m0 {-2 * s:g}l{-2 * s:g} {2 * s:g}" {look}/>',
        )
        self.parts.append(shapes[series])

    def legend(self, names: Sequence[str], *, markers: bool = False) -> None:
        """Name the series, in two columns where the names are short."""
        columns = 2 if all(len(name) <= 22 for name in names) and len(names) > 1 else 1
        room = (WIDTH - 2 * MARGIN) / columns
        for place, name in enumerate(names):
            x, y = MARGIN + room * (place % columns), self.y + 18 * (place // columns) + 12
            self.line(x, y - 4, x + 30, y - 4, stroke=colour(place), width=2, dash=DASHES[place])
            if markers:
                self.marker(x + 15, y - 4, place, size=3.6)
            self.text(x + 36, y, fit(name, room - 42))
        self.y += 18 * math.ceil(len(names) / columns) + 4

    def finish(self, description: str) -> str:
        """Return the drawing as SVG; equal drawings get equal ids."""
        height = round(self.y + 10)
        body = "".join(self.parts)
        name = "mlg-" + hashlib.sha256(f"{self.title}{description}{body}".encode()).hexdigest()[:10]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="mlg" viewBox="0 0 {WIDTH:g} {height}" width="100%" '
            f'style="max-width:480px;display:block" role="img" aria-labelledby="{name}-t {name}-d">'
            f'<title id="{name}-t">{escape(self.title)}</title><desc id="{name}-d">{escape(description)}</desc>'
            f"<style>{_STYLE}</style>"
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1:g}" height="{height - 1}" rx="8" fill="var(--mlg-paper)" stroke="var(--mlg-rule)"/>'
            f"{body}</svg>"
        )
