"""Rates of many small groups, each drawn towards their common mean as far as the groups are alike: partial pooling.

A group of 12 rows says little by itself; if the other groups hardly differ, their mean says more about it. The beta-binomial
model measures how much they differ and weighs the two. This is an estimate under a model, not a count, and is labelled so:
no gate reads it, and a group that really is an exception is drawn towards the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import SIDES
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.contrasts import Number

METHOD = "beta-binomial-pooled"
DRAWS = 20_000
_MEANS = (np.arange(200) + 0.5) / 200
_SHRINKAGES = (np.arange(100) + 0.5) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """Rates after partial pooling.

    Parameters
    ----------
    mean : float
        Common mean of the groups' true rates.
    prior_rows : float
        How many rows the common mean counts for beside a group's own; large where groups are alike.
    value : array of float64, shape (groups,)
        Posterior means.
    draws : array of float64, shape (DRAWS, groups)
        Draws from the posterior.
    """

    mean: float
    prior_rows: float
    value: NDArray[np.float64]
    draws: NDArray[np.float64] = field(repr=False)


def pool(k: Sequence[float], n: Sequence[float], *, seed: int = 0) -> Pooled:
    """Pool rates partially.

    The true rates are taken as draws of a beta distribution with mean m and size M, so a group's rate is drawn towards m
    with the weight M / (M + n). m and M are not fixed at their most likely values, which would make the intervals too short
    with few groups: they are averaged over by their likelihood, with m uniform and the shrinkage N / (N + M) uniform, N being
    the median n.

    Parameters
    ----------
    k, n : sequence of float, length of groups
        Cases and rows of each group; three groups or more.
    seed : int, default 0
        Of the draws.

    Raises
    ------
    DataError
        With fewer than three groups, or counts that are none.

    Notes
    -----
    Sources: Kleinman, JASA 68 (1973) 46, for the model; Christiansen and Morris, JASA 92 (1997) 618, for the uniform
    shrinkage prior. Groups of the same true rate M -> infinity are pooled fully.
    """
    from scipy.special import betaln

    cases, rows = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if len(cases) < 3:
        raise DataError(f"there are {len(cases)} groups to pool", expected="three or more, to see how much they differ")
    if not ((cases >= 0) & (cases <= rows) & (rows > 0) & np.isfinite(rows)).all():
        raise DataError("some counts are no rates", expected="0 <= k <= n and n > 0 in every group")
    typical = float(np.median(rows))
    sizes = typical * (1 - _SHRINKAGES) / _SHRINKAGES
    a = (_MEANS[:, None] * sizes).ravel()
    b = ((1 - _MEANS)[:, None] * sizes).ravel()
    log = (betaln(a[:, None] + cases, b[:, None] + rows - cases) - betaln(a, b)[:, None]).sum(axis=1)
    weight = np.exp(log - log.max())
    generator = np.random.default_rng(seed)
    at = generator.choice(len(weight), size=DRAWS, p=weight / weight.sum())
    drawn = generator.beta(a[at, None] + cases, b[at, None] + rows - cases)
    # The mean needs no draws: it is linear in each point of the grid.
    means = (a[:, None] + cases) / (a[:, None] + b[:, None] + rows)
    value = (weight[:, None] * means).sum(axis=0) / weight.sum()
    return Pooled(
        mean=float((weight * (a / (a + b))).sum() / weight.sum()),
        prior_rows=float(np.exp((weight * np.log(a + b)).sum() / weight.sum())),
        value=value,
        draws=drawn,
    )


def measure(
    metric: str, by: tuple[str, ...], numbers: Sequence[Number], *, confidence: float, seed: int = 0
) -> tuple[Measurement, ...]:
    """Return pooled rates of all groups, as measurements named ``<metric>_pooled``.

    Parameters
    ----------
    metric : str
        A rate.
    by : tuple of str
        Attributes.
    numbers : sequence of Number
        The rate of every group; a group whose rate is undefined stays so, whatever the model could say about it.
    confidence : float in (0, 1)
        Level.
    seed : int, default 0
        Of the draws.

    Raises
    ------
    DataError
        If rows are weighted, or fewer than three groups have a rate.
    """
    if any(one.value is not None and one.method != "wilson" for one in numbers):
        raise DataError(f"{metric} is no plain rate of counts here", expected="an unweighted rate")
    known = [one for one in numbers if one.counts is not None]
    pooled = pool(
        [one.counts[0] for one in known if one.counts], [one.counts[1] for one in known if one.counts], seed=seed
    )
    place = {one.group: index for index, one in enumerate(known)}
    made = []
    for one in numbers:
        common: dict[str, Any] = {
            "metric": f"{metric}_pooled", "by": by, "group": one.group, "n": one.n, "numerator": one.numerator,
            "denominator": one.denominator,
        }  # fmt: skip
        if one.group not in place:
            made.append(Measurement(**common, status="undefined", reason=one.reason))
            continue
        own = pooled.draws[:, place[one.group]]
        bounds = []
        for sides in SIDES:
            tail = (1 - confidence) / (2 if sides == "two-sided" else 1)
            lower, upper = np.quantile(own, [tail, 1 - tail])
            bounds.append(
                Interval(confidence=confidence, sides=sides, lower=float(lower), upper=float(upper), method=METHOD)
            )
        value = float(pooled.value[place[one.group]])
        made.append(Measurement(**common, value=value, intervals=tuple(bounds), status="ok"))
    return tuple(made)
