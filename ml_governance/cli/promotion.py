"""``mlgov promote | rollback | doctor``: what moves an alias, and what looks after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Full, Json, Stage, Version, Where, opened
from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from ml_governance.promote.gate import Promoted


def promote(
    model: Version,
    stage: Stage = "production",
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Against the gate's answer, in an emergency; takes a role of its own.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why the glass is broken; it is kept for ever.")] = None,
    hours: Annotated[float, typer.Option(help="For how long, with --break-glass; the policy sets the limit.")] = 24,
    full: Full = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Decide again at the ledger's head, and move the alias only if the answer is allow.

    Example: mlgov promote credit-risk/2 --stage production --as release-manager
    """
    if break_glass != (reason is not None):
        raise UsageError(
            "--break-glass without --reason" if break_glass else "--reason without --break-glass",
            expected="both, or neither",
        )
    if break_glass:
        render.warn(
            f"BREAK-GLASS is asked for: if {model} may go to {stage} against the gate's answer, every decision will say so"
        )
    with opened(workspace, signer, full=full) as ws:
        _told(ws.promote(model, stage=stage, break_glass=reason, hours=hours), json=json)


def rollback(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The model's name, or name/version for one earlier version.")
    ],
    stage: Stage = "production",
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Go back to the newest earlier version that the gate still allows: a promotion like any other.

    Example: mlgov rollback credit-risk --stage production --as release-manager
    """
    with opened(workspace, signer) as ws:
        _told(ws.rollback(model, stage=stage), json=json)


def _told(done: Promoted, *, json: bool) -> None:
    if json:
        render.out_json(
            {
                "subject": done.subject.to_dict(),
                "stage": done.stage,
                "alias": done.alias,
                "previous": done.previous,
                "entries": [done.intent, done.outcome],
                "notes": list(done.notes),
            }
        )
        return
    render.out(f"promoted: {done.subject.name} is now {done.alias!r}", "bold green")
    render.out(f"  before: {done.previous or 'nothing'}; intent #{done.intent}, outcome #{done.outcome}")
    for note in done.notes:
        render.out(f"  note: {note}")


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Settle promotions that died half way; needs --as.")] = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Look for what is broken or about to be: log, trust, keys, promotions, aliases, runs, sessions, break-glass.

    Exits with 0 if there is no problem, else with the code of the worst one.

    Example: mlgov doctor --fix --as release-manager
    """
    with opened(workspace, signer) as ws:
        health = ws.doctor(fix=fix)
    if json:
        render.out_json(
            {
                "healthy": health.exit_code == 0,
                "entries": health.entries,
                "mended": list(health.mended),
                "complaints": [
                    {"check": one.check, "weight": one.weight, "what": one.what, "next": one.next_step}
                    for one in health.complaints
                ],
            }
        )
    else:
        for line in health.mended:
            render.out(f"mended: {line}", "green")
        for one in health.complaints:
            render.out(f"{one.weight}: {one.check}: {one.what}", "bold red" if one.weight == "problem" else "yellow")
            if one.next_step:
                render.out(f"  next: {one.next_step}")
        if not health.complaints:
            render.out(
                f"healthy: all {health.entries} entries verify, and nothing stands where it should not", "bold green"
            )
    raise typer.Exit(health.exit_code)
