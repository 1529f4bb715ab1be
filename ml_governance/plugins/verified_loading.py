"""MLflow's scheme ``models:``. With ``MLGOV_VERIFY_LOAD=1``, what it downloads is verified before anybody loads it.

MLflow imports this module when it is imported itself, so nothing but the standard library may be imported here.
"""

from __future__ import annotations

import os
from typing import Any

VARIABLE = "MLGOV_VERIFY_LOAD"
OFF = frozenset({"", "0", "false", "no", "off"})
"""What turns it off; anything else, a typing error too, turns it on."""


def models(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """Return the repository of a ``models:`` URI: MLflow's own, or the one that verifies."""
    if os.environ.get(VARIABLE, "").strip().lower() in OFF:
        from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

        return ModelsArtifactRepository(artifact_uri, tracking_uri, registry_uri)
    from ml_governance.plugins.verified_repository import VerifiedModels

    return VerifiedModels(artifact_uri, tracking_uri, registry_uri)
