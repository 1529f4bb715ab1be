"""Monitoring a deployment: late labels, the comparison, its signed record, and what the policy in force makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.decide import rules
from ml_governance.decide.finding import EVIDENCE_PROBLEMS, OPEN
from ml_governance.decide.policy import in_force
from ml_governance.errors import DataError, MissingEvidenceError
from ml_governance.evidence.predicates import Monitoring
from ml_governance.operate.standing import standing_of
from ml_governance.workspace import people
from ml_governance.workspace.deploying import baseline_of, windows_file

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.assess.baseline import Baseline
    from ml_governance.decide.finding import Finding
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.operate.counting import Layout
    from ml_governance.operate.monitor import MonitoringReport
    from ml_governance.operate.windows import Joined, Windows
    from ml_governance.workspace.session import Workspace

ID, LABEL = "id", "label"
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """A window that was compared and signed.

    Parameters
    ----------
    subject : Subject
        The model.
    report : MonitoringReport
        The comparison.
    receipt : Receipt
        Its ledger entry.
    findings : tuple of Finding
        Of the policy's rules that ask for monitoring.
    joined : Joined or None
        What became of the labels that were brought.
    """

    subject: Subject
    report: MonitoringReport = field(repr=False)
    receipt: Receipt = field(repr=False)
    findings: tuple[Finding, ...]
    joined: Joined | None = None

    @property
    def exit_code(self) -> int:
        """As a decision by these rules alone would have: 4 over 1 over 3 over 0."""
        found = {finding.status for finding in self.findings}
        return 4 if found & EVIDENCE_PROBLEMS else 1 if "fail" in found else 3 if found & OPEN else 0

    def sentence(self) -> str:
        """Tell it in a few words."""
        window, labels = self.report.window, ""
        processes = "1 process" if window.instances == 1 else f"{window.instances:,} processes"
        if self.joined is not None:
            labels = f"; {self.joined.joined:,} labels joined, {self.joined.unknown:,} unknown"
        return (
            f"{self.subject.name} in {self.report.stage}: {window.tally.predicted:,} predictions of {processes} from "
            f"{window.begins.isoformat(timespec='minutes')}, {self.report.labelled:,} with a label{labels}; signed as ledger "
            f"#{self.receipt.index}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "subject": self.subject.to_dict(),
            "entry": self.receipt.index,
            "report": self.report.to_dict(),
            "notes": list(self.report.notes),
            "labels": None if self.joined is None else {"joined": self.joined.joined, "unknown": self.joined.unknown},
            "findings": [finding.to_record().to_wire() for finding in self.findings],
            "exitCode": self.exit_code,
        }


def monitor(
    ws: Workspace,
    version: str | Subject,
    *,
    stage: str,
    window: timedelta,
    labels: Path | None,
    min_rows: int,
    confidence: float,
) -> Monitored:
    """Join, compare, sign, judge; see :meth:`Workspace.monitor`."""
    from ml_governance.operate.deployment import join
    from ml_governance.operate.monitor import compare

    if not timedelta(minutes=1) <= window <= LONGEST:
        raise DataError(f"the window is {window}", expected="a minute to a year")
    ws.config.stage(stage)
    writer, view = ws.writer, ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    entry, baseline, windows = _served(ws, subject, stage, view)
    now = ws.clock()
    since, until = now - window, now + timedelta(seconds=1)
    layout = _layout(baseline, windows, now - LONGEST, until)
    joined = join(windows, layout, *_labels(labels)) if labels is not None else None
    report = compare(
        windows.read(since, until, layout), baseline, layout, stage=stage, compared_with=entry.payload_digest,
        confidence=confidence, min_rows=min_rows,
    )  # fmt: skip
    receipt = writer.record(report.to_content(predictions="recomputed", dataset=report.inputs()), [subject])
    return Monitored(
        subject=subject, report=report, receipt=receipt, findings=_findings(ws, subject, stage), joined=joined
    )


def join_file(ws: Workspace, version: str | Subject, path: Path, *, stage: str) -> Joined:
    """Join labels from a file."""
    from ml_governance.operate.deployment import join

    ws.config.stage(stage)
    view = ws.view()
    _, baseline, windows = _served(ws, ws.resolve(version, view), stage, view)
    now = ws.clock()
    layout = _layout(baseline, windows, now - LONGEST, now + timedelta(seconds=1))
    return join(windows, layout, *_labels(path))


def _served(ws: Workspace, subject: Subject, stage: str, view: EvidenceView) -> tuple[Attestation, Baseline, Windows]:
    """Return the approved baseline of what is served, the entry that signed it, and the windows."""
    from ml_governance.operate.windows import Windows

    standing = standing_of(subject, stage, evidence=view, project=ws.config.project, at=ws.clock())
    found = baseline_of(standing, view)
    if found is None:
        raise MissingEvidenceError(
            f"the evidence that {subject.name} was promoted on has no baseline to compare with",
            expected="a fairness or performance assessment made with ws.assess, which a rule of the policy asks for",
            next_step=f"mlgov assess {subject.name}, then promote again",
        )
    path = windows_file(ws, subject, stage)
    if not path.exists():
        raise MissingEvidenceError(
            f"no deployment of {subject.name} in {stage} has counted anything: {path} does not exist",
            expected="predictions made with ws.deployment(...)",
            next_step="MLGOV_STATE names the folder, the same for deployments and for this",
        )
    return *found, Windows(path)


def _layout(baseline: Baseline, windows: Windows, since: Any, until: Any) -> Layout:
    from ml_governance.operate.counting import Layout

    return Layout.of(baseline, windows.inputs(since, until))


def _labels(path: Path) -> tuple[list[Any], Any]:
    from ml_governance.workspace.tables import read_file

    frame = read_file(path)
    absent = [name for name in (ID, LABEL) if name not in frame.columns]
    if absent:
        raise DataError(f"{path} has no column {absent[0]!r}", expected=f"the columns {ID} and {LABEL}")
    return frame[ID].tolist(), frame[LABEL].to_numpy()


def _findings(ws: Workspace, subject: Subject, stage: str) -> tuple[Finding, ...]:
    view = ws.view()
    policy = in_force(view, stage).policy
    asked = [rule for rule in policy.rules if rule.require.evidence == Monitoring.kind]
    return tuple(
        finding
        for rule in asked
        for finding in rules.apply(rule, subject, view, ws.clock(), policy=policy, project=ws.config.project)
    )
