"""One person with every role, several keys and no scruples never gets a model into production where two people are required.

Whatever the library lets them call, they call, in any order, with any of their keys; and what its calls would refuse, they sign
themselves, past every check but the log's own door. New people come from the root alone, whose key they have not.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ml_governance.errors import GovernanceError
from ml_governance.evidence.predicates import Promotion, Registration
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verdicts import Approval, Delegation, Waiver
from ml_governance.workspace import Person, new_keys, people
from ml_governance.workspace.deciding import judge
from tests.workspace.house import PEOPLE, POLICY, House

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_governance.evidence.wire import Content

EVERYTHING = ("author", "validator", "risk_officer", "release_manager", "policy_owner", "data_protection_officer")
KEYS = st.sampled_from(["solo", "second"])
OTHERS = st.sampled_from(["solo", "vera", "max"])
ROLES = st.sampled_from([*EVERYTHING[:5], "auditor"])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    house = House(folder, people=[Person(id="solo", name="Solo", roles=EVERYTHING), *PEOPLE])
    made = new_keys.new_key(folder, "second")
    with house.acting() as ws:
        ws.custody.trust("solo", made.public, roots=["root"])
    house.train("ada", model="hers")
    return folder


class OnePerson(RuleBasedStateMachine):
    """Everything that one person can try."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        os.environ["XDG_STATE_HOME"] = str(self.home / "state")
        shutil.copytree(self.template, self.home / "house")
        self.house = House.__new__(House)
        from ml_governance.testing import FrozenClock

        self.house.folder, self.house.clock = self.home / "house", FrozenClock()
        self.version, self.trained = 1, 0
        self.models = self._models()

    def teardown(self) -> None:
        if hasattr(self, "home"):
            shutil.rmtree(self.home, ignore_errors=True)

    def _models(self) -> list[Subject]:
        with self.house.acting() as ws:
            return [subject for one in ws.view().of_kind(Registration.kind) for subject in one.subjects]

    def _key(self, key: str) -> str | Path:
        return self.home / "house" / "second.pem" if key == "second" else key

    def _try(self, key: str, call: Callable[[Any], Any]) -> Any:
        try:
            with self.house.acting(self._key(key)) as ws:
                return call(ws)
        except GovernanceError:
            return None

    def _sign(self, key: str, content: Content, subject: Subject) -> None:
        self._try(key, lambda ws: ws.writer.record(content, [subject]))

    @rule(key=KEYS)
    def train(self, key: str) -> None:
        self.trained += 1
        self.house.train(self._key(key), model=self.trained)
        self.models = self._models()

    @rule(key=KEYS, which=st.integers(0, 3), role=ROLES)
    def approve(self, key: str, which: int, role: str) -> None:
        model = self.models[which % len(self.models)]
        self._try(key, lambda ws: ws.approve(model, stage="production", reason="r", role=role))

    @rule(key=KEYS, which=st.integers(0, 3), role=ROLES)
    def sign_an_approval(self, key: str, which: int, role: str) -> None:
        model = self.models[which % len(self.models)]
        with self.house.acting() as ws:
            binding = judge(ws, model, stage="production", view=ws.view())[1].binding
        self._sign(key, Approval(stage="production", binding=binding, verdict="approve", role=role, reason="r"), model)

    @rule(key=KEYS, which=st.integers(0, 3))
    def sign_a_waiver(self, key: str, which: int) -> None:
        model = self.models[which % len(self.models)]
        with self.house.acting() as ws:
            binding = judge(ws, model, stage="production", view=ws.view())[1].binding
        expires = self.house.clock() + timedelta(days=1)
        content = Waiver(
            stage="production", rule="HSE-01", binding=binding, role="risk_officer", reason="r", expires=expires
        )
        self._sign(key, content, model)

    @rule(key=KEYS, role=ROLES, to=OTHERS)
    def delegate(self, key: str, role: str, to: str) -> None:
        until = self.house.clock() + timedelta(days=3)
        self._try(key, lambda ws: ws.delegate(role, to=to, until=until, reason="r"))
        content = Delegation(role=role, to=to, project="credit", expires=until, reason="r")
        self._sign(key, content, people.person_subject(to))

    @rule(
        key=KEYS, text=st.sampled_from(["approvals: []", "approvals: [{role: auditor}]", "approvals: [{role: author}]"])
    )
    def relax_the_policy(self, key: str, text: str) -> None:
        self.version += 1
        lax = POLICY.replace("version: 1", f"version: {self.version}").replace("not: [author, trainer]", "not: []")
        lax = lax.replace("approvals: [{role: validator, expires: 7d}]", text)
        (self.home / "lax.yaml").write_text(lax)
        self._try(key, lambda ws: ws.enact(self.home / "lax.yaml"))

    @rule(key=KEYS, which=st.integers(0, 3))
    def register_under_their_own_name(self, key: str, which: int) -> None:
        model = self.models[which % len(self.models)]
        content = Registration(registry="local:models", name="credit", version="1", format="joblib", files=1, size=1)
        self._sign(key, content, model)

    @rule(key=KEYS)
    def become_somebody_else(self, key: str) -> None:
        made = self._try(key, lambda _: new_keys.new_key(self.home / f"k{self.trained}-{self.version}", "zoe"))
        if made is not None:
            for root in ("solo", str(made.private)):
                self._try(
                    key, lambda ws, root=root: ws.custody.trust("zoe", made.public, roots=[root], roles=["validator"])
                )
            self._try(key, lambda ws: ws.acting_as(made.private).decide(self.models[0], stage="production"))

    @rule(key=KEYS, back=st.integers(0, 8))
    def revoke(self, key: str, back: int) -> None:
        from ml_governance.evidence.predicates import Revocation

        with self.house.acting() as ws:
            entries = ws.view().attestations
        target = entries[-1 - back % len(entries)]
        self._sign(key, Revocation(target=target.payload_digest, reason="r"), self.models[0])

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.house.clock.advance(timedelta(hours=hours))

    @invariant()
    def nothing_is_in_production(self) -> None:
        if not hasattr(self, "house"):
            return
        for model in {self.models[0], self.models[-1]}:
            self._try("solo", lambda ws, model=model: ws.promote(model, stage="production"))
        assert self.house.production() is None
        with self.house.acting() as ws:
            view = ws.view()
            done = [one for one in view.of_kind(Promotion.kind) if getattr(one.content, "result", None) == "done"]
        assert not done


@pytest.fixture
def machine(template: Path, monkeypatch: pytest.MonkeyPatch) -> type[OnePerson]:
    monkeypatch.setenv("XDG_STATE_HOME", str(template))  # restored afterwards, whatever the machine sets
    return type("OnePersonHere", (OnePerson,), {"template": template})


def run(machine: type[OnePerson], **options: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    chosen = settings(
        deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False, **options
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_one_person_alone_reaches_nothing(machine: type[OnePerson]) -> None:
    """With MLGOV_LONG set, as the full checks do, for hundreds of steps."""
    long = bool(os.environ.get("MLGOV_LONG"))
    run(machine, max_examples=60 if long else 8, stateful_step_count=30 if long else 10)


def test_with_a_second_person_the_same_house_gets_there(machine: type[OnePerson]) -> None:
    """The machine's invariant is one that can be broken: somebody else's approval does it."""
    one = machine()
    one.begin()
    one.train("solo")
    version = one.models[-1]
    one.house.approve(version, "vera")
    one.house.promote(version, "max")
    with pytest.raises(AssertionError):
        one.nothing_is_in_production()
    one.teardown()
