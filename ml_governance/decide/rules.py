"""Rules against evidence: which attestation counts for a rule, whether it may count, and what it shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ml_governance.decide import bounds, champion, conditions, facts
from ml_governance.decide.finding import Finding
from ml_governance.decide.selecting import Unusable
from ml_governance.decide.sentences import some, words
from ml_governance.errors import GovernanceError
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.predicates import Assessment, HumanText, Registration, Revocation, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_governance.decide.bounds import Judged
    from ml_governance.decide.finding import Status
    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.statement import Subject

SKEW = timedelta(minutes=10)
"""Clocks of two machines may differ so much before evidence counts as coming from the future."""

MAY_REVOKE = frozenset({"policy_owner", "risk_officer"})


def revokers(evidence: EvidenceView) -> frozenset[str]:
    """Return the roles that withdraw what others signed: :data:`MAY_REVOKE` and those that the charter adds."""
    return MAY_REVOKE | evidence.charter.grants.get("revoke", frozenset())


def revoked(evidence: EvidenceView) -> dict[str, Attestation]:
    """Return what was withdrawn, by payload digest: by its own signer, a policy owner or a risk officer."""
    return evidence.once("revoked", lambda: _revoked(evidence))


def _revoked(evidence: EvidenceView) -> dict[str, Attestation]:
    signers = {entry.payload_digest: entry.principal.id for entry in evidence.attestations}
    may_revoke = revokers(evidence)
    found = {}
    for entry in evidence.of_kind(Revocation.kind):
        content = entry.content
        if isinstance(content, Revocation) and (
            signers.get(content.target) == entry.principal.id or entry.principal.roles & may_revoke
        ):
            found[content.target] = entry
    return found


def makers(subject: Subject, evidence: EvidenceView) -> dict[str, frozenset[str]]:
    """Return who made a model, as signatures prove it: its ``author`` registered it, its ``trainer`` ran the training."""
    return evidence.once(("makers", subject.sha256), lambda: _makers(subject, evidence))


def _makers(subject: Subject, evidence: EvidenceView) -> dict[str, frozenset[str]]:
    def signed(kind: str) -> frozenset[str]:
        # Whoever made it made it, even where the record of that counts no more.
        void = {one.by for one in evidence.void if one.kind == kind and one.by and one.about(subject.sha256)}
        return frozenset(void | {a.principal.id for a in evidence.about(subject.sha256, kind)})

    return {"author": signed(Registration.kind), "trainer": signed(TrainingRun.kind)}


def apply(
    rule: Rule, subject: Subject, evidence: EvidenceView, at: datetime, *, policy: Policy, project: str
) -> tuple[Finding, ...]:
    """Apply one rule; whatever goes wrong inside becomes a finding that blocks."""
    try:
        return _apply(rule, subject, evidence, at, policy, project)
    except GovernanceError as error:
        return (_finding(rule, "error", f"the rule could not be applied: {error.found}"),)
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
        return (_finding(rule, "error", f"the rule could not be applied: {type(error).__name__}: {error}"),)


def idle(rule: Rule, findings: Sequence[Finding]) -> bool:
    """Tell whether all that a rule found is that it does not apply."""
    return rule.when is not None and {(f.id, f.status) for f in findings if f.rule == rule.id} == {
        (f"{rule.id}/{facts.WHEN}", "pass")
    }


def _apply(
    rule: Rule, subject: Subject, evidence: EvidenceView, at: datetime, policy: Policy, project: str
) -> tuple[Finding, ...]:
    if rule.when is None:
        return _required(rule, subject, evidence, at, policy, project)
    answer, told = facts.applies(rule, subject, evidence, policy.stage)
    said = _judged(rule, told, facts.sources(rule.when, subject, evidence))
    return (said, *(_required(rule, subject, evidence, at, policy, project) if answer else ()))


def _required(
    rule: Rule, subject: Subject, evidence: EvidenceView, at: datetime, policy: Policy, project: str
) -> tuple[Finding, ...]:
    require = rule.require
    entry, refusal = counting(rule, subject, evidence)
    if entry is None:
        return (_finding(rule, "missing", refusal),)
    age = at - entry.recorded_at
    if age < -SKEW:
        future = f"{_told(entry)} comes from the future, {entry.recorded_at.isoformat()}"
        return (_finding(rule, "error", future, (entry,)),)
    if require.max_age is not None and age > require.max_age:
        old = f"{_told(entry)} is {_span(age)} old; at most {_span(require.max_age)} is allowed"
        return (_finding(rule, "stale", old, (entry,)),)
    content = entry.content
    asked = conditions.judge(require, subject, entry, evidence)
    found = tuple(_judged(rule, one, (entry,)) for one in asked)
    if rule.check is not None:
        checked = facts.check(rule, subject, entry, evidence, policy.stage)
        found = (*found, _judged(rule, checked, (entry, *facts.sources(rule.check, subject, evidence))))
    if isinstance(content, Assessment) and require.champion is not None:
        used = _champion(rule, subject, evidence, policy, project)
        if isinstance(used, Unusable):
            return (_finding(rule, used.status, used.text, (entry,)), *found)
        compared = _against_champion(rule, subject, entry, content, evidence, policy, used)
        return (*(_doubted(one, used.doubt) for one in compared), *found)
    if isinstance(content, Assessment) and require.metric is not None:
        judged = bounds.judge(require, require.definition(), content)
        return (*(_judged(rule, one, (entry,), asked=_asked(rule)) for one in judged), *found)
    return (_finding(rule, "pass", f"{_told(entry)} is there, signed by {entry.principal.id}", (entry,)), *found)


def _champion(
    rule: Rule, subject: Subject, evidence: EvidenceView, policy: Policy, project: str
) -> champion.Incumbent | Unusable:
    assert rule.require.champion is not None  # noqa: S101  the caller looked
    try:
        return champion.incumbent(subject, rule.require.champion, policy, evidence, project)
    except Unusable as problem:
        return problem


def _doubted(one: Finding, doubt: str) -> Finding:
    """Return a finding as it stands when it is doubtful which model is in use: then nothing passes, and what fails still does."""
    if not doubt:
        return one
    sentence = f"{one.sentence} Which model is in use is in doubt: {doubt}."
    return replace(one, status="inconclusive" if one.status == "pass" else one.status, sentence=sentence)


def _against_champion(
    rule: Rule, subject: Subject, entry: Attestation, content: Assessment, evidence: EvidenceView, policy: Policy,
    used: champion.Incumbent,
) -> tuple[Finding, ...]:  # fmt: skip
    asked = rule.require.champion
    assert asked is not None  # noqa: S101  the caller looked
    if used.subject is None:
        none = f"no model was promoted to {asked.stage or policy.stage} under this name yet{used.note}"
        return (_finding(rule, asked.first, none, (entry,)),)
    if used.subject.sha256 == subject.sha256:
        return (_finding(rule, "pass", f"it is the model in use itself{used.note}", (entry,)),)
    same = tuple(
        a
        for a in evidence.attestations
        if not a.about(used.subject.sha256)
        or not isinstance(a.content, Assessment)
        or a.content.dataset.sha256 == content.dataset.sha256
    )
    other, refusal = counting(rule, used.subject, replace(evidence, attestations=same))
    gone = [v for v in evidence.void if v.kind == entry.kind and v.about(used.subject.sha256)]
    if other is None or not isinstance(other.content, Assessment):
        why = (
            f"of {used.subject.name}, the model in use, there is no such evidence on the same rows ({refusal}), and numbers from "
            f"different rows are not compared: assess it on {content.dataset.name} as well{used.note}"
        )
        return (_finding(rule, "error", why, (entry,)),)
    if any(v.index > other.index for v in gone):
        why = f"newer {entry.kind} evidence about {used.subject.name}, the model in use, counts no more"
        return (_finding(rule, "error", why, (entry, other)),)
    judged = champion.compare(rule.require, rule.require.definition(), content, other.content, used.subject)
    return tuple(_judged(rule, one, (entry, other), asked=_asked(rule) + used.note) for one in judged)


def _judged(rule: Rule, one: Judged, entries: tuple[Attestation, ...], *, asked: str = "") -> Finding:
    return _finding(
        rule, one.status, f"{one.text}; {asked}" if asked else one.text, entries, suffix=one.suffix, value=one.value,
        lower=one.lower, upper=one.upper, n=one.n, measured=bool(asked),
    )  # fmt: skip


def counting(rule: Rule, subject: Subject, evidence: EvidenceView) -> tuple[Attestation | None, str]:
    """Return the newest entry that the rule is about, if it may count; else why none does."""
    require = rule.require
    about = evidence.about(subject.sha256, require.evidence)
    kind = f"{require.evidence} evidence"
    if require.text is not None:
        kind = f"text {require.text!r}"
        about = tuple(a for a in about if isinstance(a.content, HumanText) and a.content.name == require.text)
        outside = [a for a in about if not a.principal.roles]
        about = tuple(a for a in about if a.principal.roles)
        if outside and not about:
            return None, f"a {kind} is there, but signed by {outside[-1].principal.id}, who has no role here"
    if require.evidence == TrainingRun.kind:
        # A run that began, or failed, has made nothing.
        about = tuple(
            a for a in about if isinstance(a.content, TrainingRun) and a.content.event.get("eventType") == "COMPLETE"
        )
    if require.signed_by is not None:
        others = about
        about = tuple(a for a in about if require.signed_by in a.principal.roles)
        if others and not about:
            return None, f"{kind} is there, but none signed by {some(words(require.signed_by))}"
        if EVIDENCE_KINDS[require.evidence].assessment:
            # Whoever made a model does not validate it, whatever other roles they have.
            made, own = makers(subject, evidence), about
            about = tuple(a for a in about if a.principal.id not in made["author"] | made["trainer"])
            if own and not about:
                return (
                    None,
                    f"{kind} is there, but signed by {own[-1].principal.id}, who made the model",
                )
    if not about:
        by = f" signed by {some(words(require.signed_by))}" if require.signed_by else ""
        return None, f"there is no {kind}{by} about these bytes"
    newest = about[-1]
    withdrawn = revoked(evidence).get(newest.payload_digest)
    if withdrawn is not None:
        return None, f"{_told(newest)} was revoked at #{withdrawn.index}"
    return _may_count(rule, newest)


def _may_count(rule: Rule, newest: Attestation) -> tuple[Attestation | None, str]:
    require, content = rule.require, newest.content
    if isinstance(content, Assessment):
        ranks = ("claimed", "caller-supplied", "recomputed")
        if ranks.index(content.predictions) < ranks.index(require.predictions):
            return (
                None,
                f"the predictions of {_told(newest)} are {content.predictions}; {require.predictions} ones are required",
            )
    if isinstance(content, TrainingRun):
        if content.capture != "observed":
            return None, f"{_told(newest)} is only claimed; a run that a hook observed is required"
        if require.inputs_digested and not content.inputs:
            return None, f"{_told(newest)} names no input by digest"
    return newest, ""


def _finding(
    rule: Rule,
    status: Status,
    text: str,
    entries: tuple[Attestation, ...] = (),
    *,
    suffix: str = "",
    measured: bool = True,
    value: float | None = None,
    lower: float | None = None,
    upper: float | None = None,
    n: int | None = None,
) -> Finding:
    return Finding(
        id=f"{rule.id}/{suffix}" if suffix else rule.id,
        rule=rule.id,
        title=rule.title,
        status=status,
        sentence=text[:1].upper() + text[1:] + ".",
        metric=rule.require.metric if measured else None,
        value=value,
        lower=_finite(lower),
        upper=_finite(upper),
        bound=_bound(rule) if measured else None,
        n=n,
        evidence=tuple(entry.index for entry in entries),
        payloads=tuple(entry.payload_digest for entry in entries),
        controls=tuple(rule.controls),
    )


def _bound(rule: Rule) -> float | None:
    require = rule.require
    if require.champion is not None:
        return require.champion.margin * (-1 if require.definition().better == "higher" else 1)
    return require.bound[1] if require.bound else None


def _finite(number: float | None) -> float | None:
    return None if number is None or number in (float("inf"), float("-inf")) else number


def _asked(rule: Rule) -> str:
    if rule.require.champion is not None:
        side = "below" if rule.require.definition().better == "higher" else "above"
        return f"the difference must with that confidence not be {side} {_bound(rule):g}"
    bound = rule.require.bound
    if bound is None:
        return "the policy asks for nothing more"
    if rule.require.only_measured:
        return "it must have been measured, whatever it is"
    name, number = bound
    words = {
        "lower_bound_at_least": "the lower bound must be at least",
        "upper_bound_at_most": "the upper bound must be at most",
        "value_at_least": "it must be at least",
        "value_at_most": "it must be at most",
    }
    return f"{words[name]} {number:g}"


def _told(entry: Attestation) -> str:
    return f"the newest {entry.kind} evidence (#{entry.index})"


def _span(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Order findings by how much they block."""
    from ml_governance.decide.finding import ORDER

    return sorted(findings, key=lambda finding: (ORDER.index(finding.status), finding.id))
