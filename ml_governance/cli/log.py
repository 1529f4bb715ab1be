"""``mlgov log``: read the ledger, verify it, and follow a model's lineage."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import render, upkeep
from ml_governance.cli.options import Json, Version, Where, opened
from ml_governance.errors import MissingEvidenceError, UsageError
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.predicates import TrainingRun, WriterClose, WriterOpen

if TYPE_CHECKING:
    from ml_governance.evidence.attestation import Attestation
    from ml_governance.evidence.wire import Content

app = typer.Typer(help="The ledger.", no_args_is_help=True)

SESSION = (WriterOpen.kind, WriterClose.kind)
"""Kinds that every session has, and that few readers want to see."""


def _says(content: Content) -> str:
    """Return the one word of an entry that tells it from others of its kind."""
    if isinstance(content, TrainingRun):
        return str(content.event.get("eventType", ""))
    for name in ("result", "verdict", "predictions", "phase", "outcome", "version"):
        value = getattr(content, name, None)
        if value is not None:
            return str(value)
    return ""


def _row(entry: Attestation) -> dict[str, str | int]:
    return {
        "index": entry.index,
        "recordedAt": stamp(entry.recorded_at),
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
    envelope: Annotated[bool, typer.Option("--envelope", help="The DSSE envelope itself.")] = False,
    sigstore: Annotated[
        bool, typer.Option("--sigstore", help="A Sigstore bundle with a public key, for sigstore's own tools.")
    ] = False,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Show one entry as it was signed.

    Example: mlgov log show 5
    """
    with opened(workspace) as ws:
        if envelope or sigstore:
            render.out_json(ws.log.envelope(index, sigstore=sigstore))
            return
        view = ws.view()
        if index >= view.size:
            raise MissingEvidenceError(f"the ledger has no entry #{index}", expected=f"0 to {view.size - 1}")
        entry = next((one for one in view.attestations if one.index == index), None)
        if entry is None:
            gone = next(one for one in view.void if one.index == index)
            raise MissingEvidenceError(
                f"#{index} counts no more: {gone.why}",
                next_step=f"mlgov log {f'prove {index}' if gone.erased else f'show {index} --envelope'} still works",
            )
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
def verify(
    path: Annotated[
        Path | None,
        typer.Argument(help="A bundle, a folder of tiles or a .tlog-proof; default is the workspace's ledger."),
    ] = None,
    root: Annotated[
        str | None, typer.Option(metavar="sha256:...", help="The trust root, obtained by another way than PATH.")
    ] = None,
    vkey: Annotated[str | None, typer.Option(help="The log's verifier key, for a .tlog-proof.")] = None,
    trust: Annotated[
        Path | None, typer.Option(help="The log's trust file, for a .tlog-proof: which log key counts at which size.")
    ] = None,
    pin: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that you kept; the log must continue it. May be repeated.")
    ] = None,
    witnesses: Annotated[Path | None, typer.Option(help="A witness policy (c2sp.org/tlog-policy).")] = None,
    tsa: Annotated[Path | None, typer.Option(help="Root certificates of timestamping authorities, PEM.")] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Verify every entry: signatures, chains, tree, index, trust. Exit code 4 if anything does not verify.

    Example: mlgov log verify --pin checkpoint.txt

    Example: mlgov log verify credit-risk.bundle.json --root sha256:...
    """
    from ml_governance.cli import offline

    if path is not None:
        if tsa is not None:
            raise UsageError("what is given away holds no timestamps", expected="--tsa without PATH")
        offline.verify(path, root=root, vkey=vkey, trust_file=trust, pins=pin or [], witnesses=witnesses, json=json)
    if vkey is not None or trust is not None:
        raise UsageError("--vkey and --trust are for a .tlog-proof", expected="the proof's PATH beside them")
    with opened(workspace) as ws, render.progress("verifying the ledger") as tell:
        audit = ws.log.verify(
            root=root,
            pinned=pin or [],
            witnesses=witnesses,
            authorities=tsa,
            workers=os.cpu_count() or 1,
            progress=tell,
        )
        root = ws.config.trust_root
    verified = audit.verified
    if json:
        render.out_json(
            {
                "origin": verified.checkpoint.origin,
                "size": verified.checkpoint.size,
                "root": verified.checkpoint.root.hex(),
                "verified": not verified.problems,
                "problems": [{"index": p.index, "what": p.what} for p in verified.problems],
                "notes": list(verified.notes),
                "anchors": [
                    {"size": one.size, "kind": one.kind, "by": list(one.by), "at": one.at.isoformat()}
                    for one in audit.anchored
                ],
                "newest": audit.newest.isoformat() if audit.newest else None,
                "trustRoot": root,
            }
        )
    else:
        render.verification(verified, newest=audit.newest)
    raise typer.Exit(4 if verified.problems else 0)


@app.command()
def checkpoint(
    witnesses: Annotated[
        Path | None, typer.Option(help="Have it cosigned by the witnesses of this policy, and keep that.")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option(metavar="URL", help="Have it timestamped by this RFC 3161 authority, and keep that.")
    ] = None,
    tsa: Annotated[Path | None, typer.Option(help="Root certificates of the timestamping authority, PEM.")] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Print the signed checkpoint; kept by somebody else, it is what makes a rollback visible.

    Example: mlgov log checkpoint > checkpoint.txt

    Example: mlgov log checkpoint --witnesses witnesses.txt --timestamp https://tsa.example/ --tsa tsa-roots.pem
    """
    at = None
    refusals: dict[str, str] = {}
    if timestamp is not None and tsa is None:
        raise UsageError("the authority's root certificate is missing", expected="--tsa FILE beside --timestamp")
    with opened(workspace) as ws:
        note = ws.ledger.checkpoint()
        if witnesses is not None:
            note, refusals = ws.log.ask_witnesses(witnesses)
        if timestamp is not None and tsa is not None:
            at = ws.log.ask_time(timestamp, tsa)
    for name, why in refusals.items():
        render.warn(f"{name} did not cosign: {why}")
    if json:
        stamped = at.isoformat() if at else None
        render.out_json({"checkpoint": note, "timestamp": stamped, "refusals": refusals})
    else:
        sys.stdout.write(note)


@app.command()
def prove(
    what: Annotated[str, typer.Argument(metavar="SUBJECT|INDEX", help="A model, a digest, or a ledger index.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the proofs; default is standard output, for one proof."),
    ] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Write proofs that entries are in the log (c2sp.org/tlog-proof@v1), checkable with tools that are not ours.

    Example: mlgov log prove 5 > 5.tlog-proof

    Example: mlgov log prove credit-risk/2 --out proofs
    """
    with opened(workspace) as ws:
        proofs = ws.log.prove(what)
    if json:
        render.out_json([{"index": one.index, "proof": one.to_text()} for one in proofs])
        return
    if out is None:
        if len(proofs) > 1:
            raise UsageError(
                f"{len(proofs)} entries are about {what}: {', '.join('#' + str(one.index) for one in proofs)}",
                expected="one entry, or --out FOLDER",
            )
        sys.stdout.write(proofs[0].to_text())
        return
    out.mkdir(parents=True, exist_ok=True)
    for one in proofs:
        (out / f"{one.index}.tlog-proof").write_text(one.to_text(), encoding="utf-8")
        render.out(str(out / f"{one.index}.tlog-proof"))


@app.command()
def export(
    tiles: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the log as C2SP tiles.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one file with envelopes and proofs.")
    ] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Limit the bundle to this model; may be repeated.")] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Give the log away in a form that anybody can verify offline.

    Example: mlgov log export --bundle credit-risk.bundle.json --subject credit-risk/2

    Example: mlgov log export --tiles public/log
    """
    if tiles is None and bundle is None:
        raise UsageError("nothing to write was named", expected="--tiles DIR or --bundle FILE")
    done = {}
    with opened(workspace) as ws:
        if tiles is not None:
            with render.progress("writing tiles") as tell:
                done["tiles"] = ws.log.export_tiles(tiles, progress=tell)
        if bundle is not None:
            done["bundle"] = ws.log.export_bundle(bundle, subjects=subject or [])
        root = ws.config.trust_root
    if json:
        render.out_json({"entries": done, "root": root})
        return
    for form, entries in done.items():
        where = tiles if form == "tiles" else bundle
        render.out(f"{form}: {entries} entries in {where}")
        render.out(f"  to check: mlgov log verify {where} --root {root}   (give the root by another way than the file)")


for command in (upkeep.erase, upkeep.outbox, upkeep.backup, upkeep.restore, upkeep.migrate):
    app.command()(command)


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
