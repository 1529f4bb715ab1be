"""A check as SARIF 2.1.0: what blocks or was waived, on the line of the policy that says so.

Rules that pass are no results: readers of SARIF, GitHub's among them, make an alert of each result whatever its ``kind``.
Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 2020.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ml_governance import __version__
from ml_governance.report.outcome import WARNS, one_line, visible

if TYPE_CHECKING:
    from ml_governance.report.outcome import Case, Outcome

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "mlgovRule/v1"


def to_sarif(outcome: Outcome) -> str:
    """Return the outcome as a SARIF log with one run; the same outcome gives the same bytes."""
    told = [(position, case) for position, case in enumerate(outcome.cases) if case.kind != "passed"]
    run = {
        "tool": {
            "driver": {
                "name": "mlgov check",
                "semanticVersion": __version__,
                "rules": [_rule(case) for case in outcome.cases],
            }
        },
        "automationDetails": {
            "id": f"mlgov/{quote(visible(outcome.model, 200))}/{quote(visible(outcome.stage, 200))}/"
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": outcome.result != "error",
                "exitCode": outcome.exit_code,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": visible(note)}} for note in outcome.notes if note.strip()
                ],
            }
        ],
        "results": [_result(position, case, outcome) for position, case in told],
        "properties": {
            "model": visible(outcome.model),
            "sha256": outcome.sha256,
            "stage": visible(outcome.stage),
            "result": outcome.result,
            "policy": visible(outcome.policy),
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rule(case: Case) -> dict[str, Any]:
    return {
        "id": visible(case.id, 400),
        "shortDescription": {"text": one_line(case.title) or "no title"},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": sorted({visible(control) for control in case.controls})},
    }


def _result(position: int, case: Case, outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": visible(case.id, 400),
        "ruleIndex": position,
        "level": "note" if case.kind == "waived" else "warning" if case.status in WARNS else "error",
        "message": {"text": visible("\n".join((case.text, *case.advice)))},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(visible(outcome.file)), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": case.line},
                }
            }
        ],
        "partialFingerprints": {FINGERPRINT: outcome.fingerprint(case)},
    }
    if case.kind == "waived":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": visible(case.text)}]
    return result
