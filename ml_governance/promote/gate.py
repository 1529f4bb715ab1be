"""The only way into a stage: re-hash, decide again at the head, record the intent, act, record the outcome.

``promote`` takes no decision from its caller. Between the view it judged and the record of its intent no
relevant entry may appear: the ledger refuses the intent in the same transaction if one did. The intent
consumes a single-use pass, so that no decision can be used twice, and has one outcome at most. What a registry client
cannot do is compare-and-swap an alias; the gate reads it back after writing, so a race is seen, not prevented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide import breakglass, rbac
from ml_governance.decide.decision import Decision, evaluate
from ml_governance.decide.policy import in_force
from ml_governance.errors import (
    EvidenceError,
    GovernanceError,
    NotAuthorizedError,
    PromotionDeniedError,
    RegistryError,
    UsageError,
)
from ml_governance.evidence.door import Guard, GuardError
from ml_governance.evidence.predicates import Promotion
from ml_governance.evidence.verdicts import BreakGlass
from ml_governance.promote import recovery
from ml_governance.promote.history import GLOBAL_KINDS, pass_of, pass_of_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ml_governance.decide.breakglass import Emergency
    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.predicates import Registration
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.wire import Content
    from ml_governance.evidence.writer import Writer
    from ml_governance.promote.registry import Registry

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
    whole: Callable[[], EvidenceView],
    me: Callable[[EvidenceView], Principal],
    writer: Writer,
    clock: Callable[[], datetime],
    emergency: Emergency | None = None,
    along: Sequence[tuple[Content, Sequence[Subject]]] = (),
    digested: bool = False,
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
        Returns the verified evidence at the head that concerns the decision, none missing; raises if it does not verify.
    whole : callable
        Returns every entry at the head; asked only where an earlier promotion may not have come to its end.
    me : callable
        Returns who acts, as proven by their key.
    writer : Writer
        Signs the decision, the intent and the outcome.
    clock : callable
        Returns the present in UTC.
    emergency : Emergency, optional
        Break the glass: promote although the answer is not allow.
    along : sequence of (Content, sequence of Subject)
        Appended with the intent or not at all, such as on whose behalf a server promotes; about other subjects than the model.
    digested : bool
        The caller knows the subject by having digested the artifact just now. The gate digests it before it acts all the same.

    Raises
    ------
    VerificationError
        If the artifact's bytes are not the subject's.
    UnavailableError
        If another promotion to the same alias is under way.
    UsageError
        If the glass is to be broken and the answer is allow.
    PromotionDeniedError
        If the decision is not allow.
    NotAuthorizedError
        If the person who acts may not promote.
    RegistryError
        If the alias could not be moved; the failure is in the ledger.
    """
    if not digested:
        recovery.same_bytes(registry, registration.name, registration.version, subject)
    notes: tuple[str, ...] = ()
    for _attempt in range(ATTEMPTS):
        evidence = view()
        person, policy = me(evidence), in_force(evidence, stage).policy
        settled = recovery.settle_before(
            (registration.registry, registration.name, alias), evidence, project=project, person=person, policy=policy,
            registry=registry, writer=writer, at=clock(), whole=whole,
        )  # fmt: skip
        if settled:
            notes, evidence = (*notes, *settled), view()
        decision, decided, token = _decide(subject, stage, project, evidence, writer, clock)
        if decided is None:
            continue
        if emergency is not None:
            records = _broken(emergency, person, policy, project, decision, decided, evidence, clock())
        else:
            records = ()
            if decision.result != "allow":
                raise PromotionDeniedError(decision)
            permission = rbac.may(
                person, "promote", policy=policy, subject=subject, evidence=evidence, project=project, stage=stage
            )
            if permission.allowed:
                permission = rbac.together(person, decision.approvals, policy=policy, evidence=evidence)
            if not permission.allowed:
                raise NotAuthorizedError(permission.reason)
        previous = registry.alias(registration.name, alias)
        intent = Promotion(
            phase="intent", stage=stage, registry=registration.registry, name=registration.name,
            version=registration.version, alias=alias, previous=previous, decision=decided.payload_digest, token=token,
        )  # fmt: skip
        try:
            recorded = writer.record_all(
                [*along, *((content, [subject]) for content in (*records, intent))],
                guard=_guard(decision, decided.index + 1, token),
            )[-1]
        except GuardError:
            continue
        outcome = _act(intent, subject, registration, registry, writer)
        if emergency is not None:
            notes += (f"the glass was broken at #{recorded.index - 1}; every decision says so until it is reviewed",)
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
        receipt = writer.record(decision.to_content(), [subject], guard=_guard(decision, evidence.size))
    except GuardError:
        return decision, None, ""
    decided = _Decided(receipt.index, receipt.payload_digest)
    token = pass_of(subject, stage, reference.sha256, decided.payload_digest)
    return decision, decided, token


def _guard(decision: Decision, since: int, token: str | None = None) -> Guard:
    # What the decision rests on may be about other models too, such as the one in use.
    about = {
        decision.subject.sha256,
        *(one.sha256 for a in (*decision.inputs, *decision.approvals) for one in a.subjects),
    }
    return Guard(since=since, keys=frozenset(map(bytes.fromhex, about)), kinds=frozenset(GLOBAL_KINDS), token=token)


def _broken(
    emergency: Emergency,
    person: Principal,
    policy: Policy,
    project: str,
    decision: Decision,
    decided: _Decided,
    evidence: EvidenceView,
    at: datetime,
) -> tuple[Content, ...]:
    """Return the record that the glass was broken, if it may be."""
    if decision.result == "allow":
        raise UsageError(
            f"the answer for {decision.subject.name} is allow: there is no glass to break",
            next_step="promote without break-glass, by somebody who may",
        )
    role = breakglass.role_of(person, policy, project)
    refused = breakglass.refusal(
        person, emergency, policy=policy, project=project, decision=decision, evidence=evidence
    )
    if refused is not None or role is None:
        raise NotAuthorizedError(f"the glass stays whole: {refused}")
    return (
        BreakGlass(
            stage=decision.stage, binding=decision.binding, decision=decided.payload_digest, role=role,
            reason=emergency.reason, expires=at + emergency.lasts,
        ),
    )  # fmt: skip


def _act(intent: Promotion, subject: Subject, registration: Registration, registry: Registry, writer: Writer) -> int:
    def outcome(result: str, detail: str | None = None) -> int:
        content = intent.model_copy(update={"phase": "outcome", "result": result, "detail": detail})
        # Whoever found this promotion half done may have settled it.
        return writer.record(content, [subject], guard=Guard(since=0, token=pass_of_outcome(intent.token))).index

    try:
        recovery.same_bytes(registry, registration.name, registration.version, subject)
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
    try:
        return outcome("done")
    except GuardError as error:
        raise RegistryError(
            f"this promotion was settled by somebody else while it was under way, and the alias {intent.alias!r} of "
            f"{registration.name} was moved all the same",
            next_step="mlgov doctor, then promote again",
        ) from error
