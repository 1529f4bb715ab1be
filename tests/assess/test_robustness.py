from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from statsmodels.stats.proportion import proportion_confint

from ml_governance.assess import monotonicity, perturbation, shift
from ml_governance.assess.reproducibility import assess_reproducibility
from ml_governance.assess.robustness import RobustnessReport, assess_robustness
from ml_governance.errors import DataError


class Rule:
    """A model that is a function of rows, which keeps how many it was asked at once."""

    def __init__(self, decide: Any, chance: Any = None) -> None:
        self.decide, self.asked = decide, []
        if chance is not None:
            self.predict_proba = lambda rows: np.column_stack([1 - chance(rows), chance(rows)])

    def predict(self, rows: pd.DataFrame) -> Any:
        self.asked.append(len(rows))
        return np.asarray(self.decide(rows))


def people(n: int = 600, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": generator.normal(3, 2, n), "debt": generator.normal(0, 1, n), "children": generator.integers(0, 6, n),
            "owns": generator.integers(0, 2, n), "job": generator.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
        }
    )  # fmt: skip


RICH = Rule(lambda rows: (rows.income > 3).astype(int))


# --- flips ----------------------------------------------------------------------------------------------


def test_noise_flips_as_often_as_the_normal_distribution_says() -> None:
    """Sign of X against sign of X + E, both normal: they differ with probability arctan(s) / pi, s the ratio of the spreads."""
    rows = pd.DataFrame({"income": np.random.default_rng(1).normal(3, 2, 20_000)})
    report = assess_robustness(RICH, rows=rows, noise=0.5, draws=4)
    assert report.get("noise_flip_rate").value == pytest.approx(math.atan(0.5) / math.pi, abs=0.006)


def test_the_interval_of_a_flip_rate_holds_the_true_rate_and_does_not_count_draws_as_rows() -> None:
    true, held, widths = math.atan(0.3) / math.pi, 0, []
    for seed in range(300):
        rows = pd.DataFrame({"income": np.random.default_rng(seed).normal(3, 2, 300)})
        one = assess_robustness(RICH, rows=rows, noise=0.3, draws=3, seed=seed).get("noise_flip_rate")
        lower, upper = two_sided(one)
        held += lower <= true <= upper
        widths.append(upper - lower)
    assert held / 300 >= 0.93
    as_if = np.diff(proportion_confint(true * 900, 900, method="wilson"))[0]
    assert np.mean(widths) > 1.4 * as_if


def test_a_share_of_unstable_rows_has_wilsons_interval_of_its_counts() -> None:
    one = assess_robustness(RICH, rows=people(), draws=3).get("noise_unstable_rate")
    assert one.denominator == 600
    expected = proportion_confint(one.numerator, 600, alpha=0.05, method="wilson")
    assert two_sided(one) == pytest.approx(expected, abs=1e-12)


def test_a_missing_cell_is_one_of_each_row_and_is_counted_by_column() -> None:
    model = Rule(lambda rows: (rows.income.fillna(-100) > 3).astype(int))
    report = assess_robustness(model, rows=people(), draws=4)
    cells = {one["column"]: one for one in report.details["missing"]}
    assert sum(one["cells"] for one in cells.values()) == 4 * 600
    assert {name for name, one in cells.items() if one["flips"]} == {"income"}
    assert report.get("missing_flip_rate").value == pytest.approx(cells["income"]["flips"] / 2400)


def test_a_swap_always_gives_another_level() -> None:
    model = Rule(lambda rows: (rows.owns == 1).astype(int))
    report = assess_robustness(model, rows=people()[["owns", "income"]], draws=2)
    assert report.get("swap_flip_rate").value == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=2, max_size=60), st.integers(0, 2**32))
def test_a_swapped_cell_differs_and_holds_a_level_that_was_there(cells: list[Any], seed: int) -> None:
    rows = pd.DataFrame({"job": pd.Series(cells, dtype=object)})
    (column,) = perturbation.columns_of(rows)
    if not column.swappable:
        return
    made, _ = perturbation.swapped(rows, (column,), np.random.default_rng(seed))
    assert not any(new == old for new, old in zip(made.job, rows.job, strict=True))
    assert set(made.job) <= set(column.levels)


def test_other_levels_come_by_their_frequency() -> None:
    rows = pd.DataFrame({"job": ["a"] * 6000 + ["b"] * 3000 + ["c"] * 1000})
    made, _ = perturbation.swapped(rows, perturbation.columns_of(rows), np.random.default_rng(0))
    from_a = made.job[:6000].value_counts(normalize=True)
    assert from_a.b == pytest.approx(0.75, abs=0.02) and from_a.c == pytest.approx(0.25, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-1000, 1000), min_size=3, max_size=40), st.sampled_from(["int64", "int8", "float32", "Int64", "float64"]),
    st.floats(0.01, 3),
)  # fmt: skip
def test_noise_keeps_type_and_range(values: list[int], dtype: str, scale: float) -> None:
    rows = pd.DataFrame({"x": np.clip(values, -100, 100)}).astype(dtype)
    made, _ = perturbation.noisy(rows, perturbation.columns_of(rows), np.random.default_rng(0), scale=scale)
    assert made.x.dtype == rows.x.dtype
    assert made.x.min() >= rows.x.min() and made.x.max() <= rows.x.max()


def test_missing_numbers_stay_missing_under_noise_and_no_number_is_made_of_nothing() -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0, np.nan, 5.0], "n": pd.array([1, None, 3, 9], dtype="Int64")})
    made, _ = perturbation.noisy(rows, perturbation.columns_of(rows), np.random.default_rng(0), scale=1)
    assert made.isna().equals(rows.isna())


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.full), 7, 599, 600, 10_000])
def test_results_do_not_hang_on_the_batch_which_is_never_exceeded(batch: int) -> None:
    def model() -> Rule:
        return Rule(
            lambda rows: ((rows.income.fillna(0) > 3) & (rows.job != "a")).astype(int),
            lambda rows: 1 / (1 + np.exp(-rows.income.fillna(0))),
        )

    options: dict[str, Any] = {"rows": people(), "draws": 2, "monotone": {"income": "+"}, "y_true": people().owns}
    one = model()
    report = assess_robustness(one, batch=batch, **options)
    assert report.to_dict() == assess_robustness(model(), **options).to_dict()
    assert max(one.asked) <= max(batch, 1)


def test_the_seed_decides_everything() -> None:
    first, again, other = (assess_robustness(RICH, rows=people(), seed=seed).to_dict() for seed in (0, 0, 1))
    assert first == again
    assert first["measurements"] != other["measurements"]


def test_noise_has_nothing_to_do_with_rows_that_were_drawn_with_the_same_seed() -> None:
    rows = pd.DataFrame({"income": np.random.default_rng(0).standard_normal(500)})
    seen: list[pd.DataFrame] = []

    def decide(table: pd.DataFrame) -> Any:
        seen.append(table)
        return np.zeros(len(table), dtype=int)

    assess_robustness(Rule(decide), rows=rows, noise=0.1, draws=1, seed=0)
    noise = seen[2].income.to_numpy() - rows.income.to_numpy()  # after the rows themselves, twice
    assert np.abs(noise).max() > 0 and abs(np.corrcoef(noise, rows.income)[0, 1]) < 0.2


def test_groups_add_up_to_all_rows_and_a_small_one_is_insufficient() -> None:
    sex = pd.Series(["Female"] * 580 + ["Male"] * 20, name="sex")
    report = assess_robustness(RICH, rows=people(), sensitive_features=sex)
    parts = [report.get("noise_unstable_rate", by=["sex"], group=[one]) for one in ("Female", "Male")]
    assert sum(one.numerator or 0 for one in parts) == report.get("noise_unstable_rate").numerator
    assert [one.status for one in parts] == ["ok", "insufficient"]


def test_what_a_model_does_not_take_is_undefined_and_its_error_is_not_quoted() -> None:
    def strict(rows: pd.DataFrame) -> Any:
        if rows.isna().any().any():
            raise ValueError(f"cannot take {rows.income.iloc[0]}")
        return (rows.income > 3).astype(int)

    report = assess_robustness(Rule(strict), rows=people())
    for metric in ("missing_flip_rate", "missing_unstable_rate"):
        one = report.get(metric)
        assert one.status == "undefined" and one.value is None and not one.intervals
        assert one.reason == "the model does not take such rows: ValueError"


def test_a_table_that_does_not_allow_a_change_says_so_and_counts_no_zero() -> None:
    numbers = assess_robustness(RICH, rows=people()[["income"]])
    assert numbers.get("swap_flip_rate").status == "undefined"
    flags = assess_robustness(Rule(lambda rows: rows.owns), rows=people()[["owns"]])
    assert flags.get("noise_flip_rate").status == "undefined"
    assert flags.get("noise_flip_rate").reason == "the model takes no column of numbers with more than two values"


def test_a_model_with_chance_in_it_is_told_apart_from_one_that_noise_moves() -> None:
    generator = np.random.default_rng(0)
    report = assess_robustness(Rule(lambda rows: generator.integers(0, 2, len(rows))), rows=people())
    assert report.get("repeat_flip_rate").value == pytest.approx(0.5, abs=0.1)
    assert assess_robustness(RICH, rows=people()).get("repeat_flip_rate").value == 0


def test_numbers_are_no_decisions_without_a_tolerance() -> None:
    model = Rule(lambda rows: rows.income * 1.5)
    with pytest.raises(DataError, match="tolerance"):
        assess_robustness(model, rows=people())
    report = assess_robustness(model, rows=people(), tolerance=0.5, noise=0.1, y_true=people().income)
    assert 0 < report.get("noise_flip_rate").value < 0.3
    assert report.get("worst_shift_accuracy").status == "undefined"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise": 0}, "noise is 0"), ({"noise": math.nan}, "noise is nan"), ({"draws": 0}, "draws is 0"), ({"batch": 0}, "batch 0"),
        ({"worst_share": 0}, "worst_share"), ({"tolerance": -1}, "tolerance"), ({"confidence": 1}, "confidence"),
        ({"monotone": {"income": "up"}}, "direction"), ({"monotone": {"incme": "+"}}, "takes no column"),
        ({"monotone": {"job": "+"}}, "expected: numbers"), ({"y_true": [1, 2]}, "y_true"), ({"shift": {"region": {"a": 1}}}, "no column"),
        ({"shift": {"job": {"a": 0.5}}}, "sum to 1"), ({"rows": people().iloc[:0]}, "no rows"),
        ({"sensitive_features": pd.Series(["x"] * 600, name="column")}, "another name"),
        ({"y_true": [None] * 600}, "600 labels are missing"), ({"y_true": np.array(["1"] * 600)}, "the model never says '1'"),
        ({"model": "model.pkl"}, "the model is a str"), ({"model": {}}, "the model is a dict"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        assess_robustness(**{"model": RICH, "rows": people(), **wrong})
    assert words in str(caught.value)


CODINGS = [
    lambda y: np.where(y == 1, "yes", "no"), lambda y: np.where(y == 1, "yes", "no").astype(object), lambda y: y.astype(str),
    lambda y: pd.Series(y).astype(str), lambda y: pd.Series(np.where(y == 1, "1", "0"), dtype=object), lambda y: y + 1,
    lambda y: pd.Categorical.from_codes(y, ["no", "yes"]),
]  # fmt: skip


@pytest.mark.parametrize("coded", CODINGS)
@pytest.mark.parametrize("known", [True, False])
def test_labels_in_another_coding_than_the_models_are_refused_and_never_all_wrong(coded: Any, known: bool) -> None:
    rows = people()[["income"]]
    y = (np.random.default_rng(0).random(600) < 0.5).astype(int)
    model = LogisticRegression().fit(rows, y)
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([-float(rows.income.median())])
    given = model if known else model.predict
    with pytest.raises(DataError, match="the model never says"):
        assess_robustness(given, rows=rows, y_true=coded(y))
    right = assess_robustness(given, rows=rows, y_true=y.astype(bool)).details["accuracy"]
    assert right == pytest.approx(accuracy_score(y, model.predict(rows)), abs=1e-9)


def test_a_class_that_a_model_of_several_was_not_trained_on_is_a_mistake_of_it() -> None:
    rows = people()[["income"]]
    y = np.arange(600) % 3
    model = LogisticRegression().fit(rows, y)
    report = assess_robustness(model, rows=rows, y_true=np.where(np.arange(600) < 20, 7, y))
    assert report.details["accuracy"] <= accuracy_score(y, model.predict(rows))


def test_what_is_no_model_and_no_path_is_refused_in_words() -> None:
    from ml_governance import audit
    from ml_governance.assess.scan import scan_artifact

    rows = people()
    with pytest.raises(DataError, match="train is a Rule"):
        assess_reproducibility(Rule(lambda table: table.owns), rows=rows)
    with pytest.raises(DataError, match="the model is a NoneType"):
        assess_reproducibility(lambda: None, rows=rows)
    with pytest.raises(DataError, match="the artifact is a Rule"):
        scan_artifact(RICH)
    with pytest.raises(DataError, match="the model is a str"):
        audit("model.pkl", rows, "owns", kinds=("performance",))


def test_a_report_survives_json_and_is_evidence_of_its_kind() -> None:
    report = assess_robustness(RICH, rows=people(), y_true=people().owns, shift={"job": {"a": 0.5, "b": 0.5}})
    assert RobustnessReport.from_dict(json.loads(report.to_json())).to_dict() == report.to_dict()
    content = report.to_content(predictions="caller-supplied", dataset=report.inputs())
    assert content.kind == "robustness" and content.dataset.rows == 600


# --- shifts ---------------------------------------------------------------------------------------------


def test_a_stated_shift_is_the_accuracy_of_rows_weighted_to_it() -> None:
    rows = people()
    y = (np.random.default_rng(0).random(600) < np.where(rows.job == "a", 0.9, 0.6)).astype(int)
    target = {"a": 0.2, "b": 0.5, "c": 0.3}
    report = assess_robustness(Rule(lambda rows: np.ones(len(rows), int)), rows=rows, y_true=y, shift={"job": target})
    weight = rows.job.map(target) / rows.job.map(rows.job.value_counts())
    one = report.get("shifted_accuracy", by=["column"], group=["job"])
    assert one.value == pytest.approx(accuracy_score(y, np.ones(600), sample_weight=weight), abs=1e-12)


def test_one_stratum_with_all_the_share_has_at_least_wilsons_interval() -> None:
    correct = np.arange(50) % 3 > 0
    number = shift.stratified(correct, np.zeros(50, dtype=np.intp), {0: 1.0}, (), ["all"])
    assert number.bounds is not None
    lower, upper = number.bounds(0.95, "two-sided")
    wilson = proportion_confint(correct.sum(), 50, method="wilson")
    assert lower <= wilson[0] + 1e-12 and upper >= wilson[1] - 1e-12 and upper - lower < 1.1 * (wilson[1] - wilson[0])


@pytest.mark.parametrize(
    ("chances", "shares", "n"),
    [([0.95, 0.6, 0.8], [0.6, 0.3, 0.1], 200), ([0.95] * 5, [0.2] * 5, 75), ([0.99, 0.9], [0.5, 0.5], 60)],
)
def test_the_interval_of_a_stated_shift_holds_the_true_accuracy(
    chances: list[float], shares: list[float], n: int
) -> None:
    generator, held, done = np.random.default_rng(0), 0, 0
    rates, places = np.array(chances), len(chances)
    target = {place: (place + 1) / sum(range(places + 1)) for place in range(places)}
    true = sum(share * rates[place] for place, share in target.items())
    for _ in range(1000):
        strata = generator.choice(places, n, p=shares)
        number = shift.stratified(generator.random(n) < rates[strata], strata, target, (), "abcde")
        if number.bounds is None:
            continue
        lower, upper = number.bounds(0.95, "two-sided")
        held, done = held + (lower <= true <= upper), done + 1
    assert done > 900 and held >= 0.94 * done


def test_a_level_without_rows_leaves_a_shift_undefined() -> None:
    report = assess_robustness(RICH, rows=people(), y_true=people().owns, shift={"job": {"a": 0.5, "z": 0.5}})
    one = report.get("shifted_accuracy", by=["column"], group=["job"])
    assert (one.status, one.reason) == ("undefined", "no row is in z")


def test_without_labels_no_accuracy_is_claimed() -> None:
    report = assess_robustness(RICH, rows=people(), shift={"job": {"a": 1.0}})
    assert report.get("worst_shift_accuracy").status == "undefined"
    assert report.get("shifted_accuracy", by=["column"], group=["job"]).status == "undefined"


def test_the_worst_shift_finds_where_a_model_fails() -> None:
    rows = people(4000)
    y = np.where(rows.job == "b", 1 - RICH.decide(rows), RICH.decide(rows))
    report = assess_robustness(RICH, rows=rows, y_true=y, worst_share=0.25)
    assert report.details["worst_shift"]["column"] == "job"
    assert report.get("worst_shift_accuracy").value == pytest.approx(0, abs=0.02)
    half = assess_robustness(RICH, rows=rows, y_true=y, worst_share=0.5)
    assert half.get("worst_shift_accuracy").value == pytest.approx(0.4, abs=0.05)  # 0.3 of the rows are wrong, doubled
    everybody = assess_robustness(RICH, rows=rows, y_true=y, worst_share=1.0)
    assert everybody.get("worst_shift_accuracy").value == pytest.approx(0.7, abs=0.03)


def test_the_worst_of_many_columns_of_chance_is_not_worse_than_the_truth() -> None:
    """Chosen and measured on the same rows, the minimum over columns would lie below 0.8 nearly always."""
    held = below = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        rows = pd.DataFrame(generator.normal(size=(300, 6)), columns=list("abcdef"))
        correct = generator.random(300) < 0.8
        number = shift.worst(correct, rows, perturbation.columns_of(rows), worst_share=0.5, seed=seed).number
        assert number.bounds is not None and number.value is not None
        lower, upper = number.bounds(0.95, "two-sided")
        held += lower <= 0.8 <= upper
        below += number.value < 0.8
    assert held >= 186 and 70 <= below <= 130


def test_the_shares_of_the_worst_shift_are_bounded_and_sum_to_one() -> None:
    rows = people(1000)
    report = assess_robustness(RICH, rows=rows, y_true=rows.owns, worst_share=0.4)
    strata = report.details["worst_shift"]["strata"]
    assert sum(one["shifted"] for one in strata) == pytest.approx(1, abs=1e-4)
    assert all(one["shifted"] <= one["share"] / 0.4 + 1e-4 for one in strata)


# --- directions -----------------------------------------------------------------------------------------


def scored(chance: Any) -> Rule:
    return Rule(lambda rows: (chance(rows) > 0.5).astype(int), chance)


def test_a_monotone_model_has_no_violation_and_a_wavy_one_is_found_out() -> None:
    rows = people(200)
    straight = scored(lambda rows: 1 / (1 + np.exp(-rows.income + rows.debt)))
    report = assess_robustness(straight, rows=rows, monotone={"income": "+", "debt": "-"})
    for column in ("income", "debt"):
        one = report.get("monotonicity_violation_rate", by=["column"], group=[column])
        assert (one.value, one.numerator, one.denominator) == (0, 0, 200)
    assert report.details["monotone"][0]["worst"] is None
    turned = assess_robustness(straight, rows=rows, monotone={"income": "-"})
    assert turned.get("monotonicity_violation_rate").value == 1


def test_only_the_rows_that_violate_are_counted_and_the_worst_is_named_by_digest() -> None:
    rows = people(200)
    where = rows.children == 5

    def chance(table: pd.DataFrame) -> Any:
        slope = np.where(table.children == 5, -1 - table.debt.abs(), 1)
        return 1 / (1 + np.exp(-slope * (table.income - 3) / 10))

    report = assess_robustness(
        scored(chance), rows=rows, monotone={"income": "+"}, sensitive_features=rows[["owns"]].astype(str)
    )
    assert report.get("monotonicity_violation_rate").numerator == where.sum()
    told = report.details["monotone"][0]
    found = monotonicity.find_row(rows, told["worst"])
    assert where[found] and told["drop"] > 0
    assert str(rows.income[found])[:6] not in report.to_json()
    with pytest.raises(DataError, match="no row has the digest"):
        monotonicity.find_row(
            rows.iloc[:-1], told["worst"]
        )  # the whole table is in the name: a likely row alone cannot be tried


def test_a_model_without_scores_cannot_be_asked_for_a_direction() -> None:
    model = Rule(lambda rows: np.where(rows.income > 3, "yes", "no"))
    with pytest.raises(DataError, match="gives no score"):
        assess_robustness(model, rows=people(), monotone={"income": "+"})
    report = assess_robustness(model, rows=people(), monotone={"income": "+"}, pos_label="yes")
    assert report.get("monotonicity_violation_rate").value == 0


# --- a second training ----------------------------------------------------------------------------------


def test_the_same_training_twice_gives_the_same_model() -> None:
    rows = people()[["income", "debt"]]
    report = assess_reproducibility(lambda: LogisticRegression().fit(rows, people().owns), rows=rows)
    assert report.get("rerun_disagreement").value == 0
    assert report.get("rerun_identical").value == 1
    assert report.get("rerun_largest_difference").value == 0
    assert report.details["rerun"]["first"] == report.details["rerun"]["second"]


def test_the_difference_of_two_trainings_is_reported_and_not_hidden() -> None:
    rows, y = people()[["income", "debt"]], people().owns
    models = tuple(RandomForestClassifier(5, random_state=seed).fit(rows, y) for seed in (0, 1))
    sex = pd.Series(["f", "m"] * 300, name="sex")
    report = assess_reproducibility(models, rows=rows, sensitive_features=sex)
    apart = models[0].predict(rows) != models[1].predict(rows)
    assert report.get("rerun_disagreement").numerator == apart.sum() > 0
    assert report.get("rerun_disagreement", by=["sex"], group=["m"]).numerator == apart[1::2].sum()
    gap = np.abs(models[0].predict_proba(rows) - models[1].predict_proba(rows)).max()
    assert report.get("rerun_largest_difference").value == pytest.approx(gap)
    assert report.get("rerun_identical").value == 0


def test_bytes_that_are_not_known_are_undefined_and_not_alike() -> None:
    report = assess_reproducibility((Rule(lambda rows: rows.owns), Rule(lambda rows: rows.owns)), rows=people())
    assert report.get("rerun_identical").status == "undefined"
    assert report.get("rerun_largest_difference").value == 0
    with pytest.raises(DataError, match="1 models"):
        assess_reproducibility((RICH,), rows=people())  # type: ignore[arg-type]


def two_sided(one: Any) -> tuple[float, float]:
    (interval,) = [i for i in one.intervals if i.sides == "two-sided"]
    return interval.lower, interval.upper
