"""Making and opening workspaces: ``gov.init`` and ``gov.open``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.workspace import config, setup
from ml_governance.workspace.parts import SIGNER_VARIABLE, software, utc_now
from ml_governance.workspace.session import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


def init(
    path: str | Path = ".",
    *,
    project: str = "default",
    people: Sequence[setup.Person] = setup.PEOPLE,
    policy: str = "credit-scoring",
    registry: str | None = None,
    ledger: str | None = None,
    signer: str | Path | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Workspace:
    """Make a workspace: governance.toml, keys (mode 0600), a root-signed trust file, a ledger, a policy pack.

    Parameters
    ----------
    path : str or Path, default "."
        Folder of the new workspace; made if absent.
    project : str
        Name of the project; principals are trusted for it, policies may be limited to it.
    people : sequence of Person
        Who gets a key. The default is four people, one for each role that the shipped policies use.
    policy : str, default "credit-scoring"
        Name of a shipped pack, or a folder that holds policy.yaml. It is copied, signed and put in force.
    registry : str, optional
        ``mlflow+<tracking uri>`` or ``local:<folder>``; default is MLflow on SQLite inside the workspace.
    ledger : str, optional
        SQLAlchemy URL of an empty database, such as ``postgresql+psycopg://user@host/name``; default is SQLite inside the
        workspace. A password in it is not written to governance.toml.
    signer : str or Path, optional
        With whose key the returned workspace acts.
    clock : callable
        Returns the present in UTC.

    Returns
    -------
    Workspace

    Raises
    ------
    ConfigurationError
        If the folder already holds a workspace or cannot be written.
    """
    root = setup.make(
        Path(path),
        project=project,
        people=people,
        policy=policy,
        registry=registry,
        ledger=ledger,
        clock=clock,
        software=software(),
    )
    return open_workspace(root, signer=signer, clock=clock)


def open_workspace(
    path: str | Path | None = None,
    *,
    signer: str | Path | None = None,
    clock: Callable[[], datetime] = utc_now,
    narrate: Callable[[str], None] | None = None,
    full: bool = False,
) -> Workspace:
    """Open the workspace at or above a folder.

    Parameters
    ----------
    path : str or Path, optional
        Where to start looking upwards for governance.toml; default is the current folder.
    signer : str or Path, optional
        With whose key one acts: a person's id or a key file. Default is the variable ``MLGOV_SIGNER``.
        Without one the workspace can be read and verified, and every call that signs refuses.
    clock : callable
        Returns the present in UTC.
    narrate : callable, optional
        Receives one line before each slow step.
    full : bool
        Whether each decision verifies every entry of the log; by default governance.toml says so, or else only what is new since
        the last verification on this account is verified, and what concerns the decision is read.

    Returns
    -------
    Workspace

    Raises
    ------
    ConfigurationError
        If there is no workspace or its configuration is wrong.
    KeyFileError
        If the signer's key file is missing, unsafe or unreadable.
    """
    root = config.find(Path(path) if path is not None else Path.cwd())
    signer = signer or os.environ.get(SIGNER_VARIABLE)
    return Workspace(config.load(root), signer=signer, clock=clock, narrate=narrate, full=full)
