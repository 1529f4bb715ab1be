"""Verbs about people: ``mlgov policy can``, and delegations and the charter under ``mlgov keys``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.keys import Draft, Roots, _told
from ml_governance.cli.options import As, Json, Stage, Where, opened, read_end
from ml_governance.errors import UsageError


def register(policy: typer.Typer, keys: typer.Typer) -> None:
    """Add the verbs to their groups."""
    policy.command()(can)
    for verb in (delegate, undelegate, delegations, charter):
        keys.command()(verb)


def can(
    who: Annotated[str, typer.Argument(metavar="WHO", help="A person's id.")],
    action: Annotated[
        str,
        typer.Argument(
            metavar="DO",
            help="train, register, assess, approve, approve:ROLE, waive, promote, deploy, revoke, protect or read.",
        ),
    ],
    what: Annotated[
        str | None,
        typer.Argument(metavar="[WHAT]", help="The model; an entry's index to revoke; the data's name to read."),
    ] = None,
    stage: Stage = "production",
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Tell whether a person may do something now, and why. Exit code 0 is yes, 1 is no.

    Example: mlgov policy can vera approve:validator credit-risk/2 --stage production
    """
    with opened(workspace) as ws:
        verdict = ws.can(who, action, what, stage=stage)
    if json:
        render.out_json(
            {
                "who": who,
                "do": action,
                "what": what,
                "stage": stage,
                "allowed": verdict.allowed,
                "reason": verdict.reason,
            }
        )
    else:
        render.out(f"{'yes' if verdict.allowed else 'no'}: {verdict.reason}")
    raise typer.Exit(0 if verdict.allowed else 1)


def delegate(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="A role of your own.")],
    to: Annotated[str, typer.Option(metavar="ID", help="Who may act in it.")],
    until: Annotated[
        str,
        typer.Option(
            metavar="DATE", help="The last day, in UTC, such as 2026-08-14; or a time such as 2026-08-14T17:00Z."
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Let somebody act in your place until a date, within what the charter allows.

    Example: mlgov keys delegate risk_officer --to vera --until 2026-08-14 --reason "on leave" --as rita
    """
    from ml_governance.workspace.deciding import end_of

    ends = end_of(read_end(until))
    with opened(workspace, signer) as ws:
        receipt = ws.delegate(role, to=to, until=ends, reason=reason)
    if json:
        render.out_json({"entries": [receipt.index]})
    else:
        shown = ends.isoformat(timespec="minutes")
        render.out(f"{to} may act as {role.replace('_', ' ')} until {shown}: ledger #{receipt.index}")


def undelegate(
    index: Annotated[int, typer.Argument(min=0, help="The delegation's ledger index.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept for ever.")],
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """End a delegation before its date.

    Example: mlgov keys undelegate 31 --reason "back from leave" --as rita
    """
    from ml_governance.workspace import people

    with opened(workspace, signer) as ws:
        receipt = people.withdraw(ws, index, reason=reason)
    if json:
        render.out_json({"entries": [receipt.index]})
    else:
        render.out(f"the delegation #{index} ended: ledger #{receipt.index}")


def delegations(workspace: Where = None, json: Json = False) -> None:
    """List delegations, and why those that are not in force are not.

    Example: mlgov keys delegations
    """
    from ml_governance.workspace import people

    with opened(workspace) as ws:
        found = people.delegations(ws)
    if json:
        render.out_json(
            [
                {
                    "index": one.index,
                    "role": one.role,
                    "by": one.by,
                    "to": one.to,
                    "expires": one.expires.isoformat(),
                    "inForce": one.refusal is None,
                    "refusal": one.refusal,
                }
                for one in found
            ]
        )
        return
    render.table(
        ("#", "role", "of", "to", "until", "in force"),
        [
            (
                str(one.index),
                one.role,
                one.by,
                one.to,
                one.expires.isoformat(timespec="minutes"),
                "yes" if one.refusal is None else f"no: {one.refusal}",
            )
            for one in found
        ],
    )


def charter(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="YAML or JSON; without it, the charter in force is printed.")
    ] = None,
    root_key: Roots = None,
    draft: Draft = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Print the charter, or let the root put another in force: what holds of roles, whatever a policy says.

    Example: mlgov keys charter > charter.json; mlgov keys charter charter.json --root-key root
    """
    with opened(workspace) as ws:
        if file is not None:
            done = ws.custody.charter(file, roots=root_key or [], draft=draft)
            _told(done, draft, json=json)
            return
        if root_key or draft:
            raise UsageError("no charter was named", expected="FILE beside --root-key")
        from ml_governance.evidence.charter import NO_CHARTER

        render.out_json((ws.custody.current().charter or NO_CHARTER).to_dict())
