"""Two steps of one pipeline: they share a parent and hand on a table by digest, so that lineage is one graph."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import ml_governance as gov

generator = np.random.default_rng(0)
raw = pd.DataFrame({"income": generator.normal(3, 1, 500)})
raw["repaid"] = (raw.income + generator.normal(0, 1, 500) > 3).astype(int)

with tempfile.TemporaryDirectory() as folder:
    gov.init(Path(folder) / "credit", project="credit", registry="local:models").close()
    with gov.open(Path(folder) / "credit", signer="author") as ws:
        with ws.training("credit-risk") as pipeline:
            with pipeline.step("features") as step:
                step.uses(raw, name="applications-2026q3")
                features = raw.assign(log_income=np.log1p(raw.income.clip(lower=0)))
                written = step.writes(features, name="features")
            with pipeline.step("fit") as step:
                step.uses(features, name=written)  # refused if it is not exactly what the first step wrote
                model = LogisticRegression().fit(features[["log_income"]], features["repaid"])
                version = step.produces(model, name="credit-risk")
        graph = ws.lineage(version)
        print([node.label for node in graph.nodes if node.layer in ("data", "run", "model")])
        assert {node.label for node in graph.nodes if node.layer == "data"} == {"applications-2026q3", "features"}
