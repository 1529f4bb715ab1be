"""What a deployment adds to a prediction: interleaved calls of the bare model and of the handle, medians and their ratios.

    python benchmarks/operate.py

Nothing here is a test: machines differ, ratios travel better than seconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import ml_governance as gov
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import Person

ROUNDS = 200
BATCH = 1000
POLICY = """
policy: bench
version: 1
stage: production
promote: {roles: [release_manager], not: [author, trainer]}
approvals: [{role: validator, expires: 7d}]
rules:
  - id: BEN-01
    title: Rates were measured
    require: {evidence: fairness, metric: selection_rate_ratio, by: [sex], value_at_least: 0.1}
    on_inconclusive: deny
"""
PEOPLE = (
    Person(id="ada", name="Ada", roles=("author",)),
    Person(id="vera", name="Vera", roles=("validator",)),
    Person(id="rita", name="Rita", roles=("policy_owner",)),
    Person(id="max", name="Max", roles=("release_manager",)),
)


def rows(n: int, seed: int) -> pd.DataFrame:
    """Return applicants: 8 numbers and 4 categories."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({f"number-{i}": generator.normal(0, 1, n) for i in range(8)})
    for i in range(3):
        frame[f"category-{i}"] = generator.choice(["a", "b", "c", "d"], n)
    frame["sex"] = generator.choice(["f", "m"], n)
    frame["label"] = (frame["number-0"] + generator.normal(0, 1, n) > 0).astype(int)
    return frame


def fitted(frame: pd.DataFrame, trees: int):
    """Return a forest on all columns."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    names = [name for name in frame.columns if name.startswith("category") or name == "sex"]
    encoded = make_column_transformer((OneHotEncoder(), names), remainder="passthrough")
    return make_pipeline(encoded, RandomForestClassifier(trees, random_state=0)).fit(
        frame.drop(columns="label"), frame.label
    )


def medians(*calls) -> list[tuple[float, float]]:
    """Return the median milliseconds of each call, by the wall and of this thread, called in turn so that all meet the same machine."""
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, own in zip(calls, times, strict=True):
            began, worked = time.perf_counter(), time.thread_time()
            call()
            own.append((time.perf_counter() - began, time.thread_time() - worked))
    return [(statistics.median(w for w, _ in own) * 1000, statistics.median(c for _, c in own) * 1000) for own in times]


def main() -> None:
    """Serve two models, and time them."""
    with tempfile.TemporaryDirectory() as name:
        home, clock = Path(name), FrozenClock(datetime.now(UTC))
        (home / "pack").mkdir()
        (home / "pack" / "policy.yaml").write_text(POLICY)
        workspace(home / "ws", policy=str(home / "pack"), people=PEOPLE, clock=clock).close()
        train, test = rows(5000, 1), rows(3000, 2)

        def acting(who: str):
            return gov.open(home / "ws", signer=who, clock=clock)

        batch = rows(BATCH, 3).drop(columns="label")
        ids = [f"application-{i}" for i in range(BATCH)]
        for trees in (10, 100):
            with acting("ada") as ws, ws.training("credit") as run:
                run.uses(train, name="train")
                version = run.produces(fitted(train, trees), name="credit")
            with acting("vera") as ws:
                ws.assess(version, test, y_true="label", sensitive_features=["sex"], kinds=["fairness"])
                ws.approve(version, stage="production", reason="benchmark")
            with acting("max") as ws:
                ws.promote(version, stage="production")
                began = time.perf_counter()
                with ws.deployment(version) as scorer:
                    opened = (time.perf_counter() - began) * 1000
                    scorer.predict(batch)
                    bare, served, named = medians(
                        lambda: scorer.model.predict(batch),
                        lambda: scorer.predict(batch),
                        lambda: scorer.predict(batch, ids=ids),
                    )
                    (look,) = medians(scorer.check)
            size = f"{BATCH} rows of {batch.shape[1]} columns"
            print(f"a forest of {trees} trees, {size}; opened in {opened:.0f} ms, a look {look[0]:.2f} ms")
            for what, took in (("bare", bare), ("served", served), ("served, with ids", named)):
                for of, own, base in zip(("wall", "CPU"), took, bare, strict=True):
                    over = own - 1.05 * base
                    print(f"  {what:<18} {of:<5} {own:8.3f} ms   ratio {own / base:6.3f}   beyond 5 %: {over:+7.3f} ms")


if __name__ == "__main__":
    main()
