"""The control catalogue: what a rule is evidence for, and where laws, standards and guidance ask for it.

A mapping is dated data. It names an edition of a framework, and an edition says from when it applies, whether it is in force,
where that was read and when. A mapping says that evidence for a control is evidence for a clause; no mapping says that
anybody complies with anything.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003  pydantic reads it
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ml_governance.decide.reading import (
    Mistake,
    MistakesError,
    empty_values,
    line_of,
    nearest,
    read_yaml,
    validate,
)
from ml_governance.decide.require import Part, Text
from ml_governance.errors import PolicyError
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.predicates import CONTENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_governance.decide.reading import Lines, Location

ControlId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,9}-\d{2,4}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Status = Literal["in force", "planned", "rescinded", "superseded"]
KINDS = tuple(dict.fromkeys((*EVIDENCE_KINDS, *CONTENTS)))
"""Kinds of entries that can be evidence for a control: those that rules ask for, and what the ledger records by itself."""

_PAGE = "see docs/reference/controls.md"


class Edition(Part):
    """One dated edition of a law, a standard or guidance, or of a part of it that applies from a date of its own."""

    framework: Slug
    """Id that all its editions share."""
    name: Text
    """Its name."""
    version: Text
    """Which text."""
    status: Status
    """What it was on the day of ``checked``, or as far as the source says."""
    applies_from: date | None = None
    """The first day on which it applies; without one, the sources do not say."""
    applies_until: date | None = None
    """The first day on which it applies no more."""
    replaced_by: Slug | None = None
    """The edition that follows."""
    source: Text
    """Where this was read."""
    checked: date | None = None
    """When it was read there; without a date nobody has looked since the source was written."""
    note: Text | None = None
    """What a reader must know."""

    @property
    def in_words(self) -> str:
        """Its status and its days, in a clause."""
        start = f", from {self.applies_from}" if self.applies_from else ""
        end = f", until {self.applies_until}" if self.applies_until else ""
        return self.status + start + end + (f", replaced by {self.replaced_by}" if self.replaced_by else "")


class Mapping(Part):
    """One clause that a control is evidence for."""

    edition: Slug
    """Of which edition."""
    clause: Text
    """Its number, as the edition writes it; a theme where the numbers could not be read."""


class Control(Part):
    """One control."""

    id: ControlId
    """Such as FAI-01; it never changes its meaning."""
    title: Text
    """What holds where the control works."""
    evidence: Annotated[list[Text], Field(min_length=1)]
    """Kinds of entries that are evidence for it."""
    human: bool
    """Whether a person's words or judgement are needed beside what can be measured."""
    mappings: list[Mapping] = Field(default_factory=list)
    """Clauses that it is evidence for."""
    replaced_by: list[ControlId] = Field(default_factory=list)
    """Controls that new policies should name instead; the id stays known, for signed policies name it."""


class Catalogue(Part):
    """All controls, and all editions that they are mapped to."""

    catalogue: Slug
    """Its name."""
    version: int = Field(ge=1)
    """Rises with every change."""
    editions: dict[Slug, Edition] = Field(default_factory=dict)
    """By id."""
    controls: Annotated[list[Control], Field(min_length=1)]
    """In the order in which they are listed."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all controls, those that were replaced included."""
        return tuple(control.id for control in self.controls)

    @property
    def replaced(self) -> dict[str, tuple[str, ...]]:
        """Controls that new policies should not name, and those to name instead."""
        return {control.id: tuple(control.replaced_by) for control in self.controls if control.replaced_by}

    @property
    def titles(self) -> dict[str, str]:
        """Titles of all controls, by id."""
        return {control.id: control.title for control in self.controls}

    @property
    def frameworks(self) -> tuple[str, ...]:
        """Ids of all frameworks."""
        return tuple(dict.fromkeys(edition.framework for edition in self.editions.values()))

    def control(self, name: str) -> Control:
        """Return a control.

        Raises
        ------
        PolicyError
            If there is none of that id; names the nearest.
        """
        found = next((control for control in self.controls if control.id == name), None)
        if found is None:
            raise _unknown("control", name, self.ids, "mlgov policy controls lists them")
        return found

    def mapped(self, control: Control, framework: str | None = None) -> tuple[tuple[Mapping, Edition], ...]:
        """Return the clauses that a control is evidence for, each with its edition.

        Raises
        ------
        PolicyError
            If there is no such framework; names the nearest.
        """
        if framework is not None and framework not in self.frameworks:
            raise _unknown("framework", framework, self.frameworks, f"one of {', '.join(self.frameworks)}")
        pairs = ((one, self.editions[one.edition]) for one in control.mappings)
        return tuple(pair for pair in pairs if framework in (None, pair[1].framework))


def _unknown(what: str, name: str, known: tuple[str, ...], next_step: str) -> PolicyError:
    near = nearest(name, known)
    return PolicyError(
        f"the catalogue has no {what} {name!r:.100}", expected=f"perhaps {near}" if near else None, next_step=next_step
    )


def parse_catalogue(text: str, *, file: str | None = None, base: Catalogue | None = None) -> Catalogue:
    """Read a control catalogue.

    Parameters
    ----------
    text : str
        YAML.
    file : str, optional
        Its name, for messages.
    base : Catalogue, optional
        Another one that this one adds to: its editions may be named, and none of its ids may be taken.

    Returns
    -------
    Catalogue
        With all of ``base``.

    Raises
    ------
    MistakesError
        Naming every mistake, each with its line.
    PolicyError
        If it is no YAML of the strict kind.
    """
    value, lines = read_yaml(text, file=file)
    own, mistakes = validate(value, Catalogue, lines)
    told = {one.line for one in mistakes}
    mistakes += [one for one in empty_values(value, lines) if one.line not in told]
    if own is not None:
        whole = own if base is None else _joined(base, own)
        mistakes += [
            Mistake(line=line_of(lines, at), where=where, found=what, expected=expected, near=near)
            for at, where, what, expected, near in (
                *_taken(own, base),
                *_of_editions(own, whole),
                *_of_controls(own, whole, lines),
            )
        ]
    if own is None or mistakes:
        raise MistakesError("control catalogue", mistakes, file, next_step=_PAGE)
    return whole


def _joined(base: Catalogue, own: Catalogue) -> Catalogue:
    editions, controls = {**base.editions, **own.editions}, [*base.controls, *own.controls]
    return own.model_copy(update={"editions": editions, "controls": controls})


_Told = tuple["Location", str, str, str, str]
"""Where it stands, what it is about, what was found, what was expected, the nearest name."""


def _taken(own: Catalogue, base: Catalogue | None) -> Iterator[_Told]:
    """Yield what another catalogue has already: nobody gives a known id another meaning."""
    if base is None:
        return
    for name in own.editions:
        if name in base.editions:
            yield ("editions", name), name, f"the catalogue {base.catalogue} has this edition", "an id of its own", ""
    for position, control in enumerate(own.controls):
        if control.id in base.ids:
            at: Location = ("controls", position, "id")
            yield at, control.id, f"the catalogue {base.catalogue} has this control", "an id of its own", ""


def _of_editions(own: Catalogue, whole: Catalogue) -> Iterator[_Told]:
    used = {one.edition for control in own.controls for one in control.mappings}
    versions: dict[tuple[str, str], str] = {}
    for name, one in whole.editions.items():
        twin = versions.setdefault((one.framework, one.version), name)
        if name not in own.editions:
            continue
        for key, found, near in (*_of_days(one), *_of_successor(name, one, whole)):
            yield ("editions", name, key), f"{name}: {key}", found, "", near
        if twin != name:
            yield ("editions", name, "version"), f"{name}: version", f"{twin} is this version already", "", ""
        if name not in used:
            yield ("editions", name), name, "no control is mapped to this edition", "a mapping, or no edition", ""


def _of_days(one: Edition) -> Iterator[tuple[str, str, str]]:
    """Yield where status and days contradict each other."""
    start, end, checked = one.applies_from, one.applies_until, one.checked
    if start and end and end < start:
        yield "applies_until", f"it ends on {end}, before it begins on {start}", ""
    if one.status == "planned" and start is None:
        yield "status", "planned, and applies_from names no day", ""
    if one.status in ("rescinded", "superseded") and end is None and one.replaced_by is None:
        yield "status", f"{one.status}, and neither applies_until nor replaced_by says since when or by what", ""
    if checked is None:
        return
    if start is not None and (one.status == "planned") != (start > checked) and one.status in ("planned", "in force"):
        yield "status", f"{one.status} when checked on {checked}, and it applies from {start}", ""
    if end is not None and (one.status in ("rescinded", "superseded")) != (end <= checked):
        yield "status", f"{one.status} when checked on {checked}, and it applies until {end}", ""


def _of_successor(name: str, one: Edition, whole: Catalogue) -> Iterator[tuple[str, str, str]]:
    others = [other for other in whole.editions if other != name]
    if one.replaced_by is not None and one.replaced_by not in others:
        yield "replaced_by", f"there is no other edition {one.replaced_by!r}", nearest(one.replaced_by, others)


def _of_controls(own: Catalogue, whole: Catalogue, lines: Lines) -> Iterator[_Told]:
    first: dict[str, int] = {}
    for position, control in enumerate(own.controls):
        at: Location = ("controls", position)
        if control.id in first:
            yield (*at, "id"), control.id, f"this id stands at line {first[control.id]} already", "", ""
        first.setdefault(control.id, line_of(lines, at))
        for index, kind in enumerate(control.evidence):
            if kind not in KINDS:
                where = f"{control.id}: evidence"
                yield (*at, "evidence", index), where, f"found {kind!r}", "a kind of entry", nearest(kind, KINDS)
        others = [one for one in whole.ids if one != control.id]
        for index, other in enumerate(control.replaced_by):
            if other not in others:
                where, found = f"{control.id}: replaced_by", f"there is no other control {other!r}"
                yield (*at, "replaced_by", index), where, found, "", nearest(other, others)
        seen = set()
        for index, one in enumerate(control.mappings):
            where, here = f"{control.id}: mappings", (*at, "mappings", index)
            if one.edition not in whole.editions:
                near = nearest(one.edition, whole.editions)
                yield here, where, f"there is no edition {one.edition!r}", "an id under editions", near
            if (one.edition, one.clause) in seen:
                yield here, where, f"{one.edition} {one.clause} stands twice", "", ""
            seen.add((one.edition, one.clause))
