"""A decision on what concerns it is the decision on everything, whatever counts against a model and wherever that stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ml_governance as gov
from ml_governance.decide.passage import pass_of
from ml_governance.decide.withdrawal import withdrawn_model
from ml_governance.errors import GovernanceError, MissingEvidenceError, VerificationError
from ml_governance.evidence.attestation import Void
from ml_governance.evidence.concerned import CONCERNED
from ml_governance.evidence.predicates import (
    Interval,
    Measurement,
    Performance,
    Promotion,
    Registration,
    Resource,
    Revocation,
    TrainingRun,
)
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval, BreakGlass
from ml_governance.evidence.verified import EVERY
from ml_governance.workspace import deciding, memory
from tests.evidence.test_concerned import TABLES, TRIGGERS
from tests.workspace.house import House

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """
policy: house
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 7d}]
review: {roles: [risk_officer]}
break_glass: {roles: [risk_officer], max_hours: 24, reviewed_by: [validator]}
rules:
  - id: HSE-01
    title: It is no worse than the model in use, and was not tried too often
    require: {evidence: performance, metric: accuracy, champion: {margin: 0.02, first: pass}, max_attempts: 2}
  - id: HSE-02
    title: The run was observed
    require: {evidence: training-run}
"""
MODELS = tuple(Subject(name=f"credit/{number}", sha256=f"{number}{number}" * 32) for number in range(1, 4))
STRANGER = Subject(name="other/1", sha256="ee" * 32)


def performance(value: float, data: str = "a") -> Performance:
    interval = Interval(confidence=0.95, sides="one-sided", lower=value - 0.01, upper=value + 0.01, method="wilson")
    measured = Measurement(metric="accuracy", value=value, numerator=value * 1000, denominator=1000, n=1000,
                           intervals=(interval,), status="ok")  # fmt: skip
    return Performance(
        predictions="recomputed", dataset=Resource(name=data, sha256=data * 64, rows=1000), columns={}, confidence=0.95,
        min_group_size=30, measurements=(measured,), software={},
    )  # fmt: skip


class Story(House):
    """What people sign about three versions of a model and a stranger, past every verb where that is shorter."""

    def sign(self, who: str, content: Any, *subjects: Subject) -> Any:
        self.clock.advance(timedelta(minutes=1))
        with self.acting(who) as ws:
            return ws.writer.record(content, subjects)

    def made(self, model: Subject, who: str = "ada") -> None:
        name, _, version = model.name.partition("/")
        where = Registration(registry="local:x", name=name, version=version, format="joblib", files=1, size=1)
        self.sign(who, where, model)
        self.sign(who, TrainingRun(event={"eventType": "COMPLETE"}, capture="observed"), model)

    def binding(self, model: Subject) -> str:
        with self.acting() as ws:
            return deciding.judge(ws, model, stage="production", view=ws.view())[1].binding

    def through_the_gate(self, model: Subject, *, approved: bool = True) -> None:
        """Sign every record of a promotion by hand; without approvals, the decision says that it allows it all the same."""
        if approved:
            self.sign("vera", Approval(stage="production", binding=self.binding(model), verdict="approve", role="validator",
                                       reason="looked", resolves=()), model)  # fmt: skip
        with self.acting() as ws:
            content = deciding.judge(ws, model, stage="production", view=ws.view())[1].to_content()
        self.clock.advance(timedelta(minutes=-1))  # to sign takes one
        allowed = content.model_copy(update={"result": "allow", "verification_result": "PASSED", "exit_code": 0})
        decided = self.sign("max", allowed, model)
        token = pass_of(model, "production", content.policy.digest["sha256"], decided.payload_digest)
        done = promoted(model, token).model_copy(update={"decision": decided.payload_digest})
        self.sign("max", done.model_copy(update={"phase": "intent", "result": None}), model)
        self.sign("max", done, model)

    def both(self, model: Subject) -> tuple[Any, Any]:
        """Return the decision on what concerns a model, and the decision on everything."""
        decisions = []
        for full in (False, True):
            with gov.open(self.folder / "ws", clock=self.clock, full=full) as ws:
                try:
                    subject, view = ws.concerning(model, stage="production")
                    assert view.verified == (EVERY if full else CONCERNED)
                    found = deciding.judge(ws, subject, stage="production", view=replace(view, verified=""))[1]
                except GovernanceError as error:
                    found = (type(error), error.found)
            decisions.append(found)
        return decisions[0], decisions[1]


def promoted(model: Subject, token: str = "f" * 64) -> Promotion:
    name, _, version = model.name.partition("/")
    return Promotion(
        phase="outcome", stage="production", registry="local:x", name=name, version=version, alias="production",
        decision="0" * 64, token=token, result="done",
    )  # fmt: skip


def steps(story: Story, model: Subject, other: Subject) -> dict[str, Any]:
    """What can happen: about the model, about another one, or about everybody."""

    def revoke(about: Subject) -> None:
        with story.acting() as ws:
            target = ws.view().about(about.sha256)
        if target:
            story.sign("rita", Revocation(target=target[-1].payload_digest, reason="no"), *target[-1].subjects)

    def approve(who: str, verdict: Any, *about: Subject) -> None:
        story.sign(who, Approval(stage="production", binding=story.binding(model), verdict=verdict, role="validator",
                                 reason="looked", resolves=()), *about)  # fmt: skip

    return {
        "good": lambda: story.sign("vera", performance(0.9), model),
        "bad": lambda: story.sign("vera", performance(0.5), model),
        "other's": lambda: story.sign("vera", performance(0.95), other),
        "stranger's": lambda: story.sign("vera", performance(0.7), STRANGER),
        "of both": lambda: story.sign("vera", performance(0.8), model, other),
        "promoted": lambda: story.sign("max", promoted(other), other),
        "through the gate": lambda: story.through_the_gate(other),
        "forged": lambda: story.through_the_gate(other, approved=False),
        "promoted by nobody": lambda: story.sign("ada", promoted(STRANGER), STRANGER),
        "approved": lambda: approve("vera", "approve", model),
        "rejected": lambda: approve("vera", "reject", model),
        "said of another": lambda: approve("otto", "approve", other),
        "delegate's": lambda: approve("otto", "approve", model, STRANGER),
        "of the stranger": lambda: approve("vera", "approve", STRANGER),
        "withdrawn": lambda: revoke(model),
        "other withdrawn": lambda: revoke(other),
        "delegated": lambda: story.delegate("vera", "validator", "otto"),
        "broken": lambda: story.sign("rita", BreakGlass(
            stage="production", binding="0" * 64, decision="0" * 64, role="risk_officer", reason="fire",
            expires=story.clock() + timedelta(hours=1)), other),
        "made by vera": lambda: story.made(STRANGER, "vera"),
    }  # fmt: skip


NAMES = (
    "good", "bad", "other's", "stranger's", "of both", "promoted", "through the gate", "forged", "promoted by nobody",
    "approved", "rejected", "said of another", "delegate's", "of the stranger", "withdrawn", "other withdrawn", "delegated",
    "broken", "made by vera",
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=8)
@given(plan=st.lists(st.sampled_from(NAMES), min_size=3, max_size=9))
def test_what_concerns_a_decision_decides_as_everything_does(tmp_path_factory: Any, plan: list[str]) -> None:
    told(tmp_path_factory.mktemp("story"), plan)


@pytest.mark.parametrize(
    "plan",
    [
        ("good", "other's", "promoted", "stranger's", "approved"),
        ("other's", "good", "through the gate"),
        ("other's", "good", "through the gate", "bad", "forged", "other withdrawn"),
        ("delegated", "made by vera", "good", "delegate's", "said of another"),
        ("delegated", "good", "delegate's", "of the stranger"),
        ("good", "bad", "other's", "broken", "approved", "withdrawn"),
    ],
    ids=[
        "champion and attempts",
        "a champion",
        "a forged champion",
        "delegates",
        "the one voice, about another",
        "withdrawn, and broken glass",
    ],
)
def test_every_way_in_which_other_entries_count_is_followed(tmp_path: Path, plan: tuple[str, ...]) -> None:
    told(tmp_path, plan)


def told(folder: Path, plan: Any) -> None:
    story = Story(folder, policy=POLICY)
    for model in (*MODELS[:2], STRANGER):
        story.made(model)
    for step in plan:
        steps(story, MODELS[0], MODELS[1])[step]()
    for model in (*MODELS[:2], STRANGER):
        concerned, whole = story.both(model)
        assert concerned == whole


@pytest.mark.parametrize(
    "named", [(MODELS[1],), (STRANGER,), (MODELS[0], MODELS[1])], ids=["other", "stranger", "both"]
)
def test_a_registration_of_several_models_is_withdrawn_for_all_of_them_whichever_is_named(
    story: Story, named: tuple[Subject, ...]
) -> None:
    where = Registration(registry="local:x", name="credit", version="1", format="joblib", files=1, size=1)
    shared = story.sign("ada", where, MODELS[0], MODELS[1])
    story.sign("rita", Revocation(target=shared.payload_digest, reason="stolen"), *named)
    for model in MODELS[:2]:
        short, whole = story.both(model)
        assert short == whole
        assert "GATE-revoked" in {finding.id for finding in short.findings}


def test_a_shared_registration_that_is_lost_brings_no_model_back_whichever_was_named(story: Story) -> None:
    where = Registration(registry="local:x", name="credit", version="1", format="joblib", files=1, size=1)
    shared = story.sign("ada", where, MODELS[0], MODELS[1])
    story.sign("rita", Revocation(target=shared.payload_digest, reason="stolen"), STRANGER)
    view = concerned(story)[1]
    (entry,) = (one for one in view.attestations if one.index == shared.index)
    about = frozenset(one.sha256 for one in entry.subjects)
    gone = Void(
        index=entry.index, kind=entry.kind, subjects=about, why="erased", erased=True, payload=shared.payload_digest
    )
    without = replace(view, attestations=tuple(one for one in view.attestations if one is not entry), void=(gone,))
    assert withdrawn_model(MODELS[0], without) is not None
    assert withdrawn_model(MODELS[0], replace(without, void=(replace(gone, payload="0" * 64),))) is None


def test_whoever_withdraws_the_work_of_another_withdraws_no_model_that_they_only_name(story: Story) -> None:
    story.made(MODELS[1], "vera")
    with story.acting() as ws:
        (own,) = ws.view().about(MODELS[1].sha256, Registration.kind)
    before = story.both(MODELS[0])[0]
    story.sign("vera", Revocation(target=own.payload_digest, reason="mine"), MODELS[0])
    short, whole = story.both(MODELS[0])
    assert short == whole
    assert [finding.id for finding in short.findings] == [finding.id for finding in before.findings]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    found = Story(tmp_path, policy=POLICY)
    found.made(MODELS[0])
    found.sign("vera", performance(0.9), MODELS[0])
    return found


def concerned(story: Story, reference: Any = MODELS[0]) -> Any:
    with story.acting() as ws:
        return ws.concerning(reference, stage="production")


def attack(story: Story, *statements: str) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(story.folder / "ws/governance/ledger.sqlite")) as database, database:
        for trigger in TRIGGERS:
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements:
            database.execute(statement)


def test_the_first_decision_verifies_everything_and_later_ones_what_is_new(story: Story) -> None:
    with story.acting() as ws:
        assert memory.recall(ws.config.origin) is None  # nothing was verified here yet
        size = ws.ledger.size
        ws.concerning(MODELS[0], stage="production")
        assert memory.recall(ws.config.origin).frontier.size == size
        memory.place(ws.config.origin).unlink()
        assert ws.concerning(MODELS[0], stage="production")[1].verified == CONCERNED
        assert memory.recall(ws.config.origin).frontier.size == size


def test_a_decision_says_what_it_rests_on(story: Story) -> None:
    with story.acting("max") as ws:
        assert any(CONCERNED in note for note in ws.decide(MODELS[0], stage="production").notes)
    with gov.open(story.folder / "ws", signer="max", clock=story.clock, full=True) as ws:
        assert any(EVERY in note for note in ws.decide(MODELS[0], stage="production").notes)


def test_a_model_is_found_by_name_and_by_digits_as_before(story: Story) -> None:
    assert concerned(story, "credit/1")[0] == MODELS[0]
    assert concerned(story, "credit@1")[0] == MODELS[0]
    assert concerned(story, "sha256:" + "1" * 12)[0] == MODELS[0]
    with pytest.raises(MissingEvidenceError, match="credit/1"):
        concerned(story, "credit/9")


def test_two_models_of_one_name_are_not_told_apart_by_who_looks(story: Story) -> None:
    concerned(story)
    story.made(Subject(name="credit/1", sha256="77" * 32))
    with pytest.raises(MissingEvidenceError, match="2 registered models"):
        concerned(story, "credit/1")


def test_a_log_that_was_rolled_back_is_refused(story: Story) -> None:
    concerned(story)
    attack(story, *(f"DELETE FROM {name} WHERE idx >= 6" for name in TABLES))
    with pytest.raises(VerificationError, match="does not verify"):
        concerned(story)


def test_an_entry_that_concerns_the_decision_and_is_gone_is_named(story: Story) -> None:
    _, view = concerned(story)
    bad = view.about(MODELS[0].sha256)[-1].index
    attack(story, f"DELETE FROM blobs WHERE idx = {bad}")
    with pytest.raises(VerificationError, match=f"#{bad}"):
        concerned(story)


def test_notes_that_lost_an_entry_are_of_no_use(story: Story) -> None:
    """Every version of the name is looked for there, so that notes of another state of the log do not count."""
    concerned(story)
    with story.acting() as ws, memory.notes(ws.config.origin) as noted:
        before = memory.recall(ws.config.origin)
        assert noted.fits(before)
        noted._connection.execute("UPDATE upto SET software = 'earlier'")
        assert not noted.fits(before)
        noted._connection.execute("DELETE FROM noted")
    assert concerned(story, "credit/1")[0] == MODELS[0]


def test_a_release_manager_alone_puts_no_weak_model_up_to_be_compared_with(story: Story) -> None:
    """With the records of a promotion that never went through the gate, a worse candidate stays worse."""

    def status() -> str:
        (finding,) = (one for one in story.both(MODELS[0])[0].findings if one.id == "HSE-01")
        return finding.status

    for model, value in ((MODELS[1], 0.99), (MODELS[2], 0.5)):
        story.made(model)
        story.sign("vera", performance(value), model)
    story.through_the_gate(MODELS[1])
    assert status() == "fail"
    story.through_the_gate(MODELS[2], approved=False)
    assert status() == "fail"
    short, whole = story.both(MODELS[0])
    assert short == whole
    assert any("did not go through the gate: nobody had approved" in one.sentence for one in short.findings)
