r"""Which columns drive a model most, ranked over all rows, from as few of them as the ranking needs.

The importance of a column is its mean absolute attribution over the given rows. Rows are drawn with replacement in looks of growing
size, and every pair of columns is compared by the mean of :math:`D = |\varphi_i| - |\varphi_j|`. The tables of trees bound
every attribution, so :math:`D` has a known range :math:`R`, and the empirical Bernstein bound (Maurer and Pontil, COLT 2009, theorem 4)

.. math:: |\bar D - E D| \le \sqrt{2 V \ln(3 / \delta) / n} + 7 R \ln(3 / \delta) / (3 (n - 1))

holds for any distribution, rare and heavy columns included: theirs is of one side and has 2 for 3, as it can fail in two ways, by the
mean and by the variance, and one of both sides in three. How many looks there can be follows from the number of rows, and each spends
the same part of the error, shared by all pairs and all means, so that everything that is said at any look holds together with the
stated confidence, whenever the looking stops. It stops when every pair with a column of the top is told apart or tied: its difference is
within a stated share of the larger importance. If that would need as many draws as there are rows, all rows are used instead, and the
ranking is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess import tree_explanation
from ml_governance.assess.explanation_engines import attribute
from ml_governance.assess.explanation_game import Game, Output, game_of
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

FIRST = 1000
"""Rows of the first look."""

GROWTH = 1.25
"""Rows of a look, as a multiple of those of the look before: half of the last look's rows are not drawn in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One column and its place.

    Parameters
    ----------
    column : str
    mean_abs, lower, upper : float
        Importance with bounds that hold together with all others, in units of the output.
    next : {'above', 'tied', 'open', 'last'}
        What is known of the next column: it is less important; the two differ by no more than the tie; neither; or
        there is none.
    """

    column: str
    mean_abs: float
    lower: float
    upper: float
    next: Literal["above", "tied", "open", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRanking:
    """Columns by importance, and how far that is settled.

    Parameters
    ----------
    ranked : tuple of Ranked
        Most important first.
    top : int
        How many columns were to be settled.
    top_settled : bool
        Whether the first ``top`` are told apart from all others. If not, some at the border are tied with each other.
    rivals : tuple of str
        Columns on either side of the border that are not told apart from one on the other side.
    rows, drawn : int
        How many rows there are, and how many were drawn: as many as there are rows if all were used.
    looks : int
    complete : bool
        Whether all rows were used, so that nothing is estimated.
    confidence : float
        With which everything said here holds together; of no meaning if ``complete``.
    tie : float
        Share of the larger importance by which tied columns may differ.
    engine : str
    seed : int
    """

    ranked: tuple[Ranked, ...] = field(repr=False)
    top: int
    top_settled: bool
    rivals: tuple[str, ...]
    rows: int
    drawn: int
    looks: int
    complete: bool
    confidence: float
    tie: float
    engine: str
    seed: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the top, most important first."""
        return tuple(one.column for one in self.ranked[: self.top])

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row for each column."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"column": one.column, "mean_abs": one.mean_abs, "lower": one.lower, "upper": one.upper, "next": one.next}
                for one in self.ranked
            ]
        )  # fmt: skip


def rank_columns(
    model: Any,
    *,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    output: Output = "margin",
    top: int = 10,
    tie: float = 0.05,
    confidence: float = 0.95,
    seed: int = 0,
) -> ColumnRanking:
    """Rank the columns of a model by mean absolute attribution over all rows, and stop drawing rows when the top is settled.

    Parameters
    ----------
    model : object
        With an exact engine for this output.
    rows : DataFrame of shape (n, columns)
        All rows that the ranking is about.
    background : DataFrame
        Rows to compare with.
    output : {'margin', 'probability'}
        Which output is explained.
    top : int, default 10
        How many columns are to be settled.
    tie : float in [0, 1), default 0.05
        Columns that differ by no more than this share of the larger importance may be called tied. With 0 every row is used if two
        columns are equally important.
    confidence : float in (0, 1), default 0.95
        With which everything that is said holds together, at whichever look it is said.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    ColumnRanking

    Raises
    ------
    DataError
        If the attributions would be sampled themselves, or the tables do not fit the model.
    UnavailableError
        If attributions do not add up to what the model makes of the rows.
    """
    if top < 1 or not 0 <= tie < 1 or not 0 < confidence < 1 or len(rows) == 0 or len(background) == 0:
        raise DataError(
            f"top={top}, tie={tie}, confidence={confidence}, {len(rows)} rows, {len(background)} background rows",
            expected="a top of 1 or more, a tie in [0, 1), a confidence in (0, 1), and rows",
        )
    game = game_of(model, rows, background, output)
    asked, reach, engine = _absolutes(game, output)
    generator = np.random.default_rng(seed)
    seen = Seen.none(len(game.columns))
    top = min(top, len(game.columns))
    sizes = [] if reach is None else look_sizes(len(rows))
    told = (top, tie, len(rows), engine, confidence, seed, game.columns)
    for looks, size in enumerate(sizes, 1):
        seen = seen.after(asked(generator.integers(0, len(rows), size - seen.n)))
        mean, half, relation = seen.judged(np.asarray(reach), (1 - confidence) / len(sizes), tie)
        if settled(mean, relation, top):
            return _told(mean, half, relation, size, looks, *told)
    mean = seen.none(len(game.columns)).after(asked(np.arange(len(rows)))).mean
    return _told(mean, np.zeros(len(mean)), _exactly(mean), len(rows), len(sizes) + 1, *told)


def look_sizes(rows: int) -> list[int]:
    """Return how many rows have been drawn at each look, as long as they are fewer than there are."""
    sizes = [FIRST]
    while sizes[-1] < rows:
        sizes.append(math.ceil(sizes[-1] * GROWTH))
    return sizes[:-1]


def _absolutes(game: Game, output: Output) -> tuple[Callable[[NDArray[np.intp]], Matrix], Matrix | None, str]:
    """Return what gives the absolute attributions of rows, their largest values, or None to use all rows, and the engine."""
    width = len(game.columns)
    if game.additive is None and game.trees is not None:
        trees = game.trees
        ensemble, kernel = tree_explanation.tabulated(trees, output)
        low, high = (np.pad(one[:, -1], (0, width - len(one))) for one in kernel.reach())

        def by_tables(places: NDArray[np.intp]) -> Matrix:
            values = tree_explanation.attributed(ensemble, kernel, trees.rows[places], game.play(game.rows[places]))
            return np.abs(np.pad(values, ((0, 0), (0, width - values.shape[1]))))

        return by_tables, np.maximum(np.abs(low), np.abs(high)), tree_explanation.ENGINE
    if game.additive is None:
        raise DataError(
            f"the attributions of this {output} are sampled or slow to compute ({game.why})",
            expected="a linear, additive or tree model, and an output that is a sum over its parts",
            next_step="output='margin', or assess_explanation",
        )
    answer = attribute(game, output, 0)
    if not np.isfinite(answer.phi).all():
        raise DataError(
            "some attributions are not finite", expected="finite numbers", next_step="look for NaN in the rows"
        )
    return (lambda places: np.abs(answer.phi[places])), None, answer.engine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Sums over the rows drawn so far: of absolute attributions, and of their products."""

    n: int
    first: Matrix
    second: Matrix

    @classmethod
    def none(cls, columns: int) -> Seen:
        """Return the sums over no rows."""
        return cls(n=0, first=np.zeros(columns), second=np.zeros((columns, columns)))

    def after(self, absolute: Matrix) -> Seen:
        """Return the sums with more rows, shape (n, columns)."""
        return Seen(
            n=self.n + len(absolute),
            first=self.first + absolute.sum(axis=0),
            second=self.second + absolute.T @ absolute,
        )

    @property
    def mean(self) -> Matrix:
        """Mean of each column."""
        return self.first / self.n

    def judged(self, reach: Matrix, error: float, tie: float) -> tuple[Matrix, Matrix, NDArray[np.str_]]:
        """Return means, half widths, and the relation of each pair, which hold together but for ``error``."""
        mean, columns = self.mean, len(self.first)
        log = math.log(3 * (columns * (columns - 1) / 2 + columns) / error)
        covariance = (self.second - self.n * np.outer(mean, mean)) / (self.n - 1)
        own = np.maximum(np.diag(covariance), 0)
        spread = np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0)
        half = half_width(own, reach, log, self.n)
        apart = half_width(spread, reach[:, None] + reach[None, :], log, self.n)
        gap = mean[:, None] - mean[None, :]
        lower = np.maximum(mean - half, 0)
        near = tie * np.maximum(lower[:, None], lower[None, :])
        relation = np.where(gap > apart, "above", np.where(gap < -apart, "below", "open"))
        return mean, half, np.where((relation == "open") & (np.abs(gap) + apart <= near), "tied", relation)


def half_width(variance: Matrix, reach: Matrix, log: float, n: int) -> Matrix:
    """Return how far a mean can be from its expectation (Maurer and Pontil 2009, theorem 4).

    Parameters
    ----------
    variance, reach : array of float64
        Of the drawn values, and the length of the range of all.
    log : float
        ln(3 / delta): the mean may be too low, or too high, or the variance too small.
    n : int
        Draws, 2 or more.
    """
    found: Matrix = np.sqrt(2 * variance * log / n) + 7 * reach * log / (3 * (n - 1))
    return found


def _exactly(mean: Matrix) -> NDArray[np.str_]:
    """Return the relations of columns whose importance is known; up to rounding, equal ones are tied."""
    gap = mean[:, None] - mean[None, :]
    rounding = 1e-12 * float(mean.max())
    return np.where(gap > rounding, "above", np.where(gap < -rounding, "below", "tied"))


def settled(mean: Matrix, relation: NDArray[np.str_], top: int) -> bool:
    """Tell whether no pair with a column of the top is open."""
    order = np.argsort(-mean, kind="stable")
    among = relation[np.ix_(order[:top], order)].copy()
    among[np.arange(top), np.arange(top)] = "tied"
    return bool((among != "open").all())


def _told(
    mean: Matrix, half: Matrix, relation: NDArray[np.str_], drawn: int, looks: int,
    top: int, tie: float, rows: int, engine: str, confidence: float, seed: int, columns: tuple[str, ...],
) -> ColumnRanking:  # fmt: skip
    order = np.argsort(-mean, kind="stable")
    border = relation[np.ix_(order[:top], order[top:])] != "above"
    rivals = [*order[:top][border.any(axis=1)], *order[top:][border.any(axis=0)]]
    known = {"above": "above", "tied": "tied"}
    ranked = tuple(
        Ranked(
            column=columns[at],
            mean_abs=float(mean[at]),
            lower=float(max(mean[at] - half[at], 0)),
            upper=float(mean[at] + half[at]),
            next="last" if place + 1 == len(order) else known.get(str(relation[at, order[place + 1]]), "open"),  # type: ignore[arg-type]
        )
        for place, at in enumerate(order)
    )
    return ColumnRanking(
        ranked=ranked, top=top, top_settled=not rivals, rivals=tuple(columns[at] for at in rivals), rows=rows, drawn=drawn,
        looks=looks, complete=drawn == rows, confidence=confidence, tie=tie, engine=engine, seed=seed,
    )  # fmt: skip
