r"""The links between margins and probabilities, and how steep they are between two sets of rows.

Two classes have one margin :math:`m` and the probability :math:`1 / (1 + e^{-m})` of the second; more have one margin each, and the
probabilities :math:`e^{m_c} / \sum_k e^{m_k}` (McCullagh and Nelder, Generalized Linear Models, 1989, sections 4.3 and 5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_governance.assess import logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_POINTS = 6
"""Of the quadrature along a segment."""


def probability(margin: Matrix) -> Matrix:
    """Return the probabilities behind margins: of the second of two classes for shape (n,), of each class for (n, classes)."""
    if margin.ndim == 1:
        return logistic.probability(margin)
    from scipy.special import softmax

    made: Matrix = softmax(margin, axis=1)
    return made


def slopes(margin: Matrix, compared: Matrix) -> Matrix:
    r"""Return how much the probabilities move with the margins, on average along the way from each background row to a row.

    Formula: :math:`\frac{1}{N} \sum_z \int_0^1 \frac{\partial p}{\partial m}\bigl(m_z + t\,(m_x - m_z)\bigr)\,dt`, by Gauss-Legendre
    quadrature.

    Parameters
    ----------
    margin : array of float64, shape (n,) or (n, classes)
        Of the rows, in units of log odds.
    compared : array of float64, shape (background rows,) or (background rows, classes)
        Of the background.

    Returns
    -------
    array of float64, shape (n, outputs, margins)
        One output and margin for two classes.
    """
    # A second margin that is always 0 makes the logistic function a case of the other.
    rows, others = (np.column_stack([np.zeros(len(one)), one]) if one.ndim == 1 else one for one in (margin, compared))
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    found = np.zeros((len(rows), rows.shape[1], rows.shape[1]))
    for at, weight in zip((points + 1) / 2, weights / 2, strict=True):
        way = others[None] + at * (rows[:, None] - others[None])
        made = probability(way.reshape(-1, rows.shape[1])).reshape(way.shape)
        found -= weight * np.einsum("nzi,nzj->nij", made, made) / len(others)
        found += weight * made.mean(axis=1)[:, :, None] * np.eye(rows.shape[1])
    return found[:, 1:, 1:] if margin.ndim == 1 else found
