"""A small workspace with real keys, a real ledger and a local registry, made once and copied for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ml_governance as gov
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.wire import Content
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import Person, Workspace

POLICY = """
policy: small-production
version: 1
stage: production
applies_to: {model: "credit*"}
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 7d}]
review: {roles: [risk_officer]}
waivers: {roles: [risk_officer], max_days: 30, not: []}
break_glass: {roles: [incident_manager], max_hours: 24, reviewed_by: [risk_officer]}
rules:
  - id: SML-01
    title: Rates are alike
    require:
      evidence: fairness
      metric: selection_rate_ratio
      by: [sex]
      levels: {sex: [f, m]}
      lower_bound_at_least: 0.5
      max_age: 72h
      predictions: caller-supplied
      signed_by: validator
  - id: SML-02
    title: The run was observed
    require: {evidence: training-run, inputs_digested: true}
"""
PEOPLE = (
    Person(id="ada", name="Ada", roles=("author",)),
    Person(id="vera", name="Vera", roles=("validator",)),
    Person(id="rita", name="Rita", roles=("risk_officer", "policy_owner")),
    Person(id="max", name="Max", roles=("release_manager",)),
    Person(id="ines", name="Ines", roles=("incident_manager",)),
    # Everything in one person, so that separation of duties has something to forbid.
    Person(
        id="omar", name="Omar", roles=("author", "validator", "risk_officer", "release_manager", "incident_manager")
    ),
    Person(id="nobody", name="Nobody", roles=()),
)


def rows(n: int = 800) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame({"sex": generator.choice(["f", "m"], n), "label": generator.integers(0, 2, n)})


@dataclass(slots=True)
class House:
    """The workspace, its clock, and what people do in it."""

    root: Path
    clock: FrozenClock

    def as_(self, who: str | None) -> Workspace:
        return gov.open(self.root, signer=who, clock=self.clock)

    def train(self, weights: str = "1 2 3", *, who: str = "ada", name: str = "credit") -> Subject:
        file = self.root / "weights.txt"
        file.write_text(weights)
        with self.as_(who) as ws, ws.training(name) as run:
            run.uses(rows(), name="train")
            return run.produces(file, name=name)

    def measure(self, version: Subject, *, fair: bool = True, who: str = "vera") -> int:
        data = rows()
        predicted = data.label if fair else (data.sex == "m").astype(int)
        report = gov.assess_fairness(y_true=data.label, y_pred=predicted, sensitive_features=data[["sex"]])
        with self.as_(who) as ws:
            return ws.attest(version, report, data=data)[0].index

    def ready(self, weights: str = "1 2 3", **options: Any) -> Subject:
        """Return a model that only wants an approval."""
        version = self.train(weights, **options)
        self.measure(version)
        return version

    def approve(self, version: Any, who: str = "vera", **options: Any) -> int:
        with self.as_(who) as ws:
            return ws.approve(version, stage="production", reason="looked at it", **options).index

    def promote(self, version: Any, who: str = "max", **options: Any) -> Any:
        with self.as_(who) as ws:
            return ws.promote(version, stage="production", **options)

    def decide(self, version: Any, stage: str = "production") -> Any:
        """Judge without recording."""
        from ml_governance.workspace import deciding

        with self.as_(None) as ws:
            return deciding.judge(ws, version, stage=stage, view=ws.view())[1]

    def write(self, content: Content, *subjects: Subject, who: str) -> int:
        """Sign whatever somebody likes, past every verb: what a stranger's program could append."""
        with self.as_(who) as ws:
            return ws.writer.record(content, subjects).index

    def alias(self, name: str = "credit") -> str | None:
        with self.as_(None) as ws:
            return ws.registry.alias(name, "production")

    def content(self, index: int) -> Any:
        with self.as_(None) as ws:
            return next(one for one in ws.view().attestations if one.index == index).content

    def later(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))


def build(folder: Path) -> Path:
    """Make the workspace that tests copy."""
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    workspace(folder / "ws", policy=str(folder / "pack"), people=PEOPLE, clock=FrozenClock()).close()
    return folder / "ws"


def copy(template: Path, target: Path) -> House:
    """Return a workspace of one's own."""
    shutil.copytree(template, target)
    return House(root=target, clock=FrozenClock())
