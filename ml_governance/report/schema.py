"""The JSON Schema (draft 2020-12) of ``report.json``: what a program that reads an audit report can rely on.

Parts that are statements of the ledger have the form of their predicate and say where they stand; parts that the report makes are listed
here. Nothing else may stand in a report: a new field raises :data:`~ml_governance.report.card.CARD_VERSION` and comes into this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import Promotion, Registration, Resource, Revocation
from ml_governance.evidence.verdicts import (
    Approval,
    BreakGlass,
    BreakGlassReview,
    DecisionRecord,
    DecisionSummary,
    Waiver,
)
from ml_governance.report.card import CARD_VERSION
from ml_governance.report.comparison import PARTS
from ml_governance.report.lineage import LAYERS
from ml_governance.report.rows_of import OF_GROUPS

if TYPE_CHECKING:
    from ml_governance.evidence.wire import Wire

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


def of(required: dict[str, _Schema], optional: dict[str, _Schema] | None = None) -> _Schema:
    """Return the schema of an object that has these parts, perhaps the optional ones, and nothing else."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": False,
    }


def list_of(items: _Schema) -> _Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def map_of(values: _Schema) -> _Schema:
    """Return the schema of an object whose keys are free."""
    return {"type": "object", "additionalProperties": values}


def or_null(one: _Schema) -> _Schema:
    """Return the schema of what may be absent."""
    return {"anyOf": [one, {"type": "null"}]}


def statement(
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
    "metric": TEXT, "group": TEXT, "value": or_null(NUMBER), "lower": or_null(NUMBER), "upper": or_null(NUMBER),
    "n": or_null(WHOLE), "status": STATUS, "reason": or_null(TEXT),
}  # fmt: skip
GROUP_CELL = of({"by": TEXT, **CELL})
IMPACT = of(
    {
        "value": or_null(NUMBER),
        "lower": or_null(NUMBER),
        "upper": or_null(NUMBER),
        "reference": TEXT,
        "status": STATUS,
    }
)
ROW = of({
    "part": {"enum": list(PARTS)}, "what": TEXT, "before": TEXT, "after": TEXT,
    "entries": {"type": "array", "items": or_null(WHOLE), "minItems": 2, "maxItems": 2}, "apart": or_null(FLAG),
})  # fmt: skip


def report_schema() -> _Schema:
    """Return the schema."""
    definitions: dict[str, _Schema] = {}
    dataset = statement(Resource, definitions)
    dataset = {
        **dataset,
        "properties": {k: v for k, v in dataset["properties"].items() if k not in SOURCE},
        "required": ["name", "sha256"],
    }
    assessment: dict[str, _Schema] = {
        **SOURCE, "predictions": {"enum": ["recomputed", "caller-supplied", "claimed"]}, "dataset": dataset, "confidence": NUMBER,
        "overall": list_of(of(CELL)), "groups": list_of(GROUP_CELL), "details": map_of(ANY),
    }  # fmt: skip
    attribute = of({
        "by": TEXT, "comparisons": list_of(of(CELL)), "plain": list_of(of(CELL)),
        "rows": list_of(of({"group": TEXT, "n": or_null(WHOLE), "rates": map_of(of(CELL)), "impact": IMPACT})),
    })  # fmt: skip
    of_columns = {name: part for name, part in assessment.items() if name not in ("groups", "details")}
    cell = or_null(of({"by": TEXT, **CELL}))
    quality = {
        **of_columns, "worst": map_of(list_of(GROUP_CELL)), "labels": list_of(GROUP_CELL),
        "schema": list_of(ANY), "identifiers": list_of(TEXT),
        "attributes": list_of(of({
            "by": TEXT, "rows": list_of(of({"group": TEXT, **dict.fromkeys(OF_GROUPS, cell)})), "proxies": list_of(ANY),
        })),
    }  # fmt: skip
    consent = {
        "oneOf": [
            statement(Approval, definitions, {"kind": {"const": "approval"}, "withdrawnAt": WHOLE}),
            statement(Waiver, definitions, {"kind": {"const": "waiver"}, "withdrawnAt": WHOLE}),
        ]
    }
    fields: dict[str, _Schema] = {
        "card_version": {"const": CARD_VERSION},
        "subject": of({"name": TEXT, "sha256": SHA}),
        "stage": TEXT, "project": TEXT, "as_of": TIME,
        "log": of({"origin": TEXT, "size": WHOLE, "root": SHA, "trustRoot": TEXT}),
        "decision": {
            "anyOf": [*(statement(form, definitions) for form in (DecisionSummary, DecisionRecord)), {"type": "null"}]
        },
        "policy": or_null(of({**SOURCE, "name": TEXT, "version": WHOLE, "sha256": SHA})),
        "registration": or_null(statement(Registration, definitions)),
        "environment": or_null(
            of(
                {**SOURCE, "parameters": map_of(TEXT)},
                {"python": TEXT, "platform": TEXT, "packages": map_of(TEXT), "packagesDigest": TEXT,
                 "git": of({"commit": TEXT, "dirty": FLAG})},
            )
        ),
        "people": list_of(of({
            "id": TEXT, "name": TEXT, "roles": list_of(TEXT), "custodian": TEXT,
            "signed": list_of(of({"kind": TEXT, "entries": list_of(WHOLE)})),
        })),
        "human": list_of(of({
            "name": TEXT, "section": WHOLE, "title": TEXT, "asks": TEXT, "text": TEXT, "source": or_null(of(SOURCE)),
        })),
        "data": list_of(of({
            "use": {"enum": ["training", "assessment"]}, "name": TEXT, "sha256": SHA, "rows": or_null(WHOLE), "entries": list_of(WHOLE),
            "overlap": TEXT,
        })),
        "lineage": of({
            "subject": TEXT, "edges": list_of(of({"from": TEXT, "to": TEXT})),
            "nodes": list_of(of({"id": TEXT, "layer": {"enum": list(LAYERS)}, "label": TEXT, "detail": TEXT, "entries": list_of(WHOLE)})),
        }),
        "events": list_of(of({**SOURCE, "kind": TEXT, "about": TEXT, "detail": TEXT, "keyid": TEXT})),
        "performance": or_null(of(assessment)),
        "fairness": or_null(of({**assessment, "attributes": list_of(attribute), "bound": or_null(NUMBER)})),
        "explanation": or_null(of(assessment)),
        "data_quality": or_null(of(quality)),
        "privacy": or_null(of(assessment)),
        "robustness": or_null(of(assessment)),
        "security": or_null(of(assessment)),
        "approvals": list_of(consent),
        "promotions": list_of(statement(Promotion, definitions)),
        "break_glass": list_of(statement(
            BreakGlass, definitions, {"model": TEXT, "review": or_null(statement(BreakGlassReview, definitions)), "flaw": or_null(TEXT)}
        )),
        "withdrawals": list_of(statement(Revocation, definitions, {"counts": FLAG})),
        "attempts": map_of(WHOLE),
        "controls": list_of(of({"control": TEXT, "title": or_null(TEXT), "state": TEXT, "rules": list_of(TEXT)})),
        "matrix": list_of(of({
            "control": TEXT, "title": TEXT, "state": TEXT, "rules": list_of(TEXT), "needs_text": or_null(TEXT),
            "evidence": list_of(of({"kind": TEXT, "entries": list_of(WHOLE)})),
            "text": {"anyOf": [WHOLE, {"const": "NOT PROVIDED"}, {"type": "null"}]},
            "mappings": list_of(of({"edition": TEXT, "framework": TEXT, "clause": TEXT, "status": TEXT})),
        })),
        "editions": list_of(of({
            "id": TEXT, "framework": TEXT, "name": TEXT, "version": TEXT, "status": TEXT, "source": TEXT, "checked": or_null(TEXT),
            "note": or_null(TEXT),
        })),
        "plan": list_of(of({"id": TEXT, "title": TEXT, "metric": or_null(TEXT)})),
        "deployments": list_of(of({
            **SOURCE, "stage": TEXT, "version": TEXT, "instance": TEXT, "promotion": or_null(WHOLE), "check_seconds": NUMBER,
            "grace_seconds": NUMBER, "ended": or_null(of({**SOURCE, "reason": or_null(TEXT)})),
        })),
        "monitoring": list_of(of({
            **SOURCE, "stage": TEXT, "begins": TIME, "ends": TIME, "baseline": or_null(WHOLE), "predicted": WHOLE, "labelled": WHOLE,
            "uncounted": WHOLE, "confidence": NUMBER, "overall": list_of(of(CELL)), "groups": list_of(GROUP_CELL), "unseen": map_of(WHOLE),
            "failed_calls": WHOLE, "withdrawnAt": or_null(WHOLE),
            "columns": list_of(of({
                "column": TEXT, "n": or_null(WHOLE), "status": STATUS, "reason": or_null(TEXT), "psi": or_null(NUMBER),
                "psi_excess": or_null(NUMBER), "psi_p_value": or_null(NUMBER),
            })),
        })),
        "predecessor": or_null(of({"name": TEXT, "sha256": SHA, "entries": list_of(WHOLE), "changes": list_of(ROW)})),
        "limitations": list_of(TEXT),
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "Audit report of ml_governance",
        **of(fields), "$defs": definitions,
    }  # fmt: skip
