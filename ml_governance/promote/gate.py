"""The only way into a stage: re-hash, decide again at the head, record the intent, act, record the outcome.

``promote`` takes no decision from its caller. Between the view it judged and the record of its intent no
relevant entry may appear: the ledger refuses the intent in the same transaction if one did. The intent
consumes a single-use pass, so that no decision can be used twice. What a registry client cannot do is
compare-and-swap an alias; the gate reads it back after writing, so a race is seen, not prevented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import rbac
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.policy import in_force
from ml_governance.errors import (
    EvidenceError,
    GovernanceError,
    NotAuthorizedError,
    PromotionDeniedError,
    RegistryError,
    VerificationError,
)
from ml_governance.evidence import fingerprint
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.door import Guard, GuardError
from ml_governance.evidence.predicates import Promotion

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.predicates import Registration
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.writer import Writer
    from ml_governance.promote.registry import Registry

GLOBAL_KINDS = ("trust", "policy", "revocation", "erasure")
"""Kinds of entries that can change a decision without being about its subject."""

ATTEMPTS = 3
"""How often a promotion starts again when relevant evidence arrives while it decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A promotion that has happened.

    Parameters
    ----------
    subject : Subject
        What was promoted.
    stage, alias : str
        Where to, and the registry alias that now points there.
    previous : str or None
        The version that the alias pointed to before.
    decision : Decision
        The decision that allowed it.
    intent, outcome : int
        Ledger indices of the two records.
    notes : tuple of str
        What a reader should know, for example an earlier promotion that never finished.
    """

    subject: Subject
    stage: str
    alias: str
    previous: str | None
    decision: Decision
    intent: int
    outcome: int
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p><b>{escape(self.subject.name)}</b> is now <code>{escape(self.alias)}</code> (ledger #{self.outcome})</p>"


def promote(
    *,
    subject: Subject,
    stage: str,
    alias: str,
    project: str,
    registration: Registration,
    registry: Registry,
    view: Callable[[], EvidenceView],
    me: Callable[[EvidenceView], Principal],
    writer: Writer,
    clock: Callable[[], datetime],
) -> Promoted:
    """Move an alias if, and only if, the policy in force allows it now for exactly these bytes.

    Parameters
    ----------
    subject : Subject
        What to promote.
    stage, alias, project : str
        The stage, the alias that stands for it in the registry, and the project.
    registration : Registration
        Where the registry keeps the bytes.
    registry : Registry
        The registry that acts.
    view : callable
        Returns the verified-complete evidence at the head; raises if anything does not verify.
    me : callable
        Returns who acts, as proven by their key.
    writer : Writer
        Signs the decision, the intent and the outcome.
    clock : callable
        Returns the present in UTC.

    Raises
    ------
    VerificationError
        If the artifact's bytes are not the subject's.
    PromotionDeniedError
        If the decision is not allow.
    NotAuthorizedError
        If the person who acts may not promote.
    RegistryError
        If the alias could not be moved; the failure is in the ledger.
    """
    _same_bytes(registry, registration, subject)
    for _attempt in range(ATTEMPTS):
        evidence = view()
        notes = unfinished(evidence, stage)
        decision, decided, token = _decide(subject, stage, project, evidence, writer, clock)
        if decided is None:
            continue
        if decision.result != "allow":
            raise PromotionDeniedError(decision)
        permission = rbac.may(
            me(evidence),
            "promote",
            policy=in_force(evidence, stage).policy,
            subject=subject,
            evidence=evidence,
            project=project,
            stage=stage,
        )
        if permission.allowed:
            permission = rbac.together(
                me(evidence), decision.approvals, policy=in_force(evidence, stage).policy, evidence=evidence
            )
        if not permission.allowed:
            raise NotAuthorizedError(permission.reason)
        previous = registry.alias(registration.name, alias)
        intent = Promotion(
            phase="intent", stage=stage, registry=registration.registry, name=registration.name,
            version=registration.version, alias=alias, previous=previous, decision=decided.payload_digest, token=token,
        )  # fmt: skip
        try:
            recorded = writer.record(intent, [subject], guard=_guard(subject, decided.index + 1, token))
        except GuardError:
            continue
        outcome = _act(intent, subject, registration, registry, writer)
        return Promoted(
            subject=subject, stage=stage, alias=alias, previous=previous, decision=decision,
            intent=recorded.index, outcome=outcome, notes=notes,
        )  # fmt: skip
    raise EvidenceError(
        f"evidence about {subject.name} kept arriving while the promotion was being decided ({ATTEMPTS} times)",
        expected="a moment without new evidence about it",
        next_step="try again when the other writers are done",
    )


@dataclass(frozen=True, slots=True)
class _Decided:
    index: int
    payload_digest: str


def _decide(
    subject: Subject,
    stage: str,
    project: str,
    evidence: EvidenceView,
    writer: Writer,
    clock: Callable[[], datetime],
) -> tuple[Decision, _Decided | None, str]:
    reference = in_force(evidence, stage)
    decision = evaluate(
        subject=subject,
        stage=stage,
        project=project,
        policy=reference.policy,
        policy_sha256=reference.sha256,
        evidence=evidence,
        at=clock(),
    )
    try:
        receipt = writer.record(decision.to_content(), [subject], guard=_guard(subject, evidence.size))
    except GuardError:
        return decision, None, ""
    decided = _Decided(receipt.index, receipt.payload_digest)
    token = sha256_hex(
        canonicalise(
            {
                "subject": subject.sha256,
                "stage": stage,
                "policy": reference.sha256,
                "decision": decided.payload_digest,
            }
        )
    )
    return decision, decided, token


def _guard(subject: Subject, since: int, token: str | None = None) -> Guard:
    return Guard(
        since=since, keys=frozenset({bytes.fromhex(subject.sha256)}), kinds=frozenset(GLOBAL_KINDS), token=token
    )


def _same_bytes(registry: Registry, registration: Registration, subject: Subject) -> None:
    found = fingerprint.artifact(registry.artifact(registration.name, registration.version))
    if found.sha256 != subject.sha256:
        raise VerificationError(
            f"the artifact of {registration.name}/{registration.version} in {registration.registry} has the digest "
            f"sha256:{found.sha256}",
            expected=f"sha256:{subject.sha256}, for which the evidence was signed",
            next_step="find out who changed the files; register the new bytes as a new version if the change is wanted",
        )


def _act(intent: Promotion, subject: Subject, registration: Registration, registry: Registry, writer: Writer) -> int:
    def outcome(result: str, detail: str | None = None) -> int:
        content = intent.model_copy(update={"phase": "outcome", "result": result, "detail": detail})
        return writer.record(content, [subject]).index

    try:
        _same_bytes(registry, registration, subject)
        registry.set_alias(registration.name, intent.alias, registration.version)
        now = registry.alias(registration.name, intent.alias)
        if now != registration.version:
            raise RegistryError(
                f"the alias {intent.alias!r} of {registration.name} points to {now} right after it was set",
                expected=f"version {registration.version}",
                next_step="somebody else moves this alias: find out who, then promote again",
            )
    except GovernanceError as error:
        outcome("failed", error.found)
        raise
    except BaseException as error:
        outcome("failed", f"{type(error).__name__}: {error}")
        raise
    return outcome("done")


def unfinished(evidence: EvidenceView, stage: str) -> tuple[str, ...]:
    """Name the promotions to a stage whose intent has no outcome: something died between the two."""
    ended = {
        a.content.token
        for a in evidence.of_kind(Promotion.kind)
        if isinstance(a.content, Promotion) and a.content.phase == "outcome"
    }
    return tuple(
        f"the promotion of {a.content.name}/{a.content.version} to {stage} recorded at #{a.index} never finished: "
        f"its alias may or may not have been moved"
        for a in evidence.of_kind(Promotion.kind)
        if isinstance(a.content, Promotion)
        and a.content.phase == "intent"
        and a.content.stage == stage
        and a.content.token not in ended
    )
