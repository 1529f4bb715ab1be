"""The decision: every rule applied, waivers and approvals counted, one result with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from ml_governance import __version__
from ml_governance.decide import approval, breakglass, circumstances, withdrawal
from ml_governance.decide.advice import Advice, advise, multiplicity
from ml_governance.decide.champion import names_of
from ml_governance.decide.finding import EVIDENCE_PROBLEMS, OPEN, Finding
from ml_governance.decide.rules import apply, idle, makers, worst_first
from ml_governance.evidence.verdicts import DecisionSummary, InputAttestation, PolicyRef, VerifierId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

Result = Literal["allow", "deny", "review"]
SINGLE_CUSTODIAN = "single-custodian (separation of duties not proven)"
SEPARATE_CUSTODY = "separate custody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy says about a model for a stage, at one moment, from one verified state of the log.

    Parameters
    ----------
    subject : Subject
        The model.
    stage : str
        The stage.
    result : {'allow', 'deny', 'review'}
        ``review`` waits for people.
    exit_code : int
        0 allow, 1 deny, 3 review, 4 evidence missing, stale or unusable.
    findings : tuple of Finding
        Worst first.
    binding : str
        What approvals name.
    approvals : tuple of Attestation
        Those that count.
    approvals_missing : tuple of str
        Roles still to approve.
    accepted : dict of finding id to person
        Inconclusive findings accepted by name.
    waivers : tuple of Attestation
        Those that count.
    notes : tuple of str
        What a reader should know.
    assurance : str
        Whether different people are proven to be different.
    policy_name, policy_sha256, policy_version
        Which policy.
    inputs : tuple of Attestation
        The evidence it rests on.
    at : datetime
        When, UTC.
    log_size, log_root : int, str
        Which state of the log.
    multiplicity : str
        What keeps many comparisons from misleading, and over which family.
    advice : tuple of Advice
        What would make each thing that blocks pass; not signed.
    """

    subject: Subject
    stage: str
    result: Result
    exit_code: int
    findings: tuple[Finding, ...]
    binding: str
    approvals: tuple[Attestation, ...] = field(repr=False)
    approvals_missing: tuple[str, ...]
    accepted: dict[str, str]
    waivers: tuple[Attestation, ...] = field(repr=False)
    notes: tuple[str, ...]
    assurance: str
    policy_name: str
    policy_sha256: str
    policy_version: int
    inputs: tuple[Attestation, ...] = field(repr=False)
    at: datetime
    log_size: int
    log_root: str
    multiplicity: str = field(repr=False)
    advice: tuple[Advice, ...] = field(default=(), repr=False)

    def __bool__(self) -> NoReturn:
        """Refuse to be a truth value: ``if decision`` would let a review pass."""
        raise TypeError("a decision is no truth value: compare decision.result with 'allow'")

    def explain(self) -> str:
        """Return the decision as sentences: every rule with its number and interval, people, what would make it pass, limits."""
        lines = [
            f"{self.result.upper()}: {self.subject.name} for {self.stage} ({self.policy_name} version {self.policy_version})"
        ]
        width = max((len(finding.status) for finding in self.findings), default=0)
        lines += [f"  {finding.status:<{width}}  {finding.id}: {self.said(finding)}" for finding in self.findings]
        given = [f"{a.principal.id} ({_role(a)}, #{a.index})" for a in self.approvals]
        if given or self.approvals_missing:
            lines.append(f"  approvals: {', '.join(given) or 'none'}")
        lines += [f"  waiting for: an approval in the role {role.replace('_', ' ')}" for role in self.approvals_missing]
        lines += [f"  to pass: {one.about}: {one.text}" for one in self.advice]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  multiplicity: {self.multiplicity}", f"  assurance: {self.assurance}"]
        return "\n".join(lines)

    def said(self, finding: Finding) -> str:
        """Return a finding in words, with who accepted it."""
        accepted = self.accepted.get(finding.id)
        return (
            f"{finding.sentence} Accepted by {accepted}." if accepted and finding.status in OPEN else finding.sentence
        )

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(f.status)}</td><td>{escape(f.id)}</td><td>{escape(self.said(f))}</td></tr>"
            for f in self.findings
        )
        return (
            f"<p><b>{self.result.upper()}</b>: {escape(self.subject.name)} for {escape(self.stage)}</p>"
            f"<table>{rows}</table><p>{escape(self.assurance)}</p>"
        )

    def to_content(self) -> DecisionSummary:
        """Return the form that is signed: a SLSA VSA v1, extended."""
        return DecisionSummary(
            verifier=VerifierId(id="urn:ml-governance:gate", version={"ml-governance": __version__}),
            time_verified=self.at,
            resource_uri=f"urn:ml-governance:model:{self.subject.name}",
            policy=PolicyRef(
                uri=f"urn:ml-governance:policy:{self.policy_name}",
                digest={"sha256": self.policy_sha256},
                version=self.policy_version,
            ),
            input_attestations=_inputs(self.inputs),
            verification_result="PASSED" if self.result == "allow" else "FAILED",
            result=self.result,
            exit_code=self.exit_code,
            stage=self.stage,
            binding=self.binding,
            findings=tuple(replace(finding, sentence=self.said(finding)).to_record() for finding in self.findings),
            approvals=_inputs(self.approvals),
            waivers=_inputs(self.waivers),
            notes=self.notes,
            assurance=self.assurance,
            log_size=self.log_size,
            log_root=self.log_root,
            verified_levels=(f"ml-governance:{self.stage}",) if self.result == "allow" else ("FAILED",),
            multiplicity=self.multiplicity,
        )


def evaluate(
    *,
    subject: Subject,
    stage: str,
    project: str,
    policy: Policy,
    policy_sha256: str,
    evidence: EvidenceView,
    at: datetime,
) -> Decision:
    """Judge a model by a policy. Pure: the same arguments give the same decision.

    Parameters
    ----------
    subject : Subject
        The model; evidence counts only for its digest.
    stage, project : str
        Where it is to go, and in which project.
    policy, policy_sha256
        The policy in force, and the digest of its text.
    evidence : EvidenceView
        Verified and complete up to one checkpoint.
    at : datetime
        The present, UTC. What depends on time is judged at the newest time that the evidence shows, where that is later.

    Returns
    -------
    Decision
        Never raises because of what the evidence holds: what cannot be judged blocks.
    """
    clock, at = at, at if evidence.newest is None else max(at, evidence.newest)
    found = [
        finding
        for rule in policy.rules
        for finding in apply(rule, subject, evidence, at, policy=policy, project=project)
    ]
    if all(idle(rule, found) for rule in policy.rules):
        found.append(_nothing_asked(policy))
    found += circumstances.blocking(subject, stage, project, policy, evidence, at, clock)
    names = names_of(subject, evidence)
    bound_to = approval.binding(subject, stage, policy_sha256, found, names)
    context = {
        "subject": subject,
        "stage": stage,
        "bound_to": bound_to,
        "project": project,
        "evidence": evidence,
        "at": at,
    }
    waived, notes = approval.waivers(policy, **context)  # type: ignore[arg-type]  # the keywords above
    ballot = approval.count(policy, **context)  # type: ignore[arg-type]  # the keywords above
    findings, used = _waive(found, waived, {rule.id for rule in policy.rules})
    used_entries = {id(one.entry) for one in used}
    notes += tuple(
        f"the waiver of {one.rule} at #{one.entry.index} has nothing to waive"
        for one in waived
        if id(one.entry) not in used_entries
    )
    if policy.mode == "warn":
        notes += ("the policy's mode is warn, which never applies to a decision about a stage",)
    findings += [_rejected(entry) for entry in ballot.rejections]
    findings += withdrawal.decision_findings(subject, stage, bound_to, evidence)
    used_payloads = {payload for finding in findings for payload in finding.payloads}
    inputs = tuple(a for a in evidence.attestations if a.payload_digest in used_payloads)
    assured = _assurance(subject, evidence, inputs, (*ballot.approvals, *(one.entry for one in used)))
    if policy.custody == "separate" and assured != SEPARATE_CUSTODY:
        findings.append(_shared(policy))
    notes += (*ballot.notes, *withdrawal.notes(subject, evidence), *breakglass.notes(evidence, at))
    notes += tuple(said for sha256, said in evidence.notes if sha256 == subject.sha256)
    if len(names) > 1:
        notes += (
            f"these bytes are registered under several names, and this is about each: {', '.join(sorted(names))}",
        )
    if evidence.verified:
        notes += (f"this rests on {evidence.verified}, up to #{evidence.size - 1}",)
    ordered = worst_first(findings)
    advice = advise(
        ordered, accepted=ballot.accepted, approvals_missing=ballot.missing, policy=policy, subject=subject, project=project,
        evidence=evidence,
    )  # fmt: skip
    denying = {rule.id for rule in policy.rules if rule.on_inconclusive == "deny"}
    result, code = _result(findings, ballot, denying)
    return Decision(
        subject=subject, stage=stage, result=result, exit_code=code, findings=tuple(ordered), binding=bound_to,
        approvals=ballot.approvals, approvals_missing=ballot.missing, accepted=dict(ballot.accepted),
        waivers=tuple(one.entry for one in used), notes=notes,
        assurance=assured, policy_name=policy.policy,
        policy_sha256=policy_sha256, policy_version=policy.version, inputs=inputs, at=at, log_size=evidence.size,
        log_root=evidence.root_hash, multiplicity=multiplicity(policy),
        advice=advice,
    )  # fmt: skip


def _waive(
    found: Sequence[Finding], waived: Sequence[approval.Waived], rules: set[str]
) -> tuple[list[Finding], list[approval.Waived]]:
    """Mark waived findings of the policy's own rules; whether the policy is the right one is none of them."""
    by_rule = {one.rule: one for one in waived if one.rule in rules}
    used, findings = [], []
    for finding in found:
        one = by_rule.get(finding.rule)
        if one is None or finding.status not in approval.WAIVABLE:
            findings.append(finding)
            continue
        used.append(one)
        sentence = f"{finding.sentence} It is {finding.status}, and waived by {one.by} until {one.until.isoformat()}."
        findings.append(replace(finding, status="waived", sentence=sentence))
    return findings, used


def _rejected(entry: Attestation) -> Finding:
    reason = getattr(entry.content, "reason", "")
    sentence = f"{entry.principal.id} ({_role(entry)}) rejects this: {reason}"
    return Finding(
        id=f"GATE-rejected/{entry.principal.id}", rule="GATE-rejected", title="Nobody who must approve rejects", status="fail",
        sentence=sentence, evidence=(entry.index,), payloads=(entry.payload_digest,),
    )  # fmt: skip


def _shared(policy: Policy) -> Finding:
    sentence = f"{policy.policy} asks for separate custody, and the keys of several people involved are in one place."
    return Finding(id="GATE-custody", rule="GATE-custody", title=sentence, status="fail", sentence=sentence)


def _nothing_asked(policy: Policy) -> Finding:
    sentence = f"No rule of {policy.policy} applies to this model, so nothing speaks for it."
    return Finding(id="GATE-rules", rule="GATE-rules", title=sentence, status="fail", sentence=sentence)


def _result(findings: Sequence[Finding], ballot: approval.Ballot, denying: set[str]) -> tuple[Result, int]:
    """Return result and exit code: evidence problems over denial over review."""
    statuses = {finding.status for finding in findings}
    if not findings or statuses & EVIDENCE_PROBLEMS:
        return "deny", 4
    open_ones = [finding for finding in findings if finding.status in OPEN]
    if "fail" in statuses or any(finding.rule in denying for finding in open_ones):
        return "deny", 1
    if ballot.missing or any(finding.id not in ballot.accepted for finding in open_ones):
        return "review", 3
    if statuses <= {"pass", "waived"} | OPEN:
        return "allow", 0
    return "deny", 4


def _assurance(
    subject: Subject, evidence: EvidenceView, inputs: Sequence[Attestation], approvals: Sequence[Attestation]
) -> str:
    """Tell whether the people involved are shown to be different: one person, or one custodian for two, shows nothing."""
    made = makers(subject, evidence)
    people: dict[str, frozenset[str]] = dict.fromkeys(made["author"] | made["trainer"], frozenset())
    for entry in (*inputs, *approvals):
        # Whose keys were together then, and whose are now.
        people[entry.principal.id] = people.get(entry.principal.id, frozenset()) | entry.principal.custody
    for name in people.keys() & evidence.principals.keys():
        people[name] |= evidence.principals[name].custody
    together = sum(len(places) for places in people.values()) > len(frozenset().union(*people.values()))
    return SINGLE_CUSTODIAN if together or len(people) < 2 else SEPARATE_CUSTODY


def _inputs(entries: Sequence[Attestation]) -> tuple[InputAttestation, ...]:
    return tuple(InputAttestation(digest={"sha256": a.payload_digest}, index=a.index) for a in entries)


def _role(entry: Attestation) -> str:
    return str(getattr(entry.content, "role", "")).replace("_", " ")
