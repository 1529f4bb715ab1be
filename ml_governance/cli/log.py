"""``mlgov log``: read the ledger, verify it, and follow a model's lineage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import Json, Version, Where, opened
from ml_governance.errors import MissingEvidenceError, UsageError
from ml_governance.evidence.predicates import TrainingRun, WriterClose, WriterOpen

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation
    from ml_governance.evidence.predicates import Content

app = typer.Typer(help="The ledger.", no_args_is_help=True)

SESSION = (WriterOpen.kind, WriterClose.kind)
"""Kinds that every session has, and that few readers want to see."""


def _says(content: Content) -> str:
    """Return the one word of an entry that tells it from others of its kind."""
    if isinstance(content, TrainingRun):
        return str(content.event.get("eventType", ""))
    for name in ("result", "verdict", "predictions", "phase", "version"):
        value = getattr(content, name, None)
        if value is not None:
            return str(value)
    return ""


def _row(entry: Attestation) -> dict[str, str | int]:
    return {
        "index": entry.index,
        "recordedAt": entry.recorded_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": entry.kind,
        "says": _says(entry.content),
        "subject": entry.subjects[0].name,
        "sha256": entry.subjects[0].sha256,
        "by": entry.principal.id,
    }


@app.command()
def ls(
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only entries about this model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also the records that open and close writer sessions.")] = False,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """List the verified entries, oldest first.

    Example: mlgov log ls --kind approval
    """
    with opened(workspace) as ws:
        view = ws.view()
        entries = view.about(ws.resolve(subject, view).sha256) if subject else view.attestations
        rows = [
            _row(entry)
            for entry in entries
            if entry.kind == kind or (kind is None and (every or entry.kind not in SESSION))
        ]
    if json:
        render.out_json(rows)
        return
    render.table(
        ("#", "time (UTC)", "kind", "says", "about", "sha256", "signed by"),
        [
            (
                str(r["index"]),
                str(r["recordedAt"]),
                str(r["kind"]),
                str(r["says"]),
                str(r["subject"]),
                str(r["sha256"])[:12],
                str(r["by"]),
            )
            for r in rows
        ],
    )


@app.command()
def show(
    index: Annotated[int, typer.Argument(min=0, help="Ledger index.")],
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Show one entry as it was signed.

    Example: mlgov log show 5
    """
    with opened(workspace) as ws:
        view = ws.view()
        if index >= view.size:
            raise MissingEvidenceError(f"the ledger has no entry #{index}", expected=f"0 to {view.size - 1}")
        entry = view.attestations[index]
        value = {
            **_row(entry),
            "payload": entry.payload_digest,
            "keyid": entry.keyid,
            "content": entry.content.to_wire(),
        }
    if json or not sys.stdout.isatty():
        render.out_json(value)
    else:
        from rich import print_json

        print_json(data=value)


@app.command()
def verify(workspace: Where = None, json: Json = False) -> None:
    """Verify every entry: signatures, chains, tree, index, trust. Exit code 4 if anything does not verify.

    Example: mlgov log verify
    """
    with opened(workspace) as ws, render.working("verifying the ledger"):
        verified = ws.verify()
    if json:
        render.out_json(
            {
                "origin": verified.checkpoint.origin,
                "size": verified.checkpoint.size,
                "root": verified.checkpoint.root.hex(),
                "verified": not verified.problems,
                "problems": [{"index": p.index, "what": p.what} for p in verified.problems],
                "notes": list(verified.notes),
            }
        )
    else:
        render.verification(verified)
    raise typer.Exit(4 if verified.problems else 0)


@app.command()
def checkpoint(workspace: Where = None, json: Json = False) -> None:
    """Print the signed checkpoint; kept by somebody else, it is what makes a rollback visible.

    Example: mlgov log checkpoint > checkpoint.txt
    """
    with opened(workspace) as ws:
        note = ws.ledger.checkpoint()
    if json:
        render.out_json({"checkpoint": note})
    else:
        sys.stdout.write(note)


@app.command()
def lineage(
    model: Version,
    svg: Annotated[Path | None, typer.Option(help="Write a drawing to this file.")] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Show what a model came from and what came of it.

    Example: mlgov log lineage credit-risk/2 --svg lineage.svg
    """
    from ml_governance.report import lineage as graphs

    if svg is not None and svg.is_dir():
        raise UsageError(f"{svg} is a folder", expected="a file to write, for example lineage.svg")
    with opened(workspace) as ws:
        graph = ws.lineage(model)
    if svg is not None:
        from ml_governance.workspace.config import write_atomically

        write_atomically(svg, graphs.to_svg(graph))
    if json:
        render.out_json(graphs.to_dict(graph))
    else:
        render.out(graphs.to_text(graph))
