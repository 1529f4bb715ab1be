"""One call for every kind: the same numbers as the single calls, fewer questions to the model, and nothing left out in silence."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import ml_governance as gov
from ml_governance.assess import overlap, predicting, proxies
from ml_governance.assess.audit import KINDS
from ml_governance.assess.prepared import prepared as steps_before
from ml_governance.errors import DataError, UsageError
from ml_governance.evidence import fingerprint

FEATURES = ["income", "debt"]


def rows(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": generator.normal(3, 1, n),
            "debt": generator.normal(0, 1, n),
            "sex": generator.choice(["Female", "Male"], n),
        }
    )
    return frame.assign(repaid=(frame.income - frame.debt / 2 + generator.normal(0, 1, n) > 3).astype(int))


class Counting:
    """A model that counts how many rows it was asked about."""

    def __init__(self, model: Any) -> None:
        self.model, self.labels, self.scores = model, 0, 0
        self.feature_names_in_, self.classes_ = model.feature_names_in_, model.classes_

    def predict(self, table: pd.DataFrame) -> Any:
        self.labels += len(table)
        return self.model.predict(table)

    def predict_proba(self, table: pd.DataFrame) -> Any:
        self.scores += len(table)
        return self.model.predict_proba(table)


TEST, TRAIN = rows(600, 0), rows(500, 1)
MODEL = LogisticRegression().fit(TRAIN[FEATURES], TRAIN["repaid"])
FAST = ("performance", "fairness", "robustness", "data-quality", "privacy", "security-scan")
"""All but the explanation, whose engine takes seconds to load."""


def audit(**options: Any) -> gov.AuditReport:
    return gov.audit(MODEL, TEST, "repaid", **{"sensitive_features": ["sex"], "train": TRAIN, "kinds": FAST, **options})


def numbers(report: Any) -> list[Any]:
    return [one.to_wire() for one in report.measurements]


def test_every_kind_that_was_asked_for_is_measured_or_says_why_not() -> None:
    found = audit(kinds=KINDS)
    assert {*found.reports, *found.unmeasured} == set(KINDS)
    assert set(found.unmeasured) == {"security-scan"}
    assert "files are not given" in found.unmeasured["security-scan"].reason
    with pytest.raises(DataError, match="security-scan was not measured"):
        _ = found.security_scan
    with pytest.raises(AttributeError):
        _ = found.beauty
    frame = found.to_frame()
    assert set(frame["kind"]) == set(KINDS)
    assert frame.loc[frame["kind"] == "security-scan", "status"].tolist() == ["undefined"]
    assert "security-scan was not measured" in found._repr_html_()


def test_the_numbers_are_those_of_the_single_calls() -> None:
    found = audit()
    y_pred, y_score = MODEL.predict(TEST[FEATURES]), MODEL.predict_proba(TEST[FEATURES])[:, 1]
    told = {"y_true": TEST.repaid, "y_pred": y_pred, "y_score": y_score, "sensitive_features": TEST[["sex"]]}
    features = TEST.drop(columns="repaid")
    assert numbers(found.performance) == numbers(gov.assess_performance(**told, slice_by=features, seed=0))
    assert numbers(found.fairness) == numbers(gov.assess_fairness(**told))
    assert numbers(found.robustness) == numbers(
        gov.assess_robustness(MODEL, rows=features, y_true=TEST.repaid, sensitive_features=TEST[["sex"]])
    )
    assert numbers(found.data_quality) == numbers(
        gov.assess_data(TEST, y_true="repaid", sensitive_features=["sex"], training=TRAIN)
    )
    both = pd.concat([TRAIN, TEST], ignore_index=True)
    single = gov.assess_privacy(
        member=np.arange(len(both)) < len(TRAIN), y_true=both.repaid, y_score=MODEL.predict_proba(both[FEATURES])[:, 1],
        sensitive_features=both[["sex"]],
    )  # fmt: skip
    assert numbers(found.privacy) == numbers(single)


def test_the_model_is_asked_once_about_the_rows_and_once_about_training_rows() -> None:
    model = Counting(MODEL)
    gov.audit(
        model, TEST, "repaid", sensitive_features="sex", train=TRAIN, kinds=("performance", "fairness", "privacy")
    )
    assert (model.labels, model.scores) == (1100, 1100)


def test_the_rows_are_digested_once_for_all_reports_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    digested = []
    real = fingerprint.table
    monkeypatch.setattr(fingerprint, "table", lambda data: digested.append(len(data)) or real(data))
    found = audit()
    assert digested == []
    sources = {report.inputs().sha256 for report in found.reports.values()}
    assert (sources, digested) == ({real(TEST).sha256}, [600])
    assert found.dataset.rows == 600


def test_the_same_rows_give_the_same_dict_whatever_the_time() -> None:
    first, second = (audit(clock=iter(range(start, start + 99)).__next__) for start in (0, 1000))
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())
    assert set(first.seconds) == {*FAST, "overlap", "predictions"}
    assert set(first.seconds.values()) == {1}


def test_without_training_rows_membership_is_undefined_and_says_so() -> None:
    one = audit(train=None).privacy.get("membership_auc")
    assert (one.status, one.value, one.reason) == ("undefined", None, "there are no training rows")


def test_rows_that_the_model_was_trained_on_do_not_pass_for_strangers() -> None:
    mixed = pd.concat([TEST, TRAIN.iloc[:100]], ignore_index=True)
    found = gov.audit(MODEL, mixed, "repaid", train=TRAIN, kinds=("privacy",))
    assert found.privacy.details["membership"]["left_out"] == 100
    assert found.privacy.details["membership"]["other_rows"] == 600
    every = gov.audit(MODEL, TRAIN, "repaid", train=TRAIN, kinds=("privacy",))
    assert every.unmeasured["privacy"].reason == "every row is a training row"


def test_one_kind_that_fails_does_not_take_the_others_with_it() -> None:
    found = gov.audit(MODEL, TEST, "repaid", kinds=("performance", "fairness"))
    assert found.unmeasured["fairness"].reason == "there are no groups to compare"
    assert found.performance.get("accuracy").status == "ok"


def test_what_cannot_be_meant_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match="beauty"):
        audit(kinds=("beauty",))
    with pytest.raises(DataError, match="no column 'sx'"):
        audit(sensitive_features=["sx"])
    with pytest.raises(DataError, match="the training rows have no column"):
        audit(train=TRAIN.drop(columns="repaid"))
    with pytest.raises(DataError, match="is the label"):
        gov.audit(LogisticRegression().fit(TRAIN[["income", "repaid"]], TRAIN.repaid), TEST, "repaid")


def test_labels_may_be_given_apart_and_are_part_of_the_rows_then() -> None:
    apart = gov.audit(MODEL, TEST.drop(columns="repaid"), TEST["repaid"], sensitive_features="sex", kinds=("fairness",))
    assert numbers(apart.fairness) == numbers(audit(kinds=("fairness",)).fairness)
    assert apart.dataset.sha256 == fingerprint.table(TEST).sha256


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_models_of_several_classes_and_of_numbers_are_attacked_with_their_own_losses(task: str) -> None:
    if task == "regression":
        test, train = TEST.assign(repaid=TEST.income * 2.0), TRAIN.assign(repaid=TRAIN.income * 2.0)
        model: Any = LinearRegression().fit(train[FEATURES], train.repaid)
    else:
        test, train = (
            one.assign(repaid=pd.cut(one.income, 3, labels=["c", "a", "b"]).astype(str)) for one in (TEST, TRAIN)
        )
        model = LogisticRegression().fit(train[FEATURES], train.repaid)
    found = gov.audit(
        model, test, "repaid", sensitive_features="sex", train=train, task=task, kinds=("fairness", "explanation", "privacy")
    )  # fmt: skip
    auc = found.privacy.get("membership_auc")
    if task == "multiclass":
        assert found.explanation.details["classes"] == ["a", "b", "c"]
        own = [
            -np.log(
                model.predict_proba(one[FEATURES])[np.arange(len(one)), np.searchsorted(model.classes_, one.repaid)]
            )
            for one in (train, test)
        ]
        inside, outside = own
        expected = np.mean(inside[:, None] < outside) + np.mean(inside[:, None] == outside) / 2
        assert auc.value == pytest.approx(expected, abs=1e-9)
    assert found.privacy.details["membership"]["loss"] == ("log loss" if task == "multiclass" else "absolute error")


def test_an_interrupted_audit_returns_nothing() -> None:
    class Stopped(Counting):
        def predict(self, table: pd.DataFrame) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gov.audit(Stopped(MODEL), TEST, "repaid", kinds=("performance",))


def test_columns_are_not_coded_after_all_rows_are_known_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = []
    real = overlap.coded
    monkeypatch.setattr(overlap, "coded", lambda name, tables: coded.append(name) or real(name, tables))
    generator = np.random.default_rng(2)
    wide = pd.DataFrame(generator.normal(size=(3000, 12)), columns=[f"x{at}" for at in range(12)])
    assert overlap.shared_rows(wide[:1500], wide[1500:]) == 0
    assert len(coded) < 12


def test_robustness_of_some_rows_is_that_of_rows_drawn_from_all() -> None:
    features = TEST.drop(columns="repaid")
    some = gov.assess_robustness(
        MODEL, rows=features, y_true=TEST.repaid, sensitive_features=TEST[["sex"]], max_rows=200
    )
    assert (some.details["rows"], some.details["drawn_from"]) == (200, 600)
    assert some.get("repeat_flip_rate").n == some.get("noise_unstable_rate").n == 200
    assert sum(one.n for one in some.measurements if one.metric == "repeat_flip_rate" and one.by) == 200
    assert "drawn_from" not in gov.assess_robustness(MODEL, rows=features, max_rows=600).details
    with pytest.raises(DataError, match="max_rows is 0"):
        gov.assess_robustness(MODEL, rows=features, max_rows=0)


class Scaler(StandardScaler):
    """A preparation that counts how many rows it was given."""

    def transform(self, X: Any, copy: bool | None = None) -> Any:
        prepared.append(len(X))
        return super().transform(X, copy)


prepared: list[int] = []
PREPARED = make_pipeline(Scaler(), HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(
    TRAIN[FEATURES], TRAIN["repaid"]
)


def test_a_pipeline_prepares_the_rows_once_and_says_what_it_would_say_by_itself() -> None:
    prepared.clear()
    found = predicting.predict(PREPARED, TEST[FEATURES], task="binary")
    assert prepared == [600]
    assert np.array_equal(found.y_pred, PREPARED.predict(TEST[FEATURES]))
    assert np.array_equal(found.y_score, PREPARED.predict_proba(TEST[FEATURES])[:, 1])
    prepared.clear()
    gov.audit(
        PREPARED, TEST, "repaid", sensitive_features="sex", train=TRAIN,
        kinds=("performance", "fairness", "data-quality", "privacy"),
    )  # fmt: skip
    assert prepared == [600, 500]


class Doubled(TransformerMixin, BaseEstimator):
    """A step that learns nothing, so that nothing shows whether it is fitted."""

    def fit(self, X: Any, y: Any = None) -> Doubled:
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X) * 2

    def get_feature_names_out(self, names: Any = None) -> Any:
        return np.array(FEATURES)


@pytest.mark.parametrize("steps", [("passthrough", Doubled()), (Doubled(), "passthrough"), ("passthrough",), (None,)])
def test_steps_that_learn_nothing_prepare_rows_as_they_do_in_their_pipeline(steps: tuple[Any, ...]) -> None:
    last = GradientBoostingClassifier(n_estimators=5, random_state=0)
    model = make_pipeline(*steps, last).fit(TRAIN[FEATURES].to_numpy(), TRAIN["repaid"])
    found = predicting.predict(model, TEST[FEATURES].to_numpy(), task="binary")
    assert np.array_equal(found.y_score, model.predict_proba(TEST[FEATURES].to_numpy())[:, 1])
    told = gov.assess_explanation(
        make_pipeline(Doubled(), last), rows=TEST[FEATURES], background=TRAIN[FEATURES][:20], output="margin"
    )
    assert "tree tables" in told.details["engine"]


def test_what_draws_rows_anew_when_it_is_fitted_leaves_them_alone_afterwards() -> None:
    class Drawing(BaseEstimator):
        def fit_resample(self, X: Any, y: Any) -> Any:
            return X[::2], y[::2]

    model = Pipeline([("doubled", Doubled()), ("drawing", Drawing()), ("last", "passthrough")])
    assert np.array_equal(steps_before(model, TEST[FEATURES]), TEST[FEATURES].to_numpy() * 2)


@pytest.mark.parametrize("output", ["margin", "probability"])
def test_a_last_step_that_knows_its_columns_by_name_is_asked_by_name(output: Any) -> None:
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)).set_output(transform="pandas")
    model.fit(TRAIN[FEATURES], TRAIN["repaid"])  # asked without names it warns, and warnings are errors
    report = gov.assess_explanation(model, rows=TEST[FEATURES][:50], background=TRAIN[FEATURES][:20], output=output)
    assert set(report.importance.index) == set(FEATURES)


def test_a_pipeline_that_answers_in_its_own_way_is_asked_itself() -> None:
    class Strict(Pipeline):
        def predict(self, X: Any, **params: Any) -> Any:
            return (self.predict_proba(X)[:, 1] > 0.9).astype(int)

    model = Strict(PREPARED.steps)
    assert np.array_equal(
        predicting.predict(model, TEST[FEATURES], task="binary").y_pred, model.predict(TEST[FEATURES])
    )
    changed = Pipeline(PREPARED.steps)
    changed.predict = lambda table: np.zeros(len(table), dtype=int)
    assert not predicting.predict(changed, TEST[FEATURES], task="binary").y_pred.any()


def test_an_explanation_is_the_one_of_its_own_call_on_the_same_rows_and_seed() -> None:
    found = gov.audit(
        PREPARED, TEST, "repaid", sensitive_features="sex", train=TRAIN, kinds=("explanation", "robustness"), seed=7
    )
    single = gov.assess_explanation(
        PREPARED, rows=TEST[FEATURES], background=TRAIN.sample(n=100, random_state=7), sensitive_features=TEST[["sex"]], seed=7
    )  # fmt: skip
    assert numbers(found.explanation) == numbers(single)
    assert found.explanation.details["importance"] == single.details["importance"]
    ranked = gov.audit(
        PREPARED, TEST, "repaid", train=TRAIN, kinds=("explanation",), explanation={"top": 2, "output": "margin"}
    ).explanation.details["ranking"]
    assert (ranked["rows"], ranked["complete"], ranked["top_settled"]) == (600, True, True)
    alone = gov.assess_robustness(
        PREPARED, rows=TEST.drop(columns="repaid"), y_true=TEST.repaid, sensitive_features=TEST[["sex"]], seed=7
    )
    assert numbers(found.robustness) == numbers(alone)


def test_whatever_was_drawn_says_from_how_many_rows_and_all_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "MAX_ROWS", 250)
    some: dict[str, Any] = {"max_rows": 200}
    found = audit(kinds=KINDS, explanation={"max_rows": 40}, robustness=some, privacy=some, seed=11)
    assert {report.seed for kind, report in found.reports.items() if kind != "fairness"} == {11}
    told = found.explanation.details
    assert (told["rows"], told["drawn_from"]) == (40, 600)
    assert (told["background"], told["background_drawn_from"]) == (100, 500)
    assert {one.n for one in found.explanation.measurements} == {40}
    assert (found.robustness.details["rows"], found.robustness.details["drawn_from"]) == (200, 600)
    membership = found.privacy.details["membership"]
    assert (membership["training_rows"], membership["other_rows"]) == (200, 200)
    assert membership["drawn_from"] == {"training_rows": 500, "other_rows": 600}
    assert found.data_quality.details["proxy_rows"] == {"rows": 250, "drawn_from": 600}
    assert found.data_quality.get("proxy_auc", by=("sex",), group=("Male",)).n == 250
    monkeypatch.undo()
    every: dict[str, Any] = {"max_rows": None}
    full = audit(kinds=KINDS, explanation={"max_rows": 600}, robustness=every, privacy=every, background=TRAIN[:50])
    assert not {"drawn_from", "background_drawn_from"} & set(full.explanation.details)
    assert "drawn_from" not in full.robustness.details
    assert "drawn_from" not in full.privacy.details["membership"]
    assert "proxy_rows" not in full.data_quality.details
    with pytest.raises(DataError, match="max_rows is 0"):
        audit(privacy={"max_rows": 0})
    assert audit(privacy={"max_rows": 0}, train=None).unmeasured["privacy"].reason == "max_rows is 0"


def test_more_rows_give_closer_bounds_of_robustness_and_the_drawn_ones_stay_within() -> None:
    some, every = (
        audit(kinds=("robustness",), robustness={"max_rows": most}).robustness.get("noise_unstable_rate") for most in (150, None)
    )  # fmt: skip
    (few,), (all_,) = ([one for one in found.intervals if one.sides == "two-sided"] for found in (some, every))
    assert few.upper - few.lower > 1.5 * (all_.upper - all_.lower)
    assert few.lower <= every.value <= few.upper
