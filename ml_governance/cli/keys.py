"""``mlgov keys``: who may sign, and the root of trust."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import Json, Where, opened
from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from ml_governance.evidence.trust import TrustedKey
    from ml_governance.workspace.custody import Enacted

app = typer.Typer(help="Keys and trust.", no_args_is_help=True)


Roots = Annotated[
    list[str] | None,
    typer.Option("--root-key", metavar="FILE", help="A root key to sign with, a file or a name; may be repeated."),
]
Draft = Annotated[
    Path | None,
    typer.Option(
        help="Where the new trust file waits if more root keys must sign: continue with `mlgov keys trust DRAFT`."
    ),
]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="ID", help="The person's id, also the files' name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the key.")] = Path(),
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt it; the passphrase is asked, or MLGOV_PASSPHRASE or _FILE.")
    ] = False,
    uri: Annotated[
        str | None, typer.Option(help="The key is in a service: awskms:, gcpkms:, azurekms:, hashivault: or hsm: ...")
    ] = None,
    public: Annotated[Path | None, typer.Option(help="Its public key in PEM form, beside --uri.")] = None,
    json: Json = False,
) -> None:
    """Make a key of one's own, on one's own account. Only the .pub file is given to anybody.

    Example: mlgov keys new vera --encrypt --out ~/.config/mlgov
    """
    from ml_governance.workspace import new_keys

    made = new_keys.new_key(out, name, encrypt=encrypt, uri=uri, public=public)
    if json:
        render.out_json({"keyid": made.keyid, "private": str(made.private), "public": str(made.public)})
        return
    render.out(f"private: {made.private} (keep it; mode 0600)")
    render.out(f"public:  {made.public} (send it to whoever holds the root key)")
    render.out(f"keyid:   {made.keyid}")


@app.command()
def trust(
    public: Annotated[
        Path, typer.Argument(metavar="PUBLIC|DRAFT", help="A public key, or a draft that waits for signatures.")
    ],
    person: Annotated[str | None, typer.Option("--id", help="Whose key it is.")] = None,
    name: Annotated[str | None, typer.Option(help="Name for reports.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="A role; may be repeated.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="A project; default is this one.")] = None,
    custodian: Annotated[str | None, typer.Option(help="Who could use this key; default is the person alone.")] = None,
    root_key: Roots = None,
    draft: Draft = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Trust a person with a key: the root signs the next trust file, and an entry of the ledger puts it in force.

    Example: mlgov keys trust vera.pub --id vera --role validator --root-key root
    """
    with opened(workspace) as ws:
        if person is None:
            done = ws.custody.continue_draft(public, roots=root_key or [])
        else:
            done = ws.custody.trust(
                person, public, roots=root_key or [], name=name, roles=role or [], projects=project or [],
                custodian=custodian, draft=draft,
            )  # fmt: skip
    _told(done, draft if person is not None else public, json=json)


@app.command()
def revoke(
    who: Annotated[
        str, typer.Argument(metavar="ID|KEYID", help="A person, or the first digits of a key id or of a log key.")
    ],
    compromised: Annotated[
        bool, typer.Option("--compromised", help="The key was stolen: take back what it signed.")
    ] = False,
    last_good: Annotated[
        Path | None,
        typer.Option(help="With --compromised: a checkpoint from before the theft; what it covers still counts."),
    ] = None,
    stolen: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"],
            help="With --last-good: when the key may first have been in other hands.",
        ),
    ] = None,
    witnesses: Annotated[
        Path | None, typer.Option(help="With --last-good: whose cosignatures show that it is older than the theft.")
    ] = None,
    tsa: Annotated[
        Path | None, typer.Option(help="With --last-good: authorities whose timestamps show that it is older, PEM.")
    ] = None,
    unproven: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="With --last-good: nothing shows it, but this; kept for ever."),
    ] = None,
    root_key: Roots = None,
    draft: Draft = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """End the validity of a person's keys or of a log key, from now on or, after a theft, for what they signed since.

    Example: mlgov keys revoke vera --root-key root

    Example: mlgov keys revoke vera --compromised --last-good old.txt --stolen 2026-11-20T08:00Z --witnesses w.txt --root-key root
    """
    from ml_governance.workspace.last_good import LastGood

    if last_good is not None and not compromised:
        raise UsageError("--last-good is for a stolen key", expected="--compromised beside it")
    if last_good is None and any(one is not None for one in (stolen, witnesses, tsa, unproven)):
        raise UsageError("no checkpoint is named that could be older than the theft", expected="--last-good FILE")
    if unproven is not None and any(one is not None for one in (stolen, witnesses, tsa)):
        raise UsageError("it is either proven or not", expected="--unproven REASON, or --stolen with an anchor")
    if last_good is not None and unproven is None and stolen is None:
        raise UsageError(
            "it is not said when the key was stolen",
            expected="--stolen TIME, with --witnesses FILE or --tsa FILE",
            next_step="where no anchor is older than the theft: --unproven REASON, which is recorded; or no --last-good",
        )
    with opened(workspace) as ws:
        good = LastGood.nothing() if compromised else None
        if last_good is not None and unproven is not None:
            good = LastGood.asserted(ws, last_good, reason=unproven)
        elif last_good is not None and stolen is not None:
            good = LastGood.anchored(ws, last_good, stolen=stolen, witnesses=witnesses, authorities=tsa)
        done = ws.custody.revoke(who, roots=root_key or [], last_good=good, draft=draft)
    _told(done, draft, json=json)


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="What happened; kept for ever.")],
    root_key: Roots = None,
    draft: Draft = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Set the log's time right, when an entry claims a time that has not come and nothing can be appended any more.

    Example: mlgov keys resume --reason "the clock of build-7 was a year ahead" --root-key root
    """
    with opened(workspace) as ws:
        done = ws.custody.resume(roots=root_key or [], reason=reason, draft=draft)
    _told(done, draft, json=json)


@app.command()
def rotate(
    who: Annotated[
        str, typer.Argument(metavar="ID|root|log", help="A person, `root`, or `log` for the checkpoint key.")
    ],
    public: Annotated[
        list[Path] | None, typer.Option("--public", help="The new public key; for the root, one for each holder.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=1, help="How many of the new root keys must sign.")] = 1,
    until: Annotated[
        int | None,
        typer.Option(metavar="SIZE", help="For `log`: the smallest tree that the old key may no longer sign."),
    ] = None,
    root_key: Roots = None,
    draft: Draft = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Go on with another key. A new root needs the signatures of the old root and of the new one.

    Example: mlgov keys rotate vera --public vera-2.pub --root-key root

    Example: mlgov keys rotate root --public r1.pub --public r2.pub --threshold 2 --root-key root --root-key r1.pem --root-key r2.pem
    """
    keys, roots = public or [], root_key or []
    if until is not None and who != "log":
        raise UsageError("--until is for the log's key", expected="`mlgov keys rotate log`")
    with opened(workspace) as ws:
        if who == "log":
            done = ws.custody.rotate_log_key(roots=roots, until=until, draft=draft)
        elif who == "root":
            done = ws.custody.rotate_root(keys, roots=roots, threshold=threshold, draft=draft)
        elif len(keys) == 1:
            done = ws.custody.rotate(who, keys[0], roots=roots, draft=draft)
        else:
            raise UsageError(f"{len(keys)} public keys were named", expected="--public FILE, once")
    _told(done, draft, json=json)


@app.command()
def renew(root_key: Roots = None, draft: Draft = None, workspace: Where = None, json: Json = False) -> None:
    """Sign the trust file again for another year; an expired one lets nothing new be decided.

    Example: mlgov keys renew --root-key root
    """
    with opened(workspace) as ws:
        done = ws.custody.renew(roots=root_key or [], draft=draft)
    _told(done, draft, json=json)


def _told(done: Enacted, draft: Path | None, *, json: bool) -> None:
    if json:
        render.out_json(
            {
                "version": done.version,
                "index": done.index,
                "signatures": done.signatures,
                "needed": done.needed,
                "remark": done.remark,
            }
        )
        return
    if done.index is not None:
        render.out(f"trust file {done.version} is in force since entry #{done.index}")
    else:
        render.out(
            f"trust file {done.version} waits in {draft}: {done.signatures} of {done.needed} signatures", "yellow"
        )
        render.out(f"  next: mlgov keys trust {draft} --root-key KEY")
    if done.remark is not None:
        render.out(f"  on record: {done.remark}")


@app.command()
def ls(workspace: Where = None, json: Json = False) -> None:
    """List the people whom the trust file in force names, with their keys and roles.

    Example: mlgov keys ls
    """
    with opened(workspace) as ws:
        from ml_governance.workspace import custody

        current = ws.custody.current()
        people = sorted(current.principals, key=lambda person: person.id)
        if json:
            render.out_json(custody.people(current))
            return
        rows = [
            ("log", "signs checkpoints", "", "", f"{key.public[:16]} (trees {key.sizes()})") for key in current.log_keys
        ]
        render.table(
            ("person", "roles", "projects", "custodian", "keys"),
            [
                (
                    p.id,
                    ", ".join(sorted(p.roles)),
                    ", ".join(sorted(p.projects)),
                    p.custodian,
                    ", ".join(key.public.keyid[:16] + _range(key) for key in p.keys),
                )
                for p in people
            ]
            + rows,
        )


@app.command()
def root(
    log_key: Annotated[
        bool, typer.Option("--log-key", help="The log's verifier keys instead, as tools for signed notes take them.")
    ] = False,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Print the trust root's digest, to be compared by another way than this one.

    Example: mlgov keys root

    Example: mlgov keys root --log-key
    """
    with opened(workspace) as ws:
        from ml_governance.evidence.checkpoint import vkey

        keys = ws.custody.current().log_keys
        log_keys = [vkey(key) for key in keys]
        if json:
            sizes = [{"public": k.public, "validFrom": k.valid_from, "validUntil": k.valid_until} for k in keys]
            render.out_json({"root": ws.config.trust_root, "logKeys": log_keys, "sizes": sizes})
        else:
            for line in log_keys if log_key else [ws.config.trust_root]:
                render.out(line)


def _range(key: TrustedKey) -> str:
    """Return for which entries a key counts, where that is not all of them."""
    if key.valid_until is not None:
        return f" (#{key.valid_from} to #{key.valid_until - 1})" if key.valid_until > key.valid_from else " (void)"
    return f" (from #{key.valid_from})" if key.valid_from else ""
