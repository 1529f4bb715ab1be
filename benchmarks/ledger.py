"""What the ledger costs, beside the bare work of the same run: medians and their ratios.

    python benchmarks/ledger.py [--entries 1000000] [--folder DIR] [--cpu]

The bare work is what no ledger can avoid: the canonical form of the same statement, which names the one before it, one P-256
signature, and one durable commit of the envelope with the ledger's own settings of the database; for verification, one P-256
verification an entry and core. Bare has no index, no tree and no checkpoint. Rounds alternate, so that both meet the same machine.
With ``--cpu`` appends are timed by the processor's clock: without the wait for the disk, and whatever else the machine does.
The log grows by groups of 100 about one new model in ten entries; at each power of ten everything is timed again, which
shows what grows with the log. Nothing here is a test: machines differ, ratios travel better than seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ml_governance.evidence import entry, genesis, keys, merkle, trust
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.database import Database
from ml_governance.evidence.envelope import sign
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import verify
from ml_governance.evidence.wire import Chain
from ml_governance.evidence.writer import Writer

ORIGIN = "mlgov.local/bench"
NOTE = Revocation(target="0" * 64, reason="a note of ordinary length, to be signed and kept")
GROUP = 100


def now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


def model(number: int) -> Subject:
    """Return one of the models: the tenth part of the entries is about a new one."""
    return Subject(name=f"model/{number // 10}", sha256=merkle.leaf_hash(str(number // 10).encode()).hex())


def alternate(ours, theirs, rounds: int, clock) -> tuple[float, float]:
    """Return the median seconds of two calls in alternating rounds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, seen in zip((ours, theirs), times, strict=True):
            began = clock()
            work()
            seen.append(clock() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def median(work, rounds: int) -> float:
    """Return the median seconds of a call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


class Bare:
    """The work that cannot be avoided: canonicalise, sign, commit."""

    def __init__(self, folder: Path, signer: keys.Signer) -> None:
        self.signer = signer
        self.database = Database(f"sqlite:///{folder / 'bare.sqlite'}").raw_connection()
        self.database.execute("CREATE TABLE IF NOT EXISTS t (data BLOB)")
        self.seq, self.prev = 0, "0" * 64
        self.writer = f"{signer.keyid[:16]}:{secrets.token_hex(8)}"

    def append(self, entries: int) -> None:
        """Store so many entries in one transaction."""
        rows = []
        for _ in range(entries):
            self.seq += 1
            chain = Chain(log=ORIGIN, writer=self.writer, seq=self.seq, prev=self.prev, nonce=secrets.token_hex(16),
                          recorded_at=now())  # fmt: skip
            statement = entry.statement(chain, NOTE, (model(self.seq),))
            self.prev = statement.payload_digest
            rows.append((sign(statement.payload, [self.signer]).to_bytes(),))
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany("INSERT INTO t VALUES (?)", rows)
        self.database.execute("COMMIT")


def begin(folder: Path) -> tuple[Ledger, keys.Signer, str]:
    """Make a log with one person."""
    root, ada = keys.generate(folder / "root.pem"), keys.generate(folder / "ada.pem")
    log_signer = LogSigner.generate(folder / "log.pem", name=ORIGIN)
    person = trust.Principal(id="ada", name="Ada", custodian="a", roles=frozenset({"author"}), projects=frozenset({"*"}),
                             keys=(trust.TrustedKey(public=ada.public),))  # fmt: skip
    document = trust.TrustFile(version=1, origin=ORIGIN, issued_at=now(), expires_at=now() + timedelta(days=9),
                               root_keys=(root.public,), root_threshold=1, log_keys=(log_signer.public,),
                               principals=(person,), previous=None)  # fmt: skip
    log, _ = genesis.begin(
        f"sqlite:///{folder / 'log.sqlite'}",
        trust=document, root_signers=[root], log_signer=log_signer, clock=now, software={"benchmark": "1"},
    )  # fmt: skip
    (folder / "root.txt").write_text(document.root_digest)
    return log, ada, document.root_digest


def again(folder: Path) -> tuple[Ledger, keys.Signer, str]:
    """Open the log that an earlier run left."""
    log = Ledger.open(f"sqlite:///{folder / 'log.sqlite'}", log_signer=LogSigner.load(folder / "log.pem", name=ORIGIN))
    return log, keys.load(folder / "ada.pem"), (folder / "root.txt").read_text()


def appends(log: Ledger, writer: Writer, bare: Bare, clock) -> None:
    """Time appends at the log's present size."""
    size = log.size

    def grouped() -> None:
        writer.record_all([(NOTE, [model(size + number)]) for number in range(GROUP)])

    one, alone = alternate(lambda: writer.record(NOTE, [model(size)]), lambda: bare.append(1), 200, clock)
    many, together = alternate(grouped, lambda: bare.append(GROUP), 30, clock)
    print(
        f"{size:>9,} entries: append one {one * 1e3:6.3f} ms, bare {alone * 1e3:6.3f} ms: {alone / one:5.2f} of its speed; "
        f"in groups of {GROUP} {many / GROUP * 1e6:6.1f} us an entry, bare {together / GROUP * 1e6:6.1f} us: {together / many:5.2f}",
        flush=True,
    )


def increments(log: Ledger, writer: Writer, root: str, prefix) -> object:
    """Time going on from what was verified, and a proof, at the log's present size; return what is verified now."""

    def ten() -> None:
        nonlocal prefix
        found = verify(log, root=root, since=prefix)
        assert (found.checked, found.problems) == (10, ())
        prefix = found.prefix

    times = []
    for _ in range(21):
        writer.record_all([(NOTE, [model(number)]) for number in range(10)])
        times.append(median(ten, 1))
    places = iter(range(7, log.size, max(1, log.size // 60)))
    proof = median(lambda: log.inclusion_proof(next(places)), 50)
    print(
        f"{log.size:>9,} entries: 10 new ones verified in {statistics.median(times) * 1e3:6.2f} ms; "
        f"an inclusion proof in {proof * 1e3:6.3f} ms",
        flush=True,
    )
    return prefix


def verifications(arguments: tuple[str, int]) -> float:
    """Return how many bare P-256 verifications a second this process makes."""
    pem, rounds = arguments
    signer = keys.load(Path(pem))
    message = b"x" * 900
    signature = signer.sign(message)
    began = time.perf_counter()
    for _ in range(rounds):
        signer.public.verify(signature, message)
    return rounds / (time.perf_counter() - began)


FULL = """
import resource, sys, time
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.verify import verify
if __name__ == "__main__":
    log = Ledger.open(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = verify(log, root=sys.argv[2], collect=False, workers=int(sys.argv[3]))
    assert not found.problems, found.problems[:3]
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(found.checkpoint.size, time.perf_counter() - began, peak)
"""


def full(folder: Path, root: str) -> None:
    """Verify the whole log with every core, beside bare verifications on every core."""
    workers = os.cpu_count() or 1
    (folder / "full.py").write_text(FULL)
    command = [sys.executable, str(folder / "full.py"), f"sqlite:///{folder / 'log.sqlite'}", root, str(workers)]
    speeds, ours, peak = [], [], 0
    with ProcessPoolExecutor(workers) as pool:
        for _ in range(3):
            speeds.append(sum(pool.map(verifications, [(str(folder / "ada.pem"), 20_000)] * workers)))
            done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            ours.append(int(done[0]) / float(done[1]))
            peak = max(peak, int(done[2]))
    bare, found = statistics.median(speeds), statistics.median(ours)
    print(
        f"full verification with {workers} processes: {found:,.0f} entries/s; bare P-256 on {workers} cores {bare:,.0f}/s: "
        f"{found / bare:.2f} of it; the largest process held {peak / 1024:.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="Where the log is kept; one that is there is timed at its size.")
    parser.add_argument("--cpu", action="store_true", help="Time appends by the processor's clock.")
    given = parser.parse_args()
    clock = time.process_time if given.cpu else time.perf_counter
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        kept = (folder / "log.sqlite").exists()
        log, ada, root = again(folder) if kept else begin(folder)
        bare = Bare(folder, ada)
        with log:
            writer = Writer(log, ada, clock=now, software={"benchmark": "1"})
            writer.record(NOTE, [model(0)])
            prefix = verify(log, root=root, collect=False, workers=os.cpu_count() or 1 if kept else 1).prefix
            milestone = 1_000
            if kept:
                appends(log, writer, bare, clock)
                increments(log, writer, root, verify(log, root=root, since=prefix, collect=False).prefix)
                milestone = given.entries + 1
            while milestone <= given.entries:
                began, before = time.perf_counter(), log.size
                while log.size < milestone:
                    size = log.size
                    writer.record_all(
                        [(NOTE, [model(size + number)]) for number in range(min(GROUP * 10, milestone - size))]
                    )
                if log.size - before > 1000:
                    print(
                        f"{log.size:>9,} entries: grew by {(log.size - before) / (time.perf_counter() - began):,.0f} entries/s"
                    )
                appends(log, writer, bare, clock)
                prefix = verify(log, root=root, since=prefix, collect=False).prefix
                prefix = increments(log, writer, root, prefix)
                milestone *= 10
            writer.close()
        full(folder, root)
        print(f"this process held {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most")


if __name__ == "__main__":
    main()
