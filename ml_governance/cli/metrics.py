"""What every metric means, printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ml_governance.cli import render
from ml_governance.errors import UsageError
from ml_governance.evidence.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence


def listed(kinds: Sequence[str], *, json: bool) -> None:
    """Print every metric of some kinds of evidence, or of all: JSON, a table for programs, or paragraphs on a terminal.

    Raises
    ------
    UsageError
        If a kind has no metrics.
    """
    known = dict.fromkeys(kind for kind, _ in METRICS)
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise UsageError(f"there are no metrics of {unknown[0]!r}", expected=f"one of {', '.join(known)}")
    found = [metric.to_dict() for (kind, _), metric in METRICS.items() if kind in (kinds or known)]
    if json:
        render.out_json(found)
        return
    if not sys.stdout.isatty():
        render.table(tuple(found[0]), [[value or "" for value in one.values()] for one in found])
        return
    for one in found:
        better = f"{one['better']} is better" if one["better"] else "a rule says which way is better"
        render.out(f"{one['kind']} {one['name']}", "bold")
        render.out(f"  {one['meaning']}")
        render.out(f"  {one['form']}, {one['range']}, {better}; {one['formula']}")
        render.out(f"  {one['edge']}")
        render.out(f"  {one['source']}", "dim")
