"""What loading a model's file means, and the types that hold nothing but data though the library that writes them does not say so."""

from __future__ import annotations

from typing import Literal

Loading = Literal["data", "code", "unknown"]
"""``code``: loading runs whatever the file says."""

SKLEARN_DATA = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types of scikit-learn that hold arrays, check them when loaded, and are not yet on the list of skops."""
