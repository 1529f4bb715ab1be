"""Permutation walks: unbiased with honest errors, sums without error, and steadier with a known margin."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ml_governance import assess_explanation
from ml_governance.assess import links, sampled, tree_explanation
from ml_governance.assess.tree_kernel import TreeKernel
from ml_governance.errors import DataError, UnavailableError
from tests.assess.test_explanation import brute_force

TRIES = 1500


def margin(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(
        matrix[:, 0] * matrix[:, 1] * matrix[:, 2] + matrix[:, 2] - 2 * matrix[:, 3] * matrix[:, 0] * matrix[:, 1]
    )


def probability(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(expit(margin(matrix)))


@pytest.fixture(scope="module")
def tables() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(3)
    return random.normal(size=(1, 4)), random.normal(size=(9, 4))


def control(rows: np.ndarray, background: np.ndarray) -> sampled.Control:  # type: ignore[type-arg]
    return sampled.Control(
        play=margin, link=expit, slopes=links.slopes,
        values=np.tile(brute_force(margin, rows[0], background), (len(rows), 1)),
    )  # fmt: skip


@pytest.mark.parametrize("steadied", [False, True])
def test_walks_are_unbiased_and_their_errors_are_those_of_repetition(tables, steadied: bool) -> None:  # type: ignore[no-untyped-def]
    row, background = tables
    rows = np.repeat(row, TRIES, axis=0)  # each row has walks of its own
    known = control(rows, background) if steadied else None
    found = sampled.attribute(probability, rows, background, seed=0, control=known)
    expected = brute_force(probability, row[0], background)
    spread = found.phi.std(axis=0)
    assert np.abs(found.phi.mean(axis=0) - expected) / spread * np.sqrt(TRIES) == pytest.approx(np.zeros(4), abs=4)
    assert np.sqrt((found.error**2).mean(axis=0)) == pytest.approx(spread, rel=0.1)
    assert found.phi.sum(axis=1) == pytest.approx(np.full(TRIES, expected.sum()), abs=1e-12)


def test_a_known_margin_takes_variance_off(tables) -> None:  # type: ignore[no-untyped-def]
    row, background = tables
    rows = np.repeat(row, TRIES, axis=0)
    plain = sampled.attribute(probability, rows, background, seed=0)
    steadied = sampled.attribute(probability, rows, background, seed=0, control=control(rows, background))
    assert steadied.phi.var(axis=0).sum() < plain.phi.var(axis=0).sum() * 0.8


def test_own_orders_for_each_background_row_beat_one_order_for_all(tables) -> None:  # type: ignore[no-untyped-def]
    row, background = tables
    rows = np.repeat(row, TRIES, axis=0)
    own = sampled.attribute(probability, rows, background, seed=0).phi.var(axis=0).sum()
    random = np.random.default_rng(1)
    one_order = []
    for _ in range(200):
        order, worth = random.permutation(4), []
        for ordered in (order, order[::-1]):
            mixed, before = background.copy(), probability(background).mean()
            moved = np.zeros(4)
            for column in ordered:
                mixed[:, column] = row[0, column]
                after = probability(mixed).mean()
                moved[column], before = after - before, after
            worth.append(moved)
        one_order.append(np.mean(worth, axis=0))
    assert own < np.var(one_order, axis=0).sum() / 2


def test_a_boosted_probability_is_steadied_by_its_exact_margin() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(400, 4))
    model = GradientBoostingClassifier(n_estimators=30).fit(table, table[:, 0] * table[:, 1] > 0)
    rows = pd.DataFrame(table[:12], columns=list("abcd"))
    background = pd.DataFrame(table[100:125], columns=list("abcd"))
    found = assess_explanation(model, rows=rows, background=background)
    assert "steadied" in found.details["why"]
    assert found.values is not None and found.errors is not None

    def play(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(model.predict_proba(matrix)[:, 1])

    exact = np.array([brute_force(play, row, background.to_numpy()) for row in table[:12]])
    off, told = ((found.values - exact) ** 2).mean(), (found.errors**2).mean()
    assert told / 2 < off < 2 * told
    assert found.values.sum(axis=1) + found.base == pytest.approx(play(table[:12]), abs=1e-9)


def margins(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.column_stack([margin(matrix), matrix[:, 0] - matrix[:, 3], matrix[:, 1] * matrix[:, 2]])


def probabilities(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(softmax(margins(matrix), axis=1))


def test_walks_of_several_classes_stay_unbiased_with_known_margins_and_vary_less(tables) -> None:  # type: ignore[no-untyped-def]
    row, background = tables
    rows = np.repeat(row, TRIES, axis=0)
    exact, known = (
        np.stack([brute_force(lambda m, at=at, p=play: p(m)[:, at], row[0], background) for at in range(3)], axis=1)
        for play in (probabilities, margins)
    )
    told = sampled.Control(
        play=margins, link=links.probability, slopes=links.slopes, values=np.tile(known, (TRIES, 1, 1))
    )
    found = sampled.attribute(probabilities, rows, background, seed=0, control=told)
    spread = found.phi.std(axis=0)
    assert np.abs(found.phi.mean(axis=0) - exact) / spread * np.sqrt(TRIES) == pytest.approx(np.zeros((4, 3)), abs=4.5)
    assert np.sqrt((found.error**2).mean(axis=0)) == pytest.approx(spread, rel=0.1)
    assert found.phi.sum(axis=1) + found.base == pytest.approx(np.tile(probabilities(row), (TRIES, 1)), abs=1e-12)
    plain = sampled.attribute(probabilities, rows, background, seed=0)
    assert found.phi.var(axis=0).sum() < plain.phi.var(axis=0).sum() * 0.8


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_slopes_times_the_way_are_what_the_probability_moves_by(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    rows, background = random.normal(size=(3, classes)), random.normal(size=(1, classes))
    rows, background = (one[:, 0] if classes == 1 else one for one in (rows, background))
    moved = links.probability(rows) - links.probability(background)
    way = (rows - background).reshape(3, -1)
    found = np.einsum("nok,nk->no", links.slopes(rows, background), way)
    assert found == pytest.approx(moved.reshape(3, -1), abs=5e-3)


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm", "catboost"])
def test_the_probability_of_each_class_of_a_booster_is_steadied(irises: pd.DataFrame, library: str) -> None:
    kinds = {
        "sklearn": lambda: GradientBoostingClassifier(n_estimators=8),
        "xgboost": lambda: importlib.import_module("xgboost").XGBClassifier(n_estimators=8, n_jobs=1),
        "lightgbm": lambda: importlib.import_module("lightgbm").LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1),
        "catboost": lambda: importlib.import_module("catboost").CatBoostClassifier(
            8, thread_count=1, verbose=0, allow_writing_files=False
        ),
    }
    columns = ["a", "b", "c"]
    model = kinds[library]().fit(irises[columns], irises.grade.astype(int))
    background = irises[columns][100:120]
    found = assess_explanation(model, rows=irises[columns][:16], background=background)
    assert "steadied" in found.details["why"] and found.values is not None and found.errors is not None
    assert found.table is not None
    assert found.values.sum(axis=1) + found.base == pytest.approx(model.predict_proba(found.table), abs=1e-6)

    def play(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(model.predict_proba(pd.DataFrame(matrix, columns=columns)), dtype=np.float64)

    off = [
        found.values[at, :, place] - brute_force(lambda m, p=place: play(m)[:, p], row, background.to_numpy())
        for at, row in enumerate(found.table.to_numpy())
        for place in range(3)
    ]
    assert np.sqrt(np.square(off).mean()) < 0.02


def test_classes_that_are_told_apart_one_by_one_have_no_known_margin_behind_them(irises: pd.DataFrame) -> None:
    lightgbm = importlib.import_module("lightgbm")
    columns = ["a", "b", "c"]
    model = lightgbm.LGBMClassifier(n_estimators=5, objective="multiclassova", verbose=-1)
    model.fit(irises[columns], irises.grade.astype(int))
    found = assess_explanation(model, rows=irises[columns][:5], background=irises[columns][100:120])
    assert "steadied" not in found.details["why"]


# --- several classes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def irises() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(240, 3)), columns=["a", "b", "c"])
    frame["sex"] = random.choice(["f", "m"], 240)
    frame["grade"] = np.digitize(frame.a + 0.5 * frame.b * frame.c, [-0.5, 0.5]).astype(str)
    return frame


@pytest.mark.parametrize(
    ("model", "output", "play"),
    [
        (LogisticRegression(), "margin", "decision_function"),
        (GradientBoostingClassifier(n_estimators=5), "margin", "decision_function"),
        (RandomForestClassifier(5, max_depth=4, random_state=0), "probability", "predict_proba"),
        (KNeighborsClassifier(9), "probability", "predict_proba"),
    ],
    ids=["linear", "boosted", "forest", "sampled"],
)
def test_each_of_several_classes_is_explained(irises: pd.DataFrame, model, output: str, play: str) -> None:  # type: ignore[no-untyped-def]
    columns = ["a", "b", "c"]
    model = model.fit(irises[columns].to_numpy(), irises.grade)
    background = irises[columns][100:130]
    found = assess_explanation(
        model, rows=irises[columns], background=background, output=output, sensitive_features=irises.sex, max_rows=100  # type: ignore[arg-type]
    )  # fmt: skip
    assert found.values is not None and found.table is not None
    assert found.values.shape == (100, 3, 3) and found.details["classes"] == ["0", "1", "2"]
    made = getattr(model, play)(found.table.to_numpy())
    assert found.values.sum(axis=1) + found.base == pytest.approx(made, abs=1e-9)
    row = found.table.to_numpy()[4]
    for place in range(3):
        expected = brute_force(lambda m, at=place: getattr(model, play)(m)[:, at], row, background.to_numpy())
        allowed = 1e-9 if found.errors is None else 5 * found.errors[4, :, place].max() + 1e-9
        assert found.values[4, :, place] == pytest.approx(expected, abs=allowed)
    assert found.importance_by_class.shape == (9, 3)
    mean = found.importance_by_class.groupby("column").mean_abs.mean()
    assert found.importance.mean_abs[mean.index].to_numpy() == pytest.approx(mean.to_numpy(), abs=1e-8)
    gaps = found.gaps.groupby("class")
    assert gaps.part.sum().to_numpy() == pytest.approx(gaps.gap.first().to_numpy(), abs=1e-9)
    again = type(found).from_dict(json.loads(found.to_json()))
    assert again.base == pytest.approx(found.base, abs=1e-8) and again.details == found.details


def test_outputs_that_are_not_one_for_each_class_are_refused(irises: pd.DataFrame) -> None:
    class Odd:
        classes_ = np.array(["a", "b", "c"])

        def predict_proba(self, table: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            return np.full((len(table), 2), 0.5)

    with pytest.raises(DataError, match="has the shape"):
        assess_explanation(Odd(), rows=irises[["a", "b"]][:10], background=irises[["a", "b"]][:5])


def test_the_trees_of_every_class_are_held_against_the_model(irises: pd.DataFrame) -> None:
    model = RandomForestClassifier(5, max_depth=4, random_state=0).fit(irises[["a", "b", "c"]].to_numpy(), irises.grade)
    ensemble = tree_explanation.read(model, "probability")
    rows = irises[["a", "b", "c"]].to_numpy()[:20]
    kernel = TreeKernel.of(ensemble, background=rows)
    made = model.predict_proba(rows)
    assert tree_explanation.attributed(ensemble, kernel, rows, made).shape == (20, 3, 3)
    with pytest.raises(UnavailableError, match="miss the model's output"):
        tree_explanation.attributed(ensemble, kernel, rows, made[:, [1, 0, 2]])
