"""Steps share a parent, hand on what they make by digest, and join what an orchestrator runs."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.capture.orchestrator import MAX_CONTEXT, from_environment
from ml_governance.errors import ConfigurationError, VerificationError
from ml_governance.report import lineage
from ml_governance.testing import workspace
from tests.capture.openlineage import checked

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance import Workspace

RAW = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
FEATURES = RAW[["a"]] * 2
RUN = "0190a5de-0000-7000-8000-000000000001"
ROOT = "0190a5de-0000-7000-8000-000000000002"


@pytest.fixture
def ws(tmp_path: Path) -> Any:
    with workspace(tmp_path / "ws", signer="author") as made:
        yield made


@pytest.fixture(autouse=True)
def _no_orchestrator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENLINEAGE_PARENT_ID", "AIRFLOW_CTX_DAG_ID", "DAGSTER_PIPES_CONTEXT", "PREFECT__FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def events(ws: Workspace) -> list[dict[str, Any]]:
    return [a.content.event for a in ws.view().of_kind("training-run")]  # type: ignore[attr-defined]


def pipeline(ws: Workspace) -> Any:
    with ws.training("credit") as run:
        with run.step("features") as step:
            step.uses(RAW, name="applications")
            features = step.writes(FEATURES, name="features")
        with run.step("fit") as step:
            step.uses(FEATURES, name=features)
            return step.produces({"weights": [1]}, name="credit-risk"), run


def test_steps_have_the_run_as_parent_and_root(ws: Workspace) -> None:
    _, run = pipeline(ws)
    for event in events(ws):
        parent = event["run"]["facets"].get("parent")
        if event["job"]["name"] == "credit":
            assert parent is None
        else:
            assert parent["run"]["runId"] == parent["root"]["run"]["runId"] == run.run_id
            assert parent["job"] == parent["root"]["job"] == {"namespace": ws.config.origin, "name": "credit"}


def test_a_step_of_a_step_keeps_the_root(ws: Workspace) -> None:
    with ws.training("a") as a, a.step("b") as b, b.step("c") as c:
        assert c.parent is not None
        assert (c.parent.run, c.parent.root) == (b.ref, a.ref)
    assert c.job == "a.b.c"


def test_the_lineage_of_a_model_reaches_through_what_steps_handed_on(ws: Workspace) -> None:
    model, _ = pipeline(ws)
    graph = lineage.trace(ws.view(), model)
    labels = {node.id: node.label.rsplit("/", 1)[0] for node in graph.nodes}
    assert {(labels[a], labels[b]) for a, b in graph.edges} == {
        ("applications", "run/credit.features"), ("run/credit.features", "features"),
        ("features", "run/credit.fit"), ("run/credit.fit", "credit-risk"),
    }  # fmt: skip


def test_what_was_changed_between_two_steps_is_not_used(ws: Workspace) -> None:
    with ws.training("credit") as run:
        with run.step("features") as step:
            features = step.writes(FEATURES, name="features")
        with run.step("fit") as step, pytest.raises(VerificationError, match="have the digest"):
            step.uses(FEATURES + 1, name=features)


@pytest.mark.schemas
def test_events_of_steps_and_retries_are_valid_openlineage(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline(ws)
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/dag.task/{RUN}")
    run = ws.training("credit")
    with pytest.raises(ValueError), run:
        run.uses(RAW, name="applications")
        run.log_params({"depth": 3})
        run.produces({"weights": []}, name="credit-risk")
        raise ValueError("x")
    with run:
        pass
    assert checked(events(ws)) >= 20


# --- orchestrators --------------------------------------------------------------------------------------------

AIRFLOW = {
    "AIRFLOW_CTX_DAG_ID": "credit", "AIRFLOW_CTX_TASK_ID": "fit", "AIRFLOW_CTX_DAG_RUN_ID": "manual__1",
    "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-15T12:00:00+00:00", "AIRFLOW_CTX_TRY_NUMBER": "2",
}  # fmt: skip


def pipes(context: dict[str, Any]) -> dict[str, str]:
    return {"DAGSTER_PIPES_CONTEXT": base64.b64encode(zlib.compress(json.dumps(context).encode())).decode()}


def test_the_parent_that_airflow_s_macros_write_is_taken_as_it_stands() -> None:
    found = from_environment(
        {
            **AIRFLOW,
            "OPENLINEAGE_PARENT_ID": f"https://a/b/credit.fit/{RUN}",
            "OPENLINEAGE_ROOT_PARENT_ID": f"https://a/b/credit/{ROOT}",
        }
    )
    assert found is not None
    assert (found.parent.run.namespace, found.parent.run.job, found.parent.run.run_id) == (
        "https://a/b",
        "credit.fit",
        RUN,
    )
    assert (found.parent.root.job, found.parent.root.run_id, found.attempt) == ("credit", ROOT, 2)


def test_the_context_of_an_airflow_task_gives_the_ids_that_its_provider_gives() -> None:
    # The rule of the provider's adapter (2.x), computed here by the OpenLineage client itself.
    from datetime import UTC, datetime

    from openlineage.client.uuid import generate_static_uuid

    at = datetime(2026, 1, 15, 12, tzinfo=UTC)
    found = from_environment({**AIRFLOW, "AIRFLOW__OPENLINEAGE__NAMESPACE": "prod"})
    assert found is not None and found.by == "airflow"
    assert found.parent.run.run_id == str(generate_static_uuid(at, b"prod.credit.fit.2.-1"))
    assert found.parent.root.run_id == str(generate_static_uuid(at, b"prod.credit.0"))
    assert (found.parent.run.job, found.parent.root.job, found.attempt) == ("credit.fit", "credit", 2)


def test_dagster_s_context_is_read_from_the_variable_or_from_the_file_that_it_names(tmp_path: Path) -> None:
    context = {"run_id": RUN, "job_name": "credit", "retry_number": 1}
    (tmp_path / "context").write_text(json.dumps(context))
    for said in ({"data": context}, {"path": str(tmp_path / "context")}):
        found = from_environment(pipes(said))
        assert found is not None
        assert (found.by, found.parent.run.job, found.parent.run.run_id) == ("dagster", "credit", RUN)
        assert found.attempt == 2


def test_prefect_s_flow_run_is_the_parent() -> None:
    found = from_environment({"PREFECT__FLOW_RUN_ID": RUN})
    assert found is not None
    assert (found.by, found.parent.run.namespace, found.parent.run.run_id) == ("prefect", "prefect", RUN)


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENLINEAGE_PARENT_ID": "x"}, {"OPENLINEAGE_PARENT_ID": "a/b/c"}, {"OPENLINEAGE_PARENT_ID": f"//{RUN}"},
        {"OPENLINEAGE_PARENT_ID": f"a/b/{RUN}", "OPENLINEAGE_ROOT_PARENT_ID": "?"},
        {**AIRFLOW, "AIRFLOW_CTX_LOGICAL_DATE": "soon"}, {**AIRFLOW, "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-01T00:00:00"},
        {**AIRFLOW, "AIRFLOW_CTX_TRY_NUMBER": "-1"}, {"DAGSTER_PIPES_CONTEXT": "!"}, {"PREFECT__FLOW_RUN_ID": "1"},
        pipes({}), pipes({"data": {"run_id": "1"}}), pipes({"path": "/nowhere"}),
        pipes({"data": {"run_id": RUN, "filler": " " * MAX_CONTEXT}}),
    ],
)  # fmt: skip
def test_a_parent_that_cannot_be_read_is_refused_before_the_body_begins(
    variables: dict[str, str], ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError), ws.training("credit"):
        pytest.fail("the body ran")
    assert events(ws) == []


@given(
    st.dictionaries(
        st.sampled_from([*AIRFLOW, "OPENLINEAGE_PARENT_ID", "DAGSTER_PIPES_CONTEXT", "PREFECT__FLOW_RUN_ID"]), st.text()
    )
)
def test_whatever_stands_in_the_environment_is_a_parent_nothing_or_told(variables: dict[str, str]) -> None:
    try:
        found = from_environment(variables)
    except ConfigurationError:
        return
    assert found is None or found.parent.run.run_id
