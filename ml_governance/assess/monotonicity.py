"""Whether a score rises, or falls, with a column as somebody says that it must.

Each row is asked with every value of a grid in the place of its own: the quantiles of the column, and its own value. It violates the
direction if the score moves the wrong way between any two neighbours. The worst row is named by a digest, never by its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.deciding import scores_of
from ml_governance.assess.perturbation import like
from ml_governance.errors import DataError
from ml_governance.evidence.canonical import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from ml_governance.assess.deciding import Decider

Direction = Literal["+", "-"]
GRID = 11
TOLERANCE = 1e-6
"""What a score may move the wrong way: models that add in 32 bits move it so by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violations:
    """Which rows violate a direction, and by how much.

    Parameters
    ----------
    column : str
        The column that moves.
    direction : {'+', '-'}
        Where the score must go as the column rises.
    rows : array of bool, shape (n,)
        Which rows violate it.
    worst : str or None
        Digest of the row that does so most; see :func:`row_digest`.
    drop : float
        By how much its score moves the wrong way.
    """

    column: str
    direction: Direction
    rows: NDArray[np.bool_]
    worst: str | None
    drop: float


def check_directions(monotone: Mapping[str, str], rows: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, Direction]:
    """Return stated directions, each a column of numbers that the model takes.

    Raises
    ------
    DataError
        If one is something else.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    found: dict[str, Direction] = {}
    for name, direction in monotone.items():
        if direction not in ("+", "-"):
            raise DataError(
                f"the direction of {name} is {direction!r}", expected="'+', the score rises with it, or '-'"
            )
        if name not in columns:
            raise DataError(f"the model takes no column {name!r}", expected=f"one of {', '.join(columns)}")
        if not is_numeric_dtype(rows[name].dtype) or is_bool_dtype(rows[name].dtype):
            raise DataError(f"{name} holds {rows[name].dtype}", expected="numbers, which rise and fall")
        found[name] = "+" if direction == "+" else "-"
    return found


def violations(decider: Decider, rows: pd.DataFrame, column: str, direction: Direction, pos_label: Any) -> Violations:
    """Ask every row along a grid of one column.

    Parameters
    ----------
    decider : Decider
        The model.
    rows : DataFrame of shape (n, columns)
        What it takes.
    column, direction
        As checked by :func:`check_directions`.
    pos_label : object
        The label whose probability is the score.

    Raises
    ------
    DataError
        If the model gives no score, one that is not finite, or the column has no finite value.
    """
    own = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    known = own[np.isfinite(own)]
    if not len(known):
        raise DataError(f"{column} has no finite value", expected="numbers to move it through")
    grid = np.unique(np.quantile(known, np.linspace(0, 1, GRID), method="nearest"))
    sizes: list[NDArray[np.float64]] = []
    start = 0
    for part in decider.parts(rows, max(1, decider.batch // (len(grid) + 1))):
        mine = own[start : start + len(part)]
        start += len(part)
        points = np.sort(
            np.column_stack([np.tile(grid, (len(part), 1)), np.where(np.isfinite(mine), mine, grid[0])]), axis=1
        )
        asked = part.iloc[np.repeat(np.arange(len(part)), points.shape[1])].reset_index(drop=True)
        asked[column] = like(points.reshape(-1), asked[column], whole=asked[column].dtype.kind in "iu")
        scores = scores_of(decider.model, asked, pos_label)
        if scores is None:
            raise DataError(
                "the model gives no score", expected="predict_proba, numbers, or pos_label to say which label counts"
            )
        if not np.isfinite(scores).all():
            raise DataError("some scores are NaN or infinite", expected="a score of every row")
        steps: NDArray[np.float64] = np.diff(scores.reshape(len(part), -1), axis=1) * (1 if direction == "+" else -1)
        sizes.append(np.maximum(0.0, -steps.min(axis=1)))
    size = np.concatenate(sizes)
    at = int(size.argmax())
    bad = size > TOLERANCE
    return Violations(
        column=column, direction=direction, rows=bad, worst=row_digest(rows, at) if bad.any() else None,
        drop=float(size[at]) if bad.any() else 0.0,
    )  # fmt: skip


def row_digest(rows: pd.DataFrame, position: int) -> str:
    """Return the name of a row: SHA-256 over the digest of the whole table and of the row as a table of its own.

    Whoever has the table finds the row; whoever has not cannot try likely rows against the name.
    """
    from ml_governance.evidence import fingerprint

    whole = rows.reset_index(drop=True)
    return sha256_hex(f"{fingerprint.table(whole).sha256}/{_row(whole, position)}".encode())


def find_row(rows: pd.DataFrame, digest: str) -> int:
    """Return the position of the row that a digest names.

    Parameters
    ----------
    rows : DataFrame
        The table that was assessed: the columns that the model takes.
    digest : str
        As :func:`row_digest` gives it.

    Raises
    ------
    DataError
        If no row of this table has it.
    """
    from ml_governance.evidence import fingerprint

    whole = rows.reset_index(drop=True)
    table = fingerprint.table(whole).sha256
    for position in range(len(whole)):
        if sha256_hex(f"{table}/{_row(whole, position)}".encode()) == digest:
            return position
    raise DataError(
        f"no row has the digest {digest[:12]}",
        expected="the table that was assessed, with the columns that the model takes",
    )


def _row(whole: pd.DataFrame, position: int) -> str:
    from ml_governance.evidence import fingerprint

    return fingerprint.table(whole.iloc[[position]].reset_index(drop=True)).sha256
