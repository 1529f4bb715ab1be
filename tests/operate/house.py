"""A workspace in which a real model is trained, assessed by recomputation, approved and promoted; made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import Person
from tests.promote import house as promote

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = """
policy: served-production
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 30d}]
review: {roles: [risk_officer]}
break_glass: {roles: [incident_manager], max_hours: 24, reviewed_by: [risk_officer]}
rules:
  - id: SRV-01
    title: Rates were measured
    require:
      evidence: fairness
      metric: selection_rate_ratio
      by: [sex]
      levels: {sex: [f, m]}
      value_at_least: 0.3
      signed_by: validator
  - id: SRV-02
    title: In use, columns look as they did
    when: model.deployed
    require:
      evidence: monitoring
      metric: psi_excess
      by: [column]
      value_at_most: 0.1
      max_age: 2d
      signed_by: validator
  - id: SRV-03
    title: In use, groups fare alike
    when: model.deployed
    require:
      evidence: monitoring
      metric: selection_rate_ratio
      by: [sex]
      levels: {sex: [f, m]}
      lower_bound_at_least: 0.3
      max_age: 2d
      signed_by: validator
"""
PEOPLE = (
    *promote.PEOPLE,
    Person(id="olga", name="Olga", roles=("release_manager", "validator")),
)
STAGE = "production"


def rows(n: int = 900, *, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": generator.normal(3 + shift, 1, n),
            "debt": generator.exponential(1, n),
            "owner": generator.integers(0, 2, n),
            "sex": generator.choice(["f", "m"], n),
            "region": generator.choice(["north", "south", "west"], n),
        }
    )
    frame["label"] = (frame.income - frame.debt + generator.normal(0, 0.5, n) > 2).astype(int)
    return frame


INPUTS = ["income", "debt", "owner", "sex", "region"]


def fitted(inputs: Sequence[str] = INPUTS) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = rows(seed=1)
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["region"]), ("passthrough", ["income", "debt", "owner"])
    )
    return make_pipeline(encoded, LogisticRegression(max_iter=500)).fit(frame[list(inputs)], frame.label)


class House(promote.House):
    """The workspace, its clock, and what people do in it."""

    def train(self, model: Any = None, *, who: str = "ada", name: str = "credit") -> Any:
        with self.as_(who) as ws, ws.training(name) as run:
            run.uses(rows(seed=1), name="train")
            return run.produces(fitted() if model is None else model, name=name)

    def assess(self, version: Any, who: str = "vera", kinds: tuple[str, ...] = ("fairness",)) -> Any:
        with self.as_(who) as ws:
            return ws.assess(version, rows(), y_true="label", sensitive_features=["sex"], kinds=kinds)

    def measure_as_recomputed(self, version: Any, who: str = "vera") -> int:
        """Sign numbers of a model that nobody needs to load."""
        from ml_governance.assess.fairness import assess_fairness
        from ml_governance.evidence.predicates import Resource

        data = rows()
        report = assess_fairness(y_true=data.label, y_pred=data.label, sensitive_features=data[["sex"]])
        resource = Resource(name="test", sha256="1" * 64, rows=len(data))
        return self.write(report.to_content(predictions="recomputed", dataset=resource), version, who=who)

    def artifact(self, version: Any) -> Path:
        with self.as_(None) as ws:
            return ws.registry.artifact(*version.name.split("/"))

    def serve(self, version: Any, who: str = "max", **options: Any) -> Any:
        return self.as_(who).deployment(version, **options)

    def monitor(self, version: Any, who: str = "vera", **options: Any) -> Any:
        with self.as_(who) as ws:
            return ws.monitor(version, **options)

    def revoke(self, target: Any, who: str = "rita") -> Any:
        with self.as_(who) as ws:
            return ws.revoke(target, reason="it is wrong")

    def kinds(self) -> list[str]:
        with self.as_(None) as ws:
            return [one.kind for one in ws.view().attestations]


def build(folder: Path) -> Path:
    """Make a workspace with credit/1 in production."""
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    workspace(folder / "ws", policy=str(folder / "pack"), people=PEOPLE, clock=FrozenClock()).close()
    house = House(root=folder / "ws", clock=FrozenClock())
    version = house.train()
    house.assess(version)
    house.approve(version)
    house.promote(version)
    return folder / "ws"


def copy(template: Path, target: Path) -> House:
    shutil.copytree(template, target)
    return House(root=target, clock=FrozenClock())
