"""Processes that die, disks that fail, files that cannot be written: what was acknowledged is there, and nothing else breaks."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import LedgerError, VerificationError
from ml_governance.evidence import entry, merkle
from ml_governance.evidence.envelope import MAX_SIGNATURES, Envelope
from ml_governance.evidence.ledger import Ledger
from tests.evidence.conftest import MODEL, Log, note
from tests.evidence.test_ledger import KILLED

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}


def start(log: Log, *wrapper: str, records: int | None = None) -> subprocess.Popen[str]:
    program = KILLED if records is None else KILLED.replace("while True:", f"for _ in range({records}):")
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", program, str(log.path), log.url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip


def indices(text: str) -> list[int]:
    lines = text.split("\n")
    return [int(line) for line in lines[:-1] if line.strip()]


@pytest.mark.slow
def test_writers_that_are_killed_again_and_again_lose_nothing(any_log: Log) -> None:
    """Three writers at once, each killed at a random moment, five times over."""
    log = any_log
    acknowledged: list[int] = []
    for attempt in range(5):
        running = [start(log) for _ in range(3)]
        time.sleep(2.0 + 0.13 * attempt)
        for process in running:
            process.send_signal(signal.SIGKILL)
        for process in running:
            out, _ = process.communicate()
            acknowledged += indices(out)
        verified = log.verify()
        assert not verified.problems, verified.problems
    assert len(acknowledged) > 30
    assert len(set(acknowledged)) == len(acknowledged), "no index was given twice"
    stored = {one.index for one in log.ledger.entries()}
    assert set(acknowledged) <= stored
    assert stored == set(range(log.ledger.size)), "gapless"


@pytest.mark.interop
@pytest.mark.parametrize(
    "fault",
    [
        "pwrite64:error=EIO:when=40+7",
        "pwrite64:error=ENOSPC:when=40+5",
        "fdatasync:error=EIO:when=3+2",
        "fsync:error=EIO:when=2+2",
        "pwrite64:signal=SIGKILL:when=60",
        "fdatasync:signal=SIGKILL:when=5",
    ],
)
def test_a_disk_that_fails_loses_nothing_that_was_acknowledged(log: Log, fault: str) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    call = fault.partition(":")[0]
    log.ledger.close()
    traced = ("-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}")
    process = start(log, strace, *traced, records=40)
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # strace alone would leave the traced process behind
        process.communicate()
        raise
    if "Operation not permitted" in err or "PTRACE" in err:
        pytest.skip("this machine does not allow ptrace")
    if "Traceback" in err:
        assert "LedgerError" in err, err[-2000:]
        assert any(word in err for word in ("disk I/O error", "disk is full", "full")), err[-2000:]
    log.ledger = Ledger.open(log.url, log_signer=log.log_signer)
    verified = log.verify()
    assert not verified.problems, verified.problems
    assert set(indices(out)) <= {one.index for one in log.ledger.entries()}
    with log.writer() as writer:
        writer.record(note("life goes on"), [MODEL])
    assert not log.verify().problems


def test_a_database_that_cannot_be_written_is_still_read(log: Log) -> None:
    log.ledger.close()
    if os.geteuid() == 0:
        # Root writes to read-only files: SQLite's own read-only mode stands in.
        url = f"sqlite:///file:{log.path / 'log.sqlite'}?mode=ro&uri=true"
        from ml_governance.evidence.database import engine_for

        readonly = Ledger(engine_for(url), log.ledger.origin, log.log_signer)
    else:
        (log.path / "log.sqlite").chmod(0o400)
        readonly = Ledger.open(log.url, log_signer=log.log_signer)
    log.ledger = readonly
    with pytest.raises(LedgerError, match="readonly|read-only"), log.writer() as writer:
        writer.record(note("x"), [MODEL])
    assert not log.verify().problems


def test_a_kill_between_commit_and_checkpoint_is_impossible(log: Log) -> None:
    """Entry, tree, index and signed checkpoint are one transaction: a failure in the last step leaves none of them."""
    from ml_governance.evidence import schema

    size, note_before = log.ledger.size, log.ledger.checkpoint()
    original = schema.Runner.run

    def broken(self: schema.Runner, statement: str, **values: object) -> None:
        if statement == "save_head":
            raise KeyboardInterrupt
        original(self, statement, **values)

    schema.Runner.run = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            log.writer().record(note("never acknowledged"), [MODEL])
    finally:
        schema.Runner.run = original  # type: ignore[method-assign]
    assert (log.ledger.size, log.ledger.checkpoint()) == (size, note_before)
    assert not log.verify().problems
    with log.writer() as writer:
        writer.record(note("goes on"), [MODEL])
    assert not log.verify().problems


def big_payload() -> bytes:
    return (
        b'{"payload":"' + b"A" * (48 * 1024 * 1024) + b'","payloadType":"application/vnd.in-toto+json","signatures":[]}'
    )


def many_signatures() -> bytes:
    one = '{"keyid":"' + "0" * 64 + '","sig":"AAAA"}'
    return (
        '{"payload":"AAAA","payloadType":"application/vnd.in-toto+json","signatures":['
        + ",".join([one] * 100_000)
        + "]}"
    ).encode()


def deep() -> bytes:
    return b'{"payload":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def long_number() -> bytes:
    return b'{"payload":' + b"1" * 2_000_000 + b"}"


def many_backslashes() -> bytes:
    return b'{"payload":"' + b"\\" * 4_000_001 + b'"}'


@pytest.mark.parametrize("hostile", [big_payload, many_signatures, deep, long_number, many_backslashes])
def test_a_hostile_envelope_is_refused_quickly(hostile: Callable[[], bytes]) -> None:
    data = hostile()
    began = time.process_time()
    with pytest.raises(VerificationError):
        entry.read(data)
    assert time.process_time() - began < 5, "generous for a slow machine; a missing bound takes minutes"


def test_more_signatures_than_anybody_needs_are_not_looked_at(log: Log) -> None:
    stored = next(log.ledger.entries(4, 5))
    value = Envelope.from_bytes(stored.envelope or b"").to_dict()
    value["signatures"] *= MAX_SIGNATURES + 1
    with pytest.raises(VerificationError, match="signatures"):
        Envelope.from_dict(value)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 65_536])
def test_proofs_of_the_wrong_length_are_refused_at_every_size(size: int) -> None:
    leaves = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(size)]
    levels = {(0, i): leaf for i, leaf in enumerate(leaves)}
    level, row = 0, leaves
    while len(row) > 1:
        row = [merkle.node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        level += 1
        levels.update({(level, i): value for i, value in enumerate(row)})
    root = merkle.root_of(leaves)
    for index in {0, size // 2, size - 1}:
        proof = merkle.inclusion_proof(lambda lv, p: levels[lv, p], index, size)
        merkle.verify_inclusion(leaves[index], index, size, proof, root)
        for wrong in (proof[:-1], (*proof, bytes(32)), proof * 70, (*proof[:-1], proof[-1][:31]) if proof else (b"x",)):
            if wrong != proof:
                with pytest.raises(VerificationError):
                    merkle.verify_inclusion(leaves[index], index, size, wrong, root)
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(leaves[0], size, size, (), root)
    with pytest.raises(VerificationError):
        merkle.inclusion_proof(lambda lv, p: levels[lv, p], 0, 0)


def test_a_signature_of_another_entry_does_not_count(log: Log) -> None:
    one, two = (Envelope.from_bytes(next(log.ledger.entries(i, i + 1)).envelope or b"") for i in (4, 5))
    value = one.to_dict()
    value["signatures"] = two.to_dict()["signatures"]
    with pytest.raises(VerificationError, match="does not verify|does not continue"):
        log.ledger.append([Envelope.from_dict(value)])
    value = one.to_dict()
    value["payloadType"] = "application/json"
    with pytest.raises(VerificationError, match="payloadType"):
        log.ledger.append([Envelope.from_dict(value)])
    value = one.to_dict()
    value["payload"] = base64.b64encode(one.payload.replace(b'"subject":', b'"subject":[],"subject":', 1)).decode()
    with pytest.raises(VerificationError, match="twice|not canonical|not in canonical"):
        log.ledger.append([Envelope.from_dict(value)])
