"""What a model was trained on, beside the rows that it is assessed on: read once, and how many rows stand in both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from ml_governance.assess.material import Training
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.statement import Subject


def with_training(
    test: pd.DataFrame, training: Sequence[Any], subject: Subject, view: EvidenceView, *, seed: int
) -> tuple[Training, list[dict[str, Any]]]:
    """Return the training rows as one table, and for each table how many test rows it holds.

    Parameters
    ----------
    test : DataFrame
        The test rows.
    training : sequence of DataFrame or path
        What the model was trained on; each must have a digest that a training run of the model recorded.
    subject, view
        The model, and the evidence about it.
    seed : int
        Of the training rows that are drawn to be predicted.

    Returns
    -------
    Training
        Their rows, in the order given.
    list of dict
        ``{"with": digest, "rows": number}``, as rules with ``no_overlap_with`` read it.

    Raises
    ------
    DataError
        If a table is none of those that the model was trained on.
    """
    import numpy as np
    import pandas as pd

    from ml_governance.assess.material import training as beside
    from ml_governance.assess.overlap import shared
    from ml_governance.workspace.tables import read

    known = {
        one.sha256: one.name
        for a in view.about(subject.sha256, TrainingRun.kind)
        if isinstance(a.content, TrainingRun)
        for one in a.content.inputs
    }
    found: dict[str, int] = {}
    frames = []
    every = np.zeros(len(test), dtype=bool)
    for data in training:
        frame, resource = read(data)
        # A run that read a file recorded the file's digest, one that read a table the table's.
        digests = {resource.sha256} | ({fingerprint.of(data).sha256} if isinstance(data, str | Path) else set())
        matching = [sha256 for sha256 in known if sha256 in digests]
        if not matching:
            raise DataError(
                f"no training run of {subject.name} says that it read {resource.name} (sha256:{resource.sha256[:12]})",
                expected=f"one of {', '.join(f'{name} (sha256:{sha256[:12]})' for sha256, name in known.items())}"
                if known
                else "a model whose training run names its inputs by digest",
            )
        alike = shared(test, frame)
        found[matching[0]] = int(alike.sum())
        every |= alike
        frames.append(frame)
    trained = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    return beside(test, trained, every, seed=seed), [{"with": sha256, "rows": rows} for sha256, rows in found.items()]
