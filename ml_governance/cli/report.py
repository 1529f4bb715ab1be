"""mlgov report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Stage, Version, Where, opened


def report(
    model: Version,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write into; default reports/MODEL.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            help="audit (all that is known), ll144-summary (what 6 RCNY 5-303 has published), annex-iv (technical file), or compare.",
        ),
    ] = "audit",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            "-f",
            help="html, json, pdf or signed-pdf; of an audit also model-card, ml-bom, oscal or dossier; repeated; default html and json.",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --kind compare: the earlier version.")
    ] = None,
    sex: Annotated[str | None, typer.Option(help="With --kind ll144-summary: column of the sex.")] = None,
    race: Annotated[str | None, typer.Option(help="With --kind ll144-summary: column of race/ethnicity.")] = None,
    stage: Stage = "production",
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Write a report: one self-contained HTML page, and JSON; or a PDF, signed or not, or forms that other tools read.

    A log that does not verify gives a page that says so, and exit code 4.

    Example: mlgov report credit-risk/2 --form html --form ml-bom --output reports/credit-risk-2;
    mlgov report credit-risk/2 --form signed-pdf --as risk-officer;
    mlgov report credit-risk/2 --kind ll144-summary; mlgov report credit-risk/2 --kind compare --against credit-risk/1
    """
    forms = tuple(form or ("html", "json"))
    with opened(workspace, signer if "signed-pdf" in forms else None) as ws:
        folder = output or ws.root / "reports" / model.replace("/", "-").replace(":", "-")
        written = ws.report(
            model, folder, stage=stage, forms=forms, kind=kind, against=against, sex=sex, race_ethnicity=race
        )  # fmt: skip
        if json:
            render.out_json({name: str(path) for name, path in written.files.items()})
        else:
            for path in written.files.values():
                render.out(str(path))
