"""OpenLineage RunEvents (spec 2-0-2) with the stock facets, as plain dicts that can be signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml_governance import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.fingerprint import Fingerprint

PRODUCER = f"urn:ml-governance:{__version__}"
ENVIRONMENT_FACET = "urn:ml-governance:facet:environment:v1"

ATTEMPT_FACET = "urn:ml-governance:facet:attempt:v1"
SERIALISATION_FACET = "urn:ml-governance:facet:serialisation:v1"

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """A run of a job, as OpenLineage names it.

    Parameters
    ----------
    namespace, job : str
        The job.
    run_id : str
        A UUID.
    """

    namespace: str
    job: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The run that this one is a step of, and the one at the top.

    Parameters
    ----------
    run, root : RunRef
        The same where the parent has none itself.
    """

    run: RunRef
    root: RunRef

    @classmethod
    def of(cls, run: RunRef, above: Parent | None) -> Parent:
        """Return a run as the parent of its steps; ``above`` is what it is a step of itself."""
        return cls(run=run, root=above.root if above is not None else run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Which try of the same work a run is.

    Parameters
    ----------
    number : int
        From 1.
    previous : str or None
        Id of the run that was tried before, where it is known.
    """

    number: int
    previous: str | None = None


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
    parent: Parent | None = None,
    attempt: Attempt | None = None,
    serialisation: Mapping[str, Mapping[str, Any]] | None = None,
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
        Models and data that were made.
    error : str, optional
        Why it failed.
    parent : Parent, optional
        What the run is a step of.
    attempt : Attempt, optional
        Which try it is; None says nothing about tries.
    serialisation : mapping of sha256 to mapping, optional
        How outputs were written, and what loading them means.

    Returns
    -------
    dict
        JSON values, valid against the published schema.
    """
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import job_type_job
    from openlineage.client.serde import Serde

    event = event_v2.RunEvent(
        eventTime=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        eventType=event_v2.RunState[event_type],
        producer=PRODUCER,
        run=event_v2.Run(runId=run_id, facets=_run_facets(environment["python"], error, parent)),
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
    # Facets that the client's classes cannot carry: they drop unknown keys, or come and go between its versions.
    facets["mlgov_environment"] = {"_producer": PRODUCER, "_schemaURL": ENVIRONMENT_FACET, **environment}
    if attempt is not None:
        facets["mlgov_attempt"] = {"_producer": PRODUCER, "_schemaURL": ATTEMPT_FACET, "number": attempt.number}
        if attempt.previous is not None:
            facets["mlgov_attempt"]["previous"] = attempt.previous
    for (_, sha256), output in zip(outputs, built["outputs"], strict=True):
        if serialisation and sha256 in serialisation:
            described = {"_producer": PRODUCER, "_schemaURL": SERIALISATION_FACET, **serialisation[sha256]}
            output["facets"]["mlgov_serialisation"] = described
    if parameters:
        facets["executionParameters"] = {
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-0/ExecutionParametersRunFacet.json"
            "#/$defs/ExecutionParametersRunFacet",
            "parameters": [{"key": key, "value": value} for key, value in sorted(parameters.items())],
        }
    return built


def _run_facets(python: str, error: str | None, parent: Parent | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, parent_run, processing_engine_run

    facets: dict[str, Any] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=python, name="Python", openlineageAdapterVersion=__version__, producer=PRODUCER
        )
    }
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=error, programmingLanguage="Python", producer=PRODUCER
        )
    if parent is not None:
        run, root = parent.run, parent.root
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(runId=run.run_id, facets=None),
            job=parent_run.Job(namespace=run.namespace, name=run.job, facets=None),
            root=parent_run.Root(
                run=parent_run.RootRun(runId=root.run_id, facets=None),
                job=parent_run.RootJob(namespace=root.namespace, name=root.job, facets=None),
            ),
            producer=PRODUCER,
        )
    return facets


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
