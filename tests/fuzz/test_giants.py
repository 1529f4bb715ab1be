"""What is made to be expensive costs its reader little: bounded time, and memory in proportion to its bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.giants import giants

SECONDS, MIB, RATE = 10.0, 100, 16
"""Processor time for one expensive input, and memory: so much, and for each of its bytes so many."""


@pytest.fixture(scope="module")
def costs() -> dict[str, list[dict[str, Any]]]:
    """What expensive inputs took, by target."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.giants"],
        cwd=Path(__file__).resolve().parents[2], check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        one = json.loads(line)
        found[one["target"]].append(one)
    return found


@pytest.mark.parametrize("name", giants())
@pytest.mark.full
def test_expensive_bytes_cost_little(costs: dict[str, list[dict[str, Any]]], name: str) -> None:
    assert costs[name]
    for one in costs[name]:
        assert one["outcome"].startswith(("accepted", "refused")), one
        assert one["seconds"] < SECONDS, one
        assert one["mib"] < MIB + RATE * one["bytes"] / 2**20, one
