"""A ranking of columns says no more than the rows drawn can bear, and stops when the top is settled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from ml_governance import assess_explanation, rank_columns
from ml_governance.assess import column_ranking, tree_explanation
from ml_governance.assess.column_ranking import Seen
from ml_governance.assess.tree_kernel import TreeKernel
from ml_governance.assess.trees import Ensemble
from ml_governance.errors import DataError, UnavailableError
from tests.assess.test_tree_kernel import random_tree

COLUMNS = [f"x{at}" for at in range(6)]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(40_000, 6)), columns=COLUMNS)
    drive = frame[COLUMNS].to_numpy() @ np.array([4.0, 2.0, 1.0, 0.5, 0.1, 0.0])
    return frame.assign(label=(drive + random.normal(size=len(frame)) > 0).astype(int))


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=15, max_depth=3).fit(frame[COLUMNS][:3000], frame.label[:3000])


def test_a_clear_top_is_settled_from_few_rows_and_is_that_of_all_rows(frame: pd.DataFrame, model) -> None:
    found = rank_columns(model, rows=frame[COLUMNS], background=frame[:200], top=2)
    assert not found.complete
    assert found.drawn < len(frame) / 2
    assert found.top_settled
    whole = assess_explanation(
        model, rows=frame[COLUMNS], background=frame[:200], output="margin", max_rows=len(frame)
    ).importance
    assert list(found.columns) == list(whole.index[:2])
    for one in found.ranked:
        assert one.lower <= whole.mean_abs[one.column] <= one.upper
    assert [one.next for one in found.ranked[:2]] == ["above", "above"]
    assert found.ranked[-1].next == "last"


def test_what_few_rows_cannot_settle_is_ranked_on_all_rows(frame: pd.DataFrame, model) -> None:
    found = rank_columns(model, rows=frame[COLUMNS][:900], background=frame[:50], top=6, tie=0)
    whole = assess_explanation(
        model, rows=frame[COLUMNS][:900], background=frame[:50], output="margin", max_rows=900
    ).importance
    assert found.complete
    assert found.drawn == found.rows == 900
    assert [one.column for one in found.ranked] == list(whole.index)
    assert found.to_frame().mean_abs.to_numpy() == pytest.approx(whole.mean_abs.to_numpy(), abs=1e-8)


def test_equal_columns_are_tied_and_rivals_at_the_border_named(frame: pd.DataFrame) -> None:
    twins = pd.DataFrame({"a": frame.x0, "b": -frame.x0, "c": 0.1 * frame.x1})[:500]
    model = LogisticRegression().fit(twins, frame.label[:500])
    model.coef_ = np.array([[1.0, 1.0, 1.0]])
    found = rank_columns(model, rows=twins, background=twins, top=1)
    assert found.complete
    assert not found.top_settled
    assert found.rivals == ("a", "b")
    assert [one.next for one in found.ranked] == ["tied", "above", "last"]


def test_no_attribution_is_beyond_the_reach_of_the_tables(frame: pd.DataFrame) -> None:
    for estimator, output in (
        (GradientBoostingClassifier(n_estimators=10), "margin"),
        (HistGradientBoostingClassifier(max_iter=10), "margin"),
        (RandomForestClassifier(10, max_depth=5), "probability"),
    ):
        estimator.fit(frame[COLUMNS].to_numpy()[:1000], frame.label[:1000])
        kernel = TreeKernel.of(tree_explanation.read(estimator, output), background=frame[COLUMNS].to_numpy()[:50])
        low, high = kernel.reach()
        values = kernel.values(frame[COLUMNS].to_numpy()[:5000])
        assert (values >= low - 1e-12).all()
        assert (values <= high + 1e-12).all()
        assert (low <= 0).all() and (high >= 0).all()
    stump = GradientBoostingClassifier(n_estimators=1, max_depth=1).fit(
        frame[COLUMNS].to_numpy()[:1000], frame.label[:1000]
    )
    kernel = TreeKernel.of(tree_explanation.read(stump, "margin"), background=frame[COLUMNS].to_numpy()[:50])
    values = kernel.values(frame[COLUMNS].to_numpy()[:5000])
    assert kernel.reach()[0] == pytest.approx(values.min(axis=0))  # one table: its entries are reached
    assert kernel.reach()[1] == pytest.approx(values.max(axis=0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5))
def test_the_reach_of_a_tree_whose_answers_are_free_is_reached(seed: int, depth: int, players: int) -> None:
    random = np.random.default_rng(seed)
    inner = (1 << depth) - 1
    tree = random_tree(random, inner, depth, {})
    asked = np.flatnonzero(tree.left >= 0)
    if len(asked) == 0:
        return
    tree.feature[asked] = np.arange(len(asked))  # no question bears on another's answer
    ensemble = Ensemble(trees=(tree,), base=np.zeros(1), columns=inner, strict=False, single=False)
    merged = random.integers(0, players, inner).tolist()
    kernel = TreeKernel.of(
        ensemble, background=random.normal(size=(20, inner)) * 3, players=[*merged[:-1], players - 1]
    )
    every = np.where((np.arange(1 << len(asked))[:, None] >> np.arange(inner)) & 1, 9.0, -9.0)
    values = kernel.values(every)
    low, high = kernel.reach()
    assert low == pytest.approx(values.min(axis=0), abs=1e-12)
    assert high == pytest.approx(values.max(axis=0), abs=1e-12)


def test_looks_grow_until_there_are_as_many_rows() -> None:
    sizes = column_ranking.look_sizes(10**6)
    assert sizes[0] == column_ranking.FIRST and sizes[-1] < 10**6 <= sizes[-1] * column_ranking.GROWTH + 1
    assert column_ranking.look_sizes(column_ranking.FIRST) == []


def test_a_rare_column_that_matters_most_is_never_ranked_last_with_confidence() -> None:
    # In one row of 2,000 the rare column decides everything: most first looks never see it.
    random = np.random.default_rng(1)
    rare = np.zeros(40_000)
    rare[::2000] = 5000.0
    common = random.choice([0.9, 1.1], size=40_000)
    absolute = np.column_stack([rare, common])
    wrong = 0
    for _ in range(200):
        seen = Seen.none(2)
        for looks in range(1, 5):
            drawn = random.integers(0, 40_000, 1000 * 2 ** (looks - 1) - seen.n)
            seen = seen.after(absolute[drawn])
            relation = seen.judged(np.array([5000.0, 1.1]), 0.05 / 4, 0.05)[2]
            wrong += relation[0, 1] != "above" and relation[0, 1] != "open"
    assert wrong == 0


def test_the_error_is_enough_for_a_mean_too_low_one_too_high_and_a_spread_too_small() -> None:
    # Bennett's inequality on either side and Maurer and Pontil's for the spread (theorem 10), each with its own part of the error,
    # of values from 0 to 1 that are drawn alike: the spread that they can have, and what it makes of the mean.
    n, columns, error = 10**6, 3, 0.04
    seen = Seen.none(columns).after(np.full((n, columns), 0.5))
    half = seen.judged(np.ones(columns), error, 0.05)[1]
    statements = columns + columns * (columns - 1) / 2
    log = np.log(1 / (error / statements / 3))
    spread = np.sqrt(2 * log / (n - 1))
    assert (half >= spread * np.sqrt(2 * log / n) + log / (3 * n)).all()


def test_everything_said_at_any_look_holds_with_the_confidence() -> None:
    random = np.random.default_rng(2)
    population = np.abs(random.normal(size=(20_000, 5)) * np.array([1.0, 0.97, 0.9, 0.5, 0.48]))
    truth = population.mean(axis=0)
    reach = population.max(axis=0)
    broken = 0
    for _ in range(150):
        seen, fine = Seen.none(5), True
        for looks in range(1, 5):
            seen = seen.after(population[random.integers(0, 20_000, 1000 * 2 ** (looks - 1) - seen.n)])
            mean, half, relation = seen.judged(reach, 0.05 / 4, 0.05)
            above = truth[:, None] > truth[None, :]
            near = np.abs(truth[:, None] - truth[None, :]) <= 0.05 * np.maximum(truth[:, None], truth[None, :])
            fine &= bool(
                (np.abs(mean - truth) <= half).all()
                and above[relation == "above"].all()
                and near[relation == "tied"].all()
            )
        broken += not fine
    assert broken <= 150 * 0.05


def test_what_cannot_be_bounded_is_refused_and_what_does_not_add_up_is_loud(
    frame: pd.DataFrame, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    boosted = HistGradientBoostingClassifier(max_iter=3).fit(frame[COLUMNS][:500], frame.label[:500])
    linear = LogisticRegression().fit(frame[COLUMNS][:500], frame.label[:500])
    for wrong in (boosted, linear):
        with pytest.raises(DataError, match=r"sampled or slow|no sum over its leaves"):
            rank_columns(wrong, rows=frame[COLUMNS][:50], background=frame[:20], output="probability")
    with pytest.raises(DataError, match="tie=1"):
        rank_columns(model, rows=frame[COLUMNS][:50], background=frame[:20], tie=1)
    values = TreeKernel.values
    monkeypatch.setattr(TreeKernel, "values", lambda *given, **more: values(*given, **more) * 1.001)
    with pytest.raises(UnavailableError, match="miss the model's output"):
        rank_columns(model, rows=frame[COLUMNS][:50], background=frame[:20])


def test_the_same_seed_draws_the_same_rows(frame: pd.DataFrame, model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_ranking, "FIRST", 100)
    one, two, other = (
        rank_columns(model, rows=frame[COLUMNS][:5000], background=frame[:50], top=1, seed=seed) for seed in (3, 3, 4)
    )
    assert one == two
    assert one.drawn < 5000
    assert one.ranked != other.ranked
