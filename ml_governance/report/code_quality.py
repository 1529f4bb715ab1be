"""A check as GitLab's Code Quality report: what blocks, on the line of the policy that says so.

Source: GitLab Docs, Code Quality, report format (a subset of the Code Climate specification).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ml_governance.report.outcome import one_line, visible

if TYPE_CHECKING:
    from ml_governance.report.outcome import Case, Outcome

_SEVERITIES = {"fail": "critical", "inconclusive": "major", "insufficient": "major", "pending": "major"}


def to_code_quality(outcome: Outcome) -> str:
    """Return the issues as a JSON list; a rule that passes is none."""
    issues = [
        {
            "description": one_line(f"{case.id}: {case.text}"),
            "check_name": visible(case.id, 400),
            "fingerprint": outcome.fingerprint(case),
            "severity": _severity(case),
            "location": {"path": visible(outcome.file), "lines": {"begin": case.line}},
        }
        for case in outcome.cases
        if case.kind != "passed"
    ]
    return json.dumps(issues, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _severity(case: Case) -> str:
    return "info" if case.kind == "waived" else _SEVERITIES.get(case.status, "blocker")
