"""Whether generated rows are copies of training rows, or nearer to them than chance.

Rows that the model never saw and that come from where the training rows do are the yardstick: they are copied, and come near, by
chance alone (Platzer and Reutterer, Frontiers in Big Data 4 (2021) 679939). Rows are as far apart as Gower says (Biometrics 27 (1971)
857), a number being its rank among all rows: the sum over columns of the difference of ranks, of 1 where categories differ,
and of 1 where one of the two is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.columns import coded
from ml_governance.assess.contrasts import difference_of_rates
from ml_governance.assess.halves import draws
from ml_governance.assess.rates import rate_measurement
from ml_governance.assess.row_keys import RowKeys
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column, Table
    from ml_governance.evidence.predicates import Measurement

MAX_COMPARED, MAX_REFERENCE = 1000, 4000
"""Generated rows that are compared, and rows of either kind that they are compared with; more are drawn from."""


def copied(
    generated: Table, training: Table, held_out: Table, *, confidence: float, min_rows: int, seed: int
) -> tuple[list[Measurement], dict[str, Any]]:
    """Return how many generated rows are copies, and how many are nearer to training than to held-out rows.

    Parameters
    ----------
    generated, training, held_out : Table
        With the same columns.
    confidence : float in (0, 1)
        Of the intervals.
    min_rows : int
        With fewer rows of a kind, numbers are ``insufficient``.
    seed : int
        Of the rows that are drawn.

    Returns
    -------
    measurements : list of Measurement
    details : dict
        Quantiles of the distances to the nearest row of either kind.

    Raises
    ------
    DataError
        If the tables have different columns.
    """
    stack = [generated, training, held_out]
    if any(set(one.names) != set(generated.names) for one in stack):
        raise DataError(
            "generated, training and held-out rows have different columns", expected="the same columns in all three"
        )
    random = draws(seed)
    size = min(training.rows, held_out.rows, MAX_REFERENCE)
    wanted = (min(generated.rows, MAX_COMPARED), size, size)
    picks = [np.sort(random.choice(one.rows, size=n, replace=False)) for one, n in zip(stack, wanted, strict=True)]
    keys = RowKeys(sum(one.rows for one in stack))
    distances = [np.zeros((wanted[0], size), dtype=np.float32) for _ in range(2)]
    for name in generated.names:
        column = coded(name, stack)
        keys.add(column.codes, len(column.values))
        _add(distances, column, picks)
    counts = _exact(keys.settled(), generated.rows, training.rows)
    made = _compared(counts, confidence, min_rows)
    near, far = (one.min(axis=1) for one in distances)
    nearer = int((near < far).sum()) + int((near == far).sum()) // 2
    one = rate_measurement("nearer_to_training_rate", nearer, wanted[0], wanted[0], (), (), confidence, min_rows)
    if size < min_rows:
        one = one.model_copy(
            update={"status": "insufficient", "reason": f"{size} rows of a kind where {min_rows} are required"}
        )
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return [*made, one], {
        "columns": len(generated.names), "compared": wanted[0], "reference": size, "quantiles": list(levels),
        "to_training": np.quantile(near, levels).round(6).tolist(), "to_held_out": np.quantile(far, levels).round(6).tolist(),
    }  # fmt: skip


def _add(distances: list[NDArray[np.float32]], column: Column, picks: list[NDArray[np.intp]]) -> None:
    """Add what a column says to the distances to training and to held-out rows."""
    if column.kind == "text":
        place = np.arange(len(column.values) + 1, dtype=np.float32)
    else:
        counts = np.bincount(column.codes + 1, minlength=len(column.values) + 1)[1:]  # alike for both yardsticks
        place = np.append((np.cumsum(counts) - counts / 2) / max(int(counts.sum()), 1), 0.0).astype(np.float32)
    own, *others = (column.of(table)[pick] for table, pick in enumerate(picks))
    for total, other in zip(distances, others, strict=True):
        part = np.abs(place[own][:, None] - place[other][None, :])
        if column.kind == "text":
            np.minimum(part, 1, out=part)
        part[(own < 0)[:, None] ^ (other < 0)[None, :]] = 1
        np.add(total, part, out=total)


def _exact(keys: NDArray[np.int64], generated: int, training: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return copies of training rows among generated and among held-out rows, with how many there are of these."""
    known = np.zeros(int(keys.max()) + 1, dtype=bool)
    known[keys[generated : generated + training]] = True
    made, held = known[keys[:generated]], known[keys[generated + training :]]
    return (int(made.sum()), len(made)), (int(held.sum()), len(held))


def _compared(counts: tuple[tuple[int, int], tuple[int, int]], confidence: float, min_rows: int) -> list[Measurement]:
    (k1, n1), (k2, n2) = counts
    small = f"{min(n1, n2)} rows where {min_rows} are required" if min(n1, n2) < min_rows else None
    return [
        rate_measurement("copied_row_rate", k1, n1, n1, (), (), confidence, min_rows),
        rate_measurement("held_out_copied_row_rate", k2, n2, n2, (), (), confidence, min_rows),
        difference_of_rates("excess_copied_row_rate", *counts, confidence, small, n=n1 + n2),
    ]
