"""The summary of a bias audit that New York City's Local Law 144 has published: 6 RCNY 5-303, from signed evidence.

What the rule asks for and the log does not hold is ``NOT PROVIDED``; nothing is guessed. The tables are counts of a signed fairness
assessment, so a reader can check each against its entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.assess.local_law_144 import UNKNOWN, BiasAudit, nyc_ll144
from ml_governance.decide.rules import revoked
from ml_governance.errors import MissingEvidenceError, UsageError
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.predicates import Deployment, Fairness, Promotion
from ml_governance.report.measured import source
from ml_governance.report.texts import NOT_PROVIDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.predicates import Measurement
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.card import Card

SEX = ("sex", "gender")
RACE = ("race_ethnicity", "race/ethnicity", "race", "ethnicity")
"""Names of columns that are taken for each attribute, unless one is named."""

TEXTS = {
    "ll144-data": (
        "Source and explanation of the data",
        "5-303(a)(1)",
        "Where the rows come from, and why they were used.",
    ),
    "ll144-auditor": ("Independent auditor", "5-300, 5-301(a)", "Who audited, and why that is an impartial judgement."),
}
"""Texts that people sign for the summary, by name: title, where the rule asks, and what it should say."""

RETENTION = "Keep this summary posted for at least 6 months after the tool was last used for an employment decision (6 RCNY 5-303(c))."
YEARLY = "A tool may not be used more than one year after its most recent bias audit (6 RCNY 5-301(a))."
NO_VERDICT = "Neither the law nor the rule sets a threshold for impact ratios; this summary judges nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is published.

    Parameters
    ----------
    card : Card
        The audit pack.
    audit : BiasAudit
        The three tables.
    columns : tuple of (str, str)
        Which columns hold sex and race/ethnicity.
    assessed : dict
        The entry that the counts come from: who signed it and when, its rows and how predictions were made.
    audited_on : str
        Day of the most recent audit: when that entry was recorded.
    distributed_on : str or None
        Day on which use began: of the first process that served the model, else of its promotion.
    distributed_by : dict or None
        The entry that says so.
    texts : tuple of dict
        What people must say, or NOT PROVIDED.
    """

    card: Card
    audit: BiasAudit
    columns: tuple[str, str]
    assessed: dict[str, Any]
    audited_on: str
    distributed_on: str | None
    distributed_by: dict[str, Any] | None
    texts: tuple[dict[str, Any], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the rule says beside the numbers."""
        return RETENTION, YEARLY, NO_VERDICT

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": "ll144-summary", "subject": self.card.subject, "stage": self.card.stage, "as_of": self.card.as_of,
            "log": self.card.log, "audited_on": self.audited_on, "distributed_on": self.distributed_on,
            "distributed_by": self.distributed_by, "columns": {"sex": self.columns[0], "race_ethnicity": self.columns[1]},
            "assessed": self.assessed, "audit": self.audit.to_dict(), "texts": list(self.texts), "notes": list(self.notes),
        }  # fmt: skip


def build(
    card: Card, view: EvidenceView, subject: Subject, *, columns: tuple[str | None, str | None] = (None, None)
) -> Summary:
    """Build the summary from the newest fairness assessment that holds both attributes and their crossing.

    Parameters
    ----------
    card : Card
        The audit pack.
    view : EvidenceView
        Verified and complete.
    subject : Subject
        The model version.
    columns : tuple of (str or None, str or None)
        Columns of sex and of race/ethnicity; None for the usual names.

    Returns
    -------
    Summary

    Raises
    ------
    MissingEvidenceError
        If nothing holds the counts that the rule asks for, or some are withheld.
    UsageError
        If a column is not among those that were assessed, or which is meant cannot be told.
    """
    about = view.about(subject.sha256)
    withdrawn = revoked(view)
    measured = [one for one in about if isinstance(one.content, Fairness) and one.payload_digest not in withdrawn]
    entry = measured[-1] if measured else None
    if entry is None or not isinstance(entry.content, Fairness):
        raise MissingEvidenceError(
            f"the log holds no fairness assessment of {subject.name} that stands",
            expected="one by sex and race/ethnicity",
            next_step=f"mlgov assess {subject.name} --by sex --by race --kind fairness",
        )
    content = entry.content
    known = tuple(dict.fromkeys(one.by[0] for one in content.measurements if len(one.by) == 1))
    chosen = (_column(columns[0], SEX, known, "--sex"), _column(columns[1], RACE, known, "--race"))
    counts = _counts(content.measurements, chosen, entry)
    distributed = _distributed(about, card.stage)
    return Summary(
        card=card, audit=nyc_ll144(counts, sex=chosen[0], race_ethnicity=chosen[1], unknown=UNKNOWN), columns=chosen,
        assessed={**source(entry), "predictions": content.predictions, "dataset": content.dataset.to_wire()},
        audited_on=stamp(entry.recorded_at)[:10],
        distributed_on=None if distributed is None else stamp(distributed.recorded_at)[:10],
        distributed_by=None if distributed is None else {**source(distributed), "kind": distributed.kind},
        texts=tuple(_text(name, card.human) for name in TEXTS),
    )  # fmt: skip


def _column(named: str | None, usual: Sequence[str], known: Sequence[str], option: str) -> str:
    if named is not None:
        if named not in known:
            raise UsageError(f"nobody assessed by {named!r}", expected=f"one of {', '.join(known)}")
        return named
    found = [one for one in known if one.casefold() in usual]
    if len(found) != 1:
        what = (
            f"{' and '.join(found)} may each be meant"
            if found
            else f"none of {', '.join(known)} is called {' or '.join(usual)}"
        )
        raise UsageError(what, expected="one column", next_step=f"name it with {option}")
    return found[0]


def _counts(
    measurements: Sequence[Measurement], columns: tuple[str, str], entry: Attestation
) -> dict[tuple[str, ...], tuple[int, int]]:
    """Return (selected, applicants) of each crossed category, of everybody who was assessed.

    A count is taken only if it is whole, for the rule counts people; small groups count as well.
    """
    counts: dict[tuple[str, ...], tuple[int, int]] = {}
    for one in measurements:
        if one.metric != "selection_rate" or len(one.group) != 2 or set(one.by) != set(columns):
            continue
        group = one.group if one.by == columns else one.group[::-1]
        if one.withheld or one.numerator is None or one.denominator is None:
            raise MissingEvidenceError(
                f"the counts of {' x '.join(group)} in #{entry.index} are not there: {one.reason or one.status}",
                expected="the counts of every category: 5-303(a) has them all published",
            )
        selected, applicants = one.numerator, one.denominator
        if not (selected.is_integer() and applicants.is_integer()):
            raise MissingEvidenceError(
                f"the counts of {' x '.join(group)} in #{entry.index} are weighted", expected="whole people"
            )
        counts[group] = (int(selected), int(applicants))
    if not counts:
        raise MissingEvidenceError(
            f"#{entry.index} does not cross {columns[0]} with {columns[1]}",
            expected="counts of their crossed categories, as 5-301(b)(2) asks",
            next_step=f"assess again with --by {columns[0]} --by {columns[1]}",
        )
    return counts


def _distributed(about: Sequence[Attestation], stage: str) -> Attestation | None:
    """Return what shows when use began: the first process that served it, else the first promotion that was done."""
    for kind in (Deployment, Promotion):
        for one in about:
            content = one.content
            if not isinstance(content, kind) or content.stage != stage:
                continue
            if isinstance(content, Deployment) or content.result == "done":
                return one
    return None


def _text(name: str, human: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    title, clause, asks = TEXTS[name]
    signed = next((one for one in human if one["name"] == name and one["source"]), None)
    return {
        "name": name, "title": title, "clause": clause, "asks": asks, "text": signed["text"] if signed else NOT_PROVIDED,
        "source": signed["source"] if signed else None,
    }  # fmt: skip
