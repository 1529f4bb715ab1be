"""Promotions that die at every step, passes that are used again, aliases that move behind the gate's back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.errors import (
    ConfigurationError,
    PromotionDeniedError,
    RegistryError,
    UnavailableError,
    VerificationError,
)
from ml_governance.evidence.attestation import Void
from ml_governance.evidence.door import Guard, GuardError
from ml_governance.evidence.predicates import Promotion
from ml_governance.evidence.verdicts import BreakGlass, DecisionRecord, VerifierId
from ml_governance.promote import gate, history, recovery
from tests.promote.killed import POINTS

if TYPE_CHECKING:
    from tests.promote.house import House

ROOT = Path(__file__).resolve().parents[2]


def promotions(house: House) -> list[Promotion]:
    with house.as_(None) as ws:
        return [a.content for a in ws.view().of_kind("promotion")]  # type: ignore[misc]


def doctor(house: House, who: str | None = None, *, fix: bool = False) -> Any:
    with house.as_(who) as ws:
        return ws.doctor(fix=fix)


def checks(house: House) -> set[str]:
    return {one.check for one in doctor(house).complaints if one.weight == "problem"}


def command(house: House, version: str, point: str) -> list[str]:
    return [sys.executable, "-m", "tests.promote.killed", str(house.root), version, point, house.clock().isoformat()]


def kill(house: House, point: str) -> str:
    """Promote credit/1 in another process, which is killed at a point; return what it had acknowledged."""
    process = subprocess.run(
        command(house, "credit/1", point),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if point == "nowhere":
        assert process.returncode == 0, process.stderr
    else:
        assert process.returncode == -signal.SIGKILL, process.stderr
    return process.stdout


@pytest.fixture
def approved(ready: House) -> House:
    ready.approve("credit/1")
    return ready


# --- killed -----------------------------------------------------------------------------------------------

HALF_DONE = ("after the intent", "after the alias", "before the outcome is committed")


@pytest.mark.parametrize("point", POINTS)
def test_the_doctor_and_the_next_promotion_recover_from_a_kill_at_any_step(approved: House, point: str) -> None:
    said = kill(approved, point)
    approved.later(minutes=16)
    assert ("acknowledged" in said) == (point == "nowhere")
    assert checks(approved) == ({"promotion"} if point in HALF_DONE else set())
    moved = approved.alias() == "1"
    assert moved == (point in ("after the alias", "before the outcome is committed", "after the outcome", "nowhere"))
    with approved.as_(None) as ws:
        assert not ws.verify().problems

    health = doctor(approved, "max", fix=True)
    assert health.exit_code == 0 and len(health.mended) == (point in HALF_DONE)
    if point in HALF_DONE:
        assert promotions(approved)[-1].result == ("done" if moved else "failed")
    assert checks(approved) == set()
    assert not doctor(approved, "max", fix=True).mended
    # What the log says and where the alias stands are one.
    with approved.as_(None) as ws:
        standing = history.standing(ws.view(), "credit")
        assert bool(standing) == moved and not ws.reconcile()

    assert approved.promote("credit/1").previous == ("1" if moved else None)
    assert approved.alias() == "1" and checks(approved) == set()


@pytest.mark.parametrize("point", HALF_DONE)
def test_the_next_promotion_settles_what_died_without_a_doctor(approved: House, point: str) -> None:
    kill(approved, point)
    with pytest.raises(UnavailableError, match="has no outcome yet"):
        approved.promote("credit/1")
    approved.later(minutes=16)
    done = approved.promote("credit/1")
    assert "had died; it is recorded as" in done.notes[0]
    assert [(one.phase, one.result) for one in promotions(approved)] == [
        ("intent", None),
        ("outcome", "failed" if point == "after the intent" else "done"),
        ("intent", None),
        ("outcome", "done"),
    ]
    assert checks(approved) == set()


@pytest.mark.parametrize("point", HALF_DONE)
def test_the_pass_of_a_promotion_that_died_is_used_up(approved: House, point: str) -> None:
    kill(approved, point)
    (intent,) = promotions(approved)
    subject = approved.decide("credit/1").subject
    with pytest.raises(GuardError, match="this pass was used by entry"), approved.as_("max") as ws:
        ws.writer.record(intent, [subject], guard=Guard(since=0, token=intent.token))


def test_a_kill_before_the_intent_is_committed_uses_no_pass_up(approved: House) -> None:
    kill(approved, "before the intent is committed")
    assert promotions(approved) == []
    assert approved.promote("credit/1").subject.name == "credit/1"


def test_the_kill_is_told_as_a_session_without_an_end(approved: House) -> None:
    kill(approved, "after the decision")
    (warning,) = doctor(approved).complaints
    assert (warning.check, warning.weight) == ("session", "warning")
    assert "1 writer session of max ended without a closing record" in warning.what


# --- settling ---------------------------------------------------------------------------------------------


@pytest.fixture
def half(approved: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A promotion of credit/1 that was announced and went no further."""
    with monkeypatch.context() as patched:
        patched.setattr(gate, "_act", lambda *_: (_ for _ in ()).throw(OSError("the machine stopped")))
        with pytest.raises(OSError, match="stopped"):
            approved.promote("credit/1")
    return approved


def test_a_promotion_that_died_after_moving_the_alias_to_changed_bytes_is_not_called_done(half: House) -> None:
    with half.as_(None) as ws:
        ws.registry.set_alias("credit", "production", "1")
    (half.root / "models" / "credit" / "1" / "weights.txt").write_text("other weights")
    doctor(half, "max", fix=True)
    assert promotions(half)[-1].result == "failed"
    assert "alias" in checks(half)


def test_only_who_may_promote_settles_a_promotion(half: House) -> None:
    for who in ("ada", "vera", "rita", "ines"):
        assert not doctor(half, who, fix=True).mended
    with pytest.raises(ConfigurationError, match="nobody is acting"):
        doctor(half, fix=True)
    half.later(minutes=16)
    assert "promotion" in checks(half)
    assert doctor(half, "max", fix=True).mended


def test_an_outcome_by_somebody_who_may_not_promote_ends_nothing(half: House) -> None:
    subject = half.decide("credit/1").subject
    (intent,) = promotions(half)
    half.write(intent.model_copy(update={"phase": "outcome", "result": "done"}), subject, who="ada")
    half.later(minutes=16)
    assert "promotion" in checks(half)


def test_a_promotion_has_one_outcome(half: House) -> None:
    """Its own process comes back after somebody settled it: the alias is moved, which is told, and it is not called done."""
    subject = half.decide("credit/1").subject
    (intent,) = promotions(half)
    with half.as_("max") as ws:
        registration = ws.registration(subject, ws.view())
        doctor(half, "max", fix=True)
        with pytest.raises(RegistryError, match="settled by somebody else"):
            gate._act(intent, subject, registration, ws.registry, ws.writer)
    assert [one.result for one in promotions(half)] == [None, "failed"]
    assert checks(half) == {"alias"}


def test_a_promotion_without_an_outcome_is_a_warning_while_it_may_be_under_way(half: House) -> None:
    (one, *_) = [one for one in doctor(half).complaints if one.check == "promotion"]
    assert one.weight == "warning" and doctor(half).exit_code == 0
    half.later(minutes=15)
    assert checks(half) == {"promotion"}


def test_two_doctors_settle_a_promotion_once(half: House) -> None:
    with half.as_(None) as ws:
        (one,) = history.unfinished(ws.view(), "credit")
    with half.as_("max") as ws:
        assert "recorded as failed" in recovery.settle(one, registry=ws.registry, writer=ws.writer)
        assert "somebody else" in recovery.settle(one, registry=ws.registry, writer=ws.writer)
    assert len(promotions(half)) == 2


def test_another_promotion_to_the_same_alias_waits_for_one_that_is_under_way(half: House) -> None:
    other = half.ready("4 5 6")
    half.approve(other)
    with pytest.raises(UnavailableError, match="credit/1 to production"):
        half.promote(other)
    half.later(minutes=16)
    assert half.promote(other).subject.name == "credit/2"


@pytest.mark.parametrize("minutes", [9, -9])
def test_a_promotion_by_a_machine_whose_clock_is_behind_is_not_called_dead(half: House, minutes: int) -> None:
    """Clocks may differ by ten minutes, in either direction, before the ledger or the gate refuses."""
    half.later(minutes=minutes)
    with pytest.raises(UnavailableError, match="has no outcome yet"):
        half.promote("credit/1")


def test_a_promotion_elsewhere_between_decision_and_intent_starts_it_again(
    approved: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model goes to the same alias just then: the intent is refused, and the second attempt sees it."""
    other = approved.ready("4 5 6")
    approved.approve(other)
    original, nested = gate._guard, []

    def race(subject: Any, since: int, token: str | None = None) -> Guard:
        if token is not None and not nested:
            nested.append(True)
            assert approved.promote(other).subject == other
        return original(subject, since, token)

    monkeypatch.setattr(gate, "_guard", race)
    assert approved.promote("credit/1").previous == "2"
    assert [one.version for one in promotions(approved)] == ["2", "2", "1", "1"]
    assert checks(approved) == set()


def test_promotions_that_race_for_an_alias_leave_it_where_the_log_says(approved: House) -> None:
    approved.approve(approved.ready("4 5 6"))
    racing = [
        subprocess.Popen(
            command(approved, version, "nowhere"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for version in ("credit/1", "credit/2", "credit/1", "credit/2")
    ]  # fmt: skip
    ended = [(one.communicate(timeout=120), one.returncode) for one in racing]
    acknowledged = [int(out.split()[1]) for (out, _), code in ended if code == 0]
    refused = [err for (_, err), code in ended if code != 0]
    assert acknowledged and all("UnavailableError" in err or "EvidenceError" in err for err in refused), refused
    with approved.as_(None) as ws:
        done = {a.index for a in ws.view().of_kind("promotion") if a.content.result == "done"}  # type: ignore[attr-defined]
        assert done == set(acknowledged)
        assert not ws.reconcile()
    assert checks(approved) == set()


# --- passes -----------------------------------------------------------------------------------------------


@pytest.fixture
def done(approved: House) -> House:
    approved.promote("credit/1")
    return approved


def test_a_pass_is_good_for_one_promotion(done: House) -> None:
    intent = promotions(done)[0]
    subject = done.decide("credit/1").subject
    with pytest.raises(GuardError, match="this pass was used"), done.as_("max") as ws:
        ws.writer.record(intent, [subject], guard=Guard(since=0, token=intent.token))
    # Without asking the ledger for the pass, as a program of one's own would: it is told, and counts for nothing.
    done.write(intent, subject, who="max")
    done.write(intent.model_copy(update={"phase": "outcome", "result": "done"}), subject, who="max")
    (one,) = [one for one in doctor(done).complaints if one.check == "promotion"]
    assert "its pass was used at" in one.what


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stage": "staging"}, "is about something else"),
        ({"token": "0" * 64}, "its pass is not that of its decision"),
        ({"decision": "0" * 64}, "the decision that it names is not in the log"),
    ],
)
def test_a_pass_for_another_stage_or_of_another_decision_is_no_promotion(
    approved: House, change: dict[str, Any], words: str
) -> None:
    subject = approved.decide("credit/1").subject
    intent = signed_by_hand(approved, "credit/1", **change)
    approved.write(intent, subject, who="max")
    approved.write(intent.model_copy(update={"phase": "outcome", "result": "done"}), subject, who="max")
    assert any(words in one.what for one in doctor(approved).complaints)
    with approved.as_(None) as ws:
        assert not history.standing(ws.view(), "credit")


def signed_by_hand(house: House, version: str, *, who: str = "max", record: Any = None, **change: Any) -> Promotion:
    """Return an intent as somebody writes it who has a key and uses no gate; the decision before it is in the log."""
    decision = house.decide(version)
    content = record or decision.to_content()
    index = house.write(content, decision.subject, who=who)
    with house.as_(None) as ws:
        payload = next(a.payload_digest for a in ws.view().attestations if a.index == index)
        registry = ws.registry.uri
    name, _, number = decision.subject.name.partition("/")
    fields = {
        "phase": "intent", "stage": "production", "registry": registry, "name": name, "version": number,
        "alias": "production", "decision": payload,
        "token": history.pass_of(decision.subject, "production", content.policy.digest["sha256"], payload), **change,
    }  # fmt: skip
    return Promotion(**fields)


def forged(house: House, version: str, **change: Any) -> DecisionRecord:
    """Return a decision that says allow, whatever the evidence says."""
    record: DecisionRecord = house.decide(version).to_content()
    return record.model_copy(update={"result": "allow", "verification_result": "PASSED", "exit_code": 0, **change})


def enter(house: House, intent: Promotion, *, who: str = "max") -> list[str]:
    """Append an intent and its outcome, move the alias, and return what the doctor says about it."""
    subject = house.decide(f"{intent.name}/{intent.version}").subject
    house.write(intent, subject, who=who)
    house.write(intent.model_copy(update={"phase": "outcome", "result": "done"}), subject, who=who)
    with house.as_(None) as ws:
        ws.registry.set_alias("credit", "production", intent.version)
    return [one.what for one in doctor(house).complaints]


def test_a_promotion_on_a_forged_decision_is_told_because_the_decision_is_made_again(ready: House) -> None:
    said = enter(ready, signed_by_hand(ready, "credit/1", record=forged(ready, "credit/1")))
    assert any("says allow; the evidence before it says review" in what for what in said)
    assert any("no promotion that counts put it there" in what for what in said)


def test_a_decision_made_before_a_failing_report_is_no_way_past_it(approved: House) -> None:
    early = approved.decide("credit/1").to_content()
    assert early.result == "allow"
    approved.measure(approved.decide("credit/1").subject, fair=False)
    said = enter(approved, signed_by_hand(approved, "credit/1", record=early))
    assert any("came in between its decision and it" in what for what in said)


def test_a_decision_dated_to_when_its_evidence_was_fresh_is_told(approved: House) -> None:
    approved.later(hours=71)
    early = approved.decide("credit/1").to_content()
    approved.later(hours=5)
    said = enter(approved, signed_by_hand(approved, "credit/1", record=early))
    assert any("was made for another time" in what for what in said)


OTHER = VerifierId(id="urn:ml-governance:gate", version={"ml-governance": "0.0.1"})


def test_an_allowed_decision_of_before_is_no_way_past_a_failing_report_whatever_version_it_names(
    approved: House,
) -> None:
    early = approved.decide("credit/1").to_content()
    approved.measure(approved.decide("credit/1").subject, fair=False)
    with approved.as_(None) as ws:
        late = early.model_copy(update={"verifier": OTHER, "log_size": ws.ledger.size})
    said = enter(approved, signed_by_hand(approved, "credit/1", record=late))
    assert any("says allow; the evidence before it says deny" in what for what in said)


@pytest.mark.parametrize(
    ("own", "words"),
    [(False, "the evidence before it says review"), (True, "nobody had approved what its decision names")],
)
def test_a_forged_decision_is_told_although_something_was_erased(ready: House, own: bool, words: str) -> None:
    """About another model that changes nothing; about this one, who stood behind it is still there to be counted."""
    subject = ready.decide("credit/1").subject.sha256 if own else "f" * 64
    enter(ready, signed_by_hand(ready, "credit/1", record=forged(ready, "credit/1")))
    gone = Void(index=5, kind="explanation", subjects=frozenset({subject}), why="erased", erased=True)
    with ready.as_(None) as ws:
        view = replace(ws.view(), void=(gone,))
    (one,) = history.passages(view)
    assert words in history.flaw(one, view, "credit")


def test_a_promotion_behind_which_too_few_people_stand_is_told(house: House) -> None:
    """The gate refuses it, whatever the policy says; and whoever signs the records by hand has not got round that."""
    file = house.root / "policies" / "pack" / "policy.yaml"
    text = (
        file.read_text()
        .replace("version: 1", "version: 2")
        .replace("approvals: [{role: validator, expires: 7d}]\n", "")
    )
    file.write_text(text)
    with house.as_("rita") as ws:
        ws.enact(file)
    house.ready()
    assert house.decide("credit/1").result == "allow"
    said = enter(house, signed_by_hand(house, "credit/1"))
    assert any("1 of the 2 different people" in what for what in said)


def test_an_alias_that_a_promotion_to_another_stage_moved_is_told(approved: House) -> None:
    """Which alias stands for a stage says governance.toml, which is nobody's signed word."""
    approved.promote("credit/1")
    with approved.as_(None) as ws:
        view = ws.view()
        found = recovery.reconcile(
            view, project="credit", registry=ws.registry, aliases={"staging": "production"}, at=approved.clock()
        )
    assert ["stands for staging, and was moved by a promotion to production" in one.what for one in found] == [True]


def test_a_promotion_without_the_role_is_told(approved: House) -> None:
    said = enter(approved, signed_by_hand(approved, "credit/1", who="ada"), who="ada")
    assert any("ada had not the role release_manager" in what for what in said)


def test_a_promotion_by_whoever_made_the_model_is_told(house: House) -> None:
    house.approve(house.ready(who="omar"))
    said = enter(house, signed_by_hand(house, "credit/1", who="omar"), who="omar")
    assert any("omar made the model" in what for what in said)


def test_a_promotion_under_a_name_that_the_bytes_never_had_is_told(approved: House) -> None:
    subject = approved.decide("credit/1").subject
    intent = signed_by_hand(approved, "credit/1").model_copy(update={"name": "credit-fraud"})
    approved.write(intent, subject, who="max")
    approved.write(intent.model_copy(update={"phase": "outcome", "result": "done"}), subject, who="max")
    assert any(
        "its bytes were not registered as credit-fraud before it" in one.what for one in doctor(approved).complaints
    )


def test_a_promotion_on_somebody_elses_decision_is_told(approved: House) -> None:
    said = enter(approved, signed_by_hand(approved, "credit/1", who="vera"), who="max")
    assert any("was made by vera" in what for what in said)


def test_broken_glass_that_the_gate_would_have_refused_is_told(ready: House) -> None:
    with ready.as_("rita") as ws:
        ws.revoke("credit/1", reason="it was wrong")
    intent = signed_by_hand(ready, "credit/1", who="ines")
    decision = ready.decide("credit/1")
    use = BreakGlass(
        stage="production", binding=decision.binding, decision=intent.decision, role="incident_manager", reason="x",
        expires=ready.clock() + timedelta(hours=1),
    )  # fmt: skip
    ready.write(use, decision.subject, who="ines")
    said = enter(ready, intent, who="ines")
    assert any("its break-glass does not count: credit/1 was withdrawn" in what for what in said)


def test_a_denied_promotion_leaves_no_intent(ready: House) -> None:
    with pytest.raises(PromotionDeniedError):
        ready.promote("credit/1")
    assert promotions(ready) == [] and checks(ready) == set()


# --- behind the gate's back -------------------------------------------------------------------------------


def test_an_alias_that_is_pointed_elsewhere_is_told_with_who_put_it_where_it_was(done: House) -> None:
    done.train("4 5 6")
    with done.as_(None) as ws:
        assert not ws.reconcile()
        ws.registry.set_alias("credit", "production", "2")
        (one,) = ws.reconcile()
    assert (one.found, one.recorded) == ("2", "1")
    assert "points to version 2" in one.what and "version 1" in one.what and "max" in one.what


def test_what_the_log_never_saw_is_told(done: House) -> None:
    """A model put beside the others, a version put beside its sisters, and the aliases on both."""
    assert checks(done) == set()
    with done.as_(None) as ws:
        for name in ("credit", "smuggled"):
            ws.registry.store(done.root / "weights.txt", name=name)
        ws.registry.set_alias("credit", "shadow", "2")
        ws.registry.set_alias("credit", "mine", "1")  # of no stage, on a version that is registered: nobody's business
        ws.registry.set_alias("smuggled", "production", "1")
        (moved,) = ws.reconcile()
    assert (moved.name, moved.found) == ("smuggled", "1") and "no promotion that counts" in moved.what
    found = {one.what: one.check for one in doctor(done).complaints}
    assert "version 2 of credit stands in the registry, and nobody registered it in the log" in found
    assert "version 1 of smuggled stands in the registry, and nobody registered it in the log" in found
    assert found["the alias 'shadow' of credit points to version 2, which nobody registered in the log"] == "registry"
    assert not [what for what in found if "'mine'" in what]


def test_an_alias_that_is_taken_away_or_set_without_a_promotion_is_told(done: House) -> None:
    done.train("4 5 6", name="credit-two")
    aliases = done.root / "models" / "credit" / "aliases.json"
    aliases.unlink()
    with done.as_(None) as ws:
        ws.registry.set_alias("credit-two", "production", "1")
        said = {one.name: one.what for one in ws.reconcile()}
    assert "points to nothing" in said["credit"]
    assert "no promotion that counts put it there" in said["credit-two"]


def test_an_artifact_changed_after_its_promotion_is_told(done: House) -> None:
    (done.root / "models" / "credit" / "1" / "weights.txt").write_text("other weights")
    with done.as_(None) as ws:
        (one,) = ws.reconcile()
    assert "was changed after its promotion" in one.what
    assert doctor(done).exit_code == 4


@pytest.mark.parametrize("what", ["credit/1", "the decision"])
def test_what_was_withdrawn_after_its_promotion_is_told_while_it_stands(done: House, what: str) -> None:
    with done.as_("rita") as ws:
        index = ws.view().of_kind("decision")[-1].index
        ws.revoke(index if what == "the decision" else what, reason="it was wrong")
    with done.as_(None) as ws:
        (one,) = ws.reconcile()
    assert "was withdrawn by rita" in one.what


def test_a_failing_run_that_is_deleted_is_missed(done: House) -> None:
    import sqlite3
    from contextlib import closing

    index = done.measure(done.decide("credit/1").subject, fair=False)
    assert done.decide("credit/1").result == "deny"
    with closing(sqlite3.connect(done.root / "governance" / "ledger.sqlite")) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for table in ("leaves", "blobs"):
            database.execute(f"DELETE FROM {table} WHERE idx = ?", (index,))
    with pytest.raises(VerificationError, match=f"#{index} are missing"):
        done.promote("credit/1")
    assert "log" in checks(done) and doctor(done).exit_code == 4


# --- the rest of what a doctor looks at ---------------------------------------------------------------------


def test_a_healthy_workspace_has_no_complaint(done: House) -> None:
    health = doctor(done)
    assert (health.complaints, health.mended, health.exit_code) == ((), (), 0) and health.entries > 0


def test_a_run_that_never_ended_is_told(done: House) -> None:
    ws = done.as_("ada")
    ws.training("credit").__enter__()  # and the process is gone
    health = doctor(done)
    assert {one.check for one in health.complaints} == {"training", "session"}
    assert any("that ada started at" in one.what for one in health.complaints)
    assert health.exit_code == 0
    ws.close()


def test_a_trust_file_that_has_expired_or_soon_will_is_told(done: House) -> None:
    done.later(days=340)
    (one,) = [c for c in doctor(done).complaints if c.check == "trust"]
    assert one.weight == "warning" and "in 25 days" in one.what
    done.later(days=26)
    (one,) = [c for c in doctor(done).complaints if c.check == "trust"]
    assert one.weight == "problem" and "expired at" in one.what


def test_a_trust_file_on_disk_that_is_not_the_one_in_force_is_told(done: House) -> None:
    file = done.root / "governance" / "trust.json"
    before = file.read_text()
    done.as_(None).custody.renew(roots=["root"])
    assert doctor(done).complaints == ()
    file.write_text(before)
    assert [c.check for c in doctor(done).complaints] == ["trust"]
    file.write_text("{")
    assert doctor(done).exit_code == 2


def test_key_files_that_others_can_read_are_told(done: House) -> None:
    key = done.root / "governance" / "keys" / "vera.pem"
    key.chmod(0o640)
    (one,) = doctor(done).complaints
    assert one.check == "keys" and "0640" in one.what
    assert doctor(done).exit_code == 2
    key.rename(key.with_name("elsewhere"))
    key.symlink_to(key.with_name("elsewhere"))
    assert "no regular file" in doctor(done).complaints[0].what


def test_a_log_that_was_rolled_back_is_told_against_what_was_verified_here_before(done: House) -> None:
    import shutil

    shutil.copytree(done.root / "governance", done.root / "before")
    done.measure(done.decide("credit/1").subject, fair=False)
    doctor(done)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (done.root / "governance" / name).unlink(missing_ok=True)
        if (done.root / "before" / name).exists():
            shutil.copy(done.root / "before" / name, done.root / "governance" / name)
    health = doctor(done)
    assert health.exit_code == 4 and any("rolled back" in one.what for one in health.complaints)


def test_a_registry_that_does_not_answer_is_told_and_hides_nothing_else(done: House) -> None:
    (done.root / "models" / "credit" / "aliases.json").write_text("{")
    (done.root / "governance" / "keys" / "vera.pem").chmod(0o640)
    health = doctor(done)
    assert health.exit_code == 5 and {one.check for one in health.complaints} == {"registry", "keys"}


# --- on the command line ----------------------------------------------------------------------------------


def mlgov(capsys: pytest.CaptureFixture[str], house: House, *arguments: str) -> tuple[int, Any, str]:
    from ml_governance.cli.run import run

    code = run([*arguments, "--workspace", str(house.root), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_the_story_on_the_command_line(
    ready: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.cli.run import run
    from ml_governance.workspace import session

    monkeypatch.setattr(session.parts, "utc_now", ready.clock)
    monkeypatch.setattr("ml_governance.workspace.opening.utc_now", ready.clock)
    defaults = gov_open_defaults()
    monkeypatch.setitem(defaults, "clock", ready.clock)

    ask = mlgov(capsys, ready, "request", "credit/1", "--comment", "please", "--as", "ada")
    assert ask[0] == 0 and ask[1]["entries"]
    code, items, _ = mlgov(capsys, ready, "inbox", "--for", "vera")
    assert code == 0 and [one["kind"] for one in items] == ["approval"] and "please" in items[0]["asked"][0]
    assert mlgov(capsys, ready, "approve", "credit/1", "--comment", "fine", "--as", "vera")[0] == 0
    code, done, _ = mlgov(capsys, ready, "promote", "credit/1", "--as", "max")
    assert code == 0 and done["alias"] == "production"
    assert mlgov(capsys, ready, "rollback", "credit", "--as", "max")[0] == 4
    ready.measure(ready.decide("credit/1").subject, fair=False)
    assert mlgov(capsys, ready, "promote", "credit/1", "--as", "max")[0] == 1
    asked = ["request", "credit/1", "--comment", "please", "--as", "ada", "--workspace", str(ready.root)]
    assert run(asked) == 0
    assert "nobody finds it with mlgov inbox while the answer is deny" in capsys.readouterr().out
    assert run(["inbox", "--workspace", str(ready.root)]) == 2
    assert "mlgov inbox --for ID" in capsys.readouterr().err
    code, value, _ = mlgov(
        capsys,
        ready,
        "waive",
        "credit/1",
        "--rule",
        "SML-01",
        "--until",
        "2026-01-20",
        "--reason",
        "pilot",
        "--as",
        "rita",
    )
    assert code == 0
    code, _, _ = mlgov(capsys, ready, "revoke", str(value["entries"][0]), "--reason", "second thoughts", "--as", "rita")
    assert code == 0
    code, value, _ = mlgov(capsys, ready, "promote", "credit/1", "--break-glass", "--as", "ines")
    assert code == 2 and "without --reason" in value["error"]["found"]
    code, value, err = mlgov(
        capsys, ready, "promote", "credit/1", "--break-glass", "--reason", "outage", "--hours", "1", "--as", "ines"
    )
    assert code == 0 and "BREAK-GLASS" in err and "glass was broken" in value["notes"][0]
    use = value["entries"][0] - 1
    assert mlgov(capsys, ready, "doctor")[0] == 4
    assert mlgov(capsys, ready, "review", str(use), "--reason", "seen", "--as", "rita")[0] == 0
    code, value, _ = mlgov(capsys, ready, "doctor")
    assert (code, value["healthy"], value["complaints"]) == (0, True, [])


def gov_open_defaults() -> dict[str, Any]:
    from ml_governance.workspace import open_workspace

    assert open_workspace.__kwdefaults__ is not None
    return open_workspace.__kwdefaults__
