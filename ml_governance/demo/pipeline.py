"""The demo's models: a plain one, and one that was trained to select alike.

Sex and race are inputs of neither. Leaving them out does not make a model fair: relationship, occupation and hours
carry what they would say, which is why the first model fails its fairness rules.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: TID253  the classifier below is one
from sklearn.utils.validation import check_is_fitted  # noqa: TID253  as above

from ml_governance.demo.dataset import LABEL

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

NUMERIC = ("age", "education_num", "capital_gain", "capital_loss", "hours_per_week")
CATEGORICAL = ("workclass", "education", "marital_status", "occupation", "relationship", "native_country")
FEATURES = (*NUMERIC, *CATEGORICAL)
SEED = 1
CUTOFF = 0.35
"""Cut-off of the second model, chosen on the validation rows: a higher one makes few and noisy selections."""

MITIGATION = "fairlearn ExponentiatedGradient, demographic parity over sex x race, weighted mixture, cut-off 0.35"
_LARGE = ("White", "Black", "Asian-Pac-Islander")


class WeightedMixture(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The mixture that a reduction found, as one deterministic classifier.

    fairlearn's reductions draw one of their models at random for each row. Two equal applicants could then get different
    answers, so this one averages their probabilities and cuts once.

    Parameters
    ----------
    predictors : list of classifier, optional
        Fitted models with ``predict_proba``.
    weights : list of float, optional
        Their weights; they sum to one.
    cutoff : float
        Probability from which a row is selected.
    """

    def __init__(self, predictors: Any = None, weights: Any = None, cutoff: float = 0.5) -> None:
        self.predictors = predictors
        self.weights = weights
        self.cutoff = cutoff

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803  scikit-learn's name
        """Take the mixture as it is; nothing is learned here."""
        del X, y
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803  scikit-learn's name
        """Return the weighted mean probability of each class."""
        check_is_fitted(self, "classes_")
        mean = sum(w * p.predict_proba(X)[:, 1] for w, p in zip(self.weights, self.predictors, strict=True))
        return np.column_stack([1 - mean, mean])

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803  scikit-learn's name
        """Return 1 where the mean probability reaches the cut-off."""
        return (self.predict_proba(X)[:, 1] >= self.cutoff).astype(np.int64)


def preprocessor() -> Any:
    """Return the step that turns the eleven original columns into eleven numbers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    return ColumnTransformer([("numeric", "passthrough", list(NUMERIC)), ("categorical", encoder, list(CATEGORICAL))])


def train_baseline(train: pd.DataFrame) -> Pipeline:
    """Fit gradient-boosted trees to the labels and nothing else."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    model = Pipeline([("prepare", preprocessor()), ("classify", HistGradientBoostingClassifier(random_state=SEED))])
    return model.fit(train[list(FEATURES)], train[LABEL])


def train_mitigated(train: pd.DataFrame) -> Pipeline:
    """Fit a mixture of reweighted models whose selection rates agree over sex and race.

    The sensitive columns steer the training; the model does not read them when it predicts.
    """
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    prepare = preprocessor().fit(train[list(FEATURES)])
    race = train["race"].astype(str)
    groups = train["sex"].astype(str) + " x " + race.where(race.isin(_LARGE), "other")
    search = ExponentiatedGradient(
        HistGradientBoostingClassifier(max_iter=40, random_state=SEED),
        DemographicParity(difference_bound=0.005),
        max_iter=30,
        nu=1e-6,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairlearn's search warns of steps that it then discards
        search.fit(prepare.transform(train[list(FEATURES)]), train[LABEL], sensitive_features=groups)
    kept = [(float(w), p) for w, p in zip(search.weights_, search.predictors_, strict=True) if w > 0]
    mixture = WeightedMixture([p for _, p in kept], [w for w, _ in kept], CUTOFF)
    return Pipeline([("prepare", prepare), ("classify", mixture.fit(None))])
