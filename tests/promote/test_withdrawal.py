"""Revocation, rollback and break-glass, on a real ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.errors import (
    DeniedError,
    MissingEvidenceError,
    NotAuthorizedError,
    PolicyError,
    PromotionDeniedError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence.predicates import Registration, Revocation
from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview
from ml_governance.testing import START
from ml_governance.workspace.last_good import LastGood
from tests.promote.house import POLICY

if TYPE_CHECKING:
    from tests.promote.house import House


def revoke(house: House, target: Any, who: str = "rita") -> tuple[int, ...]:
    with house.as_(who) as ws:
        return tuple(one.index for one in ws.revoke(target, reason="it was wrong"))


def index_of(house: House, kind: str) -> int:
    with house.as_(None) as ws:
        return ws.view().of_kind(kind)[-1].index


@pytest.fixture
def promoted(ready: House) -> House:
    ready.approve("credit/1")
    ready.promote("credit/1")
    return ready


# --- revocation -------------------------------------------------------------------------------------------


def test_withdrawn_evidence_is_missing_and_what_came_before_does_not_step_in(ready: House) -> None:
    ready.measure(ready.decide("credit/1").subject)
    revoke(ready, index_of(ready, "fairness"), who="vera")
    decision = ready.decide("credit/1")
    assert decision.exit_code == 4 and "was revoked at" in decision.explain()


def test_a_withdrawn_approval_no_longer_counts(ready: House) -> None:
    index = ready.approve("credit/1")
    revoke(ready, f"#{index}")
    decision = ready.decide("credit/1")
    assert decision.result == "review"
    assert f"the approval at #{index} does not count: it was revoked" in decision.notes


def test_a_withdrawn_model_is_denied_for_ever_whoever_registers_its_bytes_again(promoted: House) -> None:
    subject = promoted.decide("credit/1").subject
    revoke(promoted, "credit/1")
    decision = promoted.decide("credit/1")
    assert decision.exit_code == 1 and "These bytes were withdrawn by rita" in decision.explain()
    again = promoted.ready("1 2 3")
    assert again.sha256 == subject.sha256
    promoted.approve("credit/2")
    with pytest.raises(PromotionDeniedError, match="These bytes were withdrawn"):
        promoted.promote("credit/2")


def test_a_withdrawn_decision_stands_against_what_it_was_about_until_that_changes(promoted: House) -> None:
    revoke(promoted, index_of(promoted, "decision"))
    decision = promoted.decide("credit/1")
    assert decision.exit_code == 1 and "about exactly this was withdrawn by rita" in decision.explain()
    with pytest.raises(PromotionDeniedError):
        promoted.promote("credit/1")
    promoted.measure(decision.subject)
    assert promoted.decide("credit/1").result == "review"


def test_only_its_signer_a_risk_officer_or_a_policy_owner_withdraws_something(ready: House) -> None:
    for who in ("ada", "max", "ines"):
        with pytest.raises(NotAuthorizedError, match="neither signed"):
            revoke(ready, index_of(ready, "fairness"), who=who)
    for kind in ("policy", "trust", "writer-open"):
        with pytest.raises(NotAuthorizedError, match="which nothing withdraws"):
            revoke(ready, index_of(ready, kind))
    with pytest.raises(MissingEvidenceError, match="no entry #999"):
        revoke(ready, 999)
    revoke(ready, "credit/1", who="ada")  # her own


def test_a_revocation_by_somebody_who_may_not_is_told_and_changes_nothing(ready: House) -> None:
    decision = ready.decide("credit/1")
    with ready.as_(None) as ws:
        target = ws.view().of_kind("fairness")[-1]
    index = ready.write(Revocation(target=target.payload_digest, reason="I dislike it"), decision.subject, who="ada")
    after = ready.decide("credit/1")
    assert after.result == "review"
    assert any(f"at #{index} does not count: ada" in note for note in after.notes)


def test_a_revocation_is_not_revoked(ready: House) -> None:
    (index,) = revoke(ready, "credit/1")
    with pytest.raises(NotAuthorizedError, match="which nothing withdraws"):
        revoke(ready, index)
    with ready.as_(None) as ws:
        payload = next(a.payload_digest for a in ws.view().attestations if a.index == index)
    ready.write(Revocation(target=payload, reason="never mind"), ready.decide("credit/1").subject, who="rita")
    assert "These bytes were withdrawn" in ready.decide("credit/1").explain()


def test_a_no_to_ones_own_work_is_not_withdrawn_by_oneself(house: House) -> None:
    version = house.ready(who="omar")
    index = house.approve(version, who="rita", role="risk_officer", verdict="reject")
    with pytest.raises(NotAuthorizedError, match="somebody's no to the work of omar"):
        revoke(house, index, who="omar")


# --- rollback ---------------------------------------------------------------------------------------------


def rollback(house: House, name: str = "credit", who: str = "max") -> Any:
    with house.as_(who) as ws:
        return ws.rollback(name, stage="production")


@pytest.fixture
def two(promoted: House) -> House:
    """credit/1 was in production, credit/2 is."""
    version = promoted.ready("4 5 6")
    promoted.approve(version)
    promoted.promote(version)
    return promoted


def test_a_rollback_is_a_promotion_of_the_version_before(two: House) -> None:
    done = rollback(two)
    assert (done.subject.name, done.previous, two.alias()) == ("credit/1", "2", "1")
    with two.as_(None) as ws:
        kinds = [a.kind for a in ws.view().attestations if a.kind not in ("writer-open", "writer-close")]
        assert kinds[-3:] == ["decision", "promotion", "promotion"]
        assert not ws.reconcile()
    assert rollback(two).subject.name == "credit/2"


def test_a_rollback_goes_by_the_log_and_not_by_an_alias_that_somebody_moved(two: House) -> None:
    with two.as_(None) as ws:
        ws.registry.set_alias("credit", "production", "1")
    done = rollback(two)
    assert (done.subject.name, two.alias()) == ("credit/1", "1")
    with two.as_(None) as ws:
        assert not ws.reconcile()


def test_a_rollback_to_a_version_that_is_no_longer_valid_is_refused_and_says_why(two: House) -> None:
    revoke(two, "credit/1")
    with pytest.raises(DeniedError, match="These bytes were withdrawn"):
        rollback(two)
    with pytest.raises(PromotionDeniedError, match="These bytes were withdrawn"):
        rollback(two, "credit/1")
    assert two.alias() == "2"


def test_a_rollback_to_stale_evidence_is_refused(two: House) -> None:
    two.later(hours=73)
    with pytest.raises(DeniedError, match="stale"):
        rollback(two)


def test_a_rollback_passes_over_versions_that_are_no_longer_valid(two: House) -> None:
    third = two.ready("7 8 9")
    two.approve(third)
    two.promote(third)
    revoke(two, "credit/2")
    assert rollback(two).subject.name == "credit/1"


def test_a_rollback_takes_the_right_to_promote(two: House) -> None:
    for who in ("ada", "vera", "ines"):
        with pytest.raises(NotAuthorizedError):
            rollback(two, who=who)
    assert two.alias() == "2"


def test_a_rollback_takes_something_to_go_back_to(promoted: House) -> None:
    with pytest.raises(MissingEvidenceError, match="no earlier version"):
        rollback(promoted)
    promoted.ready("never promoted")
    with pytest.raises(MissingEvidenceError, match="never in production before"):
        rollback(promoted, "credit/2")


# --- break-glass ------------------------------------------------------------------------------------------


def break_glass(house: House, version: Any = "credit/1", who: str = "ines", **options: Any) -> Any:
    return house.promote(version, who=who, **{"break_glass": "the old model is down", "hours": 2, **options})


def review(house: House, index: int, who: str = "rita", **options: Any) -> int:
    with house.as_(who) as ws:
        return ws.review(index, reason="the outage was real", **options).index


def test_broken_glass_moves_the_alias_and_stands_in_every_decision_until_it_is_reviewed(ready: House) -> None:
    done = break_glass(ready)
    assert (ready.alias(), done.decision.result) == ("1", "review")
    use = done.intent - 1
    content = ready.content(use)
    assert content.expires == START + timedelta(hours=2) and content.role == "incident_manager"
    other = ready.ready("4 5 6")
    for version in ("credit/1", other):
        notes = " ".join(ready.decide(version).notes)
        assert f"break-glass at #{use}: ines put credit/1 into production" in notes and "not reviewed" in notes
    with ready.as_(None) as ws:
        assert [item.kind for item in ws.inbox("rita")] == ["break-glass"]
        assert not ws.inbox("ines")
        assert any(one.check == "break-glass" for one in ws.doctor().complaints)
    review(ready, use)
    assert not any("break-glass" in note for note in ready.decide(other).notes)
    with ready.as_(None) as ws:
        assert not ws.inbox("rita") and ws.doctor().exit_code == 0


def test_a_recorded_decision_names_glass_that_was_broken_for_another_model(ready: House) -> None:
    break_glass(ready)
    other = ready.ready("4 5 6")
    with ready.as_("max") as ws:
        ws.decide(other, stage="production")
    assert any("break-glass" in note for note in ready.content(index_of(ready, "decision")).notes)


def test_what_broken_glass_let_in_is_a_problem_once_its_time_is_over(ready: House) -> None:
    review(ready, break_glass(ready).intent - 1)
    ready.later(hours=1)
    with ready.as_(None) as ws:
        assert not ws.reconcile()
    ready.later(hours=2)
    with ready.as_(None) as ws:
        (one,) = ws.reconcile()
        assert "which ended 2026-01-15T14:00:00" in one.what


@pytest.mark.parametrize("who", ["max", "rita", "vera", "ada"])
def test_breaking_the_glass_takes_a_role_of_its_own(ready: House, who: str) -> None:
    with pytest.raises(NotAuthorizedError, match="takes incident_manager"):
        break_glass(ready, who=who)
    assert ready.alias() is None


def test_glass_broken_for_too_long_is_refused_in_hours_and_its_review_is_asked_by_name(ready: House) -> None:
    with pytest.raises(NotAuthorizedError, match="it is to last 48 hours; the policy allows at most 24 hours"):
        break_glass(ready, hours=48)
    use = break_glass(ready).intent - 1
    with ready.as_("rita") as ws:
        (item,) = ws.inbox("rita")
    assert item.next_step == f'mlgov review {use} --as rita --reason "..."'


def test_nobody_breaks_the_glass_for_their_own_work(house: House) -> None:
    version = house.ready(who="omar")
    with pytest.raises(NotAuthorizedError, match="own work"):
        break_glass(house, version, who="omar")
    assert house.alias() is None


def test_nobody_breaks_the_glass_by_a_policy_that_they_put_in_force_themselves(ready: House) -> None:
    """Else a policy owner alone would reach production: by giving a role of theirs the glass, and breaking it."""
    file = ready.root / "policies" / "pack" / "policy.yaml"
    text = (
        file.read_text()
        .replace("version: 1", "version: 2")
        .replace("[incident_manager]", "[incident_manager, policy_owner]")
    )
    file.write_text(text)
    with ready.as_("rita") as ws:
        ws.enact(file)
    with pytest.raises(NotAuthorizedError, match="rita put the policy small-production in force"):
        break_glass(ready, who="rita")
    assert ready.alias() is None
    break_glass(ready)
    assert ready.alias() == "1"


def test_glass_that_was_erased_is_told_although_nobody_can_review_it_any_more(ready: House) -> None:
    from dataclasses import replace

    from ml_governance.decide import breakglass
    from ml_governance.evidence.attestation import Void

    use = break_glass(ready).intent - 1
    with ready.as_(None) as ws:
        view = ws.view()
    gone = Void(index=use, kind=BreakGlass.kind, subjects=frozenset(), why="its content was erased", erased=True)
    without = replace(view, attestations=tuple(a for a in view.attestations if a.index != use), void=(gone,))
    assert breakglass.notes(without, START) == (
        f"break-glass at #{use}: what it let in, nobody can tell any more: its content was erased",
    )


def test_the_glass_is_not_broken_for_a_model_that_was_withdrawn(ready: House) -> None:
    revoke(ready, "credit/1")
    with pytest.raises(NotAuthorizedError, match="was withdrawn"):
        break_glass(ready)
    again = ready.ready("1 2 3")
    with pytest.raises(NotAuthorizedError, match="was withdrawn"):
        break_glass(ready, again.sha256)


def test_the_glass_is_not_broken_after_a_decision_about_the_model_was_withdrawn(promoted: House) -> None:
    revoke(promoted, index_of(promoted, "decision"))
    promoted.measure(promoted.decide("credit/1").subject, fair=False)
    with pytest.raises(NotAuthorizedError, match="was withdrawn"):
        break_glass(promoted)


def test_broken_glass_overrides_rules_and_nothing_else(ready: House) -> None:
    ready.measure(ready.decide("credit/1").subject, fair=False)
    ready.approve("credit/1", who="rita", role="risk_officer", verdict="reject")
    with pytest.raises(NotAuthorizedError, match="rejects this"):
        break_glass(ready)
    other = ready.train("4 5 6")
    ready.measure(other, fair=False)
    assert break_glass(ready, other).decision.result == "deny"
    strange = ready.train("7 8 9", name="churn")
    with pytest.raises(NotAuthorizedError, match="is not for churn"):
        break_glass(ready, strange)


def test_broken_glass_still_wants_the_bytes_that_were_judged(ready: House) -> None:
    (ready.root / "models" / "credit" / "1" / "weights.txt").write_text("other weights")
    with pytest.raises(VerificationError, match="has the digest"):
        break_glass(ready)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"hours": 25}, NotAuthorizedError, "at most 24 hours"),
        ({"hours": 0}, NotAuthorizedError, "at most 24 hours"),
        ({"break_glass": " "}, UsageError, "reason is empty"),
    ],
)
def test_glass_is_broken_for_a_reason_and_a_limited_time(
    ready: House, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        break_glass(ready, **options)
    assert ready.alias() is None


def test_there_is_no_glass_to_break_where_the_answer_is_allow(ready: House) -> None:
    ready.approve("credit/1")
    with pytest.raises(UsageError, match="no glass to break"):
        break_glass(ready)


def test_there_is_no_glass_where_the_policy_has_none(ready: House) -> None:
    file = ready.root / "policies" / "pack" / "policy.yaml"
    text = "".join(line for line in POLICY.splitlines(keepends=True) if not line.startswith("break_glass"))
    file.write_text(text.replace("version: 1", "version: 2"))
    with ready.as_("rita") as ws:
        ws.enact(file)
    with pytest.raises(NotAuthorizedError, match="has no break_glass"):
        break_glass(ready)


def test_a_policy_gives_break_glass_a_role_of_its_own() -> None:
    from ml_governance.decide.policy import parse_policy

    with pytest.raises(PolicyError, match="a role of its own"):
        parse_policy(POLICY.replace("incident_manager", "release_manager"))


@pytest.mark.parametrize(
    ("who", "words"), [("ines", "has not the role"), ("vera", "has not the role"), ("max", "has not")]
)
def test_a_use_is_reviewed_by_whom_the_policy_names(ready: House, who: str, words: str) -> None:
    use = break_glass(ready).intent - 1
    with pytest.raises(NotAuthorizedError, match=words):
        review(ready, use, who=who)


def test_nobody_reviews_their_own_use(ready: House) -> None:
    use = break_glass(ready, who="omar").intent - 1
    with pytest.raises(NotAuthorizedError, match="omar broke the glass"):
        review(ready, use, who="omar")
    with ready.as_(None) as ws:
        payload = next(a.payload_digest for a in ws.view().attestations if a.index == use)
    mine = BreakGlassReview(target=payload, verdict="justified", role="risk_officer", reason="trust me")
    index = ready.write(mine, ready.decide("credit/1").subject, who="omar")
    notes = " ".join(ready.decide("credit/1").notes)
    assert "not reviewed" in notes and f"the review of #{use} at #{index} does not count: omar broke the glass" in notes


def test_a_withdrawn_review_leaves_the_use_unreviewed(ready: House) -> None:
    use = break_glass(ready).intent - 1
    revoke(ready, review(ready, use))
    assert "not reviewed" in " ".join(ready.decide("credit/1").notes)


def test_a_use_is_neither_withdrawn_nor_forgotten_with_its_key(ready: House) -> None:
    use = break_glass(ready).intent - 1
    with pytest.raises(NotAuthorizedError, match="nothing withdraws"):
        revoke(ready, use)
    with ready.as_(None) as ws:
        ws.custody.revoke("ines", roots=["root"], last_good=LastGood.nothing())
    told = f"break-glass at #{use}: ines put credit/1 into production"
    assert told in " ".join(ready.decide("credit/1").notes)


def test_the_ledger_refuses_a_use_or_a_review_in_a_role_that_its_signer_has_not(ready: House) -> None:
    decision = ready.decide("credit/1")
    use = BreakGlass(
        stage="production", binding=decision.binding, decision="0" * 64, role="incident_manager", reason="x",
        expires=START + timedelta(hours=1),
    )  # fmt: skip
    with pytest.raises(VerificationError, match="ada signed a break-glass as incident_manager"):
        ready.write(use, decision.subject, who="ada")
    seen = BreakGlassReview(target="0" * 64, verdict="justified", role="risk_officer", reason="x")
    with pytest.raises(VerificationError, match="ada signed a break-glass-review as risk_officer"):
        ready.write(seen, decision.subject, who="ada")


def test_a_use_that_nobody_could_make_is_told_as_one_that_never_counted(house: House) -> None:
    version = house.ready(who="omar")
    use = BreakGlass(
        stage="production", binding="0" * 64, decision="0" * 64, role="incident_manager", reason="x",
        expires=START + timedelta(hours=1),
    )  # fmt: skip
    house.write(use, version, who="omar")
    assert "it never counted: omar made the model" in " ".join(house.decide(version).notes)
    house.write(use.model_copy(update={"expires": START + timedelta(days=9)}), version, who="ines")
    assert "it never counted: it runs for more than 24 hours" in " ".join(house.decide(version).notes)


def test_erased_registrations_do_not_bring_a_withdrawn_model_back(ready: House) -> None:
    """What a revocation withdrew cannot be told once that is erased; the model stays denied."""
    from dataclasses import replace

    from ml_governance.decide.withdrawal import withdrawn_model
    from ml_governance.evidence.attestation import Void

    subject = ready.decide("credit/1").subject
    revoke(ready, "credit/1")
    with ready.as_(None) as ws:
        view = ws.view()
    first = view.about(subject.sha256, Registration.kind)[0]
    gone = Void(index=first.index, kind=first.kind, subjects=frozenset({subject.sha256}), why="erased", erased=True)
    without = replace(view, attestations=tuple(a for a in view.attestations if a is not first), void=(gone,))
    assert withdrawn_model(subject, without) is not None
    unrelated = replace(without, void=())
    assert withdrawn_model(subject, unrelated) is None
