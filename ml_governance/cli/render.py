"""What commands print: results on stdout, narration and progress on stderr, silent when not a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ml_governance.decide.decision import Decision
    from ml_governance.errors import GovernanceError
    from ml_governance.evidence.verified import VerifiedLog

_COLOURS = {
    "allow": "green", "pass": "green", "deny": "red", "fail": "red", "error": "red", "missing": "red", "stale": "red",
    "review": "yellow", "inconclusive": "yellow", "insufficient": "yellow", "waived": "magenta",
}  # fmt: skip


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return text in which nothing can move the cursor or turn the order of characters: it may be a stranger's."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _plainly(text: str, stream: Any) -> bool:
    """Write text as it is where no colour would be seen, which spares loading what colours it; tell whether it was written."""
    if stream.isatty() or os.environ.keys() & {"FORCE_COLOR", "TTY_COMPATIBLE"}:
        return False
    stream.write(text + "\n")
    return True


def out(text: str = "", style: str | None = None) -> None:
    """Print one result to stdout; colour only on a terminal."""
    if _plainly(plain(text), sys.stdout):
        return
    from rich.console import Console
    from rich.text import Text

    Console(soft_wrap=True, highlight=False).print(Text(plain(text), style=style or ""))


def out_json(value: Any) -> None:
    """Print a result as JSON to stdout; what could move a terminal's cursor or turn its text is escaped, and means the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def narrate(line: str) -> None:
    """Tell what is being done, on stderr, when somebody watches."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, highlight=False).print(Text(plain(line), style="dim"))


def working(what: str) -> AbstractContextManager[Any]:
    """Show a spinner on stderr while something slow runs; silent when not a terminal."""
    from contextlib import nullcontext

    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)


def complain(error: GovernanceError) -> None:
    """Print an error to stderr: what was found, what was expected, the next step."""
    said = (("mlgov: ", error.found), ("  expected: ", error.expected), ("  next: ", error.next_step))
    lines = [head + plain(text or "") for head, text in said if text]
    if _plainly("\n".join(lines), sys.stderr):
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text("mlgov: ", style="bold red") + Text(plain(error.found)))
    if error.expected:
        console.print(Text("  expected: ", style="bold") + Text(plain(error.expected)))
    if error.next_step:
        console.print(Text("  next: ", style="bold") + Text(plain(error.next_step)))


def decision(made: Decision) -> None:
    """Print a decision with every reason, its statuses in colour."""
    if _plainly(plain(made.explain()), sys.stdout):
        return
    from rich.console import Console
    from rich.text import Text

    text = Text(plain(made.explain()))
    for word, colour in _COLOURS.items():
        text.highlight_regex(rf"(?im)(^\s*|: ){word}\b", style=f"bold {colour}")
    Console(soft_wrap=True, highlight=False).print(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table to stdout; tab-separated when not a terminal, so that other programs can read it."""
    rows = [[re.sub(r"[\t\n]", " ", plain(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on stderr that ``tell(done, total)`` moves; silent when not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    sys.stderr.write(f"mlgov: {plain(text)}\n")


def age(moment: datetime) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "just now"


def verification(verified: VerifiedLog, *, newest: datetime | None) -> None:
    """Print what a verification found and what it does not prove."""
    checkpoint = verified.checkpoint
    if verified.problems:
        out(
            f"{len(verified.problems)} problem{'s' if len(verified.problems) != 1 else ''} in {checkpoint.origin}",
            "bold red",
        )
        for problem in verified.problems:
            out(f"  {'#' + str(problem.index) if problem.index is not None else 'log'}: {problem.what}")
    else:
        out(f"verified: all {checkpoint.size} entries of {checkpoint.origin}", "bold green")
        out(f"  tree root {checkpoint.root.hex()}")
        if newest is not None:
            out(f"  newest entry: {newest.isoformat(timespec='seconds')} ({age(newest)})")
    for gone in verified.void:
        out(f"  #{gone.index} {gone.kind}: {gone.why}")
    for note in verified.notes:
        out(f"  note: {note}")
