"""``mlflow.models.evaluate(..., evaluators=["governance"])``: our fairness and explanation as MLflow's result.

The numbers come from predictions that MLflow's process made: they are shown, and count for a gate only once
``ws.assess`` has recomputed them from the artifact.
"""

from __future__ import annotations

import json
from typing import Any

from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Resource
from ml_governance.integrations import mlflow_display
from ml_governance.integrations.mlflow import _quiet, _trouble

OPTIONS = ("sensitive_features", "pos_label", "confidence", "min_group_size", "explain", "seed")


def evaluate(
    *,
    model_type: str,
    dataset: Any,
    run_id: str,
    evaluator_config: dict[str, Any],
    model: Any = None,
    predictions: Any = None,
    model_id: str | None = None,
    **_: Any,
) -> Any:
    """Measure fairness by group, and what drives the model if there is one; log and return both.

    Parameters
    ----------
    evaluator_config : dict
        ``sensitive_features``: a Series, a data frame, or names of feature columns; and optionally ``pos_label``,
        ``confidence``, ``min_group_size``, ``explain`` (default: if there is a model) and ``seed``.
    model_type, dataset, run_id, model, predictions, model_id
        As MLflow gives them.

    Returns
    -------
    mlflow.models.EvaluationResult
        Metrics as in :func:`~ml_governance.integrations.mlflow_display.numbers`, for ``mlflow.validate_evaluation_results``.

    Raises
    ------
    DataError
        If no groups are given, an option is unknown, or rows do not fit.
    """
    from mlflow.models.evaluation import EvaluationResult
    from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact, TextEvaluationArtifact
    from mlflow.tracking import MlflowClient

    del model_type, predictions
    config = dict(evaluator_config)
    config.pop("_disable_candidate_model", None)
    if unknown := sorted(set(config) - set(OPTIONS)):
        raise DataError(f"the evaluator has no option {', '.join(unknown)}", expected=f"some of {', '.join(OPTIONS)}")
    features = dataset.features_data
    groups = _groups(config.get("sensitive_features"), features)
    raw = _raw(model)
    predicted, score = _predictions(model, raw, dataset, features, config.get("pos_label"))
    reports = [_fairness(dataset.labels_data, predicted, score, groups, config)]
    if raw is not None and config.get("explain", True):
        reports.append(_explanation(raw, features, groups, config))
    rows = reports[0].inputs()
    shown = Resource(name=str(dataset.name or "dataset"), sha256=rows.sha256, rows=rows.rows)
    metrics: dict[str, float] = {}
    for report in reports:
        metrics |= mlflow_display.numbers(report.kind, report.measurements)
    page = mlflow_display.page("Governance", [report._repr_html_() for report in reports])
    values = {report.kind: report.to_dict() for report in reports}
    with _quiet(), _trouble():
        client = MlflowClient()
        mlflow_display.log_numbers(client, run_id, metrics, dataset=shown, model_id=model_id)
        mlflow_display.log_files(client, run_id, {"report.html": page, "report.json": json.dumps(values, indent=2)})
        root = f"{client.get_run(run_id).info.artifact_uri}/{mlflow_display.FOLDER}"
    artifacts = {
        "governance/report.html": TextEvaluationArtifact(uri=f"{root}/report.html", content=page),
        "governance/report.json": JsonEvaluationArtifact(uri=f"{root}/report.json", content=values),
    }
    return EvaluationResult(metrics=metrics, artifacts=artifacts, run_id=run_id)


def _groups(asked: Any, features: Any) -> Any:
    import pandas as pd

    if asked is None:
        raise DataError(
            "the evaluator was not told whose fairness to measure",
            expected='evaluator_config={"governance": {"sensitive_features": ...}}: a Series, a data frame or column names',
        )
    if isinstance(asked, str):
        asked = [asked]
    if isinstance(asked, list | tuple):
        absent = [name for name in asked if not isinstance(features, pd.DataFrame) or name not in features.columns]
        if absent:
            raise DataError(
                f"the features have no column {', '.join(map(str, absent))}",
                expected="columns that the model takes, or a Series of other values, one for each row",
            )
        return features[list(asked)].reset_index(drop=True)
    frame = asked.to_frame(asked.name or "group") if isinstance(asked, pd.Series) else asked
    if len(frame) != len(features):
        raise DataError(
            f"there are {len(frame)} rows of sensitive features and {len(features)} rows of data",
            expected="one for each row",
        )
    return frame.reset_index(drop=True)


def _raw(model: Any) -> Any:
    """Return the model inside MLflow's, which has predict_proba; MLflow's own where there is none."""
    if model is None:
        return None
    try:
        raw = model.get_raw_model()
    except (AttributeError, NotImplementedError):
        raw = None
    return raw if raw is not None and hasattr(raw, "predict") else model


def _predictions(model: Any, raw: Any, dataset: Any, features: Any, pos_label: Any) -> tuple[Any, Any]:
    import numpy as np

    if model is None:
        return dataset.predictions_data, None
    predicted = raw.predict(features)
    if not hasattr(raw, "predict_proba"):
        return predicted, None
    classes = np.asarray(getattr(raw, "classes_", [0, 1])).tolist()
    positive = 1 if pos_label is None else pos_label
    if len(classes) != 2 or positive not in classes:
        return predicted, None
    return predicted, np.asarray(raw.predict_proba(features))[:, classes.index(positive)]


def _fairness(y_true: Any, y_pred: Any, y_score: Any, groups: Any, config: dict[str, Any]) -> Any:
    from ml_governance.assess.fairness import assess_fairness

    return assess_fairness(
        y_true=y_true, y_pred=y_pred, y_score=y_score, sensitive_features=groups, pos_label=config.get("pos_label"),
        confidence=config.get("confidence", 0.95), min_group_size=config.get("min_group_size", 30),
    )  # fmt: skip


def _explanation(raw: Any, features: Any, groups: Any, config: dict[str, Any]) -> Any:
    from ml_governance.assess.explanation import assess_explanation

    return assess_explanation(
        raw, rows=features.reset_index(drop=True), background=features.sample(min(100, len(features)), random_state=0),
        sensitive_features=groups, confidence=config.get("confidence", 0.95),
        min_group_size=config.get("min_group_size", 30), seed=config.get("seed", 0),
    )  # fmt: skip
