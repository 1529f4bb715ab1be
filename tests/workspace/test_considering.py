"""Judging without signing: by another policy, and as of another time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import ConfigurationError, MissingEvidenceError, PolicyError, UsageError
from tests.workspace.test_workspace import POLICY, acting, approve, assess, clock, promote, ready, root, train

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject
    from ml_governance.testing import FrozenClock

__all__ = ["clock", "ready", "root"]  # fixtures

HOUR = timedelta(hours=1)


def size(root: Path, clock: FrozenClock) -> int:
    with acting(root, clock, None) as ws:
        return ws.ledger.size


def test_a_stricter_policy_is_tried_and_nothing_is_signed(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path
) -> None:
    approve(root, clock, ready)
    strict = tmp_path / "strict.yaml"
    strict.write_text(POLICY.replace("version: 1", "version: 2").replace("at_least: 0.5", "at_least: 0.999"))
    before = size(root, clock)
    with acting(root, clock, "release-manager") as ws:
        tried = ws.consider(ready, stage="production", policy=strict)
        assert tried.policy_version == 2 and tried.result == "review"
        assert "not signed: what strict.yaml would decide" in tried.explain()
        assert ws.consider(ready, stage="production").result == "allow"
        assert "nothing was recorded" in ws.consider(ready, stage="production").notes[0]
    assert size(root, clock) == before
    assert promote(root, clock, ready).decision.policy_version == 1


def test_a_policy_that_is_none_and_a_stage_that_is_none_are_refused(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("policy: x")
    with acting(root, clock, None) as ws:
        with pytest.raises(PolicyError):
            ws.consider(ready, stage="production", policy=tmp_path / "bad.yaml")
        with pytest.raises(ConfigurationError, match="cannot be read"):
            ws.consider(ready, stage="production", policy=tmp_path / "none.yaml")
        with pytest.raises(ConfigurationError, match="no stage"):
            ws.consider(ready, stage="moon")
    other = tmp_path / "staging.yaml"
    other.write_text(POLICY.replace("stage: production", "stage: staging"))
    with acting(root, clock, None) as ws:
        tried = ws.consider(ready, stage="production", policy=other)
    assert tried.result == "deny" and any(f.rule == "GATE-stage" for f in tried.findings)


def test_what_was_decided_then_is_decided_again_from_the_log_as_it_stood(root: Path, clock: FrozenClock) -> None:
    version = train(root, clock)
    clock.advance(HOUR)
    trained = clock()
    clock.advance(HOUR)
    assess(root, clock, version)
    with acting(root, clock, None) as ws:
        stood = ws.verify().checkpoint
    measured = clock()
    clock.advance(HOUR)
    approve(root, clock, version)
    with acting(root, clock, "release-manager") as ws:
        signed = ws.decide(version, stage="production")
    decided = clock()
    clock.advance(200 * HOUR)
    with acting(root, clock, None) as ws:
        assert ws.consider(version, stage="production").exit_code == 4  # stale by now

        def then(at: datetime) -> tuple[str, int]:
            found = ws.consider(version, stage="production", at=at)
            return found.result, found.exit_code

        assert then(trained) == ("deny", 4)
        assert then(measured) == ("review", 3)
        assert then(decided) == (signed.result, signed.exit_code) == ("allow", 0)
        again = ws.consider(version, stage="production", at=decided)
        assert (again.findings, again.binding) == (signed.findings, signed.binding)
        cut = ws.consider(version, stage="production", at=measured)
        assert (cut.log_size, cut.log_root) == (stood.size, stood.root.hex())
        assert f"from the first {stood.size} of" in cut.notes[0] and "not signed" in cut.notes[0]


def test_what_was_revoked_later_counted_then_and_does_not_now(root: Path, clock: FrozenClock, ready: Subject) -> None:
    from ml_governance.evidence.predicates import Revocation

    approve(root, clock, ready)
    then = clock()
    clock.advance(HOUR)
    with acting(root, clock, "validator") as ws:
        fairness = ws.view().of_kind("fairness")[-1]
        ws.writer.record(Revocation(target=fairness.payload_digest, reason="wrong rows"), [ready])
    with acting(root, clock, None) as ws:
        assert ws.consider(ready, stage="production", at=then).result == "allow"
        assert ws.consider(ready, stage="production").exit_code == 4


def test_roles_and_policy_are_those_of_then(root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path) -> None:
    approve(root, clock, ready)
    then = clock()
    clock.advance(HOUR)
    newer = tmp_path / "newer.yaml"
    newer.write_text(POLICY.replace("version: 1", "version: 2").replace("at_least: 0.5", "at_least: 0.999"))
    with acting(root, clock, "risk-officer") as ws:
        ws.enact(newer)
    clock.advance(HOUR)
    with acting(root, clock, None) as ws:
        past, now = ws.consider(ready, stage="production", at=then), ws.consider(ready, stage="production")
    assert (past.policy_version, past.result) == (1, "allow")
    assert (now.policy_version, now.result) == (2, "review")


def test_a_time_ahead_without_a_zone_or_before_the_log_is_refused(
    root: Path, clock: FrozenClock, ready: Subject
) -> None:
    with acting(root, clock, None) as ws:
        with pytest.raises(UsageError, match="the time is"):
            ws.consider(ready, stage="production", at=clock() + timedelta(seconds=1))
        with pytest.raises(UsageError, match="the time is"):
            ws.consider(ready, stage="production", at=clock().replace(tzinfo=None))
        with pytest.raises(MissingEvidenceError, match="no trust file"):
            ws.consider(ready, stage="production", at=clock() - timedelta(days=1))
