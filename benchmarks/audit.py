"""CPU seconds of an audit of a million rows of thirty columns, by kind and model, beside the sum of the separate calls.

    python benchmarks/audit.py [rows] [--models boosted xgboost logistic] [--alone] [--profile KIND] [--kinds KIND ...]

The models are what credit is scored with: boosted trees behind a ``ColumnTransformer`` of scaled numbers and one-hot categories, XGBoost
on numbers, and a logistic regression behind the same preparation, each fitted to 100,000 rows; as many training rows as rows are
compared with. Everything is measured by groups of two sensitive columns. Seconds are processor seconds of all threads of this process;
those on the wall are shown besides, and mean something only on a machine that does nothing else. The peak is the memory of the process,
the two tables included.
"""

from __future__ import annotations

import argparse
import cProfile
import math
import pstats
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

import ml_governance as gov  # noqa: E402
from ml_governance.assess.audit import KINDS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBERS = [*(f"x{at}" for at in range(14)), *(f"i{at}" for at in range(8))]
CATEGORIES = [f"c{at}" for at in range(5)]
BY = ["sex", "race"]
FITTED = 100_000


def table(n: int, seed: int) -> pd.DataFrame:
    """Return thirty columns: 14 of many values, 8 whole numbers, 5 categories, two sensitive ones and a label."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{at}": random.normal(size=n) for at in range(14)}
    columns |= {f"i{at}": random.integers(0, 50, n) for at in range(8)}
    columns |= {name: random.choice(list("abcdefgh"), n) for name in CATEGORIES}
    columns["sex"] = random.choice(["Female", "Male"], n)
    columns["race"] = random.choice(list("ABCDE"), n, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    y = columns["x0"] + columns["x1"] * columns["x2"] + columns["i0"] / 25 + random.normal(size=n) > 1
    return pd.DataFrame(columns).assign(y=y.astype(int))


def prepared(last: Any) -> Any:
    """Return a model behind scaled numbers and one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = [
        ("numbers", StandardScaler(), NUMBERS),
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
    ]
    return make_pipeline(ColumnTransformer(parts), last)


def boosted(train: pd.DataFrame) -> tuple[Any, list[str]]:
    """Return histogram boosted trees behind a preparation."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = NUMBERS + CATEGORIES
    return prepared(HistGradientBoostingClassifier(max_iter=60, random_state=0)).fit(train[columns], train.y), columns


def xgboost(train: pd.DataFrame) -> tuple[Any, list[str]]:
    """Return XGBoost's trees on numbers."""
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=100, max_depth=6, random_state=0, n_jobs=2)
    return model.fit(train[NUMBERS], train.y), NUMBERS


def logistic(train: pd.DataFrame) -> tuple[Any, list[str]]:
    """Return a logistic regression behind a preparation."""
    from sklearn.linear_model import LogisticRegression

    columns = NUMBERS + CATEGORIES
    return prepared(LogisticRegression()).fit(train[columns], train.y), columns


MODELS = {"boosted": boosted, "xgboost": xgboost, "logistic": logistic}


def separate(
    model: Any, columns: Sequence[str], rows: pd.DataFrame, train: pd.DataFrame
) -> dict[str, Callable[[], Any]]:
    """Return what one would call one after the other, each predicting what it needs, as much of it as the audit measures."""
    features = rows[[*columns]]
    common = {"sensitive_features": rows[BY]}

    def predicted() -> dict[str, Any]:
        return {"y_true": rows.y, "y_pred": model.predict(features), "y_score": model.predict_proba(features)[:, 1]}

    def privacy() -> Any:
        both = pd.concat([train[:20_000], rows[:20_000]], ignore_index=True)
        return gov.assess_privacy(
            member=np.arange(len(both)) < len(train[:20_000]), y_true=both.y,
            y_score=model.predict_proba(both[[*columns]])[:, 1], sensitive_features=both[BY],
        )  # fmt: skip

    return {
        "performance": lambda: gov.assess_performance(**predicted(), **common, slice_by=rows.drop(columns="y")),
        "fairness": lambda: gov.assess_fairness(**predicted(), **common),
        "explanation": lambda: gov.assess_explanation(
            model, rows=features, background=train[[*columns]].sample(100, random_state=0), **common
        ),
        "robustness": lambda: gov.assess_robustness(
            model, rows=rows.drop(columns="y"), y_true=rows.y, max_rows=20_000, **common
        ),
        "data-quality": lambda: gov.assess_data(rows, y_true="y", sensitive_features=BY, training=train),
        "privacy": privacy,
        "security-scan": lambda: gov.scan_artifact(__file__),
    }


def timed(call: Callable[[], Any], *, profiled: bool) -> tuple[float, Any]:
    """Return CPU seconds of a call, and what it returned."""
    profile = cProfile.Profile()
    begin = time.process_time()
    made = profile.runcall(call) if profiled else call()
    took = time.process_time() - begin
    if profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    return took, made


def measured(name: str, rows: pd.DataFrame, train: pd.DataFrame, given: argparse.Namespace) -> dict[str, float]:
    """Audit one model, and return CPU seconds by what took them."""
    model, columns = MODELS[name](train[:FITTED])
    wall = time.perf_counter()
    took, found = timed(
        lambda: gov.audit(
            model, rows, "y", sensitive_features=BY, train=train, artifact=__file__, kinds=given.kinds, clock=time.process_time
        ),
        profiled=given.profile == "audit",
    )  # fmt: skip
    wall = time.perf_counter() - wall
    begin = time.process_time()
    _ = found.dataset
    seconds = {**found.seconds, "digest": time.process_time() - begin, "all": took, "on the wall": wall}
    for kind, one in found.unmeasured.items():
        print(f"  {name}: {kind} was not measured: {one.reason}")
    if given.alone or given.profile in given.kinds:
        own = separate(model, columns, rows, train)
        alone = {
            kind: timed(own[kind], profiled=given.profile == kind)[0]
            for kind in given.kinds
            if given.alone or given.profile == kind
        }
        seconds |= {f"{kind}, alone": one for kind, one in alone.items()}
        if given.alone:
            seconds |= {"sum of those alone": sum(alone.values()), "ratio to the sum": took / sum(alone.values())}
    return seconds


def main() -> None:
    """Print what each kind takes, in the audit and by itself."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("rows", nargs="?", type=int, default=1_000_000)
    asked.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked.add_argument("--alone", action="store_true", help="time the separate calls as well")
    asked.add_argument("--profile", metavar="KIND", help="a kind by itself, or audit")
    given = asked.parse_args()
    rows, train = table(given.rows, 0), table(given.rows, 1)
    found = {name: measured(name, rows, train, given) for name in given.models}
    print(f"{given.rows:,} rows x {rows.shape[1]} columns, CPU seconds")
    print(f"  {'':28}" + "".join(f"{name:>10}" for name in found))
    for line in dict.fromkeys(line for one in found.values() for line in one):
        print(f"  {line:28}" + "".join(f"{one.get(line, math.nan):10.2f}" for one in found.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"  peak of the process: {peak:.2f} GiB; the two tables: {sum(_gib(one) for one in (rows, train)):.2f} GiB")


def _gib(frame: pd.DataFrame) -> float:
    return float(frame.memory_usage(deep=True).sum()) / (1 << 30)


if __name__ == "__main__":
    main()
