from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from ml_governance.assess import signed
from ml_governance.assess.cube import Cube
from ml_governance.errors import DataError

SEX, RACE = ("Female", "Male"), ("black", "other", "white")
MALE = [{"sex": "Male"}]
RATES = {
    "statistical_parity": lambda t: (t[0, 1] + t[1, 1]) / t.sum(),
    "equal_opportunity": lambda t: t[1, 1] / t[1].sum(),
    "false_positive_rate": lambda t: t[0, 1] / t[0].sum(),
    "false_negative_rate": lambda t: t[1, 0] / t[1].sum(),
    "false_omission_rate": lambda t: t[1, 0] / t[:, 0].sum(),
    "false_discovery_rate": lambda t: t[0, 1] / t[:, 1].sum(),
    "error_rate": lambda t: (t[0, 1] + t[1, 0]) / t.sum(),
}
EVERY = [
    signed.statistical_parity_difference, signed.mean_difference, signed.disparate_impact,
    signed.equal_opportunity_difference, signed.average_odds_difference, signed.average_abs_odds_difference,
    *(getattr(signed, f"{name}_{form}") for name in RATES if name.endswith("rate") for form in ("difference", "ratio")),
]  # fmt: skip


def cube_of(seed: int, *, weighted: bool = False, least: int = 1, most: int = 40) -> Cube:
    generator = np.random.default_rng(seed)
    counts = generator.integers(least, most, (2, 3, 2, 2))
    weights = counts * generator.uniform(0.5, 2, counts.shape) if weighted else None
    return Cube(attributes=("sex", "race"), levels=(SEX, RACE), counts=counts, weights=weights)


def sides(cube: Cube) -> tuple[Any, Any]:
    return cube.values[0].sum(axis=0), cube.values[1].sum(axis=0)


@given(st.integers(0, 10_000), st.booleans())
def test_every_difference_and_ratio_is_unprivileged_against_privileged(seed: int, weighted: bool) -> None:
    cube = cube_of(seed, weighted=weighted)
    for name, rate in RATES.items():
        low, high = (rate(table) for table in sides(cube))
        one = getattr(signed, f"{name}_difference")(cube, privileged_groups=MALE)
        assert one.value == pytest.approx(low - high, abs=1e-12), name
        assert (one.intervals == ()) == weighted
        if name.endswith("rate"):
            ratio = getattr(signed, f"{name}_ratio")(cube, privileged_groups=MALE)
            assert ratio.value == pytest.approx(low / high, abs=1e-12), name
    parity = RATES["statistical_parity"]
    expected = parity(sides(cube)[0]) / parity(sides(cube)[1])
    assert signed.disparate_impact(cube, privileged_groups=MALE).value == pytest.approx(expected, abs=1e-12)
    gaps = [
        RATES[name](sides(cube)[0]) - RATES[name](sides(cube)[1])
        for name in ("false_positive_rate", "equal_opportunity")
    ]
    average = signed.average_odds_difference(cube, privileged_groups=MALE).value
    assert average == pytest.approx(sum(gaps) / 2, abs=1e-12)
    absolute = signed.average_abs_odds_difference(cube, privileged_groups=MALE).value
    assert absolute == pytest.approx(sum(map(abs, gaps)) / 2, abs=1e-12)


@given(st.integers(0, 10_000))
def test_changing_sides_turns_every_sign_and_every_ratio_round(seed: int) -> None:
    cube = cube_of(seed)
    for function in EVERY:
        one = function(cube, privileged_groups=MALE)
        two = function(cube, privileged_groups=[{"sex": "Female"}])
        if one.metric.endswith("_ratio") or one.metric == "disparate_impact":
            assert one.value * two.value == pytest.approx(1, abs=1e-9)  # type: ignore[operator]
        else:
            sign = 1 if "abs" in one.metric else -1
            assert one.value == pytest.approx(sign * two.value, abs=1e-12)  # type: ignore[operator]
            first, second = one.intervals[0], two.intervals[0]
            expected = (second.lower, second.upper) if sign == 1 else (-second.upper, -second.lower)  # type: ignore[operator]
            assert (first.lower, first.upper) == pytest.approx(expected, abs=1e-12)


def test_intervals_agree_with_statsmodels() -> None:
    cube = cube_of(3)
    (low, high), parity = sides(cube), RATES["statistical_parity"]
    counts = (low[:, 1].sum(), low.sum(), high[:, 1].sum(), high.sum())
    assert parity(low) == counts[0] / counts[1]
    for function, compare, method in (
        (signed.statistical_parity_difference, "diff", "newcomb"), (signed.disparate_impact, "ratio", "score"),
    ):  # fmt: skip
        interval = function(cube, privileged_groups=MALE).intervals[0]
        theirs = confint_proportions_2indep(*counts, compare=compare, method=method, correction=False)
        assert (interval.lower, interval.upper) == pytest.approx(theirs, abs=1e-6)


def test_groups_are_named_by_any_of_several_mappings_in_which_all_hold() -> None:
    cube = cube_of(1)
    groups = [{"sex": "Male", "race": "white"}, {"sex": "Female", "race": "other"}]
    inside = cube.counts[1, 2] + cube.counts[0, 1]
    outside = cube.counts.sum(axis=(0, 1)) - inside
    parity = RATES["statistical_parity"]
    found = signed.statistical_parity_difference(cube, privileged_groups=groups)
    assert found.value == pytest.approx(parity(outside) - parity(inside), abs=1e-15)
    narrow = signed.statistical_parity_difference(
        cube, privileged_groups=groups, unprivileged_groups=[{"sex": "Female", "race": "black"}]
    )
    assert narrow.value == pytest.approx(parity(cube.counts[0, 0]) - parity(inside), abs=1e-15)


def test_a_mean_of_signed_gaps_can_be_zero_where_odds_are_far_apart() -> None:
    counts = np.array([[[40, 60], [60, 40]], [[60, 40], [40, 60]]])
    cube = Cube(attributes=("sex",), levels=(SEX,), counts=counts)
    assert signed.average_odds_difference(cube, privileged_groups=MALE).value == pytest.approx(0, abs=1e-15)
    assert signed.average_abs_odds_difference(cube, privileged_groups=MALE).value == pytest.approx(0.2)


# --- inequality of benefits ---------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]), st.booleans())
def test_inequality_is_that_of_the_rows_one_by_one(seed: int, alpha: float, everyone: bool) -> None:
    cube = cube_of(seed, most=6, least=0)
    if everyone:  # false negatives have no benefit
        counts = cube.counts.copy()
        counts[..., 1, 0] = 0
        counts[..., 0, 0] += 1
        cube = Cube(attributes=cube.attributes, levels=cube.levels, counts=counts)
    (tn, fp), (fn, tp) = cube.counts.sum(axis=(0, 1))
    b = np.repeat([1.0, 2.0, 0.0], [tn + tp, fp, fn])
    found = signed.generalized_entropy_index(cube, alpha=alpha)
    if b.sum() == 0 or (alpha <= 0 and fn):
        assert found.status == "undefined" and found.reason
        return
    r = b / b.mean()
    held = r[r > 0]
    expected = {
        0.0: lambda: -np.log(r).mean(), 1.0: lambda: (held * np.log(held)).sum() / len(r),
    }.get(alpha, lambda: (r**alpha - 1).mean() / (alpha * (alpha - 1)))()  # fmt: skip
    assert found.value == pytest.approx(expected, abs=1e-12)
    if alpha == 1:
        assert signed.theil_index(cube).value == found.value and signed.theil_index(cube).metric == "theil_index"


@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 2.0]))
def test_inequality_between_groups_is_a_part_of_the_whole_and_none_if_groups_are_alike(seed: int, alpha: float) -> None:
    cube = cube_of(seed)
    whole = signed.generalized_entropy_index(cube, alpha=alpha).value
    between = signed.between_all_groups_generalized_entropy_index(cube, alpha=alpha).value
    assert -1e-12 <= between <= whole + 1e-12  # type: ignore[operator]
    alike = Cube(
        attributes=cube.attributes, levels=cube.levels, counts=np.broadcast_to(cube.counts[0, 0], (2, 3, 2, 2))
    )
    assert signed.between_all_groups_generalized_entropy_index(alike, alpha=alpha).value == pytest.approx(0, abs=1e-12)


# --- intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [(0.0, 0.0), (0.15, -0.15), (0.2, 0.1)])
def test_intervals_of_averaged_odds_hold(gaps: tuple[float, float]) -> None:
    """600 samples: at .95 the standard error is .009. The absolute one is a projection, and held more often."""
    generator, held = np.random.default_rng(6), np.zeros(2)
    truths = sum(gaps) / 2, sum(map(abs, gaps)) / 2
    for _ in range(600):
        fp, tp = generator.binomial(80, [[0.3 + gaps[0], 0.3], [0.6 + gaps[1], 0.6]])
        counts = np.array([[[80 - fp[side], fp[side]], [80 - tp[side], tp[side]]] for side in (0, 1)])
        cube = Cube(attributes=("sex",), levels=(SEX,), counts=counts)
        for place, function in enumerate((signed.average_odds_difference, signed.average_abs_odds_difference)):
            one = function(cube, privileged_groups=MALE)
            interval = one.intervals[0]
            held[place] += interval.lower - 1e-12 <= truths[place] <= interval.upper + 1e-12  # type: ignore[operator]
            assert interval.lower <= one.value <= interval.upper  # type: ignore[operator]
    assert (held / 600 >= 0.93).all(), held / 600


# --- what cannot be measured, and bad input -----------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_every_number_is_typed(seed: int) -> None:
    cube = cube_of(seed, least=0, most=3)
    for function in EVERY:
        one = function(cube, privileged_groups=MALE)
        if one.status == "undefined":
            assert one.value is None and one.reason and not one.intervals
        else:
            assert one.value is not None and math.isfinite(one.value)
            for interval in one.intervals:
                assert interval.lower <= one.value + 1e-12  # type: ignore[operator]


def test_a_side_without_positives_has_no_equal_opportunity_and_a_rate_of_zero_no_ratio() -> None:
    counts = np.array([[[40, 10], [0, 0]], [[50, 0], [30, 20]]])
    cube = Cube(attributes=("sex",), levels=(SEX,), counts=counts)
    none = signed.equal_opportunity_difference(cube, privileged_groups=MALE)
    assert none.status == "undefined" and "0/0" in (none.reason or "") and "unprivileged" in (none.reason or "")
    for function in (signed.average_odds_difference, signed.average_abs_odds_difference):
        assert function(cube, privileged_groups=MALE).status == "undefined"
    over = signed.false_positive_rate_ratio(cube, privileged_groups=MALE)
    assert over.status == "undefined" and "/0" in (over.reason or "")


def test_small_sides_are_insufficient() -> None:
    counts = np.array([[[4, 5], [3, 2]], [[50, 30], [30, 20]]])
    cube = Cube(attributes=("sex",), levels=(SEX,), counts=counts)
    for function in EVERY:
        one = function(cube, privileged_groups=MALE)
        assert one.status == "insufficient" and one.value is not None, function.__name__
        assert function(cube, privileged_groups=MALE, min_group_size=1).status == "ok"


def test_a_reason_speaks_of_the_rate_that_was_asked_for() -> None:
    counts = np.array([[[0, 0], [0, 0]], [[50, 30], [30, 20]]])
    cube = Cube(attributes=("sex",), levels=(SEX,), counts=counts)
    for function in (signed.error_rate_difference, signed.error_rate_ratio):
        reason = function(cube, privileged_groups=MALE).reason or ""
        assert "error" in reason and "accuracy" not in reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"privileged_groups": []}, "privileged_groups is"),
        ({"privileged_groups": {"sex": "Male"}}, "list of mappings"),
        ({"privileged_groups": [{"gender": "Male"}]}, "gender"),
        ({"privileged_groups": [{"sex": "male"}]}, "the level 'male'"),
        ({"privileged_groups": MALE, "unprivileged_groups": [{"race": "white"}]}, "both privileged and unprivileged"),
        ({"privileged_groups": MALE, "confidence": 1.5}, "confidence"),
        ({"privileged_groups": MALE, "min_group_size": 0}, "min_group_size"),
        ({"privileged_groups": [{}]}, "empty"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], words: str) -> None:
    for function in EVERY:
        with pytest.raises(DataError, match=words):
            function(cube_of(1), **options)
