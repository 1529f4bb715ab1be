from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess import suppression
from ml_governance.assess.suppression import ALL_ROWS, exposure, withheld
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Resource
from tests.assess.test_fairness import data, report

ROWS = Resource(name="test", sha256="ab" * 32)


def of_sizes(sizes: dict[tuple[str, ...], int], by: list[str], seed: int = 0) -> FairnessReport:
    """Return a report of groups of these sizes."""
    generator = np.random.default_rng(seed)
    counts = {group: generator.multinomial(n, [0.4, 0.2, 0.2, 0.2]).tolist() for group, n in sizes.items()}
    return FairnessReport.from_counts(counts, by=by, min_group_size=1)


def bys_of(made: FairnessReport) -> list[tuple[str, ...]]:
    return [tuple(entry["by"]) for entry in made.details["attributes"]]


# --- attackers, written without the code they attack ------------------------------------------------------------


def lines_of(made: FairnessReport) -> tuple[list[tuple[str, ...]], dict[tuple, list[int]]]:  # type: ignore[type-arg]
    """Return the groups of the crossing, and which of them each published line sums."""
    cross = [group for group, _, _ in made.cube.groups()]
    names = made.cube.attributes
    lines: dict[tuple, list[int]] = {ALL_ROWS: list(range(len(cross)))}  # type: ignore[type-arg]
    for axis, name in enumerate(names):
        for level in made.cube.levels[axis]:
            lines[(name,), (level,)] = [i for i, group in enumerate(cross) if group[axis] == level]
    if len(names) > 1:
        lines |= {(names, group): [i] for i, group in enumerate(cross)}
    return cross, lines


def by_subtraction(made: FairnessReport, hidden: set) -> set:  # type: ignore[type-arg]
    """Return the hidden lines that are a linear combination of published ones."""
    cross, lines = lines_of(made)

    def row(unit: object) -> np.ndarray:  # type: ignore[type-arg]
        return np.isin(np.arange(len(cross)), lines[unit]).astype(float)  # type: ignore[index]

    published = [row(unit) for unit in lines if unit not in hidden]
    rank = np.linalg.matrix_rank(np.array(published))
    return {unit for unit in hidden if np.linalg.matrix_rank(np.array([*published, row(unit)])) == rank}


def by_integers(made: FairnessReport, hidden: set, width: int) -> set:  # type: ignore[type-arg]
    """Return the hidden lines whose rows a whole-number program bounds within less than ``width``, or a count exactly."""
    cross, lines = lines_of(made)
    true = np.array([table.reshape(4) for _, table, _ in made.cube.groups()], dtype=float)
    size = 4 * len(cross)

    def row(unit: object, which: range) -> np.ndarray:  # type: ignore[type-arg]
        weights = np.zeros((len(cross), 4))
        for index in lines[unit]:  # type: ignore[index]
            weights[index, list(which)] = 1
        return weights.reshape(-1)

    rows = [row(unit, range(c, c + 1)) for unit in lines if unit not in hidden for c in range(4)]
    listed = [row((made.cube.attributes, group), range(4)) for group in cross]
    rules = [
        LinearConstraint(np.array(rows), *[np.array(rows) @ true.reshape(-1)] * 2),
        LinearConstraint(np.array(listed), 1, np.inf),
    ]

    def width_of(weights: np.ndarray) -> float:  # type: ignore[type-arg]
        ends = [
            milp(sign * weights, constraints=rules, integrality=np.ones(size), bounds=Bounds(0)) for sign in (1, -1)
        ]
        return -ends[1].fun - ends[0].fun

    found = set()
    for unit in hidden:
        narrow = width_of(row(unit, range(4))) < width - 1e-6
        known = any(true[:, c].sum() and width_of(row(unit, range(c, c + 1))) < 1 - 1e-6 for c in range(4))
        if narrow or known:
            found.add(unit)
    return found


SIZES = {
    ("f", "a"): 200, ("f", "b"): 4, ("f", "c"): 60,
    ("m", "a"): 300, ("m", "b"): 50, ("m", "c"): 70,
}  # fmt: skip


def test_the_attacks_succeed_where_only_small_groups_are_withheld() -> None:
    made = of_sizes(SIZES, ["sex", "race"])
    small = {(("sex", "race"), ("f", "b"))}
    assert by_subtraction(made, small) == small
    assert by_integers(made, small, 10) == small


def test_a_small_group_takes_others_with_it_so_that_none_can_be_found() -> None:
    made = of_sizes(SIZES, ["sex", "race"])
    hidden = set(withheld(made.cube, bys_of(made), k=10, protection=10))
    assert (("sex", "race"), ("f", "b")) in hidden
    assert len(hidden) > 1 and ALL_ROWS not in hidden
    assert len(hidden) <= 4  # a rectangle of the crossing is enough
    assert by_subtraction(made, hidden) == set()
    assert by_integers(made, hidden, 10) == set()


cells = st.integers(0, 40)


@settings(max_examples=40, deadline=None)
@given(st.lists(cells, min_size=6, max_size=6), st.integers(2, 12), st.integers(0, 99))
def test_no_withheld_group_of_a_random_table_can_be_found(sizes: list[int], k: int, seed: int) -> None:
    groups = {(s, r): n for (s, r), n in zip(itertools.product("fm", "abc"), sizes, strict=True) if n}
    if not groups:
        return
    made = of_sizes(groups, ["sex", "race"], seed)
    hidden = set(withheld(made.cube, bys_of(made), k=k, protection=k))
    rows = {unit: sum(list(groups.values())[i] for i in own) for unit, own in lines_of(made)[1].items()}
    for unit, n in rows.items():
        assert n == 0 or n >= k or unit in hidden
    if ALL_ROWS in hidden:
        assert len(hidden) == len([n for n in rows.values() if n])  # all or nothing
        return
    assert by_subtraction(made, hidden) == set()
    assert by_integers(made, hidden, k) == set()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=4, max_size=4), st.integers(0, 99))
def test_every_withheld_count_of_a_small_table_takes_several_values_by_enumeration(sizes: list[int], seed: int) -> None:
    groups = dict(zip(itertools.product("fm", "ab"), sizes, strict=True))
    made = of_sizes(groups, ["sex", "race"], seed)
    hidden = set(withheld(made.cube, bys_of(made), k=3, protection=3))
    if ALL_ROWS in hidden:
        return
    cross, lines = lines_of(made)
    true = np.array([table.reshape(4) for _, table, _ in made.cube.groups()])
    for count in range(4):
        total = int(true[:, count].sum())
        possible = [
            table for table in itertools.product(range(total + 1), repeat=len(cross))
            if all(
                sum(table[i] for i in own) == true[own, count].sum() for unit, own in lines.items() if unit not in hidden
            )
        ]  # fmt: skip
        for unit in hidden:
            values = {sum(table[i] for i in lines[unit]) for table in possible}
            assert total == 0 or len(values) > 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=12, max_size=12), st.integers(0, 99))
def test_three_attributes_are_protected_as_well(sizes: list[int], seed: int) -> None:
    groups = {g: n for g, n in zip(itertools.product("fm", "abc", "xy"), sizes, strict=True) if n}
    if not groups:
        return
    made = of_sizes(groups, ["sex", "race", "age"], seed)
    hidden = set(withheld(made.cube, bys_of(made), k=8, protection=8))
    if ALL_ROWS not in hidden:
        assert by_subtraction(made, hidden) == set()
        assert by_integers(made, hidden, 8) == set()


def test_one_attribute_hides_two_groups_or_none() -> None:
    made = of_sizes({("a",): 500, ("b",): 800, ("c",): 3}, ["g"])
    assert withheld(made.cube, bys_of(made), k=10, protection=10) == {(("g",), ("a",)), (("g",), ("c",))}
    calm = of_sizes({("a",): 500, ("b",): 800}, ["g"])
    assert withheld(calm.cube, bys_of(calm), k=10, protection=10) == frozenset()


def test_a_table_under_k_publishes_nothing() -> None:
    made = of_sizes({("a",): 4, ("b",): 3}, ["g"]).published(k=10)
    assert (made.to_frame()["status"] == "suppressed").all()
    assert made.to_frame()["n"].isna().all()


def test_the_published_report_tells_nothing_of_a_withheld_group() -> None:
    made = of_sizes(SIZES, ["sex", "race"])
    shown = made.published(k=10)
    frame = shown.to_frame()
    gone = frame[frame["status"] == "suppressed"]
    assert gone[["value", "lower", "upper", "n"]].isna().all().all()
    assert gone["reason"].nunique() == 1  # nobody can tell the small from the others
    names = {(by, group) for by, group in zip(gone["by"], gone["group"], strict=True) if group}
    assert names == {(" x ".join(by), " x ".join(group)) for by, group in shown.withheld}
    # comparisons over a table with a withheld group would give its rate away
    compared = frame[(frame["by"] == "sex x race") & (frame["group"] == "")]
    assert (compared["status"] == "suppressed").all()
    assert (frame[(frame["by"] == "sex") & (frame["group"] == "")]["status"] != "suppressed").all()
    for entry in shown.details["attributes"]:
        for group in entry["groups"]:
            hidden = (tuple(entry["by"]), tuple(group["group"])) in shown.withheld
            assert set(group) == ({"group", "suppressed"} if hidden else {"group", "n", "tn", "fp", "fn", "tp"})
    assert not hasattr(shown, "cube")
    assert '"suppressed"' in json.dumps(shown.to_dict(), allow_nan=False)


def of_people(small: int = 3) -> FairnessReport:
    """Return a report with scores and strata in which few people are both f and b; they alone have scores above 0.9."""
    generator = np.random.default_rng(1)
    sizes = {("f", "a"): 300, ("f", "b"): small, ("m", "a"): 200, ("m", "b"): 150}
    sex, race = (np.repeat([group[axis] for group in sizes], list(sizes.values())) for axis in (0, 1))
    n = len(sex)
    score = np.where((sex == "f") & (race == "b"), 0.95, generator.random(n) * 0.9)
    return assess_fairness(
        y_true=generator.integers(0, 2, n), y_pred=(score >= 0.5).astype(int), y_score=score, min_group_size=1,
        sensitive_features={"sex": sex, "race": race}, control_features={"site": generator.choice(["x", "y"], n)},
    )  # fmt: skip


def by_threshold(details: dict[str, Any]) -> int:
    """Return how many people at least are f and b: those above a threshold whom only the two could be."""
    above = {}
    for entry in details["scores"]:
        if len(entry["by"]) == 1:
            for one in entry["groups"]:
                above[one["group"][0]] = [round(rate * one["n"]) for rate in one["selection_rate"]]
    total = [f + m for f, m in zip(above["f"], above["m"], strict=True)]
    return max(max(0, f + b - all_) for f, b, all_ in zip(above["f"], above["b"], total, strict=True))


def test_curves_by_threshold_do_not_count_the_withheld() -> None:
    made = of_people()
    assert by_threshold(made.details) == 3  # so the attack works
    shown = made.published(k=10)
    assert (("sex", "race"), ("f", "b")) in shown.withheld
    assert set(shown.details) == {"attributes", "weighted", "suppression"}
    for form in (shown.to_dict(), shown.to_content(predictions="claimed", dataset=ROWS).to_wire()):
        told = [one for one in form["measurements"] if one.get("by") == ["sex", "race"] and not one.get("group")]
        assert len(told) > 10 and all(one.get("value") is None for one in told)
        assert "roc" not in json.dumps(form["details"])
    for kind in ("roc", "calibration", "sweep"):
        with pytest.raises(DataError, match="withheld"):
            shown.plot(kind)


def test_strata_in_which_a_group_is_small_are_not_published() -> None:
    calm = of_people(small=100)
    assert set(calm.published(k=10).details) >= {"scores", "conditional"}
    shown = calm.published(k=60)  # no group is that small, but in each stratum about 50 people are f and b
    assert not shown.withheld
    assert "conditional" not in shown.details and "scores" in shown.details


def test_a_withheld_group_reads_as_withheld_in_a_notebook() -> None:
    page = of_sizes({("a",): 500, ("b",): 800, ("c",): 3}, ["g"]).published(k=10)._repr_html_()
    assert "suppressed" in page and "<NA>" not in page and "800" in page and "500" not in page


def test_groups_that_are_large_enough_are_published_unchanged() -> None:
    made = report(data())
    shown = made.published(k=5)
    assert shown.withheld == ()
    assert shown.measurements == made.measurements
    assert shown.details["attributes"] == made.details["attributes"]


def test_the_signed_form_is_valid_and_a_gate_finds_no_value_in_it() -> None:
    from ml_governance.evidence.predicates import Fairness, Resource

    shown = of_sizes(SIZES, ["sex", "race"]).published(k=10)
    content = shown.to_content(predictions="caller-supplied", dataset=Resource(name="t", sha256="0" * 64))
    assert isinstance(content, Fairness)
    for one in content.measurements:
        if (one.by, one.group) in shown.withheld:
            assert (one.status, one.value, one.numerator, one.n, one.intervals) == ("undefined", None, None, 0, ())
    with pytest.raises(DataError, match="without rows"):
        shown.inputs()


def test_without_intersections_each_attribute_is_protected_by_itself() -> None:
    from ml_governance import assess_fairness

    frame = data()
    frame.loc[:3, "race"] = "tiny"
    made = assess_fairness(
        y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex", "race"]], intersections=False
    )
    hidden = withheld(made.cube, bys_of(made), k=10, protection=10)
    assert len(hidden) == 2 and {by for by, _ in hidden} == {("race",)}
    for one in exposure(made.cube, bys_of(made), hidden):
        assert one.upper - one.lower >= 10


def test_the_stated_range_is_kept() -> None:
    made = of_sizes(SIZES, ["sex", "race"])
    for protection in (1, 10, 50, 120):
        hidden = withheld(made.cube, bys_of(made), k=10, protection=protection)
        if ALL_ROWS not in hidden:
            assert all(r.upper - r.lower >= protection for r in exposure(made.cube, bys_of(made), hidden))


def test_what_cannot_be_protected_is_refused() -> None:
    frame = data()
    with pytest.raises(DataError, match="weighted"):
        report(frame, sample_weight=frame.w).published()
    for wrong in ({"k": 0}, {"k": 5, "protection": 0}):
        with pytest.raises(DataError, match="1 or more"):
            report(frame).published(**wrong)
    assert suppression.COUNTS == 4
