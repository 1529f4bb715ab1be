"""MLflow's model evaluator ``governance``: imports nothing until it is asked to evaluate."""

from __future__ import annotations

from typing import Any


class GovernanceEvaluator:
    """Fairness and explanation for ``mlflow.models.evaluate(..., evaluators=["governance"])``."""

    name = "governance"

    @classmethod
    def can_evaluate(cls, *, model_type: str, evaluator_config: dict[str, Any], **_: Any) -> bool:
        """Whether this is a classifier; what the configuration lacks is told when evaluating, not skipped."""
        del evaluator_config
        return model_type == "classifier"

    def evaluate(self, **asked: Any) -> Any:
        """Measure, show, and return MLflow's result; see :mod:`ml_governance.integrations.mlflow_evaluation`."""
        from ml_governance.integrations.mlflow_evaluation import evaluate

        return evaluate(**asked)
