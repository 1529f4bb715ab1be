"""Who may do what: delegation, separation, quorum and custody, on real keys and a real log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.decide.decision import SEPARATE_CUSTODY, SINGLE_CUSTODIAN
from ml_governance.errors import (
    MissingEvidenceError,
    NotAuthorizedError,
    PromotionDeniedError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence import door, mandate
from ml_governance.evidence.verdicts import Approval, Delegation
from ml_governance.workspace import Person, new_keys, people
from ml_governance.workspace.last_good import LastGood
from tests.workspace.house import PEOPLE, POLICY, House

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.wire import Content


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def forge(house: House, who: str, content: Content, monkeypatch: pytest.MonkeyPatch) -> int:
    """Put an entry into the log that its door would have refused."""
    with monkeypatch.context() as patch, house.acting(who) as ws:
        patch.setattr(door.mandate, "fault", lambda *_: None)
        return ws.writer.record(content, [people.person_subject("otto")]).index


def delegation(house: House, role: str, to: str, **changes: Any) -> Delegation:
    fields = {"role": role, "to": to, "project": "credit", "expires": house.clock() + timedelta(days=7), "reason": "r"}
    return Delegation(**{**fields, **changes})


def states(house: House) -> list[str | None]:
    with house.acting() as ws:
        return [one.refusal for one in people.delegations(ws)]


# --- delegation -------------------------------------------------------------------------------------------


def test_a_delegate_approves_in_the_place_of_whoever_delegated(house: House) -> None:
    version = house.train()
    with pytest.raises(NotAuthorizedError, match="otto has the role auditor"):
        house.approve(version, "otto", role="validator")
    house.delegate("vera", "validator", "otto")
    house.approve(version, "otto")
    assert house.decide(version).result == "allow"
    house.promote(version)
    assert house.production() == "1"


def test_a_delegates_yes_ends_with_the_delegation(house: House) -> None:
    version = house.train()
    house.delegate("vera", "validator", "otto", days=2)
    house.approve(version, "otto")
    assert house.decide(version).result == "allow"
    house.clock.advance(timedelta(days=2))
    decision = house.decide(version)
    assert decision.result == "review"
    assert "in the place of vera does not count: it ended at" in decision.explain()
    with pytest.raises(NotAuthorizedError):
        house.approve(version, "otto", role="validator")


def test_a_delegation_counts_from_its_own_index_on(house: House) -> None:
    version = house.train()
    binding = house.decide(version).binding
    early = Approval(stage="production", binding=binding, verdict="approve", role="validator", reason="r")
    with house.acting("otto") as ws:
        ws.writer.record(early, [version])
    house.delegate("vera", "validator", "otto")
    decision = house.decide(version)
    assert decision.result == "review" and "it was signed later" in decision.explain()


def test_a_withdrawn_delegation_takes_the_delegates_yes_with_it_and_leaves_their_no(house: House) -> None:
    version = house.train()
    index = house.delegate("vera", "validator", "otto")
    house.approve(version, "otto")
    house.revoke("vera", index)
    assert house.decide(version).result == "review"
    with pytest.raises(NotAuthorizedError):
        house.approve(version, "otto", role="validator")

    other = house.train(model=2)
    index = house.delegate("vera", "validator", "otto")
    house.approve(other, "otto", verdict="reject")
    house.revoke("vera", index)
    house.clock.advance(timedelta(days=30))
    house.approve(other, "vera")
    assert house.decide(other).result == "deny"


def test_only_who_delegated_and_who_may_revoke_ends_a_delegation(house: House) -> None:
    index = house.delegate("vera", "validator", "otto")
    with pytest.raises(NotAuthorizedError, match="takes policy_owner or risk_officer"):
        house.revoke("max", index)
    with pytest.raises(MissingEvidenceError, match="is no delegation"):
        house.revoke("vera", 1)
    assert states(house) == [None]
    house.revoke("rita", index)
    assert "it was revoked at" in str(states(house)[0])


def test_a_delegated_role_is_not_delegated_further(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.delegate("vera", "validator", "otto")
    with pytest.raises(NotAuthorizedError, match="not their own"):
        house.delegate("otto", "validator", "max")
    forge(house, "otto", delegation(house, "validator", "max"), monkeypatch)
    assert states(house)[0] is None and "not their own" in str(states(house)[1])
    version = house.train()
    with pytest.raises(NotAuthorizedError):
        house.approve(version, "max", role="validator")


@pytest.mark.parametrize(
    ("by", "changes", "words"),
    [
        ("vera", {"to": "vera"}, "to themselves"),
        ("vera", {"to": "nobody"}, "only the root admits people"),
        ("vera", {"role": "release_manager"}, "not their own"),
        ("rita", {"role": "policy_owner"}, "cannot be delegated"),
        ("vera", {"project": "other"}, "not trusted for the project other"),
        ("vera", {"expires_in": 31}, "at most 30 days"),
        ("vera", {"expires_in": 0}, "which is over"),
    ],
)
def test_what_the_charter_does_not_allow_is_refused_at_the_door_and_does_not_count_behind_it(
    house: House, by: str, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = changes.pop("expires_in", 7)
    changes = {"role": "validator", "to": "otto", **changes, "expires": house.clock() + timedelta(days=days)}
    content = delegation(house, **changes)
    with house.acting(by) as ws, pytest.raises(NotAuthorizedError, match=words):
        ws.writer.record(content, [people.person_subject("otto")])
    forge(house, by, content, monkeypatch)
    assert all(words in str(state) for state in states(house))
    version = house.train()
    with house.acting() as ws:
        view = ws.view()
        assert not any(one.delegated for one in view.principals.values())
    assert house.decide(version).result == "review"


def test_a_delegation_needs_a_reason_and_an_end_with_a_zone(house: House) -> None:
    with house.acting("vera") as ws:
        with pytest.raises(UsageError, match="reason is empty"):
            ws.delegate("validator", to="otto", until=house.clock() + timedelta(days=1), reason=" ")
        with pytest.raises(UsageError, match="no time zone"):
            ws.delegate("validator", to="otto", until=house.clock().replace(tzinfo=None), reason="r")


def test_roles_that_the_charter_keeps_apart_do_not_meet_in_a_delegate(house: House) -> None:
    house.charter(apart=[["release_manager", "validator"]])
    with pytest.raises(NotAuthorizedError, match="release_manager and validator, which the charter keeps apart"):
        house.delegate("vera", "validator", "max")
    # Each alone would do; of the two, the first counts.
    house.delegate("vera", "validator", "otto")
    house.delegate("max", "release_manager", "otto")
    with house.acting() as ws:
        assert ws.view().principals["otto"].roles == {"auditor", "validator"}


def test_nobody_approves_in_the_place_of_the_models_maker(tmp_path: Path) -> None:
    house = House(
        tmp_path, people=[*PEOPLE[:1], Person(id="vera", name="Vera", roles=("author", "validator")), *PEOPLE[2:]]
    )
    version = house.train("vera")
    house.delegate("vera", "validator", "otto")
    with pytest.raises(NotAuthorizedError, match="in the place of vera, who made credit/1"):
        house.approve(version, "otto", role="validator")
    binding = house.decide(version).binding
    content = Approval(stage="production", binding=binding, verdict="approve", role="validator", reason="r")
    with house.acting("otto") as ws:
        ws.writer.record(content, [version])
    decision = house.decide(version)
    assert decision.result == "review" and "vera made credit/1" in decision.explain()


def test_whoever_delegates_has_one_voice(tmp_path: Path) -> None:
    house = House(tmp_path, POLICY.replace("role: validator,", "role: validator, count: 2,"))
    version = house.train()
    house.approve(version, "vera")
    house.delegate("vera", "validator", "otto")
    house.delegate("vera", "validator", "rita")
    house.approve(version, "otto", role="validator")
    house.approve(version, "rita", role="validator")
    decision = house.decide(version)
    assert decision.approvals_missing == ("validator",)
    assert "vera has one voice" in decision.explain()


def test_two_delegates_of_one_person_are_one_voice(tmp_path: Path) -> None:
    house = House(tmp_path, POLICY.replace("role: validator,", "role: validator, count: 2,"))
    version = house.train()
    for other in ("otto", "rita"):
        house.delegate("vera", "validator", other)
        house.approve(version, other, role="validator")
    decision = house.decide(version)
    assert [one.principal.id for one in decision.approvals if "validator" in one.principal.roles] == ["rita"]
    assert decision.result == "review"


def test_whoever_promotes_does_not_count_again_in_a_delegate(tmp_path: Path) -> None:
    both = Person(id="max", name="Max", roles=("release_manager", "validator"))
    house = House(tmp_path, people=[*(one for one in PEOPLE if one.id != "max"), both])
    version = house.train()
    house.delegate("max", "validator", "otto")
    house.approve(version, "otto")
    assert house.decide(version).result == "allow"
    with pytest.raises(NotAuthorizedError, match="1 of the 2 different people"):
        house.promote(version, "max")


def test_a_quorum_takes_different_people_not_different_keys(tmp_path: Path) -> None:
    wanted = (*PEOPLE, Person(id="vito", name="Vito", roles=("validator",)))
    house = House(tmp_path, POLICY.replace("role: validator,", "role: validator, count: 2,"), people=wanted)
    version = house.train()
    second = new_keys.new_key(tmp_path / "hers", "vera-2")
    with house.acting() as ws:
        ws.custody.trust("vera", second.public, roots=["root"])
    house.approve(version, "vera")
    house.approve(version, second.private)
    assert house.decide(version).approvals_missing == ("validator",)
    house.approve(version, "vito")
    assert house.decide(version).result == "allow"


def test_what_rests_on_a_delegation_by_a_stolen_key_counts_no_more_but_for_a_no(house: House) -> None:
    version, other = house.train(), house.train(model=2)
    house.delegate("vera", "validator", "otto")
    house.approve(version, "otto")
    house.approve(other, "otto", verdict="reject")
    with house.acting() as ws:
        ws.custody.revoke("vera", roots=["root"], last_good=LastGood.nothing())
    decision = house.decide(version)
    assert decision.result == "review" and "was taken back" in decision.explain()
    assert house.decide(other).result == "deny"


def test_a_delegation_is_never_erased(tmp_path: Path) -> None:
    house = House(tmp_path, people=[*PEOPLE, Person(id="dora", name="Dora", roles=("data_protection_officer",))])
    index = house.delegate("vera", "validator", "otto")
    with house.acting("dora") as ws, pytest.raises(UsageError, match="the rest is verified with"):
        ws.log.erase(index, reason="to lose a no")


def test_measurements_in_a_place_stay_when_the_delegation_ends_and_are_void_when_it_was_stolen(house: House) -> None:
    house.charter(grants={"assess": ["validator"]})
    version = house.train()
    house.delegate("vera", "validator", "otto", days=2)
    import ml_governance as gov

    report = gov.assess_fairness(
        y_true=[0, 1, 1, 0] * 20, y_pred=[0, 1, 0, 1] * 20, sensitive_features={"sex": ["f", "m"] * 40}
    )
    with house.acting("otto") as ws:
        (receipt,) = ws.attest(version, report)
    house.clock.advance(timedelta(days=3))
    with house.acting() as ws:
        (entry,) = ws.view().about(version.sha256, "fairness")
        assert "validator" in entry.principal.roles
    with house.acting("otto") as ws, pytest.raises(NotAuthorizedError, match="to assess credit/1 takes validator"):
        ws.attest(version, report)
    with house.acting() as ws:
        ws.custody.revoke("vera", roots=["root"], last_good=LastGood.nothing())
        view = ws.view()
    assert [one.index for one in view.void if one.kind == "fairness"] == [receipt.index]


# --- the charter ------------------------------------------------------------------------------------------


def test_only_the_root_changes_the_charter(house: House) -> None:
    (house.folder / "c.json").write_text("{}")
    with house.acting() as ws:
        with pytest.raises(VerificationError, match="the charter has the fields"):
            ws.custody.charter(house.folder / "c.json", roots=["root"])
        with pytest.raises(NotAuthorizedError, match="is no root key"):
            from ml_governance.workspace.setup import CHARTER

            (house.folder / "c.json").write_text(__import__("json").dumps(CHARTER.to_dict() | {"people": 1}))
            ws.custody.charter(house.folder / "c.json", roots=["rita"])


def test_who_trains_and_registers_is_asked_at_the_door(house: House) -> None:
    house.charter(grants={"train": ["author"], "register": ["author"]})
    assert house.train("ada").name == "credit/1"
    with pytest.raises(NotAuthorizedError, match="max has the roles release_manager; to train takes author"):
        house.train("max", model=2)


def test_a_model_by_whom_the_charter_does_not_let_blocks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.charter(grants={"train": ["author"], "register": ["author"]})
    with monkeypatch.context() as patch:
        patch.setattr(mandate, "fault", lambda *_: None)
        version = house.train("otto")
    decision = house.decide(version)
    assert decision.exit_code == 4
    assert "to register takes author" in decision.explain()


def test_a_role_holds_what_it_inherits(house: House) -> None:
    house.charter(inherits={"auditor": ["validator"]})
    version = house.train()
    house.approve(version, "otto", role="validator")
    assert house.decide(version).result == "allow"


def test_a_policy_owner_who_drops_all_approvals_still_cannot_promote_alone(tmp_path: Path) -> None:
    everything = ("author", "validator", "risk_officer", "release_manager", "policy_owner")
    house = House(tmp_path, people=[Person(id="solo", name="Solo", roles=everything), *PEOPLE])
    version = house.train("solo")
    lax = POLICY.replace("version: 1", "version: 2").replace(
        "approvals: [{role: validator, expires: 7d}]", "approvals: []"
    )
    house.enact(lax.replace("not: [author, trainer]", "not: []"), "solo")
    assert house.decide(version).result == "allow"
    with pytest.raises(NotAuthorizedError, match="1 of the 2 different people whom the charter asks for"):
        house.promote(version, "solo")
    assert house.production() is None
    # Not even a model of somebody else, who never agreed to anything.
    with pytest.raises(NotAuthorizedError, match="1 of the 2"):
        house.promote(house.train("ada", model=2), "solo")


# --- who may do what --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "action", "allowed", "words"),
    [
        ("vera", "approve", True, "may approve as validator"),
        ("vera", "approve:risk_officer", False, "takes risk_officer"),
        ("ada", "approve:validator", False, "author and trainer of credit/1"),
        ("ada", "train", True, "may train"),
        ("max", "promote", True, "may promote credit/1"),
        ("max", "deploy", True, "may deploy"),
        ("vera", "deploy", False, "takes release_manager"),
        ("rita", "revoke", True, "may revoke"),
        ("otto", "revoke", False, "takes policy_owner or risk_officer"),
        ("rita", "waive", False, "a role that the policy does not name"),
        ("nobody", "promote", False, "names nobody called nobody"),
    ],
)
def test_can_answers_with_the_reason(house: House, who: str, action: str, allowed: bool, words: str) -> None:
    version = house.train()
    with house.acting() as ws:
        verdict = ws.can(who, action, version.name)
    assert (verdict.allowed, words in verdict.reason) == (allowed, True), verdict.reason


def test_can_says_what_stands_in_the_way_besides_roles(house: House) -> None:
    with house.acting("otto") as ws:
        assert ws.can("otto", "revoke", "1").allowed is False
        with pytest.raises(UsageError, match="no action 'fly'"):
            ws.can("otto", "fly")
        with pytest.raises(MissingEvidenceError):
            ws.can("vera", "read", "unknown")
        own = ws.writer.record(
            Approval(stage="production", binding="0" * 64, verdict="approve", role="x", reason="r"),
            [people.person_subject("otto")],
        )
        told = ws.can("otto", "revoke", str(own.index))
        assert told.allowed and told.reason == f"otto may revoke #{own.index}."
        assert ws.can("ada", "train").reason == "ada may train a model."
        ws.custody.revoke("vera", roots=["root"])
        assert "has no key in force" in ws.can("vera", "approve").reason
    house.clock.advance(timedelta(days=400))
    with house.acting() as ws:
        assert "trust file expired" in ws.can("max", "promote").reason


def test_a_person_of_another_project_may_nothing_here(house: House, tmp_path: Path) -> None:
    key = new_keys.new_key(tmp_path / "k", "zoe")
    with house.acting() as ws:
        ws.custody.trust("zoe", key.public, roots=["root"], roles=["validator"], projects=["loans"])
        verdict = ws.can("zoe", "approve:validator")
    assert not verdict.allowed and "zoe is trusted for loans, and this is of credit" in verdict.reason


# --- custody ----------------------------------------------------------------------------------------------


def apart(house: House, folder: Path, *names: str) -> dict[str, Path]:
    """Give people new keys in folders of their own, as custodians of their own."""
    found = {}
    for name in names:
        made = new_keys.new_key(folder / name, name)
        with house.acting() as ws:
            ws.custody.rotate(name, made.public, roots=["root"])
            ws.custody.trust(name, made.public, roots=["root"], custodian=f"laptop of {name}")
        (house.folder / "ws" / "governance" / "keys" / f"{name}.pem").unlink()
        found[name] = made.private
    return found


SEPARATE = POLICY + "custody: separate\n"


def test_keys_in_one_folder_are_one_custody_whatever_the_trust_file_says(house: House, tmp_path: Path) -> None:
    keys = apart(house, tmp_path / "own", "ada", "vera")
    version = house.train(keys["ada"])
    house.approve(version, keys["vera"])
    assert house.decide(version).assurance == SEPARATE_CUSTODY
    # The same keys, gathered by somebody, under other names.
    for name, path in keys.items():
        target = house.folder / "ws" / "governance" / "keys" / f"copy-of-{name}.pem"
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    assert house.decide(version).assurance == SINGLE_CUSTODIAN


def test_a_policy_can_ask_for_separate_custody(tmp_path: Path) -> None:
    house = House(tmp_path / "h", SEPARATE)
    shared = house.train()
    house.approve(shared, "vera")
    decision = house.decide(shared)
    assert (decision.result, decision.assurance) == ("deny", SINGLE_CUSTODIAN)
    assert "GATE-custody" in {finding.id for finding in decision.findings}
    keys = apart(house, tmp_path / "own", "ada", "vera", "max")
    version = house.train(keys["ada"], model=2)
    house.approve(version, keys["vera"])
    assert house.decide(version).result == "allow"
    house.promote(version, keys["max"])
    assert house.production() == "2"


def test_who_promotes_holds_their_key_apart_too(tmp_path: Path) -> None:
    house = House(tmp_path / "h", SEPARATE)
    keys = apart(house, tmp_path / "own", "ada", "vera", "max")
    version = house.train(keys["ada"])
    house.approve(version, keys["vera"])
    with house.acting() as ws:
        ws.custody.trust("max", keys["max"].with_suffix(".pub"), roots=["root"], custodian="laptop of vera")
    with pytest.raises(NotAuthorizedError, match="separate custody"):
        house.promote(version, keys["max"])
    assert house.production() is None


def test_the_flow_without_enough_people_is_denied_by_the_gate(house: House) -> None:
    with pytest.raises(PromotionDeniedError):
        house.promote(house.train())


def test_an_encrypted_key_is_known_by_its_name(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's passphrase is asked to find out whose it is; a key of nobody's is nobody's."""
    from ml_governance.workspace import key_places

    monkeypatch.setenv("MLGOV_PASSPHRASE", "long enough to be one")
    for name in ("vera", "max", "nobody"):
        new_keys.new_key(tmp_path / "k", name, encrypt=name != "nobody")
    monkeypatch.setattr("ml_governance.workspace.secrets.passphrase", lambda _: pytest.fail("asked for a passphrase"))
    with house.acting() as ws:
        (found,) = key_places.owners([tmp_path / "k", tmp_path / "absent"], ws.view().principals).values()
    assert found == {"vera", "max"}
