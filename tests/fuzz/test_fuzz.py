"""Whatever the bytes are, a reader gives an answer or refuses: no other exception, in bounded time and memory."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from ml_governance.errors import GovernanceError
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Target

SECONDS = 5.0
"""Processor time for one input of at most a quarter of a megabyte; a hundred times what any needs."""


def tried(target: Target, data: bytes) -> bool:
    """Run a target; tell whether it accepted the bytes."""
    begin = time.process_time()
    refusal: GovernanceError | None = None
    try:
        target.run(data)
    except GovernanceError as error:
        refusal = error
    assert time.process_time() - begin < SECONDS, data
    if refusal is None:
        return True
    assert refusal.found, data
    assert len(str(refusal)) < 50_000, f"an error of {len(str(refusal))} characters for {data[:200]!r}"
    return False


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(name: str) -> None:
    """Otherwise the rest would try refusals only."""
    target = TARGETS[name]
    assert target.seeds()
    assert all(tried(target, seed) for seed in target.seeds())


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(max_examples=target.examples, database=None, phases=[Phase.explicit, Phase.generate])
    @given(seed=st.sampled_from(range(len(seeds))), times=st.integers(1, 5), chance=st.integers(0, 2**64))
    def attempt(seed: int, times: int, chance: int) -> None:
        data = mutated(Random(chance), seeds[seed], seeds, target.mutations, times)
        note(repr(data))
        tried(target, data)

    attempt()


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, database=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    tried(TARGETS[name], data)
