"""CPU seconds of an audit of a million rows of thirty columns, by kind, beside the sum of the separate calls.

    python benchmarks/audit.py [rows] [--profile KIND]

The model is boosted trees on 22 columns of numbers, trained on as many rows as are audited. Everything is measured by groups of two
sensitive columns. Processor seconds of all threads of this process; seconds on the wall are shown besides, and mean something only
on a machine that does nothing else.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

import ml_governance as gov  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = [*(f"x{at}" for at in range(14)), *(f"i{at}" for at in range(8))]
BY = ["sex", "race"]


def table(n: int, seed: int) -> pd.DataFrame:
    """Return thirty columns: 14 of many values, 8 whole numbers, 5 categories, two sensitive ones and a label."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{at}": random.normal(size=n) for at in range(14)}
    columns |= {f"i{at}": random.integers(0, 50, n) for at in range(8)}
    columns |= {f"c{at}": random.choice(list("abcdefgh"), n) for at in range(5)}
    columns["sex"] = random.choice(["Female", "Male"], n)
    columns["race"] = random.choice(list("ABCDE"), n, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    y = columns["x0"] + columns["x1"] * columns["x2"] + columns["i0"] / 25 + random.normal(size=n) > 1
    return pd.DataFrame(columns).assign(y=y.astype(int))


def separate(model: Any, rows: pd.DataFrame, train: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return what one would call one after the other, each predicting what it needs."""
    features = rows[NUMBERS]

    def performance() -> Any:
        return gov.assess_performance(
            y_true=rows.y, y_pred=model.predict(features), y_score=model.predict_proba(features)[:, 1],
            sensitive_features=rows[BY], slice_by=rows.drop(columns="y"),
        )  # fmt: skip

    def fairness() -> Any:
        return gov.assess_fairness(
            y_true=rows.y, y_pred=model.predict(features), y_score=model.predict_proba(features)[:, 1],
            sensitive_features=rows[BY],
        )  # fmt: skip

    def explanation() -> Any:
        return gov.assess_explanation(
            model, rows=features, background=features.sample(100, random_state=0), sensitive_features=rows[BY]
        )

    def robustness() -> Any:
        return gov.assess_robustness(model, rows=rows.drop(columns="y"), y_true=rows.y, sensitive_features=rows[BY])

    def quality() -> Any:
        return gov.assess_data(rows, y_true="y", sensitive_features=BY, training=train)

    def privacy() -> Any:
        both = pd.concat([train, rows], ignore_index=True)
        return gov.assess_privacy(
            member=np.arange(len(both)) < len(train), y_true=both.y, y_score=model.predict_proba(both[NUMBERS])[:, 1],
            sensitive_features=both[BY],
        )  # fmt: skip

    return {
        "performance": performance, "fairness": fairness, "explanation": explanation, "robustness": robustness,
        "data-quality": quality, "privacy": privacy,
    }  # fmt: skip


def timed(call: Callable[[], Any], *, profiled: bool = False) -> tuple[float, float, Any]:
    """Return CPU and wall seconds of a call and of the digest of its rows, and what it returned."""
    profile = cProfile.Profile()
    cpu, wall = time.process_time(), time.perf_counter()
    if profiled:
        profile.enable()
    made = call()
    if isinstance(made, gov.Report if hasattr(gov, "Report") else ()):
        made.inputs()
    profile.disable()
    if profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    return time.process_time() - cpu, time.perf_counter() - wall, made


def main() -> None:
    """Print what each kind takes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    n = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 1_000_000
    wanted = sys.argv[sys.argv.index("--profile") + 1] if "--profile" in sys.argv else None
    rows, train = table(n, 0), table(n, 1)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(train[NUMBERS][:100_000], train.y[:100_000])
    for name, call in separate(model, rows, train).items():
        if wanted in (None, name):
            cpu, wall, _ = timed(call, profiled=wanted == name)
            print(f"{name:14} {cpu:7.1f} cpu {wall:7.1f} wall", flush=True)


if __name__ == "__main__":
    main()
