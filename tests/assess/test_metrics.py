"""The catalogue of metrics is a contract: what stands in it is measured, and what is measured stands in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.assess import relative, roc, signed
from ml_governance.assess.histogram import count_scores
from ml_governance.cli.run import run
from ml_governance.evidence.metrics import METRICS
from ml_governance.evidence.predicates import Measurement

FIELDS = {"name", "kind", "form", "range", "better", "unit", "meaning", "formula", "source", "edge"}
DESIGNED = {
    # binary
    "selection_rate", "true_positive_rate", "false_positive_rate", "true_negative_rate", "false_negative_rate",
    "positive_predictive_value", "negative_predictive_value", "false_discovery_rate", "false_omission_rate", "accuracy",
    "balanced_accuracy", "f1", "base_rate", "group_share", "treatment_equality",
    "demographic_parity_difference", "demographic_parity_ratio", "equal_opportunity_difference", "equal_opportunity_ratio",
    "equalized_odds_difference", "equalized_odds_ratio", "predictive_parity_difference", "predictive_parity_ratio",
    "average_odds_difference", "average_abs_odds_difference",
    "conditional_demographic_parity_difference", "conditional_demographic_parity_ratio",
    # scores
    "roc_auc", "abroca", "ece", "ece_debiased", "brier_score", "score_ks", "score_wasserstein", "score_jensen_shannon",
    # several classes
    "macro_true_positive_rate", "macro_positive_predictive_value", "macro_f1", "multiclass_demographic_parity_difference",
    "multiclass_equal_opportunity_difference", "multiclass_equalized_odds_difference",
    # regression
    "mean_error", "mean_absolute_error", "root_mean_squared_error", "r2", "mean_pinball_loss",
    # rankings
    "exposure", "exposure_per_relevance", "selection_rate_at_k", "ndcg",
    # continuous attributes
    "spearman_correlation", "spearman_p_value", "distance_correlation", "distance_correlation_p_value",
    "local_selection_rate_difference",
}  # fmt: skip
"""Every metric of fairness that the library promises, whatever else the catalogue holds."""


ASSESSED = [key for key in METRICS if key[0] != "monitoring"]
"""What is measured of rows at once; the numbers of models in use are those of windows, in tests/operate/test_monitor.py."""


def rows(n: int = 900) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"g": generator.choice(["a", "b"], n), "c": generator.choice(["x", "y"], n)})
    frame["age"] = generator.normal(45, 12, n)
    frame["s"] = generator.beta(2, 2, n)
    frame["y"] = (generator.random(n) < frame.s).astype(int)
    frame["p"] = (frame.s + 0.1 * (frame.g == "a") > 0.5).astype(int)
    frame["class"] = generator.choice(["red", "green", "blue"], n)
    frame["said"] = np.where(generator.random(n) < 0.6, frame["class"], generator.choice(["red", "green", "blue"], n))
    frame["target"] = generator.normal(size=n)
    frame["forecast"] = frame.target + generator.normal(0, 0.5, n)
    frame["query"], frame["relevance"] = np.arange(n) % 45, generator.integers(0, 4, n)
    return frame


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    frame = rows()
    g = {"sensitive_features": frame[["g"]]}
    model = LogisticRegression().fit(frame[["s", "age"]], frame.y)
    generator = np.random.default_rng(1)
    return (
        gov.assess_fairness(y_true=frame.y, y_pred=frame.p, y_score=frame.s, control_features=frame[["c"]], **g),
        gov.assess_multiclass(y_true=frame["class"], y_pred=frame.said, **g),
        gov.assess_regression(y_true=frame.target, y_pred=frame.forecast, **g),
        gov.assess_ranking(y_score=frame.s, y_true=frame.relevance, query=frame["query"], **g),
        gov.assess_continuous(y_true=frame.y, y_pred=frame.p, sensitive_feature=frame.age, permutations=99),
        gov.assess_performance(
            y_true=frame.y,
            y_score=frame.s,
            costs=gov.Costs(false_positive=1, false_negative=3),
            slice_by=frame[["age", "c"]],
            **g,
        ),
        gov.assess_performance(
            y_true=frame["class"],
            y_score=pd.DataFrame(generator.dirichlet([1, 1, 1], len(frame)), columns=["red", "green", "blue"]),
            task="multiclass",
        ),
        gov.assess_performance(
            y_true=frame.target, y_pred=frame.forecast, task="regression", slice_by=frame[["age", "c"]], **g
        ),
        gov.assess_explanation(
            model,
            rows=frame[["s", "age"]][:60],
            background=frame[["s", "age"]][:20],
            sensitive_features=frame[["age"]][:60].round(-1),
        ),
        gov.assess_robustness(
            _Lenient(),
            rows=frame[["s", "c"]],
            y_true=frame.y,
            shift={"c": {"x": 0.7, "y": 0.3}},
            monotone={"s": "+"},
            draws=1,
            **g,
        ),
        gov.assess_reproducibility((model, model), rows=frame[["s", "age"]], **g),
        _scan(tmp_path_factory.mktemp("scan")),
        _data(frame),
        _privacy(frame),
    )


def _data(frame: pd.DataFrame) -> Any:
    columns = ["g", "c", "age", "s", "y"]
    test = frame[columns].assign(case=np.arange(len(frame)))
    test.loc[:30, "age"] = np.nan
    training = pd.concat([rows(600)[columns].assign(case=np.arange(5_000, 5_600)), test[:20]], ignore_index=True)
    return gov.assess_data(
        test, y_true="y", sensitive_features=["g"], training=training, population={"g": {"a": 0.5, "b": 0.5}},
        ranges={"age": (0.0, 120.0)}, identifiers=["case"],
    )  # fmt: skip


def _privacy(frame: pd.DataFrame) -> Any:
    generator = np.random.default_rng(2)
    numbers = frame[["age", "s"]]
    return gov.assess_privacy(
        member=generator.random(len(frame)) < 0.5, y_true=frame.y, y_score=frame.s, sensitive_features=frame[["g"]],
        released=frame[["g", "c", "class"]], quasi_identifiers=["g", "c"], confidential=["class"],
        generated=numbers[:200] + 0.01, training=numbers[:450], held_out=numbers[450:],
    )  # fmt: skip


class _Lenient:
    """A model that takes gaps and strange categories."""

    def predict(self, rows: pd.DataFrame) -> Any:
        return ((rows.s.fillna(0) > 0.5) & (rows.c != "y")).astype(int)


def _scan(folder: Path) -> Any:
    (folder / "requirements.txt").write_text("some-thing==1\n")
    advisory = {"id": "PYSEC-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "some-thing"}}]}
    (folder / "osv.json").write_text(json.dumps(advisory))
    return gov.scan_artifact(folder, advisories=folder / "osv.json")


@pytest.fixture(scope="module")
def measured(reports: Any) -> dict[tuple[str, str], list[Measurement]]:
    found: dict[tuple[str, str], list[Measurement]] = {}
    for report in reports:
        for one in report.measurements:
            found.setdefault((report.kind, one.metric), []).append(one)
    for function in (signed.average_odds_difference, signed.average_abs_odds_difference):
        one = function(reports[0].cube, privileged_groups=[{"g": "a"}])
        found.setdefault(("fairness", one.metric), []).append(one)
    return found


@pytest.mark.parametrize(("kind", "name"), ASSESSED, ids=[" ".join(key) for key in ASSESSED])
def test_every_metric_of_the_catalogue_is_measured_by_a_public_function_and_lies_in_its_range(
    kind: str, name: str, measured: Any
) -> None:
    metric, values = METRICS[kind, name], [one.value for one in measured[kind, name]]
    assert any(value is not None for value in values)
    for value in values:
        if value is not None:
            assert math.isfinite(value)
            assert metric.low is None or value >= metric.low
            assert metric.high is None or value <= metric.high


def test_nothing_is_measured_that_does_not_stand_in_the_catalogue(measured: Any) -> None:
    assert set(measured) <= set(METRICS)


@pytest.mark.parametrize("name", sorted(DESIGNED))
def test_every_promised_metric_of_fairness_is_there(name: str) -> None:
    assert ("fairness", name) in METRICS


@pytest.mark.parametrize(("kind", "name"), ASSESSED, ids=[" ".join(key) for key in ASSESSED])
def test_rates_carry_their_counts_and_comparisons_say_of_what(kind: str, name: str, measured: Any) -> None:
    metric = METRICS[kind, name]
    for part in metric.of:
        assert (kind, part) in METRICS
    for one in measured[kind, name]:
        if metric.form == "rate" and one.value is not None:
            assert one.numerator is not None and one.denominator
            assert one.value == pytest.approx(one.numerator / one.denominator, abs=1e-12)
        if metric.form in ("ratio", "difference", "aggregate"):
            assert one.group == ()


@pytest.mark.parametrize("metric", sorted({*relative.RATE_NAMES, "balanced_accuracy", "f1", "treatment_equality"}))
def test_every_number_of_a_group_goes_against_all_rows_a_reference_and_the_worst(metric: str, reports: Any) -> None:
    report = reports[0]
    assert [one.group for one in report.to_overall(metric)] == [("a",), ("b",)]
    (one,) = report.to_reference(metric, "a")
    assert one.difference.value == pytest.approx(
        report.get(metric, ("g",), ("b",)).value - report.get(metric, ("g",), ("a",)).value, abs=1e-12
    )
    worst = report.worst_group(metric, better="higher")
    assert worst.value == min(report.get(metric, ("g",), (group,)).value for group in ("a", "b"))


def test_curves_thresholds_and_confusion_matrices_are_there_too(reports: Any) -> None:
    fairness, multiclass, *_ = reports
    (scores,) = fairness.details["scores"]
    assert scores["groups"][0]["reliability"] and scores["groups"][0]["roc"] and scores["thresholds"]
    assert multiclass.details["confusion"][0]["groups"][0]["matrix"]
    frame = rows()
    cube = count_scores(
        frame.y.to_numpy(np.uint8), frame.s.to_numpy(), {"g": ((frame.g == "b").to_numpy(np.intp), ("a", "b"))}
    )
    assert len(roc.sweep(cube).thresholds) == 200


# --- the command --------------------------------------------------------------------------------------------


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["assess", "--list-metrics", *arguments])
    return (code, *capsys.readouterr())


def test_the_command_lists_every_metric_with_all_there_is_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = listed(capsys, "--json")
    found = json.loads(out)
    assert code == 0
    assert {(one["kind"], one["name"]) for one in found} == set(METRICS)
    for one in found:
        assert set(one) == FIELDS
        assert all(one[name] for name in FIELDS - {"better"}), one["name"]
        assert one["better"] in ("higher", "lower", None)


def test_the_command_lists_some_kinds_only(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = listed(capsys, "--kind", "explanation", "--kind", "performance", "--json")
    assert code == 0 and {one["kind"] for one in json.loads(out)} == {"explanation", "performance"}
    code, out, _ = listed(capsys, "--kind", "performance")
    lines = out.splitlines()
    assert lines[0].split("\t")[:2] == ["name", "kind"]
    assert len(lines) == 1 + sum(kind == "performance" for kind, _ in METRICS)
    code, _, err = listed(capsys, "--kind", "fairnes")
    assert code == 2 and "no metrics of 'fairnes'" in err and "fairness, performance" in err


def test_on_a_terminal_every_metric_is_a_paragraph(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_governance.cli.metrics.sys.stdout.isatty", lambda: True, raising=False)
    _, out, _ = listed(capsys, "--kind", "performance")
    assert "recall: share of positives that are found" in out and "a rule says which way is better" in out


def test_without_the_list_the_columns_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["assess", "--data", "rows.csv"])
    assert code == 2 and "--y-true" in capsys.readouterr().err
