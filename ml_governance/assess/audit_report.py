"""What an audit returns: a report of every kind that could be measured, and why there is none of every other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from ml_governance.assess.report import Report
    from ml_governance.evidence.predicates import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A kind that was asked for and could not be measured.

    Parameters
    ----------
    kind : str
        Such as ``explanation``.
    reason : str
        Why.
    expected : str or None
        What it needs.
    """

    kind: str
    reason: str
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} was not measured: {self.reason}" + (f"; expected {self.expected}" if self.expected else "")


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditReport:
    """The reports of one audit, by kind.

    Parameters
    ----------
    reports : mapping of str to Report
        What was measured, by kind: ``performance``, ``data-quality`` and so on; also as attributes, ``audit.data_quality``.
    unmeasured : mapping of str to Unmeasured
        What was asked for and could not be measured, by kind. Every kind that was asked for stands in one of the two.
    rows : int
        How many were assessed.
    source : callable
        Computes the digest of the rows, once, when it is asked for; every report on rows has the same one.
    seconds : mapping of str to float
        How long each kind took, and what they share: ``overlap`` and ``predictions``; by the clock that was given.
    """

    reports: Mapping[str, Report]
    unmeasured: Mapping[str, Unmeasured]
    rows: int
    source: Callable[[], Resource] = field(compare=False)
    seconds: Mapping[str, float] = field(compare=False)

    def __getattr__(self, kind: str) -> Report:
        """Return the report of a kind.

        Raises
        ------
        DataError
            If it was asked for and could not be measured; says why.
        AttributeError
            If it was not asked for.
        """
        name = kind.replace("_", "-")
        reports: Mapping[str, Report] = object.__getattribute__(self, "reports")
        if name in reports:
            return reports[name]
        unmeasured: Mapping[str, Unmeasured] = object.__getattribute__(self, "unmeasured")
        if name in unmeasured:
            one = unmeasured[name]
            raise DataError(f"{name} was not measured: {one.reason}", expected=one.expected)
        raise AttributeError(kind)

    @property
    def dataset(self) -> Resource:
        """The rows, by digest."""
        return self.source()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the same inputs give the same dict, so it holds no seconds."""
        return {
            "rows": self.rows,
            "reports": {kind: report.to_dict() for kind, report in self.reports.items()},
            "unmeasured": {
                kind: {"reason": one.reason, **({"expected": one.expected} if one.expected else {})}
                for kind, one in self.unmeasured.items()
            },
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a long table: kind, and the columns of :meth:`Report.to_frame`; a kind without a report is one ``undefined`` row."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for kind, report in self.reports.items():
            rows += [
                {"kind": kind, **{str(name): value for name, value in row.items()}}
                for row in report.to_frame().to_dict("records")
            ]
        nothing: dict[str, Any] = {
            **dict.fromkeys(("metric", "by", "group"), ""),
            **dict.fromkeys(("value", "lower", "upper", "n")),
        }
        for kind, one in self.unmeasured.items():
            rows.append({"kind": kind, **nothing, "status": "undefined", "reason": one.reason})
        frame = pd.DataFrame(rows)
        return frame.astype({"value": float, "lower": float, "upper": float})

    def __repr__(self) -> str:
        missing = f", not measured: {', '.join(self.unmeasured)}" if self.unmeasured else ""
        return f"<{type(self).__name__} of {self.rows:,} rows: {', '.join(self.reports)}{missing}>"

    def _repr_html_(self) -> str:
        from html import escape

        parts = [f"<h4>Audit of {self.rows:,} rows</h4>"]
        for kind, report in self.reports.items():
            took = f": {self.seconds[kind]:.1f} s" if kind in self.seconds else ""
            parts.append(f"<p>{escape(kind)}{took}</p>{report._repr_html_()}")
        parts += [f"<p>{escape(str(one))}</p>" for one in self.unmeasured.values()]
        return "".join(parts)
