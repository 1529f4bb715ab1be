"""Named rules about selection, each as its source states it, with the numbers needed to doubt it.

:func:`four_fifths` is 29 CFR 1607.4(D), the Uniform Guidelines on Employee Selection Procedures (43 FR 38290,
1978), read with the agencies' questions and answers (44 FR 11996, 1979). :func:`nyc_ll144` is 6 RCNY 5-301, New
York City's rule on automated employment decision tools as adopted in April 2023. Neither says whether somebody was
discriminated against: that is for people to judge.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.assess import cube as cubes
from ml_governance.assess import tables
from ml_governance.assess.local_law_144 import BiasAudit, nyc_ll144
from ml_governance.assess.selections import Selections, gather
from ml_governance.evidence import intervals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from ml_governance.assess.selections import Group, Source

__all__ = ["BiasAudit", "FourFifths", "GroupImpact", "four_fifths", "nyc_ll144"]

SMALL_SHARE = Fraction(2, 100)
Moved = Literal["reverses", "clears", "stays below", "falls below", "stays above", "nothing to move"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupImpact:
    """One group against the group with the highest selection rate.

    Parameters
    ----------
    group : str
        Its name.
    selected, applicants : int
        People.
    share : float
        Share of all applicants of known groups.
    rate : float or None
        ``selected / applicants``; None without applicants.
    impact_ratio : float or None
        The rate over the highest group's rate.
    lower, upper : float or None
        Koopman's two-sided interval of the impact ratio; None for the highest group itself.
    below : bool or None
        Whether the rate is less than four fifths of the highest; decided in whole numbers.
    shortfall : int or None
        How many more selections of this group, all else equal, would reach four fifths.
    fisher_p : float or None
        Fisher's exact test of this group against the highest, two-sided.
    z, z_p : float or None
        The pooled two-proportion z statistic, positive where this group's rate is higher, and its two-sided p-value.
    one_moved : str or None
        What moving one selection between this group and the highest does. Of a group below: it ``reverses`` the
        order of the two rates (Question 21: then generally no enforcement), or ``clears`` four fifths of the then
        highest rate, or ``stays below``. Of a group not below: ``falls below`` or ``stays above``.
    small : bool
        Whether the group is less than 2 percent of the applicants.
    compared : bool
        False where a small group was left out on request.
    """

    group: str
    selected: int
    applicants: int
    share: float
    rate: float | None
    impact_ratio: float | None = None
    lower: float | None = None
    upper: float | None = None
    below: bool | None = None
    shortfall: int | None = None
    fisher_p: float | None = None
    z: float | None = None
    z_p: float | None = None
    one_moved: Moved | None = None
    small: bool = False
    compared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FourFifths:
    """The four-fifths rule over the groups of one attribute.

    Parameters
    ----------
    by : tuple of str
        Attributes.
    groups : tuple of GroupImpact
        Every group, in order of the input.
    reference : str or None
        The group with the highest rate; of several the one with most applicants.
    applicants, unknown : int
        Applicants of known groups, and those whose group is unknown: counted, never compared.
    confidence : float
        Level of the intervals.
    status : {'ok', 'undefined'}
        ``undefined`` where nothing can be compared.
    reason : str or None
        Why it is undefined.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    by: tuple[str, ...]
    groups: tuple[GroupImpact, ...]
    reference: str | None
    applicants: int
    unknown: int
    confidence: float
    status: Literal["ok", "undefined"]
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def below(self) -> tuple[str, ...]:
        """Groups whose rate is less than four fifths of the highest."""
        return tuple(one.group for one in self.groups if one.below)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "rule": "four_fifths",
            "source": "29 CFR 1607.4(D)",
            **{
                name: getattr(self, name)
                for name in ("reference", "applicants", "unknown", "confidence", "status", "reason")
            },
            "by": list(self.by),
            "below": list(self.below),
            "groups": [asdict(one) for one in self.groups],
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each group, with the fields of :class:`GroupImpact`."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.groups]).set_index("group")

    def to_html(self) -> str:
        """Return the table and its notes as HTML."""
        rows = []
        for one in self.groups:
            interval = tables.NONE if one.lower is None or one.upper is None else f"{one.lower:.3f} to {one.upper:.3f}"
            said = (
                "not compared"
                if not one.compared
                else {None: "undefined", True: "below 4/5", False: "not below"}[one.below]
            )
            rows.append(
                (
                    one.group, f"{one.applicants:,}", f"{one.selected:,}", tables.percent(one.rate), tables.number(one.impact_ratio),
                    interval, said, tables.NONE if one.shortfall is None else one.shortfall, tables.number(one.fisher_p, 4),
                    tables.number(one.z, 2), one.one_moved or tables.NONE,
                )
            )  # fmt: skip
        columns = (
            " x ".join(self.by), "applicants", "selected", "selection rate", "impact ratio", f"{self.confidence:.0%} interval",
            "four fifths", "shortfall", "Fisher exact p", "z", "one selection moved",
        )  # fmt: skip
        notes = (*((self.reason,) if self.reason else ()), *self.notes)
        return tables.to_html("Four-fifths rule, 29 CFR 1607.4(D)", columns, rows, notes=notes)

    def __repr__(self) -> str:
        told = self.reason if self.status != "ok" else f"below: {', '.join(self.below) or 'none'}"
        return (
            f"<FourFifths by {' x '.join(self.by)}, {self.applicants:,} applicants, reference {self.reference}, {told}>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()


def four_fifths(
    counts: Source = None,
    *,
    by: Sequence[str] | str | None = None,
    y_pred: Any = None,
    sensitive_features: Any = None,
    pos_label: Any = None,
    unknown: Collection[str] = (cubes.MISSING,),
    exclude_small: bool = False,
    confidence: float = 0.95,
) -> FourFifths:
    """Apply the four-fifths rule of 29 CFR 1607.4(D).

    A group is below where its selection rate is *less than* four fifths of the highest group's. With s of n
    selected, and S of N in the highest group, that is ``5 s N < 4 S n``: whole numbers, because in floating point a
    ratio of exactly 0.80 may come out below it.

    Parameters
    ----------
    counts : mapping of group to (selected, applicants), FairnessReport or Cube, optional
        Counts. From a report or cube, being predicted positive is being selected.
    by : str or sequence of str, optional
        Attributes; may be left out where there is only one.
    y_pred : array-like of shape (n,), optional
        Who was selected, instead of counts.
    sensitive_features : data frame, column or dict of columns, optional
        Groups, with ``y_pred``.
    pos_label : object, optional
        Which value of ``y_pred`` means selected; needed unless it is 0/1 or False/True.
    unknown : collection of str, default ("(missing)",)
        Levels that mean that the group is not known.
    exclude_small : bool, default False
        Leave groups under 2 percent of the applicants out of the comparison; they are still listed.
    confidence : float in (0, 1), default 0.95
        Level of the intervals of the impact ratios.

    Returns
    -------
    FourFifths
        The tests are of one group against the highest each, and not adjusted for their number.

    Raises
    ------
    DataError
        If the counts cannot be used: see :func:`ml_governance.assess.selections.gather`.
    """
    intervals.quantile(confidence, "two-sided")
    made = gather(
        counts, by=by, y_pred=y_pred, sensitive_features=sensitive_features, pos_label=pos_label, unknown=unknown
    )
    total = made.applicants
    small = {group: Fraction(n, total) < SMALL_SHARE for group, (_, n) in made.counts.items()} if total else {}
    compared = {group: pair for group, pair in made.counts.items() if pair[1] and not (exclude_small and small[group])}
    reference = _highest(compared)
    reason = None
    if len(compared) < 2:
        reason = (
            f"{len(compared)} group{'s' if len(compared) != 1 else ''} with applicants to compare, where two are needed"
        )
    elif reference is None:
        reason = "nobody was selected in any group, so every ratio is 0/0"
    groups = []
    for group, (selected, n) in made.counts.items():
        plain: dict[str, Any] = {
            "group": " x ".join(group), "selected": selected, "applicants": n, "share": n / total if total else 0.0,
            "rate": selected / n if n else None, "small": small.get(group, True), "compared": group in compared,
        }  # fmt: skip
        if reason is None and reference is not None and group in compared:
            plain |= _impact(group, reference, compared, confidence)
        groups.append(GroupImpact(**plain))
    return FourFifths(
        by=made.by,
        groups=tuple(groups),
        reference=" x ".join(reference) if reason is None and reference is not None else None,
        applicants=total,
        unknown=made.unknown,
        confidence=confidence,
        status="ok" if reason is None else "undefined",
        reason=reason,
        notes=_notes(groups, made, reference if reason is None else None),
    )


def _highest(counts: dict[Group, tuple[int, int]]) -> Group | None:
    """Return the group with the highest rate, the largest of equals; None where nobody was selected."""
    rated = [(Fraction(s, n), n, group) for group, (s, n) in counts.items() if s]
    return max(rated, key=lambda one: one[:2])[2] if rated else None


def _is_below(s: int, n: int, top_s: int, top_n: int) -> bool:
    return 5 * s * top_n < 4 * top_s * n


def _impact(group: Group, reference: Group, counts: dict[Group, tuple[int, int]], confidence: float) -> dict[str, Any]:
    (s, n), (top_s, top_n) = counts[group], counts[reference]
    below = _is_below(s, n, top_s, top_n)
    made: dict[str, Any] = {
        "impact_ratio": float(Fraction(s * top_n, n * top_s)),
        "below": below,
        # smallest m with 5 (s + m) N >= 4 S n
        "shortfall": max(0, -((5 * s * top_n - 4 * top_s * n) // (5 * top_n))),
    }
    if group == reference:
        return made
    from scipy.stats import fisher_exact

    bounds = intervals.ratio(s, n, top_s, top_n, confidence=confidence, sides="two-sided")
    z = _pooled_z(s, n, top_s, top_n)
    return made | {
        "lower": bounds.lower,
        "upper": bounds.upper,
        "fisher_p": float(fisher_exact([[s, n - s], [top_s, top_n - top_s]]).pvalue),
        "z": z,
        "z_p": None if z is None else math.erfc(abs(z) / math.sqrt(2)),
        "one_moved": _one_moved(group, reference, counts, below=below),
    }


def _pooled_z(s: int, n: int, top_s: int, top_n: int) -> float | None:
    """Return (p - P) / sqrt(q (1 - q) (1/n + 1/N)) with q the rate of both; None where everybody was selected."""
    pooled = (s + top_s) / (n + top_n)
    variance = pooled * (1 - pooled) * (1 / n + 1 / top_n)
    return (s / n - top_s / top_n) / math.sqrt(variance) if variance > 0 else None


def _one_moved(group: Group, reference: Group, counts: dict[Group, tuple[int, int]], *, below: bool) -> Moved:
    (s, n), (top_s, top_n) = counts[group], counts[reference]
    step = 1 if below else -1
    if not (0 <= s + step <= n and 0 <= top_s - step <= top_n):
        return "nothing to move"
    after = {**counts, group: (s + step, n), reference: (top_s - step, top_n)}
    if below and Fraction(*after[group]) > Fraction(*after[reference]):
        return "reverses"
    top = _highest(after)
    under = top is not None and _is_below(*after[group], *after[top])
    if below:
        return "stays below" if under else "clears"
    return "falls below" if under else "stays above"


def _notes(groups: list[GroupImpact], made: Selections, reference: Group | None) -> tuple[str, ...]:
    notes = []
    if made.unknown:
        notes.append(f"{made.unknown:,} applicants of unknown group are counted here only.")
    small = [one.group for one in groups if one.small]
    if small:
        notes.append(
            f"Under 2 percent of the applicants: {', '.join(small)}. The Guidelines ask for determinations about groups of at least 2 "
            "percent of the labor force in the area, or of the workforce (29 CFR 1607.15(A)(2)(a)), which these counts do not know."
        )
    if reference is not None and " x ".join(reference) in small:
        notes.append(
            "The highest rate is that of a group under 2 percent: look at the comparison without it too (exclude_small=True)."
        )
    if any(one.one_moved == "reverses" for one in groups):
        notes.append(
            "Where one selection moved reverses the order of two rates, the numbers are too small for the rule alone "
            "(44 FR 11996, Question 21): look at a longer period."
        )
    if any(one.fisher_p is not None and (one.fisher_p < 0.05) != bool(one.below) for one in groups):
        notes.append(
            "Rule and significance test disagree for a group: smaller differences may be adverse impact where they are significant, "
            "and greater ones may not be where numbers are small (29 CFR 1607.4(D))."
        )
    return tuple(notes)
