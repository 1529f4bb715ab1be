"""Measuring, of every kind: a registered model, whose numbers are signed; or files, whose numbers are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli.artifact import NAMES, scan
from ml_governance.cli.fairness import measure
from ml_governance.cli.options import As, Json, Where, opened
from ml_governance.cli.performance import costs_of, task_of
from ml_governance.cli.performance import measure as of_predictions
from ml_governance.cli.robustness import options
from ml_governance.cli.rows import measure_rows, read_population, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("performance", "fairness", "explanation", "robustness", "data", "privacy", "artifact")
EVIDENCE = {"data": "data-quality", "artifact": "security-scan"}
"""What kinds are called as evidence, where their short names differ."""


def assess(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="name/version, or the first digits of its sha256; without it, nothing is signed."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Parquet or CSV file with labels and sensitive columns; without MODEL also a pattern, and repeated."
        ),
    ] = None,
    y_true: Annotated[str | None, typer.Option("--y-true", help="Column of the label.")] = None,
    by: Annotated[list[str] | None, typer.Option("--by", help="Sensitive column; may be repeated.")] = None,
    y_pred: Annotated[
        str | None,
        typer.Option("--y-pred", help="Column of predicted labels; only without MODEL, which predicts itself."),
    ] = None,
    y_score: Annotated[
        str | None,
        typer.Option(
            "--y-score",
            help="Column of probabilities: adds AUC, Brier score and calibration error; only without MODEL.",
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="Column of a legitimate reason to differ: selection rates are also compared within its values; may be "
            "repeated; only without MODEL.",
        ),
    ] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", help="Column of sample weights; only without MODEL.")
    ] = None,
    background: Annotated[str | None, typer.Option(help="File of rows that explanations compare with.")] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(help="File that MODEL was trained on: test rows that stand there are counted; may be repeated."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="performance, fairness, explanation, robustness, data, privacy or artifact; default is the first three. With MODEL, "
            "repeat it to combine them: the rows are read and predicted once."
        ),
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML of shares or counts by --by column and level; with --kind data."),
    ] = None,
    released: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A table that is released: how well it hides people; with --kind privacy."),
    ] = None,
    quasi_identifier: Annotated[
        list[str] | None, typer.Option(help="Column of --released that others may know; may be repeated.")
    ] = None,
    confidential: Annotated[
        list[str] | None, typer.Option(help="Column of --released that they are not to learn; may be repeated.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another version, such as the one in use, to pair MODEL with row by row.")
    ] = None,
    rerun: Annotated[
        str | None, typer.Option(help="Another version, trained alike: with robustness, how far the two are apart.")
    ] = None,
    monotone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=+|-", help="With robustness: where the score must go as the column rises; may be repeated."
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=LEVEL:SHARE,...", help="With robustness: shares to measure accuracy under; may be repeated."
        ),
    ] = None,
    requirements: Annotated[
        str | None, typer.Option(help="With artifact: requirements or lock file, where the artifact names none.")
    ] = None,
    advisories: Annotated[
        str | None, typer.Option(help="With artifact: advisories in the OSV format, a JSON file or a folder of them.")
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE.NAME", help="With artifact: an import of your own that counts as listed; may be repeated."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="What the model does: binary, multiclass or regression.")] = "binary",
    costs: Annotated[
        str | None,
        typer.Option(
            metavar="FP:FN", help="What a false positive and a false negative cost, such as 1:5: measures costs."
        ),
    ] = None,
    pos_label: Annotated[str | None, typer.Option(help="The positive label, unless labels are 0 and 1.")] = None,
    confidence: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    min_group_size: Annotated[int, typer.Option(help="Smaller groups are reported as insufficient.")] = 30,
    list_metrics: Annotated[
        bool, typer.Option("--list-metrics", help="Say what every metric means, of each --kind, and measure nothing.")
    ] = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Measure a model and sign the measurements; without a model, measure predictions in files.

    With MODEL, its predictions on held-out rows are recomputed here, once for all kinds. Without it, files are read as they are, in bounded
    memory: no workspace, no keys, no signature. With --kind artifact, the files of MODEL, or of the path in --data, are read without
    loading them: what they would run, what they need, and what is known of that.

    Example: mlgov assess credit-risk/2 --data test.parquet --y-true label --by sex --by race --as validator;
    mlgov assess --data 'scored/*.parquet' --y-true label --y-pred prediction --y-score score --by sex --by race;
    mlgov assess credit-risk/2 --kind performance --kind fairness --kind robustness --kind data --kind privacy --data test.parquet
    --training train.parquet --y-true label --by sex --as validator;
    mlgov assess credit-risk/2 --kind data --data test.parquet --training train.parquet --y-true label --by sex;
    mlgov assess credit-risk/2 --data test.parquet --y-true label --by sex --kind robustness --monotone income=+ --as validator;
    mlgov assess credit-risk/2 --kind artifact --advisories osv/ --as validator; mlgov assess --kind artifact --data model.pkl;
    mlgov assess --kind performance --data scored.parquet --y-true label --y-score score --costs 1:5;
    mlgov assess --list-metrics --kind fairness
    """
    if list_metrics:
        from ml_governance.cli.metrics import listed

        listed(kind or (), json=json)
        return
    if strange := [one for one in kind or () if one not in (*KINDS, *EVIDENCE.values())]:
        raise typer.BadParameter(f"there is no kind {strange[0]!r}; there are {', '.join(KINDS)}")
    of_rows = set(kind or ()) & {"data", "data-quality", "privacy"}
    hidden = {"released": released, "quasi_identifiers": quasi_identifier, "confidential": confidential}
    if model is None and (of_rows or population is not None or any(hidden.values())):
        measure_rows(
            kind or (), data or (), y_true=y_true, by=by or (), training=training or (), population=population, hidden=hidden,
            confidence=confidence, min_group_size=min_group_size, json=json,
        )  # fmt: skip
        return
    if _artifact_alone(model, kind or (), data or (), rows=y_true is not None or bool(by)):
        scan(model, data or (), requirements, advisories, trust or (), workspace, signer, json=json)
        return
    if not NAMES.intersection(kind or ()) and (requirements or advisories or trust):
        raise typer.BadParameter("--requirements, --advisories and --trust are of --kind artifact")
    performance = model is None and kind == ["performance"]
    bare = {"data", "data-quality", *NAMES}
    rows_only = model is not None and bool(kind) and bare.issuperset(kind or ())
    grouped = bool(by) or performance or (bool(kind) and {"privacy", *bare}.issuperset(kind or ()))
    if not data or not (rows_only or (y_true is not None and grouped)):
        raise typer.BadParameter("give --data, --y-true and --by, or --list-metrics")
    if model is None:
        assert y_true is not None  # noqa: S101  asked for above
        if any((background, training, against, rerun, monotone, shift, *((control, weight) if performance else ()))):
            raise typer.BadParameter(
                "--background, --training, --against, --rerun, --monotone and --shift go with MODEL, which predicts itself; "
                "--control and --weight with fairness"
            )
        if performance:
            of_predictions(
                data, y_true, y_pred, by, y_score, pos_label, task, costs, confidence, min_group_size, json=json
            )
            return
        if y_pred is None or costs or set(kind or ()) - {"fairness"}:
            raise typer.BadParameter("without MODEL, give --y-pred for fairness, or --kind performance")
        measure(
            data, y_true, y_pred, by or (), y_score, control, weight, pos_label, confidence, min_group_size, json=json
        )
        return
    if any(one is not None for one in (y_pred, y_score, control, weight)) or len(data) != 1:
        raise typer.BadParameter(
            "with MODEL, give one --data and none of --y-pred, --y-score, --control and --weight: the model predicts"
        )
    usual = ("performance", "fairness", "explanation")
    _fit(of_rows, population=population is not None, hidden=any(hidden.values()), training=bool(training))
    with opened(workspace, signer) as ws:
        assessed = ws.assess(
            model,
            data[0],
            y_true=y_true,
            sensitive_features=by or (),
            background=background,
            kinds=tuple(EVIDENCE.get(one, one) for one in kind) if kind else usual,
            task=task_of(task),
            costs=costs_of(costs),
            pos_label=pos_label,
            confidence=confidence,
            min_group_size=min_group_size,
            training=training or (),
            against=against,
            robustness=options(monotone or (), shift or ()),
            rerun=rerun,
            population=None if population is None else read_population(population),
            requirements=requirements,
            advisories=advisories,
            trusted=trust or (),
            privacy={name: value for name, value in hidden.items() if value},
        )
        signed(assessed, json=json)


def _artifact_alone(model: str | None, kinds: Sequence[str], data: Sequence[str], *, rows: bool) -> bool:
    """Tell whether files are read and nothing else."""
    if not NAMES.intersection(kinds) or (model is not None and data):
        return False
    if len(kinds) != 1 or rows:
        raise typer.BadParameter("--kind artifact alone reads files, not rows; to combine it, give MODEL and --data")
    return True


def _fit(of_rows: set[str], *, population: bool, hidden: bool, training: bool) -> None:
    """Refuse options of kinds that are not measured, and privacy without what it needs."""
    if population and not of_rows & {"data", "data-quality"}:
        raise typer.BadParameter("--population goes with --kind data")
    if hidden and "privacy" not in of_rows:
        raise typer.BadParameter("--released, --quasi-identifier and --confidential go with --kind privacy")
    if "privacy" in of_rows and not training:
        raise typer.BadParameter("of privacy with MODEL, give --training")
