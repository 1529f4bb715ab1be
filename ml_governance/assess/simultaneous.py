"""Many intervals or tests at once: levels that hold for a whole family, and flags that account for it.

A family is what somebody looks at together, fixed before the numbers are known. Intervals at a simultaneous level all hold
together with the stated confidence. Sources: Sidak, JASA 62 (1967) 626; Hothorn, Bretz and Westfall, Biometrical Journal 50
(2008) 346, for max-t; Holm, Scandinavian Journal of Statistics 6 (1979) 65; Benjamini and Hochberg, JRSS B 57 (1995) 289.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.evidence.intervals import Sides

Simultaneous = Literal["none", "bonferroni", "sidak", "max-t"]
Adjustment = Literal["holm", "fdr_bh"]
DRAWS = 20_000


def level(
    method: Simultaneous,
    size: int,
    *,
    confidence: float,
    sides: Sides,
    correlation: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> float:
    """Return the confidence of each interval, so that all of a family hold together.

    Parameters
    ----------
    method : {'none', 'bonferroni', 'sidak', 'max-t'}
        ``bonferroni`` holds always. ``sidak`` holds for two-sided intervals of jointly normal estimates, and is taken as
        ``bonferroni`` for one-sided ones, which may depend on each other negatively. ``max-t`` takes the
        quantile of the largest absolute standardised error (for one-sided: of the largest), from `DRAWS` draws of a
        normal distribution with the estimates' own correlation, rounded up by two standard errors of the simulation.
    size : int
        How many intervals the family has, 1 or more.
    confidence : float in (0, 1)
        Of the family.
    sides : {'two-sided', 'one-sided'}
        What the confidence means; see :mod:`ml_governance.evidence.intervals`.
    correlation : array of float64, shape (size, size), optional
        Of the estimates; needed for ``max-t``.
    seed : int, default 0
        Of the draws.

    Raises
    ------
    DataError
        If the method is unknown, the family is empty, or ``max-t`` comes without a correlation.
    """
    if size < 1:
        raise DataError("the family is empty", expected="one comparison or more")
    alpha = 1 - confidence
    bonferroni = 1 - alpha / size
    if method == "none" or size == 1:
        return confidence
    if method == "bonferroni":
        return bonferroni
    if method == "sidak":
        return float(confidence ** (1 / size)) if sides == "two-sided" else bonferroni
    if method != "max-t":
        raise DataError(f"{method!r} is no way to hold a family together", expected="bonferroni, sidak, max-t or none")
    if correlation is None or correlation.shape != (size, size):
        raise DataError("max-t needs the correlation of the estimates", expected=f"an array of {size} x {size}")
    critical = _largest(correlation, confidence, sides, seed)
    tail = 1 - NormalDist().cdf(critical)
    return min(1 - (2 * tail if sides == "two-sided" else tail), bonferroni)


def _largest(correlation: NDArray[np.float64], confidence: float, sides: Sides, seed: int) -> float:
    """Return the quantile of the largest of correlated standard normal errors."""
    values, vectors = np.linalg.eigh(correlation)
    kept = values > 1e-10 * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    errors = np.random.default_rng(seed).standard_normal((DRAWS, int(kept.sum()))) @ root.T
    largest = np.sort((np.abs(errors) if sides == "two-sided" else errors).max(axis=1))
    rank = DRAWS * confidence + 2 * math.sqrt(DRAWS * confidence * (1 - confidence))
    return float(largest[min(math.ceil(rank), DRAWS) - 1])


def adjusted(p_values: Sequence[float], method: Adjustment) -> list[float]:
    """Return p-values adjusted for how many there are.

    Parameters
    ----------
    p_values : sequence of float in [0, 1]
        Of one family.
    method : {'holm', 'fdr_bh'}
        ``holm``: flagging what is at most alpha flags anything at all by mistake with probability alpha or less, however
        the tests depend on each other. ``fdr_bh``: of what is flagged, a share of alpha or less is a mistake on average, if
        the tests are independent or positively dependent; this is for looking, not for a verdict.

    Raises
    ------
    DataError
        If the method is unknown, or a p-value is none.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise DataError(f"{min(p_values)} to {max(p_values)} are no p-values", expected="numbers from 0 to 1")
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    made = [0.0] * len(order)
    if method == "holm":
        running = 0.0
        for place, at in enumerate(order):
            running = max(running, (len(order) - place) * p_values[at])
            made[at] = min(1.0, running)
    elif method == "fdr_bh":
        running = 1.0
        for place, at in reversed(list(enumerate(order, start=1))):
            running = min(running, len(order) / place * p_values[at])
            made[at] = running
    else:
        raise DataError(f"{method!r} is no way to adjust p-values", expected="holm or fdr_bh")
    return made
