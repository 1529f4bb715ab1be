"""The controls of an audit pack as OSCAL assessment results (NIST OSCAL 1.2), for programs that keep track of controls.

A finding of the decision is an observation; a control is satisfied where every rule that is evidence for it passed, and not satisfied
otherwise: OSCAL has no third answer, so the reason says which. Identifiers are made from digests, so the same card gives the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ml_governance import __version__

if TYPE_CHECKING:
    from ml_governance.report.card import Card

OSCAL_VERSION = "1.2.2"
NAMESPACE = UUID("6d6c676f-7600-5000-8000-000000000001")
"""What the version 5 UUIDs of this library's documents are made under."""
NOTHING = "none-recorded"
"""OSCAL requires a control; this one stands where no decision names any."""


def to_oscal(card: Card) -> str:
    """Return the card as OSCAL assessment results, JSON; the same card gives the same bytes.

    Parameters
    ----------
    card : Card
        The audit pack.

    Returns
    -------
    str
        Valid against the OSCAL 1.2.2 complete schema.
    """
    maker = _Maker(card)
    return json.dumps({"assessment-results": maker.document()}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


class _Maker:
    """Makes one document; knows its card, and names what it holds."""

    def __init__(self, card: Card) -> None:
        self.card = card
        decision = card.decision or {}
        self.findings = list(decision.get("findings", ()))
        self.digests = {
            one["index"]: f", payload sha256 {one['digest']['sha256']}" for one in decision.get("inputAttestations", ())
        }

    def id(self, *parts: str) -> str:
        return str(uuid5(NAMESPACE, "\n".join((self.card.subject["sha256"], self.card.log["root"], *parts))))

    def document(self) -> dict[str, Any]:
        card = self.card
        controls = [one["control"] for one in card.controls] or [NOTHING]
        result: dict[str, Any] = {
            "uuid": self.id("result"),
            "title": f"{card.subject['name']} for {card.stage}",
            "description": self._outcome(),
            "start": card.as_of,
            "reviewed-controls": {
                "control-selections": [{"include-controls": [{"control-id": one} for one in controls]}]
            },
        }
        if self.findings:
            result["observations"] = [self._observation(one) for one in self.findings]
        if card.controls:
            result["findings"] = [self._finding(one) for one in card.controls]
        return {
            "uuid": self.id("document"),
            "metadata": {
                "title": f"Evidence for controls: {card.subject['name']}",
                "last-modified": card.as_of,
                "version": f"{card.log['size']}",
                "oscal-version": OSCAL_VERSION,
                "props": [
                    {"name": "generator", "value": f"ml-governance {__version__}"},
                    {"name": "log-origin", "value": card.log["origin"]},
                    {"name": "log-root", "value": card.log["root"]},
                    {"name": "trust-root", "value": card.log["trustRoot"]},
                ],
                "remarks": "Evidence for the controls named here; whether a law is complied with is for people to judge.",
            },
            "import-ap": {"href": f"#{self.id('policy')}"},
            "results": [result],
            "back-matter": {"resources": [self._policy(), self._model()]},
        }

    def _outcome(self) -> str:
        decision = self.card.decision
        if decision is None:
            return "No decision is recorded for this stage."
        return (
            f"Decision {decision['result']}, ledger #{decision['index']}, by {decision['by']}; {decision['assurance']}."
        )

    def _policy(self) -> dict[str, Any]:
        policy = self.card.policy
        if policy is None:
            return {"uuid": self.id("policy"), "title": "No policy is in force for this stage"}
        return {
            "uuid": self.id("policy"),
            "title": f"Policy {policy['name']}, version {policy['version']}",
            "rlinks": [_link(f"urn:ml-governance:policy:{policy['name']}", policy["sha256"])],
        }

    def _model(self) -> dict[str, Any]:
        subject = self.card.subject
        return {
            "uuid": self.id("model"),
            "title": subject["name"],
            "rlinks": [_link(f"urn:ml-governance:model:{subject['name']}", subject["sha256"])],
        }

    def _observation(self, finding: dict[str, Any]) -> dict[str, Any]:
        observed: dict[str, Any] = {
            "uuid": self.id("observation", finding["id"]),
            "title": finding["title"],
            "description": finding["sentence"],
            "methods": ["TEST"],
            "subjects": [{"subject-uuid": self.id("model"), "type": "resource"}],
            "collected": (self.card.decision or {})["timeVerified"],
            "props": [
                {"name": "rule", "value": finding["rule"]},
                {"name": "status", "value": finding["status"]},
                *(
                    {"name": name, "value": repr(finding[name])}
                    for name in ("value", "lower", "upper", "bound", "n")
                    if finding.get(name) is not None
                ),
            ],
        }
        evidence = [
            {
                "href": f"urn:ml-governance:ledger:{index}",
                "description": f"ledger #{index}{self.digests.get(index, '')}",
            }
            for index in finding.get("evidence", ())
        ]
        if evidence:
            observed["relevant-evidence"] = evidence
        return observed

    def _finding(self, control: dict[str, Any]) -> dict[str, Any]:
        satisfied = control["state"] == "satisfied"
        status: dict[str, Any] = {"state": "satisfied" if satisfied else "not-satisfied", "reason": _REASON[satisfied]}
        if not satisfied:
            status["remarks"] = control["state"]
        rules = set(control["rules"])
        return {
            "uuid": self.id("finding", control["control"]),
            "title": control.get("title") or f"Evidence for {control['control']}",
            "description": f"{control['state']}, by the rules {', '.join(sorted(rules))}.",
            "target": {"type": "objective-id", "target-id": control["control"], "status": status},
            "related-observations": [
                {"observation-uuid": self.id("observation", one["id"])} for one in self.findings if one["id"] in rules
            ],
        }


_REASON = {True: "pass", False: "other"}


def _link(href: str, sha256: str) -> dict[str, Any]:
    return {"href": href, "hashes": [{"algorithm": "SHA-256", "value": sha256}]}
