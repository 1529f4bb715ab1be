"""What would have changed a decision: few and small changes that really flip it, within what may change at all.

For each declined row the fewest columns are sought whose change takes the output to the cutoff, one column at a time at first, then
pairs and more from the most promising states (a beam). New values are values of the background, so each is one that somebody has; their
combination may be nobody's. What flips is then made small: changes that are not needed are taken back, and numbers are moved
towards their old value as far as the decision stays flipped. At the end every answer is put to the model once more, beside
what must not have changed (Wachter, Mittelstadt and Russell, Harvard Journal of Law & Technology 31 (2018) 841; Ustun, Spangher and
Liu, FAT* 2019, for what can be acted on).

A change that flips the model's decision need not be one that makes a person repay: it says what the model does, not what the
world does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.explanation_game import Game, Output, original_game
from ml_governance.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

Direction = Literal["up", "down"]
BEAM = 24
LEVELS = 12
"""Values of a column that are tried at first: quantiles of the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One column that would be different."""

    column: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What would have changed the decision on one row.

    Parameters
    ----------
    row : object
        Its label.
    status : {'found', 'not_found', 'favourable'}
        ``favourable`` if the decision needed no change.
    before, after : float
        Output, and output with the changes; ``after`` is NaN if there are none.
    changes : tuple of Change
        In the order of the model's columns. None of them can be left out.
    cost : float
        Sum of how far the values move through the background: for numbers the share of its rows that lie between, for other
        values 1.
    tried : int
        Rows that the model was asked about.
    why : str
        Why nothing was found.
    """

    row: Any
    status: Literal["found", "not_found", "favourable"]
    before: float
    after: float = math.nan
    changes: tuple[Change, ...] = ()
    cost: float = math.nan
    tried: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactuals:
    """Answers for all rows, and under which constraints; iterating gives each :class:`Counterfactual`."""

    answers: tuple[Counterfactual, ...] = field(repr=False)
    cutoff: float
    favourable: Literal["above", "below"]
    output: Output
    immutable: tuple[str, ...]
    directions: dict[str, Direction]
    at_most: int

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Counterfactual]:
        return iter(self.answers)

    def to_frame(self) -> pd.DataFrame:
        """Return a long table, one row for each change, and one for each answer without any."""
        import pandas as pd

        return pd.DataFrame([
            {
                "row": one.row, "status": one.status, "output": one.before, "output_after": one.after,
                "column": change.column if change else None, "before": change.before if change else None,
                "after": change.after if change else None,
            }
            for one in self.answers for change in (one.changes or (None,))
        ])  # fmt: skip


def counterfactuals(
    model: Any,
    *,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    cutoff: float,
    immutable: Sequence[str],
    directions: Mapping[str, Direction] | None = None,
    output: Output = "probability",
    favourable: Literal["above", "below"] = "above",
    at_most: int = 3,
) -> Counterfactuals:
    """Return, for every row, the smallest change found that flips the decision.

    Parameters
    ----------
    model : object
        As of :func:`~ml_governance.assess.explanation.assess_explanation`; only its outputs are used.
    rows : DataFrame of shape (n, columns)
        Rows decided on.
    background : DataFrame
        Rows whose values may be taken.
    cutoff : float
        On the scale of ``output``; an output equal to it is favourable.
    immutable : sequence of str
        Columns of ``rows`` that never change. It has no default: an empty one says that there are none.
    directions : mapping of str to {'up', 'down'}, optional
        Numbers that may only grow, or only shrink.
    output : {'probability', 'margin'}
        Which output is decided on.
    favourable : {'above', 'below'}
        Which side of the cutoff is wanted.
    at_most : int, default 3
        Columns that may change together.

    Returns
    -------
    Counterfactuals

    Raises
    ------
    DataError
        If the constraints name no column or leave none to change, or an output is not finite.
    UnavailableError
        If the model, asked again, does not give the output that it gave.
    """
    directions = dict(directions or {})
    _constraints(rows, immutable, directions, cutoff, at_most, favourable)
    if len(rows) == 0 or len(background) == 0:
        raise DataError("there are no rows, or none to take values from", expected="at least one row")
    game = original_game(model, rows, background, output)
    fixed = [name in set(immutable) for name in game.columns]
    if all(fixed):
        raise DataError("every column that the model takes is immutable", expected="one that may change")
    search = _Search(game, rows, background, cutoff, directions, fixed, 1.0 if favourable == "above" else -1.0)
    answers = tuple(search.answer(place, rows.index[place], at_most) for place in range(len(rows)))
    return Counterfactuals(
        answers=answers, cutoff=cutoff, favourable=favourable, output=output, immutable=tuple(immutable),
        directions=directions, at_most=at_most,
    )  # fmt: skip


def _constraints(
    rows: pd.DataFrame, immutable: Sequence[str], directions: Mapping[str, str], cutoff: float, at_most: int, side: str
) -> None:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if isinstance(immutable, str) or any(name not in rows.columns for name in (*immutable, *directions)):
        raise DataError(
            f"immutable={immutable!r} or directions={dict(directions)!r} name what is no column of the rows",
            expected=f"names of {', '.join(map(str, rows.columns))}",
        )
    wrong = [
        name for name, way in directions.items()
        if way not in ("up", "down") or not is_numeric_dtype(rows[name].dtype) or is_bool_dtype(rows[name].dtype)
    ]  # fmt: skip
    if wrong or not math.isfinite(cutoff) or at_most < 1 or side not in ("above", "below"):
        raise DataError(
            f"the directions of {', '.join(wrong) or 'nothing'}, cutoff={cutoff}, at_most={at_most}, favourable={side!r}",
            expected="'up' or 'down' for numbers, a finite cutoff, at least one column, and 'above' or 'below'",
        )


class _Search:
    """The search for one table: candidates of every column, and the model."""

    def __init__(
        self, game: Game, rows: pd.DataFrame, background: pd.DataFrame, cutoff: float, directions: Mapping[str, Direction],
        fixed: Sequence[bool], sign: float,
    ) -> None:  # fmt: skip
        from pandas.api.types import is_bool_dtype, is_numeric_dtype

        self.game, self.cutoff, self.sign = game, sign * cutoff, sign
        self.fixed, self.directions = fixed, directions
        self.numeric = [
            is_numeric_dtype(rows[name].dtype) and not is_bool_dtype(rows[name].dtype) for name in game.columns
        ]
        self.values = [np.unique(column[np.isfinite(column)]) for column in game.background.T]
        self.sorted = [np.sort(column[np.isfinite(column)]) for column in game.background.T]
        self.names = [
            dict(zip(np.concatenate([mine, theirs]).tolist(), [*rows[name].tolist(), *background[name].tolist()], strict=True))
            for name, mine, theirs in zip(game.columns, game.rows.T, game.background.T, strict=True)
        ]  # fmt: skip
        self.tried = 0

    def outputs(self, states: Matrix) -> Matrix:
        """Return what the model makes of states, larger being more favourable."""
        self.tried += len(states)
        made: Matrix = self.sign * self.game.play(states)
        if not np.isfinite(made).all():
            raise DataError(
                "some outputs are not finite", expected="finite numbers", next_step="look for NaN in the rows"
            )
        return made

    def answer(self, place: int, label: Any, at_most: int) -> Counterfactual:
        """Search for one row."""
        self.tried = 0
        start = self.game.rows[place]
        before = float(self.outputs(start[None])[0])
        if before >= self.cutoff:
            return Counterfactual(row=label, status="favourable", before=self.sign * before, tried=self.tried)
        options = [self._options(column, start[column]) for column in range(len(start))]
        found = self._beam(start, options, at_most)
        if found is None:
            why = (
                f"no change tried of at most {at_most} columns flips it within the constraints; that none is found "
                f"among {self.tried:,} does not prove that there is none"
            )
            return Counterfactual(row=label, status="not_found", before=self.sign * before, tried=self.tried, why=why)
        return self._checked(label, start, self._small(start, found), before)

    def _options(self, column: int, old: float) -> Matrix:
        """Return the new values that a column may take, as it is decided for this row."""
        if self.fixed[column]:
            return np.zeros(0)
        values: Matrix = self.values[column]
        values = values[values != old]
        way = self.directions.get(self.game.columns[column])
        if way is not None:  # of a missing value nobody knows what is up
            values = values[values > old] if way == "up" else values[values < old]
        if not self.numeric[column] or len(values) <= LEVELS:
            return values
        places = np.linspace(0, len(values) - 1, LEVELS).round().astype(np.intp)
        some: Matrix = values[places]
        return some

    def _beam(self, start: Matrix, options: list[Matrix], at_most: int) -> Matrix | None:
        """Return the cheapest state that flips with the fewest changes, of those reached."""
        states = start[None]
        for _ in range(at_most):
            grown = [
                np.vstack([np.r_[state[:column], value, state[column + 1 :]] for value in options[column]])
                for state in states
                for column in range(len(start))
                if len(options[column]) and _same(state[column], start[column])
            ]
            if not grown:
                return None
            states = np.unique(np.vstack(grown), axis=0)
            made = self.outputs(states)
            flips = np.flatnonzero(made >= self.cutoff)
            if len(flips):
                costs = [self._cost(start, states[at]) for at in flips]
                best: Matrix = states[flips[int(np.argmin(costs))]]
                return best
            states = states[np.argsort(-made, kind="stable")[:BEAM]]
        return None

    def _small(self, start: Matrix, state: Matrix) -> Matrix:
        """Take back what is not needed, and move numbers towards their old value while the decision stays flipped."""
        return self._needed(start, self._nearer(start, self._needed(start, state)))

    def _needed(self, start: Matrix, state: Matrix) -> Matrix:
        """Take back changes until none can be left out."""
        for column in self._changed(start, state):
            trial = state.copy()
            trial[column] = start[column]
            if self.outputs(trial[None])[0] >= self.cutoff:
                return self._needed(start, trial)
        return state

    def _nearer(self, start: Matrix, state: Matrix) -> Matrix:
        state = state.copy()
        for column in self._changed(start, state):
            if not self.numeric[column] or not np.isfinite(start[column]):
                continue
            low, high = sorted((float(start[column]), float(state[column])))
            between = self.values[column]
            between = between[(between > low) & (between < high)]
            ladder = np.append(between if state[column] > start[column] else between[::-1], state[column])
            near, far = 0, len(ladder) - 1  # the farthest flips; the nearest that does is sought by halving
            while near < far:
                half = (near + far) // 2
                trial = state.copy()
                trial[column] = ladder[half]
                if self.outputs(trial[None])[0] >= self.cutoff:
                    far = half
                else:
                    near = half + 1
            state[column] = ladder[far]
        return state

    def _checked(self, label: Any, start: Matrix, state: Matrix, before: float) -> Counterfactual:
        """Put an answer to the model once more, beside the constraints."""
        after = float(self.outputs(state[None])[0])
        changed = self._changed(start, state)
        ways = [self.directions.get(self.game.columns[at]) for at in changed]
        kept = all(
            way is None or (state[at] > start[at]) == (way == "up") for at, way in zip(changed, ways, strict=True)
        )
        if after < self.cutoff or not kept or not changed or any(self.fixed[at] for at in changed):
            raise UnavailableError(
                f"the answer for {label!r} does not flip the decision within the constraints when the model is asked again",
                expected="a model that gives the same output for the same row",
                next_step="look for randomness in predict",
            )
        return Counterfactual(
            row=label, status="found", before=self.sign * before, after=self.sign * after,
            changes=tuple(
                Change(column=self.game.columns[at], before=self._named(at, start[at]), after=self._named(at, state[at]))
                for at in changed
            ),
            cost=self._cost(start, state), tried=self.tried,
        )  # fmt: skip

    def _changed(self, start: Matrix, state: Matrix) -> list[int]:
        return [at for at in range(len(start)) if not _same(start[at], state[at])]

    def _named(self, column: int, value: float) -> Any:
        return self.names[column].get(float(value), None if np.isnan(value) else float(value))

    def _cost(self, start: Matrix, state: Matrix) -> float:
        parts = []
        for at in self._changed(start, state):
            if self.numeric[at] and np.isfinite(start[at]):
                low, high = sorted((start[at], state[at]))
                own = self.sorted[at]
                parts.append((np.searchsorted(own, high, "right") - np.searchsorted(own, low, "left")) / len(own))
            else:
                parts.append(1.0)
        return math.fsum(parts)


def _same(one: float, other: float) -> bool:
    return bool(one == other or (np.isnan(one) and np.isnan(other)))
