"""Groups in a table against the shares that they have in a stated population, with intervals that hold for all groups at once.

Goodman's intervals (Technometrics 7 (1965) 247) are Wilson's at a level divided by the number of groups. The p-value is that of
Pearson's test of goodness of fit, simulated where fewer than five rows of a group are expected.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.contrasts import both_sides
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_governance.evidence.intervals import Sides

METHOD = "goodman"
REPLICATES = 9999
_EXPECTED = 5


def shares_of(population: Mapping[str, float], name: str) -> dict[str, float]:
    """Return a population's shares, from shares that sum to 1 or from counts.

    Raises
    ------
    DataError
        If a number is none, negative or infinite, or they are neither shares nor whole numbers.
    """
    for level, number in population.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise DataError(f"the population of {name} has {number!r} of {level}", expected="a share, or a count")
    total = sum(population.values())
    whole = total > 1 and all(float(number).is_integer() for number in population.values())
    if not whole and abs(total - 1) > 1e-6:
        raise DataError(f"the population of {name} sums to {total:g}", expected="shares that sum to 1, or counts")
    return {str(level): number / total for level, number in population.items()}


def represented(
    name: str, counts: Mapping[str, int], population: Mapping[str, float], *, confidence: float, seed: int
) -> list[Measurement]:
    """Compare counts of groups with a population.

    Parameters
    ----------
    name : str
        The attribute.
    counts : mapping of level to int
        Rows of each group.
    population : mapping of level to float
        Shares, or counts, of the groups in the population.
    confidence : float in (0, 1)
        Of all intervals together.
    seed : int
        Of the simulated p-value.

    Returns
    -------
    list of Measurement
        ``representation_ratio`` and ``representation_difference`` of each group, then ``smallest_representation_ratio`` and
        ``representation_p_value``. A group that
        the population does not name is undefined: nobody said how large it should be.
    """
    shares = shares_of(population, name)
    n = sum(counts.values())
    family = len(shares)
    made: list[Measurement] = []
    for level in sorted({*counts, *shares}):
        k, share = counts.get(level, 0), shares.get(level)
        common: dict[str, Any] = {"by": (name,), "group": (level,), "n": n}
        if share is None:
            reason = f"the population of {name} does not say how many are {level}"
            made += [Measurement(metric=one, **common, status="undefined", reason=reason) for one in _BOTH]
            continue

        def bounds(level_of: float, sides: Sides, k: int = k) -> tuple[float, float]:
            return intervals.rate(k, n, confidence=1 - (1 - level_of) / family, sides=sides)

        if share > 0:
            ratio = k / n / share
            held = both_sides(lambda c, s, b=bounds, p=share: tuple(one / p for one in b(c, s)), confidence, METHOD)  # type: ignore[misc]
            made.append(Measurement(metric=_BOTH[0], **common, value=ratio, intervals=held, status="ok"))
        else:
            why = f"nobody of the population is {level}"
            made.append(Measurement(metric=_BOTH[0], **common, status="undefined", reason=why))
        held = both_sides(lambda c, s, b=bounds, p=share: tuple(one - p for one in b(c, s)), confidence, METHOD)  # type: ignore[misc]
        made.append(Measurement(metric=_BOTH[1], **common, value=k / n - share, intervals=held, status="ok"))
    ratios = [one for one in made if one.metric == _BOTH[0]]
    return [*made, _smallest(name, ratios, n), _fit(name, counts, shares, n, seed)]


_BOTH = ("representation_ratio", "representation_difference")


def _smallest(name: str, ratios: list[Measurement], n: int) -> Measurement:
    """Return the smallest ratio: the intervals hold all at once, so their smallest bounds hold for it."""
    common: dict[str, Any] = {"metric": "smallest_representation_ratio", "by": (name,), "n": n}
    silent = next((one for one in ratios if one.value is None), None)
    if silent is not None:
        return Measurement(**common, status="undefined", reason=silent.reason)
    worst = min(ratios, key=lambda one: one.value or 0.0)
    made = tuple(
        found[0].model_copy(update={side: min(getattr(one, side) for one in found) for side in ("lower", "upper")})
        for found in zip(*(one.intervals for one in ratios), strict=True)
    )
    return Measurement(**common, value=worst.value, intervals=made, status="ok")


def _fit(name: str, counts: Mapping[str, int], shares: Mapping[str, float], n: int, seed: int) -> Measurement:
    common: dict[str, Any] = {"metric": "representation_p_value", "by": (name,), "n": n}
    strange = sorted(level for level, k in counts.items() if k and not shares.get(level))
    if strange:
        why = f"the population of {name} has nobody who is {', '.join(strange)}"
        return Measurement(**common, status="undefined", reason=why)
    levels = [level for level, share in shares.items() if share > 0]
    if len(levels) < 2:
        return Measurement(**common, status="undefined", reason=f"the population of {name} is one group")
    observed = np.array([counts.get(level, 0) for level in levels], dtype=float)
    share = np.array([shares[level] for level in levels])
    expected = share * n
    statistic = float(((observed - expected) ** 2 / expected).sum())
    if expected.min() >= _EXPECTED:
        from scipy.stats import chi2

        return Measurement(**common, value=float(chi2.sf(statistic, len(levels) - 1)), status="ok")
    drawn = np.random.default_rng(seed).multinomial(n, share / share.sum(), size=REPLICATES)
    beyond = int((((drawn - expected) ** 2 / expected).sum(axis=1) >= statistic - 1e-9).sum())
    return Measurement(**common, value=(1 + beyond) / (1 + REPLICATES), status="ok")
