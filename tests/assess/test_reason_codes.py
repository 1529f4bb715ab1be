"""Reasons for adverse action: the shortfalls from the two named averages, complete, in a fixed order, and never a prohibited basis."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import ml_governance as gov
from ml_governance.assess.reason_codes import NO_REASON, reason_codes
from ml_governance.errors import DataError, UnavailableError
from tests.assess.test_additive import played


def table(n: int = 600, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    made = pd.DataFrame(
        {"income": random.normal(50, 10, n), "debt": random.normal(20, 5, n), "late": random.poisson(0.5, n)}
    )
    made["job"] = random.choice(["none", "part", "full"], n)
    made["sex"] = random.choice(["f", "m"], n)
    made["good"] = (
        made.income - made.debt - 8 * made.late + 5 * (made.job == "full") + random.normal(0, 8, n) > 25
    ).astype(int)
    return made.set_index(pd.Index([f"A{at:04d}" for at in range(n)]))


MODEL = ["income", "debt", "late", "job"]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return table()


@pytest.fixture(scope="module")
def pipeline(people: pd.DataFrame):
    prepare = ColumnTransformer([("n", StandardScaler(), MODEL[:3]), ("j", OneHotEncoder(), ["job"])])
    return make_pipeline(prepare, LogisticRegression()).fit(people[MODEL], people.good)


@pytest.mark.parametrize("baseline", ["at_cutoff", "all"])
def test_a_scorecards_reasons_are_the_points_lost_against_the_named_average(
    people: pd.DataFrame, baseline: str
) -> None:
    weights = np.array([0.5, -0.7, -3.0])
    card = LinearRegression().fit(people[MODEL[:3]], people[MODEL[:3]] @ weights + 7)
    score = people[MODEL[:3]].to_numpy() @ weights + 7
    found = reason_codes(
        card, applicants=people, cutoff=10.0, protected=["sex"], baseline=baseline, output="probability"
    )
    passing = np.sort(score[score >= 10])
    near = score >= 10
    near &= score <= passing[max(30, -(-len(passing) // 10)) - 1]
    points = people[MODEL[:3]].to_numpy() * weights
    average = points[near if baseline == "at_cutoff" else slice(None)].mean(axis=0)
    lost = average - points
    assert len(found) == int((score < 10).sum())
    assert found.compared == (near.sum() if baseline == "at_cutoff" else len(people))
    for one in found:
        own = lost[people.index.get_loc(one.row)]
        expected = [(MODEL[at], own[at]) for at in np.argsort(-own) if own[at] > 0]
        assert [(reason.factor, pytest.approx(reason.shortfall)) for reason in one.reasons] == expected
        assert one.status == "ok" if expected else one.why == NO_REASON
        assert one.unstated == 0


def test_deviations_sum_to_that_of_the_output_and_every_decline_has_a_reason_at_the_cutoff(
    people: pd.DataFrame, pipeline
) -> None:
    found = gov.reason_codes(pipeline, applicants=people, cutoff=0.0, protected=["sex"], at_most=2)
    margin = pd.Series(pipeline.decision_function(people[MODEL]), people.index)
    assert found.rows == tuple(people.index[margin < 0])
    assert found.outputs == pytest.approx(margin[margin < 0].to_numpy())
    assert found.summary()["without_reason"] == 0
    assert found.factors == tuple(MODEL)  # one-hot parts are their column
    for one in found:
        shortfalls = found.shortfalls[found.rows.index(one.row)]
        assert shortfalls.sum() >= found.average - one.output - 1e-9
        assert one.unstated == (shortfalls > 0).sum() - len(one.reasons)
        assert one.covered == pytest.approx(sum(sorted(shortfalls)[-2:]) / shortfalls.sum())
        assert [reason.shortfall for reason in one.reasons] == sorted((r.shortfall for r in one.reasons), reverse=True)
    first = found.of(found.rows[3])
    assert first.row == found.rows[3]
    with pytest.raises(DataError, match="0 declined applicants have the label 'nobody'"):
        found.of("nobody")


def test_trees_give_the_shapley_values_of_the_same_comparison(people: pd.DataFrame) -> None:
    model = GradientBoostingClassifier(n_estimators=8, random_state=0).fit(people[MODEL[:3]], people.good)
    past = people[MODEL[:3]][:120]
    found = reason_codes(
        model, applicants=people.iloc[200:260], cutoff=0.0, protected=["sex"], baseline="all", compared=past
    )
    one = found.of(found.rows[2])
    phi = played(model.decision_function, people.loc[one.row, MODEL[:3]], past)
    expected = sorted(((-value, name) for value, name in zip(phi, MODEL, strict=False) if value < -1e-12), reverse=True)
    assert [reason.factor for reason in one.reasons] == [name for _, name in expected]
    assert [reason.shortfall for reason in one.reasons] == pytest.approx([value for value, _ in expected], abs=1e-9)


def test_a_score_of_risk_is_declined_above_its_cutoff(people: pd.DataFrame, pipeline) -> None:
    flipped = make_pipeline(*[step for _, step in pipeline.steps[:-1]], LogisticRegression())
    flipped.fit(people[MODEL], 1 - people.good)
    risk = reason_codes(flipped, applicants=people, cutoff=0.0, protected=[], declined="above")
    safe = reason_codes(pipeline, applicants=people, cutoff=0.0, protected=[])
    assert risk.rows == safe.rows
    assert np.array_equal(risk.order, safe.order)
    assert risk.shortfalls == pytest.approx(safe.shortfalls, abs=1e-4)


def test_columns_with_one_text_are_one_factor(people: pd.DataFrame) -> None:
    hot = pd.get_dummies(people[MODEL], columns=["job"], dtype=float)
    model = LogisticRegression(max_iter=1000).fit(hot, people.good)
    texts = {name: "Type of employment" for name in hot.columns if name.startswith("job_")}
    found = reason_codes(model, applicants=hot, cutoff=0.0, protected=[], factors=texts | {"late": "Late payments"})
    assert found.factors == ("income", "debt", "Late payments", "Type of employment")
    assert found.columns[3] == ("job_full", "job_none", "job_part")
    apart = reason_codes(model, applicants=hot, cutoff=0.0, protected=[])
    near = hot[(margin := pd.Series(model.decision_function(hot), hot.index)) >= 0].loc[
        lambda t: margin[t.index].nsmallest(found.compared).index
    ]
    weights = pd.Series(model.coef_[0], hot.columns)
    jobs = [name for name in hot.columns if name.startswith("job_")]
    lost = ((near[jobs].mean() - hot.loc[list(found.rows), jobs]) * weights[jobs]).sum(axis=1)
    assert found.shortfalls[:, 3] == pytest.approx(np.maximum(lost.to_numpy(), 0), abs=1e-9)
    assert not np.allclose(apart.shortfalls[:, 3:].sum(axis=1), found.shortfalls[:, 3])


@pytest.mark.parametrize("spelling", ["itself", "one-hot part", "other codes"])
def test_a_prohibited_basis_that_was_scored_is_refused_under_any_name(people: pd.DataFrame, spelling: str) -> None:
    made = people.assign(code=(people.sex == "f").map({True: 2.0, False: 7.0}), sex_f=(people.sex == "f").astype(float))
    used = {"itself": "sex", "one-hot part": "sex_f", "other codes": "code"}[spelling]
    prepare = ColumnTransformer([("s", OneHotEncoder(), [used])], remainder="passthrough")
    model = make_pipeline(prepare, LogisticRegression(max_iter=2000)).fit(made[[used, "income", "late"]], people.good)
    with pytest.raises(DataError, match=f"depends on {used}"):
        reason_codes(model, applicants=made, cutoff=0.0, protected=["sex"])
    assert len(reason_codes(model, applicants=made, cutoff=0.0, protected=[])) > 0


def test_a_prohibited_basis_beside_the_model_is_no_hindrance_and_a_misspelt_one_is(
    people: pd.DataFrame, pipeline
) -> None:
    assert len(reason_codes(pipeline, applicants=people, cutoff=0.0, protected=["sex"])) > 0
    with pytest.raises(DataError, match="lack a protected column"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected=["sexx"])
    with pytest.raises(DataError, match="lack a protected column"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected="sex")
    with pytest.raises(TypeError, match="protected"):
        reason_codes(pipeline, applicants=people, cutoff=0.0)


def test_sampled_attributions_are_no_reasons(people: pd.DataFrame, pipeline) -> None:
    declined = pipeline.predict_proba(people)[:, 1] < 0.5
    nearest = make_pipeline(pipeline[0], KNeighborsClassifier()).fit(people, declined)
    with pytest.raises(DataError, match="would be sampled") as error:
        reason_codes(nearest, applicants=people[:20], compared=people, cutoff=0.5, protected=[], output="probability")
    assert "margin" in str(error.value)


def test_averages_of_few_and_settings_that_say_nothing_are_refused(people: pd.DataFrame, pipeline) -> None:
    with pytest.raises(DataError, match="average of 20 applicants"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected=[], baseline="all", compared=people[:20])
    with pytest.raises(DataError, match="average of 0 applicants"):
        reason_codes(pipeline, applicants=people, cutoff=1e9, protected=[])
    with pytest.raises(DataError, match="declines nobody"):
        reason_codes(pipeline, applicants=people, cutoff=-1e9, protected=[])
    with pytest.raises(DataError, match="finite cutoff"):
        reason_codes(pipeline, applicants=people, cutoff=float("nan"), protected=[])
    with pytest.raises(DataError, match="no baseline"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected=[], baseline="best")
    with pytest.raises(DataError, match="no column or no text"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected=[], factors={"wealth": "Wealth"})


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_applicants_changes_no_reason(seed: int) -> None:
    people = table(200, seed % 5)
    card = LinearRegression().fit(people[MODEL[:3]], people.income - people.debt - 8 * people.late)
    order = np.random.default_rng(seed).permutation(len(people))
    one = reason_codes(card, applicants=people, cutoff=25.0, protected=["sex"], output="probability")
    two = reason_codes(card, applicants=people.iloc[order], cutoff=25.0, protected=["sex"], output="probability")
    frame = two.to_frame().sort_values(["row", "rank"], ignore_index=True)
    pd.testing.assert_frame_equal(one.to_frame().sort_values(["row", "rank"], ignore_index=True), frame)


def test_the_table_has_a_row_for_each_reason_and_for_each_applicant_without_one(people: pd.DataFrame) -> None:
    card = LinearRegression().fit(people[MODEL[:3]], people.income - people.debt - 8 * people.late)
    found = reason_codes(
        card, applicants=people, cutoff=60.0, protected=[], baseline="all", output="probability", at_most=1
    )
    frame = found.to_frame()
    told = found.summary()
    assert set(frame.row) == set(found.rows)
    assert told["without_reason"] == (frame.status == "undefined").sum() > 0
    assert sum(one["stated"] for one in told["factors"]) == (frame.status == "ok").sum()
    assert frame[frame.status == "undefined"].shortfall.isna().all()
    assert frame[frame.status == "ok"].share.between(0, 1, inclusive="right").all()


def test_attributions_that_do_not_add_up_give_no_reasons(people: pd.DataFrame, pipeline, monkeypatch) -> None:
    from ml_governance.assess.explanation_engines import attribute

    def wrong(*given):
        answer = attribute(*given)
        return dataclasses.replace(answer, phi=answer.phi * 1.001)

    monkeypatch.setattr("ml_governance.assess.reason_codes.attribute", wrong)
    with pytest.raises(UnavailableError, match="miss the model's output"):
        reason_codes(pipeline, applicants=people, cutoff=0.0, protected=["sex"])
