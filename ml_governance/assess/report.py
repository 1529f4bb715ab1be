"""What every assessment returns: measurements, details for drawing, and ways to read them."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ml_governance import __version__
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Measurement, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from ml_governance.assess.plots import Plot
    from ml_governance.evidence.predicates import Assessment

SHOWN = 60
"""Rows of the table that a notebook shows."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Base of the assessment reports.

    Parameters
    ----------
    measurements : tuple of Measurement
        Every number, typed: value, counts, intervals, n, status.
    details : dict
        Curves and tables for drawing; plain JSON values.
    columns : dict
        Which columns were used as what.
    confidence : float
        Level of the intervals.
    min_group_size : int
        Below this a number is ``insufficient``.
    seed : int or None
        Seed of everything random; None where nothing was.
    source : callable or None
        Computes the digest of the columns used, when it is asked for.
    """

    kind: ClassVar[str]
    content: ClassVar[type[Assessment]]

    measurements: tuple[Measurement, ...] = field(repr=False)
    details: dict[str, Any] = field(repr=False)
    columns: dict[str, str | list[str]]
    confidence: float
    min_group_size: int
    seed: int | None = None
    source: Callable[[], Resource] | None = field(default=None, repr=False, compare=False)

    def inputs(self) -> Resource:
        """Return the digest of the columns that the numbers were computed from.

        Raises
        ------
        DataError
            If the report was made without rows, as from published counts.
        """
        if self.source is None:
            raise DataError(
                f"this {self.kind} report was made without rows",
                expected="the rows, or a Resource that names them by digest",
                next_step="ws.attest(version, report, data=...)",
            )
        return self.source()

    def to_content(self, *, predictions: str, dataset: Resource) -> Assessment:
        """Return the predicate that is signed.

        Parameters
        ----------
        predictions : {'recomputed', 'caller-supplied', 'claimed'}
            Who made the predictions.
        dataset : Resource
            The rows, by digest.
        """
        return self.content.model_validate(
            {**self._fields(), "predictions": predictions, "dataset": dataset, "software": _software()}
        )

    def _fields(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "confidence": self.confidence,
            "min_group_size": self.min_group_size,
            "measurements": self.measurements,
            "details": self.details,
            "seed": self.seed,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the same inputs give the same dict."""
        return {
            "kind": self.kind,
            "columns": self.columns,
            "confidence": self.confidence,
            "minGroupSize": self.min_group_size,
            "seed": self.seed,
            "measurements": [measurement.to_wire() for measurement in self.measurements],
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any], **more: Any) -> Self:
        """Read what :meth:`to_dict` gave, as from a process that measured; ``more`` are fields that it does not have."""
        return cls(
            measurements=tuple(Measurement.model_validate(entry) for entry in value["measurements"]),
            details=value["details"],
            columns=value["columns"],
            confidence=value["confidence"],
            min_group_size=value["minGroupSize"],
            seed=value["seed"],
            **more,
        )

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True)

    def to_frame(self) -> pd.DataFrame:
        """Return a long table: metric, by, group, value, lower, upper, n, status, reason."""
        import pandas as pd

        rows = []
        for one in self.measurements:
            interval = next((i for i in one.intervals if i.sides == "two-sided"), None)
            rows.append(
                {
                    "metric": one.metric,
                    "by": " x ".join(one.by),
                    "group": " x ".join(one.group),
                    "value": one.value,
                    "lower": interval.lower if interval else None,
                    "upper": interval.upper if interval else None,
                    "n": one.n,
                    "status": one.status,
                    "reason": one.reason,
                }
            )
        frame = pd.DataFrame(rows)
        return frame.astype({"value": float, "lower": float, "upper": float})

    def get(self, metric: str, by: Sequence[str] = (), group: Sequence[str] = ()) -> Measurement:
        """Return one measurement.

        Raises
        ------
        KeyError
            If it was not measured.
        """
        for one in self.measurements:
            if (one.metric, one.by, one.group) == (metric, tuple(by), tuple(group)):
                return one
        raise KeyError(_absent(self.measurements, metric, tuple(by), tuple(group)))

    def plot(self, kind: str | None = None, **options: Any) -> Plot:
        """Draw the report.

        Parameters
        ----------
        kind : str, optional
            Of fairness: ``groups`` (a rate of every group; options ``metric``, ``by``, ``bound``), ``mosaic`` (size and
            rate; ``metric``, ``by``), ``four_fifths`` (impact ratios; ``by``); and with scores ``sweep`` (selection rates
            over thresholds; ``by``, ``threshold``), ``roc`` and ``calibration`` (``by``). Of performance: ``roc``, ``calibration``
            or ``groups``. Of explanation: ``importance`` (``top``), ``gap`` (``by``, ``group``, ``top``; the default is the largest),
            and of a report just made ``waterfall`` (``row``, its label; ``top``) and ``dependence`` (``column``).
            The default is the first that there is.
        **options
            As named above.

        Returns
        -------
        Plot
            With ``svg``, ``to_frame()`` and ``save(path)``.

        Raises
        ------
        DataError
            If there is no such plot, or what it shows was not measured.
        """
        from ml_governance.assess.plot_of import plot_of

        return plot_of(self, kind, **options)

    def __repr__(self) -> str:
        there = [m for m in self.measurements if m.value is not None]
        shown = ([m for m in there if not m.by] or [m for m in there if not m.group])[:4]  # of all rows, or over groups
        values = ", ".join(f"{m.metric}={m.value:.4g}" for m in shown)
        return f"<{type(self).__name__} {len(self.measurements)} measurements: {values}>"

    def _repr_html_(self) -> str:
        from html import escape

        from ml_governance.assess.plot_of import gallery

        rows = []
        frame = self.to_frame()
        for _, row in frame.head(SHOWN).iterrows():
            value = f"{row['value']:.4f}" if row["value"] == row["value"] else "&ndash;"
            interval = f"{row['lower']:.4f} to {row['upper']:.4f}" if row["lower"] == row["lower"] else "&ndash;"
            where = " = ".join(part for part in (row["by"], row["group"]) if part) or "all rows"
            n = row["n"] if isinstance(row["n"], int) else "&ndash;"
            rows.append(
                f"<tr><td>{escape(row['metric'])}</td><td>{escape(where)}</td><td>{value}</td><td>{interval}</td>"
                f"<td>{n}</td><td>{escape(row['status'])}</td></tr>"
            )
        heads = "".join(
            f"<th>{text}</th>"
            for text in ("metric", "group", "value", f"{self.confidence:.0%} interval", "n", "status")
        )
        more = f"<p>{len(frame) - SHOWN:,} more: to_frame() has them all</p>" if len(frame) > SHOWN else ""
        table = f"<table><caption>{self.kind}</caption><tr>{heads}</tr>{''.join(rows)}</table>{more}"
        figures = "".join(
            f'<div style="flex:1 1 320px;max-width:480px">{plot.to_html()}</div>' for plot in gallery(self)
        )
        return (f'<div style="display:flex;flex-wrap:wrap;gap:12px">{figures}</div>' if figures else "") + table


def digest_of(name: str, **columns: Any) -> Resource:
    """Return cleaned columns as a resource: their logical table digest, and how many rows."""
    import pandas as pd

    from ml_governance.evidence import fingerprint

    frame = pd.DataFrame({column: values for column, values in columns.items() if values is not None})
    return Resource(name=name, sha256=fingerprint.table(frame).sha256, rows=len(frame))


def _absent(measurements: Sequence[Measurement], metric: str, by: tuple[str, ...], group: tuple[str, ...]) -> str:
    """Say what was asked for, and which of its parts is not there."""
    alike = [one for one in measurements if one.metric == metric]
    if not alike:
        near = get_close_matches(metric, {one.metric for one in measurements}, n=1)
        return f"{metric} was not measured" + (f"; did you mean {near[0]}?" if near else "")
    ways = dict.fromkeys(" x ".join(one.by) or "all rows" for one in alike)
    if all(one.by != by for one in alike):
        return f"{metric} was not measured by {' x '.join(by) or 'all rows'}; it was by {', '.join(ways)}"
    groups = dict.fromkeys(" x ".join(one.group) or "all groups together, group=()" for one in alike if one.by == by)
    shown = ", ".join(list(groups)[:20]) + (", ..." if len(groups) > 20 else "")
    asked = " x ".join(group) or "all groups together"
    return f"{metric} by {' x '.join(by)} was not measured for {asked}; it was for {shown}"


def _software() -> dict[str, str]:
    import numpy as np

    return {"ml-governance": __version__, "python": platform.python_version(), "numpy": np.__version__}
