"""What a decision costs beside a ledger that grows: medians of processor time, and their ratios to ``mlflow --version``.

    python benchmarks/gate.py [--entries 100000] [--folder DIR]

A policy of 200 rules judges a model about which 1,000 attestations stand in the ledger, of 10^3, 10^4, ... entries about other
models, one in twenty a registration. Everything else is real: keys, trust file, SQLite, the command line. Timed are the judgment
itself on evidence that is at hand; the same with reading and verifying that evidence; ``mlgov decide`` in a new process, which
also signs and records; and, in the same rounds, ``python -c pass`` and ``mlgov --version`` and ``mlflow --version``. The first
verification on an account is of every entry; it is told as well, for it is what the rest stands on. With ``--folder`` the ledger
is kept, and a later run goes on from it. Progress is told on stderr. Nothing here is a test: machines differ. Times are of the
processor, user and system, for other programs lengthen every other time.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ml_governance as gov
from ml_governance.evidence import merkle
from ml_governance.evidence.predicates import Interval, Measurement, Performance, Registration, Resource, TrainingRun
from ml_governance.evidence.statement import Subject
from ml_governance.workspace import deciding

RULES, ATTESTATIONS, ROUNDS = 200, 1_000, 7
SEX = ("Female", "Male")
HEAD = """
policy: bench
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
review: {roles: [risk_officer]}
rules:
"""
RULE = """  - id: BEN-{number:02d}
    title: Rule {number} holds for every group
    require: {{evidence: performance, metric: accuracy, by: [sex], lower_bound_at_least: 0.{bound:03d}, confidence: 0.95,
              min_group_size: 100, max_age: 72h, levels: {{sex: [Female, Male]}}}}
"""


def subject(name: str) -> Subject:
    """Return a model of a name."""
    return Subject(name=f"{name}/1", sha256=merkle.leaf_hash(name.encode()).hex())


def assessment(data: str) -> Performance:
    """Return measurements as small as real ones come: one metric of all rows and of two groups."""
    interval = Interval(confidence=0.95, sides="one-sided", lower=0.897, upper=0.903, method="wilson")
    groups = [((), ())] + [(("sex",), (level,)) for level in SEX]
    return Performance(
        predictions="recomputed",
        dataset=Resource(name=data, sha256=merkle.leaf_hash(data.encode()).hex(), rows=20_000),
        columns={"y_true": "label", "sensitive_features": ["sex"]},
        confidence=0.95,
        min_group_size=30,
        measurements=tuple(
            Measurement(metric="accuracy", by=by, group=group, value=0.9, numerator=9000, denominator=10_000, n=10_000,
                        intervals=(interval,), status="ok")
            for by, group in groups
        ),
        software={"bench": "1"},
    )  # fmt: skip


def registration(name: str) -> Registration:
    """Return where the bytes of a model are said to be."""
    return Registration(registry="local:models", name=name, version="1", format="joblib", files=1, size=1)


def begin(folder: Path) -> None:
    """Make the workspace, and the model about which everything is decided."""
    (folder / "pack").mkdir(parents=True)
    rules = "".join(RULE.format(number=number, bound=500 + number) for number in range(1, RULES + 1))
    (folder / "pack" / "policy.yaml").write_text(HEAD + rules)
    gov.init(folder / "ws", policy=str(folder / "pack"), registry="local:models").close()
    with gov.open(folder / "ws", signer="author") as ws:
        run = TrainingRun(event={"eventType": "COMPLETE"}, capture="observed")
        ws.writer.record_all([(registration("bench"), [subject("bench")]), (run, [subject("bench")])])
    with gov.open(folder / "ws", signer="validator") as ws:
        ws.writer.record_all([(assessment("held-out"), [subject("bench")])] * (ATTESTATIONS - 2))


def grow(folder: Path, entries: int) -> None:
    """Fill the ledger with entries about other models, up to a size."""
    with gov.open(folder / "ws", signer="author") as ws:
        writer, size = ws.writer, ws.ledger.size
        while (size := ws.ledger.size) < entries - 1:
            group = []
            for number in range(size, min(size + 1000, entries - 1)):
                name = f"other-{number // 20}"
                content = assessment(f"rows of {name}") if number % 20 else registration(name)
                group.append((content, [subject(name)]))
            writer.record_all(group)
            print(f"\r{ws.ledger.size:,} of {entries:,} entries", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def once(work) -> float:
    """Return the processor's seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def spawned(*command: str) -> float:
    """Return the processor's seconds of a process; the answer of a gate is 0, 1, 3 or 4, whatever it is."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }  # as installed
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    if "Traceback" in done.stderr or done.returncode not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
    return seconds


def measure(folder: Path) -> str:
    """Time everything at the ledger's present size; return a line of the table."""
    python, mlflow = sys.executable, shutil.which("mlflow", path=str(Path(sys.executable).parent)) or "mlflow"
    times: dict[str, list[float]] = {}
    with gov.open(folder / "ws") as ws:
        size = ws.ledger.size
        print(f"verifying {size:,} entries once", file=sys.stderr)
        first = once(lambda: ws.verify(collect=False).require())
    for number in range(ROUNDS):
        print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
        with gov.open(folder / "ws") as ws:

            def read(ws=ws) -> None:
                ws.concerning("bench/1", stage="production")

            times.setdefault("read", []).append(once(read))
            model, view = ws.concerning("bench/1", stage="production")
            # A copy remembers nothing that was made of the evidence before.
            fresh = replace(view)
            times.setdefault("judge", []).append(
                once(lambda ws=ws, fresh=fresh, model=model: deciding.judge(ws, model, stage="production", view=fresh))
            )
        cli = (python, "-m", "ml_governance.cli")
        for name, command in {
            "decide": (*cli, "decide", "bench/1", "--as", "release-manager", "-w", str(folder / "ws")),
            "version": (*cli, "--version"),
            "bare": (python, "-c", "pass"),
            "mlflow": (mlflow, "--version"),
        }.items():
            times.setdefault(name, []).append(spawned(*command))
    print(file=sys.stderr)
    found = {name: statistics.median(seen) for name, seen in times.items()}
    return (
        f"{size:>9,} | {found['judge'] * 1e3:6.1f} ms | {found['read'] * 1e3:6.1f} ms | {found['decide']:5.2f} s | "
        f"{found['decide'] / found['bare']:5.1f} x | {found['decide'] / found['mlflow']:5.2f} x | "
        f"{found['version']:5.2f} s | {found['bare']:5.3f} s | {found['mlflow']:5.2f} s | {first:7.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (given.folder or Path(made)).resolve()
        # What is verified is remembered beside the ledger, not in the account that runs this.
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        if not (folder / "ws").exists():
            begin(folder)
        print(
            "  entries |   judge   |   + read  |  decide |  / bare |/ mlflow | version |   bare  |  mlflow | first verified"
        )
        milestone = 1_000
        while milestone <= given.entries:
            with gov.open(folder / "ws") as ws:
                size = ws.ledger.size
            if size <= milestone * 1.2 + ATTESTATIONS:
                grow(folder, milestone)
                print(measure(folder), flush=True)
            milestone *= 10


if __name__ == "__main__":
    main()
