"""Writing the audit report of a model version into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, LedgerError, UsageError, VerificationError
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.shipped import controls_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.statement import Subject
    from ml_governance.report.card import Card
    from ml_governance.workspace.session import Workspace


FILES = {
    "html": "report.html", "json": "report.json", "model-card": "model-card.md", "ml-bom": "bom.cdx.json",
    "oscal": "oscal-results.json", "dossier": "dossier.zip", "pdf": "report.pdf", "signed-pdf": "report.signed.pdf",
}  # fmt: skip
"""The forms of an audit report, and the file that each is written to."""
FORMS = ("html", "json", "model-card", "ml-bom", "oscal")
"""The forms that are one view of the card each; a dossier holds them all, and the evidence."""
PAGES = ("html", "json", "pdf", "signed-pdf")
"""The forms that every kind of report has."""
KINDS = ("audit", "ll144-summary", "annex-iv", "compare", "adverse-action")
"""Kinds of reports: all that is known of a version; what New York City has published of its audit; a technical file in the order of
Annex IV of the EU AI Act; two versions side by side; how reasons for declines were stated."""
ALONE = ("model-card", "dossier")
"""Forms of an audit that go by the name of a kind as well."""
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
    from ml_governance.evidence.predicates import Assessment
    from ml_governance.evidence.verdicts import DecisionRecord
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


def asked_for(kind: str, forms: Sequence[str] | None) -> dict[str, Any]:
    """Return the kind and the forms that somebody means: a model card and a dossier are an audit in that one form.

    Raises
    ------
    UsageError
        If one of these is asked for in another form.
    """
    if kind not in ALONE:
        return {"kind": kind, "forms": USUAL if forms is None else tuple(forms)}
    if forms is not None and set(forms) != {kind}:
        raise UsageError(
            f"a report of the kind {kind} is one file, and has no other form", expected=f"no form, or --form {kind}"
        )
    return {"kind": "audit", "forms": (kind,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be written.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    stage : str
        For which stage the version is, or was, to be judged.
    forms : sequence of str
        Of :data:`FILES` for an audit, else of :data:`PAGES`.
    against : str or Subject or None
        The earlier version of a comparison.
    columns : tuple of (str or None, str or None)
        Columns of sex and of race/ethnicity, for ``ll144-summary``; None for the usual names.

    Raises
    ------
    UsageError
        If a name is unknown, or the parts do not go together.
    """

    kind: str = "audit"
    stage: str = "production"
    forms: Sequence[str] = USUAL
    against: str | Subject | None = None
    columns: tuple[str | None, str | None] = (None, None)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"there is no kind of report {self.kind!r}", expected=f"one of {', '.join((*KINDS, *ALONE))}"
            )
        known = tuple(FILES) if self.kind == "audit" else PAGES
        strange = [form for form in self.forms if form not in known]
        if strange or not self.forms:
            what = "a report" if self.kind == "audit" else f"a report of the kind {self.kind}"
            raise UsageError(
                f"{what} has no form {strange[0]!r}" if strange else "no form is named",
                expected=f"some of {', '.join(known)}",
            )
        if (self.kind == "compare") != (self.against is not None):
            raise UsageError(
                "a comparison names one version"
                if self.against is None
                else f"a report of the kind {self.kind} has no other version",
                expected="the other one, such as --against credit-risk/1" if self.against is None else "--kind compare",
            )
        if self.kind != "ll144-summary" and any(self.columns):
            raise UsageError(f"a report of the kind {self.kind} names no column", expected="--kind ll144-summary")

    def file(self, form: str) -> str:
        """Return the name of the file of a form."""
        return FILES[form] if self.kind == "audit" else f"{self.kind}{FILES[form].removeprefix('report')}"


def write(ws: Workspace, version: str | Subject, folder: Path, wanted: Wanted) -> Written:
    """Build the report from verified evidence and write it whole or not at all; a log that does not verify gives a page that says so."""
    signer = ws.require_signer() if "signed-pdf" in wanted.forms else None
    try:
        view, subject, pack = _packed(ws, version, wanted.stage)
    except VerificationError as error:
        raise _told(ws, version, folder, wanted, error) from error
    from ml_governance.report import formats

    forms = tuple(dict.fromkeys((*(FORMS if "dossier" in wanted.forms else ()), *wanted.forms)))
    page, data = _document(ws, view, subject, pack, wanted)
    made: dict[str, str | bytes] = {}
    for form in forms:
        if form in USUAL:
            made[form] = page if form == "html" else formats.written(data)
        elif form in FORMS:
            made[form] = _rendered(form, pack)
    if "dossier" in forms:
        made["dossier"] = _dossier(ws, view, subject, pack, {FILES[form]: str(made[form]) for form in FORMS})
    if {"pdf", "signed-pdf"} & set(forms):
        from ml_governance.report.pdf import to_pdf

        made["pdf"] = to_pdf(page)
    if signer is not None:
        made["signed-pdf"] = _signed(ws, view, bytes(made["pdf"]), signer, subject, wanted)  # type: ignore[arg-type]  # made above
    return _written(folder, {wanted.file(form): made[form] for form in wanted.forms}, wanted)


def _written(folder: Path, files: Mapping[str, str | bytes], wanted: Wanted) -> Written:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written to {folder}: {error.strerror}",
            next_step="free space, or use another folder",
        ) from error
    return Written(files={form: folder / wanted.file(form) for form in wanted.forms if wanted.file(form) in files})


def _told(
    ws: Workspace, version: str | Subject, folder: Path, wanted: Wanted, error: VerificationError
) -> VerificationError:
    """Write, in the place of the page and of the data, that the log does not verify; return the error that says where it stands."""
    from ml_governance.report import formats, html

    model = version if isinstance(version, str) else version.name
    page = html.unverified(model, error, origin=ws.config.origin, trust_root=ws.config.trust_root, kind=wanted.kind)
    data = {
        "model": model,
        "verified": False,
        "found": error.found,
        "log": {"origin": ws.config.origin, "trustRoot": ws.config.trust_root},
    }
    try:
        for form in wanted.forms:
            if form not in USUAL:  # an earlier one would be taken for the one that was asked for
                (folder / wanted.file(form)).unlink(missing_ok=True)
        _written(folder, {wanted.file("html"): page, wanted.file("json"): formats.written(data)}, wanted)
        told = f"{folder / wanted.file('html')} says so in the place of the report"
    except (ConfigurationError, OSError) as unwritten:
        told = f"no page says so, because {unwritten.found if isinstance(unwritten, ConfigurationError) else unwritten}"
    return VerificationError(
        error.found, expected=error.expected, next_step=f"{error.next_step or 'mlgov log verify'}; {told}"
    )


def _document(
    ws: Workspace, view: EvidenceView, subject: Subject, pack: Card, wanted: Wanted
) -> tuple[str, Mapping[str, Any]]:
    """Return a report as a page and as data."""
    from ml_governance.report import adverse_action, annex_iv, comparison, html, ll144_summary

    if wanted.kind == "ll144-summary":
        summary = ll144_summary.build(pack, view, subject, columns=wanted.columns)
        return html.summary(summary), summary.to_dict()
    if wanted.kind == "adverse-action":
        stated = adverse_action.build(pack, view, subject)
        return html.stated(stated), stated.to_dict()
    if wanted.kind == "annex-iv":
        file = annex_iv.build(pack)
        return html.technical_file(file), file.to_dict()
    if wanted.against is not None:
        other = ws.resolve(wanted.against, view)
        if other.sha256 == subject.sha256:
            raise UsageError(f"{other.name} and {subject.name} are the same bytes", expected="two versions")
        two = comparison.compare(_card(ws, view, other, wanted.stage), pack)
        return html.compared(two), two.to_dict()
    return html.render(pack), pack.to_dict()


def _signed(ws: Workspace, view: EvidenceView, pdf: bytes, signer: Signer, subject: Subject, wanted: Wanted) -> bytes:
    """Sign a PDF with the key of the person who acts, and record its digest: what was signed outside the log is known in it."""
    from ml_governance.evidence.canonical import sha256_hex
    from ml_governance.report.signed_pdf import signed
    from ml_governance.workspace import texts

    texts.require_role(ws, view)
    me = ws.me(view)
    reason = f"Report of the kind {wanted.kind} about {subject.name}, sha256 {subject.sha256}, from {view.size} entries of {view.origin}"
    made = signed(pdf, signer, name=me.name, reason=reason, at=ws.clock())
    said = f"{reason}. Signed PDF: sha256:{sha256_hex(made)}, public key: sha256:{signer.public.spki_sha256} (SubjectPublicKeyInfo, DER)."
    texts.record(ws, texts.SIGNED_REPORT, said, subject)
    return made


def _packed(ws: Workspace, version: str | Subject, stage: str) -> tuple[EvidenceView, Subject, Card]:
    view = ws.view()
    subject = ws.resolve(version, view)
    return view, subject, _card(ws, view, subject, stage)


def _card(ws: Workspace, view: EvidenceView, subject: Subject, stage: str) -> Card:
    from ml_governance.report import card

    known = controls_beside(ws.root / ws.config.stage(stage).policy)
    return card.build(
        view=view, subject=subject, stage=stage, project=ws.config.project, trust_root=ws.config.trust_root,
        catalogue=known,
    )  # fmt: skip


def _rendered(form: str, pack: Card) -> str:
    from ml_governance.report import ml_bom, model_card, oscal

    makers = {"model-card": model_card.to_model_card, "ml-bom": ml_bom.to_ml_bom, "oscal": oscal.to_oscal}
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
