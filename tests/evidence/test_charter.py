"""The charter: its one form, and the laws of inheritance and separation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence.charter import Charter
from ml_governance.workspace.setup import CHARTER

ROLES = st.sampled_from(["a", "b", "c", "d", "e"])
SETS = st.frozensets(ROLES)


@given(st.dictionaries(ROLES, SETS, max_size=5), SETS, SETS)
def test_roles_are_closed_under_inheritance(
    inherits: dict[str, frozenset[str]], held: frozenset[str], more: frozenset[str]
) -> None:
    """By the definition: the smallest set that holds these and with a role all that it inherits; a circle is refused."""
    reach = {role: set(inherits.get(role, ())) for role in "abcde"}
    for middle in "abcde":
        for start in "abcde":
            if middle in reach[start]:
                reach[start] |= reach[middle]
    if any(role in reach[role] for role in "abcde"):
        with pytest.raises(VerificationError, match="inherits from itself"):
            Charter(inherits=inherits)
        return
    charter = Charter(inherits=inherits)
    assert charter.roles(held) == held.union(*(reach[role] for role in held))
    assert charter.roles(held) <= charter.roles(held | more)
    assert Charter.from_dict(charter.to_dict()) == charter


@given(SETS, SETS)
def test_roles_kept_apart_clash_wherever_two_meet(group: frozenset[str], held: frozenset[str]) -> None:
    if len(group) < 2:
        with pytest.raises(VerificationError, match="fewer than two"):
            Charter(apart=(group,))
        return
    assert bool(Charter(apart=(group,)).clash(held)) == (len(group & held) > 1)


def test_a_role_cannot_inherit_what_is_kept_apart() -> None:
    with pytest.raises(VerificationError, match="holds author and validator"):
        Charter(inherits={"chief": frozenset({"author", "validator"})}, apart=(frozenset({"author", "validator"}),))


@pytest.mark.parametrize(
    "change",
    [
        {"people": 0}, {"people": "2"}, {"people": True}, {"more": 1}, {"apart": {}}, {"apart": [["a"]]}, {"grants": []},
        {"grants": {"fly": ["a"]}}, {"grants": {"read": "validator"}}, {"inherits": {"A": []}}, {"inherits": {"a": [1]}},
        {"delegation": {"roles": []}}, {"delegation": {"roles": ["x\n"], "maxDays": 3}}, {"delegation": {"roles": [], "maxDays": 367}},
    ],
)  # fmt: skip
def test_what_is_no_charter_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        Charter.from_dict(CHARTER.to_dict() | change)


def test_nothing_is_granted_that_is_not_named() -> None:
    assert not Charter().may("read", frozenset({"validator"}))
    assert CHARTER.may("read", frozenset({"validator"})) and not CHARTER.may("protect", frozenset({"validator"}))
