"""Waivers, approvals, requests and the inbox, on a real ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from ml_governance.cli.options import read_end
from ml_governance.errors import MissingEvidenceError, NotAuthorizedError, UsageError, VerificationError
from ml_governance.evidence.predicates import Registration
from ml_governance.evidence.verdicts import Approval, ApprovalRequest, Waiver
from ml_governance.testing import START
from tests.promote.house import POLICY

if TYPE_CHECKING:
    from ml_governance.evidence.statement import Subject
    from tests.promote.house import House

SOON = (START + timedelta(days=10)).date()


def waive(house: House, version: Any = "credit/1", *, who: str = "rita", **options: Any) -> int:
    given = {"stage": "production", "rule": "SML-01", "reason": "pilot", "until": SOON, **options}
    with house.as_(who) as ws:
        return ws.waive(version, **given).index


@pytest.fixture
def unfair(ready: House) -> House:
    """The newest report says that the rates differ."""
    ready.measure(ready.decide("credit/1").subject, fair=False)
    return ready


def test_a_waiver_lets_a_failed_rule_through_until_its_date_and_no_longer(unfair: House) -> None:
    assert unfair.decide("credit/1").result == "deny"
    waive(unfair)
    waived = unfair.decide("credit/1")
    assert {f.id: f.status for f in waived.findings}["SML-01/sex"] == "waived"
    unfair.approve("credit/1")
    assert unfair.promote("credit/1").decision.result == "allow"
    # The report would be stale by then; measured again it is another state, and wants a waiver of its own.
    unfair.later(days=11)
    unfair.measure(waived.subject, fair=False)
    decision = unfair.decide("credit/1")
    assert decision.result == "deny" and "is about another state" in " ".join(decision.notes)


def test_a_waiver_ends_at_the_end_of_its_day_in_utc(unfair: House) -> None:
    index = waive(unfair, until=(START + timedelta(days=1)).date())
    assert unfair.content(index).expires == datetime(2026, 1, 17, tzinfo=UTC)
    unfair.later(hours=35, minutes=59)
    assert unfair.decide("credit/1").waivers
    unfair.later(minutes=1)
    decision = unfair.decide("credit/1")
    assert not decision.waivers and "ended at 2026-01-17T00:00:00+00:00" in " ".join(decision.notes)


def test_a_time_in_another_zone_is_kept_in_utc(unfair: House) -> None:
    index = waive(unfair, until=datetime(2026, 1, 20, 1, tzinfo=timezone(timedelta(hours=2))))
    assert unfair.content(index).expires == datetime(2026, 1, 19, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"until": START + timedelta(days=30, seconds=1)}, UsageError, "within 30 days"),
        ({"until": START}, UsageError, "a time after"),
        ({"until": START - timedelta(days=1)}, UsageError, "a time after"),
        ({"until": datetime(2026, 1, 20, 12)}, UsageError, "no time zone"),
        ({"reason": "  "}, UsageError, "reason is empty"),
        ({"rule": "SML-02"}, MissingEvidenceError, "SML-02 is pass"),
        ({"rule": "SML-99"}, MissingEvidenceError, "no rule of this policy"),
        ({"rule": "GATE-policy"}, MissingEvidenceError, "no rule of this policy"),
        ({"who": "vera"}, NotAuthorizedError, "vera has the role validator"),
        ({"who": "ada"}, NotAuthorizedError, "ada"),
    ],
)
def test_a_waiver_that_would_not_count_is_not_signed(
    unfair: House, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        waive(unfair, **options)
    with unfair.as_(None) as ws:
        assert not ws.view().of_kind("waiver")


def test_a_waiver_may_last_exactly_as_long_as_the_policy_allows(unfair: House) -> None:
    waive(unfair, until=START + timedelta(days=30))
    assert unfair.decide("credit/1").waivers


def test_nobody_waives_for_their_own_work_whatever_the_policy_says(house: House) -> None:
    """The policy's ``not`` is empty here, and omar has every role."""
    version = house.train(who="omar")
    house.measure(version, fair=False)
    with pytest.raises(NotAuthorizedError, match="omar made credit/1"):
        waive(house, who="omar")
    bound_to = house.decide("credit/1").binding
    forged = Waiver(
        stage="production", rule="SML-01", binding=bound_to, role="risk_officer", reason="x",
        expires=START + timedelta(days=5),
    )  # fmt: skip
    house.write(forged, version, who="omar")
    decision = house.decide("credit/1")
    assert decision.result == "deny"
    assert "was signed by omar, who made the model" in " ".join(decision.notes)
    house.write(forged, version, who="rita")
    assert house.decide("credit/1").result == "review"


def test_a_waiver_without_an_end_has_no_form(unfair: House) -> None:
    bound_to = unfair.decide("credit/1").binding
    fields: dict[str, Any] = {
        "stage": "production", "rule": "SML-01", "binding": bound_to, "role": "risk_officer", "reason": "x",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="expires"):
        Waiver(**fields)
    for never in (None, datetime(2026, 1, 20)):
        with pytest.raises(VerificationError, match="expires"):
            append_unchecked(unfair, Waiver.model_construct(**fields, expires=never))
    unfair.write(
        Waiver(**fields, expires=datetime(9999, 12, 31, tzinfo=UTC)), unfair.decide("credit/1").subject, who="rita"
    )
    decision = unfair.decide("credit/1")
    assert decision.result == "deny" and "runs for more than 30 days" in " ".join(decision.notes)


def append_unchecked(house: House, content: Any) -> None:
    """Append an envelope that somebody signed without asking for the form of what it says."""
    import warnings

    from ml_governance.evidence import entry
    from ml_governance.evidence.envelope import Envelope

    with house.as_(None) as ws:
        subject = ws.resolve("credit/1")
    with house.as_("rita") as ws:
        ws.request(subject, stage="production", comment="opens the session")
        writer = ws.writer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chain = writer._link(writer._seq, writer._prev, writer._at)
            signed = entry.make(chain, content, [subject], writer._signer)
        entry.read(signed.data)
        ws.ledger.append([Envelope.from_bytes(signed.data)])


@pytest.mark.parametrize("field", ["stage", "binding", "subject"])
def test_a_waiver_for_something_else_does_not_count(unfair: House, field: str) -> None:
    decision = unfair.decide("credit/1")
    given: dict[str, Any] = {
        "stage": "production", "rule": "SML-01", "binding": decision.binding, "role": "risk_officer", "reason": "x",
        "expires": START + timedelta(days=5),
    }  # fmt: skip
    subject = decision.subject
    if field == "subject":
        subject = unfair.train("4 5 6")
    else:
        given[field] = {"stage": "staging", "binding": "0" * 64}[field]
    unfair.write(Waiver(**given), subject, who="rita")
    assert unfair.decide("credit/1").result == "deny"
    unfair.write(Waiver(**{**given, "stage": "production", "binding": decision.binding}), decision.subject, who="rita")
    assert unfair.decide("credit/1").result == "review"


# --- approvals replayed -----------------------------------------------------------------------------------


def test_an_approval_of_another_model_is_worth_nothing(ready: House) -> None:
    other = ready.ready("4 5 6")
    index = ready.approve("credit/1")
    ready.write(ready.content(index), other, who="vera")
    decision = ready.decide(other)
    assert (decision.result, decision.approvals) == ("review", ())
    assert "is about another state of policy and evidence" in " ".join(decision.notes)


def test_an_approval_for_another_stage_is_worth_nothing(ready: House) -> None:
    subject, content = ready.decide("credit/1").subject, ready.content(ready.approve("credit/1"))
    with ready.as_("rita") as ws:
        ws.revoke(next(a.index for a in ws.view().of_kind("approval")), reason="start again")
    ready.write(content.model_copy(update={"stage": "staging"}), subject, who="vera")
    assert ready.decide("credit/1").result == "review"


def test_an_approval_under_another_policy_is_worth_nothing(ready: House) -> None:
    ready.approve("credit/1")
    assert ready.decide("credit/1").result == "allow"
    file = ready.root / "policies" / "pack" / "policy.yaml"
    file.write_text(file.read_text().replace("version: 1", "version: 2").replace("max_days: 30", "max_days: 20"))
    with ready.as_("rita") as ws:
        ws.enact(file)
    decision = ready.decide("credit/1")
    assert (decision.result, decision.approvals) == ("review", ())


def test_an_approval_before_new_evidence_is_worth_nothing(ready: House) -> None:
    ready.approve("credit/1")
    ready.measure(ready.decide("credit/1").subject)  # the same numbers, from another entry
    decision = ready.decide("credit/1")
    assert (decision.result, decision.approvals) == ("review", ())


def another_name(house: House, subject: Subject, name: str, who: str) -> None:
    """Register bytes once more, in the registry and in the log, for the first name's label."""
    with house.as_(who) as ws:
        kept = ws.registry.store(house.root / "weights.txt", name=name)
        assert kept.sha256 == subject.sha256
        where = Registration(registry=kept.registry, name=name, version=kept.version, format="file", files=1, size=1)
        ws.writer.record(where, [subject])


def test_an_approval_before_the_bytes_had_another_name_is_worth_nothing(ready: House) -> None:
    """What is good enough to score credit was not approved as what detects fraud."""
    subject = ready.decide("credit/1").subject
    ready.approve(subject)
    assert ready.decide(subject).result == "allow"
    another_name(ready, subject, "credit-fraud", "ada")
    decision = ready.decide(subject)
    assert (decision.result, decision.approvals) == ("review", ())
    assert "registered under several names, and this is about each: credit, credit-fraud" in " ".join(decision.notes)


def test_a_promotion_moves_the_alias_of_the_name_that_was_asked_for(ready: House) -> None:
    subject = ready.decide("credit/1").subject
    another_name(ready, subject, "credit-fraud", "ada")
    ready.approve(subject)
    ready.promote("credit/1")
    assert (ready.alias("credit"), ready.alias("credit-fraud")) == ("1", None)


def test_approvals_that_do_not_count_are_told(ready: House) -> None:
    decision = ready.decide("credit/1")
    fields: dict[str, Any] = {
        "stage": "production", "binding": decision.binding, "verdict": "approve", "role": "validator", "reason": "x",
    }  # fmt: skip
    for who, words in (("ada", "who made the model"), ("max", "who had not the role validator")):
        index = ready.write(Approval(**fields), decision.subject, who=who)
        notes = ready.decide("credit/1").notes
        assert any(f"the approval at #{index} does not count" in note and words in note for note in notes)
    assert ready.decide("credit/1").result == "review"


def test_a_rejection_stands_against_an_approval(ready: House) -> None:
    ready.approve("credit/1")
    ready.approve("credit/1", who="rita", verdict="reject", role="risk_officer")
    assert ready.decide("credit/1").result == "deny"


# --- asking, and the inbox --------------------------------------------------------------------------------


def inbox(house: House, person: str) -> Any:
    with house.as_(None) as ws:
        return ws.inbox(person)


def test_a_request_is_in_the_inbox_of_whoever_could_approve(ready: House) -> None:
    with ready.as_("ada") as ws:
        ws.request("credit/1", stage="production", comment="retrained on 2026q3")
    (item,) = inbox(ready, "vera")
    assert (item.kind, item.model, item.roles) == ("approval", "credit/1", ("validator",))
    assert "ada" in item.asked[0] and "retrained on 2026q3" in item.asked[0]
    assert "mlgov approve credit/1 --stage production --as vera" in item.next_step
    for other in ("ada", "rita", "max", "ines"):
        assert inbox(ready, other) == ()
    ready.approve("credit/1")
    assert inbox(ready, "vera") == ()


def test_a_decision_in_review_is_in_the_inbox_without_a_request(ready: House) -> None:
    assert inbox(ready, "vera") == ()
    with ready.as_("max") as ws:
        ws.decide("credit/1", stage="production")
    assert [item.model for item in inbox(ready, "vera")] == ["credit/1"]


def test_whoever_made_a_model_is_not_asked_to_approve_it(house: House) -> None:
    version = house.ready(who="omar")
    with house.as_("omar") as ws:
        ws.request(version, stage="production", comment="mine")
    assert inbox(house, "omar") == ()
    assert len(inbox(house, "vera")) == 1


def test_a_request_about_an_earlier_state_says_so(ready: House) -> None:
    with ready.as_("ada") as ws:
        ws.request("credit/1", stage="production", comment="please")
    ready.measure(ready.decide("credit/1").subject)
    (item,) = inbox(ready, "vera")
    assert "things have changed since" in item.asked[0]


def test_a_request_for_what_is_denied_waits_for_nobody(unfair: House) -> None:
    with unfair.as_("ada") as ws:
        ws.request("credit/1", stage="production", comment="please")
    assert inbox(unfair, "vera") == inbox(unfair, "rita") == ()


def test_a_waiver_that_ends_within_a_week_is_in_the_inbox(unfair: House) -> None:
    waive(unfair, until=START + timedelta(days=8))
    assert inbox(unfair, "rita") == ()
    unfair.later(days=1, seconds=1)
    (item,) = inbox(unfair, "rita")
    assert (item.kind, item.until) == ("waiver", START + timedelta(days=8))
    assert [one.kind for one in inbox(unfair, "ada")] == ["waiver"]


def test_a_waiver_that_covers_two_findings_is_in_the_inbox_once(unfair: House) -> None:
    stricter = POLICY.replace("version: 1", "version: 2").replace(
        "  - id: SML-02", "    check: 'model.size < 0'\n  - id: SML-02"
    )
    (unfair.root / "next.yaml").write_text(stricter)
    with unfair.as_("rita") as ws:
        ws.enact(unfair.root / "next.yaml")
    waive(unfair, until=START + timedelta(days=3))
    assert [f.id for f in unfair.decide("credit/1").findings if f.status == "waived"] == ["SML-01/check", "SML-01/sex"]
    assert [one.kind for one in inbox(unfair, "ada")] == ["waiver"]


def test_a_request_without_a_word_or_a_role_is_refused(ready: House) -> None:
    with pytest.raises(UsageError, match="empty"), ready.as_("ada") as ws:
        ws.request("credit/1", stage="production", comment=" ")
    decision = ready.decide("credit/1")
    asking = ApprovalRequest(stage="production", binding=decision.binding, comment="let me in")
    with pytest.raises(VerificationError, match="nobody has no role"):
        ready.write(asking, decision.subject, who="nobody")
    with pytest.raises(MissingEvidenceError, match="names no 'eve'"):
        inbox(ready, "eve")


def test_the_end_of_a_waiver_is_read_with_its_zone() -> None:
    assert read_end("2026-12-31") == date(2026, 12, 31)
    assert read_end("2026-12-31T18:00+02:00") == datetime(2026, 12, 31, 16, tzinfo=UTC)
    for wrong in ("2026-12-31T18:00", "tomorrow", "2026-02-30", ""):
        with pytest.raises(UsageError, match="--until"):
            read_end(wrong)
