"""The JSON Schemas (draft 2020-12) of the named reports, of a notice, and of what a measurement's ``to_json()`` gives.

Nothing else may stand in one of these documents; what ``details`` of a measurement holds depends on its kind, and is left open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import CONTENTS, AdverseAction, Assessment, Measurement
from ml_governance.report.annex_iv import TITLES
from ml_governance.report.schema import (
    ANY,
    FLAG,
    ROW,
    SHA,
    SOURCE,
    TEXT,
    TIME,
    WHOLE,
    list_of,
    map_of,
    of,
    or_null,
    statement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Schema = dict[str, Any]

DAY: _Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
SUBJECT = of({"name": TEXT, "sha256": SHA})
LOG = of({"origin": TEXT, "size": WHOLE, "root": SHA, "trustRoot": TEXT})
COMMON: dict[str, _Schema] = {"stage": TEXT, "as_of": TIME, "log": LOG}
HUMAN = of({
    "name": TEXT, "section": WHOLE, "title": TEXT, "asks": TEXT, "text": TEXT, "source": or_null(of(SOURCE)),
})  # fmt: skip


def _annex_iv(_: dict[str, _Schema]) -> _Schema:
    fact = of({"label": TEXT, "text": TEXT, "entries": list_of(WHOLE)})
    return of({
        **COMMON, "kind": {"const": "annex-iv"}, "subject": SUBJECT, "missing": list_of(TEXT),
        "points": of({str(number): TEXT for number in TITLES}),
        "items": list_of(of({
            "clause": TEXT, "title": TEXT, "facts": list_of(fact), "needs": or_null(TEXT), "text": or_null(TEXT),
            "signed": or_null(of(SOURCE)), "state": {"enum": ["filled", "in part", "missing"]},
        })),
    })  # fmt: skip


def _compare(_: dict[str, _Schema]) -> _Schema:
    row = of({**ROW["properties"], "changed": FLAG})
    return of({
        **COMMON, "kind": {"const": "compare"}, "before": SUBJECT, "after": SUBJECT, "notes": list_of(TEXT), "rows": list_of(row),
    })  # fmt: skip


def _ll144(_: dict[str, _Schema]) -> _Schema:
    text = of({"name": TEXT, "title": TEXT, "clause": TEXT, "asks": TEXT, "text": TEXT, "source": or_null(of(SOURCE))})
    return of({
        **COMMON, "kind": {"const": "ll144-summary"}, "subject": SUBJECT, "audited_on": DAY, "distributed_on": or_null(DAY),
        "distributed_by": or_null(of({**SOURCE, "kind": TEXT})), "columns": of({"sex": TEXT, "race_ethnicity": TEXT}),
        "assessed": of({**SOURCE, "predictions": TEXT, "dataset": of({"name": TEXT, "sha256": SHA}, {"rows": WHOLE})}),
        "audit": map_of(ANY), "texts": list_of(text), "notes": list_of(TEXT),
    })  # fmt: skip


def _adverse_action(definitions: dict[str, _Schema]) -> _Schema:
    return of({
        **COMMON, "kind": {"const": "adverse-action"}, "subject": SUBJECT, "creditor": or_null(HUMAN), "notes": list_of(TEXT),
        "runs": {**list_of(statement(AdverseAction, definitions, {"of": TEXT})), "minItems": 1},
    })  # fmt: skip


def _notice(_: dict[str, _Schema]) -> _Schema:
    return of({
        "kind": {"const": "adverse-action-notice"}, "reference": SHA, "date": DAY, "reasons": {**list_of(TEXT), "minItems": 1},
        "average": TEXT, "model": SHA, "log": TEXT, "creditor": TEXT,
    })  # fmt: skip


def _measured(definitions: dict[str, _Schema]) -> _Schema:
    made = Measurement.model_json_schema(by_alias=True, mode="serialization", ref_template="#/$defs/{model}")
    definitions |= made.pop("$defs", {})
    kinds = [kind for kind, content in CONTENTS.items() if issubclass(content, Assessment)]
    share = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    return of({
        "kind": {"enum": kinds}, "columns": map_of({"anyOf": [TEXT, list_of(TEXT)]}), "confidence": share,
        "minGroupSize": {"type": "integer", "minimum": 1}, "seed": or_null({"type": "integer"}),
        "measurements": list_of({**made, "required": ["metric", "n", "status"]}), "details": map_of(ANY),
    })  # fmt: skip


_MAKERS: dict[str, tuple[str, Callable[[dict[str, _Schema]], _Schema]]] = {
    "annex-iv": ("Technical file in the order of Annex IV", _annex_iv),
    "compare": ("Two versions side by side", _compare),
    "ll144-summary": ("Summary of a bias audit", _ll144),
    "adverse-action": ("How reasons for declines were stated", _adverse_action),
    "adverse-action-notice": ("Reasons that one declined applicant is told", _notice),
    "measurement": ("What to_json() of a measured report gives", _measured),
}
DOCUMENTS = tuple(_MAKERS)
"""Names of the documents that have a schema besides the audit report."""


def schema_of(document: str) -> _Schema:
    """Return the schema of one of :data:`DOCUMENTS`."""
    title, maker = _MAKERS[document]
    definitions: dict[str, _Schema] = {}
    made = maker(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:ml-governance:{document}-schema:v1",
        "title": f"{title}, of ml_governance", **made, "$defs": definitions,
    }  # fmt: skip
