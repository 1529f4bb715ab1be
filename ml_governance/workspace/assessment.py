"""Assessing a registered model: its bytes checked, its predictions recomputed, what was measured signed, all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ml_governance.assess.audit import KINDS, PREDICTED, check_kinds
from ml_governance.decide.champion import PAIRED
from ml_governance.decide.conditions import OVERLAP
from ml_governance.errors import DataError, UsageError
from ml_governance.evidence.predicates import BASELINE, Resource
from ml_governance.workspace import people
from ml_governance.workspace.tables import label_like, read, require_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.material import Material, Training
    from ml_governance.assess.performance import Task
    from ml_governance.assess.recompute import Recomputed
    from ml_governance.assess.report import Report
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.predicates import Assessment
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace

USUAL = ("performance", "fairness", "explanation")
"""What is measured when nobody says."""
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to measure, and how; as :meth:`ml_governance.Workspace.assess` takes it.

    Parameters
    ----------
    y_true : str or None
        Column of the label; None only where nothing is predicted.
    sensitive_features, kinds, pos_label, background, confidence, min_group_size, seed, training, against, rerun, task, costs
        As there.
    options : mapping of kind to mapping
        Further options of the function that measures a kind.
    """

    y_true: str | None
    sensitive_features: tuple[str, ...] = ()
    kinds: tuple[str, ...] = USUAL
    pos_label: Any = None
    background: Any = None
    confidence: float = 0.95
    min_group_size: int = 30
    seed: int = 0
    training: tuple[Any, ...] = ()
    against: str | Subject | None = None
    rerun: str | Subject | None = None
    task: Task = "binary"
    costs: Costs | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def levels(self) -> dict[str, Any]:
        """Options of intervals."""
        return {"confidence": self.confidence, "min_group_size": self.min_group_size}

    def of(self, kind: str) -> dict[str, Any]:
        """Return the further options of a kind."""
        return dict(self.options.get(kind, _NONE))

    def checked(self) -> Asked:
        """Return the same, if its parts go together.

        Raises
        ------
        UsageError
            If a kind is unknown, or options are of none that is measured.
        DataError
            If the label or training rows are needed and not named.
        """
        check_kinds(self.kinds)
        strange = [kind for kind, options in self.options.items() if options and kind not in self.kinds]
        if self.rerun is not None and "robustness" not in self.kinds:
            strange.append("robustness")
        if strange:
            raise UsageError(
                f"options of {strange[0]} are given", expected=f"{strange[0]} among the kinds {list(self.kinds)}"
            )
        if "privacy" in self.kinds and not self.training:
            raise DataError("there are no training rows", expected="training, what the model was trained on")
        if self.y_true is None and set(self.kinds) & set(PREDICTED):
            raise DataError("nobody says which column is the label", expected="y_true, a column of the data")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """What an assessment measured, and where it stands in the ledger.

    Parameters
    ----------
    subject : Subject
        The model version.
    dataset : Resource
        The rows, by digest.
    reports : dict of str to report
        By kind, such as ``fairness``.
    receipts : dict of str to Receipt
        By the same kinds.
    """

    subject: Subject
    dataset: Resource
    reports: dict[str, Report] = field(repr=False)
    receipts: dict[str, Receipt] = field(repr=False)

    def __getattr__(self, kind: str) -> Report:
        """Return the report of a kind, so that ``assessed.fairness`` and ``assessed.data_quality`` read well."""
        reports: dict[str, Report] = object.__getattribute__(self, "reports")
        if kind.replace("_", "-") in reports:
            return reports[kind.replace("_", "-")]
        raise AttributeError(kind)

    def _repr_html_(self) -> str:
        from html import escape

        parts = [f"<h4>{escape(self.subject.name)} on {escape(self.dataset.name)} ({self.dataset.rows} rows)</h4>"]
        for kind, report in self.reports.items():
            parts.append(f"<p>{escape(kind)}: ledger #{self.receipts[kind].index}</p>{report._repr_html_()}")
        return "".join(parts)


def assess(ws: Workspace, version: str | Subject, data: Any, asked: Asked) -> Assessed:
    """Recompute predictions on digested rows, measure, and sign what was measured: every kind, or none."""
    from ml_governance.assess import kinds as of
    from ml_governance.workspace import scanning
    from ml_governance.workspace.overlap import with_training

    asked = asked.checked()
    writer = ws.writer
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    registration = ws.registration(subject, view)
    frame, dataset = read(data)
    labelled = () if asked.y_true is None else (asked.y_true,)
    require_columns(frame, (*labelled, *asked.sensitive_features), dataset.name)
    reports: dict[str, Report] = {}
    details: dict[str, Any] = {}
    of_kind: dict[str, dict[str, Any]] = {}
    try:
        trained = None
        if asked.training:
            trained, details[OVERLAP] = with_training(frame, asked.training, subject, view, seed=asked.seed)
        if set(asked.kinds) & set(PREDICTED):
            of_model, more, known = _predicted(ws, view, subject, frame, dataset, trained, asked)
            reports |= of_model
            details |= more
            of_kind = dict.fromkeys(("performance", "fairness"), known)
        if "data-quality" in asked.kinds:
            ws.narrate(f"measuring the quality of {len(frame):,} rows")
            reports["data-quality"] = of.quality(
                frame, y_true=asked.y_true, sensitive_features=asked.sensitive_features,
                trained=None if trained is None else trained.rows,
                **{"seed": asked.seed, **asked.levels, **asked.of("data-quality")},
            )  # fmt: skip
        if "security-scan" in asked.kinds:
            scanned = scanning.look(ws, subject, registration, **asked.of("security-scan"))
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"measured: {', '.join(reports) or 'nothing'}; nothing was signed")
        raise
    contents = {
        kind: _with_details(reports[kind], dataset, {**details, **of_kind.get(kind, {})})
        for kind in KINDS
        if kind in reports
    }
    if "security-scan" in asked.kinds:
        reports["security-scan"] = scanned
        contents["security-scan"] = scanned.to_content(predictions="recomputed", dataset=scanned.inputs())
    try:
        signed = writer.record_all([(content, [subject]) for content in contents.values()])
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"{', '.join(contents)}: all of them were signed, or none; mlgov log ls says which")
        raise
    return Assessed(
        subject=subject, dataset=dataset, reports={kind: reports[kind] for kind in contents},
        receipts=dict(zip(contents, signed, strict=True)),
    )  # fmt: skip


def _predicted(
    ws: Workspace,
    view: EvidenceView,
    subject: Subject,
    frame: pd.DataFrame,
    dataset: Resource,
    trained: Training | None,
    asked: Asked,
) -> tuple[dict[str, Report], dict[str, Any], dict[str, Any]]:
    """Return the reports about what the model says, what all of them are signed with, and what performance and fairness are besides."""
    from ml_governance.assess import kinds as of
    from ml_governance.assess.baseline import baseline
    from ml_governance.assess.explanation import ExplanationReport
    from ml_governance.assess.robustness import RobustnessReport
    from ml_governance.workspace import measuring

    assert asked.y_true is not None  # noqa: S101  checked with the kinds
    kinds, y_true, names = asked.kinds, asked.y_true, asked.sensitive_features
    if trained is not None and "privacy" in kinds:
        require_columns(trained.rows, (y_true, *names), "the training data")
        if trained.known.all():
            raise DataError(
                f"every row of {dataset.name} is a training row", expected="rows that the model was not trained on"
            )
    pos_label = label_like(asked.pos_label, frame[y_true])
    given, outcome = _asked_once(ws, view, subject, frame, trained, asked, pos_label)
    reports: dict[str, Report] = {}
    for kind, measure in {"performance": of.performance, "fairness": of.fairness}.items():
        if kind in kinds:
            ws.narrate(f"measuring {kind}")
            reports[kind] = measure(given)
    if outcome.explanation is not None:
        reports["explanation"] = ExplanationReport.from_dict(outcome.explanation)
    if outcome.robustness is not None:
        reports["robustness"] = RobustnessReport.from_dict(outcome.robustness)
    if "privacy" in kinds:
        ws.narrate("measuring privacy")
        reports["privacy"] = of.privacy(given, **asked.of("privacy"))
    others = partial(
        measuring.asked, ws, view, frame=frame, y_true=y_true, sensitive_features=names, pos_label=pos_label,
        task=asked.task,
    )  # fmt: skip
    sensitive = frame[list(names)]
    if asked.rerun is not None:
        other = ws.resolve(asked.rerun, view)
        reports["robustness"] = measuring.with_second_training(
            reports["robustness"], sensitive, (subject, outcome), (other, others(other)), asked.of("robustness").get("tolerance")
        )  # fmt: skip
    details: dict[str, Any] = {}
    if asked.against is not None:
        other = ws.resolve(asked.against, view)
        paired = measuring.compared(
            given.labels, sensitive, outcome, others(other), task=asked.task, costs=asked.costs, pos_label=pos_label, **asked.levels
        )  # fmt: skip
        details[PAIRED] = paired.to_details(other.sha256)
    known: dict[str, Any] = {}
    if asked.task == "binary" and set(kinds) & {"performance", "fairness"}:
        known[BASELINE] = baseline(
            given.features, y_pred=outcome.y_pred, y_score=outcome.y_score, y_true=given.labels, sensitive_features=names,
            pos_label=pos_label, min_rows=asked.min_group_size,
        )  # fmt: skip
    return reports, details, known


def _asked_once(
    ws: Workspace,
    view: EvidenceView,
    subject: Subject,
    frame: pd.DataFrame,
    trained: Training | None,
    asked: Asked,
    pos_label: Any,
) -> tuple[Material, Recomputed]:
    """Ask the model, in a process without keys: about the rows and some training rows; and explain and perturb there."""
    from ml_governance.assess.material import MAX_BACKGROUND, MAX_PERTURBED, Material, drawn
    from ml_governance.assess.recompute import recompute

    assert asked.y_true is not None  # noqa: S101  checked with the kinds
    registration = ws.registration(subject, view)
    artifact = ws.registry.artifact(registration.name, registration.version)  # slow, so after every quick refusal
    common = {"seed": asked.seed, **asked.levels}
    explain = {**common, **asked.of("explanation")} if "explanation" in asked.kinds else None
    perturb = {"max_rows": MAX_PERTURBED, **common, **asked.of("robustness")} if "robustness" in asked.kinds else None
    compared = None if explain is None else _background(asked.background, frame)
    more = [what for what, wanted in (("explaining", explain), ("perturbing", perturb)) if wanted is not None]
    also = f", and {' and '.join(more)}," if more else ""
    ws.narrate(f"predicting{also} {len(frame):,} rows with {subject.name} in a process without keys")
    outcome = recompute(
        artifact,
        sha256=subject.sha256,
        loader=ws.registry.LOADER,
        rows=frame,
        exclude=(asked.y_true,),
        sensitive_features=asked.sensitive_features,
        pos_label=pos_label,
        task=asked.task,
        background=None if compared is None else drawn(compared, MAX_BACKGROUND, asked.seed),
        explain=explain,
        perturb=perturb,
        more=trained.drawn if trained is not None and "privacy" in asked.kinds else None,
    )
    if compared is not None and outcome.explanation is not None and len(compared) > MAX_BACKGROUND:
        outcome.explanation["details"]["background_drawn_from"] = len(compared)
    given = Material(
        rows=frame, y_true=asked.y_true, sensitive_features=asked.sensitive_features, predicted=outcome, training=trained,
        inside=outcome.more, task=asked.task, pos_label=pos_label, costs=asked.costs, seed=asked.seed, **asked.levels,
    )  # fmt: skip
    return given, outcome


def _with_details(report: Report, dataset: Resource, details: dict[str, Any]) -> Assessment:
    content = report.to_content(predictions="recomputed", dataset=dataset)
    return content.model_copy(update={"details": {**content.details, **details}})


def attest(
    ws: Workspace, version: str | Subject, reports: Sequence[Report], *, data: Any = None
) -> tuple[Receipt, ...]:
    """Sign reports that the caller computed."""
    if not reports:
        raise UsageError("there is nothing to attest", expected="at least one report")
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    if data is None:
        datasets = [report.inputs() for report in reports]
    else:
        datasets = [data if isinstance(data, Resource) else read(data)[1]] * len(reports)
    return tuple(
        ws.writer.record(report.to_content(predictions="caller-supplied", dataset=dataset), [subject])
        for report, dataset in zip(reports, datasets, strict=True)
    )


def _background(background: Any, frame: pd.DataFrame) -> pd.DataFrame:
    return frame if background is None else read(background).frame
