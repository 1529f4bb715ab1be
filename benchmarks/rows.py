"""CPU seconds of the quality of a million rows of thirty columns, and of privacy: medians.

    python benchmarks/rows.py [rows] [rounds]

With training data of as many rows; numbers of many values are what costs most, so half of the columns are such.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

import ml_governance as gov  # noqa: E402


def table(n, seed):
    """Return thirty columns: 14 of many values, 8 whole numbers, 5 categories, two sensitive ones and a label."""
    random = np.random.default_rng(seed)
    columns = {f"x{at}": random.normal(size=n) for at in range(14)}
    columns |= {f"i{at}": random.integers(0, 50, n) for at in range(8)}
    columns |= {f"c{at}": random.choice(list("abcdefgh"), n) for at in range(5)}
    columns["sex"] = random.choice(["Female", "Male"], n)
    columns["race"] = random.choice(list("ABCDE"), n, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    return pd.DataFrame(columns).assign(y=random.integers(0, 2, n))


def timed(call, rounds):
    """Return the median CPU seconds of a call."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return statistics.median(found)


def main():
    """Print what each takes."""
    n, rounds = (int(given) for given in (sys.argv[1:] + ["1000000", "3"][len(sys.argv) - 1 :]))
    test, train = table(n, 0), table(n, 1)
    asked = {"y_true": "y", "sensitive_features": ["sex", "race"]}
    random = np.random.default_rng(2)
    member, loss = random.integers(0, 2, n), random.random(n)
    calls = {
        "quality, alone": lambda: gov.assess_data(test, **asked),
        "quality, without sensitive columns": lambda: gov.assess_data(test, y_true="y"),
        "quality, with training data": lambda: gov.assess_data(test, training=train, **asked),
        "membership": lambda: gov.assess_privacy(member=member, loss=loss),
        "anonymity, four quasi-identifiers": lambda: gov.assess_privacy(
            released=test, quasi_identifiers=["sex", "race", "i0", "c0"], confidential=["y"]
        ),
    }
    print(f"{n:,} rows x {test.shape[1]} columns, median CPU seconds of {rounds}")
    for name, call in calls.items():
        print(f"  {name:36} {timed(call, rounds):6.1f}", flush=True)


if __name__ == "__main__":
    main()
