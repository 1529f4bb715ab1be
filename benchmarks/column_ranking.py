"""How often a ranking of columns is wrong, and how many rows it needs, beside a sample of a fixed size.

    python benchmarks/column_ranking.py [--rows 200000] [--trials 100]

Attributions of a gradient boosting on 30 columns are computed for all rows once; each trial then draws from them. ``wrong`` is a trial in
which anything said at any look is not so for all rows. The second population has a column that is silent but for one row in 2,000, where
it decides everything: its importance is the largest. The fixed sample takes its ten largest means for the top ten. The intervals
by the normal distribution are the same looks with z quantiles at the same share of the error: what assuming it would cost.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from pathlib import Path
from statistics import NormalDist, median

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

from ml_governance.assess import column_ranking, tree_explanation  # noqa: E402
from ml_governance.assess.tree_kernel import TreeKernel  # noqa: E402

TOP = 10


def population(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the absolute attributions of all rows, and what none can exceed."""
    random = np.random.default_rng(0)
    table = random.normal(size=(rows, 30))
    drive = table[:, 0] * table[:, 1] + 0.6 * table[:, 2:14] @ np.geomspace(1, 0.1, 12) + np.sin(table[:, 14])
    y = (drive + random.normal(0, 0.5, rows) > 0).astype(int)
    model = HistGradientBoostingClassifier().fit(table[:20_000], y[:20_000])
    kernel = TreeKernel.of(tree_explanation.read(model, "margin"), background=table[:1000])
    low, high = kernel.reach()
    return np.abs(kernel.values(table)[:, :, -1]), np.maximum(-low, high)[:, -1]


def normal(variance: np.ndarray, _reach: np.ndarray, log: float, n: int) -> np.ndarray:
    """Return half widths by the normal distribution at the same error, without the range."""
    return NormalDist().inv_cdf(1 - math.exp(-log)) * np.sqrt(variance / n)


def trial(absolute: np.ndarray, reach: np.ndarray, tie: float, random: np.random.Generator) -> tuple[bool, int]:
    """Return whether anything said was wrong, and how many rows were drawn."""
    truth, rows = absolute.mean(axis=0), len(absolute)
    gap = truth[:, None] - truth[None, :]
    near = np.abs(gap) <= tie * np.maximum(truth[:, None], truth[None, :])
    seen, size, looks, wrong = column_ranking.Seen.none(len(truth)), column_ranking.FIRST, 0, False
    while size < rows:
        looks += 1
        seen = seen.after(absolute[random.integers(0, rows, size - seen.n)])
        mean, half, relation = seen.judged(reach, 0.05 / (looks * (looks + 1)), tie)
        wrong |= bool(
            (np.abs(mean - truth) > half).any()
            or (gap[relation == "above"] <= 0).any()
            or not near[relation == "tied"].all()
        )
        if column_ranking.settled(mean, relation, TOP):
            return wrong, size
        size *= 2
    return wrong, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--trials", type=int, default=100)
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    plain, reach = population(wanted.rows)
    rare = plain.copy()
    rare[:, -1] = 0.0
    rare[::2000, -1] = 4000 * plain.mean(axis=0).max()
    bernstein = column_ranking.half_width
    for name, absolute in (("as it is", plain), ("with a rare column", rare)):
        bound = np.maximum(reach, absolute.max(axis=0))
        random = np.random.default_rng(1)
        top = set(np.argsort(-absolute.mean(axis=0))[:TOP].tolist())
        hits = sum(
            set(np.argsort(-absolute[random.integers(0, wanted.rows, 1000)].mean(axis=0))[:TOP].tolist()) == top
            for _ in range(wanted.trials)
        )
        print(f"{name}: a sample of 1,000 rows has the top ten in {hits} of {wanted.trials} trials")
        for way, half in (("empirical Bernstein", bernstein), ("normal", normal)):
            column_ranking.half_width = half
            for tie in (0.1, 0.05, 0.02):
                began = time.process_time()
                found = [trial(absolute, bound, tie, random) for _ in range(wanted.trials)]
                spent = (time.process_time() - began) / wanted.trials
                print(
                    f"  {way}, tie {tie:.0%}: wrong in {sum(one for one, _ in found)} of {wanted.trials}, median "
                    f"{median(n for _, n in found):,.0f} rows, all rows in {sum(n == wanted.rows for _, n in found)}, {spent:.2f} s"
                )
        column_ranking.half_width = bernstein


if __name__ == "__main__":
    main()
