"""What of a fairness report may be published: small groups withheld, and with them whatever would give them away.

A group under ``k`` rows is withheld whole: its counts, its rates and their intervals, since a rate with its Wilson
interval gives the number of rows away. Margins are published too, so one withheld group could be found by subtraction:
further groups are withheld (complementary suppression) until an attacker who knows every published number, that counts
are whole and not negative, and that every listed group has a row, can

- bound the rows of no withheld group within less than ``protection``, and
- compute none of its four counts, unless that count is 0 over all rows.

The attacker's bounds are linear programs over all tables that agree with what is published. The choice of further
groups is a heuristic (smallest first, then what proved needless is given back): finding the fewest is NP-hard (Kelly,
Golden and Assad, Networks 22 (1992) 397). The reason given for a small group and for a further one is the same, so
that a reader cannot tell which is which. See Hundepool et al., Statistical Disclosure Control (2012), chapter 4.

This holds for one publication. Two of overlapping people, or of the same people with another ``k`` or other attributes,
can be subtracted from each other, and nothing here knows of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess.report import Report
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import WITHHELD, Assessment, Fairness, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.cube import Cube
    from ml_governance.assess.fairness import FairnessReport

    Unit = tuple[tuple[str, ...], tuple[str, ...]]
    """(by, group): one published line; ((), ()) is all rows."""

ALL_ROWS: Unit = ((), ())
COUNTS = 4
SLACK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What an attacker can say about the rows of a withheld group."""

    by: tuple[str, ...]
    group: tuple[str, ...]
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True, repr=False)
class PublishedFairness(Report):
    """A fairness report without the numbers that small groups could be found by.

    It holds no cube. A withheld number has the status ``suppressed`` in :meth:`to_frame` and :meth:`to_dict`; in the
    signed form, whose statuses are fixed, it is ``undefined`` with this reason and n 0, so that a gate blocks on it.

    Parameters
    ----------
    k : int
        Groups with fewer rows are withheld.
    protection : int
        Narrowest range that the rows of a withheld group could be bounded to.
    withheld : tuple of (by, group)
        Every withheld group, small or not.
    """

    kind: ClassVar[str] = "fairness"
    content: ClassVar[type[Assessment]] = Fairness

    k: int
    protection: int
    withheld: tuple[Unit, ...] = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the long table; withheld numbers are missing, with the status ``suppressed``."""
        frame = super().to_frame()
        hidden = np.array([one.withheld for one in self.measurements], dtype=bool)
        frame["n"] = frame["n"].astype("Int64").mask(hidden)
        frame.loc[hidden, "status"] = "suppressed"
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; withheld numbers have no ``n``."""
        value = super().to_dict()
        for one, wire in zip(self.measurements, value["measurements"], strict=True):
            if one.withheld:
                wire["status"] = "suppressed"
                del wire["n"]
        return {**value, "k": self.k, "protection": self.protection}


def publish(report: FairnessReport, *, k: int = 10, protection: int | None = None) -> PublishedFairness:
    """Withhold small groups, and what they could be found by.

    Parameters
    ----------
    report : FairnessReport
        The full report; it stays as it is. Of its rows, none should be in another publication: the two could be subtracted.
    k : int, default 10
        Groups with fewer rows are withheld.
    protection : int, optional
        Narrowest range that the rows of a withheld group may be bounded to; default is ``k``.

    Returns
    -------
    PublishedFairness
        Its digest of the rows is left out as well: attest it with a :class:`Resource` that names the data.

    Raises
    ------
    DataError
        If ``k`` or ``protection`` is below 1, or rows are weighted.
    """
    protection = k if protection is None else protection
    if k < 1 or protection < 1:
        raise DataError(f"k is {k} and protection {protection}", expected="1 or more")
    if report.cube.weights is not None:
        raise DataError("the rows are weighted", expected="a report of plain counts")
    bys = [tuple(entry["by"]) for entry in report.details["attributes"]]
    hidden = withheld(report.cube, bys, k=k, protection=protection)
    opaque = {by for by, _ in hidden}
    reason = f"{WITHHELD} it could tell about fewer than {k} people"
    measurements = []
    for one in report.measurements:
        gone = (one.by, one.group) in hidden if one.group or not one.by else one.by in opaque
        gone = gone or ALL_ROWS in hidden
        measurements.append(_without(one, reason) if gone else one)
    shown = []
    for entry in report.details["attributes"]:
        groups = [
            {"group": one["group"], "suppressed": True} if (tuple(entry["by"]), tuple(one["group"])) in hidden else one
            for one in entry["groups"]
        ]
        shown.append({"by": entry["by"], "groups": groups})
    return PublishedFairness(
        measurements=tuple(measurements),
        details={"attributes": shown, **_curves(report, hidden, k), "suppression": {"k": k, "protection": protection}},
        columns=report.columns,
        confidence=report.confidence,
        min_group_size=report.min_group_size,
        seed=report.seed,
        k=k,
        protection=protection,
        withheld=tuple(sorted(hidden)),
    )


def _curves(report: FairnessReport, hidden: frozenset[Unit], k: int) -> dict[str, Any]:
    """Return what else may be published: nothing that splits the rows finer than the tables do, if that could tell.

    Curves and strata are further counts of the same rows, by threshold and by stratum. Each narrows the bounds of what is
    withheld, so they go as soon as anything is; and strata go if a group has fewer than ``k`` rows in one of them.
    """
    kept: dict[str, Any] = {"weighted": False}
    if hidden:
        return kept
    if "scores" in report.details:
        kept["scores"] = report.details["scores"]
    if report.stratified is not None and all(rows >= k for _, _, rows in report.stratified.groups()):
        kept["conditional"] = report.details["conditional"]
    return kept


def _without(one: Measurement, reason: str) -> Measurement:
    return Measurement(metric=one.metric, by=one.by, group=one.group, n=0, status="undefined", reason=reason)


# --- choosing what to withhold ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tables:
    """Everything that would be published: lines, each the sum of some atoms.

    ``lines`` maps each line to the positions of its atoms; ``atoms`` holds the four counts of each atom.
    """

    lines: dict[Unit, tuple[frozenset[int], ...]]
    atoms: NDArray[np.int64]

    def counts(self, unit: Unit) -> NDArray[np.int64]:
        """Return the four counts of a line."""
        total: NDArray[np.int64] = self.atoms[sorted(self.lines[unit][0])].sum(axis=0)
        return total


def _tables(cube: Cube, bys: Sequence[tuple[str, ...]]) -> _Tables:
    """Break the tables down to atoms: groups of the full crossing where that is published, else of each attribute."""
    lines: dict[Unit, tuple[frozenset[int], ...]] = {}
    values: list[NDArray[np.int64]] = []
    roots: list[frozenset[int]] = []
    crossed = [by for by in bys if len(by) == len(cube.attributes)]
    for by in crossed[:1] or bys:
        start = len(values)
        for group, table, _ in cube.marginal(by).groups():
            lines[by, group] = (frozenset({len(values)}),)
            values.append(table.reshape(COUNTS))
        roots.append(frozenset(range(start, len(values))))
    if crossed:
        by = crossed[0]
        atoms = [(group, position) for (_, group), (places,) in lines.items() for position in places]
        for other in bys:
            if other != by:
                axes = [by.index(name) for name in other]
                for group, _, _ in cube.marginal(other).groups():
                    members = frozenset(p for own, p in atoms if tuple(own[axis] for axis in axes) == group)
                    lines[other, group] = (members,)
    lines[ALL_ROWS] = tuple(roots)
    return _Tables(lines=lines, atoms=np.array(values, dtype=np.int64))


def withheld(cube: Cube, bys: Sequence[tuple[str, ...]], *, k: int, protection: int) -> frozenset[Unit]:
    """Return the lines to withhold so that no group under ``k`` rows can be found.

    Parameters
    ----------
    cube : Cube
        Counts.
    bys : sequence of tuple of str
        The tables that are published: attributes, and their crossing.
    k, protection : int
        As :func:`publish`.
    """
    made = _tables(cube, bys)
    sizes = {unit: int(made.counts(unit).sum()) for unit in made.lines}
    everything = frozenset(made.lines)
    if sizes[ALL_ROWS] < k:
        return everything
    small = {unit for unit, size in sizes.items() if size < k}
    if not small:
        return frozenset()
    hidden, added = set(small), []
    while (exposed := _exposed(made, hidden, protection)) is not None:
        more = _complement(made, hidden, exposed, sizes)
        if more is None:
            return everything
        hidden.add(more)
        added.append(more)
    for unit in sorted(added, key=lambda one: (-sizes[one], one)):
        if _exposed(made, hidden - {unit}, protection) is None:
            hidden.discard(unit)
    return frozenset(hidden)


def _complement(made: _Tables, hidden: set[Unit], exposed: Unit, sizes: dict[Unit, int]) -> Unit | None:
    """Return the smallest published line that stands in one sum with the exposed one, of the same table if there is one."""
    own = made.lines[exposed][0]
    sums = [atoms for unit, parts in made.lines.items() if unit not in hidden or unit == ALL_ROWS for atoms in parts]
    near = [atoms for atoms in sums if own & atoms]
    published = [unit for unit in made.lines if unit not in hidden and unit != ALL_ROWS]
    beside = [unit for unit in published if any(made.lines[unit][0] <= atoms for atoms in near)]
    return min(beside or published, key=lambda unit: (unit[0] != exposed[0], sizes[unit], unit), default=None)


# --- the attacker -------------------------------------------------------------------------------------------


def exposure(cube: Cube, bys: Sequence[tuple[str, ...]], hidden: Iterable[Unit]) -> tuple[Range, ...]:
    """Return how narrowly an attacker can bound the rows of each withheld line.

    Parameters
    ----------
    cube : Cube
        Counts.
    bys : sequence of tuple of str
        The tables that are published.
    hidden : iterable of (by, group)
        What is withheld of them.
    """
    made = _tables(cube, bys)
    attacker = _Attacker(made, set(hidden))
    found = []
    for unit in sorted(attacker.targets):
        lower, upper = attacker.bounds(unit, range(COUNTS))
        found.append(Range(by=unit[0], group=unit[1], lower=lower, upper=upper))
    return tuple(found)


def _exposed(made: _Tables, hidden: set[Unit], protection: int) -> Unit | None:
    """Return a withheld line that can be found, or None."""
    attacker = _Attacker(made, hidden)
    overall = made.counts(ALL_ROWS) if len(made.lines[ALL_ROWS]) else np.zeros(COUNTS)
    for unit in sorted(attacker.targets):
        wanted = [(range(COUNTS), float(protection))]
        wanted += [(range(place, place + 1), 1.0) for place in range(COUNTS) if overall[place]]
        for which, width in wanted:
            if attacker.seen(unit, which) >= width - SLACK:
                continue
            lower, upper = attacker.bounds(unit, which)
            if upper - lower < width - SLACK:
                return unit
    return None


class _Attacker:
    """Knows every published number; bounds sums of withheld counts by linear programs.

    Every table found on the way is kept: where two of them already differ enough, no program has to be solved.
    """

    def __init__(self, made: _Tables, hidden: set[Unit]) -> None:
        from scipy.sparse import lil_array

        self._made = made
        self.targets = [unit for unit in hidden if unit != ALL_ROWS]
        open_atoms = sorted(
            position
            for unit, parts in made.lines.items()
            if unit in hidden and len(parts) == 1 and len(parts[0]) == 1
            for position in parts[0]
        )
        self._place = {position: index for index, position in enumerate(open_atoms)}
        size = COUNTS * len(open_atoms)
        published = [atoms for unit, parts in made.lines.items() if unit not in hidden for atoms in parts]
        known = [atoms for atoms in published if any(position in self._place for position in atoms)]
        equal, total = lil_array((COUNTS * len(known), size)), np.zeros(COUNTS * len(known))
        for row, atoms in enumerate(known):
            for count in range(COUNTS):
                for position in atoms:
                    if position in self._place:
                        equal[COUNTS * row + count, COUNTS * self._place[position] + count] = 1.0
                        total[COUNTS * row + count] += made.atoms[position, count]
        above = lil_array((len(open_atoms), size))
        for index in range(len(open_atoms)):
            above[index, COUNTS * index : COUNTS * (index + 1)] = -1.0
        self._program: dict[str, Any] = {
            "A_eq": equal.tocsr() if known else None,
            "b_eq": total if known else None,
            "A_ub": above.tocsr() if open_atoms else None,
            "b_ub": -np.ones(len(open_atoms)) if open_atoms else None,
        }
        self._found = [made.atoms[open_atoms].reshape(-1).astype(float)]
        self._size = size

    def _sum(self, unit: Unit, which: range) -> tuple[NDArray[np.float64], float]:
        """Return a withheld sum as coefficients of the unknown counts, and its known part."""
        weights, fixed = np.zeros(self._size), 0.0
        for position in self._made.lines[unit][0]:
            for count in which:
                if position in self._place:
                    weights[COUNTS * self._place[position] + count] = 1.0
                else:
                    fixed += float(self._made.atoms[position, count])
        return weights, fixed

    def seen(self, unit: Unit, which: range) -> float:
        """Return how far the tables found so far differ in a sum."""
        weights, _ = self._sum(unit, which)
        sums = np.array(self._found) @ weights
        return float(sums.max() - sums.min())

    def bounds(self, unit: Unit, which: range) -> tuple[float, float]:
        """Return the smallest and the largest value of a sum in any table that agrees with what is published."""
        from scipy.optimize import linprog

        weights, fixed = self._sum(unit, which)
        if not weights.any():
            return fixed, fixed
        ends = []
        for sign in (1.0, -1.0):
            # Whole numbers matter only beyond two dimensions; asking for them always is exact and as fast.
            solved = linprog(sign * weights, **self._program, bounds=(0, None), integrality=1, method="highs")
            if solved.status == 3:  # unbounded: not even the total is published
                ends.append(sign * -np.inf)
                continue
            if solved.x is None:
                raise DataError(
                    f"the bounds of {unit[1]} cannot be computed: {solved.message}", expected="a solvable program"
                )
            self._found.append(np.round(solved.x))
            ends.append(float(weights @ np.round(solved.x)))
        return fixed + ends[0], fixed + ends[1]
