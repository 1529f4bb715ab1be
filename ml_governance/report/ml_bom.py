"""A model version as a CycloneDX 1.6 bill of materials: model, data, measured numbers by slice, software, and claims about controls.

Written here because the field's Python library has no model card and drops it when it saves. Identifiers are made from
digests and times come from the evidence, so the same card gives the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from ml_governance import __version__
from ml_governance.report import numbers
from ml_governance.report.oscal import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_governance.report.card import Card

SPEC_VERSION = "1.6"
_CLAIMS = {"satisfied": 1.0, "not satisfied": 0.0}
"""What a control's state comes to as a conformance score; anything else is neither, and stands in the rationale alone."""


def to_ml_bom(card: Card) -> str:
    """Return the card as a CycloneDX 1.6 ML-BOM, JSON; the same card gives the same bytes.

    Parameters
    ----------
    card : Card
        The audit pack.

    Returns
    -------
    str
        Valid against the CycloneDX 1.6 schema. Software without a known licence has none here; what is not recorded is left out.
    """
    data = [_dataset(one) for one in card.data]
    software = list(_software(card))
    model = _model(card)
    bom: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE, card.subject['sha256'] + card.log['root'] + card.stage)}",
        "version": 1,
        "metadata": {
            "timestamp": card.as_of,
            "tools": {"components": [{"type": "application", "name": "ml-governance", "version": __version__}]},
            "component": model,
            "properties": _properties(card),
        },
        "components": [*data, *software],
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [one["bom-ref"] for one in (*data, *software)]},
            *({"ref": one["bom-ref"]} for one in (*data, *software)),
        ],
    }
    if known := _vulnerabilities(card, {one["name"]: one["bom-ref"] for one in software}):
        bom["vulnerabilities"] = known
    if card.controls:
        bom |= _declared(card, model["bom-ref"])
    return json.dumps(bom, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _properties(card: Card) -> list[dict[str, str]]:
    """Return what CycloneDX has no field for: by what an outsider checks all this, and what was decided."""
    named = {
        "log-origin": card.log["origin"],
        "log-size": str(card.log["size"]),
        "log-root": card.log["root"],
        "trust-root": card.log["trustRoot"],
        "stage": card.stage,
        "decision": "none recorded" if card.decision is None else card.decision["result"],
    }
    return [{"name": f"ml-governance:{name}", "value": value} for name, value in named.items()]


def _model(card: Card) -> dict[str, Any]:
    name, _, version = card.subject["name"].rpartition("/")
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{card.subject['sha256']}",
        "name": name or version,
        "hashes": [_sha256(card.subject["sha256"])],
        "modelCard": _model_card(card),
    }
    return model | ({"version": version} if name else {})


def _model_card(card: Card) -> dict[str, Any]:
    metrics = list(_metrics(card))
    used = [{"ref": f"data:{one['use']}:{one['sha256']}"} for one in card.data if one["use"] == "training"]
    written: dict[str, Any] = {
        "bom-ref": f"card:{card.subject['sha256']}",
        "considerations": {
            "useCases": [one["text"] for one in card.human if one["name"] == "intended-use"],
            "technicalLimitations": list(card.limitations),
        },
    }
    if used:
        written["modelParameters"] = {"datasets": used}
    if metrics:
        written["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return written


def _metrics(card: Card) -> Iterator[dict[str, Any]]:
    """Yield each number with its slice and interval; one without a value is not left out, but says why it has none."""
    for kind, report in numbers.reports(card).items():
        for where, one in numbers.by_slice(report):
            known = one["value"] is not None
            metric: dict[str, Any] = {
                "type": f"{kind}:{one['metric']}",
                "value": repr(one["value"]) if known else f"{one['status']}: {one['reason'] or 'no value'}",
                "slice": where,
            }
            if known and one["lower"] is not None and one["upper"] is not None:
                bounds = {"lowerBound": repr(one["lower"]), "upperBound": repr(one["upper"])}
                metric["confidenceInterval"] = bounds
            yield metric


def _dataset(one: dict[str, Any]) -> dict[str, Any]:
    rows = "" if one["rows"] is None else f"{one['rows']} rows, "
    entries = ", ".join(f"#{index}" for index in one["entries"])
    return {
        "type": "data",
        "bom-ref": f"data:{one['use']}:{one['sha256']}",
        "name": one["name"],
        "description": f"{one['use']}: {rows}ledger {entries}",
        "hashes": [_sha256(one["sha256"])],
        "data": [{"type": "dataset", "name": one["name"], "description": one["use"]}],
    }


def _software(card: Card) -> Iterator[dict[str, Any]]:
    """Yield what the training ran on and what the artifact needs, each once; licences and digests are what a scan found."""
    named: dict[tuple[str, str], dict[str, Any]] = {
        (name, version): {} for name, version in (card.environment or {}).get("packages", {}).items()
    }
    for one in ({} if card.security is None else card.security["details"]).get("dependencies", []):
        if one.get("version"):
            named[one["name"], one["version"]] = one
    for (name, version), known in sorted(named.items()):
        yield _library(name, version, known)


def _vulnerabilities(card: Card, software: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the advisories that the newest scan found, each once, with the software that it is about."""
    found: dict[str, dict[str, Any]] = {}
    for one in ({} if card.security is None else card.security["details"]).get("vulnerabilities", []):
        entry = found.setdefault(
            one["id"], {"bom-ref": f"advisory:{one['id']}", "id": one["id"], "source": {"name": "OSV"}, "affects": []}
        )
        if one["name"] in software:
            entry["affects"].append({"ref": software[one["name"]]})
    return list(found.values())


def _library(name: str, version: str, known: Mapping[str, Any]) -> dict[str, Any]:
    library: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
    }
    if "licence" in known:
        library["licenses"] = [{"license": {"name": known["licence"]}}]
    return library


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}


def _declared(card: Card, target: str) -> dict[str, Any]:
    """Return the claims about controls: each by the rules that are evidence for it, attested by the decision's signer."""
    decision = card.decision or {}
    claims, mapped, requirements = [], [], []
    for one in card.controls:
        claim, requirement = f"claim:{one['control']}", f"control:{one['control']}"
        title = {"title": one["title"]} if one.get("title") else {}
        requirements.append({"bom-ref": requirement, "identifier": one["control"], **title})
        claims.append(
            {
                "bom-ref": claim,
                "target": target,
                "predicate": f"Evidence for {one['control']}: {one['state']}",
                "reasoning": f"The rules {', '.join(sorted(set(one['rules'])))}, decided at ledger #{decision['index']}.",
                "evidence": ["evidence:decision"],
            }
        )
        conformance: dict[str, Any] = {"rationale": one["state"]}
        if one["state"] in _CLAIMS:
            conformance["score"] = _CLAIMS[one["state"]]
        mapped.append({"requirement": requirement, "claims": [claim], "conformance": conformance})
    return {
        "definitions": {
            "standards": [
                {
                    "bom-ref": "standard:controls",
                    "name": "ml-governance control catalogue",
                    "version": "1",
                    "requirements": requirements,
                }
            ]
        },
        "declarations": {
            "assessors": [
                {
                    "bom-ref": "assessor:gate",
                    "thirdParty": False,
                    "organization": {"name": f"signed by {decision['by']}"},
                }
            ],
            "attestations": [
                {
                    "summary": f"Decision {decision['result']} for {card.stage}",
                    "assessor": "assessor:gate",
                    "map": mapped,
                }
            ],
            "claims": claims,
            "evidence": [
                {
                    "bom-ref": "evidence:decision",
                    "propertyName": "ml-governance:decision",
                    "description": f"Signed decision at ledger #{decision['index']}, payload sha256 {decision['payload']}",
                    "created": decision["at"],
                }
            ],
        },
    }
