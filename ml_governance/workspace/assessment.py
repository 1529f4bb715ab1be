"""Assessing a registered model: its bytes checked, its predictions recomputed, what was measured signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.decide.champion import PAIRED
from ml_governance.decide.conditions import OVERLAP
from ml_governance.errors import DataError, UsageError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import BASELINE, Resource
from ml_governance.workspace import people

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import Task
    from ml_governance.assess.report import Report
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.predicates import Assessment
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace

KINDS = ("performance", "fairness", "explanation", "robustness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """What an assessment measured, and where it stands in the ledger.

    Parameters
    ----------
    subject : Subject
        The model version.
    dataset : Resource
        The rows, by digest.
    reports : dict of str to report
        By kind, such as ``fairness``.
    receipts : dict of str to Receipt
        By the same kinds.
    """

    subject: Subject
    dataset: Resource
    reports: dict[str, Report] = field(repr=False)
    receipts: dict[str, Receipt] = field(repr=False)

    def __getattr__(self, kind: str) -> Report:
        """Return the report of a kind, so that ``assessed.fairness`` and ``assessed.data_quality`` read well."""
        reports: dict[str, Report] = object.__getattribute__(self, "reports")
        if kind.replace("_", "-") in reports:
            return reports[kind.replace("_", "-")]
        raise AttributeError(kind)

    def _repr_html_(self) -> str:
        from html import escape

        parts = [f"<h4>{escape(self.subject.name)} on {escape(self.dataset.name)} ({self.dataset.rows} rows)</h4>"]
        for kind, report in self.reports.items():
            parts.append(f"<p>{escape(kind)}: ledger #{self.receipts[kind].index}</p>{report._repr_html_()}")
        return "".join(parts)


def assess(
    ws: Workspace,
    version: str | Subject,
    data: Any,
    *,
    y_true: str,
    sensitive_features: tuple[str, ...],
    pos_label: Any,
    background: Any,
    kinds: tuple[str, ...],
    confidence: float,
    min_group_size: int,
    seed: int,
    training: tuple[Any, ...] = (),
    against: str | Subject | None = None,
    robustness: Mapping[str, Any] | None = None,
    rerun: str | Subject | None = None,
    task: Task = "binary",
    costs: Costs | None = None,
) -> Assessed:
    """Recompute predictions on digested rows, measure, and sign what was measured."""
    from ml_governance.assess.baseline import baseline
    from ml_governance.assess.explanation import ExplanationReport
    from ml_governance.assess.performance import assess_performance
    from ml_governance.assess.recompute import recompute
    from ml_governance.assess.robustness import RobustnessReport
    from ml_governance.workspace import measuring
    from ml_governance.workspace.overlap import with_training

    _check_kinds(kinds, robust=bool(robustness) or rerun is not None)
    writer = ws.writer
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    registration = ws.registration(subject, view)
    frame, dataset = read(data)
    require_columns(frame, (y_true, *sensitive_features), dataset.name)
    pos_label = label_like(pos_label, frame[y_true])
    artifact = ws.registry.artifact(registration.name, registration.version)  # slow, so after every quick refusal
    levels: dict[str, Any] = {"confidence": confidence, "min_group_size": min_group_size}
    explain = {"seed": seed, **levels} if "explanation" in kinds else None
    ws.narrate(f"predicting {len(frame):,} rows with {subject.name} in a process without keys")
    outcome = recompute(
        artifact,
        sha256=subject.sha256,
        loader=ws.registry.LOADER,
        rows=frame,
        exclude=(y_true,),
        sensitive_features=sensitive_features,
        pos_label=pos_label,
        task=task,
        background=None if explain is None else _background(background, frame, seed),
        explain=explain,
        perturb={"seed": seed, **levels, **(robustness or {})} if "robustness" in kinds else None,
    )
    labels, sensitive = frame[y_true], frame[list(sensitive_features)]
    reports: dict[str, Report] = {}
    if "performance" in kinds:
        ws.narrate("measuring performance")
        reports["performance"] = assess_performance(
            y_true=labels, y_pred=outcome.y_pred, y_score=outcome.y_score, task=task, classes=outcome.classes,
            sensitive_features=sensitive, slice_by=frame.drop(columns=[y_true]), costs=costs, pos_label=pos_label,
            seed=seed, **levels,
        )  # fmt: skip
    if "fairness" in kinds:
        ws.narrate("measuring fairness")
        reports["fairness"] = measuring.fairness(task, outcome, labels, sensitive, pos_label=pos_label, **levels)
    if outcome.explanation is not None:
        reports["explanation"] = ExplanationReport.from_dict(outcome.explanation)
    if outcome.robustness is not None:
        reports["robustness"] = RobustnessReport.from_dict(outcome.robustness)
    ask = partial(
        measuring.asked, ws, view, frame=frame, y_true=y_true, sensitive_features=sensitive_features, pos_label=pos_label,
        task=task,
    )  # fmt: skip
    if rerun is not None:
        other = ws.resolve(rerun, view)
        tolerance = (robustness or {}).get("tolerance")
        reports["robustness"] = measuring.with_second_training(
            reports["robustness"], sensitive, (subject, outcome), (other, ask(other)), tolerance
        )
    details: dict[str, Any] = {OVERLAP: with_training(frame, training, subject, view)} if training else {}
    if against is not None:
        other = ws.resolve(against, view)
        paired = measuring.compared(
            labels, sensitive, outcome, ask(other), task=task, costs=costs, pos_label=pos_label, **levels
        )
        details[PAIRED] = paired.to_details(other.sha256)
    known: dict[str, Any] = {}
    if task == "binary":
        known[BASELINE] = baseline(
            frame.drop(columns=[y_true]), y_pred=outcome.y_pred, y_score=outcome.y_score, y_true=labels,
            sensitive_features=sensitive_features, pos_label=pos_label, min_rows=min_group_size,
        )  # fmt: skip
    told = {kind: {**details, **(known if kind in ("performance", "fairness") else {})} for kind in reports}
    receipts = {
        kind: writer.record(_with_details(report, dataset, told[kind]), [subject]) for kind, report in reports.items()
    }
    return Assessed(subject=subject, dataset=dataset, reports=reports, receipts=receipts)


def _with_details(report: Report, dataset: Resource, details: dict[str, Any]) -> Assessment:
    content = report.to_content(predictions="recomputed", dataset=dataset)
    return content.model_copy(update={"details": {**content.details, **details}})


def _check_kinds(kinds: tuple[str, ...], *, robust: bool) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"the kinds are {list(kinds)}", expected=f"some of {', '.join(KINDS)}")
    if robust and "robustness" not in kinds:
        raise UsageError("options of robustness are given", expected=f"robustness among the kinds {list(kinds)}")


def attest(
    ws: Workspace, version: str | Subject, reports: Sequence[Report], *, data: Any = None
) -> tuple[Receipt, ...]:
    """Sign reports that the caller computed."""
    if not reports:
        raise UsageError("there is nothing to attest", expected="at least one report")
    view = ws.view()
    subject = ws.resolve(version, view)
    people.require(ws, view, "assess", subject)
    if data is None:
        datasets = [report.inputs() for report in reports]
    else:
        datasets = [data if isinstance(data, Resource) else read(data)[1]] * len(reports)
    return tuple(
        ws.writer.record(report.to_content(predictions="caller-supplied", dataset=dataset), [subject])
        for report, dataset in zip(reports, datasets, strict=True)
    )


def read(data: Any) -> tuple[pd.DataFrame, Resource]:
    """Read a table from a path or take the one given, with its logical digest.

    Raises
    ------
    DataError
        If the file is missing, empty, or neither Parquet nor CSV, or the object is not a table.
    """
    import pandas as pd

    if isinstance(data, str | Path):
        path = Path(data)
        frame = read_file(path)
        name = path.name
    elif isinstance(data, pd.DataFrame):
        frame, name = data, str(data.attrs.get("name", "table"))
    else:
        import narwhals as nw

        try:
            frame, name = nw.from_native(data, eager_only=True).to_pandas(), "table"
        except TypeError as error:
            raise DataError(
                f"the data is a {type(data).__name__}", expected="a data frame, or a path to Parquet or CSV"
            ) from error
    if frame.empty:
        raise DataError(f"{name} has no rows", expected="held-out rows with labels")
    digest = fingerprint.table(frame)
    return frame, Resource(name=name, sha256=digest.sha256, rows=len(frame))


def read_file(path: Path) -> pd.DataFrame:
    """Read a table by what its name ends in; see :func:`read`."""
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is neither Parquet nor CSV by its name", expected="a file ending in .parquet or .csv")
    try:
        return reader(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", expected="a Parquet or CSV file") from None
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parse errors are ValueErrors
        raise DataError(f"{path} cannot be read: {error}", expected="a Parquet or CSV file") from error


def require_columns(frame: pd.DataFrame, wanted: Sequence[str], name: str) -> None:
    """Refuse rows without a column that is needed."""
    from difflib import get_close_matches

    for column in wanted:
        if column not in frame.columns:
            columns = [str(known) for known in frame.columns]
            near = get_close_matches(column, columns, n=1)
            raise DataError(
                f"{name} has no column {column!r}",
                expected=f"one of {', '.join(columns[:40])}",
                next_step=f"did you mean {near[0]!r}?" if near else None,
            )


def label_like(pos_label: Any, labels: pd.Series) -> Any:
    """Read a label that was typed on a command line as a number where the labels are numbers."""
    if isinstance(pos_label, str) and labels.dtype.kind in "iuf":
        try:
            return labels.dtype.type(pos_label)
        except ValueError:
            return pos_label
    return pos_label


def _background(background: Any, frame: pd.DataFrame, seed: int, rows: int = 100) -> pd.DataFrame:
    table = frame if background is None else read(background)[0]
    return table.sample(n=min(rows, len(table)), random_state=seed)
