"""The process that loads a model: started by :mod:`ml_governance.assess.recompute`, never imported by it.

It reads ``request.json`` and Parquet files in the current folder and writes ``predictions.npz``, and if asked
``explanation.json``, ``robustness.json`` and ``reasons.json``; or ``problem.json`` with what is wrong in words.
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ml_governance.errors import DataError, GovernanceError


def main() -> None:
    """Load, predict, explain, and write the results."""
    warnings.simplefilter("ignore")
    request: dict[str, Any] = json.loads(Path("request.json").read_text(encoding="utf-8"))
    try:
        _predict(request)
    except GovernanceError as error:
        _tell(error.found, error.expected)
    except Exception as error:  # noqa: BLE001  whatever a strange model raises is told, not thrown
        _tell(
            f"the model could not be loaded or does not take these rows: {type(error).__name__}: {error}",
            None,
        )


def _tell(found: str, expected: str | None) -> None:
    Path("problem.json").write_text(json.dumps({"found": found, "expected": expected}), encoding="utf-8")


def _predict(request: dict[str, Any]) -> None:
    import pandas as pd

    module, _, function = request["loader"].partition(":")
    model = getattr(import_module(module), function)(Path(request["artifact"]))
    frame = pd.read_parquet("rows.parquet")
    table = _inputs(model, frame, request["exclude"])
    arrays = {"y_pred": _plain(model.predict(table))}
    arrays |= _scores(model, table, request["task"], request["posLabel"])
    if request["explain"] is not None:
        _explain(request, model, frame, table)
    if request["perturb"] is not None:
        _perturb(request, model, frame)
    if request["reasons"] is not None:
        _reasons(request, model, frame)
    np.savez("predictions.npz", **arrays)


def _inputs(model: Any, frame: Any, exclude: list[str]) -> Any:
    wanted = getattr(model, "feature_names_in_", None)
    if wanted is None:
        return frame.drop(columns=exclude)
    absent = [str(name) for name in wanted if name not in frame.columns]
    if absent:
        raise DataError(f"the rows lack {', '.join(absent)}", expected="every column that the model takes")
    leaked = [str(name) for name in wanted if name in exclude]
    if leaked:
        raise DataError(
            f"the model takes {', '.join(leaked)}, which is the label",
            expected="a model that does not read its label",
        )
    return frame[list(wanted)]


def _plain(predicted: Any) -> Any:
    array = np.asarray(predicted)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array.astype(str) if array.dtype == object else array


def _scores(model: Any, table: Any, task: str, pos_label: Any) -> dict[str, Any]:
    if task == "regression" or not hasattr(model, "predict_proba"):
        return {}
    probabilities = np.asarray(model.predict_proba(table), dtype=np.float64)
    classes = np.asarray(getattr(model, "classes_", np.arange(probabilities.shape[1]))).tolist()
    if task == "multiclass":
        return {"y_score": probabilities, "classes": np.asarray([str(one) for one in classes])}
    return {"y_score": _positive(probabilities, classes, pos_label)}


def _positive(probabilities: Any, classes: list[Any], pos_label: Any) -> Any:
    if len(classes) != 2:
        raise DataError(f"the model knows {len(classes)} classes", expected="two")
    positive = pos_label if pos_label is not None else 1
    if positive not in classes:
        raise DataError(
            f"the model's classes are {classes}",
            expected="0 and 1, or pos_label to say which one is positive",
        )
    return probabilities[:, classes.index(positive)]


def _explain(request: dict[str, Any], model: Any, frame: Any, table: Any) -> None:
    import pandas as pd

    from ml_governance.assess.explanation import assess_explanation

    background = pd.read_parquet("background.parquet") if Path("background.parquet").exists() else frame
    report = assess_explanation(
        model,
        rows=table,
        background=background[list(table.columns)],
        sensitive_features=frame[request["sensitiveFeatures"]] if request["sensitiveFeatures"] else None,
        **request["explain"],
    )
    Path("explanation.json").write_text(report.to_json(), encoding="utf-8")


def _perturb(request: dict[str, Any], model: Any, frame: Any) -> None:
    from ml_governance.assess.robustness import assess_robustness

    report = assess_robustness(
        model,
        rows=frame.drop(columns=request["exclude"]),
        y_true=frame[request["exclude"][0]] if request["exclude"] else None,
        sensitive_features=frame[request["sensitiveFeatures"]] if request["sensitiveFeatures"] else None,
        pos_label=request["posLabel"],
        **request["perturb"],
    )
    Path("robustness.json").write_text(report.to_json(), encoding="utf-8")


def _reasons(request: dict[str, Any], model: Any, frame: Any) -> None:
    """Find the reasons, and let nothing out but which factors they are: no value of a row and no output of one."""
    import pandas as pd

    from ml_governance.assess.reason_codes import reason_codes

    compared = pd.read_parquet("background.parquet") if Path("background.parquet").exists() else None
    found = reason_codes(model, applicants=frame, compared=compared, **request["reasons"])
    told = {
        "summary": found.summary(),
        "declined": [
            {"place": int(row), "factors": [int(at) for at in order if at >= 0]}
            for row, order in zip(found.rows, found.order, strict=True)
        ],
    }
    Path("reasons.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
