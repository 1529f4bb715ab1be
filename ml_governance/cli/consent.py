"""``mlgov request | inbox | waive | review | revoke``: what people ask, grant, look at and take back."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Stage, Version, Where, opened, read_end
from ml_governance.errors import UsageError

Entry = Annotated[int, typer.Argument(metavar="ENTRY", help="Ledger index of the use of break-glass.")]


def request(
    model: Version,
    comment: Annotated[str, typer.Option(help="What the approvers should know; it is kept for ever.")],
    stage: Stage = "production",
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Ask for the approvals that a model still needs; who could give one finds it with mlgov inbox.

    Example: mlgov request credit-risk/2 --as author --comment "retrained on 2026q3, see the report"
    """
    with opened(workspace, signer) as ws:
        entries = [ws.request(model, stage=stage, comment=comment).index]
        decision = None if json else ws.consider(model, stage=stage)
    _signed("request", entries, json=json)
    if decision is not None and decision.result != "review":
        render.out(
            f"nobody finds it with mlgov inbox while the answer is {decision.result}: mlgov decide {model} --stage {stage} says why"
        )


def inbox(
    person: Annotated[
        str | None, typer.Option("--for", metavar="ID", help="Whose inbox; default is who acts. Reading takes no key.")
    ] = None,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """List what waits for a person: approvals, waivers that end within a week, uses of break-glass.

    Example: mlgov inbox --for risk-officer
    """
    if person is None and signer is None:
        raise UsageError("nobody was named", expected="whose inbox it is", next_step="mlgov inbox --for ID")
    with opened(workspace, signer if person is None else None) as ws:
        items = ws.inbox(person)
    if json:
        render.out_json(
            [
                {
                    "kind": one.kind,
                    "model": one.model,
                    "sha256": one.sha256,
                    "stage": one.stage,
                    "what": one.what,
                    "roles": list(one.roles),
                    "findings": list(one.findings),
                    "asked": list(one.asked),
                    "until": one.until.isoformat() if one.until else None,
                    "next": one.next_step,
                }
                for one in items
            ]
        )
        return
    for one in items:
        render.out(one.what, "bold")
        if one.findings:
            render.out(f"  to accept by name: {', '.join(one.findings)}")
        for line in one.asked:
            render.out(f"  asked by {line}")
        render.out(f"  next: {one.next_step}")
    if not items:
        render.out("nothing waits")


def waive(
    model: Version,
    rule: Annotated[str, typer.Option(metavar="RULE", help="The rule whose failure you accept.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    until: Annotated[
        str,
        typer.Option(
            metavar="DATE", help="The last day, in UTC, such as 2026-12-31; or a time such as 2026-12-31T18:00Z."
        ),
    ],
    stage: Stage = "production",
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Accept the failure of one rule until a date, for exactly what is on the table now.

    Example: mlgov waive credit-risk/2 --rule CRD-04 --until 2026-12-31 --as risk-officer --reason "pilot with 50 customers"
    """
    with opened(workspace, signer) as ws:
        receipt = ws.waive(model, stage=stage, rule=rule, reason=reason, until=read_end(until))
        _signed("waiver", [receipt.index], json=json)


def review(
    entry: Entry,
    reason: Annotated[str, typer.Option(help="What you found; it is kept for ever.")],
    unjustified: Annotated[
        bool, typer.Option("--not-justified", help="Say that it should not have been done.")
    ] = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Sign that you have looked at a use of break-glass; until somebody has, every decision and report says so.

    Example: mlgov review 57 --as risk-officer --reason "the outage was real; version 2 is assessed now"
    """
    with opened(workspace, signer) as ws:
        receipt = ws.review(entry, reason=reason, verdict="not-justified" if unjustified else "justified")
        _signed("review", [receipt.index], json=json)


def revoke(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ENTRY|MODEL", help="A ledger index, or a model (name/version, or digits of its sha256)."
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Withdraw evidence, an approval, a waiver or a decision, or a model for ever. Nothing takes that back.

    Example: mlgov revoke 23 --as validator --reason "the test set held training rows";
    mlgov revoke credit-risk/1 --as risk-officer --reason "trained on data without consent"
    """
    with opened(workspace, signer) as ws:
        _signed("revocation", [one.index for one in ws.revoke(target, reason=reason)], json=json)


def _signed(what: str, entries: list[int], *, json: bool) -> None:
    if json:
        render.out_json({"entries": entries})
    else:
        render.out(f"{what} signed as ledger {', '.join(f'#{index}' for index in entries)}")
