"""Probabilities behind a sum and a logistic link: the integral equals the definition, and a wrong link is loud."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance import assess_explanation
from ml_governance.assess import additive, logistic, sampled
from ml_governance.errors import UnavailableError
from tests.assess.test_explanation import brute_force


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.floats(0, 9), st.floats(-5, 5), st.integers(0, 10_000))
def test_the_integral_equals_the_definition_for_any_parts(
    columns: int, spread: float, constant: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    parts, compared = random.uniform(-spread, spread, (2, columns)), random.uniform(-spread, spread, (5, columns))
    compared[0] = parts[0]

    def play(matrix: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(expit(constant + matrix.sum(axis=1)))

    found = logistic.values(parts, compared, constant)
    for row, values in zip(parts, found, strict=True):
        assert values == pytest.approx(brute_force(play, row, compared), abs=1e-12)


def people() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 3)), columns=["a", "b", "c"])
    frame["kind"] = random.choice(["x", "y", "z"], 300)
    frame["label"] = (2 * frame.a - frame.b + (frame.kind == "x") + random.normal(0, 0.5, 300) > 0).astype(int)
    return frame


@pytest.mark.parametrize(
    "last", [LogisticRegression(), LinearDiscriminantAnalysis(), SGDClassifier(loss="log_loss", random_state=0)]
)
def test_the_probability_of_a_pipeline_is_exact_on_original_columns(last) -> None:  # type: ignore[no-untyped-def]
    frame = people()
    columns = ["a", "b", "c", "kind"]
    hot = OneHotEncoder(sparse_output=False)
    prepare = ColumnTransformer([("n", StandardScaler(), ["a", "b", "c"]), ("k", hot, ["kind"])])
    model = make_pipeline(prepare, last).fit(frame[columns], frame.label)
    rows, background = frame[columns][:20], frame[columns][50:80].reset_index(drop=True)
    found = assess_explanation(model, rows=rows, background=background)
    assert found.details["engine"] == logistic.ENGINE
    assert found.get("additivity_error").value < 1e-11  # type: ignore[operator]

    def played(codes: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        table = background.copy()
        for place, name in enumerate(columns):
            if codes[0, place] == 1:
                table[name] = rows[name].iloc[2]
        return np.asarray(model.predict_proba(table)[:, 1])

    assert found.values is not None and found.errors is None
    assert found.values[2] == pytest.approx(brute_force(played, np.ones(4), np.zeros((30, 4))), abs=1e-11)


def test_another_link_is_refused_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = people()
    model = SGDClassifier(loss="modified_huber", random_state=0).fit(frame[["a", "b"]], frame.label)
    found = assess_explanation(model, rows=frame[["a", "b"]][:10], background=frame[:10])
    assert found.details["engine"] == sampled.ENGINE
    monkeypatch.setattr(additive, "logistic", lambda _: True)
    with pytest.raises(UnavailableError, match="probability miss the model's output"):
        assess_explanation(model, rows=frame[["a", "b"]][:10], background=frame[:10])


@pytest.mark.parametrize("scale", [np.inf, np.nan, 1e6])
def test_margins_too_large_for_quadrature_do_not_fit(scale: float) -> None:
    assert logistic.fits(np.ones((2, 3)), np.ones((2, 3)), 0.0)
    assert not logistic.fits(np.full((2, 3), scale), np.ones((2, 3)), 0.0)
    assert not logistic.fits(np.ones((10**5, 3)), np.ones((10**5, 3)), 0.0)
