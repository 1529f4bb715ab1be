"""What a deployment serves, and what stops it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ml_governance as gov
from ml_governance.errors import (
    DeniedError,
    LedgerError,
    MissingEvidenceError,
    NotAuthorizedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence.attestation import Void
from ml_governance.evidence.predicates import Deployment, Fairness, Promotion
from ml_governance.evidence.verdicts import Approval, DecisionRecord
from ml_governance.operate.standing import standing_of
from ml_governance.workspace import deploying
from ml_governance.workspace.session import Workspace
from tests.operate.house import INPUTS, House, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "credit/1"


def entry(house: House, kind: str, which: int = -1) -> int:
    with house.as_(None) as ws:
        return ws.view().of_kind(kind)[which].index


@pytest.fixture
def serving(house: House) -> Iterator[Any]:
    with house.serve(MODEL) as deployment:
        yield deployment


def test_what_is_served_is_what_was_promoted_and_the_log_says_since_when_and_until_when(house: House) -> None:
    table = rows(50, seed=3)[INPUTS]
    with house.serve(MODEL) as deployment:
        answer = deployment.predict(table)
        assert np.array_equal(answer, deployment.model.predict(table))
        assert deployment.predict_proba(table).shape == (50, 2)
    with house.as_(None) as ws:
        started, stopped = (one.content for one in ws.view().of_kind(Deployment.kind))
    assert isinstance(started, Deployment) and isinstance(stopped, Deployment)
    assert (started.phase, stopped.phase, stopped.detail) == ("started", "stopped", None)
    assert (started.version, started.check_seconds, started.grace_seconds) == ("1", 60, 300)
    assert started.instance == stopped.instance


def test_a_closed_deployment_predicts_no_more(house: House) -> None:
    with house.serve(MODEL) as deployment:
        pass
    deployment.close()
    with pytest.raises(UsageError, match="is closed"):
        deployment.predict(rows(5)[INPUTS])


def test_a_model_that_was_never_promoted_is_not_served(house: House) -> None:
    house.train(model={"weights": 2})
    with pytest.raises(MissingEvidenceError, match="no promotion of credit/2"):
        house.serve("credit/2")


@pytest.mark.parametrize("who", ["vera", "ada", "rita", "nobody"])
def test_who_may_not_deploy_serves_nothing(house: House, who: str) -> None:
    with pytest.raises(NotAuthorizedError):
        house.serve(MODEL, who=who)
    assert Deployment.kind not in house.kinds()


def test_nobody_serves_without_a_key(house: House) -> None:
    with pytest.raises(UsageError, match="nobody is acting"), house.as_(None) as ws:
        ws.deployment(MODEL)


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_bytes_that_changed_after_promotion_are_not_loaded(
    house: House, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.as_(None) as ws:
        folder = ws.registry.artifact("credit", "1")
    if change == "edited":
        (folder / "model.skops").write_bytes((folder / "model.skops").read_bytes() + b" ")
    elif change == "added":
        (folder / "sitecustomize.py").write_text("print('run by whoever loads it')")
    else:
        (folder / "other").write_text("x")
        (folder / "model.skops").unlink()
    monkeypatch.setattr(deploying, "_loaded", lambda *_: pytest.fail("changed bytes were loaded"))
    with pytest.raises(VerificationError, match="the artifact has the digest"):
        house.serve(MODEL)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (DecisionRecord.kind, "the decision at #"),
        (Fairness.kind, "the fairness at #"),
        (Approval.kind, "the approval at #"),
    ],
)
def test_what_a_promotion_rests_on_is_withdrawn_and_it_is_served_no_more(house: House, kind: str, said: str) -> None:
    deployment = house.serve(MODEL)
    house.revoke(entry(house, kind))
    with pytest.raises(DeniedError, match=said):
        deployment.check()
    with pytest.raises(DeniedError, match=said):
        deployment.predict(rows(5)[INPUTS])
    with pytest.raises(DeniedError, match=said):
        house.serve(MODEL)
    deployment.close()
    with house.as_(None) as ws:
        stopped = ws.view().of_kind(Deployment.kind)[-1].content
    assert isinstance(stopped, Deployment) and said in str(stopped.detail)


def test_a_revocation_stops_a_deployment_within_the_stated_interval_and_for_good(house: House, serving: Any) -> None:
    table = rows(5)[INPUTS]
    house.revoke(MODEL)
    house.later(seconds=59)
    serving.predict(table)
    house.later(seconds=1)
    with pytest.raises(DeniedError, match="withdrawn by rita"):
        serving.predict(table)
    house.clock.advance(timedelta(seconds=-1))
    with pytest.raises(DeniedError, match="withdrawn by rita"):
        serving.predict_proba(table)
    with pytest.raises(DeniedError, match="withdrawn by rita"):
        house.serve(MODEL)


def test_a_model_that_is_withdrawn_while_it_is_loaded_is_not_served_and_that_is_on_record(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = deploying._loaded

    def slowly(*arguments: Any) -> Any:
        house.revoke(MODEL)
        return loaded(*arguments)

    monkeypatch.setattr(deploying, "_loaded", slowly)
    with pytest.raises(DeniedError, match="withdrawn by rita"):
        house.serve(MODEL)
    with house.as_(None) as ws:
        phases = [one.content.phase for one in ws.view().of_kind(Deployment.kind)]  # type: ignore[attr-defined]
    assert phases == ["started", "stopped"]


def test_a_revocation_by_somebody_who_may_not_stops_nothing(house: House, serving: Any) -> None:
    from ml_governance.evidence.predicates import Revocation

    with house.as_(None) as ws:
        view = ws.view()
        target = view.of_kind("registration")[0]
    house.write(Revocation(target=target.payload_digest, reason="spite"), *target.subjects, who="nobody")
    assert serving.check().subject.name == MODEL


def test_a_version_that_another_one_has_replaced_is_served_no_more(house: House, serving: Any) -> None:
    second = house.train(model={"not": "loaded"})
    house.measure_as_recomputed(second)
    house.approve(second)
    house.promote(second)
    with pytest.raises(DeniedError, match=r"no longer in production: the promotion of credit/2"):
        serving.check()
    with pytest.raises(DeniedError, match=r"no longer in production"):
        house.serve(MODEL)


def test_a_promotion_that_went_round_the_gate_is_not_served(house: House) -> None:
    """A decision and a promotion that somebody signs with a program of their own are not enough."""
    version = house.train(model={"weights": 2})
    with house.as_(None) as ws:
        view = ws.view()
        old = view.of_kind(Promotion.kind)
        decision = next(one for one in view.of_kind("decision") if one.content.result == "allow").content
    forged = decision.model_copy(update={"log_size": view.size, "time_verified": house.clock()})
    house.write(forged, version, who="max")
    with house.as_(None) as ws:
        said = ws.view().of_kind("decision")[-1]
    from ml_governance.promote.history import pass_of

    token = pass_of(version, "production", said.content.policy.digest["sha256"], said.payload_digest)
    for one in old:
        own = {"version": "2", "decision": said.payload_digest, "token": token}
        house.write(one.content.model_copy(update=own), version, who="max")
    with pytest.raises(VerificationError, match="did not go through the gate"):
        house.serve(version)


@pytest.mark.parametrize("kind", [DecisionRecord.kind, Fairness.kind, Approval.kind])
def test_what_a_promotion_rests_on_counts_no_more_and_it_is_not_served(house: House, kind: str) -> None:
    """A key that was taken back since, or content that was erased: nobody can tell any more what was said."""
    with house.as_(None) as ws:
        view = ws.view()
        subject = ws.resolve(MODEL, view)
    one = view.of_kind(kind)[-1]
    gone = Void(index=one.index, kind=kind, subjects=frozenset({subject.sha256}), why="its key was stolen")
    options: dict[str, Any] = {"project": "credit", "at": house.clock()}
    assert standing_of(subject, "production", evidence=view, **options).subject == subject
    with pytest.raises(VerificationError, match="counts no more: its key was stolen"):
        standing_of(subject, "production", evidence=replace(view, void=(gone,)), **options)


def test_a_model_that_entered_by_break_glass_is_served_until_that_ends(house: House) -> None:
    version = house.train(model=None, name="credit")
    house.promote(version, who="ines", break_glass="the other one refuses everybody", hours=2)
    deployment = house.serve(version)
    assert deployment.standing.until == house.clock() + timedelta(hours=2)
    house.later(hours=2)
    with pytest.raises(DeniedError, match="a break-glass that is over"):
        deployment.predict(rows(5)[INPUTS])
    with pytest.raises(DeniedError, match="a break-glass that is over"):
        house.serve(version)


def test_an_emergency_that_was_not_justified_is_over(house: House) -> None:
    version = house.train()
    house.promote(version, who="ines", break_glass="the other one refuses everybody", hours=2)
    deployment = house.serve(version)
    with house.as_("rita") as ws:
        ws.review(entry(house, "break-glass"), reason="nothing was broken", verdict="not-justified")
    with pytest.raises(DeniedError, match="not justified, says rita"):
        deployment.check()


def test_a_model_is_not_served_on_a_trust_file_that_has_expired(house: House, serving: Any) -> None:
    house.later(days=365)
    with pytest.raises(VerificationError, match="the trust file expired"):
        serving.predict(rows(5)[INPUTS])
    with pytest.raises(VerificationError, match="the trust file expired"):
        house.serve(MODEL)


def test_a_model_is_not_served_on_a_clock_behind_the_log(house: House) -> None:
    house.clock.advance(timedelta(hours=-1))
    with pytest.raises(VerificationError, match="the clock says"):
        house.serve(MODEL)


def test_a_deployment_outlives_a_log_that_cannot_be_reached_by_its_grace_and_no_longer(
    house: House, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows(5)[INPUTS]

    def gone(_session: Workspace) -> Any:
        raise LedgerError("the database does not answer")

    monkeypatch.setattr(Workspace, "ledger", property(gone))
    house.later(seconds=359)
    serving.predict(table)
    with pytest.raises(UnavailableError, match="last seen 359 seconds ago"):
        serving.check()
    house.later(seconds=1)
    with pytest.raises(UnavailableError, match="last seen 360 seconds ago"):
        serving.predict(table)
    monkeypatch.undo()
    serving.predict(table)


def test_a_log_that_was_rolled_back_stops_a_deployment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts an old database back would hide a withdrawal; the handle remembers how long the log was."""
    from ml_governance.workspace import memory

    database = house.root / "governance" / "ledger.sqlite"
    old = house.root / "old.sqlite"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(old)) as target:
        source.backup(target)
    ws = house.as_("max")
    deployment = ws.deployment(MODEL)
    ws.config = replace(ws.config, ledger_url=f"sqlite:///{old}")
    monkeypatch.setattr(memory, "recall", lambda _origin: None)
    with pytest.raises(VerificationError, match="pinned checkpoint"):
        deployment.check()


def test_many_threads_are_served_and_every_prediction_is_counted(house: House, serving: Any) -> None:
    table = rows(20, seed=4)[INPUTS]
    threads = [threading.Thread(target=lambda: [serving.predict(table) for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serving.close()
    assert house.monitor(MODEL).report.window.tally.predicted == 8 * 25 * 20


def test_an_answer_stands_even_where_it_cannot_be_counted_and_that_is_counted(house: House, serving: Any) -> None:
    table = rows(40, seed=4)[INPUTS]
    assert len(serving.predict(table, ids=[1, 2])) == 40
    with pytest.raises(ValueError):
        serving.predict(table.drop(columns="income"))
    serving.close()
    tally = house.monitor(MODEL).report.window.tally
    assert (tally.predicted, tally.uncounted, tally.failed, tally.calls) == (40, 40, 1, 2)
    assert tally.why == "2 ids for 40 predictions"


@pytest.mark.parametrize(
    "options",
    [
        {"check_every": timedelta(0)},
        {"grace": timedelta(days=2)},
        {"window": timedelta(hours=7)},
        {"check_every": timedelta(hours=2)},
    ],
)
def test_spans_that_promise_nothing_are_refused(house: House, options: dict[str, timedelta]) -> None:
    with pytest.raises(UsageError):
        house.serve(MODEL, **options)


def test_the_charter_can_name_a_role_that_deploys_and_promotes_nothing(house: House) -> None:
    import json

    from ml_governance.workspace.setup import CHARTER

    value = CHARTER.to_dict()
    value["grants"]["deploy"] = ["auditor"]
    (house.root / "charter.json").write_text(json.dumps(value))
    with house.as_(None) as ws:
        ws.custody.charter(house.root / "charter.json", roots=["root"])
    with pytest.raises(NotAuthorizedError):
        house.serve(MODEL, who="max")
    content = Deployment(
        phase="started", stage="production", registry="local:models", name="credit", version="1", promotion="0" * 64,
        decision="0" * 64, instance="0" * 32, check_seconds=60, grace_seconds=0,
    )  # fmt: skip
    with gov.open(house.root, signer="max", clock=house.clock) as ws, pytest.raises(NotAuthorizedError, match="deploy"):
        ws.writer.record(content, [ws.resolve(MODEL)])
