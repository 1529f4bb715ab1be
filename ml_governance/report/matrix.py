"""The controls matrix: every control of the catalogue beside what the decision found, what the log holds, and what people said.

A mapping means "evidence for this clause". No row says that anybody complies with anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.report.texts import NOT_PROVIDED, text_of_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_governance.decide.controls import Catalogue, Control
    from ml_governance.evidence.attestation import Attestation

NO_RULE, NOTHING = "recorded, no rule judges it", "not recorded"


def matrix(
    catalogue: Catalogue,
    judged: Sequence[Mapping[str, Any]],
    recorded: Iterable[Attestation],
    human: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], ...]:
    """Return one row for each control that was not replaced, and for each that a rule names all the same.

    Parameters
    ----------
    catalogue : Catalogue
        Controls and the dated editions that they are mapped to.
    judged : sequence of dict
        Controls that the decision's rules are evidence for: ``control``, ``state``, ``rules``.
    recorded : iterable of Attestation
        What may be evidence.
    human : sequence of dict
        Texts about the model, as :func:`ml_governance.report.texts.human` returns them.

    Returns
    -------
    tuple of dict
        ``state`` is that of the rules; without a rule, whether anything of its kinds is recorded. ``text`` is None where no person's
        words are needed, else ``NOT PROVIDED`` or the ledger index that holds them.
    """
    kinds: dict[str, list[int]] = {}
    for one in recorded:
        kinds.setdefault(one.kind, []).append(one.index)
    states = {one["control"]: one for one in judged}
    texts = {one["name"]: one for one in human if one["source"]}
    shown = [control for control in catalogue.controls if not control.replaced_by or control.id in states]
    return tuple(_row(catalogue, control, states.get(control.id), kinds, texts) for control in shown)


def _row(
    catalogue: Catalogue,
    control: Control,
    judged: Mapping[str, Any] | None,
    kinds: Mapping[str, list[int]],
    texts: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    # A text counts for the control that it is about, not for every control that asks for some text.
    evidence = [{"kind": k, "entries": kinds[k]} for k in control.evidence if k in kinds and k != "human-text"]
    name = text_of_control(control.id)
    said = texts.get(name)
    if judged is None:
        judged = {"state": NO_RULE if evidence or said else NOTHING, "rules": []}
    return {
        "control": control.id, "title": control.title, "state": judged["state"], "rules": judged["rules"], "evidence": evidence,
        "needs_text": name if control.human else None,
        "text": said["source"]["index"] if said else NOT_PROVIDED if control.human else None,
        "mappings": [
            {"edition": mapping.edition, "framework": edition.framework, "clause": mapping.clause, "status": edition.status}
            for mapping, edition in catalogue.mapped(control)
        ],
    }  # fmt: skip


def editions(catalogue: Catalogue) -> tuple[dict[str, Any], ...]:
    """Return the editions that the matrix names, each with its days, where it was read and when."""
    return tuple(
        {
            "id": name, "framework": one.framework, "name": one.name, "version": one.version, "status": one.in_words,
            "source": one.source, "checked": None if one.checked is None else one.checked.isoformat(), "note": one.note,
        }
        for name, one in catalogue.editions.items()
    )  # fmt: skip
