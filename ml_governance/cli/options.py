"""Options that every command shares, and how a command opens its workspace."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.errors import UsageError

if TYPE_CHECKING:
    from ml_governance.workspace import Workspace

As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="ID",
        envvar="MLGOV_SIGNER",
        help="With whose key you act: a person's id or a key file.",
    ),
]
Where = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", metavar="DIR", help="Where to look for governance.toml, upwards."),
]
Full = Annotated[
    bool,
    typer.Option("--full", help="Verify every entry of the log first, not only what is new and what concerns this."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Stage = Annotated[str, typer.Option("--stage", help="The stage the model is to enter.")]
Version = Annotated[str, typer.Argument(metavar="MODEL", help="name/version, or the first digits of its sha256.")]


def opened(where: Path | None, signer: str | None = None, *, full: bool = False) -> Workspace:
    """Open the workspace at or above a folder, in somebody's hands, telling slow steps on stderr."""
    from ml_governance.cli.render import narrate
    from ml_governance.workspace import open_workspace

    return open_workspace(where, signer=signer, narrate=narrate, full=full)


def moment(text: str) -> datetime:
    """Read a time with its zone.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise UsageError(f"the time is {text!r:.100}", expected="a time with its zone, such as 2026-01-15T12:00:00Z")
    return found


def read_end(text: str) -> date | datetime:
    """Read a day, or a time with its zone.

    Raises
    ------
    UsageError
        If it is neither.
    """
    try:
        if len(text) == len("2026-12-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--until {text!r}", expected="a day such as 2026-12-31, or a time such as 2026-12-31T18:00Z"
        ) from error
    if moment.tzinfo is None:
        raise UsageError(f"--until {text!r} has no time zone", expected=f"{text}Z, if you mean UTC")
    return moment.astimezone(UTC)
