"""A check as JUnit XML, as Jenkins and GitLab read it: one test case for each rule.

A waived rule is skipped; evidence that is missing, stale or unusable is an error; whatever else blocks is a failure. Nothing is
green that is not allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ml_governance.report.outcome import one_line, visible

if TYPE_CHECKING:
    from ml_governance.report.outcome import Case, Outcome

_ELEMENTS = {"failed": "failure", "error": "error", "waived": "skipped"}


def to_junit(outcome: Outcome) -> str:
    """Return the outcome as one ``testsuite``; the same outcome gives the same bytes."""
    counts = {
        "tests": len(outcome.cases), "failures": outcome.count("failed"), "errors": outcome.count("error"),
        "skipped": outcome.count("waived"),
    }  # fmt: skip
    totals = {name: str(count) for name, count in counts.items()}
    suites = ET.Element("testsuites", {"name": "mlgov check", **{k: v for k, v in totals.items() if k != "skipped"}})
    suite = ET.SubElement(suites, "testsuite", {"name": outcome.title, **totals})
    if outcome.at:
        suite.set("timestamp", outcome.at)
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("model", outcome.model), ("sha256", outcome.sha256), ("stage", outcome.stage), ("result", outcome.result),
        ("exitCode", str(outcome.exit_code)), ("policy", outcome.policy),
    ):  # fmt: skip
        ET.SubElement(properties, "property", {"name": name, "value": one_line(value)})
    for case in outcome.cases:
        _case(suite, case, outcome)
    if outcome.notes:
        ET.SubElement(suite, "system-out").text = "\n".join(visible(note) for note in outcome.notes)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _case(suite: ET.Element, case: Case, outcome: Outcome) -> None:
    name = one_line(f"{case.id}: {case.title}", 400)
    classname = one_line(f"mlgov.{outcome.stage}.{outcome.model}", 400)
    element = ET.SubElement(suite, "testcase", {"name": name, "classname": classname})
    told = visible("\n".join((case.text, *case.advice)))
    if case.kind == "passed":
        ET.SubElement(element, "system-out").text = told
        return
    inner = ET.SubElement(element, _ELEMENTS[case.kind], {"type": case.status, "message": one_line(case.text, 1000)})
    inner.text = told
