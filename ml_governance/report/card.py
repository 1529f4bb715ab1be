"""The audit pack as data: everything a report says, taken from verified evidence and from nowhere else.

Pure and deterministic: the same evidence gives the same card. Times come from the evidence, never from a clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_governance.decide import breakglass
from ml_governance.decide.rules import revoked
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.predicates import (
    AdverseAction,
    Assessment,
    DataQuality,
    Deployment,
    Explanation,
    Fairness,
    HumanText,
    Monitoring,
    Performance,
    PolicyInForce,
    Privacy,
    Promotion,
    Registration,
    Revocation,
    Robustness,
    SecurityScan,
    TrainingRun,
)
from ml_governance.evidence.verdicts import Approval, DecisionRecord, Waiver
from ml_governance.report import comparison, lineage, matrix, rows_of, serving, texts
from ml_governance.report.measured import assessment, fairness, source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_governance.decide.controls import Catalogue
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

CARD_VERSION = 2

LIMITATIONS = (
    "A signature proves who said something and that it was not changed; it does not prove that it is true.",
    "Recomputed numbers rest on the assessor's signed word that the artifact was loaded by digest and predicted on these rows.",
    "Intervals describe the uncertainty of sampling rows like these; they say nothing about other populations or times.",
    "Groups that the policy does not list are measured and shown, and do not decide.",
    "Controls are listed as evidence for them; whether a law is complied with is for people to judge.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One model version's audit pack; plain values throughout.

    The fields follow the order in which an auditor reads; see ``docs/reference/report.md``.
    """

    card_version: int
    subject: dict[str, str]
    stage: str
    project: str
    as_of: str
    log: dict[str, Any]
    decision: dict[str, Any] | None
    policy: dict[str, Any] | None
    registration: dict[str, Any] | None
    environment: dict[str, Any] | None
    people: tuple[dict[str, Any], ...]
    human: tuple[dict[str, Any], ...]
    data: tuple[dict[str, Any], ...]
    lineage: lineage.Graph
    events: tuple[dict[str, Any], ...]
    performance: dict[str, Any] | None
    fairness: dict[str, Any] | None
    explanation: dict[str, Any] | None
    data_quality: dict[str, Any] | None
    privacy: dict[str, Any] | None
    robustness: dict[str, Any] | None
    security: dict[str, Any] | None
    approvals: tuple[dict[str, Any], ...]
    promotions: tuple[dict[str, Any], ...]
    break_glass: tuple[dict[str, Any], ...]
    withdrawals: tuple[dict[str, Any], ...]
    attempts: dict[str, int]
    controls: tuple[dict[str, Any], ...]
    matrix: tuple[dict[str, Any], ...]
    editions: tuple[dict[str, Any], ...]
    plan: tuple[dict[str, Any], ...]
    deployments: tuple[dict[str, Any], ...]
    monitoring: tuple[dict[str, Any], ...]
    predecessor: dict[str, Any] | None
    limitations: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        value = asdict(self)
        value["lineage"] = lineage.to_dict(self.lineage)
        return value


def build(
    *,
    view: EvidenceView,
    subject: Subject,
    stage: str,
    project: str,
    trust_root: str,
    catalogue: Catalogue | None = None,
) -> Card:
    """Build the audit pack of one model version.

    Parameters
    ----------
    view : EvidenceView
        Verified and complete.
    subject : Subject
        The model version.
    stage, project : str
        For which stage it is, or was, to be judged, and whose it is.
    trust_root : str
        ``sha256:...`` under which the log was verified.
    catalogue : Catalogue, optional
        Controls and the dated clauses that they are evidence for; without it controls are shown by their ids alone.

    Returns
    -------
    Card
    """
    common: dict[str, Any] = {
        "view": view,
        "stage": stage,
        "project": project,
        "trust_root": trust_root,
        "catalogue": catalogue,
    }
    pack = _assemble(subject=subject, **common)
    earlier = comparison.predecessor(view, subject, stage)
    if earlier is None:
        return pack
    compared = comparison.compare(_assemble(subject=earlier, **common), pack)
    return replace(pack, predecessor={
        "name": earlier.name, "sha256": earlier.sha256, "changes": [asdict(row) for row in compared.changes],
        "entries": [one.index for one in view.about(earlier.sha256, Promotion.kind)],
    })  # fmt: skip


def _assemble(
    *, view: EvidenceView, subject: Subject, stage: str, project: str, trust_root: str, catalogue: Catalogue | None
) -> Card:
    about = view.about(subject.sha256)
    run_ids = {one.subjects[0].sha256 for one in about if isinstance(one.content, TrainingRun)}
    events = sorted(
        {one.index: one for one in (*about, *(e for run in run_ids for e in view.about(run)))}.values(),
        key=lambda one: one.index,
    )
    decided = _newest(about, DecisionRecord, lambda one: one.content.stage == stage)
    registered = _newest(about, Registration)
    decision = None if decided is None else _whole(decided)
    withdrawn = revoked(view)
    said = texts.human(about, withdrawn)
    controls = _controls(decision, catalogue.titles if catalogue is not None else {})
    recorded = (*events, *(one for kind in _GLOBAL for one in view.of_kind(kind)))
    return Card(
        card_version=CARD_VERSION,
        subject={"name": subject.name, "sha256": subject.sha256},
        stage=stage,
        project=project,
        as_of=stamp(max(one.recorded_at for one in view.attestations)),
        log={"origin": view.origin, "size": view.size, "root": view.root_hash, "trustRoot": trust_root},
        decision=decision,
        policy=_policy(view, stage),
        registration=None if registered is None else _whole(registered),
        environment=_environment(about),
        people=_people(events, view),
        human=said,
        data=_data(about),
        lineage=lineage.shown(lineage.trace(view, subject)),
        events=tuple(_event(one) for one in events),
        performance=assessment(_newest(about, Performance)),
        fairness=fairness(_newest(about, Fairness), decision),
        explanation=assessment(_newest(about, Explanation)),
        data_quality=rows_of.data_quality(_newest(about, DataQuality)),
        privacy=rows_of.privacy(_newest(about, Privacy)),
        robustness=assessment(_newest(about, Robustness)),
        security=assessment(_newest(about, SecurityScan)),
        approvals=tuple(
            _approval(one, withdrawn)
            for one in about
            if isinstance(one.content, Approval | Waiver) and one.content.stage == stage
        ),
        promotions=tuple(_whole(one) for one in about if isinstance(one.content, Promotion)),
        break_glass=tuple(
            _use(one) for one in breakglass.uses(view) if one.review is None or one.entry.about(subject.sha256)
        ),
        withdrawals=tuple(
            {**source(one), **one.content.to_wire(), "counts": one in withdrawn.values()}
            for one in about
            if isinstance(one.content, Revocation)
        ),
        attempts={
            kind.kind: sum(isinstance(one.content, kind) for one in about)
            for kind in (Performance, Fairness, Explanation, DataQuality, Privacy, Robustness)
        },
        controls=controls,
        matrix=() if catalogue is None else matrix.matrix(catalogue, controls, recorded, said),
        editions=() if catalogue is None else matrix.editions(catalogue),
        plan=serving.plan(view, stage),
        deployments=serving.deployments(about),
        monitoring=serving.windows(about, withdrawn),
        predecessor=None,
        limitations=LIMITATIONS,
    )


_GLOBAL = ("trust", "policy", "delegation")
"""Kinds that are about no model, and evidence for a control of any."""


def _newest(entries: Iterable[Attestation], kind: type[Any], condition: Any = None) -> Attestation | None:
    found = None
    for one in entries:
        if isinstance(one.content, kind) and (condition is None or condition(one)):
            found = one
    return found


def _whole(entry: Attestation) -> dict[str, Any]:
    return {**source(entry), **entry.content.to_wire()}


def _policy(view: EvidenceView, stage: str) -> dict[str, Any] | None:
    entry = _newest(view.of_kind(PolicyInForce.kind), PolicyInForce, lambda one: one.content.stage == stage)
    if entry is None or not isinstance(entry.content, PolicyInForce):
        return None
    content = entry.content
    return {**source(entry), "name": content.name, "version": content.version, "sha256": content.sha256}


def _environment(about: Iterable[Attestation]) -> dict[str, Any] | None:
    """Return what the newest training run that says so ran on."""
    found = None
    for one in about:
        if isinstance(one.content, TrainingRun):
            facets = one.content.event.get("run", {}).get("facets", {})
            facet = facets.get("mlgov_environment")
            given = facets.get("executionParameters", {}).get("parameters", ())
            if facet is not None:
                described = {name: value for name, value in facet.items() if not name.startswith("_")}
                found = {**source(one), **described, "parameters": {p["key"]: p["value"] for p in given}}
    return found


def _people(events: Iterable[Attestation], view: EvidenceView) -> tuple[dict[str, Any], ...]:
    did: dict[str, dict[str, list[int]]] = {}
    for one in events:
        did.setdefault(one.principal.id, {}).setdefault(one.kind, []).append(one.index)
    people = []
    for name in sorted(did):
        person = view.principals.get(name)
        people.append(
            {
                "id": name,
                "name": person.name if person else name,
                "roles": sorted(person.roles) if person else [],
                "custodian": person.custodian if person else "",
                "signed": [{"kind": kind, "entries": entries} for kind, entries in sorted(did[name].items())],
            }
        )
    return tuple(people)


def _data(about: Iterable[Attestation]) -> tuple[dict[str, Any], ...]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in about:
        content = one.content
        if isinstance(content, TrainingRun):
            used = [("training", resource) for resource in content.inputs]
        elif isinstance(content, Monitoring | SecurityScan):
            continue  # a scan reads no rows; the counts of a window are no table, and may be many: section 12 lists them
        elif isinstance(content, Assessment):
            used = [("assessment", content.dataset)]
        else:
            continue
        for use, resource in used:
            entry = found.setdefault(
                (use, resource.sha256),
                {
                    "use": use,
                    "name": resource.name,
                    "sha256": resource.sha256,
                    "rows": resource.rows,
                    "entries": [],
                },
            )
            entry["entries"].append(one.index)
    trained = {sha for use, sha in found if use == "training"}
    for (use, sha), entry in found.items():
        entry["overlap"] = "the same table as a training input" if use == "assessment" and sha in trained else ""
    return tuple(found.values())


def _event(entry: Attestation) -> dict[str, Any]:
    content = entry.content
    detail = ""
    if isinstance(content, TrainingRun):
        detail = str(content.event.get("eventType", ""))
    elif isinstance(content, DecisionRecord):
        detail = f"{content.result} for {content.stage}"
    elif isinstance(content, Promotion):
        detail = f"{content.phase}{': ' + content.result if content.result else ''}"
    elif isinstance(content, Approval):
        detail = f"{content.verdict} as {content.role.replace('_', ' ')}"
    elif isinstance(content, Monitoring):
        detail = f"{content.stage}, {content.predicted:,} predictions"
    elif isinstance(content, Assessment):
        detail = f"predictions {content.predictions}"
    elif isinstance(content, Registration):
        detail = f"{content.name}/{content.version}"
    elif isinstance(content, Deployment):
        detail = f"{content.phase} in {content.stage}"
    elif isinstance(content, AdverseAction):
        detail = f"reasons stated to {content.declined:,}"
    elif isinstance(content, HumanText):
        detail = content.name
    return {
        **source(entry),
        "kind": entry.kind,
        "about": entry.subjects[0].name,
        "detail": detail,
        "keyid": entry.keyid,
    }


def _approval(entry: Attestation, withdrawn: Mapping[str, Attestation]) -> dict[str, Any]:
    by = withdrawn.get(entry.payload_digest)
    taken_back = {} if by is None else {"withdrawnAt": by.index}
    return {**source(entry), "kind": entry.kind, **entry.content.to_wire(), **taken_back}


def _use(one: breakglass.Use) -> dict[str, Any]:
    return {
        **source(one.entry),
        "model": one.entry.subjects[0].name,
        **one.content.to_wire(),
        "review": None if one.review is None else {**source(one.review), **one.review.content.to_wire()},
        "flaw": one.flaw,
    }


def _controls(decision: dict[str, Any] | None, titles: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """Return each control that a rule is evidence for, with what its rules found."""
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in (decision or {}).get("findings", ()):
        for control in finding.get("controls", ()):
            found.setdefault(control, []).append((finding["id"], finding["status"]))
    controls = []
    for control in sorted(found):
        statuses = {status for _, status in found[control]}
        if statuses <= {"pass"}:
            state = "satisfied"
        elif statuses & {"missing", "stale", "error"}:
            state = "no usable evidence"
        elif statuses & {"fail"}:
            state = "not satisfied"
        else:
            state = "open"
        rules = [rule for rule, _ in found[control]]
        controls.append({"control": control, "title": titles.get(control), "state": state, "rules": rules})
    return tuple(controls)
