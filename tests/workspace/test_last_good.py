"""After a theft and after a wrong clock: what a workspace believes, on what proof, and what it puts on record."""

from __future__ import annotations

import base64
import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_governance.decide.decision import evaluate
from ml_governance.decide.policy import in_force
from ml_governance.errors import ConfigurationError, NotAuthorizedError, UsageError, VerificationError
from ml_governance.evidence.reader import Anchor
from ml_governance.evidence.timeline import MAX_SKEW
from ml_governance.testing import START, FrozenClock, workspace
from ml_governance.workspace import config, memory, new_keys
from ml_governance.workspace.last_good import LastGood
from tests.evidence.test_witness import COSIGNERS, TWO_OF_THREE
from tests.workspace.test_custody import MODEL, NOTE, record

if TYPE_CHECKING:
    from ml_governance.workspace import Workspace

STOLEN = START + timedelta(hours=2)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "ws", clock=FrozenClock())


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "witnesses.txt").write_text(TWO_OF_THREE)
    return tmp_path / "witnesses.txt"


def cosigned(text: str, **hours: float) -> str:
    """Return a checkpoint with cosignatures, each so many hours after the start."""
    return text + "".join(COSIGNERS[name].cosign(text, START + timedelta(hours=at)) for name, at in hours.items())


def kept(tmp_path: Path, text: str) -> Path:
    (tmp_path / "checkpoint.txt").write_text(text, encoding="utf-8")
    return tmp_path / "checkpoint.txt"


# --- the last good checkpoint ------------------------------------------------------------------------------------


def test_a_checkpoint_that_a_quorum_cosigned_before_the_theft_is_good(
    ws: Workspace, tmp_path: Path, policy: Path
) -> None:
    first = record(ws, "validator")
    file, size = kept(tmp_path, cosigned(ws.ledger.checkpoint(), x=0, z=1)), ws.ledger.size
    second = record(ws, "validator")
    good = LastGood.anchored(ws, file, stolen=STOLEN, witnesses=policy)
    assert (good.size, good.proven) == (size, True)
    done = ws.custody.revoke("validator", roots=["root"], last_good=good)
    assert done.remark is not None
    assert "cosigned by x, z at 2026-01-15T13:00:00+00:00, before the theft" in done.remark
    counting = {one.index for one in ws.view().attestations}
    assert first in counting
    assert second not in counting
    assert done.remark in " ".join(ws.verify().notes)


@pytest.mark.parametrize("hours", [{}, {"x": 0}, {"x": 0, "y": 3}, {"x": 2, "y": 2}], ids=str)
def test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused(
    ws: Workspace, tmp_path: Path, policy: Path, hours: dict[str, float]
) -> None:
    """Signed by the log it is, and nobody knows when: no cosignature, too few, or one witness who says it was long ago."""
    record(ws, "validator")
    file = kept(tmp_path, cosigned(ws.ledger.checkpoint(), **hours))
    with pytest.raises(VerificationError, match="nothing shows that the checkpoint"):
        LastGood.anchored(ws, file, stolen=STOLEN, witnesses=policy)
    with pytest.raises(UsageError, match="nothing would show"):
        LastGood.anchored(ws, file, stolen=STOLEN)
    with pytest.raises(UsageError, match="no zone"):
        LastGood.anchored(ws, file, stolen=STOLEN.replace(tzinfo=None), witnesses=policy)


def test_an_anchor_over_a_later_checkpoint_covers_an_earlier_one(ws: Workspace, tmp_path: Path, policy: Path) -> None:
    record(ws, "validator")
    file, size = kept(tmp_path, ws.ledger.checkpoint()), ws.ledger.size
    record(ws, "validator")
    note = cosigned(ws.ledger.checkpoint(), x=0, y=1)
    ws.ledger.keep_anchor(Anchor(size=ws.ledger.size, kind="cosigned", name="witnesses", note=note))
    assert LastGood.anchored(ws, file, stolen=STOLEN, witnesses=policy).size == size
    later = kept(tmp_path, (record(ws, "validator"), ws.ledger.checkpoint())[1])
    with pytest.raises(VerificationError, match="no anchor covers it"):
        LastGood.anchored(ws, later, stolen=STOLEN, witnesses=policy)


def test_a_bare_assertion_counts_only_when_it_is_made_as_one_and_stays_on_record(ws: Workspace, tmp_path: Path) -> None:
    first = record(ws, "validator")
    file = kept(tmp_path, ws.ledger.checkpoint())
    with pytest.raises(UsageError, match="reason is empty"):
        LastGood.asserted(ws, file, reason=" ")
    good = LastGood.asserted(ws, file, reason="on paper in Vera's safe since May")
    assert not good.proven
    done = ws.custody.revoke("validator", roots=["root"], last_good=good)
    assert first in {one.index for one in ws.view().attestations}
    ws.custody.renew(roots=["root"])
    assert f"on record at #{done.index}, with trust file 2: the key of validator" in " ".join(ws.verify().notes)
    assert "NOT PROVEN to be older than the theft: on paper in Vera's safe" in " ".join(ws.verify().notes)


def test_a_stolen_log_key_is_taken_back_from_the_checkpoint_after_the_last_good_one(
    ws: Workspace, tmp_path: Path
) -> None:
    text, size = ws.ledger.checkpoint(), ws.ledger.size
    old = ws.custody.current().log_keys[0].public
    with pytest.raises(ConfigurationError, match="only one in use"):
        ws.custody.revoke(old[:12], roots=["root"])
    ws.custody.rotate_log_key(roots=["root"])
    ws.custody.revoke(old[:12], roots=["root"], last_good=LastGood(size=size, proven=False, why="x"))
    by = {key.public: key for key in ws.custody.current().log_keys}
    assert by[old].valid_until == size + 1
    LastGood.asserted(ws, kept(tmp_path, text), reason="it is still good")
    ws.custody.revoke(old[:12], roots=["root"], last_good=LastGood.nothing())
    with pytest.raises(VerificationError, match="trees of no size"):
        LastGood.asserted(ws, kept(tmp_path, text), reason="it is not")
    record(ws, "validator")
    assert not ws.verify().problems


# --- the log's own key ----------------------------------------------------------------------------------------------


def of_two(ws: Workspace, tmp_path: Path) -> tuple[str, str]:
    one, two = (new_keys.new_key(tmp_path / name, name) for name in ("one", "two"))
    names = (str(one.private), str(two.private))
    ws.custody.rotate_root([one.public, two.public], roots=["root", *names], threshold=2)
    return names


def test_the_log_changes_its_key_when_the_last_holder_has_signed(ws: Workspace, tmp_path: Path) -> None:
    one, two = of_two(ws, tmp_path)
    draft, old = tmp_path / "draft.json", (ws.config.keys / "log.pem").read_bytes()
    waiting = ws.custody.rotate_log_key(roots=[one], draft=draft, until=ws.ledger.size + 40)
    assert waiting.index is None
    record(ws, "validator")
    between = ws.ledger.checkpoint()
    assert (ws.config.keys / "log.pem").read_bytes() == old
    assert ws.custody.continue_draft(draft, roots=[two]).index is not None
    assert (ws.config.keys / "log.pem").read_bytes() != old
    record(ws, "validator")
    assert not ws.verify().problems
    LastGood.asserted(ws, kept(tmp_path, between), reason="signed with the old key while the draft waited")
    with pytest.raises(UsageError, match="old key is to end"):
        ws.custody.rotate_log_key(roots=[one, two], until=3)


def test_a_lost_log_key_is_followed_by_another(ws: Workspace) -> None:
    """The root's word names the new key, and the new key signs the tree that holds it."""
    ws.close()
    (ws.config.keys / "log.pem").unlink()
    ws.custody.rotate_log_key(roots=["root"])
    record(ws, "validator")
    assert not ws.verify().problems


def test_no_trust_file_comes_into_force_after_which_nobody_could_append(ws: Workspace, tmp_path: Path) -> None:
    one, two = of_two(ws, tmp_path)
    draft = tmp_path / "draft.json"
    ws.custody.rotate_log_key(roots=[one], draft=draft)
    ws.custody.rotate_log_key(roots=[one], draft=tmp_path / "another.json")  # the first draft's key is gone
    with pytest.raises(ConfigurationError, match="nothing could be appended after it"):
        ws.custody.continue_draft(draft, roots=[two])
    record(ws, "validator")
    assert not ws.verify().problems


# --- a wrong clock ----------------------------------------------------------------------------------------------------


def closed(ws: Workspace) -> int:
    """Let somebody sign whose clock is a year ahead; return the first index from the future."""
    since, clock = ws.ledger.size, ws.clock
    assert isinstance(clock, FrozenClock)
    now = clock.now
    clock.advance(timedelta(days=365))
    record(ws, "validator")
    clock.now = now
    return since


def test_a_log_that_a_wrong_clock_closed_is_opened_again_by_the_root(ws: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="no entry is from the future"):
        ws.custody.resume(roots=["root"], reason="nothing happened")
    since = closed(ws)
    with pytest.raises(VerificationError, match="already has an entry"):
        record(ws, "author")
    with pytest.raises(UsageError, match="reason is empty"):
        ws.custody.resume(roots=["root"], reason="")
    with pytest.raises(NotAuthorizedError, match="no root key"):
        ws.custody.resume(roots=["validator"], reason="me alone")
    done = ws.custody.resume(roots=["root"], reason="the clock of build-7 was a year ahead")
    assert done.remark is not None
    assert f"entries from #{since} on claim a later time: the clock of build-7" in done.remark
    record(ws, "author")
    assert not ws.verify().problems
    assert not any(finding.startswith("GATE-clock") for finding in blocking(ws))
    assert [one.index for one in ws.view().void if one.kind == "approval"] == [since + 1]


def test_every_holder_holds_the_drafts_time_against_a_clock_of_their_own(ws: Workspace, tmp_path: Path) -> None:
    one, two = of_two(ws, tmp_path)
    closed(ws)
    draft = tmp_path / "draft.json"
    assert ws.custody.resume(roots=[one], reason="r", draft=draft).index is None
    assert isinstance(ws.clock, FrozenClock)
    ws.clock.advance(-2 * MAX_SKEW)
    with pytest.raises(VerificationError, match="the draft says that it is"):
        ws.custody.continue_draft(draft, roots=[two])
    ws.clock.advance(3 * MAX_SKEW)
    assert ws.custody.continue_draft(draft, roots=[two]).index is not None
    assert not ws.verify().problems


# --- the clock of a decision --------------------------------------------------------------------------------------------


def blocking(ws: Workspace) -> list[str]:
    view = ws.view()
    reference = in_force(view, "production")
    decision = evaluate(
        subject=MODEL, stage="production", project="credit", policy=reference.policy, policy_sha256=reference.sha256,
        evidence=view, at=ws.clock(),
    )  # fmt: skip
    return [finding.id for finding in decision.findings]


def test_nobody_decides_on_a_clock_behind_a_cosignature(ws: Workspace) -> None:
    assert "GATE-clock" not in blocking(ws)
    note = cosigned(ws.ledger.checkpoint(), x=30, y=1)
    ws.ledger.keep_anchor(Anchor(size=ws.ledger.size, kind="cosigned", name="witnesses", note=note))
    assert ws.view().newest == START + timedelta(hours=1), "of several the earliest: one wrong witness moves nothing"
    assert "GATE-clock" in blocking(ws)
    assert isinstance(ws.clock, FrozenClock)
    ws.clock.advance(timedelta(hours=1))
    assert "GATE-clock" not in blocking(ws)


def test_nobody_decides_on_a_clock_behind_a_timestamp(ws: Workspace) -> None:
    pytest.importorskip("rfc3161_client")
    value = json.loads((Path(__file__).parent.parent / "evidence" / "timestamp.json").read_text(encoding="utf-8"))
    token = base64.b64decode(value["token"])
    ws.ledger.keep_anchor(Anchor(size=1, kind="timestamp", name="t", note=value["note"], data=token))
    assert "GATE-clock" in blocking(ws)
    newest = ws.view().newest
    assert newest is not None
    ws.clock.now = newest  # type: ignore[attr-defined]  # a frozen clock
    assert "GATE-clock" not in blocking(ws)
    ws.ledger.keep_anchor(Anchor(size=1, kind="timestamp", name="t", note=value["note"], data=token[:-9]))
    with pytest.raises(VerificationError, match="timestamp does not verify"):
        ws.view()


def test_what_depends_on_time_is_judged_at_the_newest_time_that_the_log_shows(ws: Workspace) -> None:
    """Within the allowance for clocks nothing blocks, and still nobody wins ten minutes by being late."""
    view = replace(ws.view(), newest=START + timedelta(minutes=9))
    reference = in_force(view, "production")
    decision = evaluate(
        subject=MODEL, stage="production", project="credit", policy=reference.policy, policy_sha256=reference.sha256,
        evidence=replace(view, trust_expires_at=START + timedelta(minutes=5)), at=START,
    )  # fmt: skip
    assert {"GATE-trust"} == {f.id for f in decision.findings} & {"GATE-trust", "GATE-clock"}
    assert decision.at == START + timedelta(minutes=9)


def test_an_anchor_from_a_time_that_has_not_come_is_not_kept(ws: Workspace, tmp_path: Path, policy: Path) -> None:
    """One witness or authority with a wrong clock would otherwise stop every decision."""
    from ml_governance.workspace import exchange

    answers = {name: COSIGNERS[name] for name in "xyz"}

    def post(url: str, body: bytes) -> tuple[int, str]:
        text = body.decode().partition("\n\n")[2]
        return 200, answers[url[8]].cosign(text, START + timedelta(hours=5))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exchange, "post", post)
        with pytest.raises(VerificationError, match="clocks that agree"):
            ws.log.ask_witnesses(policy)
    assert list(ws.ledger.anchors()) == []


# --- small things ---------------------------------------------------------------------------------------------------------


def with_destinations(ws: Workspace, *destinations: str) -> None:
    file = ws.config.root / config.FILE
    text = file.read_text().partition("\n[openlineage]\n")[0]
    file.write_text(f"{text}\n[openlineage]\ndestinations = {json.dumps(destinations)}\n")
    config.load(ws.config.root)


@pytest.mark.parametrize(
    "second", ["https://b.example/v1?key_env=OL_TWO", "https://u:secret@b.example/v1", "https://b.example/v1#x"]
)
def test_destinations_that_the_outbox_could_not_tell_apart_are_refused(ws: Workspace, second: str) -> None:
    with_destinations(ws, "https://b.example/v1?key_env=OL_ONE", "https://b.example/v2?key_env=OL_TWO")
    with pytest.raises(ConfigurationError, match="2 destinations have the address https://b.example/v1") as refused:
        with_destinations(ws, "https://b.example/v1?key_env=OL_ONE", second)
    assert "secret" not in str(refused.value)
    assert "OL_" not in str(refused.value)


@pytest.mark.parametrize("days", [36_526, 10**12])
def test_a_retention_beyond_a_hundred_years_is_refused(ws: Workspace, days: int) -> None:
    file = ws.config.root / config.FILE
    file.write_text(file.read_text() + f"\n[retention]\ndefault = {days}\n")
    with pytest.raises(ConfigurationError, match="less than or equal to 36525"):
        config.load(ws.config.root)


def test_an_entry_from_the_end_of_the_calendar_is_never_due(ws: Workspace) -> None:
    file = ws.config.root / config.FILE
    file.write_text(file.read_text() + "\n[retention]\ndefault = 36525\n")
    ws.config = config.load(ws.config.root)
    assert isinstance(ws.clock, FrozenClock)
    ws.clock.now = datetime(9999, 12, 1, tzinfo=UTC)
    index = record(ws, "validator")
    assert index not in {one.index for one in ws.log.due()}


def test_a_slower_process_does_not_forget_what_a_faster_one_has_verified(ws: Workspace) -> None:
    slower = ws.verify().prefix
    record(ws, "validator")
    faster = ws.verify().prefix
    memory.remember(slower)
    assert memory.recall(ws.config.origin) == faster


def test_two_processes_that_remember_at_once_keep_the_newer(ws: Workspace) -> None:
    prefixes = []
    for _ in range(4):
        prefixes.append(ws.verify().prefix)
        record(ws, "validator")
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        processes = [context.Process(target=memory.remember, args=(one,)) for one in prefixes]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert memory.recall(ws.config.origin) == prefixes[-1]


def test_a_no_counts_whatever_time_it_claims(ws: Workspace) -> None:
    """Its signer's clock was wrong; that makes the no no weaker."""
    from ml_governance.decide import approval

    index = record(ws, "validator", NOTE.model_copy(update={"verdict": "reject"}))
    view = ws.view()
    policy = in_force(view, "production").policy
    for at in (START, START - timedelta(days=100)):
        ballot = approval.count(
            policy, subject=MODEL, stage="production", bound_to=NOTE.binding, project="credit", evidence=view, at=at
        )
        assert [entry.index for entry in ballot.rejections] == [index]
