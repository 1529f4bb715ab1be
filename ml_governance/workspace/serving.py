"""What a session serves and watches: deployments, whether bytes may be served, monitoring."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.workspace.parts import here

if TYPE_CHECKING:
    from ml_governance.evidence.statement import Subject
    from ml_governance.operate.deployment import Deployment
    from ml_governance.operate.windows import Joined
    from ml_governance.workspace.admission import Servable
    from ml_governance.workspace.monitoring import Monitored

CHECK_EVERY, GRACE, WINDOW = timedelta(seconds=60), timedelta(seconds=300), timedelta(hours=1)


class Serving:
    """The part of :class:`~ml_governance.workspace.session.Workspace` for what is in use."""

    def deployment(
        self,
        version: str | Subject,
        *,
        stage: str = "production",
        check_every: timedelta = CHECK_EVERY,
        grace: timedelta = GRACE,
        window: timedelta = WINDOW,
    ) -> Deployment:
        """Verify that a model may be served, load it by digest, sign that it is served, and count what it predicts.

        Parameters
        ----------
        version : str or Subject
            The model version.
        stage : str, default "production"
            The stage that it was promoted to.
        check_every : timedelta, default 60 seconds
            No prediction is made on an older look at the log: a revocation stops it after at most so long.
        grace : timedelta, default 300 seconds
            How much older the look may be while the log cannot be reached; 0 stops at once.
        window : timedelta, default 1 hour
            Length of the windows that predictions are counted in, 1 minute to 1 day.

        Returns
        -------
        Deployment
            With ``predict``, ``predict_proba``, ``labels``, ``check`` and ``close``.

        Raises
        ------
        MissingEvidenceError
            If it was never promoted to the stage.
        DeniedError
            If it was withdrawn or superseded, or the person who acts may not deploy.
        VerificationError
            If the bytes, the promotion or the log do not verify.
        UsageError
            If a span is out of range.
        """
        from ml_governance.workspace import deploying

        return deploying.deploy(here(self), version, stage=stage, check_every=check_every, grace=grace, window=window)

    def verify_deployment(self, target: str | Path | Subject, *, stage: str = "production") -> Servable:
        """Tell whether a model, a digest, a file or a folder may be served in a stage now; nothing is signed.

        Parameters
        ----------
        target : str, Path or Subject
            ``name/version``, ``sha256:...``, or a path to the bytes, which are digested.
        stage : str, default "production"
            The stage.

        Raises
        ------
        MissingEvidenceError, DeniedError, VerificationError
            As :meth:`deployment`.
        """
        from ml_governance.workspace import admission

        return admission.in_workspace(here(self), target, stage=stage)

    def monitor(
        self,
        version: str | Subject,
        *,
        stage: str = "production",
        window: timedelta = timedelta(days=1),
        labels: str | Path | None = None,
        min_rows: int = 30,
        confidence: float = 0.95,
    ) -> Monitored:
        """Compare what was predicted with the approved evidence, sign the comparison, and judge it by the policy in force.

        Parameters
        ----------
        version : str or Subject
            The model version that is served.
        stage : str, default "production"
            Where.
        window : timedelta, default 1 day
            How far back, in whole windows of the deployment; the one under way counts.
        labels : path, optional
            CSV or Parquet file with the columns ``id`` and ``label``, joined first.
        min_rows : int, default 30
            Below it a number is ``insufficient``.
        confidence : float in (0, 1), default 0.95
            Level of every interval.

        Returns
        -------
        Monitored
            The report, its ledger index, and the findings of the rules that ask for monitoring.

        Raises
        ------
        MissingEvidenceError
            If nothing was predicted in the window, or the approved evidence has no baseline.
        DataError
            If the windows or the labels cannot be read.
        """
        from ml_governance.workspace import monitoring

        return monitoring.monitor(
            here(self), version, stage=stage, window=window, labels=Path(labels) if labels is not None else None,
            min_rows=min_rows, confidence=confidence,
        )  # fmt: skip

    def join_labels(self, version: str | Subject, path: str | Path, *, stage: str = "production") -> Joined:
        """Join late labels from a file with the columns ``id`` and ``label``; see :meth:`monitor`."""
        from ml_governance.workspace import monitoring

        return monitoring.join_file(here(self), version, Path(path), stage=stage)
