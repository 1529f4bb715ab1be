"""Signed evidence, honest fairness statistics and policy gates for machine-learning models.

>>> import ml_governance as gov
>>> ws = gov.open()                                            # doctest: +SKIP
>>> with ws.training("credit-risk") as run:                    # doctest: +SKIP
...     run.uses(train, name="applications-2026q3")
...     version = run.produces(fit(train), name="credit-risk")

Importing this package is light: what needs pandas, MLflow or shap is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ml_governance.assess.audit import audit
    from ml_governance.assess.audit_report import AuditReport, Unmeasured
    from ml_governance.assess.column_ranking import ColumnRanking, rank_columns
    from ml_governance.assess.comparison import ComparisonReport, compare_models
    from ml_governance.assess.continuous import ContinuousReport, assess_continuous
    from ml_governance.assess.costs import Costs
    from ml_governance.assess.counterfactuals import Counterfactuals, counterfactuals
    from ml_governance.assess.data_quality import DataQualityReport, assess_data
    from ml_governance.assess.drift import DriftReport, assess_drift
    from ml_governance.assess.explanation import ExplanationReport, assess_explanation
    from ml_governance.assess.fairness import FairnessReport, assess_fairness
    from ml_governance.assess.local_law_144 import BiasAudit, nyc_ll144
    from ml_governance.assess.mitigation import MitigationReport, compare_mitigations
    from ml_governance.assess.multiclass import MulticlassReport, assess_multiclass
    from ml_governance.assess.performance import PerformanceReport, assess_performance
    from ml_governance.assess.privacy import PrivacyReport, assess_privacy
    from ml_governance.assess.profile import Profile, profile
    from ml_governance.assess.ranking import RankingReport, assess_ranking
    from ml_governance.assess.reason_codes import ReasonCodes, reason_codes
    from ml_governance.assess.regression import RegressionReport, assess_regression
    from ml_governance.assess.reproducibility import assess_reproducibility
    from ml_governance.assess.robustness import RobustnessReport, assess_robustness
    from ml_governance.assess.rules import FourFifths, four_fifths
    from ml_governance.assess.scan import ScanReport, scan_artifact
    from ml_governance.decide.decision import Decision
    from ml_governance.errors import (
        CanonicalisationError,
        ConfigurationError,
        DataError,
        DeniedError,
        EvidenceError,
        GovernanceError,
        KeyFileError,
        LedgerError,
        MissingEvidenceError,
        NotAuthorizedError,
        PolicyError,
        PromotionDeniedError,
        RegistryError,
        UnavailableError,
        UnrecordedError,
        UsageError,
        VerificationError,
    )
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace import Person, Workspace, init
    from ml_governance.workspace import open_workspace as open  # noqa: A004  gov.open reads as it should

_HOMES = {
    "ml_governance.assess.audit": ("audit",),
    "ml_governance.assess.audit_report": ("AuditReport", "Unmeasured"),
    "ml_governance.assess.column_ranking": ("ColumnRanking", "rank_columns"),
    "ml_governance.assess.comparison": ("ComparisonReport", "compare_models"),
    "ml_governance.assess.continuous": ("ContinuousReport", "assess_continuous"),
    "ml_governance.assess.costs": ("Costs",),
    "ml_governance.assess.counterfactuals": ("Counterfactuals", "counterfactuals"),
    "ml_governance.assess.data_quality": ("DataQualityReport", "assess_data"),
    "ml_governance.assess.drift": ("DriftReport", "assess_drift"),
    "ml_governance.assess.explanation": ("ExplanationReport", "assess_explanation"),
    "ml_governance.assess.fairness": ("FairnessReport", "assess_fairness"),
    "ml_governance.assess.local_law_144": ("BiasAudit", "nyc_ll144"),
    "ml_governance.assess.mitigation": ("MitigationReport", "compare_mitigations"),
    "ml_governance.assess.multiclass": ("MulticlassReport", "assess_multiclass"),
    "ml_governance.assess.performance": ("PerformanceReport", "assess_performance"),
    "ml_governance.assess.privacy": ("PrivacyReport", "assess_privacy"),
    "ml_governance.assess.profile": ("Profile", "profile"),
    "ml_governance.assess.ranking": ("RankingReport", "assess_ranking"),
    "ml_governance.assess.reason_codes": ("ReasonCodes", "reason_codes"),
    "ml_governance.assess.regression": ("RegressionReport", "assess_regression"),
    "ml_governance.assess.reproducibility": ("assess_reproducibility",),
    "ml_governance.assess.robustness": ("RobustnessReport", "assess_robustness"),
    "ml_governance.assess.rules": ("FourFifths", "four_fifths"),
    "ml_governance.assess.scan": ("ScanReport", "scan_artifact"),
    "ml_governance.decide.decision": ("Decision",),
    "ml_governance.errors": (
        "CanonicalisationError",
        "ConfigurationError",
        "DataError",
        "DeniedError",
        "EvidenceError",
        "GovernanceError",
        "KeyFileError",
        "LedgerError",
        "MissingEvidenceError",
        "NotAuthorizedError",
        "PolicyError",
        "PromotionDeniedError",
        "RegistryError",
        "UnavailableError",
        "UnrecordedError",
        "UsageError",
        "VerificationError",
    ),
    "ml_governance.evidence.statement": ("Subject",),
    "ml_governance.workspace": ("Person", "Workspace", "init"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AuditReport",
    "BiasAudit",
    "CanonicalisationError",
    "ColumnRanking",
    "ComparisonReport",
    "ConfigurationError",
    "ContinuousReport",
    "Costs",
    "Counterfactuals",
    "DataError",
    "DataQualityReport",
    "Decision",
    "DeniedError",
    "DriftReport",
    "EvidenceError",
    "ExplanationReport",
    "FairnessReport",
    "FourFifths",
    "GovernanceError",
    "KeyFileError",
    "LedgerError",
    "MissingEvidenceError",
    "MitigationReport",
    "MulticlassReport",
    "NotAuthorizedError",
    "PerformanceReport",
    "Person",
    "PolicyError",
    "PrivacyReport",
    "Profile",
    "PromotionDeniedError",
    "RankingReport",
    "ReasonCodes",
    "RegistryError",
    "RegressionReport",
    "RobustnessReport",
    "ScanReport",
    "Subject",
    "UnavailableError",
    "Unmeasured",
    "UnrecordedError",
    "UsageError",
    "VerificationError",
    "Workspace",
    "__version__",
    "assess_continuous",
    "assess_data",
    "assess_drift",
    "assess_explanation",
    "assess_fairness",
    "assess_multiclass",
    "assess_performance",
    "assess_privacy",
    "assess_ranking",
    "assess_regression",
    "assess_reproducibility",
    "assess_robustness",
    "audit",
    "compare_mitigations",
    "compare_models",
    "counterfactuals",
    "four_fifths",
    "init",
    "nyc_ll144",
    "open",
    "profile",
    "rank_columns",
    "reason_codes",
    "scan_artifact",
]


def __getattr__(name: str) -> Any:
    if name == "open":
        value = import_module("ml_governance.workspace").open_workspace
    elif name == "integrations":
        value = import_module("ml_governance.integrations")
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
