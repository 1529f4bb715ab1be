"""Tables for people to read: HTML that stands alone in a notebook or a page, every value escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NONE = "\N{EN DASH}"
"""What stands where there is no number."""


def to_html(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, notes: Iterable[str] = (), heads: int = 1
) -> str:
    """Return an HTML table.

    Parameters
    ----------
    caption : str
        What the table shows.
    columns : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Values, already formatted; a row with one value is a heading over the rows below it.
    notes : iterable of str
        Sentences below the table.
    heads : int, default 1
        How many leading cells of a row name it.

    Returns
    -------
    str
        A ``<table>``, and a ``<p>`` for each note.
    """
    top = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in columns)
    body = []
    for row in rows:
        if len(row) == 1 < len(columns):
            body.append(f'<tr><th scope="rowgroup" colspan="{len(columns)}">{escape(str(row[0]))}</th></tr>')
            continue
        cells = [
            f'<th scope="row">{escape(str(value))}</th>' if place < heads else f"<td>{escape(str(value))}</td>"
            for place, value in enumerate(row)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{said}"
    )


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for reading, or a dash where there is none."""
    return NONE if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent, or a dash where there is none."""
    return NONE if value is None else f"{value:.{digits}%}"
