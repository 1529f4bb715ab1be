"""How often intervals of numbers that are no rate hold what they promise: scores, regressions, several classes, strata.

    python benchmarks/coverage_numbers.py [--quick]

As benchmarks/coverage.py, which is about rates: the truth is known, 95 % two-sided intervals, and a Monte-Carlo error of .0034 at
4,000 samples (.0097 with --quick). Nothing here is a test; the tests of each module in tests/assess hold smaller ones.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.special import ndtr

from ml_governance.assess import calibration, conditional, macro_averages, ranks, regression, roc
from ml_governance.assess.cube import Cube

CONFIDENCE = 0.95


def _held(truth, draw, samples):
    """Return how often intervals hold the truth, their mean width, and how often there was none, by name."""
    held, width, lacking = (dict.fromkeys(truth, 0.0) for _ in range(3))
    for _ in range(samples):
        for name, bounds in draw().items():
            if bounds is None:
                lacking[name] += 1
                continue
            low, high = bounds
            held[name] += low - 1e-12 <= truth[name] <= high + 1e-12
            width[name] += high - low
    made = {name: max(samples - lacking[name], 1) for name in truth}
    return {name: (held[name] / made[name], width[name] / made[name], lacking[name] / samples) for name in truth}


def scores_of(samples):
    """Print how AUC and Brier score are held: normal scores, and scores that are always the base rate."""
    print("\nSCORES: held / width; rows are all rows, positives a share of them\n")
    print(f"{'rows':>6} {'positive':>8} {'AUC':>6} {'AUC held':>16} {'Brier held, score = base rate':>32}")
    for n, base, effect in ((100, 0.5, 0.0), (200, 0.2, 1.0), (200, 0.1, 3.0), (2_000, 0.02, 3.0), (1_000, 0.3, 2.5)):
        generator, auc = np.random.default_rng(1), float(ndtr(effect / np.sqrt(2)))

        def draw(generator=generator, n=n, base=base, effect=effect):
            y = (generator.random(n) < base).astype(np.uint8)
            value, variance, positive, negative = (
                one[0] for one in ranks.exact_auc(y, ndtr(generator.normal(effect * y.astype(float))))
            )
            bounds = None
            if positive and negative:
                bounds = roc.auc_bounds(float(value), float(variance), positive, negative)[0](CONFIDENCE, "two-sided")
            loss = (base - y.astype(float)) ** 2
            brier = calibration.brier_of(loss, (base - 1 + y.astype(float)) ** 2)
            return {"auc": bounds, "brier": brier.bounds(CONFIDENCE, "two-sided")}

        found = _held({"auc": auc, "brier": base * (1 - base)}, draw, samples)
        cells = [f"{found[name][0]:.3f} / {found[name][1]:.3f}" for name in ("auc", "brier")]
        print(f"{n:>6,} {base:>8.2f} {auc:>6.3f} {cells[0]:>16} {cells[1]:>32}")


def errors_of_regression(samples):
    """Print how errors of a regression are held."""
    print("\nREGRESSION, one group: held / width\n")
    names = ("mean_error", "mean_absolute_error", "root_mean_squared_error", "r2", "mean_pinball_loss")
    print(f"{'errors':>8} {'rows':>6}", *(f"{name:>24}" for name in names))
    shapes = {
        "normal": lambda generator, n: generator.normal(size=n),
        "t6": lambda generator, n: generator.standard_t(6, n) / np.sqrt(1.5),
        "skewed": lambda generator, n: generator.exponential(size=n) - 1,
    }
    for shape, noise in shapes.items():
        far = 0.2 + 0.6 * noise(np.random.default_rng(9), 4_000_000)
        truth = dict(
            zip(
                names,
                (0.2, np.abs(far).mean(), np.sqrt(0.4), 0.6, np.maximum(-0.9 * far, 0.1 * far).mean()),
                strict=True,
            )
        )
        for n in (30, 50, 200, 1_000):
            generator = np.random.default_rng(2)

            def draw(generator=generator, n=n, noise=noise):
                y = generator.normal(size=n)
                ((_, sums),) = regression.add_up(y, y + 0.2 + 0.6 * noise(generator, n), {}).groups(())
                made = {name: regression.number(name, (), sums, weighted=False).bounds for name in names}
                return {name: bounds and bounds(CONFIDENCE, "two-sided") for name, bounds in made.items()}

            found = _held(truth, draw, samples)
            print(f"{shape:>8} {n:>6,}", *(f"{found[name][0]:>16.3f} / {found[name][1]:.3f}" for name in names))


def macro_of_classes(samples):
    """Print how macro averages over three classes are held."""
    print("\nTHREE CLASSES, one group: held / width\n")
    matrices = {
        "even": np.array([[0.25, 0.05, 0.04], [0.03, 0.25, 0.05], [0.03, 0.05, 0.25]]),
        "skewed": np.array([[0.70, 0.05, 0.03], [0.02, 0.08, 0.02], [0.01, 0.02, 0.07]]),
    }
    print(f"{'classes':>8} {'rows':>6}", *(f"{name:>32}" for name in macro_averages.MACRO))
    for shape, matrix in matrices.items():
        p = matrix / matrix.sum()
        hits, sums = p.diagonal(), (p.sum(axis=1), p.sum(axis=0))
        truth = dict(
            zip(
                macro_averages.MACRO,
                ((hits / sums[0]).mean(), (hits / sums[1]).mean(), (2 * hits / sum(sums)).mean()),
                strict=True,
            )
        )
        for n in (90, 400, 2_000):
            generator = np.random.default_rng(3)

            def draw(generator=generator, n=n, p=p):
                counts = generator.multinomial(n, p.ravel()).reshape(3, 3)
                made = {name: one(counts, (), ("a", "b", "c")).bounds for name, one in macro_averages.MACRO.items()}
                return {name: bounds and bounds(CONFIDENCE, "two-sided") for name, bounds in made.items()}

            found = _held(truth, draw, samples)
            print(
                f"{shape:>8} {n:>6,}",
                *(f"{found[name][0]:>24.3f} / {found[name][1]:.3f}" for name in macro_averages.MACRO),
            )


def pooled_strata(samples):
    """Print how differences and ratios within strata are held."""
    print("\nWITHIN STRATA, two and four groups: held / width\n")
    print(f"{'groups':>6} {'strata':>6} {'rows each':>9} {'gap':>5} {'difference':>16} {'ratio':>16}")
    for groups in (2, 4):
        for strata, size in ((4, 60), (40, 6)):
            for gap in (0.0, 0.15):
                generator, n = np.random.default_rng(4), np.full((strata, groups), size)
                base, last = generator.uniform(0.25, 0.6, (strata, 1)), np.arange(groups) == groups - 1
                levels = tuple(tuple(map(str, range(one))) for one in (strata, groups))

                def draw(generator=generator, n=n, base=base, last=last, levels=levels, gap=gap):
                    made = {}
                    for name, p in (("difference", base + gap * last), ("ratio", base * (1 + gap * last))):
                        k = generator.binomial(n, p)
                        counts = np.zeros((*n.shape, 2, 2), dtype=np.int64)
                        counts[..., 0, 1], counts[..., 0, 0] = k, n - k
                        cube = Cube(attributes=("s", "g"), levels=levels, counts=counts)
                        found = conditional.conditional(cube, by=("g",), control=("s",))
                        interval = getattr(found, name).intervals[0]
                        made[name] = (interval.lower, interval.upper)
                    return made

                found = _held({"difference": gap, "ratio": 1 / (1 + gap)}, draw, max(samples // 4, 200))
                cells = [f"{found[name][0]:.3f} / {found[name][1]:.3f}" for name in ("difference", "ratio")]
                print(f"{groups:>6} {strata:>6} {size:>9} {gap:>5.2f} {cells[0]:>16} {cells[1]:>16}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples: a minute")
    samples = 500 if parser.parse_args().quick else 4_000
    began = time.perf_counter()
    for table in (scores_of, errors_of_regression, macro_of_classes, pooled_strata):
        table(samples)
    print(f"\n{samples:,} samples each, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
