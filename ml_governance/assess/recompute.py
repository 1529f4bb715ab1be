"""Predictions that the assessor makes itself, in a process that is given no keys.

Loading a model may run whatever its pickle says. So an artifact is loaded in a child process with a small,
scrubbed environment, in an empty folder, and what comes back is numbers and JSON, never objects. The artifact is
copied to a private folder, and the copy is digested and loaded. What this does not stop: a process of the same
account can read that account's files. Assess models you do not trust on another account or machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.predicting import Predicted
from ml_governance.errors import DataError, UnavailableError, VerificationError
from ml_governance.evidence import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR",
    "OMP_NUM_THREADS",
)  # fmt: skip
"""The only variables that the child sees."""

TIMEOUT = 3600
_SAID = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed(Predicted):
    """What the child sent back, checked for form.

    Parameters
    ----------
    y_pred, y_score, classes
        As :class:`~ml_governance.assess.predicting.Predicted`.
    explanation : dict or None
        An explanation report as plain values, if it was asked for.
    robustness : dict or None
        A robustness report as plain values, if it was asked for.
    reasons : dict or None
        Of declined rows, if they were asked for: ``summary``, and for each of ``declined`` its ``place`` and its ``factors``, by number.
    more : Predicted or None
        What the model said of further rows, if there were some.
    """

    explanation: dict[str, Any] | None = field(default=None, repr=False)
    robustness: dict[str, Any] | None = field(default=None, repr=False)
    reasons: dict[str, Any] | None = field(default=None, repr=False)
    more: Predicted | None = field(default=None, repr=False)


def recompute(
    artifact: Path,
    *,
    sha256: str,
    loader: str,
    rows: pd.DataFrame,
    exclude: Sequence[str] = (),
    sensitive_features: Sequence[str] = (),
    pos_label: Any = None,
    task: str = "binary",
    background: pd.DataFrame | None = None,
    explain: dict[str, Any] | None = None,
    perturb: dict[str, Any] | None = None,
    reasons: dict[str, Any] | None = None,
    more: pd.DataFrame | None = None,
    timeout: float = TIMEOUT,
) -> Recomputed:
    """Load a model by digest in a child process and predict.

    Parameters
    ----------
    artifact : Path
        File or folder with the model.
    sha256 : str
        What its digest must be.
    loader : str
        ``module:function`` that loads it.
    rows : DataFrame
        Rows to predict.
    exclude : sequence of str
        Columns that are never given to the model, such as the label.
    sensitive_features : sequence of str
        Columns of ``rows`` by which attributions are grouped.
    pos_label : object, optional
        The label whose probability is the score; default is 1, or True.
    task : {'binary', 'multiclass', 'regression'}
        What the model does: the score is of the positive class, of every class, or there is none.
    background : DataFrame, optional
        Rows that the explanation compares with.
    explain : dict, optional
        Options of :func:`ml_governance.assess.explanation.assess_explanation`; None explains nothing.
    perturb : dict, optional
        Options of :func:`ml_governance.assess.robustness.assess_robustness`, which takes the first of ``exclude`` as the label; None
        perturbs nothing.
    reasons : dict, optional
        Options of :func:`ml_governance.assess.reason_codes.reason_codes`, which compares with ``background`` or else with ``rows``; None
        looks for none.
    more : DataFrame, optional
        Further rows to predict and nothing else, such as some that the model was trained on.
    timeout : float, default 3600
        Seconds until the child is stopped.

    Returns
    -------
    Recomputed

    Raises
    ------
    VerificationError
        If the artifact is not what the digest says.
    DataError
        If the model cannot be loaded or does not take these rows.
    UnavailableError
        If the child dies or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="mlgov-predict-") as name:
        folder = Path(name)
        copy = copied(artifact, folder, sha256)
        rows.to_parquet(folder / "rows.parquet", index=False)
        if (explain is not None or reasons is not None) and background is not None:
            background.to_parquet(folder / "background.parquet", index=False)
        if more is not None:
            more.to_parquet(folder / "more.parquet", index=False)
        request = {
            "artifact": str(copy),
            "loader": loader,
            "exclude": list(exclude),
            "sensitiveFeatures": list(sensitive_features),
            "posLabel": pos_label.item() if isinstance(pos_label, np.generic) else pos_label,
            "task": task,
            "explain": explain,
            "perturb": perturb,
            "reasons": reasons,
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run(folder, timeout)
        asked = {"explanation": explain, "robustness": perturb, "reasons": reasons}
        wanted = [name for name, options in asked.items() if options is not None]
        return _read(folder, len(rows), wanted, None if more is None else len(more))


def copied(artifact: Path, folder: Path, sha256: str) -> Path:
    """Copy an artifact to where nobody else writes, and digest the copy: what is digested is what is loaded.

    Raises
    ------
    DataError
        If it cannot be read.
    VerificationError
        If the copy has another digest.
    """
    copy = folder / "artifact" / artifact.name
    try:
        if artifact.is_dir() and not artifact.is_symlink():
            shutil.copytree(artifact, copy, symlinks=True)
        else:
            copy.parent.mkdir()
            shutil.copy(artifact, copy, follow_symlinks=False)
    except (OSError, shutil.Error) as error:
        raise DataError(
            f"the artifact {artifact} cannot be read: {error}", expected="a file or folder that this account may read"
        ) from error
    found = fingerprint.artifact(copy).sha256
    if found != sha256:
        raise VerificationError(
            f"the artifact has the digest sha256:{found}",
            expected=f"sha256:{sha256}, which was registered",
            next_step="find out who changed the files; register the new bytes as a new version if the change is wanted",
        )
    return copy


def _run(folder: Path, timeout: float) -> None:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MPLCONFIGDIR": str(folder)}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "ml_governance.assess.child"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"predicting took more than {timeout:g} seconds", next_step="use fewer rows, or a longer timeout"
        ) from None
    problem = folder / "problem.json"
    if problem.is_file():
        told = json.loads(problem.read_text(encoding="utf-8"))
        raise DataError(str(told["found"])[:_SAID], expected=told.get("expected"))
    if ended.returncode != 0:
        last = ended.stderr.strip().splitlines()[-3:]
        raise UnavailableError(
            f"the predicting process ended with code {ended.returncode}: {' | '.join(last)[:_SAID]}",
            next_step="check memory, and that the model's packages are installed here",
        )


def _read(folder: Path, rows: int, wanted: Sequence[str], more: int | None) -> Recomputed:
    try:
        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            found = dict(arrays)
        told = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in wanted}
        own = _predicted(found, "", rows)
        further = None if more is None else _predicted(found, "more_", more)
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(f"the predicting process left no readable result: {error}") from error
    return Recomputed(
        y_pred=own.y_pred, y_score=own.y_score, classes=own.classes, explanation=told.get("explanation"),
        robustness=told.get("robustness"), reasons=told.get("reasons"), more=further,
    )  # fmt: skip


def _predicted(arrays: dict[str, Any], prefix: str, rows: int) -> Predicted:
    classes = arrays.get(f"{prefix}classes")
    return Predicted(
        y_pred=arrays[f"{prefix}y_pred"],
        y_score=arrays.get(f"{prefix}y_score"),
        classes=None if classes is None else tuple(map(str, classes.tolist())),
    ).checked(rows)
