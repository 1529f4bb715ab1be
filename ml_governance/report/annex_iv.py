"""The technical file of Annex IV of the EU AI Act (Regulation (EU) 2024/1689), as far as signed evidence fills it.

A skeleton: each point in our own words, with what the log holds for it and what a person has signed for it. What is missing is named
``NOT PROVIDED`` with the name under which to sign it, so that a policy can require it. It is evidence for the points; whether the file
is complete is for people to judge. Numbers are those of Annex IV as first published; Regulation (EU) 2026/1744 amended the Act.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.report.numbers import in_words
from ml_governance.report.texts import NOT_PROVIDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_governance.report.card import Card

TITLES = {
    1: "General description of the system",
    2: "Elements of the system and how it was developed",
    3: "Monitoring, functioning and control",
    4: "Why the metrics fit the system",
    5: "Risk management",
    6: "Changes over the lifecycle",
    7: "Standards applied",
    8: "EU declaration of conformity",
    9: "Monitoring after it is placed on the market",
}
"""The points of Annex IV, in our words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that the log holds.

    Parameters
    ----------
    label, text : str
        What it is, and what is said.
    entries : tuple of int
        Ledger indices.
    """

    label: str
    text: str
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a point.

    Parameters
    ----------
    clause : str
        Its number, such as ``2(g)``.
    title : str
        What it asks for.
    facts : tuple of Fact
        What the log holds for it.
    needs : str or None
        Name of the text that a person signs for it; None where evidence alone can fill it.
    text : str or None
        The signed text, or NOT PROVIDED; None where none is needed.
    signed : dict or None
        Who signed the text, when, and the entry.
    """

    clause: str
    title: str
    facts: tuple[Fact, ...]
    needs: str | None
    text: str | None
    signed: dict[str, Any] | None

    @property
    def state(self) -> str:
        """``filled``, ``in part`` or ``missing``."""
        parts = [] if self.text is None else [self.signed is not None]
        parts += [] if self.text is not None and not self.facts else [bool(self.facts)]
        return "filled" if all(parts) else "in part" if any(parts) else "missing"

    @property
    def point(self) -> int:
        """Of which point it is."""
        return int(self.clause.partition("(")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalFile:
    """The file."""

    card: Card
    items: tuple[Item, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the texts that nobody has signed."""
        return tuple(dict.fromkeys(one.needs for one in self.items if one.needs and one.signed is None))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": "annex-iv", "subject": self.card.subject, "stage": self.card.stage, "as_of": self.card.as_of,
            "log": self.card.log, "points": {str(number): title for number, title in TITLES.items()},
            "items": [{**asdict(one), "facts": [{**asdict(f), "entries": list(f.entries)} for f in one.facts], "state": one.state}
                      for one in self.items],
            "missing": list(self.missing),
        }  # fmt: skip


def build(card: Card) -> TechnicalFile:
    """Fill the skeleton from an audit pack."""
    texts = {one["name"]: one for one in card.human if one["source"]}
    items = []
    for clause, title, needs, reader in SKELETON:
        signed = texts.get(needs or "")
        items.append(
            Item(
                clause=clause, title=title, facts=tuple(reader(card)) if reader else (), needs=needs,
                text=None if needs is None else signed["text"] if signed else NOT_PROVIDED,
                signed=signed["source"] if signed else None,
            )
        )  # fmt: skip
    return TechnicalFile(card=card, items=tuple(items))


def _fact(label: str, text: str, *entries: int) -> Fact:
    return Fact(label=label, text=text, entries=entries)


def _identity(card: Card) -> Iterator[Fact]:
    if card.registration is not None:
        one = card.registration
        yield _fact("version", f"{one['name']} version {one['version']} in {one['registry']}", one["index"])
        yield _fact("bytes", f"sha256 {card.subject['sha256']}", one["index"])


def _software(card: Card) -> Iterator[Fact]:
    if card.environment is not None:
        one = card.environment
        packages = ", ".join(f"{name} {version}" for name, version in sorted(one["packages"].items()))
        yield _fact("Python", f"{one['python']} on {one['platform']}", one["index"])
        yield _fact("packages", packages or "none that is listed", one["index"])


def _forms(card: Card) -> Iterator[Fact]:
    if card.registration is not None:
        one = card.registration
        yield _fact("form", f"{one['format']}, {one['files']} files, {one['size']:,} bytes", one["index"])


def _development(card: Card) -> Iterator[Fact]:
    runs = [one for one in card.events if one["kind"] == "training-run"]
    if runs:
        said = ", ".join(dict.fromkeys(one["detail"] for one in runs))
        yield _fact("training runs", said, *(one["index"] for one in runs))
    if card.environment is not None:
        one = card.environment
        if "git" in one:
            yield _fact("commit", one["git"]["commit"] + (" and changes" if one["git"]["dirty"] else ""), one["index"])
        for name, value in sorted(one.get("parameters", {}).items()):
            yield _fact(f"parameter {name}", value, one["index"])


def _design(card: Card) -> Iterator[Fact]:
    if card.explanation is not None:
        found = card.explanation["details"].get("importance", [])[:5]
        if found:
            columns = ", ".join(f"{one['column']} ({one['mean_abs']:.4f})" for one in found)
            yield _fact("columns that move the output most", columns, card.explanation["index"])


def _data(card: Card) -> Iterator[Fact]:
    for one in card.data:
        rows = "" if one["rows"] is None else f", {one['rows']:,} rows"
        yield _fact(f"{one['use']} data", f"{one['name']}{rows}, sha256 {one['sha256']}", *one["entries"][-4:])


def _tests(card: Card) -> Iterator[Fact]:
    for name in ("performance", "fairness", "explanation"):
        part = getattr(card, name)
        if part is not None:
            yield _fact(
                f"{name} report", f"signed by {part['by']}, {part['at']}, on {part['dataset']['name']}", part["index"]
            )


def _numbers(card: Card) -> Iterator[Fact]:
    if card.performance is not None:
        for one in card.performance["overall"]:
            if one["value"] is not None:
                spread = "" if one["lower"] is None else f" ({one['lower']:.3f} to {one['upper']:.3f})"
                rows = "" if one["n"] is None else f", n {one['n']:,}"
                label = in_words(str(one["metric"]))
                yield _fact(label, f"{one['value']:.3f}{spread}{rows}", card.performance["index"])
    if card.fairness is not None:
        for attribute in card.fairness["attributes"]:
            for one in attribute["comparisons"]:
                if one["metric"] == "selection_rate_ratio":
                    text = one["status"] if one["value"] is None else f"{one['value']:.3f}"
                    yield _fact(f"selection rate ratio by {attribute['by']}", text, card.fairness["index"])


def _decision(card: Card) -> Iterator[Fact]:
    if card.policy is not None:
        one = card.policy
        yield _fact("policy", f"{one['name']} version {one['version']}, signed by {one['by']}", one["index"])
    if card.decision is not None:
        one = card.decision
        yield _fact("decision", f"{one['result']} for {card.stage}, {one['at']}", one["index"])
        for finding in one["findings"]:
            yield _fact(finding["id"], f"{finding['status']}: {finding['sentence']}", *finding["evidence"])


def _risks(card: Card) -> Iterator[Fact]:
    for one in card.approvals:
        what = one["verdict"] if "verdict" in one else f"waives {one['rule']} until {one['expires']}"
        yield _fact(f"{one['by']} as {one['role'].replace('_', ' ')}", f"{what}: {one['reason']}", one["index"])


def _changes(card: Card) -> Iterator[Fact]:
    if card.predecessor is not None:
        one = card.predecessor
        yield _fact("version before", f"{one['name']}, sha256 {one['sha256']}", *one["entries"])
        for change in one["changes"]:
            found = tuple(index for index in change["entries"] if index is not None)
            yield _fact(f"{change['part']}: {change['what']}", f"{change['before']}; now {change['after']}", *found)


def _in_use(card: Card) -> Iterator[Fact]:
    for rule in card.plan:
        yield _fact(f"rule {rule['id']}", rule["title"], *(() if card.policy is None else (card.policy["index"],)))
    for one in card.deployments[-5:]:
        end = "no end recorded" if one["ended"] is None else f"until {one['ended']['at']}"
        yield _fact(f"served in {one['stage']}", f"from {one['at']}, {end}", one["index"])
    for one in card.monitoring[:5]:
        yield _fact(
            f"window of {one['stage']}", f"{one['begins']} to {one['ends']}: {one['predicted']:,} predictions", one["index"]
        )  # fmt: skip


SKELETON: tuple[tuple[str, str, str | None, Callable[[Card], Iterator[Fact]] | None], ...] = (
    ("1(a)", "Purpose, provider, and the version in relation to earlier ones", "intended-use", _identity),
    ("1(b)", "How it works with hardware or software that is not part of it", "interfaces", None),
    ("1(c)", "Versions of the software it needs", None, _software),
    ("1(d)", "The forms in which it is supplied", None, _forms),
    ("1(e)", "The hardware it is to run on", "hardware", None),
    ("1(f)", "Pictures of the product, where it is part of one", "product", None),
    ("1(g)", "What those who deploy it see of it", "user-interface", None),
    ("1(h)", "Instructions for use", "instructions", None),
    ("2(a)", "Methods and steps of development, and parts from others", "development", _development),
    ("2(b)", "Design: logic, choices, assumptions, what it optimises for", "design", _design),
    ("2(c)", "Architecture and computing resources", "architecture", _software),
    ("2(d)", "Data: where from, how chosen, prepared and labelled", "data-origin", _data),
    ("2(e)", "Human oversight that it needs", "oversight", None),
    ("2(f)", "Changes that were planned beforehand", "planned-changes", None),
    ("2(g)", "Validation and testing: data, metrics, dated and signed reports", None, _tests),
    ("2(h)", "Security measures", "security", None),
    ("3", "Abilities, limits, accuracy by group, foreseeable harm, oversight, inputs", "limits", _numbers),
    ("4", "Why these metrics fit this system", "metric-choice", _decision),
    ("5", "The risk management system of Article 9", "residual-risk", _risks),
    ("6", "What the provider changed over the lifecycle", None, _changes),
    ("7", "Harmonised standards applied, or other solutions and specifications", "standards", None),
    ("8", "A copy of the EU declaration of conformity", "eu-declaration", None),
    ("9", "The monitoring system and plan of Article 72", "monitoring-plan", _in_use),
)
"""Clause, what it asks for in our words, the text that a person signs for it, and what the log holds for it."""
