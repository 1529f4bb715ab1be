"""The three laws of the gate, over generated policies, evidence and acts.

Digest, not name: evidence counts only for the digest it was signed for. Complete and fail-closed: losing, ageing or damaging
anything, for or against, turns no deny or review into an allow. Proven actors: a claimed name grants nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ml_governance.decide.cases import AT, SUBJECT
from ml_governance.decide.policy import Policy
from ml_governance.evidence.attestation import Attestation, EvidenceView
from ml_governance.evidence.predicates import Assessment, Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval
from tests.decide.worlds import (
    ACTS,
    AUTHORITY,
    HOUR,
    OTHER,
    World,
    act,
    assessment,
    decide,
    entry,
    numbers,
    person,
    policies,
    settled,
    stands,
    started,
    voided,
    world_of,
    worlds,
)


def idle(policy: Policy) -> bool:
    """Tell whether no rule is about this model: then nothing speaks for it."""
    return all(rule.when is not None and '"9"' in rule.when for rule in policy.rules)


@given(policies())
def test_every_generated_policy_can_allow(policy: Policy) -> None:
    """Without this the laws would hold of nothing."""
    assert (stands(started(policy).view(), policy)[0] == "allow") is not idle(policy)


# --- complete and fail-closed -----------------------------------------------------------------------------

TRIED_ON_WHAT_IT_WAS_TRAINED_ON = world_of(
    {"evidence": "performance", "metric": "accuracy", "value_at_least": 0.5, "no_overlap_with": "training"},
    ("trains", "ada", (SUBJECT, 2, "COMPLETE", "observed")),
    ("measures", "vera", (SUBJECT, "performance", "poor", "data/1", "recomputed")),
    ("trains", "ada", (SUBJECT, 1, "COMPLETE", "observed")),
)
REGISTERED_UNDER_A_NAME_THAT_THE_POLICY_IS_NOT_FOR = world_of(
    {"evidence": "registration"},
    ("registers", "ada", (SUBJECT, "churn", "file")),
    ("registers", "ada", (SUBJECT, "credit-risk", "file")),
    model="credit-*",
)
ACCURATE = {"evidence": "performance", "metric": "accuracy", "lower_bound_at_least": 0.7}
FRESH = world_of({**ACCURATE, "max_age": "3h"}, ("asks", "ada", ()))
AHEAD = world_of({"evidence": "registration"})
AHEAD.log.add("vera", assessment("performance", "good"), age=-HOUR)
REJECTED = world_of({"evidence": "registration"}, ("votes", "vera", ("reject", "validator")))


@settings(max_examples=200)
@given(worlds(), st.dictionaries(st.integers(0, 9), st.booleans(), min_size=1, max_size=3))
@example(TRIED_ON_WHAT_IT_WAS_TRAINED_ON, {2: False})
@example(REGISTERED_UNDER_A_NAME_THAT_THE_POLICY_IS_NOT_FOR, {1: False})
@example(REJECTED, {0: True})
def test_whatever_counts_no_more_allows_nothing(world: World, last: dict[int, bool]) -> None:
    """Erased, or signed with a key taken back: evidence, a no, a promotion, an attempt."""
    before = world.log.view()
    answer, accepting = stands(before, world.policy)
    if answer != "allow":
        assert settled(voided(before, last), world.policy, accepting=accepting).result != "allow"


def test_an_erased_no_is_not_replaced_by_its_signers_yes_to_another_stage() -> None:
    erased = voided(REJECTED.log.view(), {0: True})
    elsewhere = Approval(stage="staging", binding="0" * 64, verdict="approve", role="validator", reason="x")
    vera = erased.principals["vera"]
    more = replace(
        erased,
        attestations=(*erased.attestations, entry(erased.size, vera, elsewhere, SUBJECT, AT)),
        size=erased.size + 1,
    )
    assert decide(more, REJECTED.policy).exit_code == 4
    assert settled(more, REJECTED.policy).result == "review", "a yes of hers to this stage replaces it"


@given(worlds(), st.integers(0, 1000))
@example(FRESH, 100)
def test_time_that_passes_allows_nothing_and_leaves_nothing_fresh(world: World, hours: int) -> None:
    view, at = world.log.view(), AT + timedelta(hours=hours)
    answer, accepting = stands(view, world.policy)
    later = settled(view, world.policy, at=at, accepting=accepting)
    if answer != "allow":
        assert later.result != "allow"
    limits = {rule.id: rule.require.max_age for rule in world.policy.rules}
    recorded = {one.index: one.recorded_at for one in view.attestations}
    for one in later.findings:
        limit = limits.get(one.id)  # the rule's own finding, not that of a condition
        if limit is not None and one.status == "pass":
            assert at - recorded[one.evidence[0]] <= limit


@given(worlds(), st.integers(0, 9), st.integers(0, 1000))
def test_an_entry_that_is_older_than_it_says_allows_nothing(world: World, back: int, hours: int) -> None:
    view = world.log.view()
    answer, accepting = stands(view, world.policy)
    entries = list(view.attestations)
    one = entries[-1 - back]
    entries[-1 - back] = replace(one, recorded_at=one.recorded_at - timedelta(hours=hours))
    if answer != "allow":
        assert settled(replace(view, attestations=tuple(entries)), world.policy, accepting=accepting).result != "allow"


DAMAGE: dict[str, dict[str, Any]] = {
    "no value": {"value": None}, "not a number": {"value": float("nan")}, "endless": {"value": float("inf")},
    "undefined": {"status": "undefined", "value": None}, "too many cases": {"numerator": 1e9}, "no rows": {"denominator": 0.0},
    "all cases": {}, "fewer rows": {"n": 1},
}  # fmt: skip


def damaged(one: Attestation, how: str, which: int | None) -> Attestation:
    if not isinstance(one.content, Assessment):
        return one
    broken = []
    for position, number in enumerate(one.content.measurements):
        change = {"numerator": number.denominator} if how == "all cases" else DAMAGE[how]
        hit = which is None or position == which % len(one.content.measurements)
        broken.append(number.model_copy(update=change) if hit else number)
    return replace(one, content=one.content.model_copy(update={"measurements": tuple(broken)}))


@given(worlds(), st.sampled_from(sorted(DAMAGE)), st.none() | numbers)
@example(
    world_of(
        ACCURATE,
        ("measures", "vera", (SUBJECT, "performance", "poor", "test", "recomputed")),
    ),
    "all cases",
    None,
)
def test_damaged_numbers_allow_nothing(world: World, how: str, which: int | None) -> None:
    view = world.log.view()
    answer, accepting = stands(view, world.policy)
    if answer != "allow":
        entries = tuple(damaged(one, how, which) for one in view.attestations)
        assert settled(replace(view, attestations=entries), world.policy, accepting=accepting).result != "allow"


@given(worlds(ahead=True))
@example(AHEAD)
def test_nothing_is_allowed_while_an_entry_is_from_the_future(world: World) -> None:
    assert settled(world.log.view(), world.policy).exit_code == 4


@given(policies(), st.sampled_from(["poor", "few", "undefined", "bare"]))
@example(FRESH.policy, "poor")
@example(FRESH.policy, "few")
def test_the_newest_report_counts_and_not_the_one_that_passed(policy: Policy, quality: str) -> None:
    """Nobody accepts what it leaves open."""
    asked = [
        rule for rule in policy.rules if rule.require.metric is not None and not (rule.when and '"9"' in rule.when)
    ]
    by_value = [rule for rule in asked if rule.require.judged_by_interval]
    log = started(policy)
    for kind in ("performance", "fairness", "explanation"):
        log.add("vera", assessment(kind, quality))
    if by_value or (asked and quality in ("poor", "bare")):
        assert settled(log.view(), policy).result != "allow"


@given(policies(), st.sampled_from(["metric", "attribute"]))
@example(FRESH.policy, "metric")
@example(world_of({**ACCURATE, "by": ["sex"], "levels": {"sex": ["f", "m"]}}).policy, "attribute")
def test_an_attribute_or_a_metric_that_is_left_out_is_missing(policy: Policy, what: str) -> None:
    """The newest reports say nothing of what is asked, and levels are not even named."""
    log = started(policy)
    for kind in ("performance", "fairness"):
        content = assessment(kind, "good")
        assert isinstance(content, Assessment)
        kept = tuple(
            one for one in content.measurements if (what == "metric" and one.by) or (what == "attribute" and not one.by)
        )
        log.add("vera", content.model_copy(update={"measurements": kept}))
    unnamed = [
        rule.model_copy(update={"require": rule.require.model_copy(update={"levels": {}})}) for rule in policy.rules
    ]
    asked = [
        rule for rule in policy.rules
        if rule.require.metric and bool(rule.require.by) == (what == "attribute") and not (rule.when and '"9"' in rule.when)
    ]  # fmt: skip
    for judged_by in (policy, policy.model_copy(update={"rules": unnamed})):
        found = decide(log.view(), judged_by).findings
        for rule in asked:
            assert any(one.status in ("missing", "error") for one in found if one.rule == rule.id)


@given(policies(), st.sampled_from(["rita", "vera", "ada"]), numbers)
@example(FRESH.policy, "rita", 0)
def test_a_withdrawal_stops_what_rests_on_what_was_withdrawn(policy: Policy, by: str, which: int) -> None:
    log = started(policy)
    rests_on = [
        one for one in decide(log.view(), policy).inputs if one.kind in ("performance", "fairness", "explanation")
    ]
    assume(rests_on)
    target = rests_on[which % len(rests_on)]
    log.add(by, Revocation(target=target.payload_digest, reason="x"), target.subjects[0])
    counts = by in ("rita", "vera")  # ada neither signed it nor may withdraw
    assert (settled(log.view(), policy).result == "allow") is not counts


@given(worlds(), numbers, st.sampled_from(["rita", "vera", "ada", "nobody"]))
def test_withdrawing_anything_but_a_no_allows_nothing(world: World, which: int, by: str) -> None:
    view = world.log.view()
    answer, accepting = stands(view, world.policy)
    target = view.attestations[which % len(view.attestations)]
    if answer != "allow" and not (isinstance(target.content, Approval) and target.content.verdict == "reject"):
        world.log.add(by, Revocation(target=target.payload_digest, reason="x"), target.subjects[0], timedelta(0))
        assert settled(world.log.view(), world.policy, accepting=accepting).result != "allow"


# --- digest, not name -------------------------------------------------------------------------------------


def moved(view: EvidenceView, one: Attestation, to: Subject) -> EvidenceView:
    """Return a view in which an entry is about other bytes of the same name."""
    namesake = Subject(name=one.subjects[0].name, sha256=to.sha256)
    entries = tuple(replace(a, subjects=(namesake,)) if a is one else a for a in view.attestations)
    return replace(view, attestations=entries)


@given(policies(), numbers)
@example(FRESH.policy, 0)
def test_what_was_signed_for_other_bytes_counts_for_none(policy: Policy, which: int) -> None:
    view = started(policy).view()
    here = {one.index for one in decide(view, policy).inputs}
    rests_on = [one for one in view.attestations if one.index in here]
    assume(rests_on)
    assert settled(moved(view, rests_on[which % len(rests_on)], OTHER), policy).result != "allow"


@given(policies(), st.sampled_from(["performance", "fairness", "explanation"]))
@example(FRESH.policy, "performance")
def test_what_is_said_of_other_bytes_changes_nothing(policy: Policy, kind: str) -> None:
    """Irrelevant evidence does not block, and the binding that people approved stays as it was."""
    log = started(policy)
    before = settled(log.view(), policy)
    log.add("vera", assessment(kind, "poor"), OTHER)
    after = settled(log.view(), policy)
    assert (after.result, after.binding) == (before.result, before.binding)


# --- proven actors ----------------------------------------------------------------------------------------


@given(worlds(), st.sampled_from(AUTHORITY).flatmap(lambda verb: st.tuples(st.just(verb), ACTS[verb])))
@example(world_of({"evidence": "registration"}), ("votes", ("approve", "validator")))
def test_whoever_has_no_role_allows_nothing_by_what_they_claim(world: World, done: tuple[str, Any]) -> None:
    verb, details = done
    before, policy = world.log.view(), world.policy
    standing, accepting = decide(before, policy), stands(before, policy)
    act(world.log, verb, "nobody", details, timedelta(0))
    after = world.log.view()
    if accepting[0] != "allow":
        assert settled(after, policy, accepting=accepting[1]).result != "allow"
    if standing.result != "allow":
        assert decide(after, policy).result != "allow"
    assert "nobody" not in {one.principal.id for one in decide(after, policy).approvals}


@given(worlds(), st.sampled_from(["ada", "vera", "rita", "max"]), st.sampled_from(["validator", "risk_officer"]))
@example(world_of({"evidence": "registration"}), "rita", "validator")
def test_a_role_that_somebody_claims_and_does_not_hold_counts_for_nothing(world: World, by: str, role: str) -> None:
    view = world.log.view()
    assume(role not in view.principals[by].roles)
    before = decide(view, world.policy)
    act(world.log, "votes", by, ("approve", role), timedelta(0))
    after = decide(world.log.view(), world.policy)
    assert (after.result, after.approvals, after.accepted) == (before.result, before.approvals, before.accepted)


@given(worlds(), st.sampled_from(["rita", "Rita, chief risk officer"]))
def test_what_somebody_is_called_decides_nothing(world: World, called: str) -> None:
    view = world.log.view()
    renamed = replace(
        view,
        attestations=tuple(replace(a, principal=replace(a.principal, name=called)) for a in view.attestations),
        principals={name: replace(who, name=called) for name, who in view.principals.items()},
    )
    before, after = settled(view, world.policy), settled(renamed, world.policy)
    assert (after.result, after.binding, after.approvals_missing) == (
        before.result, before.binding, before.approvals_missing,
    )  # fmt: skip


@given(policies())
@example(REJECTED.policy)
def test_whoever_made_a_model_is_never_among_those_who_approve_it(policy: Policy) -> None:
    log, maker = started(policy), "omar"
    act(log, "trains", maker, (SUBJECT, 1, "COMPLETE", "observed"), HOUR / 2)
    decision = settled(log.view(), policy)
    assert maker not in {one.principal.id for one in decision.approvals} | set(decision.accepted.values())
    assert person(maker, log.roles[maker]).roles >= {"validator", "risk_officer"}, "the roles alone would do"
