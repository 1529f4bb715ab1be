"""Two versions side by side: what differs in their data, code, numbers, explanation and decision.

Pure, over two cards. It says what differs, not which is better: whether a difference of two numbers is more than chance, the paired
rules of a policy say, on the same rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import Promotion
from ml_governance.report.numbers import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.card import Card

PARTS = ("identity", "data", "code", "performance", "fairness", "explanation", "texts", "decision", "in use")
ABSENT = "not recorded"
TOP_COLUMNS = 10
COMPARED = frozenset(
    ("selection_rate_ratio", "equal_opportunity_difference", "equalized_odds_difference", "accuracy_difference")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing about both versions.

    Parameters
    ----------
    part : str
        One of :data:`PARTS`.
    what : str
        What it is.
    before, after : str
        What each version's evidence says; ``not recorded`` where it says nothing.
    entries : tuple of (int or None, int or None)
        Ledger indices of both.
    apart : bool or None
        For numbers with intervals: whether the intervals do not touch. None where there are none.
    """

    part: str
    what: str
    before: str
    after: str
    entries: tuple[int | None, int | None]
    apart: bool | None = None

    @property
    def changed(self) -> bool:
        """Whether the two differ as they are written."""
        return self.before != self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two versions of the same log.

    Parameters
    ----------
    before, after : Card
        The audit packs.
    rows : tuple of Row
        All that is compared, by part.
    notes : tuple of str
        What a reader must know before comparing numbers.
    """

    before: Card
    after: Card
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Row, ...]:
        """Only what differs."""
        return tuple(row for row in self.rows if row.changed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": "compare", "before": self.before.subject, "after": self.after.subject, "stage": self.after.stage,
            "as_of": self.after.as_of, "log": self.after.log, "notes": list(self.notes),
            "rows": [{**asdict(row), "entries": list(row.entries), "changed": row.changed} for row in self.rows],
        }  # fmt: skip


def compare(before: Card, after: Card) -> Comparison:
    """Compare two versions of one log."""
    rows = []
    for part, one, two in ((part, _facts(before, part), _facts(after, part)) for part in PARTS):
        for what in dict.fromkeys((*one, *two)):
            a, b = one.get(what, _NOTHING), two.get(what, _NOTHING)
            rows.append(
                Row(
                    part=part, what=what, before=a.text, after=b.text, entries=(a.entry, b.entry),
                    apart=None if a.interval is None or b.interval is None else _apart(a.interval, b.interval),
                )
            )  # fmt: skip
    return Comparison(before=before, after=after, rows=tuple(rows), notes=tuple(_notes(before, after)))


def predecessor(view: EvidenceView, subject: Subject, stage: str) -> Subject | None:
    """Return the version that stood in a stage before this one, of the same model; None if there was none.

    Parameters
    ----------
    view : EvidenceView
        Verified and complete.
    subject : Subject
        The version.
    stage : str
        The stage.

    Returns
    -------
    Subject or None
        Of the promotions that are recorded as done: the last other bytes before this version's first, or before now.
    """
    name = subject.name.rpartition("/")[0] or subject.name
    last: Subject | None = None
    for one in view.of_kind(Promotion.kind):
        content = one.content
        if not isinstance(content, Promotion) or content.result != "done" or content.stage != stage:
            continue
        if content.name != name:
            continue
        if one.about(subject.sha256):
            return last
        last = one.subjects[0]
    return last


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    text: str
    entry: int | None = None
    interval: tuple[float, float] | None = None


_NOTHING = _Fact(text=ABSENT)


def _apart(one: tuple[float, float], two: tuple[float, float]) -> bool:
    return one[1] < two[0] or two[1] < one[0]


def _facts(card: Card, part: str) -> Mapping[str, _Fact]:
    found: dict[str, _Fact] = {}
    for what, fact in _READERS[part](card):
        # The same name twice, such as two tables called alike, is two things.
        found[f"{what} (#{fact.entry}, {len(found)})" if what in found else what] = fact
    return found


def _identity(card: Card) -> Iterator[tuple[str, _Fact]]:
    yield "bytes", _Fact(text=card.subject["sha256"])
    if card.registration is not None:
        one = card.registration
        for key in ("format", "files", "size", "capture"):
            yield key, _Fact(text=f"{one[key]:,}" if isinstance(one[key], int) else str(one[key]), entry=one["index"])


def _data(card: Card) -> Iterator[tuple[str, _Fact]]:
    for one in card.data:
        rows = "rows unknown" if one["rows"] is None else f"{one['rows']:,} rows"
        yield f"{one['use']}, {one['name']}", _Fact(text=f"{one['sha256'][:12]}, {rows}", entry=one["entries"][-1])


def _code(card: Card) -> Iterator[tuple[str, _Fact]]:
    one = card.environment
    if one is None:
        return
    git = one.get("git")
    if git:
        text = git["commit"][:12] + (" with changes that were not committed" if git["dirty"] else "")
        yield "commit", _Fact(text=text, entry=one["index"])
    for key in ("python", "platform"):
        yield key, _Fact(text=str(one[key]), entry=one["index"])
    for name, version in sorted(one["packages"].items()):
        yield f"package {name}", _Fact(text=version, entry=one["index"])
    yield "all packages", _Fact(text=one["packagesDigest"][:12], entry=one["index"])
    for name, value in sorted(one.get("parameters", {}).items()):
        yield f"parameter {name}", _Fact(text=value, entry=one["index"])


def _number(cell: Mapping[str, Any], entry: int) -> _Fact:
    if cell["value"] is None:
        return _Fact(text=cell["status"], entry=entry)
    interval = None if cell["lower"] is None or cell["upper"] is None else (cell["lower"], cell["upper"])
    spread = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    rows = "" if cell["n"] is None else f", n {cell['n']:,}"
    status = "" if cell["status"] == "ok" else f", {cell['status']}"
    return _Fact(text=f"{cell['value']:.3f}{spread}{rows}{status}", entry=entry, interval=interval)


def _performance(card: Card) -> Iterator[tuple[str, _Fact]]:
    if card.performance is not None:
        for cell in card.performance["overall"]:
            yield in_words(cell["metric"]), _number(cell, card.performance["index"])


def _fairness(card: Card) -> Iterator[tuple[str, _Fact]]:
    if card.fairness is not None:
        for attribute in card.fairness["attributes"]:
            for cell in attribute["comparisons"]:
                if cell["metric"] in COMPARED:
                    what = f"{in_words(cell['metric'])} by {attribute['by']}"
                    yield what, _number(cell, card.fairness["index"])


def _explanation(card: Card) -> Iterator[tuple[str, _Fact]]:
    if card.explanation is None:
        return
    entry = card.explanation["index"]
    for place, one in enumerate(card.explanation["details"].get("importance", [])[:TOP_COLUMNS], 1):
        interval = (one["lower"], one["upper"])
        text = f"place {place}, {one['mean_abs']:.4f} ({one['lower']:.4f} to {one['upper']:.4f})"
        yield one["column"], _Fact(text=text, entry=entry, interval=interval)


def _texts(card: Card) -> Iterator[tuple[str, _Fact]]:
    for one in card.human:
        entry = None if one["source"] is None else one["source"]["index"]
        text = one["text"] if len(one["text"]) <= 300 else one["text"][:299] + "\N{HORIZONTAL ELLIPSIS}"
        yield one["title"], _Fact(text=text, entry=entry)


def _decision(card: Card) -> Iterator[tuple[str, _Fact]]:
    one = card.decision
    if one is None:
        return
    yield "result", _Fact(text=one["result"], entry=one["index"])
    yield "policy", _Fact(text=f"version {one['policy']['version']}, {_digest(one['policy'])}", entry=one["index"])
    for finding in one["findings"]:
        yield f"{finding['id']}: {finding['title']}", _Fact(text=finding["status"], entry=one["index"])
    for approval in card.approvals:
        if "verdict" in approval:
            what = f"{approval['role'].replace('_', ' ')} {approval['by']}"
            yield what, _Fact(text=approval["verdict"], entry=approval["index"])


def _digest(policy: Mapping[str, Any]) -> str:
    return str(policy["digest"].get("sha256", ABSENT))[:12]


def _in_use(card: Card) -> Iterator[tuple[str, _Fact]]:
    if card.deployments:
        last = card.deployments[-1]
        yield "processes that served it", _Fact(text=f"{len(card.deployments):,}", entry=last["index"])
    for window in card.monitoring[:1]:
        for cell in window["overall"]:
            yield f"newest window, {in_words(cell['metric'])}", _number(cell, window["index"])


_READERS = {
    "identity": _identity, "data": _data, "code": _code, "performance": _performance, "fairness": _fairness,
    "explanation": _explanation, "texts": _texts, "decision": _decision, "in use": _in_use,
}  # fmt: skip


def _notes(before: Card, after: Card) -> Iterator[str]:
    for name in ("performance", "fairness", "explanation"):
        one, two = getattr(before, name), getattr(after, name)
        if one is None or two is None:
            yield f"{name}: one of the two has none, so nothing is compared"
        elif one["dataset"]["sha256"] != two["dataset"]["sha256"]:
            yield f"{name}: the two were measured on different rows, so their numbers do not differ by the model alone"
    yield (
        "Intervals that touch do not show that two numbers are alike, and those that do not touch show it only roughly where both "
        "rest on the same rows: a rule with the option champion pairs them row by row."
    )
