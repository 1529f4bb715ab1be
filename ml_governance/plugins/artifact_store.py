"""``write-once:<place>``: the scheme under which an MLflow server's artifacts are kept where no model's file is overwritten.

MLflow imports this module when it is imported itself, so nothing but the standard library may be imported here.
"""

from __future__ import annotations

from typing import Any


def write_once(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """Return the repository for ``mlflow server --artifacts-destination write-once:<place>``.

    Parameters
    ----------
    artifact_uri : str
        ``write-once:`` and a local folder or a bucket that MLflow knows.
    tracking_uri, registry_uri : str, optional
        Not used: whoever calls is the server.
    """
    del tracking_uri, registry_uri
    from ml_governance.integrations.mlflow_artifacts import opened

    return opened(artifact_uri)
