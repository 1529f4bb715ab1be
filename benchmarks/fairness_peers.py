"""Time a peer on the same rows; run by fairness.py with an interpreter that has the peer.

    python benchmarks/fairness_peers.py fairlearn|aequitas|aif360 rows.npz rounds

Prints JSON: CPU seconds of each round, the version, and the true positive rate of every group, so that the caller
can see that the same thing was computed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

SEX, RACE = ["Female", "Male"], ["a", "b", "c", "d", "e", "f"]


def fairlearn(codes):
    """Return a call for the six rates of the twelve groups; columns are categories."""
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    names = ("selection_rate", "true_positive_rate", "false_positive_rate", "true_negative_rate", "false_negative_rate")
    rates = {name: getattr(metrics, name) for name in names} | {"accuracy": accuracy_score}
    groups = pd.DataFrame(
        {"sex": pd.Categorical.from_codes(codes["sex"], SEX), "race": pd.Categorical.from_codes(codes["race"], RACE)}
    )
    y, p = codes["y"], codes["p"]

    def call():
        frame = metrics.MetricFrame(metrics=rates, y_true=y, y_pred=p, sensitive_features=groups)
        return frame.by_group["true_positive_rate"].tolist()

    return call


def aequitas(codes):
    """Return a call for the crosstabs of the crossed attribute, made beforehand and as text: aequitas crosses nothing."""
    from aequitas.group import Group

    both = pd.Categorical.from_codes(
        codes["sex"].astype(np.int64) * 6 + codes["race"], [f"{s} {r}" for s in SEX for r in RACE]
    )
    frame = pd.DataFrame({"both": both.astype(object), "score": codes["p"], "label_value": codes["y"]})

    def call():
        table, _ = Group().get_crosstabs(frame, attr_cols=["both"])
        return table.set_index("attribute_value").sort_index()["tpr"].tolist()

    return call


def aif360(codes):
    """Return a call for six rates of twelve groups; AIF360 takes numbers only."""
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import ClassificationMetric

    group = (codes["sex"].astype(np.int64) * 6 + codes["race"]).astype(float)
    frame = pd.DataFrame({"both": group, "y": codes["y"].astype(float)})
    predicted = codes["p"].astype(float)

    def call():
        true = BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["both"])
        other = true.copy()
        other.labels = predicted.reshape(-1, 1)
        found = []
        for code in range(12):
            one = ClassificationMetric(true, other, [{"both": code}], [{"both": g} for g in range(12) if g != code])
            rates = [
                one.selection_rate(privileged=False), one.true_positive_rate(privileged=False),
                one.false_positive_rate(privileged=False), one.true_negative_rate(privileged=False),
                one.false_negative_rate(privileged=False), one.accuracy(privileged=False),
            ]  # fmt: skip
            found.append(float(rates[1]))
        return found

    return call


def main() -> None:
    """Time one peer."""
    warnings.simplefilter("ignore")
    name, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with np.load(path) as arrays:
        codes = dict(arrays)
    call = {"fairlearn": fairlearn, "aequitas": aequitas, "aif360": aif360}[name](codes)
    cpu = []
    for _ in range(rounds):
        began = time.process_time()
        found = call()
        cpu.append(time.process_time() - began)
    print(json.dumps({"version": version(name), "cpu": cpu, "tpr": found}))


if __name__ == "__main__":
    main()
