"""Closed forms of linear and additive models: exact on original columns, checked against the model, refused where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from ml_governance import assess_explanation
from ml_governance.assess import additive, logistic, sampled
from ml_governance.assess.prepared import parents
from ml_governance.errors import UnavailableError
from tests.assess.test_explanation import brute_force

NUMBERS = ["a", "b", "c"]
COLUMNS = ["a", "kind", "b", "c", "site"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 3)), columns=NUMBERS)
    frame["kind"] = random.choice(["x", "y", "z"], 300)
    frame["site"] = random.choice(["u", "v", "w", "q"], 300, p=[0.5, 0.4, 0.05, 0.05])
    frame["label"] = (frame.a + (frame.kind == "x") + random.normal(0, 0.5, 300) > 0).astype(int)
    frame["amount"] = 3 * frame.a - frame.b + (frame.site == "u") + random.normal(0, 0.1, 300)
    frame.loc[random.random(300) < 0.1, "b"] = np.nan
    return frame


def preparation(sparse: float = 0.3) -> ColumnTransformer:
    filled = Pipeline([("fill", SimpleImputer(add_indicator=True)), ("scale", StandardScaler())])
    return ColumnTransformer(
        [
            ("filled", filled, ["b", "c"]),
            ("spline", SplineTransformer(n_knots=4), ["a"]),
            ("hot", OneHotEncoder(drop="first", min_frequency=20), ["site", "kind"]),
            ("bins", make_pipeline(SimpleImputer(), KBinsDiscretizer(3)), ["c", "b"]),
        ],
        sparse_threshold=sparse,
    )


def played(call, row: pd.Series, background: pd.DataFrame):
    """Return the game of a row on coalitions of original columns."""

    def play(codes: np.ndarray) -> np.ndarray:
        table = background.reset_index(drop=True).copy()
        for place, name in enumerate(table.columns):
            if codes[0, place] == 1:
                table[name] = row[name]
        return call(table)

    return brute_force(play, np.ones(background.shape[1]), np.zeros(background.shape))


@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense", "sparse"])
def test_a_pipeline_is_explained_exactly_on_its_original_columns(frame: pd.DataFrame, sparse: float) -> None:
    model = make_pipeline(preparation(sparse), LogisticRegression()).fit(frame[COLUMNS], frame.label)
    rows, background = frame[COLUMNS][:40], frame[COLUMNS][100:130]
    found = assess_explanation(model, rows=rows, background=background, output="margin")
    assert found.details["engine"] == additive.ENGINE
    assert "own parts" in found.details["check"]
    assert found.get("additivity_error").value < 1e-9
    assert set(found.importance.index) == set(COLUMNS)
    assert found.values is not None
    for place in (0, 3):
        expected = played(model.decision_function, rows.iloc[place], background)
        assert found.values[place] == pytest.approx(expected, abs=1e-9)


def test_one_hot_parts_sum_to_what_shap_gives_them_together(frame: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what shap imports warns
        import shap

    prepare = ColumnTransformer([("n", StandardScaler(), ["c", "a"]), ("k", OneHotEncoder(), ["kind"])])
    model = make_pipeline(prepare, LogisticRegression()).fit(frame[["a", "kind", "c"]], frame.label)
    rows, background = frame[["a", "kind", "c"]][:50], frame[["a", "kind", "c"]]
    found = assess_explanation(model, rows=rows, background=background, output="margin")
    masker = shap.maskers.Independent(prepare.transform(background), max_samples=len(background))
    theirs = shap.LinearExplainer(model[-1], masker)(prepare.transform(rows)).values
    expected = np.column_stack([theirs[:, 1], theirs[:, 2:].sum(axis=1), theirs[:, 0]])
    assert found.values == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (LogisticRegression(), "margin"),
        (SGDClassifier(random_state=0), "margin"),
        (LinearSVC(), "margin"),
        (SVC(kernel="linear"), "margin"),
        (LinearDiscriminantAnalysis(), "margin"),
        (Ridge(), "probability"),
        (LinearRegression(), "probability"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("form", ["frame", "array", "pipeline"])
def test_every_linear_model_agrees_with_the_definition(frame: pd.DataFrame, model, output: str, form: str) -> None:
    rows = frame[["a", "c"]].assign(d=np.arange(300.0) % 7)
    model = make_pipeline(StandardScaler(), model) if form == "pipeline" else model
    model.fit(rows if form != "array" else rows.to_numpy(), frame.label if output == "margin" else frame.amount)
    found = assess_explanation(model, rows=rows[:30], background=rows[50:70], output=output)
    assert found.details["engine"] == additive.ENGINE
    call = model.decision_function if output == "margin" else model.predict
    expected = played(lambda t: call(t if form != "array" else t.to_numpy()), rows.iloc[7], rows[50:70])
    assert found.values is not None
    assert found.values[7] == pytest.approx(expected, abs=1e-9 * max(1.0, np.abs(expected).max()))


def test_of_several_classes_each_is_explained(frame: pd.DataFrame) -> None:
    model = LogisticRegression().fit(frame[["a", "c"]], frame.kind)
    found = assess_explanation(model, rows=frame[["a", "c"]][:20], background=frame[["a", "c"]][20:40], output="margin")
    expected = played(lambda t: model.decision_function(t)[:, -1], frame[["a", "c"]].iloc[4], frame[["a", "c"]][20:40])
    assert found.details["engine"] == additive.ENGINE
    assert found.values is not None
    assert found.values[4, :, -1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "label", "output"),
    [
        (LogisticRegression(), "label", "probability"),
        (PoissonRegressor(), "count", "probability"),
        (make_pipeline(PolynomialFeatures(2), LogisticRegression()), "label", "margin"),
        (make_pipeline(PCA(2), LogisticRegression()), "label", "margin"),
        (make_pipeline(FunctionTransformer(lambda t: t * t.sum(axis=1, keepdims=True)), LogisticRegression()), "label", "margin"),
        (SVC(kernel="rbf"), "label", "margin"),
    ],
    ids=["logistic link", "log link", "products", "mixed columns", "unknown function", "curved kernel"],
)  # fmt: skip
def test_what_is_no_sum_over_columns_gets_no_closed_form(frame: pd.DataFrame, model, label: str, output: str) -> None:
    rows = frame[["a", "c"]].to_numpy()
    model.fit(rows, frame.assign(count=np.arange(300) % 5)[label])
    found = assess_explanation(
        model, rows=frame[["a", "c"]], background=frame[["a", "c"]][:10], output=output, max_rows=10
    )
    assert found.details["engine"] == (
        logistic.ENGINE if output == "probability" and label == "label" else sampled.ENGINE
    )


def test_parents_follow_every_known_step_and_no_unknown_one(frame: pd.DataFrame) -> None:
    table = frame[["a", "b", "c"]].assign(empty=np.nan)
    imputed = SimpleImputer(add_indicator=True).fit(table)
    assert parents(imputed, list(table.columns)) == (0, 1, 2, 1, 3)
    union = FeatureUnion([("s", StandardScaler()), ("p", SplineTransformer(n_knots=3, degree=1))]).fit(
        frame[["a", "c"]]
    )
    assert parents(union, ["a", "c"]) == (0, 1, 0, 0, 0, 1, 1, 1)
    chosen = make_pipeline(StandardScaler(), SelectKBest(k=1)).fit(frame[["c", "a"]], frame.label)
    assert parents(chosen, ["c", "a"]) == (1,)
    constant = VarianceThreshold().fit(np.array([[1.0, 2, 3], [1, 3, 4]]))
    assert parents(constant, ["x", "y", "z"]) == (1, 2)
    placed = ColumnTransformer(
        [("s", StandardScaler(), [-1]), ("m", "passthrough", slice(0, 1)), ("b", "passthrough", [False, True, False])]
    ).fit(frame[["a", "c", "amount"]].to_numpy())
    assert parents(placed, ["a", "c", "amount"]) == (2, 0, 1)
    chooser = ColumnTransformer(
        [("o", OrdinalEncoder(), make_column_selector(dtype_exclude="number"))], remainder=FunctionTransformer(np.log1p)
    ).fit(frame[["a", "kind", "site"]].assign(a=1.0))
    assert parents(chooser, ["a", "kind", "site"]) == (1, 2, 0)
    twice = ColumnTransformer([("s", StandardScaler(), ["a"]), ("t", "passthrough", ["c", "a"])]).fit(frame[["a", "c"]])
    assert parents(twice, ["a", "c"]) == (0, 1, 0)
    assert parents(make_pipeline(StandardScaler(), PCA(2)).fit(frame[["a", "c"]]), ["a", "c"]) is None
    assert parents(StandardScaler().fit(frame[["a", "c"]]), ["a", "c", "b"]) is None


def test_parts_given_to_the_wrong_column_are_refused_loudly(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[["a", "c"]], frame.label)
    monkeypatch.setattr(additive, "parents", lambda *_: (1, 0))
    with pytest.raises(UnavailableError, match="one column alone moves by"):
        assess_explanation(model, rows=frame[["a", "c"]], background=frame[:50], output="margin")


def test_a_form_that_misses_the_output_is_refused_loudly(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    form = additive._form
    monkeypatch.setattr(additive, "_form", lambda *given: (form(*given)[0], form(*given)[1] + 1e-6, False))
    model = LogisticRegression().fit(frame[["a", "c"]], frame.label)
    with pytest.raises(UnavailableError, match="miss the model's output"):
        assess_explanation(model, rows=frame[["a", "c"]], background=frame[:50], output="margin")


@settings(max_examples=25, deadline=None)
@given(st.permutations(["a", "kind", "c", "site"]), st.integers(0, 1000))
def test_the_order_of_columns_changes_nothing(order: list[str], seed: int) -> None:
    random = np.random.default_rng(seed)
    table = pd.DataFrame({
        "a": random.normal(size=60), "kind": random.choice(["x", "y"], 60), "c": random.integers(0, 9, 60),
        "site": random.choice(["u", "v", "w"], 60),
    })  # fmt: skip
    label = random.normal(size=60)

    def explained(columns: list[str]) -> pd.DataFrame:
        prepare = ColumnTransformer([("k", OneHotEncoder(), ["kind", "site"])], remainder="passthrough")
        model = make_pipeline(prepare, Ridge()).fit(table[columns], label)
        found = assess_explanation(model, rows=table[columns], background=table[:20])
        return pd.DataFrame(found.values, columns=columns)

    expected = explained(list(table.columns))
    assert explained(order)[expected.columns].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-9)


def test_the_forests_and_boosters_follow_longer_preparations_too(frame: pd.DataFrame) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    prepare = ColumnTransformer([("k", OneHotEncoder(), ["kind"])], remainder=SimpleImputer(add_indicator=True))
    model = Pipeline(
        [("p", prepare), ("s", StandardScaler(with_mean=False)), ("fit", GradientBoostingClassifier(n_estimators=5))]
    )
    model.fit(frame[["a", "kind", "b"]], frame.label)
    rows, background = frame[["a", "kind", "b"]][:20], frame[["a", "kind", "b"]][50:80]
    found = assess_explanation(model, rows=rows, background=background, output="margin")
    assert found.details["engine"].startswith("ml_governance tree tables")
    assert found.values is not None
    assert found.values[2] == pytest.approx(played(model.decision_function, rows.iloc[2], background), abs=1e-12)


def test_a_pipeline_fitted_without_names_is_followed_by_position(frame: pd.DataFrame) -> None:
    from sklearn.ensemble import RandomForestClassifier

    for last, output in (
        (LogisticRegression(), "margin"),
        (RandomForestClassifier(5, max_depth=3, random_state=0), "probability"),
    ):
        model = make_pipeline(StandardScaler(), last).fit(frame[["a", "c"]].to_numpy(), frame.label)
        found = assess_explanation(
            model, rows=frame[["a", "c"]][:20], background=frame[["a", "c"]][50:70], output=output
        )
        assert found.details["engine"].startswith("ml_governance")
        call = model.decision_function if output == "margin" else lambda t, m=model: m.predict_proba(t)[:, 1]
        expected = played(lambda t, call=call: call(t.to_numpy()), frame[["a", "c"]].iloc[3], frame[["a", "c"]][50:70])
        assert found.values is not None
        assert found.values[3] == pytest.approx(expected, abs=1e-9)
