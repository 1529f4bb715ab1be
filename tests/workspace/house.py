"""A workspace of a few people on a cheap policy, for tests of who may do what."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import ml_governance as gov
from ml_governance.evidence.charter import Charter
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import Person
from ml_governance.workspace.setup import CHARTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance import Workspace
    from ml_governance.evidence.statement import Subject

POLICY = """
policy: house
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 7d}]
review: {roles: [risk_officer]}
rules:
  - id: HSE-01
    title: The run was observed
    require: {evidence: training-run}
"""
PEOPLE = (
    Person(id="ada", name="Ada", roles=("author",)),
    Person(id="vera", name="Vera", roles=("validator",)),
    Person(id="rita", name="Rita", roles=("risk_officer", "policy_owner")),
    Person(id="max", name="Max", roles=("release_manager",)),
    Person(id="otto", name="Otto", roles=("auditor",)),
)


class House:
    """A workspace, its clock, and shorthands for what people do in it."""

    def __init__(self, folder: Path, policy: str = POLICY, people: Sequence[Person] = PEOPLE) -> None:
        self.folder, self.clock = folder, FrozenClock()
        (folder / "pack").mkdir(parents=True)
        (folder / "pack" / "policy.yaml").write_text(policy)
        workspace(folder / "ws", policy=str(folder / "pack"), clock=self.clock, people=people).close()

    def acting(self, who: str | Path | None = None) -> Workspace:
        return gov.open(self.folder / "ws", signer=who, clock=self.clock)

    def train(self, who: str | Path = "ada", model: Any = 1) -> Subject:
        with self.acting(who) as ws, ws.training("credit") as run:
            return run.produces({"weights": model}, name="credit")

    def approve(self, version: Subject, who: str | Path = "vera", **options: Any) -> int:
        with self.acting(who) as ws:
            return ws.approve(version, stage="production", reason="looked at it", **options).index

    def decide(self, version: Subject) -> Any:
        from ml_governance.workspace.deciding import judge

        with self.acting() as ws:
            return judge(ws, version, stage="production", view=ws.view())[1]

    def promote(self, version: Subject, who: str | Path = "max") -> Any:
        with self.acting(who) as ws:
            return ws.promote(version, stage="production")

    def delegate(self, by: str, role: str, to: str, days: float = 7) -> int:
        with self.acting(by) as ws:
            until = self.clock() + timedelta(days=days)
            return ws.delegate(role, to=to, until=until, reason="on leave").index

    def revoke(self, by: str, index: int) -> int:
        from ml_governance.workspace import people

        with self.acting(by) as ws:
            return people.withdraw(ws, index, reason="back").index

    def charter(self, **changes: Any) -> None:
        value = CHARTER.to_dict() | changes
        Charter.from_dict(value)
        (self.folder / "charter.json").write_text(json.dumps(value))
        with self.acting() as ws:
            ws.custody.charter(self.folder / "charter.json", roots=["root"])

    def enact(self, text: str, who: str | Path = "rita") -> int:
        (self.folder / "next.yaml").write_text(text)
        with self.acting(who) as ws:
            return ws.enact(self.folder / "next.yaml").index

    def production(self) -> str | None:
        with self.acting() as ws:
            return ws.registry.alias("credit", "production")
