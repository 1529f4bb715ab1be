"""Boosters read from their own libraries: what we say of their trees is what the libraries compute themselves."""

from __future__ import annotations

import importlib
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_governance import assess_explanation
from ml_governance.assess import tree_boosters, tree_explanation
from ml_governance.assess.tree_kernel import TreeKernel
from ml_governance.assess.trees import TreesRefusedError
from tests.assess.test_tree_kernel import shapley_of_model

KINDS = ["two classes", "three classes", "number"]
TYPES = ["q"] * 4 + ["c", "q"]
CATEGORIES = 4
SINGLE = 2e-6


def table(kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(800, 6)).astype(np.float32).astype(np.float64)
    X[:, CATEGORIES] = random.integers(0, 6, 800)
    X[:, 5] = 1.0
    X[random.random(800) < 0.15, 0] = np.nan
    y = np.where(np.isnan(X[:, 0]), 0.7, X[:, 0]) * X[:, 1] + (X[:, CATEGORIES] == 2) * 2 + random.normal(0, 0.3, 800)
    return X, {"two classes": (y > 0) * 1, "three classes": np.digitize(y, [-0.5, 0.8]), "number": y}[kind]


def fitted(library: str, kind: str, X: np.ndarray, y: np.ndarray):
    """Fit a model, and return it with its margin and its own attributions, both for a matrix."""
    module = importlib.import_module(library)
    regresses = kind == "number"
    if library == "xgboost":
        options = {"n_estimators": 15, "max_depth": 5, "n_jobs": 1, "enable_categorical": True, "max_cat_to_onehot": 2}
        model = (module.XGBRegressor if regresses else module.XGBClassifier)(feature_types=TYPES, **options).fit(X, y)

        def own(rows):
            matrix = module.DMatrix(rows, feature_types=TYPES, enable_categorical=True)
            return model.get_booster().predict(matrix, pred_contribs=True)

        return model, lambda rows: model.predict(rows, output_margin=True), own
    if library == "lightgbm":
        made = (module.LGBMRegressor if regresses else module.LGBMClassifier)(n_estimators=15, verbose=-1, n_jobs=1)
        model = made.fit(X, y, categorical_feature=[CATEGORIES])
        return (
            model,
            lambda rows: model.predict(rows, raw_score=True),
            lambda rows: model.predict(rows, pred_contrib=True),
        )
    options = {"iterations": 15, "depth": 5, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    model = (module.CatBoostRegressor if regresses else module.CatBoostClassifier)(**options).fit(X, y)
    return (
        model,
        lambda rows: model.predict(rows, prediction_type="RawFormulaVal"),
        lambda rows: model.get_feature_importance(module.Pool(rows), type="ShapValues"),
    )


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the boosters warn about names of columns
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_attributions_are_the_shapley_values_of_the_librarys_own_margin(library: str, kind: str) -> None:
    X, y = table(kind)
    model, margin, _ = fitted(library, kind, X, y)
    expected = np.asarray(margin(X), dtype=np.float64).reshape(len(X), -1)
    tolerance = (SINGLE if library == "xgboost" else 1e-9) * np.ptp(expected)
    background = X[100:125]
    kernel = TreeKernel.of(tree_boosters.read(model, "margin"), background=background)
    found = kernel.values(X)
    assert np.abs(found.sum(axis=1) + kernel.base - expected).max() < tolerance
    assert tree_boosters.margin(model, X) == pytest.approx(expected if expected.shape[1] > 1 else expected[:, 0])
    for row in (0, int(np.flatnonzero(np.isnan(X[:, 0]))[0])):
        oracle = shapley_of_model(lambda rows: np.asarray(margin(rows), dtype=np.float64), X[row], background)
        assert found[row] == pytest.approx(oracle, abs=tolerance)
    assert not found[:, 5].any()  # the column that never changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_by_covers_attributions_are_the_librarys_own(library: str, kind: str) -> None:
    X, y = table(kind)
    model, margin, own = fitted(library, kind, X, y)
    ensemble = tree_boosters.read(model, "margin")
    assert any((tree.cover == 0).any() if library == "catboost" else tree.members for tree in ensemble.trees)
    theirs = np.asarray(own(X)).reshape(len(X), -1, 7)[:, :, :6].transpose(0, 2, 1)
    tolerance = (SINGLE if library == "xgboost" else 1e-9) * np.ptp(margin(X))
    assert np.abs(TreeKernel.of(ensemble).values(X) - theirs).max() < tolerance


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_the_margin_of_a_booster_is_explained_by_tables_and_its_probability_is_not(library: str) -> None:
    X, y = table("two classes")
    X[:, CATEGORIES] = X[:, CATEGORIES - 1]
    X = np.nan_to_num(X)
    module = importlib.import_module(library)
    make = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier", "catboost": "CatBoostClassifier"}[library]
    silent = {"lightgbm": {"verbose": -1}, "catboost": {"verbose": 0, "allow_writing_files": False}}.get(library, {})
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = getattr(module, make)(n_estimators=10, **silent).fit(frame, y)
    found = assess_explanation(model, rows=frame[:30], background=frame[100:300], output="margin")
    assert found.details["engine"] == tree_explanation.ENGINE
    assert found.details["check"].startswith("equal to shap")
    with pytest.raises(TreesRefusedError, match="no sum over its leaves"):
        tree_boosters.read(model, "probability")


def test_catboost_of_several_classes_is_not_given_to_shap_which_reads_past_its_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = table("three classes")
    model, margin, _ = fitted("catboost", "three classes", X, y)
    given = []
    monkeypatch.setattr(tree_explanation, "_shap", lambda *_: given.append(1) or (np.zeros((3, 6, 3)), "0"))
    frame = pd.DataFrame(X, columns=list("abcdef"))
    found = assess_explanation(model, rows=frame[:30], background=frame[100:130], output="margin")
    assert not given
    assert found.details["check"].startswith("not compared with shap")
    assert found.values is not None and found.table is not None
    assert found.values.sum(axis=1) + found.base == pytest.approx(margin(found.table.to_numpy()), abs=1e-9)


def test_trees_of_a_form_that_is_not_read_are_refused() -> None:
    import lightgbm
    import xgboost

    X, y = table("two classes")
    X = np.nan_to_num(X)
    count = np.arange(800) % 5
    refused = [
        (xgboost.XGBClassifier(n_estimators=2, booster="dart").fit(X, y), "margin", "booster is dart"),
        (xgboost.XGBClassifier(n_estimators=2, missing=0.0).fit(X, y), "margin", "takes 0.0 for missing"),
        (xgboost.XGBRegressor(n_estimators=2, objective="count:poisson").fit(X, count), "probability", "link"),
        (
            lightgbm.LGBMClassifier(n_estimators=2, zero_as_missing=True, verbose=-1).fit(X, y),
            "margin",
            "zero for missing",
        ),
        (lightgbm.LGBMClassifier(n_estimators=2, linear_tree=True, verbose=-1).fit(X, y), "margin", "linear models"),
        (lightgbm.LGBMRegressor(n_estimators=2, objective="poisson", verbose=-1).fit(X, count), "probability", "link"),
    ]
    for model, output, said in refused:
        with pytest.raises(TreesRefusedError, match=said):
            tree_boosters.read(model, output)  # type: ignore[arg-type]


def test_a_catboost_model_saved_without_the_weights_of_its_leaves_is_refused_by_covers_alone() -> None:
    X, y = table("two classes")
    model, margin, _ = fitted("catboost", "two classes", X, y)
    document = catboost_document(model)
    for tree in document["oblivious_trees"]:
        del tree["leaf_weights"]
    ensemble = tree_boosters.from_catboost(document)
    with pytest.raises(TreesRefusedError, match="cover 0"):
        TreeKernel.of(ensemble)
    kernel = TreeKernel.of(ensemble, background=X[:20])
    assert kernel.values(X).sum(axis=1)[:, 0] + kernel.base == pytest.approx(margin(X), abs=1e-9)


def catboost_document(model) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(f"{folder}/model.json", format="json")
        return json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))


def test_rounds_that_early_stopping_discards_are_not_read() -> None:
    import xgboost

    X, y = table("two classes")
    noise = np.random.default_rng(1).permutation(y)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=5, learning_rate=0.5)
    model.fit(X, noise, eval_set=[(X[:200], y[:200])], verbose=False)
    assert model.best_iteration + 1 < len(model.get_booster().get_dump())
    kernel = TreeKernel.of(tree_boosters.read(model, "margin"), background=X[:20])
    expected = tree_boosters.margin(model, X)
    assert np.abs(kernel.values(X).sum(axis=1)[:, 0] + kernel.base - expected).max() < SINGLE * np.ptp(expected)
