"""A role that is lent brings no new voice: whoever made a model, has approved it or broke the glass does not speak through another."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ml_governance.decide import breakglass
from ml_governance.decide.policy import in_force
from ml_governance.errors import NotAuthorizedError
from ml_governance.evidence.predicates import HumanText, Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval
from ml_governance.workspace import Person
from tests.workspace.house import PEOPLE, POLICY, House

if TYPE_CHECKING:
    from pathlib import Path

TIERED = f"""{POLICY}
  - id: HSE-02
    title: Somebody oversees a model of high risk
    when: 'model.risk_tier == "high"'
    require: {{evidence: human-text, text: oversight}}
"""
GLASS = f"{POLICY}break_glass: {{roles: [incident_manager], max_hours: 24, reviewed_by: [risk_officer]}}\n"


def people(who: str, *roles: str) -> list[Person]:
    return [*(one for one in PEOPLE if one.id != who), Person(id=who, name=who.title(), roles=roles)]


@pytest.fixture
def refused(tmp_path: Path) -> tuple[House, Subject, int]:
    """A model by Omar, to which Vera said no, and Otto, who has Omar's role of risk officer."""
    house = House(tmp_path, people=people("omar", "author", "risk_officer"))
    version = house.train("omar")
    no = house.approve(version, "vera", verdict="reject")
    house.delegate("omar", "risk_officer", "otto")
    return house, version, no


def test_nobody_takes_back_a_no_to_the_work_of_whoever_lent_them_the_role(refused: tuple[House, Subject, int]) -> None:
    house, version, no = refused
    with house.acting("otto") as ws:
        with pytest.raises(NotAuthorizedError, match="somebody's no to the work of omar"):
            ws.revoke(no, reason="on behalf of omar")
        target = next(one.payload_digest for one in ws.view().of_kind(Approval.kind))
        ws.writer.record(Revocation(target=target, reason="past the verb"), [Subject(name="x", sha256="a" * 64)])
    assert house.decide(version).result == "deny"


def test_a_no_is_taken_back_by_a_risk_officer_who_speaks_for_somebody_else(refused: tuple[House, Subject, int]) -> None:
    house, version, no = refused
    house.delegate("rita", "risk_officer", "otto")
    with house.acting("otto") as ws:
        ws.revoke(no, reason="in the place of rita")
    assert house.decide(version).result == "review"


def test_whoever_has_a_makers_role_does_not_say_how_risky_the_model_is(tmp_path: Path) -> None:
    house = House(tmp_path, TIERED, people=people("omar", "author", "risk_officer"))
    version = house.train("omar")
    house.delegate("omar", "risk_officer", "otto")
    low = HumanText(name="risk-tier", sha256=sha256(b"low").hexdigest(), text="low")
    with house.acting("otto") as ws:
        ws.writer.record(low, [version])
    assert "there is no risk_tier" in house.decide(version).explain()
    with house.acting("rita") as ws:
        ws.writer.record(low, [version])
    assert house.decide(version).result == "review"


@pytest.mark.parametrize("approves", ["vera", "rita"], ids=["whoever lends it", "another delegate of theirs"])
def test_whoever_promotes_in_the_place_of_an_approver_brings_no_second_person(tmp_path: Path, approves: str) -> None:
    house = House(tmp_path, people=people("vera", "validator", "release_manager"))
    version = house.train()
    if approves != "vera":
        house.delegate("vera", "validator", approves)
    house.approve(version, approves, role="validator")
    house.delegate("vera", "release_manager", "otto")
    assert house.decide(version).result == "allow"
    with pytest.raises(NotAuthorizedError, match="1 of the 2 different people"):
        house.promote(version, "otto")
    assert house.production() is None
    house.promote(version, "max")
    assert house.production() == "1"


def test_break_glass_is_used_and_reviewed_in_roles_of_ones_own(tmp_path: Path) -> None:
    house = House(tmp_path, GLASS, people=people("ines", "incident_manager", "risk_officer"))
    version = house.train()
    with house.acting("ines") as ws:
        ws.promote(version, stage="production", break_glass="the old model is down", hours=2)
    house.delegate("ines", "risk_officer", "otto")
    with house.acting("otto") as ws:
        view = ws.view()
        (use,) = view.of_kind("break-glass")
        with pytest.raises(NotAuthorizedError, match="has not the role risk_officer of their own"):
            ws.review(use.index, reason="in the place of ines")
    policy = in_force(view, "production").policy
    lent = replace(
        view.principals["otto"],
        roles=frozenset({"incident_manager"}),
        delegated=frozenset({("incident_manager", "ines")}),
    )
    assert breakglass.role_of(lent, policy, "credit") is None
    assert breakglass.role_of(view.principals["ines"], policy, "credit") == "incident_manager"
