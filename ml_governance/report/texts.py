"""What people must say about a model in their own words: each text with who signed it, or NOT PROVIDED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import HumanText
from ml_governance.report.measured import source
from ml_governance.report.numbers import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.attestation import Attestation

NOT_PROVIDED = "NOT PROVIDED"

EXPECTED = {
    "intended-use": (3, "USE-01", "Intended use", "Purpose, users and decisions that the model is for."),
    "limits": (3, "USE-02", "Limits and excluded use", "What it must not be used for, and foreseeable misuse."),
    "oversight": (3, "USE-03", "Human oversight", "Who can override or stop it, and how."),
    "risk-class": (2, "INV-02", "Risk class and applicable law", "The class, the laws that apply, and why."),
    "impact": (3, "USE-04", "Impact on people", "Whom it affects, and what was done about it."),
    "data-origin": (4, "DAT-02", "Origin of the data", "Where the data come from, what for, and under which licence."),
    "residual-risk": (10, "GOV-04", "Residual risk", "What risk remains, and who accepts it."),
    "monitoring-plan": (12, "MON-01", "Monitoring plan", "What is watched in use, how often, and who acts on it."),
}
"""The texts that every report asks for, by name: its section, the control it is for, its title, and what it should say."""


def text_of_control(control: str) -> str:
    """Return the name of the text that a control asks for; one that no report asks for is called like its control."""
    return next((name for name, (_, about, _, _) in EXPECTED.items() if about == control), control.lower())


def human(about: Sequence[Attestation], withdrawn: Mapping[str, Attestation]) -> tuple[dict[str, Any], ...]:
    """Return the texts about a model: those that are expected first, then all others by name.

    Parameters
    ----------
    about : sequence of Attestation
        What the log says about the model, in order.
    withdrawn : mapping of str to Attestation
        What was taken back, by payload digest.

    Returns
    -------
    tuple of dict
        ``name``, ``section`` of the report, ``title``, ``asks``, ``text`` and, where somebody signed one, ``source``: the newest that
        nobody took back counts.
    """
    signed = {
        one.content.name: one
        for one in about
        if isinstance(one.content, HumanText) and one.payload_digest not in withdrawn
    }
    names = (*EXPECTED, *sorted(signed.keys() - EXPECTED.keys()))
    return tuple(_text(name, signed.get(name)) for name in names)


def _text(name: str, entry: Attestation | None) -> dict[str, Any]:
    said = in_words(name.replace("-", " "))
    section, _, title, asks = EXPECTED.get(name, (3, "", f"{said[:1].upper()}{said[1:]}", ""))
    text = {"name": name, "section": section, "title": title, "asks": asks, "text": NOT_PROVIDED, "source": None}
    if entry is None or not isinstance(entry.content, HumanText):
        return text
    return text | {"text": entry.content.text, "source": source(entry)}
