"""``mlgov log erase | outbox | backup | restore | migrate``: what the keeper of a log does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Where, opened

WATCH_SECONDS = 5


def erase(
    index: Annotated[int | None, typer.Argument(min=0, help="Ledger index.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept for ever, so it names no person.")] = "",
    early: Annotated[bool, typer.Option("--early", help="Although its retention period is not over.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Only list what may go: entries whose period is over.")] = False,
    acting: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Delete the content of one entry for good. Its leaf, every proof and the erasure itself stay.

    Example: mlgov log erase 12 --reason "right to erasure, request 2026-118" --as dora
    """
    with opened(workspace, acting) as ws:
        if due or index is None:
            over = ws.log.due()
            if json:
                render.out_json([{"index": d.index, "kind": d.kind, "since": d.since.isoformat()} for d in over])
            else:
                render.table(
                    ("#", "kind", "recorded", "may go since"),
                    [
                        (str(d.index), d.kind, d.recorded_at.date().isoformat(), d.since.date().isoformat())
                        for d in over
                    ],
                )
            return
        receipt = ws.log.erase(index, reason=reason, early=early)
    if json:
        render.out_json({"erased": index, "under": receipt.index})
        return
    render.out(f"erased #{index}; entry #{receipt.index} says so")
    render.out("  this store only: look for copies in OpenLineage backends, exports, reports and backups")


def outbox(
    send: Annotated[bool, typer.Option("--send", help="Send what is due now.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on sending until interrupted.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Send again what was refused, and what waits for its next attempt.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many for each destination.")] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Show which lineage events are still to be sent to OpenLineage backends, and send them.

    Example: mlgov log outbox --send
    """
    from time import sleep

    with opened(workspace) as ws:
        while send or watch or retry:
            for one in ws.log.send(limit=limit, retry=retry):
                render.narrate(f"{one.destination}: {one.sent} sent" + (f", {one.stopped}" if one.stopped else ""))
            if not watch:
                break
            retry = False
            sleep(WATCH_SECONDS)
        standing = ws.log.outbox()
    if json:
        render.out_json(
            [
                {
                    "destination": s.destination, "sent": s.sent, "waiting": s.waiting, "failed": s.failed,
                    "nextAt": s.next_at.isoformat() if s.next_at else None, "lastError": s.last_error,
                }
                for s in standing
            ]
        )  # fmt: skip
    else:
        render.table(
            ("destination", "sent", "waiting", "refused", "why"),
            [(s.destination, str(s.sent), str(s.waiting), str(s.failed), s.last_error or "") for s in standing],
        )
    if send and any(s.waiting for s in standing):
        raise typer.Exit(5)


def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Copy the ledger into one SQLite file, whatever database it lives in, while others write.

    Example: mlgov log backup ledger-2026-11-24.sqlite
    """
    with opened(workspace) as ws, render.progress("copying the ledger") as tell:
        size = ws.log.backup(path, progress=tell)
    if json:
        render.out_json({"file": str(path), "entries": size})
    else:
        render.out(f"{size} entries in {path}")


def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `mlgov log backup` wrote.")],
    pin: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint kept elsewhere that the backup must reach; may be repeated.")
    ] = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Put a backup in the place of a lost ledger, if it verifies and reaches a checkpoint that was kept elsewhere.

    Example: mlgov log restore ledger-2026-11-24.sqlite --pin checkpoint.txt
    """
    with opened(workspace) as ws, render.progress("verifying and restoring") as tell:
        verified = ws.log.restore(path, pinned=pin or [], progress=tell)
    if json:
        render.out_json({"entries": verified.checkpoint.size, "root": verified.checkpoint.root.hex()})
    else:
        render.out(f"restored {verified.checkpoint.size} entries")


def migrate(workspace: Where = None, json: Json = False) -> None:
    """Bring the tables of an older ledger up to date. Back it up first.

    Example: mlgov log backup before.sqlite && mlgov log migrate
    """
    with opened(workspace) as ws, render.progress("migrating") as tell:
        before, after = ws.migrate(progress=tell)
    if json:
        render.out_json({"before": before, "after": after})
    else:
        render.out(f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do")
