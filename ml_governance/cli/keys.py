"""``mlgov keys``: who may sign, and the root of trust."""

from __future__ import annotations

import typer

from ml_governance.cli import render
from ml_governance.cli.options import Json, Where, opened

app = typer.Typer(help="Keys and trust.", no_args_is_help=True)


@app.command()
def ls(workspace: Where = None, json: Json = False) -> None:
    """List the people whom the trust file in force names, with their keys and roles.

    Example: mlgov keys ls
    """
    with opened(workspace) as ws:
        people = sorted(ws.view().principals.values(), key=lambda person: person.id)
        if json:
            render.out_json(
                [
                    {
                        "id": p.id, "name": p.name, "roles": sorted(p.roles), "projects": sorted(p.projects),
                        "custodian": p.custodian, "keys": [key.public.keyid for key in p.keys],
                    }
                    for p in people
                ]
            )  # fmt: skip
            return
        render.table(
            ("person", "roles", "projects", "custodian", "keys"),
            [
                (
                    p.id,
                    ", ".join(sorted(p.roles)),
                    ", ".join(sorted(p.projects)),
                    p.custodian,
                    ", ".join(key.public.keyid[:16] for key in p.keys),
                )
                for p in people
            ],
        )


@app.command()
def root(workspace: Where = None, json: Json = False) -> None:
    """Print the trust root's digest, to be compared by another way than this one.

    Example: mlgov keys root
    """
    with opened(workspace) as ws:
        ws.view()
        if json:
            render.out_json({"root": ws.config.trust_root})
        else:
            render.out(ws.config.trust_root)
