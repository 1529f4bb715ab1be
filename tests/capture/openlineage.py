"""The published OpenLineage schemas, for whoever validates events."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource


def checked(events: list[dict[str, Any]]) -> int:
    """Validate events and every stock facet in them; return how many facets that were."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "schemas"
    folder = Path(os.environ.get("MLGOV_SCHEMAS", beside)) / "openlineage"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the published OpenLineage schemas in {folder}")
        pytest.skip(f"the published OpenLineage schemas are not in {folder}")
    registry: Any = Registry()
    known = {}
    for path in [folder / "OpenLineage.json", *sorted((folder / "facets").glob("*.json"))]:
        schema = json.loads(path.read_text())
        registry = registry.with_resource(schema["$id"], Resource.from_contents(schema))
        known[schema["$id"]] = schema
    core = next(name for name in known if name.endswith("OpenLineage.json"))
    count = 0
    formats = Draft202012Validator.FORMAT_CHECKER
    for event in events:
        reference = {"$ref": f"{core}#/$defs/RunEvent"}
        Draft202012Validator(reference, registry=registry, format_checker=formats).validate(event)
        for part in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
            for facet in part.get("facets", {}).values():
                if facet["_schemaURL"].partition("#")[0] in known:
                    reference = {"$ref": facet["_schemaURL"]}
                    Draft202012Validator(reference, registry=registry, format_checker=formats).validate(facet)
                    count += 1
    return count
