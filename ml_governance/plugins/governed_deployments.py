"""``governed:/<target>``: any of MLflow's deployment targets, behind the question whether the model may be served.

For pipelines: ``get_deploy_client("governed:/sagemaker")``. What reaches the target is a private copy of the bytes that were verified,
whatever the URI means a moment later. MLflow imports this module when the target is asked for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlflow.deployments import BaseDeploymentClient  # noqa: TID253  imported when the target is asked for

SCHEME = "governed:"


class GovernedDeployments(BaseDeploymentClient):  # type: ignore[misc]
    """A deployment client that verifies models, then lets another one deploy them.

    Parameters
    ----------
    target_uri : str
        ``governed:/<target>``, where ``<target>`` is what :func:`mlflow.deployments.get_deploy_client` takes.
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        from mlflow.deployments import get_deploy_client

        self.inner = get_deploy_client(_target(target_uri))

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Any = None, endpoint: str | None = None
    ) -> Any:
        """Verify a model, and create a deployment of it.

        Raises
        ------
        DeniedError, MissingEvidenceError, VerificationError
            If it may not be served; nothing is deployed.
        """
        with tempfile.TemporaryDirectory(prefix="mlgov-deploy-") as folder:
            path = verified(model_uri, Path(folder))
            return self.inner.create_deployment(name, path, flavor=flavor, config=config, **_at(endpoint))

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Any = None,
        endpoint: str | None = None,
    ) -> Any:
        """Verify a model, and put it in the place of a deployment's; without a model only its configuration changes."""
        if model_uri is None:
            return self.inner.update_deployment(name, flavor=flavor, config=config, **_at(endpoint))
        with tempfile.TemporaryDirectory(prefix="mlgov-deploy-") as folder:
            path = verified(model_uri, Path(folder))
            return self.inner.update_deployment(name, path, flavor=flavor, config=config, **_at(endpoint))

    def delete_deployment(self, name: str, config: Any = None, endpoint: str | None = None) -> Any:
        """Delete a deployment."""
        return self.inner.delete_deployment(name, config=config, **_at(endpoint))

    def list_deployments(self, endpoint: str | None = None) -> Any:
        """Return the deployments of the target."""
        return self.inner.list_deployments(**_at(endpoint))

    def get_deployment(self, name: str, endpoint: str | None = None) -> Any:
        """Return a deployment of the target."""
        return self.inner.get_deployment(name, **_at(endpoint))

    def predict(self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None) -> Any:
        """Ask a deployment of the target."""
        return self.inner.predict(deployment_name, inputs, **_at(endpoint))


def verified(model_uri: str, folder: Path) -> str:
    """Download a model from any URI into an empty folder, and return its path if its bytes may be served.

    Raises
    ------
    DeniedError, MissingEvidenceError, VerificationError
        If they may not.
    """
    from mlflow.artifacts import download_artifacts

    from ml_governance.workspace import admission
    from ml_governance.workspace.parts import utc_now

    path = download_artifacts(artifact_uri=model_uri, dst_path=str(folder))
    admission.from_environment(Path(path), at=utc_now())
    return str(path)


def run_local(*_arguments: Any, **_options: Any) -> None:
    """Refuse: MLflow does not say here which target would run the model.

    Raises
    ------
    UsageError
        Always.
    """
    from ml_governance.errors import UsageError

    raise UsageError(
        "a governed target runs nothing locally: MLflow does not pass on which one is meant",
        expected="create_deployment",
        next_step="mlgov verify-deployment FOLDER && mlflow models serve, or MLGOV_VERIFY_LOAD=1",
    )


def target_help() -> str:
    """Return what ``mlflow deployments help`` prints."""
    return (
        "governed:/<target> deploys to <target>, such as governed:/sagemaker, models that were promoted and not withdrawn.\n"
        "Evidence: MLGOV_BUNDLE with MLGOV_ROOT, or MLGOV_WORKSPACE; the stage: MLGOV_STAGE, else production.\n"
        "The configuration is that of <target>."
    )


def _target(uri: str) -> str:
    from ml_governance.errors import UsageError

    target = uri.removeprefix(SCHEME).lstrip("/")
    if not uri.startswith(SCHEME) or not target:
        raise UsageError(f"the target is {uri!r}", expected="governed:/<target>, such as governed:/sagemaker")
    return target


def _at(endpoint: str | None) -> dict[str, str]:
    """Return the endpoint where there is one: not every target's client takes it."""
    return {} if endpoint is None else {"endpoint": endpoint}
