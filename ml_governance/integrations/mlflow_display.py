"""What MLflow's own pages show of the evidence: reports as artifacts, numbers as metrics, the verdict as a description.

All of it is for people who look there. It proves nothing, and nothing reads it back: the ledger is the proof. Nothing is
written into the model's folder, which would change its digest.
"""

from __future__ import annotations

import tempfile
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.integrations.mlflow import _quiet, _trouble
from ml_governance.integrations.mlflow_runs import DIGEST_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.predicates import Measurement, Resource

FOLDER = "governance"
BATCH = 500
_STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .6rem;border-bottom:1px solid #d0d7de;text-align:left}"


def numbers(kind: str, measurements: Sequence[Measurement]) -> dict[str, float]:
    """Return measurements as MLflow metrics: ``kind/metric[/by[/group]]``, with ``.lower`` and ``.upper``.

    What is undefined, insufficient or withheld has no metric: a threshold on it finds nothing, and fails.
    """
    said: dict[str, float] = {}
    for one in measurements:
        if one.status != "ok" or one.value is None:
            continue
        parts = [kind, one.metric, "+".join(one.by), "+".join(one.group)]
        name = "/".join(_plain(part) for part in parts if part)[:200]
        said[name] = one.value
        interval = next((each for each in one.intervals if each.sides == "two-sided"), None)
        if interval is not None:
            said |= {
                f"{name}.{side}": bound
                for side, bound in (("lower", interval.lower), ("upper", interval.upper))
                if bound is not None
            }
    return said


def _plain(text: str) -> str:
    """Return text with what MLflow allows in the name of a metric."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-. :+") else "_" for letter in text)\
        .replace("+", ":")  # fmt: skip


def page(title: str, parts: Sequence[str]) -> str:
    """Return one self-contained page, as the sandboxed frame of MLflow's artifact view needs it; parts are HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>"
    )


def log_numbers(
    client: Any, run_id: str, said: Mapping[str, float], *, dataset: Resource, model_id: str | None
) -> None:
    """Log metrics of a run, and of the model in it, with the dataset they were measured on."""
    from mlflow.entities import Metric

    at = int(time.time() * 1000)
    metrics = [
        Metric(
            key, value, at, 0, model_id=model_id, run_id=run_id,
            dataset_name=dataset.name[:500], dataset_digest=dataset.sha256[:DIGEST_CHARACTERS],
        )
        for key, value in said.items()
    ]  # fmt: skip
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def log_files(client: Any, run_id: str, files: Mapping[str, str]) -> None:
    """Put texts into the run's folder ``governance``."""
    with tempfile.TemporaryDirectory(prefix="mlgov-") as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            client.log_artifact(run_id, str(path), FOLDER)


def show(
    client: Any,
    *,
    name: str,
    version: str,
    model_id: str | None,
    files: Mapping[str, str],
    measured: Sequence[tuple[str, Sequence[Measurement], Resource]],
    verdict: str,
) -> str:
    """Show a model version's evidence.

    Parameters
    ----------
    client : MlflowClient
        Of the server that has the version.
    name, version, model_id : str
        The model.
    files : mapping of str to str
        ``report.html`` and others.
    measured : sequence of (kind, measurements, dataset)
        What was measured.
    verdict : str
        Plain text: tables do not render in a description.

    Returns
    -------
    str
        Id of the run that has the report.
    """
    with _quiet(), _trouble():
        run_id = str(client.get_model_version(name, version).run_id)
        log_files(client, run_id, files)
        for kind, measurements, dataset in measured:
            log_numbers(client, run_id, numbers(kind, measurements), dataset=dataset, model_id=model_id)
        client.update_model_version(
            name, version, description=f"{verdict}\n\nReport: run {run_id}, {FOLDER}/report.html"
        )
    return run_id
