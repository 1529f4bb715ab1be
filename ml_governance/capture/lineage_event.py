"""OpenLineage RunEvents (spec 2-0-2) with the stock facets, as plain dicts that can be signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ml_governance import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.fingerprint import Fingerprint

PRODUCER = f"urn:ml-governance:{__version__}"
ENVIRONMENT_FACET = "urn:ml-governance:facet:environment:v1"

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]


def run_event(
    event_type: EventType,
    *,
    at: datetime,
    namespace: str,
    job: str,
    run_id: str,
    environment: Mapping[str, Any],
    parameters: Mapping[str, str],
    inputs: Sequence[tuple[str, Fingerprint]],
    outputs: Sequence[tuple[str, str]],
    error: str | None = None,
) -> dict[str, Any]:
    """Build one event.

    Parameters
    ----------
    event_type : {'START', 'COMPLETE', 'FAIL', 'ABORT'}
        What happened to the run.
    at : datetime
        When, UTC.
    namespace, job, run_id : str
        Which run of which job; ``run_id`` is a UUID.
    environment : mapping
        As :func:`ml_governance.capture.environment.environment` gives it.
    parameters : mapping of str to str
        What the run was started with.
    inputs : sequence of (name, Fingerprint)
        Data that was used; the digest becomes the dataset's version.
    outputs : sequence of (name, sha256)
        Models that were made.
    error : str, optional
        Why it failed.

    Returns
    -------
    dict
        JSON values, valid against the published schema.
    """
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import (
        error_message_run,
        job_type_job,
        processing_engine_run,
    )
    from openlineage.client.serde import Serde

    run_facets: dict[str, Any] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=environment["python"],
            name="Python",
            openlineageAdapterVersion=__version__,
            producer=PRODUCER,
        )
    }
    if error is not None:
        run_facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=error, programmingLanguage="Python", producer=PRODUCER
        )
    event = event_v2.RunEvent(
        eventTime=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        eventType=event_v2.RunState[event_type],
        producer=PRODUCER,
        run=event_v2.Run(runId=run_id, facets=run_facets),
        job=event_v2.Job(
            namespace=namespace,
            name=job,
            facets={
                "jobType": job_type_job.JobTypeJobFacet(
                    processingType="BATCH", integration="ML_GOVERNANCE", jobType="TRAINING", producer=PRODUCER
                )
            },
        ),
        inputs=[
            event_v2.InputDataset(namespace=namespace, name=name, facets=_dataset_facets(found.sha256, found.columns))
            for name, found in inputs
        ],
        outputs=[
            event_v2.OutputDataset(namespace=namespace, name=name, facets=_dataset_facets(sha256, ()))
            for name, sha256 in outputs
        ],
    )
    built: dict[str, Any] = Serde.to_dict(event)
    facets = built["run"]["facets"]
    # Two facets that the client's classes cannot carry: they drop unknown keys, or come and go between its versions.
    facets["mlgov_environment"] = {"_producer": PRODUCER, "_schemaURL": ENVIRONMENT_FACET, **environment}
    if parameters:
        facets["executionParameters"] = {
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-0/ExecutionParametersRunFacet.json"
            "#/$defs/ExecutionParametersRunFacet",
            "parameters": [{"key": key, "value": value} for key, value in sorted(parameters.items())],
        }
    return built


def _dataset_facets(sha256: str, columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, schema_dataset

    facets: dict[str, Any] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=f"sha256:{sha256}", producer=PRODUCER
        )
    }
    if columns:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            fields=[schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in columns],
            producer=PRODUCER,
        )
    return facets
