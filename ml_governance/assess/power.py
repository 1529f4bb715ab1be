"""What a test set of some size can show: the chance that a rule passes, fails or stays inconclusive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_governance.assess import verdicts
from ml_governance.errors import DataError
from ml_governance.evidence import planning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.assess.verdicts import Form
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.planning import Plan

REPLICATES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Chances of each verdict at a size, and the size that would have settled it.

    Parameters
    ----------
    passed, failed, inconclusive : float
        Chances; they add up to 1. Their simulation error is at most 0.8 percentage points (one standard error).
    sizes : tuple of tuple of int
        Rows of each group, for each rate that is compared.
    plan : Plan or None
        For planning a new test set: how many rows would settle it with a chance of 80 %, were the rates as measured. None
        if none would. Adding rows to this test set until it passes is no test.
    """

    passed: float
    failed: float
    inconclusive: float
    sizes: tuple[tuple[int, ...], ...]
    plan: Plan | None


def power(
    parts: Sequence[Sequence[tuple[float, float]]],
    *,
    form: Form,
    bound: float,
    confidence: float,
    sides: Sides,
    rates: Sequence[Sequence[float]] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Power:
    """Return the chance of each verdict, by drawing samples of these sizes and judging them as the gate does.

    Parameters
    ----------
    parts : sequence of sequence of (k, n)
        Cases and rows of every group, for each rate that is compared: one, or two for equalized odds.
    form, bound, confidence, sides
        Of the rule; see :func:`ml_governance.assess.verdicts.judge`.
    rates : sequence of sequence of float, optional
        True rates to assume; default is those measured, which answers "would another sample like this one pass".
    replicates : int, default 4,000
        Samples drawn.
    seed : int, default 0
        Of the generator.

    Raises
    ------
    DataError
        If a count is no rate or an assumed rate is none.
    """
    generator = np.random.default_rng(seed)
    passed, failed = np.ones(replicates, dtype=bool), np.zeros(replicates, dtype=bool)
    sizes = []
    for at, part in enumerate(parts):
        n = np.array([round(rows) for _, rows in part], dtype=np.int64)
        if not (n > 0).all():
            raise DataError("a group has no rows", expected="at least one row in every group")
        p = np.array([k / rows for k, rows in part] if rates is None else rates[at], dtype=np.float64)
        if p.shape != n.shape or not ((p >= 0) & (p <= 1)).all():
            raise DataError(
                f"the rates {p.tolist()} are not one for each of {len(n)} groups", expected="numbers from 0 to 1"
            )
        drawn = generator.binomial(n, p, size=(replicates, len(n)))
        found = verdicts.judge(
            drawn, n, form=form, bound=bound, confidence=confidence, sides=sides, multiplicity=len(parts)
        )
        passed &= found.passed
        failed |= found.failed
        sizes.append(tuple(int(one) for one in n))
    plans = [
        planning.rows_to_settle(
            part, form=form, side="at_least" if form == "ratio" else "at_most", bound=bound, confidence=confidence,
            sides=sides, multiplicity=len(parts),
        )
        for part in parts
    ]  # fmt: skip
    yes, no = float(passed.mean()), float(failed.mean())
    return Power(
        passed=yes, failed=no, inconclusive=max(0.0, 1 - yes - no), sizes=tuple(sizes), plan=planning.joined(plans)
    )
