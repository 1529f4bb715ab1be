"""``mlgov verify-deployment | monitor``: what is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Stage, Version, Where, opened
from ml_governance.errors import UsageError


def verify_deployment(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST|FILE|FOLDER|MODEL", help="What is to be served; files and folders are digested."
        ),
    ],
    stage: Annotated[str, typer.Option("--stage", help="The stage it is served in.")] = "production",
    bundle: Annotated[
        Path | None,
        typer.Option(envvar="MLGOV_BUNDLE", help="What mlgov log export wrote; then no workspace is needed."),
    ] = None,
    root: Annotated[
        str | None, typer.Option(envvar="MLGOV_ROOT", metavar="sha256:...", help="The trust root, with --bundle.")
    ] = None,
    pin: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that the bundle must continue; may be repeated.")
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(envvar="MLGOV_MAX_AGE", metavar="24h", help="How old the bundle's newest entry may be."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(envvar="MLGOV_PROJECT", help="Whose roles count, where a bundle's people have several."),
    ] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Say whether something may be served in a stage: promoted through the gate, and nothing withdrawn since.

    Exits with 0 if it may, 1 if it was withdrawn or superseded, 2 for a wrong call, 4 if evidence is missing or does not verify,
    5 if something cannot be reached. Nothing is signed.

    Example: mlgov verify-deployment /models/credit-risk --stage production --bundle evidence.json --root sha256:0123...;
    mlgov verify-deployment credit-risk/2 --json
    """
    from ml_governance.workspace import admission
    from ml_governance.workspace.parts import utc_now

    if bundle is not None:
        if root is None:
            raise UsageError(
                "a bundle without --root: whoever made it could have made its trust root as well",
                expected="--root sha256:..., which came by another way",
                next_step="mlgov keys root, where the log is kept",
            )
        found = admission.in_bundle(
            bundle, target, root=root, stage=stage, at=utc_now(), project=project, pinned=pin or (),
            max_age=admission.span(max_age) if max_age else None,
        )  # fmt: skip
    else:
        if pin or max_age:
            raise UsageError("--pin and --max-age are about a bundle", expected="--bundle FILE with them")
        with opened(workspace) as ws:
            found = ws.verify_deployment(target, stage=stage)
    if json:
        render.out_json(found.to_dict())
        return
    render.out(found.standing.sentence(), "bold green")
    render.out(f"  sha256:{found.standing.subject.sha256}, digested: {found.digested or 'nothing'}")
    render.out(f"  evidence: {found.source}")
    for note in found.notes:
        render.out(f"  note: {note}")


def monitor(
    model: Version,
    stage: Stage = "production",
    window: Annotated[str, typer.Option(metavar="24h", help="How far back to look.")] = "24h",
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with the columns id and label, joined first; a label counts once."),
    ] = None,
    min_rows: Annotated[int, typer.Option(help="With fewer rows a number is insufficient.")] = 30,
    confidence: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Compare what a deployment predicted with the approved evidence, sign that, and judge it by the policy in force.

    Exits as a decision by the rules that ask for monitoring would: 0, 1, 3 or 4; with 0 where no rule does.

    Example: mlgov monitor credit-risk/2 --window 7d --labels arrived.csv --as validator
    """
    from ml_governance.workspace.admission import span

    with opened(workspace, signer) as ws:
        found = ws.monitor(
            model, stage=stage, window=span(window), labels=labels, min_rows=min_rows, confidence=confidence
        )
    if json:
        render.out_json(found.to_dict())
        raise typer.Exit(found.exit_code)
    render.out(found.sentence(), "bold")
    render.table(
        ("column", "psi", "by chance", "p", "rows", "status"),
        [
            (
                one.column,
                _number(one.value),
                _number(one.null_level),
                _number(one.p_value),
                f"{one.n_current:,}",
                one.status,
            )
            for one in found.report.drift.distances
        ],
    )
    for note in found.report.notes:
        render.out(f"  note: {note}")
    for finding in found.findings:
        render.out(
            f"  {finding.status}: {finding.id}: {finding.sentence}", "green" if finding.status == "pass" else "bold red"
        )
    if not found.findings:
        render.out("  note: no rule of the policy in force asks for monitoring, so nothing follows from this")
    raise typer.Exit(found.exit_code)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
