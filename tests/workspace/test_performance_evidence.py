"""Performance as signed evidence: of every kind of model, against another on the same rows, and in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import ml_governance as gov
from ml_governance.testing import workspace

if TYPE_CHECKING:
    from pathlib import Path


def rows(n: int = 600) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"x": generator.normal(size=n), "z": generator.normal(size=n)})
    seen = frame.x + generator.normal(0, 0.7, n)
    return frame.assign(
        sex=generator.choice(["Female", "Male"], n), label=(seen > 0).astype(int), grade=np.digitize(seen, [-0.7, 0.7]),
        amount=seen,
    )  # fmt: skip


def stored(folder: Path, models: dict[str, Any]) -> dict[str, Any]:
    workspace(folder).close()
    versions = {}
    with gov.open(folder, signer="author") as ws:
        for name, model in models.items():
            with ws.training("credit") as run:
                run.uses(rows(), name="train")
                versions[name] = run.produces(model, name="credit")
    return versions


MODELS = {
    "binary": (LogisticRegression(), "label", "roc_auc"),
    "multiclass": (LogisticRegression(), "grade", "log_loss"),
    "regression": (LinearRegression(), "amount", "mean_absolute_error"),
}


SHOWN = {
    "binary": ("Mean cost of decisions over thresholds",), "multiclass": ("Confusion matrix: label by prediction",),
    "regression": ("Mean prediction and mean target",),
}  # fmt: skip


@pytest.mark.parametrize("task", list(MODELS))
@pytest.mark.full
def test_a_model_of_every_kind_is_assessed_against_another_and_reported(task: Any, tmp_path: Path) -> None:
    model, label, metric = MODELS[task]
    data = rows()
    good = type(model)().fit(data[["x"]], data[label])
    poor = type(model)().fit(data[["z"]], data[label])
    versions = stored(tmp_path / "ws", {"poor": poor, "good": good})
    costs = gov.Costs(false_positive=1, false_negative=3) if task == "binary" else None
    with gov.open(tmp_path / "ws", signer="validator") as ws:
        found = ws.assess(
            versions["good"], data.drop(columns=[one for one in ("label", "grade", "amount") if one != label]), y_true=label,
            sensitive_features=["sex"], kinds=("performance", "fairness"), against=versions["poor"], task=task, costs=costs,
        )  # fmt: skip
        (entry,) = ws.view().of_kind("performance")
        ws.report(versions["good"], tmp_path / "report")
    assert found.performance.get(metric).status == "ok"
    assert found.performance.get(metric, by=("sex",), group=("Male",)).status == "ok"
    paired = entry.content.details["paired"]
    assert paired["with"] == versions["poor"].sha256
    (difference,) = [one for one in paired["differences"] if one["metric"] == metric and not one.get("by")]
    better = -1 if metric != "roc_auc" else 1
    assert better * difference["value"] > 0
    (path,) = (tmp_path / "report").glob("*.html")
    page = path.read_text(encoding="utf-8")
    for caption in ("Where it errs most", "Less the model sha256:", *SHOWN[task]):
        assert caption in page, caption


def test_each_of_several_classes_is_explained_and_signed(tmp_path: Path) -> None:
    data = rows()
    versions = stored(tmp_path / "ws", {"m": LogisticRegression().fit(data[["x"]], data.grade)})
    with gov.open(tmp_path / "ws", signer="validator") as ws:
        found = ws.assess(
            versions["m"], data[["x", "sex", "grade"]], y_true="grade", sensitive_features=["sex"], task="multiclass"
        )
        (entry,) = ws.view().of_kind("explanation")
        ws.report(versions["m"], tmp_path / "report")
    classes = ["0", "1", "2"]
    assert entry.content.details["classes"] == classes
    assert np.shape(found.explanation.base) == (len(classes),)
    assert sorted(found.explanation.gaps["class"].unique()) == classes
    assert found.explanation.get("additivity_error").value < 1e-9
    told = entry.content.details
    assert (told["rows"], told["drawn_from"]) == (150, len(data))
    assert (told["background"], told["background_drawn_from"]) == (100, len(data))
