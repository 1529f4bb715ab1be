"""Counterfactuals flip the decision when they are put to the model, and touch nothing that may not change."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance import counterfactuals
from ml_governance.assess.counterfactuals import Counterfactuals
from ml_governance.errors import DataError, UnavailableError
from tests.assess.test_reason_codes import MODEL, table


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return table(400).assign(age=np.arange(400) % 60 + 20)


def fitted(people: pd.DataFrame, last):
    prepare = ColumnTransformer(
        [("n", StandardScaler(), ["income", "debt", "late", "age"]), ("j", OneHotEncoder(), ["job"])]
    )
    return make_pipeline(prepare, last).fit(people[[*MODEL, "age"]], people.good)


def asked_again(found: Counterfactuals, model, people: pd.DataFrame) -> list[pd.DataFrame]:
    """Apply every answer to its row, and ask the model itself."""
    made = []
    for one in found:
        row = people.loc[[one.row]].copy()
        for change in one.changes:
            assert row[change.column].iloc[0] == change.before
            row[change.column] = change.after
        row["output"] = model.predict_proba(row[[*MODEL, "age"]])[:, 1]
        made.append(row)
    return made


@pytest.mark.parametrize(
    "last",
    [LogisticRegression(), GradientBoostingClassifier(n_estimators=20), RandomForestClassifier(20, random_state=0)],
    ids=lambda one: type(one).__name__,
)
def test_every_answer_flips_the_decision_and_respects_the_constraints(people: pd.DataFrame, last) -> None:
    model = fitted(people, last)
    probability = model.predict_proba(people[[*MODEL, "age"]])[:, 1]
    declined = people[probability < 0.5].iloc[:25]
    found = counterfactuals(
        model,
        rows=declined,
        background=people,
        cutoff=0.5,
        immutable=["age"],
        directions={"debt": "down", "late": "down"},
    )
    assert len(found) == len(declined)
    assert sum(one.status == "found" for one in found) > 15
    for one, row in zip(found, asked_again(found, model, people), strict=True):
        old = people.loc[one.row]
        assert row.age.iloc[0] == old.age
        assert row.debt.iloc[0] <= old.debt
        assert row.late.iloc[0] <= old.late
        if one.status == "found":
            assert one.before < 0.5 <= one.after == pytest.approx(row.output.iloc[0])
            assert len(one.changes) <= 3
            assert {change.after for change in one.changes if change.column == "job"} <= {"none", "part", "full"}
        else:
            assert not one.changes
            assert "does not prove" in one.why


def test_no_change_can_be_left_out(people: pd.DataFrame) -> None:
    model = fitted(people, GradientBoostingClassifier(n_estimators=20))
    probability = model.predict_proba(people[[*MODEL, "age"]])[:, 1]
    declined = people.iloc[np.argsort(probability)[:10]]
    found = counterfactuals(model, rows=declined, background=people, cutoff=0.8, immutable=[])
    several = [one for one in found if len(one.changes) > 1]
    assert several
    for one in several:
        for left in itertools.combinations(one.changes, len(one.changes) - 1):
            row = people.loc[[one.row], [*MODEL, "age"]].assign(**{change.column: change.after for change in left})
            assert model.predict_proba(row)[0, 1] < 0.8


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_a_linear_model_is_flipped_with_as_few_columns_as_can_be(seed: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"x{at}" for at in range(columns)]
    background = pd.DataFrame(random.integers(0, 5, (60, columns)).astype(float), columns=names)
    model = LinearRegression().fit(background, background @ random.normal(size=columns))
    row = background.iloc[[int(np.argmin(model.predict(background)))]]
    cutoff = float(np.quantile(model.predict(background), 0.8))
    (one,) = counterfactuals(model, rows=row, background=background, cutoff=cutoff, immutable=["x0"], at_most=columns)
    weights = model.coef_[1:]
    low, high = background.min().to_numpy()[1:], background.max().to_numpy()[1:]
    gains = np.sort(np.maximum(weights * (high - row.to_numpy()[0, 1:]), weights * (low - row.to_numpy()[0, 1:])))[::-1]
    needed = cutoff - model.predict(row)[0]
    fewest = next((k for k in range(1, columns) if gains[:k].sum() >= needed + 1e-9), None)
    if fewest is None:
        assert one.status == "not_found" or sum(gains) >= needed - 1e-9
    else:
        assert len(one.changes) <= fewest


def test_numbers_move_no_further_than_the_decision_needs(people: pd.DataFrame) -> None:
    card = LinearRegression().fit(people[["income", "debt"]], people.income - people.debt)
    row = pd.DataFrame({"income": [40.0], "debt": [20.0]})
    (one,) = counterfactuals(card, rows=row, background=people, cutoff=30.0, immutable=["debt"])
    enough = people.income[people.income >= 50.0 - 1e-9].min()
    assert one.changes[0].after == pytest.approx(enough)
    assert one.cost == pytest.approx(((people.income >= 40) & (people.income <= enough)).mean())


def test_a_favourable_row_needs_no_change_and_a_wanted_side_may_be_below(people: pd.DataFrame) -> None:
    model = fitted(people, LogisticRegression())
    probability = model.predict_proba(people[[*MODEL, "age"]])[:, 1]
    found = counterfactuals(
        model, rows=people[:40], background=people, cutoff=0.5, immutable=["age"], favourable="below"
    )
    for one, p in zip(found, probability, strict=False):
        assert (one.status == "favourable") == (p <= 0.5)
        assert one.status != "found" or one.after <= 0.5 < one.before
    assert set(found.to_frame().row) == set(people.index[:40])


def test_a_model_that_answers_otherwise_when_asked_again_is_refused() -> None:
    class Moody:
        def __init__(self) -> None:
            self.calls = 0

        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            self.calls += 1
            high = np.full(len(rows), 0.9 if 1 < self.calls < 3 else 0.1)
            return np.column_stack([1 - high, high])

    rows = pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 1.0]})
    with pytest.raises(UnavailableError, match="asked again"):
        counterfactuals(Moody(), rows=rows[:1], background=rows, cutoff=0.5, immutable=[])


def test_constraints_that_name_nothing_are_refused(people: pd.DataFrame) -> None:
    model = fitted(people, LogisticRegression())
    given_ = {"rows": people[:3], "background": people, "cutoff": 0.5}
    with pytest.raises(DataError, match="no column of the rows"):
        counterfactuals(model, **given_, immutable=["agee"])
    with pytest.raises(DataError, match="no column of the rows"):
        counterfactuals(model, **given_, immutable="age")
    with pytest.raises(DataError, match="directions of job"):
        counterfactuals(model, **given_, immutable=[], directions={"job": "up"})
    with pytest.raises(DataError, match="every column that the model takes is immutable"):
        counterfactuals(model, **given_, immutable=[*MODEL, "age"])
    with pytest.raises(TypeError, match="immutable"):
        counterfactuals(model, **given_)


def test_a_missing_value_has_no_direction(people: pd.DataFrame) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    numbers = people[["income", "debt"]].copy()
    numbers.loc[numbers.index[:150], "income"] = np.nan
    good = people.good.where(numbers.income.notna(), 0)
    model = HistGradientBoostingClassifier(max_iter=20).fit(numbers, good)
    numbers.iloc[0, 1] = numbers.debt.min()
    cutoff = float(model.predict_proba(numbers[:1])[0, 1]) + 0.1
    (free,) = counterfactuals(model, rows=numbers[:1], background=numbers, cutoff=cutoff, immutable=["debt"])
    assert free.status == "found"
    assert free.changes[0].before is None or np.isnan(free.changes[0].before)
    (held,) = counterfactuals(
        model, rows=numbers[:1], background=numbers, cutoff=cutoff, immutable=["debt"], directions={"income": "up"}
    )
    assert held.status == "not_found"


def test_what_may_not_change_stays_even_where_it_alone_would_do() -> None:
    background = pd.DataFrame({"a": np.arange(50.0), "b": np.arange(50.0), "c": np.arange(50.0)})
    card = LinearRegression().fit(background.sample(frac=1, random_state=0), background.a)
    card.coef_, card.intercept_ = np.array([1.0, 10.0, -10.0]), 0.0
    row = pd.DataFrame({"a": [20.0], "b": [10.0], "c": [10.0]})
    free, held = (
        counterfactuals(
            card, rows=row, background=background, cutoff=40.0, immutable=fixed, directions=ways, output="probability"
        ).answers[0]
        for fixed, ways in (([], {}), (["b"], {"c": "up"}))
    )
    assert free.changes[0].column in {"b", "c"}
    assert [(change.column, change.after) for change in held.changes] == [("a", 40.0)]
    (none,) = counterfactuals(
        card,
        rows=row,
        background=background,
        cutoff=60.0,
        immutable=["b"],
        directions={"c": "up"},
        output="probability",
    )
    assert none.status == "not_found"
