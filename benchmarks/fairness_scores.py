"""Scores by group beside scikit-learn's loops, and the bootstrap beside fairlearn's.

    python benchmarks/fairness_scores.py [--rows 1000000] [--skip-slow]

Times are medians of CPU seconds (all threads) of one run on one machine; only ratios travel. Twelve groups, of
categories. The loops do group by group what scikit-learn users write: `roc_auc_score`, expected calibration error in
15 bins, and selection rate, TPR and FPR at 200 thresholds, from `confusion_matrix` or, quicker, from means of numpy.
Ours is measured twice: the same three from one pass over the rows (AUC with a bound of its error), and the whole
report with everything else, intervals included. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, roc_auc_score

# numba looks for the package `coverage`, and must not find coverage.py beside this file.
sys.path[:] = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]

from ml_governance import assess_fairness  # noqa: E402
from ml_governance.assess import calibration, histogram, ranks, roc  # noqa: E402

SEX, RACE = ["Female", "Male"], ["a", "b", "c", "d", "e", "f"]
THRESHOLDS = np.arange(200) / 200


def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Return labels, predictions, scores and groups of n rows."""
    random = np.random.default_rng(0)
    score = random.beta(2, 3, n)
    true = (random.random(n) < score).astype(np.int8)
    groups = pd.DataFrame(
        {
            "sex": pd.Categorical.from_codes(random.integers(0, 2, n), SEX),
            "race": pd.Categorical.from_codes(random.integers(0, 6, n), RACE),
        }
    )
    return true, (score > 0.5).astype(np.int8), score, groups


def timed(call, rounds: int) -> tuple[float, object]:
    """Return the median seconds of a call, after one that is not counted, and what it returns."""
    found = call()
    seen = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        seen.append(time.process_time() - began)
    return statistics.median(seen), found


def line(what: str, ours: float, other: str, theirs: float) -> None:
    """Print two medians and how many times ours goes into the other."""
    print(
        f"{what:<44} {ours * 1e3:10.2f} ms   {other:<40} {theirs * 1e3:11.1f} ms   x {theirs / ours:9.1f}", flush=True
    )


def by_means(y, s) -> np.ndarray:
    """Return selection rate, TPR and FPR at the thresholds."""
    return np.array([[(s >= t).mean(), (s[y == 1] >= t).mean(), (s[y == 0] >= t).mean()] for t in THRESHOLDS])


def by_matrices(y, s) -> np.ndarray:
    """Return the same from scikit-learn."""
    found = []
    for t in THRESHOLDS:
        (tn, fp), (fn, tp) = confusion_matrix(y, s >= t, labels=[0, 1])
        found.append([(fp + tp) / len(y), tp / (tp + fn), fp / (fp + tn)])
    return np.array(found)


def loops(true, score, code, sweep) -> dict[int, tuple[float, float, np.ndarray]]:
    """Return AUC, calibration error and a sweep of each group, as users write it."""
    found = {}
    for group in range(12):
        y, s = true[code == group], score[code == group]
        place = np.minimum((s * 15).astype(int), 14)
        n, observed, expected = (np.bincount(place, weights=w, minlength=15) for w in (None, y, s))
        error = float(np.abs(observed - expected).sum() / n.sum())
        found[group] = float(roc_auc_score(y, s)), error, sweep(y, s)
    return found


def counted(true, score, sensitive) -> dict[int, tuple[float, float, np.ndarray]]:
    """Return the same from one pass."""
    cube = histogram.count_scores(true, score, sensitive)
    swept = roc.sweep(cube)
    found = {}
    for place, (_, one) in enumerate(cube.groups()):
        curves = (swept.selection_rate[place], swept.true_positive_rate[place], swept.false_positive_rate[place])
        found[place] = roc.auc(one).value, calibration.calibration(one).ece, np.array(curves).T
    return found


def scores(n: int) -> None:
    """Compare scores by group."""
    true, predicted, score, groups = rows(n)
    own = {name: groups[name].cat.codes.to_numpy() for name in groups}
    code = own["sex"].astype(np.int64) * 6 + own["race"]
    sensitive = {"sex": (own["sex"], tuple(SEX)), "race": (own["race"], tuple(RACE))}
    print(f"\n{n:,} rows, 12 groups")
    theirs, expected = timed(lambda: loops(true, score, code, by_matrices), 1)
    quicker, _ = timed(lambda: loops(true, score, code, by_means), 1)
    ours, found = timed(lambda: counted(true, score, sensitive), 9)
    for group, (area, error, swept) in expected.items():
        np.testing.assert_allclose(found[group][0], area, atol=1e-3)
        np.testing.assert_allclose(found[group][1], error, atol=1e-12)
        np.testing.assert_allclose(found[group][2], swept, atol=1e-12)
    line("AUC with its bound, ECE, 200 thresholds", ours, "scikit-learn's loops", theirs)
    line("AUC with its bound, ECE, 200 thresholds", ours, "the same with means of numpy", quicker)
    call = {"y_true": true, "y_pred": predicted, "y_score": score, "sensitive_features": groups}
    whole, _ = timed(lambda: assess_fairness(**call), 7)
    line("the whole report, with intervals", whole, "scikit-learn's loops", theirs)
    exact, found_exact = timed(lambda: ranks.exact_auc(true.astype(np.uint8), score, code, 12), 7)
    areas, _ = timed(lambda: [roc_auc_score(true[code == g], score[code == g]) for g in range(12)], 3)
    np.testing.assert_allclose(found_exact.value, [area for area, _, _ in expected.values()], rtol=0, atol=1e-12)
    line("exact AUC with DeLong's variance", exact, "roc_auc_score by group", areas)


def bootstrap(n: int, *, slow: bool) -> None:
    """Compare what one replicate costs."""
    true, predicted, _, groups = rows(n)
    report = assess_fairness(y_true=true, y_pred=predicted, sensitive_features=groups)
    replicates = 10_000
    ours, _ = timed(lambda: report.bootstrap("f1", by=["sex"], group="Female", replicates=replicates), 5)
    print(f"\n{n:,} rows: the bootstrap, a replicate")
    if not slow:
        print(f"{'ours, on the cube':<44} {ours / replicates * 1e6:10.2f} us; fairlearn left out (--skip-slow)")
        return
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    rates = {name: getattr(metrics, name) for name in ("selection_rate", "true_positive_rate", "false_positive_rate")}
    own, peers = 100, rates | {"accuracy": accuracy_score}
    began = time.process_time()
    metrics.MetricFrame(
        metrics=peers, y_true=true, y_pred=predicted, sensitive_features=groups, n_boot=own, ci_quantiles=[0.025, 0.975],
        random_state=0,
    )  # fmt: skip
    theirs = time.process_time() - began
    line("ours, on the cube", ours / replicates, "fairlearn, on the rows", theirs / own)


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--skip-slow", action="store_true", help="without fairlearn's bootstrap")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    scores(given.rows)
    bootstrap(10_000, slow=not given.skip_slow)


if __name__ == "__main__":
    main()
