r"""Shapley values of anything that predicts, by permutations: unbiased, with standard errors.

For a row :math:`x`, each row :math:`z` of the background is taken once, with a random order of the columns of its own: in this order the
columns of :math:`z` are replaced by those of :math:`x` one after the other, and then in the opposite order (antithetic; Mitchell et al.,
JMLR 23, 2022). What a column moves the output by, averaged, is an unbiased estimate of its attribution, and the
attributions of a row sum to its output less the base without error. One order for *all* of the background, as is common, costs
as much and leaves the error of the order undivided. Some rows of the background, drawn at random, are walked from a second time: half the
mean square of the differences is an unbiased estimate of a walk's variance, whatever the background's own spread.

Where the exact attributions :math:`\psi` of a related output are known, as of the margin behind a probability, the same walks estimate
them too, and their known errors are taken off (a control variate):

.. math:: \tilde\varphi_j = \hat\varphi_j - \beta\,(\hat\psi_j - \psi_j), \qquad
    \beta = \frac{f(x) - \bar f}{m(x) - \bar m}.

:math:`\beta`, the slope of the link between the base and the row, does not depend on the draws, so the estimate stays unbiased, and
sums still hold, since the background is taken whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Play = Callable[[Matrix], Matrix]
    Ways = Callable[[slice, NDArray[np.int64], NDArray[np.int64]], Matrix]
    """Of some rows, the background rows that walks to each begin from, and ranks of the columns: what is to be had of all states."""

VERSION = "1"
"""Of the numbers: it grows when the same model, rows and seed give others."""

ENGINE = f"ml_governance permutation walks {VERSION}"
AGAIN = 2
"""One of so many rows of the background is walked from twice, independently: the differences tell the error of a walk."""

BATCH = 1 << 17
"""Rows given to the model at once, at most, unless one walk has more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Control:
    """An output whose attributions are known exactly, and how the wanted one follows from it.

    Parameters
    ----------
    play : callable
        The related output of rows, shape (n,).
    link : callable
        The wanted output of related ones.
    values : array of float64, shape (n, columns)
        Its exact attributions of the rows.
    base : float
        Its mean over the background.
    """

    play: Play
    link: Callable[[Matrix], Matrix]
    values: Matrix
    base: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """Attributions with their standard errors.

    Parameters
    ----------
    phi, error : array of float64, shape (n, columns) or (n, columns, outputs)
        Of the walks alone: the background is taken whole.
    base : array of float64, shape () or (outputs,)
        Mean output over the background.
    """

    phi: Matrix
    error: Matrix
    base: Matrix


def attribute(
    play: Play, rows: Matrix, background: Matrix, *, seed: int, control: Control | None = None, ways: Ways | None = None
) -> Sampled:
    """Attribute the output of each row to the columns.

    Parameters
    ----------
    play : callable
        Outputs of rows, shape (n,) or (n, outputs). Of no effect with a control.
    rows, background : array of float64, shape (n, columns)
    seed : int
    control : Control, optional
    ways : callable, optional
        The related outputs of a control at every state of walks, shape (walks * states,) or (walks * states, related), without the states
        being built: of a slice of the rows, places in the background, and ranks. Of no effect without a control.

    Returns
    -------
    Sampled
    """
    generator = np.random.default_rng(seed)
    played = play if control is None else _both(control)
    base = played(background).mean(axis=0)
    more = -(-len(background) // AGAIN)
    phi, error = [], []
    at_once = max(1, BATCH // (2 * rows.shape[1] * (len(background) + more)))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        again = np.argsort(generator.random((len(part), len(background))), axis=1)[:, :more]
        others = np.concatenate([np.tile(np.arange(len(background)), (len(part), 1)), again], axis=1)
        asked = (
            None if ways is None or control is None else _linked(control, ways, slice(start, start + len(part)), others)
        )
        moves = walk(played, np.repeat(part, others.shape[1], axis=0), background[others.ravel()], generator, asked)
        moves = moves.reshape(*others.shape, *moves.shape[1:])
        if control is not None:
            moves = _less(moves, control, base, start, part)
        once, twice = moves[:, : len(background)], moves[:, len(background) :]
        phi.append(once.mean(axis=1))
        first = np.take_along_axis(once, again.reshape(*again.shape, *(1,) * (once.ndim - 2)), axis=1)
        error.append(np.sqrt(((first - twice) ** 2).mean(axis=1) / (2 * len(background))))
    return Sampled(
        phi=np.concatenate(phi), error=np.concatenate(error), base=base if control is None else np.asarray(base[0])
    )


def walk(
    play: Play,
    x: Matrix,
    z: Matrix,
    generator: np.random.Generator,
    asked: Callable[[NDArray[np.int64]], Matrix] | None = None,
) -> Matrix:
    """Walk from each row of ``z`` to the same row of ``x`` in a random order, and in the opposite one.

    With ``asked``, the states of given ranks are not built and played, but asked for.

    Returns
    -------
    array of float64, shape (n, columns) or (n, columns, outputs)
        What each column moved the output by, the mean of both ways.
    """
    n, columns = x.shape
    order = generator.permuted(np.tile(np.arange(columns), (n, 1)), axis=1)
    rank = np.argsort(order, axis=1)
    made = np.asarray(play(states(x, z, rank)) if asked is None else asked(rank), dtype=np.float64)
    made = made.reshape(n, 2 * columns, *made.shape[1:])
    forth = np.diff(made[:, : columns + 1], axis=1)
    back = np.concatenate([made[:, columns : columns + 1], made[:, columns + 1 :], made[:, :1]], axis=1)
    both = (forth - np.diff(back, axis=1)) / 2
    places = rank if both.ndim == 2 else rank[:, :, None]
    found: Matrix = np.take_along_axis(both, places, axis=1)
    return found


def states(x: Matrix, z: Matrix, rank: NDArray[np.int64]) -> Matrix:
    """Return every row that walks visit, shape (n * 2 * columns, columns).

    State s of the way there, from 0 to all, has the first s columns of the order from x; of the way back, from 1, those behind the first s.
    """
    columns = x.shape[1]
    there = rank[:, None, :] < np.arange(columns + 1)[None, :, None]
    which = np.concatenate([there, ~there[:, 1:-1]], axis=1)
    return np.where(which, x[:, None, :], z[:, None, :]).reshape(-1, columns)


def _both(control: Control) -> Play:
    return lambda matrix: _beside(control, control.play(matrix))


def _beside(control: Control, related: Matrix) -> Matrix:
    return np.column_stack([control.link(related), related])


def _linked(
    control: Control, ways: Ways, part: slice, others: NDArray[np.int64]
) -> Callable[[NDArray[np.int64]], Matrix]:
    return lambda rank: _beside(control, ways(part, others, rank))


def _less(moves: Matrix, control: Control, base: Matrix, start: int, part: Matrix) -> Matrix:
    """Take off what the walks are known to be wrong by."""
    made = _both(control)(part)
    apart = made[:, 1] - base[1]
    # A row whose margin is the base's has no slope; then nothing is taken off.
    flat = np.abs(apart) <= 1e-9 * np.maximum(1.0, np.abs(made[:, 1]))
    slope = np.where(flat, 0.0, (made[:, 0] - base[0]) / np.where(flat, 1.0, apart))
    known = control.values[start : start + len(part), None, :]
    found: Matrix = moves[..., 0] - slope[:, None, None] * (moves[..., 1] - known)
    return found
