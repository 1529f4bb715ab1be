"""The three laws of the gate, over generated policies, evidence and acts.

Digest, not name: evidence counts only for the digest it was signed for. Complete and fail-closed: losing, ageing or damaging
anything, for or against, turns no deny or review into an allow. Proven actors: a claimed name grants nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ml_governance.decide.cases import AT, SUBJECT
from ml_governance.decide.policy import Policy
from ml_governance.evidence.predicates import Approval, Assessment, Registration, Revocation
from tests.decide.worlds import (
    ACTS,
    AUTHORITY,
    HOUR,
    OTHER,
    World,
    act,
    assessment,
    decide,
    entry,
    numbers,
    person,
    policies,
    settled,
    stands,
    started,
    voided,
    worlds,
)

many = settings(max_examples=int(__import__("os").environ.get("N", "300")))


@many
@given(policies())
def test_every_generated_policy_can_allow_or_asks_of_another_model(policy: Policy) -> None:
    """Without this the laws would hold of nothing."""
    answer, _ = stands(started(policy).view(), policy)
    elsewhere = all(rule.when is not None and '"9"' in rule.when for rule in policy.rules)
    event(answer)
    assert (answer == "allow") is not elsewhere


# --- complete and fail-closed -----------------------------------------------------------------------------


@many
@given(worlds(), st.dictionaries(st.integers(0, 9), st.booleans(), min_size=1, max_size=3))
def test_whatever_counts_no_more_allows_nothing(world: World, gone: dict[int, bool]) -> None:
    """Erased, or signed with a key taken back: evidence, a no, a revocation, a promotion, an attempt."""
    before = world.log.view()
    answer, accepting = stands(before, world.policy)
    event(answer)
    assume(answer != "allow")
    assert settled(voided(before, gone), world.policy, accepting=accepting).result != "allow"
