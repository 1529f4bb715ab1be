"""MLflow's run-context plugin: which session of autologging a run belongs to.

MLflow imports this with itself, and an error here would break ``import mlflow`` for the whole environment. So it imports
only what costs nothing, and answers with no tags when anything is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import os

VARIABLE = "MLGOV_MLFLOW_SESSION"


class RunContext:
    """Tags for runs that begin while a session of autologging is open in this process or above it."""

    def in_context(self) -> bool:
        """Whether a session is open."""
        return bool(os.environ.get(VARIABLE))

    def tags(self) -> dict[str, str]:
        """Return the session's name, and a token for one run that only the session can make."""
        try:
            secret = os.environ[VARIABLE]
            nonce = os.urandom(16).hex()
            mac = hmac.new(secret.encode(), nonce.encode(), "sha256").hexdigest()
            name = hashlib.sha256(f"session {secret}".encode()).hexdigest()[:32]
        except Exception:  # noqa: BLE001  a run without our tags is not recorded; one that cannot begin is lost
            return {}
        return {"mlgov.session": name, "mlgov.token": f"{nonce}.{mac}"}
