"""The whole flow on a local registry, and what it refuses."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ml_governance as gov
from ml_governance.errors import (
    ConfigurationError,
    DataError,
    LedgerError,
    MissingEvidenceError,
    NotAuthorizedError,
    PolicyError,
    PromotionDeniedError,
    RegistryError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence.statement import Subject
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import Person

if TYPE_CHECKING:
    from ml_governance import Workspace

POLICY = """
policy: small-production
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 7d}]
review: {roles: [risk_officer]}
rules:
  - id: SML-01
    title: Rates are alike
    require:
      evidence: fairness
      metric: selection_rate_ratio
      by: [sex]
      levels: {sex: [f, m]}
      lower_bound_at_least: 0.5
      max_age: 72h
      signed_by: validator
  - id: SML-02
    title: The run was observed
    require: {evidence: training-run, inputs_digested: true}
"""


def rows(n: int = 800, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": generator.normal(size=n), "sex": generator.choice(["f", "m"], n)})
    return frame.assign(label=(frame.x + generator.normal(0, 0.3, n) > 0).astype(int))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def root(tmp_path: Path, clock: FrozenClock) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "policy.yaml").write_text(POLICY)
    workspace(tmp_path / "ws", policy=str(tmp_path / "pack"), clock=clock).close()
    return tmp_path / "ws"


def acting(root: Path, clock: FrozenClock, who: str | None) -> Workspace:
    return gov.open(root, signer=who, clock=clock)


def train(root: Path, clock: FrozenClock, seed: int = 0) -> Subject:
    data = rows(seed=seed)
    with acting(root, clock, "author") as ws, ws.training("credit") as run:
        run.uses(data, name="train")
        return run.produces(LogisticRegression().fit(data[["x"]], data.label), name="credit")


def assess(root: Path, clock: FrozenClock, version: Subject, **options: Any) -> Any:
    with acting(root, clock, "validator") as ws:
        return ws.assess(
            version, rows(seed=9), y_true="label", sensitive_features=["sex"], kinds=("fairness",), **options
        )


@pytest.fixture
def ready(root: Path, clock: FrozenClock) -> Subject:
    version = train(root, clock)
    assess(root, clock, version)
    return version


def approve(root: Path, clock: FrozenClock, version: Subject, who: str = "validator", **options: Any) -> None:
    with acting(root, clock, who) as ws:
        ws.approve(version, stage="production", reason="looked at it", **options)


def promote(root: Path, clock: FrozenClock, version: Any, who: str = "release-manager") -> Any:
    with acting(root, clock, who) as ws:
        return ws.promote(version, stage="production")


# --- the flow ---------------------------------------------------------------------------------------------


def test_from_training_to_promotion(root: Path, clock: FrozenClock, ready: Subject) -> None:
    with acting(root, clock, "release-manager") as ws:
        waiting = ws.decide("credit/1", stage="production")
        assert (waiting.result, waiting.exit_code) == ("review", 3)
    with pytest.raises(PromotionDeniedError) as caught:
        promote(root, clock, "credit@1")
    assert (caught.value.exit_code, caught.value.http_status) == (3, 409)
    approve(root, clock, ready)
    done = promote(root, clock, ready.sha256[:12])
    assert done.subject == ready and done.previous is None
    with acting(root, clock, None) as ws:
        assert ws.registry.alias("credit", "production") == "1"
        assert not ws.verify().problems
        text = gov_lineage(ws, ready)
        for word in ("train", "run/credit", "credit/1", "fairness", "approval", "allow for production", "production"):
            assert word in text


def gov_lineage(ws: Workspace, version: Subject) -> str:
    from ml_governance.report.lineage import to_dict, to_svg, to_text

    graph = ws.lineage(version)
    assert to_dict(graph)["edges"] and to_svg(graph).startswith("<svg")
    return to_text(graph)


def test_a_report_is_the_same_bytes_from_the_same_evidence(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path
) -> None:
    with acting(root, clock, None) as ws:
        one, two = ws.report(ready, tmp_path / "one"), ws.report(ready, tmp_path / "two")
    assert [path.read_bytes() for path in one.files.values()] == [path.read_bytes() for path in two.files.values()]
    assert json.loads(one.files["json"].read_text())["subject"]["sha256"] == ready.sha256


def test_reports_that_a_caller_computed_count_as_caller_supplied(root: Path, clock: FrozenClock) -> None:
    version, data = train(root, clock), rows(seed=3)
    fair = gov.assess_fairness(y_true=data.label, y_pred=data.label, sensitive_features=data[["sex"]])
    with acting(root, clock, "validator") as ws:
        (receipt,) = ws.attest(version, fair)
        assert ws.view().attestations[receipt.index].content.dataset.rows == len(data)  # type: ignore[attr-defined]
        with pytest.raises(DataError, match="without rows"):
            ws.attest(version, gov.FairnessReport.from_counts({"f": (5, 5, 5, 5), "m": (5, 5, 5, 5)}, by="sex"))
        assert ws.view().attestations[receipt.index].content.predictions == "caller-supplied"  # type: ignore[attr-defined]
        decision = ws.decide(version, stage="production")
    assert "caller-supplied; recomputed ones are required" in decision.explain()


def test_results_made_elsewhere_are_claimed_whatever_they_say(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path
) -> None:
    with acting(root, clock, "validator") as ws:
        stored = next(a for a in ws.view().of_kind("fairness")).content.to_wire()
        (tmp_path / "r.json").write_text(json.dumps({**stored, "kind": "fairness", "predictions": "recomputed"}))
        (receipt,) = ws.attest_file(ready, tmp_path / "r.json")
        assert ws.view().attestations[receipt.index].content.predictions == "claimed"  # type: ignore[attr-defined]
        for text in (
            "{",
            "[]",
            "7",
            '{"kind": "decision"}',
            '{"kind": "fairness"}',
            '{"kind": ["fairness"]}',
            "[" * 100_000,
        ):
            (tmp_path / "r.json").write_text(text)
            with pytest.raises(DataError):
                ws.attest_file(ready, tmp_path / "r.json")


# --- what is refused --------------------------------------------------------------------------------------


def test_the_author_cannot_approve_nor_promote(root: Path, clock: FrozenClock, ready: Subject) -> None:
    with pytest.raises(NotAuthorizedError, match="nobody may approve their own work"):
        approve(root, clock, ready, who="author", role="validator")
    approve(root, clock, ready)
    for who in ("author", "validator", "risk-officer"):
        with pytest.raises(NotAuthorizedError):
            promote(root, clock, ready, who=who)
    assert acting(root, clock, None).registry.alias("credit", "production") is None


def test_an_artifact_changed_after_approval_is_not_promoted(root: Path, clock: FrozenClock, ready: Subject) -> None:
    approve(root, clock, ready)
    (root / "models" / "credit" / "1" / "model.skops").write_bytes(b"other weights")
    with pytest.raises(VerificationError, match="has the digest"):
        promote(root, clock, ready)
    with pytest.raises(VerificationError, match="has the digest"):
        assess(root, clock, ready)


def test_an_artifact_changed_between_gate_and_action_is_not_promoted(
    root: Path, clock: FrozenClock, ready: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.promote import gate

    approve(root, clock, ready)
    original = gate._act

    def swap(*arguments: Any) -> int:
        (root / "models" / "credit" / "1" / "model.skops").write_bytes(b"other weights")
        return original(*arguments)

    monkeypatch.setattr(gate, "_act", swap)
    with pytest.raises(VerificationError):
        promote(root, clock, ready)
    with acting(root, clock, None) as ws:
        assert ws.registry.alias("credit", "production") is None
        outcome = ws.view().of_kind("promotion")[-1].content
        assert (outcome.phase, outcome.result) == ("outcome", "failed")  # type: ignore[attr-defined]


def test_evidence_that_arrives_during_a_promotion_is_seen(
    root: Path, clock: FrozenClock, ready: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the decision and the intent a new, failing report appears: the gate starts again and sees it."""
    from ml_governance.decide import rbac

    approve(root, clock, ready)
    original, arrived = rbac.may, []

    def slow(*arguments: Any, **options: Any) -> Any:
        if not arrived:
            arrived.append(True)
            data = rows(seed=5)
            unfair = gov.assess_fairness(
                y_true=data.label, y_pred=(data.sex == "m").astype(int), sensitive_features=data[["sex"]]
            )
            with acting(root, clock, "validator") as ws:
                ws.attest(ready, unfair, data=data)
        return original(*arguments, **options)

    monkeypatch.setattr(rbac, "may", slow)
    with pytest.raises(PromotionDeniedError):
        promote(root, clock, ready)
    assert arrived and acting(root, clock, None).registry.alias("credit", "production") is None


def test_an_alias_that_does_not_move_is_a_recorded_failure(
    root: Path, clock: FrozenClock, ready: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.promote.registry import LocalRegistry

    approve(root, clock, ready)
    monkeypatch.setattr(LocalRegistry, "set_alias", lambda *_: None)
    with pytest.raises(RegistryError, match="right after it was set"):
        promote(root, clock, ready)


def test_a_promotion_that_died_half_way_is_told_by_the_next(
    root: Path, clock: FrozenClock, ready: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_governance.promote import gate

    approve(root, clock, ready)
    with monkeypatch.context() as patched:
        patched.setattr(gate, "_act", lambda *_: (_ for _ in ()).throw(OSError("the machine stopped")))
        with pytest.raises(OSError, match="stopped"):
            promote(root, clock, ready)
    with pytest.raises(UnavailableError, match="has no outcome yet"):
        promote(root, clock, ready)
    clock.advance(timedelta(minutes=16))
    assert "had died; it is recorded as failed" in promote(root, clock, ready).notes[0]


def test_stale_evidence_and_expired_approvals_block_again(root: Path, clock: FrozenClock, ready: Subject) -> None:
    approve(root, clock, ready)
    clock.advance(timedelta(hours=73))
    with pytest.raises(PromotionDeniedError) as caught:
        promote(root, clock, ready)
    assert caught.value.exit_code == 4 and "stale" in str(caught.value)


def test_a_clock_moved_back_decides_nothing(root: Path, clock: FrozenClock, ready: Subject) -> None:
    clock.advance(timedelta(hours=-5))
    with (
        pytest.raises(VerificationError, match="clock|already has an entry"),
        acting(root, clock, "release-manager") as ws,
    ):
        ws.decide(ready, stage="production")


def test_a_policy_file_edited_on_disk_changes_nothing_until_it_is_signed(
    root: Path, clock: FrozenClock, ready: Subject
) -> None:
    file = root / "policies" / "pack" / "policy.yaml"
    lax = (
        file.read_text()
        .replace("approvals: [{role: validator, expires: 7d}]\n", "")
        .replace("at_least: 0.5", "at_least: 0.01")
    )
    file.write_text(lax)
    with acting(root, clock, "release-manager") as ws:
        assert ws.decide(ready, stage="production").result == "review"
    for who, text, error in (
        ("author", lax.replace("version: 1", "version: 2"), NotAuthorizedError),
        ("risk-officer", lax, PolicyError),
        ("risk-officer", "policy: [", PolicyError),
    ):
        file.write_text(text)
        with pytest.raises(error), acting(root, clock, who) as ws:
            ws.enact(file)
    file.write_text(lax.replace("version: 1", "version: 2"))
    with acting(root, clock, "risk-officer") as ws:
        ws.enact(file)
        assert ws.decide(ready, stage="production").result == "allow"


def test_a_rolled_back_ledger_is_noticed_on_this_machine(
    root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path
) -> None:
    shutil.copytree(root / "governance", tmp_path / "before")
    approve(root, clock, ready)
    acting(root, clock, None).view()
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (root / "governance" / name).unlink(missing_ok=True)
        if (tmp_path / "before" / name).exists():
            shutil.copy(tmp_path / "before" / name, root / "governance" / name)
    with pytest.raises(VerificationError, match="rolled back"):
        acting(root, clock, None).view()


def test_the_ledger_of_another_workspace_is_refused(root: Path, clock: FrozenClock, tmp_path: Path) -> None:
    workspace(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "governance" / "ledger.sqlite", root / "governance" / "ledger.sqlite")
    with pytest.raises(ConfigurationError, match="belongs to mlgov.local/"):
        acting(root, clock, None).view()
    toml = (root / "governance.toml").read_text()
    (tmp_path / "other" / "governance.toml").write_text(
        (tmp_path / "other" / "governance.toml")
        .read_text()
        .replace("sha256:", "sha256:")
        .replace(gov.open(tmp_path / "other").config.trust_root, gov.open(root).config.trust_root)
    )
    assert toml
    with pytest.raises(VerificationError, match="trust root is"):
        gov.open(tmp_path / "other").view()


def test_a_foreign_key_proves_nothing(root: Path, clock: FrozenClock, ready: Subject, tmp_path: Path) -> None:
    from ml_governance.evidence import keys

    keys.generate(tmp_path / "eve.pem")
    with (
        pytest.raises(NotAuthorizedError, match="belongs to nobody"),
        acting(root, clock, str(tmp_path / "eve.pem")) as ws,
    ):
        ws.decide(ready, stage="production")
    with acting(root, clock, None) as ws:
        assert not ws.verify().problems
    with pytest.raises(ConfigurationError, match="no key for 'mallory'"):
        acting(root, clock, "mallory")
    (root / "governance" / "keys" / "validator.pem").chmod(0o644)
    with pytest.raises(gov.KeyFileError, match="0644"):
        acting(root, clock, "validator")


def test_without_a_signer_one_reads_and_nothing_else(root: Path, clock: FrozenClock, ready: Subject) -> None:
    with acting(root, clock, None) as ws:
        assert ws.resolve("credit/1") == ready
        for call in (
            lambda: ws.decide(ready, stage="production"),
            lambda: ws.training("x").__enter__(),
            lambda: ws.approve(ready, stage="production", reason="x"),
        ):
            with pytest.raises(ConfigurationError, match="nobody is acting"):
                call()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ws, _: ws.resolve("nothing/7"), MissingEvidenceError, "no registered model"),
        (lambda ws, _: ws.resolve("abc"), MissingEvidenceError, "one of credit/1"),
        (lambda ws, v: ws.decide(v, stage="moon"), ConfigurationError, "no stage 'moon'"),
        (lambda ws, v: ws.approve(v, stage="production", reason="  "), UsageError, "reason is empty"),
        (lambda ws, v: ws.approve(v, stage="production", reason="x", verdict="maybe"), UsageError, "verdict"),
        (lambda ws, v: ws.approve(v, stage="production", reason="x", resolves=("SML-09",)), MissingEvidenceError, "SML-09"),
        (lambda ws, v: ws.assess(v, "nothing.parquet", y_true="label", sensitive_features=["sex"]), DataError, "does not exist"),
        (lambda ws, v: ws.assess(v, rows(), y_true="lable", sensitive_features=["sex"]), DataError, "did you mean 'label'"),
        (lambda ws, v: ws.assess(v, rows()[:0], y_true="label", sensitive_features=["sex"]), DataError, "no rows"),
        (lambda ws, v: ws.assess(v, rows(), y_true="label", sensitive_features=["sex"], kinds=("luck",)), UsageError, "luck"),
        (lambda ws, v: ws.assess(v, 7, y_true="label", sensitive_features=["sex"]), DataError, "is a int"),
        (lambda ws, v: ws.attest(v, data=rows()), UsageError, "nothing to attest"),
        (lambda ws, v: ws.report(v, "/proc/nowhere"), ConfigurationError, "cannot be written"),
    ],
)  # fmt: skip
def test_bad_calls_are_named_and_record_nothing(
    root: Path, clock: FrozenClock, ready: Subject, call: Any, error: Any, words: str
) -> None:
    with acting(root, clock, "validator") as ws:
        size = ws.ledger.size
        with pytest.raises(error, match=words):
            call(ws, ready)
        assert ws.ledger.size == size


# --- making and opening -----------------------------------------------------------------------------------


def test_a_new_workspace_keeps_its_keys_to_itself(root: Path) -> None:
    for path in (root / "governance" / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((root / "governance" / "keys").stat().st_mode) == 0o700
    assert (root / "governance" / ".gitignore").read_text().endswith("*\n")
    assert not list(root.glob(".mlgov-init-*"))


def test_a_workspace_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_governance.workspace import setup

    for broken in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with monkeypatch.context() as patched:
            patched.setattr(setup, "write_atomically", lambda *_, error=broken, **__: (_ for _ in ()).throw(error))
            with pytest.raises((ConfigurationError, KeyboardInterrupt)):
                workspace(tmp_path / "ws")
        assert list((tmp_path / "ws").iterdir()) == []
    workspace(tmp_path / "ws").close()
    with pytest.raises(ConfigurationError, match="already exists"):
        workspace(tmp_path / "ws")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        workspace(Path("/proc/nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        workspace(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "nothing"}, "no policy pack"),
        ({"people": (Person(id="a", name="A", roles=("author",)),)}, "policy_owner"),
        ({"people": (Person(id="a", name="A", roles=("policy_owner",)),) * 2}, "same id"),
    ],
)
def test_workspaces_that_could_not_work_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        workspace(tmp_path / "ws", **options)
    with pytest.raises(ConfigurationError, match="person's id"):
        Person(id="../root", name="x", roles=())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "[", "not valid TOML"),
        (lambda text: text.replace("version = 1", "version = 2"), "version"),
        (lambda text: text + "\n[extra]\na = 1\n", "extra"),
        (lambda text: text.replace("sha256:", "sha1:"), "root"),
        (lambda text: "", "Field required"),
        (lambda text: "a = " + "[" * 5000, "not valid TOML"),
        (lambda text: "a = " + "9" * 5000, "not valid TOML"),
        (lambda text: "# " + "x" * 20_000, "too large"),
        (lambda text: text.replace('uri = "local:', 'uri = "local:\\u0000'), "registry.uri"),
    ],
)
def test_a_broken_configuration_is_named(root: Path, change: Any, words: str) -> None:
    file = root / "governance.toml"
    file.write_text(change(file.read_text()))
    with pytest.raises(ConfigurationError, match=words):
        gov.open(root)


def test_outside_a_workspace_one_is_told_what_to_do(tmp_path: Path, root: Path, clock: FrozenClock) -> None:
    with pytest.raises(ConfigurationError, match="mlgov init"):
        try:
            gov.open(tmp_path)
        except ConfigurationError as error:
            raise ConfigurationError(str(error)) from error
    (root / "a" / "b").mkdir(parents=True)
    assert gov.open(root / "a" / "b").root == root
    (root / "governance" / "ledger.sqlite").unlink()
    with pytest.raises(LedgerError, match="no ledger"):
        gov.open(root).view()


def test_two_people_can_work_in_one_process(root: Path, clock: FrozenClock, ready: Subject) -> None:
    with acting(root, clock, "validator") as one, one.acting_as("release-manager") as two:
        one.approve(ready, stage="production", reason="fine")
        assert two.decide(ready, stage="production").result == "allow"
        assert "acting with key" in repr(two) and "Workspace" in two._repr_html_()


def test_no_workspace_is_made_where_a_trust_root_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have a root of its own, and be refused the moment it is opened."""
    monkeypatch.setenv("MLGOV_ROOT", f"sha256:{'a' * 64}")
    with pytest.raises(ConfigurationError, match="a new workspace has a root of its own"):
        gov.init(tmp_path / "new")
    assert not (tmp_path / "new").exists()
