"""How far a decision reaches: which entries of the log could matter to it, besides those that concern every decision.

Every reader of evidence in this package looks at entries about a digest, at entries of a kind that concerns everybody, or at what
stands here. So evidence with all of these gives the same decision as evidence with every entry of the log: the tests hold the
two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.decide.champion import names_of
from ml_governance.decide.policy import signed_policies
from ml_governance.evidence import terms
from ml_governance.evidence.predicates import Assessment, Promotion, Registration, TrainingRun
from ml_governance.evidence.verdicts import Approval, BreakGlass, DecisionRecord, Delegation, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_governance.decide.policy import Policy
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject

MAKING = frozenset({Registration.kind, TrainingRun.kind})
"""The kinds that say who made a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a decision reaches.

    Parameters
    ----------
    digests : mapping of str to frozenset of str or None
        Subjects, each with the kinds of entries about it that are wanted; None is every kind.
    terms : frozenset of str
        Words of :mod:`ml_governance.evidence.terms`.
    promotions : int or None
        Every promotion from this entry of the log on, whatever it is about; None is no others.
    """

    digests: Mapping[str, frozenset[str] | None]
    terms: frozenset[str]
    promotions: int | None = None


def reach(subject: Subject, policy: Policy | None, evidence: EvidenceView) -> Reach:
    """Return what a decision about a model under a policy reaches, as far as some evidence shows.

    Parameters
    ----------
    subject : Subject
        The model.
    policy : Policy or None
        The policy in force; None where there is none.
    evidence : EvidenceView
        What has been read so far. With what this returns read as well it may show more: ask again until it does not.
    """
    found: dict[str, frozenset[str] | None] = {}

    def add(digests: Iterable[str], kinds: frozenset[str] | None) -> None:
        for sha256 in digests:
            before = found.get(sha256, frozenset())
            found[sha256] = None if kinds is None or before is None else before | kinds

    rules = [rule.require for rule in policy.rules] if policy is not None else []
    attempts = frozenset(one.evidence for one in rules if one.max_attempts is not None)
    compared = frozenset(one.evidence for one in rules if one.champion is not None)
    stages = {one.champion.stage or policy.stage for one in rules if policy is not None and one.champion is not None}
    names = names_of(subject, evidence)
    words = {terms.promotions_of(name) for name in names}
    add([subject.sha256], None)
    # Whether a use of break-glass counts depends on who made its model, and every decision tells of it.
    add((one.sha256 for use in evidence.of_kind(BreakGlass.kind) for one in use.subjects), MAKING)
    if attempts or compared:
        words |= {terms.versions_of(name) for name in names}
        versions = [a for a in evidence.of_kind(Registration.kind) if getattr(a.content, "name", None) in names]
        add((one.sha256 for a in versions for one in a.subjects), attempts | {Promotion.kind})
    words |= _tried(subject, attempts, evidence)
    promoted: frozenset[str] = frozenset()
    tried = _ever_tried(stages, evidence)
    for entry in evidence.of_kind(Promotion.kind):
        one = entry.content
        if compared and isinstance(one, Promotion) and one.name in names and one.stage in stages:
            # Whether it makes a champion is told by all that is about the model, and by what its own decision reached.
            for about in entry.subjects:
                add([about.sha256], None)
                promoted |= names_of(about, evidence)
                words |= _tried(about, tried, evidence)
    words |= {terms.promotions_of(name) for name in promoted}
    if tried:
        words |= {terms.versions_of(name) for name in promoted}
        again = [a for a in evidence.of_kind(Registration.kind) if getattr(a.content, "name", None) in promoted]
        add((one.sha256 for a in again for one in a.subjects), tried)
    # A delegate's word counts only where whoever delegates did not make what it is about, and has not said so themselves.
    delegates = {a.content.to for a in evidence.of_kind(Delegation.kind) if isinstance(a.content, Delegation)}
    for entry in evidence.attestations if delegates else ():
        if entry.principal.id in delegates and isinstance(entry.content, Approval | Waiver | Assessment):
            spoken = {Approval.kind} if isinstance(entry.content, Approval) else frozenset()
            add((one.sha256 for one in entry.subjects), MAKING | spoken)
    return Reach(digests=found, terms=frozenset(words), promotions=_announced(subject, evidence))


def _tried(subject: Subject, kinds: frozenset[str], evidence: EvidenceView) -> set[str]:
    about = (a.content for kind in kinds for a in evidence.about(subject.sha256, kind))
    return {terms.assessed_on(one.dataset.sha256) for one in about if isinstance(one, Assessment)}


def _ever_tried(stages: set[str], evidence: EvidenceView) -> frozenset[str]:
    """Return the kinds of evidence whose attempts some policy of some stages has counted, in force or not."""
    return frozenset(
        rule.require.evidence
        for policy in signed_policies(evidence, stages)
        for rule in policy.rules
        if rule.require.max_attempts is not None
    )


def _announced(subject: Subject, evidence: EvidenceView) -> int | None:
    """Return how far back promotions of a model that were announced and have no outcome must have been the next thing that happened."""
    entries = (a.content for a in evidence.about(subject.sha256, Promotion.kind))
    ends: dict[str, set[str]] = {}
    for one in entries:
        if isinstance(one, Promotion):
            ends.setdefault(one.decision, set()).add(one.phase)
    waiting = {decision for decision, phases in ends.items() if "outcome" not in phases}
    decisions = (a for a in evidence.about(subject.sha256, DecisionRecord.kind) if a.payload_digest in waiting)
    return min((a.content.log_size for a in decisions if isinstance(a.content, DecisionRecord)), default=None)
