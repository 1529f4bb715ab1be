"""What a model, or data released with it, gives away about the rows it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml_governance.assess import anonymity, copies, labels, membership, sensitive
from ml_governance.assess import columns as tables
from ml_governance.assess.contrasts import check_levels
from ml_governance.assess.report import Report, digest_of
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Assessment, Measurement, Privacy, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, kw_only=True, repr=False)
class PrivacyReport(Report):
    """What is given away."""

    kind: ClassVar[str] = "privacy"
    content: ClassVar[type[Assessment]] = Privacy


def assess_privacy(
    *,
    member: Any = None,
    loss: Any = None,
    y_true: Any = None,
    y_score: Any = None,
    pos_label: Any = None,
    sensitive_features: Any = None,
    released: Any = None,
    quasi_identifiers: Sequence[str] = (),
    confidential: Sequence[str] = (),
    k: int = 5,
    generated: Any = None,
    training: Any = None,
    held_out: Any = None,
    confidence: float = 0.95,
    min_group_size: int = 30,
    seed: int = 0,
) -> PrivacyReport:
    """Measure what is given away; each of the three parts where its rows are given.

    - **Membership**: from the losses of training rows and of others, how well an attack by loss tells them apart.
    - **Anonymity**: of a table that is released, how many rows are alike in what others may know.
    - **Copies**: of generated rows, how many equal training rows or are nearer to them than to rows held out.

    Parameters
    ----------
    member : array-like of bool, shape (n,), optional
        Whether the model was trained on the row. The others must come from where the training rows do, and be none of them.
    loss : array-like of float, shape (n,), optional
        Loss of each row, of any kind of model; instead of the next three.
    y_true, y_score, pos_label : optional
        Labels, probabilities of the positive class, and which label that is: the loss is -ln of the label's probability.
    sensitive_features : data frame, column or dict of columns, optional
        Groups of these rows: what the attack can tell about each.
    released : table or paths, optional
        A table that is, or would be, released.
    quasi_identifiers : sequence of str
        Its columns that others may know of a person.
    confidential : sequence of str, optional
        Its columns that they are not to learn.
    k : int, default 5
        Rows that a class needs to be large enough.
    generated, training, held_out : table or paths, optional
        Rows that a generative model made, what it was trained on, and rows like these that it never saw; with the same columns.
    confidence : float in (0, 1), default 0.95
        Level of the intervals.
    min_group_size : int, default 30
        What rests on fewer rows of a kind is ``insufficient``.
    seed : int, default 0
        Of halves and samples.

    Returns
    -------
    PrivacyReport

    Raises
    ------
    DataError
        If nothing is given to measure, a part of what one needs is absent, or something cannot be used.
    """
    check_levels(confidence, min_group_size, seed)
    levels: dict[str, Any] = {"confidence": confidence, "min_rows": min_group_size, "seed": seed}
    measurements: list[Measurement] = []
    details: dict[str, Any] = {}
    columns: dict[str, Any] = {"sensitive_features": []}
    sources: list[Callable[[], Resource]] = []
    if member is not None:
        found, columns, source = _membership(member, loss, y_true, y_score, pos_label, sensitive_features, levels)
        measurements += found
        sources.append(source)
    elif any(one is not None for one in (loss, y_true, y_score, sensitive_features)):
        raise DataError("nobody says which rows the model was trained on", expected="member, a flag in every row")
    if released is not None:
        table = tables.opened(released, "released table")
        found, details["anonymity"] = anonymity.hidden(table, quasi_identifiers, confidential, k=k)
        measurements += found
        columns |= {"quasi_identifiers": list(quasi_identifiers), "confidential": list(confidential)}
        sources.append(table.source)
    elif quasi_identifiers or confidential:
        raise DataError("quasi-identifiers are named, and no table is released", expected="released, a table")
    rows = [generated, training, held_out]
    if any(one is not None for one in rows):
        if any(one is None for one in rows):
            raise DataError("generated rows need two yardsticks", expected="generated, training and held_out rows")
        opened = [tables.opened(one, name) for one, name in zip(rows, _ROWS, strict=True)]
        found, details["copies"] = copies.copied(opened[0], opened[1], opened[2], **levels)
        measurements += found
        sources.append(opened[0].source)
    if not measurements:
        raise DataError(
            "there is nothing to measure", expected="member with losses, a released table, or generated rows"
        )
    return PrivacyReport(
        measurements=tuple(measurements), details=details, columns=columns, confidence=confidence,
        min_group_size=min_group_size, seed=seed, source=sources[0],
    )  # fmt: skip


_ROWS = ("generated rows", "training rows", "held-out rows")


def _membership(
    member: Any, loss: Any, y_true: Any, y_score: Any, pos_label: Any, sensitive_features: Any, levels: dict[str, Any]
) -> tuple[list[Measurement], dict[str, Any], Callable[[], Resource]]:
    if (loss is None) == (y_score is None) or (y_true is None) != (y_score is None):
        raise DataError("losses are given twice, or not at all", expected="loss; or y_true and y_score")
    positive: dict[str, Any] = {}
    if loss is None:
        true, named = labels.binary(y_true, "y_true", pos_label)
        score = labels.scores(y_score)
        labels.same_length(y_true=true, y_score=score)
        loss, positive = membership.log_losses(true, score), {"pos_label": str(named)}
    losses, flags = membership.checked(loss, member)
    made = membership.attacked(losses, flags, **levels)
    groups = {} if sensitive_features is None else sensitive.read(sensitive_features, len(flags))
    for name, (own, of) in groups.items():
        for index, level in enumerate(of):
            rows = own == index
            made += membership.attacked(losses[rows], flags[rows], by=(name,), group=(level,), **levels)
    return (
        made,
        {"sensitive_features": list(groups), **positive},
        lambda: digest_of("losses of the privacy report", loss=losses, member=flags),
    )
