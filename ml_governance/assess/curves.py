"""Curves of several groups in one picture: ROC, calibration, and rates over thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.canvas import DASHES, MARGIN, MAX_SERIES, WIDTH, Canvas, colour, ticks, wrap
from ml_governance.assess.plots import Plot, made, short
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    At = Callable[[float, float], tuple[float, float]]
    Points = tuple[Sequence[float], Sequence[float]]

ALL_ROWS = "all rows"
TOGETHER = 3
"""So many calibration curves are drawn in one square; more have one each."""

HEAD_LINES = 3


def roc(curves: Mapping[str, Points], *, title: str = "ROC curve") -> Plot:
    """Draw one ROC curve for each group.

    Parameters
    ----------
    curves : mapping of group to (false positive rates, true positive rates)
        As ``sklearn.metrics.roc_curve`` returns them; at most 6 groups.
    title : str
        What is shown.
    """
    series = _series(curves)
    canvas, at = _unit_square(title, "false positive rate", "true positive rate", diagonal=True)
    rows = []
    for place, (name, (xs, ys)) in enumerate(series.items()):
        canvas.path([at(a, b) for a, b in zip(xs, ys, strict=True)], stroke=colour(place), dash=DASHES[place])
        rows += [
            {"group": name, "false_positive_rate": a, "true_positive_rate": b} for a, b in zip(xs, ys, strict=True)
        ]
    told = "; ".join(
        f"{name}: true positive rate {np.interp(0.1, xs, ys):.2f} at a false positive rate of 0.1, {np.interp(0.3, xs, ys):.2f} at 0.3"
        for name, (xs, ys) in series.items()
    )
    _legend(canvas, list(series))
    return made(canvas, title, f"True against false positive rate. {told}.", rows)


def calibration(bins: Mapping[str, Sequence[Mapping[str, float]]], *, title: str = "Calibration") -> Plot:
    """Draw observed rates against mean scores, with intervals, for each group.

    Parameters
    ----------
    bins : mapping of group to sequence of mapping
        Each with ``mean_score``, ``rate`` and ``n``, and ``lower`` and ``upper`` where there is an interval; at most 6
        groups.
    title : str
        What is shown.
    """
    _few(bins)
    if len(bins) > TOGETHER:
        canvas, frames = _panels(title, list(bins))
        places = [0] * len(bins)
    else:
        canvas, at = _unit_square(title, "mean score", "observed rate", diagonal=True)
        frames, places = [at] * len(bins), list(range(len(bins)))
    rows, told = [], []
    for at, place, (name, own) in zip(frames, places, bins.items(), strict=True):
        paint = colour(place)
        for one in own:
            if "lower" in one:
                canvas.line(
                    *at(one["mean_score"], one["lower"]), *at(one["mean_score"], one["upper"]), stroke=paint, width=1.4
                )
        points = [at(one["mean_score"], one["rate"]) for one in own]
        canvas.path(points, stroke=paint, dash=DASHES[place], width=1.6)
        for point in points:
            canvas.marker(point[0], point[1], place, size=3.6 if len(bins) <= TOGETHER else 2.8)
        rows += [
            {"group": name, **{k: one.get(k) for k in ("mean_score", "rate", "lower", "upper", "n")}} for one in own
        ]
        told.append(
            f"{name}: " + ", ".join(f"mean score {one['mean_score']:.2f} observed {one['rate']:.2f}" for one in own)
        )
    if len(bins) <= TOGETHER:
        _legend(canvas, list(bins), markers=True)
    return made(
        canvas, title, f"Observed rate against mean score; on the diagonal both agree. {'; '.join(told)}.", rows
    )


def sweep(
    thresholds: Sequence[float],
    rates: Mapping[str, Sequence[float]],
    *,
    bands: Mapping[str, Points] | None = None,
    threshold: float | None = None,
    title: str = "Rates over thresholds",
    y_axis: str = "selection rate",
) -> Plot:
    """Draw a rate of each group at every threshold.

    Parameters
    ----------
    thresholds : sequence of float
        Rising.
    rates : mapping of group to sequence of float
        One for each threshold, in 0 to 1; NaN where undefined, which breaks the line. At most 6 groups.
    bands : mapping of group to (lower, upper), optional
        Intervals, drawn as shaded bands.
    threshold : float, optional
        The one in use, drawn as a line.
    title, y_axis : str
        What is shown, and which rate.
    """
    _few(rates)
    x = np.asarray(thresholds, dtype=float)
    if len(x) < 2 or not np.isfinite(x).all() or (np.diff(x) <= 0).any():
        raise DataError("the thresholds do not rise", expected="two or more finite, rising thresholds")
    span = (float(x[0]), float(x[-1]))
    if threshold is not None and not span[0] <= threshold <= span[1]:
        raise DataError(f"the threshold in use is {threshold:g}", expected=f"one from {span[0]:g} to {span[1]:g}")
    canvas, at = _unit_square(title, "threshold", y_axis, span=span)
    rows: list[dict[str, Any]] = []
    told = []
    lengths = {name: len(values) for name, values in rates.items()}
    lengths |= {f"the band of {name}": len(one) for name, pair in (bands or {}).items() for one in pair}
    for name, length in lengths.items():
        if length != len(x):
            raise DataError(f"{name} has {length} values", expected=f"{len(x)}, one for each threshold")
    for place, (name, values) in enumerate(rates.items()):
        y = np.asarray(values, dtype=float)
        if bands and name in bands:
            lower, upper = (np.asarray(one, dtype=float) for one in bands[name])
            good = np.isfinite(lower) & np.isfinite(upper)
            ring = [at(a, b) for a, b in zip(x[good], upper[good], strict=True)]
            ring += [at(a, b) for a, b in zip(x[good][::-1], lower[good][::-1], strict=True)]
            canvas.area(ring, fill=colour(place), opacity=0.14)
        for run in _runs(np.isfinite(y)):
            canvas.path(
                [at(a, b) for a, b in zip(x[run], y[run], strict=True)], stroke=colour(place), dash=DASHES[place]
            )
        for index, (a, b) in enumerate(zip(x, y, strict=True)):
            row: dict[str, Any] = {"group": name, "threshold": float(a), "rate": float(b) if np.isfinite(b) else None}
            if bands and name in bands:
                row |= {key: float(bands[name][end][index]) for end, key in enumerate(("lower", "upper"))}
            rows.append(row)
        told.append(
            f"{name}: {short(y[0])} at {x[0]:g}, {short(y[len(y) // 2])} at {x[len(x) // 2]:g}, {short(y[-1])} at {x[-1]:g}"
        )
    if threshold is not None:
        (px, top), (_, bottom) = at(threshold, 1), at(threshold, 0)
        canvas.line(px, top, px, bottom, stroke="var(--mlg-bound)", width=1.6, dash="5 3")
        left = px > WIDTH / 2
        canvas.text(
            px + (-6 if left else 6),
            top + 11,
            f"in use: {threshold:g}",
            anchor="end" if left else "start",
            kind="halo",
        )
        told.append(f"the threshold in use is {threshold:g}")
    _legend(canvas, list(rates))
    return made(canvas, title, f"{y_axis} at {len(x)} thresholds. {'; '.join(told)}.", rows)


def _unit_square(
    title: str, x_axis: str, y_axis: str, *, span: tuple[float, float] = (0.0, 1.0), diagonal: bool = False
) -> tuple[Canvas, At]:
    canvas = Canvas(title)
    left, side, height = 46.0, WIDTH - 46.0 - MARGIN - 4, 290.0
    top = canvas.y + 4
    marks = [mark for mark in ticks(*span) if span[0] <= mark <= span[1]]
    at = _frame(canvas, (left, top, side, height), span, marks, ticks(0, 1), diagonal=diagonal)
    canvas.text(left + side / 2, top + height + 33, x_axis, anchor="middle", kind="soft")
    canvas.text(15, top + height / 2, y_axis, anchor="middle", kind="soft", turn=True)
    canvas.y = top + height + 42
    return canvas, at


def _panels(title: str, names: list[str]) -> tuple[Canvas, list[At]]:
    """Return a square for each group, two beside each other: many curves with intervals in one are a thicket."""
    canvas = Canvas(title)
    room, height = (WIDTH - 2 * MARGIN) / 2, 112.0
    heads = [wrap(name.replace(", n ", ", n\N{NO-BREAK SPACE}"), room - 8)[:HEAD_LINES] for name in names]
    head = 14.0 * max(map(len, heads))
    step = head + height + 42
    frames = []
    for place, lines in enumerate(heads):
        left, top = MARGIN + room * (place % 2), canvas.y + step * (place // 2)
        for number, line in enumerate(lines):
            canvas.text(left, top + 12 + 14 * number, line)
        box = (left + 26, top + head + 14, room - 42, height)
        frames.append(_frame(canvas, box, (0.0, 1.0), [0.0, 0.5, 1.0], [0.0, 0.5, 1.0], diagonal=True))
    canvas.y += step * ((len(names) + 1) // 2) + 4
    canvas.text(WIDTH / 2, canvas.y + 8, "up: observed rate; right: mean score", anchor="middle", kind="soft")
    canvas.y += 14
    return canvas, frames


def _frame(
    canvas: Canvas,
    box: tuple[float, float, float, float],
    span: tuple[float, float],
    x_marks: Sequence[float],
    y_marks: Sequence[float],
    *,
    diagonal: bool,
) -> At:
    """Draw the grid of a box (left, top, width, height), and return where a point of it is."""
    left, top, side, height = box

    def at(x: float, y: float) -> tuple[float, float]:
        part = (min(max(x, span[0]), span[1]) - span[0]) / (span[1] - span[0])
        return left + part * side, top + (1 - min(max(y, 0.0), 1.0)) * height

    for mark in x_marks:
        px = at(mark, 0)[0]
        canvas.line(px, top, px, top + height)
        canvas.text(px, top + height + 15, f"{mark:g}", anchor="middle", kind="soft")
    for mark in y_marks:
        py = at(span[0], mark)[1]
        canvas.line(left, py, left + side, py)
        canvas.text(left - 6, py + 4, f"{mark:g}", anchor="end", kind="soft")
    if diagonal:
        canvas.line(*at(0, 0), *at(1, 1), stroke="var(--mlg-soft)", dash="4 4")
    return at


def _legend(canvas: Canvas, names: list[str], *, markers: bool = False) -> None:
    if names != [ALL_ROWS]:  # one curve of everything needs no name
        canvas.legend(names, markers=markers)


def _few(series: Mapping[str, Any]) -> None:
    if not 1 <= len(series) <= MAX_SERIES:
        raise DataError(
            f"there are {len(series)} groups to draw", expected=f"1 to {MAX_SERIES}: more lines cannot be told apart"
        )


def _series(curves: Mapping[str, Points]) -> dict[str, tuple[list[float], list[float]]]:
    _few(curves)
    found = {}
    for name, (xs, ys) in curves.items():
        pair = ([float(v) for v in xs], [float(v) for v in ys])
        if len(pair[0]) != len(pair[1]) or len(pair[0]) < 2 or not np.isfinite(pair).all():
            raise DataError(
                f"the curve of {name} has {len(xs)} and {len(ys)} points", expected="two or more finite pairs"
            )
        found[name] = pair
    return found


def _runs(good: Any) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(int), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
