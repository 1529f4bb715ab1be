"""CPU seconds of an audit of a million rows of thirty columns, by kind, beside the sum of the separate calls.

    python benchmarks/audit.py [rows] [--alone] [--profile KIND]

The model is boosted trees on 22 columns of numbers, trained on as many rows as are audited. Everything is measured by groups of two
sensitive columns. Processor seconds of all threads of this process; seconds on the wall are shown besides, and mean something only
on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
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


def timed(call: Callable[[], Any], *, profiled: bool) -> tuple[float, Any]:
    """Return CPU seconds of a call, and what it returned."""
    profile = cProfile.Profile()
    begin = time.process_time()
    made = profile.runcall(call) if profiled else call()
    took = time.process_time() - begin
    if profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    return took, made


def main() -> None:
    """Print what each kind takes, in the audit and by itself."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("rows", nargs="?", type=int, default=1_000_000)
    asked.add_argument("--alone", action="store_true", help="time the separate calls as well")
    asked.add_argument("--profile", metavar="KIND", help="a kind by itself, or audit")
    given = asked.parse_args()
    n = given.rows
    rows, train = table(n, 0), table(n, 1)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(train[NUMBERS][:100_000], train.y[:100_000])
    wall = time.perf_counter()
    took, found = timed(
        lambda: gov.audit(
            model, rows, "y", sensitive_features=BY, train=train, artifact=__file__, clock=time.process_time
        ),
        profiled=given.profile == "audit",
    )
    wall = time.perf_counter() - wall
    print(f"{n:,} rows x {rows.shape[1]} columns: {took:.1f} CPU seconds, {wall:.1f} on the wall")
    print(f"  {'':16}{'audit':>8}{'alone':>8}")
    alone: dict[str, float] = {}
    for name, call in separate(model, rows, train).items():
        if given.alone or given.profile == name:
            alone[name] = timed(call, profiled=given.profile == name)[0]
    for name, seconds in found.seconds.items():
        print(f"  {name:16}{seconds:8.1f}{alone.get(name, float('nan')):8.1f}")
    begin = time.process_time()
    _ = found.dataset
    print(f"  {'digest':16}{time.process_time() - begin:8.1f}{len(alone) * (time.process_time() - begin):8.1f}")
    if alone:
        print(f"  {'sum':16}{sum(found.seconds.values()):8.1f}{sum(alone.values()):8.1f}")


if __name__ == "__main__":
    main()
