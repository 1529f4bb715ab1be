from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from ml_governance.assess.mitigation import MitigationReport, _paired, compare_mitigations
from ml_governance.assess.mitigators import MITIGATORS
from ml_governance.errors import DataError


def biased(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:  # type: ignore[type-arg]
    generator = np.random.default_rng(seed)
    sex = pd.Series(generator.choice(["Female", "Male"], n), name="sex")
    skill = generator.normal(size=n)
    proxy = (sex == "Male") + generator.normal(scale=0.5, size=n)
    y = (skill + 1.2 * (sex == "Male") + generator.normal(size=n) > 0.6).astype(int).to_numpy()
    return pd.DataFrame({"skill": skill, "proxy": proxy}), y, sex


@pytest.fixture(scope="module")
def made() -> MitigationReport:
    (x, y, a), (x2, y2, a2) = biased(1500, 0), biased(1200, 1)
    return compare_mitigations(
        LogisticRegression(), x, y, x2, y2, sensitive_features_train=a, sensitive_features_test=a2
    )


def test_every_mitigator_narrows_the_gap_that_the_baseline_has(made: MitigationReport) -> None:
    frame = made.to_frame()
    assert list(frame.index) == ["baseline", *MITIGATORS]
    assert (frame["status"] == "ok").all()
    gaps = frame["demographic_parity_difference"]
    assert gaps["baseline"] > 0.2
    assert (gaps.drop("baseline") < gaps["baseline"] / 2).all()
    lower, upper = frame["demographic_parity_difference_lower"], frame["demographic_parity_difference_upper"]
    assert ((lower <= gaps) & (gaps <= upper)).all()


def test_the_numbers_are_those_of_fairlearn_and_sklearn(made: MitigationReport) -> None:
    (x, y, a), (x2, y2, a2) = biased(1500, 0), biased(1200, 1)
    plain = LogisticRegression().fit(x, y).predict(x2)
    theirs = ThresholdOptimizer(estimator=LogisticRegression(), predict_method="auto").fit(x, y, sensitive_features=a)
    post = theirs.predict(x2, sensitive_features=a2, random_state=0)
    frame = made.to_frame()
    for name, predicted in (("baseline", plain), ("threshold_optimizer", post)):
        assert frame.loc[name, "accuracy"] == pytest.approx(accuracy_score(y2, predicted))
        assert frame.loc[name, "demographic_parity_difference"] == pytest.approx(
            demographic_parity_difference(y2, predicted, sensitive_features=a2)
        )
    assert frame.loc["threshold_optimizer", "changed"] == (plain != post).sum()
    assert frame.loc["threshold_optimizer", "accuracy_change"] == pytest.approx(
        accuracy_score(y2, post) - accuracy_score(y2, plain)
    )


def test_the_same_seed_gives_the_same_report(made: MitigationReport) -> None:
    (x, y, a), (x2, y2, a2) = biased(1500, 0), biased(1200, 1)
    again = compare_mitigations(
        LogisticRegression(), x, y, x2, y2, sensitive_features_train=a, sensitive_features_test=a2
    )
    assert again.to_dict() == made.to_dict()


def test_each_candidate_says_when_it_needs_the_sensitive_features_and_can_be_used(made: MitigationReport) -> None:
    needs = made.to_frame()["needs_sensitive_features"].to_dict()
    assert needs == {
        "baseline": "no", "exponentiated_gradient": "training",
        "threshold_optimizer": "prediction", "correlation_remover": "prediction",
    }  # fmt: skip
    chosen = made.get("exponentiated_gradient")
    assert chosen.randomised and chosen.fairness is not None
    assert chosen.model.predict(biased(5, 3)[0]).shape == (5,)
    with pytest.raises(KeyError):
        made.get("magic")


def test_a_mitigator_that_fails_is_told_and_the_others_stand() -> None:
    (x, y, a), (x2, y2, a2) = biased(400, 0), biased(300, 1)

    class NoWeights(LogisticRegression):
        def fit(self, X, y):  # type: ignore[no-untyped-def]
            return super().fit(X, y)

    report = compare_mitigations(NoWeights(), x, y, x2, y2, sensitive_features_train=a, sensitive_features_test=a2)
    failed = report.get("exponentiated_gradient")
    assert failed.status == "failed" and "TypeError" in (failed.reason or "")
    assert failed.fairness is None
    assert report.get("threshold_optimizer").status == "ok"
    assert "failed: TypeError" in report.to_html()
    assert math.isnan(report.to_frame()["accuracy"]["exponentiated_gradient"])
    json.dumps(report.to_dict(), allow_nan=False)


def test_text_columns_fail_only_where_numbers_are_needed() -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    (x, y, a), (x2, y2, a2) = biased(400, 0), biased(300, 1)
    for frame in (x, x2):
        frame["town"] = np.where(frame["proxy"] > 0, "x", "y")
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough"), LogisticRegression()
    )
    report = compare_mitigations(
        model, x, y, x2, y2, sensitive_features_train=a, sensitive_features_test=a2,
        mitigators=["threshold_optimizer", "correlation_remover"],
    )  # fmt: skip
    assert report.get("threshold_optimizer").status == "ok"
    assert report.get("correlation_remover").status == "failed"


def test_string_labels_other_constraints_and_several_attributes() -> None:
    (x, y, a), (x2, y2, a2) = biased(800, 0), biased(700, 1)
    generator = np.random.default_rng(0)

    def groups(sex: pd.Series) -> pd.DataFrame:
        return pd.DataFrame({"sex": sex, "region": generator.choice(["n", "s"], len(sex))})

    report = compare_mitigations(
        LogisticRegression(), x, np.where(y, "good", "bad"), x2, np.where(y2, "good", "bad"), pos_label="good",
        sensitive_features_train=groups(a), sensitive_features_test=groups(a2), constraints="equalized_odds",
        mitigators=["threshold_optimizer"],
    )  # fmt: skip
    assert report.gap == "equalized_odds_difference" and report.by == ("sex", "region")
    assert report.get("threshold_optimizer").status == "ok"
    assert report.get("baseline").accuracy_change is None
    assert "sex x region" in report._repr_html_() and "threshold_optimizer" in repr(report)


def test_the_interval_of_the_paired_change_covers_what_it_says() -> None:
    generator = np.random.default_rng(5)
    n, gain, loss, covered = 150, 0.10, 0.04, 0
    for _ in range(1500):
        kind = generator.choice(3, n, p=[gain, loss, 1 - gain - loss])
        true = np.ones(n, dtype=np.uint8)
        base, other = (kind != 0).astype(np.uint8), (kind != 1).astype(np.uint8)
        made = _paired(true, base, other, 0.95)
        covered += made["change_lower"] <= gain - loss <= made["change_upper"]
    assert 0.935 <= covered / 1500 <= 0.985


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"constraints": "fairness"}, "no constraint"),
        ({"mitigators": ["magic"]}, "no mitigator"),
        ({"y_train": np.zeros(400, dtype=int)}, "all alike"),
        ({"sensitive_features_test": pd.Series(["a"] * 300, name="race")}, "sex in training and race"),
        ({"X_train": pd.DataFrame({"skill": ["a"] * 400})}, "cannot be fitted: ValueError"),
        ({"confidence": 95}, "confidence"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(change: dict[str, object], words: str) -> None:
    (x, y, a), (x2, y2, a2) = biased(400, 0), biased(300, 1)
    arguments = {
        "X_train": x, "y_train": y, "X_test": x2, "y_test": y2, "sensitive_features_train": a, "sensitive_features_test": a2,
    }  # fmt: skip
    with pytest.raises(DataError, match=words):
        compare_mitigations(LogisticRegression(), **{**arguments, **change})  # type: ignore[arg-type]
