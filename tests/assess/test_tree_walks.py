"""States of walks that are read from the trees: what the model says of every one of them, whatever the trees ask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance import assess_explanation
from ml_governance.assess import explanation_game, sampled, tree_explanation, tree_walks
from ml_governance.assess.trees import Ensemble, Tree
from ml_governance.errors import UnavailableError
from tests.assess.test_tree_kernel import games, walk


@settings(max_examples=60, deadline=None)
@given(games())
def test_every_state_of_a_walk_has_the_output_of_the_row_that_it_stands_for(game) -> None:  # type: ignore[no-untyped-def]
    ensemble, rows, background, players = game
    count = max(players) + 1
    walks = tree_walks.TreeWalks.of(ensemble, background=background, players=players)
    random = np.random.default_rng(0)
    others = random.integers(0, len(background), (len(rows), 3))
    rank = random.permuted(np.tile(np.arange(count), (others.size, 1)), axis=1)
    found = walks.outputs(rows, others, rank)
    assert found.shape == (others.size, 2 * count, 1)
    for place, (own, ranks) in enumerate(zip(found[:, :, 0], rank, strict=True)):
        x, z = rows[place // 3], background[others.ravel()[place]]
        sides = [ranks < s for s in range(count + 1)] + [ranks >= s for s in range(1, count)]
        expected = [walk(ensemble, np.where(side[players], x, z)) for side in sides]
        assert own == pytest.approx(expected, abs=1e-12 * (1 + ensemble.scale))


@pytest.fixture(scope="module")
def credit() -> pd.DataFrame:
    random = np.random.default_rng(4)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=["income", "debt", "age"])
    frame["region"], frame["kind"] = random.choice(list("abcd"), 400), random.choice(["x", "y"], 400)
    frame.loc[::17, "debt"] = np.nan
    return frame


def fitted(frame: pd.DataFrame, several: bool = False):  # type: ignore[no-untyped-def]
    prepare = make_column_transformer(
        (StandardScaler(), ["debt", "income"]),
        (OneHotEncoder(sparse_output=False), ["region", "kind"]),
        remainder="drop",
    )
    y = frame.income * (1 + (frame.region == "a")) + (frame.kind == "x") > 0.5
    labels = y.astype(int) + (several & (frame.income > 1)).astype(int)
    return make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=20, random_state=0)).fit(frame, labels)


@pytest.mark.parametrize("several", [False, True])
def test_of_a_prepared_table_the_walks_are_those_that_the_model_would_be_asked_for(
    credit: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    model = fitted(credit, several)
    given = {"rows": credit, "background": credit[:20], "max_rows": 30, "seed": 3}
    asked = assess_explanation(model, **given)
    monkeypatch.setattr(tree_walks, "MAX_PLACES", 0)  # too much for any background: the model is asked
    played = assess_explanation(model, **given)
    assert asked.details["engine"] == played.details["engine"] == sampled.ENGINE
    assert asked.values == pytest.approx(played.values, abs=1e-12)
    assert asked.errors == pytest.approx(played.errors, abs=1e-12)
    assert asked.details["importance"] == played.details["importance"]


def test_the_model_is_not_asked_for_the_states_of_walks(credit: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = fitted(credit), []
    real = HistGradientBoostingClassifier.decision_function
    monkeypatch.setattr(
        HistGradientBoostingClassifier, "decision_function", lambda self, table: asked.append(len(table)) or real(self, table)
    )  # fmt: skip
    assess_explanation(model, rows=credit, background=credit[:20], max_rows=30)
    assert sum(asked) < 30 * 20  # one question for each pair of rows would be more, and a walk has ten


def test_trees_that_are_read_wrongly_are_found_out_on_a_few_walks(
    credit: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted(credit)
    game = explanation_game.game_of(model, credit[:5], credit[5:15], "probability")
    assert game.trees is not None and game.margin is not None
    assert tree_walks.ways(game.trees, game.margin, game.rows, game.background) is not None
    swapped = replace(game.trees, players=game.trees.players[::-1])
    with pytest.raises(UnavailableError, match="miss the model's margin between rows"):
        tree_walks.ways(swapped, game.margin, game.rows, game.background)


def test_missing_and_unknown_categories_go_where_the_model_sends_them() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=300), "c": random.integers(0, 6, 300).astype(float)})
    frame.loc[::7, "a"], frame.loc[::5, "c"] = np.nan, np.nan
    model = HistGradientBoostingClassifier(max_iter=10, categorical_features=[1]).fit(
        frame.to_numpy(), frame.a.fillna(1) * (frame.c == 2) > 0.2
    )
    table = frame.to_numpy()
    ensemble = tree_explanation.read(model, "margin")
    walks = tree_walks.TreeWalks.of(ensemble, background=table[:30], players=[0, 1])
    others = np.tile(np.arange(30), (20, 1))
    rank = np.tile([[0, 1]], (600, 1))
    x, z = np.repeat(table[100:120], 30, axis=0), table[others.ravel()]
    found = walks.outputs(table[100:120], others, rank)[:, :, 0].ravel()
    assert found == pytest.approx(model.decision_function(sampled.states(x, z, rank)), abs=1e-9)


@pytest.mark.parametrize("family", ["xgboost", "lightgbm", "catboost"])
def test_of_every_library_the_walks_are_those_that_the_model_would_be_asked_for(
    credit: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    numbers, y = credit[["income", "debt", "age"]], (credit.income * credit.age.fillna(0) > 0.1).astype(int)
    if family == "xgboost":
        model = pytest.importorskip(family).XGBClassifier(n_estimators=20, max_depth=4)
    elif family == "lightgbm":
        model = pytest.importorskip(family).LGBMClassifier(n_estimators=20, verbose=-1)
    else:
        model = pytest.importorskip(family).CatBoostClassifier(
            iterations=20, depth=4, verbose=0, allow_writing_files=False
        )
    model.fit(numbers, y)
    given = {"rows": numbers, "background": numbers[:20], "max_rows": 20}
    asked = assess_explanation(model, **given)
    monkeypatch.setattr(tree_walks, "MAX_PLACES", 0)
    played = assess_explanation(model, **given)
    assert "steadied" in asked.details["why"]
    # A library that adds leaves in single precision is known to six digits.
    assert asked.values == pytest.approx(played.values, abs=1e-6)
    assert asked.errors == pytest.approx(played.errors, abs=1e-6)


def test_rows_that_go_block_by_block_have_the_same_walks(credit: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = credit[["income", "debt", "age"]].to_numpy()
    model = HistGradientBoostingClassifier(max_iter=5).fit(numbers, credit.income > 0)
    walks = tree_walks.TreeWalks.of(tree_explanation.read(model, "margin"), background=numbers[:5], players=range(3))
    others = np.tile(np.arange(5), (7, 1))
    rank = np.random.default_rng(0).permuted(np.tile(np.arange(3), (35, 1)), axis=1)
    whole = walks.outputs(numbers[5:12], others, rank)
    monkeypatch.setattr(tree_walks, "MAX_PLACES", 3 * len(walks.left))
    assert np.array_equal(walks.outputs(numbers[5:12], others, rank), whole)


def test_a_walk_compares_in_the_precision_of_the_library() -> None:
    edge = float(np.float32(0.1))  # above the double 0.1, which in single precision is no smaller
    tree = Tree(
        left=np.array([1, -1, -1], dtype=np.int32), right=np.array([2, -1, -1], dtype=np.int32),
        feature=np.zeros(3, dtype=np.int32), threshold=np.array([edge, 0.0, 0.0]), missing=np.zeros(3, dtype=np.uint8),
        value=np.array([0.0, -1.0, 1.0]), cover=np.ones(3),
    )  # fmt: skip
    ensemble = Ensemble(trees=(tree,), base=np.zeros(1), columns=1, strict=True, single=True)
    walks = tree_walks.TreeWalks.of(ensemble, background=np.array([[0.0]]), players=[0])
    found = walks.outputs(np.array([[0.1]]), np.array([[0]]), np.array([[0]]))
    assert found[0, :, 0].tolist() == [-1.0, 1.0]
