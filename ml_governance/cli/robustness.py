"""What the command line says of robustness, as the options that an assessment takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence


def options(monotone: Sequence[str], shift: Sequence[str]) -> dict[str, Any]:
    """Read ``COLUMN=+`` and ``COLUMN=LEVEL:SHARE,LEVEL:SHARE``."""
    made: dict[str, Any] = {}
    for text in monotone:
        column, _, direction = text.rpartition("=")
        if not column or direction not in {"+", "-"}:
            raise typer.BadParameter(f"--monotone {text}: expected COLUMN=+ or COLUMN=-")
        made.setdefault("monotone", {})[column] = direction
    for text in shift:
        column, _, shares = text.partition("=")
        made.setdefault("shift", {})[column] = dict(_share(text, one) for one in shares.split(","))
    return made


def _share(text: str, one: str) -> tuple[str, float]:
    level, _, share = one.rpartition(":")
    try:
        return level.strip(), float(share)
    except ValueError:
        raise typer.BadParameter(f"--shift {text}: expected COLUMN=LEVEL:SHARE,LEVEL:SHARE") from None
