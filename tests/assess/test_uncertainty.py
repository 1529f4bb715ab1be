"""Uncertainty on the cube against independent oracles, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, studentized_range
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import confint_proportions_2indep, samplesize_proportions_2indep_onetail

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess import bootstrap, functionals, linearised, pooling, simultaneous, verdicts
from ml_governance.assess.power import power
from ml_governance.assess.rows import clusters
from ml_governance.errors import DataError
from ml_governance.evidence import intervals, planning

SIDES = st.sampled_from(["two-sided", "one-sided"])


def data(n: int = 3_000, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": generator.choice(["Female", "Male"], n),
            "race": generator.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "y": generator.integers(0, 2, n),
            "w": generator.lognormal(0, 0.7, n),
            "person": generator.integers(0, n // 3, n),
        }
    )
    frame["p"] = (generator.random(n) < 0.3 + 0.1 * (frame.sex == "Male") + 0.1 * frame.y).astype(int)
    return frame


def report(frame: pd.DataFrame, **options: object) -> FairnessReport:
    return assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex", "race"]], **options)  # type: ignore[arg-type]


# --- simultaneous levels and adjusted p-values ------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from(["holm", "fdr_bh"]))
def test_adjusted_p_values_agree_with_statsmodels(p_values: list[float], method: str) -> None:
    ours = simultaneous.adjusted(p_values, method)  # type: ignore[arg-type]
    assert ours == pytest.approx(multipletests(p_values, method=method)[1], abs=1e-12)


@pytest.mark.parametrize("groups", [3, 5, 10])
def test_max_t_over_all_pairs_is_the_studentised_range(groups: int) -> None:
    i, j = np.triu_indices(groups, 1)
    contrasts = np.zeros((len(i), groups))
    contrasts[np.arange(len(i)), i], contrasts[np.arange(len(i)), j] = 1, -1
    correlation = contrasts @ contrasts.T / 2
    level = simultaneous.level("max-t", len(i), confidence=0.95, sides="two-sided", correlation=correlation)
    expected = studentized_range.ppf(0.95, groups, np.inf) / math.sqrt(2)
    assert intervals.quantile(level, "two-sided") == pytest.approx(expected, abs=0.05)
    assert level <= simultaneous.level("bonferroni", len(i), confidence=0.95, sides="two-sided")


def test_max_t_of_independent_estimates_is_sidak_and_of_one_estimate_nothing() -> None:
    level = simultaneous.level("max-t", 8, confidence=0.9, sides="two-sided", correlation=np.eye(8))
    assert level == pytest.approx(0.9 ** (1 / 8), abs=0.002)
    same = simultaneous.level("max-t", 8, confidence=0.9, sides="two-sided", correlation=np.ones((8, 8)))
    assert same == pytest.approx(0.9, abs=0.006)
    assert simultaneous.level("max-t", 1, confidence=0.9, sides="one-sided") == 0.9


def test_levels_and_adjustments_that_cannot_be_are_refused() -> None:
    for method, size, correlation in (
        ("max-t", 3, None),
        ("max-t", 3, np.eye(2)),
        ("none", 0, None),
        ("magic", 2, None),
    ):
        with pytest.raises(DataError):
            simultaneous.level(method, size, confidence=0.95, sides="one-sided", correlation=correlation)  # type: ignore[arg-type]
    for p_values, method in (([math.nan], "holm"), ([1.2], "holm"), ([0.1], "magic")):
        with pytest.raises(DataError):
            simultaneous.adjusted(p_values, method)  # type: ignore[arg-type]


@pytest.mark.parametrize("against", ["overall", {"sex": "Male", "race": "a"}])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_family_holds_together_in_order_of_its_methods(against: object, weighted: bool) -> None:
    frame = data()
    found = report(frame, sample_weight=frame.w if weighted else None)
    widths = {}
    for method in ("none", "max-t", "sidak", "bonferroni"):
        made = found.simultaneous(["selection_rate", "true_positive_rate"], against=against, method=method)  # type: ignore[arg-type]
        assert all(one.status == "ok" and one.intervals[0].confidence == 0.95 for one in made)
        widths[method] = sum(one.intervals[0].upper - one.intervals[0].lower for one in made)  # type: ignore[operator]
        assert len(made) == (10 if against == "overall" else 6)
    assert widths["none"] < widths["max-t"] <= widths["sidak"] * 1.001 <= widths["bonferroni"] * 1.001


def test_flags_test_each_group_and_account_for_all() -> None:
    frame = data()
    found = report(frame)
    flags = found.flags(["selection_rate", "false_positive_rate"])
    p_values = [flag.p_value for flag in flags]
    assert [flag.adjusted for flag in flags] == pytest.approx(multipletests(p_values, method="holm")[1])
    assert {(f.metric, f.group) for f in flags if f.flagged} >= {("selection_rate", ("Female",))}
    rates = found.by_group
    assert rates is not None
    by = {(f.metric, f.by, f.group): f for f in flags}
    one = by["selection_rate", ("sex",), ("Female",)]
    two = by["selection_rate", ("sex",), ("Male",)]
    assert one.p_value == pytest.approx(two.p_value)
    assert one.difference is not None and one.difference < 0


def test_few_cases_are_tested_exactly() -> None:
    counts = {"a": (90, 10, 0, 0), "b": (28, 2, 0, 0), "c": (0, 0, 0, 0), "d": (12, 3, 1, 0)}
    found = FairnessReport.from_counts(counts, by="g")
    flags = {flag.group: flag for flag in found.flags("selection_rate")}
    assert flags["b",].p_value == pytest.approx(fisher_exact([[2, 28], [13, 103]])[1])
    undefined = {flag.group: flag for flag in found.flags("true_positive_rate")}
    assert undefined["a",].p_value is None and undefined["a",].reason and not undefined["a",].flagged


def test_a_family_of_what_cannot_be_compared_is_refused() -> None:
    found = report(data(300))
    for metrics, against in (
        ("f1", "overall"),
        ("selection_rate", {"sex": "Male"}),
        ("selection_rate", {"sex": "X", "race": "a"}),
    ):
        with pytest.raises(DataError):
            found.simultaneous(metrics, against=against)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="compared with nothing"):
        found.flags("selection_rate", against="none")


# --- linearisation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", list(linearised.MASKS))
def test_influences_are_derivatives(metric: str) -> None:
    cube = report(data()).cube
    inside = linearised.members(cube, ("race",), ("b",))
    exact = linearised.influence(metric, cube.values, inside)
    number = functionals.NUMBERS[metric]
    values = cube.values.astype(float)
    for place in np.ndindex(values.shape):
        ahead, back = values.copy(), values.copy()
        ahead[place] += 0.01
        back[place] -= 0.01
        slope = (number(ahead[inside].sum(axis=0)[None]) - number(back[inside].sum(axis=0)[None])) / 0.02
        assert exact[place] == pytest.approx(float(slope[0]), abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_correlations_are_those_of_the_bootstrap(weighted: bool) -> None:
    frame = data()
    cube = report(frame, sample_weight=frame.w if weighted else None).cube
    picks = [("selection_rate", ("sex",), ("Female",)), ("accuracy", ("race",), ("a",)), ("true_positive_rate", (), ())]
    influences = [linearised.influence(m, cube.values, linearised.members(cube, by, g)) for m, by, g in picks]
    made = bootstrap.draws(cube.counts, replicates=20_000, weights=cube.weights, squares=cube.squares)
    replicates = [functionals.NUMBERS[m](made[:, linearised.members(cube, by, g)].sum(axis=1)) for m, by, g in picks]
    assert linearised.correlation(influences, cube) == pytest.approx(np.corrcoef(replicates), abs=0.03)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0.01, 1000))
def test_equal_weights_change_nothing_whatever_they_are(seed: int, weight: float) -> None:
    frame = data(300, seed)
    plain, scaled = report(frame), report(frame, sample_weight=np.full(len(frame), weight))
    for one, two in zip(plain.measurements, scaled.measurements, strict=True):
        if not two.intervals:
            continue
        assert (one.metric, one.status) == (two.metric, two.status)
        for a, b in zip(one.intervals, two.intervals, strict=True):
            assert (b.lower, b.upper) == pytest.approx((a.lower, a.upper), abs=1e-9)


def test_a_weighted_rate_is_as_uncertain_as_its_rows_say() -> None:
    """Effective sizes against the variance of a mean of linearised rows, computed from the rows themselves."""
    frame = data(20_000)
    found = linearised.effective(report(frame, sample_weight=frame.w).cube.marginal(["sex"]))
    own = frame[frame.sex == "Female"]
    rate = float((own.w * own.p).sum() / own.w.sum())
    variance = float((own.w**2 * (own.p - rate) ** 2).sum() / own.w.sum() ** 2)
    one = found["Female",]["selection_rate"]
    assert one.k / one.n == pytest.approx(rate, abs=1e-12)
    assert rate * (1 - rate) / one.n == pytest.approx(variance, rel=0.01)
    assert one.rows == len(own)


def test_weighted_comparisons_have_intervals_and_a_gate_does_not_take_them() -> None:
    from ml_governance.decide.bounds import judge
    from ml_governance.decide.policy import Require
    from ml_governance.evidence.metrics import metric
    from ml_governance.evidence.predicates import Resource

    frame = data()
    # Whole weights around 1 give whole sums, which look like counts and are none.
    whole = np.where(np.arange(len(frame)) % 2, 2.0, 0.0)
    for weight in (frame.w, whole):
        found = report(frame, sample_weight=weight)
        gap = found.difference("selection_rate", by=["sex"])
        assert gap.status == "ok" and gap.intervals[0].method == "newcombe-pairs-effective"
        content = found.to_content(predictions="recomputed", dataset=Resource(name="t", sha256="0" * 64))
        require = Require.model_validate(
            {"evidence": "fairness", "metric": "selection_rate_ratio", "by": ["sex"], "lower_bound_at_least": 0.8}
        )
        (judged,) = judge(require, metric("fairness", "selection_rate_ratio"), content)
        assert judged.status == "error" and "weighted" in judged.text


# --- a group against all rows, and against a reference ----------------------------------------------------


def test_a_group_against_a_reference_agrees_with_statsmodels() -> None:
    frame = data()
    cells = frame.groupby("sex").p.agg(["sum", "count"])
    (one,) = report(frame).to_reference("selection_rate", "Male", by=["sex"])
    arguments = (*cells.loc["Female"], *cells.loc["Male"])
    newcombe = confint_proportions_2indep(*arguments, compare="diff", method="newcomb")
    koopman = confint_proportions_2indep(*arguments, compare="ratio", method="score", correction=False)
    found = one.difference.intervals[0]
    assert (found.lower, found.upper) == pytest.approx(newcombe, abs=1e-10)
    found = one.ratio.intervals[0]
    assert (found.lower, found.upper) == pytest.approx(koopman, rel=1e-6)


def test_the_parts_that_all_rows_are_made_of_balance() -> None:
    """Shares times differences add up to 0, and an interval of a small group is hardly that of group against rest."""
    frame = data()
    found = report(frame).to_overall("selection_rate", by=["race"])
    shares = frame.race.value_counts(normalize=True)
    assert sum(shares[one.group[0]] * one.difference.value for one in found) == pytest.approx(0, abs=1e-12)  # type: ignore[operator]
    for one in found:
        assert one.difference.value == pytest.approx((one.ratio.value - 1) * frame.p.mean())  # type: ignore[operator]
        for part in (one.difference, one.ratio):
            assert part.intervals[0].lower <= part.value <= part.intervals[0].upper  # type: ignore[operator]


# --- the bootstrap on the cube ----------------------------------------------------------------------------


def endpoints(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.quantile(values, [0.025, 0.5, 0.975])


def test_the_cube_bootstrap_is_the_bootstrap_of_rows() -> None:
    """Endpoints agree to the noise of 4,000 replicates: five standard errors of a quantile, about .2 standard deviations."""
    frame = data(1_500)
    cube = report(frame).cube.marginal(["sex"])
    cell = (frame.sex == "Male") * 4 + 2 * frame.y + frame.p
    generator = np.random.default_rng(5)
    rows = np.stack(
        [np.bincount(cell.to_numpy()[generator.integers(0, len(cell), len(cell))], minlength=8) for _ in range(4_000)]
    ).reshape(-1, 2, 2, 2)
    made = bootstrap.draws(cube.counts, replicates=4_000, seed=2)
    for function in (functionals.f1, functionals.balanced_accuracy, functionals.NUMBERS["selection_rate"]):
        theirs, ours = function(rows[:, 0].astype(float)), function(made[:, 0])
        assert endpoints(ours) == pytest.approx(endpoints(theirs), abs=0.2 * theirs.std())


@pytest.mark.parametrize(("deviation", "real"), [(0.5, False), (1.5, True)])
def test_the_weighted_cube_bootstrap_is_the_bootstrap_of_weighted_rows(deviation: float, real: bool) -> None:
    generator = np.random.default_rng(6)
    frame = data(1_500)
    frame["w"] = generator.lognormal(0, deviation, len(frame))
    found = report(frame, sample_weight=frame.w)
    cube = found.cube.marginal(["sex"])
    assert found.rows is not None
    cell = found.rows().cells(["sex"], cube.counts.shape)
    draws = generator.integers(0, len(cell), (4_000, len(cell)))
    rows = np.stack([np.bincount(cell[at], frame.w.to_numpy()[at], minlength=8) for at in draws]).reshape(-1, 2, 2, 2)
    kept = (cell, frame.w.to_numpy()) if real else None
    made = bootstrap.draws(cube.counts, replicates=4_000, weights=cube.weights, squares=cube.squares, rows=kept)
    for function in (functionals.f1, functionals.NUMBERS["selection_rate"]):
        theirs, ours = function(rows[:, 0]), function(made[:, 0])
        assert endpoints(ours) == pytest.approx(endpoints(theirs), abs=0.25 * theirs.std())
        assert ours.std() == pytest.approx(theirs.std(), rel=0.08)


def test_clusters_of_one_row_are_rows_and_equal_persons_are_one_kind() -> None:
    frame = data(900)
    found = report(frame)
    alone = found.bootstrap("f1", ["sex"], group="Female", cluster=np.arange(900), seed=1)
    rows = found.bootstrap("f1", ["sex"], group="Female", seed=2)
    width = rows.intervals[0].upper - rows.intervals[0].lower  # type: ignore[operator]
    assert alone.intervals[0].lower == pytest.approx(rows.intervals[0].lower, abs=0.05 * width)
    assert alone.value == rows.value and alone.intervals[0].method == "percentile-clusters"
    cell = np.array([0, 1, 1, 0, 2, 2])
    kinds = clusters(cell, 4, ["x", "x", "y", "y", "z", "z"])
    assert (len(kinds.size), kinds.count) == (2, 3)
    for wrong in ([1, 2], [1, None, 2, 2, 3, 3], ["x"] * 6):
        with pytest.raises(DataError):
            clusters(cell, 4, wrong)


def test_named_functions_agree_with_scikit_learn_and_direct_arithmetic() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    frame = data()
    found = report(frame)
    women, men = frame[frame.sex == "Female"], frame[frame.sex == "Male"]
    expected = {
        "f1": f1_score(women.y, women.p),
        "balanced_accuracy": balanced_accuracy_score(women.y, women.p),
        "selection_rate": women.p.mean(),
    }
    for name, value in expected.items():
        one = found.bootstrap(name, ["sex"], group="Female", replicates=500)
        assert one.value == pytest.approx(value, abs=1e-12) and one.status == "ok" and one.group == ("Female",)
    gap = found.bootstrap("selection_rate", ["sex"], group="Female", reference="Male", replicates=500)
    assert gap.value == pytest.approx(women.p.mean() - men.p.mean(), abs=1e-12)
    assert gap.metric == "selection_rate_difference"
    odds = [
        one[one.y == label].p.mean() - other[other.y == label].p.mean()
        for one, other in ((women, men),)
        for label in (0, 1)
    ]
    average = found.bootstrap("average_odds_difference", ["sex"], group="Female", reference="Male", replicates=500)
    assert average.value == pytest.approx(np.mean(odds), abs=1e-12)
    macro = found.bootstrap("f1_group_average", ["race"], replicates=500)
    assert macro.value == pytest.approx(np.mean([f1_score(part.y, part.p) for _, part in frame.groupby("race")]))
    strata = [
        (len(part), part[part.sex == "Female"].p.mean() - part[part.sex == "Male"].p.mean())
        for _, part in frame.groupby("race")
    ]
    within = found.bootstrap(
        "conditional_selection_rate_difference", ["sex", "race"], group="Female", reference="Male", replicates=500
    )
    assert within.value == pytest.approx(np.average([gap for _, gap in strata], weights=[n for n, _ in strata]))
    assert found.bootstrap("f1", ["sex"], group="Female", seed=3) == found.bootstrap(
        "f1", ["sex"], group="Female", seed=3
    )


@pytest.mark.parametrize(
    "name",
    ["demographic_parity_difference", "equalized_odds_ratio", "selection_rate_ratio", "abroca", "kolmogorov_smirnov",
     "expected_calibration_error", "average_abs_odds_difference"],
)  # fmt: skip
def test_what_is_not_smooth_is_refused_by_name_and_says_why(name: str) -> None:
    with pytest.raises(DataError, match="bootstrap does not hold") as caught:
        report(data(300)).bootstrap(name, ["sex"])
    assert "largest" in str(caught.value) or "negative" in str(caught.value) or "absolute" in str(caught.value)


def test_too_few_rows_of_a_kind_are_insufficient_and_nothing_is_guessed() -> None:
    counts = {"a": (400, 100, 100, 300), "b": (30, 3, 9, 40), "c": (5, 0, 0, 0)}
    found = FairnessReport.from_counts(counts, by="g")
    few = found.bootstrap("f1", group="b")
    assert few.status == "ok"  # 3 false positives and 9 false negatives change F1 alike: 12 of a kind
    few = found.bootstrap("balanced_accuracy", group="b")
    assert (few.status, few.intervals) == ("insufficient", ()) and "fewer than 5" in (few.reason or "")
    assert found.bootstrap("f1", group="c").status == "undefined"
    with pytest.raises(DataError, match="made without rows"):
        found.bootstrap("f1", group="a", cluster=[1, 2])
    with pytest.raises(DataError, match="no number"):
        found.bootstrap("f2", group="a")
    with pytest.raises(DataError, match="shape"):
        found.bootstrap(lambda cubes: cubes.sum(axis=0))
    with pytest.raises(DataError, match="'x'"):
        found.bootstrap("f1", group="x")


def test_few_clusters_are_insufficient() -> None:
    frame = data(900)
    found = report(frame).bootstrap("f1", ["sex"], group="Female", cluster=np.arange(900) % 20)
    assert found.status == "insufficient" and "20 clusters" in (found.reason or "")


# --- partial pooling --------------------------------------------------------------------------------------


def test_pooled_intervals_hold_under_the_model_itself() -> None:
    """Rates drawn as the model says: 60 samples of 8 groups. The standard error of .95 over 480 is .010."""
    generator = np.random.default_rng(7)
    held, closer, farther = 0, 0.0, 0.0
    for at in range(60):
        mean, shrinkage = generator.uniform(0.05, 0.95), generator.uniform(0.05, 0.95)
        size = 20 * (1 - shrinkage) / shrinkage
        true = generator.beta(mean * size, (1 - mean) * size, size=8)
        n = np.full(8, 20)
        k = generator.binomial(n, true)
        found = pooling.pool(k.tolist(), n.tolist(), seed=at)
        low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
        held += int(((low <= true) & (true <= high)).sum())
        closer += float(((found.value - true) ** 2).sum())
        farther += float(((k / n - true) ** 2).sum())
    assert 0.915 <= held / 480 <= 0.98
    assert closer < 0.8 * farther


def test_pooling_draws_small_groups_to_the_mean_and_leaves_large_ones() -> None:
    found = FairnessReport.from_counts(
        {"a": (300, 100, 0, 0), "b": (8, 0, 0, 0), "c": (270, 130, 0, 0), "d": (5, 3, 0, 0), "e": (0, 0, 0, 4)}, by="g"
    )
    rates = {one.group[0]: one for one in found.pooled("selection_rate")}
    assert all(one.metric == "selection_rate_pooled" for one in rates.values())
    assert rates["b"].intervals[0].method == "beta-binomial-pooled"
    assert 0.05 < rates["b"].value < 0.3 and rates["a"].value == pytest.approx(0.25, abs=0.01)  # type: ignore[operator]
    assert rates["b"].intervals[0].upper < 0.6  # type: ignore[operator]
    undefined = {one.group[0]: one for one in found.pooled("false_positive_rate")}
    assert undefined["e"].status == "undefined" and undefined["e"].value is None
    with pytest.raises(DataError, match="three or more"):
        FairnessReport.from_counts({"a": (3, 1, 0, 0), "b": (8, 0, 0, 0)}, by="g").pooled("selection_rate")
    frame = data(300)
    with pytest.raises(DataError, match="unweighted"):
        report(frame, sample_weight=frame.w).pooled("selection_rate")


# --- verdicts, power and planning -------------------------------------------------------------------------

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=150)
@given(st.lists(COUNTS, min_size=2, max_size=5), st.floats(0.01, 0.99), SIDES, st.integers(1, 2))
def test_verdicts_without_search_are_those_of_the_bounds(
    counts: list[tuple[int, int]], bound: float, sides: str, multiplicity: int
) -> None:
    k, n = np.array(counts).T
    options = {"confidence": 0.95, "sides": sides, "multiplicity": multiplicity}
    gap = intervals.worst_difference(counts, **options)  # type: ignore[arg-type]
    found = verdicts.judge(k, n, form="difference", bound=bound, **options)  # type: ignore[arg-type]
    assert (bool(found.passed[0]), bool(found.failed[0])) == (gap.upper <= bound, gap.lower > bound)
    found = verdicts.judge(k, n, form="ratio", bound=bound, **options)  # type: ignore[arg-type]
    if not k.any():
        assert not found.passed[0] and not found.failed[0]
        return
    ratio = intervals.worst_ratio(counts, **options)  # type: ignore[arg-type]
    if min(abs(ratio.lower - bound), abs(ratio.upper - bound)) > 1e-9:
        assert (bool(found.passed[0]), bool(found.failed[0])) == (ratio.lower >= bound, ratio.upper < bound)


@pytest.mark.parametrize(("p1", "p2", "bound"), [(0.30, 0.27, 0.10), (0.5, 0.46, 0.12), (0.8, 0.78, 0.08)])
def test_sizes_that_pass_agree_with_the_normal_formula_of_statsmodels(p1: float, p2: float, bound: float) -> None:
    """Non-inferiority of one rate to another by a margin, the standard error that of the rates as they are."""
    plan = planning.rows_to_settle(
        [(p1 * 100, 100), (p2 * 100, 100)],
        form="difference",
        side="at_most",
        bound=bound,
        confidence=0.95,
        sides="one-sided",
    )
    assert plan is not None and plan.outcome == "pass"
    spread = math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    theirs = normal_sample_size_one_tail(bound - (p1 - p2), 0.8, 0.05, std_null=spread, std_alternative=spread)
    assert plan.sizes[0] == pytest.approx(theirs, rel=0.06)


@pytest.mark.parametrize(("p1", "p2"), [(0.30, 0.20), (0.5, 0.46), (0.9, 0.8)])
def test_sizes_that_fail_agree_with_the_formula_for_two_rates_of_statsmodels(p1: float, p2: float) -> None:
    """A difference of at most 0 fails where one of the two ordered pairs shows it, each at half the level."""
    plan = planning.rows_to_settle(
        [(p1 * 100, 100), (p2 * 100, 100)],
        form="difference",
        side="at_most",
        bound=0.0,
        confidence=0.95,
        sides="one-sided",
    )
    assert plan is not None and plan.outcome == "fail"
    theirs = samplesize_proportions_2indep_onetail(p1 - p2, p2, 0.8, ratio=1, alpha=0.025, alternative="larger")
    assert plan.sizes[0] == pytest.approx(theirs, rel=0.06)


@pytest.mark.parametrize(
    ("counts", "bound"),
    [([(75, 300), (70, 300)], 0.8), ([(60, 300), (78, 300)], 0.8), ([(60, 300), (95, 400), (70, 300)], 0.8)],
)
def test_a_set_of_the_planned_size_is_settled_as_often_as_planned(
    counts: list[tuple[float, float]], bound: float
) -> None:
    options = {"form": "ratio", "bound": bound, "confidence": 0.95, "sides": "one-sided"}
    plan = planning.rows_to_settle(counts, side="at_least", **options)  # type: ignore[arg-type]
    assert plan is not None and plan.factor > 1
    scaled = [(k / n * size, size) for (k, n), size in zip(counts, plan.sizes, strict=True)]
    found = power([scaled], **options)  # type: ignore[arg-type]
    chance = found.passed if plan.outcome == "pass" else found.failed
    assert 0.72 <= chance <= 0.9
    assert found.passed + found.failed + found.inconclusive == pytest.approx(1)


def test_rates_at_the_bound_are_settled_by_no_size() -> None:
    at_bound = [(80.0, 400.0), (100.0, 400.0)]
    options = {"form": "ratio", "side": "at_least", "bound": 0.8, "confidence": 0.95, "sides": "one-sided"}
    assert planning.rows_to_settle(at_bound, **options) is None  # type: ignore[arg-type]
    with pytest.raises(DataError, match="power"):
        planning.rows_to_settle(at_bound, **options, power=1.0)  # type: ignore[arg-type]


def test_a_plan_for_single_rates_is_right_too() -> None:
    """How often a rate of .85 among so many rows has a lower bound of .8 or more, from the binomial distribution."""
    from scipy.stats import binom

    options = {"form": "rate", "side": "at_least", "bound": 0.8, "confidence": 0.95, "sides": "one-sided"}
    plan = planning.rows_to_settle([(85, 100)], **options)  # type: ignore[arg-type]
    assert plan is not None and plan.outcome == "pass"
    n = plan.sizes[0]
    least = next(k for k in range(n + 1) if intervals.rate(k, n, confidence=0.95, sides="one-sided").lower >= 0.8)
    assert 0.76 <= binom.sf(least - 1, n, 0.85) <= 0.86
    failing = planning.rows_to_settle([(75, 100), (90, 100)], **options)  # type: ignore[arg-type]
    assert failing is not None and failing.outcome == "fail"
    other = planning.rows_to_settle([(15, 100)], **{**options, "side": "at_most", "bound": 0.2})  # type: ignore[arg-type]
    assert other is not None and other.sizes == plan.sizes
    assert planning.joined([plan, failing]) is failing and planning.joined([plan, None]) is None
    assert planning.joined([]) is None


def test_a_report_says_what_its_size_can_show() -> None:
    found = report(data())
    now = found.power("demographic_parity_ratio", ["sex"], bound=0.8)
    equal = found.power("demographic_parity_ratio", ["sex"], bound=0.8, rate=0.4)
    assert equal.passed > 0.9 > now.passed
    odds = found.power("equalized_odds_difference", ["race"], bound=0.1, rate=0.4)
    assert len(odds.sizes) == 2 and odds.passed + odds.failed + odds.inconclusive == pytest.approx(1)
    for metric in ("selection_rate", "nothing"):
        with pytest.raises(DataError, match="compares no rates"):
            found.power(metric, bound=0.8)
    frame = data(300)
    with pytest.raises(DataError, match="weighted"):
        report(frame, sample_weight=frame.w).power("demographic_parity_ratio", bound=0.8)
    with pytest.raises(DataError, match="one for each"):
        found.power("demographic_parity_ratio", bound=0.8, rate=1.2)
