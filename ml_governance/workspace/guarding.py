"""Who may do what in a session, and what is opened only to those."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.workspace.parts import here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from ml_governance.decide.rbac import Verdict
    from ml_governance.evidence.head import Receipt


class Guarding:
    """The part of :class:`~ml_governance.workspace.session.Workspace` for roles, delegation and protected data."""

    def can(self, who: str, action: str, what: str | None = None, *, stage: str = "production") -> Verdict:
        """Tell whether a person may do something now, and why or why not.

        Parameters
        ----------
        who : str
            A person's id.
        action : str
            ``train``, ``register``, ``assess``, ``approve`` (or ``approve:ROLE``), ``waive``, ``promote``, ``deploy``,
            ``revoke``, ``protect`` or ``read``.
        what : str, optional
            The model; for ``revoke`` an entry's index, for ``read`` the data's name.
        stage : str, default "production"
            Whose policy counts.
        """
        from ml_governance.workspace import people

        return people.can(here(self), who, action, what, stage=stage)

    def delegate(self, role: str, *, to: str, until: datetime, reason: str) -> Receipt:
        """Let another person act in a role of one's own until a time, within what the charter allows.

        Parameters
        ----------
        role : str
            A role of one's own; a delegated one is not.
        to : str
            Who may act in it: somebody whom the trust file names.
        until : datetime
            First moment at which it no longer counts, with a time zone.
        reason : str
            Why; kept for ever.

        Raises
        ------
        NotAuthorizedError
            If the charter, or what it keeps apart, does not allow it.
        """
        from ml_governance.workspace import people

        return people.delegate(here(self), role, to=to, until=until, reason=reason)

    def protect(self, name: str, path: str | Path, *, sensitive: Sequence[str]) -> Receipt:
        """Register a file as protected data: its bytes and rows by digest, and the columns for whose sake it is protected.

        Raises
        ------
        NotAuthorizedError
            If the charter does not let the person who acts.
        DataError
            If it is no Parquet or CSV file with rows and these columns.
        """
        from ml_governance.workspace import protected

        return protected.add(here(self), name, Path(path), sensitive=sensitive)

    def data(
        self, name: str, *, reason: str = "", columns: Sequence[str] = (), path: str | Path | None = None
    ) -> pd.DataFrame:
        """Open protected data: a role check, the bytes' digest, a signed record of who, when and what for, then the rows.

        Parameters
        ----------
        name : str
            As it was registered.
        reason : str
            What the rows are needed for. It is required and kept for ever.
        columns : sequence of str
            Only these; default is all.
        path : str or Path, optional
            Where the file is, if not where it was registered.

        Returns
        -------
        DataFrame

        Raises
        ------
        NotAuthorizedError
            If the charter does not let the person who acts; the try is recorded.
        VerificationError
            If the bytes are no longer those registered; the try is recorded.
        MissingEvidenceError
            If nothing is registered under the name.
        """
        from ml_governance.workspace import protected

        return protected.open_rows(
            here(self), name, reason=reason, columns=columns, path=None if path is None else Path(path)
        )
