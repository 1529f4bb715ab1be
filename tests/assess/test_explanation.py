from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance import assess_explanation
from ml_governance.errors import DataError

NUMBERS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(300, 3)), columns=NUMBERS)
    frame["kind"] = generator.choice(["x", "y", "z"], 300)
    frame["group"] = generator.choice(["f", "m"], 300)
    frame["label"] = (frame.a + (frame.kind == "x") + generator.normal(0, 0.5, 300) > 0).astype(int)
    return frame


def brute_force(play, row: np.ndarray, background: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def,type-arg]
    """Shapley values by their definition, over every coalition."""
    m = len(row)

    def worth(coalition: tuple[int, ...]) -> float:
        mixed = background.copy()
        mixed[:, list(coalition)] = row[list(coalition)]
        return float(play(mixed).mean())

    values = np.zeros(m)
    for player in range(m):
        others = [i for i in range(m) if i != player]
        for size in range(m):
            weight = math.factorial(size) * math.factorial(m - size - 1) / math.factorial(m)
            for coalition in itertools.combinations(others, size):
                values[player] += weight * (worth((*coalition, player)) - worth(coalition))
    return values


# shap's tree explainer compares in single precision, so background values next to a threshold cost it a little.
@pytest.mark.parametrize(
    ("model", "tolerance"),
    [(LogisticRegression(), 1e-9), (HistGradientBoostingClassifier(max_iter=10), 1e-3)],
    ids=["linear", "trees"],
)
def test_the_exact_engines_give_shapley_values_of_the_margin(frame: pd.DataFrame, model, tolerance: float) -> None:  # type: ignore[no-untyped-def]
    model = model.fit(frame[NUMBERS].to_numpy(), frame.label)
    rows, background = frame[NUMBERS][:10], frame[NUMBERS][100:140]
    found = assess_explanation(model, rows=rows, background=background, output="margin")
    assert "walks" not in found.details["engine"]
    assert found.get("additivity_error").value < tolerance  # type: ignore[operator]
    expected = brute_force(model.decision_function, rows.to_numpy()[3], background.to_numpy())
    assert found.values is not None
    assert found.values[3] == pytest.approx(expected, abs=tolerance)


def test_text_columns_are_explained_as_one_column_each(frame: pd.DataFrame) -> None:
    prepare = ColumnTransformer([("n", StandardScaler(), NUMBERS), ("k", OneHotEncoder(), ["kind"])])
    model = Pipeline([("prepare", prepare), ("fit", LogisticRegression())]).fit(frame[[*NUMBERS, "kind"]], frame.label)
    found = assess_explanation(
        model, rows=frame[[*NUMBERS, "kind"]], background=frame[:30], sensitive_features=frame["group"], max_rows=60
    )
    assert list(found.importance.index)[:2] in (["a", "kind"], ["kind", "a"])
    assert set(found.importance.index) == {*NUMBERS, "kind"}
    assert found.get("additivity_error").value < 1e-9  # type: ignore[operator]
    assert found.details["output"] == "probability"
    assert found.get("protected_share").value == 0.0


def test_a_sensitive_input_is_told(frame: pd.DataFrame) -> None:
    sensitive = frame.assign(group=(frame.group == "f").astype(float))
    model = LogisticRegression().fit(sensitive[["a", "group"]], sensitive.group)
    found = assess_explanation(
        model,
        rows=sensitive[["a", "group"]],
        background=sensitive[:20],
        sensitive_features=sensitive[["group"]],
        max_rows=40,
    )
    assert found.get("protected_share").value > 0.5  # type: ignore[operator]


def test_the_same_inputs_give_the_same_bytes_and_leave_the_random_state_alone(frame: pd.DataFrame) -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(frame[NUMBERS], frame.label)
    options = {"rows": frame[NUMBERS], "background": frame[:20], "max_rows": 20, "seed": 4}
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    one, two = (assess_explanation(model, **options).to_json() for _ in range(2))
    assert one == two
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index] # noqa: NPY002


def test_bad_input_is_named(frame: pd.DataFrame) -> None:
    model = LogisticRegression().fit(frame[NUMBERS], frame.label)
    with pytest.raises(DataError, match="nothing to explain"):
        assess_explanation(model, rows=frame[NUMBERS][:0], background=frame)
    with pytest.raises(DataError, match="lack c"):
        assess_explanation(model, rows=frame[["a", "b"]], background=frame)

    class Broken:
        feature_names_in_ = np.array(NUMBERS)

        def predict_proba(self, table: pd.DataFrame) -> np.ndarray:  # type: ignore[type-arg]
            return np.full((len(table), 2), np.nan)

    with pytest.raises(DataError, match="not finite"):
        assess_explanation(Broken(), rows=frame[NUMBERS], background=frame[:5], max_rows=5)
