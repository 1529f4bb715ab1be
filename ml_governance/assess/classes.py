"""Which class is positive, told from the distinct labels of a count instead of from its rows."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The distinct labels of one column.

    Parameters
    ----------
    name : str
        For messages.
    labels : tuple of object
        Distinct values; None and NaN are missing labels.
    rows : tuple of int
        Rows that have each of them, 1 or more.
    at_least : bool
        True if the count was given up, because there were too many cells.
    """

    name: str
    labels: tuple[Any, ...]
    rows: tuple[int, ...]
    at_least: bool = False


def positive(true: Found, predicted: Found, pos_label: Any) -> tuple[list[bool], list[bool], Any]:
    """Return which labels and which predictions are positive, and the positive label.

    Parameters
    ----------
    true, predicted : Found
        Distinct labels and predictions.
    pos_label : object or None
        The positive label; None is allowed only for 0/1 and False/True.

    Raises
    ------
    DataError
        If labels are missing, infinite, of several types or more than two, look like probabilities, or need a
        ``pos_label`` that is not given, is of another type or occurs nowhere.
    """
    if hasattr(pos_label, "item"):
        pos_label = pos_label.item()
    for found in (true, predicted):
        _check(found, pos_label)
    if pos_label is not None:
        both = list(dict.fromkeys([*true.labels, *predicted.labels]))
        if pos_label not in both:
            raise DataError(
                f"the positive label {pos_label!r} occurs nowhere", expected=f"one of {_shown(true.labels)}"
            )
        if len(both) > 2:
            raise DataError(
                f"labels and predictions together have the values {_shown(tuple(both))}",
                expected="the same two labels in both",
            )
    wanted = 1 if pos_label is None else pos_label
    told = True if pos_label is None and isinstance(true.labels[0], bool) else wanted
    return [label == wanted for label in true.labels], [label == wanted for label in predicted.labels], told


def is_missing(value: Any) -> bool:
    """Say whether a value is null, NaN, or text that shows nothing, as an empty cell of CSV is."""
    if isinstance(value, str):
        return not reading(value)
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def reading(text: str) -> str:
    """Return what a reader sees of a text: without edges, doubled spaces, what has no width, and ways of composing.

    Two texts of one reading are two spellings of one value. Letters of other scripts that look alike stay apart.
    Source: Unicode Standard Annex 15, normalisation form KC.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    seen = (sign for sign in unicodedata.normalize("NFKC", text) if sign.isprintable() or sign.isspace())
    return " ".join("".join(seen).split())


def alike(values: Iterable[Any]) -> list[str]:
    """Return the texts, escaped, of different values that read the same."""
    found: dict[str, list[str]] = {}
    for value in values:
        found.setdefault(reading(str(value)), []).append(ascii(value))
    return sorted(text for texts in found.values() if len(texts) > 1 for text in texts)


def check_column(found: Found) -> str:
    """Return the kind of a column's labels.

    Raises
    ------
    DataError
        If labels are missing, infinite, of several types, or two of them read the same.
    """
    name = found.name
    if not found.labels:
        raise DataError(f"{name} is empty", expected="at least one row")
    bad = sum(rows for label, rows in zip(found.labels, found.rows, strict=True) if _is_bad(label))
    if bad:
        least = "at least " if found.at_least else ""
        raise DataError(
            f"{name} has {least}{bad} missing or infinite values (null, NaN)", expected="a label in every row"
        )
    kinds = {_kind(label) for label in found.labels}
    if len(kinds) > 1:
        raise DataError(f"{name} mixes types of labels: {', '.join(sorted(kinds))}", expected="labels of one type")
    twice = alike(dict.fromkeys(found.labels))
    if twice:
        raise DataError(
            f"{name} has different labels that read the same: {', '.join(twice)}", expected="one spelling of each label"
        )
    return kinds.pop()


def _check(found: Found, pos_label: Any) -> None:
    """Refuse labels that are no two classes."""
    name, kind = found.name, check_column(found)
    fractions = [label for label in found.labels if isinstance(label, float | Decimal) and label not in {0, 1}]
    if fractions and pos_label is None:
        inside = all(0 <= label <= 1 for label in found.labels)
        what = "what look like probabilities" if inside else "numbers other than 0 and 1"
        raise DataError(
            f"{name} holds {what}, such as {float(fractions[0])!r}",
            expected="labels",
            next_step="pass scores as y_score, and labels as y_pred"
            if inside
            else "name the positive label with pos_label",
        )
    if len(set(found.labels)) > 2:  # 1, 1.0 and True are one label
        least = "at least " if found.at_least else ""
        raise DataError(
            f"{name} has {least}{len(set(found.labels))} labels: {_shown(found.labels)}",
            expected="two classes; for a score, pass y_score",
        )
    if pos_label is None:
        if kind != "number" or not set(found.labels) <= {0, 1}:
            raise DataError(
                f"{name} has the labels {_shown(found.labels)}",
                expected="0 and 1, or pos_label to say which one is positive",
            )
    elif _kind(pos_label) != kind:
        raise DataError(
            f"{name} has the labels {_shown(found.labels)}, and pos_label is {pos_label!r}",
            expected="labels and pos_label of the same type",
        )


def _is_bad(label: Any) -> bool:
    return is_missing(label) or (isinstance(label, float | Decimal) and math.isinf(label))


def _kind(label: Any) -> str:
    return "number" if isinstance(label, int | float | Decimal) else type(label).__name__


def _shown(labels: tuple[Any, ...]) -> str:
    try:
        ordered = sorted(labels)
    except TypeError:
        ordered = list(labels)
    return ", ".join(repr(label) for label in ordered[:6])
