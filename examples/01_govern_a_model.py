"""From a training script to a decision: the whole flow on made-up data, in a throwaway folder."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import ml_governance as gov

generator = np.random.default_rng(0)
people = pd.DataFrame({"income": generator.normal(3, 1, 4000), "sex": generator.choice(["Female", "Male"], 4000)})
people["repaid"] = (people.income + generator.normal(0, 1, 4000) > 3).astype(int)
train, test = people[:2000], people[2000:].reset_index(drop=True)

with tempfile.TemporaryDirectory() as folder:
    gov.init(Path(folder) / "credit", project="credit", registry="local:models").close()
    workspace = Path(folder) / "credit"

    with gov.open(workspace, signer="author") as ws, ws.training("credit-risk") as run:
        run.uses(train, name="applications-2026q3")
        model = LogisticRegression().fit(train[["income"]], train["repaid"])
        version = run.produces(model, name="credit-risk")

    with gov.open(workspace, signer="validator") as ws:
        ws.assess(version, test, y_true="repaid", sensitive_features=["sex"])

    with gov.open(workspace, signer="release-manager") as ws:
        decision = ws.decide(version, stage="production")
        print(decision.explain())
        # The shipped policy also asks for groups of race, which these data do not have: missing evidence blocks.
        assert (decision.result, decision.exit_code) == ("deny", 4)
        ws.report(version, Path(folder) / "report")
