"""The JSON Schema of the policy language (draft 2020-12), made from the model, for editors and other programs.

It says what has the right form. What has the right form and still is wrong, such as a bound that points the wrong way, only
reading a policy tells.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from ml_governance.decide.policy import Policy
from ml_governance.decide.require import BOUNDS
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.metrics import METRICS

SCHEMA_ID = "urn:ml-governance:policy-schema"


def policy_schema() -> dict[str, Any]:
    """Return the schema: keys and their descriptions, kinds of evidence, the metrics of each kind, known roles as examples."""
    made = Policy.model_json_schema(by_alias=True, mode="validation")
    _without_titles(made)
    for part in (made, *made["$defs"].values()):
        # A docstring's line breaks are those of our source, not of a sentence.
        part["description"] = " ".join(str(part.get("description", "")).split())
    require = made["$defs"]["Require"]
    _without_null(made)
    require["properties"]["evidence"]["description"] += _listed_kinds()
    require["allOf"] = [_metrics_of(kind) for kind in EVIDENCE_KINDS]
    require["dependentSchemas"] = {"metric": {"oneOf": [{"required": [name]} for name in (*BOUNDS, "champion")]}}
    head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": SCHEMA_ID, "title": "Policy of ml_governance"}
    return {**head, **made}


def _listed_kinds() -> str:
    return "".join(f" {kind.name}: {kind.text}." for kind in EVIDENCE_KINDS.values())


def _metrics_of(kind: str) -> dict[str, Any]:
    """Return what follows from a kind of evidence: which metrics there are."""
    known = sorted(name for evidence, name in METRICS if evidence == kind)
    metric = {"enum": known} if known else False
    return {
        "if": {"properties": {"evidence": {"const": kind}}, "required": ["evidence"]},
        "then": {"properties": {"metric": metric}},
    }


def _without_titles(node: Any) -> None:
    """Drop the titles that only repeat a key's name."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str) and (
            "type" in node or "anyOf" in node or "$ref" in node or "enum" in node
        ):
            del node["title"]
        for value in node.values():
            _without_titles(value)
    elif isinstance(node, list):
        for value in node:
            _without_titles(value)


def _without_null(node: Any) -> None:
    """Drop "or null" and "by default null": a key that may be left out is left out, and never stands there empty."""
    if isinstance(node, dict):
        options = node.pop("anyOf", None)
        if options is not None:
            (only,) = [one for one in options if one != {"type": "null"}]
            node.update(only)
        if "default" in node and node["default"] is None:
            del node["default"]
        for value in node.values():
            _without_null(value)
    elif isinstance(node, list):
        for value in node:
            _without_null(value)
