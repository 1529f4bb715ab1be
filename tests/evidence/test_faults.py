"""Processes that die, disks that fail, files that cannot be written: what was acknowledged is there, and nothing else breaks."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import LedgerError, VerificationError
from ml_governance.evidence import entry, merkle, schema
from ml_governance.evidence.envelope import MAX_SIGNATURES, Envelope
from ml_governance.evidence.ledger import Ledger
from tests.evidence.conftest import MODEL, Log, note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPENED = """
import os, signal, sys
from pathlib import Path
from ml_governance.evidence import keys, schema
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.writer import Writer
from ml_governance.testing import FrozenClock
from tests.evidence.conftest import MODEL, ORIGIN, SOFTWARE, note
folder = Path(sys.argv[1])
log_signer, ada = LogSigner.load(folder / "log.pem", name=ORIGIN), keys.load(folder / "ada.pem")

def writer(url):
    return Writer(Ledger.open(url, log_signer=log_signer), ada, clock=FrozenClock(), software=SOFTWARE)
"""
WRITE = """
one = writer(sys.argv[2])
for _ in range(int(sys.argv[3])):
    receipt = one.record(note("acknowledged"), [MODEL])
    print(receipt.index, receipt.payload_digest, flush=True)
"""


def start(log: Log, *wrapper: str, records: int = 1_000_000) -> subprocess.Popen[str]:
    """Start a process that appends, and says of each record that it was acknowledged."""
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", OPENED + WRITE, str(log.path), log.url, str(records)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip


def acknowledged(text: str) -> list[tuple[int, str]]:
    """Return index and payload digest of each record; the last line may have been cut off by the kill."""
    return [(int(index), payload) for index, payload in (line.split(" ") for line in text.split("\n")[:-1])]


def assert_all_there(log: Log, promised: Mapping[int, str]) -> None:
    problems = log.verify().problems
    assert not problems, problems
    found = {one.index: entry.Leaf.from_bytes(one.leaf).payload for one in log.ledger.entries()}
    assert list(found) == list(range(log.ledger.size)), "gapless"
    lost = {index: payload for index, payload in promised.items() if found.get(index) != payload}
    assert not lost, f"{len(lost)} of {len(promised)} acknowledged records are lost"


def kill_writers(log: Log, *, writers: int, rounds: int) -> None:
    """Let writers run into each other, and kill them all at a random moment of their work."""
    moments = random.Random(writers)
    promised: dict[int, str] = {}
    for _ in range(rounds):
        running = [start(log) for _ in range(writers)]
        for process in running:
            assert process.stdout is not None
            process.stdout.buffer.peek(1)  # type: ignore[attr-defined]  # waits for the first acknowledgement
        time.sleep(moments.uniform(0.0, 0.5))
        for process in running:
            process.send_signal(signal.SIGKILL)
        for process in running:
            with process:
                assert process.stdout is not None and process.stderr is not None
                said, err = acknowledged(process.stdout.read()), process.stderr.read()
            assert process.returncode == -signal.SIGKILL, err[-2000:]
            assert said
            for index, payload in said:
                assert index not in promised, f"the index {index} was given twice"
                promised[index] = payload
        assert_all_there(log, promised)
    with log.writer() as writer:
        writer.record(note("life goes on"), [MODEL])
    assert_all_there(log, promised)


def test_two_writers_that_are_killed_lose_nothing(log: Log) -> None:
    kill_writers(log, writers=2, rounds=2)


@pytest.mark.slow
def test_writers_that_are_killed_again_and_again_lose_nothing(any_log: Log) -> None:
    kill_writers(any_log, writers=3, rounds=6)


STEPS = (
    "add_leaves", "add_blobs", "add_nodes", "add_entries_by_key", "add_entries_by_kind", "save_index", "save_head",
    "before COMMIT", "after COMMIT",
)  # fmt: skip
DIE = """
class Dying:
    def __init__(self, connection, moment):
        self.connection, self.moment = connection, moment

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def commit(self):
        if self.moment == "after":
            self.connection.commit()
        die()

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def dying(original, step):
    return lambda self, statement, *rest, **values: (
        die() if statement == step else original(self, statement, *rest, **values)
    )

for step in sys.argv[2:]:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    one = writer(f"sqlite:///{folder / step}.sqlite")
    for name in ("run", "many"):
        setattr(schema.Runner, name, dying(getattr(schema.Runner, name), step))
    moment, _, statement = step.partition(" ")
    if statement:
        real = one._ledger.database.raw_connection
        one._ledger.database.raw_connection = lambda real=real, moment=moment: Dying(real(), moment)
    one.record(note("never acknowledged"), [MODEL])
    print(f"{step} was not reached", flush=True)
    os._exit(1)
"""


def test_a_kill_at_any_step_of_an_append_leaves_all_of_it_or_nothing(log: Log) -> None:
    size, checkpoint = log.ledger.size, log.ledger.checkpoint()
    log.ledger.close()
    for step in STEPS:
        shutil.copy(log.path / "log.sqlite", log.path / f"{step}.sqlite")
    command = [sys.executable, "-c", OPENED + DIE, str(log.path), *STEPS]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for step in STEPS:
        log.url = f"sqlite:///{log.path / step}.sqlite"
        log.ledger = Ledger.open(log.url, log_signer=log.log_signer)
        assert not log.verify().problems, step
        if step == "after COMMIT":
            assert log.ledger.size == size + 2
        else:
            assert (log.ledger.size, log.ledger.checkpoint()) == (size, checkpoint), step
        with log.writer() as writer:
            writer.record(note("life goes on"), [MODEL])
        assert not log.verify().problems, step
        log.ledger.close()


@pytest.mark.interop
@pytest.mark.parametrize(
    "fault",
    [
        "pwrite64:error=EIO:when=40+7",
        "pwrite64:error=ENOSPC:when=40+5",
        "fdatasync:error=EIO:when=3+2",
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
    if "SIGKILL" in fault:
        assert process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), "the fault struck"
    else:
        assert "LedgerError" in err, f"the fault struck and was told: {err[-2000:]}"
        assert "disk is full" in err or "disk I/O error" in err, err[-2000:]
    promised = dict(acknowledged(out))
    assert len(promised) < 40
    log.ledger = Ledger.open(log.url, log_signer=log.log_signer)
    assert_all_there(log, promised)
    with log.writer() as writer:
        writer.record(note("life goes on"), [MODEL])
    assert_all_there(log, promised)


def test_a_database_that_cannot_be_written_is_still_read(log: Log) -> None:
    log.ledger.close()
    if os.geteuid() == 0:
        # Root writes to read-only files: SQLite's own read-only mode stands in.
        url = f"sqlite:///file:{log.path / 'log.sqlite'}?mode=ro&uri=true"
        from ml_governance.evidence.database import Database

        readonly = Ledger(Database(url), log.ledger.origin, log.log_signer)
    else:
        (log.path / "log.sqlite").chmod(0o400)
        readonly = Ledger.open(log.url, log_signer=log.log_signer)
    log.ledger = readonly
    with pytest.raises(LedgerError, match="readonly|read-only"), log.writer() as writer:
        writer.record(note("x"), [MODEL])
    assert not log.verify().problems


def test_an_append_that_is_interrupted_at_its_last_step_leaves_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry, tree, index and signed checkpoint are one transaction."""
    size, before = log.ledger.size, log.ledger.checkpoint()
    original = schema.Runner.run

    def broken(self: schema.Runner, statement: str, **values: object) -> None:
        if statement == "save_head":
            raise KeyboardInterrupt
        original(self, statement, **values)

    with monkeypatch.context() as failing:
        failing.setattr(schema.Runner, "run", broken)
        with pytest.raises(KeyboardInterrupt):
            log.writer().record(note("never acknowledged"), [MODEL])
    assert (log.ledger.size, log.ledger.checkpoint()) == (size, before)
    assert not log.verify().problems
    with log.writer() as writer:
        writer.record(note("life goes on"), [MODEL])
    assert not log.verify().problems


def big_payload() -> bytes:
    return (
        b'{"payload":"' + b"A" * (48 * 1024 * 1024) + b'","payloadType":"application/vnd.in-toto+json","signatures":[]}'
    )


def many_signatures(count: int = 100_000) -> bytes:
    one = '{"keyid":"' + "0" * 64 + '","sig":"AAAA"}'
    return (
        '{"payload":"AAAA","payloadType":"application/vnd.in-toto+json","signatures":[' + ",".join([one] * count) + "]}"
    ).encode()


def signatures_in_few_parts() -> bytes:
    return many_signatures(50_000)


def deep() -> bytes:
    return b'{"payload":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def long_number() -> bytes:
    return b'{"payload":' + b"1" * 2_000_000 + b"}"


def many_backslashes() -> bytes:
    return b'{"payload":"' + b"\\" * 4_000_001 + b'"}'


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        (big_payload, "the document has 50,331,[0-9]+ bytes"),
        (many_signatures, "the document has very many parts"),
        (signatures_in_few_parts, "the envelope has 50000 signatures"),
        (deep, "nested too deeply"),
        (long_number, "is too large"),
        (many_backslashes, "not UTF-8 JSON"),
    ],
    ids=["payload", "parts", "signatures", "nesting", "number", "backslashes"],
)
def test_a_hostile_envelope_is_refused_quickly(hostile: Callable[[], bytes], words: str) -> None:
    data = hostile()
    began = time.process_time()
    with pytest.raises(VerificationError, match=words):
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
