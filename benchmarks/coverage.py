"""How often intervals hold what they promise, and how wide they are; how often verdicts are wrong.

    python benchmarks/coverage.py [--quick]

Everything is simulated from known rates, so the truth is known. "held" is the share of samples whose 95 % two-sided interval
contains it; the Monte-Carlo error of a share near .95 is .0034 at 4,000 samples (.0097 with --quick). Nothing here is a test;
tests/assess/test_coverage.py is.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.special import ndtri
from scipy.stats import studentized_range

from ml_governance.assess import bounds, family, linearised, verdicts
from ml_governance.assess.cube import Cube
from ml_governance.evidence import intervals

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE


def sampled(generator, rates, sizes, samples):
    """Draw cases of every group."""
    return generator.binomial(sizes, rates, size=(samples, len(rates))).astype(float)


def pairs(k, n):
    """Return the four arrays of all ordered pairs of groups."""
    i, j = np.nonzero(~np.eye(k.shape[1], dtype=bool))
    n = np.broadcast_to(n, k.shape)
    return k[:, i], n[:, i], k[:, j], n[:, j]


def ratio_upper(k1, n1, k2, n2, z):
    """Return Koopman's upper bounds by bisection, infinite where k2 is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        low = np.where(k1 == 0, -25.0, np.log(np.maximum(k1, 0.5) / n1 / (np.maximum(k2, 0.5) / n2)))
        high = low + 40.0
        for _ in range(48):
            middle = (low + high) / 2
            beyond = bounds.score(k1, n1, np.maximum(k2, 0.5), n2, np.exp(middle)) > z
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.where(k2 == 0, np.inf, np.exp(high))


def few(pair, key, how_many):
    """Keep, in every sample, the pairs with the smallest key: the others cannot decide."""
    kept = np.argsort(key, axis=1)[:, :how_many]
    return tuple(np.take_along_axis(one, kept, axis=1) for one in pair)


# --- largest minus smallest ---------------------------------------------------------------------------------


def difference_bounds(k, n, z_each, z_all):
    """Return bounds of largest minus smallest by Newcombe's pairs, as evidence/intervals.py makes them."""
    pair, rates = pairs(k, n), k / n
    gap = rates.max(axis=1) - rates.min(axis=1)
    upper = np.maximum(bounds.newcombe(*pair, z_each)[1].max(axis=1), gap)
    lower = np.where(bounds.sparse(*pair), 0, bounds.newcombe(*pair, z_all)[0]).max(axis=1)
    return np.clip(lower, 0, gap), upper


def ours_difference(k, n):
    groups = k.shape[1]
    return difference_bounds(k, n, -ndtri(ALPHA / 2), -ndtri(ALPHA / 2 / (groups * (groups - 1))))


def sidak_difference(k, n):
    groups = k.shape[1]
    family_alpha = 1 - (1 - ALPHA / 2) ** (1 / (groups * (groups - 1)))
    return difference_bounds(k, n, -ndtri(ALPHA / 2), -ndtri(family_alpha))


def range_difference(k, n):
    """Newcombe's pairs, the lower bound at the quantile of the studentised range."""
    z = studentized_range.ppf(1 - ALPHA / 2, k.shape[1], np.inf) / np.sqrt(2)
    return difference_bounds(k, n, -ndtri(ALPHA / 2), z)


def tukey_difference(k, n):
    """Project Tukey's simultaneous intervals of all differences, on (x + 1) / (n + 2)."""
    k1, n1, k2, n2 = pairs(k, n)
    p, q = (k1 + 1) / (n1 + 2), (k2 + 1) / (n2 + 2)
    half = studentized_range.ppf(CONFIDENCE, k.shape[1], np.inf) / np.sqrt(2)
    half = half * np.sqrt(p * (1 - p) / (n1 + 2) + q * (1 - q) / (n2 + 2))
    return np.maximum((p - q - half).max(axis=1), 0), np.maximum((p - q + half).max(axis=1), 0)


def wilson_difference(k, n):
    """Project Wilson intervals of all groups that hold together (Sidak)."""
    lower, upper = bounds.wilson(k, np.broadcast_to(n, k.shape), -ndtri((1 - CONFIDENCE ** (1 / k.shape[1])) / 2))
    return np.maximum(lower.max(axis=1) - upper.min(axis=1), 0), upper.max(axis=1) - lower.min(axis=1)


def bootstrap_difference(k, n):
    """The percentile bootstrap, which fails: largest minus smallest is not smooth."""
    lower, upper = [], []
    generator = np.random.default_rng(1)
    for one in k[:400]:
        rates = generator.binomial(np.asarray(n, dtype=int), one / n, size=(1000, k.shape[1])) / n
        ends = np.quantile(rates.max(axis=1) - rates.min(axis=1), [ALPHA / 2, 1 - ALPHA / 2])
        lower.append(ends[0])
        upper.append(ends[1])
    return np.array(lower), np.array(upper)


# --- smallest over largest ----------------------------------------------------------------------------------


def ratio_bounds(k, n, z_each, z_all):
    """Return bounds of smallest over largest by Koopman's pairs, as evidence/intervals.py makes them."""
    pair, rates = pairs(k, n), k / n
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(rates.max(axis=1) > 0, rates.min(axis=1) / rates.max(axis=1), np.nan)
        p, q = (pair[0] + 0.5) / (pair[1] + 1), (pair[2] + 0.5) / (pair[3] + 1)
        error = np.sqrt((1 - p) / p / (pair[1] + 1) + (1 - q) / q / (pair[3] + 1))
        rough = np.where(pair[2] > 0, np.log(p / q), np.inf)
        near = few(pair, rough - z_each * error, 8)
        flipped = ratio_upper(near[2], near[3], np.maximum(near[0], 1e-9), near[1], z_each)
        lower = np.where(near[2] == 0, np.inf, np.where(near[0] == 0, 0, 1 / flipped)).min(axis=1)
        telling = np.where(bounds.sparse(*pair), np.inf, rough + z_all * error)
        near = few(pair, telling, 4)
        bound = np.where(bounds.sparse(*near), np.inf, ratio_upper(*near, z_all)).min(axis=1)
    return np.minimum(lower, value), np.maximum(np.minimum(bound, 1), value)


def ours_ratio(k, n):
    groups = k.shape[1]
    return ratio_bounds(k, n, -ndtri(ALPHA / 2), -ndtri(ALPHA / 2 / (groups * (groups - 1))))


def range_ratio(k, n):
    z = studentized_range.ppf(1 - ALPHA / 2, k.shape[1], np.inf) / np.sqrt(2)
    return ratio_bounds(k, n, -ndtri(ALPHA / 2), z)


def wilson_ratio(k, n):
    lower, upper = bounds.wilson(k, np.broadcast_to(n, k.shape), -ndtri((1 - CONFIDENCE ** (1 / k.shape[1])) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return lower.min(axis=1) / upper.max(axis=1), np.minimum(upper.min(axis=1) / lower.max(axis=1), 1)


def bootstrap_ratio(k, n):
    lower, upper = [], []
    generator = np.random.default_rng(1)
    for one in k[:400]:
        rates = generator.binomial(np.asarray(n, dtype=int), one / n, size=(1000, k.shape[1])) / n
        rates = rates[rates.max(axis=1) > 0]
        if not len(rates):
            lower.append(np.nan)
            upper.append(np.nan)
            continue
        ends = np.quantile(rates.min(axis=1) / rates.max(axis=1), [ALPHA / 2, 1 - ALPHA / 2])
        lower.append(ends[0])
        upper.append(ends[1])
    return np.array(lower), np.array(upper)


DIFFERENCES = {
    "newcombe-pairs (ours)": ours_difference,
    "newcombe, sidak": sidak_difference,
    "newcombe, range": range_difference,
    "tukey (x+1)/(n+2)": tukey_difference,
    "wilson together": wilson_difference,
    "bootstrap (fails)": bootstrap_difference,
}
RATIOS = {
    "koopman-pairs (ours)": ours_ratio,
    "koopman, range": range_ratio,
    "wilson together": wilson_ratio,
    "bootstrap (fails)": bootstrap_ratio,
}


def true_rates(groups, base, gap):
    """Return rates that lie evenly between a base and a base less the gap."""
    return np.linspace(base, base - gap, groups)


def sizes_of(groups, n, shape):
    """Return sizes: all alike, or each 0.6 times the one before, and at least 10."""
    share = np.ones(groups) if shape == "even" else 0.6 ** np.arange(groups)
    return np.maximum((n * share / share.sum()).astype(int), 10)


def extremes(samples):
    """Print coverage and width of every method for largest against smallest."""
    print("\nLARGEST AGAINST SMALLEST: share held / mean width, over sizes alike and unlike (0.6 each)\n")
    for title, methods in (("difference", DIFFERENCES), ("ratio", RATIOS)):
        print(f"{title:<10}" + "".join(f"{name:>24}" for name in methods))
        low, width = {name: [] for name in methods}, {name: [] for name in methods}
        for groups in (2, 3, 5, 8, 12):
            for n in (200, 1_000, 20_000, 1_000_000):
                for base, gap in ((0.3, 0.0), (0.3, 0.05), (0.3, 0.2), (0.05, 0.0), (0.05, 0.02), (0.9, 0.1)):
                    cells = []
                    rates = true_rates(groups, base, gap)
                    truth = gap if title == "difference" else rates.min() / rates.max()
                    for name, method in methods.items():
                        held, wide = [], []
                        for shape in ("even", "unlike"):
                            sizes = sizes_of(groups, n, shape)
                            k = sampled(np.random.default_rng(7), rates, sizes, samples)
                            lower, upper = method(k, sizes)
                            known = np.isfinite(lower) & np.isfinite(upper)
                            inside = (lower <= truth + 1e-12) & (upper >= truth - 1e-12)
                            held.append(float(inside[known].mean()))
                            wide.append(float((upper - lower)[known].mean()))
                        low[name].append(min(held))
                        width[name].append(float(np.mean(wide)))
                        cells.append(f"{min(held):>14.3f} / {np.mean(wide):.4f}")
                    print(f"{groups:>2} {n:>9,} {base:.2f}-{gap:.2f}".ljust(22) + " ".join(f"{c:>22}" for c in cells))
        print(
            f"{'lowest / mean':<22}"
            + " ".join(f"{min(low[m]):>13.3f} / {np.mean(width[m]):.4f}".rjust(22) for m in methods)
        )
        print()


# --- against all rows, families, weights --------------------------------------------------------------------


def cube_of(counts, weights=None, squares=None):
    """Return a cube by one attribute."""
    levels = tuple(f"g{i:02d}" for i in range(len(counts)))
    return Cube(attributes=("group",), levels=(levels,), counts=counts, weights=weights, squares=squares)


def table_of(rates, share, n, generator, base_rate=0.4):
    """Draw a cube of groups with these selection rates."""
    cells = np.array(
        [[(1 - base_rate) * (1 - p), (1 - base_rate) * p, base_rate * (1 - p), base_rate * p] for p in rates]
    )
    return generator.multinomial(n, (cells * share[:, None]).ravel()).reshape(len(rates), 2, 2)


def against_all(samples):
    """Print coverage of group minus and over all rows, and how often a whole family holds."""
    print("\nAGAINST ALL ROWS: share held by each interval (naive: group and all rows taken as independent)\n")
    print(f"{'groups':>6} {'n':>7} {'gap':>5} {'difference':>11} {'ratio':>7} {'naive':>7}")
    for groups, n, gap in (
        (2, 500, 0.0),
        (2, 2_000, 0.3),
        (2, 2_000, 0.5),
        (5, 2_000, 0.0),
        (5, 2_000, 0.3),
        (12, 20_000, 0.1),
    ):
        rates, share = true_rates(groups, 0.6, gap), np.full(groups, 1 / groups)
        overall = float((rates * share).sum())
        held = np.zeros(3)
        generator = np.random.default_rng(3)
        for _ in range(samples):
            counts = table_of(rates, share, n, generator)
            for at, form in enumerate(("difference", "ratio")):
                one = family.family(cube_of(counts), ["selection_rate"], [("group",)], "overall", form)[0].number
                low, high = one.bounds(CONFIDENCE, "two-sided")
                truth = rates[0] - overall if form == "difference" else rates[0] / overall
                held[at] += low <= truth <= high
            k, m = counts[..., 1].sum(axis=-1), counts.sum(axis=(-1, -2))
            low, high = intervals.difference(k[0], m[0], k.sum(), m.sum(), confidence=CONFIDENCE, sides="two-sided")
            held[2] += low <= rates[0] - overall <= high
        held /= samples
        print(f"{groups:>6} {n:>7,} {gap:>5.2f} {held[0]:>11.3f} {held[1]:>7.3f} {held[2]:>7.3f}")

    print("\nFAMILIES: share of samples in which all intervals hold / mean width\n")
    print(f"{'family':<44}" + "".join(f"{method:>18}" for method in ("none", "bonferroni", "sidak", "max-t")))
    for groups, against, metrics in (
        (5, "overall", ["selection_rate"]),
        (5, {"group": "g00"}, ["selection_rate"]),
        (8, "overall", ["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"]),
    ):
        rates, share = np.full(groups, 0.3), np.full(groups, 1 / groups)
        made = {method: [0, 0.0] for method in ("none", "bonferroni", "sidak", "max-t")}
        generator = np.random.default_rng(5)
        rounds = max(samples // 4, 200)
        for _ in range(rounds):
            cube = cube_of(table_of(rates, share, 3_000, generator))
            members = family.family(cube, metrics, [("group",)], against)
            for method, sums in made.items():
                found = family.together(cube, members, method=method, confidence=CONFIDENCE, min_group_size=1, seed=0)
                ends = [(one.intervals[0].lower, one.intervals[0].upper) for one in found]
                sums[0] += all(low <= 0 <= high for low, high in ends)
                sums[1] += float(np.mean([high - low for low, high in ends]))
        name = f"{groups} groups against {'all' if against == 'overall' else 'one'}, {len(metrics)} rates"
        print(f"{name:<44}" + "".join(f"{held / rounds:>10.3f} / {wide / rounds:.3f}" for held, wide in made.values()))


def weighted(samples):
    """Print coverage of weighted rates and of their difference."""
    print("\nWEIGHTED RATES: log-normal weights of deviation s, times e^t where selected; share held / mean width\n")
    print(f"{'n':>6} {'rate':>5} {'s':>4} {'t':>5} {'effective (ours)':>18} {'Kish':>16} {'two groups (ours)':>18}")
    for n in (100, 500, 2_000):
        for rate in (0.1, 0.3, 0.7):
            for s, t in ((0.3, 0.0), (0.7, 0.0), (0.7, 0.7), (1.0, -0.7)):
                generator = np.random.default_rng(11)
                sums = [np.zeros((samples, 2, 2, 2)) for _ in range(3)]
                for group in range(2):
                    y = generator.random((samples, n)) < rate
                    w = np.exp(generator.normal(0, s, (samples, n)) + t * y)
                    for at, values in enumerate((np.ones_like(w), w, w * w)):
                        sums[at][:, group, 0, 1] = (values * y).sum(axis=1)
                        sums[at][:, group, 0, 0] = (values * ~y).sum(axis=1)
                counts, weights, squares = sums
                truth = rate * np.exp(t) / (rate * np.exp(t) + 1 - rate)
                k, m = linearised.effective_counts("selection_rate", counts, weights, squares)
                z = -ndtri(ALPHA / 2)
                low, high = bounds.wilson(k[:, 0], m[:, 0], z)
                whole = weights[:, 0].sum(axis=(-1, -2))
                kish = whole**2 / squares[:, 0].sum(axis=(-1, -2))
                other = bounds.wilson(k[:, 0] / m[:, 0] * kish, kish, z)
                gap = bounds.newcombe(k[:, 0], m[:, 0], k[:, 1], m[:, 1], z)
                cells = [
                    f"{((one <= true) & (two >= true)).mean():.3f} / {(two - one).mean():.3f}"
                    for one, two, true in ((low, high, truth), (*other, truth), (*gap, 0.0))
                ]
                print(f"{n:>6,} {rate:>5.2f} {s:>4.1f} {t:>5.1f} {cells[0]:>18} {cells[1]:>16} {cells[2]:>18}")


# --- verdicts -----------------------------------------------------------------------------------------------


def errors(samples):
    """Print how often a gate is wrong."""
    print("\nVERDICTS, one-sided 95 %: ratio at least 0.8; share of samples that pass / fail / are inconclusive\n")
    print(f"{'groups':>6} {'n':>9} {'truth: equal':>24} {'truth: 0.8 (the bound)':>26} {'truth: 0.6':>24}")
    for groups in (2, 3, 5, 12):
        for n in (200, 1_000, 5_000, 50_000, 1_000_000):
            cells = []
            for ratio in (1.0, 0.8, 0.6):
                rates = np.full(groups, 0.3)
                rates[-1] *= ratio
                sizes = sizes_of(groups, n, "even")
                k = sampled(np.random.default_rng(13), rates, sizes, samples)
                found = verdicts.judge(k, sizes, form="ratio", bound=0.8, confidence=CONFIDENCE, sides="one-sided")
                yes, no = found.passed.mean(), found.failed.mean()
                cells.append(f"{yes:.3f} / {no:.3f} / {1 - yes - no:.3f}")
            print(f"{groups:>6} {n:>9,} {cells[0]:>24} {cells[1]:>26} {cells[2]:>24}")
    print("\nAt the bound both pass and fail are errors: each may be at most 0.05. Between equal groups a fail is one.")


def main() -> None:
    """Run all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples: a few minutes")
    samples = 500 if parser.parse_args().quick else 4_000
    began = time.perf_counter()
    extremes(samples)
    against_all(samples)
    weighted(samples)
    errors(max(samples, 2_000))
    print(f"\n{samples:,} samples each, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
