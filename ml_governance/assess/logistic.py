r"""The probability behind a sum over columns and a logistic link: its Shapley values by quadrature, to rounding.

For a row :math:`x` and a background row :math:`z`, the game of :math:`\sigma(c + \sum_j g_j)` is
:math:`\sigma(u + \sum_{i \in S} d_i)` with :math:`u` the margin of :math:`z` and :math:`d_i = g_i(x) - g_i(z)`. The logistic function is
an integral over waves (Gradshteyn and Ryzhik, 3.981.1),

.. math:: \sigma(u) = \frac{1}{2} + \int_0^\infty \frac{\sin(\omega u)}{\sinh(\pi \omega)}\,d\omega,

and the wave of a sum is a product, whose multilinear extension is the product of the extensions. So by Owen (Management
Science 18, 1972)

.. math::
    \varphi_j = \int_0^\infty \frac{d\omega}{\sinh(\pi\omega)}\;\mathrm{Im}\Bigl[ e^{i\omega u} (e^{i\omega d_j} - 1)
    \int_0^1 \prod_{i \ne j} (1 - t + t\,e^{i\omega d_i})\,dt \Bigr].

The inner integrand is a polynomial in :math:`t`: Gauss-Legendre quadrature is exact. The outer one is even in :math:`\omega` and
analytic in the strip :math:`|\mathrm{Im}\,\omega| < 1`, so the midpoint rule errs by about :math:`e^{U - 2\pi/h}` for a step :math:`h` and
margins up to :math:`U`, and by :math:`e^{-\pi\Omega}` for stopping at :math:`\Omega` (Trefethen and Weideman, SIAM Review 56, 2014).
Both are set below 1e-13. The cost grows with rows x background x columns^2; columns on which the two rows agree cost nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

VERSION = "1"
"""Of the numbers: it grows when the same parts give others."""

ENGINE = f"ml_governance logistic quadrature {VERSION}"
TOLERANCE = 1e-9
"""Largest gap between the sum of attributions and the output, in units of probability."""

WIDEST = 500.0
"""Size of margins, at most: beyond, steps would be too many; such margins are sampled."""

MOST = 2e9
"""Rows x background x columns^2, at most, at margins of 30; fewer at larger ones. About a minute of one processor."""

_ACCURACY = 30.0
"""Natural logarithm of the accuracy, negated."""


def values(parts: Matrix, compared: Matrix, constant: float) -> Matrix:
    """Attribute the probability of each row to the columns.

    Parameters
    ----------
    parts : array of float64, shape (n, columns)
        What each column adds to the margin of the rows, :math:`g_j(x_j)`.
    compared : array of float64, shape (background rows, columns)
        The same of the background.
    constant : float
        The margin without them.

    Returns
    -------
    array of float64, shape (n, columns)
        In units of probability; with the mean probability of the background they sum to that of the row.
    """
    players = parts.shape[1]
    points, weights = np.polynomial.legendre.leggauss(max((players + 1) // 2, 1))
    step = 2 * math.pi / (reach(parts, compared, constant) + _ACCURACY)
    waves = (np.arange(math.ceil(_ACCURACY / math.pi / step)) + 0.5) * step
    found = np.zeros((len(parts), players))
    compiled(_integrate)(
        np.ascontiguousarray(parts), np.ascontiguousarray(compared), constant, waves, step / np.sinh(math.pi * waves),
        (points + 1) / 2, weights / 2, found,
    )  # fmt: skip
    return found


def fits(parts: Matrix, compared: Matrix, constant: float) -> bool:
    """Tell whether margins and tables are small enough for quadrature."""
    size = reach(parts, compared, constant)
    cost = float(len(parts)) * len(compared) * parts.shape[1] ** 2 * (size + _ACCURACY) / (2 * _ACCURACY)
    return size <= WIDEST and cost <= MOST


def reach(parts: Matrix, compared: Matrix, constant: float) -> float:
    """Return a bound of the size of every margin that a mixed row can have; infinite if a part is not finite."""
    low = np.minimum(parts.min(axis=0), compared.min(axis=0)).sum() + constant
    high = np.maximum(parts.max(axis=0), compared.max(axis=0)).sum() + constant
    size = max(abs(float(low)), abs(float(high)))
    return size if math.isfinite(size) else math.inf


def probability(margin: Matrix) -> Matrix:
    """Return the logistic function."""
    from scipy.special import expit

    made: Matrix = expit(margin)
    return made


def _integrate(  # noqa: C901, PLR0912  compiled code is flat
    parts: Any, compared: Any, constant: Any, waves: Any, measure: Any, points: Any, weights: Any, found: Any
) -> None:  # pragma: no cover  runs compiled
    players, size = parts.shape[1], len(waves)
    moved = np.empty(players, dtype=np.int64)
    real, imaginary = np.empty((players, size)), np.empty((players, size))
    total_real, total_imaginary = np.empty((players, size)), np.empty((players, size))
    before_real, before_imaginary = np.empty((players + 1, size)), np.empty((players + 1, size))
    after_real, after_imaginary = np.empty(size), np.empty(size)
    for row in range(len(parts)):
        for other in range(len(compared)):
            margin, k = constant, 0
            for j in range(players):
                margin += compared[other, j]
                if parts[row, j] != compared[other, j]:
                    moved[k] = j
                    k += 1
            for place in range(k):
                d = parts[row, moved[place]] - compared[other, moved[place]]
                for w in range(size):
                    real[place, w], imaginary[place, w] = math.cos(waves[w] * d), math.sin(waves[w] * d)
            total_real[:k], total_imaginary[:k] = 0.0, 0.0
            # A product of k - 1 factors is exact with k / 2 points, and with more.
            for q in range(len(points)):
                t = points[q]
                before_real[0], before_imaginary[0] = 1.0, 0.0
                for place in range(k):
                    for w in range(size):
                        a, b = 1.0 - t + t * real[place, w], t * imaginary[place, w]
                        x, y = before_real[place, w], before_imaginary[place, w]
                        before_real[place + 1, w], before_imaginary[place + 1, w] = x * a - y * b, x * b + y * a
                for w in range(size):
                    after_real[w], after_imaginary[w] = weights[q], 0.0
                for place in range(k - 1, -1, -1):
                    for w in range(size):
                        x, y = before_real[place, w], before_imaginary[place, w]
                        a, b = after_real[w], after_imaginary[w]
                        total_real[place, w] += x * a - y * b
                        total_imaginary[place, w] += x * b + y * a
                        c, d = 1.0 - t + t * real[place, w], t * imaginary[place, w]
                        after_real[w], after_imaginary[w] = a * c - b * d, a * d + b * c
            for w in range(size):
                after_real[w] = measure[w] * math.cos(waves[w] * margin)
                after_imaginary[w] = measure[w] * math.sin(waves[w] * margin)
            for place in range(k):
                value = 0.0
                for w in range(size):
                    c, d = real[place, w] - 1.0, imaginary[place, w]
                    x = total_real[place, w] * c - total_imaginary[place, w] * d
                    y = total_real[place, w] * d + total_imaginary[place, w] * c
                    value += x * after_imaginary[w] + y * after_real[w]
                found[row, moved[place]] += value / len(compared)
