"""Explanations of trees: chosen by themselves, on original columns, checked, and loud when they do not add up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance import assess_explanation
from ml_governance.assess import sampled, tree_explanation, tree_layout, tree_readers
from ml_governance.assess.prepared import parents
from ml_governance.errors import UnavailableError
from tests.assess.test_explanation import brute_force

NUMBERS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 3)), columns=NUMBERS)
    frame["kind"] = random.choice(["x", "y", "z"], 300)
    frame["label"] = (frame.a + (frame.kind == "x") + random.normal(0, 0.5, 300) > 0).astype(int)
    return frame


@pytest.mark.parametrize(
    ("model", "output", "play"),
    [
        (RandomForestClassifier(10, max_depth=4, random_state=0), "probability", "predict_proba"),
        (GradientBoostingClassifier(n_estimators=10), "margin", "decision_function"),
        (HistGradientBoostingClassifier(max_iter=10), "margin", "decision_function"),
    ],
)
def test_trees_are_explained_by_tables_and_compared_with_shap(frame: pd.DataFrame, model, output, play) -> None:
    model = model.fit(frame[NUMBERS], frame.label)
    rows, background = frame[NUMBERS][:40], frame[NUMBERS][100:140]
    found = assess_explanation(model, rows=rows, background=background, output=output)
    assert found.details["engine"] == tree_explanation.ENGINE
    assert found.details["check"].startswith("equal to shap")
    assert found.get("additivity_error").value < 1e-12

    def played(matrix: np.ndarray) -> np.ndarray:
        made = getattr(model, play)(pd.DataFrame(matrix, columns=NUMBERS))
        return made if made.ndim == 1 else made[:, 1]

    expected = brute_force(played, rows.to_numpy()[3], background.to_numpy())
    assert found.values is not None
    assert found.values[3] == pytest.approx(expected, abs=1e-12)


def test_the_parts_of_a_column_are_one_player_behind_a_preparation(frame: pd.DataFrame) -> None:
    prepare = ColumnTransformer([("n", StandardScaler(), NUMBERS), ("k", OneHotEncoder(), ["kind"])])
    forest = RandomForestClassifier(8, max_depth=5, random_state=0)
    model = Pipeline([("prepare", prepare), ("fit", forest)]).fit(frame[[*NUMBERS, "kind"]], frame.label)
    rows, background = frame[[*NUMBERS, "kind"]][:20], frame[[*NUMBERS, "kind"]][50:80]
    found = assess_explanation(model, rows=rows, background=background)
    assert found.details["engine"] == tree_explanation.ENGINE
    columns = list(rows.columns)

    def played(
        codes: np.ndarray,
    ) -> np.ndarray:  # a coalition takes its columns from row 2, the rest from the background
        table = background.reset_index(drop=True).copy()
        for place, name in enumerate(columns):
            if codes[0, place] == 1:
                table[name] = rows[name].iloc[2]
        return model.predict_proba(table)[:, 1]

    expected = brute_force(played, np.ones(4), np.zeros((30, 4)))
    assert found.values is not None
    assert found.values[2] == pytest.approx(expected, abs=1e-12)


def test_a_preparation_that_mixes_columns_has_no_parents() -> None:
    from sklearn.decomposition import PCA

    table = pd.DataFrame({"a": [1.0, 2, 3], "a_b": [1.0, 0, 5], "k": ["x", "y", "x"], "l": ["u", "u", "v"]})
    hot = OneHotEncoder(drop="first")
    good = ColumnTransformer([("k", hot, ["k", "l"]), ("n", "passthrough", ["a_b", "a"])]).fit(table)
    assert parents(good, list(table.columns)) == (2, 3, 1, 0)
    mixed = ColumnTransformer([("p", PCA(2), ["a", "a_b"]), ("k", hot, ["k"])]).fit(table)
    assert parents(mixed, list(table.columns)) is None


@pytest.mark.full
def test_a_boosted_probability_is_sampled_and_the_reason_told(frame: pd.DataFrame) -> None:
    model = HistGradientBoostingClassifier(max_iter=3).fit(frame[NUMBERS], frame.label)
    found = assess_explanation(model, rows=frame[NUMBERS], background=frame[:10], max_rows=5)
    assert found.details["engine"] == sampled.ENGINE
    assert "no sum over its leaves" in found.details["why"] and "steadied" in found.details["why"]
    assert found.errors is not None and (found.errors > 0).any()
    assert "check" not in found.details


def test_trees_that_do_not_fit_fall_back_to_shap_with_the_reason(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_layout, "MAX_ENTRIES", 10)
    model = GradientBoostingClassifier(n_estimators=5).fit(frame[NUMBERS].to_numpy(), frame.label)
    found = assess_explanation(model, rows=frame[NUMBERS][:10], background=frame[:10], output="margin")
    assert found.details["engine"].startswith("shap.TreeExplainer")
    assert "more than 10 entries" in found.details["why"]


@pytest.mark.parametrize("wrong", ["base", "thresholds"])
def test_trees_read_wrongly_are_refused_loudly(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    read = tree_readers.read

    def misread(model, output):
        ensemble = read(model, output)
        if wrong == "base":
            return dataclasses.replace(ensemble, base=ensemble.base + 1e-6)
        trees = tuple(dataclasses.replace(tree, threshold=tree.threshold + 0.3) for tree in ensemble.trees)
        return dataclasses.replace(ensemble, trees=trees)

    monkeypatch.setattr(tree_readers, "read", misread)
    model = GradientBoostingClassifier(n_estimators=5).fit(frame[NUMBERS], frame.label)
    with pytest.raises(UnavailableError, match="miss the model's output"):
        assess_explanation(model, rows=frame[NUMBERS][:60], background=frame, output="margin")


def test_attributions_that_differ_from_shap_are_refused_loudly(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    shap_of = tree_explanation._shap
    monkeypatch.setattr(tree_explanation, "_shap", lambda *given: (shap_of(*given)[0][:, ::-1], "9"))
    model = GradientBoostingClassifier(n_estimators=5).fit(frame[NUMBERS], frame.label)
    with pytest.raises(UnavailableError, match="differ from shap"):
        assess_explanation(model, rows=frame[NUMBERS][:60], background=frame, output="margin")
