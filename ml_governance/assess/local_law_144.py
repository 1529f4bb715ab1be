"""The bias audit of New York City's Local Law 144 of 2021: 6 RCNY 5-300 to 5-303, as adopted in April 2023.

The rule asks for rates and impact ratios by sex, by race and ethnicity, and by both crossed; it sets no threshold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import cube as cubes
from ml_governance.assess import labels, sensitive, tables
from ml_governance.assess.selections import Selections, gather
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.selections import Source

SMALL_SHARE = Fraction(2, 100)
TITLES = ("Sex Categories", "Race/Ethnicity Categories", "Intersectional Categories")
UNKNOWN = (cubes.MISSING, "Unknown", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One category of a table.

    Parameters
    ----------
    category : tuple of str
        Level, or (sex, race/ethnicity).
    applicants, selected : int
        People assessed, and those selected, or those with a score above the median.
    rate : float or None
        Selection rate or scoring rate; None without applicants.
    impact_ratio : float or None
        Rate over the highest rate of the table.
    share : float
        Of all applicants in the table.
    excluded : bool
        Whether the auditor left it out of the impact ratios, which 5-301(d) allows below 2 percent.
    status : {'ok', 'excluded', 'undefined'}
        Why there is no impact ratio, if there is none.
    """

    category: tuple[str, ...]
    applicants: int
    selected: int
    rate: float | None
    impact_ratio: float | None
    share: float
    excluded: bool
    status: Literal["ok", "excluded", "undefined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryTable:
    """One of the three tables."""

    title: str
    by: tuple[str, ...]
    rows: tuple[Category, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BiasAudit:
    """The numbers that 6 RCNY 5-301 and 5-303 ask for.

    Parameters
    ----------
    measure : {'selection', 'scoring'}
        5-301(b) for tools that select, 5-301(c) for tools that score.
    tables : tuple of CategoryTable
        By sex, by race/ethnicity, and by both.
    unknown : int
        Individuals with an unknown sex or race/ethnicity: in no table.
    median : float or None
        For scoring: what a score must be above.
    at_median : int or None
        For scoring: how many scores equal the median, and so do not count as above.
    justification : str or None
        Why categories under 2 percent were left out of the impact ratios.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    measure: Literal["selection", "scoring"]
    tables: tuple[CategoryTable, ...]
    unknown: int
    median: float | None = None
    at_median: int | None = None
    justification: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_tables(
        cls,
        *,
        sex: Mapping[Any, tuple[int, int]],
        race_ethnicity: Mapping[Any, tuple[int, int]],
        intersectional: Mapping[Any, tuple[int, int]],
        unknown: int = 0,
        measure: Literal["selection", "scoring"] = "selection",
        exclusion_justification: str | None = None,
    ) -> BiasAudit:
        """Make an audit of three published tables, each of (selected, applicants).

        The tables are taken as they are: they need not add up to each other, and those of the rule's own example do
        not.

        Raises
        ------
        DataError
            If counts are not whole, or selected exceeds applicants.
        """
        parts = [
            gather(sex, by=("sex",), unknown=()),
            gather(race_ethnicity, by=("race_ethnicity",), unknown=()),
            gather(intersectional, by=("sex", "race_ethnicity"), unknown=()),
        ]
        return cls(
            measure=measure,
            tables=_tables(parts, exclusion_justification),
            unknown=unknown,
            justification=exclusion_justification,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"rule": "nyc_ll144", "source": "6 RCNY 5-301", **asdict(self), "notes": list(self.notes)}

    def to_frame(self) -> pd.DataFrame:
        """Return all three tables as one long one: table, category, and the fields of :class:`Category`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"table": table.title, **asdict(row), "category": " x ".join(row.category)}
                for table in self.tables
                for row in table.rows
            ]
        )

    def table(self, title: str) -> pd.DataFrame:
        """Return one table with the columns that the rule's examples have.

        Parameters
        ----------
        title : str
            ``Sex Categories``, ``Race/Ethnicity Categories`` or ``Intersectional Categories``.

        Raises
        ------
        KeyError
            If there is no such table.
        """
        import pandas as pd

        one = next((table for table in self.tables if table.title == title), None)
        if one is None:
            raise KeyError(f"there is no table {title!r}; there are {', '.join(table.title for table in self.tables)}")
        columns = self._columns()
        rows = [dict(zip(columns, self._cells(row), strict=True)) for row in one.rows]
        names = list(one.by)
        keys = [row.category for row in one.rows]
        index = (
            pd.MultiIndex.from_tuples(keys, names=names)
            if len(names) > 1
            else pd.Index([k[0] for k in keys], name=names[0])
        )
        return pd.DataFrame(rows, index=index, columns=list(columns))

    def _columns(self) -> tuple[str, ...]:
        if self.measure == "selection":
            return "# of Applicants", "# Selected", "Selection Rate", "Impact Ratio"
        return "# of Applicants", "Scoring Rate", "Impact Ratio"

    def _cells(self, row: Category) -> tuple[str, ...]:
        ratio = "excluded" if row.excluded else tables.number(row.impact_ratio)
        rate = tables.percent(row.rate)
        if self.measure == "selection":
            return f"{row.applicants}", f"{row.selected}", rate, ratio
        return f"{row.applicants}", rate, ratio

    def to_html(self) -> str:
        """Return the tables in the layout of the rule's examples, with the count of unknown individuals."""
        parts = []
        for one in self.tables:
            rows: list[Sequence[object]] = []
            for heading, members in _blocks(one):
                if heading:
                    rows.append((heading,))
                rows += [(name, *self._cells(row)) for name, row in members]
            parts.append(tables.to_html(one.title, ("", *self._columns()), rows))
        from html import escape

        uncounted = (
            f"Note: {self.unknown:,} individuals with an unknown sex or race/ethnicity category were assessed as well"
        )
        closing = (f"{uncounted}. Data on them is not included above.", *self.notes)
        return "".join(parts) + "".join(f"<p>{escape(note)}</p>" for note in closing)

    def __repr__(self) -> str:
        lowest = [
            f"{table.title}: {min((r.impact_ratio for r in table.rows if r.impact_ratio is not None), default=float('nan')):.3f}"
            for table in self.tables
        ]
        return f"<BiasAudit {self.measure}, smallest impact ratios {'; '.join(lowest)}, {self.unknown:,} unknown>"

    def _repr_html_(self) -> str:
        return self.to_html()


def nyc_ll144(
    counts: Source = None,
    *,
    sex: Any,
    race_ethnicity: Any,
    y_pred: Any = None,
    y_score: Any = None,
    pos_label: Any = None,
    unknown: Collection[str] = UNKNOWN,
    exclusion_justification: str | None = None,
    median_over: Literal["known", "all"] = "known",
) -> BiasAudit:
    """Calculate the bias audit of 6 RCNY 5-301.

    Parameters
    ----------
    counts : mapping of (sex, race/ethnicity) to (selected, applicants), FairnessReport or Cube, optional
        Counts instead of rows.
    sex, race_ethnicity : str, or array-like of shape (n,)
        Names of the attributes in ``counts``, or the columns of the rows.
    y_pred : array-like of shape (n,), optional
        Who was selected: the audit of a tool that selects, 5-301(b).
    y_score : array-like of shape (n,), optional
        Scores: the audit of a tool that scores, 5-301(c). The scoring rate of a category is the share of it with a
        score *above* the median of the full sample.
    pos_label : object, optional
        Which value of ``y_pred`` means selected; needed unless it is 0/1 or False/True.
    unknown : collection of str
        Levels that mean an unknown category. Whoever has one of them, in either attribute, is counted as unknown
        and is in no table.
    exclusion_justification : str, optional
        Opts in to 5-301(d): categories under 2 percent of the data are left out of the impact ratios, and their
        numbers are still published beside this justification, which the rule requires.
    median_over : {'known', 'all'}, default 'known'
        Whose scores make the median. 5-301(c)(5) keeps unknown individuals out of the required calculations, of
        which the median is the first; ``all`` reads "the full sample of applicants" to the letter. Where the two
        medians differ, a note says so.

    Returns
    -------
    BiasAudit
        No verdict: neither the law nor the rule sets a threshold for the impact ratio.

    Raises
    ------
    DataError
        If neither or both of ``y_pred`` and ``y_score`` come with rows, scores are not finite, or the counts cannot be
        used.
    """
    if counts is not None:
        if y_pred is not None or y_score is not None:
            raise DataError("there are both counts and rows", expected="one of them")
        by = (sex, race_ethnicity)
        if not all(isinstance(name, str) for name in by):
            raise DataError("sex and race_ethnicity are columns", expected="their names, when counts are given")
        return _audit(gather(counts, by=by, unknown=unknown), "selection", exclusion_justification)
    if (y_pred is None) == (y_score is None):
        raise DataError("the tool either selects or scores", expected="y_pred or y_score, one of them")
    features = {"sex": sex, "race_ethnicity": race_ethnicity}
    if y_pred is not None:
        made = gather(
            None, by=tuple(features), y_pred=y_pred, sensitive_features=features, pos_label=pos_label, unknown=unknown
        )
        return _audit(made, "selection", exclusion_justification)
    scores = _scores(y_score)
    labels.same_length(y_score=scores, **features)
    known = _known(features, len(scores), unknown)
    if not known.any():
        raise DataError("nobody has both a known sex and race/ethnicity", expected="at least one individual")
    medians = {"known": float(np.median(scores[known])), "all": float(np.median(scores))}
    median = medians[median_over]
    made = gather(
        None, by=tuple(features), y_pred=scores > median, sensitive_features=features, pos_label=True, unknown=unknown
    )
    notes = []
    if medians["known"] != medians["all"]:
        notes.append(
            f"The median is over {'individuals of known category' if median_over == 'known' else 'everybody assessed'}: {median:g}; "
            f"over {'everybody assessed' if median_over == 'known' else 'individuals of known category'} it would be "
            f"{medians['all' if median_over == 'known' else 'known']:g}."
        )
    tied = int((scores[known] == median).sum())
    if tied:
        notes.append(f"{tied:,} scores equal the median and do not count as above it.")
    return _audit(made, "scoring", exclusion_justification, median=median, at_median=tied, notes=tuple(notes))


def _audit(
    made: Selections,
    measure: Literal["selection", "scoring"],
    justification: str | None,
    *,
    median: float | None = None,
    at_median: int | None = None,
    notes: tuple[str, ...] = (),
) -> BiasAudit:
    if made.applicants == 0:
        raise DataError("nobody has both a known sex and race/ethnicity", expected="at least one individual")
    built = _tables([made.marginal(0), made.marginal(1), made], justification)
    if any(row.excluded for table in built for row in table.rows):
        notes = (*notes, f"Categories under 2 percent are excluded from impact ratios (5-301(d)): {justification}")
    return BiasAudit(
        measure=measure, tables=built, unknown=made.unknown, median=median, at_median=at_median,
        justification=justification, notes=notes,
    )  # fmt: skip


def _tables(parts: Sequence[Selections], justification: str | None) -> tuple[CategoryTable, ...]:
    if justification is not None and not justification.strip():
        raise DataError("the justification for excluding categories is empty", expected="the auditor's reason")
    return tuple(
        CategoryTable(title=title, by=part.by, rows=_rows(part, exclude=justification is not None))
        for title, part in zip(TITLES, parts, strict=True)
    )


def _rows(part: Selections, *, exclude: bool) -> tuple[Category, ...]:
    total = part.applicants
    out = {group: exclude and total > 0 and Fraction(n, total) < SMALL_SHARE for group, (_, n) in part.counts.items()}
    top = max((Fraction(s, n) for group, (s, n) in part.counts.items() if n and not out[group]), default=Fraction(0))
    rows = []
    for group, (selected, n) in part.counts.items():
        rate = Fraction(selected, n) if n else None
        given = rate is not None and top > 0 and not out[group]
        rows.append(
            Category(
                category=group, applicants=n, selected=selected, rate=None if rate is None else float(rate),
                impact_ratio=float(rate / top) if given and rate is not None else None, share=n / total if total else 0.0,
                excluded=out[group], status="excluded" if out[group] else "ok" if given else "undefined",
            )
        )  # fmt: skip
    return tuple(rows)


def _blocks(table: CategoryTable) -> list[tuple[str, list[tuple[str, Category]]]]:
    """Return the rows under the headings of the rule's examples: Hispanic or Latino first, then the others by sex."""
    if len(table.by) == 1:
        return [("", [(row.category[0], row) for row in table.rows])]
    hispanic = {row.category[1] for row in table.rows if row.category[1].casefold().startswith("hispanic")}
    blocks = [
        (name, [(row.category[0], row) for row in table.rows if row.category[1] == name]) for name in sorted(hispanic)
    ]
    prefix = "Not Hispanic or Latino, " if hispanic else ""
    for sex in dict.fromkeys(row.category[0] for row in table.rows):
        members = [
            (row.category[1], row) for row in table.rows if row.category[0] == sex and row.category[1] not in hispanic
        ]
        if members:
            blocks.append((f"{prefix}{sex}", members))
    return blocks


def _scores(values: Any) -> NDArray[np.float64]:
    array = labels.column(values, "y_score")
    try:
        scores: NDArray[np.float64] = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("y_score is not numeric", expected="numbers") from error
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise DataError(f"y_score has {bad} values that are NaN or infinite", expected="a score for everybody assessed")
    return scores


def _known(features: dict[str, Any], rows: int, unknown: Collection[str]) -> NDArray[np.bool_]:
    known = np.ones(rows, dtype=bool)
    for own, levels in sensitive.read(features, rows).values():
        known &= ~np.isin(np.asarray(levels, dtype=object), list(unknown))[own]
    return known
