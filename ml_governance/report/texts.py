"""What people must say about a model in their own words: each text with who signed it, or NOT PROVIDED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.evidence.predicates import HumanText
from ml_governance.report.measured import source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_governance.evidence.attestation import Attestation

NOT_PROVIDED = "NOT PROVIDED"

EXPECTED = {
    "intended-use": ("Intended use", "Purpose, users and decisions that the model is for."),
    "limits": ("Limits and excluded use", "What it must not be used for, and foreseeable misuse."),
    "oversight": ("Human oversight", "Who can override or stop it, and how."),
}
"""The texts that every report asks for, by name: its title, and what it should say."""


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
        ``name``, ``title``, ``asks``, ``text`` and, where somebody signed one, ``source``: the newest that nobody took back counts.
    """
    signed = {
        one.content.name: one
        for one in about
        if isinstance(one.content, HumanText) and one.payload_digest not in withdrawn
    }
    names = (*EXPECTED, *sorted(signed.keys() - EXPECTED.keys()))
    return tuple(_text(name, signed.get(name)) for name in names)


def _text(name: str, entry: Attestation | None) -> dict[str, Any]:
    title, asks = EXPECTED.get(name, (name.replace("-", " ").capitalize(), ""))
    text = {"name": name, "title": title, "asks": asks, "text": NOT_PROVIDED, "source": None}
    if entry is None or not isinstance(entry.content, HumanText):
        return text
    return text | {"text": entry.content.text, "source": source(entry)}
