"""``governed:<database>``: the scheme under which an MLflow server finds the registry store with the gate in it."""

from __future__ import annotations

from typing import Any

SCHEME = "governed:"


def governed(store_uri: str | None = None, tracking_uri: str | None = None) -> Any:
    """Make the store, behind the gate of the workspace that ``MLGOV_WORKSPACE`` names.

    Parameters
    ----------
    store_uri : str
        ``governed:`` and the URI of the database that keeps the registry.
    tracking_uri : str, optional
        Not used: the registry's database decides.

    Raises
    ------
    ConfigurationError
        If the variable, the workspace or the URI cannot be used: the server does not start.
    """
    del tracking_uri
    from ml_governance.integrations import mlflow_store
    from ml_governance.workspace.gatekeeper import Gatekeeper

    return mlflow_store.open_store((store_uri or "").removeprefix(SCHEME), Gatekeeper.of_this_server())
