"""The kinds of evidence that a rule may ask for: one table.

Each has its predicate, and its metrics in the registry of metrics.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceKind:
    """A kind of evidence.

    Parameters
    ----------
    name : str
        The kind of its predicate, as rules spell it.
    text : str
        What it is, in a clause.
    assessment : bool
        Whether it judges the model, so that nobody who made the model may sign it for a rule that names a signer.
    """

    name: str
    text: str
    assessment: bool = True


EVIDENCE_KINDS = {
    kind.name: kind
    for kind in (
        EvidenceKind(name="fairness", text="how groups of people fare under the model"),
        EvidenceKind(name="performance", text="how well the model predicts"),
        EvidenceKind(name="explanation", text="what drives the model's output"),
        EvidenceKind(name="data-quality", text="whether the data are complete, plausible and free of leaks"),
        EvidenceKind(name="robustness", text="how the model holds under noise, gaps and shifts"),
        EvidenceKind(name="privacy", text="what the model gives away about its training data"),
        EvidenceKind(name="security-scan", text="what a scan of the artifact and its dependencies found"),
        EvidenceKind(name="monitoring", text="how the model does in production"),
        EvidenceKind(name="adverse-action", text="the reasons that declined applicants were told", assessment=False),
        EvidenceKind(name="training-run", text="an observed training run that ended well", assessment=False),
        EvidenceKind(name="registration", text="the bytes' entry in a model registry", assessment=False),
        EvidenceKind(name="human-text", text="a text that a person wrote and signed", assessment=False),
    )
}
"""By name."""
