"""Bounds of many numbers at once: rates, all pairs of groups, and the extremes over the pairs, as arrays.

The numbers are those of :mod:`ml_governance.evidence.intervals`, which the gate computes one at a time in plain arithmetic; a
test holds the two to each other. Sources: there; Zou and Donner, Statistics in Medicine 27 (2008) 1693, and Donner and Zou,
Statistical Methods in Medical Research 21 (2012) 347, for the method of variance estimates recovery, MOVER.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Places = NDArray[np.intp]
    Ends = tuple[Floats, Floats]
    Quad = tuple[Floats, Floats, Floats, Floats]

_STEPS = 200
_FARTHEST = 200.0
"""How far from a ratio, on the scale of logarithms, its bound is looked for."""
_LARGEST = 700.0
"""Logarithm of a ratio beyond which there is no bound."""


# --- one or two rates ---------------------------------------------------------------------------------------


def wilson(k: Floats, n: Floats, z: float | Floats) -> Ends:
    """Return Wilson's bounds of k/n; arrays that broadcast."""
    p, z2 = k / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return np.where(k == 0, 0.0, np.maximum(0.0, centre - half)), np.where(k == n, 1.0, np.minimum(1.0, centre + half))


def newcombe(k1: Floats, n1: Floats, k2: Floats, n2: Floats, z: float | Floats) -> Ends:
    """Return Newcombe's bounds of k1/n1 - k2/n2; arrays that broadcast."""
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = wilson(k1, n1, z), wilson(k2, n2, z)
    gap = p1 - p2
    return np.maximum(-1.0, gap - np.hypot(p1 - l1, u2 - p2)), np.minimum(1.0, gap + np.hypot(u1 - p1, p2 - l2))


def sparse(k1: Floats, n1: Floats, k2: Floats, n2: Floats) -> Flags:
    """Whether less than one case or non-case is expected in the smaller group; arrays that broadcast."""
    rate = (k1 + k2) / (n1 + n2)
    few: Flags = np.minimum(n1, n2) * np.minimum(rate, 1 - rate) < 1
    return few


def score(k1: Floats, n1: Floats, k2: Floats, n2: Floats, theta: float | Floats) -> Floats:
    """Return the signed root of Koopman's chi-square of p1 = theta p2; arrays that broadcast.

    It rises with theta, and is 0 where theta is the ratio of the rates.
    """
    first, second = theta * (n1 + k2), k1 + n2
    apart = first - second
    p2 = 2 * (k1 + k2) / (first + second + np.sqrt(apart * apart + 4 * theta * ((n1 - k1) * (n2 - k2))))
    p1 = np.minimum(theta * p2, 1)
    gap = theta * (k2 / n2) - k1 / n1
    deviation = np.sqrt(np.maximum(p1 * ((1 - p1) / n1 + theta * (1 - p2) / n2), 0))
    if deviation.all():
        made: Floats = gap / deviation
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            made = np.where((deviation == 0) & (np.abs(gap) < 1e-15), 0.0, gap / deviation)
    sure = p1 >= 1
    return (
        np.where(sure & (k1 < n1 * (1 - 1e-12)), np.inf, made) if sure.any() else made
    )  # p1 cannot be 1 where not all are cases


def ratio_upper(k1: Floats, n1: Floats, k2: Floats, n2: Floats, z: Floats) -> Floats:
    """Return Koopman's upper bounds of (k1/n1) / (k2/n2), of arrays of one shape; infinite where there is none.

    The signed root of the score is nearly straight in the logarithm of the ratio: where it is z is found by false position
    after Anderson and Bjorck (BIT 13 (1973) 253), and by halving where it is infinite. No k2 is 0, no z negative.
    """

    def excess(logarithm: Floats) -> Floats:
        return score(k1, n1, k2, n2, np.exp(logarithm)) - z

    low, high, at_low, at_high = _bracket(excess, k1, n1, k2, n2, z)
    found, kept = high, np.zeros(len(z))
    for _ in range(_STEPS):
        with np.errstate(invalid="ignore", divide="ignore"):
            found = high - at_high * (high - low) / (at_high - at_low)
        found = np.where((found >= low) & (found <= high), found, (low + high) / 2)
        at = excess(found)
        if ((np.abs(at) < 1e-12) | (high - low < 1e-13 * np.maximum(1.0, np.abs(high)))).all():
            break
        over = at > 0
        side = np.where(over, 1.0, -1.0)
        # An end that is kept for the second time counts for less.
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 1 - at / np.where(over, at_high, at_low)
        share = np.where(kept != side, 1.0, np.where((share > 0) & (share < 1), share, 0.5))
        low, at_low = np.where(over, low, found), np.where(over, at_low * share, at)
        high, at_high, kept = np.where(over, found, high), np.where(over, at, at_high * share), side
    return np.where(at_high > 0, np.exp(found), np.inf)


def _bracket(
    excess: Callable[[Floats], Floats], k1: Floats, n1: Floats, k2: Floats, n2: Floats, z: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return logarithms around each bound and the excess there, of which the upper one is not positive if there is none."""
    some = np.maximum(k1, 0.5)
    low = np.log(some / n1 * n2 / k2)
    step = 1.2 * z * np.sqrt(np.maximum(1 / some - 1 / n1, 0) + np.maximum(1 / k2 - 1 / n2, 0)) + 1e-9
    none = (step > _FARTHEST) | (low + step > _LARGEST)
    high = np.where(none, low, low + step)
    at_low, at_high = -z, excess(high)  # the score of the ratio itself is 0
    while (short := (at_high <= 0) & (2 * step <= _FARTHEST) & (low + 2 * step <= _LARGEST)).any():
        step = np.where(short, 2 * step, step)
        high = np.where(none, low, low + step)
        at_high = excess(high)
    if (k1 < 0.5).any():
        at_low = excess(low)
        guessed = (at_low > 0) & ~none  # there is no whole case and the start was a guess
        high, at_high = np.where(guessed, low, high), np.where(guessed, at_low, at_high)
        low = np.where(guessed, low - _FARTHEST, low)
        at_low = excess(low)
    return low, high, at_low, at_high


# --- extremes over all pairs of groups ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All ordered pairs of different groups, of several comparisons one after the other.

    Parameters
    ----------
    first, second : array of int, shape (pairs,)
        Which two of the groups, counted through all comparisons.
    starts : array of int, shape (comparisons,)
        Where each comparison's pairs begin.
    row : array of int, shape (pairs,)
        Which comparison a pair is of.
    """

    first: Places
    second: Places
    starts: Places
    row: Places

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Self:
        """Return the pairs of comparisons of so many groups, two or more each."""
        groups = np.asarray(sizes, dtype=np.intp)
        offset, many = np.cumsum(groups) - groups, groups * groups
        row = np.repeat(np.arange(len(groups)), many)
        place = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
        one, two = np.divmod(place, groups[row])
        apart, kept = one != two, many - groups
        row = row[apart]
        return cls(
            first=one[apart] + offset[row], second=two[apart] + offset[row], starts=np.cumsum(kept) - kept, row=row
        )

    def one(self, values: Floats) -> Floats:
        """Return what belongs to the first of each pair; groups lie along the last axis."""
        return values.take(self.first, axis=-1)

    def two(self, values: Floats) -> Floats:
        """Return what belongs to the second of each pair."""
        return values.take(self.second, axis=-1)

    def largest(self, values: Floats) -> Floats:
        """Return the largest value of each comparison's pairs, which lie along the last axis."""
        found: Floats = np.maximum.reduceat(values, self.starts, axis=-1)
        return found


def largest_difference(x: Floats, each: Ends, every: Ends, of: Pairs, telling: Flags | None = None) -> Ends:
    """Return bounds of largest minus smallest, by MOVER; of rates with Wilson's bounds, Newcombe's.

    Parameters
    ----------
    x : array of float64, shape (groups,)
        The numbers, of all comparisons one after the other.
    each, every : pair of arrays of shape (..., groups)
        Their bounds at the full level, from which the upper bound is made (intersection-union), and at the level divided by
        the number of ordered pairs, from which the lower one is.
    of : Pairs
        The pairs.
    telling : array of bool, shape (pairs,), optional
        Pairs that the lower bound may rest on; default all.

    Returns
    -------
    lower, upper : array of float64, shape (..., comparisons)
        The lower one is at least 0.
    """
    gap = of.one(x) - of.two(x)
    (low, high), (lowest, highest) = each, every
    upper = of.largest(gap + np.sqrt(of.one((high - x) ** 2) + of.two((x - low) ** 2)))
    apart = gap - np.sqrt(of.one((x - lowest) ** 2) + of.two((highest - x) ** 2))
    return np.maximum(of.largest(apart if telling is None else np.where(telling, apart, 0.0)), 0.0), upper


def smallest_ratio(x: Floats, each: Ends, every: Ends, of: Pairs) -> Ends:
    """Return bounds of smallest over largest of numbers of 0 or more, by MOVER; the upper one is at most 1.

    Parameters are those of :func:`largest_difference`; in every comparison some number is above 0.
    """
    # A ratio's upper bound is the inverse of the inverse ratio's lower one.
    upper = 1 / np.maximum(of.largest(_mover_lower(x, every, of)), 1.0)
    lower = -of.largest(np.where(of.one(x) > 0, -_mover_lower(x, each, of), -np.inf))
    return lower, upper


def _mover_lower(x: Floats, ends: Ends, of: Pairs) -> Floats:
    # The ratio r at which the lower MOVER bound of x - r y is 0: a r^2 - 2 b r + c = 0, the smaller root, written
    # without cancellation.
    lower, upper = np.maximum(ends[0], 0.0), ends[1]
    finite = np.isfinite(upper)
    upper = np.where(finite, upper, 0.0)
    a, c, b = of.two(upper * (2 * x - upper)), of.one(lower * (2 * x - lower)), of.one(x) * of.two(x)
    root = b + np.sqrt(np.maximum(b * b - a * c, 0.0))
    with np.errstate(divide="ignore"):  # y is 0 for certain
        found: Floats = np.divide(c, root, out=np.zeros_like(root), where=(c > 0) & finite[..., of.second])
    return found


def smallest_rate_ratio(k: Floats, n: Floats, z_each: Floats, z_every: Floats, of: Pairs) -> Ends:
    """Return bounds of the smallest rate over the largest, by Koopman's pairs.

    Parameters
    ----------
    k, n : array of float64, shape (groups,)
        Cases and rows of the groups, of all comparisons one after the other; each comparison has a case.
    z_each, z_every : array of float64, shape (sides, comparisons)
        Quantiles at the full level, and at the level divided by the number of ordered pairs.
    of : Pairs
        The pairs.

    Returns
    -------
    lower, upper : array of float64, shape (sides, comparisons)
        As :func:`ml_governance.evidence.intervals.worst_ratio` makes them.
    """
    quad = of.one(k), of.one(n), of.two(k), of.two(n)
    at_one = score(*quad, 1.0)
    none = of.largest(np.where(quad[2] == 0, 1.0, 0.0)) > 0  # a group without a case: its ratio to another may be 0
    telling = ~sparse(*quad) & (quad[2] > 0)
    with np.errstate(over="ignore", invalid="ignore"):  # of ratios too large to square, which then have no bound
        largest = _outermost(quad, at_one, z_each, of, ~none[of.row], largest=True)
        smallest = _outermost(quad, at_one, z_every, of, telling, largest=False)
    return np.where(none, 0.0, 1 / largest), smallest


def _outermost(quad: Quad, at_one: Floats, z: Floats, of: Pairs, allowed: Flags, *, largest: bool) -> Floats:
    """Return the largest upper bound of each comparison's allowed pairs, or the smallest; 1 where none is beyond 1.

    A bound is searched for one pair of each comparison; the score of every other pair then tells whether its own bound lies
    beyond, and those whose does not are done with. Only a few pairs are ever searched.
    """
    sides, width = z.shape
    sign = 1.0 if largest else -1.0
    beyond = (sign * (z.take(of.row, axis=1) - at_one)).ravel()
    live = np.flatnonzero(np.tile(allowed, sides) & (beyond > 0))
    if not len(live):
        return np.ones(z.shape)
    beyond, (side, pair) = beyond[live], np.divmod(live, len(of.row))
    k1, n1, k2, n2 = quad
    p1, p2, v1, v2 = k1 / n1, k2 / n2, 1 / n1, 1 / n2
    with np.errstate(divide="ignore"):
        slope = np.sqrt(np.clip(1 / k1 - v1 + 1 / k2 - v2, 1e-300, 1e18))
    found, levels, row = np.ones(sides * width), z.ravel(), side * width + of.row[pair]
    for _ in range(len(at_one)):
        if not len(pair):
            break
        starts = np.append(0, np.flatnonzero(row[1:] != row[:-1]) + 1)
        reach = beyond * slope[pair]  # about how far beyond, on the scale of logarithms
        furthest = np.repeat(np.maximum.reduceat(reach, starts), np.diff(starts, append=len(row)))
        hit = np.flatnonzero(reach == furthest)
        at = hit[np.searchsorted(row[hit], row[starts])]
        found[row[at]] = ratio_upper(*_picked(quad, pair[at]), levels[row[at]])
        rest = np.isfinite(found[row])  # nothing lies beyond infinity
        rest[at] = False
        if largest:
            rest &= _near(found[row], levels[row], *(one[pair] for one in (p1, v1, p2, v2)))
        pair, row = pair[rest], row[rest]
        beyond = sign * (levels[row] - score(*_picked(quad, pair), found[row]))
        left = beyond > 0
        pair, row, beyond = pair[left], row[left], beyond[left]
    return found.reshape(sides, width)


def _picked(quad: Quad, pair: Places) -> Quad:
    k1, n1, k2, n2 = quad
    return k1[pair], n1[pair], k2[pair], n2[pair]


def _near(theta: Floats, z: Floats, p1: Floats, v1: Floats, p2: Floats, v2: Floats) -> Flags:
    """Whether the score of theta may be under z: it is not where it would not be with the variance of rates of 1/2.

    p1 and p2 are the rates, v1 and v2 the inverse numbers of rows.
    """
    gap = np.maximum(theta * p2 - p1, 0)
    near: Flags = 4 * gap * gap <= z * z * (v1 + theta * theta * v2)
    return near
