"""``mlgov data``: protected data, opened in a role and on the record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Where, opened
from ml_governance.errors import ConfigurationError

app = typer.Typer(help="Protected data: opened in a role, and on the record.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The data's name.")]


@app.command()
def add(
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Parquet or CSV file.")],
    sensitive: Annotated[
        list[str], typer.Option("--sensitive", help="Column for whose sake it is protected; may be repeated.")
    ],
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Register a file as protected data, by digest. Register again when its bytes are meant to change.

    Example: mlgov data add applications data/applications.parquet --sensitive sex --sensitive race --as risk-officer
    """
    with opened(workspace, signer) as ws:
        receipt = ws.protect(name, path, sensitive=sensitive)
        if json:
            render.out_json({"entries": [receipt.index]})
        else:
            render.out(
                f"registered {name} as ledger #{receipt.index}; open it with mlgov data open {name} --reason ..."
            )


@app.command()
def ls(workspace: Where = None, json: Json = False) -> None:
    """List the protected data, and how often each was opened or refused.

    Example: mlgov data ls
    """
    with opened(workspace) as ws:
        from ml_governance.workspace import protected

        found = protected.ls(ws)
        if json:
            render.out_json(
                [
                    {
                        "name": one.name,
                        "index": one.index,
                        "by": one.by,
                        "granted": one.granted,
                        "refused": one.refused,
                        "content": one.content.to_wire(),
                    }
                    for one in found
                ]
            )
            return
        render.table(
            ("name", "rows", "sensitive", "sha256", "registered", "opened", "refused"),
            [
                (
                    one.name,
                    f"{one.content.table.rows:,}",
                    ", ".join(one.content.sensitive),
                    one.content.sha256[:12],
                    f"#{one.index} by {one.by}",
                    str(one.granted),
                    str(one.refused),
                )
                for one in found
            ],
        )


@app.command(name="open")
def open_(
    name: Name,
    reason: Annotated[str, typer.Option(help="What the rows are needed for; it is signed and kept for ever.")],
    column: Annotated[list[str] | None, typer.Option(help="Only this column; may be repeated.")] = None,
    path: Annotated[Path | None, typer.Option(help="Where the file is, if not where it was registered.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New file for the rows, .parquet or .csv, mode 0600.")
    ] = None,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Open protected data: a role check, a signed record, then the rows as CSV, or as JSON records.

    Example: mlgov data open applications --reason "complaint 1234: why was it refused?" --column income --as validator
    """
    if output is not None and (output.exists() or output.suffix not in (".parquet", ".csv")):
        raise ConfigurationError(f"the rows cannot go to {output}", expected="a new file ending in .parquet or .csv")
    with opened(workspace, signer) as ws:
        frame = ws.data(name, reason=reason, columns=column or (), path=path)
    if output is not None:
        output.touch(mode=0o600, exist_ok=False)
        if output.suffix == ".csv":
            frame.to_csv(output, index=False)
        else:
            frame.to_parquet(output, index=False)
        if json:
            render.out_json({"rows": len(frame), "output": str(output)})
        else:
            render.out(f"{len(frame):,} rows of {name} in {output}")
    elif json:
        sys.stdout.write(frame.to_json(orient="records") + "\n")
    else:
        frame.to_csv(sys.stdout, index=False)
