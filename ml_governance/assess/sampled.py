r"""Shapley values of anything that predicts, by permutations: unbiased, with standard errors.

For a row :math:`x`, each row :math:`z` of the background is taken once, with a random order of the columns of its own: in this order the
columns of :math:`z` are replaced by those of :math:`x` one after the other, and then in the opposite order (antithetic; Mitchell et al.,
JMLR 23, 2022). What a column moves the output by, averaged, is an unbiased estimate of its attribution, and the
attributions of a row sum to its output less the base without error. One order for *all* of the background, as is common, costs
as much and leaves the error of the order undivided. Some rows of the background, drawn at random, are walked from a second time: half the
mean square of the differences is an unbiased estimate of a walk's variance, whatever the background's own spread.

Where the exact attributions :math:`\psi` of related outputs :math:`m` are known, as of the margins behind a probability, the same walks
estimate them too, and their known errors are taken off (control variates):

.. math:: \tilde\varphi_j = \hat\varphi_j - \sum_k \beta_k\,(\hat\psi_{jk} - \psi_{jk}).

:math:`\beta`, the mean slope of the link on the ways from the background to the row, does not depend on the draws, so the estimate stays
unbiased, and sums still hold, since the background is taken whole.
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

VERSION = "2"
"""Of the numbers: it grows when the same model, rows and seed give others."""

ENGINE = f"ml_governance permutation walks {VERSION}"
AGAIN = 2
"""One of so many rows of the background is walked from twice, independently: the differences tell the error of a walk."""

BATCH = 1 << 17
"""Rows given to the model at once, at most, unless one walk has more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Control:
    """Outputs whose attributions are known exactly, and how the wanted ones follow from them.

    Parameters
    ----------
    play : callable
        The related outputs of rows, shape (n,) or (n, related).
    link : callable
        The wanted outputs of related ones, shape (n,) or (n, outputs).
    slopes : callable
        How much they move with the related ones: of those of rows and of the background, shape (n, outputs, related). Any
        numbers leave the attributions unbiased; good ones leave little of their variance.
    values : array of float64, shape (n, columns) or (n, columns, related)
        The exact attributions of the related outputs of the rows.
    """

    play: Play
    link: Callable[[Matrix], Matrix]
    slopes: Callable[[Matrix, Matrix], Matrix]
    values: Matrix


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
    related, own = (None, None) if control is None else (control.play(background), control.play(rows))
    made = play(background) if control is None or related is None else control.link(related)
    base = np.asarray(made.mean(axis=0))
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
        if control is not None and related is not None and own is not None:
            known = control.values[start : start + len(part)]
            slopes = control.slopes(own[start : start + len(part)], related)
            moves = _less(moves, known.reshape(*known.shape[:2], -1), slopes)
            moves = moves if base.ndim else moves[..., 0]
        once, twice = moves[:, : len(background)], moves[:, len(background) :]
        phi.append(once.mean(axis=1))
        first = np.take_along_axis(once, again.reshape(*again.shape, *(1,) * (once.ndim - 2)), axis=1)
        error.append(np.sqrt(((first - twice) ** 2).mean(axis=1) / (2 * len(background))))
    return Sampled(phi=np.concatenate(phi), error=np.concatenate(error), base=base)


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


def _less(moves: Matrix, known: Matrix, slopes: Matrix) -> Matrix:
    """Take off what the walks are known to be wrong by.

    Parameters
    ----------
    moves : array of float64, shape (n, walks, columns, outputs + related)
    known : array of float64, shape (n, columns, related)
    slopes : array of float64, shape (n, outputs, related)
    """
    outputs = slopes.shape[1]
    wrong = moves[..., outputs:] - known[:, None]
    found: Matrix = moves[..., :outputs] - np.einsum("nok,nwjk->nwjo", slopes, wrong)
    return found
