"""Roles as Cedar decides them, and what it leaves to us."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.decide import cases, cedar
from ml_governance.decide.policy import parse_policy
from ml_governance.decide.rbac import NOTHING, compile_roles, may, rules_of, together
from ml_governance.errors import PolicyError
from ml_governance.evidence.charter import LIMITED, Charter
from tests.decide.test_decision import ALLOWED, POLICY, SUBJECT, TEXT

ROLES = ("author", "validator", "risk_officer", "release_manager", "policy_owner", "auditor")
ACTIONS = [
    "approve:validator", "approve:risk_officer", "approve:author", "waive", "promote", "deploy", "train", "register", "assess",
    "revoke", "protect", "read",
]  # fmt: skip


def request(**changes: Any) -> cedar.Request:
    fields = {
        "person": "max", "roles": frozenset({"release_manager"}), "projects": frozenset({"credit"}), "action": "promote",
        "project": "credit", "stage": "production", "guarded": "production", "related": NOTHING,
    }  # fmt: skip
    return cedar.Request(**{**fields, **changes})


def allows(asked: cedar.Request, charter: Charter | None = None, more: str = "") -> bool:
    charter = charter or Charter()
    return cedar.allows(cedar.compile_rules(rules_of(POLICY, charter)) + more, asked, charter)


def test_a_forbid_that_errors_denies() -> None:
    """Cedar itself skips it and allows: the second answer is what an engine without our check would have said."""
    import cedarpy

    broken = "\nforbid(principal, action, resource) when { 9223372036854775807 + 1 > 0 };"
    assert allows(request())
    assert not allows(request(), more=broken)
    text = cedar.compile_rules(rules_of(POLICY, Charter())) + broken
    bare = cedarpy.is_authorized(
        cedar._asked(request()), text, cedar._entities(request(), Charter()), schema=cedar.SCHEMA
    )
    assert bare.allowed and bare.diagnostics.errors


def test_text_that_does_not_fit_the_schema_is_refused() -> None:
    for text in (
        'permit(principal, action == Action::"fly", resource);',
        "forbid(principal, action, resource) when { principal.age > 3 };",
        "x",
    ):
        with pytest.raises(PolicyError, match="cannot be compiled"):
            cedar._validate(text)


def test_projects_and_stages_are_judged() -> None:
    assert not allows(request(projects=frozenset({"loans"})))
    assert not allows(request(projects=frozenset()))
    assert allows(request(projects=frozenset({"*"})))
    assert not allows(request(stage="staging"))
    assert not allows(request(action="approve", role="validator", stage="staging", roles=frozenset({"validator"})))


def test_a_role_reaches_what_it_inherits() -> None:
    charter = Charter(inherits={"chief": frozenset({"deputy"}), "deputy": frozenset({"release_manager"})})
    assert not allows(request(roles=frozenset({"chief"})))
    assert allows(request(roles=frozenset({"chief"})), charter)


def test_whoever_acts_for_the_maker_is_barred_as_the_maker_is() -> None:
    made = {**NOTHING, "author": frozenset({"ada"})}
    assert not allows(request(person="ada", related=made))
    assert not allows(request(behalf=frozenset({"ada"}), related=made))
    assert allows(request(behalf=frozenset({"moritz"}), related=made))


def test_rows_are_never_read_in_another_place() -> None:
    charter = Charter(grants={"read": frozenset({"validator"}), "protect": frozenset({"validator"})})
    for action in ("read", "protect"):
        asked = request(action=action, roles=frozenset({"validator"}))
        assert allows(asked, charter)
        assert not allows(replace(asked, behalf=frozenset({"vera"})), charter)
        assert not allows(asked)


SOME = st.frozensets(st.sampled_from(ROLES))


@given(SOME, st.sampled_from(ACTIONS), st.dictionaries(st.sampled_from(LIMITED), SOME), st.sampled_from(["ada", "max"]))
def test_cedar_and_the_rules_read_aloud_agree(
    roles: frozenset[str], action: str, grants: dict[str, frozenset[str]], who: str
) -> None:
    """The oracle is the rules in plain Python: a role that is named, unless the person made it."""
    charter = Charter(grants=grants)
    verb, _, role = action.partition(":")
    named: dict[str, frozenset[str]] = {
        "approve": frozenset({role}) & {"validator", "risk_officer"}, "waive": frozenset({"risk_officer"}),
        "promote": frozenset({"release_manager"}), "deploy": frozenset({"release_manager"}),
        "revoke": frozenset({"policy_owner", "risk_officer"}), "train": frozenset(ROLES), "register": frozenset(ROLES),
        "assess": frozenset(ROLES), "read": frozenset(), "protect": frozenset(),
    } | grants  # fmt: skip
    named["revoke"] |= {"policy_owner", "risk_officer"}
    expected = bool(roles & named[verb]) and not (who == "ada" and verb in ("approve", "promote", "waive"))
    person = replace(cases._person("max"), id=who, roles=roles)
    view = replace(ALLOWED, charter=charter)
    verdict = may(person, action, policy=POLICY, evidence=view, subject=SUBJECT, project="credit")
    assert verdict.allowed is expected, verdict.reason
    assert who in verdict.reason or "the policy" in verdict.reason


@given(SOME, SOME, st.sampled_from(ACTIONS))
def test_another_role_never_takes_away(few: frozenset[str], more: frozenset[str], action: str) -> None:
    def allowed(roles: frozenset[str]) -> bool:
        person = replace(cases._person("max"), roles=roles)
        return may(person, action, policy=POLICY, evidence=ALLOWED, subject=SUBJECT, project="credit").allowed

    assert allowed(few) <= allowed(few | more)


def test_without_a_policy_nobody_passes_a_stage() -> None:
    for action in ("approve:validator", "waive", "promote", "deploy"):
        verdict = may(cases._person("max"), action, policy=None, evidence=ALLOWED, subject=SUBJECT, stage="production")
        assert not verdict.allowed and "no policy is in force" in verdict.reason
    assert (
        "not for staging"
        in may(cases._person("max"), "promote", policy=POLICY, evidence=ALLOWED, stage="staging").reason
    )


def test_who_promotes_and_who_approves_counts_once_each() -> None:
    view = replace(ALLOWED, charter=Charter(people=3))
    approvals = view.of_kind("approval")
    assert {one.principal.id for one in approvals} == {"rita", "vera"}
    assert together(cases._person("max"), approvals, policy=POLICY, evidence=view).allowed
    for who, given_ in (("rita", approvals), ("max", approvals[:1]), ("max", (approvals[0], approvals[0]))):
        verdict = together(cases._person(who), given_, policy=POLICY, evidence=view)
        assert not verdict.allowed and "of the 3 different people" in verdict.reason


def test_names_that_are_no_roles_are_not_compiled() -> None:
    """Reading refuses them; whatever made such a policy, compiling does so again."""
    strange = 'x" }; permit(principal, action, resource);'
    with pytest.raises(PolicyError, match="lower-case letters"):
        parse_policy(TEXT.replace("role: validator", f"role: {json.dumps(strange)}"))
    slot = POLICY.approvals[0].model_copy(update={"role": strange})
    with pytest.raises(PolicyError, match="cannot be a role"):
        compile_roles(POLICY.model_copy(update={"approvals": [slot]}))
