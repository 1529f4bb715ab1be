"""Writing the audit report of a model version into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError, LedgerError, UsageError
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.shipped import controls_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.card import Card
    from ml_governance.workspace.session import Workspace


FILES = {
    "html": "report.html", "json": "report.json", "model-card": "model-card.md", "ml-bom": "bom.cdx.json",
    "oscal": "oscal-results.json", "dossier": "dossier.zip",
}  # fmt: skip
"""The forms of a report, and the file that each is written to."""
FORMS = tuple(form for form in FILES if form != "dossier")
"""The forms that are one view of the card each; a dossier holds them all, and the evidence."""
USUAL = ("html", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of one report.

    Parameters
    ----------
    files : mapping of str to Path
        By form: ``html`` is one self-contained page, ``json`` the same as data, and so on.
    """

    files: Mapping[str, Path]

    def _repr_html_(self) -> str:
        from html import escape

        links = (f'<a href="{escape(str(path))}">{escape(path.name)}</a>' for path in self.files.values())
        return f"<p>Audit report: {', '.join(links)}</p>"


def show(ws: Workspace, version: str | Subject, *, stage: str) -> str:
    """Put report, numbers and the newest verdict where MLflow's pages show them; return the id of the run that has them."""
    from ml_governance.evidence.predicates import Assessment, DecisionRecord
    from ml_governance.integrations.mlflow import MlflowRegistry
    from ml_governance.integrations.mlflow_display import show as shown
    from ml_governance.report import formats, html

    registry = ws.registry
    if not isinstance(registry, MlflowRegistry):
        raise ConfigurationError(
            f"the registry is {ws.config.registry}", expected="an MLflow registry, mlflow+<tracking uri>"
        )
    view, subject, pack = _packed(ws, version, stage)
    registration = ws.registration(subject, view)
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


def write(ws: Workspace, version: str | Subject, folder: Path, *, stage: str, forms: Sequence[str] = USUAL) -> Written:
    """Build the report from verified evidence and write it whole or not at all."""
    strange = [form for form in forms if form not in FILES]
    if strange or not forms:
        raise UsageError(
            f"a report has no form {strange[0]!r}" if strange else "no form is named",
            expected=f"some of {', '.join(FILES)}",
        )
    view, subject, pack = _packed(ws, version, stage)
    wanted = FORMS if "dossier" in forms else tuple(dict.fromkeys(forms))
    made: dict[str, str | bytes] = {form: _rendered(form, pack) for form in wanted}
    if "dossier" in forms:
        made["dossier"] = _dossier(ws, view, subject, pack, {FILES[form]: str(text) for form, text in made.items()})
    files = {form: folder / FILES[form] for form in made if form in forms}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for form, path in files.items():
            write_atomically(path, made[form])
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written to {folder}: {error.strerror}",
            next_step="free space, or use another folder",
        ) from error
    return Written(files=files)


def _packed(ws: Workspace, version: str | Subject, stage: str) -> tuple[EvidenceView, Subject, Card]:
    from ml_governance.report import card

    known = controls_beside(ws.root / ws.config.stage(stage).policy)
    view = ws.view()
    subject = ws.resolve(version, view)
    pack = card.build(
        view=view, subject=subject, stage=stage, project=ws.config.project, trust_root=ws.config.trust_root,
        catalogue=known,
    )  # fmt: skip
    return view, subject, pack


def _rendered(form: str, pack: Card) -> str:
    from ml_governance.report import formats, html, ml_bom, model_card, oscal

    makers = {
        "html": html.render, "json": formats.to_json, "model-card": model_card.to_model_card, "ml-bom": ml_bom.to_ml_bom,
        "oscal": oscal.to_oscal,
    }  # fmt: skip
    return makers[form](pack)


def _dossier(ws: Workspace, view: EvidenceView, subject: Subject, pack: Card, views: Mapping[str, str]) -> bytes:
    """Collect everything about a model, the runs that made it included, from the log as it was verified."""
    from ml_governance.evidence import bundle
    from ml_governance.evidence.predicates import PolicyInForce, TrainingRun
    from ml_governance.report.dossier import to_dossier

    runs = {one.subjects[0].sha256 for one in view.about(subject.sha256) if isinstance(one.content, TrainingRun)}
    found = bundle.collect(ws.ledger, [subject.sha256, *sorted(runs - {subject.sha256})])
    if int(found.checkpoint.split("\n")[1]) != view.size:
        raise LedgerError("the log grew while the dossier was being made", next_step="repeat the command")
    policies = [one.content for one in view.of_kind(PolicyInForce.kind) if isinstance(one.content, PolicyInForce)]
    text = next((one.text for one in reversed(policies) if one.stage == pack.stage), None)
    return to_dossier(pack, views=views, bundle=found.to_bytes(), policy=text)
