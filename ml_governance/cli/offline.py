"""``mlgov log verify PATH``: check what somebody gave away, with no workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from ml_governance.cli import render
from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance.evidence.proof import TlogProof


def verify(
    path: Path, *, root: str | None, vkey: str | None, pins: Sequence[Path], witnesses: Path | None, json: bool
) -> NoReturn:
    """Verify a bundle, tiles or a proof, print the outcome, and exit with its code."""
    from ml_governance.workspace import keeping

    if root is not None and not (root.startswith("sha256:") and len(root) == 71):
        raise UsageError(f"the root is {root!r}", expected="sha256: and 64 hexadecimal digits")
    found = keeping.verify_path(path, root=root, vkey=vkey, pinned=pins, witnesses=witnesses)
    if isinstance(found, tuple):
        _proof(*found, json=json)
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
    if newest is not None:
        render.out(f"  newest entry: {newest.isoformat(timespec='seconds')} ({render.age(newest)})")
    for note in found.notes:
        render.out(f"  note: {note}")
    for gone in found.void:
        render.out(f"  #{gone.index} {gone.kind}: {gone.why}")
    raise typer.Exit(0 if good else 4)


def _proof(proof: TlogProof, kind: str, *, json: bool) -> NoReturn:
    if json:
        render.out_json({"index": proof.index, "kind": kind, "verified": True})
    else:
        render.out(f"verified: entry #{proof.index}, a {kind}, is in the log", "bold green")
    raise typer.Exit(0)
