"""Write what AIF360 and aequitas answer on small tables; run by each in an environment of its own.

    python tests/data/make_peers.py aif360 > tests/data/aif360.json
    python tests/data/make_peers.py aequitas > tests/data/aequitas.json

The tables are made here, from seeds: rows by sex, race, label and prediction, and a weight for each such cell. Answers that are no
finite number are written as the words nan, inf and -inf. tests/assess/test_peers.py compares ours with them.
"""

from __future__ import annotations

import json
import logging
import math
import random
import sys
import warnings
from importlib.metadata import version
from typing import Any

SEX, RACE = ("Female", "Male"), ("black", "other", "white")
PRIVILEGED, UNPRIVILEGED = {"sex": "Male"}, {"sex": "Female"}
LICENCES = {"aif360": "Apache-2.0", "aequitas": "MIT"}

Table = dict[tuple[str, str], list[list[float]]]


def tables() -> dict[str, Table]:
    """Return tables by name: of each group the rows tn, fp, fn, tp, and the weight of a row in each."""
    made: dict[str, Table] = {}
    for seed, (name, most) in enumerate({"large": 60, "middle": 20, "small": 4}.items()):
        generator = random.Random(seed)
        made[name] = {
            (sex, race): [
                [generator.randint(1, most) for _ in range(4)],
                [generator.randint(1, 12) / 4 for _ in range(4)],
            ]
            for sex in SEX
            for race in RACE
        }
    base = made["middle"]

    def without(sex: str, *cells: int) -> Table:
        return {
            group: [[0 if group[0] == sex and at in cells else n for at, n in enumerate(rows)], weights]
            for group, (rows, weights) in base.items()
        }

    made["no positive unprivileged"] = without("Female", 2, 3)
    made["no positive privileged"] = without("Male", 2, 3)
    made["nobody privileged selected"] = without("Male", 1, 3)
    made["nobody selected"] = {
        group: [[tn + fp, 0, fn + tp, 0], w] for group, ((tn, fp, fn, tp), w) in base.items()
    }  # fmt: skip
    made["perfect"] = {group: [[tn + fp, 0, 0, fn + tp], w] for group, ((tn, fp, fn, tp), w) in base.items()}
    return made


def rows_of(table: Table) -> list[tuple[str, str, int, int, float]]:
    """Return sex, race, label, prediction and weight of every row."""
    return [
        (sex, race, at // 2, at % 2, weights[at])
        for (sex, race), (counts, weights) in table.items()
        for at in range(4)
        for _ in range(int(counts[at]))
    ]


def written(value: Any) -> float | str:
    """Return a number, or the word for what is none."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def aif360(table: Table, *, weighted: bool) -> dict[str, float | str]:
    """Return the answers of AIF360."""
    import pandas as pd
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import BinaryLabelDatasetMetric, ClassificationMetric

    frame = pd.DataFrame(rows_of(table), columns=["sex", "race", "y", "p", "w"])
    frame["sex"] = (frame.sex == "Male").astype(float)
    frame["race"] = frame.race.map({name: float(code) for code, name in enumerate(RACE)})
    frame["w"] = frame.w if weighted else 1.0

    def dataset(label: str) -> Any:
        return BinaryLabelDataset(
            df=frame[["sex", "race", "w"]].assign(label=frame[label].astype(float)), label_names=["label"],
            protected_attribute_names=["sex", "race"], instance_weights_name="w",
        )  # fmt: skip

    sides = {"unprivileged_groups": [{"sex": 0.0}], "privileged_groups": [{"sex": 1.0}]}
    both = ClassificationMetric(dataset("y"), dataset("p"), **sides)
    names = [
        "statistical_parity_difference", "disparate_impact", "equal_opportunity_difference", "average_odds_difference",
        "average_abs_odds_difference", "theil_index", "generalized_entropy_index",
        "between_all_groups_generalized_entropy_index",
        *(f"{rate}_{form}" for rate in ("false_positive_rate", "false_negative_rate", "false_omission_rate",
                                        "false_discovery_rate", "error_rate") for form in ("difference", "ratio")),
    ]  # fmt: skip
    found = {name: getattr(both, name)() for name in names}
    found["mean_difference"] = BinaryLabelDatasetMetric(dataset("p"), **sides).mean_difference()
    return {name: written(value) for name, value in found.items()}


def aequitas(table: Table, *, weighted: bool) -> dict[str, float | str]:
    """Return the answers of aequitas: rates of every group, each over those of the reference group, and whether it is fair."""
    import pandas as pd
    from aequitas.bias import Bias
    from aequitas.fairness import Fairness
    from aequitas.group import Group

    del weighted  # it knows no weights
    frame = pd.DataFrame(rows_of(table), columns=["sex", "race", "label_value", "score", "w"]).drop(columns="w")
    cross, _ = Group().get_crosstabs(frame, attr_cols=["sex", "race"])
    reference = {"sex": "Male", "race": "white"}
    found = Bias().get_disparity_predefined_groups(
        cross, frame, reference, check_significance=False, mask_significance=False
    )
    rates = ["tpr", "tnr", "for", "fdr", "fpr", "fnr", "npv", "precision", "ppr", "pprev", "prev"]
    judge = Fairness()
    verdict = judge.get_overall_fairness(judge.get_group_attribute_fairness(judge.get_group_value_fairness(found)))
    made: dict[str, float | str] = {f"verdict/{name}": str(fair) for name, fair in verdict.items()}
    for _, row in found.iterrows():
        for rate in rates:
            made[f"{row.attribute_name}/{row.attribute_value}/{rate}"] = written(row[rate])
            if f"{rate}_disparity" in found.columns:
                made[f"{row.attribute_name}/{row.attribute_value}/{rate}_disparity"] = written(row[f"{rate}_disparity"])
    return made


def missing() -> dict[str, int]:
    """Return the groups that aequitas finds, and their rows, where the attribute of every second row is missing."""
    import pandas as pd
    from aequitas.group import Group

    frame = pd.DataFrame({"sex": ["Female", None] * 50, "label_value": [0, 1, 1, 0] * 25, "score": [0, 1] * 50})
    cross, _ = Group().get_crosstabs(frame, attr_cols=["sex"])
    return {str(row.attribute_value): int(row.group_size) for _, row in cross.iterrows()}


def main(package: str) -> None:
    """Print the answers of one package as JSON."""
    answer = {"aif360": aif360, "aequitas": aequitas}[package]
    cases = []
    for name, table in tables().items():
        for weighted in (False, True) if package == "aif360" else (False,):
            cases.append(
                {
                    "table": name, "weighted": weighted, "answers": answer(table, weighted=weighted),
                    "groups": [{"sex": s, "race": r, "rows": n, "weights": w} for (s, r), (n, w) in table.items()],
                }
            )  # fmt: skip
    header = {
        "package": package, "version": version(package), "licence": LICENCES[package],
        "made_by": f"tests/data/make_peers.py {package}", "cells": ["tn", "fp", "fn", "tp"],
    }  # fmt: skip
    more = {"missing": missing()} if package == "aequitas" else {}
    sys.stdout.write(json.dumps({**header, **more, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    main(sys.argv[1])
