"""Whose step a run is: read from what orchestrators put into the environment of a task.

What stands there is the environment's word, not proof: whoever starts a process chooses its variables. It joins
graphs; it grants nothing.

===========  =========================================================================================
Airflow      ``OPENLINEAGE_PARENT_ID`` and ``OPENLINEAGE_ROOT_PARENT_ID`` (macros ``lineage_parent_id`` and
             ``lineage_root_parent_id`` of its OpenLineage provider), or the ``AIRFLOW_CTX_*`` of every task,
             from which the ids are computed as the provider does (2.x: dag, task, try, map index; UUID version 7)
Dagster      ``DAGSTER_PIPES_CONTEXT``: base64 of zlib of JSON, with the context under ``data`` or in the file at ``path``
Prefect      ``PREFECT__FLOW_RUN_ID``, set by workers and runners for the process of a flow run
===========  =========================================================================================
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.capture.lineage_event import Parent, RunRef
from ml_governance.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CONTEXT = 1 << 20
"""Bytes of a Dagster context that are read at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrated:
    """Where a process stands in somebody's pipeline.

    Parameters
    ----------
    by : {'openlineage', 'airflow', 'dagster', 'prefect'}
        Whose variables were found.
    parent : Parent
        The task or flow run.
    attempt : int or None
        Which try of the task it is, from 1, where the orchestrator says so.
    """

    by: str
    parent: Parent
    attempt: int | None = None


def from_environment(variables: Mapping[str, str]) -> Orchestrated | None:
    """Return whose step this process is; None if no orchestrator says anything.

    Parameters
    ----------
    variables : mapping of str to str
        The environment, such as ``os.environ``.

    Raises
    ------
    ConfigurationError
        If a variable is there and cannot be read: a run with a wrong parent is worse than none.
    """
    for read in (_openlineage, _airflow, _dagster, _prefect):
        found = read(variables)
        if found is not None:
            return found
    return None


def _openlineage(variables: Mapping[str, str]) -> Orchestrated | None:
    text = variables.get("OPENLINEAGE_PARENT_ID")
    if not text:
        return None
    run = _reference("OPENLINEAGE_PARENT_ID", text)
    above = variables.get("OPENLINEAGE_ROOT_PARENT_ID")
    root = _reference("OPENLINEAGE_ROOT_PARENT_ID", above) if above else run
    number = variables.get("AIRFLOW_CTX_TRY_NUMBER")
    attempt = _number("AIRFLOW_CTX_TRY_NUMBER", number) if number else None
    return Orchestrated(by="openlineage", parent=Parent(run=run, root=root), attempt=attempt)


def _reference(variable: str, text: str) -> RunRef:
    """Read ``namespace/job/runId``; a namespace may hold slashes, the other two may not."""
    parts = text.rsplit("/", 2)
    if len(parts) != 3 or not all(parts):
        raise ConfigurationError(
            f"{variable} is {text[:200]!r}",
            expected="namespace/job/runId, as the macro lineage_parent_id(task_instance) writes it",
        )
    return RunRef(namespace=parts[0], job=parts[1], run_id=_uuid(variable, parts[2]))


def _uuid(variable: str, text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise ConfigurationError(f"{variable} names the run {text[:80]!r}", expected="a UUID") from error


def _number(variable: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise ConfigurationError(f"{variable} is {text[:80]!r}", expected="a whole number")
    return max(1, int(text))


def _airflow(variables: Mapping[str, str]) -> Orchestrated | None:
    from openlineage.client.uuid import generate_static_uuid

    dag, task = variables.get("AIRFLOW_CTX_DAG_ID"), variables.get("AIRFLOW_CTX_TASK_ID")
    text = variables.get("AIRFLOW_CTX_LOGICAL_DATE") or variables.get("AIRFLOW_CTX_EXECUTION_DATE")
    if not (dag and task and text):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"Airflow's logical date is {text[:80]!r}", expected="ISO 8601") from error
    if at.tzinfo is None:
        raise ConfigurationError(f"Airflow's logical date is {text!r}", expected="a time with a zone")
    attempt = _number("AIRFLOW_CTX_TRY_NUMBER", variables.get("AIRFLOW_CTX_TRY_NUMBER") or "1")
    namespace = variables.get("AIRFLOW__OPENLINEAGE__NAMESPACE") or variables.get("OPENLINEAGE_NAMESPACE") or "default"
    index = variables.get("AIRFLOW_CTX_MAP_INDEX") or "-1"
    task_run = generate_static_uuid(at, f"{namespace}.{dag}.{task}.{attempt}.{index}".encode())
    dag_run = generate_static_uuid(at, f"{namespace}.{dag}.0".encode())
    return Orchestrated(
        by="airflow",
        parent=Parent(
            run=RunRef(namespace=namespace, job=f"{dag}.{task}", run_id=str(task_run)),
            root=RunRef(namespace=namespace, job=dag, run_id=str(dag_run)),
        ),
        attempt=attempt,
    )


def _dagster(variables: Mapping[str, str]) -> Orchestrated | None:
    text = variables.get("DAGSTER_PIPES_CONTEXT")
    if not text:
        return None
    try:
        params = json.loads(_inflated(base64.b64decode(text, validate=True)))
        context: Any = params.get("data") or json.loads(_bounded(Path(params["path"])))
        run_id, job, retries = context["run_id"], context.get("job_name"), int(context.get("retry_number") or 0)
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ConfigurationError(
            f"DAGSTER_PIPES_CONTEXT cannot be read: {type(error).__name__}",
            expected="what a Dagster Pipes client sets: base64 of zlib of JSON, with data or path",
        ) from error
    run = RunRef(
        namespace=variables.get("OPENLINEAGE_NAMESPACE") or "dagster",
        job=str(job or "dagster"),
        run_id=_uuid("DAGSTER_PIPES_CONTEXT", str(run_id)),
    )
    return Orchestrated(by="dagster", parent=Parent(run=run, root=run), attempt=retries + 1)


def _inflated(data: bytes) -> bytes:
    text = zlib.decompressobj().decompress(data, MAX_CONTEXT + 1)
    if len(text) > MAX_CONTEXT:
        raise ValueError("too large")
    return text


def _bounded(path: Path) -> bytes:
    with path.open("rb") as stream:
        text = stream.read(MAX_CONTEXT + 1)
    if len(text) > MAX_CONTEXT:
        raise ValueError("too large")
    return text


def _prefect(variables: Mapping[str, str]) -> Orchestrated | None:
    text = variables.get("PREFECT__FLOW_RUN_ID")
    if not text:
        return None
    run = RunRef(
        namespace=variables.get("OPENLINEAGE_NAMESPACE") or "prefect",
        job=variables.get("PREFECT__RUNTIME__FLOW_RUN__FLOW_NAME") or "flow",
        run_id=_uuid("PREFECT__FLOW_RUN_ID", text),
    )
    return Orchestrated(by="prefect", parent=Parent(run=run, root=run))
