"""Fuzz with coverage to guide it: ``python tests/fuzz/atheris_run.py [TARGET ...] [--seconds N]``, one target after the other.

Needs atheris (``pip install --group fuzz``). Each target runs in a process of its own, over the same functions and seeds as the
quick suite. What breaks a target is written beside the given ``--found`` folder's other finds, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

LARGEST = 64 * 1024
TIMEOUT, MEMORY_MIB = 20, 2048
"""What one input may take: seconds, and memory of the whole process."""


def fuzz(name: str, corpus: Path, seconds: int, found: Path) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["ml_governance"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    from ml_governance.errors import GovernanceError
    from tests.fuzz.mutate import mutated

    warnings.simplefilter("ignore")
    target = TARGETS[name]
    seeds = list(target.seeds())
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)

    def one_input(data: bytes) -> None:
        try:
            target.run(data)
        except GovernanceError:
            pass

    def mutate(data: bytes, limit: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return atheris.Mutate(data, limit)
        return mutated(random, data, seeds, target.mutations, random.randint(1, 3))[:limit]

    options = [
        f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={LARGEST}",
        f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutate)
    atheris.Fuzz()


def run(name: str, seconds: int, found: Path) -> bool:
    """Fuzz one target in another process and print what came of it; tell whether nothing broke."""
    with tempfile.TemporaryDirectory() as corpus:
        command = [sys.executable, __file__, name, "--child", corpus, "--seconds", str(seconds), "--found", str(found)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "RUST_BACKTRACE": "0"},
        )
    runs = re.findall(r"^stat::number_of_executed_units: (\d+)|^Done (\d+) runs", done.stderr, re.MULTILINE)
    count = max((int(number) for pair in runs for number in pair if number), default=0)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    sys.stdout.write(f"{name}: {count:,} runs, coverage {covered[-1] if covered else '?'}")
    if done.returncode == 0 and count:
        sys.stdout.write("\n")
        return True
    sys.stdout.write(f", BROKEN (exit code {done.returncode})\n{done.stderr[-8000:]}\n")
    return False


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir()) / "fuzz-found")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.found.mkdir(parents=True, exist_ok=True)
    if options.child is not None:
        fuzz(options.targets[0], options.child, options.seconds, options.found)
    from tests.fuzz.targets import TARGETS

    strange = sorted(set(options.targets) - set(TARGETS))
    if strange:
        parser.error(f"no target is called {', '.join(strange)}; there are {', '.join(TARGETS)}")
    whole = [run(name, options.seconds, options.found) for name in options.targets or TARGETS]
    return 0 if all(whole) else 1


if __name__ == "__main__":
    sys.exit(main())
