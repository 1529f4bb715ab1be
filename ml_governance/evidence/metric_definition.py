"""What is said about a metric: its name, direction, range, unit, formula and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["rate", "score", "ratio", "difference", "aggregate"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a metric name means.

    Parameters
    ----------
    name : str
        Its name in reports and policies.
    evidence : str
        The kind of assessment that measures it.
    form : {'rate', 'score', 'ratio', 'difference', 'aggregate'}
        ``rate`` is a count over a count, per group or overall; ``score`` is any other number of a group or of all
        rows; ``ratio`` and ``difference`` compare the rates of the groups of one attribute, smallest over largest and
        largest minus smallest, and are computed again from the signed counts by whoever judges them; ``aggregate``
        is any other number over all groups of an attribute, which counts of rates do not give: its signed interval
        is what can be judged.
    of : tuple of str
        For ``ratio`` and ``difference``: the rates that are compared. Where there are two, as in equalized
        odds, the worse of the two counts. For ``aggregate``: the metric of the groups that it follows from, if one.
    better : {'higher', 'lower', None}
        Which way is better; None where a rule must say.
    low, high : float or None
        Range; None where unbounded.
    unit : str
        What one unit is, for sentences and axes.
    text : str
        Its meaning in one plain sentence.
    formula : str
        How it is computed. TP, FP, TN, FN are counts of a group, N their sum; x_g is the metric of group g.
    source : str
        Where the definition comes from.
    edge : str
        Where it is undefined, or what to know of its ends.
    """

    name: str
    evidence: str
    form: Form
    of: tuple[str, ...] = ()
    better: Better | None
    low: float | None = 0.0
    high: float | None = 1.0
    unit: str = "proportion"
    text: str
    formula: str
    source: str
    edge: str

    def to_dict(self) -> dict[str, str | None]:
        """Return what there is to say, in words, as plain JSON values."""
        return {
            "name": self.name, "kind": self.evidence, "form": self.form, "range": self.range, "better": self.better,
            "unit": self.unit, "meaning": self.text, "formula": self.formula, "source": self.source, "edge": self.edge,
        }  # fmt: skip

    @property
    def range(self) -> str:
        """The range in words, such as ``0 to 1`` or ``0 or more``."""
        if self.low is None and self.high is None:
            return "any number"
        if self.high is None:
            return f"{self.low:g} or more"
        if self.low is None:
            return f"{self.high:g} or less"
        return f"{self.low:g} to {self.high:g}"
