"""What windows in production are compared with: the columns and the predictions of the rows that were assessed, counted.

It is signed with the assessment that the approval rests on, so nobody chooses it afterwards. It holds no rows. Levels with few
rows are counted together as ``(other)``, and so is, in production, every level that is not listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ml_governance.assess.profile import Profile, profile
from ml_governance.errors import DataError
from ml_governance.evidence.canonical import canonicalise, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

OTHER = "(other)"
SCORE, PREDICTION = "(score)", "(prediction)"
"""Names under which the output is compared, beside the columns."""
MAX_LEVELS = 50
MAX_COLUMNS = 500
MAX_CELLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Counts of the assessed rows.

    Parameters
    ----------
    columns : tuple of Profile
        Of the rows' columns, then of the output: :data:`PREDICTION`, and :data:`SCORE` where the model gives one.
    attributes : tuple of str
        Sensitive attributes.
    levels : tuple of tuple of str
        Their levels, each with :data:`OTHER` last.
    positive : str
        How the positive label reads.
    left_out : mapping of str to str
        Columns that are not compared, and why.
    """

    columns: tuple[Profile, ...]
    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    positive: str
    left_out: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical form: windows counted on another baseline are never added to those on this."""
        return sha256_hex(canonicalise(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "columns": [{**one.to_dict(), "edges": [repr(edge) for edge in one.edges]} for one in self.columns],
            "attributes": list(self.attributes),
            "levels": [list(names) for names in self.levels],
            "positive": self.positive,
            "leftOut": dict(self.left_out),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read :meth:`to_dict`, which somebody signed.

        Raises
        ------
        DataError
            If it has another form, or is too large to count by.
        """
        try:
            columns = tuple(
                Profile.from_dict({**one, "edges": [float(edge) for edge in one["edges"]],
                                   "counts": [int(n) for n in one["counts"]], "missing": int(one["missing"])})
                for one in value["columns"]
            )  # fmt: skip
            made = cls(
                columns=columns,
                attributes=tuple(map(str, value["attributes"])),
                levels=tuple(tuple(map(str, names)) for names in value["levels"]),
                positive=str(value["positive"]),
                left_out={str(name): str(why) for name, why in value["leftOut"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"this is no baseline: {type(error).__name__}: {error}", expected="what ws.assess signed"
            ) from error
        wide = max((max(len(one.levels), len(one.edges)) for one in columns), default=0)
        cells = int(np.prod([len(names) for names in made.levels], dtype=object)) * 2
        if (
            len(columns) > MAX_COLUMNS + 2
            or wide > MAX_LEVELS + 1
            or cells > MAX_CELLS
            or len(made.attributes) != len(made.levels)
        ):
            raise DataError("the baseline is too large to count by", expected=f"at most {MAX_CELLS:,} groups")
        return made


def baseline(
    rows: pd.DataFrame,
    *,
    y_pred: Any,
    y_score: Any,
    y_true: Any,
    sensitive_features: Sequence[str],
    pos_label: Any,
    min_rows: int,
) -> dict[str, Any]:
    """Count assessed rows.

    Parameters
    ----------
    rows : DataFrame
        Without the label.
    y_pred, y_score : array of shape (n,)
        What the model said; ``y_score`` may be None.
    y_true : Series
        The labels, which say how the positive one reads.
    sensitive_features : sequence of str
        Columns of ``rows``.
    pos_label : object
        The positive label; None for 1 or True.
    min_rows : int
        Levels with fewer rows are counted together.

    Returns
    -------
    dict
        :meth:`Baseline.to_dict`.
    """
    import pandas as pd

    output: dict[str, Any] = {PREDICTION: np.asarray(y_pred)}
    if y_score is not None:
        output[SCORE] = np.asarray(y_score, dtype=float)
    columns, left_out = [], {}
    for name in [str(one) for one in rows.columns][:MAX_COLUMNS]:
        if name in (SCORE, PREDICTION):
            left_out[name] = "its name is that of an output"
            continue
        try:
            columns.append(_folded(profile(rows[[name]])[name], min_rows))
        except DataError as error:
            left_out[name] = error.found[:200]
    left_out |= dict.fromkeys(map(str, rows.columns[MAX_COLUMNS:]), f"only {MAX_COLUMNS} columns are compared")
    found = profile(pd.DataFrame(output))
    columns += [_folded(found[name], min_rows) for name in output]
    by_name = {one.name: one for one in columns}
    attributes = tuple(name for name in sensitive_features if name in by_name and by_name[name].kind == "category")
    levels = tuple((*(level for level in by_name[name].levels if level != OTHER), OTHER) for name in attributes)
    while len(attributes) > 1 and int(np.prod([len(one) for one in levels], dtype=object)) * 2 > MAX_CELLS:
        left_out[f"groups of {attributes[-1]}"] = f"crossed, there are more than {MAX_CELLS:,} groups"
        attributes, levels = attributes[:-1], levels[:-1]
    made = Baseline(
        columns=tuple(columns), attributes=attributes, levels=levels, positive=_positive(y_true, pos_label), left_out=left_out
    )  # fmt: skip
    return made.to_dict()


def _folded(one: Profile, min_rows: int) -> Profile:
    """Count the levels with few rows together, and so all but the most frequent ones."""
    if one.kind == "numeric":
        return one
    ranked = sorted(zip(one.levels, one.counts, strict=True), key=lambda pair: -pair[1])
    kept = {level: rows for level, rows in ranked[: MAX_LEVELS - 1] if rows >= min_rows and level != OTHER}
    return Profile.from_counts(one.name, {**kept, OTHER: sum(one.counts) - sum(kept.values())}, missing=one.missing)


def _positive(y_true: Any, pos_label: Any) -> str:
    if pos_label is not None:
        return level_of(pos_label)
    return "True" if np.asarray(y_true).dtype.kind == "b" else "1"


def level_of(value: Any) -> str:
    """Return how a value reads as a level, whatever type of number it came as; as :func:`profile` names it."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_):
        short = f"{value:g}"
        return short if float(short) == value else repr(float(value))
    return str(value)
