"""Laws of what people add to a log besides evidence: withdrawing never helps, asking and breaking glass decide nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ml_governance.decide import approval
from ml_governance.decide.cases import AT, PEOPLE
from ml_governance.evidence.predicates import Registration, Revocation, TrainingRun
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, BreakGlass, BreakGlassReview, Waiver
from tests.decide.test_decision import RANK, TEXTS, decide, view_of, with_entry

names = st.sampled_from(sorted(TEXTS))
people = st.sampled_from(sorted(PEOPLE))


@given(names, st.lists(st.tuples(people, st.integers(0, 12)), min_size=1, max_size=4))
def test_withdrawing_anything_but_a_no_never_helps(name: str, withdrawals: list[tuple[str, int]]) -> None:
    view = view_of(name)
    before = decide(view)
    targets = [a for a in view.attestations if not (isinstance(a.content, Approval) and a.content.verdict == "reject")]
    for by, which in withdrawals:
        target = targets[which % len(targets)]
        view = with_entry(view, by, Revocation(target=target.payload_digest, reason="x"))
    assert RANK[decide(view).result] <= RANK[before.result]


@given(names, people, people)
def test_asking_and_breaking_glass_change_no_answer(name: str, by: str, reviewer: str) -> None:
    view = view_of(name)
    before = decide(view)
    after = with_entry(view, by, ApprovalRequest(stage="production", binding=before.binding, comment="x"))
    use = BreakGlass(
        stage="production", binding=before.binding, decision="0" * 64, role="risk_officer", reason="x",
        expires=AT + timedelta(hours=1),
    )  # fmt: skip
    after = with_entry(after, by, use)
    target = after.attestations[-1].payload_digest
    seen = BreakGlassReview(target=target, verdict="justified", role="risk_officer", reason="x")
    after = with_entry(after, reviewer, seen)
    decision = decide(after)
    assert (decision.result, decision.exit_code, decision.binding) == (before.result, before.exit_code, before.binding)
    # This policy has no break-glass, so the use never counted and no review of it does: it is told all the same.
    assert "it never counted" in " ".join(decision.notes)


@given(
    names,
    people,
    st.sampled_from(["CRD-01", "CRD-02", "CRD-03", "CRD-04", "CRD-05", "CRD-06", "GATE-model"]),
    st.sampled_from(["risk_officer", "validator", "author"]),
    st.integers(-48, 24 * 60),
    st.booleans(),
)
def test_a_waiver_helps_only_from_whom_the_policy_names_and_for_as_long_as_it_says(
    name: str, by: str, rule: str, role: str, hours: int, own: bool
) -> None:
    view = view_of(name)
    if own:  # the waiver's signer made the model
        view = with_entry(
            view, by, Registration(registry="cases", name="credit-risk", version="1", format="file", files=1, size=1)
        )
    before = decide(view)
    given_ = Waiver(
        stage="production",
        rule=rule,
        binding=before.binding,
        role=role,
        reason="x",
        expires=AT + timedelta(hours=hours),
    )
    after = decide(with_entry(view, by, given_))
    makers = {a.principal.id for a in view.attestations if isinstance(a.content, Registration | TrainingRun)}
    counts = role == "risk_officer" and role in PEOPLE[by] and by not in makers and 0 < hours <= 30 * 24 - 1
    if not counts:
        assert (after.result, after.exit_code) == (before.result, before.exit_code)
        assert not after.waivers
    for finding in before.findings:
        kept = next(one for one in after.findings if one.id == finding.id)
        if finding.rule != rule or finding.status in ("missing", "error"):
            assert kept.status == finding.status


@given(names, st.sampled_from(["value", "lower", "upper"]), st.floats(-1e-13, 1e-13))
def test_what_people_approved_is_the_same_on_a_machine_that_rounds_otherwise(
    name: str, field: str, noise: float
) -> None:
    decision = decide(view_of(name))

    def bound_to(factor: float) -> str:
        moved = [
            replace(f, **{field: None if getattr(f, field) is None else getattr(f, field) * factor})
            for f in decision.findings
        ]
        return approval.binding(decision.subject, "production", decision.policy_sha256, moved)

    assert bound_to(1 + noise) == bound_to(1)
    if any(getattr(f, field) for f in decision.findings):
        assert bound_to(1.0001) != bound_to(1)
