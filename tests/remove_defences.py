"""Remove each defence from a copy of the package, and require that its tests fail: ``python tests/remove_defences.py [-k WORDS]``.

A test that stays green without the defence that it is named for proves nothing. Before that, every named test must pass.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.defences import DEFENCES, Defence  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NEEDED = ("ml_governance", "tests", "policies", "pyproject.toml")
PROCESSES = 2
SECONDS = 120
BROKEN = re.compile(
    r"(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError|UnboundLocalError|TypeError)\b"
)
"""A test that fails so has found a broken program, not a missing defence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What pytest said: its exit code, and for each test passed, failed, skipped, or what else went wrong."""

    code: int
    tests: dict[str, str]
    output: str


def copied(source: Path, target: Path, copy: Callable[..., object] = shutil.copy2) -> Path:
    target.mkdir()
    for name in NEEDED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=copy)
        else:
            copy(source / name, target / name)
    return target


def run(folder: Path, tests: Sequence[str], seconds: float = SECONDS) -> Outcome:
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [f"--basetemp={folder / 'tmp'}", *tests]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        output = f"did not end in {seconds:g} seconds"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what a failing test left behind
        except ProcessLookupError:
            pass
        process.wait()
    found = dict(map(outcome, ET.parse(report).iter("testcase"))) if report.exists() else {}
    return Outcome(process.returncode, found, output)


def outcome(case: ET.Element) -> tuple[str, str]:
    node = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
    for kind in ("failure", "error", "skipped"):
        if (said := case.find(kind)) is not None:
            message = said.get("message", "")
            if kind == "failure":
                return node, f"broke: {message[:160]}" if BROKEN.match(message) else "failed"
            return node, "skipped" if kind == "skipped" else f"error: {message[:160]}"
    return node, "passed"


def judged(one: Defence, before: dict[str, str], template: Path, folder: Path) -> tuple[str, list[str]]:
    """Return red, untried, or UNNOTICED, and what is to be said about it."""
    tests = [node for node in one.tests if before[node] != "skipped"]
    skipped = [f"skipped here: {node}" for node in one.tests if node not in tests]
    if not tests:
        return "untried", skipped
    copied(template, folder, os.link)
    for name, text in one.removed(folder).items():
        (folder / name).unlink()  # the name alone: the file is the template's
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (1, 1))  # so that nothing compiled before passes for it
    after = run(folder, tests)
    shutil.rmtree(folder, ignore_errors=True)
    green = [f"{after.tests.get(node, 'did not run')}: {node}" for node in tests if after.tests.get(node) != "failed"]
    if after.code == 1 and not green:
        return "red", skipped
    return "UNNOTICED", [*green, *(after.output.splitlines()[-5:] if after.code != 1 else ()), *skipped]


def passing(tests: Sequence[str], template: Path) -> dict[str, str]:
    """Run all named tests as they are, which also compiles the copy; return what became of each."""
    files = sorted({node.partition("::")[0] for node in tests})
    shares = [[node for node in tests if node.partition("::")[0] in files[at::PROCESSES]] for at in range(PROCESSES)]
    folders = [copied(ROOT, template.parent / f"as-is-{at}") for at in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        whole = [SECONDS * 10] * PROCESSES
        outcomes = list(pool.map(run, folders, shares, whole)) if len(files) > 1 else [run(folders[0], tests, whole[0])]
    found: dict[str, str] = {}
    for one in outcomes:
        found |= one.tests
        if one.code:
            print(one.output)
    copied(folders[0], template)
    return {node: found.get(node, "did not run") for node in tests}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Remove each defence, and require that its tests fail.")
    parser.add_argument("-k", metavar="WORDS", default="", help="only defences whose line or name holds these words")
    words = parser.parse_args(arguments).k.lower()
    chosen = [one for one in DEFENCES if words in f"{one.line}: {one.without}".lower()]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="defences-") as name:
        home = Path(name)
        tests = list(dict.fromkeys(node for one in chosen for node in one.tests))
        before = passing(tests, home / "template")
        if wrong := [f"{said}: {node}" for node, said in before.items() if said not in ("passed", "skipped")]:
            print("These tests do not pass as things are:", *wrong, sep="\n  ")
            return 1
        print(f"{len(before)} tests pass as things are ({time.monotonic() - began:.0f} s). Without ...", flush=True)
        line, counts = "", dict.fromkeys(("red", "untried", "UNNOTICED"), 0)
        with ThreadPoolExecutor(PROCESSES) as pool:
            work = [
                pool.submit(judged, one, before, home / "template", home / str(at)) for at, one in enumerate(chosen)
            ]
            for one, future in zip(chosen, work, strict=True):
                result, said = future.result()
                counts[result] += 1
                if one.line != line:
                    line = one.line
                    print(f"\n{line}")
                together = f" ({len(one.changes)} changes together)" if len(one.changes) > 1 else ""
                print(
                    f"  {result:9}  {len(one.tests):2} test{'s' if len(one.tests) > 1 else ' '}  {one.without}{together}"
                )
                print(*(f"{'':22}{text}" for text in said), sep="\n", end="\n" if said else "", flush=True)
    print(
        f"\n{len(chosen)} defences: {counts['red']} whose tests fail without them, {counts['untried']} untried, "
        f"{counts['UNNOTICED']} removed unnoticed; {time.monotonic() - began:.0f} s"
    )
    return 1 if counts["UNNOTICED"] or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
