"""The JSON Schema (draft 2020-12) of ``report.json``: what a program that reads an audit report can rely on.

Parts that are statements of the ledger have the form of their predicate and say where they stand; parts that the report makes are listed
here. Nothing else may stand in a report: a new field raises :data:`~ml_governance.report.card.CARD_VERSION` and comes into this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import (
    Approval,
    BreakGlass,
    BreakGlassReview,
    DecisionRecord,
    DecisionSummary,
    Promotion,
    Registration,
    Resource,
    Revocation,
    Waiver,
)
from ml_governance.report.card import CARD_VERSION
from ml_governance.report.comparison import PARTS
from ml_governance.report.lineage import LAYERS
from ml_governance.report.rows_of import OF_GROUPS

if TYPE_CHECKING:
    from ml_governance.evidence.predicates import Wire

SCHEMA_ID = f"urn:ml-governance:report-schema:v{CARD_VERSION}"

_Schema = dict[str, Any]

TEXT: _Schema = {"type": "string"}
WHOLE: _Schema = {"type": "integer", "minimum": 0}
NUMBER: _Schema = {"type": "number"}
FLAG: _Schema = {"type": "boolean"}
SHA: _Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TIME: _Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
ANY: _Schema = {}
SOURCE: dict[str, _Schema] = {"index": WHOLE, "payload": SHA, "by": TEXT, "at": TIME}
"""Where a part stands in the ledger."""


def _of(required: dict[str, _Schema], optional: dict[str, _Schema] | None = None) -> _Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": False,
    }


def _list(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


def _map(values: _Schema) -> _Schema:
    return {"type": "object", "additionalProperties": values}


def _or_null(one: _Schema) -> _Schema:
    return {"anyOf": [one, {"type": "null"}]}


def _statement(
    predicate: type[Wire], definitions: dict[str, _Schema], more: dict[str, _Schema] | None = None
) -> _Schema:
    """Return the schema of a statement's content beside where it stands."""
    made = predicate.model_json_schema(by_alias=True, mode="serialization", ref_template="#/$defs/{model}")
    definitions |= made.pop("$defs", {})
    # Values that are absent are left out, and times are written to the second or finer.
    optional = [name for name, part in made["properties"].items() if {"type": "null"} in part.get("anyOf", ())]
    return {
        "type": "object",
        "properties": {**made["properties"], **SOURCE, **(more or {})},
        "required": sorted({*made.get("required", ()), *SOURCE} - set(optional)),
        "additionalProperties": False,
    }


STATUS: _Schema = {"enum": ["ok", "undefined", "insufficient", "withheld"]}
CELL: dict[str, _Schema] = {
    "metric": TEXT, "group": TEXT, "value": _or_null(NUMBER), "lower": _or_null(NUMBER), "upper": _or_null(NUMBER),
    "n": _or_null(WHOLE), "status": STATUS, "reason": _or_null(TEXT),
}  # fmt: skip
GROUP_CELL = _of({"by": TEXT, **CELL})
IMPACT = _of(
    {
        "value": _or_null(NUMBER),
        "lower": _or_null(NUMBER),
        "upper": _or_null(NUMBER),
        "reference": TEXT,
        "status": STATUS,
    }
)
ROW = _of({
    "part": {"enum": list(PARTS)}, "what": TEXT, "before": TEXT, "after": TEXT,
    "entries": {"type": "array", "items": _or_null(WHOLE), "minItems": 2, "maxItems": 2}, "apart": _or_null(FLAG),
})  # fmt: skip


def report_schema() -> _Schema:
    """Return the schema."""
    definitions: dict[str, _Schema] = {}
    dataset = _statement(Resource, definitions)
    dataset = {
        **dataset,
        "properties": {k: v for k, v in dataset["properties"].items() if k not in SOURCE},
        "required": ["name", "sha256"],
    }
    assessment: dict[str, _Schema] = {
        **SOURCE, "predictions": {"enum": ["recomputed", "caller-supplied", "claimed"]}, "dataset": dataset, "confidence": NUMBER,
        "overall": _list(_of(CELL)), "groups": _list(GROUP_CELL), "details": _map(ANY),
    }  # fmt: skip
    attribute = _of({
        "by": TEXT, "plain": _list(_of(CELL)), "comparisons": _list(_of(CELL)),
        "rows": _list(_of({"group": TEXT, "n": _or_null(WHOLE), "rates": _map(_of(CELL)), "impact": IMPACT})),
    })  # fmt: skip
    of_columns = {name: part for name, part in assessment.items() if name not in ("groups", "details")}
    cell = _or_null(_of({"by": TEXT, **CELL}))
    quality = {
        **of_columns, "worst": _map(_list(GROUP_CELL)), "labels": _list(GROUP_CELL), "schema": _list(ANY), "identifiers": _list(TEXT),
        "attributes": _list(_of({
            "by": TEXT, "rows": _list(_of({"group": TEXT, **dict.fromkeys(OF_GROUPS, cell)})), "proxies": _list(ANY),
        })),
    }  # fmt: skip
    consent = {
        "oneOf": [
            _statement(Approval, definitions, {"kind": {"const": "approval"}, "withdrawnAt": WHOLE}),
            _statement(Waiver, definitions, {"kind": {"const": "waiver"}, "withdrawnAt": WHOLE}),
        ]
    }
    fields: dict[str, _Schema] = {
        "card_version": {"const": CARD_VERSION},
        "subject": _of({"name": TEXT, "sha256": SHA}),
        "stage": TEXT, "project": TEXT, "as_of": TIME,
        "log": _of({"origin": TEXT, "size": WHOLE, "root": SHA, "trustRoot": TEXT}),
        "decision": {
            "anyOf": [*(_statement(form, definitions) for form in (DecisionSummary, DecisionRecord)), {"type": "null"}]
        },
        "policy": _or_null(_of({**SOURCE, "name": TEXT, "version": WHOLE, "sha256": SHA})),
        "registration": _or_null(_statement(Registration, definitions)),
        "environment": _or_null(
            _of(
                {**SOURCE, "parameters": _map(TEXT)},
                {"python": TEXT, "platform": TEXT, "packages": _map(TEXT), "packagesDigest": TEXT,
                 "git": _of({"commit": TEXT, "dirty": FLAG})},
            )
        ),
        "people": _list(_of({
            "id": TEXT, "name": TEXT, "roles": _list(TEXT), "custodian": TEXT,
            "signed": _list(_of({"kind": TEXT, "entries": _list(WHOLE)})),
        })),
        "human": _list(_of({
            "name": TEXT, "section": WHOLE, "title": TEXT, "asks": TEXT, "text": TEXT, "source": _or_null(_of(SOURCE)),
        })),
        "data": _list(_of({
            "use": {"enum": ["training", "assessment"]}, "name": TEXT, "sha256": SHA, "rows": _or_null(WHOLE), "entries": _list(WHOLE),
            "overlap": TEXT,
        })),
        "lineage": _of({
            "subject": TEXT, "edges": _list(_of({"from": TEXT, "to": TEXT})),
            "nodes": _list(_of({"id": TEXT, "layer": {"enum": list(LAYERS)}, "label": TEXT, "detail": TEXT, "entries": _list(WHOLE)})),
        }),
        "events": _list(_of({**SOURCE, "kind": TEXT, "about": TEXT, "detail": TEXT, "keyid": TEXT})),
        "performance": _or_null(_of(assessment)),
        "fairness": _or_null(_of({**assessment, "attributes": _list(attribute), "bound": _or_null(NUMBER)})),
        "explanation": _or_null(_of(assessment)),
        "data_quality": _or_null(_of(quality)),
        "privacy": _or_null(_of(assessment)),
        "robustness": _or_null(_of(assessment)),
        "security": _or_null(_of(assessment)),
        "approvals": _list(consent),
        "promotions": _list(_statement(Promotion, definitions)),
        "break_glass": _list(_statement(
            BreakGlass, definitions, {"model": TEXT, "review": _or_null(_statement(BreakGlassReview, definitions)), "flaw": _or_null(TEXT)}
        )),
        "withdrawals": _list(_statement(Revocation, definitions, {"counts": FLAG})),
        "attempts": _map(WHOLE),
        "controls": _list(_of({"control": TEXT, "title": _or_null(TEXT), "state": TEXT, "rules": _list(TEXT)})),
        "matrix": _list(_of({
            "control": TEXT, "title": TEXT, "state": TEXT, "rules": _list(TEXT), "needs_text": _or_null(TEXT),
            "evidence": _list(_of({"kind": TEXT, "entries": _list(WHOLE)})),
            "text": {"anyOf": [WHOLE, {"const": "NOT PROVIDED"}, {"type": "null"}]},
            "mappings": _list(_of({"edition": TEXT, "framework": TEXT, "clause": TEXT, "status": TEXT})),
        })),
        "editions": _list(_of({
            "id": TEXT, "framework": TEXT, "name": TEXT, "version": TEXT, "status": TEXT, "source": TEXT, "checked": _or_null(TEXT),
            "note": _or_null(TEXT),
        })),
        "plan": _list(_of({"id": TEXT, "title": TEXT, "metric": _or_null(TEXT)})),
        "deployments": _list(_of({
            **SOURCE, "stage": TEXT, "version": TEXT, "instance": TEXT, "promotion": _or_null(WHOLE), "check_seconds": NUMBER,
            "grace_seconds": NUMBER, "ended": _or_null(_of({**SOURCE, "reason": _or_null(TEXT)})),
        })),
        "monitoring": _list(_of({
            **SOURCE, "stage": TEXT, "begins": TIME, "ends": TIME, "baseline": _or_null(WHOLE), "predicted": WHOLE, "labelled": WHOLE,
            "uncounted": WHOLE, "confidence": NUMBER, "overall": _list(_of(CELL)), "groups": _list(GROUP_CELL), "unseen": _map(WHOLE),
            "failed_calls": WHOLE, "withdrawnAt": _or_null(WHOLE),
            "columns": _list(_of({
                "column": TEXT, "n": _or_null(WHOLE), "status": STATUS, "reason": _or_null(TEXT), "psi": _or_null(NUMBER),
                "psi_excess": _or_null(NUMBER), "psi_p_value": _or_null(NUMBER),
            })),
        })),
        "predecessor": _or_null(_of({"name": TEXT, "sha256": SHA, "entries": _list(WHOLE), "changes": _list(ROW)})),
        "limitations": _list(TEXT),
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "Audit report of ml_governance",
        **_of(fields), "$defs": definitions,
    }  # fmt: skip
