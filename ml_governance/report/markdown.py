"""A check as Markdown, for a pull request or a step's summary; every word of it may be a stranger's, and none becomes markup.

What has a meaning in GitHub's or GitLab's Markdown stands as a character reference, and names and numbers that would become
mentions, references or links are taken apart with a word joiner, which nobody sees.
Source: GitHub Flavored Markdown Spec 0.29, entity and numeric character references, autolinks (extension), tables (extension).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml_governance.report.outcome import one_line

if TYPE_CHECKING:
    from ml_governance.report.outcome import Case, Outcome

CAP = 1024 * 1024
"""Bytes of a step's summary; GitHub refuses a larger one whole."""
_SIGNS = {"passed": "✅", "failed": "❌", "error": "⛔", "waived": "⏭️"}
_MARKUP = re.compile(
    r"""[\\`*_{}\[\]<>\#!|~$@&]     # emphasis, code, links, images, HTML, tables, mathematics, mentions, references
    |:(?=/)|(?<=www)\.            # addresses
    |:(?=[\w+-]+:)|(?<=\bGH)-     # small pictures by name, references by prefix
    |^[-+=]|^\d(?=\d*[.)])        # lists and headings
    """,
    re.VERBOSE | re.IGNORECASE,
)
_JOINED = frozenset("@#!~$%&:-")
_JOINER = "\u2060"


def escaped(text: str, limit: int = 4000) -> str:
    """Return text on one line that any Markdown reader shows as it is."""
    return _MARKUP.sub(_reference, one_line(text, limit))


def _reference(found: re.Match[str]) -> str:
    reference = f"&#{ord(found[0])};"
    return reference + _JOINER if found[0] in _JOINED else reference


def to_markdown(outcome: Outcome, cap: int = CAP) -> str:
    """Return the outcome as a heading, a table of rules, what would make it pass, and notes.

    Parameters
    ----------
    outcome : Outcome
        What to tell.
    cap : int
        Most bytes; rows that would go beyond are counted instead.
    """
    head = [
        f"## {escaped(outcome.result.upper())}: {escaped(outcome.model, 400)} for {escaped(outcome.stage, 400)}",
        "",
        f"Exit code {outcome.exit_code}. " + (f"Policy: {escaped(outcome.policy, 800)}." if outcome.policy else ""),
        "",
        "| | rule | status | what was found |",
        "|---|---|---|---|",
    ]
    rows = [
        f"| {_SIGNS[case.kind]} | {escaped(case.id, 400)}: {escaped(case.title, 400)} | {escaped(case.status)} | {escaped(case.text)} |"
        for case in outcome.cases
    ]
    advice = _listed("What would make it pass", [(case, one) for case in outcome.cases for one in case.advice])
    notes = ["", *(f"- {escaped(note)}" for note in outcome.notes)] if outcome.notes else []
    return _capped(head, [*rows, *advice, *notes], cap)


def _listed(title: str, advice: list[tuple[Case, str]]) -> list[str]:
    if not advice:
        return []
    lines = [f"- {escaped(text if text.startswith(case.id) else f'{case.id}: {text}')}" for case, text in advice]
    return ["", f"**{title}**", "", *lines]


def _capped(head: list[str], body: list[str], cap: int) -> str:
    """Join lines up to a number of bytes, and say how many more there are."""
    whole = "\n".join((*head, *body)) + "\n"
    if len(whole.encode()) <= cap:
        return whole
    kept, size = list(head), sum(len(line.encode()) + 1 for line in head)
    for position, line in enumerate(body):
        size += len(line.encode()) + 1
        if size > cap - 200:
            return "\n".join((*kept, "", f"{len(body) - position:,} more lines are not shown here.")) + "\n"
        kept.append(line)
    return whole
