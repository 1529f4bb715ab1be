"""Agreement with what AIF360 and aequitas answered on small tables; tests/data/make_peers.py made the files."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_governance import assess_fairness
from ml_governance.assess import relative, signed
from ml_governance.assess.cube import Cube

DATA = Path(__file__).resolve().parent.parent / "data"
SEX, RACE = ("Female", "Male"), ("black", "other", "white")
MALE = [{"sex": "Male"}]
UNWEIGHTED = {"theil_index", "generalized_entropy_index", "between_all_groups_generalized_entropy_index"}
"""AIF360 leaves weights out of these; ours weighs benefits as everything else."""
NUMBERS_FOR_NOTHING = {
    ("nobody selected", "false_discovery_rate_difference"), ("nobody privileged selected", "false_discovery_rate_difference"),
}  # fmt: skip
"""AIF360 takes the false discovery rate of a side of which nobody is selected, 0/0, for 0."""
RATES = {
    "tpr": "true_positive_rate", "tnr": "true_negative_rate", "for": "false_omission_rate", "fdr": "false_discovery_rate",
    "fpr": "false_positive_rate", "fnr": "false_negative_rate", "npv": "negative_predictive_value",
    "precision": "positive_predictive_value", "pprev": "selection_rate", "prev": "base_rate",
}  # fmt: skip


@cache
def frozen(package: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{package}.json").read_text())
    return found


def cases(package: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['table']}{' weighted' if case['weighted'] else ''}")
        for case in frozen(package)["cases"]
    ]


def cube_of(case: dict[str, Any]) -> Cube:
    counts, weights = np.zeros((2, 3, 2, 2), dtype=np.int64), np.zeros((2, 3, 2, 2))
    for group in case["groups"]:
        place = SEX.index(group["sex"]), RACE.index(group["race"])
        counts[place] = np.reshape(group["rows"], (2, 2))
        weights[place] = counts[place] * np.reshape(group["weights"], (2, 2))
    made = weights if case["weighted"] else None
    return Cube(attributes=("sex", "race"), levels=(SEX, RACE), counts=counts, weights=made)


def ours(name: str, cube: Cube) -> Any:
    function = getattr(signed, name)
    if name in UNWEIGHTED:
        return function(cube)
    return function(cube, privileged_groups=MALE, min_group_size=1)


@pytest.mark.parametrize("package", ["aif360", "aequitas"])
def test_files_say_what_they_are_from(package: str) -> None:
    header = frozen(package)
    assert header["package"] == package and re.fullmatch(r"\d+\.\d+\.\d+", header["version"])
    assert header["licence"] in {"Apache-2.0", "MIT"}
    assert (DATA / "make_peers.py").name in header["made_by"]
    assert len(header["cases"]) >= 8


@pytest.mark.parametrize("case", cases("aif360"))
def test_signed_comparisons_agree_with_aif360_wherever_it_gives_a_finite_number(case: dict[str, Any]) -> None:
    cube, compared = cube_of(case), 0
    for name, theirs in case["answers"].items():
        if case["weighted"] and name in UNWEIGHTED:
            continue
        one = ours(name, cube)
        if isinstance(theirs, str):
            assert one.status == "undefined" and re.search("/0|0/0", one.reason or ""), (name, theirs)
        elif (case["table"], name) in NUMBERS_FOR_NOTHING:
            assert one.status == "undefined" and "0/0" in (one.reason or "")
        else:
            assert one.value == pytest.approx(theirs, abs=1e-12), name
            compared += 1
    assert compared >= 6


def test_aif360_calls_nobody_selected_fair_where_a_rate_is_zero_of_zero() -> None:
    case = next(one for one in frozen("aif360")["cases"] if one["table"] == "nobody selected")
    assert case["answers"]["false_discovery_rate_difference"] == 0
    assert signed.false_discovery_rate_difference(cube_of(case), privileged_groups=MALE).status == "undefined"


@pytest.mark.parametrize("case", cases("aequitas"))
def test_rates_and_their_disparities_agree_with_aequitas_except_for_its_cap(case: dict[str, Any]) -> None:
    cube, answers, compared = cube_of(case), case["answers"], 0
    for by, levels, reference in (("sex", SEX, "Male"), ("race", RACE, "white")):
        for short, rate in RATES.items():
            names, numbers, _ = relative.numbers_of(cube, rate, (by,))
            assert names == (by,)
            for number in numbers:
                theirs = answers[f"{by}/{number.group[0]}/{short}"]
                if isinstance(theirs, str):
                    assert theirs == "nan" and number.value is None
                else:
                    assert number.value == pytest.approx(theirs, abs=1e-12), (rate, number.group)
                    compared += 1
            if short == "prev":
                continue
            for one in relative.to_reference(cube, rate, reference, by=(by,), min_group_size=1):
                theirs = answers[f"{by}/{one.group[0]}/{short}_disparity"]
                if theirs in ("nan", 10):
                    # 0/0, or x/0 and what is more than ten, which aequitas writes as 10
                    assert one.ratio.status == "undefined" or (one.ratio.value or 0) >= 10
                else:
                    assert one.ratio.value == pytest.approx(theirs, abs=1e-12), (rate, one.group)
                    compared += 1
        assert set(levels) >= {number.group[0] for number in numbers}
    assert compared > 30


def test_aequitas_calls_nobody_selected_fair_and_leaves_rows_out_whose_attribute_is_missing() -> None:
    """What it cannot compute does not count against fairness; ours is undefined, and a missing value is a group."""
    case = next(one for one in frozen("aequitas")["cases"] if one["table"] == "nobody selected")
    assert case["answers"]["verdict/Unsupervised Fairness"] == "True"
    assert case["answers"]["sex/Female/pprev_disparity"] == "nan"
    (one,) = relative.to_reference(cube_of(case), "selection_rate", "Male", by=("sex",))
    assert one.ratio.status == "undefined" and "0/0" in (one.ratio.reason or "")
    assert frozen("aequitas")["missing"] == {"Female": 50}
    found = assess_fairness(
        y_true=[0, 1, 1, 0] * 25, y_pred=[0, 1] * 50, sensitive_features={"sex": ["Female", None] * 50}
    )
    assert found.get("selection_rate", ("sex",), ("(missing)",)).n == 50


def test_the_predicted_positive_rate_of_aequitas_is_the_share_of_the_selected_and_no_rate_of_the_group() -> None:
    """Two groups with the same selection rate, one ten times the other's size, are ten apart by it."""
    case = next(one for one in frozen("aequitas")["cases"] if one["table"] == "large")
    cube = cube_of(case)
    tables = cube.marginal(("sex",)).counts
    selected = tables[:, :, 1].sum(axis=1)
    assert case["answers"]["sex/Female/ppr"] == pytest.approx(selected[0] / selected.sum(), abs=1e-12)
    ratio = case["answers"]["sex/Female/ppr_disparity"]
    sizes = tables.sum(axis=(1, 2))
    parity = relative.to_reference(cube, "selection_rate", "Male", by=("sex",))[0].ratio.value
    assert ratio == pytest.approx(parity * sizes[0] / sizes[1], abs=1e-12)  # type: ignore[operator]


def test_frozen_answers_are_numbers_or_one_of_three_words() -> None:
    for package in ("aif360", "aequitas"):
        for case in frozen(package)["cases"]:
            for name, value in case["answers"].items():
                if not name.startswith("verdict/"):
                    assert value in ("nan", "inf", "-inf") or math.isfinite(value), name
