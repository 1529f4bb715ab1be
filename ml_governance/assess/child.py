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

from ml_governance.assess.predicting import Predicted, inputs, predict
from ml_governance.errors import GovernanceError


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
    table = inputs(model, frame, request["exclude"])
    asked = {"task": request["task"], "pos_label": request["posLabel"]}
    arrays = _arrays(predict(model, table, **asked))
    if Path("more.parquet").exists():
        more = predict(model, inputs(model, pd.read_parquet("more.parquet"), request["exclude"]), **asked)
        arrays |= {f"more_{name}": array for name, array in _arrays(more).items()}
    if request["explain"] is not None:
        _explain(request, model, frame, table)
    if request["perturb"] is not None:
        _perturb(request, model, frame)
    if request["reasons"] is not None:
        _reasons(request, model, frame)
    np.savez("predictions.npz", **arrays)


def _arrays(found: Predicted) -> dict[str, Any]:
    named = {"y_pred": found.y_pred, "y_score": found.y_score, "classes": found.classes}
    return {name: np.asarray(array) for name, array in named.items() if array is not None}


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
