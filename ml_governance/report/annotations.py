"""A check as GitHub workflow commands: annotations on the policy's lines.

A runner takes every line of a job's output that looks like a command for one, whoever wrote it. What people read is therefore
:func:`quoted` before it is printed there.
Source: GitHub Docs, Workflow commands for GitHub Actions; actions/runner, ``ActionCommand`` (both of its syntaxes).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml_governance.report.outcome import WARNS, one_line, visible

if TYPE_CHECKING:
    from ml_governance.report.outcome import Case, Outcome

LIMIT = 10
"""Annotations of one level that GitHub shows of one step; it drops the rest without a word."""
_LEVELS = ("error", "warning", "notice")


def to_annotations(outcome: Outcome) -> str:
    """Return one command a line, at most ten of each level; where there are more, the tenth says what was left out."""
    lines = []
    for level in _LEVELS:
        cases = [case for case in outcome.cases if case.kind != "passed" and _level(case) == level]
        shown = cases if len(cases) <= LIMIT else cases[: LIMIT - 1]
        lines += [_command(level, outcome, case) for case in shown]
        if len(shown) < len(cases):
            left = cases[len(shown) :]
            ids = one_line(", ".join(case.id for case in left))
            title = f"{len(left)} more of level {level}"
            lines.append(f"::{level} file={_property(visible(outcome.file))},line=1,title={title}::{_data(ids)}")
    return "".join(f"{line}\n" for line in lines)


def _level(case: Case) -> str:
    if case.kind == "waived":
        return "notice"
    return "warning" if case.status in WARNS else "error"


def _command(level: str, outcome: Outcome, case: Case) -> str:
    title = _property(one_line(f"{case.status} {case.id}: {case.title}", 300))
    message = _data(visible("\n".join((case.text, *case.advice))))
    return f"::{level} file={_property(visible(outcome.file))},line={case.line},title={title}::{message}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def quoted(text: str) -> str:
    """Return text for people of which no line is a command: ``::`` and ``##[`` are taken apart."""
    return re.sub(":(?=:)", ": ", visible(text, len(text))).replace("##[", "# #[")
