"""The largest of many numbers, such as one for each column, with bounds that look at all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.assess.contrasts import both_sides
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.evidence.intervals import Sides

    Bounds = Callable[[float, Sides], tuple[float, float]]

METHOD = "bonferroni"


def largest(
    metric: str, found: Sequence[tuple[Measurement, Bounds | None]], confidence: float, *, by: tuple[str, ...] = ()
) -> Measurement:
    """Return the largest number, between the largest lower and the largest upper bound of all (Bonferroni).

    One that is undefined makes it so, and one that is insufficient does, for nobody can say that it is not the largest.

    Parameters
    ----------
    metric : str
        What the largest is called.
    found : sequence of (Measurement, bounds)
        The numbers, one or more, and what gives the bounds of each at a confidence.
    confidence : float in (0, 1)
        Of all bounds together.
    by : tuple of str
        What the largest is said to be by.
    """
    common: dict[str, Any] = {"metric": metric, "by": by, "n": max(one.n for one, _ in found)}
    silent = next((one for one, _ in found if one.value is None), None)
    if silent is not None:
        return Measurement(**common, status="undefined", reason=f"{_named(silent)}: {silent.reason}")
    every = [bounds for _, bounds in found if bounds is not None]

    def together(level: float, sides: Sides) -> tuple[float, float]:
        made = [bounds(1 - (1 - level) / len(every), sides) for bounds in every]
        return max(lower for lower, _ in made), max(upper for _, upper in made)

    small = next((one for one, _ in found if one.status != "ok"), None)
    return Measurement(
        **common, value=max(one.value for one, _ in found if one.value is not None),
        intervals=both_sides(together, confidence, METHOD) if len(every) == len(found) else (),
        status="insufficient" if small else "ok", reason=f"{_named(small)}: {small.reason}" if small else None,
    )  # fmt: skip


def _named(one: Measurement) -> str:
    return " x ".join(one.group) or "all rows"
