"""A window of production against what was approved: drift by column, and fairness, from counts alone.

Drift is compared with the baseline that was signed with the approved assessment, each column beside what chance alone would do
(:mod:`ml_governance.assess.drift`). Selection rates are those of all predictions; rates that need a label are those of the predictions
whose label has come, and nothing here says that labels come to all groups alike: ``labelled_share`` and the rows of each number do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml_governance.assess import rates, splits
from ml_governance.assess.baseline import OTHER, PREDICTION, SCORE, Baseline
from ml_governance.assess.cube import MISSING, Cube
from ml_governance.assess.drift import DriftReport, assess_drift
from ml_governance.assess.profile import Profile
from ml_governance.assess.report import Report
from ml_governance.errors import DataError, MissingEvidenceError
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.metrics import METRICS
from ml_governance.evidence.predicates import Assessment, Measurement, Monitoring, Resource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.operate.counting import Layout, Slots
    from ml_governance.operate.windows import Window

COLUMN = "column"
"""What distances are said to be by."""
ALPHA = 0.05
_OF_SELECTION = frozenset(
    ("selection_rate", "selection_rate_ratio", "selection_rate_difference", "demographic_parity_ratio", "demographic_parity_difference")
)  # fmt: skip


_KNOWN = frozenset(name for kind, name in METRICS if kind == "monitoring")


@dataclass(frozen=True, kw_only=True, repr=False)
class MonitoringReport(Report):
    """How a model did in a window.

    Parameters
    ----------
    drift : DriftReport
        Distance of each column, of the prediction, and of the score where it was asked for.
    window : Window
        The counts; they are not signed.
    stage : str
        Where it was served.
    compared_with : str
        Payload digest of the assessment that brought the baseline.
    notes : tuple of str
        What a reader should know.
    """

    kind: ClassVar[str] = "monitoring"
    content: ClassVar[type[Assessment]] = Monitoring

    drift: DriftReport = field(repr=False)
    window: Window = field(repr=False)
    stage: str
    compared_with: str
    notes: tuple[str, ...] = ()

    @property
    def labelled(self) -> int:
        """Predictions whose label has come."""
        return int(self.window.labelled.sum())

    def _fields(self) -> dict[str, Any]:
        tally = self.window.tally
        return {
            **super()._fields(), "stage": self.stage, "begins": self.window.begins, "ends": self.window.ends,
            "baseline": self.compared_with, "predicted": tally.predicted, "labelled": self.labelled, "uncounted": tally.uncounted,
        }  # fmt: skip


def compare(
    window: Window,
    baseline: Baseline,
    layout: Layout,
    *,
    stage: str,
    compared_with: str,
    confidence: float = 0.95,
    min_rows: int = 30,
) -> MonitoringReport:
    """Compare a window with a baseline.

    Parameters
    ----------
    window : Window
        What was counted.
    baseline : Baseline
        What was approved.
    layout : Layout
        By which the window was counted: the baseline's.
    stage, compared_with : str
        For the record.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_rows : int, default 30
        Below it a number is ``insufficient``.

    Returns
    -------
    MonitoringReport

    Raises
    ------
    MissingEvidenceError
        If nothing was predicted in the window.
    DataError
        If the window was counted on another baseline, or an argument is out of range.
    """
    tally = window.tally
    if not tally.predicted:
        raise MissingEvidenceError(
            f"nothing was predicted between {window.begins.isoformat()} and {window.ends.isoformat()}",
            expected="predictions made with ws.deployment(...)",
            next_step="a longer --window; deployments write to the folder that MLGOV_STATE names",
        )
    if layout.digest != baseline.digest:
        raise DataError("the window was counted on another baseline", expected="the approved one")
    drift = _drift(window, baseline, layout, min_rows)
    distances = splits.distances(drift, COLUMN)
    attributes = tuple(one.name for one in layout.attributes)
    measurements = (
        *distances,
        splits.largest([one for one in distances if one.metric == "psi_excess"]),
        _share("labelled_share", int(window.labelled.sum()), tally.predicted, min_rows),
        _share("uncounted_share", tally.uncounted, tally.predicted, min_rows),
        *_fairness(window, layout, confidence, min_rows),
    )
    return MonitoringReport(
        measurements=measurements, details={"unseen": _others(window, layout), "failedCalls": tally.failed, "calls": tally.calls},
        columns={"sensitive_features": list(attributes), "pos_label": baseline.positive}, confidence=confidence,
        min_group_size=min_rows, seed=0, source=lambda: _digest(window), drift=drift, window=window, stage=stage,
        compared_with=compared_with, notes=_notes(window, baseline, layout),
    )  # fmt: skip


def _drift(window: Window, baseline: Baseline, layout: Layout, min_rows: int) -> DriftReport:
    known = {one.name: one for one in baseline.columns}
    counted = window.tally.columns
    slots = [*layout.columns, *(one for one in (layout.prediction, layout.score) if one is not None)]
    # A service that never asks for scores has none; a column of the model is compared, and is undefined without a row.
    wanted = [one for one in slots if one.name != SCORE or one.name in counted]
    reference = {one.name: known[one.name] for one in wanted}
    current = {one.name: _profile(one, known[one.name], counted.get(one.name)) for one in wanted}
    return assess_drift(reference, current, metrics=("psi",), alpha=ALPHA, min_rows=min_rows, seed=0)


def _profile(slots: Slots, like: Profile, counts: NDArray[np.int64] | None) -> Profile:
    rows = [0] * slots.size if counts is None else counts.tolist()
    if like.kind == "numeric":
        return Profile(name=like.name, kind="numeric", edges=like.edges, counts=tuple(rows[:-1]), missing=rows[-1])
    return Profile.from_counts(
        like.name,
        {**{level: rows[at] for level, at in slots.place.items()}, OTHER: rows[slots.other]},
        missing=rows[-1],
    )


def _share(name: str, k: int, n: int, min_rows: int) -> Measurement:
    small = n < min_rows
    return Measurement(
        metric=name, value=k / n, numerator=k, denominator=n, n=n, status="insufficient" if small else "ok",
        reason=f"{n} predictions where {min_rows} are required" if small else None,
    )  # fmt: skip


def _fairness(window: Window, layout: Layout, confidence: float, min_rows: int) -> list[Measurement]:
    """Return selection rates of all predictions, and every other rate of those with a label."""
    made: list[Measurement] = []
    selected = window.tally.selected
    every = np.zeros((*window.labelled.shape,), dtype=np.int64)
    if selected is not None:
        every[:, 0, :] = selected
    for counts, wanted in ((every, True), (window.labelled, False)):
        if not counts.any():
            continue
        cube = _cube(counts, layout)
        bys: list[tuple[str, ...]] = [(name,) for name in cube.attributes]
        bys += [cube.attributes] if len(bys) > 1 else []
        found = rates.measure(cube, bys, confidence, min_rows)["measurements"]
        made += [one for one in found if (one.metric in _OF_SELECTION) is wanted and one.metric in _KNOWN]
    return made


def _cube(counts: NDArray[np.int64], layout: Layout) -> Cube:
    return Cube(
        attributes=tuple(one.name for one in layout.attributes),
        levels=tuple((*one.place, OTHER, MISSING) for one in layout.attributes),
        counts=counts.reshape(*layout.shape, 2, 2),
    )


def _others(window: Window, layout: Layout) -> dict[str, int]:
    """Return how many rows had a level that the baseline does not list, by column."""
    return {
        one.name: int(window.tally.columns[one.name][one.other])
        for one in layout.columns
        if one.other >= 0 and one.name in window.tally.columns and window.tally.columns[one.name][one.other]
    }


def _digest(window: Window) -> Resource:
    """Return the counts as a resource: their digest, and how many predictions they are of."""
    value = {
        "tally": {k: v for k, v in window.tally.to_dict().items() if k != "why"},
        "labelled": window.labelled.tolist(),
    }
    span = f"{window.begins.isoformat()} to {window.ends.isoformat()}"
    return Resource(name=f"predictions {span}", sha256=sha256_hex(canonicalise(value)), rows=window.tally.predicted)


def _notes(window: Window, baseline: Baseline, layout: Layout) -> tuple[str, ...]:
    tally, said = window.tally, []
    if tally.uncounted:
        said.append(
            f"{tally.uncounted:,} of {tally.predicted:,} predictions could not be counted; the last time: {tally.why}"
        )
    if tally.failed:
        said.append(f"the model raised in {tally.failed:,} of {tally.calls:,} calls")
    if window.given_way:
        said.append(f"{window.given_way:,} predictions gave way before their label came")
    if not int(window.labelled.sum()):
        said.append("no label has come, so no rate that needs one was measured")
    silent = [
        one.name for one in (layout.prediction, layout.score) if one is not None and one.name not in tally.columns
    ]
    said += [f"{name} was never counted: the service did not ask for it" for name in silent if name != PREDICTION]
    said += [f"{name} is not compared: {why}" for name, why in baseline.left_out.items()]
    return tuple(said)
