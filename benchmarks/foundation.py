"""What the foundation costs, beside the bare work and beside fairlearn, in one run: medians and their ratios.

    python benchmarks/foundation.py

Nothing here is a test: machines differ, ratios travel better than seconds.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml_governance import assess_fairness
from ml_governance.evidence import entry, genesis, keys, trust
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.envelope import Envelope, sign
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import verify
from ml_governance.evidence.wire import Chain
from ml_governance.evidence.writer import Writer

MODEL = Subject(name="model/1", sha256="ab" * 32)
NOTE = Revocation(target="0" * 64, reason="a note of ordinary length, to be signed and kept")
ROUNDS = 300


def median_ms(times: list[float]) -> float:
    """Return a median in milliseconds."""
    return statistics.median(times) * 1000


def timed(work, rounds: int) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median_ms(times)


def line(what: str, ours: float, other: str, theirs: float) -> None:
    """Print one comparison."""
    print(f"{what:<44} {ours:9.3f} ms   {other:<34} {theirs:9.3f} ms   ratio {ours / theirs:8.3f}")


def ledger(folder: Path) -> None:
    """Time appending and verifying."""
    root, ada = keys.generate(folder / "root.pem"), keys.generate(folder / "ada.pem")
    log_signer = LogSigner.generate(folder / "log.pem", name="mlgov.local/bench")
    now = datetime.now(UTC)
    person = trust.Principal(id="ada", name="Ada", custodian="a", roles=frozenset({"author"}), projects=frozenset({"*"}),
                             keys=(trust.TrustedKey(public=ada.public),))  # fmt: skip
    document = trust.TrustFile(version=1, origin="mlgov.local/bench", issued_at=now, expires_at=now + timedelta(days=9),
                               root_keys=(root.public,), root_threshold=1, log_keys=(log_signer.public,), principals=(person,),
                               previous=None)  # fmt: skip

    def clock() -> datetime:
        return datetime.now(UTC)

    log, _ = genesis.begin(
        f"sqlite:///{folder / 'log.sqlite'}",
        trust=document,
        root_signers=[root],
        log_signer=log_signer,
        clock=clock,
        software={"b": "1"},
    )
    bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE t (data BLOB)")
    chain = Chain(log="mlgov.local/bench", writer="w", seq=1, prev="0" * 64, nonce="0" * 32, recorded_at=now)

    def bare_append() -> None:
        data = sign(entry.statement(chain, NOTE, (MODEL,)).payload, [ada]).to_bytes()
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO t VALUES (?)", (data,))
        bare.execute("COMMIT")

    with log, Writer(log, ada, clock=clock, software={"b": "1"}) as writer:
        writer.record(NOTE, [MODEL])
        line(
            "append one entry",
            timed(lambda: writer.record(NOTE, [MODEL]), ROUNDS),
            "canonicalise + sign + commit",
            timed(bare_append, ROUNDS),
        )
        envelope = next(Envelope.from_bytes(e.envelope) for e in log.entries() if e.index == 5 and e.envelope)
        message, signature = envelope.pae(), envelope.signatures[0].sig
        one = timed(lambda: ada.public.verify(signature, message), ROUNDS)
        began = time.perf_counter()
        verified = verify(log, root=document.root_digest)
        each = (time.perf_counter() - began) * 1000 / verified.checkpoint.size
        assert not verified.problems
        line("verify, for each entry", each, "one P-256 verification", one)


def fairness() -> None:
    """Time the fairness report beside fairlearn's MetricFrame of the same six rates."""
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    generator = np.random.default_rng(0)
    n = 100_000
    groups = pd.DataFrame({"sex": generator.choice(["F", "M"], n), "race": generator.choice(list("abcdef"), n)}).astype(
        "category"
    )
    label, predicted = generator.integers(0, 2, n), generator.integers(0, 2, n)
    rates = {name: getattr(metrics, name) for name in
             ("selection_rate", "true_positive_rate", "false_positive_rate", "true_negative_rate", "false_negative_rate")}  # fmt: skip
    rates["accuracy"] = accuracy_score
    ours = timed(lambda: assess_fairness(y_true=label, y_pred=predicted, sensitive_features=groups), 7)
    theirs = timed(
        lambda: metrics.MetricFrame(metrics=rates, y_true=label, y_pred=predicted, sensitive_features=groups), 3
    )
    line("9 rates, 23 comparisons, with intervals, 10^5", ours, "fairlearn, 6 rates, no intervals", theirs)
    small = timed(
        lambda: assess_fairness(y_true=label[:1000], y_pred=predicted[:1000], sensitive_features=groups[:1000]), 9
    )
    print(f"{'the same on 1,000 rows':<44} {small:9.3f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        ledger(Path(made))
    fairness()
