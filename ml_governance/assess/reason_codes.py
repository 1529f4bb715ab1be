r"""Why each declined applicant was declined: the factors that fell short, for adverse-action notices.

12 CFR part 1002 (Regulation B), supplement I, comment 9(b)(2), as we read it: reasons relate to factors actually scored; no principal
reason is left out; more than four are unlikely to help; and two ways to find them are named, each a shortfall from an average:

- ``at_cutoff``: of the applicants at or just above the cutoff;
- ``all``: of all applicants.

With the applicants of the baseline as the background, the attribution of a factor is its deviation from that average (for a scorecard,
the points lost against the average points; for other models the Shapley value of the same comparison), and all of an
applicant's deviations sum to the deviation of the output. So the factor's shortfall is

.. math:: s_j(x) = \max(0, -\varphi_j(x))

where high outputs are favourable. What is computed here is evidence for the duty to state reasons, and no legal advice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.explanation_engines import attribute
from ml_governance.assess.explanation_game import Output, game_of
from ml_governance.assess.prohibited import refuse_prohibited
from ml_governance.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

Baseline = Literal["at_cutoff", "all"]
AT_MOST = 4
FEWEST = 30
"""Applicants that an average is taken of, at least."""

ROUNDING = 1e-12
"""A shortfall below this part of an applicant's largest deviation is rounding and no reason."""

ADDITIVITY = 1e-5
"""Largest gap between sum and output, as a share of their size: some libraries add in single precision."""

NO_REASON = "no factor falls short of this baseline; the baseline 'at_cutoff' names one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One factor that fell short.

    Parameters
    ----------
    factor : str
        Its text.
    columns : tuple of str
        What it is made of.
    shortfall : float
        In units of the output, above 0.
    share : float in (0, 1]
        Of all shortfalls of this applicant.
    """

    factor: str
    columns: tuple[str, ...]
    shortfall: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """One declined applicant.

    Parameters
    ----------
    row : object
        Label in the index of the applicants.
    output : float
        What the model made of it.
    reasons : tuple of Reason
        Largest shortfall first; equal ones in the order of the factors.
    unstated : int
        How many factors fell short beside these.
    covered : float in [0, 1]
        Share of all shortfalls that the reasons hold; NaN if there is none.
    status : {'ok', 'undefined'}
        ``undefined`` if no factor fell short of the baseline.
    why : str
        Why it is undefined.
    """

    row: Any
    output: float
    reasons: tuple[Reason, ...]
    unstated: int
    covered: float
    status: Literal["ok", "undefined"]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReasonCodes:
    """Reasons for every declined applicant of a table; iterating gives each as :class:`Declined`.

    Parameters
    ----------
    factors : tuple of str
        Texts, in their fixed order.
    columns : tuple of tuple of str
        What each factor is made of.
    rows : tuple
        Labels of the declined applicants.
    outputs : array of float64, shape (declined,)
        What the model made of them.
    shortfalls : array of float64, shape (declined, factors)
        0 where a factor did not fall short.
    order : array of intp, shape (declined, at most)
        Factors from the largest shortfall down; -1 where there are no more.
    applicants, compared : int
        How many were looked at, and how many the baseline is the average of.
    baseline : {'at_cutoff', 'all'}
        Which average.
    average : float
        Mean output of the baseline.
    cutoff : float
        On the scale of the output.
    declined : {'below', 'above'}
        Which side of the cutoff is declined.
    output : {'probability', 'margin'}
        Which output.
    engine, check : str
        What computed the attributions, and how that was checked.
    """

    factors: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...] = field(repr=False)
    rows: tuple[Any, ...] = field(repr=False)
    outputs: Matrix = field(repr=False)
    shortfalls: Matrix = field(repr=False)
    order: NDArray[np.intp] = field(repr=False)
    applicants: int
    compared: int
    baseline: Baseline
    average: float
    cutoff: float
    declined: Literal["below", "above"]
    output: Output
    engine: str
    check: str

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Declined]:
        return (self._at(place) for place in range(len(self.rows)))

    def of(self, row: Any) -> Declined:
        """Return the reasons of one declined applicant, by its label.

        Raises
        ------
        DataError
            If nobody with this label, or more than one, was declined.
        """
        places = [place for place, label in enumerate(self.rows) if label == row]
        if len(places) != 1:
            raise DataError(
                f"{len(places)} declined applicants have the label {row!r}",
                expected="one, as in the index of the table",
            )
        return self._at(places[0])

    def _at(self, place: int) -> Declined:
        short = self.shortfalls[place]
        total = float(short.sum())
        reasons = tuple(
            Reason(
                factor=self.factors[at],
                columns=self.columns[at],
                shortfall=float(short[at]),
                share=float(short[at]) / total,
            )
            for at in self.order[place]
            if at >= 0
        )
        return Declined(
            row=self.rows[place],
            output=float(self.outputs[place]),
            reasons=reasons,
            unstated=int((short > 0).sum()) - len(reasons),
            covered=math.fsum(one.share for one in reasons) if reasons else math.nan,
            status="ok" if reasons else "undefined",
            why="" if reasons else NO_REASON,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a long table, one row for each reason: row, output, rank, factor, shortfall, share, status.

        An applicant without a reason has one row, with rank 0 and the status ``undefined``.
        """
        import pandas as pd

        listed = self.order >= 0
        none = ~listed.any(axis=1)
        place, rank = np.nonzero(listed)
        at = self.order[place, rank]
        place, rank, at = (np.concatenate(both) for both in (
            (place, np.flatnonzero(none)), (rank + 1, np.zeros(none.sum(), dtype=np.intp)), (at, np.full(none.sum(), -1)),
        ))  # fmt: skip
        sorting = np.lexsort((rank, place))
        place, rank, at = place[sorting], rank[sorting], at[sorting]
        short = np.where(at >= 0, self.shortfalls[place, at], np.nan)
        texts = np.array([*self.factors, None], dtype=object)
        labels = np.empty(len(self.rows), dtype=object)
        labels[:] = self.rows
        return pd.DataFrame({
            "row": pd.Series(labels[place]).infer_objects(), "output": self.outputs[place], "rank": rank, "factor": texts[at],
            "shortfall": short, "share": short / np.where(at >= 0, self.shortfalls[place].sum(axis=1), 1.0),
            "status": np.where(at >= 0, "ok", "undefined"),
        })  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """Return what may be shown without naming anybody: the settings, and how often each factor was a reason."""
        first = np.bincount(self.order[:, 0][self.order[:, 0] >= 0], minlength=len(self.factors))
        stated = np.bincount(self.order[self.order >= 0], minlength=len(self.factors))
        total = self.shortfalls.sum(axis=1)
        held = np.take_along_axis(self.shortfalls, np.maximum(self.order, 0), axis=1) * (self.order >= 0)
        covered = held.sum(axis=1)[total > 0] / total[total > 0]
        return {
            "applicants": self.applicants, "declined": len(self.rows), "without_reason": int((total == 0).sum()),
            "baseline": self.baseline, "compared": self.compared, "average": self.average, "cutoff": self.cutoff,
            "declined_side": self.declined, "output": self.output, "engine": self.engine, "check": self.check,
            "at_most": self.order.shape[1], "least_covered": float(covered.min()) if len(covered) else None,
            "factors": [
                {"factor": name, "columns": list(columns), "first": int(one), "stated": int(any_)}
                for name, columns, one, any_ in zip(self.factors, self.columns, first, stated, strict=True)
            ],
        }  # fmt: skip


def reason_codes(
    model: Any,
    *,
    applicants: pd.DataFrame,
    cutoff: float,
    protected: Sequence[str],
    baseline: Baseline = "at_cutoff",
    compared: pd.DataFrame | None = None,
    output: Output = "margin",
    declined: Literal["below", "above"] = "below",
    factors: Mapping[str, str] | None = None,
    at_most: int = AT_MOST,
    near: float = 0.1,
) -> ReasonCodes:
    """Return the reasons for every applicant that a cutoff declines.

    Parameters
    ----------
    model : object
        With an exact engine for this output: linear and additive models and boosted trees by the margin, forests by the
        probability, regressors with the identity link by their prediction (``output="probability"``).
    applicants : DataFrame of shape (n, columns)
        Those decided on, with the columns that the model takes and those in ``protected``.
    cutoff : float
        On the scale of ``output``; a probability p is the margin log(p / (1 - p)) of a logistic model.
    protected : sequence of str
        Columns of ``applicants`` that are prohibited bases. It has no default: an empty one says that there are none.
    baseline : {'at_cutoff', 'all'}
        Whose average the shortfall is taken from.
    compared : DataFrame, optional
        Applicants that the baseline is found among; default is ``applicants``.
    output : {'margin', 'probability'}
        Which output is decided on.
    declined : {'below', 'above'}
        Whether outputs below the cutoff are declined, or above it, as of a probability of default.
    factors : mapping of str to str, optional
        Text of the reason by column; columns with one text are one factor, and their attributions are summed, as those of
        one-hot parts that the model takes as columns. The default is the column's name.
    at_most : int, default 4
        How many reasons are stated.
    near : float in (0, 1], default 0.1
        At the cutoff: the share of those who pass whose outputs are nearest to it, and 30 at least.

    Returns
    -------
    ReasonCodes

    Raises
    ------
    DataError
        If a protected column has any influence on a declined applicant's output; if the attributions would be sampled;
        if the baseline would be an average of fewer than 30; or if the tables do not fit the model.
    UnavailableError
        If the attributions do not add up to what the model made.
    """
    if not math.isfinite(cutoff) or at_most < 1 or not 0 < near <= 1 or declined not in ("below", "above"):
        raise DataError(
            f"cutoff={cutoff}, at_most={at_most}, near={near}, declined={declined!r}",
            expected="a finite cutoff, at least one reason, a share in (0, 1], and 'below' or 'above'",
        )
    if isinstance(protected, str) or any(name not in applicants.columns for name in protected):
        raise DataError(
            f"the applicants lack a protected column of {protected!r}",
            expected="a list of names of columns of the applicants",
            next_step="keep the protected columns beside the model's, so that their influence can be ruled out",
        )
    others = applicants if compared is None else compared
    if len(applicants) == 0 or len(others) == 0:
        raise DataError("there are no applicants, or none to compare with", expected="at least one row")
    whole = game_of(model, applicants, others, output)
    sign = 1.0 if declined == "below" else -1.0
    made, theirs = sign * whole.play(whole.rows), sign * whole.play(whole.background)
    if not (np.isfinite(made).all() and np.isfinite(theirs).all()):
        raise DataError("some outputs are not finite", expected="finite numbers", next_step="look for NaN in the rows")
    chosen = _baseline(theirs, sign * cutoff, baseline, near)
    places = np.flatnonzero(made < sign * cutoff)
    texts, members = _factors(whole.columns, factors or {})
    if not len(places):
        raise DataError("the cutoff declines nobody", expected=f"outputs {declined} {cutoff:g}")
    game = game_of(model, applicants.iloc[places], others.iloc[chosen], output)
    answer = attribute(game, output, 0)
    if not answer.exact:
        raise DataError(
            f"the attributions of this {output} would be sampled ({answer.why}), and reasons would differ from draw to draw",
            expected="a model and an output with an exact engine",
            next_step="output='margin', with the cutoff on that scale"
            if output == "probability"
            else "a linear, additive or tree model",
        )
    gap = float(np.abs(answer.base + answer.phi.sum(axis=1) - sign * made[places]).max())
    allowed = ADDITIVITY * (abs(answer.base) + float(np.abs(answer.phi).sum(axis=1).max()))
    if not gap <= allowed:
        raise UnavailableError(
            f"the attributions of {answer.engine} miss the model's output by {gap:.3g}",
            expected=f"at most {allowed:.3g}",
            next_step="report this model: no reasons were stated",
        )
    phi = sign * answer.phi
    noise = ROUNDING * np.maximum(np.abs(phi).max(axis=1, keepdims=True), abs(answer.base) * 1e-3)
    refuse_prohibited(applicants, game.columns, phi, noise, protected)
    deviations = phi @ members.T
    shortfalls = np.where(-deviations > noise, -deviations, 0.0)
    order = np.argsort(-shortfalls, axis=1, kind="stable")[:, :at_most]
    order[np.take_along_axis(shortfalls, order, axis=1) == 0] = -1
    return ReasonCodes(
        factors=texts,
        columns=tuple(tuple(np.array(game.columns, dtype=object)[row > 0]) for row in members),
        rows=tuple(applicants.index[places]),
        outputs=sign * made[places],
        shortfalls=shortfalls,
        order=order,
        applicants=len(applicants),
        compared=len(chosen),
        baseline=baseline,
        average=float(answer.base),
        cutoff=cutoff,
        declined=declined,
        output=output,
        engine=answer.engine,
        check=answer.check or "",
    )


def _baseline(outputs: Matrix, cutoff: float, baseline: Baseline, near: float) -> NDArray[np.intp]:
    """Return the places of those whose average is the baseline; equal outputs are in or out together."""
    if baseline == "all":
        chosen = np.arange(len(outputs))
    elif baseline == "at_cutoff":
        passing = np.sort(outputs[outputs >= cutoff])
        count = min(max(FEWEST, math.ceil(near * len(passing))), len(passing))
        last = passing[count - 1] if count else cutoff
        chosen = np.flatnonzero((outputs >= cutoff) & (outputs <= last))
    else:
        raise DataError(f"{baseline!r} is no baseline", expected="'at_cutoff' or 'all'")
    if len(chosen) < FEWEST:
        raise DataError(
            f"the baseline {baseline!r} would be the average of {len(chosen)} applicants",
            expected=f"at least {FEWEST}",
            next_step="compared=, with more applicants of the past",
        )
    return chosen


def _factors(columns: Sequence[str], texts: Mapping[str, str]) -> tuple[tuple[str, ...], Matrix]:
    """Return the texts in the order of their first columns, and which columns belong to each."""
    unknown = [name for name in texts if name not in columns]
    if unknown or not all(text.strip() for text in texts.values()):
        raise DataError(
            f"reasons for {', '.join(unknown) or 'some columns'} have no column or no text",
            expected=f"a text for each of {', '.join(columns)}",
        )
    own = [texts.get(name, name) for name in columns]
    names = tuple(dict.fromkeys(own))
    return names, np.array([[float(text == name) for text in own] for name in names])
