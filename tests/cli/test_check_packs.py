"""One `mlgov check`, with people's texts and approvals, is all that a pack asks for."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import ml_governance as gov
from ml_governance.cli.run import run
from ml_governance.decide.policy import parse_policy
from ml_governance.testing import workspace
from ml_governance.workspace import catalogue, packs

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {"performance", "fairness", "explanation", "robustness", "data-quality", "privacy", "security-scan"}
CHECK = """
[check]
model = "credit-risk/1"
data = "test.parquet"
y_true = "repaid"
by = ["sex"]
training = ["train.parquet"]
background = "train.parquet"
requirements = "needs.txt"
advisories = "osv.json"
rerun = "credit-risk/2"
costs = {false_positive = 1, false_negative = 5}
monotone = {income = "+"}
population = {sex = {Female = 0.5, Male = 0.5}}
shift = {sex = {Female = 0.7, Male = 0.3}}
"""


def rows(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": generator.normal(3, 1, n),
            "debt": generator.normal(0, 1, n),
            "sex": generator.choice(["Female", "Male"], n),
        }
    )
    return frame.assign(repaid=(frame.income - frame.debt / 2 + generator.normal(0, 1, n) > 3).astype(int))


def governed(folder: Path, pack: str, train: pd.DataFrame) -> Path:
    """Return a workspace that begins with a pack, with a model that was trained twice, and every text that is asked for."""
    from sklearn.linear_model import LogisticRegression

    home = folder / "ws"
    workspace(home, policy=pack).close()
    for more in ({}, {"n_jobs": 1}):
        with gov.open(home, signer="author") as ws, ws.training("credit-risk") as training:
            training.uses(train, name="applications")
            model = LogisticRegression().fit(train[["income", "debt"]], train["repaid"]).set_params(**more)
            training.produces(model, name="credit-risk")
    policy = parse_policy((packs()[pack] / "policy.yaml").read_text(encoding="utf-8"), controls=catalogue().ids)
    signed: dict[str, set[str]] = {}
    for rule in policy.rules:
        if rule.require.text is not None:
            signed.setdefault((rule.require.signed_by or "author").replace("_", "-"), set()).add(rule.require.text)
    for person, texts in signed.items():
        with gov.open(home, signer=person) as ws:
            for text in sorted(texts):
                (folder / "text.md").write_text(f"What {person} says about {text}.")
                ws.attest_text("credit-risk/1", text, folder / "text.md")
    return home


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["eu-ai-act-high-risk", pytest.param("model-risk", marks=pytest.mark.full)])
def test_one_check_measures_all_that_a_pack_asks_for_and_people_do_the_rest(
    pack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = rows(4000, 0), rows(4000, 1)
    home = governed(tmp_path, pack, train)
    train.to_parquet(home / "train.parquet")
    test.to_parquet(home / "test.parquet")
    (home / "needs.txt").write_text(f"scikit-learn=={metadata.version('scikit-learn')}\n")
    affected = [{"package": {"ecosystem": "PyPI", "name": "other"}}]
    (home / "osv.json").write_text(
        json.dumps({"id": "OSV-1", "modified": "2026-01-01T00:00:00Z", "affected": affected})
    )
    configuration = home / "governance.toml"
    configuration.write_text(configuration.read_text() + CHECK)

    capsys.readouterr()
    code = run(["check", "-w", str(home), "--unpinned", "--as", "validator", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] == []
    with gov.open(home) as ws:
        asked = {
            rule.require.evidence for rule in parse_policy(packs()[pack].joinpath("policy.yaml").read_text()).rules
        }
        assert set(told["entries"]) == asked & KINDS
        # Signed in one transaction: one after the other, nothing between.
        assert sorted(told["entries"].values()) == list(
            range(min(told["entries"].values()), max(told["entries"].values()) + 1)
        )
        decision = ws.consider("credit-risk/1", stage="production")
        # All keys of this workspace are in one folder.
        custody = {"GATE-custody"} if pack == "model-risk" else set()
        blocked = {one.id for one in decision.findings if one.status != "pass"}
        assert {one for one in blocked if not one.startswith("GATE")} == set()
        assert custody <= blocked

    for person in ("validator", "risk-officer"):
        with gov.open(home, signer=person) as ws:
            ws.approve("credit-risk/1", stage="production", reason="looked at all of it")
    with gov.open(home) as ws:
        decision = ws.consider("credit-risk/1", stage="production")
    assert {one.id for one in decision.findings if one.status != "pass"} == custody
    assert code == (1 if custody else 3)
    if not custody:
        assert run(["check", "-w", str(home), "--unpinned"]) == 0
