"""``mlgov log verify PATH``: check what somebody gave away, with no workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from ml_governance.cli import render
from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance.workspace.received import Proven

VKEY_ALONE = (
    "the verifier key was believed as it was given, for a tree of any size; "
    "whether it was still in use, --root sha256:... --trust FILE tells"
)


def verify(
    path: Path,
    *,
    root: str | None,
    vkey: str | None,
    trust_file: Path | None,
    pins: Sequence[Path],
    witnesses: Path | None,
    json: bool,
) -> NoReturn:
    """Verify a bundle, tiles or a proof, print the outcome, and exit with its code."""
    from ml_governance.workspace import received

    if root is not None and not (root.startswith("sha256:") and len(root) == 71):
        raise UsageError(f"the root is {root!r}", expected="sha256: and 64 hexadecimal digits")
    found = received.verify_path(path, root=root, vkey=vkey, trust_file=trust_file, pinned=pins, witnesses=witnesses)
    if isinstance(found, received.Proven):
        _proof(found, json=json)
    problems = [{"index": p.index, "what": p.what} for p in found.problems]
    good = not problems and found.root_known
    newest = max((one.recorded_at for one in found.attestations), default=None)
    if json:
        render.out_json(
            {
                "origin": found.checkpoint.origin,
                "size": found.checkpoint.size,
                "root": found.checkpoint.root.hex(),
                "verified": good,
                "trustRoot": found.root,
                "trustRootKnown": found.root_known,
                "covers": "whole log" if not found.subjects else "subjects",
                "subjects": list(found.subjects),
                "entries": [
                    {"index": one.index, "kind": one.kind, "by": one.principal.id} for one in found.attestations
                ],
                "problems": problems,
                "notes": list(found.notes),
                "newest": newest.isoformat() if newest else None,
            }
        )
        raise typer.Exit(0 if good else 4)
    if problems:
        render.out(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {path}", "bold red")
        for problem in problems:
            render.out(f"  {'#' + str(problem['index']) if problem['index'] is not None else 'log'}: {problem['what']}")
    elif found.root_known:
        render.out(f"verified: {len(found.attestations)} entries of {found.checkpoint.origin}", "bold green")
        render.out(f"  checkpoint of {found.checkpoint.size} entries, tree root {found.checkpoint.root.hex()}")
    else:
        render.out(
            f"self-consistent, signer unknown: {len(found.attestations)} entries of {found.checkpoint.origin}", "yellow"
        )
        render.out(f"  its trust root is {found.root}")
    render.out(f"  covers: {found.covers()}")
    if newest is not None:
        render.out(f"  newest entry: {newest.isoformat(timespec='seconds')} ({render.age(newest)})")
    for note in found.notes:
        render.out(f"  note: {note}")
    for gone in found.void:
        render.out(f"  #{gone.index} {gone.kind}: {gone.why}")
    raise typer.Exit(0 if good else 4)


def _proof(found: Proven, *, json: bool) -> NoReturn:
    notes = () if found.root_known else (VKEY_ALONE,)
    if json:
        render.out_json(
            {
                "index": found.proof.index,
                "kind": found.kind,
                "size": found.size,
                "verified": True,
                "trustRootKnown": found.root_known,
                "notes": list(notes),
            }
        )
    else:
        render.out(
            f"verified: entry #{found.proof.index}, a {found.kind}, is in the log of {found.size} entries", "bold green"
        )
        for note in notes:
            render.out(f"  note: {note}")
    raise typer.Exit(0)
