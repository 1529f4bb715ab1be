"""Numbers of all rows and of each group, one attribute at a time, as robustness and reproducibility report them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import sensitive
from ml_governance.assess.contrasts import Number, measured
from ml_governance.assess.rates import rate_measurement
from ml_governance.errors import DataError
from ml_governance.evidence import intervals
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.evidence.intervals import Sides

    Flags = NDArray[np.bool_]

COLUMN = "column"
"""The attribute of what is measured by column of the table, and not by group of people."""
METHOD = "wilson-mean"


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of one group, or all of them."""

    by: tuple[str, ...]
    group: tuple[str, ...]
    rows: Flags


def slices_of(sensitive_features: Any, n: int) -> tuple[tuple[Slice, ...], list[str]]:
    """Return all rows and each group of each attribute, and the names of the attributes.

    Raises
    ------
    DataError
        If an attribute cannot be read, or has the name that stands for columns of the table.
    """
    made = [Slice((), (), np.ones(n, dtype=bool))]
    found = {} if sensitive_features is None else sensitive.read(sensitive_features, n)
    if COLUMN in found:
        raise DataError(
            f"a sensitive feature is called {COLUMN!r}",
            expected="another name: that one stands for columns of the table",
        )
    for name, (own, levels) in found.items():
        made += [Slice((name,), (level,), own == place) for place, level in enumerate(levels)]
    return tuple(made), list(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes a measurement of every slice."""

    slices: tuple[Slice, ...]
    confidence: float
    min_group_size: int

    def rates(self, metric: str, flags: Flags) -> list[Measurement]:
        """Return a share of rows, of every slice."""
        made = []
        for one in self.slices:
            n, k = int(one.rows.sum()), int(flags[one.rows].sum())
            least = self.min_group_size if one.by else 1
            made.append(rate_measurement(metric, k, n, n, one.by, one.group, self.confidence, least))
        return made

    def means(self, metric: str, values: NDArray[np.float64]) -> list[Measurement]:
        """Return the mean over rows of numbers from 0 to 1, of every slice."""
        made = []
        for one in self.slices:
            own = values[one.rows]
            total, n = float(own.sum()), len(own)
            reason = None if n else f"0/0: no row that {metric} could be a mean over"
            number = Number(
                group=one.group, n=n, size=n, value=total / n if n else None, reason=reason,
                bounds=partial(_wilson, min(total, float(n)), n), method=METHOD,
            )  # fmt: skip
            made.append(measured(metric, one.by, number, self.confidence, self.min_group_size))
        return made

    def undefined(self, metric: str, reason: str) -> list[Measurement]:
        """Return why there is no number, of every slice."""
        return [
            Measurement(
                metric=metric, by=one.by, group=one.group, n=int(one.rows.sum()), status="undefined", reason=reason
            )
            for one in self.slices
        ]

    def number(self, metric: str, by: tuple[str, ...], number: Number) -> Measurement:
        """Return one number as it is reported."""
        return measured(metric, by, number, self.confidence, self.min_group_size)


def _wilson(k: float, n: int, level: float, sides: Sides) -> tuple[float, float]:
    return intervals.rate(k, n, confidence=level, sides=sides)
