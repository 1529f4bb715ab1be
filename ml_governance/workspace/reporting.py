"""Writing the audit report of a model version into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError
from ml_governance.workspace.config import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of one report.

    Parameters
    ----------
    html, json : Path
        One self-contained page, and the same as data.
    """

    html: Path
    json: Path

    def _repr_html_(self) -> str:
        from html import escape

        return f'<p>Audit report: <a href="{escape(str(self.html))}">{escape(self.html.name)}</a></p>'


def show(ws: Workspace, version: str | Subject, *, stage: str) -> str:
    """Put report, numbers and the newest verdict where MLflow's pages show them; return the id of the run that has them."""
    from ml_governance.evidence.predicates import Assessment, DecisionRecord
    from ml_governance.integrations.mlflow import MlflowRegistry
    from ml_governance.integrations.mlflow_display import show as shown
    from ml_governance.report import card, formats, html

    registry = ws.registry
    if not isinstance(registry, MlflowRegistry):
        raise ConfigurationError(
            f"the registry is {ws.config.registry}", expected="an MLflow registry, mlflow+<tracking uri>"
        )
    ws.config.stage(stage)
    view = ws.view()
    subject = ws.resolve(version, view)
    registration = ws.registration(subject, view)
    pack = card.build(
        view=view, subject=subject, stage=stage, project=ws.config.project, trust_root=ws.config.trust_root
    )
    measured = {one.kind: one.content for one in view.about(subject.sha256) if isinstance(one.content, Assessment)}
    decided = [
        one
        for one in view.about(subject.sha256)
        if isinstance(one.content, DecisionRecord) and one.content.stage == stage
    ]
    verdict = f"Governance: no decision for {stage} yet."
    if decided:
        content = decided[-1].content
        assert isinstance(content, DecisionRecord)  # noqa: S101  filtered above; this tells the type checker
        verdict = f"Governance: {content.result} for {stage}, decided at ledger #{decided[-1].index}."
    return shown(
        registry.client,
        name=registration.name,
        version=registration.version,
        model_id=registration.model_id,
        files={"report.html": html.render(pack), "report.json": formats.to_json(pack)},
        measured=[(kind, content.measurements, content.dataset) for kind, content in measured.items()],
        verdict=f"{verdict} The ledger at {ws.config.origin} is the proof, not this text.",
    )


def write(ws: Workspace, version: str | Subject, folder: Path, *, stage: str) -> Written:
    """Build the report from verified evidence and write it whole or not at all."""
    from ml_governance.report import card, formats, html

    ws.config.stage(stage)
    view = ws.view()
    subject = ws.resolve(version, view)
    pack = card.build(
        view=view, subject=subject, stage=stage, project=ws.config.project, trust_root=ws.config.trust_root
    )
    written = Written(html=folder / "report.html", json=folder / "report.json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(written.html, html.render(pack))
        write_atomically(written.json, formats.to_json(pack))
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written to {folder}: {error.strerror}",
            next_step="free space, or use another folder",
        ) from error
    return written
